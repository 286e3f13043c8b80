//! Tables of leap seconds: NIST's and IERS's list, and the leap seconds of a time zone file (`right/UTC`).

use crate::types::civil::CivilTime;
use crate::types::{Leap, Timestamp};

/// From 1900 to 1970, s.
const NTP_TO_UNIX: i64 = 2_208_988_800;
/// Seconds of a day.
const DAY: i64 = 86_400;
/// TAI − UTC before the first leap second.
const TAI_AT_FIRST: i32 = 10;
/// Leap seconds that every table has to know: at the ends of 2008 and of June 2012.
const KNOWN: [(i64, i32); 2] = [(1_230_768_000, 34), (1_341_100_800, 35)];
/// A table of more entries is none.
const MOST: usize = 1024;
/// Length of the header of a time zone file (RFC 8536 §3.1).
const TZIF_HEADER: usize = 44;

/// When UTC was or will be adjusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeapTable {
    /// First second (Unix) of each TAI − UTC, s, in order.
    entries: Vec<(i64, i32)>,
    /// Until when the list is good.
    expires: Option<i64>,
}

/// Why a list is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFault {
    /// It has not the form of a list.
    Form,
    /// It says what cannot be, or leaves out leap seconds that everybody knows.
    Content,
}

impl LeapTable {
    /// From the text of `leap-seconds.list` as chronyd 4.9 wants it: with its date (`#$`) and its end (`#@`), and no other
    /// comment but from the first column on or after a row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_dated_list(text: &str) -> Result<Self, ListFault> {
        let (mut entries, mut date, mut expires) = (Vec::new(), None, None);
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("#$") {
                date = Some(leading_number(rest).ok_or(ListFault::Form)?);
            } else if let Some(rest) = line.strip_prefix("#@") {
                let end = leading_number(rest).ok_or(ListFault::Form)?;
                expires = Some(end.saturating_sub(NTP_TO_UNIX));
            } else if !line.starts_with('#') && !line.trim().is_empty() {
                entries.push(row(line).ok_or(ListFault::Form)?);
            }
        }
        if date.is_none() || expires.is_none() {
            return Err(ListFault::Form);
        }
        Self::checked(entries, expires).ok_or(ListFault::Content)
    }

    /// From the text of `leap-seconds.list`; `None`: it is not one, or leap seconds are missing that everybody knows.
    pub fn parse_list(text: &str) -> Option<Self> {
        let mut entries = Vec::new();
        let mut expires = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("#@") {
                expires = Some(rest.trim().parse::<i64>().ok()?.checked_sub(NTP_TO_UNIX)?);
            }
            if !line.split('#').next().unwrap_or_default().trim().is_empty() {
                entries.push(row(line)?);
            }
        }
        Self::checked(entries, expires)
    }

    /// From the bytes of a time zone file with leap seconds; `None`: it has none, or is damaged.
    pub fn parse_zone(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| -> Option<usize> {
            let field = bytes.get(at..at.checked_add(4)?)?;
            usize::try_from(u32::from_be_bytes(field.try_into().ok()?)).ok()
        };
        // what follows a header: transitions, types, names, leap seconds, and two kinds of flags
        let counts = |header: usize| -> Option<[usize; 6]> {
            let mut counts = [0; 6];
            for (place, count) in counts.iter_mut().enumerate() {
                *count = number(header + 20 + 4 * place).filter(|count| *count <= bytes.len())?;
            }
            Some(counts)
        };
        if bytes.get(..4)? != b"TZif" || *bytes.get(4)? < b'2' {
            return None;
        }
        // [isut, isstd, leap, time, type, char]: the first block has times of four bytes, the second of eight
        let [isut, isstd, leap, time, kind, chars] = counts(0)?;
        let second = TZIF_HEADER + time * 5 + kind * 6 + chars + leap * 8 + isstd + isut;
        let [_, _, leap, time, kind, chars] = counts(second)?;
        let first_leap = second + TZIF_HEADER + time * 9 + kind * 6 + chars;
        if leap > MOST {
            return None;
        }
        let mut entries = vec![(63_072_000, TAI_AT_FIRST)];
        let mut before = 0;
        for place in 0..leap {
            let record = bytes.get(first_leap + 12 * place..first_leap + 12 * (place + 1))?;
            let (at, correction) = record.split_first_chunk::<8>()?;
            let at = i64::from_be_bytes(*at);
            let correction = i32::from_be_bytes(correction.try_into().ok()?);
            entries.push((at.checked_sub(i64::from(before))?, TAI_AT_FIRST.checked_add(correction)?));
            before = correction;
        }
        Self::checked(entries, None)
    }

    fn checked(entries: Vec<(i64, i32)>, expires: Option<i64>) -> Option<Self> {
        let ordered = entries.is_sorted_by(|a, b| a.0 < b.0) && entries.len() <= MOST;
        let steps = entries.windows(2).all(|pair| matches!(pair, [a, b] if (b.1 - a.1).abs() == 1));
        let known = KNOWN.iter().all(|known| entries.contains(known));
        (ordered && steps && known).then_some(Self { entries, expires })
    }

    /// The next leap second that the list knows, else the last one; `None`: it knows none.
    pub fn event(&self, now: Timestamp) -> Option<Timestamp> {
        let events = self.entries.get(1..)?;
        let next = events.iter().find(|(at, _)| *at > now.secs()).or(events.last())?;
        Some(Timestamp::from_unix(next.0, 0))
    }

    /// Until when the list is good, when it says so.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires.map(|at| Timestamp::from_unix(at, 0))
    }

    /// The last change: its first second, and TAI − UTC (s) from then on.
    pub fn last(&self) -> Option<(Timestamp, i32)> {
        self.entries.last().map(|(at, tai)| (Timestamp::from_unix(*at, 0), *tai))
    }

    /// Whether the list says of itself that it is out of date.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| now.secs() >= expires)
    }

    /// TAI − UTC, s.
    pub fn tai(&self, at: Timestamp) -> Option<i32> {
        self.entries.iter().rev().find(|(from, _)| *from <= at.secs()).map(|(_, tai)| *tai)
    }

    /// The leap second at the end of the UTC day of `at`.
    pub fn leap(&self, at: Timestamp) -> Leap {
        let end = day_end(at).secs();
        let place = self.entries.iter().position(|(from, _)| *from == end);
        let Some((place, before)) = place.and_then(|place| Some((place, place.checked_sub(1)?))) else {
            return Leap::None;
        };
        match (self.entries.get(before), self.entries.get(place)) {
            (Some((_, old)), Some((_, new))) if new > old => Leap::Add,
            (Some(_), Some(_)) => Leap::Delete,
            _ => Leap::None,
        }
    }
}

/// First second (Unix) and TAI − UTC of a row.
fn row(line: &str) -> Option<(i64, i32)> {
    let mut words = line.split('#').next()?.split_ascii_whitespace();
    let at = words.next()?.parse::<i64>().ok()?.checked_sub(NTP_TO_UNIX)?;
    Some((at, words.next()?.parse().ok()?))
}

/// The number that a text begins with; none, or 0, is `None`.
fn leading_number(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let sign = usize::from(text.starts_with(['-', '+']));
    let digits = text.get(sign..)?.bytes().take_while(u8::is_ascii_digit).count();
    text.get(..sign + digits)?.parse().ok().filter(|number| *number != 0)
}

/// The end of the UTC day of an instant.
pub fn day_end(at: Timestamp) -> Timestamp {
    Timestamp::from_unix((at.secs().div_euclid(DAY) + 1).saturating_mul(DAY), 0)
}

/// Whether leap seconds may come at the end of this UTC day: the last of June or December.
pub fn is_leap_day(at: Timestamp) -> bool {
    let date = CivilTime::from_timestamp(at, 0);
    matches!((date.month, date.day), (6, 30) | (12, 31))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "#\t comment\n#$\t 3676924800\n#@\t3960835200\n\
        3439756800\t34\t# 1 Jan 2009\n3550089600\t35\t# 1 Jul 2012\n3644697600\t36\t# 1 Jul 2015\n3692217600\t37\t# 1 Jan 2017\n";

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_unix(secs, 0)
    }

    #[test]
    fn the_list_says_offset_and_leap() {
        let table = LeapTable::parse_list(LIST).unwrap();
        assert_eq!(table.tai(at(1_483_228_799)), Some(36));
        assert_eq!(table.tai(at(1_483_228_800)), Some(37));
        assert_eq!(table.leap(at(1_483_228_799)), Leap::Add);
        assert_eq!(table.leap(at(1_483_228_799 - DAY)), Leap::None);
        assert_eq!(table.leap(at(1_483_228_800)), Leap::None);
        assert_eq!(table.event(at(1_483_228_800)), Some(at(1_483_228_800)), "the last one");
        assert_eq!(table.event(at(1_400_000_000)), Some(at(1_435_708_800)), "the next one");
        assert_eq!(table.expires(), Some(at(1_751_846_400)));
        assert!(table.is_expired(at(1_751_846_400)) && !table.is_expired(at(1_751_846_399)));
    }

    #[test]
    fn a_list_that_is_none_is_refused() {
        for bad in ["", "x y\n", &LIST.replace("34", "33"), &LIST.replace("3692217600", "1"), &LIST[..60]] {
            assert_eq!(LeapTable::parse_list(bad), None, "{bad}");
        }
    }

    /// What chronyd 4.9 said of these, but for the two that it takes: rows out of order, and changes that are no leap second.
    #[test]
    fn a_list_needs_its_date_its_end_and_possible_rows() {
        let with = |from: &str, to: &str| LeapTable::parse_dated_list(&LIST.replacen(from, to, 1));
        let whole = LeapTable::parse_list(LIST).unwrap();
        for (from, to) in [
            ("#@\t3960835200\n", "#@ 3960835200 # 2025\n"),
            ("#$\t 3676924800", "#$3676924800.5"),
            ("#$\t 3676924800", "#$\t-100"),
            ("\n", "\r\n"),
            ("3439756800\t34", "\t+3439756800  34 x"),
            ("3550089600", " \t \n3550089600"),
        ] {
            assert_eq!(with(from, to).as_ref(), Ok(&whole), "{to}");
        }
        for (from, to) in [
            ("#$", "#"),
            ("#@", "#"),
            ("#@", " #@"),
            ("#$\t 3676924800", "#$\tnever"),
            ("#$\t 3676924800", "#$"),
            ("#@\t3960835200", "#@\t0"),
            ("3550089600\t35", " # \n3550089600\t35"),
            ("3550089600\t35", "3550089600"),
            ("3550089600\t35", "what is this\n3550089600\t35"),
        ] {
            assert_eq!(with(from, to), Err(ListFault::Form), "{to}");
        }
        for (from, to) in [
            ("3550089600\t35", "#"),
            ("3439756800\t34\t# 1 Jan 2009\n", ""),
            ("3644697600\t36", "3644697600\t90"),
            ("3692217600\t37", "3692217600\t36"),
            ("3692217600", "3544697600"),
        ] {
            assert_eq!(with(from, to), Err(ListFault::Content), "{to}");
        }
        assert_eq!(LeapTable::parse_dated_list(""), Err(ListFault::Form));
        assert_eq!(LeapTable::parse_dated_list("#$1\n#@1\n"), Err(ListFault::Content));
    }

    /// A file as zic makes it: an empty first block, then a second one with leap seconds.
    fn zone(leaps: &[(i64, i32)]) -> Vec<u8> {
        let header = |leap: u32| {
            let mut bytes = b"TZif2".to_vec();
            bytes.extend([0; 15]);
            for count in [0, 0, leap, 0, 1, 4] {
                bytes.extend(u32::to_be_bytes(count));
            }
            bytes
        };
        let mut bytes = header(0);
        bytes.extend([0; 10]);
        bytes.extend(header(u32::try_from(leaps.len()).unwrap()));
        bytes.extend([0; 10]);
        for (time, correction) in leaps {
            bytes.extend(time.to_be_bytes());
            bytes.extend(correction.to_be_bytes());
        }
        bytes.extend(b"\nUTC0\n");
        bytes
    }

    #[test]
    fn a_zone_counts_its_leap_seconds_itself() {
        // from 34 on: times include the leap seconds before
        let leaps: Vec<(i64, i32)> = (1..24)
            .map(|n| (100_000_000 + i64::from(n) * DAY, n))
            .chain([(1_230_768_023, 24), (1_341_100_824, 25)])
            .collect();
        let bytes = zone(&leaps);
        let table = LeapTable::parse_zone(&bytes).unwrap();
        assert_eq!(table.tai(at(1_230_767_999)), Some(33));
        assert_eq!(table.tai(at(1_230_768_000)), Some(34));
        assert_eq!(table.leap(at(1_341_100_799)), Leap::Add);
        for end in 0..bytes.len() - 8 {
            let _ = LeapTable::parse_zone(&bytes[..end]);
        }
        assert_eq!(LeapTable::parse_zone(&zone(&[])), None, "a zone without leap seconds");
    }

    #[test]
    fn leap_days_are_the_last_of_june_and_december() {
        assert!(is_leap_day(at(1_483_228_799)) && !is_leap_day(at(1_483_228_800)));
        assert!(is_leap_day(at(1_435_708_799)));
        assert_eq!(day_end(at(1_483_228_799)), at(1_483_228_800));
    }
}
