//! What following costs, beside chronyd: with four sources as perf.md §2 measures it, and how it grows with many (§5b).

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ntpbox::driver::server::{Binding, Remembering, Server};
use ntpbox::engine::access::Network;
use ntpbox::engine::server::Snapshot;
use ntpbox::sys::{clock, wait::wait};
use ntpbox::types::{LogInterval, Stratum, TimeDelta};

use super::lab::{Daemon, free_port};
use super::{Lab, Side};

/// When memory is read, and how long everything else is then watched.
const START: Duration = Duration::from_secs(30);
const WATCHED: Duration = Duration::from_secs(120);
/// The default poll interval.
const POLL: Duration = Duration::from_secs(64);
/// For how long the daemons with many sources are left alone, and watched.
const WARM: Duration = Duration::from_secs(30);
const BUSY: Duration = Duration::from_secs(30);

/// How many daemons were started: each has files of its own.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// A server of this host's clock on all addresses of loopback, while `work` runs; `work` learns its port and how often it has answered.
fn while_served<T>(work: impl FnOnce(u16, &AtomicU64) -> T) -> T {
    let (port, done, answered) = (free_port(), AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut server = Server::new(Remembering::default(), Binding::default());
            server.engine().access.set(Network::new(Ipv4Addr::UNSPECIFIED.into(), 0), true);
            server.listen(&[SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)]).unwrap();
            while !done.load(Ordering::Relaxed) {
                let mut rng = ntpbox::driver::random::KernelRng::default();
                let precision = LogInterval::from_log2(-23);
                server.set_snapshot(Snapshot::local(Stratum::new(3), precision, clock::now(), &mut rng));
                let fds: Vec<_> = server.descriptors().collect();
                wait(&fds, Some(clock::mono() + TimeDelta::from_millis(500))).unwrap();
                drop(fds);
                server.service(clock::mono(), &mut |_, _| ()).unwrap();
                let counters = server.engine().counters();
                answered.store(counters.kernel_rx + counters.daemon_rx, Ordering::Relaxed);
            }
        });
        let result = work(port, &answered);
        done.store(true, Ordering::Relaxed);
        result
    })
}

/// A daemon that serves nobody and follows `count` addresses of loopback.
fn follow(lab: &Lab, side: Side, count: u32, port: u16, options: &str) -> Option<Daemon> {
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-{count}-{number}", if side == Side::Ours { "ours" } else { "theirs" });
    let dir = lab.scratch.path();
    let mut text = format!("cmdport 0\nbindcmdaddress {}/{name}.sock\npidfile /\nuser root\n", dir.display());
    for number in 0..count {
        let address = Ipv4Addr::from_bits(0x7f01_0001 + number);
        writeln!(text, "server {address} port {port} {options}").unwrap();
    }
    let program = match side {
        Side::Ours => super::lab::ours(),
        Side::Theirs => lab.theirs.clone()?,
    };
    let words: &[&str] = if side == Side::Ours { &["chronyd"] } else { &[] };
    let mut command: Command = super::lab::harmless(program);
    command.args(words).args(["-d", "-x", "-U", "-f", &lab.scratch.file(&format!("{name}.conf"), &text)]);
    Some(Daemon::spawn(command, &dir.join(format!("{name}.log"))))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn per_minute(before: u64, after: u64) -> f64 {
    (after - before) as f64 * 60.0 / WATCHED.as_secs_f64()
}

/// What chronyd took with four sources where the limits were set, µs a minute (perf.md §2): on a shared machine ratios count.
const THEIR_CPU: f64 = 690.0;
/// Daemons of each kind that follow at one time: what one of them costs varies by half from run to run on a machine with neighbours.
const REPEATED: usize = 5;

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What a daemon has used so far.
#[derive(Clone, Copy)]
struct Used {
    /// RSS and private dirty, kB.
    memory: [f64; 2],
    wakeups: u64,
    /// CPU, ns.
    cpu: u64,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn used(daemon: &Daemon) -> Used {
    let memory = ["Rss", "Private_Dirty"].map(|line| daemon.memory(line) as f64);
    Used { memory, wakeups: daemon.wakeups(), cpu: daemon.cpu() }
}

/// What one of them has used when it is watched, and at the end of that. It starts after `pause`.
fn watched(lab: &Lab, side: Side, port: u16, pause: Duration) -> Option<[Used; 2]> {
    std::thread::sleep(pause);
    let daemon = follow(lab, side, 4, port, "iburst")?;
    std::thread::sleep(START);
    let before = used(&daemon);
    std::thread::sleep(WATCHED);
    Some([before, used(&daemon)])
}

pub(super) fn four(lab: &mut Lab) {
    let sides = [(Side::Theirs, "chronyd"), (Side::Ours, "ours")];
    // a machine has one of them: they start one after another, so that none polls while another one has just filled the caches
    let pause = |place: u32| POLL * place / u32::try_from(REPEATED * sides.len()).unwrap_or(1);
    let places = (0..).take(REPEATED * sides.len());
    let all: Vec<(Side, [Used; 2])> = while_served(|port, _| {
        let lab = &*lab;
        std::thread::scope(|scope| {
            let threads: Vec<_> = places
                .zip(sides.iter().cycle())
                .map(|(place, (side, _))| {
                    (*side, scope.spawn(move || watched(lab, *side, port, pause(place))))
                })
                .collect();
            threads.into_iter().filter_map(|(side, thread)| Some((side, thread.join().unwrap()?))).collect()
        })
    });
    let mut their_cpu = None;
    for (side, name) in sides {
        let of = |figure: &dyn Fn(&[Used; 2]) -> f64| {
            median(all.iter().filter(|(whose, _)| *whose == side).map(|(_, used)| figure(used)))
        };
        let cpu = of(&|[before, after]| per_minute(before.cpu, after.cpu) / 1e3);
        if cpu.is_nan() {
            continue;
        }
        let wakeups = of(&|[before, after]| per_minute(before.wakeups, after.wakeups));
        let [resident, dirty] = [0, 1].map(|place| of(&|[before, _]| before.memory[place]));
        // what chronyd takes tells how fast this machine is just now
        let pace = *their_cpu.get_or_insert(if side == Side::Theirs { cpu } else { THEIR_CPU }) / THEIR_CPU;
        let figures = [
            ("resident with four sources", resident, 2560.0, "kB"),
            ("private dirty with four sources", dirty, 300.0, "kB"),
            ("wake-ups with four sources", wakeups, 6.5, "a minute"),
            ("CPU with four sources", cpu, 700.0 * pace, "us a minute"),
        ];
        for (what, value, limit, unit) in figures {
            if side == Side::Ours {
                lab.figures.at_most(&format!("{name}, {what}"), value, limit, unit);
            } else {
                lab.figures.note(&format!("{name}, {what}"), value, unit);
            }
        }
        for (what, place) in [("resident", 0), ("private dirty", 1)] {
            let later = of(&|[_, after]| after.memory[place]);
            lab.figures.note(&format!("{name}, {what} two minutes later"), later, "kB");
        }
    }
}

/// Cost of a poll in us, and memory in kB, with this many sources.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn growth(lab: &Lab, side: Side, count: u32) -> Option<(f64, f64)> {
    while_served(|port, answered| {
        let daemon = follow(lab, side, count, port, "minpoll 0 maxpoll 0")?;
        std::thread::sleep(WARM);
        let before = (daemon.cpu(), answered.load(Ordering::Relaxed));
        std::thread::sleep(BUSY);
        let polls = answered.load(Ordering::Relaxed) - before.1;
        assert!(polls > 0, "it does not ask");
        Some(((daemon.cpu() - before.0) as f64 / 1e3 / polls as f64, daemon.memory("Private_Dirty") as f64))
    })
}

pub(super) fn sources(lab: &mut Lab) {
    for (side, name) in [(Side::Theirs, "chronyd"), (Side::Ours, "ours")] {
        let all: Vec<_> = [1, 10, 1000].into_iter().map_while(|count| growth(lab, side, count)).collect();
        let [few, some, many] = all[..] else {
            continue;
        };
        lab.figures.note(&format!("{name}, a poll with one source"), few.0, "us");
        lab.figures.note(&format!("{name}, a poll with 10 sources"), some.0, "us");
        let ratio = many.0 / few.0.max(some.0);
        let each = (many.1 - some.1) / 990.0;
        if side == Side::Ours {
            lab.figures.note("ours, a poll with 1000 sources", many.0, "us");
            lab.figures.at_most("ours, a poll with 1000 sources, to one with few", ratio, 1.25, "times");
            lab.figures.at_most("ours, memory of a source", each, 16.0, "kB");
        } else {
            lab.figures.note("chronyd, a poll with 1000 sources", many.0, "us");
            lab.figures.note("chronyd, a poll with 1000 sources, to one with few", ratio, "times");
            lab.figures.note("chronyd, memory of a source", each, "kB");
        }
    }
}
