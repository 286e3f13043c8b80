//! Layer 3: the operating system. The only module with `unsafe`, libc, nix, socket2 and files.

pub mod child;
pub mod clock;
pub mod cmdsock;
pub mod daemonize;
pub mod directory;
pub mod dns;
pub mod file;
pub mod glob;
pub mod host;
pub mod interface;
pub mod last_run;
pub mod links;
pub mod locale;
pub mod log;
pub mod logfile;
pub mod memory;
pub mod net;
pub mod ports;
pub mod process;
pub mod random;
pub mod refclock;
pub mod rtc;
pub mod service;
pub mod signal;
pub mod supervisor;
#[cfg(test)]
pub(crate) mod testing;
pub mod tty;
pub mod tz;
pub mod user;
pub mod wait;
pub mod zone;
pub mod zoneinfo;

use std::fmt;

pub use nix::errno::Errno;

/// A system call that failed: what was tried, on what, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SysError {
    /// The call, e.g. `adjtimex`.
    pub operation: &'static str,
    /// The file, address or option it was about; empty when there is none.
    pub object: String,
    /// The error number.
    pub errno: Errno,
}

impl SysError {
    /// Builds one; for `map_err`.
    pub fn new(operation: &'static str, object: impl Into<String>, errno: Errno) -> Self {
        Self { operation, object: object.into(), errno }
    }

    /// From an error of the standard library; one without a number counts as EIO.
    pub fn from_io(operation: &'static str, object: impl Into<String>, error: &std::io::Error) -> Self {
        let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        Self::new(operation, object, errno)
    }

    /// The C library's text of the error number, as `strerror` gives it.
    pub fn reason(&self) -> &'static str {
        errno_text(self.errno)
    }
}

/// The C library's text of an error number, as `strerror` gives it: nix has texts of its own ("Not a typewriter").
#[expect(unsafe_code, reason = "strerror")]
pub fn errno_text(errno: Errno) -> &'static str {
    // an unknown number's text would be in a buffer that the next call overwrites
    if errno == Errno::UnknownErrno {
        return errno.desc();
    }
    let number: i32 = errno as i32;
    // SAFETY: for a number that it knows, and in the C locale (this program calls no setlocale), the C library returns a pointer into a
    // table of its own that lives as long as the process.
    let text: &'static std::ffi::CStr = unsafe { std::ffi::CStr::from_ptr(libc::strerror(number)) };
    text.to_str().unwrap_or_else(|_| errno.desc())
}

impl fmt::Display for SysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.object.as_str() {
            "" => write!(f, "{}: {}", self.operation, self.reason()),
            object => write!(f, "{} {}: {}", self.operation, object, self.reason()),
        }
    }
}

impl std::error::Error for SysError {}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn error_texts_are_the_c_librarys() {
        assert_eq!(errno_text(Errno::ENOTTY), "Inappropriate ioctl for device");
        assert_eq!(errno_text(Errno::EIO), "Input/output error");
        let error = SysError::new("open", "/x", Errno::EBUSY);
        assert_eq!(error.to_string(), "open /x: Device or resource busy");
    }
}
