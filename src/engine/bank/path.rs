//! What the bank knows about the way to one source: its round trips, the shapes of its noise, the routes it took.

use std::collections::VecDeque;

use super::SourceId;
use super::shape::{Mixture, PRIOR, SHAPES, Shape};

/// Round trips that are kept.
pub(super) const WINDOW: usize = 64;
/// Blocks of so many round trips whose shortest is remembered: the edges of the boxes are as sharp as the minimum is certain
/// (0: 6 % more error in time over the matrix; 4, 16: within 1 %).
const BLOCKS: usize = 8;
/// Tilts of the queues that are mostly one way, in 1 ÷ (spread of the round trips): 1 : 4 and 1 : 12, about (a single 8: asymmetric
/// shapes 7 % worse).
const TILTS: (f64, f64) = (3.0, 12.0);
/// Memory of the evidence of the shapes (100 samples), and its floor below the best shape's.
const SHAPE_MEMORY: f64 = 0.99;
const SHAPE_FLOOR: f64 = 8.0;
/// Newest round trips that must all lie far above the older ones to make a longer route.
const ROUTE_SAMPLES: usize = 8;
/// … by this many times their own range (2 takes slow queues for routes: discipline-filter.md §2).
const ROUTE_RANGES: f64 = 3.0;
/// Routes that are remembered.
const ROUTES: usize = 4;
/// What the shapes never fall below: the resolution of the time stamps, s.
const RESOLUTION: f64 = 3e-9;

/// Round trips, the oldest first, and in order.
#[derive(Debug, Clone, Default)]
struct Window {
    recent: VecDeque<f64>,
    sorted: Vec<f64>,
    /// The shortest of each block of [`WINDOW`] round trips before, and how many there are in the block that grows.
    blocks: VecDeque<f64>,
    block: usize,
}

impl Window {
    fn push(&mut self, delay: f64, limit: usize) {
        while self.recent.len() >= limit.max(1) {
            self.pop();
        }
        self.recent.push_back(delay);
        self.block += 1;
        if self.block == WINDOW && self.recent.len() == WINDOW {
            self.block = 0;
            self.blocks.push_back(self.recent.iter().copied().fold(f64::MAX, f64::min));
            if self.blocks.len() > BLOCKS {
                self.blocks.pop_front();
            }
        }
        self.sorted.insert(self.sorted.partition_point(|other| *other < delay), delay);
    }

    fn pop(&mut self) {
        if let Some(oldest) = self.recent.pop_front() {
            self.sorted.remove(self.sorted.partition_point(|other| *other < oldest));
        }
    }

    /// Splits off the newest `count`.
    fn split_newest(&mut self, count: usize) -> Self {
        let recent = self.recent.split_off(self.recent.len().saturating_sub(count));
        self.sorted = sorted(&self.recent);
        Self { sorted: sorted(&recent), blocks: VecDeque::new(), block: recent.len(), recent }
    }

    fn min(&self) -> f64 {
        let recent = self.sorted.first().copied().unwrap_or(0.0);
        self.blocks.iter().copied().fold(recent, f64::min)
    }

    /// How many round trips [`Window::min`] is the shortest of.
    fn seen(&self) -> usize {
        if self.blocks.is_empty() { self.recent.len() } else { self.blocks.len() * WINDOW + self.block }
    }
}

fn sorted(values: &VecDeque<f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.iter().copied().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// A route that was left for a longer one.
#[derive(Debug, Clone)]
struct Route {
    window: Window,
    bias: f64,
}

/// One source as the bank sees it.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) source: SourceId,
    /// Good samples so far.
    pub(super) samples: u64,
    /// Most round trips that are kept.
    pub(super) limit: usize,
    window: Window,
    /// The newest root delay and root dispersion of the server, s.
    pub(super) root: (f64, f64),
    /// Asymmetry of the present route relative to the first one, s; innovations on it; the routes that were left.
    pub(super) bias: f64,
    innovations: VecDeque<f64>,
    routes: Vec<Route>,
    /// Outliers in a row; their sign is the outliers'.
    pub(super) outliers: i32,
    /// Squares of the known changes of its bias, s²: how little it says about true time since.
    pub(super) shifted: f64,
    evidence: [f64; SHAPES],
    pub(super) weights: [f64; SHAPES],
}

impl Path {
    pub(super) fn new(source: SourceId, limit: usize) -> Self {
        let mut path = Self {
            source,
            samples: 0,
            limit,
            window: Window::default(),
            root: (0.0, 0.0),
            bias: 0.0,
            innovations: VecDeque::new(),
            routes: Vec::new(),
            outliers: 0,
            shifted: 0.0,
            evidence: [0.0; SHAPES],
            weights: [0.0; SHAPES],
        };
        path.forget_shapes();
        path
    }

    pub(super) fn forget_shapes(&mut self) {
        let sum: f64 = PRIOR.iter().sum();
        self.weights = PRIOR.map(|prior| prior / sum);
        self.evidence = PRIOR.map(f64::ln);
    }

    /// Shortest round trip of the present route, s.
    pub(super) fn min_delay(&self) -> f64 {
        self.window.min()
    }

    /// Round trip to the primary clock, s: what its bias is measured by.
    pub(super) fn width(&self) -> f64 {
        self.min_delay() + self.root.0
    }

    /// Takes a round trip, s; one that is nearer to a shorter route that was left means that the path is back on it.
    pub(super) fn push(&mut self, delay: f64) {
        self.samples += 1;
        if self.routes.last().is_some_and(|left| delay < f64::midpoint(self.min_delay(), left.window.min()))
            && let Some(left) = self.routes.pop()
        {
            self.window = left.window;
            self.bias = left.bias;
            self.innovations.clear();
        }
        self.window.push(delay, self.limit.min(WINDOW));
    }

    /// Whether the newest round trips are those of a longer route: displaced by more than their own range. (A queue that
    /// lasts that long is wide, a longer route is not.) The clock did not move meanwhile, so the median innovation is the
    /// asymmetry of the new route, if it is significant. Returns the change of `bias`.
    pub(super) fn take_route(&mut self, innovation: f64, offset_sd: f64) -> Option<f64> {
        self.innovations.push_back(innovation);
        if self.innovations.len() > ROUTE_SAMPLES {
            self.innovations.pop_front();
        }
        let older = self.window.recent.len().saturating_sub(ROUTE_SAMPLES);
        if self.innovations.len() < ROUTE_SAMPLES || older == 0 {
            return None;
        }
        let newest = sorted(&self.window.recent.iter().skip(older).copied().collect());
        // the cheap test first: one of the newest is as short as the shortest
        if newest[0] <= self.window.sorted.first().copied().unwrap_or(0.0) {
            return None;
        }
        let old = sorted(&self.window.recent.iter().take(older).copied().collect());
        let range = newest[ROUTE_SAMPLES - 2] - newest[0];
        if newest[0] <= old[old.len() * 19 / 20] || newest[0] - old[0] <= ROUTE_RANGES * range + 1e-8 {
            return None;
        }
        let median = sorted(&self.innovations)[ROUTE_SAMPLES / 2];
        let shift = if median.abs() > 2.0 * offset_sd { median } else { 0.0 };
        if self.routes.len() == ROUTES {
            self.routes.remove(0);
        }
        let new = self.window.split_newest(ROUTE_SAMPLES);
        let left = std::mem::replace(&mut self.window, new);
        self.routes.push(Route { window: left, bias: self.bias });
        self.bias += shift;
        self.innovations.clear();
        Some(shift)
    }

    /// The shapes of the error of a sample with this round trip, s, and time stamps as good as `stamps`, s (a bound).
    pub(super) fn mixture(&self, delay: f64, stamps: f64) -> Mixture {
        let v = &self.window.sorted;
        let n = v.len();
        let (min, median) = if n == 0 { (delay, delay) } else { (self.window.min(), v[n / 2]) };
        let excess = (delay - min).max(0.0);
        let spread = if n < 3 { (median - min).max(0.02 * min).max(1e-7) } else { median - min };
        // The true minimum lies below the shortest round trip seen: for two exponential queues by about √(π/2n) scales, which
        // is 0.75 (median − min) / (√n − 0.6).
        let count = count(self.window.seen());
        let unseen = 0.75 * spread / (count.sqrt() - 0.6).max(0.4);
        let queue = excess + unseen;
        let far_out = excess > 4.0 * spread;
        let stamps = 0.0625 * stamps * stamps + RESOLUTION * RESOLUTION;
        let rtt_sd = self.trimmed_sd();
        let half_sd = 0.25 * rtt_sd * rtt_sd;
        let symmetric = if far_out || n < 4 {
            (0.25 * queue * queue + 0.0016 * spread * spread + stamps).max(half_sd)
        } else {
            half_sd + stamps
        };
        // uniform over the whole excess, with edges as soft as the minimum is uncertain
        let soft = 0.3 * unseen + 0.02 * spread;
        let plain = Shape { half_width: 0.5 * queue, core: soft * soft + stamps, tilt: 0.0 };
        // a queue mostly one way puts the error to one end of the box
        let tilt = |by: f64| if far_out { 0.0 } else { by / (spread + unseen) };
        let (slight, steep) = (tilt(TILTS.0), tilt(TILTS.1));
        // a symmetric core (from the lower half of the round trips) and a queue above the median
        let lower =
            if n >= 6 { 0.36 * sum_of_squares(&v[..n / 2], median) / self::count(n / 2) } else { half_sd };
        let shapes = [
            Shape::normal(symmetric),
            plain,
            Shape { tilt: slight, ..plain },
            Shape { tilt: -slight, ..plain },
            Shape { tilt: steep, ..plain },
            Shape { tilt: -steep, ..plain },
            Shape {
                half_width: 0.5 * (delay - median).max(0.02 * spread + 1e-9),
                core: lower + stamps,
                tilt: 0.0,
            },
        ];
        Mixture::new(shapes, self.weights)
    }

    /// Standard deviation of the round trips from their inner 80 %, s; 1.51 makes good for the tenths that are left out.
    fn trimmed_sd(&self) -> f64 {
        let n = self.window.sorted.len();
        let middle = &self.window.sorted[n / 10..n - n / 10];
        let count = count(middle.len()).max(1.0);
        let mean = middle.iter().sum::<f64>() / count;
        let sd = (sum_of_squares(middle, mean) / (count - 1.0).max(1.0)).sqrt();
        if n >= 10 { 1.51 * sd } else { sd }
    }

    /// The sample had these densities (up to a common factor) under the shapes.
    pub(super) fn learn(&mut self, densities: &[f64; SHAPES]) {
        for (evidence, density) in self.evidence.iter_mut().zip(densities) {
            *evidence = SHAPE_MEMORY * *evidence + density.max(1e-200).ln();
        }
        let best = self.evidence.iter().copied().fold(f64::MIN, f64::max);
        self.evidence = self.evidence.map(|evidence| (evidence - best).max(-SHAPE_FLOOR));
        let weights = self.evidence.map(f64::exp);
        let sum: f64 = weights.iter().sum();
        self.weights = weights.map(|weight| weight / sum);
    }
}

/// A count as a factor.
pub(super) fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

fn sum_of_squares(values: &[f64], centre: f64) -> f64 {
    values.iter().map(|x| (x - centre) * (x - centre)).sum()
}
