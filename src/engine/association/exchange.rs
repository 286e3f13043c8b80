//! What a request holds, which reply counts, and what it tells (discipline.md §1.2, §1.9, §1.10).

use std::net::IpAddr;

use super::check::Tests;
use super::facts::Packet;
use super::schedule::Purpose;
use super::{Association, Context, Effect, LocalStamp, Notice, Stamp, Stamper, Token};
use crate::auth::{Dialect, KeyRing};
use crate::engine::measurement::Measurement;
use crate::engine::timeline::Exact;
use crate::types::{
    KeyId, Leap, LogInterval, Mode, MonoTime, NtpShort, NtpTimestamp, RefId, Secs, Stratum, TimeDelta,
    Timestamp, Version,
};
use crate::wire::ext::{Tail, Trailer};
use crate::wire::ntp::{Header, Kiss};

/// How long a reply is waited for beyond `maxdelay`.
const PATIENCE: f64 = 4.0;
/// Longest time that a server may keep a request, s.
const MAX_RESPONSE: f64 = 4.0;
/// Root distance from which on a packet says nothing, s.
const MAX_ROOT_DISTANCE: f64 = 16.0;
/// Samples that test C needs.
const MIN_PREDICTORS: usize = 6;
/// So many samples in a row that are late by about the same are a longer route …
const ROUTE_SAMPLES: usize = 8;
/// … if the shortest of them exceeds the old minimum by so many times their own range (the longest left out).
const ROUTE_RANGES: f64 = 3.0;
/// So many samples in a row that are late by anything are the truth.
const MANY_SUSPECTS: u32 = 24;
/// The precision that a request states: it reveals nothing.
const HIDDEN_PRECISION: LogInterval = LogInterval::from_log2(32);
/// Longest digest, bytes, that an NTPv4 packet carries whole.
const V4_DIGEST: usize = 20;
/// Sane times end in 2261, shortly before time stamps do.
const LATEST: Timestamp = Timestamp::from_unix(9_200_000_000, 0);

/// A request without an answer yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    token: Token,
    purpose: Purpose,
    transmit: NtpTimestamp,
    sent: LocalStamp,
    until: MonoTime,
}

/// What is remembered of the packets so far.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Number of the last request.
    token: Token,
    pending: Option<Pending>,
    /// Receive and transmit time stamps of the last valid packet: the same again is a duplicate.
    last: Option<(NtpTimestamp, NtpTimestamp)>,
}

impl Memory {
    /// A better stamp of a request that is still open.
    pub(super) fn sent(&mut self, token: Token, stamp: LocalStamp) {
        if let Some(pending) = &mut self.pending
            && pending.token == token
            && stamp.by >= pending.sent.by
        {
            pending.sent = stamp;
        }
    }

    pub(super) fn cancel(&mut self, token: Token) -> bool {
        let found = self.pending.is_some_and(|pending| pending.token == token);
        if found {
            self.pending = None;
        }
        found
    }

    pub(super) const fn is_open(&self) -> bool {
        self.pending.is_some()
    }

    /// When the socket of the last request is closed.
    pub(super) fn patience(&self) -> Option<MonoTime> {
        self.pending.map(|pending| pending.until)
    }

    pub(super) fn give_up(&mut self) {
        self.pending = None;
    }

    /// All but the number of the last request.
    pub(super) fn forget(&mut self) {
        *self = Self { token: self.token, ..Self::default() };
    }
}

/// What a packet says about one exchange.
struct Outcome {
    measurement: Measurement,
    /// Seconds that the server kept the request.
    response_time: f64,
    sent: LocalStamp,
}

impl Association {
    /// Version of the requests.
    fn version(&self, keys: &KeyRing) -> Version {
        match u8::try_from(self.options.version) {
            Ok(version @ 1..=4) => return Version::from_bits(version),
            _ if self.options.flags.xleave => return Version::V4,
            _ if self.options.extensions.mono_root || self.options.extensions.net_correction => {
                return Version::V4;
            }
            _ => {}
        }
        // a digest that NTPv4 would cut goes whole in NTPv3, for the sake of old servers
        let digest = self.key().and_then(|id| keys.get(id)).map_or(0, |key| key.algorithm().digest_len());
        if digest > V4_DIGEST { Version::V3 } else { Version::V4 }
    }

    fn key(&self) -> Option<KeyId> {
        (self.options.key != 0).then(|| KeyId::new(self.options.key))
    }

    /// The next request; `None` if it cannot be made.
    pub(super) fn request(
        &mut self,
        context: &mut Context<'_>,
        purpose: Purpose,
    ) -> Option<(Vec<u8>, Token)> {
        let transmit = random_stamp(context);
        let header = Header {
            leap: Leap::None,
            version: self.version(context.keys),
            mode: Mode::Client,
            stratum: Stratum::UNSPECIFIED,
            poll: LogInterval::from_log2(i8::try_from(self.schedule.poll()).unwrap_or(6)),
            precision: HIDDEN_PRECISION,
            root_delay: NtpShort::ZERO,
            root_dispersion: NtpShort::ZERO,
            refid: RefId::default(),
            reference: NtpTimestamp::ZERO,
            origin: NtpTimestamp::ZERO,
            receive: NtpTimestamp::ZERO,
            transmit,
        };
        let mut bytes = header.emit().to_vec();
        self.sign(context.keys, &mut bytes)?;
        let token = Token(self.memory.token.0.wrapping_add(1));
        self.memory.token = token;
        let now = Stamp {
            at: context.now.clock,
            by: Stamper::Daemon,
            error: Secs::new(context.host.precision).unwrap_or_default(),
        };
        let patience = TimeDelta::from_secs_f64(self.options.maxdelay.clamp(0.0, 1e6) + PATIENCE);
        self.memory.pending = Some(Pending {
            token,
            purpose,
            transmit,
            sent: LocalStamp::new(now, context.timeline),
            until: context.now.mono + patience.unwrap_or_default(),
        });
        Some((bytes, token))
    }

    /// Appends the MAC; `None` without the key that it takes.
    fn sign(&mut self, keys: &KeyRing, bytes: &mut Vec<u8>) -> Option<()> {
        let Some(id) = self.key() else { return Some(()) };
        let signed = keys.sign_packet(id, bytes, Dialect::Chrony).ok();
        if signed.is_none() && !self.key_missed {
            self.key_missed = true;
            self.effects.push_back(Effect::Notice(Notice::KeyMissing(self.options.key)));
        }
        signed
    }

    /// A datagram of this source.
    pub(super) fn reply(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
        received: Stamp,
        local: Option<IpAddr>,
    ) {
        self.counters.received = self.counters.received.saturating_add(1);
        let (Ok(header), Ok(tail)) = (Header::parse(bytes), Tail::parse(bytes)) else { return };
        if header.mode != Mode::Server || !(1..=4).contains(&header.version.get()) {
            return;
        }
        let authentic = match (self.key(), tail.trailer()) {
            (None, Trailer::None) => true,
            (None, _) => false,
            (Some(id), _) => context.keys.verify_packet(bytes, Dialect::Chrony) == Ok(id),
        };
        let stamp = LocalStamp::new(received, context.timeline);
        let pending = self.memory.pending;
        let mut tests = Tests {
            fresh: self.memory.last != Some((header.receive, header.transmit)),
            origin: pending.is_some_and(|pending| pending.transmit == header.origin),
            stamps: !header.receive.is_zero() && !header.transmit.is_zero() && !header.origin.is_zero(),
            authentic,
            ..Tests::default()
        };
        let mut packet = self.packet(context, header, received, local);
        let valid = pending.filter(|_| tests.is_valid());
        let Some(pending) = valid else {
            packet.tests = tests;
            self.effects.push_back(Effect::Packet(Box::new(packet)));
            return;
        };
        self.memory.pending = None;
        self.memory.last = Some((header.receive, header.transmit));
        self.effects.push_back(Effect::Close);
        self.count(&pending.sent, &stamp);
        let outcome = self.measure(context, &header, pending.sent, stamp);
        tests.synchronised = header.leap != Leap::Unsynchronised && (1..16).contains(&header.stratum.get());
        tests.root_distance = header.root_delay.to_secs().get() / 2.0
            + header.root_dispersion.to_secs().get()
            < MAX_ROOT_DISTANCE;
        self.judge(context, &mut tests, &header, &outcome, (pending.purpose, local));
        packet.fill(context, &outcome, tests, &stamp);
        packet.authenticated = self.key().is_some();
        self.effects.push_back(Effect::Packet(Box::new(packet.clone())));
        self.last = Some(Box::new(packet));
        if pending.purpose == Purpose::Measure {
            self.conclude(context, tests, &header, outcome.measurement);
        }
    }

    fn count(&mut self, sent: &LocalStamp, received: &LocalStamp) {
        let counters = &mut self.counters;
        counters.valid = counters.valid.saturating_add(1);
        for (by, (kernel, hardware)) in
            [(sent.by, &mut counters.sent_stamps), (received.by, &mut counters.received_stamps)]
        {
            match by {
                Stamper::Daemon => {}
                Stamper::Kernel => *kernel = kernel.saturating_add(1),
                Stamper::Hardware => *hardware = hardware.saturating_add(1),
            }
        }
    }

    fn packet(
        &self,
        context: &Context<'_>,
        header: Header,
        received: Stamp,
        local: Option<IpAddr>,
    ) -> Packet {
        Packet {
            header,
            tests: Tests::default(),
            at: context.timeline.estimated(received.at),
            local,
            offset: Secs::ZERO,
            delay: Secs::ZERO,
            dispersion: Secs::ZERO,
            response_time: Secs::ZERO,
            root_delay: header.root_delay.to_secs(),
            root_dispersion: header.root_dispersion.to_secs(),
            interleaved: false,
            authenticated: false,
            sent_by: Stamper::Daemon,
            received_by: received.by,
            poll: self.schedule.poll(),
            score: self.schedule.score(),
        }
    }

    /// Four time stamps → offset and delay on the free clock.
    fn measure(
        &self,
        context: &Context<'_>,
        header: &Header,
        sent: LocalStamp,
        received: LocalStamp,
    ) -> Outcome {
        let pivot = context.now.clock.max(context.host.released);
        let free = |stamp: NtpTimestamp| stamp.to_timestamp(pivot).as_nanos();
        let ahead = |remote: i64, local: LocalStamp| {
            TimeDelta::from_nanos(remote.saturating_sub(local.at.as_nanos()))
        };
        let (there, back) = (free(header.receive), free(header.transmit));
        let configured = TimeDelta::from_secs_f64(self.options.offset).unwrap_or_default();
        let offset = TimeDelta::midpoint(ahead(there, sent), ahead(back, received)) + configured;
        let response = header.transmit.wrapping_since(header.receive).as_secs_f64();
        // the round trip in seconds of the source, as nearly as the host knows them
        let elapsed = (received.at - sent.at).as_secs_f64() * (1.0 + context.timeline.line().rate);
        let precision = context.host.precision;
        let least = precision + header.precision.to_secs().get().min(1e6);
        let delay = TimeDelta::from_secs_f64((elapsed - response).abs().max(least)).unwrap_or_default();
        let error = precision.max(sent.error).max(received.error);
        let dispersion = error + self.register.skew_bound() * elapsed.abs();
        Outcome {
            measurement: Measurement {
                at: sent.at + (received.at - sent.at) / 2,
                offset,
                delay,
                dispersion: Secs::new(dispersion).unwrap_or_default(),
                root_delay: header.root_delay.to_secs(),
                root_dispersion: header.root_dispersion.to_secs(),
            },
            response_time: response,
            sent,
        }
    }

    /// Tests A to D.
    fn judge(
        &mut self,
        context: &mut Context<'_>,
        tests: &mut Tests,
        header: &Header,
        outcome: &Outcome,
        (purpose, local): (Purpose, Option<IpAddr>),
    ) {
        let measurement = &outcome.measurement;
        let (delay, dispersion) = (measurement.delay.as_secs_f64(), measurement.dispersion.get());
        let maxdelay = self.options.maxdelay;
        let told = Timestamp::from_nanos(measurement.at.as_nanos()) + measurement.offset;
        tests.sane = delay - dispersion <= maxdelay
            && header.precision.to_secs().get() <= maxdelay
            && purpose == Purpose::Measure
            && (0.0..=MAX_RESPONSE).contains(&outcome.response_time)
            && told > Timestamp::UNIX_EPOCH
            && told < LATEST;
        let line = context.timeline.line();
        let prediction = self.register.predict(measurement.at, &line);
        let excess = prediction.map(|prediction| {
            let drift = prediction.ago * (prediction.skew + context.host.maxclockerror);
            (prediction, drift, delay - prediction.min_delay)
        });
        let ratio = self.options.maxdelayratio;
        tests.delay_ratio = ratio <= 0.0
            || excess.is_none_or(|(prediction, drift, _)| delay <= prediction.min_delay * ratio + drift);
        let ratio = self.options.maxdelaydevratio;
        tests.delay_deviation = match &mut self.quantile {
            Some(quantile) => {
                let admitted = quantile.admits(delay);
                if tests.is_synchronised() && tests.sane {
                    quantile.learn(delay, context.rng);
                }
                admitted
            }
            None if ratio > 0.0 => excess.is_none_or(|(prediction, drift, excess)| {
                let allowed = prediction.jitter * ratio + drift;
                let missed = Exact::from_delta(measurement.offset).minus(prediction.offset).abs();
                // what the delay cannot explain is a real change
                prediction.samples < MIN_PREDICTORS
                    || excess / 2.0 <= allowed
                    || missed - excess / 2.0 > allowed
            }),
            None => true,
        };
        tests.loopless = !self.is_loop(context, header, local);
    }

    /// Whether the source follows us, or is ourselves.
    fn is_loop(&self, context: &Context<'_>, header: &Header, local: Option<IpAddr>) -> bool {
        let Some(local) = local else { return false };
        let follows_us = header.stratum.get() > 1 && refid_of(local) == Some(header.refid);
        let is_us = local == self.address.ip() && context.host.serving == Some(self.address.port());
        follows_us || is_us
    }

    /// What follows from a valid reply.
    fn conclude(
        &mut self,
        context: &mut Context<'_>,
        tests: Tests,
        header: &Header,
        measurement: Measurement,
    ) {
        self.schedule.answered();
        self.shift_reach(tests.is_synchronised());
        if let Some(kiss @ (Kiss::Rate | Kiss::Deny | Kiss::Restrict)) = header.kiss() {
            self.schedule.kissed(kiss != Kiss::Rate, &self.options, context);
            if !self.kissed {
                self.kissed = true;
                self.effects.push_back(Effect::Notice(Notice::Kiss(kiss)));
            }
            return;
        }
        if tests.is_good() {
            self.counters.good = self.counters.good.saturating_add(1);
            self.kissed = false;
            self.suspects.clear();
            self.suspected = 0;
            self.accept(context, measurement);
            self.schedule.good(context);
            return;
        }
        self.schedule.bad(tests.only_loops(), &self.options);
        if tests.is_synchronised() && tests.only_delay_is_long() && self.quantile.is_none() {
            self.suspect(context, measurement);
        }
    }

    /// A good sample.
    fn accept(&mut self, context: &mut Context<'_>, measurement: Measurement) {
        let line = context.timeline.line();
        let predicted = self.register.predict(measurement.at, &line);
        let error = predicted.map(|p| Exact::from_delta(measurement.offset).minus(p.offset).abs());
        self.register.push(measurement, &line);
        let distance = measurement.delay.as_secs_f64() / 2.0 + measurement.dispersion.get();
        let samples = u32::try_from(self.register.len()).map_or(0.0, f64::from);
        let min_delay = self.register.min_delay();
        self.schedule.learn(error, distance, samples, min_delay, &self.options);
        self.effects.push_back(Effect::Sample(measurement));
    }

    /// A sample whose only fault is its delay. Enough of them in a row, late by about the same, came by a longer route:
    /// then the register begins anew with them (discipline.md, note (d)).
    fn suspect(&mut self, context: &mut Context<'_>, measurement: Measurement) {
        if self.suspects.len() == ROUTE_SAMPLES {
            self.suspects.pop_front();
        }
        self.suspects.push_back(measurement);
        self.suspected = self.suspected.saturating_add(1);
        if self.suspects.len() < ROUTE_SAMPLES {
            return;
        }
        let mut delays: Vec<f64> = self.suspects.iter().map(|m| m.delay.as_secs_f64()).collect();
        delays.sort_unstable_by(f64::total_cmp);
        let (Some(shortest), Some(longest)) = (delays.first(), delays.get(delays.len() - 2)) else { return };
        let displaced = shortest - self.register.min_delay().unwrap_or(*shortest);
        if displaced > ROUTE_RANGES * (longest - shortest) || self.suspected >= MANY_SUSPECTS {
            self.register.reset();
            self.suspected = 0;
            let line = context.timeline.line();
            for measurement in std::mem::take(&mut self.suspects) {
                self.register.push(measurement, &line);
                self.effects.push_back(Effect::Sample(measurement));
            }
        }
    }
}

impl Packet {
    fn fill(&mut self, context: &Context<'_>, outcome: &Outcome, tests: Tests, received: &LocalStamp) {
        self.tests = tests;
        let believed = context.timeline.line().offset_at(outcome.measurement.at);
        let offset = Exact::from_delta(outcome.measurement.offset).minus(believed);
        self.offset = Secs::new(offset).unwrap_or_default();
        self.delay = Secs::from(outcome.measurement.delay);
        self.dispersion = outcome.measurement.dispersion;
        self.response_time = Secs::new(outcome.response_time).unwrap_or_default();
        self.root_delay = outcome.measurement.root_delay;
        self.root_dispersion = outcome.measurement.root_dispersion;
        self.sent_by = outcome.sent.by;
        self.received_by = received.by;
    }
}

/// A time stamp that says nothing and cannot be guessed; never zero.
fn random_stamp(context: &mut Context<'_>) -> NtpTimestamp {
    NtpTimestamp::from_bits(context.rng.next_u64().max(1))
}

/// The reference ID of those that follow this address; the hash of an IPv6 address: `auth`.
fn refid_of(address: IpAddr) -> Option<RefId> {
    match address.to_canonical() {
        IpAddr::V4(address) => Some(RefId::from_ipv4(address)),
        IpAddr::V6(address) => Some(crate::auth::refid_of_ipv6(address)),
    }
}
