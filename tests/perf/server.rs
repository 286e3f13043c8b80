//! What serving costs, beside chronyd 4.9 in one run: `cargo bench --bench server [-- PART...]`.
//!
//! Parts: `instructions` and `memory` (the default: they do not depend on what else the machine does), `throughput`, `clients`,
//! `rules`, `four` and `sources` (what following costs), or `all`. Servers run on the first core, the load comes from the second, over loopback; rounds take turns. A figure
//! beyond its limit is marked, and the exit code is 1. What is missing (valgrind, chronyd) is a printed `skipped: REASON`.
//! `ours` among the parts leaves chronyd out: so `.ci/run` gates the instructions, with NTPBOX_BIN naming the release binary.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on says so by panicking"
)]

mod following;
mod lab;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use lab::{Clients, Daemon, Figures, Outcome, Scratch, WINDOW, free_port, harmless, load, median, peer, pin};

/// Requests of a round.
const ROUND: u64 = 200_000;
const ROUNDS: usize = 6;
/// Where the two sides are compared: many short rounds, so that what the neighbours of a machine do hits both alike.
const SHORT_ROUND: u64 = 20_000;
const SHORT_ROUNDS: usize = 60;
/// Requests under way where instructions are counted: so many that all batches are full, whatever else the machine does.
const FULL: u64 = 256;
/// After this time a start is over.
const IDLE: Duration = Duration::from_secs(28);
/// Clients of the part with many: a million.
const MANY: u32 = 1_000_000;

struct Lab {
    scratch: Scratch,
    theirs: Option<PathBuf>,
    figures: Figures,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Theirs,
}

impl Lab {
    /// The command of a server that everybody may ask, with further lines.
    fn command(&self, side: Side, port: u16, lines: &str, tool: &[&str]) -> Option<Command> {
        let dir = self.scratch.path().display();
        let text = format!(
            "allow\nlocal stratum 5\nport {port}\ncmdport 0\nbindcmdaddress {dir}/sock{port}\npidfile /\nuser root\n{lines}"
        );
        let conf = self.scratch.file(&format!("conf{port}"), &text);
        let program = match side {
            Side::Ours => lab::ours(),
            Side::Theirs => self.theirs.clone()?,
        };
        let mut words: Vec<PathBuf> = tool.iter().map(PathBuf::from).collect();
        words.push(program);
        if side == Side::Ours {
            words.push("chronyd".into());
        }
        let mut command = harmless(words.remove(0));
        command.args(words).args(["-d", "-x", "-U", "-f", &conf]);
        Some(command)
    }

    fn start(&self, side: Side, lines: &str) -> Option<Daemon> {
        let port = free_port();
        let command = self.command(side, port, lines, &[])?;
        Some(Daemon::start(command, port, &self.scratch.path().join(format!("log{port}"))))
    }
}

/// ns of a core for a request.
fn cost(daemon: &Daemon, requests: u64, clients: Clients) -> f64 {
    let before = daemon.cpu();
    let Outcome { answered, lost } = load(daemon.at, requests, clients, WINDOW);
    assert!(lost * 1000 <= requests, "{lost} requests lost");
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let cost = (daemon.cpu() - before) as f64 / answered as f64;
    cost
}

/// The costs of each side in turns, and their ratios, the first to the second, sorted.
fn in_turns(
    rounds: usize,
    mut one: impl FnMut() -> f64,
    mut other: impl FnMut() -> f64,
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        if round % 2 == 0 {
            ones.push(one());
            others.push(other());
        } else {
            others.push(other());
            ones.push(one());
        }
    }
    let mut ratios: Vec<f64> = ones.iter().zip(&others).map(|(one, other)| one / other).collect();
    ratios.sort_by(f64::total_cmp);
    (ones, others, ratios)
}

fn throughput(lab: &mut Lab) {
    let (Some(ours), Some(theirs)) = (lab.start(Side::Ours, ""), lab.start(Side::Theirs, "")) else { return };
    for daemon in [&ours, &theirs] {
        load(daemon.at, 20_000, Clients::One, WINDOW);
    }
    let ask = |daemon: &Daemon| cost(daemon, SHORT_ROUND, Clients::One);
    let (their_ns, our_ns, ratios) = in_turns(SHORT_ROUNDS, || ask(&theirs), || ask(&ours));
    lab.figures.note("chronyd, replies per second and core", 1e9 / median(their_ns), "");
    lab.figures.note("ours, replies per second and core", 1e9 / median(our_ns), "");
    for (part, name) in [(1, "a quarter of the rounds is below"), (3, "a quarter is above")] {
        lab.figures.note(&format!("ours to chronyd's, {name}"), ratios[SHORT_ROUNDS * part / 4], "times");
    }
    lab.figures.at_least("replies per second and core, ours to chronyd's", median(ratios), 1.25, "times");
}

fn memory(lab: &mut Lab) {
    let sides = [Side::Theirs, Side::Ours];
    let daemons: Vec<_> = sides.iter().filter_map(|side| Some((*side, lab.start(*side, "")?))).collect();
    // pages of a new binary count as dirty until they are on the disk
    nix::unistd::sync();
    std::thread::sleep(IDLE);
    for (side, daemon) in daemons {
        #[expect(clippy::cast_precision_loss, reason = "kilobytes")]
        let kilobytes = |line| daemon.memory(line) as f64;
        let (resident, dirty) = (kilobytes("Rss"), kilobytes("Private_Dirty"));
        if side == Side::Ours {
            lab.figures.at_most("ours, resident when idle", resident, 2048.0, "kB");
            lab.figures.at_most("ours, private dirty when idle", dirty, 300.0, "kB");
        } else {
            lab.figures.note("chronyd, resident when idle", resident, "kB");
            lab.figures.note("chronyd, private dirty when idle", dirty, "kB");
        }
    }
}

/// Limit of the user instructions that an answer costs.
const MOST_INSTRUCTIONS: f64 = 400.0;

fn instructions(lab: &mut Lab) {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return println!("skipped: no valgrind");
    }
    for (side, name) in [(Side::Theirs, "chronyd"), (Side::Ours, "ours")] {
        let what = format!("{name}, user instructions a request");
        // a busy machine cuts the batches short: that only adds
        let mut each = instructions_a_request(lab, side);
        for _ in 0..2 {
            each = each.filter(|count| side == Side::Theirs || *count <= MOST_INSTRUCTIONS).or_else(|| {
                let again = instructions_a_request(lab, side)?;
                Some(each.map_or(again, |count| count.min(again)))
            });
        }
        match each {
            Some(each) if side == Side::Ours => lab.figures.at_most(&what, each, MOST_INSTRUCTIONS, ""),
            Some(each) => lab.figures.note(&what, each, ""),
            None => {}
        }
    }
}

/// Of one side, from the difference of two runs; `None`: it is not here.
fn instructions_a_request(lab: &mut Lab, side: Side) -> Option<f64> {
    let mut counted = [(0, 0); 2];
    for (slot, requests) in counted.iter_mut().zip([2_000, 22_000]) {
        let port = free_port();
        let out = lab.scratch.path().join("callgrind");
        let file = format!("--callgrind-out-file={}", out.display());
        let tool = ["valgrind", "--tool=callgrind", "--trace-children=yes", &file];
        let daemon =
            Daemon::start(lab.command(side, port, "", &tool)?, port, &lab.scratch.path().join("log"));
        let outcome = load(daemon.at, requests, Clients::One, FULL);
        daemon.end();
        let text = std::fs::read_to_string(&out).unwrap();
        let total =
            text.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
        *slot = (total.unwrap().trim().parse::<u64>().unwrap(), outcome.answered);
    }
    let [(few, few_answers), (many, many_answers)] = counted;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let each = (many - few) as f64 / (many_answers - few_answers) as f64;
    Some(each)
}

fn clients(lab: &mut Lab) {
    const LINES: &str = "clientloglimit 40000000\n";
    for side in [Side::Theirs, Side::Ours] {
        let Some(daemon) = lab.start(side, LINES) else { continue };
        let one = || cost(&daemon, ROUND, Clients::One);
        let before = daemon.memory("Private_Dirty");
        load(daemon.at, u64::from(MANY), Clients::InOrder(MANY), WINDOW);
        #[expect(clippy::cast_precision_loss, reason = "kilobytes")]
        let grown = (daemon.memory("Private_Dirty") - before) as f64;
        let (many_ns, one_ns, ratios) =
            in_turns(ROUNDS, || cost(&daemon, ROUND, Clients::AtRandom(MANY)), one);
        let ratio = median(ratios);
        let name = if side == Side::Ours { "ours" } else { "chronyd" };
        lab.figures.note(&format!("{name}, one client"), median(one_ns), "ns a request");
        lab.figures.note(&format!("{name}, a million clients"), median(many_ns), "ns a request");
        let dropped = dropped(lab, &daemon);
        if side == Side::Ours {
            lab.figures.at_most("ours, cost with a million clients", ratio, 1.25, "times that with one");
            lab.figures.at_most("ours, memory of a million clients", grown, 40_000.0, "kB");
            lab.figures.at_most("ours, clients forgotten of a million", dropped, 0.0, "");
        } else {
            lab.figures.note("chronyd, cost with a million clients, in times that with one", ratio, "");
            lab.figures.note("chronyd, memory of a million clients", grown, "kB");
            lab.figures.note("chronyd, clients forgotten", dropped, "");
        }
    }
}

/// `log_drops` of a daemon.
fn dropped(lab: &Lab, daemon: &Daemon) -> f64 {
    let socket = lab.scratch.path().join(format!("sock{}", daemon.at.port()));
    let ran = Command::new(lab::ours())
        .args(["chronyc", "-c", "-h", socket.to_str().unwrap(), "serverstats"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    text.split(',').nth(4).unwrap_or_else(|| panic!("{ran:?}")).parse().unwrap()
}

fn rules(lab: &mut Lab) {
    // every third /24 of 64.0.0.0/2 may not ask, and as many networks that nobody comes from
    let rules: String = (0..100_000_u32)
        .map(|n| {
            let address = std::net::Ipv4Addr::from_bits(0x4000_0000 + ((n * 3) << 8));
            format!("deny {address}/{}\n", 24 + n % 9)
        })
        .collect();
    let near: String = (0..256).map(|n| format!("allow 127.0.{n}.0/24\ndeny 127.0.{n}.128/25\n")).collect();
    for side in [Side::Theirs, Side::Ours] {
        let (Some(none), Some(many)) = (lab.start(side, ""), lab.start(side, &format!("{rules}{near}")))
        else {
            continue;
        };
        let (.., ratios) =
            in_turns(ROUNDS, || cost(&many, ROUND, Clients::One), || cost(&none, ROUND, Clients::One));
        let ratio = median(ratios);
        if side == Side::Ours {
            lab.figures.at_most("ours, cost with 100 512 rules", ratio, 1.1, "times that with one");
        } else {
            lab.figures.note("chronyd, cost with 100 512 rules, in times that with one", ratio, "");
        }
    }
}

fn main() -> ExitCode {
    pin(0, 1);
    let mut asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let both = asked.len();
    asked.retain(|word| word != "ours");
    let theirs = if asked.len() == both { peer("chrony@sid", "chronyd") } else { None };
    let mut lab = Lab { scratch: Scratch::new(), theirs, figures: Figures::default() };
    type Part = (&'static str, fn(&mut Lab));
    let parts: [Part; 7] = [
        ("instructions", instructions),
        ("memory", memory),
        ("throughput", throughput),
        ("clients", clients),
        ("rules", rules),
        ("four", following::four),
        ("sources", following::sources),
    ];
    for (name, part) in parts {
        let wanted = if asked.is_empty() {
            name == "instructions" || name == "memory"
        } else {
            asked.iter().any(|word| word == name || word == "all")
        };
        if wanted {
            println!("== {name}");
            part(&mut lab);
        }
    }
    lab.figures.end()
}
