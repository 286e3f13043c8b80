//! Lengths of time as systemd writes and reads them: `1h 30min`, `2 months 2 days`.

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// 30.4375 days.
const MONTH: u64 = 2_629_800 * SECOND;
/// 365.25 days.
const YEAR: u64 = 31_557_600 * SECOND;

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has no such form.
    Invalid,
    /// It has the form, but lies out of range.
    OutOfRange,
}

impl Refused {
    /// The C library's words.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid argument",
            Self::OutOfRange => "Numerical result out of range",
        }
    }
}

/// Units that are read; a longer name stands before its own prefix.
const UNITS: &[(&str, u64)] = &[
    ("seconds", SECOND),
    ("second", SECOND),
    ("sec", SECOND),
    ("s", SECOND),
    ("minutes", MINUTE),
    ("minute", MINUTE),
    ("min", MINUTE),
    ("months", MONTH),
    ("month", MONTH),
    ("M", MONTH),
    ("msec", 1000),
    ("ms", 1000),
    ("m", MINUTE),
    ("hours", HOUR),
    ("hour", HOUR),
    ("hr", HOUR),
    ("h", HOUR),
    ("days", DAY),
    ("day", DAY),
    ("d", DAY),
    ("weeks", WEEK),
    ("week", WEEK),
    ("w", WEEK),
    ("years", YEAR),
    ("year", YEAR),
    ("y", YEAR),
    ("usec", 1),
    ("us", 1),
    ("μs", 1),
    ("µs", 1),
];

/// Reads `[N[.F]][UNIT]` repeated; the default unit is the second. Microseconds, further digits are cut off.
///
/// # Errors
/// [`Refused`].
pub(super) fn parse(text: &str) -> Result<u64, Refused> {
    let mut rest = text.trim_start();
    let mut sum: u64 = 0;
    if rest.is_empty() {
        return Err(Refused::Invalid);
    }
    while !rest.is_empty() {
        if rest.starts_with('-') {
            return Err(Refused::OutOfRange);
        }
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("0", after),
        };
        if fraction.is_empty() || (whole.is_empty() && !rest.starts_with('.')) {
            return Err(Refused::Invalid);
        }
        let after = after.trim_start();
        let (unit, after) = UNITS
            .iter()
            .find_map(|(name, unit)| Some((*unit, after.strip_prefix(name)?)))
            .unwrap_or((SECOND, after));
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| Refused::OutOfRange)? };
        if whole >= (u64::MAX - 1 - sum) / unit {
            return Err(Refused::OutOfRange);
        }
        sum += whole * unit;
        let mut place = unit;
        for digit in fraction.bytes() {
            place /= 10;
            sum = sum.saturating_add(u64::from(digit - b'0') * place);
        }
        if after.starts_with('.') {
            return Err(Refused::Invalid);
        }
        rest = after.trim_start();
    }
    Ok(sum)
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Units that are written.
const WRITTEN: &[(&str, u64)] = &[
    ("y", YEAR),
    ("month", MONTH),
    ("w", WEEK),
    ("d", DAY),
    ("h", HOUR),
    ("min", MINUTE),
    ("s", SECOND),
    ("ms", 1000),
    ("us", 1),
];

/// Writes a number of microseconds: largest unit first; less than a minute with a broken rest goes out as one decimal.
pub(super) fn format(micros: u64) -> String {
    if micros == u64::MAX {
        return "infinity".into();
    }
    if micros == 0 {
        return "0".into();
    }
    let mut left = micros;
    let mut parts = Vec::new();
    for &(name, unit) in WRITTEN {
        if left < unit {
            continue;
        }
        if left < MINUTE && !left.is_multiple_of(unit) {
            let digits = unit.ilog10() as usize;
            parts.push(format!("{}.{:0digits$}{name}", left / unit, left % unit));
            break;
        }
        parts.push(format!("{}{name}", left / unit));
        left %= unit;
        if left == 0 {
            break;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_systemd_writes_them() {
        for (micros, text) in [
            (0, "0"),
            (999, "999us"),
            (1000, "1ms"),
            (1500, "1.500ms"),
            (1_100_000, "1.100000s"),
            (60 * SECOND, "1min"),
            (61_500_000, "1min 1.500000s"),
            (3661 * SECOND, "1h 1min 1s"),
            (2048 * SECOND, "34min 8s"),
            (64 * SECOND, "1min 4s"),
            (7 * DAY, "1w"),
            (31 * DAY, "1month 13h 30min"),
            (365 * DAY, "11month 4w 2d 4h 30min"),
            (15_289, "15.289ms"),
            (u64::MAX, "infinity"),
        ] {
            assert_eq!(format(micros), text);
        }
    }

    #[test]
    fn spans_are_read_as_systemd_reads_them() {
        for (text, micros) in [
            ("5min", 300 * SECOND),
            (" 5", 5 * SECOND),
            ("5 5", 10 * SECOND),
            ("1h30min", 5400 * SECOND),
            ("1h 30", 3630 * SECOND),
            ("1.5h", 5400 * SECOND),
            (".5", 500_000),
            ("1 y 2 M", YEAR + 2 * MONTH),
            ("1m", MINUTE),
            ("1M", MONTH),
            ("2 months 2 days", 2 * MONTH + 2 * DAY),
            ("1µs", 1),
            ("1.1234567", 1_123_456),
        ] {
            assert_eq!(parse(text), Ok(micros), "{text}");
        }
        for text in ["", " ", "x", "5.", "5.h", "1e3", "1.5.5h", "infinity", "1us ago", "+5"] {
            assert_eq!(parse(text), Err(Refused::Invalid), "{text}");
        }
        for text in ["-5", "99999999999y", "584542y", "18446744073709", "99999999999999999999"] {
            assert_eq!(parse(text), Err(Refused::OutOfRange), "{text}");
        }
    }
}
