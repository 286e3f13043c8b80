//! `--json` on every applet: where it is found on the command line, and the envelope that it prints.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Arg;
use serde::Serialize;

use super::io::Io;
use super::{Outcome, VERSION};
use crate::report::{Envelope, ErrorReport, Message};
use crate::types::{Timestamp, civil};

/// Layout of the JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonMode {
    /// Indented, over several lines.
    Pretty,
    /// One line.
    Short,
}

/// Takes `--json[=pretty|short|off]` out of a command line, wherever it stands before a bare `--`; the last one counts.
/// Alone it is pretty on a terminal and one line otherwise.
///
/// # Errors
/// The word itself when its value is none of the three.
pub fn split_json(args: &[OsString], out_is_tty: bool) -> Result<(Option<JsonMode>, Vec<OsString>), String> {
    let mut mode = None;
    let mut rest = Vec::with_capacity(args.len());
    let mut words = args.iter();
    for word in words.by_ref() {
        match word.as_bytes() {
            b"--json" if out_is_tty => mode = Some(JsonMode::Pretty),
            b"--json" | b"--json=short" => mode = Some(JsonMode::Short),
            b"--json=pretty" => mode = Some(JsonMode::Pretty),
            b"--json=off" => mode = None,
            other if other.starts_with(b"--json=") => return Err(word.to_string_lossy().into_owned()),
            end => {
                rest.push(word.clone());
                if end == b"--" {
                    break;
                }
            }
        }
    }
    rest.extend(words.cloned());
    Ok((mode, rest))
}

/// `--json` as an entry for help, man page and completions: [`split_json`] has taken it before any parser sees the words.
pub fn json_arg() -> Arg {
    Arg::new("json")
        .long("json")
        .value_name("FORM")
        .num_args(0..=1)
        .require_equals(true)
        .value_parser(["pretty", "short", "off"])
        .hide_possible_values(true)
        .help("Print one JSON object (pretty, short, off; alone: pretty on a terminal)")
}

/// What a command has to say in JSON.
pub struct Answer<'a, T: Serialize> {
    /// Name and version of the format, e.g. `ntpbox/ntpdate/1`.
    pub schema: &'a str,
    /// The report; `None` on failure.
    pub data: Option<&'a T>,
    /// Remarks in order.
    pub messages: &'a [Message],
    /// Why it failed.
    pub error: Option<&'a ErrorReport>,
}

/// Prints the envelope and a newline.
pub fn print_json<T: Serialize>(
    io: &mut Io,
    mode: JsonMode,
    now: Timestamp,
    outcome: Outcome,
    answer: &Answer<'_, T>,
) {
    let exit_code = match outcome {
        Outcome::Code(code) => code,
        Outcome::Signal(signal) => u8::try_from(signal.clamp(0, 127)).unwrap_or(127) | 0x80,
    };
    let envelope = Envelope {
        schema: answer.schema,
        ntpbox: VERSION,
        time: civil::rfc3339(now),
        ok: answer.error.is_none(),
        exit_code,
        data: if answer.error.is_none() { answer.data } else { None },
        messages: answer.messages,
        error: answer.error,
    };
    let text = match mode {
        JsonMode::Pretty => serde_json::to_string_pretty(&envelope),
        JsonMode::Short => serde_json::to_string(&envelope),
    };
    // our reports are structs of plain values: serialisation has nothing that can fail
    writeln!(io.out, "{}", text.unwrap_or_default());
    io.out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(words: &[&str]) -> Result<(Option<JsonMode>, Vec<OsString>), String> {
        split_json(&words.iter().map(OsString::from).collect::<Vec<_>>(), false)
    }

    #[test]
    fn json_is_found_anywhere_before_a_bare_dash_dash() {
        assert_eq!(split(&["-q", "--json", "h"]), Ok((Some(JsonMode::Short), vec!["-q".into(), "h".into()])));
        assert_eq!(split(&["--", "--json"]), Ok((None, vec!["--".into(), "--json".into()])));
        assert_eq!(split(&["--json", "--json=off"]), Ok((None, vec![])));
        assert_eq!(split(&["--json=x"]), Err("--json=x".to_owned()));
    }
}
