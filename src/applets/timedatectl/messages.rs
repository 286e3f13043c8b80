//! Errors and warnings as systemd's tools write them: levels, colours, and a carriage return on terminals.

use std::collections::BTreeMap;

use crate::applets::io::{Io, Out};

/// Severity, as syslog counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Error = 3,
    Warning = 4,
    Info = 6,
}

/// How colourful an output may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    Off,
    Sixteen,
    Many,
}

const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// The messages of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Messages {
    /// Greater severities are dropped.
    max_level: u8,
    silent: bool,
    prefixed: bool,
    colours: Colours,
    carriage_return: bool,
}

impl Messages {
    pub(super) fn new(io: &mut Io) -> Self {
        let level = io.env.get("SYSTEMD_LOG_LEVEL").filter(|text| !text.is_empty());
        let target = io.env.get("SYSTEMD_LOG_TARGET").map(String::as_str);
        let messages = Self {
            max_level: level.and_then(|text| log_level(text)).unwrap_or(6),
            silent: target == Some("null"),
            prefixed: target == Some("console-prefixed"),
            colours: colours(&io.env, io.err_is_tty),
            carriage_return: io.err_is_tty && !is_dumb(&io.env),
        };
        if let Some(text) = level.filter(|text| log_level(text).is_none()).cloned() {
            messages.say(
                &mut io.err,
                Severity::Warning,
                &format!("Failed to parse log level '{text}', ignoring."),
            );
        }
        messages
    }

    /// Writes a message, each of its lines by itself.
    pub(super) fn say(&self, err: &mut Out, severity: Severity, text: &str) {
        if self.silent || severity as u8 > self.max_level {
            return;
        }
        let colour = match (severity, self.colours) {
            (_, Colours::Off) | (Severity::Info, _) => None,
            (Severity::Error, _) => Some("\x1b[0;1;31m"),
            (Severity::Warning, Colours::Sixteen) => Some("\x1b[0;1;33m"),
            (Severity::Warning, Colours::Many) => Some("\x1b[0;1;38:5:185m"),
        };
        let (on, off) = colour.map_or(("", ""), |on| (on, "\x1b[0m"));
        let end = if self.carriage_return { "\r\n" } else { "\n" };
        // facility "daemon" is 3
        let prefix = if self.prefixed { format!("<{}>", 3 * 8 + severity as u8) } else { String::new() };
        for line in text.split('\n') {
            write!(err, "{prefix}{on}{line}{off}{end}");
        }
    }
}

fn log_level(text: &str) -> Option<u8> {
    let number = text.parse::<u8>().ok().filter(|&n| n < 8);
    number.or_else(|| LEVELS.iter().position(|&name| name == text).and_then(|n| u8::try_from(n).ok()))
}

pub(super) fn is_dumb(env: &BTreeMap<String, String>) -> bool {
    matches!(env.get("TERM").map(String::as_str), None | Some("dumb" | ""))
}

/// Colours of an output: `SYSTEMD_COLORS`, else whether it is a capable terminal and `NO_COLOR` is unset.
pub(super) fn colours(env: &BTreeMap<String, String>, is_tty: bool) -> Colours {
    let automatic = |depth| {
        let off = !is_tty || is_dumb(env) || env.get("NO_COLOR").is_some_and(|text| !text.is_empty());
        if off { Colours::Off } else { depth }
    };
    match env.get("SYSTEMD_COLORS").map(String::as_str) {
        Some("16") => Colours::Sixteen,
        Some("256" | "24bit") => Colours::Many,
        Some("auto-16") => automatic(Colours::Sixteen),
        Some(word) if super::args::boolean(word).is_some() => match super::args::boolean(word) {
            Some(true) => Colours::Many,
            _ => Colours::Off,
        },
        _ => automatic(Colours::Many),
    }
}
