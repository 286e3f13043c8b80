//! `timedatectl` (systemd 257), without systemd and without its bus.
//!
//! Facts come from the kernel (`adjtimex`), /etc/localtime, /etc/adjtime, the RTC and systemctl, init scripts or a pid file;
//! nothing is ever started by asking. What is set is set directly, in the order of the original's checks.
//!
//! | option | |
//! |---|---|
//! | `-h` `--version` `--adjust-system-clock` `--monitor` `-p` `-a` `--value` `-P` `--no-pager` | kept |
//! | `--no-ask-password` | accepted: there is nobody to ask |
//! | `-M` | `.host` and `USER@.host`; others refused |
//! | `-H` | refused: `ssh HOST timedatectl` does it |
//!
//! Deviations: works where there is no bus; a link is read at every call (the original caches it for 30 s); an RTC that is
//! busy is `n/a` as there; `set-ntp` says on stderr what it switched.
//! `NTPBOX_COMPAT=rhel7`: the layout of systemd 208 (`rhel7,systemd219`: its label `Time zone`).

mod args;
mod facts;
mod messages;
mod render;
mod set;
mod span;
mod time_spec;
mod timesync;

use std::io::Write;
use std::process::{Command, Stdio};

use serde::Serialize;

use self::args::{Options, Typed, Verb};
use self::messages::{Colours, Messages, Severity, colours};
use self::render::{Selection, Style, ZoneLabel};
use self::set::{Done, Failure, Follows};
use super::compat::{Compat, Era};
use super::io::Io;
use super::output::{Answer, print_json};
use super::{Applet, Invocation, Kind, Outcome, VERSION};
use crate::report::{
    ErrorReport, Level, Message, ReportSchema, Timedate, TimedateChange, Timesync, TimezoneList,
};
use crate::sys::host::{Host, RealHost};
use crate::sys::locale::Locale;
use crate::sys::{Errno, SysError, zoneinfo};

/// `status` and `show`.
pub const STATUS: ReportSchema = ReportSchema::of::<Timedate>("ntpbox/timedatectl.status/1");
/// The verbs that change something.
pub const SET: ReportSchema = ReportSchema::of::<TimedateChange>("ntpbox/timedatectl.set/1");
/// `list-timezones`.
pub const TIMEZONES: ReportSchema = ReportSchema::of::<TimezoneList>("ntpbox/timedatectl.list-timezones/1");
/// `timesync-status` and `show-timesync`.
pub const TIMESYNC: ReportSchema = ReportSchema::of::<Timesync>("ntpbox/timedatectl.timesync/1");

/// The row of the applet table.
pub const APPLET: Applet = Applet {
    names: &["timedatectl"],
    kind: Kind::Legacy,
    section: 1,
    command: args::command,
    about: include_str!("about.md"),
    run: |invocation, io| run(invocation, io, &mut RealHost::new()),
};

/// Seconds between two looks of `timesync-status --monitor`.
const MONITOR_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// A run on some host.
struct Session<'a> {
    invocation: &'a Invocation,
    io: &'a mut Io,
    host: &'a mut dyn Host,
    messages: Messages,
    compat: Compat,
}

fn run(invocation: &Invocation, io: &mut Io, host: &mut dyn Host) -> Outcome {
    let messages = Messages::new(io);
    let compat = Compat::from_env(&io.env);
    let mut session = Session { invocation, io, host, messages, compat };
    match args::parse(&invocation.args) {
        Typed::Help => session.help(),
        Typed::Version => session.version(),
        Typed::Wrong(text) => {
            writeln!(session.io.err, "{}: {text}", invocation.program);
            session.json_failure(STATUS, "usage", &text, None)
        }
        Typed::Run(options, words) => session.verb(&options, &words),
    }
}

impl Session<'_> {
    fn verb(&mut self, options: &Options, words: &[String]) -> Outcome {
        if let Err(refusal) = reachable(options) {
            return self.fail(STATUS, &refusal);
        }
        let verb = match args::verb(words) {
            Ok(verb) => verb,
            Err(line) => return self.fail(STATUS, &Failure { code: "usage", line }),
        };
        let word = words.get(1).map(String::as_str).unwrap_or_default();
        match verb {
            Verb::Help => self.help(),
            Verb::Status => self.status(None),
            Verb::Show => self.status(Some(&selection(options))),
            Verb::ListTimezones => self.list(options),
            Verb::SetTime => {
                let done = set::time(self.host, &self.io.env, word);
                self.report_change(done)
            }
            Verb::SetTimezone => {
                let done = set::timezone(self.host, word);
                self.report_change(done)
            }
            Verb::SetLocalRtc => self.set_local_rtc(options, word),
            Verb::SetNtp => self.set_ntp(word),
            Verb::TimesyncStatus => self.timesync(options, None),
            Verb::ShowTimesync => self.timesync(options, Some(&selection(options))),
            Verb::NtpServers => self.link_servers("ntp-servers", word, words.get(2..)),
            Verb::Revert => self.link_servers("revert", word, None),
        }
    }

    fn help(&mut self) -> Outcome {
        let bold = colours(&self.io.env, self.io.out_is_tty) != Colours::Off;
        write!(self.io.out, "{}", args::help(bold));
        Outcome::SUCCESS
    }

    fn version(&mut self) -> Outcome {
        let level = if self.compat.era == Era::Modern { 257 } else { 219 };
        writeln!(self.io.out, "systemd {level} (ntpbox {VERSION})");
        // what systemd's features mean to this tool: nothing is asked of any of them
        writeln!(self.io.out, "-PAM -AUDIT -SELINUX -POLKIT -DBUS");
        Outcome::SUCCESS
    }

    fn style(&self) -> Style {
        Style {
            locale: Locale::from_env(&self.io.env),
            colour: colours(&self.io.env, self.io.out_is_tty) != Colours::Off,
            columns: if self.io.out_is_tty { self.host.terminal_columns() } else { None },
        }
    }

    /// `status`, or `show` with its selection.
    fn status(&mut self, show: Option<&Selection>) -> Outcome {
        let report = match facts::gather(self.host, &self.io.env) {
            Ok(report) => report,
            Err(error) => {
                let line = match show {
                    Some(_) => format!("Failed to parse bus message: {}", error.reason()),
                    None => format!("Failed to query server: {}", bus_reason(&error)),
                };
                return self.fail(STATUS, &Failure { code: "rtc-unreadable", line });
            }
        };
        if self.invocation.json.is_some() {
            return self.json(STATUS, &report, &[]);
        }
        let text = match (show, self.compat.era) {
            (Some(selection), _) => Ok(render::show(&report, selection)),
            (None, Era::Modern) => render::status(&report, &self.style()),
            (None, _) => {
                let label = match self.compat.has("systemd219") {
                    true => ZoneLabel::TwoWords,
                    false => ZoneLabel::OneWord,
                };
                if self.io.env.contains_key("TZ") {
                    let text =
                        "Warning: Ignoring the TZ variable. Reading the system's time zone setting only.\n";
                    self.messages.say(&mut self.io.err, Severity::Warning, text);
                }
                Ok(render::status_rhel7(&report, &self.style(), label))
            }
        };
        match text {
            Ok(text) => write!(self.io.out, "{text}"),
            Err(render::NotUtf8) => {
                let line = "Failed to print table: Invalid argument".into();
                return self.fail(STATUS, &Failure { code: "not-utf8", line });
            }
        }
        if show.is_none() && report.rtc.local && self.compat.era == Era::Modern {
            self.io.out.flush();
            self.messages.say(&mut self.io.err, Severity::Warning, render::LOCAL_RTC);
        }
        Outcome::SUCCESS
    }

    fn list(&mut self, options: &Options) -> Outcome {
        let list = set::timezones(self.host.root());
        if self.invocation.json.is_some() {
            return self.json(TIMEZONES, &list, &[]);
        }
        let text: String = list.timezones.iter().map(|name| format!("{name}\n")).collect();
        let paged = !options.no_pager && self.io.out_is_tty && page(&self.io.env, &text);
        if !paged {
            write!(self.io.out, "{text}");
        }
        Outcome::SUCCESS
    }

    fn set_local_rtc(&mut self, options: &Options, word: &str) -> Outcome {
        let Some(local) = args::boolean(word) else {
            let line = format!("Failed to parse local RTC setting '{word}': Invalid argument");
            return self.fail(SET, &Failure { code: "bad-boolean", line });
        };
        if local {
            self.messages.say(&mut self.io.err, Severity::Warning, render::SETTING_LOCAL_RTC);
        }
        let follows = if options.adjust_system_clock { Follows::SystemClock } else { Follows::Rtc };
        let done = set::local_rtc(self.host, local, follows);
        self.report_change(done)
    }

    fn set_ntp(&mut self, word: &str) -> Outcome {
        let Some(on) = args::boolean(word) else {
            let line = format!("Failed to parse NTP setting '{word}': Invalid argument");
            return self.fail(SET, &Failure { code: "bad-boolean", line });
        };
        let done = set::ntp(self.host, &self.io.env, on);
        self.report_change(done)
    }

    /// Says what was done: nothing but remarks, as the original, or the report.
    fn report_change(&mut self, done: Done) -> Outcome {
        match done {
            Ok((change, notes)) => {
                for note in &notes {
                    self.messages.say(&mut self.io.err, Severity::Info, &format!("timedatectl: {note}"));
                }
                if self.invocation.json.is_some() {
                    return self.json(SET, &change, &notes);
                }
                Outcome::SUCCESS
            }
            Err(failure) => self.fail(SET, &failure),
        }
    }

    /// `timesync-status`, or `show-timesync` with its selection.
    fn timesync(&mut self, options: &Options, show: Option<&Selection>) -> Outcome {
        loop {
            let report = match timesync::ask(self.host) {
                Ok(report) => report,
                Err(none) => {
                    let line = match show {
                        Some(_) => format!("Failed to parse bus message: {}", none.errno.desc()),
                        None => format!("Failed to query server: {}", none.text),
                    };
                    return self.fail(TIMESYNC, &Failure { code: "timesyncd-unreachable", line });
                }
            };
            if self.invocation.json.is_some() {
                self.json(TIMESYNC, &report, &[]);
            } else if let Some(selection) = show {
                let caller = zoneinfo::callers(self.host.root(), self.io.env.get("TZ").map(String::as_str));
                write!(self.io.out, "{}", timesync::show(&report, selection, &caller));
            } else {
                let clear = options.monitor && self.io.out_is_tty && !messages::is_dumb(&self.io.env);
                let rendered = timesync::status(&report, &self.style());
                write!(self.io.out, "{}{}", if clear { "\x1b[H\x1b[2J" } else { "" }, rendered.table);
                if rendered.invalid {
                    self.messages.say(&mut self.io.err, Severity::Error, "Invalid NTP response");
                }
            }
            if show.is_some() || !options.monitor {
                return Outcome::SUCCESS;
            }
            self.io.out.flush();
            let before = report;
            loop {
                self.host.pause(MONITOR_EVERY);
                if self.io.out.is_broken() {
                    return Outcome::SUCCESS;
                }
                match timesync::ask(self.host) {
                    Ok(now)
                        if now.message == before.message && now.server_address == before.server_address => {}
                    _ => break,
                }
            }
        }
    }

    fn link_servers(&mut self, verb: &'static str, interface: &str, servers: Option<&[String]>) -> Outcome {
        match timesync::link_servers(self.host, interface, servers) {
            Ok(()) => {
                let value = servers.map(|servers| servers.join(" ")).unwrap_or_default();
                self.report_change(Ok((TimedateChange { verb, changed: true, value, ntp: None }, Vec::new())))
            }
            Err(line) => self.fail(SET, &Failure { code: "networkd-failed", line }),
        }
    }

    fn json<T: Serialize>(&mut self, schema: ReportSchema, report: &T, notes: &[String]) -> Outcome {
        let note = |text: &String| Message { level: Level::Note, code: "remark", text: text.clone() };
        let messages: Vec<_> = notes.iter().map(note).collect();
        let answer = Answer { schema: schema.name, data: Some(report), messages: &messages, error: None };
        if let Some(mode) = self.invocation.json {
            print_json(self.io, mode, self.host.now(), Outcome::SUCCESS, &answer);
        }
        Outcome::SUCCESS
    }

    fn fail(&mut self, schema: ReportSchema, failure: &Failure) -> Outcome {
        self.messages.say(&mut self.io.err, Severity::Error, &failure.line);
        self.json_failure(schema, failure.code, &failure.line, Some(&failure.line))
    }

    fn json_failure(
        &mut self,
        schema: ReportSchema,
        code: &'static str,
        text: &str,
        legacy: Option<&str>,
    ) -> Outcome {
        let hint = match code {
            "usage" => Some("timedatectl --help"),
            "unknown-timezone" => Some("timedatectl list-timezones"),
            "ntp-active" => Some("timedatectl set-ntp 0"),
            "ntp-not-supported" => Some(
                "no unit of systemd/ntp-units.d, no init script and no configured chronyd of a time service was found",
            ),
            "not-permitted" => Some("run it as root"),
            _ => None,
        };
        let error = ErrorReport {
            code,
            text: text.to_owned(),
            legacy: legacy.map(ToOwned::to_owned),
            hint: hint.map(ToOwned::to_owned),
        };
        let answer: Answer<'_, Timedate> =
            Answer { schema: schema.name, data: None, messages: &[], error: Some(&error) };
        if let Some(mode) = self.invocation.json {
            print_json(self.io, mode, self.host.now(), Outcome::FAILURE, &answer);
        }
        Outcome::FAILURE
    }
}

fn selection(options: &Options) -> Selection {
    Selection { properties: options.properties.clone(), all: options.all, value_only: options.value_only }
}

/// Other hosts are refused: there is no bus to go through.
fn reachable(options: &Options) -> Result<(), Failure> {
    let refused = |line: String| Err(Failure { code: "not-supported", line });
    if let Some(host) = &options.host {
        return refused(format!(
            "Failed to query server: -H is not supported here, run: ssh {host} timedatectl"
        ));
    }
    match options.machine.as_deref() {
        None => Ok(()),
        Some(machine) if machine == ".host" || machine.ends_with("@.host") => Ok(()),
        Some("") => {
            refused("Failed to connect to system scope bus via machine transport: Invalid argument".into())
        }
        Some(machine) => refused(format!(
            "Failed to connect to system scope bus via machine transport: -M is not supported here, run: machinectl shell {machine} /usr/bin/timedatectl"
        )),
    }
}

/// What the bus calls an error of the original's service.
fn bus_reason(error: &SysError) -> &'static str {
    match error.errno {
        Errno::EACCES | Errno::EPERM => "Access denied",
        _ => error.reason(),
    }
}

/// Shows a text through the pager of the environment; false when there is none.
fn page(env: &std::collections::BTreeMap<String, String>, text: &str) -> bool {
    if messages::is_dumb(env) {
        return false;
    }
    let chosen = ["SYSTEMD_PAGER", "PAGER"].into_iter().find_map(|name| env.get(name)).map(String::as_str);
    let pager = match chosen {
        Some("" | "cat") => return false,
        Some(other) => other,
        None => "less",
    };
    let options = env.get("SYSTEMD_LESS").map_or("FRSXMK", String::as_str);
    let child =
        Command::new("/bin/sh").arg("-c").arg(pager).env("LESS", options).stdin(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return false };
    if let Some(mut input) = child.stdin.take() {
        // a pager that was left early has seen enough
        let _ = input.write_all(text.as_bytes());
    }
    // 127: no such program
    child.wait().is_ok_and(|status| status.code() != Some(127))
}

#[cfg(test)]
mod tests;
