//! One run of chronyc: the connection, the settings that commands change, and what every command has in common.

use std::net::IpAddr;

use serde::Serialize;

use super::Outcome;
use super::commands::schema_of;
use super::date;
use super::parse::{Meaning, Mistake, Setting, parse};
use super::render::Style;
use super::status::{Problem, hint, status_text};
use super::values;
use crate::applets::io::Io;
use crate::applets::output::{Answer, JsonMode, print_json};
use crate::client::cmdmon::{Answer as Reply, Patience};
use crate::driver::cmdmon::{Caller, Flow};
use crate::report::chronyc::ChronyDone;
use crate::report::{ErrorReport, Message};
use crate::sys::dns::{
    FORWARD_TIMEOUT, Looked, REVERSE_TIMEOUT, addresses_of, deadline_in, names_of, numeric,
};
use crate::sys::net::Family;
use crate::sys::{clock, signal, zone};
use crate::types::{MonoTime, TimeDelta};
use crate::wire::cmdmon::{self, Ip, Request};

/// What the options set and commands change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// `-c`, `-w`.
    pub(super) style: Style,
    /// `-N`: names as they are configured.
    pub(super) source_names: bool,
    /// Reverse look-up: off by `-n`, `-c`, `--json`, `dns -n`.
    pub(super) reverse: bool,
    /// `-e`: a dot after every command.
    pub(super) end_dot: bool,
    /// `--json`.
    pub(super) json: Option<JsonMode>,
    /// `-4`, `-6`.
    pub(super) family: Option<Family>,
    /// NTPBOX_COMPAT: the texts of chronyc up to 3.5.
    pub(super) old_texts: bool,
    /// `--watch`: seconds between two runs of a report.
    pub(super) watch: Option<f64>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It did what it was asked.
    Success,
    /// It did not.
    Failure,
    /// `quit`, `exit`, or nobody reads what we write.
    Quit,
    /// A signal: nothing further is to be done.
    End,
}

/// A run.
pub(super) struct Session<'a> {
    pub(super) io: &'a mut Io,
    pub(super) caller: Caller,
    pub(super) settings: Settings,
    /// When reverse look-ups of the command that runs are given up.
    reverse_deadline: Option<MonoTime>,
    /// Remarks for the JSON object of the command that runs.
    pub(super) messages: Vec<Message>,
}

/// Which source a row names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// A reference clock by its ID.
    Clock(u32),
    /// A source, or what stands for one.
    At(Ip),
}

impl<'a> Session<'a> {
    pub(super) fn new(io: &'a mut Io, caller: Caller, settings: Settings) -> Self {
        Self { io, caller, settings, reverse_deadline: None, messages: Vec::new() }
    }

    /// Runs one line. Everything it has to say has been written when it returns.
    pub(super) fn execute(&mut self, line: &str) -> Verdict {
        let family = self.settings.family;
        let now = date::Now { secs: clock::now().secs(), utc_offset_at: &zone::utc_offset_at };
        let parsed = parse(line, &mut |name| first_address(name, family), &now);
        let word = line.split_ascii_whitespace().next().unwrap_or_default();
        let schema = schema_of(word);
        if parsed == Ok(Meaning::Nothing) {
            return Verdict::Success;
        }
        self.reverse_deadline = None;
        self.messages.clear();
        let result = match parsed {
            Ok(Meaning::Quit) => return Verdict::Quit,
            Ok(meaning) => self.perform(meaning),
            Err(Mistake::Line(line)) => Err(Problem::Usage(line)),
            Err(Mistake::Date) => Err(Problem::Date),
        };
        for complaint in self.caller.take_complaints() {
            writeln!(self.io.err, "{complaint}");
        }
        let mut verdict = match result {
            Ok(()) => Verdict::Success,
            Err(problem) => self.complain(schema, &problem),
        };
        if self.settings.end_dot {
            writeln!(self.io.out, ".");
        }
        self.io.out.flush();
        if self.io.out.is_broken() {
            verdict = self.output_failed();
        }
        verdict
    }

    /// Says why a command failed.
    fn complain(&mut self, schema: &'static str, problem: &Problem) -> Verdict {
        match self.settings.json {
            Some(mode) => {
                let report = problem.report(self.caller.causes());
                if let Some(line) = &report.legacy {
                    writeln!(self.io.err, "{line}");
                }
                print_failure(self.io, mode, schema, &self.messages, &report);
            }
            None => match problem {
                Problem::Usage(line) => writeln!(self.io.err, "{line}"),
                other => {
                    if let Some(line) = other.stdout_line() {
                        writeln!(self.io.out, "{line}");
                    }
                }
            },
        }
        if *problem == Problem::Unreachable && self.io.err_is_tty && self.settings.json.is_none() {
            self.io.out.flush();
            if let Some(hint) = hint(self.caller.causes()) {
                writeln!(self.io.err, "chronyc: {hint}");
            }
        }
        if *problem == Problem::Interrupted { Verdict::End } else { Verdict::Failure }
    }

    /// A closed pipe ends everything in silence; anything else is said in the original's words.
    fn output_failed(&mut self) -> Verdict {
        match self.io.out.take_error() {
            Some(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Verdict::Quit,
            Some(_) => {
                writeln!(self.io.err, "Could not write to stdout");
                Verdict::Failure
            }
            None => Verdict::Failure,
        }
    }

    /// Asks one question whose answer has data.
    pub(super) fn ask(&mut self, request: Request) -> Result<cmdmon::Reply, Problem> {
        let answer = self.caller.ask(request)?;
        if answer.status.is_success() { Ok(answer.reply) } else { Err(Problem::Refused(answer.status)) }
    }

    /// Asks many; hands out what was answered before the first problem.
    pub(super) fn ask_many<T>(
        &mut self,
        requests: Vec<Request>,
        take: &dyn Fn(cmdmon::Reply) -> Option<T>,
    ) -> (Vec<T>, Result<(), Problem>) {
        let mut found = Vec::with_capacity(requests.len());
        let mut end = Ok(());
        let asked = self.caller.ask_all(
            requests,
            crate::client::cmdmon::WINDOW,
            &mut |_, Reply { status, reply }| {
                if !status.is_success() {
                    end = Err(Problem::Refused(status));
                    return Flow::Stop;
                }
                match take(reply) {
                    Some(item) => {
                        found.push(item);
                        Flow::More
                    }
                    None => {
                        end = Err(Problem::BadReply);
                        Flow::Stop
                    }
                }
            },
        );
        match asked {
            Ok(()) => (found, end),
            Err(error) => (found, Err(error.into())),
        }
    }

    /// Prints the JSON object of a command that succeeded.
    pub(super) fn answer<T: Serialize>(&mut self, schema: &str, data: &T) {
        if let Some(mode) = self.settings.json {
            let answer = Answer { schema, data: Some(data), messages: &self.messages, error: None };
            print_json(self.io, mode, clock::now(), Outcome::SUCCESS, &answer);
        }
    }

    /// Sends a request that is answered by a status.
    pub(super) fn control(&mut self, request: Request) -> Result<(), Problem> {
        let answer = self.caller.ask(request)?;
        if !answer.status.is_success() {
            return Err(Problem::Refused(answer.status));
        }
        if answer.reply != cmdmon::Reply::Null {
            return Err(Problem::BadReply);
        }
        let (text, _) = status_text(answer.status);
        let allowed = match answer.status {
            cmdmon::Status::ACCESS_ALLOWED => Some(true),
            cmdmon::Status::ACCESS_DENIED => Some(false),
            _ => None,
        };
        if self.settings.json.is_some() {
            let done = ChronyDone { status: Some(answer.status.get()), text: Some(text.to_owned()), allowed };
            self.answer(super::commands::CONTROL.name, &done);
        } else {
            writeln!(self.io.out, "{text}");
        }
        Ok(())
    }

    /// Changes a setting of the client.
    pub(super) fn set(&mut self, setting: Setting) {
        let patience = self.caller.patience();
        match setting {
            Setting::Reverse(reverse) => self.settings.reverse = reverse,
            Setting::Family(family) => {
                self.settings.family = family.map(|six| if six { Family::V6 } else { Family::V4 });
            }
            Setting::Timeout(millis) => self.caller.set_patience(Patience {
                initial_timeout: TimeDelta::from_millis(i64::from(millis)),
                ..patience
            }),
            Setting::Retries(max_retries) => self.caller.set_patience(Patience { max_retries, ..patience }),
        }
        self.done();
    }

    /// The JSON object of a command that has nothing to report.
    pub(super) fn done(&mut self) {
        self.answer(super::commands::CONTROL.name, &ChronyDone { status: None, text: None, allowed: None });
    }

    /// Names for rows, in their order: as configured, by reverse look-up, or numeric.
    pub(super) fn row_names(&mut self, rows: &[Named]) -> Result<Vec<String>, Problem> {
        if self.settings.source_names {
            let names = self.configured_names(rows)?;
            return Ok(names
                .into_iter()
                .zip(rows)
                .map(|(name, row)| name.unwrap_or_else(|| unnamed(*row)))
                .collect());
        }
        let hosts = self.host_names(rows)?;
        Ok(hosts
            .into_iter()
            .zip(rows)
            .map(|(name, row)| name.unwrap_or_else(|| numeric_name(*row)))
            .collect())
    }

    /// As [`Self::row_names`], cut to the column of a table where they come from reverse look-up.
    pub(super) fn table_names(&mut self, rows: &[Named]) -> Result<Vec<String>, Problem> {
        let mut names = self.row_names(rows)?;
        if self.settings.reverse && !self.settings.source_names {
            self.cut(&mut names);
        }
        Ok(names)
    }

    /// Cuts names to the column of a table.
    pub(super) fn cut(&self, names: &mut [String]) {
        let most = if self.settings.style.wide { 39 } else { 25 };
        for name in names.iter_mut().filter(|name| name.len() > most) {
            *name = name.chars().take(most - 1).chain(['>']).collect();
        }
    }

    /// Configured names; `None` where the daemon has none, or one that does not print.
    pub(super) fn configured_names(&mut self, rows: &[Named]) -> Result<Vec<Option<String>>, Problem> {
        let address = |row: &Named| match row {
            Named::At(ip) => Some(*ip),
            Named::Clock(_) => None,
        };
        let requests = rows.iter().filter_map(address).map(Request::NtpSourceName).collect();
        let mut found = Vec::new();
        self.caller.ask_all(requests, crate::client::cmdmon::WINDOW, &mut |_, answer| {
            found.push(match answer.reply {
                cmdmon::Reply::NtpSourceName(name) if answer.status.is_success() => source_name(&name),
                _ => None,
            });
            Flow::More
        })?;
        let mut found = found.into_iter();
        Ok(rows
            .iter()
            .map(|row| match (row, address(row)) {
                (Named::Clock(id), _) => Some(values::refid_text(*id)),
                (_, Some(_)) => found.next().flatten(),
                (_, None) => None,
            })
            .collect())
    }

    /// Names from reverse look-up; `None` where it is off or there is none.
    pub(super) fn host_names(&mut self, rows: &[Named]) -> Result<Vec<Option<String>>, Problem> {
        let mut names = vec![None; rows.len()];
        if !self.settings.reverse {
            return Ok(names);
        }
        let wanted: Vec<(usize, IpAddr)> = rows
            .iter()
            .enumerate()
            .filter_map(|(at, row)| match row {
                Named::At(ip) => ip.addr().map(|address| (at, address)),
                Named::Clock(_) => None,
            })
            .collect();
        if wanted.is_empty() {
            return Ok(names);
        }
        let deadline = *self.reverse_deadline.get_or_insert_with(|| deadline_in(REVERSE_TIMEOUT));
        let addresses: Vec<IpAddr> = wanted.iter().map(|(_, address)| *address).collect();
        match names_of(&addresses, deadline) {
            Ok(Looked::Done(found)) => {
                for ((at, _), result) in wanted.into_iter().zip(found) {
                    if let Some(slot) = names.get_mut(at) {
                        *slot = result.ok();
                    }
                }
            }
            Ok(Looked::Signal) => return Err(Problem::Interrupted),
            // no descriptors left: addresses are shown
            Err(_) => {}
        }
        Ok(names)
    }
}

/// A configured name, when it is there and all of it prints.
pub(super) fn source_name(name: &cmdmon::Name) -> Option<String> {
    let bytes = name.as_bytes()?;
    let graphic = bytes.iter().all(u8::is_ascii_graphic);
    graphic.then(|| bytes.iter().map(|&b| char::from(b)).collect())
}

/// What stands where a configured name is missing.
fn unnamed(row: Named) -> String {
    match row {
        Named::Clock(id) => values::refid_text(id),
        Named::At(_) => "?".to_owned(),
    }
}

fn numeric_name(row: Named) -> String {
    match row {
        Named::Clock(id) => values::refid_text(id),
        Named::At(ip) => ip.to_string(),
    }
}

/// The first address of a name or literal.
fn first_address(name: &str, family: Option<Family>) -> Option<IpAddr> {
    if let Some(address) = numeric(name, 0) {
        return Some(address.ip()).filter(|ip| family.is_none_or(|f| f == Family::of(*ip)));
    }
    match addresses_of(&[name.to_owned()], family, 0, deadline_in(FORWARD_TIMEOUT)).ok()? {
        Looked::Done(found) => found.into_iter().next()?.ok()?.first().map(std::net::SocketAddr::ip),
        Looked::Signal => None,
    }
}

/// Prints the JSON object of a failure.
pub(super) fn print_failure(
    io: &mut Io,
    mode: JsonMode,
    schema: &str,
    messages: &[Message],
    report: &ErrorReport,
) {
    let answer = Answer::<ChronyDone> { schema, data: None, messages, error: Some(report) };
    print_json(io, mode, clock::now(), Outcome::FAILURE, &answer);
}

/// Whether a signal was caught: leave at once.
pub(super) fn interrupted() -> bool {
    signal::pending().is_some()
}
