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

/// Any bytes as the story of an association: nothing panics, effects are few, every figure is finite, time goes on.
pub(crate) fn association(data: &[u8]) {
    let Some((first, mut story)) = data.split_first_chunk::<4>() else { return };
    let mut rng = SplitMix::new(u64::from(u32::from_be_bytes(*first)));
    let (keys, _) = KeyRing::parse(b"1 MD5 ASCII:fuzz\n", Dialect::Chrony);
    let bit = |n: u8| first[0] >> n & 1 == 1;
    let kind = if bit(0) { Kind::Peer } else { Kind::Server };
    let mut options = Source::new(kind, "192.0.2.1");
    (options.flags.iburst, options.flags.burst, options.flags.xleave) = (bit(1), bit(2), bit(3));
    (options.flags.offline, options.flags.auto_offline) = (bit(4), bit(5));
    options.key = u32::from(bit(6));
    options.filter = u32::from(first[1] & 7);
    options.presend = 6 + i32::from(first[1] >> 3 & 3);
    options.maxdelayquant = if bit(7) { 0.3 } else { 0.0 };
    options.minpoll = i32::from(first[2] & 15) - 8;
    options.maxsamples = (first[2] >> 4 != 0).then(|| u32::from(first[2] >> 4));
    let host = Host {
        snapshot: Snapshot::local(
            Stratum::new(3),
            LogInterval::from_log2(-20),
            Timestamp::from_unix(1_795_000_000, 0),
            &mut rng,
        ),
        precision: 1e-7,
        serving: Some(123),
        maxclockerror: 1e-6,
        released: Timestamp::from_unix(1_790_000_000, 0),
    };
    let mut now = Now { clock: Timestamp::from_unix(1_795_000_000, 0), mono: MonoTime::ZERO };
    let mut timeline = Timeline::new(now.clock, KernelRate::NOMINAL);
    let mut sent: Vec<u8> = vec![0; 48];
    let mut token = Token(0);
    let address = "192.0.2.1:123".parse().unwrap();
    macro_rules! context {
        () => {
            &mut Context {
                now,
                timeline: &timeline,
                keys: &keys,
                host: &host,
                earliest: MonoTime::ZERO,
                rng: &mut rng,
            }
        };
    }
    let start = if first[3] & 1 == 1 { Start::AtOnce } else { Start::Daemon };
    let mut association = Association::new(address, &options, start, context!());
    while let Some(([op, arg], rest)) = story.split_first_chunk::<2>() {
        story = rest;
        let number = f64::from(*arg);
        let by = [Stamper::Daemon, Stamper::Kernel, Stamper::Hardware][usize::from(arg % 3)];
        let at = Stamp { at: now.clock, by, error: Secs::literal(number * 1e-6) };
        match op % 16 {
            0..=3 => {
                // to the next timer, or a while further
                let due = association.next_timeout().unwrap_or(now.mono + TimeDelta::from_secs(60));
                let passed =
                    if op % 16 == 3 { TimeDelta::from_millis(i64::from(*arg)) } else { due - now.mono };
                let passed = passed.max(TimeDelta::ZERO).min(TimeDelta::from_secs(100_000));
                now = Now { clock: now.clock + passed, mono: now.mono + passed };
                association.handle(context!(), Event::Timer);
            }
            4..=7 => {
                // the reply of a server, spoilt in one place or not at all
                let mut reply = sent.clone();
                reply[0] = 0x24 | *arg & 0xc0;
                if let (Some(from), true) = (sent.get(40..48), reply.len() >= 48) {
                    let stamp = NtpTimestamp::from_timestamp(now.clock).to_bits() ^ u64::from(*arg) << 12;
                    reply[24..32].copy_from_slice(from);
                    reply[32..40].copy_from_slice(&stamp.to_be_bytes());
                    reply[40..48].copy_from_slice(&(stamp + 4096).to_be_bytes());
                    (reply[1], reply[3]) = (1, 0xe0);
                }
                if options.key == 1 && op % 16 < 7 {
                    reply.truncate(48);
                    let _ = keys.sign_packet(KeyId::new(1), &mut reply, Dialect::Chrony);
                }
                if let ([place, value], true) = (rest.first_chunk().copied().unwrap_or([255, 0]), op % 16 > 5)
                {
                    reply.get_mut(usize::from(place)).into_iter().for_each(|byte| *byte = value);
                }
                let passed = TimeDelta::from_micros(i64::from(*arg) << (op % 4 * 4));
                now = Now { clock: now.clock + passed, mono: now.mono + passed };
                let received = Stamp { at: now.clock, ..at };
                association.handle(
                    context!(),
                    Event::Reply { bytes: &reply, received, local: Some(IpAddr::from([192, 0, 2, *arg])) },
                );
            }
            8 => {
                let (bytes, rest) = story.split_at(story.len().min(usize::from(*arg)));
                story = rest;
                association.handle(context!(), Event::Reply { bytes, received: at, local: None });
            }
            9 => association.handle(context!(), Event::Sent { token, at }),
            10 => association.handle(context!(), Event::NotSent { token }),
            11 => association.handle(context!(), if arg & 1 == 0 { Event::Online } else { Event::Offline }),
            12 => association
                .handle(context!(), Event::Burst { good: u32::from(arg & 15), total: u32::from(arg >> 4) }),
            13 => association.set_poll(number / 8.0 - 10.0),
            14 => {
                let change = match arg & 7 {
                    0 => Change::MinPoll(i32::from(arg >> 3) - 4),
                    1 => Change::MaxPoll(i32::from(arg >> 3) - 4),
                    2 => Change::MaxDelay(number / 100.0),
                    3 => Change::MaxDelayRatio(number / 50.0),
                    4 => Change::MaxDelayDevRatio(number / 50.0),
                    5 => Change::MinStratum(u32::from(*arg)),
                    6 => Change::PollTarget(u32::from(*arg)),
                    _ => Change::Offset(number * 1e6),
                };
                association.change(context!(), change);
            }
            _ => {
                let step = TimeDelta::from_secs((i64::from(*arg) - 128) << (arg % 20));
                timeline.stepped(now.clock, step);
                now.clock = now.clock + step;
                if arg & 15 == 0 {
                    association.reset();
                }
            }
        }
        let mut effects = 0;
        while let Some(effect) = association.poll() {
            effects += 1;
            match effect {
                Effect::Send { bytes, token: of, .. } => {
                    assert!((48..=116).contains(&bytes.len()), "{}", bytes.len());
                    (sent, token) = (bytes, of);
                }
                Effect::Sample(sample) => {
                    assert!(sample.delay > TimeDelta::ZERO && sample.root_distance().is_finite());
                }
                Effect::Packet(packet) => assert_eq!(packet.tests.to_string().len(), 12),
                Effect::Close | Effect::Reach | Effect::Notice(_) => {}
            }
        }
        assert!(effects <= 16, "{effects} effects");
        if op % 16 < 3 {
            assert!(association.next_timeout().is_none_or(|due| due > now.mono), "the same timer again");
        }
        let free = timeline.free(now.clock);
        let statistics = association.register().statistics(free, &timeline.line());
        assert!(
            statistics.samples <= 64 && statistics.skew.is_finite() && statistics.jitter.get().is_finite()
        );
        assert!(statistics.offset.get().is_finite() && statistics.offset_error.get().is_finite());
        let facts = association.facts();
        assert!(facts.score.is_finite() && (-7..=24).contains(&facts.poll));
        if let Some(stats) = association.register().stats(free, &timeline.line()) {
            assert!(stats.low <= stats.high && stats.root_distance.is_finite(), "{stats:?}");
        }
    }
}
