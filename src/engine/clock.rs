//! The clock under discipline: an estimate becomes steps, slews and a rate of the kernel's clock (discipline.md §1.6, §1.7).
//!
//! Nothing here reads or sets a clock; commands go out, and the time line remembers what they do.

use super::bank::steer::{Limits, plan};
use super::options::Settings;
use super::timeline::{Exact, KernelRate, Line, Timeline};
use crate::types::{MonoTime, Now, TimeDelta, Timestamp};

/// The clock jumped by more than this: by how much cannot be told from a suspended machine, everything is measured anew.
const UNKNOWN_JUMP: TimeDelta = TimeDelta::from_secs(10);
/// The clock was stepped by somebody else by more than this. Two readings in a row are less apart.
const FOREIGN_STEP: TimeDelta = TimeDelta::from_millis(1);

/// What is done to the kernel's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ClockCommand {
    /// Its rate is set.
    SetRate(KernelRate),
    /// It is stepped by so much, > 0: forward.
    Step(TimeDelta),
    /// The kernel is told how good it is.
    Status {
        /// Whether a source is followed.
        synchronised: bool,
        /// +1: a second is inserted at the end of the day; −1: deleted.
        leap: i32,
        /// Bound on its error.
        max_error: TimeDelta,
        /// Estimated error.
        est_error: TimeDelta,
    },
    /// TAI − UTC, s.
    Tai(i32),
}

/// How good an estimate is, and how it is to be followed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Manner {
    /// Standard deviation of the offset, s.
    pub offset_sd: f64,
    /// Standard deviation of the rate, s/s.
    pub rate_sd: f64,
    /// Shortest poll interval of the sources that are followed, s.
    pub interval: f64,
    /// Whether this update counts for `makestep`, and may step.
    pub counts: bool,
}

/// Somebody else moved the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jump {
    /// By this much; the estimate is not harmed.
    Known(TimeDelta),
    /// By about this much: all measurements are void.
    Unknown(TimeDelta),
}

/// What became of an estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Applied {
    /// It is followed by slewing; the estimate moved by so much, s.
    Slewed(f64),
    /// The clock was stepped by the second; the estimate moved by the first, s.
    Stepped(f64, TimeDelta),
    /// More than `maxchange`: nothing was done.
    Ignored(f64),
    /// More than `maxchange`, too often.
    GiveUp(f64),
}

/// The clock under discipline.
#[derive(Debug, Clone)]
pub struct Clock {
    timeline: Timeline,
    controlled: bool,
    /// It was never ours to set: what the kernel adds to the oscillator is part of the clock.
    observed: bool,
    slew_end: Option<MonoTime>,
    /// Clock − monotonic clock, as it must be when nobody else sets the clock.
    ahead: TimeDelta,
    last: Now,
    makestep: Option<(f64, i32)>,
    maxchange: Option<(f64, i32, i32)>,
    limits: Limits,
    commands: Vec<ClockCommand>,
    /// What is added to every rate below the loop's notice, s/s (`tempcomp`).
    compensation: f64,
}

impl Clock {
    /// A clock that the kernel runs at `setting`; `controlled`: whether commands have an effect.
    pub fn new(now: Now, setting: KernelRate, controlled: bool, settings: &Settings) -> Self {
        Self {
            timeline: Timeline::new(now.clock, setting),
            controlled,
            observed: !controlled,
            slew_end: None,
            ahead: ahead(now),
            last: now,
            makestep: settings.makestep,
            maxchange: settings.maxchange,
            limits: limits(settings),
            commands: Vec::new(),
            compensation: 0.0,
        }
    }

    /// The oscillator needs so much more, s/s, > 0: the clock is made faster; the estimate does not hear of it.
    pub fn compensate(&mut self, compensation: f64) {
        self.compensation = compensation;
        if self.controlled {
            self.commands.push(ClockCommand::SetRate(self.compensated(self.timeline.setting())));
        }
    }

    fn compensated(&self, setting: KernelRate) -> KernelRate {
        if self.compensation.abs() < f64::EPSILON {
            return setting;
        }
        KernelRate::nearest((1.0 + setting.rate()) * (1.0 + self.compensation) - 1.0)
    }

    /// The time line.
    pub const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Whether commands have an effect.
    pub const fn is_controlled(&self) -> bool {
        self.controlled
    }

    /// When the present slew ends.
    pub const fn next_timeout(&self) -> Option<MonoTime> {
        self.slew_end
    }

    /// How fast the clock gains, s/s, with none of our corrections: where it is not ours to set, with those of somebody else. Within
    /// the bounds of any rate ([`Limits::bound`]), also where both together exceed them.
    pub fn frequency(&self) -> f64 {
        let theirs = if self.observed { self.timeline.setting().rate() } else { 0.0 };
        self.limits.bound(theirs - self.timeline.line().rate)
    }

    /// The rate of the estimate, s/s, for a clock of this [`Self::frequency`].
    pub fn rate_for(&self, frequency: f64) -> f64 {
        let theirs = if self.observed { self.timeline.setting().rate() } else { 0.0 };
        theirs - frequency
    }

    /// Takes the commands that are due, in their order.
    pub fn take_commands(&mut self) -> Vec<ClockCommand> {
        std::mem::take(&mut self.commands)
    }

    /// Adds a command of the engine's.
    pub fn command(&mut self, command: ClockCommand) {
        if self.controlled {
            self.commands.push(command);
        }
    }

    /// Replaces `makestep`.
    pub const fn set_makestep(&mut self, makestep: Option<(f64, i32)>) {
        self.makestep = makestep;
    }

    /// Replaces `maxchange`.
    pub const fn set_max_change(&mut self, maxchange: Option<(f64, i32, i32)>) {
        self.maxchange = maxchange;
    }

    /// Replaces `maxupdateskew`, s/s.
    pub const fn set_max_update_skew(&mut self, skew: f64) {
        self.limits.max_update_skew = skew.abs();
    }

    /// Follows a line that was set by hand.
    pub fn set_line(&mut self, now: Now, line: Line, manner: &Manner) {
        self.timeline.set_line(Line { rate: self.limits.bound(line.rate), ..line });
        self.slew(now, manner);
    }

    /// Looks whether somebody else set the clock since the last call, and ends a slew that is due.
    pub fn tick(&mut self, now: Now) -> Option<Jump> {
        let jumped = ahead(now) - self.ahead;
        self.ahead = ahead(now);
        let jump = if jumped.abs() > UNKNOWN_JUMP {
            self.rebase(now, jumped);
            Some(Jump::Unknown(jumped))
        } else if jumped.abs() > FOREIGN_STEP {
            self.timeline.stepped(now.clock - jumped, jumped);
            Some(Jump::Known(jumped))
        } else {
            None
        };
        self.last = now;
        if self.slew_end.is_some_and(|end| end <= now.mono) {
            self.slew_end = None;
            self.run_at(now, self.timeline.line().rate);
        }
        jump
    }

    /// The machine slept: where the clock is by now, nobody knows.
    pub fn lose_track(&mut self, now: Now) {
        self.rebase(now, ahead(now) - self.ahead);
        self.ahead = ahead(now);
        self.last = now;
    }

    /// Somebody else set the rate, which has moved the clock by `moved` until now.
    pub fn interfered(&mut self, now: Now, setting: KernelRate, moved: TimeDelta) {
        self.timeline.stepped(now.clock - moved, moved);
        self.timeline.rate_set(now.clock, setting);
    }

    /// The estimate goes along with the clock: it keeps its rate and what was still to be slewed.
    fn rebase(&mut self, now: Now, jumped: TimeDelta) {
        let remaining = self.timeline.remaining(now.clock - jumped);
        let rate = self.timeline.line().rate;
        self.timeline = Timeline::new(now.clock, self.timeline.setting());
        let at = self.timeline.free(now.clock);
        self.timeline.set_line(Line { at, offset: Exact::default().plus(remaining), rate });
    }

    /// UTC moved by `by` (−1 s: a leap second was inserted), so that the clock lacks so much more.
    pub fn shift_line(&mut self, by: TimeDelta) {
        let line = self.timeline.line();
        let offset = line.offset.plus(by.as_secs_f64());
        self.timeline.set_line(Line { offset, ..line });
    }

    /// Steps the clock by a leap second, with UTC.
    pub fn step_with_utc(&mut self, now: Now, by: TimeDelta) {
        self.commands.push(ClockCommand::Step(by));
        self.timeline.stepped(now.clock, by);
        self.ahead += by;
        self.shift_line(by);
    }

    /// Sets the rate that the clock needs before there is any estimate (drift file): s/s, > 0: the clock must be made faster.
    pub fn set_initial_rate(&mut self, now: Now, rate: f64) {
        let line = self.timeline.line();
        let at = self.timeline.free(now.clock);
        let rate = self.limits.bound(rate);
        self.timeline.set_line(Line { at, offset: line.offset_at(at), rate });
        self.run_at(now, rate);
    }

    /// Follows an estimate. `updates`: how many there were before.
    pub fn follow(&mut self, now: Now, line: Line, manner: &Manner, updates: u32) -> Applied {
        let old = self.timeline.remaining(now.clock);
        let free = self.timeline.free(now.clock);
        let change = line.offset_at(free).minus(self.timeline.line().offset_at(free));
        if let Some((limit, start, ignore)) = &mut self.maxchange
            && i64::from(updates) >= i64::from(*start)
            && change.abs() > *limit
        {
            if *ignore == 0 {
                return Applied::GiveUp(change);
            }
            *ignore = if *ignore > 0 { *ignore - 1 } else { *ignore };
            return Applied::Ignored(change);
        }
        self.timeline.set_line(line);
        let remaining = old + change;
        let may_step = self.makestep.is_some_and(|(threshold, _)| remaining.abs() > threshold);
        let allowed = manner.counts && self.use_up_makestep();
        if may_step && allowed && self.controlled {
            let delta = self.step(now);
            return Applied::Stepped(change, delta);
        }
        self.slew(now, manner);
        Applied::Slewed(change)
    }

    /// Whether this update may step; counts it.
    fn use_up_makestep(&mut self) -> bool {
        match &mut self.makestep {
            Some((_, count)) if *count > 0 => {
                *count -= 1;
                true
            }
            Some((_, count)) => *count < 0,
            None => false,
        }
    }

    /// Steps the clock by all that it still lacks. Answers by how much.
    pub fn step(&mut self, now: Now) -> TimeDelta {
        let delta = TimeDelta::from_secs_f64(self.timeline.remaining(now.clock)).unwrap_or_default();
        if self.controlled {
            self.commands.push(ClockCommand::Step(delta));
            self.timeline.stepped(now.clock, delta);
            self.ahead += delta;
            self.slew_end = None;
            let after = Now { clock: now.clock + delta, mono: now.mono };
            self.run_at(after, self.timeline.line().rate);
        }
        delta
    }

    /// Slews by what the clock still lacks.
    pub fn slew(&mut self, now: Now, manner: &Manner) {
        if !self.controlled {
            return;
        }
        let remaining = self.timeline.remaining(now.clock);
        let rate = self.timeline.line().rate;
        let slew = plan(remaining, rate, manner.offset_sd, manner.rate_sd, manner.interval, &self.limits);
        self.slew_end = slew.lasts.map(|lasts| now.mono + lasts);
        self.set(now, slew.setting);
    }

    /// The kernel refused `command`, and runs at `setting`: what was believed of it is taken back, and no further command is
    /// given. Whoever asks is told the estimated time all the same.
    pub fn refused(&mut self, now: Now, command: ClockCommand, setting: KernelRate) {
        if let ClockCommand::Step(delta) = command {
            // the reading is the one from before the step: nothing moved
            self.timeline.stepped(now.clock + delta, -delta);
            self.ahead = ahead(now);
        }
        self.controlled = false;
        self.slew_end = None;
        self.commands.clear();
        if self.timeline.setting() != setting {
            self.timeline.rate_set(now.clock, setting);
        }
    }

    /// Commands have an effect from now on; the kernel runs at `setting`.
    pub fn take(&mut self, now: Now, setting: KernelRate) {
        (self.controlled, self.observed) = (true, false);
        if self.timeline.setting() != setting {
            self.timeline.rate_set(now.clock, setting);
        }
    }

    /// Stops slewing, and gives no further command.
    pub fn leave(&mut self, now: Now) {
        self.settle(now);
        self.controlled = false;
    }

    /// Stops slewing: the clock runs on at the rate of the estimate (the end of the daemon).
    pub fn settle(&mut self, now: Now) {
        self.slew_end = None;
        self.run_at(now, self.timeline.line().rate);
    }

    /// What the configuration allows.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The rate that was commanded last reached the kernel when its clock read `at`, not when the engine decided on it.
    pub fn rate_taken(&mut self, at: Timestamp) {
        let late = self.timeline.rate_taken(at);
        self.slew_end = self.slew_end.map(|end| end + late);
    }

    fn run_at(&mut self, now: Now, rate: f64) {
        self.set(now, KernelRate::nearest(rate));
    }

    fn set(&mut self, now: Now, setting: KernelRate) {
        if self.controlled && self.timeline.setting() != setting {
            self.commands.push(ClockCommand::SetRate(self.compensated(setting)));
            self.timeline.rate_set(now.clock, setting);
        }
    }
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        max_slew: settings.maxslewrate.abs().max(1e-6) * 1e-6,
        max_drift: settings.maxdrift.abs() * 1e-6,
        max_update_skew: settings.maxupdateskew.abs() * 1e-6,
        corr_time_ratio: settings.corrtimeratio.max(0.0),
    }
}

fn ahead(now: Now) -> TimeDelta {
    TimeDelta::from_nanos(now.clock.as_nanos().saturating_sub(now.mono.as_nanos()))
}
