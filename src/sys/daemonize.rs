//! Leaving the terminal: the parent waits until the daemon runs, then returns; and the file that says which process it is.
#![expect(unsafe_code, reason = "fork: the child is single-threaded and goes on as the daemon")]

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe, setsid};

use super::{SysError, file};

/// On which side of the fork we are.
#[derive(Debug)]
pub enum Side {
    /// The process that was started: it ends with this exit code.
    Parent(u8),
    /// The daemon, still with the terminal's streams.
    Daemon(Starting),
}

/// A daemon that has not yet said that it runs.
#[derive(Debug)]
pub struct Starting {
    tell: OwnedFd,
}

/// Forks. The parent returns when the daemon has called [`Starting::runs`] (0) or has ended (1).
///
/// # Errors
/// `pipe`, `fork`, `setsid`.
pub fn detach() -> Result<Side, SysError> {
    let (hear, tell) = pipe().map_err(|e| SysError::new("pipe", "", e))?;
    // SAFETY: no other thread runs yet, so the child's memory is consistent.
    match unsafe { fork() }.map_err(|e| SysError::new("fork", "", e))? {
        ForkResult::Parent { .. } => {
            drop(tell);
            let mut word = [0; 1];
            let heard = std::fs::File::from(hear).read(&mut word);
            Ok(Side::Parent(u8::from(!matches!(heard, Ok(1)))))
        }
        ForkResult::Child => {
            drop(hear);
            setsid().map_err(|e| SysError::new("setsid", "", e))?;
            Ok(Side::Daemon(Starting { tell }))
        }
    }
}

impl Starting {
    /// The daemon runs: it leaves the working directory and the terminal's streams, and the parent ends with 0.
    ///
    /// # Errors
    /// `open`, `dup2` of /dev/null, `chdir`.
    pub fn runs(self) -> Result<(), SysError> {
        let null = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")
            .map_err(|e| SysError::from_io("open", "/dev/null", &e))?;
        let fd = null.as_fd();
        chdir("/").map_err(|e| SysError::new("chdir", "/", e))?;
        for result in [dup2_stdin(fd), dup2_stdout(fd), dup2_stderr(fd)] {
            result.map_err(|e| SysError::new("dup2", "/dev/null", e))?;
        }
        std::fs::File::from(self.tell).write_all(&[1]).map_err(|e| SysError::from_io("write", "pipe", &e))
    }
}

/// The pid file of a running daemon; removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

/// The process that a pid file names, if it runs.
pub fn running(path: &Path) -> Option<i32> {
    let text = file::read_bounded(path, 64).ok()?;
    let pid: i32 = String::from_utf8_lossy(&text).trim().parse().ok().filter(|pid| *pid > 0)?;
    // a process that we may not signal runs too
    matches!(kill(Pid::from_raw(pid), None), Ok(()) | Err(Errno::EPERM)).then_some(pid)
}

impl PidFile {
    /// Writes our pid, mode 0644.
    ///
    /// # Errors
    /// Those of [`file::replace`].
    pub fn write(path: &Path) -> Result<Self, SysError> {
        file::replace(path, format!("{}\n", std::process::id()).as_bytes(), 0o644)?;
        Ok(Self { path: path.to_owned() })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // after privileges were given up it may not be ours to remove; the next start replaces a stale one
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_names_a_running_process_or_none() {
        let path = std::env::temp_dir().join(format!("ntpbox-pid-{}", std::process::id()));
        assert_eq!(running(&path), None);
        let file = PidFile::write(&path).unwrap();
        assert_eq!(running(&path), i32::try_from(std::process::id()).ok());
        std::fs::write(&path, "999999999\n").unwrap();
        assert_eq!(running(&path), None);
        std::fs::write(&path, "garbage").unwrap();
        assert_eq!(running(&path), None);
        drop(file);
        assert!(!path.exists());
    }
}
