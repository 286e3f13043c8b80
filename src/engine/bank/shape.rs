//! What one sample says, given the round trip: the error of its offset has one of a few shapes, mixed by what the source taught.
//!
//! For two queues that fill independently the error, given the excess `e` of the round trip over the path's minimum, is
//! **uniform** within ±e/2; for unequal queues it is tilted exponentially. So a sample whose box holds the whole prior is
//! ignored (a Gaussian of that variance would pull), and one whose box excludes it corrects hard.

use super::normal::bell_and_tail;

/// Number of shapes that are mixed.
pub(super) const SHAPES: usize = 7;
/// What each shape counts before the source has taught anything: symmetric, queues, queues
/// tilted slightly and steeply to either side, core with a queue.
pub(super) const PRIOR: [f64; SHAPES] = [1.0, 3.0, 0.1, 0.1, 0.1, 0.1, 1.0];
/// √(2π).
const SQRT_TAU: f64 = 2.506_628_274_631;
/// ½ ln 2π.
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;
/// The evidence of a sample never falls below that of a Gaussian at 5 standard deviations.
const WORST: f64 = 12.5;

/// Beyond so many standard deviations the normal density and its tail are nothing beside what [`Truncated`] computes (8e-23).
const FAR_OUT: f64 = 10.0;

/// One shape: an error that is uniform within ±`half_width`, weighted with exp(−`tilt` · error), then blurred by a normal error
/// of variance `core`. A half-width of 0 is a plain Gaussian. s, s², 1/s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    pub(super) half_width: f64,
    pub(super) core: f64,
    pub(super) tilt: f64,
}

/// What a sample makes of a normal prior of the predicted offset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Posterior {
    /// ln of the density of the sample.
    pub(super) evidence: f64,
    /// Shift of the mean, s.
    pub(super) shift: f64,
    /// Variance that is left, s².
    pub(super) variance: f64,
}

impl Shape {
    /// A plain Gaussian.
    pub(super) const fn normal(variance: f64) -> Self {
        Self { half_width: 0.0, core: variance, tilt: 0.0 }
    }

    /// Variance of the error, tilt apart, s².
    pub(super) fn variance(&self) -> f64 {
        self.half_width * self.half_width / 3.0 + self.core
    }

    /// ln of what the density of a tilted box is divided by.
    fn norm(&self) -> f64 {
        let steep = (self.tilt * self.half_width).abs();
        if steep < 1e-3 {
            (2.0 * self.half_width).ln()
        } else {
            steep + (-(-2.0 * steep).exp()).ln_1p() - self.tilt.abs().ln()
        }
    }

    /// Bayes' rule: the prior of the predicted offset is N(0, `prior`), the sample lies `above` it. `disarm` ≥ 1 widens the
    /// shape of a suspected outlier, which then counts as a Gaussian. `norm` is [`Self::norm`].
    fn update(&self, above: f64, prior: f64, disarm: f64, norm: f64, last: &mut LastLog) -> Posterior {
        if self.half_width > 0.0
            && disarm <= 1.0
            && let Some(posterior) = self.update_box(above, prior, norm, last)
        {
            return posterior;
        }
        let sum = prior + self.variance() * disarm;
        let gain = prior / sum;
        Posterior {
            evidence: -0.5 * sum.ln() - HALF_LN_TAU - (0.5 * above * above / sum).min(WORST),
            shift: gain * above,
            variance: prior * (1.0 - gain),
        }
    }

    fn update_box(&self, above: f64, prior: f64, norm: f64, last: &mut LastLog) -> Option<Posterior> {
        let sum = prior + self.core;
        let sd = sum.sqrt();
        // the tilt moves the prior by tilt · sum; what is left is a normal density cut off by the box
        let moved = above - self.tilt * sum;
        let cut = Truncated::new((moved - self.half_width) / sd, (moved + self.half_width) / sd)?;
        let evidence = cut.mass.ln() - norm - self.tilt * above + 0.5 * self.tilt * self.tilt * sum;
        Some(Posterior {
            evidence: evidence.max(-0.5 * last.ln(sum) - HALF_LN_TAU - WORST),
            shift: prior * (self.tilt + cut.mean / sd),
            variance: prior * (1.0 - cut.lost * prior / sum),
        })
    }
}

/// The last logarithm that was taken: most shapes of a mixture have the same core.
#[derive(Debug, Clone, Copy, Default)]
struct LastLog {
    /// Bits of its argument.
    of: u64,
    ln: f64,
}

impl LastLog {
    fn ln(&mut self, x: f64) -> f64 {
        if self.of != x.to_bits() {
            *self = Self { of: x.to_bits(), ln: x.ln() };
        }
        self.ln
    }
}

/// The standard normal density, restricted to an interval.
struct Truncated {
    mass: f64,
    mean: f64,
    /// 1 − its variance, 0 … 1.
    lost: f64,
}

impl Truncated {
    /// `None` where next to nothing of the density lies in the interval.
    fn new(from: f64, to: f64) -> Option<Self> {
        let (from, to, sign) = if from + to < 0.0 { (-to, -from, -1.0) } else { (from, to, 1.0) };
        if !(from <= 5.0 && to - from >= 1e-3) {
            return None;
        }
        // most boxes hold the whole density with room to spare, or one end of it
        let (low, above) = if from < -FAR_OUT { (0.0, 1.0) } else { bell_and_tail(from) };
        let (high, beyond) = if to > FAR_OUT { (0.0, 0.0) } else { bell_and_tail(to) };
        let mass = above - beyond;
        if mass < 1e-9 {
            return None;
        }
        let (low, high) = (low / SQRT_TAU, high / SQRT_TAU);
        let mean = (low - high) / mass;
        // 0 · ∞ does not occur: the density underflows long before the bound does
        let lost = (to * high - from * low) / mass + mean * mean;
        Some(Self { mass, mean: sign * mean, lost: lost.clamp(0.0, 0.999_999) })
    }
}

/// The shapes of one sample, with the weights of its source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mixture {
    shapes: [Shape; SHAPES],
    weights: [f64; SHAPES],
    /// [`Shape::norm`] of each: the same for all priors that it meets.
    norms: [f64; SHAPES],
}

/// What a whole mixture makes of a prior.
pub(super) struct Mixed {
    /// Evidence, shift and variance of the mixture; exact, since all shapes move the state along one direction.
    pub(super) posterior: Posterior,
    /// ln of the density of the sample under the likeliest shape, and the density under each relative to that one.
    pub(super) best: f64,
    pub(super) each: [f64; SHAPES],
}

impl Mixture {
    pub(super) fn new(shapes: [Shape; SHAPES], weights: [f64; SHAPES]) -> Self {
        Self { shapes, weights, norms: shapes.map(|shape| shape.norm()) }
    }

    /// Variance of the error; a tilted box counts with the variance of the plain one.
    pub(super) fn variance(&self) -> f64 {
        self.shapes.iter().zip(&self.weights).map(|(shape, weight)| weight * shape.variance()).sum()
    }

    /// [`Shape::update`] of the mixture.
    pub(super) fn update(&self, above: f64, prior: f64, disarm: f64) -> Mixed {
        let mut last = LastLog::default();
        let post: [Posterior; SHAPES] =
            std::array::from_fn(|i| self.shapes[i].update(above, prior, disarm, self.norms[i], &mut last));
        let best = post.iter().map(|one| one.evidence).fold(f64::MIN, f64::max);
        let each = post.map(|one| (one.evidence - best).exp());
        let parts: [f64; SHAPES] = std::array::from_fn(|i| self.weights[i] * each[i]);
        let total: f64 = parts.iter().sum();
        let mean = |f: &dyn Fn(&Posterior) -> f64| {
            parts.iter().zip(&post).map(|(part, one)| part * f(one)).sum::<f64>() / total
        };
        let shift = mean(&|one| one.shift);
        let variance = mean(&|one| one.variance + (one.shift - shift) * (one.shift - shift));
        Mixed { posterior: Posterior { evidence: best + total.ln(), shift, variance }, best, each }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(shape: &Shape, above: f64, prior: f64) -> Posterior {
        shape.update(above, prior, 1.0, shape.norm(), &mut LastLog::default())
    }

    /// Numerical integration of prior × likelihood.
    fn integrate(shape: &Shape, above: f64, prior: f64) -> Posterior {
        let steps = 4000;
        let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
        let (sd, core) = (prior.sqrt(), shape.core.sqrt());
        let norm = {
            let w = shape.half_width;
            let kw = shape.tilt * w;
            if kw.abs() < 1e-9 { 2.0 * w } else { 2.0 * kw.sinh() / shape.tilt }
        };
        for i in 0..steps {
            let x = sd * 8.0 * (f64::from(i) / f64::from(steps) * 2.0 - 1.0);
            // the error is above − x: density of a tilted box blurred by the core
            let error = above - x;
            let mut like = 0.0;
            for j in 0..400 {
                let e = shape.half_width * (f64::from(j) / 200.0 - 1.0 + 1.0 / 400.0);
                let u = (error - e) / core;
                like += (-shape.tilt * e).exp() / norm * (-0.5 * u * u).exp() / (core * SQRT_TAU);
            }
            like *= 2.0 * shape.half_width / 400.0;
            let weight = like * (-0.5 * x * x / prior).exp() / (sd * SQRT_TAU) * sd * 16.0 / f64::from(steps);
            (sum, first, second) = (sum + weight, first + weight * x, second + weight * x * x);
        }
        let shift = first / sum;
        Posterior { evidence: sum.ln(), shift, variance: second / sum - shift * shift }
    }

    #[test]
    fn tilted_boxes_follow_bayes_rule() {
        for tilt in [0.0, 3.0, -8.0] {
            for above in [0.0, 0.7, -1.2] {
                let shape = Shape { half_width: 1.0, core: 0.01, tilt };
                let (ours, truth) = (update(&shape, above, 0.25), integrate(&shape, above, 0.25));
                for (a, b) in [
                    (ours.evidence, truth.evidence),
                    (ours.shift, truth.shift),
                    (ours.variance, truth.variance),
                ] {
                    assert!((a - b).abs() < 2e-3, "{tilt} {above}: {ours:?} {truth:?}");
                }
            }
        }
    }

    #[test]
    fn a_box_ignores_what_lies_well_inside() {
        let shape = Shape { half_width: 1.0, core: 1e-8, tilt: 0.0 };
        let inside = update(&shape, 0.3, 1e-4);
        assert!(inside.shift.abs() < 1e-12 && (inside.variance - 1e-4).abs() < 1e-12);
        // a Gaussian of the same variance would have pulled
        assert!(update(&Shape::normal(shape.variance()), 0.3, 1e-4).shift > 5e-5);
        // outside of the box the state is pulled to its edge
        let outside = update(&shape, 1.01, 1e-4);
        assert!(outside.shift > 0.01 && outside.shift < 0.02);
    }

    #[test]
    fn nothing_is_not_finite() {
        for half_width in [0.0, 1e-12, 1.0, 1e9] {
            for tilt in [0.0, 1e-12, 1e3, -1e12] {
                for above in [0.0, 1e-15, -1.0, 1e9] {
                    for prior in [1e-24, 1e-8, 1.0, 1e12] {
                        let shape = Shape { half_width, core: 1e-18, tilt };
                        let p = update(&shape, above, prior);
                        let finite = p.evidence.is_finite() && p.shift.is_finite() && p.variance.is_finite();
                        assert!(finite && p.variance >= 0.0, "{shape:?} {above} {prior}: {p:?}");
                    }
                }
            }
        }
    }
}
