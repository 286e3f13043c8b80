//! What a report costs, beside chronyc 4.9 in one run: `cargo bench --bench chronyc`.
//!
//! Both clients ask both daemons in turn, through the Unix socket: 4 sources, 1000 sources, 10 000 clients. Best and median of
//! the rounds; a median of ours beyond its limit against either daemon is marked, and the exit code is 1.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on says so by panicking"
)]
#![allow(dead_code, reason = "the lab serves other measurements too")]

mod lab;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use lab::{Clients, Daemon, Figures, Scratch, WINDOW, free_port, harmless, load, median, peer, pin};
use ntpbox::sys::clock;

const ROUNDS: usize = 31;

/// A report, and its limit in ms.
struct Case {
    name: &'static str,
    sources: u32,
    clients: u32,
    words: &'static [&'static str],
    limit: f64,
}

const CASES: &[Case] = &[
    Case { name: "sources, 4", sources: 4, clients: 0, words: &["-n", "sources"], limit: 1.5 },
    Case { name: "sources, 1000", sources: 1000, clients: 0, words: &["-n", "sources"], limit: 12.0 },
    Case { name: "sourcestats, 1000", sources: 1000, clients: 0, words: &["-n", "sourcestats"], limit: 12.0 },
    Case { name: "clients, 10000", sources: 0, clients: 10_000, words: &["-n", "clients"], limit: 20.0 },
];

/// Starts a daemon that never asks its sources; its command socket is `DIR/PORT.sock`.
fn start(scratch: &Scratch, program: &Path, ours: bool, case: &Case) -> (Daemon, String) {
    let port = free_port();
    let dir = scratch.path().display();
    let socket = format!("{dir}/{port}.sock");
    let mut text = format!(
        "allow\nlocal stratum 5\nport {port}\ncmdport 0\nbindcmdaddress {socket}\npidfile /\nuser root\nclientloglimit 16000000\n"
    );
    for number in 0..case.sources {
        let _ = writeln!(text, "server 127.20.{}.{} port 9 offline", number >> 8, number & 255);
    }
    let conf = scratch.file(&format!("conf{port}"), &text);
    let mut command = harmless(program);
    if ours {
        command.arg("chronyd");
    }
    command.args(["-d", "-x", "-f", &conf]);
    let daemon = Daemon::start(command, port, &scratch.path().join(format!("log{port}")));
    if case.clients > 0 {
        let outcome = load(daemon.at, u64::from(case.clients), Clients::InOrder(case.clients), WINDOW);
        assert_eq!(outcome.answered, u64::from(case.clients));
    }
    (daemon, socket)
}

/// One run in ms, and how many lines it printed.
fn run(command: &[PathBuf], socket: &str, words: &[&str]) -> (f64, usize) {
    let (program, first) = command.split_first().unwrap();
    let began = clock::mono();
    let ran = Command::new(program)
        .args(first)
        .args(["-h", socket])
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let took = (clock::mono() - began).as_secs_f64() * 1e3;
    assert!(
        ran.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    (took, ran.stdout.iter().filter(|byte| **byte == b'\n').count())
}

/// The original without the wrapper around it, which would be measured too.
fn original(wrapper: &Path) -> Vec<PathBuf> {
    let root = wrapper.parent().unwrap().join("../root");
    let libraries = root.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let loader = std::fs::read_dir(&libraries)
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux")));
    let program = root.join("usr/bin/chronyc");
    let mut words = match loader {
        Some(loader) => vec![loader, "--library-path".into(), libraries, program],
        None => vec![program],
    };
    words.extend(["-u".into(), "root".into()]);
    words
}

fn main() -> ExitCode {
    let mut figures = Figures::default();
    let Some(theirs) = peer("chrony@sid", "chronyc") else { return ExitCode::SUCCESS };
    let chronyd = theirs.with_file_name("chronyd");
    let ours = lab::ours();
    let scratch = Scratch::new();
    let clients = [("ours", vec![ours.clone(), "chronyc".into()]), ("theirs", original(&theirs))];
    // the daemons have the first core
    pin(0, 1);
    for case in CASES {
        for (whose, program) in [("their daemon", &chronyd), ("our daemon", &ours)] {
            let (daemon, socket) = start(&scratch, program, *program == ours, case);
            let mut took = [Vec::new(), Vec::new()];
            let mut lines = [0, 0];
            for round in 0..ROUNDS {
                for (index, (_, command)) in clients.iter().enumerate() {
                    let (ms, printed) = run(command, &socket, case.words);
                    // the first one warms up
                    if round > 0 {
                        took[index].push(ms);
                    }
                    lines[index] = printed;
                }
            }
            assert_eq!(lines[0], lines[1], "{}", case.name);
            daemon.end();
            let [mine, original] = took.map(|ms| {
                let best = ms.iter().copied().fold(f64::INFINITY, f64::min);
                (median(ms), best)
            });
            let what = format!("{} of {whose}", case.name);
            figures.note(&format!("{what}: chronyc 4.9, median"), original.0, "ms");
            figures.note(&format!("{what}: chronyc 4.9, best"), original.1, "ms");
            figures.note(&format!("{what}: ours, best"), mine.1, "ms");
            figures.at_most(&format!("{what}: ours, median"), mine.0, case.limit, "ms");
        }
    }
    figures.end()
}
