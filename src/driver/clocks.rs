//! Reference clocks: read as often as each wants to be, handed to the engine.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use crate::engine::daemon::ClockReading;
use crate::engine::measurement::SourceId;
use crate::engine::refclock::{Flags, Options};
use crate::sys::refclock::{ClockRead, Edge, Pps, SampleSocket, SharedMemory};
use crate::sys::{Errno, SysError};
use crate::types::{MonoTime, RefId, TimeDelta};

/// Permissions of a segment of shared memory that is not there yet.
const PERMISSIONS: i32 = 0o600;

/// A device that is read.
#[derive(Debug)]
pub enum Device {
    /// Shared memory.
    Memory(SharedMemory),
    /// A socket that samples are sent to.
    Socket(SampleSocket),
    /// A PPS device.
    Pps(Pps),
}

impl Device {
    /// Opens what `refclock DRIVER PARAMETER` names; `Ok(None)`: there is no such driver here.
    ///
    /// # Errors
    /// It is missing, or nobody may read it.
    pub fn open(driver: &str, parameter: &str) -> Result<Option<Self>, SysError> {
        let (name, option) = parameter.split_once(':').map_or((parameter, None), |(n, o)| (n, Some(o)));
        match driver {
            "SHM" => {
                let unit = name.parse().map_err(|_| SysError::new("shmget", parameter, Errno::EINVAL))?;
                let given = option.and_then(|o| o.strip_prefix("perm="));
                let permissions = given.and_then(|octal| i32::from_str_radix(octal, 8).ok());
                SharedMemory::attach(unit, permissions.unwrap_or(PERMISSIONS)).map(|m| Some(Self::Memory(m)))
            }
            "SOCK" => SampleSocket::open(Path::new(parameter)).map(|socket| Some(Self::Socket(socket))),
            "PPS" => {
                let edge = if option == Some("clear") { Edge::Clear } else { Edge::Assert };
                Pps::open(Path::new(name), edge).map(|pps| Some(Self::Pps(pps)))
            }
            _ => Ok(None),
        }
    }
}

/// The options of a `refclock` line; `number`: how many there were before.
pub fn options(driver: &str, number: usize, words: &[(String, Option<String>)]) -> Options {
    let mut default = [b'0'; 4];
    let digit = u8::try_from(number % 10).unwrap_or(0);
    for (slot, byte) in default.iter_mut().zip(driver.bytes().take(3).chain([b'0' + digit])) {
        *slot = byte;
    }
    let mut options = Options::new(RefId::from_ascii(default));
    for (name, value) in words {
        let text = value.as_deref().unwrap_or_default();
        let integer = || text.parse::<i32>().unwrap_or(0);
        let count = || text.parse::<u32>().unwrap_or(0);
        let size = || text.parse::<usize>().unwrap_or(0);
        let real = || text.parse::<f64>().ok().filter(|real| real.is_finite()).unwrap_or(0.0);
        match name.as_str() {
            "refid" => options.refid = refid(text),
            "lock" => options.lock = Some(refid(text)),
            "poll" => options.poll = integer(),
            "dpoll" => options.dpoll = integer(),
            "filter" => options.filter = size(),
            "rate" => options.rate = f64::from(integer()),
            "minsamples" => options.minsamples = size(),
            "maxsamples" => options.maxsamples = size(),
            "maxlockage" => options.maxlockage = f64::from(integer()),
            "maxunreach" => options.maxunreach = count(),
            "offset" => options.offset = real(),
            "delay" => options.delay = real(),
            "precision" => options.precision = real(),
            "maxdispersion" => options.maxdispersion = real(),
            "width" => options.width = real(),
            "stratum" => options.stratum = u8::try_from(count()).unwrap_or(0),
            flag => set(&mut options.flags, flag),
        }
    }
    options
}

fn set(flags: &mut Flags, word: &str) {
    match word {
        "pps" => flags.pps = true,
        "tai" => flags.tai = true,
        "noselect" => flags.noselect = true,
        "prefer" => flags.prefer = true,
        "trust" => flags.trust = true,
        "require" => flags.require = true,
        // optional: asked where the device is opened
        _ => {}
    }
}

fn refid(text: &str) -> RefId {
    let mut bytes = [0; 4];
    for (slot, byte) in bytes.iter_mut().zip(text.bytes()) {
        *slot = byte;
    }
    RefId::from_ascii(bytes)
}

#[derive(Debug)]
struct Clock {
    source: SourceId,
    device: Device,
    interval: TimeDelta,
    /// `None`: it is read when something comes.
    due: Option<MonoTime>,
}

/// The devices of a daemon.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    clocks: Vec<Clock>,
}

impl Clocks {
    pub(super) fn add(&mut self, source: SourceId, device: Device, dpoll: i32, now: MonoTime) {
        let interval = 2.0_f64.powi(dpoll.clamp(-7, 24));
        let interval = TimeDelta::from_secs_f64(interval).unwrap_or(TimeDelta::from_secs(1));
        let due = (!matches!(device, Device::Socket(_))).then(|| now + interval);
        self.clocks.push(Clock { source, device, interval, due });
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.clocks.iter().filter_map(|clock| match &clock.device {
            Device::Socket(socket) => Some(socket.as_fd()),
            Device::Memory(_) | Device::Pps(_) => None,
        })
    }

    pub(super) fn deadline(&self) -> Option<MonoTime> {
        self.clocks.iter().filter_map(|clock| clock.due).min()
    }

    /// Reads what is due and what came.
    pub(super) fn read(&mut self, now: MonoTime) -> Vec<(SourceId, ClockReading)> {
        let mut readings = Vec::new();
        for clock in &mut self.clocks {
            if clock.due.is_some_and(|due| due > now) {
                continue;
            }
            // never two in a row for the time that was slept over
            clock.due = clock.due.map(|due| (due + clock.interval).max(now));
            let reads = match &mut clock.device {
                Device::Memory(memory) => memory.read().into_iter().collect(),
                Device::Socket(socket) => socket.read(),
                Device::Pps(pps) => pps.read().into_iter().collect(),
            };
            readings.extend(reads.into_iter().map(|read| (clock.source, reading(read))));
        }
        readings
    }
}

const fn reading(read: ClockRead) -> ClockReading {
    ClockReading { at: read.at, offset: read.offset, pulse: read.pulse, leap: read.leap }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_the_line() {
        let words = |text: &str| -> Vec<(String, Option<String>)> {
            let words: Vec<&str> = text.split_whitespace().collect();
            words.chunks(2).map(|pair| (pair[0].to_owned(), pair.get(1).map(|v| (*v).to_owned()))).collect()
        };
        let read = options("SHM", 1, &words("poll 2 lock NMEA offset 0.5 rate 5 filter 7 prefer"));
        assert_eq!((read.refid, read.lock), (refid("SHM1"), Some(refid("NMEA"))));
        assert_eq!((read.poll, read.filter, read.flags.prefer), (2, 7, true));
        assert!((read.offset - 0.5).abs() < 1e-12 && (read.rate - 5.0).abs() < 1e-12);
        assert_eq!(options("PPS", 0, &words("refid GPS")).refid, refid("GPS"));
    }

    #[test]
    fn there_are_three_drivers() {
        assert!(Device::open("PHC", "/dev/ptp0").unwrap().is_none());
        assert_eq!(Device::open("SHM", "x").unwrap_err().errno, Errno::EINVAL);
        assert_eq!(Device::open("SOCK", "/nowhere/sock").unwrap_err().errno, Errno::ENOENT);
    }
}
