//! The verbs that change something: in the order of the original's checks, and in its words.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::facts::{ntp_report, rtc_is_local};
use super::time_spec::{self, Context};
use crate::report::{TimedateChange, TimezoneList};
use crate::sys::clock::ClockControl;
use crate::sys::host::Host;
use crate::sys::tz::Reading;
use crate::sys::{Errno, SysError, file, random, service, zoneinfo};
use crate::types::civil::{self, CivilTime};
use crate::types::{TimeDelta, Timestamp};

/// Why a verb failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// A word for scripts.
    pub(super) code: &'static str,
    /// The original's line.
    pub(super) line: String,
}

/// What a verb did, and remarks for stderr.
pub(super) type Done = Result<(TimedateChange, Vec<String>), Failure>;

fn failure(code: &'static str, line: impl Into<String>) -> Failure {
    Failure { code, line: line.into() }
}

/// What the original says when its authority asks for a password and nobody can be asked.
const NOT_PERMITTED: &str = "Interactive authentication required.";
/// Permissions of a new /etc/adjtime.
const MODE: u32 = 0o644;

fn done(verb: &'static str, changed: bool, value: impl Into<String>) -> TimedateChange {
    TimedateChange { verb, changed, value: value.into(), ntp: None }
}

/// `set-time TIME`.
pub(super) fn time(host: &mut dyn Host, env: &BTreeMap<String, String>, text: &str) -> Done {
    let started = host.now();
    let zone = zoneinfo::callers(host.root(), env.get("TZ").map(String::as_str));
    let root = host.root().to_path_buf();
    let context = Context { now: started, zone: &zone, named: &|name| zoneinfo::load(&root, name) };
    let micros = time_spec::parse(text, &context).map_err(|refused| {
        let line = format!("Failed to parse time specification '{text}': {}", refused.reason());
        failure("bad-time", line)
    })?;
    if service::find(host, env).is_active() {
        return Err(failure("ntp-active", "Failed to set time: Automatic time synchronization is enabled"));
    }
    if micros <= 0 {
        return Err(failure("bad-time", "Failed to set time: Invalid absolute time"));
    }
    let control = permitted(host, "Failed to set time")?;
    let wanted = micros.checked_mul(1000).map(Timestamp::from_nanos);
    let target = wanted.map(|wanted| wanted + (host.now() - started));
    let set = match target {
        Some(target) => host.set_clock(&control, target).map(|()| target),
        // the years after 2262: what the kernel answers to those before, from 2232 on
        None => Err(SysError::new("clock_settime", "", Errno::EINVAL)),
    };
    let target = set.map_err(|error| {
        failure("not-set", format!("Failed to set time: Failed to set local time: {}", error.reason()))
    })?;
    let notes = rtc_follows(host, &control, target).into_iter().collect();
    Ok((done("set-time", true, civil::rfc3339(target)), notes))
}

/// The right to change the clocks, for whoever has it.
fn permitted(host: &dyn Host, what: &str) -> Result<ClockControl, Failure> {
    match host.may_set_time() {
        true => Ok(ClockControl::acquire()),
        false => Err(failure("not-permitted", format!("{what}: {NOT_PERMITTED}"))),
    }
}

/// Sets the RTC to the system clock; a host without one is fine.
fn rtc_follows(host: &mut dyn Host, control: &ClockControl, now: Timestamp) -> Option<String> {
    let offset = if rtc_is_local(host.root()) { local_offset(host.root(), now.secs()) } else { 0 };
    match host.write_rtc(control, now.secs() + i64::from(offset)) {
        Ok(()) => None,
        Err(error) if error.errno == Errno::ENOENT => None,
        Err(error) => Some(format!("the RTC was not set: {error}")),
    }
}

fn local_offset(root: &Path, unix: i64) -> i32 {
    zoneinfo::system(root).zone.at(unix).utc_offset
}

/// Tells the kernel the zone; it is for file systems that keep local time, and nobody minds when it cannot be told.
fn kernel_follows(host: &mut dyn Host, control: &ClockControl) {
    let offset = local_offset(host.root(), host.now().secs());
    let _ = host.set_kernel_zone(control, -(offset / 60));
}

/// `set-timezone ZONE`.
pub(super) fn timezone(host: &mut dyn Host, name: &str) -> Done {
    if zoneinfo::system(host.root()).name.as_deref() == Some(name) {
        return Ok((done("set-timezone", false, name), Vec::new()));
    }
    if !zoneinfo::is_installed(host.root(), name) {
        let line = format!("Failed to set time zone: Invalid or not installed time zone '{name}'");
        return Err(failure("unknown-timezone", line));
    }
    let control = permitted(host, "Failed to set time zone")?;
    link(host.root(), name).map_err(|error| {
        let reason = SysError::from_io("symlink", "/etc/localtime", &error).reason();
        failure("not-written", format!("Failed to set time zone: Failed to set time zone: {reason}"))
    })?;
    let mut notes: Vec<String> = debian_follows(host.root(), name).into_iter().collect();
    kernel_follows(host, &control);
    if rtc_is_local(host.root()) {
        let now = host.now();
        notes.extend(rtc_follows(host, &control, now));
    }
    Ok((done("set-timezone", true, name), notes))
}

/// Makes /etc/localtime a link to the zone, in one step; `UTC` without a file is no link at all.
fn link(root: &Path, name: &str) -> std::io::Result<()> {
    let localtime = root.join("etc/localtime");
    if !zoneinfo::has_file(root, name) {
        return match fs::remove_file(&localtime) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let unique = random::number().map_err(|error| std::io::Error::from_raw_os_error(error.errno as i32))?;
    let temporary = root.join(format!("etc/.#localtime{unique:016x}"));
    std::os::unix::fs::symlink(format!("../usr/share/zoneinfo/{name}"), &temporary)?;
    fs::rename(&temporary, &localtime).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Debian's /etc/timezone holds the name too, where it exists.
fn debian_follows(root: &Path, name: &str) -> Option<String> {
    let path = root.join("etc/timezone");
    if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
        return None;
    }
    let written = file::replace(&path, format!("{name}\n").as_bytes(), MODE);
    written.err().map(|error| format!("/etc/timezone was not changed: {}", error.reason()))
}

/// `list-timezones`.
pub(super) fn timezones(root: &Path) -> TimezoneList {
    TimezoneList { timezones: zoneinfo::list(root) }
}

/// Which clock follows the other when the RTC's scale changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    /// The RTC is set from the system clock.
    Rtc,
    /// The system clock is set from the RTC (`--adjust-system-clock`).
    SystemClock,
}

/// `set-local-rtc BOOL`.
pub(super) fn local_rtc(host: &mut dyn Host, local: bool, follows: Follows) -> Done {
    let changed = rtc_is_local(host.root()) != local;
    if !changed && follows == Follows::Rtc {
        return Ok((done("set-local-rtc", false, local.to_string()), Vec::new()));
    }
    let control = permitted(host, "Failed to set local RTC")?;
    if changed {
        write_scale(host.root(), local).map_err(|error| {
            let line = format!("Failed to set local RTC: Failed to set RTC to local: {}", error.reason());
            failure("not-written", line)
        })?;
    }
    kernel_follows(host, &control);
    let notes = match follows {
        Follows::Rtc => {
            let now = host.now();
            rtc_follows(host, &control, now).into_iter().collect()
        }
        Follows::SystemClock => clock_follows(host, &control, local)?,
    };
    Ok((done("set-local-rtc", true, local.to_string()), notes))
}

/// Sets the system clock to what the RTC shows; its own part of the second stays.
fn clock_follows(host: &mut dyn Host, control: &ClockControl, local: bool) -> Result<Vec<String>, Failure> {
    let reading = match host.read_rtc() {
        Ok(reading) => reading,
        Err(error) => return Ok(vec![format!("the system clock was not set from the RTC: {error}")]),
    };
    let unix = if local {
        let zone = zoneinfo::system(host.root()).zone;
        zone.to_unix(&fields(reading), None)
    } else {
        reading
    };
    let now = host.now();
    let target = now + TimeDelta::from_secs(unix.saturating_sub(now.secs()));
    host.set_clock(control, target).map_err(|error| {
        failure("not-set", format!("Failed to set local RTC: Failed to set system clock: {}", error.reason()))
    })?;
    Ok(Vec::new())
}

fn fields(as_if_utc: i64) -> Reading {
    let c = CivilTime::from_unix(as_if_utc, 0, 0);
    Reading { year: c.year, month: c.month, day: c.day, hour: c.hour, minute: c.minute, second: c.second }
}

/// An adjtime file that says nothing.
const NEUTRAL: &[u8] = b"0.0 0 0\n0\nUTC\n";

fn write_scale(root: &Path, local: bool) -> Result<(), SysError> {
    let path = root.join("etc/adjtime");
    let old = match fs::read(&path) {
        Ok(content) => Some(content),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(SysError::from_io("read", "/etc/adjtime", &error)),
    };
    let new = with_scale(old.as_deref(), local);
    if old.as_deref().unwrap_or(NEUTRAL) == new {
        return Ok(());
    }
    if new == NEUTRAL {
        return fs::remove_file(&path).map_err(|error| SysError::from_io("unlink", "/etc/adjtime", &error));
    }
    file::replace(&path, &new, MODE).map(drop)
}

/// The content with another third line; missing lines before it are made up.
fn with_scale(old: Option<&[u8]>, local: bool) -> Vec<u8> {
    let word: &[u8] = if local { b"LOCAL\n" } else { b"UTC\n" };
    let old = old.unwrap_or(b"0.0 0 0\n0\n");
    let mut lines = old.splitn(4, |&b| b == b'\n');
    let first = lines.next().unwrap_or_default();
    let second =
        lines.next().filter(|line| !line.is_empty() || old.iter().filter(|&&b| b == b'\n').count() > 1);
    let rest = lines.nth(1);
    [first, b"\n", second.unwrap_or(b"0"), b"\n", word, rest.unwrap_or_default()].concat()
}

/// `set-ntp BOOL`.
pub(super) fn ntp(host: &mut dyn Host, env: &BTreeMap<String, String>, on: bool) -> Done {
    let services = service::find(host, env);
    if !services.is_supported() {
        return Err(failure("ntp-not-supported", "Failed to set ntp: NTP not supported"));
    }
    permitted(host, "Failed to set ntp")?;
    let notes = service::switch(host, &services, on)
        .map_err(|reason| failure("not-switched", format!("Failed to set ntp: {reason}")))?;
    let mut change = done("set-ntp", !notes.is_empty(), on.to_string());
    change.ntp = Some(ntp_report(&service::find(host, env)));
    Ok((change, notes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjtime_keeps_everything_but_its_third_line() {
        for (old, local, new) in [
            (None, true, "0.0 0 0\n0\nLOCAL\n"),
            (Some("0.0 0 0\n0\nLOCAL\n"), false, "0.0 0 0\n0\nUTC\n"),
            (Some("0.0 0 0\n0\nLOCAL"), false, "0.0 0 0\n0\nUTC\n"),
            (Some("1.5 1700000000 0.1\n1700000000\nLOCAL\n"), false, "1.5 1700000000 0.1\n1700000000\nUTC\n"),
            (Some("1.5 1700000000 0.1\n1700000000\nUTC\n"), true, "1.5 1700000000 0.1\n1700000000\nLOCAL\n"),
            (
                Some("1.5 1700000000 0.1\n1700000000\nUTC\nextra\n"),
                true,
                "1.5 1700000000 0.1\n1700000000\nLOCAL\nextra\n",
            ),
            (Some("1.5 1700000000 0.1\n1700000000"), true, "1.5 1700000000 0.1\n1700000000\nLOCAL\n"),
            (Some("1.5 1700000000 0.1\n1700000000\n"), true, "1.5 1700000000 0.1\n1700000000\nLOCAL\n"),
            (Some("1.5 1700000000 0.1\n"), true, "1.5 1700000000 0.1\n0\nLOCAL\n"),
            (Some("1.5 1700000000 0.1"), true, "1.5 1700000000 0.1\n0\nLOCAL\n"),
            (Some(""), true, "\n0\nLOCAL\n"),
            (Some("\n\nlocal\n"), true, "\n\nLOCAL\n"),
            (Some("0.0 0 0\n0\nLOCAL \n"), true, "0.0 0 0\n0\nLOCAL\n"),
            (Some(" \n\nLOCAL\n"), false, " \n\nUTC\n"),
        ] {
            let text = String::from_utf8(with_scale(old.map(str::as_bytes), local)).unwrap();
            assert_eq!(text, new, "{old:?}");
        }
    }
}
