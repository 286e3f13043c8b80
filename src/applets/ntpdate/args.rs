//! The command line of `ntpdate`: what was typed → what is meant (ntp-legacy 1.1).

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, Command};

use crate::applets::getopt::{self, Item, Long, Operands, flag, value};
use crate::engine::oneshot::{Policy, Samples};
use crate::types::TimeDelta;

/// Port of the NTP service.
const NTP_PORT: u16 = 123;
/// One tick of the original's timer: time-outs are multiples of it.
const TICK: TimeDelta = TimeDelta::from_millis(200);
/// Time-out without `-t` (EL6's and the manual's value).
const TIMEOUT: TimeDelta = TimeDelta::from_secs(1);
/// Samples of a debug run without `-p`, and the classic default.
const CLASSIC_SAMPLES: u8 = 4;
/// Key file of RHEL's ntpdate.
const KEY_FILE: &str = "/etc/ntp/keys";

/// The option table.
pub(super) fn command() -> Command {
    Command::new("ntpdate")
        .about("set the clock from NTP servers, once")
        .override_usage("ntpdate [-46bBdqsuv] [-a key#] [-e delay] [-k file] [-p samples] [-o version#] [-t timeo] [-U username] server ...")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(flag("ipv4", '4', "Resolve names to IPv4 addresses only"))
        .arg(flag("ipv6", '6', "Resolve names to IPv6 addresses only"))
        .arg(value("key", 'a', "KEY", "Authenticate with this key of the key file"))
        .arg(flag("step", 'b', "Always step the clock"))
        .arg(flag("slew", 'B', "Always slew the clock"))
        .arg(flag("debug", 'd', "Do everything but adjust, and print a trace; may be repeated"))
        .arg(value("delay", 'e', "SECONDS", "Time that signing a request takes (obsolete)"))
        .arg(value("keyfile", 'k', "FILE", "Key file [default: /etc/ntp/keys]"))
        .arg(value("protocol", 'o', "VERSION", "NTP version of the requests [default: 4]"))
        .arg(value("samples", 'p', "N", "Ask each server for exactly N samples, 1 to 8 [default: as many as help, at most 4]"))
        .arg(flag("query", 'q', "Ask only: print a row per server, do not adjust"))
        .arg(flag("syslog", 's', "Log to syslog instead of the terminal"))
        .arg(value("timeout", 't', "SECONDS", "Wait this long for each answer, in steps of 0.2 [default: 1]"))
        .arg(flag("unprivileged", 'u', "Send from an unprivileged port"))
        .arg(flag("verbose", 'v', "Log the version, and why servers were rejected"))
        .arg(value("user", 'U', "USER", "Drop root to this user, keeping only the right to set the clock"))
        .arg(
            Arg::new("interval")
                .long("interval")
                .value_name("SECONDS")
                .action(ArgAction::Set)
                .help("Gap between two packets to one server [default: 2, on loopback 0]"),
        )
        .arg(
            Arg::new("port")
                .long("port")
                .value_name("PORT")
                .action(ArgAction::Set)
                .hide(true)
                .help("Port of the servers [default: 123]"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .value_name("LAYOUT")
                .value_parser(["pretty", "short", "off"])
                .num_args(0..=1)
                .require_equals(true)
                .help("Print one JSON object instead of text"),
        )
        .arg(Arg::new("help").short('h').long("help").action(ArgAction::SetTrue).help("Print help"))
        .arg(Arg::new("version").long("version").action(ArgAction::SetTrue).help("Print the version"))
        .arg(Arg::new("server").value_name("SERVER").num_args(0..).help("Names or addresses of NTP servers"))
}

/// What to do about the clock: nothing, by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// `-q`, `-d`: ask only.
    Observe,
    /// Correct the clock.
    Adjust(Policy),
}

/// Address family that names are resolved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Both.
    Any,
    /// `-4`.
    V4,
    /// `-6`.
    V6,
}

/// What is meant.
#[derive(Debug)]
pub(super) struct Args {
    /// What is done about the clock.
    pub task: Task,
    /// How the offset is judged, also when nothing is done.
    pub policy: Policy,
    /// Number of `-d`.
    pub debug: u8,
    /// `-q`.
    pub query: bool,
    /// `-s`.
    pub syslog: bool,
    /// `-v`.
    pub verbose: bool,
    /// Ask from a port that the kernel chooses.
    pub unprivileged_port: bool,
    /// Family of `-4`, `-6`; the last one counts.
    pub family: Family,
    /// `-a`.
    pub key: Option<u32>,
    /// `-k`.
    pub key_file: OsString,
    /// `-e`.
    pub signing_delay: TimeDelta,
    /// Low three bits of `-o`.
    pub version: u8,
    /// `-p`, `-d`, or the default.
    pub samples: Samples,
    /// `-t`.
    pub timeout: TimeDelta,
    /// `--interval`.
    pub interval: Option<TimeDelta>,
    /// `--port`.
    pub port: u16,
    /// `-U`.
    pub user: Option<String>,
    /// The server words.
    pub servers: Vec<String>,
}

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Parsed {
    /// A run.
    Run(Box<Args>),
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// Wrong options: the lines before the usage text.
    Usage(Vec<String>),
}

/// The usage text of the original, with RHEL's `-U`.
pub(super) fn usage(program: &str) -> String {
    format!(
        "usage: {program} [-46bBdqsuv] [-a key#] [-e delay] [-k file] [-p samples] [-o version#] [-t timeo] [-U username] server ..."
    )
}

/// Parses the words after the program's name. `program`: argv0 as typed, for the error lines.
pub(super) fn parse(program: &str, words: &[OsString]) -> Parsed {
    let mut typed = Typed::default();
    for item in getopt::parse(&command(), words, Operands::Mixed, Long::Exact) {
        match item {
            Item::Option { id, value } if id == "help" && value.is_none() => return Parsed::Help,
            Item::Option { id, value } if id == "version" && value.is_none() => return Parsed::Version,
            Item::Option { id, value } => typed.option(&id, value.as_deref().unwrap_or_default()),
            Item::Operand(word) => typed.servers.push(word.to_string_lossy().into_owned()),
            Item::UnknownShort(letter) => typed.complain(format!("unknown option -{letter}")),
            Item::UnknownLong(name) | Item::Ambiguous(name, _) => {
                typed.complain(format!("unknown option {name}"))
            }
            Item::MissingShort(letter) => typed.complain(format!("option requires argument -{letter}")),
            Item::MissingLong(name) => typed.complain(format!("option requires argument --{name}")),
            Item::UnexpectedValue(name) => typed.complain(format!("option takes no argument --{name}")),
        }
    }
    typed.meant(program)
}

/// What was typed, before it is put together.
#[derive(Default)]
struct Typed {
    complaints: Vec<String>,
    family: Option<Family>,
    policy: Option<Policy>,
    debug: u8,
    flags: Flags,
    key: Option<u32>,
    key_file: Option<OsString>,
    signing_delay: TimeDelta,
    version: Option<u8>,
    samples: Option<u8>,
    timeout: Option<TimeDelta>,
    interval: Option<TimeDelta>,
    port: Option<u16>,
    user: Option<String>,
    servers: Vec<String>,
}

#[derive(Default)]
struct Flags {
    query: bool,
    syslog: bool,
    unprivileged: bool,
    verbose: bool,
}

impl Typed {
    fn complain(&mut self, text: String) {
        self.complaints.push(text);
    }

    fn option(&mut self, id: &str, value: &OsStr) {
        let text = value.to_string_lossy();
        match id {
            "ipv4" => self.family = Some(Family::V4),
            "ipv6" => self.family = Some(Family::V6),
            "step" => self.policy = Some(Policy::Step),
            "slew" => self.policy = Some(Policy::Slew),
            "debug" => self.debug = self.debug.saturating_add(1),
            "query" => self.flags.query = true,
            "syslog" => self.flags.syslog = true,
            "unprivileged" => self.flags.unprivileged = true,
            "verbose" => self.flags.verbose = true,
            "key" => self.key = Some(u32::try_from(atoi(&text)).unwrap_or(0)),
            "keyfile" => self.key_file = Some(value.to_owned()),
            "user" => self.user = Some(text.into_owned()),
            "protocol" => self.version = Some(u8::try_from(atoi(&text).rem_euclid(8)).unwrap_or(0)),
            "samples" => match atoi(&text) {
                n @ 1..=8 => self.samples = u8::try_from(n).ok(),
                n => self.complain(format!("number of samples ({n}) is invalid")),
            },
            "delay" => match seconds(&text) {
                Some(delay) if delay < TimeDelta::from_secs(1) => self.signing_delay = delay,
                _ => self.complain(format!("encryption delay {text} is unlikely")),
            },
            "timeout" => match seconds(&text) {
                Some(timeout) => self.timeout = Some(timeout),
                None => self.complain(format!("timeout {text} is undecodeable")),
            },
            "interval" => match seconds(&text) {
                Some(gap) => self.interval = Some(gap),
                None => self.complain(format!("interval {text} is undecodeable")),
            },
            "port" => match text.parse() {
                Ok(port) if port != 0 => self.port = Some(port),
                _ => self.complain(format!("port {text} is invalid")),
            },
            _ => {}
        }
    }

    fn meant(self, program: &str) -> Parsed {
        if !self.complaints.is_empty() {
            let lines = self.complaints.iter().map(|text| format!("{program}: {text}")).collect();
            return Parsed::Usage(lines);
        }
        let policy = self.policy.unwrap_or(Policy::Automatic);
        let observes = self.flags.query || self.debug > 0;
        let samples = match (self.samples, self.debug) {
            (Some(n), _) => Samples::Exactly(n),
            (None, 0) => Samples::Enough,
            (None, _) => Samples::Exactly(CLASSIC_SAMPLES),
        };
        Parsed::Run(Box::new(Args {
            task: if observes { Task::Observe } else { Task::Adjust(policy) },
            policy,
            debug: self.debug,
            query: self.flags.query,
            syslog: self.flags.syslog,
            verbose: self.flags.verbose,
            unprivileged_port: self.flags.unprivileged || observes,
            family: self.family.unwrap_or(Family::Any),
            key: self.key,
            key_file: self.key_file.unwrap_or_else(|| KEY_FILE.into()),
            signing_delay: self.signing_delay,
            version: self.version.unwrap_or(4),
            samples,
            timeout: self.timeout.map_or(TIMEOUT, in_ticks),
            interval: self.interval,
            port: self.port.unwrap_or(NTP_PORT),
            user: self.user,
            servers: self.servers,
        }))
    }
}

/// To the nearest tick, at least one.
fn in_ticks(timeout: TimeDelta) -> TimeDelta {
    let ticks = (timeout + TICK / 2).as_nanos() / TICK.as_nanos();
    TICK * ticks.max(1)
}

/// The C library's `atoi`: leading blanks, a sign, digits; 0 when there are none; saturates.
fn atoi(text: &str) -> i64 {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let value = digits
        .bytes()
        .take_while(u8::is_ascii_digit)
        .fold(0_i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    let value = value.min(i64::from(i32::MAX));
    if negative { -value } else { value }
}

/// Seconds as the original reads them: blanks, a sign, decimal digits with an optional point, then the end or a blank.
/// `None` for anything else, for more than 2³² s, and for less than 0, at which the original waits for ever.
fn seconds(text: &str) -> Option<TimeDelta> {
    let text = text.trim_start_matches([' ', '\t']);
    let text = text.split([' ', '\t', '\n']).next()?;
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let secs = if whole.is_empty() { 0 } else { i64::from(whole.parse::<u32>().ok()?) };
    let nanos = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .fold(0, |sum, d| sum * 10 + i64::from(d - b'0'));
    let delta = TimeDelta::from_secs(secs) + TimeDelta::from_nanos(nanos);
    (!negative || delta == TimeDelta::ZERO).then_some(delta)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Args {
        match parse("ntpdate", &words.iter().map(OsString::from).collect::<Vec<_>>()) {
            Parsed::Run(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    fn complaints(words: &[&str]) -> Vec<String> {
        match parse("./ntpdate", &words.iter().map(OsString::from).collect::<Vec<_>>()) {
            Parsed::Usage(lines) => lines,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_complaints_are_collected() {
        assert_eq!(
            complaints(&["-x", "-p", "abc", "-t", "5s", "-e", "1.5", "-k"]),
            [
                "./ntpdate: unknown option -x",
                "./ntpdate: number of samples (0) is invalid",
                "./ntpdate: timeout 5s is undecodeable",
                "./ntpdate: encryption delay 1.5 is unlikely",
                "./ntpdate: option requires argument -k",
            ]
        );
    }

    #[test]
    fn observing_never_carries_a_policy_for_the_clock() {
        assert_eq!(run(&["-q", "-b", "h"]).task, Task::Observe);
        assert_eq!(run(&["-db", "h"]).task, Task::Observe);
        assert_eq!(run(&["-b", "h"]).task, Task::Adjust(Policy::Step));
        assert_eq!(run(&["-bB", "h"]).task, Task::Adjust(Policy::Slew));
    }

    #[test]
    fn the_last_of_two_opposites_counts() {
        assert_eq!(run(&["-46", "h"]).family, Family::V6);
        assert_eq!(run(&["-B", "-b", "h"]).policy, Policy::Step);
    }

    #[test]
    fn timeouts_are_ticks_of_a_fifth_of_a_second() {
        assert_eq!(run(&["-t5", "h"]).timeout, TimeDelta::from_secs(5));
        assert_eq!(run(&["-t", "0.01", "h"]).timeout, TimeDelta::from_millis(200));
        assert_eq!(run(&["-t", " +0.5 x", "h"]).timeout, TimeDelta::from_millis(600));
        assert_eq!(run(&["h"]).timeout, TimeDelta::from_secs(1));
        for bad in ["5s", "1e1", "0x5", "", "-1", ".", "99999999999"] {
            assert_eq!(complaints(&["-t", bad]), [format!("./ntpdate: timeout {bad} is undecodeable")]);
        }
    }

    #[test]
    fn samples_follow_p_then_d_then_the_default() {
        assert_eq!(run(&["h"]).samples, Samples::Enough);
        assert_eq!(run(&["-d", "h"]).samples, Samples::Exactly(4));
        assert_eq!(run(&["-dp1", "h"]).samples, Samples::Exactly(1));
        assert_eq!(complaints(&["-p9"]), ["./ntpdate: number of samples (9) is invalid"]);
    }

    #[test]
    fn versions_keep_their_low_three_bits() {
        assert_eq!(run(&["-o", "9", "h"]).version, 1);
        assert_eq!(run(&["-o", "x", "h"]).version, 0);
    }

    #[test]
    fn options_may_follow_servers_and_a_dash_dash_ends_them() {
        let args = run(&["a", "-q", "--", "-u"]);
        assert_eq!(args.servers, ["a", "-u"]);
        assert!(args.query && args.unprivileged_port);
    }
}
