//! Interleaved mode, symmetric peers, filters, broadcasts.

use super::*;

fn interleaved() -> World {
    let mut options = options();
    options.flags.xleave = true;
    let mut world = World::new(&options);
    world.path = Box::new(|_| Some((1e-3, 1e-3)));
    world
}

#[test]
fn interleaved_replies_bring_the_true_time_of_sending() {
    let mut world = interleaved();
    world.run(64.0 * 6.0);
    let kinds: Vec<bool> = world.packets.iter().map(|packet| packet.interleaved).collect();
    assert_eq!(kinds, [false, false, true, true, true, true]);
    // basic: the 50 µs that the reply waited in the server are half in the offset
    assert!((world.samples[0].offset.as_secs_f64() + 25e-6).abs() < 1e-7, "{:?}", world.samples[0]);
    assert!((world.samples[0].delay.as_secs_f64() - 2.05e-3).abs() < 1e-6);
    for sample in &world.samples[2..] {
        assert!(sample.offset.as_secs_f64().abs() < 1e-7, "{sample:?}");
        assert!((sample.delay.as_secs_f64() - 2e-3).abs() < 1e-6);
    }
    // the first interleaved reply is about an exchange that was measured already
    assert_eq!(world.packets[2].tests.to_string(), "111 111 0111");
    assert_eq!(world.samples.len(), 5);
    assert!(world.samples.is_sorted_by(|a, b| a.at < b.at));
}

#[test]
fn a_kernel_stamp_that_comes_after_the_reply_still_counts() {
    let mut world = interleaved();
    world.kernel = false;
    world.run(130.0);
    let reply = world.intercept();
    let sent = *world.requests.last().unwrap();
    world.take(&reply);
    let stamp = world.stamp(sent + 20e-6, Stamper::Kernel);
    world.handle(Event::Sent { token: Token(4), at: stamp });
    world.run(64.0 * 5.0);
    let delays: Vec<f64> = world.samples.iter().map(|sample| sample.delay.as_secs_f64()).collect();
    assert!(delays.iter().any(|delay| (delay - 2e-3).abs() < 1e-6), "{delays:?}");
    assert_eq!(world.facts().counters.sent_stamps.0, 1);
}

#[test]
fn a_server_that_forgot_us_is_answered_in_basic_mode_and_a_dead_one_after_four_requests() {
    let mut world = interleaved();
    world.run(64.0 * 3.0);
    world.server = server(&world.keys);
    world.run(64.0 * 4.0);
    assert!(!world.packets.last().unwrap().interleaved);
    world.run(64.0 * 6.0);
    assert!(world.packets.last().unwrap().interleaved);
    world.path = Box::new(|_| None);
    world.run(64.0 * 11.0);
    assert!(world.association.memory.previous.is_none());
    world.path = Box::new(|_| Some((1e-3, 1e-3)));
    let samples = world.samples.len();
    world.run(64.0 * 16.0);
    assert!(world.samples.len() > samples + 1);
}

#[test]
fn a_filter_gives_one_sample_for_n_polls() {
    let mut options = options();
    options.filter = 5;
    let mut world = World::new(&options);
    world.association.set_poll(6.0);
    let mut turn = 0;
    world.path = Box::new(move |_| {
        turn += 1;
        // each third is lost, one is far too late on one way
        (turn % 3 != 0).then_some((1e-3, if turn % 5 == 2 { 9e-3 } else { 1e-3 }))
    });
    world.run(64.0 * 21.0);
    let polls = world.requests.len();
    assert_eq!(world.samples.len(), (polls - 1) / 5);
    assert!(
        world.samples.iter().all(|sample| sample.offset.abs() < TimeDelta::from_micros(30)),
        "{:?}",
        world.samples
    );
    assert_eq!(world.facts().counters.good, u32::try_from(world.packets.len()).unwrap());
}

/// Two hosts that are each other's peer; `b` is behind by 0.25 s.
struct Pair {
    sides: [World; 2],
    /// Packets under way: when they come, to whom, what.
    wire: Vec<(f64, usize, Vec<u8>)>,
    now: f64,
}

impl Pair {
    fn new() -> Self {
        let mut options = options();
        options.kind = Kind::Peer;
        Self::with(&options)
    }

    fn with(options: &Source) -> Self {
        let mut sides = [World::new(options), World::new(options)];
        sides[1].behind = 0.25;
        sides[1].rng = SplitMix::new(9);
        sides[0].host.snapshot = snapshot();
        sides[1].host.snapshot = Snapshot { stratum: Stratum::new(2), ..snapshot() };
        Self { sides, wire: Vec::new(), now: 0.0 }
    }

    fn handle(&mut self, side: usize, event: Event<'_>) {
        let world = &mut self.sides[side];
        world.now = self.now;
        let mut context = Context {
            now: Now { clock: world.clock(world.now), mono: World::mono(world.now) },
            timeline: &world.timeline,
            keys: &world.keys,
            host: &world.host,
            earliest: MonoTime::ZERO,
            rng: &mut world.rng,
        };
        world.association.handle(&mut context, event);
        while let Some(effect) = world.association.poll() {
            match effect {
                Effect::Send { bytes, token, port, .. } => {
                    assert_eq!(port, Port::Server);
                    // it really leaves 40 µs after it was made
                    let stamp = world.stamp(self.now + 40e-6, Stamper::Kernel);
                    let mut context = Context {
                        now: Now { clock: world.clock(world.now), mono: World::mono(world.now) },
                        timeline: &world.timeline,
                        keys: &world.keys,
                        host: &world.host,
                        earliest: MonoTime::ZERO,
                        rng: &mut world.rng,
                    };
                    world.association.handle(&mut context, Event::Sent { token, at: stamp });
                    world.requests.push(self.now);
                    self.wire.push((self.now + 40e-6 + 1e-3, 1 - side, bytes));
                }
                Effect::Packet(packet) => world.packets.push(Packet::clone(&packet)),
                Effect::Sample(sample) => world.samples.push(sample),
                Effect::Close => panic!("the server's socket stays open"),
                Effect::Reach | Effect::Notice(_) => {}
            }
        }
    }

    fn run(&mut self, until: f64) {
        loop {
            let timers = [0, 1].map(|side| {
                let at = self.sides[side].association.next_timeout().unwrap();
                ((at - MonoTime::ZERO).as_secs_f64(), side)
            });
            let timer = if timers[0].0 <= timers[1].0 { timers[0] } else { timers[1] };
            self.wire.sort_by(|a, b| a.0.total_cmp(&b.0));
            let packet = self.wire.first().map(|(at, ..)| *at).filter(|at| *at <= timer.0);
            let next = packet.unwrap_or(timer.0);
            if next > until {
                break;
            }
            self.now = next.max(self.now);
            if packet.is_some() {
                let (_, side, bytes) = self.wire.remove(0);
                let received = self.sides[side].stamp(self.now, Stamper::Kernel);
                self.handle(side, Event::Reply { bytes: &bytes, received, local: Some(LOCAL) });
            } else {
                self.handle(timer.1, Event::Timer);
            }
        }
        self.now = until;
    }
}

#[test]
fn symmetric_peers_measure_each_other() {
    let mut pair = Pair::new();
    pair.sides[1].association.hasten(MonoTime::ZERO, TimeDelta::ZERO);
    pair.run(3000.0);
    for (side, offset) in [(0, -0.25), (1, 0.25)] {
        let world = &pair.sides[side];
        let facts = world.facts();
        assert!(world.samples.len() > 10, "{} samples, {:?}", world.samples.len(), facts.counters);
        assert!(world.samples.iter().all(|sample| (sample.offset.as_secs_f64() - offset).abs() < 3e-5));
        assert!(world.samples.iter().all(|sample| (sample.delay.as_secs_f64() - 2.04e-3).abs() < 1e-5));
        assert_eq!(facts.reach.bits(), 0xff);
        assert_eq!(facts.stratum, if side == 0 { 2 } else { 1 });
    }
}

#[test]
fn interleaved_peers_tell_when_their_packets_really_left() {
    let mut options = options();
    options.kind = Kind::Peer;
    options.flags.xleave = true;
    let mut pair = Pair::with(&options);
    pair.run(3000.0);
    for (side, offset) in [(0, -0.25), (1, 0.25)] {
        let world = &pair.sides[side];
        let interleaved = world.packets.iter().filter(|packet| packet.interleaved).count();
        assert!(interleaved > 10, "{interleaved} of {}", world.packets.len());
        // without the 40 µs that a packet waited before it left; only packets that crossed are answered as of old
        let exact = |sample: &&Measurement| {
            (sample.offset.as_secs_f64() - offset).abs() < 1e-6
                && (sample.delay.as_secs_f64() - 2e-3).abs() < 1e-6
        };
        let exact = world.samples.iter().filter(exact).count();
        assert!(exact > world.samples.len() * 3 / 4, "{exact} of {}", world.samples.len());
        assert!(world.samples.is_sorted_by(|a, b| a.at < b.at));
    }
}

#[test]
fn finer_root_values_are_asked_for_and_taken() {
    let asked = |fine| {
        let mut options = options();
        options.extensions.mono_root = fine;
        let mut world = World::new(&options);
        world.now = 0.2;
        world.handle(Event::Timer);
        world.last_request.clone()
    };
    assert_eq!((asked(false).len(), asked(true).len()), (48, 76));
    assert_eq!(asked(true)[48..56], [0xf3, 0x23, 0, 28, 0xf5, 0xbe, 0xdd, 0x9a]);
    let mut options = options();
    options.extensions.mono_root = true;
    let mut world = World::new(&options);
    let reply = world.intercept();
    // as chronyd 4.9 was seen to answer: magic, root delay, root dispersion, monotonic receive time, epoch
    let field = [
        &[0xf3, 0x23, 0, 28, 0xf5, 0xbe, 0xdd, 0x9a][..],
        &268_435_u32.to_be_bytes(),
        &26_844_u32.to_be_bytes(),
        &[0; 12],
    ];
    world.take(&[&reply[..48], &field.concat()].concat());
    let sample = world.samples[0];
    assert!((sample.root_delay.get() - 1e-3).abs() < 1e-8, "{sample:?}");
    assert!((sample.root_dispersion.get() - 1e-4).abs() < 1e-8, "{sample:?}");
}

#[test]
fn peers_keep_to_the_shorter_interval() {
    let mut pair = Pair::new();
    pair.sides[0].association.set_poll(6.0);
    pair.sides[1].association.set_poll(9.0);
    pair.run(2000.0);
    assert!(pair.sides[1].facts().poll <= 7);
    assert!(pair.sides[1].requests.len() > 15);
}

#[test]
fn a_peer_says_what_a_server_would_say() {
    let mut pair = Pair::new();
    pair.run(0.2);
    let (_, _, bytes) = pair.wire.remove(0);
    let header = Header::parse(&bytes).unwrap();
    assert_eq!(
        (header.mode, header.stratum, header.poll.log2()),
        (Mode::SymmetricActive, Stratum::new(1), 6)
    );
    assert!((header.transmit.to_timestamp(START) - START).abs() < TimeDelta::from_secs(1));
}

#[test]
fn broadcasts_leave_every_interval_while_we_are_synchronised() {
    let world = World::new(&options());
    let mut rng = SplitMix::new(1);
    let to = "192.0.2.255:123".parse().unwrap();
    let mut broadcaster = Broadcaster::new(to, TimeDelta::from_secs(60), None, MonoTime::ZERO);
    let mut send = |secs: f64, snapshot: Snapshot| {
        let host = Host { snapshot, ..host() };
        let mut context = Context {
            now: Now { clock: START, mono: World::mono(secs) },
            timeline: &world.timeline,
            keys: &world.keys,
            host: &host,
            earliest: MonoTime::ZERO,
            rng: &mut rng,
        };
        let sent = broadcaster.timer(&mut context);
        (sent, broadcaster.next_timeout())
    };
    assert_eq!(send(59.0, snapshot()), (None, World::mono(60.0)));
    let (sent, next) = send(60.0, snapshot());
    let (address, _, bytes) = sent.unwrap();
    let header = Header::parse(&bytes).unwrap();
    assert_eq!((address, next), (to, World::mono(120.0)));
    assert_eq!((bytes[0], header.stratum.get(), header.poll.log2()), (0x25, 1, 5));
    assert_eq!((header.origin, header.receive), (NtpTimestamp::ZERO, NtpTimestamp::ZERO));
    assert_eq!(send(120.0, Snapshot { leap: Leap::Unsynchronised, ..snapshot() }).0, None);
}
