//! The command line of `ntpd` 4.2.8p15 (ntp-legacy 3.3), with `-m` of RHEL's.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use crate::applets::getopt::{self, Item, Long, Operands};
use crate::applets::output::json_arg;
use crate::sys::net::Family;

/// The option table.
pub(super) fn command() -> Command {
    let flag = |id, letter, help| getopt::flag(id, letter, help).long(id);
    let value =
        |id, letter, name, help| getopt::value(id, letter, name, help).long(id).action(ArgAction::Append);
    let long = |id: &'static str, name: &'static str, help: &'static str| {
        Arg::new(id).long(id).value_name(name).action(ArgAction::Append).help(help)
    };
    Command::new("ntpd")
        .about("Follow servers and serve time by ntp.conf")
        .override_usage("ntpd [OPTION]... [SERVER]...")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(flag("ipv4", '4', "Use IPv4 addresses only"))
        .arg(flag("ipv6", '6', "Use IPv6 addresses only"))
        .arg(flag("authreq", 'a', "Require crypto authentication"))
        .arg(flag("authnoreq", 'A', "Do not require crypto authentication"))
        .arg(flag("bcastsync", 'b', "Allow us to sync to broadcast servers"))
        .arg(value("configfile", 'c', "FILE", "Configuration file name"))
        .arg(flag("debug-level", 'd', "Do not fork, log to the terminal"))
        .arg(value("set-debug-level", 'D', "N", "Set the debug verbosity level (no effect)"))
        .arg(value("driftfile", 'f', "FILE", "Frequency drift file name"))
        .arg(flag("panicgate", 'g', "Allow the first adjustment to be big"))
        .arg(flag("force-step-once", 'G', "Step any initial offset correction"))
        .arg(value("jaildir", 'i', "DIR", "Jail directory (no effect)"))
        .arg(value("interface", 'I', "ADDRESS", "Listen on this address"))
        .arg(value("keyfile", 'k', "FILE", "Path to symmetric keys"))
        .arg(value("logfile", 'l', "FILE", "Path to the log file"))
        .arg(flag("novirtualips", 'L', "Do not listen to virtual interfaces (no effect)"))
        .arg(flag("memlock", 'm', "Lock memory"))
        .arg(flag("nofork", 'n', "Do not fork"))
        .arg(flag("nice", 'N', "Run at high priority"))
        .arg(value("pidfile", 'p', "FILE", "Path to the PID file"))
        .arg(value("priority", 'P', "N", "Process priority"))
        .arg(flag("quit", 'q', "Set the time and quit"))
        .arg(value("propagationdelay", 'r', "SECONDS", "Broadcast delay"))
        .arg(long("saveconfigquit", "FILE", "Save parsed configuration and quit (refused)"))
        .arg(value("statsdir", 's', "DIR", "Statistics file location"))
        .arg(value("trustedkey", 't', "N", "Trusted key number"))
        .arg(value("user", 'u', "USER[:GROUP]", "Run as this user"))
        .arg(value("updateinterval", 'U', "SECONDS", "Interval between scans for interfaces (no effect)"))
        .arg(long("var", "NAME=VALUE", "Make an ntp variable"))
        .arg(long("dvar", "NAME=VALUE", "Make an ntp variable of the default list"))
        .arg(value("wait-sync", 'w', "SECONDS", "Seconds to wait for first clock sync (no effect)"))
        .arg(flag("slew", 'x', "Slew up to 600 seconds"))
        .arg(
            Arg::new("check").long("check").action(ArgAction::Count).help(
                "Check the configuration, name the lines that are left out or have no effect, and exit",
            ),
        )
        .arg(json_arg())
        .arg(
            Arg::new("version")
                .short('V')
                .long("version")
                .action(ArgAction::Count)
                .help("Output version information and exit"),
        )
        .arg(Arg::new("help").short('?').long("help").action(ArgAction::Count).help("Print usage and exit"))
        .arg(
            Arg::new("server")
                .value_name("SERVER")
                .num_args(0..)
                .help("Servers besides those of the configuration file"),
        )
}

/// The lines behind a complaint.
pub(super) const USAGE: &str = "ntpd - NTP daemon program - Ver. 4.2.8p15\nUsage:  ntpd [ -<flag> [<val>] | --<name>[{=| }<val>] ]... \\\n\t\t[ <server1> ... <serverN> ]\n";

/// What is meant.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(super) struct Args {
    pub(super) check: bool,
    pub(super) foreground: bool,
    pub(super) quit: bool,
    pub(super) lock_memory: bool,
    pub(super) nice: bool,
    /// `-x`
    pub(super) slew: bool,
    /// `-g`: the first offset may be any.
    pub(super) any_offset: bool,
    /// `-G`: the first offset is stepped.
    pub(super) step_once: bool,
    pub(super) family: Option<Family>,
    pub(super) config: Option<String>,
    pub(super) drift_file: Option<String>,
    pub(super) interfaces: Vec<String>,
    pub(super) key_file: Option<String>,
    pub(super) log_file: Option<String>,
    pub(super) pid_file: Option<String>,
    pub(super) priority: Option<i32>,
    pub(super) stats_dir: Option<String>,
    pub(super) trusted: Vec<u32>,
    /// `-b`
    pub(super) broadcast_client: bool,
    /// `-a`, `-A`
    pub(super) auth: Option<bool>,
    /// `-r`, s
    pub(super) broadcast_delay: Option<f64>,
    pub(super) user: Option<String>,
    /// Name, value, whether it is in the default list.
    pub(super) variables: Vec<(String, String, bool)>,
    /// Options that are accepted and do nothing, as typed.
    pub(super) without_effect: Vec<&'static str>,
    pub(super) servers: Vec<String>,
}

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Parsed {
    Run(Box<Args>),
    Help,
    Version,
    /// The line before the usage text, without the program's name.
    Wrong(String),
}

/// Parses the words after the program's name.
pub(super) fn parse(words: &[OsString]) -> Parsed {
    let mut args = Args::default();
    let table = command();
    let name_of = |letter| {
        let found = table.get_arguments().find(|arg| arg.get_short() == Some(letter));
        found.and_then(Arg::get_long).unwrap_or_default()
    };
    for item in getopt::parse(&table, words, Operands::EndOptions, Long::Prefix) {
        let wrong = match item {
            Item::Option { id, value } => {
                let text = value.unwrap_or_default().to_string_lossy().into_owned();
                match id.as_str() {
                    "help" => return Parsed::Help,
                    "version" => return Parsed::Version,
                    _ => match args.option(&id, text) {
                        Ok(()) => continue,
                        Err(line) => line,
                    },
                }
            }
            Item::Operand(word) => {
                args.servers.push(word.to_string_lossy().into_owned());
                continue;
            }
            Item::UnknownShort(letter) => format!("illegal option -- {letter}"),
            Item::UnknownLong(word) => format!("illegal option -- {}", word.trim_start_matches('-')),
            Item::Ambiguous(word, _) => format!("ambiguous option -- {}", word.trim_start_matches('-')),
            Item::MissingShort(letter) => format!("The '{}' option requires an argument.", name_of(letter)),
            Item::MissingLong(name) => format!("The '{name}' option requires an argument."),
            Item::UnexpectedValue(name) => format!("The '{name}' option cannot have an argument."),
        };
        return Parsed::Wrong(wrong);
    }
    Parsed::Run(Box::new(args))
}

impl Args {
    fn option(&mut self, id: &str, text: String) -> Result<(), String> {
        let number =
            |text: &str| text.parse::<i32>().map_err(|_| format!("'{text}' is not a recognizable number."));
        match id {
            "ipv4" if self.family == Some(Family::V6) => {
                return Err("the 'ipv6' and 'ipv4' options conflict".to_owned());
            }
            "ipv6" if self.family == Some(Family::V4) => {
                return Err("the 'ipv4' and 'ipv6' options conflict".to_owned());
            }
            "ipv4" => self.family = Some(Family::V4),
            "ipv6" => self.family = Some(Family::V6),
            "check" => self.check = true,
            "configfile" => self.config = Some(text),
            "debug-level" | "nofork" => self.foreground = true,
            "quit" => (self.quit, self.foreground) = (true, true),
            "driftfile" => self.drift_file = Some(text),
            "interface" => self.interfaces.push(text),
            "keyfile" => self.key_file = Some(text),
            "logfile" => self.log_file = Some(text),
            "pidfile" => self.pid_file = Some(text),
            "priority" => self.priority = Some(number(&text)?),
            "statsdir" => self.stats_dir = Some(text),
            "trustedkey" => self.trusted.push(number(&text)?.unsigned_abs()),
            "user" => self.user = Some(text),
            "memlock" => self.lock_memory = true,
            "nice" => self.nice = true,
            "slew" => self.slew = true,
            "panicgate" => self.any_offset = true,
            "force-step-once" => (self.any_offset, self.step_once) = (true, true),
            "var" | "dvar" => {
                let (name, value) = text.split_once('=').unwrap_or((&text, ""));
                self.variables.push((name.to_owned(), value.to_owned(), id == "dvar"));
            }
            "saveconfigquit" => return Err("saveconfigquit is not supported".to_owned()),
            "propagationdelay" => {
                self.broadcast_delay = text.parse().ok().filter(|delay: &f64| delay.is_finite())
            }
            "jaildir" => self.without_effect.push("-i"),
            "novirtualips" => self.without_effect.push("-L"),
            "updateinterval" => self.without_effect.push("-U"),
            "wait-sync" => self.without_effect.push("-w"),
            "bcastsync" => self.broadcast_client = true,
            "authreq" => self.auth = Some(true),
            "authnoreq" => self.auth = Some(false),
            // -D: there is nothing to debug
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn distributions_options_are_taken() {
        let Parsed::Run(args) =
            parse(&words(&["-u", "ntp:ntp", "-p", "/var/run/ntpd.pid", "-g", "-x", "-n"]))
        else {
            panic!("not understood")
        };
        assert_eq!(
            (args.user.as_deref(), args.pid_file.as_deref()),
            (Some("ntp:ntp"), Some("/var/run/ntpd.pid"))
        );
        assert!(args.foreground && !args.quit);
        let Parsed::Run(args) =
            parse(&words(&["--configfile=/x", "--dvar", "a=b", "-I", "10.0.0.1", "10.0.0.2"]))
        else {
            panic!("not understood")
        };
        assert_eq!(args.variables, [("a".to_owned(), "b".to_owned(), true)]);
        assert_eq!(
            (args.servers, args.interfaces),
            (vec!["10.0.0.2".to_owned()], vec!["10.0.0.1".to_owned()])
        );
    }

    #[test]
    fn wrong_options_are_named_as_the_original_does() {
        for (line, text) in [
            (&["-Z"][..], "illegal option -- Z"),
            (&["-c"], "The 'configfile' option requires an argument."),
            (&["-4", "-6"], "the 'ipv4' and 'ipv6' options conflict"),
        ] {
            let Parsed::Wrong(wrong) = parse(&words(line)) else { panic!("{line:?}") };
            assert_eq!(wrong, text);
        }
    }
}
