//! Scenarios: what others see of a daemon (orphan mode, smoothed time), and what happens when nobody is followed.

use ntpbox::engine::options::{Kind, LeapSecondMode, Local, Settings, Smoothing, Source};
use ntpbox::engine::server::Snapshot;
use ntpbox::types::RefId;

use super::daemon::{Config, Daemon};
use super::host::{Clock, OscillatorSpec};
use super::link::{Delay, Path};
use super::metrics::Metrics;
use super::rng::Stream;
use super::s0_conditions::{honest, quick, servers};
use super::scenario::{CLIENT, Run, Scenario};
use super::server::{Conduct, Server};
use super::world::{HostId, World};

/// What clients of a daemon are told now.
fn served(world: &World, host: HostId) -> Snapshot {
    let daemon: &Daemon = world.node(host).expect("a daemon");
    daemon.engine().served(world.clock(host).now())
}

/// How far the time that is served is ahead of the truth, s.
fn served_error(run: &Run) -> f64 {
    let now = run.world.clock(CLIENT).now().clock;
    let snapshot = run.daemon().engine().served(run.world.clock(CLIENT).now());
    run.error() + (snapshot.served(now) - now).as_secs_f64()
}

/// Two daemons that ask each other and a time server (host 0) that goes away after an hour; the second of them goes deaf.
fn two_orphans(orphan: bool, deaf: (i64, i64)) -> World {
    let local =
        Local { stratum: 10, orphan, distance: 0.01, activate: 0.0, waitsynced: 0.0, waitunsynced: 300.0 };
    let mut world = World::default();
    let conduct = Conduct { silent: (3600, i64::MAX), ..honest() };
    world.add(Clock::perfect(), Box::new(Server::new(conduct, 0x4750_5300)), Stream::new(1, 1));
    for (host, other, rate) in [(1_u8, 2, 10e-6), (2, 1, -15e-6)] {
        let source = |name: HostId, kind| {
            let mut source = Source::new(kind, &format!("10.0.0.{name}"));
            (source.minpoll, source.maxpoll, source.flags.iburst) = (6, 6, true);
            (name, source)
        };
        let daemon = Daemon::new(Config {
            settings: Settings { local: Some(local), ..Settings::default() },
            sources: vec![source(0, Kind::Server), source(other, Kind::Server)],
            precision: 1e-7,
            drift: None,
            refuses_from: i64::MAX,
            observes: false,
            own: [10, 0, 0, host],
            deaf: if host == 1 { deaf } else { (0, 0) },
        });
        let oscillator = OscillatorSpec { rate, wander: 1e-9, ..OscillatorSpec::default() };
        let metrics = Metrics::new(0, (0, 0), 1e-3, 0);
        let clock = Clock::new(0.0, oscillator, Stream::new(1, u64::from(host)), metrics);
        world.add(clock, Box::new(daemon), Stream::new(1, 100 + u64::from(host)));
    }
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
        let delays = vec![Delay::Fixed(100e-6), Delay::Exponential(50e-6)];
        world.connect(from, to, Path::new(delays, Stream::new(1, (1000 + from * 10 + to) as u64)));
    }
    world
}

#[test]
fn s301_of_two_orphans_one_serves_and_the_other_follows_it() {
    let mut world = two_orphans(true, (30_000, 50_000));
    world.run(3000);
    assert_eq!([1, 2].map(|host| served(&world, host).stratum.get()), [2, 2]);
    // the server has gone: the root distance grows until the one of the smaller address serves
    world.run(29_000);
    assert_eq!([1, 2].map(|host| served(&world, host).stratum.get()), [10, 11], "{:?}", {
        let daemon: &Daemon = world.node(2).unwrap();
        (daemon.letters(), daemon.log.clone())
    });
    assert_eq!(served(&world, 2).refid, RefId::from_ipv4([10, 0, 0, 1].into()));
    let apart = (world.clock(1).error() - world.clock(2).error()).abs();
    assert!(apart < 1e-3, "{apart}");
    // who serves goes away: the other takes over, and gives it back
    world.run(49_000);
    assert_eq!(served(&world, 2).stratum.get(), 10);
    world.run(56_000);
    assert_eq!([1, 2].map(|host| served(&world, host).stratum.get()), [10, 11]);
    let apart = (world.clock(1).error() - world.clock(2).error()).abs();
    assert!(apart < 1e-2, "{apart}");
}

#[test]
fn s302_without_the_word_orphan_both_serve_for_themselves() {
    let mut world = two_orphans(false, (0, 0));
    world.run(29_000);
    let strata = [1, 2].map(|host| served(&world, host).stratum.get());
    assert_ne!(strata, [10, 11], "the option makes no difference");
}

#[test]
fn s303_smoothtime_serves_no_jump() {
    let smoothing = Smoothing { max_freq: 400.0, max_wander: 1.0, leap_only: false };
    let scenario = |smoothing| {
        let conduct = Conduct { lie: (3000, 50_000_000), ..honest() };
        let settings = Settings { smoothing, ..quick().settings };
        Scenario { servers: servers(&[conduct]), settings, polls: (6, 6), limit: 6000, ..quick() }
    };
    let (with, without) = (scenario(Some(smoothing)), scenario(None));
    assert_eq!(with.until(60).daemon().said("Activated time smoothing"), 1);
    // the server jumps by 50 ms: those who are not smoothed are there in two minutes
    let (a, b) = (served_error(&with.until(3200)), served_error(&without.until(3200)));
    assert!(a < 0.03 && (b - 0.05).abs() < 1e-3, "{a} {b}");
    // what is served moves by less than the limit, second by second
    let mut run = with.until(2990);
    let mut before = served_error(&run);
    assert!(before.abs() < 1e-3, "{before}");
    for second in 2991..3500 {
        run.world.run(second);
        let here = served_error(&run);
        assert!((here - before).abs() < 450e-6, "{second}: {before} {here}");
        before = here;
    }
    assert_eq!(served(&run.world, CLIENT).refid, RefId::from_bits(0x7F7F_01FF));
    run.world.run(6000);
    assert!((served_error(&run) - 0.05).abs() < 1e-3, "{}", served_error(&run));
}

#[test]
fn s304_smoothtime_leaponly_leaves_the_rest_alone() {
    let smoothing = Smoothing { max_freq: 400.0, max_wander: 1.0, leap_only: true };
    let conduct = Conduct { lie: (3000, 50_000_000), ..honest() };
    let settings =
        Settings { smoothing: Some(smoothing), leapsecmode: LeapSecondMode::Slew, ..quick().settings };
    let scenario = Scenario { servers: servers(&[conduct]), settings, polls: (6, 6), limit: 6000, ..quick() };
    let run = scenario.until(3200);
    assert_eq!(run.daemon().said("Activated time smoothing (leap seconds only)"), 1);
    assert!((served_error(&run) - 0.05).abs() < 1e-3, "{}", served_error(&run));
}

#[test]
fn s305_fallbackdrift_brings_an_average_back() {
    // the oscillator runs 2 ppm faster from 20 000 s on, and nobody answers from 21 000 s on
    let scenario = |fallbackdrift| {
        let conduct = Conduct { silent: (21_000, i64::MAX), ..honest() };
        let oscillator =
            OscillatorSpec { rate: 20e-6, rate_step: (20_000, 2e-6), ..OscillatorSpec::default() };
        let settings = Settings { fallbackdrift, ..quick().settings };
        Scenario {
            servers: servers(&[conduct]),
            oscillator,
            settings,
            polls: (6, 6),
            limit: 40_000,
            ..quick()
        }
    };
    let frequency = |run: &Run| run.daemon().engine().frequency() * 1e6;
    let (kept, average) =
        (frequency(&scenario(None).follow()), frequency(&scenario(Some((13, 14))).follow()));
    assert!((kept - 22.0).abs() < 0.2, "{kept}");
    assert!(average > 20.0 && average < kept - 0.5, "{average} {kept}");
}

#[test]
fn s306_reselectdist_keeps_the_selected_source() {
    // the second server is a little nearer, and comes later
    let selected = |distance| {
        let late = Conduct { silent: (0, 1500), ..honest() };
        let settings = Settings { reselectdist: distance, combinelimit: 0.0, ..quick().settings };
        let mut scenario =
            Scenario { servers: servers(&[honest(), late]), settings, polls: (4, 4), limit: 9000, ..quick() };
        scenario.servers[0].up[0] = Delay::Fixed(2e-3);
        scenario.servers[0].down[0] = Delay::Fixed(2e-3);
        scenario.follow().selected().find('*')
    };
    assert_eq!((selected(1e-4), selected(1.0)), (Some(1), Some(0)));
}
