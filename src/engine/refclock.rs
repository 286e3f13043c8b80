//! Reference clocks: what a driver reads is completed, filtered and registered like the samples of a server.
//!
//! Offsets > 0: our clock is behind. Readings lie on the free clock, as all samples do.

use std::collections::VecDeque;

use super::measurement::Measurement;
use super::register::{Register, Tuning};
use super::timeline::{Exact, FreeTime, Line};
use crate::types::{Leap, MonoTime, Reach, RefId, Secs, TimeDelta};

/// Part of the readings that make a sample: those nearest to the median.
const KEPT: f64 = 0.6;
/// A pulse is completed only where its neighbours are further away than this part of its interval.
const SURE: f64 = 0.4;
/// A reading that is older when it comes is none.
const MAX_AGE: TimeDelta = TimeDelta::from_secs(10);
/// More readings are not kept, whatever `filter` says.
const MAX_FILTER: usize = 1024;

/// `refclock` with chrony 4.9's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Its name.
    pub refid: RefId,
    /// The clock whose samples complete its pulses.
    pub lock: Option<RefId>,
    /// log2 s between samples.
    pub poll: i32,
    /// log2 s between readings.
    pub dpoll: i32,
    /// Readings that are kept for a sample.
    pub filter: usize,
    /// Pulses in a second.
    pub rate: f64,
    /// How old a sample of the locked clock may be, in pulses.
    pub maxlockage: f64,
    /// Polls without a sample until it is not selected any more.
    pub maxunreach: u32,
    /// Fewest samples kept.
    pub minsamples: usize,
    /// Most samples kept; 0: the most that there can be.
    pub maxsamples: usize,
    /// Correction of its readings, s.
    pub offset: f64,
    /// Round trip that it counts as, s.
    pub delay: f64,
    /// Its precision, s; 0: our own.
    pub precision: f64,
    /// Samples of a larger dispersion are dropped, s; 0: none.
    pub maxdispersion: f64,
    /// Length of its pulses, s; 0: unknown.
    pub width: f64,
    /// Its stratum.
    pub stratum: u8,
    /// The words without a value.
    pub flags: Flags,
}

/// The words without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of its own in the file")]
pub struct Flags {
    /// `pps`: only the fraction of the second counts.
    pub pps: bool,
    /// `tai`: it keeps TAI.
    pub tai: bool,
    /// `noselect`.
    pub noselect: bool,
    /// `prefer`.
    pub prefer: bool,
    /// `trust`.
    pub trust: bool,
    /// `require`.
    pub require: bool,
}

impl Options {
    /// All but the name at their defaults.
    pub fn new(refid: RefId) -> Self {
        Self {
            refid,
            lock: None,
            poll: 4,
            dpoll: 0,
            filter: 64,
            rate: 1.0,
            maxlockage: 2.0,
            maxunreach: 100_000,
            minsamples: 6,
            maxsamples: 0,
            offset: 0.0,
            delay: 1e-9,
            precision: 0.0,
            maxdispersion: 0.0,
            width: 0.0,
            stratum: 0,
            flags: Flags::default(),
        }
    }
}

/// What a driver read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// When, by the free clock.
    pub at: FreeTime,
    /// The reference's time less the free clock's; of a pulse only the fraction of a second means something.
    pub offset: TimeDelta,
    /// Whether it is a pulse.
    pub pulse: bool,
    /// What it says about leap seconds.
    pub leap: Leap,
}

/// A reading as the log shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Taken {
    /// Number of the reading since the last sample.
    pub number: u32,
    /// Offset of the estimated time, s.
    pub offset: f64,
    /// Its error, s.
    pub dispersion: f64,
}

/// A reference clock.
#[derive(Debug)]
pub struct Refclock {
    options: Options,
    register: Register,
    readings: VecDeque<(FreeTime, TimeDelta)>,
    taken: u32,
    reach: Reach,
    reach_size: u8,
    unreachable: u32,
    leap: Leap,
    due: MonoTime,
    precision: f64,
}

impl Refclock {
    /// A clock that begins now. `precision`: of our own clock, s; `maxclockerror`: s/s.
    pub fn new(options: Options, now: MonoTime, precision: f64, maxclockerror: f64) -> Self {
        let tuning = Tuning {
            minsamples: options.minsamples,
            maxsamples: options.maxsamples,
            precision,
            maxclockerror,
            ..Tuning::default()
        };
        let precision = if options.precision > 0.0 { options.precision } else { precision };
        let mut clock = Self {
            register: Register::new(tuning),
            readings: VecDeque::new(),
            taken: 0,
            reach: Reach::default(),
            reach_size: 0,
            unreachable: 0,
            leap: Leap::None,
            due: now,
            precision,
            options,
        };
        clock.due = now + clock.interval();
        clock
    }

    /// `refclock`.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// What can be changed while it runs: selection options, `offset`.
    pub const fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// Its samples.
    pub const fn register(&self) -> &Register {
        &self.register
    }

    /// Its samples, to change them.
    pub const fn register_mut(&mut self) -> &mut Register {
        &mut self.register
    }

    /// Which of its last polls brought a sample.
    pub const fn reach(&self) -> Reach {
        self.reach
    }

    /// How many bits of it mean something.
    pub const fn reach_size(&self) -> u8 {
        self.reach_size
    }

    /// Whether it has been silent for longer than `maxunreach` allows.
    pub const fn given_up(&self) -> bool {
        self.unreachable > self.options.maxunreach
    }

    /// What it says about leap seconds.
    pub const fn leap(&self) -> Leap {
        self.leap
    }

    /// The last reading.
    pub fn latest(&self) -> Option<(FreeTime, TimeDelta)> {
        self.readings.back().copied()
    }

    /// When [`Self::timer`] is due.
    pub const fn next_timeout(&self) -> MonoTime {
        self.due
    }

    fn interval(&self) -> TimeDelta {
        let poll = f64::from(self.options.poll.clamp(-7, 24));
        TimeDelta::from_secs_f64(poll.exp2()).unwrap_or(TimeDelta::from_secs(16))
    }

    /// All that was measured is void.
    pub fn reset(&mut self) {
        self.register.reset();
        self.readings.clear();
    }

    /// Whether its readings are pulses that somebody else has to complete.
    pub fn is_pulse(&self, reading: &Reading) -> bool {
        reading.pulse || self.options.flags.pps
    }

    /// A reading came in at `now`. `partner`: whom its second is taken from, and how far that can be off; only pulses need one.
    /// Answers how it was taken; `None`: not at all.
    pub fn read(
        &mut self,
        now: FreeTime,
        reading: &Reading,
        partner: Option<(Exact, f64)>,
        line: &Line,
    ) -> Option<Taken> {
        let age = now - reading.at;
        if age.is_negative() && age.abs() > TimeDelta::from_millis(10) || age > MAX_AGE {
            return None;
        }
        let correction = TimeDelta::from_secs_f64(self.options.offset)?;
        let offset = if self.is_pulse(reading) {
            self.complete(reading.offset + correction, partner?)?
        } else {
            reading.offset + correction
        };
        if self.readings.back().is_some_and(|(last, _)| *last >= reading.at) {
            return None;
        }
        self.leap = reading.leap;
        while self.readings.len() >= self.options.filter.clamp(1, MAX_FILTER) {
            self.readings.pop_front();
        }
        self.readings.push_back((reading.at, offset));
        let number = self.taken;
        self.taken = self.taken.saturating_add(1);
        let off = Exact::from_delta(offset).minus(line.offset_at(reading.at));
        Some(Taken { number, offset: off, dispersion: self.precision })
    }

    /// The offset that is a whole number of pulses away and nearest to what the partner says, if there is no doubt.
    fn complete(&self, offset: TimeDelta, (expected, error): (Exact, f64)) -> Option<TimeDelta> {
        let interval = 1.0 / self.options.rate.max(1e-3);
        let apart = expected.minus(Exact::from_delta(offset));
        let pulses = (apart / interval).round() * interval;
        let shift = TimeDelta::from_secs_f64(pulses)?;
        let width = self.options.width;
        let room = if width > 0.0 { (width / 2.0).min(interval * SURE) } else { interval * SURE };
        let left = (apart - pulses).abs();
        (left + error < room).then(|| offset + shift)
    }

    /// Polls: makes a sample of the readings since the last poll. Answers it, and its error.
    pub fn timer(&mut self, now: MonoTime, line: &Line) -> Option<Measurement> {
        if now < self.due {
            return None;
        }
        let interval = self.interval();
        // the grid of polls stays where it is, however long nobody asked
        let late = (now - self.due).as_nanos() % interval.as_nanos().max(1);
        self.due = now + (interval - TimeDelta::from_nanos(late));
        let sample = self.sample(line).filter(|m| {
            let limit = self.options.maxdispersion;
            limit <= 0.0 || m.dispersion.get() <= limit
        });
        self.readings.clear();
        self.taken = 0;
        self.reach = self.reach.shifted(sample.is_some());
        self.reach_size = (self.reach_size + 1).min(8);
        self.unreachable = if self.reach.bits() == 0 { self.unreachable.saturating_add(1) } else { 0 };
        if let Some(sample) = sample {
            self.register.push(sample, line);
        }
        sample
    }

    /// The mean of the readings nearest to the median.
    fn sample(&self, line: &Line) -> Option<Measurement> {
        let (newest, _) = *self.readings.back()?;
        let mut offsets: Vec<(f64, FreeTime)> = self
            .readings
            .iter()
            .map(|(at, offset)| (Exact::from_delta(*offset).minus(line.offset_at(*at)), *at))
            .collect();
        offsets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let count = offsets.len();
        let dropped = (0..count).rfind(|n| kept(count, *n) >= KEPT).unwrap_or(0);
        let middle = offsets.get(dropped..count - dropped)?;
        let number = f64::from(u32::try_from(middle.len()).ok()?);
        let mean = middle.iter().map(|(offset, _)| offset).sum::<f64>() / number;
        let age = middle.iter().map(|(_, at)| (newest - *at).as_secs_f64()).sum::<f64>() / number;
        let spread = middle.iter().map(|(offset, _)| (offset - mean).powi(2)).sum::<f64>();
        let sd = if middle.len() > 1 { (spread / (number - 1.0)).sqrt() / number.sqrt() } else { 0.0 };
        let at = newest + TimeDelta::from_secs_f64(-age)?;
        Some(Measurement {
            at,
            offset: line.offset_at(at).plus(mean).to_delta(),
            delay: TimeDelta::from_secs_f64(self.options.delay.max(1e-9))?,
            dispersion: Secs::new(sd.max(self.precision))?,
            root_delay: Secs::ZERO,
            root_dispersion: Secs::ZERO,
        })
    }
}

/// Part of `count` readings that is left when `n` are dropped at either end.
fn kept(count: usize, n: usize) -> f64 {
    let float = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    (float(count) - 2.0 * float(n)) / float(count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::timeline::{KernelRate, Timeline};
    use crate::types::Timestamp;

    fn line() -> (Timeline, Line) {
        let timeline = Timeline::new(Timestamp::from_unix(1_795_000_000, 0), KernelRate::NOMINAL);
        let line = timeline.line();
        (timeline, line)
    }

    fn at(secs: f64) -> FreeTime {
        FreeTime::from_nanos(1_795_000_000_000_000_000) + TimeDelta::from_secs_f64(secs).unwrap()
    }

    fn clock(change: impl FnOnce(&mut Options)) -> Refclock {
        let mut options = Options::new(RefId::from_ascii(*b"TEST"));
        change(&mut options);
        Refclock::new(options, MonoTime::ZERO, 1e-7, 1e-6)
    }

    fn reading(secs: f64, offset: f64, pulse: bool) -> Reading {
        Reading { at: at(secs), offset: TimeDelta::from_secs_f64(offset).unwrap(), pulse, leap: Leap::None }
    }

    #[test]
    fn a_sample_is_the_mean_of_the_middle_readings() {
        let (_, line) = line();
        let mut clock = clock(|_| ());
        for second in 1..=10 {
            // two of ten are wild
            let offset = if second % 5 == 0 { 0.4 } else { 0.001 + f64::from(second % 3) * 1e-6 };
            assert!(
                clock
                    .read(at(f64::from(second)), &reading(f64::from(second), offset, false), None, &line)
                    .is_some()
            );
        }
        assert_eq!(clock.timer(MonoTime::from_nanos(15_000_000_000), &line), None);
        let sample = clock.timer(MonoTime::from_nanos(16_000_000_000), &line).unwrap();
        assert!((sample.offset.as_secs_f64() - 0.001).abs() < 2e-6, "{sample:?}");
        assert_eq!((clock.reach().bits(), clock.register().len()), (1, 1));
        assert_eq!(clock.timer(MonoTime::from_nanos(32_000_000_000), &line), None);
        assert_eq!((clock.reach().bits(), clock.reach_size()), (2, 2));
    }

    #[test]
    fn pulses_take_their_second_from_a_partner_that_is_sure() {
        let (_, line) = line();
        let mut clock = clock(|_| ());
        let expected = |offset: f64, error: f64| Some((Exact::default().plus(offset), error));
        // the pulse says: a fraction of 0.2 s; the partner: 12.9 s, so it is 13.2 s only if 0.3 + its error are below 0.4
        assert_eq!(clock.read(at(1.0), &reading(1.0, 0.2, true), None, &line), None);
        assert_eq!(clock.read(at(1.0), &reading(1.0, 0.2, true), expected(12.9, 0.2), &line), None);
        let taken = clock.read(at(1.0), &reading(1.0, 0.2, true), expected(12.9, 0.05), &line).unwrap();
        assert!((taken.offset - 13.2).abs() < 1e-9, "{taken:?}");
    }

    #[test]
    fn old_and_repeated_readings_do_not_count_and_the_offset_does() {
        let (_, line) = line();
        let mut clock = clock(|options| (options.offset, options.filter) = (0.5, 2));
        let mut read = |now: f64, secs: f64| clock.read(at(now), &reading(secs, 0.0, false), None, &line);
        assert!((read(1.0, 1.0).unwrap().offset - 0.5).abs() < 1e-9);
        assert_eq!(read(1.0, 1.0), None);
        assert_eq!(read(20.0, 2.0), None);
        assert_eq!(read(2.0, 3.0), None, "from the future");
        assert_eq!((read(2.0, 2.0).unwrap().number, read(3.0, 3.0).unwrap().number), (1, 2));
        assert_eq!(clock.readings.len(), 2);
    }
}
