//! Which reply counts, and what it tells (discipline.md §1.2).

use std::net::IpAddr;
use std::rc::Rc;

use super::check::Tests;
use super::facts::Packet;
use super::request::{Fit, Heard, MONO_ROOT, MONO_ROOT_MAGIC};
use super::schedule::Purpose;
use super::{Association, Context, Effect, LocalStamp, Role, Stamp, Stamper};
use crate::auth::Dialect;
use crate::engine::measurement::Measurement;
use crate::engine::timeline::Exact;
use crate::types::{Leap, Mode, NtpTimestamp, RefId, Secs, TimeDelta, Timestamp};
use crate::wire::ext::{Tail, Trailer};
use crate::wire::ntp::Header;

/// Longest time that a server may keep a request, s.
const MAX_RESPONSE: f64 = 4.0;
/// Root distance from which on a packet says nothing, s.
pub(super) const MAX_ROOT_DISTANCE: f64 = 16.0;
/// Samples that test C needs.
const MIN_PREDICTORS: usize = 6;
/// Sane times end in 2261, shortly before time stamps do.
const LATEST: Timestamp = Timestamp::from_unix(9_200_000_000, 0);

/// What a packet says about one exchange.
pub(super) struct Outcome {
    pub(super) measurement: Measurement,
    /// Seconds that the server kept the request.
    pub(super) response_time: f64,
    pub(super) sent: LocalStamp,
    pub(super) received: LocalStamp,
}

impl Association {
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
        if header.mode == Mode::Broadcast {
            return self.broadcast(context, (header, &tail), bytes, received, local);
        }
        let expected = match self.role {
            Role::Client | Role::Listener => header.mode == Mode::Server,
            Role::Peer => matches!(header.mode, Mode::SymmetricActive | Mode::SymmetricPassive),
        };
        if !expected || !(1..=4).contains(&header.version.get()) {
            return;
        }
        let authentic = match (self.key(), tail.trailer()) {
            (None, Trailer::None) => true,
            (None, _) => false,
            (Some(id), _) => context.keys.verify_packet(bytes, Dialect::Chrony) == Ok(id),
        };
        let stamp = LocalStamp::new(received, context.timeline);
        let fit = self.memory.fit(header.origin);
        let mut tests = Tests {
            fresh: self.memory.last != Some((header.receive, header.transmit)),
            origin: fit.is_some(),
            stamps: !header.receive.is_zero() && !header.transmit.is_zero() && !header.origin.is_zero(),
            authentic,
            ..Tests::default()
        };
        let mut packet = self.packet(context, header, received, local);
        if self.role == Role::Peer && tests.fresh && authentic && !header.transmit.is_zero() {
            // also one that answers nothing of ours: our next packet answers it
            let served = context.host.snapshot.served(received.at);
            self.memory.hear(Heard {
                receive: header.receive,
                transmit: header.transmit,
                received: NtpTimestamp::from_timestamp(served),
                stamp,
                fits: fit.is_some(),
            });
        }
        let (Some(pending), Some(fit), true) = (self.memory.pending, fit, tests.is_valid()) else {
            packet.tests = tests;
            self.effects.push_back(Effect::Packet(Rc::new(packet)));
            return;
        };
        let previous = self.memory.previous.filter(|_| fit == Fit::Interleaved && self.role == Role::Client);
        let answered = pending.answers.filter(|_| fit == Fit::Interleaved);
        let (remote_receive, stamps) = match (previous, answered) {
            // what the exchange before lacked was the true time of the server's reply
            (Some(previous), _) => (previous.remote_receive, (previous.sent, previous.received)),
            // the true time of the packet that our last one answered
            (None, Some(answered)) => (header.receive, (pending.sent, answered)),
            (None, None) => (header.receive, (pending.sent, stamp)),
        };
        let roots = root_values(&header, &tail);
        let outcome = self.measure(context, &header, roots, remote_receive, stamps);
        self.memory.complete(&header, stamp, fit);
        self.close();
        self.count(&outcome);
        tests.synchronised = header.leap != Leap::Unsynchronised && (1..16).contains(&header.stratum.get());
        tests.root_distance = roots.0.get() / 2.0 + roots.1.get() < MAX_ROOT_DISTANCE;
        // an exchange is measured once
        let new = pending.purpose == Purpose::Measure && previous.is_none_or(|previous| !previous.used);
        self.judge(context, &mut tests, &header, &outcome, (new, local));
        packet.fill(context, &outcome, tests);
        packet.interleaved = fit == Fit::Interleaved;
        packet.authenticated = self.key().is_some();
        let packet = Rc::new(packet);
        self.last = Some(Rc::clone(&packet));
        self.effects.push_back(Effect::Packet(packet));
        if pending.purpose == Purpose::Measure {
            self.conclude(context, tests, &header, outcome.measurement);
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        let counters = &mut self.counters;
        counters.valid = counters.valid.saturating_add(1);
        for (by, (kernel, hardware)) in [
            (outcome.sent.by, &mut counters.sent_stamps),
            (outcome.received.by, &mut counters.received_stamps),
        ] {
            match by {
                Stamper::Daemon => {}
                Stamper::Kernel => *kernel = kernel.saturating_add(1),
                Stamper::Hardware => *hardware = hardware.saturating_add(1),
            }
        }
    }

    pub(super) fn packet(
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
        (root_delay, root_dispersion): (Secs, Secs),
        remote_receive: NtpTimestamp,
        (sent, received): (LocalStamp, LocalStamp),
    ) -> Outcome {
        let pivot = context.now.clock.max(context.host.released);
        let free = |stamp: NtpTimestamp| stamp.to_timestamp(pivot).as_nanos();
        let ahead = |remote: i64, local: LocalStamp| {
            TimeDelta::from_nanos(remote.saturating_sub(local.at.as_nanos()))
        };
        let (there, back) = (free(remote_receive), free(header.transmit));
        let configured = TimeDelta::from_secs_f64(self.options.offset).unwrap_or_default();
        let offset = TimeDelta::midpoint(ahead(there, sent), ahead(back, received)) + configured;
        let response = header.transmit.wrapping_since(remote_receive).as_secs_f64();
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
                root_delay,
                root_dispersion,
            },
            response_time: response,
            sent,
            received,
        }
    }

    /// Tests A to D.
    fn judge(
        &mut self,
        context: &mut Context<'_>,
        tests: &mut Tests,
        header: &Header,
        outcome: &Outcome,
        (new, local): (bool, Option<IpAddr>),
    ) {
        let measurement = &outcome.measurement;
        let (delay, dispersion) = (measurement.delay.as_secs_f64(), measurement.dispersion.get());
        let maxdelay = self.options.maxdelay;
        tests.sane = delay - dispersion <= maxdelay
            && header.precision.to_secs().get() <= maxdelay
            && new
            && (self.role == Role::Peer || (0.0..=MAX_RESPONSE).contains(&outcome.response_time))
            && in_range(measurement);
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
    pub(super) fn is_loop(&self, context: &Context<'_>, header: &Header, local: Option<IpAddr>) -> bool {
        let Some(local) = local else { return false };
        let follows_us = header.stratum.get() > 1 && refid_of(local) == Some(header.refid);
        let is_us = local == self.address.ip()
            && context.host.serving.iter().any(|ours| {
                let here = if ours.ip().is_unspecified() {
                    ours.is_ipv4() == local.is_ipv4()
                } else {
                    ours.ip() == local
                };
                here && ours.port() == self.address.port()
            });
        follows_us || is_us
    }
}

impl Packet {
    pub(super) fn fill(&mut self, context: &Context<'_>, outcome: &Outcome, tests: Tests) {
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
        self.received_by = outcome.received.by;
    }
}

/// Whether a sample tells a time that can be.
pub(super) fn in_range(measurement: &Measurement) -> bool {
    let told = Timestamp::from_nanos(measurement.at.as_nanos()) + measurement.offset;
    told > Timestamp::UNIX_EPOCH && told < LATEST
}

/// Root delay and root dispersion: of the header, or finer ones (4.28 bits) of a field that we asked for.
pub(super) fn root_values(header: &Header, tail: &Tail<'_>) -> (Secs, Secs) {
    let fine = tail.fields().filter(|field| field.kind == MONO_ROOT).find_map(|field| match field.body {
        [a, b, c, d, e, f, g, h, i, j, k, l, ..] if [*a, *b, *c, *d] == MONO_ROOT_MAGIC => {
            let secs = |bytes| f64::from(u32::from_be_bytes(bytes)) / 268_435_456.0;
            Some((secs([*e, *f, *g, *h]), secs([*i, *j, *k, *l])))
        }
        _ => None,
    });
    match fine.map(|(delay, dispersion)| (Secs::new(delay), Secs::new(dispersion))) {
        Some((Some(delay), Some(dispersion))) => (delay, dispersion),
        _ => (header.root_delay.to_secs(), header.root_dispersion.to_secs()),
    }
}

/// The reference ID of those that follow this address; the hash of an IPv6 address: `auth`.
fn refid_of(address: IpAddr) -> Option<RefId> {
    match address.to_canonical() {
        IpAddr::V4(address) => Some(RefId::from_ipv4(address)),
        IpAddr::V6(address) => Some(crate::auth::refid_of_ipv6(address)),
    }
}
