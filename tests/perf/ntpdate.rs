//! What a query costs, beside the classic ntpdate and ntpsec's ntpdig in one run: `cargo bench --bench ntpdate`.
//!
//! As root it moves to a network namespace of its own, without CAP_SYS_TIME, serves on 127.0.0.1:123 and asks with all
//! three (the originals know no other port); without root it asks with ours alone. Best of the rounds, the programs in
//! turn within each: this is a shared machine, so the ratios count.
#![expect(clippy::print_stdout, reason = "a program of the tests: its table is its output")]
#![expect(clippy::disallowed_methods, reason = "what is measured is time")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{Error, Result};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use ntpbox::sys::clock;
use ntpbox::sys::wait::wait;
use ntpbox::types::{Leap, LogInterval, Mode, MonoTime, NtpShort, NtpTimestamp, RefId, Stratum, TimeDelta};
use ntpbox::wire::ntp::Header;

/// Our binary; NTPBOX_BIN names another one.
static OURS: LazyLock<String> =
    LazyLock::new(|| std::env::var("NTPBOX_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_ntpbox").to_owned()));
const INSIDE: &str = "NTPBOX_BENCH_INSIDE";
const ROUNDS: usize = 9;

/// A server that answers half a `trip` after it stamped the request, which it held for the other half.
struct Server {
    port: u16,
    asked: Arc<AtomicU32>,
}

impl Server {
    fn start(address: &str, trip: Duration) -> Result<Self> {
        let socket = UdpSocket::bind(address)?;
        let port = socket.local_addr()?.port();
        let asked = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        std::thread::spawn(move || serve(&socket, trip, &counter));
        Ok(Self { port, asked })
    }
}

/// Replies that wait for their time, earliest first.
fn serve(socket: &UdpSocket, trip: Duration, asked: &AtomicU32) {
    let mut waiting: BinaryHeap<Reverse<(MonoTime, [u8; 48], SocketAddr)>> = BinaryHeap::new();
    let mut buffer = [0; 256];
    let held = TimeDelta::from_nanos(i64::try_from(trip.as_nanos()).unwrap_or(0));
    let _ = socket.set_nonblocking(true);
    loop {
        // select, not a timeout of the socket, which the kernel rounds up by milliseconds
        let until = waiting.peek().map(|Reverse((at, ..))| *at);
        let _ = wait(&[socket.as_fd()], until);
        let arrived = socket.recv_from(&mut buffer).ok();
        if let Some((length, from)) = arrived {
            asked.fetch_add(1, Ordering::Relaxed);
            let Ok(request) = Header::parse(&buffer[..length]) else { continue };
            let reply = answer(&request, TimeDelta::from_nanos(held.as_nanos() / 2)).emit();
            if trip.is_zero() {
                let _ = socket.send_to(&reply, from);
            } else {
                waiting.push(Reverse((clock::mono() + held, reply, from)));
            }
        }
        while waiting.peek().is_some_and(|Reverse((at, ..))| *at <= clock::mono()) {
            let Some(Reverse((_, reply, to))) = waiting.pop() else { break };
            let _ = socket.send_to(&reply, to);
        }
    }
}

fn answer(request: &Header, later: TimeDelta) -> Header {
    let now = clock::now() + later;
    Header {
        leap: Leap::None,
        version: request.version,
        mode: Mode::Server,
        stratum: Stratum::new(2),
        poll: request.poll,
        precision: LogInterval::from_log2(-20),
        root_delay: NtpShort::ZERO,
        root_dispersion: NtpShort::ZERO,
        refid: RefId::from_bits(0x0a4e_0009),
        reference: NtpTimestamp::from_timestamp(now - TimeDelta::from_secs(8)),
        origin: request.transmit,
        receive: NtpTimestamp::from_timestamp(now),
        transmit: NtpTimestamp::from_timestamp(now),
    }
}

/// A program under test, and what its best round took.
struct Program {
    name: &'static str,
    words: Vec<String>,
    /// Variables that its libraries need.
    variables: Vec<(String, String)>,
    rounds: usize,
    wall: Duration,
    cpu: Duration,
    /// Largest resident set, in kB.
    resident: i64,
}

impl Program {
    fn new(name: &'static str, words: &[&str]) -> Self {
        Self {
            name,
            words: words.iter().map(|&word| word.to_owned()).collect(),
            variables: Vec::new(),
            rounds: ROUNDS,
            wall: Duration::MAX,
            cpu: Duration::MAX,
            resident: 0,
        }
    }

    /// A program of tests/compat/get, without the shell of its wrapper, which would be measured too.
    fn unpacked(name: &'static str, package: &str, rounds: usize, words: &[&str]) -> Option<Self> {
        let get = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compat/get");
        let got = Command::new(get).arg(package).stderr(Stdio::null()).output().ok()?;
        let bin = String::from_utf8(got.stdout).ok()?;
        let wrapper = std::fs::read_to_string(format!("{}/{name}", bin.trim())).ok()?;
        // NAME='VALUE' … exec $q 'PROGRAM' "$@"
        let parts: Vec<&str> = wrapper.split('\'').collect();
        let pairs = parts.windows(2).step_by(2);
        let variables = pairs
            .filter_map(|pair| {
                let name = pair[0].strip_suffix('=')?.rsplit([' ', '\n']).next()?;
                Some((name.to_owned(), pair[1].to_owned()))
            })
            .collect();
        let program = parts.get(parts.len().checked_sub(2)?)?;
        Some(Self { variables, rounds, ..Self::new(name, &[&[*program], words].concat()) })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn round(&mut self) -> Result<()> {
        let (before, start) = (children()?, Instant::now());
        let status = self.command().status()?;
        let wall = start.elapsed();
        if !status.success() {
            return Err(Error::other(format!("{}: {status}", self.words.join(" "))));
        }
        self.wall = self.wall.min(wall);
        self.cpu = self.cpu.min(children()?.0 - before.0);
        self.resident = self.resident.max(before.1);
        Ok(())
    }
}

/// Processor time of all children that ended, and the largest resident set among them, in kB.
fn children() -> Result<(Duration, i64)> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok((Duration::from_micros(time.unsigned_abs()), usage.max_rss()))
}

/// The largest resident set of one program, in kB: seen by a process that has no other child.
fn resident(words: &[String]) -> Result<()> {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status()?;
    println!("{}", children()?.1);
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Asks for a figure and says whether it was met.
fn verdict(what: &str, value: f64, limit: f64, unit: &str) -> bool {
    let met = value <= limit;
    println!("figure: {what}: {value:.2} {unit} (limit {limit:.2}){}", if met { "" } else { "  MISSED" });
    met
}

fn beside_the_originals() -> Result<bool> {
    let root = std::env::var_os(INSIDE).is_some();
    let server = Server::start(if root { "127.0.0.1:123" } else { "127.0.0.1:0" }, Duration::ZERO)?;
    let port = server.port.to_string();
    let mut programs = vec![
        Program::new("/bin/true", &["/bin/true"]),
        Program::new("ntpbox ntpdate", &[&OURS, "ntpdate", "-q", "-p", "4", "--port", &port, "127.0.0.1"]),
        Program::new("ntpbox, 1 sample", &[&OURS, "ntpdate", "-q", "-p", "1", "--port", &port, "127.0.0.1"]),
    ];
    if root {
        // a round of the classic one takes six seconds
        let classic = Program::unpacked("ntpdate", "ntpdate@bullseye", 2, &["-q", "-p", "4", "127.0.0.1"]);
        let digger = Program::unpacked("ntpdig", "ntpsec-ntpdig", ROUNDS, &["-p", "4", "127.0.0.1"]);
        for (program, name) in [(classic, "ntpdate"), (digger, "ntpdig")] {
            match program {
                Some(program) => programs.push(program),
                None => println!("skipped: {name} cannot be had"),
            }
        }
    }
    for round in 0..ROUNDS {
        for program in programs.iter_mut().filter(|program| round < program.rounds) {
            program.round()?;
        }
    }
    let before = server.asked.load(Ordering::Relaxed);
    programs[1].round()?;
    let packets = server.asked.load(Ordering::Relaxed) - before;
    println!("{:<18} {:>10} {:>10} {:>10}", "", "wall ms", "CPU ms", "RSS kB");
    for program in &mut programs {
        let mut seen = Command::new(std::env::current_exe()?);
        seen.envs(program.variables.iter().map(|(name, value)| (name, value)));
        let seen = seen.arg("--resident").args(&program.words).output()?;
        program.resident = String::from_utf8_lossy(&seen.stdout).trim().parse().map_err(Error::other)?;
        let (wall, cpu) = (milliseconds(program.wall), milliseconds(program.cpu));
        println!("{:<18} {wall:>10.2} {cpu:>10.2} {:>10}", program.name, program.resident);
    }
    let (floor, ours) = (&programs[0], &programs[1]);
    let over = milliseconds(ours.wall) - milliseconds(floor.wall);
    let mut met = verdict("wall over a bare process, -p 4", over, 3.0, "ms");
    met &= verdict("CPU", milliseconds(ours.cpu), 2.0, "ms");
    #[expect(clippy::cast_precision_loss, reason = "some thousand kB")]
    let resident = ours.resident as f64;
    met &= verdict("RSS", resident, 3.0 * 1024.0, "kB");
    println!("figure: requests on the wire: {packets} (must be 4)");
    Ok(met && packets == 4)
}

fn over_a_distance() -> Result<bool> {
    let trip = Duration::from_millis(40);
    let far = Server::start("127.0.0.1:0", trip)?;
    let port = far.port.to_string();
    let query = |words: &[&str]| -> Result<Duration> {
        let all = [&[&OURS, "ntpdate", "-q", "--port", &port], words, &["127.0.0.1"]].concat();
        let mut program = Program::new("", &all);
        for _ in 0..ROUNDS {
            program.round()?;
        }
        Ok(program.wall)
    };
    let one = milliseconds(query(&["-p", "1"])?);
    let four = milliseconds(query(&["-p", "4", "--interval", "0"])?);
    let met = verdict("one sample at a round trip of 40 ms", one, 40.0 + 3.0, "ms");
    Ok(met & verdict("-p 4 --interval 0 at a round trip of 40 ms", four, 160.0 + 5.0, "ms"))
}

fn many_servers() -> Result<bool> {
    let first = Server::start("127.0.0.2:0", Duration::from_millis(200))?;
    let port = first.port.to_string();
    let mut servers = vec![first];
    for number in 3..=201_u32 {
        let trip = Duration::from_millis(u64::from(number % 20));
        servers.push(Server::start(&format!("127.0.0.{number}:{port}"), trip)?);
    }
    let addresses: Vec<String> = (2..=201).map(|number| format!("127.0.0.{number}")).collect();
    let asked = |addresses: &[String]| {
        let mut words = vec![OURS.as_str(), "ntpdate", "-q", "-p", "1", "--port", &port];
        words.extend(addresses.iter().map(String::as_str));
        Program::new("", &words)
    };
    let (mut slowest, mut all) = (asked(&addresses[..1]), asked(&addresses));
    for _ in 0..ROUNDS {
        slowest.round()?;
        all.round()?;
    }
    let (slowest, all) = (milliseconds(slowest.wall), milliseconds(all.wall));
    println!("the slowest of 200 servers alone: {slowest:.2} ms");
    Ok(verdict("200 servers, over the slowest of them alone", all - slowest, slowest * 0.1, "ms"))
}

/// As root: this program again, in a network of its own, unable to set the clock.
fn move_inside() -> Option<Error> {
    if !nix::unistd::geteuid().is_root() || std::env::var_os(INSIDE).is_some() {
        return None;
    }
    let script = "ip link set lo up && exec \"$0\" \"$@\"";
    let this = std::env::current_exe().ok()?;
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time", "unshare", "-n", "sh", "-c", script]);
    Some(command.arg(this).args(std::env::args().skip(1)).env(INSIDE, "1").exec())
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "--resident") {
        return resident(&words[1..]);
    }
    if let Some(error) = move_inside() {
        return Err(error);
    }
    let met = [beside_the_originals()?, over_a_distance()?, many_servers()?];
    if met == [true; 3] { Ok(()) } else { Err(Error::other("a figure was missed")) }
}
