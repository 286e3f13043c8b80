//! `chronyd` 4.9 (daemon-surface): reads chrony.conf in full, follows sources, serves.
//!
//! | option | |
//! |---|---|
//! | `-4 -6 -d -f -h -l -L -m -n -N -p -P -q -Q -s -t -u -U -v -x` | kept |
//! | `-F -r -R` | accepted; said once to be without effect |
//! | `--check --json` | ours |
//!
//! Deviations, all of decisions.md: port 123 is never shared; without CAP_SYS_TIME it serves all the same; all errors of a
//! file are reported.

mod args;
mod commands;
mod following;
mod hardware;
mod initial;
mod serving;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use self::args::{Args, Parsed, Task};
use self::serving::{binding, remembering};
use super::io::Io;
use super::output::{Answer, print_json};
use super::{Applet, Invocation, Kind, Outcome, VERSION};
use crate::auth::{Dialect, KeyRing, Problem, unreadable};
use crate::config::chrony_conf::{self, Parsed as Configured};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::model::{AccessRule, Config, Scope};
use crate::driver::daemon::Daemon;
use crate::driver::files::Disk;
use crate::driver::lifecycle::{Begun, Fatal, Life, Opening, absolute};
use crate::driver::server::Server;
use crate::engine::access::{Network, Table};
use crate::engine::options::Kind as SourceKind;
use crate::report::chronyd::Check;
use crate::report::{ErrorReport, ReportSchema};
use crate::sys::dns::deadline_in;
use crate::sys::log::{Level, dated};
use crate::sys::net::Family;
use crate::sys::supervisor::{self, Supervisor};
use crate::sys::user::{self, Capability};
use crate::sys::{Errno, SysError, clock, file, ports};
use crate::types::TimeDelta;

/// The report of this applet.
pub const SCHEMA: ReportSchema = ReportSchema::of::<Check>("ntpbox/chronyd.check/1");

/// The row of the applet table.
pub const APPLET: Applet = Applet {
    names: &["chronyd"],
    kind: Kind::Legacy,
    section: 8,
    command: args::command,
    about: include_str!("about.md"),
    run,
};

/// Configuration files without `-f`: the first that exists.
const CONFIG_FILES: [&str; 2] = ["/etc/chrony.conf", "/etc/chrony/chrony.conf"];
/// Users without `-u` and `user`: the first that exists, else root.
const USERS: [&str; 2] = ["chrony", "_chrony"];
/// Pid file without `pidfile`.
const PID_FILE: &str = "/run/chrony/chronyd.pid";
/// More than this is no key file.
const KEY_FILE_LIMIT: usize = 1 << 20;
/// What works, in the words of the original's version line.
const FEATURES: &str = "+CMDMON +REFCLOCK +RTC +PRIVDROP +IPV6";

fn run(invocation: &Invocation, io: &mut Io) -> Outcome {
    let args = match args::parse(&invocation.args) {
        Parsed::Run(args) => args,
        Parsed::Help => {
            write!(io.out, "{}", args::USAGE);
            return Outcome::SUCCESS;
        }
        Parsed::Version => {
            writeln!(io.out, "chronyd (chrony) version 4.9 ({FEATURES} ntpbox {VERSION})");
            return Outcome::SUCCESS;
        }
        Parsed::NoNumber(word) => {
            let line = format!("Invalid argument {word}");
            writeln!(io.err, "{}", dated(&format!("Fatal error : {line}")));
            return fail(invocation, io, "usage", line, |_| ());
        }
        Parsed::Wrong(line) => {
            writeln!(io.err, "{}: {line}", invocation.program);
            return fail(invocation, io, "usage", line, |io| write!(io.out, "{}", args::USAGE));
        }
    };
    let read = || read_configuration(&args);
    let started = match args.task {
        Task::Print => read().map(|configured| print(&configured, io)),
        Task::Check => read().map(|configured| check(invocation, &args, &configured, io)),
        Task::Serve | Task::OneShot if args.checks_root && !user::is_root() => {
            Err(Fatal("Not superuser".to_owned()))
        }
        Task::Serve | Task::OneShot => match begin(&args, io) {
            Ok(Begun::Parent(code)) => return Outcome::Code(code),
            Ok(Begun::Daemon(life)) => return live(invocation, &args, life, io),
            Err(Fatal(line)) => return fail(invocation, io, "start", line, |_| ()),
        },
    };
    match started {
        Ok(outcome) => outcome,
        Err(Fatal(line)) => {
            writeln!(io.err, "{}", dated(&format!("Fatal error : {line}")));
            fail(invocation, io, "configuration", line, |_| ())
        }
    }
}

/// The end of a run that did not come about: JSON when it was asked for, else what `text` prints.
fn fail(
    invocation: &Invocation,
    io: &mut Io,
    code: &'static str,
    line: String,
    text: impl FnOnce(&mut Io),
) -> Outcome {
    match invocation.json {
        Some(mode) => {
            let error = ErrorReport::legacy(code, line);
            let answer =
                Answer::<Check> { schema: SCHEMA.name, data: None, messages: &[], error: Some(&error) };
            print_json(io, mode, clock::now(), Outcome::FAILURE, &answer);
        }
        None => text(io),
    }
    Outcome::FAILURE
}

fn read_configuration(args: &Args) -> Result<Configured, Fatal> {
    if !args.directives.is_empty() {
        return Ok(chrony_conf::parse_words(&args.directives, &mut Disk));
    }
    let path = config_file(args);
    if let Err(error) = file::read_bounded(Path::new(&path), 1) {
        // a file that is longer than the limit is there
        if matches!(error.errno, Errno::ENOENT | Errno::EACCES | Errno::EISDIR | Errno::ENOTDIR) {
            return Err(Fatal(format!("Could not open {path} : {}", error.reason())));
        }
    }
    Ok(chrony_conf::parse_file(&path, &mut Disk))
}

fn config_file(args: &Args) -> String {
    let existing = || CONFIG_FILES.iter().find(|path| Path::new(path).exists());
    args.file.clone().unwrap_or_else(|| (*existing().unwrap_or(&CONFIG_FILES[0])).to_owned())
}

/// `-p`: the lines as typed, complaints on stderr.
fn print(configured: &Configured, io: &mut Io) -> Outcome {
    for line in &configured.echo {
        writeln!(io.out, "{line}");
    }
    for diagnostic in &configured.diagnostics {
        complain(diagnostic, io);
    }
    if configured.is_fatal() { Outcome::FAILURE } else { Outcome::SUCCESS }
}

/// Dated also with `-p`.
fn complain(diagnostic: &Diagnostic, io: &mut Io) {
    writeln!(io.err, "{}", dated(&diagnostic.to_string()));
    if let (Some(help), true) = (&diagnostic.help, io.err_is_tty) {
        writeln!(io.err, "  {help}");
    }
}

/// `--check`: what the daemon would start with, and what is wrong.
fn check(invocation: &Invocation, args: &Args, configured: &Configured, io: &mut Io) -> Outcome {
    let config = &configured.config;
    let lines = |severity| {
        configured.diagnostics.iter().filter(move |d| d.severity == severity).map(|d| match &d.help {
            Some(help) => format!("{d} ({help})"),
            None => d.to_string(),
        })
    };
    let report = Check {
        file: args.directives.is_empty().then(|| config_file(args)),
        sources: config
            .sources
            .iter()
            .map(|(source, _)| format!("{} {}", source.kind, source.name))
            .collect(),
        access: config.access.iter().map(rule_text).collect(),
        local_stratum: config.local.map(|local| local.stratum),
        port: u16::try_from(config.integers.port).unwrap_or(0),
        warnings: lines(Severity::Warning).collect(),
    };
    let errors: Vec<String> = lines(Severity::Fatal).collect();
    let outcome = if errors.is_empty() { Outcome::SUCCESS } else { Outcome::FAILURE };
    if let Some(mode) = invocation.json {
        let error = (!errors.is_empty()).then(|| ErrorReport::legacy("configuration", errors.join("\n")));
        let answer =
            Answer { schema: SCHEMA.name, data: Some(&report), messages: &[], error: error.as_ref() };
        print_json(io, mode, clock::now(), outcome, &answer);
        return outcome;
    }
    for line in errors.iter().chain(&report.warnings) {
        writeln!(io.err, "{line}");
    }
    if errors.is_empty() {
        for source in &report.sources {
            writeln!(io.out, "source  {source}");
        }
        for rule in &report.access {
            writeln!(io.out, "access  {rule}");
        }
        match report.local_stratum {
            Some(stratum) => writeln!(io.out, "local   stratum {stratum}"),
            None => writeln!(io.out, "local   off"),
        }
        writeln!(io.out, "port    {}", report.port);
    }
    outcome
}

fn rule_text(rule: &AccessRule) -> String {
    let word = if rule.allow { "allow" } else { "deny" };
    let all = if rule.all { " all" } else { "" };
    match &rule.scope {
        Scope::Everything => format!("{word}{all}"),
        Scope::Network(address, bits) => format!("{word}{all} {address}/{bits}"),
    }
}

/// To the background, with a log.
fn begin(args: &Args, io: &Io) -> Result<Begun, Fatal> {
    let variable = |name: &str| io.env.get(name).map(String::as_str);
    supervisor::adopt(variable("LISTEN_PID"), variable("LISTEN_FDS"));
    Life::begin(Opening {
        name: "chronyd",
        ground: args.ground,
        log_file: args.log_file.as_deref().map(Path::new),
        lowest: args.lowest,
        supervisor: Supervisor { socket: variable("NOTIFY_SOCKET").map(str::to_owned), fd: args.notify },
    })
}

/// From the first line in the log to the last.
fn live(invocation: &Invocation, args: &Args, mut life: Life, io: &mut Io) -> Outcome {
    if args.wants_debug {
        life.line(Level::Warning, "Debug messages missing in non-debug build");
    }
    life.line(Level::Info, &format!("chronyd version 4.9 starting ({FEATURES} ntpbox {VERSION})"));
    let served = read_configuration(args).and_then(|configured| serve(args, &configured, &mut life));
    match served {
        Ok(outcome) => {
            life.end("chronyd");
            outcome
        }
        Err(fatal) => {
            life.fatal(&fatal);
            fail(invocation, io, "start", fatal.0, |_| ())
        }
    }
}

/// The complaints of a configuration: the last fatal one is for the caller to log.
fn judge(configured: &Configured, life: &Life) -> Result<(), Fatal> {
    let mut fatal: Option<String> = None;
    for diagnostic in &configured.diagnostics {
        let text = diagnostic.to_string();
        match diagnostic.severity {
            Severity::Fatal => {
                let line = text.strip_prefix("Fatal error : ").unwrap_or(&text).to_owned();
                if let Some(before) = fatal.replace(line) {
                    life.fatal(&Fatal(before));
                }
            }
            Severity::Dropped | Severity::Warning | Severity::Note => life.line(Level::Warning, &text),
        }
    }
    fatal.map_or(Ok(()), |line| Err(Fatal(line)))
}

/// The user to become, and the path of the command socket.
type Settled = (Option<user::User>, Option<PathBuf>);

/// What stands between the configuration and the sockets.
/// Answers the user to become, and where the command socket may be.
fn settle(args: &Args, config: &Config, life: &mut Life) -> Result<Settled, Fatal> {
    let named = args.user.as_ref().or(config.words.user.as_ref());
    let user = life.user(named.map(String::as_str), &USERS)?;
    let socket = config.command_socket.as_deref().map(Path::new);
    let words = &config.words;
    let directories = [&words.logdir, &words.dumpdir, &words.ntsdumpdir].into_iter().flatten().map(Path::new);
    for directory in socket.and_then(Path::parent).into_iter().chain(directories) {
        life.make_directory(directory, user.as_ref());
    }
    let socket = socket.filter(|path| life.may_hold_socket(path, user.as_ref())).map(Path::to_path_buf);
    match words.pidfile.as_deref().unwrap_or(PID_FILE) {
        "/" => {}
        path => life.claim("chronyd", Path::new(path))?,
    }
    let priority = args.priority.unwrap_or(config.integers.sched_priority);
    life.hurry(priority, args.lock_memory || config.flags.lock_all)?;
    if !(-2..=2).contains(&args.filter) {
        return Err(Fatal("Unsupported filter level".to_owned()));
    }
    for option in &args.without_effect {
        life.line(Level::Warning, &format!("Option {option} has no effect"));
    }
    Ok((user, socket))
}

/// How the daemon is to treat the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touch {
    /// It is set.
    Control,
    /// It is left alone (`-x`, `-Q`, or not permitted).
    Observe,
}

fn serve(args: &Args, configured: &Configured, life: &mut Life) -> Result<Outcome, Fatal> {
    judge(configured, life)?;
    let config = &configured.config;
    let mut daemon = prepare(args, config, life)?;
    let deadline = args.timeout.map(|secs| deadline_in(TimeDelta::from_secs(i64::from(secs))));
    let ended = initial::correct(args, config, &mut daemon, deadline, life)?;
    life.ready()?;
    following::run(args, config, &mut daemon, deadline, ended, life)
}

/// The whole daemon as it is configured, with the rights that it keeps. A function of its own, for what it takes of the stack is
/// given back before the daemon runs ([`crate::sys::memory::give_back`]).
#[inline(never)]
fn prepare(args: &Args, config: &Config, life: &mut Life) -> Result<Box<Daemon>, Fatal> {
    let once = args.task == Task::OneShot;
    let touch = touch(args, life);
    let (user, socket) = if once { one_shot(args, config, life)? } else { settle(args, config, life)? };
    let access = table(&config.access);
    let addresses = if once { Vec::new() } else { addresses(args, config, &access) };
    let key_file = config.words.keyfile.as_deref().map(absolute);
    let keys = keys(config, life);
    let mut server = Server::new(remembering(config), binding(config));
    server.engine().access = access;
    server.engine().keys = keys.clone();
    server.listen(&addresses).map_err(|error| port_taken(&error))?;
    for address in server.missing() {
        life.line(Level::Warning, &format!("Could not open NTP socket on {address}"));
    }
    let waits = server.missing().next().is_some();
    if server.sockets() == 0 && !waits && !addresses.is_empty() {
        return Err(Fatal("Could not open NTP sockets".to_owned()));
    }
    let mut commands = (!once).then(|| commands::server(args, config, life));
    let commanded = socket.is_some() || commands.as_ref().is_some_and(|commands| commands.sockets() > 0);
    let sources = !(config.sources.is_empty() && config.refclocks.is_empty());
    if addresses.is_empty() && !commanded && !sources && args.timeout.is_none() {
        return Err(Fatal("Nothing to do".to_owned()));
    }
    let complaints: Vec<String> =
        config.sources.iter().filter_map(|(source, _)| keys.complaint(source.key)).collect();
    let mut daemon = Box::new(following::daemon(args, config, server, keys, touch == Touch::Control, life)?);
    life.become_user(user.as_ref(), &[Capability::SysTime, Capability::NetBindService])?;
    if let Some(path) = &key_file {
        life.judge_own_access(path);
    }
    for complaint in complaints {
        life.line(Level::Warning, &complaint);
    }
    if let Some(mut commands) = commands.take() {
        if let Some(path) = &socket {
            commands::listen(&mut commands, path, life);
        }
        daemon.set_commands(commands);
    }
    Ok(daemon)
}

/// Whether the clock may be set, with the original's lines about it.
fn touch(args: &Args, life: &Life) -> Touch {
    if args.observe || (args.task == Task::OneShot && !args.sets_clock) {
        life.line(Level::Info, "Disabled control of system clock");
        return Touch::Observe;
    }
    if user::has_capability(Capability::SysTime) {
        return Touch::Control;
    }
    life.line(Level::Warning, "CAP_SYS_TIME not present");
    life.line(Level::Info, "Disabled control of system clock");
    Touch::Observe
}

/// What stands before the sockets with `-q` and `-Q`.
fn one_shot(args: &Args, config: &Config, life: &mut Life) -> Result<Settled, Fatal> {
    let named = args.user.as_ref().or(config.words.user.as_ref());
    if !user::is_root() {
        return Ok((None, None));
    }
    if args.sets_clock
        && let path = config.words.pidfile.as_deref().unwrap_or(PID_FILE)
        && path != "/"
    {
        life.claim("chronyd", Path::new(path))?;
    }
    Ok((life.user(named.map(String::as_str), &USERS)?, None))
}

/// The keys of `keyfile`, with the complaints about the file and its lines.
fn keys(config: &Config, life: &Life) -> KeyRing {
    let mut ring = KeyRing::default();
    if let Some(path) = &config.words.keyfile {
        match file::read_bounded(Path::new(path), KEY_FILE_LIMIT) {
            Ok(bytes) => {
                life.judge_secret(Path::new(path));
                let (read, diagnostics) = KeyRing::parse(&bytes, Dialect::Chrony);
                let (twice, others): (Vec<_>, Vec<_>) =
                    diagnostics.iter().partition(|d| matches!(d.problem, Problem::Duplicate(_)));
                for diagnostic in others {
                    life.line(Level::Warning, &diagnostic.legacy(path));
                }
                // the original counts them before it looks for doubles
                life.line(Level::Info, &format!("Loaded {} symmetric keys", read.len() + twice.len()));
                for diagnostic in twice {
                    life.line(Level::Warning, &diagnostic.legacy(path));
                }
                ring = read;
            }
            Err(error) => {
                life.line(Level::Warning, &unreadable(Dialect::Chrony, path, error.reason()));
            }
        }
    }
    ring
}

/// The rules in the order of the file.
fn table(rules: &[AccessRule]) -> Table<bool> {
    let mut table = Table::new();
    for rule in rules {
        let networks = match &rule.scope {
            Scope::Everything => {
                vec![
                    Network::new(Ipv4Addr::UNSPECIFIED.into(), 0),
                    Network::new(Ipv6Addr::UNSPECIFIED.into(), 0),
                ]
            }
            Scope::Network(address, bits) => vec![Network::new(*address, *bits)],
        };
        for network in networks {
            if rule.all { table.set_all(network, rule.allow) } else { table.set(network, rule.allow) }
        }
    }
    table
}

/// The addresses to serve on: of each family in which somebody is allowed, unless port 0 switches serving off.
fn addresses(args: &Args, config: &Config, access: &Table<bool>) -> Vec<SocketAddr> {
    let port = u16::try_from(config.integers.port).unwrap_or(0);
    let allowed = |v4: bool| access.iter().any(|(network, allow)| allow && network.address().is_ipv4() == v4);
    // peers and broadcasts speak by the server's port, and so do clients that were told to use it
    let acquisition = config.integers.acquisitionport == config.integers.port;
    let spoken = |v4: bool| {
        let source = |kind: SourceKind, name: &str| match name.parse::<IpAddr>() {
            _ if kind != SourceKind::Peer && !acquisition => false,
            Ok(address) => address.is_ipv4() == v4,
            Err(_) => true,
        };
        config.sources.iter().any(|(s, _)| source(s.kind, &s.name))
            || config.broadcasts.iter().any(|broadcast| broadcast.to.is_ipv4() == v4)
    };
    let allowed = |v4: bool| allowed(v4) || spoken(v4);
    let v4 = (args.family != Some(Family::V6) && allowed(true))
        .then(|| config.bindaddress.v4.unwrap_or(Ipv4Addr::UNSPECIFIED.into()));
    let v6 = (args.family != Some(Family::V4) && allowed(false))
        .then(|| config.bindaddress.v6.unwrap_or(Ipv6Addr::UNSPECIFIED.into()));
    [v4, v6].into_iter().flatten().filter(|_| port != 0).map(|ip| SocketAddr::new(ip, port)).collect()
}

fn port_taken(error: &SysError) -> Fatal {
    let text = format!("Could not open NTP socket on {} : {}", error.object, error.reason());
    let port = error.object.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0);
    let holder =
        ports::holders(port).into_iter().find_map(|h| h.pid.map(|pid| format!("{} (pid {pid})", h.command)));
    match holder.filter(|_| error.errno == Errno::EADDRINUSE) {
        Some(holder) => Fatal(format!("{text}, held by {holder}")),
        None => Fatal(text),
    }
}
