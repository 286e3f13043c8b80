//! `ntpbox demo`: the tools at work on this host, without root and without a network.
//!
//! The servers are in this process, on loopback; the commands are our own executable, started as a user would start it, and they
//! talk to the servers through real sockets. Only commands that query are run, and daemons that leave the clock alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Command;

use super::io::Io;
use super::output::{Answer, print_json};
use super::{Applet, Invocation, Kind, Outcome, native};
use crate::driver::random::KernelRng;
use crate::driver::responder::{Responder, attend};
use crate::report::{DemoCommand, DemoServer, Demonstration, Level, Message, ReportSchema};
use crate::sys::child::{Child, Finished};
use crate::sys::net::{UdpOptions, UdpSocket};
use crate::sys::wait::wait;
use crate::sys::{Errno, SysError, clock, links};
use crate::types::{Secs, TimeDelta};

/// The report of this applet.
pub const SCHEMA: ReportSchema = ReportSchema::of::<Demonstration>("ntpbox/demo/1");

/// The row of the applet table.
pub const APPLET: Applet = Applet {
    names: &["demo"],
    kind: Kind::Native,
    section: 1,
    command,
    about: include_str!("about.md"),
    run,
};

/// How far the clocks of the servers are put ahead, one server for each; the minority is wrong.
const AHEAD: [TimeDelta; 3] = [TimeDelta::ZERO, TimeDelta::ZERO, TimeDelta::from_secs(2)];
/// How often a port is looked for that is free on all addresses.
const ATTEMPTS: usize = 16;
/// A command that takes longer is ended.
const PATIENCE: TimeDelta = TimeDelta::from_secs(30);

/// What the daemons are given to open their sockets.
const OPENING: TimeDelta = TimeDelta::from_millis(300);

/// What is asked of the servers in this process; `PORT` stands for their port.
const SCRIPT: [&[&str]; 2] = [
    &["ntpdate", "--port", "PORT", "-q", "127.0.0.1", "127.0.0.2", "127.0.0.3"],
    &["ntpdate", "--port", "PORT", "-q", "--json=pretty", "127.0.0.1"],
];

/// Two daemons; `LEADER` and `FOLLOWER` stand for their NTP ports, `COMMANDS` for the port of the second one's commands.
const DAEMONS: [&[&str]; 2] = [
    &[
        "chronyd",
        "-x",
        "-d",
        "-U",
        "port LEADER",
        "local stratum 3",
        "allow 127/8",
        "cmdport 0",
        "bindaddress 127.0.0.1",
        "bindcmdaddress /",
        "pidfile /",
    ],
    &[
        "chronyd",
        "-x",
        "-d",
        "-U",
        "server 127.0.0.1 port LEADER iburst minpoll -2 maxpoll 0",
        "port FOLLOWER",
        "allow 127/8",
        "cmdport COMMANDS",
        "bindaddress 127.0.0.1",
        "bindcmdaddress /",
        "bindcmdaddress 127.0.0.1",
        "pidfile /",
    ],
];
/// What is asked of the daemon that follows the other.
const FOLLOWING: [&[&str]; 4] = [
    &["chronyc", "-h", "127.0.0.1", "-p", "COMMANDS", "waitsync", "50", "0", "0", "0.2"],
    &["chronyc", "-n", "-h", "127.0.0.1", "-p", "COMMANDS", "sources"],
    &["chronyc", "-n", "-h", "127.0.0.1", "-p", "COMMANDS", "tracking"],
    &["ntpdate", "--port", "FOLLOWER", "-q", "127.0.0.1"],
];

fn command() -> Command {
    Command::new("demo")
        .about("show the tools at work against servers on loopback")
        .disable_version_flag(true)
}

fn run(invocation: &Invocation, io: &mut Io) -> Outcome {
    if let Err(outcome) = native::parse(command(), SCHEMA.name, invocation, io) {
        return outcome;
    }
    let shown = open().and_then(|(mut servers, port)| show(&mut servers, port, invocation, io));
    let report = match shown {
        Ok(report) => report,
        Err(error) => return native::fail_sys(SCHEMA.name, &error, &[], invocation, io),
    };
    let failed = report.commands.iter().filter(|c| c.exit_code != 0);
    let messages: Vec<_> = failed
        .map(|c| Message {
            level: Level::Error,
            code: "command-failed",
            text: format!("{}: exit code {}", c.command, c.exit_code),
        })
        .collect();
    let outcome = if messages.is_empty() { Outcome::SUCCESS } else { Outcome::FAILURE };
    for message in &messages {
        writeln!(io.err, "ntpbox demo: {}", message.text);
    }
    if let Some(mode) = invocation.json {
        let answer = Answer { schema: SCHEMA.name, data: Some(&report), messages: &messages, error: None };
        print_json(io, mode, clock::now(), outcome, &answer);
    }
    outcome
}

/// Opens the servers on 127.0.0.1, 127.0.0.2 …, all on one free port.
fn open() -> Result<(Vec<Responder>, u16), SysError> {
    let mut attempt = 0;
    loop {
        match open_at_one_port() {
            Err(error) if error.errno == Errno::EADDRINUSE && attempt < ATTEMPTS => attempt += 1,
            other => return other,
        }
    }
}

fn open_at_one_port() -> Result<(Vec<Responder>, u16), SysError> {
    let mut servers = Vec::new();
    let mut port = 0;
    for (last, ahead) in (1..).zip(AHEAD) {
        let server = Responder::open(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), port)), ahead)?;
        port = server.address().port();
        servers.push(server);
    }
    Ok((servers, port))
}

/// Runs the scripts; under `--json` nothing is printed on the way.
fn show(
    servers: &mut [Responder],
    port: u16,
    invocation: &Invocation,
    io: &mut Io,
) -> Result<Demonstration, SysError> {
    let mut report = Demonstration { servers: Vec::new(), commands: Vec::new() };
    for (server, ahead) in servers.iter().zip(AHEAD) {
        let address = server.address().ip().to_string();
        report.servers.push(DemoServer { address, port, offset_s: Secs::from(ahead) });
    }
    let mut stage =
        Stage { executable: links::executable()?.path, shows: invocation.json.is_none(), io, report };
    stage.say(&introduction(&stage.report));
    let mut rng = KernelRng::default();
    for words in SCRIPT {
        stage.command(words, &[("PORT", port)], servers, &mut rng)?;
    }
    let ports = free_ports()?;
    stage.say("\nTwo daemons, one following the other; they leave the clock alone (-x):\n");
    let mut daemons = Vec::new();
    for words in DAEMONS {
        daemons.push(stage.start(words, &ports)?);
    }
    // they open their sockets; chronyc would say that it cannot talk to the daemon, and try again
    wait(&[], Some(clock::mono() + OPENING))?;
    let mut shown = Ok(());
    for words in FOLLOWING {
        shown = shown.and_then(|()| stage.command(words, &ports, &mut [], &mut rng));
    }
    for ((command, mut daemon), which) in daemons.into_iter().zip(["first", "second"]) {
        daemon.terminate();
        let finished = attend(&mut [], daemon, clock::mono() + PATIENCE, &mut rng)?;
        stage.say(&format!("\nThe log of the {which} daemon:\n"));
        stage.done(command, &finished);
    }
    shown.map(|()| stage.report)
}

/// Free UDP ports of this host for the names in [`DAEMONS`]. Another program could take one before a daemon does; the
/// daemon says so then.
fn free_ports() -> Result<[(&'static str, u16); 3], SysError> {
    let open = || UdpSocket::open(&UdpOptions::server(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
    // all at once, so that they differ
    let sockets = [open()?, open()?, open()?];
    let port = |socket: &UdpSocket| socket.local_address().map(|address| address.port());
    let [leader, follower, commands] = &sockets;
    Ok([("LEADER", port(leader)?), ("FOLLOWER", port(follower)?), ("COMMANDS", port(commands)?)])
}

/// Where commands are run and shown.
struct Stage<'a> {
    executable: PathBuf,
    shows: bool,
    io: &'a mut Io,
    report: Demonstration,
}

impl Stage<'_> {
    fn say(&mut self, text: &str) {
        if self.shows {
            write!(self.io.out, "{text}");
            self.io.out.flush();
        }
    }

    /// Starts a program with its ports in place, after its command was shown.
    fn start(&mut self, words: &[&str], ports: &[(&str, u16)]) -> Result<(String, Child), SysError> {
        let filled = |word: &&str| {
            ports.iter().fold((*word).to_owned(), |text, (name, port)| text.replace(name, &port.to_string()))
        };
        let words: Vec<String> = words.iter().map(filled).collect();
        let quoted = |word: &String| if word.contains(' ') { format!("'{word}'") } else { word.clone() };
        let command = format!("ntpbox {}", words.iter().map(quoted).collect::<Vec<_>>().join(" "));
        self.say(&format!("\n+ {command}\n"));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok((command, Child::start(&self.executable, &words)?))
    }

    /// Runs a program to its end while the servers answer.
    fn command(
        &mut self,
        words: &[&str],
        ports: &[(&str, u16)],
        servers: &mut [Responder],
        rng: &mut KernelRng,
    ) -> Result<(), SysError> {
        let (command, child) = self.start(words, ports)?;
        let finished = attend(servers, child, clock::mono() + PATIENCE, rng)?;
        self.done(command, &finished);
        Ok(())
    }

    /// Shows what a program said, and keeps it.
    fn done(&mut self, command: String, finished: &Finished) {
        if self.shows {
            self.io.out.write_bytes(&finished.stdout);
            self.io.out.flush();
            self.io.err.write_bytes(&finished.stderr);
        }
        self.report.commands.push(DemoCommand {
            command,
            exit_code: finished.code,
            stdout: String::from_utf8_lossy(&finished.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&finished.stderr).into_owned(),
        });
    }
}

fn introduction(report: &Demonstration) -> String {
    let mut text = String::from("Time servers in this process, on loopback; nothing is adjusted:\n");
    for server in &report.servers {
        let clock = match server.offset_s {
            Secs::ZERO => "this host's clock".to_owned(),
            offset => format!("{} s ahead of this host's clock", offset.get()),
        };
        text.push_str(&format!("  {} port {}: {clock}\n", server.address, server.port));
    }
    text
}
