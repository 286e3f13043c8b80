//! One hypothesis about the wander: a Kalman filter of the free clock.
//!
//! State: offset x of the free clock, relative to the bank's anchor; its rate y; with several sources one path bias b each.
//! A sample of a source measures x + b. dx/dt = y, y walks at random.

/// Leading states: offset and rate.
pub(super) const CORE: usize = 2;
/// White noise of the offset's own, s² per s: far below any time stamp.
const OFFSET_NOISE: f64 = 1e-20;
/// Random walk of a path's bias, s per √s (1e-7: 0.1 µs in a second, 29 µs in a day).
const BIAS_WALK: f64 = 1e-7;

/// State, covariance (row by row) and evidence of one hypothesis.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// Variance that the rate gains in a second, s⁻¹ (s/s squared per s).
    pub(super) wander: f64,
    pub(super) state: Vec<f64>,
    pub(super) cov: Vec<f64>,
    /// ln of the evidence, relative to the best filter's.
    pub(super) evidence: f64,
}

impl Filter {
    /// A filter with this prior of offset and rate, and one bias of mean 0 per variance given.
    pub(super) fn new(
        wander: f64,
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
        Self { wander, state, cov, evidence }
    }

    /// Number of states.
    pub(super) fn size(&self) -> usize {
        self.state.len()
    }

    /// `secs` ≥ 0 go by.
    pub(super) fn predict(&mut self, secs: f64) {
        let n = self.size();
        let p = &mut self.cov;
        self.state[0] += secs * self.state[1];
        for j in 0..n {
            p[j] += secs * p[n + j];
        }
        for i in 0..n {
            p[i * n] += secs * p[i * n + 1];
        }
        let q = self.wander * secs;
        p[0] += q * secs * secs / 3.0 + OFFSET_NOISE * secs;
        p[1] += q * secs / 2.0;
        p[n] += q * secs / 2.0;
        p[n + 1] += q;
        for i in CORE..n {
            p[i * n + i] += BIAS_WALK * BIAS_WALK * secs;
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
        finite && (0..n).all(|i| self.cov[i * n + i] > 0.0)
    }
}
