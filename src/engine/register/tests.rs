//! The register against lines with known noise.

use super::*;
use crate::engine::rng::{Rng, SplitMix};

const SECOND: i64 = 1_000_000_000;

fn line(rate: f64) -> Line {
    Line { at: FreeTime::from_nanos(0), offset: Exact::default(), rate }
}

fn uniform(rng: &mut SplitMix) -> f64 {
    f64::from(u32::try_from(rng.next_u64() >> 32).unwrap()) / 4_294_967_296.0
}

fn exponential(rng: &mut SplitMix, scale: f64) -> f64 {
    -scale * uniform(rng).max(1e-12).ln()
}

/// A sample at `secs`: the free clock is behind by `offset`, the ways take `there` and `back`.
fn sample(secs: i64, offset: f64, there: f64, back: f64) -> Measurement {
    let delta = |secs: f64| TimeDelta::from_secs_f64(secs).unwrap();
    Measurement {
        at: FreeTime::from_nanos(secs * SECOND),
        offset: delta(offset + (there - back) / 2.0),
        delay: delta(there + back),
        dispersion: Secs::literal(1e-6),
        root_delay: Secs::literal(2e-3),
        root_dispersion: Secs::literal(1e-3),
    }
}

/// `n` samples 64 s apart of a free clock that loses 20 ppm, over exponential queues of 100 µs.
fn filled(n: i64, tuning: Tuning, seed: u64) -> Register {
    let (mut register, mut rng) = (Register::new(tuning), SplitMix::new(seed));
    for i in 0..n {
        let way = |rng: &mut SplitMix| 1e-3 + exponential(rng, 1e-4);
        let (there, back) = (way(&mut rng), way(&mut rng));
        register.push(
            sample(64 * i, 20e-6 * 64.0 * f64::from(i32::try_from(i).unwrap()), there, back),
            &line(0.0),
        );
    }
    register
}

#[test]
#[expect(clippy::float_cmp, reason = "constants")]
fn without_three_samples_there_is_no_line() {
    let statistics = Register::new(Tuning::default()).statistics(FreeTime::from_nanos(0), &line(0.0));
    assert_eq!((statistics.samples, statistics.runs), (0, 0));
    assert_eq!((statistics.jitter.get(), statistics.skew), (4.0, 2000e-6));
    assert_eq!((statistics.offset.get(), statistics.residual_frequency.ppm()), (0.0, 0.0));
    let register = filled(2, Tuning::default(), 1);
    assert!(!register.has_fit());
    assert_eq!(register.stats(FreeTime::from_nanos(SECOND), &line(0.0)), None);
    assert_eq!(register.statistics(FreeTime::from_nanos(0), &line(0.0)).skew, 2000e-6);
    assert!(filled(3, Tuning::default(), 1).has_fit());
}

#[test]
fn the_frequency_is_found_within_its_own_bound() {
    for seed in 0..40 {
        let register = filled(40, Tuning::default(), seed);
        let now = FreeTime::from_nanos(39 * 64 * SECOND);
        let statistics = register.statistics(now, &line(0.0));
        let error = statistics.residual_frequency.ratio() + 20e-6;
        assert!(error.abs() < statistics.skew, "seed {seed}: {statistics:?}");
        assert!(statistics.skew < 1e-6 && statistics.jitter.get() < 2e-4, "seed {seed}: {statistics:?}");
        let offset = statistics.offset.get() - 20e-6 * 64.0 * 39.0;
        assert!(offset.abs() < statistics.offset_error.get() && offset.abs() < 1e-4, "seed {seed}");
        assert!((6..=40).contains(&statistics.samples));
    }
}

#[test]
fn what_the_host_corrects_already_is_no_residual() {
    let register = filled(40, Tuning::default(), 3);
    let now = FreeTime::from_nanos(39 * 64 * SECOND);
    let statistics = register.statistics(now, &line(20e-6));
    assert!(statistics.residual_frequency.ratio().abs() < 1e-6);
    assert!(statistics.offset.get().abs() < 1e-4);
    let latest = register.latest(&line(20e-6)).unwrap();
    assert!(latest.offset.get().abs() < 1e-3);
    // as it was measured, when nothing was corrected
    assert!((latest.original.get() - 20e-6 * 64.0 * 39.0).abs() < 1e-3);
}

#[test]
fn a_change_of_frequency_shortens_the_line() {
    let mut register = filled(40, Tuning::default(), 4);
    let before = register.len();
    let mut rng = SplitMix::new(9);
    for i in 1..30_i32 {
        let offset = 20e-6 * 64.0 * 39.0 + 25e-6 * 64.0 * f64::from(i);
        let way = |rng: &mut SplitMix| 1e-3 + exponential(rng, 1e-4);
        let (there, back) = (way(&mut rng), way(&mut rng));
        register.push(sample(64 * (39 + i64::from(i)), offset, there, back), &line(0.0));
    }
    let now = FreeTime::from_nanos(68 * 64 * SECOND);
    let statistics = register.statistics(now, &line(0.0));
    assert!(statistics.samples < before + 29 && statistics.samples <= 34, "{statistics:?}");
    assert!((statistics.residual_frequency.ppm() + 25.0).abs() < 1.0, "{statistics:?}");
}

#[test]
fn never_more_than_maxsamples() {
    for (maxsamples, expected) in [(0, 64), (1, 1), (12, 12), (200, 64)] {
        let tuning = Tuning { maxsamples, minsamples: 64, ..Tuning::default() };
        let register = filled(200, tuning, 5);
        assert_eq!(register.len(), expected);
        assert!(register.entries.len() <= 2 * expected);
    }
    let tuning = Tuning { maxsamples: 1, ..Tuning::default() };
    let register = filled(9, tuning, 5);
    assert!(!register.has_fit() && register.offset_at(FreeTime::from_nanos(0), &line(0.0)).is_some());
}

#[test]
fn the_interval_of_the_selection_holds_the_truth() {
    for seed in 0..40 {
        let register = filled(20, Tuning::default(), seed);
        for later in [0, 64, 4000, 100_000] {
            let at = FreeTime::from_nanos((19 * 64 + later) * SECOND);
            let stats = register.stats(at, &line(0.0)).unwrap();
            let truth = 20e-6 * (at - FreeTime::from_nanos(0)).as_secs_f64();
            assert!(stats.low < truth && truth < stats.high, "seed {seed}, {later} s later: {stats:?}");
            assert!((stats.high - stats.low - 2.0 * stats.root_distance).abs() < 1e-12);
            assert!(stats.root_distance >= 3e-3 && (stats.frequency + 20e-6).abs() <= stats.skew);
        }
    }
}

#[test]
#[expect(clippy::float_cmp, reason = "a constant")]
fn jitter_of_one_direction_is_seen_and_taken_out() {
    for (up, expected) in [(true, -0.5), (false, 0.5)] {
        let (mut register, mut rng) = (Register::new(Tuning::default()), SplitMix::new(6));
        for i in 0..60 {
            let queue = exponential(&mut rng, 1e-3);
            let (there, back) = if up { (1e-3 + queue, 1e-3) } else { (1e-3, 1e-3 + queue) };
            register.push(sample(64 * i, 0.0, there, back), &line(0.0));
        }
        let statistics = register.statistics(FreeTime::from_nanos(59 * 64 * SECOND), &line(0.0));
        assert!((statistics.asymmetry - expected).abs() < 0.01, "{statistics:?}");
        assert!(statistics.offset.get().abs() < 1e-5 && statistics.jitter.get() < 1e-5, "{statistics:?}");
    }
    let fixed = Tuning { asymmetry: 0.0, ..Tuning::default() };
    assert_eq!(filled(30, fixed, 1).statistics(FreeTime::from_nanos(0), &line(0.0)).asymmetry, 0.0);
}

#[test]
fn a_dump_brings_everything_back() {
    let register = filled(30, Tuning::default(), 7);
    let mut restored = Register::new(Tuning::default());
    assert!(restored.restore(&register.dump()));
    let at = FreeTime::from_nanos(30 * 64 * SECOND);
    let (a, b) = (register.statistics(at, &line(0.0)), restored.statistics(at, &line(0.0)));
    assert_eq!((a.samples, a.residual_frequency), (b.samples, b.residual_frequency));
    let mut backwards = register.dump();
    backwards.samples.reverse();
    assert!(!restored.restore(&backwards) && restored.is_empty());
    assert!(!restored.restore(&Dump::default()));
}

#[test]
fn absurd_samples_leave_finite_figures() {
    let mut rng = SplitMix::new(8);
    let mut register = Register::new(Tuning::default());
    let mut at = 0_i64;
    for _ in 0..3000 {
        let wild = |rng: &mut SplitMix| i64::from_be_bytes(rng.next_u64().to_be_bytes());
        at = if rng.next_u64().is_multiple_of(50) {
            wild(&mut rng)
        } else {
            at.saturating_add(wild(&mut rng).saturating_abs() >> 20)
        };
        let secs = |rng: &mut SplitMix| Secs::literal(uniform(rng) * 65_536.0);
        let measurement = Measurement {
            at: FreeTime::from_nanos(at),
            offset: TimeDelta::from_nanos(wild(&mut rng) >> (rng.next_u64() % 60)),
            delay: TimeDelta::from_nanos((wild(&mut rng) >> (rng.next_u64() % 60)).saturating_abs()),
            dispersion: secs(&mut rng),
            root_delay: secs(&mut rng),
            root_dispersion: secs(&mut rng),
        };
        register.push(measurement, &line(1e-6));
        let at = FreeTime::from_nanos(at);
        let statistics = register.statistics(at, &line(1e-6));
        let figures = [
            statistics.offset.get(),
            statistics.skew,
            statistics.jitter.get(),
            statistics.offset_error.get(),
        ];
        assert!(figures.iter().all(|figure| figure.is_finite()), "{statistics:?}");
        if let Some(stats) = register.stats(at, &line(1e-6)) {
            assert!(stats.low <= stats.high, "{stats:?}");
        }
    }
}

#[test]
fn the_runs_test_meets_its_published_points() {
    for (points, critical) in [(8, 2), (16, 5), (32, 12), (64, 26), (128, 56)] {
        let fit = |runs| Fit {
            offset: 0.0,
            slope: 0.0,
            offset_deviation: 0.0,
            skew: 0.0,
            deviation: 0.0,
            runs,
            tested: (runs, points),
        };
        assert!(!fit(critical).is_random() && fit(critical + 1).is_random(), "{points}");
    }
}
