//! The hardware clock: `/dev/rtcN` (linux/rtc.h), its driver's name in sysfs, and the kernel's idea of the time zone.

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
pub mod isa;

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::clock::ClockControl;
use super::{SysError, process};
use crate::types::rtc::RtcFields;

/// Where RTCs are looked for, in this order (util-linux 2.41).
pub const DEVICES: [&str; 3] = ["/dev/rtc0", "/dev/rtc", "/dev/misc/rtc"];

/// The longest driver name that is read.
const NAME_LIMIT: u64 = 128;

/// `struct rtc_time`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct KernelTime {
    sec: i32,
    min: i32,
    hour: i32,
    mday: i32,
    mon: i32,
    year: i32,
    wday: i32,
    yday: i32,
    isdst: i32,
}

/// `struct rtc_param`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct KernelParam {
    param: u64,
    value: u64,
    index: u32,
    pad: u32,
}

mod ioctl {
    use super::{KernelParam, KernelTime};

    nix::ioctl_none!(uie_on, b'p', 0x03);
    nix::ioctl_none!(uie_off, b'p', 0x04);
    nix::ioctl_read!(rd_time, b'p', 0x09, KernelTime);
    nix::ioctl_write_ptr!(set_time, b'p', 0x0a, KernelTime);
    nix::ioctl_read!(vl_read, b'p', 0x13, u32);
    nix::ioctl_none!(vl_clr, b'p', 0x14);
    // declared as a write by the kernel, which answers in the same structure
    nix::ioctl_readwrite_bad!(
        param_get,
        nix::request_code_write!(b'p', 0x13, size_of::<KernelParam>()),
        KernelParam
    );
    nix::ioctl_write_ptr!(param_set, b'p', 0x14, KernelParam);
}

/// An open RTC device. The kernel lets one process at a time hold it: open late, drop early.
#[derive(Debug)]
pub struct Device {
    file: File,
    path: String,
}

impl Device {
    /// Opens the device for reading, which is all that setting needs too.
    ///
    /// # Errors
    /// `EBUSY` while another process holds it, `EACCES`, `ENOENT` …
    pub fn open(path: &str) -> Result<Self, SysError> {
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_CLOEXEC)
            .open(path)
            .map_err(|e| SysError::from_io("open", path, &e))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// The name that it was opened by.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The number of the file descriptor, for messages.
    pub fn descriptor(&self) -> i32 {
        self.file.as_raw_fd()
    }

    fn error(&self, operation: &'static str, errno: Errno) -> SysError {
        SysError::new(operation, self.path.as_str(), errno)
    }

    /// Reads the registers.
    ///
    /// # Errors
    /// `ENOTTY` if it is no RTC, `EINVAL` if the registers hold no date.
    #[expect(unsafe_code, reason = "ioctl")]
    pub fn read(&self) -> Result<RtcFields, SysError> {
        let mut t = KernelTime::default();
        // SAFETY: the kernel fills a `struct rtc_time`, which `KernelTime` is.
        unsafe { ioctl::rd_time(self.file.as_raw_fd(), &raw mut t) }
            .map_err(|errno| self.error("RTC_RD_TIME", errno))?;
        Ok(RtcFields {
            second: t.sec,
            minute: t.min,
            hour: t.hour,
            day: t.mday,
            month0: t.mon,
            years_since_1900: t.year,
            weekday: t.wday,
            day_of_year: t.yday,
            dst: t.isdst,
        })
    }

    /// Sets the registers, at once.
    ///
    /// # Errors
    /// `EACCES` without CAP_SYS_TIME, `EINVAL` for a date that the chip cannot hold.
    #[expect(unsafe_code, reason = "ioctl")]
    pub fn set(&self, _: &ClockControl, fields: &RtcFields) -> Result<(), SysError> {
        let t = KernelTime {
            sec: fields.second,
            min: fields.minute,
            hour: fields.hour,
            mday: fields.day,
            mon: fields.month0,
            year: fields.years_since_1900,
            wday: fields.weekday,
            yday: fields.day_of_year,
            isdst: fields.dst,
        };
        // SAFETY: the kernel reads a `struct rtc_time`, which `KernelTime` is.
        unsafe { ioctl::set_time(self.file.as_raw_fd(), &raw const t) }
            .map_err(|errno| self.error("RTC_SET_TIME", errno))?;
        Ok(())
    }

    /// Switches the update interrupt, which makes the device readable at each tick.
    ///
    /// # Errors
    /// `EINVAL` or `ENOTTY` where the chip has none.
    #[expect(unsafe_code, reason = "ioctl")]
    pub fn set_update_interrupt(&self, on: bool) -> Result<(), SysError> {
        let fd = self.file.as_raw_fd();
        // SAFETY: these requests take no argument.
        let result = unsafe { if on { ioctl::uie_on(fd) } else { ioctl::uie_off(fd) } };
        result.map_err(|errno| self.error(if on { "RTC_UIE_ON" } else { "RTC_UIE_OFF" }, errno))?;
        Ok(())
    }

    /// Waits until the device is readable: `false` when the time is up. Does not read it.
    ///
    /// # Errors
    /// `EINTR` on a signal.
    pub fn wait_readable(&self, limit: Duration) -> Result<bool, SysError> {
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        poll(&mut fds, limit).map(|ready| ready > 0).map_err(|errno| self.error("poll", errno))
    }

    /// Takes the interrupts that made the device readable.
    ///
    /// # Errors
    /// What the device says.
    pub fn take_interrupt(&self) -> Result<(), SysError> {
        // an `unsigned long`: how many, and of what kind
        let mut word = [0; size_of::<libc::c_ulong>()];
        let taken = (&self.file).read(&mut word);
        taken.map(drop).map_err(|e| SysError::from_io("read", self.path.as_str(), &e))
    }

    /// Reads a parameter (RTC_PARAM_GET).
    ///
    /// # Errors
    /// `EINVAL` if the driver does not have it.
    #[expect(unsafe_code, reason = "ioctl")]
    pub fn parameter(&self, param: u64, index: u32) -> Result<u64, SysError> {
        let mut p = KernelParam { param, index, ..Default::default() };
        // SAFETY: the kernel reads and fills a `struct rtc_param`, which `KernelParam` is.
        unsafe { ioctl::param_get(self.file.as_raw_fd(), &raw mut p) }
            .map_err(|errno| self.error("RTC_PARAM_GET", errno))?;
        Ok(p.value)
    }

    /// Sets a parameter (RTC_PARAM_SET).
    ///
    /// # Errors
    /// `EINVAL` if the driver does not have it or not such a value, `EACCES` without CAP_SYS_TIME.
    #[expect(unsafe_code, reason = "ioctl")]
    pub fn set_parameter(
        &self,
        _: &ClockControl,
        param: u64,
        index: u32,
        value: u64,
    ) -> Result<(), SysError> {
        let p = KernelParam { param, value, index, pad: 0 };
        // SAFETY: the kernel reads a `struct rtc_param`, which `KernelParam` is.
        unsafe { ioctl::param_set(self.file.as_raw_fd(), &raw const p) }
            .map_err(|errno| self.error("RTC_PARAM_SET", errno))?;
        Ok(())
    }

    /// Reads the voltage-low bits (RTC_VL_READ).
    ///
    /// # Errors
    /// `ENOTTY` if the driver does not have them.
    #[expect(unsafe_code, reason = "ioctl")]
    pub fn voltage_low(&self) -> Result<u32, SysError> {
        let mut bits = 0_u32;
        // SAFETY: the kernel fills a 32-bit integer.
        unsafe { ioctl::vl_read(self.file.as_raw_fd(), &raw mut bits) }
            .map_err(|errno| self.error("RTC_VL_READ", errno))?;
        Ok(bits)
    }

    /// Clears the voltage-low bits (RTC_VL_CLR).
    ///
    /// # Errors
    /// `ENOTTY` if the driver cannot.
    #[expect(unsafe_code, reason = "ioctl")]
    pub fn clear_voltage_low(&self) -> Result<(), SysError> {
        // SAFETY: this request takes no argument.
        unsafe { ioctl::vl_clr(self.file.as_raw_fd()) }.map_err(|errno| self.error("RTC_VL_CLR", errno))?;
        Ok(())
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The first word of `/sys/class/rtc/NAME/name` for the last component of a device's path as it was given (links are not followed,
/// as in the original): the driver. `None` if nobody knows.
pub fn driver_name(path: &str) -> Option<String> {
    let base = path.rsplit('/').next().filter(|base| !base.is_empty() && !base.starts_with('.'))?;
    let mut text = Vec::new();
    let file = File::open(format!("/sys/class/rtc/{base}/name")).ok()?;
    file.take(NAME_LIMIT).read_to_end(&mut text).ok()?;
    let word = text.split(|&b| matches!(b, b' ' | b'\n')).next().unwrap_or_default();
    Some(String::from_utf8_lossy(word).into_owned())
}

/// A process that has a device open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name (`/proc/PID/comm`), without control characters.
    pub name: String,
}

/// Which processes hold a character device: a scan of `/proc/PID/fd`. Only root sees the processes of others.
pub fn holders(path: &str) -> Vec<Holder> {
    let Some(device) = std::fs::metadata(path).ok().filter(|m| m.file_type().is_char_device()) else {
        return Vec::new();
    };
    let holds = |pid: u32| {
        let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        entries.filter_map(Result::ok).any(|entry| {
            std::fs::metadata(entry.path())
                .is_ok_and(|m| m.file_type().is_char_device() && m.rdev() == device.rdev())
        })
    };
    let others = process::numbers().into_iter().filter(|&pid| pid != std::process::id() && holds(pid));
    others.map(|pid| Holder { pid, name: process::name_of(pid) }).collect()
}

/// `struct timezone`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct KernelZone {
    minutes_west: i32,
    dst_time: i32,
}

/// The zone that the kernel keeps: minutes **west** of UTC.
///
/// # Errors
/// What the system call says.
#[expect(unsafe_code, reason = "the C library's wrapper does not hand out the zone")]
pub fn kernel_zone() -> Result<i32, SysError> {
    let mut zone = KernelZone::default();
    let no_time = std::ptr::null_mut::<libc::timeval>();
    // SAFETY: the kernel fills a `struct timezone`, which `KernelZone` is; a null time is allowed.
    let result = unsafe { libc::syscall(libc::SYS_gettimeofday, no_time, &raw mut zone) };
    Errno::result(result).map_err(|errno| SysError::new("gettimeofday", "", errno))?;
    Ok(zone.minutes_west)
}

/// Sets the zone that the kernel keeps (minutes **west** of UTC, at most ±900), and nothing else in this call.
///
/// The first such call after boot does more: unless it is 0, the system clock is moved by that many minutes and the kernel takes the RTC for
/// local time. A call with 0 first locks that for good.
///
/// # Errors
/// `EPERM` without CAP_SYS_TIME, `EINVAL` beyond ±15 h.
#[expect(unsafe_code, reason = "the C library's wrapper does not pass the zone on")]
pub fn set_kernel_zone(_: &ClockControl, minutes_west: i32) -> Result<(), SysError> {
    let zone = KernelZone { minutes_west, dst_time: 0 };
    let no_time = std::ptr::null::<libc::timeval>();
    // SAFETY: the kernel reads a `struct timezone`, which `KernelZone` is; a null time is allowed.
    let result = unsafe { libc::syscall(libc::SYS_settimeofday, no_time, &raw const zone) };
    Errno::result(result).map_err(|errno| SysError::new("settimeofday", "", errno))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that the specification lists for x86-64 and aarch64 (§10.1).
    #[test]
    fn structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<KernelTime>(), 36);
        assert_eq!(size_of::<KernelParam>(), 24);
        assert_eq!(size_of::<KernelZone>(), 8);
        assert_eq!(nix::request_code_read!(b'p', 0x09, size_of::<KernelTime>()), 0x8024_7009);
        assert_eq!(nix::request_code_write!(b'p', 0x0a, size_of::<KernelTime>()), 0x4024_700a);
        assert_eq!(nix::request_code_write!(b'p', 0x13, size_of::<KernelParam>()), 0x4018_7013);
        assert_eq!(nix::request_code_none!(b'p', 0x03), 0x7003);
    }

    #[test]
    fn a_file_that_is_no_rtc_says_so() {
        let device = Device::open("/dev/null").unwrap();
        assert_eq!(device.read().unwrap_err().errno, Errno::ENOTTY);
        assert_eq!(device.set_update_interrupt(true).unwrap_err().errno, Errno::ENOTTY);
        assert_eq!(device.parameter(0, 0).unwrap_err().errno, Errno::ENOTTY);
        assert_eq!(device.voltage_low().unwrap_err().errno, Errno::ENOTTY);
        assert_eq!(Device::open("/nope/rtc").unwrap_err().errno, Errno::ENOENT);
    }

    #[test]
    fn the_holder_of_a_device_is_found() {
        let mut child = std::process::Command::new("sleep")
            .arg("30")
            .stdin(File::open("/dev/full").unwrap())
            .spawn()
            .unwrap();
        let found = holders("/dev/full").into_iter().find(|h| h.pid == child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.is_some());
        assert_eq!(holders("/nope"), []);
    }

    #[test]
    fn odd_device_names_have_no_driver() {
        for path in ["", "/", "rtc0/..", "/dev/nope"] {
            assert_eq!(driver_name(path), None, "{path}");
        }
    }

    #[test]
    fn the_kernels_zone_can_be_read() {
        assert!(kernel_zone().unwrap().abs() <= 900);
    }
}
