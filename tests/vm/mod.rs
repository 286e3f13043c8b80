//! Tests that set a real kernel clock: a throw-away guest's (`tests/vm/run`, README.md beside it).
//!
//! They run when asked: `NTPBOX_TESTS=vm cargo test vm::` (`.ci/run` does it); no root is needed. Without qemu or the guest's
//! packages they are skipped with a printed reason.
//!
//! ```ignore
//! #[test]
//! fn hwclock_writes_the_rtc() {
//!     let Some(ran) = Guest::new().virtual_time().run("hwclock -w && hwclock -r") else { return };
//!     assert_eq!(ran.code, Some(0), "{ran:?}");
//! }
//! ```
//! In the guest `ntpbox` and all its names are first in PATH, `responder ADDRESS SECONDS` (responder.rs) is a time server
//! that a step of the guest's clock does not move. Boot and end cost 4 s: put what belongs together into one guest.

mod chronyd;
mod commands;
mod follow;
mod hwclock;
mod ntpd;
mod ntpdate;
mod rtc;
mod timedatectl;
mod timedated;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::asked::{asked_for, skipped};

/// Exit status of `tests/vm/run` when something that it needs is missing.
const SKIP: i32 = 77;

/// A guest to be booted.
pub(crate) struct Guest {
    options: Vec<String>,
}

/// What a guest's command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code of the command; 124: it did not end in time.
    pub(crate) code: Option<i32>,
    /// What it wrote to standard output and standard error.
    pub(crate) out: String,
}

impl Guest {
    /// A busybox guest with our binary and the responder.
    pub(crate) fn new() -> Self {
        let with =
            ["--bin".to_owned(), env!("CARGO_BIN_EXE_ntpbox").to_owned(), "--with".to_owned(), responder()];
        Self { options: with.to_vec() }
    }

    /// Idle time is skipped: an hour of waiting takes seconds.
    pub(crate) fn virtual_time(self) -> Self {
        self.option(&["--virtual"])
    }

    /// Further options of `tests/vm/run`.
    pub(crate) fn option(mut self, words: &[&str]) -> Self {
        self.options.extend(words.iter().map(|w| (*w).to_owned()));
        self
    }

    /// Boots it and runs shell text; `None` with a printed reason when VM tests were not asked for or cannot run.
    pub(crate) fn run(self, text: &str) -> Option<Ran> {
        if !asked_for("vm") {
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/run");
        let output =
            Command::new(script).args(self.options).args(["-c", text]).stdin(Stdio::null()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(SKIP) {
            skipped(error.trim().trim_start_matches("skipped: "));
            return None;
        }
        assert!(error.is_empty() && output.status.code() != Some(125), "tests/vm/run: {error}");
        Some(Ran { code: output.status.code(), out: String::from_utf8_lossy(&output.stdout).into_owned() })
    }
}

/// The responder, which `cargo test` builds beside the program (`cargo test --test all` does not).
fn responder() -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_ntpbox")).with_file_name("examples").join("responder");
    program.to_str().unwrap().to_owned()
}

/// Two ends of a wire between guests, for `--wire`.
pub(crate) struct Wire {
    dir: PathBuf,
}

impl Wire {
    /// A wire of this name, unique in this process.
    pub(crate) fn new(name: &str) -> Self {
        // socket paths are short: not below target/
        let dir = std::env::temp_dir().join(format!("ntpbox-wire-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self { dir }
    }

    /// The two values of `--wire`.
    pub(crate) fn ends(&self) -> [String; 2] {
        let dir = self.dir.display();
        [format!("{dir}/a:{dir}/b"), format!("{dir}/b:{dir}/a")]
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn exit_status_and_output_come_back() {
    let Some(ran) = Guest::new()
        .virtual_time()
        .run("ntpbox --version; cat /proc/uptime; sleep 3600; cat /proc/uptime; exit 3")
    else {
        return;
    };
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.first().copied(), Some(format!("ntpbox {}", env!("CARGO_PKG_VERSION")).as_str()));
    let up = |line: usize| -> f64 { lines[line].split(' ').next().unwrap().parse().unwrap() };
    assert!((3600.0..3610.0).contains(&(up(2) - up(1))), "{ran:?}");
}
