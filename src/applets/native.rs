//! What the native verbs share: their command line is clap's own, their exit codes are these.

use clap::error::ErrorKind;
use clap::{ArgMatches, Command};

use super::io::Io;
use super::output::{Answer, print_json};
use super::{Invocation, Outcome};
use crate::report::{ErrorReport, NoData};
use crate::sys::clock;

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
    let command = command.bin_name(format!("ntpbox {}", invocation.name)).no_binary_name(true);
    command.try_get_matches_from(&invocation.args).map_err(|error| {
        let text = error.render().to_string();
        if error.kind() == ErrorKind::DisplayHelp {
            write!(io.out, "{text}");
            return Outcome::SUCCESS;
        }
        let first = text.lines().next().unwrap_or_default();
        let report = ErrorReport::new("usage", first.trim_start_matches("error: "))
            .with_hint(format!("ntpbox {} --help", invocation.name));
        write!(io.err, "{text}");
        answer_failure(schema, USAGE, &report, invocation, io)
    })
}

/// Says why a native verb failed: one line on stderr, and the envelope under `--json`.
pub fn fail(
    schema: &str,
    outcome: Outcome,
    report: &ErrorReport,
    invocation: &Invocation,
    io: &mut Io,
) -> Outcome {
    writeln!(io.err, "ntpbox {}: {}", invocation.name, report.text);
    if let Some(hint) = &report.hint {
        writeln!(io.err, "ntpbox {}: {hint}", invocation.name);
    }
    answer_failure(schema, outcome, report, invocation, io)
}

fn answer_failure(
    schema: &str,
    outcome: Outcome,
    report: &ErrorReport,
    invocation: &Invocation,
    io: &mut Io,
) -> Outcome {
    if let Some(mode) = invocation.json {
        let answer = Answer::<NoData> { schema, data: None, messages: &[], error: Some(report) };
        print_json(io, mode, clock::now(), outcome, &answer);
    }
    outcome
}
