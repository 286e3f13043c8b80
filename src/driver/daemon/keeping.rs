//! What is read and kept beside the clock: histories of sources, leap seconds, the temperature.

use std::path::PathBuf;

use super::{Daemon, Input, LeapSource, Level};
use crate::driver::dump;
use crate::sys::{clock, file};
use crate::types::{MonoTime, TimeDelta};

/// Between two looks at the file of leap seconds.
const LEAP_INTERVAL: TimeDelta = TimeDelta::from_secs(12 * 3600);
/// More is no temperature.
const SENSOR_LIMIT: usize = 256;

/// A thermometer near the oscillator.
#[derive(Debug)]
pub(super) struct Sensor {
    path: PathBuf,
    interval: TimeDelta,
    due: MonoTime,
}

impl Sensor {
    /// When it is read next.
    pub(super) const fn due(&self) -> MonoTime {
        self.due
    }
}

impl Daemon {
    /// The temperature is read from this file every so often.
    pub fn set_sensor(&mut self, path: PathBuf, interval: TimeDelta) {
        let interval = interval.max(TimeDelta::from_millis(10));
        self.sensor = Some(Sensor { path, interval, due: clock::mono() });
    }

    pub(super) fn read_temperature(&mut self) {
        let now = clock::mono();
        let Some(sensor) = self.sensor.as_mut().filter(|sensor| sensor.due <= now) else { return };
        sensor.due = now + sensor.interval;
        let text = file::read_bounded(&sensor.path, SENSOR_LIMIT).ok();
        let temperature = text.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse::<f64>().ok());
        if let Some(temperature) = temperature.filter(|temperature| temperature.is_finite()) {
            self.hand(Input::Temperature(temperature));
        }
    }

    /// Leap seconds are read from here, now and twice a day.
    pub fn set_leap_source(&mut self, source: LeapSource) {
        self.leap_source = Some((source, clock::mono()));
        self.read_leap_seconds();
    }

    pub(super) fn read_leap_seconds(&mut self) {
        let now = clock::both();
        let Some((source, due)) = self.leap_source.as_mut().filter(|(_, due)| *due <= now.mono) else {
            return;
        };
        *due = now.mono + LEAP_INTERVAL;
        let (table, lines) = match source.read(now.clock) {
            Ok((table, lines)) => (Some(table), lines),
            Err(lines) => (None, lines),
        };
        // what was said before is not said again
        if self.leap_lines != lines {
            for line in &lines {
                self.engine.log(if table.is_some() { Level::Info } else { Level::Warning }, line.clone());
            }
            self.leap_lines = lines;
        }
        // ntpd goes on with the table that it has
        if table.is_some() || !matches!(self.leap_source, Some((LeapSource::Leapfile { .. }, _))) {
            self.engine.set_leap_table(table);
        }
    }

    /// Histories are kept in this folder; those that are there are loaded (`-r`) or only removed.
    pub fn set_dumps(&mut self, directory: PathBuf, load: bool) {
        let taken = dump::take_all(&directory);
        for (address, dump) in taken.into_iter().filter(|_| load) {
            match dump {
                Some(dump) => {
                    self.engine.restore(clock::both(), address, &dump, &mut self.rng);
                }
                None => self.engine.log(Level::Warning, format!("Could not load dump file for {address}")),
            }
            self.set_clock();
        }
        self.dumps = Some(directory);
    }

    pub(super) fn write_dumps(&mut self) {
        let Some(directory) = &self.dumps else { return };
        if let Some(error) = dump::write_all(directory, &self.engine.dumps(clock::both())) {
            let line = format!("Could not open {} : {}", error.object, error.reason());
            self.engine.log(Level::Error, line);
        }
    }
}
