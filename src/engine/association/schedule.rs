//! When the next request leaves: poll interval, bursts, warm-up requests, delays after a kiss code (discipline.md §1.8, decisions.md).

use super::quantile::fraction;
use super::{Activity, Context, Role, Start};
use crate::engine::options::Source;
use crate::types::{LogInterval, MonoTime, TimeDelta};

/// To the first request of a daemon.
const FIRST: TimeDelta = TimeDelta::from_millis(200);
/// How much is added to an interval at random.
const JITTER: f64 = 0.02;
/// Gap in a burst, s, …
const BURST_GAP: f64 = 2.0;
/// … unless a quarter of the poll interval is shorter.
const BURST_PART: f64 = 0.25;
/// The gap before the last request of an initial burst, in gaps: it carries most of what the burst says about the frequency.
const LONG_GAP: f64 = 8.0;
/// The initial burst: good replies wanted, requests at most.
const INITIAL_BURST: (u32, u32) = (4, 8);
/// Most requests of a burst in the place of one request.
const MAX_BURST: u32 = 4;
/// From a warm-up request to the one that measures, s.
const PRESEND_GAP: f64 = 2.0;
/// Intervals to wait after a kiss code RATE.
const KISS_WAIT: f64 = 4.0;
/// What an unanswered request adds to the score.
const SCORE_UNANSWERED: f64 = 0.25;
/// The same for the selected source.
const SCORE_UNANSWERED_SELECTED: f64 = 0.1;
/// What a bad packet adds.
const SCORE_BAD: f64 = 0.1;
/// What a packet adds whose only fault is a loop.
const SCORE_LOOP: f64 = 0.02;
/// Round trip up to which intervals below a second are allowed, s.
const SUBSECOND_DELAY: f64 = 0.01;
/// Limits of the poll exponent.
pub(super) const POLL_RANGE: (i32, i32) = (-7, 24);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `iburst`.
    Initial,
    /// `burst`: in the place of a single request.
    Every,
    /// `chronyc burst`.
    Command,
}

#[derive(Debug, Clone, Copy)]
struct Burst {
    kind: Kind,
    good: u32,
    left: u32,
}

/// What the request that is sent is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To measure.
    Measure,
    /// To warm the path up: its sample is not used.
    WarmUp,
}

/// The schedule of one association.
#[derive(Debug)]
pub(super) struct Schedule {
    start: Start,
    /// log2 s.
    poll: i32,
    score: f64,
    /// The exponent that the discipline wants.
    directed: Option<f64>,
    /// The exponent of a peer: the shorter interval counts for both.
    remote: Option<f64>,
    online: bool,
    burst: Option<Burst>,
    /// Warm-up requests before the next one that measures; `None`: not begun.
    warm_up: Option<u32>,
    due: Option<MonoTime>,
    last: Option<MonoTime>,
    /// Whether a measuring request has no reply yet.
    awaiting: bool,
    /// Whether this source is the selected one.
    pub(super) selected: bool,
}

impl Schedule {
    pub(super) fn new(options: &Source, start: Start, _now: MonoTime) -> Self {
        Self {
            start,
            poll: shortest(options),
            score: 0.0,
            directed: None,
            remote: None,
            online: false,
            burst: None,
            warm_up: None,
            due: None,
            last: None,
            awaiting: false,
            selected: false,
        }
    }

    pub(super) const fn due(&self) -> Option<MonoTime> {
        self.due
    }

    pub(super) const fn is_online(&self) -> bool {
        self.online
    }

    pub(super) const fn is_awaiting(&self) -> bool {
        self.awaiting
    }

    /// log2 s, as reports have it.
    pub(super) fn poll(&self) -> i32 {
        whole(self.exponent())
    }

    /// What packets say: a peer is told what we would like.
    pub(super) fn stated_poll(&self) -> LogInterval {
        LogInterval::from_log2(i8::try_from(whole(self.own())).unwrap_or(6))
    }

    pub(super) fn score(&self) -> f64 {
        self.directed.map_or(self.score, |exponent| exponent - f64::from(whole(exponent)))
    }

    fn own(&self) -> f64 {
        self.directed.unwrap_or_else(|| f64::from(self.poll))
    }

    fn exponent(&self) -> f64 {
        self.remote.map_or(self.own(), |remote| self.own().min(remote))
    }

    /// The peer is not there any more.
    pub(super) fn forget_remote(&mut self) {
        self.remote = None;
    }

    /// A peer says how often it sends.
    pub(super) fn remote_poll(&mut self, poll: LogInterval, role: Role, options: &Source) {
        if role == Role::Peer {
            self.remote = Some(f64::from(i32::from(poll.log2()).max(shortest(options))));
            if let Some(last) = self.last {
                // what was planned by a longer interval is too late now
                let longest = TimeDelta::from_secs_f64(self.interval() * (1.0 + JITTER)).unwrap_or_default();
                self.due = self.due.map(|due| due.min(last + longest));
            }
        }
    }

    pub(super) const fn activity(&self) -> Activity {
        match (self.online, self.burst) {
            (true, Some(Burst { kind: Kind::Initial | Kind::Command, .. })) => Activity::BurstOnline,
            (false, Some(_)) => Activity::BurstOffline,
            (true, _) => Activity::Online,
            (false, None) => Activity::Offline,
        }
    }

    /// Seconds between requests.
    fn interval(&self) -> f64 {
        self.exponent().exp2()
    }

    pub(super) fn go_online(&mut self, options: &Source, now: MonoTime) {
        self.online = true;
        if options.flags.iburst && options.kind != crate::engine::options::Kind::Peer {
            let (good, left) = INITIAL_BURST;
            self.burst = Some(Burst { kind: Kind::Initial, good, left });
        }
        let first = if self.start == Start::AtOnce { TimeDelta::ZERO } else { FIRST };
        self.hasten(now + first);
    }

    /// Answers whether nothing more is awaited; a burst by command goes on.
    pub(super) fn go_offline(&mut self) -> bool {
        self.online = false;
        if matches!(self.burst, Some(Burst { kind: Kind::Command, .. })) {
            return false;
        }
        self.burst = None;
        self.stop();
        true
    }

    fn stop(&mut self) {
        self.due = None;
        self.awaiting = false;
        self.warm_up = None;
    }

    pub(super) fn burst(&mut self, good: u32, total: u32, now: MonoTime) {
        if self.burst.is_none() && good > 0 && total > 0 {
            self.burst = Some(Burst { kind: Kind::Command, good, left: total });
            self.hasten(now + if self.start == Start::AtOnce { TimeDelta::ZERO } else { FIRST });
        }
    }

    /// The source broadcasts: its round trip is measured by so many good replies, in so many requests at most.
    pub(super) fn volley(&mut self, (good, left): (u32, u32), now: MonoTime) {
        self.online = true;
        self.start = Start::AtOnce;
        self.burst = Some(Burst { kind: Kind::Initial, good, left });
        self.due = Some(now);
    }

    /// Whether the volley has brought all that it can.
    pub(super) const fn volley_is_over(&self) -> bool {
        self.burst.is_none()
    }

    /// The source broadcasts: its next packet is due by then.
    pub(super) const fn wait(&mut self, due: MonoTime) {
        self.burst = None;
        self.awaiting = false;
        self.due = Some(due);
    }

    /// The source broadcasts as often as it likes: that is our poll.
    pub(super) fn follow(&mut self, poll: i32) {
        self.poll = poll;
        (self.score, self.directed) = (0.0, None);
    }

    /// No later than this.
    pub(super) fn hasten(&mut self, at: MonoTime) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// No earlier than this.
    pub(super) fn postpone(&mut self, at: MonoTime) {
        self.due = self.due.map(|due| due.max(at));
    }

    /// A request leaves now: what for, and when the next one is due.
    pub(super) fn transmit(&mut self, options: &Source, context: &mut Context<'_>) -> Purpose {
        let now = context.now.mono;
        self.last = Some(now);
        if self.burst.is_none() {
            let left = self.warm_up.unwrap_or_else(|| self.warm_ups(options));
            if left > 0 {
                self.warm_up = Some(left - 1);
                self.due = Some(later(now, PRESEND_GAP, context));
                self.awaiting = false;
                return Purpose::WarmUp;
            }
            self.warm_up = None;
            let ahead = self.poll() - options.minpoll;
            if options.flags.burst && options.kind != crate::engine::options::Kind::Peer && ahead > 0 {
                let left = if ahead >= 2 { MAX_BURST } else { 2 };
                self.burst = Some(Burst { kind: Kind::Every, good: 1, left });
            }
        }
        if let Some(burst) = &mut self.burst {
            burst.left = burst.left.saturating_sub(1);
        }
        self.awaiting = true;
        let gap = self.gap();
        self.due = Some(later(now, gap, context));
        if self.burst.is_some_and(|burst| burst.left == 0) {
            self.burst = None;
            if !self.online {
                self.due = None;
            }
        }
        Purpose::Measure
    }

    fn warm_ups(&self, options: &Source) -> u32 {
        match self.poll() >= options.presend {
            false => 0,
            true if options.flags.xleave => 2,
            true => 1,
        }
    }

    /// Seconds from the last request to the next one.
    fn gap(&self) -> f64 {
        let interval = self.interval();
        let Some(burst) = self.burst.filter(|burst| burst.left > 0) else { return interval };
        let short = BURST_GAP.min(BURST_PART * interval);
        let last = burst.good == 1 || burst.left == 1;
        if burst.kind == Kind::Initial && last && self.start == Start::Daemon {
            (LONG_GAP * short).min(interval)
        } else {
            short
        }
    }

    /// The request was answered by a sample that is good in all respects.
    pub(super) fn good(&mut self, context: &mut Context<'_>) {
        let Some(burst) = &mut self.burst else {
            return;
        };
        burst.good = burst.good.saturating_sub(1);
        if burst.good == 0 {
            self.burst = None;
        }
        self.plan(context);
    }

    /// Plans the next request anew from the last one.
    fn plan(&mut self, context: &mut Context<'_>) {
        self.due = match self.last {
            Some(last) if self.online || self.burst.is_some() => {
                Some(later(last, self.gap(), context).max(context.now.mono))
            }
            Some(_) => None,
            None => self.due,
        };
    }

    /// The request has its reply.
    pub(super) fn answered(&mut self) {
        self.awaiting = false;
    }

    /// The request had no reply by the time of the next one.
    pub(super) fn unanswered(&mut self, options: &Source) {
        self.awaiting = false;
        let change = if self.selected { SCORE_UNANSWERED_SELECTED } else { SCORE_UNANSWERED };
        self.adjust(change, options, None);
    }

    /// The request could not be sent: the next one at the usual interval.
    pub(super) fn not_sent(&mut self, now: MonoTime) {
        self.warm_up = None;
        if self.online && self.burst.is_none() {
            let interval = TimeDelta::from_secs_f64(self.interval()).unwrap_or_default();
            self.due = Some(self.due.map_or(now + interval, |due| due.max(now)));
        }
    }

    /// A packet that does not help.
    pub(super) fn bad(&mut self, only_loops: bool, options: &Source) {
        self.adjust(if only_loops { SCORE_LOOP } else { SCORE_BAD }, options, None);
    }

    /// The source wants fewer requests.
    pub(super) fn kissed(&mut self, denied: bool, options: &Source, context: &mut Context<'_>) {
        self.burst = None;
        self.warm_up = None;
        if denied {
            self.poll = longest(options);
            self.directed = self.directed.map(|_| f64::from(self.poll));
        }
        self.due = self.online.then(|| later(context.now.mono, KISS_WAIT * self.interval(), context));
    }

    /// A good sample missed what was predicted by `error` s, having `distance` s to miss by itself; `samples` are in the register.
    pub(super) fn learn(
        &mut self,
        error: Option<f64>,
        distance: f64,
        samples: f64,
        min_delay: Option<f64>,
        options: &Source,
    ) {
        if self.directed.is_some() {
            return;
        }
        let change = match error {
            Some(error) if error > distance && distance > 0.0 => -(error / distance).log2(),
            _ => {
                let target = f64::from(options.polltarget.max(1));
                let change = (samples / target - 1.0) / target;
                if change < 0.0 { 2.0 * change } else { change }
            }
        };
        self.adjust(change, options, min_delay);
    }

    fn adjust(&mut self, change: f64, options: &Source, min_delay: Option<f64>) {
        if !change.is_finite() {
            return;
        }
        if let Some(exponent) = &mut self.directed {
            let (low, high) = (f64::from(shortest(options)), f64::from(longest(options)));
            *exponent = (*exponent + change).clamp(low.min(high), high);
            return;
        }
        self.score += change;
        while self.score >= 1.0 {
            self.poll += 1;
            self.score -= 1.0;
        }
        while self.score <= -1.0 && self.poll > POLL_RANGE.0 {
            self.poll -= 1;
            self.score += 1.0;
        }
        self.limit(options, min_delay);
    }

    fn limit(&mut self, options: &Source, min_delay: Option<f64>) {
        let (low, high) = (shortest(options), longest(options));
        if self.poll < low {
            self.poll = low;
            self.score = 0.0;
        } else if self.poll > high {
            self.poll = high;
            self.score = 0.0;
        }
        if self.poll < 0 && min_delay.is_some_and(|delay| delay > SUBSECOND_DELAY) {
            self.poll = 0;
        }
    }

    /// The discipline wants this exponent.
    pub(super) fn direct(&mut self, exponent: f64, options: &Source, min_delay: Option<f64>) {
        if !exponent.is_finite() {
            return;
        }
        let (low, high) = (f64::from(shortest(options)), f64::from(longest(options)));
        let mut exponent = exponent.clamp(low.min(high), high);
        if exponent < 0.0 && min_delay.is_some_and(|delay| delay > SUBSECOND_DELAY) {
            exponent = 0.0;
        }
        let before = self.interval();
        self.directed = Some(exponent);
        let Some((last, due)) = self.last.zip(self.due) else { return };
        // the random part is kept; bursts, warm-ups and delays after a kiss code are no intervals of this kind
        let planned = (due - last).as_secs_f64() / before;
        if self.burst.is_none() && self.warm_up.is_none() && (0.999..=1.001 + JITTER).contains(&planned) {
            let wanted = TimeDelta::from_secs_f64(planned * self.interval()).unwrap_or_default();
            self.due = Some(last + wanted);
        }
    }

    /// The limits changed.
    pub(super) fn relimit(&mut self, options: &Source) {
        self.limit(options, None);
        if let Some(exponent) = self.directed {
            self.direct(exponent, options, None);
        }
    }
}

/// The nearest whole exponent.
fn whole(exponent: f64) -> i32 {
    (POLL_RANGE.0..=POLL_RANGE.1).rfind(|poll| f64::from(*poll) <= exponent + 0.5).unwrap_or(POLL_RANGE.0)
}

/// Shortest interval, log2 s.
fn shortest(options: &Source) -> i32 {
    options.minpoll.clamp(POLL_RANGE.0, POLL_RANGE.1)
}

/// Longest interval, log2 s; never below the shortest.
fn longest(options: &Source) -> i32 {
    options.maxpoll.clamp(shortest(options), POLL_RANGE.1)
}

/// `secs` after `from`, and a little at random.
fn later(from: MonoTime, secs: f64, context: &mut Context<'_>) -> MonoTime {
    let jitter = 1.0 + JITTER * fraction(context.rng);
    from + TimeDelta::from_secs_f64(secs * jitter).unwrap_or_default()
}
