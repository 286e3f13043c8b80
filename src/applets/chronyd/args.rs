//! The command line of `chronyd` (daemon-surface 2).

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use crate::applets::getopt::{self, Item, Long, Operands, flag, value};
use crate::applets::output::json_arg;
use crate::driver::lifecycle::Ground;
use crate::sys::log::Level;
use crate::sys::net::Family;

/// The option table.
pub(super) fn command() -> Command {
    Command::new("chronyd")
        .about("Follow time servers, steer the clock and serve time")
        .override_usage("chronyd [OPTION]... [DIRECTIVE]...")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(flag("ipv4", '4', "Use IPv4 addresses only"))
        .arg(flag("ipv6", '6', "Use IPv6 addresses only"))
        .arg(value("file", 'f', "FILE", "Specify configuration file"))
        .arg(flag("foreground", 'n', "Don't run as daemon"))
        .arg(flag("debug", 'd', "Don't run as daemon and log to stderr"))
        .arg(value("log", 'l', "FILE", "Log to file"))
        .arg(value("level", 'L', "LEVEL", "Set logging threshold"))
        .arg(flag("print", 'p', "Print configuration and exit"))
        .arg(flag("set", 'q', "Set clock and exit"))
        .arg(flag("query", 'Q', "Log offset and exit"))
        .arg(flag("reload", 'r', "Reload dump files"))
        .arg(flag("restart", 'R', "Adapt configuration for restart"))
        .arg(flag("rtc", 's', "Set clock from RTC"))
        .arg(value("timeout", 't', "SECONDS", "Exit after elapsed time"))
        .arg(value("user", 'u', "USER", "Specify user"))
        .arg(flag("any_user", 'U', "Don't check for root"))
        .arg(value("filter", 'F', "LEVEL", "Set system call filter level (accepted, no effect)"))
        .arg(value("priority", 'P', "PRIORITY", "Set process priority"))
        .arg(flag("lock", 'm', "Lock memory"))
        .arg(flag("observe", 'x', "Don't control clock"))
        .arg(value("notify", 'N', "FD", "Notify supervisor"))
        .arg(
            Arg::new("check")
                .long("check")
                .action(ArgAction::Count)
                .help("Check the configuration, name what has no effect, and exit"),
        )
        .arg(json_arg())
        .arg(
            Arg::new("version")
                .short('v')
                .long("version")
                .action(ArgAction::Count)
                .help("Print version and exit"),
        )
        .arg(Arg::new("help").short('h').long("help").action(ArgAction::Count).help("Print usage and exit"))
        .arg(
            Arg::new("directive")
                .value_name("DIRECTIVE")
                .num_args(0..)
                .help("Directives that replace the configuration file"),
        )
}

/// The usage text of the original, with its tabs.
pub(super) const USAGE: &str = "Usage: chronyd [OPTION]... [DIRECTIVE]...\n\nOptions:\n  -4\t\tUse IPv4 addresses only\n  -6\t\tUse IPv6 addresses only\n  -f FILE\tSpecify configuration file (/etc/chrony.conf)\n  -n\t\tDon't run as daemon\n  -d\t\tDon't run as daemon and log to stderr\n  -l FILE\tLog to file\n  -L LEVEL\tSet logging threshold (0)\n  -p\t\tPrint configuration and exit\n  -q\t\tSet clock and exit\n  -Q\t\tLog offset and exit\n  -r\t\tReload dump files\n  -R\t\tAdapt configuration for restart\n  -s\t\tSet clock from RTC\n  -t SECONDS\tExit after elapsed time\n  -u USER\tSpecify user\n  -U\t\tDon't check for root\n  -F LEVEL\tSet system call filter level (0)\n  -P PRIORITY\tSet process priority (0)\n  -m\t\tLock memory\n  -x\t\tDon't control clock\n  -N FD\t\tNotify supervisor\n  --check\tCheck configuration and exit\n  -v, --version\tPrint version and exit\n  -h, --help\tPrint usage and exit\n";

/// What the process is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Serve.
    Serve,
    /// `-p`: echo the configuration.
    Print,
    /// `--check`: judge the configuration.
    Check,
    /// `-q`, `-Q`: one measurement, one correction.
    OneShot,
}

/// What is meant.
#[derive(Debug)]
pub(super) struct Args {
    pub(super) task: Task,
    pub(super) ground: Ground,
    pub(super) family: Option<Family>,
    pub(super) file: Option<String>,
    pub(super) log_file: Option<String>,
    /// The least level that is logged.
    pub(super) lowest: Level,
    /// `-d` twice or a level below 0: wants messages that this build has not.
    pub(super) wants_debug: bool,
    pub(super) timeout: Option<u32>,
    pub(super) user: Option<String>,
    pub(super) checks_root: bool,
    pub(super) priority: Option<i32>,
    pub(super) lock_memory: bool,
    /// `-N`: a descriptor that is told.
    pub(super) notify: Option<i32>,
    /// `-F`: level of the system call filter.
    pub(super) filter: i32,
    /// Options that are accepted and do nothing, as typed.
    pub(super) without_effect: Vec<&'static str>,
    /// `-x`: the clock is left alone.
    pub(super) observe: bool,
    /// `-q`, not `-Q`.
    pub(super) sets_clock: bool,
    /// `-r`: the dump files are loaded.
    pub(super) reload: bool,
    /// `-s`: the clock is set from the RTC first.
    pub(super) from_rtc: bool,
    /// `-R`: as after a restart, nothing is stepped at the start.
    pub(super) restart: bool,
    pub(super) directives: Vec<String>,
}

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Parsed {
    Run(Args),
    Help,
    Version,
    /// The line before the usage text, without the program's name.
    Wrong(String),
    /// A number that is none.
    NoNumber(String),
}

/// Parses the words after the program's name.
pub(super) fn parse(words: &[OsString]) -> Parsed {
    let mut args = Args {
        task: Task::Serve,
        ground: Ground::Daemon,
        family: None,
        file: None,
        log_file: None,
        lowest: Level::Info,
        wants_debug: false,
        timeout: None,
        user: None,
        checks_root: true,
        priority: None,
        lock_memory: false,
        notify: None,
        filter: 0,
        without_effect: Vec::new(),
        observe: false,
        sets_clock: false,
        reload: false,
        restart: false,
        from_rtc: false,
        directives: Vec::new(),
    };
    for item in getopt::parse(&command(), words, Operands::Mixed, Long::Exact) {
        let wrong = match item {
            Item::Option { id, value } => {
                let text = value.unwrap_or_default().to_string_lossy().into_owned();
                match id.as_str() {
                    "help" => return Parsed::Help,
                    "version" => return Parsed::Version,
                    _ => match args.option(&id, text) {
                        Ok(()) => continue,
                        Err(NoNumber(word)) => return Parsed::NoNumber(word),
                    },
                }
            }
            Item::Operand(word) => {
                args.directives.push(word.to_string_lossy().into_owned());
                continue;
            }
            Item::UnknownShort(letter) => format!("invalid option -- '{letter}'"),
            Item::MissingShort(letter) => format!("option requires an argument -- '{letter}'"),
            // the original knows no long options
            _ => "invalid option -- '-'".to_owned(),
        };
        return Parsed::Wrong(wrong);
    }
    Parsed::Run(args)
}

/// The value of an option that should be a number.
struct NoNumber(String);

impl Args {
    fn option(&mut self, id: &str, text: String) -> Result<(), NoNumber> {
        let number = || integer(&text).ok_or_else(|| NoNumber(text.clone()));
        match id {
            "ipv4" => self.family = Some(Family::V4),
            "ipv6" => self.family = Some(Family::V6),
            "file" => self.file = Some(text),
            "foreground" if self.ground == Ground::Daemon => self.ground = Ground::Foreground,
            "debug" if self.ground == Ground::Debug => self.threshold(-1),
            "debug" => self.ground = Ground::Debug,
            "log" => self.log_file = Some(text),
            "level" => self.threshold(number()?),
            "print" => (self.task, self.checks_root) = (Task::Print, false),
            "check" => (self.task, self.checks_root) = (Task::Check, false),
            "set" | "query" => {
                self.task = Task::OneShot;
                self.sets_clock = id == "set";
                self.ground = Ground::Debug;
            }
            "observe" => self.observe = true,
            "restart" => self.restart = true,
            // below 0: for ever
            "timeout" => self.timeout = u32::try_from(number()?).ok(),
            "user" => self.user = Some(text),
            "any_user" => self.checks_root = false,
            "priority" => self.priority = Some(number()?),
            "lock" => self.lock_memory = true,
            "notify" => self.notify = Some(number()?).filter(|fd| *fd >= 0),
            "filter" => {
                self.filter = number()?;
                if self.filter != 0 {
                    self.without_effect.push("-F");
                }
            }
            "reload" => self.reload = true,
            "rtc" => self.from_rtc = true,
            _ => {}
        }
        Ok(())
    }

    /// chronyd's numbers: 0 information, 1 warnings, 2 errors, 3 and above what is fatal, which is always said.
    fn threshold(&mut self, level: i32) {
        self.wants_debug = level < 0;
        self.lowest = match level {
            ..=-1 => Level::Debug,
            0 => Level::Info,
            1 => Level::Warning,
            2 => Level::Error,
            3.. => Level::Critical,
        };
    }
}

/// A number as `sscanf("%d")` reads it: what follows is read over. Too large ones are the largest.
fn integer(text: &str) -> Option<i32> {
    let text = text.trim_start();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let digits = digits.get(..end).filter(|d| !d.is_empty())?;
    let negative = text.starts_with('-');
    let value = digits.parse::<i32>().unwrap_or(i32::MAX);
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Args {
        match parse(&words.iter().map(OsString::from).collect::<Vec<_>>()) {
            Parsed::Run(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn distributions_options_are_taken() {
        let args = run(&["-F", "-1", "-u", "chrony", "-f", "/c", "-n"]);
        assert_eq!((args.without_effect.as_slice(), args.user.as_deref()), (&["-F"][..], Some("chrony")));
        assert_eq!((args.file.as_deref(), args.ground), (Some("/c"), Ground::Foreground));
        let args = run(&["-dd", "server x iburst", "-x", "--", "-no option"]);
        assert_eq!((args.ground, args.directives.len()), (Ground::Debug, 2));
        assert_eq!((args.lowest, args.wants_debug), (Level::Debug, true));
        let args = run(&["-L", "1", "-m", "-P", "5x", "-N", "3", "-t", "-5", "-F", "0"]);
        assert_eq!((args.lowest, args.lock_memory, args.priority), (Level::Warning, true, Some(5)));
        assert_eq!((args.notify, args.timeout, args.without_effect.len()), (Some(3), None, 0));
    }

    #[test]
    fn numbers_are_read_as_the_original_does() {
        for (text, value) in
            [("5x", 5), ("0x5", 0), (" +5", 5), ("1.5", 1), ("-7", -7), ("99999999999", i32::MAX)]
        {
            assert_eq!(integer(text), Some(value), "{text}");
        }
        for text in ["", "x", "-", "- 5"] {
            assert_eq!(integer(text), None, "{text}");
        }
        for option in ["-t", "-F", "-P", "-L", "-N"] {
            let words: Vec<OsString> = [option, "abc"].iter().map(OsString::from).collect();
            assert!(matches!(parse(&words), Parsed::NoNumber(word) if word == "abc"), "{option}");
        }
    }

    #[test]
    fn wrong_options_are_named_as_getopt_does() {
        let line = |words: &[&str]| match parse(&words.iter().map(OsString::from).collect::<Vec<_>>()) {
            Parsed::Wrong(line) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(line(&["-Z"]), "invalid option -- 'Z'");
        assert_eq!(line(&["--foo"]), "invalid option -- '-'");
        assert_eq!(line(&["-f"]), "option requires an argument -- 'f'");
    }
}
