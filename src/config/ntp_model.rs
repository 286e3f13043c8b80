//! What only ntp.conf can say; what both dialects know is in [`super::model::Config`] itself.
//!
//! Times are seconds, frequencies ppm as ntpd counts them (positive: the clock is slow), polls log2 s. Defaults are ntpd 4.2.8's.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::diagnostic::Place;
use crate::engine::restrict::Rule;

/// Settings of an ntp.conf.
#[derive(Debug, Clone, PartialEq)]
pub struct Ntp {
    /// `restrict` lines in the order of the file; a line without an address family has one entry for each.
    pub restrict: Vec<(Rule, Place)>,
    /// `restrict source`: flags that the addresses of sources get.
    pub restrict_source: Option<Rule>,
    /// Whether a `restrict default` stands in the file.
    pub restricts_default: bool,
    /// `server 127.127.1.u`, with what `fudge` says.
    pub local_clock: Option<LocalClock>,
    /// `discard`.
    pub discard: Discard,
    /// `mru`.
    pub mru: Mru,
    /// `tinker`.
    pub tinker: Tinker,
    /// `tos`.
    pub tos: Tos,
    /// `enable`, `disable`.
    pub switches: Switches,
    /// `statistics` and `filegen`: the files that are written.
    pub filegen: Vec<Filegen>,
    /// `statsdir`, with its final slash as given.
    pub statsdir: Option<String>,
    /// `logfile`.
    pub logfile: Option<String>,
    /// `logconfig` words that are known.
    pub logconfig: Vec<String>,
    /// `trustedkey`; empty: no key is trusted.
    pub trusted_keys: Vec<RangeInclusive<u32>>,
    /// `controlkey`.
    pub control_key: Option<u32>,
    /// `requestkey`, for mode 7, which nobody serves here.
    pub request_key: Option<u32>,
    /// `setvar`: name, value, and whether it is in the default list.
    pub variables: Vec<(String, String, bool)>,
    /// `interface`, `nic` in the order of the file; the last that matches decides.
    pub interfaces: Vec<InterfaceRule>,
    /// `saveconfigdir`.
    pub saveconfigdir: Option<String>,
    /// `broadcastdelay`.
    pub broadcast_delay: f64,
    /// `broadcastclient`, `multicastclient`: servers that broadcast become sources.
    pub broadcast_client: bool,
    /// `novolley`: their round trip is not measured.
    pub novolley: bool,
    /// Groups of `multicastclient`.
    pub multicast: Vec<IpAddr>,
    /// `driftfile` without a name: no drift file at all.
    pub driftfile_disabled: bool,
    /// Addresses of `unpeer`, `unconfig`.
    pub unpeer: Vec<String>,
    /// `leapfile … ignorehash`: its hash may be wrong.
    pub leapfile_unchecked: bool,
    /// `reset`.
    pub resets: Vec<Counters>,
}

impl Default for Ntp {
    fn default() -> Self {
        Self {
            restrict: Vec::new(),
            restrict_source: None,
            restricts_default: false,
            local_clock: None,
            discard: Discard::default(),
            mru: Mru::default(),
            tinker: Tinker::default(),
            tos: Tos::default(),
            switches: Switches::default(),
            filegen: Vec::new(),
            statsdir: None,
            logfile: None,
            logconfig: Vec::new(),
            trusted_keys: Vec::new(),
            control_key: None,
            request_key: None,
            variables: Vec::new(),
            interfaces: Vec::new(),
            saveconfigdir: None,
            // as ntpd shows it
            broadcast_delay: -0.05,
            broadcast_client: false,
            novolley: false,
            multicast: Vec::new(),
            driftfile_disabled: false,
            unpeer: Vec::new(),
            leapfile_unchecked: false,
            resets: Vec::new(),
        }
    }
}

impl Ntp {
    /// Whether a key may be used by clients and sources.
    pub fn trusts(&self, key: u32) -> bool {
        self.trusted_keys.iter().any(|range| range.contains(&key))
    }
}

/// The undisciplined local clock, driver 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalClock {
    /// Unit, 0 … 3.
    pub unit: u8,
    /// `fudge … stratum` (5); what is served is one more.
    pub stratum: u8,
    /// `fudge … refid` (`LOCL`).
    pub refid: [u8; 4],
    /// `fudge … time1`, seconds.
    pub time1: f64,
    /// `fudge … time2`, seconds.
    pub time2: f64,
    /// `fudge … flag1` to `flag4`, bit 0 first.
    pub flags: u8,
    /// Shortest poll interval, log2 s.
    pub minpoll: i32,
    /// Longest poll interval, log2 s.
    pub maxpoll: i32,
    /// `prefer`.
    pub prefer: bool,
}

impl LocalClock {
    /// The clock as it is without `fudge`.
    pub const fn new(unit: u8) -> Self {
        Self {
            unit,
            stratum: 5,
            refid: *b"LOCL",
            time1: 0.0,
            time2: 0.0,
            flags: 0,
            minpoll: 6,
            maxpoll: 10,
            prefer: false,
        }
    }
}

/// `discard`: how often a client may ask where `limited` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discard {
    /// Average distance, log2 s.
    pub average: i32,
    /// Shortest distance, log2 s.
    pub minimum: i32,
    /// Seconds after which an entry of the client list may give way.
    pub monitor: u32,
}

impl Default for Discard {
    fn default() -> Self {
        Self { average: 3, minimum: 1, monitor: 3000 }
    }
}

/// `mru`: the size of the client list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mru {
    /// Most entries.
    pub maxdepth: u32,
    /// Entries that are kept whatever their age.
    pub mindepth: u32,
    /// Seconds that an entry above `mindepth` is kept.
    pub maxage: u32,
}

impl Default for Mru {
    fn default() -> Self {
        // 1024 kB in entries of the size that 4.2.8p15 has
        Self { maxdepth: 11_915, mindepth: 600, maxage: 64 }
    }
}

/// `tinker`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tinker {
    /// Offset from which on the clock is stepped, s; 0: never.
    pub step: f64,
    /// Smallest step back, when it differs.
    pub stepback: Option<f64>,
    /// Smallest step forward, when it differs.
    pub stepfwd: Option<f64>,
    /// How long an offset above `step` must last, s.
    pub stepout: f64,
    /// Offset at which the daemon gives up, s; 0: never.
    pub panic: f64,
    /// Growth of the dispersion, ppm.
    pub dispersion: f64,
    /// Allan intercept, log2 s.
    pub allan: f64,
    /// Window of the huff-'n'-puff filter, s.
    pub huffpuff: Option<f64>,
    /// First frequency, ppm in ntpd's sign.
    pub freq: Option<f64>,
}

impl Default for Tinker {
    fn default() -> Self {
        Self {
            step: 0.128,
            stepback: None,
            stepfwd: None,
            stepout: 300.0,
            panic: 1000.0,
            dispersion: 15.0,
            allan: 11.0,
            huffpuff: None,
            freq: None,
        }
    }
}

/// `tos`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tos {
    /// Survivors that clustering leaves at least.
    pub minclock: f64,
    /// Associations at most.
    pub maxclock: f64,
    /// Smallest distance that selection assumes, s.
    pub mindist: f64,
    /// Largest root distance of a source, s.
    pub maxdist: f64,
    /// Sources that must agree.
    pub minsane: i32,
    /// Smallest stratum of a source.
    pub floor: i32,
    /// Stratum from which on sources are not used.
    pub ceiling: i32,
    /// Whether sources of our own stratum count.
    pub cohort: bool,
    /// Stratum that is served without a source; `None`: off.
    pub orphan: Option<i32>,
    /// Seconds until orphan mode begins.
    pub orphanwait: i32,
    /// Interval of manycast beacons, s.
    pub beacon: i32,
}

impl Default for Tos {
    fn default() -> Self {
        Self {
            minclock: 3.0,
            maxclock: 10.0,
            mindist: 0.001,
            maxdist: 1.5,
            minsane: 1,
            floor: 0,
            ceiling: 16,
            cohort: false,
            orphan: None,
            orphanwait: 300,
            beacon: 3600,
        }
    }
}

/// `enable` and `disable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of its own in the file")]
pub struct Switches {
    /// `auth`: unauthenticated packets make no associations.
    pub auth: bool,
    /// `bclient`.
    pub bclient: bool,
    /// `calibrate`.
    pub calibrate: bool,
    /// `kernel`.
    pub kernel: bool,
    /// `monitor`: the client list is kept.
    pub monitor: bool,
    /// `ntp`: the clock is disciplined.
    pub ntp: bool,
    /// `stats`: statistics files are written.
    pub stats: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            auth: true,
            bclient: false,
            calibrate: false,
            kernel: true,
            monitor: true,
            ntp: true,
            stats: true,
        }
    }
}

/// Counters that `reset` sets to zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counters {
    /// `allpeers`: those of every association.
    AllPeers,
    /// `auth`: use of keys.
    Auth,
    /// `ctl`: control messages, which no report shows.
    Control,
    /// `io`: sockets.
    Io,
    /// `mem`: associations and memory, which no report shows.
    Memory,
    /// `sys`: packets by what became of them.
    System,
    /// `timer`: what timers did.
    Timer,
}

impl Counters {
    /// By its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "allpeers" => Self::AllPeers,
            "auth" => Self::Auth,
            "ctl" => Self::Control,
            "io" => Self::Io,
            "mem" => Self::Memory,
            "sys" => Self::System,
            "timer" => Self::Timer,
            _ => return None,
        })
    }
}

/// One statistics file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filegen {
    /// `loopstats`, `peerstats` …
    pub name: String,
    /// Its name below `statsdir`.
    pub file: String,
    /// When a new one begins.
    pub period: Period,
    /// Whether the bare name is linked to the current one.
    pub link: bool,
    /// Whether it is written.
    pub enabled: bool,
}

impl Filegen {
    /// A file with the original's defaults, not yet enabled.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), file: name.to_owned(), period: Period::Day, link: true, enabled: false }
    }
}

/// When a new statistics file begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// Never.
    None,
    /// With each daemon.
    Pid,
    /// Each day (UTC).
    Day,
    /// Each week.
    Week,
    /// Each month.
    Month,
    /// Each year.
    Year,
    /// Each 24 hours of running.
    Age,
}

/// What an `interface` line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceRule {
    /// What is done with packets there.
    pub action: InterfaceAction,
    /// Which addresses.
    pub scope: InterfaceScope,
}

/// What is done on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterfaceAction {
    /// A socket is opened.
    Listen,
    /// No socket is opened.
    Ignore,
    /// A socket is opened and what comes is dropped.
    Drop,
}

/// Which addresses an `interface` line is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceScope {
    /// `all`.
    All,
    /// `ipv4`.
    V4,
    /// `ipv6`.
    V6,
    /// `wildcard`.
    Wildcard,
    /// An address, or a network by its leading bits.
    Network(IpAddr, u8),
    /// An interface by name.
    Name(String),
}
