//! `ntpq`: asks any NTP daemon by mode 6, in the texts of ntp 4.2.8p15 (`NTPBOX_COMPAT=rhel6|rhel7`: 4.2.6).
//!
//! | option | |
//! |---|---|
//! | `-4 -6 -c -d -D -i -n -p -r -w --old-rv --version --help` | kept |
//! | `-W N` | kept, from NTPsec: wider column `remote` |
//! | `-> -< -!`, `~/.ntprc`, `NTPQ_*` | not there: options come from the command line only |
//! | `--json --strict --watch` | ours |
//!
//! Deviations (decisions.md): no `+` before offsets, no empty line between the outputs of commands, up to four requests
//! under way, reverse look-ups in parallel, control characters of a server never reach the terminal.

mod args;
mod auth;
mod cook;
mod local;
mod mru;
mod query;
mod render;
mod shell;
mod statistics;
mod table;

use clap::{Arg, ArgAction, Command};
use nix::sys::signal::Signal;
use zeroize::Zeroizing;

use self::args::Options;
use self::shell::{Answer as Found, Settings, Shell};
use super::compat::{Compat, Era};
use super::io::Io;
use super::lineedit::{Input, LineEditor};
use super::output::{Answer, JsonMode, print_json};
use super::{Applet, Invocation, Kind, Outcome};
use crate::report::{
    ErrorReport, Level, Message, NtpqAssociations, NtpqInterfaces, NtpqMru, NtpqPeers, NtpqReport,
    NtpqRestrictions, NtpqResult, NtpqResults, NtpqText, NtpqVariableSets, NtpqVariables, ReportSchema,
};
use crate::sys::{clock, signal};

/// In front of what a person types.
const PROMPT: &str = "ntpq> ";
/// What `version` prints: the level first, then us.
const VERSION_LINE: &str = concat!("ntpq 4.2.8p15@ntpbox-", env!("CARGO_PKG_VERSION"));

/// Several commands or servers, and failures before any.
pub const RESULTS: ReportSchema = ReportSchema::of::<NtpqResults>("ntpbox/ntpq/1");
/// `peers`, `opeers`, `apeers` …
pub const PEERS: ReportSchema = ReportSchema::of::<NtpqPeers>("ntpbox/ntpq.peers/1");
/// `associations` …
pub const ASSOCIATIONS: ReportSchema = ReportSchema::of::<NtpqAssociations>("ntpbox/ntpq.associations/1");
/// `readvar`, `clockvar`, statistics.
pub const VARIABLES: ReportSchema = ReportSchema::of::<NtpqVariables>("ntpbox/ntpq.variables/1");
/// `mreadvar`.
pub const VARIABLE_SETS: ReportSchema = ReportSchema::of::<NtpqVariableSets>("ntpbox/ntpq.variable-sets/1");
/// `ifstats`.
pub const INTERFACES: ReportSchema = ReportSchema::of::<NtpqInterfaces>("ntpbox/ntpq.interfaces/1");
/// `reslist`.
pub const RESTRICTIONS: ReportSchema = ReportSchema::of::<NtpqRestrictions>("ntpbox/ntpq.restrictions/1");
/// `mrulist`.
pub const MRU: ReportSchema = ReportSchema::of::<NtpqMru>("ntpbox/ntpq.mru/1");
/// Commands with a text of their own.
pub const TEXT: ReportSchema = ReportSchema::of::<NtpqText>("ntpbox/ntpq.text/1");

/// The row of the applet table.
pub const APPLET: Applet = Applet {
    names: &["ntpq"],
    kind: Kind::Legacy,
    section: 1,
    command,
    about: include_str!("about.md"),
    run,
};

fn command() -> Command {
    let flag =
        |id: &'static str, help: &'static str| Arg::new(id).long(id).action(ArgAction::SetTrue).help(help);
    Command::new("ntpq")
        .about("Query the NTP daemon by control messages")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(flag("ipv4", "Force IPv4 name resolution").short('4'))
        .arg(flag("ipv6", "Force IPv6 name resolution").short('6'))
        .arg(
            Arg::new("command")
                .short('c')
                .long("command")
                .value_name("COMMAND")
                .action(ArgAction::Append)
                .help("Run a command and exit; may appear several times"),
        )
        .arg(flag("debug-level", "Increase the debug level").short('d').action(ArgAction::Count))
        .arg(
            Arg::new("set-debug-level")
                .short('D')
                .long("set-debug-level")
                .value_name("N")
                .action(ArgAction::Set)
                .help("Set the debug level"),
        )
        .arg(flag("interactive", "Force interactive mode").short('i'))
        .arg(flag("numeric", "Show numeric host addresses").short('n'))
        .arg(flag("old-rv", "Always print the status line with readvar"))
        .arg(flag("peers", "Print the list of peers (-c peers)").short('p'))
        .arg(
            Arg::new("refid")
                .short('r')
                .long("refid")
                .value_name("hash|ipv4")
                .action(ArgAction::Set)
                .help("How reference identifiers are shown"),
        )
        .arg(flag("wide", "Show the full remote name").short('w'))
        .arg(
            Arg::new("width")
                .short('W')
                .long("width")
                .value_name("N")
                .action(ArgAction::Set)
                .help("Width of the terminal: above 80 columns the remote column grows"),
        )
        .arg(flag("strict", "Exit 1 when a command failed"))
        .arg(
            Arg::new("watch")
                .long("watch")
                .value_name("SECONDS")
                .num_args(0..=1)
                .require_equals(true)
                .action(ArgAction::Set)
                .help("Repeat the commands (peers when there are none) every 2 or SECONDS seconds"),
        )
        .arg(flag("version", "Print the version and exit"))
        .arg(flag("help", "Print this help and exit").short('?'))
        .arg(Arg::new("host").action(ArgAction::Append).help("Servers to ask [default: localhost]"))
}

fn run(invocation: &Invocation, io: &mut Io) -> Outcome {
    let options = match args::parse(&command(), invocation) {
        Ok(options) => options,
        Err(lines) => return usage_error(invocation, io, &lines),
    };
    let compat = Compat::from_env(&io.env);
    let old = compat.era != Era::Modern;
    if options.help {
        write!(io.out, "{}", command().render_help());
        return Outcome::SUCCESS;
    }
    if options.version {
        if old {
            writeln!(io.out, "ntpq 4.2.6p5");
        }
        writeln!(io.out, "{VERSION_LINE}");
        return Outcome::SUCCESS;
    }
    let column = (options.hosts.len() > 1).then(|| host_column(&options.hosts)).flatten();
    let set = Settings {
        program: invocation.program.clone(),
        old,
        names: !options.numeric,
        raw: false,
        old_rv: options.old_rv,
        refid_hash: options.refid_hash,
        family: options.family,
        version: 2,
        timeout_ms: 5000,
        delay_ms: 20,
        debug: options.debug.into(),
        layout: render::Layout {
            remote: options.width.map_or(render::REMOTE, render::Layout::remote_for),
            wide: options.wide,
            old,
        },
        authenticate: false,
        host_column: column,
        several: options.hosts.len() > 1,
    };
    let mut shell = Shell {
        io,
        set,
        link: None,
        host: None,
        associations: Vec::new(),
        variables: Vec::new(),
        key: None,
        keys: auth::Keys::default(),
        quit: false,
    };
    let sitting = Sitting { options: &options, json: invocation.json };
    if options.commands.is_empty() && options.watch.is_none() {
        return sitting.read_commands(&mut shell);
    }
    sitting.run_commands(&mut shell)
}

/// The numbers of the hosts decide the width of the first column.
fn host_column(hosts: &[String]) -> Option<usize> {
    hosts.iter().map(|host| host.chars().count()).max()
}

fn usage_error(invocation: &Invocation, io: &mut Io, lines: &[String]) -> Outcome {
    let old = Compat::from_env(&io.env).era != Era::Modern;
    for line in lines {
        writeln!(io.err, "{line}");
    }
    writeln!(io.err, "ntpq - standard NTP query program - Ver. {}", if old { "4.2.6p5" } else { "4.2.8p15" });
    writeln!(
        io.err,
        "{}  ntpq [ -<flag> [<val>] | --<name>[{{=| }}<val>] ]... [ host ...]",
        if old { "USAGE:" } else { "Usage:" }
    );
    if !old {
        writeln!(io.err, "Try 'ntpq --help' for more information.");
    }
    if let Some(mode) = invocation.json {
        let error = ErrorReport::legacy("usage", lines.first().cloned().unwrap_or_default());
        let answer =
            Answer::<NtpqResults> { schema: RESULTS.name, data: None, messages: &[], error: Some(&error) };
        print_json(io, mode, clock::now(), Outcome::FAILURE, &answer);
    }
    Outcome::FAILURE
}

/// A run over commands and hosts.
struct Sitting<'a> {
    options: &'a Options,
    json: Option<JsonMode>,
}

impl Sitting<'_> {
    fn hosts(&self) -> Vec<String> {
        if self.options.hosts.is_empty() { vec!["localhost".to_owned()] } else { self.options.hosts.clone() }
    }

    /// All hosts × all commands; with `--watch` again and again.
    fn run_commands(&self, shell: &mut Shell<'_>) -> Outcome {
        let commands = match (self.options.commands.as_slice(), self.options.watch) {
            ([], Some(_)) => vec!["peers".to_owned()],
            (commands, _) => commands.to_vec(),
        };
        let Some(interval) = self.options.watch else { return self.round(shell, &commands) };
        shell.io.out.set_line_buffered();
        loop {
            let began = clock::mono();
            let outcome = self.round(shell, &commands);
            if shell.quit || shell.io.out.is_broken() {
                return outcome;
            }
            shell.io.out.flush();
            if crate::sys::wait::wait(&[], Some(began + interval)).is_err() {
                return outcome;
            }
            if self.json.is_none() {
                writeln!(shell.io.out);
            }
        }
    }

    fn round(&self, shell: &mut Shell<'_>, commands: &[String]) -> Outcome {
        let mut results = Vec::new();
        for host in self.hosts() {
            if shell.quit {
                break;
            }
            if shell.host.as_deref() != Some(&host)
                && let Err(trouble) = shell.open(&host, shell.set.family)
            {
                let found = shell.say(trouble);
                results.push(result(&host, "host", found));
                continue;
            }
            for line in commands {
                let found = shell.run(line, self.json.is_some());
                // a command that catches Ctrl-C for itself does not take it away from those after it
                if found.trouble.as_ref().is_some_and(|t| t.code == "interrupted") {
                    return Outcome::Signal(Signal::SIGINT as i32);
                }
                results.push(result(&host, line, found));
                if shell.quit {
                    break;
                }
            }
        }
        self.conclude(shell, results)
    }

    /// Commands from standard input: with a prompt when a person is there.
    fn read_commands(&self, shell: &mut Shell<'_>) -> Outcome {
        let mut results = Vec::new();
        let prompt =
            self.json.is_none() && (self.options.interactive || (shell.io.in_is_tty && shell.io.err_is_tty));
        let mut editor = None;
        if prompt && shell.io.in_is_tty {
            // without it the lines are read as they come
            editor = LineEditor::new(complete, &shell.io.env).ok();
            // Ctrl-C ends a command, not the program
            let _ = signal::catch(&[Signal::SIGINT]);
        }
        let host = self.hosts().swap_remove(0);
        if let Err(trouble) = shell.open(&host, shell.set.family) {
            let found = shell.say(trouble);
            results.push(result(&host, "host", found));
        }
        while !shell.quit && !shell.io.out.is_broken() {
            shell.io.out.flush();
            let line = match &mut editor {
                Some(editor) => match editor.read(PROMPT) {
                    Input::Line(line) => line,
                    Input::Interrupt => {
                        while signal::take().is_some() {}
                        continue;
                    }
                    Input::End => break,
                },
                None => {
                    if prompt {
                        write!(shell.io.out, "{PROMPT}");
                        shell.io.out.flush();
                    }
                    let mut line = String::new();
                    match shell.io.input.read_line(&mut line) {
                        Ok(0) => break,
                        Ok(_) => line,
                        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => continue,
                        Err(_) => break,
                    }
                }
            };
            while signal::take().is_some() {}
            let found = shell.run(&line, self.json.is_some());
            if found.trouble.as_ref().is_some_and(|t| t.code == "interrupted") {
                writeln!(shell.io.out);
            }
            if self.json.is_some() {
                results.push(result(&shell.host_name(), line.trim(), found));
            }
        }
        self.conclude(shell, results)
    }

    /// JSON and the exit code.
    fn conclude(&self, shell: &mut Shell<'_>, mut results: Vec<NtpqResult>) -> Outcome {
        let failed = results.iter().any(|r| r.error.is_some());
        let strict = self.json.is_some() || self.options.strict;
        let outcome = if failed && strict { Outcome::FAILURE } else { Outcome::SUCCESS };
        let Some(mode) = self.json else { return outcome };
        // settings that say nothing are no results
        if results.iter().any(|r| r.data.is_some() || r.error.is_some()) {
            results.retain(|r| r.data.is_some() || r.error.is_some());
        }
        let now = clock::now();
        if let [only] = results.as_slice() {
            let schema = only.schema.unwrap_or(RESULTS.name);
            let answer =
                Answer { schema, data: only.data.as_ref(), messages: &[], error: only.error.as_ref() };
            print_json(shell.io, mode, now, outcome, &answer);
            return outcome;
        }
        let all = NtpqResults { results };
        // the envelope has room for data or for an error; here each result has its own, and the failures are messages too
        let messages: Vec<Message> = all
            .results
            .iter()
            .filter_map(|r| r.error.as_ref().map(|e| (r, e)))
            .map(|(r, e)| Message {
                level: Level::Error,
                code: e.code,
                text: format!("{}: {}: {}", r.host, r.command, e.text),
            })
            .collect();
        let answer = Answer { schema: RESULTS.name, data: Some(&all), messages: &messages, error: None };
        print_json(shell.io, mode, now, outcome, &answer);
        outcome
    }
}

fn result(host: &str, command: &str, found: Found) -> NtpqResult {
    let error = found.trouble.as_ref().map(shell::Trouble::report);
    let (schema, data) = match (found.report, found.text) {
        (Some((schema, report)), _) => (Some(schema), Some(report)),
        (None, text) if !text.is_empty() => (Some(TEXT.name), Some(NtpqReport::Text(NtpqText { text }))),
        (None, _) => (None, None),
    };
    let data = if error.is_some() { None } else { data };
    NtpqResult { host: host.to_owned(), command: command.trim().to_owned(), schema, data, error }
}

/// A line of standard input, without its end.
fn plain_line(io: &mut Io) -> String {
    let mut line = String::new();
    match io.input.read_line(&mut line) {
        Ok(_) => line.trim_end_matches(['\n', '\r']).to_owned(),
        Err(_) => String::new(),
    }
}

/// The same for a secret: a terminal does not show it.
fn secret_line(io: &mut Io) -> Zeroizing<String> {
    Zeroizing::new(if io.in_is_tty {
        crate::sys::tty::without_echo(|| plain_line(io))
    } else {
        plain_line(io)
    })
}

/// Completion: the commands that begin like the first word; after `help` too.
fn complete(line: &str) -> Vec<&'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let open = !line.ends_with(char::is_whitespace);
    let start = match (words.as_slice(), open) {
        ([], _) | (["help" | "?"], false) => "",
        ([first], true) => first,
        (["help" | "?", start], true) => start,
        _ => return Vec::new(),
    };
    table::listed(false).into_iter().filter(|name| name.starts_with(start)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_completed_at_the_start_and_after_help() {
        assert_eq!(complete("mr"), ["mreadlist", "mreadvar", "mrl", "mrulist", "mrv"]);
        assert_eq!(complete("help mru"), ["mrulist"]);
        assert_eq!(complete("help ").len(), table::listed(false).len());
        assert_eq!(complete("rv off"), Vec::<&str>::new());
    }
}
