//! Layer 5: the tools. One table of applets drives dispatch, `list`, `install`, man pages and completions.

pub mod chronyc;
pub mod chronyd;
pub mod compat;
pub mod completions;
pub mod demo;
pub mod generate;
pub mod getopt;
pub mod hwclock;
pub mod install;
pub mod io;
pub mod lineedit;
pub mod list;
pub mod man;
pub mod markdown;
pub mod native;
pub mod ntpd;
pub mod ntpdate;
pub mod ntpq;
pub mod ntpstat;
pub mod output;
pub mod schemas;
pub mod timedatectl;

use std::ffi::{OsStr, OsString};

use self::io::Io;
use self::output::JsonMode;
use crate::types::Timestamp;

/// Version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Date of the release commit, 2026-11-21 10:00:00 UTC: in version lines, and as a date that is surely past.
pub const RELEASED: Timestamp = Timestamp::from_unix(1_795_255_200, 0);

/// How a process ends. Only `main` acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Exit with this code.
    Code(u8),
    /// Die of this signal, so that a shell sees 128 + its number.
    Signal(i32),
}

impl Outcome {
    /// Exit code 0.
    pub const SUCCESS: Self = Self::Code(0);
    /// Exit code 1.
    pub const FAILURE: Self = Self::Code(1);
}

/// Under which names an applet can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By its own name (argv0) and as `ntpbox NAME`: a tool that is replaced.
    Legacy,
    /// As `ntpbox NAME` only.
    Native,
}

/// A tool of the box.
pub struct Applet {
    /// All names; the first is the one in lists and man pages.
    pub names: &'static [&'static str],
    /// How it can be reached.
    pub kind: Kind,
    /// Section of its man page.
    pub section: u8,
    /// The option table: help, man page and completions come from it.
    pub command: fn() -> clap::Command,
    /// The prose of the man page, in Markdown headings and paragraphs.
    pub about: &'static str,
    /// The work.
    pub run: fn(&Invocation, &mut Io) -> Outcome,
}

impl Applet {
    /// The name in lists and man pages.
    pub fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }
}

/// All applets, in the order of `ntpbox list`.
#[rustfmt::skip] // one a line: each comes and goes alone
pub const APPLETS: &[Applet] = &[
    ntpdate::APPLET,
    ntpq::APPLET,
    ntpstat::APPLET,
    hwclock::APPLET,
    chronyc::APPLET,
    timedatectl::APPLET,
    chronyd::APPLET,
    ntpd::APPLET,
    list::APPLET,
    install::APPLET,
    completions::APPLET,
    man::APPLET,
    demo::APPLET,
];

/// How an applet was called.
#[derive(Debug)]
pub struct Invocation {
    /// The program as typed (argv0), or the applet's name after `ntpbox`.
    pub program: String,
    /// The applet's name that was matched.
    pub name: &'static str,
    /// The words after the name, without `--json`.
    pub args: Vec<OsString>,
    /// Whether and how the report goes out as JSON; `None`: legacy text.
    pub json: Option<JsonMode>,
}

/// Finds the applet of a name among those that `kind` admits.
pub fn find(name: &str, by_argv0: bool) -> Option<(&'static Applet, &'static str)> {
    APPLETS
        .iter()
        .filter(|applet| !by_argv0 || applet.kind == Kind::Legacy)
        .find_map(|applet| applet.names.iter().find(|&&n| n == name).map(|&n| (applet, n)))
}

/// Runs what argv asks for: the applet named by argv0, else by the first argument.
pub fn dispatch(argv: &[OsString], io: &mut Io) -> Outcome {
    let program = argv.first().map(|a| a.to_string_lossy().into_owned()).unwrap_or_default();
    let base = program.rsplit('/').next().unwrap_or_default();
    let base = base.strip_prefix('-').unwrap_or(base);
    let rest = argv.get(1..).unwrap_or_default();
    let (applet, name, program, rest) = if let Some((applet, name)) = find(base, true) {
        (applet, name, program.clone(), rest)
    } else {
        let Some(first) = rest.first() else {
            write!(io.out, "{}", usage());
            return finish("ntpbox", Outcome::SUCCESS, io);
        };
        match find(&first.to_string_lossy(), false) {
            Some((applet, name)) => (applet, name, name.to_owned(), rest.get(1..).unwrap_or_default()),
            None => return own_options(first, io),
        }
    };
    let outcome = match output::split_json(rest, io.out_is_tty) {
        Ok((json, args)) => (applet.run)(&Invocation { program, name, args, json }, io),
        Err(word) => {
            writeln!(io.err, "{name}: {word}: --json takes pretty, short or off");
            Outcome::Code(2)
        }
    };
    finish(name, outcome, io)
}

fn own_options(first: &OsStr, io: &mut Io) -> Outcome {
    match first.to_string_lossy().as_ref() {
        "-h" | "--help" | "help" => write!(io.out, "{}", usage()),
        "-V" | "--version" => writeln!(io.out, "ntpbox {VERSION}"),
        unknown => {
            writeln!(io.err, "ntpbox: {unknown}: no such applet");
            write!(io.err, "{}", usage());
            return finish("ntpbox", Outcome::Code(127), io);
        }
    }
    finish("ntpbox", Outcome::SUCCESS, io)
}

fn usage() -> String {
    let mut text = String::from(
        "usage: ntpbox APPLET [ARGUMENT...]\n       APPLET [ARGUMENT...]        through a link of that name (ntpbox install)\n\napplets:\n",
    );
    for applet in APPLETS {
        let about = (applet.command)().get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("  {:<14} {about}\n", applet.names.join(", ")));
    }
    text
}

/// Writes out what is buffered and turns a failed write into the exit code (decisions.md, "output, signals").
fn finish(name: &str, outcome: Outcome, io: &mut Io) -> Outcome {
    io.out.flush();
    match io.out.take_error() {
        None => outcome,
        Some(error) if error.kind() == std::io::ErrorKind::BrokenPipe => match outcome {
            Outcome::Signal(_) => outcome,
            Outcome::Code(_) => Outcome::SUCCESS,
        },
        Some(error) => {
            writeln!(io.err, "{name}: write error: {}", io::error_text(&error));
            match outcome {
                Outcome::Code(0) => Outcome::FAILURE,
                other => other,
            }
        }
    }
}
