//! The normal distribution's tail, in a form that shares its exponential with the density: the estimator takes both at each end of
//! each box, some hundred times a sample.
//!
//! erfc(x) = exp(−x²) · R(x) with the rational approximations of W. J. Cody, "Rational Chebyshev approximations for the error
//! function", Mathematics of Computation 23 (1969); relative error below 10⁻¹⁵.

use std::f64::consts::FRAC_1_SQRT_2;

/// 1 ÷ √π.
const FRAC_1_SQRT_PI: f64 = 0.564_189_583_547_756_3;
/// Up to here erf itself is approximated.
const NEAR: f64 = 0.46875;
/// From here on, erfc in powers of 1 ÷ x².
const FAR: f64 = 4.0;

const ERF: ([f64; 5], [f64; 4]) = (
    [
        1.857_777_061_846_031_5e-1,
        3.161_123_743_870_565_6,
        1.138_641_541_510_501_6e2,
        3.774_852_376_853_02e2,
        3.209_377_589_138_469_5e3,
    ],
    [
        2.360_129_095_234_412_2e1,
        2.440_246_379_344_441_7e2,
        1.282_616_526_077_372_3e3,
        2.844_236_833_439_171e3,
    ],
);
const MIDDLE: ([f64; 9], [f64; 8]) = (
    [
        2.153_115_354_744_038_3e-8,
        5.641_884_969_886_7e-1,
        8.883_149_794_388_377,
        6.611_919_063_714_163e1,
        2.986_351_381_974_001e2,
        8.819_522_212_417_69e2,
        1.712_047_612_634_070_7e3,
        2.051_078_377_826_071_6e3,
        1.230_339_354_797_997_2e3,
    ],
    [
        1.574_492_611_070_983_5e1,
        1.176_939_508_913_125e2,
        5.371_811_018_620_099e2,
        1.621_389_574_566_690_3e3,
        3.290_799_235_733_459_7e3,
        4.362_619_090_143_247e3,
        3.439_367_674_143_721_6e3,
        1.230_339_354_803_749_5e3,
    ],
);
const TAIL: ([f64; 6], [f64; 5]) = (
    [
        1.631_538_713_730_209_7e-2,
        3.053_266_349_612_323_6e-1,
        3.603_448_999_498_044_5e-1,
        1.257_817_261_112_292_6e-1,
        1.608_378_514_874_227_5e-2,
        6.587_491_615_298_378e-4,
    ],
    [
        2.568_520_192_289_822,
        1.872_952_849_923_460_4,
        5.279_051_029_514_285e-1,
        6.051_834_131_244_132e-2,
        2.335_204_976_268_691_8e-3,
    ],
);

/// Numerator and denominator (its leading coefficient is 1) at `x`, highest power first.
fn ratio<const N: usize, const D: usize>((above, below): &([f64; N], [f64; D]), x: f64) -> f64 {
    let above = above.iter().fold(0.0, |sum, c| sum * x + c);
    let below = below.iter().fold(1.0, |sum, c| sum * x + c);
    above / below
}

/// For a standard normal variable: exp(−u²/2), and the probability that it lies above `u`.
#[inline(never)] // its code is large, and is cold whenever a sample comes
pub(super) fn bell_and_tail(u: f64) -> (f64, f64) {
    let bell = (-0.5 * u * u).exp();
    let x = u.abs() * FRAC_1_SQRT_2;
    let beyond = if x <= NEAR {
        0.5 - 0.5 * x * ratio(&ERF, x * x)
    } else if x <= FAR {
        0.5 * bell * ratio(&MIDDLE, x)
    } else {
        let y = 1.0 / (x * x);
        0.5 * bell * (FRAC_1_SQRT_PI - y * ratio(&TAIL, y)) / x
    };
    (bell, if u < 0.0 { 1.0 - beyond } else { beyond })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_erfc() {
        for i in -37_000..=37_000 {
            let u = f64::from(i) * 1e-3;
            let (bell, tail) = bell_and_tail(u);
            let exact = 0.5 * libm::erfc(u * FRAC_1_SQRT_2);
            // the exponent of either is only as exact as u² ÷ 2
            let error = 1e-15 * (1.0 + u * u);
            assert!((tail - exact).abs() <= error * exact, "{u}: {tail:e} {exact:e}");
            assert!((bell - libm::exp(-0.5 * u * u)).abs() <= error * bell, "{u}");
        }
    }

    #[test]
    fn the_ends_of_the_line_are_0_and_1() {
        for huge in [1e9, 1e200, f64::MAX, f64::INFINITY] {
            assert_eq!((bell_and_tail(huge), bell_and_tail(-huge)), ((0.0, 0.0), (0.0, 1.0)));
        }
        assert_eq!(bell_and_tail(0.0), (1.0, 0.5));
    }
}
