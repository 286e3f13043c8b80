//! What the temperature does to the oscillator, as the operator measured it (`tempcomp`).

/// A compensation beyond is a wrong measurement, ppm.
const MAX: f64 = 10.0;

/// From a temperature to a compensation.
#[derive(Debug, Clone, PartialEq)]
pub enum TempComp {
    /// `k0 + (T − T0)·k1 + (T − T0)²·k2`, ppm.
    Quadratic {
        /// Where the parabola has its centre.
        t0: f64,
        /// Its coefficients.
        k: [f64; 3],
    },
    /// Straight lines between points (temperature, ppm) in order, and beyond them.
    Points(Vec<(f64, f64)>),
}

impl TempComp {
    /// Points from a file: a temperature and a compensation in each line; `None`: fewer than two, or not in order.
    pub fn parse_points(text: &str) -> Option<Self> {
        let mut points = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut numbers = line.split_ascii_whitespace().map(|word| word.parse::<f64>().ok());
            let point = (numbers.next()??, numbers.next()??);
            points.push(point);
        }
        let finite = points.iter().all(|(t, c)| t.is_finite() && c.is_finite());
        (finite && points.len() >= 2 && points.is_sorted_by(|a, b| a.0 < b.0)).then_some(Self::Points(points))
    }

    /// The compensation at a temperature, ppm, > 0: the clock is made faster; `None`: none that can be believed.
    pub fn at(&self, temperature: f64) -> Option<f64> {
        let ppm = match self {
            Self::Quadratic { t0, k: [k0, k1, k2] } => {
                let apart = temperature - t0;
                k0 + apart * k1 + apart * apart * k2
            }
            Self::Points(points) => {
                let above = points.iter().position(|(t, _)| *t >= temperature).unwrap_or(points.len());
                let right = above.clamp(1, points.len().checked_sub(1)?);
                let ((t1, c1), (t2, c2)) = (points.get(right - 1)?, points.get(right)?);
                c1 + (temperature - t1) * (c2 - c1) / (t2 - t1)
            }
        };
        (ppm.abs() <= MAX).then_some(ppm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parabola_of_the_manual() {
        let model = TempComp::Quadratic { t0: 26_000.0, k: [0.0, 0.000_183, 0.0] };
        assert!((model.at(27_000.0).unwrap() - 0.183).abs() < 1e-12);
        assert_eq!(model.at(1e6), None);
        assert_eq!(model.at(f64::NAN), None);
    }

    #[test]
    fn lines_between_points_and_beyond() {
        let model = TempComp::parse_points("# a comment\n20000 1.0\n21000 0.64\n22000 0.36\n").unwrap();
        for (t, ppm) in [(20_500.0, 0.82), (21_000.0, 0.64), (19_000.0, 1.36), (23_000.0, 0.08)] {
            assert!((model.at(t).unwrap() - ppm).abs() < 1e-9, "{t}");
        }
        for bad in ["", "1 1\n", "2 1\n1 1\n", "1 x\n2 1\n", "1\n2\n", "1 nan\n2 1\n"] {
            assert_eq!(TempComp::parse_points(bad), None, "{bad}");
        }
    }
}
