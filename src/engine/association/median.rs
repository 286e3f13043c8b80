//! `filter N`: of N polls the middle one counts.

use crate::engine::measurement::Measurement;
use crate::types::Secs;

/// Samples with a dispersion up to so many times the least one are as good.
const SIMILAR: f64 = 1.5;
/// So many of them must be left, else all are taken.
const ENOUGH: usize = 4;
/// Longest filter.
const MAX_LENGTH: u32 = 256;

/// The samples of some polls.
#[derive(Debug)]
pub(super) struct Median {
    length: u32,
    polls: u32,
    samples: Vec<Measurement>,
}

impl Median {
    /// A filter over `length` polls; `None` for 0 and 1.
    pub(super) fn new(length: u32) -> Option<Self> {
        (length > 1).then(|| Self { length: length.min(MAX_LENGTH), polls: 0, samples: Vec::new() })
    }

    /// A request leaves.
    pub(super) fn poll(&mut self) {
        self.polls = self.polls.saturating_add(1);
    }

    pub(super) fn push(&mut self, sample: Measurement) {
        if self.samples.len() < usize::try_from(self.length).unwrap_or(0) {
            self.samples.push(sample);
        }
    }

    pub(super) fn clear(&mut self) {
        self.samples.clear();
        self.polls = 0;
    }

    /// Whether all polls are over.
    pub(super) const fn is_full(&self) -> bool {
        self.polls >= self.length
    }

    /// What the polls showed, and begins anew. `rate`: how fast the offset of the free clock is believed to grow.
    pub(super) fn take(&mut self, rate: f64) -> Option<Measurement> {
        self.polls = 0;
        combine(std::mem::take(&mut self.samples), rate)
    }
}

fn combine(mut samples: Vec<Measurement>, rate: f64) -> Option<Measurement> {
    let newest = samples.iter().map(|sample| sample.at).max()?;
    let least = samples.iter().map(|sample| sample.dispersion.get()).fold(f64::INFINITY, f64::min);
    let similar = |sample: &Measurement| sample.dispersion.get() <= SIMILAR * least;
    if samples.iter().filter(|sample| similar(sample)).count() >= ENOUGH {
        samples.retain(similar);
    }
    let first = samples.first()?.offset;
    // the offset that each would have shown at the same time
    let offset = |sample: &Measurement| {
        (sample.offset - first).as_secs_f64() + rate * (newest - sample.at).as_secs_f64()
    };
    samples.sort_by(|a, b| offset(a).total_cmp(&offset(b)));
    let n = samples.len();
    let (low, high) = (samples.get((n - 1) / 2)?, samples.get(n / 2)?);
    let mean = samples.iter().map(offset).sum::<f64>() / count(n);
    let squares: f64 = samples.iter().map(|sample| (offset(sample) - mean).powi(2)).sum();
    // of the mean, as long as there is something to tell it from
    let deviation = if n >= ENOUGH { (squares / count(n - 1) / count(n)).sqrt() } else { 0.0 };
    let half = |a: Secs, b: Secs| Secs::new(f64::midpoint(a.get(), b.get())).unwrap_or_default();
    Some(Measurement {
        at: low.at + (high.at - low.at) / 2,
        offset: low.offset + (high.offset - low.offset) / 2,
        delay: low.delay + (high.delay - low.delay) / 2,
        dispersion: Secs::new(half(low.dispersion, high.dispersion).get().max(deviation)).unwrap_or_default(),
        root_delay: half(low.root_delay, high.root_delay),
        root_dispersion: half(low.root_dispersion, high.root_dispersion),
    })
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::timeline::FreeTime;
    use crate::types::TimeDelta;

    fn sample(secs: i64, offset: i64, dispersion: f64) -> Measurement {
        Measurement {
            at: FreeTime::from_nanos(secs * 1_000_000_000),
            offset: TimeDelta::from_micros(offset),
            delay: TimeDelta::from_millis(1),
            dispersion: Secs::literal(dispersion),
            root_delay: Secs::ZERO,
            root_dispersion: Secs::ZERO,
        }
    }

    #[test]
    fn the_middle_of_the_offsets_counts() {
        let mut median = Median::new(5).unwrap();
        for (secs, offset) in [(0, 10), (1, 900), (2, 12), (3, -500)] {
            median.poll();
            median.push(sample(secs, offset, 1e-6));
        }
        assert!(!median.is_full());
        median.poll();
        assert!(median.is_full());
        let middle = median.take(0.0).unwrap();
        assert_eq!(middle.offset, TimeDelta::from_micros(11));
        assert_eq!(middle.at, FreeTime::from_nanos(1_000_000_000));
        assert!(middle.dispersion.get() > 1e-4);
        assert_eq!(median.take(0.0), None);
    }

    #[test]
    fn a_clock_that_drifts_is_no_noise() {
        let mut median = Median::new(3).unwrap();
        for (secs, offset) in [(0, 0), (100, 5000), (200, 10_000)] {
            median.push(sample(secs, offset, 1e-6));
        }
        let middle = median.take(50e-6).unwrap();
        assert_eq!((middle.offset, middle.dispersion.get()), (TimeDelta::from_micros(5000), 1e-6));
    }

    #[test]
    fn uncertain_samples_are_left_out_where_enough_others_are() {
        let mut median = Median::new(8).unwrap();
        for (offset, dispersion) in
            [(1, 1.0), (2, 1.1), (3, 1.2), (4, 1.3), (500, 9.0), (600, 9.0), (700, 9.0)]
        {
            median.push(sample(offset, offset, dispersion));
        }
        assert_eq!(median.take(0.0).unwrap().offset, TimeDelta::from_nanos(2500));
        assert!(Median::new(0).is_none() && Median::new(1).is_none());
    }
}
