//! Times typed in by a human (`settime`): what they say of the clock together (chronyc.md 3.7).
//!
//! Each is a sample of the free clock; the line with the least sum of distances goes through them, so that one slip of the
//! typist does no harm. Offsets > 0: our clock is behind.

use super::timeline::{Exact, FreeTime, Line};
use crate::types::{TimeDelta, Timestamp};

/// Most times that are kept.
const MOST: usize = 16;
/// A time typed sooner after the one before says nothing new.
const APART: TimeDelta = TimeDelta::from_secs(1);

/// No clock gains or loses more, s/s.
const FASTEST: f64 = 0.5;
/// A time that is further off the line than this is not a slip of the typist, s.
const SLIP: f64 = 5.0;

/// Why a time is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Manual input is off.
    Off,
    /// It came too soon after the one before, or makes no sense.
    Senseless,
}

/// A time that was typed in.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Typed {
    at: FreeTime,
    /// What the free clock lacked by it.
    offset: Exact,
    /// What the estimated time lacked then, s.
    original: f64,
    /// What the last line leaves of it, s.
    residual: f64,
}

/// One as `manual list` shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown {
    /// When, by today's estimate.
    pub at: Timestamp,
    /// Its offset by today's estimate, s.
    pub adjusted: f64,
    /// Its offset as typed, s.
    pub original: f64,
    /// What the line leaves of it, s.
    pub residual: f64,
}

/// The times typed in.
#[derive(Debug, Clone, Default)]
pub struct Manual {
    enabled: bool,
    typed: Vec<Typed>,
}

impl Manual {
    /// Without any; `enabled`: whether some may come.
    pub const fn new(enabled: bool) -> Self {
        Self { enabled, typed: Vec::new() }
    }

    /// Switches it on or off; what was typed stays.
    pub const fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Forgets all.
    pub fn reset(&mut self) {
        self.typed.clear();
    }

    /// Forgets one; answers whether it was there.
    pub fn delete(&mut self, index: usize) -> bool {
        let there = index < self.typed.len();
        if there {
            self.typed.remove(index);
        }
        there
    }

    /// A human says that it is `time` when the free clock reads `at`; `line` is what was believed until now. Answers what is to
    /// be believed; the rate stays until there are two times.
    ///
    /// # Errors
    /// Manual input is off; the time makes no sense.
    pub fn take(&mut self, at: FreeTime, time: Timestamp, line: &Line) -> Result<Line, Refused> {
        if !self.enabled {
            return Err(Refused::Off);
        }
        if self.typed.last().is_some_and(|last| at - last.at < APART) {
            return Err(Refused::Senseless);
        }
        let lacks = time.as_nanos().checked_sub(at.as_nanos()).ok_or(Refused::Senseless)?;
        let offset = Exact::from_delta(TimeDelta::from_nanos(lacks));
        if self.typed.len() >= MOST {
            self.typed.remove(0);
        }
        let original = offset.minus(line.offset_at(at));
        self.typed.push(Typed { at, offset, original, residual: 0.0 });
        let best = self.line(at, offset, line.rate);
        for typed in &mut self.typed {
            typed.residual = typed.offset.minus(best.offset_at(typed.at));
        }
        Ok(best)
    }

    /// The line through two of the times from which all are the least distance, in sum.
    fn line(&self, at: FreeTime, offset: Exact, rate: f64) -> Line {
        let newest = Line { at, offset, rate };
        let mut best: Option<(f64, Line)> = None;
        for (i, a) in self.typed.iter().enumerate() {
            for b in self.typed.iter().skip(i + 1) {
                let rate = b.offset.minus(a.offset) / (b.at - a.at).as_secs_f64();
                if rate.is_nan() || rate.abs() > FASTEST {
                    continue;
                }
                let through = Line { at: b.at, offset: b.offset, rate };
                let miss: f64 =
                    self.typed.iter().map(|t| t.offset.minus(through.offset_at(t.at)).abs()).sum();
                if best.is_none_or(|(least, _)| miss < least) {
                    best = Some((miss, through));
                }
            }
        }
        let here = best.map(|(_, line)| Line { at, offset: line.offset_at(at), rate: line.rate });
        // who types something quite different means it
        here.filter(|line| offset.minus(line.offset).abs() <= SLIP).unwrap_or(newest)
    }

    /// The times, oldest first.
    pub fn shown(&self, line: Line) -> impl Iterator<Item = Shown> {
        self.typed.iter().map(move |typed| {
            let believed = line.offset_at(typed.at);
            Shown {
                at: Timestamp::from_nanos(typed.at.as_nanos()) + believed.to_delta(),
                adjusted: typed.offset.minus(believed),
                original: typed.original,
                residual: typed.residual,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_795_000_000_000_000_000;

    fn free(secs: i64) -> FreeTime {
        FreeTime::from_nanos(START + secs * 1_000_000_000)
    }

    fn time(secs: f64) -> Timestamp {
        Timestamp::from_nanos(START) + TimeDelta::from_secs_f64(secs).unwrap()
    }

    fn flat() -> Line {
        Line { at: free(0), offset: Exact::default(), rate: 0.0 }
    }

    fn taken(manual: &mut Manual, line: &Line, at: i64, typed: f64) -> Line {
        manual.take(free(at), time(typed), line).unwrap()
    }

    #[test]
    fn one_time_moves_the_clock_and_leaves_its_rate() {
        let mut manual = Manual::new(true);
        let line = taken(&mut manual, &flat(), 10, 833.5);
        assert!((line.offset_at(free(10)).minus(Exact::default()) - 823.5).abs() < 1e-9);
        assert!(line.rate.abs() < 1e-12);
        let shown: Vec<_> = manual.shown(line).collect();
        assert_eq!((shown.len(), shown[0].at), (1, time(833.5)));
        assert!(shown[0].adjusted.abs() < 1e-9 && (shown[0].original - 823.5).abs() < 1e-9);
    }

    #[test]
    fn two_times_tell_the_rate_and_a_slip_does_no_harm() {
        let mut manual = Manual::new(true);
        let mut line = flat();
        for (at, error) in [(0, 0.0), (1000, 0.0), (2000, -3.0), (3000, 0.0), (4000, 0.0)] {
            // true time gains 100 ppm on the free clock
            let typed = f64::from(at) * (1.0 + 1e-4) + error;
            line = taken(&mut manual, &line, i64::from(at), typed);
        }
        assert!((line.rate - 1e-4).abs() < 1e-9, "{}", line.rate);
        let slip = manual.shown(line).nth(2).unwrap();
        assert!((slip.residual + 3.0).abs() < 1e-6, "{slip:?}");
    }

    #[test]
    fn a_quite_different_time_is_meant() {
        let mut manual = Manual::new(true);
        let mut line = flat();
        for (at, typed) in [(0, 0.0), (100, 100.0), (200, 7400.0)] {
            line = taken(&mut manual, &line, at, typed);
        }
        assert!((line.offset_at(free(200)).minus(Exact::default()) - 7200.0).abs() < 1e-6);
        assert!(line.rate.abs() < 1e-9);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut off = Manual::new(false);
        assert_eq!(off.take(free(0), time(0.0), &flat()), Err(Refused::Off));
        let mut manual = Manual::new(true);
        taken(&mut manual, &flat(), 0, 0.0);
        assert_eq!(manual.take(free(0), time(5.0), &flat()), Err(Refused::Senseless));
        assert!(!manual.delete(1) && manual.delete(0) && !manual.delete(0));
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut manual = Manual::new(true);
        for at in 0..20 {
            taken(&mut manual, &flat(), at * 10, 0.0);
        }
        assert_eq!(manual.shown(flat()).count(), MOST);
        manual.reset();
        assert_eq!(manual.shown(flat()).count(), 0);
    }
}
