//! What reports and logs read.

use std::net::{IpAddr, SocketAddr};

use super::{Role, Stamper, Tests};
use crate::types::{Leap, Reach, Secs, Timestamp};
use crate::wire::ntp::Header;

/// Packets counted since the association began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Requests sent.
    pub sent: u32,
    /// Packets received.
    pub received: u32,
    /// Those that passed tests 1, 2, 3 and 5.
    pub valid: u32,
    /// Those that passed all tests.
    pub good: u32,
    /// Transmit time stamps by the kernel and by the hardware.
    pub sent_stamps: (u32, u32),
    /// Receive time stamps by the kernel and by the hardware.
    pub received_stamps: (u32, u32),
}

/// Whether a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Yes.
    Online,
    /// Not until told.
    Offline,
    /// In a burst, then online.
    BurstOnline,
    /// In a burst, then offline.
    BurstOffline,
}

/// A packet that came in, and what was made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Packet {
    /// Its header.
    pub header: Header,
    /// Which tests it passed.
    pub tests: Tests,
    /// When it was received, by the time that the host believed in.
    pub at: Timestamp,
    /// Our address that it was sent to.
    pub local: Option<IpAddr>,
    /// Remote minus local time; > 0: our clock is behind. 0 where it was not valid, as the next five.
    pub offset: Secs,
    /// Round trip without the server's turnaround.
    pub delay: Secs,
    /// Error of the time stamps.
    pub dispersion: Secs,
    /// How long the server took.
    pub response_time: Secs,
    /// The server's root delay, finer where an extension field says so.
    pub root_delay: Secs,
    /// The server's root dispersion.
    pub root_dispersion: Secs,
    /// Interleaved: the time stamps are those of the exchange before.
    pub interleaved: bool,
    /// Whether it was authenticated.
    pub authenticated: bool,
    /// Who stamped the request.
    pub sent_by: Stamper,
    /// Who stamped the reply.
    pub received_by: Stamper,
    /// Our poll when it came.
    pub poll: i32,
    /// Our poll score then.
    pub score: f64,
}

/// What an association knows, for reports.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts<'a> {
    /// Address and port.
    pub address: SocketAddr,
    /// What it speaks.
    pub role: Role,
    /// Interval between requests, log2 s.
    pub poll: i32,
    /// How near the interval is to being changed: at ±1 it is.
    pub score: f64,
    /// The last eight polls.
    pub reach: Reach,
    /// How many of these bits are polls.
    pub reach_size: u8,
    /// Polls in a row with an empty register.
    pub unreachable: u32,
    /// Whether that is beyond `maxunreach`.
    pub given_up: bool,
    /// Whether it is asked.
    pub activity: Activity,
    /// Its leap indicator; unsynchronised before the first valid packet.
    pub leap: Leap,
    /// Its stratum, at least `minstratum`; 0 before the first valid packet.
    pub stratum: u8,
    /// Packets.
    pub counters: Counters,
    /// The last valid packet.
    pub last: Option<&'a Packet>,
}
