//! Replies that must not count.

use super::*;
/// A reply with some bytes changed.
fn with(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

#[test]
fn one_reply_counts_per_request() {
    let mut world = World::new(&options());
    let reply = world.intercept();
    world.take(&reply);
    world.take(&reply);
    assert_eq!((world.samples.len(), world.packets.len()), (1, 2));
    assert_eq!(world.packets[1].tests.to_string(), "001 100 0000");
    let second = world.intercept();
    // a replay of the last reply does not use the request up
    world.take(&reply);
    world.take(&second);
    assert_eq!(world.samples.len(), 2);
    assert_eq!(world.facts().counters.received, 4);
    assert_eq!(world.facts().counters.valid, 2);
}

#[test]
fn a_forged_reply_leaves_the_true_one_its_chance() {
    let mut world = World::new(&options());
    let reply = world.intercept();
    for forged in [
        with(&reply, 24, &[0; 8]),
        with(&reply, 31, &[reply[31] ^ 1]),
        with(&reply, 32, &[0; 8]),
        with(&reply, 40, &[0; 8]),
        with(&reply, 0, &[0x23]),
        with(&reply, 0, &[0x25]),
        with(&reply, 0, &[0x04]),
        reply[..47].to_vec(),
        Vec::new(),
        [&reply[..], &[0; 20]].concat(),
        [&reply[..], &[1; 4]].concat(),
    ] {
        world.take(&forged);
        assert!(world.samples.is_empty(), "{forged:02x?}");
    }
    world.take(&reply);
    assert_eq!(world.samples.len(), 1);
}

#[test]
fn a_late_reply_comes_to_a_closed_door() {
    let mut world = World::new(&options());
    let reply = world.intercept();
    world.run(world.now + 8.0);
    world.take(&reply);
    assert!(world.samples.is_empty());
}

#[test]
fn a_source_without_a_key_or_with_another_one_is_not_believed() {
    let mut options = options();
    options.key = 1;
    let mut world = World::new(&options);
    let reply = world.intercept();
    world.take(&reply[..48]);
    world.take(&with(&reply, 60, &[reply[60] ^ 1]));
    world.take(&with(&reply, 51, &[2]));
    let crypto_nak = [&reply[..48], &[0; 4]].concat();
    world.take(&crypto_nak);
    assert!(world.samples.is_empty());
    assert!(world.packets.iter().all(|packet| packet.tests.to_string() == "111 000 0000"));
    world.take(&reply);
    assert_eq!(world.samples.len(), 1);
}

#[test]
fn a_source_that_is_not_synchronised_gives_no_sample() {
    for (at, byte, tests) in [
        (0, 0xe4, "111 101 1111"),
        (1, 0, "111 101 1111"),
        (1, 16, "111 101 1111"),
        (1, 255, "111 101 1111"),
        (5, 33, "111 110 1111"),
        (9, 17, "111 110 1111"),
        (3, 2, "111 111 0111"),
    ] {
        let mut world = World::new(&options());
        let reply = world.intercept();
        world.take(&with(&reply, at, &[byte]));
        assert_eq!(world.packets[0].tests.to_string(), tests, "byte {at} = {byte}");
        assert!(world.samples.is_empty());
        let reachable = tests.starts_with("111 111");
        assert_eq!(world.facts().reach.bits(), u8::from(reachable), "byte {at} = {byte}");
    }
}

#[test]
fn a_round_trip_beyond_maxdelay_fails_test_a() {
    let mut options = options();
    options.maxdelay = 0.1;
    let mut world = World::new(&options);
    world.path = Box::new(|_| Some((0.06, 0.06)));
    world.run(1.0);
    assert_eq!(world.packets[0].tests.to_string(), "111 111 0111");
}

#[test]
fn delay_options_keep_long_round_trips_out() {
    let delays = |world: &mut World| {
        world.path = Box::new(|rng| Some((1e-3 + 1e-5 * quantile::fraction(rng), 1e-3)));
        world.run(64.0 * 30.0);
        world.path = Box::new(|_| Some((1.5e-3, 1.5e-3)));
        world.run(64.0 * 40.0);
        world.packets.last().unwrap().tests.to_string()
    };
    let mut ratio = options();
    (ratio.maxdelayratio, ratio.maxdelaydevratio) = (1.3, 0.0);
    (ratio.minpoll, ratio.maxpoll) = (6, 6);
    assert_eq!(delays(&mut World::new(&ratio)), "111 111 1011");
    let mut quantile = options();
    (quantile.maxdelayquant, quantile.minpoll, quantile.maxpoll) = (0.9, 6, 6);
    assert_eq!(delays(&mut World::new(&quantile)), "111 111 1101");
    let mut none = options();
    (none.maxdelaydevratio, none.minpoll, none.maxpoll) = (0.0, 6, 6);
    assert_eq!(delays(&mut World::new(&none)), "111 111 1111");
}

#[test]
fn who_follows_us_or_is_us_is_a_loop() {
    let mut world = World::new(&options());
    let reply = world.intercept();
    world.take(&with(&with(&reply, 1, &[2]), 12, &[192, 0, 2, 77]));
    assert_eq!(world.packets[0].tests.to_string(), "111 111 1110");
    // a reply of our own address comes from us where we answer at that address; a neighbour may answer at another
    for (serving, tests) in [
        ("0.0.0.0:123", "111 111 1110"),
        ("192.0.2.1:123", "111 111 1110"),
        ("192.0.2.7:123", "111 111 1111"),
        ("0.0.0.0:11123", "111 111 1111"),
        ("[::]:123", "111 111 1111"),
    ] {
        let mut world = World::new(&options());
        let reply = world.intercept();
        world.host.serving = vec![serving.parse().unwrap()];
        let received = world.stamp(world.now, Stamper::Kernel);
        world.handle(Event::Reply { bytes: &reply, received, local: Some("192.0.2.1".parse().unwrap()) });
        assert_eq!(world.packets[0].tests.to_string(), tests, "{serving}");
    }
}

fn kiss(reply: &[u8], code: &[u8; 4]) -> Vec<u8> {
    with(&with(reply, 0, &[0xe4, 0]), 12, code)
}

#[test]
fn a_kiss_code_that_answers_our_request_slows_us_down() {
    for (code, wait) in [(b"RATE", 256.0), (b"DENY", 4096.0), (b"RSTR", 4096.0)] {
        let mut options = options();
        options.flags.iburst = true;
        let mut world = World::new(&options);
        let reply = world.intercept();
        // a bogus one, with an origin time stamp that is not ours, changes nothing
        world.take(&kiss(&with(&reply, 24, &[7; 8]), code));
        assert!(world.notices.is_empty());
        world.take(&kiss(&reply, code));
        let text = format!("Received KoD {} from A", std::str::from_utf8(code).unwrap());
        assert_eq!(world.notices.iter().map(|notice| notice.text("A")).collect::<Vec<_>>(), [text]);
        world.run(wait);
        assert_eq!(world.requests.len(), 1);
        world.run(wait * 1.03);
        assert_eq!(world.requests.len(), 2);
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let mut world = World::new(&options());
    for round in 0..4000_u64 {
        let mut reply = if round % 4 == 0 { world.intercept() } else { vec![0x24; 48] };
        let length = usize::try_from(world.rng.next_u64() % 120).unwrap();
        for _ in 0..world.rng.next_u64() % 6 {
            let at = usize::try_from(world.rng.next_u64() % 24).unwrap();
            reply[at] = world.rng.next_u64().to_be_bytes()[0];
        }
        if round % 3 == 0 {
            reply.resize(length, 0x5a);
        }
        world.take(&reply);
    }
    assert!(world.samples.len() > 100);
    for sample in &world.samples {
        assert!(sample.root_distance().is_finite() && sample.delay > TimeDelta::ZERO);
    }
    let statistics = world.association.register().statistics(world.free(), &world.timeline.line());
    assert!(statistics.offset.get().is_finite() && statistics.skew.is_finite());
}
