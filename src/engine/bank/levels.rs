//! How the rate of a clock may move: the hypotheses that the bank holds side by side.
//!
//! Most are random walks of the rate. The last ones let the rate drift steadily for a while, as temperature makes it: where a day
//! or the cycles of a heater swing the clock they halve the error (simulated sines of 20 min … 1 day), elsewhere they lose their weight.

use super::filter::Trend;
use super::path::count;

/// Random walks: 10⁻¹¹ … 10⁻⁶ s/s per √s, two a decade.
const WALKS: usize = 11;
/// Noise of the drift, s⁻¹ per √s, and how long it keeps its course, s: a day's, an hour's, a heater's.
const TRENDS: [(f64, f64); 3] = [(1e-12, 20_000.0), (1e-11, 5000.0), (1e-10, 1200.0)];
/// Hypotheses in all.
pub(super) const LEVELS: usize = WALKS + TRENDS.len();
/// Where the prior of the walks is centred, log10 of s/s per √s.
const LIKELY: f64 = -9.0;
/// Walk beneath a drift, s/s per √s.
const CALM: f64 = 1e-10;
/// ln of the prior of a drift: at the floor, it has to earn its weight (4 costs 6 % of the frequency in the first hour).
const UNLIKELY: f64 = -12.0;

/// One hypothesis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    /// Variance that the rate gains in a second by its walk.
    pub(super) wander: f64,
    pub(super) trend: Trend,
    /// ln of its prior, relative to the likeliest.
    pub(super) prior: f64,
}

impl Level {
    /// Hypothesis number `i`, 0 … [`LEVELS`].
    pub(super) fn of(i: usize) -> Self {
        match i.checked_sub(WALKS).and_then(|drift| TRENDS.get(drift)) {
            Some((noise, memory)) => {
                let trend = Trend { noise: noise * noise, memory: *memory };
                Self { wander: CALM * CALM, trend, prior: UNLIKELY }
            }
            None => {
                let log = -11.0 + 0.5 * count(i);
                let odd = log - LIKELY;
                Self { wander: 10f64.powf(2.0 * log), trend: Trend::NONE, prior: -2.0 * odd * odd }
            }
        }
    }
}
