//! What chronyc reports (spec chronyc.md 4.2): signs and units of decisions.md, unknown is `None`.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Instant, ReachValue, RefIdValue};
use crate::types::{Leap, Secs};

/// `chronyc tracking`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChronyTracking {
    /// Path or address of the daemon that answered.
    pub daemon: String,
    /// Whether the clock follows a source: neither unsynchronised nor in local mode.
    pub synchronised: bool,
    /// Whether the daemon serves its own clock.
    pub local_mode: bool,
    /// Reference ID.
    pub refid: RefIdValue,
    /// Name of the source as it is configured; a reference clock's ID.
    pub name: Option<String>,
    /// Address of the source; null for a reference clock, in local mode and when unsynchronised.
    pub address: Option<IpAddr>,
    /// Ours; 0 when unsynchronised.
    pub stratum: u16,
    /// Leap second warning; null for a value that is none.
    pub leap: Option<Leap>,
    /// When the clock was last updated.
    pub ref_time: Option<Instant>,
    /// What is not corrected yet; positive: the system clock is behind.
    pub offset_s: Secs,
    /// At the last update; positive: the clock was behind.
    pub last_offset_s: Secs,
    /// Long-term average of its magnitude.
    pub rms_offset_s: Secs,
    /// Positive: the uncorrected clock runs fast.
    pub frequency_ppm: f64,
    /// Difference between the measured and the used frequency.
    pub residual_frequency_ppm: f64,
    /// Error bound of the frequency.
    pub skew_ppm: f64,
    /// Round trip to the primary source.
    pub root_delay_s: Secs,
    /// Error bound against the primary source.
    pub root_dispersion_s: Secs,
    /// Largest error of the clock: |offset| + root dispersion + root delay / 2; null when unsynchronised.
    pub maximum_error_s: Option<Secs>,
    /// Between the last two updates.
    pub update_interval_s: Secs,
}

/// What kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SourceMode {
    /// Asked by us.
    Server,
    /// Symmetric.
    Peer,
    /// On this host.
    ReferenceClock,
    /// A number that is none of these.
    Unknown,
}

/// What selection made of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SourceState {
    /// The best.
    Selected,
    /// Combined with the best.
    Combined,
    /// Good, not combined.
    Selectable,
    /// Disagrees with the majority.
    Falseticker,
    /// Too variable.
    Jittery,
    /// Cannot be used.
    Nonselectable,
    /// A number that is none of these.
    Unknown,
}

/// Which source a row is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChronySourceKey {
    /// Joins the rows of sources, sourcestats and selectdata.
    pub index: Option<u32>,
    /// Null for a reference clock and while the name is not resolved.
    pub address: Option<IpAddr>,
    /// The daemon's number of a source whose name is not resolved yet.
    pub id: Option<u32>,
    /// As configured; a reference clock's ID.
    pub name: Option<String>,
    /// From reverse look-up, only when asked for (`dns +n`).
    pub hostname: Option<String>,
    /// Reference ID.
    pub refid: Option<RefIdValue>,
}

/// `chronyc sources`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChronySources {
    /// In the daemon's order.
    pub sources: Vec<ChronySource>,
}

/// A row of `chronyc sources`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChronySource {
    /// Which source.
    #[serde(flatten)]
    pub source: ChronySourceKey,
    /// Kind.
    pub mode: SourceMode,
    /// Verdict of selection.
    pub state: SourceState,
    /// 0: no sample, or a reference clock.
    pub stratum: u16,
    /// log2 of the poll interval in s.
    pub poll_log2: i16,
    /// The last eight polls.
    pub reach: ReachValue,
    /// Since the last sample.
    pub last_sample_age_s: Option<u32>,
    /// Of the last sample, adjusted for what was corrected since; positive: our clock is behind.
    pub offset_s: Option<Secs>,
    /// Of the last sample as it was measured; positive: our clock was behind.
    pub measured_offset_s: Option<Secs>,
    /// Root distance of that sample.
    pub root_distance_s: Option<Secs>,
}

/// `chronyc sourcestats`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChronySourceStats {
    /// In the daemon's order.
    pub sources: Vec<ChronySourceStat>,
}

/// A row of `chronyc sourcestats`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChronySourceStat {
    /// Which source.
    #[serde(flatten)]
    pub source: ChronySourceKey,
    /// Samples kept.
    pub samples: u32,
    /// Runs of residuals of equal sign.
    pub runs: u32,
    /// From the oldest to the newest sample.
    pub span_s: u32,
    /// Positive: our clock is fast of the source.
    pub residual_frequency_ppm: f64,
    /// Error bound of that.
    pub skew_ppm: f64,
    /// Positive: our clock is behind; null without samples.
    pub offset_s: Option<Secs>,
    /// Error bound of the offset.
    pub offset_error_s: Option<Secs>,
    /// Standard deviation of the samples; null without samples.
    pub jitter_s: Option<Secs>,
}

/// `chronyc selectdata`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChronySelectData {
    /// In the daemon's order.
    pub sources: Vec<ChronySelect>,
}

/// A row of `chronyc selectdata`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChronySelect {
    /// Which source.
    #[serde(flatten)]
    pub source: ChronySourceKey,
    /// The state in a word, `unknown` for a letter that is none.
    pub state: &'static str,
    /// The state's letter.
    pub state_letter: String,
    /// Whether a key or NTS is configured.
    pub authenticated: bool,
    /// Options of the configuration.
    pub configured_options: Vec<&'static str>,
    /// Options in effect.
    pub effective_options: Vec<&'static str>,
    /// Since the last sample before the selection.
    pub last_sample_age_s: Option<u32>,
    /// Against the selected source.
    pub score: f64,
    /// Least offset that the source allows; positive: our clock is behind.
    pub offset_low_s: Secs,
    /// Largest.
    pub offset_high_s: Secs,
    /// The source's leap second warning; null for a value that is none.
    pub leap: Option<Leap>,
}

/// `chronyc authdata`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChronyAuthData {
    /// In the daemon's order.
    pub sources: Vec<ChronyAuth>,
}

/// A row of `chronyc authdata`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChronyAuth {
    /// Which source.
    #[serde(flatten)]
    pub source: ChronySourceKey,
    /// `none`, `symmetric`, `nts`, `unknown`.
    pub mode: &'static str,
    /// Key, or number of NTS key establishments.
    pub key_id: u32,
    /// Number of the hash, cipher or AEAD.
    pub key_type: u16,
    /// Its name.
    pub key_type_name: Option<&'static str>,
    /// Bits.
    pub key_length: u16,
    /// Since the last key establishment.
    pub last_key_establishment_age_s: Option<u32>,
    /// Tried since the last that worked.
    pub key_establishment_attempts: u16,
    /// Whether an NTS NAK came.
    pub nak: bool,
    /// NTS cookies left.
    pub cookies: u16,
    /// Bytes of a cookie.
    pub cookie_length: u16,
}

/// `chronyc ntpdata`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChronyNtpData {
    /// One for each source that was asked for.
    pub sources: Vec<ChronyNtpDatum>,
}

/// The last valid response of a source.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChronyNtpDatum {
    /// The source.
    pub address: Option<IpAddr>,
    /// UDP port.
    pub port: u16,
    /// Ours; null before the first response.
    pub local_address: Option<IpAddr>,
    /// Leap second warning; null for a value that is none.
    pub leap: Option<Leap>,
    /// NTP version.
    pub version: u8,
    /// `symmetric-active`, `symmetric-passive`, `server`, `unknown`.
    pub mode: &'static str,
    /// Stratum.
    pub stratum: u8,
    /// log2 of the poll interval in s.
    pub poll_log2: i8,
    /// log2 of the precision in s.
    pub precision_log2: i8,
    /// Round trip from the server to its primary source.
    pub root_delay_s: Secs,
    /// Error bound of the server.
    pub root_dispersion_s: Secs,
    /// Reference ID of the server.
    pub refid: RefIdValue,
    /// When the server's clock was last updated.
    pub ref_time: Option<Instant>,
    /// Positive: our clock is behind.
    pub offset_s: Secs,
    /// Round trip.
    pub delay_s: Secs,
    /// Error bound.
    pub dispersion_s: Secs,
    /// From request to response within the server.
    pub response_time_s: Secs,
    /// −0.5 … 0.5.
    pub jitter_asymmetry: f64,
    /// What the response passed.
    pub tests: ChronyNtpTests,
    /// Interleaved mode.
    pub interleaved: bool,
    /// Authenticated.
    pub authenticated: bool,
    /// `daemon`, `kernel`, `hardware`; null before the first response.
    pub transmit_stamping: Option<&'static str>,
    /// The same of the response.
    pub receive_stamping: Option<&'static str>,
    /// Counters.
    pub total: ChronyNtpTotals,
}

/// The tests of a response, in the original's order; true: passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChronyNtpTests {
    /// 1: not a duplicate.
    pub duplicate: bool,
    /// 2: answers our request.
    pub origin: bool,
    /// 3: time stamps are set.
    pub timestamps: bool,
    /// 5: authentication.
    pub authentication: bool,
    /// 6: the server is synchronised.
    pub synchronised: bool,
    /// 7: root distance below 16 s.
    pub root_distance: bool,
    /// A: delay below maxdelay, times are sane.
    pub max_delay: bool,
    /// B: ratio of the delay to the smallest.
    pub delay_ratio: bool,
    /// C: deviation of the delay.
    pub delay_deviation: bool,
    /// D: no loop.
    pub r#loop: bool,
}

/// Packets of a source; null: the daemon does not count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChronyNtpTotals {
    /// Requests.
    pub sent: Option<u32>,
    /// Packets that came.
    pub received: Option<u32>,
    /// Valid ones.
    pub valid: Option<u32>,
    /// Good ones.
    pub good: Option<u32>,
    /// Stamps of the kernel.
    pub kernel_transmit: Option<u32>,
    /// Stamps of the kernel.
    pub kernel_receive: Option<u32>,
    /// Stamps of the hardware.
    pub hardware_transmit: Option<u32>,
    /// Stamps of the hardware.
    pub hardware_receive: Option<u32>,
}

/// `chronyc serverstats`; null: the daemon does not count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChronyServerStats {
    /// Requests.
    pub ntp_received: Option<u64>,
    /// Requests not answered.
    pub ntp_dropped: Option<u64>,
    /// Commands.
    pub command_received: Option<u64>,
    /// Commands not answered.
    pub command_dropped: Option<u64>,
    /// Records overwritten for want of room.
    pub client_log_dropped: Option<u64>,
    /// NTS-KE connections.
    pub nts_ke_accepted: Option<u64>,
    /// NTS-KE connections refused.
    pub nts_ke_dropped: Option<u64>,
    /// Authenticated requests.
    pub ntp_authenticated: Option<u64>,
    /// Interleaved requests.
    pub ntp_interleaved: Option<u64>,
    /// Stamps held for interleaved mode.
    pub ntp_timestamps: Option<u64>,
    /// From the oldest to the newest of them.
    pub ntp_timestamp_span_s: Option<u64>,
    /// Stamps of the daemon.
    pub daemon_receive: Option<u64>,
    /// Stamps of the daemon.
    pub daemon_transmit: Option<u64>,
    /// Stamps of the kernel.
    pub kernel_receive: Option<u64>,
    /// Stamps of the kernel.
    pub kernel_transmit: Option<u64>,
    /// Stamps of the hardware.
    pub hardware_receive: Option<u64>,
    /// Stamps of the hardware.
    pub hardware_transmit: Option<u64>,
}

/// `chronyc activity`: NTP sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChronyActivity {
    /// Online.
    pub online: u32,
    /// Offline.
    pub offline: u32,
    /// In a burst, then online.
    pub burst_online: u32,
    /// In a burst, then offline.
    pub burst_offline: u32,
    /// Without address.
    pub unresolved: u32,
}

/// `chronyc smoothing`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct ChronySmoothing {
    /// Whether served time is smoothed.
    pub active: bool,
    /// Only leap seconds.
    pub leap_only: bool,
    /// Positive: clients get time ahead of the truth.
    pub served_offset_s: Secs,
    /// Positive: served time runs fast.
    pub frequency_ppm: f64,
    /// Change of that in a second.
    pub wander_ppm_per_s: f64,
    /// Since the last update.
    pub last_update_age_s: Secs,
    /// Until it is done.
    pub remaining_s: Secs,
}

/// `chronyc rtcdata`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChronyRtcData {
    /// Of the last fit.
    pub ref_time: Option<Instant>,
    /// Samples.
    pub samples: u16,
    /// Runs.
    pub runs: u16,
    /// From the oldest to the newest reading.
    pub span_s: u32,
    /// Positive: the RTC is fast.
    pub rtc_fast_s: Secs,
    /// Positive: it gains.
    pub rtc_gain_ppm: f64,
}

/// `chronyc clients`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChronyClients {
    /// In the order of the daemon's table.
    pub clients: Vec<ChronyClient>,
}

/// A client of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChronyClient {
    /// Address.
    pub address: Option<IpAddr>,
    /// From reverse look-up, only when asked for (`dns +n`).
    pub hostname: Option<String>,
    /// NTP.
    pub ntp: ChronyClientService,
    /// Interval while it was limited, log2 s.
    pub ntp_limited_interval_log2: Option<i8>,
    /// NTS-KE; null: the daemon does not count it.
    pub nts_ke: Option<ChronyClientService>,
    /// Commands.
    pub command: ChronyClientService,
}

/// One service's counters of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChronyClientService {
    /// Packets.
    pub hits: u32,
    /// Of them not answered.
    pub drops: u32,
    /// log2 s.
    pub interval_log2: Option<i8>,
    /// Since the last one.
    pub last_age_s: Option<u32>,
}

/// `chronyc manual list`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChronyManualList {
    /// Oldest first.
    pub samples: Vec<ChronyManualSample>,
}

/// A time typed in.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChronyManualSample {
    /// For `manual delete`.
    pub index: usize,
    /// When.
    pub time: Option<Instant>,
    /// As corrected since; positive: the clock was behind.
    pub slewed_offset_s: Secs,
    /// As typed; positive: the clock was behind.
    pub offset_s: Secs,
    /// From the fit; positive: the clock was behind.
    pub residual_s: Secs,
}

/// `chronyc settime`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct ChronySettime {
    /// Positive: the clock was behind.
    pub offset_s: Secs,
    /// By which the frequency was changed.
    pub frequency_change_ppm: f64,
    /// Positive: the uncorrected clock runs fast.
    pub frequency_ppm: f64,
}

/// `chronyc sourcename`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChronySourceName {
    /// As configured.
    pub name: String,
}

/// `chronyc waitsync`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChronyWaitSync {
    /// Whether the clock is as it was asked for.
    pub synchronised: bool,
    /// How often was looked.
    pub tries: u64,
    /// Reference ID at the last look; null without an answer.
    pub refid: Option<RefIdValue>,
    /// What was not corrected yet, without sign.
    pub correction_s: Option<Secs>,
    /// Error bound of the frequency.
    pub skew_ppm: Option<f64>,
}

/// `chronyc keygen`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChronyKey {
    /// Number of the key.
    pub id: u32,
    /// Hash or cipher.
    pub key_type: String,
    /// The key in hex.
    pub key_hex: String,
}

/// Any other command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChronyDone {
    /// The daemon's status; null for what the client did itself.
    pub status: Option<u16>,
    /// Its text.
    pub text: Option<String>,
    /// accheck, cmdaccheck: whether access is allowed.
    pub allowed: Option<bool>,
}
