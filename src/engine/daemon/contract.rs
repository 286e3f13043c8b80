//! What comes into the engine, and what comes out of it.

use std::net::{IpAddr, SocketAddr};

use super::{ClockReading, Family, Lookup, NameId};
use crate::auth::KeyRing;
use crate::engine::association::{Port, Stamp, Start, Token};
use crate::engine::clock::ClockCommand;
use crate::engine::interference::Interference;
use crate::engine::measurement::SourceId;
use crate::engine::options::Settings;
use crate::engine::record::Record;
use crate::engine::timeline::KernelRate;
use crate::types::Timestamp;

/// What comes in.
#[derive(Debug)]
pub enum Input<'a> {
    /// [`super::Engine::next_timeout`] has come.
    Timer,
    /// A datagram on the socket of a source.
    Reply {
        /// Whose socket.
        source: SourceId,
        /// The bytes.
        bytes: &'a [u8],
        /// When it came.
        received: Stamp,
        /// Our address that it was sent to.
        local: Option<IpAddr>,
    },
    /// A datagram on the server's socket that is no request of a client (modes 1, 2 and 5): of peers, and broadcasts.
    Symmetric {
        /// From where.
        from: SocketAddr,
        /// The bytes.
        bytes: &'a [u8],
        /// When it came.
        received: Stamp,
        /// Our address that it was sent to.
        local: Option<IpAddr>,
    },
    /// A request left.
    Sent {
        /// Of which source.
        source: SourceId,
        /// Which.
        token: Token,
        /// When; a better stamp may follow.
        at: Stamp,
    },
    /// A request could not be sent.
    NotSent {
        /// Of which source.
        source: SourceId,
        /// Which.
        token: Token,
    },
    /// The answer to [`Action::Resolve`].
    Resolved {
        /// Which name.
        name: NameId,
        /// Its addresses, in the resolver's order, or why there are none.
        result: Lookup,
    },
    /// A reference clock was read.
    Clock {
        /// Which.
        source: SourceId,
        /// What it said.
        reading: ClockReading,
    },
    /// The temperature of the oscillator, in the sensor's own unit.
    Temperature(f64),
    /// The kernel refused a command to its clock.
    Refused {
        /// Which.
        command: ClockCommand,
        /// What the kernel is set to.
        setting: KernelRate,
    },
    /// Somebody else set the rate of the kernel's clock.
    Interference(Interference),
    /// The machine slept.
    Suspended,
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The course of things.
    Info,
    /// Something is wrong, and it goes on.
    Warning,
    /// Something failed.
    Error,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send a datagram, then report [`Input::Sent`] or [`Input::NotSent`].
    Send {
        /// For which source.
        source: SourceId,
        /// Where to.
        to: SocketAddr,
        /// The packet.
        bytes: Vec<u8>,
        /// Its number.
        token: Token,
        /// The socket.
        port: Port,
    },
    /// Send a broadcast by the server's socket.
    Broadcast {
        /// Where to.
        to: SocketAddr,
        /// The packet.
        bytes: Vec<u8>,
    },
    /// The socket of a source is not needed any more.
    Close(SourceId),
    /// Look a name up, then report [`Input::Resolved`].
    Resolve {
        /// Which name.
        name: NameId,
        /// What it says.
        host: String,
        /// The only family that is wanted.
        family: Option<Family>,
    },
    /// Do this to the kernel's clock.
    Clock(ClockCommand),
    /// Log a line.
    Log(Level, String),
    /// Write a line to a log file.
    Record(Record),
    /// Write the drift file: frequency (ppm, > 0: the clock gains) and bound on its error (ppm).
    Drift(f64, f64),
    /// The daemon has to end, with a failure.
    GiveUp,
}

/// What the engine is built from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Directives.
    pub settings: Settings,
    /// Whether the clock may be changed.
    pub controlled: bool,
    /// What the kernel is set to at the start.
    pub setting: KernelRate,
    /// From the drift file: frequency (ppm, > 0: gains) and bound on its error (ppm).
    pub drift: Option<(f64, f64)>,
    /// Resolution of clock readings, s.
    pub precision: f64,
    /// Where we answer.
    pub serving: Vec<SocketAddr>,
    /// When this program was released.
    pub released: Timestamp,
    /// How associations start.
    pub start: Start,
    /// Keys.
    pub keys: KeyRing,
}
