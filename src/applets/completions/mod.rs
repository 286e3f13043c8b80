//! `ntpbox completions`: what a shell needs to complete our command lines.

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command};

use super::generate::{Shell, Subject, completion};
use super::io::Io;
use super::{Applet, Invocation, Kind, Outcome, native};
use crate::report::{Document, ReportSchema};

/// The report of this applet.
pub const SCHEMA: ReportSchema = ReportSchema::of::<Document>("ntpbox/completions/1");

/// The row of the applet table.
pub const APPLET: Applet = Applet {
    names: &["completions"],
    kind: Kind::Native,
    section: 1,
    command,
    about: include_str!("about.md"),
    run,
};

fn programs() -> impl Iterator<Item = &'static str> {
    Subject::all().filter(|subject| subject.is_program()).map(Subject::name)
}

fn command() -> Command {
    Command::new("completions")
        .about("print the completion script of a shell")
        .disable_version_flag(true)
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(PossibleValuesParser::new(Shell::ALL.map(Shell::name)))
                .help("For which shell"),
        )
        .arg(
            Arg::new("applet")
                .value_name("APPLET")
                .value_parser(PossibleValuesParser::new(programs()))
                .hide_possible_values(true)
                .help("For which name; all of them if none is given"),
        )
}

fn run(invocation: &Invocation, io: &mut Io) -> Outcome {
    let matches = match native::parse(command(), SCHEMA.name, invocation, io) {
        Ok(matches) => matches,
        Err(outcome) => return outcome,
    };
    let word = |id| matches.get_one::<String>(id).map(String::as_str);
    let shell = Shell::ALL.into_iter().find(|shell| word("shell") == Some(shell.name()));
    let wanted = Subject::all().filter(|subject| word("applet").is_none_or(|name| name == subject.name()));
    let text = shell.map(|shell| wanted.filter_map(|subject| completion(shell, subject)).collect());
    let name = word("applet").unwrap_or("ntpbox").to_owned();
    native::print_document(SCHEMA.name, &Document { name, text: text.unwrap_or_default() }, invocation, io)
}
