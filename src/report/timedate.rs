//! What `timedatectl` knows: clock, zone, RTC, and who keeps the time.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::Instant;
use crate::types::{Secs, Timestamp};

/// An instant with the zone in which it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ZonedTime {
    /// The instant.
    #[serde(serialize_with = "instant")]
    #[schemars(with = "Instant")]
    pub time: Timestamp,
    /// Seconds east of UTC.
    pub utc_offset_s: i32,
    /// `CET`, `-03`, …
    pub abbreviation: String,
}

/// The report of `timedatectl`, `timedatectl status` and `timedatectl show`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Timedate {
    /// The system clock, with the zone of the system.
    pub clock: ZonedTime,
    /// The same in the caller's zone (`TZ`, else /etc/localtime).
    pub caller_clock: ZonedTime,
    /// Leap seconds that a `right/` zone has counted: its local time is the clock less these.
    pub zone_leap_seconds: i32,
    /// Name of the system's zone; null when /etc/localtime names none.
    pub timezone: Option<String>,
    /// Daylight saving time; null when the zone's file does not tell.
    pub dst: Option<DstReport>,
    /// The hardware clock.
    pub rtc: RtcReport,
    /// Whether the kernel counts the clock as synchronised: its maximum error is below 16 s.
    pub synchronized: bool,
    /// The kernel's own account of the clock; null in a sandbox that hides it.
    pub kernel: Option<KernelReport>,
    /// Who keeps the time.
    pub ntp: NtpReport,
}

/// Daylight saving time around now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DstReport {
    /// Whether it is in force.
    pub active: bool,
    /// The change before now.
    pub last: DstChange,
    /// The change after now.
    pub next: DstChange,
}

/// A change of the clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DstChange {
    /// Whether daylight saving time begins (else it ends).
    pub begins: bool,
    /// How far the clocks jump, > 0 forward, s.
    pub shift_s: i32,
    /// The last second before it.
    pub before: ZonedTime,
    /// The first second after it.
    pub after: ZonedTime,
}

/// The hardware clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RtcReport {
    /// What its registers read, as if they were UTC; null without a clock, or while another process holds it.
    #[serde(serialize_with = "optional_instant")]
    #[schemars(with = "Option<Instant>")]
    pub reading: Option<Timestamp>,
    /// The same in the caller's zone, as `timedatectl show` prints it.
    pub caller_reading: Option<ZonedTime>,
    /// Whether it keeps local time.
    pub local: bool,
    /// Why there is no reading: `absent`, `busy` (somebody holds it) or `invalid` (it lost its time).
    pub problem: Option<RtcProblem>,
}

/// Why an RTC cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RtcProblem {
    /// There is none.
    Absent,
    /// Another process holds it.
    Busy,
    /// It has no valid time.
    Invalid,
}

/// What `adjtimex` says.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct KernelReport {
    /// Maximum error.
    pub max_error_s: Secs,
    /// Estimated error.
    pub est_error_s: Secs,
    /// Whether STA_UNSYNC is set.
    pub unsync: bool,
    /// Frequency: > 0 when the uncorrected clock runs fast.
    pub frequency_ppm: f64,
}

/// Who keeps the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NtpReport {
    /// What starts and stops services here.
    pub manager: ManagerKind,
    /// Whether there is a service that `set-ntp` could switch.
    pub supported: bool,
    /// Whether one of them runs.
    pub active: bool,
    /// Whether the first of them starts at boot; null when nobody knows.
    pub enabled: Option<bool>,
    /// The services in the order in which `set-ntp 1` tries them.
    pub services: Vec<NtpService>,
}

/// A time service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NtpService {
    /// Unit, init script or program.
    pub name: String,
    /// Whether it runs.
    pub active: bool,
    /// Whether it starts at boot; null when nobody knows.
    pub enabled: Option<bool>,
}

/// What starts and stops services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ManagerKind {
    /// systemd, through systemctl.
    Systemd,
    /// Init scripts, through chkconfig or update-rc.d.
    Sysv,
    /// OpenRC.
    Openrc,
    /// Nothing: our daemon by its pid file.
    None,
}

/// What a `timedatectl set-…` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TimedateChange {
    /// The verb.
    pub verb: &'static str,
    /// Whether anything was changed (else everything was so already).
    pub changed: bool,
    /// What was set: the instant, the zone, or `true`/`false`.
    pub value: String,
    /// What was switched by `set-ntp`, else null.
    pub ntp: Option<NtpReport>,
}

/// The zones of `timedatectl list-timezones`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TimezoneList {
    /// Sorted bytewise.
    pub timezones: Vec<String>,
}

fn instant<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    Instant::from(*time).serialize(serializer)
}

fn optional_instant<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(Instant::from).serialize(serializer)
}
