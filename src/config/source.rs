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
        let mut words = options.iter();
        while let Some(word) = words.next() {
            let option = word.to_ascii_lowercase();
            if !source.flag(&option) {
                source.value(&option, words.next().copied())?;
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

    fn value(&mut self, option: &str, word: Option<&str>) -> Result<(), OptionError> {
        let int = |low: i32, high: i32| {
            word.and_then(integer).filter(|n| (low..=high).contains(n)).ok_or(OptionError::Value)
        };
        let count = |low: i32| int(low, i32::MAX).map(i32::unsigned_abs);
        let unsigned = |low: u32| word.and_then(unsigned).filter(|n| *n >= low).ok_or(OptionError::Value);
        let float = || word.and_then(real).ok_or(OptionError::Value);
        let port = || int(0, 65_535).map(|n| u16::try_from(n).unwrap_or(0));
        match option {
            "minpoll" => self.minpoll = int(-32, 32)?,
            "maxpoll" => self.maxpoll = int(-32, 32)?,
            "presend" => self.presend = int(-32, 32)?,
            "maxntsretry" => self.maxntsretry = int(-32, 32)?,
            "port" => self.port = port()?,
            "ntsport" => self.ntsport = port()?,
            "minstratum" => self.minstratum = int(0, 16)?.unsigned_abs(),
            "version" => self.version = int(1, 4)?.unsigned_abs(),
            "polltarget" => self.polltarget = unsigned(1)?,
            "maxsources" => self.maxsources = unsigned(1)?,
            "minsamples" => self.minsamples = Some(count(0)?),
            "maxsamples" => self.maxsamples = Some(count(0)?),
            "maxunreach" => self.maxunreach = unsigned(0)?,
            "filter" => self.filter = count(0)?,
            "key" => self.key = unsigned(1)?,
            "certset" => self.certset = unsigned(0)?,
            "maxdelay" => self.maxdelay = float()?,
            "maxdelayratio" => self.maxdelayratio = float()?,
            "maxdelaydevratio" => self.maxdelaydevratio = float()?,
            "maxdelayquant" => self.maxdelayquant = float()?,
            "mindelay" => self.mindelay = float()?,
            "asymmetry" => self.asymmetry = float()?,
            "offset" => self.offset = float()?,
            "extfield" => match word.and_then(|w| u32::from_str_radix(w, 16).ok()) {
                Some(0xF323) => self.extensions.mono_root = true,
                Some(0x10A | 0xF324) => self.extensions.net_correction = true,
                _ => return Err(OptionError::Value),
            },
            _ => return Err(OptionError::Unknown),
        }
        Ok(())
    }
}

/// A decimal integer as the original reads it: a sign, digits, nothing behind them.
pub fn integer(word: &str) -> Option<i32> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| word.parse().ok()).flatten()
}

/// A decimal number without a sign.
pub fn unsigned(word: &str) -> Option<u32> {
    word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

/// A real number as `sscanf("%lf")` reads it: what follows the number is read over. Never NaN or infinite.
pub fn real(word: &str) -> Option<f64> {
    let mut end = 0;
    for (at, c) in word.char_indices() {
        let candidate = word.get(..at + c.len_utf8())?;
        if candidate.parse::<f64>().is_ok() {
            end = at + c.len_utf8();
        }
    }
    word.get(..end)?.parse::<f64>().ok().filter(|value| value.is_finite())
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
        let source = parse("h IBURST minpoll -2 key 7 maxdelay 0.25x extfield f323 copy").unwrap();
        assert!(source.flags.iburst && source.flags.copy && source.extensions.mono_root);
        assert_eq!((source.minpoll, source.key), (-2, 7));
        assert!((source.maxdelay - 0.25).abs() < 1e-12);
        assert_eq!(parse("h"), Ok(Source::new(Kind::Server, "h")));
    }

    #[test]
    fn wrong_options_and_values_are_told_apart() {
        for bad in [
            "h minpoll",
            "h minpoll 33",
            "h port 65536",
            "h key 0",
            "h version 5",
            "h minpoll 0x3",
            "h offset x",
            "h key -1",
        ] {
            assert_eq!(parse(bad), Err(OptionError::Value), "{bad}");
        }
        for bad in ["h foo", "h iburst #", "h foo 3"] {
            assert_eq!(parse(bad), Err(OptionError::Unknown), "{bad}");
        }
    }

    #[test]
    fn reals_end_where_the_number_ends() {
        assert_eq!(real("3x"), Some(3.0));
        assert_eq!(real("-1.5e-3s"), Some(-0.0015));
        assert_eq!(
            (real("x"), real(""), real("inf"), real("nan"), real(".")),
            (None, None, None, None, None)
        );
    }
}
