//! Processes: the others by number and name; how urgent this one is, and how it ends.

use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

use super::SysError;

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

/// Runs before all ordinary processes, round by round with those of the same real-time priority (SCHED_FIFO), 1 … 99.
///
/// # Errors
/// `sched_setscheduler`: EPERM without CAP_SYS_NICE, EINVAL for another number.
#[expect(unsafe_code, reason = "sched_setscheduler is in no safe binding here")]
pub fn set_realtime(priority: i32) -> Result<(), SysError> {
    // SAFETY: plain old data of integers.
    let mut wanted: libc::sched_param = unsafe { std::mem::zeroed() };
    wanted.sched_priority = priority;
    // SAFETY: two numbers and a struct that lives through the call.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const wanted) };
    Errno::result(result).map(drop).map_err(|e| SysError::new("sched_setscheduler", priority.to_string(), e))
}

/// Keeps the memory of this process out of the swap, also what it maps later; each page once it is touched, where the
/// kernel can do that (4.4), so that a table that is mapped in full and used in part does not cost its full size.
///
/// # Errors
/// `setrlimit`, `mlockall`: EPERM without CAP_SYS_RESOURCE or CAP_IPC_LOCK.
#[expect(unsafe_code, reason = "mlockall is in no safe binding here")]
pub fn lock_memory() -> Result<(), SysError> {
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)
        .map_err(|e| SysError::new("setrlimit", "RLIMIT_MEMLOCK", e))?;
    // linux/mman.h; not in every libc crate's targets
    const MCL_ONFAULT: i32 = 4;
    let all = libc::MCL_CURRENT | libc::MCL_FUTURE;
    for flags in [all | MCL_ONFAULT, all] {
        // SAFETY: a number.
        match Errno::result(unsafe { libc::mlockall(flags) }) {
            Err(Errno::EINVAL) => {}
            result => return result.map(drop).map_err(|e| SysError::new("mlockall", "", e)),
        }
    }
    Err(SysError::new("mlockall", "", Errno::EINVAL))
}

/// Whether a process runs the very file that we run, by whatever name.
pub fn is_our_program(pid: u32) -> bool {
    let program = |who: &str| std::fs::metadata(format!("/proc/{who}/exe")).map(|m| (m.dev(), m.ino())).ok();
    program("self").is_some_and(|own| program(&pid.to_string()) == Some(own))
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
        assert!(is_our_program(ours) && !is_our_program(0) && !is_our_program(1));
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

    /// In a child: both would hold for all tests of this process.
    #[test]
    fn real_time_and_locked_memory_are_had_or_refused_with_a_reason() {
        let name = "sys::process::tests::real_time_and_locked_memory_are_had_or_refused_with_a_reason";
        if rerun(name, &["env"]).is_some() {
            return;
        }
        assert_eq!(set_realtime(1000).unwrap_err().errno, Errno::EINVAL);
        match lock_memory() {
            Ok(()) => {
                let status = std::fs::read_to_string("/proc/self/status").unwrap();
                let locked = status.lines().find_map(|l| l.strip_prefix("VmLck:")).unwrap().trim().to_owned();
                assert_ne!(locked, "0 kB");
            }
            Err(error) => assert_eq!(error.errno, Errno::EPERM, "{error}"),
        }
        match set_realtime(1) {
            Ok(()) => {
                let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
                let after = stat.rsplit(')').next().unwrap();
                let fields: Vec<&str> = after.split_ascii_whitespace().collect();
                // rt_priority and policy are fields 40 and 41 of proc(5), two of which stand before the bracket
                assert_eq!((fields[37], fields[38]), ("1", "1"));
            }
            Err(error) => assert_eq!(error.errno, Errno::EPERM, "{error}"),
        }
    }
}
