//! The configuration of a time daemon, as chrony.conf describes it, or ntp.conf, which fills the same model and its own part [`super::ntp_model`].
//!
//! Times are seconds, frequencies ppm, polls log2 s, as they stand in the file. Defaults are chrony 4.9's.

use std::net::{IpAddr, SocketAddr};

use super::diagnostic::Place;
use super::ntp_model::Ntp;
use super::source::Source;
pub use crate::engine::options::{AuthSelectMode, LeapSecondMode, Local, Smoothing};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Sources in the order of the file.
    pub sources: Vec<(Source, Place)>,
    /// `refclock` lines in the order of the file.
    pub refclocks: Vec<(Refclock, Place)>,
    /// `allow`, `deny` lines in the order of the file.
    pub access: Vec<AccessRule>,
    /// `cmdallow`, `cmddeny` lines in the order of the file.
    pub command_access: Vec<AccessRule>,
    /// `broadcast` lines.
    pub broadcasts: Vec<Broadcast>,
    /// `hwtimestamp` lines.
    pub hwtimestamps: Vec<HwTimestamp>,
    /// `sourcedir` folders.
    pub sourcedirs: Vec<String>,
    /// Commands that `opencommands` opens to everybody; `None`: those that are open without it.
    pub opencommands: Option<Vec<String>>,
    /// Log files that are written.
    pub logs: Vec<String>,
    /// `local`.
    pub local: Option<Local>,
    /// `ratelimit`.
    pub ratelimit: Option<RateLimit>,
    /// `cmdratelimit`.
    pub cmdratelimit: Option<RateLimit>,
    /// `ntsratelimit`.
    pub ntsratelimit: Option<RateLimit>,
    /// `makestep`: seconds, and for how many updates (below 0: always).
    pub makestep: Option<(f64, i32)>,
    /// `maxchange`: offset, updates before it counts, how often it is ignored (below 0: always).
    pub maxchange: Option<(f64, i32, i32)>,
    /// `initstepslew`: threshold and hosts.
    pub initstepslew: Option<(f64, Vec<String>)>,
    /// `fallbackdrift`: log2 s of the shortest and longest interval.
    pub fallbackdrift: Option<(i32, i32)>,
    /// `mailonchange`: address and threshold.
    pub mailonchange: Option<(String, f64)>,
    /// `smoothtime`.
    pub smoothtime: Option<Smoothing>,
    /// `tempcomp` and its words.
    pub tempcomp: Option<Vec<String>>,
    /// `driftfile`, and how often it is written (s).
    pub driftfile: Option<(String, u32)>,
    /// `ntstrustedcerts`: set and file.
    pub ntstrustedcerts: Vec<(u32, String)>,
    /// `ntsaeads`.
    pub ntsaeads: Vec<u32>,
    /// `authselectmode`.
    pub authselectmode: AuthSelectMode,
    /// `leapsecmode`.
    pub leapsecmode: LeapSecondMode,
    /// `bindaddress`, IPv4 and IPv6.
    pub bindaddress: PerFamily<IpAddr>,
    /// `bindacqaddress`.
    pub bindacqaddress: PerFamily<IpAddr>,
    /// `bindcmdaddress`.
    pub bindcmdaddress: PerFamily<IpAddr>,
    /// Command socket; `None`: switched off.
    pub command_socket: Option<String>,
    /// Directives without a value.
    pub flags: Flags,
    /// Directives with one number.
    pub integers: Integers,
    /// Directives with one real number.
    pub reals: Reals,
    /// Directives with one word.
    pub words: Words,
    /// `clientloglimit`, bytes.
    pub clientloglimit: u32,
    /// What only ntp.conf can say; `None`: the file was a chrony.conf.
    pub ntp: Option<Box<Ntp>>,
}

/// A value for each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerFamily<T> {
    /// For IPv4.
    pub v4: Option<T>,
    /// For IPv6.
    pub v6: Option<T>,
}

impl<T> Default for PerFamily<T> {
    fn default() -> Self {
        Self { v4: None, v6: None }
    }
}

/// One line of `allow`, `deny`, `cmdallow`, `cmddeny`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    /// Whether it opens or closes.
    pub allow: bool,
    /// Whether narrower rules inside it are dropped.
    pub all: bool,
    /// What it is about.
    pub scope: Scope,
    /// Where it stands.
    pub place: Place,
}

/// What an access rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every address of both families.
    Everything,
    /// A network: address and leading bits.
    Network(IpAddr, u8),
}

/// `broadcast`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broadcast {
    /// Number of the key that signs its packets; 0: none (ntp.conf only).
    pub key: u32,
    /// Seconds between packets.
    pub interval: u32,
    /// Where to.
    pub to: SocketAddr,
}

/// `hwtimestamp`.
#[derive(Debug, Clone, PartialEq)]
pub struct HwTimestamp {
    /// Interface, or `*`.
    pub interface: String,
    /// Its options as they stand.
    pub options: Vec<String>,
}

/// `ratelimit` and its kin; the values as clamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// log2 s between tokens.
    pub interval: i32,
    /// Tokens that a bucket holds.
    pub burst: i32,
    /// One of 2^leak refused requests is answered.
    pub leak: i32,
    /// One of 2^kod refused requests gets a KoD; 0: none.
    pub kod: i32,
}

/// `refclock`.
#[derive(Debug, Clone, PartialEq)]
pub struct Refclock {
    /// Driver, in capitals.
    pub driver: String,
    /// Its parameter.
    pub parameter: String,
    /// Further options, lower case, with their values.
    pub options: Vec<(String, Option<String>)>,
}

impl Refclock {
    /// Whether the flag `optional` silences a missing device.
    pub fn is_optional(&self) -> bool {
        self.options.iter().any(|(name, _)| name == "optional")
    }
}

/// Directives without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a directive of its own")]
#[expect(missing_docs, reason = "the names are those of the directives in chrony.conf(5)")]
pub struct Flags {
    pub lock_all: bool,
    pub manual: bool,
    pub noclientlog: bool,
    pub nosystemcert: bool,
    pub rtconutc: bool,
    pub rtcsync: bool,
}

/// Directives with one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the directives in chrony.conf(5)")]
pub struct Integers {
    pub acquisitionport: i32,
    pub cmdport: i32,
    pub dscp: i32,
    pub logbanner: i32,
    pub maxntsconnections: i32,
    pub maxsamples: i32,
    pub minsamples: i32,
    pub minstratum: i32,
    pub maxstratum: i32,
    pub maxtxbuffers: i32,
    pub minsources: i32,
    pub nocerttimecheck: i32,
    pub ntsport: i32,
    pub port: i32,
    pub ptpport: i32,
    pub ptpdomain: i32,
    pub ntsprocesses: i32,
    pub ntsrefresh: i32,
    pub ntsrotate: i32,
    pub refresh: i32,
    pub sched_priority: i32,
}

/// Directives with one real number.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the directives in chrony.conf(5)")]
pub struct Reals {
    pub clockprecision: f64,
    pub combinelimit: f64,
    pub corrtimeratio: f64,
    pub hwtstimeout: f64,
    pub logchange: f64,
    pub maxclockerror: f64,
    pub maxdistance: f64,
    pub maxdrift: f64,
    pub maxjitter: f64,
    pub maxslewrate: f64,
    pub maxupdateskew: f64,
    pub reselectdist: f64,
    pub rtcautotrim: f64,
    pub stratumweight: f64,
}

/// Directives with one word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are those of the directives in chrony.conf(5)")]
pub struct Words {
    pub bindacqdevice: Option<String>,
    pub bindcmddevice: Option<String>,
    pub binddevice: Option<String>,
    pub dumpdir: Option<String>,
    pub hwclockfile: Option<String>,
    pub keyfile: Option<String>,
    pub leapseclist: Option<String>,
    pub leapsectz: Option<String>,
    pub logdir: Option<String>,
    pub ntpsigndsocket: Option<String>,
    pub ntsdumpdir: Option<String>,
    pub ntsntpserver: Option<String>,
    pub ntsservercert: Option<String>,
    pub ntsserverkey: Option<String>,
    pub pidfile: Option<String>,
    pub rtcdevice: Option<String>,
    pub rtcfile: Option<String>,
    pub user: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            refclocks: Vec::new(),
            access: Vec::new(),
            command_access: Vec::new(),
            broadcasts: Vec::new(),
            hwtimestamps: Vec::new(),
            sourcedirs: Vec::new(),
            opencommands: None,
            logs: Vec::new(),
            local: None,
            ratelimit: None,
            cmdratelimit: None,
            ntsratelimit: None,
            makestep: None,
            maxchange: None,
            initstepslew: None,
            fallbackdrift: None,
            mailonchange: None,
            smoothtime: None,
            tempcomp: None,
            driftfile: None,
            ntstrustedcerts: Vec::new(),
            ntsaeads: Vec::new(),
            authselectmode: AuthSelectMode::Mix,
            leapsecmode: LeapSecondMode::System,
            bindaddress: PerFamily::default(),
            bindacqaddress: PerFamily::default(),
            bindcmdaddress: PerFamily::default(),
            command_socket: Some("/run/chrony/chronyd.sock".to_owned()),
            flags: Flags::default(),
            integers: Integers {
                acquisitionport: -1,
                cmdport: 323,
                dscp: 0,
                logbanner: 32,
                maxntsconnections: 100,
                maxsamples: 0,
                minsamples: 6,
                minstratum: 0,
                maxstratum: 16,
                maxtxbuffers: 0,
                minsources: 1,
                nocerttimecheck: 0,
                ntsport: 4460,
                port: 123,
                ptpport: 0,
                ptpdomain: 123,
                ntsprocesses: 1,
                ntsrefresh: 2_419_200,
                ntsrotate: 604_800,
                refresh: 1_209_600,
                sched_priority: 0,
            },
            reals: Reals {
                clockprecision: 0.0,
                combinelimit: 3.0,
                corrtimeratio: 3.0,
                hwtstimeout: 0.001,
                logchange: 1.0,
                maxclockerror: 1.0,
                maxdistance: 3.0,
                maxdrift: 500_000.0,
                maxjitter: 1.0,
                maxslewrate: 83_333.333,
                maxupdateskew: 1000.0,
                reselectdist: 1e-4,
                rtcautotrim: 0.0,
                stratumweight: 1e-3,
            },
            words: Words::default(),
            clientloglimit: 524_288,
            ntp: None,
        }
    }
}
