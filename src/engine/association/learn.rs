//! What follows from a valid reply: reach, kiss codes, samples, a longer route.

use super::check::Tests;
use super::{Association, Context, Effect, Notice};
use crate::engine::measurement::Measurement;
use crate::engine::timeline::Exact;
use crate::wire::ntp::{Header, Kiss};

/// So many samples in a row that are late by about the same are a longer route …
const ROUTE_SAMPLES: usize = 8;
/// … if the shortest of them exceeds the old minimum by so many times their own range (the longest left out).
const ROUTE_RANGES: f64 = 3.0;
/// So many samples in a row that are late by anything are the truth.
const MANY_SUSPECTS: u32 = 24;

impl Association {
    /// What follows from a valid reply.
    pub(super) fn conclude(
        &mut self,
        context: &mut Context<'_>,
        tests: Tests,
        header: &Header,
        measurement: Measurement,
    ) {
        self.schedule.answered();
        self.shift_reach(tests.is_synchronised());
        self.schedule.remote_poll(header.poll, self.role, &self.options);
        if let Some(kiss @ (Kiss::Rate | Kiss::Deny | Kiss::Restrict)) = header.kiss() {
            self.schedule.kissed(kiss != Kiss::Rate, &self.options, context);
            if !self.kissed {
                self.kissed = true;
                self.effects.push_back(Effect::Notice(Notice::Kiss(kiss)));
            }
            return;
        }
        if tests.is_good() {
            self.counters.good = self.counters.good.saturating_add(1);
            self.kissed = false;
            self.suspects.clear();
            self.suspected = 0;
            match &mut self.median {
                None => self.accept(context, measurement),
                Some(median) => {
                    median.push(measurement);
                    self.filtered(context);
                }
            }
            self.schedule.good(context);
            return;
        }
        self.schedule.bad(tests.only_loops(), &self.options);
        if tests.is_synchronised() && tests.only_delay_is_long() && self.quantile.is_none() {
            self.suspect(context, measurement);
        }
    }

    /// All polls of the filter may be over.
    pub(super) fn filtered(&mut self, context: &mut Context<'_>) {
        let rate = context.timeline.line().rate;
        let full = self.median.as_mut().filter(|median| median.is_full());
        if let Some(sample) = full.and_then(|median| median.take(rate)) {
            self.accept(context, sample);
        }
    }

    /// A good sample.
    pub(super) fn accept(&mut self, context: &mut Context<'_>, measurement: Measurement) {
        let line = context.timeline.line();
        let predicted = self.register.predict(measurement.at, &line);
        let error = predicted.map(|p| Exact::from_delta(measurement.offset).minus(p.offset).abs());
        self.register.push(measurement, &line);
        let distance = measurement.delay.as_secs_f64() / 2.0 + measurement.dispersion.get();
        let samples = u32::try_from(self.register.len()).map_or(0.0, f64::from);
        let min_delay = self.register.min_delay();
        self.schedule.learn(error, distance, samples, min_delay, &self.options);
        self.effects.push_back(Effect::Sample(measurement));
    }

    /// A sample whose only fault is its delay. Enough of them in a row, late by about the same, came by a longer route:
    /// then the register begins anew with them (discipline.md, note (d)).
    fn suspect(&mut self, context: &mut Context<'_>, measurement: Measurement) {
        if self.suspects.len() == ROUTE_SAMPLES {
            self.suspects.pop_front();
        }
        self.suspects.push_back(measurement);
        self.suspected = self.suspected.saturating_add(1);
        if self.suspects.len() < ROUTE_SAMPLES {
            return;
        }
        let mut delays: Vec<f64> = self.suspects.iter().map(|m| m.delay.as_secs_f64()).collect();
        delays.sort_unstable_by(f64::total_cmp);
        let (Some(shortest), Some(longest)) = (delays.first(), delays.get(delays.len() - 2)) else { return };
        let displaced = shortest - self.register.min_delay().unwrap_or(*shortest);
        if displaced > ROUTE_RANGES * (longest - shortest) || self.suspected >= MANY_SUSPECTS {
            self.register.reset();
            self.suspected = 0;
            let line = context.timeline.line();
            for measurement in std::mem::take(&mut self.suspects) {
                self.register.push(measurement, &line);
                self.effects.push_back(Effect::Sample(measurement));
            }
        }
    }
}
