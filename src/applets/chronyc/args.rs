//! The command line of chronyc: options up to the first word, then the command.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use crate::applets::getopt::{self, Item, Long, Operands, flag, value};

/// The original's default list.
pub(super) const DEFAULT_HOSTS: &str = "/run/chrony/chronyd.sock,127.0.0.1,::1";
/// The original's default port.
const DEFAULT_PORT: u16 = 323;

/// What was typed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Options {
    pub(super) only_ipv4: bool,
    pub(super) only_ipv6: bool,
    pub(super) numeric: bool,
    pub(super) source_names: bool,
    pub(super) csv: bool,
    pub(super) end_dot: bool,
    pub(super) multiple: bool,
    pub(super) wide: bool,
    pub(super) hosts: String,
    pub(super) port: u16,
    pub(super) user: Option<String>,
    pub(super) watch: Option<f64>,
    /// The words of the command, or with `-m` the commands.
    pub(super) words: Vec<String>,
}

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    Run(Box<Options>),
    Help,
    Version,
    /// A line for standard error, if any; then the usage.
    Wrong(Option<String>),
}

/// The option table.
pub(super) fn command() -> Command {
    Command::new("chronyc")
        .about("Query and control chronyd")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(flag("ipv4", '4', "Use IPv4 addresses only"))
        .arg(flag("ipv6", '6', "Use IPv6 addresses only"))
        .arg(flag("numeric", 'n', "Do not look names up"))
        .arg(flag("source-names", 'N', "Print sources as they are configured"))
        .arg(flag("csv", 'c', "Print comma separated values"))
        .arg(flag("end-dot", 'e', "End every response with a line of one dot"))
        .arg(flag("multiple", 'm', "Take every argument as a command"))
        .arg(value("hosts", 'h', "HOST", "Ask these in turn, comma separated: socket path, name or address"))
        .arg(value("port", 'p', "PORT", "Use this UDP port (323)"))
        .arg(value("user", 'u', "USER", "Become this user before asking"))
        .arg(flag("wide", 'w', "Print wider tables"))
        .arg(flag("debug", 'd', "Ignored, for compatibility"))
        .arg(flag("authenticate", 'a', "Ignored, for compatibility"))
        .arg(value("file", 'f', "FILE", "Ignored, for compatibility"))
        .arg(
            Arg::new("watch")
                .long("watch")
                .action(ArgAction::Set)
                .num_args(0..=1)
                .value_name("SECONDS")
                .help("Repeat a report (every second)"),
        )
        .arg(flag("version", 'v', "Print the version").long("version"))
        .arg(Arg::new("help").long("help").action(ArgAction::SetTrue).help("Print the options"))
        .arg(Arg::new("command").num_args(0..).value_name("COMMAND").help("What to do; none: read commands"))
}

/// Reads the words after the program's name. `--help` and `--version` count wherever they stand, as in the original.
pub(super) fn parse(program: &str, words: &[OsString]) -> Request {
    if let Some(word) = words.iter().find(|word| *word == "--help" || *word == "--version") {
        return if word == "--help" { Request::Help } else { Request::Version };
    }
    let mut options = Options {
        only_ipv4: false,
        only_ipv6: false,
        numeric: false,
        source_names: false,
        csv: false,
        end_dot: false,
        multiple: false,
        wide: false,
        hosts: DEFAULT_HOSTS.to_owned(),
        port: DEFAULT_PORT,
        user: None,
        watch: None,
        words: Vec::new(),
    };
    for item in getopt::parse(&command(), words, Operands::EndOptions, Long::Exact) {
        match item {
            Item::Operand(word) => options.words.push(word.to_string_lossy().into_owned()),
            Item::Option { id, value } => {
                let value = value.map(|v| v.to_string_lossy().into_owned());
                if id == "version" {
                    return Request::Version;
                }
                if let Err(line) = options.set(&id, value) {
                    return Request::Wrong(Some(format!("{program}: {line}")));
                }
            }
            Item::UnknownShort(letter) => {
                return Request::Wrong(Some(format!("{program}: invalid option -- '{letter}'")));
            }
            Item::MissingShort(letter) => {
                return Request::Wrong(Some(format!("{program}: option requires an argument -- '{letter}'")));
            }
            // the original has no long options: it sees a cluster that begins with a dash
            Item::UnknownLong(_) | Item::Ambiguous(..) | Item::MissingLong(_) | Item::UnexpectedValue(_) => {
                return Request::Wrong(Some(format!("{program}: invalid option -- '-'")));
            }
        }
    }
    Request::Run(Box::new(options))
}

impl Options {
    fn set(&mut self, id: &str, value: Option<String>) -> Result<(), String> {
        match id {
            "ipv4" => (self.only_ipv4, self.only_ipv6) = (true, false),
            "ipv6" => (self.only_ipv4, self.only_ipv6) = (false, true),
            "numeric" => self.numeric = true,
            "source-names" => self.source_names = true,
            "csv" => self.csv = true,
            "end-dot" => self.end_dot = true,
            "multiple" => self.multiple = true,
            "wide" => self.wide = true,
            "hosts" => self.hosts = value.unwrap_or_default(),
            // atoi, as in the original: what is no number is port 0
            "port" => {
                let number = value.as_deref().and_then(super::scan::int).unwrap_or(0);
                self.port = u16::try_from(number & 0xffff).unwrap_or(0);
            }
            "user" => self.user = value,
            "watch" => {
                let seconds = match value.as_deref() {
                    None => Some(1.0),
                    Some(text) => text.parse().ok().filter(|s: &f64| (0.01..=86_400.0).contains(s)),
                };
                self.watch = Some(seconds.ok_or("--watch takes seconds from 0.01 to 86400")?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The text of `--help`.
pub(super) fn usage(program: &str) -> String {
    format!(
        "Usage: {program} [OPTION]... [COMMAND]...

Options:
  -4\t\tUse IPv4 addresses only
  -6\t\tUse IPv6 addresses only
  -n\t\tShow addresses, do not look names up
  -N\t\tShow sources as they are configured
  -c\t\tPrint comma separated values
  -e\t\tEnd responses with a line of one dot
  -m\t\tTake every argument as a command
  -h HOST\tAsk these in turn ({DEFAULT_HOSTS})
  -p PORT\tUse this UDP port ({DEFAULT_PORT})
  -u USER\tBecome this user (root: stay as we are)
  -w\t\tPrint wider tables
      --json[=pretty|short]\tPrint JSON objects
      --watch[=SECONDS]\tRepeat a report
  -v, --version\tPrint the version and exit
      --help\tPrint this text and exit
"
    )
}

/// Whether an entry of the list of hosts is the path of a socket.
pub(super) fn is_path(host: &str) -> bool {
    host.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Request {
        parse("chronyc", &words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    fn options(words: &[&str]) -> Options {
        match run(words) {
            Request::Run(options) => *options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_end_at_the_command() {
        let o = options(&["-cn", "sources", "-v"]);
        assert!(o.csv && o.numeric);
        assert_eq!(o.words, ["sources", "-v"]);
        assert_eq!(run(&["-v", "sources"]), Request::Version);
        assert_eq!(options(&["-a", "-f", "x", "makestep"]).words, ["makestep"]);
        assert_eq!(options(&["--", "-v"]).words, ["-v"]);
    }

    #[test]
    fn help_and_version_count_anywhere() {
        assert_eq!(run(&["sources", "--version", "--help"]), Request::Version);
        assert_eq!(run(&["-z", "--help"]), Request::Help);
    }

    #[test]
    fn wrong_options_have_getopts_lines() {
        let wrong = |line: &str| Request::Wrong(Some(line.to_owned()));
        assert_eq!(run(&["-z"]), wrong("chronyc: invalid option -- 'z'"));
        assert_eq!(run(&["-h"]), wrong("chronyc: option requires an argument -- 'h'"));
        assert_eq!(run(&["--foo"]), wrong("chronyc: invalid option -- '-'"));
    }

    #[test]
    fn the_last_of_4_and_6_counts() {
        assert!(options(&["-4", "-6"]).only_ipv6);
        assert_eq!(options(&["-p", "1323x"]).port, 1323);
        assert_eq!(options(&["--watch=0.5"]).watch, Some(0.5));
    }
}
