//! The command line: `getopt_long`, the groups that exclude each other, and the checks after it, in the original's order.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use crate::applets::getopt::{self, Item, Long, Operands};
use crate::driver::rtc::ADJTIME;
use crate::engine::rtc::Scale;

/// What is to be done; one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Show,
    Get,
    Set,
    HcToSys,
    SysToHc,
    SysTz,
    Adjust,
    Predict,
}

impl Function {
    /// The word of the JSON report.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Show => "show",
            Self::Get => "get",
            Self::Set => "set",
            Self::HcToSys => "hctosys",
            Self::SysToHc => "systohc",
            Self::SysTz => "systz",
            Self::Adjust => "adjust",
            Self::Predict => "predict",
        }
    }

    /// Whether the RTC is not needed.
    pub(super) const fn leaves_rtc_alone(self) -> bool {
        matches!(self, Self::SysTz | Self::Predict)
    }

    /// Whether it may set the RTC and then writes the adjtime file.
    pub(super) const fn writes_rtc(self) -> bool {
        matches!(self, Self::Set | Self::SysToHc | Self::Adjust)
    }
}

/// Which adjtime file is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AdjtimeFile {
    At(String),
    None,
}

/// What the command line means.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    pub(super) function: Function,
    /// `--utc` or `--localtime`.
    pub(super) scale: Option<Scale>,
    /// `--rtc`.
    pub(super) device: Option<String>,
    pub(super) directisa: bool,
    pub(super) date: Option<String>,
    /// `--delay`, s.
    pub(super) delay: Option<f64>,
    /// `--update-drift`.
    pub(super) learn: bool,
    pub(super) adjtime: AdjtimeFile,
    pub(super) test: bool,
    pub(super) verbose: bool,
    pub(super) param_get: Option<String>,
    pub(super) param_set: Option<String>,
    pub(super) param_index: u32,
    pub(super) vl_read: bool,
    pub(super) vl_clear: bool,
    /// Lines for stderr that came up while parsing, without prefix.
    pub(super) remarks: Vec<String>,
    /// `--ul-debug`: the mask.
    pub(super) debug_mask: Option<u32>,
}

/// What the parse came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Parsed {
    Run(Box<Request>),
    Help,
    Version,
    Fail(UsageError),
}

/// A command line that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UsageError {
    /// The line, without prefix.
    pub(super) text: String,
    /// Whether the line's prefix is argv0 as typed (getopt's own messages) instead of its last component.
    pub(super) by_getopt: bool,
    /// Whether the "Try" line follows.
    pub(super) try_help: bool,
}

impl UsageError {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), by_getopt: false, try_help: false }
    }
}

const FUNCTIONS: &str = "Functions";
const OPTIONS: &str = "Options";
const END: &str = "End";

/// The order of the help, which is not that of the table.
const HELP_ORDER: [&str; 28] = [
    "show",
    "get",
    "set",
    "hctosys",
    "systohc",
    "systz",
    "adjust",
    "param-get",
    "param-set",
    "param-index",
    "vl-read",
    "vl-clear",
    "predict",
    "utc",
    "localtime",
    "rtc",
    "directisa",
    "date",
    "delay",
    "update-drift",
    "noadjfile",
    "adjfile",
    "test",
    "verbose",
    "debug",
    "ul-debug",
    "help",
    "version",
];

/// The option table, in the order of the original's getopt table: ambiguous prefixes are listed in it.
pub(super) fn command() -> Command {
    let flag = |name: &'static str, heading: &'static str, help: &'static str| {
        let place = HELP_ORDER.iter().position(|&n| n == name).unwrap_or(HELP_ORDER.len());
        let arg = Arg::new(name).long(name).action(ArgAction::SetTrue);
        arg.display_order(place).help_heading(heading).help(help)
    };
    let value = |name: &'static str, heading: &'static str, word: &'static str, help: &'static str| {
        flag(name, heading, help).action(ArgAction::Set).value_name(word)
    };
    Command::new("hwclock")
        .about("Time clocks utility.")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args([
            flag("adjust", FUNCTIONS, "adjust the RTC to account for systematic drift").short('a'),
            flag("help", END, "display this help").short('h'),
            flag("localtime", OPTIONS, "the RTC timescale is Local").short('l'),
            flag("show", FUNCTIONS, "display the RTC time").short('r'),
            flag("hctosys", FUNCTIONS, "set the system time from the RTC").short('s'),
            flag("utc", OPTIONS, "the RTC timescale is UTC").short('u'),
            flag("version", END, "display version").short('V'),
            flag("systohc", FUNCTIONS, "set the RTC from the system time").short('w'),
            flag("debug", OPTIONS, "deprecated, use --verbose").short('D').hide(true),
            value("ul-debug", OPTIONS, "mask", "print debugging information").short('d').hide(true),
            flag("verbose", OPTIONS, "display more details").short('v'),
            flag("set", FUNCTIONS, "set the RTC according to --date"),
            value("param-get", FUNCTIONS, "param", "display the RTC parameter"),
            value("param-set", FUNCTIONS, "param=value", "set the RTC parameter"),
            value("param-index", FUNCTIONS, "number", "parameter index (default 0)"),
            flag("vl-read", FUNCTIONS, "read voltage low information"),
            flag("vl-clear", FUNCTIONS, "clear voltage low information"),
            flag("noadjfile", OPTIONS, "do not use /etc/adjtime"),
            flag("directisa", OPTIONS, "use the ISA bus instead of /dev/rtc0 access")
                .hide(!cfg!(any(target_arch = "x86", target_arch = "x86_64"))),
            flag("test", OPTIONS, "dry run; implies --verbose"),
            value("date", OPTIONS, "time", "date/time input for --set and --predict"),
            value("delay", OPTIONS, "sec", "delay used when set new RTC time"),
            value("rtc", OPTIONS, "file", "use an alternate file to /dev/rtc0").short('f'),
            value("adjfile", OPTIONS, "file", "use an alternate file to /etc/adjtime"),
            flag("systz", FUNCTIONS, "send timescale configurations to the kernel"),
            flag("predict", FUNCTIONS, "predict the drifted RTC time according to --date"),
            flag("get", FUNCTIONS, "display drift corrected RTC time"),
            flag("update-drift", OPTIONS, "update the RTC drift factor"),
        ])
}

/// The text of `--help` (util-linux 2.41): the option table in its columns.
pub(super) fn help(name: &str) -> String {
    let command = command();
    let mut text = format!("\nUsage:\n {name} [function] [option...]\n\nTime clocks utility.\n");
    for heading in [FUNCTIONS, OPTIONS, END] {
        match heading {
            END => text.push('\n'),
            _ => text.push_str(&format!("\n{heading}:\n")),
        }
        let mut options: Vec<&Arg> = command
            .get_arguments()
            .filter(|arg| arg.get_help_heading() == Some(heading) && !arg.is_hide_set())
            .collect();
        options.sort_by_key(|arg| HELP_ORDER.iter().position(|&name| arg.get_id() == name));
        for arg in options {
            let short = arg.get_short().map_or("    ".to_owned(), |letter| format!("-{letter}, "));
            let value = arg.get_value_names().and_then(|names| names.first());
            let value = value.map_or(String::new(), |name| format!(" <{}>", name.replace('=', ">=<")));
            let left = format!(" {short}--{}{value}", arg.get_long().unwrap_or_default());
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("{left:<33}{help}\n"));
        }
    }
    text.push_str(concat!(
        "\nArguments:\n",
        " <param> is either a numeric RTC parameter value or one of these aliases:\n",
        "   - features: supported features (0x0)\n",
        "   - correction: time correction (0x1)\n",
        "   - bsm: backup switch mode (0x2)\n",
        "   See Kernel's include/uapi/linux/rtc.h for parameters and values.\n",
        "\n",
        " <param> and <value> accept hexadecimal values if prefixed with 0x, otherwise decimal.\n",
        "\n",
        "For more details see hwclock(8).\n",
    ));
    text
}

/// The options that exclude each other, in the order in which the original names them.
const EXCLUSIVE: [&[(&str, &str)]; 4] = [
    &[
        ("adjust", "--adjust"),
        ("show", "--show"),
        ("hctosys", "--hctosys"),
        ("systohc", "--systohc"),
        ("get", "--get"),
        ("predict", "--predict"),
        ("set", "--set"),
        ("systz", "--systz"),
    ],
    &[("localtime", "--localtime"), ("utc", "--utc")],
    &[("adjfile", "--adjfile"), ("noadjfile", "--noadjfile")],
    &[("noadjfile", "--noadjfile"), ("update-drift", "--update-drift")],
];

/// Parses the words after the name.
pub(super) fn parse(words: &[OsString]) -> Parsed {
    let mut seen: [Option<String>; EXCLUSIVE.len()] = [const { None }; EXCLUSIVE.len()];
    let mut request = Request {
        function: Function::Show,
        scale: None,
        device: None,
        directisa: false,
        date: None,
        delay: None,
        learn: false,
        adjtime: AdjtimeFile::At(ADJTIME.to_owned()),
        test: false,
        verbose: false,
        param_get: None,
        param_set: None,
        param_index: 0,
        vl_read: false,
        vl_clear: false,
        remarks: Vec::new(),
        debug_mask: None,
    };
    let mut operands = 0_usize;
    for item in getopt::parse(&command(), words, Operands::Mixed, Long::Prefix) {
        let (id, value) = match item {
            Item::Option { id, value } => (id, value),
            Item::Operand(_) => {
                operands += 1;
                continue;
            }
            wrong => return Parsed::Fail(getopt_error(&wrong)),
        };
        if let Some(error) = exclusion(&id, &mut seen) {
            return Parsed::Fail(error);
        }
        match id.as_str() {
            "help" => return Parsed::Help,
            "version" => return Parsed::Version,
            _ => {}
        }
        let value = value.map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
        if let Err(text) = request.take(&id, value) {
            return Parsed::Fail(UsageError::plain(text));
        }
    }
    match request.complaint(operands) {
        Some(error) => Parsed::Fail(error),
        None => Parsed::Run(Box::new(request)),
    }
}

impl Request {
    /// Notes one option.
    fn take(&mut self, id: &str, value: String) -> Result<(), String> {
        match id {
            "adjust" => self.function = Function::Adjust,
            "show" => self.function = Function::Show,
            "get" => self.function = Function::Get,
            "set" => self.function = Function::Set,
            "hctosys" => self.function = Function::HcToSys,
            "systohc" => self.function = Function::SysToHc,
            "systz" => self.function = Function::SysTz,
            "predict" => self.function = Function::Predict,
            "localtime" => self.scale = Some(Scale::Local),
            "utc" => self.scale = Some(Scale::Utc),
            "rtc" => self.device = Some(value),
            "directisa" => self.directisa = true,
            "date" => self.date = Some(value),
            "delay" => self.delay = delay(&value)?,
            "update-drift" => self.learn = true,
            "noadjfile" => self.adjtime = AdjtimeFile::None,
            "adjfile" => self.adjtime = AdjtimeFile::At(value),
            "test" => (self.test, self.verbose) = (true, true),
            "verbose" => self.verbose = true,
            "debug" => self.remarks.push("use --verbose, --debug has been deprecated.".to_owned()),
            "ul-debug" => self.debug_mask = Some(debug_mask(&value)),
            "param-get" => self.param_get = Some(value),
            "param-set" => self.param_set = Some(value),
            "param-index" => self.param_index = param_index(&value)?,
            "vl-read" => self.vl_read = true,
            "vl-clear" => self.vl_clear = true,
            _ => {}
        }
        Ok(())
    }

    /// The checks after the last word, in the original's order.
    fn complaint(&self, operands: usize) -> Option<UsageError> {
        if operands > 0 {
            return Some(UsageError { try_help: true, ..UsageError::plain("too many arguments") });
        }
        if self.learn && !matches!(self.function, Function::Set | Function::SysToHc) {
            return Some(UsageError::plain("--update-drift requires --set or --systohc"));
        }
        if self.adjtime == AdjtimeFile::None && self.scale.is_none() {
            let text = "With --noadjfile, you must specify either --utc or --localtime";
            return Some(UsageError::plain(text));
        }
        if self.date.is_none() && matches!(self.function, Function::Set | Function::Predict) {
            return Some(UsageError::plain("--date is required for --set or --predict"));
        }
        None
    }
}

/// Notes an option in its groups; an error when another of the same group came before.
fn exclusion(id: &str, seen: &mut [Option<String>; EXCLUSIVE.len()]) -> Option<UsageError> {
    for (group, before) in EXCLUSIVE.iter().zip(seen) {
        if !group.iter().any(|(name, _)| *name == id) {
            continue;
        }
        match before {
            Some(other) if other != id => {
                let names: Vec<_> = group.iter().map(|(_, option)| *option).collect();
                let text = format!("mutually exclusive arguments: {}", names.join(" "));
                return Some(UsageError::plain(text));
            }
            _ => *before = Some(id.to_owned()),
        }
    }
    None
}

/// What getopt prints.
fn getopt_error(item: &Item) -> UsageError {
    let text = match item {
        Item::UnknownShort(letter) => format!("invalid option -- '{letter}'"),
        Item::UnknownLong(word) => format!("unrecognized option '{word}'"),
        Item::Ambiguous(word, names) => {
            let names: String = names.iter().map(|name| format!(" '--{name}'")).collect();
            format!("option '{word}' is ambiguous; possibilities:{names}")
        }
        Item::MissingShort(letter) => format!("option requires an argument -- '{letter}'"),
        Item::MissingLong(name) => format!("option '--{name}' requires an argument"),
        Item::UnexpectedValue(name) => format!("option '--{name}' doesn't allow an argument"),
        Item::Option { .. } | Item::Operand(_) => String::new(),
    };
    UsageError { text, by_getopt: true, try_help: true }
}

/// `--delay`: a number as `strtod` reads it; −1 counts as not given.
fn delay(value: &str) -> Result<Option<f64>, String> {
    let wrong = || format!("invalid --delay argument: '{value}'");
    match crate::engine::rtc::parse_double(value.as_bytes()) {
        Some((number, [])) => {
            if number.is_infinite() && !value.to_ascii_lowercase().contains("inf") {
                return Err(format!("{}: Numerical result out of range", wrong()));
            }
            let not_given = number.to_bits() == (-1.0_f64).to_bits();
            Ok((!not_given).then_some(number))
        }
        _ => Err(wrong()),
    }
}

fn param_index(value: &str) -> Result<u32, String> {
    let wrong = format!("failed to parse param-index: '{value}'");
    let digits = value.trim_start().trim_start_matches(['+', '-']);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong);
    }
    value.trim_start().parse().map_err(|_| format!("{wrong}: Numerical result out of range"))
}

/// `--ul-debug`: a number (any C base) or `all`; bit 0 is always on.
fn debug_mask(value: &str) -> u32 {
    match value {
        "all" => 0xffff,
        number => unsigned(number).and_then(|n| u32::try_from(n).ok()).unwrap_or(0) | 1,
    }
}

/// An unsigned number in C's notation: `0x` hexadecimal, leading `0` octal, else decimal. No sign.
pub(super) fn unsigned(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Parsed {
        parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    fn text(line: &str) -> String {
        match parsed(line) {
            Parsed::Fail(error) => error.text,
            other => format!("{other:?}"),
        }
    }

    fn request(line: &str) -> Request {
        match parsed(line) {
            Parsed::Run(request) => *request,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn functions_exclude_each_other_and_may_be_repeated() {
        let all =
            "mutually exclusive arguments: --adjust --show --hctosys --systohc --get --predict --set --systz";
        for line in ["-w -s", "-rw", "--set --predict --date x", "--systz --adjust"] {
            assert_eq!(text(line), all, "{line}");
        }
        assert_eq!(request("-w -w").function, Function::SysToHc);
        assert_eq!(request("-rr").function, Function::Show);
        assert_eq!(text("-u -l"), "mutually exclusive arguments: --localtime --utc");
        assert_eq!(text("--adjfile=x --noadjfile -u"), "mutually exclusive arguments: --adjfile --noadjfile");
        assert_eq!(
            text("--update-drift --noadjfile -u"),
            "mutually exclusive arguments: --noadjfile --update-drift"
        );
    }

    #[test]
    fn prefixes_and_their_ambiguities() {
        assert_eq!(request("--systohc --local").scale, Some(Scale::Local));
        assert_eq!(request("--hc --ut").function, Function::HcToSys);
        let ambiguous = [
            ("--v", "'--version' '--verbose' '--vl-read' '--vl-clear'"),
            ("--s", "'--show' '--systohc' '--set' '--systz'"),
            ("--a", "'--adjust' '--adjfile'"),
            ("--h", "'--help' '--hctosys'"),
            ("--u", "'--utc' '--ul-debug' '--update-drift'"),
            ("--p", "'--param-get' '--param-set' '--param-index' '--predict'"),
            ("--de=x", "'--debug' '--delay'"),
            ("--syst", "'--systohc' '--systz'"),
        ];
        for (word, names) in ambiguous {
            assert_eq!(text(word), format!("option '{word}' is ambiguous; possibilities: {names}"));
        }
    }

    #[test]
    fn getopt_errors() {
        assert_eq!(text("-z"), "invalid option -- 'z'");
        assert_eq!(text("--zzz"), "unrecognized option '--zzz'");
        assert_eq!(text("--utc=1"), "option '--utc' doesn't allow an argument");
        assert_eq!(text("--rtc"), "option '--rtc' requires an argument");
        assert_eq!(text("-f"), "option requires an argument -- 'f'");
        assert_eq!(text("--getepoch"), "unrecognized option '--getepoch'");
    }

    #[test]
    fn help_and_version_act_when_they_are_met() {
        assert_eq!(parsed("-h foo"), Parsed::Help);
        assert_eq!(parsed("-Vz"), Parsed::Version);
        assert_eq!(text("-zV"), "invalid option -- 'z'");
        assert_eq!(text("-w -s -V"), text("-w -s"));
    }

    #[test]
    fn checks_after_the_last_word() {
        assert_eq!(text("foo --update-drift"), "too many arguments");
        assert_eq!(text("--update-drift --noadjfile"), text("--update-drift --noadjfile -u"));
        assert_eq!(text("--update-drift -r"), "--update-drift requires --set or --systohc");
        assert_eq!(text("--noadjfile"), "With --noadjfile, you must specify either --utc or --localtime");
        assert_eq!(text("--set"), "--date is required for --set or --predict");
        assert_eq!(text("--delay=0.1x"), "invalid --delay argument: '0.1x'");
        assert_eq!(text("--delay="), "invalid --delay argument: ''");
        assert_eq!(text("--delay=1e999"), "invalid --delay argument: '1e999': Numerical result out of range");
        assert_eq!(text("--param-index=x"), "failed to parse param-index: 'x'");
        assert_eq!(
            text("--param-index=4294967296"),
            "failed to parse param-index: '4294967296': Numerical result out of range"
        );
    }

    #[test]
    fn values() {
        assert_eq!(request("--delay -1").delay, None);
        assert_eq!(request("--delay 1.25").delay, Some(1.25));
        assert_eq!(request("--delay=0x1p-1").delay, Some(0.5));
        assert!(request("--test").verbose);
        assert_eq!(request("-D").remarks.len(), 1);
        assert_eq!(request("-d 5").debug_mask, Some(5));
        assert_eq!(
            (unsigned("0x1F"), unsigned("010"), unsigned("0"), unsigned("9")),
            (Some(31), Some(8), Some(0), Some(9))
        );
        assert_eq!(
            (unsigned("-5"), unsigned("x"), unsigned(""), unsigned("0x"), unsigned("08")),
            (None, None, None, None, None)
        );
    }
}
