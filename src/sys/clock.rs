//! The clocks of this host: reading them is free, changing them needs a [`ClockControl`].
#![expect(unsafe_code, reason = "adjtimex and adjtime; nix has neither")]

use libc::{clockid_t, timespec};
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

use super::SysError;
use crate::types::{MonoTime, Now, TimeDelta, Timestamp};

/// Reads the adjustable clock (CLOCK_REALTIME).
pub fn now() -> Timestamp {
    read(ClockId::CLOCK_REALTIME)
}

/// Reads the clock that never steps (CLOCK_MONOTONIC); the kernel slews it together with the adjustable one.
pub fn mono() -> MonoTime {
    MonoTime::from_nanos(read(ClockId::CLOCK_MONOTONIC).as_nanos())
}

/// Reads the clock that nobody adjusts at all (CLOCK_MONOTONIC_RAW): the bare oscillator, with a zero of its own.
pub fn raw() -> MonoTime {
    MonoTime::from_nanos(read(ClockId::CLOCK_MONOTONIC_RAW).as_nanos())
}

/// Reads the clock that counts while the machine sleeps too (CLOCK_BOOTTIME); otherwise it runs as [`mono`].
pub fn boot() -> MonoTime {
    MonoTime::from_nanos(read(ClockId::CLOCK_BOOTTIME).as_nanos())
}

/// Reads both clocks as one: where something came between the readings, they are taken again.
pub fn both() -> Now {
    let mut best = (TimeDelta::MAX, Now { clock: now(), mono: mono() });
    for _ in 0..READINGS {
        let (before, clock, after) = (mono(), now(), mono());
        let apart = after - before;
        if apart < best.0 {
            best = (apart, Now { clock, mono: before + apart / 2 });
        }
        if apart <= CLOSE {
            break;
        }
    }
    best.1
}

/// Two readings that are no further apart are one.
const CLOSE: TimeDelta = TimeDelta::from_micros(5);
/// Readings of both clocks until the closest counts.
const READINGS: usize = 5;

#[inline(never)] // read at a dozen places of one round of the loop
fn read(clock: ClockId) -> Timestamp {
    // these clocks exist on every Linux; the epoch stands in for a kernel that refuses
    clock_gettime(clock).map_or(Timestamp::UNIX_EPOCH, |t| {
        Timestamp::from_unix(t.tv_sec(), u32::try_from(t.tv_nsec()).unwrap_or(0))
    })
}

/// The right to change the adjustable clock, as a value: whoever has none cannot reach the calls.
///
/// Only code that was told to set the clock acquires one (`ntpdate` without `-q` and `-d`, the daemon without `-x`, `hwclock -s`);
/// it is handed down from there. Whether the kernel agrees (CAP_SYS_TIME) shows at the first call.
#[derive(Debug)]
pub struct ClockControl {
    _only_acquired: (),
}

impl ClockControl {
    /// Takes the right. Called where the command line was understood, and nowhere else.
    pub fn acquire() -> Self {
        Self { _only_acquired: () }
    }

    /// Adds `delta` to the clock at once, to the nanosecond: by the kernel itself (ADJ_SETOFFSET), so that no time is lost between
    /// reading and setting; where that is refused, by `clock_settime`.
    ///
    /// # Errors
    /// `clock_settime`: EPERM without CAP_SYS_TIME; EINVAL for a time before 1970 or before the boot's own zero, or after 2232.
    pub fn step(&self, delta: TimeDelta) -> Result<(), SysError> {
        match inject(delta) {
            Ok(()) => return Ok(()),
            Err(Errno::EPERM) => return Err(SysError::new("clock_settime", "", Errno::EPERM)),
            Err(_) => {}
        }
        let target = now() + delta;
        let time = timespec { tv_sec: target.secs(), tv_nsec: i64::from(target.subsec_nanos()) };
        // SAFETY: the pointer lives through the call.
        let result = unsafe { libc::clock_settime(CLOCK_REALTIME, &raw const time) };
        Errno::result(result).map(drop).map_err(|e| SysError::new("clock_settime", "", e))
    }

    /// Lets the kernel work `delta` off at 500 ppm, as `adjtime` does, after the process has ended too; it replaces what is left of
    /// an earlier slew. Resolution 1 µs, rounded to nearest.
    ///
    /// # Errors
    /// `adjtime`: EPERM without CAP_SYS_TIME; EINVAL beyond ±2145 s.
    pub fn slew(&self, delta: TimeDelta) -> Result<(), SysError> {
        let micros = delta.as_nanos().saturating_add(500).div_euclid(1000);
        let step =
            libc::timeval { tv_sec: micros.div_euclid(1_000_000), tv_usec: micros.rem_euclid(1_000_000) };
        let mut step = normalised(step);
        // glibc refuses what does not fit 32 bits of µs less a margin of 2 s; musl does not look
        if (micros / 1_000_000).abs() > MAX_SLEW_SECS {
            return Err(SysError::new("adjtime", "", Errno::EINVAL));
        }
        // SAFETY: the first pointer lives through the call, the second may be null.
        let result = unsafe { libc::adjtime(&raw mut step, std::ptr::null_mut()) };
        Errno::result(result).map(drop).map_err(|e| SysError::new("adjtime", "", e))
    }
}

/// How often the clock is read to see its precision.
const STEPS: usize = 200;

/// The clock's precision: the smallest step seen between two readings of it, s, from 1 ns to 1 s.
pub fn precision() -> f64 {
    let mut least = TimeDelta::from_secs(1);
    let mut before = now();
    for _ in 0..STEPS {
        let after = now();
        if after > before {
            least = least.min(after - before);
        }
        before = after;
    }
    least.as_secs_f64().max(1e-9)
}

/// What the daemon tells the kernel about the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockStatus {
    /// Whether the clock counts as synchronised (STA_UNSYNC off; the kernel then copies the time to the RTC every 11 minutes).
    pub synchronised: bool,
    /// Leap second at the end of the UTC day: +1 inserts, −1 deletes.
    pub leap: i32,
    /// Bound on the error, ≥ 0.
    pub max_error: TimeDelta,
    /// Estimated error, ≥ 0.
    pub est_error: TimeDelta,
}

impl ClockControl {
    /// Sets the rate by one call: µs per tick and 2⁻¹⁶ ppm (> 0 speeds the clock up), as `adjtimex(ADJ_TICK|ADJ_FREQUENCY)`.
    /// Answers what the kernel accepted.
    ///
    /// # Errors
    /// `adjtimex`: EPERM without CAP_SYS_TIME, EINVAL beyond ±10 %.
    pub fn set_rate(&self, tick_us: i32, freq: i32) -> Result<(i32, i32), SysError> {
        let mut t = empty_timex();
        t.modes = libc::ADJ_TICK | libc::ADJ_FREQUENCY;
        t.tick = i64::from(tick_us);
        t.freq = i64::from(freq);
        adjust(&mut t)?;
        Ok((i32::try_from(t.tick).unwrap_or(tick_us), i32::try_from(t.freq).unwrap_or(freq)))
    }

    /// Takes the clock over: whatever else the kernel was doing to it (its PLL, an `adjtime` slew) is switched off.
    ///
    /// # Errors
    /// `adjtimex`: EPERM without CAP_SYS_TIME.
    pub fn take_over(&self) -> Result<(), SysError> {
        // a PLL offset can only be cleared while the PLL is on
        let mut t = empty_timex();
        t.modes = libc::ADJ_OFFSET | libc::ADJ_STATUS;
        t.status = libc::STA_PLL | libc::STA_UNSYNC;
        adjust(&mut t)?;
        let mut t = empty_timex();
        t.modes = libc::ADJ_STATUS;
        t.status = libc::STA_UNSYNC;
        adjust(&mut t)?;
        let mut t = empty_timex();
        t.modes = ADJ_OFFSET_SINGLESHOT;
        adjust(&mut t)
    }

    /// Tells the kernel how good the clock is.
    ///
    /// # Errors
    /// `adjtimex`: EPERM without CAP_SYS_TIME.
    pub fn set_status(&self, status: &ClockStatus) -> Result<(), SysError> {
        let mut t = empty_timex();
        t.modes = libc::ADJ_STATUS | libc::ADJ_ESTERROR | libc::ADJ_MAXERROR;
        t.status = if status.synchronised { 0 } else { libc::STA_UNSYNC };
        t.status |= match status.leap {
            1 => libc::STA_INS,
            -1 => libc::STA_DEL,
            _ => 0,
        };
        t.maxerror = status.max_error.as_nanos() / 1000;
        t.esterror = status.est_error.as_nanos() / 1000;
        adjust(&mut t)
    }

    /// Sets TAI − UTC, s.
    ///
    /// # Errors
    /// `adjtimex`: EPERM without CAP_SYS_TIME.
    pub fn set_tai(&self, offset: i32) -> Result<(), SysError> {
        let mut t = empty_timex();
        t.modes = libc::ADJ_TAI;
        t.constant = i64::from(offset);
        adjust(&mut t)
    }
}

/// What the kernel's clock is set to: µs per tick, 2⁻¹⁶ ppm (> 0 speeds it up), and whether it is slewed as well, by the kernel's
/// PLL or by `adjtime`. Needs no privilege.
///
/// # Errors
/// `adjtimex`: ENOSYS or EPERM in a sandbox.
pub fn registers() -> Result<(i32, i32, bool), SysError> {
    let mut t = empty_timex();
    t.modes = ADJ_OFFSET_SS_READ;
    adjust(&mut t)?;
    // the answer to that question has the PLL's status, and in place of its offset what adjtime has left to do
    let slewing = t.offset != 0 || t.status & libc::STA_PLL != 0;
    let number = |value: i64| i32::try_from(value).unwrap_or(i32::MAX);
    Ok((number(t.tick), number(t.freq), slewing))
}

/// Reads what `adjtime` has left to do.
const ADJ_OFFSET_SS_READ: u32 = 0xa001;
/// The old `adjtime` slew in `adjtimex`'s terms (0x8001).
const ADJ_OFFSET_SINGLESHOT: u32 = 0x8001;

fn adjust(t: &mut libc::timex) -> Result<(), SysError> {
    let modes = t.modes;
    // SAFETY: the pointer lives through the call.
    Errno::result(unsafe { libc::adjtimex(t) })
        .map(drop)
        .map_err(|e| SysError::new("adjtimex", format!("{modes:#x}"), e))
}

/// The largest whole seconds of a slew: 2³¹ µs less 2 s, as glibc's adjtime has it.
const MAX_SLEW_SECS: i64 = 2145;
const CLOCK_REALTIME: clockid_t = libc::CLOCK_REALTIME;

/// Both members with one sign, as glibc's adjtime adds them up: −0.3 s is (0, −300000).
fn normalised(t: libc::timeval) -> libc::timeval {
    if t.tv_sec < 0 && t.tv_usec > 0 {
        return libc::timeval { tv_sec: t.tv_sec + 1, tv_usec: t.tv_usec - 1_000_000 };
    }
    t
}

fn inject(delta: TimeDelta) -> Result<(), Errno> {
    let mut request = empty_timex();
    request.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
    // the kernel wants the fraction positive
    request.time.tv_sec = delta.as_nanos().div_euclid(1_000_000_000);
    request.time.tv_usec = delta.as_nanos().rem_euclid(1_000_000_000);
    // SAFETY: the pointer lives through the call.
    Errno::result(unsafe { libc::adjtimex(&raw mut request) }).map(drop)
}

fn empty_timex() -> libc::timex {
    // SAFETY: timex is plain numbers.
    unsafe { std::mem::zeroed() }
}

/// The state of the kernel's clock discipline, as `adjtimex` shows it to everybody.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelClock {
    /// Remaining phase correction of the kernel's PLL; > 0: the clock is being moved forward.
    pub offset: TimeDelta,
    /// Rate correction in ppm (resolution 2⁻¹⁶); **> 0: the kernel speeds the clock up**, because the bare clock is slow.
    /// The sign is the kernel's, the opposite of [`crate::types::Frequency`].
    pub correction_ppm: f64,
    /// Maximum error, grown by the kernel at 500 ppm.
    pub max_error: TimeDelta,
    /// Estimated error.
    pub est_error: TimeDelta,
    /// STA_ bits.
    pub status: i32,
    /// PLL time constant, log2 s (of 16 s when STA_NANO is off).
    pub time_constant: i64,
    /// Precision of the clock.
    pub precision: TimeDelta,
    /// Largest rate correction that the kernel accepts, in ppm.
    pub tolerance_ppm: f64,
    /// Length of a clock tick in µs, 10 000 on a clock without correction (USER_HZ = 100).
    pub tick_us: i64,
    /// TAI − UTC in s; 0: nobody told the kernel.
    pub tai: i32,
    /// PPS statistics, all 0 without a PPS signal.
    pub pps: PpsClock,
    /// Return value of the call: TIME_OK 0, TIME_INS 1, TIME_DEL 2, TIME_OOP 3, TIME_WAIT 4, TIME_ERROR 5 (not synchronised).
    pub state: i32,
}

/// The kernel's PPS discipline.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PpsClock {
    /// Measured rate correction in ppm, sign as [`KernelClock::correction_ppm`].
    pub correction_ppm: f64,
    /// Jitter of the pulses.
    pub jitter: TimeDelta,
    /// Calibration interval, log2 s.
    pub shift: i32,
    /// Stability in ppm.
    pub stability_ppm: f64,
    /// Jitter limit exceeded, times.
    pub jitter_exceeded: i64,
    /// Calibration intervals.
    pub calibrations: i64,
    /// Calibration errors.
    pub errors: i64,
    /// Stability limit exceeded, times.
    pub stability_exceeded: i64,
}

impl KernelClock {
    /// Whether the kernel counts the clock as synchronised (STA_UNSYNC is off).
    pub fn is_synchronised(&self) -> bool {
        self.status & libc::STA_UNSYNC == 0
    }
}

/// Reads the kernel's clock discipline; needs no privilege.
///
/// # Errors
/// `adjtimex`: ENOSYS or EPERM in a sandbox.
pub fn kernel() -> Result<KernelClock, SysError> {
    let mut t = empty_timex();
    // SAFETY: the pointer lives through the call; with modes 0 it only reads.
    let state =
        Errno::result(unsafe { libc::adjtimex(&raw mut t) }).map_err(|e| SysError::new("adjtimex", "", e))?;
    let fine = |value: i64| {
        if t.status & libc::STA_NANO != 0 {
            TimeDelta::from_nanos(value)
        } else {
            TimeDelta::from_micros(value)
        }
    };
    Ok(KernelClock {
        offset: fine(t.offset),
        correction_ppm: scaled_ppm(t.freq),
        max_error: TimeDelta::from_micros(t.maxerror),
        est_error: TimeDelta::from_micros(t.esterror),
        status: t.status,
        time_constant: t.constant,
        precision: TimeDelta::from_micros(t.precision),
        tolerance_ppm: scaled_ppm(t.tolerance),
        tick_us: t.tick,
        tai: t.tai,
        pps: PpsClock {
            correction_ppm: scaled_ppm(t.ppsfreq),
            jitter: fine(t.jitter),
            shift: t.shift,
            stability_ppm: scaled_ppm(t.stabil),
            jitter_exceeded: t.jitcnt,
            calibrations: t.calcnt,
            errors: t.errcnt,
            stability_exceeded: t.stbcnt,
        },
        state,
    })
}

/// ppm of a number in 2⁻¹⁶ ppm (±2³¹ at most; the kernel's own limit is 500 ppm).
fn scaled_ppm(scaled: i64) -> f64 {
    let clamped = scaled.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
    f64::from(i32::try_from(clamped).unwrap_or(0)) / 65536.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{rerun, without_clock_rights};
    use crate::sys::user::{Capability, has_capability};

    #[test]
    fn precision_is_that_of_a_clock() {
        assert!((1e-9..=1.0).contains(&precision()), "{}", precision());
    }

    #[test]
    fn clocks_run_forward() {
        let (clock, mono_before, raw_before) = (now(), mono(), raw());
        assert!(clock > Timestamp::from_unix(1_700_000_000, 0));
        assert!(mono() >= mono_before && raw() >= raw_before);
    }

    #[test]
    fn the_kernel_state_is_read_without_privilege() {
        let k = kernel().unwrap();
        assert!((9_000..=11_000).contains(&k.tick_us), "{k:?}");
        assert!(k.tolerance_ppm >= 500.0, "{k:?}");
        assert!(k.correction_ppm.abs() <= k.tolerance_ppm);
        assert_eq!(k.is_synchronised(), k.state != 5);
    }

    #[test]
    fn a_scaled_frequency_is_in_ppm() {
        assert!((scaled_ppm(-65_536 * 12 - 32_768) + 12.5).abs() < 1e-12);
    }

    #[test]
    fn both_members_of_a_small_negative_slew_have_one_sign() {
        let t = normalised(libc::timeval { tv_sec: -1, tv_usec: 700_000 });
        assert_eq!((t.tv_sec, t.tv_usec), (0, -300_000));
        let t = normalised(libc::timeval { tv_sec: -3, tv_usec: 0 });
        assert_eq!((t.tv_sec, t.tv_usec), (-3, 0));
    }

    #[test]
    fn without_the_right_both_calls_say_not_permitted_and_the_clock_stays() {
        let name = "sys::clock::tests::without_the_right_both_calls_say_not_permitted_and_the_clock_stays";
        let Some(prefix) = without_clock_rights() else { return };
        if rerun(name, &prefix).is_some() {
            return;
        }
        assert!(!has_capability(Capability::SysTime), "never with the right to set the clock");
        let control = ClockControl::acquire();
        let step = control.step(TimeDelta::from_nanos(1)).unwrap_err();
        assert_eq!(step.to_string(), "clock_settime: Operation not permitted");
        let slew = control.slew(TimeDelta::from_micros(1)).unwrap_err();
        assert_eq!(slew.to_string(), "adjtime: Operation not permitted");
    }

    #[test]
    fn a_slew_beyond_the_limit_is_refused_before_the_kernel_is_asked() {
        let control = ClockControl::acquire();
        for secs in [2146, -2146, i64::MAX] {
            let error = control.slew(TimeDelta::from_secs(secs)).unwrap_err();
            assert_eq!(error.to_string(), "adjtime: Invalid argument");
        }
    }
}
