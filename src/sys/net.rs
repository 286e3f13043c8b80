//! UDP sockets with kernel time stamps, local addresses and errors that never end a loop.
//!
//! Only the calls of the portable set are used: plain `socket`, `fcntl`, `setsockopt`, `bind`, `connect`, `sendmsg`,
//! `recvmsg` (and their batched forms in [`batch`]), so that the unmodified binary also runs under time simulators.
//! SO_REUSEADDR is never set: a second holder of a port is always noticed.

pub mod batch;
mod message;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{SysError, clock, supervisor};
use crate::types::Timestamp;

use message::{Control, RECEIVE_CONTROL, set_option};

/// The two families of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6; such sockets carry nothing but IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The address that stands for all addresses of this host.
    pub fn any(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }

    fn domain(self) -> Domain {
        match self {
            Self::V4 => Domain::IPV4,
            Self::V6 => Domain::IPV6,
        }
    }
}

/// Who took a time stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampSource {
    /// We did, after `recvmsg` returned: late by the scheduling delay.
    Daemon,
    /// The kernel, when the packet passed its network stack.
    Kernel,
}

/// How to open a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpOptions {
    /// The family; an IPv6 socket has IPV6_V6ONLY set.
    pub family: Family,
    /// Local address and port; `None` lets the kernel choose both at the first packet.
    pub bind: Option<SocketAddr>,
    /// Whether the kernel hands transmit times to [`UdpSocket::transmitted`].
    pub transmit_stamps: bool,
    /// Whether [`Datagram::to`] and [`Datagram::interface`] are wanted.
    pub local_addresses: bool,
    /// Whether the local address need not be there (yet): packets come once some interface has it.
    pub free_bind: bool,
    /// The one interface that packets come and go by.
    pub device: Option<String>,
    /// Differentiated services code point of what is sent: 0 … 63.
    pub dscp: u8,
}

impl UdpOptions {
    /// A client's socket: any port, no transmit times, no local addresses.
    pub fn client(family: Family) -> Self {
        Self {
            family,
            bind: None,
            transmit_stamps: false,
            local_addresses: false,
            free_bind: false,
            device: None,
            dscp: 0,
        }
    }

    /// A server's socket: on this address, be it there or not, with local addresses so that replies leave from the address
    /// that was asked.
    pub fn server(address: SocketAddr) -> Self {
        Self {
            bind: Some(address),
            local_addresses: true,
            free_bind: true,
            ..Self::client(Family::of(address.ip()))
        }
    }
}

/// A received packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'b> {
    /// The payload, cut to the buffer.
    pub bytes: &'b [u8],
    /// Whether the payload was longer than the buffer.
    pub truncated: bool,
    /// The sender; an IPv6 link-local one has its scope.
    pub from: SocketAddr,
    /// The address of ours that a reply should leave from; `None`: unknown, not asked for, or the packet came by IPv6 multicast.
    pub to: Option<IpAddr>,
    /// Index of the interface it came by; 0 when unknown.
    pub interface: u32,
    /// When it came.
    pub received: Timestamp,
    /// Who says so.
    pub stamp: StampSource,
}

/// The kernel's transmit time of a packet that was sent on a socket with [`UdpOptions::transmit_stamps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmitted<'b> {
    /// The packet as the kernel returns it: link and network headers of unsaid length, then the payload.
    pub frame: &'b [u8],
    /// When it left.
    pub at: Timestamp,
}

impl Transmitted<'_> {
    /// Whether this is the time of that payload.
    pub fn is_of(&self, payload: &[u8]) -> bool {
        !payload.is_empty() && self.frame.ends_with(payload)
    }
}

/// A UDP socket that never blocks.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    family: Family,
    /// `sendmmsg` does not work here (an old kernel, a simulator).
    one_by_one: Cell<bool>,
    /// The stamp of a single packet cannot be asked for here (Linux before 4.7).
    unstamped: Cell<bool>,
}

impl UdpSocket {
    /// Opens and, if asked for, binds a socket; takes the one over that a service manager has bound to that address. Kernel receive stamps are switched on where the kernel has them.
    ///
    /// # Errors
    /// `operation` is `socket` (EAFNOSUPPORT: the host lacks the family), `fcntl`, `setsockopt` (`object` names the option)
    /// or `bind` (`object` is the address; EADDRINUSE: somebody holds the port, EACCES: it is privileged). ENODEV: there is
    /// no such device (`setsockopt` of SO_BINDTODEVICE).
    pub fn open(options: &UdpOptions) -> Result<Self, SysError> {
        let passed = options.bind.and_then(supervisor::passed);
        let bind = options.bind.filter(|_| passed.is_none());
        let socket = match passed {
            Some(socket) => {
                set_flags(&socket)?;
                socket
            }
            None => new_socket(options.family)?,
        };
        let (one_by_one, unstamped) = (Cell::new(false), Cell::new(false));
        let new = Self { socket, family: options.family, one_by_one, unstamped };
        // not changeable on a socket that is bound already
        if options.family == Family::V6 && (bind.is_some() || options.bind.is_none()) {
            new.set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, "IPV6_V6ONLY", 1)?;
        }
        if options.local_addresses {
            match options.family {
                Family::V4 => new.set(libc::IPPROTO_IP, libc::IP_PKTINFO, "IP_PKTINFO", 1)?,
                Family::V6 => new.set(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, "IPV6_RECVPKTINFO", 1)?,
            }
        }
        if options.dscp > 0 {
            let class = u32::from(options.dscp) << 2;
            match options.family {
                Family::V4 => new.set(libc::IPPROTO_IP, libc::IP_TOS, "IP_TOS", class)?,
                Family::V6 => new.set(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, "IPV6_TCLASS", class)?,
            }
        }
        if let Some(device) = &options.device {
            new.socket
                .bind_device(Some(device.as_bytes()))
                .map_err(|e| SysError::from_io("setsockopt", "SO_BINDTODEVICE", &e))?;
        }
        if options.free_bind {
            // of both families; without it `bind` says what is wrong
            let _ = new.set(libc::IPPROTO_IP, libc::IP_FREEBIND, "IP_FREEBIND", 1);
        }
        new.switch_stamps_on(options);
        if let Some(address) = bind {
            new.socket
                .bind(&SockAddr::from(address))
                .map_err(|e| SysError::from_io("bind", address.to_string(), &e))?;
        }
        Ok(new)
    }

    /// The address it is bound to (`0.0.0.0:0` before the first packet of an unbound one).
    ///
    /// # Errors
    /// `getsockname`.
    pub fn local_address(&self) -> Result<SocketAddr, SysError> {
        let address = self.socket.local_addr().map_err(|e| SysError::from_io("getsockname", "", &e))?;
        address.as_socket().ok_or_else(|| SysError::new("getsockname", "", Errno::EAFNOSUPPORT))
    }

    /// Fixes the peer: packets of others are no longer received, and ICMP errors (ECONNREFUSED) come from [`Self::receive`].
    ///
    /// # Errors
    /// `connect`: ENETUNREACH and the like when there is no route.
    pub fn connect(&self, to: SocketAddr) -> Result<(), SysError> {
        self.socket.connect(&SockAddr::from(to)).map_err(|e| SysError::from_io("connect", to.to_string(), &e))
    }

    /// Sends a packet to an address, from one of ours if given ([`Datagram::to`]).
    ///
    /// # Errors
    /// `sendto`, for this packet only: an earlier packet's ICMP error (ECONNREFUSED …) may show here too.
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr, from: Option<IpAddr>) -> Result<(), SysError> {
        message::send(self.as_raw_fd(), bytes, Some(to), from, false)
            .map_err(|errno| SysError::new("sendto", to.to_string(), errno))
    }

    /// As [`Self::send_to`], and asks the kernel when it leaves ([`Self::transmitted`]).
    ///
    /// # Errors
    /// Those of [`Self::send_to`].
    pub fn send_stamped(&self, bytes: &[u8], to: SocketAddr) -> Result<(), SysError> {
        message::send(self.as_raw_fd(), bytes, Some(to), None, true)
            .map_err(|errno| SysError::new("sendto", to.to_string(), errno))
    }

    /// Sends a packet to the connected peer.
    ///
    /// # Errors
    /// `send`: EDESTADDRREQ before [`Self::connect`], else as [`Self::send_to`].
    pub fn send(&self, bytes: &[u8]) -> Result<(), SysError> {
        message::send(self.as_raw_fd(), bytes, None, None, false)
            .map_err(|errno| SysError::new("send", "", errno))
    }

    /// Takes the next packet; `None` when there is none now.
    ///
    /// # Errors
    /// `recvmsg`: usually an ICMP error that was queued on the socket (ECONNREFUSED, EHOSTUNREACH …). It concerns an earlier
    /// packet of ours, not the socket: call again.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> Result<Option<Datagram<'b>>, SysError> {
        let mut control = Control::<RECEIVE_CONTROL>::new();
        let head = match message::receive(self.as_raw_fd(), buffer, &mut control, 0) {
            Ok(head) => head,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(errno) => return Err(SysError::new("recvmsg", "", errno)),
        };
        let found = control.decode(head.control_len);
        let (received, stamp) = match found.stamp {
            Some(at) => (at, StampSource::Kernel),
            None => (clock::now(), StampSource::Daemon),
        };
        // recvmsg without an address happens only on a connected socket of a simulator
        let Some(from) = head.from.or_else(|| self.socket.peer_addr().ok()?.as_socket()) else {
            return Err(SysError::new("recvmsg", "", Errno::EAFNOSUPPORT));
        };
        Ok(Some(Datagram {
            bytes: buffer.get(..head.len).unwrap_or_default(),
            truncated: head.truncated,
            from,
            to: found.to,
            interface: found.interface,
            received,
            stamp,
        }))
    }

    /// Takes the next transmit time; `None` when there is none now. Frames are up to 100 bytes longer than the payload.
    ///
    /// ICMP errors in the same queue are dropped here ([`Self::receive`] reports them).
    pub fn transmitted<'b>(&self, buffer: &'b mut [u8]) -> Option<Transmitted<'b>> {
        loop {
            let mut control = Control::<RECEIVE_CONTROL>::new();
            let head = message::receive(self.as_raw_fd(), buffer, &mut control, libc::MSG_ERRQUEUE).ok()?;
            let found = control.decode(head.control_len);
            if let (false, Some(at)) = (found.is_error, found.stamp) {
                return Some(Transmitted { frame: buffer.get(..head.len).unwrap_or_default(), at });
            }
        }
    }

    /// Lets packets go to broadcast addresses.
    ///
    /// # Errors
    /// `setsockopt`.
    pub fn allow_broadcast(&self) -> Result<(), SysError> {
        self.set(libc::SOL_SOCKET, libc::SO_BROADCAST, "SO_BROADCAST", 1)
    }

    /// Hears what is sent to a multicast group, by the interface that the kernel's routes name.
    ///
    /// # Errors
    /// `setsockopt`: ENODEV without such a route, EADDRINUSE when it has joined already.
    pub fn join(&self, group: IpAddr) -> Result<(), SysError> {
        let joined = match group {
            IpAddr::V4(group) => self.socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(group) => self.socket.join_multicast_v6(&group, 0),
        };
        joined.map_err(|error| SysError::from_io("setsockopt", "IP_ADD_MEMBERSHIP", &error))
    }

    fn set(&self, level: i32, option: i32, name: &'static str, value: u32) -> Result<(), SysError> {
        set_option(self.as_raw_fd(), level, option, value).map_err(|e| SysError::new("setsockopt", name, e))
    }

    /// Receive stamps by SO_TIMESTAMPING, else SO_TIMESTAMPNS, else none; transmit stamps by the former only.
    fn switch_stamps_on(&self, options: &UdpOptions) {
        let receive = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
        let transmit = if options.transmit_stamps { libc::SOF_TIMESTAMPING_TX_SOFTWARE } else { 0 };
        if self.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, "SO_TIMESTAMPING", receive | transmit).is_err() {
            let _ = self.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, "SO_TIMESTAMPNS", 1);
        } else {
            // an error queue that is not empty (stamps of single packets can be asked for at any time) then wakes
            // select's third set only
            let _ = self.set(libc::SOL_SOCKET, SO_SELECT_ERR_QUEUE, "SO_SELECT_ERR_QUEUE", 1);
        }
    }

    /// The family it was opened for.
    pub fn family(&self) -> Family {
        self.family
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> i32 {
        self.socket.as_raw_fd()
    }
}

/// Linux's number of an option that libc names on some targets only (asm-generic/socket.h).
const SO_SELECT_ERR_QUEUE: i32 = 45;

/// The address of ours that packets to `to` would leave from, by a throw-away `connect` on a UDP socket; nothing is sent.
///
/// # Errors
/// `socket` or `connect`: there is no route (ENETUNREACH …), or the family is missing.
pub fn route_to(to: SocketAddr) -> Result<IpAddr, SysError> {
    let probe = route_probe(to, true)?;
    let local = probe.local_addr().map_err(|e| SysError::from_io("getsockname", "", &e))?;
    Ok(local.as_socket().map_or(Family::of(to.ip()).any(), |a| a.ip()))
}

/// Whether there is a route to an address; nothing is sent.
pub fn has_route(to: SocketAddr) -> bool {
    route_probe(to, false).is_ok()
}

/// A socket that never blocks and that no child process gets. Its flags are part of its type where that is known (Linux).
fn new_socket(family: Family) -> Result<Socket, SysError> {
    let open = |kind| Socket::new_raw(family.domain(), kind, Some(Protocol::UDP));
    match open(Type::DGRAM.nonblocking().cloexec()) {
        // outside the portable set, as ioctl(FIONBIO) is
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let socket = open(Type::DGRAM).map_err(|e| SysError::from_io("socket", "", &e))?;
            set_flags(&socket)?;
            Ok(socket)
        }
        opened => opened.map_err(|e| SysError::from_io("socket", "", &e)),
    }
}

/// The same for a socket that is there already; it has no other flags.
fn set_flags(socket: &Socket) -> Result<(), SysError> {
    fcntl(socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|e| SysError::new("fcntl", "", e))?;
    fcntl(socket, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))
        .map_err(|e| SysError::new("fcntl", "", e))?;
    Ok(())
}

/// `broadcasts`: an address that is a subnet's broadcast address will do, too.
fn route_probe(to: SocketAddr, broadcasts: bool) -> Result<Socket, SysError> {
    let probe = Socket::new_raw(Family::of(to.ip()).domain(), Type::DGRAM, Some(Protocol::UDP))
        .map_err(|e| SysError::from_io("socket", "", &e))?;
    if broadcasts {
        probe.set_broadcast(true).map_err(|e| SysError::from_io("setsockopt", "", &e))?;
    }
    probe.connect(&SockAddr::from(to)).map_err(|e| SysError::from_io("connect", to.to_string(), &e))?;
    Ok(probe)
}

#[cfg(test)]
mod tests;
