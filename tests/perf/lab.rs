//! What the measurements share: daemons with what they cost, a load of requests, figures with their limits.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as StdSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::sockopt::Timestamping;
use nix::sys::socket::{TimestampingFlag, setsockopt};
use nix::unistd::{Pid, SysconfVar, geteuid, sysconf};
use ntpbox::sys::clock;
use ntpbox::sys::net::batch::{ReceiveBatch, SendBatch};
use ntpbox::sys::net::{Family, UdpOptions, UdpSocket};
use ntpbox::sys::wait::{Woken, wait};
use ntpbox::types::TimeDelta;

/// Requests that are usually under way at once, and that are sent together.
pub(crate) const WINDOW: u64 = 64;
const BATCH: u64 = 32;
/// Silence after which what is under way counts as lost.
const QUIET: TimeDelta = TimeDelta::from_millis(1000);

/// Our binary; NTPBOX_BIN names another one.
pub(crate) fn ours() -> PathBuf {
    std::env::var_os("NTPBOX_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_ntpbox")), PathBuf::from)
}

/// A folder of its own, removed in the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("ntpbox-perf-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program of a Debian package, unpacked by `tests/compat/get`; else a printed reason.
pub(crate) fn peer(package: &str, program: &str) -> Option<PathBuf> {
    let get = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/get");
    let ran = Command::new(get).arg(package).output().unwrap();
    if !ran.status.success() {
        println!("skipped: {package} is not to be had: {}", String::from_utf8_lossy(&ran.stderr).trim());
        return None;
    }
    Some(Path::new(String::from_utf8_lossy(&ran.stdout).trim()).join(program))
}

/// A command without the right to set the clock.
pub(crate) fn harmless(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time"]).arg(program);
    command
}

/// Keeps a process (0: this one) on a core, where there are two.
pub(crate) fn pin(pid: i32, core: usize) {
    // of the machine: this process may be pinned already
    let cores = sysconf(SysconfVar::_NPROCESSORS_ONLN).unwrap().unwrap_or(1);
    if usize::try_from(cores).is_ok_and(|cores| cores > core && cores > 1) {
        let mut set = CpuSet::new();
        set.set(core).unwrap();
        sched_setaffinity(Pid::from_raw(pid), &set).unwrap();
    }
}

/// A running server.
pub(crate) struct Daemon {
    child: Child,
    /// Where it is asked.
    pub(crate) at: SocketAddr,
}

impl Daemon {
    /// Starts one that serves nobody.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Self {
        let log_file = File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(log_file.try_clone().unwrap()).stderr(log_file);
        Self { child: command.spawn().unwrap(), at: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0) }
    }

    /// Starts it and waits for its first answer.
    pub(crate) fn start(command: Command, port: u16, log: &Path) -> Self {
        let mut daemon = Self::spawn(command, log);
        daemon.at.set_port(port);
        pin(daemon.pid(), 0);
        let probe = StdSocket::bind("127.0.0.1:0").unwrap();
        probe.connect(daemon.at).unwrap();
        probe.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        for _ in 0..300 {
            let _ = probe.send(&request(0));
            if probe.recv(&mut [0; 128]).is_ok() {
                return daemon;
            }
            let ended = daemon.child.try_wait().unwrap();
            assert!(ended.is_none(), "it does not start: {}", fs::read_to_string(log).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not answer: {}", fs::read_to_string(log).unwrap());
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// What all its threads have used of a core, in ns.
    pub(crate) fn cpu(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let used = |task: fs::DirEntry| {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap();
            text.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        tasks.map(|task| used(task.unwrap())).sum()
    }

    /// How often its threads went to sleep.
    pub(crate) fn wakeups(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let slept = |task: fs::DirEntry| {
            let text = fs::read_to_string(task.path().join("status")).unwrap();
            let found = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            found.unwrap().trim().parse::<u64>().unwrap()
        };
        tasks.map(|task| slept(task.unwrap())).sum()
    }

    /// A line of its `smaps_rollup`, in kB.
    pub(crate) fn memory(&self, line: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).unwrap();
        let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
        found.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Ends it by SIGTERM.
    pub(crate) fn end(mut self) {
        kill(Pid::from_raw(self.pid()), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody has.
pub(crate) fn free_port() -> u16 {
    StdSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A request whose transmit stamp is this number.
fn request(number: u64) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[0] = 0x23;
    bytes[2] = 6;
    bytes[40..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// Whom requests seem to come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Clients {
    /// One address and port.
    One,
    /// Addresses of 127.16.0.0/12, one after the other.
    InOrder(u32),
    /// The same, at random.
    AtRandom(u32),
}

/// What came of a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) answered: u64,
    pub(crate) lost: u64,
}

/// Sends this many requests, never more than `window` at once, and takes the answers.
pub(crate) fn load(to: SocketAddr, requests: u64, clients: Clients, window: u64) -> Outcome {
    let socket = UdpSocket::open(&UdpOptions::client(Family::V4)).unwrap();
    // nobody reads stamps here, and they cost the load's core
    setsockopt(&socket, Timestamping, &TimestampingFlag::empty()).unwrap();
    let mut out = SendBatch::new(usize::try_from(BATCH).unwrap(), 48);
    let mut back = ReceiveBatch::new(64, 128);
    let mut outcome = Outcome { answered: 0, lost: 0 };
    let (mut sent, mut first, mut under_way) = (0_u64, 0_u64, 0_u64);
    let mut dice = 88_172_645_463_325_252_u64;
    while outcome.answered + outcome.lost < requests {
        if requests > sent && window - under_way >= BATCH.min(requests - sent) {
            for _ in 0..BATCH.min(requests - sent) {
                let from = match clients {
                    Clients::One => None,
                    Clients::InOrder(count) => Some(sent % u64::from(count)),
                    Clients::AtRandom(count) => {
                        dice ^= dice << 13;
                        dice ^= dice >> 7;
                        dice ^= dice << 17;
                        Some(dice % u64::from(count))
                    }
                };
                let from =
                    from.map(|n| IpAddr::from(Ipv4Addr::from_bits(0x7f10_0001 + u32::try_from(n).unwrap())));
                out.push(&request(sent + 1), to, from).unwrap();
                sent += 1;
                under_way += 1;
            }
            assert_eq!(socket.send_batch(&mut out).failed, 0);
        }
        match socket.receive_batch(&mut back) {
            Ok(0) | Err(_) => {
                let woken = wait(&[socket.as_fd()], Some(clock::mono() + QUIET)).unwrap();
                if woken == Woken::Deadline {
                    outcome.lost += under_way;
                    (first, under_way) = (sent, 0);
                }
            }
            Ok(_) => {
                for packet in back.datagrams() {
                    let origin =
                        packet.bytes.get(24..32).map_or(0, |o| u64::from_be_bytes(o.try_into().unwrap()));
                    // one that was given up may still come
                    if packet.bytes.len() == 48 && packet.bytes[0] & 7 == 4 && origin > first {
                        outcome.answered += 1;
                        under_way -= 1;
                    }
                }
            }
        }
    }
    outcome
}

/// The middle one; of an even number the upper of the two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Figures, and which of them miss their limits.
#[derive(Default)]
pub(crate) struct Figures {
    missed: Vec<String>,
}

impl Figures {
    /// Prints a figure.
    pub(crate) fn note(&self, what: &str, value: f64, unit: &str) {
        println!("figure: {what}: {value:.2} {unit}");
    }

    /// Prints a figure that must not be over a limit.
    pub(crate) fn at_most(&mut self, what: &str, value: f64, limit: f64, unit: &str) {
        self.judge(what, value, &format!("at most {limit}"), unit, value <= limit);
    }

    /// Prints a figure that must not be under a limit.
    pub(crate) fn at_least(&mut self, what: &str, value: f64, limit: f64, unit: &str) {
        self.judge(what, value, &format!("at least {limit}"), unit, value >= limit);
    }

    fn judge(&mut self, what: &str, value: f64, wanted: &str, unit: &str, holds: bool) {
        let line = format!("{what}: {value:.2} {unit} ({wanted})");
        println!("figure: {line}{}", if holds { "" } else { "  MISSED" });
        if !holds {
            self.missed.push(line);
        }
    }

    /// Ends the program.
    pub(crate) fn end(self) -> std::process::ExitCode {
        if self.missed.is_empty() {
            return std::process::ExitCode::SUCCESS;
        }
        println!("missed:\n{}", self.missed.join("\n"));
        std::process::ExitCode::FAILURE
    }
}
