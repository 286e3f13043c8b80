//! The log files of `log`: measurements, statistics, tracking, selection (daemon-surface.md §7). Signs are the files' own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::engine::association::Packet;
use crate::engine::record::{Record, Refclock, Selection, Statistics, Tracking, Whom};
use crate::engine::rtc::TrackRecord;
use crate::sys::SysError;
use crate::sys::logfile::LogFile;
use crate::types::civil::CivilTime;
use crate::types::{Leap, Mode, Timestamp};

/// Which files there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// measurements.log, of good packets only …
    Measurements,
    /// … or of all.
    RawMeasurements,
    /// statistics.log.
    Statistics,
    /// tracking.log.
    Tracking,
    /// selection.log.
    Selection,
    /// refclocks.log.
    Refclocks,
    /// tempcomp.log.
    Tempcomp,
    /// rtc.log.
    Rtc,
}

impl Kind {
    /// The word of the `log` directive; files of other words are not written by this build.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "measurements" => Self::Measurements,
            "rawmeasurements" => Self::RawMeasurements,
            "statistics" => Self::Statistics,
            "tracking" => Self::Tracking,
            "selection" => Self::Selection,
            "refclocks" => Self::Refclocks,
            "tempcomp" => Self::Tempcomp,
            "rtc" => Self::Rtc,
            _ => return None,
        })
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Measurements | Self::RawMeasurements => "measurements.log",
            Self::Statistics => "statistics.log",
            Self::Tracking => "tracking.log",
            Self::Selection => "selection.log",
            Self::Refclocks => "refclocks.log",
            Self::Tempcomp => "tempcomp.log",
            Self::Rtc => "rtc.log",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Measurements | Self::RawMeasurements => {
                "   Date (UTC) Time     IP Address   L St 123 567 ABCD  LP RP Score    Offset  Peer del. Peer disp.  Root del. Root disp. Refid     MTxRx"
            }
            Self::Statistics => {
                "   Date (UTC) Time     IP Address    Std dev'n Est offset  Offset sd  Diff freq   Est skew  Stress  Ns  Bs  Nr  Asym"
            }
            Self::Tracking => {
                "   Date (UTC) Time     IP Address   St   Freq ppm   Skew ppm     Offset L Co  Offset sd Rem. corr. Root delay Root disp. Max. error"
            }
            Self::Rtc => "   Date (UTC) Time   RTC fast (s) Val   Est fast (s)   Slope (ppm)  Ns  Nr Meas",
            Self::Selection => {
                "   Date (UTC) Time     IP Address   S EOpts Reach Score Last sample  Low end   High end"
            }
            Self::Refclocks => {
                "   Date (UTC) Time         Refid  DP L P  Raw offset   Cooked offset      Disp."
            }
            Self::Tempcomp => "   Date (UTC) Time        Temp.       Comp.",
        }
    }
}

/// The open log files.
#[derive(Debug)]
pub struct StatLog {
    directory: PathBuf,
    kinds: Vec<Kind>,
    /// A banner comes every so many records; 0: never, not even at the start.
    banner: u32,
    files: BTreeMap<&'static str, (LogFile, u32)>,
    /// A file that could not be written is complained about once.
    failed: bool,
}

impl StatLog {
    /// Files of these kinds in a folder; they are opened when they are first written.
    pub fn new(directory: &Path, kinds: Vec<Kind>, banner: u32) -> Self {
        Self { directory: directory.to_owned(), kinds, banner, files: BTreeMap::new(), failed: false }
    }

    /// Whether it holds statistics.log or selection.log.
    pub fn has_details(&self) -> bool {
        [Kind::Statistics, Kind::Selection].iter().any(|kind| self.kinds.contains(kind))
    }

    /// Closes all files; the next record opens them again (`cyclelogs`).
    pub fn cycle(&mut self) {
        self.files.clear();
        self.failed = false;
    }

    /// Writes a record, if its file is wanted.
    ///
    /// # Errors
    /// The first time that a file cannot be written, since the start or the last `cyclelogs`.
    pub fn write(&mut self, record: &Record) -> Result<(), SysError> {
        let Some((kind, line)) = self.wanted(record) else { return Ok(()) };
        match self.append(kind, &line) {
            Err(error) if !self.failed => {
                self.failed = true;
                Err(error)
            }
            _ => Ok(()),
        }
    }

    fn wanted(&self, record: &Record) -> Option<(Kind, String)> {
        let has = |kind| self.kinds.contains(&kind);
        match record {
            Record::Measurement { whom, packet, .. } => {
                let raw = has(Kind::RawMeasurements);
                let wanted = raw || has(Kind::Measurements) && packet.tests.is_synchronised();
                wanted.then(|| (Kind::Measurements, measurement(&whom.to_string(), packet)))
            }
            Record::Statistics(s) => has(Kind::Statistics).then(|| (Kind::Statistics, statistics(s))),
            Record::Tracking(t) => has(Kind::Tracking).then(|| (Kind::Tracking, tracking(t))),
            Record::Selection(s) => has(Kind::Selection).then(|| (Kind::Selection, selection(s))),
            Record::Refclock(r) => has(Kind::Refclocks).then(|| (Kind::Refclocks, refclock(r))),
            Record::Temperature(time, temperature, compensation) => has(Kind::Tempcomp).then(|| {
                let number = |value: f64| exponential(value, 11, 4);
                let line = format!("{} {} {}", date(*time), number(*temperature), number(*compensation));
                (Kind::Tempcomp, line)
            }),
            Record::Rtc(r) => has(Kind::Rtc).then(|| (Kind::Rtc, hardware_clock(r))),
        }
    }

    fn append(&mut self, kind: Kind, line: &str) -> Result<(), SysError> {
        let name = kind.file();
        if !self.files.contains_key(name) {
            let file = LogFile::open(&self.directory.join(name))?;
            self.files.insert(name, (file, 0));
        }
        let Some((file, count)) = self.files.get_mut(name) else { return Ok(()) };
        let mut text = String::new();
        let due = self.banner > 0 && *count % self.banner == 0;
        if due {
            let rule = "=".repeat(kind.title().len());
            let _ = writeln!(text, "{rule}\n{}\n{rule}", kind.title());
        }
        text.push_str(line);
        text.push('\n');
        *count = count.wrapping_add(1);
        file.append(text.as_bytes())
    }
}

/// `YYYY-MM-DD HH:MM:SS`, UTC.
fn date(time: Timestamp) -> String {
    let c = CivilTime::from_timestamp(time, 0);
    format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

const fn leap_letter(leap: Leap) -> char {
    match leap {
        Leap::None => 'N',
        Leap::Add => '+',
        Leap::Delete => '-',
        Leap::Unsynchronised => '?',
    }
}

fn whom_text(whom: Whom) -> String {
    match whom {
        Whom::Address(address) => address.to_string(),
        Whom::Clock(refid) => refid.as_ascii().unwrap_or_else(|| format!("{:08X}", refid.to_bits())),
    }
}

/// C's `%W.De`: at least two digits of exponent, with its sign.
pub(super) fn exponential(value: f64, width: usize, digits: usize) -> String {
    let plain = format!("{value:.digits$e}");
    let (mantissa, exponent) = plain.split_once('e').unwrap_or((&plain, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
    format!("{:>width$}", format!("{mantissa}e{sign}{exponent:0>2}"))
}

fn e3(value: f64) -> String {
    exponential(value, 10, 3)
}

fn bits(tests: &[bool]) -> String {
    tests.iter().map(|passed| if *passed { '1' } else { '0' }).collect()
}

/// Offset: > 0, our clock is behind.
fn measurement(whom: &str, p: &Packet) -> String {
    let tests = p.tests.all();
    let group = |range: std::ops::Range<usize>| bits(tests.get(range).unwrap_or_default());
    let mode = match p.header.mode {
        Mode::SymmetricActive => 1,
        Mode::SymmetricPassive => 2,
        Mode::Broadcast => 5,
        _ => 4,
    };
    format!(
        "{} {whom:<15} {} {:2} {} {} {}  {:2} {:2} {:4.2} {} {} {} {} {} {:08X} {mode}{} {} {}",
        date(p.at),
        leap_letter(p.header.leap),
        p.header.stratum.get(),
        group(0..3),
        group(3..6),
        group(6..10),
        p.poll,
        p.header.poll.log2(),
        p.score,
        e3(p.offset.get()),
        e3(p.delay.get()),
        e3(p.dispersion.get()),
        e3(p.root_delay.get()),
        e3(p.root_dispersion.get()),
        p.header.refid.to_bits(),
        if p.interleaved { 'I' } else { 'B' },
        p.sent_by.letter(),
        p.received_by.letter(),
    )
}

/// Offset: > 0, our clock is fast.
fn statistics(s: &Statistics) -> String {
    format!(
        "{} {:<15} {} {} {} {} {} {} {:3} {:3} {:3} {:5.2}",
        date(s.time),
        whom_text(s.whom),
        e3(s.jitter),
        e3(-s.offset),
        e3(s.offset_sd),
        e3(s.frequency),
        e3(s.skew),
        exponential(s.stress, 7, 1),
        s.samples,
        s.dropped,
        s.runs,
        s.asymmetry,
    )
}

/// Offset: > 0, our clock is fast; remaining correction: > 0, it is slow.
fn tracking(t: &Tracking) -> String {
    format!(
        "{} {:<15} {:2} {:10.3} {:10.3} {} {} {:2} {} {} {} {} {}",
        date(t.time),
        t.whom.map_or_else(|| "0.0.0.0".to_owned(), whom_text),
        t.stratum,
        t.frequency_ppm,
        t.skew_ppm,
        e3(-t.offset + 0.0),
        leap_letter(t.leap),
        t.combined,
        e3(t.offset_sd),
        e3(t.remaining),
        e3(t.root_delay),
        e3(t.root_dispersion),
        e3(t.max_error),
    )
}

/// Ends: > 0, our clock is ahead of the source.
fn selection(s: &Selection) -> String {
    let flag = |set: bool, letter: char| if set { letter } else { '-' };
    let o = s.options;
    format!(
        "{} {:<15} {} {}{}{}{}- {:4o} {:5.2} {} {} {}",
        date(s.time),
        whom_text(s.whom),
        s.letter,
        flag(o.noselect, 'N'),
        flag(o.prefer, 'P'),
        flag(o.trust, 'T'),
        flag(o.require, 'R'),
        s.reach,
        s.score,
        e3(s.last_ago),
        e3(-s.high),
        e3(-s.low),
    )
}

/// A reading, or the sample made of some. Offsets: > 0, our clock is slow.
fn refclock(r: &Refclock) -> String {
    let when = format!("{}.{:06}", date(r.time), r.time.subsec_nanos() / 1000);
    let name = whom_text(Whom::Clock(r.refid));
    let (cooked, dispersion) = (exponential(r.offset, 13, 6), e3(r.dispersion));
    match r.number {
        Some(number) => {
            let raw = exponential(r.raw, 13, 6);
            let (leap, pulse) = (leap_letter(r.leap), u8::from(r.pulse));
            format!("{when} {name:<5} {number:3} {leap} {pulse} {raw} {cooked} {dispersion}")
        }
        None => format!("{when} {name:<5}   - {} -       -       {cooked} {dispersion}", leap_letter(r.leap)),
    }
}

/// All of the RTC: > 0, it is fast.
fn hardware_clock(r: &TrackRecord) -> String {
    let (fast, gain) = r.fitted.unwrap_or((0.0, 0.0));
    format!(
        "{} {:14.6} {}  {fast:14.6}  {:12.3}  {:2}  {:2} {:4}",
        date(r.time),
        r.fast,
        u8::from(r.fitted.is_some()),
        gain * 1e6,
        r.samples,
        r.runs,
        r.pause,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_as_in_c() {
        assert_eq!(exponential(-4.966e-3, 10, 3), "-4.966e-03");
        assert_eq!(exponential(0.0, 10, 3), " 0.000e+00");
        assert_eq!(exponential(1.5e100, 10, 3), "1.500e+100");
        assert_eq!(exponential(0.078, 7, 1), "7.8e-02");
    }

    #[test]
    fn the_first_line_of_tracking_is_the_originals() {
        let line = tracking(&Tracking {
            time: Timestamp::from_unix(1_795_000_000, 0),
            whom: None,
            stratum: 0,
            frequency_ppm: 0.0,
            skew_ppm: 1e6,
            offset: 0.0,
            leap: Leap::Unsynchronised,
            combined: 0,
            offset_sd: 0.0,
            remaining: -0.0,
            root_delay: 1.0,
            root_dispersion: 1.0,
            max_error: 1.5,
        });
        assert_eq!(
            line,
            "2026-11-18 11:06:40 0.0.0.0          0      0.000 1000000.000  0.000e+00 ?  0  0.000e+00 -0.000e+00  1.000e+00  1.000e+00  1.500e+00"
        );
    }

    #[test]
    fn a_line_of_the_rtc_is_the_originals() {
        let record = TrackRecord {
            time: Timestamp::from_unix(1_795_245_262, 0),
            fast: -8.767_975,
            fitted: Some((-8.767_976, -0.954e-6)),
            samples: 14,
            runs: 7,
            pause: 120,
        };
        assert_eq!(
            hardware_clock(&record),
            "2026-11-21 07:14:22      -8.767975 1       -8.767976        -0.954  14   7  120"
        );
        assert_eq!(
            hardware_clock(&TrackRecord { fitted: None, samples: 1, runs: 0, pause: 15, ..record }),
            "2026-11-21 07:14:22      -8.767975 0        0.000000         0.000   1   0   15"
        );
    }

    #[test]
    fn the_example_of_the_manual_is_met() {
        let line = statistics(&Statistics {
            time: Timestamp::from_unix(1_470_807_650, 0),
            whom: Whom::Address([203, 0, 113, 15].into()),
            jitter: 6.261e-3,
            offset: 3.247e-3,
            offset_sd: 2.220e-3,
            frequency: 1.874e-6,
            skew: 1.080e-6,
            stress: 7.8e-2,
            samples: 16,
            dropped: 0,
            runs: 8,
            asymmetry: 0.0,
        });
        assert_eq!(
            line,
            "2016-08-10 05:40:50 203.0.113.15     6.261e-03 -3.247e-03  2.220e-03  1.874e-06  1.080e-06 7.8e-02  16   0   8  0.00"
        );
    }

    #[test]
    fn banners_come_again() {
        let directory = std::env::temp_dir().join(format!("ntpbox-statlog-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut log = StatLog::new(&directory, vec![Kind::Selection], 2);
        let record = Record::Selection(Selection {
            time: Timestamp::from_unix(1_651_370_480, 0),
            source: crate::engine::measurement::SourceId(1),
            whom: Whom::Address([203, 0, 113, 15].into()),
            letter: '*',
            options: crate::engine::selection::Options::default(),
            reach: 0o377,
            score: 1.0,
            last_ago: 42.28,
            low: -1.239e-4,
            high: 1.575e-4,
        });
        for _ in 0..3 {
            log.write(&record).unwrap();
        }
        let text = std::fs::read_to_string(directory.join("selection.log")).unwrap();
        let line =
            "2022-05-01 02:01:20 203.0.113.15    * -----  377  1.00  4.228e+01 -1.575e-04  1.239e-04\n";
        assert_eq!(text.matches(line).count(), 3, "{text}");
        assert_eq!(text.matches("EOpts").count(), 2, "{text}");
        std::fs::remove_dir_all(&directory).unwrap();
        log.cycle();
        assert!(log.write(&record).is_err());
        assert!(log.write(&record).is_ok(), "said once");
    }
}
