//! Schedule, samples and options of a client.

use super::*;

fn near(value: f64, expected: f64) -> bool {
    (1.0..1.021).contains(&(value / expected))
}

#[test]
fn a_daemon_asks_after_200_ms_and_then_at_its_poll_interval() {
    let mut world = World::new(&options());
    world.run(300.0);
    assert!((world.requests[0] - 0.2).abs() < 1e-9);
    assert_eq!(world.requests.len(), 5);
    assert!(world.gaps().iter().all(|gap| near(*gap, 64.0)), "{:?}", world.gaps());
    let facts = world.facts();
    assert_eq!((facts.reach.bits(), facts.reach_size), (0b1_1111, 5));
    assert_eq!((facts.counters.sent, facts.counters.valid, facts.counters.good), (5, 5, 5));
    assert_eq!(facts.counters.sent_stamps, (5, 0));
}

#[test]
fn an_initial_burst_has_gaps_of_2_2_and_16_seconds() {
    let mut options = options();
    options.flags.iburst = true;
    let mut world = World::new(&options);
    world.run(25.0);
    let gaps = world.gaps();
    assert_eq!(gaps.len(), 3, "{gaps:?}");
    for (gap, expected) in gaps.iter().zip([2.0, 2.0, 16.0]) {
        assert!(near(*gap, expected), "{gaps:?}");
    }
    assert_eq!(world.facts().activity, Activity::Online);
    world.run(90.0);
    assert!(near(world.gaps()[3], 64.0));
    let mut world = World::starting(&options, Start::AtOnce);
    world.run(10.0);
    assert!(world.requests[0] == 0.0 && world.gaps().iter().all(|gap| near(*gap, 2.0)), "{:?}", world.gaps());
    assert_eq!(world.requests.len(), 4);
}

#[test]
fn a_burst_without_answers_ends_after_eight_requests() {
    let mut options = options();
    options.flags.iburst = true;
    let mut world = World::new(&options);
    world.path = Box::new(|_| None);
    world.run(1.0);
    assert_eq!(world.facts().activity, Activity::BurstOnline);
    world.run(40.0);
    assert_eq!(world.requests.len(), 8);
    assert_eq!((world.facts().reach.bits(), world.facts().reach_size), (0, 7));
    assert!(world.samples.is_empty());
}

#[test]
fn offset_and_frequency_are_found_and_a_better_stamp_of_the_request_counts() {
    let mut world = World::new(&options());
    world.behind = 12.5;
    world.gain = 30e-6;
    world.path = Box::new(|_| Some((1e-3, 1e-3)));
    world.run(64.0 * 12.0);
    let line = world.timeline.line();
    let statistics = world.association.register().statistics(world.free(), &line);
    let true_offset = 12.5 - 30e-6 * world.now;
    assert!((statistics.offset.get() - true_offset + 25e-6).abs() < 2e-6, "{statistics:?}");
    assert!((statistics.residual_frequency.ppm() - 30.0).abs() < 0.01, "{statistics:?}");
    assert!(statistics.samples >= 6 && statistics.skew < 1e-7, "{statistics:?}");
    let packet = world.packets.last().unwrap();
    assert_eq!((packet.sent_by, packet.received_by), (Stamper::Kernel, Stamper::Kernel));
    assert_eq!(packet.tests.to_string(), "111 111 1111");
    assert!((packet.delay.get() - 2.05e-3).abs() < 1e-6 && (packet.response_time.get() - 30e-6).abs() < 1e-6);
    // without it the 20 µs that the request waited in the host are half in the offset
    world.kernel = false;
    world.run(64.0 * 14.0);
    assert!((world.packets.last().unwrap().delay.get() - 2.07e-3).abs() < 1e-6);
    assert_eq!(world.packets.last().unwrap().sent_by, Stamper::Daemon);
}

#[test]
fn steps_and_slews_between_request_and_reply_do_not_disturb_the_sample() {
    let mut world = World::new(&options());
    world.path = Box::new(|_| Some((0.5, 0.5)));
    let reply = world.intercept();
    // stepped by an hour while the request was under way, and slewed at 8 % after it
    let before = world.clock(world.now - 0.2);
    world.timeline.stepped(before, TimeDelta::from_secs(3600));
    world.behind -= 3600.0;
    let stepped = world.clock(world.now - 0.2);
    world.timeline.rate_set(stepped, KernelRate::nearest(0.08));
    let received = Stamp {
        at: stepped + TimeDelta::from_secs_f64(0.2 * 1.08).unwrap(),
        by: Stamper::Kernel,
        error: Secs::ZERO,
    };
    world.handle(Event::Reply { bytes: &reply, received, local: None });
    let sample = world.samples[0];
    assert!(sample.offset.abs() < TimeDelta::from_micros(30), "{sample:?}");
    assert!((sample.delay.as_secs_f64() - 1.0).abs() < 60e-6, "{sample:?}");
}

#[test]
fn a_request_reveals_nothing() {
    let mut world = World::new(&options());
    let mut context = Context {
        now: Now { clock: START, mono: World::mono(0.2) },
        timeline: &world.timeline,
        keys: &world.keys,
        host: &world.host,
        earliest: MonoTime::ZERO,
        rng: &mut world.rng,
    };
    world.association.handle(&mut context, Event::Timer);
    let Some(Effect::Send { bytes, port, .. }) = world.association.poll() else { panic!() };
    let header = Header::parse(&bytes).unwrap();
    assert_eq!((bytes.len(), bytes[0], port), (48, 0x23, Port::Fresh));
    assert_eq!(&bytes[1..4], &[0, 6, 32]);
    assert!(bytes[4..40].iter().all(|byte| *byte == 0));
    assert!((header.transmit.to_timestamp(START) - START).abs() > TimeDelta::from_secs(3600));
}

#[test]
fn requests_wait_for_their_turn() {
    let mut world = World::new(&options());
    let mut context = Context {
        now: Now { clock: START, mono: World::mono(0.2) },
        timeline: &world.timeline,
        keys: &world.keys,
        host: &world.host,
        earliest: World::mono(0.35),
        rng: &mut world.rng,
    };
    world.association.handle(&mut context, Event::Timer);
    assert_eq!(world.association.poll(), None);
    assert_eq!(world.association.next_timeout(), Some(World::mono(0.35)));
}

#[test]
fn offline_ends_everything_and_online_begins_anew() {
    let mut options = options();
    options.flags.offline = true;
    let mut world = World::new(&options);
    assert_eq!(world.association.next_timeout(), None);
    assert_eq!(world.facts().activity, Activity::Offline);
    world.handle(Event::Online);
    world.run(200.0);
    assert_eq!(world.facts().reach.bits(), 0b1111);
    world.handle(Event::Offline);
    assert_eq!((world.facts().reach.bits(), world.facts().reach_size), (0, 0));
    world.run(2000.0);
    assert_eq!(world.requests.len(), 4);
    world.handle(Event::Burst { good: 2, total: 5 });
    assert_eq!(world.facts().activity, Activity::BurstOffline);
    world.run(2100.0);
    assert_eq!((world.requests.len(), world.facts().activity), (6, Activity::Offline));
    assert_eq!(world.notices, [Notice::Online, Notice::Offline]);
    assert_eq!(world.notices[0].text("192.0.2.1"), "Source 192.0.2.1 online");
}

#[test]
fn a_source_that_cannot_be_sent_to_goes_offline_if_told_so() {
    for (auto_offline, activity) in [(false, Activity::Online), (true, Activity::Offline)] {
        let mut options = options();
        options.flags.auto_offline = auto_offline;
        let mut world = World::new(&options);
        world.run(70.0);
        let token = Token(2);
        world.intercept();
        world.handle(Event::NotSent { token: Token(3) });
        assert_eq!(world.facts().activity, activity, "{token:?}");
        assert_eq!(world.facts().counters.sent, 2);
    }
}

#[test]
fn the_interval_grows_by_itself_or_as_the_discipline_says() {
    let mut world = World::new(&options());
    world.run(20_000.0);
    assert!(world.facts().poll > 6, "{}", world.facts().poll);
    let mut world = World::new(&options());
    world.run(66.0);
    world.association.set_poll(6.5);
    world.run(500.0);
    assert!(world.gaps()[1..].iter().all(|gap| near(*gap, 64.0 * 2f64.sqrt())), "{:?}", world.gaps());
    world.association.set_poll(99.0);
    assert_eq!(world.facts().poll, 10);
    world.association.set_poll(f64::NAN);
    assert_eq!(world.facts().poll, 10);
}

#[test]
fn an_unreachable_source_is_asked_more_rarely() {
    let mut world = World::new(&options());
    world.run(1000.0);
    world.path = Box::new(|_| None);
    world.run(9000.0);
    assert!(world.facts().poll >= 8, "{}", world.facts().poll);
    assert_eq!(world.facts().reach.bits(), 0);
    assert!(world.facts().unreachable > 1 && !world.facts().given_up);
}

#[test]
fn subsecond_intervals_take_a_short_path() {
    for (delay, count) in [(1e-3, 30), (12e-3, 9)] {
        let mut options = options();
        (options.minpoll, options.maxpoll) = (-2, -2);
        let mut world = World::new(&options);
        world.path = Box::new(move |_| Some((delay, delay)));
        world.run(10.0);
        assert!((count..count + 12).contains(&world.requests.len()), "{delay}: {}", world.requests.len());
    }
}

#[test]
fn a_warm_up_request_comes_2_seconds_before_and_gives_no_sample() {
    let mut options = options();
    options.presend = 6;
    let mut world = World::new(&options);
    world.run(140.0);
    assert_eq!(world.requests.len(), 6);
    assert!(world.gaps().iter().step_by(2).all(|gap| near(*gap, 2.0)));
    assert_eq!((world.samples.len(), world.facts().reach.bits()), (3, 0b111));
    assert_eq!(world.packets[0].tests.to_string(), "111 111 0111");
}

#[test]
fn burst_asks_until_one_reply_is_good() {
    let mut options = options();
    options.flags.burst = true;
    let mut world = World::new(&options);
    world.association.set_poll(8.0);
    world.path = Box::new(|_| None);
    world.run(200.0);
    assert_eq!(world.requests.len(), 4);
    world.path = Box::new(|_| Some((1e-3, 1e-3)));
    world.run(540.0);
    assert_eq!(world.requests.len(), 5 + usize::from(world.requests.len() > 5));
}

#[test]
fn keys_choose_the_version_and_are_checked() {
    for (key, length, version) in [(1, 72, 4), (2, 84, 3)] {
        let mut options = options();
        options.key = key;
        let mut world = World::new(&options);
        let reply = world.intercept();
        assert_eq!((reply.len(), Header::parse(&reply).unwrap().version.get()), (length, version));
        world.take(&reply);
        assert_eq!((world.samples.len(), world.packets[0].authenticated), (1, true));
    }
    let mut options = options();
    options.key = 9;
    let mut world = World::new(&options);
    world.run(200.0);
    assert!(world.requests.is_empty());
    assert_eq!(world.notices, [], "who made it has said so");
}

#[test]
fn a_longer_route_is_learned_after_eight_samples() {
    let mut world = World::new(&options());
    world.path = Box::new(|rng| {
        let jitter = |rng: &mut SplitMix| 20e-6 * quantile::fraction(rng);
        Some((1e-3 + jitter(rng), 1e-3 + jitter(rng)))
    });
    world.association.set_poll(6.0);
    world.run(64.0 * 40.0);
    let before = world.samples.len();
    world.path = Box::new(|rng| {
        let jitter = |rng: &mut SplitMix| 20e-6 * quantile::fraction(rng);
        Some((4e-3 + jitter(rng), 4e-3 + jitter(rng)))
    });
    world.run(64.0 * 46.0);
    assert_eq!(world.samples.len(), before, "test C keeps them out at first");
    assert_eq!(world.packets.last().unwrap().tests.to_string(), "111 111 1101");
    world.run(64.0 * 60.0);
    assert!(world.samples.len() >= before + 12, "{} {before}", world.samples.len());
    assert!(world.samples.is_sorted_by(|a, b| a.at < b.at));
}

#[test]
fn options_change_while_it_runs() {
    let mut world = World::new(&options());
    world.run(1.0);
    let change = |world: &mut World, change| {
        let context = Context {
            now: Now { clock: START, mono: World::mono(world.now) },
            timeline: &world.timeline,
            keys: &world.keys,
            host: &world.host,
            earliest: MonoTime::ZERO,
            rng: &mut world.rng,
        };
        world.association.change(&context, change);
    };
    change(&mut world, Change::MinPoll(12));
    assert_eq!((world.association.options().maxpoll, world.facts().poll), (12, 12));
    change(&mut world, Change::MaxPoll(4));
    assert_eq!((world.association.options().minpoll, world.facts().poll), (4, 4));
    change(&mut world, Change::MaxPoll(25));
    assert_eq!(world.association.options().maxpoll, 4);
    change(&mut world, Change::Offset(0.25));
    let reply = world.intercept();
    world.take(&reply);
    let offset = world.samples.last().unwrap().offset.as_secs_f64();
    assert!((offset - 0.25).abs() < 1e-3, "{offset}");
    assert_eq!(world.notices[0].text("A"), "Source A new minpoll 12");
    assert_eq!(world.notices.len(), 3);
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let run = || {
        let mut world = World::new(&options());
        world.run(5000.0);
        (world.requests, world.samples)
    };
    assert_eq!(run(), run());
}
