//! Caught signals: flags that a loop looks at when a wait was interrupted.
//!
//! No signalfd and no pipe (portable-io.md). A signal that arrives between [`super::wait`]'s look at the flags and its `select`
//! would be slept over; so the handler arms `alarm(1)`, whose SIGALRM interrupts that wait a second later, again until the flags were taken.
//! SIGPIPE stays ignored, as Rust's runtime leaves it.
#![expect(unsafe_code, reason = "a signal handler; it only touches atomics and calls alarm(2)")]

use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
pub use nix::sys::signal::Signal;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, sigaction};

use super::SysError;

/// Bit n: signal n was caught and not yet taken.
static CAUGHT: AtomicU64 = AtomicU64::new(0);

/// Catches these signals from now on; system calls are interrupted by them (no SA_RESTART). What our parent had ignored
/// (`nohup`, a shell's `&`) stays ignored, as it does for a program that catches nothing.
///
/// # Errors
/// `sigaction`: EINVAL for SIGKILL and SIGSTOP.
pub fn catch(signals: &[Signal]) -> Result<(), SysError> {
    install(signals, true)
}

/// As [`catch`], for a daemon: also what our parent had ignored.
///
/// # Errors
/// As [`catch`].
pub fn catch_always(signals: &[Signal]) -> Result<(), SysError> {
    install(signals, false)
}

fn install(signals: &[Signal], keep_ignored: bool) -> Result<(), SysError> {
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::empty());
    for &signal in signals.iter().chain([&Signal::SIGALRM]) {
        // SAFETY: the handler is async-signal-safe: an atomic, alarm, and errno as it was.
        let old = unsafe { sigaction(signal, &action) };
        let old = old.map_err(|e| SysError::new("sigaction", signal.as_str(), e))?;
        if keep_ignored && matches!(old.handler(), SigHandler::SigIgn) && signal != Signal::SIGALRM {
            ignore(&[signal])?;
        }
    }
    Ok(())
}

/// Leaves these signals without effect.
///
/// # Errors
/// As [`catch`].
pub fn ignore(signals: &[Signal]) -> Result<(), SysError> {
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for &signal in signals {
        // SAFETY: SIG_IGN runs no code of ours.
        unsafe { sigaction(signal, &action) }.map_err(|e| SysError::new("sigaction", signal.as_str(), e))?;
    }
    Ok(())
}

/// A caught signal that was not taken yet; it stays so. The lowest number first.
pub fn pending() -> Option<Signal> {
    lowest(CAUGHT.load(Ordering::Relaxed))
}

/// Takes one caught signal, the lowest number first.
pub fn take() -> Option<Signal> {
    let signal = pending()?;
    CAUGHT.fetch_and(!bit(signal as i32), Ordering::Relaxed);
    Some(signal)
}

fn lowest(bits: u64) -> Option<Signal> {
    i32::try_from(bits.trailing_zeros()).ok().and_then(|n| Signal::try_from(n).ok())
}

const fn bit(signal: i32) -> u64 {
    if signal >= 0 && signal < 64 { 1 << signal } else { 0 }
}

extern "C" fn note(signal: i32) {
    let errno = Errno::last_raw();
    if signal != libc::SIGALRM {
        CAUGHT.fetch_or(bit(signal), Ordering::Relaxed);
    }
    if CAUGHT.load(Ordering::Relaxed) != 0 {
        // SAFETY: alarm is async-signal-safe (POSIX) and takes a number.
        unsafe { libc::alarm(1) };
    }
    Errno::set_raw(errno);
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::testing::rerun;
    use crate::sys::wait::{Woken, wait};

    /// In a child: signals and alarms belong to the process, and other tests share this one. Raised, not sent: another thread would take
    /// a signal of the process when it is scheduled.
    #[test]
    fn a_signal_before_the_wait_still_ends_it() {
        if rerun("sys::signal::tests::a_signal_before_the_wait_still_ends_it", &["env"]).is_some() {
            return;
        }
        // a shell's job in the background has SIGINT ignored
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            // SAFETY: the default runs no code of ours.
            unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }.unwrap();
        }
        catch(&[Signal::SIGTERM, Signal::SIGINT]).unwrap();
        ignore(&[Signal::SIGHUP]).unwrap();
        catch(&[Signal::SIGHUP]).unwrap();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            nix::sys::signal::raise(signal).unwrap();
        }
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        assert_eq!(wait(&[reader.as_fd()], None).unwrap(), Woken::Signal);
        assert_eq!((pending(), take()), (Some(Signal::SIGINT), Some(Signal::SIGINT)));
        assert_eq!((take(), take()), (Some(Signal::SIGTERM), None));
        catch_always(&[Signal::SIGHUP]).unwrap();
        nix::sys::signal::raise(Signal::SIGHUP).unwrap();
        assert_eq!(take(), Some(Signal::SIGHUP));
        // SAFETY: a number in, a number out.
        assert!(unsafe { libc::alarm(0) } > 0, "the alarm that ends a select that began too late");
    }

    #[test]
    fn a_wait_is_ended_by_the_signal() {
        if rerun("sys::signal::tests::a_wait_is_ended_by_the_signal", &["env"]).is_some() {
            return;
        }
        catch(&[Signal::SIGTERM]).unwrap();
        // SAFETY: it only names this thread.
        let me = unsafe { libc::pthread_self() };
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        let deadline = crate::sys::clock::mono() + crate::types::TimeDelta::from_secs(20);
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // SAFETY: that thread waits for the end of this scope.
                    unsafe { libc::pthread_kill(me, libc::SIGTERM) };
                    std::thread::yield_now();
                }
            });
            let woken = wait(&[reader.as_fd()], Some(deadline)).unwrap();
            stop.store(true, Ordering::Relaxed);
            assert_eq!(woken, Woken::Signal);
        });
        assert_eq!(pending(), Some(Signal::SIGTERM));
    }

    #[test]
    fn what_cannot_be_caught_is_an_error() {
        let error = catch(&[Signal::SIGKILL]).unwrap_err();
        assert_eq!(error.to_string(), "sigaction SIGKILL: Invalid argument");
    }

    #[test]
    fn the_lowest_number_comes_first() {
        assert_eq!(lowest(bit(15) | bit(2)), Some(Signal::SIGINT));
        assert_eq!(lowest(0), None);
        assert_eq!((bit(-1), bit(64)), (0, 0));
    }
}
