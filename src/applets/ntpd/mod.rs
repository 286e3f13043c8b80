//! `ntpd` 4.2.8p15: ntp.conf in full, `restrict`, the local clock, control messages for ntpq, over the daemon's own engine.
//!
//! Deviations, all of decisions.md: port 123 is never shared; without CAP_SYS_TIME it serves all the same; without
//! `restrict default` strangers get the time and no control messages.

mod args;
mod following;
mod journal;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use self::args::{Args, Parsed};
use self::journal::Journal;
use super::io::Io;
use super::output::{Answer, print_json};
use super::{Applet, Invocation, Kind, Outcome};
use crate::auth::{Dialect, KeyRing, unreadable};
use crate::config::diagnostic::Severity;
use crate::config::ntp_conf::{self, Parsed as Configured};
use crate::config::ntp_model::{InterfaceAction, InterfaceScope, Ntp};
use crate::driver::daemon::KEY_FILE_LIMIT;
use crate::driver::files::Disk;
use crate::driver::lifecycle::{Begun, Fatal, Ground, Life, Opening};
use crate::driver::ntpd::{Gate, Rules, bounds, limit, socket_name, version_line};
use crate::driver::server::{Binding, Remembering, Server};
use crate::engine::access::Network;
use crate::engine::restrict::{Flags, Restrictions, Rule, describe};
use crate::report::ntpd::Check;
use crate::report::{ErrorReport, ReportSchema};
use crate::sys::log::Level;
use crate::sys::net::Family;
use crate::sys::signal::Signal;
use crate::sys::supervisor::Supervisor;
use crate::sys::user::{self, Capability};
use crate::sys::{Errno, SysError, clock, file, interface, ports};
use crate::types::KeyId;

/// The report of this applet.
pub const SCHEMA: ReportSchema = ReportSchema::of::<Check>("ntpbox/ntpd.check/1");

/// The row of the applet table.
pub const APPLET: Applet = Applet {
    names: &["ntpd"],
    kind: Kind::Legacy,
    section: 8,
    command: args::command,
    about: include_str!("about.md"),
    run,
};

/// Configuration files without `-c`: the first that exists.
const CONFIG_FILES: [&str; 2] = ["/etc/ntp.conf", "/etc/ntpsec/ntp.conf"];
/// More than this is no drift file.
const DRIFT_FILE_LIMIT: usize = 256;
/// Memory for interleaved mode.
const INTERLEAVED_BYTES: usize = 524_288;
/// Port of NTP.
const PORT: u16 = 123;
/// Real-time priority of `-N`.
const HIGH_PRIORITY: i32 = 1;

fn run(invocation: &Invocation, io: &mut Io) -> Outcome {
    let args = match args::parse(&invocation.args) {
        Parsed::Run(args) => args,
        Parsed::Help => {
            write!(io.out, "{}", args::USAGE);
            write!(io.out, "{}", args::command().render_help());
            return Outcome::SUCCESS;
        }
        Parsed::Version => {
            writeln!(io.out, "{}", version_line());
            return Outcome::SUCCESS;
        }
        Parsed::Wrong(line) => {
            writeln!(io.err, "{}: {line}", invocation.program);
            writeln!(io.err, "{}Try 'ntpd --help' for more information.", args::USAGE);
            return fail(invocation, io, "usage", line);
        }
    };
    if args.check {
        return check(invocation, &args, io);
    }
    let variable = |name: &str| io.env.get(name).cloned();
    let opening = Opening {
        name: "ntpd",
        ground: if args.foreground { Ground::Foreground } else { Ground::Daemon },
        log_file: None,
        lowest: Level::Info,
        supervisor: Supervisor { socket: variable("NOTIFY_SOCKET"), fd: None },
    };
    // relative names are meant from where we are now, which a daemon leaves
    let mut life = match Life::begin(opening) {
        Ok(Begun::Parent(code)) => return Outcome::Code(code),
        Ok(Begun::Daemon(life)) => life,
        Err(Fatal(line)) => return fail(invocation, io, "start", line),
    };
    let mut journal = Journal::new(args.foreground);
    let outcome = match live(invocation, &args, &mut life, &mut journal, io) {
        Ok(Lived::Ended(signal)) => {
            let number = signal as i32;
            journal.line(
                &life,
                Level::Notice,
                &format!("ntpd exiting on signal {number} ({})", name_of(signal)),
            );
            Outcome::SUCCESS
        }
        Ok(Lived::Code(outcome)) => outcome,
        Err(Fatal(line)) => {
            journal.line(&life, Level::Error, &line);
            if !args.foreground {
                life.fatal(&Fatal(line.clone()));
            }
            return fail(invocation, io, "start", line);
        }
    };
    life.end("ntpd");
    outcome
}

/// How a life ended.
enum Lived {
    /// By this signal.
    Ended(Signal),
    /// By itself, with this exit code.
    Code(Outcome),
}

fn name_of(signal: Signal) -> &'static str {
    match signal {
        Signal::SIGHUP => "Hangup",
        Signal::SIGINT => "Interrupt",
        Signal::SIGQUIT => "Quit",
        _ => "Terminated",
    }
}

/// The end of a run that did not come about.
fn fail(invocation: &Invocation, io: &mut Io, code: &'static str, line: String) -> Outcome {
    if let Some(mode) = invocation.json {
        let error = ErrorReport::legacy(code, line);
        let answer = Answer::<Check> { schema: SCHEMA.name, data: None, messages: &[], error: Some(&error) };
        print_json(io, mode, clock::now(), Outcome::FAILURE, &answer);
    }
    Outcome::FAILURE
}

fn config_file(args: &Args) -> String {
    let existing = || CONFIG_FILES.iter().find(|path| Path::new(path).exists());
    args.config.clone().unwrap_or_else(|| (*existing().unwrap_or(&CONFIG_FILES[0])).to_owned())
}

/// Reads the file, and what the command line says over it.
fn read_configuration(args: &Args) -> Configured {
    let mut configured = ntp_conf::parse_file(&config_file(args), &mut Disk);
    let config = &mut configured.config;
    let words = &mut config.words;
    for (given, slot) in [(&args.key_file, &mut words.keyfile), (&args.pid_file, &mut words.pidfile)] {
        if given.is_some() {
            slot.clone_from(given);
        }
    }
    if let Some(path) = &args.drift_file {
        config.driftfile = Some((path.clone(), 3600));
    }
    for server in &args.servers {
        let source = crate::config::source::Source::new(crate::config::source::Kind::Server, server);
        config.sources.push((source, crate::config::diagnostic::Place::default()));
    }
    if let Some(ntp) = &mut config.ntp {
        ntp.variables.extend(args.variables.iter().cloned());
        ntp.trusted_keys.extend(args.trusted.iter().map(|key| *key..=*key));
        ntp.broadcast_client |= args.broadcast_client;
        ntp.switches.auth = args.auth.unwrap_or(ntp.switches.auth);
        ntp.broadcast_delay = args.broadcast_delay.unwrap_or(ntp.broadcast_delay);
        for (given, slot) in [(&args.log_file, &mut ntp.logfile), (&args.stats_dir, &mut ntp.statsdir)] {
            if given.is_some() {
                slot.clone_from(given);
            }
        }
    }
    configured
}

/// `--check`: what the daemon would start with, and what is wrong.
fn check(invocation: &Invocation, args: &Args, io: &mut Io) -> Outcome {
    let configured = read_configuration(args);
    let config = &configured.config;
    let lines = |severity| {
        let mine = configured.diagnostics.iter().filter(move |d| d.severity == severity);
        mine.flat_map(|d| d.text.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let rules = config.ntp.as_deref().map(restrictions).unwrap_or_default();
    let dropped: Vec<String> = lines(Severity::Dropped).collect();
    let missing = !Path::new(&config_file(args)).exists();
    let report = Check {
        file: config_file(args),
        sources: config
            .sources
            .iter()
            .map(|(source, _)| format!("{} {}", source.kind, source.name))
            .collect(),
        restrictions: rules.list().iter().map(rule_text).collect(),
        local_stratum: config.local.map(|local| local.stratum),
        dropped,
        warnings: lines(Severity::Warning).chain(lines(Severity::Note)).collect(),
    };
    let failed = !report.dropped.is_empty() || missing;
    let outcome = if failed { Outcome::FAILURE } else { Outcome::SUCCESS };
    if let Some(mode) = invocation.json {
        let error = failed.then(|| {
            let first = report.dropped.first().or(report.warnings.first()).cloned();
            ErrorReport::legacy("configuration", first.unwrap_or_default())
        });
        let answer =
            Answer { schema: SCHEMA.name, data: Some(&report), messages: &[], error: error.as_ref() };
        print_json(io, mode, clock::now(), outcome, &answer);
        return outcome;
    }
    for line in report.dropped.iter().chain(&report.warnings) {
        writeln!(io.err, "{line}");
    }
    for source in &report.sources {
        writeln!(io.out, "source    {source}");
    }
    for rule in &report.restrictions {
        writeln!(io.out, "restrict  {rule}");
    }
    match report.local_stratum {
        Some(stratum) => writeln!(io.out, "local     stratum {stratum}"),
        None => writeln!(io.out, "local     off"),
    }
    outcome
}

fn rule_text(rule: &Rule) -> String {
    let text = describe(rule);
    match rule.as_network() {
        Some(network) => format!("{}/{} {text}", network.address(), network.bits()),
        None => format!("{} mask {} {text}", rule.address, rule.mask),
    }
}

fn restrictions(ntp: &Ntp) -> Restrictions {
    let mut list = Restrictions::new();
    for (rule, _) in &ntp.restrict {
        list.add(*rule);
    }
    list
}

/// From the first line in the log to the end of the service.
fn live(
    invocation: &Invocation,
    args: &Args,
    life: &mut Life,
    journal: &mut Journal,
    io: &mut Io,
) -> Result<Lived, Fatal> {
    journal.line(life, Level::Notice, &format!("{}: Starting", version_line()));
    let words: Vec<String> = invocation.args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    journal.line(life, Level::Info, &format!("Command line: {} {}", invocation.program, words.join(" ")));
    let mut configured = read_configuration(args);
    let ntp = configured.config.ntp.take().unwrap_or_default();
    if let Some(path) = &ntp.logfile {
        journal.open(life, path);
    }
    for diagnostic in configured.diagnostics.iter().filter(|d| d.severity != Severity::Note) {
        diagnostic.text.lines().for_each(|line| journal.line(life, Level::Error, line));
    }
    for option in &args.without_effect {
        journal.line(life, Level::Warning, &format!("Option {option} has no effect"));
    }
    if !ntp.restricts_default {
        let text = "no restrict default in the configuration: control messages of strangers are not answered";
        journal.line(life, Level::Notice, text);
    }
    serve(args, &configured, &ntp, life, journal, io)
}

fn serve(
    args: &Args,
    configured: &Configured,
    ntp: &Ntp,
    life: &mut Life,
    journal: &mut Journal,
    io: &mut Io,
) -> Result<Lived, Fatal> {
    let config = &configured.config;
    let user = match &args.user {
        Some(name) => named_user(name, life)?,
        None => None,
    };
    if let Some(path) = config.words.pidfile.as_ref().filter(|_| !args.quit) {
        life.claim("ntpd", Path::new(path))?;
    }
    let priority = args.priority.unwrap_or(if args.nice { HIGH_PRIORITY } else { 0 });
    life.hurry(priority.clamp(0, 99), args.lock_memory)?;
    let all_keys = keys(config.words.keyfile.as_deref(), life, journal);
    let mut keys = all_keys.clone();
    keys.retain(|id| ntp.trusts(id.get()));
    for (source, _) in config.sources.iter().filter(|(source, _)| source.key != 0) {
        if keys.get(KeyId::new(source.key)).is_none() {
            journal.line(life, Level::Warning, &format!("Key {} is missing", source.key));
        }
    }
    let mut server = server(args, ntp, &keys, life, journal)?;
    let mut gate = gate(ntp);
    gate.know_own(&interface::addresses(), &server.addresses().collect::<Vec<_>>(), clock::mono());
    server.set_gate(gate);
    let drift = following::drift_path(config).and_then(|path| drift(path, life, journal));
    let controls = controls(ntp, life, journal);
    let startup = (config_file(args), configured.lines.clone());
    let prepared = following::Prepared { args, config, ntp, keys, all_keys, drift, controls, startup };
    let mut daemon = following::daemon(prepared, server)?;
    if user.is_some() {
        life.become_user(user.as_ref(), &[Capability::SysTime, Capability::NetBindService])?;
    }
    for line in daemon.first_lines() {
        journal.line(life, Level::Info, &line);
    }
    life.ready()?;
    following::run(args, ntp, &mut daemon, life, journal, io)
}

/// The server on its sockets.
fn server(
    args: &Args,
    ntp: &Ntp,
    keys: &KeyRing,
    life: &Life,
    journal: &mut Journal,
) -> Result<Server, Fatal> {
    // pairs of stamps for interleaved mode; the limit is ntpd's own, before it
    let remembering = Remembering { bytes: Some(INTERLEAVED_BYTES), ..Remembering::default() };
    let mut server = Server::new(remembering, Binding::default());
    server.engine().keys = keys.clone();
    for any in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
        server.engine().access.set(Network::new(any, 0), true);
    }
    let addresses = addresses(args, ntp, life, journal);
    server.listen(&addresses).map_err(|error| port_taken(&error))?;
    if server.sockets() == 0 && !addresses.is_empty() {
        return Err(Fatal("Could not open NTP sockets".to_owned()));
    }
    for group in &ntp.multicast {
        if let Err(error) = server.join(*group) {
            journal.line(life, Level::Error, &format!("multicastclient {group}: {}", error.reason()));
        }
    }
    for (number, address) in server.addresses().enumerate() {
        let name = socket_name(&address);
        journal.line(life, Level::Info, &format!("Listen normally on {number} {name} {address}"));
    }
    Ok(server)
}

fn gate(ntp: &Ntp) -> Gate {
    let limited = ntp.restrict.iter().any(|(rule, _)| rule.flags.has(Flags::LIMITED));
    Gate::new(Rules {
        restrictions: restrictions(ntp),
        restricts_default: ntp.restricts_default,
        source: ntp.restrict_source.map(|rule| rule.flags),
        limit: limit(ntp),
        clients: (ntp.switches.monitor || limited).then(|| bounds(&ntp.mru)),
    })
}

/// Whether the clock is set.
fn controls(ntp: &Ntp, life: &Life, journal: &mut Journal) -> bool {
    if !ntp.switches.ntp {
        journal.line(life, Level::Notice, "disable ntp: the clock is not set");
        return false;
    }
    let may = user::has_capability(Capability::SysTime);
    if !may {
        journal.line(life, Level::Warning, "CAP_SYS_TIME not present: the clock is not set");
    }
    may
}

/// `USER[:GROUP]`.
fn named_user(name: &str, life: &Life) -> Result<Option<user::User>, Fatal> {
    let (name, group) = name.split_once(':').map_or((name, None), |(name, group)| (name, Some(group)));
    let found = life.user(Some(name), &[]).map_err(|_| Fatal(format!("Cannot find user `{name}'")))?;
    match (found, group) {
        (Some(user), Some(group)) => {
            let numeric = group.parse().ok();
            let gid = match numeric {
                Some(gid) => Some(gid),
                None => user::find_group(group)?,
            };
            let gid = gid.ok_or_else(|| Fatal(format!("Cannot find group `{group}'")))?;
            Ok(Some(user::User { gid, ..user }))
        }
        (found, _) => Ok(found),
    }
}

/// The keys of the key file.
fn keys(path: Option<&str>, life: &Life, journal: &mut Journal) -> KeyRing {
    let Some(path) = path else { return KeyRing::default() };
    let bytes = match file::read_bounded(Path::new(path), KEY_FILE_LIMIT) {
        Ok(bytes) => bytes,
        Err(error) => {
            journal.line(life, Level::Error, &unreadable(Dialect::Ntp, path, error.reason()));
            return KeyRing::default();
        }
    };
    let (ring, diagnostics) = KeyRing::parse(&bytes, Dialect::Ntp);
    for diagnostic in &diagnostics {
        journal.line(life, Level::Error, &diagnostic.legacy(path));
    }
    ring
}

/// The frequency of the drift file, ppm in ntpd's sign; a missing file is a first start.
fn drift(path: &Path, life: &Life, journal: &mut Journal) -> Option<f64> {
    let bytes = match file::read_bounded(path, DRIFT_FILE_LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.errno == Errno::ENOENT => return None,
        Err(error) => {
            let text = format!("frequency file {}: {}", path.display(), error.reason());
            journal.line(life, Level::Error, &text);
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    let number = text.split_ascii_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    let number = number.filter(|ppm| ppm.is_finite() && ppm.abs() <= 500.0);
    if number.is_none() {
        journal.line(life, Level::Error, &format!("format error frequency file {}", path.display()));
    }
    number
}

/// The addresses to listen on: both wildcards, unless `interface` or `-I` names addresses or closes a family.
fn addresses(args: &Args, ntp: &Ntp, life: &Life, journal: &mut Journal) -> Vec<SocketAddr> {
    let (mut named, mut closed): (Vec<IpAddr>, [bool; 2]) = (Vec::new(), [false; 2]);
    let mut unknown = Vec::new();
    for text in &args.interfaces {
        match text.parse() {
            Ok(address) => named.push(address),
            Err(_) => unknown.push(text.as_str()),
        }
    }
    for rule in &ntp.interfaces {
        let listens = rule.action == InterfaceAction::Listen;
        match &rule.scope {
            InterfaceScope::Network(address, 32 | 128) if listens => named.push(*address),
            InterfaceScope::V4 => closed[0] = !listens,
            InterfaceScope::V6 => closed[1] = !listens,
            InterfaceScope::All if !listens => closed = [true; 2],
            InterfaceScope::All | InterfaceScope::Wildcard => {}
            InterfaceScope::Network(..) => unknown.push("a network"),
            InterfaceScope::Name(name) => unknown.push(name),
        }
    }
    for name in unknown {
        let text = format!("interface {name}: only addresses, families, all and wildcard have an effect");
        journal.line(life, Level::Warning, &text);
    }
    let wanted = |ip: &IpAddr| match args.family {
        Some(Family::V4) => ip.is_ipv4(),
        Some(Family::V6) => ip.is_ipv6(),
        None => true,
    };
    let list: Vec<IpAddr> = if named.is_empty() {
        let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        any.into_iter().zip(closed).filter(|(_, closed)| !closed).map(|(ip, _)| ip).collect()
    } else {
        // ntpd keeps loopback open beside what is named
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        named.extend(loopback);
        named
    };
    let mut seen: Vec<SocketAddr> = Vec::new();
    for address in list.into_iter().filter(wanted).map(|ip| SocketAddr::new(ip, PORT)) {
        if !seen.contains(&address) {
            seen.push(address);
        }
    }
    seen
}

fn port_taken(error: &SysError) -> Fatal {
    let text = format!("Could not open NTP socket on {} : {}", error.object, error.reason());
    let holder =
        ports::holders(PORT).into_iter().find_map(|h| h.pid.map(|pid| format!("{} (pid {pid})", h.command)));
    match holder.filter(|_| error.errno == Errno::EADDRINUSE) {
        Some(holder) => Fatal(format!("{text}, held by {holder}")),
        None => Fatal(text),
    }
}
