//! The local time zone (TZ, /etc/localtime), one reading at a time.
#![expect(unsafe_code, reason = "localtime_r is the only reader of the zone that every libc has")]

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::sync::Once;

unsafe extern "C" {
    // time.h; the libc crate leaves it out for Linux
    fn tzset();
}

/// The zone at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneReading {
    /// Seconds east of UTC.
    pub utc_offset: i32,
    /// `CEST`, `UTC`, `+0530`; printable ASCII.
    pub abbreviation: String,
    /// Whether daylight saving time is in force.
    pub is_dst: bool,
}

/// The zone at a second since 1970; UTC where the C library cannot tell (years beyond ±2³¹).
pub fn at(unix_secs: i64) -> ZoneReading {
    static READ_TZ: Once = Once::new();
    // SAFETY: tzset reads TZ; this program never changes its environment.
    READ_TZ.call_once(|| unsafe { tzset() });
    let mut broken_down = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are good; localtime_r keeps neither.
    let filled = unsafe { libc::localtime_r(&raw const unix_secs, broken_down.as_mut_ptr()) };
    if filled.is_null() {
        return ZoneReading { utc_offset: 0, abbreviation: "UTC".to_owned(), is_dst: false };
    }
    // SAFETY: it was zeroed before it was filled.
    let broken_down = unsafe { broken_down.assume_init() };
    let abbreviation = if broken_down.tm_zone.is_null() {
        String::new()
    } else {
        // SAFETY: tm_zone is a string that lives until the next tzset, which only the Once above calls.
        unsafe { CStr::from_ptr(broken_down.tm_zone) }.to_string_lossy().into_owned()
    };
    ZoneReading {
        utc_offset: i32::try_from(broken_down.tm_gmtoff).unwrap_or(0),
        abbreviation: abbreviation.chars().filter(char::is_ascii_graphic).collect(),
        is_dst: broken_down.tm_isdst > 0,
    }
}

/// Seconds east of UTC at a second since 1970.
pub fn utc_offset_at(unix_secs: i64) -> i32 {
    at(unix_secs).utc_offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_agrees_with_date() {
        let output =
            std::process::Command::new("date").args(["-d", "@1795239272", "+%z %Z"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let reading = at(1_795_239_272);
        let minutes = reading.utc_offset.abs() / 60;
        let sign = if reading.utc_offset < 0 { '-' } else { '+' };
        let ours = format!("{sign}{:02}{:02} {}\n", minutes / 60, minutes % 60, reading.abbreviation);
        assert_eq!(ours, text);
    }

    #[test]
    fn an_impossible_year_is_utc() {
        assert_eq!(at(i64::MAX).utc_offset, 0);
    }
}
