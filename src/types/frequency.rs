//! Frequency error of a clock.

/// A relative frequency error in s/s; **> 0: the uncorrected local clock runs fast**. Always finite.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Frequency(f64);

impl Frequency {
    /// A perfect clock.
    pub const ZERO: Self = Self(0.0);

    /// From s/s; `None` for NaN and infinities.
    pub fn new(ratio: f64) -> Option<Self> {
        ratio.is_finite().then_some(Self(ratio))
    }

    /// From parts per million; `None` for NaN and infinities.
    pub fn from_ppm(ppm: f64) -> Option<Self> {
        Self::new(ppm * 1e-6)
    }

    /// s/s.
    pub const fn ratio(self) -> f64 {
        self.0
    }

    /// Parts per million.
    pub fn ppm(self) -> f64 {
        self.0 * 1e6
    }
}
