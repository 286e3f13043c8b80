//! Lines of the log files, as plain facts (daemon-surface.md §7); `driver::statlog` writes them.
//!
//! Offsets are to be added, > 0: our clock is behind; a file's own sign is made where it is written.

use std::net::IpAddr;
use std::rc::Rc;

use super::association::Packet;
use super::measurement::SourceId;
use super::rtc::TrackRecord;
use crate::types::{Leap, RefId, Timestamp};

/// One line of one file.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// measurements.log (and rawmeasurements).
    Measurement {
        /// Of which source.
        source: SourceId,
        /// Who sent it.
        whom: IpAddr,
        /// What came, and what was made of it.
        packet: Rc<Packet>,
    },
    /// statistics.log.
    Statistics(Statistics),
    /// tracking.log.
    Tracking(Tracking),
    /// selection.log.
    Selection(Selection),
    /// rtc.log.
    Rtc(TrackRecord),
    /// refclocks.log.
    Refclock(Refclock),
    /// tempcomp.log: when, the temperature, the compensation in ppm (> 0: the clock is made faster).
    Temperature(Timestamp, f64, f64),
}

/// A line of refclocks.log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Refclock {
    /// When, by the estimated time.
    pub time: Timestamp,
    /// Which clock.
    pub refid: RefId,
    /// Number of the reading since the last sample; `None`: this is the sample.
    pub number: Option<u32>,
    /// Leap status.
    pub leap: Leap,
    /// Whether it is a pulse.
    pub pulse: bool,
    /// Offset of the kernel's clock, s; nothing in a sample.
    pub raw: f64,
    /// Offset of the estimated time, s.
    pub offset: f64,
    /// Its error, s.
    pub dispersion: f64,
}

/// Who a line is about: a source's address, or the reference ID of a clock without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// A source of the network.
    Address(IpAddr),
    /// A reference clock.
    Clock(RefId),
}

/// A line of statistics.log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// When, by the estimated time.
    pub time: Timestamp,
    /// Whose samples.
    pub whom: Whom,
    /// Standard deviation of the samples, s.
    pub jitter: f64,
    /// Estimated offset, s.
    pub offset: f64,
    /// Its standard deviation, s.
    pub offset_sd: f64,
    /// Rate at which the corrected clock gains on the source, s/s.
    pub frequency: f64,
    /// Bound on its error, s/s.
    pub skew: f64,
    /// |change of the rate| ÷ bound on the error before.
    pub stress: f64,
    /// Samples in use.
    pub samples: usize,
    /// Samples that were dropped this time.
    pub dropped: usize,
    /// Runs of residuals of one sign.
    pub runs: usize,
    /// Asymmetry of the path's jitter, −0.5 … 0.5.
    pub asymmetry: f64,
}

/// A line of tracking.log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tracking {
    /// When, by the estimated time.
    pub time: Timestamp,
    /// Whom we follow; `None`: nobody.
    pub whom: Option<Whom>,
    /// Our stratum; 0: none.
    pub stratum: u8,
    /// Frequency, ppm, > 0: the uncorrected clock gains.
    pub frequency_ppm: f64,
    /// Bound on its error, ppm.
    pub skew_ppm: f64,
    /// How far the estimate moved, s.
    pub offset: f64,
    /// Leap status.
    pub leap: Leap,
    /// Sources combined.
    pub combined: usize,
    /// Standard deviation of the offset, s.
    pub offset_sd: f64,
    /// What was still to be corrected from the last update, s, > 0: the clock is behind.
    pub remaining: f64,
    /// s.
    pub root_delay: f64,
    /// s.
    pub root_dispersion: f64,
    /// Largest error in the interval since the last update, s.
    pub max_error: f64,
}

/// A line of selection.log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selection {
    /// When, by the estimated time.
    pub time: Timestamp,
    /// Which source, for the name in the file.
    pub source: SourceId,
    /// The same, as it is printed.
    pub whom: Whom,
    /// Letter of its status.
    pub letter: char,
    /// Options in force.
    pub options: super::selection::Options,
    /// Reachability register.
    pub reach: u8,
    /// Score.
    pub score: f64,
    /// Age of the newest sample, s.
    pub last_ago: f64,
    /// Lower end of the interval, s.
    pub low: f64,
    /// Upper end of the interval, s.
    pub high: f64,
}
