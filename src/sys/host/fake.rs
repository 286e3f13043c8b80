//! A host for tests: a temporary directory, clocks that are numbers, and programs that are a closure.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Host, Ran};
use crate::sys::SysError;
use crate::sys::clock::{ClockControl, KernelClock, PpsClock};
use crate::types::{TimeDelta, Timestamp};
use nix::errno::Errno;

/// What a program does: `None` when there is no such program.
pub(crate) type Programs = Box<dyn FnMut(&[&str]) -> Option<Ran>>;

/// A host of which everything is known.
pub(crate) struct FakeHost {
    root: PathBuf,
    pub(crate) now: Timestamp,
    pub(crate) max_error: TimeDelta,
    pub(crate) status: i32,
    /// Registers as if UTC, or why they cannot be read.
    pub(crate) rtc: Result<i64, Errno>,
    pub(crate) privileged: bool,
    pub(crate) kernel_zone: Option<i32>,
    pub(crate) programs: Programs,
    /// Every program run, words joined by blanks.
    pub(crate) calls: Vec<String>,
    pub(crate) executables: BTreeMap<i32, PathBuf>,
    pub(crate) columns: Option<usize>,
    /// What setting the clock says.
    pub(crate) clock_error: Option<Errno>,
}

/// Exit code 0 with this text.
pub(crate) fn said(stdout: &str) -> Option<Ran> {
    Some(Ran { code: 0, stdout: stdout.into(), stderr: String::new() })
}

/// A failure with a line on stderr.
pub(crate) fn complained(code: i32, stderr: &str) -> Option<Ran> {
    Some(Ran { code, stdout: String::new(), stderr: stderr.into() })
}

impl FakeHost {
    /// A host with the fixtures' zones, no services, and an RTC that keeps UTC.
    pub(crate) fn new(unix: i64) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("ntpbox-host-{}-{number}", std::process::id()));
        let share = root.join("usr/share");
        fs::create_dir_all(&share).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        let zones = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/zoneinfo");
        std::os::unix::fs::symlink(zones, share.join("zoneinfo")).unwrap();
        Self {
            root,
            now: Timestamp::from_unix(unix, 0),
            max_error: TimeDelta::from_secs(16),
            status: libc::STA_UNSYNC,
            rtc: Ok(unix),
            privileged: true,
            kernel_zone: None,
            programs: Box::new(|_| None),
            calls: Vec::new(),
            executables: BTreeMap::new(),
            columns: None,
            clock_error: None,
        }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    pub(crate) fn set_zone(&self, target: &str) {
        let _ = fs::remove_file(self.root.join("etc/localtime"));
        std::os::unix::fs::symlink(target, self.root.join("etc/localtime")).unwrap();
    }

    pub(crate) fn zone_link(&self) -> Option<String> {
        Some(fs::read_link(self.root.join("etc/localtime")).ok()?.to_string_lossy().into_owned())
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl Host for FakeHost {
    fn root(&self) -> &Path {
        &self.root
    }
    fn now(&self) -> Timestamp {
        self.now
    }
    fn kernel(&self) -> Result<KernelClock, SysError> {
        Ok(KernelClock {
            offset: TimeDelta::ZERO,
            correction_ppm: 0.0,
            max_error: self.max_error,
            est_error: TimeDelta::ZERO,
            status: self.status,
            time_constant: 7,
            precision: TimeDelta::from_micros(1),
            tolerance_ppm: 500.0,
            tick_us: 10_000,
            tai: 0,
            pps: PpsClock::default(),
            state: 0,
        })
    }
    fn set_clock(&mut self, _: &ClockControl, to: Timestamp) -> Result<(), SysError> {
        if let Some(errno) = self.clock_error {
            return Err(SysError::new("clock_settime", "", errno));
        }
        self.now = to;
        Ok(())
    }
    fn set_kernel_zone(&mut self, _: &ClockControl, minutes_west: i32) -> Result<(), SysError> {
        self.kernel_zone = Some(minutes_west);
        Ok(())
    }
    fn read_rtc(&mut self) -> Result<i64, SysError> {
        self.rtc.map_err(|errno| SysError::new("open", "/dev/rtc", errno))
    }
    fn write_rtc(&mut self, _: &ClockControl, as_if_utc: i64) -> Result<(), SysError> {
        self.rtc.map_err(|errno| SysError::new("open", "/dev/rtc", errno))?;
        self.rtc = Ok(as_if_utc);
        Ok(())
    }
    fn may_set_time(&self) -> bool {
        self.privileged
    }
    fn run(&mut self, words: &[&str]) -> Result<Ran, SysError> {
        self.calls.push(words.join(" "));
        (self.programs)(words).ok_or_else(|| SysError::new("execute", words.join(" "), Errno::ENOENT))
    }
    fn executable_of(&self, pid: i32) -> Option<PathBuf> {
        self.executables.get(&pid).cloned()
    }
    fn own_executable(&self) -> Option<PathBuf> {
        Some(PathBuf::from("/usr/bin/ntpbox"))
    }
    fn terminate(&mut self, pid: i32) -> Result<(), SysError> {
        self.calls.push(format!("kill {pid}"));
        self.executables.remove(&pid);
        Ok(())
    }
    fn terminal_columns(&self) -> Option<usize> {
        self.columns
    }
    fn pause(&mut self, _: Duration) {}
}
