//! Layer 2: plain facts between the machine and the screen, rendered as legacy text or as JSON.
//!
//! Only these structs are serialised. Signs and units are those of [`crate::types`]; unknown is `None` and becomes `null`.

pub mod chronyc;
pub mod chronyd;
mod demo;
mod document;
mod envelope;
mod install;
mod listing;
pub mod ntpd;
pub mod ntpdate;
mod ntpq;
mod ntpstat;
mod rtc;
mod schema;
mod timedate;
mod timesync;
mod values;

pub use demo::{DemoCommand, DemoServer, Demonstration};
pub use document::Document;
pub use envelope::{Envelope, ErrorReport, Level, Message};
pub use install::{InstallAction, Installation, InstalledName};
pub use listing::{ListedApplet, ListedKind, Listing};
pub use ntpq::{
    NtpqAssociation, NtpqAssociations, NtpqInterface, NtpqInterfaces, NtpqMru, NtpqMruEntry, NtpqPeer,
    NtpqPeerKind, NtpqPeerStatus, NtpqPeers, NtpqReport, NtpqRestriction, NtpqRestrictions, NtpqResult,
    NtpqResults, NtpqStatus, NtpqText, NtpqValue, NtpqVariableSets, NtpqVariables,
};
pub use ntpstat::{NtpstatReport, NtpstatSource};
pub use rtc::{
    AdjtimeReport, CalibrationReport, DriftReport, HwclockReport, KernelTimeReport, RtcParameterReport,
    RtcVoltageReport, RtcWriteReport,
};
pub use schema::{NoData, ReportSchema};
pub use timedate::{
    DstChange, DstReport, KernelReport, ManagerKind, NtpReport, NtpService, RtcProblem, RtcReport, Timedate,
    TimedateChange, TimezoneList, ZonedTime,
};
pub use timesync::{Timesync, TimesyncMessage, timesync_refid};
pub use values::{Instant, ReachValue, RefIdValue, ppm, reach_value, refid_value};
