//! A straight line through points of unequal worth, and whether its residuals look random.

/// A sample, relative to the newest one.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Point {
    /// s, ≤ 0.
    pub time: f64,
    /// s.
    pub offset: f64,
    /// Round trip beyond the shortest one, s.
    pub excess: f64,
    /// Half the round trip and the dispersion, s; [`weigh`] makes the divisor of the weight of it.
    pub distance: f64,
}

/// A line and its errors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::engine) struct Fit {
    /// At the newest point, s.
    pub offset: f64,
    /// s/s.
    pub slope: f64,
    /// Standard deviation of the offset at the newest point, s.
    pub offset_deviation: f64,
    /// Bound of the slope's error, s/s.
    pub skew: f64,
    /// Weighted standard deviation of the residuals, s.
    pub deviation: f64,
    /// Runs of residuals with one sign among the points of the fit.
    pub runs: usize,
    /// The same with the older points, and how many points those are.
    pub tested: (usize, usize),
}

impl Fit {
    pub(in crate::engine) fn is_finite(&self) -> bool {
        [self.offset, self.slope, self.offset_deviation, self.skew, self.deviation]
            .iter()
            .all(|value| value.is_finite())
    }

    /// Whether the signs of the residuals change as often as chance would have it (95 %).
    pub(in crate::engine) fn is_random(&self) -> bool {
        let (runs, points) = self.tested;
        let points = count(points);
        // runs among n random signs have mean n/2 + 1 and deviation √n/2; this meets 8:2, 16:5, 32:12, 64:26, 128:56
        count(runs) > points / 2.0 + 1.0 - 0.79 * points.sqrt()
    }
}

pub(in crate::engine) fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::INFINITY, f64::from)
}

/// Turns distances into divisors of weights: the variance is assumed to grow with the square of what exceeds the least distance,
/// in units of the typical excess. The scale is that of the points from `start` on.
pub(in crate::engine) fn weigh(points: &mut [Point], start: usize, precision: f64) {
    // one after another to its place: there are 64 at most, and a general sort is ten kilobytes of code that each poll brings to the cache
    let mut distances: Vec<f64> = Vec::with_capacity(points.len());
    for distance in points.iter().skip(start).map(|point| point.distance) {
        distances.insert(distances.partition_point(|other| other.total_cmp(&distance).is_lt()), distance);
    }
    let Some(least) = distances.first().copied() else { return };
    let median = distances.get(distances.len() / 2).copied().unwrap_or(least);
    let precision = precision.max(1e-9);
    // the least distance is the upper limit, but never less than the precision
    let scale = ((median - least) / 0.7).min(least).max(precision);
    for point in points {
        let excess = (point.distance - least - precision).max(0.0) / scale;
        point.distance = (1.0 + excess) * (1.0 + excess);
    }
}

/// The weighted line through the points from `start` on.
pub(in crate::engine) fn line(points: &[Point], start: usize) -> Option<Fit> {
    let used = points.get(start..)?;
    let n = used.len();
    if n < 3 {
        return None;
    }
    let weighted =
        |value: fn(&Point) -> f64| -> f64 { used.iter().map(|point| value(point) / point.distance).sum() };
    let weight = weighted(|_| 1.0);
    let centre = weighted(|point| point.time) / weight;
    let mean = weighted(|point| point.offset) / weight;
    let (mut square, mut product) = (0.0, 0.0);
    for point in used {
        let time = point.time - centre;
        square += time * time / point.distance;
        product += time * (point.offset - mean) / point.distance;
    }
    let slope = product / square;
    let offset = mean - slope * centre;
    let residual = |point: &Point| point.offset - (offset + slope * point.time);
    let sum: f64 = used.iter().map(|point| residual(point) * residual(point) / point.distance).sum();
    let variance = sum / count(n - 2);
    let slope_deviation = (variance / square).sqrt();
    let signs = |points: &[Point]| {
        let changes = points.windows(2).filter(|pair| match pair {
            [a, b] => (residual(a) < 0.0) != (residual(b) < 0.0),
            _ => false,
        });
        changes.count() + 1
    };
    let tested = points.get(start.saturating_sub(n)..)?;
    Some(Fit {
        offset,
        slope,
        offset_deviation: (variance / weight + (centre * slope_deviation).powi(2)).sqrt(),
        skew: slope_deviation * student(n - 2),
        deviation: (variance * count(n) / weight).sqrt(),
        runs: signs(used),
        tested: (signs(tested), tested.len()),
    })
}

/// How the offset depends on the excess of the round trip, once its dependence on time is taken out; `None` where all delays are
/// alike.
pub(in crate::engine) fn slope_over_excess(points: &[Point]) -> Option<f64> {
    let n = count(points.len());
    let mean = |value: fn(&Point) -> f64| points.iter().map(value).sum::<f64>() / n;
    let (time, excess, offset) = (mean(|p| p.time), mean(|p| p.excess), mean(|p| p.offset));
    let (mut tt, mut te, mut ee, mut ty, mut ey) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for point in points {
        let (t, e, y) = (point.time - time, point.excess - excess, point.offset - offset);
        tt += t * t;
        te += t * e;
        ee += e * e;
        ty += t * y;
        ey += e * y;
    }
    let determinant = tt * ee - te * te;
    // what is left of the excess when time explains nearly all of it says nothing
    (determinant > 1e-9 * tt * ee && determinant > 0.0).then(|| (tt * ey - te * ty) / determinant)
}

/// The one-sided 99.95 % quantile of Student's distribution.
fn student(freedom: usize) -> f64 {
    const QUANTILES: [f64; 40] = [
        636.619, 31.599, 12.924, 8.61, 6.869, 5.959, 5.408, 5.041, 4.781, 4.587, 4.437, 4.318, 4.221, 4.14,
        4.073, 4.015, 3.965, 3.922, 3.883, 3.85, 3.819, 3.792, 3.768, 3.745, 3.725, 3.707, 3.69, 3.674,
        3.659, 3.646, 3.633, 3.622, 3.611, 3.601, 3.591, 3.582, 3.574, 3.566, 3.558, 3.551,
    ];
    freedom.checked_sub(1).and_then(|index| QUANTILES.get(index)).copied().unwrap_or(3.5)
}
