//! One hypothesis about the wander: a Kalman filter of the free clock.
//!
//! State: offset x of the free clock, relative to the bank's anchor; its rate y; the rate's rate d; with several sources one path
//! bias b each.
//! A sample of a source measures x + b. dx/dt = y; y walks at random, and may drift at a rate d of its own.

/// Leading states: offset, rate and the rate's rate.
pub(super) const CORE: usize = 3;
/// White noise of the offset's own, s² per s: far below any time stamp.
const OFFSET_NOISE: f64 = 1e-20;
/// Random walk of a path's bias, s per √s (1e-7: 0.1 µs in a second, 29 µs in a day).
const BIAS_WALK: f64 = 1e-7;

/// How the rate's own rate d behaves: pulled to 0 within `memory` s, and moved by white noise of `noise` s⁻³; 0: there is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trend {
    pub(super) noise: f64,
    pub(super) memory: f64,
}

impl Trend {
    pub(super) const NONE: Self = Self { noise: 0.0, memory: 1.0 };

    /// Standard deviation of d when nothing is known.
    pub(super) fn sd(&self) -> f64 {
        (self.noise * self.memory / 2.0).sqrt()
    }

    /// What d = 1 adds to the rate and to the offset in `secs`, and what is left of it.
    fn over(&self, secs: f64) -> (f64, f64, f64) {
        let h = secs / self.memory;
        if self.noise <= 0.0 {
            return (0.0, 0.0, 0.0);
        }
        let left = (-h).exp();
        let b = -self.memory * (-h).exp_m1();
        let c = if h < 1e-3 { secs * secs * (0.5 - h / 6.0) } else { self.memory * (secs - b) };
        (b, c, left)
    }

    /// Covariance of offset, rate and d that the noise adds in `secs` (Singer's manoeuvre model).
    fn noise_over(&self, secs: f64) -> [[f64; 3]; 3] {
        let h = secs / self.memory;
        let (xx, xy, xd, yy, yd, dd);
        if h < 0.01 {
            // the first two terms of the series: the exact form has no digits left
            let (t2, t3) = (secs * secs, secs * secs * secs);
            xx = t2 * t3 / 20.0 * (1.0 - 5.0 / 9.0 * h);
            xy = t2 * t2 / 8.0 * (1.0 - 2.0 / 3.0 * h);
            xd = t3 / 6.0 * (1.0 - h);
            yy = t3 / 3.0 * (1.0 - 0.75 * h);
            yd = t2 / 2.0 * (1.0 - h);
            dd = secs * (1.0 - h);
        } else {
            let (e, m) = ((-h).exp(), self.memory);
            xx =
                m.powi(5) / 2.0 * (1.0 - e * e + 2.0 * h + 2.0 * h * h * h / 3.0 - 2.0 * h * h - 4.0 * h * e);
            xy = m.powi(4) / 2.0 * (e * e + 1.0 - 2.0 * e + 2.0 * h * e - 2.0 * h + h * h);
            xd = m.powi(3) / 2.0 * (1.0 - e * e - 2.0 * h * e);
            yy = m.powi(3) / 2.0 * (4.0 * e - 3.0 - e * e + 2.0 * h);
            yd = m.powi(2) / 2.0 * (e * e + 1.0 - 2.0 * e);
            dd = m / 2.0 * (1.0 - e * e);
        }
        [[xx, xy, xd], [xy, yy, yd], [xd, yd, dd]].map(|row| row.map(|x| x * self.noise))
    }
}

/// State, covariance (row by row) and evidence of one hypothesis.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// Variance that the rate gains in a second, s⁻¹ (s/s squared per s).
    pub(super) wander: f64,
    /// How the rate's own rate behaves.
    pub(super) trend: Trend,
    pub(super) state: Vec<f64>,
    pub(super) cov: Vec<f64>,
    /// ln of the evidence, relative to the best filter's.
    pub(super) evidence: f64,
}

impl Filter {
    /// A filter with this prior of offset and rate, and one bias of mean 0 per variance given.
    pub(super) fn new(
        wander: f64,
        trend: Trend,
        evidence: f64,
        mean: [f64; CORE],
        sd: [f64; CORE],
        biases: &[f64],
    ) -> Self {
        let size = CORE + biases.len();
        let mut state = vec![0.0; size];
        let mut cov = vec![0.0; size * size];
        state[..CORE].copy_from_slice(&mean);
        for (i, variance) in sd.iter().map(|sd| sd * sd).chain(biases.iter().copied()).enumerate() {
            cov[i * size + i] = variance;
        }
        Self { wander, trend, state, cov, evidence }
    }

    /// Number of states.
    pub(super) fn size(&self) -> usize {
        self.state.len()
    }

    /// `secs` ≥ 0 go by.
    pub(super) fn predict(&mut self, secs: f64) {
        let n = self.size();
        let p = &mut self.cov;
        let (b, c, e) = self.trend.over(secs);
        let x = &mut self.state;
        x[0] += secs * x[1] + c * x[2];
        x[1] += b * x[2];
        x[2] *= e;
        for j in 0..n {
            p[j] += secs * p[n + j] + c * p[2 * n + j];
            p[n + j] += b * p[2 * n + j];
            p[2 * n + j] *= e;
        }
        for i in 0..n {
            p[i * n] += secs * p[i * n + 1] + c * p[i * n + 2];
            p[i * n + 1] += b * p[i * n + 2];
            p[i * n + 2] *= e;
        }
        if self.trend.noise > 0.0 {
            let noise = self.trend.noise_over(secs);
            for i in 0..3 {
                for j in 0..3 {
                    p[i * n + j] += noise[i][j];
                }
            }
        }
        let q = self.wander * secs;
        p[0] += q * secs * secs / 3.0 + OFFSET_NOISE * secs;
        p[1] += q * secs / 2.0;
        p[n] += q * secs / 2.0;
        p[n + 1] += q;
        for i in CORE..n {
            p[i * n + i] += BIAS_WALK * BIAS_WALK * secs;
        }
        // what differs between the two sides is rounding that no sample would ever take away, and that a fading memory lets grow
        for i in 1..n {
            for j in 0..i {
                p[i * n + j] = p[j * n + i];
            }
        }
    }

    /// Forgets: every variance grows by this factor ≥ 1 (fading memory).
    pub(super) fn fade(&mut self, factor: f64) {
        self.cov.iter_mut().for_each(|p| *p *= factor);
    }

    /// How far the sample lies above the prediction, and the variance of that prediction; `gain` becomes its covariance with
    /// the state. `bias` is the state of the source's bias, if it has one.
    pub(super) fn innovation(&self, z: f64, bias: Option<usize>, gain: &mut Vec<f64>) -> (f64, f64) {
        let n = self.size();
        gain.clear();
        match bias {
            None => {
                gain.extend((0..n).map(|i| self.cov[i * n]));
                (z - self.state[0], gain[0])
            }
            Some(b) => {
                gain.extend((0..n).map(|i| self.cov[i * n] + self.cov[i * n + b]));
                (z - self.state[0] - self.state[b], gain[0] + gain[b])
            }
        }
    }

    /// Moves what `gain` belongs to by `shift`, and shrinks its variance from `before` to `after`; the state follows.
    pub(super) fn apply(&mut self, gain: &[f64], before: f64, shift: f64, after: f64) {
        let n = self.size();
        let factor = (before - after) / (before * before);
        for i in 0..n {
            self.state[i] += gain[i] * shift / before;
            for j in 0..n {
                self.cov[i * n + j] -= gain[i] * gain[j] * factor;
            }
        }
    }

    /// State `i` becomes known as `value` with this variance.
    pub(super) fn observe(&mut self, i: usize, value: f64, variance: f64) {
        let n = self.size();
        let gain: Vec<f64> = (0..n).map(|row| self.cov[row * n + i]).collect();
        let before = gain[i];
        if before > 0.0 {
            let share = before / (before + variance);
            self.apply(&gain, before, share * (value - self.state[i]), before * (1.0 - share));
        }
    }

    /// Adds variance to state `i`.
    pub(super) fn widen(&mut self, i: usize, variance: f64) {
        let n = self.size();
        self.cov[i * n + i] += variance;
    }

    /// Adds a state of mean 0, independent of the others.
    pub(super) fn insert(&mut self, variance: f64) {
        let n = self.size();
        let mut cov = Vec::with_capacity((n + 1) * (n + 1));
        for row in self.cov.chunks(n) {
            cov.extend_from_slice(row);
            cov.push(0.0);
        }
        cov.resize((n + 1) * (n + 1) - 1, 0.0);
        cov.push(variance);
        self.cov = cov;
        self.state.push(0.0);
    }

    /// Forgets state `i`.
    pub(super) fn remove(&mut self, i: usize) {
        let n = self.size();
        let keep = |at: usize| at / n != i && at % n != i;
        self.cov = self.cov.iter().enumerate().filter(|(at, _)| keep(*at)).map(|(_, p)| *p).collect();
        self.state.remove(i);
    }

    /// What counted as the offset alone was the offset and the bias of the only source: takes them apart.
    pub(super) fn split(&mut self, variance: f64) {
        self.insert(variance);
        let n = self.size();
        let b = n - 1;
        self.cov[0] += variance;
        self.cov[b] -= variance;
        self.cov[b * n] -= variance;
    }

    /// Whether everything is a number that can be computed with, and every variance above 0.
    pub(super) fn is_sane(&self) -> bool {
        let n = self.size();
        let finite = self.state.iter().chain(&self.cov).chain([&self.evidence]).all(|x| x.abs() < 1e60);
        // a filter without a trend has no variance there
        finite && (0..n).all(|i| self.cov[i * n + i] > 0.0 || (i == 2 && self.trend.noise <= 0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_of_a_trend_adds_up_whatever_the_steps() {
        // one long step, and many short ones through the series
        let trend = Trend { noise: 1e-20, memory: 1000.0 };
        let run = |steps: u32, secs: f64| {
            let mut filter = Filter::new(0.0, trend, 0.0, [0.0, 0.0, 1e-9], [1e-9, 1e-9, 1e-10], &[]);
            (0..steps).for_each(|_| filter.predict(secs));
            filter
        };
        let (one, many) = (run(1, 2000.0), run(1000, 2.0));
        for (a, b) in one.state.iter().zip(&many.state).chain(one.cov.iter().zip(&many.cov)) {
            assert!((a - b).abs() <= 1e-3 * a.abs(), "{one:?} {many:?}");
        }
    }

    #[test]
    fn a_bias_that_is_taken_apart_changes_no_prediction() {
        let mut filter = Filter::new(1e-18, Trend::NONE, 0.0, [1e-3, 1e-6, 0.0], [1e-4, 1e-7, 0.0], &[]);
        filter.predict(64.0);
        let mut gain = Vec::new();
        let alone = filter.innovation(2e-3, None, &mut gain);
        filter.split(1e-6);
        let apart = filter.innovation(2e-3, Some(CORE), &mut gain);
        assert!((alone.0 - apart.0).abs() < 1e-15 && (alone.1 - apart.1).abs() < 1e-15);
        filter.remove(CORE);
        assert_eq!(filter.size(), CORE);
    }
}
