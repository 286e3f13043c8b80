//! What is known of one source: round trips, routes, poll interval, weights of the noise shapes.

use super::shape::{SHAPES, Shape};

pub(super) const SHAPE_PRIOR: [f64; SHAPES] = [1.0, 3.0, 0.1, 0.1, 1.0];
pub(super) const SHAPE_FORGET: f64 = 0.99;
pub(super) const SHAPE_FLOOR: f64 = 8.0;
/// Round trips kept per source.
pub(super) const WINDOW: usize = 64;
/// Route change: this many newest round trips all far above the old ones.
pub(super) const ROUTE_SAMPLES: usize = 8;
pub(super) const ROUTE_SPREADS: f64 = 3.0;

#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) rtts: Vec<f64>,
    pub(super) min_rtt: f64,
    pub(super) bias: f64,
}
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    pub(super) min_poll: f64,
    pub(super) max_poll: f64,
    /// log2 of the interval; real-valued, so that it can grow smoothly.
    pub(super) poll: f64,
    pub(super) burst: bool,
    pub(super) sent: u32,
    /// Good samples so far, and the times (raw, correction, local) of the last request.
    pub(super) good: u64,
    pub(super) request: Option<(f64, f64, f64)>,
    pub(super) rtts: Vec<f64>,
    pub(super) min_rtt: f64,
    pub(super) root_delay: f64,
    /// Known asymmetry of the present route relative to the first one, innovations on it, and the routes left behind.
    pub(super) route_bias: f64,
    pub(super) residuals: Vec<f64>,
    pub(super) routes: Vec<Route>,
    /// Last sample: raw time, offset of the raw clock, half-width of its correctness interval.
    pub(super) last: Option<(f64, f64, f64)>,
    /// Raw time of the previous sample, and consecutive outliers (signed).
    pub(super) previous: f64,
    pub(super) outliers: i32,
    /// Squares of the known changes of the path bias: how little the source says about true time since then.
    pub(super) shift_var: f64,
    /// Log evidence and weights of the noise shapes.
    pub(super) shape_ll: [f64; SHAPES],
    pub(super) shape_w: [f64; SHAPES],
}
impl Source {
    pub(super) fn new(min_poll: i32, max_poll: i32, burst: bool) -> Self {
        let (min_poll, max_poll) = (min_poll as f64, max_poll as f64);
        let mut s = Source { min_poll, max_poll, poll: min_poll, burst, min_rtt: 1e-5, ..Default::default() };
        s.reset_shapes();
        s
    }
    pub(super) fn interval(&self) -> f64 {
        self.poll.exp2()
    }
    pub(super) fn reset_shapes(&mut self) {
        let sum: f64 = SHAPE_PRIOR.iter().sum();
        self.shape_w = SHAPE_PRIOR.map(|p| p / sum);
        self.shape_ll = SHAPE_PRIOR.map(f64::ln);
    }
    /// The first four samples: 2 s apart, but the last gap is 16 s (it carries most of the frequency information).
    pub(super) fn burst_gap(&self) -> f64 {
        let short = 2f64.min(0.25 * self.interval());
        if self.good == 3 { (8.0 * short).min(self.interval()) } else { short }
    }
    pub(super) fn in_burst(&self) -> bool {
        self.burst && self.good < 4 && self.sent < 8
    }
    pub(super) fn add_rtt(&mut self, rtt: f64) {
        // back on a shorter route that is known?
        if self.routes.last().is_some_and(|r| rtt < 0.5 * (self.min_rtt + r.min_rtt)) {
            let r = self.routes.pop().expect("checked above");
            self.rtts = r.rtts;
            self.route_bias = r.bias;
            self.residuals.clear();
        }
        self.rtts.push(rtt);
        if self.rtts.len() > WINDOW {
            self.rtts.remove(0);
        }
        self.min_rtt = self.rtts.iter().copied().fold(f64::MAX, f64::min);
    }
    /// Longer route: the newest round trips form a cluster displaced by more than its own spread.  (A queue that lasts
    /// for 8 samples is wide, a longer route is not.)  The clock has not moved meanwhile, so the median innovation is
    /// the asymmetry of the new route, if it is significant.  Returns the change of `route_bias`.
    pub(super) fn route_change(&mut self, innovation: f64, offset_sd: f64) -> Option<f64> {
        self.residuals.push(innovation);
        if self.residuals.len() > ROUTE_SAMPLES {
            self.residuals.remove(0);
        }
        if self.residuals.len() < ROUTE_SAMPLES || self.rtts.len() <= ROUTE_SAMPLES {
            return None;
        }
        let split = self.rtts.len() - ROUTE_SAMPLES;
        let (old, new) = (sorted(&self.rtts[..split]), sorted(&self.rtts[split..]));
        let spread = new[ROUTE_SAMPLES - 2] - new[0];
        if new[0] <= old[old.len() * 19 / 20] || new[0] - old[0] <= ROUTE_SPREADS * spread + 1e-8 {
            return None;
        }
        let median = sorted(&self.residuals)[ROUTE_SAMPLES / 2];
        let shift = if median.abs() > 2.0 * offset_sd { median } else { 0.0 };
        if self.routes.len() == 4 {
            self.routes.remove(0);
        }
        self.routes.push(Route { rtts: self.rtts[..split].to_vec(), min_rtt: old[0], bias: self.route_bias });
        self.route_bias += shift;
        self.rtts.drain(..split);
        self.min_rtt = new[0];
        self.residuals.clear();
        Some(shift)
    }
    /// The five shapes of the error of a sample with this round trip.
    pub(super) fn shapes(&self, rtt: f64) -> [Shape; SHAPES] {
        let v = sorted(&self.rtts);
        let n = v.len();
        let median = v[n / 2];
        let excess = (rtt - v[0]).max(0.0);
        let spread = if n < 3 { (median - v[0]).max(0.02 * v[0]).max(1e-7) } else { median - v[0] };
        // The true minimum lies below the smallest round trip seen: for two exponential queues by about
        // sqrt(pi/2n) scales = 0.75 (median - min) / (sqrt(n) - 0.6).
        let unseen = 0.75 * spread / ((n as f64).sqrt() - 0.6).max(0.4);
        let queue = excess + unseen;
        let far_out = excess > 4.0 * spread;
        // symmetric noise: half of the sd of the round trips, without the outer tenths (1.51 makes good for them)
        let mid = &v[n / 10..n - n / 10];
        let mean = mid.iter().sum::<f64>() / mid.len() as f64;
        let rtt_sd =
            (sum_sq(mid, mean) / (mid.len() as f64 - 1.0).max(1.0)).sqrt() * if n >= 10 { 1.51 } else { 1.0 };
        let symmetric = if far_out || n < 4 {
            (0.25 * queue * queue + (0.04 * spread + 3e-9).powi(2)).max(0.25 * rtt_sd * rtt_sd)
        } else {
            0.25 * rtt_sd * rtt_sd + 9e-18
        };
        // queue: uniform over the whole excess, edges as soft as the minimum is uncertain
        let soft = 0.3 * unseen + 0.02 * spread + 3e-9;
        let box_shape = Shape { half_width: 0.5 * queue, core_var: soft * soft, tilt: 0.0 };
        // queue mostly in one direction: the error sits at one end of the box
        let tilt = if far_out { 0.0 } else { 8.0 / (spread + unseen) };
        // symmetric core (from the lower half of the round trips) plus a queue above the median
        let core =
            if n >= 6 { 0.36 * sum_sq(&v[..n / 2], median) / (n / 2) as f64 } else { 0.25 * rtt_sd * rtt_sd };
        [
            Shape::gauss(symmetric),
            box_shape,
            Shape { tilt, ..box_shape },
            Shape { tilt: -tilt, ..box_shape },
            Shape {
                half_width: 0.5 * (rtt - median).max(0.02 * spread + 1e-9),
                core_var: core + 1e-17,
                tilt: 0.0,
            },
        ]
    }
    pub(super) fn learn_shapes(&mut self, evidence: &[f64; SHAPES]) {
        let mut max = f64::MIN;
        for (ll, ev) in self.shape_ll.iter_mut().zip(evidence) {
            *ll = SHAPE_FORGET * *ll + ev.max(1e-200).ln();
            max = max.max(*ll);
        }
        for (ll, w) in self.shape_ll.iter_mut().zip(self.shape_w.iter_mut()) {
            *ll = (*ll - max).max(-SHAPE_FLOOR);
            *w = ll.exp();
        }
        let sum: f64 = self.shape_w.iter().sum();
        self.shape_w.iter_mut().for_each(|w| *w /= sum);
    }
    /// Longer interval unless waiting one costs much more than the present uncertainty of the offset (budget: chronyd).
    pub(super) fn adapt_poll(&mut self, growth_var: f64, offset_var: f64) {
        if self.max_poll <= self.min_poll || self.good < 12 {
            return;
        }
        let up = if self.good < 28 { 0.15 } else { 0.5 };
        let change = if growth_var < 4.0 * offset_var {
            up
        } else if growth_var > 12.0 * offset_var {
            -0.5
        } else {
            0.5 * up
        };
        self.poll = (self.poll + change).clamp(self.min_poll, self.max_poll);
    }
}
pub(super) fn sorted(v: &[f64]) -> Vec<f64> {
    let mut s = v.to_vec();
    s.sort_by(f64::total_cmp);
    s
}
pub(super) fn sum_sq(v: &[f64], centre: f64) -> f64 {
    v.iter().map(|x| (x - centre).powi(2)).sum()
}
