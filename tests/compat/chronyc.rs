//! `chronyc` beside the original of each generation, against that generation's chronyd: text, CSV and exit code, byte for
//! byte. Numbers move with time, so the original runs before and after ours, and either may be equal.

use std::path::Path;

use super::daemon::{Daemon, Kind, Setup};
use super::namespace::{Finished, Host, Lab};
use super::peer::our;

/// Numbers that are never the same twice: which line or CSV field they stand in.
const MOVING_LINES: [&str; 3] = ["Root dispersion", "Command packets received", "Last update"];
const MOVING_FIELDS: [(usize, usize); 3] = [(14, 11), (17, 2), (11, 2)];
/// How often a comparison is tried before it counts.
const TRIES: usize = 6;

fn still(text: &str) -> String {
    let line = |line: &str| {
        if let Some(label) = MOVING_LINES.iter().find(|label| line.starts_with(**label)) {
            return format!("{label} moves\n");
        }
        let mut fields: Vec<&str> = line.split(',').collect();
        for (count, moving) in MOVING_FIELDS {
            if fields.len() == count {
                fields[moving] = "moves";
            }
        }
        fields.join(",") + "\n"
    };
    text.lines().map(line).collect()
}

fn answer(ran: &Finished) -> (String, String, Option<i32>) {
    (still(&ran.out), ran.err.clone(), ran.code)
}

/// Compares one command line.
fn same(host: &Host, ours: &Path, theirs: &Path, before: &[&str], words: &[&str]) {
    let original = || answer(&host.run(theirs, &[before, words].concat()));
    let mut last = None;
    for _ in 0..TRIES {
        let first = original();
        let mine = answer(&host.run(ours, words));
        let second = original();
        if mine == first || mine == second {
            return;
        }
        last = Some((mine, second));
    }
    let (mine, original) = last.unwrap();
    assert_eq!(mine, original, "{words:?}");
}

/// Reports that both generations have in the same words.
const REPORTS: &[&str] = &[
    "sources -a -v",
    "sourcestats -a -v",
    "tracking",
    "activity",
    "selectdata -a",
    "authdata -a -v",
    "ntpdata",
    "ntpdata 9.9.9.9",
    "serverstats",
    "smoothing",
    "rtcdata",
    "clients",
    "clients -k",
    "manual list",
    "sourcename 127.0.0.1",
    "sourcename 1.2.3.4",
];

/// Commands whose answers do not depend on what went before.
const COMMANDS: &[&str] = &[
    "online",
    "offline 1.2.3.4",
    "burst 1/2 10.0.0.0/8",
    "minpoll 1.2.3.4 3",
    "makestep",
    "makestep 0.1 3",
    "accheck 10.77.0.1",
    "cmdaccheck 10.77.0.1",
    "allow 10/8",
    "deny 1.2.3.4/33",
    "manual on",
    "manual delete 9",
    "settime garbage",
    "dump",
    "cyclelogs",
    "rekey",
    "reselect",
    "refresh",
    "local stratum 5",
    "local stratum 2",
    "delete 9.9.9.9",
    "smoothtime reset",
    "trimrtc",
    "foo",
];

fn generation(kind: Kind, before: &[&str]) {
    let Some(lab) = Lab::open(&[kind.package()]) else { return };
    let Some(ours) = our("chronyc") else { return };
    let host = lab.host();
    let lines = "manual\nserver 127.0.0.1 port 9\npeer 127.0.0.9\nserver no.such.name.invalid\n".to_owned();
    let _daemon = Daemon::start(&host, kind, &Setup { lines, ..Setup::default() });
    let theirs = kind.package().program("chronyc");
    for report in REPORTS {
        let words: Vec<&str> = report.split(' ').collect();
        for options in [&["-n"][..], &["-N"], &["-c"], &["-n", "-h", "127.0.0.1"]] {
            same(&host, &ours, &theirs, before, &[options, &words].concat());
        }
    }
    for command in COMMANDS {
        same(&host, &ours, &theirs, before, &command.split(' ').collect::<Vec<_>>());
        same(
            &host,
            &ours,
            &theirs,
            before,
            &[&["-h", "127.0.0.1,::1"], &command.split(' ').collect::<Vec<_>>()[..]].concat(),
        );
    }
    // the form that this generation does not know is followed by the one that it does
    let added = host.run(&ours, &["-m", "add server 127.0.0.77 iburst", "delete 127.0.0.77", "local off"]);
    assert_eq!((added.out.as_str(), added.code), ("200 OK\n200 OK\n200 OK\n", Some(0)), "{added:?}");
}

#[test]
fn beside_chronyc_4_9() {
    generation(Kind::Chrony49, &["-u", "root"]);
}

#[test]
fn beside_the_chronyc_of_this_system() {
    generation(Kind::ChronyHere, &[]);
}
