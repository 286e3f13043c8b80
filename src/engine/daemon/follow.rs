//! From a sample to the clock: selection, estimate, correction, and what is told about it.

use std::net::IpAddr;

use super::telling::EstimateFacts;
use super::{
    Action, Candidate, ClockCommand, EXTRA_EVERY, Engine, Jump, KernelRate, Level, Measurement, Now, Record,
    RefId, Rng, SourceId, TimeDelta, crowd, find, selection,
};
use crate::auth::refid_of_ipv6;
use crate::engine::bank::{Verdict, steer};
use crate::engine::clock::{Applied, Manner};
use crate::engine::interference::Interference;
use crate::engine::selection::{Decision, Outcome, Status};

/// Standard deviations that make a bound on the error of the frequency.
const SKEW: f64 = 3.5;
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

    /// Somebody else set the rate of the kernel's clock. What that did is a correction like any other; our own rate is set again,
    /// where the clock is ours to set.
    pub(super) fn interfered(&mut self, now: Now, found: Interference, rng: &mut dyn Rng) {
        let ours = self.clock.is_controlled();
        if ours {
            if self.quiet_until.is_none_or(|until| until <= now.mono) {
                let line = "System clock interference detected (another NTP client?)";
                self.log(Level::Warning, line.to_owned());
            }
            self.quiet_until = Some(now.mono + INTERFERENCE_PAUSE);
        }
        match found.moved {
            Some(moved) => self.clock.interfered(now, found.setting, moved),
            None => {
                self.clock.lose_track(now);
                self.clock.interfered(now, found.setting, TimeDelta::ZERO);
                self.forget_smoothing(now);
                self.restart(now, rng);
            }
        }
        if !ours {
            return;
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

    /// The kernel's clock, which runs at `setting`, is ours to steer from now on: what it lacks is put right with the next update.
    pub fn take_clock(&mut self, now: Now, setting: KernelRate) {
        self.clock.take(now, setting);
        self.tell_kernel(now);
        self.flush_clock();
    }

    /// The kernel's clock is left alone from now on, at the rate of the estimate; the daemon goes on as an observer.
    pub fn leave_clock(&mut self, now: Now) {
        self.clock.leave(now);
        self.flush_clock();
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
            if let Some(source) = find(&mut self.sources, id) {
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
        if let Some(source) = find(&mut self.sources, id) {
            source.fresh = true;
        }
        self.record_statistics(now, id);
        // as long as nothing is selected each sample may be the one that was missing
        let matters = self.selection.selected().is_none_or(|selected| selected == id);
        if !self.crowd.is_time(now.mono, self.sources.len(), matters) {
            self.crowd.waits(id);
            if self.is_admitted(id) && self.feed(now, id, measurement) {
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

    /// The reachability of a source changed. In a crowd one that answers is judged with its sample, which may update the clock.
    pub(super) fn reached(&mut self, now: Now, id: SourceId, rng: &mut dyn Rng) {
        let answered = |s: &super::Source| s.association.facts().reach.bits() & 1 == 1;
        let answered = self.source(id).is_some_and(answered);
        let waits = answered && crowd::is_crowd(self.sources.len());
        if !waits && self.crowd.is_time(now.mono, self.sources.len(), false) {
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
        let newcomer = self.source(id).is_some_and(|s| !s.fed);
        let verdict = if newcomer && self.is_young(now) || self.by_clock != self.follows_clock() {
            self.admit();
            None
        } else {
            let mindelay = self.source(id).map_or(0.0, |s| s.association.options().mindelay);
            Some(self.bank.accept(id, &mirrored(*measurement, mindelay)))
        };
        let outlook = self.bank.outlook(id);
        let learnt = !matches!(verdict, Some(Verdict::Crowded | Verdict::Refused));
        let Some(source) = find(&mut self.sources, id) else { return learnt };
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
        if let Some(source) = find(&mut self.sources, id) {
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
            let offset_sd = estimate.offset_sd;
            self.tell(now, used, &EstimateFacts { offset_sd, skew, residual, remaining }, rng);
        }
        if let Some(delta) = stepped {
            let line = format!("System clock was stepped by {:.6} seconds", delta.as_secs_f64());
            self.log(Level::Warning, line);
        }
    }
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
