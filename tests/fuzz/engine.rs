//! The daemon's whole core under a made-up story.

#[path = "engine_asks.rs"]
mod asks;

use std::net::{IpAddr, SocketAddr};

use ntpbox::auth::{Dialect, KeyRing};
use ntpbox::engine::association::{Listening, Stamp, Stamper, Start, Token};
use ntpbox::engine::clock::ClockCommand;
use ntpbox::engine::daemon::{Action, Engine, Input, NameId, Setup};
use ntpbox::engine::manual::Manual;
use ntpbox::engine::measurement::SourceId;
use ntpbox::engine::options::{Kind, LeapSecondMode, Settings, Smoothing, Source};
use ntpbox::engine::rng::SplitMix;
use ntpbox::engine::tempcomp::TempComp;
use ntpbox::engine::timeline::KernelRate;
use ntpbox::types::{MonoTime, Now, NtpTimestamp, Secs, TimeDelta, Timestamp};

/// Actions in answer to one input, for each of the few sources: more is a loop.
const MAX_ACTIONS: usize = 400;
/// Sources at most.
const SOURCES: u8 = 5;
/// No rate is beyond what adjtimex can express.
const MAX_RATE: f64 = 0.1;

/// A request that may be answered.
struct Sent {
    source: SourceId,
    to: SocketAddr,
    bytes: Vec<u8>,
    token: Token,
}

/// An engine, its clock, and what it sent.
struct Story {
    rng: SplitMix,
    engine: Engine,
    now: Now,
    setting: KernelRate,
    sent: Vec<Sent>,
    /// Names that are being looked up.
    asked: Vec<NameId>,
    /// What the servers' time is ahead of ours, ns; each has a part of its own.
    ahead: i64,
    added: u8,
    names: u8,
    clocks: u8,
    /// The kernel does not do what it is told.
    refusing: bool,
}

fn stamp(at: Timestamp, arg: u8) -> Stamp {
    let by = [Stamper::Daemon, Stamper::Kernel, Stamper::Hardware][usize::from(arg % 3)];
    Stamp { at, by, error: Secs::literal(f64::from(arg) * 1e-7) }
}

impl Story {
    fn new(first: [u8; 4]) -> Self {
        let rng = SplitMix::new(u64::from(u32::from_be_bytes(first)));
        let begin = Timestamp::from_unix(1_795_000_000, 0);
        let now = Now { clock: begin, mono: MonoTime::from_nanos(5_000_000_000) };
        let (keys, _) = KeyRing::parse(b"1 MD5 ASCII:fuzz\n", Dialect::Chrony);
        let drift =
            (first[1] & 1 == 1).then(|| (f64::from(first[2]) * 10.0 - 1280.0, f64::from(first[3]) / 16.0));
        let engine = Engine::new(
            now,
            Setup {
                settings: settings(first),
                controlled: first[1] & 2 == 0,
                setting: KernelRate::NOMINAL,
                drift,
                precision: 1e-7,
                serving: vec![([0, 0, 0, 0], 123).into()],
                released: Timestamp::from_unix(1_790_000_000, 0),
                start: if first[1] & 4 == 0 { Start::Daemon } else { Start::AtOnce },
                keys,
            },
        );
        let setting = KernelRate::NOMINAL;
        let mut story = Self {
            rng,
            engine,
            now,
            setting,
            sent: Vec::new(),
            asked: Vec::new(),
            ahead: 0,
            added: 0,
            names: 0,
            clocks: 0,
            refusing: false,
        };
        *story.engine.manual_mut() = Manual::new(first[0] & 4 != 0);
        if first[0] & 8 != 0 {
            story.engine.set_local(Some(asks::local(first[3])));
        }
        if first[0] & 16 != 0 {
            story.add_clock(first[2]);
        }
        if first[1] & 64 != 0 {
            let listening = Listening { novolley: first[2] & 1 == 1, delay: f64::from(first[3]) * 1e-4 };
            story.engine.set_listening(listening, first[1] & 128 == 0);
        }
        for _ in 0..=first[0] & 3 {
            story.add(first[3]);
        }
        story
    }

    fn add(&mut self, arg: u8) {
        if self.added == SOURCES {
            return;
        }
        self.added += 1;
        let bit = |n: u8| arg >> n & 1 == 1;
        let mut options = Source::new(if bit(0) { Kind::Peer } else { Kind::Server }, "name");
        (options.flags.iburst, options.flags.xleave, options.flags.prefer) = (bit(1), bit(2), bit(3));
        (options.flags.trust, options.flags.noselect) = (bit(4) && bit(5), bit(4) && bit(6));
        options.minpoll = if bit(5) { i32::from(arg & 7) - 3 } else { 6 };
        options.maxsamples = bit(6).then_some(u32::from(arg & 7));
        options.filter = if bit(7) { u32::from(arg >> 4) } else { 0 };
        let address = SocketAddr::from(([192, 0, 2, self.added], 123));
        self.engine.add_address(self.now, address, &options, &mut self.rng);
    }

    fn handle(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input, &mut self.rng);
    }

    fn pass(&mut self, time: TimeDelta) {
        let time = time.max(TimeDelta::ZERO).min(TimeDelta::from_secs(1_000_000));
        self.now = Now { clock: self.now.clock + time, mono: self.now.mono + time };
    }

    /// To the next timer, or a while.
    fn wait(&mut self, op: u8, arg: u8) {
        let due = self.engine.next_timeout().map(|due| due - self.now.mono);
        let due = due.filter(|_| op < 3).unwrap_or(TimeDelta::from_millis(i64::from(arg) << (arg % 12)));
        self.pass(due);
        self.handle(Input::Timer);
        self.drain();
        if op < 3 {
            let due = self.engine.next_timeout();
            assert!(due.is_none_or(|due| due > self.now.mono), "the same timer again");
        }
    }

    /// The reply to one of the last requests, right or spoilt in one place.
    fn reply(&mut self, op: u8, arg: u8, spoil: Option<[u8; 2]>) {
        let Some(last) = self.sent.len().checked_sub(1) else { return };
        let sent = &self.sent[last - usize::from(arg & 3).min(last)];
        let mut reply = sent.bytes.clone();
        let own = i64::from(match sent.to.ip() {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(_) => 0,
        });
        let delay = TimeDelta::from_nanos(50_000 + (i64::from(arg) << (op % 4 * 4)));
        let truth = self.now.clock + TimeDelta::from_nanos(self.ahead) + delay / 2;
        let truth = truth + TimeDelta::from_nanos(own << (arg % 24));
        reply[0] = 0x20 | if sent.bytes[0] & 7 == 1 { 1 } else { 4 };
        let bits = NtpTimestamp::from_timestamp(truth).to_bits();
        reply[24..32].copy_from_slice(&sent.bytes[40..48]);
        reply[16..24].copy_from_slice(&(bits.wrapping_sub(16 << 32)).to_be_bytes());
        reply[32..40].copy_from_slice(&bits.to_be_bytes());
        reply[40..48].copy_from_slice(&bits.wrapping_add(4096).to_be_bytes());
        (reply[1], reply[3]) = (1 + (arg >> 6), 0xe9);
        if let ([place, value], true) = (spoil.unwrap_or([255, 0]), op > 7) {
            reply.get_mut(usize::from(place)).into_iter().for_each(|byte| *byte = value);
        }
        let source = sent.source;
        self.pass(delay);
        let received = stamp(self.now.clock, arg);
        self.handle(Input::Reply { source, bytes: &reply, received, local: Some([192, 0, 2, 200].into()) });
    }

    /// The clock is not where it was: somebody stepped it, or the machine slept.
    fn disturb(&mut self, arg: u8) {
        let size = TimeDelta::from_nanos((i64::from(arg) - 128) << (arg % 40));
        match arg & 3 {
            0 | 1 => self.now.clock = self.now.clock + size,
            2 => {
                self.now.clock = self.now.clock + size.abs();
                self.handle(Input::Suspended);
            }
            _ => self.ahead = self.ahead.saturating_add(size.as_nanos()),
        }
    }

    /// An operator.
    fn ask(&mut self, arg: u8) {
        let id = SourceId(u32::from(arg >> 5) + 1);
        let (now, rng) = (self.now, &mut self.rng);
        match arg & 15 {
            0 => drop(self.engine.remove(now, id, rng)),
            1 => self.engine.reselect(now, rng),
            2 => self.engine.reset_sources(now, rng),
            3 => drop(self.engine.make_step(now)),
            4 => self.engine.set_makestep(f64::from(arg) * 1e-3, i32::from(arg >> 4) - 2),
            5 => self.engine.adjust_by_hand(now, f64::from(arg) - 128.0, (f64::from(arg) - 128.0) * 1e-6),
            6 => self.engine.burst(now, id, u32::from(arg >> 4), 15, rng),
            7 => self.engine.set_online(now, id, arg & 16 == 0, rng),
            8 => self.engine.set_max_update_skew(f64::from(arg)),
            9 => self.refusing = !self.refusing,
            10 => self.add(arg),
            11 => self.engine.set_reselect_distance(f64::from(arg) * 1e-4),
            12 => drop(self.engine.activate_smoothing(now)),
            13 => drop(self.engine.reset_smoothing(now)),
            _ => self.engine.shut_down(now),
        }
    }

    /// One step of the story; answers what is left of it.
    fn step<'a>(&mut self, op: u8, arg: u8, rest: &'a [u8]) -> &'a [u8] {
        match op {
            0..=3 => self.wait(op, arg),
            4..=9 => self.reply(op, arg, rest.first_chunk().copied()),
            10 => {
                let (bytes, rest) = rest.split_at(rest.len().min(usize::from(arg)));
                let (source, received) = (SourceId(u32::from(arg & 7)), stamp(self.now.clock, arg));
                self.handle(Input::Reply { source, bytes, received, local: None });
                return rest;
            }
            11 if arg & 8 != 0 => self.broadcast(arg),
            11 => {
                let from = SocketAddr::from(([192, 0, 2, arg & 7], 123));
                let received = stamp(self.now.clock, arg);
                let bytes = self.sent.last().map_or(vec![0x21; 48], |sent| sent.bytes.clone());
                self.handle(Input::Symmetric { from, bytes: &bytes, received, local: None });
            }
            12 => {
                if let Some(Sent { source, token, .. }) = self.sent.last() {
                    let (source, token) = (*source, *token);
                    self.handle(Input::NotSent { source, token });
                }
            }
            13 | 14 => self.disturb(arg),
            15 => self.ask(arg),
            _ => return self.ask_more(op, arg, rest),
        }
        rest
    }

    fn drain(&mut self) {
        let mut actions = 0;
        while let Some(action) = self.engine.poll() {
            actions += 1;
            assert!(actions < MAX_ACTIONS, "endless actions: {action:?}");
            match action {
                Action::Send { source, to, bytes, token, .. } => {
                    assert!((48..=116).contains(&bytes.len()), "{}", bytes.len());
                    let at = stamp(self.now.clock, 0);
                    if self.sent.len() == 8 {
                        self.sent.remove(0);
                    }
                    self.sent.push(Sent { source, to, bytes, token });
                    self.handle(Input::Sent { source, token, at });
                }
                Action::Clock(command) => self.command(command),
                Action::Log(_, text) => assert!(!text.chars().any(char::is_control), "{text:?}"),
                Action::Drift(frequency, skew) => {
                    assert!(frequency.abs() <= 1.1e6 * MAX_RATE && skew.is_finite() && skew >= 0.0);
                }
                Action::Resolve { name, host, .. } => {
                    assert!(host.ends_with(".test") && !self.asked.contains(&name), "{host} again");
                    self.asked.push(name);
                }
                Action::Broadcast { .. } | Action::Close(_) | Action::Record(_) | Action::GiveUp => {}
            }
        }
    }

    fn command(&mut self, command: ClockCommand) {
        match command {
            ClockCommand::Status { max_error, est_error, leap, .. } => {
                let bound = TimeDelta::ZERO..=TimeDelta::from_secs(16);
                assert!(bound.contains(&max_error) && bound.contains(&est_error) && leap.abs() <= 1);
            }
            _ if self.refusing => {
                let setting = self.setting;
                self.handle(Input::Refused { command, setting });
            }
            ClockCommand::SetRate(setting) => {
                assert!((9000..=11_000).contains(&setting.tick), "{setting:?}");
                assert!(setting.freq.abs() <= 500 << 16 && setting.rate().abs() <= MAX_RATE, "{setting:?}");
                self.setting = setting;
            }
            ClockCommand::Step(by) => self.now.clock = self.now.clock + by,
            ClockCommand::Tai(_) => {}
        }
    }

    fn check(&self) {
        let engine = &self.engine;
        assert!(engine.frequency().abs() <= MAX_RATE, "{}", engine.frequency());
        let tracking = engine.tracking(self.now);
        for figure in [
            tracking.last_offset,
            tracking.rms_offset,
            tracking.residual,
            tracking.skew,
            tracking.root_delay,
            tracking.root_dispersion,
            tracking.update_interval,
            engine.timeline().remaining(self.now.clock),
        ] {
            assert!(figure.is_finite(), "{tracking:?}");
        }
        assert!(tracking.rms_offset >= 0.0 && tracking.root_delay >= 0.0 && tracking.root_dispersion >= 0.0);
        let snapshot = engine.snapshot(self.now);
        assert!(snapshot.root_delay.get().is_finite() && snapshot.root_dispersion.get() >= 0.0);
        let smoothed = engine.smoothing(self.now).map_or(0.0, |facts| facts.point.offset);
        let gap =
            (engine.served(self.now).served(self.now.clock) - snapshot.served(self.now.clock)).as_secs_f64();
        assert!((gap - smoothed).abs() <= 1e-8 + 1e-9 * smoothed.abs(), "{gap} {smoothed}");
        for (id, source) in engine.sources() {
            let facts = source.association.facts();
            assert!(facts.score.is_finite() && engine.shown(id).score.is_finite());
        }
        self.check_more();
    }
}

fn settings(first: [u8; 4]) -> Settings {
    let bit = |n: u8| first[2] >> n & 1 == 1;
    let default = Settings::default();
    Settings {
        makestep: bit(0).then_some((f64::from(first[3]) * 1e-2, i32::from(first[1] >> 4) - 3)),
        maxchange: bit(1).then_some((f64::from(first[3]), 1, i32::from(first[1] >> 4) - 2)),
        maxslewrate: if bit(2) { f64::from(first[3]) * 10.0 } else { default.maxslewrate },
        maxdrift: if bit(3) { f64::from(first[3]) } else { default.maxdrift },
        maxdistance: if bit(4) { 1e6 } else { default.maxdistance },
        maxjitter: if bit(4) { 1e6 } else { default.maxjitter },
        maxsamples: if bit(5) { u32::from(first[3] & 7) } else { default.maxsamples },
        corrtimeratio: if bit(6) { f64::from(first[3]) / 8.0 } else { default.corrtimeratio },
        rtcsync: bit(7),
        tempcomp: (first[0] & 32 != 0).then(|| {
            let k = [f64::from(first[2]) * 0.1 - 12.8, f64::from(first[3]) * 1e-4, 1e-9];
            TempComp::Quadratic { t0: 26_000.0, k }
        }),
        leapsecmode: [
            LeapSecondMode::System,
            LeapSecondMode::Slew,
            LeapSecondMode::Step,
            LeapSecondMode::Ignore,
        ][usize::from(first[0] >> 6)],
        refresh: if first[1] & 32 == 0 { default.refresh } else { u32::from(first[2]) << 4 },
        smoothing: (first[1] & 8 != 0).then(|| Smoothing {
            max_freq: f64::from(first[3]) * 10.0,
            max_wander: f64::from(first[2]) / 16.0,
            leap_only: first[1] & 16 != 0,
        }),
        ..default
    }
}

/// Any bytes as the story of a daemon: nothing panics, actions are few and within the kernel's limits, every figure is finite.
pub(crate) fn engine(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first_chunk::<4>() else { return };
    let mut story = Story::new(*first);
    story.drain();
    while let Some(([op, arg], next)) = rest.split_first_chunk::<2>() {
        rest = story.step(op % 32, *arg, next);
        story.drain();
        story.check();
    }
}
