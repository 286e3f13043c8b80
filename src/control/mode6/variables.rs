//! Facts → `name=value` in ntpd's terms: milliseconds, ppm > 0 for a slow clock, and its table order (ntp-legacy 2.7; the
//! order for requests by name is that of 4.2.8p15's `sys_var_list`, `peer_var_list`, `clock_var_list`).

use std::net::{IpAddr, SocketAddr};

use super::facts::{Association, Clock, Facts, Kernel, Sample, Statistics, System};
use crate::types::{Frequency, Mode, NtpTimestamp, RefId, Secs, Stratum, Timestamp, civil};
use crate::wire::mode6::status::KERNEL_STATUS_NAMES;
use crate::wire::mode6::vars::Composer;

/// System variables that a plain request gets, in this order.
pub(super) const SYSTEM_DEFAULT: &[&str] = &[
    "version",
    "processor",
    "system",
    "leap",
    "stratum",
    "precision",
    "rootdelay",
    "rootdisp",
    "refid",
    "reftime",
    "clock",
    "peer",
    "tc",
    "mintc",
    "offset",
    "frequency",
    "sys_jitter",
    "clk_jitter",
    "clk_wander",
    "tai",
    "leapsec",
    "expire",
];

/// All system variables, in the order in which those that are asked for come.
pub(super) const SYSTEM_ALL: &[&str] = &[
    "leap",
    "stratum",
    "precision",
    "rootdelay",
    "rootdisp",
    "refid",
    "reftime",
    "tc",
    "peer",
    "offset",
    "frequency",
    "sys_jitter",
    "clk_jitter",
    "clock",
    "processor",
    "system",
    "version",
    "clk_wander",
    "sys_var_list",
    "tai",
    "leapsec",
    "expire",
    "mintc",
    "mru_enabled",
    "mru_depth",
    "mru_deepest",
    "mru_mindepth",
    "mru_maxage",
    "mru_maxdepth",
    "mru_mem",
    "mru_maxmem",
    "ss_uptime",
    "ss_reset",
    "ss_received",
    "ss_thisver",
    "ss_oldver",
    "ss_badformat",
    "ss_badauth",
    "ss_declined",
    "ss_restricted",
    "ss_limited",
    "ss_kodsent",
    "ss_processed",
    "peeradr",
    "peermode",
    "bcastdelay",
    "authdelay",
    "authkeys",
    "authfreek",
    "authklookups",
    "authknotfound",
    "authkuncached",
    "authkexpired",
    "authencrypts",
    "authdecrypts",
    "authreset",
    "koffset",
    "kfreq",
    "kmaxerr",
    "kesterr",
    "kstflags",
    "ktimeconst",
    "kprecis",
    "kfreqtol",
    "kppsfreq",
    "kppsstab",
    "kppsjitter",
    "kppscalibdur",
    "kppscalibs",
    "kppscaliberrs",
    "kppsjitexc",
    "kppsstbexc",
    "iostats_reset",
    "total_rbuf",
    "free_rbuf",
    "used_rbuf",
    "rbuf_lowater",
    "io_dropped",
    "io_ignored",
    "io_received",
    "io_sent",
    "io_sendfailed",
    "io_wakeups",
    "io_goodwakeups",
    "timerstats_reset",
    "timer_overruns",
    "timer_xmts",
    "fuzz",
    "clk_wander_threshold",
    "daemon_version",
    "settimeofday",
];

/// Association variables that a plain request gets.
pub(super) const PEER_DEFAULT: &[&str] = &[
    "srcadr",
    "srcport",
    "srchost",
    "dstadr",
    "dstport",
    "leap",
    "stratum",
    "precision",
    "rootdelay",
    "rootdisp",
    "refid",
    "reftime",
    "rec",
    "reach",
    "unreach",
    "hmode",
    "pmode",
    "hpoll",
    "ppoll",
    "headway",
    "flash",
    "keyid",
    "ttl",
    "offset",
    "delay",
    "dispersion",
    "jitter",
    "xleave",
    "bias",
    "filtdelay",
    "filtoffset",
    "filtdisp",
];

/// All association variables.
pub(super) const PEER_ALL: &[&str] = &[
    "config",
    "authenable",
    "authentic",
    "srcadr",
    "srcport",
    "dstadr",
    "dstport",
    "leap",
    "hmode",
    "stratum",
    "ppoll",
    "hpoll",
    "precision",
    "rootdelay",
    "rootdisp",
    "refid",
    "reftime",
    "org",
    "rec",
    "xleave",
    "reach",
    "unreach",
    "timer",
    "delay",
    "offset",
    "jitter",
    "dispersion",
    "keyid",
    "filtdelay",
    "filtoffset",
    "pmode",
    "received",
    "sent",
    "filtdisp",
    "flash",
    "ttl",
    "peer_var_list",
    "headway",
    "bias",
    "srchost",
    "timerec",
    "timereach",
    "badauth",
    "bogusorg",
    "oldpkt",
    "seldisp",
    "selbroken",
    "candidate",
];

/// Clock variables that a plain request gets.
pub(super) const CLOCK_DEFAULT: &[&str] = &[
    "device",
    "timecode",
    "poll",
    "noreply",
    "badformat",
    "baddata",
    "fudgetime1",
    "fudgetime2",
    "stratum",
    "refid",
    "flags",
];

/// All clock variables.
pub(super) const CLOCK_ALL: &[&str] = &[
    "type",
    "timecode",
    "poll",
    "noreply",
    "badformat",
    "baddata",
    "fudgetime1",
    "fudgetime2",
    "stratum",
    "refid",
    "flags",
    "device",
    "clock_var_list",
];

/// ntpd's sign of a frequency: positive where the clock is slow and sped up. Ours is the other.
pub fn ntpd_frequency(frequency: Frequency) -> f64 {
    let ppm = -frequency.ppm();
    if ppm == 0.0 { 0.0 } else { ppm }
}

fn millis(time: Secs) -> f64 {
    time.get() * 1e3
}

fn ms3(time: Secs) -> String {
    format!("{:.3}", millis(time))
}

fn stamp(time: NtpTimestamp) -> String {
    format!("0x{:08x}.{:08x}", time.seconds(), time.fraction())
}

/// A reference identifier as 4.2.8 sends it: characters at stratum 0, 1 and 16 and for reference clocks, else an address.
fn refid_text(refid: RefId, stratum: Stratum, of_clock: bool) -> String {
    if (2..16).contains(&stratum.get()) && !of_clock {
        return std::net::Ipv4Addr::from_bits(refid.to_bits()).to_string();
    }
    let bytes = refid.to_bytes();
    let text = bytes.iter().take_while(|byte| **byte != 0);
    text.map(
        |&byte| if byte.is_ascii_graphic() && byte != b',' && byte != b'"' { char::from(byte) } else { '.' },
    )
    .collect()
}

/// A reference identifier of a server as ntpd writes it: an address from stratum 2 on.
pub fn stratum_refid_text(refid: RefId, stratum: Stratum) -> String {
    refid_text(refid, stratum, false)
}

/// `YYYYMMDDhhmm`
fn date(time: Timestamp) -> String {
    civil::rfc3339(time).chars().take(16).filter(char::is_ascii_digit).collect()
}

/// `%g` of C.
fn general(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..6).contains(&exponent) {
        let places = usize::try_from(5 - exponent).unwrap_or(0);
        trim(&format!("{value:.places$}"))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
    }
}

fn names(all: &[&str]) -> String {
    all.join(",")
}

/// Puts a system variable; one that is not known now is left out.
pub(super) fn put_system(out: &mut Composer, name: &str, facts: &dyn Facts, system: &System) {
    let value = match name {
        "leap" => system.leap.to_bits().to_string(),
        "stratum" => system.stratum.get().to_string(),
        "precision" => system.precision.log2().to_string(),
        "rootdelay" => ms3(system.root_delay),
        "rootdisp" => ms3(system.root_dispersion),
        "refid" => refid_text(system.refid, system.stratum, false),
        "reftime" => stamp(system.reference),
        "clock" => stamp(system.clock),
        "peer" => system.peer.to_string(),
        "tc" => system.time_constant.log2().to_string(),
        "mintc" => system.min_time_constant.log2().to_string(),
        "offset" => format!("{:.6}", millis(system.offset)),
        "frequency" => format!("{:.3}", ntpd_frequency(system.frequency)),
        "sys_jitter" => format!("{:.6}", millis(system.system_jitter)),
        "clk_jitter" => ms3(system.clock_jitter),
        "clk_wander" => format!("{:.3}", system.clock_wander.ppm()),
        "clk_wander_threshold" => format!("{:.3}", system.wander_threshold.ppm()),
        "tai" => match system.tai {
            Some(tai) => tai.to_string(),
            None => return,
        },
        "leapsec" | "expire" => match system.leap_seconds {
            Some((event, expiry)) => date(if name == "expire" { expiry } else { event }),
            None => return,
        },
        "peeradr" => system.peer_address.map_or_else(|| "0.0.0.0:0".to_owned(), |a| a.to_string()),
        "peermode" => system.peer_mode.to_string(),
        "bcastdelay" => ms3(system.broadcast_delay),
        "authdelay" | "fuzz" => "0.000".to_owned(),
        "version" | "daemon_version" => return out.put_string(name, &facts.identity().version),
        "processor" => return out.put_string(name, &facts.identity().processor),
        "system" => return out.put_string(name, &facts.identity().system),
        "sys_var_list" => return out.put_string(name, &names(SYSTEM_ALL)),
        "settimeofday" => return out.put_string(name, "clock_settime"),
        _ if name.starts_with("mru_") => return put_clients(out, name, facts),
        _ if name.starts_with('k') => match facts.kernel() {
            Some(kernel) => return put_kernel(out, name, &kernel),
            None => return,
        },
        _ => statistic(name, &facts.statistics()).to_string(),
    };
    out.put(name, &value);
}

fn statistic(name: &str, s: &Statistics) -> u64 {
    match name {
        "ss_uptime" => s.uptime,
        "ss_reset" => s.system_reset,
        "authreset" => s.auth_reset,
        "iostats_reset" => s.io_reset,
        "timerstats_reset" => s.timer_reset,
        "ss_received" => s.received,
        "ss_thisver" => s.this_version,
        "ss_oldver" => s.old_version,
        "ss_badformat" => s.bad_format,
        "ss_badauth" => s.bad_auth,
        "ss_declined" => s.declined,
        "ss_restricted" => s.restricted,
        "ss_limited" => s.limited,
        "ss_kodsent" => s.kod_sent,
        "ss_processed" => s.processed,
        "authkeys" => s.keys,
        "authklookups" => s.key_lookups,
        "authknotfound" => s.keys_not_found,
        "authencrypts" => s.encryptions,
        "authdecrypts" => s.decryptions,
        // the batch that takes packets is the only buffer
        "total_rbuf" | "free_rbuf" => 64,
        "io_dropped" => s.io_dropped,
        "io_ignored" => s.io_ignored,
        "io_received" => s.io_received,
        "io_sent" => s.io_sent,
        "io_sendfailed" => s.io_failed,
        "io_wakeups" => s.wakeups,
        "io_goodwakeups" => s.good_wakeups,
        "timer_overruns" => s.timer_overruns,
        "timer_xmts" => s.timer_sent,
        // authfreek, authkuncached, authkexpired, used_rbuf, rbuf_lowater: we have no such stores
        _ => 0,
    }
}

fn put_clients(out: &mut Composer, name: &str, facts: &dyn Facts) {
    let clients = facts.clients();
    let count = |n: Option<usize>| n.unwrap_or(0).to_string();
    let kilobytes =
        |n: Option<usize>| (n.unwrap_or(0) * size_of::<crate::engine::mru::Entry>() / 1024).to_string();
    let value = match name {
        "mru_enabled" => format!("{:#x}", u8::from(clients.is_some())),
        "mru_depth" => count(clients.map(|c| c.len())),
        "mru_deepest" => count(clients.map(|c| c.deepest())),
        "mru_mindepth" => count(clients.map(|c| c.bounds().least)),
        "mru_maxage" => clients.map_or(0, |c| c.bounds().age.as_nanos() / 1_000_000_000).to_string(),
        "mru_maxdepth" => count(clients.map(|c| c.bounds().most)),
        "mru_mem" => kilobytes(clients.map(|c| c.len())),
        _ => kilobytes(clients.map(|c| c.bounds().most)),
    };
    out.put(name, &value);
}

fn put_kernel(out: &mut Composer, name: &str, kernel: &Kernel) {
    let ms = |time: Secs| general(millis(time));
    let value = match name {
        "koffset" => ms(kernel.offset),
        "kfreq" => general(kernel.frequency_ppm),
        "kmaxerr" => ms(kernel.max_error),
        "kesterr" => ms(kernel.est_error),
        "kstflags" => {
            let set = |bit: &(usize, &&str)| kernel.status >> bit.0 & 1 == 1;
            let words: Vec<&str> =
                KERNEL_STATUS_NAMES.iter().enumerate().filter(set).map(|(_, name)| *name).collect();
            return out.put_string(name, &words.join(" "));
        }
        "ktimeconst" => kernel.time_constant.to_string(),
        "kprecis" => ms(kernel.precision),
        "kfreqtol" => general(kernel.tolerance_ppm),
        // no PPS signal goes into this kernel clock
        _ => "0".to_owned(),
    };
    out.put(name, &value);
}

/// Puts a variable of an association. `by_name`: it was asked for, so what is 0 by default is shown too.
pub(super) fn put_peer(out: &mut Composer, name: &str, peer: &Association, by_name: bool) {
    let flag = |set: bool| u8::from(set).to_string();
    let counters = &peer.counters;
    let value = match name {
        "config" => flag(peer.flags.configured),
        "authenable" => flag(peer.flags.auth_enabled),
        "authentic" => flag(peer.flags.authentic),
        "srcadr" => peer.source.ip().to_string(),
        // 4.2.6's ntpq leaves out rows with another port
        "srcport" | "dstport" => "123".to_owned(),
        "dstadr" => peer.local.ip().to_string(),
        "srchost" => match (&peer.name, by_name || is_prototype(peer)) {
            (Some(host), true) => return out.put_string(name, host),
            (None, true) if by_name => return out.put_string(name, ""),
            _ => return,
        },
        "leap" => peer.leap.to_bits().to_string(),
        "stratum" => peer.stratum.get().to_string(),
        "precision" => peer.precision.log2().to_string(),
        "rootdelay" => ms3(peer.root_delay),
        "rootdisp" => ms3(peer.root_dispersion),
        "refid" => refid_text(peer.refid, peer.stratum, peer.clock.is_some()),
        "reftime" => stamp(peer.reference),
        "org" => stamp(peer.origin),
        "rec" => stamp(peer.receive),
        "reach" => format!("{:#x}", peer.reach.bits()),
        "unreach" => peer.unreach.to_string(),
        "hmode" => peer.host_mode.to_bits().to_string(),
        "pmode" => match peer.peer_mode {
            Mode::Reserved => "0".to_owned(),
            mode => mode.to_bits().to_string(),
        },
        "hpoll" => peer.host_poll.log2().to_string(),
        "ppoll" => peer.peer_poll.log2().to_string(),
        "headway" => peer.headway.to_string(),
        "flash" => format!("{:#x}", peer.flash),
        "keyid" => peer.key.map_or(0, |key| key.get()).to_string(),
        "ttl" => match (peer.ttl, by_name) {
            (Some(ttl), _) => ttl.to_string(),
            (None, true) => "0".to_owned(),
            (None, false) => return,
        },
        "offset" => ms3(peer.offset),
        "delay" => ms3(peer.delay),
        "dispersion" => ms3(peer.dispersion),
        "jitter" => ms3(peer.jitter),
        "xleave" | "bias" => {
            let value = if name == "bias" { peer.bias } else { peer.xleave };
            if value == Secs::ZERO {
                return;
            }
            ms3(value)
        }
        "filtdelay" => filter(peer, |sample| sample.delay),
        "filtoffset" => filter(peer, |sample| sample.offset),
        "filtdisp" => filter(peer, |sample| sample.dispersion),
        "timer" => peer.until_next.to_string(),
        "received" => counters.received.to_string(),
        "sent" => counters.sent.to_string(),
        "timerec" => counters.since_received.to_string(),
        "timereach" => counters.since_reach.to_string(),
        "badauth" => counters.bad_auth.to_string(),
        "bogusorg" => counters.bogus_origin.to_string(),
        "oldpkt" => counters.duplicate.to_string(),
        "seldisp" => counters.bad_dispersion.to_string(),
        "selbroken" => counters.bad_reference.to_string(),
        "candidate" => counters.candidate.to_string(),
        _ => return out.put_string(name, &names(PEER_ALL)),
    };
    out.put(name, &value);
}

/// Whether an association only stands for a pool.
fn is_prototype(peer: &Association) -> bool {
    peer.flags.broadcast && peer.source.ip().is_unspecified()
}

fn filter(peer: &Association, of: impl Fn(&Sample) -> Secs) -> String {
    peer.filter.iter().map(|sample| format!(" {:.2}", millis(of(sample)))).collect()
}

/// Puts a variable of a reference clock.
pub(super) fn put_clock(out: &mut Composer, name: &str, clock: &Clock) {
    let value = match name {
        "device" => return out.put_string(name, &clock.device),
        "timecode" if clock.timecode.is_empty() => "\"\"".to_owned(),
        "timecode" => return out.put_string(name, &clock.timecode),
        "type" => "1".to_owned(),
        "poll" => clock.polls.to_string(),
        "noreply" => clock.no_reply.to_string(),
        "badformat" => clock.bad_format.to_string(),
        "baddata" => clock.bad_data.to_string(),
        "fudgetime1" | "fudgetime2" => match if name == "fudgetime1" { clock.time1 } else { clock.time2 } {
            Some(time) => ms3(time),
            None => return,
        },
        "stratum" => clock.stratum.to_string(),
        "refid" => refid_text(clock.refid, Stratum::new(clock.stratum), true),
        "flags" => clock.flags.to_string(),
        _ => return out.put_string(name, &names(CLOCK_ALL)),
    };
    out.put(name, &value);
}

/// `ADDRESS:PORT`, an IPv6 address in brackets.
pub(super) fn socket_text(address: SocketAddr) -> String {
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => format!("{v4}:{}", address.port()),
        IpAddr::V6(v6) => format!("[{v6}]:{}", address.port()),
    }
}

pub(super) fn stamp_text(time: NtpTimestamp) -> String {
    stamp(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_of_the_frequency_turns() {
        assert!((ntpd_frequency(Frequency::from_ppm(3.5).unwrap()) + 3.5).abs() < 1e-9);
        assert!(ntpd_frequency(Frequency::ZERO).is_sign_positive());
    }

    #[test]
    fn general_numbers_are_those_of_c() {
        for (value, text) in [
            (0.0, "0"),
            (16000.0, "16000"),
            (0.001, "0.001"),
            (500.0, "500"),
            (1e-6, "1e-06"),
            (-12.345_678_9, "-12.3457"),
            (123_456_789.0, "1.23457e+08"),
            (999_999.6, "1e+06"),
        ] {
            assert_eq!(general(value), text);
        }
    }

    #[test]
    fn reference_identifiers_are_text_or_addresses() {
        let gps = RefId::from_ascii(*b"GPS\0");
        assert_eq!(refid_text(gps, Stratum::new(1), false), "GPS");
        assert_eq!(refid_text(RefId::from_bits(0x7F7F_0100), Stratum::new(11), false), "127.127.1.0");
        assert_eq!(refid_text(RefId::from_ascii(*b"LOCL"), Stratum::new(10), true), "LOCL");
        assert_eq!(refid_text(RefId::from_bits(0x0141_1B22), Stratum::new(16), false), ".A..");
    }

    #[test]
    fn leap_dates_are_twelve_digits() {
        assert_eq!(date(Timestamp::from_unix(1_483_228_800, 0)), "201701010000");
    }
}
