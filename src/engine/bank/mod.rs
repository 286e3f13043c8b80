//! The estimator: a bank of Kalman filters of the **free clock**, one for each idea of how its rate moves (`levels`), weighed
//! by how well they predict.
//!
//! Corrections never enter it (the free clock does not see them), so steering disturbs no estimate and old samples stay usable.
//! A sample's error has a shape that its round trip tells and its source teaches (`shape`); path biases of several sources
//! are estimated together (`gauge`); the first samples are filtered again with everything that is known by then (`start`).
//! Equations, constants and the experiments behind them: discipline-filter.md.
//!
//! Times and offsets come as integers; `f64` holds only differences from an anchor that moves along, so that a daemon may run
//! for years on a free clock that is off by hours. Everything that comes out is finite.
//! Offsets are to be added to be right (> 0: the free clock is behind); rates > 0: it loses.

mod filter;
mod gauge;
mod levels;
mod normal;
mod path;
mod shape;
mod start;
pub mod steer;
mod surprise;

use self::filter::{CORE, Filter, Trend};
use self::gauge::Claim;
use self::levels::LEVELS;
use self::path::{Path, WINDOW};
use self::shape::{Mixture, SHAPES};
use self::start::{MIN_RATE_SD, START_RATE_SD, Start};
use super::measurement::Measurement;
pub use super::measurement::SourceId;
use super::timeline::{Exact, FreeTime, Line};
use crate::types::TimeDelta;

/// Memory of the evidence of the levels (200 samples; 0.98 and 0.999 are worse: discipline-filter.md §2).
const MEMORY: f64 = 0.995;
/// Floor of that evidence below the best (a higher one lets absurd levels inflate the sd of the rate, which shortens slews).
const FLOOR: f64 = 12.0;
/// Innovations beyond this many standard deviations are suspected.
const GATE: f64 = 3.0;
/// What no delay explains is more than this beyond the round trip, s.
const JUMP_MARGIN: f64 = 1e-4;
/// Prior of a path's bias inside the filters, as a part of the round trip.
const WIDE: f64 = 0.3;
/// Sources that are estimated together: the cost grows with the square.
const MEMBERS: usize = 16;
/// Good samples of most sources before the clock may be touched.
const READY: u64 = 3;
/// The anchor moves when the offset is farther from it than this, s.
const ANCHOR_REACH: f64 = 0.01;
/// A sample that is older than the newest by more than this is refused, s.
const DISORDER: f64 = 64.0;
/// A round trip that is longer than this says nothing, s.
const MAX_DELAY: f64 = 1000.0;
/// The rate of a clock is within this, s/s: adjtimex can express ±10 %.
const MAX_RATE: f64 = 0.2;

/// What became of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is part of the estimate.
    Taken,
    /// It lies far from the prediction and counts little until another one agrees.
    Suspected,
    /// The clock, or the only server, has jumped: believed, and another sample should follow soon.
    Jumped,
    /// The path of this source, or its server, has changed: its bias is learnt anew.
    Changed,
    /// It is older than what is already known by too much, or absurd: without effect.
    Refused,
    /// As many sources as are estimated together are there already: without effect.
    Crowded,
}

/// What is believed of the free clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Offset at the instant that was asked for, and rate.
    pub line: Line,
    /// Standard deviation of the offset, s, > 0.
    pub offset_sd: f64,
    /// Standard deviation of the rate, s/s, > 0.
    pub rate_sd: f64,
    /// The likeliest wander: what the rate walks in a second, s/s per √s.
    pub wander: f64,
    /// Whether enough is known to touch the clock: three good samples of most sources.
    pub ready: bool,
    /// Samples since the bank began.
    pub samples: u64,
}

/// What is believed of one source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceEstimate {
    /// What its samples show beyond the clock's own offset, s: asymmetry of its path and error of its server. 0 while it is alone.
    pub bias: f64,
    /// Standard deviation of that, s.
    pub bias_sd: f64,
    /// Probability that it is neither lying nor far off, 0 … 1.
    pub trust: f64,
    /// Shortest round trip of its present route, s.
    pub min_delay: f64,
    /// Good samples so far.
    pub samples: u64,
}

/// What waiting costs: the bank's own view of a longer poll interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// Variance that the rate gains in a second.
    pub wander: f64,
    /// Variance of the rate, under the likeliest wander.
    pub rate: f64,
    /// Variance of the offset, s².
    pub offset: f64,
    /// Good samples of that source so far.
    pub samples: u64,
}

/// A measurement as the filters take it.
#[derive(Debug, Clone, Copy)]
struct Observation {
    source: SourceId,
    at: FreeTime,
    offset: TimeDelta,
    /// Round trip, s.
    delay: f64,
    /// Bound of the error of its time stamps, s.
    stamps: f64,
}

/// Mean and covariance of the whole bank, with the common part of the biases settled.
#[derive(Debug, Clone, Copy)]
struct Summary {
    at: FreeTime,
    /// Offset from the anchor, s, and rate.
    mean: [f64; 2],
    /// Variances of both, and their covariance.
    offset: f64,
    rate: f64,
    both: f64,
}

/// The estimator.
#[derive(Debug, Clone)]
pub struct Bank {
    /// Most samples that count; 0: as many as are good. And of single sources.
    max_samples: u32,
    limits: Vec<(SourceId, u32)>,
    /// What is known of the rate before the first sample: mean and standard deviation, s/s.
    prior: (f64, f64),
    paths: Vec<Path>,
    filters: Vec<Filter>,
    weights: [f64; LEVELS],
    /// Whether the filters hold a bias for every path: from the second source on.
    biased: bool,
    /// What the filters' offsets are relative to, and the instant that they hold for.
    anchor: TimeDelta,
    at: FreeTime,
    start: Option<Start>,
    /// Common part of the biases, s.
    common: f64,
    summary: Option<Summary>,
    samples: u64,
    scratch: Vec<f64>,
}

impl Default for Bank {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Bank {
    /// A bank that knows nothing. `max_samples`: at most so many samples count (1: each is taken as it is); 0: no limit.
    pub fn new(max_samples: u32) -> Self {
        Self {
            max_samples,
            limits: Vec::new(),
            prior: (0.0, START_RATE_SD),
            paths: Vec::new(),
            filters: Vec::new(),
            weights: [0.0; LEVELS],
            biased: false,
            anchor: TimeDelta::ZERO,
            at: FreeTime::from_nanos(0),
            start: Some(Start::default()),
            common: 0.0,
            summary: None,
            samples: 0,
            scratch: Vec::new(),
        }
    }

    /// What is known of the rate from an earlier run: `rate` as [`Line::rate`] has it, `skew` its uncertainty, s/s. Has effect
    /// until the first sample; what is not finite or beyond ±20 % is ignored.
    pub fn set_rate_prior(&mut self, rate: f64, skew: f64) {
        if rate.abs() <= MAX_RATE && skew.is_finite() && skew >= 0.0 {
            self.prior = (rate, skew.clamp(MIN_RATE_SD, 1e-3));
        }
    }

    /// Where the rate is looked for first, when nothing is known of it from an earlier run.
    pub fn expect_rate(&mut self, rate: f64) {
        self.set_rate_prior(rate, START_RATE_SD);
    }

    /// At most so many samples of this source count; 0: no limit. From its first sample on; what is limited for all sources
    /// is forgotten as fast by the clock's own estimate.
    pub fn set_max_samples(&mut self, source: SourceId, max_samples: u32) {
        self.limits.retain(|(id, _)| *id != source);
        self.limits.push((source, max_samples));
    }

    /// Takes a good measurement of a source that the selection admits.
    pub fn accept(&mut self, source: SourceId, m: &Measurement) -> Verdict {
        let (delay, stamps) = (m.delay.as_secs_f64().max(1e-9), m.dispersion.get().clamp(0.0, 1.0));
        let o = Observation { source, at: m.at, offset: m.offset, delay, stamps };
        if delay > MAX_DELAY {
            return Verdict::Refused;
        }
        if self.samples > 0 && (self.at - o.at).as_secs_f64() > DISORDER {
            return Verdict::Refused;
        }
        let Some(member) = self.member(source) else { return Verdict::Crowded };
        let path = &mut self.paths[member];
        path.root = (m.root_delay.get().max(0.0), m.root_dispersion.get().max(0.0));
        path.push(delay);
        self.samples += 1;
        let verdict = self.take(member, &o);
        if !self.filters.iter().all(Filter::is_sane) {
            self.restart();
            return self.begin_with(o);
        }
        self.refresh();
        verdict
    }

    /// Forgets everything and takes these measurements, which must be in the order of time.
    pub fn rebuild<'a>(&mut self, measurements: impl IntoIterator<Item = (SourceId, &'a Measurement)>) {
        let prior = self.prior;
        self.reset();
        self.prior = prior;
        for (source, m) in measurements {
            self.accept(source, m);
        }
    }

    /// Forgets a source; what it taught about the clock stays.
    pub fn remove(&mut self, source: SourceId) {
        self.limits.retain(|(id, _)| *id != source);
        let Some(member) = self.paths.iter().position(|path| path.source == source) else { return };
        match &mut self.start {
            Some(start) => {
                start.forget(source);
                self.paths.remove(member);
                self.filters.clear();
                self.replay();
            }
            None if self.biased => {
                let claim = self.claims()[member];
                let variance = claim.variance(self.common);
                for filter in &mut self.filters {
                    filter.observe(CORE + member, 0.0, variance);
                    filter.remove(CORE + member);
                }
                self.paths.remove(member);
            }
            None => {
                self.paths.remove(member);
                // the next source has a bias of its own relative to what this one taught
                self.biased = true;
            }
        }
        self.refresh();
    }

    /// Forgets the clock and all sources.
    pub fn reset(&mut self) {
        let limits = std::mem::take(&mut self.limits);
        *self = Self { limits, ..Self::new(self.max_samples) };
    }

    /// Somebody moved the clock by an unknown amount: the offset is lost; the rate and what the sources taught stay.
    pub fn lose_offset(&mut self) {
        self.restart();
    }

    /// What is believed of the free clock at `at`; `None` before the first sample, and after the offset was lost.
    pub fn estimate(&self, at: FreeTime) -> Option<Estimate> {
        let s = self.summary?;
        let secs = (at - s.at).as_secs_f64();
        let best = self.best()?;
        let span = secs.abs();
        let variance = s.offset
            + 2.0 * secs * s.both
            + secs * secs * s.rate
            + self.mean_wander() * span * span * span / 3.0;
        let rate = s.mean[1].clamp(-MAX_RATE, MAX_RATE);
        let offset = Exact::from_delta(self.anchor).plus(s.mean[0]).plus(secs * rate);
        Some(Estimate {
            line: Line { at, offset, rate },
            offset_sd: variance.max(1e-22).sqrt(),
            rate_sd: (s.rate + self.mean_wander() * span).max(1e-24).sqrt(),
            wander: best.wander.sqrt(),
            ready: self.is_ready(),
            samples: self.samples,
        })
    }

    /// What is believed of a source; `None` if the bank does not know it.
    pub fn source(&self, source: SourceId) -> Option<SourceEstimate> {
        let member = self.paths.iter().position(|path| path.source == source)?;
        let path = &self.paths[member];
        let (mut bias, mut bias_sd, mut trust) = (path.bias, 0.0, 1.0);
        if self.biased && !self.filters.is_empty() {
            let (state, cov) = self.settled();
            let n = state.len();
            bias += state[CORE + member];
            bias_sd = cov[(CORE + member) * (n + 1)].max(0.0).sqrt();
            trust = self.claims()[member].trust(self.common);
        }
        Some(SourceEstimate { bias, bias_sd, trust, min_delay: path.min_delay(), samples: path.samples })
    }

    /// What waiting for the next sample of this source costs; `None` as long as the clock may not be touched.
    pub fn outlook(&self, source: SourceId) -> Option<Outlook> {
        let path = self.paths.iter().find(|path| path.source == source)?;
        let best = self.best()?;
        let rate = best.cov[best.size() + 1];
        let offset = self.summary?.offset;
        self.is_ready().then_some(Outlook { wander: best.wander, rate, offset, samples: path.samples })
    }

    fn is_ready(&self) -> bool {
        let ready = self.paths.iter().filter(|path| path.samples >= READY).count();
        self.summary.is_some() && ready * 2 > self.paths.len()
    }

    /// The path of a source, which may be new.
    fn member(&mut self, source: SourceId) -> Option<usize> {
        if let Some(member) = self.paths.iter().position(|path| path.source == source) {
            return Some(member);
        }
        if self.paths.len() == MEMBERS {
            return None;
        }
        let limit = self.limit_of(source);
        self.paths.push(Path::new(source, if limit == 0 { WINDOW } else { whole(limit) }));
        Some(self.paths.len() - 1)
    }

    /// Gives every path its bias in the filters; the first path gets one when the second comes.
    fn fit_states(&mut self) {
        if self.paths.len() > 1 && !self.biased {
            let known = wide(self.paths[0].min_delay());
            self.filters.iter_mut().for_each(|filter| filter.split(known));
            self.biased = true;
        }
        if self.biased {
            for filter in &mut self.filters {
                for path in self.paths.iter().skip(filter.size().saturating_sub(CORE)) {
                    filter.insert(wide(path.min_delay()));
                }
            }
        }
    }

    fn limit_of(&self, source: SourceId) -> u32 {
        self.limits.iter().find(|(id, _)| *id == source).map_or(self.max_samples, |(_, limit)| *limit)
    }

    /// How many samples the filters remember: what the least limited source may have; 0: all.
    fn memory(&self) -> u32 {
        let limits = self.paths.iter().map(|path| self.limit_of(path.source));
        limits
            .fold(None, |most: Option<u32>, limit| match most {
                Some(most) if most == 0 || limit == 0 => Some(0),
                most => Some(most.map_or(limit, |most| most.max(limit))),
            })
            .unwrap_or(self.max_samples)
    }

    fn take(&mut self, member: usize, o: &Observation) -> Verdict {
        if self.start.is_some() {
            if !self.has_outgrown_start(o) {
                return self.begin_with(*o);
            }
            self.start = None;
        }
        let verdict = self.stream(member, o);
        self.move_anchor();
        verdict
    }

    /// The steady state: one sample into every filter.
    fn stream(&mut self, member: usize, o: &Observation) -> Verdict {
        self.fit_states();
        let before = self.at;
        let late = self.advance(o.at);
        let mixture = self.paths[member].mixture(o.delay, o.stamps);
        let mut z = self.relative(member, o, late);
        let (mut above, mut variance) = self.predict(member, z, &mixture);
        let mut mixture = mixture;
        let offset_sd = self.summary.map_or(0.0, |s| s.offset.max(0.0).sqrt());
        if let Some(shift) = self.paths[member].take_route(above, offset_sd) {
            z -= shift;
            mixture = self.paths[member].mixture(o.delay, o.stamps);
            (above, variance) = self.predict(member, z, &mixture);
        }
        let excess = above * above / variance / (GATE * GATE);
        let (mut disarm, mut verdict) = (1.0, Verdict::Taken);
        if excess > 1.0 {
            verdict = self.suspect(member, above, o.delay, (o.at - before).as_secs_f64().max(0.1));
            if verdict == Verdict::Suspected {
                disarm = excess;
            }
        } else {
            self.paths[member].outliers = 0;
        }
        self.assimilate(member, z, &mixture, disarm, Learn::Yes);
        self.cut_memory(z);
        verdict
    }

    /// Lets the filters hold for `at`; returns how much older than they are the sample is, s.
    fn advance(&mut self, at: FreeTime) -> f64 {
        let secs = (at - self.at).as_secs_f64();
        if secs > 0.0 {
            self.at = at;
            self.filters.iter_mut().for_each(|filter| filter.predict(secs));
        }
        (-secs).max(0.0)
    }

    /// The sample relative to the anchor, without what is known of the route; brought forward if it is `late`.
    fn relative(&self, member: usize, o: &Observation, late: f64) -> f64 {
        let rate = if late > 0.0 { self.best().map_or(0.0, |best| best.state[1]) } else { 0.0 };
        (o.offset - self.anchor).as_secs_f64() - self.paths[member].bias + rate * late
    }

    fn bias_of(&self, member: usize) -> Option<usize> {
        self.biased.then_some(CORE + member)
    }

    /// Mean innovation of a sample, and its variance, under the whole bank.
    fn predict(&mut self, member: usize, z: f64, mixture: &Mixture) -> (f64, f64) {
        let bias = self.bias_of(member);
        let (mut above, mut variance) = (0.0, mixture.variance());
        for (filter, weight) in self.filters.iter().zip(&self.weights) {
            let (mean, own) = filter.innovation(z, bias, &mut self.scratch);
            above += weight * mean;
            variance += weight * own;
        }
        (above, variance)
    }

    /// One sample into every filter.
    fn assimilate(&mut self, member: usize, z: f64, mixture: &Mixture, disarm: f64, learn: Learn) {
        let bias = self.bias_of(member);
        let (mut densities, mut reference) = ([0.0; SHAPES], None);
        for (filter, weight) in self.filters.iter_mut().zip(&self.weights) {
            let (above, before) = filter.innovation(z, bias, &mut self.scratch);
            let mixed = mixture.update(above, before, disarm);
            let zero = *reference.get_or_insert(mixed.posterior.evidence);
            if learn == Learn::Yes {
                let weight = weight * (mixed.best - zero).min(300.0).exp();
                densities.iter_mut().zip(&mixed.each).for_each(|(density, one)| *density += weight * one);
                filter.evidence = MEMORY * filter.evidence + mixed.posterior.evidence;
            }
            filter.apply(&self.scratch, before, mixed.posterior.shift, mixed.posterior.variance);
        }
        if learn == Learn::Yes {
            self.weigh();
            self.paths[member].learn(&densities);
        }
    }

    /// Weights from evidence.
    fn weigh(&mut self) {
        let best = self.filters.iter().map(|filter| filter.evidence).fold(f64::MIN, f64::max);
        for (filter, weight) in self.filters.iter_mut().zip(&mut self.weights) {
            filter.evidence = (filter.evidence - best).max(-FLOOR);
            *weight = filter.evidence.exp();
        }
        let sum: f64 = self.weights.iter().sum();
        self.weights.iter_mut().for_each(|weight| *weight /= sum);
    }

    fn best(&self) -> Option<&Filter> {
        self.filters.iter().max_by(|a, b| a.evidence.total_cmp(&b.evidence))
    }

    fn mean_wander(&self) -> f64 {
        self.best().map_or(0.0, |best| best.wander)
    }

    /// Keeps the filters' offsets small numbers.
    fn move_anchor(&mut self) {
        let Some(best) = self.best() else { return };
        if best.state[0].abs() < ANCHOR_REACH {
            return;
        }
        let Some(by) = TimeDelta::from_secs_f64(best.state[0]) else { return };
        self.anchor += by;
        self.filters.iter_mut().for_each(|filter| filter.state[0] -= by.as_secs_f64());
    }

    /// Mean and covariance of the whole bank.
    fn collapse(&self) -> (Vec<f64>, Vec<f64>) {
        let n = self.filters.first().map_or(0, Filter::size);
        let (mut state, mut cov) = (vec![0.0; n], vec![0.0; n * n]);
        for (filter, weight) in self.filters.iter().zip(&self.weights) {
            state.iter_mut().zip(&filter.state).for_each(|(sum, x)| *sum += weight * x);
        }
        for (filter, weight) in self.filters.iter().zip(&self.weights) {
            for i in 0..n {
                let apart = filter.state[i] - state[i];
                for j in 0..n {
                    cov[i * n + j] += weight * (filter.cov[i * n + j] + apart * (filter.state[j] - state[j]));
                }
            }
        }
        (state, cov)
    }

    /// … with the common part of the biases settled.
    fn settled(&self) -> (Vec<f64>, Vec<f64>) {
        self.settle(self.collapse())
    }

    /// Settles the common part of the biases, on a copy: the filters stay free of it.
    fn settle(&self, (state, cov): (Vec<f64>, Vec<f64>)) -> (Vec<f64>, Vec<f64>) {
        if !self.biased || state.is_empty() {
            return (state, cov);
        }
        let mut copy = Filter { wander: 0.0, trend: Trend::NONE, state, cov, evidence: 0.0 };
        for (member, claim) in self.claims_of(&copy.state).iter().enumerate() {
            copy.observe(CORE + member, 0.0, claim.variance(self.common));
        }
        (copy.state, copy.cov)
    }

    fn claims_of(&self, state: &[f64]) -> Vec<Claim> {
        let biases = state.iter().skip(CORE);
        let claim = |(path, bias): (&Path, &f64)| Claim::new(*bias, path.width(), path.root.1, path.shifted);
        self.paths.iter().zip(biases).map(claim).collect()
    }

    fn claims(&self) -> Vec<Claim> {
        self.claims_of(&self.collapse().0)
    }

    /// Brings the summary up to date.
    fn refresh(&mut self) {
        self.summary = None;
        if self.filters.is_empty() {
            return;
        }
        let whole = self.collapse();
        if self.biased {
            self.common = gauge::common(&self.claims_of(&whole.0), self.common);
        }
        let (state, cov) = self.settle(whole);
        let n = state.len();
        let mean = [state[0], state[1]];
        let (offset, rate) = (cov[0].max(1e-22), cov[n + 1].max(1e-24));
        self.summary = Some(Summary { at: self.at, mean, offset, rate, both: cov[1] });
    }
}

/// Whether a sample teaches the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Learn {
    Yes,
    No,
}

fn whole(count: u32) -> usize {
    usize::try_from(count).unwrap_or(WINDOW)
}

/// Variance of a bias inside the filters, for a round trip in s.
fn wide(delay: f64) -> f64 {
    let sd = WIDE * delay.max(1e-6);
    sd * sd
}

#[cfg(test)]
mod tests;
