//! ntpd's reception: the access list, the client list and control messages in front of the server's answers.
//!
//! [`Reception::receive`] decides about one packet and touches no socket; `serve` is the loop over them.

mod facts;
mod serve;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use self::facts::Desk;
pub use self::facts::version_line;
pub use self::serve::{Ended, Sockets};
use crate::auth::KeyRing;
use crate::config::ntp_model::LocalClock;
use crate::control::mode6::{Answerer, Caller, ControlKeys};
use crate::engine::access::Network;
use crate::engine::mru::{Bounds, Clients, Limit};
use crate::engine::restrict::{self, Control, Excess, Flags, Restrictions, Verdict};
use crate::engine::rng::Rng;
use crate::engine::server::{self, Remembering, Reply, Request, Silence, Stamp};
use crate::sys::net::{Datagram, StampSource};
use crate::types::{
    KeyId, Leap, LogInterval, Mode, MonoTime, Now, NtpShort, NtpTimestamp, Stratum, TimeDelta, Timestamp,
};
use crate::wire::ext::{Tail, Trailer};
use crate::wire::ntp::{HEADER_LEN, Header, Kiss};

/// How old what is said about the clock may become.
const SNAPSHOT_AGE: TimeDelta = TimeDelta::from_secs(1);
/// Memory for interleaved mode.
const INTERLEAVED_BYTES: usize = 524_288;

/// What a daemon under the name of ntpd starts with.
#[derive(Debug)]
pub struct Setup {
    /// The access list.
    pub restrictions: Restrictions,
    /// Whether the file has a `restrict default`; without one, strangers get no control messages answered (decisions.md).
    pub restricts_default: bool,
    /// How often a client may ask where `limited` holds.
    pub limit: Limit,
    /// How large the client list may become; `None`: `disable monitor`.
    pub clients: Option<Bounds>,
    /// Trusted keys.
    pub keys: KeyRing,
    /// The key that may change things.
    pub control_key: Option<KeyId>,
    /// The clock that is served when nothing is followed.
    pub local_clock: Option<LocalClock>,
    /// Addresses of sources, which are listed and not followed yet.
    pub sources: Vec<SocketAddr>,
    /// Variables of `setvar`: name, value, whether it is in the default list.
    pub variables: Vec<(String, String, bool)>,
    /// `broadcastdelay`, s.
    pub broadcast_delay: f64,
    /// Resolution of the clock.
    pub precision: LogInterval,
    /// Frequency that the drift file names, ppm in ntpd's sign.
    pub drift: Option<f64>,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is sent.
    Silence,
    /// One reply about the time.
    Time(Reply),
    /// A kiss-o'-death.
    Kiss([u8; HEADER_LEN]),
    /// Packets that answer a control message.
    Control(Vec<Vec<u8>>),
}

/// Decides about packets.
pub struct Reception {
    desk: Desk,
    answerer: Answerer,
    limit: Limit,
    engine: server::Server,
    control_key: Option<KeyId>,
    restricts_default: bool,
}

impl Reception {
    /// A reception that opens now.
    pub fn new(setup: Setup, now: MonoTime, rng: &mut dyn Rng) -> Self {
        let mut salt = [0; 16];
        for (slot, byte) in
            salt.iter_mut().zip([rng.next_u64(), rng.next_u64()].into_iter().flat_map(u64::to_be_bytes))
        {
            *slot = byte;
        }
        Self {
            limit: setup.limit,
            engine: time_server(&setup, rng),
            control_key: setup.control_key,
            restricts_default: setup.restricts_default,
            answerer: Answerer::new(salt),
            desk: Desk::new(setup, now, rng),
        }
    }

    /// Whether the served clock counts as synchronised.
    pub fn is_synchronised(&mut self, at: Timestamp, now: MonoTime) -> bool {
        self.desk.look(at, now);
        self.desk.snapshot().leap != Leap::Unsynchronised
    }

    /// The decision about one packet.
    pub fn receive(
        &mut self,
        datagram: &Datagram<'_>,
        now: Timestamp,
        mono: MonoTime,
        rng: &mut dyn Rng,
    ) -> Outcome {
        self.desk.look(now, mono);
        let (bytes, from) = (datagram.bytes, datagram.from);
        self.desk.statistics.received += 1;
        let Some(&first) = bytes.first() else { return Outcome::Silence };
        let flags = self.desk.restrictions.check(from);
        match first & 7 {
            6 => {
                let may = self.control_rights(flags, from);
                if !may.query {
                    self.desk.statistics.restricted += 1;
                    return Outcome::Silence;
                }
                let caller = Caller { from, at: datagram.received, now: mono, may };
                let keys = ControlKeys { ring: &self.engine.keys, control: self.control_key };
                Outcome::Control(self.answerer.answer(bytes, &caller, keys, &mut self.desk))
            }
            7 => Outcome::Silence,
            _ => self.time(datagram, first, flags, Now { clock: now, mono }, rng),
        }
    }

    /// Loopback always may read; without `restrict default`, who has no entry of its own gets no control message answered.
    fn control_rights(&self, flags: Flags, from: SocketAddr) -> Control {
        let loopback = from.ip().to_canonical().is_loopback();
        let unnamed = !self.restricts_default
            && self
                .desk
                .restrictions
                .find(from)
                .and_then(restrict::Rule::as_network)
                .is_some_and(|n| n.bits() == 0);
        let flags = if unnamed && !loopback { flags | Flags::NOQUERY | Flags::NOMODIFY } else { flags };
        let control = restrict::control(flags);
        Control { query: control.query || loopback && !flags.has(Flags::IGNORE), ..control }
    }

    fn time(
        &mut self,
        datagram: &Datagram<'_>,
        first: u8,
        flags: Flags,
        at: Now,
        rng: &mut dyn Rng,
    ) -> Outcome {
        let Now { clock: now, mono } = at;
        let version = first >> 3 & 7;
        let (from, received) = (datagram.from, datagram.received);
        let limits = flags.has(Flags::LIMITED);
        let mut excess = Excess::None;
        if let Some(clients) = self.desk.clients.as_mut() {
            let seen = clients.see(from, received, first & 0x3f, self.limit);
            if limits {
                excess = seen;
            }
            let shown =
                if excess == Excess::None { flags.without(Flags::LIMITED | Flags::KOD) } else { flags };
            clients.mark(shown.bits());
        }
        let verdict = restrict::judge(flags, version, excess, rng.next_u64());
        let counters = &mut self.desk.statistics;
        match verdict {
            Verdict::Silence if excess != Excess::None => {
                counters.limited += 1;
                return Outcome::Silence;
            }
            Verdict::Silence => {
                counters.restricted += 1;
                return Outcome::Silence;
            }
            Verdict::Kiss => {
                counters.limited += 1;
                let kiss = kiss(
                    datagram.bytes,
                    LogInterval::from_log2(i8::try_from(self.limit.average).unwrap_or(3)),
                );
                counters.kod_sent += u64::from(kiss.is_some());
                return kiss.map_or(Outcome::Silence, Outcome::Kiss);
            }
            Verdict::ServeAuthentic if !is_signed(datagram.bytes) => {
                counters.restricted += 1;
                return Outcome::Silence;
            }
            Verdict::Serve | Verdict::ServeAuthentic => {}
        }
        if (now - self.engine.snapshot().at).abs() >= SNAPSHOT_AGE {
            self.engine.set_snapshot(self.desk.snapshot());
        }
        let stamp = match datagram.stamp {
            StampSource::Kernel => Stamp::Kernel,
            StampSource::Daemon => Stamp::Daemon,
        };
        let request = Request { bytes: datagram.bytes, from, received, stamp };
        let counters = &mut self.desk.statistics;
        match self.engine.answer(&request, Now { clock: now, mono }, rng) {
            Ok(reply) => {
                if version == 4 {
                    counters.this_version += 1;
                } else {
                    counters.old_version += 1;
                }
                Outcome::Time(reply)
            }
            Err(why) => {
                match why {
                    Silence::Mac => counters.bad_auth += 1,
                    Silence::Mode => counters.declined += 1,
                    Silence::Version => counters.old_version += 1,
                    _ => counters.bad_format += 1,
                }
                Outcome::Silence
            }
        }
    }

    /// Counts packets that were sent, and those that the kernel did not take.
    pub fn sent(&mut self, socket: usize, sent: u64, failed: u64) {
        self.desk.sent(socket, sent, failed);
    }

    /// Counts a wake-up and the packets of a batch.
    pub fn took(&mut self, socket: usize, packets: u64) {
        self.desk.took(socket, packets);
    }

    /// Tells where the sockets are, for `ifstats`.
    pub fn listens(&mut self, addresses: &[SocketAddr]) {
        self.desk.listens(addresses);
    }

    /// The counters that a line of `sysstats` is made of.
    pub fn statistics(&self) -> crate::control::mode6::facts::Statistics {
        crate::control::mode6::Facts::statistics(&self.desk)
    }
}

/// What answers requests for the time: everybody may ask whom the access list lets through.
fn time_server(setup: &Setup, rng: &mut dyn Rng) -> server::Server {
    // pairs of stamps for interleaved mode; the limit is ntpd's own, before it
    let remembering = Remembering { bytes: Some(INTERLEAVED_BYTES), ..Remembering::default() };
    let mut engine = server::Server::new(remembering, setup.precision, rng);
    engine.keys = setup.keys.clone();
    for any in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
        engine.access.set(Network::new(any, 0), true);
    }
    engine
}

fn is_signed(request: &[u8]) -> bool {
    Tail::parse(request).is_ok_and(|tail| matches!(tail.trailer(), Trailer::Mac(_)))
}

/// The kiss-o'-death `RATE` as 4.2.8p15 sends it: the request's transmit time in all three stamps.
fn kiss(request: &[u8], least: LogInterval) -> Option<[u8; HEADER_LEN]> {
    let header = Header::parse(request).ok()?;
    let mode = match header.mode {
        Mode::Client => Mode::Server,
        Mode::SymmetricActive => Mode::SymmetricPassive,
        _ => return None,
    };
    let reply = Header {
        leap: Leap::Unsynchronised,
        mode,
        stratum: Stratum::UNSPECIFIED,
        poll: header.poll.max(least),
        precision: LogInterval::from_log2(0),
        root_delay: NtpShort::ZERO,
        root_dispersion: NtpShort::ZERO,
        refid: Kiss::Rate.to_refid(),
        reference: NtpTimestamp::ZERO,
        origin: header.transmit,
        receive: header.transmit,
        ..header
    };
    Some(reply.emit())
}

/// The bounds of a client list.
pub fn bounds(mru: &crate::config::ntp_model::Mru) -> Bounds {
    let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    Bounds {
        most: size(mru.maxdepth).min(1_000_000),
        least: size(mru.mindepth),
        age: TimeDelta::from_secs(i64::from(mru.maxage)),
    }
}

/// An empty client list.
fn clients(bounds: Option<Bounds>) -> Option<Clients> {
    bounds.map(Clients::new)
}

#[cfg(test)]
mod tests;
