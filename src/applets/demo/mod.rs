//! `ntpbox demo`: the tools at work on this host, without root and without a network.
//!
//! The servers are in this process, on loopback; the commands are our own executable, started as a user would start it, and they
//! talk to the servers through real sockets. Only commands that query are run.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Command;

use super::io::Io;
use super::output::{Answer, print_json};
use super::{Applet, Invocation, Kind, Outcome, native};
use crate::driver::random::KernelRng;
use crate::driver::responder::{Responder, attend};
use crate::report::{DemoCommand, DemoServer, Demonstration, Level, Message, ReportSchema};
use crate::sys::child::Child;
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

/// What is shown; `PORT` stands for the servers' port.
const SCRIPT: [&[&str]; 2] = [
    &["ntpdate", "--port", "PORT", "-q", "127.0.0.1", "127.0.0.2", "127.0.0.3"],
    &["ntpdate", "--port", "PORT", "-q", "--json=pretty", "127.0.0.1"],
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
        port = server.address()?.port();
        servers.push(server);
    }
    Ok((servers, port))
}

/// Runs the script; under `--json` nothing is printed on the way.
fn show(
    servers: &mut [Responder],
    port: u16,
    invocation: &Invocation,
    io: &mut Io,
) -> Result<Demonstration, SysError> {
    let executable = links::executable()?;
    let mut report = Demonstration { servers: Vec::new(), commands: Vec::new() };
    for (server, ahead) in servers.iter().zip(AHEAD) {
        let address = server.address()?.ip().to_string();
        report.servers.push(DemoServer { address, port, offset_s: Secs::from(ahead) });
    }
    if invocation.json.is_none() {
        write!(io.out, "{}", introduction(&report));
    }
    let mut rng = KernelRng::default();
    let port = port.to_string();
    for words in SCRIPT {
        let words: Vec<&str> = words.iter().map(|word| if *word == "PORT" { &port } else { *word }).collect();
        let command = format!("ntpbox {}", words.join(" "));
        if invocation.json.is_none() {
            writeln!(io.out, "\n+ {command}");
            io.out.flush();
        }
        let child = Child::start(&executable.path, &words)?;
        let finished = attend(servers, child, clock::mono() + PATIENCE, &mut rng)?;
        if invocation.json.is_none() {
            io.out.write_bytes(&finished.stdout);
            io.err.write_bytes(&finished.stderr);
        }
        report.commands.push(DemoCommand {
            command,
            exit_code: finished.code,
            stdout: String::from_utf8_lossy(&finished.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&finished.stderr).into_owned(),
        });
    }
    Ok(report)
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
