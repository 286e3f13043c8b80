//! ntpd's gate before the server's answers: the access list, the client list with its rate limit, and the counters of `sysstats`.

use std::net::{IpAddr, SocketAddr};

use crate::control::mode6::facts::Statistics;
use crate::engine::mru::{Bounds, Clients, Limit};
use crate::engine::restrict::{self, Control, Excess, Flags, Restrictions, Verdict};
use crate::engine::server::Silence;
use crate::sys::net::Datagram;
use crate::types::{
    Leap, LogInterval, Mode, MonoTime, NtpShort, NtpTimestamp, Stratum, TimeDelta, Timestamp,
};
use crate::wire::ext::{Tail, Trailer};
use crate::wire::ntp::{HEADER_LEN, Header, Kiss};

/// How often this host's addresses are looked at, as ntpd does (`-U`).
const OWN_ADDRESSES: TimeDelta = TimeDelta::from_secs(300);
/// Mode of control messages.
const CONTROL: u8 = 6;

/// What becomes of a packet before its contents count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The server answers it.
    Serve,
    /// Nobody looks at it.
    Refuse,
    /// It gets this kiss-o'-death.
    Kiss([u8; HEADER_LEN]),
}

/// What ntp.conf says about strangers.
#[derive(Debug)]
pub struct Rules {
    /// The access list.
    pub restrictions: Restrictions,
    /// Whether the file has a `restrict default`; without one, strangers get no control messages answered (decisions.md).
    pub restricts_default: bool,
    /// `restrict source`.
    pub source: Option<Flags>,
    /// How often a client may ask where `limited` holds.
    pub limit: Limit,
    /// How large the client list may become; `None`: `disable monitor`.
    pub clients: Option<Bounds>,
}

/// The gate.
#[derive(Debug)]
pub struct Gate {
    /// The access list, with its hits.
    pub restrictions: Restrictions,
    /// Who asked lately.
    pub clients: Option<Clients>,
    counters: Statistics,
    /// Taken, sent and failed, socket by socket.
    sockets: Vec<[u64; 3]>,
    restricts_default: bool,
    source: Option<Flags>,
    /// The servers that are asked.
    servers: Vec<IpAddr>,
    limit: Limit,
    /// When this host's addresses are looked at again; `None`: they are not.
    own_due: Option<MonoTime>,
}

impl Gate {
    /// A gate that nobody has passed yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            restrictions: rules.restrictions,
            clients: rules.clients.map(Clients::new),
            counters: Statistics::default(),
            sockets: Vec::new(),
            restricts_default: rules.restricts_default,
            source: rules.source,
            servers: Vec::new(),
            limit: rules.limit,
            own_due: None,
        }
    }

    /// The addresses of this host, of which those count that one of the sockets listens on.
    pub fn know_own(&mut self, addresses: &[IpAddr], sockets: &[SocketAddr], now: MonoTime) {
        let heard = |address: &&IpAddr| {
            sockets.iter().map(SocketAddr::ip).any(|socket| {
                socket == **address || socket.is_unspecified() && socket.is_ipv4() == address.is_ipv4()
            })
        };
        let own: Vec<IpAddr> = addresses.iter().filter(heard).copied().collect();
        self.restrictions.set_own(&own);
        self.own_due = Some(now + OWN_ADDRESSES);
    }

    /// How often a client may ask, from now on.
    pub const fn set_limit(&mut self, limit: Limit) {
        self.limit = limit;
    }

    /// The servers that are asked from now on.
    pub fn know_servers(&mut self, addresses: impl Iterator<Item = IpAddr>) {
        self.servers = addresses.map(|address| address.to_canonical()).collect();
        if let Some(flags) = self.source {
            self.restrictions.set_sources(&self.servers, flags);
        }
    }

    /// `restrict source` from now on: flags that are added to those that it had.
    pub fn restrict_source(&mut self, flags: Flags) {
        let flags = self.source.map_or(flags, |known| known | flags);
        self.source = Some(flags);
        self.restrictions.set_sources(&self.servers, flags);
    }

    /// Whether [`Self::know_own`] is to be called again.
    pub fn forgets_own(&self, now: MonoTime) -> bool {
        self.own_due.is_some_and(|due| due <= now)
    }

    /// Counts a reply to a request of ours.
    pub fn heard(&mut self, from: SocketAddr, at: Timestamp, first: u8) {
        let counters = &mut self.counters;
        *if first >> 3 & 7 == 4 { &mut counters.this_version } else { &mut counters.old_version } += 1;
        let flags = self.restrictions.check(from).without(Flags::LIMITED | Flags::KOD);
        if let Some(clients) = self.clients.as_mut() {
            clients.hear(from, at, first & 0x3f);
            clients.mark(flags.bits());
        }
    }

    /// Decides about a packet that is no control message. `dice` is a random number, for `flake`.
    pub fn admit(&mut self, datagram: &Datagram<'_>, dice: u64) -> Admission {
        self.counters.received += 1;
        let Some(&first) = datagram.bytes.first() else { return Admission::Refuse };
        let flags = self.restrictions.check(datagram.from);
        let excess = self.excess(datagram, first, flags);
        match restrict::judge(flags, first >> 3 & 7, excess, dice) {
            Verdict::Silence => {
                let counter = match excess {
                    Excess::None => &mut self.counters.restricted,
                    _ => &mut self.counters.limited,
                };
                *counter += 1;
                Admission::Refuse
            }
            Verdict::Kiss => {
                self.counters.limited += 1;
                let least = LogInterval::from_log2(i8::try_from(self.limit.average).unwrap_or(3));
                let kiss = kiss(datagram.bytes, least);
                self.counters.kod_sent += u64::from(kiss.is_some());
                kiss.map_or(Admission::Refuse, Admission::Kiss)
            }
            Verdict::ServeAuthentic if !is_signed(datagram.bytes) => {
                self.counters.restricted += 1;
                Admission::Refuse
            }
            Verdict::Serve | Verdict::ServeAuthentic => Admission::Serve,
        }
    }

    /// Notes the packet in the client list, and says whether it is one too many.
    fn excess(&mut self, datagram: &Datagram<'_>, first: u8, flags: Flags) -> Excess {
        let Some(clients) = self.clients.as_mut() else { return Excess::None };
        let seen = clients.see(datagram.from, datagram.received, first & 0x3f, self.limit);
        let excess = if flags.has(Flags::LIMITED) { seen } else { Excess::None };
        let shown = if excess == Excess::None { flags.without(Flags::LIMITED | Flags::KOD) } else { flags };
        clients.mark(shown.bits());
        excess
    }

    /// What the server made of an admitted packet.
    pub fn judged(&mut self, bytes: &[u8], result: Result<(), Silence>) {
        let first = bytes.first().copied().unwrap_or(0);
        if first & 7 == CONTROL {
            return;
        }
        let counters = &mut self.counters;
        *match result {
            Ok(()) if first >> 3 & 7 == 4 => &mut counters.this_version,
            Ok(()) | Err(Silence::Version) => &mut counters.old_version,
            Err(Silence::Mac) => &mut counters.bad_auth,
            Err(Silence::Mode) => &mut counters.declined,
            Err(_) => &mut counters.bad_format,
        } += 1;
    }

    /// Counts a control message.
    pub fn control(&mut self, answered: bool) {
        self.counters.received += 1;
        self.counters.restricted += u64::from(!answered);
    }

    /// What an address may do with control messages. Loopback always may read unless it is ignored; without
    /// `restrict default`, who has no entry of its own gets no answer.
    pub fn rights(&mut self, from: SocketAddr) -> Control {
        let loopback = from.ip().to_canonical().is_loopback();
        let entry = self.restrictions.find(from).and_then(restrict::Rule::as_network);
        let unnamed = !self.restricts_default && entry.is_some_and(|network| network.bits() == 0);
        let mut flags = self.restrictions.check(from);
        if unnamed && !loopback {
            flags = flags | Flags::NOQUERY | Flags::NOMODIFY;
        }
        let control = restrict::control(flags);
        Control { query: control.query || loopback && !flags.has(Flags::IGNORE), ..control }
    }

    /// Counts a batch that was taken from a socket.
    pub fn took(&mut self, socket: usize, packets: usize) {
        let packets = u64::try_from(packets).unwrap_or(0);
        self.counters.wakeups += 1;
        self.counters.good_wakeups += u64::from(packets > 0);
        self.counters.io_received += packets;
        self.socket(socket)[0] += packets;
    }

    /// Counts packets that were sent, and those that the kernel did not take.
    pub fn sent(&mut self, socket: usize, sent: usize, failed: usize) {
        let (sent, failed) = (u64::try_from(sent).unwrap_or(0), u64::try_from(failed).unwrap_or(0));
        self.counters.io_sent += sent;
        self.counters.io_failed += failed;
        let counts = self.socket(socket);
        counts[1] += sent;
        counts[2] += failed;
    }

    fn socket(&mut self, place: usize) -> &mut [u64; 3] {
        if self.sockets.len() <= place {
            self.sockets.resize(place + 1, [0; 3]);
        }
        &mut self.sockets[place]
    }

    /// What was counted.
    pub const fn counters(&self) -> &Statistics {
        &self.counters
    }

    /// Packets taken, sent and failed on a socket.
    pub fn of_socket(&self, place: usize) -> [u64; 3] {
        self.sockets.get(place).copied().unwrap_or_default()
    }
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
