//! Local time ↔ instants, by the zone's offsets.

/// The instant of a local wall-clock reading, given as if it were UTC, in a zone that tells its offset (s east of UTC) at any instant.
///
/// As `mktime` of glibc with an unknown DST flag: a reading that occurs twice is the later one (standard time, observed on util-linux
/// 2.41), a reading that the clock jumped over is taken by the offset before the jump.
pub fn local_to_unix(local: i64, utc_offset: &dyn Fn(i64) -> i32) -> i64 {
    let before = i64::from(utc_offset(local.saturating_sub(86400)));
    let after = i64::from(utc_offset(local.saturating_add(86400)));
    let fits = |offset: i64| i64::from(utc_offset(local.saturating_sub(offset))) == offset;
    let offset = if fits(after) { after } else { before };
    local.saturating_sub(offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::rtc::RtcFields;

    /// Berlin in 2026: summer time from March 29 01:00 UTC to October 25 01:00 UTC.
    fn berlin(unix: i64) -> i32 {
        if (1_774_746_000..1_792_890_000).contains(&unix) { 7200 } else { 3600 }
    }

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
    fn local_readings_follow_glibc_at_the_seams() {
        let at = |month, day, hour, minute| {
            let local = fields(2026, month, day, hour, minute, 0).to_unix_utc();
            let unix = local_to_unix(local, &berlin);
            RtcFields::from_unix(unix, berlin(unix)).map(|f| (f.hour, f.minute, berlin(unix)))
        };
        assert_eq!(at(3, 29, 2, 30), Some((3, 30, 7200)), "gap: one hour forward");
        assert_eq!(at(10, 25, 2, 30), Some((2, 30, 3600)), "twice: standard time");
        assert_eq!(at(3, 29, 1, 59), Some((1, 59, 3600)));
        assert_eq!(at(3, 29, 3, 0), Some((3, 0, 7200)));
        assert_eq!(at(10, 25, 1, 59), Some((1, 59, 7200)));
        assert_eq!(at(10, 25, 3, 0), Some((3, 0, 3600)));
        assert_eq!(at(7, 1, 12, 0), Some((12, 0, 7200)));
    }
}
