//! The daemon's verdicts in the words of chronyc, and how a command can fail.

use crate::driver::cmdmon::{Address, CallError, Cause, nobody_listens};
use crate::report::ErrorReport;
use crate::wire::cmdmon::Status;
use nix::errno::Errno;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// The daemon said no.
    Refused(Status),
    /// No daemon answered.
    Unreachable,
    /// A reply of another kind than was asked for.
    BadReply,
    /// The command line is wrong: a line for standard error.
    Usage(String),
    /// A date that cannot be read: the original's line for standard output.
    Date,
    /// A signal was caught.
    Interrupted,
    /// Said already, or nothing to say.
    Quiet,
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unreachable => Self::Unreachable,
            CallError::Interrupted => Self::Interrupted,
        }
    }
}

/// A status as chronyc prints it, and its word in JSON.
pub(super) fn status_text(status: Status) -> (&'static str, &'static str) {
    match status.get() {
        0 => ("200 OK", "ok"),
        1 => ("500 Failure", "failure"),
        2 => ("501 Not authorised", "not-authorised"),
        3 => ("502 Invalid command", "invalid-command"),
        4 => ("503 No such source", "no-such-source"),
        5 => ("504 Duplicate or stale logon detected", "stale-logon"),
        6 => ("505 Facility not enabled in daemon", "not-enabled"),
        7 => ("507 Bad subnet", "bad-subnet"),
        8 => ("208 Access allowed", "access-allowed"),
        9 => ("209 Access denied", "access-denied"),
        10 => ("510 No command access from this host", "no-host-access"),
        11 => ("511 Source already present", "source-present"),
        12 => ("512 Too many sources present", "too-many-sources"),
        13 => ("513 RTC driver not running", "no-rtc-driver"),
        14 => ("514 Can't write RTC parameters", "rtc-file-not-written"),
        15 => ("519 Client logging is not active in the daemon", "no-client-log"),
        16 => ("516 Sample index out of range", "no-such-sample"),
        17 => ("515 Invalid address family", "invalid-address-family"),
        18 => ("517 Protocol version mismatch", "version-mismatch"),
        19 => ("518 Packet length mismatch", "length-mismatch"),
        21 => ("521 Invalid name", "invalid-name"),
        _ => ("520 Got unexpected error from daemon", "unexpected-error"),
    }
}

/// The line of the original for "no answer".
pub(super) const UNREACHABLE: &str = "506 Cannot talk to daemon";
/// The line of the original for a reply of another kind.
const BAD_REPLY: &str = "508 Bad reply from daemon";
/// The line of the original for a date that cannot be read.
const BAD_DATE: &str = "510 - Could not parse date string";

impl Problem {
    /// The line that chronyc prints on standard output.
    pub(super) fn stdout_line(&self) -> Option<&str> {
        match self {
            Self::Refused(status) => Some(status_text(*status).0),
            Self::Unreachable => Some(UNREACHABLE),
            Self::BadReply => Some(BAD_REPLY),
            Self::Date => Some(BAD_DATE),
            Self::Usage(_) | Self::Interrupted | Self::Quiet => None,
        }
    }

    /// The same for JSON.
    pub(super) fn report(&self, causes: &[(Address, Cause)]) -> ErrorReport {
        match self {
            Self::Refused(status) => {
                let (line, word) = status_text(*status);
                let report = ErrorReport::legacy(word, line);
                match *status {
                    Status::UNAUTHORISED => report.with_hint(UNAUTHORISED_HINT),
                    _ => report,
                }
            }
            Self::Unreachable => {
                let report = ErrorReport::legacy("daemon-unreachable", UNREACHABLE);
                match hint(causes) {
                    Some(hint) => report.with_hint(hint),
                    None => report,
                }
            }
            Self::BadReply => ErrorReport::legacy("bad-reply", BAD_REPLY),
            Self::Date => ErrorReport::legacy("date-not-understood", BAD_DATE),
            Self::Usage(line) => ErrorReport::legacy("usage", line.clone()),
            Self::Interrupted => ErrorReport::new("interrupted", "interrupted by a signal"),
            Self::Quiet => ErrorReport::new("failed", "the condition was not met"),
        }
    }
}

const UNAUTHORISED_HINT: &str = "over UDP the daemon answers open reports only: run as root or as the daemon's user, so that its Unix socket can be used";

/// What probably is the matter, from the first address that was tried and what became of it.
pub(super) fn hint(causes: &[(Address, Cause)]) -> Option<String> {
    let reasons: Vec<String> = causes.iter().map(|(address, cause)| reason(address, cause)).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn reason(address: &Address, cause: &Cause) -> String {
    match cause {
        Cause::Silent => {
            format!("{address}: no answer in time (stopped, or this host is not allowed to ask)")
        }
        Cause::Refused(error) if nobody_listens(error) => format!("{address}: nobody listens there"),
        Cause::Refused(error) => format!("{address}: {}", error.reason()),
        Cause::Local(error) => {
            use crate::sys::cmdsock::LocalError;
            match error {
                LocalError::Unreachable(e) => match e.errno {
                    Errno::ENOENT => format!("{address}: there is no such socket"),
                    Errno::ECONNREFUSED => format!("{address}: the daemon that made this socket is gone"),
                    _ => format!("{address}: {}", e.reason()),
                },
                other => other.to_string(),
            }
        }
    }
}
