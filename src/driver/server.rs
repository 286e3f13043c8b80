//! The server's path: sockets drained in batches, answers of [`engine::server`](crate::engine::server) sent in batches.
//!
//! [`Server`] is a part of a bigger loop, which waits for its descriptors and its deadline, says what is to be served by
//! [`Server::set_snapshot`] and then calls [`Server::service`].

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use super::ntpd::{Admission, Gate};
use super::random::KernelRng;
use crate::engine::access::Table;
use crate::engine::rng::Rng;
use crate::engine::server::{
    self as engine, Answer, MAX_REPLY, MAX_REQUEST, Request, Silence, Snapshot, Stamp, Statistics,
};
use crate::sys::net::batch::{Packet, ReceiveBatch, SendBatch};
use crate::sys::net::{Datagram, Family, StampSource, UdpOptions, UdpSocket};
use crate::sys::{Errno, SysError, clock, interface, signal};
use crate::types::{LogInterval, Mode, MonoTime, Now, TimeDelta, Timestamp};

pub use crate::engine::server::Remembering;

/// Packets that are taken and answered together (perf.md: more gains nothing).
const BATCH: usize = 64;
/// One byte more than the longest request: a longer one is seen to be longer.
const BUFFER: usize = MAX_REQUEST + 1;
/// Batches of one socket before others get their turn.
const ROUND: usize = 32;
/// Mode of control messages.
const CONTROL: u8 = 6;
/// A frame that holds our longest interleaved reply with all headers before it.
const FRAME: usize = 256;
/// How often a missing or replaced interface is looked for.
const LOOK: TimeDelta = TimeDelta::from_secs(10);
/// Batches from this size on tell what sending a packet takes.
const BUSY: usize = 8;
/// Sending a packet never takes longer; a pause of the process does.
const LONGEST_SEND: TimeDelta = TimeDelta::from_micros(5);

/// How the sockets of a server are opened.
#[derive(Debug, Clone, Default)]
pub struct Binding {
    /// The one interface that is served (`binddevice`).
    pub device: Option<String>,
    /// Code point of replies (`dscp`): 0 … 63.
    pub dscp: u8,
}

/// A server with its sockets.
pub struct Server {
    engine: engine::Server,
    binding: Binding,
    endpoints: Vec<Endpoint>,
    /// An ntpd's access list and limits, before the engine's own.
    gate: Option<Box<Gate>>,
    incoming: ReceiveBatch,
    outgoing: SendBatch,
    rng: KernelRng,
    /// Answers that the kernel did not take.
    unsent: u64,
    /// What sending a packet takes on a busy day.
    per_send: TimeDelta,
    look_again: Option<MonoTime>,
    /// Hosts whose symmetric packets are no requests.
    peers: BTreeSet<SocketAddr>,
    /// Frames of our own packets, and when they left.
    own: VecDeque<(Vec<u8>, Timestamp)>,
}

/// A place to be asked at.
struct Endpoint {
    address: SocketAddr,
    /// Where the socket is: the kernel chose the port if that was 0.
    bound: SocketAddr,
    /// `None`: the device is missing.
    socket: Option<UdpSocket>,
    /// The device's index when the socket was opened.
    device: Option<u32>,
}

/// A packet that is no request for the time (mode 6, a reply, rubbish), with the socket that an answer can leave by.
pub type Other<'a> = &'a mut dyn FnMut(&UdpSocket, &Datagram<'_>);

impl Server {
    /// A server without sockets whom nobody may ask yet: set [`engine::Server::access`] and keys by [`Self::engine`],
    /// the clock by [`Self::set_snapshot`], and then [`Self::listen`].
    pub fn new(remembering: Remembering, binding: Binding) -> Self {
        let mut rng = KernelRng::default();
        Self {
            engine: engine::Server::new(remembering, LogInterval::of_precision(clock::precision()), &mut rng),
            binding,
            endpoints: Vec::new(),
            gate: None,
            incoming: ReceiveBatch::new(0, BUFFER),
            outgoing: SendBatch::new(0, MAX_REPLY),
            rng,
            unsent: 0,
            per_send: TimeDelta::ZERO,
            look_again: None,
            peers: BTreeSet::new(),
            own: VecDeque::new(),
        }
    }

    /// The symmetric packets of these hosts are not answered here: they go to the caller.
    pub fn set_peers(&mut self, peers: BTreeSet<SocketAddr>) {
        self.peers = peers;
    }

    /// The frame of a packet sent by [`Self::send`], and when it left.
    pub fn take_own_stamp(&mut self) -> Option<(Vec<u8>, Timestamp)> {
        self.own.pop_front()
    }

    /// Opens a socket on each of these addresses that has none, and closes all others. Never shared with another process.
    ///
    /// A family that the host lacks is left out. Where the device is missing the address is kept, and served once it comes;
    /// [`Self::missing`] names it.
    ///
    /// # Errors
    /// Those of [`UdpSocket::open`], with the address in `object`; what was opened before stays open.
    pub fn listen(&mut self, addresses: &[SocketAddr]) -> Result<(), SysError> {
        if self.incoming.room() == 0 && !addresses.is_empty() {
            // not before: a daemon that serves nobody does without
            self.incoming = ReceiveBatch::new(BATCH, BUFFER);
            self.outgoing = SendBatch::new(BATCH, MAX_REPLY);
        }
        self.endpoints.retain(|endpoint| addresses.contains(&endpoint.address));
        for &address in addresses {
            if self.endpoints.iter().any(|endpoint| endpoint.address == address) {
                continue;
            }
            let mut endpoint = Endpoint { address, bound: address, socket: None, device: None };
            match endpoint.open(&self.binding) {
                Ok(()) => self.endpoints.push(endpoint),
                Err(error) if error.errno == Errno::EAFNOSUPPORT => {}
                Err(error) if error.errno == Errno::ENODEV => self.endpoints.push(endpoint),
                Err(error) => return Err(error),
            }
        }
        let watches = self.binding.device.is_some() && !self.endpoints.is_empty();
        self.look_again = watches.then(|| clock::mono() + LOOK);
        Ok(())
    }

    /// How many sockets are open.
    pub fn sockets(&self) -> usize {
        self.endpoints.iter().filter(|endpoint| endpoint.socket.is_some()).count()
    }

    /// Addresses that wait for their device.
    pub fn missing(&self) -> impl Iterator<Item = SocketAddr> {
        self.endpoints.iter().filter(|endpoint| endpoint.socket.is_none()).map(|endpoint| endpoint.address)
    }

    /// Where its sockets are.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.endpoints.iter().filter(|endpoint| endpoint.socket.is_some()).map(|endpoint| endpoint.bound)
    }

    /// Packets pass this gate before they are answered.
    pub fn set_gate(&mut self, gate: Gate) {
        self.gate = Some(Box::new(gate));
    }

    /// The gate.
    pub fn gate(&mut self) -> Option<&mut Gate> {
        self.gate.as_deref_mut()
    }

    /// Rules, keys, clients, counters.
    pub fn engine(&mut self) -> &mut engine::Server {
        &mut self.engine
    }

    /// Who may ask.
    pub fn access(&self) -> &Table<bool> {
        &self.engine.access
    }

    /// What `serverstats` shows.
    pub fn statistics(&self) -> Statistics {
        self.engine.statistics()
    }

    /// Serves this from now on.
    pub fn set_snapshot(&mut self, snapshot: Snapshot) {
        self.engine.set_snapshot(snapshot);
    }

    /// Counts a command ([`engine::Server::command`]).
    pub fn command(&mut self, from: Option<IpAddr>) -> crate::engine::clients::Verdict {
        self.engine.command(from, clock::mono(), &mut self.rng)
    }

    /// Sends a packet of our own (to a peer, a broadcast) from the server's port. Answers when that was.
    ///
    /// # Errors
    /// Those of [`UdpSocket::send_to`]; EAFNOSUPPORT without a socket of that family.
    pub fn send(&self, bytes: &[u8], to: SocketAddr) -> Result<Timestamp, SysError> {
        let family = Family::of(to.ip());
        let mut sockets = self.endpoints.iter().filter_map(|endpoint| endpoint.socket.as_ref());
        let socket = sockets
            .find(|socket| socket.family() == family)
            .ok_or_else(|| SysError::new("sendto", to.to_string(), Errno::EAFNOSUPPORT))?;
        let at = clock::now();
        match socket.send_stamped(bytes, to) {
            // a broadcast address: the first of its kind
            Err(error) if error.errno == Errno::EACCES => {
                socket.allow_broadcast()?;
                socket.send_stamped(bytes, to)?;
            }
            sent => sent?,
        }
        Ok(at)
    }

    /// Hears what is sent to a multicast group, on every socket of its family.
    ///
    /// # Errors
    /// Those of [`UdpSocket::join`]; EAFNOSUPPORT without a socket of that family.
    pub fn join(&self, group: IpAddr) -> Result<(), SysError> {
        let family = Family::of(group);
        let sockets = self.endpoints.iter().filter_map(|endpoint| endpoint.socket.as_ref());
        let joined = sockets.filter(|socket| socket.family() == family).map(|socket| socket.join(group));
        let without = SysError::new("setsockopt", group.to_string(), Errno::EAFNOSUPPORT);
        joined.reduce(Result::and).unwrap_or(Err(without))
    }

    /// Sends what answers a packet that was no request, from the address that it came to. Answers whether it was sent.
    pub fn reply(&mut self, bytes: &[u8], to: SocketAddr, from: Option<IpAddr>) -> bool {
        let family = Family::of(to.ip());
        let fits = |address: &SocketAddr| {
            address.ip().is_unspecified() || from.is_none_or(|from| from == address.ip())
        };
        let mut sockets = self.endpoints.iter().enumerate();
        let found = sockets.find_map(|(place, endpoint)| {
            let socket = endpoint.socket.as_ref().filter(|socket| socket.family() == family)?;
            fits(&endpoint.address).then_some((place, socket))
        });
        let Some((place, socket)) = found else { return false };
        let sent = socket.send_to(bytes, to, from).is_ok();
        if let Some(gate) = &mut self.gate {
            gate.sent(place, usize::from(sent), usize::from(!sent));
        }
        sent
    }

    /// What to wait for: any of these can be read or has an error to fetch.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.endpoints.iter().filter_map(|endpoint| endpoint.socket.as_ref().map(AsFd::as_fd))
    }

    /// When [`Self::service`] is to be called though nothing came.
    pub fn deadline(&self) -> Option<MonoTime> {
        self.look_again
    }

    /// Answers what has come, for some thousand packets at most. Packets that are no requests go to `other`.
    ///
    /// # Errors
    /// `getrandom`, when the kernel has no random numbers for the replies.
    pub fn service(&mut self, now: MonoTime, other: Other<'_>) -> Result<(), SysError> {
        if self.look_again.is_some_and(|at| at <= now) {
            self.look_again = Some(now + LOOK);
            for endpoint in &mut self.endpoints {
                endpoint.follow(&self.binding);
            }
        }
        for place in 0..self.endpoints.len() {
            self.drain(place, other);
        }
        if self.rng.failed() { Err(SysError::new("getrandom", "", Errno::EIO)) } else { Ok(()) }
    }

    /// Answers until the socket is empty, a signal waits or others are due.
    fn drain(&mut self, place: usize, other: Other<'_>) {
        // before the requests: they may ask for these
        let mut stamped = true;
        for _ in 0..ROUND {
            let Some(socket) = self.endpoints.get(place).and_then(|endpoint| endpoint.socket.as_ref()) else {
                return;
            };
            if stamped {
                fetch_stamps(&mut self.engine, socket, &mut self.own);
            }
            match socket.receive_batch(&mut self.incoming) {
                Ok(0) => return,
                Ok(_) => {}
                // an earlier reply's ICMP message: that client is gone, others are not. It may be that of a device, too
                Err(error) if error.errno == Errno::EBADF || error.errno == Errno::ENOTSOCK => return,
                Err(_) => continue,
            }
            let now = self.incoming.read_at();
            stamped = self.answer(place, now, other);
            if signal::pending().is_some() {
                return;
            }
        }
    }

    /// Answers the batch that was received. Whether the kernel is to say when a reply left.
    fn answer(&mut self, place: usize, now: Timestamp, other: Other<'_>) -> bool {
        let Self { engine, endpoints, incoming, outgoing, rng, unsent, per_send, peers, gate, .. } = self;
        let Some(socket) = endpoints.get(place).and_then(|endpoint| endpoint.socket.as_ref()) else {
            return false;
        };
        engine.prepare(now);
        let mut leaves = Now { clock: now, mono: clock::mono() };
        let mut stamped = false;
        for packet in incoming.packets() {
            let bytes = packet.bytes();
            // the usual packet has a path of its own, on which the compiler knows its family
            let answer = match packet.usual() {
                Some(usual)
                    if gate.is_none()
                        && usual.from.port() != 0
                        && bytes.first().is_some_and(|first| first & 7 == 3) =>
                {
                    let from = SocketAddr::V4(usual.from);
                    let request = Request { bytes, from, received: usual.received, stamp: Stamp::Kernel };
                    let Some(room) = outgoing.room().and_then(|room| room.first_chunk_mut()) else { break };
                    let answer = engine.answer_into(&request, leaves, rng, room);
                    if let Ok(answer) = &answer {
                        outgoing.reply(answer.len, &packet, &usual);
                    }
                    answer
                }
                _ => answer_other(engine, (&mut *gate, &*peers), packet, leaves, rng, outgoing),
            };
            match answer {
                Ok(answer) => {
                    if answer.wants_stamp {
                        outgoing.stamp_last();
                        stamped = true;
                    }
                    // the packets before it leave first; no clock is that close to its end
                    leaves.clock =
                        Timestamp::from_nanos(leaves.clock.as_nanos().wrapping_add(per_send.as_nanos()));
                }
                Err(Silence::Length | Silence::Version | Silence::Mode) => {
                    if let Some(datagram) = packet.datagram() {
                        other(socket, &datagram);
                    }
                }
                Err(_) => {}
            }
        }
        let count = outgoing.len();
        let sent = socket.send_batch(outgoing);
        *unsent += u64::try_from(sent.failed).unwrap_or(0);
        if let Some(gate) = gate {
            gate.took(place, incoming.len());
            gate.sent(place, sent.sent, sent.failed);
        }
        if count >= BUSY {
            let took = (clock::now() - now) / i64::try_from(count).unwrap_or(1);
            let took = took.clamp(TimeDelta::ZERO, LONGEST_SEND);
            *per_send = TimeDelta::midpoint(*per_send, took);
        }
        stamped
    }
}

/// What an ntpd's gate says; control messages have rules of their own.
fn pass(gate: &mut Gate, datagram: &Datagram<'_>, rng: &mut KernelRng) -> Admission {
    match datagram.bytes.first().map(|first| first & 7) {
        Some(CONTROL) => Admission::Serve,
        _ => gate.admit(datagram, rng.next_u64()),
    }
}

/// Answers a packet that is not a usual one: of IPv6, of another mode, without a stamp.
#[inline(never)]
fn answer_other(
    engine: &mut engine::Server,
    (gate, peers): (&mut Option<Box<Gate>>, &BTreeSet<SocketAddr>),
    packet: Packet<'_>,
    leaves: Now,
    rng: &mut KernelRng,
    outgoing: &mut SendBatch,
) -> Result<Answer, Silence> {
    // port 0 cannot be sent to: a forged source
    let datagram = packet.datagram().filter(|datagram| datagram.from.port() != 0).ok_or(Silence::Access)?;
    let Datagram { bytes, from, received, to, .. } = datagram;
    let kiss = match gate.as_mut().map_or(Admission::Serve, |gate| pass(gate, &datagram, rng)) {
        Admission::Serve => None,
        Admission::Refuse => return Err(Silence::Access),
        Admission::Kiss(reply) => Some(reply),
    };
    let symmetric = bytes.first().is_some_and(|first| Mode::from_bits(*first) == Mode::SymmetricActive);
    if symmetric && peers.contains(&from) {
        return Err(Silence::Mode);
    }
    let stamp = match datagram.stamp {
        StampSource::Kernel => Stamp::Kernel,
        StampSource::Daemon => Stamp::Daemon,
    };
    if let Some(kiss) = kiss {
        // a full batch loses it as a network might
        let _ = outgoing.push(&kiss, from, to);
        return Err(Silence::Limited);
    }
    let reply = engine.answer(&Request { bytes, from, received, stamp }, leaves, rng);
    if let Some(gate) = gate {
        gate.judged(bytes, reply.as_ref().map(|_| ()).map_err(|why| *why));
    }
    let reply = reply?;
    outgoing.push(&reply, from, to).map_err(|_| Silence::Access)?;
    Ok(Answer { len: reply.len(), wants_stamp: reply.wants_stamp })
}

/// Takes the kernel's transmit stamps for the replies that wait for them.
fn fetch_stamps(engine: &mut engine::Server, socket: &UdpSocket, own: &mut VecDeque<(Vec<u8>, Timestamp)>) {
    let mut frame = [0; FRAME];
    // each is of a reply of ours: there are no more than were sent
    for _ in 0..BATCH {
        let Some(sent) = socket.transmitted(&mut frame) else { return };
        if !engine.transmitted(sent.frame, sent.at) {
            own.truncate(BATCH);
            own.push_back((sent.frame.to_vec(), sent.at));
        }
    }
}

impl Endpoint {
    fn open(&mut self, binding: &Binding) -> Result<(), SysError> {
        let options = UdpOptions {
            device: binding.device.clone(),
            dscp: binding.dscp,
            ..UdpOptions::server(self.address)
        };
        self.device = binding.device.as_deref().and_then(interface::index_of);
        self.socket = None;
        let socket = UdpSocket::open(&options)
            .map_err(|error| SysError { object: self.address.to_string(), ..error })?;
        self.bound = socket.local_address()?;
        self.socket = Some(socket);
        Ok(())
    }

    /// Follows a device that came, or came back under another index: a socket is bound to the index.
    fn follow(&mut self, binding: &Binding) {
        let Some(device) = &binding.device else { return };
        let index = interface::index_of(device);
        if index.is_some() && (index != self.device || self.socket.is_none()) {
            // it is tried again at the next look
            let _ = self.open(binding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::access::Network;
    use crate::sys::net::Family;
    use crate::sys::testing::wait_for_kernel_stamps;
    use crate::types::{Frequency, Leap, LogInterval, RefId, Secs, Stratum};
    use crate::wire::ntp::Header;

    /// A server on loopback that serves `ahead` of the host's clock, and where it is.
    fn serving(ahead: TimeDelta) -> (Server, SocketAddr) {
        let remembering = Remembering { bytes: Some(524_288), ..Remembering::default() };
        let mut server = Server::new(remembering, Binding::default());
        server.engine().access.set(Network::new([127, 0, 0, 0].into(), 8), true);
        server.set_snapshot(Snapshot {
            leap: Leap::None,
            stratum: Stratum::new(3),
            precision: LogInterval::from_log2(-24),
            root_delay: Secs::literal(0.5),
            root_dispersion: Secs::literal(0.25),
            dispersion_rate: Frequency::ZERO,
            refid: RefId::from_bits(0x0a00_0001),
            reference: clock::now(),
            at: clock::now(),
            ahead,
            ahead_rate: Frequency::ZERO,
            smoothing: None,
        });
        server.listen(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let socket = server.endpoints.first().and_then(|endpoint| endpoint.socket.as_ref()).unwrap();
        wait_for_kernel_stamps(socket);
        let at = socket.local_address().unwrap();
        (server, at)
    }

    fn request(stamps: [u64; 3]) -> Vec<u8> {
        let mut bytes = vec![0; 48];
        bytes[0] = 0x23;
        for (slot, stamp) in bytes[24..].chunks_exact_mut(8).zip(stamps) {
            slot.copy_from_slice(&stamp.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn it_serves_what_it_was_told_and_stamps_by_the_kernel() {
        let ahead = TimeDelta::from_millis(250);
        let (mut server, at) = serving(ahead);
        let client = UdpSocket::open(&UdpOptions::client(Family::V4)).unwrap();
        let mut ask = |stamps: [u64; 3]| {
            let before = clock::now();
            client.send_to(&request(stamps), at, None).unwrap();
            client.send_to(&[0x16; 12], at, None).unwrap();
            let mut others = 0;
            server.service(clock::mono(), &mut |_, packet| others += packet.bytes.len()).unwrap();
            let mut buffer = [0; 128];
            let got = client.receive(&mut buffer).unwrap().unwrap();
            (Header::parse(got.bytes).unwrap(), before, clock::now(), others)
        };
        let (first, before, after, others) = ask([3, 0, 9]);
        assert_eq!((first.stratum.get(), first.origin.to_bits(), others), (3, 9, 12));
        for stamp in [first.receive, first.transmit] {
            let stamp = stamp.to_timestamp(before) - ahead;
            let slack = TimeDelta::from_micros(1);
            assert!(before - slack <= stamp && stamp <= after + slack, "{before:?} {stamp:?} {after:?}");
        }
        let (second, ..) = ask([first.receive.to_bits(), 5, 10]);
        assert_eq!(second.origin.to_bits(), 5, "interleaved");
        let late = second.transmit.wrapping_since(first.transmit);
        assert!(second.transmit != first.transmit && late.abs() < TimeDelta::from_millis(100), "{late:?}");
        let counters = server.engine().counters();
        assert_eq!((counters.interleaved, counters.kernel_tx, counters.kernel_rx), (1, 1, 2));
    }

    #[test]
    fn addresses_are_opened_and_closed_as_asked() {
        let (mut server, at) = serving(TimeDelta::ZERO);
        assert_eq!(server.descriptors().count(), 1);
        server.listen(&[]).unwrap();
        assert_eq!((server.sockets(), server.deadline()), (0, None));
        server.listen(&[at]).unwrap();
        let mut second = Server::new(Remembering::default(), Binding::default());
        let error = second.listen(&[at]).unwrap_err();
        assert_eq!((error.errno, error.object), (Errno::EADDRINUSE, at.to_string()));
    }

    #[test]
    fn an_address_that_is_not_there_yet_is_no_error_and_a_missing_device_is_waited_for() {
        let mut server = Server::new(Remembering::default(), Binding::default());
        server.listen(&["192.0.2.77:0".parse().unwrap()]).unwrap();
        assert_eq!(server.sockets(), 1);
        let nowhere = Binding { device: Some("no-such-dev0".to_owned()), dscp: 46 };
        let mut server = Server::new(Remembering::default(), nowhere);
        let address = "127.0.0.1:0".parse().unwrap();
        match server.listen(&[address]) {
            Ok(()) => {
                assert_eq!((server.sockets(), server.missing().collect::<Vec<_>>()), (0, vec![address]));
                assert!(server.deadline().is_some());
                server.service(clock::mono() + TimeDelta::from_secs(60), &mut |_, _| ()).unwrap();
                assert_eq!(server.missing().count(), 1);
            }
            // only root may bind to a device
            Err(error) => assert_eq!(error.errno, Errno::EPERM),
        }
    }
}
