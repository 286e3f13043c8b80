//! What comes beside packets in a story: reference clocks, names, a thermometer, an operator.

use std::net::{IpAddr, SocketAddr};

use ntpbox::auth::Dialect;
use ntpbox::engine::association::Change;
use ntpbox::engine::daemon::{ClockReading, Correction, Input, Listed, Lookup, NameId};
use ntpbox::engine::interference::Interference;
use ntpbox::engine::leap::LeapTable;
use ntpbox::engine::measurement::SourceId;
use ntpbox::engine::options::{Kind, Local, Source};
use ntpbox::engine::refclock::Options;
use ntpbox::engine::selection;
use ntpbox::engine::timeline::KernelRate;
use ntpbox::types::{KeyId, Leap, Now, NtpTimestamp, RefId, TimeDelta, Timestamp};

use super::Story;

/// Names, and reference clocks, at most.
const MOST: u8 = 2;
/// Servers that are heard, at most.
const LISTENERS: usize = 8;
/// Places of a name.
const PLACES: usize = 16;

/// A second is inserted at the end of 2026.
const LIST: &str =
    "3439756800 34\n3550089600 35\n3644697600 36\n3692217600 37\n4007750400 38\n#@ 4100000000\n";

/// Local mode in one of its ways.
pub(super) fn local(arg: u8) -> Local {
    Local {
        stratum: 1 + arg % 15,
        orphan: arg & 16 != 0,
        distance: f64::from(arg & 32) / 32.0,
        activate: f64::from(arg & 64) / 64.0,
        waitsynced: f64::from(arg & 32),
        waitunsynced: f64::from(arg & 128),
    }
}

/// Any float: infinities and numbers that are none included.
fn float(bytes: &[u8]) -> (f64, &[u8]) {
    match bytes.split_first_chunk() {
        Some((first, rest)) => (f64::from_be_bytes(*first), rest),
        None => (f64::NAN, &[]),
    }
}

fn options(bits: u8) -> selection::Options {
    let bit = |n: u8| bits >> n & 1 == 1;
    selection::Options { noselect: bit(0), prefer: bit(1), trust: bit(2), require: bit(3) }
}

impl Story {
    pub(super) fn add_clock(&mut self, arg: u8) {
        if self.clocks == MOST {
            return;
        }
        self.clocks += 1;
        let mut options = Options::new(RefId::from_ascii([b'R', b'E', b'F', b'0' + self.clocks]));
        options.poll = i32::from(arg & 7) - 2;
        (options.flags.pps, options.flags.tai) = (arg & 8 != 0, arg & 24 == 16);
        (options.flags.prefer, options.flags.trust) = (arg & 32 != 0, arg & 96 == 96);
        options.filter = if arg & 64 == 0 { 64 } else { usize::from(arg & 3) };
        options.lock = (arg & 136 == 136).then(|| RefId::from_ascii(*b"REF1"));
        options.rate = f64::from(arg >> 6) * 2.0;
        options.width = f64::from(arg & 128) * 1e-3;
        self.engine.add_refclock(self.now, options);
    }

    fn add_name(&mut self, arg: u8) {
        if self.names == MOST {
            return;
        }
        self.names += 1;
        let kind = [Kind::Pool, Kind::Server, Kind::Peer, Kind::Pool][usize::from(arg & 3)];
        let mut options = Source::new(kind, &format!("name{}.test", self.names));
        options.maxsources = u32::from(arg >> 4);
        (options.flags.iburst, options.flags.ipv4) = (arg & 4 != 0, arg & 8 != 0);
        let places = self.engine.add_name(self.now, &options);
        assert!(places.len() <= PLACES, "{}", places.len());
        // what is asked comes out with the next input
        self.handle(Input::Timer);
    }

    /// A reading of a reference clock: near the truth, or anything.
    fn read_clock(&mut self, arg: u8, wild: Option<[u8; 2]>) {
        let clock = self.engine.clocks().nth(usize::from(arg & 1)).map(|(id, _)| id);
        let Some(source) = clock else { return };
        let truth = TimeDelta::from_nanos(self.ahead.saturating_add(i64::from(arg) << (arg % 12)));
        let (at, offset) = match wild {
            None => (self.now.clock, truth),
            Some([age, size]) => {
                let offset = TimeDelta::from_nanos((i64::from(size) - 128) << (age % 56));
                (self.now.clock - TimeDelta::from_millis(i64::from(age.cast_signed()) << (size % 16)), offset)
            }
        };
        let leap = [Leap::None, Leap::Add, Leap::Delete, Leap::Unsynchronised][usize::from(arg >> 6)];
        let reading = ClockReading { at, offset, pulse: arg & 2 != 0, leap };
        self.handle(Input::Clock { source, reading });
    }

    /// Somebody broadcasts: a packet with a key, without one, or with a wrong one.
    pub(super) fn broadcast(&mut self, arg: u8) {
        let host = 100 + (arg & 7) + (arg >> 5 & 1) * 8;
        let truth =
            self.now.clock + TimeDelta::from_nanos(self.ahead.saturating_add(i64::from(arg) << (arg % 30)));
        let bits = NtpTimestamp::from_timestamp(truth).to_bits();
        let mut bytes = vec![0; 48];
        (bytes[0], bytes[1], bytes[2], bytes[3]) = (0x25, 1 + (arg >> 6), arg & 15, 0xe9);
        bytes[16..24].copy_from_slice(&bits.wrapping_sub(16 << 32).to_be_bytes());
        bytes[40..48].copy_from_slice(&bits.to_be_bytes());
        if arg & 16 != 0 {
            let signed = self.engine.keys().sign_packet(KeyId::new(1), &mut bytes, Dialect::Chrony);
            assert!(signed.is_ok());
            bytes[20] ^= u8::from(arg & 128 != 0);
        }
        let received = super::stamp(self.now.clock, arg);
        let from = SocketAddr::from(([192, 0, 2, host], 123));
        self.handle(Input::Symmetric { from, bytes: &bytes, received, local: None });
    }

    /// The resolver answers; sometimes to a name that nobody asked for.
    fn resolve(&mut self, arg: u8) {
        let name = NameId(u32::from(arg & 3));
        self.asked.retain(|asked| *asked != name);
        let address = |n: u8| match n % 3 {
            0 => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(n)]),
            _ => IpAddr::from([192, 0, 2, n]),
        };
        let result = match arg >> 5 {
            0 => Lookup::Later,
            1 => Lookup::Never,
            count => Lookup::Addresses((0..count * 3).map(|n| address(n.wrapping_add(arg & 31))).collect()),
        };
        self.handle(Input::Resolved { name, result });
    }

    /// A human types the time, about right or not.
    fn type_time(&mut self, arg: u8) {
        let off = (i64::from(arg) - 128) << (arg % 50);
        let time = self.now.clock + TimeDelta::from_nanos(self.ahead.saturating_add(off));
        if let Ok(told) = self.engine.set_time(self.now, time) {
            assert!(told.offset.is_finite() && told.frequency.is_finite(), "{told:?}");
            assert!(told.frequency_change.is_finite(), "{told:?}");
        }
    }

    fn change<'a>(&mut self, arg: u8, rest: &'a [u8]) -> &'a [u8] {
        let id = SourceId(u32::from(arg >> 3));
        let (value, rest) = float(rest);
        let (poll, count) = (i32::from(arg) - 100, u32::from(arg));
        let change = match arg & 7 {
            0 => Change::MinPoll(poll),
            1 => Change::MaxPoll(poll),
            2 => Change::MaxDelay(value),
            3 => Change::MaxDelayRatio(value),
            4 => Change::MaxDelayDevRatio(value),
            5 => Change::MinStratum(count),
            6 => Change::PollTarget(count),
            _ => Change::Offset(value),
        };
        self.engine.change(self.now, id, change, &mut self.rng);
        rest
    }

    /// What was dumped comes back, as it is or in disorder.
    fn restore(&mut self, arg: u8) {
        let dumps = self.engine.dumps(self.now);
        for (address, mut dump) in dumps {
            for sample in &dump.samples {
                assert!(sample.offset.is_finite() && sample.original.is_finite(), "{sample:?}");
            }
            if arg & 1 == 1 {
                dump.samples.reverse();
            }
            if arg & 2 == 2 {
                dump.samples.iter_mut().for_each(|sample| sample.offset *= f64::from(arg) - 100.0);
            }
            dump.reach = dump.reach.rotate_left(u32::from(arg & 4));
            dump.samples.truncate(usize::from(arg >> 3) + 1);
            self.engine.restore(self.now, address, &dump, &mut self.rng);
        }
    }

    /// One step that has nothing to do with a packet; answers what is left of the story.
    pub(super) fn ask_more<'a>(&mut self, op: u8, arg: u8, rest: &'a [u8]) -> &'a [u8] {
        match op {
            16 | 17 => self.read_clock(arg, None),
            18 => self.read_clock(arg, rest.first_chunk().copied()),
            19 => self.add_clock(arg),
            20 => {
                let (temperature, rest) = float(rest);
                self.handle(Input::Temperature(if arg & 1 == 0 {
                    f64::from(arg) * 200.0
                } else {
                    temperature
                }));
                return rest;
            }
            21 => self.type_time(arg),
            22 => match arg & 3 {
                0 => self.engine.manual_mut().reset(),
                1 => drop(self.engine.manual_mut().delete(usize::from(arg >> 2))),
                _ => self.engine.manual_mut().enable(arg & 1 == 0),
            },
            23 => self.engine.set_local((arg & 1 == 0).then(|| local(arg))),
            24 => self.add_name(arg),
            25 | 26 => self.resolve(arg),
            27 => {
                match arg & 1 {
                    0 => self.engine.retry_names(self.now),
                    _ => self.engine.refresh_names(self.now),
                }
                self.handle(Input::Timer);
            }
            28 => return self.change(arg, rest),
            29 => self.engine.select_options(
                SourceId(u32::from(arg >> 4)),
                options(arg),
                options(arg.rotate_left(2)),
            ),
            30 => self.restore(arg),
            _ => self.ask_rarely(arg),
        }
        rest
    }

    fn ask_rarely(&mut self, arg: u8) {
        let size = (f64::from(arg) - 128.0) * f64::from(1_u32 << (arg % 16)) * 1e-6;
        match arg & 7 {
            5 | 6 => {
                let freq = (i32::from(arg) - 128) << (arg % 18);
                let setting = KernelRate { tick: 9000 + i32::from(arg) * 7, freq };
                let moved = TimeDelta::from_secs_f64(size).filter(|_| arg & 8 == 0);
                self.handle(Input::Interference(Interference { setting, moved }));
            }
            0 | 4 => self.engine.correct_at_start(
                self.now,
                size,
                if arg & 8 == 0 { Correction::Slew } else { Correction::Step },
            ),
            1 | 7 => {
                // a leap second at the end of today, where a day can have one
                let table = LeapTable::parse_list(LIST);
                assert!(table.is_some());
                self.engine.set_leap_table(table);
            }
            2 => {
                let to = Timestamp::from_unix(1_798_761_590, 0) - self.now.clock;
                if to > TimeDelta::ZERO && to < TimeDelta::from_secs(10_000_000) {
                    self.now = Now { clock: self.now.clock + to, mono: self.now.mono + to };
                    self.handle(Input::Timer);
                }
            }
            _ => match (arg >> 3) & 3 {
                0 => self.engine.leave_clock(self.now),
                1 => self.engine.take_clock(self.now, self.setting),
                _ => self.engine.set_leap_table(None),
            },
        }
    }

    pub(super) fn check_more(&self) {
        let engine = &self.engine;
        for (id, source) in engine.clocks() {
            let clock = &source.clock;
            let timeline = engine.timeline();
            let told = clock.register().statistics(timeline.free(self.now.clock), &timeline.line());
            assert!(told.skew.is_finite() && told.residual_frequency.ratio().is_finite());
            assert!(clock.register().len() <= 64 && engine.shown(id).score.is_finite());
        }
        for typed in engine.manual().shown(engine.timeline().line()) {
            assert!(typed.adjusted.is_finite() && typed.original.is_finite() && typed.residual.is_finite());
        }
        let listed = engine.listed().count();
        assert_eq!(listed, engine.count());
        let most = usize::from(super::SOURCES) + usize::from(MOST) * (PLACES + 1) + LISTENERS;
        assert!(listed <= most, "{listed} sources");
        let mut addresses: Vec<IpAddr> =
            engine.sources().map(|(_, source)| source.association.address().ip()).collect();
        addresses.sort_unstable();
        assert!(addresses.windows(2).all(|pair| pair[0] != pair[1]), "two sources with one address");
        assert!(engine.listed().all(|one| matches!(one, Listed::Unresolved(..)) || one.id().0 > 0));
    }
}
