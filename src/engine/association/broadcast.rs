//! Broadcasts: a packet every so often to whom it may concern, and a source that only broadcasts.

use std::net::SocketAddr;

use super::request::{blurred, reference};
use super::{Context, Port};
use crate::types::{Leap, LogInterval, Mode, MonoTime, TimeDelta};
use crate::wire::ntp::{HEADER_LEN, Header};

/// Sends the time to an address (`broadcast`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcaster {
    to: SocketAddr,
    interval: TimeDelta,
    due: MonoTime,
}

impl Broadcaster {
    /// One packet every `interval` (at least a second), the first after one of these.
    pub fn new(to: SocketAddr, interval: TimeDelta, now: MonoTime) -> Self {
        let interval = interval.max(TimeDelta::from_secs(1));
        Self { to, interval, due: now + interval }
    }

    /// When [`Broadcaster::timer`] is due.
    pub const fn next_timeout(&self) -> MonoTime {
        self.due
    }

    /// The packet that is due, and where it goes. Nothing is sent while our clock is not synchronised.
    pub fn timer(&mut self, context: &mut Context<'_>) -> Option<(SocketAddr, Port, [u8; HEADER_LEN])> {
        let now = context.now.mono;
        if now < self.due {
            return None;
        }
        self.due = now + self.interval;
        let snapshot = context.host.snapshot;
        if snapshot.leap == Leap::Unsynchronised {
            return None;
        }
        let seconds = self.interval.as_secs_f64();
        let poll = (0..=17_i8).rfind(|poll| 2.0_f64.powi((*poll).into()) <= seconds).unwrap_or(0);
        let header = Header {
            mode: Mode::Broadcast,
            poll: LogInterval::from_log2(poll),
            reference: reference(snapshot.reference),
            transmit: blurred(snapshot.served(context.now.clock), snapshot.precision, context.rng),
            ..snapshot.header(context.now.clock)
        };
        Some((self.to, Port::Server, header.emit()))
    }
}
