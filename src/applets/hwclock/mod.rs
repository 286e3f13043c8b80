//! `hwclock` (and `clock`): reads and sets the hardware clock, as util-linux 2.41 does.
//!
//! | options | |
//! |---|---|
//! | `-r -s -w -a --get --set --systz --predict`, `--param-*`, `--vl-*` | kept |
//! | `-u -l -f --directisa --date --delay --update-drift --noadjfile --adjfile --test -v` | kept |
//! | `-D`, `-d MASK` | kept: a remark, no more |
//! | `--getepoch --setepoch --epoch` | refused, as everywhere but on Alpha |
//! | `--json` | ours |
//!
//! Deviations: a busy device's holder is named; `/etc/adjtime` is replaced as a whole where that is possible; numbers of a damaged adjtime
//! file are 0 instead of uninitialised; dates before 1970 are refused instead of wrapped; no audit records.

mod args;
mod date;
mod functions;
mod host;
mod params;
mod render;
mod session;
mod talk;
#[cfg(test)]
mod tests;

use std::ffi::OsString;

use self::args::{Parsed, UsageError};
use self::host::{Host, RealHost};
use self::session::Session;
use self::talk::{Failed, Talk};
use super::compat::Compat;
use super::io::Io;
use super::output::{Answer, JsonMode, print_json};
use super::{Applet, Invocation, Kind, Outcome, VERSION};
use crate::engine::rtc::RtcInstant;
use crate::report::{ErrorReport, HwclockReport, NoData, ReportSchema, RtcParameterReport, RtcVoltageReport};

/// What the functions report.
pub const SCHEMA: ReportSchema = ReportSchema::of::<HwclockReport>("ntpbox/hwclock/1");
/// What `--param-get` and `--param-set` report.
pub const PARAMETER_SCHEMA: ReportSchema =
    ReportSchema::of::<RtcParameterReport>("ntpbox/hwclock.parameter/1");
/// What `--vl-read` and `--vl-clear` report.
pub const VOLTAGE_SCHEMA: ReportSchema = ReportSchema::of::<RtcVoltageReport>("ntpbox/hwclock.voltage/1");

/// The row of the applet table.
pub const APPLET: Applet = Applet {
    names: &["hwclock", "clock"],
    kind: Kind::Legacy,
    section: 8,
    command: args::command,
    about: include_str!("about.md"),
    run,
};

/// The level that is matched; scripts read "NAME from TEXT".
const LEVEL: &str = "util-linux 2.41";

fn run(invocation: &Invocation, io: &mut Io) -> Outcome {
    run_on(&mut RealHost::default(), &invocation.program, &invocation.args, invocation.json, io)
}

/// The applet on any host.
fn run_on(
    host: &mut dyn Host,
    program: &str,
    words: &[OsString],
    json: Option<JsonMode>,
    io: &mut Io,
) -> Outcome {
    let started = host.now();
    if io.out_is_tty {
        io.out.set_line_buffered();
    }
    let name = program.rsplit('/').next().unwrap_or_default().to_owned();
    let request = match args::parse(words) {
        Parsed::Run(request) => request,
        Parsed::Help => {
            write!(io.out, "{}", args::help(&name));
            return Outcome::SUCCESS;
        }
        Parsed::Version => {
            writeln!(io.out, "{}", version_line(&name));
            return Outcome::SUCCESS;
        }
        Parsed::Fail(error) => return usage_error(&error, program, &name, json, started, io),
    };
    if let Some(mask) = request.debug_mask {
        let pid = std::process::id();
        writeln!(io.err, "{pid}: {name}:     INIT: hwclock debug mask: 0x{mask:04x}");
        writeln!(io.err, "{pid}: {name}:     INIT: hwclock version: {LEVEL} (ntpbox {VERSION})");
    }
    let compat = Compat::from_env(&io.env);
    let talk =
        Talk { io, name, verbose: request.verbose, json: json.is_some(), messages: Vec::new(), error: None };
    Session::new(&request, host, talk, started).run(&compat, json)
}

fn version_line(name: &str) -> String {
    format!("{name} from {LEVEL} (ntpbox {VERSION})")
}

fn usage_error(
    error: &UsageError,
    program: &str,
    name: &str,
    json: Option<JsonMode>,
    now: RtcInstant,
    io: &mut Io,
) -> Outcome {
    let prefix = if error.by_getopt { program } else { name };
    writeln!(io.err, "{prefix}: {}", error.text);
    let mut report = ErrorReport::legacy("usage", error.text.as_str());
    if error.try_help {
        writeln!(io.err, "Try '{name} --help' for more information.");
        report = report.with_hint(format!("{name} --help"));
    }
    if let Some(mode) = json {
        let answer =
            Answer::<NoData> { schema: SCHEMA.name, data: None, messages: &[], error: Some(&report) };
        print_json(io, mode, now.to_timestamp(), Outcome::FAILURE, &answer);
    }
    Outcome::FAILURE
}

impl Session<'_> {
    /// Everything after the command line was understood.
    fn run(mut self, compat: &Compat, json: Option<JsonMode>) -> Outcome {
        let request = self.request;
        for remark in &request.remarks {
            self.talk.warn("deprecated", remark);
        }
        let target = match self.target_date() {
            Ok(target) => target,
            Err(failed) => return self.end(Err(failed), json),
        };
        if request.param_get.is_some() || request.param_set.is_some() {
            return self.parameter(json);
        }
        if request.vl_read || request.vl_clear {
            return self.voltage(json);
        }
        let version = version_line(&self.talk.name);
        self.talk.detail(version);
        self.talk.detail(format_args!("System Time: {}", render::seconds(self.started)));
        let ready = if request.function.leaves_rtc_alone() { Ok(()) } else { self.find_rtc() };
        if let Err(failed) = ready.and_then(|()| self.read_adjtime()) {
            return self.end(Err(failed), json);
        }
        let result = self.perform(target.as_ref(), compat.era);
        if request.test {
            self.talk.detail("Test mode: nothing was changed.");
        }
        self.end(result, json)
    }

    fn target_date(&mut self) -> Result<Option<date::TargetDate>, Failed> {
        if !functions::needs_date(self.request) {
            return Ok(None);
        }
        let text = self.request.date.as_deref().unwrap_or_default();
        match date::parse(text, self.started) {
            Some(target) => Ok(Some(target)),
            None => Err(self.talk.fail("invalid-date", format_args!("invalid date '{text}'"))),
        }
    }

    /// Prints the report of a function.
    fn end(self, result: Result<(), Failed>, json: Option<JsonMode>) -> Outcome {
        let Self { talk, report, .. } = self;
        finish(talk, SCHEMA.name, &report, result, json)
    }
}

/// Prints a report as JSON if that was asked for, and turns the result into the exit code.
fn finish<T: serde::Serialize>(
    talk: Talk<'_>,
    schema: &str,
    report: &T,
    result: Result<(), Failed>,
    json: Option<JsonMode>,
) -> Outcome {
    let outcome = if result.is_ok() { Outcome::SUCCESS } else { Outcome::FAILURE };
    if let Some(mode) = json {
        let unknown = ErrorReport::new("failed", "failed");
        let error = result.is_err().then(|| talk.error.as_ref().unwrap_or(&unknown));
        let answer = Answer { schema, data: Some(report), messages: &talk.messages, error };
        print_json(talk.io, mode, crate::sys::clock::now(), outcome, &answer);
    }
    outcome
}
