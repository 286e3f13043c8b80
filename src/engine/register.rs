//! The register of one source: its last samples, a weighted straight line through them, and how far both can be trusted.
//!
//! It answers what chronyc's `sources` and `sourcestats` show, the interval of the selection, what the packet tests predict,
//! and the dump files (discipline.md §1.4). Samples lie on the free clock, so no correction of ours ever has to be applied to them;
//! what is asked for relative to the time that the host believes in, is asked for with that [`Line`].
//!
//! Offsets > 0: our clock is behind. Slopes > 0: the free clock loses.

pub(in crate::engine) mod fit;

use std::collections::VecDeque;

use self::fit::{Fit, Point};
use super::measurement::Measurement;
use super::selection::Stats;
use super::timeline::{Exact, FreeTime, Line};
use crate::types::{Frequency, Secs, TimeDelta};

/// Most samples that a line is fitted to.
pub const MAX_SAMPLES: usize = 64;
/// Fewest samples that make a line.
const MIN_FIT: usize = 3;
/// Error bound of the frequency while there is no line, s/s.
const UNKNOWN_SKEW: f64 = 2000e-6;
/// Standard deviation while there is no line, s.
const UNKNOWN_JITTER: f64 = 4.0;
/// Limits of the error bound of the frequency, s/s.
const SKEW_RANGE: (f64, f64) = (1e-12, 1.0);
/// Standard deviations below are not believed, s.
const MIN_JITTER: f64 = 1e-9;
/// An asymmetry of the jitter that is nearly all in one direction …
const ASYMMETRY_SEEN: f64 = 0.45;
/// … is believed when it was seen so often in a row.
const ASYMMETRY_RUN: i32 = 10;
/// Nothing can be more asymmetric.
const MAX_ASYMMETRY: f64 = 0.5;
/// Samples that a slope over the delay takes at least.
const MIN_ASYMMETRY_SAMPLES: usize = 8;

/// What the options say about a source's register.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    /// Fewest samples that the runs test leaves.
    pub minsamples: usize,
    /// Most samples; 1 … 64.
    pub maxsamples: usize,
    /// The shortest round trip that is possible, s; 0: unknown.
    pub mindelay: f64,
    /// Asymmetry of the path's jitter, −0.5 … 0.5 (< 0: the way to the source varies more); anything beyond: estimated.
    pub asymmetry: f64,
    /// Reading precision of our clock, s.
    pub precision: f64,
    /// Bound on what our clock's rate does between updates, s/s.
    pub maxclockerror: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            minsamples: 6,
            maxsamples: MAX_SAMPLES,
            mindelay: 0.0,
            asymmetry: 1.0,
            precision: 1e-6,
            maxclockerror: 1e-6,
        }
    }
}

/// A sample as it is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// What was measured.
    pub measurement: Measurement,
    /// What the estimated time lacked when it was measured, s: > 0 is behind. No later correction changes it.
    pub original: f64,
}

/// What is kept over a restart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dump {
    /// Updates in a row that saw the same asymmetry; the sign is its.
    pub asymmetry_run: i32,
    /// The samples, oldest first.
    pub samples: Vec<Entry>,
}

/// What the packet tests compare a new sample with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The offset of the free clock.
    pub offset: Exact,
    /// Standard deviation of the samples, s.
    pub jitter: f64,
    /// Error bound of the rate, s/s.
    pub skew: f64,
    /// The shortest round trip, s.
    pub min_delay: f64,
    /// Age of the newest sample, s.
    pub ago: f64,
    /// How many samples the line stands on.
    pub samples: usize,
}

/// What `sources` and `sourcestats` show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Samples that the line goes through.
    pub samples: usize,
    /// Runs of residuals with one sign.
    pub runs: usize,
    /// Newest minus oldest of these samples.
    pub span: Secs,
    /// What the corrected clock gains against the source; > 0: fast.
    pub residual_frequency: Frequency,
    /// Error bound of it, s/s.
    pub skew: f64,
    /// Standard deviation of the samples about the line.
    pub jitter: Secs,
    /// The line's offset now; > 0: our clock is behind.
    pub offset: Secs,
    /// How far that can be wrong.
    pub offset_error: Secs,
    /// Standard deviation of the line's offset at the newest sample.
    pub offset_deviation: Secs,
    /// Asymmetry of the jitter that is in use, −0.5 … 0.5 (< 0: the way to the source varies more).
    pub asymmetry: f64,
    /// Place of the best sample among those in use, 0: the oldest.
    pub best: usize,
}

/// The newest sample as `sources` shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latest {
    /// When it was taken.
    pub at: FreeTime,
    /// Its offset by today's corrections; > 0: behind.
    pub offset: Secs,
    /// Its offset as measured.
    pub original: Secs,
    /// How far it can be wrong: its root distance.
    pub error: Secs,
}

/// The samples of one source.
#[derive(Debug, Clone)]
pub struct Register {
    tuning: Tuning,
    /// Oldest first: those that only the runs test and the asymmetry look at, then the ones in use.
    entries: VecDeque<Entry>,
    /// How many of the newest are in use.
    used: usize,
    fit: Option<Fit>,
    /// Index of the best sample in `entries`.
    best: usize,
    asymmetry: f64,
    asymmetry_run: i32,
}

impl Register {
    /// An empty register.
    pub fn new(tuning: Tuning) -> Self {
        let mut register = Self {
            tuning,
            entries: VecDeque::new(),
            used: 0,
            fit: None,
            best: 0,
            asymmetry: 0.0,
            asymmetry_run: 0,
        };
        register.tune(tuning);
        register
    }

    /// Options changed.
    pub fn tune(&mut self, tuning: Tuning) {
        let maxsamples =
            if tuning.maxsamples == 0 { MAX_SAMPLES } else { tuning.maxsamples.min(MAX_SAMPLES) };
        self.tuning = Tuning { maxsamples, ..tuning };
    }

    /// Forgets all samples.
    pub fn reset(&mut self) {
        *self = Self::new(self.tuning);
    }

    /// Takes a new sample. Samples come in the order of time; an older one than the newest starts the register anew.
    /// `line` is the time that the host believes in now.
    pub fn push(&mut self, measurement: Measurement, line: &Line) {
        let original = Exact::from_delta(measurement.offset).minus(line.offset_at(measurement.at));
        self.accept(Entry { measurement, original });
        self.regress();
    }

    fn accept(&mut self, entry: Entry) {
        if self.newest().is_some_and(|newest| newest.measurement.at >= entry.measurement.at) {
            self.reset();
        }
        self.used = (self.used + 1).min(self.tuning.maxsamples);
        // room first: the queue never grows beyond what it may hold
        while self.entries.len() >= 2 * self.used {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    /// Keeps at most as many older samples as there are in use.
    fn trim(&mut self) {
        while self.entries.len() > 2 * self.used {
            self.entries.pop_front();
        }
    }

    fn newest(&self) -> Option<&Entry> {
        self.entries.back()
    }

    fn first_used(&self) -> usize {
        self.entries.len() - self.used.min(self.entries.len())
    }

    fn in_use(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.range(self.first_used()..)
    }

    /// How many samples are in use.
    pub fn len(&self) -> usize {
        self.used
    }

    /// No samples at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there are enough samples for a line.
    pub fn has_fit(&self) -> bool {
        self.fit.is_some()
    }

    /// The shortest round trip that was seen or is configured, s.
    pub fn min_delay(&self) -> Option<f64> {
        if self.tuning.mindelay > 0.0 {
            return Some(self.tuning.mindelay);
        }
        self.entries.iter().map(|entry| entry.measurement.delay).min().map(TimeDelta::as_secs_f64)
    }

    /// Round trip beyond the shortest one, s; below a configured minimum it counts as so much above.
    fn excess(entry: &Entry, min_delay: f64) -> f64 {
        (entry.measurement.delay.as_secs_f64() - min_delay).abs()
    }

    fn points(&self) -> Vec<Point> {
        let (Some(newest), Some(min_delay)) = (self.newest(), self.min_delay()) else { return Vec::new() };
        let (at, offset) = (newest.measurement.at, newest.measurement.offset);
        let point = |entry: &Entry| Point {
            time: (entry.measurement.at - at).as_secs_f64(),
            offset: (entry.measurement.offset - offset).as_secs_f64(),
            excess: Self::excess(entry, min_delay),
            distance: entry.measurement.delay.as_secs_f64() / 2.0 + entry.measurement.dispersion.get(),
        };
        self.entries.iter().map(point).collect()
    }

    /// Fits the line again: §1.4, steps 1 to 6.
    fn regress(&mut self) {
        let mut points = self.points();
        self.find_asymmetry(&points);
        for point in &mut points {
            point.offset += self.asymmetry * point.excess;
        }
        fit::weigh(&mut points, self.first_used(), self.tuning.precision);
        self.fit = None;
        let least = self.tuning.minsamples.max(MIN_FIT);
        while self.used >= MIN_FIT {
            let fit = fit::line(&points, self.first_used());
            self.fit = fit.filter(Fit::is_finite);
            let random = fit.is_none_or(|fit| fit.is_random());
            if random || self.used <= least {
                break;
            }
            self.used -= 1;
        }
        let (start, oldest) = (self.first_used(), self.entries.len());
        self.trim();
        let start = start - (oldest - self.entries.len());
        self.best = self.find_best(start);
    }

    /// Index of the sample with the least root distance by now.
    fn find_best(&self, start: usize) -> usize {
        let Some(newest) = self.newest() else { return 0 };
        let skew = self.skew();
        let distance = |entry: &Entry| {
            (newest.measurement.at - entry.measurement.at).as_secs_f64() * skew
                + entry.measurement.root_distance()
        };
        let best = (start..self.entries.len())
            .filter_map(|index| self.entries.get(index).map(|entry| (index, distance(entry))))
            .min_by(|(_, a), (_, b)| a.total_cmp(b));
        best.map_or(start, |(index, _)| index)
    }

    fn find_asymmetry(&mut self, points: &[Point]) {
        if self.tuning.asymmetry.abs() <= MAX_ASYMMETRY {
            self.asymmetry = self.tuning.asymmetry;
            return;
        }
        let slope = if points.len() < MIN_ASYMMETRY_SAMPLES { None } else { fit::slope_over_excess(points) };
        // more delay on the way to the source makes our clock look behind: the slope is positive, the asymmetry negative
        let seen = slope.map_or(0.0, |slope| -slope);
        if seen.abs() < ASYMMETRY_SEEN {
            self.asymmetry_run = 0;
        } else if seen > 0.0 {
            self.asymmetry_run = (self.asymmetry_run.max(0) + 1).min(ASYMMETRY_RUN);
        } else {
            self.asymmetry_run = (self.asymmetry_run.min(0) - 1).max(-ASYMMETRY_RUN);
        }
        let believed = self.asymmetry_run.abs() >= ASYMMETRY_RUN;
        self.asymmetry = if believed { seen.clamp(-MAX_ASYMMETRY, MAX_ASYMMETRY) } else { 0.0 };
    }

    fn skew(&self) -> f64 {
        self.fit.map_or(UNKNOWN_SKEW, |fit| fit.skew.clamp(SKEW_RANGE.0, SKEW_RANGE.1))
    }

    fn jitter(&self) -> f64 {
        self.fit.map_or(UNKNOWN_JITTER, |fit| fit.deviation.max(MIN_JITTER))
    }

    /// Error bound of the frequency, s/s: what a round trip adds to the dispersion of a sample.
    pub fn skew_bound(&self) -> f64 {
        self.skew().min(UNKNOWN_SKEW)
    }

    /// Loss of the free clock; without a line of our own, what the host believes.
    fn slope(&self, line: &Line) -> f64 {
        self.fit.map_or(line.rate, |fit| fit.slope)
    }

    /// The offset of the free clock by this source at `at`.
    pub fn offset_at(&self, at: FreeTime, line: &Line) -> Option<Exact> {
        let newest = self.newest()?.measurement;
        let here = Exact::from_delta(newest.offset).plus(self.fit.map_or(0.0, |fit| fit.offset));
        Some(here.plus((at - newest.at).as_secs_f64() * self.slope(line)))
    }

    /// What a sample at `at` will probably show; `None` while there is no line.
    pub fn predict(&self, at: FreeTime, line: &Line) -> Option<Prediction> {
        self.fit?;
        Some(Prediction {
            offset: self.offset_at(at, line)?,
            jitter: self.jitter(),
            skew: self.skew(),
            min_delay: self.min_delay()?,
            ago: (at - self.newest()?.measurement.at).as_secs_f64().max(0.0),
            samples: self.used,
        })
    }

    /// The best sample's offset of the free clock, with the correction for asymmetry.
    fn best_offset(&self, best: &Entry) -> Exact {
        let excess = self.min_delay().map_or(0.0, |min_delay| Self::excess(best, min_delay));
        Exact::from_delta(best.measurement.offset).plus(self.asymmetry * excess)
    }

    /// What the selection takes at `at`, relative to the estimated time; `None` while there is no line.
    pub fn stats(&self, at: FreeTime, line: &Line) -> Option<Stats> {
        self.fit?;
        let (newest, best) = (self.newest()?, self.entries.get(self.best)?);
        let oldest = self.in_use().next()?;
        let ago = |entry: &Entry| (at - entry.measurement.at).as_secs_f64();
        let offset = self.best_offset(best).plus(ago(best) * self.slope(line)).minus(line.offset_at(at));
        let (last_ago, first_ago) = (ago(newest), ago(oldest));
        let stale = (2.0 * last_ago - first_ago).max(0.0) * self.tuning.maxclockerror;
        let root_distance = best.measurement.root_distance() + ago(best).max(0.0) * self.skew() + stale;
        Some(Stats {
            low: offset - root_distance,
            high: offset + root_distance,
            root_distance,
            jitter: self.jitter(),
            first_ago,
            last_ago,
            frequency: self.residual_frequency(line),
            skew: self.skew(),
        })
    }

    /// Root delay and root dispersion by the best sample at `at` (its own path included), s.
    pub fn root(&self, at: FreeTime) -> Option<(f64, f64)> {
        let best = self.entries.get(self.best)?.measurement;
        let delay = best.delay.as_secs_f64() + best.root_delay.get();
        let age = (at - best.at).as_secs_f64().max(0.0);
        Some((delay, best.dispersion.get() + best.root_dispersion.get() + age * self.skew()))
    }

    /// s/s, > 0: the corrected clock gains on the source.
    fn residual_frequency(&self, line: &Line) -> f64 {
        (line.rate - self.slope(line)) / (1.0 + line.rate).max(0.5)
    }

    /// What `sourcestats` shows at `at`.
    pub fn statistics(&self, at: FreeTime, line: &Line) -> Statistics {
        let start = self.first_used();
        let span = match (self.in_use().next(), self.newest()) {
            (Some(oldest), Some(newest)) => Secs::from(newest.measurement.at - oldest.measurement.at),
            _ => Secs::ZERO,
        };
        let offset = self.offset_at(at, line).map_or(0.0, |offset| offset.minus(line.offset_at(at)));
        let deviation = self.fit.map_or(0.0, |fit| fit.offset_deviation);
        let error = self.entries.get(self.best).map_or(0.0, |best| {
            let age = (at - best.measurement.at).as_secs_f64().max(0.0);
            deviation + age * self.skew() + best.measurement.root_distance()
        });
        Statistics {
            samples: self.used,
            runs: self.fit.map_or(0, |fit| fit.runs),
            span,
            residual_frequency: Frequency::new(self.residual_frequency(line)).unwrap_or_default(),
            skew: self.skew(),
            jitter: Secs::literal(self.jitter()),
            offset: Secs::literal(offset),
            offset_error: Secs::literal(error),
            offset_deviation: Secs::literal(deviation),
            asymmetry: self.asymmetry,
            best: self.best.saturating_sub(start),
        }
    }

    /// The newest sample.
    pub fn latest(&self, line: &Line) -> Option<Latest> {
        let Entry { measurement, original } = *self.newest()?;
        let offset = Exact::from_delta(measurement.offset).minus(line.offset_at(measurement.at));
        Some(Latest {
            at: measurement.at,
            offset: Secs::literal(offset),
            original: Secs::literal(original),
            error: Secs::literal(measurement.root_distance()),
        })
    }

    /// Asymmetry of the jitter that is in use, −0.5 … 0.5 (< 0: the way to the source varies more).
    pub const fn asymmetry(&self) -> f64 {
        self.asymmetry
    }

    /// How long ago the oldest sample in use was taken.
    pub fn oldest(&self) -> Option<FreeTime> {
        self.in_use().next().map(|entry| entry.measurement.at)
    }

    /// What a dump file keeps.
    pub fn dump(&self) -> Dump {
        Dump { asymmetry_run: self.asymmetry_run, samples: self.in_use().copied().collect() }
    }

    /// The source's time moved by `by`, as in a leap second.
    pub fn shift(&mut self, by: TimeDelta) {
        for entry in &mut self.entries {
            entry.measurement.offset += by;
        }
    }

    /// Starts with what a dump kept. Answers whether it was in order; otherwise the register is empty.
    pub fn restore(&mut self, dump: &Dump) -> bool {
        self.reset();
        let ordered = dump.samples.is_sorted_by(|a, b| a.measurement.at < b.measurement.at);
        if !ordered || dump.samples.is_empty() {
            return false;
        }
        let newest = dump.samples.len().saturating_sub(self.tuning.maxsamples);
        for entry in dump.samples.iter().skip(newest) {
            self.accept(*entry);
        }
        self.asymmetry_run = dump.asymmetry_run.clamp(-ASYMMETRY_RUN, ASYMMETRY_RUN);
        self.regress();
        true
    }
}

#[cfg(test)]
mod tests;
