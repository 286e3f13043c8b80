//! Caught signals: flags that a loop looks at when a wait was interrupted.
//!
//! No signalfd and no pipe (portable-io.md). A signal that arrives between the look at the flags and the wait would be slept
//! over; so the handler arms `alarm(1)`, whose SIGALRM interrupts that wait a second later, again until the flags were taken.
//! SIGPIPE stays ignored, as Rust's runtime leaves it.
#![expect(unsafe_code, reason = "a signal handler; it only touches atomics and calls alarm(2)")]

use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::SysError;

/// Bit n: signal n was caught and not yet taken.
static CAUGHT: AtomicU64 = AtomicU64::new(0);

/// Catches these signals from now on; system calls are interrupted by them (no SA_RESTART).
///
/// # Errors
/// `sigaction`: EINVAL for SIGKILL and SIGSTOP.
pub fn catch(signals: &[Signal]) -> Result<(), SysError> {
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::empty());
    for &signal in signals.iter().chain([&Signal::SIGALRM]) {
        // SAFETY: the handler is async-signal-safe: an atomic, alarm, and errno as it was.
        unsafe { sigaction(signal, &action) }.map_err(|e| SysError::new("sigaction", signal.as_str(), e))?;
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

    use nix::sys::signal::raise;

    use super::*;
    use crate::sys::wait::{Woken, wait};

    #[test]
    fn a_caught_signal_is_pending_until_taken_and_wakes_a_wait_that_began_too_late() {
        catch(&[Signal::SIGUSR2]).unwrap();
        raise(Signal::SIGUSR2).unwrap();
        assert_eq!(pending(), Some(Signal::SIGUSR2));
        // the alarm may be delivered to any thread of the test binary: block it everywhere else is not ours to do, so only
        // the flag is looked at here, and the wait in a child below
        assert_eq!(take(), Some(Signal::SIGUSR2));
        assert_eq!(take(), None);
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        assert!(
            wait(&[reader.as_fd()], Some(crate::types::MonoTime::ZERO)).unwrap() != Woken::Ready(vec![0])
        );
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
