//! The TIME of `set-time`: systemd 257's grammar (systemd.time(7)).
//!
//! A zone may follow (`Z`, `+02:00`, `UTC`, a zone's name, the local zone's abbreviations); what stands before it is a word
//! (`now`, `today`), a span (`+5min`, `2h ago`, `@SECONDS`) or a date and time in one of eleven formats, read as leniently
//! as `strptime` reads them.

use super::span::{self, Refused};
use crate::sys::tz::{Reading, Zone};
use crate::types::Timestamp;
use crate::types::civil::{CivilTime, days_of_date};

const MICROS: i64 = 1_000_000;
const DAY: i64 = 86_400;
/// 9999-12-30 23:59:59 UTC, the last second that a date may name.
const LAST: i64 = 253_402_214_399;
/// Offsets from UTC go up to a day.
const MAX_OFFSET: i32 = 24 * 3600;

/// What the answer depends on besides the text.
pub(super) struct Context<'a> {
    /// The present.
    pub(super) now: Timestamp,
    /// The caller's zone.
    pub(super) zone: &'a Zone,
    /// Looks up a zone by its name.
    pub(super) named: &'a dyn Fn(&str) -> Option<Zone>,
}

/// The zone that a text names itself.
enum Scale {
    Fixed(i32),
    Named(Zone),
    /// The caller's, standard or daylight saving time.
    Local(bool),
}

/// Reads a TIME: microseconds since 1970.
///
/// # Errors
/// [`Refused`].
pub(super) fn parse(text: &str, context: &Context<'_>) -> Result<i64, Refused> {
    match split_zone(text, context) {
        Some((rest, scale)) => dated(rest, Some(&scale), context),
        None => match relative(text, context) {
            Some(answer) => answer,
            None => dated(text, None, context),
        },
    }
}

/// Cuts a zone off the end.
fn split_zone<'a>(text: &'a str, context: &Context<'_>) -> Option<(&'a str, Scale)> {
    if let Some(rest) = text.strip_suffix('Z') {
        return Some((rest.strip_suffix(' ').unwrap_or(rest), Scale::Fixed(0)));
    }
    if let Some((rest, tail)) = text.len().checked_sub(6).and_then(|at| text.split_at_checked(at)) {
        let welded = !rest.ends_with(' ') && tail.contains(':');
        if let Some(offset) = offset(tail).filter(|_| welded) {
            return Some((rest, Scale::Fixed(offset)));
        }
    }
    let (rest, word) = text.rsplit_once(' ')?;
    if let Some(offset) = offset(word) {
        return Some((rest, Scale::Fixed(offset)));
    }
    if word == "UTC" {
        return Some((rest, Scale::Fixed(0)));
    }
    let local = context.zone.abbreviations(context.now.secs());
    if let Some((_, dst)) = local.iter().find(|(name, _)| name == word) {
        return Some((rest, Scale::Local(*dst)));
    }
    (context.named)(word).map(|zone| (rest, Scale::Named(zone)))
}

/// `±HH`, `±HHMM`, `±HH:MM` in seconds.
fn offset(word: &str) -> Option<i32> {
    let (sign, digits) = match word.as_bytes().first()? {
        b'+' => (1, word.get(1..)?),
        b'-' => (-1, word.get(1..)?),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (digits, "00"),
        4 => digits.split_at_checked(2)?,
        5 => digits.split_once(':').filter(|(hours, _)| hours.len() == 2)?,
        _ => return None,
    };
    let number =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i32>().ok()).flatten();
    let (hours, minutes) = (number(hours)?, number(minutes).filter(|&m| m < 60)?);
    let seconds = hours * 3600 + minutes * 60;
    (seconds <= MAX_OFFSET).then_some(sign * seconds)
}

/// `now`, `@SPAN`, `+SPAN`, `-SPAN`, `SPAN ago`, `SPAN left`.
fn relative(text: &str, context: &Context<'_>) -> Option<Result<i64, Refused>> {
    let now = context.now.as_nanos().div_euclid(1000);
    let span = |text: &str| span::parse(text).map(|micros| i64::try_from(micros).unwrap_or(i64::MAX));
    let later = |text: &str| span(text).map(|micros| now.saturating_add(micros));
    let earlier = |text: &str| {
        span(text).and_then(|micros| if micros > now { Err(Refused::Invalid) } else { Ok(now - micros) })
    };
    if text == "now" {
        Some(Ok(now))
    } else if let Some(text) = text.strip_prefix('@') {
        Some(span(text))
    } else if let Some(text) = text.strip_prefix('+') {
        Some(later(text))
    } else if let Some(text) = text.strip_prefix('-') {
        Some(earlier(text))
    } else if let Some(text) = text.strip_suffix(" ago") {
        Some(earlier(text))
    } else {
        text.strip_suffix(" left").map(later)
    }
}

/// A day's word, or date and time.
fn dated(text: &str, scale: Option<&Scale>, context: &Context<'_>) -> Result<i64, Refused> {
    let fixed;
    let (zone, offset, dst) = match scale {
        None => (context.zone, None, None),
        Some(Scale::Local(dst)) => (context.zone, None, Some(*dst)),
        Some(Scale::Named(zone)) => (zone, None, None),
        Some(Scale::Fixed(offset)) => {
            fixed = Zone::utc();
            (&fixed, Some(*offset), None)
        }
    };
    let now = context.now.secs();
    let today = CivilTime::from_unix(now, 0, offset.unwrap_or_else(|| zone.at(now).utc_offset));
    let unix = |reading: &Reading| match offset {
        Some(offset) => reading.as_if_utc() - i64::from(offset),
        None => zone.to_unix(reading, dst),
    };
    let day = match text {
        "today" => Some(0),
        "yesterday" => Some(-1),
        "tomorrow" => Some(1),
        _ => None,
    };
    if let Some(days) = day {
        let (year, month, day) =
            crate::types::civil::date_of_days(days_of_date(today.year, today.month, today.day) + days);
        return limited(unix(&Reading { year, month, day, hour: 0, minute: 0, second: 0 }), 0);
    }
    let (weekday, rest) = weekday(text);
    let (reading, micros) =
        FORMATS.iter().find_map(|format| read(rest, format, &today)).ok_or(Refused::Invalid)?;
    let shown = (reading.as_if_utc().div_euclid(DAY) + 4).rem_euclid(7);
    if weekday.is_some_and(|wanted| wanted != shown) {
        return Err(Refused::Invalid);
    }
    limited(unix(&reading), micros)
}

fn limited(unix: i64, micros: i64) -> Result<i64, Refused> {
    match unix {
        ..0 => Err(Refused::OutOfRange),
        0..=LAST => Ok(unix * MICROS + micros),
        _ => Err(Refused::Invalid),
    }
}

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A weekday, whole or by three letters, before a space: 0 = Sunday.
fn weekday(text: &str) -> (Option<i64>, &str) {
    let found = (0..).zip(WEEKDAYS).find_map(|(number, name)| {
        let rest = name_at(text, name)?;
        rest.strip_prefix(' ').map(|rest| (number, rest))
    });
    match found {
        Some((number, rest)) => (Some(number), rest),
        None => (None, text),
    }
}

/// What follows a name, whole or by three letters, in any case.
fn name_at<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    [name, name.get(..3)?].into_iter().find_map(|name| {
        let (start, rest) = text.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then_some(rest)
    })
}

/// In the order in which they are tried; those that end in `S` may go on with a fraction.
const FORMATS: [&str; 11] = [
    "y-m-d H:M:S",
    "Y-m-d H:M:S",
    "Y-m-dTH:M:S",
    "b d H:M:S",
    "y-m-d H:M",
    "Y-m-d H:M",
    "Y-m-dTH:M",
    "y-m-d",
    "Y-m-d",
    "H:M:S",
    "H:M",
];

/// Reads a text by a format, letters as in `strptime`: the reading, and µs of a fraction.
fn read(text: &str, format: &str, today: &CivilTime) -> Option<(Reading, i64)> {
    let mut reading =
        Reading { year: today.year, month: today.month, day: today.day, hour: 0, minute: 0, second: 0 };
    let mut rest = text;
    for letter in format.chars() {
        let mut field = |low: i64, high: i64, digits: usize| {
            let (value, after) = number(rest, low, high, digits)?;
            rest = after;
            Some(value)
        };
        match letter {
            'y' => reading.year = field(0, 99, 2).map(|y| if y < 69 { 2000 + y } else { 1900 + y })?,
            'Y' => reading.year = field(0, 9999, 4)?,
            'm' => reading.month = u8::try_from(field(1, 12, 2)?).ok()?,
            'd' => reading.day = u8::try_from(field(1, 31, 2)?).ok()?,
            'H' => reading.hour = u8::try_from(field(0, 23, 2)?).ok()?,
            'M' => reading.minute = u8::try_from(field(0, 59, 2)?).ok()?,
            'S' => reading.second = u8::try_from(field(0, 61, 2)?).ok()?,
            'b' => {
                let found = (1..).zip(MONTHS).find_map(|(n, name)| Some((n, name_at(rest, name)?)));
                (reading.month, rest) = found?;
            }
            ' ' => rest = rest.trim_ascii_start(),
            literal => rest = rest.strip_prefix(literal)?,
        }
    }
    let micros = match rest.strip_prefix('.').filter(|_| format.ends_with('S')) {
        Some(digits) => fraction(digits)?,
        None if rest.is_empty() => 0,
        None => return None,
    };
    Some((reading, micros))
}

/// A number as `strptime` takes it: blanks before it, at most so many digits, and none that would lead out of the range.
fn number(text: &str, low: i64, high: i64, digits: usize) -> Option<(i64, &str)> {
    let text = text.trim_start_matches(' ');
    let mut value = 0;
    let mut used = 0;
    for digit in text.bytes().take(digits).take_while(u8::is_ascii_digit) {
        if used > 0 && value * 10 > high {
            break;
        }
        value = value * 10 + i64::from(digit - b'0');
        used += 1;
    }
    (used > 0 && (low..=high).contains(&value)).then(|| (value, text.get(used..).unwrap_or_default()))
}

/// Digits after the point, rounded to µs.
fn fraction(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let padded = digits.bytes().chain(std::iter::repeat(b'0')).take(7);
    let tenths = padded.fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some((tenths + 5) / 10)
}
