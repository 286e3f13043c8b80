//! A server with a perfect clock, or one that lies: it answers by the crate's own `engine::server`.

use ntpbox::auth::KeyRing;
use ntpbox::engine::server::{Service, Snapshot, answer};
use ntpbox::types::{Leap, LogInterval, NtpShort, RefId, Stratum, TimeDelta};
use ntpbox::wire::ntp::{Header, Kiss};

use super::world::{Host, HostId, Node};

/// UDP port of the clients.
const CLIENT_PORT: u16 = 40_000;

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
    keys: KeyRing,
    refid: RefId,
    requests: u64,
}

impl Server {
    pub(crate) fn new(conduct: Conduct, refid: u32) -> Self {
        Self { conduct, keys: KeyRing::default(), refid: RefId::from_bits(refid), requests: 0 }
    }

    fn snapshot(&self, reference: ntpbox::types::Timestamp) -> Snapshot {
        let short = |secs| NtpShort::from_secs_ceil(ntpbox::types::Secs::new(secs).unwrap());
        let synchronised = self.conduct.stratum < 16;
        Snapshot {
            leap: if synchronised { Leap::None } else { Leap::Unsynchronised },
            stratum: Stratum::new(self.conduct.stratum),
            precision: LogInterval::from_log2(-30),
            root_delay: short(self.conduct.root.0),
            root_dispersion: short(self.conduct.root.1),
            refid: self.refid,
            reference,
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
        let service = Service { snapshot: &snapshot, keys: &self.keys, least_poll: None };
        let Ok(reply) = answer(bytes, CLIENT_PORT, told, told, &service, host.rng) else { return };
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
