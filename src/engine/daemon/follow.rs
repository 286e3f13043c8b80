//! From a sample to the clock: selection, estimate, correction, and what is told about it.

use std::net::IpAddr;

use super::{
    Action, Candidate, ClockCommand, Course, EXTRA_EVERY, Engine, Jump, KernelRate, Leap, Level, Measurement,
    Now, Record, RefId, Rng, STATUS_INTERVAL, SourceId, TimeDelta, Whom, named, selection,
};
use crate::auth::refid_of_ipv6;
use crate::engine::bank::{Verdict, steer};
use crate::engine::clock::{Applied, Manner};
use crate::engine::interference::Interference;
use crate::engine::record;
use crate::engine::reference::Update;
use crate::engine::selection::{Decision, Message, Outcome, Status};
use crate::engine::timeline::FreeTime;

/// Standard deviations that make a bound on the error of the frequency.
const SKEW: f64 = 3.5;
/// The kernel counts this as unsynchronised.
const UNSYNCHRONISED_ERROR: TimeDelta = TimeDelta::from_secs(16);
/// An extra request follows a suspicion after this long.
const EXTRA_AFTER: TimeDelta = TimeDelta::from_secs(2);
/// Interference that goes on without such a pause is one.
const INTERFERENCE_PAUSE: TimeDelta = TimeDelta::from_secs(600);
/// Samples of the bank during which a newly admitted source brings its earlier ones along.
const START_SAMPLES: u64 = 24;

impl Engine {
    /// Ends slews, and looks whether somebody else moved the clock.
    pub(super) fn watch_clock(&mut self, now: Now, rng: &mut dyn Rng) {
        match self.clock.tick(now) {
            None => {}
            Some(Jump::Known(by)) if self.is_leap_second(now, by) => {}
            Some(Jump::Known(by)) => {
                self.log(
                    Level::Warning,
                    format!("System clock was moved by {:.6} seconds by somebody else", by.as_secs_f64()),
                );
                if let Some(manner) = self.manner(now, false) {
                    self.clock.slew(now, &manner);
                }
            }
            Some(Jump::Unknown(by)) => {
                let way = if by.is_negative() { "Backward" } else { "Forward" };
                self.log(Level::Warning, format!("{way} time jump detected!"));
                self.forget_smoothing(now);
                self.restart(now, rng);
            }
        }
        self.flush_clock();
    }

    /// The machine slept: nobody knows by how much the clock is off.
    pub(super) fn resume(&mut self, now: Now, rng: &mut dyn Rng) {
        self.clock.lose_track(now);
        self.forget_smoothing(now);
        self.log(Level::Warning, "Forward time jump detected!".to_owned());
        self.restart(now, rng);
    }

    /// Somebody else set the rate of the kernel's clock. What that did is a correction like any other; our own rate is set again.
    pub(super) fn interfered(&mut self, now: Now, found: Interference, rng: &mut dyn Rng) {
        if !self.clock.is_controlled() {
            return;
        }
        if self.quiet_until.is_none_or(|until| until <= now.mono) {
            self.log(Level::Warning, "System clock interference detected (another NTP client?)".to_owned());
        }
        self.quiet_until = Some(now.mono + INTERFERENCE_PAUSE);
        match found.moved {
            Some(moved) => self.clock.interfered(now, found.setting, moved),
            None => {
                self.clock.lose_track(now);
                self.clock.interfered(now, found.setting, TimeDelta::ZERO);
                self.forget_smoothing(now);
                self.restart(now, rng);
            }
        }
        match self.manner(now, false) {
            Some(manner) => self.clock.slew(now, &manner),
            None => self.clock.settle(now),
        }
        self.tell_kernel(now);
    }

    /// The clock was not updated for so long that an average of its frequency is better than the last one.
    pub(super) fn fall_back(&mut self, now: Now) {
        if let Some(frequency) = self.fallback.timer(now.mono) {
            let before = self.timeline().line();
            self.clock.set_initial_rate(now, -frequency);
            self.smooth(now, before);
            self.lose(now);
        }
    }

    /// The temperature changed, and with it the oscillator.
    pub(super) fn compensate(&mut self, now: Now, temperature: f64) {
        let ppm = self.settings.tempcomp.as_ref().and_then(|model| model.at(temperature));
        if let Some(ppm) = ppm {
            self.clock.compensate(ppm * 1e-6);
            let time = self.timeline().estimated(now.clock);
            self.actions.push_back(Action::Record(Record::Temperature(time, temperature, ppm)));
        }
    }

    /// The kernel's clock cannot be steered (any more): the daemon goes on as an observer.
    pub(super) fn refused(&mut self, now: Now, command: ClockCommand, setting: KernelRate) {
        if self.clock.is_controlled()
            && !matches!(command, ClockCommand::Status { .. } | ClockCommand::Tai(_))
        {
            self.clock.refused(now, command, setting);
            self.commands.clear();
            self.log(Level::Error, "The system clock cannot be controlled any more".to_owned());
        }
    }

    /// All measurements are void.
    pub(super) fn restart(&mut self, now: Now, rng: &mut dyn Rng) {
        self.bank.lose_offset();
        for source in self.clocks.values_mut() {
            source.clock.reset();
            (source.fed, source.fresh) = (false, false);
        }
        let ids: Vec<SourceId> = self.sources.keys().copied().collect();
        for id in ids {
            if let Some(source) = self.sources.get_mut(&id) {
                source.association.reset();
                source.fed = false;
                source.fresh = false;
            }
            self.drain(now, id, rng);
        }
        self.lose(now);
    }

    /// A good sample came in; it is in the register already.
    pub(super) fn sampled(&mut self, now: Now, id: SourceId, measurement: &Measurement, rng: &mut dyn Rng) {
        if let Some(source) = self.sources.get_mut(&id) {
            source.fresh = true;
        }
        self.record_statistics(now, id);
        if !self.crowd.is_time(now.mono, self.sources.len(), self.selection.selected() == Some(id)) {
            self.crowd.waits(id);
            if self.is_admitted(id) && self.selection.selected().is_some() && self.feed(now, id, measurement)
            {
                self.correct(now, None, rng);
            }
            return;
        }
        let outcome = self.judge(now, Some(id));
        let admitted = self.is_admitted(id) && outcome.decision != Decision::Lost;
        if admitted {
            self.feed(now, id, measurement);
        }
        self.decide(now, outcome, admitted, rng);
    }

    /// The reachability of a source changed.
    pub(super) fn reached(&mut self, now: Now, rng: &mut dyn Rng) {
        if self.crowd.is_time(now.mono, self.sources.len(), false) {
            self.select(now, rng);
        }
    }

    /// Runs the selection because something other than a sample changed.
    pub(super) fn select(&mut self, now: Now, rng: &mut dyn Rng) {
        let outcome = self.judge(now, None);
        // without a sample there is nothing to update from
        if outcome.decision == Decision::Lost {
            self.decide(now, outcome, false, rng);
        } else {
            self.report(&outcome.messages);
        }
    }

    pub(super) fn judge(&mut self, now: Now, updated: Option<SourceId>) -> Outcome {
        let at = self.timeline().free(now.clock);
        let line = self.timeline().line();
        let servers = self.sources.iter().map(|(id, source)| {
            let facts = source.association.facts();
            Candidate {
                id: *id,
                refclock: false,
                options: source.effective,
                leap: facts.leap,
                stratum: facts.stratum,
                reach: facts.reach.bits(),
                reach_size: facts.reach_size,
                given_up: facts.given_up,
                fresh: source.fresh,
                senior: facts.last.and_then(|packet| senior(facts.address.ip(), packet.local?)),
                stats: source.association.register().stats(at, &line),
            }
        });
        let candidates: Vec<Candidate> = servers.chain(self.clock_candidates(now)).collect();
        let limits = self.limits();
        let before = self.selection.selected();
        let updated = self.crowd.judged(now.mono, updated);
        let outcome = self.selection.run(&candidates, &updated, &limits);
        let after = self.selection.selected();
        if before != after {
            for (id, source) in &mut self.sources {
                source.association.set_selected(Some(*id) == after);
            }
        }
        outcome
    }

    fn limits(&self) -> selection::Limits {
        let s = &self.settings;
        selection::Limits {
            maxdistance: s.maxdistance,
            maxjitter: s.maxjitter,
            minstratum: s.minstratum,
            maxstratum: s.maxstratum.min(15),
            reselectdist: s.reselectdist,
            stratumweight: s.stratumweight,
            combinelimit: s.combinelimit,
            minsources: usize::try_from(s.minsources).unwrap_or(usize::MAX),
            maxclockerror: s.maxclockerror * 1e-6,
            orphan: self.reference.local().filter(|l| l.orphan).map(|l| l.stratum),
        }
    }

    /// Gives a sample of a believed source to the bank, and its earlier ones while the bank is young. Whether it learnt anything.
    fn feed(&mut self, now: Now, id: SourceId, measurement: &Measurement) -> bool {
        let newcomer = self.sources.get(&id).is_some_and(|s| !s.fed);
        let verdict = if newcomer && self.is_young(now) || self.by_clock != self.follows_clock() {
            self.admit();
            None
        } else {
            let mindelay = self.sources.get(&id).map_or(0.0, |s| s.association.options().mindelay);
            Some(self.bank.accept(id, &mirrored(*measurement, mindelay)))
        };
        let outlook = self.bank.outlook(id);
        let learnt = !matches!(verdict, Some(Verdict::Crowded | Verdict::Refused));
        let Some(source) = self.sources.get_mut(&id) else { return learnt };
        source.fed = true;
        if matches!(verdict, Some(Verdict::Suspected | Verdict::Jumped)) && source.calm == 0 {
            source.calm = EXTRA_EVERY;
            source.association.hasten(now.mono, EXTRA_AFTER);
        }
        if let Some(outlook) = outlook {
            let options = source.association.options();
            let (low, high) = (f64::from(options.minpoll), f64::from(options.maxpoll));
            source.poll = steer::next_poll(source.poll, &outlook, low, high, options.polltarget);
            let poll = source.poll;
            source.association.set_poll(poll);
        }
        learnt
    }

    /// Whether newcomers still bring their earlier samples along.
    pub(super) fn is_young(&self, now: Now) -> bool {
        let known = self.bank.estimate(self.timeline().free(now.clock)).map_or(0, |e| e.samples);
        known < START_SAMPLES
    }

    /// A source got its earlier samples back: it takes part as if the last one had just come.
    pub(super) fn readmit(&mut self, now: Now, id: SourceId, rng: &mut dyn Rng) {
        if let Some(source) = self.sources.get_mut(&id) {
            source.fresh = true;
        }
        let outcome = self.judge(now, Some(id));
        let admitted = self.is_admitted(id) && outcome.decision != Decision::Lost;
        if admitted {
            self.admit();
        }
        self.decide(now, outcome, admitted, rng);
    }

    /// The bank begins anew with all that is known of the believed sources.
    pub(super) fn admit(&mut self) {
        self.by_clock = self.follows_clock();
        let mut all: Vec<(SourceId, Measurement)> = Vec::new();
        let ids = self.sources.keys().chain(self.clocks.keys()).copied();
        let admitted: Vec<SourceId> = ids.filter(|id| self.is_admitted(*id)).collect();
        for (id, source) in self.sources.iter_mut().filter(|(id, _)| admitted.contains(id)) {
            source.fed = true;
            all.extend(source.association.register().dump().samples.iter().map(|e| (*id, e.measurement)));
        }
        for (id, source) in self.clocks.iter_mut().filter(|(id, _)| admitted.contains(id)) {
            source.fed = true;
            all.extend(source.clock.register().dump().samples.iter().map(|e| (*id, e.measurement)));
        }
        all.sort_by_key(|(_, m)| m.at);
        self.bank.rebuild(all.iter().map(|(id, m)| (*id, m)));
    }

    pub(super) fn decide(&mut self, now: Now, outcome: Outcome, admitted: bool, rng: &mut dyn Rng) {
        self.report(&outcome.messages);
        match outcome.decision {
            Decision::Lost => self.lose(now),
            Decision::Keep if admitted => self.correct(now, None, rng),
            Decision::Keep => {}
            Decision::Update(used) => {
                self.announce(now, outcome.leap);
                self.correct(now, Some(&used), rng);
            }
        }
    }

    pub(super) fn manner(&self, now: Now, counts: bool) -> Option<Manner> {
        let estimate = self.bank.estimate(self.timeline().free(now.clock)).filter(|e| e.ready)?;
        let shortest = self
            .sources
            .iter()
            .filter(|(id, _)| {
                matches!(self.selection.shown(**id).status, Status::Selected | Status::Combined)
            })
            .map(|(_, s)| s.poll)
            .fold(f64::INFINITY, f64::min);
        let interval = if shortest.is_finite() { shortest.exp2() } else { 64.0 };
        Some(Manner { offset_sd: estimate.offset_sd, rate_sd: estimate.rate_sd, interval, counts })
    }

    /// Follows the estimate. `used`: the sources of an update that is told; `None`: the clock follows quietly.
    fn correct(&mut self, now: Now, used: Option<&[SourceId]>, rng: &mut dyn Rng) {
        let free = self.timeline().free(now.clock);
        let Some(manner) = self.manner(now, used.is_some()).filter(|_| !self.gave_up) else { return };
        let Some(estimate) = self.bank.estimate(free) else { return };
        let before = self.timeline().line();
        let line = steer::follow(&estimate, before.rate, self.clock.limits());
        let remaining = self.timeline().remaining(now.clock);
        let applied = self.clock.follow(now, line, &manner, self.reference.updates());
        let (change, stepped) = match applied {
            Applied::Slewed(change) => (change, None),
            Applied::Stepped(change, delta) => (change, Some(delta)),
            Applied::Ignored(change) | Applied::GiveUp(change) => {
                let gives_up = matches!(applied, Applied::GiveUp(_));
                let (word, limit) = (
                    if gives_up { "exiting" } else { "ignored" },
                    self.settings.maxchange.map_or(0.0, |(limit, _, _)| limit),
                );
                self.log(
                    Level::Warning,
                    format!(
                        "Adjustment of {:.3} seconds exceeds the allowed maximum of {limit:.3} seconds ({word}) ",
                        change
                    ),
                );
                if gives_up {
                    self.gave_up = true;
                    self.actions.push_back(Action::GiveUp);
                }
                return;
            }
        };
        self.untold += change;
        if stepped.is_some() {
            self.forget_smoothing(now);
        } else {
            self.smooth(now, before);
        }
        if let Some(used) = used {
            let skew = SKEW * estimate.rate_sd;
            self.consider_smoothing(now, skew);
            let residual = line.rate - estimate.line.rate;
            self.tell(now, used, &estimate_facts(estimate.offset_sd, skew, residual, remaining), rng);
        }
        if let Some(delta) = stepped {
            let line = format!("System clock was stepped by {:.6} seconds", delta.as_secs_f64());
            self.log(Level::Warning, line);
        }
    }

    /// What follows an update that is told: reference, kernel, logs, drift file.
    fn tell(&mut self, now: Now, used: &[SourceId], facts: &EstimateFacts, rng: &mut dyn Rng) {
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
        self.fallback.update(now.mono, self.frequency());
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
        let (register, whom, refid, stratum) = if let Some(source) = self.sources.get_mut(&id) {
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

    fn report(&mut self, messages: &[Message]) {
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

struct EstimateFacts {
    offset_sd: f64,
    skew: f64,
    residual: f64,
    remaining: f64,
}

fn estimate_facts(offset_sd: f64, skew: f64, residual: f64, remaining: f64) -> EstimateFacts {
    EstimateFacts { offset_sd, skew, residual, remaining }
}

/// The reference ID of a source, where it is smaller than ours.
fn senior(source: IpAddr, own: IpAddr) -> Option<RefId> {
    Some(refid_of(source)).filter(|refid| refid.to_bits() < refid_of(own).to_bits())
}

/// The reference ID that stands for an address (RFC 5905 §7.3).
pub(super) fn refid_of(address: IpAddr) -> RefId {
    match address {
        IpAddr::V4(v4) => RefId::from_ipv4(v4),
        IpAddr::V6(v6) => refid_of_ipv6(v6),
    }
}

/// `mindelay`: a round trip that is shorter than the shortest possible one is as far wrong as one that is as much longer.
fn mirrored(measurement: Measurement, mindelay: f64) -> Measurement {
    let least = TimeDelta::from_secs_f64(mindelay).unwrap_or_default();
    Measurement { delay: measurement.delay.max(least + (least - measurement.delay)), ..measurement }
}
