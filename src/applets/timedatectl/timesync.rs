//! systemd-timesyncd and systemd-networkd, asked by `busctl --auto-start=no`, so that nothing is started by asking.

use serde_json::Value;

use super::render::{Selection, Style, properties, table};
use super::span;
use crate::report::{Timesync, TimesyncMessage, timesync_refid};
use crate::sys::Errno;
use crate::sys::host::{Host, Ran};
use crate::types::civil::CivilTime;
use crate::types::{TimeDelta, Timestamp};

const TIMESYNCD: &str = "systemd-timesyncd.service";

/// Why a bus has no answer: as `timesync-status` and as `show-timesync` tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoAnswer {
    /// The bus's own text.
    pub(super) text: String,
    /// The nearest error number.
    pub(super) errno: Errno,
}

/// Asks systemd-timesyncd.
///
/// # Errors
/// It does not run, or nobody can be asked.
pub(super) fn ask(host: &mut dyn Host) -> Result<Timesync, NoAnswer> {
    let words = [
        "busctl",
        "--auto-start=no",
        "--json=short",
        "call",
        "org.freedesktop.timesync1",
        "/org/freedesktop/timesync1",
        "org.freedesktop.DBus.Properties",
        "GetAll",
        "s",
        "org.freedesktop.timesync1.Manager",
    ];
    let answer = host.run(&words).ok().filter(Ran::is_success);
    let parsed =
        answer.and_then(|ran| serde_json::from_str::<Value>(&ran.stdout).ok()).map(|value| read(&value));
    parsed.ok_or_else(|| reason(host))
}

/// Why timesyncd does not answer: what the original says when it may not start it.
fn reason(host: &mut dyn Host) -> NoAnswer {
    let alias = "dbus-org.freedesktop.timesync1.service";
    if !host.root().join("run/systemd/system").is_dir() {
        let text = "systemd-timesyncd is not running (systemd is not the init system)".into();
        return NoAnswer { text, errno: Errno::EHOSTDOWN };
    }
    let words = ["systemctl", "--no-pager", "show", "-p", "LoadState", "-p", "UnitFileState", TIMESYNCD];
    let state = host.run(&words).map(|ran| ran.stdout).unwrap_or_default();
    if state.contains("LoadState=masked") {
        let text = format!(
            "Unit {alias} failed to load properly, please adjust/correct and reload service manager: File exists"
        );
        return NoAnswer { text, errno: Errno::EEXIST };
    }
    if state.contains("UnitFileState=enabled") {
        // the original would have the bus start it
        return NoAnswer { text: format!("Unit {TIMESYNCD} is not active."), errno: Errno::ENXIO };
    }
    NoAnswer { text: format!("Unit {alias} not found."), errno: Errno::ENOENT }
}

/// Reads what `busctl --json` prints of the properties.
fn read(value: &Value) -> Timesync {
    let property = |name: &str| value.pointer(&format!("/data/0/{name}/data")).unwrap_or(&Value::Null);
    let list = |name: &str| {
        let items = property(name).as_array()?;
        Some(items.iter().filter_map(Value::as_str).map(printable).collect::<Vec<_>>())
    };
    let micros = |name: &str| span_of(property(name));
    let kernel_frequency = property("Frequency").as_i64().unwrap_or(0);
    Timesync {
        server_name: property("ServerName").as_str().filter(|name| !name.is_empty()).map(printable),
        server_address: address(property("ServerAddress")),
        link_servers: list("LinkNTPServers").unwrap_or_default(),
        system_servers: list("SystemNTPServers").unwrap_or_default(),
        runtime_servers: list("RuntimeNTPServers"),
        fallback_servers: list("FallbackNTPServers").unwrap_or_default(),
        max_root_distance_s: micros("RootDistanceMaxUSec"),
        min_poll_interval_s: micros("PollIntervalMinUSec"),
        max_poll_interval_s: micros("PollIntervalMaxUSec"),
        poll_interval_s: micros("PollIntervalUSec"),
        frequency_ppm: 0.0 - ppm(kernel_frequency),
        kernel_frequency,
        message: message(property("NTPMessage")),
    }
}

fn ppm(kernel: i64) -> f64 {
    f64::from(i32::try_from(kernel).unwrap_or(0)) / 65536.0
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn span_of(value: &Value) -> TimeDelta {
    let micros = value.as_u64().and_then(|n| i64::try_from(n).ok()).unwrap_or(0);
    TimeDelta::from_micros(micros.min(i64::MAX / 1000))
}

/// `[family, [bytes]]`.
fn address(value: &Value) -> Option<String> {
    let bytes = bytes_of(value.get(1)?);
    match bytes.len() {
        4 => Some(std::net::Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string()),
        16 => Some(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
        _ => None,
    }
}

fn bytes_of(value: &Value) -> Vec<u8> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|n| n.as_u64().and_then(|n| u8::try_from(n).ok())).collect()
}

/// The 15 members of NTPMessage; `None` before the first answer.
fn message(value: &Value) -> Option<TimesyncMessage> {
    let word = |index: usize| value.get(index).and_then(Value::as_u64).unwrap_or(0);
    let small = |index: usize| u32::try_from(word(index)).unwrap_or(0);
    let time = |index: usize| {
        let micros = i64::try_from(word(index)).unwrap_or(0);
        Timestamp::from_nanos(micros.saturating_mul(1000))
    };
    let packets = word(13);
    if packets == 0 {
        return None;
    }
    let bytes = <[u8; 4]>::try_from(bytes_of(value.get(7)?)).unwrap_or([0; 4]);
    let [t1, t2, t3, t4] = [8, 9, 10, 11].map(time);
    Some(TimesyncMessage {
        leap: small(0),
        version: small(1),
        mode: small(2),
        stratum: small(3),
        precision_log2: value.get(4).and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
        root_delay_s: span_of(value.get(5)?),
        root_dispersion_s: span_of(value.get(6)?),
        refid: timesync_refid(bytes, small(3)),
        originate: t1,
        receive: t2,
        transmit: t3,
        destination: t4,
        offset_s: ((t2 - t1) + (t3 - t4)) / 2,
        delay_s: (t4 - t1) - (t3 - t2),
        jitter_s: span_of(value.get(14)?),
        ignored: value.get(12).and_then(Value::as_bool).unwrap_or(false),
        packets,
    })
}

/// Microseconds as a span.
fn text(delta: TimeDelta) -> String {
    span::format(u64::try_from(delta.as_nanos() / 1000).unwrap_or(0))
}

/// A table, and whether the server's answer made no sense.
pub(super) struct Rendered {
    pub(super) table: String,
    pub(super) invalid: bool,
}

/// `timesync-status`.
pub(super) fn status(report: &Timesync, style: &Style) -> Rendered {
    let or_na = |value: &Option<String>| value.clone().unwrap_or_else(|| "n/a".into());
    let mut rows = vec![
        ("Server", format!("{} ({})", or_na(&report.server_address), or_na(&report.server_name))),
        (
            "Poll interval",
            // a colon after min, none after max: that is how it is
            format!(
                "{} (min: {}; max {})",
                text(report.poll_interval_s),
                text(report.min_poll_interval_s),
                text(report.max_poll_interval_s)
            ),
        ),
    ];
    let Some(m) = &report.message else {
        rows.push(("Packet count", "0".into()));
        return Rendered { table: table(&rows, style), invalid: false };
    };
    if m.destination < m.originate || m.transmit < m.receive || m.delay_s.is_negative() {
        return Rendered { table: table(&rows, style), invalid: true };
    }
    let leap = match m.leap {
        0 => "normal",
        1 => "last minute of the day has 61 seconds",
        2 => "last minute of the day has 59 seconds",
        _ => "not synchronized",
    };
    let root_distance = m.root_delay_s / 2 + m.root_dispersion_s;
    // the sign of T2 + T3 against T1 + T4; a zero has a minus
    let sign = if m.offset_s > TimeDelta::ZERO { '+' } else { '-' };
    rows.extend([
        ("Leap", leap.to_owned()),
        ("Version", m.version.to_string()),
        ("Stratum", m.stratum.to_string()),
        ("Reference", reference(m, m.stratum <= 1)),
        ("Precision", format!("{} ({})", precision(m.precision_log2), m.precision_log2)),
        ("Root distance", format!("{} (max: {})", text(root_distance), text(report.max_root_distance_s))),
        ("Offset", format!("{sign}{}", text(m.offset_s.abs()))),
        ("Delay", text(m.delay_s)),
        ("Jitter", text(m.jitter_s)),
        ("Packet count", m.packets.to_string()),
    ]);
    if !m.ignored {
        let number = format!("{:+.3}", ppm(report.kernel_frequency));
        let radix = String::from_utf8_lossy(&style.locale.radix);
        rows.push(("Frequency", format!("{}ppm", number.replace('.', &radix))));
    }
    Rendered { table: table(&rows, style), invalid: false }
}

/// Letters of a reference clock, or upper-case hex without leading zeros.
fn reference(message: &TimesyncMessage, letters: bool) -> String {
    let number = u32::from_str_radix(&message.refid.hex, 16).unwrap_or(0);
    if letters {
        let bytes = number.to_be_bytes();
        return bytes
            .iter()
            .take_while(|&&b| b != 0)
            .map(|&b| char::from(b))
            .filter(char::is_ascii_graphic)
            .collect();
    }
    format!("{number:X}")
}

/// 2^p seconds: nanoseconds cut off, then microseconds rounded up.
fn precision(log2: i32) -> String {
    let nanos = match log2 {
        ..=-31 => 0,
        -30..=0 => 1_000_000_000_u64 >> log2.unsigned_abs(),
        _ => 1_000_000_000_u64.checked_shl(log2.unsigned_abs()).unwrap_or(u64::MAX / 2),
    };
    span::format(nanos.div_ceil(1000))
}

/// `show-timesync`; times in `show` are in the caller's zone.
pub(super) fn show(report: &Timesync, selection: &Selection, caller: &crate::sys::tz::Zone) -> String {
    let joined = |servers: &[String]| Some(servers.join(" "));
    let rows = [
        ("LinkNTPServers", joined(&report.link_servers)),
        ("SystemNTPServers", joined(&report.system_servers)),
        ("RuntimeNTPServers", report.runtime_servers.as_deref().and_then(joined)),
        ("FallbackNTPServers", joined(&report.fallback_servers)),
        ("ServerName", Some(report.server_name.clone().unwrap_or_default())),
        ("ServerAddress", Some(report.server_address.clone().unwrap_or_default())),
        ("RootDistanceMaxUSec", Some(text(report.max_root_distance_s))),
        ("PollIntervalMinUSec", Some(text(report.min_poll_interval_s))),
        ("PollIntervalMaxUSec", Some(text(report.max_poll_interval_s))),
        ("PollIntervalUSec", Some(text(report.poll_interval_s))),
        ("NTPMessage", report.message.as_ref().map(|m| message_text(m, caller))),
        ("Frequency", Some(report.kernel_frequency.to_string())),
    ];
    properties(&rows, selection)
}

fn message_text(m: &TimesyncMessage, caller: &crate::sys::tz::Zone) -> String {
    let stamp = |time: Timestamp| {
        let kind = caller.at(time.secs());
        let c = CivilTime::from_timestamp(time, kind.utc_offset);
        format!(
            "{} {:04}-{:02}-{:02} {:02}:{:02}:{:02} {}",
            c.weekday_name(),
            c.year,
            c.month,
            c.day,
            c.hour,
            c.minute,
            c.second,
            kind.abbreviation
        )
    };
    format!(
        "{{ Leap={}, Version={}, Mode={}, Stratum={}, Precision={}, RootDelay={}, RootDispersion={}, Reference={}, \
         OriginateTimestamp={}, ReceiveTimestamp={}, TransmitTimestamp={}, DestinationTimestamp={}, Ignored={}, \
         PacketCount={}, Jitter={} }}",
        m.leap,
        m.version,
        m.mode,
        m.stratum,
        m.precision_log2,
        text(m.root_delay_s),
        text(m.root_dispersion_s),
        reference(m, m.stratum == 1),
        stamp(m.originate),
        stamp(m.receive),
        stamp(m.transmit),
        stamp(m.destination),
        super::render::yes_no(m.ignored),
        m.packets,
        text(m.jitter_s)
    )
}

/// Sets or takes back the servers of a network interface, through systemd-networkd.
///
/// # Errors
/// The original's line.
pub(super) fn link_servers(
    host: &mut dyn Host,
    interface: &str,
    servers: Option<&[String]>,
) -> Result<(), String> {
    let index = match interface.parse::<i32>().ok().filter(|&number| number > 0) {
        Some(number) => number.to_string(),
        None => {
            let found = networkd(host, &["GetLinkByName", "s", interface])
                .map_err(|text| format!("Failed to get ifindex of interfaces {interface}: {text}"))?;
            let value: Value = serde_json::from_str(&found).unwrap_or(Value::Null);
            value.pointer("/data/0").and_then(Value::as_i64).unwrap_or(0).to_string()
        }
    };
    match servers {
        Some(servers) => {
            let count = servers.len().to_string();
            let mut words = vec!["SetLinkNTP", "ias", index.as_str(), count.as_str()];
            words.extend(servers.iter().map(String::as_str));
            networkd(host, &words).map(drop).map_err(|text| format!("Failed to set NTP servers: {text}"))
        }
        None => networkd(host, &["RevertLinkNTP", "i", &index])
            .map(drop)
            .map_err(|text| format!("Failed to revert interface configuration: {text}")),
    }
}

fn networkd(host: &mut dyn Host, call: &[&str]) -> Result<String, String> {
    let service = "org.freedesktop.network1";
    let manager = "org.freedesktop.network1.Manager";
    let fixed = [
        "busctl",
        "--auto-start=no",
        "--json=short",
        "--",
        "call",
        service,
        "/org/freedesktop/network1",
        manager,
    ];
    let words: Vec<&str> = fixed.iter().chain(call).copied().collect();
    let absent = || "Unit dbus-org.freedesktop.network1.service not found.".to_owned();
    match host.run(&words) {
        Ok(ran) if ran.is_success() => Ok(ran.stdout),
        Ok(ran) => {
            let line = ran.stderr.lines().next().unwrap_or_default();
            let text = line.strip_prefix("Call failed: ").unwrap_or(line);
            Err(if text.contains(service) || text.is_empty() { absent() } else { text.to_owned() })
        }
        Err(_) => Err(absent()),
    }
}
