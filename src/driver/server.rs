//! The server's path: sockets drained in batches, answers of [`server::answer`] sent in batches; one thread, one select loop.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use super::random::KernelRng;
use super::responder::precision;
use crate::auth::KeyRing;
use crate::engine::access::Table;
use crate::engine::server::{self, Service, Snapshot};
use crate::sys::net::batch::{ReceiveBatch, SendBatch};
use crate::sys::net::{UdpOptions, UdpSocket};
use crate::sys::signal::Signal;
use crate::sys::wait::{Woken, wait};
use crate::sys::{Errno, SysError, clock, signal};
use crate::types::{Leap, LogInterval, MonoTime, NtpShort, RefId, Stratum, Timestamp};

/// Packets that are taken and answered together (perf.md: more gains nothing).
const BATCH: usize = 64;
/// One byte more than the longest request: a longer one is seen to be longer.
const BUFFER: usize = 1141;

/// What a server serves, and to whom.
#[derive(Debug)]
pub struct Serving {
    /// Who may ask; an address without a rule may not.
    pub access: Table<bool>,
    /// Keys that clients may use.
    pub keys: KeyRing,
    /// Stratum of a clock that follows nothing (`local`); `None`: unsynchronised.
    pub local: Option<Stratum>,
    /// The shortest poll interval that replies name.
    pub least_poll: Option<LogInterval>,
}

/// What a server has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Packets that came from addresses that may ask.
    pub received: u64,
    /// Packets that were answered.
    pub answered: u64,
    /// Answers that the kernel did not take.
    pub unsent: u64,
}

/// Sockets that answer requests.
pub struct Server {
    sockets: Vec<UdpSocket>,
    incoming: ReceiveBatch,
    outgoing: SendBatch,
    serving: Serving,
    precision: LogInterval,
    counters: Counters,
    rng: KernelRng,
}

/// Why serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// This signal was caught.
    Signal(Signal),
    /// The time was over.
    Deadline,
}

impl Server {
    /// Opens a socket on each address; a family that the host lacks is left out. Never shared with another process.
    ///
    /// # Errors
    /// Those of [`UdpSocket::open`], with the address in `object`.
    pub fn open(addresses: &[SocketAddr], serving: Serving) -> Result<Self, SysError> {
        let mut sockets = Vec::new();
        for &address in addresses {
            match UdpSocket::open(&UdpOptions::server(address)) {
                Ok(socket) => sockets.push(socket),
                Err(error) if error.errno == Errno::EAFNOSUPPORT => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            sockets,
            incoming: ReceiveBatch::new(BATCH, BUFFER),
            outgoing: SendBatch::new(BATCH, BUFFER),
            serving,
            precision: precision(),
            counters: Counters::default(),
            rng: KernelRng::default(),
        })
    }

    /// How many sockets are open.
    pub fn sockets(&self) -> usize {
        self.sockets.len()
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Serves until a signal or the deadline.
    ///
    /// # Errors
    /// `select`; `getrandom` when the kernel has no random numbers for the replies.
    pub fn run(&mut self, deadline: Option<MonoTime>) -> Result<Ended, SysError> {
        loop {
            let fds: Vec<_> = self.sockets.iter().map(AsFd::as_fd).collect();
            let woken = wait(&fds, deadline)?;
            drop(fds);
            match woken {
                Woken::Ready(places) => {
                    for place in places {
                        self.drain(place);
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
    fn drain(&mut self, place: usize) {
        let Self { sockets, incoming, outgoing, serving, precision, counters, rng } = self;
        let Some(socket) = sockets.get(place) else { return };
        while signal::pending().is_none() {
            // an error here is an earlier reply's ICMP message: that client is gone, others are not
            match socket.receive_batch(incoming) {
                Ok(0) => return,
                Ok(_) => {}
                Err(_) => continue,
            }
            let now = clock::now();
            let snapshot = snapshot(serving.local, *precision, now);
            let service =
                Service { snapshot: &snapshot, keys: &serving.keys, least_poll: serving.least_poll };
            for datagram in incoming.datagrams() {
                if serving.access.find(datagram.from.ip()) != Some(true) {
                    continue;
                }
                counters.received += 1;
                let port = datagram.from.port();
                let Ok(reply) = server::answer(datagram.bytes, port, datagram.received, now, &service, rng)
                else {
                    continue;
                };
                if outgoing.push(&reply, datagram.from, datagram.to).is_ok() {
                    counters.answered += 1;
                }
            }
            let sent = socket.send_batch(outgoing);
            counters.unsent += u64::try_from(sent.failed).unwrap_or(0);
        }
    }
}

/// The system variables of a clock that follows nothing but itself.
fn snapshot(local: Option<Stratum>, precision: LogInterval, now: Timestamp) -> Snapshot {
    Snapshot {
        leap: if local.is_some() { Leap::None } else { Leap::Unsynchronised },
        stratum: local.unwrap_or(Stratum::UNSPECIFIED),
        precision,
        root_delay: NtpShort::ZERO,
        root_dispersion: NtpShort::ZERO,
        refid: RefId::from_bits(0x7F7F_0101),
        reference: if local.is_some() { now } else { Timestamp::UNIX_EPOCH },
    }
}
