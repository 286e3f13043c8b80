use std::collections::BTreeMap;

use super::*;
use crate::sys::host::fake::{FakeHost, complained, said};

fn no_env() -> BTreeMap<String, String> {
    BTreeMap::new()
}

#[test]
fn unit_names() {
    for good in ["chrony.service", "systemd-timesyncd.service", "a\\x2db.service", "x.socket"] {
        assert!(is_plain_unit(good), "{good}");
    }
    for bad in ["chrony", "bad name.service", "t@.service", "t@1.service", ".service", "x.conf", ""] {
        assert!(!is_plain_unit(bad), "{bad}");
    }
}

#[test]
fn timedateds_own_environment_is_looked_at() {
    let mut host = FakeHost::new(0);
    fs::create_dir_all(host.root().join("run/systemd/system")).unwrap();
    host.programs = Box::new(|words| {
        let environment = |name: &&str| match *name {
            "systemd-timedated.service" => "A=1 SYSTEMD_TIMEDATED_NTP_SERVICES=ntpd.service",
            _ => "",
        };
        let names = words.iter().filter(|word| word.ends_with(".service"));
        let block = |name| {
            format!(
                "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nEnvironment={}\n",
                environment(name)
            )
        };
        said(&names.map(block).collect::<Vec<_>>().join("\n"))
    });
    let found = find(&mut host, &no_env());
    assert_eq!(found.services.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["ntpd.service"]);
}

/// Init scripts whose state is in two files below the root.
fn scripts(host: &mut FakeHost, programs: &[&str], names: &[&str]) {
    for program in programs {
        host.write(&format!("usr/sbin/{program}"), "");
    }
    for name in names {
        host.write(&format!("etc/init.d/{name}"), "");
    }
    let root = host.root().to_path_buf();
    host.programs = Box::new(move |words| {
        let running = |name: &str| root.join(format!("running-{name}"));
        let link = |name: &str| root.join(format!("etc/rc3.d/S58{name}"));
        let touch = |path: &Path, on: bool| {
            if on {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            } else {
                let _ = fs::remove_file(path);
            }
            said("")
        };
        let name_of = |word: &str| word.rsplit('/').next().unwrap().to_owned();
        match words {
            ["chkconfig", name, state] => touch(&link(name), *state == "on"),
            ["update-rc.d", name, "enable"] if !link(name).exists() => {
                complained(1, &format!("update-rc.d: error: no runlevel symlinks to modify: {name}\n"))
            }
            ["update-rc.d", name, state] => touch(&link(name), *state != "disable"),
            ["rc-update", state, name, "default"] => {
                touch(&root.join(format!("etc/runlevels/default/{name}")), *state == "add")
            }
            ["service" | "rc-service" | "invoke-rc.d", name, "status"] => {
                if running(name).exists() {
                    said("")
                } else {
                    complained(3, "")
                }
            }
            [script, "status"] => {
                if running(&name_of(script)).exists() {
                    said("")
                } else {
                    complained(3, "")
                }
            }
            ["invoke-rc.d", _, "start"] if root.join("forbidden").exists() => {
                complained(101, "invoke-rc.d: policy-rc.d denied execution of start.\n")
            }
            [_, name, action] => touch(&running(name), *action == "start"),
            _ => None,
        }
    });
}

fn states(host: &mut FakeHost) -> Vec<String> {
    let found = find(host, &no_env());
    found.services.iter().map(|s| format!("{} {} {:?}", s.name, s.active, s.enabled)).collect()
}

fn switched(host: &mut FakeHost, on: bool) -> Switched {
    let found = find(host, &no_env());
    switch(host, &found, on)
}

#[test]
fn chkconfig_and_service() {
    let mut host = FakeHost::new(0);
    scripts(&mut host, &["chkconfig"], &["ntpd", "chronyd", "sshd"]);
    host.write("running-ntpd", "");
    assert_eq!(find(&mut host, &no_env()).manager, Manager::Scripts);
    assert_eq!(states(&mut host), ["chronyd false Some(false)", "ntpd true Some(false)"]);
    assert_eq!(
        switched(&mut host, true),
        Ok(vec![
            "chronyd enabled and started by its init script".into(),
            "ntpd disabled and stopped by its init script".into()
        ])
    );
    assert_eq!(states(&mut host), ["chronyd true Some(true)", "ntpd false Some(false)"]);
    assert!(host.calls.contains(&"chkconfig chronyd on".into()));
    assert!(host.calls.contains(&"service chronyd start".into()));
    assert!(switched(&mut host, false).is_ok());
    assert_eq!(states(&mut host), ["chronyd false Some(false)", "ntpd false Some(false)"]);
}

#[test]
fn update_rc_d_and_invoke_rc_d() {
    let mut host = FakeHost::new(0);
    scripts(&mut host, &["update-rc.d", "invoke-rc.d"], &["ntpsec"]);
    assert!(switched(&mut host, true).is_ok());
    assert_eq!(states(&mut host), ["ntpsec true Some(true)"]);
    assert!(host.calls.contains(&"update-rc.d ntpsec defaults".into()));
    assert!(host.calls.contains(&"/etc/init.d/ntpsec status".into()));
    assert!(switched(&mut host, false).is_ok());
    host.write("forbidden", "");
    let refused = Err("invoke-rc.d: policy-rc.d denied execution of start.".into());
    assert_eq!(switched(&mut host, true), refused);
}

#[test]
fn openrc() {
    let mut host = FakeHost::new(0);
    fs::create_dir_all(host.root().join("run/openrc")).unwrap();
    scripts(&mut host, &[], &["chronyd"]);
    assert_eq!(find(&mut host, &no_env()).manager, Manager::Openrc);
    assert_eq!(switched(&mut host, true), Ok(vec!["chronyd enabled and started by OpenRC".into()]));
    assert_eq!(states(&mut host), ["chronyd true Some(true)"]);
}

#[test]
fn the_lists_come_before_what_is_known() {
    let mut host = FakeHost::new(0);
    scripts(&mut host, &["chkconfig"], &["chronyd", "ptp"]);
    host.write("etc/systemd/ntp-units.d/10.list", "ptp.service\n");
    assert_eq!(states(&mut host), ["ptp false Some(false)", "chronyd false Some(false)"]);
}

#[test]
fn our_daemon_by_its_pid_file() {
    let mut host = FakeHost::new(0);
    host.programs = Box::new(|words| (words == ["chronyd"]).then(|| said("")).flatten());
    // no configuration, nothing that runs
    assert!(!find(&mut host, &no_env()).is_supported());
    host.write("etc/chrony.conf", "server 192.0.2.1\npidfile /run/x.pid\n");
    assert_eq!(states(&mut host), ["chronyd false Some(false)"]);
    assert!(switched(&mut host, true).unwrap()[0].starts_with("no init system: chronyd started"));
    host.write("run/x.pid", "4711\n");
    // a pid file whose process is gone, or is something else, counts for nothing
    assert_eq!(states(&mut host), ["chronyd false Some(false)"]);
    host.executables.insert(4711, "/bin/sh".into());
    assert_eq!(states(&mut host), ["chronyd false Some(false)"]);
    host.executables.insert(4711, "/opt/ntpbox (deleted)".into());
    assert_eq!(states(&mut host), ["chronyd true Some(false)"]);
    assert_eq!(switched(&mut host, true), Ok(vec!["chronyd (process 4711) runs already".into()]));
    assert_eq!(switched(&mut host, false), Ok(vec!["process 4711 of chronyd stopped".into()]));
    assert!(host.calls.contains(&"kill 4711".into()));
    assert_eq!(switched(&mut host, false), Ok(vec![]));
}

#[test]
fn a_daemon_of_others_is_seen_and_left_alone() {
    let mut host = FakeHost::new(0);
    host.write("etc/chrony.conf", "");
    host.write("run/ntpd.pid", "99");
    host.executables.insert(99, "/usr/sbin/ntpd".into());
    assert_eq!(states(&mut host), ["chronyd true Some(false)"]);
    assert_eq!(switched(&mut host, false), Err("ntpd (process 99) is not ours to stop".into()));
    assert!(!host.calls.iter().any(|call| call.starts_with("kill")));
}
