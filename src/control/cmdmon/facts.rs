//! What a daemon can be asked and told by `chronyc`: its facts as it holds them, and the trait that gives them.
//!
//! Signs are the engine's own: offsets > 0: our clock is behind; frequencies > 0: our clock, or the source's view of it, runs
//! fast. Seconds and s/s, unless a name says otherwise. The wire's signs are made in `super::reply`.

use std::net::{IpAddr, SocketAddr};

use super::command::Command;
use crate::engine::selection::{Options, Status as Standing};
use crate::types::{KeyId, Leap, Mode, Reach, RefId, Timestamp};
use crate::wire::cmdmon::Status;

/// How an NTP source is named in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceAddress {
    /// By its address.
    Ip(IpAddr),
    /// By the daemon's number for one whose name is not resolved yet.
    Unresolved(u32),
}

/// Which source is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceName {
    /// An NTP source.
    Ntp(SourceAddress),
    /// A reference clock.
    Refclock(RefId),
}

/// The newest sample of a source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatestSample {
    /// Whole seconds since it was taken.
    pub ago: u32,
    /// Its offset as measured.
    pub measured: f64,
    /// The same after every correction of the clock since.
    pub adjusted: f64,
    /// Its root distance, ≥ 0.
    pub distance: f64,
}

/// How a source is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceRole {
    /// We are its client.
    Server,
    /// Symmetric association.
    Peer,
    /// A reference clock.
    Refclock,
}

/// A source in the list (`sources`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceFacts {
    /// Which.
    pub name: SourceName,
    /// How it is spoken to.
    pub role: SourceRole,
    /// Current poll interval, log2 s.
    pub poll: i8,
    /// Its stratum; 0: no sample yet, or a reference clock.
    pub stratum: u8,
    /// Where the selection put it.
    pub standing: Standing,
    /// Its last eight polls.
    pub reach: Reach,
    /// Its newest sample.
    pub latest: Option<LatestSample>,
}

/// The samples of a source (`sourcestats`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StatisticsFacts {
    /// Which.
    pub name: SourceName,
    /// Its reference ID: the IPv4 address, the hash of an IPv6 one, a reference clock's letters.
    pub refid: RefId,
    /// Samples in use.
    pub samples: u32,
    /// Runs of residuals of equal sign.
    pub runs: u32,
    /// From the oldest to the newest of them, whole s.
    pub span: u32,
    /// Standard deviation.
    pub deviation: f64,
    /// Frequency against this source that is left, s/s.
    pub residual_frequency: f64,
    /// Bound on its error, s/s.
    pub skew: f64,
    /// Estimated offset now.
    pub offset: f64,
    /// Bound on its error.
    pub offset_error: f64,
}

/// What the last selection thought of a source (`selectdata`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelectionFacts {
    /// Which.
    pub name: SourceName,
    /// Its reference ID.
    pub refid: RefId,
    /// Where it stands.
    pub standing: Standing,
    /// Whether a key or NTS is configured.
    pub authenticated: bool,
    /// What it says about leap seconds.
    pub leap: Leap,
    /// Options as configured or changed by `selectopts`.
    pub configured: Options,
    /// Options in force.
    pub effective: Options,
    /// Whole seconds since its newest sample, at that time.
    pub last_ago: u32,
    /// Against the selected source.
    pub score: f64,
    /// Ends of the interval that holds the true offset: low, high.
    pub limits: (f64, f64),
}

/// How well the clock follows (`tracking`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackingFacts {
    /// Reference ID; 0 when unsynchronised.
    pub refid: RefId,
    /// Address of the selected source, when it has one.
    pub address: Option<IpAddr>,
    /// Ours; 0 when unsynchronised.
    pub stratum: u8,
    /// Leap status.
    pub leap: Leap,
    /// Reference time.
    pub time: Option<Timestamp>,
    /// Offset that the clock has not been corrected by yet.
    pub uncorrected: f64,
    /// Offset of the last update.
    pub last_offset: f64,
    /// Long-term average of offsets, ≥ 0.
    pub rms_offset: f64,
    /// Frequency that is compensated, s/s.
    pub frequency: f64,
    /// Measured less used frequency, s/s.
    pub residual_frequency: f64,
    /// Bound on the error of the frequency, s/s.
    pub skew: f64,
    /// Root delay.
    pub root_delay: f64,
    /// Root dispersion.
    pub root_dispersion: f64,
    /// Between the last two updates.
    pub update_interval: f64,
}

/// How many NTP sources are online (`activity`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ActivityFacts {
    /// Online.
    pub online: u32,
    /// Offline.
    pub offline: u32,
    /// In a burst, then online.
    pub burst_online: u32,
    /// In a burst, then offline.
    pub burst_offline: u32,
    /// Without an address.
    pub unresolved: u32,
}

/// Who took the time stamp of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampOrigin {
    /// The daemon.
    Daemon,
    /// The kernel.
    Kernel,
    /// The network card.
    Hardware,
}

/// The last valid response of a source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResponseFacts {
    /// Address of ours that it came to.
    pub local: Option<IpAddr>,
    /// Leap indicator.
    pub leap: Leap,
    /// NTP version.
    pub version: u8,
    /// Mode.
    pub mode: Mode,
    /// Stratum.
    pub stratum: u8,
    /// log2 s.
    pub poll: i8,
    /// log2 s.
    pub precision: i8,
    /// Root delay as sent.
    pub root_delay: f64,
    /// Root dispersion as sent.
    pub root_dispersion: f64,
    /// Reference ID.
    pub refid: RefId,
    /// Reference time.
    pub reference: Timestamp,
    /// Offset of this exchange.
    pub offset: f64,
    /// Its round trip.
    pub delay: f64,
    /// Error of its time stamps.
    pub dispersion: f64,
    /// How long the server took.
    pub response_time: f64,
    /// Asymmetry of the path's jitter, −0.5 … 0.5.
    pub asymmetry: f64,
    /// Tests 1, 2, 3, 5, 6, 7, A, B, C, D: whether it passed.
    pub tests: [bool; 10],
    /// Interleaved mode.
    pub interleaved: bool,
    /// Authenticated.
    pub authenticated: bool,
    /// Who stamped the request.
    pub sent_by: StampOrigin,
    /// Who stamped the response.
    pub received_by: StampOrigin,
}

/// Packets exchanged with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExchangeCounters {
    /// Requests sent.
    pub sent: u32,
    /// Packets received from it.
    pub received: u32,
    /// Of them valid.
    pub valid: u32,
    /// Of them good.
    pub good: u32,
    /// Kernel stamps: sent, received.
    pub kernel: (u32, u32),
    /// Hardware stamps: sent, received.
    pub hardware: (u32, u32),
}

/// What is known of the packets of a source (`ntpdata`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExchangeFacts {
    /// The source.
    pub remote: SocketAddr,
    /// Its last valid response.
    pub last: Option<ResponseFacts>,
    /// Counters since it was added.
    pub counters: ExchangeCounters,
}

/// How a source is authenticated (`authdata`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticationFacts {
    /// Not at all.
    None,
    /// By a symmetric key.
    Key {
        /// Its number.
        id: KeyId,
        /// chrony's number of the hash or cipher, and the key's length in bits; `None`: the key is missing.
        key: Option<(u16, u16)>,
    },
    /// By NTS.
    Nts {
        /// Key establishments that succeeded.
        establishments: u32,
        /// Number of the AEAD.
        aead: u16,
        /// Bits.
        key_length: u16,
        /// Key establishments tried since the last that succeeded.
        attempts: u16,
        /// Whole seconds since the last.
        last_ago: Option<u32>,
        /// Cookies left.
        cookies: u16,
        /// Bytes of the next one.
        cookie_length: u16,
        /// Whether a NAK came since the last request.
        nak: bool,
    },
}

/// One service's requests from one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Requests.
    pub hits: u32,
    /// Of them not answered.
    pub drops: u32,
    /// Usual interval, log2 s; `None`: unknown.
    pub interval: Option<i8>,
    /// The same while requests were refused.
    pub limited_interval: Option<i8>,
    /// Whole seconds since the last.
    pub last_ago: u32,
}

/// A client (`clients`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientFacts {
    /// Its address.
    pub address: IpAddr,
    /// Time requests.
    pub ntp: Option<ServiceFacts>,
    /// Commands.
    pub command: Option<ServiceFacts>,
}

/// Part of the table of clients.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientsPage {
    /// Places of the table.
    pub places: u32,
    /// Where the next part begins; `places` or more: this was the last.
    pub next: u32,
    /// Clients of this part.
    pub clients: Vec<ClientFacts>,
}

/// Which part of the table of clients is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientsWanted {
    /// First place.
    pub first: u32,
    /// Most clients: 0 … 8.
    pub count: u32,
    /// Fewest hits of any service.
    pub min_hits: u32,
    /// Whether the counters of all that were looked at begin again.
    pub reset: bool,
}

/// Counters of the server since the start (`serverstats`); those of commands are the answerer's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the lines of serverstats in their order")]
pub struct ServerCounters {
    pub ntp_hits: u64,
    pub nke_hits: u64,
    pub ntp_drops: u64,
    pub nke_drops: u64,
    pub log_drops: u64,
    pub authenticated: u64,
    pub interleaved: u64,
    /// Pairs of time stamps that are held.
    pub timestamps: u64,
    /// Whole s between the first and the last of them.
    pub span: u64,
    pub daemon_rx: u64,
    pub daemon_tx: u64,
    pub kernel_rx: u64,
    pub kernel_tx: u64,
    pub hardware_rx: u64,
    pub hardware_tx: u64,
}

/// The real-time clock against the system's (`rtcdata`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RtcFacts {
    /// Its reading at the last fit.
    pub time: Timestamp,
    /// Samples.
    pub samples: u16,
    /// Runs.
    pub runs: u16,
    /// Whole s.
    pub span: u32,
    /// How far the RTC is ahead of the true time, s.
    pub fast: f64,
    /// What it gains, s/s.
    pub gain: f64,
}

/// Smoothing of served time (`smoothing`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SmoothingFacts {
    /// Whether it works now.
    pub active: bool,
    /// Whether it is for leap seconds only.
    pub leap_only: bool,
    /// How far served time is ahead of the truth, s.
    pub ahead: f64,
    /// What served time gains, s/s.
    pub frequency: f64,
    /// How that changes, s/s per s.
    pub wander: f64,
    /// s since the last update.
    pub last_ago: f64,
    /// s until it is done.
    pub remaining: f64,
}

/// A time that was typed in (`manual list`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ManualFacts {
    /// When.
    pub at: Timestamp,
    /// Its offset after every correction since.
    pub adjusted: f64,
    /// Its offset as typed.
    pub typed: f64,
    /// What the fit leaves of it.
    pub residual: f64,
}

/// What a typed time did (`settime`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SettimeFacts {
    /// Offset of the clock.
    pub offset: f64,
    /// Change of the frequency, s/s.
    pub frequency_change: f64,
    /// New frequency, s/s.
    pub frequency: f64,
}

/// The daemon behind the command protocol.
///
/// An `Err` is the status that the client gets: `NO_SUCH_SOURCE`, `FAILED`, `NOT_ENABLED` …
pub trait Daemon {
    /// A line for the log: what a command changed.
    fn log(&mut self, line: &str);
    /// Counts a command from a UDP client in the table of clients; false: `cmdratelimit` wants it dropped.
    fn charge(&mut self, from: IpAddr) -> bool;

    /// Sources of all kinds: reference clocks, then NTP sources in the order of configuration, unresolved ones too.
    fn sources(&self) -> u32;
    /// The source at a place.
    fn source(&self, index: u32) -> Option<SourceFacts>;
    /// Its statistics.
    fn statistics(&self, index: u32) -> Option<StatisticsFacts>;
    /// What the selection thinks of it.
    fn selection(&self, index: u32) -> Option<SelectionFacts>;
    /// The packets of a source.
    fn exchange(&self, source: SourceAddress) -> Option<ExchangeFacts>;
    /// How a source is authenticated.
    fn authentication(&self, source: SourceAddress) -> Option<AuthenticationFacts>;
    /// The name that a source was configured with.
    fn name(&self, source: SourceAddress) -> Option<String>;
    /// How well the clock follows, now.
    fn tracking(&mut self) -> TrackingFacts;
    /// How many sources are online.
    fn activity(&self) -> ActivityFacts;
    /// Counters of the server.
    fn server(&self) -> ServerCounters;
    /// Part of the table of clients; `None`: clients are not logged.
    fn clients(&mut self, wanted: ClientsWanted) -> Option<ClientsPage>;
    /// Whether an address may ask for the time.
    fn may_ask(&self, address: IpAddr) -> bool;
    /// Smoothing; `None`: not configured.
    fn smoothing(&self) -> Option<SmoothingFacts> {
        None
    }
    /// The RTC; `None`: no driver.
    fn rtc(&self) -> Option<RtcFacts> {
        None
    }
    /// Times typed in, oldest first.
    fn manual(&self) -> Vec<ManualFacts> {
        Vec::new()
    }
    /// The time as typed by a human.
    ///
    /// # Errors
    /// `NOT_ENABLED`: manual input is off; `FAILED`: the time makes no sense.
    fn settime(&mut self, time: Timestamp) -> Result<SettimeFacts, Status>;
    /// Does something.
    ///
    /// # Errors
    /// Why it was not done.
    fn command(&mut self, command: &Command) -> Result<(), Status>;
}
