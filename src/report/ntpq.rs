//! What `ntpq` reports: peers, associations, variables.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Instant, ReachValue, RefIdValue};
use crate::types::{LogInterval, Secs, Stratum};

/// `peers` and its relatives.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct NtpqPeers {
    /// The server that was asked, as named on the command line.
    pub host: String,
    /// One row per association, by identifier.
    pub peers: Vec<NtpqPeer>,
}

/// A row of `peers`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct NtpqPeer {
    /// Identifier of the association, 1 … 65535.
    pub association: u16,
    /// Its status word, taken apart.
    pub status: NtpqPeerStatus,
    /// What stands in the column `remote`: name, address or reference clock.
    pub remote: String,
    /// Address of the source; null when the server did not say.
    pub address: Option<String>,
    /// Address of the server that the source is asked from.
    pub local_address: Option<String>,
    /// What the source itself follows.
    pub refid: Option<RefIdValue>,
    /// Kind of association.
    pub kind: NtpqPeerKind,
    /// Stratum of the source.
    pub stratum: Stratum,
    /// When the last packet came from it.
    pub last_received: Option<Instant>,
    /// Seconds since the last packet, by our clock.
    pub last_received_age_s: Option<i64>,
    /// Interval between two packets.
    pub poll_log2: LogInterval,
    /// Which of the last eight polls were answered.
    pub reach: ReachValue,
    /// Round trip to the source.
    pub delay_s: Option<Secs>,
    /// Offset of the source; > 0: the server's clock is behind it.
    pub offset_s: Option<Secs>,
    /// Jitter of the offsets.
    pub jitter_s: Option<Secs>,
    /// Dispersion of the samples.
    pub dispersion_s: Option<Secs>,
    /// The reference identifier as it was sent, made printable.
    #[serde(skip)]
    pub refid_text: String,
}

/// How an association talks to its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NtpqPeerKind {
    /// Client of a server.
    Unicast,
    /// Reference clock of the server itself.
    Local,
    /// Prototype of the members of a pool.
    Pool,
    /// Prototype of manycast servers.
    Manycast,
    /// Symmetric peer, configured here.
    SymmetricActive,
    /// Symmetric peer, configured there.
    SymmetricPassive,
    /// Sends to a broadcast address.
    Broadcast,
    /// Sends to a multicast address.
    Multicast,
    /// Listens to broadcasts.
    BroadcastClient,
    /// The server did not say.
    Unknown,
}

/// Status word of an association.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NtpqPeerStatus {
    /// Four hex digits.
    pub hex: String,
    /// From the configuration.
    pub configured: bool,
    /// Reachable.
    pub reachable: bool,
    /// Broadcast, or the prototype of a pool.
    pub broadcast: bool,
    /// A key is set.
    pub auth_enabled: bool,
    /// The last packet was authentic.
    pub authentic: bool,
    /// What the selection made of it: `reject falseticker excess outlier candidate backup sys-peer pps-peer`.
    pub condition: &'static str,
    /// The last event, a kebab-case word, or null.
    pub last_event: Option<String>,
    /// Events counted.
    pub event_count: u8,
}

/// `associations`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NtpqAssociations {
    /// The server that was asked.
    pub host: String,
    /// By identifier.
    pub associations: Vec<NtpqAssociation>,
}

/// A row of `associations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NtpqAssociation {
    /// Its place in the server's list, from 1: what `&N` means.
    pub index: usize,
    /// Identifier.
    pub association: u16,
    /// Its status word, taken apart.
    pub status: NtpqPeerStatus,
}

/// `readvar`, `clockvar` and the statistics: one subject and its variables.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct NtpqVariables {
    /// The server that was asked.
    pub host: String,
    /// 0: the system.
    pub association: u16,
    /// Status word of the subject.
    pub status: NtpqStatus,
    /// Decoded, under this program's names and units; what cannot be decoded is null.
    pub values: BTreeMap<String, NtpqValue>,
    /// As the server sent them, made printable.
    pub raw: BTreeMap<String, String>,
}

/// Several of them (`mreadvar`).
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct NtpqVariableSets {
    /// In the order of the associations.
    pub associations: Vec<NtpqVariables>,
}

/// A status word in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NtpqStatus {
    /// Four hex digits.
    pub hex: String,
    /// The words, in the original's spelling.
    pub words: Vec<String>,
}

/// A decoded variable.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum NtpqValue {
    /// It did not decode, or is unknown.
    Unknown,
    /// A count or a code.
    Integer(i64),
    /// A quantity in the unit of the key's suffix.
    Number(f64),
    /// Text, an instant or a word.
    Text(String),
    /// A reference identifier.
    RefId(RefIdValue),
    /// A reach register.
    Reach(ReachValue),
    /// A filter's samples, newest first; null for an empty place.
    Samples(Vec<f64>),
    /// The names of the bits that are set.
    Words(Vec<String>),
}

/// `ifstats`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NtpqInterfaces {
    /// The server that was asked.
    pub host: String,
    /// By index.
    pub interfaces: Vec<NtpqInterface>,
}

/// A local address that the server uses. What it did not say is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NtpqInterface {
    /// Its place in the server's list.
    pub index: u32,
    /// Name of the interface.
    pub name: Option<String>,
    /// Address and port.
    pub address: Option<String>,
    /// Broadcast address and port.
    pub broadcast: Option<String>,
    /// Whether packets to it are served.
    pub enabled: Option<bool>,
    /// The server's own flags.
    pub flags: Option<u64>,
    /// Time to live of multicasts.
    pub ttl: Option<u64>,
    /// Multicast groups joined.
    pub multicast_groups: Option<u64>,
    /// Packets received.
    pub received: Option<u64>,
    /// Packets sent.
    pub sent: Option<u64>,
    /// Packets that could not be sent.
    pub send_failures: Option<u64>,
    /// Associations that use it.
    pub peers: Option<u64>,
    /// How long it has been in use.
    pub uptime_s: Option<u64>,
    /// Whether the server sent all that 4.2.8 sends.
    pub complete: bool,
}

/// `reslist`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NtpqRestrictions {
    /// The server that was asked.
    pub host: String,
    /// In the server's order.
    pub restrictions: Vec<NtpqRestriction>,
}

/// An entry of the access list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NtpqRestriction {
    /// Address and prefix length, or address and mask.
    pub prefix: String,
    /// Packets that matched.
    pub hits: Option<u64>,
    /// The server's words.
    pub flags: String,
}

/// `mrulist`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NtpqMru {
    /// The server that was asked.
    pub host: String,
    /// Whether the list was read to its end.
    pub complete: bool,
    /// In the order asked for.
    pub entries: Vec<NtpqMruEntry>,
}

/// A client that the server remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NtpqMruEntry {
    /// Its address.
    pub address: String,
    /// What stands in the last column: name or address.
    pub remote: String,
    /// Its port at the last packet.
    pub port: u16,
    /// Since its last packet.
    pub last_age_s: i64,
    /// Average interval between its packets.
    pub average_interval_s: i64,
    /// Packets counted.
    pub count: u64,
    /// NTP mode of the last packet.
    pub mode: u8,
    /// NTP version of the last packet.
    pub version: u8,
    /// The server's restriction bits, hexadecimal.
    pub restrictions: String,
    /// A kiss-o'-death is sent to it.
    pub kod: bool,
    /// It is rate limited.
    pub limited: bool,
}

/// A command that prints a text of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NtpqText {
    /// The text.
    pub text: String,
}

/// Any report of one command.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum NtpqReport {
    /// `peers` and its relatives.
    Peers(NtpqPeers),
    /// `associations`.
    Associations(NtpqAssociations),
    /// `readvar` and the statistics.
    Variables(NtpqVariables),
    /// `mreadvar`.
    VariableSets(NtpqVariableSets),
    /// `ifstats`.
    Interfaces(NtpqInterfaces),
    /// `reslist`.
    Restrictions(NtpqRestrictions),
    /// `mrulist`.
    Mru(NtpqMru),
    /// Anything else.
    Text(NtpqText),
}

/// Several commands, or several servers.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct NtpqResults {
    /// In the order of the command line.
    pub results: Vec<NtpqResult>,
}

/// What one command gave.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct NtpqResult {
    /// The server that was asked.
    pub host: String,
    /// The command line.
    pub command: String,
    /// The format of `data` when it stands alone; null on failure.
    pub schema: Option<&'static str>,
    /// Its report; null on failure.
    pub data: Option<NtpqReport>,
    /// Why it failed.
    pub error: Option<super::ErrorReport>,
}
