//! What `ntpstat` reports.

use schemars::JsonSchema;
use serde::Serialize;

use crate::types::{Secs, Stratum};

/// The verdict on the clock of this host.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct NtpstatReport {
    /// Who answered: `chronyd` or `ntpd`.
    pub daemon: &'static str,
    /// Whether the clock follows a source.
    pub synchronised: bool,
    /// What kind of source.
    pub source: NtpstatSource,
    /// Address of the server that is followed; null for other sources.
    pub address: Option<String>,
    /// Ours.
    pub stratum: Stratum,
    /// Largest error of the clock; null when unsynchronised.
    pub maximum_error_s: Option<Secs>,
    /// Poll interval of the source.
    pub poll_s: Option<u64>,
    /// Whether the daemon says that it has just started.
    pub restarting: bool,
    /// Whether the error exceeds the bound that was given; null without one.
    pub exceeded: Option<bool>,
}

/// Kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NtpstatSource {
    /// Not said.
    Unspecified,
    /// Pulse per second, atomic clock.
    AtomicClock,
    /// Long-wave radio.
    VlfRadio,
    /// Short-wave radio.
    HfRadio,
    /// Satellite, UHF radio.
    UhfRadio,
    /// The host's own clock.
    LocalNet,
    /// An NTP server.
    NtpServer,
    /// Another protocol.
    UdpTime,
    /// Set by hand.
    Wristwatch,
    /// Telephone.
    Modem,
    /// A code without a name.
    Unknown,
}
