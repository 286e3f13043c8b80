//! The time formats of the NTP packet (RFC 5905 §6) and the era rule.

use super::{Secs, TimeDelta, Timestamp};

/// Seconds from 1900-01-01 to 1970-01-01.
const NTP_TO_UNIX_SECS: i64 = 2_208_988_800;
/// Seconds in one era (2³²).
const ERA_SECS: i64 = 1 << 32;

/// The 64-bit NTP timestamp: 2⁻³² s (0.23 ns) since the start of an unnamed era (1900, 2036, 2172, …).
///
/// Wire only: it has no order, since it wraps every 136 years. Zero means "unknown".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NtpTimestamp(u64);

impl NtpTimestamp {
    /// Unknown or not set.
    pub const ZERO: Self = Self(0);

    /// From the 64 bits of the packet: seconds in the upper half, fraction in the lower.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits of the packet.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Whether it is the "unknown" value.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Seconds of the era.
    pub const fn seconds(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Fraction in 2⁻³² s.
    pub const fn fraction(self) -> u32 {
        self.0 as u32
    }

    /// The instant in wire form: the era is dropped, ns are rounded to the nearest 2⁻³² s.
    pub const fn from_timestamp(t: Timestamp) -> Self {
        let secs = t.secs().wrapping_add(NTP_TO_UNIX_SECS) as u32;
        let fraction = (((t.subsec_nanos() as u64) << 32) + 500_000_000) / 1_000_000_000;
        Self(((secs as u64) << 32).wrapping_add(fraction))
    }

    /// The instant that these 64 bits mean in the era that puts it nearest to `pivot` (within ±68 years of it).
    pub const fn to_timestamp(self, pivot: Timestamp) -> Timestamp {
        let pivot_ntp = pivot.secs().wrapping_add(NTP_TO_UNIX_SECS);
        // the signed 32-bit distance from the pivot's second to ours
        let ahead = self.seconds().wrapping_sub(pivot_ntp as u32) as i32 as i64;
        let nanos = ((self.fraction() as u64) * 1_000_000_000 + (1 << 31)) >> 32;
        Timestamp::from_unix(pivot.secs().saturating_add(ahead), 0).add_nanos(nanos as i64)
    }

    /// `self − other` as the shortest signed way round the era (±68 years), to the nearest ns.
    pub const fn wrapping_since(self, other: Self) -> TimeDelta {
        let diff = self.0.wrapping_sub(other.0) as i64;
        TimeDelta::from_nanos(((diff as i128 * 1_000_000_000 + (1 << 31)) >> 32) as i64)
    }

    /// The era number of an instant: 0 from 1900, 1 from 2036-02-07 06:28:16 UTC, 2 from 2172.
    pub const fn era_of(t: Timestamp) -> i64 {
        t.secs().saturating_add(NTP_TO_UNIX_SECS).div_euclid(ERA_SECS)
    }
}

impl Timestamp {
    const fn add_nanos(self, nanos: i64) -> Self {
        Self::from_nanos(self.as_nanos().saturating_add(nanos))
    }
}

/// The 32-bit NTP short format: 16.16 s, 0 … 65536 s in steps of 15.3 µs. Root delay and root dispersion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NtpShort(u32);

impl NtpShort {
    /// 0 s.
    pub const ZERO: Self = Self(0);
    /// 1 s.
    pub const ONE: Self = Self(0x1_0000);
    /// Just under 65 536 s.
    pub const MAX: Self = Self(u32::MAX);

    /// From the 32 bits of the packet.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The 32 bits of the packet.
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// From seconds: rounded **up** (a bound never shrinks), negative becomes 0, too large the maximum.
    pub fn from_secs_ceil(secs: Secs) -> Self {
        // a float-to-integer cast saturates at both ends
        Self((secs.get() * 65536.0).ceil() as u32)
    }

    /// Seconds, exactly.
    pub fn to_secs(self) -> Secs {
        Secs::literal(f64::from(self.0) / 65536.0)
    }
}

/// A power of two of seconds: poll interval (6 = 64 s) and precision (−20 ≈ 1 µs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogInterval(i8);

impl LogInterval {
    /// From the exponent as it stands in the packet.
    pub const fn from_log2(exponent: i8) -> Self {
        Self(exponent)
    }

    /// The power of two nearest to `secs`, from 2⁻³⁰ to 2⁰: a clock's precision.
    pub fn of_precision(secs: f64) -> Self {
        Self(secs.max(1e-9).log2().round().clamp(-30.0, 0.0) as i8)
    }

    /// The exponent.
    pub const fn log2(self) -> i8 {
        self.0
    }

    /// Seconds: 2^exponent (2⁻¹²⁸ … 2¹²⁷, always finite).
    pub fn to_secs(self) -> Secs {
        Secs::literal(f64::from(self.0).exp2())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn day(days: i64) -> Timestamp {
        Timestamp::from_unix(days * 86400, 0)
    }

    #[test]
    fn a_precision_is_the_nearest_power_of_two() {
        for (secs, log2) in [
            (1.0, 0),
            (5.0, 0),
            (1e-3, -10),
            (1e-6, -20),
            (30e-9, -25),
            (1e-9, -30),
            (0.0, -30),
            (f64::NAN, -30),
        ] {
            assert_eq!(LogInterval::of_precision(secs).log2(), log2, "{secs}");
        }
    }

    #[test]
    fn the_epoch_of_1970_is_2208988800() {
        assert_eq!(NtpTimestamp::from_timestamp(Timestamp::UNIX_EPOCH).to_bits(), 2_208_988_800 << 32);
    }

    #[test]
    fn era_is_the_one_nearest_to_the_pivot() {
        // 2036-02-07 06:28:16 UTC, the first second of era 1
        let rollover = Timestamp::from_unix(ERA_SECS - NTP_TO_UNIX_SECS, 0);
        assert_eq!(NtpTimestamp::era_of(rollover), 1);
        let wire = NtpTimestamp::from_timestamp(rollover + TimeDelta::from_secs(5));
        assert_eq!(wire.seconds(), 5);
        for pivot in
            [rollover - TimeDelta::from_secs(3600), rollover + TimeDelta::from_secs(3600), day(365 * 40)]
        {
            assert_eq!(wire.to_timestamp(pivot), rollover + TimeDelta::from_secs(5));
        }
        // an hour before the roll-over, seen from after it
        let before = rollover - TimeDelta::from_secs(3600);
        assert_eq!(
            NtpTimestamp::from_timestamp(before).to_timestamp(rollover + TimeDelta::from_secs(9)),
            before
        );
    }

    #[test]
    fn dates_after_2106_survive() {
        let late = Timestamp::from_unix(4_400_000_000, 123_456_789);
        let back =
            NtpTimestamp::from_timestamp(late).to_timestamp(late - TimeDelta::from_secs(86400 * 365 * 60));
        assert!((back - late).abs() <= TimeDelta::from_nanos(1));
    }

    #[test]
    fn nanoseconds_survive_the_round_trip() {
        for nanos in [0, 1, 2, 499_999_999, 500_000_000, 999_999_999] {
            let t = Timestamp::from_unix(1_795_247_535, nanos);
            assert_eq!(NtpTimestamp::from_timestamp(t).to_timestamp(t), t);
        }
    }

    #[test]
    fn short_format_rounds_up_and_saturates() {
        assert_eq!(NtpShort::from_secs_ceil(Secs::literal(1e-9)).to_bits(), 1);
        assert_eq!(NtpShort::from_secs_ceil(Secs::literal(-1.0)), NtpShort::ZERO);
        assert_eq!(NtpShort::from_secs_ceil(Secs::literal(1e9)), NtpShort::MAX);
        assert_eq!(NtpShort::from_secs_ceil(Secs::literal(1.0)), NtpShort::ONE);
    }

    #[test]
    fn differences_take_the_short_way_round() {
        let a = NtpTimestamp::from_bits(5 << 32);
        let b = NtpTimestamp::from_bits(u64::MAX - (5 << 32) + 1);
        assert_eq!(a.wrapping_since(b), TimeDelta::from_secs(10));
        assert_eq!(b.wrapping_since(a), TimeDelta::from_secs(-10));
    }
}
