//! Leap seconds as they come: announced by a majority or a table; done by the kernel, a step or a slew, or ignored.

use super::{ClockCommand, Engine, Leap, Level, MonoTime, Now, TimeDelta, Timestamp};
use crate::engine::leap::{LeapTable, day_end, is_leap_day};
use crate::engine::options::LeapSecondMode;

/// What is measured so close to a leap second is dropped.
const CLOSE: TimeDelta = TimeDelta::from_secs(5);
/// A jump that differs by less from the leap second is the leap second.
const ALIKE: TimeDelta = TimeDelta::from_millis(500);

/// What is known of leap seconds.
#[derive(Debug, Default)]
pub(super) struct Leaps {
    table: Option<LeapTable>,
    coming: Option<Coming>,
    /// TAI − UTC as the kernel was told.
    tai: Option<i32>,
}

/// A leap second that was announced.
#[derive(Debug, Clone, Copy)]
struct Coming {
    leap: Leap,
    /// When, by the kernel's clock.
    at: Timestamp,
    /// By how much UTC moves.
    by: TimeDelta,
    done: bool,
    /// Whether a dropped sample was logged.
    dropped: bool,
}

impl Coming {
    fn new(leap: Leap, now: Timestamp) -> Option<Self> {
        let second = TimeDelta::from_secs(1);
        let (at, by) = match leap {
            Leap::Add => (day_end(now), -second),
            Leap::Delete => (day_end(now) - second, second),
            Leap::None | Leap::Unsynchronised => return None,
        };
        Some(Self { leap, at, by, done: false, dropped: false })
    }

    fn is_close(&self, clock: Timestamp) -> bool {
        (clock - self.at).abs() <= CLOSE
    }
}

impl Engine {
    /// The leap seconds of `leapseclist` or `leapsectz` from now on.
    pub fn set_leap_table(&mut self, table: Option<LeapTable>) {
        self.leaps.table = table;
    }

    /// The leap seconds that are known.
    pub const fn leap_table(&self) -> Option<&LeapTable> {
        self.leaps.table.as_ref()
    }

    /// TAI − UTC by the table.
    pub fn tai(&self, now: Now) -> Option<i32> {
        self.leaps.table.as_ref()?.tai(self.timeline().estimated(now.clock))
    }

    /// The sources agree on this leap status. It counts on days that can have a leap second only, and the table may know better.
    pub(super) fn announce(&mut self, now: Now, vote: Leap) {
        let estimated = self.timeline().estimated(now.clock);
        let tabled = self.leaps.table.as_ref().map_or(Leap::None, |table| table.leap(estimated));
        let leap = match vote {
            _ if !is_leap_day(estimated) => Leap::None,
            Leap::Add | Leap::Delete => vote,
            Leap::None | Leap::Unsynchronised => tabled,
        };
        if self.leaps.coming.is_some_and(|coming| coming.is_close(now.clock) || coming.leap == leap) {
            return;
        }
        let before = std::mem::replace(&mut self.leaps.coming, Coming::new(leap, estimated));
        self.leap = leap;
        if self.kernel_leaps() {
            match (before, leap) {
                (_, Leap::Add) => self.log_status("set to insert leap second"),
                (_, Leap::Delete) => self.log_status("set to delete leap second"),
                (Some(_), _) => self.log_status("reset after leap second"),
                (None, _) => {}
            }
        }
    }

    fn log_status(&mut self, what: &str) {
        self.log(Level::Info, format!("System clock status {what}"));
    }

    /// Whether the kernel does leap seconds for us.
    pub(super) fn kernel_leaps(&self) -> bool {
        self.settings.leapsecmode == LeapSecondMode::System && self.clock.is_controlled()
    }

    /// When something is to be done about a leap second.
    pub(super) fn leap_timeout(&self, now: Now) -> Option<MonoTime> {
        let coming = self.leaps.coming?;
        let moments = [coming.at - CLOSE, coming.at, coming.at + CLOSE];
        let next = moments.into_iter().find(|moment| *moment > now.clock)?;
        Some(now.mono + (next - now.clock) + TimeDelta::from_millis(1))
    }

    /// Does what is due about a leap second.
    pub(super) fn pass_leap(&mut self, now: Now) {
        let Some(coming) = self.leaps.coming else { return };
        self.reference.set_in_leap(coming.is_close(now.clock));
        if now.clock >= coming.at && !coming.done {
            let mode = self.settings.leapsecmode;
            match mode {
                LeapSecondMode::Step if self.clock.is_controlled() => {
                    self.clock.step_with_utc(now, coming.by);
                    self.forget_smoothing(now);
                    self.leap_done(coming.by);
                    self.log(Level::Warning, "System clock was stepped for leap second".to_owned());
                }
                LeapSecondMode::Slew if self.clock.is_controlled() => {
                    self.clock.shift_line(coming.by);
                    self.smooth_leap(now, coming.by);
                    self.leap_done(coming.by);
                    self.log(Level::Warning, "Adjusting system clock for leap second".to_owned());
                    if let Some(manner) = self.manner(now, false) {
                        self.clock.slew(now, &manner);
                    }
                }
                // whoever owns the clock does it: seen as a jump
                LeapSecondMode::System => {}
                _ => {
                    self.log(Level::Warning, "Ignoring leap second".to_owned());
                    if let Some(coming) = &mut self.leaps.coming {
                        coming.done = true;
                    }
                }
            }
        }
        if now.clock > coming.at + CLOSE {
            self.leaps.coming = None;
            self.leap = Leap::None;
            self.reference.clear_leap();
            if self.kernel_leaps() {
                self.log_status("reset after leap second");
            }
            self.tell_kernel(now);
        }
        self.flush_clock();
    }

    /// Whether a jump of the clock is the leap second that was expected; if so, all that was measured goes along.
    pub(super) fn is_leap_second(&mut self, now: Now, by: TimeDelta) -> bool {
        let expected = self.leaps.coming.filter(|coming| !coming.done && coming.is_close(now.clock));
        let is_it = expected.is_some_and(|coming| (by - coming.by).abs() < ALIKE);
        if is_it {
            self.clock.shift_line(by);
            self.forget_smoothing(now);
            self.leap_done(by);
        }
        is_it
    }

    /// UTC moved by `by`, and with it all sources.
    fn leap_done(&mut self, by: TimeDelta) {
        if let Some(coming) = &mut self.leaps.coming {
            coming.done = true;
        }
        for source in self.sources.values_mut() {
            source.association.register_mut().shift(by);
        }
        self.admit();
    }

    /// Whether a packet comes too close to a leap second to be of use; said once.
    pub(super) fn is_in_leap(&mut self, now: Now) -> bool {
        let Some(coming) = self.leaps.coming.as_mut().filter(|coming| coming.is_close(now.clock)) else {
            return false;
        };
        if !std::mem::replace(&mut coming.dropped, true) {
            self.log(Level::Info, "Dropping sample around leap second".to_owned());
        }
        true
    }

    /// Tells the kernel TAI − UTC, when the kernel does leap seconds and the table says so.
    pub(super) fn tell_tai(&mut self, now: Now) {
        if let Some(tai) = self.tai(now).filter(|tai| self.kernel_leaps() && self.leaps.tai != Some(*tai)) {
            self.leaps.tai = Some(tai);
            self.clock.command(ClockCommand::Tai(tai));
            self.log(Level::Info, format!("System clock TAI offset set to {tai} seconds"));
        }
    }
}
