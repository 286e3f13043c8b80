//! What `timedatectl timesync-status` knows about systemd-timesyncd.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::{Instant, RefIdValue, refid_value};
use crate::types::{RefId, Stratum, TimeDelta, Timestamp};

/// The state of systemd-timesyncd.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Timesync {
    /// The server as configured; null when there is none.
    pub server_name: Option<String>,
    /// Its address; null before it is known.
    pub server_address: Option<String>,
    /// Servers of network interfaces.
    pub link_servers: Vec<String>,
    /// Servers of timesyncd.conf.
    pub system_servers: Vec<String>,
    /// Servers set at run time; null where the daemon does not know such.
    pub runtime_servers: Option<Vec<String>>,
    /// Servers for want of others.
    pub fallback_servers: Vec<String>,
    /// Largest root distance that is accepted.
    #[serde(serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub max_root_distance_s: TimeDelta,
    /// Shortest poll interval.
    #[serde(serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub min_poll_interval_s: TimeDelta,
    /// Longest poll interval.
    #[serde(serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub max_poll_interval_s: TimeDelta,
    /// Poll interval now; 0 before the first poll.
    #[serde(serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub poll_interval_s: TimeDelta,
    /// Frequency: > 0 when the uncorrected clock runs fast.
    pub frequency_ppm: f64,
    /// The kernel's number, 2⁻¹⁶ ppm and of the opposite sign, as `show-timesync` prints it.
    pub kernel_frequency: i64,
    /// The last answer of the server; null before the first.
    pub message: Option<TimesyncMessage>,
}

/// An answer of a server.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TimesyncMessage {
    /// Leap indicator, 0 … 3.
    pub leap: u32,
    /// NTP version.
    pub version: u32,
    /// Mode, 4 for a server.
    pub mode: u32,
    /// Stratum.
    pub stratum: u32,
    /// Precision, log2 s.
    pub precision_log2: i32,
    /// Round trip to the reference.
    #[serde(serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub root_delay_s: TimeDelta,
    /// Dispersion to the reference.
    #[serde(serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub root_dispersion_s: TimeDelta,
    /// Reference.
    pub refid: RefIdValue,
    /// T1, when the request left.
    #[serde(serialize_with = "instant")]
    #[schemars(with = "Instant")]
    pub originate: Timestamp,
    /// T2, when the server got it.
    #[serde(serialize_with = "instant")]
    #[schemars(with = "Instant")]
    pub receive: Timestamp,
    /// T3, when the answer left.
    #[serde(serialize_with = "instant")]
    #[schemars(with = "Instant")]
    pub transmit: Timestamp,
    /// T4, when it came in.
    #[serde(serialize_with = "instant")]
    #[schemars(with = "Instant")]
    pub destination: Timestamp,
    /// ((T2 − T1) + (T3 − T4)) / 2: > 0 when our clock is behind.
    #[serde(serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub offset_s: TimeDelta,
    /// (T4 − T1) − (T3 − T2).
    #[serde(serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub delay_s: TimeDelta,
    /// Jitter.
    #[serde(serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub jitter_s: TimeDelta,
    /// Whether it was passed over as a spike.
    pub ignored: bool,
    /// Answers so far.
    pub packets: u64,
}

/// The reference's four bytes as a report shows them.
pub fn timesync_refid(bytes: [u8; 4], stratum: u32) -> RefIdValue {
    let stratum = Stratum::new(u8::try_from(stratum).unwrap_or(u8::MAX));
    refid_value(RefId::from_bits(u32::from_be_bytes(bytes)), stratum)
}

fn seconds<S: Serializer>(time: &TimeDelta, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

fn instant<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    Instant::from(*time).serialize(serializer)
}
