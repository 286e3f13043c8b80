//! Noise of one sample: the shapes of its error and Bayes' rule for each.

/// Noise shapes: prior weights, memory, floor.
pub(super) const SHAPES: usize = 5;

/// One noise shape: the error of the sample is uniform in +/- half_width, multiplied by exp(tilt * error), and then
/// blurred by a Gaussian of variance core_var.  half_width 0 is a plain Gaussian.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) half_width: f64,
    pub(super) core_var: f64,
    pub(super) tilt: f64,
}
impl Shape {
    pub(super) fn gauss(var: f64) -> Self {
        Shape { half_width: 0.0, core_var: var, tilt: 0.0 }
    }
    pub(super) fn var(&self) -> f64 {
        self.half_width * self.half_width / 3.0 + self.core_var
    }
    /// Bayes' rule for the predicted sample: prior N(0, prior_var), the sample lies `nu` above the prediction.
    /// Returns (log evidence, posterior mean, posterior variance).  `inflate` > 1 disarms a suspected outlier.
    pub(super) fn update(&self, nu: f64, prior_var: f64, inflate: f64) -> (f64, f64, f64) {
        if self.half_width > 0.0 && inflate <= 1.0 {
            let s = prior_var + self.core_var;
            let sd = s.sqrt();
            // the tilt moves the prior by tilt*s; what is left is a normal density cut off by the box
            let nu_tilted = nu - self.tilt * s;
            if let Some((mass, mean, cut)) =
                truncated_normal((nu_tilted - self.half_width) / sd, (nu_tilted + self.half_width) / sd)
            {
                let kw = (self.tilt * self.half_width).abs();
                let ln_norm = if kw < 1e-3 {
                    -(2.0 * self.half_width).ln()
                } else {
                    self.tilt.abs().ln() - kw - (1.0 - (-2.0 * kw).exp()).ln()
                };
                let ln_ev = mass.ln() + ln_norm - self.tilt * nu + 0.5 * self.tilt * self.tilt * s;
                return (
                    ln_ev.max(-13.4 - 0.5 * s.ln()),
                    prior_var * (self.tilt + mean / sd),
                    prior_var * (1.0 - cut * prior_var / s),
                );
            }
        }
        let s = prior_var + self.var() * inflate;
        let gain = prior_var / s;
        (-0.5 * ((nu * nu / s).min(25.0) + s.ln()) - 0.918_938_533, gain * nu, prior_var * (1.0 - gain))
    }
}
/// Standard normal density restricted to a..b: its mass, mean, and 1 - variance.  None if there is next to no mass.
pub(super) fn truncated_normal(a: f64, b: f64) -> Option<(f64, f64, f64)> {
    let (a, b, sign) = if a + b < 0.0 { (-b, -a, -1.0) } else { (a, b, 1.0) };
    if a > 5.0 || b - a < 1e-3 {
        return None;
    }
    let density = |u: f64| (-0.5 * u * u).exp() * 0.398_942_280_4;
    let tail = |u: f64| 0.5 * libm::erfc(u * std::f64::consts::FRAC_1_SQRT_2);
    let mass = tail(a) - tail(b);
    if mass < 1e-9 {
        return None;
    }
    let mean = (density(a) - density(b)) / mass;
    let cut = (b * density(b) - a * density(a)) / mass + mean * mean;
    Some((mass, sign * mean, cut.clamp(0.0, 0.999_999)))
}
