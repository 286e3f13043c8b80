//! Init scripts: chkconfig and service (RHEL 5 and 6), update-rc.d and invoke-rc.d (Debian), OpenRC.

use std::fs;

use super::{Manager, NtpServices, Service, Switched, complaint, has_program, listed_units};
use crate::sys::host::Host;

/// Scripts of the daemons that are known, after those of the lists.
const KNOWN: &[&str] = &["chronyd", "chrony", "ntpd", "ntpsec", "ntp", "openntpd"];
/// Directories of the links that start services: runlevels 2 (Debian) and 3 (RHEL).
const RC_DIRS: &[&str] = &["etc/rc3.d", "etc/rc.d/rc3.d", "etc/rc2.d"];

pub(super) fn find(host: &mut dyn Host, manager: Manager) -> NtpServices {
    let listed = listed_units(host.root());
    let mut names: Vec<String> =
        listed.iter().filter_map(|unit| unit.strip_suffix(".service")).map(ToOwned::to_owned).collect();
    names.extend(KNOWN.iter().map(|&name| name.to_owned()));
    let mut services: Vec<Service> = Vec::new();
    for name in names {
        let script = host.root().join("etc/init.d").join(&name);
        if services.iter().any(|service| service.name == name) || !script.is_file() {
            continue;
        }
        let words = status_words(host, manager, &name);
        let active = run(host, &words).is_ok();
        let enabled = Some(is_enabled(host, manager, &name));
        services.push(Service { name, active, enabled });
    }
    NtpServices { manager, services, stranger: None }
}

fn is_enabled(host: &dyn Host, manager: Manager, name: &str) -> bool {
    if manager == Manager::Openrc {
        return host.root().join("etc/runlevels/default").join(name).exists();
    }
    let starts = |entry: &fs::DirEntry| {
        let link = entry.file_name();
        let link = link.to_string_lossy();
        let digits = link.get(1..3).is_some_and(|two| two.bytes().all(|b| b.is_ascii_digit()));
        link.starts_with('S') && digits && link.get(3..) == Some(name)
    };
    let links = RC_DIRS.iter().filter_map(|dir| fs::read_dir(host.root().join(dir)).ok()).flatten().flatten();
    links.into_iter().any(|entry| starts(&entry))
}

pub(super) fn switch(host: &mut dyn Host, services: &NtpServices, on: bool) -> Switched {
    let mut notes = Vec::new();
    let mut error = None;
    for (index, service) in services.services.iter().enumerate() {
        let wanted = on && index == 0;
        let result = switch_one(host, services.manager, service, wanted);
        match result {
            Ok(done) => notes.extend(done),
            // as under systemd: the others being stopped is an extra when one is started
            Err(text) if on && !wanted => notes.push(text),
            Err(text) => error = Some(text),
        }
    }
    error.map_or(Ok(notes), Err)
}

/// Enables and starts, or stops and disables, whatever is not so yet; the note, if anything was done.
fn switch_one(
    host: &mut dyn Host,
    manager: Manager,
    service: &Service,
    on: bool,
) -> Result<Option<String>, String> {
    let name = service.name.as_str();
    let mut done = false;
    if service.enabled != Some(on) {
        enable(host, manager, name, on)?;
        done = true;
    }
    if service.active != on {
        let action = if on { "start" } else { "stop" };
        let words = action_words(host, manager, name, action);
        run(host, &words)?;
        done = true;
    }
    let what = if on { "enabled and started" } else { "disabled and stopped" };
    let by = match manager {
        Manager::Openrc => "OpenRC",
        _ => "its init script",
    };
    Ok((done || on).then(|| format!("{name} {what} by {by}")))
}

fn enable(host: &mut dyn Host, manager: Manager, name: &str, on: bool) -> Result<(), String> {
    let has = |program| has_program(host.root(), program);
    if manager == Manager::Openrc {
        return run(host, &words(&["rc-update", if on { "add" } else { "del" }, name, "default"]));
    }
    if has("chkconfig") {
        return run(host, &words(&["chkconfig", name, if on { "on" } else { "off" }]));
    }
    if has("update-rc.d") {
        let first = run(host, &words(&["update-rc.d", name, if on { "enable" } else { "disable" }]));
        return match first {
            // a script without any link yet
            Err(_) if on => run(host, &words(&["update-rc.d", name, "defaults"])),
            other => other,
        };
    }
    // nothing here keeps links: starting and stopping is all there is
    Ok(())
}

fn status_words(host: &dyn Host, manager: Manager, name: &str) -> Vec<String> {
    match manager {
        Manager::Openrc => words(&["rc-service", name, "status"]),
        _ if has_program(host.root(), "chkconfig") => words(&["service", name, "status"]),
        _ => words(&[&format!("/etc/init.d/{name}"), "status"]),
    }
}

fn action_words(host: &dyn Host, manager: Manager, name: &str, action: &str) -> Vec<String> {
    match manager {
        Manager::Openrc => words(&["rc-service", name, action]),
        _ if has_program(host.root(), "chkconfig") => words(&["service", name, action]),
        _ if has_program(host.root(), "invoke-rc.d") => words(&["invoke-rc.d", name, action]),
        _ => words(&[&format!("/etc/init.d/{name}"), action]),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn run(host: &mut dyn Host, words: &[String]) -> Result<(), String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match host.run(&words) {
        Ok(ran) if ran.is_success() => Ok(()),
        Ok(ran) => Err(complaint(&words, &ran)),
        Err(error) => Err(error.to_string()),
    }
}
