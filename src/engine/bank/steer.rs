//! From an estimate to what the kernel does: how fast an offset is slewed away, which rate is taken over, when to ask again.

use super::{Estimate, Outlook};
use crate::engine::timeline::{KernelRate, Line};
use crate::types::TimeDelta;

/// Length of a slew, as a part of offset sd ÷ rate sd. That ratio itself minimises the product of the RMS errors in time and
/// frequency whatever the corrections' size; less favours time (discipline-filter.md §1.8 and §2).
const RATIO: f64 = 0.4;
/// What is more than this many standard deviations off is slewed faster.
const CERTAIN: f64 = 3.0;
/// Longest slew of an uncertain offset, in poll intervals: several sources leave a constant error that no wait makes smaller.
const PATIENCE: f64 = 16.0;
/// Shortest slew, s.
const SHORTEST: f64 = 1.0;
/// Longest timer, s of the kernel clock: 10 000 s as chronyd has it.
const LONGEST: f64 = 10_000.0;
/// What `corrtimeratio` is by default.
const CORRTIMERATIO: f64 = 3.0;
/// Standard deviations that make a skew, as `maxupdateskew` means it.
const SKEW: f64 = 3.5;
/// Total rate that adjtimex can express, a little less than 10 %.
const MAX_RATE: f64 = 0.0999;

/// What the configuration allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// `maxslewrate`, s/s, > 0.
    pub max_slew: f64,
    /// `maxdrift`, s/s, > 0.
    pub max_drift: f64,
    /// `maxupdateskew`, s/s: no rate is taken over that is less certain.
    pub max_update_skew: f64,
    /// `corrtimeratio`, > 0.
    pub corr_time_ratio: f64,
}

impl Default for Limits {
    /// chrony 4.9's: 83333.333 ppm, 500000 ppm, 1000 ppm, 3.
    fn default() -> Self {
        Self {
            max_slew: 83_333.333e-6,
            max_drift: 0.5,
            max_update_skew: 1e-3,
            corr_time_ratio: CORRTIMERATIO,
        }
    }
}

impl Limits {
    /// The rate (s/s) nearest to `rate` that may be followed: within `maxdrift`, and within what adjtimex can express.
    pub fn bound(&self, rate: f64) -> f64 {
        let drift = self.max_drift.min(MAX_RATE);
        if rate.is_finite() { rate.clamp(-drift, drift) } else { 0.0 }
    }
}

/// What to do with the kernel clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slew {
    /// The setting while it lasts.
    pub setting: KernelRate,
    /// How long, by the kernel clock; `None`: nothing is left to slew.
    pub lasts: Option<TimeDelta>,
    /// The setting after that.
    pub then: KernelRate,
}

/// The line to follow: the estimate within `maxdrift`, or with the rate that is followed now (`current`, s/s) as long as the
/// estimated one is less certain than `maxupdateskew`.
pub fn follow(estimate: &Estimate, current: f64, limits: &Limits) -> Line {
    let uncertain = SKEW * estimate.rate_sd > limits.max_update_skew;
    let rate = if uncertain { current } else { estimate.line.rate };
    Line { rate: limits.bound(rate), ..estimate.line }
}

/// How to slew away `remaining` (s, to be added to the kernel clock) while taking over `rate` (of the line that is followed).
/// `offset_sd` (s) and `rate_sd` (s/s) are the estimate's, `interval` the shortest poll interval, s.
pub fn plan(remaining: f64, rate: f64, offset_sd: f64, rate_sd: f64, interval: f64, limits: &Limits) -> Slew {
    let then = KernelRate::nearest(limits.bound(rate));
    let base = then.rate();
    let still = Slew { setting: then, lasts: None, then };
    let size = remaining.abs();
    if !(size.is_finite() && size > 0.0 && offset_sd > 0.0 && rate_sd > 0.0) {
        return still;
    }
    let natural = (RATIO * offset_sd / rate_sd).min(PATIENCE * interval).max(interval)
        * limits.corr_time_ratio
        / CORRTIMERATIO;
    let sure = (CERTAIN * offset_sd / size).min(1.0);
    let length = (natural * sure).max(SHORTEST).max(size / limits.max_slew);
    let slewing = (base + remaining / length * (1.0 + base)).clamp(-MAX_RATE, MAX_RATE);
    let setting = KernelRate::nearest(slewing);
    // s gained per second of the clock that runs at the base rate
    let gain = (setting.rate() - base) / (1.0 + base);
    if gain == 0.0 || gain.signum() != remaining.signum() {
        return still;
    }
    let secs = (remaining / gain * (1.0 + setting.rate()) / (1.0 + base)).clamp(0.5, LONGEST);
    Slew { setting, lasts: TimeDelta::from_secs_f64(secs), then }
}

/// The next poll, log2 s and real-valued: longer unless waiting costs much more than the present uncertainty of the offset
/// (never more requests than chronyd: discipline-filter.md §1.5). `polltarget` (8 by default): more samples, shorter polls.
pub fn next_poll(poll: f64, outlook: &Outlook, minpoll: f64, maxpoll: f64, polltarget: u32) -> f64 {
    if outlook.samples < 12 {
        return poll.clamp(minpoll, maxpoll.max(minpoll));
    }
    let secs = poll.exp2();
    let growth = outlook.wander * secs * secs * secs / 3.0 + outlook.rate * secs * secs;
    let target = 8.0 / f64::from(polltarget.max(1));
    let cost = growth / (outlook.offset * target);
    let up = if outlook.samples < 28 { 0.15 } else { 0.5 };
    let change = if cost < 4.0 {
        up
    } else if cost > 12.0 {
        -0.5
    } else {
        0.5 * up
    };
    (poll + change * if change > 0.0 { target.min(2.0) } else { 1.0 }).clamp(minpoll, maxpoll.max(minpoll))
}
