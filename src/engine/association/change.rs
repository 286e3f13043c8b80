//! Options that `chronyc` changes while the daemon runs.

use std::fmt;

use super::schedule::POLL_RANGE;
use super::{Association, Context, Effect, Notice, tuning};
use crate::engine::options::Source;

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

impl Change {
    /// Makes the change. A poll beyond −7 … 24 and what is not a finite number change nothing, as in chronyd: false.
    pub fn apply(self, options: &mut Source) -> bool {
        let polls = POLL_RANGE.0..=POLL_RANGE.1;
        match self {
            Self::MinPoll(poll) | Self::MaxPoll(poll) if !polls.contains(&poll) => return false,
            Self::MaxDelay(value)
            | Self::MaxDelayRatio(value)
            | Self::MaxDelayDevRatio(value)
            | Self::Offset(value)
                if !value.is_finite() =>
            {
                return false;
            }
            Self::MinPoll(poll) => {
                options.minpoll = poll;
                options.maxpoll = options.maxpoll.max(poll);
            }
            Self::MaxPoll(poll) => {
                options.maxpoll = poll;
                options.minpoll = options.minpoll.min(poll);
            }
            Self::MaxDelay(value) => options.maxdelay = value,
            Self::MaxDelayRatio(value) => options.maxdelayratio = value,
            Self::MaxDelayDevRatio(value) => options.maxdelaydevratio = value,
            Self::MinStratum(value) => options.minstratum = value,
            Self::PollTarget(value) => options.polltarget = value,
            Self::Offset(value) => options.offset = value,
        }
        true
    }
}

impl Association {
    /// Changes an option, where [`Change::apply`] does.
    pub fn change(&mut self, context: &Context<'_>, change: Change) {
        if !change.apply(&mut self.options) {
            return;
        }
        self.schedule.relimit(&self.options);
        self.register.tune(tuning(&self.options, context.host));
        self.effects.push_back(Effect::Notice(Notice::Changed(change)));
    }
}
