//! What the native verbs share: their command line is clap's own, their exit codes are these.

use clap::error::ErrorKind;
use clap::{ArgMatches, Command};

use super::io::Io;
use super::output::{Answer, json_arg, print_json};
use super::{Invocation, Outcome};
use crate::report::{Document, ErrorReport, Message, NoData};
use crate::sys::{Errno, SysError, clock};

/// The command line is wrong.
pub const USAGE: Outcome = Outcome::Code(3);
/// The system did not permit it.
pub const NOT_PERMITTED: Outcome = Outcome::Code(4);

/// Parses the words of a native verb; help and errors are printed here.
///
/// # Errors
/// How the process ends when there is nothing left to do: help was asked for, or the words are wrong.
pub fn parse(
    command: Command,
    schema: &str,
    invocation: &Invocation,
    io: &mut Io,
) -> Result<ArgMatches, Outcome> {
    let command =
        command.arg(json_arg()).bin_name(format!("ntpbox {}", invocation.name)).no_binary_name(true);
    command.try_get_matches_from(&invocation.args).map_err(|error| {
        let text = error.render().to_string();
        if error.kind() == ErrorKind::DisplayHelp {
            write!(io.out, "{text}");
            return Outcome::SUCCESS;
        }
        let paragraph: Vec<_> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        let report = ErrorReport::new("usage", paragraph.join(" ").trim_start_matches("error: "))
            .with_hint(format!("ntpbox {} --help", invocation.name));
        write!(io.err, "{text}");
        answer_failure(schema, USAGE, &report, &[], invocation, io)
    })
}

/// Prints a generated text, or the envelope around it under `--json`.
pub fn print_document(schema: &str, document: &Document, invocation: &Invocation, io: &mut Io) -> Outcome {
    match invocation.json {
        Some(mode) => {
            let answer = Answer { schema, data: Some(document), messages: &[], error: None };
            print_json(io, mode, clock::now(), Outcome::SUCCESS, &answer);
        }
        None => write!(io.out, "{}", document.text),
    }
    Outcome::SUCCESS
}

/// Says why a native verb failed: a line on stderr, another for the advice, and the envelope under `--json`.
pub fn fail(
    schema: &str,
    outcome: Outcome,
    report: &ErrorReport,
    messages: &[Message],
    invocation: &Invocation,
    io: &mut Io,
) -> Outcome {
    writeln!(io.err, "ntpbox {}: {}", invocation.name, report.text);
    if let Some(hint) = &report.hint {
        writeln!(io.err, "ntpbox {}: {hint}", invocation.name);
    }
    answer_failure(schema, outcome, report, messages, invocation, io)
}

/// The same for a system call: exit code 4 when the system did not permit it, else 1.
pub fn fail_sys(
    schema: &str,
    error: &SysError,
    messages: &[Message],
    invocation: &Invocation,
    io: &mut Io,
) -> Outcome {
    let (outcome, code) = match error.errno {
        Errno::EACCES | Errno::EPERM | Errno::EROFS => (NOT_PERMITTED, "not-permitted"),
        _ => (Outcome::FAILURE, "system"),
    };
    fail(schema, outcome, &ErrorReport::new(code, error.to_string()), messages, invocation, io)
}

fn answer_failure(
    schema: &str,
    outcome: Outcome,
    report: &ErrorReport,
    messages: &[Message],
    invocation: &Invocation,
    io: &mut Io,
) -> Outcome {
    if let Some(mode) = invocation.json {
        let answer = Answer::<NoData> { schema, data: None, messages, error: Some(report) };
        print_json(io, mode, clock::now(), outcome, &answer);
    }
    outcome
}
