//! Status words of the system, of an association and of a reference clock (RFC 9327 §3.1–3.3) and their vocabulary.

use crate::types::Leap;

/// Status word of the system: leap, source, how often and what happened last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemStatus {
    /// Leap indicator.
    pub leap: Leap,
    /// What kind of source keeps the clock, 0 … 63; [`source_name`] has the words.
    pub source: u8,
    /// Events since the last authenticated look, 0 … 15.
    pub count: u8,
    /// The last event, 0 … 15; [`system_event_name`] has the words.
    pub event: u8,
}

impl SystemStatus {
    /// From the word.
    pub const fn from_bits(bits: u16) -> Self {
        let [high, low] = bits.to_be_bytes();
        Self { leap: Leap::from_bits(high >> 6), source: high & 0x3f, count: low >> 4, event: low & 15 }
    }

    /// The word.
    pub const fn to_bits(self) -> u16 {
        u16::from_be_bytes([self.leap.to_bits() << 6 | self.source & 0x3f, self.count << 4 | self.event & 15])
    }
}

/// What the selection made of an association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// 0: not valid.
    Reject,
    /// 1: outvoted by the intersection.
    Falseticker,
    /// 2: too many.
    Excess,
    /// 3: dropped by the cluster algorithm.
    Outlier,
    /// 4: combined.
    Candidate,
    /// 5: more than `maxclock`.
    Backup,
    /// 6: the system peer.
    SystemPeer,
    /// 7: the PPS peer.
    PpsPeer,
}

impl Selection {
    /// From the lower three bits.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 7 {
            0 => Self::Reject,
            1 => Self::Falseticker,
            2 => Self::Excess,
            3 => Self::Outlier,
            4 => Self::Candidate,
            5 => Self::Backup,
            6 => Self::SystemPeer,
            _ => Self::PpsPeer,
        }
    }

    /// 0 … 7.
    pub const fn to_bits(self) -> u8 {
        self as u8
    }

    /// The tally character in front of a row of `peers`.
    pub const fn tally(self) -> char {
        match self {
            Self::Reject => ' ',
            Self::Falseticker => 'x',
            Self::Excess => '.',
            Self::Outlier => '-',
            Self::Candidate => '+',
            Self::Backup => '#',
            Self::SystemPeer => '*',
            Self::PpsPeer => 'o',
        }
    }
}

/// Status word of an association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerStatus {
    /// 0x80: from the configuration.
    pub configured: bool,
    /// 0x40: a key is set.
    pub auth_enabled: bool,
    /// 0x20: the last packet was authentic.
    pub authentic: bool,
    /// 0x10: reachable.
    pub reachable: bool,
    /// 0x08: broadcast, or the prototype of a pool.
    pub broadcast: bool,
    /// What the selection made of it.
    pub selection: Selection,
    /// Events since the last authenticated look, 0 … 15.
    pub count: u8,
    /// The last event, 0 … 15; [`peer_event_name`] has the words.
    pub event: u8,
}

impl PeerStatus {
    /// From the word.
    pub const fn from_bits(bits: u16) -> Self {
        let [high, low] = bits.to_be_bytes();
        Self {
            configured: high & 0x80 != 0,
            auth_enabled: high & 0x40 != 0,
            authentic: high & 0x20 != 0,
            reachable: high & 0x10 != 0,
            broadcast: high & 0x08 != 0,
            selection: Selection::from_bits(high),
            count: low >> 4,
            event: low & 15,
        }
    }

    /// The word.
    pub const fn to_bits(self) -> u16 {
        let high = (self.configured as u8) << 7
            | (self.auth_enabled as u8) << 6
            | (self.authentic as u8) << 5
            | (self.reachable as u8) << 4
            | (self.broadcast as u8) << 3
            | self.selection.to_bits();
        u16::from_be_bytes([high, self.count << 4 | self.event & 15])
    }
}

/// Status word of a reference clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockStatus {
    /// Events, 0 … 15.
    pub count: u8,
    /// The last event, 0 … 15; [`clock_event_name`] has the words.
    pub event: u8,
}

impl ClockStatus {
    /// From the word, whose upper byte is unused.
    pub const fn from_bits(bits: u16) -> Self {
        let [_, low] = bits.to_be_bytes();
        Self { count: low >> 4, event: low & 15 }
    }

    /// The word.
    pub const fn to_bits(self) -> u16 {
        u16::from_be_bytes([0, self.count << 4 | self.event & 15])
    }
}

/// Name of a leap indicator as status texts have it.
pub const fn leap_name(leap: Leap) -> &'static str {
    match leap {
        Leap::None => "leap_none",
        Leap::Add => "leap_add_sec",
        Leap::Delete => "leap_del_sec",
        Leap::Unsynchronised => "leap_alarm",
    }
}

/// Name of a clock source (`sync_ntp`), `None` from 10 on.
pub const fn source_name(source: u8) -> Option<&'static str> {
    Some(match source {
        0 => "sync_unspec",
        1 => "sync_pps",
        2 => "sync_lf_radio",
        3 => "sync_hf_radio",
        4 => "sync_uhf_radio",
        5 => "sync_local",
        6 => "sync_ntp",
        7 => "sync_other",
        8 => "sync_wristwatch",
        9 => "sync_telephone",
        _ => return None,
    })
}

/// Name of a system event, 0 … 15.
pub const fn system_event_name(event: u8) -> &'static str {
    match event & 15 {
        0 => "unspecified",
        1 => "freq_not_set",
        2 => "freq_set",
        3 => "spike_detect",
        4 => "freq_mode",
        5 => "clock_sync",
        6 => "restart",
        7 => "panic_stop",
        8 => "no_sys_peer",
        9 => "leap_armed",
        10 => "leap_disarmed",
        11 => "leap_event",
        12 => "clock_step",
        13 => "kern",
        14 => "TAI",
        _ => "stale_leapsecond_values",
    }
}

/// Name of an association's event, `None` for 0.
pub const fn peer_event_name(event: u8) -> Option<&'static str> {
    Some(match event & 15 {
        0 => return None,
        1 => "mobilize",
        2 => "demobilize",
        3 => "unreachable",
        4 => "reachable",
        5 => "restart",
        6 => "no_reply",
        7 => "rate_exceeded",
        8 => "access_denied",
        9 => "leap_armed",
        10 => "sys_peer",
        11 => "clock_event",
        12 => "bad_auth",
        13 => "popcorn",
        14 => "interleave_mode",
        _ => "interleave_error",
    })
}

/// Name of a reference clock's event, `None` from 7 on.
pub const fn clock_event_name(event: u8) -> Option<&'static str> {
    Some(match event {
        0 => "clk_unspec",
        1 => "clk_no_reply",
        2 => "clk_bad_format",
        3 => "clk_fault",
        4 => "clk_bad_signal",
        5 => "clk_bad_date",
        6 => "clk_bad_time",
        _ => return None,
    })
}

/// Names of the packet and peer tests in the `flash` word, bit 0 first.
pub const FLASH_NAMES: [&str; 13] = [
    "pkt_dup",
    "pkt_bogus",
    "pkt_unsync",
    "pkt_denied",
    "pkt_auth",
    "pkt_stratum",
    "pkt_header",
    "pkt_autokey",
    "pkt_crypto",
    "peer_stratum",
    "peer_dist",
    "peer_loop",
    "peer_unreach",
];

/// Names of the kernel clock's status bits (`kstflags`, timex.h), bit 0 first.
pub const KERNEL_STATUS_NAMES: [&str; 16] = [
    "pll",
    "ppsfreq",
    "ppstime",
    "fll",
    "ins",
    "del",
    "unsync",
    "freqhold",
    "ppssignal",
    "ppsjitter",
    "ppswander",
    "ppserror",
    "clockerr",
    "nano",
    "mode=fll",
    "src=B",
];

/// Name of a reference clock driver, e.g. `LOCAL` for 127.127.1.u; `None` for numbers without one.
pub const fn refclock_name(driver: u8) -> Option<&'static str> {
    Some(match driver {
        0 => "UNKNOWN",
        1 => "LOCAL",
        2 => "GPS_TRAK",
        3 => "WWV_PST",
        4 => "SPECTRACOM",
        5 => "TRUETIME",
        6 => "IRIG_AUDIO",
        7 => "CHU_AUDIO",
        8 => "GENERIC",
        9 => "GPS_MX4200",
        10 => "GPS_AS2201",
        11 => "GPS_ARBITER",
        12 => "IRIG_TPRO",
        13 => "ATOM_LEITCH",
        14 => "MSF_EES",
        15 => "NOT_USED",
        16 => "GPS_BANC",
        17 => "GPS_DATUM",
        18 => "ACTS_MODEM",
        19 => "WWV_HEATH",
        20 => "GPS_NMEA",
        21 => "GPS_VME",
        22 => "PPS",
        26 => "GPS_HP",
        27 => "MSF_ARCRON",
        28 => "SHM",
        29 => "GPS_PALISADE",
        30 => "GPS_ONCORE",
        31 => "GPS_JUPITER",
        32 => "CHRONOLOG",
        33 => "DUMBCLOCK",
        34 => "ULINK_M320",
        35 => "PCF",
        36 => "WWV_AUDIO",
        37 => "GPS_FG",
        38 => "HOPF_S",
        39 => "HOPF_P",
        40 => "JJY",
        41 => "TT_IRIG",
        42 => "GPS_ZYFER",
        43 => "GPS_RIPENCC",
        44 => "NEOCLK4X",
        45 => "PCI_TSYNC",
        46 => "GPSD_JSON",
        _ => return None,
    })
}
