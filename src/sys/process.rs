//! Processes: the others by number and name; how urgent this one is, and how it ends.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

// The unwinder as part of the binary: std asks for libgcc_s.so, whose loading is a seventh of the life of `ntpdate -q` (0.13 of 0.92 ms).
// Only where panics abort: there nothing unwinds through both copies.
#[cfg(all(target_env = "gnu", panic = "abort", not(target_feature = "crt-static")))]
#[expect(unsafe_code, reason = "an extern block, though an empty one")]
#[link(name = "gcc_eh", kind = "static", modifiers = "-bundle")]
unsafe extern "C" {}

/// The numbers of all processes that we may see, ascending.
pub(super) fn numbers() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut numbers: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// The name of a process as /proc/PID/comm has it, control characters replaced by `?`; empty when it is gone.
pub fn name_of(pid: u32) -> String {
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = String::from_utf8_lossy(&name);
    name.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

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
    fn we_are_among_the_processes_and_nobody_is_not() {
        let ours = std::process::id();
        assert!(numbers().contains(&ours) && numbers().is_sorted());
        assert!(!name_of(ours).is_empty());
        assert_eq!(name_of(0), "");
    }

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
