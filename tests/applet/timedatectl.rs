//! `timedatectl` as a program: words, and the host's own state read (never set).

use crate::support::cli::{Finished, check_goldens, command, finish};
use crate::support::schema::check_output;

#[test]
fn goldens() {
    check_goldens("timedatectl");
}

/// Runs it where it finds no other program: no systemctl is asked from a test.
fn run(words: &[&str]) -> Finished {
    let mut command = command("timedatectl");
    command.env("PATH", "/nonexistent").args(words);
    finish(command)
}

/// Whether the RTC of this machine can be read; what is printed depends on it.
fn reads() -> bool {
    let readable = run(&["show"]).code() == 0;
    if !readable {
        #[expect(clippy::print_stderr, reason = "a test says why it was skipped")]
        {
            eprintln!("skipped: the RTC is there, but we may not read it");
        }
    }
    readable
}

#[test]
fn the_status_of_this_host_has_seven_lines() {
    if !reads() {
        return;
    }
    let finished = run(&[]);
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let labels: Vec<_> = finished.stdout.lines().map(|line| &line[..25]).collect();
    assert_eq!(
        labels,
        [
            "               Local time",
            "           Universal time",
            "                 RTC time",
            "                Time zone",
            "System clock synchronized",
            "              NTP service",
            "          RTC in local TZ"
        ]
    );
}

#[test]
fn reports_fit_their_schemas() {
    for words in [
        ["--json", "status"].as_slice(),
        &["--json", "show"],
        &["--json", "list-timezones"],
        &["--json", "timesync-status"],
        &["--json", "set-timezone", "No/Where"],
    ] {
        let finished = run(words);
        let objects = check_output(&finished.stdout);
        assert_eq!(objects.len(), 1, "{words:?}");
        assert_eq!(objects[0]["ok"], finished.code() == 0, "{words:?}");
    }
}
