//! The grammar of ntp.conf: lines → [`Config`] with its [`Ntp`] part, level 4.2.8p15 with what RHEL's 4.2.6 and NTPsec take too.
//!
//! A bad line is left out, said in the original's two lines, and never keeps the daemon from starting (ntp-legacy 3.1).

mod directives;
mod finish;
mod lexer;
mod options;

pub use self::finish::orphan;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use self::lexer::{Unexpected, Word, Words, integer};
use super::chrony_conf::Files;
use super::diagnostic::{Diagnostic, Place, Severity};
use super::model::Config;
use super::ntp_model::Ntp;
use crate::engine::access::Network;
use crate::engine::restrict::{Flags, Rule, mask_of};

/// Depth of `includefile`.
const INCLUDE_LIMIT: u32 = 5;
/// Files that are included in all: those that include each other many times over would never end.
const INCLUDES_LIMIT: u32 = 50;
/// Longest word.
const WORD_LIMIT: usize = 1024;
/// Names of statistics files.
pub const STATISTICS: [&str; 9] = [
    "clockstats",
    "cryptostats",
    "loopstats",
    "peerstats",
    "protostats",
    "rawstats",
    "sysstats",
    "timingstats",
    "usestats",
];

/// What a configuration turned out to be.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The settings of all lines that are right; its `ntp` is there.
    pub config: Config,
    /// Complaints in the order of the lines, then those of the whole.
    pub diagnostics: Vec<Diagnostic>,
    /// The lines that are right, those of included files in the place of `includefile`; without comments.
    pub lines: Vec<String>,
}

impl Parsed {
    /// How many lines are left out.
    pub fn dropped(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == Severity::Dropped).count()
    }
}

/// Reads a file and what it includes. A file that is missing is an empty configuration, as it is for ntpd.
pub fn parse_file(path: &str, files: &mut dyn Files) -> Parsed {
    let mut parser = Parser::new(files);
    parser.file(path);
    parser.finish()
}

/// Reads one line that came over the network (`:config`). `before` has the numbers and switches that it does not name.
///
/// # Errors
/// The original's `column N syntax error, …`, columns counted from 0.
pub fn check_line(line: &str, before: &Ntp, files: &mut dyn Files) -> Result<Parsed, String> {
    let mut parser = Parser::new(files);
    parser.ntp = Ntp {
        discard: before.discard,
        mru: before.mru,
        tinker: before.tinker,
        tos: before.tos,
        switches: before.switches,
        ..Ntp::default()
    };
    let place = Place { file: None, line: 1 };
    match parser.statement(&mut Words::new(line), &place) {
        Ok(()) => Ok(parser.finish()),
        Err(unexpected) => Err(format!("column {} {}", unexpected.column, unexpected.class())),
    }
}

type Checked<T = ()> = Result<T, Unexpected>;

/// One `fudge` line.
struct Fudge {
    address: String,
    time1: Option<f64>,
    time2: Option<f64>,
    stratum: Option<i64>,
    refid: Option<String>,
    flags: [Option<bool>; 4],
    place: Place,
}

struct Parser<'f> {
    config: Config,
    ntp: Ntp,
    fudges: Vec<Fudge>,
    /// `-4`/`-6` of sources is an option there; reference clocks by type, unit.
    clocks: Vec<finish::Clock>,
    clock_names: Vec<String>,
    diagnostics: Vec<Diagnostic>,
    lines: Vec<String>,
    files: &'f mut dyn Files,
    depth: u32,
    included: u32,
    autokey_said: bool,
    /// `end`, or a word that is too long.
    ended: bool,
    /// Inside of `simulate { … }`.
    simulating: bool,
}

impl<'f> Parser<'f> {
    fn new(files: &'f mut dyn Files) -> Self {
        Self {
            config: Config::default(),
            ntp: Ntp::default(),
            fudges: Vec::new(),
            clocks: Vec::new(),
            clock_names: Vec::new(),
            diagnostics: Vec::new(),
            lines: Vec::new(),
            files,
            depth: 0,
            included: 0,
            autokey_said: false,
            ended: false,
            simulating: false,
        }
    }

    fn say(&mut self, severity: Severity, text: String, place: Option<&Place>) {
        let shown = |c: char| if c.is_control() && c != '\n' { '?' } else { c };
        let text = text.chars().map(shown).collect();
        self.diagnostics.push(Diagnostic { severity, text, place: place.cloned(), help: None });
    }

    fn warn(&mut self, text: String, place: &Place) {
        self.say(Severity::Warning, text, Some(place));
    }

    /// A directive that is right and does nothing here.
    fn without_effect(&mut self, what: &str, place: &Place) {
        self.say(Severity::Note, format!("{what} has no effect"), Some(place));
    }

    fn file(&mut self, path: &str) {
        let bytes = match self.files.read(path) {
            Ok(bytes) => bytes,
            Err(_) => {
                let text = format!("getconfig: Couldn't open <{}>", printable(path));
                return self.say(Severity::Warning, text, None);
            }
        };
        for (number, line) in (1..).zip(bytes.split(|&b| b == b'\n')) {
            let place = Place { file: Some(path.to_owned()), line: number };
            let text = String::from_utf8_lossy(line);
            if let Some(word) = text.split_ascii_whitespace().find(|word| word.len() > WORD_LIMIT) {
                let begin: String = word.chars().take(20).collect();
                let text = format!(
                    "configuration item on line {number} longer than limit of {WORD_LIMIT}, began with '{begin}'"
                );
                self.say(Severity::Dropped, text, Some(&place));
                continue;
            }
            let result = self.statement(&mut Words::new(&text), &place);
            let (line, mut words) = (text.trim(), Words::new(&text));
            let first = words.next().map_or("", |word| word.text);
            if result.is_ok() && !matches!(first, "" | "includefile") {
                self.lines.push(line.to_owned());
            }
            if let Err(unexpected) = result {
                let column = unexpected.column;
                let first = format!("line {number} column {column} {}", unexpected.text());
                let second = format!("syntax error in {} line {number}, column {column}", printable(path));
                self.say(Severity::Dropped, format!("{first}\n{second}"), Some(&place));
            }
            if self.ended {
                self.ended = false;
                return;
            }
        }
    }

    fn statement(&mut self, words: &mut Words<'_>, place: &Place) -> Checked {
        if self.simulating {
            while let Some(word) = words.next() {
                self.simulating &= word.text != "}";
            }
            return Ok(());
        }
        let Some(first) = words.next() else { return Ok(()) };
        match first.text {
            "server" | "peer" | "pool" | "broadcast" | "manycastclient" => {
                self.source(first.text, words, place)
            }
            "unpeer" | "unconfig" => self.unpeer(words),
            "restrict" => self.restrict(words, place),
            "fudge" => self.fudge(words, place),
            "includefile" => self.include(words),
            "statistics" => self.statistics(words),
            "filegen" => self.filegen(words),
            "interface" | "nic" => self.interface(words),
            "trustedkey" => self.trusted_keys(words, place),
            "setvar" => self.setvar(words),
            "logconfig" => self.logconfig(words),
            "driftfile" => self.driftfile(words),
            "tinker" | "tos" | "discard" | "mru" => self.numbers(first.text, words, place),
            "enable" | "disable" => self.switch(first.text == "enable", words),
            "reset" => self.reset(words, place),
            "end" => {
                words.end()?;
                self.ended = true;
                Ok(())
            }
            "simulate" => {
                self.simulating = !std::iter::from_fn(|| words.next()).any(|word| word.text == "}");
                self.without_effect("simulate", place);
                Ok(())
            }
            _ => match self.one_word(first.text, words)? {
                true => Ok(()),
                false => self.obsolete(first, words, place),
            },
        }
    }

    /// Directives with one value; `false`: it is none of them.
    fn one_word(&mut self, directive: &str, words: &mut Words<'_>) -> Checked<bool> {
        let text = match directive {
            "keys" | "leapfile" | "logfile" | "pidfile" | "statsdir" | "saveconfigdir" | "ntpsigndsocket" => {
                words.string()?.text.to_owned()
            }
            "controlkey" | "requestkey" => {
                let key = u32::try_from(words.integer()?).ok();
                words.end()?;
                match directive {
                    "controlkey" => self.ntp.control_key = key,
                    _ => self.ntp.request_key = key,
                }
                return Ok(true);
            }
            "broadcastdelay" => {
                self.ntp.broadcast_delay = words.number()?;
                return words.end().map(|()| true);
            }
            "dscp" => {
                let value = words.integer()?;
                self.config.integers.dscp = i32::try_from(value.clamp(0, 63)).unwrap_or(0);
                return words.end().map(|()| true);
            }
            _ => return Ok(false),
        };
        if directive == "leapfile" {
            self.ntp.leapfile_unchecked = words.skip("ignorehash");
            let _ = !self.ntp.leapfile_unchecked && words.skip("checkhash");
        }
        words.end()?;
        let slot = match directive {
            "keys" => &mut self.config.words.keyfile,
            "leapfile" => &mut self.config.words.leapseclist,
            "pidfile" => &mut self.config.words.pidfile,
            "ntpsigndsocket" => &mut self.config.words.ntpsigndsocket,
            "logfile" => &mut self.ntp.logfile,
            "statsdir" => &mut self.ntp.statsdir,
            _ => &mut self.ntp.saveconfigdir,
        };
        *slot = Some(text);
        Ok(true)
    }

    /// Directives that are taken and mean nothing here.
    fn obsolete(&mut self, first: Word<'_>, words: &mut Words<'_>, place: &Place) -> Checked {
        match first.text {
            "crypto" | "keysdir" | "revoke" | "automax" | "ident" => {
                words.strings();
                if !self.autokey_said {
                    self.autokey_said = true;
                    // the line may hold a password: it is not repeated
                    self.warn(format!("{}: Autokey is obsolete and not supported", first.text), place);
                }
            }
            "broadcastclient" => {
                let word = words.next();
                if let Some(word) = word.filter(|word| word.text != "novolley") {
                    return Err(Unexpected::at(word));
                }
                self.ntp.broadcast_client = true;
                self.ntp.novolley |= word.is_some();
            }
            "multicastclient" => {
                self.ntp.broadcast_client = true;
                let mut groups = vec![words.string()?.text.to_owned()];
                groups.extend(words.strings().into_iter().map(|word| word.text.to_owned()));
                for group in groups {
                    match group.parse::<IpAddr>() {
                        Ok(address) if address.is_multicast() => self.ntp.multicast.push(address),
                        _ => self.warn(format!("multicastclient {group}: no multicast address"), place),
                    }
                }
            }
            "manycastserver" => {
                words.string()?;
                words.strings();
                self.warn(format!("{} is not supported", first.text), place);
            }
            "trap" | "phone" | "qos" => {
                words.string()?;
                words.strings();
                self.without_effect(first.text, place);
            }
            "tick" | "calldelay" | "leapsmearinterval" | "mdnstries" | "maxage" => {
                words.number()?;
                words.end()?;
                self.warn(format!("{} has no effect", first.text), place);
            }
            "ttl" => {
                words.integer()?;
                while words.peek().is_some() {
                    words.integer()?;
                }
                self.without_effect("ttl", place);
            }
            "rlimit" => {
                loop {
                    let word = words.keyword()?;
                    if !matches!(word.text, "memlock" | "stacksize" | "filenum") {
                        return Err(Unexpected::at(word));
                    }
                    words.integer()?;
                    if words.peek().is_none() {
                        break;
                    }
                }
                self.without_effect("rlimit", place);
            }
            "nonvolatile" | "basedate" | "nts" | "limit" => {
                words.strings();
                self.without_effect(first.text, place);
            }
            _ => return Err(Unexpected::at(first)),
        }
        Ok(())
    }

    fn include(&mut self, words: &mut Words<'_>) -> Checked {
        let path = words.string()?.text;
        words.end()?;
        if self.depth >= INCLUDE_LIMIT {
            self.say(Severity::Warning, "getconfig: Maximum include file level exceeded.".to_owned(), None);
            return Ok(());
        }
        self.included += 1;
        if self.included > INCLUDES_LIMIT {
            if self.included == INCLUDES_LIMIT + 1 {
                let text =
                    format!("getconfig: more than {INCLUDES_LIMIT} included files, the rest is ignored");
                self.say(Severity::Warning, text, None);
            }
            return Ok(());
        }
        self.depth += 1;
        self.file(path);
        self.depth -= 1;
        Ok(())
    }

    fn unpeer(&mut self, words: &mut Words<'_>) -> Checked {
        let _ = words.skip("-4") || words.skip("-6");
        let address = words.string()?.text.to_owned();
        words.end()?;
        self.ntp.unpeer.push(address);
        Ok(())
    }

    fn restrict(&mut self, words: &mut Words<'_>, place: &Place) -> Checked {
        let family = if words.skip("-4") { Some(true) } else { words.skip("-6").then_some(false) };
        let target = words.keyword()?;
        let mask = match words.skip("mask") {
            true => Some(words.string()?),
            false => None,
        };
        let (mut flags, mut ntpport) = (Flags::NONE, false);
        while let Some(word) = words.next() {
            match Flags::from_word(word.text) {
                Some(flag) => flags = flags | flag,
                None if word.text == "ntpport" => ntpport = true,
                None if word.text == "ippeerlimit" => _ = words.integer()?,
                // NTPsec's spelling, and words of the wild that stand for nothing
                None if word.text == "nopeerlimit" => {}
                None => return Err(Unexpected::at(word).wants("T_EOC")),
            }
        }
        let rules = match target.text {
            "default" => {
                self.ntp.restricts_default = true;
                let both = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
                both.into_iter()
                    .filter(|any| family.is_none_or(|v4| any.is_ipv4() == v4))
                    .map(|any| Rule::network(Network::new(any, 0), flags))
                    .collect()
            }
            "source" => {
                let rule = Rule::network(Network::new(Ipv4Addr::UNSPECIFIED.into(), 0), flags);
                self.ntp.restrict_source = Some(Rule { ntpport, ..rule });
                return Ok(());
            }
            _ => match self.restricted(target.text, mask.map(|word| word.text), family) {
                Ok((address, mask)) => vec![Rule::new(address, mask, flags)],
                Err(what) => {
                    self.warn(format!("restrict: ignoring line {}, {what} unusable.", place.line), place);
                    return Ok(());
                }
            },
        };
        if flags.has(Flags::KOD) && !flags.has(Flags::LIMITED) {
            let who = rules.first().map(|rule: &Rule| rule.address.to_string()).unwrap_or_default();
            self.warn(format!("restrict {who}: KOD does nothing without LIMITED."), place);
        }
        if flags.has(Flags::MSSNTP) {
            self.warn("restrict mssntp has no effect: MS-SNTP is not supported".to_owned(), place);
        }
        self.ntp.restrict.extend(rules.into_iter().map(|rule| (Rule { ntpport, ..rule }, place.clone())));
        Ok(())
    }

    /// Address and mask of a `restrict` line; a host name is resolved at once.
    fn restricted(
        &mut self,
        target: &str,
        mask: Option<&str>,
        family: Option<bool>,
    ) -> Result<(IpAddr, IpAddr), String> {
        let unusable = |what: &str, word: &str| format!("{what} '{word}'");
        let fits = |address: &IpAddr| family.is_none_or(|v4| address.is_ipv4() == v4);
        // NTPsec's form
        let (host, bits) = match target.split_once('/') {
            Some((host, bits)) => (host, bits.parse::<u8>().ok()),
            None => (target, None),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address = match bare.parse::<IpAddr>() {
            Ok(address) => Some(address),
            Err(_) if host == target => self.files.address(target),
            Err(_) => None,
        };
        let address = address
            .filter(fits)
            .filter(|_| host == target || bits.is_some())
            .ok_or_else(|| unusable("address/host", target))?;
        let mask = match (mask, bits) {
            (None, Some(bits)) => mask_of(Network::new(address, bits)),
            (None, None) => mask_of(Network::host(address)),
            (Some(text), _) => text
                .parse()
                .ok()
                .filter(|mask: &IpAddr| mask.is_ipv4() == address.is_ipv4())
                .ok_or_else(|| unusable("mask", text))?,
        };
        Ok((address, mask))
    }

    fn fudge(&mut self, words: &mut Words<'_>, place: &Place) -> Checked {
        let mut fudge = Fudge {
            address: words.string()?.text.to_owned(),
            time1: None,
            time2: None,
            stratum: None,
            refid: None,
            flags: [None; 4],
            place: place.clone(),
        };
        if words.peek().is_none() {
            return Err(words.ended());
        }
        let (mut odd, mut wanted) = (None, "");
        while let Some(word) = words.next() {
            match word.text {
                "time1" => fudge.time1 = Some(words.number()?),
                "time2" => fudge.time2 = Some(words.number()?),
                "stratum" => fudge.stratum = Some(words.integer()?),
                "refid" => fudge.refid = Some(words.string()?.text.to_owned()),
                "flag1" | "flag2" | "flag3" | "flag4" => {
                    let number = words.keyword()?;
                    let value = match number.text {
                        "true" => 1,
                        text => integer(text).ok_or_else(|| Unexpected::at(number))?,
                    };
                    if !(0..=1).contains(&value) {
                        odd = Some(number.column);
                    }
                    let place = usize::from(word.text.as_bytes().last().map_or(0, |b| b.wrapping_sub(b'1')));
                    if let Some(flag) = fudge.flags.get_mut(place) {
                        *flag = Some(value != 0);
                    }
                }
                _ => return Err(Unexpected::at(word).wants(wanted)),
            }
            wanted = "T_EOC";
        }
        if let Some(column) = odd {
            let text = "Integer value is not boolean (0 or 1). Assuming 1";
            self.warn(format!("line {} column {column} {text}", place.line), place);
        }
        self.fudges.push(fudge);
        Ok(())
    }
}

/// A word without control characters.
fn printable(word: &str) -> String {
    word.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests;
