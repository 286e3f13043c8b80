//! chronyc 4.9: asks and controls a chronyd of any generation.
//!
//! | option | here |
//! |---|---|
//! | `-4 -6 -n -N -c -e -m -h -p -u -w -v --version --help` | as the original |
//! | `-a -d -f FILE` | accepted, without effect, as in the original |
//! | `--json --watch` | ours |
//!
//! Known deviations: `-u` defaults to staying root; over the Unix socket a command is sent once; `settime` without a date is
//! refused; a command that the daemon does not know is sent once more in its older form; names that a daemon does not know
//! are left to the address without a line; counters that an old daemon does not send are left out.

mod add;
mod args;
pub mod commands;
mod date;
mod keygen;
mod parse;
mod render;
mod reports;
mod scan;
mod session;
mod status;
mod values;

use std::io::ErrorKind;

use nix::sys::signal::Signal;

use self::args::{Options, Request};
use self::render::Style;
use self::session::{Session, Settings, Verdict, interrupted, print_failure};
use super::compat::{Compat, Era};
use super::io::Io;
use super::lineedit::{Input, LineEditor};
use super::{Applet, Invocation, Kind, Outcome, VERSION};
use crate::driver::cmdmon::{Address, Caller};
use crate::report::ErrorReport;
use crate::sys::dns::{FORWARD_TIMEOUT, Looked, addresses_of, deadline_in};
use crate::sys::net::Family;
use crate::sys::{signal, user};

/// The row of the applet table.
pub const APPLET: Applet = Applet {
    names: &["chronyc"],
    kind: Kind::Legacy,
    section: 1,
    command: args::command,
    about: include_str!("about.md"),
    run,
};

/// The level of chrony that is matched.
const LEVEL: &str = "4.9";
/// Longest line of a command.
const LONGEST_LINE: usize = 2047;
/// Addresses that are tried of a name.
const MOST_ADDRESSES: usize = 16;

fn run(invocation: &Invocation, io: &mut Io) -> Outcome {
    match args::parse(&invocation.program, &invocation.args) {
        Request::Help => write!(io.out, "{}", args::usage(&invocation.program)),
        Request::Version => writeln!(io.out, "{}", version()),
        Request::Wrong(line) => {
            let line = line.unwrap_or_default();
            match invocation.json {
                Some(mode) => {
                    writeln!(io.err, "{line}");
                    let report = ErrorReport::legacy("usage", line);
                    print_failure(io, mode, commands::CONTROL.name, &[], &report);
                }
                None => {
                    writeln!(io.err, "{line}");
                    write!(io.out, "{}", args::usage(&invocation.program));
                }
            }
            return Outcome::FAILURE;
        }
        Request::Run(options) => return run_commands(&options, invocation, io),
    }
    Outcome::SUCCESS
}

/// Scripts take the fourth word.
fn version() -> String {
    format!("chronyc (chrony) version {LEVEL} (+READLINE +SECHASH +IPV6 -DEBUG ntpbox {VERSION})")
}

fn run_commands(options: &Options, invocation: &Invocation, io: &mut Io) -> Outcome {
    let fail = |io: &mut Io, code: &'static str, line: String| {
        writeln!(io.err, "{line}");
        if let Some(mode) = invocation.json {
            print_failure(io, mode, commands::CONTROL.name, &[], &ErrorReport::legacy(code, line));
        }
        Outcome::FAILURE
    };
    if let Err(line) = become_user(options.user.as_deref()) {
        return fail(io, "user", line);
    }
    // without them the socket's directories would stay behind
    let _ = signal::catch(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT]);
    let family = match (options.only_ipv4, options.only_ipv6) {
        (true, _) => Some(Family::V4),
        (_, true) => Some(Family::V6),
        _ => None,
    };
    let mut caller = Caller::new(addresses(&options.hosts, options.port, family));
    let connected = caller.connect();
    for complaint in caller.take_complaints() {
        writeln!(io.err, "{complaint}");
    }
    if !connected {
        return fail(io, "no-connection", "Could not open connection to daemon".to_owned());
    }
    let json = invocation.json;
    let settings = Settings {
        style: Style { csv: options.csv, wide: options.wide },
        source_names: options.source_names,
        reverse: !options.numeric && !options.csv && json.is_none(),
        end_dot: options.end_dot,
        json,
        family,
        old_texts: Compat::from_env(&io.env).era != Era::Modern,
        watch: options.watch,
    };
    let mut session = Session::new(io, caller, settings);
    if options.multiple {
        return run_each(&options.words, &mut session);
    }
    if options.words.is_empty() {
        let io = &session.io;
        let on_terminal = io.in_is_tty && io.out_is_tty && io.err_is_tty;
        return if on_terminal { run_prompt(&mut session) } else { run_input(&mut session) };
    }
    let line = options.words.join(" ");
    if line.len() > LONGEST_LINE {
        return fail(session.io, "usage", "Command too long".to_owned());
    }
    outcome(session.execute(&line))
}

fn outcome(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Success | Verdict::Quit => Outcome::SUCCESS,
        Verdict::Failure | Verdict::End => Outcome::FAILURE,
    }
}

/// `-m`: every argument is a command; the first that fails is the last.
fn run_each(lines: &[String], session: &mut Session<'_>) -> Outcome {
    for line in lines {
        if line.len() > LONGEST_LINE {
            writeln!(session.io.err, "Command too long");
            return Outcome::FAILURE;
        }
        match session.execute(line) {
            Verdict::Success => {}
            other => return outcome(other),
        }
    }
    Outcome::SUCCESS
}

/// What an interactive session begins with: five lines and an empty one, as the original's.
fn banner() -> String {
    format!(
        "chrony version {LEVEL}
This is the chronyc of ntpbox {VERSION}, a program of its own that speaks chrony's protocol.
It comes without any warranty. You may use, change and share it under the terms of
the MIT licence or the Apache licence, version 2.0, as you like.
Commands are listed by \"help\"; the Tab key completes them.

"
    )
}

/// Commands from a terminal, with editing, history and completion.
fn run_prompt(session: &mut Session<'_>) -> Outcome {
    write!(session.io.out, "{}", banner());
    session.io.out.flush();
    // a terminal that cannot be edited on still has lines
    let Ok(mut editor) = LineEditor::new(commands::completions, &session.io.env) else {
        return run_input(session);
    };
    let mut last = Outcome::SUCCESS;
    loop {
        let line = match editor.read("chronyc> ") {
            Input::Line(line) => line,
            Input::End => {
                writeln!(session.io.out);
                return last;
            }
            Input::Interrupt => return last,
        };
        if line.len() > LONGEST_LINE {
            writeln!(session.io.err, "Command too long");
            last = Outcome::FAILURE;
            continue;
        }
        match session.execute(&line) {
            Verdict::Quit => return Outcome::SUCCESS,
            Verdict::End => return last,
            other => last = outcome(other),
        }
        if interrupted() {
            return last;
        }
    }
}

/// Commands from standard input; the last one's result counts.
fn run_input(session: &mut Session<'_>) -> Outcome {
    let mut last = Outcome::SUCCESS;
    while let Some(line) = read_line(session.io) {
        let verdict = match line {
            Ok(line) => session.execute(&line),
            Err(TooLong) => {
                writeln!(session.io.err, "Command too long");
                Verdict::Failure
            }
        };
        match verdict {
            Verdict::Quit => return Outcome::SUCCESS,
            Verdict::End => return last,
            other => last = outcome(other),
        }
    }
    last
}

/// A line longer than a command may be.
struct TooLong;

/// The next line; `None` at the end, after a signal, or when the input cannot be read.
fn read_line(io: &mut Io) -> Option<Result<String, TooLong>> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let (used, ended) = match io.input.fill_buf() {
            Ok([]) => {
                return match (line.is_empty(), too_long) {
                    (true, false) => None,
                    (_, true) => Some(Err(TooLong)),
                    (false, false) => Some(Ok(String::from_utf8_lossy(&line).into_owned())),
                };
            }
            Ok(bytes) => {
                let end = bytes.iter().position(|&b| b == b'\n');
                let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
                too_long |= line.len() + part.len() > LONGEST_LINE;
                if !too_long {
                    line.extend_from_slice(part);
                }
                (end.map_or(bytes.len(), |end| end + 1), end.is_some())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted && !interrupted() => continue,
            Err(_) => return None,
        };
        io.input.consume(used);
        if ended {
            let text = String::from_utf8_lossy(&line).into_owned();
            return Some(if too_long { Err(TooLong) } else { Ok(text) });
        }
    }
}

/// `-u`: root becomes this user.
fn become_user(name: Option<&str>) -> Result<(), String> {
    let Some(name) = name.filter(|name| *name != "root" && user::is_root()) else { return Ok(()) };
    let unknown = || format!("Could not get user/group ID of {name}");
    let found = user::find_user(name).ok().flatten().ok_or_else(unknown)?;
    user::drop_privileges(&found, &[])
        .map_err(|error| format!("Could not become {name} : {}", error.reason()))
}

/// Where to ask: paths, and every address of every name; what cannot be resolved is passed over.
fn addresses(hosts: &str, port: u16, family: Option<Family>) -> Vec<Address> {
    let entries: Vec<&str> = hosts.split(',').filter(|host| !host.is_empty()).collect();
    let names: Vec<String> = entries.iter().filter(|h| !args::is_path(h)).map(|h| (*h).to_owned()).collect();
    let found = match addresses_of(&names, family, port, deadline_in(FORWARD_TIMEOUT)) {
        Ok(Looked::Done(found)) => found,
        Ok(Looked::Signal) | Err(_) => Vec::new(),
    };
    let mut found = found.into_iter();
    let mut list = Vec::new();
    for host in entries {
        if args::is_path(host) {
            list.push(Address::Local(host.into()));
        } else if let Some(Ok(addresses)) = found.next() {
            list.extend(addresses.into_iter().take(MOST_ADDRESSES).map(Address::Udp));
        }
    }
    list
}
