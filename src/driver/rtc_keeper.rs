//! The hardware clock under the daemon: `rtcfile`, `rtcdevice`, `rtconutc`, `hwclockfile`, `rtcautotrim`, and `-s`.
//!
//! The RTC is read at a tick, by its update interrupt, now and then ([`Track`]); its error and drift are kept in a file; it is
//! set when it is told to be (`trimrtc`) or when its error is too large (`rtcautotrim`), so that it ticks together with the true time.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::daemon::Log;
use super::rtc::read_adjtime;
use crate::control::cmdmon::RtcFacts;
use crate::engine::daemon::Level;
use crate::engine::rtc::{
    Adjtime, Coefficients, RtcFields, Scale, Track, TrackRecord, Unreadable, default_delay, local_to_unix,
};
use crate::engine::timeline::Timeline;
use crate::sys::clock::{self, ClockControl};
use crate::sys::rtc::{self, Device};
use crate::sys::{Errno, SysError, file, zone};
use crate::types::{MonoTime, TimeDelta, Timestamp};

/// A line of four numbers.
const FILE_LIMIT: usize = 1024;
/// A tick comes within a second; one that does not is waited for no longer than this.
const TICK_LIMIT: TimeDelta = TimeDelta::from_secs(3);
/// After a tick that did not come.
const AFTER_SILENCE: TimeDelta = TimeDelta::from_secs(60);
/// An RTC that is less wrong is right: it cannot be set better than that. The original, which sets whole seconds, wants one.
const RIGHT_ENOUGH: f64 = 0.01;
/// Samples that a line has before it may set the RTC by itself.
const TRUSTED: usize = 4;
/// How late the RTC may be set, and by how much more with each try.
const LATE: TimeDelta = TimeDelta::from_millis(1);

/// Where the RTC is and what is known of it before it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct RtcSetup {
    /// `rtcdevice`.
    pub device: String,
    /// `rtconutc`, which `hwclockfile` overrides: what the registers hold.
    pub scale: Scale,
    /// `rtcfile`.
    pub file: Option<PathBuf>,
    /// `rtcautotrim`, s; 0: the RTC is never set by itself.
    pub autotrim: f64,
}

impl RtcSetup {
    /// The scale that a `hwclockfile` names, if it names one.
    pub fn scale_of(hwclock_file: &Path) -> Option<Scale> {
        let content = read_adjtime(hwclock_file).ok().flatten()?;
        Adjtime::parse(&content).0.scale
    }

    /// What the file knows. `Ok(None)`: nothing.
    ///
    /// # Errors
    /// The file holds something else.
    pub fn coefficients(&self) -> Result<Option<Coefficients>, Unreadable> {
        let Some(path) = &self.file else { return Ok(None) };
        match file::read_bounded(path, FILE_LIMIT) {
            Ok(bytes) => Coefficients::parse(&String::from_utf8_lossy(&bytes)),
            Err(error) if error.errno == Errno::ENOENT => Ok(None),
            Err(_) => Err(Unreadable),
        }
    }
}

/// The registers as an instant, s since 1970.
fn to_unix(fields: &RtcFields, scale: Scale) -> i64 {
    match scale {
        Scale::Utc => fields.to_unix_utc(),
        Scale::Local => local_to_unix(fields.to_unix_utc(), &zone::utc_offset_at),
    }
}

/// Waits for a tick: what the RTC reads since, and what the clock read then. Takes up to a second.
///
/// # Errors
/// The RTC does not tick, or holds no date.
pub fn read_at_tick(device: &Device, scale: Scale) -> Result<(i64, Timestamp), SysError> {
    begin(device)?;
    let limit = Duration::from_nanos(u64::try_from(TICK_LIMIT.as_nanos()).unwrap_or(0));
    let ticked = device.wait_readable(limit);
    let at = clock::now();
    let read = end(device);
    match ticked? {
        true => Ok((to_unix(&read?, scale), at)),
        false => Err(SysError::new("RTC_UIE_ON", device.path(), Errno::ETIMEDOUT)),
    }
}

fn begin(device: &Device) -> Result<(), SysError> {
    // ticks that nobody took are taken together
    if device.wait_readable(Duration::ZERO)? {
        device.take_interrupt()?;
    }
    device.set_update_interrupt(true)
}

fn end(device: &Device) -> Result<RtcFields, SysError> {
    let fields = device.read();
    device.set_update_interrupt(false)?;
    fields
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// It is read again then.
    Resting(MonoTime),
    /// The next tick is waited for, but not longer than until then.
    Waiting(MonoTime),
    /// It is set to `value` when the estimated time is `at`; so often it was too late for that.
    Setting { value: i64, at: Timestamp, due: MonoTime, missed: i64 },
}

/// An RTC that is watched.
#[derive(Debug)]
pub struct RtcKeeper {
    device: Device,
    setup: RtcSetup,
    /// The right to set it.
    control: Option<ClockControl>,
    /// s between setting it and its next tick.
    delay: f64,
    track: Track,
    state: State,
    /// It did not tick or could not be read: said once.
    failed: bool,
    /// The next reading goes to the file.
    unsaved: bool,
}

impl RtcKeeper {
    /// Watches an RTC from now on; `control`: it may be set.
    pub fn new(
        device: Device,
        setup: RtcSetup,
        known: Option<Coefficients>,
        control: Option<ClockControl>,
        now: MonoTime,
    ) -> Self {
        Self {
            delay: default_delay(rtc::driver_name(device.path()).as_deref()),
            device,
            setup,
            control,
            track: Track::new(known),
            state: State::Resting(now),
            failed: false,
            unsaved: false,
        }
    }

    /// To be waited for.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        matches!(self.state, State::Waiting(_)).then(|| self.device.as_fd())
    }

    /// When [`RtcKeeper::service`] is due at the latest.
    pub const fn due(&self) -> MonoTime {
        match self.state {
            State::Resting(due) | State::Waiting(due) | State::Setting { due, .. } => due,
        }
    }

    /// Does what is due. `followed`: the clock follows somebody, so that the RTC may be set by it. A reading is answered.
    pub fn service(&mut self, timeline: &Timeline, followed: bool, log: Log<'_>) -> Option<TrackRecord> {
        let now = clock::mono();
        match self.state {
            State::Resting(due) if due <= now => match begin(&self.device) {
                Ok(()) => self.state = State::Waiting(now + TICK_LIMIT),
                Err(error) => self.fail(&error, log),
            },
            State::Waiting(limit) => match self.device.wait_readable(Duration::ZERO) {
                Ok(true) => return self.take(timeline, followed, log),
                Ok(false) if limit <= now => {
                    // it is switched off as well as it can be
                    let _ = self.device.set_update_interrupt(false);
                    self.fail(&SysError::new("RTC_UIE_ON", self.device.path(), Errno::ETIMEDOUT), log);
                }
                Ok(false) => {}
                Err(error) => self.fail(&error, log),
            },
            State::Setting { due, .. } if due <= now => self.set(timeline, log),
            State::Resting(_) | State::Setting { .. } => {}
        }
        None
    }

    fn fail(&mut self, error: &SysError, log: Log<'_>) {
        self.state = State::Resting(clock::mono() + AFTER_SILENCE);
        if !std::mem::replace(&mut self.failed, true) {
            log(Level::Error, &format!("Could not read RTC {} : {}", self.device.path(), error.reason()));
        }
    }

    fn take(&mut self, timeline: &Timeline, followed: bool, log: Log<'_>) -> Option<TrackRecord> {
        let at = clock::now();
        let read = self.device.take_interrupt().and_then(|()| end(&self.device));
        let fields = match read {
            Ok(fields) => fields,
            Err(error) => {
                self.fail(&error, log);
                return None;
            }
        };
        self.failed = false;
        let record = self.track.add(to_unix(&fields, self.setup.scale), timeline.free(at), timeline);
        self.state = State::Resting(clock::mono() + TimeDelta::from_secs(self.track.pause()));
        if std::mem::take(&mut self.unsaved) {
            // the next one who asks hears of it
            let _ = self.save(timeline, log);
        }
        let wrong = self.error(timeline);
        let trusted = followed && self.track.samples() >= TRUSTED;
        if self.setup.autotrim > 0.0 && trusted && wrong.abs() > self.setup.autotrim {
            self.trim(timeline, log);
        }
        Some(record)
    }

    /// How far the RTC is ahead now, s.
    fn error(&self, timeline: &Timeline) -> f64 {
        let now = timeline.estimated(clock::now());
        self.track.known().map_or(0.0, |known| known.fast_at(now.secs()))
    }

    /// Sets the RTC within the next two seconds, if it is wrong.
    pub fn trim(&mut self, timeline: &Timeline, log: Log<'_>) {
        self.track.fit(timeline);
        let wrong = self.error(timeline);
        if wrong.abs() < RIGHT_ENOUGH {
            return;
        }
        log(Level::Info, &format!("RTC wrong by {wrong:.3} seconds (step)"));
        if self.control.is_none() {
            return log(Level::Error, "Could not set RTC time");
        }
        if self.descriptor().is_some() {
            // the reading that is under way would be one of before and after
            let _ = self.device.set_update_interrupt(false);
        }
        self.aim(timeline, 0);
    }

    fn aim(&mut self, timeline: &Timeline, missed: i64) {
        let now = timeline.estimated(clock::now());
        // far enough in the future to be met
        let value = (now + TimeDelta::from_millis(20)).secs() + 1;
        let delay = TimeDelta::from_secs_f64(self.delay).unwrap_or_default();
        let mut at = Timestamp::from_unix(value, 0) + delay;
        let mut value = value;
        if at - now > TimeDelta::from_millis(1020) {
            (value, at) = (value - 1, at - TimeDelta::from_secs(1));
        }
        self.state = State::Setting { value, at, due: clock::mono() + (at - now), missed };
    }

    fn set(&mut self, timeline: &Timeline, log: Log<'_>) {
        let State::Setting { value, at, missed, .. } = self.state else { return };
        let late = timeline.estimated(clock::now()) - at;
        if late < TimeDelta::ZERO || late > LATE * (missed + 1) {
            return self.aim(timeline, missed + 1);
        }
        let offset = match self.setup.scale {
            Scale::Utc => 0,
            Scale::Local => zone::utc_offset_at(value),
        };
        let set = match (&self.control, RtcFields::from_unix(value, offset)) {
            (Some(control), Some(fields)) => self.device.set(control, &fields).is_ok(),
            _ => false,
        };
        let mut pause = TimeDelta::from_secs(1);
        if set {
            self.track.was_set();
            self.unsaved = true;
        } else {
            pause = TimeDelta::from_secs(self.track.pause());
            log(Level::Error, "Could not set RTC time");
        }
        self.state = State::Resting(clock::mono() + pause);
    }

    /// Writes the file, when something is known. Answers whether that went well; the log says why not.
    pub fn save(&mut self, timeline: &Timeline, log: Log<'_>) -> bool {
        self.track.fit(timeline);
        let (Some(path), Some(known)) = (&self.setup.file, self.track.known()) else { return true };
        match file::renew(path, known.emit().as_bytes(), 0o644) {
            Ok(_) => true,
            Err(error) => {
                let text = format!("Could not open {}.tmp : {}", path.display(), error.reason());
                log(Level::Error, &text);
                false
            }
        }
    }

    /// What `rtcdata` shows.
    pub fn facts(&self) -> RtcFacts {
        let known = self.track.known().unwrap_or(Coefficients { reference: 0, fast: 0.0, gain: 0.0 });
        let small = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        RtcFacts {
            time: Timestamp::from_unix(known.reference, 0),
            samples: small(self.track.samples()),
            runs: small(self.track.runs()),
            span: u32::try_from(self.track.span()).unwrap_or(0),
            fast: known.fast,
            gain: known.gain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::timeline::KernelRate;

    fn setup(file: Option<PathBuf>) -> RtcSetup {
        RtcSetup { device: "/dev/null".to_owned(), scale: Scale::Utc, file, autotrim: 0.0 }
    }

    #[test]
    fn what_does_not_tick_is_said_once_and_tried_again() {
        let timeline = Timeline::new(clock::now(), KernelRate::NOMINAL);
        let device = Device::open("/dev/null").unwrap();
        let now = clock::mono();
        let mut keeper = RtcKeeper::new(device, setup(None), None, None, now);
        let mut said = Vec::new();
        let mut log = |_: Level, text: &str| said.push(text.to_owned());
        assert!(keeper.service(&timeline, true, &mut log).is_none());
        keeper.state = State::Resting(now);
        assert!(keeper.service(&timeline, true, &mut log).is_none());
        assert!(keeper.due() > now + TimeDelta::from_secs(50) && keeper.descriptor().is_none());
        assert_eq!(said, ["Could not read RTC /dev/null : Inappropriate ioctl for device"]);
        assert_eq!((keeper.facts().samples, keeper.facts().time), (0, Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn the_file_is_written_and_read_and_what_cannot_be_written_is_said() {
        let dir = std::env::temp_dir().join(format!("ntpbox-rtc-keeper-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let timeline = Timeline::new(clock::now(), KernelRate::NOMINAL);
        let known = Some(Coefficients { reference: 1_795_244_454, fast: -8.5, gain: 1e-6 });
        let open = || Device::open("/dev/null").unwrap();
        let path = dir.join("rtc");
        assert_eq!(setup(Some(path.clone())).coefficients(), Ok(None));
        let mut keeper = RtcKeeper::new(open(), setup(Some(path.clone())), known, None, clock::mono());
        assert!(keeper.save(&timeline, &mut |_, _| ()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1 1795244454 -8.500000 1.000\n");
        assert_eq!(setup(Some(path.clone())).coefficients(), Ok(known));
        std::fs::write(&path, "garbage").unwrap();
        assert_eq!(setup(Some(path)).coefficients(), Err(Unreadable));
        let gone = dir.join("gone/rtc");
        let mut keeper = RtcKeeper::new(open(), setup(Some(gone.clone())), known, None, clock::mono());
        let mut said = Vec::new();
        assert!(!keeper.save(&timeline, &mut |_, text| said.push(text.to_owned())));
        assert_eq!(said, [format!("Could not open {}.tmp : No such file or directory", gone.display())]);
        // nothing known: nothing to be written
        let mut keeper = RtcKeeper::new(open(), setup(Some(gone)), None, None, clock::mono());
        assert!(keeper.save(&timeline, &mut |_, _| ()));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn without_the_right_it_is_not_set() {
        let timeline = Timeline::new(clock::now(), KernelRate::NOMINAL);
        let known = |fast| Some(Coefficients { reference: clock::now().secs(), fast, gain: 0.0 });
        let open = || Device::open("/dev/null").unwrap();
        let mut said = Vec::new();
        let mut keeper = RtcKeeper::new(open(), setup(None), known(8.5), None, clock::mono());
        keeper.trim(&timeline, &mut |_, text| said.push(text.to_owned()));
        assert_eq!(said, ["RTC wrong by 8.500 seconds (step)", "Could not set RTC time"]);
        said.clear();
        let mut keeper = RtcKeeper::new(open(), setup(None), known(0.005), None, clock::mono());
        keeper.trim(&timeline, &mut |_, text| said.push(text.to_owned()));
        assert!(said.is_empty());
    }
}
