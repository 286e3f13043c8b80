//! Where the time is broadcast to: to ntpd an association, which nothing ever comes from.

use std::net::{IpAddr, SocketAddr};

use super::informant::{Informant, State};
use super::track::{self, event};
use crate::config::model::Broadcast;
use crate::control::mode6::facts::{Association, AssociationCounters, AssociationFlags, Events};
use crate::sys::net::route_to;
use crate::types::{KeyId, LogInterval, Mode, MonoTime, Now, RefId};
use crate::wire::mode6::AssocId;

/// What `flash` adds to an association that nothing comes from: its stratum is none.
const PEER_STRATUM: u16 = 0x200;
/// How many networks the kernel lets a multicast go through.
const MULTICAST_TTL: u32 = 1;

/// A `broadcast` line.
#[derive(Debug, Clone)]
pub(super) struct Outlet {
    pub(super) id: AssocId,
    pub(super) events: Events,
    line: Broadcast,
    /// Our address that its packets come from; `None`: there is no way there.
    local: Option<IpAddr>,
    sent: u64,
    /// What was sent when the counters were set to zero.
    zero: u64,
    /// When a packet left last, or could have for the first time.
    last: MonoTime,
}

impl Outlet {
    pub(super) fn new(line: Broadcast, now: MonoTime) -> Self {
        let local = None;
        Self { id: AssocId::SYSTEM, events: Events::default(), line, local, sent: 0, zero: 0, last: now }
    }

    /// It is an association from now on.
    pub(super) fn begin(&mut self, id: AssocId) {
        self.id = id;
        self.local = route_to(self.line.to).ok();
        track::note(&mut self.events, event::MOBILIZE);
    }

    /// Packets since the start.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// `reset allpeers`.
    pub(super) const fn reset(&mut self) {
        self.zero = self.sent;
    }

    /// Seconds until the next packet.
    fn until_next(&self, now: MonoTime) -> u64 {
        let seconds = u64::try_from((now - self.last).as_nanos() / 1_000_000_000).unwrap_or(0);
        let interval = u64::from(self.line.interval.max(1));
        interval - seconds % interval
    }
}

impl Informant {
    /// A broadcast has left for this address.
    pub fn broadcast(&mut self, to: SocketAddr, now: MonoTime) {
        if let Some(outlet) = self.outlets().iter_mut().find(|outlet| outlet.line.to == to) {
            outlet.sent += 1;
            outlet.last = now;
            outlet.local = outlet.local.or_else(|| route_to(to).ok());
        }
    }
}

impl State {
    pub(super) fn outlet(&self, outlet: &Outlet, now: Now) -> Association {
        let Broadcast { key, interval, to } = outlet.line;
        let key = Some(KeyId::new(key)).filter(|_| key != 0);
        let group = to.ip().is_multicast();
        let silent = self.silent(outlet.id, to, outlet.events);
        let uptime = self.uptime(now.mono);
        Association {
            flags: AssociationFlags {
                configured: true,
                auth_enabled: key.is_some(),
                broadcast: true,
                ..AssociationFlags::default()
            },
            local: outlet.local.map_or(silent.local, |local| SocketAddr::new(local, to.port())),
            host_mode: Mode::Broadcast,
            refid: RefId::from_ascii(if group { *b"MCST" } else { *b"BCST" }),
            host_poll: LogInterval::from_log2(i8::try_from(interval.max(1).ilog2()).unwrap_or(6)),
            flash: silent.flash | PEER_STRATUM,
            key,
            ttl: group.then_some(MULTICAST_TTL),
            until_next: outlet.until_next(now.mono),
            counters: AssociationCounters {
                sent: outlet.sent - outlet.zero,
                since_received: uptime,
                since_reach: uptime,
                ..AssociationCounters::default()
            },
            ..silent
        }
    }
}
