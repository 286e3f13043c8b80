//! The RTC during one run: finding it, waiting for its tick, reading and setting it, and the adjtime file.

use std::time::Duration;

use nix::errno::Errno;

use super::args::{AdjtimeFile, Function, Request};
use super::host::{Host, Watched, WriteFailure};
use super::render;
use super::talk::{Failed, Talk};
use crate::engine::rtc::{
    Adjtime, AdjtimeWarning, Drift, RtcFields, RtcInstant, Scale, WriteOrder, WritePoint, WriteStep,
    default_delay, local_to_unix,
};
use crate::report::{AdjtimeReport, DriftReport, HwclockReport, Instant, RtcWriteReport};
use crate::sys::clock::ClockControl;
use crate::sys::errno_text;
use crate::sys::rtc::DEVICES;
use crate::types::{Secs, TimeDelta};

/// How long an update interrupt is waited for.
const TICK_LIMIT: Duration = Duration::from_secs(10);
/// How long a change of the seconds is waited for without interrupt.
const POLL_LIMIT: TimeDelta = TimeDelta::from_millis(1500);
/// Pause between two looks at an RTC without interrupt.
const POLL_PAUSE: TimeDelta = TimeDelta::from_micros(200);

/// A reading of the RTC at its tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// What the RTC showed, s since 1970.
    pub(super) rtc: RtcInstant,
    /// The system clock right after.
    pub(super) at: RtcInstant,
}

/// One run.
pub(super) struct Session<'a> {
    pub(super) request: &'a Request,
    pub(super) host: &'a mut dyn Host,
    pub(super) talk: Talk<'a>,
    pub(super) report: HwclockReport,
    /// The system clock when the program started.
    pub(super) started: RtcInstant,
    /// The device's path as it was opened; empty with ISA ports.
    pub(super) device: String,
    descriptor: i32,
    pub(super) adjtime: Adjtime,
    /// Whether the adjtime file must be written.
    pub(super) dirty: bool,
    pub(super) scale: Scale,
    /// Our daemon holds the RTC, and this is what it knows of it.
    pub(super) watched: Option<Watched>,
    /// The right to change clocks; `None` under `--test` and in functions that only read.
    pub(super) control: Option<ClockControl>,
}

/// Why no device was opened.
pub(super) struct NoDevice {
    /// The device that the search ended at.
    pub(super) path: String,
    pub(super) errno: Errno,
}

/// The report before anything is known.
fn empty_report(request: &Request, started: RtcInstant) -> HwclockReport {
    HwclockReport {
        function: request.function.word(),
        dry_run: request.test,
        device: None,
        driver: None,
        timescale: None,
        system_time: Instant::from(started.to_timestamp()),
        rtc_time: None,
        local_time: None,
        drift_corrected: false,
        offset_s: None,
        drift: None,
        adjustment: None,
        written: None,
        calibration: None,
        adjtime: None,
        kernel: None,
    }
}

/// An instant for JSON; `None` beyond the years that can be written.
pub(super) fn instant(t: RtcInstant) -> Option<Instant> {
    Instant::from_unix(t.secs, t.micros.saturating_mul(1000))
}

impl<'a> Session<'a> {
    pub(super) fn new(
        request: &'a Request,
        host: &'a mut dyn Host,
        talk: Talk<'a>,
        started: RtcInstant,
    ) -> Self {
        let changes = request.function.writes_rtc()
            || matches!(request.function, Function::HcToSys | Function::SysTz)
            || request.param_set.is_some();
        Self {
            report: empty_report(request, started),
            request,
            host,
            talk,
            started,
            device: String::new(),
            descriptor: -1,
            // no file counts as one that says UTC; a file that does not say is another thing
            adjtime: Adjtime { scale: Some(Scale::Utc), ..Adjtime::default() },
            dirty: false,
            scale: Scale::Utc,
            watched: None,
            control: (changes && !request.test).then(ClockControl::acquire),
        }
    }

    /// Opens the device: the one that was named, or the first that is there. Any other error than "not there" ends the search.
    pub(super) fn open_device(&mut self) -> Result<i32, NoDevice> {
        let named = self.request.device.as_deref();
        let candidates: Vec<&str> = named.map_or(DEVICES.to_vec(), |path| vec![path]);
        // a search that finds nothing is named after its first place
        let mut failure = NoDevice {
            path: candidates.first().copied().unwrap_or_default().to_owned(),
            errno: Errno::ENOENT,
        };
        for path in candidates {
            if named.is_none() {
                self.talk.detail(format_args!("Trying to open: {path}"));
            }
            match self.host.open(path) {
                Ok(descriptor) => {
                    path.clone_into(&mut self.device);
                    self.descriptor = descriptor;
                    self.report.device = Some(self.device.clone());
                    return Ok(descriptor);
                }
                Err(error) => {
                    if named.is_some() {
                        failure.errno = error.errno;
                    }
                    if !matches!(error.errno, Errno::ENOENT | Errno::ENODEV) {
                        failure = NoDevice { path: path.to_owned(), errno: error.errno };
                        if named.is_none() && self.talk.verbose {
                            self.talk
                                .warn("rtc-open", format_args!("cannot open {path}: {}", error.reason()));
                        }
                        break;
                    }
                }
            }
        }
        Err(failure)
    }

    /// Gets access to the RTC by whatever way there is.
    pub(super) fn find_rtc(&mut self) -> Result<(), Failed> {
        if self.request.directisa && cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
            self.talk.detail("Using direct ISA access to the clock");
            return Ok(());
        }
        let Err(failure) = self.open_device() else {
            self.talk.detail("Using the rtc interface to the clock.");
            return Ok(());
        };
        if failure.errno == Errno::EBUSY && self.reach_daemon(&failure.path) {
            return Ok(());
        }
        self.talk.detail("No usable clock interface found.");
        let failed = self.talk.fail("no-rtc", "Cannot access the Hardware Clock via any known method.");
        let hint = "Use the --verbose option to see the details of our search for an access method.";
        if !self.talk.verbose {
            let name = &self.talk.name;
            writeln!(self.talk.io.err, "{name}: {hint}");
        }
        self.say_why_no_device(&failure);
        Err(failed)
    }

    /// Our own daemon holds the RTC: what it does not need to give up is done through it.
    fn reach_daemon(&mut self, path: &str) -> bool {
        let possible = matches!(self.request.function, Function::Show | Function::Get | Function::SysToHc);
        if !possible || self.request.learn || !self.host.is_ours(path) {
            return false;
        }
        self.watched = self.host.ask_daemon().filter(|watched| watched.known.reference != 0);
        if self.watched.is_some() {
            self.talk.detail(format_args!("Using our chronyd, which holds {path}."));
            self.report.device = Some(path.to_owned());
        }
        self.watched.is_some()
    }

    /// More than the original says: who holds the device, or what is missing.
    pub(super) fn say_why_no_device(&mut self, failure: &NoDevice) {
        let NoDevice { path, errno } = failure;
        let (code, hint) = match errno {
            Errno::EBUSY => {
                let holders = self.host.holders(path);
                let names: Vec<_> = holders.iter().map(|h| format!("{} (pid {})", h.name, h.pid)).collect();
                let holder = match names.as_slice() {
                    [] => "another process".to_owned(),
                    names => names.join(", "),
                };
                ("rtc-busy", format!("{path} is held by {holder}"))
            }
            Errno::EACCES | Errno::EPERM => ("not-permitted", format!("{path}: {}", errno_text(*errno))),
            Errno::ENOENT | Errno::ENODEV => ("no-rtc", "this machine shows no RTC device".to_owned()),
            other => ("rtc-open", format!("{path}: {}", errno_text(*other))),
        };
        if let Some(error) = &mut self.talk.error {
            error.code = code;
            error.hint = Some(hint.clone());
        }
        if *errno == Errno::EBUSY {
            let name = &self.talk.name;
            writeln!(self.talk.io.err, "{name}: {hint}");
        }
    }

    /// Reads the adjtime file and settles the time scale.
    pub(super) fn read_adjtime(&mut self) -> Result<(), Failed> {
        let request = self.request;
        let unused = request.function == Function::SysTz && request.scale.is_some();
        if let (AdjtimeFile::At(path), false) = (&request.adjtime, unused) {
            match self.host.read_adjtime(path) {
                Ok(Some(content)) => self.take_adjtime(path, &content),
                Ok(None) => {}
                Err(error) => {
                    return Err(self
                        .talk
                        .fail("adjtime", format_args!("cannot open {path}: {}", error.reason())));
                }
            }
        }
        self.scale = request.scale.or(self.adjtime.scale).unwrap_or(Scale::Utc);
        if request.function.writes_rtc() && self.adjtime.scale != Some(self.scale) {
            self.dirty = true;
        }
        self.talk.detail(format_args!(
            "Assuming hardware clock is kept in {} time.",
            render::scale_word(self.scale)
        ));
        self.report.timescale = Some(render::scale_key(self.scale));
        Ok(())
    }

    fn take_adjtime(&mut self, path: &str, content: &[u8]) {
        let (adjtime, warnings) = Adjtime::parse(content);
        for warning in warnings {
            match warning {
                AdjtimeWarning::Line(line) => {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    self.talk.warn(
                        "adjtime-line",
                        format_args!("Warning: unrecognized line in adjtime file: {line}"),
                    );
                }
                AdjtimeWarning::ThirdLine => self.talk.warn(
                    "adjtime-line",
                    "Warning: unrecognized third line in adjtime file\n(Expected: `UTC' or `LOCAL' or nothing.)",
                ),
            }
        }
        self.adjtime = adjtime;
        for (what, secs) in [
            ("Last drift adjustment", adjtime.last_adjustment),
            ("Last calibration", adjtime.last_calibration),
        ] {
            self.talk.detail(format_args!("{what} done at {secs} seconds after 1969"));
        }
        let scale = adjtime.scale.map_or("unknown", render::scale_word);
        self.talk.detail(format_args!("Hardware clock is on {scale} time"));
        self.report_adjtime(path, false);
    }

    fn report_adjtime(&mut self, path: &str, written: bool) {
        let adjtime = &self.adjtime;
        let when = |secs: i64| if secs == 0 { None } else { Instant::from_unix(secs, 0) };
        self.report.adjtime = Some(AdjtimeReport {
            file: path.to_owned(),
            drift_factor_s_per_day: Secs::new(adjtime.drift_factor),
            last_adjustment: when(adjtime.last_adjustment),
            not_adjusted_s: Secs::new(adjtime.not_adjusted),
            last_calibration: when(adjtime.last_calibration),
            timescale: adjtime.scale.map(render::scale_key),
            written,
        });
    }

    /// Waits for a tick and reads the RTC.
    pub(super) fn read_at_tick(&mut self) -> Result<Reading, Failed> {
        if self.request.directisa {
            self.open_ports()?;
        }
        self.talk.detail("Waiting for clock tick...");
        let fields = match self.await_tick() {
            Ok(fields) => fields,
            Err(failed) => {
                self.talk.detail("...synchronization failed");
                return Err(failed);
            }
        };
        self.talk.detail("...got clock tick");
        let fields = match fields {
            Some(fields) => Ok(fields),
            None => self.host.read(),
        };
        let at = self.host.now();
        let fields = fields.map_err(|error| {
            self.read_failed(&error);
            self.talk.fail("rtc-read", "RTC read returned an invalid value.")
        })?;
        let rtc = self.interpret(&fields)?;
        Ok(Reading { rtc: RtcInstant::from_secs(rtc), at })
    }

    fn open_ports(&mut self) -> Result<(), Failed> {
        match self.host.open_ports() {
            Some(Err(error)) => {
                let line = format!("iopl() port access failed: {}", error.reason());
                Err(self.talk.fail("not-permitted", line))
            }
            _ => Ok(()),
        }
    }

    /// The tick, by interrupt or by polling; the registers if they were read to find it.
    fn await_tick(&mut self) -> Result<Option<RtcFields>, Failed> {
        if self.request.directisa {
            return self.await_update();
        }
        let device = self.device.clone();
        match self.host.set_update_interrupt(true) {
            Ok(()) => {}
            Err(error) if matches!(error.errno, Errno::ENOTTY | Errno::EINVAL) => {
                self.talk.detail(format_args!(
                    "ioctl({}, RTC_UIE_ON, 0): {}",
                    self.descriptor,
                    error.reason()
                ));
                self.talk.detail(format_args!("Waiting in loop for time from {device} to change"));
                return self.poll_for_change().map(Some);
            }
            Err(error) => {
                let line = format!(
                    "ioctl({}, RTC_UIE_ON, 0) to {device} failed: {}",
                    self.descriptor,
                    error.reason()
                );
                return Err(self.talk.fail("rtc-tick", line));
            }
        }
        let ready = self.host.wait_readable(TICK_LIMIT);
        let off = self.host.set_update_interrupt(false);
        let result = match ready {
            Ok(true) => Ok(None),
            Ok(false) => {
                let line = format!("select() to {device} to wait for clock tick timed out");
                Err(self.talk.fail("rtc-tick", line))
            }
            Err(error) => {
                let line = format!("select() to {device} to wait for clock tick failed: {}", error.reason());
                Err(self.talk.fail("rtc-tick", line))
            }
        };
        if let Err(error) = off {
            let line =
                format!("ioctl() to {device} to turn off update interrupts failed: {}", error.reason());
            self.talk.warn("rtc-tick", line);
        }
        result
    }

    /// Reads until the second changes.
    fn poll_for_change(&mut self) -> Result<RtcFields, Failed> {
        let first = self.host.read().map_err(|error| self.read_failed(&error))?;
        let end = self.host.mono() + POLL_LIMIT;
        loop {
            let fields = self.host.read().map_err(|error| self.read_failed(&error))?;
            if fields.second != first.second {
                return Ok(fields);
            }
            if self.host.mono() > end {
                return Err(self.talk.fail("rtc-tick", "Timed out waiting for time change."));
            }
            self.host.sleep(POLL_PAUSE);
        }
    }

    /// ISA ports: the end of an update is the tick.
    fn await_update(&mut self) -> Result<Option<RtcFields>, Failed> {
        let end = self.host.mono() + POLL_LIMIT;
        for updating in [true, false] {
            while self.host.is_updating() != updating {
                if self.host.mono() > end {
                    // the original says no more than "...synchronization failed"
                    let report = crate::report::ErrorReport::new("rtc-tick", "the RTC does not tick");
                    self.talk.error.get_or_insert(report);
                    return Err(Failed);
                }
            }
        }
        Ok(None)
    }

    /// The original's words for a device that cannot be read ("RD_NAME" is what it says).
    fn read_failed(&mut self, error: &crate::sys::SysError) -> Failed {
        let line =
            format!("ioctl(RTC_RD_NAME) to {} to read the time failed: {}", self.device, error.reason());
        self.talk.fail("rtc-read", line)
    }

    /// The registers as seconds since 1970.
    fn interpret(&mut self, fields: &RtcFields) -> Result<i64, Failed> {
        let as_utc = fields.to_unix_utc();
        let host = &*self.host;
        let unix = match self.scale {
            Scale::Utc => as_utc,
            Scale::Local => local_to_unix(as_utc, &|unix| host.utc_offset(unix)),
        };
        let normalised = RtcFields::from_unix(unix, self.rtc_offset(unix)).unwrap_or(*fields);
        if unix == -1 {
            self.talk.detail(format_args!("Invalid values in hardware clock: {}", render::registers(fields)));
            return Err(self.talk.fail("rtc-read", "RTC read returned an invalid value."));
        }
        self.talk.detail(format_args!("Time read from Hardware Clock: {}", render::registers(fields)));
        self.talk.detail(format_args!(
            "Hw clock time : {} = {unix} seconds since 1969",
            render::registers(&normalised)
        ));
        Ok(unix)
    }

    /// Seconds east of UTC that the RTC keeps.
    fn rtc_offset(&self, unix: i64) -> i32 {
        match self.scale {
            Scale::Utc => 0,
            Scale::Local => self.host.utc_offset(unix),
        }
    }

    /// The drift at a reading of the RTC (or of the clock that it is to be compared with).
    pub(super) fn drift_at(&mut self, secs: i64) -> Drift {
        let drift = Drift::at(&self.adjtime, secs);
        let plural = if drift.since == 1 { "" } else { "s" };
        self.talk.detail(format_args!("Time since last adjustment is {} second{plural}", drift.since));
        self.talk.detail(format_args!(
            "Calculated Hardware Clock drift is {}.{:06} seconds",
            drift.secs, drift.micros
        ));
        self.report.drift =
            Some(DriftReport { since_adjustment_s: drift.since, correction_s: Secs::new(drift.seconds()) });
        drift
    }

    /// Sets the RTC to `value` (s since 1970) as of `reference`, at the right point of the second.
    pub(super) fn set_rtc(&mut self, value: i64, reference: RtcInstant) -> Result<(), Failed> {
        if self.request.directisa {
            self.open_ports()?;
        }
        let delay = match self.request.delay {
            Some(delay) => delay,
            None => {
                let driver = self.host.driver(&self.device);
                if let Some(name) = &driver {
                    self.talk.detail(format_args!("RTC type: '{name}'"));
                }
                let delay = default_delay(driver.as_deref());
                self.report.driver = driver;
                delay
            }
        };
        self.talk.detail(format_args!("Using delay: {delay:.6} seconds"));
        let mut point = WritePoint::new(WriteOrder { value, reference, delay });
        let mut misses = 0_u32;
        loop {
            match point.step(self.host.now()) {
                WriteStep::Wait(TimeDelta::ZERO) => {}
                WriteStep::Wait(time) => self.host.sleep(time),
                WriteStep::JumpedBack { now, by } => self.talk.detail(format_args!(
                    "time jumped backward {by:.6} seconds to {} - retargeting",
                    render::seconds(now)
                )),
                WriteStep::Missed { now, target, late, tolerance } => {
                    misses = misses.saturating_add(1);
                    self.talk.detail(format_args!(
                        "missed it - {} is too far past {} ({late:.6} > {tolerance:.6})",
                        render::seconds(now),
                        render::seconds(target)
                    ));
                }
                WriteStep::Write { now, target, late, tolerance, value: new } => {
                    self.report.written = Some(RtcWriteReport {
                        rtc_time: instant(RtcInstant::from_secs(new)),
                        at: Instant::from(now.to_timestamp()),
                        delay_s: Secs::new(delay),
                        late_s: Secs::new(late),
                        misses,
                    });
                    self.talk.detail(format_args!(
                        "{} is close enough to {} ({late:.6} < {tolerance:.6})",
                        render::seconds(now),
                        render::seconds(target)
                    ));
                    self.talk.detail(format_args!(
                        "Set RTC to {new} ({value} + {}; refsystime = {})",
                        new.saturating_sub(value),
                        render::seconds(reference)
                    ));
                    return self.write_registers(new);
                }
            }
        }
    }

    fn write_registers(&mut self, unix: i64) -> Result<(), Failed> {
        let Some(fields) = RtcFields::from_unix(unix, self.rtc_offset(unix)) else {
            return Err(self.talk.fail("out-of-range", format_args!("time {unix} is out of range.")));
        };
        let fields = RtcFields { dst: self.host_dst(unix), ..fields };
        self.talk.detail(format_args!(
            "Setting Hardware Clock to {:02}:{:02}:{:02} = {unix} seconds since 1969",
            fields.hour, fields.minute, fields.second
        ));
        let Some(control) = &self.control else { return Ok(()) };
        match self.host.set(control, &fields) {
            Ok(()) => {
                if !self.request.directisa {
                    self.talk.detail("ioctl(RTC_SET_TIME) was successful.");
                }
                Ok(())
            }
            Err(error) => {
                let line = format!(
                    "ioctl(RTC_SET_TIME) to {} to set the time failed: {}",
                    self.device,
                    error.reason()
                );
                Err(self.talk.fail("rtc-set", line))
            }
        }
    }

    /// The DST flag of the registers: drivers ignore it; 0 for UTC.
    fn host_dst(&self, unix: i64) -> i32 {
        match self.scale {
            Scale::Utc => 0,
            Scale::Local => {
                let half_year = 182 * 86400;
                let here = self.host.utc_offset(unix);
                i32::from(
                    here > self.host.utc_offset(unix - half_year).min(self.host.utc_offset(unix + half_year)),
                )
            }
        }
    }

    /// Writes the adjtime file if something changed.
    pub(super) fn save_adjtime(&mut self) -> Result<(), Failed> {
        let AdjtimeFile::At(path) = &self.request.adjtime else { return Ok(()) };
        if !self.dirty {
            return Ok(());
        }
        let text = self.adjtime.emit(self.scale);
        self.talk.detail(format_args!("New {path} data:\n{}", text.trim_end_matches('\n')));
        if !self.request.test {
            match self.host.write_adjtime(path, &text) {
                Ok(()) => {}
                Err(WriteFailure::Open(error)) => {
                    return Err(self
                        .talk
                        .fail("adjtime", format_args!("cannot open {path}: {}", error.reason())));
                }
                Err(WriteFailure::Write(error)) => {
                    return Err(self
                        .talk
                        .fail("adjtime", format_args!("cannot update {path}: {}", error.reason())));
                }
            }
        }
        self.adjtime.scale = Some(self.scale);
        self.report_adjtime(path, true);
        Ok(())
    }
}
