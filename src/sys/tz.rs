//! Time zones: what a TZif file or a POSIX `TZ` text says about an instant, and back from a calendar reading.
//!
//! Only bytes in; [`super::zoneinfo`] finds the files. RFC 9636 (TZif) through the `tz-rs` crate.

use tz::TimeZone;
use tz::timezone::{LocalTimeType, TransitionRule};

use crate::types::civil::{CivilTime, days_of_date};

/// Longest distance at which a change of the clocks is looked for, days.
const SEARCH_DAYS: i64 = 400;
const DAY: i64 = 86_400;

/// The rules of one zone.
#[derive(Debug, Clone)]
pub struct Zone {
    inner: TimeZone,
}

/// What is in force at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalType {
    /// Seconds east of UTC.
    pub utc_offset: i32,
    /// Whether this is daylight saving time.
    pub is_dst: bool,
    /// `CET`, `-03`, …
    pub abbreviation: String,
}

/// A change of the clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// First second of the new rules, since 1970.
    pub at: i64,
    /// In force one second earlier.
    pub before: LocalType,
    /// In force from then on.
    pub after: LocalType,
}

/// A calendar reading without a zone; fields may lie outside their ranges (the 31st of February) and carry over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Year.
    pub year: i64,
    /// Month, 1 … 12.
    pub month: u8,
    /// Day of the month.
    pub day: u8,
    /// Hour.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second.
    pub second: u8,
}

impl Reading {
    /// The same numbers as seconds since 1970, as if they were UTC.
    pub fn as_if_utc(&self) -> i64 {
        days_of_date(self.year, self.month, self.day) * DAY
            + i64::from(self.hour) * 3600
            + i64::from(self.minute) * 60
            + i64::from(self.second)
    }
}

impl From<&LocalTimeType> for LocalType {
    fn from(found: &LocalTimeType) -> Self {
        Self {
            utc_offset: found.ut_offset(),
            is_dst: found.is_dst(),
            abbreviation: match found.time_zone_designation() {
                // the crate's own UTC has no name
                "" => "UTC".to_owned(),
                name => name.to_owned(),
            },
        }
    }
}

impl Zone {
    /// Coordinated Universal Time.
    pub fn utc() -> Self {
        Self { inner: TimeZone::utc() }
    }

    /// From the contents of a TZif file; `None` when they are none.
    pub fn from_tzif(bytes: &[u8]) -> Option<Self> {
        TimeZone::from_tz_data(bytes).ok().map(|inner| Self { inner })
    }

    /// From a POSIX `TZ` text such as `CET-1CEST,M3.5.0,M10.5.0/3`; file names are not looked up.
    pub fn from_posix(text: &str) -> Option<Self> {
        let no_files = tz::timezone::TimeZoneSettings::new(&[], |_| Err("no files".into()));
        no_files.parse_posix_tz(text).ok().map(|inner| Self { inner })
    }

    /// What is in force at a second since 1970. After the end of a file without a footer (those of `right/`) the last
    /// type stays in force.
    pub fn at(&self, unix: i64) -> LocalType {
        let last = || {
            let zone = self.inner.as_ref();
            let index = zone.transitions().last().map_or(0, |last| last.local_time_type_index());
            zone.local_time_types().get(index).map(LocalType::from)
        };
        let found = self.inner.find_local_time_type(unix).map(LocalType::from).ok().or_else(last);
        found.unwrap_or_else(|| LocalType { utc_offset: 0, is_dst: false, abbreviation: "UTC".into() })
    }

    /// Leap seconds that a `right/` zone has counted by then (0 for every other zone).
    pub fn leap_seconds(&self, unix: i64) -> i32 {
        let leaps = self.inner.as_ref();
        let counted = leaps.leap_seconds().iter().take_while(|leap| leap.unix_leap_time() <= unix).last();
        counted.map_or(0, |leap| leap.correction())
    }

    /// The calendar reading that this zone shows at an instant, leap seconds of `right/` zones taken off.
    pub fn civil(&self, unix: i64, nanosecond: u32) -> CivilTime {
        let shown = unix - i64::from(self.leap_seconds(unix));
        CivilTime::from_unix(shown, nanosecond, self.at(unix).utc_offset)
    }

    /// The instant of a calendar reading. One that the clocks jump over moves forward with them; one that they show twice
    /// is standard time, unless `dst` asks for one kind (then the nearest offset of that kind counts at any season).
    pub fn to_unix(&self, reading: &Reading, dst: Option<bool>) -> i64 {
        let local = reading.as_if_utc();
        let (early, late) = (self.at(local - DAY), self.at(local + DAY));
        if let Some(wanted) = dst {
            let offset = [&self.at(local - i64::from(early.utc_offset)), &early, &late]
                .into_iter()
                .find(|kind| kind.is_dst == wanted)
                .map(|kind| kind.utc_offset)
                .or_else(|| self.nearest_of_kind(local, wanted));
            return local - i64::from(offset.unwrap_or(early.utc_offset));
        }
        let fits =
            |kind: &&LocalType| self.at(local - i64::from(kind.utc_offset)).utc_offset == kind.utc_offset;
        let chosen = match (Some(&early).filter(fits), Some(&late).filter(fits)) {
            (Some(a), Some(b)) if a.is_dst && !b.is_dst => b,
            (Some(a), _) => a,
            (None, Some(b)) => b,
            (None, None) => &early,
        };
        local - i64::from(chosen.utc_offset)
    }

    /// Offset of the season of that kind nearest to an instant, within a year.
    fn nearest_of_kind(&self, unix: i64, dst: bool) -> Option<i32> {
        (1..SEARCH_DAYS)
            .flat_map(|days| [unix - days * DAY, unix + days * DAY])
            .map(|at| self.at(at))
            .find(|kind| kind.is_dst == dst)
            .map(|kind| kind.utc_offset)
    }

    /// The zone's abbreviations of standard and daylight saving time around an instant.
    pub fn abbreviations(&self, unix: i64) -> Vec<(String, bool)> {
        let now = self.at(unix);
        let other = (1..SEARCH_DAYS)
            .flat_map(|days| [unix + days * DAY, unix - days * DAY])
            .map(|at| self.at(at))
            .find(|kind| kind.is_dst != now.is_dst);
        let mut found = vec![(now.abbreviation, now.is_dst)];
        found.extend(other.map(|kind| (kind.abbreviation, kind.is_dst)));
        found
    }

    /// The changes before and after an instant as systemd 219 finds them: neighbours in the file's own list, whatever they
    /// change. After the list's end, where that program knows nothing, the file's footer answers if it has a rule for
    /// daylight saving time. `None`: no list, an instant before it, or after it without such a rule.
    pub fn changes_around(&self, unix: i64) -> Option<(Change, Change)> {
        let zone = self.inner.as_ref();
        let list = zone.transitions();
        let next = list.iter().position(|t| t.unix_leap_time() > unix);
        let change = |index: usize| {
            let kind =
                |i: usize| list.get(i).and_then(|t| zone.local_time_types().get(t.local_time_type_index()));
            let before = match index.checked_sub(1) {
                Some(earlier) => kind(earlier)?,
                None => zone.local_time_types().first()?,
            };
            let at = list.get(index)?.unix_leap_time();
            Some(Change { at, before: before.into(), after: kind(index)?.into() })
        };
        match next {
            Some(0) => None,
            Some(next) => Some((change(next - 1)?, change(next)?)),
            None => match zone.extra_rule() {
                Some(TransitionRule::Alternate(_)) => {
                    Some((self.search(unix, -DAY)?, self.search(unix, DAY)?))
                }
                _ => None,
            },
        }
    }

    /// The nearest change of the rules in one direction, within [`SEARCH_DAYS`].
    fn search(&self, from: i64, step: i64) -> Option<Change> {
        let here = self.at(from);
        let far = (1..SEARCH_DAYS).map(|n| from + n * step).find(|&at| self.at(at) != here)?;
        let (mut low, mut high) = ((far - step).min(far), (far - step).max(far));
        let old = self.at(low);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.at(middle) == old { low = middle } else { high = middle }
        }
        Some(Change { at: high, before: old, after: self.at(high) })
    }
}
