//! What is served while `smoothtime` smooths: the same facts, ahead of the estimate by a curve.

use super::{Engine, Leap, Level, Line, Now, RefId, Snapshot, TimeDelta};
use crate::engine::options::LeapSecondMode;
use crate::engine::smoothing::{Facts, Point};

/// Reference ID of a server whose time is not its best estimate: 127.127.1.255, as chronyd 4.9 was seen to serve it.
const SMOOTHED: RefId = RefId::from_bits(0x7F7F_01FF);

impl Engine {
    /// What clients are told: [`Self::snapshot`], smoothed. The reference ID tells smoothed time from other time; who gets a
    /// leap second as a smear must not hear of it.
    pub fn served(&self, now: Now) -> Snapshot {
        let snapshot = self.snapshot(now);
        let Some(smoothing) = self.smoothing.as_ref().filter(|smoothing| smoothing.is_active()) else {
            return snapshot;
        };
        let smears = self.settings.leapsecmode == LeapSecondMode::Slew && self.reference.is_synchronised();
        let leap = if smears { Leap::None } else { snapshot.leap };
        let curve = smoothing.curve(now.mono);
        let point = curve.at(0.0);
        if point == Point::default() {
            return Snapshot { leap, ..snapshot };
        }
        let reference = snapshot.reference + TimeDelta::from_secs_f64(point.offset).unwrap_or_default();
        Snapshot { leap, refid: SMOOTHED, reference, smoothing: Some(curve), ..snapshot }
    }

    /// How the smoothing of served time stands; `None`: it is not configured.
    pub fn smoothing(&self, now: Now) -> Option<Facts> {
        self.smoothing.as_ref().map(|smoothing| smoothing.facts(now.mono))
    }

    /// Begins to smooth. Answers whether that is configured.
    pub fn activate_smoothing(&mut self, now: Now) -> bool {
        let Some(smoothing) = &mut self.smoothing else { return false };
        if smoothing.activate(now.mono) {
            self.log_smoothing();
        }
        true
    }

    /// Serves the estimated time from now on. Answers whether smoothing is configured.
    pub fn reset_smoothing(&mut self, now: Now) -> bool {
        let Some(smoothing) = &mut self.smoothing else { return false };
        smoothing.reset(now.mono);
        self.log(Level::Info, "Reset time smoothing".to_owned());
        true
    }

    /// The clock was stepped, or nobody knows by how much: there is nothing to be smoothed any more.
    pub(super) fn forget_smoothing(&mut self, now: Now) {
        if let Some(smoothing) = &mut self.smoothing {
            smoothing.reset(now.mono);
        }
    }

    /// The frequency is known to this skew, s/s.
    pub(super) fn consider_smoothing(&mut self, now: Now, skew: f64) {
        if self.smoothing.as_mut().is_some_and(|smoothing| smoothing.consider(now.mono, skew)) {
            self.log_smoothing();
        }
    }

    /// The estimate is another than `before`.
    pub(super) fn smooth(&mut self, now: Now, before: Line) {
        let Some(smoothing) = &mut self.smoothing else { return };
        let free = self.clock.timeline().free(now.clock);
        let line = self.clock.timeline().line();
        let offset = line.offset_at(free).minus(before.offset_at(free));
        smoothing.shifted(now.mono, offset, line.rate - before.rate);
    }

    /// UTC moved by a leap second, which the clock slews away.
    pub(super) fn smooth_leap(&mut self, now: Now, by: TimeDelta) {
        if let Some(smoothing) = &mut self.smoothing {
            smoothing.leapt(now.mono, by.as_secs_f64());
        }
    }

    fn log_smoothing(&mut self) {
        let leaps = self.smoothing.as_ref().is_some_and(|smoothing| smoothing.is_leap_only());
        let which = if leaps { " (leap seconds only)" } else { "" };
        self.log(Level::Info, format!("Activated time smoothing{which}"));
    }
}
