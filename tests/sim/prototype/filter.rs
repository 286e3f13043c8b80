//! One Kalman filter of the bank: offset, rate and path biases under one hypothesis about the wander.

/// Random walk of path biases, per sqrt(s); prior of a path bias as a fraction of the round trip, inside the filter
/// (wide) and for the combination of sources (narrow); probability that a source is false.
pub(super) const BIAS_WALK: f64 = 1e-7;

/// One hypothesis about the wander.  State: x (offset of the raw clock), y (its rate), and, with several sources,
/// one constant path bias b_i each.  A sample of source i measures x + b_i.  Covariance `p` is n x n, row by row.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) q: f64,
    pub(super) s: Vec<f64>,
    pub(super) p: Vec<f64>,
    pub(super) ll: f64,
}
impl Filter {
    pub(super) fn predict(&mut self, dt: f64) {
        let n = self.s.len();
        let p = &mut self.p;
        self.s[0] += dt * self.s[1];
        for j in 0..n {
            p[j] += dt * p[n + j];
        }
        for i in 0..n {
            p[i * n] += dt * p[i * n + 1];
        }
        let q = self.q * dt;
        p[0] += q * dt * dt / 3.0 + 1e-20 * dt;
        (p[1], p[n], p[n + 1]) = (p[1] + q * dt / 2.0, p[n] + q * dt / 2.0, p[n + 1] + q);
        for i in 2..n {
            p[i * n + i] += BIAS_WALK * BIAS_WALK * dt;
        }
    }
    /// Innovation of a sample, its variance without measurement noise, and (in `ph`) the covariance with the state.
    pub(super) fn innovation(&self, src: usize, z: f64, ph: &mut [f64]) -> (f64, f64) {
        let n = self.s.len();
        if n == 2 {
            ph.copy_from_slice(&[self.p[0], self.p[2]]);
            return (z - self.s[0], ph[0]);
        }
        let b = 2 + src;
        for (i, v) in ph.iter_mut().enumerate() {
            *v = self.p[i * n] + self.p[i * n + b];
        }
        (z - self.s[0] - self.s[b], ph[0] + ph[b])
    }
    /// Move the predicted sample by `shift` and reduce its variance from `h` to `var`; the state follows.
    pub(super) fn apply(&mut self, ph: &[f64], h: f64, shift: f64, var: f64) {
        let n = self.s.len();
        let f = (h - var) / (h * h);
        for i in 0..n {
            self.s[i] += ph[i] * shift / h;
            for j in 0..n {
                self.p[i * n + j] -= ph[i] * ph[j] * f;
            }
        }
    }
    /// Forget: add variance to the offset and to the rate.
    pub(super) fn widen(&mut self, offset_var: f64, rate_var: f64) {
        self.p[0] += offset_var;
        self.p[self.s.len() + 1] += rate_var;
    }
}
