//! The functions of `hwclock`: what is read, compared and set for each of them.

use super::args::{AdjtimeFile, Function, Request};
use super::date::TargetDate;
use super::host::Watched;
use super::render;
use super::session::{Reading, Session, instant};
use super::talk::Failed;
use crate::applets::compat::Era;
use crate::engine::rtc::{AdjustDecision, Calibration, Drift, Learn, RtcInstant, Scale};
use crate::report::{CalibrationReport, KernelTimeReport};
use crate::types::{Secs, TimeDelta};

/// How often our daemon is asked whether it has set the RTC …
const SETTING_TRIES: u32 = 30;
/// … and how long after each time.
const SETTING_PAUSE: TimeDelta = TimeDelta::from_millis(200);
/// An RTC that is so little wrong was set, s.
const SET: f64 = 0.05;

impl Session<'_> {
    /// Does what was asked for. `date`: the value of `--date` for the functions that need it.
    pub(super) fn perform(&mut self, date: Option<&TargetDate>, era: Era) -> Result<(), Failed> {
        match self.request.function {
            Function::Show => self.show(false, era),
            Function::Get => self.show(true, era),
            Function::HcToSys => self.set_system_clock(),
            Function::SysTz => self.set_kernel_zone(self.started),
            Function::Predict => self.predict(date),
            Function::Adjust => self.adjust().and_then(|()| self.save_adjtime()),
            Function::SysToHc => self.set_from_system().and_then(|()| self.save_adjtime()),
            Function::Set => self.set_to_date(date).and_then(|()| self.save_adjtime()),
        }
    }

    fn read_with_drift(&mut self) -> Result<(Reading, Drift), Failed> {
        let reading = self.read_at_tick()?;
        let drift = self.drift_at(reading.rtc.secs);
        Ok((reading, drift))
    }

    /// `--show`, `--get`: the RTC as it was when the program started.
    fn show(&mut self, corrected: bool, era: Era) -> Result<(), Failed> {
        if let Some(watched) = self.watched {
            return self.show_watched(&watched, corrected, era);
        }
        let (reading, drift) = self.read_with_drift()?;
        let rtc = if corrected { drift.add_to(reading.rtc) } else { reading.rtc };
        let shown = rtc.moved_by(self.started.seconds_since(reading.at));
        self.report.drift_corrected = corrected;
        self.report.offset_s = Secs::new(shown.seconds_since(self.started));
        if render::has_old_layout(era) {
            let waited = reading.at.seconds_since(self.started);
            let line = render::old_time_line(rtc, self.host.utc_offset(rtc.secs), waited);
            return self.result(shown, Some(line));
        }
        self.result(shown, None)
    }

    /// The same by what our daemon knows of the RTC that it holds.
    fn show_watched(&mut self, watched: &Watched, corrected: bool, era: Era) -> Result<(), Failed> {
        let rtc = self.started.moved_by(watched.known.fast_at(self.started.secs));
        let shown = if corrected { self.drift_at(rtc.secs).add_to(rtc) } else { rtc };
        self.report.drift_corrected = corrected;
        self.report.offset_s = Secs::new(shown.seconds_since(self.started));
        let line = render::has_old_layout(era).then(|| {
            let tick = RtcInstant::from_secs(shown.secs.saturating_add(1));
            render::old_time_line(tick, self.host.utc_offset(tick.secs), tick.seconds_since(shown))
        });
        self.result(shown, line)
    }

    /// Our daemon sets the RTC that it holds, within two seconds.
    fn set_through_daemon(&mut self) -> Result<(), Failed> {
        let Some(control) = &self.control else { return Ok(()) };
        if !self.host.tell_daemon(control) {
            return Err(self.talk.fail("rtc-set", "chronyd, which holds the RTC, did not set it"));
        }
        for _ in 0..SETTING_TRIES {
            let now = self.host.now();
            let right = |watched: Watched| watched.known.fast_at(now.secs).abs() < SET;
            if self.host.ask_daemon().is_some_and(right) {
                self.calibrate(now, Learn::No);
                return Ok(());
            }
            self.host.sleep(SETTING_PAUSE);
        }
        Err(self.talk.fail("rtc-set", "chronyd, which holds the RTC, could not set it"))
    }

    /// Prints a time, in another form if there is one.
    fn result(&mut self, shown: RtcInstant, line: Option<String>) -> Result<(), Failed> {
        let offset = self.host.utc_offset(shown.secs);
        self.result_at(shown, offset, line)
    }

    fn result_at(&mut self, shown: RtcInstant, offset: i32, line: Option<String>) -> Result<(), Failed> {
        let Some(line) = line.or_else(|| render::time_line(shown, offset)) else {
            return Err(self.talk.fail("out-of-range", format_args!("time {} is out of range.", shown.secs)));
        };
        self.report.rtc_time = instant(shown);
        if !self.talk.json {
            self.talk.say(&line);
        }
        self.report.local_time = Some(line);
        Ok(())
    }

    /// `--predict`: what the RTC will show at a date.
    fn predict(&mut self, date: Option<&TargetDate>) -> Result<(), Failed> {
        let Some(date) = date else { return Ok(()) };
        let drift = self.drift_at(date.secs);
        let predicted = drift.subtract_from(RtcInstant::from_secs(date.secs));
        self.talk.detail(format_args!("Target date:   {}\nPredicted RTC: {}", date.secs, predicted.secs));
        self.report.drift_corrected = true;
        let offset =
            date.utc_offset_at(predicted.secs).unwrap_or_else(|| self.host.utc_offset(predicted.secs));
        self.result_at(predicted, offset, None)
    }

    /// `--hctosys`: the RTC's time into the system clock, and the zone into the kernel.
    fn set_system_clock(&mut self) -> Result<(), Failed> {
        let (reading, drift) = self.read_with_drift()?;
        let time = drift.add_to(reading.rtc);
        self.set_kernel_zone(time)?;
        self.talk.detail(format_args!(
            "Calling settimeofday({}, NULL) to set the System time.",
            render::seconds(time)
        ));
        self.report.drift_corrected = true;
        self.report.rtc_time = instant(time);
        if let Some(kernel) = &mut self.report.kernel {
            kernel.system_clock = instant(time);
        }
        if let Some(control) = &self.control {
            let result = self.host.set_clock(control, time);
            result.map_err(|error| self.settimeofday_failed(&error))?;
        }
        Ok(())
    }

    /// Tells the kernel the zone at an instant. The first such call after boot would move the system clock unless it is 0: that is
    /// wanted for an RTC in local time only.
    fn set_kernel_zone(&mut self, at: RtcInstant) -> Result<(), Failed> {
        let minutes_west = -(self.host.utc_offset(at.secs) / 60);
        self.report.kernel = Some(KernelTimeReport { zone_minutes_west: minutes_west, system_clock: None });
        match self.scale {
            Scale::Utc => {
                self.zone_call(0, "to lock the warp_clock function.")?;
                match minutes_west {
                    0 => Ok(()),
                    _ => self.zone_call(minutes_west, "to set the kernel timezone."),
                }
            }
            Scale::Local => self.zone_call(minutes_west, "to warp System time, set PCIL and the kernel tz."),
        }
    }

    fn zone_call(&mut self, minutes_west: i32, purpose: &str) -> Result<(), Failed> {
        self.talk.detail(format_args!("Calling settimeofday(NULL, {minutes_west}) {purpose}"));
        let Some(control) = &self.control else { return Ok(()) };
        match self.host.set_kernel_zone(control, minutes_west) {
            // a kernel without time zones is no reason not to set the clock
            Err(error)
                if error.errno == nix::errno::Errno::ENOSYS && self.request.function == Function::HcToSys =>
            {
                Ok(())
            }
            result => result.map_err(|error| self.settimeofday_failed(&error)),
        }
    }

    fn settimeofday_failed(&mut self, error: &crate::sys::SysError) -> Failed {
        self.talk.fail("settimeofday", format_args!("settimeofday() failed: {}", error.reason()))
    }

    /// `--adjust`: sets the RTC right by its known drift.
    fn adjust(&mut self) -> Result<(), Failed> {
        let (reading, drift) = self.read_with_drift()?;
        let decision = AdjustDecision::from(&self.adjtime, &drift);
        self.report.adjustment = Some(match decision {
            AdjustDecision::TooSmall => "too-small",
            AdjustDecision::NoHistory => "no-history",
            AdjustDecision::FactorTooHigh(_) => "factor-too-high",
            AdjustDecision::Adjust => "adjusted",
        });
        match decision {
            AdjustDecision::TooSmall => {
                self.talk.say("Needed adjustment is less than one second, so not setting clock.");
            }
            AdjustDecision::NoHistory => {
                self.talk.detail("Not setting clock because last adjustment time is zero, so history is bad.")
            }
            AdjustDecision::FactorTooHigh(factor) => self
                .talk
                .detail(format_args!("Not setting clock because drift factor {factor:.6} is far too high.")),
            AdjustDecision::Adjust => {
                let right = drift.add_to(reading.rtc);
                let reference = reading.at.moved_by(-(f64::from(right.micros) / 1e6));
                self.set_rtc(right.secs, reference)?;
                self.adjtime.adjusted(right.secs);
                self.dirty = true;
            }
        }
        Ok(())
    }

    /// `--systohc`.
    fn set_from_system(&mut self) -> Result<(), Failed> {
        if self.watched.is_some() {
            return self.set_through_daemon();
        }
        let mut learn = Learn::No;
        if self.request.learn {
            let (reading, drift) = self.read_with_drift()?;
            learn = Learn::From(drift.add_to(reading.rtc));
        }
        let now = self.host.now();
        let second = RtcInstant::from_secs(now.secs);
        self.set_rtc(second.secs, second)?;
        self.calibrate(now, learn);
        Ok(())
    }

    /// `--set`: the date was meant as of the program's start.
    fn set_to_date(&mut self, date: Option<&TargetDate>) -> Result<(), Failed> {
        let Some(date) = date else { return Ok(()) };
        let mut learn = Learn::No;
        if self.request.learn {
            let (reading, drift) = self.read_with_drift()?;
            let at_start = drift.add_to(reading.rtc).moved_by(self.started.seconds_since(reading.at));
            learn = Learn::From(at_start);
        }
        self.set_rtc(date.secs, self.started)?;
        self.calibrate(RtcInstant::from_secs(date.secs), learn);
        Ok(())
    }

    /// Notes in the adjtime file that the RTC is right.
    fn calibrate(&mut self, now: RtcInstant, learn: Learn) {
        let calibration = self.adjtime.calibrate(now, learn);
        self.dirty = true;
        let mut report = CalibrationReport {
            result: "not-asked",
            drifted_s: None,
            elapsed_s: None,
            change_s_per_day: None,
        };
        match calibration {
            // without the file there is nothing to adjust
            Calibration::NotAsked if self.request.adjtime == AdjtimeFile::None => {}
            Calibration::NotAsked => {
                self.talk.detail("Not adjusting drift factor because the --update-drift option was not used.")
            }
            Calibration::NoHistory => {
                report.result = "no-history";
                self.talk.detail(concat!(
                    "Not adjusting drift factor because last calibration time is zero,\n",
                    "so history is bad and calibration startover is necessary."
                ));
            }
            Calibration::TooSoon => {
                report.result = "too-soon";
                self.talk.detail(
                    "Not adjusting drift factor because it has been less than four hours since the last calibration.",
                );
            }
            Calibration::Unbelievable(factor) => {
                report.result = "unbelievable";
                self.talk.detail(format_args!(
                    "Clock drift factor was calculated as {factor:.6} seconds/day.\nIt is far too much. Resetting to zero."
                ));
            }
            Calibration::Learned { drifted, elapsed, factor, change } => {
                report = CalibrationReport {
                    result: "learned",
                    drifted_s: Secs::new(drifted),
                    elapsed_s: Secs::new(elapsed),
                    change_s_per_day: Secs::new(change),
                };
                self.talk.detail(format_args!(
                    "Clock drifted {drifted:.6} seconds in the past {elapsed:.6} seconds"
                ));
                self.talk.detail(format_args!("in spite of a drift factor of {factor:.6} seconds/day."));
                self.talk.detail(format_args!("Adjusting drift factor by {change:.6} seconds/day"));
            }
        }
        self.report.calibration = Some(report);
    }
}

/// Whether a request needs `--date`.
pub(super) fn needs_date(request: &Request) -> bool {
    matches!(request.function, Function::Set | Function::Predict)
}
