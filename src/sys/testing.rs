//! For the tests of this layer: a test that runs itself in a child process, where it may lose privileges or catch signals.

use std::ffi::OsStr;
use std::process::{Command, Output};

use super::net::{StampSource, UdpSocket};

const MARK: &str = "NTPBOX_TEST_CHILD";

/// In the test itself: runs that one test (its full path, `sys::x::tests::name`) in a child behind `prefix` (e.g. `setpriv …`)
/// and returns its output; in the child: `None`.
pub(super) fn rerun(test: &str, prefix: &[impl AsRef<OsStr>]) -> Option<Output> {
    if std::env::var_os(MARK).is_some() {
        return None;
    }
    let me = std::env::current_exe().expect("the test binary");
    let mut words = prefix.iter().map(AsRef::as_ref).chain([me.as_os_str()]);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).args(["--exact", test, "--nocapture", "--test-threads=1"]).env(MARK, "1");
    let output = command.output().expect("the child starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{test} in the child:\n{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("1 passed"), "{test} is not the name of a test:\n{text}");
    Some(output)
}

/// The words that start a program without the right to set the clock; `None` (with a printed reason) where that cannot be had.
pub(super) fn without_clock_rights() -> Option<Vec<&'static str>> {
    if !super::user::has_capability(super::user::Capability::SysTime) {
        return Some(Vec::new());
    }
    let words = vec!["setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time"];
    if Command::new("setpriv").arg("--version").output().is_ok_and(|o| o.status.success()) {
        return Some(words);
    }
    skipped("we may set the clock, and setpriv is missing to give that up");
    None
}

/// The words that start a program in mount and network namespaces of its own, loopback up, after the shell commands `prepare`
/// (`$T` is an empty directory); `None` (with a printed reason) where that is not permitted.
pub(super) fn own_network(prepare: &str) -> Option<Vec<String>> {
    // the directory is gone with the mount namespace
    let script = format!(
        "T=/mnt; mount -t tmpfs ntpbox-test $T && ip link set lo up || exit; {prepare} || exit; exec \"$@\""
    );
    let words = ["unshare", "--mount", "--net", "sh", "-c", &script, "sh"].map(str::to_owned);
    let tried = Command::new("unshare").args(&words[1..]).arg("true").output();
    if tried.is_ok_and(|o| o.status.success()) {
        return Some(words.into());
    }
    skipped("no right to make namespaces");
    None
}

/// Waits until the kernel stamps packets: it switches that on in the background when the first socket asks (and off with the last).
pub(crate) fn wait_for_kernel_stamps(socket: &UdpSocket) {
    let to = socket.local_address().expect("bound");
    for _ in 0..10_000 {
        socket.send_to(b"stamp", to, None).expect("loopback");
        let mut buffer = [0; 8];
        let got = socket.receive(&mut buffer).expect("loopback").expect("loopback delivers at once");
        if got.stamp == StampSource::Kernel {
            return;
        }
    }
    panic!("no kernel stamps");
}

#[expect(clippy::print_stderr, reason = "a test says why it was skipped")]
pub(super) fn skipped(reason: &str) {
    eprintln!("skipped: {reason}");
}
