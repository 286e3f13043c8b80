//! Gathers the report: kernel, files, RTC and services, each asked directly.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::report::{
    DstChange, DstReport, KernelReport, ManagerKind, NtpReport, NtpService, RtcProblem, RtcReport, Timedate,
    ZonedTime,
};
use crate::sys::host::Host;
use crate::sys::service::{self, Manager, NtpServices};
use crate::sys::tz::{Change, Zone};
use crate::sys::{Errno, SysError, zoneinfo};
use crate::types::{Secs, TimeDelta, Timestamp};

/// The kernel counts the clock as synchronised while its maximum error is below this (systemd 243 and later).
const MAX_ERROR: TimeDelta = TimeDelta::from_secs(16);
/// STA_UNSYNC of adjtimex(2), which the older generations look at instead.
const STA_UNSYNC: i32 = 0x40;

/// Asks for everything.
///
/// # Errors
/// Of the RTC, when it is there and not merely busy or without a valid time.
pub(super) fn gather(host: &mut dyn Host, env: &BTreeMap<String, String>) -> Result<Timedate, SysError> {
    let ntp = ntp_report(&service::find(host, env));
    let system = zoneinfo::system(host.root());
    let caller = zoneinfo::callers(host.root(), env.get("TZ").map(String::as_str));
    let local = rtc_is_local(host.root());
    let kernel = host.kernel().ok();
    let now = host.now();
    let (reading, problem) = match host.read_rtc() {
        Ok(secs) => (Some(Timestamp::from_unix(secs, 0)), None),
        Err(error) => match error.errno {
            Errno::ENOENT => (None, Some(RtcProblem::Absent)),
            Errno::EBUSY => (None, Some(RtcProblem::Busy)),
            Errno::EINVAL => (None, Some(RtcProblem::Invalid)),
            _ => return Err(error),
        },
    };
    let changes = system.zone.changes_around(now.secs());
    Ok(Timedate {
        clock: zoned(&system.zone, now),
        caller_clock: zoned(&caller, now),
        zone_leap_seconds: system.zone.leap_seconds(now.secs()),
        timezone: system.name,
        dst: changes.map(|(last, next)| dst(&system.zone, &last, &next)),
        rtc: RtcReport {
            reading,
            caller_reading: reading.map(|reading| zoned(&caller, reading)),
            local,
            problem,
        },
        synchronized: kernel.is_some_and(|k| k.max_error < MAX_ERROR),
        kernel: kernel.map(|k| KernelReport {
            max_error_s: secs(k.max_error),
            est_error_s: secs(k.est_error),
            unsync: k.status & STA_UNSYNC != 0,
            // the kernel's sign is the opposite: > 0 speeds the clock up
            frequency_ppm: 0.0 - k.correction_ppm,
        }),
        ntp,
    })
}

fn secs(delta: TimeDelta) -> Secs {
    Secs::new(delta.as_secs_f64()).unwrap_or(Secs::ZERO)
}

fn zoned(zone: &Zone, time: Timestamp) -> ZonedTime {
    let kind = zone.at(time.secs());
    ZonedTime { time, utc_offset_s: kind.utc_offset, abbreviation: kind.abbreviation }
}

fn dst(zone: &Zone, last: &Change, next: &Change) -> DstReport {
    let change = |change: &Change| DstChange {
        begins: change.after.is_dst,
        shift_s: change.after.utc_offset - change.before.utc_offset,
        before: zoned(zone, Timestamp::from_unix(change.at - 1, 0)),
        after: zoned(zone, Timestamp::from_unix(change.at, 0)),
    };
    DstReport { active: last.after.is_dst, last: change(last), next: change(next) }
}

/// The services in the form of a report.
pub(super) fn ntp_report(found: &NtpServices) -> NtpReport {
    NtpReport {
        manager: match found.manager {
            Manager::Systemd => ManagerKind::Systemd,
            Manager::Scripts => ManagerKind::Sysv,
            Manager::Openrc => ManagerKind::Openrc,
            Manager::Nobody => ManagerKind::None,
        },
        supported: found.is_supported(),
        active: found.is_active(),
        enabled: found.is_enabled(),
        services: found
            .services
            .iter()
            .map(|s| NtpService { name: s.name.clone(), active: s.active, enabled: s.enabled })
            .collect(),
    }
}

/// Whether the RTC keeps local time: the third line of /etc/adjtime is exactly `LOCAL`.
pub(super) fn rtc_is_local(root: &Path) -> bool {
    let content = fs::read(root.join("etc/adjtime")).unwrap_or_default();
    content.split(|&b| b == b'\n').nth(2) == Some(b"LOCAL")
}
