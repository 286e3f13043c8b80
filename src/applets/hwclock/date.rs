//! `--date`: GNU date's grammar by the `parse_datetime` crate, and the spans and stamps that only Debian's build accepts.

use crate::engine::rtc::RtcInstant;

/// The instant that a date means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetDate {
    /// s since 1970, 0 or more.
    pub(super) secs: i64,
}

impl TargetDate {
    /// The offset of the zone that the date itself named (`TZ="…"`), s east of UTC.
    pub(super) fn utc_offset_at(&self, _unix: i64) -> Option<i32> {
        None
    }
}

/// Reads a date, relative to `now`; `None` if it is none.
pub(super) fn parse(_text: &str, _now: RtcInstant) -> Option<TargetDate> {
    None
}
