//! Scenarios: what the world does to a daemon with chrony's defaults.

use super::daemon::{Daemon, OWN, daemon};
use super::host::OscillatorSpec;
use super::link::Delay;
use super::matrix::makestep;
use super::scenario::{CLIENT, Scenario, ServerSpec};
use super::server::Conduct;

/// This many servers on the default path, with this conduct.
pub(crate) fn servers(conducts: &[Conduct]) -> Vec<ServerSpec> {
    let server = ServerSpec::alike(vec![Delay::Fixed(100e-6), Delay::Exponential(100e-6)]);
    conducts.iter().map(|conduct| ServerSpec { conduct: conduct.clone(), ..server.clone() }).collect()
}

/// Tells the time with this error (ms) from the beginning.
pub(crate) fn liar(ms: i64) -> Conduct {
    Conduct { lie: (0, ms * 1_000_000), ..Conduct::default() }
}

pub(crate) fn honest() -> Conduct {
    Conduct::default()
}

/// Three seconds of bursts instead of minutes, and a step at the start.
pub(crate) fn quick() -> Scenario {
    Scenario { iburst: true, settings: makestep(Some((1.0, 3))), ..Scenario::default() }
}

#[test]
fn s001_a_default_start_is_right_after_two_minutes() {
    for (error, rate) in [(-0.1, 100e-6), (0.1, -100e-6)] {
        let oscillator = OscillatorSpec { rate, wander: 1e-9, ..OscillatorSpec::default() };
        let scenario = Scenario { error, oscillator, ..Scenario::default() };
        let early = scenario.until(120);
        assert!((early.error() - error).abs() < 0.02, "moved before the third sample");
        let run = scenario.follow();
        assert!((120..=210).contains(&run.synced_at()), "{}", run.synced_at());
        assert!(scenario.until(210).rate_error().abs() < 5e-4);
        assert!(run.rms_offset() < 1e-4 && run.max_offset() < 3e-4);
        assert_eq!(run.selected(), "*");
        assert!(run.daemon().steps.is_empty());
        let (low, high) = run.poll_range(1, 0.0);
        assert!(low >= 64.0 && high <= 1024.0 * 1.03, "{low} {high}");
    }
}

#[test]
fn s002_100_seconds_are_slewed_at_a_twelfth() {
    let run = Scenario { error: -100.0, ..Scenario::default() }.follow();
    assert!((1300..=1400).contains(&run.synced_at()), "{}", run.synced_at());
    assert!(run.daemon().fastest < 1.0 / 12.0 + 2e-4, "{}", run.daemon().fastest);
    assert!(run.daemon().fastest > 0.083);
}

#[test]
fn s003_an_initial_burst_brings_the_clock_home_in_seconds() {
    let run = Scenario { error: 3.0, ..quick() }.follow();
    assert!(run.synced_at() < 10, "{}", run.synced_at());
    assert_eq!(run.daemon().steps.len(), 1);
    assert!((run.daemon().steps[0] + 3.0).abs() < 1e-3);
}

#[test]
fn s004_lost_and_doubled_packets_cost_samples_only() {
    let lossy = Scenario { loss: 0.3, ..quick() }.follow();
    assert!(lossy.synced_at() < 400 && lossy.max_offset() < 1e-3);
    let doubled = Scenario { duplication: 1.0, ..quick() }.follow();
    assert!(doubled.synced_at() < 10 && doubled.max_offset() < 3e-4);
    assert!(doubled.daemon().samples <= doubled.requests(1), "a reply was used twice");
}

#[test]
fn s005_replayed_and_forged_replies_are_nothing() {
    let conduct = Conduct { hostile: true, ..honest() };
    let run = Scenario { servers: servers(&[conduct]), ..quick() }.follow();
    let clean = quick().follow();
    assert!(run.synced_at() < 10 && run.max_offset() < 3e-4);
    assert!(run.requests(1).abs_diff(clean.requests(1)) <= 2, "{} {}", run.requests(1), clean.requests(1));
    assert!(run.daemon().samples.abs_diff(clean.daemon().samples) <= 2);
}

#[test]
fn s006_a_liar_is_found_out() {
    for lie in [1000, -1000, 10] {
        let servers = servers(&[honest(), liar(lie), honest()]);
        let run = Scenario { servers, ..quick() }.follow();
        assert!(run.max_offset() < 5e-4, "{lie} ms: {}", run.max_offset());
        assert_eq!(run.selected().chars().nth(1), Some('x'), "{lie}");
        let said = run.daemon().said("Detected falseticker 10.0.0.2");
        assert!((1..=2).contains(&said), "{lie}: {:?}", run.daemon().log);
    }
}

#[test]
fn s007_a_majority_of_liars_is_believed_and_liars_without_one_are_not() {
    let all = servers(&[honest(), liar(2000), liar(2000)]);
    let run = Scenario { servers: all, ..quick() }.follow();
    assert!((run.error() - 2.0).abs() < 1e-3, "{}", run.error());
    assert!(run.selected().starts_with('x'));
    let all = servers(&[honest(), liar(2000), liar(-2000)]);
    let run = Scenario { servers: all, error: 0.0, ..quick() }.follow();
    assert_eq!((run.selected().as_str(), run.daemon().engine().updates()), ("xxx", 0));
    assert_eq!(run.daemon().said("Can't synchronise: no majority"), 1);
}

#[test]
fn s008_a_source_that_stops_leaves_the_clock_its_rate() {
    let conduct = Conduct { silent: (5000, i64::MAX), ..honest() };
    let run = Scenario { servers: servers(&[conduct]), limit: 20_000, ..quick() }.follow();
    assert!(run.error().abs() < 5e-3, "{}", run.error());
    assert!(run.rate_error().abs() < 5e-7, "{}", run.rate_error());
    let daemon = run.daemon();
    let facts = daemon.engine().sources().next().unwrap().1.association.facts();
    assert_eq!(facts.reach.bits(), 0);
}

#[test]
fn s009_a_source_that_comes_back_is_used_again() {
    let conduct = Conduct { silent: (3000, 6000), ..honest() };
    let run = Scenario { servers: servers(&[conduct]), polls: (6, 6), ..quick() }.follow();
    assert!(run.error().abs() < 2e-4, "{}", run.error());
    assert_eq!(run.selected(), "*");
}

#[test]
fn s010_when_the_best_of_three_stops_the_others_carry_on() {
    let stops = Conduct { silent: (4000, i64::MAX), ..honest() };
    let run = Scenario { servers: servers(&[stops, honest(), honest()]), polls: (6, 6), ..quick() }.follow();
    assert!(run.max_offset() < 3e-4, "{}", run.max_offset());
    let letters = run.selected();
    assert!(letters[1..].contains('*'), "{letters}");
}

#[test]
fn s011_a_kiss_of_death_makes_it_ask_less() {
    let conduct = Conduct { kiss_at: Some(10), ..honest() };
    let scenario =
        Scenario { servers: servers(&[conduct]), polls: (6, 6), limit: 4000, ..Scenario::default() };
    let run = scenario.follow();
    assert!(run.poll_range(1, 500.0).1 > 200.0, "{:?}", run.poll_range(1, 500.0));
    assert_eq!(run.selected(), "*");
}

#[test]
fn s012_who_says_that_he_is_not_synchronised_is_not_followed() {
    let conduct = Conduct { stratum: 16, ..honest() };
    let run = Scenario { servers: servers(&[conduct]), ..quick() }.follow();
    assert_eq!(run.daemon().engine().updates(), 0);
    assert!(run.error() > 0.5, "the clock was left alone: {}", run.error());
}

#[test]
fn s013_the_clock_stepped_by_somebody_else_is_put_right() {
    for nanos in [-300_000_000, 300_000_000] {
        let step = Some((5000, nanos));
        let scenario = Scenario { foreign_step: step, quiet_from: 5001, polls: (6, 6), ..quick() };
        let run = scenario.follow();
        assert!(run.synced_at() < 400, "{nanos}: {}", run.synced_at());
        assert!(run.daemon().steps.is_empty());
    }
}

#[test]
fn s014_a_longer_route_is_learnt() {
    let route = |delays: &mut Vec<Delay>| delays.push(Delay::Route(4000, 100_000, 3e-3));
    let mut server = ServerSpec::alike(vec![Delay::Fixed(5e-3), Delay::Exponential(100e-6)]);
    route(&mut server.up);
    route(&mut server.down);
    let base = Scenario { polls: (6, 6), limit: 12_000, settle: 2000, ..quick() };
    let both = Scenario { servers: vec![server.clone()], ..base.clone() }.follow();
    assert!(both.max_offset() < 3e-4, "{}", both.max_offset());
    server.down.pop();
    let one = Scenario { servers: vec![server], ..base }.follow();
    assert!(one.error().abs() < 1e-3, "the clock knows better: {}", one.error());
}

#[test]
fn s015_the_same_seed_is_the_same_run() {
    let scenario = Scenario { loss: 0.1, servers: servers(&[honest(), liar(500), honest()]), ..quick() };
    let run = |seed| {
        let mut world = scenario.build(seed, &daemon);
        world.run(5000);
        let sent: Vec<Vec<f64>> = (1..=3).map(|server| world.sent(CLIENT, server)).collect();
        (sent, world.clock(CLIENT).error())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn s016_a_kernel_that_refuses_leaves_an_observer() {
    for second in [0, 3000] {
        let scenario = Scenario { refuses_from: second, polls: (6, 6), ..quick() };
        let run = scenario.follow();
        let daemon = run.daemon();
        assert_eq!((daemon.refusals, daemon.said("cannot be controlled")), (1, 1), "{:?}", daemon.log);
        // the kernel's clock runs away, what is told to clients does not
        let now = run.world.clock(CLIENT).now();
        let told = (daemon.engine().timeline().estimated(now.clock) - now.clock).as_secs_f64();
        assert!((run.error() + told).abs() < 1e-3, "{} {told}", run.error());
        assert!(daemon.engine().updates() > 100 && run.selected() == "*");
    }
}

#[test]
fn s017_after_a_leap_of_minutes_everything_is_measured_anew() {
    for (seconds, way) in [(300, "Forward"), (-300, "Backward")] {
        let step = Some((3000, seconds * 1_000_000_000));
        let settings = makestep(Some((1.0, -1)));
        let scenario = Scenario { foreign_step: step, quiet_from: 3001, polls: (6, 6), settings, ..quick() };
        let run = scenario.follow();
        assert_eq!(run.daemon().said(way), 1, "{:?}", run.daemon().log);
        assert!(run.synced_at() < 600, "{}", run.synced_at());
        assert_eq!(run.daemon().steps.len(), 1, "{:?}", run.daemon().steps);
    }
}

#[test]
fn s018_who_follows_us_is_not_followed() {
    let conduct = |refid, stratum| Conduct { refid: Some(refid), stratum, ..honest() };
    let run = Scenario { servers: servers(&[conduct(OWN, 2)]), ..quick() }.follow();
    assert_eq!((run.daemon().samples, run.daemon().engine().updates()), (0, 0), "{}", run.selected());
    // a stratum-1 server may call its clock what it likes
    let other = Scenario { servers: servers(&[conduct([10, 0, 0, 201], 2)]), ..quick() }.follow();
    assert!(other.daemon().engine().updates() > 10);
}

#[test]
fn s019_a_server_that_jumps_is_followed_when_it_is_alone_and_dropped_when_it_is_not() {
    let jumps = Conduct { lie: (4000, 50_000_000), ..honest() };
    let base = Scenario { polls: (6, 6), limit: 12_000, ..quick() };
    let alone = Scenario { servers: servers(std::slice::from_ref(&jumps)), ..base.clone() }.follow();
    assert!((alone.error() - 0.05).abs() < 1e-3, "{}", alone.error());
    let run = Scenario { servers: servers(&[jumps, honest(), honest()]), ..base }.follow();
    assert!(run.max_offset() < 1e-3, "{}", run.max_offset());
    assert!(run.selected().starts_with('x'), "{}", run.selected());
}

#[test]
fn s020_an_absurd_server_has_no_effect() {
    for (root, selected) in [((0.0, 20.0), "M"), ((7.0, 0.0), "d"), ((0.0, 5.0), "d")] {
        let run = Scenario { servers: servers(&[Conduct { root, ..honest() }]), ..quick() }.follow();
        assert_eq!((run.selected().as_str(), run.daemon().engine().updates()), (selected, 0), "{root:?}");
    }
}

#[test]
fn s021_a_rate_that_somebody_else_sets_is_noticed_and_undone() {
    for (more, polls) in [(100e-6, (6, 6)), (-100e-6, (6, 10)), (2000e-6, (6, 6)), (-0.02, (4, 4))] {
        let quiet = Scenario { polls, quiet_from: 5001, ..quick() };
        let run = Scenario { foreign_rate: Some((5000, more)), ..quiet.clone() }.follow();
        assert_eq!(
            run.daemon().said("System clock interference detected (another NTP client?)"),
            1,
            "{more}"
        );
        assert_eq!((run.daemon().said("time jump"), run.daemon().steps.len()), (0, 0), "{more}");
        // it runs away until it is seen, and comes back by itself
        let wait = f64::from(1 << polls.1);
        let clean = quiet.follow();
        assert!(
            run.max_offset() < more.abs() * wait * 1.1 + clean.max_offset(),
            "{more}: {}",
            run.max_offset()
        );
        assert!(run.synced_at() < 2500, "{more}: {}", run.synced_at());
        assert!(run.error().abs() < clean.error().abs() + 5e-5, "{more}: {} {}", run.error(), clean.error());
        assert_eq!(run.selected(), "*");
        // no measurement was lost for it
        assert!(run.daemon().samples + 3 >= clean.daemon().samples, "{more}");
    }
}

#[test]
fn s022_of_many_sources_the_liars_are_found_and_the_lost_are_left() {
    // more than are judged with every sample
    let gone = Conduct { silent: (900, i64::MAX), ..honest() };
    let conducts: Vec<Conduct> = (0..60)
        .map(|number| match number % 5 {
            1 => liar(30),
            2 => gone.clone(),
            _ => honest(),
        })
        .collect();
    let run = Scenario { servers: servers(&conducts), ..quick() }.until(1800);
    assert!(run.synced_at() < 15, "{}", run.synced_at());
    assert!(run.max_offset() < 5e-4, "{}", run.max_offset());
    let letters = run.selected();
    assert!(letters.matches('x').count() == 12 && letters.matches('*').count() == 1, "{letters}");
    // each once, or again after another source was selected
    let said = run.daemon().said("Detected falseticker");
    assert!((12..=24).contains(&said), "{:?}", run.daemon().log);
}

#[test]
fn s023_many_sources_synchronise_as_soon_as_few() {
    let after = |count: usize| {
        let servers = servers(&vec![honest(); count]);
        Scenario { servers, iburst: false, ..quick() }.until(1800).synced_at()
    };
    let few = after(4);
    let many = after(60);
    // the requests of a start keep 0.2 s apart: the last of 60 leaves 12 s after the first
    assert!(many <= few + 20, "{many} s, with few {few} s");
}

#[test]
fn s024_an_observer_takes_the_hand_that_steers_the_clock_into_account() {
    // somebody else's daemon slews by 50 ms and corrects the frequency; from the start, or once our own hand was refused
    for (observes, refuses_from) in [(true, i64::MAX), (false, 3000)] {
        let scenario = Scenario { observes, refuses_from, polls: (6, 6), ..quick() };
        let mut world = scenario.build(1, &daemon);
        for (second, more) in [(5000, 500e-6), (5100, -550e-6), (7000, 20e-6), (8000, -20e-6)] {
            world.rate_at(second, CLIENT, more);
        }
        let mut worst = 0.0_f64;
        for second in 4000..9000 {
            world.run(second);
            // what it has not seen yet it cannot know
            if [(5000, 5170), (7000, 7070), (8000, 8070)].iter().any(|(a, b)| (*a..*b).contains(&second)) {
                continue;
            }
            let client: &Daemon = world.node(CLIENT).unwrap();
            let clock = world.clock(CLIENT);
            let now = clock.now();
            let told = (client.engine().timeline().estimated(now.clock) - now.clock).as_secs_f64();
            worst = worst.max((clock.error() + told).abs());
        }
        assert!(worst < 3e-4, "{observes}: {worst}");
        let client: &Daemon = world.node(CLIENT).unwrap();
        assert_eq!(
            (client.said("interference"), client.said("jump"), client.letters().as_str()),
            (0, 0, "*")
        );
        if observes {
            // what the clock does now, not what the oscillator would do by itself
            let rate = world.clock(CLIENT).rate_error();
            assert!((client.engine().frequency() - rate).abs() < 1e-6, "{rate}");
        }
    }
}
