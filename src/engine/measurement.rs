//! One good exchange with a source, put on the free clock: what the register and the filter bank take.

use super::timeline::FreeTime;
use crate::types::{Secs, TimeDelta};

/// What one exchange told, on the line of the free clock, so that no later correction changes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    /// The middle of the exchange.
    pub at: FreeTime,
    /// What would have to be added to the **free** clock to be right; > 0: it is behind. The free clock may be off by hours.
    pub offset: TimeDelta,
    /// Round trip without the server's turnaround, ≥ 0, at least the precision of both clocks.
    pub delay: TimeDelta,
    /// Error of the time stamps of this exchange (precision, kernel, skew over the round trip), ≥ 0.
    pub dispersion: Secs,
    /// The server's own root delay, ≥ 0.
    pub root_delay: Secs,
    /// The server's own root dispersion, ≥ 0.
    pub root_dispersion: Secs,
}

impl Measurement {
    /// Half of the whole round trip to the primary clock, plus all dispersion: how far the offset can be wrong.
    pub fn root_distance(&self) -> f64 {
        f64::midpoint(self.delay.as_secs_f64(), self.root_delay.get())
            + self.dispersion.get()
            + self.root_dispersion.get()
    }
}

/// Names a source within one engine; never used again after the source is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);
