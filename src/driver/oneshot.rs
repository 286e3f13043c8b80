//! Drives [`OneShot`] over real sockets: what it wants sent is sent, what comes in is handed over, until it is complete.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::driver::random::KernelRng;
use crate::engine::oneshot::{Action, Input, OneShot, Trace};
use crate::sys::net::{Family, UdpOptions, UdpSocket};
use crate::sys::wait::{Woken, wait};
use crate::sys::{SysError, clock, signal};
use crate::types::{MonoTime, TimeDelta};

/// Longer packets than this are no NTP answers that we asked for.
const BUFFER: usize = 2048;

/// One socket per address family.
#[derive(Debug)]
pub struct Sockets {
    sockets: Vec<UdpSocket>,
}

impl Sockets {
    /// Opens sockets for these families, all on `port`, or on ports that the kernel chooses. A family that the host lacks is
    /// left out.
    ///
    /// # Errors
    /// Those of [`UdpSocket::open`]; EAFNOSUPPORT only when no family is left.
    pub fn open(families: &[Family], port: Option<u16>) -> Result<Self, SysError> {
        let mut sockets = Vec::new();
        let mut missing = None;
        for &family in families {
            let options = UdpOptions {
                bind: port.map(|port| SocketAddr::new(family.any(), port)),
                transmit_stamps: true,
                ..UdpOptions::client(family)
            };
            match UdpSocket::open(&options) {
                Ok(socket) => sockets.push(socket),
                Err(error) if matches!(error.errno, Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => {
                    missing = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match missing {
            Some(error) if sockets.is_empty() => Err(error),
            _ => Ok(Self { sockets }),
        }
    }

    fn of(&self, to: SocketAddr) -> Option<&UdpSocket> {
        self.sockets.iter().find(|socket| socket.family() == Family::of(to.ip()))
    }
}

/// Who watches a run.
pub trait Observer {
    /// A step of the exchange.
    fn trace(&mut self, run: &OneShot, trace: Trace);
    /// A request could not be sent.
    fn not_sent(&mut self, run: &OneShot, server: usize, error: &SysError);
    /// Called each time before the loop waits; the answer limits the wait (`None`: it need not end early).
    fn waiting(&mut self, run: &OneShot, elapsed: TimeDelta) -> Option<TimeDelta>;
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All servers are done.
    Complete,
    /// This signal was caught first.
    Signal(Signal),
}

/// Runs to the end.
///
/// # Errors
/// `select`, `getrandom`. What concerns a single server goes to the observer.
pub fn run(run: &mut OneShot, sockets: &Sockets, observer: &mut dyn Observer) -> Result<Ended, SysError> {
    let mut rng = KernelRng::default();
    let mut flights = Vec::new();
    let started = clock::mono();
    run.handle(clock::both(), Input::Timer, &mut rng);
    loop {
        drain(run, sockets, observer, &mut rng, &mut flights);
        if rng.failed() {
            return Err(SysError::new("getrandom", "", Errno::EIO));
        }
        if run.is_complete() {
            return Ok(Ended::Complete);
        }
        let now = clock::mono();
        let patience = observer.waiting(run, now - started).map(|delta| now + delta);
        let deadline = [run.next_timeout(), patience].into_iter().flatten().min();
        let fds: Vec<_> = sockets.sockets.iter().map(AsFd::as_fd).collect();
        match wait(&fds, deadline)? {
            Woken::Signal => {
                if let Some(signal) = signal::take() {
                    return Ok(Ended::Signal(signal));
                }
            }
            Woken::Deadline => {
                if run.next_timeout().is_some_and(|due| due <= clock::mono()) {
                    run.handle(clock::both(), Input::Timer, &mut rng);
                }
            }
            Woken::Ready(places) => {
                for socket in places.into_iter().filter_map(|place| sockets.sockets.get(place)) {
                    transmit_stamps(run, socket, &mut rng, &mut flights);
                    receive(run, socket, &mut rng, &mut flights);
                }
                if run.next_timeout().is_some_and(|due| due <= clock::mono()) {
                    run.handle(clock::both(), Input::Timer, &mut rng);
                }
            }
        }
    }
}

/// A request that the kernel may still tell the transmit time of.
struct Flight {
    server: usize,
    bytes: Vec<u8>,
    sent: MonoTime,
}

/// How long a transmit time is waited for.
const STAMP_LIFE: TimeDelta = TimeDelta::from_secs(16);

fn drain(
    run: &mut OneShot,
    sockets: &Sockets,
    observer: &mut dyn Observer,
    rng: &mut KernelRng,
    flights: &mut Vec<Flight>,
) {
    while let Some(action) = run.poll() {
        match action {
            Action::Trace(trace) => observer.trace(run, trace),
            Action::Send { server, to, bytes } => {
                let no_family = || SysError::new("sendto", to.to_string(), Errno::EAFNOSUPPORT);
                let now = clock::both();
                // the call may report an ICMP error of an earlier packet instead of sending: once more then
                let sent = sockets.of(to).ok_or_else(no_family).and_then(|socket| {
                    socket
                        .send_to(&bytes, to, None)
                        .or_else(|_| socket.send_to(&bytes, to, None))
                        .map(|()| socket)
                });
                match sent {
                    Ok(socket) => {
                        run.handle(now, Input::Sent { server, at: now.clock }, rng);
                        flights.retain(|flight| now.mono - flight.sent < STAMP_LIFE);
                        flights.push(Flight { server, bytes, sent: now.mono });
                        transmit_stamps(run, socket, rng, flights);
                    }
                    Err(error) => {
                        observer.not_sent(run, server, &error);
                        run.handle(now, Input::NotSent { server }, rng);
                    }
                }
            }
        }
    }
}

/// The kernel's own transmit times replace ours.
fn transmit_stamps(run: &mut OneShot, socket: &UdpSocket, rng: &mut KernelRng, flights: &mut Vec<Flight>) {
    if flights.is_empty() {
        return;
    }
    let mut buffer = [0; BUFFER];
    while let Some(stamp) = socket.transmitted(&mut buffer) {
        if let Some(place) = flights.iter().position(|flight| stamp.is_of(&flight.bytes)) {
            let flight = flights.swap_remove(place);
            run.handle(clock::both(), Input::Sent { server: flight.server, at: stamp.at }, rng);
        }
    }
}

fn receive(run: &mut OneShot, socket: &UdpSocket, rng: &mut KernelRng, flights: &mut Vec<Flight>) {
    let mut buffer = [0; BUFFER];
    // an error here is an ICMP message about one server: its packet counts as lost when its time-out comes
    for _ in 0..1024 {
        match socket.receive(&mut buffer) {
            Ok(None) => return,
            Ok(Some(datagram)) if !datagram.truncated => {
                // the stamp of the request must be known before its answer is used
                transmit_stamps(run, socket, rng, flights);
                let input = Input::Datagram {
                    from: datagram.from,
                    bytes: datagram.bytes,
                    received: datagram.received,
                };
                run.handle(clock::both(), input, rng);
            }
            Ok(Some(_)) | Err(_) => {}
        }
    }
}
