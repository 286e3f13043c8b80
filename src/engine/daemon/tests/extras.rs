//! Leap seconds, reference clocks, dumps.

use super::*;
use crate::engine::daemon::{ClockReading, SourceDump};
use crate::engine::interference::Interference;
use crate::engine::leap::LeapTable;
use crate::engine::options::{LeapSecondMode, Smoothing};
use crate::engine::refclock;

/// From the start of a world to the end of 2026, s.
const TO_NEW_YEAR: i64 = 1_798_761_600 - START;
/// How long before that these worlds begin.
const BEFORE: i64 = 7200;

/// A world that begins two hours before an inserted leap second.
fn before_leap(mode: LeapSecondMode) -> World {
    before_smoothed_leap(mode, None)
}

fn before_smoothed_leap(mode: LeapSecondMode, smoothing: Option<Smoothing>) -> World {
    let list = "3439756800\t34\n3550089600\t35\n3644697600\t36\n3692217600\t37\n4007750400\t38\n";
    let ahead = TimeDelta::from_secs(TO_NEW_YEAR - BEFORE).as_secs_f64();
    let mut world =
        World::new(-ahead, 10.0, Settings { leapsecmode: mode, smoothing, ..Settings::default() });
    world.engine.set_leap_table(LeapTable::parse_list(list));
    world.server(1, ahead, "iburst");
    world
}

/// What the clock lacks, compared with the server, s.
fn lacks(world: &World) -> f64 {
    let ahead = world.remotes[&address(1)].ahead;
    world.error() + ahead
}

fn second_is_inserted(world: &mut World) {
    world.remotes.get_mut(&address(1)).unwrap().ahead -= 1.0;
}

fn has(world: &World, line: &str) -> bool {
    world.log.iter().any(|logged| logged == line)
}

#[test]
fn a_clock_is_left_alone_and_taken_again() {
    let mut world = World::new(0.0, 20.0, Settings::default());
    world.server(1, 0.0, "iburst");
    world.run_until(600);
    assert!(world.error().abs() < 1e-3 && (world.rate_error()).abs() < 2e-6, "{}", world.rate_error());
    let now = world.kernel.at(world.truth);
    world.engine.leave_clock(now);
    world.act();
    // the oscillator changes, and nobody tells the kernel
    let setting = world.kernel.setting;
    world.kernel.change(world.truth, setting, TimeDelta::ZERO);
    world.kernel.oscillator += 30e-6;
    world.run_until(1800);
    assert_eq!(world.kernel.setting, setting);
    assert!(world.error().abs() > 20e-3, "{}", world.error());
    // who asks is told the right time all the same
    let now = world.kernel.at(world.truth);
    let told = world.engine.tracking(now);
    assert!(world.engine.updates() > 0 && told.stratum == 2, "{told:?}");
    let apart = (world.engine.timeline().remaining(now.clock) - world.error()).abs();
    assert!(apart < 2e-3, "{apart}");
    world.engine.take_clock(now, setting);
    world.act();
    world.run_until(4800);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    assert_ne!(world.kernel.setting, setting);
}

#[test]
fn the_kernel_inserts_a_leap_second_and_nothing_is_lost() {
    let mut world = before_leap(LeapSecondMode::System);
    world.run_until(BEFORE);
    assert!(has(&world, "System clock status set to insert leap second"), "{:?}", world.log);
    assert!(has(&world, "System clock TAI offset set to 37 seconds"), "{:?}", world.log);
    let setting = world.kernel.setting;
    world.kernel.change(world.truth, setting, TimeDelta::from_secs(-1));
    second_is_inserted(&mut world);
    let mut worst: f64 = 0.0;
    for minute in 1..60 {
        world.run_until(BEFORE + minute * 60);
        worst = worst.max(lacks(&world).abs());
    }
    assert!(worst < 1e-3, "{worst}");
    assert!(has(&world, "System clock status reset after leap second"), "{:?}", world.log);
    assert!(has(&world, "System clock TAI offset set to 38 seconds"), "{:?}", world.log);
    assert!(
        !world.log.iter().any(|line| line.contains("jump") || line.contains("somebody")),
        "{:?}",
        world.log
    );
}

#[test]
fn a_leap_second_is_stepped_by_us_where_we_are_told_so() {
    let mut world = before_leap(LeapSecondMode::Step);
    world.run_until(BEFORE);
    second_is_inserted(&mut world);
    world.run_until(BEFORE + 1);
    assert!(lacks(&world).abs() < 1e-3, "{}", lacks(&world));
    world.run_until(BEFORE + 3600);
    assert!(lacks(&world).abs() < 1e-3, "{}", lacks(&world));
    assert!(has(&world, "System clock was stepped for leap second"), "{:?}", world.log);
}

#[test]
fn a_leap_second_is_slewed_or_ignored() {
    for (mode, line, lasts) in [
        (LeapSecondMode::Slew, "Adjusting system clock for leap second", 60),
        (LeapSecondMode::Ignore, "Ignoring leap second", 3600),
    ] {
        let mut world = before_leap(mode);
        world.run_until(BEFORE);
        second_is_inserted(&mut world);
        world.run_until(BEFORE + 1);
        assert!(lacks(&world) < -0.5, "{mode:?}: {}", lacks(&world));
        world.run_until(BEFORE + lasts);
        assert!(lacks(&world).abs() < 2e-3, "{mode:?}: {} {:?}", lacks(&world), world.log);
        assert!(has(&world, line), "{mode:?}: {:?}", world.log);
    }
}

#[test]
fn packets_around_a_leap_second_are_dropped() {
    let mut world = before_leap(LeapSecondMode::System);
    world.run_until(BEFORE - 2);
    let now = world.kernel.at(world.truth);
    let from = address(1);
    let input = Input::Symmetric { from, bytes: &[0; 48], received: stamp(now.clock), local: None };
    world.engine.handle(now, input, &mut world.rng);
    world.act();
    assert!(has(&world, "Dropping sample around leap second"), "{:?}", world.log);
    assert_eq!(world.engine.tracking(now).leap, Leap::Unsynchronised);
}

/// Reads a clock that is right once a second; `pulse`: only where the second begins.
fn read_clock(world: &mut World, id: SourceId, second: i64, pulse: bool, noise: f64) {
    world.run_until(second);
    let now = world.kernel.at(world.truth);
    let truth = Timestamp::from_unix(START, 0) + TimeDelta::from_nanos(world.truth);
    let offset = truth - now.clock + TimeDelta::from_secs_f64(noise).unwrap();
    let offset = if pulse { TimeDelta::from_nanos(offset.as_nanos() % 1_000_000_000) } else { offset };
    let reading = ClockReading { at: now.clock, offset, pulse, leap: Leap::None };
    world.engine.handle(now, Input::Clock { source: id, reading }, &mut world.rng);
    world.act();
}

fn noise(second: i64) -> f64 {
    f64::from(i32::try_from(second * 7919 % 21 - 10).unwrap()) * 1e-7
}

#[test]
fn a_reference_clock_alone_steers_the_clock() {
    let mut world = World::new(0.05, 25.0, Settings::default());
    let options = refclock::Options { poll: 2, ..refclock::Options::new(RefId::from_ascii(*b"GPS\0")) };
    let id = world.engine.add_refclock(world.kernel.at(0), options);
    for second in 1..1200 {
        read_clock(&mut world, id, second, false, noise(second));
    }
    assert!(has(&world, "Selected source GPS"), "{:?}", world.log);
    assert!(world.error().abs() < 5e-6, "{}", world.error());
    assert!(world.rate_error().abs() < 1e-6, "{}", world.rate_error());
    let tracking = world.engine.tracking(world.kernel.at(world.truth));
    assert_eq!((tracking.stratum, tracking.refid, tracking.address), (1, RefId::from_ascii(*b"GPS\0"), None));
}

#[test]
fn pulses_take_their_seconds_from_a_server_or_from_the_clock_they_are_locked_to() {
    let pps =
        |lock| refclock::Options { poll: 2, lock, ..refclock::Options::new(RefId::from_ascii(*b"PPS\0")) };
    // a server that is good to a millisecond gives the second
    let mut world = World::new(0.0, 25.0, Settings::default());
    world.server(1, 0.0001, "iburst");
    let id = world.engine.add_refclock(world.kernel.at(0), pps(None));
    for second in 1..1200 {
        read_clock(&mut world, id, second, true, noise(second));
    }
    assert!(has(&world, "Selected source PPS"), "{:?}", world.log);
    assert!(world.error().abs() < 5e-6, "{}", world.error());
    // a serial clock that is 0.1 s late does, too, and is not selected itself
    let mut world = World::new(3.0, 25.0, Settings { makestep: Some((0.1, 3)), ..Settings::default() });
    let nmea = RefId::from_ascii(*b"NMEA");
    let mut serial = refclock::Options::new(nmea);
    serial.flags.noselect = true;
    let slow = world.engine.add_refclock(world.kernel.at(0), serial);
    let id = world.engine.add_refclock(world.kernel.at(0), pps(Some(nmea)));
    for second in 1..600 {
        read_clock(&mut world, slow, second, false, -0.1);
        read_clock(&mut world, id, second, true, noise(second));
    }
    assert!(world.error().abs() < 5e-6, "{}", world.error());
}

#[test]
fn what_was_dumped_is_followed_again_at_once() {
    let mut world = World::new(0.02, 30.0, Settings::default());
    world.server(1, 0.0, "iburst");
    world.run_until(4000);
    let now = world.kernel.at(world.truth);
    let dumps = world.engine.dumps(now);
    assert_eq!(dumps.len(), 1);
    assert!(dumps[0].1.samples.len() >= 6 && dumps[0].1.samples.iter().all(|s| s.offset.abs() < 1e-3));
    // the daemon is gone for five minutes, the kernel's clock goes on as it was set
    let (setting, later) = (world.kernel.setting, world.truth + 300_000_000_000);
    world.truth = later;
    let setup = Setup {
        settings: Settings::default(),
        controlled: true,
        setting,
        drift: None,
        precision: 1e-7,
        serving: Vec::new(),
        released: Timestamp::from_unix(START - 86_400, 0),
        start: Start::Daemon,
        keys: KeyRing::default(),
    };
    world.engine = Engine::new(world.kernel.at(later), setup);
    world.log.clear();
    world.server(1, 0.0, "");
    let now = world.kernel.at(later);
    assert!(world.engine.restore(now, dumps[0].0, &dumps[0].1, &mut world.rng));
    world.act();
    assert_eq!(world.log, ["Loaded dump file for 10.0.0.1", "Selected source 10.0.0.1"]);
    let tracking = world.engine.tracking(now);
    assert_eq!((tracking.stratum, world.engine.updates()), (2, 1));
    assert!((world.engine.frequency() - 30e-6).abs() < 2e-6, "{}", world.engine.frequency());
    // not of another server, nor of this one under another name
    let other = SourceDump { name: "other".to_owned(), ..dumps[0].1.clone() };
    assert!(!world.engine.restore(now, dumps[0].0, &other, &mut world.rng));
    assert!(!world.engine.restore(now, address(9).ip(), &dumps[0].1, &mut world.rng));
}

#[test]
fn an_average_takes_over_when_updates_stop() {
    let mut world = World::new(0.0, 20.0, Settings { fallbackdrift: Some((12, 13)), ..Settings::default() });
    world.server(1, 0.0, "iburst");
    world.run_until(20_000);
    let average = world.engine.frequency();
    assert!((average - 20e-6).abs() < 1e-6, "{average}");
    // the oscillator errs for a while, then nobody answers
    let setting = world.kernel.setting;
    world.kernel.change(world.truth, setting, TimeDelta::ZERO);
    world.kernel.oscillator = 30e-6;
    world.run_until(23_000);
    let last = world.engine.frequency();
    assert!(last > 25e-6, "{last}");
    world.remotes.get_mut(&address(1)).unwrap().up = false;
    world.run_until(23_000 + 4096 + 1100);
    let fallen_back = world.engine.frequency();
    assert!(fallen_back < last - 2e-6 && fallen_back > average, "{average} {fallen_back} {last}");
    let now = world.kernel.at(world.truth);
    assert_eq!(world.engine.tracking(now).leap, Leap::Unsynchronised);
}

#[test]
fn the_temperature_is_compensated_below_the_loop() {
    let model = crate::engine::tempcomp::TempComp::Quadratic { t0: 20.0, k: [0.0, 1.0, 0.0] };
    let mut world = World::new(0.0, 0.0, Settings { tempcomp: Some(model), ..Settings::default() });
    world.server(1, 0.0, "iburst");
    world.run_until(4000);
    // it becomes 2 ppm slower and the sensor says so: the estimate need not move
    let before = world.engine.frequency();
    let setting = world.kernel.setting;
    world.kernel.change(world.truth, setting, TimeDelta::ZERO);
    world.kernel.oscillator = -2e-6;
    let now = world.kernel.at(world.truth);
    world.engine.handle(now, Input::Temperature(22.0), &mut world.rng);
    world.act();
    assert!(world.rate_error().abs() < 1e-7, "{}", world.rate_error());
    world.engine.handle(now, Input::Temperature(1000.0), &mut world.rng);
    world.act();
    assert!(world.rate_error().abs() < 1e-7, "absurd: {}", world.rate_error());
    world.run_until(8000);
    assert!((world.engine.frequency() - before).abs() < 2e-7 && world.error().abs() < 1e-4);
}

#[test]
fn a_foreign_rate_is_undone_and_where_its_effect_is_unknown_everything_is_measured_anew() {
    for moved in [Some(TimeDelta::ZERO), None] {
        let mut world = World::new(0.0, 10.0, Settings::default());
        let id = world.server(1, 0.0, "iburst");
        world.run_until(2000);
        let ours = world.kernel.setting;
        let setting = KernelRate { tick: 10_001, freq: 0 };
        world.kernel.change(world.truth, setting, TimeDelta::ZERO);
        let now = world.kernel.at(world.truth);
        let found = Interference { setting, moved };
        world.engine.handle(now, Input::Interference(found), &mut world.rng);
        world.act();
        assert!((world.kernel.setting.rate() - ours.rate()).abs() < 1e-6, "{:?}", world.kernel.setting);
        let samples = world.engine.source(id).unwrap().association.register().len();
        assert_eq!(samples == 0, moved.is_none(), "{samples}");
        world.run_until(3000);
        assert!(world.error().abs() < 1e-3, "{}", world.error());
        let said = world.log.iter().filter(|line| line.contains("interference")).count();
        assert_eq!(said, 1, "{:?}", world.log);
    }
}

#[test]
fn two_that_fight_for_the_clock_do_not_fill_the_log() {
    let mut world = World::new(0.0, 10.0, Settings::default());
    world.server(1, 0.0, "iburst");
    world.run_until(2000);
    let interfere = |world: &mut World, secs: i64| {
        world.run_until(secs);
        let setting = KernelRate { tick: 10_001, freq: 0 };
        world.kernel.change(world.truth, setting, TimeDelta::ZERO);
        let found = Interference { setting, moved: Some(TimeDelta::ZERO) };
        world.engine.handle(world.kernel.at(world.truth), Input::Interference(found), &mut world.rng);
        world.act();
        world.said("interference")
    };
    for n in 0..100 {
        assert_eq!(interfere(&mut world, 2010 + n * 16), 1);
    }
    assert_eq!(interfere(&mut world, 6000), 2);
    world.run_until(7000);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
}

#[test]
fn a_leap_second_is_smeared_for_clients_where_time_is_smoothed() {
    let smear = Smoothing { max_freq: 400.0, max_wander: 0.5, leap_only: true };
    for smoothing in [Some(smear), None] {
        let mut world = before_smoothed_leap(LeapSecondMode::Slew, smoothing);
        // what clients are told, and how far it is behind the server
        let told = |world: &World| {
            let now = world.kernel.at(world.truth);
            let served = world.engine.served(now);
            (served.leap, lacks(world) - (served.served(now.clock) - now.clock).as_secs_f64())
        };
        world.run_until(BEFORE - 10);
        let (leap, before) = told(&world);
        assert!(before.abs() < 1e-3, "{before}");
        assert_eq!(
            leap == Leap::None,
            smoothing.is_some(),
            "who gets a smear does not hear of the leap second"
        );
        world.run_until(BEFORE);
        second_is_inserted(&mut world);
        world.run_until(BEFORE + 10);
        let mut last = told(&world).1;
        assert!((last + f64::from(u8::from(smoothing.is_some()))).abs() < 5e-3, "{last}");
        for second in 11..5000 {
            world.run_until(BEFORE + second);
            let here = told(&world).1;
            assert!((here - last).abs() < 450e-6, "{second}: {last} {here}");
            last = here;
        }
        assert!(last.abs() < 2e-3, "{last}");
        assert_eq!(world.said("Adjusting system clock for leap second"), 1);
    }
}

#[test]
fn an_address_is_looked_up_again_after_refresh() {
    let address_after = |refresh| {
        let mut world = World::new(0.0, 0.0, Settings { refresh, ..Settings::default() });
        for n in [1, 2] {
            world.remotes.insert(address(n), Remote { ahead: 0.0, up: true });
        }
        world.resolver = vec![address(1).ip()];
        world.engine.add_name(world.kernel.at(0), &SourceOptions::new(Kind::Server, "ntp.example"));
        world.run_until(1000);
        world.resolver = vec![address(2).ip()];
        world.run_until(5000);
        let (_, source) = world.engine.sources().next().unwrap();
        source.association.address()
    };
    assert_eq!(
        (address_after(2000), address_after(1_209_600), address_after(0)),
        (address(2), address(1), address(1))
    );
}

#[test]
fn the_kernel_counts_as_synchronised_with_rtcsync_only() {
    for rtcsync in [true, false] {
        let mut world = World::new(0.0, 10.0, Settings { rtcsync, ..Settings::default() });
        world.server(1, 0.0, "iburst");
        world.run_until(1000);
        assert_eq!(world.kernel_synchronised, Some(rtcsync));
    }
}
