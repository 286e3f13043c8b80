//! The start: the first samples are filtered again, from scratch, with every new one, since only now is it known which of them
//! had short round trips, how wide the queues are, and how fast the clock.

use super::filter::{CORE, Filter};
use super::levels::{LEVELS, Level};
use super::{Bank, Learn, Observation, SourceId, Verdict, wide};

/// Samples of the start; at least so many of each source.
const SAMPLES: usize = 24;
const SAMPLES_PER_SOURCE: usize = 8;
/// … but no more than this, since each sample costs as much as all before it.
const MOST: usize = 40;
/// From so many samples on, only every so many are filtered again: between them a sample is added to what is known.
const CALM: usize = 16;
const EVERY: usize = 8;
/// Standard deviation of the rate of a clock that nobody knows, s/s.
pub(super) const START_RATE_SD: f64 = 1e-4;
/// No prior of the rate is believed more than this, s/s.
pub(super) const MIN_RATE_SD: f64 = 1e-8;
/// As long as there are so few samples, wider priors are tried, of which a factor of 10 must gain this much evidence.
const TRIALS: usize = 8;
const PENALTY: f64 = 1.5;

/// What is kept until the start is over.
#[derive(Debug, Clone, Default)]
pub(super) struct Start {
    samples: Vec<Observation>,
    /// Standard deviation of the rate that explains them, s/s; 0: not tried yet.
    rate_sd: f64,
    /// What is known of the levels from before the offset was lost.
    evidence: Option<[f64; LEVELS]>,
}

impl Start {
    pub(super) fn forget(&mut self, source: SourceId) {
        self.samples.retain(|o| o.source != source);
    }
}

impl Bank {
    /// The offset is unknown: starts again with what is known of the rate and of the sources.
    pub(super) fn restart(&mut self) {
        let known = self.summary.filter(|s| s.mean[1].is_finite() && s.rate.is_finite());
        if let Some(s) = known {
            self.set_rate_prior(s.mean[1], 2.0 * s.rate.sqrt());
        }
        let mut evidence = None;
        if self.filters.len() == LEVELS && self.filters.iter().all(|filter| filter.evidence.is_finite()) {
            evidence = Some(std::array::from_fn(|level| self.filters[level].evidence));
        }
        self.filters.clear();
        self.paths.iter_mut().for_each(|path| path.outliers = 0);
        self.start = Some(Start { evidence, ..Start::default() });
        self.summary = None;
    }

    /// Whether the start is over: by samples, or since no delay and no uncertainty explains this one.
    pub(super) fn has_outgrown_start(&self, o: &Observation) -> bool {
        let Some(start) = &self.start else { return true };
        if self.filters.is_empty() {
            return false;
        }
        let most = SAMPLES.max(SAMPLES_PER_SOURCE * self.paths.len()).min(MOST);
        let memory = self.memory();
        if start.samples.len() >= most || (memory > 0 && start.samples.len() >= super::whole(memory)) {
            return true;
        }
        let Some(s) = self.summary.filter(|_| self.paths.len() == 1 && start.samples.len() >= 4) else {
            return false;
        };
        let secs = (o.at - s.at).as_secs_f64();
        let sd = (s.offset + s.rate * secs * secs).sqrt();
        let above = (o.offset - self.anchor).as_secs_f64() - s.mean[0] - s.mean[1] * secs;
        above.abs() > o.delay / 2.0 + super::JUMP_MARGIN + 5.0 * sd
    }

    /// Adds a sample to the start.
    pub(super) fn begin_with(&mut self, o: Observation) -> Verdict {
        let mut count = 0;
        if let Some(start) = &mut self.start {
            start.samples.push(o);
            count = start.samples.len();
        }
        let member = self.paths.iter().position(|path| path.source == o.source);
        match member.filter(|_| self.has_all_biases() && count > CALM && !count.is_multiple_of(EVERY)) {
            Some(member) => _ = self.follow_on(member, &o, Learn::Yes),
            None => self.replay(),
        }
        self.refresh();
        if self.filters.is_empty() { Verdict::Refused } else { Verdict::Taken }
    }

    /// Filters the samples of the start.
    pub(super) fn replay(&mut self) {
        let Some(mut start) = self.start.take() else { return };
        if !start.samples.is_empty() {
            let (_, prior_sd) = self.prior;
            if start.samples.len() <= TRIALS {
                let mut best = (f64::MIN, prior_sd);
                for sd in
                    [prior_sd, prior_sd.max(START_RATE_SD), 10.0 * START_RATE_SD, 1000.0 * START_RATE_SD]
                {
                    if sd > best.1 || best.0 <= f64::MIN {
                        let evidence = self.filter_all(&start, sd) - PENALTY * (sd / prior_sd).log10();
                        if evidence > best.0 {
                            best = (evidence, sd);
                        }
                    }
                }
                start.rate_sd = best.1;
            }
            let sd = start.rate_sd;
            self.filter_all(&start, sd);
        }
        if !self.filters.iter().all(Filter::is_sane) {
            // absurd samples: none of them is worth keeping
            self.filters.clear();
            start.samples.clear();
        }
        self.start = Some(start);
    }

    /// Whether every path has its state in the filters.
    fn has_all_biases(&self) -> bool {
        let biases = if self.paths.len() > 1 { self.paths.len() } else { 0 };
        self.filters.first().is_some_and(|filter| filter.size() == CORE + biases)
    }

    /// One sample into every filter; returns how far it lay above the prediction, and the variance of that.
    fn follow_on(&mut self, member: usize, o: &Observation, learn: Learn) -> (f64, f64) {
        let late = self.advance(o.at);
        let mixture = self.paths[member].mixture(o.delay, o.stamps);
        let z = self.relative(member, o, late);
        let predicted = self.predict(member, z, &mixture);
        self.assimilate(member, z, &mixture, 1.0, learn);
        predicted
    }

    /// Filters all samples from scratch; returns their evidence.
    fn filter_all(&mut self, start: &Start, rate_sd: f64) -> f64 {
        let Some(first) = start.samples.first() else { return f64::MIN };
        self.biased = self.paths.len() > 1;
        // the prior of the offset is tied to the first sample: one that is much wider than the answer costs all digits
        let x = (first.offset - self.anchor).as_secs_f64();
        if x.abs() > super::ANCHOR_REACH {
            self.anchor = first.offset;
        }
        let x = (first.offset - self.anchor).as_secs_f64();
        let biases: Vec<f64> =
            self.paths.iter().filter(|_| self.biased).map(|path| wide(path.min_delay())).collect();
        self.filters = (0..LEVELS)
            .map(|i| {
                let level = Level::of(i);
                let evidence = start.evidence.map_or(level.prior, |known| known[i]);
                let sd = [10.0 * first.delay + 1e-6, rate_sd, level.trend.sd()];
                Filter::new(level.wander, level.trend, evidence, [x, self.prior.0, 0.0], sd, &biases)
            })
            .collect();
        self.paths.iter_mut().for_each(super::path::Path::forget_shapes);
        self.weigh();
        self.at = first.at;
        let mut evidence = 0.0;
        for (i, o) in start.samples.iter().enumerate() {
            let Some(member) = self.paths.iter().position(|path| path.source == o.source) else { continue };
            let learn = if i >= 2 { Learn::Yes } else { Learn::No };
            let (above, variance) = self.follow_on(member, o, learn);
            if i > 0 {
                evidence -= 0.5 * ((above * above / variance).min(100.0) + variance.ln());
            }
        }
        evidence
    }
}
