//! The 42 rows of discipline.md §5.1, their parameters, and the tables that they are held against.

use std::f64::consts::TAU;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ntpbox::engine::options::Settings;

use super::host::OscillatorSpec;
use super::link::Delay;
use super::metrics::{Result, median};
use super::rng::Stream;
use super::scenario::{MakeClient, Scenario, ServerSpec};
use super::server::Conduct;

/// Figures of chronyd and the prototype.
const REFERENCE: &str = include_str!("golden/reference.txt");
/// What the reference's seeds drew.
const DRAWS: &str = include_str!("golden/draws.txt");
/// Purpose of the stream of the draws of other seeds.
const DRAW: u64 = 7;

/// RMS time (s), RMS rate (ppb), maximum (s), requests per hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    pub(crate) time: f64,
    pub(crate) rate: f64,
    pub(crate) max: f64,
    pub(crate) packets: f64,
}

/// A row of the reference.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) name: &'static str,
    pub(crate) chronyd: Figures,
    pub(crate) prototype: Figures,
    /// What an identical engine shows, 5 and 95 %: time, rate, maximum.
    pub(crate) noise: [(f64, f64); 3],
}

/// The reference, in its order.
pub(crate) fn reference() -> Vec<Reference> {
    REFERENCE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap();
            let n: Vec<f64> = words.map(|word| word.parse().unwrap()).collect();
            let figures = |i: usize| Figures { time: n[i], rate: n[i + 1], max: n[i + 2], packets: n[i + 3] };
            let noise = [(n[8], n[9]), (n[10], n[11]), (n[12], n[13])];
            Reference { name, chronyd: figures(0), prototype: figures(4), noise }
        })
        .collect()
}

/// What a seed decides besides the noise.
#[derive(Debug, Clone)]
struct Draw {
    /// s/s.
    rate: f64,
    phase: f64,
    sign: f64,
    /// Base delay, asymmetry, mean jitter, s.
    paths: Vec<(f64, f64, f64)>,
}

impl Draw {
    fn of(seed: u64) -> Self {
        let known = DRAWS.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[0] == seed.to_string()).then(|| Self::parse(&words[1..]))
        });
        known.unwrap_or_else(|| Self::random(&mut Stream::new(seed, DRAW)))
    }

    fn parse(words: &[&str]) -> Self {
        let number = |word: &str| word.parse::<f64>().unwrap();
        let path = |word: &&str| {
            let n: Vec<f64> = word.split('/').map(number).collect();
            (n[0] * 1e-3, n[1] * 1e-6, n[2] * 1e-6)
        };
        Self {
            rate: number(words[0]) * 1e-6,
            phase: number(words[1]),
            sign: if words[2] == "+" { 1.0 } else { -1.0 },
            paths: words[3..].iter().map(path).collect(),
        }
    }

    fn random(stream: &mut Stream) -> Self {
        let sign = |stream: &mut Stream| if stream.chance(0.5) { 1.0 } else { -1.0 };
        let rate = sign(stream) * stream.between(40e-6, 60e-6);
        let (phase, sign) = (stream.between(0.0, TAU), sign(stream));
        let paths = (0..5)
            .map(|_| {
                let base = 4e-3 * (15.0_f64).powf(stream.uniform());
                (base, 0.02 * base * stream.normal(), base * stream.between(0.02, 0.06))
            })
            .collect();
        Self { rate, phase, sign, paths }
    }
}

/// Chrony's defaults but for this.
pub(crate) fn makestep(makestep: Option<(f64, i32)>) -> Settings {
    Settings { makestep, ..Settings::default() }
}

fn queue(base: f64, mean: f64) -> Vec<Delay> {
    vec![Delay::Fixed(base), Delay::Exponential(mean)]
}

/// A row with the parameters of this seed.
pub(crate) fn scenario(name: &str, seed: u64) -> Scenario {
    let draw = Draw::of(seed);
    let lan = || queue(50e-6, 10e-6);
    let def = || queue(100e-6, 100e-6);
    let wan = || queue(15e-3, 1e-3);
    let number = reference().iter().position(|row| row.name == name).unwrap() as u64;
    let base = Scenario {
        number: 1 + number,
        limit: 40_000,
        settle: 10_000,
        error: draw.sign * 0.05,
        oscillator: OscillatorSpec { rate: draw.rate, wander: 1e-9, ..OscillatorSpec::default() },
        servers: vec![ServerSpec::alike(def())],
        polls: (6, 6),
        iburst: true,
        settings: makestep(Some((0.1, 3))),
        ..Scenario::default()
    };
    let one = |delays: Vec<Delay>| vec![ServerSpec::alike(delays)];
    match name {
        "cold" | "coldslew" => Scenario {
            limit: 3600,
            settle: if name == "cold" { 300 } else { 600 },
            error: draw.sign * if name == "cold" { 0.5 } else { 0.05 },
            polls: (6, 10),
            settings: makestep((name == "cold").then_some((0.1, 3))),
            ..base
        },
        "x-gauss" => {
            Scenario { servers: one(vec![Delay::Fixed(1e-3), Delay::Normal(0.4e-3, 0.1e-3)]), ..base }
        }
        "x-pois" => Scenario { servers: one(vec![Delay::Fixed(1e-3), Delay::Poisson(50e-6, 3.0)]), ..base },
        "hw-p0" | "sw-p2" => {
            let (limit, settle, poll) = if name == "hw-p0" { (3000, 300, 0) } else { (8000, 800, 2) };
            let delays = if name == "hw-p0" { queue(5e-6, 20e-9) } else { queue(30e-6, 5e-6) };
            let error = draw.sign * 0.01;
            let precision = if name == "hw-p0" { 1e-9 } else { base.precision };
            Scenario { limit, settle, precision, polls: (poll, poll), servers: one(delays), error, ..base }
        }
        _ => {
            let (kind, poll) = name.split_once('-').unwrap();
            if kind.starts_with("srv") {
                return Scenario { servers: several(kind, &draw), ..base };
            }
            if let Some(delays) = match kind {
                "lan" => Some(lan()),
                "def" => Some(def()),
                "wan" => Some(wan()),
                _ => None,
            } {
                let (limit, settle, polls) = match poll {
                    "p4" => (20_000, 5000, (4, 4)),
                    "p6" => (40_000, 10_000, (6, 6)),
                    "p10" => (400_000, 100_000, (10, 10)),
                    "adapt" => (200_000, 50_000, (6, 10)),
                    _ => unreachable!("no row {name}"),
                };
                return Scenario { limit, settle, polls, servers: one(delays), ..base };
            }
            shaped(name, &draw, base)
        }
    }
}

/// Jitter shapes, oscillators and disturbances: all at poll 6.
fn shaped(name: &str, draw: &Draw, base: Scenario) -> Scenario {
    let one = |delays: Vec<Delay>| vec![ServerSpec::alike(delays)];
    let queue_with = |base: f64, mean: f64, more: Delay| {
        let mut delays = queue(base, mean);
        delays.push(more);
        delays
    };
    let chance = |p: f64, mean: f64| Delay::Chance(p, Box::new(Delay::Exponential(mean)));
    let clock = base.oscillator;
    let quiet = OscillatorSpec { wander: 1e-10, ..clock };
    let sine =
        |amplitude: f64, period: f64| OscillatorSpec { sine: (amplitude, period, draw.phase), ..quiet };
    let on = |oscillator: OscillatorSpec| Scenario { oscillator, ..base.clone() };
    let wander = |wander: f64| on(OscillatorSpec { wander, ..clock });
    match name.trim_end_matches("-p6") {
        "heavy" => Scenario {
            limit: 80_000,
            settle: 20_000,
            error: draw.sign * 0.5,
            tolerance: 0.05,
            servers: one(queue(100e-6, 0.1)),
            ..base
        },
        "spike" => Scenario { servers: one(queue_with(10e-3, 100e-6, chance(0.1, 20e-3))), ..base },
        "bloat" => {
            let load = Box::new(Delay::Exponential(50e-3));
            let load = Delay::Window { period: 3600.0, from: 3000.0, to: 3600.0, delay: load };
            let up = queue_with(15e-3, 300e-6, load);
            let server = ServerSpec { up, ..ServerSpec::alike(queue(15e-3, 300e-6)) };
            Scenario { servers: vec![server], ..base }
        }
        "wifi" => Scenario { loss: 0.02, servers: one(queue_with(1e-3, 1e-3, chance(0.05, 30e-3))), ..base },
        "asym" => {
            let server = ServerSpec { up: queue(100e-6, 30e-6), ..ServerSpec::alike(queue(100e-6, 970e-6)) };
            Scenario { servers: vec![server], ..base }
        }
        "wander0" => wander(0.0),
        "wander1e-10" => wander(1e-10),
        "wander1e-08" => wander(1e-8),
        "wander1e-07" => wander(1e-7),
        "temp1h" => on(sine(1e-6, 3600.0)),
        "temp1d" => Scenario { limit: 200_000, settle: 50_000, ..on(sine(2e-6, 86_400.0)) },
        "hvac-lan" => Scenario { servers: one(queue(50e-6, 10e-6)), ..on(sine(0.3e-6, 1200.0)) },
        "fstep" => on(OscillatorSpec { rate_step: (20_000, 2e-6), ..quiet }),
        "white" => on(OscillatorSpec { white: 1e-8, ..quiet }),
        "f500" => on(OscillatorSpec { rate: 9.0 * draw.rate, ..clock }),
        "f5pct" => Scenario { limit: 20_000, settle: 4000, ..on(OscillatorSpec { rate: 0.05, ..clock }) },
        "step" => Scenario {
            foreign_step: Some((20_000, -300_000_000)),
            skip: (20_000, 22_000),
            quiet_from: 20_001,
            ..base
        },
        "interm" => Scenario { limit: 100_000, contact: Some((1200.0, 10_000.0)), ..base },
        "loss33" => Scenario { loss: 0.33, ..base },
        _ => unreachable!("no row {name}"),
    }
}

/// Servers of the `srv*` rows; the falsetickers are the second and the third.
fn several(kind: &str, draw: &Draw) -> Vec<ServerSpec> {
    if kind == "srv5lan" {
        return vec![ServerSpec::alike(queue(100e-6, 50e-6)); 5];
    }
    let count = if kind.starts_with("srv3") { 3 } else { 5 };
    let lies: &[i64] = match kind {
        "srv5f1" => &[0, 1_000_000_000],
        "srv5f2" => &[0, 1_000_000_000, 2_000_000_000],
        "srv3sub" => &[0, 10_000_000],
        _ => &[],
    };
    (draw.paths.iter().take(count).enumerate())
        .map(|(i, &(base, asymmetry, jitter))| ServerSpec {
            up: queue(base + asymmetry, jitter),
            down: queue(base - asymmetry, jitter),
            conduct: Conduct { lie: (0, lies.get(i).copied().unwrap_or(0)), ..Conduct::default() },
            options: "",
        })
        .collect()
}

/// The figures of some rows with these seeds.
pub(crate) fn rows(names: &[&str], seeds: RangeInclusive<u64>, client: MakeClient<'_>) -> Vec<Figures> {
    medians(names.len(), seeds, &|row, seed| scenario(names[row], seed), client)
}

/// Medians over the seeds of each of so many scenarios: all processors at work.
pub(crate) fn medians(
    count: usize,
    seeds: RangeInclusive<u64>,
    scenario: &(dyn Fn(usize, u64) -> Scenario + Sync),
    client: MakeClient<'_>,
) -> Vec<Figures> {
    let seeds: Vec<u64> = seeds.collect();
    let results: Vec<Mutex<Vec<Result>>> = (0..count).map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            let (row, seed) = (job / seeds.len(), seeds[job % seeds.len()]);
            let Some(results) = results.get(row) else { break };
            let result = scenario(row, seed).run(seed, client);
            results.lock().unwrap().push(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let figures = |results: Mutex<Vec<Result>>| {
        let results = results.into_inner().unwrap();
        let of = |figure: fn(&Result) -> f64| median(results.iter().map(figure).collect());
        Figures {
            time: of(|r| r.rms_time),
            rate: of(|r| r.rms_rate * 1e9),
            max: of(|r| r.max_time),
            packets: of(|r| r.packets),
        }
    };
    results.into_iter().map(figures).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_42_rows_and_each_a_scenario() {
        let rows = reference();
        assert_eq!(rows.len(), 42);
        for row in rows {
            let scenario = scenario(row.name, 1);
            assert!(scenario.limit > scenario.settle && !scenario.servers.is_empty(), "{}", row.name);
        }
    }

    #[test]
    fn the_first_twelve_seeds_are_those_of_the_reference() {
        let draw = Draw::of(12);
        assert_eq!((draw.rate, draw.phase, draw.sign, draw.paths.len()), (-43.802e-6, 1.8, -1.0, 5));
        let (base, asymmetry, jitter) = draw.paths[4];
        assert!((base / 16.861e-3 - 1.0).abs() < 1e-9 && (asymmetry / 117e-6 - 1.0).abs() < 1e-9);
        assert!((jitter / 715e-6 - 1.0).abs() < 1e-9);
        let other = Draw::of(13);
        assert!((40e-6..60e-6).contains(&other.rate.abs()) && other.paths.len() == 5);
    }
}
