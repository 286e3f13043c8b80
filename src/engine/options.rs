//! What a source or the discipline can be told, with chrony 4.9's defaults. `config` fills these, `chronyc` changes them.

use std::fmt;

use super::tempcomp::TempComp;

/// How a source is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ask one server.
    Server,
    /// Symmetric association with one host.
    Peer,
    /// Ask several of the servers behind one name.
    Pool,
}

impl Kind {
    /// The directive, in any case.
    pub fn from_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "server" => Some(Self::Server),
            "peer" => Some(Self::Peer),
            "pool" => Some(Self::Pool),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Peer => "peer",
            Self::Pool => "pool",
        })
    }
}

/// A source and its options, with chrony 4.9's defaults. Polls are log2 s, other times seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// How it is spoken to.
    pub kind: Kind,
    /// Name or address as given.
    pub name: String,
    /// UDP port.
    pub port: u16,
    /// Shortest poll interval.
    pub minpoll: i32,
    /// Longest poll interval.
    pub maxpoll: i32,
    /// Poll from which on a request is sent twice.
    pub presend: i32,
    /// Its stratum counts as at least this.
    pub minstratum: u32,
    /// Samples that the poll interval aims at.
    pub polltarget: u32,
    /// NTP version of the requests; 0: the one that fits.
    pub version: u32,
    /// Members of a pool that are used.
    pub maxsources: u32,
    /// Fewest samples kept; `None`: the global value.
    pub minsamples: Option<u32>,
    /// Most samples kept; `None`: the global value.
    pub maxsamples: Option<u32>,
    /// Polls without an answer until it is no longer asked.
    pub maxunreach: u32,
    /// Length of the median filter; 0: none.
    pub filter: u32,
    /// Number of the symmetric key; 0: none.
    pub key: u32,
    /// Port of NTS-KE.
    pub ntsport: u16,
    /// Set of trusted certificates.
    pub certset: u32,
    /// log2 s of the longest pause between NTS-KE attempts.
    pub maxntsretry: i32,
    /// Longest round trip that is accepted.
    pub maxdelay: f64,
    /// Longest ratio to the shortest round trip; 0: any.
    pub maxdelayratio: f64,
    /// Longest excess over the shortest round trip, in standard deviations.
    pub maxdelaydevratio: f64,
    /// Quantile of the round trips that is accepted; 0: all.
    pub maxdelayquant: f64,
    /// The shortest round trip that is possible.
    pub mindelay: f64,
    /// Asymmetry of the path's jitter, −0.5 … 0.5; 1: estimated.
    pub asymmetry: f64,
    /// Correction that is added to its offsets.
    pub offset: f64,
    /// The words without a value.
    pub flags: Flags,
    /// Extension fields that are sent.
    pub extensions: Extensions,
}

/// The words without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of its own in the file")]
pub struct Flags {
    /// `offline`: not asked until told.
    pub offline: bool,
    /// `auto_offline`.
    pub auto_offline: bool,
    /// `iburst`: four quick requests at first.
    pub iburst: bool,
    /// `burst`.
    pub burst: bool,
    /// `prefer`.
    pub prefer: bool,
    /// `noselect`.
    pub noselect: bool,
    /// `trust`.
    pub trust: bool,
    /// `require`.
    pub require: bool,
    /// `xleave`: interleaved mode.
    pub xleave: bool,
    /// `nts`.
    pub nts: bool,
    /// `copy`: its reference ID and stratum are passed on.
    pub copy: bool,
    /// `ipv4`.
    pub ipv4: bool,
    /// `ipv6`.
    pub ipv6: bool,
}

/// Extension fields that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions {
    /// F323: root values in finer units and a monotonic time.
    pub mono_root: bool,
    /// 010A (F324 in chrony 4.5 to 4.8): network correction.
    pub net_correction: bool,
}

impl Source {
    /// A source with every option at its default.
    pub fn new(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            port: 123,
            minpoll: 6,
            maxpoll: 10,
            presend: 100,
            minstratum: 0,
            polltarget: 8,
            version: 0,
            maxsources: 4,
            minsamples: None,
            maxsamples: None,
            maxunreach: 100_000,
            filter: 0,
            key: 0,
            ntsport: 4460,
            certset: 0,
            maxntsretry: 19,
            maxdelay: 3.0,
            maxdelayratio: 0.0,
            maxdelaydevratio: 10.0,
            maxdelayquant: 0.0,
            mindelay: 0.0,
            asymmetry: 1.0,
            offset: 0.0,
            flags: Flags::default(),
            extensions: Extensions::default(),
        }
    }
}

/// `local`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Local {
    /// Stratum, 1 … 15.
    pub stratum: u8,
    /// Whether only one of several hosts serves.
    pub orphan: bool,
    /// Root distance from which on it is used (s).
    pub distance: f64,
    /// Root distance below which it may be activated (s).
    pub activate: f64,
    /// Time after synchronisation (s).
    pub waitsynced: f64,
    /// Time without synchronisation (s).
    pub waitunsynced: f64,
}

/// `smoothtime`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smoothing {
    /// Largest frequency offset (ppm).
    pub max_freq: f64,
    /// Largest wander (ppm/s).
    pub max_wander: f64,
    /// Only for leap seconds.
    pub leap_only: bool,
}

/// `authselectmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthSelectMode {
    /// `require`.
    Require,
    /// `prefer`.
    Prefer,
    /// `mix`.
    Mix,
    /// `ignore`.
    Ignore,
}

/// `leapsecmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeapSecondMode {
    /// `system`.
    System,
    /// `step`.
    Step,
    /// `slew`.
    Slew,
    /// `ignore`.
    Ignore,
}

/// What the daemon as a whole is told, beyond its sources.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `makestep`: an offset above the seconds is stepped, in the first so many updates (below 0: always).
    pub makestep: Option<(f64, i32)>,
    /// `maxchange`: offset (s), updates before it counts, how often it is ignored (below 0: always).
    pub maxchange: Option<(f64, i32, i32)>,
    /// `fallbackdrift`: log2 s of the shortest and longest interval.
    pub fallbackdrift: Option<(i32, i32)>,
    /// `local`.
    pub local: Option<Local>,
    /// `authselectmode`.
    pub authselectmode: AuthSelectMode,
    /// `leapsecmode`.
    pub leapsecmode: LeapSecondMode,
    /// `logchange`, s.
    pub logchange: f64,
    /// `corrtimeratio`.
    pub corrtimeratio: f64,
    /// `maxslewrate`, ppm.
    pub maxslewrate: f64,
    /// `maxdrift`, ppm.
    pub maxdrift: f64,
    /// `maxupdateskew`, ppm.
    pub maxupdateskew: f64,
    /// `maxclockerror`, ppm.
    pub maxclockerror: f64,
    /// `maxdistance`, s.
    pub maxdistance: f64,
    /// `maxjitter`, s.
    pub maxjitter: f64,
    /// `minstratum`.
    pub minstratum: u8,
    /// `maxstratum`.
    pub maxstratum: u8,
    /// `reselectdist`, s.
    pub reselectdist: f64,
    /// `stratumweight`, s.
    pub stratumweight: f64,
    /// `combinelimit`.
    pub combinelimit: f64,
    /// `minsources`.
    pub minsources: u32,
    /// `minsamples`, for sources without one of their own.
    pub minsamples: u32,
    /// `maxsamples`, for sources without one of their own; 0: the most that are kept.
    pub maxsamples: u32,
    /// `rtcsync`: the kernel may copy the time to the hardware clock.
    pub rtcsync: bool,
    /// Seconds between writes of the drift file.
    pub drift_interval: u32,
    /// `tempcomp`: what a temperature does.
    pub tempcomp: Option<TempComp>,
    /// `smoothtime`.
    pub smoothing: Option<Smoothing>,
    /// `refresh`: after so many seconds the address that was looked up longest ago is looked up again; 0: never.
    pub refresh: u32,
}

impl Default for Settings {
    /// chrony 4.9's defaults.
    fn default() -> Self {
        Self {
            makestep: None,
            maxchange: None,
            fallbackdrift: None,
            local: None,
            authselectmode: AuthSelectMode::Mix,
            leapsecmode: LeapSecondMode::System,
            logchange: 1.0,
            corrtimeratio: 3.0,
            maxslewrate: 83_333.333,
            maxdrift: 500_000.0,
            maxupdateskew: 1000.0,
            maxclockerror: 1.0,
            maxdistance: 3.0,
            maxjitter: 1.0,
            minstratum: 0,
            maxstratum: 16,
            reselectdist: 1e-4,
            stratumweight: 1e-3,
            combinelimit: 3.0,
            minsources: 1,
            minsamples: 6,
            maxsamples: 0,
            rtcsync: false,
            drift_interval: 3600,
            tempcomp: None,
            smoothing: None,
            refresh: 1_209_600,
        }
    }
}
