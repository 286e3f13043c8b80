//! The half-second rule: an RTC must be written at a certain point of the second so that it ticks together with the clock.
//!
//! A CMOS RTC starts its next second half a second after it was set, other RTCs at once. The point is waited for by looking at the clock
//! again and again; each miss widens what is tolerated, so that a busy machine gets through (util-linux 2.41, observed).

use super::{RtcInstant, to_i64};
use crate::types::TimeDelta;

/// A point that far in the future is slept for; what is left of it is waited for by looking at the clock.
const SPIN: TimeDelta = TimeDelta::from_millis(2);

/// Longer waits are cut, so that a clock that is set meanwhile is noticed.
const LONGEST_SLEEP: TimeDelta = TimeDelta::from_secs(1);

/// Seconds between setting an RTC and its next tick, by the content of `/sys/class/rtc/rtcN/name`.
///
/// `rtc_cmos` waits half a second, other drivers do not; `None` (nobody knows the driver) counts as `rtc_cmos`.
pub fn default_delay(driver: Option<&str>) -> f64 {
    match driver {
        None | Some("rtc_cmos") => 0.5,
        Some(_) => 0.0,
    }
}

/// What is to be written, and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WriteOrder {
    /// The time that the RTC shall show, s since 1970, at the instant `reference`.
    pub value: i64,
    /// The instant of the system clock that `value` belongs to.
    pub reference: RtcInstant,
    /// How long after a write the RTC ticks, s.
    pub delay: f64,
}

/// The wait for the right point.
#[derive(Debug, Clone)]
pub struct WritePoint {
    order: WriteOrder,
    target: RtcInstant,
    previous: RtcInstant,
    tolerance: f64,
    increment: f64,
}

/// What to do after a look at the clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WriteStep {
    /// The point is ahead: sleep so long (0: do not sleep), then look again.
    Wait(TimeDelta),
    /// The point was missed: look again, for a later one.
    Missed {
        /// The clock.
        now: RtcInstant,
        /// The point that was missed.
        target: RtcInstant,
        /// By how many seconds.
        late: f64,
        /// How many would have been tolerated.
        tolerance: f64,
    },
    /// The clock was set back: look again, for a new point.
    JumpedBack {
        /// The clock.
        now: RtcInstant,
        /// By how many seconds; > 0.
        by: f64,
    },
    /// Now: set the RTC to `value`.
    Write {
        /// The clock.
        now: RtcInstant,
        /// The point that was waited for.
        target: RtcInstant,
        /// By how many seconds it is past.
        late: f64,
        /// How many were tolerated.
        tolerance: f64,
        /// What the RTC is to be set to, s since 1970.
        value: i64,
    },
}

impl WritePoint {
    /// Starts the wait; `delay` may be any number, one that is no time at all counts as 0.
    pub fn new(order: WriteOrder) -> Self {
        let order = WriteOrder { delay: if order.delay.is_finite() { order.delay } else { 0.0 }, ..order };
        Self {
            order,
            target: order.reference.moved_by(order.delay),
            previous: RtcInstant::from_secs(i64::MIN),
            tolerance: 0.001,
            increment: 0.001,
        }
    }

    /// Judges a look at the clock.
    pub fn step(&mut self, now: RtcInstant) -> WriteStep {
        let target = self.target;
        if now < self.previous {
            let by = self.previous.seconds_since(now);
            self.previous = now;
            self.retarget(now);
            return WriteStep::JumpedBack { now, by };
        }
        self.previous = now;
        if now < target {
            let ahead = target.to_timestamp() - now.to_timestamp();
            return WriteStep::Wait((ahead - SPIN).clamp(TimeDelta::ZERO, LONGEST_SLEEP));
        }
        let (late, tolerance) = (now.seconds_since(target), self.tolerance);
        if late <= tolerance {
            let passed = (now.seconds_since(self.order.reference) - self.order.delay).round();
            let value = self.order.value.saturating_add(to_i64(passed));
            return WriteStep::Write { now, target, late, tolerance, value };
        }
        self.tolerance += self.increment;
        self.increment *= 2.0;
        self.retarget(now);
        WriteStep::Missed { now, target, late, tolerance }
    }

    /// The same point of the second, next time that it comes.
    fn retarget(&mut self, now: RtcInstant) {
        let secs = if now.micros < self.target.micros { now.secs } else { now.secs.saturating_add(1) };
        self.target.secs = secs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64, micros: u32) -> RtcInstant {
        RtcInstant { secs, micros }
    }

    fn order(delay: f64) -> WriteOrder {
        WriteOrder { value: 1000, reference: at(100, 0), delay }
    }

    #[test]
    fn the_first_point_is_half_a_second_after_the_reference() {
        let mut point = WritePoint::new(order(0.5));
        assert_eq!(point.step(at(100, 100_000)), WriteStep::Wait(TimeDelta::from_millis(398)));
        assert_eq!(point.step(at(100, 499_000)), WriteStep::Wait(TimeDelta::ZERO));
        let WriteStep::Write { value, .. } = point.step(at(100, 500_900)) else { panic!("not written") };
        assert_eq!(value, 1000);
    }

    /// Transcript D of the specification: 3.381 ms, then 2.031 ms late.
    #[test]
    fn each_miss_widens_the_tolerance() {
        let mut point = WritePoint::new(order(0.5));
        let missed = |step| match step {
            WriteStep::Missed { late, tolerance, target, .. } => {
                format!("{late:.6} {tolerance:.6} {}", target.secs)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(missed(point.step(at(100, 503_381))), "0.003381 0.001000 100");
        assert_eq!(missed(point.step(at(101, 502_031))), "0.002031 0.002000 101");
        let WriteStep::Write { value, tolerance, .. } = point.step(at(102, 500_000)) else {
            panic!("not written")
        };
        assert_eq!((value, format!("{tolerance:.3}")), (1002, "0.004".to_owned()));
    }

    #[test]
    fn without_delay_the_start_of_the_second_is_missed_and_the_next_taken() {
        let mut point = WritePoint::new(order(0.0));
        assert!(matches!(point.step(at(100, 400_000)), WriteStep::Missed { .. }));
        assert!(matches!(point.step(at(100, 990_000)), WriteStep::Wait(_)));
        let WriteStep::Write { value, .. } = point.step(at(101, 10)) else { panic!("not written") };
        assert_eq!(value, 1001);
    }

    #[test]
    fn a_point_in_this_second_is_taken_if_it_is_still_ahead() {
        let mut point = WritePoint::new(WriteOrder { value: 5, reference: at(100, 250_000), delay: 1.0 });
        assert!(matches!(point.step(at(107, 100_000)), WriteStep::Missed { .. }));
        let WriteStep::Write { value, target, .. } = point.step(at(107, 250_000)) else {
            panic!("not written")
        };
        assert_eq!((value, target), (11, at(107, 250_000)));
    }

    #[test]
    fn a_clock_that_jumps_back_is_followed() {
        let mut point = WritePoint::new(order(0.5));
        assert!(matches!(point.step(at(100, 400_000)), WriteStep::Wait(_)));
        let step = point.step(at(40, 600_000));
        assert!(matches!(step, WriteStep::JumpedBack { by, .. } if (by - 59.8).abs() < 1e-9));
        let WriteStep::Write { value, .. } = point.step(at(41, 500_000)) else { panic!("not written") };
        assert_eq!(value, 941);
    }

    #[test]
    fn nonsense_delays_do_not_hang() {
        for delay in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut point = WritePoint::new(order(delay));
            assert!(matches!(point.step(at(100, 0)), WriteStep::Write { value: 1000, .. }));
        }
    }

    #[test]
    fn the_driver_decides_the_delay() {
        let delays =
            [default_delay(None), default_delay(Some("rtc_cmos")), default_delay(Some("rtc-ds1307"))];
        assert_eq!(format!("{delays:?}"), "[0.5, 0.5, 0.0]");
    }
}
