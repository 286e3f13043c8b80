//! The rules of classic ntpdate 4.2.6p5, all of them and only here (ntp-legacy 1.7–1.9): its padded delay, its filter,
//! its trust test, its badness. 16.16 fixed point, as the original computes.
//!
//! The true offset and round trip are [`crate::engine::sample`]'s; nothing here leaks into them.

use std::fmt;

use crate::engine::sample::Sample;
use crate::types::{Leap, LogInterval, NtpTimestamp, TimeDelta};

/// Signed seconds in units of 2⁻¹⁶ s, wide enough for any difference of time stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Fixed(i64);

impl Fixed {
    /// 0 s.
    pub const ZERO: Self = Self(0);
    /// 64 s: what a missing sample counts.
    pub const MISSING: Self = Self(64 << 16);
    /// 8 s: a server with more delay is too far away.
    const MAX_DELAY: Self = Self(8 << 16);
    /// 0x28f/65536 s, added to every delay and to the badness that is good enough.
    const PADDING: Self = Self(0x28f);
    /// 0x51f/65536 s, the smallest delay that is stored.
    const MIN_DELAY: Self = Self(0x51f);
    /// 1/64 s, the original's own precision.
    const OWN_PRECISION: Self = Self(1 << 10);

    /// From units of 2⁻¹⁶ s.
    pub const fn from_bits(bits: i64) -> Self {
        Self(bits)
    }

    /// Units of 2⁻¹⁶ s.
    pub const fn to_bits(self) -> i64 {
        self.0
    }

    /// Cut (not rounded) to 2⁻¹⁶ s, toward zero.
    fn cut(delta: TimeDelta) -> Self {
        let scaled = i128::from(delta.as_nanos()) * 65_536 / 1_000_000_000;
        Self(i64::try_from(scaled).unwrap_or(i64::MAX))
    }

    /// 2^exponent s; below 2⁻¹⁶ s it is 0, above 2³⁰ s it saturates.
    fn power_of_two(exponent: LogInterval) -> Self {
        match exponent.log2().saturating_add(16) {
            negative if negative < 0 => Self::ZERO,
            shift => Self(1_i64.checked_shl(u32::try_from(shift).unwrap_or(0).min(46)).unwrap_or(0)),
        }
    }

    fn distance(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).saturating_abs())
    }
}

/// One place of the filter: a packet's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The sample, `None` when the packet was lost.
    pub sample: Option<Sample>,
    /// The padded delay that ntpdate prints; zero: void.
    pub delay: Fixed,
}

impl Slot {
    /// An unanswered packet.
    pub const LOST: Self = Self { sample: None, delay: Fixed::ZERO };

    /// An answered packet; `precision` is the server's.
    pub fn answered(sample: Sample, precision: LogInterval) -> Self {
        let padded = Fixed::cut(sample.delay)
            .0
            .saturating_add(Fixed::OWN_PRECISION.0)
            .saturating_add(Fixed::power_of_two(precision).0)
            .saturating_add(Fixed::PADDING.0);
        let delay = if padded <= 0 { Fixed::ZERO } else { Fixed(padded).max(Fixed::MIN_DELAY) };
        Self { sample: Some(sample), delay }
    }

    /// The sample, unless the slot is void.
    fn valid(&self) -> Option<Sample> {
        self.sample.filter(|_| self.delay != Fixed::ZERO)
    }
}

/// What the filter makes of a server's slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filtered {
    /// The slot with the least delay; `None` when all are void.
    pub best: Option<Sample>,
    /// Its padded delay, 0 when there is none.
    pub delay: Fixed,
    /// Scatter of the others around it.
    pub dispersion: Fixed,
}

/// Orders the slots by delay, void ones last, and weighs the scatter: Σ min(|offset − best|, 64 s) / 2ⁱ.
pub fn filter(slots: &[Slot]) -> Filtered {
    let mut order: Vec<&Slot> = slots.iter().collect();
    order.sort_by_key(|slot| if slot.valid().is_some() { slot.delay } else { Fixed(i64::MAX) });
    let Some((first, best)) = order.first().and_then(|slot| slot.valid().map(|sample| (*slot, sample)))
    else {
        return Filtered { best: None, delay: Fixed::ZERO, dispersion: Fixed::MISSING };
    };
    // the original sums from the far end, halving at each step
    let dispersion = order.iter().skip(1).rev().fold(Fixed::ZERO, |sum, slot| {
        let distance = slot.valid().map_or(Fixed::MISSING, |sample| {
            Fixed::cut((sample.offset - best.offset).abs()).min(Fixed::MISSING)
        });
        Fixed((sum.0 + distance.0) >> 1)
    });
    Filtered { best: Some(best), delay: first.delay, dispersion }
}

/// Why a server is not a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// No valid sample.
    NoData,
    /// Stratum above 15 (0 counts as 16).
    StrataTooHigh,
    /// Padded delay above 8 s.
    TooFarAway,
    /// Leap indicator 3.
    LeapNotInSync,
    /// Its clock is before the time of its last update.
    VeryBroken,
    /// Its last update is a day or more ago.
    TooLongWithoutSync,
    /// A reply failed authentication.
    Untrusted,
}

impl fmt::Display for Rejection {
    /// The words behind `Server dropped: ` in the original's debug output.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoData => "no data",
            Self::StrataTooHigh => "strata too high",
            Self::TooFarAway => "server too far away",
            Self::LeapNotInSync => "Leap not in sync",
            Self::VeryBroken => "server is very broken",
            Self::TooLongWithoutSync => "Server has gone too long without sync",
            Self::Untrusted => "Server is untrusted",
        })
    }
}

/// What selection needs to know of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The filter's result.
    pub filtered: Filtered,
    /// Stratum as the original stores it: 0 has become 16.
    pub stratum: u8,
    /// Leap indicator of the last reply.
    pub leap: Leap,
    /// Precision of the server's clock.
    pub precision: LogInterval,
    /// When the server's clock was last updated, by its last reply.
    pub reference: NtpTimestamp,
    /// When that reply left the server.
    pub transmit: NtpTimestamp,
    /// Eight last authentication results, 1 = failed.
    pub trust: u8,
}

/// The original's acceptance test, in its order.
pub fn rejection(candidate: &Candidate) -> Option<Rejection> {
    let since_update = candidate.transmit.wrapping_since(candidate.reference);
    let tests = [
        (candidate.filtered.delay == Fixed::ZERO, Rejection::NoData),
        (candidate.stratum > 15, Rejection::StrataTooHigh),
        (candidate.filtered.delay > Fixed::MAX_DELAY, Rejection::TooFarAway),
        (candidate.leap == Leap::Unsynchronised, Rejection::LeapNotInSync),
        // "never" is long ago, whatever side of the era it lies on
        (candidate.reference.is_zero(), Rejection::TooLongWithoutSync),
        (since_update.is_negative(), Rejection::VeryBroken),
        (since_update >= TimeDelta::from_secs(86_400), Rejection::TooLongWithoutSync),
        (candidate.trust != 0, Rejection::Untrusted),
    ];
    tests.into_iter().find_map(|(failed, reason)| failed.then_some(reason))
}

/// How many servers take part in the selection.
const MAX_LIST: usize = 5;
/// How many different strata take part.
const MAX_STRATA: usize = 2;

/// Picks the winner among the candidates that pass [`rejection`]: an index into `candidates`, `None` if none passes.
pub fn select(candidates: &[Candidate]) -> Option<usize> {
    let mut list: Vec<(usize, &Candidate)> =
        candidates.iter().enumerate().filter(|(_, candidate)| rejection(candidate).is_none()).collect();
    list.sort_by_key(|(_, c)| (c.stratum, c.filtered.dispersion.0 * 2));
    list.truncate(MAX_LIST);
    let mut strata: Vec<u8> = list.iter().map(|(_, c)| c.stratum).collect();
    strata.dedup();
    if let Some(&third) = strata.get(MAX_STRATA) {
        list.retain(|(_, c)| c.stratum < third);
    }
    list.sort_by_key(|(_, c)| (c.stratum, c.filtered.delay));
    while list.len() > 1 {
        let precision = list.iter().map(|(_, c)| c.precision).min().unwrap_or_default();
        let good_enough = Fixed::OWN_PRECISION.0 + Fixed::PADDING.0 + Fixed::power_of_two(precision).0;
        let worst = (0..list.len()).max_by_key(|&k| badness(&list, k))?;
        if badness(&list, worst).0 < good_enough {
            break;
        }
        list.remove(worst);
    }
    list.first().map(|(index, _)| *index)
}

/// Σ_{j≠k} |offset_j − offset_k|·(3/4)ʲ, j the place in the list.
fn badness(list: &[(usize, &Candidate)], k: usize) -> Fixed {
    let offset = |c: &Candidate| Fixed::cut(c.filtered.best.map_or(TimeDelta::ZERO, |best| best.offset));
    let Some((_, judged)) = list.get(k) else { return Fixed::ZERO };
    let mut sum: i64 = 0;
    for (j, (_, other)) in list.iter().enumerate().filter(|(j, _)| *j != k) {
        let mut distance = i128::from(offset(other).distance(offset(judged)).0);
        for _ in 0..j {
            distance = distance * 3 / 4;
        }
        sum = sum.saturating_add(i64::try_from(distance).unwrap_or(i64::MAX));
    }
    Fixed(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(offset_us: i64, stratum: u8) -> Candidate {
        let sample = Sample { offset: TimeDelta::from_micros(offset_us), delay: TimeDelta::from_micros(100) };
        Candidate {
            filtered: filter(&[Slot::answered(sample, LogInterval::from_log2(-20))]),
            stratum,
            leap: Leap::None,
            precision: LogInterval::from_log2(-20),
            reference: NtpTimestamp::from_bits(0xeeab_a2e0 << 32),
            transmit: NtpTimestamp::from_bits(0xeeab_a2ea << 32),
            trust: 0,
        }
    }

    /// ntp-legacy 1.8: servers {1.25 ms st2, 1.04 ms st1, 7500 ms st2, −2.96 ms st3}: the stratum-1 server was chosen.
    #[test]
    fn the_measured_case_chooses_the_stratum_1_server() {
        let servers =
            [candidate(1_250, 2), candidate(1_040, 1), candidate(7_500_000, 2), candidate(-2_960, 3)];
        assert_eq!(select(&servers), Some(1));
    }

    #[test]
    fn a_lan_server_shows_the_padded_delay() {
        // 1/64 + 0x28f/65536 = 0.025619…, the spec's 0.02563 … 0.0258
        assert_eq!(candidate(0, 1).filtered.delay.to_bits(), 0x400 + 0x28f + 6);
    }

    #[test]
    fn a_delay_below_zero_is_void_and_a_small_one_has_a_floor() {
        let at = |micros| {
            Slot::answered(
                Sample { offset: TimeDelta::ZERO, delay: TimeDelta::from_micros(micros) },
                LogInterval::from_log2(-20),
            )
        };
        assert_eq!(at(-30_000).delay, Fixed::ZERO);
        assert_eq!(at(-20_000).delay, Fixed::MIN_DELAY);
        assert_eq!(filter(&[at(-30_000)]).best, None);
    }

    #[test]
    fn a_majority_outvotes_a_falseticker_of_the_same_stratum() {
        let servers = [candidate(900_000, 1), candidate(1_000, 1), candidate(1_500, 1)];
        let winner = select(&servers).unwrap();
        assert_ne!(winner, 0);
    }

    #[test]
    fn hostile_precision_saturates() {
        for exponent in [i8::MIN, -17, 0, 46, i8::MAX] {
            let slot = Slot::answered(
                Sample { offset: TimeDelta::MAX, delay: TimeDelta::MAX },
                LogInterval::from_log2(exponent),
            );
            assert!(slot.delay > Fixed::MAX_DELAY);
        }
    }

    #[test]
    fn lost_packets_count_64_s_of_dispersion() {
        let slots = [Slot::LOST, candidate_slot(), Slot::LOST];
        let filtered = filter(&slots);
        assert_eq!(filtered.dispersion.to_bits(), (32 << 16) + (16 << 16));
        assert_eq!(filter(&[Slot::LOST]).dispersion, Fixed::MISSING);
    }

    fn candidate_slot() -> Slot {
        Slot::answered(
            Sample { offset: TimeDelta::ZERO, delay: TimeDelta::from_micros(5) },
            LogInterval::from_log2(-20),
        )
    }

    #[test]
    fn each_reason_is_found_in_its_order() {
        let good = candidate(0, 2);
        assert_eq!(rejection(&good), None);
        let cases: [(Candidate, Rejection); 7] = [
            (Candidate { filtered: filter(&[]), ..good }, Rejection::NoData),
            (Candidate { stratum: 16, leap: Leap::Unsynchronised, ..good }, Rejection::StrataTooHigh),
            (Candidate { leap: Leap::Unsynchronised, ..good }, Rejection::LeapNotInSync),
            (Candidate { reference: NtpTimestamp::ZERO, ..good }, Rejection::TooLongWithoutSync),
            (
                Candidate { reference: NtpTimestamp::from_bits(0xeeab_a2eb << 32), ..good },
                Rejection::VeryBroken,
            ),
            (
                Candidate { reference: NtpTimestamp::from_bits((0xeeab_a2ea - 86_400) << 32), ..good },
                Rejection::TooLongWithoutSync,
            ),
            (Candidate { trust: 4, ..good }, Rejection::Untrusted),
        ];
        for (candidate, reason) in cases {
            assert_eq!(rejection(&candidate), Some(reason));
        }
    }
}
