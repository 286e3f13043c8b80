//! `ntpbox list`: the names that the box answers to.

use clap::{Arg, ArgAction, Command};

use super::io::Io;
use super::output::{Answer, print_json};
use super::{APPLETS, Applet, Invocation, Kind, Outcome, native};
use crate::report::{ListedApplet, ListedKind, Listing, ReportSchema};
use crate::sys::clock;

/// The report of this applet.
pub const SCHEMA: ReportSchema = ReportSchema::of::<Listing>("ntpbox/list/1");

/// The row of the applet table.
pub const APPLET: Applet = Applet {
    names: &["list"],
    kind: Kind::Native,
    section: 1,
    command,
    about: include_str!("about.md"),
    run,
};

fn command() -> Command {
    Command::new("list").about("list the applets").disable_version_flag(true).arg(
        Arg::new("long")
            .short('l')
            .long("long")
            .action(ArgAction::SetTrue)
            .help("Show kind, man section and summary too"),
    )
}

fn run(invocation: &Invocation, io: &mut Io) -> Outcome {
    let matches = match native::parse(command(), SCHEMA.name, invocation, io) {
        Ok(matches) => matches,
        Err(outcome) => return outcome,
    };
    let listing = listing();
    match invocation.json {
        Some(mode) => {
            let answer = Answer { schema: SCHEMA.name, data: Some(&listing), messages: &[], error: None };
            print_json(io, mode, clock::now(), Outcome::SUCCESS, &answer);
        }
        None if matches.get_flag("long") => write!(io.out, "{}", render_long(&listing)),
        None => write!(io.out, "{}", render(&listing)),
    }
    Outcome::SUCCESS
}

fn listing() -> Listing {
    let applets = APPLETS.iter().map(|applet| ListedApplet {
        name: applet.name(),
        aliases: applet.names.iter().skip(1).copied().collect(),
        kind: match applet.kind {
            Kind::Legacy => ListedKind::Legacy,
            Kind::Native => ListedKind::Native,
        },
        section: applet.section,
        summary: (applet.command)().get_about().map(ToString::to_string).unwrap_or_default(),
    });
    Listing { applets: applets.collect() }
}

/// One name a line, aliases too.
fn render(listing: &Listing) -> String {
    let names = listing.applets.iter().flat_map(|a| std::iter::once(&a.name).chain(&a.aliases));
    names.map(|name| format!("{name}\n")).collect()
}

fn render_long(listing: &Listing) -> String {
    let row = |a: &ListedApplet| {
        let names: Vec<_> = std::iter::once(a.name).chain(a.aliases.iter().copied()).collect();
        let kind = match a.kind {
            ListedKind::Legacy => "legacy",
            ListedKind::Native => "native",
        };
        format!("{:<14} {kind} {} {}\n", names.join(","), a.section, a.summary)
    };
    listing.applets.iter().map(row).collect()
}
