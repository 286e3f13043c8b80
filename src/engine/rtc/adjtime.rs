//! `/etc/adjtime`: how fast the RTC drifts, when it was last set right, and whether it keeps UTC or local time.
//!
//! Three lines: `FACTOR LAST_ADJUSTMENT NOT_ADJUSTED`, `LAST_CALIBRATION`, `UTC` or `LOCAL`. Reading is as lenient as in util-linux 2.41
//! (`fgets` of 80 bytes, `sscanf`), except that a number that cannot be read is 0 there and not an uninitialised value.

use std::fmt::Write as _;

/// Bytes of a line that are looked at; the rest counts as the next line.
const LINE_LIMIT: usize = 80;

/// Which time scale an RTC keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Coordinated universal time.
    Utc,
    /// The wall clock of the host's zone.
    Local,
}

impl Scale {
    /// The word of the third line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Utc => "UTC",
            Self::Local => "LOCAL",
        }
    }
}

/// The contents of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adjtime {
    /// Systematic drift in s/day; > 0: the RTC runs slow, so much is added per day.
    pub drift_factor: f64,
    /// When the RTC was last set or adjusted: s since 1970, 0 = never.
    pub last_adjustment: i64,
    /// Drift that the last adjustment left in place, s; written as 0.
    pub not_adjusted: f64,
    /// When the RTC was last set to a time that is known to be right: s since 1970, 0 = never.
    pub last_calibration: i64,
    /// The third line; `None`: absent or not understood.
    pub scale: Option<Scale>,
}

/// What is wrong with a file that was read all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdjtimeWarning {
    /// The first or second line lacks its numbers: the line up to a NUL, with its newline if it has one.
    Line(Vec<u8>),
    /// The third line is neither `UTC` nor `LOCAL` with a newline; it counts as UTC.
    ThirdLine,
}

impl Default for Adjtime {
    fn default() -> Self {
        Self { drift_factor: 0.0, last_adjustment: 0, not_adjusted: 0.0, last_calibration: 0, scale: None }
    }
}

impl Adjtime {
    /// Reads the file's content; never fails.
    pub fn parse(content: &[u8]) -> (Self, Vec<AdjtimeWarning>) {
        let mut adjtime = Self::default();
        let mut warnings = Vec::new();
        let mut rest = content;
        let first = next_line(&mut rest);
        let second = next_line(&mut rest);
        let third = next_line(&mut rest);

        let mut scan = Scanner(c_string(first));
        let complete = (|| {
            adjtime.drift_factor = scan.double()?;
            adjtime.last_adjustment = scan.integer()?;
            adjtime.not_adjusted = scan.double()?;
            Some(())
        })();
        if complete.is_none() {
            warnings.push(AdjtimeWarning::Line(c_string(first).to_vec()));
        }
        match Scanner(c_string(second)).integer() {
            Some(secs) => adjtime.last_calibration = secs,
            None => warnings.push(AdjtimeWarning::Line(c_string(second).to_vec())),
        }
        adjtime.scale = match c_string(third) {
            b"UTC\n" => Some(Scale::Utc),
            b"LOCAL\n" => Some(Scale::Local),
            b"" => None,
            _ => {
                warnings.push(AdjtimeWarning::ThirdLine);
                None
            }
        };
        (adjtime, warnings)
    }

    /// The file's content as it is written.
    pub fn emit(&self, scale: Scale) -> String {
        format!(
            "{} {} {}\n{}\n{}\n",
            c_double(self.drift_factor),
            self.last_adjustment,
            c_double(self.not_adjusted),
            self.last_calibration,
            scale.word()
        )
    }
}

/// A number as `strtod` reads it (blanks before it, hexadecimal, `inf`, `nan`), and what follows it; `None` if there is none.
pub fn parse_double(text: &[u8]) -> Option<(f64, &[u8])> {
    let mut scan = Scanner(text);
    let number = scan.double()?;
    Some((number, scan.0))
}

/// `fgets`: up to and with the next newline, at most [`LINE_LIMIT`] bytes.
fn next_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().take(LINE_LIMIT).position(|&b| b == b'\n').map_or(LINE_LIMIT, |at| at + 1);
    let (line, tail) = rest.split_at(end.min(rest.len()));
    *rest = tail;
    line
}

/// A line as C's string functions see it: up to the first NUL.
fn c_string(line: &[u8]) -> &[u8] {
    line.split(|&b| b == 0).next().unwrap_or_default()
}

/// `%f` of C, which writes `nan` and `inf` in small letters.
fn c_double(value: f64) -> String {
    let mut text = String::new();
    if value.is_finite() {
        let _ = write!(text, "{value:.6}");
    } else {
        let sign = if value.is_sign_negative() { "-" } else { "" };
        let _ = write!(text, "{sign}{}", if value.is_nan() { "nan" } else { "inf" });
    }
    text
}

/// `sscanf` with `%lf` and `%ld`.
struct Scanner<'a>(&'a [u8]);

impl<'a> Scanner<'a> {
    fn skip_blanks(&mut self) {
        let blanks = self.0.iter().take_while(|b| matches!(b, b' ' | b'\t'..=b'\r')).count();
        self.0 = self.0.get(blanks..).unwrap_or_default();
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn sign(&mut self) -> bool {
        match self.0.first() {
            Some(b'-') => self.take(1) == b"-",
            Some(b'+') => self.take(1) != b"+",
            _ => false,
        }
    }

    fn digits(&self, radix: u32) -> usize {
        self.0.iter().take_while(|&&b| char::from(b).is_digit(radix)).count()
    }

    /// `%ld`: saturates like `strtol`.
    fn integer(&mut self) -> Option<i64> {
        self.skip_blanks();
        let negative = self.sign();
        let count = self.digits(10);
        let digits = self.take(count);
        if digits.is_empty() {
            return None;
        }
        let magnitude = digits
            .iter()
            .fold(0_i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
        Some(if negative { magnitude.saturating_neg() } else { magnitude })
    }

    /// `%lf`: decimal, hexadecimal, `inf`, `nan`.
    fn double(&mut self) -> Option<f64> {
        self.skip_blanks();
        let negative = self.sign();
        let word = |name: &[u8]| self.0.get(..name.len()).is_some_and(|w| w.eq_ignore_ascii_case(name));
        let magnitude = if word(b"infinity") {
            self.take(8);
            f64::INFINITY
        } else if word(b"inf") {
            self.take(3);
            f64::INFINITY
        } else if word(b"nan") {
            self.take(3);
            f64::NAN
        } else if word(b"0x") {
            self.take(2);
            self.hexadecimal()?
        } else {
            self.decimal()?
        };
        Some(if negative { -magnitude } else { magnitude })
    }

    fn decimal(&mut self) -> Option<f64> {
        let start = self.0;
        let mut count = self.digits(10);
        self.take(count);
        let mut length = count;
        if self.0.first() == Some(&b'.') {
            self.take(1);
            let fraction = self.digits(10);
            self.take(fraction);
            count += fraction;
            length += 1 + fraction;
        }
        if count == 0 {
            return None;
        }
        if let Some(exponent) = self.exponent(b'e') {
            length += exponent;
        }
        std::str::from_utf8(start.get(..length)?).ok()?.parse().ok()
    }

    fn hexadecimal(&mut self) -> Option<f64> {
        let mut value = 0.0;
        let mut scale = 0_i32;
        let mut seen = 0_usize;
        let mut point = false;
        while let Some(&byte) = self.0.first() {
            match char::from(byte).to_digit(16) {
                Some(digit) => {
                    value = value * 16.0 + f64::from(digit);
                    scale -= if point { 4 } else { 0 };
                    seen += 1;
                }
                None if byte == b'.' && !point => point = true,
                None => break,
            }
            self.take(1);
        }
        if seen == 0 {
            return None;
        }
        let before = self.0;
        if let Some(length) = self.exponent(b'p') {
            let text = std::str::from_utf8(before.get(1..length)?).ok()?;
            scale = scale.saturating_add(text.parse().unwrap_or(if text.starts_with('-') {
                -9999
            } else {
                9999
            }));
        }
        Some(value * 2_f64.powi(scale))
    }

    /// Takes `e+12`; `None` and nothing taken if no digit follows.
    fn exponent(&mut self, letter: u8) -> Option<usize> {
        let start = self.0;
        if !self.0.first()?.eq_ignore_ascii_case(&letter) {
            return None;
        }
        self.take(1);
        self.sign();
        let digits = self.digits(10);
        if digits == 0 {
            self.0 = start;
            return None;
        }
        self.take(digits);
        Some(start.len() - self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_WARNING: &[AdjtimeWarning] = &[];

    fn line(text: &str) -> AdjtimeWarning {
        AdjtimeWarning::Line(text.as_bytes().to_vec())
    }

    #[test]
    fn the_written_form_is_read_back() {
        let adjtime = Adjtime {
            drift_factor: -1.5,
            last_adjustment: 1_795_247_287,
            not_adjusted: 0.0,
            last_calibration: 1_795_000_000,
            scale: Some(Scale::Local),
        };
        let text = adjtime.emit(Scale::Local);
        assert_eq!(text, "-1.500000 1795247287 0.000000\n1795000000\nLOCAL\n");
        assert_eq!(Adjtime::parse(text.as_bytes()), (adjtime, vec![]));
    }

    /// The table of the specification (§4): content, factor, last adjustment, remainder, calibration, scale, warnings.
    #[test]
    fn odd_files_are_read_as_the_original_reads_them() {
        let utc = Some(Scale::Utc);
        type Row<'a> = (&'a str, f64, i64, f64, i64, Option<Scale>, &'a [AdjtimeWarning]);
        let rows: &[Row<'_>] = &[
            (
                "0.000000 1795247287 0.000000\n1795247287\nUTC\n",
                0.0,
                1_795_247_287,
                0.0,
                1_795_247_287,
                utc,
                NO_WARNING,
            ),
            ("\t 1.5e1 7 0x1.8p1 trailing\n 8 x\nLOCAL\n", 15.0, 7, 3.0, 8, Some(Scale::Local), NO_WARNING),
            ("1.5 1795244400\n5\nUTC\n", 1.5, 1_795_244_400, 0.0, 5, utc, &[line("1.5 1795244400\n")]),
            ("1,5 17 0\n5\nUTC\n", 1.0, 0, 0.0, 5, utc, &[line("1,5 17 0\n")]),
            ("1.0 1795244400.9\n5\nUTC\n", 1.0, 1_795_244_400, 0.9, 5, utc, NO_WARNING),
            ("0 0 0\n0\n", 0.0, 0, 0.0, 0, None, NO_WARNING),
            ("0 0 0\n0\nutc\n", 0.0, 0, 0.0, 0, None, &[AdjtimeWarning::ThirdLine]),
            ("0 0 0\n0\nUTC", 0.0, 0, 0.0, 0, None, &[AdjtimeWarning::ThirdLine]),
            ("0 0 0\n0\n LOCAL\n", 0.0, 0, 0.0, 0, None, &[AdjtimeWarning::ThirdLine]),
            ("0 0 0\n0\nLOCAL \n", 0.0, 0, 0.0, 0, None, &[AdjtimeWarning::ThirdLine]),
            ("0 0 0\n0\n\n", 0.0, 0, 0.0, 0, None, &[AdjtimeWarning::ThirdLine]),
            ("1 2 0\r\n3\r\nLOCAL\r\n", 1.0, 2, 0.0, 3, None, &[AdjtimeWarning::ThirdLine]),
            ("", 0.0, 0, 0.0, 0, None, &[line(""), line("")]),
            ("x\ny\nUTC\n", 0.0, 0, 0.0, 0, utc, &[line("x\n"), line("y\n")]),
        ];
        for (content, factor, adjusted, rest, calibrated, scale, warnings) in rows {
            let expected = Adjtime {
                drift_factor: *factor,
                last_adjustment: *adjusted,
                not_adjusted: *rest,
                last_calibration: *calibrated,
                scale: *scale,
            };
            assert_eq!(Adjtime::parse(content.as_bytes()), (expected, warnings.to_vec()), "{content:?}");
        }
    }

    #[test]
    fn a_long_first_line_spills_into_the_second() {
        let content = format!("1 2 0 {}\nLOCAL\n", "7".repeat(75));
        let (adjtime, warnings) = Adjtime::parse(content.as_bytes());
        assert_eq!((adjtime.last_adjustment, adjtime.last_calibration), (2, 7));
        assert_eq!((adjtime.scale, warnings), (Some(Scale::Local), vec![]));
    }

    #[test]
    fn numbers_that_are_none_do_not_panic() {
        let (adjtime, warnings) =
            Adjtime::parse(b"nan 99999999999999999999 -inf\n-99999999999999999999\nUTC\n");
        assert!(adjtime.drift_factor.is_nan() && adjtime.not_adjusted.is_infinite());
        assert_eq!((adjtime.last_adjustment, warnings), (i64::MAX, vec![]));
        assert!(adjtime.emit(Scale::Utc).starts_with("nan 9223372036854775807 -inf\n"));
        for junk in ["0x", "0x.", "0xp1", ".", "-", "1e", "1e+", "0x1p99999999999", "infinit", "\0\0\0"] {
            let _ = Adjtime::parse(junk.as_bytes());
        }
    }
}
