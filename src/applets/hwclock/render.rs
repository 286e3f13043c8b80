//! The texts of times, as hwclock writes them.

use crate::applets::compat::Era;
use crate::engine::rtc::{RtcFields, RtcInstant, Scale};
use crate::types::civil::CivilTime;

/// `UTC` or `local`, within a sentence.
pub(super) const fn scale_word(scale: Scale) -> &'static str {
    match scale {
        Scale::Utc => "UTC",
        Scale::Local => "local",
    }
}

/// The word of the JSON report.
pub(super) const fn scale_key(scale: Scale) -> &'static str {
    match scale {
        Scale::Utc => "utc",
        Scale::Local => "local",
    }
}

/// `1795247285.799739`
pub(super) fn seconds(t: RtcInstant) -> String {
    format!("{}.{:06}", t.secs, t.micros)
}

/// `2026/11/21 07:48:07`
pub(super) fn registers(f: &RtcFields) -> String {
    format!(
        "{:4}/{:02}/{:02} {:02}:{:02}:{:02}",
        i64::from(f.years_since_1900) + 1900,
        i64::from(f.month0) + 1,
        f.day,
        f.hour,
        f.minute,
        f.second
    )
}

/// `2026-11-21 07:48:06.195053+00:00`; `None` when the year does not fit C's `struct tm`.
///
/// The zone's sign is that of its hours: −00:20 is written `+00:20`, as the original does.
pub(super) fn time_line(t: RtcInstant, utc_offset: i32) -> Option<String> {
    let c = CivilTime::from_unix(t.secs, 0, utc_offset);
    i32::try_from(c.year.checked_sub(1900)?).ok()?;
    let minutes = utc_offset / 60;
    Some(format!(
        "{:4}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}{:+03}:{:02}",
        c.year,
        c.month,
        c.day,
        c.hour,
        c.minute,
        c.second,
        t.micros,
        minutes / 60,
        (minutes % 60).abs()
    ))
}

/// `Sat Nov 21 07:00:13 2026  -0.941556 seconds` (util-linux 2.17 and 2.23, C locale): the tick and what was waited for it.
pub(super) fn old_time_line(tick: RtcInstant, utc_offset: i32, waited: f64) -> String {
    let c = CivilTime::from_unix(tick.secs, 0, utc_offset);
    format!(
        "{} {} {:2} {:02}:{:02}:{:02} {}  {:.6} seconds",
        c.weekday_name(),
        c.month_name(),
        c.day,
        c.hour,
        c.minute,
        c.second,
        c.year,
        -waited
    )
}

/// Whether an era has the old layout of `hwclock -r`.
pub(super) const fn has_old_layout(era: Era) -> bool {
    matches!(era, Era::Rhel6 | Era::Rhel7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(secs: i64, offset: i32) -> String {
        time_line(RtcInstant { secs, micros: 195_053 }, offset).unwrap()
    }

    #[test]
    fn zones() {
        assert_eq!(line(1_795_247_286, 0), "2026-11-21 07:48:06.195053+00:00");
        assert_eq!(line(1_795_247_286, 19800), "2026-11-21 13:18:06.195053+05:30");
        assert_eq!(line(1_795_247_286, -9000), "2026-11-21 05:18:06.195053-02:30");
        assert_eq!(line(1_795_247_286, -1230), "2026-11-21 07:27:36.195053+00:20", "the original's quirk");
        assert_eq!(line(0, -2670), "1969-12-31 23:15:30.195053+00:44");
    }

    #[test]
    fn years() {
        assert_eq!(line(-62_132_745_600, 0), "   1-02-03 00:00:00.195053+00:00");
        assert_eq!(line(18_446_744_073_709, 0), "586524-01-19 08:01:49.195053+00:00");
        assert_eq!(time_line(RtcInstant::from_secs(i64::MAX), 0), None);
    }

    #[test]
    fn the_old_layout() {
        let tick = RtcInstant::from_secs(1_795_244_413);
        assert_eq!(old_time_line(tick, 0, 0.941_556), "Sat Nov 21 07:00:13 2026  -0.941556 seconds");
    }
}
