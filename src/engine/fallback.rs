//! Long-term averages of the frequency, for a clock that is not updated any more (`fallbackdrift`).

use crate::types::{MonoTime, TimeDelta};

/// log2 s that intervals may have.
const RANGE: (i32, i32) = (1, 30);

/// An average over about 2^n s.
#[derive(Debug, Clone, Copy)]
struct Average {
    interval: f64,
    /// s/s; `None`: there was no update yet.
    frequency: Option<f64>,
}

/// The averages over increasing intervals.
#[derive(Debug, Clone, Default)]
pub struct Fallback {
    averages: Vec<Average>,
    last: Option<MonoTime>,
    /// From the first update to the last, s.
    span: f64,
    /// How many of them were used since the last update.
    used: usize,
}

impl Fallback {
    /// Averages from 2^`lo` to 2^`hi` s; none where either is 0 or below.
    pub fn new(bounds: Option<(i32, i32)>) -> Self {
        let Some((lo, hi)) = bounds.filter(|(lo, hi)| *lo > 0 && *hi > 0) else { return Self::default() };
        let exponents = lo.max(RANGE.0)..=hi.min(RANGE.1);
        let average = |exponent: i32| Average { interval: 2.0_f64.powi(exponent), frequency: None };
        Self { averages: exponents.map(average).collect(), last: None, used: 0, span: 0.0 }
    }

    /// The clock was updated and has this frequency, s/s.
    pub fn update(&mut self, now: MonoTime, frequency: f64) {
        let passed = self.last.map(|last| (now - last).as_secs_f64());
        self.span += passed.unwrap_or(0.0);
        for average in &mut self.averages {
            average.frequency = Some(match (average.frequency, passed) {
                (Some(old), Some(passed)) => {
                    // the first frequencies are the worst: as long as there is less than an interval of them all count alike
                    let interval = average.interval.min(self.span.max(1.0));
                    old + (frequency - old) * (1.0 - (-passed / interval).exp())
                }
                _ => frequency,
            });
        }
        self.last = Some(now);
        self.used = 0;
    }

    /// When the next average takes over, unless there is an update before.
    pub fn next_timeout(&self) -> Option<MonoTime> {
        let average = self.averages.get(self.used).filter(|average| average.frequency.is_some())?;
        Some(self.last? + TimeDelta::from_secs_f64(average.interval)?)
    }

    /// The frequency that takes over now, s/s.
    pub fn timer(&mut self, now: MonoTime) -> Option<f64> {
        let due = self.next_timeout().filter(|due| *due <= now)?;
        let frequency = self.averages.get(self.used)?.frequency;
        // where several are due at once (a long sleep) the longest counts
        self.used += 1;
        match self.next_timeout() {
            Some(next) if next <= now && next > due => self.timer(now),
            _ => frequency,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> MonoTime {
        MonoTime::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn averages_take_over_one_after_the_other() {
        let mut fallback = Fallback::new(Some((8, 10)));
        assert_eq!(fallback.next_timeout(), None);
        for n in 0..200 {
            fallback.update(at(64 * n), 10e-6);
        }
        // a short excursion: the long average hardly sees it
        for n in 200..204 {
            fallback.update(at(64 * n), 20e-6);
        }
        let last = 64 * 203;
        assert_eq!(fallback.timer(at(last + 255)), None);
        let short = fallback.timer(at(last + 256)).unwrap();
        let long = fallback.timer(at(last + 512)).unwrap();
        assert!(short > 15e-6 && long < short && long > 10e-6, "{short} {long}");
        assert_eq!(fallback.next_timeout(), Some(at(last + 1024)));
        fallback.update(at(last + 600), 10e-6);
        assert_eq!(fallback.next_timeout(), Some(at(last + 600 + 256)));
        assert!(fallback.timer(at(last + 100_000)).is_some());
        assert_eq!(fallback.next_timeout(), None, "the longest was used");
    }

    #[test]
    fn without_bounds_there_is_none() {
        for bounds in [None, Some((0, 5)), Some((5, 0)), Some((9, 8))] {
            let mut fallback = Fallback::new(bounds);
            fallback.update(at(1), 1e-6);
            assert_eq!(fallback.next_timeout(), None, "{bounds:?}");
        }
    }
}
