//! The command line of `ntpq`: what was typed → what is meant.

use clap::Command;

use crate::applets::Invocation;
use crate::applets::getopt::{Item, Long, Operands, parse as getopt};
use crate::sys::net::Family;
use crate::types::TimeDelta;

/// What is meant.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) family: Option<Family>,
    /// `-c` and `-p` in the order of the command line.
    pub(super) commands: Vec<String>,
    pub(super) debug: u32,
    pub(super) interactive: bool,
    pub(super) numeric: bool,
    pub(super) old_rv: bool,
    pub(super) refid_hash: bool,
    pub(super) wide: bool,
    pub(super) width: Option<usize>,
    pub(super) strict: bool,
    pub(super) watch: Option<TimeDelta>,
    pub(super) version: bool,
    pub(super) help: bool,
    pub(super) hosts: Vec<String>,
}

/// Interval of a bare `--watch`.
const WATCH: TimeDelta = TimeDelta::from_secs(2);

/// Reads the command line.
///
/// # Errors
/// The lines for stderr, without the usage that follows them.
pub(super) fn parse(command: &Command, invocation: &Invocation) -> Result<Options, Vec<String>> {
    let mut options = Options::default();
    let mut ipv4 = false;
    let mut ipv6 = false;
    let mut peers = false;
    let program = &invocation.program;
    for item in getopt(command, &invocation.args, Operands::EndOptions, Long::Prefix) {
        match item {
            Item::Operand(host) => options.hosts.push(host.to_string_lossy().into_owned()),
            Item::Option { id, value } => {
                let value = value.map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
                match id.as_str() {
                    "ipv4" => ipv4 = true,
                    "ipv6" => ipv6 = true,
                    "command" => options.commands.push(value),
                    "peers" => {
                        peers = true;
                        options.commands.push("peers".to_owned());
                    }
                    "debug-level" => options.debug = options.debug.saturating_add(1),
                    "set-debug-level" => options.debug = number(&value)?,
                    "interactive" => options.interactive = true,
                    "numeric" => options.numeric = true,
                    "old-rv" => options.old_rv = true,
                    "refid" => options.refid_hash = refid(&value)?,
                    "wide" => options.wide = true,
                    "width" => options.width = Some(usize::try_from(number(&value)?).unwrap_or(usize::MAX)),
                    "strict" => options.strict = true,
                    "watch" if value.is_empty() => options.watch = Some(WATCH),
                    "watch" => options.watch = Some(interval(&value)?),
                    "version" => options.version = true,
                    _ => options.help = true,
                }
            }
            Item::UnknownShort(letter) => return Err(vec![format!("{program}: illegal option -- {letter}")]),
            Item::UnknownLong(word) => {
                let word = word.trim_start_matches('-');
                return Err(vec![format!("{program}: illegal option -- {word}")]);
            }
            Item::Ambiguous(word, _) => {
                return Err(vec![format!("{program}: ambiguous option -- {}", word.trim_start_matches('-'))]);
            }
            Item::MissingShort(letter) => {
                let name = command.get_arguments().find(|arg| arg.get_short() == Some(letter));
                let name = name.and_then(|arg| arg.get_long()).unwrap_or_default();
                return Err(vec![format!("{program}: The '{name}' option requires an argument.")]);
            }
            Item::MissingLong(name) => {
                return Err(vec![format!("{program}: The '{name}' option requires an argument.")]);
            }
            Item::UnexpectedValue(name) => {
                return Err(vec![format!("{program}: The '{name}' option cannot have an argument.")]);
            }
        }
    }
    options.family = match (ipv4, ipv6) {
        (true, true) => return Err(conflict("ipv4", "ipv6")),
        (true, false) => Some(Family::V4),
        (false, true) => Some(Family::V6),
        (false, false) => None,
    };
    if options.interactive && !options.commands.is_empty() {
        return Err(conflict("interactive", if peers { "peers" } else { "command" }));
    }
    Ok(options)
}

fn conflict(a: &str, b: &str) -> Vec<String> {
    vec![format!("ntpq error:  the '{a}' and '{b}' options conflict")]
}

fn number(text: &str) -> Result<u32, Vec<String>> {
    text.parse().map_err(|_| vec![format!("ntpq error:  '{text}' is not a recognizable number.")])
}

fn refid(text: &str) -> Result<bool, Vec<String>> {
    match text {
        "0" => Ok(true),
        "1" => Ok(false),
        _ if !text.is_empty() && "hash".starts_with(text) => Ok(true),
        _ if !text.is_empty() && "ipv4".starts_with(text) => Ok(false),
        _ => Err(vec![
            format!("ntpq error:  '{text}' does not match any refid keywords."),
            "The valid \"refid\" option keywords are:".to_owned(),
            "  hash ipv4".to_owned(),
            "  or an integer from 0 through 1".to_owned(),
        ]),
    }
}

/// Seconds, at least 0.1.
fn interval(text: &str) -> Result<TimeDelta, Vec<String>> {
    let seconds = text.parse::<f64>().ok().filter(|s| s.is_finite() && *s > 0.0);
    let interval = seconds.and_then(TimeDelta::from_secs_f64);
    let Some(interval) = interval else {
        return Err(vec![format!("ntpq error:  '{text}' is not a recognizable number.")]);
    };
    Ok(interval.max(TimeDelta::from_millis(100)))
}
