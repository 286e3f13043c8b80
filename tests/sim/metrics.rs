//! How well a clock does, sampled once per true second (discipline.md §5.0).

/// Seconds that a quiet period lasts.
const QUIET: i64 = 600;

/// What is measured, and the sums so far.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Seconds before this one do not count.
    settle: i64,
    /// Nor do those from the first (included) to the second.
    skip: (i64, i64),
    /// Tolerance of the quiet period, s, and the second from which on it is looked for.
    tolerance: f64,
    from: i64,
    count: u64,
    squares: f64,
    largest: f64,
    rate_squares: f64,
    /// Second in which the present stay inside the tolerance began.
    inside_since: Option<i64>,
    quiet_at: Option<i64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(0, (0, 0), 1e-3, 0)
    }
}

/// What one run gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Result {
    /// RMS and maximum of the clock's error, s.
    pub(crate) rms_time: f64,
    pub(crate) max_time: f64,
    /// RMS of the rate error, slews included, s/s.
    pub(crate) rms_rate: f64,
    /// First second of a quiet period of 600 s inside the tolerance.
    pub(crate) quiet_at: Option<i64>,
    /// Requests per hour.
    pub(crate) packets: f64,
}

impl Metrics {
    pub(crate) fn new(settle: i64, skip: (i64, i64), tolerance: f64, from: i64) -> Self {
        Self {
            settle,
            skip,
            tolerance,
            from,
            count: 0,
            squares: 0.0,
            largest: 0.0,
            rate_squares: 0.0,
            inside_since: None,
            quiet_at: None,
        }
    }

    /// The clock's error (s) and rate error (s/s) at the beginning of this second.
    pub(crate) fn sample(&mut self, second: i64, error: f64, rate: f64) {
        let size = error.abs();
        if second >= self.from && self.quiet_at.is_none() {
            if size > self.tolerance {
                self.inside_since = None;
            } else {
                let since = *self.inside_since.get_or_insert(second);
                if second - since >= QUIET {
                    self.quiet_at = Some(since - self.from);
                }
            }
        }
        if second >= self.settle && !(self.skip.0..self.skip.1).contains(&second) {
            self.count += 1;
            self.squares += error * error;
            self.rate_squares += rate * rate;
            self.largest = self.largest.max(size);
        }
    }

    /// The figures so far, with `requests` sent in `span` s.
    pub(crate) fn result(&self, requests: u64, span: i64) -> Result {
        let n = self.count.max(1) as f64;
        Result {
            rms_time: (self.squares / n).sqrt(),
            max_time: self.largest,
            rms_rate: (self.rate_squares / n).sqrt(),
            quiet_at: self.quiet_at,
            packets: requests as f64 * 3600.0 / span as f64,
        }
    }
}

/// The middle of the values; of an even number the mean of the middle two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { 0.5 * (values[half - 1] + values[half]) }
}

/// Geometric mean.
pub(crate) fn geometric_mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value.ln();
        count += 1.0;
    }
    f64::exp(sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settling_and_the_skipped_window_do_not_count() {
        let mut metrics = Metrics::new(10, (20, 30), 1e-3, 0);
        for second in 0..40 {
            let error = if (10..20).contains(&second) || second >= 30 { 2.0 } else { 100.0 };
            metrics.sample(second, -error, 3.0);
        }
        let result = metrics.result(10, 3600);
        assert_eq!((result.rms_time, result.max_time, result.rms_rate), (2.0, 2.0, 3.0));
        assert_eq!((result.packets, result.quiet_at), (10.0, None));
    }

    #[test]
    fn a_quiet_period_lasts_600_seconds() {
        let mut metrics = Metrics::new(0, (0, 0), 1e-3, 100);
        for second in 0..1500 {
            let inside = (110..700).contains(&second) || second > 720;
            metrics.sample(second, if inside { 1e-4 } else { 1e-2 }, 0.0);
        }
        assert_eq!(metrics.result(0, 1).quiet_at, Some(621));
    }

    #[test]
    fn medians_and_means() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0, 10.0]), 2.5);
        assert!((geometric_mean([0.5, 2.0, 1.0]) - 1.0).abs() < 1e-12);
    }
}
