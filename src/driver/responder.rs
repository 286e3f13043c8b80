//! A small time server: `server::answer` on one socket, for as long as somebody turns it.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::random::KernelRng;
use crate::engine::access::Network;
use crate::engine::rng::Rng;
use crate::engine::server::{Remembering, Request, Server, Snapshot, Stamp};
use crate::sys::child::{Child, Finished};
use crate::sys::net::{Family, StampSource, UdpOptions, UdpSocket};
use crate::sys::wait::{Woken, wait};
use crate::sys::{SysError, clock};
use crate::types::{LogInterval, MonoTime, Now, Stratum, TimeDelta};

/// One byte more than the longest request: a longer one is seen to be longer.
const BUFFER: usize = 1141;
/// How many packets are answered before others get their turn.
const ROUND: usize = 64;

/// A server on one address that serves this host's clock, moved by a constant.
#[derive(Debug)]
pub struct Responder {
    socket: UdpSocket,
    ahead: TimeDelta,
    server: Server,
}

impl Responder {
    /// Opens a server on an address (port 0: one that the kernel chooses) whose clock is `ahead` of this host's.
    ///
    /// # Errors
    /// Those of [`UdpSocket::open`].
    pub fn open(address: SocketAddr, ahead: TimeDelta) -> Result<Self, SysError> {
        let socket = UdpSocket::open(&UdpOptions::server(address))?;
        let mut server = Server::new(
            Remembering::default(),
            LogInterval::of_precision(clock::precision()),
            &mut KernelRng::default(),
        );
        for family in [Family::V4, Family::V6] {
            server.access.set(Network::new(family.any(), 0), true);
        }
        Ok(Self { socket, ahead, server })
    }

    /// Where it can be asked.
    ///
    /// # Errors
    /// `getsockname`.
    pub fn address(&self) -> Result<SocketAddr, SysError> {
        self.socket.local_address()
    }

    /// Answers what has come, some packets at most; returns how many were answered.
    pub fn turn(&mut self, rng: &mut dyn Rng) -> usize {
        let mut buffer = [0; BUFFER];
        let precision = self.server.snapshot().precision;
        let mut answered = 0;
        for _ in 0..ROUND {
            // an error here is an earlier reply's ICMP message: that client is gone, others are not
            let datagram = match self.socket.receive(&mut buffer) {
                Ok(Some(datagram)) => datagram,
                Ok(None) => break,
                Err(_) => continue,
            };
            let now = clock::now();
            let snapshot = Snapshot::local(Stratum::new(10), precision, now, rng);
            let reference = snapshot.reference + self.ahead;
            self.server.set_snapshot(Snapshot { ahead: self.ahead, reference, ..snapshot });
            let stamp = match datagram.stamp {
                StampSource::Kernel => Stamp::Kernel,
                StampSource::Daemon => Stamp::Daemon,
            };
            let request =
                Request { bytes: datagram.bytes, from: datagram.from, received: datagram.received, stamp };
            let leaves = Now { clock: now, mono: clock::mono() };
            let reply = self.server.answer(&request, leaves, rng);
            let sent = reply.map(|reply| self.socket.send_to(&reply, datagram.from, datagram.to));
            answered += usize::from(matches!(sent, Ok(Ok(()))));
        }
        answered
    }
}

impl AsFd for Responder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Lets servers answer while a program runs; past the deadline the program is ended.
///
/// # Errors
/// `select`, and those of reading from the program.
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
        let fds: Vec<_> = streams.into_iter().chain(servers.iter().map(AsFd::as_fd)).collect();
        let woken = wait(&fds, Some(deadline))?;
        drop(fds);
        match woken {
            Woken::Ready(places) => {
                // from the last to the first: a stream at its end moves those behind it
                for place in places.into_iter().rev() {
                    match place.checked_sub(count) {
                        Some(server) => _ = servers.get_mut(server).map(|server| server.turn(rng)),
                        None => child.read(place)?,
                    }
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
    use crate::sys::net::Family;
    use crate::types::Mode;
    use crate::wire::ntp::Header;

    #[test]
    fn it_answers_over_loopback_and_survives_rubbish() {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut responder = Responder::open(local, TimeDelta::from_secs(3600)).unwrap();
        let client = UdpSocket::open(&UdpOptions::client(Family::V4)).unwrap();
        client.connect(responder.address().unwrap()).unwrap();
        let mut request = [0; 48];
        request[0] = 0x23;
        for bytes in [&request[..3], &[0xff; 2000], &request] {
            client.send(bytes).unwrap();
        }
        assert_eq!(responder.turn(&mut SplitMix::new(1)), 1);
        let mut buffer = [0; 2000];
        let reply = client.receive(&mut buffer).unwrap().unwrap();
        let header = Header::parse(reply.bytes).unwrap();
        assert_eq!((reply.bytes.len(), header.mode, header.stratum.get()), (48, Mode::Server, 10));
        let ahead = header.transmit.to_timestamp(reply.received) - reply.received;
        assert!((ahead - TimeDelta::from_secs(3600)).abs() < TimeDelta::from_secs(10), "{ahead:?}");
    }
}
