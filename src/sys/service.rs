//! The services that keep a host's time, and what starts and stops them: systemd, init scripts, OpenRC, or nobody.
//!
//! systemd's own order and semantics (systemd 257's timedated): the units of the `ntp-units.d` lists, or of
//! `SYSTEMD_TIMEDATED_NTP_SERVICES`. systemctl is asked, never a bus that could start something.

mod daemon;
mod scripts;
mod systemd;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::host::Host;

/// What starts and stops services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// systemd is PID 1.
    Systemd,
    /// Init scripts in /etc/init.d.
    Scripts,
    /// OpenRC.
    Openrc,
    /// Nothing: our daemon by its pid file.
    Nobody,
}

/// A time service that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Unit, script or program.
    pub name: String,
    /// Whether it runs.
    pub active: bool,
    /// Whether it starts at boot; `None` when nobody knows.
    pub enabled: Option<bool>,
}

/// The time services of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NtpServices {
    /// Who switches them.
    pub manager: Manager,
    /// Those that can be switched, in the order in which they are preferred.
    pub services: Vec<Service>,
    /// Whether a time daemon runs that nobody switches by these means (its name), told for the manager `Nobody` only.
    pub stranger: Option<String>,
}

impl NtpServices {
    /// Whether `set-ntp` has something to switch.
    pub fn is_supported(&self) -> bool {
        !self.services.is_empty()
    }

    /// Whether one of them runs.
    pub fn is_active(&self) -> bool {
        self.services.iter().any(|service| service.active)
    }

    /// Whether the first of them starts at boot.
    pub fn is_enabled(&self) -> Option<bool> {
        self.services.first().and_then(|service| service.enabled)
    }
}

/// What was switched, in words, or why not.
pub type Switched = Result<Vec<String>, String>;

/// Finds the time services of the host.
pub fn find(host: &mut dyn Host, env: &BTreeMap<String, String>) -> NtpServices {
    match manager(host.root()) {
        Manager::Systemd => systemd::find(host, env),
        Manager::Openrc => scripts::find(host, Manager::Openrc),
        _ => {
            let found = scripts::find(host, Manager::Scripts);
            if found.is_supported() { found } else { daemon::find(host) }
        }
    }
}

/// Starts the preferred service, now and at boot, or stops all of them.
///
/// # Errors
/// The reason, as a text.
pub fn switch(host: &mut dyn Host, services: &NtpServices, on: bool) -> Switched {
    match services.manager {
        Manager::Systemd => systemd::switch(host, services, on),
        Manager::Scripts | Manager::Openrc => scripts::switch(host, services, on),
        Manager::Nobody => daemon::switch(host, services, on),
    }
}

fn manager(root: &Path) -> Manager {
    if root.join("run/systemd/system").is_dir() {
        Manager::Systemd
    } else if root.join("run/openrc").is_dir() {
        Manager::Openrc
    } else {
        Manager::Scripts
    }
}

/// Directories of the lists; the same file name in an earlier one hides a later one.
const LIST_DIRS: &[&str] = &["etc", "run", "usr/local/lib", "usr/lib", "lib"];

/// The units of all `ntp-units.d/*.list` files, in the order of the file names, each once.
fn listed_units(root: &Path) -> Vec<String> {
    let mut files = BTreeMap::new();
    for dir in LIST_DIRS {
        let dir = root.join(dir).join("systemd/ntp-units.d");
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if Path::new(&name).extension().is_some_and(|e| e == "list") {
                files.entry(name).or_insert_with(|| entry.path());
            }
        }
    }
    let mut units = Vec::new();
    for path in files.values() {
        // a link to /dev/null reads as empty
        let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        add_units(&mut units, text.unwrap_or_default().lines());
    }
    units
}

fn add_units<'a>(units: &mut Vec<String>, names: impl Iterator<Item = &'a str>) {
    for name in names.map(str::trim).filter(|name| !name.starts_with('#') && is_plain_unit(name)) {
        if !units.iter().any(|unit| unit == name) {
            units.push(name.to_owned());
        }
    }
}

/// Suffixes of units (systemd.unit(5)).
const UNIT_SUFFIXES: &[&str] = &[
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "slice",
    "scope",
];

/// Whether a text is the name of a unit that is neither a template nor made from one.
fn is_plain_unit(name: &str) -> bool {
    let Some((stem, suffix)) = name.rsplit_once('.') else { return false };
    !stem.is_empty()
        && name.len() < 256
        && UNIT_SUFFIXES.contains(&suffix)
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\".contains(&b))
}

/// Whether a program of that name is installed below the root.
fn has_program(root: &Path, name: &str) -> bool {
    ["usr/sbin", "sbin", "usr/bin", "bin", "usr/local/sbin", "usr/local/bin"]
        .iter()
        .any(|dir| root.join(dir).join(name).exists())
}

/// What a failed program has to say: the last line of its stderr, or its name and code.
fn complaint(words: &[&str], ran: &super::host::Ran) -> String {
    let line = ran.stderr.lines().rev().find(|line| !line.trim().is_empty());
    line.map_or_else(|| format!("{} failed with status {}", words.join(" "), ran.code), ToOwned::to_owned)
}

#[cfg(test)]
mod tests;
