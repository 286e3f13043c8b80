//! A host's clock: an oscillator whose rate changes once per true second, and the kernel that steers it by Linux's rules.
//!
//! True time is a whole second and a fraction, so that a femtosecond is a femtosecond after weeks. The clock is kept as its
//! difference from true time. Signs: an *error* above zero means that the clock is **ahead** of true time (metrics only look at
//! sizes); a rate above zero makes the clock gain.

use std::cmp::Ordering;
use std::f64::consts::TAU;

use ntpbox::types::{MonoTime, Now, Timestamp};

use super::metrics::Metrics;
use super::rng::Stream;

/// Where true time begins, ns since 1970: an ordinary day of 2026.
const EPOCH: i64 = 1_795_000_000_000_000_000;
/// What CLOCK_MONOTONIC reads then.
const UPTIME: i64 = 1_000_000_000_000;

/// An instant of true time since the start of the simulation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TrueTime {
    /// Whole seconds.
    pub(crate) second: i64,
    /// s, 0 … 1.
    fraction: f64,
}

impl TrueTime {
    /// The beginning of this second.
    pub(crate) fn at(second: i64) -> Self {
        Self { second, fraction: 0.0 }
    }

    /// This many seconds later (0 or more).
    pub(crate) fn plus(self, secs: f64) -> Self {
        let whole = secs.floor();
        let fraction = self.fraction + (secs - whole);
        let carry = fraction >= 1.0;
        Self {
            second: self.second + whole as i64 + i64::from(carry),
            fraction: if carry { fraction - 1.0 } else { fraction },
        }
    }

    /// Seconds since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> f64 {
        (self.second - earlier.second) as f64 + (self.fraction - earlier.fraction)
    }

    /// Seconds since the start, for slow things: the resolution at a week is 0.1 ns.
    pub(crate) fn secs(self) -> f64 {
        self.second as f64 + self.fraction
    }
}

impl Eq for TrueTime {}

impl PartialOrd for TrueTime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TrueTime {
    fn cmp(&self, other: &Self) -> Ordering {
        self.second.cmp(&other.second).then(self.fraction.total_cmp(&other.fraction))
    }
}

/// What the oscillator does. Rates are s/s, times s.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct OscillatorSpec {
    /// Rate at the start.
    pub(crate) rate: f64,
    /// Standard deviation of the random walk's step, each second.
    pub(crate) wander: f64,
    /// Standard deviation of what is added to one second only.
    pub(crate) white: f64,
    /// Amplitude, period and phase of a sine; period 0: none.
    pub(crate) sine: (f64, f64, f64),
    /// From this second on the rate is larger by so much; 0: none.
    pub(crate) rate_step: (i64, f64),
}

/// The oscillator in one second after the other.
#[derive(Debug, Clone)]
struct Oscillator {
    spec: OscillatorSpec,
    walk: f64,
    stream: Stream,
}

impl Oscillator {
    /// The rate in this second; asked for each of them in turn.
    fn rate(&mut self, second: i64) -> f64 {
        let spec = &self.spec;
        if spec.wander > 0.0 {
            self.walk += spec.wander * self.stream.normal();
        }
        let mut rate = spec.rate + self.walk;
        if spec.white > 0.0 {
            rate += spec.white * self.stream.normal();
        }
        let (amplitude, period, phase) = spec.sine;
        if period > 0.0 {
            rate += amplitude * (TAU * second as f64 / period + phase).sin();
        }
        if spec.rate_step.0 > 0 && second >= spec.rate_step.0 {
            rate += spec.rate_step.1;
        }
        rate
    }
}

/// The clock of one host.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    at: TrueTime,
    /// Clock without its steps − true time, s.
    run: f64,
    /// Sum of all steps, ns: what CLOCK_MONOTONIC does not have.
    stepped: i64,
    /// The oscillator by itself − true time, s.
    bare: f64,
    /// `None`: it is true time.
    oscillator: Option<Oscillator>,
    /// Rate of the oscillator in this second, rate that the kernel adds, and both together.
    free_rate: f64,
    kernel_rate: f64,
    total_rate: f64,
    /// How well it does.
    pub(crate) metrics: Metrics,
}

impl Clock {
    /// A clock that is true.
    pub(crate) fn perfect() -> Self {
        Self {
            at: TrueTime::at(0),
            run: 0.0,
            stepped: 0,
            bare: 0.0,
            oscillator: None,
            free_rate: 0.0,
            kernel_rate: 0.0,
            total_rate: 0.0,
            metrics: Metrics::default(),
        }
    }

    /// A clock that starts `error` s ahead, on this oscillator.
    pub(crate) fn new(error: f64, spec: OscillatorSpec, stream: Stream, metrics: Metrics) -> Self {
        let mut oscillator = Oscillator { spec, walk: 0.0, stream };
        let free_rate = oscillator.rate(0);
        let mut clock =
            Self { run: error, oscillator: Some(oscillator), free_rate, metrics, ..Self::perfect() };
        clock.combine();
        clock
    }

    fn combine(&mut self) {
        self.total_rate = self.free_rate + self.kernel_rate + self.free_rate * self.kernel_rate;
    }

    /// Lets true time pass; each second on the way is measured.
    pub(crate) fn advance(&mut self, to: TrueTime) {
        if let Some(oscillator) = &mut self.oscillator {
            while self.at.second < to.second {
                self.run += (1.0 - self.at.fraction) * self.total_rate;
                self.bare += (1.0 - self.at.fraction) * self.free_rate;
                self.at = TrueTime::at(self.at.second + 1);
                self.metrics.sample(self.at.second, self.run + self.stepped as f64 * 1e-9, self.total_rate);
                self.free_rate = oscillator.rate(self.at.second);
                self.total_rate = self.free_rate + self.kernel_rate + self.free_rate * self.kernel_rate;
            }
            self.run += (to.fraction - self.at.fraction) * self.total_rate;
            self.bare += (to.fraction - self.at.fraction) * self.free_rate;
        }
        self.at = to;
    }

    /// What the two clocks read.
    pub(crate) fn now(&self) -> Now {
        let run = self.at.second * 1_000_000_000 + self.part();
        Now {
            clock: Timestamp::from_nanos(EPOCH + self.stepped + run),
            mono: MonoTime::from_nanos(UPTIME + run),
        }
    }

    /// What CLOCK_MONOTONIC_RAW reads: the oscillator that nobody adjusts.
    pub(crate) fn raw(&self) -> MonoTime {
        let part = ((self.at.fraction + self.bare) * 1e9).floor() as i64;
        MonoTime::from_nanos(UPTIME + self.at.second * 1_000_000_000 + part)
    }

    /// What `adjtimex` says of the rate, s/s.
    pub(crate) fn kernel_rate(&self) -> f64 {
        self.kernel_rate
    }

    /// ns of the reading beyond the true second.
    fn part(&self) -> i64 {
        ((self.at.fraction + self.run) * 1e9).floor() as i64
    }

    /// True seconds until CLOCK_MONOTONIC reads this, if the rate stays as it is; 0 when it does already.
    pub(crate) fn until(&self, mono: MonoTime) -> f64 {
        let left = mono.as_nanos() - self.now().mono.as_nanos();
        if left <= 0 {
            return 0.0;
        }
        let below = (self.at.fraction + self.run) * 1e9 - self.part() as f64;
        (left as f64 - below).max(1e-3) * 1e-9 / (1.0 + self.total_rate)
    }

    /// Clock − true time, s.
    pub(crate) fn error(&self) -> f64 {
        self.run + self.stepped as f64 * 1e-9
    }

    /// Rate of the clock against true time, slews included, s/s.
    pub(crate) fn rate_error(&self) -> f64 {
        self.total_rate
    }

    /// `adjtimex(ADJ_TICK | ADJ_FREQUENCY)`: the whole rate by tick and freq, to 2⁻¹⁶ ppm. Returns what the kernel took.
    pub(crate) fn set_rate(&mut self, rate: f64) -> f64 {
        let ppm = rate * 1e6;
        let ticks = (ppm / 100.0).round().clamp(-1000.0, 1000.0);
        let units = ((ppm - 100.0 * ticks) * 65_536.0).round().clamp(-500.0 * 65_536.0, 500.0 * 65_536.0);
        self.kernel_rate = (100.0 * ticks + units / 65_536.0) * 1e-6;
        self.combine();
        self.kernel_rate
    }

    /// A step by this many ns (ADJ_SETOFFSET, or somebody else's hand).
    pub(crate) fn step(&mut self, nanos: i64) {
        self.stepped += nanos;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ntpbox::types::TimeDelta;

    fn clock(error: f64, rate: f64) -> Clock {
        let spec = OscillatorSpec { rate, ..OscillatorSpec::default() };
        Clock::new(error, spec, Stream::new(1, 1), Metrics::default())
    }

    #[test]
    fn rates_are_what_adjtimex_can_express() {
        let mut clock = clock(0.0, 0.0);
        for (asked, taken) in [
            (0.0, 0.0),
            (1.0 / 65_536.0 * 0.6e-6, 1.0 / 65_536.0 * 1e-6),
            (49e-6, 49e-6),
            (51e-6, 51e-6),
            (0.2, 0.1005),
            (-0.2, -0.1005),
        ] {
            assert!((clock.set_rate(asked) - taken).abs() < 1e-15, "{asked}");
        }
    }

    #[test]
    fn a_timer_is_reached_and_not_before() {
        let mut clock = clock(0.25, 0.05);
        clock.set_rate(-83_333e-6);
        let due = clock.now().mono + TimeDelta::from_nanos(123_456_789_012);
        let at = TrueTime::at(0).plus(clock.until(due));
        let mut early = clock.clone();
        early.advance(TrueTime::at(0).plus(at.secs() - 2e-9));
        clock.advance(at);
        assert!(early.now().mono < due && clock.now().mono >= due);
        assert!((clock.now().mono - due).as_nanos() <= 1);
    }

    #[test]
    fn a_step_moves_one_clock_only() {
        let mut clock = clock(0.0, 0.0);
        let before = clock.now();
        clock.step(-300_000_000);
        assert_eq!((clock.now().clock - before.clock).as_nanos(), -300_000_000);
        assert_eq!(clock.now().mono, before.mono);
    }

    #[test]
    fn seconds_and_fractions_add_up() {
        let t = TrueTime::at(5).plus(0.75).plus(1.5);
        assert_eq!((t.second, t.since(TrueTime::at(7))), (7, 0.25));
        let late = TrueTime::at(400_000).plus(1e-12);
        assert!((late.since(TrueTime::at(400_000)) - 1e-12).abs() < 1e-20);
    }
}
