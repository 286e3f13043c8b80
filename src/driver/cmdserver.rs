//! The daemon's command sockets: requests of `chronyc` in, answers of [`crate::control::cmdmon`] out. A part of a bigger loop,
//! which waits for its descriptors and then calls [`CommandServer::service`].

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use crate::control::cmdmon::{Answerer, Daemon, Transport};
use crate::sys::cmdsock::ControlSocket;
use crate::sys::net::{UdpOptions, UdpSocket};
use crate::sys::{Errno, SysError};
use crate::wire::cmdmon::MAX_PACKET;

/// One byte more than the longest request: a longer one is seen to be longer.
const BUFFER: usize = MAX_PACKET + 1;
/// Requests of one socket before others get their turn: reports never keep time from being served.
const ROUND: usize = 32;

/// Command sockets and what answers there.
#[derive(Debug)]
pub struct CommandServer {
    answerer: Answerer,
    udp: Vec<UdpSocket>,
    unix: Option<ControlSocket>,
}

impl CommandServer {
    /// Without sockets.
    pub fn new(answerer: Answerer) -> Self {
        Self { answerer, udp: Vec::new(), unix: None }
    }

    /// Opens the Unix socket. Whether its folder is fit for it is the caller's to judge; privileges should be given up before.
    ///
    /// # Errors
    /// Those of [`ControlSocket::bind`].
    pub fn listen_unix(&mut self, path: &Path) -> Result<(), SysError> {
        self.unix = Some(ControlSocket::bind(path)?);
        Ok(())
    }

    /// Opens a UDP socket (`bindcmdaddress`, `cmdport`); a family that the host lacks is left out.
    ///
    /// # Errors
    /// Those of [`UdpSocket::open`].
    pub fn listen_udp(&mut self, address: SocketAddr, device: Option<&str>) -> Result<(), SysError> {
        let options = UdpOptions { device: device.map(str::to_owned), ..UdpOptions::server(address) };
        match UdpSocket::open(&options) {
            Ok(socket) => self.udp.push(socket),
            Err(error) if error.errno == Errno::EAFNOSUPPORT => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// How many sockets are open.
    pub fn sockets(&self) -> usize {
        self.udp.len() + usize::from(self.unix.is_some())
    }

    /// What to wait for.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.udp.iter().map(AsFd::as_fd).chain(self.unix.iter().map(AsFd::as_fd))
    }

    /// Answers what has come, some requests of each socket at most.
    pub fn service(&mut self, daemon: &mut dyn Daemon) {
        let Self { answerer, udp, unix, .. } = self;
        let mut buffer = [0; BUFFER];
        for socket in udp {
            for _ in 0..ROUND {
                // an error here is an earlier reply's ICMP message: that client is gone, others are not
                let datagram = match socket.receive(&mut buffer) {
                    Ok(Some(datagram)) => datagram,
                    Ok(None) => break,
                    Err(_) => continue,
                };
                let from = Transport::Udp(datagram.from.ip());
                if let Some(reply) = answerer.answer(datagram.bytes, from, daemon) {
                    // a client that cannot be reached asks again
                    let _ = socket.send_to(&reply, datagram.from, datagram.to);
                }
            }
        }
        for socket in unix.iter() {
            for _ in 0..ROUND {
                let Ok(Some((bytes, from))) = socket.receive(&mut buffer) else { break };
                if let Some(reply) = answerer.answer(bytes, Transport::Unix, daemon) {
                    // nor is one that does not read its answers waited for
                    let _ = socket.send_to(&reply, &from);
                }
            }
        }
    }
}
