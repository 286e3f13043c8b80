//! Options that `chronyc` changes while the daemon runs.

use std::fmt;

use super::schedule::POLL_RANGE;
use super::{Association, Context, Effect, Notice, tuning};

/// One option and its new value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// `minpoll`; a lower `maxpoll` follows.
    MinPoll(i32),
    /// `maxpoll`; a higher `minpoll` follows.
    MaxPoll(i32),
    /// `maxdelay`, s.
    MaxDelay(f64),
    /// `maxdelayratio`.
    MaxDelayRatio(f64),
    /// `maxdelaydevratio`.
    MaxDelayDevRatio(f64),
    /// `minstratum`.
    MinStratum(u32),
    /// `polltarget`.
    PollTarget(u32),
    /// `offset`, s; > 0: our clock is behind by so much more.
    Offset(f64),
}

impl fmt::Display for Change {
    /// The end of the line in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinPoll(value) => write!(f, "minpoll {value}"),
            Self::MaxPoll(value) => write!(f, "maxpoll {value}"),
            Self::MaxDelay(value) => write!(f, "maxdelay {value:.6}"),
            Self::MaxDelayRatio(value) => write!(f, "maxdelayratio {value:.6}"),
            Self::MaxDelayDevRatio(value) => write!(f, "maxdelaydevratio {value:.6}"),
            Self::MinStratum(value) => write!(f, "minstratum {value}"),
            Self::PollTarget(value) => write!(f, "polltarget {value}"),
            Self::Offset(value) => write!(f, "offset {value:.6}"),
        }
    }
}

impl Association {
    /// Changes an option. A poll beyond −7 … 24 and what is not a finite number change nothing, as in chronyd.
    pub fn change(&mut self, context: &Context<'_>, change: Change) {
        let polls = POLL_RANGE.0..=POLL_RANGE.1;
        let options = &mut self.options;
        match change {
            Change::MinPoll(poll) | Change::MaxPoll(poll) if !polls.contains(&poll) => return,
            Change::MaxDelay(value)
            | Change::MaxDelayRatio(value)
            | Change::MaxDelayDevRatio(value)
            | Change::Offset(value)
                if !value.is_finite() =>
            {
                return;
            }
            Change::MinPoll(poll) => {
                options.minpoll = poll;
                options.maxpoll = options.maxpoll.max(poll);
            }
            Change::MaxPoll(poll) => {
                options.maxpoll = poll;
                options.minpoll = options.minpoll.min(poll);
            }
            Change::MaxDelay(value) => options.maxdelay = value,
            Change::MaxDelayRatio(value) => options.maxdelayratio = value,
            Change::MaxDelayDevRatio(value) => options.maxdelaydevratio = value,
            Change::MinStratum(value) => options.minstratum = value,
            Change::PollTarget(value) => options.polltarget = value,
            Change::Offset(value) => options.offset = value,
        }
        self.schedule.relimit(&self.options);
        self.register.tune(tuning(&self.options, context.host));
        self.effects.push_back(Effect::Notice(Notice::Changed(change)));
    }
}
