//! Waiting for sockets, a deadline or a signal: `select`, the call that every simulator of time knows.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::select::{FdSet, select};
use nix::sys::time::TimeVal;

use super::{SysError, clock, signal};
use crate::types::{MonoTime, TimeDelta};

/// Why [`wait`] returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Woken {
    /// These places of the list can be read, or have an error or a transmit stamp to fetch. Read until there is nothing more:
    /// an error queue that nobody empties makes `select` return at once for ever.
    Ready(Vec<usize>),
    /// The deadline came first.
    Deadline,
    /// A signal was caught, during the wait or before it, and [`super::signal::take`] has not taken it yet.
    Signal,
}

/// What to wait for on a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Readable,
    Writable,
}

/// Waits until one of the descriptors can be read, the deadline is reached (`None`: never) or a signal is caught.
///
/// # Errors
/// `select`: EBADF for a descriptor that is not open, ENOMEM.
pub fn wait(fds: &[BorrowedFd<'_>], deadline: Option<MonoTime>) -> Result<Woken, SysError> {
    wait_side(fds, deadline, Side::Readable)
}

/// As [`wait`], until `fd` can be written: the end of a TCP `connect`, or room in a full socket buffer.
///
/// # Errors
/// As [`wait`].
pub fn wait_writable(fd: BorrowedFd<'_>, deadline: Option<MonoTime>) -> Result<Woken, SysError> {
    wait_side(&[fd], deadline, Side::Writable)
}

fn wait_side(fds: &[BorrowedFd<'_>], deadline: Option<MonoTime>, side: Side) -> Result<Woken, SysError> {
    if signal::pending().is_some() {
        return Ok(Woken::Signal);
    }
    // a select that sleeps longer than a day might be refused; waking once a day costs nothing
    let left = deadline.map(|d| (d - clock::mono()).clamp(TimeDelta::ZERO, TimeDelta::from_secs(86_400)));
    let highest = fds.iter().map(AsRawFd::as_raw_fd).max().unwrap_or(-1);
    if usize::try_from(highest).is_ok_and(|n| n >= libc::FD_SETSIZE) {
        return wait_by_poll(fds, left, side);
    }
    let mut first = FdSet::new();
    let mut errors = FdSet::new();
    for fd in fds {
        first.insert(*fd);
        errors.insert(*fd);
    }
    let mut timeout = left.map(|left| {
        // rounded up: a deadline is never found unreached
        let micros = left.as_nanos().saturating_add(999) / 1000;
        TimeVal::new(micros / 1_000_000, micros % 1_000_000)
    });
    let (mut read, mut write) = match side {
        Side::Readable => (Some(&mut first), None),
        Side::Writable => (None, Some(&mut first)),
    };
    let count = match select(highest + 1, read.take(), write.take(), &mut errors, &mut timeout) {
        Ok(count) => count,
        Err(Errno::EINTR) => return Ok(Woken::Signal),
        Err(errno) => return Err(SysError::new("select", "", errno)),
    };
    if count == 0 {
        return Ok(Woken::Deadline);
    }
    let ready = |fd: &BorrowedFd<'_>| first.contains(*fd) || errors.contains(*fd);
    Ok(Woken::Ready(fds.iter().enumerate().filter(|(_, fd)| ready(fd)).map(|(i, _)| i).collect()))
}

/// For descriptors beyond what `select` can name: `poll`, whose deadline is a millisecond coarse.
fn wait_by_poll(fds: &[BorrowedFd<'_>], left: Option<TimeDelta>, side: Side) -> Result<Woken, SysError> {
    let flags = match side {
        Side::Readable => PollFlags::POLLIN | PollFlags::POLLPRI,
        Side::Writable => PollFlags::POLLOUT,
    };
    let mut list: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(*fd, flags)).collect();
    let timeout = left.map_or(PollTimeout::NONE, |left| {
        let millis = left.as_nanos().saturating_add(999_999) / 1_000_000;
        PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
    });
    match poll(&mut list, timeout) {
        Ok(0) => Ok(Woken::Deadline),
        Ok(_) => Ok(Woken::Ready(
            list.iter().enumerate().filter(|(_, p)| p.any() == Some(true)).map(|(i, _)| i).collect(),
        )),
        Err(Errno::EINTR) => Ok(Woken::Signal),
        Err(errno) => Err(SysError::new("poll", "", errno)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_past_deadline_does_not_wait() {
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        let woken = wait(&[reader.as_fd()], Some(MonoTime::ZERO)).unwrap();
        assert_eq!(woken, Woken::Deadline);
    }

    #[test]
    fn the_deadline_is_kept_and_not_undershot() {
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        let deadline = clock::mono() + TimeDelta::from_micros(300);
        assert_eq!(wait(&[reader.as_fd()], Some(deadline)).unwrap(), Woken::Deadline);
        assert!(clock::mono() >= deadline);
    }

    #[test]
    fn only_what_can_be_read_is_reported() {
        let (idle, _idle_writer) = nix::unistd::pipe().unwrap();
        let (busy, busy_writer) = nix::unistd::pipe().unwrap();
        nix::unistd::write(&busy_writer, b"x").unwrap();
        let woken = wait(&[idle.as_fd(), busy.as_fd()], None).unwrap();
        assert_eq!(woken, Woken::Ready(vec![1]));
        assert_eq!(wait_writable(busy_writer.as_fd(), None).unwrap(), Woken::Ready(vec![0]));
        let by_poll = wait_by_poll(&[idle.as_fd(), busy.as_fd()], None, Side::Readable).unwrap();
        assert_eq!(by_poll, Woken::Ready(vec![1]));
        assert_eq!(
            wait_by_poll(&[idle.as_fd()], Some(TimeDelta::ZERO), Side::Readable).unwrap(),
            Woken::Deadline
        );
    }
}
