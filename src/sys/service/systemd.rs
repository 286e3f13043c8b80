//! systemd through systemctl, with the semantics of timedated 243 and later.

use std::collections::BTreeMap;

use super::{Manager, NtpServices, Service, Switched, add_units, complaint, listed_units};
use crate::sys::host::Host;

const OVERRIDE: &str = "SYSTEMD_TIMEDATED_NTP_SERVICES";
const TIMEDATED: &str = "systemd-timedated.service";

/// A block of `systemctl show`.
struct Unit {
    load: String,
    active: String,
    file: String,
    environment: String,
}

pub(super) fn find(host: &mut dyn Host, env: &BTreeMap<String, String>) -> NtpServices {
    let mut names = listed_units(host.root());
    if let Some(list) = env.get(OVERRIDE) {
        names.clear();
        add_units(&mut names, list.split(':'));
    }
    let mut units = show(host, &names, env.contains_key(OVERRIDE));
    if units.len() > names.len() {
        // the daemon's own environment, where a distribution sets the list that way
        let list = units.pop().and_then(|timedated| override_of(&timedated.environment));
        if let Some(list) = list {
            names.clear();
            add_units(&mut names, list.split(':'));
            units = show(host, &names, true);
        }
    }
    let loaded = names.into_iter().zip(units).filter(|(_, unit)| unit.load == "loaded");
    let services = loaded.map(|(name, unit)| Service {
        name,
        active: !matches!(unit.active.as_str(), "inactive" | "failed" | ""),
        enabled: Some(unit.file == "enabled"),
    });
    NtpServices { manager: Manager::Systemd, services: services.collect(), stranger: None }
}

/// Asks for all units at once; the last block is timedated's unless `plain`.
fn show(host: &mut dyn Host, names: &[String], plain: bool) -> Vec<Unit> {
    let mut words = vec!["systemctl", "--no-pager", "show"];
    for property in ["LoadState", "ActiveState", "UnitFileState", "Environment"] {
        words.extend(["-p", property]);
    }
    words.extend(names.iter().map(String::as_str));
    if !plain {
        words.push(TIMEDATED);
    } else if names.is_empty() {
        return Vec::new();
    }
    match host.run(&words) {
        Ok(ran) => ran.stdout.trim().split("\n\n").map(block).collect(),
        Err(_) => Vec::new(),
    }
}

fn block(text: &str) -> Unit {
    let value = |key: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_default().to_owned()
    };
    Unit {
        load: value("LoadState"),
        active: value("ActiveState"),
        file: value("UnitFileState"),
        environment: value("Environment"),
    }
}

/// The variable in a line `A=1 "B=2 3"`.
fn override_of(environment: &str) -> Option<String> {
    let words = environment.split_ascii_whitespace().map(|word| word.trim_matches('"'));
    words.filter_map(|word| word.strip_prefix(OVERRIDE)?.strip_prefix('=')).next_back().map(ToOwned::to_owned)
}

pub(super) fn switch(host: &mut dyn Host, services: &NtpServices, on: bool) -> Switched {
    let mut notes = Vec::new();
    let mut error = None;
    let mut chosen = false;
    for service in &services.services {
        let unit = service.name.as_str();
        if on && !chosen {
            match enable(host, service) {
                Ok(()) => {
                    chosen = true;
                    notes.push(match systemctl(host, &["start", unit]) {
                        Ok(()) => format!("{unit} enabled and started by systemd"),
                        Err(text) => format!("{unit} enabled in systemd, but not started: {text}"),
                    });
                    continue;
                }
                Err(text) => error = Some(text),
            }
        } else if service.enabled == Some(true) {
            match systemctl(host, &["disable", unit]) {
                Ok(()) => {}
                Err(text) if !on => error = Some(text),
                Err(text) => notes.push(format!("{unit} not disabled: {text}")),
            }
        }
        match systemctl(host, &["stop", unit]) {
            Ok(()) if !on => notes.push(format!("{unit} disabled and stopped by systemd")),
            Ok(()) => {}
            Err(text) if !on => error = Some(text),
            Err(text) => notes.push(format!("{unit} not stopped: {text}")),
        }
    }
    match error {
        Some(text) if !chosen => Err(text),
        _ if on && !chosen => Err("No such file or directory".into()),
        _ => Ok(notes),
    }
}

fn enable(host: &mut dyn Host, service: &Service) -> Result<(), String> {
    match service.enabled {
        Some(true) => Ok(()),
        _ => systemctl(host, &["--force", "enable", &service.name]),
    }
}

fn systemctl(host: &mut dyn Host, words: &[&str]) -> Result<(), String> {
    let all: Vec<&str> = ["systemctl", "--no-ask-password", "--quiet"].iter().chain(words).copied().collect();
    match host.run(&all) {
        Ok(ran) if ran.is_success() => Ok(()),
        Ok(ran) => {
            let line = complaint(&all, &ran);
            // the bus gives the reason without systemctl's "Failed to enable unit: "
            let reason = line.strip_prefix("Failed to ").and_then(|rest| rest.split_once(": "));
            Err(reason.map_or(line.as_str(), |(_, reason)| reason).to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}
