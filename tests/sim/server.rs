//! A server with a perfect clock, or one that lies: it answers by the crate's own `engine::server`.

use std::net::{Ipv4Addr, SocketAddr};

use ntpbox::engine::access::Network;
use ntpbox::engine::rng::SplitMix;
use ntpbox::engine::server::{Remembering, Request, Server as Engine, Snapshot, Stamp};
use ntpbox::types::{Leap, LogInterval, Now, RefId, Secs, Stratum, TimeDelta, Timestamp};
use ntpbox::wire::ntp::{Header, Kiss};

use super::world::{Host, HostId, Node};

/// Where all clients seem to ask from.
const CLIENT: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 0, 0, 1), 40_000);
/// Resolution of the clock, log2 s.
const PRECISION: LogInterval = LogInterval::from_log2(-30);

/// What the server does besides telling the time. Seconds are those of its own clock since its start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Conduct {
    /// Added to the time that it tells, ns, from this second on.
    pub(crate) lie: (i64, i64),
    /// Silent from the first second (included) to the second.
    pub(crate) silent: (i64, i64),
    /// Answers the request with this number (from 1) by KoD RATE.
    pub(crate) kiss_at: Option<u64>,
    /// Its stratum; 16: it says that it is not synchronised.
    pub(crate) stratum: u8,
    /// Root delay and dispersion, s.
    pub(crate) root: (f64, f64),
}

impl Default for Conduct {
    fn default() -> Self {
        Self { lie: (0, 0), silent: (0, 0), kiss_at: None, stratum: 1, root: (0.0, 0.0) }
    }
}

/// The server.
pub(crate) struct Server {
    conduct: Conduct,
    engine: Engine,
    refid: RefId,
    requests: u64,
}

impl Server {
    pub(crate) fn new(conduct: Conduct, refid: u32) -> Self {
        let mut engine = Engine::new(Remembering::default(), PRECISION, &mut SplitMix::new(1));
        engine.access.set(Network::host(CLIENT.0.into()), true);
        Self { conduct, engine, refid: RefId::from_bits(refid), requests: 0 }
    }

    fn snapshot(&self, reference: Timestamp) -> Snapshot {
        let synchronised = self.conduct.stratum < 16;
        Snapshot {
            leap: if synchronised { Leap::None } else { Leap::Unsynchronised },
            stratum: Stratum::new(self.conduct.stratum),
            precision: PRECISION,
            root_delay: Secs::new(self.conduct.root.0).unwrap(),
            root_dispersion: Secs::new(self.conduct.root.1).unwrap(),
            refid: self.refid,
            reference,
            ..Snapshot::unsynchronised(PRECISION)
        }
    }
}

impl Node for Server {
    fn on_datagram(&mut self, from: HostId, bytes: &[u8], host: &mut Host<'_>) {
        self.requests += 1;
        let now = host.now();
        let second = now.mono.as_nanos() / 1_000_000_000 - 1000;
        if (self.conduct.silent.0..self.conduct.silent.1).contains(&second) {
            return;
        }
        let (since, lie) = self.conduct.lie;
        let told = if second >= since { now.clock + TimeDelta::from_nanos(lie) } else { now.clock };
        let snapshot = self.snapshot(told - TimeDelta::from_secs(16));
        self.engine.set_snapshot(snapshot);
        let request = Request { bytes, from: SocketAddr::from(CLIENT), received: told, stamp: Stamp::Daemon };
        let leaves = Now { clock: told, ..now };
        let Ok(reply) = self.engine.answer(&request, leaves, host.rng) else { return };
        if self.conduct.kiss_at == Some(self.requests) {
            let mut header = Header::parse(&reply).unwrap();
            header.leap = Leap::Unsynchronised;
            header.stratum = Stratum::UNSPECIFIED;
            header.refid = Kiss::Rate.to_refid();
            host.send(from, header.emit().to_vec());
        } else {
            host.send(from, reply.to_vec());
        }
    }
}
