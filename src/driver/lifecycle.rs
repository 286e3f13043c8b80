//! A daemon's life, the same for `chronyd` and `ntpd`: background, log, pid file, folders, urgency, user, readiness, end.
//!
//! The order: [`Life::begin`] → configuration → [`Life::user`] → [`Life::make_directory`] → [`Life::claim`] → [`Life::hurry`]
//! → sockets → [`Life::become_user`] → key files → [`Life::ready`] → the loop → [`Life::end`].
//! Texts are chronyd 4.9's (daemon-surface 3, 6).

use std::path::{Path, PathBuf};

use crate::sys::daemonize::{NotClaimed, PidFile, Side, Starting, detach};
use crate::sys::directory::{self, Unfit, Wish};
use crate::sys::log::{DaemonLog, Level, Syslog, dated};
use crate::sys::process;
use crate::sys::signal::{self, Signal};
use crate::sys::supervisor::Supervisor;
use crate::sys::user::{self, Capability, User};
use crate::sys::{Errno, SysError};

/// Real-time priorities that may be asked for; 0: none.
const PRIORITIES: std::ops::RangeInclusive<i32> = 0..=99;
/// The most that a private folder may allow.
const PRIVATE: u32 = 0o770;

/// How the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// In the background, log to syslog.
    Daemon,
    /// In the foreground, log to syslog.
    Foreground,
    /// In the foreground, log to standard error.
    Debug,
}

/// Why the daemon does not run: the line without `Fatal error : `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fatal(pub String);

impl From<SysError> for Fatal {
    fn from(error: SysError) -> Self {
        Self(error.to_string())
    }
}

/// What is known before the configuration is read.
#[derive(Debug)]
pub struct Opening<'a> {
    /// The name in the system's log.
    pub name: &'a str,
    /// How it runs.
    pub ground: Ground,
    /// A file instead of standard error and the system's log.
    pub log_file: Option<&'a Path>,
    /// The least level that is logged.
    pub lowest: Level,
    /// Who is told.
    pub supervisor: Supervisor,
}

/// On which side of the fork we are.
#[derive(Debug)]
pub enum Begun {
    /// The process that was started: it ends with this exit code.
    Parent(u8),
    /// The daemon.
    Daemon(Life),
}

/// A daemon that lives.
#[derive(Debug)]
pub struct Life {
    ground: Ground,
    log: DaemonLog,
    supervisor: Supervisor,
    starting: Option<Starting>,
    pid_file: Option<PidFile>,
}

impl Life {
    /// Goes to the background if asked for, opens the log, and from now on catches SIGHUP, SIGINT, SIGQUIT and SIGTERM and
    /// ignores SIGUSR1 and SIGUSR2.
    ///
    /// # Errors
    /// The log file cannot be opened; no process can be made.
    pub fn begin(opening: Opening<'_>) -> Result<Begun, Fatal> {
        let mut starting = None;
        if opening.ground == Ground::Daemon {
            match detach()? {
                Side::Parent(code) => return Ok(Begun::Parent(code)),
                Side::Daemon(side) => starting = Some(side),
            }
        }
        let Opening { name, ground, log_file, lowest, supervisor } = opening;
        let log = match (log_file, ground) {
            (Some(path), _) => DaemonLog::file(path, lowest).map_err(|e| {
                let fatal = could_not_open(path, &e);
                console(&on_console(ground, &fatal));
                fatal
            })?,
            (None, Ground::Debug) => DaemonLog::Console(lowest),
            (None, _) => DaemonLog::System(Syslog::open(name, lowest)),
        };
        // a signal that cannot be caught kills as ever
        let _ = signal::catch_always(&[Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM]);
        let _ = signal::ignore(&[Signal::SIGUSR1, Signal::SIGUSR2]);
        Ok(Begun::Daemon(Self { ground, log, supervisor, starting, pid_file: None }))
    }

    /// Logs a line.
    pub fn line(&self, level: Level, text: &str) {
        self.log.line(level, text);
    }

    /// Logs why it ends, also to whoever started it.
    pub fn fatal(&self, fatal: &Fatal) {
        self.line(Level::Critical, &format!("Fatal error : {}", fatal.0));
        let seen = match (self.ground, &self.log) {
            (_, DaemonLog::Console(_)) | (Ground::Foreground | Ground::Debug, DaemonLog::File(..)) => true,
            // the parent waits with its standard error, which is ours
            (Ground::Daemon, _) | (_, DaemonLog::System(_)) => false,
        };
        if !seen {
            console(&on_console(self.ground, fatal));
        }
    }

    /// The user to become: the one that is named, else the first of `defaults` that exists; `None`: stay who we are.
    ///
    /// # Errors
    /// The named user does not exist; the user database cannot be read.
    pub fn user(&self, named: Option<&str>, defaults: &[&str]) -> Result<Option<User>, Fatal> {
        let found = match named {
            Some(name) => {
                let unknown = || Fatal(format!("Could not get user/group ID of {name}"));
                Some(user::find_user(name)?.ok_or_else(unknown)?)
            }
            None => defaults.iter().find_map(|name| user::find_user(name).ok().flatten()),
        };
        Ok(found)
    }

    /// Makes a folder for the user, with a line in the log when that fails.
    pub fn make_directory(&self, path: &Path, user: Option<&User>) {
        let (uid, gid) = numbers(user);
        if let Err(why) = directory::make(path, uid, gid) {
            self.line(Level::Error, &unfit_text(path, &why));
        }
    }

    /// Whether a socket may be made at this path: its folder must be the user's own and closed to others.
    /// If not, the log says why and that the socket is disabled.
    pub fn may_hold_socket(&self, path: &Path, user: Option<&User>) -> bool {
        let (uid, gid) = numbers(user);
        let directory = path.parent().unwrap_or(Path::new("/"));
        let Err(why) = directory::check(directory, PRIVATE, uid, gid) else { return true };
        self.line(Level::Warning, &unfit_text(directory, &why));
        self.line(Level::Warning, &format!("Disabled command socket {}", path.display()));
        false
    }

    /// Writes the pid file; where another daemon runs by it, there is no second. A full disk is no reason not to run.
    ///
    /// # Errors
    /// Another daemon runs; the file cannot be made, or an old one not be removed.
    pub fn claim(&mut self, name: &str, path: &Path) -> Result<(), Fatal> {
        match PidFile::claim(path) {
            Ok(file) => self.pid_file = Some(file),
            Err(NotClaimed::Running(pid)) => {
                let path = path.display();
                return Err(Fatal(format!(
                    "Another {name} may already be running (pid={pid}), check {path}"
                )));
            }
            Err(NotClaimed::Failed(error)) if error.errno == Errno::ENOSPC => {
                let text = format!("Could not write {} : {}", path.display(), error.reason());
                self.line(Level::Error, &text);
            }
            Err(NotClaimed::Failed(error)) if error.operation == "unlink" => {
                return Err(Fatal(format!("Could not remove {} : {}", path.display(), error.reason())));
            }
            Err(NotClaimed::Failed(error)) => return Err(could_not_open(path, &error)),
        }
        Ok(())
    }

    /// Takes a real-time priority (0: none) and locks the memory if asked for; not being allowed to is a warning.
    ///
    /// # Errors
    /// A priority that there is not.
    pub fn hurry(&self, priority: i32, lock_memory: bool) -> Result<(), Fatal> {
        if !PRIORITIES.contains(&priority) {
            return Err(Fatal(format!("Bad scheduler priority: {priority}")));
        }
        let urgent = if priority > 0 { process::set_realtime(priority) } else { Ok(()) };
        if let Err(error) = urgent {
            self.line(Level::Warning, &format!("{}() failed : {}", error.operation, error.reason()));
        }
        if lock_memory {
            match process::lock_memory() {
                Ok(()) => self.line(Level::Info, "Successfully locked into RAM"),
                Err(error) => self.line(Level::Error, &format!("{}() failed", error.operation)),
            }
        }
        Ok(())
    }

    /// Gives root up for the user, keeping what `keep` names; without a user, or as root, the log has a warning.
    ///
    /// # Errors
    /// Those of [`user::drop_privileges`].
    pub fn become_user(&self, user: Option<&User>, keep: &[Capability]) -> Result<(), Fatal> {
        if !user::is_root() {
            return Ok(());
        }
        match user.filter(|user| user.uid != 0) {
            Some(user) => user::drop_privileges(user, keep)?,
            None => self.line(Level::Warning, "Running with root privileges"),
        }
        Ok(())
    }

    /// Warns of a key file that others may read or change. To be called before privileges are given up.
    pub fn judge_secret(&self, path: &Path) {
        let wrong = match directory::mode_for_others(path) {
            Ok(others) if others & 4 != 0 => "World-readable",
            Ok(others) if others & 2 != 0 => "World-writable",
            Ok(_) | Err(_) => return,
        };
        self.line(Level::Warning, &format!("{wrong} permissions on {}", path.display()));
    }

    /// Warns of a key file that the user who we are now may not read (`rekey` will fail) or may change.
    pub fn judge_own_access(&self, path: &Path) {
        if user::is_root() {
            return;
        }
        let there = |error: &SysError| error.errno != Errno::ENOENT;
        if let Some(error) = directory::may(path, Wish::Read).err().filter(there) {
            let text = format!("Missing read access to {} : {}", path.display(), error.reason());
            self.line(Level::Warning, &text);
        }
        if directory::may(path, Wish::Write).is_ok() {
            self.line(Level::Warning, &format!("Having write access to {}", path.display()));
        }
    }

    /// The daemon serves: the service manager and the waiting parent are told.
    ///
    /// # Errors
    /// They cannot be told.
    pub fn ready(&mut self) -> Result<(), Fatal> {
        self.supervisor.ready().map_err(|error| {
            Fatal(match (error.operation, error.errno) {
                ("write", _) => "Could not send notification requested by -N option".to_owned(),
                (_, Errno::EINVAL) => "Unsupported notification socket".to_owned(),
                _ => "Could not send notification to $NOTIFY_SOCKET".to_owned(),
            })
        })?;
        if let Some(starting) = self.starting.take() {
            starting.runs()?;
        }
        Ok(())
    }

    /// The last line, and the pid file is gone. Nothing is said after a [`Life::fatal`].
    pub fn end(self, name: &str) {
        self.supervisor.stopping();
        self.line(Level::Info, &format!("{name} exiting"));
        let Self { pid_file, log, .. } = self;
        // where it cannot even be seen, the original is silent too
        let seen = |error: &SysError| Path::new(&error.object).symlink_metadata().is_ok();
        if let Some(error) = pid_file.and_then(|file| file.remove().err()).filter(seen) {
            log.line(Level::Error, &format!("Could not remove {} : {}", error.object, error.reason()));
        }
    }
}

/// A fatal line as standard error shows it.
fn on_console(ground: Ground, fatal: &Fatal) -> String {
    match ground {
        Ground::Daemon => fatal.0.clone(),
        Ground::Foreground => format!("Fatal error : {}", fatal.0),
        Ground::Debug => dated(&format!("Fatal error : {}", fatal.0)),
    }
}

/// A line on standard error.
fn console(text: &str) {
    use std::io::Write;
    // nobody may be there
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn could_not_open(path: &Path, error: &SysError) -> Fatal {
    Fatal(format!("Could not open {} : {}", path.display(), error.reason()))
}

/// Whose files they shall be.
fn numbers(user: Option<&User>) -> (u32, u32) {
    user.map_or_else(user::ourselves, |user| (user.uid, user.gid))
}

fn unfit_text(path: &Path, why: &Unfit) -> String {
    let path = path.display();
    match why {
        Unfit::NotMade(error) => format!("Could not create directory {path} : {}", error.reason()),
        Unfit::NoAccess(error) => format!("Could not access {path} : {}", error.reason()),
        Unfit::NotDirectory => format!("{path} is not directory"),
        Unfit::Mode => format!("Wrong permissions on {path}"),
        Unfit::Owner(uid) => format!("Wrong owner of {path} (UID != {uid})"),
        Unfit::Group(gid) => format!("Wrong owner of {path} (GID != {gid})"),
    }
}

/// A path that stays the same after the daemon has left its working directory.
pub fn absolute(path: &str) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path))
}
