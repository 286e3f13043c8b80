//! Asks a chronyd: joins [`crate::client::cmdmon`] with the sockets of [`crate::sys::cmdsock`].
//!
//! A [`Caller`] walks a list of addresses: the first whose socket opens is asked; when it stays silent the next one is, and
//! after the last the next command starts again from the first.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::client::cmdmon::{Answer, Batch, Link, Patience};
use crate::sys::cmdsock::{CommandSocket, LocalError, Sent};
use crate::sys::wait::{Woken, wait, wait_writable};
use crate::sys::{SysError, clock, random, signal};
use crate::types::TimeDelta;
use crate::wire::cmdmon::{MAX_PACKET, Request, VERSION};

/// So often an answer is looked for before we sleep until it comes. A daemon that answers at once then need not wake us for
/// each of its answers, which costs both of us more than the answer does.
const LOOKS: usize = 100;

/// Where a daemon may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The path of its Unix socket.
    Local(PathBuf),
    /// Address and UDP port.
    Udp(SocketAddr),
}

impl Address {
    fn link(&self) -> Link {
        match self {
            Self::Local(_) => Link::Local,
            Self::Udp(_) => Link::Network,
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::Udp(address) => std::fmt::Display::fmt(address, f),
        }
    }
}

/// Why an address was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// No Unix socket could be made.
    Local(LocalError),
    /// No UDP socket, or the daemon's host refused.
    Refused(SysError),
    /// Nothing came back in time.
    Silent,
}

/// How a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallError {
    /// No address answered; [`Caller::causes`] tells why.
    Unreachable,
    /// A signal was caught.
    Interrupted,
}

/// Whether the rest of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    More,
    /// Enough: the rest is not asked for.
    Stop,
}

/// A connection to the first daemon of a list that answers.
#[derive(Debug)]
pub struct Caller {
    addresses: Vec<Address>,
    at: usize,
    socket: Option<CommandSocket>,
    patience: Patience,
    version: u8,
    causes: Vec<(Address, Cause)>,
    complaints: Vec<String>,
    stock: Vec<u32>,
}

impl Caller {
    /// A caller with nothing open yet.
    pub fn new(addresses: Vec<Address>) -> Self {
        Self {
            addresses,
            at: 0,
            socket: None,
            patience: Patience::default(),
            version: VERSION,
            causes: Vec::new(),
            complaints: Vec::new(),
            stock: Vec::new(),
        }
    }

    /// Changes the patience from now on.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// The patience in force.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Opens the first socket of the list that can be opened, unless one is open.
    pub fn connect(&mut self) -> bool {
        while self.socket.is_none() {
            let Some(address) = self.addresses.get(self.at) else { return false };
            let opened = match address {
                Address::Local(path) => CommandSocket::local(path).map_err(Cause::Local),
                Address::Udp(address) => CommandSocket::udp(*address).map_err(Cause::Refused),
            };
            match opened {
                Ok(socket) => self.socket = Some(socket),
                Err(cause) => {
                    if let Cause::Local(error) = &cause
                        && !matches!(error, LocalError::Unreachable(_))
                    {
                        self.complaints.push(error.to_string());
                    }
                    self.pass_over(cause);
                }
            }
        }
        true
    }

    /// The address that is being asked.
    pub fn address(&self) -> Option<&Address> {
        self.socket.as_ref().and(self.addresses.get(self.at))
    }

    /// Why addresses were passed over in the last call that failed.
    pub fn causes(&self) -> &[(Address, Cause)] {
        &self.causes
    }

    /// Takes the lines that the original writes on standard error while it opens Unix sockets.
    pub fn take_complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    /// Asks one question.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn ask(&mut self, request: Request) -> Result<Answer, CallError> {
        let mut found = None;
        self.ask_all(vec![request], 1, &mut |_, answer| {
            found = Some(answer);
            Flow::Stop
        })?;
        found.ok_or(CallError::Unreachable)
    }

    /// Asks questions, `window` at a time; hands out the answers in the order of the questions.
    ///
    /// # Errors
    /// [`CallError`]; answers that came before have been handed out.
    pub fn ask_all(
        &mut self,
        requests: Vec<Request>,
        window: usize,
        each: &mut dyn FnMut(Request, Answer) -> Flow,
    ) -> Result<(), CallError> {
        if self.socket.is_none() {
            self.at = 0;
            self.causes.clear();
        }
        if !self.connect() {
            return Err(CallError::Unreachable);
        }
        let link = self.addresses.get(self.at).map_or(Link::Network, Address::link);
        let mut batch = Batch::new(requests, window, link, self.patience, self.version);
        let mut unsent: Option<Vec<u8>> = None;
        let mut refusal = None;
        let mut buffer = [0; MAX_PACKET + 4];
        loop {
            while let Some((request, answer)) = batch.next_answer() {
                self.version = batch.version();
                if each(request, answer) == Flow::Stop {
                    return Ok(());
                }
            }
            if batch.is_done() {
                return Ok(());
            }
            if signal::pending().is_some() {
                return Err(CallError::Interrupted);
            }
            if batch.is_exhausted() {
                unsent = None;
                self.pass_over(refusal.take().map_or(Cause::Silent, Cause::Refused));
                if !self.connect() {
                    return Err(CallError::Unreachable);
                }
                batch.restart(self.addresses.get(self.at).map_or(Link::Network, Address::link));
            }
            match self.exchange(&mut batch, &mut unsent, &mut buffer) {
                Ok(()) => {}
                Err(error) => {
                    refusal = Some(error);
                    batch.refused();
                }
            }
        }
    }

    /// Sends what may be sent, waits, takes what has come.
    fn exchange(
        &mut self,
        batch: &mut Batch,
        unsent: &mut Option<Vec<u8>>,
        buffer: &mut [u8],
    ) -> Result<(), SysError> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let stock = &mut self.stock;
        let mut next_random = || draw(stock);
        let mut full = false;
        while let Some(bytes) = unsent.take().or_else(|| batch.transmit(clock::mono(), &mut next_random)) {
            if socket.send(&bytes)? == Sent::Full {
                *unsent = Some(bytes);
                full = true;
                break;
            }
        }
        for _ in 0..LOOKS {
            if take_all(socket, batch, buffer)? {
                batch.tick(clock::mono());
                return Ok(());
            }
            std::thread::yield_now();
        }
        let wake = batch.wake();
        // what has not been sent counts as flying: alone in the air it waits for room, else the answers to the others make room
        let woken = if full && batch.flying() <= 1 {
            wait_writable(socket.as_fd(), wake)?
        } else if full {
            // a queue that others fill empties without an answer to us
            let soon = clock::mono() + TimeDelta::from_millis(10);
            wait(&[socket.as_fd()], Some(wake.map_or(soon, |wake| wake.min(soon))))?
        } else {
            wait(&[socket.as_fd()], wake)?
        };
        if matches!(woken, Woken::Ready(_)) {
            take_all(socket, batch, buffer)?;
        }
        batch.tick(clock::mono());
        Ok(())
    }

    fn pass_over(&mut self, cause: Cause) {
        self.socket = None;
        if let Some(address) = self.addresses.get(self.at) {
            self.causes.push((address.clone(), cause));
        }
        self.at += 1;
    }
}

/// Takes what has come; whether anything had.
fn take_all(socket: &CommandSocket, batch: &mut Batch, buffer: &mut [u8]) -> Result<bool, SysError> {
    let mut any = false;
    while let Some(bytes) = socket.receive(buffer)? {
        batch.receive(bytes);
        any = true;
    }
    Ok(any)
}

/// A random number from a stock that is filled many at a time.
fn draw(stock: &mut Vec<u32>) -> u32 {
    if stock.is_empty() {
        let mut bytes = [0; 4 * 64];
        // without randomness the numbers still differ from each other; only a guesser gains
        if random::fill(&mut bytes).is_err() {
            let nanos = clock::mono().as_nanos();
            for (chunk, i) in bytes.chunks_mut(4).zip(0i64..) {
                let mixed = nanos.wrapping_add(i).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed());
                chunk.iter_mut().zip(mixed.to_be_bytes()).for_each(|(slot, byte)| *slot = byte);
            }
        }
        stock.extend(bytes.as_chunks::<4>().0.iter().map(|chunk| u32::from_be_bytes(*chunk)));
    }
    stock.pop().unwrap_or_default()
}

/// Whether a refusal means that nobody listens there (rather than that there is no way to it).
pub fn nobody_listens(error: &SysError) -> bool {
    matches!(error.errno, Errno::ECONNREFUSED | Errno::ENOENT)
}
