//! Leaving the terminal: the parent waits until the daemon runs, then returns; and the file that says which process it is.
#![expect(unsafe_code, reason = "fork: the child is single-threaded and goes on as the daemon")]

use std::ffi::OsString;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
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
            let heard = fs::File::from(hear).read(&mut word);
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
        fs::File::from(self.tell).write_all(&[1]).map_err(|e| SysError::from_io("write", "pipe", &e))
    }
}

/// The pid file of a running daemon; removed by [`PidFile::remove`], at the latest when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

/// Why there is no pid file of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotClaimed {
    /// This process has it.
    Running(i32),
    /// It cannot be made (`open`, `write`, `link`) or an old one cannot be removed (`unlink`).
    Failed(SysError),
}

/// The process that a pid file names, if it runs and is another than this one: in a container that is started again both
/// have the same number.
pub fn running(path: &Path) -> Option<i32> {
    let text = file::read_bounded(path, 64).ok()?;
    let pid: i32 = String::from_utf8_lossy(&text).trim().parse().ok().filter(|pid| *pid > 0)?;
    if Pid::from_raw(pid) == Pid::this() {
        return None;
    }
    // a process that we may not signal runs too
    matches!(kill(Pid::from_raw(pid), None), Ok(()) | Err(Errno::EPERM)).then_some(pid)
}

impl PidFile {
    /// Writes our pid, mode 0644, in place of a file whose process is gone. Of two that claim it at once one gets it.
    /// A link is replaced, never followed: its folder may belong to the user that the daemon runs as.
    ///
    /// # Errors
    /// [`NotClaimed`].
    pub fn claim(path: &Path) -> Result<Self, NotClaimed> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let failed = |operation| {
            let object = path.display().to_string();
            move |e: io::Error| NotClaimed::Failed(SysError::from_io(operation, object, &e))
        };
        if let Some(pid) = running(&path) {
            return Err(NotClaimed::Running(pid));
        }
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}", std::process::id()));
        let temporary = path.with_file_name(name);
        let _ = fs::remove_file(&temporary);
        let made = write_pid(&temporary).map_err(failed("open")).and_then(|()| {
            // a link, not a rename: it fails where somebody was faster
            for _ in 0..2 {
                match fs::hard_link(&temporary, &path) {
                    Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                    // a file system without links
                    Err(e) if matches!(e.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP)) => {
                        return fs::rename(&temporary, &path).map_err(failed("rename"));
                    }
                    result => return result.map_err(failed("link")),
                }
                if let Some(pid) = running(&path) {
                    return Err(NotClaimed::Running(pid));
                }
                fs::remove_file(&path).map_err(failed("unlink"))?;
            }
            Err(failed("link")(ErrorKind::AlreadyExists.into()))
        });
        let _ = fs::remove_file(&temporary);
        made.map(|()| Self { path: path.clone() })
    }

    /// Removes it.
    ///
    /// # Errors
    /// `unlink`: after privileges were given up it may not be ours to remove; the next start replaces a stale one.
    pub fn remove(self) -> Result<(), SysError> {
        let removed = fs::remove_file(&self.path);
        let object = self.path.display().to_string();
        std::mem::forget(self);
        removed.map_err(|e| SysError::from_io("unlink", object, &e))
    }
}

/// A new file with our pid that everybody may read, whatever the umask.
fn write_pid(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_names_a_running_process_or_none() {
        let path = std::env::temp_dir().join(format!("ntpbox-pid-{}", std::process::id()));
        assert_eq!(running(&path), None);
        let file = PidFile::claim(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
        assert_eq!(running(&path), None, "ourselves");
        let parent = std::os::unix::process::parent_id();
        fs::write(&path, format!("{parent}\n")).unwrap();
        assert_eq!(running(&path), i32::try_from(parent).ok());
        assert_eq!(PidFile::claim(&path).unwrap_err(), NotClaimed::Running(i32::try_from(parent).unwrap()));
        fs::write(&path, "999999999\n").unwrap();
        assert_eq!(running(&path), None);
        fs::write(&path, "garbage").unwrap();
        assert_eq!(running(&path), None);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_planted_link_is_replaced_and_not_followed() {
        let dir = std::env::temp_dir().join(format!("ntpbox-pid-link-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (path, target) = (dir.join("d.pid"), dir.join("shadow"));
        fs::write(&target, "root's").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let file = PidFile::claim(&path).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read_to_string(&target).unwrap(), "root's");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "nothing is left beside it");
        file.remove().unwrap();
        fs::create_dir(&path).unwrap();
        let error = PidFile::claim(&path).unwrap_err();
        assert!(matches!(&error, NotClaimed::Failed(e) if e.operation == "unlink"), "{error:?}");
        let error = PidFile::claim(&dir.join("none/d.pid")).unwrap_err();
        assert!(matches!(&error, NotClaimed::Failed(e) if e.errno == Errno::ENOENT), "{error:?}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
