//! One direction of a path: how long a packet takes, whether it arrives, and how often.

use super::host::TrueTime;
use super::rng::Stream;

/// A part of the delay; a path adds up several. Times are s of true time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Delay {
    /// Always this long.
    Fixed(f64),
    /// Exponential with this mean.
    Exponential(f64),
    /// Between the two.
    Uniform(f64, f64),
    /// Mean and standard deviation, never below 0.
    Normal(f64, f64),
    /// Step and mean number of steps.
    Poisson(f64, f64),
    /// Median, and sigma of the logarithm.
    Lognormal(f64, f64),
    /// Shape (≥ 1) and scale.
    Gamma(f64, f64),
    /// Shape and scale.
    Weibull(f64, f64),
    /// Heavy tail: scale × (u^(−1/index) − 1).
    Pareto(f64, f64),
    /// A queue with memory: mean, standard deviation and correlation time, never below 0; and its present state.
    Correlated { mean: f64, sd: f64, memory: f64, state: Option<(TrueTime, f64)> },
    /// With this probability also that.
    Chance(f64, Box<Delay>),
    /// Of every period (s), from the second to the third moment, also that.
    Window { period: f64, from: f64, to: f64, delay: Box<Delay> },
    /// A longer route from the first second on, until the second.
    Route(i64, i64, f64),
}

impl Delay {
    fn draw(&mut self, at: TrueTime, stream: &mut Stream) -> f64 {
        match self {
            Self::Fixed(delay) => *delay,
            Self::Exponential(mean) => *mean * stream.exponential(),
            Self::Uniform(low, high) => stream.between(*low, *high),
            Self::Normal(mean, sd) => (*mean + *sd * stream.normal()).max(0.0),
            Self::Poisson(step, mean) => *step * stream.poisson(*mean),
            Self::Lognormal(median, sigma) => *median * (*sigma * stream.normal()).exp(),
            Self::Gamma(shape, scale) => *scale * stream.gamma(*shape),
            Self::Weibull(shape, scale) => *scale * stream.exponential().powf(1.0 / *shape),
            Self::Pareto(scale, index) => *scale * (stream.uniform().powf(-1.0 / *index) - 1.0),
            Self::Correlated { mean, sd, memory, state } => {
                let kept = state.map_or(0.0, |(then, _)| (-at.since(then) / *memory).exp());
                let old = state.map_or(0.0, |(_, deviation)| deviation);
                let new = kept * old + (1.0 - kept * kept).sqrt() * stream.normal();
                *state = Some((at, new));
                (*mean + *sd * new).max(0.0)
            }
            Self::Chance(probability, delay) => {
                if stream.chance(*probability) {
                    delay.draw(at, stream)
                } else {
                    0.0
                }
            }
            Self::Window { period, from, to, delay } => {
                if (*from..*to).contains(&at.secs().rem_euclid(*period)) {
                    delay.draw(at, stream)
                } else {
                    0.0
                }
            }
            Self::Route(from, to, extra) if (*from..*to).contains(&at.second) => *extra,
            Self::Route(..) => 0.0,
        }
    }
}

/// One direction between two hosts.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    delays: Vec<Delay>,
    /// Probability that a packet is lost, or arrives twice.
    loss: f64,
    duplication: f64,
    /// Seconds of contact at the beginning of every so many; `None`: always.
    contact: Option<(f64, f64)>,
    stream: Stream,
}

impl Path {
    pub(crate) fn new(delays: Vec<Delay>, stream: Stream) -> Self {
        Self { delays, loss: 0.0, duplication: 0.0, contact: None, stream }
    }

    #[must_use]
    pub(crate) fn lossy(self, loss: f64, duplication: f64) -> Self {
        Self { loss, duplication, ..self }
    }

    #[must_use]
    pub(crate) fn in_contact(self, contact: Option<(f64, f64)>) -> Self {
        Self { contact, ..self }
    }

    /// Delays of the copies that arrive of a packet that leaves now.
    pub(crate) fn carry(&mut self, at: TrueTime) -> impl Iterator<Item = f64> + use<> {
        let cut = self.contact.is_some_and(|(length, period)| at.secs().rem_euclid(period) >= length);
        let lost = self.stream.chance(self.loss) || cut;
        let twice = self.stream.chance(self.duplication);
        let first = (!lost).then(|| self.draw(at));
        let second = (twice && !lost).then(|| self.draw(at));
        first.into_iter().chain(second)
    }

    fn draw(&mut self, at: TrueTime) -> f64 {
        self.delays.iter_mut().map(|delay| delay.draw(at, &mut self.stream)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(delay: Delay, gap: f64) -> Vec<f64> {
        let mut path = Path::new(vec![delay], Stream::new(1, 1));
        (0..40_000).flat_map(|i| path.carry(TrueTime::at(0).plus(gap * f64::from(i)))).collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn shapes_have_their_means() {
        let cases = [
            (Delay::Fixed(2.0), 2.0),
            (Delay::Exponential(2.0), 2.0),
            (Delay::Uniform(1.0, 3.0), 2.0),
            (Delay::Normal(2.0, 0.5), 2.0),
            (Delay::Poisson(0.5, 4.0), 2.0),
            (Delay::Lognormal(2.0, 0.5), 2.0 * f64::exp(0.125)),
            (Delay::Gamma(4.0, 0.5), 2.0),
            (Delay::Weibull(2.0, 2.0), 2.0 * 0.886_227),
            (Delay::Pareto(4.0, 3.0), 2.0),
            (Delay::Correlated { mean: 2.0, sd: 0.5, memory: 0.5, state: None }, 2.0),
            (Delay::Chance(0.25, Box::new(Delay::Fixed(8.0))), 2.0),
            (Delay::Window { period: 100.0, from: 50.0, to: 75.0, delay: Box::new(Delay::Fixed(8.0)) }, 2.0),
            (Delay::Route(10_000, 20_000, 8.0), 2.0),
        ];
        for (delay, expected) in cases {
            let seen = mean(&draws(delay.clone(), 1.0));
            assert!((seen / expected - 1.0).abs() < 0.03, "{delay:?}: {seen} for {expected}");
        }
    }

    #[test]
    fn a_queue_with_memory_remembers() {
        let values = draws(Delay::Correlated { mean: 10.0, sd: 1.0, memory: 10.0, state: None }, 1.0);
        let centre = mean(&values);
        let lag = |n: usize| {
            let pairs = values.iter().zip(values.iter().skip(n));
            pairs.map(|(a, b)| (a - centre) * (b - centre)).sum::<f64>() / values.len() as f64
        };
        assert!((lag(10) / lag(0) - f64::exp(-1.0)).abs() < 0.05);
    }

    #[test]
    fn packets_are_lost_doubled_and_cut_off() {
        let count = |path: Path| {
            let mut path = path;
            (0..20_000).map(|i| path.carry(TrueTime::at(i)).count()).sum::<usize>() as f64 / 20_000.0
        };
        let path = || Path::new(vec![Delay::Fixed(1.0)], Stream::new(1, 1));
        assert!((count(path().lossy(0.25, 0.0)) - 0.75).abs() < 0.02);
        assert!((count(path().lossy(0.0, 0.25)) - 1.25).abs() < 0.02);
        assert!((count(path().in_contact(Some((1200.0, 10_000.0)))) - 0.12).abs() < 1e-9);
    }
}
