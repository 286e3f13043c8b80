//! The command line: options, verbs, booleans, and what is said when they are wrong.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use crate::applets::getopt::{Item, Long, Operands, parse as getopt};

/// The option table.
pub(super) fn command() -> Command {
    let flag =
        |id: &'static str, help: &'static str| Arg::new(id).long(id).action(ArgAction::SetTrue).help(help);
    let value = |id: &'static str, short: char, name: &'static str, help: &'static str| {
        Arg::new(id).long(id).short(short).action(ArgAction::Append).value_name(name).help(help)
    };
    Command::new("timedatectl")
        .about("Query or change system time and date settings")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .arg(flag("help", "Show this help message").short('h'))
        .arg(flag("version", "Show package version"))
        .arg(flag("no-pager", "Do not pipe output into a pager"))
        .arg(flag("no-ask-password", "Do not prompt for password"))
        .arg(value("host", 'H', "[USER@]HOST", "Operate on remote host (refused: use ssh)"))
        .arg(value("machine", 'M', "CONTAINER", "Operate on local container (only .host)"))
        .arg(flag("adjust-system-clock", "Adjust system clock when changing local RTC mode"))
        .arg(flag("monitor", "Monitor status of systemd-timesyncd"))
        .arg(value("property", 'p', "NAME", "Show only properties by this name"))
        .arg(flag("all", "Show all properties, including empty ones").short('a'))
        .arg(flag("value", "When showing properties, only print the value"))
        .arg(
            Arg::new("only-value")
                .short('P')
                .action(ArgAction::Append)
                .value_name("NAME")
                .help("Equivalent to --value --property=NAME"),
        )
        .arg(
            Arg::new("verb")
                .value_name("COMMAND")
                .num_args(0..)
                .help("status, show, set-time TIME, set-timezone ZONE, list-timezones, set-local-rtc BOOL, set-ntp BOOL, timesync-status, show-timesync, ntp-servers INTERFACE SERVER..., revert INTERFACE"),
        )
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Status,
    Show,
    SetTime,
    SetTimezone,
    ListTimezones,
    SetLocalRtc,
    SetNtp,
    TimesyncStatus,
    ShowTimesync,
    NtpServers,
    Revert,
    Help,
}

/// Name, least and most words (the verb counts as one); the order decides ties among proposals.
const VERBS: &[(&str, Verb, usize, usize)] = &[
    ("status", Verb::Status, 1, 1),
    ("show", Verb::Show, 1, 1),
    ("set-time", Verb::SetTime, 2, 2),
    ("set-timezone", Verb::SetTimezone, 2, 2),
    ("list-timezones", Verb::ListTimezones, 1, 1),
    ("set-local-rtc", Verb::SetLocalRtc, 2, 2),
    ("set-ntp", Verb::SetNtp, 2, 2),
    ("timesync-status", Verb::TimesyncStatus, 1, 1),
    ("show-timesync", Verb::ShowTimesync, 1, 1),
    ("ntp-servers", Verb::NtpServers, 3, usize::MAX),
    ("revert", Verb::Revert, 2, 2),
    ("help", Verb::Help, 0, usize::MAX),
];

/// Options that were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Options {
    pub(super) host: Option<String>,
    pub(super) machine: Option<String>,
    pub(super) no_pager: bool,
    pub(super) adjust_system_clock: bool,
    pub(super) monitor: bool,
    /// `-p NAME` and `-p NAME=VALUE`, as they stand.
    pub(super) properties: Vec<String>,
    pub(super) all: bool,
    pub(super) value_only: bool,
}

/// What the options led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    Help,
    Version,
    /// Options, and the verb with its words.
    Run(Options, Vec<String>),
    /// What getopt says, without the program's name.
    Wrong(String),
}

/// Reads the options; the first of `--help`, `--version` and an error ends it.
pub(super) fn parse(words: &[OsString]) -> Typed {
    let mut options = Options::default();
    let mut operands = Vec::new();
    for item in getopt(&command(), words, Operands::Mixed, Long::Prefix) {
        match item {
            Item::Option { id, value } => {
                let value = value.map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
                match id.as_str() {
                    "help" => return Typed::Help,
                    "version" => return Typed::Version,
                    "no-pager" => options.no_pager = true,
                    "host" => options.host = Some(value),
                    "machine" => options.machine = Some(value),
                    "adjust-system-clock" => options.adjust_system_clock = true,
                    "monitor" => options.monitor = true,
                    "property" => options.properties.push(value),
                    "only-value" => {
                        options.properties.push(value);
                        options.value_only = true;
                    }
                    "all" => options.all = true,
                    "value" => options.value_only = true,
                    // there is nobody to ask for a password
                    _ => {}
                }
            }
            Item::Operand(word) => operands.push(word.to_string_lossy().into_owned()),
            Item::UnknownShort(letter) => return Typed::Wrong(format!("invalid option -- '{letter}'")),
            Item::UnknownLong(word) => return Typed::Wrong(format!("unrecognized option '{word}'")),
            Item::Ambiguous(word, names) => {
                let names: String = names.iter().map(|name| format!(" '--{name}'")).collect();
                return Typed::Wrong(format!("option '{word}' is ambiguous; possibilities:{names}"));
            }
            Item::MissingShort(letter) => {
                return Typed::Wrong(format!("option requires an argument -- '{letter}'"));
            }
            Item::MissingLong(name) => {
                return Typed::Wrong(format!("option '--{name}' requires an argument"));
            }
            Item::UnexpectedValue(name) => {
                return Typed::Wrong(format!("option '--{name}' doesn't allow an argument"));
            }
        }
    }
    Typed::Run(options, operands)
}

/// Finds the verb; without words it is `status`.
///
/// # Errors
/// The original's line.
pub(super) fn verb(words: &[String]) -> Result<Verb, String> {
    let Some(name) = words.first() else { return Ok(Verb::Status) };
    let Some((_, verb, least, most)) = VERBS.iter().find(|(known, ..)| known == name) else {
        return Err(match proposal(name) {
            Some(known) => format!("Unknown command verb '{name}', did you mean '{known}'?"),
            None => format!("Unknown command verb '{name}'."),
        });
    };
    if words.len() < *least {
        return Err("Too few arguments.".into());
    }
    if words.len() > *most {
        return Err("Too many arguments.".into());
    }
    Ok(*verb)
}

/// The farthest that a misspelt verb may be from a real one.
const MAX_DISTANCE: usize = 5;

/// The verb that was meant: the one with the fewest further letters, else the most similar.
fn proposal(typed: &str) -> Option<&'static str> {
    let names = || VERBS.iter().map(|(name, ..)| *name);
    let longer = names().filter(|name| name.starts_with(typed)).min_by_key(|name| name.len());
    let similar = || {
        let near = names().map(|name| (distance(typed, name), name)).min_by_key(|(d, _)| *d);
        near.filter(|(d, _)| *d <= MAX_DISTANCE).map(|(_, name)| name)
    };
    longer.or_else(similar)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let best = (diagonal + usize::from(x != y)).min(*cell + 1).min(left + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// A boolean as systemd reads it.
pub(super) fn boolean(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

/// `--help`, byte for byte; `bold` wraps the description and makes the manual page a link, as on a terminal.
pub(super) fn help(bold: bool) -> String {
    let (on, off) = if bold { ("\x1b[0;1;39m", "\x1b[0m") } else { ("", "") };
    let page = "timedatectl(1) man page";
    let rest = include_str!("help.txt");
    let rest = match bold {
        true => rest.replace(page, &format!("\x1b]8;;man:timedatectl(1)\x1b\\{page}\x1b]8;;\x1b\\")),
        false => rest.to_owned(),
    };
    format!(
        "timedatectl [OPTIONS...] COMMAND ...\n\n{on}Query or change system time and date settings.{off}\n{rest}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&w| w.to_owned()).collect()
    }

    fn typed(words: &[&str]) -> Typed {
        parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_misspelt_verb_gets_the_original_proposal() {
        for (typed, meant) in [
            ("stat", Some("status")),
            ("stats", Some("status")),
            ("se", Some("set-ntp")),
            ("set", Some("set-ntp")),
            ("list", Some("list-timezones")),
            ("showw", Some("show")),
            ("set-tz", Some("set-ntp")),
            ("bogus", Some("status")),
            ("", Some("show")),
            ("hel", Some("help")),
            ("xset-time", Some("set-time")),
            ("set-tim", Some("set-time")),
            ("revet", Some("revert")),
            ("timesync", Some("timesync-status")),
            ("bad\nverb", Some("revert")),
            ("STATUS", None),
            ("bogusverb", None),
            ("xyzzyxyzzy", None),
        ] {
            assert_eq!(proposal(typed), meant, "{typed}");
        }
    }

    #[test]
    fn verbs_count_their_words() {
        assert_eq!(verb(&[]), Ok(Verb::Status));
        assert_eq!(verb(&words(&["help", "x", "y"])), Ok(Verb::Help));
        assert_eq!(verb(&words(&["status", "x"])), Err("Too many arguments.".into()));
        assert_eq!(verb(&words(&["set-time"])), Err("Too few arguments.".into()));
        assert_eq!(verb(&words(&["ntp-servers", "lo"])), Err("Too few arguments.".into()));
    }

    #[test]
    fn options_are_gnu_long_options() {
        for (line, text) in [
            (["--bogus"].as_slice(), "unrecognized option '--bogus'"),
            (&["--bogus=x"], "unrecognized option '--bogus=x'"),
            (&["-Z"], "invalid option -- 'Z'"),
            (&["-5min"], "invalid option -- '5'"),
            (&["-p"], "option requires an argument -- 'p'"),
            (&["--property"], "option '--property' requires an argument"),
            (&["--monitor=yes"], "option '--monitor' doesn't allow an argument"),
            (&["--a"], "option '--a' is ambiguous; possibilities: '--adjust-system-clock' '--all'"),
            (&["--no=x"], "option '--no=x' is ambiguous; possibilities: '--no-pager' '--no-ask-password'"),
            (&["--h=x"], "option '--h=x' is ambiguous; possibilities: '--help' '--host'"),
            (&["--m=x"], "option '--m=x' is ambiguous; possibilities: '--machine' '--monitor'"),
            (&["--v=x"], "option '--v=x' is ambiguous; possibilities: '--version' '--value'"),
            (&["--hel=x"], "option '--help' doesn't allow an argument"),
        ] {
            assert_eq!(typed(line), Typed::Wrong(text.into()), "{line:?}");
        }
        assert_eq!(typed(&["-hx"]), Typed::Help);
        assert_eq!(typed(&["--ver", "--help"]), Typed::Version);
        let Typed::Run(options, rest) = typed(&["set-time", "-pNTP", "-P", "X=y", "--", "-5min"]) else {
            panic!("these are fine")
        };
        assert_eq!(rest, ["set-time", "-5min"]);
        assert_eq!(options.properties, ["NTP", "X=y"]);
        assert!(options.value_only && !options.all);
    }

    #[test]
    fn help_on_a_terminal_is_bold_and_linked() {
        assert!(help(true).contains("\n\x1b[0;1;39mQuery or change system time and date settings.\x1b[0m\n"));
        let link =
            "See the \x1b]8;;man:timedatectl(1)\x1b\\timedatectl(1) man page\x1b]8;;\x1b\\ for details.\n";
        assert!(help(true).ends_with(link));
        assert!(!help(false).contains('\x1b'));
    }

    #[test]
    fn booleans() {
        for yes in ["1", "yes", "Y", "TRUE", "t", "On"] {
            assert_eq!(boolean(yes), Some(true));
        }
        for no in ["0", "no", "N", "false", "F", "oFF"] {
            assert_eq!(boolean(no), Some(false));
        }
        for bad in ["", "2", "enabled", "ja", " 1"] {
            assert_eq!(boolean(bad), None);
        }
    }
}
