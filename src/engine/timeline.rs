//! Three readings of one oscillator: the kernel's clock, the free clock, the estimated time.
//!
//! The **kernel clock** is what `clock_gettime` reads. The **free clock** is what it would read had nobody ever stepped or
//! slewed it: kernel = free + correction, and every correction is known, since the engine commanded it. Samples are kept on the
//! free clock, so steering never disturbs an estimate and old samples stay usable (discipline-filter.md §1.1). The **estimated
//! time** is the free clock plus the line that the estimator believes in; a slew moves the kernel clock towards it.
//!
//! Offsets are to be added to be right: > 0 is behind. Rates are s/s; > 0 gains.

use std::collections::VecDeque;
use std::ops::{Add, Sub};

use crate::types::{TimeDelta, Timestamp};

/// Corrections that are remembered, so that time stamps of packets in flight can be placed.
const REMEMBERED: usize = 32;
/// µs in a tick at the nominal rate (USER_HZ 100).
const NOMINAL_TICK: i32 = 10_000;
/// Units of `timex.freq` in one s/s: 2⁻¹⁶ ppm each.
const FREQ_UNITS: f64 = 65_536.0 * 1e6;

/// An instant of the free clock, ns; its zero is the kernel clock's when the time line began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FreeTime(i64);

impl FreeTime {
    /// From ns.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// ns.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }
}

impl Sub for FreeTime {
    type Output = TimeDelta;
    fn sub(self, earlier: Self) -> TimeDelta {
        TimeDelta::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<TimeDelta> for FreeTime {
    type Output = Self;
    fn add(self, delta: TimeDelta) -> Self {
        Self(self.0.saturating_add(delta.as_nanos()))
    }
}

/// ns and a fraction of one, so that decades and picoseconds both fit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Exact {
    nanos: i64,
    /// ns, −0.5 … 0.5.
    part: f64,
}

impl Exact {
    /// From a whole number of ns.
    pub const fn from_delta(delta: TimeDelta) -> Self {
        Self { nanos: delta.as_nanos(), part: 0.0 }
    }

    /// `self + secs`; what is not finite changes nothing.
    #[must_use]
    #[inline(never)] // of whatever follows a line; see `TimeDelta::from_nanos_f64`
    pub fn plus(self, secs: f64) -> Self {
        let nanos = secs * 1e9 + self.part;
        match TimeDelta::from_nanos_f64(nanos) {
            Some(delta) if nanos.is_finite() => Self {
                nanos: self.nanos.saturating_add(delta.as_nanos()),
                part: nanos - delta.as_nanos_f64(),
            },
            _ => self,
        }
    }

    /// To the nearest ns.
    pub const fn to_delta(self) -> TimeDelta {
        TimeDelta::from_nanos(self.nanos)
    }

    /// `self − other` in seconds; exact where both are close.
    pub fn minus(self, other: Self) -> f64 {
        TimeDelta::from_nanos(self.nanos.saturating_sub(other.nanos)).as_secs_f64()
            + (self.part - other.part) * 1e-9
    }
}

/// What the kernel can be set to: `adjtimex` tick and freq (Linux, USER_HZ 100).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelRate {
    /// µs per tick, 9000 … 11000; 10000 is nominal.
    pub tick: i32,
    /// 2⁻¹⁶ ppm, within ±500 ppm; > 0 makes the clock faster.
    pub freq: i32,
}

impl KernelRate {
    /// The oscillator as it is.
    pub const NOMINAL: Self = Self { tick: NOMINAL_TICK, freq: 0 };

    /// The setting nearest to `rate` (s/s, > 0 makes the clock faster), within ±10 %.
    pub fn nearest(rate: f64) -> Self {
        let rate = if rate.is_finite() { rate.clamp(-0.1, 0.1) } else { 0.0 };
        let tick = (rate * 1e4).round();
        let freq = ((rate - tick * 1e-4) * FREQ_UNITS).round();
        Self { tick: NOMINAL_TICK + small(tick), freq: small(freq) }
    }

    /// What is added to the oscillator's rate, s/s.
    pub fn rate(self) -> f64 {
        f64::from(self.tick - NOMINAL_TICK) * 1e-4 + f64::from(self.freq) / FREQ_UNITS
    }
}

/// A float that is known to be small, as an integer.
fn small(value: f64) -> i32 {
    i32::try_from(TimeDelta::from_secs_f64(value * 1e-9).unwrap_or_default().as_nanos()).unwrap_or(0)
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    /// Kernel clock at its start.
    from: Timestamp,
    /// Correction at its start.
    correction: Exact,
    /// The setting of the kernel.
    setting: KernelRate,
}

impl Segment {
    fn at(&self, local: Timestamp) -> Exact {
        let rate = self.setting.rate();
        // per second of the kernel clock itself, hence the divisor
        self.correction.plus((local - self.from).as_secs_f64() * rate / (1.0 + rate))
    }
}

/// What the estimator believes: the offset of the free clock as a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Where the line is anchored.
    pub at: FreeTime,
    /// What the free clock lacks there.
    pub offset: Exact,
    /// How fast that grows, s/s of the free clock: > 0, the free clock loses.
    pub rate: f64,
}

impl Line {
    /// What the free clock lacks at `at`.
    pub fn offset_at(&self, at: FreeTime) -> Exact {
        self.offset.plus((at - self.at).as_secs_f64() * self.rate)
    }
}

/// The corrections of the kernel clock, and the estimate that they follow.
#[derive(Debug, Clone)]
pub struct Timeline {
    segments: VecDeque<Segment>,
    line: Line,
}

impl Timeline {
    /// A time line that begins now, with a kernel clock that runs at `setting`. Until an estimate comes the kernel clock counts
    /// as right and its setting as the one that it needs.
    pub fn new(now: Timestamp, setting: KernelRate) -> Self {
        let at = FreeTime(now.as_nanos());
        Self {
            segments: VecDeque::from([Segment { from: now, correction: Exact::default(), setting }]),
            line: Line { at, offset: Exact::default(), rate: setting.rate() },
        }
    }

    /// What was added to the free clock by the time the kernel clock read `local`.
    pub fn correction(&self, local: Timestamp) -> Exact {
        let found = self.segments.iter().rev().find(|segment| segment.from <= local);
        found.or(self.segments.front()).map_or(Exact::default(), |segment| segment.at(local))
    }

    /// The free clock when the kernel clock reads `local`. A stamp is converted when it is taken, not later: a step may come between.
    pub fn free(&self, local: Timestamp) -> FreeTime {
        FreeTime(local.as_nanos().saturating_sub(self.correction(local).nanos))
    }

    /// What the kernel clock at `local` still lacks, s: > 0 is behind.
    pub fn remaining(&self, local: Timestamp) -> f64 {
        self.line.offset_at(self.free(local)).minus(self.correction(local))
    }

    /// The estimated time when the kernel clock reads `local`.
    pub fn estimated(&self, local: Timestamp) -> Timestamp {
        local + TimeDelta::from_secs_f64(self.remaining(local)).unwrap_or_default()
    }

    /// The estimate that is followed.
    pub const fn line(&self) -> Line {
        self.line
    }

    /// Replaces the estimate that is followed.
    pub const fn set_line(&mut self, line: Line) {
        self.line = line;
    }

    /// The setting of the kernel.
    pub fn setting(&self) -> KernelRate {
        self.segments.back().map_or(KernelRate::NOMINAL, |segment| segment.setting)
    }

    /// The kernel got this setting when its clock read `local`.
    pub fn rate_set(&mut self, local: Timestamp, setting: KernelRate) {
        let correction = self.correction(local);
        self.push(Segment { from: local, correction, setting });
    }

    /// The last setting did not reach the kernel before its clock read `local`. Answers how much later than was believed; what is
    /// not later, or by more than a second, changes nothing.
    pub fn rate_taken(&mut self, local: Timestamp) -> TimeDelta {
        let Some(last) = self.segments.pop_back() else { return TimeDelta::ZERO };
        let late = local - last.from;
        if self.segments.is_empty() || !(TimeDelta::ZERO..=TimeDelta::from_secs(1)).contains(&late) {
            self.segments.push_back(last);
            return TimeDelta::ZERO;
        }
        self.rate_set(local, last.setting);
        late
    }

    /// The kernel clock was stepped by `delta` when it read `local` (before the step): by us, or by somebody whose step was
    /// measured against the monotonic clock.
    pub fn stepped(&mut self, local: Timestamp, delta: TimeDelta) {
        let before = self.correction(local);
        let correction = Exact { nanos: before.nanos.saturating_add(delta.as_nanos()), part: before.part };
        let setting = self.setting();
        // after a step backwards a reading stands for two instants; the later one is meant from now on
        let from = local + delta;
        self.segments.retain(|segment| segment.from < from);
        self.push(Segment { from, correction, setting });
    }

    fn push(&mut self, segment: Segment) {
        if self.segments.len() == REMEMBERED {
            self.segments.pop_front();
        }
        self.segments.push_back(segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: f64) -> Timestamp {
        Timestamp::from_unix(1_795_000_000, 0) + TimeDelta::from_secs_f64(secs).unwrap()
    }

    #[test]
    fn a_rate_that_was_late_counts_from_when_it_came() {
        let mut timeline = Timeline::new(at(0.0), KernelRate::NOMINAL);
        timeline.rate_set(at(100.0), KernelRate::nearest(0.08));
        assert_eq!(timeline.rate_taken(at(100.01)), TimeDelta::from_millis(10));
        assert_eq!(timeline.correction(at(100.01)), Exact::default());
        // 1.08 s by the kernel clock are one of the free clock
        let moved = timeline.correction(at(101.09)).minus(Exact::default());
        assert!((moved - 0.08).abs() < 1e-9, "{moved}");
        // never earlier, and never by as much as a stepped clock would say
        for odd in [50.0, 101.5] {
            assert_eq!(timeline.rate_taken(at(odd)), TimeDelta::ZERO);
        }
        let same = timeline.correction(at(101.09)).minus(Exact::default());
        assert!((moved - same).abs() < 1e-12);
        assert_eq!(Timeline::new(at(0.0), KernelRate::NOMINAL).rate_taken(at(0.5)), TimeDelta::ZERO);
    }

    #[test]
    fn the_free_clock_does_not_see_steps_and_slews() {
        let mut timeline = Timeline::new(at(0.0), KernelRate::NOMINAL);
        timeline.rate_set(at(100.0), KernelRate::nearest(-0.05));
        // 95 s of the kernel clock are 100 s of the free one
        assert_eq!(timeline.free(at(195.0)) - timeline.free(at(100.0)), TimeDelta::from_secs(100));
        timeline.stepped(at(195.0), TimeDelta::from_secs(-3600));
        assert_eq!(timeline.free(at(195.0 - 3600.0)) - timeline.free(at(-3405.0)), TimeDelta::ZERO);
        assert_eq!(timeline.free(at(-3405.0)).as_nanos(), at(200.0).as_nanos());
        assert_eq!(timeline.setting(), KernelRate::nearest(-0.05));
    }

    #[test]
    fn the_estimate_is_reached_by_a_slew() {
        let mut timeline = Timeline::new(at(0.0), KernelRate::NOMINAL);
        let line = Line { at: timeline.free(at(0.0)), offset: Exact::default().plus(0.25), rate: 0.0 };
        timeline.set_line(line);
        assert!((timeline.remaining(at(0.0)) - 0.25).abs() < 1e-12);
        timeline.rate_set(at(0.0), KernelRate::nearest(0.05));
        // 5 s of the free clock later the kernel clock has gained all of it
        assert!(timeline.remaining(at(5.25)).abs() < 1e-9);
        assert_eq!(timeline.estimated(at(0.0)), at(0.25));
    }

    #[test]
    fn settings_are_quantised_as_the_kernel_does() {
        let setting = KernelRate::nearest(40e-6);
        assert_eq!(setting, KernelRate { tick: 10_000, freq: 2_621_440 });
        assert!((setting.rate() - 40e-6).abs() < 1e-15);
        assert_eq!(KernelRate::nearest(1.0).tick, 11_000);
        assert_eq!(KernelRate::nearest(f64::NAN), KernelRate::NOMINAL);
        assert!((KernelRate::nearest(0.083_333).rate() - 0.083_333).abs() < 1e-10);
    }

    #[test]
    fn years_of_picoseconds_add_up() {
        let mut sum = Exact::default().plus(1e9);
        for _ in 0..1000 {
            sum = sum.plus(1e-12);
        }
        assert!((sum.minus(Exact::from_delta(TimeDelta::from_secs(1_000_000_000))) - 1e-9).abs() < 1e-14);
    }
}
