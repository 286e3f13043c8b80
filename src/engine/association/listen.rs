//! Broadcasts heard: the round trip is measured by a few requests at the start, then each packet of mode 5 is a sample.

use std::net::IpAddr;
use std::rc::Rc;

use super::check::Tests;
use super::exchange::{MAX_ROOT_DISTANCE, Outcome, in_range, root_values};
use super::{Association, Context, Effect, LocalStamp, Stamp};
use crate::auth::Dialect;
use crate::engine::measurement::Measurement;
use crate::types::{Leap, MonoTime, NtpTimestamp, Secs, TimeDelta};
use crate::wire::ext::{Tail, Trailer};
use crate::wire::ntp::Header;

/// Good replies that the measurement of the round trip takes, and requests at most.
const VOLLEY: (u32, u32) = (4, 8);
/// Round trip where it is not measured, s (ntpd's `broadcastdelay`).
const USUAL_DELAY: f64 = 0.004;
/// Standard deviations of what the path adds that are taken for a bound, and the most that it adds, s.
const BOUND: f64 = 4.0;
const MAX_SCATTER: f64 = 1.0;
/// A packet is missed after this many intervals.
const LATE: f64 = 1.5;
/// Intervals that a packet may state, log2 s.
const POLLS: (i8, i8) = (0, 17);
/// The last poll of a source that has given up broadcasting, in silent polls after its reach register is empty.
pub(super) const SILENT: u32 = 8;

/// How a broadcast source is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Listening {
    /// The round trip is not measured (`novolley`).
    pub novolley: bool,
    /// Round trip that is taken instead, s; 0: it is measured, or else the usual one.
    pub delay: f64,
}

/// What is known of the path from a broadcast source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    /// The round trip; `None`: it is being measured.
    delay: Option<TimeDelta>,
    /// Transmit time stamp of its last packet.
    last: Option<NtpTimestamp>,
    /// Between its packets, s.
    interval: f64,
}

impl Association {
    /// Listens to the broadcasts of this source from now on, and asks it only to measure the round trip.
    pub fn listen(&mut self, now: MonoTime, listening: Listening) {
        let usual = if listening.delay > 0.0 { listening.delay } else { USUAL_DELAY };
        let delay = TimeDelta::from_secs_f64(usual).filter(|_| listening.novolley || listening.delay > 0.0);
        let interval = 64.0;
        self.path = Some(Path { delay, last: None, interval });
        match delay {
            Some(_) => self.expect(now, interval),
            None => self.schedule.volley(VOLLEY, now),
        }
    }

    /// Whether it is a source that broadcasts.
    pub const fn listens(&self) -> bool {
        self.path.is_some()
    }

    /// Whether nothing has been heard of a broadcast source for so long that it is not one any more.
    pub const fn has_fallen_silent(&self) -> bool {
        self.path.is_some() && self.unreachable >= SILENT
    }

    fn expect(&mut self, now: MonoTime, interval: f64) {
        self.schedule.wait(now + TimeDelta::from_secs_f64(LATE * interval).unwrap_or_default());
    }

    /// A timer of a source that broadcasts. Answers whether it was no time to ask it.
    pub(super) fn listened(&mut self, context: &Context<'_>) -> bool {
        let Some(path) = self.path else { return false };
        if path.delay.is_none() && !self.schedule.volley_is_over() {
            return false;
        }
        self.close();
        if path.delay.is_none() {
            let usual = TimeDelta::from_secs_f64(USUAL_DELAY);
            let measured = self.register.min_delay().and_then(TimeDelta::from_secs_f64);
            self.path = Some(Path { delay: measured.or(usual), ..path });
        } else {
            self.shift_reach(false);
        }
        self.expect(context.now.mono, path.interval);
        true
    }

    /// A packet of mode 5.
    pub(super) fn broadcast(
        &mut self,
        context: &mut Context<'_>,
        (header, tail): (Header, &Tail<'_>),
        bytes: &[u8],
        received: Stamp,
        local: Option<IpAddr>,
    ) {
        let Some(path) = self.path else { return };
        let authentic = match (self.key(), tail.trailer()) {
            (None, Trailer::None) => true,
            (None, _) => false,
            (Some(id), _) => context.keys.verify_packet(bytes, Dialect::Chrony) == Ok(id),
        };
        let newer = |last: NtpTimestamp| header.transmit.wrapping_since(last) > TimeDelta::ZERO;
        let mut tests = Tests {
            // an older packet again is a replay
            fresh: path.last.is_none_or(newer),
            origin: true,
            stamps: !header.transmit.is_zero(),
            authentic,
            ..Tests::default()
        };
        let mut packet = self.packet(context, header, received, local);
        if !tests.is_valid() {
            packet.tests = tests;
            self.effects.push_back(Effect::Packet(Rc::new(packet)));
            return;
        }
        let poll = header.poll.log2().clamp(POLLS.0, POLLS.1);
        let interval = f64::from(poll).exp2();
        self.path = Some(Path { last: Some(header.transmit), interval, ..path });
        // while the round trip is being measured, only that counts
        let Some(delay) = path.delay else { return };
        let stamp = LocalStamp::new(received, context.timeline);
        let roots = root_values(&header, tail);
        let outcome = self.hear_measured(context, &header, roots, delay, stamp);
        tests.synchronised = header.leap != Leap::Unsynchronised && (1..16).contains(&header.stratum.get());
        tests.root_distance = roots.0.get() / 2.0 + roots.1.get() < MAX_ROOT_DISTANCE;
        tests.sane =
            header.precision.to_secs().get() <= self.options.maxdelay && in_range(&outcome.measurement);
        (tests.delay_ratio, tests.delay_deviation) = (true, true);
        tests.loopless = !self.is_loop(context, &header, local);
        self.counters.valid = self.counters.valid.saturating_add(1);
        packet.fill(context, &outcome, tests);
        packet.authenticated = self.key().is_some();
        let packet = Rc::new(packet);
        self.last = Some(Rc::clone(&packet));
        self.effects.push_back(Effect::Packet(packet));
        self.shift_reach(tests.is_synchronised());
        if tests.is_good() {
            self.counters.good = self.counters.good.saturating_add(1);
            self.accept(context, outcome.measurement);
        }
        self.schedule.follow(poll.into());
        self.expect(context.now.mono, interval);
    }

    fn hear_measured(
        &self,
        context: &Context<'_>,
        header: &Header,
        (root_delay, root_dispersion): (Secs, Secs),
        delay: TimeDelta,
        stamp: LocalStamp,
    ) -> Outcome {
        let pivot = context.now.clock.max(context.host.released);
        let there = header.transmit.to_timestamp(pivot).as_nanos();
        let behind = TimeDelta::from_nanos(there.saturating_sub(stamp.at.as_nanos()));
        let configured = TimeDelta::from_secs_f64(self.options.offset).unwrap_or_default();
        // no round trip tells how long this packet waited on its way: the others before it do, by how they are scattered
        let predicted = self.register.predict(stamp.at, &context.timeline.line());
        let scatter = predicted.map_or(delay.as_secs_f64() / 2.0, |predicted| BOUND * predicted.jitter);
        let precision = context.host.precision.max(stamp.error) + header.precision.to_secs().get().min(1.0);
        let dispersion = precision + scatter.clamp(0.0, MAX_SCATTER);
        Outcome {
            measurement: Measurement {
                at: stamp.at,
                offset: behind + delay / 2 + configured,
                delay,
                dispersion: Secs::new(dispersion).unwrap_or_default(),
                root_delay,
                root_dispersion,
            },
            response_time: 0.0,
            sent: stamp,
            received: stamp,
        }
    }
}
