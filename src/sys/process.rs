//! This process: how urgent it is, and how it ends.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

// The unwinder as part of the binary: std asks for libgcc_s.so, whose loading is a seventh of the life of `ntpdate -q` (0.13 of 0.92 ms).
// Only where panics abort: there nothing unwinds through both copies.
#[cfg(all(target_env = "gnu", panic = "abort", not(target_feature = "crt-static")))]
#[expect(unsafe_code, reason = "an extern block, though an empty one")]
#[link(name = "gcc_eh", kind = "static", modifiers = "-bundle")]
unsafe extern "C" {}

/// Asks for more of the processor (nice < 0) or less (> 0), −20 … 19. Not being allowed to is no harm, hence no result.
#[expect(unsafe_code, reason = "setpriority is in no safe binding here")]
pub fn set_nice(nice: i32) {
    // SAFETY: three numbers.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
}

/// Dies of a signal as if it had never been caught, so that the parent sees it; returns when the signal did not kill.
#[expect(unsafe_code, reason = "sigaction with the default action installs no handler")]
pub fn die_of(signal: i32) {
    let Ok(signal) = Signal::try_from(signal) else { return };
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: SIG_DFL is no Rust code, so nothing can run in signal context.
    let _ = unsafe { sigaction(signal, &default) };
    let _ = raise(signal);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::rerun;

    #[test]
    fn a_process_can_be_made_less_urgent() {
        if rerun("sys::process::tests::a_process_can_be_made_less_urgent", &["env"]).is_some() {
            return;
        }
        set_nice(7);
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let nice = stat.rsplit(')').next().unwrap().split_ascii_whitespace().nth(16).unwrap();
        assert_eq!(nice, "7");
    }
}
