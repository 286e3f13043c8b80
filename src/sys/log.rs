//! Logs of daemons: syslog(3), a file, standard error.
#![expect(unsafe_code, reason = "openlog and syslog are C variadics with static state")]

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{SysError, clock};
use crate::types::civil;

/// Severity; smaller is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// The process ends because of it.
    Critical = libc::LOG_CRIT,
    /// Something failed for good.
    Error = libc::LOG_ERR,
    /// Something is wrong, work goes on.
    Warning = libc::LOG_WARNING,
    /// What the user asked to know.
    Notice = libc::LOG_NOTICE,
    /// Detail.
    Info = libc::LOG_INFO,
    /// Trace.
    Debug = libc::LOG_DEBUG,
}

/// The connection to the system's log, facility daemon, with our pid. There is one per process: a second one replaces the first.
#[derive(Debug)]
pub struct Syslog {
    reachable: bool,
}

impl Syslog {
    /// Opens the log at once, so that it works after privileges and the file system's root are gone too.
    /// Lines below `lowest` are dropped. A NUL in the name ends it.
    pub fn open(ident: &str, lowest: Level) -> Self {
        let ident = CString::new(ident.split('\0').next().unwrap_or_default()).unwrap_or_default();
        // SAFETY: the C library keeps the pointer, hence the name is leaked: some bytes once per process.
        unsafe { libc::openlog(ident.into_raw(), libc::LOG_PID | libc::LOG_NDELAY, libc::LOG_DAEMON) };
        // SAFETY: a number in, a number out. LOG_UPTO(p) is the mask of all levels up to p.
        unsafe { libc::setlogmask((1 << (lowest as i32 + 1)) - 1) };
        Self { reachable: listener_at("/dev/log") }
    }

    /// Whether somebody listened at /dev/log when it was opened; if not, lines vanish silently (containers).
    pub fn is_reachable(&self) -> bool {
        self.reachable
    }

    /// Logs one line. It is data, never a format; control characters become blanks.
    pub fn line(&self, level: Level, text: &str) {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let Ok(text) = CString::new(text) else { return };
        // SAFETY: the format takes exactly one string, which lives through the call.
        unsafe { libc::syslog(level as i32, c"%s".as_ptr(), text.as_ptr()) };
    }
}

/// `2010-01-01T00:00:00Z text`: a line where nobody else notes the time.
pub fn dated(text: &str) -> String {
    let now = civil::rfc3339(clock::now());
    format!("{}Z {text}", now.get(..19).unwrap_or(&now))
}

/// Where the lines of a daemon go.
#[derive(Debug)]
pub enum DaemonLog {
    /// Standard error, dated. The least level.
    Console(Level),
    /// A file, dated.
    File(File, Level),
    /// The system's log; it knows the least level.
    System(Syslog),
}

impl DaemonLog {
    /// Appends to a file, mode 0640 when it is new.
    ///
    /// # Errors
    /// `open`.
    pub fn file(path: &Path, lowest: Level) -> Result<Self, SysError> {
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path);
        let file = file.map_err(|e| SysError::from_io("open", path.display().to_string(), &e))?;
        Ok(Self::File(file, lowest))
    }

    /// One line, control characters as blanks. What cannot be written is lost: a full disk takes the log, not the service.
    pub fn line(&self, level: Level, text: &str) {
        let (mut sink, lowest): (Box<dyn Write + '_>, _) = match self {
            Self::System(syslog) => return syslog.line(level, text),
            Self::Console(lowest) => (Box::new(std::io::stderr()), *lowest),
            Self::File(file, lowest) => (Box::new(file), *lowest),
        };
        if level <= lowest {
            let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = sink.write_all(format!("{}\n", dated(&text)).as_bytes());
        }
    }
}

/// Whether a daemon listens on a Unix socket, datagram or stream.
fn listener_at(path: &str) -> bool {
    let Ok(address) = SockAddr::unix(path) else { return false };
    [Type::DGRAM, Type::STREAM].into_iter().any(|kind| {
        let Ok(probe) = Socket::new_raw(Domain::UNIX, kind, None) else { return false };
        // SAFETY: the address is good for its length.
        let result = unsafe { libc::connect(probe.as_raw_fd(), address.as_ptr().cast(), address.len()) };
        Errno::result(result).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::sys::testing::{own_network, rerun};

    /// In a child with a /dev of its own.
    #[test]
    fn lines_arrive_as_they_are_with_level_name_and_pid() {
        let Some(prefix) = own_network("mount -t tmpfs ntpbox-test /dev && mknod -m 666 /dev/null c 1 3")
        else {
            return;
        };
        let name = "sys::log::tests::lines_arrive_as_they_are_with_level_name_and_pid";
        if rerun(name, &prefix).is_some() {
            return;
        }
        assert!(!Syslog::open("nobody", Level::Info).is_reachable());
        let daemon = UnixDatagram::bind("/dev/log").unwrap();
        let log = Syslog::open("ntpdate", Level::Info);
        assert!(log.is_reachable());
        log.line(Level::Debug, "below the lowest level");
        log.line(Level::Error, "100%s %n\n\u{1b}[0m done");
        log.line(Level::Notice, "step");
        let mut buffer = [0; 512];
        let mut next = || {
            let len = daemon.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..len]).into_owned()
        };
        let (error, notice) = (next(), next());
        let pid = std::process::id();
        // LOG_DAEMON is 3 << 3; LOG_ERR 3, LOG_NOTICE 5
        assert!(error.starts_with("<27>"), "{error}");
        assert!(error.ends_with(&format!(" ntpdate[{pid}]: 100%s %n  [0m done")), "{error}");
        assert!(
            notice.starts_with("<29>") && notice.ends_with(&format!(" ntpdate[{pid}]: step")),
            "{notice}"
        );
    }

    #[test]
    fn a_log_file_is_appended_to_by_level() {
        let path = std::env::temp_dir().join(format!("ntpbox-daemon-log-{}", std::process::id()));
        std::fs::write(&path, "old\n").unwrap();
        let log = DaemonLog::file(&path, Level::Warning).unwrap();
        log.line(Level::Info, "not this");
        log.line(Level::Warning, "this\nin one line");
        log.line(Level::Critical, "and this");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (3, "old"));
        assert_eq!((&lines[1][19..], &lines[2][19..]), ("Z this in one line", "Z and this"));
        std::fs::remove_file(&path).unwrap();
        let error = DaemonLog::file(Path::new("/no-such-directory/log"), Level::Info).unwrap_err();
        assert_eq!(error.errno, Errno::ENOENT);
        DaemonLog::file(Path::new("/dev/full"), Level::Info).unwrap().line(Level::Error, "lost");
    }

    #[test]
    fn a_listener_is_told_from_a_dead_socket() {
        let dir = std::env::temp_dir().join(format!("ntpbox-log-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("log");
        let text = path.to_str().unwrap();
        assert!(!listener_at(text));
        let listener = UnixDatagram::bind(&path).unwrap();
        assert!(listener_at(text));
        drop(listener);
        assert!(!listener_at(text));
        let stream = std::os::unix::net::UnixListener::bind(dir.join("stream")).unwrap();
        assert!(listener_at(dir.join("stream").to_str().unwrap()));
        drop(stream);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
