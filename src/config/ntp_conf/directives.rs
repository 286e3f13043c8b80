//! Directives about the daemon itself: statistics files, counters, sockets, keys, variables, the log, the drift file.

use super::lexer::{Unexpected, Words};
use super::{Checked, Parser, STATISTICS};
use crate::config::diagnostic::{Place, Severity};
use crate::config::ntp_model::{Counters, Filegen, InterfaceAction, InterfaceRule, InterfaceScope, Period};
use std::net::IpAddr;

impl Parser<'_> {
    pub(super) fn statistics(&mut self, words: &mut Words<'_>) -> Checked {
        let mut names = Vec::new();
        loop {
            let word = words.keyword()?;
            let wanted = if names.is_empty() { "" } else { "T_EOC" };
            let known = STATISTICS.iter().find(|name| **name == word.text);
            names.push(*known.ok_or_else(|| Unexpected::at(word).wants(wanted))?);
            if words.peek().is_none() {
                break;
            }
        }
        for name in names {
            self.generator(name).enabled = true;
        }
        Ok(())
    }

    /// Counters that are set to zero: those of a daemon that runs, so that in a file it does nothing.
    pub(super) fn reset(&mut self, words: &mut Words<'_>, place: &Place) -> Checked {
        loop {
            let word = words.keyword()?;
            let wanted = if self.ntp.resets.is_empty() { "" } else { "T_EOC" };
            let known = Counters::from_word(word.text);
            self.ntp.resets.push(known.ok_or_else(|| Unexpected::at(word).wants(wanted))?);
            if words.peek().is_none() {
                break;
            }
        }
        self.without_effect("reset", place);
        Ok(())
    }

    /// The settings of a statistics file.
    fn generator(&mut self, name: &str) -> &mut Filegen {
        let place = match self.ntp.filegen.iter().position(|known| known.name == name) {
            Some(place) => place,
            None => {
                self.ntp.filegen.push(Filegen::new(name));
                self.ntp.filegen.len() - 1
            }
        };
        #[expect(clippy::indexing_slicing, reason = "found or pushed just now")]
        &mut self.ntp.filegen[place]
    }

    pub(super) fn filegen(&mut self, words: &mut Words<'_>) -> Checked {
        let word = words.keyword()?;
        let name = STATISTICS.iter().find(|name| **name == word.text).ok_or_else(|| Unexpected::at(word))?;
        let mut set = self.generator(name).clone();
        set.enabled = true;
        while let Some(word) = words.next() {
            match word.text {
                "file" => set.file = words.string()?.text.to_owned(),
                "type" => {
                    let period = words.keyword()?;
                    set.period = match period.text {
                        "none" => Period::None,
                        "pid" => Period::Pid,
                        "day" => Period::Day,
                        "week" => Period::Week,
                        "month" => Period::Month,
                        "year" => Period::Year,
                        "age" => Period::Age,
                        _ => return Err(Unexpected::at(period)),
                    };
                }
                "link" => set.link = true,
                "nolink" => set.link = false,
                "enable" => set.enabled = true,
                "disable" => set.enabled = false,
                _ => return Err(Unexpected::at(word).wants("T_EOC")),
            }
        }
        *self.generator(name) = set;
        Ok(())
    }

    pub(super) fn interface(&mut self, words: &mut Words<'_>) -> Checked {
        let action = words.keyword()?;
        let action = match action.text {
            "listen" => InterfaceAction::Listen,
            "ignore" => InterfaceAction::Ignore,
            "drop" => InterfaceAction::Drop,
            _ => return Err(Unexpected::at(action)),
        };
        let scope = words.string()?;
        words.end()?;
        let scope = match scope.text {
            "all" => InterfaceScope::All,
            "ipv4" => InterfaceScope::V4,
            "ipv6" => InterfaceScope::V6,
            "wildcard" => InterfaceScope::Wildcard,
            text => {
                let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
                match (address.parse::<IpAddr>(), bits.map(str::parse::<u8>)) {
                    (Ok(address), None) => {
                        InterfaceScope::Network(address, if address.is_ipv4() { 32 } else { 128 })
                    }
                    (Ok(address), Some(Ok(bits))) => InterfaceScope::Network(address, bits),
                    _ => InterfaceScope::Name(text.to_owned()),
                }
            }
        };
        self.ntp.interfaces.push(InterfaceRule { action, scope });
        Ok(())
    }

    pub(super) fn trusted_keys(&mut self, words: &mut Words<'_>, place: &Place) -> Checked {
        let mut ranges = Vec::new();
        loop {
            if words.skip("(") {
                let low = words.integer()?;
                for expected in ["...", ")"] {
                    if expected == ")" {
                        ranges.push((low, words.integer()?));
                    }
                    let word = words.keyword()?;
                    if word.text != expected {
                        return Err(Unexpected::at(word));
                    }
                }
            } else {
                let wanted = if ranges.is_empty() { "" } else { "T_EOC" };
                let key = words.integer().map_err(|unexpected| unexpected.wants(wanted))?;
                ranges.push((key, key));
            }
            if words.peek().is_none() {
                break;
            }
        }
        for (low, high) in ranges {
            let key = |n: i64| u32::try_from(n).ok().filter(|n| (1..=65_535).contains(n));
            match (key(low), key(high)) {
                (Some(low), Some(high)) => self.ntp.trusted_keys.push(low..=high),
                _ => self.warn(format!("Ignoring invalid trustedkey {low}, min 1 max 65535."), place),
            }
        }
        Ok(())
    }

    pub(super) fn setvar(&mut self, words: &mut Words<'_>) -> Checked {
        let name = words.keyword()?;
        let equals = words.keyword().map_err(|ended| ended.wants("'='"))?;
        if equals.text != "=" {
            return Err(Unexpected::at(equals).wants("'='"));
        }
        let value = words.string()?;
        let default = words.skip("default");
        words.end()?;
        self.ntp.variables.push((name.text.to_owned(), value.text.to_owned(), default));
        Ok(())
    }

    pub(super) fn logconfig(&mut self, words: &mut Words<'_>) -> Checked {
        let sign = if words.skip("=") { "=" } else { "" };
        if words.peek().is_none() {
            return Err(words.ended());
        }
        for (at, word) in words.strings().into_iter().enumerate() {
            let word = if at == 0 { format!("{sign}{}", word.text) } else { word.text.to_owned() };
            if is_log_word(&word) {
                self.ntp.logconfig.push(word);
            } else {
                let text = format!("logconfig: '{word}' not recognized - ignored");
                self.say(Severity::Warning, text, None);
            }
        }
        Ok(())
    }

    pub(super) fn driftfile(&mut self, words: &mut Words<'_>) -> Checked {
        if words.peek().is_none() {
            self.ntp.driftfile_disabled = true;
            self.config.driftfile = None;
            self.say(Severity::Warning, "config: driftfile disabled".to_owned(), None);
            return Ok(());
        }
        let path = words.string()?.text.to_owned();
        if words.peek().is_some() {
            words.number()?;
        }
        words.end()?;
        self.ntp.driftfile_disabled = false;
        self.config.driftfile = Some((path, 3600));
        Ok(())
    }
}

/// Whether `logconfig` knows a word: `[+-=]CLASS[TYPE]`.
fn is_log_word(word: &str) -> bool {
    let word = word.strip_prefix(['+', '-', '=']).unwrap_or(word);
    ["clock", "peer", "sync", "sys", "all"].iter().any(|class| {
        word.strip_prefix(class).is_some_and(|rest| {
            let types = [
                "",
                "info",
                "event",
                "events",
                "status",
                "stat",
                "statistics",
                "all",
                "clock",
                "peer",
                "sync",
                "sys",
            ];
            types.contains(&rest)
        })
    })
}
