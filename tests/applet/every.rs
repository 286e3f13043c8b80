//! What holds for every applet of the table, reached by its link and through the box.

use std::fs::OpenOptions;
use std::process::Stdio;

use ntpbox::applets::{APPLETS, Kind};

use crate::support::cli::{command, finish, run};
use crate::support::schema::check_output;

/// All ways to call each applet: the program and the words before its arguments.
fn calls() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    APPLETS.iter().flat_map(|applet| {
        applet.names.iter().flat_map(|&name| {
            let link = (applet.kind == Kind::Legacy).then(|| (name, vec![]));
            link.into_iter().chain([("ntpbox", vec![name])])
        })
    })
}

/// Words that no applet accepts: with `--json` it has something to say on stdout, and does nothing.
const WRONG: [&str; 2] = ["--json", "--no-such-option"];

#[test]
fn a_usage_error_is_a_json_object_and_a_line_on_stderr() {
    for (program, mut words) in calls() {
        words.extend(WRONG);
        let finished = run(program, &words);
        let objects = check_output(&finished.stdout);
        assert_eq!(objects.len(), 1, "{program} {words:?}");
        assert_eq!(objects[0]["ok"], false, "{program} {words:?}");
        assert_eq!(objects[0]["exit_code"], finished.code(), "{program} {words:?}");
        assert_ne!(finished.code(), 0, "{program} {words:?}");
        assert!(!finished.stderr.is_empty(), "{program} {words:?}");
        assert!(!finished.stderr.contains("panicked"), "{program} {words:?}: {}", finished.stderr);
    }
}

#[test]
fn a_full_disk_is_said_and_fails() {
    for (program, mut words) in calls() {
        words.extend(WRONG);
        let mut command = command(program);
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let child = command.args(&words).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("write error: No space left on device"), "{program} {words:?}: {stderr}");
        assert!(output.status.code().is_some_and(|code| code != 0), "{program} {words:?}: {}", output.status);
    }
}

#[test]
fn a_closed_pipe_is_quiet_and_succeeds() {
    for (program, mut words) in calls() {
        words.extend(WRONG);
        let mut command = command(program);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = command.args(&words).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("write error"), "{program} {words:?}: {stderr}");
        assert_eq!(output.status.code(), Some(0), "{program} {words:?}: {stderr}");
    }
}

#[test]
fn an_unknown_name_is_127_with_the_list() {
    let finished = run("ntpbox", &["no-such-applet"]);
    assert_eq!(finished.code(), 127);
    assert!(finished.stderr.starts_with("ntpbox: no-such-applet: no such applet\n"));
    assert!(finished.stderr.contains("\n  list "));
}

#[test]
fn argv0_is_matched_exactly() {
    // a login shell's dash is dropped; a name that only ends in an applet's is none
    let argv0 = |name: &str| {
        use std::os::unix::process::CommandExt;
        let mut command = command("ntpbox");
        command.arg0(name).arg("--version");
        finish(command)
    };
    for (name, code) in [("-ntpbox", 0), ("/x/y/ntpbox", 0), ("xntpbox", 0), ("", 0)] {
        let finished = argv0(name);
        assert_eq!(finished.code(), code, "{name}: {}", finished.stderr);
        assert!(finished.stdout.starts_with("ntpbox "), "{name}");
    }
}
