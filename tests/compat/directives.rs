//! Directives whose effect only shows on the wire or in the log: the same on both sides (`PEER=theirs`).

use std::time::Duration;

use super::daemon::{Daemon, Kind, Setup, probe};
use super::namespace::{Host, Lab, Process, wait_until};
use super::peer::{Package, tool};

const LIMIT: Duration = Duration::from_secs(20);

/// `chronyd -d -x` with these lines.
fn start(host: &Host, lines: &str) -> Option<Process> {
    let chronyd = tool("chronyd")?;
    let dir = host.dir().display();
    let text = format!("user root\npidfile {dir}/under.pid\nbindcmdaddress {dir}/run/under.sock\n{lines}");
    let config = host.file("under.conf", &text);
    Some(host.spawn(chronyd, &["-d", "-x", "-f", config.as_str()]))
}

#[test]
fn initstepslew_measures_before_anything_else() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let (server, client) = (lab.host(), lab.host());
    let _daemon = Daemon::start(&server, Kind::Chrony49, &Setup::default());
    let at = server.ip4();
    let lines = format!("initstepslew 10 {at} nosuch.invalid\nserver {at} iburst\nlocal stratum 9\nallow\n");
    let Some(process) = start(&client, &lines) else { return };
    let said = |text: &str| process.err().contains(text);
    let offset = || said("System's initial offset : 0.0") && said(" of true (slew)");
    assert!(wait_until(LIMIT, offset), "{}", process.err());
    assert!(said("Could not resolve address of initstepslew server nosuch.invalid"), "{}", process.err());
    assert!(!said("Selected source"), "{}", process.err());
    assert!(wait_until(LIMIT, || said("Selected source")), "{}", process.err());
    process.assert_harmless();
}

#[test]
fn initstepslew_gives_up_after_ten_seconds() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    // nobody serves there; on an address of its own the original would answer itself
    let (client, idle) = (lab.host(), lab.host());
    let lines = format!("initstepslew 1 {}\nlocal stratum 9\nallow\n", idle.ip4());
    let Some(process) = start(&client, &lines) else { return };
    let gave_up = || process.err().contains("No suitable source for initstepslew");
    assert!(wait_until(LIMIT, gave_up), "{}", process.err());
    assert!(wait_until(LIMIT, || probe(&client).is_some_and(|reply| reply.stratum.get() == 9)));
}

#[test]
fn smoothed_time_is_served_as_such() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let host = lab.host();
    let run = host.dir().join("run");
    std::fs::create_dir(&run).unwrap();
    std::fs::set_permissions(&run, std::os::unix::fs::PermissionsExt::from_mode(0o750)).unwrap();
    let Some(process) = start(&host, "local stratum 3\nallow\nsmoothtime 400 10\n") else { return };
    let chronyc = Package::ChronySid.program("chronyc");
    let socket = run.join("under.sock").display().to_string();
    let ask = |command: &str| {
        let words = ["-u", "root", "-h", &socket, "-c"].into_iter().chain(command.split(' '));
        host.run(&chronyc, &words.collect::<Vec<_>>()).out
    };
    assert!(wait_until(LIMIT, || ask("smoothing").starts_with("No,,0.000000000,")), "{}", process.err());
    let refid = || probe(&host).expect("it serves").refid.to_bits();
    assert_eq!(ask("smoothtime activate").trim(), "200 OK");
    assert_eq!(refid(), 0x7F7F_0101);
    assert_eq!(ask("doffset 0.01").trim(), "200 OK");
    let shown = ask("smoothing");
    let number = |field: usize| shown.trim().split(',').nth(field).unwrap().parse::<f64>().unwrap();
    assert!(shown.starts_with("Yes,,0.00") && (number(2) - 0.01).abs() < 2e-3, "{shown}");
    assert!(number(3) < 0.0 && (number(4) + 10.0).abs() < 1e-6, "{shown}");
    assert!((number(5) + number(6) - 63.2).abs() < 0.3, "{shown}");
    assert_eq!(refid(), 0x7F7F_01FF);
    assert_eq!(ask("smoothtime reset").trim(), "200 OK");
    assert!(ask("smoothing").starts_with("Yes,,0.000000000,0.000000,0.000000,"), "{}", ask("smoothing"));
    assert_eq!(refid(), 0x7F7F_0101);
    let log = process.err();
    assert!(log.contains("Activated time smoothing\n") && log.contains("Reset time smoothing\n"), "{log}");
    process.assert_harmless();
}
