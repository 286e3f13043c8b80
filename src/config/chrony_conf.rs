//! The grammar of chrony.conf at level 4.9: lines → [`Config`], with the original's error texts.
//!
//! Measured with `chronyd -p` of 4.9 (tests/compat compares line by line). All errors of a file are reported, the original's first.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::diagnostic::{Diagnostic, Place, Severity};
use super::model::{
    AccessRule, AuthSelectMode, Broadcast, Config, HwTimestamp, LeapSecondMode, Local, PerFamily, RateLimit,
    Refclock, Scope, Smoothing,
};
use super::source::{
    Kind, OptionError, Scan, Source, integer, real, scan_integer, scan_real, scan_unsigned, unsigned,
};

/// Lines of this many bytes and more are refused, the line feed counts.
const LINE_LIMIT: usize = 2048;
/// Depth of `include`.
const INCLUDE_LIMIT: u32 = 10;
/// Folders of one `confdir` or `sourcedir`.
const DIRECTORY_LIMIT: usize = 10;

/// The files that a configuration names, as the caller reads them. Unless it says otherwise there are no folders and no host names.
pub trait Files {
    /// The content of a file.
    ///
    /// # Errors
    /// The system's text (`No such file or directory`).
    fn read(&mut self, path: &str) -> Result<Vec<u8>, String>;
    /// The files that a pattern matches, sorted; `None` when the folder cannot be searched.
    fn glob(&mut self, _pattern: &str) -> Option<Vec<String>> {
        None
    }
    /// The names of the files in a folder; none when it is missing.
    fn list(&mut self, _directory: &str) -> Vec<String> {
        Vec::new()
    }
    /// The first address of a host name in an access rule, which must resolve at once.
    fn address(&mut self, _name: &str) -> Option<IpAddr> {
        None
    }
}

/// What a configuration turned out to be.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The settings of all lines that are right.
    pub config: Config,
    /// Complaints in the order of the lines.
    pub diagnostics: Vec<Diagnostic>,
    /// What `-p` echoes: each line that counts, as typed, blanks squeezed.
    pub echo: Vec<String>,
}

impl Parsed {
    /// Whether a complaint keeps the daemon from starting.
    pub fn is_fatal(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Fatal)
    }
}

/// Reads a file and what it includes.
pub fn parse_file(path: &str, files: &mut dyn Files) -> Parsed {
    let mut parser = Parser { parsed: Parsed::default(), files, depth: 0, halted: false };
    parser.file(path);
    parser.finish()
}

/// Reads the directives of a command line, one an argument.
pub fn parse_words(directives: &[String], files: &mut dyn Files) -> Parsed {
    let mut parser = Parser { parsed: Parsed::default(), files, depth: 0, halted: false };
    for (number, line) in (1..).zip(directives) {
        parser.line(line.as_bytes(), &Place { file: None, line: number });
    }
    parser.finish()
}

/// The sources of the `*.sources` files of some `sourcedir` folders; lines that are none are read over.
pub fn sources_in(directories: &[String], files: &mut dyn Files) -> Vec<(Source, Place)> {
    let directories: Vec<&str> = directories.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for path in in_directories(&directories, ".sources", files) {
        let Ok(bytes) = files.read(&path) else { continue };
        // an unterminated last line is not read
        let complete = bytes.iter().rposition(|&b| b == b'\n').and_then(|end| bytes.get(..end));
        for (number, line) in (1..).zip(complete.unwrap_or_default().split(|&b| b == b'\n')) {
            let text = String::from_utf8_lossy(line);
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            let [kind, name, options @ ..] = words.as_slice() else { continue };
            let Some(kind) = Kind::from_word(kind) else { continue };
            if let Ok(source) = Source::parse(kind, name, options) {
                found.push((source, Place { file: Some(path.clone()), line: number }));
            }
        }
    }
    found
}

/// The files with this ending in several folders, none that is hidden, in the order of their names; of equal names the first folder's wins.
fn in_directories(directories: &[&str], ending: &str, files: &mut dyn Files) -> Vec<String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for directory in directories {
        for name in files.list(directory) {
            if name.ends_with(ending) && !name.starts_with('.') {
                let path = format!("{}/{name}", directory.trim_end_matches('/'));
                found.entry(name).or_insert(path);
            }
        }
    }
    found.into_values().collect()
}

/// What is wrong with a line.
enum Problem {
    Missing,
    TooMany,
    Parse,
    Range { value: i64, min: i32, max: i32 },
    Option,
    Value,
    Syntax,
    LogParameter,
}

type Checked = Result<(), Problem>;

impl Problem {
    fn text(&self, word: &str) -> String {
        match self {
            Self::Missing => format!("Missing arguments for {word} directive"),
            Self::TooMany => format!("Too many arguments for {word} directive"),
            Self::Parse => format!("Could not parse {word} directive"),
            Self::Range { value, min, max } => {
                format!("Invalid value {value} in {word} directive (min {min}, max {max})")
            }
            Self::Option => format!("Invalid option in {word} directive"),
            Self::Value => format!("Invalid value in {word} directive"),
            Self::Syntax => format!("Invalid syntax for {word} directive"),
            Self::LogParameter => "Invalid log parameter".to_owned(),
        }
    }
}

impl From<OptionError> for Problem {
    fn from(error: OptionError) -> Self {
        match error {
            OptionError::Unknown => Self::Option,
            OptionError::Value => Self::Value,
        }
    }
}

struct Parser<'f> {
    parsed: Parsed,
    files: &'f mut dyn Files,
    depth: u32,
    /// A missing include file: the original names no line and goes no further.
    halted: bool,
}

impl Parser<'_> {
    fn finish(mut self) -> Parsed {
        let config = &self.parsed.config;
        if config.ratelimit.is_some() && config.flags.noclientlog {
            self.fatal("Rate limiting cannot be enabled with noclientlog".to_owned(), None, None);
        }
        self.parsed
    }

    fn fatal(&mut self, text: String, place: Option<Place>, help: Option<String>) {
        self.parsed.diagnostics.push(Diagnostic { severity: Severity::Fatal, text, place, help });
    }

    fn warn(&mut self, text: String, place: &Place) {
        let place = Some(place.clone());
        self.parsed.diagnostics.push(Diagnostic { severity: Severity::Warning, text, place, help: None });
    }

    fn file(&mut self, path: &str) {
        match self.files.read(path) {
            Ok(bytes) => {
                for (number, line) in (1..).zip(bytes.split_inclusive(|&b| b == b'\n')) {
                    self.line(line, &Place { file: Some(path.to_owned()), line: number });
                    if self.halted {
                        return;
                    }
                }
            }
            Err(why) => {
                self.fatal(format!("Could not open {path} : {why}"), None, None);
                self.halted = true;
            }
        }
    }

    fn line(&mut self, bytes: &[u8], place: &Place) {
        if bytes.len() >= LINE_LIMIT {
            return self.fatal("String too long".to_owned(), Some(place.clone()), None);
        }
        // a C string ends at a NUL, and isspace() knows the vertical tab
        let bytes = bytes.split(|&b| b == 0).next().unwrap_or_default();
        let text = String::from_utf8_lossy(bytes);
        let words: Vec<&str> = text.split(is_space).filter(|word| !word.is_empty()).collect();
        let Some((typed, args)) = words.split_first() else { return };
        if typed.starts_with(['!', ';', '#', '%']) {
            return;
        }
        let directive = typed.to_ascii_lowercase();
        match directive.as_str() {
            "include" => return self.include(typed, args, place),
            "confdir" => return self.confdir(typed, args, place),
            // the original's echo ends with the first line that is wrong
            _ if self.parsed.is_fatal() => {}
            _ => self.parsed.echo.push(words.join(" ")),
        }
        if let Err(problem) = self.directive(&directive, typed, args, place) {
            let text = match problem {
                Some(problem) => problem.text(typed),
                None => format!("Invalid directive {typed}"),
            };
            let comment = args.iter().any(|word| word.starts_with(['#', '!', ';', '%']));
            let help = comment.then(|| {
                "comment characters count only at the start of a line: move the comment to a line of its own".to_owned()
            });
            self.fatal(text, Some(place.clone()), help);
        }
    }

    fn include(&mut self, typed: &str, args: &[&str], place: &Place) {
        let [pattern] = args else {
            let problem = if args.is_empty() { Problem::Missing } else { Problem::TooMany };
            return self.fatal(problem.text(typed), Some(place.clone()), None);
        };
        if self.depth >= INCLUDE_LIMIT {
            self.fatal("Maximum include level reached".to_owned(), None, None);
            self.halted = true;
            return;
        }
        match self.files.glob(pattern) {
            Some(paths) => self.files_below(&paths),
            None => {
                self.fatal(format!("Could not search for files matching {pattern}"), None, None);
                self.halted = true;
            }
        }
    }

    fn files_below(&mut self, paths: &[String]) {
        self.depth += 1;
        for path in paths {
            if !self.halted {
                self.file(path);
            }
        }
        self.depth -= 1;
    }

    fn confdir(&mut self, typed: &str, args: &[&str], place: &Place) {
        if args.is_empty() || args.len() > DIRECTORY_LIMIT {
            return self.fatal(Problem::Parse.text(typed), Some(place.clone()), None);
        }
        if self.depth >= INCLUDE_LIMIT {
            self.fatal("Maximum include level reached".to_owned(), None, None);
            self.halted = true;
            return;
        }
        let paths = in_directories(args, ".conf", self.files);
        self.files_below(&paths);
    }

    /// `Err(None)`: there is no such directive.
    fn directive(
        &mut self,
        directive: &str,
        typed: &str,
        args: &[&str],
        place: &Place,
    ) -> Result<(), Option<Problem>> {
        match directive {
            "commandkey" | "generatecommandkey" | "linux_freq_scale" | "linux_hz" => {
                self.warn(format!("{typed} directive is no longer supported"), place);
                return Ok(());
            }
            "dumponexit" => return Ok(()),
            "sourcedir" => return Ok(self.sourcedir(args)?),
            _ => {}
        }
        let config = &mut self.parsed.config;
        if let Some(kind) = Kind::from_word(directive) {
            let (name, options) = args.split_first().ok_or(Some(Problem::Syntax))?;
            let source = Source::parse(kind, name, options).map_err(|e| Some(e.into()))?;
            config.sources.push((source, place.clone()));
        } else if let Some(flag) = flag(config, directive) {
            count(args, 0)?;
            *flag = true;
        } else if let Some((slot, min, max)) = ranged(config, directive) {
            count(args, 1)?;
            *slot = first(args).ok_or(Problem::Parse).and_then(|word| within(word, min, max))?;
        } else if let Some(slot) = real_slot(config, directive) {
            count(args, 1)?;
            *slot = first(args).and_then(real).ok_or(Some(Problem::Parse))?;
        } else if let Some(slot) = word_slot(config, directive) {
            count(args, 1)?;
            *slot = first(args).map(str::to_owned);
        } else if matches!(directive, "allow" | "deny" | "cmdallow" | "cmddeny") {
            let allow = matches!(directive, "allow" | "cmdallow");
            let rule = access(args, allow, place, self.files)?;
            let rules =
                if directive.starts_with("cmd") { &mut config.command_access } else { &mut config.access };
            rules.push(rule);
        } else {
            special(config, directive, args, place).ok_or(None)?.map_err(Some)?;
        }
        self.unsupported(directive, typed, place);
        Ok(())
    }

    fn sourcedir(&mut self, args: &[&str]) -> Checked {
        // further ones are read over
        let args = args.get(..DIRECTORY_LIMIT).unwrap_or(args);
        self.parsed.config.sourcedirs.extend(args.iter().map(|&d| d.to_owned()));
        let directories: Vec<String> = args.iter().map(|&d| d.to_owned()).collect();
        let found = sources_in(&directories, self.files);
        self.parsed.config.sources.extend(found);
        Ok(())
    }

    /// Directives that are known and have no effect yet: one warning a line (decisions.md).
    fn unsupported(&mut self, directive: &str, typed: &str, place: &Place) {
        const NTS: &str = "NTS";
        let what = match directive {
            "server" | "pool" | "peer"
                if self.parsed.config.sources.last().is_some_and(|(source, _)| source.flags.nts) =>
            {
                NTS
            }
            d if d.starts_with("nts")
                || matches!(d, "nosystemcert" | "nocerttimecheck" | "maxntsconnections") =>
            {
                NTS
            }
            "ptpport" | "ptpdomain" => "the PTP transport",
            "hwtimestamp" => "hardware time stamping",
            "refclock" => match self.parsed.config.refclocks.last() {
                Some((clock, _)) if clock.is_optional() => return,
                Some((clock, _)) if clock.driver == "PHC" => "PHC reference clocks",
                Some((clock, _)) if clock.driver == "RTC" => "RTC reference clocks",
                _ => return,
            },
            _ => return,
        };
        let at = match &place.file {
            Some(file) => format!(" at line {} in file {file}", place.line),
            None => format!(" at line {}", place.line),
        };
        self.warn(format!("{typed} directive{at} has no effect: {what} is not supported yet"), place);
    }
}

fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

fn first<'a>(args: &[&'a str]) -> Option<&'a str> {
    args.first().copied()
}

fn count(args: &[&str], wanted: usize) -> Checked {
    match args.len() {
        n if n < wanted => Err(Problem::Missing),
        n if n > wanted => Err(Problem::TooMany),
        _ => Ok(()),
    }
}

/// An integer in a range, with nothing behind it; too large for any range is an error of its own up to 64 bits.
fn within(word: &str, min: i32, max: i32) -> Result<i32, Problem> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse::<i64>().ok()).flatten();
    let value = number.ok_or(Problem::Parse)?;
    match i32::try_from(value) {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(Problem::Range { value, min, max }),
    }
}

/// An integer; what follows it in its word is read over.
fn loose(word: &str) -> Option<i32> {
    scan_integer(word).map(|(value, _)| value)
}

/// A real number with nothing behind it.
fn exact(word: &str) -> Option<f64> {
    scan_real(word).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}

fn flag<'c>(config: &'c mut Config, directive: &str) -> Option<&'c mut bool> {
    let flags = &mut config.flags;
    Some(match directive {
        "lock_all" => &mut flags.lock_all,
        "manual" => &mut flags.manual,
        "noclientlog" => &mut flags.noclientlog,
        "nosystemcert" => &mut flags.nosystemcert,
        "rtconutc" => &mut flags.rtconutc,
        "rtcsync" => &mut flags.rtcsync,
        _ => return None,
    })
}

/// The slot of a directive with one integer, and its range.
fn ranged<'c>(config: &'c mut Config, directive: &str) -> Option<(&'c mut i32, i32, i32)> {
    let i = &mut config.integers;
    Some(match directive {
        "acquisitionport" => (&mut i.acquisitionport, 0, 65_535),
        "cmdport" => (&mut i.cmdport, 0, 65_535),
        "dscp" => (&mut i.dscp, 0, 63),
        "logbanner" => (&mut i.logbanner, 0, i32::MAX),
        "maxntsconnections" => (&mut i.maxntsconnections, 1, i32::MAX),
        "maxsamples" => (&mut i.maxsamples, 0, i32::MAX),
        "minsamples" => (&mut i.minsamples, 0, i32::MAX),
        "minstratum" => (&mut i.minstratum, 0, i32::MAX),
        "maxstratum" => (&mut i.maxstratum, 0, i32::MAX),
        "maxtxbuffers" => (&mut i.maxtxbuffers, 0, 1_048_576),
        "minsources" => (&mut i.minsources, 1, i32::MAX),
        "nocerttimecheck" => (&mut i.nocerttimecheck, 0, i32::MAX),
        "ntsport" => (&mut i.ntsport, 0, 65_535),
        "port" => (&mut i.port, 0, 65_535),
        "ptpport" => (&mut i.ptpport, 0, 65_535),
        "ptpdomain" => (&mut i.ptpdomain, 0, 255),
        "ntsprocesses" => (&mut i.ntsprocesses, 0, 1000),
        "ntsrefresh" => (&mut i.ntsrefresh, 0, i32::MAX),
        "ntsrotate" => (&mut i.ntsrotate, 0, i32::MAX),
        "refresh" => (&mut i.refresh, 0, i32::MAX),
        "sched_priority" => (&mut i.sched_priority, 0, 100),
        _ => return None,
    })
}

fn real_slot<'c>(config: &'c mut Config, directive: &str) -> Option<&'c mut f64> {
    let r = &mut config.reals;
    Some(match directive {
        "clockprecision" => &mut r.clockprecision,
        "combinelimit" => &mut r.combinelimit,
        "corrtimeratio" => &mut r.corrtimeratio,
        "hwtstimeout" => &mut r.hwtstimeout,
        "logchange" => &mut r.logchange,
        "maxclockerror" => &mut r.maxclockerror,
        "maxdistance" => &mut r.maxdistance,
        "maxdrift" => &mut r.maxdrift,
        "maxjitter" => &mut r.maxjitter,
        "maxslewrate" => &mut r.maxslewrate,
        "maxupdateskew" => &mut r.maxupdateskew,
        "reselectdist" => &mut r.reselectdist,
        "rtcautotrim" => &mut r.rtcautotrim,
        "stratumweight" => &mut r.stratumweight,
        _ => return None,
    })
}

fn word_slot<'c>(config: &'c mut Config, directive: &str) -> Option<&'c mut Option<String>> {
    let w = &mut config.words;
    Some(match directive {
        "bindacqdevice" => &mut w.bindacqdevice,
        "bindcmddevice" => &mut w.bindcmddevice,
        "binddevice" => &mut w.binddevice,
        "dumpdir" => &mut w.dumpdir,
        "hwclockfile" => &mut w.hwclockfile,
        "keyfile" => &mut w.keyfile,
        "leapseclist" => &mut w.leapseclist,
        "leapsectz" => &mut w.leapsectz,
        "logdir" => &mut w.logdir,
        "ntpsigndsocket" => &mut w.ntpsigndsocket,
        "ntsdumpdir" | "ntscachedir" => &mut w.ntsdumpdir,
        "ntsntpserver" => &mut w.ntsntpserver,
        "ntsservercert" => &mut w.ntsservercert,
        "ntsserverkey" => &mut w.ntsserverkey,
        "pidfile" => &mut w.pidfile,
        "rtcdevice" => &mut w.rtcdevice,
        "rtcfile" => &mut w.rtcfile,
        "user" => &mut w.user,
        _ => return None,
    })
}

/// Directives with a form of their own; `None`: there is no such directive.
fn special(config: &mut Config, directive: &str, args: &[&str], place: &Place) -> Option<Checked> {
    Some(match directive {
        "authselectmode" => auth_select_mode(args).map(|mode| config.authselectmode = mode),
        "leapsecmode" => leap_second_mode(args).map(|mode| config.leapsecmode = mode),
        "bindaddress" => bind(args, &mut config.bindaddress),
        "bindacqaddress" => bind(args, &mut config.bindacqaddress),
        "bindcmdaddress" => match args {
            ["/"] => {
                config.command_socket = None;
                Ok(())
            }
            [path] if path.starts_with('/') => {
                config.command_socket = Some((*path).to_owned());
                Ok(())
            }
            _ => bind(args, &mut config.bindcmdaddress),
        },
        "broadcast" => broadcast(args).map(|b| config.broadcasts.push(b)),
        "clientloglimit" => one_unsigned(args).map(|limit| config.clientloglimit = limit),
        "cmdratelimit" => rate_limit(args, false, RateLimit { interval: -4, burst: 8, leak: 2, kod: 0 })
            .map(|r| config.cmdratelimit = Some(r)),
        "ratelimit" => rate_limit(args, true, RateLimit { interval: 3, burst: 8, leak: 2, kod: 0 })
            .map(|r| config.ratelimit = Some(r)),
        "ntsratelimit" => rate_limit(args, false, RateLimit { interval: 6, burst: 8, leak: 2, kod: 0 })
            .map(|r| config.ntsratelimit = Some(r)),
        "driftfile" => driftfile(args).map(|d| config.driftfile = Some(d)),
        "fallbackdrift" => two_integers(args).map(|pair| config.fallbackdrift = Some(pair)),
        "hwtimestamp" => hwtimestamp(args).map(|h| config.hwtimestamps.push(h)),
        "initstepslew" => initstepslew(args).map(|i| config.initstepslew = Some(i)),
        "local" => local(args).map(|l| config.local = Some(l)),
        "log" => log(args).map(|words| config.logs.extend(words)),
        "mailonchange" => mailonchange(args).map(|m| config.mailonchange = Some(m)),
        "makestep" => makestep(args).map(|m| config.makestep = Some(m)),
        "maxchange" => maxchange(args).map(|m| config.maxchange = Some(m)),
        "ntsaeads" => args
            .iter()
            .map(|word| within(word, 0, i32::MAX).map(i32::unsigned_abs))
            .collect::<Result<_, _>>()
            .map(|ids| config.ntsaeads = ids),
        "ntstrustedcerts" => trusted_certificates(args).map(|t| config.ntstrustedcerts.push(t)),
        "opencommands" => open_commands(args).map(|words| config.opencommands = Some(words)),
        "refclock" => refclock(args).map(|r| config.refclocks.push((r, place.clone()))),
        "smoothtime" => smoothtime(args).map(|s| config.smoothtime = Some(s)),
        "tempcomp" => tempcomp(args).map(|t| config.tempcomp = Some(t)),
        _ => return None,
    })
}

/// `[all] [NET]`
fn access(args: &[&str], allow: bool, place: &Place, files: &mut dyn Files) -> Result<AccessRule, Problem> {
    let (all, rest) = match args {
        ["all", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let scope = match rest {
        [] => Scope::Everything,
        [net] => network(net, files).ok_or(Problem::Parse)?,
        _ => return Err(Problem::Parse),
    };
    Ok(AccessRule { allow, all, scope, place: place.clone() })
}

/// `1.2.3.4`, `1.2.3.4/24`, `2001:db8::/32`, `10.1` (= 10.1.0.0/16), `10/8`, or a host name.
fn network(text: &str, files: &mut dyn Files) -> Option<Scope> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(u8::try_from(unsigned(bits)?.min(255)).ok()?)),
        None => (text, None),
    };
    if let Ok(ip) = address.parse::<IpAddr>() {
        let width = if ip.is_ipv4() { 32 } else { 128 };
        return Some(Scope::Network(ip, bits.unwrap_or(width)));
    }
    let parts: Vec<&str> = address.split('.').collect();
    if (1..=3).contains(&parts.len()) && parts.iter().all(|part| part.parse::<u8>().is_ok()) {
        let mut octets = [0; 4];
        for (slot, part) in octets.iter_mut().zip(&parts) {
            *slot = part.parse().ok()?;
        }
        let implied = u8::try_from(parts.len() * 8).ok()?;
        return Some(Scope::Network(IpAddr::from(octets), bits.unwrap_or(implied)));
    }
    // a resolver would make an address of 10.300
    if bits.is_some() || address.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let ip = files.address(address)?;
    Some(Scope::Network(ip, if ip.is_ipv4() { 32 } else { 128 }))
}

fn auth_select_mode(args: &[&str]) -> Result<AuthSelectMode, Problem> {
    match args.join(" ").to_ascii_lowercase().as_str() {
        "require" => Ok(AuthSelectMode::Require),
        "prefer" => Ok(AuthSelectMode::Prefer),
        "mix" => Ok(AuthSelectMode::Mix),
        "ignore" => Ok(AuthSelectMode::Ignore),
        _ => Err(Problem::Parse),
    }
}

fn leap_second_mode(args: &[&str]) -> Result<LeapSecondMode, Problem> {
    match args.join(" ").to_ascii_lowercase().as_str() {
        "system" => Ok(LeapSecondMode::System),
        "step" => Ok(LeapSecondMode::Step),
        "slew" => Ok(LeapSecondMode::Slew),
        "ignore" => Ok(LeapSecondMode::Ignore),
        _ => Err(Problem::Parse),
    }
}

fn bind(args: &[&str], slot: &mut PerFamily<IpAddr>) -> Checked {
    count(args, 1)?;
    match first(args).and_then(|word| word.parse().ok()).ok_or(Problem::Parse)? {
        address @ IpAddr::V4(_) => slot.v4 = Some(address),
        address @ IpAddr::V6(_) => slot.v6 = Some(address),
    }
    Ok(())
}

fn broadcast(args: &[&str]) -> Result<Broadcast, Problem> {
    let (interval, address, port) = match args {
        [interval, address] => (interval, address, None),
        [interval, address, port] => (interval, address, Some(port)),
        _ => return Err(Problem::Parse),
    };
    let interval = loose(interval).and_then(|n| u32::try_from(n).ok()).ok_or(Problem::Parse)?;
    let address: IpAddr = address.parse().map_err(|_| Problem::Parse)?;
    let port = match port {
        Some(port) => loose(port).and_then(|n| u16::try_from(n).ok()).ok_or(Problem::Parse)?,
        None => 123,
    };
    Ok(Broadcast { key: 0, interval, to: SocketAddr::new(address, port) })
}

/// A number of bytes; what is too large is the largest.
fn scan_size(word: &str) -> Option<(u32, &str)> {
    let digits = word.strip_prefix('+').unwrap_or(word);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at_checked(end).filter(|(digits, _)| !digits.is_empty())?;
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}

fn one_unsigned(args: &[&str]) -> Result<u32, Problem> {
    count(args, 1)?;
    let (digits, _) = first(args).and_then(scan_size).ok_or(Problem::Parse)?;
    Ok(digits)
}

/// Pairs of a word and a number −32 … 255; the values are then clamped to what has a meaning.
fn rate_limit(args: &[&str], kod: bool, default: RateLimit) -> Result<RateLimit, Problem> {
    let mut limit = default;
    for pair in args.chunks(2) {
        let [word, value] = pair else { return Err(Problem::Parse) };
        let value = integer(value).filter(|n| (-32..=255).contains(n)).ok_or(Problem::Parse)?;
        match word.to_ascii_lowercase().as_str() {
            "interval" => limit.interval = value.clamp(-19, 12),
            "burst" => limit.burst = value.clamp(1, 255),
            "leak" => limit.leak = value.clamp(1, 4),
            "kod" if kod => limit.kod = value.clamp(0, 4),
            _ => return Err(Problem::Parse),
        }
    }
    Ok(limit)
}

fn driftfile(args: &[&str]) -> Result<(String, u32), Problem> {
    /// How often it is written without `interval` (s).
    const INTERVAL: u32 = 3600;
    match args {
        [path] => Ok(((*path).to_owned(), INTERVAL)),
        [path, word, value] if word.eq_ignore_ascii_case("interval") => Ok((
            (*path).to_owned(),
            loose(value).map(|n| u32::try_from(n).unwrap_or(0)).ok_or(Problem::Parse)?,
        )),
        _ => Err(Problem::Parse),
    }
}

fn two_integers(args: &[&str]) -> Result<(i32, i32), Problem> {
    count(args, 2)?;
    match args {
        [low, high] => integer(low).zip(loose(high)).ok_or(Problem::Parse),
        _ => Err(Problem::Parse),
    }
}

fn hwtimestamp(args: &[&str]) -> Result<HwTimestamp, Problem> {
    let (interface, options) = args.split_first().ok_or(Problem::Parse)?;
    let mut words = Scan::new(options);
    while let Some(word) = words.next() {
        let good = match word.to_ascii_lowercase().as_str() {
            "nocrossts" => true,
            "rxfilter" => words
                .next()
                .is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "none" | "ntp" | "ptp" | "all")),
            "minpoll" | "maxpoll" => words.integer().is_some_and(|n| (-32..=32).contains(&n)),
            "minsamples" | "maxsamples" => words.integer().is_some_and(|n| n >= 0),
            "precision" | "txcomp" | "rxcomp" => words.real().is_some(),
            _ => false,
        };
        if !good {
            return Err(Problem::Parse);
        }
    }
    Ok(HwTimestamp {
        interface: (*interface).to_owned(),
        options: options.iter().map(|&o| o.to_owned()).collect(),
    })
}

fn initstepslew(args: &[&str]) -> Result<(f64, Vec<String>), Problem> {
    let (threshold, hosts) = args.split_first().ok_or(Problem::Parse)?;
    let threshold = real(threshold).ok_or(Problem::Parse)?;
    Ok((threshold, hosts.iter().map(|&h| h.to_owned()).collect()))
}

/// The words of `local`, also of `chronyc local`.
fn local(args: &[&str]) -> Result<Local, Problem> {
    let mut local = Local {
        stratum: 10,
        orphan: false,
        distance: 1.0,
        activate: 0.0,
        waitsynced: 0.0,
        waitunsynced: f64::NAN,
    };
    let mut words = Scan::new(args);
    while let Some(word) = words.next() {
        let mut seconds = || words.real().ok_or(Problem::Value);
        match word.to_ascii_lowercase().as_str() {
            "orphan" => local.orphan = true,
            "distance" => local.distance = seconds()?,
            "activate" => local.activate = seconds()?,
            "waitsynced" => local.waitsynced = seconds()?,
            "waitunsynced" => local.waitunsynced = seconds()?,
            "stratum" => {
                local.stratum = words
                    .integer()
                    .filter(|n| (1..=15).contains(n))
                    .and_then(|n| u8::try_from(n).ok())
                    .ok_or(Problem::Value)?;
            }
            _ => return Err(Problem::Option),
        }
    }
    if local.waitunsynced.is_nan() {
        local.waitunsynced = if local.orphan { 300.0 } else { 0.0 };
    }
    Ok(local)
}

fn log(args: &[&str]) -> Result<Vec<String>, Problem> {
    const KNOWN: [&str; 8] = [
        "rawmeasurements",
        "measurements",
        "selection",
        "statistics",
        "tracking",
        "rtc",
        "refclocks",
        "tempcomp",
    ];
    args.iter()
        .map(|word| KNOWN.contains(word).then(|| (*word).to_owned()).ok_or(Problem::LogParameter))
        .collect()
}

fn mailonchange(args: &[&str]) -> Result<(String, f64), Problem> {
    count(args, 2)?;
    match args {
        [address, threshold] => Ok(((*address).to_owned(), real(threshold).ok_or(Problem::Parse)?)),
        _ => Err(Problem::Parse),
    }
}

fn makestep(args: &[&str]) -> Result<(f64, i32), Problem> {
    count(args, 2)?;
    match args {
        [threshold, limit] => exact(threshold).zip(loose(limit)).ok_or(Problem::Parse),
        _ => Err(Problem::Parse),
    }
}

fn maxchange(args: &[&str]) -> Result<(f64, i32, i32), Problem> {
    count(args, 3)?;
    match args {
        [offset, start, ignore] => {
            let (start, ignore) = integer(start).zip(loose(ignore)).ok_or(Problem::Parse)?;
            Ok((exact(offset).ok_or(Problem::Parse)?, start, ignore))
        }
        _ => Err(Problem::Parse),
    }
}

fn trusted_certificates(args: &[&str]) -> Result<(u32, String), Problem> {
    match args {
        [] => Err(Problem::Missing),
        [file] => Ok((0, (*file).to_owned())),
        [set, file] => {
            let (set, _) = scan_unsigned(set).ok_or(Problem::Parse)?;
            Ok((set, (*file).to_owned()))
        }
        _ => Err(Problem::TooMany),
    }
}

fn open_commands(args: &[&str]) -> Result<Vec<String>, Problem> {
    const KNOWN: [&str; 13] = [
        "activity",
        "authdata",
        "clients",
        "manual",
        "ntpdata",
        "rtcdata",
        "selectdata",
        "serverstats",
        "smoothing",
        "sourcename",
        "sources",
        "sourcestats",
        "tracking",
    ];
    args.iter()
        .map(|word| {
            let word = word.to_ascii_lowercase();
            if KNOWN.contains(&word.as_str()) { Ok(word) } else { Err(Problem::Parse) }
        })
        .collect()
}

fn refclock(args: &[&str]) -> Result<Refclock, Problem> {
    const FLAGS: [&str; 9] =
        ["local", "pps", "tai", "optional", "noselect", "prefer", "trust", "require", ""];
    let [driver, parameter, options @ ..] = args else { return Err(Problem::Parse) };
    let mut clock = Refclock {
        driver: driver.to_ascii_uppercase(),
        parameter: (*parameter).to_owned(),
        options: Vec::new(),
    };
    let mut words = Scan::new(options);
    while let Some(word) = words.next() {
        let name = word.to_ascii_lowercase();
        if FLAGS.contains(&name.as_str()) {
            clock.options.push((name, None));
            continue;
        }
        let mut within =
            |low: i32, high: i32| words.integer().filter(|n| (low..=high).contains(n)).map(|n| n.to_string());
        let value = match name.as_str() {
            "refid" | "lock" => words.next().filter(|v| (1..=4).contains(&v.len())).map(str::to_owned),
            "poll" | "dpoll" => within(-32, 32),
            "filter" | "minsamples" | "maxsamples" | "maxlockage" | "maxunreach" => within(0, i32::MAX),
            "rate" => within(1, i32::MAX),
            "stratum" => within(0, 15),
            "offset" | "delay" | "precision" | "maxdispersion" | "width" => {
                words.real().map(|value| value.to_string())
            }
            _ => return Err(Problem::Option),
        };
        clock.options.push((name, Some(value.ok_or(Problem::Value)?)));
    }
    Ok(clock)
}

fn smoothtime(args: &[&str]) -> Result<Smoothing, Problem> {
    let (max_freq, max_wander, leap_only) = match args {
        [] | [_] => return Err(Problem::Missing),
        [freq, wander] => (freq, wander, false),
        [freq, wander, word] if word.eq_ignore_ascii_case("leaponly") => (freq, wander, true),
        [_, _, _] => return Err(Problem::Parse),
        _ => return Err(Problem::TooMany),
    };
    let (max_freq, max_wander) = exact(max_freq).zip(real(max_wander)).ok_or(Problem::Parse)?;
    Ok(Smoothing { max_freq, max_wander, leap_only })
}

fn tempcomp(args: &[&str]) -> Result<Vec<String>, Problem> {
    let numbers: Vec<&str> = match args {
        [_, interval, _] => vec![interval],
        [_, numbers @ ..] if args.len() == 6 => numbers.to_vec(),
        _ if args.len() < 6 => return Err(Problem::Missing),
        _ => return Err(Problem::TooMany),
    };
    let (last, before) = numbers.split_last().ok_or(Problem::Missing)?;
    if real(last).is_none() || !before.iter().all(|word| exact(word).is_some()) {
        return Err(Problem::Parse);
    }
    Ok(args.iter().map(|&a| a.to_owned()).collect())
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test that cannot go on says so by panicking")]
mod tests;
