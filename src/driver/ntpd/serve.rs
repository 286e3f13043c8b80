//! The loop over ntpd's sockets: batches in, decisions of the reception, answers out.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use super::{Outcome, Reception};
use crate::driver::random::KernelRng;
use crate::sys::net::batch::{ReceiveBatch, SendBatch};
use crate::sys::net::{UdpOptions, UdpSocket};
use crate::sys::signal::Signal;
use crate::sys::wait::{Woken, wait};
use crate::sys::{Errno, SysError, clock, signal};
use crate::types::MonoTime;

/// Packets that are taken and answered together.
const BATCH: usize = 64;
/// One byte more than the longest request: a control message with a line of configuration is longer than one for the time.
const BUFFER: usize = 1501;

/// Why serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// This signal was caught.
    Signal(Signal),
    /// The time was over.
    Deadline,
}

/// The sockets of a daemon.
pub struct Sockets {
    sockets: Vec<(SocketAddr, UdpSocket)>,
    incoming: ReceiveBatch,
    outgoing: SendBatch,
    rng: KernelRng,
}

impl Sockets {
    /// Opens a socket on each address; a family that the host lacks is left out. Never shared with another process.
    ///
    /// # Errors
    /// Those of [`UdpSocket::open`], with the address in `object`.
    pub fn open(addresses: &[SocketAddr]) -> Result<Self, SysError> {
        let mut sockets = Vec::new();
        for &address in addresses {
            match UdpSocket::open(&UdpOptions::server(address)) {
                Ok(socket) => sockets.push((address, socket)),
                Err(error) if matches!(error.errno, Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            sockets,
            incoming: ReceiveBatch::new(BATCH, BUFFER),
            outgoing: SendBatch::new(BATCH, BUFFER),
            rng: KernelRng::default(),
        })
    }

    /// Where they are.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|(address, _)| *address).collect()
    }

    /// Random numbers of the kernel.
    pub fn rng(&mut self) -> &mut KernelRng {
        &mut self.rng
    }

    /// Serves until a signal or the deadline.
    ///
    /// # Errors
    /// `select`; `getrandom` when the kernel has no random numbers for the replies.
    pub fn run(&mut self, reception: &mut Reception, deadline: Option<MonoTime>) -> Result<Ended, SysError> {
        loop {
            let fds: Vec<_> = self.sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
            let woken = wait(&fds, deadline)?;
            drop(fds);
            match woken {
                Woken::Ready(places) => {
                    for place in places {
                        self.drain(place, reception);
                    }
                    if self.rng.failed() {
                        return Err(SysError::new("getrandom", "", Errno::EIO));
                    }
                }
                Woken::Deadline => return Ok(Ended::Deadline),
                Woken::Signal => {
                    if let Some(signal) = signal::take() {
                        return Ok(Ended::Signal(signal));
                    }
                }
            }
        }
    }

    /// Answers until the socket is empty or a signal waits.
    fn drain(&mut self, place: usize, reception: &mut Reception) {
        let Self { sockets, incoming, outgoing, rng } = self;
        let Some((_, socket)) = sockets.get(place) else { return };
        while signal::pending().is_none() {
            // an error here is an earlier reply's ICMP message: that client is gone, others are not
            match socket.receive_batch(incoming) {
                Ok(0) => return,
                Ok(count) => reception.took(place, u64::try_from(count).unwrap_or(0)),
                Err(_) => continue,
            }
            let (now, mono) = (clock::now(), clock::mono());
            for datagram in incoming.datagrams().filter(|datagram| !datagram.truncated) {
                match reception.receive(&datagram, now, mono, rng) {
                    Outcome::Silence => {}
                    Outcome::Time(reply) => _ = outgoing.push(&reply, datagram.from, datagram.to),
                    Outcome::Kiss(reply) => _ = outgoing.push(&reply, datagram.from, datagram.to),
                    Outcome::Control(packets) => {
                        for packet in packets {
                            let sent = socket.send_to(&packet, datagram.from, datagram.to).is_ok();
                            reception.sent(place, u64::from(sent), u64::from(!sent));
                        }
                    }
                }
            }
            let sent = socket.send_batch(outgoing);
            let count = |n: usize| u64::try_from(n).unwrap_or(0);
            reception.sent(place, count(sent.sent), count(sent.failed));
        }
    }
}
