//! The options of a source: `server`, `peer`, `pool` in chrony.conf, and `chronyc add`.

pub use crate::engine::options::{Extensions, Flags, Kind, Source};

/// What is wrong with an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionError {
    /// There is no such word.
    Unknown,
    /// Its value is missing, no number, or out of range.
    Value,
}

impl Source {
    /// Reads the words behind the name.
    ///
    /// # Errors
    /// What is wrong with the first option that is wrong.
    pub fn parse(kind: Kind, name: &str, options: &[&str]) -> Result<Self, OptionError> {
        let mut source = Self::new(kind, name);
        let mut words = Scan::new(options);
        while let Some(word) = words.next() {
            let option = word.to_ascii_lowercase();
            if !source.flag(&option) {
                source.value(&option, &mut words)?;
            }
        }
        Ok(source)
    }

    fn flag(&mut self, option: &str) -> bool {
        let flags = &mut self.flags;
        let flag = match option {
            "offline" => &mut flags.offline,
            "auto_offline" => &mut flags.auto_offline,
            "iburst" => &mut flags.iburst,
            "burst" => &mut flags.burst,
            "prefer" => &mut flags.prefer,
            "noselect" => &mut flags.noselect,
            "trust" => &mut flags.trust,
            "require" => &mut flags.require,
            "xleave" => &mut flags.xleave,
            "nts" => &mut flags.nts,
            "copy" => &mut flags.copy,
            "ipv4" => &mut flags.ipv4,
            "ipv6" => &mut flags.ipv6,
            _ => return false,
        };
        *flag = true;
        true
    }

    fn value(&mut self, option: &str, words: &mut Scan<'_>) -> Result<(), OptionError> {
        let mut int = |low: i32, high: i32| {
            words.integer().filter(|n| (low..=high).contains(n)).ok_or(OptionError::Value)
        };
        match option {
            "minpoll" => self.minpoll = int(-32, 32)?,
            "maxpoll" => self.maxpoll = int(-32, 32)?,
            "presend" => self.presend = int(-32, 32)?,
            "maxntsretry" => self.maxntsretry = int(-32, 32)?,
            "port" => self.port = port(&mut int)?,
            "ntsport" => self.ntsport = port(&mut int)?,
            "minstratum" => self.minstratum = int(0, 16)?.unsigned_abs(),
            "version" => self.version = int(1, 4)?.unsigned_abs(),
            "polltarget" => self.polltarget = words.unsigned(1)?,
            "maxsources" => self.maxsources = words.unsigned(1)?,
            "minsamples" => self.minsamples = Some(int(0, i32::MAX)?.unsigned_abs()),
            "maxsamples" => self.maxsamples = Some(int(0, i32::MAX)?.unsigned_abs()),
            "maxunreach" => self.maxunreach = words.unsigned(0)?,
            "filter" => self.filter = int(0, i32::MAX)?.unsigned_abs(),
            "key" => self.key = words.unsigned(1)?,
            "certset" => self.certset = words.unsigned(0)?,
            "maxdelay" => self.maxdelay = words.real().ok_or(OptionError::Value)?,
            "maxdelayratio" => self.maxdelayratio = words.real().ok_or(OptionError::Value)?,
            "maxdelaydevratio" => self.maxdelaydevratio = words.real().ok_or(OptionError::Value)?,
            "maxdelayquant" => self.maxdelayquant = words.real().ok_or(OptionError::Value)?,
            "mindelay" => self.mindelay = words.real().ok_or(OptionError::Value)?,
            "asymmetry" => self.asymmetry = words.real().ok_or(OptionError::Value)?,
            "offset" => self.offset = words.real().ok_or(OptionError::Value)?,
            "extfield" => match words.hexadecimal() {
                Some(0xF323) => self.extensions.mono_root = true,
                Some(0x10A | 0xF324) => self.extensions.net_correction = true,
                _ => return Err(OptionError::Value),
            },
            _ => return Err(OptionError::Unknown),
        }
        Ok(())
    }
}

fn port(int: &mut impl FnMut(i32, i32) -> Result<i32, OptionError>) -> Result<u16, OptionError> {
    int(0, 65_535).map(|n| u16::try_from(n).unwrap_or(0))
}

/// The words of a line as `sscanf` goes through them: what stands behind a number in its word is the next word.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    words: std::slice::Iter<'a, &'a str>,
    left: Option<&'a str>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(words: &'a [&'a str]) -> Self {
        Self { words: words.iter(), left: None }
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        self.left.take().or_else(|| self.words.next().copied())
    }

    pub(super) fn integer(&mut self) -> Option<i32> {
        self.number(scan_integer)
    }

    pub(super) fn real(&mut self) -> Option<f64> {
        self.number(scan_real)
    }

    fn unsigned(&mut self, least: u32) -> Result<u32, OptionError> {
        self.number(scan_unsigned).filter(|n| *n >= least).ok_or(OptionError::Value)
    }

    fn hexadecimal(&mut self) -> Option<u32> {
        self.number(|word| {
            let end = word.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(word.len());
            let (digits, rest) = word.split_at_checked(end)?;
            Some((u32::from_str_radix(digits, 16).ok()?, rest))
        })
    }

    fn number<T>(&mut self, scan: impl Fn(&'a str) -> Option<(T, &'a str)>) -> Option<T> {
        let (value, rest) = scan(self.next()?)?;
        self.left = Some(rest).filter(|rest| !rest.is_empty());
        Some(value)
    }
}

/// The digits at the start of a word, and what follows them.
fn digits(word: &str) -> Option<(&str, &str)> {
    let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    word.split_at_checked(end).filter(|(digits, _)| !digits.is_empty())
}

/// A decimal integer at the start of a word, and what follows it.
pub(super) fn scan_integer(word: &str) -> Option<(i32, &str)> {
    let (_, rest) = digits(word.strip_prefix(['-', '+']).unwrap_or(word))?;
    let number = word.get(..word.len() - rest.len())?;
    Some((number.parse().ok()?, rest))
}

/// A decimal number at the start of a word, and what follows it. No minus: the original makes a huge number of it.
pub(super) fn scan_unsigned(word: &str) -> Option<(u32, &str)> {
    let (number, rest) = digits(word.strip_prefix('+').unwrap_or(word))?;
    Some((number.parse().ok()?, rest))
}

/// A real number at the start of a word as `sscanf("%lf")` reads it, and what follows it. Never NaN or infinite.
pub(super) fn scan_real(word: &str) -> Option<(f64, &str)> {
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    let mut end = word.len() - unsigned.len();
    let mut seen = false;
    let mut run = |end: &mut usize| {
        let found = word.get(*end..).and_then(digits);
        if let Some((digits, _)) = found {
            *end += digits.len();
            seen = true;
        }
        found.is_some()
    };
    run(&mut end);
    if word.get(end..)?.starts_with('.') {
        end += 1;
        run(&mut end);
    }
    if !seen {
        return None;
    }
    if let Some(exponent) = word.get(end..)?.strip_prefix(['e', 'E']) {
        // an exponent without digits is no number at all
        let (_, rest) = digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))?;
        end = word.len() - rest.len();
    }
    let (number, rest) = word.split_at_checked(end)?;
    Some((number.parse::<f64>().ok().filter(|value| value.is_finite())?, rest))
}

/// A decimal integer as the original reads it: a sign, digits, nothing behind them.
pub fn integer(word: &str) -> Option<i32> {
    scan_integer(word).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}

/// A decimal number without a sign.
pub fn unsigned(word: &str) -> Option<u32> {
    word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

/// A real number as `sscanf("%lf")` reads it: what follows the number is read over. Never NaN or infinite.
pub fn real(word: &str) -> Option<f64> {
    scan_real(word).map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Source, OptionError> {
        let words: Vec<&str> = line.split(' ').collect();
        let (name, options) = words.split_first().unwrap();
        Source::parse(Kind::Server, name, options)
    }

    #[test]
    fn options_land_in_their_fields() {
        let source = parse("h IBURST minpoll -2 key 7 maxdelay 0.25 extfield f323 copy").unwrap();
        assert!(source.flags.iburst && source.flags.copy && source.extensions.mono_root);
        assert_eq!((source.minpoll, source.key), (-2, 7));
        assert!((source.maxdelay - 0.25).abs() < 1e-12);
        assert_eq!(parse("h"), Ok(Source::new(Kind::Server, "h")));
        assert_eq!(parse("h minpoll 3iburst"), parse("h minpoll 3 iburst"), "as sscanf goes through it");
    }

    #[test]
    fn wrong_options_and_values_are_told_apart() {
        for bad in
            ["h minpoll", "h minpoll 33", "h port 65536", "h key 0", "h version 5", "h offset x", "h key -1"]
        {
            assert_eq!(parse(bad), Err(OptionError::Value), "{bad}");
        }
        for bad in ["h foo", "h iburst #", "h foo 3", "h minpoll 0x3", "h key 3x", "h extfield F323x"] {
            assert_eq!(parse(bad), Err(OptionError::Unknown), "{bad}");
        }
    }

    #[test]
    fn reals_end_where_the_number_ends() {
        assert_eq!(real("3x"), Some(3.0));
        assert_eq!(real("-1.5e-3s"), Some(-0.0015));
        assert_eq!((real("+.5"), real("1.x"), real("1.5.2")), (Some(0.5), Some(1.0), Some(1.5)));
        assert_eq!(
            (real("x"), real(""), real("inf"), real("1e400"), real("."), real("1e"), real("--1")),
            (None, None, None, None, None, None, None)
        );
    }
}
