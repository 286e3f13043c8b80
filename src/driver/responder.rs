//! A small time server on one address, for as long as somebody turns it: what `demo` shows and tests ask.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use super::server::{Binding, Remembering, Server};
use crate::engine::access::Network;
use crate::engine::rng::Rng;
use crate::engine::server::Snapshot;
use crate::sys::child::{Child, Finished};
use crate::sys::net::Family;
use crate::sys::wait::{Woken, wait};
use crate::sys::{Errno, SysError, clock};
use crate::types::{MonoTime, Stratum, TimeDelta};

/// A server on one address that serves this host's clock, moved by a constant, to anybody.
pub struct Responder {
    server: Server,
    address: SocketAddr,
    ahead: TimeDelta,
}

impl Responder {
    /// Opens a server on an address (port 0: one that the kernel chooses) whose clock is `ahead` of this host's.
    ///
    /// # Errors
    /// Those of [`Server::listen`]; EAFNOSUPPORT where the host lacks the family.
    pub fn open(address: SocketAddr, ahead: TimeDelta) -> Result<Self, SysError> {
        let mut server = Server::new(Remembering::default(), Binding::default());
        for family in [Family::V4, Family::V6] {
            server.engine().access.set(Network::new(family.any(), 0), true);
        }
        server.listen(&[address])?;
        let bound = server.addresses().next();
        let lacks = || SysError::new("socket", address.to_string(), Errno::EAFNOSUPPORT);
        let address = bound.ok_or_else(lacks)?;
        Ok(Self { server, address, ahead })
    }

    /// Where it can be asked.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to wait for.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.server.descriptors()
    }

    /// Answers what has come.
    ///
    /// # Errors
    /// Those of [`Server::service`].
    pub fn turn(&mut self, rng: &mut dyn Rng) -> Result<(), SysError> {
        let now = clock::both();
        let precision = self.server.engine().snapshot().precision;
        let snapshot = Snapshot::local(Stratum::new(10), precision, now.clock, rng);
        let reference = snapshot.reference + self.ahead;
        self.server.set_snapshot(Snapshot { ahead: self.ahead, reference, ..snapshot });
        self.server.service(now.mono, &mut |_, _| ())
    }
}

/// Lets servers answer while a program runs; past the deadline the program is ended.
///
/// # Errors
/// `select`, those of [`Responder::turn`] and of reading from the program.
pub fn attend(
    servers: &mut [Responder],
    mut child: Child,
    deadline: MonoTime,
    rng: &mut dyn Rng,
) -> Result<Finished, SysError> {
    loop {
        let streams: Vec<_> = child.descriptors().collect();
        if streams.is_empty() {
            return child.finish();
        }
        let count = streams.len();
        let fds: Vec<_> =
            streams.into_iter().chain(servers.iter().flat_map(Responder::descriptors)).collect();
        let woken = wait(&fds, Some(deadline))?;
        drop(fds);
        match woken {
            Woken::Ready(places) => {
                if places.iter().any(|place| *place >= count) {
                    servers.iter_mut().try_for_each(|server| server.turn(rng))?;
                }
                // from the last to the first: a stream at its end moves those behind it
                for place in places.into_iter().rev().filter(|place| *place < count) {
                    child.read(place)?;
                }
            }
            Woken::Deadline => {
                child.kill();
                return child.finish();
            }
            Woken::Signal => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rng::SplitMix;
    use crate::sys::net::{UdpOptions, UdpSocket};
    use crate::types::Mode;
    use crate::wire::ntp::Header;

    #[test]
    fn it_answers_over_loopback_and_survives_rubbish() {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut responder = Responder::open(local, TimeDelta::from_secs(3600)).unwrap();
        let client = UdpSocket::open(&UdpOptions::client(Family::V4)).unwrap();
        client.connect(responder.address()).unwrap();
        let mut request = [0; 48];
        request[0] = 0x23;
        for bytes in [&request[..3], &[0xff; 2000], &request] {
            client.send(bytes).unwrap();
        }
        responder.turn(&mut SplitMix::new(1)).unwrap();
        let mut buffer = [0; 2000];
        let reply = client.receive(&mut buffer).unwrap().unwrap();
        let header = Header::parse(reply.bytes).unwrap();
        assert_eq!((reply.bytes.len(), header.mode, header.stratum.get()), (48, Mode::Server, 10));
        assert!(matches!(client.receive(&mut [0; 2000]), Ok(None)), "one reply");
        let ahead = header.transmit.to_timestamp(reply.received) - reply.received;
        assert!((ahead - TimeDelta::from_secs(3600)).abs() < TimeDelta::from_secs(10), "{ahead:?}");
    }
}
