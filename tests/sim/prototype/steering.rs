//! Several sources combined, and the clock steered by the result.

use super::discipline::{
    BIAS_NARROW, ClockCommand, Discipline, Estimate, LIAR, MAX_RATE, MAX_SLEW, SLEW_RATIO, SLEW_SIGMA,
};
use super::source::Source;

impl Discipline {
    // -------------------------------------------------------------- several sources
    /// Does the correctness interval of the source meet the point covered by most sources (a strict majority)?
    pub(super) fn in_majority(&self, src: usize, raw: f64) -> bool {
        if self.sources.len() == 1 {
            return true;
        }
        let y = if self.samples > 3 { self.est.y } else { 0.0 };
        let interval = |s: &Source| s.last.map(|(at, z, d)| (z + y * (raw - at) - d, z + y * (raw - at) + d));
        let all: Vec<(f64, f64)> = self.sources.iter().filter_map(interval).collect();
        let Some(me) = interval(&self.sources[src]) else { return false };
        let (mut count, mut lo, mut hi) = (0, 0.0, 0.0);
        for &(edge, _) in &all {
            let cover: Vec<_> = all.iter().filter(|v| v.0 <= edge && v.1 >= edge).collect();
            if cover.len() > count {
                count = cover.len();
                lo = edge;
                hi = cover.iter().map(|v| v.1).fold(f64::MAX, f64::min);
            }
        }
        count * 2 > self.sources.len() && me.1 >= lo && me.0 <= hi
    }
    /// Mean and covariance of the bank.  With several sources the filter knows the differences of the path biases
    /// but not their common part; that is fixed here, robustly, on a copy (the filter stays free of it).
    pub(super) fn estimate(&mut self, raw: f64) -> Estimate {
        let n = self.scratch.len();
        let (mut s, mut p) = (vec![0.0; n], vec![0.0; n * n]);
        for (f, w) in self.bank.iter().zip(&self.weights) {
            s.iter_mut().zip(&f.s).for_each(|(a, b)| *a += w * b);
        }
        for (f, w) in self.bank.iter().zip(&self.weights) {
            for i in 0..n {
                for j in 0..n {
                    p[i * n + j] += w * (f.p[i * n + j] + (f.s[i] - s[i]) * (f.s[j] - s[j]));
                }
            }
        }
        for (src, var) in self.bias_priors(&s) {
            // pseudo-measurement "b = 0 with variance var"
            let b = 2 + src;
            let pb: Vec<f64> = (0..n).map(|i| p[i * n + b]).collect();
            let (sum, bias) = (pb[b] + var, s[b]);
            for i in 0..n {
                s[i] -= pb[i] / sum * bias;
                for j in 0..n {
                    p[i * n + j] -= pb[i] * pb[j] / sum;
                }
            }
        }
        Estimate { raw, x: s[0], y: s[1], x_var: p[0].max(1e-22), y_var: p[n + 1].max(1e-24) }
    }
    /// Robust common part of the biases: b_i is either N(g, (2 % of the round trip)^2) or, with probability LIAR,
    /// anywhere within the root distance.  Every source is tried once as the true one.  Returns, per source, the
    /// variance with which "bias = 0" shall be believed.
    pub(super) fn bias_priors(&mut self, s: &[f64]) -> Vec<(usize, f64)> {
        if self.sources.len() == 1 {
            return vec![];
        }
        struct Path {
            src: usize,
            bias: f64,
            sd: f64,
            width: f64,
        }
        impl Path {
            /// Densities of (true source, liar) at common part g.
            fn density(&self, g: f64) -> (f64, f64) {
                let u = (self.bias - g) / self.sd;
                ((1.0 - LIAR) * (-0.5 * u * u).exp() / (self.sd * 2.506_628), LIAR / self.width)
            }
        }
        let paths: Vec<Path> = (self.sources.iter().enumerate())
            .filter(|(_, s)| s.good > 0)
            .map(|(src, so)| {
                let width = so.min_rtt + so.root_delay;
                Path {
                    src,
                    bias: s[2 + src],
                    sd: (BIAS_NARROW * width + 1e-7).hypot(so.shift_var.sqrt()),
                    width,
                }
            })
            .collect();
        let mut best = (f64::MIN, self.gauge);
        for start in paths.iter().map(|p| p.bias).chain([self.gauge]) {
            let mut g = start;
            for _ in 0..6 {
                let (mut num, mut den) = (0.0, 0.0);
                for p in &paths {
                    let (t, l) = p.density(g);
                    let w = t / (t + l) / (p.sd * p.sd);
                    num += w * p.bias;
                    den += w;
                }
                if den > 0.0 {
                    g = num / den;
                }
            }
            let ll: f64 = paths.iter().map(|p| p.density(g)).map(|(t, l)| (t + l).ln()).sum();
            if ll > best.0 {
                best = (ll, g);
            }
        }
        self.gauge = best.1;
        paths
            .iter()
            .map(|p| {
                let (t, l) = p.density(best.1);
                (p.src, p.sd * p.sd * ((t + l) / t).min(1e8))
            })
            .collect()
    }
    // -------------------------------------------------------------- steering
    /// Take over the whole rate, and remove the offset at the pace at which it is really known.
    pub(super) fn steer(&mut self, mut t: f64) -> ClockCommand {
        let e = self.est;
        let truth = |d: &Self, t: f64| e.x + e.y * (d.time.raw(t) - e.raw);
        let mut step = 0.0;
        if self.step_updates != 0 {
            self.step_updates -= i32::from(self.step_updates > 0);
            let x = truth(self, t) - self.time.corr(t);
            if x.abs() > self.step_threshold {
                step = x;
                self.time.step(t, step);
                t += step;
            }
        }
        self.base_rate = e.y.clamp(-MAX_RATE, MAX_RATE);
        let x = truth(self, t) - self.time.corr(t);
        // sigma_x/sigma_y minimises the product of the RMS time and frequency errors; less than 1 favours time
        let interval = self.sources.iter().map(Source::interval).fold(f64::MAX, f64::min);
        let natural = (SLEW_RATIO * (e.x_var / e.y_var).sqrt()).max(interval);
        let length =
            (natural * (SLEW_SIGMA * e.x_var.sqrt() / x.abs()).min(1.0)).max(1.0).max(x.abs() / MAX_SLEW);
        let rate = (self.base_rate + x / length * (1.0 + self.base_rate)).clamp(-MAX_RATE, MAX_RATE);
        let slew = (rate - self.base_rate) / (1.0 + self.base_rate);
        if slew == 0.0 {
            return ClockCommand { step, rate: self.base_rate, until: f64::INFINITY };
        }
        // local seconds until the slew has gained x
        let duration = x / slew * (1.0 + rate) / (1.0 + self.base_rate);
        ClockCommand { step, rate, until: t + duration.clamp(0.5, 1e5) }
    }
}
