//! The host as `timedatectl` sees it: a root directory, clocks, and other programs, behind one trait, so that tests bring
//! a host of their own and nothing on the real one is touched.

#[cfg(test)]
pub(crate) mod fake;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use super::clock::{self, ClockControl, KernelClock};
use super::user::{Capability, has_capability};
use super::{SysError, rtc};
use crate::types::Timestamp;
use crate::types::rtc::RtcFields;

/// Where an RTC may be, in the order in which they are tried.
const RTC_DEVICES: &[&str] = &["/dev/rtc", "/dev/rtc0", "/dev/misc/rtc"];

/// What a program answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Exit code; −1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Exit code 0.
    pub fn is_success(&self) -> bool {
        self.code == 0
    }
}

/// What can be asked of a host and done to it.
pub trait Host {
    /// All files are below this directory; `/` on the real host.
    fn root(&self) -> &Path;
    /// The system clock.
    fn now(&self) -> Timestamp;
    /// The kernel's clock discipline.
    ///
    /// # Errors
    /// Of `adjtimex`.
    fn kernel(&self) -> Result<KernelClock, SysError>;
    /// Sets the system clock.
    ///
    /// # Errors
    /// Of `clock_settime`: EPERM, EINVAL.
    fn set_clock(&mut self, control: &ClockControl, to: Timestamp) -> Result<(), SysError>;
    /// Tells the kernel the zone, minutes west of UTC, without ever warping the clock.
    ///
    /// # Errors
    /// Of `settimeofday`: EPERM, EINVAL.
    fn set_kernel_zone(&mut self, control: &ClockControl, minutes_west: i32) -> Result<(), SysError>;
    /// Reads the RTC: its registers as if they were UTC, s since 1970.
    ///
    /// # Errors
    /// ENOENT: there is none; EBUSY: somebody holds it; EINVAL: it has no valid time.
    fn read_rtc(&mut self) -> Result<i64, SysError>;
    /// Sets the RTC's registers to what UTC shows at this second.
    ///
    /// # Errors
    /// As [`Host::read_rtc`], and EACCES.
    fn write_rtc(&mut self, control: &ClockControl, as_if_utc: i64) -> Result<(), SysError>;
    /// Whether the caller may change the host's time: root, or a holder of CAP_SYS_TIME.
    fn may_set_time(&self) -> bool;
    /// Runs a program to its end, without input.
    ///
    /// # Errors
    /// ENOENT when there is no such program.
    fn run(&mut self, words: &[&str]) -> Result<Ran, SysError>;
    /// The program that a process runs; `None` without such a process (or without the right to see it).
    fn executable_of(&self, pid: i32) -> Option<PathBuf>;
    /// Our own program.
    fn own_executable(&self) -> Option<PathBuf>;
    /// Asks a process to end and waits for that.
    ///
    /// # Errors
    /// Of `kill`; ETIMEDOUT when it does not end.
    fn terminate(&mut self, pid: i32) -> Result<(), SysError>;
    /// Columns of the terminal behind standard output.
    fn terminal_columns(&self) -> Option<usize>;
    /// Sleeps.
    fn pause(&mut self, time: Duration);
}

/// The host that we run on.
#[derive(Debug)]
pub struct RealHost {
    root: PathBuf,
}

impl RealHost {
    /// The whole file system.
    #[expect(clippy::new_without_default, reason = "the real host is asked for by name")]
    pub fn new() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

/// What a program writes, in a file without a name; nothing where the kernel has no such files.
struct Collected(Option<File>);

/// More than this of a program's output is not read.
const MAX_OUTPUT: u64 = 1 << 20;

impl Collected {
    fn new() -> Self {
        Self(memfd_create("output", MFdFlags::MFD_CLOEXEC).ok().map(File::from))
    }

    fn stdio(&self) -> Stdio {
        let copy = self.0.as_ref().and_then(|file| file.try_clone().ok());
        copy.map_or_else(Stdio::null, Stdio::from)
    }

    fn text(&mut self) -> String {
        let mut bytes = Vec::new();
        if let Some(file) = &mut self.0 {
            let _ = file.seek(SeekFrom::Start(0));
            let _ = file.take(MAX_OUTPUT).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// How long a process may take to end.
const END_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn open_rtc() -> Result<rtc::Device, SysError> {
    let mut first = None;
    for device in RTC_DEVICES {
        match rtc::Device::open(device) {
            Err(error) if error.errno == Errno::ENOENT => first = first.or(Some(error)),
            other => return other,
        }
    }
    Err(first.unwrap_or_else(|| SysError::new("open", "/dev/rtc", Errno::ENOENT)))
}

/// What /sys shows of the first RTC's registers, as if they were UTC, s since 1970.
fn shown_in_sys() -> Option<i64> {
    std::fs::read_to_string("/sys/class/rtc/rtc0/since_epoch").ok()?.trim().parse().ok()
}

impl Host for RealHost {
    fn root(&self) -> &Path {
        &self.root
    }

    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn kernel(&self) -> Result<KernelClock, SysError> {
        clock::kernel()
    }

    fn set_clock(&mut self, control: &ClockControl, to: Timestamp) -> Result<(), SysError> {
        control.step(to - clock::now())
    }

    fn set_kernel_zone(&mut self, control: &ClockControl, minutes_west: i32) -> Result<(), SysError> {
        // the first call since boot moves the clock by its argument; a zero uses that up
        rtc::set_kernel_zone(control, 0)?;
        if minutes_west == 0 { Ok(()) } else { rtc::set_kernel_zone(control, minutes_west) }
    }

    fn read_rtc(&mut self) -> Result<i64, SysError> {
        match open_rtc() {
            // the device is root's, its reading in /sys is everybody's
            Err(error) if error.errno == Errno::EACCES => shown_in_sys().ok_or(error),
            device => Ok(device?.read()?.to_unix_utc()),
        }
    }

    fn write_rtc(&mut self, control: &ClockControl, as_if_utc: i64) -> Result<(), SysError> {
        let fields = RtcFields::from_unix(as_if_utc, 0);
        let fields = fields.ok_or_else(|| SysError::new("ioctl", "RTC_SET_TIME", Errno::EINVAL))?;
        open_rtc()?.set(control, &fields)
    }

    fn may_set_time(&self) -> bool {
        geteuid().is_root() || has_capability(Capability::SysTime)
    }

    fn run(&mut self, words: &[&str]) -> Result<Ran, SysError> {
        let (program, rest) = words.split_first().unwrap_or((&"", &[]));
        // files, not pipes: a daemon that was started keeps its end of a pipe open for ever
        let (mut out, mut err) = (Collected::new(), Collected::new());
        let mut command = Command::new(program);
        command.args(rest).stdin(Stdio::null()).stdout(out.stdio()).stderr(err.stdio());
        let status = command.status().map_err(|error| SysError::from_io("execute", *program, &error))?;
        Ok(Ran { code: status.code().unwrap_or(-1), stdout: out.text(), stderr: err.text() })
    }

    fn executable_of(&self, pid: i32) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{pid}/exe")).ok()
    }

    fn own_executable(&self) -> Option<PathBuf> {
        std::env::current_exe().ok()
    }

    fn terminate(&mut self, pid: i32) -> Result<(), SysError> {
        let target = Pid::from_raw(pid);
        let failed = |errno| SysError::new("kill", pid.to_string(), errno);
        kill(target, Signal::SIGTERM).map_err(failed)?;
        let mut waited = Duration::ZERO;
        while kill(target, None).is_ok() {
            if waited >= END_WITHIN {
                return Err(failed(Errno::ETIMEDOUT));
            }
            self.pause(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
        Ok(())
    }

    #[expect(unsafe_code, reason = "TIOCGWINSZ has no safe wrapper in nix")]
    fn terminal_columns(&self) -> Option<usize> {
        // SAFETY: winsize is plain numbers, and the pointer lives through the call.
        let size = unsafe {
            let mut size: libc::winsize = std::mem::zeroed();
            Errno::result(libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size)).ok()?;
            size
        };
        (size.ws_col > 0).then_some(usize::from(size.ws_col))
    }

    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}
