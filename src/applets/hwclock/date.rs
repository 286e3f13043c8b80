//! `--date`: GNU date's grammar by the `parse_datetime` crate, and the spans and stamps that only Debian's build accepts.
//!
//! Where the crate differs from GNU date 9.1 (observed), the text is rewritten before or judged after: an empty date is midnight; a signed
//! number right after a time is a zone, not the start of `+1 day`; an open comment ends the text; `EST DST` is a zone, `J` is none; a
//! reading that the clock jumps over is no date, one that occurs twice is the later; an abbreviation of the local zone must be in force.

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp as JiffTimestamp, Zoned};
use parse_datetime::{ParsedDateTime, parse_datetime_at_date};

use crate::engine::rtc::{RtcFields, RtcInstant, local_to_unix};

/// A longer text is no date.
const LONGEST: usize = 1000;
const DAY: i64 = 86400;

/// The instant that a date means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetDate {
    /// s since 1970, 0 or more.
    pub(super) secs: i64,
    /// The zone that the date itself names: `TZ="…"`.
    zone: Option<TimeZone>,
}

impl TargetDate {
    /// The offset of the zone that the date itself named, s east of UTC.
    pub(super) fn utc_offset_at(&self, unix: i64) -> Option<i32> {
        self.zone.as_ref().map(|zone| offset_in(zone, unix))
    }
}

/// Reads a date, relative to `now` and in the zone of TZ or /etc/localtime; `None` if it is none or before 1970.
pub(super) fn parse(text: &str, now: RtcInstant) -> Option<TargetDate> {
    parse_in(text, now, &TimeZone::try_system().unwrap_or(TimeZone::UTC))
}

fn parse_in(text: &str, now: RtcInstant, zone: &TimeZone) -> Option<TargetDate> {
    if text.len() > LONGEST {
        return None;
    }
    let found = gnu_date(text, now, zone).or_else(|| {
        let secs = span(text, now).or_else(|| stamp(text, zone))?;
        Some(TargetDate { secs, zone: None })
    });
    found.filter(|date| date.secs >= 0)
}

fn offset_in(zone: &TimeZone, unix: i64) -> i32 {
    let instant = JiffTimestamp::from_second(unix);
    instant.map_or(0, |instant| zone.to_offset(instant).seconds())
}

/// The grammar of GNU date.
fn gnu_date(text: &str, now: RtcInstant, zone: &TimeZone) -> Option<TargetDate> {
    if text.trim_start().starts_with(ZONE_PREFIX) {
        let (zone, rest) = named_zone(text)?;
        let date = gnu_date(rest, now, &zone)?;
        return Some(TargetDate { zone: Some(zone), ..date });
    }
    let text = rewrite(text)?;
    let nanos = i32::try_from(now.micros.saturating_mul(1000)).ok()?;
    let instant = JiffTimestamp::new(now.secs, nanos).ok()?;
    let zoned = match parse_datetime_at_date(instant.to_zoned(zone.clone()), &text).ok()? {
        ParsedDateTime::InRange(zoned) => zoned,
        ParsedDateTime::Extended(date) => {
            return Some(TargetDate { secs: date.unix_seconds(), zone: None });
        }
    };
    let secs = floor_second(&zoned);
    if names_wrong_season(&text, secs, now, zone) {
        return None;
    }
    let secs = settle_seams(&text, &zoned, instant, zone)?;
    Some(TargetDate { secs, zone: None })
}

/// What a date begins with that names its zone.
const ZONE_PREFIX: &str = "TZ=\"";

/// `TZ="ZONE" REST`: the zone, by name or POSIX rules (unknown: UTC), and the rest; `\` escapes `"` and itself.
fn named_zone(text: &str) -> Option<(TimeZone, &str)> {
    let quoted = text.trim_start().strip_prefix(ZONE_PREFIX)?;
    let mut name = String::new();
    let mut chars = quoted.char_indices();
    loop {
        match chars.next()?.1 {
            '"' => break,
            '\\' => name.push(chars.next().map(|(_, c)| c).filter(|c| matches!(c, '"' | '\\'))?),
            c => name.push(c),
        }
    }
    let zone = TimeZone::get(&name).or_else(|_| TimeZone::posix(&name)).unwrap_or(TimeZone::UTC);
    let rest = chars.as_str();
    (!rest.trim_start().starts_with(ZONE_PREFIX)).then_some((zone, rest))
}

fn floor_second(zoned: &Zoned) -> i64 {
    let t = zoned.timestamp();
    t.as_second() - i64::from(t.subsec_nanosecond() < 0)
}

/// At the seams of DST: a plain local reading is no date if the clock jumped over it, and the later instant if it occurs twice.
fn settle_seams(text: &str, zoned: &Zoned, now: JiffTimestamp, zone: &TimeZone) -> Option<i64> {
    let secs = floor_second(zoned);
    let is_seam =
        (1..=2).any(|hours| offset_in(zone, secs - hours * 3600) != offset_in(zone, secs + hours * 3600));
    if !is_seam || text.split(|c: char| !c.is_ascii_alphabetic()).any(is_relative) {
        return Some(secs);
    }
    // the same text in a zone that has no seams and that no text can name tells the reading itself
    let unnamed = Offset::from_seconds(zone.to_offset(now).seconds() / 60 * 60 + 1).ok()?;
    let plain = match parse_datetime_at_date(now.to_zoned(unnamed.to_time_zone()), text).ok()? {
        ParsedDateTime::InRange(plain) => plain,
        ParsedDateTime::Extended(_) => return Some(secs),
    };
    if plain.offset() != unnamed {
        return Some(secs);
    }
    let local = floor_second(&plain) + i64::from(unnamed.seconds());
    let unix = local_to_unix(local, &|unix| offset_in(zone, unix));
    (unix + i64::from(offset_in(zone, unix)) == local).then_some(unix)
}

/// Words that move a date by a span, so that its reading is not written in the text.
fn is_relative(word: &str) -> bool {
    const WORDS: [&str; 20] = [
        "year",
        "month",
        "fortnight",
        "week",
        "day",
        "hour",
        "minute",
        "min",
        "second",
        "sec",
        "ago",
        "hence",
        "now",
        "today",
        "tomorrow",
        "yesterday",
        "next",
        "last",
        "this",
        "tonight",
    ];
    let word = word.to_ascii_lowercase();
    WORDS.iter().any(|&w| w == word || word.strip_suffix('s') == Some(w))
}

/// Whether the text names the local zone by an abbreviation that is not in force at the instant.
fn names_wrong_season(text: &str, secs: i64, now: RtcInstant, zone: &TimeZone) -> bool {
    let abbreviation = |unix: i64| {
        let instant = JiffTimestamp::from_second(unix).ok()?;
        Some(zone.to_offset_info(instant).abbreviation().to_ascii_uppercase())
    };
    let local: Vec<String> =
        [0, 90, 180, 270].iter().filter_map(|days| abbreviation(now.secs + days * DAY)).collect();
    let Some(in_force) = abbreviation(secs) else { return false };
    text.split(|c: char| !c.is_ascii_alphabetic())
        .map(str::to_ascii_uppercase)
        .any(|word| local.contains(&word) && word != in_force)
}

/// Zones and their summer time, for `ZONE DST`.
const SUMMER: [(&str, &str); 16] = [
    ("WET", "WEST"),
    ("CET", "CEST"),
    ("MET", "MEST"),
    ("EET", "EEST"),
    ("MSK", "MSD"),
    ("GMT", "BST"),
    ("NST", "NDT"),
    ("AST", "ADT"),
    ("EST", "EDT"),
    ("CST", "CDT"),
    ("MST", "MDT"),
    ("PST", "PDT"),
    ("AKST", "AKDT"),
    ("CLT", "CLST"),
    ("BRT", "BRST"),
    ("NZST", "NZDT"),
];

/// Turns what the crate reads in another way into what it reads as GNU date does; `None`: GNU date refuses it.
fn rewrite(text: &str) -> Option<String> {
    let text = summer_zones(&without_comments(text))?;
    let meaning = text.trim_matches(|c: char| c.is_ascii_whitespace() || matches!(c, '+' | '-'));
    if meaning.is_empty() {
        return Some("00:00".to_owned());
    }
    zone_after_time(&text)
}

/// Drops `( … )`, nested too; an open one ends the text.
fn without_comments(text: &str) -> String {
    let mut depth = 0_usize;
    let mut quoted = false;
    let mut kept = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth > 0 => {
                depth -= 1;
                kept.push(' ');
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            kept.push(c);
        }
    }
    kept
}

/// `EST DST` becomes `EDT`; `J` alone, the one letter that is no military zone, is refused.
fn summer_zones(text: &str) -> Option<String> {
    let mut words: Vec<&str> = Vec::new();
    for word in text.split_inclusive(|c: char| c.is_ascii_whitespace()) {
        let bare = word.trim_end();
        if bare.eq_ignore_ascii_case("J") {
            return None;
        }
        let before = words.last().map(|w| w.trim_end().to_ascii_uppercase());
        let summer =
            SUMMER.iter().find(|(zone, _)| before.as_deref() == Some(zone)).map(|(_, summer)| *summer);
        match summer {
            Some(summer) if bare.eq_ignore_ascii_case("DST") => {
                words.pop();
                words.extend([summer, " "]);
            }
            _ => words.push(word),
        }
    }
    Some(words.concat())
}

/// A signed number right after a time `H:M[:S]` is a zone, whatever follows: it is written out as `+HH:MM`.
fn zone_after_time(text: &str) -> Option<String> {
    let mut done = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(end) = end_of_time(rest) {
        let (time, after) = rest.split_at(end);
        done.push_str(time);
        rest = after;
        let Some(signed) = after.trim_start().strip_prefix(['+', '-']) else { continue };
        let sign = if after.trim_start().starts_with('-') { '-' } else { '+' };
        let number = signed.trim_start();
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = number.split_at(digits);
        if digits == 0 || tail.starts_with(':') || tail.trim().is_empty() {
            continue;
        }
        let value: u32 = number.parse().ok()?;
        let (hours, minutes) = if digits <= 2 { (value, 0) } else { (value / 100, value % 100) };
        if hours > 24 || minutes > 59 || digits > 4 {
            return None;
        }
        done.push_str(&format!(" {sign}{hours:02}:{minutes:02} "));
        rest = tail;
    }
    done.push_str(rest);
    Some(done)
}

/// Where the first `H:M[:S[.fraction]]` of a text ends.
fn end_of_time(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes.iter().skip(from).take_while(|b| b.is_ascii_digit()).count();
    let mut at = 0;
    loop {
        let colon = at + bytes.get(at..)?.iter().position(|&b| b == b':')?;
        let before = bytes.get(..colon)?.iter().rev().take_while(|b| b.is_ascii_digit()).count();
        let minutes = digits(colon + 1);
        // +02:00 is a zone that is written out already
        let signed = matches!(bytes.get(colon.wrapping_sub(before + 1)), Some(b'+' | b'-'));
        let mut end = colon + 1 + minutes;
        if before == 0 || minutes == 0 || (signed && text.get(..colon).is_some_and(|t| t.contains(':'))) {
            at = end;
            continue;
        }
        if bytes.get(end) == Some(&b':') && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
            if matches!(bytes.get(end), Some(b'.' | b',')) && digits(end + 1) > 0 {
                end += 1 + digits(end + 1);
            }
        }
        return Some(end);
    }
}

/// Units of spans and their µs; the longest name that fits counts.
const UNITS: [(&str, u64); 28] = [
    ("seconds", 1_000_000),
    ("second", 1_000_000),
    ("sec", 1_000_000),
    ("s", 1_000_000),
    ("minutes", 60_000_000),
    ("minute", 60_000_000),
    ("min", 60_000_000),
    ("months", 2_629_800_000_000),
    ("month", 2_629_800_000_000),
    ("msec", 1000),
    ("ms", 1000),
    ("m", 60_000_000),
    ("hours", 3_600_000_000),
    ("hour", 3_600_000_000),
    ("hr", 3_600_000_000),
    ("h", 3_600_000_000),
    ("days", 86_400_000_000),
    ("day", 86_400_000_000),
    ("d", 86_400_000_000),
    ("weeks", 604_800_000_000),
    ("week", 604_800_000_000),
    ("w", 604_800_000_000),
    ("years", 31_557_600_000_000),
    ("year", 31_557_600_000_000),
    ("y", 31_557_600_000_000),
    ("usec", 1),
    ("us", 1),
    ("", 0),
];

/// `+SPAN`, `-SPAN`, `SPAN ago`, relative to `now`; s since 1970.
fn span(text: &str, now: RtcInstant) -> Option<i64> {
    let (micros, back) = if let Some(rest) = text.strip_prefix('+') {
        (span_micros(rest)?, false)
    } else if let Some(rest) = text.strip_prefix('-') {
        (span_micros(rest)?, true)
    } else {
        (span_micros(text.strip_suffix(" ago")?)?, true)
    };
    let now = i128::from(now.secs) * 1_000_000 + i128::from(now.micros);
    let target = if back { now - i128::from(micros) } else { now + i128::from(micros) };
    i64::try_from(target.div_euclid(1_000_000)).ok()
}

/// One or more `NUMBER[.FRACTION] UNIT`.
fn span_micros(text: &str) -> Option<u64> {
    let mut rest = text.trim_start();
    let mut sum = 0_u64;
    let mut parts = 0_u32;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let (fraction, tail) = match tail.strip_prefix('.') {
            Some(tail) => tail.split_at(tail.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("", tail),
        };
        let tail = tail.trim_start();
        let (name, micros) =
            UNITS.iter().filter(|(n, _)| tail.starts_with(n)).max_by_key(|(n, _)| n.len())?;
        if name.is_empty() {
            return None;
        }
        sum = sum.checked_add(number.checked_mul(*micros)?)?;
        let mut place = *micros;
        for digit in fraction.bytes() {
            place /= 10;
            sum = sum.checked_add(place.checked_mul(u64::from(digit - b'0'))?)?;
        }
        rest = tail.get(name.len()..)?.trim_start();
        parts += 1;
    }
    (parts > 0).then_some(sum)
}

/// `YYYYmmddHHMMSS[.fraction]` as local time.
fn stamp(text: &str, zone: &TimeZone) -> Option<i64> {
    let (digits, fraction) = match text.split_once(['.', ',']) {
        Some((digits, fraction)) => (digits, fraction),
        None => (text, ""),
    };
    let all_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if digits.len() != 14 || !all_digits(digits) || !all_digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to)?.parse::<i32>().ok();
    let fields = RtcFields {
        years_since_1900: part(0, 4)? - 1900,
        month0: part(4, 6)? - 1,
        day: part(6, 8)?,
        hour: part(8, 10)?,
        minute: part(10, 12)?,
        second: part(12, 14)?,
        ..RtcFields::default()
    };
    let in_range = (0..12).contains(&fields.month0)
        && (1..=31).contains(&fields.day)
        && fields.hour < 24
        && fields.minute < 60
        && fields.second <= 61;
    in_range.then(|| local_to_unix(fields.to_unix_utc(), &|unix| offset_in(zone, unix)))
}

#[cfg(test)]
mod tests;
