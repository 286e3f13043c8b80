//! `chronyd` 4.9 as a time server (daemon-surface): reads chrony.conf in full, serves what `local` says, follows no source yet.
//!
//! | option | |
//! |---|---|
//! | `-4 -6 -d -f -h -l -n -p -t -u -U -v -x` | kept |
//! | `-F -L -m -N -P -r -s -R` | accepted; said once to be without effect |
//! | `-q -Q` | refused: no source is followed yet |
//! | `--check --json` | ours |
//!
//! Deviations, all of decisions.md: port 123 is never shared; without CAP_SYS_TIME it serves all the same; all errors of a
//! file are reported.

mod args;
mod files;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use self::args::{Args, Ground, Parsed, Task};
use self::files::Disk;
use super::io::{Io, Out};
use super::output::{Answer, print_json};
use super::{Applet, Invocation, Kind, Outcome, VERSION};
use crate::auth::{Dialect, KeyRing, unreadable};
use crate::config::chrony_conf::{self, Parsed as Configured};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::model::{AccessRule, Config, Scope};
use crate::driver::server::{Ended, Server, Serving};
use crate::engine::access::{Network, Table};
use crate::report::chronyd::Check;
use crate::report::{ErrorReport, ReportSchema};
use crate::sys::daemonize::{PidFile, Side, Starting, detach, running};
use crate::sys::dns::deadline_in;
use crate::sys::log::{Level, Syslog};
use crate::sys::net::Family;
use crate::sys::signal::{self, Signal};
use crate::sys::user::{self, Capability};
use crate::sys::{Errno, SysError, clock, file, ports};
use crate::types::{LogInterval, Stratum, TimeDelta, civil};

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
const FEATURES: &str = "+PRIVDROP +IPV6";

/// Why the daemon does not run.
struct Fatal(String);

impl From<SysError> for Fatal {
    fn from(error: SysError) -> Self {
        Self(error.to_string())
    }
}

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
        Parsed::Wrong(line) => {
            writeln!(io.err, "{}: {line}", invocation.program);
            return fail(invocation, io, "usage", line, |io| write!(io.out, "{}", args::USAGE));
        }
    };
    let configured = match read_configuration(&args) {
        Ok(configured) => configured,
        Err(Fatal(line)) => {
            writeln!(io.err, "{}", start_line(args.ground, &format!("Fatal error : {line}")));
            return fail(invocation, io, "configuration", line, |_| ());
        }
    };
    match args.task {
        Task::Print => print(&args, &configured, io),
        Task::Check => check(invocation, &args, &configured, io),
        Task::OneShot => {
            let line = "-q and -Q are not supported yet: this version follows no source".to_owned();
            writeln!(io.err, "{}", start_line(args.ground, &format!("Fatal error : {line}")));
            fail(invocation, io, "unsupported", line, |_| ())
        }
        Task::Serve => match start(&args, configured, io) {
            Ok(outcome) => outcome,
            Err(Fatal(line)) => {
                writeln!(io.err, "{}", start_line(args.ground, &format!("Fatal error : {line}")));
                fail(invocation, io, "start", line, |_| ())
            }
        },
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

/// A line on stderr while starting: dated with `-d`, bare when the process goes to the background.
fn start_line(ground: Ground, text: &str) -> String {
    match ground {
        Ground::Debug => dated(text),
        Ground::Daemon | Ground::Foreground => text.strip_prefix("Fatal error : ").unwrap_or(text).to_owned(),
    }
}

/// `2010-01-01T00:00:00Z text`
fn dated(text: &str) -> String {
    let now = civil::rfc3339(clock::now());
    format!("{}Z {text}", now.get(..19).unwrap_or(&now))
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
fn print(args: &Args, configured: &Configured, io: &mut Io) -> Outcome {
    for line in &configured.echo {
        writeln!(io.out, "{line}");
    }
    for diagnostic in &configured.diagnostics {
        complain(args.ground, diagnostic, io);
    }
    if configured.is_fatal() { Outcome::FAILURE } else { Outcome::SUCCESS }
}

fn complain(ground: Ground, diagnostic: &Diagnostic, io: &mut Io) {
    // the original dates these lines also with -p
    let line = match ground {
        Ground::Daemon | Ground::Foreground | Ground::Debug => dated(&diagnostic.to_string()),
    };
    writeln!(io.err, "{line}");
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

/// Where the running daemon's lines go.
enum Log {
    Terminal,
    File(std::fs::File),
    System(Syslog),
}

impl Log {
    fn open(args: &Args) -> Result<Self, Fatal> {
        match (&args.log_file, args.ground) {
            (Some(path), _) => {
                std::fs::OpenOptions::new().create(true).append(true).open(path).map(Self::File).map_err(
                    |e| Fatal(format!("Could not open log file {path} : {}", super::io::error_text(&e))),
                )
            }
            (None, Ground::Debug) => Ok(Self::Terminal),
            (None, _) => Ok(Self::System(Syslog::open("chronyd", Level::Info))),
        }
    }

    fn line(&mut self, err: &mut Out, level: Level, text: &str) {
        match self {
            Self::Terminal => writeln!(err, "{}", dated(text)),
            // a full disk takes the log, not the service
            Self::File(file) => _ = std::io::Write::write_all(file, format!("{}\n", dated(text)).as_bytes()),
            Self::System(syslog) => syslog.line(level, text),
        }
    }
}

/// From the configuration to the end of the service.
fn start(args: &Args, configured: Configured, io: &mut Io) -> Result<Outcome, Fatal> {
    if configured.is_fatal() {
        for diagnostic in &configured.diagnostics {
            writeln!(io.err, "{}", start_line(args.ground, &diagnostic.to_string()));
        }
        return Ok(Outcome::FAILURE);
    }
    if args.checks_root && !user::is_root() {
        return Err(Fatal("Not superuser".to_owned()));
    }
    let pid_path = configured.config.words.pidfile.clone().unwrap_or_else(|| PID_FILE.to_owned());
    if let Some(pid) = running(Path::new(&pid_path)).filter(|_| pid_path != "/") {
        return Err(Fatal(format!("Another chronyd may already be running (pid={pid}), check {pid_path}")));
    }
    let mut starting = None;
    if args.ground == Ground::Daemon {
        match detach()? {
            Side::Parent(code) => return Ok(Outcome::Code(code)),
            Side::Daemon(side) => starting = Some(side),
        }
    }
    serve(args, &configured, &pid_path, starting, io)
}

fn serve(
    args: &Args,
    configured: &Configured,
    pid_path: &str,
    starting: Option<Starting>,
    io: &mut Io,
) -> Result<Outcome, Fatal> {
    let config = &configured.config;
    let mut log = Log::open(args)?;
    // a signal that cannot be caught kills as ever
    let _ = signal::catch(&[Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM]);
    let _ = signal::ignore(&[Signal::SIGUSR1, Signal::SIGUSR2]);
    let err = &mut io.err;
    log.line(err, Level::Info, &format!("chronyd version 4.9 starting ({FEATURES} ntpbox {VERSION})"));
    log.line(err, Level::Info, "Disabled control of system clock");
    for diagnostic in &configured.diagnostics {
        log.line(err, Level::Warning, &diagnostic.to_string());
    }
    for option in &args.without_effect {
        log.line(err, Level::Warning, &format!("Option {option} has no effect"));
    }
    for (source, _) in &config.sources {
        let text = format!("{} {} is not followed: this version only serves", source.kind, source.name);
        log.line(err, Level::Warning, &text);
    }
    let keys = keys(config, &mut log, err);
    let access = access(config);
    let addresses = addresses(args, config, &access);
    let local = config.local.map(|local| Stratum::new(local.stratum));
    let least_poll =
        config.ratelimit.map(|limit| LogInterval::from_log2(i8::try_from(limit.interval).unwrap_or(0)));
    let mut server = Server::open(&addresses, Serving { access, keys, local, least_poll })
        .map_err(|error| port_taken(&error))?;
    if server.sockets() == 0 && !addresses.is_empty() {
        return Err(Fatal("Could not open NTP sockets".to_owned()));
    }
    if server.sockets() == 0 && args.timeout.is_none() {
        return Err(Fatal("Nothing to do".to_owned()));
    }
    let pid_file = match pid_path {
        "/" => None,
        path => {
            let directory = Path::new(path).parent().filter(|dir| !dir.exists());
            if let Some(directory) = directory {
                std::fs::create_dir_all(directory)
                    .map_err(|e| SysError::from_io("mkdir", directory.display().to_string(), &e))?;
            }
            Some(
                PidFile::write(Path::new(path))
                    .map_err(|e| Fatal(format!("Could not open {path} : {}", e.reason())))?,
            )
        }
    };
    become_user(args, config, &mut log, err)?;
    if let Some(starting) = starting {
        starting.runs()?;
    }
    let deadline = args.timeout.map(|secs| deadline_in(TimeDelta::from_secs(i64::from(secs))));
    let ended = server.run(deadline)?;
    let outcome = match ended {
        Ended::Signal(_) => Outcome::SUCCESS,
        Ended::Deadline => {
            log.line(err, Level::Info, "Timeout reached");
            // local mode counts as synchronised
            if local.is_some() { Outcome::SUCCESS } else { Outcome::FAILURE }
        }
    };
    log.line(err, Level::Info, "chronyd exiting");
    drop(pid_file);
    Ok(outcome)
}

fn keys(config: &Config, log: &mut Log, err: &mut Out) -> KeyRing {
    let Some(path) = &config.words.keyfile else { return KeyRing::default() };
    let bytes = match file::read_bounded(Path::new(path), KEY_FILE_LIMIT) {
        Ok(bytes) => bytes,
        Err(error) => {
            log.line(err, Level::Warning, &unreadable(Dialect::Chrony, path, error.reason()));
            return KeyRing::default();
        }
    };
    let (ring, diagnostics) = KeyRing::parse(&bytes, Dialect::Chrony);
    for diagnostic in &diagnostics {
        log.line(err, Level::Warning, &diagnostic.legacy(path));
    }
    log.line(err, Level::Info, &format!("Loaded {} symmetric keys", ring.len()));
    ring
}

/// The rules in the order of the file.
fn access(config: &Config) -> Table<bool> {
    let mut table = Table::new();
    for rule in &config.access {
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

/// Gives root up, but for the right to set the clock and to open ports.
fn become_user(args: &Args, config: &Config, log: &mut Log, err: &mut Out) -> Result<(), Fatal> {
    if !user::is_root() {
        return Ok(());
    }
    let named = args.user.as_ref().or(config.words.user.as_ref());
    let found = match named {
        Some(name) => {
            let unknown = || Fatal(format!("Could not get user/group ID of {name}"));
            Some(user::find_user(name)?.ok_or_else(unknown)?)
        }
        None => USERS.iter().find_map(|name| user::find_user(name).ok().flatten()),
    };
    match found.filter(|user| user.uid != 0) {
        Some(user) => user::drop_privileges(&user, &[Capability::SysTime, Capability::NetBindService])?,
        None => log.line(err, Level::Warning, "Running with root privileges"),
    }
    Ok(())
}
