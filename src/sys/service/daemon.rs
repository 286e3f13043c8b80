//! No init system at all: our own daemon, found again by its pid file.

use std::fs;
use std::path::Path;

use super::{Manager, NtpServices, Service, Switched, complaint};
use crate::sys::host::Host;

const CONFIGS: &[&str] = &["etc/chrony.conf", "etc/chrony/chrony.conf"];
const DEFAULT_PID_FILE: &str = "/run/chrony/chronyd.pid";
/// Pid files of daemons that run beside us.
const OTHER_PID_FILES: &[&str] =
    &["/var/run/chrony/chronyd.pid", "/run/ntpd.pid", "/var/run/ntpd.pid", "/run/openntpd.pid"];
const DAEMONS: &[&str] = &["chronyd", "ntpd", "openntpd"];
const OURS: &str = "ntpbox";

pub(super) fn find(host: &mut dyn Host) -> NtpServices {
    let configured = config(host.root()).is_some();
    let running = running(host);
    let stranger = running.as_ref().filter(|found| !found.ours).map(|found| found.program.clone());
    let services = if configured {
        vec![Service { name: "chronyd".into(), active: running.is_some(), enabled: Some(false) }]
    } else {
        // without a configuration nothing can be started; a daemon that runs all the same is shown
        running
            .iter()
            .map(|found| Service { name: found.program.clone(), active: true, enabled: Some(false) })
            .collect()
    };
    NtpServices { manager: Manager::Nobody, services, stranger }
}

struct Running {
    pid: i32,
    program: String,
    ours: bool,
}

fn config(root: &Path) -> Option<String> {
    CONFIGS.iter().find_map(|path| fs::read_to_string(root.join(path)).ok())
}

/// The pid file of the configuration; `None` when it keeps none.
fn pid_file(config: &str) -> Option<String> {
    let directive = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        words.next().filter(|word| word.eq_ignore_ascii_case("pidfile"))?;
        words.next().map(ToOwned::to_owned)
    };
    let file = config.lines().filter_map(directive).next_back().unwrap_or_else(|| DEFAULT_PID_FILE.into());
    (file != "/").then_some(file)
}

fn running(host: &dyn Host) -> Option<Running> {
    let own = config(host.root()).map_or_else(|| Some(DEFAULT_PID_FILE.into()), |text| pid_file(&text));
    own.iter().map(String::as_str).chain(OTHER_PID_FILES.iter().copied()).find_map(|file| {
        let text = fs::read_to_string(host.root().join(file.trim_start_matches('/'))).ok()?;
        let pid = text.trim().parse().ok().filter(|&pid: &i32| pid > 1)?;
        let executable = host.executable_of(pid)?;
        let name = executable.file_name()?.to_string_lossy().trim_end_matches(" (deleted)").to_owned();
        let ours = name == OURS || host.own_executable().is_some_and(|own| own == executable);
        let known = ours || DAEMONS.contains(&name.as_str());
        known.then(|| Running { pid, program: if ours { "chronyd".into() } else { name }, ours })
    })
}

pub(super) fn switch(host: &mut dyn Host, services: &NtpServices, on: bool) -> Switched {
    let running = running(host);
    match (on, running) {
        (true, Some(found)) => Ok(vec![format!("{} (process {}) runs already", found.program, found.pid)]),
        (true, None) if config(host.root()).is_none() => Err("NTP not supported".into()),
        (true, None) => start(host),
        (false, None) => Ok(Vec::new()),
        (false, Some(found)) if !found.ours => {
            let name = services.stranger.clone().unwrap_or(found.program);
            Err(format!("{name} (process {}) is not ours to stop", found.pid))
        }
        (false, Some(found)) => {
            host.terminate(found.pid).map_err(|error| error.to_string())?;
            Ok(vec![format!("process {} of {} stopped", found.pid, found.program)])
        }
    }
}

/// Starts `chronyd` beside our own program, else from PATH, else as an applet of our own program.
fn start(host: &mut dyn Host) -> Switched {
    let own = host.own_executable();
    let beside =
        own.as_ref().and_then(|own| own.parent()).map(|dir| dir.join("chronyd")).filter(|p| p.exists());
    let mut tries: Vec<Vec<String>> = Vec::new();
    match beside {
        Some(path) => tries.push(vec![path.to_string_lossy().into_owned()]),
        None => {
            tries.push(vec!["chronyd".into()]);
            tries.extend(own.map(|own| vec![own.to_string_lossy().into_owned(), "chronyd".into()]));
        }
    }
    let mut missing = "NTP not supported".to_owned();
    for words in &tries {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match host.run(&words) {
            Ok(ran) if ran.is_success() => {
                return Ok(vec![format!(
                    "no init system: {} started; nothing starts it after a reboot",
                    words.join(" ")
                )]);
            }
            Ok(ran) => return Err(complaint(&words, &ran)),
            Err(error) => missing = error.to_string(),
        }
    }
    Err(missing)
}
