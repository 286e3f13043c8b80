//! `ntpbox man`: the manual that comes inside the binary.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command};

use super::generate::{Subject, man_page, text_page};
use super::io::Io;
use super::{Applet, Invocation, Kind, Outcome, native};
use crate::report::{Document, ReportSchema};

/// The report of this applet.
pub const SCHEMA: ReportSchema = ReportSchema::of::<Document>("ntpbox/man/1");

/// The row of the applet table.
pub const APPLET: Applet =
    Applet { names: &["man"], kind: Kind::Native, section: 1, command, about: include_str!("about.md"), run };

fn command() -> Command {
    let flag =
        |id: &'static str, help: &'static str| Arg::new(id).long(id).action(ArgAction::SetTrue).help(help);
    Command::new("man")
        .about("print the manual page of an applet")
        .disable_version_flag(true)
        .arg(
            flag("roff", "Print it for man(1) (the default when stdout is no terminal)")
                .conflicts_with("text"),
        )
        .arg(flag("text", "Print it as plain text (the default on a terminal)"))
        .arg(
            Arg::new("applet")
                .value_name("APPLET")
                .value_parser(PossibleValuesParser::new(Subject::all().map(Subject::name)))
                .hide_possible_values(true)
                .help("Whose page; the box's own if none is given"),
        )
}

fn run(invocation: &Invocation, io: &mut Io) -> Outcome {
    let matches = match native::parse(command(), SCHEMA.name, invocation, io) {
        Ok(matches) => matches,
        Err(outcome) => return outcome,
    };
    let wanted = matches.get_one::<String>("applet").map_or("ntpbox", String::as_str);
    let subject = Subject::all().find(|subject| subject.name() == wanted).unwrap_or(Subject::Box);
    let as_text = matches.get_flag("text") || io.out_is_tty && !matches.get_flag("roff");
    let text = if as_text { text_page(subject) } else { man_page(subject) };
    native::print_document(SCHEMA.name, &Document { name: subject.page_file(), text }, invocation, io)
}
