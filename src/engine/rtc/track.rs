//! How wrong the hardware clock is and how fast it drifts, from readings at its ticks (chronyd's `rtcfile`).
//!
//! A reading is kept on the free clock, so that what is learnt later about the true time counts for the older readings too.
//! File, texts and pace are chronyd 4.9's, observed in a guest: after fewer than 4, 6, 10, 14 samples the next one comes in
//! 15, 30, 60, 120 s, else in 240 s; from two samples on there is a line.

use std::collections::VecDeque;

use crate::engine::register::fit::{self, Point};
use crate::engine::timeline::{FreeTime, Timeline};
use crate::types::{TimeDelta, Timestamp};

/// Samples that are kept.
const MOST: usize = 64;
/// Samples that the test of runs leaves.
const LEAST: usize = 5;
/// (fewer samples than, pause before the next one in s).
const PACE: [(usize, i64); 4] = [(4, 15), (6, 30), (10, 60), (14, 120)];
/// The pause with more samples, s.
const LONGEST: i64 = 240;

/// A file that holds no coefficients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// What is known of the RTC: the line of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coefficients {
    /// The RTC's reading that the error belongs to, s since 1970.
    pub reference: i64,
    /// How far the RTC was ahead of the true time then, s.
    pub fast: f64,
    /// What it gains, s/s.
    pub gain: f64,
}

impl Coefficients {
    /// Reads the file: `1 REFERENCE FAST GAIN_PPM`. `Ok(None)`: it says that nothing is known.
    ///
    /// # Errors
    /// It holds something else.
    pub fn parse(text: &str) -> Result<Option<Self>, Unreadable> {
        let mut words = text.split_ascii_whitespace();
        let mut word = || words.next().ok_or(Unreadable);
        let valid: i64 = word()?.parse().map_err(|_| Unreadable)?;
        let reference = word()?.parse().map_err(|_| Unreadable)?;
        let fast: f64 = word()?.parse().map_err(|_| Unreadable)?;
        let ppm: f64 = word()?.parse().map_err(|_| Unreadable)?;
        if !(fast.is_finite() && ppm.is_finite()) {
            return Err(Unreadable);
        }
        Ok((valid != 0).then_some(Self { reference, fast, gain: ppm * 1e-6 }))
    }

    /// The file's content.
    pub fn emit(&self) -> String {
        format!("1 {} {:.6} {:.3}\n", self.reference, self.fast, self.gain * 1e6)
    }

    /// How far the RTC is ahead of the true time when it reads `rtc`, s.
    pub fn fast_at(&self, rtc: i64) -> f64 {
        self.fast + seconds(rtc.saturating_sub(self.reference)) * self.gain
    }
}

/// A reading at a tick of the RTC.
#[derive(Debug, Clone, Copy)]
struct Sample {
    rtc: i64,
    free: FreeTime,
}

/// A line of rtc.log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackRecord {
    /// When, by the estimated time.
    pub time: Timestamp,
    /// How far the RTC was ahead, as measured, s.
    pub fast: f64,
    /// What the line says instead, s, and its slope, s/s; `None`: there is none.
    pub fitted: Option<(f64, f64)>,
    /// Samples of the line.
    pub samples: usize,
    /// Runs of residuals of one sign.
    pub runs: usize,
    /// The pause before this reading, s.
    pub pause: i64,
}

/// The readings of one RTC.
#[derive(Debug, Default)]
pub struct Track {
    samples: VecDeque<Sample>,
    known: Option<Coefficients>,
    runs: usize,
    pause: i64,
}

impl Track {
    /// Begins with what the file said.
    pub const fn new(known: Option<Coefficients>) -> Self {
        Self { samples: VecDeque::new(), known, runs: 0, pause: PACE[0].1 }
    }

    /// The RTC began the second `rtc` when the free clock read `free`.
    pub fn add(&mut self, rtc: i64, free: FreeTime, timeline: &Timeline) -> TrackRecord {
        // an RTC that somebody set backwards tells nothing about its older self
        if self.samples.back().is_some_and(|last| last.rtc >= rtc) {
            self.samples.clear();
        }
        if self.samples.len() == MOST {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { rtc, free });
        self.fit(timeline);
        let (time, fast) = (estimated(free, timeline), ahead(rtc, free, timeline));
        let record = TrackRecord {
            time,
            fast,
            fitted: self.known.map(|known| (known.fast_at(rtc), known.gain)),
            samples: self.samples.len(),
            runs: self.runs,
            pause: self.pause,
        };
        self.pause = pause_after(self.samples.len());
        record
    }

    /// The line anew, by what is known of the true time now.
    pub fn fit(&mut self, timeline: &Timeline) {
        let Some(newest) = self.samples.back().copied() else { return };
        let fast = ahead(newest.rtc, newest.free, timeline);
        if self.samples.len() < 2 {
            // after a trim the drift is the same as before
            if let Some(known) = &mut self.known {
                *known = Coefficients { reference: newest.rtc, fast, ..*known };
            }
            return;
        }
        loop {
            let points: Vec<Point> = self
                .samples
                .iter()
                .map(|s| Point {
                    time: seconds(s.rtc - newest.rtc),
                    offset: ahead(s.rtc, s.free, timeline),
                    excess: 0.0,
                    distance: 1.0,
                })
                .collect();
            let (fast, gain) = match (fit::line(&points, 0), points.as_slice()) {
                (Some(line), _) => {
                    self.runs = line.runs;
                    if !line.is_random() && points.len() > LEAST {
                        self.samples.pop_front();
                        continue;
                    }
                    (line.offset, line.slope)
                }
                (None, [first, last]) => {
                    self.runs = 0;
                    (last.offset, (last.offset - first.offset) / (last.time - first.time))
                }
                (None, _) => return,
            };
            if fast.is_finite() && gain.is_finite() {
                self.known = Some(Coefficients { reference: newest.rtc, fast, gain });
            }
            return;
        }
    }

    /// What is known.
    pub const fn known(&self) -> Option<Coefficients> {
        self.known
    }

    /// How many readings the line has.
    pub fn samples(&self) -> usize {
        self.samples.len()
    }

    /// Runs of residuals of one sign.
    pub const fn runs(&self) -> usize {
        self.runs
    }

    /// From the oldest reading to the newest, s.
    pub fn span(&self) -> i64 {
        match (self.samples.front(), self.samples.back()) {
            (Some(first), Some(last)) => last.rtc - first.rtc,
            _ => 0,
        }
    }

    /// The pause before the next reading, s.
    pub const fn pause(&self) -> i64 {
        self.pause
    }

    /// The RTC was set: only its drift is still known.
    pub fn was_set(&mut self) {
        self.samples.clear();
        self.pause = PACE[0].1;
    }
}

fn pause_after(samples: usize) -> i64 {
    PACE.iter().find(|(fewer, _)| samples < *fewer).map_or(LONGEST, |(_, pause)| *pause)
}

/// The estimated time at a reading of the free clock.
fn estimated(free: FreeTime, timeline: &Timeline) -> Timestamp {
    Timestamp::from_nanos(free.as_nanos()) + timeline.line().offset_at(free).to_delta()
}

/// How far an RTC that reads `rtc` is ahead, s.
fn ahead(rtc: i64, free: FreeTime, timeline: &Timeline) -> f64 {
    (Timestamp::from_unix(rtc, 0) - estimated(free, timeline)).as_secs_f64()
}

/// A span of whole seconds.
fn seconds(whole: i64) -> f64 {
    TimeDelta::from_secs(whole).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::timeline::{KernelRate, Line};

    const START: i64 = 1_795_244_454;

    fn timeline() -> Timeline {
        Timeline::new(Timestamp::from_unix(START, 0), KernelRate::NOMINAL)
    }

    /// A reading of an RTC that is `fast` ahead of the free clock.
    fn read(track: &mut Track, timeline: &Timeline, rtc: i64, fast: f64) -> TrackRecord {
        let at = Timestamp::from_unix(rtc, 0) - TimeDelta::from_secs_f64(fast).unwrap();
        track.add(rtc, timeline.free(at), timeline)
    }

    #[test]
    fn the_file_is_the_originals() {
        let text = "1 1795244454 -8.767213 -0.971\n";
        let known = Coefficients::parse(text).unwrap().unwrap();
        assert_eq!((known.reference, known.fast), (START, -8.767_213));
        assert_eq!(known.emit(), text);
        assert!((known.fast_at(START + 1_000_000) + 9.738_213).abs() < 1e-9);
        assert_eq!(Coefficients::parse("0 1 2 3"), Ok(None));
        // more words are not looked at
        assert!(Coefficients::parse("1 99 1 2 3").unwrap().is_some());
        for bad in
            ["", "garbage\n", "1 2 3", "1 x 0 0", "1 2 inf 0", "1 2 0 nan", "1 99999999999999999999 0 0"]
        {
            assert_eq!(Coefficients::parse(bad), Err(Unreadable), "{bad}");
        }
    }

    #[test]
    fn a_line_is_found_and_the_pace_slows_down() {
        let timeline = timeline();
        let mut track = Track::new(None);
        let mut rtc = START;
        let mut pauses = Vec::new();
        for n in 0..20 {
            let noise = if n % 2 == 0 { 1e-6 } else { -1e-6 };
            let record = read(&mut track, &timeline, rtc, -8.0 - 2e-6 * seconds(rtc - START) + noise);
            assert_eq!(record.fitted.is_some(), n > 0, "{n}");
            pauses.push(record.pause);
            rtc += track.pause();
        }
        assert_eq!(pauses[..12], [15, 15, 15, 15, 30, 30, 60, 60, 60, 60, 120, 120]);
        assert_eq!(pauses[15..], [240; 5]);
        let known = track.known().unwrap();
        assert!((known.gain + 2e-6).abs() < 2e-8, "{known:?}");
        assert!((known.fast_at(START) + 8.0).abs() < 1e-5, "{known:?}");
        assert_eq!(track.samples(), 20);
    }

    #[test]
    fn what_is_learnt_of_the_time_counts_for_older_readings() {
        let mut timeline = timeline();
        let mut track = Track::new(None);
        for n in 0..4 {
            read(&mut track, &timeline, START + 15 * n, 0.25);
        }
        assert!((track.known().unwrap().fast - 0.25).abs() < 1e-9);
        // the free clock was 3 s behind all the time
        let line = timeline.line();
        timeline.set_line(Line { offset: line.offset.plus(3.0), ..line });
        track.fit(&timeline);
        let known = track.known().unwrap();
        assert!((known.fast + 2.75).abs() < 1e-9 && known.gain.abs() < 1e-9, "{known:?}");
    }

    #[test]
    fn another_drift_drops_old_readings_and_a_set_rtc_all_of_them() {
        let timeline = timeline();
        let mut track = Track::new(None);
        for n in 0..16 {
            read(&mut track, &timeline, START + 60 * n, 1e-6 * seconds(60 * n));
        }
        for n in 16..32 {
            read(
                &mut track,
                &timeline,
                START + 60 * n,
                1e-6 * seconds(60 * 16) + 50e-6 * seconds(60 * (n - 16)),
            );
        }
        let gain = track.known().unwrap().gain;
        assert!((gain - 50e-6).abs() < 1e-6 && track.samples() < 20, "{gain} {}", track.samples());
        track.was_set();
        let record = read(&mut track, &timeline, START + 3000, 0.1);
        let known = track.known().unwrap();
        assert_eq!((record.samples, known.gain), (1, gain));
        assert!((known.fast - 0.1).abs() < 1e-9);
        // and one that runs backwards
        let record = read(&mut track, &timeline, START, 0.1);
        assert_eq!(record.samples, 1);
    }
}
