//! What follows from an update of the clock: what the reference, the kernel, the logs and the drift file are told.

use super::follow::refid_of;
use super::{
    Action, ClockCommand, Course, Engine, Leap, Level, Now, Record, RefId, Rng, STATUS_INTERVAL, SourceId,
    TimeDelta, Whom, find, named,
};
use crate::engine::record;
use crate::engine::reference::Update;
use crate::engine::selection::Message;
use crate::engine::timeline::FreeTime;

/// The kernel counts this as unsynchronised.
const UNSYNCHRONISED_ERROR: TimeDelta = TimeDelta::from_secs(16);

impl Engine {
    /// What follows an update that is told: reference, kernel, logs, drift file.
    pub(super) fn tell(&mut self, now: Now, used: &[SourceId], facts: &EstimateFacts, rng: &mut dyn Rng) {
        let Some(id) = used.first().copied() else { return };
        let free = self.timeline().free(now.clock);
        let Some(followed) = self.followed(id, free) else { return };
        let estimated = self.clock.timeline().estimated(now.clock);
        let offset = std::mem::take(&mut self.untold);
        let update = Update {
            refid: followed.refid,
            address: match followed.whom {
                Whom::Address(address) => Some(address),
                Whom::Clock(_) => None,
            },
            stratum: followed.stratum,
            leap: self.leap,
            time: estimated - TimeDelta::from_secs_f64(followed.age).unwrap_or_default(),
            root_delay: followed.root.0,
            root_dispersion: followed.root.1 + facts.offset_sd,
            offset,
            offset_sd: facts.offset_sd,
            skew: facts.skew,
            residual: facts.residual,
        };
        let max_error = self.error_of_interval(now, offset, facts.remaining);
        self.combined = used.len();
        self.reference.update(now, update, rng);
        self.learnt = Some((self.frequency(), facts.skew));
        self.fallback.update(now.mono, -self.timeline().line().rate);
        if offset.abs() > self.settings.logchange {
            self.log(Level::Warning, format!("System clock wrong by {offset:.6} seconds"));
        }
        self.actions.push_back(Action::Record(Record::Tracking(record::Tracking {
            time: estimated,
            whom: Some(followed.whom),
            stratum: update.stratum,
            frequency_ppm: self.frequency() * 1e6,
            skew_ppm: facts.skew * 1e6,
            offset,
            leap: update.leap,
            combined: used.len(),
            offset_sd: facts.offset_sd,
            remaining: facts.remaining,
            root_delay: update.root_delay,
            root_dispersion: update.root_dispersion,
            max_error,
        })));
        self.record_selection(now);
        self.tell_tai(now);
        self.tell_kernel(now);
        if self.drift_due.is_some_and(|due| due <= now.mono) {
            self.write_drift(now);
        }
    }

    /// What is told of the source that the clock follows; its sample is used up.
    fn followed(&mut self, id: SourceId, free: FreeTime) -> Option<Followed> {
        let line = self.clock.timeline().line();
        let (register, whom, refid, stratum) = if let Some(source) = find(&mut self.sources, id) {
            source.fresh = false;
            let facts = source.association.facts();
            let address = facts.address.ip();
            let (refid, stratum) = if source.association.options().flags.copy {
                (facts.last.map_or(RefId::from_bits(0), |p| p.header.refid), facts.stratum)
            } else {
                (refid_of(address), facts.stratum.saturating_add(1).min(16))
            };
            (source.association.register(), Whom::Address(address), refid, stratum)
        } else {
            let source = self.clocks.get_mut(&id)?;
            source.fresh = false;
            let options = source.clock.options();
            let stratum = options.stratum.saturating_add(1);
            (source.clock.register(), Whom::Clock(options.refid), options.refid, stratum)
        };
        let newest = register.latest(&line).map(|latest| latest.at);
        Some(Followed {
            whom,
            refid,
            stratum,
            root: register.root(free).unwrap_or((0.0, 0.0)),
            age: newest.map_or(0.0, |at| (free - at).as_secs_f64()),
        })
    }

    /// How far the clock was wrong at most since the last update.
    fn error_of_interval(&self, now: Now, offset: f64, remaining: f64) -> f64 {
        let estimated = self.timeline().estimated(now.clock);
        let distance = self.reference.root_distance(estimated).unwrap_or(0.0);
        offset.abs() + remaining.abs() + distance
    }

    pub(super) fn lose(&mut self, now: Now) {
        if self.reference.lose(now) || self.reference.updates() == 0 && self.combined != usize::MAX {
            // the first line of tracking.log says that nothing is followed yet
            if self.reference.updates() == 0 {
                self.combined = usize::MAX;
            }
            let estimated = self.timeline().estimated(now.clock);
            self.actions.push_back(Action::Record(Record::Tracking(record::Tracking {
                time: estimated,
                whom: None,
                stratum: 0,
                frequency_ppm: self.frequency() * 1e6,
                skew_ppm: self.learnt.map_or(1e6, |(_, skew)| skew * 1e6),
                offset: 0.0,
                leap: Leap::Unsynchronised,
                combined: 0,
                offset_sd: 0.0,
                remaining: self.timeline().remaining(now.clock),
                root_delay: 1.0,
                root_dispersion: 1.0,
                max_error: 1.5,
            })));
            self.tell_kernel(now);
        }
    }

    /// Tells the kernel how good the clock is; it is told again before its own bound grows too large.
    pub(super) fn tell_kernel(&mut self, now: Now) {
        if !self.clock.is_controlled() {
            self.status_due = None;
            return;
        }
        let estimated = self.timeline().estimated(now.clock);
        let remaining = self.timeline().remaining(now.clock).abs();
        let synchronised = self.reference.is_synchronised();
        let command = match self.reference.root_distance(estimated).filter(|_| synchronised) {
            Some(distance) => {
                let max_error = TimeDelta::from_secs_f64(distance + remaining).unwrap_or(TimeDelta::MAX);
                let sd = self.reference.current().map_or(0.0, |u| u.offset_sd);
                ClockCommand::Status {
                    synchronised: self.settings.rtcsync && max_error < UNSYNCHRONISED_ERROR,
                    leap: match self.leap {
                        _ if !self.kernel_leaps() => 0,
                        Leap::Add => 1,
                        Leap::Delete => -1,
                        Leap::None | Leap::Unsynchronised => 0,
                    },
                    max_error: max_error.min(UNSYNCHRONISED_ERROR),
                    est_error: TimeDelta::from_secs_f64(sd.max(remaining))
                        .unwrap_or(TimeDelta::MAX)
                        .min(UNSYNCHRONISED_ERROR),
                }
            }
            None => ClockCommand::Status {
                synchronised: false,
                leap: 0,
                max_error: UNSYNCHRONISED_ERROR,
                est_error: UNSYNCHRONISED_ERROR,
            },
        };
        self.clock.command(command);
        self.status_due = synchronised.then(|| now.mono + STATUS_INTERVAL);
        self.flush_clock();
    }

    pub(super) fn write_drift(&mut self, now: Now) {
        let Some((frequency, skew)) = self.learnt else { return };
        self.actions.push_back(Action::Drift(frequency * 1e6, skew * 1e6));
        self.drift_due = Some(now.mono + TimeDelta::from_secs(i64::from(self.settings.drift_interval)));
    }

    pub(super) fn report(&mut self, messages: &[Message]) {
        for message in messages {
            let (level, text) = self.message(message);
            self.log(level, text);
        }
    }

    fn message(&self, message: &Message) -> (Level, String) {
        let who = |id: &SourceId| {
            let clock =
                || self.clock_identity(*id).and_then(|(refid, _)| refid.as_ascii()).unwrap_or_default();
            self.sources.get(id).map_or_else(clock, |s| named(s.association.address().ip(), &s.name))
        };
        let s = &self.settings;
        let text = match message {
            Message::Selected(id) => return (Level::Info, format!("Selected source {}", who(id))),
            Message::NoMajority { agree, of, trusted: false } => {
                format!("Can't synchronise: no majority (only {agree} of {of} sources agree)")
            }
            Message::NoMajority { agree, of, trusted: true } => {
                format!("Can't synchronise: no majority (only {agree} of {of} trusted sources agree)")
            }
            Message::NoAgreement { of } => {
                format!("Can't synchronise: no majority (no agreement among {of} sources)")
            }
            Message::NoSelectable { unreachable } => {
                format!("Can't synchronise: no selectable sources ({unreachable} unreachable sources)")
            }
            Message::NotEnough => "Can't synchronise: not enough selectable sources".to_owned(),
            Message::NoRequired => "Can't synchronise: no required source in selectable sources".to_owned(),
            Message::NoSources => "Can't synchronise: no sources".to_owned(),
            Message::Distance(id) => {
                format!("Root distance of {} exceeds maxdistance of {:.3} seconds", who(id), s.maxdistance)
            }
            Message::Jitter(id) => {
                format!("Jitter of {} exceeds maxjitter of {:.3} seconds", who(id), s.maxjitter)
            }
            Message::StratumBelow(id) => {
                format!("Stratum of {} below minstratum of {}", who(id), s.minstratum)
            }
            Message::StratumAbove(id) => {
                format!("Stratum of {} above maxstratum of {}", who(id), s.maxstratum)
            }
            Message::Falseticker(id) => format!("Detected falseticker {}", who(id)),
        };
        (Level::Warning, text)
    }

    pub(super) fn record_statistics(&mut self, now: Now, id: SourceId) {
        if !self.details {
            return;
        }
        let (at, line) = (self.timeline().free(now.clock), self.timeline().line());
        let time = self.timeline().estimated(now.clock);
        let Some(whom) = self.whom(id) else { return };
        let (register, course) = match (self.sources.get_mut(&id), self.clocks.get_mut(&id)) {
            (Some(source), _) => (source.association.register(), &mut source.course),
            (None, Some(source)) => (source.clock.register(), &mut source.course),
            (None, None) => return,
        };
        let s = register.statistics(at, &line);
        let frequency = s.residual_frequency.ratio();
        let stress = (frequency - course.frequency).abs() / course.skew.max(1e-12);
        let dropped = (course.samples + 1).saturating_sub(s.samples);
        *course = Course { frequency, skew: s.skew, samples: s.samples };
        self.actions.push_back(Action::Record(Record::Statistics(record::Statistics {
            time,
            whom,
            jitter: s.jitter.get(),
            offset: s.offset.get(),
            offset_sd: s.offset_deviation.get(),
            frequency,
            skew: s.skew,
            stress,
            samples: s.samples,
            dropped,
            runs: s.runs,
            asymmetry: s.asymmetry,
        })));
    }

    fn record_selection(&mut self, now: Now) {
        if !self.details {
            return;
        }
        let time = self.timeline().estimated(now.clock);
        let servers = self.sources.iter().map(|(id, source)| {
            let whom = Whom::Address(source.association.address().ip());
            (*id, whom, source.effective, source.association.facts().reach.bits())
        });
        let clocks = self.clocks.iter().map(|(id, source)| {
            let whom = Whom::Clock(source.clock.options().refid);
            (*id, whom, source.effective(), source.clock.reach().bits())
        });
        for (source, whom, options, reach) in servers.chain(clocks) {
            let shown = self.selection.shown(source);
            self.actions.push_back(Action::Record(Record::Selection(record::Selection {
                time,
                source,
                whom,
                letter: shown.status.letter(),
                options,
                reach,
                score: shown.score,
                last_ago: shown.last_ago,
                low: shown.limits.0,
                high: shown.limits.1,
            })));
        }
    }
}

/// The source that the clock follows.
struct Followed {
    whom: Whom,
    refid: RefId,
    stratum: u8,
    /// Root delay and root dispersion now, s.
    root: (f64, f64),
    /// Of its newest sample, s.
    age: f64,
}

/// What the estimate says beside the time, s and s/s.
pub(super) struct EstimateFacts {
    pub(super) offset_sd: f64,
    pub(super) skew: f64,
    /// Rate that is left uncorrected.
    pub(super) residual: f64,
    /// Offset that is left to be slewed.
    pub(super) remaining: f64,
}
