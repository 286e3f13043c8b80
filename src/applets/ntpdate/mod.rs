//! `ntpdate` 4.2.6p5 (RHEL6/7), byte for byte, on the sans-IO one-shot client; the order of work is ntp-legacy 1.2.
//!
//! | option | |
//! |---|---|
//! | `-4 -6 -a -b -B -d -e -k -o -p -q -s -t -u -U -v` | kept |
//! | `-h --help --version --json --interval --port` | ours |
//!
//! Deviations, all of decisions.md: options may follow hosts; the first packet goes at once and servers run in parallel;
//! without `-p` no more samples than help; the time-out is 1 s; port 123 is never shared; no overshoot when slewing; what
//! is not permitted exits 1.

mod args;
mod log;
mod render;
mod report;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use self::args::{Args, Family, Parsed, Task};
use self::log::Log;
use super::compat::{Compat, Era};
use super::io::Io;
use super::output::{Answer, print_json};
use super::{Applet, Invocation, Kind, Outcome, RELEASED, VERSION};
use crate::auth::{Dialect, KeyRing, unreadable};
use crate::config::sysconfig;
use crate::driver::oneshot::{Ended, Observer, Sockets, run as drive};
use crate::driver::rtc::RtcWriter;
use crate::engine::oneshot::{Correction, End, OneShot, Options, Trace};
use crate::report::ntpdate::Ntpdate;
use crate::report::{ErrorReport, Level, Message, ReportSchema};
use crate::sys::clock::ClockControl;
use crate::sys::dns::{self, FORWARD_TIMEOUT, Looked, REVERSE_TIMEOUT, deadline_in};
use crate::sys::last_run::LastRun;
use crate::sys::wait::{Woken, wait};
use crate::sys::{SysError, clock, file, net, ports, process, signal, user, zone};
use crate::types::{KeyId, TimeDelta, Version};
use crate::wire::ntp::Kiss;

/// The report of this applet.
pub const SCHEMA: ReportSchema = ReportSchema::of::<Ntpdate>("ntpbox/ntpdate/1");

/// The row of the applet table.
pub const APPLET: Applet = Applet {
    names: &["ntpdate"],
    kind: Kind::Legacy,
    section: 8,
    command: args::command,
    about: include_str!("about.md"),
    run,
};

/// The original raises its priority by this much.
const NICE: i32 = -12;
/// ntpd 4.2.8 with `limited` counts whole seconds: asked again sooner than this, it may answer RATE.
const RUN_DISTANCE: TimeDelta = TimeDelta::from_millis(1000);
/// Holds when the clock was last to be set from here.
const LAST_RUN: &str = "/run/ntpbox-ntpdate.last";
/// More than this is no key file.
const KEY_FILE_LIMIT: usize = 1 << 20;
/// More than this is no sysconfig file.
const SYSCONFIG_LIMIT: usize = 64 * 1024;
/// Where `SYNC_HWCLOCK` is looked for: the first file that sets it decides.
const SYSCONFIG: [&str; 2] = ["/etc/sysconfig/ntpdate", "/etc/sysconfig/ntpd"];
/// A run that takes longer than this shows its progress on a terminal.
const QUIET_TIME: TimeDelta = TimeDelta::from_millis(1_500);

/// Exit codes: 0 done, 1 failed, 2 wrong usage (ntp-legacy 1.11).
const USAGE: Outcome = Outcome::Code(2);

/// Why a run ends early.
enum Stop {
    /// An error; its line is printed already.
    Failed(ErrorReport),
    /// A signal, before the clock was touched.
    Signal(Signal),
}

impl Stop {
    fn errno(code: &'static str, line: String) -> Self {
        Self::Failed(ErrorReport::legacy(code, line))
    }
}

fn run(invocation: &Invocation, io: &mut Io) -> Outcome {
    let args = match args::parse(&invocation.program, &invocation.args) {
        Parsed::Run(args) => args,
        Parsed::Help => {
            write!(io.out, "{}", args::command().render_long_help());
            return Outcome::SUCCESS;
        }
        Parsed::Version => {
            writeln!(io.out, "{}", render::version(VERSION, RELEASED));
            return Outcome::SUCCESS;
        }
        Parsed::Usage(lines) => {
            let text = format!("{}\n{}\n", lines.join("\n"), args::usage(&invocation.program));
            write!(io.err, "{text}");
            if let Some(mode) = invocation.json {
                let text = lines.first().cloned().unwrap_or_default();
                let error = ErrorReport::legacy("usage", text);
                let answer =
                    Answer::<Ntpdate> { schema: SCHEMA.name, data: None, messages: &[], error: Some(&error) };
                print_json(io, mode, clock::now(), USAGE, &answer);
            }
            return USAGE;
        }
    };
    let compat = Compat::from_env(&io.env);
    // a signal that cannot be caught kills as ever
    let _ = signal::catch(&[Signal::SIGINT, Signal::SIGTERM]);
    let mut session = Session {
        args: &args,
        log: Log::new(io, &invocation.program, invocation.json.is_some()),
        messages: Vec::new(),
        permission_refused: false,
    };
    let result = session.run();
    let refused = session.permission_refused;
    let Session { mut log, messages, .. } = session;
    let (outcome, data, error) = match result {
        Ok(report) => (Outcome::SUCCESS, Some(report), None),
        Err(Stop::Failed(error)) => {
            let forgiven = refused && compat.era != Era::Modern;
            (if forgiven { Outcome::SUCCESS } else { Outcome::FAILURE }, None, Some(error))
        }
        Err(Stop::Signal(signal)) => {
            let text = "interrupted, clock not changed";
            log.raw(&format!("ntpdate: {text}\n"));
            (Outcome::Signal(signal as i32), None, Some(ErrorReport::new("interrupted", text)))
        }
    };
    if let Some(mode) = invocation.json {
        let answer =
            Answer { schema: SCHEMA.name, data: data.as_ref(), messages: &messages, error: error.as_ref() };
        print_json(log.io(), mode, clock::now(), outcome, &answer);
    }
    outcome
}

/// One run: its options, where its lines go, what JSON will say beside the report.
struct Session<'a> {
    args: &'a Args,
    log: Log<'a>,
    messages: Vec<Message>,
    permission_refused: bool,
}

/// A server that will be asked: its address and the word it came from.
struct Target {
    address: SocketAddr,
    name: String,
}

impl Session<'_> {
    fn run(&mut self) -> Result<Ntpdate, Stop> {
        let args = self.args;
        if args.debug > 0 {
            self.log.set_debug();
        }
        if args.syslog {
            self.log.open_syslog();
        }
        if args.debug > 0 || args.verbose {
            self.log.notice(&render::version(VERSION, RELEASED));
        }
        let targets = self.targets()?;
        if targets.is_empty() {
            return Err(self.fail("no-servers", "no servers can be used, exiting".to_owned()));
        }
        let authentication = self.keys()?;
        let sockets = self.sockets(&targets)?;
        let clocks = match args.task {
            Task::Observe => None,
            Task::Adjust(_) => {
                Some(Clocks { control: ClockControl::acquire(), hardware: self.hardware_clock() })
            }
        };
        let last_run = self.keep_distance(&targets)?;
        self.drop_privileges()?;
        process::set_nice(NICE);
        let options = Options {
            samples: args.samples,
            interval: args.interval,
            timeout: args.timeout,
            version: Version::from_bits(args.version),
            authentication,
            signing_delay: args.signing_delay,
        };
        let addresses: Vec<SocketAddr> = targets.iter().map(|target| target.address).collect();
        let mut oneshot = OneShot::new(options, &addresses, RELEASED);
        let mut watcher = Watcher { log: &mut self.log, debug: args.debug, shown: false };
        let ended = drive(&mut oneshot, &sockets, &mut watcher);
        watcher.clear();
        if let Some(last_run) = last_run {
            last_run.done();
        }
        match ended {
            Ok(Ended::Complete) => {}
            Ok(Ended::Signal(signal)) => return Err(Stop::Signal(signal)),
            Err(error) => return Err(self.fail("poll", format!("poll() error: {}", error.reason()))),
        }
        self.judge(&oneshot, &targets, clocks)
    }

    /// Prints the error line and makes it the end of the run.
    fn fail(&mut self, code: &'static str, line: String) -> Stop {
        self.log.error(&line);
        Stop::errno(code, line)
    }

    /// Every distinct address of the server words that has a route, in their order (ntp-legacy 1.3).
    fn targets(&mut self) -> Result<Vec<Target>, Stop> {
        let args = self.args;
        let family = match args.family {
            Family::Any => None,
            Family::V4 => Some(net::Family::V4),
            Family::V6 => Some(net::Family::V6),
        };
        let looked = dns::addresses_of(&args.servers, family, args.port, deadline_in(FORWARD_TIMEOUT));
        let answers = match looked {
            Ok(Looked::Done(answers)) => answers,
            Ok(Looked::Signal) => {
                return Err(Stop::Signal(signal::take().unwrap_or(Signal::SIGTERM)));
            }
            Err(error) => {
                return Err(self.fail("resolver", format!("getaddrinfo() failed: {}", error.reason())));
            }
        };
        let mut targets: Vec<Target> = Vec::new();
        for (name, answer) in args.servers.iter().zip(answers) {
            if args.debug > 0 {
                self.log.out(&format!("Looking for host {name} and service ntp\n"));
            }
            let addresses = match answer {
                Ok(addresses) => addresses,
                Err(error) => {
                    let why = format!("{} ({})", error.text(), error.code);
                    if error.is_server_failure() {
                        self.log.raw(&format!("Exiting, name server cannot be used: {why}"));
                        return Err(
                            self.fail("name-server-failure", format!("name server cannot be used: {why}"))
                        );
                    }
                    self.log.raw(&format!("Error resolving {name}: {why}\n"));
                    let line = format!("Can't find host {name}: {why}");
                    self.log.error(&line);
                    self.messages.push(Message { level: Level::Error, code: "unknown-host", text: line });
                    continue;
                }
            };
            if args.debug > 0 {
                self.show_names(&addresses);
            }
            for address in addresses {
                if !net::has_route(address) {
                    let text = format!("{name}: no route to {}", address.ip());
                    self.log.advice(&text);
                    self.messages.push(Message { level: Level::Warning, code: "no-route", text });
                } else if targets.iter().all(|target| target.address != address) {
                    targets.push(Target { address, name: name.clone() });
                }
            }
        }
        Ok(targets)
    }

    /// The `host found` lines of `-d`: the names of the addresses, or the addresses.
    fn show_names(&mut self, addresses: &[SocketAddr]) {
        let ips: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
        let names = match dns::names_of(&ips, deadline_in(REVERSE_TIMEOUT)) {
            Ok(Looked::Done(names)) => names,
            Ok(Looked::Signal) | Err(_) => Vec::new(),
        };
        for (place, ip) in ips.iter().enumerate() {
            let name = match names.get(place) {
                Some(Ok(name)) => name.clone(),
                _ => render::address(*ip),
            };
            self.log.raw(&format!("host found : {name}\n"));
        }
    }

    /// The key ring and the key of `-a`.
    fn keys(&mut self) -> Result<Option<(KeyRing, KeyId)>, Stop> {
        let Some(id) = self.args.key else { return Ok(None) };
        let path = self.args.key_file.to_string_lossy().into_owned();
        let bytes = match file::read_bounded(self.args.key_file.as_ref(), KEY_FILE_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.log.error(&unreadable(Dialect::Ntp, &path, error.reason()));
                return Err(self.fail("no-key-file", format!("no key file <{path}>, exiting")));
            }
        };
        let (ring, diagnostics) = KeyRing::parse(&bytes, Dialect::Ntp);
        for diagnostic in &diagnostics {
            self.log.error(&diagnostic.legacy(&path));
            let text = diagnostic.located(&path);
            self.messages.push(Message { level: Level::Warning, code: "key-file", text });
        }
        if id == 0 {
            return Err(self.fail("unknown-key", "authentication key 0 unknown".to_owned()));
        }
        let key = KeyId::new(id);
        if ring.get(key).is_none() {
            // the original goes on without a MAC and ends in "no server suitable"
            let text = format!(
                "key {id} is not in {path}: requests are not authenticated, no reply will be trusted"
            );
            self.log.advice(&text);
            self.messages.push(Message { level: Level::Warning, code: "unknown-key", text });
        }
        Ok(Some((ring, key)))
    }

    /// Sockets for the servers' families; on port 123 those of both, so that every holder of the port is noticed.
    fn sockets(&mut self, targets: &[Target]) -> Result<Sockets, Stop> {
        let opened = if self.args.unprivileged_port {
            let mut families: Vec<net::Family> = Vec::new();
            for target in targets {
                let family = net::Family::of(target.address.ip());
                if !families.contains(&family) {
                    families.push(family);
                }
            }
            Sockets::open(&families, None)
        } else {
            Sockets::open(&[net::Family::V4, net::Family::V6], Some(self.args.port))
        };
        opened.map_err(|error| self.socket_failure(&error))
    }

    fn socket_failure(&mut self, error: &SysError) -> Stop {
        let why = error.reason();
        match (error.operation, error.errno) {
            ("bind", Errno::EADDRINUSE) => {
                let line = "the NTP socket is in use, exiting".to_owned();
                self.log.error(&line);
                let hint = in_use_hint(self.args.port);
                self.log.advice(&hint);
                Stop::Failed(ErrorReport::legacy("socket-in-use", line).with_hint(hint))
            }
            ("bind", _) => self.fail("bind", format!("bind() fails: {why}")),
            ("setsockopt", _) => {
                self.fail("setsockopt", format!("setsockopt() {} failed: {why}", error.object))
            }
            ("fcntl", _) => self.fail("fcntl", format!("fcntl(FNDELAY|FASYNC) fails: {why}")),
            _ => self.fail("socket", format!("socket() failed: {why}")),
        }
    }

    /// `-U`: from here on only the clock can be set.
    fn drop_privileges(&mut self) -> Result<(), Stop> {
        let Some(name) = &self.args.user else { return Ok(()) };
        let found = match user::find_user(name) {
            Ok(Some(found)) => found,
            Ok(None) => return Err(self.fail("unknown-user", format!("cannot find user {name}"))),
            Err(error) => {
                return Err(self.fail("unknown-user", format!("cannot find user {name}: {}", error.reason())));
            }
        };
        if let Err(error) = user::drop_privileges(&found, &[user::Capability::SysTime]) {
            return Err(self.fail("privileges", format!("cannot drop privileges to {name}: {error}")));
        }
        Ok(())
    }

    /// Two runs in a row that set the clock keep a second between them, so that no rate limiter refuses the second one.
    fn keep_distance(&mut self, targets: &[Target]) -> Result<Option<LastRun>, Stop> {
        let is_far = |target: &Target| !target.address.ip().is_loopback();
        if matches!(self.args.task, Task::Observe) || !targets.iter().any(is_far) {
            return Ok(None);
        }
        let Some(last_run) = LastRun::open(Path::new(LAST_RUN)) else { return Ok(None) };
        let pause = last_run.wait(RUN_DISTANCE);
        if pause > TimeDelta::ZERO
            && let Ok(Woken::Signal) = wait(&[], Some(clock::mono() + pause))
        {
            return Err(Stop::Signal(signal::take().unwrap_or(Signal::SIGTERM)));
        }
        Ok(Some(last_run))
    }

    /// Rows, reasons, blocks, verdict, correction.
    fn judge(
        &mut self,
        oneshot: &OneShot,
        targets: &[Target],
        clocks: Option<Clocks>,
    ) -> Result<Ntpdate, Stop> {
        let args = self.args;
        let verdict = oneshot.verdict();
        self.reasons(oneshot, targets);
        if args.debug > 0 {
            let now = clock::now();
            for server in oneshot.servers() {
                self.log.out(&render::block(server, now, &zone::utc_offset_at));
            }
        } else if args.query {
            for server in oneshot.servers() {
                self.log.out(&format!("{}\n", render::row(server)));
            }
        }
        let Some((winner, best)) = verdict else {
            return Err(
                self.fail("no-server-suitable", "no server suitable for synchronization found".to_owned())
            );
        };
        let correction = args.policy.correction(best.offset);
        let address = targets.get(winner).map_or(IpAddr::from([0, 0, 0, 0]), |target| target.address.ip());
        let applied = clocks.is_some();
        if let Some(clocks) = &clocks {
            if let Some(signal) = signal::pending() {
                return Err(Stop::Signal(signal));
            }
            self.correct(&clocks.control, correction)?;
        }
        self.log.notice(&render::correction(correction, address));
        if let Some(clocks) = clocks {
            self.set_hardware_clock(clocks, correction);
        }
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        Ok(report::of(args, oneshot, &names, Some((winner, best, correction)), applied))
    }

    /// Why servers lost: under `-d` in the original's words, else where a person reads it, and in JSON.
    fn reasons(&mut self, oneshot: &OneShot, targets: &[Target]) {
        for (server, target) in oneshot.servers().iter().zip(targets) {
            if let (Some(reason), true) = (server.rejection(), self.args.debug > 0) {
                self.log.out(&format!("{}: Server dropped: {reason}\n", server.address.ip()));
            }
            let Some(why) = report::rejection(server) else { continue };
            let text = format!("{} ({}): {why}", server.address.ip(), target.name);
            if self.args.verbose && self.args.debug == 0 && !self.log.err_is_tty() {
                self.log.raw(&format!("ntpdate: {text}\n"));
            } else if self.args.debug == 0 {
                self.log.advice(&text);
            }
            self.messages.push(Message { level: Level::Warning, code: "server-rejected", text });
        }
    }

    /// The hardware clock, if /etc/sysconfig wants it set. That it cannot be opened does not stop the run.
    fn hardware_clock(&mut self) -> Option<RtcWriter> {
        let wanted = SYSCONFIG.iter().find_map(|path| {
            let text = file::read_bounded(path.as_ref(), SYSCONFIG_LIMIT).ok()?;
            sysconfig::sync_hwclock(&String::from_utf8_lossy(&text))
        });
        if wanted != Some(true) {
            return None;
        }
        RtcWriter::open().map_err(|error| self.hardware_clock_failed(&error)).ok()
    }

    /// After a step the hardware clock gets the new time; while a slew goes on, the time that it leads to.
    fn set_hardware_clock(&mut self, clocks: Clocks, correction: Correction) {
        let Some(mut hardware) = clocks.hardware else { return };
        let ahead = match correction {
            Correction::Step(_) => TimeDelta::ZERO,
            Correction::Slew(by) => by,
        };
        if let Err(error) = hardware.sync_hwclock(&clocks.control, ahead) {
            self.hardware_clock_failed(&error);
        }
    }

    fn hardware_clock_failed(&mut self, error: &SysError) {
        // the file is written last, after the clock
        let what = if error.object.ends_with("adjtime") { "was set, but" } else { "was not set:" };
        let text = format!("SYNC_HWCLOCK: the hardware clock {what} {error}");
        self.log.error(&text);
        self.messages.push(Message { level: Level::Warning, code: "hardware-clock", text });
    }

    fn correct(&mut self, control: &ClockControl, correction: Correction) -> Result<(), Stop> {
        let (result, what) = match correction {
            Correction::Step(by) => (control.step(by), "step-systime"),
            // less than a microsecond is nothing to adjtime
            Correction::Slew(by) if by.abs() < TimeDelta::from_micros(1) => (Ok(()), ""),
            Correction::Slew(by) => (control.slew(by), "Can't adjust the time of day"),
        };
        result.map_err(|error| {
            self.permission_refused = error.errno == Errno::EPERM;
            let code = if self.permission_refused { "not-permitted" } else { "clock" };
            self.fail(code, format!("{what}: {}", error.reason()))
        })
    }
}

/// What a run that adjusts may change.
struct Clocks {
    control: ClockControl,
    /// The hardware clock, opened before privileges were dropped, when `SYNC_HWCLOCK=yes`.
    hardware: Option<RtcWriter>,
}

/// Who holds the port, and what to do about it.
fn in_use_hint(port: u16) -> String {
    let mut names: Vec<String> = ports::holders(port)
        .into_iter()
        .filter_map(|holder| holder.pid.map(|pid| format!("{} (pid {pid})", holder.command)))
        .collect();
    names.dedup();
    let held = if names.is_empty() { "another process".to_owned() } else { names.join(", ") };
    format!(
        "port {port} is held by {held}; use -u to ask from another port, or let that daemon keep the time"
    )
}

/// Shows a run while it goes on.
struct Watcher<'a, 'b> {
    log: &'a mut Log<'b>,
    debug: u8,
    /// Whether a progress line stands on the terminal.
    shown: bool,
}

impl Watcher<'_, '_> {
    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            self.log.raw("\r\x1b[K");
        }
    }
}

impl Observer for Watcher<'_, '_> {
    fn trace(&mut self, run: &OneShot, trace: Trace) {
        let ip = |index: usize| {
            run.servers().get(index).map_or_else(String::new, |server| render::address(server.address.ip()))
        };
        if let Trace::Kissed(index, Kiss::Rate) = trace
            && run.servers().get(index).is_some_and(|server| server.received == 0)
        {
            self.clear();
            self.log.error(&format!("{} rate limit response from server.", ip(index)));
        }
        if self.debug == 0 {
            return;
        }
        let line = match trace {
            Trace::Transmit(index) => format!("transmit({})\n", ip(index)),
            Trace::Receive(index) => format!("receive({})\n", ip(index)),
            Trace::Length(length) => format!("receive: packet length {length}\n"),
            Trace::ModeStratum(mode, stratum) => {
                format!("receive: mode {} stratum {}\n", mode.to_bits(), stratum.get())
            }
            Trace::ServerNotFound => "receive: server not found\n".to_owned(),
            Trace::OriginDiffers => "receive: pkt.org and peer.xmt differ\n".to_owned(),
            Trace::AuthenticationPassed => "receive: authentication passed\n".to_owned(),
            Trace::AuthenticationFailed => "receive: authentication failed\n".to_owned(),
            Trace::Kissed(..) => return,
        };
        self.log.out(&line);
    }

    fn not_sent(&mut self, run: &OneShot, server: usize, error: &SysError) {
        self.clear();
        let to = run.servers().get(server).map_or_else(String::new, |server| server.address.ip().to_string());
        self.log.error(&format!("sendto({to}): {}", error.reason()));
    }

    fn waiting(&mut self, run: &OneShot, elapsed: TimeDelta) -> Option<TimeDelta> {
        if !self.log.err_is_tty() || self.debug > 0 {
            return None;
        }
        if elapsed < QUIET_TIME {
            return Some(QUIET_TIME - elapsed);
        }
        let servers = run.servers();
        let answered = servers.iter().filter(|server| server.received > 0).count();
        let done = servers.iter().filter(|server| server.end.is_some()).count();
        let secs = elapsed.as_nanos() / 1_000_000_000;
        self.log.raw(&format!(
            "\r\x1b[Kntpdate: {answered} of {} servers have answered, {done} done, {secs} s",
            servers.len()
        ));
        self.shown = true;
        Some(TimeDelta::from_secs(1))
    }
}

/// Whether a server ended for a reason that is worth a word though it has data.
fn ended_by_kiss(end: Option<End>) -> Option<&'static str> {
    match end {
        Some(End::Kissed(Kiss::Rate)) => Some("RATE"),
        Some(End::Kissed(Kiss::Deny)) => Some("DENY"),
        Some(End::Kissed(Kiss::Restrict)) => Some("RSTR"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn the_version_line_has_the_release_date() {
        let line = render::version("0.1.0", RELEASED);
        assert!(line.starts_with("ntpdate 4.2.6p5@ntpbox-0.1.0 "), "{line}");
        assert!(line.ends_with(" UTC 2026 (1)"), "{line}");
    }

    #[test]
    fn key_paths_may_be_any_bytes() {
        let words = ["-k".into(), std::ffi::OsStr::from_bytes(b"/\xff").to_owned(), "h".into()];
        assert!(
            matches!(args::parse("ntpdate", &words), Parsed::Run(args) if args.key_file.as_bytes() == b"/\xff")
        );
    }
}
