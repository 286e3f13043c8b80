//! Hosts for tests: namespaces on a bridge, processes in them that cannot touch the clock.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ntpbox::sys::clock;

use super::peer::Package;
use crate::asked::{asked_for, skipped};

/// How long a program may run before it is killed.
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// CAP_SYS_TIME as a bit of the capability masks.
const SYS_TIME: u64 = 1 << 25;

/// Takes CAP_SYS_TIME away from what follows.
const SETPRIV: &[&str] = &["setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time"];

/// Exit status of the guard when the capability is there after all.
const GUARD_STATUS: i32 = 99;

/// Runs in the namespaces before the program: refuses a process that could set the clock, goes to the folder, becomes
/// the program. Arguments: folder, limit in seconds, program, its arguments.
const GUARD: &str = r#"
while read -r key mask; do case $key in CapEff:|CapBnd:)
  [ $((0x$mask >> 25 & 1)) = 0 ] || { echo "guard: $key $mask has CAP_SYS_TIME" >&2; exit 99; }; seen=$seen.;;
esac; done </proc/self/status
[ "$seen" = .. ] || { echo 'guard: no capability masks' >&2; exit 99; }
cd "$1" || exit 99
limit=$2; shift 2
[ "$limit" = 0 ] || exec timeout -k 2 "$limit" "$@"
exec "$@"
"#;

/// A network: a bridge in a namespace of its own, to which the hosts are joined.
pub(crate) struct Lab {
    bridge: Namespace,
    dir: PathBuf,
    hosts: AtomicU32,
}

impl Lab {
    /// Makes one, with the packages that its tests use at hand; `None` with a printed reason when it cannot be.
    pub(crate) fn open(packages: &[Package]) -> Option<Self> {
        if !asked_for("compat") {
            return None;
        }
        let opened =
            packages.iter().try_for_each(|package| package.bin().map(drop)).and_then(|()| Self::build());
        opened.map_err(|reason| skipped(&reason)).ok()
    }

    fn build() -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("compat tests need root for network namespaces".to_owned());
        }
        static LABS: AtomicU32 = AtomicU32::new(0);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lab-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let bridge = Namespace::create()?;
        bridge.setup("ip link add name bridge0 type bridge && ip link set bridge0 up")?;
        Ok(Self { bridge, dir, hosts: AtomicU32::new(0) })
    }

    /// A new host on the bridge: the N-th has 10.77.0.N and fd77::N.
    pub(crate) fn host(&self) -> Host {
        let number = self.hosts.fetch_add(1, Ordering::Relaxed) + 1;
        let namespace = Namespace::create().expect("a second namespace after the first");
        let pid = namespace.pid();
        self.bridge
            .setup(&format!(
                "ip link add name h{number} type veth peer name eth0 netns {pid} && ip link set h{number} master bridge0 up"
            ))
            .expect("a pair of virtual interfaces");
        namespace
            .setup(&format!(
                "ip addr add 10.77.0.{number}/24 dev eth0 && ip addr add fd77::{number}/64 dev eth0 nodad && ip link set eth0 up"
            ))
            .expect("addresses on the interface");
        let dir = self.dir.join(format!("host{number}"));
        fs::create_dir_all(&dir).unwrap();
        Host { namespace, number, dir, outputs: AtomicU32::new(0) }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A set of namespaces, held by a process that ends when its standard input does, and with it all that run there.
struct Namespace {
    holder: Child,
    stdin: Option<ChildStdin>,
}

impl Namespace {
    fn create() -> Result<Self, String> {
        let hold = "ip link set lo up && mount -t tmpfs tmpfs /run && echo ready && exec cat >/dev/null";
        let mut holder = Command::new(SETPRIV[0])
            .args(&SETPRIV[1..])
            .args(["unshare", "--net", "--pid", "--mount", "--uts", "--ipc", "--fork", "--kill-child"])
            .args(["--mount-proc", "sh", "-c", hold])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("no namespaces: setpriv: {e}"))?;
        let stdin = holder.stdin.take();
        let mut line = String::new();
        let mut out = BufReader::new(holder.stdout.take().expect("a pipe was asked for"));
        out.read_line(&mut line).map_err(|e| e.to_string())?;
        if line.trim() == "ready" {
            return Ok(Self { holder, stdin });
        }
        drop(stdin);
        let ended = holder.wait_with_output().map_err(|e| e.to_string())?;
        Err(format!("no namespaces: {}", String::from_utf8_lossy(&ended.stderr).trim()))
    }

    /// The process `unshare`, which is in all the namespaces but the process one.
    fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// `setpriv … nsenter …`: what comes in front of a program.
    fn enter(&self) -> Command {
        let proc = format!("/proc/{}/ns", self.pid());
        let mut command = Command::new(SETPRIV[0]);
        command.args(&SETPRIV[1..]).arg("nsenter");
        for (option, name) in
            [("net", "net"), ("mount", "mnt"), ("uts", "uts"), ("ipc", "ipc"), ("pid", "pid_for_children")]
        {
            command.arg(format!("--{option}={proc}/{name}"));
        }
        command
    }

    /// Runs shell text in the network namespace alone (process numbers are those outside).
    fn setup(&self, text: &str) -> Result<(), String> {
        let ran = Command::new(SETPRIV[0])
            .args(&SETPRIV[1..])
            .args(["nsenter", &format!("--net=/proc/{}/ns/net", self.pid()), "sh", "-c", text])
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("nsenter: {e}"))?;
        if ran.status.success() {
            return Ok(());
        }
        Err(format!("{text}: {}", String::from_utf8_lossy(&ran.stderr).trim()))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.holder.wait();
    }
}

/// A host of the lab.
pub(crate) struct Host {
    namespace: Namespace,
    number: u32,
    dir: PathBuf,
    outputs: AtomicU32,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Exit code; `None` when a signal ended it. 124: it ran into the limit.
    pub(crate) code: Option<i32>,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
    /// Wall time, with about 10 ms for entering the namespaces.
    pub(crate) took: Duration,
}

impl Host {
    /// Its IPv4 address on the bridge.
    pub(crate) fn ip4(&self) -> String {
        format!("10.77.0.{}", self.number)
    }

    /// Its IPv6 address on the bridge.
    pub(crate) fn ip6(&self) -> String {
        format!("fd77::{}", self.number)
    }

    /// A scratch folder of this host, the working directory of its programs, removed with the lab.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a file in the scratch folder and returns its absolute path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A command that will run on this host without CAP_SYS_TIME; `limit` in whole seconds, zero for none.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>, limit: Duration) -> Command {
        let mut command = self.namespace.enter();
        command.args(["sh", "-c", GUARD, "guard"]).arg(&self.dir).arg(limit.as_secs().to_string());
        command
            .arg(program)
            .stdin(Stdio::null())
            .env_remove("PEER_CLOCK")
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        command
    }

    /// Runs a program to its end.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, args: &[A]) -> Finished {
        let mut command = self.command(program, RUN_LIMIT);
        command.args(args);
        self.finish(&mut command)
    }

    /// Runs shell text to its end.
    pub(crate) fn sh(&self, text: &str) -> Finished {
        self.run("sh", &["-c", text])
    }

    /// Runs a command made by [`Host::command`] to its end.
    pub(crate) fn finish(&self, command: &mut Command) -> Finished {
        let start = clock::mono();
        let output = command.output().unwrap();
        let took = clock::mono().as_nanos() - start.as_nanos();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ran = Finished {
            code: output.status.code(),
            signal: signal_of(output.status),
            out: text(&output.stdout),
            err: text(&output.stderr),
            took: Duration::from_nanos(u64::try_from(took).unwrap()),
        };
        assert!(ran.code != Some(GUARD_STATUS), "the harness refuses to run: {}", ran.err.trim());
        ran
    }

    /// Starts a program that goes on; its output is collected in files.
    pub(crate) fn spawn<A: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, args: &[A]) -> Process {
        let mut command = self.command(program, Duration::ZERO);
        command.args(args);
        self.start(command)
    }

    /// Starts a command made by [`Host::command`].
    pub(crate) fn start(&self, mut command: Command) -> Process {
        let number = self.outputs.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (self.dir.join(format!("{number}.out")), self.dir.join(format!("{number}.err")));
        let child =
            command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap()).spawn().unwrap();
        Process { child, out, err }
    }

    /// Gives the host an `/etc` of its own, a copy of the real one that programs on this host can change.
    pub(crate) fn own_etc(&self) {
        let ran = self.sh("mkdir /run/etc && cp -a /etc/. /run/etc/ && mount --bind /run/etc /etc");
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }

    /// Runs Rust code on a thread that is in this host's network namespace; sockets opened there stay there.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let net = File::open(format!("/proc/{}/ns/net", self.namespace.pid())).unwrap();
        std::thread::scope(|scope| {
            scope
                .spawn(move || {
                    setns(net, CloneFlags::CLONE_NEWNET).unwrap();
                    work()
                })
                .join()
                .unwrap()
        })
    }
}

fn signal_of(status: ExitStatus) -> Option<i32> {
    // nsenter dies of the signal that ended the program
    std::os::unix::process::ExitStatusExt::signal(&status)
}

/// A running program; dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    /// The program's process id as this test sees it, once the guard has become the program.
    pub(crate) fn pid(&self) -> Option<u32> {
        child_of(self.child.id())
    }

    /// Panics when the program, or a process it started, could set the clock.
    pub(crate) fn assert_harmless(&self) {
        for pid in descendants(self.child.id()) {
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            for line in status.lines().filter(|l| l.starts_with("CapEff:") || l.starts_with("CapBnd:")) {
                let mask = u64::from_str_radix(line.get(7..).unwrap_or_default().trim(), 16).unwrap();
                assert_eq!(
                    mask & SYS_TIME,
                    0,
                    "the harness refuses to run: process {pid} has CAP_SYS_TIME: {line}"
                );
            }
        }
    }

    /// What it wrote to standard output so far.
    pub(crate) fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// What it wrote to standard error so far.
    pub(crate) fn err(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends a signal to the program.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal);
        }
    }

    /// Waits until it has ended, at most so long; `None` when it goes on.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        wait_until(limit, || self.child.try_wait().unwrap().is_some());
        self.child.try_wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.signal(Signal::SIGTERM);
            if self.wait(Duration::from_secs(2)).is_none() {
                self.signal(Signal::SIGKILL);
                let _ = self.child.kill();
            }
            let _ = self.child.wait();
        }
    }
}

/// Asks every 20 ms until the answer is yes; false when the time is over.
pub(crate) fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = clock::mono().as_nanos() + i64::try_from(limit.as_nanos()).unwrap();
    loop {
        if done() {
            return true;
        }
        if clock::mono().as_nanos() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All (pid, parent) pairs of the machine.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (_, rest) = stat.rsplit_once(") ")?;
            Some((pid, rest.split(' ').nth(1)?.parse().ok()?))
        })
        .collect()
}

fn child_of(pid: u32) -> Option<u32> {
    parents().into_iter().find(|(_, parent)| *parent == pid).map(|(child, _)| child)
}

fn descendants(pid: u32) -> Vec<u32> {
    let (pairs, mut found, mut at) = (parents(), Vec::new(), 0);
    let mut current = pid;
    loop {
        found.extend(pairs.iter().filter(|(_, parent)| *parent == current).map(|(child, _)| *child));
        let Some(next) = found.get(at) else { return found };
        current = *next;
        at += 1;
    }
}

#[test]
fn a_process_that_could_set_the_clock_is_refused() {
    let Some(lab) = Lab::open(&[]) else { return };
    let host = lab.host();
    assert_eq!(host.sh("exit 3").code, Some(3));
    assert_eq!(host.sh("kill -TERM $$").signal, Some(15));
    // the guard itself, outside of setpriv: it must see the capability of this test's own process
    let mask = fs::read_to_string("/proc/thread-self/status").unwrap();
    let own = mask.lines().find_map(|l| l.strip_prefix("CapBnd:")).unwrap().trim();
    let could = u64::from_str_radix(own, 16).unwrap() & SYS_TIME != 0;
    let ran = Command::new("sh").args(["-c", GUARD, "guard", "/", "0", "true"]).output().unwrap();
    assert_eq!(ran.status.code() == Some(GUARD_STATUS), could);
}

#[test]
fn what_runs_on_a_host_ends_with_it() {
    let Some(lab) = Lab::open(&[]) else { return };
    let host = lab.host();
    let process = host.spawn("sh", &["-c", "setsid sleep 300 & exec sleep 300"]);
    assert!(wait_until(Duration::from_secs(5), || descendants(process.child.id()).len() >= 2));
    let pids = descendants(process.child.id());
    process.assert_harmless();
    drop(host);
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}/exe")).exists(), "{pid} has outlived its host");
    }
    drop(process);
}
