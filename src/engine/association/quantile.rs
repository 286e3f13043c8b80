//! A running estimate of a quantile in constant memory (the frugal streaming method: step towards the side that is too heavy,
//! with a step that grows while the direction stays). Seven estimates run side by side; their median is the answer.

use crate::engine::rng::Rng;

const COPIES: usize = 7;
/// How far below zero, in least steps, a step may sink: that many changes of direction before it grows again.
const LOWEST_STEP: f64 = -100.0;

#[derive(Debug, Clone, Copy)]
struct Estimate {
    value: f64,
    /// In least steps.
    step: f64,
    /// Direction of the last move: 1, −1 or 0.
    sign: f64,
}

/// The estimate of one quantile.
#[derive(Debug, Clone)]
pub(super) struct Quantile {
    probability: f64,
    least: f64,
    estimates: Option<[Estimate; COPIES]>,
}

impl Quantile {
    /// A quantile strictly between 0 and 1; anything else is none. `precision` is the resolution of the values.
    pub(super) fn new(probability: f64, precision: f64) -> Option<Self> {
        (probability > 0.0 && probability < 1.0).then(|| Self {
            probability,
            least: (precision / 2.0).max(0.5e-9),
            estimates: None,
        })
    }

    /// The estimate so far.
    pub(super) fn value(&self) -> Option<f64> {
        let mut values = self.estimates?.map(|estimate| estimate.value);
        values.sort_unstable_by(f64::total_cmp);
        values.get(COPIES / 2).copied()
    }

    /// Whether `value` is at most the quantile. The first one is.
    pub(super) fn admits(&self, value: f64) -> bool {
        self.value().is_none_or(|quantile| value <= quantile + self.least / 2.0)
    }

    /// Learns from a value.
    pub(super) fn learn(&mut self, value: f64, rng: &mut dyn Rng) {
        let Some(estimates) = &mut self.estimates else {
            self.estimates = Some([Estimate { value, step: 1.0, sign: 0.0 }; COPIES]);
            return;
        };
        for estimate in estimates {
            let draw = fraction(rng);
            if value > estimate.value && draw > 1.0 - self.probability {
                estimate.step_towards(value, 1.0, self.least);
            } else if value < estimate.value && draw > self.probability {
                estimate.step_towards(value, -1.0, self.least);
            }
        }
    }
}

impl Estimate {
    fn step_towards(&mut self, value: f64, sign: f64, least: f64) {
        let same = self.sign * sign >= 0.0;
        self.step = (self.step + if same { 1.0 } else { -1.0 }).max(LOWEST_STEP);
        self.value += sign * least * self.step.max(1.0).ceil();
        if (value - self.value) * sign < 0.0 {
            // too far: stop at the value itself
            self.step = (self.step - (value - self.value).abs() / least).max(LOWEST_STEP);
            self.value = value;
        }
        if !same {
            self.step = self.step.min(1.0);
        }
        self.sign = sign;
    }
}

/// Uniform in 0 … 1.
pub(super) fn fraction(rng: &mut dyn Rng) -> f64 {
    f64::from(u32::try_from(rng.next_u64() >> 32).unwrap_or(0)) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rng::SplitMix;

    #[test]
    fn the_quantile_of_a_skewed_distribution_is_found() {
        for probability in [0.05, 0.5, 0.9] {
            let mut rng = SplitMix::new(11);
            let mut quantile = Quantile::new(probability, 1e-6).unwrap();
            for _ in 0..4000 {
                let delay = 1e-3 - 1e-4 * fraction(&mut rng).max(1e-9).ln();
                quantile.learn(delay, &mut rng);
            }
            let truth = 1e-3 - 1e-4 * (1.0 - probability).ln();
            let error = quantile.value().unwrap() - truth;
            assert!(error.abs() < 5e-5, "{probability}: {error}");
        }
    }

    #[test]
    fn only_probabilities_make_one() {
        for probability in [0.0, 1.0, -1.0, f64::NAN] {
            assert!(Quantile::new(probability, 1e-6).is_none());
        }
    }
}
