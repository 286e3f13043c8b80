//! The schemas of everything that `--json` prints. Nothing in the binary reaches this list: it is for the tests.

use crate::report::ReportSchema;

/// One entry for each name that an applet puts into the envelope's `schema`.
#[rustfmt::skip] // one a line: each comes and goes alone
pub const REPORTS: &[ReportSchema] = &[
    super::completions::SCHEMA,
    super::hwclock::SCHEMA,
    super::hwclock::PARAMETER_SCHEMA,
    super::hwclock::VOLTAGE_SCHEMA,
    super::demo::SCHEMA,
    super::install::SCHEMA,
    super::list::SCHEMA,
    super::man::SCHEMA,
    super::ntpdate::SCHEMA,
    super::timedatectl::SET,
    super::timedatectl::STATUS,
    super::timedatectl::TIMESYNC,
    super::timedatectl::TIMEZONES,
];
