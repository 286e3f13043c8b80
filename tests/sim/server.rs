//! A server with a perfect clock, or one that lies: it answers by the crate's own `engine::server`.

use std::net::{Ipv4Addr, SocketAddr};

use ntpbox::engine::access::Network;
use ntpbox::engine::server::{self, Remembering, Request, Snapshot, Stamp};
use ntpbox::types::{Frequency, Leap, LogInterval, NtpTimestamp, RefId, Secs, Stratum, TimeDelta, Timestamp};
use ntpbox::wire::ntp::{Header, Kiss};

use super::world::{Host, HostId, Node};

/// UDP port of the clients.
const CLIENT_PORT: u16 = 40_000;
/// Bytes for what is remembered of clients: interleaved mode needs it.
const MEMORY: usize = 65_536;
/// Resolution of its readings, log2 s.
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
    /// Sends the reply before this one again, and a forged KoD DENY, with every reply.
    pub(crate) hostile: bool,
    /// Its stratum; 16: it says that it is not synchronised.
    pub(crate) stratum: u8,
    /// The reference ID that it shows; `None`: its own.
    pub(crate) refid: Option<[u8; 4]>,
    /// Root delay and dispersion, s.
    pub(crate) root: (f64, f64),
}

impl Default for Conduct {
    fn default() -> Self {
        Self {
            lie: (0, 0),
            silent: (0, 0),
            kiss_at: None,
            hostile: false,
            stratum: 1,
            refid: None,
            root: (0.0, 0.0),
        }
    }
}

/// The server.
pub(crate) struct Server {
    conduct: Conduct,
    refid: RefId,
    answers: Option<server::Server>,
    requests: u64,
    last_reply: Vec<u8>,
    /// Version of the last request.
    pub(crate) version: u8,
}

impl Server {
    pub(crate) fn new(conduct: Conduct, refid: u32) -> Self {
        let refid = RefId::from_bits(conduct.refid.map_or(refid, u32::from_be_bytes));
        Self { conduct, refid, answers: None, requests: 0, last_reply: Vec::new(), version: 0 }
    }

    /// What it says about its clock at this second of its uptime.
    fn snapshot(&self, now: Timestamp, second: i64) -> Snapshot {
        let (since, lie) = self.conduct.lie;
        let synchronised = self.conduct.stratum < 16;
        Snapshot {
            leap: if synchronised { Leap::None } else { Leap::Unsynchronised },
            stratum: Stratum::new(self.conduct.stratum),
            precision: PRECISION,
            root_delay: Secs::new(self.conduct.root.0).unwrap(),
            root_dispersion: Secs::new(self.conduct.root.1).unwrap(),
            dispersion_rate: Frequency::ZERO,
            refid: self.refid,
            reference: now - TimeDelta::from_secs(16),
            at: now,
            ahead: TimeDelta::from_nanos(if second >= since { lie } else { 0 }),
            ahead_rate: Frequency::ZERO,
            smoothing: None,
        }
    }
}

impl Node for Server {
    fn start(&mut self, host: &mut Host<'_>) {
        let remembering = Remembering { bytes: Some(MEMORY), ..Remembering::default() };
        let mut server = server::Server::new(remembering, PRECISION, host.rng);
        server.access.set(Network::new(Ipv4Addr::UNSPECIFIED.into(), 0), true);
        self.answers = Some(server);
    }

    fn on_datagram(&mut self, from: HostId, bytes: &[u8], host: &mut Host<'_>) {
        self.requests += 1;
        self.version = bytes.first().map_or(0, |first| first >> 3 & 7);
        let now = host.now();
        let second = now.mono.as_nanos() / 1_000_000_000 - 1000;
        if (self.conduct.silent.0..self.conduct.silent.1).contains(&second) {
            return;
        }
        let snapshot = self.snapshot(now.clock, second);
        let Some(server) = &mut self.answers else { return };
        server.set_snapshot(snapshot);
        let client = SocketAddr::from(([10, 0, 0, u8::try_from(from).unwrap()], CLIENT_PORT));
        let request = Request { bytes, from: client, received: now.clock, stamp: Stamp::Kernel };
        let Ok(reply) = server.answer(&request, now, host.rng) else { return };
        let kiss = |kiss: Kiss, origin| {
            let header = Header::parse(&reply).unwrap();
            let (leap, stratum) = (Leap::Unsynchronised, Stratum::UNSPECIFIED);
            Header { leap, stratum, refid: kiss.to_refid(), origin, ..header }.emit().to_vec()
        };
        let origin = Header::parse(&reply).unwrap().origin;
        if self.conduct.hostile {
            host.send(from, std::mem::replace(&mut self.last_reply, reply.to_vec()));
            host.send(from, kiss(Kiss::Deny, NtpTimestamp::from_bits(origin.to_bits() ^ 1)));
        }
        if self.conduct.kiss_at == Some(self.requests) {
            host.send(from, kiss(Kiss::Rate, origin));
        } else {
            host.send(from, reply.to_vec());
        }
    }
}
