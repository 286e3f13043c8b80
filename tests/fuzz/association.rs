//! A whole association under a made-up story.

use std::net::IpAddr;

use ntpbox::auth::{Dialect, KeyRing};
use ntpbox::engine::association::{
    Association, Change, Context, Effect, Event, Host, Stamp, Stamper, Start, Token,
};
use ntpbox::engine::options::{Kind, Source};
use ntpbox::engine::rng::SplitMix;
use ntpbox::engine::server::Snapshot;
use ntpbox::engine::timeline::{KernelRate, Timeline};
use ntpbox::types::{KeyId, LogInterval, MonoTime, Now, NtpTimestamp, Secs, Stratum, TimeDelta, Timestamp};

/// An association and its surroundings.
struct Story {
    rng: SplitMix,
    keys: KeyRing,
    host: Host,
    keyed: bool,
    now: Now,
    timeline: Timeline,
    association: Association,
    /// The last request.
    sent: Vec<u8>,
    token: Token,
}

impl Story {
    fn new(first: [u8; 4]) -> Self {
        let mut rng = SplitMix::new(u64::from(u32::from_be_bytes(first)));
        let (keys, _) = KeyRing::parse(b"1 MD5 ASCII:fuzz\n", Dialect::Chrony);
        let options = options(first);
        let begin = Timestamp::from_unix(1_795_000_000, 0);
        let host = Host {
            snapshot: Snapshot::local(Stratum::new(3), LogInterval::from_log2(-20), begin, &mut rng),
            precision: 1e-7,
            serving: vec![([0, 0, 0, 0], 123).into()],
            maxclockerror: 1e-6,
            released: Timestamp::from_unix(1_790_000_000, 0),
        };
        let now = Now { clock: begin, mono: MonoTime::ZERO };
        let timeline = Timeline::new(begin, KernelRate::NOMINAL);
        let mut context = Context {
            now,
            timeline: &timeline,
            keys: &keys,
            host: &host,
            earliest: MonoTime::ZERO,
            rng: &mut rng,
        };
        let start = if first[3] & 1 == 1 { Start::AtOnce } else { Start::Daemon };
        let address = "192.0.2.1:123".parse().unwrap();
        let association = Association::new(address, &options, start, &mut context);
        let (sent, token) = (vec![0; 48], Token(0));
        Self { rng, keys, host, keyed: options.key != 0, now, timeline, association, sent, token }
    }

    fn handle(&mut self, event: Event<'_>) {
        let mut context = Context {
            now: self.now,
            timeline: &self.timeline,
            keys: &self.keys,
            host: &self.host,
            earliest: MonoTime::ZERO,
            rng: &mut self.rng,
        };
        self.association.handle(&mut context, event);
    }

    fn change(&mut self, arg: u8) {
        let number = f64::from(arg);
        let change = match arg & 7 {
            0 => Change::MinPoll(i32::from(arg >> 3) - 4),
            1 => Change::MaxPoll(i32::from(arg >> 3) - 4),
            2 => Change::MaxDelay(number / 100.0),
            3 => Change::MaxDelayRatio(number / 50.0),
            4 => Change::MaxDelayDevRatio(number / 50.0),
            5 => Change::MinStratum(u32::from(arg)),
            6 => Change::PollTarget(u32::from(arg)),
            _ => Change::Offset(number * 1e6),
        };
        let context = Context {
            now: self.now,
            timeline: &self.timeline,
            keys: &self.keys,
            host: &self.host,
            earliest: MonoTime::ZERO,
            rng: &mut self.rng,
        };
        self.association.change(&context, change);
    }

    fn pass(&mut self, time: TimeDelta) {
        let time = time.max(TimeDelta::ZERO).min(TimeDelta::from_secs(100_000));
        self.now = Now { clock: self.now.clock + time, mono: self.now.mono + time };
    }

    /// The reply of a server, spoilt in one place or not at all.
    fn reply(&mut self, op: u8, arg: u8, spoil: Option<[u8; 2]>) {
        let mut reply = self.sent.clone();
        let mode = if self.sent[0] & 7 == 1 { 1 } else { 4 };
        reply[0] = 0x20 | mode | arg & 0xc0;
        let stamp = NtpTimestamp::from_timestamp(self.now.clock).to_bits() ^ u64::from(arg) << 12;
        // interleaved, where the request allows it
        let origin = if arg & 1 == 1 { 32..40 } else { 40..48 };
        reply[24..32].copy_from_slice(&self.sent[origin]);
        reply[32..40].copy_from_slice(&stamp.to_be_bytes());
        reply[40..48].copy_from_slice(&(stamp + 4096).to_be_bytes());
        (reply[1], reply[3]) = (1, 0xe0);
        if self.keyed && op < 7 {
            reply.truncate(48);
            self.keys.sign_packet(KeyId::new(1), &mut reply, Dialect::Chrony).unwrap();
        }
        if let ([place, value], true) = (spoil.unwrap_or([255, 0]), op > 5) {
            reply.get_mut(usize::from(place)).into_iter().for_each(|byte| *byte = value);
        }
        self.pass(TimeDelta::from_micros(i64::from(arg) << (op % 4 * 4)));
        let received = self.stamp(arg);
        let local = Some(IpAddr::from([192, 0, 2, arg]));
        self.handle(Event::Reply { bytes: &reply, received, local });
    }

    fn stamp(&self, arg: u8) -> Stamp {
        let by = [Stamper::Daemon, Stamper::Kernel, Stamper::Hardware][usize::from(arg % 3)];
        Stamp { at: self.now.clock, by, error: Secs::literal(f64::from(arg) * 1e-6) }
    }

    /// One step of the story; answers what is left of it.
    fn step<'a>(&mut self, op: u8, arg: u8, rest: &'a [u8]) -> &'a [u8] {
        let (at, token) = (self.stamp(arg), self.token);
        match op {
            0..=3 => {
                // to the next timer, or a while further
                let due = self.association.next_timeout().map(|due| due - self.now.mono);
                let due = due.filter(|_| op < 3).unwrap_or(TimeDelta::from_millis(i64::from(arg) * 40));
                self.pass(due);
                self.handle(Event::Timer);
            }
            4..=7 => self.reply(op, arg, rest.first_chunk().copied()),
            8 => {
                let (bytes, rest) = rest.split_at(rest.len().min(usize::from(arg)));
                self.handle(Event::Reply { bytes, received: at, local: None });
                return rest;
            }
            9 => self.handle(Event::Sent { token, at }),
            10 => self.handle(Event::NotSent { token }),
            11 => self.handle(if arg & 1 == 0 { Event::Online } else { Event::Offline }),
            12 => self.handle(Event::Burst { good: u32::from(arg & 15), total: u32::from(arg >> 4) }),
            13 => self.association.set_poll(f64::from(arg) / 8.0 - 10.0),
            14 => self.change(arg),
            _ => {
                let step = TimeDelta::from_secs((i64::from(arg) - 128) << (arg % 20));
                self.timeline.stepped(self.now.clock, step);
                self.now.clock = self.now.clock + step;
                if arg & 15 == 0 {
                    self.association.reset();
                }
            }
        }
        rest
    }

    fn drain(&mut self) {
        let mut effects = 0;
        while let Some(effect) = self.association.poll() {
            effects += 1;
            match effect {
                Effect::Send { bytes, token, .. } => {
                    assert!((48..=116).contains(&bytes.len()), "{}", bytes.len());
                    (self.sent, self.token) = (bytes, token);
                }
                Effect::Sample(sample) => {
                    assert!(sample.delay > TimeDelta::ZERO && sample.root_distance().is_finite());
                }
                Effect::Packet(packet) => assert_eq!(packet.tests.to_string().len(), 12),
                Effect::Close | Effect::Reach | Effect::Notice(_) => {}
            }
        }
        assert!(effects <= 16, "{effects} effects");
    }

    fn check(&self) {
        let (free, line) = (self.timeline.free(self.now.clock), self.timeline.line());
        let statistics = self.association.register().statistics(free, &line);
        assert!(statistics.samples <= 64 && statistics.skew.is_finite());
        for figure in [statistics.jitter, statistics.offset, statistics.offset_error] {
            assert!(figure.get().is_finite(), "{statistics:?}");
        }
        let facts = self.association.facts();
        assert!(facts.score.is_finite() && (-7..=24).contains(&facts.poll));
        if let Some(stats) = self.association.register().stats(free, &line) {
            assert!(stats.low <= stats.high && stats.root_distance.is_finite(), "{stats:?}");
        }
    }
}

fn options(first: [u8; 4]) -> Source {
    let bit = |n: u8| first[0] >> n & 1 == 1;
    let kind = if bit(0) { Kind::Peer } else { Kind::Server };
    let mut options = Source::new(kind, "192.0.2.1");
    (options.flags.iburst, options.flags.burst, options.flags.xleave) = (bit(1), bit(2), bit(3));
    (options.flags.offline, options.flags.auto_offline) = (bit(4), bit(5));
    options.key = u32::from(bit(6));
    options.filter = u32::from(first[1] & 7);
    options.presend = 6 + i32::from(first[1] >> 3 & 3);
    options.extensions.mono_root = first[1] >> 5 & 1 == 1;
    options.maxdelayquant = if bit(7) { 0.3 } else { 0.0 };
    options.minpoll = i32::from(first[2] & 15) - 8;
    options.maxsamples = (first[2] >> 4 != 0).then(|| u32::from(first[2] >> 4));
    options
}

/// Any bytes as the story of an association: nothing panics, effects are few, every figure is finite, time goes on.
pub(crate) fn association(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first_chunk::<4>() else { return };
    let mut story = Story::new(*first);
    while let Some(([op, arg], next)) = rest.split_first_chunk::<2>() {
        rest = story.step(op % 16, *arg, next);
        story.drain();
        if op % 16 < 3 {
            let due = story.association.next_timeout();
            assert!(due.is_none_or(|due| due > story.now.mono), "the same timer again");
        }
        story.check();
    }
}
