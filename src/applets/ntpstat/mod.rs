//! `ntpstat`: one verdict on the clock of this host, from chronyd or from ntpd.
//!
//! Two generations: the shell script of 0.5 and later (the default: chronyd is asked first, then ntpd; `-m`), and the C
//! program 0.2 of RHEL 6 (`NTPBOX_COMPAT=rhel6`: ntpd only, a blank at the end of the first line, arguments are ignored).
//! Exit codes: 0 synchronised, 1 not, 2 no daemon answers, 3 wrong usage.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::{Arg, ArgAction, Command};

use super::compat::{Compat, Era};
use super::getopt::{Item, Long, Operands, parse as getopt};
use super::io::Io;
use super::output::{Answer, print_json};
use super::{Applet, Invocation, Kind, Outcome};
use crate::client::mode6::{Patience, Request, decode};
use crate::client::{cmdmon, mode6::QueryError};
use crate::driver::cmdmon::{Address, Caller};
use crate::driver::mode6::Link;
use crate::report::{ErrorReport, NtpstatReport, NtpstatSource, ReportSchema};
use crate::sys::clock;
use crate::sys::net::Family;
use crate::types::{Leap, Secs, TimeDelta};
use crate::wire::cmdmon as wire;
use crate::wire::mode6::status::SystemStatus;
use crate::wire::mode6::vars::variables;
use crate::wire::mode6::{AssocId, Opcode};

/// Where chronyd answers monitoring requests.
const CHRONYD_SOCKET: &str = "/run/chrony/chronyd.sock";
/// Its UDP port.
const CHRONYD_PORT: u16 = 323;
/// What both generations say when nobody answers.
const NO_DAEMON: &str = "Unable to talk to NTP daemon. Is it running?";

/// The report of this applet.
pub const SCHEMA: ReportSchema = ReportSchema::of::<NtpstatReport>("ntpbox/ntpstat/1");

/// The row of the applet table.
pub const APPLET: Applet = Applet {
    names: &["ntpstat"],
    kind: Kind::Legacy,
    section: 8,
    command,
    about: include_str!("about.md"),
    run,
};

fn command() -> Command {
    let flag = |id: &'static str, help: &'static str| Arg::new(id).action(ArgAction::SetTrue).help(help);
    Command::new("ntpstat")
        .about("Say whether the clock is synchronised")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(
            Arg::new("maximum")
                .short('m')
                .value_name("MAXERROR")
                .action(ArgAction::Set)
                .help("Exit 1 when the error may exceed this many milliseconds"),
        )
        .arg(flag("ipv4", "Ask over IPv4 only").short('4'))
        .arg(flag("ipv6", "Ask over IPv6 only").short('6'))
        .arg(flag("help", "Print this help").short('h').long("help"))
}

/// What was typed.
#[derive(Debug, Default)]
struct Options {
    maximum_ms: Option<f64>,
    family: Option<Family>,
    help: bool,
}

fn parse(invocation: &Invocation) -> Result<Options, String> {
    let mut options = Options::default();
    for item in getopt(&command(), &invocation.args, Operands::Mixed, Long::Exact) {
        match item {
            Item::Option { id, value } => match id.as_str() {
                "maximum" => {
                    let text = value.map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
                    let number = text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
                    options.maximum_ms =
                        Some(number.ok_or(format!("-m {text}: not a number of milliseconds"))?);
                }
                "ipv4" => options.family = Some(Family::V4),
                "ipv6" => options.family = Some(Family::V6),
                _ => options.help = true,
            },
            Item::Operand(word) => return Err(format!("{}: unexpected argument", word.to_string_lossy())),
            Item::UnknownShort(letter) => return Err(format!("-{letter}: unknown option")),
            Item::MissingShort(letter) => return Err(format!("-{letter}: a value is missing")),
            Item::UnknownLong(name) | Item::Ambiguous(name, _) => {
                return Err(format!("{name}: unknown option"));
            }
            Item::MissingLong(name) | Item::UnexpectedValue(name) => {
                return Err(format!("--{name}: takes no value"));
            }
        }
    }
    Ok(options)
}

fn run(invocation: &Invocation, io: &mut Io) -> Outcome {
    let old = Compat::from_env(&io.env).era == Era::Rhel6;
    let options = match parse(invocation) {
        Ok(options) => options,
        // the C program looks at no argument; ours still refuses them when a machine reads
        Err(_) if old && invocation.json.is_none() => Options::default(),
        Err(line) => return fail(invocation, io, Outcome::Code(3), ("usage", &line), true),
    };
    if options.help && !old {
        write!(io.out, "{}", command().render_help());
        return Outcome::SUCCESS;
    }
    let found = if old { None } else { ask_chronyd(options.family) };
    let Some(mut report) = found.or_else(|| ask_ntpd(options.family, old)) else {
        return fail(invocation, io, Outcome::Code(2), ("daemon-unreachable", NO_DAEMON), false);
    };
    let error_ms = report.maximum_error_s.map(|s| s.get() * 1000.0);
    report.exceeded = options.maximum_ms.zip(error_ms).map(|(maximum, error)| error > maximum);
    let good = report.synchronised && report.exceeded != Some(true);
    let outcome = if good { Outcome::SUCCESS } else { Outcome::FAILURE };
    match invocation.json {
        Some(mode) => {
            let answer = Answer { schema: SCHEMA.name, data: Some(&report), messages: &[], error: None };
            print_json(io, mode, clock::now(), outcome, &answer);
        }
        None => write!(io.out, "{}", render(&report, options.maximum_ms, old)),
    }
    outcome
}

fn fail(
    invocation: &Invocation,
    io: &mut Io,
    outcome: Outcome,
    (code, line): (&'static str, &str),
    usage: bool,
) -> Outcome {
    if usage {
        writeln!(io.err, "{}: {line}", invocation.name);
        write!(io.err, "{}", command().render_help());
    } else {
        writeln!(io.err, "{line}");
    }
    if let Some(mode) = invocation.json {
        let error = ErrorReport::legacy(code, line);
        let answer =
            Answer::<NtpstatReport> { schema: SCHEMA.name, data: None, messages: &[], error: Some(&error) };
        print_json(io, mode, clock::now(), outcome, &answer);
    }
    outcome
}

/// The legacy text. 0.2 ends its first line with a blank.
fn render(report: &NtpstatReport, maximum_ms: Option<f64>, old: bool) -> String {
    let mut text = String::new();
    if report.synchronised {
        let address = match (&report.address, report.source) {
            (Some(address), NtpstatSource::NtpServer) => format!(" ({address})"),
            _ => String::new(),
        };
        let blank = if old { " " } else { "" };
        let source = source_text(report.source);
        text.push_str(&format!(
            "synchronised to {source}{address} at stratum {}{blank}\n",
            report.stratum.get()
        ));
        if let Some(error) = report.maximum_error_s {
            let exceeded = match (report.exceeded, maximum_ms) {
                (Some(true), Some(maximum)) => format!(" (exceeded maximum of {maximum} ms)"),
                _ => String::new(),
            };
            text.push_str(&format!("   time correct to within {:.0} ms{exceeded}\n", error.get() * 1000.0));
        }
    } else {
        text.push_str("unsynchronised\n");
        if report.restarting {
            text.push_str("  time server re-starting\n");
        }
    }
    if let Some(poll) = report.poll_s {
        text.push_str(&format!("   polling server every {poll} s\n"));
    }
    text
}

const fn source_text(source: NtpstatSource) -> &'static str {
    match source {
        NtpstatSource::Unspecified => "unspecified",
        NtpstatSource::AtomicClock => "atomic clock",
        NtpstatSource::VlfRadio => "VLF radio",
        NtpstatSource::HfRadio => "HF radio",
        NtpstatSource::UhfRadio => "UHF radio",
        NtpstatSource::LocalNet => "local net",
        NtpstatSource::NtpServer => "NTP server",
        NtpstatSource::UdpTime => "UDP/TIME",
        NtpstatSource::Wristwatch => "wristwatch",
        NtpstatSource::Modem => "modem",
        NtpstatSource::Unknown => "unknown source",
    }
}

/// By the source code of ntpd's system status word.
const fn source_of(code: u8) -> NtpstatSource {
    match code {
        0 => NtpstatSource::Unspecified,
        1 => NtpstatSource::AtomicClock,
        2 => NtpstatSource::VlfRadio,
        3 => NtpstatSource::HfRadio,
        4 => NtpstatSource::UhfRadio,
        5 => NtpstatSource::LocalNet,
        6 => NtpstatSource::NtpServer,
        7 => NtpstatSource::UdpTime,
        8 => NtpstatSource::Wristwatch,
        9 => NtpstatSource::Modem,
        _ => NtpstatSource::Unknown,
    }
}

/// 2^exponent s, `None` for exponents that no daemon uses.
fn poll(exponent: i64) -> Option<u64> {
    u32::try_from(exponent).ok().filter(|e| *e <= 36).map(|e| 1 << e)
}

/// Asks chronyd: its Unix socket, then UDP on the loopback addresses.
fn ask_chronyd(family: Option<Family>) -> Option<NtpstatReport> {
    let mut addresses = vec![Address::Local(CHRONYD_SOCKET.into())];
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    addresses.extend(
        loopback
            .into_iter()
            .filter(|ip| family.is_none_or(|f| f == Family::of(*ip)))
            .map(|ip| Address::Udp(SocketAddr::new(ip, CHRONYD_PORT))),
    );
    let mut caller = Caller::new(addresses);
    let patience = cmdmon::Patience { initial_timeout: TimeDelta::from_millis(300), max_retries: 1 };
    caller.set_patience(patience);
    let wire::Reply::Tracking(raw) = caller.ask(wire::Request::Tracking).ok()?.reply else { return None };
    let tracking = cmdmon::tracking(&raw, String::new(), None);
    let stratum = u8::try_from(tracking.stratum).unwrap_or(u8::MAX);
    let source = match (tracking.local_mode, tracking.address) {
        (true, _) => NtpstatSource::LocalNet,
        (false, Some(_)) => NtpstatSource::NtpServer,
        (false, None) => NtpstatSource::Unspecified,
    };
    let synchronised = tracking.leap.is_some_and(|leap| leap != Leap::Unsynchronised);
    Some(NtpstatReport {
        daemon: "chronyd",
        synchronised,
        source,
        address: tracking.address.map(|address| address.to_string()),
        stratum: crate::types::Stratum::new(stratum),
        maximum_error_s: tracking.maximum_error_s,
        poll_s: chronyd_poll(&mut caller, tracking.address).and_then(|log2| poll(i64::from(log2))),
        restarting: false,
        exceeded: None,
    })
}

/// Poll interval of the source that the clock follows.
fn chronyd_poll(caller: &mut Caller, address: Option<IpAddr>) -> Option<i16> {
    let address = address?;
    let wire::Reply::NSources(count) = caller.ask(wire::Request::NSources).ok()?.reply else { return None };
    // a daemon has some dozens; the bound is for one that lies
    for index in 0..count.min(1024) {
        let request = wire::Request::SourceData(i32::try_from(index).ok()?);
        let wire::Reply::SourceData(data) = caller.ask(request).ok()?.reply else { continue };
        let row = cmdmon::source(index, &data, cmdmon::RowNames::default());
        if row.source.address == Some(address) {
            return Some(row.poll_log2);
        }
    }
    None
}

/// Asks ntpd (or any daemon that answers mode 6) on this host.
fn ask_ntpd(family: Option<Family>, old: bool) -> Option<NtpstatReport> {
    let host = if family == Some(Family::V6) { "::1" } else { "127.0.0.1" };
    let patience = Patience { first: TimeDelta::from_secs(1), further: TimeDelta::from_secs(1) };
    let mut link = Link::open(host, family, 2, patience).ok()?;
    let mut read = |id| {
        let mut answer = Err(QueryError::TimedOut);
        link.query_each(vec![Request::new(Opcode::ReadVariables, id, *b"")], |_, found| answer = found);
        answer.ok()
    };
    let reply = read(AssocId::SYSTEM)?;
    let word = SystemStatus::from_bits(reply.status);
    let value = |data: &[u8], name: &str| {
        variables(data).find(|v| v.name == name.as_bytes()).map(|v| v.unquoted().to_vec())
    };
    let millis =
        |name| value(&reply.data, name).and_then(|v| decode::millis(&v)).map(|d| Secs::from(d).get());
    let number = |name| value(&reply.data, name).and_then(|v| decode::signed(&v));
    let mut source = source_of(word.source);
    let mut address = value(&reply.data, "refid").and_then(|v| decode::endpoint(&v)).map(|e| e.address());
    let mut exponent = number("tc");
    if !old && let Some(peer) = number("peer").and_then(|id| u16::try_from(id).ok()).filter(|id| *id != 0) {
        let peer = read(AssocId::new(peer));
        let data = peer.map(|peer| peer.data).unwrap_or_default();
        let endpoint = value(&data, "srcadr").and_then(|v| decode::endpoint(&v));
        if let Some(endpoint) = endpoint {
            address = Some(endpoint.address());
            // NTPsec leaves the source unspecified
            if source == NtpstatSource::Unspecified && decode::refclock(endpoint.ip).is_none() {
                source = NtpstatSource::NtpServer;
            }
        }
        exponent = value(&data, "hpoll").and_then(|v| decode::signed(&v)).or(exponent);
    }
    let stratum = number("stratum").and_then(|n| u8::try_from(n).ok()).unwrap_or(u8::MAX);
    let error =
        millis("rootdelay").zip(millis("rootdisp")).and_then(|(delay, disp)| Secs::new(delay / 2.0 + disp));
    Some(NtpstatReport {
        daemon: "ntpd",
        synchronised: word.leap != Leap::Unsynchronised,
        source,
        address: address.filter(|_| source == NtpstatSource::NtpServer),
        stratum: crate::types::Stratum::new(stratum),
        maximum_error_s: error.filter(|_| word.leap != Leap::Unsynchronised),
        poll_s: exponent.and_then(poll),
        restarting: word.leap == Leap::Unsynchronised && word.event == 1,
        exceeded: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Stratum;

    fn report() -> NtpstatReport {
        NtpstatReport {
            daemon: "ntpd",
            synchronised: true,
            source: NtpstatSource::NtpServer,
            address: Some("10.78.0.2".to_owned()),
            stratum: Stratum::new(2),
            maximum_error_s: Secs::new(0.0685),
            poll_s: Some(16),
            restarting: false,
            exceeded: None,
        }
    }

    #[test]
    fn the_two_generations_differ_in_one_blank() {
        let lines = "   time correct to within 68 ms\n   polling server every 16 s\n";
        let first = "synchronised to NTP server (10.78.0.2) at stratum 2";
        assert_eq!(render(&report(), None, false), format!("{first}\n{lines}"));
        assert_eq!(render(&report(), None, true), format!("{first} \n{lines}"));
    }

    #[test]
    fn only_a_server_has_its_address_shown() {
        let local = NtpstatReport { source: NtpstatSource::LocalNet, ..report() };
        assert!(render(&local, None, false).starts_with("synchronised to local net at stratum 2\n"));
    }

    #[test]
    fn too_large_an_error_is_named() {
        let exceeded = NtpstatReport { exceeded: Some(true), ..report() };
        assert!(render(&exceeded, Some(50.0), false).contains("within 68 ms (exceeded maximum of 50 ms)\n"));
    }

    #[test]
    fn not_synchronised_and_starting() {
        let unsynchronised =
            NtpstatReport { synchronised: false, maximum_error_s: None, restarting: true, ..report() };
        assert_eq!(
            render(&unsynchronised, None, true),
            "unsynchronised\n  time server re-starting\n   polling server every 16 s\n"
        );
    }

    #[test]
    fn every_source_code_has_its_words() {
        let words: Vec<_> = [0, 1, 2, 5, 6, 7, 8, 9, 10, 63].map(|code| source_text(source_of(code))).into();
        assert_eq!(
            words,
            [
                "unspecified",
                "atomic clock",
                "VLF radio",
                "local net",
                "NTP server",
                "UDP/TIME",
                "wristwatch",
                "modem",
                "unknown source",
                "unknown source"
            ]
        );
        assert_eq!((poll(6), poll(-1), poll(37), poll(i64::MAX)), (Some(64), None, None, None));
    }
}
