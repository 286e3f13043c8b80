//! What ntpd remembers of an association and our engine does not: the filter of eight samples, events, counters of `pstats`.

use crate::control::mode6::facts::{AssociationCounters, Events, Sample};
use crate::engine::association::Packet;
use crate::types::{MonoTime, Secs, Timestamp};

/// Error bound of a slot without a sample, s.
const MAX_DISPERSION: f64 = 16.0;
/// Error bound of a filter that is not full, s: no jitter below the precision is believed.
const SLOTS: usize = 8;

/// Events of an association.
pub(super) mod event {
    pub(in super::super) const MOBILIZE: u8 = 1;
    pub(in super::super) const UNREACHABLE: u8 = 3;
    pub(in super::super) const REACHABLE: u8 = 4;
    pub(in super::super) const RATE: u8 = 7;
    pub(in super::super) const DENIED: u8 = 8;
    pub(in super::super) const SYSTEM_PEER: u8 = 10;
    pub(in super::super) const BAD_AUTH: u8 = 12;

    /// As the log names them.
    pub(in super::super) fn name(event: u8) -> &'static str {
        match event {
            MOBILIZE => "mobilize",
            UNREACHABLE => "unreachable",
            REACHABLE => "reachable",
            RATE => "rate_exceeded",
            DENIED => "access_denied",
            SYSTEM_PEER => "sys_peer",
            _ => "bad_auth",
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    sample: Sample,
    /// `None`: nothing came.
    at: Option<MonoTime>,
}

const EMPTY: Slot = Slot { sample: Sample::EMPTY, at: None };

/// The best of the filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Best {
    pub(super) offset: Secs,
    pub(super) delay: Secs,
    pub(super) dispersion: Secs,
    pub(super) jitter: Secs,
}

/// One association's.
#[derive(Debug, Clone)]
pub(super) struct Track {
    slots: [Slot; SLOTS],
    pub(super) events: Events,
    /// As it was seen last.
    pub(super) reach: u8,
    pub(super) reach_changed: MonoTime,
    pub(super) selected: bool,
    sent: u32,
    /// Fill of the send bucket at an instant, s.
    bucket: (f64, MonoTime),
    pub(super) last_received: Option<MonoTime>,
    pub(super) received_at: Option<Timestamp>,
    pub(super) bad_auth: u64,
    pub(super) bogus_origin: u64,
    pub(super) duplicates: u64,
    pub(super) bad_distance: u64,
    /// Tests of the last packet that it failed, as bits of `flash`.
    pub(super) failed: u16,
    pub(super) authentic: bool,
    /// Its counters when they were set to zero.
    pub(super) zeroes: AssociationCounters,
}

impl Track {
    pub(super) fn new(now: MonoTime) -> Self {
        let mut events = Events::default();
        note(&mut events, event::MOBILIZE);
        Self {
            slots: [EMPTY; SLOTS],
            events,
            reach: 0,
            reach_changed: now,
            selected: false,
            sent: 0,
            bucket: (0.0, now),
            last_received: None,
            received_at: None,
            bad_auth: 0,
            bogus_origin: 0,
            duplicates: 0,
            bad_distance: 0,
            failed: 0,
            authentic: false,
            zeroes: AssociationCounters::default(),
        }
    }

    /// The counters are zero from now on; `sent` and `received` so far are the engine's.
    pub(super) fn reset(&mut self, sent: u64, received: u64) {
        self.zeroes = AssociationCounters {
            sent,
            received,
            bad_auth: self.bad_auth,
            bogus_origin: self.bogus_origin,
            duplicate: self.duplicates,
            bad_dispersion: self.bad_distance,
            ..AssociationCounters::default()
        };
    }

    /// A packet came.
    pub(super) fn received(&mut self, packet: &Packet, now: MonoTime) {
        let tests = &packet.tests;
        self.last_received = Some(now);
        self.received_at = Some(packet.at);
        self.duplicates += u64::from(!tests.fresh);
        self.bogus_origin += u64::from(tests.fresh && !tests.origin);
        self.bad_auth += u64::from(!tests.authentic);
        self.authentic = tests.authentic && packet.authenticated;
        let valid = tests.is_valid();
        self.bad_distance += u64::from(valid && !tests.root_distance);
        let mut failed = 0;
        for (passed, bit) in [
            (tests.fresh, 0x1),
            (tests.origin || !tests.fresh, 0x2),
            (tests.stamps, 0x4),
            (tests.authentic, 0x10),
            (tests.synchronised || !valid, 0x20),
            (tests.root_distance || !valid, 0x40),
        ] {
            failed |= if passed { 0 } else { bit };
        }
        self.failed = failed;
        if tests.is_good() {
            self.push(Slot {
                sample: Sample { offset: packet.offset, delay: packet.delay, dispersion: packet.dispersion },
                at: Some(now),
            });
        }
    }

    /// So many requests were sent since the association began; what has no answer for three polls loses its oldest sample.
    pub(super) fn sent(&mut self, sent: u32, reach: u8, minpoll: i32, now: MonoTime) {
        while self.sent < sent {
            self.sent += 1;
            let level = self.fill(now) + 2.0_f64.powi(minpoll.clamp(3, 17)) - 2.0;
            self.bucket = (level, now);
            if reach & 7 == 0 && self.slots.iter().any(|slot| slot.at.is_some()) {
                self.push(EMPTY);
            }
        }
        // a request that could not be sent is taken back
        self.sent = sent;
    }

    fn push(&mut self, slot: Slot) {
        self.slots.rotate_right(1);
        if let Some(newest) = self.slots.first_mut() {
            *newest = slot;
        }
    }

    fn fill(&self, now: MonoTime) -> f64 {
        (self.bucket.0 - (now - self.bucket.1).as_secs_f64()).max(0.0)
    }

    /// Fill of the send bucket, s.
    pub(super) fn headway(&self, now: MonoTime) -> u32 {
        // the bucket is never above a few times 2^17
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 ≤ fill, far below 2³²"
        )]
        let whole = self.fill(now).min(4e9) as u32;
        whole
    }

    /// The clock was stepped, or all was measured in vain.
    pub(super) fn clear(&mut self) {
        self.slots = [EMPTY; SLOTS];
    }

    /// The slots, newest first, with error bounds as they are by now. `growth` in s/s.
    pub(super) fn filter(&self, now: MonoTime, growth: f64) -> [Sample; SLOTS] {
        self.slots.map(|slot| match slot.at {
            None => Sample::EMPTY,
            Some(at) => {
                let grown = slot.sample.dispersion.get() + (now - at).as_secs_f64() * growth;
                Sample { dispersion: Secs::new(grown).unwrap_or(slot.sample.dispersion), ..slot.sample }
            }
        })
    }

    /// The sample with the shortest round trip, how far it can be wrong, and how much the others differ from it.
    pub(super) fn best(&self, now: MonoTime, growth: f64, precision: f64) -> Best {
        let mut order = self.filter(now, growth);
        let is_empty = |sample: &Sample| sample.dispersion.get() >= MAX_DISPERSION;
        order.sort_by(|a, b| {
            let key = |s: &Sample| if is_empty(s) { f64::INFINITY } else { s.delay.get() };
            key(a).total_cmp(&key(b))
        });
        let dispersion = order.iter().rev().fold(0.0, |sum, sample| (sum + sample.dispersion.get()) / 2.0);
        let [first, others @ ..] = &order;
        if is_empty(first) {
            let dispersion = Secs::literal(MAX_DISPERSION);
            return Best { offset: Secs::ZERO, delay: Secs::ZERO, dispersion, jitter: secs(precision) };
        }
        let squares: Vec<f64> = others
            .iter()
            .filter(|sample| !is_empty(sample))
            .map(|sample| (sample.offset.get() - first.offset.get()).powi(2))
            .collect();
        let count = f64::from(u32::try_from(squares.len()).unwrap_or(1).max(1));
        let jitter = (squares.iter().sum::<f64>() / count).sqrt().max(precision);
        Best { offset: first.offset, delay: first.delay, dispersion: secs(dispersion), jitter: secs(jitter) }
    }
}

fn secs(value: f64) -> Secs {
    Secs::new(value).unwrap_or(Secs::ZERO)
}

/// Notes an event of an association: all are counted together.
pub(super) fn note(events: &mut Events, event: u8) {
    events.count = (events.count + 1).min(15);
    events.last = event;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(offset: f64, delay: f64, at: i64) -> Slot {
        let sample = Sample {
            offset: Secs::new(offset).unwrap(),
            delay: Secs::new(delay).unwrap(),
            dispersion: Secs::literal(0.001),
        };
        Slot { sample, at: Some(MonoTime::from_nanos(at * 1_000_000_000)) }
    }

    #[test]
    fn the_shortest_round_trip_is_shown_and_bounds_grow() {
        let now = MonoTime::from_nanos(100_000_000_000);
        let mut track = Track::new(MonoTime::from_nanos(0));
        assert!((track.best(now, 15e-6, 1e-6).dispersion.get() - 16.0).abs() < 1e-9);
        for (index, (offset, delay)) in [(0.004, 0.03), (0.001, 0.01), (0.002, 0.02)].into_iter().enumerate()
        {
            track.push(slot(offset, delay, 10 * i64::try_from(index).unwrap()));
        }
        let best = track.best(now, 15e-6, 1e-6);
        assert_eq!((best.offset.get(), best.delay.get()), (0.001, 0.01));
        // (1 ms² + 3 ms²) / 2
        assert!((best.jitter.get() - (5e-6_f64).sqrt()).abs() < 1e-9, "{best:?}");
        let filter = track.filter(now, 15e-6);
        assert!((filter[0].dispersion.get() - (0.001 + 80.0 * 15e-6)).abs() < 1e-12);
        assert_eq!(filter[3], Sample::EMPTY);
        // three slots of 8 are filled: the rest counts 16 s each, halved from slot to slot
        assert!(best.dispersion.get() > 1.9 && best.dispersion.get() < 2.1, "{best:?}");
    }

    #[test]
    fn requests_fill_the_bucket_and_silence_empties_the_filter() {
        let at = |secs: i64| MonoTime::from_nanos(secs * 1_000_000_000);
        let mut track = Track::new(at(0));
        track.push(slot(0.0, 0.1, 0));
        track.sent(4, 1, 4, at(0));
        assert_eq!((track.headway(at(0)), track.headway(at(6)), track.headway(at(500))), (56, 50, 0));
        assert_eq!(track.filter(at(0), 0.0)[0].delay, Secs::literal(0.1));
        track.sent(5, 0, 4, at(20));
        assert_eq!(track.filter(at(20), 0.0)[0], Sample::EMPTY);
    }
}
