//! The hardware clock's arithmetic: what its registers mean, how it drifts, and when in the second it must be written.
//!
//! Pure functions on values: the device, the files and the clocks are in `sys::rtc` and the driver. Behaviour matched: `hwclock`
//! of util-linux 2.41, whose numbers (truncations included) are visible in `/etc/adjtime` and in its verbose text.

mod adjtime;
mod calendar;
mod drift;
mod track;
mod write_point;

pub use adjtime::{Adjtime, AdjtimeWarning, Scale, parse_double};
pub use calendar::local_to_unix;
pub use drift::{AdjustDecision, Calibration, Drift, Learn, MAX_DRIFT_FACTOR};
pub use track::{Coefficients, Track, TrackRecord, Unreadable};
pub use write_point::{WriteOrder, WritePoint, WriteStep, default_delay};

pub use crate::types::rtc::RtcFields;

use crate::types::Timestamp;

/// An instant in whole seconds since 1970 and µs, far beyond the range of [`Timestamp`]: RTCs know the years 1970 … 9999 and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RtcInstant {
    /// Seconds since 1970-01-01 UTC, rounded down.
    pub secs: i64,
    /// µs within the second, 0 … 999 999.
    pub micros: u32,
}

impl RtcInstant {
    /// The start of a second.
    pub const fn from_secs(secs: i64) -> Self {
        Self { secs, micros: 0 }
    }

    /// From seconds and any number of µs; saturates.
    pub fn new(secs: i64, micros: i64) -> Self {
        let whole = micros.div_euclid(1_000_000);
        // rem_euclid by a million fits
        let micros = u32::try_from(micros.rem_euclid(1_000_000)).unwrap_or(0);
        Self { secs: secs.saturating_add(whole), micros }
    }

    /// An instant of this host's clock, cut to µs.
    pub fn from_timestamp(t: Timestamp) -> Self {
        Self { secs: t.secs(), micros: t.subsec_nanos() / 1000 }
    }

    /// The instant as this host's clock holds it; saturates at the years 1677 and 2262.
    pub fn to_timestamp(self) -> Timestamp {
        Timestamp::from_unix(self.secs, self.micros.saturating_mul(1000))
    }

    /// Seconds from `earlier` to this, as the original computes them: a double.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        let secs = self.secs.saturating_sub(earlier.secs);
        let micros = i64::from(self.micros) - i64::from(earlier.micros);
        secs as f64 + micros as f64 / 1e6
    }

    /// This instant moved by a double, by the original's rule: whole seconds first, then µs cut toward zero.
    #[must_use]
    pub fn moved_by(self, seconds: f64) -> Self {
        if seconds.is_nan() {
            return self;
        }
        let whole = seconds.trunc();
        let micros = to_i64(f64::from(self.micros) + (seconds - whole) * 1e6);
        Self::new(self.secs.saturating_add(to_i64(whole)), micros)
    }
}

/// A double cut toward zero; saturates, NaN counts as 0.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the named conversion: a float-to-integer cast saturates"
)]
fn to_i64(value: f64) -> i64 {
    value as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_cuts_microseconds_toward_zero() {
        let t = RtcInstant { secs: 10, micros: 500_000 };
        assert_eq!(t.moved_by(-0.6), RtcInstant { secs: 9, micros: 900_000 });
        assert_eq!(t.moved_by(0.499_999_9), RtcInstant { secs: 10, micros: 999_999 });
        assert_eq!(t.moved_by(2.5), RtcInstant { secs: 13, micros: 0 });
        assert_eq!(t.moved_by(f64::NAN), t);
        assert_eq!(RtcInstant::from_secs(i64::MAX).moved_by(1e300).secs, i64::MAX);
    }

    #[test]
    fn differences_are_signed_seconds() {
        let t = RtcInstant { secs: 10, micros: 250_000 };
        assert!((RtcInstant::from_secs(11).seconds_since(t) - 0.75).abs() < 1e-12);
        assert!((t.seconds_since(RtcInstant::from_secs(11)) + 0.75).abs() < 1e-12);
    }
}
