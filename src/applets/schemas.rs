//! The schemas of everything that `--json` prints. Nothing in the binary reaches this list: it is for the tests.

use crate::report::ReportSchema;

/// One entry for each name that an applet puts into the envelope's `schema`.
#[rustfmt::skip] // one a line: each comes and goes alone
pub const REPORTS: &[ReportSchema] = &[
    super::chronyc::commands::ACTIVITY,
    super::chronyc::commands::AUTHDATA,
    super::chronyc::commands::CLIENTS,
    super::chronyc::commands::CONTROL,
    super::chronyc::commands::KEYGEN,
    super::chronyc::commands::MANUAL_LIST,
    super::chronyc::commands::NTPDATA,
    super::chronyc::commands::RTCDATA,
    super::chronyc::commands::SELECTDATA,
    super::chronyc::commands::SERVERSTATS,
    super::chronyc::commands::SETTIME,
    super::chronyc::commands::SMOOTHING,
    super::chronyc::commands::SOURCENAME,
    super::chronyc::commands::SOURCES,
    super::chronyc::commands::SOURCESTATS,
    super::chronyc::commands::TRACKING,
    super::chronyc::commands::WAITSYNC,
    super::completions::SCHEMA,
    super::hwclock::SCHEMA,
    super::hwclock::PARAMETER_SCHEMA,
    super::hwclock::VOLTAGE_SCHEMA,
    super::demo::SCHEMA,
    super::install::SCHEMA,
    super::list::SCHEMA,
    super::man::SCHEMA,
    super::ntpdate::SCHEMA,
    super::ntpq::ASSOCIATIONS,
    super::ntpq::INTERFACES,
    super::ntpq::MRU,
    super::ntpq::PEERS,
    super::ntpq::RESTRICTIONS,
    super::ntpq::RESULTS,
    super::ntpq::TEXT,
    super::ntpq::VARIABLES,
    super::ntpq::VARIABLE_SETS,
];
