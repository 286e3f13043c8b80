//! The discipline: bank of filters, start by replay, outliers, combination of the sources, steering.

use super::filter::Filter;
use super::shape::{SHAPES, Shape};
use super::source::Source;

/// Largest slew, 83333.3 ppm, and largest total rate that adjtimex can express.
pub(super) const MAX_SLEW: f64 = 1.0 / 12.0;
pub(super) const MAX_RATE: f64 = 0.0999;
/// Hypotheses of the frequency random walk: 10^-11 .. 10^-6 per sqrt(s), two per decade; prior centred on 10^-9.
pub(super) const WANDERS: usize = 11;
pub(super) const WANDER_LOG10: (f64, f64) = (-11.0, -6.0);
pub(super) const WANDER_PRIOR_LOG10: f64 = -9.0;
/// Memory of the wander evidence (200 samples) and its floor below the best hypothesis (e^-12: a larger floor lets
/// absurdly large wanders inflate sigma_y, which shortens the slews and triples the frequency noise).
pub(super) const WANDER_FORGET: f64 = 0.995;
pub(super) const WANDER_FLOOR: f64 = 12.0;
/// The first samples (at least 8 per source) that are filtered again, from scratch, with every new one.
pub(super) const REPLAY: usize = 24;
/// Initial uncertainty of the rate; ten and a thousand times more are tried as long as there are <= 8 samples.
pub(super) const RATE_SD: f64 = 1e-4;
pub(super) const BIAS_WIDE: f64 = 0.3;
pub(super) const BIAS_NARROW: f64 = 0.02;
pub(super) const LIAR: f64 = 0.05;
/// Outlier gate in standard deviations.
pub(super) const GATE: f64 = 3.0;
/// Slew length: fraction of sigma_x/sigma_y; at offsets beyond this many sigma_x the slew becomes faster.
pub(super) const SLEW_RATIO: f64 = 0.4;
pub(super) const SLEW_SIGMA: f64 = 3.0;

// ------------------------------------------------------------------ interface
/// The server's half of one valid exchange, and the time of reception.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    /// Server receive and transmit time.
    pub t2: f64,
    pub t3: f64,
    /// Local (steered) time of reception.
    pub t4: f64,
    pub root_delay: f64,
    pub root_disp: f64,
}
/// What the caller has to do with the clock: step it, then set the rate; call `on_timer` at local time `until`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ClockCommand {
    pub step: f64,
    pub rate: f64,
    pub until: f64,
}
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(super) struct Reaction {
    pub clock: Option<ClockCommand>,
    /// Seconds from now to the next request of this source, replaces the interval given by `on_request`.
    pub next_request: Option<f64>,
}
// ------------------------------------------------------------------ time scales
/// Relation between the steered clock (`local`) and the raw clock: local = raw + corr.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timeline {
    pub(super) local0: f64,
    pub(super) raw0: f64,
    pub(super) corr0: f64,
    pub(super) rate: f64,
}
impl Timeline {
    pub(super) fn raw(&self, local: f64) -> f64 {
        self.raw0 + (local - self.local0) / (1.0 + self.rate)
    }
    pub(super) fn corr(&self, local: f64) -> f64 {
        self.corr0 + (local - self.local0) * self.rate / (1.0 + self.rate)
    }
    pub(super) fn set_rate(&mut self, local: f64, rate: f64) {
        *self = Timeline { local0: local, raw0: self.raw(local), corr0: self.corr(local), rate };
    }
    pub(super) fn step(&mut self, local: f64, step: f64) {
        *self = Timeline {
            local0: local + step,
            raw0: self.raw(local),
            corr0: self.corr(local) + step,
            rate: self.rate,
        };
    }
}
#[derive(Clone, Copy, Debug)]
pub(super) struct Obs {
    pub(super) raw: f64,
    pub(super) z: f64,
    pub(super) rtt: f64,
    pub(super) src: usize,
}
/// Estimate of the raw clock at `raw`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Estimate {
    pub(super) raw: f64,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) x_var: f64,
    pub(super) y_var: f64,
}

#[derive(Default)]
pub(super) struct Discipline {
    pub(super) sources: Vec<Source>,
    /// Offsets above this are stepped, during this many updates (negative: always).
    pub(super) step_threshold: f64,
    pub(super) step_updates: i32,
    pub(super) time: Timeline,
    pub(super) base_rate: f64,
    /// Filters, their weights, and the raw time for which they hold.
    pub(super) bank: Vec<Filter>,
    pub(super) weights: Vec<f64>,
    pub(super) at: f64,
    /// The start phase, its samples, the initial uncertainty of the rate that explains them; all samples so far.
    pub(super) starting: bool,
    pub(super) early: Vec<Obs>,
    pub(super) rate_sd: f64,
    pub(super) samples: usize,
    /// Common part of the path biases found by the robust combination.
    pub(super) gauge: f64,
    pub(super) est: Estimate,
    pub(super) scratch: Vec<f64>,
}

impl Discipline {
    /// `now` is the local time; `makestep` = (threshold, number of updates).
    pub(super) fn new(sources: Vec<Source>, makestep: (f64, i32), now: f64) -> Self {
        let n = if sources.len() > 1 { 2 + sources.len() } else { 2 };
        let time = Timeline { local0: now, ..Default::default() };
        let (step_threshold, step_updates) = makestep;
        let mut d = Discipline {
            sources,
            step_threshold,
            step_updates,
            time,
            starting: true,
            scratch: vec![0.0; n],
            ..Default::default()
        };
        d.reset_bank(RATE_SD, 0.0, 1.0);
        d
    }
    // -------------------------------------------------------------- events
    /// A request leaves at local time `t1`.  Returns the interval to the next one.
    pub(super) fn on_request(&mut self, src: usize, t1: f64) -> f64 {
        let s = &mut self.sources[src];
        s.request = Some((self.time.raw(t1), self.time.corr(t1), t1));
        s.sent += 1;
        if s.in_burst() { s.burst_gap() } else { s.interval() }
    }
    /// The slew is over.
    pub(super) fn on_timer(&mut self) -> ClockCommand {
        ClockCommand { step: 0.0, rate: self.base_rate, until: f64::INFINITY }
    }
    /// The kernel uses this total rate from local time `t` on (it may have rounded the commanded one).
    pub(super) fn rate_set(&mut self, t: f64, rate: f64) {
        self.time.set_rate(t, rate);
    }
    /// A valid reply to the last request of `src`.
    pub(super) fn on_reply(&mut self, src: usize, r: &Reply) -> Reaction {
        let mut reaction = Reaction::default();
        let Some((raw1, corr1, t1)) = self.sources[src].request.take() else { return reaction };
        let (raw4, corr4) = (self.time.raw(r.t4), self.time.corr(r.t4));
        let z = ((r.t2 - t1) + (r.t3 - r.t4)) / 2.0 + (corr1 + corr4) / 2.0;
        let rtt = ((raw4 - raw1) - (r.t3 - r.t2)).max(1e-9);
        let obs = Obs { raw: (raw1 + raw4) / 2.0, z, rtt, src };
        let raw = obs.raw;
        let s = &mut self.sources[src];
        (s.good, s.root_delay) = (s.good + 1, r.root_delay);
        s.add_rtt(rtt);
        s.previous = s.last.map_or(raw, |l| l.0);
        s.last = Some((raw, z, (rtt + r.root_delay) / 2.0 + r.root_disp));
        if s.burst && (s.good == 3 || s.good == 4) {
            reaction.next_request = Some(if s.good == 3 { s.burst_gap() } else { s.interval() });
        }
        self.samples += 1;
        let first_of_source = s.good == 1;
        if self.starting && (self.samples > REPLAY.max(8 * self.sources.len()) || self.jumped(&obs)) {
            self.starting = false;
            self.early = vec![];
        }
        if self.starting {
            self.early.push(obs);
            if !self.replay() {
                return reaction;
            }
        } else {
            if !self.in_majority(src, raw) {
                return reaction;
            }
            if first_of_source && self.sources.len() > 1 {
                let (n, b) = (self.scratch.len(), 2 + src);
                self.bank.iter_mut().for_each(|f| f.p[b * n + b] = (BIAS_WIDE * rtt).powi(2));
            }
            if self.stream(&obs) {
                reaction.next_request = Some(2.0);
            }
        }
        self.est = self.estimate(raw);
        // like chronyd, do nothing before the third good sample (of most sources)
        let ready = self.sources.iter().filter(|s| s.good >= 3).count();
        let seen = self.sources.iter().filter(|s| s.good > 0).count();
        if self.sources[src].good >= 3 && ready * 2 > seen {
            let best = self.best();
            let t = self.sources[src].interval();
            let growth = best.q * t * t * t / 3.0 + best.p[self.scratch.len() + 1] * t * t;
            self.sources[src].adapt_poll(growth, self.est.x_var);
            reaction.clock = Some(self.steer(r.t4));
        }
        reaction
    }
    // -------------------------------------------------------------- bank
    pub(super) fn best(&self) -> &Filter {
        self.bank.iter().max_by(|a, b| a.ll.total_cmp(&b.ll)).expect("bank is never empty")
    }
    pub(super) fn reset_bank(&mut self, rate_sd: f64, x: f64, x_sd: f64) {
        let n = self.scratch.len();
        let mut p = vec![0.0; n * n];
        (p[0], p[n + 1]) = (x_sd * x_sd, rate_sd * rate_sd);
        for b in 2..n {
            p[b * n + b] = (BIAS_WIDE * self.sources[b - 2].min_rtt).powi(2);
        }
        let mut s = vec![0.0; n];
        s[0] = x;
        let step = (WANDER_LOG10.1 - WANDER_LOG10.0) / (WANDERS - 1) as f64;
        self.bank = (0..WANDERS)
            .map(|i| {
                let lg = WANDER_LOG10.0 + step * i as f64;
                Filter {
                    q: 10f64.powf(2.0 * lg),
                    s: s.clone(),
                    p: p.clone(),
                    ll: -2.0 * (lg - WANDER_PRIOR_LOG10).powi(2),
                }
            })
            .collect();
        self.sources.iter_mut().for_each(Source::reset_shapes);
        self.normalise();
    }
    pub(super) fn normalise(&mut self) {
        let max = self.best().ll;
        self.bank.iter_mut().for_each(|f| f.ll = f.ll.max(max - WANDER_FLOOR));
        self.weights = self.bank.iter().map(|f| (f.ll - max).exp()).collect();
        let sum: f64 = self.weights.iter().sum();
        self.weights.iter_mut().for_each(|w| *w /= sum);
    }
    pub(super) fn advance(&mut self, raw: f64) {
        let dt = raw - self.at;
        if dt > 0.0 {
            self.at = raw;
            self.bank.iter_mut().for_each(|f| f.predict(dt));
        }
    }
    /// Mean innovation and its variance under the whole mixture.
    pub(super) fn predicted(&mut self, o: &Obs, shapes: &[Shape; SHAPES]) -> (f64, f64) {
        let w = &self.sources[o.src].shape_w;
        // the tilted boxes count with the variance of the plain one
        let mut var =
            w[0] * shapes[0].var() + (w[1] + w[2] + w[3]) * shapes[1].var() + w[4] * shapes[4].var();
        let mut nu = 0.0;
        for (f, w) in self.bank.iter().zip(&self.weights) {
            let (a, h) = f.innovation(o.src, o.z, &mut self.scratch);
            nu += w * a;
            var += w * h;
        }
        (nu, var)
    }
    /// One sample into every filter.  All shapes move the state along the same direction, so their mixture collapses
    /// into one rank-1 update with the mean and the variance of the mixture.
    pub(super) fn assimilate(&mut self, o: &Obs, shapes: &[Shape; SHAPES], inflate: f64, learn: bool) {
        let prior = self.sources[o.src].shape_w;
        let (mut evidence, mut reference) = ([0.0; SHAPES], f64::NAN);
        for (f, w) in self.bank.iter_mut().zip(&self.weights) {
            let (nu, h) = f.innovation(o.src, o.z, &mut self.scratch);
            let post: [(f64, f64, f64); SHAPES] = std::array::from_fn(|j| shapes[j].update(nu, h, inflate));
            let max = post.iter().map(|c| c.0).fold(f64::MIN, f64::max);
            let part: [f64; SHAPES] = std::array::from_fn(|j| prior[j] * (post[j].0 - max).exp());
            let total: f64 = part.iter().sum();
            let shift = (0..SHAPES).map(|j| part[j] * post[j].1).sum::<f64>() / total;
            let var =
                (0..SHAPES).map(|j| part[j] * (post[j].2 + (post[j].1 - shift).powi(2))).sum::<f64>() / total;
            if reference.is_nan() {
                reference = max;
            }
            for j in 0..SHAPES {
                evidence[j] += w * (post[j].0 - reference).min(300.0).exp();
            }
            if learn {
                f.ll = WANDER_FORGET * f.ll + max + total.ln();
            }
            f.apply(&self.scratch, h, shift, var);
        }
        if learn {
            self.normalise();
            self.sources[o.src].learn_shapes(&evidence);
        }
    }
    // -------------------------------------------------------------- start
    /// Filter the first samples again from scratch: only now is it known which of them had short delays.
    /// Returns false if there is no majority of sources yet.
    pub(super) fn replay(&mut self) -> bool {
        let newest = self.early[self.early.len() - 1].raw;
        let member: Vec<bool> = (0..self.sources.len())
            .map(|i| self.sources[i].good > 0 && self.in_majority(i, newest))
            .collect();
        let obs: Vec<Obs> = self.early.iter().filter(|o| member[o.src]).copied().collect();
        if obs.is_empty() {
            return false;
        }
        // which initial uncertainty of the rate explains the data best?
        if obs.len() <= 8 {
            let mut best = (f64::MIN, RATE_SD);
            for factor in [1.0, 10.0, 1000.0] {
                let ev = self.filter_all(&obs, factor * RATE_SD) - 1.5 * f64::log10(factor);
                if ev > best.0 {
                    best = (ev, factor * RATE_SD);
                }
            }
            self.rate_sd = best.1;
        }
        self.filter_all(&obs, self.rate_sd);
        true
    }
    /// A jump of the clock during the start phase: no delay and no uncertainty explains the sample.
    pub(super) fn jumped(&self, o: &Obs) -> bool {
        let dt = o.raw - self.est.raw;
        let sd = (self.est.x_var + self.est.y_var * dt * dt).sqrt();
        self.sources.len() == 1
            && self.samples > 4
            && (o.z - self.est.x - self.est.y * dt).abs() > o.rtt / 2.0 + 1e-4 + 5.0 * sd
    }
    pub(super) fn filter_all(&mut self, obs: &[Obs], rate_sd: f64) -> f64 {
        self.reset_bank(rate_sd, obs[0].z, 10.0 * obs[0].rtt + 1e-6);
        self.at = obs[0].raw;
        let mut evidence = 0.0;
        for (i, o) in obs.iter().enumerate() {
            let shapes = self.sources[o.src].shapes(o.rtt);
            self.advance(o.raw);
            if i > 0 {
                let (nu, var) = self.predicted(o, &shapes);
                evidence -= 0.5 * ((nu * nu / var).min(100.0) + var.ln());
            }
            self.assimilate(o, &shapes, 1.0, i >= 2);
        }
        evidence
    }
    // -------------------------------------------------------------- steady state
    /// Normal processing of one sample.  Returns true if another request should follow soon.
    pub(super) fn stream(&mut self, o: &Obs) -> bool {
        let single = self.sources.len() == 1;
        let mut o = Obs { z: o.z - self.sources[o.src].route_bias, ..*o };
        let mut shapes = self.sources[o.src].shapes(o.rtt);
        let dt = (o.raw - self.sources[o.src].previous).max(0.1);
        self.advance(o.raw);
        let (mut nu, mut var) = self.predicted(&o, &shapes);
        if let Some(shift) = self.sources[o.src].route_change(nu, self.est.x_var.sqrt()) {
            o.z -= shift;
            shapes = self.sources[o.src].shapes(o.rtt);
            (nu, var) = self.predicted(&o, &shapes);
        }
        let z2 = nu * nu / var / (GATE * GATE);
        let (mut inflate, mut soon) = (1.0, false);
        if z2 > 1.0 {
            let sign = if nu < 0.0 { -1 } else { 1 };
            let s = &mut self.sources[o.src];
            s.outliers = if s.outliers * sign >= 0 { s.outliers + sign } else { sign };
            let twice = s.outliers.abs() >= 2;
            // a jump of the clock is seen by most sources, a change of one path or one server only by that source
            let agree = self.sources.iter().filter(|s| s.outliers * sign > 0).count();
            let seen = self.sources.iter().filter(|s| s.good > 0).count();
            if single && nu.abs() > o.rtt / 2.0 + 1e-4 {
                // no delay can explain it: the clock (or the server) has jumped
                self.bank.iter_mut().for_each(|f| f.widen(nu * nu, (nu / dt).powi(2).min(1e-10)));
                soon = true;
            } else if twice && agree * 2 > seen {
                self.sources.iter_mut().for_each(|s| s.outliers = 0);
                self.bank.iter_mut().for_each(|f| f.widen(0.5 * nu * nu, 0.25 * (nu / dt).powi(2)));
            } else if twice {
                self.sources[o.src].outliers = 0;
                let (n, b) = (self.scratch.len(), 2 + o.src);
                self.bank.iter_mut().for_each(|f| f.p[b * n + b] += nu * nu);
                self.sources[o.src].shift_var += nu * nu;
            } else {
                inflate = z2;
            }
        } else {
            self.sources[o.src].outliers = 0;
        }
        self.assimilate(&o, &shapes, inflate, true);
        soon
    }
}
