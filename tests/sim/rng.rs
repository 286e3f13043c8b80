//! Random numbers of the simulator: the crate's SplitMix64, one independent stream per purpose, and the shapes drawn from it.
//!
//! Every clock, every direction of every path and every client has a stream of its own, so that a client that sends one
//! packet more does not change the oscillator of the same seed.

use ntpbox::engine::rng::{Rng, SplitMix};

/// One stream.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    bits: SplitMix,
    /// The second of the two normal deviates that the polar method makes at once.
    spare: Option<f64>,
}

impl Rng for Stream {
    fn next_u64(&mut self) -> u64 {
        self.bits.next_u64()
    }
}

impl Stream {
    /// The stream of this seed for this purpose.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        // SplitMix's states are one orbit: the start is hashed, so that neighbouring purposes are far apart on it
        let mut hash = SplitMix::new(seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ purpose.rotate_left(32));
        hash.next_u64();
        Self { bits: SplitMix::new(hash.next_u64()), spare: None }
    }

    /// Uniform in (0, 1): neither end is ever drawn.
    pub(crate) fn uniform(&mut self) -> f64 {
        const UNIT: f64 = 1.0 / 9_007_199_254_740_992.0;
        ((self.next_u64() >> 11) as f64 + 0.5) * UNIT
    }

    /// Uniform in (low, high).
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.uniform() < probability
    }

    /// Standard normal (Marsaglia's polar method).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (u, v) = (self.between(-1.0, 1.0), self.between(-1.0, 1.0));
            let square = u * u + v * v;
            if square < 1.0 && square > 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(v * factor);
                return u * factor;
            }
        }
    }

    /// Exponential with mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    /// Gamma with scale 1 (Marsaglia and Tsang 2000; shape ≥ 1).
    pub(crate) fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let normal = self.normal();
            let cube = (1.0 + c * normal).powi(3);
            if cube > 0.0 && self.uniform().ln() < 0.5 * normal * normal + d * (1.0 - cube + cube.ln()) {
                return d * cube;
            }
        }
    }

    /// Poisson (Knuth's product of uniforms: for small means).
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        let (limit, mut product, mut count) = ((-mean).exp(), self.uniform(), 0.0);
        while product > limit {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(purpose: u64, mut draw: impl FnMut(&mut Stream) -> f64) -> (f64, f64) {
        let mut stream = Stream::new(1, purpose);
        let values: Vec<f64> = (0..100_000).map(|_| draw(&mut stream)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, variance)
    }

    #[test]
    fn the_shapes_have_their_moments() {
        type Draw = fn(&mut Stream) -> f64;
        let cases: [(Draw, f64, f64); 5] = [
            (Stream::uniform, 0.5, 1.0 / 12.0),
            (Stream::normal, 0.0, 1.0),
            (Stream::exponential, 1.0, 1.0),
            (|s| s.gamma(3.0), 3.0, 3.0),
            (|s| s.poisson(3.0), 3.0, 3.0),
        ];
        for (purpose, (draw, mean, variance)) in (0..).zip(cases) {
            let seen = moments(purpose, draw);
            let tolerance = 0.02 * (1.0 + variance);
            assert!((seen.0 - mean).abs() < tolerance, "{purpose}: mean {} for {mean}", seen.0);
            assert!((seen.1 - variance).abs() < 2.0 * tolerance, "{purpose}: {} for {variance}", seen.1);
        }
    }

    #[test]
    fn streams_of_one_seed_are_unrelated() {
        let (mut a, mut b) = (Stream::new(1, 1), Stream::new(1, 2));
        let product = (0..10_000).map(|_| a.normal() * b.normal()).sum::<f64>() / 10_000.0;
        assert!(product.abs() < 0.04, "{product}");
        assert_eq!(Stream::new(3, 4).next_u64(), Stream::new(3, 4).next_u64());
    }
}
