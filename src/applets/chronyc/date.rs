//! The dates of `settime`: items in any order, as the original takes them, plus RFC 3339 and `@SECONDS`.
//!
//! Numbers out of range carry over (13 months are a year and a month), but for hours beyond 23.

use crate::types::civil::{CivilTime, days_of_date};

/// What "today" and "local" mean.
pub(super) struct Now<'a> {
    /// Seconds since 1970.
    pub(super) secs: i64,
    /// Seconds east of UTC at a second since 1970.
    pub(super) utc_offset_at: &'a dyn Fn(i64) -> i32,
}

/// Seconds since 1970 of a date; `None` when it cannot be read, or is empty.
pub(super) fn parse(text: &str, now: &Now<'_>) -> Option<i64> {
    let text = text.trim();
    if let Some(number) = text.strip_prefix('@') {
        return number.parse().ok();
    }
    let normal = rfc3339(text);
    parse_tokens(&tokens(normal.as_deref().unwrap_or(text))?, now)
}

fn parse_tokens(tokens: &[Token], now: &Now<'_>) -> Option<i64> {
    let mut items = Items::default();
    let mut rest = tokens;
    while !rest.is_empty() {
        rest = items.take(rest)?;
    }
    (items.count > 0).then(|| items.resolve(now)).flatten()
}

/// `2015-11-21T16:30:05Z` and with `+01:00` → the same in the grammar of the original; `None` when it is not of that form.
fn rfc3339(text: &str) -> Option<String> {
    let (date, time) = text.split_once(['T', 't'])?;
    let digits_only = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if date.split('-').count() != 3 || !date.split('-').all(digits_only) {
        return None;
    }
    let (clock, zone) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at_checked(at)?,
        None => (time, ""),
    };
    let clock = clock.split_once('.').map_or(clock, |(whole, _)| whole);
    if clock.split(':').count() != 3 || !clock.split(':').all(digits_only) {
        return None;
    }
    let zone = if zone.eq_ignore_ascii_case("z") { " utc".to_owned() } else { zone.replace(':', "") };
    Some(format!("{date} {clock}{zone}"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// Digits without a sign.
    Number(i64),
    /// Digits with a sign.
    Signed(i64),
    Month(i64),
    /// 0 = Sunday.
    Weekday(i64),
    /// Offset in minutes west.
    Zone(i64),
    Dst,
    Meridian(Half),
    /// How many of a unit that a word stands for by itself (`tomorrow`: 1 day).
    Unit(i64, Unit),
    Ago,
    Mark(char),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Am,
    Pm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds,
    Months,
}

/// Longer texts are no dates.
const LONGEST: usize = 256;

fn tokens(text: &str) -> Option<Vec<Token>> {
    if text.len() > LONGEST {
        return None;
    }
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        if c.is_ascii_digit() || matches!(c, '+' | '-') {
            let signed = !c.is_ascii_digit();
            if signed {
                chars.next();
            }
            let mut value: i64 = 0;
            let mut digits = 0;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                chars.next();
                value = value.checked_mul(10)?.checked_add(i64::from(digit))?;
                digits += 1;
            }
            if digits > 0 {
                found.push(match (signed, c) {
                    (false, _) => Token::Number(value),
                    (true, '-') => Token::Signed(-value),
                    (true, _) => Token::Signed(value),
                });
            }
        } else if c.is_ascii_alphabetic() {
            let mut word = String::new();
            while let Some(&c) = chars.peek().filter(|c| c.is_ascii_alphanumeric() || **c == '.') {
                chars.next();
                word.push(c.to_ascii_lowercase());
            }
            found.push(word_token(&word)?);
        } else if c == '(' {
            let mut depth = 0;
            for c in chars.by_ref() {
                depth += i32::from(c == '(') - i32::from(c == ')');
                if depth == 0 {
                    break;
                }
            }
            if depth != 0 {
                return None;
            }
        } else {
            chars.next();
            if !c.is_whitespace() {
                found.push(Token::Mark(c));
            }
        }
    }
    Some(found)
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MORE_WEEKDAYS: [(&str, i64); 5] = [("tues", 2), ("wednes", 3), ("thur", 4), ("thurs", 4), ("weds", 3)];
const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;
const UNITS: [(&str, i64, Unit); 18] = [
    ("year", 12, Unit::Months),
    ("month", 1, Unit::Months),
    ("fortnight", 14 * DAY, Unit::Seconds),
    ("week", 7 * DAY, Unit::Seconds),
    ("day", DAY, Unit::Seconds),
    ("hour", HOUR, Unit::Seconds),
    ("minute", MINUTE, Unit::Seconds),
    ("min", MINUTE, Unit::Seconds),
    ("second", 1, Unit::Seconds),
    ("sec", 1, Unit::Seconds),
    ("years", 12, Unit::Months),
    ("months", 1, Unit::Months),
    ("tomorrow", DAY, Unit::Seconds),
    ("yesterday", -DAY, Unit::Seconds),
    ("today", 0, Unit::Seconds),
    ("now", 0, Unit::Seconds),
    ("mins", MINUTE, Unit::Seconds),
    ("secs", 1, Unit::Seconds),
];
/// Words for numbers; "second" is a unit.
const ORDINALS: [(&str, i64); 14] = [
    ("last", -1),
    ("this", 0),
    ("next", 1),
    ("first", 1),
    ("third", 3),
    ("fourth", 4),
    ("fifth", 5),
    ("sixth", 6),
    ("seventh", 7),
    ("eighth", 8),
    ("ninth", 9),
    ("tenth", 10),
    ("eleventh", 11),
    ("twelfth", 12),
];
/// Hours west of UTC, and whether it is a summer time (one hour less).
const ZONES: [(&str, i64, bool); 50] = [
    ("gmt", 0, false),
    ("ut", 0, false),
    ("utc", 0, false),
    ("wet", 0, false),
    ("bst", 0, true),
    ("wat", 1, false),
    ("at", 2, false),
    ("ast", 4, false),
    ("adt", 4, true),
    ("est", 5, false),
    ("edt", 5, true),
    ("cst", 6, false),
    ("cdt", 6, true),
    ("mst", 7, false),
    ("mdt", 7, true),
    ("pst", 8, false),
    ("pdt", 8, true),
    ("yst", 9, false),
    ("ydt", 9, true),
    ("hst", 10, false),
    ("hdt", 10, true),
    ("cat", 10, false),
    ("ahst", 10, false),
    ("nt", 11, false),
    ("idlw", 12, false),
    ("cet", -1, false),
    ("met", -1, false),
    ("mewt", -1, false),
    ("mest", -1, true),
    ("mesz", -1, true),
    ("swt", -1, false),
    ("sst", -1, true),
    ("fwt", -1, false),
    ("fst", -1, true),
    ("eet", -2, false),
    ("bt", -3, false),
    ("zp4", -4, false),
    ("zp5", -5, false),
    ("zp6", -6, false),
    ("wast", -7, false),
    ("wadt", -7, true),
    ("cct", -8, false),
    ("jst", -9, false),
    ("east", -10, false),
    ("eadt", -10, true),
    ("gst", -10, false),
    ("nzt", -12, false),
    ("nzst", -12, false),
    ("nzdt", -12, true),
    ("idle", -12, false),
];

fn word_token(word: &str) -> Option<Token> {
    let at = |table: &[&str], word: &str| {
        let fits = |name: &&str| **name == *word || name.get(..3) == Some(word);
        table.iter().position(fits).and_then(|n| i64::try_from(n).ok())
    };
    match word {
        "am" | "a.m." => return Some(Token::Meridian(Half::Am)),
        "pm" | "p.m." => return Some(Token::Meridian(Half::Pm)),
        "dst" => return Some(Token::Dst),
        "ago" => return Some(Token::Ago),
        _ => {}
    }
    let bare = word.strip_suffix('.').unwrap_or(word);
    if let Some(month) = at(&MONTHS, bare).or((bare == "sept").then_some(8)) {
        return Some(Token::Month(month + 1));
    }
    let more = MORE_WEEKDAYS.iter().find(|(name, _)| *name == bare).map(|(_, n)| *n);
    if let Some(weekday) = at(&WEEKDAYS, bare).or(more) {
        return Some(Token::Weekday(weekday));
    }
    if let Some((_, west, summer)) = ZONES.iter().find(|(name, ..)| *name == word) {
        return Some(Token::Zone(west * 60 - if *summer { 60 } else { 0 }));
    }
    let unit = |word: &str| UNITS.iter().find(|(name, ..)| *name == word);
    if let Some((_, count, unit)) = unit(word).or_else(|| unit(word.strip_suffix('s')?)) {
        return Some(Token::Unit(*count, *unit));
    }
    if let Some((_, number)) = ORDINALS.iter().find(|(name, _)| *name == word) {
        return Some(Token::Number(*number));
    }
    match word.as_bytes() {
        // military: A … M west without J, N … Y east, Z
        [letter @ b'a'..=b'i'] => Some(Token::Zone(i64::from(letter - b'a' + 1) * 60)),
        [letter @ b'k'..=b'm'] => Some(Token::Zone(i64::from(letter - b'a') * 60)),
        [letter @ b'n'..=b'y'] => Some(Token::Zone(-i64::from(letter - b'n' + 1) * 60)),
        [b'z'] => Some(Token::Zone(0)),
        _ => None,
    }
}

/// What has been said.
#[derive(Debug, Default)]
struct Items {
    count: usize,
    time: Option<(i64, i64, i64)>,
    /// Minutes west of UTC.
    zone: Option<i64>,
    date: Option<DateItem>,
    weekday: Option<(i64, i64)>,
    relative: Option<(i64, i64)>,
}

#[derive(Debug, Clone, Copy)]
struct DateItem {
    year: Option<i64>,
    month: i64,
    day: i64,
}

/// Sets what may be said once only.
fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.is_none().then(|| *slot = Some(value))
}

impl Items {
    /// Takes one item off the front.
    fn take<'t>(&mut self, tokens: &'t [Token]) -> Option<&'t [Token]> {
        use Token::{Ago, Dst, Mark, Meridian, Month, Number, Signed, Weekday, Zone};
        self.count += 1;
        let rest = match *tokens {
            [Number(hour), Mark(':'), Number(minute), ref rest @ ..] => self.clock(hour, minute, rest)?,
            [Number(hour), Meridian(half), ref rest @ ..] => {
                once(&mut self.time, (twelve_hours(hour, half)?, 0, 0))?;
                rest
            }
            [Zone(west), Dst, ref rest @ ..] => {
                once(&mut self.zone, west - 60)?;
                rest
            }
            [Zone(west), ref rest @ ..] => {
                once(&mut self.zone, west)?;
                rest
            }
            [Number(n), Weekday(day), ref rest @ ..] => {
                once(&mut self.weekday, (n, day))?;
                rest
            }
            [Weekday(day), Mark(','), ref rest @ ..] | [Weekday(day), ref rest @ ..] => {
                once(&mut self.weekday, (1, day))?;
                rest
            }
            [Number(a), Mark('/'), Number(b), ref rest @ ..] => {
                let (third, rest) = match *rest {
                    [Mark('/'), Number(c), ref rest @ ..] => (Some(c), rest),
                    _ => (None, rest),
                };
                let date = match third {
                    Some(day) if a >= 1000 => DateItem { year: Some(a), month: b, day },
                    year => DateItem { year, month: a, day: b },
                };
                once(&mut self.date, date)?;
                rest
            }
            [Number(year), Signed(month), Signed(day), ref rest @ ..] if month <= 0 && day <= 0 => {
                once(&mut self.date, DateItem { year: Some(year), month: -month, day: -day })?;
                rest
            }
            [Number(day), Month(month), Signed(year), ref rest @ ..] if year <= 0 => {
                once(&mut self.date, DateItem { year: Some(-year), month, day })?;
                rest
            }
            [Number(day), Month(month), ref rest @ ..] => {
                let (year, rest) = self.year_after(rest);
                once(&mut self.date, DateItem { year, month, day })?;
                rest
            }
            [Month(month), Number(day), Mark(','), Number(year), ref rest @ ..] => {
                once(&mut self.date, DateItem { year: Some(year), month, day })?;
                rest
            }
            [Month(month), Number(day), ref rest @ ..] => {
                once(&mut self.date, DateItem { year: None, month, day })?;
                rest
            }
            [Number(n) | Signed(n), Token::Unit(count, unit), ref rest @ ..] => {
                let (sign, rest) = ago(rest);
                self.add(n.checked_mul(count)?.checked_mul(sign)?, unit)?;
                rest
            }
            [Token::Unit(count, unit), ref rest @ ..] => {
                let (sign, rest) = ago(rest);
                self.add(count * sign, unit)?;
                rest
            }
            [Number(n), ref rest @ ..] => {
                self.bare(n)?;
                rest
            }
            [] | [Signed(_) | Month(_) | Meridian(_) | Dst | Ago | Mark(_), ..] => return None,
        };
        Some(rest)
    }

    /// What follows `H:MM`: seconds, then am or pm, or a zone.
    fn clock<'t>(&mut self, hour: i64, minute: i64, rest: &'t [Token]) -> Option<&'t [Token]> {
        use Token::{Mark, Meridian, Number, Signed};
        let (second, rest) = match *rest {
            [Mark(':'), Number(second), ref rest @ ..] => (second, rest),
            _ => (0, rest),
        };
        let (hour, rest) = match *rest {
            [Meridian(half), ref rest @ ..] => (twelve_hours(hour, half)?, rest),
            [Signed(zone), ref rest @ ..] => {
                once(&mut self.zone, -(zone / 100 * 60 + zone % 100))?;
                (hour, rest)
            }
            _ => (hour, rest),
        };
        once(&mut self.time, (hour, minute, second))?;
        Some(rest)
    }

    /// A year after day and month, unless it is the hour of a time.
    fn year_after<'t>(&self, rest: &'t [Token]) -> (Option<i64>, &'t [Token]) {
        match rest {
            [Token::Number(_), Token::Mark(':') | Token::Meridian(_) | Token::Unit(..), ..] => (None, rest),
            [Token::Number(year), after @ ..] => (Some(*year), after),
            _ => (None, rest),
        }
    }

    fn add(&mut self, amount: i64, unit: Unit) -> Option<()> {
        let (months, seconds) = self.relative.unwrap_or_default();
        self.relative = Some(match unit {
            Unit::Months => (months.checked_add(amount)?, seconds),
            Unit::Seconds => (months, seconds.checked_add(amount)?),
        });
        Some(())
    }

    /// A number that belongs to nothing else.
    fn bare(&mut self, n: i64) -> Option<()> {
        if let (Some(_), Some(date), None) = (self.time, &mut self.date, self.relative) {
            date.year = Some(n);
            return Some(());
        }
        match n {
            0..100 => once(&mut self.time, (n, 0, 0)),
            100..=10_000 => once(&mut self.time, (n / 100, n % 100, 0)),
            _ => {
                let date = DateItem { year: Some(n / 10_000), month: n / 100 % 100, day: n % 100 };
                once(&mut self.date, date)
            }
        }
    }

    fn resolve(&self, now: &Now<'_>) -> Option<i64> {
        let today = CivilTime::from_unix(now.secs, 0, (now.utc_offset_at)(now.secs));
        let date = self.date.unwrap_or(DateItem {
            year: Some(today.year),
            month: i64::from(today.month),
            day: i64::from(today.day),
        });
        let year = match (date.year, self.date) {
            (Some(short @ 0..69), Some(_)) => short + 2000,
            (Some(short @ 69..100), Some(_)) => short + 1900,
            (Some(year), _) => year,
            (None, _) => today.year,
        };
        let (hour, minute, second) = match self.time {
            Some(time) => time,
            None if self.date.is_none() && self.weekday.is_none() && self.relative.is_some() => {
                (i64::from(today.hour), i64::from(today.minute), i64::from(today.second))
            }
            None => (0, 0, 0),
        };
        if hour > 23 {
            return None;
        }
        let (months, seconds) = self.relative.unwrap_or_default();
        let month = (year.checked_mul(12)?.checked_add(date.month)?.checked_add(months)?).checked_sub(1)?;
        let mut day =
            days_of_date(limited(month.div_euclid(12))?, u8::try_from(month.rem_euclid(12) + 1).ok()?, 1)
                .checked_add(limited(date.day)? - 1)?;
        if let (Some((nth, weekday)), None) = (self.weekday, self.date) {
            // the first such day from today on; the second a week later; the "last" one a week earlier
            let ahead = (weekday - (day + 4)).rem_euclid(7);
            day += ahead + 7 * if nth <= 0 { limited(nth)? } else { limited(nth)? - 1 };
        }
        let local = day.checked_mul(DAY)? + hour * HOUR + limited(minute)? * MINUTE + limited(second)?;
        let secs = match self.zone {
            Some(west) => local + limited(west)? * MINUTE,
            None => local_to_utc(local, now.utc_offset_at),
        };
        secs.checked_add(seconds)
    }
}

/// Numbers that no calendar needs are refused, so that nothing overflows.
fn limited(n: i64) -> Option<i64> {
    (n.abs() < 1_000_000_000).then_some(n)
}

fn ago(rest: &[Token]) -> (i64, &[Token]) {
    match rest {
        [Token::Ago, after @ ..] => (-1, after),
        _ => (1, rest),
    }
}

fn twelve_hours(hour: i64, half: Half) -> Option<i64> {
    let hour = match hour {
        12 => 0,
        1..12 => hour,
        _ => return None,
    };
    Some(if half == Half::Pm { hour + 12 } else { hour })
}

/// The second at which the local clock reads so; within an hour that is skipped or doubled, one of its two neighbours.
fn local_to_utc(local: i64, utc_offset_at: &dyn Fn(i64) -> i32) -> i64 {
    let guess = local - i64::from(utc_offset_at(local));
    local - i64::from(utc_offset_at(guess))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21 05:01:27 UTC.
    const NOW: i64 = 1_795_237_287;

    fn at(text: &str, east: i32) -> Option<i64> {
        parse(text, &Now { secs: NOW, utc_offset_at: &|_| east })
    }

    #[test]
    fn dates_measured_with_the_original() {
        for (text, secs) in [
            ("2026-11-21 16:30:05", 1_795_278_605),
            ("Nov 21, 2015 16:30:05", 1_448_123_405),
            ("21 Nov 2015 16:30", 1_448_123_400),
            ("11/21/2015 4:30pm", 1_448_123_400),
            ("11/21/15 4pm", 1_448_121_600),
            ("20151121 1630", 1_448_123_400),
            ("21-NOV-2015 16:30:05", 1_448_123_405),
            ("2015-11-21 16:30:05 EST", 1_448_141_405),
            ("2015-11-21", 1_448_064_000),
            ("2015-11-21 16:30 tomorrow", 1_448_209_800),
            ("12:60", NOW - (5 * 3600 + 87) + 13 * 3600),
            ("2015-13-01 00:00", 1_451_606_400),
            ("2040-01-01 00:00:00 UTC", 2_208_988_800),
        ] {
            assert_eq!(at(text, 0), Some(secs), "{text}");
        }
        for text in ["25:00", "garbage", "", "   ", "2015-11-21 16:30 16:31", "12 13 pm", "(open", "-"] {
            assert_eq!(at(text, 0), None, "{text}");
        }
    }

    #[test]
    fn relative_items_start_from_now() {
        for (text, ahead) in [
            ("now", 0),
            ("tomorrow", DAY),
            ("2 days ago", -2 * DAY),
            ("next week", 7 * DAY),
            ("3 hours", 3 * HOUR),
            ("-5 min", -300),
            ("1 hour 1 minute", 3660),
            ("fortnight", 14 * DAY),
        ] {
            assert_eq!(at(text, 0), Some(NOW + ahead), "{text}");
        }
        assert_eq!(at("1 month", 0), at("2026-12-21 05:01:27", 0));
        assert_eq!(at("1 year ago", 0), at("2025-11-21 05:01:27", 0));
    }

    #[test]
    fn weekdays_and_comments() {
        // the 21st is a Saturday
        assert_eq!(at("saturday", 0), at("2026-11-21", 0));
        assert_eq!(at("Tues.", 0), at("2026-11-24", 0));
        assert_eq!(at("2 sun 10:00 (a comment (nested))", 0), at("2026-11-29 10:00", 0));
    }

    #[test]
    fn zones() {
        assert_eq!(at("10:00", 3600), at("09:00 UTC", 3600));
        assert_eq!(at("10:00+0100", 0), at("09:00", 0));
        assert_eq!(at("10:00 cet dst", 0), at("08:00", 0));
        assert_eq!(at("10:00 a", 0), at("11:00", 0));
        assert_eq!(at("10:00 n", 0), at("09:00", 0));
        assert_eq!(at("10:00 bst", 0), at("09:00", 0));
    }

    #[test]
    fn forms_that_the_original_lacks() {
        assert_eq!(at("2015-11-21T16:30:05Z", 3600), Some(1_448_123_405));
        assert_eq!(at("2015-11-21T17:30:05+01:00", 0), Some(1_448_123_405));
        assert_eq!(at("@1700000000", 0), Some(1_700_000_000));
        assert_eq!(at("@x", 0), None);
    }

    #[test]
    fn huge_numbers_are_refused() {
        for text in [
            "99999999999999999999",
            "9223372036854775807 years",
            "1/1/9999999999",
            "10:99999999999",
            "99999999999 sun",
        ] {
            assert_eq!(at(text, 0), None, "{text}");
        }
    }
}
