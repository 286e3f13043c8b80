//! The socket under a mode 6 session: opens it, sends, waits, and collects the answers.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use nix::errno::Errno;

use crate::client::mode6::{Patience, QueryError, Reply, Request, Session, Ticket};
use crate::sys::clock;
use crate::sys::dns::{self, Looked};
use crate::sys::net::{Family, UdpOptions, UdpSocket};
use crate::sys::wait::{Woken, wait};

/// NTP's port.
const PORT: u16 = 123;
/// Room for one datagram; no server sends more than 500 bytes, a longer one arrives cut and is ignored.
const DATAGRAM: usize = 2048;
/// Most bytes of answers that one command takes: what a hostile server can make us hold.
const BUDGET: usize = 64 << 20;

/// A server and the conversation with it.
pub struct Link {
    /// Requests, retries, fragments.
    pub session: Session,
    socket: UdpSocket,
    others: Vec<SocketAddr>,
    heard: bool,
}

/// Why a command got no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkError {
    /// The name has no address: the resolver's text.
    Unresolved(String),
    /// A system call failed: its text.
    System(String),
}

/// The answers of one command.
pub enum Verdict {
    /// Every request has its answer.
    Done,
    /// The user interrupted.
    Interrupted,
    /// The answers together exceed what is held.
    TooMuch,
}

impl Link {
    /// Resolves a host (numeric addresses first; `[v6]`, `host:port` and `[v6]:port` allowed) and connects to its first address.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn open(
        host: &str,
        family: Option<Family>,
        version: u8,
        patience: Patience,
    ) -> Result<Self, LinkError> {
        let (name, port) = host_and_port(host);
        let system = |e: crate::sys::SysError| LinkError::System(e.reason().to_owned());
        let deadline = dns::deadline_in(dns::FORWARD_TIMEOUT);
        let looked = dns::addresses_of(&[name.to_owned()], family, port, deadline).map_err(system)?;
        let mut addresses = match looked {
            Looked::Done(results) => match results.into_iter().next() {
                Some(Ok(addresses)) => addresses,
                Some(Err(error)) => return Err(LinkError::Unresolved(error.text())),
                None => Vec::new(),
            },
            Looked::Signal => return Err(LinkError::System(Errno::EINTR.desc().to_owned())),
        };
        if addresses.is_empty() {
            return Err(LinkError::Unresolved("Name or service not known".to_owned()));
        }
        let first = addresses.remove(0);
        let socket = connect(first).map_err(system)?;
        Ok(Self { session: Session::new(version, patience), socket, others: addresses, heard: false })
    }

    /// Sends requests and hands each answer over with the request's place in the list, in the order of arrival.
    pub fn query_each(
        &mut self,
        requests: Vec<Request>,
        mut each: impl FnMut(usize, Result<Reply, QueryError>),
    ) -> Verdict {
        let tickets: Vec<Ticket> = requests.into_iter().map(|r| self.session.submit(r)).collect();
        let mut held = 0;
        loop {
            while let Some((ticket, answer)) = self.session.poll_answer() {
                held += answer.as_ref().map_or(0, |reply| reply.data.len());
                if held > BUDGET {
                    self.session.abandon();
                    return Verdict::TooMuch;
                }
                if let Ok(place) = tickets.binary_search(&ticket) {
                    each(place, answer);
                }
            }
            if self.session.is_idle() {
                return Verdict::Done;
            }
            self.turn();
            if crate::sys::signal::pending().is_some() {
                self.session.abandon();
                return Verdict::Interrupted;
            }
        }
    }

    /// Sends what is due, waits for the next event and takes it in.
    fn turn(&mut self) {
        while let Some(bytes) = self.session.poll_transmit(clock::mono()) {
            if let Err(error) = self.socket.send(&bytes) {
                match error.errno {
                    // an ICMP error of an earlier packet, or a full queue: the time-out repeats what was lost
                    Errno::ECONNREFUSED => return self.refused(&error),
                    Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR => {}
                    _ => return self.session.fail(&format!("sendto: {}", error.reason())),
                }
            }
        }
        match wait(&[self.socket.as_fd()], self.session.next_timeout()) {
            Ok(Woken::Ready(_)) => self.receive(),
            Ok(Woken::Deadline) => self.session.handle_timeout(clock::mono()),
            Ok(Woken::Signal) => {}
            Err(error) => self.session.fail(&format!("select: {}", error.reason())),
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; DATAGRAM];
        // bounded: a flood does not keep the time-outs from being looked at
        for _ in 0..64 {
            match self.socket.receive(&mut buffer) {
                Ok(Some(datagram)) => {
                    self.heard = true;
                    self.session.handle(datagram.bytes, clock::mono());
                }
                Ok(None) => break,
                Err(error) => return self.refused(&error),
            }
        }
        self.session.handle_timeout(clock::mono());
    }

    /// An ICMP error: on to the next address of the name if this one never spoke, else the end.
    fn refused(&mut self, error: &crate::sys::SysError) {
        while !self.heard && !self.others.is_empty() {
            let next = self.others.remove(0);
            if let Ok(socket) = connect(next) {
                self.socket = socket;
                self.session.send_again();
                return;
            }
        }
        self.session.fail(&format!("read: {}", error.reason()));
    }
}

/// `[2001:db8::1]:1123`, `localhost:1123`, `2001:db8::1`: the port of NTP unless one is named.
fn host_and_port(host: &str) -> (&str, u16) {
    if let Some((name, after)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = after.strip_prefix(':').and_then(|port| port.parse().ok());
        return (name, port.unwrap_or(PORT));
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') && !name.is_empty() => match port.parse() {
            Ok(port) => (name, port),
            Err(_) => (host, PORT),
        },
        _ => (host, PORT),
    }
}

fn connect(to: SocketAddr) -> Result<UdpSocket, crate::sys::SysError> {
    let socket = UdpSocket::open(&UdpOptions::client(Family::of(to.ip())))?;
    socket.connect(to)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_only_where_it_cannot_be_part_of_an_address() {
        for (text, name, port) in [
            ("localhost", "localhost", 123),
            ("localhost:1123", "localhost", 1123),
            ("10.0.0.1:1123", "10.0.0.1", 1123),
            ("[::1]", "::1", 123),
            ("[::1]:1123", "::1", 1123),
            ("::1", "::1", 123),
            ("fd00::1:1123", "fd00::1:1123", 123),
            ("name:x", "name:x", 123),
        ] {
            assert_eq!(host_and_port(text), (name, port), "{text}");
        }
    }
}
