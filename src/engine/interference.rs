//! Whether somebody else steers the kernel's clock too, and how far he has moved it.
//!
//! The kernel's registers are compared with what they were set to. What a foreign rate did until it was noticed is read from the
//! clock that nobody adjusts (CLOCK_MONOTONIC_RAW): both clocks are driven by one oscillator.

use super::timeline::KernelRate;
use crate::types::{MonoTime, TimeDelta};

/// Two readings that are closer say little of how the two clocks compare.
const APART: TimeDelta = TimeDelta::from_secs(1);
/// The clocks differ by less when nobody interferes: the kernel rounds their rates in its own ways.
const ALIKE: f64 = 1e-5;
/// No setting makes the clock faster or slower, s/s; and what reading the clocks may be off, s.
const FASTEST: f64 = 0.11;
const SLACK: f64 = 1e-3;

/// The kernel's clock at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// CLOCK_MONOTONIC.
    pub mono: MonoTime,
    /// CLOCK_MONOTONIC_RAW.
    pub raw: MonoTime,
    /// What it is set to.
    pub setting: KernelRate,
    /// Whether the kernel slews it: its PLL is on, or `adjtime` is at work. We use neither.
    pub slewing: bool,
}

/// What somebody else did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interference {
    /// What the kernel is set to now.
    pub setting: KernelRate,
    /// How far that has moved the clock, > 0: forward. `None`: it cannot be told.
    pub moved: Option<TimeDelta>,
}

/// What the kernel was told, and when that was last found to be true.
#[derive(Debug, Clone)]
pub struct Watch {
    at: Look,
    /// Seconds without interference by CLOCK_MONOTONIC, less what it was told to gain, and by CLOCK_MONOTONIC_RAW.
    free: f64,
    raw: f64,
}

impl Watch {
    /// Nobody has interfered until this look.
    pub const fn new(look: Look) -> Self {
        Self { at: look, free: 0.0, raw: 0.0 }
    }

    /// The kernel has just taken a setting of ours.
    pub fn commanded(&mut self, look: Look) {
        self.compare(look);
        self.at = look;
    }

    /// When the last look was.
    pub const fn last(&self) -> MonoTime {
        self.at.mono
    }

    /// Looks whether somebody else has set the clock's rate since the last look.
    pub fn look(&mut self, look: Look) -> Option<Interference> {
        if look.setting == self.at.setting && !look.slewing {
            if look.mono - self.at.mono >= APART {
                self.compare(look);
                self.at = look;
            }
            return None;
        }
        let passed = (look.raw - self.at.raw).as_secs_f64();
        let scale = if self.raw > 0.0 { self.free / self.raw } else { 1.0 };
        let expected = passed * scale * (1.0 + self.at.setting.rate());
        let moved = (look.mono - self.at.mono).as_secs_f64() - expected;
        let possible = passed >= 0.0 && moved.abs() <= FASTEST * passed + SLACK;
        self.at = Look { slewing: false, ..look };
        let moved = TimeDelta::from_secs_f64(moved).filter(|_| possible);
        Some(Interference { setting: look.setting, moved })
    }

    /// Learns from a time without interference how the two clocks compare.
    fn compare(&mut self, look: Look) {
        let told = 1.0 + self.at.setting.rate();
        let free = (look.mono - self.at.mono).as_secs_f64() / told;
        let raw = (look.raw - self.at.raw).as_secs_f64();
        if raw >= APART.as_secs_f64() && (free / raw - 1.0).abs() <= ALIKE {
            self.free += free;
            self.raw += raw;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look after `raw` s, of which the clock made `mono` s.
    fn look(raw: f64, mono: f64, ppm: f64) -> Look {
        let at = |secs| MonoTime::from_nanos(1 << 40) + TimeDelta::from_secs_f64(secs).unwrap();
        Look { mono: at(mono), raw: at(raw), setting: KernelRate::nearest(ppm * 1e-6), slewing: false }
    }

    fn moved(found: Option<Interference>) -> f64 {
        found.unwrap().moved.unwrap().as_secs_f64()
    }

    #[test]
    fn what_was_commanded_is_nobodys_interference() {
        let mut watch = Watch::new(look(0.0, 0.0, 40.0));
        assert_eq!(watch.look(look(100.0, 100.004, 40.0)), None);
        watch.commanded(look(100.0, 100.004, -250.0));
        assert_eq!(watch.look(look(200.0, 200.004 - 0.025, -250.0)), None);
        // what the registers do not show is none
        assert_eq!(watch.look(look(300.0, 305.0, -250.0)), None);
    }

    #[test]
    fn a_foreign_rate_is_seen_and_how_far_it_moved_the_clock() {
        let mut watch = Watch::new(look(0.0, 0.0, 40.0));
        // 30 of 64 s at 100 ppm more
        let found = watch.look(look(64.0, 64.0 * (1.0 + 40e-6) + 30.0 * 100e-6, 140.0));
        assert_eq!(found.unwrap().setting, KernelRate::nearest(140e-6));
        assert!((moved(found) - 3e-3).abs() < 2e-9, "{found:?}");
        // said once
        assert_eq!(watch.look(look(65.0, 65.0 * (1.0 + 40e-6) + 31.0 * 100e-6, 140.0)), None);
        // the same setting, but the kernel slews: adjtime
        let slewing =
            Look { slewing: true, ..look(66.0, 66.0 * (1.0 + 40e-6) + 32.0 * 100e-6 + 250e-6, 140.0) };
        assert!((moved(watch.look(slewing)) - 250e-6).abs() < 2e-9);
    }

    #[test]
    fn clocks_that_differ_by_themselves_are_compared_first() {
        // the kernel's own rounding: 0.05 ppm
        let own = 1.0 + 5e-8;
        let mut watch = Watch::new(look(0.0, 0.0, 0.0));
        for n in 1..100 {
            assert_eq!(watch.look(look(f64::from(n) * 64.0, f64::from(n) * 64.0 * own, 0.0)), None);
        }
        let found = watch.look(look(99.0 * 64.0 + 1000.0, (99.0 * 64.0 + 1000.0) * own + 0.1, 100.0));
        assert!((moved(found) - 0.1).abs() < 1e-8, "{found:?}");
    }

    #[test]
    fn what_no_setting_can_do_is_not_believed() {
        for (raw, mono) in [(10.0, 15.0), (10.0, 8.0), (-5.0, 10.0), (0.0, 1.0)] {
            let mut watch = Watch::new(look(0.0, 0.0, 0.0));
            let found = watch.look(look(raw, mono, 100.0)).unwrap();
            assert_eq!(found.moved, None, "{raw} {mono}");
        }
    }
}
