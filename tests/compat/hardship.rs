//! Our `chronyc` beside the original where the daemon hangs, comes back, or does not let us in; and read by other programs.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::namespace::{Finished, Host, Lab, Process, wait_until};
use super::peer::{Package, our};
use crate::support::schema::check_output;

const LIMIT: Duration = Duration::from_secs(20);

/// A daemon that follows nobody, in a folder of this mode; the path of its socket.
fn start(host: &Host, chronyd: &Path, mode: &str) -> (Process, String) {
    let name = format!("own{mode}");
    assert_eq!(host.sh(&format!("mkdir -p {name} && chmod {mode} {name}")).code, Some(0));
    let folder = host.dir().join(name).display().to_string();
    let text = format!(
        "bindcmdaddress {folder}/s.sock\npidfile {folder}/pid\nport 0\nlocal stratum 9\nserver 127.0.0.9 offline\n"
    );
    let config = host.file("conf", &text);
    let mut daemon = host.spawn(chronyd, &["-x", "-d", "-u", "root", "-f", &config]);
    let starts = wait_until(LIMIT, || daemon.has_ended() || Path::new(&format!("{folder}/pid")).exists());
    assert!(starts && !daemon.has_ended(), "it does not start:\n{}", daemon.err());
    (daemon, format!("{folder}/s.sock"))
}

fn facts(ran: &Finished) -> (&str, &str, Option<i32>) {
    (&ran.out, &ran.err, ran.code)
}

/// Both daemons, one after the other.
fn daemons() -> Vec<std::path::PathBuf> {
    [Some(Package::ChronySid.program("chronyd")), our("chronyd")].into_iter().flatten().collect()
}

#[test]
fn a_daemon_that_hangs_is_given_up_and_answers_when_it_goes_on() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let Some(ours) = our("chronyc") else { return };
    let original = Package::ChronySid.program("chronyc");
    for chronyd in daemons() {
        let host = lab.host();
        let (daemon, socket) = start(&host, &chronyd, "700");
        let hosts = format!("{socket},127.0.0.1");
        let ask = |words: &[&str]| {
            let patience = ["-m", "timeout 100", "retries 1"];
            let mine = host.run(&ours, &[&["-n", "-h", &hosts], &patience[..], words].concat());
            let theirs =
                host.run(&original, &[&["-u", "root", "-n", "-h", &hosts], &patience[..], words].concat());
            assert_eq!(facts(&mine), facts(&theirs), "{words:?}");
            mine
        };
        daemon.signal(Signal::SIGSTOP);
        let hung = ask(&["activity"]);
        assert_eq!((hung.out.as_str(), hung.code), ("506 Cannot talk to daemon\n", Some(1)), "{hung:?}");
        // 300 ms an address, and what starting costs on a busy machine
        assert!(hung.took >= Duration::from_millis(600) && hung.took < Duration::from_secs(10), "{hung:?}");
        daemon.signal(Signal::SIGCONT);
        let again = ask(&["activity"]);
        assert_eq!(again.code, Some(0), "{again:?}");
        // nothing that was given up has stopped it from answering
        assert_eq!(ask(&["sources", "tracking"]).code, Some(0));
    }
}

#[test]
fn who_is_not_root_reads_over_udp_and_may_do_nothing() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let Some(ours) = our("chronyc") else { return };
    let original = Package::ChronySid.program("chronyc");
    for chronyd in daemons() {
        let host = lab.host();
        let (_daemon, socket) = start(&host, &chronyd, "700");
        let hosts = format!("{socket},127.0.0.1,::1");
        let run = |program: &Path, command: &str| {
            let words: Vec<&str> = command.split(' ').collect();
            host.run(program, &[&["-u", "nobody", "-n", "-h", &hosts], &words[..]].concat())
        };
        for (command, code) in [
            ("activity", 0),
            ("sources", 0),
            ("sourcestats", 0),
            ("sourcename 127.0.0.9", 0),
            ("manual list", 0),
            ("makestep", 1),
            ("online", 1),
            ("serverstats", 1),
            ("clients", 1),
            ("add server 127.0.0.44", 1),
        ] {
            let (mine, theirs) = (run(&ours, command), run(&original, command));
            assert_eq!(facts(&mine), facts(&theirs), "{command}");
            assert_eq!(mine.code, Some(code), "{command}: {mine:?}");
            assert_eq!(mine.out.ends_with("501 Not authorised\n"), code == 1, "{command}: {mine:?}");
        }
    }
}

#[test]
fn a_folder_that_others_may_enter_leaves_udp() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let Some(ours) = our("chronyc") else { return };
    let original = Package::ChronySid.program("chronyc");
    for chronyd in daemons() {
        let host = lab.host();
        let (daemon, socket) = start(&host, &chronyd, "755");
        let log = daemon.err();
        assert!(log.contains("Wrong permissions on ") && log.contains("Disabled command socket "), "{log}");
        let hosts = format!("{socket},127.0.0.1");
        for command in ["activity", "makestep"] {
            let mine = host.run(&ours, &["-h", &hosts, command]);
            let theirs = host.run(&original, &["-u", "root", "-h", &hosts, command]);
            assert_eq!(facts(&mine), facts(&theirs), "{command}");
        }
    }
}

#[test]
fn jq_finds_the_numbers() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let (Some(chronyc), Some(chronyd)) = (our("chronyc"), our("chronyd")) else { return };
    let host = lab.host();
    if host.sh("command -v jq").code != Some(0) {
        crate::asked::skipped("no jq");
        return;
    }
    let (_daemon, socket) = start(&host, &chronyd, "700");
    for (report, path, shown) in [
        ("tracking", ".data.offset_s", "0"),
        ("tracking", ".data.stratum", "9"),
        ("sources", ".data.sources[0].offset_s", "null"),
        ("sourcestats", ".data.sources[0].samples", "0"),
        ("activity", ".data.offline", "1"),
        ("serverstats", ".ok", "true"),
        ("smoothing", ".error.legacy", "\"505 Facility not enabled in daemon\""),
    ] {
        let ran =
            host.sh(&format!("{} -h {socket} --json {report} 2>/dev/null | jq '{path}'", chronyc.display()));
        let number = ran.out.trim();
        // a zero of any spelling
        let same = number == shown || (shown == "0" && number.parse::<f64>() == Ok(0.0));
        assert!(same, "{report} {path}: {ran:?}");
        check_output(&host.run(&chronyc, &["-h", &socket, "--json", report]).out);
    }
}
