//! Our chronyd asked by the original `chronyc` of three generations, and by ours beside it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::namespace::{Finished, Host, Lab, Process, wait_until};
use super::peer::{Package, our};

/// Of the daemon under test: one folder that is its own, a second address that is not the loopback's.
const SETTINGS: &str = "local stratum 7\nallow 127.0.0.0/8\ncmdallow 127.0.0.6\n";
/// How long it may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(20);

/// What every generation can ask, and what our daemon answers while it follows no source: first line, exit code.
const ANSWERS: &[(&str, &str, i32)] = &[
    ("sources", "MS Name/IP address         Stratum Poll Reach LastRx Last sample               ", 0),
    ("sourcestats", "Name/IP Address            NP  NR  Span  Frequency  Freq Skew  Offset  Std Dev", 0),
    ("selectdata", "S Name/IP Address        Auth COpts EOpts Last Score     Interval  Leap", 0),
    ("authdata", "Name/IP address             Mode KeyID Type KLen Last Atmp  NAK Cook CLen", 0),
    ("tracking", "Reference ID    : 7F7F0101 ()", 0),
    ("activity", "200 OK", 0),
    ("ntpdata", "", 0),
    ("serverstats", "NTP packets received       : 0", 0),
    ("clients", "Hostname                      NTP   Drop Int IntL Last     Cmd   Drop Int  Last", 0),
    ("clients -k", "Hostname                      NTP   Drop Int IntL Last  NTS-KE   Drop Int  Last", 0),
    ("smoothing", "505 Facility not enabled in daemon", 1),
    ("rtcdata", "513 RTC driver not running", 1),
    ("manual list", "210 n_samples = 0", 0),
    ("sourcename 127.0.0.1", "503 No such source", 1),
    ("ntpdata 127.0.0.1", "503 No such source", 1),
    ("online", "503 No such source", 1),
    ("offline 127.0.0.1", "503 No such source", 1),
    ("burst 1/2", "503 No such source", 1),
    ("onoffline", "200 OK", 0),
    ("minpoll 127.0.0.1 3", "503 No such source", 1),
    ("maxdelay 127.0.0.1 0.1", "503 No such source", 1),
    ("delete 127.0.0.1", "503 No such source", 1),
    ("refresh", "200 OK", 0),
    ("reload sources", "200 OK", 0),
    ("reset sources", "200 OK", 0),
    ("reselect", "200 OK", 0),
    ("reselectdist 0.001", "200 OK", 0),
    ("makestep", "500 Failure", 1),
    ("makestep 0.1 3", "200 OK", 0),
    ("maxupdateskew 10", "200 OK", 0),
    ("allow 10.0.0.0/8", "200 OK", 0),
    ("deny 10.1", "200 OK", 0),
    ("accheck 10.0.0.1", "208 Access allowed", 0),
    ("accheck 10.1.0.1", "209 Access denied", 0),
    ("cmdallow 10.2", "200 OK", 0),
    ("cmdaccheck 10.2.3.4", "208 Access allowed", 0),
    ("cmddeny all 10", "200 OK", 0),
    ("cmdaccheck 10.2.3.4", "209 Access denied", 0),
    ("local off", "200 OK", 0),
    ("tracking", "Reference ID    : 00000000 ()", 0),
    ("local stratum 7 distance 0.5", "200 OK", 0),
    ("tracking", "Reference ID    : 7F7F0101 ()", 0),
    ("manual delete 0", "516 Sample index out of range", 1),
    ("settime 12:00", "505 Facility not enabled in daemon", 1),
    ("smoothtime reset", "505 Facility not enabled in daemon", 1),
    ("trimrtc", "513 RTC driver not running", 1),
    ("writertc", "513 RTC driver not running", 1),
    ("cyclelogs", "200 OK", 0),
    ("dump", "200 OK", 0),
    ("rekey", "200 OK", 0),
];

/// What the Unix socket is for.
const PRIVATE: &[&str] =
    &["makestep", "serverstats", "clients", "ntpdata 127.0.0.1", "shutdown", "local off"];

fn start(host: &Host, settings: &str, mode: &str) -> Option<(Process, String)> {
    let chronyd = our("chronyd")?;
    let folder = host.dir().join("own");
    assert_eq!(host.sh(&format!("mkdir -p own && chmod {mode} own")).code, Some(0));
    let folder = folder.to_str().unwrap();
    let text = format!("bindcmdaddress {folder}/s.sock\npidfile {folder}/pid\n{settings}");
    let config = host.file("ours.conf", &text);
    let mut process = host.spawn(&chronyd, &["-x", "-d", "-u", "root", "-f", &config]);
    let starts =
        wait_until(START_LIMIT, || process.has_ended() || Path::new(&format!("{folder}/pid")).exists());
    assert!(starts && !process.has_ended(), "it does not start:\n{}", process.err());
    process.assert_harmless();
    Some((process, format!("{folder}/s.sock")))
}

/// The clients: ours and three generations.
fn clients() -> Vec<(PathBuf, &'static [&'static str])> {
    let theirs = |package: Package, options: &'static [&'static str]| (package.program("chronyc"), options);
    let mut all: Vec<(PathBuf, &'static [&'static str])> = vec![
        theirs(Package::ChronySid, &["-u", "root"]),
        theirs(Package::ChronyTrixie, &[]),
        theirs(Package::ChronyHere, &[]),
    ];
    all.extend(our("chronyc").map(|ours| (ours, &[][..])));
    all
}

fn ask(host: &Host, client: &(PathBuf, &[&str]), options: &[&str], command: &str) -> Finished {
    let words: Vec<&str> = client.1.iter().chain(options).copied().chain(command.split(' ')).collect();
    host.run(&client.0, &words)
}

const PACKAGES: [Package; 3] = [Package::ChronySid, Package::ChronyTrixie, Package::ChronyHere];

#[test]
fn every_generation_is_answered() {
    let Some(lab) = Lab::open(&PACKAGES) else { return };
    let host = lab.host();
    let Some((mut daemon, socket)) = start(&host, SETTINGS, "700") else { return };
    for client in &clients() {
        for (command, line, code) in ANSWERS {
            let ran = ask(&host, client, &["-n", "-h", &socket], command);
            let first = ran.out.lines().next().unwrap_or_default();
            assert_eq!((first, ran.code), (*line, Some(*code)), "{} {command}: {ran:?}", client.0.display());
        }
        // over UDP some may be read; nothing may be done
        for address in ["127.0.0.1", "::1"] {
            assert_eq!(ask(&host, client, &["-n", "-h", address], "tracking").code, Some(0));
            for command in PRIVATE {
                let ran = ask(&host, client, &["-n", "-h", address], command);
                let last = ran.out.lines().last().unwrap_or_default();
                assert_eq!((last, ran.code), ("501 Not authorised", Some(1)), "{command}: {ran:?}");
            }
        }
    }
    let asker = &clients()[0];
    assert_eq!(ask(&host, asker, &["-h", &socket], "shutdown").out, "200 OK\n");
    let status = daemon.wait(Duration::from_secs(5));
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", daemon.err());
    assert!(!Path::new(&socket).exists() && daemon.err().trim_end().ends_with("chronyd exiting"));
}

#[test]
fn ours_and_the_original_print_the_same_of_our_daemon() {
    let Some(lab) = Lab::open(&PACKAGES) else { return };
    let host = lab.host();
    let Some((_daemon, socket)) = start(&host, SETTINGS, "770") else { return };
    let all = clients();
    let [theirs, .., ours] = all.as_slice() else { return };
    for (command, ..) in ANSWERS {
        for options in [&["-n"][..], &["-N"], &["-c"]] {
            let options = [options, &["-h", &socket]].concat();
            let run = |client| {
                let ran = ask(&host, client, &options, command);
                (still(&ran.out), ran.err, ran.code)
            };
            // a second may pass between the two
            let same = (0..5).any(|_| run(theirs) == run(ours));
            assert!(same, "{command} {options:?}: {:?} {:?}", run(theirs), run(ours));
        }
    }
}

/// Without the counter of commands.
fn still(text: &str) -> String {
    let line = |line: &str| match (line.starts_with("Command packets received"), line.split(',').count()) {
        (true, _) => "moves\n".to_owned(),
        (_, 17) => line.split(',').enumerate().map(|(i, f)| if i == 2 { "moves," } else { f }).collect(),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn strangers_hear_nothing_and_a_folder_of_others_holds_no_socket() {
    let Some(lab) = Lab::open(&PACKAGES) else { return };
    let host = lab.host();
    let settings = format!("{SETTINGS}bindcmdaddress 0.0.0.0\nopencommands serverstats authdata tracking\n");
    let Some((daemon, socket)) = start(&host, &settings, "755") else { return };
    assert!(
        daemon.err().contains("Wrong permissions on ") && daemon.err().contains("Disabled command socket ")
    );
    assert!(!Path::new(&socket).exists());
    // from 127.0.0.x: the daemon answers .1 and, by cmdallow, .6; not .5
    let asked = |from: u8, command: u16, length: usize| {
        host.inside(move || {
            let udp = std::net::UdpSocket::bind(SocketAddr::from(([127, 0, 0, from], 0))).unwrap();
            udp.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let mut bytes = vec![0; length];
            bytes[..2].copy_from_slice(&[6, 1]);
            bytes[4..6].copy_from_slice(&command.to_be_bytes());
            udp.send_to(&bytes, SocketAddr::from(([127, 0, 0, from], 323))).unwrap();
            let mut reply = [0; 1000];
            udp.recv(&mut reply).ok().map(|_| u16::from_be_bytes([reply[8], reply[9]]))
        })
    };
    for (from, heard) in [(1, true), (6, true), (5, false)] {
        for (command, length, status) in
            [(33, 104, 0), (54, 196, 0), (67, 52, 4), (15, 76, 4), (44, 48, 2), (33, 50, 19)]
        {
            assert_eq!(asked(from, command, length), heard.then_some(status), "127.0.0.{from} {command}");
        }
    }
}
