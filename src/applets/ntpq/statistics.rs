//! The statistics commands of 4.2.8: a label and a variable a line.

use super::cook::Kitchen;
use super::query::{association, no_association};
use super::shell::{Answer, Shell, Value};
use crate::client::mode6::catalogue::{self, Subject, leap_bits, status_words};
use crate::client::mode6::decode::{self, visible};
use crate::client::mode6::{Reply, Request};
use crate::report::NtpqReport;
use crate::sys::{clock, zone};
use crate::wire::mode6::vars::{unquote, variables};
use crate::wire::mode6::{AssocId, Opcode};

/// How a value is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    /// Without its quotes.
    Plain,
    /// Two bits.
    Leap,
    /// `10.0.0.1:123`, `[::1]:123`.
    Endpoint,
    /// An association mode by name.
    Mode,
    /// A time stamp with its date.
    Stamp,
    /// An address whose port is the next variable's value.
    Address,
}

/// Label (padded), variable, how.
type Line = (&'static str, &'static str, Show);

const SYSINFO: &[Line] = &[
    ("system peer:      ", "peeradr", Show::Endpoint),
    ("system peer mode: ", "peermode", Show::Mode),
    ("leap indicator:   ", "leap", Show::Leap),
    ("stratum:          ", "stratum", Show::Plain),
    ("log2 precision:   ", "precision", Show::Plain),
    ("root delay:       ", "rootdelay", Show::Plain),
    ("root dispersion:  ", "rootdisp", Show::Plain),
    ("reference ID:     ", "refid", Show::Plain),
    ("reference time:   ", "reftime", Show::Stamp),
    ("system jitter:    ", "sys_jitter", Show::Plain),
    ("clock jitter:     ", "clk_jitter", Show::Plain),
    ("clock wander:     ", "clk_wander", Show::Plain),
    ("broadcast delay:  ", "bcastdelay", Show::Plain),
    ("symm. auth. delay:", "authdelay", Show::Plain),
];

const SYSSTATS: &[Line] = &[
    ("uptime:               ", "ss_uptime", Show::Plain),
    ("sysstats reset:       ", "ss_reset", Show::Plain),
    ("packets received:     ", "ss_received", Show::Plain),
    ("current version:      ", "ss_thisver", Show::Plain),
    ("older version:        ", "ss_oldver", Show::Plain),
    ("bad length or format: ", "ss_badformat", Show::Plain),
    ("authentication failed:", "ss_badauth", Show::Plain),
    ("declined:             ", "ss_declined", Show::Plain),
    ("restricted:           ", "ss_restricted", Show::Plain),
    ("rate limited:         ", "ss_limited", Show::Plain),
    ("KoD responses:        ", "ss_kodsent", Show::Plain),
    ("processed for time:   ", "ss_processed", Show::Plain),
];

const KERNINFO: &[Line] = &[
    ("pll offset:          ", "koffset", Show::Plain),
    ("pll frequency:       ", "kfreq", Show::Plain),
    ("maximum error:       ", "kmaxerr", Show::Plain),
    ("estimated error:     ", "kesterr", Show::Plain),
    ("kernel status:       ", "kstflags", Show::Plain),
    ("pll time constant:   ", "ktimeconst", Show::Plain),
    ("precision:           ", "kprecis", Show::Plain),
    ("frequency tolerance: ", "kfreqtol", Show::Plain),
    ("pps frequency:       ", "kppsfreq", Show::Plain),
    ("pps stability:       ", "kppsstab", Show::Plain),
    ("pps jitter:          ", "kppsjitter", Show::Plain),
    ("calibration interval ", "kppscalibdur", Show::Plain),
    ("calibration cycles:  ", "kppscalibs", Show::Plain),
    ("jitter exceeded:     ", "kppsjitexc", Show::Plain),
    ("stability exceeded:  ", "kppsstbexc", Show::Plain),
    ("calibration errors:  ", "kppscaliberrs", Show::Plain),
];

const IOSTATS: &[Line] = &[
    ("time since reset:     ", "iostats_reset", Show::Plain),
    ("receive buffers:      ", "total_rbuf", Show::Plain),
    ("free receive buffers: ", "free_rbuf", Show::Plain),
    ("used receive buffers: ", "used_rbuf", Show::Plain),
    ("low water refills:    ", "rbuf_lowater", Show::Plain),
    ("dropped packets:      ", "io_dropped", Show::Plain),
    ("ignored packets:      ", "io_ignored", Show::Plain),
    ("received packets:     ", "io_received", Show::Plain),
    ("packets sent:         ", "io_sent", Show::Plain),
    ("packet send failures: ", "io_sendfailed", Show::Plain),
    ("input wakeups:        ", "io_wakeups", Show::Plain),
    ("useful input wakeups: ", "io_goodwakeups", Show::Plain),
];

const MONSTATS: &[Line] = &[
    ("enabled:            ", "mru_enabled", Show::Plain),
    ("addresses:          ", "mru_depth", Show::Plain),
    ("peak addresses:     ", "mru_deepest", Show::Plain),
    ("maximum addresses:  ", "mru_maxdepth", Show::Plain),
    ("reclaim above count:", "mru_mindepth", Show::Plain),
    ("reclaim older than: ", "mru_maxage", Show::Plain),
    ("kilobytes:          ", "mru_mem", Show::Plain),
    ("maximum kilobytes:  ", "mru_maxmem", Show::Plain),
];

const TIMERSTATS: &[Line] = &[
    ("time since reset:  ", "timerstats_reset", Show::Plain),
    ("timer overruns:    ", "timer_overruns", Show::Plain),
    ("calls to transmit: ", "timer_xmts", Show::Plain),
];

const AUTHINFO: &[Line] = &[
    ("time since reset:", "authreset", Show::Plain),
    ("stored keys:     ", "authkeys", Show::Plain),
    ("free keys:       ", "authfreek", Show::Plain),
    ("key lookups:     ", "authklookups", Show::Plain),
    ("keys not found:  ", "authknotfound", Show::Plain),
    ("uncached keys:   ", "authkuncached", Show::Plain),
    ("expired keys:    ", "authkexpired", Show::Plain),
    ("encryptions:     ", "authencrypts", Show::Plain),
    ("decryptions:     ", "authdecrypts", Show::Plain),
];

const PSTATS: &[Line] = &[
    ("remote host:         ", "srcadr", Show::Address),
    ("", "srcport", Show::Plain),
    ("local address:       ", "dstadr", Show::Address),
    ("", "dstport", Show::Plain),
    ("time last received:  ", "timerec", Show::Plain),
    ("time until next send:", "timer", Show::Plain),
    ("reachability change: ", "timereach", Show::Plain),
    ("packets sent:        ", "sent", Show::Plain),
    ("packets received:    ", "received", Show::Plain),
    ("bad authentication:  ", "badauth", Show::Plain),
    ("bogus origin:        ", "bogusorg", Show::Plain),
    ("duplicate:           ", "oldpkt", Show::Plain),
    ("bad dispersion:      ", "seldisp", Show::Plain),
    ("bad reference time:  ", "selbroken", Show::Plain),
    ("candidate order:     ", "candidate", Show::Plain),
];

impl Shell<'_> {
    /// One of the commands without arguments, by name.
    pub(super) fn statistics(&mut self, name: &str) -> Answer {
        let lines = match name {
            "sysinfo" => SYSINFO,
            "sysstats" => SYSSTATS,
            "kerninfo" => KERNINFO,
            "iostats" => IOSTATS,
            "monstats" => MONSTATS,
            "timerstats" => TIMERSTATS,
            _ => AUTHINFO,
        };
        let headed = matches!(name, "sysinfo" | "kerninfo");
        self.collect(AssocId::SYSTEM, lines, headed)
    }

    pub(super) fn pstats(&mut self, values: &[Value]) -> Answer {
        match association(values) {
            Ok(AssocId::SYSTEM) => no_association().into(),
            Ok(id) => self.collect(id, PSTATS, true),
            Err(trouble) => trouble.into(),
        }
    }

    fn collect(&mut self, id: AssocId, lines: &[Line], headed: bool) -> Answer {
        let names: Vec<&str> = lines.iter().map(|(_, name, _)| *name).collect();
        let reply = match self.ask(Request::new(Opcode::ReadVariables, id, names.join(","))) {
            Ok(reply) => reply,
            Err(trouble) => return trouble.into(),
        };
        let subject = if id == AssocId::SYSTEM { Subject::System } else { Subject::Peer };
        let status = status_words(subject, reply.status);
        let report = catalogue::report(&self.host_name(), id, status.clone(), &reply.data, clock::now());
        let mut text = if self.set.several { format!("server={} ", self.host_name()) } else { String::new() };
        if headed {
            text.push_str(&format!("associd={id} status={} {},\n", status.hex, status.words.join(", ")));
        }
        text.push_str(&self.lines(lines, &reply));
        Answer { text, report: Some((super::VARIABLES.name, NtpqReport::Variables(report))), trouble: None }
    }

    fn lines(&self, lines: &[Line], reply: &Reply) -> String {
        let value = |name: &str| {
            variables(&reply.data)
                .find(|v| v.name == name.as_bytes())
                .map(|v| unquote(v.value.unwrap_or_default()))
        };
        let kitchen = Kitchen {
            pivot: clock::now(),
            utc_offset: zone::utc_offset_at,
            old: self.set.old,
            clock: false,
            name_of: &|_| None,
        };
        let mut text = String::new();
        for (label, name, show) in lines.iter().filter(|(label, ..)| !label.is_empty()) {
            let Some(raw) = value(name) else { continue };
            let shown = match show {
                Show::Plain => None,
                Show::Leap => leap_bits(raw).map(ToOwned::to_owned),
                Show::Mode => decode::unsigned(raw).map(mode_name),
                Show::Stamp => decode::timestamp(raw).map(|stamp| kitchen.stamp(stamp)),
                Show::Endpoint => decode::endpoint(raw).map(|e| with_port(&e, e.port)),
                Show::Address => decode::endpoint(raw).map(|e| {
                    let port = value(if *name == "srcadr" { "srcport" } else { "dstport" });
                    let port = port.and_then(decode::unsigned).and_then(|p| u16::try_from(p).ok());
                    with_port(&e, port.unwrap_or(0))
                }),
            };
            text.push_str(&format!("{label}  {}\n", shown.unwrap_or_else(|| visible(raw))));
        }
        text
    }
}

fn with_port(endpoint: &decode::Endpoint, port: u16) -> String {
    match endpoint.ip {
        std::net::IpAddr::V4(_) => format!("{}:{port}", endpoint.address()),
        std::net::IpAddr::V6(_) => format!("[{}]:{port}", endpoint.address()),
    }
}

fn mode_name(mode: u64) -> String {
    let names = [
        "unspec",
        "sym_active",
        "sym_passive",
        "client",
        "server",
        "broadcast",
        "control",
        "private",
        "bclient",
    ];
    let name = usize::try_from(mode).ok().and_then(|m| names.get(m));
    name.map_or_else(|| format!("mode#{mode}"), |name| (*name).to_owned())
}
