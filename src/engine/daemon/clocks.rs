//! Reference clocks beside the servers: their readings, their samples, their part in the selection.

use super::{
    Action, Candidate, Course, Decision, Engine, Measurement, Now, Record, RefId, Rng, SourceId, Status,
    TimeDelta, Timestamp, Whom, selection,
};
use crate::engine::record;
use crate::engine::refclock::{Options, Reading, Refclock};
use crate::engine::timeline::Exact;
use crate::types::Leap;

/// A reference clock in the engine.
#[derive(Debug)]
pub struct ClockSource {
    /// The clock.
    pub clock: Refclock,
    pub(super) fresh: bool,
    pub(super) fed: bool,
    pub(super) course: Course,
}

impl ClockSource {
    /// Selection options in force.
    pub const fn effective(&self) -> selection::Options {
        let flags = self.clock.options().flags;
        selection::Options {
            noselect: flags.noselect,
            prefer: flags.prefer,
            trust: flags.trust,
            require: flags.require,
        }
    }
}

/// What a driver read of a reference clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockReading {
    /// When, by the kernel's clock.
    pub at: Timestamp,
    /// The reference's time less the kernel's; of a pulse only the fraction of a second means something.
    pub offset: TimeDelta,
    /// Whether it is a pulse.
    pub pulse: bool,
    /// What it says about leap seconds.
    pub leap: Leap,
}

impl Engine {
    /// Adds a reference clock; what is read of it comes as [`super::Input::Clock`].
    pub fn add_refclock(&mut self, now: Now, options: Options) -> SourceId {
        let id = self.names.allocate();
        let clock = Refclock::new(options, now.mono, self.host.precision, self.host.maxclockerror);
        self.clocks.insert(id, ClockSource { clock, fresh: false, fed: false, course: Course::default() });
        id
    }

    /// The reference clocks in the order in which they were added.
    pub fn clocks(&self) -> impl Iterator<Item = (SourceId, &ClockSource)> {
        self.clocks.iter().map(|(id, clock)| (*id, clock))
    }

    pub(super) fn clock_candidates(&self, now: Now) -> impl Iterator<Item = Candidate> {
        let at = self.timeline().free(now.clock);
        let line = self.timeline().line();
        self.clocks.iter().map(move |(id, source)| Candidate {
            id: *id,
            refclock: true,
            options: source.effective(),
            leap: source.clock.leap(),
            stratum: source.clock.options().stratum,
            reach: source.clock.reach().bits(),
            reach_size: source.clock.reach_size(),
            given_up: source.clock.given_up(),
            fresh: source.fresh,
            senior: None,
            stats: source.clock.register().stats(at, &line),
        })
    }

    /// A driver read something.
    pub(super) fn read_clock(&mut self, now: Now, id: SourceId, reading: &ClockReading) {
        let timeline = self.clock.timeline();
        let (free, line) = (timeline.free(now.clock), timeline.line());
        let correction = timeline.correction(reading.at);
        let tai = self.tai(now);
        let partner = self.partner(now, id, reading);
        let Some(source) = self.clocks.get_mut(&id) else { return };
        let mut offset = correction.plus(reading.offset.as_secs_f64()).to_delta();
        if source.clock.options().flags.tai {
            let Some(tai) = tai else { return };
            offset -= TimeDelta::from_secs(i64::from(tai));
        }
        let at = timeline.free(reading.at);
        let on_free = Reading { at, offset, pulse: reading.pulse, leap: reading.leap };
        let pulse = source.clock.is_pulse(&on_free);
        let Some(taken) = source.clock.read(free, &on_free, partner, &line) else { return };
        let refid = source.clock.options().refid;
        self.actions.push_back(Action::Record(Record::Refclock(record::Refclock {
            time: self.clock.timeline().estimated(reading.at),
            refid,
            number: Some(taken.number),
            leap: reading.leap,
            pulse,
            raw: reading.offset.as_secs_f64(),
            offset: taken.offset,
            dispersion: taken.dispersion,
        })));
    }

    /// Whom the second of a pulse is taken from: the clock that it is locked to, or our own time while that is good enough.
    fn partner(&self, now: Now, id: SourceId, reading: &ClockReading) -> Option<(Exact, f64)> {
        let options = self.clocks.get(&id)?.clock.options();
        let timeline = self.timeline();
        let (at, line) = (timeline.free(reading.at), timeline.line());
        let Some(lock) = options.lock else {
            let distance = self.reference.root_distance(timeline.estimated(now.clock))?;
            return Some((line.offset_at(at), distance));
        };
        let locked = self.clocks.values().find(|source| source.clock.options().refid == lock)?;
        let (then, offset) = locked.clock.latest()?;
        let age = (at - then).as_secs_f64();
        let moved = line.offset_at(at).minus(line.offset_at(then));
        let near = age.abs() <= options.maxlockage.max(0.0) / options.rate.max(1e-3);
        near.then(|| (Exact::from_delta(offset).plus(moved), 0.0))
    }

    /// Makes samples of what was read, where a poll is due.
    pub(super) fn poll_clocks(&mut self, now: Now, rng: &mut dyn Rng) {
        let line = self.timeline().line();
        let due: Vec<SourceId> = self
            .clocks
            .iter()
            .filter(|(_, source)| source.clock.next_timeout() <= now.mono)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let Some(source) = self.clocks.get_mut(&id) else { continue };
            match source.clock.timer(now.mono, &line) {
                Some(measurement) => {
                    source.fresh = true;
                    self.record_filtered(id, &measurement);
                    self.record_statistics(now, id);
                    self.clock_sampled(now, id, &measurement, rng);
                }
                None => self.select(now, rng),
            }
        }
    }

    fn clock_sampled(&mut self, now: Now, id: SourceId, measurement: &Measurement, rng: &mut dyn Rng) {
        let outcome = self.judge(now, Some(id));
        let admitted = self.is_admitted(id) && outcome.decision != Decision::Lost;
        if admitted {
            self.feed_clock(now, id, measurement);
        }
        self.decide(now, outcome, admitted, rng);
    }

    fn feed_clock(&mut self, now: Now, id: SourceId, measurement: &Measurement) {
        let newcomer = self.clocks.get(&id).is_some_and(|source| !source.fed);
        if newcomer && self.is_young(now) || self.by_clock != self.follows_clock() {
            self.admit();
        } else {
            self.bank.accept(id, measurement);
        }
        if let Some(source) = self.clocks.get_mut(&id) {
            source.fed = true;
        }
    }

    /// Whether a reference clock is selected: then no server steers.
    pub(super) fn follows_clock(&self) -> bool {
        self.selection.selected().is_some_and(|id| self.clocks.contains_key(&id))
    }

    /// Whether the samples of a source steer the clock.
    pub(super) fn is_admitted(&self, id: SourceId) -> bool {
        let believed = matches!(self.selection.shown(id).status, Status::Selected | Status::Combined);
        believed && (self.clocks.contains_key(&id) || !self.follows_clock())
    }

    fn record_filtered(&mut self, id: SourceId, measurement: &Measurement) {
        let Some(source) = self.clocks.get(&id) else { return };
        let line = self.timeline().line();
        let offset = Exact::from_delta(measurement.offset).minus(line.offset_at(measurement.at));
        let local = Timestamp::from_nanos(measurement.at.as_nanos());
        let time = local + line.offset_at(measurement.at).to_delta();
        let record = record::Refclock {
            time,
            refid: source.clock.options().refid,
            number: None,
            leap: source.clock.leap(),
            pulse: false,
            raw: 0.0,
            offset,
            dispersion: measurement.dispersion.get(),
        };
        self.actions.push_back(Action::Record(Record::Refclock(record)));
    }

    /// How a selected reference clock is told about: reference ID and stratum.
    pub(super) fn clock_identity(&self, id: SourceId) -> Option<(RefId, u8)> {
        let options = self.clocks.get(&id)?.clock.options();
        Some((options.refid, options.stratum))
    }

    /// Who a source is, for logs: its address, or the name of a reference clock.
    pub(super) fn whom(&self, id: SourceId) -> Option<Whom> {
        let address = self.sources.get(&id).map(|s| Whom::Address(s.association.address().ip()));
        address.or_else(|| self.clocks.get(&id).map(|s| Whom::Clock(s.clock.options().refid)))
    }
}
