//! What a daemon knows about itself, in this program's signs and units; the answerer turns them into ntpd's terms.

use std::net::SocketAddr;

use crate::engine::mru::Clients;
use crate::engine::restrict::Rule;
use crate::types::{
    Frequency, KeyId, Leap, LogInterval, Mode, NtpTimestamp, Reach, RefId, Secs, Stratum, Timestamp,
};
use crate::wire::mode6::AssocId;
use crate::wire::mode6::status::Selection;

/// How often something happened and what happened last: the lower byte of a status word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Events {
    /// 0 … 15; starts again when another event comes.
    pub count: u8,
    /// Number of the last event, 0 … 15.
    pub last: u8,
}

impl Events {
    /// Notes an event.
    pub fn note(&mut self, event: u8) {
        self.count = if self.last == event { (self.count + 1).min(15) } else { 1 };
        self.last = event;
    }

    /// An authenticated look at them.
    pub fn seen(&mut self) {
        self.count = 0;
    }
}

/// The system variables.
#[derive(Debug, Clone, PartialEq)]
pub struct System {
    /// Leap indicator.
    pub leap: Leap,
    /// What kind of source keeps the clock: 0 none, 1 PPS, 5 local, 6 NTP …
    pub source: u8,
    /// Events.
    pub events: Events,
    /// Stratum; 16: unsynchronised.
    pub stratum: Stratum,
    /// Precision of the clock.
    pub precision: LogInterval,
    /// Round trip to the primary source.
    pub root_delay: Secs,
    /// Error bound against the primary source, with its growth.
    pub root_dispersion: Secs,
    /// Where the time comes from.
    pub refid: RefId,
    /// When the clock was last corrected; zero: never.
    pub reference: NtpTimestamp,
    /// Now.
    pub clock: NtpTimestamp,
    /// The system peer, [`AssocId::SYSTEM`] when there is none.
    pub peer: AssocId,
    /// Address of the system peer.
    pub peer_address: Option<SocketAddr>,
    /// Mode of the system peer's association, 0: none.
    pub peer_mode: u8,
    /// Time constant of the loop (the poll interval).
    pub time_constant: LogInterval,
    /// Smallest time constant.
    pub min_time_constant: LogInterval,
    /// Last offset; > 0: our clock is behind.
    pub offset: Secs,
    /// Frequency of the uncorrected clock; > 0: it runs fast.
    pub frequency: Frequency,
    /// Jitter of the combined sources.
    pub system_jitter: Secs,
    /// Jitter of the clock.
    pub clock_jitter: Secs,
    /// Wander of the frequency.
    pub clock_wander: Frequency,
    /// TAI − UTC, seconds, when known.
    pub tai: Option<i32>,
    /// The next or last leap second, and when the list of them expires, when known.
    pub leap_seconds: Option<(Timestamp, Timestamp)>,
    /// `broadcastdelay`.
    pub broadcast_delay: Secs,
    /// Threshold of the wander for writing the drift file.
    pub wander_threshold: Frequency,
}

/// A reference clock's own counters.
#[derive(Debug, Clone, PartialEq)]
pub struct Clock {
    /// What it is.
    pub device: String,
    /// What it last said.
    pub timecode: String,
    /// Events.
    pub events: Events,
    /// Polls.
    pub polls: u64,
    /// Polls without an answer.
    pub no_reply: u64,
    /// Answers in the wrong form.
    pub bad_format: u64,
    /// Answers with wrong values.
    pub bad_data: u64,
    /// `fudge … time1`, when the driver knows it.
    pub time1: Option<Secs>,
    /// `fudge … time2`, when the driver knows it.
    pub time2: Option<Secs>,
    /// `fudge … stratum`.
    pub stratum: u8,
    /// `fudge … refid`.
    pub refid: RefId,
    /// `fudge … flag1` to `flag4`, bit 0 first.
    pub flags: u8,
}

/// One sample of the filter that is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Offset; > 0: our clock is behind.
    pub offset: Secs,
    /// Round trip.
    pub delay: Secs,
    /// Error bound, with its growth.
    pub dispersion: Secs,
}

impl Sample {
    /// An empty slot.
    pub const EMPTY: Self = Self { offset: Secs::ZERO, delay: Secs::ZERO, dispersion: Secs::literal(16.0) };
}

/// What an association is known for besides its measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a bit of the status word")]
pub struct AssociationFlags {
    /// From the configuration.
    pub configured: bool,
    /// A key is set.
    pub auth_enabled: bool,
    /// The last packet was authentic.
    pub authentic: bool,
    /// Broadcast, or the prototype of a pool.
    pub broadcast: bool,
}

/// One association.
#[derive(Debug, Clone, PartialEq)]
pub struct Association {
    /// Its identifier: stable as long as it lives.
    pub id: AssocId,
    /// Flags of its status word.
    pub flags: AssociationFlags,
    /// What the selection made of it.
    pub selection: Selection,
    /// Events.
    pub events: Events,
    /// Its address.
    pub source: SocketAddr,
    /// Its configured name; in the default list only for the prototype of a pool.
    pub name: Option<String>,
    /// Local address of the last reply.
    pub local: SocketAddr,
    /// Our mode towards it.
    pub host_mode: Mode,
    /// Its mode towards us; [`Mode::Reserved`] before the first reply.
    pub peer_mode: Mode,
    /// Leap indicator of its last packet.
    pub leap: Leap,
    /// Its stratum; 16: unsynchronised or never heard.
    pub stratum: Stratum,
    /// Its precision.
    pub precision: LogInterval,
    /// Its root delay.
    pub root_delay: Secs,
    /// Its root dispersion.
    pub root_dispersion: Secs,
    /// Its reference identifier.
    pub refid: RefId,
    /// Its reference time.
    pub reference: NtpTimestamp,
    /// Origin time stamp of the last exchange.
    pub origin: NtpTimestamp,
    /// When its last packet came.
    pub receive: NtpTimestamp,
    /// Reachability register.
    pub reach: Reach,
    /// Polls since the last reply.
    pub unreach: u32,
    /// Our poll interval.
    pub host_poll: LogInterval,
    /// Its poll interval.
    pub peer_poll: LogInterval,
    /// Fill of the send bucket, seconds.
    pub headway: u32,
    /// Tests that fail: bits of `wire::mode6::status::FLASH_NAMES`.
    pub flash: u16,
    /// Key, when one is set.
    pub key: Option<KeyId>,
    /// `ttl`, shown for reference clocks and broadcast.
    pub ttl: Option<u32>,
    /// Offset; > 0: our clock is behind.
    pub offset: Secs,
    /// Round trip.
    pub delay: Secs,
    /// Error bound.
    pub dispersion: Secs,
    /// Jitter.
    pub jitter: Secs,
    /// Interleaved delay, when it is not 0.
    pub xleave: Secs,
    /// `bias`, when it is not 0.
    pub bias: Secs,
    /// The last eight samples, newest first.
    pub filter: [Sample; 8],
    /// Seconds until the next packet.
    pub until_next: u64,
    /// Counters of `pstats`.
    pub counters: AssociationCounters,
    /// The reference clock behind it.
    pub clock: Option<Clock>,
}

/// Counters and ages of an association, for `pstats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AssociationCounters {
    /// Packets sent.
    pub sent: u64,
    /// Packets received.
    pub received: u64,
    /// Seconds since a packet came.
    pub since_received: u64,
    /// Seconds since the reachability changed.
    pub since_reach: u64,
    /// Packets with a wrong MAC.
    pub bad_auth: u64,
    /// Packets with a wrong origin time stamp.
    pub bogus_origin: u64,
    /// Duplicates.
    pub duplicate: u64,
    /// Packets whose dispersion was too large.
    pub bad_dispersion: u64,
    /// Packets whose reference time was wrong.
    pub bad_reference: u64,
    /// Place among the candidates.
    pub candidate: u64,
}

/// Counters of the whole daemon; ages in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are those of ntpd's variables without their prefix")]
pub struct Statistics {
    /// Seconds since the start, and since the counters of a group were zero.
    pub uptime: u64,
    pub system_reset: u64,
    pub io_reset: u64,
    pub auth_reset: u64,
    pub timer_reset: u64,
    pub received: u64,
    pub this_version: u64,
    pub old_version: u64,
    pub bad_format: u64,
    pub bad_auth: u64,
    pub declined: u64,
    pub restricted: u64,
    pub limited: u64,
    pub kod_sent: u64,
    pub processed: u64,
    /// Datagrams taken and sent on all sockets, with those that the kernel refused.
    pub io_received: u64,
    pub io_sent: u64,
    pub io_failed: u64,
    pub io_dropped: u64,
    pub io_ignored: u64,
    /// Returns of `select`, and those that brought a packet.
    pub wakeups: u64,
    pub good_wakeups: u64,
    /// Packets that were sent because a timer ran out.
    pub timer_sent: u64,
    pub timer_overruns: u64,
    /// Keys, and what was done with them.
    pub keys: u64,
    pub key_lookups: u64,
    pub keys_not_found: u64,
    pub encryptions: u64,
    pub decryptions: u64,
}

/// The kernel's clock as `adjtimex` tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kernel {
    /// What is still to be slewed, the kernel's sign: > 0: our clock is behind.
    pub offset: Secs,
    /// ppm in the kernel's sign: > 0: the clock is sped up.
    pub frequency_ppm: f64,
    /// Largest error.
    pub max_error: Secs,
    /// Estimated error.
    pub est_error: Secs,
    /// Status bits of timex.h.
    pub status: u32,
    /// Time constant.
    pub time_constant: i64,
    /// Precision.
    pub precision: Secs,
    /// Tolerance, ppm.
    pub tolerance_ppm: f64,
}

/// One socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether packets that come there are answered.
    pub enabled: bool,
    /// ntpd's flags.
    pub flags: u32,
    /// Packets taken.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets that could not be sent.
    pub failed: u64,
    /// Associations that use it.
    pub peers: u64,
    /// Seconds since it was opened.
    pub uptime: u64,
}

/// A variable of `setvar`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
    /// Whether it is in the default list.
    pub default: bool,
}

/// What never changes while a daemon runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `ntpd 4.2.8p15@…`
    pub version: String,
    /// `x86_64`
    pub processor: String,
    /// `Linux/6.1.0`
    pub system: String,
    /// Variables of `setvar`.
    pub variables: Vec<Variable>,
}

/// Where a daemon keeps all this.
pub trait Facts {
    /// The system variables as they are now.
    fn system(&self) -> System;
    /// The associations in the order of their identifiers.
    fn associations(&self) -> Vec<Association>;
    /// Counters.
    fn statistics(&self) -> Statistics;
    /// The kernel's clock; `None`: there is none to read.
    fn kernel(&self) -> Option<Kernel>;
    /// Sockets.
    fn interfaces(&self) -> Vec<Interface>;
    /// The access list, in the order in which `reslist` shows it.
    fn restrictions(&self) -> Vec<Rule>;
    /// Who asked lately; `None`: nobody is noted.
    fn clients(&self) -> Option<&Clients>;
    /// What never changes.
    fn identity(&self) -> &Identity;
    /// An authenticated client saw the events of an association, or of the system.
    fn events_seen(&mut self, association: AssocId);
    /// Does what a line of ntp.conf says, and answers with the text for the client.
    fn configure(&mut self, line: &str, from: SocketAddr) -> String;
    /// Writes what is configured into a file of this name, and answers with the text for the client.
    fn save(&mut self, name: &str) -> String;
    /// Sets a variable of `setvar`; `false`: there is none of this name.
    fn set_variable(&mut self, name: &str, value: &str) -> bool;
}
