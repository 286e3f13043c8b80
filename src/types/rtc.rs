//! The registers of a hardware clock: nine integers, in UTC or in local time.

use super::civil::{CivilTime, days_of_date};

/// What an RTC's registers read, in the ranges of C's `struct tm`; nothing is promised about them when they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RtcFields {
    /// Second, 0 … 59.
    pub second: i32,
    /// Minute, 0 … 59.
    pub minute: i32,
    /// Hour, 0 … 23.
    pub hour: i32,
    /// Day of the month, 1 … 31.
    pub day: i32,
    /// Month, 0 … 11.
    pub month0: i32,
    /// Years since 1900.
    pub years_since_1900: i32,
    /// Day of the week, 0 = Sunday; not trusted when read.
    pub weekday: i32,
    /// Day of the year, 0 … 365; not trusted when read.
    pub day_of_year: i32,
    /// Daylight saving time: > 0 on, 0 off, < 0 unknown; not trusted when read.
    pub dst: i32,
}

impl RtcFields {
    /// The registers for an instant, `utc_offset` seconds east of UTC; `None` when the year does not fit.
    pub fn from_unix(secs: i64, utc_offset: i32) -> Option<Self> {
        let c = CivilTime::from_unix(secs, 0, utc_offset);
        let day_of_year = days_of_date(c.year, c.month, c.day) - days_of_date(c.year, 1, 1);
        Some(Self {
            second: i32::from(c.second),
            minute: i32::from(c.minute),
            hour: i32::from(c.hour),
            day: i32::from(c.day),
            month0: i32::from(c.month) - 1,
            years_since_1900: i32::try_from(c.year.checked_sub(1900)?).ok()?,
            weekday: i32::from(c.weekday),
            day_of_year: i32::try_from(day_of_year).ok()?,
            dst: 0,
        })
    }

    /// Seconds since 1970 if the registers are read as UTC. Nonsense carries over as in C's `timegm`: April 31 is May 1.
    pub fn to_unix_utc(&self) -> i64 {
        let months = i64::from(self.month0);
        let year = i64::from(self.years_since_1900) + 1900 + months.div_euclid(12);
        // 1 … 12 by the remainder
        let month = u8::try_from(months.rem_euclid(12) + 1).unwrap_or(1);
        let days = days_of_date(year, month, 1) + i64::from(self.day) - 1;
        days * 86400 + i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(year: i32, month: i32, day: i32, hour: i32, minute: i32, second: i32) -> RtcFields {
        RtcFields {
            second,
            minute,
            hour,
            day,
            month0: month - 1,
            years_since_1900: year - 1900,
            ..Default::default()
        }
    }

    #[test]
    fn nonsense_carries_over() {
        let may_first = fields(2026, 5, 1, 13, 10, 0).to_unix_utc();
        assert_eq!(fields(2026, 4, 31, 12, 70, 0).to_unix_utc(), may_first);
        assert_eq!(fields(2025, 17, 1, 13, 10, 0).to_unix_utc(), may_first);
        assert_eq!(fields(2027, -7, 1, 13, 10, 0).to_unix_utc(), may_first);
        assert_eq!(fields(1969, 12, 31, 23, 59, 59).to_unix_utc(), -1);
    }

    #[test]
    fn registers_and_seconds_are_inverse() {
        let f = RtcFields::from_unix(1_795_247_287, 0).unwrap();
        assert_eq!((f.years_since_1900, f.month0, f.day), (126, 10, 21));
        assert_eq!((f.hour, f.minute, f.second, f.weekday, f.day_of_year), (7, 48, 7, 6, 324));
        assert_eq!(f.to_unix_utc(), 1_795_247_287);
        assert_eq!(RtcFields::from_unix(i64::MAX, 0), None);
    }

    #[test]
    fn extreme_registers_do_not_overflow() {
        let f = RtcFields {
            second: i32::MAX,
            minute: i32::MAX,
            hour: i32::MAX,
            day: i32::MAX,
            month0: i32::MAX,
            years_since_1900: i32::MAX,
            ..Default::default()
        };
        assert!(f.to_unix_utc() > 0);
        let f = RtcFields {
            second: i32::MIN,
            minute: i32::MIN,
            hour: i32::MIN,
            day: i32::MIN,
            month0: i32::MIN,
            years_since_1900: i32::MIN,
            ..Default::default()
        };
        assert!(f.to_unix_utc() < 0);
    }
}
