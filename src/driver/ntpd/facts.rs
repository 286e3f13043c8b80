//! What the serving daemon knows about itself, for control messages: its local clock, its sources, its counters.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Setup, bounds, clients};
use crate::config::chrony_conf::Files;
use crate::config::ntp_conf;
use crate::config::ntp_model::LocalClock;
use crate::control::mode6::Facts;
use crate::control::mode6::facts::{
    Association, AssociationCounters, AssociationFlags, Clock, Events, Identity, Interface, Kernel, Sample,
    Statistics, System, Variable,
};
use crate::engine::mru::Clients;
use crate::engine::restrict::{Restrictions, Rule};
use crate::engine::rng::Rng;
use crate::engine::server::Snapshot;
use crate::sys::clock;
use crate::types::{
    Frequency, Leap, LogInterval, Mode, MonoTime, NtpTimestamp, Reach, RefId, Secs, Stratum, TimeDelta,
    Timestamp,
};
use crate::wire::mode6::AssocId;
use crate::wire::mode6::status::Selection;

/// System events.
const RESTART: u8 = 6;
const CLOCK_SYNC: u8 = 5;
/// Association events.
const MOBILIZE: u8 = 1;
const REACHABLE: u8 = 4;
const SYSTEM_PEER: u8 = 10;
/// What keeps the clock when it is the local clock.
const SOURCE_LOCAL: u8 = 5;
/// Polls of the local clock until it is trusted beside other sources: its error bound is below 1.5 s then, as in ntpd.
const POLLS_TO_TRUST: u64 = 4;
/// Error bound that the local clock's driver claims.
const DRIVER_DISPERSION: Secs = Secs::literal(0.01);
/// Growth of an error bound, s/s.
const GROWTH: f64 = 15e-6;

/// Everything that is known.
pub(super) struct Desk {
    pub(super) restrictions: Restrictions,
    pub(super) clients: Option<Clients>,
    pub(super) statistics: Statistics,
    identity: Identity,
    local: Option<LocalClock>,
    sources: Vec<SocketAddr>,
    first_id: u16,
    precision: LogInterval,
    frequency: Frequency,
    broadcast_delay: Secs,
    keys: u64,
    default_bounds: crate::engine::mru::Bounds,
    interfaces: Vec<Interface>,
    started: MonoTime,
    /// The last look at the clocks.
    at: Timestamp,
    now: MonoTime,
    system_seen: bool,
    peers_seen: Vec<AssocId>,
}

/// The version line of the daemon and of its variable.
pub fn version_line() -> String {
    format!("ntpd 4.2.8p15@ntpbox-{} Sat Nov 21 10:00:00 UTC 2026 (1)", env!("CARGO_PKG_VERSION"))
}

fn identity(variables: Vec<(String, String, bool)>) -> Identity {
    let kernel = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        text.trim().to_owned()
    };
    Identity {
        version: version_line(),
        processor: std::env::consts::ARCH.to_owned(),
        system: format!("{}/{}", kernel("ostype"), kernel("osrelease")),
        variables: variables
            .into_iter()
            .map(|(name, value, default)| Variable { name, value, default })
            .collect(),
    }
}

impl Desk {
    pub(super) fn new(setup: Setup, now: MonoTime, rng: &mut dyn Rng) -> Self {
        let [high, low, ..] = rng.next_u64().to_be_bytes();
        Self {
            restrictions: setup.restrictions,
            clients: clients(setup.clients),
            statistics: Statistics {
                keys: u64::try_from(setup.keys.len()).unwrap_or(0),
                ..Statistics::default()
            },
            identity: identity(setup.variables),
            local: setup.local_clock,
            sources: setup.sources,
            // room for all of them above it, and never 0
            first_id: (u16::from_be_bytes([high, low]) & 0x7fff) + 1,
            precision: setup.precision,
            // the file's sign is ntpd's
            frequency: setup.drift.and_then(|ppm| Frequency::from_ppm(-ppm)).unwrap_or(Frequency::ZERO),
            broadcast_delay: Secs::new(setup.broadcast_delay).unwrap_or(Secs::ZERO),
            keys: u64::try_from(setup.keys.len()).unwrap_or(0),
            default_bounds: bounds(&crate::config::ntp_model::Mru::default()),
            interfaces: Vec::new(),
            started: now,
            at: clock::now(),
            now,
            system_seen: false,
            peers_seen: Vec::new(),
        }
    }

    /// What is shown from now on is of this moment.
    pub(super) fn look(&mut self, at: Timestamp, now: MonoTime) {
        (self.at, self.now) = (at, now);
    }

    fn uptime(&self) -> u64 {
        u64::try_from((self.now - self.started).as_nanos() / 1_000_000_000).unwrap_or(0)
    }

    /// How often the local clock has been read.
    fn polls(&self, local: &LocalClock) -> u64 {
        1 + (self.uptime() >> local.minpoll.clamp(3, 17))
    }

    /// The local clock, once it keeps the time.
    fn keeper(&self) -> Option<&LocalClock> {
        self.local.as_ref().filter(|local| self.sources.is_empty() || self.polls(local) >= POLLS_TO_TRUST)
    }

    /// When the local clock was last read.
    fn last_poll(&self, local: &LocalClock) -> Timestamp {
        let since = self.uptime() % (1 << local.minpoll.clamp(3, 17));
        self.at - TimeDelta::from_secs(i64::try_from(since).unwrap_or(0))
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let system = self.system();
        let reference = self.keeper().map_or(Timestamp::UNIX_EPOCH, |local| self.last_poll(local));
        Snapshot {
            leap: system.leap,
            stratum: system.stratum,
            root_delay: Secs::ZERO,
            root_dispersion: system.root_dispersion,
            dispersion_rate: Frequency::new(GROWTH).unwrap_or(Frequency::ZERO),
            refid: system.refid,
            reference,
            at: self.at,
            ..Snapshot::unsynchronised(self.precision)
        }
    }

    pub(super) fn listens(&mut self, addresses: &[SocketAddr]) {
        self.interfaces = addresses
            .iter()
            .map(|address| Interface {
                name: match (address.ip().is_unspecified(), address.is_ipv4()) {
                    (true, true) => "v4wildcard".to_owned(),
                    (true, false) => "v6wildcard".to_owned(),
                    (false, _) => "address".to_owned(),
                },
                address: *address,
                enabled: true,
                // what ntpd shows: wildcard, and broadcast for IPv4
                flags: if address.is_ipv4() { 0x89 } else { 0x81 },
                received: 0,
                sent: 0,
                failed: 0,
                peers: 0,
                uptime: 0,
            })
            .collect();
    }

    pub(super) fn took(&mut self, socket: usize, packets: u64) {
        self.statistics.wakeups += 1;
        self.statistics.good_wakeups += u64::from(packets > 0);
        self.statistics.io_received += packets;
        if let Some(interface) = self.interfaces.get_mut(socket) {
            interface.received += packets;
        }
    }

    pub(super) fn sent(&mut self, socket: usize, sent: u64, failed: u64) {
        self.statistics.io_sent += sent;
        self.statistics.io_failed += failed;
        if let Some(interface) = self.interfaces.get_mut(socket) {
            interface.sent += sent;
            interface.failed += failed;
        }
    }

    fn id(&self, place: usize) -> AssocId {
        AssocId::new(self.first_id.saturating_add(u16::try_from(place).unwrap_or(u16::MAX)))
    }

    /// A source that is never asked.
    fn silent(&self, place: usize, address: SocketAddr) -> Association {
        let id = self.id(place);
        Association {
            id,
            flags: AssociationFlags { configured: true, ..AssociationFlags::default() },
            selection: Selection::Reject,
            events: self.events(id, MOBILIZE),
            source: address,
            name: None,
            local: SocketAddr::new(
                if address.is_ipv4() {
                    Ipv4Addr::UNSPECIFIED.into()
                } else {
                    IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
                },
                123,
            ),
            host_mode: Mode::Client,
            peer_mode: Mode::Reserved,
            leap: Leap::Unsynchronised,
            stratum: Stratum::UNSYNCHRONISED,
            precision: self.precision,
            root_delay: Secs::ZERO,
            root_dispersion: Secs::ZERO,
            refid: RefId::from_ascii(*b"INIT"),
            reference: NtpTimestamp::ZERO,
            origin: NtpTimestamp::ZERO,
            receive: NtpTimestamp::ZERO,
            reach: Reach::from_bits(0),
            unreach: 0,
            host_poll: LogInterval::from_log2(6),
            peer_poll: LogInterval::from_log2(10),
            headway: 0,
            // as ntpd before the first reply: too far and unreachable
            flash: 0x1400,
            key: None,
            ttl: None,
            offset: Secs::ZERO,
            delay: Secs::ZERO,
            dispersion: Secs::literal(16.0),
            jitter: Secs::ZERO,
            xleave: Secs::ZERO,
            bias: Secs::ZERO,
            filter: [Sample::EMPTY; 8],
            until_next: 0,
            counters: AssociationCounters {
                since_received: self.uptime(),
                since_reach: self.uptime(),
                ..AssociationCounters::default()
            },
            clock: None,
        }
    }

    fn events(&self, id: AssocId, last: u8) -> Events {
        Events { count: u8::from(!self.peers_seen.contains(&id)), last }
    }

    fn local_association(&self, local: &LocalClock) -> Association {
        let place = self.sources.len();
        let polls = self.polls(local);
        let keeps = self.keeper().is_some();
        let interval = 1_u64 << local.minpoll.clamp(3, 17);
        let poll = LogInterval::from_log2(i8::try_from(local.minpoll).unwrap_or(6));
        let since = self.uptime() % interval;
        let mut filter = [Sample::EMPTY; 8];
        let mut age = f64::from(u32::try_from(since).unwrap_or(0));
        for slot in filter.iter_mut().take(usize::try_from(polls).unwrap_or(8)) {
            *slot = Sample { dispersion: Secs::new(age * GROWTH).unwrap_or(Secs::ZERO), ..Sample::EMPTY };
            age += f64::from(u32::try_from(interval).unwrap_or(0));
        }
        let bits = if polls >= 8 { 0xff } else { (1_u16 << polls) - 1 };
        let id = self.id(place);
        let refid = RefId::from_ascii(local.refid);
        Association {
            selection: if keeps { Selection::SystemPeer } else { Selection::Reject },
            events: self.events(id, if keeps { SYSTEM_PEER } else { REACHABLE }),
            local: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 123),
            peer_mode: Mode::Server,
            leap: Leap::None,
            stratum: Stratum::new(local.stratum),
            root_dispersion: DRIVER_DISPERSION,
            refid,
            receive: NtpTimestamp::from_timestamp(self.last_poll(local)),
            reach: Reach::from_bits(u8::try_from(bits).unwrap_or(u8::MAX)),
            host_poll: poll,
            peer_poll: poll,
            flash: 0,
            ttl: Some(0),
            dispersion: filter_dispersion(&filter),
            filter,
            until_next: interval - since,
            counters: AssociationCounters {
                sent: polls,
                received: polls,
                since_received: since,
                since_reach: self.uptime(),
                ..AssociationCounters::default()
            },
            clock: Some(Clock {
                device: "Undisciplined local clock".to_owned(),
                timecode: String::new(),
                events: Events::default(),
                polls,
                no_reply: 0,
                bad_format: 0,
                bad_data: 0,
                time1: None,
                time2: None,
                stratum: local.stratum,
                refid,
                flags: local.flags,
            }),
            ..self.silent(place, SocketAddr::new(Ipv4Addr::new(127, 127, 1, local.unit).into(), 123))
        }
    }
}

/// The error bound of a filter: the samples' bounds, each counting half of the one before.
fn filter_dispersion(filter: &[Sample; 8]) -> Secs {
    let sum = filter.iter().rev().fold(0.0, |sum, sample| (sum + sample.dispersion.get()) / 2.0);
    Secs::new(sum).unwrap_or(Secs::ZERO)
}

impl Facts for Desk {
    fn system(&self) -> System {
        let keeper = self.keeper();
        let count = u8::from(!self.system_seen);
        let unit = keeper.map_or(0, |local| local.unit);
        System {
            leap: if keeper.is_some() { Leap::None } else { Leap::Unsynchronised },
            source: if keeper.is_some() { SOURCE_LOCAL } else { 0 },
            events: Events { count, last: if keeper.is_some() { CLOCK_SYNC } else { RESTART } },
            stratum: keeper
                .map_or(Stratum::UNSYNCHRONISED, |local| Stratum::new(local.stratum.saturating_add(1))),
            precision: self.precision,
            root_delay: Secs::ZERO,
            root_dispersion: match keeper {
                Some(local) => {
                    let since = (self.at - self.last_poll(local)).as_secs_f64();
                    Secs::new(DRIVER_DISPERSION.get() + since * GROWTH + 0.001).unwrap_or(DRIVER_DISPERSION)
                }
                None => Secs::new((self.now - self.started).as_secs_f64() * GROWTH).unwrap_or(Secs::ZERO),
            },
            refid: match keeper {
                Some(_) => RefId::from_ipv4(Ipv4Addr::new(127, 127, 1, unit)),
                None => RefId::from_ascii(*b"INIT"),
            },
            reference: keeper
                .map_or(NtpTimestamp::ZERO, |local| NtpTimestamp::from_timestamp(self.last_poll(local))),
            clock: NtpTimestamp::from_timestamp(self.at),
            peer: if keeper.is_some() { self.id(self.sources.len()) } else { AssocId::SYSTEM },
            peer_address: keeper.map(|_| SocketAddr::new(Ipv4Addr::new(127, 127, 1, unit).into(), 123)),
            peer_mode: if keeper.is_some() { Mode::Client.to_bits() } else { 0 },
            time_constant: LogInterval::from_log2(
                keeper.map_or(3, |local| i8::try_from(local.minpoll).unwrap_or(6)),
            ),
            min_time_constant: LogInterval::from_log2(3),
            offset: Secs::ZERO,
            frequency: self.frequency,
            system_jitter: Secs::ZERO,
            clock_jitter: Secs::ZERO,
            clock_wander: Frequency::ZERO,
            tai: None,
            leap_seconds: None,
            broadcast_delay: self.broadcast_delay,
            wander_threshold: Frequency::from_ppm(0.1).unwrap_or(Frequency::ZERO),
        }
    }

    fn associations(&self) -> Vec<Association> {
        let sources = self.sources.iter().enumerate().map(|(place, address)| self.silent(place, *address));
        sources.chain(self.local.as_ref().map(|local| self.local_association(local))).collect()
    }

    fn statistics(&self) -> Statistics {
        Statistics { uptime: self.uptime(), keys: self.keys, ..self.statistics }
    }

    fn kernel(&self) -> Option<Kernel> {
        let kernel = clock::kernel().ok()?;
        let secs = |delta: TimeDelta| Secs::from(delta);
        Some(Kernel {
            offset: secs(kernel.offset),
            frequency_ppm: kernel.correction_ppm,
            max_error: secs(kernel.max_error),
            est_error: secs(kernel.est_error),
            status: u32::try_from(kernel.status).unwrap_or(0),
            time_constant: kernel.time_constant,
            precision: secs(kernel.precision),
            tolerance_ppm: kernel.tolerance_ppm,
        })
    }

    fn interfaces(&self) -> Vec<Interface> {
        let uptime = self.uptime();
        self.interfaces.iter().map(|interface| Interface { uptime, ..interface.clone() }).collect()
    }

    fn restrictions(&self) -> Vec<Rule> {
        self.restrictions.list()
    }

    fn clients(&self) -> Option<&Clients> {
        self.clients.as_ref()
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn events_seen(&mut self, association: AssocId) {
        if association == AssocId::SYSTEM {
            self.system_seen = true;
        } else if !self.peers_seen.contains(&association) && self.peers_seen.len() < 1024 {
            self.peers_seen.push(association);
        }
    }

    fn configure(&mut self, line: &str) -> String {
        let word = line.split_whitespace().next().unwrap_or_default();
        let parsed = match ntp_conf::check_line(line, &mut NoFiles) {
            Ok(parsed) => parsed,
            Err(text) => return text,
        };
        let Some(ntp) = parsed.config.ntp else { return "Config Succeeded".to_owned() };
        match word {
            "" => {}
            "restrict" => {
                if ntp.restrict.is_empty() {
                    return parsed.diagnostics.first().map_or_else(String::new, ToString::to_string);
                }
                ntp.restrict.iter().for_each(|(rule, _)| self.restrictions.add(*rule));
            }
            "enable" | "disable" if line.split_whitespace().skip(1).all(|what| what == "monitor") => {
                self.clients = match (ntp.switches.monitor, self.clients.take()) {
                    (true, None) => clients(Some(self.default_bounds)),
                    (true, kept) => kept,
                    (false, _) => None,
                };
            }
            "fudge" if line.contains("127.127.1.") => match (self.local.as_mut(), fudged_stratum(line)) {
                (Some(local), Some(stratum)) => local.stratum = stratum,
                _ => return format!("column 0 {word} remote config ignored"),
            },
            _ => return format!("column 0 {word} remote config ignored"),
        }
        "Config Succeeded".to_owned()
    }

    fn set_variable(&mut self, name: &str, value: &str) -> bool {
        let variable = self.identity.variables.iter_mut().find(|variable| variable.name == name);
        variable.map(|variable| value.clone_into(&mut variable.value)).is_some()
    }
}

/// The value behind `stratum`.
fn fudged_stratum(line: &str) -> Option<u8> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "stratum");
    words.nth(1).and_then(|text| text.parse().ok()).filter(|stratum| *stratum <= 15)
}

/// A line from the network names no file and no host.
struct NoFiles;

impl Files for NoFiles {
    fn read(&mut self, _: &str) -> Result<Vec<u8>, String> {
        Err("remote includefile ignored".to_owned())
    }
    fn glob(&mut self, _: &str) -> Option<Vec<String>> {
        None
    }
    fn list(&mut self, _: &str) -> Vec<String> {
        Vec::new()
    }
    fn address(&mut self, _: &str) -> Option<IpAddr> {
        None
    }
}
