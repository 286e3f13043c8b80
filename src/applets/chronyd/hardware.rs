//! The hardware clock as the configuration wants it: `-s` before anything else, then whoever watches it.

use std::path::{Path, PathBuf};

use super::args::{Args, Task};
use crate::config::model::Config;
use crate::driver::daemon::Daemon;
use crate::driver::lifecycle::{Fatal, Life, absolute};
use crate::driver::rtc_keeper::{RtcKeeper, RtcSetup, read_at_tick};
use crate::engine::rtc::{Coefficients, Scale};
use crate::sys::clock::{self, ClockControl};
use crate::sys::log::Level;
use crate::sys::rtc::Device;
use crate::types::{TimeDelta, Timestamp};

/// Without `rtcdevice`.
const DEVICE: &str = "/dev/rtc";
/// A larger error is stepped at the start.
const STEPPED: TimeDelta = TimeDelta::from_secs(1);

/// An RTC that is open, and what is left to be slewed because of it.
#[derive(Debug)]
pub(super) struct Hardware {
    device: Device,
    setup: RtcSetup,
    known: Option<Coefficients>,
    /// How far the clock is behind, s.
    behind: f64,
}

fn setup(config: &Config) -> RtcSetup {
    let words = &config.words;
    let named = words.hwclockfile.as_deref().and_then(|path| RtcSetup::scale_of(Path::new(path)));
    let unnamed = if config.flags.rtconutc { Scale::Utc } else { Scale::Local };
    RtcSetup {
        device: words.rtcdevice.clone().unwrap_or_else(|| DEVICE.to_owned()),
        scale: named.unwrap_or(unnamed),
        file: words.rtcfile.as_deref().map(absolute),
        autotrim: config.reals.rtcautotrim,
    }
}

/// Opens the RTC if it is wanted, and sets the clock from it if that is (`-s`). What cannot be done is said in the log.
pub(super) fn open(
    args: &Args,
    config: &Config,
    control: Option<&ClockControl>,
    life: &Life,
) -> Result<Option<Hardware>, Fatal> {
    let watched = config.words.rtcfile.is_some() && args.task != Task::OneShot;
    if config.words.rtcfile.is_some() && config.flags.rtcsync {
        return Err(Fatal("rtcfile directive cannot be used with rtcsync".to_owned()));
    }
    let asked = control.filter(|_| args.from_rtc);
    if !watched && asked.is_none() {
        return Ok(None);
    }
    let setup = setup(config);
    let known = setup.coefficients().unwrap_or_else(|_| {
        let file = setup.file.as_deref().unwrap_or(Path::new(""));
        life.line(Level::Warning, &format!("Could not read coefficients from {}", file.display()));
        None
    });
    let opened = Device::open(&setup.device).map_err(|error| {
        let text = format!("Could not open RTC device {} : {}", setup.device, error.reason());
        life.line(Level::Error, &text);
        life.line(Level::Error, "RTC driver could not be initialised");
    });
    let mut hardware = opened.ok().map(|device| Hardware { device, setup, known, behind: 0.0 });
    if let Some(control) = asked {
        let last_run = last_run(config);
        if let Some(hardware) = &mut hardware {
            hardware.set_clock(control, last_run, life);
        }
        restore(control, last_run, life);
    }
    Ok(hardware.filter(|_| watched))
}

/// When the drift file was last written.
fn last_run(config: &Config) -> Option<Timestamp> {
    let (path, _) = config.driftfile.as_ref()?;
    let modified = PathBuf::from(path).metadata().ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_unix(i64::try_from(since.as_secs()).ok()?, 0))
}

/// It cannot be earlier than it was at the end of the last run.
fn restore(control: &ClockControl, last_run: Option<Timestamp>, life: &Life) {
    let Some(last_run) = last_run.filter(|at| *at > clock::now()) else { return };
    match control.step(last_run - clock::now()) {
        Ok(()) => life.line(Level::Info, "System time restored from driftfile"),
        Err(error) => life.line(Level::Error, &error.to_string()),
    }
}

impl Hardware {
    fn set_clock(&mut self, control: &ClockControl, last_run: Option<Timestamp>, life: &Life) {
        let (rtc, at) = match read_at_tick(&self.device, self.setup.scale) {
            Ok(read) => read,
            Err(error) => {
                let text = format!("Could not read RTC {} : {}", self.setup.device, error.reason());
                return life.line(Level::Error, &text);
            }
        };
        let fast = self.known.map_or(0.0, |known| known.fast_at(rtc));
        let right = Timestamp::from_unix(rtc, 0) - TimeDelta::from_secs_f64(fast).unwrap_or_default();
        if last_run.is_some_and(|last_run| right < last_run) {
            life.line(Level::Warning, "RTC time before last driftfile modification (ignored)");
            return;
        }
        let behind = right - at;
        if behind.abs() >= STEPPED {
            match control.step(behind) {
                Ok(()) => life.line(Level::Info, "System time set from RTC"),
                Err(error) => life.line(Level::Error, &error.to_string()),
            }
        } else if self.known.is_some() {
            self.behind = behind.as_secs_f64();
            let text = format!("System clock off from RTC by {:.6} seconds (slew)", -self.behind);
            life.line(Level::Info, &text);
        }
        if self.known.is_none() && self.setup.file.is_some() {
            life.line(Level::Info, "No valid rtcfile coefficients");
        }
    }

    /// From now on the daemon watches it.
    pub(super) fn join(self, daemon: &mut Daemon, controls: bool) {
        let now = clock::both();
        if self.behind != 0.0 {
            daemon.engine_mut().adjust_by_hand(now, self.behind, 0.0);
        }
        let control = controls.then(ClockControl::acquire);
        daemon.set_rtc(RtcKeeper::new(self.device, self.setup, self.known, control, now.mono));
    }
}
