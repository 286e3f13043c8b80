//! The sockets that requests leave by: one of its own for each, a shared one (`acquisitionport`), or the server's (peers).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use super::server::Server;
use crate::engine::association::{Port, Token};
use crate::engine::measurement::SourceId;
use crate::sys::net::{Datagram, Family, UdpOptions, UdpSocket};
use crate::sys::{Errno, SysError, clock};
use crate::types::Timestamp;

/// Where requests leave from.
#[derive(Debug, Clone, Default)]
pub struct Asking {
    /// `bindacqaddress` for IPv4 and IPv6.
    pub addresses: (Option<IpAddr>, Option<IpAddr>),
    /// `bindacqdevice`.
    pub device: Option<String>,
    /// `acquisitionport`: all requests leave by it, 0: by one that the kernel chooses; `None`: each by a port of its own.
    pub port: Option<u16>,
    /// The port that we answer at: requests from it leave by the server's sockets.
    pub server_port: u16,
    /// `dscp`.
    pub dscp: u8,
}

#[derive(Debug)]
struct Request {
    /// `None`: it left by a shared socket.
    socket: Option<UdpSocket>,
    token: Token,
    bytes: Vec<u8>,
    /// The kernel said when it left.
    left: bool,
}

/// The requests that are under way.
#[derive(Debug)]
pub(super) struct Requests {
    asking: Asking,
    open: BTreeMap<SourceId, Request>,
    shared: Vec<UdpSocket>,
    /// Never used. The kernel stamps what it receives for as long as some socket asks for that, and patches its own code whenever the
    /// first one does and the last one no longer does: with this one that is not done for each request.
    stamping: Option<UdpSocket>,
}

impl Requests {
    pub(super) const fn new(asking: Asking) -> Self {
        Self { asking, open: BTreeMap::new(), shared: Vec::new(), stamping: None }
    }

    /// Sends a request. Answers when that was, by our own clock.
    pub(super) fn send(
        &mut self,
        (source, token): (SourceId, Token),
        to: SocketAddr,
        bytes: Vec<u8>,
        port: Port,
        server: &Server,
    ) -> Result<Timestamp, SysError> {
        let own = self.asking.port.filter(|port| *port != 0);
        let by_server = port == Port::Server || own == Some(self.asking.server_port);
        let (at, socket) = if by_server {
            (server.send(&bytes, to)?, None)
        } else if self.asking.port.is_some() {
            let socket = self.shared(to)?;
            let at = clock::now();
            socket.send_to(&bytes, to, None)?;
            (at, None)
        } else {
            let family = Family::of(to.ip());
            let socket = self.socket(family)?;
            if self.stamping.is_none() {
                self.stamping = UdpSocket::open(&UdpOptions::client(family)).ok();
            }
            socket.connect(to)?;
            let at = clock::now();
            socket.send(&bytes)?;
            (at, Some(socket))
        };
        self.open.insert(source, Request { socket, token, bytes, left: false });
        Ok(at)
    }

    /// The socket that all requests of a family share.
    fn shared(&mut self, to: SocketAddr) -> Result<&UdpSocket, SysError> {
        let family = Family::of(to.ip());
        if !self.shared.iter().any(|socket| socket.family() == family) {
            let socket = self.socket(family)?;
            self.shared.push(socket);
        }
        let socket = self.shared.iter().find(|socket| socket.family() == family);
        socket.ok_or_else(|| SysError::new("socket", to.to_string(), Errno::EAFNOSUPPORT))
    }

    fn socket(&self, family: Family) -> Result<UdpSocket, SysError> {
        let address = match family {
            Family::V4 => self.asking.addresses.0,
            Family::V6 => self.asking.addresses.1,
        };
        let port = self.asking.port.unwrap_or(0);
        let bind = (address.is_some() || port != 0)
            .then(|| SocketAddr::new(address.unwrap_or_else(|| family.any()), port));
        UdpSocket::open(&UdpOptions {
            bind,
            transmit_stamps: true,
            device: self.asking.device.clone(),
            dscp: self.asking.dscp,
            ..UdpOptions::client(family)
        })
    }

    pub(super) fn close(&mut self, source: SourceId) {
        self.open.remove(&source);
    }

    /// What to wait for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let own = self.open.values().filter_map(|request| request.socket.as_ref());
        own.chain(&self.shared).map(AsFd::as_fd)
    }

    /// The sources whose request has a socket of its own.
    pub(super) fn own(&self) -> Vec<SourceId> {
        let own = self.open.iter().filter(|(_, request)| request.socket.is_some());
        own.map(|(source, _)| *source).collect()
    }

    /// When the request of a source really left, if the kernel said so by now.
    ///
    /// Usually that is right after it was sent; it is said once.
    pub(super) fn left(&mut self, source: SourceId, buffer: &mut [u8]) -> Option<(Token, Timestamp)> {
        let request = self.open.get_mut(&source).filter(|request| !request.left)?;
        let socket = request.socket.as_ref()?;
        while let Some(sent) = socket.transmitted(buffer) {
            if sent.is_of(&request.bytes) {
                request.left = true;
                return Some((request.token, sent.at));
            }
        }
        None
    }

    /// Drops what the error queue of a source's socket still has: `select` would return for it again and again.
    pub(super) fn empty_errors(&self, source: SourceId, buffer: &mut [u8]) {
        if let Some(socket) = self.open.get(&source).and_then(|request| request.socket.as_ref()) {
            while socket.transmitted(buffer).is_some() {}
        }
    }

    /// As [`Self::left`], for the requests that left by shared sockets.
    pub(super) fn all_left(&self, buffer: &mut [u8]) -> Vec<(SourceId, Token, Timestamp)> {
        let mut left = Vec::new();
        for socket in &self.shared {
            while let Some(sent) = socket.transmitted(buffer) {
                left.extend(self.of_frame(sent.frame).map(|(source, token)| (source, token, sent.at)));
            }
        }
        left
    }

    /// Whose request this frame ends with.
    pub(super) fn of_frame(&self, frame: &[u8]) -> Option<(SourceId, Token)> {
        let found = self.open.iter().find(|(_, r)| r.socket.is_none() && frame.ends_with(&r.bytes));
        found.map(|(source, request)| (*source, request.token))
    }

    /// The next packet on the socket of a source; an error is an ICMP message, and the reply may still come.
    pub(super) fn receive<'b>(
        &self,
        source: SourceId,
        buffer: &'b mut [u8],
    ) -> Result<Option<Datagram<'b>>, SysError> {
        match self.open.get(&source).and_then(|request| request.socket.as_ref()) {
            Some(socket) => socket.receive(buffer),
            None => Ok(None),
        }
    }

    /// Our address on the socket of a source: a connected one has only one.
    pub(super) fn own_address(&self, source: SourceId) -> Option<IpAddr> {
        let socket = self.open.get(&source)?.socket.as_ref()?;
        socket.local_address().ok().map(|address| address.ip())
    }

    /// The shared sockets.
    pub(super) fn shared_sockets(&self) -> &[UdpSocket] {
        &self.shared
    }
}
