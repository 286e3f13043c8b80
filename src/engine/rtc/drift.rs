//! How far an RTC has drifted, whether that is worth an adjustment, and what a setting teaches about the drift.

use super::{Adjtime, RtcInstant, to_i64};

/// A drift factor beyond this (s/day) is taken for nonsense.
pub const MAX_DRIFT_FACTOR: f64 = 2145.0;

/// Time between calibrations that is needed to learn from them, s.
const CALIBRATION_SPAN: i64 = 4 * 3600;

const DAY: f64 = 86400.0;

/// Drift since the last adjustment, split as the original splits it: whole seconds rounded down, and µs ≥ 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drift {
    /// Seconds since the last adjustment.
    pub since: i64,
    /// Whole seconds to add to the RTC's reading, rounded down.
    pub secs: i64,
    /// µs on top, 0 … 999 999, cut.
    pub micros: u32,
}

impl Drift {
    /// The drift that an RTC has gathered when it (or a clock that it is compared with) reads `at` (s since 1970).
    pub fn at(adjtime: &Adjtime, at: i64) -> Self {
        let since = at.saturating_sub(adjtime.last_adjustment);
        let exact = since as f64 * adjtime.drift_factor / DAY + adjtime.not_adjusted;
        let whole = exact.floor();
        let micros = to_i64((exact - whole) * 1e6).clamp(0, 999_999);
        Self { since, secs: to_i64(whole), micros: u32::try_from(micros).unwrap_or(0) }
    }

    /// A reading of the RTC, corrected.
    pub fn add_to(&self, rtc: RtcInstant) -> RtcInstant {
        RtcInstant::new(rtc.secs.saturating_add(self.secs), i64::from(rtc.micros) + i64::from(self.micros))
    }

    /// What the RTC will read at `target`: the opposite of [`Self::add_to`].
    pub fn subtract_from(&self, target: RtcInstant) -> RtcInstant {
        RtcInstant::new(
            target.secs.saturating_sub(self.secs),
            i64::from(target.micros) - i64::from(self.micros),
        )
    }

    /// Seconds to add, as a double.
    pub fn seconds(&self) -> f64 {
        self.secs as f64 + f64::from(self.micros) / 1e6
    }
}

/// What `--adjust` does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AdjustDecision {
    /// The drift is between −1 s (inclusive) and 1 s.
    TooSmall,
    /// Nothing is known about the past.
    NoHistory,
    /// The factor (s/day) is beyond [`MAX_DRIFT_FACTOR`].
    FactorTooHigh(f64),
    /// The RTC is to be set right.
    Adjust,
}

impl AdjustDecision {
    /// Decides from the file and the drift that it gives.
    pub fn from(adjtime: &Adjtime, drift: &Drift) -> Self {
        if (-1..=0).contains(&drift.secs) {
            Self::TooSmall
        } else if adjtime.last_adjustment == 0 {
            Self::NoHistory
        } else if adjtime.drift_factor.abs() > MAX_DRIFT_FACTOR {
            Self::FactorTooHigh(adjtime.drift_factor)
        } else {
            Self::Adjust
        }
    }
}

/// What a setting of the RTC taught about its drift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Calibration {
    /// Learning was not asked for (`--update-drift`).
    NotAsked,
    /// There is no earlier calibration to compare with.
    NoHistory,
    /// The last calibration is less than four hours ago, or in the future.
    TooSoon,
    /// The factor (s/day) came out beyond [`MAX_DRIFT_FACTOR`]: it was reset to 0.
    Unbelievable(f64),
    /// The factor was adjusted.
    Learned {
        /// How far the RTC was off, s; > 0: it was behind.
        drifted: f64,
        /// Time since the last calibration, s.
        elapsed: f64,
        /// The factor that was in force, s/day.
        factor: f64,
        /// The change of the factor, s/day.
        change: f64,
    },
}

/// Whether a setting of the RTC shall teach its drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learn {
    /// No: the factor stays.
    No,
    /// Yes: the drift-corrected reading of the RTC at the instant that it was compared.
    From(RtcInstant),
}

impl Adjtime {
    /// Notes that the RTC was set right at `now` (the true time), and learns its drift if wanted.
    pub fn calibrate(&mut self, now: RtcInstant, learn: Learn) -> Calibration {
        let calibration = self.learn(now, learn);
        match calibration {
            Calibration::Unbelievable(_) => self.drift_factor = 0.0,
            Calibration::Learned { change, .. } => self.drift_factor += change,
            _ => {}
        }
        self.last_calibration = now.secs;
        self.last_adjustment = now.secs;
        self.not_adjusted = 0.0;
        calibration
    }

    /// Notes that the RTC was set forward by its known drift at `secs`; what it taught stays.
    pub fn adjusted(&mut self, secs: i64) {
        self.last_adjustment = secs;
        self.not_adjusted = 0.0;
    }

    fn learn(&self, now: RtcInstant, learn: Learn) -> Calibration {
        let Learn::From(rtc) = learn else { return Calibration::NotAsked };
        if self.last_calibration == 0 {
            return Calibration::NoHistory;
        }
        if rtc.secs.saturating_sub(self.last_calibration) < CALIBRATION_SPAN {
            return Calibration::TooSoon;
        }
        let drifted = now.seconds_since(rtc);
        let elapsed = now.seconds_since(RtcInstant::from_secs(self.last_calibration));
        let change = drifted / (elapsed / DAY);
        let factor = self.drift_factor + change;
        // NaN is unbelievable too
        if factor.abs() <= MAX_DRIFT_FACTOR {
            Calibration::Learned { drifted, elapsed, factor: self.drift_factor, change }
        } else {
            Calibration::Unbelievable(factor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adjtime(factor: f64, adjusted: i64, rest: f64, calibrated: i64) -> Adjtime {
        Adjtime {
            drift_factor: factor,
            last_adjustment: adjusted,
            not_adjusted: rest,
            last_calibration: calibrated,
            scale: None,
        }
    }

    fn drift(factor: f64, since: i64, rest: f64) -> (i64, u32) {
        let drift = Drift::at(&adjtime(factor, 0, rest, 0), since);
        (drift.secs, drift.micros)
    }

    #[test]
    fn drift_is_rounded_down_and_cut() {
        assert_eq!(drift(2.0, 86401, 0.0), (2, 23));
        assert_eq!(drift(2.4, 86400, 0.0), (2, 399_999), "2.4 is a little less as a double");
        assert_eq!(drift(-0.5, 86404, 0.0), (-1, 499_976), "printed as -1.499976 by the original");
        assert_eq!(drift(1.5, 86400, 0.25), (1, 750_000));
        assert_eq!(drift(f64::NAN, 86400, 0.0), (0, 0));
        assert_eq!(drift(f64::INFINITY, 86400, 0.0).0, i64::MAX);
    }

    #[test]
    fn a_reading_is_corrected_and_predicted() {
        let d = Drift::at(&adjtime(1.5, 0, 0.25, 0), 86400);
        let t = RtcInstant { secs: 100, micros: 500_000 };
        assert_eq!(d.add_to(t), RtcInstant { secs: 102, micros: 250_000 });
        assert_eq!(d.subtract_from(t), RtcInstant { secs: 98, micros: 750_000 });
        let extreme = Drift { since: 0, secs: i64::MAX, micros: 999_999 };
        assert_eq!(extreme.add_to(RtcInstant::from_secs(i64::MAX)).secs, i64::MAX);
    }

    #[test]
    fn an_adjustment_needs_a_whole_second() {
        let decide = |factor: f64, adjusted: i64, rest: f64| {
            let a = adjtime(factor, adjusted, rest, 0);
            AdjustDecision::from(&a, &Drift::at(&a, 1_000_000_000))
        };
        let known = 1_000_000_000 - 86400;
        assert_eq!(decide(0.999_999, known, 0.0), AdjustDecision::TooSmall);
        assert_eq!(decide(1.0, known, 0.0), AdjustDecision::Adjust);
        assert_eq!(decide(-1.0, known, 0.0), AdjustDecision::TooSmall);
        assert_eq!(decide(-1.01, known, 0.0), AdjustDecision::Adjust);
        assert_eq!(decide(1.0, 0, 0.0), AdjustDecision::NoHistory);
        assert_eq!(decide(3000.0, known, 0.0), AdjustDecision::FactorTooHigh(3000.0));
    }

    /// Transcript D of the specification.
    #[test]
    fn a_setting_teaches_the_drift() {
        let mut a = adjtime(2.0, 1_795_071_600, 0.25, 1_794_985_200);
        let rtc = Drift::at(&a, 1_795_244_396).add_to(RtcInstant::from_secs(1_795_244_396));
        assert_eq!(rtc, RtcInstant { secs: 1_795_244_400, micros: 249_907 });
        let now = RtcInstant { secs: 1_795_244_400, micros: 293_447 };
        let Calibration::Learned { drifted, elapsed, factor, change } = a.calibrate(now, Learn::From(rtc))
        else {
            panic!("not learned")
        };
        let text = format!("{drifted:.6} {elapsed:.6} {factor:.6} {change:.6}");
        assert_eq!(text, "0.043540 259200.293447 2.000000 0.014513");
        assert_eq!(a.emit(super::super::Scale::Utc), "2.014513 1795244400 0.000000\n1795244400\nUTC\n");
    }

    #[test]
    fn what_cannot_be_learned_leaves_the_factor_or_clears_it() {
        let now = RtcInstant::from_secs(1_000_000_000);
        let learn = |calibrated: i64, rtc_behind: i64, learn: bool| {
            let mut a = adjtime(1.0, 0, 0.5, calibrated);
            let rtc = RtcInstant::from_secs(now.secs - rtc_behind);
            let what = a.calibrate(now, if learn { Learn::From(rtc) } else { Learn::No });
            assert_eq!((a.last_calibration, a.last_adjustment), (now.secs, now.secs));
            (what, a.drift_factor, a.not_adjusted)
        };
        assert_eq!(learn(5, 0, false), (Calibration::NotAsked, 1.0, 0.0));
        assert_eq!(learn(0, 0, true), (Calibration::NoHistory, 1.0, 0.0));
        assert_eq!(learn(now.secs - 14399, 0, true), (Calibration::TooSoon, 1.0, 0.0));
        assert_eq!(learn(now.secs + 1, 0, true), (Calibration::TooSoon, 1.0, 0.0));
        assert_eq!(learn(now.secs - 86400, 2145, true), (Calibration::Unbelievable(2146.0), 0.0, 0.0));
        assert!(
            matches!(learn(now.secs - 86400, 2144, true), (Calibration::Learned { .. }, f, _) if f > 2144.9)
        );
    }
}
