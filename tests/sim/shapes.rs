//! Delays and oscillators that no reference has, with random parameters: the judged client beside the prototype in the same worlds.

use std::f64::consts::TAU;
use std::fmt::Write;

use super::calibration::prototype;
use super::host::OscillatorSpec;
use super::link::Delay;
use super::matrix::{makestep, medians};
use super::metrics::geometric_mean;
use super::quality::{CLIENT, NAME};
use super::rng::Stream;
use super::scenario::{Scenario, ServerSpec};
use crate::asked::{asked_for, say};

/// Purpose of the stream that draws the parameters.
const PARAMETERS: u64 = 8;
/// Parameter sets of each kind, and seeds of each set.
const SETS: u64 = 4;
const SEEDS: u64 = 6;
/// How much worse than the prototype the means over all shapes may be, and those over the sets of one kind.
const WORSE: f64 = 1.05;
const KIND_WORSE: f64 = 1.15;

/// Shapes of the delay, then what the oscillator does, then the first hour.
const KINDS: [&str; 16] = [
    "normal",
    "uniform",
    "exponential",
    "gamma",
    "lognormal",
    "weibull",
    "pareto",
    "correlated",
    "spikes",
    "uneven",
    "walk",
    "sine",
    "ageing",
    "kinks",
    "white",
    "start",
];

/// Log-uniform.
fn log_between(stream: &mut Stream, low: f64, high: f64) -> f64 {
    low * (high / low).powf(stream.uniform())
}

/// What varies besides the fixed part of the delay, of about this size.
fn jitter(kind: &str, size: f64, stream: &mut Stream) -> Vec<Delay> {
    let exponential = Delay::Exponential(size);
    match kind {
        "normal" => vec![Delay::Normal(stream.between(3.0, 5.0) * size, size)],
        "uniform" => vec![Delay::Uniform(0.0, 3.0 * size)],
        "gamma" => vec![Delay::Gamma(stream.between(1.5, 6.0), size)],
        "lognormal" => vec![Delay::Lognormal(size, stream.between(0.3, 1.2))],
        "weibull" => vec![Delay::Weibull(stream.between(0.6, 2.5), size)],
        "pareto" => vec![Delay::Pareto(size, stream.between(1.5, 3.5))],
        "correlated" => {
            let (mean, memory) = (stream.between(2.0, 4.0) * size, log_between(stream, 30.0, 1500.0));
            vec![Delay::Correlated { mean, sd: size, memory, state: None }]
        }
        "spikes" => {
            let spike = Delay::Exponential(size * log_between(stream, 5.0, 100.0));
            vec![exponential, Delay::Chance(stream.between(0.05, 0.4), Box::new(spike))]
        }
        _ => vec![exponential],
    }
}

/// What varies in the oscillator, which wanders besides.
fn oscillator(kind: &str, limit: i64, stream: &mut Stream) -> OscillatorSpec {
    let rate = stream.between(-60e-6, 60e-6);
    let usual =
        OscillatorSpec { rate, wander: log_between(stream, 2e-10, 1e-8), ..OscillatorSpec::default() };
    let quiet = OscillatorSpec { wander: log_between(stream, 1e-11, 1e-9), ..usual };
    let phase = stream.between(0.0, TAU);
    match kind {
        "walk" => OscillatorSpec { wander: log_between(stream, 1e-11, 3e-7), ..usual },
        "sine" => {
            let (amplitude, period) = (log_between(stream, 3e-8, 3e-6), log_between(stream, 600.0, 2e5));
            OscillatorSpec { sine: (amplitude, period, phase), ..quiet }
        }
        // a piece of a sine that is much longer than the run
        "ageing" => {
            OscillatorSpec { sine: (log_between(stream, 1e-6, 3e-5), 30.0 * limit as f64, phase), ..quiet }
        }
        "kinks" => {
            let at = stream.between(0.4, 0.9) * limit as f64;
            OscillatorSpec { rate_step: (at as i64, log_between(stream, 1e-7, 1e-5)), ..quiet }
        }
        "white" => OscillatorSpec { white: log_between(stream, 1e-9, 1e-7), ..quiet },
        _ => usual,
    }
}

/// One parameter set of a kind.
fn scenario(kind: usize, set: u64) -> Scenario {
    let number = 1000 + 100 * kind as u64 + set;
    let stream = &mut Stream::new(number, PARAMETERS);
    let base = log_between(stream, 50e-6, 20e-3);
    let size = log_between(stream, 5e-6, 2e-3);
    let poll = [4, 6, 6, 8][usize::try_from(set % 4).unwrap()];
    let limit = match KINDS[kind] {
        "start" => 3600,
        _ if poll == 8 => 80_000,
        _ => 40_000,
    };
    let of = |size: f64, stream: &mut Stream| {
        let mut delays = vec![Delay::Fixed(base)];
        delays.extend(jitter(KINDS[kind], size, stream));
        delays
    };
    let up = of(size, stream);
    let down = if KINDS[kind] == "uneven" { of(size * stream.between(0.1, 0.6), stream) } else { up.clone() };
    Scenario {
        number,
        limit,
        settle: limit / 4,
        error: 0.05,
        oscillator: oscillator(KINDS[kind], limit, stream),
        servers: vec![ServerSpec { up, ..ServerSpec::alike(down) }],
        loss: if set == 3 { 0.05 } else { 0.0 },
        polls: (poll, poll),
        iburst: true,
        settings: makestep(Some((0.1, 3))),
        ..Scenario::default()
    }
}

#[test]
fn other_delays_and_oscillators_are_no_worse_than_the_prototype_s() {
    if !asked_for("sim") {
        return;
    }
    let all: Vec<Scenario> =
        (0..KINDS.len()).flat_map(|kind| (0..SETS).map(move |set| scenario(kind, set))).collect();
    let run = |client| medians(all.len(), 1..=SEEDS, &|row, _| all[row].clone(), client);
    let (ours, theirs) = (run(CLIENT), run(&prototype));
    let ratios: Vec<[f64; 3]> = ours
        .iter()
        .zip(&theirs)
        .map(|(ours, theirs)| [ours.time / theirs.time, ours.rate / theirs.rate, ours.max / theirs.max])
        .collect();
    let mean = |ratios: &[[f64; 3]]| [0, 1, 2].map(|i| geometric_mean(ratios.iter().map(|r| r[i])));
    let mut text = format!("shapes, {NAME} / prototype: time, rate, maximum; time of the sets\n");
    let mut found = Vec::new();
    for (kind, sets) in KINDS.iter().zip(ratios.chunks(SETS as usize)) {
        let [time, rate, max] = mean(sets);
        let each: Vec<String> = sets.iter().map(|set| format!("{:.2}", set[0])).collect();
        writeln!(text, "{kind:12} {time:5.2} {rate:5.2} {max:5.2}   {}", each.join(" ")).unwrap();
        if time > KIND_WORSE {
            found.push(format!("{kind}: time {time:.2} of the prototype's"));
        }
    }
    let all = mean(&ratios);
    writeln!(text, "{:12} {:5.3} {:5.3} {:5.3}", "all", all[0], all[1], all[2]).unwrap();
    say(&text);
    found.extend(all.iter().filter(|mean| **mean > WORSE).map(|mean| format!("all shapes: {mean:.3}")));
    assert!(found.is_empty(), "{}", found.join("\n"));
}
