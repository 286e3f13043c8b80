//! The one-shot client: n samples from m servers in parallel → filter → selection → verdict. What `ntpdate` runs.
//!
//! Contract: [`OneShot::handle`] one input, drain [`OneShot::poll`], wait until [`OneShot::next_timeout`] or a datagram.
//! T1 is not read here: the driver says with [`Input::Sent`] when a request really left.
//! Pacing is decisions.md's; which replies count is ntp-legacy 1.7; who wins is [`classic`].

pub mod classic;

use std::collections::VecDeque;
use std::net::SocketAddr;

use self::classic::{Candidate, Filtered, Rejection, Slot};
use crate::auth::{Dialect, KeyRing};
use crate::engine::rng::Rng;
use crate::engine::sample::{Exchange, Sample};
use crate::types::{
    KeyId, Leap, LogInterval, Mode, MonoTime, Now, NtpShort, NtpTimestamp, RefId, Stratum, TimeDelta,
    Timestamp, Version,
};
use crate::wire::ntp::{Header, Kiss};

/// How many samples a server is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Samples {
    /// At most four, and no further one once the best round trip is so short (≤ 2 ms) that another sample could not
    /// improve the answer by more than 1 ms (decisions.md).
    Enough,
    /// This many, 1 … 8 (`-p N`, `-d`).
    Exactly(u8),
}

impl Samples {
    /// The most packets that a server is sent.
    pub const fn limit(self) -> usize {
        match self {
            Self::Enough => 4,
            Self::Exactly(n) => n as usize,
        }
    }
}

/// A round trip at which another sample cannot improve the answer by more than 1 ms.
const SHORT_ROUND_TRIP: TimeDelta = TimeDelta::from_millis(2);
/// The gap between packets to one server; on loopback there is none.
const GAP: TimeDelta = TimeDelta::from_secs(2);
/// The lowest bits of the transmit time stamp are random (2⁻¹² s … 2⁻³² s), so that a forger cannot guess them.
const RANDOM_BITS: u64 = (1 << 20) - 1;

/// What the user asked for.
#[derive(Debug)]
pub struct Options {
    /// How many samples.
    pub samples: Samples,
    /// Gap between packets to one server; `None`: 2 s, on loopback 0.
    pub interval: Option<TimeDelta>,
    /// How long a packet's answer is waited for.
    pub timeout: TimeDelta,
    /// Version number in the requests.
    pub version: Version,
    /// The keys and the one to sign with. A key that is not in the ring sends no MAC, as the original does.
    pub authentication: Option<(KeyRing, KeyId)>,
    /// How long signing a request takes (`-e`): added to its time stamps when it is signed.
    pub signing_delay: TimeDelta,
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// Time passed: the first input, and whenever [`OneShot::next_timeout`] has come.
    Timer,
    /// The request to server `server` left at `at` by our clock.
    Sent {
        /// Index of the server.
        server: usize,
        /// T1.
        at: Timestamp,
    },
    /// The request to server `server` could not be sent; it is not tried again.
    NotSent {
        /// Index of the server.
        server: usize,
    },
    /// A datagram came in.
    Datagram {
        /// Its source.
        from: SocketAddr,
        /// Its bytes.
        bytes: &'a [u8],
        /// T4 by our clock.
        received: Timestamp,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this datagram, then report [`Input::Sent`] or [`Input::NotSent`].
    Send {
        /// Index of the server.
        server: usize,
        /// Where to.
        to: SocketAddr,
        /// The packet.
        bytes: Vec<u8>,
    },
    /// Something that a debug trace or a log shows.
    Trace(Trace),
}

/// Steps of the exchange, in the words of the original's `-d` output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// A packet is due to this server (also when only the loss of the last one is noted).
    Transmit(usize),
    /// A packet of this server came in.
    Receive(usize),
    /// A datagram too short for a header.
    Length(usize),
    /// Not a server's answer, or a stratum field of 16 and more.
    ModeStratum(Mode, Stratum),
    /// A datagram of an address and port that was not asked.
    ServerNotFound,
    /// The origin time stamp is not that of our last request.
    OriginDiffers,
    /// With `-a`: the MAC is right.
    AuthenticationPassed,
    /// With `-a`: it is missing or wrong.
    AuthenticationFailed,
    /// A kiss code ended this server.
    Kissed(usize, Kiss),
}

/// Why a server gets no further packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was asked often enough.
    Complete,
    /// It sent a kiss code.
    Kissed(Kiss),
    /// It stopped answering.
    Lost,
    /// A request could not be sent.
    NotSent,
}

/// A server and what is known of it.
#[derive(Debug)]
pub struct Server {
    /// Address and port.
    pub address: SocketAddr,
    /// Packets sent.
    pub sent: u32,
    /// Answers that counted.
    pub received: u32,
    /// One entry per packet, in the order of time.
    pub slots: Vec<Slot>,
    /// The last answer that counted.
    pub last: Option<Header>,
    /// Transmit time stamp of the last request.
    pub request: NtpTimestamp,
    /// Why it is done, `None` while it is not.
    pub end: Option<End>,
    /// Eight last authentication results, 1 = failed, newest in bit 0.
    pub trust: u8,
    /// The request that is under way.
    pending: Option<Pending>,
    /// When the next packet or the loss of the last is due.
    due: MonoTime,
}

/// A request without an answer yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    sent: Timestamp,
}

impl Server {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            sent: 0,
            received: 0,
            slots: Vec::new(),
            last: None,
            request: NtpTimestamp::ZERO,
            end: None,
            trust: 0,
            pending: None,
            due: MonoTime::ZERO,
        }
    }

    /// The classic filter over the slots.
    pub fn filtered(&self) -> Filtered {
        classic::filter(&self.slots)
    }

    /// Stratum as the original prints it: 0 when it never answered, 16 for a field of 0.
    pub fn stratum(&self) -> u8 {
        match self.last.map(|header| header.stratum) {
            None => 0,
            Some(Stratum::UNSPECIFIED) => Stratum::UNSYNCHRONISED.get(),
            Some(stratum) => stratum.get(),
        }
    }

    /// What the classic selection is told.
    pub fn candidate(&self) -> Candidate {
        Candidate {
            filtered: self.filtered(),
            stratum: self.stratum(),
            leap: self.last.map_or(Leap::None, |header| header.leap),
            precision: self.last.map_or(LogInterval::default(), |header| header.precision),
            reference: self.last.map_or(NtpTimestamp::ZERO, |header| header.reference),
            transmit: self.last.map_or(NtpTimestamp::ZERO, |header| header.transmit),
            trust: self.trust,
        }
    }

    /// Why it cannot win, `None` if it can.
    pub fn rejection(&self) -> Option<Rejection> {
        classic::rejection(&self.candidate())
    }

    fn has_answered(&self) -> bool {
        self.received > 0
    }
}

/// How the clock is to be corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Step from half a second on, slew below.
    Automatic,
    /// Always step (`-b`).
    Step,
    /// Always slew (`-B`).
    Slew,
}

/// How much is stepped under [`Policy::Automatic`].
const STEP_THRESHOLD: TimeDelta = TimeDelta::from_millis(500);

/// What to do with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// Set it at once.
    Step(TimeDelta),
    /// Let the kernel turn it slowly.
    Slew(TimeDelta),
}

impl Policy {
    /// The correction for an offset (> 0: our clock is behind).
    pub fn correction(self, offset: TimeDelta) -> Correction {
        match self {
            Self::Step => Correction::Step(offset),
            Self::Slew => Correction::Slew(offset),
            Self::Automatic if offset.abs() >= STEP_THRESHOLD => Correction::Step(offset),
            Self::Automatic => Correction::Slew(offset),
        }
    }
}

/// The run over all servers.
#[derive(Debug)]
pub struct OneShot {
    options: Options,
    servers: Vec<Server>,
    actions: VecDeque<Action>,
    earliest_era: Timestamp,
}

impl OneShot {
    /// A run over these addresses, each of which is asked on its own. `released`: a date that is surely past; a clock
    /// before it does not choose the era of the server's time stamps.
    pub fn new(options: Options, addresses: &[SocketAddr], released: Timestamp) -> Self {
        let servers = addresses.iter().copied().map(Server::new).collect();
        Self { options, servers, actions: VecDeque::new(), earliest_era: released }
    }

    /// The servers in the order given.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Whether no server has anything left to do.
    pub fn is_complete(&self) -> bool {
        self.servers.iter().all(|server| server.end.is_some())
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Input::Timer`] is due.
    pub fn next_timeout(&self) -> Option<MonoTime> {
        self.servers.iter().filter(|server| server.end.is_none()).map(|server| server.due).min()
    }

    /// The server that wins by the classic rules, and its offset.
    pub fn verdict(&self) -> Option<(usize, Sample)> {
        let candidates: Vec<Candidate> = self.servers.iter().map(Server::candidate).collect();
        let winner = classic::select(&candidates)?;
        let best = candidates.get(winner)?.filtered.best?;
        Some((winner, best))
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Now, input: Input<'_>, rng: &mut dyn Rng) {
        match input {
            Input::Timer => {
                for index in 0..self.servers.len() {
                    self.tick(index, now, rng);
                }
            }
            Input::Sent { server, at } => {
                let at = at + self.signing_delay();
                if let Some(pending) = self.servers.get_mut(server).and_then(|s| s.pending.as_mut()) {
                    pending.sent = at;
                }
            }
            Input::NotSent { server } => {
                if let Some(server) = self.servers.get_mut(server) {
                    server.pending = None;
                    server.slots.push(Slot::LOST);
                    server.end = Some(End::NotSent);
                }
            }
            Input::Datagram { from, bytes, received } => self.receive(now, from, bytes, received),
        }
    }

    fn trace(&mut self, trace: Trace) {
        self.actions.push_back(Action::Trace(trace));
    }

    fn signing_delay(&self) -> TimeDelta {
        match self.options.authentication {
            Some(_) => self.options.signing_delay,
            None => TimeDelta::ZERO,
        }
    }

    /// A packet or the loss of one is due.
    fn tick(&mut self, index: usize, now: Now, rng: &mut dyn Rng) {
        let limit = self.options.samples.limit();
        let Some(server) = self.servers.get_mut(index) else { return };
        // before the first packet `due` means "at once"
        if server.end.is_some() || (server.sent > 0 && now.mono < server.due) {
            return;
        }
        if server.pending.take().is_some() {
            server.slots.push(Slot::LOST);
            if server.has_answered() {
                server.end = Some(End::Lost);
            } else if server.slots.len() >= limit {
                server.end = Some(End::Complete);
            }
        }
        let finished = server.end.is_some();
        self.trace(Trace::Transmit(index));
        if !finished {
            self.send(index, now, rng);
        }
    }

    fn send(&mut self, index: usize, now: Now, rng: &mut dyn Rng) {
        let stamp = NtpTimestamp::from_timestamp(now.clock + self.signing_delay()).to_bits() & !RANDOM_BITS
            | rng.next_u64() & RANDOM_BITS;
        let header = Header {
            leap: Leap::Unsynchronised,
            version: self.options.version,
            mode: Mode::Client,
            stratum: Stratum::UNSPECIFIED,
            poll: LogInterval::from_log2(3),
            precision: LogInterval::from_log2(-6),
            root_delay: NtpShort::ONE,
            root_dispersion: NtpShort::ONE,
            refid: RefId::default(),
            reference: NtpTimestamp::ZERO,
            origin: NtpTimestamp::ZERO,
            receive: NtpTimestamp::ZERO,
            transmit: NtpTimestamp::from_bits(stamp),
        };
        let mut bytes = header.emit().to_vec();
        if let Some((ring, key)) = &self.options.authentication {
            // an unknown key appends nothing
            let _ = ring.sign_packet(*key, &mut bytes, Dialect::Ntp);
        }
        let Some(server) = self.servers.get_mut(index) else { return };
        server.request = header.transmit;
        server.sent += 1;
        server.pending = Some(Pending { sent: now.clock });
        server.due = now.mono + self.options.timeout;
        self.actions.push_back(Action::Send { server: index, to: server.address, bytes });
    }

    /// The checks of ntp-legacy 1.7, in its order.
    fn receive(&mut self, now: Now, from: SocketAddr, bytes: &[u8], received: Timestamp) {
        let Ok(header) = Header::parse(bytes) else { return self.trace(Trace::Length(bytes.len())) };
        if !(1..=4).contains(&header.version.get()) {
            return;
        }
        let answers = matches!(header.mode, Mode::Server | Mode::SymmetricPassive);
        if !answers || header.stratum >= Stratum::UNSYNCHRONISED {
            return self.trace(Trace::ModeStratum(header.mode, header.stratum));
        }
        let Some(index) = self.servers.iter().position(|server| is_from(server.address, from)) else {
            return self.trace(Trace::ServerNotFound);
        };
        self.trace(Trace::Receive(index));
        let Some(server) = self.servers.get(index) else { return };
        // a duplicate of an answer that was taken finds no pending request
        let Some(pending) =
            server.pending.filter(|_| header.origin == server.request && server.end.is_none())
        else {
            return self.trace(Trace::OriginDiffers);
        };
        let failed = match &self.options.authentication {
            None => false,
            Some((ring, key)) => {
                let failed = ring.verify_packet(bytes, Dialect::Ntp) != Ok(*key);
                self.trace(if failed { Trace::AuthenticationFailed } else { Trace::AuthenticationPassed });
                failed
            }
        };
        match header.kiss() {
            Some(kiss @ (Kiss::Rate | Kiss::Deny | Kiss::Restrict)) => {
                self.trace(Trace::Kissed(index, kiss));
                let Some(server) = self.servers.get_mut(index) else { return };
                server.end = Some(End::Kissed(kiss));
                // the original samples DENY and RSTR like any unsynchronised server: a row with stratum 16
                if kiss == Kiss::Rate || server.has_answered() {
                    return;
                }
            }
            Some(Kiss::Other(_)) | None => {}
        }
        let server_ran_backwards = header.transmit.wrapping_since(header.receive).is_negative();
        if header.receive.is_zero() || header.transmit.is_zero() || server_ran_backwards {
            return;
        }
        let pivot = now.clock.max(self.earliest_era);
        let exchange = Exchange {
            sent: pending.sent,
            server_received: header.receive.to_timestamp(pivot),
            server_sent: header.transmit.to_timestamp(pivot),
            received,
        };
        self.take(index, now, &header, exchange.sample(), failed);
    }

    /// A valid answer: keep it, then decide whether the server is asked again.
    fn take(&mut self, index: usize, now: Now, header: &Header, sample: Sample, authentication_failed: bool) {
        let limit = self.options.samples.limit();
        let Some(server) = self.servers.get_mut(index) else { return };
        server.trust = server.trust << 1 | u8::from(authentication_failed);
        server.pending = None;
        server.received += 1;
        server.last = Some(*header);
        server.slots.push(Slot::answered(sample, header.precision));
        let best = server.slots.iter().filter_map(|slot| slot.sample).map(|sample| sample.delay).min();
        let enough = self.options.samples == Samples::Enough
            && best.is_some_and(|delay| !delay.is_negative() && delay <= SHORT_ROUND_TRIP);
        if server.end.is_none() && (enough || server.slots.len() >= limit) {
            server.end = Some(End::Complete);
        }
        let default = if server.address.ip().is_loopback() { TimeDelta::ZERO } else { GAP };
        server.due = now.mono + self.options.interval.unwrap_or(default);
    }
}

/// Whether a datagram's source is the server that was asked; a scope that was not named matches any.
fn is_from(server: SocketAddr, from: SocketAddr) -> bool {
    match (server, from) {
        (SocketAddr::V6(server), SocketAddr::V6(from)) => {
            let scope = server.scope_id();
            server.ip() == from.ip()
                && server.port() == from.port()
                && (scope == 0 || scope == from.scope_id())
        }
        _ => server == from,
    }
}

#[cfg(test)]
mod tests;
