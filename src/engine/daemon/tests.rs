//! One host in a little world of its own: a clock that is off, servers that are right, paths that delay.

mod extras;
mod listening;

use super::*;
use crate::engine::access::Network;
use crate::engine::association::Stamper;
use crate::engine::options::Kind;
use crate::engine::rng::SplitMix;
use crate::engine::server::{self, Remembering, Request};
use crate::types::{Secs, Stratum};
use std::net::Ipv4Addr;

const START: i64 = 1_795_000_000;

/// A server in the world.
#[derive(Debug, Clone, Copy)]
struct Remote {
    /// How far its time is ahead of the truth, s.
    ahead: f64,
    /// Whether it answers.
    up: bool,
}

/// The kernel's clock of the host: true time in ns → reading, piecewise straight.
struct Kernel {
    /// True time of the last change, ns since the start.
    since: i64,
    /// Reading then.
    reading: Timestamp,
    mono: MonoTime,
    /// Error of the oscillator, s/s.
    oscillator: f64,
    setting: KernelRate,
}

impl Kernel {
    fn speed(&self) -> f64 {
        (1.0 + self.oscillator) * (1.0 + self.setting.rate())
    }

    fn at(&self, truth: i64) -> Now {
        let passed = TimeDelta::from_nanos(truth - self.since).as_secs_f64() * self.speed();
        let passed = TimeDelta::from_secs_f64(passed).unwrap();
        Now { clock: self.reading + passed, mono: self.mono + passed }
    }

    fn change(&mut self, truth: i64, setting: KernelRate, step: TimeDelta) {
        let now = self.at(truth);
        self.since = truth;
        self.reading = now.clock + step;
        self.mono = now.mono;
        self.setting = setting;
    }

    /// True time when the monotonic clock will read `mono`.
    fn when(&self, mono: MonoTime) -> i64 {
        let left = (mono - self.mono).as_secs_f64() / self.speed();
        self.since + TimeDelta::from_secs_f64(left).unwrap().as_nanos().max(0) + 1
    }
}

struct World {
    engine: Engine,
    kernel: Kernel,
    truth: i64,
    rng: SplitMix,
    remotes: BTreeMap<SocketAddr, Remote>,
    /// Replies under way: when, for whom, bytes.
    flying: Vec<(i64, SourceId, Vec<u8>)>,
    log: Vec<String>,
    drift: Option<(f64, f64)>,
    sent: u32,
    base_delay: f64,
    jitter: f64,
    gave_up: bool,
    broadcasts: u32,
    /// What the kernel was told last.
    kernel_synchronised: Option<bool>,
    /// What was broadcast.
    broadcast: Vec<Vec<u8>>,
    /// Keys of the servers.
    keys: KeyRing,
    resolver: Vec<IpAddr>,
    /// Records for statistics.log and selection.log.
    details: usize,
}

fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 123))
}

impl World {
    fn new(offset: f64, ppm: f64, settings: Settings) -> Self {
        let reading = Timestamp::from_unix(START, 0) - TimeDelta::from_secs_f64(offset).unwrap();
        let kernel = Kernel {
            since: 0,
            reading,
            mono: MonoTime::from_nanos(5_000_000_000),
            oscillator: ppm * 1e-6,
            setting: KernelRate::NOMINAL,
        };
        let setup = Setup {
            settings,
            controlled: true,
            setting: KernelRate::NOMINAL,
            drift: None,
            precision: 1e-7,
            serving: Vec::new(),
            released: Timestamp::from_unix(START - 86_400, 0),
            start: Start::Daemon,
            keys: KeyRing::default(),
        };
        let engine = Engine::new(kernel.at(0), setup);
        Self {
            engine,
            kernel,
            truth: 0,
            rng: SplitMix::new(7),
            remotes: BTreeMap::new(),
            flying: Vec::new(),
            log: Vec::new(),
            drift: None,
            sent: 0,
            base_delay: 100e-6,
            jitter: 100e-6,
            gave_up: false,
            broadcasts: 0,
            kernel_synchronised: None,
            broadcast: Vec::new(),
            keys: KeyRing::default(),
            resolver: Vec::new(),
            details: 0,
        }
    }

    fn server(&mut self, n: u8, ahead: f64, options: &str) -> SourceId {
        self.remotes.insert(address(n), Remote { ahead, up: true });
        let mut source = SourceOptions::new(Kind::Server, &address(n).ip().to_string());
        for word in options.split_whitespace() {
            match word {
                "iburst" => source.flags.iburst = true,
                "prefer" => source.flags.prefer = true,
                "noselect" => source.flags.noselect = true,
                _ => panic!("{word}"),
            }
        }
        let id = self.engine.add_address(self.kernel.at(self.truth), address(n), &source, &mut self.rng);
        self.act();
        id.expect("one source at each address")
    }

    fn server_keys(&mut self, keys: &KeyRing) {
        self.keys = keys.clone();
    }

    fn delay(&mut self) -> i64 {
        let uniform = TimeDelta::from_nanos(i64::try_from(self.rng.next_u64() >> 12).unwrap() + 1)
            .as_secs_f64()
            / TimeDelta::from_nanos(1 << 52).as_secs_f64();
        let secs = self.base_delay - self.jitter * uniform.ln();
        TimeDelta::from_secs_f64(secs).unwrap().as_nanos()
    }

    /// Error of the clock, s: > 0 is behind.
    fn error(&self) -> f64 {
        let true_time = Timestamp::from_unix(START, 0) + TimeDelta::from_nanos(self.truth);
        (true_time - self.kernel.at(self.truth).clock).as_secs_f64()
    }

    /// Error of the clock's rate, s/s.
    fn rate_error(&self) -> f64 {
        self.kernel.speed() - 1.0
    }

    fn act(&mut self) {
        while let Some(action) = self.engine.poll() {
            match action {
                Action::Send { source, to, bytes, token, .. } => {
                    self.sent += 1;
                    let at = stamp(self.kernel.at(self.truth).clock);
                    let now = self.kernel.at(self.truth);
                    self.engine.handle(now, Input::Sent { source, token, at }, &mut self.rng);
                    self.answer(source, to, &bytes);
                }
                Action::Clock(ClockCommand::SetRate(setting)) => {
                    self.kernel.change(self.truth, setting, TimeDelta::ZERO);
                }
                Action::Clock(ClockCommand::Step(delta)) => {
                    let setting = self.kernel.setting;
                    self.kernel.change(self.truth, setting, delta);
                }
                Action::Clock(ClockCommand::Status { synchronised, .. }) => {
                    self.kernel_synchronised = Some(synchronised);
                }
                Action::Log(_, text) => self.log.push(text),
                Action::Drift(frequency, skew) => self.drift = Some((frequency, skew)),
                Action::GiveUp => self.gave_up = true,
                Action::Broadcast { bytes, .. } => {
                    self.broadcasts += 1;
                    self.broadcast.push(bytes);
                }
                Action::Resolve { name, .. } => {
                    let result = Lookup::Addresses(self.resolver.clone());
                    let now = self.kernel.at(self.truth);
                    self.engine.handle(now, Input::Resolved { name, result }, &mut self.rng);
                }
                Action::Record(Record::Statistics(_) | Record::Selection(_)) => self.details += 1,
                Action::Clock(_) | Action::Close(_) | Action::Record(_) => {}
            }
        }
    }

    fn answer(&mut self, source: SourceId, to: SocketAddr, request: &[u8]) {
        let Some(remote) = self.remotes.get(&to).copied().filter(|r| r.up) else { return };
        let arrives = self.truth + self.delay();
        let comes_back = arrives + self.delay();
        let there = Timestamp::from_unix(START, 0)
            + TimeDelta::from_nanos(arrives)
            + TimeDelta::from_secs_f64(remote.ahead).unwrap();
        let precision = LogInterval::from_log2(-23);
        let mut server = server::Server::new(Remembering::default(), precision, &mut self.rng);
        server.access.set(Network::new(Ipv4Addr::UNSPECIFIED.into(), 0), true);
        server.keys = self.keys.clone();
        let local = Snapshot::local(Stratum::new(1), precision, there, &mut self.rng);
        server.set_snapshot(Snapshot { refid: RefId::from_ascii(*b"GPS\0"), ..local });
        let from = SocketAddr::from(([10, 0, 0, 200], 40_000));
        let request = Request { bytes: request, from, received: there, stamp: server::Stamp::Kernel };
        let at = Now { clock: there, mono: MonoTime::from_nanos(arrives) };
        if let Ok(reply) = server.answer(&request, at, &mut self.rng) {
            self.flying.push((comes_back, source, reply.to_vec()));
        }
    }

    fn run_until(&mut self, secs: i64) {
        let end = secs * 1_000_000_000;
        while self.truth < end {
            let timer = self.engine.next_timeout().map_or(i64::MAX, |t| self.kernel.when(t));
            let packet = self.flying.iter().map(|(at, ..)| *at).min().unwrap_or(i64::MAX);
            self.truth = timer.min(packet).max(self.truth).min(end);
            let now = self.kernel.at(self.truth);
            if let Some(place) = self.flying.iter().position(|(at, ..)| *at <= self.truth) {
                let (_, source, bytes) = self.flying.remove(place);
                let received = stamp(now.clock);
                let input = Input::Reply { source, bytes: &bytes, received, local: None };
                self.engine.handle(now, input, &mut self.rng);
            } else {
                self.engine.handle(now, Input::Timer, &mut self.rng);
            }
            self.act();
        }
    }

    fn letters(&self) -> String {
        self.engine.sources().map(|(id, _)| self.engine.shown(id).status.letter()).collect()
    }

    fn said(&self, part: &str) -> usize {
        self.log.iter().filter(|line| line.contains(part)).count()
    }
}

fn stamp(at: Timestamp) -> Stamp {
    Stamp { at, by: Stamper::Kernel, error: Secs::ZERO }
}

#[test]
fn a_default_start_is_calm_and_right() {
    let mut world = World::new(0.1, 100.0, Settings::default());
    world.server(1, 0.0, "");
    world.run_until(120);
    assert!((world.error() - 0.1).abs() < 0.02, "nothing before the third sample: {}", world.error());
    world.run_until(300);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    assert!(world.rate_error().abs() < 5e-4, "{}", world.rate_error());
    world.run_until(20_000);
    assert!(world.error().abs() < 1e-4, "{}", world.error());
    assert!(world.rate_error().abs() < 1e-6, "{}", world.rate_error());
    assert_eq!(world.letters(), "*");
    let (frequency, skew) = world.drift.unwrap();
    assert!((frequency - 100.0).abs() < 0.5 && skew < 10.0, "{frequency} {skew}");
    assert_eq!(world.log, ["Selected source 10.0.0.1"]);
}

#[test]
fn details_that_nobody_reads_are_not_made_and_nothing_else_changes() {
    let run = |wanted: bool| {
        let mut world = World::new(0.01, 20.0, Settings::default());
        world.engine.record_details(wanted);
        (1..=3).for_each(|n| _ = world.server(n, 0.0, "iburst"));
        world.run_until(2000);
        (world.details, (world.sent, world.error(), world.rate_error(), world.letters()))
    };
    let ((some, with), (none, without)) = (run(true), run(false));
    assert!(some > 100 && none == 0, "{some} {none}");
    assert_eq!(with, without);
}

#[test]
fn a_large_offset_is_slewed_at_the_limit() {
    let mut world = World::new(-100.0, 100.0, Settings::default());
    world.server(1, 0.0, "");
    world.run_until(1300);
    assert!(world.error().abs() > 1e-3, "{}", world.error());
    world.run_until(1410);
    assert!(world.error().abs() < 2e-3, "{}", world.error());
    assert_eq!(world.said("System clock wrong by -100."), 1, "{:?}", world.log);
}

#[test]
fn makestep_steps_once_and_only_at_the_start() {
    let settings = Settings { makestep: Some((1.0, 3)), ..Settings::default() };
    let mut world = World::new(29.4, 40.0, settings);
    world.server(1, 0.0, "iburst");
    world.run_until(30);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    assert_eq!(world.said("System clock was stepped by 29."), 1, "{:?}", world.log);
    world.run_until(4000);
    assert!(world.error().abs() < 1e-4, "{}", world.error());
    assert!((world.engine.frequency() * 1e6 - 40.0).abs() < 0.2, "{}", world.engine.frequency());
}

#[test]
fn a_liar_among_three_is_named_and_not_followed() {
    let mut world = World::new(0.05, 20.0, Settings::default());
    world.server(1, 0.0, "iburst");
    world.server(2, 1.0, "iburst");
    world.server(3, 0.0, "iburst");
    world.run_until(3000);
    assert!(world.error().abs() < 3e-4, "{}", world.error());
    assert_eq!(world.letters().chars().nth(1), Some('x'));
    assert_eq!(world.said("Detected falseticker 10.0.0.2"), 1, "{:?}", world.log);
}

#[test]
fn two_that_disagree_leave_the_clock_alone() {
    let mut world = World::new(0.05, 0.0, Settings::default());
    world.server(1, 0.0, "iburst");
    world.server(2, 1.0, "iburst");
    world.run_until(3000);
    assert_eq!(world.engine.updates(), 0);
    assert_eq!(world.said("Can't synchronise: no majority"), 1, "{:?}", world.log);
}

#[test]
fn the_clock_set_by_somebody_else_is_put_right_again() {
    let mut world = World::new(0.01, 20.0, Settings::default());
    world.server(1, 0.0, "iburst");
    world.run_until(5000);
    let setting = world.kernel.setting;
    world.kernel.change(world.truth, setting, TimeDelta::from_millis(-300));
    // it is seen when the daemon wakes up, a poll later at most
    world.run_until(7000);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    world.kernel.change(world.truth, world.kernel.setting, TimeDelta::from_secs(100));
    world.run_until(12_000);
    assert_eq!(world.said("Forward time jump detected!"), 1, "{:?}", world.log);
    assert!(world.error().abs() < 2e-3, "{}", world.error());
}

#[test]
fn sources_that_die_are_noticed() {
    let mut world = World::new(0.01, 20.0, Settings::default());
    world.server(1, 0.0, "iburst");
    world.run_until(2000);
    for remote in world.remotes.values_mut() {
        remote.up = false;
    }
    world.run_until(20_000);
    assert!(world.error().abs() < 2e-3, "the rate is kept: {}", world.error());
    let facts = world.engine.sources().next().unwrap().1.association.facts();
    assert_eq!(facts.reach.bits(), 0);
}

#[test]
fn maxchange_gives_up_in_the_end() {
    let settings = Settings { maxchange: Some((0.5, 0, 1)), ..Settings::default() };
    let mut world = World::new(10.0, 0.0, settings);
    world.server(1, 0.0, "iburst");
    world.run_until(600);
    assert!(world.gave_up);
    assert!((world.error() - 10.0).abs() < 0.01);
    assert_eq!(world.said("(ignored)"), 1, "{:?}", world.log);
    assert_eq!(world.said("(exiting)"), 1, "{:?}", world.log);
}

#[test]
fn a_rate_that_is_told_by_hand_stays_within_what_the_kernel_can_do() {
    let mut world = World::new(0.0, 0.0, Settings::default());
    let now = world.kernel.at(0);
    for _ in 0..40 {
        world.engine.adjust_by_hand(now, 0.0, 0.01);
        world.act();
    }
    assert!(world.engine.frequency().abs() <= 0.1, "{}", world.engine.frequency());
    assert!(world.kernel.setting.rate().abs() <= 0.1, "{:?}", world.kernel.setting);
}

#[test]
fn the_same_inputs_give_the_same_actions() {
    let run = || {
        let mut world = World::new(0.3, -30.0, Settings::default());
        world.server(1, 0.0, "iburst");
        world.server(2, 0.0, "");
        world.run_until(2000);
        (world.kernel.at(world.truth), world.log, world.sent)
    };
    assert_eq!(run(), run());
}

#[test]
fn names_are_tried_again() {
    let mut world = World::new(0.0, 0.0, Settings::default());
    let now = world.kernel.at(0);
    let [id] = world.engine.add_name(now, &SourceOptions::new(Kind::Server, "ntp.example"))[..] else {
        panic!()
    };
    let mut asked = Vec::new();
    for second in 0..40 {
        world.truth = second * 1_000_000_000;
        let now = world.kernel.at(world.truth);
        world.engine.handle(now, Input::Timer, &mut world.rng);
        while let Some(action) = world.engine.poll() {
            if let Action::Resolve { name, .. } = action {
                asked.push(second);
                let result =
                    if second < 20 { Lookup::Later } else { Lookup::Addresses(vec![address(9).ip()]) };
                world.engine.handle(now, Input::Resolved { name, result }, &mut world.rng);
            }
        }
    }
    assert_eq!(asked, [0, 2, 6, 14, 30]);
    assert_eq!(world.engine.sources().map(|(id, _)| id).collect::<Vec<_>>(), [id]);
}

#[test]
fn a_pool_fills_its_places_and_replaces_the_dead() {
    let mut world = World::new(0.0, 0.0, Settings::default());
    for n in 1..=6 {
        world.remotes.insert(address(n), Remote { ahead: 0.0, up: true });
    }
    let mut pool = SourceOptions::new(Kind::Pool, "pool.example");
    pool.maxsources = 2;
    pool.flags.iburst = true;
    assert_eq!(world.engine.add_name(world.kernel.at(0), &pool).len(), 4);
    world.resolver = (1..=6).map(|n| address(n).ip()).collect();
    world.run_until(600);
    let members = |world: &World| -> Vec<IpAddr> {
        world.engine.sources().map(|(_, s)| s.association.address().ip()).collect()
    };
    let before = members(&world);
    assert_eq!(before.len(), 2, "{before:?}");
    world.remotes.get_mut(&SocketAddr::new(before[0], 123)).unwrap().up = false;
    world.run_until(20_000);
    let after = members(&world);
    assert!(after.len() == 2 && !after.contains(&before[0]) && after.contains(&before[1]), "{after:?}");
    assert!(world.log.iter().any(|line| line.starts_with(&format!("Source {} replaced with", before[0]))));
}

#[test]
fn no_address_is_asked_twice() {
    let mut world = World::new(0.0, 0.0, Settings::default());
    world.server(1, 0.0, "");
    let now = world.kernel.at(0);
    let again = SourceOptions::new(Kind::Server, "10.0.0.1");
    let mut other_port = address(1);
    other_port.set_port(124);
    assert_eq!(world.engine.add_address(now, other_port, &again, &mut world.rng), None);
}

#[test]
fn broadcasts_leave_once_the_clock_is_synchronised() {
    let mut world = World::new(0.0, 0.0, Settings::default());
    world.server(1, 0.0, "iburst");
    let to = SocketAddr::from(([10, 0, 0, 255], 123));
    world.engine.add_broadcast(world.kernel.at(0), to, TimeDelta::from_secs(30), None);
    world.run_until(301);
    assert!((8..=10).contains(&world.broadcasts), "{}", world.broadcasts);
}

#[test]
fn after_a_sleep_everything_is_measured_anew() {
    let mut world = World::new(0.0, 10.0, Settings { makestep: Some((0.1, -1)), ..Settings::default() });
    world.server(1, 0.0, "iburst");
    world.run_until(3000);
    let setting = world.kernel.setting;
    world.kernel.change(world.truth, setting, TimeDelta::from_millis(-700));
    let now = world.kernel.at(world.truth);
    world.engine.handle(now, Input::Suspended, &mut world.rng);
    world.run_until(6000);
    assert!(world.log.contains(&"Forward time jump detected!".to_owned()), "{:?}", world.log);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
}

#[test]
fn a_source_that_waits_for_its_distance_wakes_once() {
    let mut world = World::new(0.0, 0.0, Settings::default());
    for n in 1..=200 {
        world.server(n, 0.0, "");
    }
    let (mut rounds, mut woken, mut sent) = (0, 0, Vec::new());
    while sent.len() < 200 {
        let due = world.engine.next_timeout().unwrap();
        world.truth = world.truth.max(world.kernel.when(due));
        // a loop that is late by a little
        let now = world.kernel.at(world.truth + 1000 * (rounds % 90));
        let timers = world.engine.sources.values().filter_map(|source| source.association.next_timeout());
        woken += timers.filter(|due| *due <= now.mono).count();
        world.engine.handle(now, Input::Timer, &mut world.rng);
        rounds += 1;
        while let Some(action) = world.engine.poll() {
            if let Action::Send { source, .. } = action {
                sent.push((source, now.mono));
            }
        }
    }
    // all at the start, then each for its request and when nobody answers
    assert!(woken <= 4 * 200, "{woken} in {rounds} rounds");
    sent.sort_by_key(|(_, at)| *at);
    let closest = sent.windows(2).map(|pair| pair[1].1 - pair[0].1).min().unwrap();
    assert!(closest >= TimeDelta::from_millis(120), "{closest:?}");
}
