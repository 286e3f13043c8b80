//! Calendar time in the proleptic Gregorian calendar: what ntpdate, hwclock and timedatectl print.
//!
//! Arithmetic only; the offset of a zone is an input (sys::zone knows the zones).

use super::Timestamp;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// A date and a time of day at some offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CivilTime {
    /// Year; 0 is 1 BC.
    pub year: i64,
    /// Month, 1 … 12.
    pub month: u8,
    /// Day of the month, 1 … 31.
    pub day: u8,
    /// Hour, 0 … 23.
    pub hour: u8,
    /// Minute, 0 … 59.
    pub minute: u8,
    /// Second, 0 … 59.
    pub second: u8,
    /// ns within the second.
    pub nanosecond: u32,
    /// Day of the week, 0 = Sunday.
    pub weekday: u8,
    /// Seconds east of UTC at this instant.
    pub utc_offset: i32,
}

impl CivilTime {
    /// The calendar reading of an instant, `utc_offset` seconds east of UTC.
    pub fn from_timestamp(t: Timestamp, utc_offset: i32) -> Self {
        Self::from_unix(t.secs(), t.subsec_nanos(), utc_offset)
    }

    /// The calendar reading of a second since 1970, far beyond the range of [`Timestamp`] too (NTP's zero is 1900).
    pub fn from_unix(secs: i64, nanosecond: u32, utc_offset: i32) -> Self {
        let local = secs.saturating_add(i64::from(utc_offset));
        let days = local.div_euclid(86400);
        let of_day = local.rem_euclid(86400);
        let (year, month, day) = date_of_days(days);
        Self {
            year,
            month,
            day,
            hour: (of_day / 3600) as u8,
            minute: (of_day / 60 % 60) as u8,
            second: (of_day % 60) as u8,
            nanosecond,
            weekday: (days + 4).rem_euclid(7) as u8,
            utc_offset,
        }
    }

    /// Seconds since 1970 of this reading.
    pub fn to_unix(&self) -> i64 {
        days_of_date(self.year, self.month, self.day) * 86400
            + i64::from(self.hour) * 3600
            + i64::from(self.minute) * 60
            + i64::from(self.second)
            - i64::from(self.utc_offset)
    }

    /// `Jan` … `Dec`.
    pub fn month_name(&self) -> &'static str {
        MONTHS[usize::from(self.month.clamp(1, 12)) - 1]
    }

    /// `Sun` … `Sat`.
    pub fn weekday_name(&self) -> &'static str {
        WEEKDAYS[usize::from(self.weekday % 7)]
    }
}

/// Days from 1970-01-01 to a date; month 1 … 12, day 1 … 31 (further values carry over).
pub fn days_of_date(year: i64, month: u8, day: u8) -> i64 {
    // years that start in March put the leap day last (H. Hinnant's public-domain algorithm)
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month (1 … 12) and day (1 … 31) of a number of days since 1970-01-01.
pub fn date_of_days(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8;
    let month = (if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 }) as u8;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// RFC 3339 in UTC with nine digits: `2026-11-21T05:34:32.120378308Z`.
pub fn rfc3339(t: Timestamp) -> String {
    rfc3339_civil(&CivilTime::from_timestamp(t, 0))
}

/// The same of a calendar reading at offset 0.
pub fn rfc3339_civil(c: &CivilTime) -> String {
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z",
        c.year, c.month, c.day, c.hour, c.minute, c.second, c.nanosecond
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_eight_centuries_goes_there_and_back() {
        for days in days_of_date(1700, 1, 1)..days_of_date(2500, 1, 1) {
            let (y, m, d) = date_of_days(days);
            assert_eq!(days_of_date(y, m, d), days);
        }
    }

    #[test]
    fn known_days_have_their_names() {
        let c = CivilTime::from_unix(-2_208_988_800, 0, 0);
        assert_eq!((c.weekday_name(), c.month_name(), c.day, c.year), ("Mon", "Jan", 1, 1900));
        assert_eq!(
            rfc3339(Timestamp::from_unix(1_795_239_272, 120_378_308)),
            "2026-11-21T05:34:32.120378308Z"
        );
    }

    #[test]
    fn an_offset_moves_the_reading_not_the_instant() {
        let c = CivilTime::from_unix(1_795_239_272, 0, 9 * 3600);
        assert_eq!((c.day, c.hour), (21, 14));
        assert_eq!(c.to_unix(), 1_795_239_272);
    }
}
