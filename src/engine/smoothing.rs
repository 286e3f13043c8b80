//! `smoothtime`: the time that is served moves smoothly, whatever is done to the estimate (chrony.conf(5); discipline.md §1.7).
//!
//! Served time is ahead of the estimated time by a curve that starts where it was and ends at 0: it speeds up at a constant
//! wander, keeps its speed at the frequency limit, and brakes; two or three pieces. Seen on chronyd 4.9: 10 ms under
//! `smoothtime 400 10` take 63.2 s, an offset of zero serves the ordinary reference ID and any other 127.127.1.255, a step of the
//! clock and `smoothtime reset` set the curve to 0 at once.
//!
//! Offsets here are **ahead of the estimated time**: > 0, clients get a time that is later than the truth.

use super::options;
use crate::types::MonoTime;

/// The smoothing begins when a part of this many of the skew is below the largest wander.
const SKEW_PART: f64 = 1e4;
/// Below this, s, nothing is left to be smoothed.
const NOTHING: f64 = 1e-12;

/// A curve towards 0 from the instant that its owner holds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Curve {
    /// How far served time is ahead, s.
    offset: f64,
    /// How fast that grows, s/s.
    rate: f64,
    /// How long (s) which wander (s/s per s) lasts.
    pieces: [(f64, f64); 3],
}

/// A point of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// How far served time is ahead of the estimate, s.
    pub offset: f64,
    /// How fast that grows, s/s.
    pub rate: f64,
    /// How fast the rate grows, s/s per s.
    pub wander: f64,
    /// Until the curve is at 0, s.
    pub remaining: f64,
}

impl Curve {
    /// The shortest way to 0 within these limits (s/s; s/s per s; both > 0).
    fn new(offset: f64, rate: f64, max_rate: f64, max_wander: f64) -> Self {
        // where it would come to rest if it braked at once
        let rest = offset + rate * rate.abs() / (2.0 * max_wander);
        if rest.abs() < NOTHING && rate == 0.0 {
            return Self::default();
        }
        // seen in the direction in which to go: the distance, the speed now and the speed at the most
        let way = if rest > 0.0 { -1.0 } else { 1.0 };
        let (distance, speed) = (-offset * way, rate * way);
        let peak = (max_wander * distance + speed * speed / 2.0).max(0.0).sqrt().min(max_rate);
        let first = (peak - speed) / max_wander;
        let (first, wander) = (first.abs(), max_wander * first.signum());
        let gone = (peak + speed) / 2.0 * first + peak * peak / (2.0 * max_wander);
        let steady = if peak > 0.0 { ((distance - gone) / peak).max(0.0) } else { 0.0 };
        let pieces = [(first, wander * way), (steady, 0.0), (peak / max_wander, -max_wander * way)];
        Self { offset, rate, pieces }
    }

    /// Where it is `secs` later.
    pub fn at(&self, secs: f64) -> Point {
        let mut point = Point { offset: self.offset, rate: self.rate, ..Point::default() };
        let mut left = secs.max(0.0);
        let mut pieces = self.pieces.into_iter();
        for (lasts, wander) in pieces.by_ref() {
            let step = left.min(lasts);
            point.offset += step * (point.rate + wander * step / 2.0);
            point.rate += wander * step;
            left -= step;
            if step < lasts {
                point.wander = wander;
                point.remaining = lasts - step + pieces.map(|(lasts, _)| lasts).sum::<f64>();
                return point;
            }
        }
        Point::default()
    }

    /// The same curve from `secs` on.
    #[must_use]
    pub fn after(&self, secs: f64) -> Self {
        let Point { offset, rate, .. } = self.at(secs);
        let mut left = secs.max(0.0);
        let pieces = self.pieces.map(|(lasts, wander)| {
            let gone = left.min(lasts);
            left -= gone;
            (lasts - gone, wander)
        });
        Self { offset, rate, pieces }
    }
}

/// What `smoothtime` makes of the time that is served.
#[derive(Debug, Clone)]
pub struct Smoothing {
    /// s/s.
    max_rate: f64,
    /// s/s per s.
    max_wander: f64,
    leap_only: bool,
    active: bool,
    curve: Curve,
    /// When the curve began.
    since: MonoTime,
}

/// What is told of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// Whether it has begun.
    pub active: bool,
    /// Whether it is for leap seconds only.
    pub leap_only: bool,
    /// Where it is.
    pub point: Point,
    /// Since the last change, s.
    pub last_ago: f64,
}

impl Smoothing {
    /// Not begun yet. Limits that are no limits (0, negative, no number) become the smallest ones.
    pub fn new(options: &options::Smoothing, now: MonoTime) -> Self {
        let limit = |ppm: f64| if ppm.is_finite() { (ppm * 1e-6).clamp(1e-12, 0.1) } else { 1e-12 };
        Self {
            max_rate: limit(options.max_freq),
            max_wander: limit(options.max_wander),
            leap_only: options.leap_only,
            active: false,
            curve: Curve::default(),
            since: now,
        }
    }

    /// Whether it is for leap seconds only.
    pub const fn is_leap_only(&self) -> bool {
        self.leap_only
    }

    /// Whether it has begun.
    pub const fn is_active(&self) -> bool {
        self.active
    }

    /// Begins. Answers whether it had not.
    pub fn activate(&mut self, now: MonoTime) -> bool {
        if !self.active {
            self.since = now;
        }
        !std::mem::replace(&mut self.active, true)
    }

    /// Begins when the frequency is known to this skew (s/s). Answers whether it did.
    pub fn consider(&mut self, now: MonoTime, skew: f64) -> bool {
        !self.active && skew / SKEW_PART < self.max_wander && self.activate(now)
    }

    /// The estimated time was moved by `offset` s (> 0: forward) and runs faster by `rate` s/s: served time goes on as it was.
    pub fn shifted(&mut self, now: MonoTime, offset: f64, rate: f64) {
        if self.active && !self.leap_only {
            self.add(now, -offset, -rate);
        }
    }

    /// The estimated time was moved by a leap second that is slewed.
    pub fn leapt(&mut self, now: MonoTime, by: f64) {
        if self.active {
            self.add(now, -by, 0.0);
        }
    }

    fn add(&mut self, now: MonoTime, offset: f64, rate: f64) {
        let point = self.curve.at((now - self.since).as_secs_f64());
        let (offset, rate) = (point.offset + offset, (point.rate + rate).clamp(-0.1, 0.1));
        if offset.is_finite() && rate.is_finite() {
            self.curve = Curve::new(offset, rate, self.max_rate, self.max_wander);
            self.since = now;
        }
    }

    /// Served time is the estimated time again.
    pub fn reset(&mut self, now: MonoTime) {
        self.curve = Curve::default();
        self.since = now;
    }

    /// The curve from now on.
    pub fn curve(&self, now: MonoTime) -> Curve {
        self.curve.after((now - self.since).as_secs_f64())
    }

    /// How it stands now.
    pub fn facts(&self, now: MonoTime) -> Facts {
        let ago = (now - self.since).as_secs_f64();
        let last_ago = if self.active { ago } else { 0.0 };
        Facts { active: self.active, leap_only: self.leap_only, point: self.curve.at(ago), last_ago }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TimeDelta;

    fn at(secs: f64) -> MonoTime {
        MonoTime::from_nanos(0) + TimeDelta::from_secs_f64(secs).unwrap()
    }

    fn smoothing(leap_only: bool) -> Smoothing {
        let options = options::Smoothing { max_freq: 400.0, max_wander: 10.0, leap_only };
        Smoothing::new(&options, at(0.0))
    }

    /// The figures of chronyd 4.9 in the same course.
    #[test]
    fn the_curve_is_that_of_chronyd() {
        let mut s = smoothing(false);
        assert!(s.activate(at(0.0)) && !s.activate(at(0.0)));
        s.shifted(at(0.0), -0.01, 0.0);
        let facts = s.facts(at(0.032));
        assert!((facts.point.remaining - 63.2).abs() < 0.05, "{facts:?}");
        let facts = s.facts(at(10.1326));
        assert!((facts.point.rate * 1e6 + 101.326).abs() < 0.001, "{facts:?}");
        assert!((facts.point.offset - 0.009_486_647).abs() < 1e-6, "{facts:?}");
        assert!((facts.point.wander * 1e6 + 10.0).abs() < 1e-9 && (facts.last_ago - 10.1326).abs() < 1e-9);
        // another 50 ms while it is under way: three pieces, 170.2 s
        s.shifted(at(19.84264), -0.05, 0.0);
        let facts = s.facts(at(19.84264));
        assert!((facts.point.offset - 0.058_031_3).abs() < 1e-6, "{facts:?}");
        assert!((facts.point.remaining - 170.2).abs() < 0.1, "{facts:?}");
        assert_eq!(s.facts(at(200.0)).point, Point::default());
    }

    #[test]
    fn served_time_never_jumps_and_keeps_its_limits() {
        for (offset, rate) in
            [(0.5, 0.0), (-0.5, 3e-4), (0.0, 3e-4), (1e-5, -4e-4), (-2.0, -9e-4), (3e-3, 9e-4)]
        {
            let curve = Curve::new(offset, rate, 4e-4, 1e-5);
            let (mut before, mut end) = (curve.at(0.0), 0.0);
            assert_eq!((before.offset, before.rate), (offset, rate));
            for step in 1..2_000_000 {
                end = f64::from(step) * 0.01;
                let point = curve.at(end);
                assert!((point.rate - before.rate).abs() <= 1.001e-7, "{point:?} {before:?}");
                assert!((point.offset - before.offset).abs() <= 1.001e-5, "{point:?} {before:?}");
                assert!(point.rate.abs() <= rate.abs().max(4e-4) * 1.0001);
                let on = curve.after(end / 2.0).at(end / 2.0);
                assert!((on.offset - point.offset).abs() < 1e-9);
                before = point;
                if point == Point::default() {
                    break;
                }
            }
            assert!(before == Point::default() && end < 6000.0, "{before:?} {end}");
        }
    }

    #[test]
    fn a_leap_second_takes_the_time_that_the_manual_says() {
        let options = options::Smoothing { max_freq: 400.0, max_wander: 0.001_024, leap_only: true };
        let mut s = Smoothing::new(&options, at(0.0));
        assert!(!s.consider(at(0.0), 20e-6) && s.consider(at(0.0), 10e-6) && !s.consider(at(0.0), 1e-6));
        s.shifted(at(1.0), 0.3, 1e-5);
        assert_eq!(s.facts(at(1.0)).point, Point::default());
        s.leapt(at(1.0), -1.0);
        let point = s.facts(at(1.0)).point;
        assert!((point.remaining - 62_500.0).abs() < 1.0 && (point.offset - 1.0).abs() < 1e-12, "{point:?}");
        let middle = s.facts(at(31_251.0)).point;
        assert!((middle.rate * 1e6 + 32.0).abs() < 0.01 && (middle.offset - 0.5).abs() < 1e-4, "{middle:?}");
        s.reset(at(31_300.0));
        assert_eq!(s.facts(at(31_300.0)).point, Point::default());
    }

    #[test]
    fn absurd_limits_and_changes_stay_finite() {
        let options = options::Smoothing { max_freq: f64::NAN, max_wander: -1.0, leap_only: false };
        let mut s = Smoothing::new(&options, at(0.0));
        s.activate(at(0.0));
        s.shifted(at(1.0), f64::INFINITY, 0.0);
        s.shifted(at(1.0), 1e18, 1e18);
        let point = s.facts(at(2.0)).point;
        assert!(
            point.offset.is_finite() && point.rate.is_finite() && point.remaining.is_finite(),
            "{point:?}"
        );
    }
}
