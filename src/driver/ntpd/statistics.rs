//! ntpd's statistics files: `loopstats`, `peerstats`, `rawstats`, `sysstats`, `protostats` (ntp-legacy 3.3). Signs are ntpd's own.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::track::Best;
use crate::config::ntp_model::{Filegen, Period};
use crate::control::mode6::facts;
use crate::control::mode6::{ntpd_frequency, stratum_refid_text};
use crate::engine::association::Packet;
use crate::engine::record::Tracking;
use crate::sys::SysError;
use crate::sys::logfile::LogFile;
use crate::types::civil::CivilTime;
use crate::types::{Frequency, NtpTimestamp, TimeDelta, Timestamp};

/// Days from the Modified Julian Date's beginning to 1970.
const MJD_1970: i64 = 40_587;
const DAY: i64 = 86_400;

/// The files of a configuration.
#[derive(Debug)]
pub struct Statistics {
    /// What stands before each name.
    directory: PathBuf,
    files: Vec<(Filegen, Option<(String, LogFile)>)>,
    started: Timestamp,
    /// A file that could not be written is complained about once.
    failed: bool,
}

impl Statistics {
    /// The files of a configuration, below a folder; those that are enabled are opened when they are first written.
    pub fn new(directory: PathBuf, files: &[Filegen], started: Timestamp) -> Self {
        let files = files.iter().map(|file| (file.clone(), None)).collect();
        Self { directory, files, started, failed: false }
    }

    /// Begins or ends to write a file, as its lines in ntp.conf have it.
    pub(super) fn enable(&mut self, name: &str, enabled: bool) {
        let place = self.files.iter().position(|(file, _)| file.name == name);
        match place.and_then(|place| self.files.get_mut(place)) {
            Some((file, open)) => {
                file.enabled = enabled;
                // what cannot be written is said anew
                (*open, self.failed) = (open.take().filter(|_| enabled), false);
            }
            None => self.files.push((Filegen { enabled, ..Filegen::new(name) }, None)),
        }
    }

    /// Whether no file is written.
    pub(super) fn is_idle(&self) -> bool {
        !self.files.iter().any(|(file, _)| file.enabled)
    }

    /// Writes a line behind the date, if the file of that name is wanted.
    ///
    /// # Errors
    /// The first time that a file cannot be written.
    pub(super) fn write(&mut self, name: &str, at: Timestamp, line: &str) -> Result<(), SysError> {
        let Self { directory, files, started, failed } = self;
        let Some((file, open)) = files.iter_mut().find(|(file, _)| file.enabled && file.name == name) else {
            return Ok(());
        };
        let current = format!("{}{}", file.file, suffix(file.period, at, *started));
        let done = (|| {
            if open.as_ref().is_none_or(|(name, _)| *name != current) {
                let opened = LogFile::open(&directory.join(&current))?;
                if file.link && current != file.file {
                    opened.link_as(&directory.join(&file.file))?;
                }
                *open = Some((current, opened));
            }
            let Some((_, log)) = open.as_mut() else { return Ok(()) };
            log.append(format!("{} {line}\n", date(at)).as_bytes())
        })();
        match done {
            Err(error) if !*failed => {
                *failed = true;
                Err(error)
            }
            Err(_) => Ok(()),
            Ok(()) => {
                *failed = false;
                Ok(())
            }
        }
    }

    /// Whether a file is wanted.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.files.iter().any(|(file, _)| file.enabled && file.name == name)
    }
}

/// `MJD SECONDS.mmm`, UTC.
fn date(at: Timestamp) -> String {
    let (day, second) = (at.secs().div_euclid(DAY), at.secs().rem_euclid(DAY));
    format!("{} {second}.{:03}", day + MJD_1970, at.subsec_nanos() / 1_000_000)
}

/// What stands behind a file's name.
fn suffix(period: Period, at: Timestamp, started: Timestamp) -> String {
    let c = CivilTime::from_timestamp(at, 0);
    match period {
        Period::None => String::new(),
        Period::Pid => format!(".#{}", std::process::id()),
        Period::Day => format!(".{:04}{:02}{:02}", c.year, c.month, c.day),
        Period::Week => {
            let year = CivilTime { month: 1, day: 1, hour: 0, minute: 0, second: 0, ..c };
            let days = (at.secs() - year.to_unix()).div_euclid(DAY);
            format!(".{:04}W{:02}", c.year, days / 7 + 1)
        }
        Period::Month => format!(".{:04}{:02}", c.year, c.month),
        Period::Year => format!(".{:04}", c.year),
        Period::Age => format!(".a{:08}", (at - started).as_nanos() / 1_000_000_000 / DAY * DAY),
    }
}

/// A line of loopstats: offset (> 0: behind), frequency in ntpd's sign, jitter, wander, time constant.
pub(super) fn loopstats(update: &Tracking, jitter: f64, poll: i32) -> String {
    let frequency = Frequency::from_ppm(update.frequency_ppm).map_or(0.0, ntpd_frequency);
    format!("{:.9} {frequency:.3} {jitter:.9} {:.6} {poll}", update.offset + 0.0, update.skew_ppm)
}

/// A line of peerstats.
pub(super) fn peerstats(address: SocketAddr, status: u16, best: &Best) -> String {
    format!(
        "{} {status:x} {:.9} {:.9} {:.9} {:.9}",
        address.ip(),
        best.offset.get(),
        best.delay.get(),
        best.dispersion.get(),
        best.jitter.get()
    )
}

/// A line of rawstats: the four time stamps, our own as we believe the time to be.
pub(super) fn rawstats(address: SocketAddr, packet: &Packet) -> String {
    let span = |secs: f64| TimeDelta::from_secs_f64(secs).unwrap_or_default();
    let h = &packet.header;
    let sent = packet.at - span(packet.delay.get()) - span(packet.response_time.get());
    let own = |at: Timestamp| stamp(NtpTimestamp::from_timestamp(at));
    let local = packet.local.map_or_else(|| "0.0.0.0".to_owned(), |address| address.to_string());
    format!(
        "{} {local} {} {} {} {} {} {} {} {} {} {} {:.6} {:.6} {}",
        address.ip(),
        own(sent),
        stamp(h.receive),
        stamp(h.transmit),
        own(packet.at),
        h.leap.to_bits(),
        h.version.get(),
        h.mode.to_bits(),
        h.stratum.get(),
        h.poll.log2(),
        h.precision.log2(),
        packet.root_delay.get(),
        packet.root_dispersion.get(),
        stratum_refid_text(h.refid, h.stratum)
    )
}

/// Seconds since 1900 with nine digits.
fn stamp(at: NtpTimestamp) -> String {
    let nanos = (u64::from(at.fraction()) * 1_000_000_000) >> 32;
    format!("{}.{nanos:09}", at.seconds())
}

/// A line of sysstats.
pub(super) fn sysstats(uptime: u64, c: &facts::Statistics) -> String {
    format!(
        "{uptime} {} {} {} {} {} {} {} {} {} {}",
        c.received,
        c.this_version + c.old_version,
        c.this_version,
        c.old_version,
        c.restricted,
        c.bad_format,
        c.bad_auth,
        c.declined,
        c.limited,
        c.kod_sent
    )
}

/// A line of protostats, and of the log: `ADDR STATUS EE TEXT`.
pub(super) fn event_line(address: &str, status: u16, event: u8, text: &str) -> String {
    format!("{address} {status:04x} {event:02x} {text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Leap, Secs};

    #[test]
    fn lines_are_those_of_the_original() {
        // 61365 17510.513 127.127.1.0 9024 0.000000000 0.000000000 7.937500060 0.000000119
        let at = Timestamp::from_unix((61_365 - MJD_1970) * DAY + 17_510, 513_900_000);
        let best = Best {
            offset: Secs::ZERO,
            delay: Secs::ZERO,
            dispersion: Secs::literal(7.937_500_06),
            jitter: Secs::literal(0.000_000_119),
        };
        let line = peerstats("127.127.1.0:123".parse().unwrap(), 0x9024, &best);
        assert_eq!(
            format!("{} {line}", date(at)),
            "61365 17510.513 127.127.1.0 9024 0.000000000 0.000000000 7.937500060 0.000000119"
        );
        assert_eq!(event_line("0.0.0.0", 0xc016, 6, "restart"), "0.0.0.0 c016 06 restart");
    }

    #[test]
    fn a_frequency_has_the_sign_of_ntpd() {
        let update = Tracking {
            time: Timestamp::UNIX_EPOCH,
            whom: None,
            stratum: 2,
            frequency_ppm: 3.25,
            skew_ppm: 0.5,
            offset: -0.001,
            leap: Leap::None,
            combined: 1,
            offset_sd: 0.0,
            remaining: 0.0,
            root_delay: 0.0,
            root_dispersion: 0.0,
            max_error: 0.0,
        };
        assert_eq!(loopstats(&update, 0.000_25, 6), "-0.001000000 -3.250 0.000250000 0.500000 6");
    }

    #[test]
    fn names_follow_the_calendar() {
        // 21 November 2026
        let at = Timestamp::from_unix(1_795_219_200 + 3600, 0);
        let started = Timestamp::from_unix(1_795_219_200 - DAY, 0);
        for (period, text) in [
            (Period::None, ""),
            (Period::Day, ".20261121"),
            (Period::Week, ".2026W47"),
            (Period::Month, ".202611"),
            (Period::Year, ".2026"),
            (Period::Age, ".a00086400"),
        ] {
            assert_eq!(suffix(period, at, started), text, "{period:?}");
        }
    }

    #[test]
    fn a_file_is_linked_to_its_bare_name() {
        let directory = std::env::temp_dir().join(format!("ntpbox-stats-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = Filegen { enabled: true, ..Filegen::new("loopstats") };
        let mut statistics = Statistics::new(directory.clone(), &[file], Timestamp::UNIX_EPOCH);
        assert!(statistics.wants("loopstats") && !statistics.wants("peerstats") && !statistics.is_idle());
        for day in 0..2 {
            let at = Timestamp::from_unix(1_795_219_200 + day * DAY, 0);
            statistics.write("loopstats", at, "x").unwrap();
            statistics.write("peerstats", at, "y").unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        assert_eq!(read("loopstats.20261121"), "61365 0.000 x\n");
        assert_eq!(read("loopstats"), read("loopstats.20261122"));
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 3);
        // begun and ended while it runs
        statistics.enable("loopstats", false);
        assert!(statistics.is_idle());
        statistics.enable("peerstats", true);
        for name in ["loopstats", "peerstats"] {
            statistics.write(name, Timestamp::from_unix(1_795_219_200 + 2 * DAY, 0), "z").unwrap();
        }
        assert_eq!(read("peerstats"), "61367 0.000 z\n");
        assert_eq!(read("loopstats"), read("loopstats.20261122"));
        statistics.enable("loopstats", true);
        std::fs::remove_dir_all(&directory).unwrap();
        let later = Timestamp::from_unix(1_795_219_200 + 5 * DAY, 0);
        assert!(statistics.write("loopstats", later, "x").is_err());
        assert!(statistics.write("loopstats", later, "x").is_ok(), "said once");
    }
}
