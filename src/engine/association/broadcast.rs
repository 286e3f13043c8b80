//! Broadcasts: a packet every so often to whom it may concern.

use std::net::SocketAddr;

use super::request::{blurred, reference};
use super::{Context, Port};
use crate::auth::Dialect;
use crate::types::{KeyId, Leap, LogInterval, Mode, MonoTime, TimeDelta};
use crate::wire::ntp::Header;

/// Sends the time to an address (`broadcast`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcaster {
    to: SocketAddr,
    interval: TimeDelta,
    due: MonoTime,
    key: Option<KeyId>,
}

impl Broadcaster {
    /// One packet every `interval` (at least a second), the first after one of these, signed by `key`.
    pub fn new(to: SocketAddr, interval: TimeDelta, key: Option<KeyId>, now: MonoTime) -> Self {
        let interval = interval.max(TimeDelta::from_secs(1));
        Self { to, interval, due: now + interval, key }
    }

    /// When [`Broadcaster::timer`] is due.
    pub const fn next_timeout(&self) -> MonoTime {
        self.due
    }

    /// The packet that is due, and where it goes. Nothing is sent while our clock is not synchronised,
    /// or when the key is missing.
    pub fn timer(&mut self, context: &mut Context<'_>) -> Option<(SocketAddr, Port, Vec<u8>)> {
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
        let mut bytes = header.emit().to_vec();
        if let Some(key) = self.key {
            context.keys.sign_packet(key, &mut bytes, Dialect::Chrony).ok()?;
        }
        Some((self.to, Port::Server, bytes))
    }
}
