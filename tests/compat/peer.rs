//! Programs: of Debian packages, unpacked beside this system, and our own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::asked::skipped;
use crate::support::cli;

/// Whose client a test runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The applet of this box.
    Ours,
    /// The original.
    Theirs,
}

/// By the environment variable `PEER`: `ours` (default) or `theirs`.
pub(crate) fn side() -> Side {
    match std::env::var_os("PEER").unwrap_or_default().to_str() {
        Some("" | "ours") => Side::Ours,
        Some("theirs") => Side::Theirs,
        other => panic!("PEER={other:?}: ours or theirs"),
    }
}

/// A Debian package with the suite it comes from, as `tests/compat/get` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Package {
    /// chronyd and chronyc 4.9.
    ChronySid,
    /// chronyd and chronyc 4.6.1.
    ChronyTrixie,
    /// chronyd and chronyc of this system's suite.
    ChronyHere,
    /// collectd, whose chrony plugin speaks the protocol by itself.
    Collectd,
    /// ntpd, ntpq, ntptime … 4.2.8p15.
    Ntp428,
    /// ntpdate 4.2.8p15.
    Ntpdate428,
    /// NTPsec's ntpd, ntpq ….
    Ntpsec,
    /// NTPsec's ntpdig.
    NtpsecNtpdig,
    /// OpenNTPD.
    Openntpd,
    /// check_ntp_peer, check_ntp_time.
    MonitoringPlugins,
    /// The script `ntpstat`.
    Ntpstat,
}

impl Package {
    fn name(self) -> &'static str {
        match self {
            Self::ChronySid => "chrony@sid",
            Self::ChronyTrixie => "chrony@trixie",
            Self::ChronyHere => "chrony",
            Self::Collectd => "collectd-core",
            Self::Ntp428 => "ntp@bullseye",
            Self::Ntpdate428 => "ntpdate@bullseye",
            Self::Ntpsec => "ntpsec",
            Self::NtpsecNtpdig => "ntpsec-ntpdig",
            Self::Openntpd => "openntpd",
            Self::MonitoringPlugins => "monitoring-plugins-basic",
            Self::Ntpstat => "ntpstat",
        }
    }

    /// The folder of its programs, fetched on first use; else the reason.
    pub(crate) fn bin(self) -> Result<PathBuf, String> {
        // one at a time: the first use fetches
        static HAD: Mutex<BTreeMap<Package, Result<PathBuf, String>>> = Mutex::new(BTreeMap::new());
        HAD.lock().unwrap_or_else(|e| e.into_inner()).entry(self).or_insert_with(|| self.fetch()).clone()
    }

    fn fetch(self) -> Result<PathBuf, String> {
        let get = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/get");
        let ran =
            Command::new(get).arg(self.name()).output().map_err(|e| format!("tests/compat/get: {e}"))?;
        if ran.status.success() {
            return Ok(PathBuf::from(String::from_utf8_lossy(&ran.stdout).trim()));
        }
        let error = String::from_utf8_lossy(&ran.stderr);
        Err(format!(
            "{} is not to be had: {}",
            self.name(),
            error.trim().lines().last().unwrap_or("no reason given")
        ))
    }

    /// One of its programs.
    pub(crate) fn program(self, name: &str) -> PathBuf {
        self.bin().expect("Lab::open was told of this package").join(name)
    }
}

/// The client of this name on the side that `PEER` names; `None` with a printed reason when it is not there.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    match side() {
        Side::Ours => our(name),
        Side::Theirs => {
            let package = match name {
                "ntpdate" => Package::Ntpdate428,
                "ntpq" => Package::Ntp428,
                "chronyc" | "chronyd" => Package::ChronySid,
                _ => panic!("{name}: no original is known here"),
            };
            package.bin().map_err(|reason| skipped(&reason)).ok().map(|bin| bin.join(name))
        }
    }
}

/// Our applet of this name, behind a link as it is installed.
pub(crate) fn our(name: &str) -> Option<PathBuf> {
    if ntpbox::applets::find(name, true).is_none() {
        skipped(&format!("ntpbox has no {name}"));
        return None;
    }
    Some(cli::bin().join(name))
}
