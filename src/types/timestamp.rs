//! Instants and durations of this host: integers for what is read or written, `f64` for what is estimated.

use std::fmt;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

const NANOS_PER_SEC: i64 = 1_000_000_000;

/// An instant as the adjustable clock reads it: ns since 1970-01-01 UTC, ±292 years, saturating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01 00:00:00 UTC.
    pub const UNIX_EPOCH: Self = Self(0);

    /// From ns since 1970.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From whole seconds since 1970 and ns within that second (as `timespec` holds them); saturates at ±292 years.
    pub const fn from_unix(secs: i64, nanos: u32) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SEC).saturating_add(nanos as i64))
    }

    /// ns since 1970.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down (also before 1970).
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SEC)
    }

    /// ns within the second: 0 … 999 999 999.
    pub const fn subsec_nanos(self) -> u32 {
        self.0.rem_euclid(NANOS_PER_SEC) as u32
    }
}

impl Sub for Timestamp {
    type Output = TimeDelta;
    fn sub(self, earlier: Self) -> TimeDelta {
        TimeDelta(self.0.saturating_sub(earlier.0))
    }
}

impl Add<TimeDelta> for Timestamp {
    type Output = Self;
    fn add(self, delta: TimeDelta) -> Self {
        Self(self.0.saturating_add(delta.0))
    }
}

impl Sub<TimeDelta> for Timestamp {
    type Output = Self;
    fn sub(self, delta: TimeDelta) -> Self {
        Self(self.0.saturating_sub(delta.0))
    }
}

/// An instant of a clock that never steps: ns from an arbitrary zero. Constructible in tests, unlike `std::time::Instant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoTime(i64);

impl MonoTime {
    /// The arbitrary zero.
    pub const ZERO: Self = Self(0);

    /// From ns after the arbitrary zero.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// ns after the arbitrary zero.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }
}

impl Sub for MonoTime {
    type Output = TimeDelta;
    fn sub(self, earlier: Self) -> TimeDelta {
        TimeDelta(self.0.saturating_sub(earlier.0))
    }
}

impl Add<TimeDelta> for MonoTime {
    type Output = Self;
    fn add(self, delta: TimeDelta) -> Self {
        Self(self.0.saturating_add(delta.0))
    }
}

/// A signed duration in ns, ±292 years, saturating in all its arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeDelta(i64);

impl TimeDelta {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest duration that can be held, about 292 years.
    pub const MAX: Self = Self(i64::MAX);

    /// From ns.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From µs, saturating.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// From ms, saturating.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From whole seconds, saturating.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// From seconds, to the nearest ns, saturating; `None` for NaN.
    pub fn from_secs_f64(secs: f64) -> Option<Self> {
        Self::from_nanos_f64(secs * 1e9)
    }

    /// From ns, to the nearest, saturating; `None` for NaN.
    #[inline(never)] // a sleeping daemon's next sample waits for its code: dozens of copies would be 4 kB of it
    pub fn from_nanos_f64(nanos: f64) -> Option<Self> {
        // From 2⁵² on there are no fractions. Below, this is `round` without a call (SSE2 has no such instruction); it takes the double
        // just below a half for a half. A float-to-integer cast saturates.
        let nearest =
            if nanos.abs() < 4_503_599_627_370_496.0 { nanos + 0.5_f64.copysign(nanos) } else { nanos };
        (!nanos.is_nan()).then_some(Self(nearest as i64))
    }

    /// ns.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Seconds; loses ns beyond ±104 days.
    pub fn as_secs_f64(self) -> f64 {
        self.as_nanos_f64() / 1e9
    }

    /// ns; exact up to ±104 days.
    pub const fn as_nanos_f64(self) -> f64 {
        self.0 as f64
    }

    /// The magnitude.
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// Whether it is below zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// (a + b) / 2 without overflow, rounded toward minus infinity.
    pub const fn midpoint(a: Self, b: Self) -> Self {
        let sum = a.0 as i128 + b.0 as i128;
        Self((sum >> 1) as i64)
    }
}

impl Add for TimeDelta {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for TimeDelta {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for TimeDelta {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl SubAssign for TimeDelta {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Neg for TimeDelta {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl Mul<i64> for TimeDelta {
    type Output = Self;
    fn mul(self, factor: i64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl Div<i64> for TimeDelta {
    type Output = Self;
    /// Division toward zero; by zero gives the saturated magnitude with the dividend's sign.
    fn div(self, divisor: i64) -> Self {
        match self.0.checked_div(divisor) {
            Some(quotient) => Self(quotient),
            None if self.0 < 0 && divisor == 0 => Self(i64::MIN),
            None => Self(i64::MAX),
        }
    }
}

/// A finite number of seconds: what was estimated (offset, dispersion, jitter, root distance) and every reported duration.
#[derive(Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Secs(f64);

impl Secs {
    /// 0 s.
    pub const ZERO: Self = Self(0.0);

    /// From seconds; `None` for NaN and infinities.
    pub fn new(secs: f64) -> Option<Self> {
        secs.is_finite().then_some(Self(secs))
    }

    /// From seconds that are known when the program is compiled; a value that is not finite becomes 0.
    pub const fn literal(secs: f64) -> Self {
        if secs.is_finite() { Self(secs) } else { Self(0.0) }
    }

    /// Seconds.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// To the nearest ns, saturating.
    pub fn to_delta(self) -> TimeDelta {
        TimeDelta::from_secs_f64(self.0).unwrap_or(TimeDelta::ZERO)
    }
}

impl From<TimeDelta> for Secs {
    fn from(delta: TimeDelta) -> Self {
        Self(delta.as_secs_f64())
    }
}

impl fmt::Debug for Secs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_down_before_1970() {
        let t = Timestamp::from_nanos(-1);
        assert_eq!((t.secs(), t.subsec_nanos()), (-1, 999_999_999));
        assert_eq!(Timestamp::from_unix(-1, 999_999_999), t);
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let far = Timestamp::from_nanos(i64::MAX);
        assert_eq!(far + TimeDelta::from_secs(1), far);
        assert_eq!(far - Timestamp::from_nanos(i64::MIN), TimeDelta::MAX);
        assert_eq!(-TimeDelta::from_nanos(i64::MIN), TimeDelta::MAX);
        assert_eq!(TimeDelta::from_nanos(5) / 0, TimeDelta::MAX);
    }

    #[test]
    fn midpoint_of_extremes_does_not_overflow() {
        assert_eq!(TimeDelta::midpoint(TimeDelta::MAX, TimeDelta::MAX), TimeDelta::MAX);
        assert_eq!(TimeDelta::midpoint(TimeDelta(1), TimeDelta(2)), TimeDelta(1));
        assert_eq!(TimeDelta::midpoint(TimeDelta(-1), TimeDelta(-2)), TimeDelta(-2));
    }

    #[test]
    fn floats_become_the_nearest_nanosecond() {
        let big = 2f64.powi(52);
        for x in [
            0.0,
            0.4,
            0.5,
            0.6,
            1.5,
            2.5,
            1e9 + 0.5,
            big / 2.0 + 0.5,
            big - 0.5,
            big,
            big + 1.0,
            3.0 * big,
            1e18,
        ] {
            for x in [x, -x] {
                assert_eq!(
                    TimeDelta::from_nanos_f64(x),
                    Some(TimeDelta::from_nanos(x.round() as i64)),
                    "{x}"
                );
            }
        }
        assert_eq!(TimeDelta::from_nanos_f64(f64::INFINITY), Some(TimeDelta::from_nanos(i64::MAX)));
        assert_eq!(TimeDelta::from_nanos_f64(-1e30), Some(TimeDelta::from_nanos(i64::MIN)));
        assert_eq!(TimeDelta::from_nanos_f64(f64::NAN), None);
    }

    #[test]
    fn floats_that_are_not_numbers_are_refused() {
        assert_eq!(Secs::new(f64::NAN), None);
        assert_eq!(Secs::new(f64::INFINITY), None);
        assert_eq!(TimeDelta::from_secs_f64(f64::NAN), None);
        assert_eq!(TimeDelta::from_secs_f64(f64::INFINITY), Some(TimeDelta::MAX));
    }
}
