//! Tests against the real tools: chronyd, ntpd of two families, openntpd, the classic clients.
//!
//! They run when asked: `NTPBOX_TESTS=compat cargo test compat::` as root (`.ci/run` does it). `PEER=theirs` runs the
//! original client where a test has one, `PEER=ours` (the default) runs this box: a test is first made to pass with
//! the original, so that it states a fact and not a wish. What is missing (root, namespaces, a package that cannot be
//! had) is a printed `skipped: REASON`, never a failure.
//!
//! How a test looks:
//! ```ignore
//! #[test]
//! fn rows_of_a_healthy_server() {
//!     let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };     // prints the reason and skips
//!     let (server, client) = (lab.host(), lab.host());                      // two network namespaces on one bridge
//!     let _chronyd = Daemon::start(&server, Kind::Chrony49, &Setup::default());   // returns when it serves; dies on drop
//!     let Some(ntpdate) = tool("ntpdate") else { return };                  // ours or theirs, by PEER
//!     let ran = client.run(&ntpdate, &["-q", &server.ip4()]);
//!     assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
//! }
//! ```
//!
//! - `Lab` and `Host` (namespace.rs): a host is a network, process, mount, IPC and UTS namespace of its own with
//!   `lo`, `eth0` (10.77.0.N/24 and fd77::N/64), an empty `/run` and, after `Host::own_etc`, an `/etc` of its own.
//!   It ends, with every process in it, when it is dropped or when the test process dies, however it dies.
//!   `Host::run` waits (at most 60 s), `Host::spawn` gives a `Process` with its output, `Host::inside` runs Rust code
//!   on a thread inside the network namespace (fake servers, probes), `Host::dir` is a scratch folder seen everywhere.
//! - `Package` and `tool` (peer.rs): programs of Debian packages, unpacked by `tests/compat/get` into
//!   `~/.cache/ntpbox-peers`; our own applets through links of their names.
//! - `Daemon`, `Kind`, `Setup` (daemon.rs): the time servers, with the keys of `KEYS` in both dialects.
//!
//! **The real clock is out of reach.** Every process goes through `setpriv` without CAP_SYS_TIME, a guard reads
//! `/proc/self/status` before it becomes the program, and the harness panics when bit 25 of CapEff or CapBnd is set.

mod broadcasts;
mod chronyc;
mod chronyd;
mod cmdmon;
mod commands;
mod configure;
mod consumers;
pub(crate) mod daemon;
mod directives;
mod failures;
mod following;
mod hardship;
mod limits;
pub(crate) mod namespace;
mod ntpd;
mod ntpdate;
mod ntpsec;
mod packets;
pub(crate) mod peer;
mod responder;
mod server;
mod telling;
mod trouble;
mod wire;
