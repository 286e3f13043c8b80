//! Names to addresses and back, in threads that never hold anything up.
//!
//! Numeric addresses are answered at once, without a thread. Names go to `getaddrinfo` in one thread each; an answer wakes a
//! `select` through a pipe, so that a daemon's loop and the one-shot tools use the same [`Resolver`]. Threads are detached: a
//! resolver that hangs does not keep the process from exiting.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::SigSet;

use super::net::Family;
use super::wait::{Woken, wait};
use super::{SysError, clock, signal};
use crate::types::{MonoTime, TimeDelta};

mod libcalls;

/// How long one-shot tools wait for names (decisions.md).
pub const FORWARD_TIMEOUT: TimeDelta = TimeDelta::from_secs(10);
/// How long one-shot tools wait for the names of addresses (decisions.md).
pub const REVERSE_TIMEOUT: TimeDelta = TimeDelta::from_secs(2);
/// Look-ups that run at once; more wait for their turn.
const MAX_THREADS: usize = 64;

/// A failed look-up, as `getaddrinfo` numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupError {
    /// The EAI_ code, e.g. −2 (EAI_NONAME).
    pub code: i32,
    /// The error number that belongs to EAI_SYSTEM (−11).
    pub errno: Option<Errno>,
}

impl LookupError {
    /// The name server did not answer in time, or said that it cannot answer now.
    pub const AGAIN: Self = Self { code: libc::EAI_AGAIN, errno: None };

    /// Whether the name servers themselves cannot be used now (EAI_AGAIN, EAI_FAIL), so that other names will fail too.
    pub fn is_server_failure(self) -> bool {
        self.code == libc::EAI_AGAIN || self.code == libc::EAI_FAIL
    }

    /// The C library's text, e.g. `Name or service not known`.
    pub fn text(self) -> String {
        libcalls::text_of(self.code)
    }
}

/// What to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The addresses of a name; `port` is put into each of them.
    Forward {
        /// A name or a numeric address (`192.0.2.1`, `2001:db8::1`, `fe80::1%eth0`).
        name: String,
        /// Only this family, or both.
        family: Option<Family>,
        /// UDP port of the results.
        port: u16,
    },
    /// The name of an address.
    Reverse(IpAddr),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Addresses in the resolver's order, without duplicates, at least one.
    Addresses(Vec<SocketAddr>),
    /// The name; printable ASCII.
    Name(String),
}

/// The answer to one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The number that [`Resolver::start`] gave.
    pub ticket: u64,
    /// What was found.
    pub result: Result<Found, LookupError>,
}

/// Runs look-ups in threads. Dropping it abandons them.
#[derive(Debug)]
pub struct Resolver {
    waiting: VecDeque<(u64, Query)>,
    finished: VecDeque<Answer>,
    running: usize,
    next_ticket: u64,
    answers: Receiver<Answer>,
    sender: Sender<Answer>,
    wake: OwnedFd,
    wake_writer: Arc<OwnedFd>,
}

impl Resolver {
    /// Opens the pipe that wakes the loop.
    ///
    /// # Errors
    /// `pipe`, `fcntl`.
    pub fn new() -> Result<Self, SysError> {
        let (wake, wake_writer) = nix::unistd::pipe().map_err(|e| SysError::new("pipe", "", e))?;
        for fd in [&wake, &wake_writer] {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|e| SysError::new("fcntl", "", e))?;
        }
        let (sender, answers) = channel();
        Ok(Self {
            waiting: VecDeque::new(),
            finished: VecDeque::new(),
            running: 0,
            next_ticket: 0,
            answers,
            sender,
            wake,
            wake_writer: Arc::new(wake_writer),
        })
    }

    /// Starts a look-up; its answer comes from [`Self::take`] under the returned number, at once for numeric addresses. Never blocks.
    pub fn start(&mut self, query: Query) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back((ticket, query));
        self.start_waiting();
        ticket
    }

    /// The descriptor that becomes readable when a thread is done; `None` while no thread runs (it must not be waited for then).
    pub fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        (self.running > 0).then(|| self.wake.as_fd())
    }

    /// Whether answers are still to come or to be taken.
    pub fn is_busy(&self) -> bool {
        self.running > 0 || !self.finished.is_empty()
    }

    /// Takes one answer. It blocks only while [`Self::wake_fd`] is there and not readable, and all finished answers were taken;
    /// `None` when no look-up is under way.
    pub fn take(&mut self) -> Option<Answer> {
        if let Some(answer) = self.finished.pop_front() {
            return Some(answer);
        }
        if self.running == 0 {
            return None;
        }
        // one byte an answer; the answer was sent before the byte
        while nix::unistd::read(&self.wake, &mut [0]) == Err(Errno::EINTR) {}
        let answer = self.answers.recv().ok()?;
        self.running -= 1;
        self.start_waiting();
        Some(answer)
    }

    fn start_waiting(&mut self) {
        while self.running < MAX_THREADS {
            let Some((ticket, query)) = self.waiting.pop_front() else { return };
            if let Err((ticket, error)) = self.spawn(ticket, query) {
                let errno = error.raw_os_error().map(Errno::from_raw);
                let result = Err(LookupError { code: libc::EAI_SYSTEM, errno });
                self.finished.push_back(Answer { ticket, result });
            }
        }
    }

    fn spawn(&mut self, ticket: u64, query: Query) -> Result<(), (u64, io::Error)> {
        if let Some(result) = answer_at_once(&query) {
            self.finished.push_back(Answer { ticket, result });
            return Ok(());
        }
        let sender = self.sender.clone();
        let writer = Arc::clone(&self.wake_writer);
        let work = move || {
            // signals are for the thread that waits
            let _ = SigSet::all().thread_block();
            let result = look_up(&query);
            if sender.send(Answer { ticket, result }).is_ok() {
                while nix::unistd::write(&writer, &[0]) == Err(Errno::EINTR) {}
            }
        };
        thread::Builder::new().name("resolver".to_owned()).spawn(work).map_err(|e| (ticket, e))?;
        self.running += 1;
        Ok(())
    }
}

/// How a bounded look-up of several names ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked<T> {
    /// One result per query, in the order of the queries; what was not there at the deadline is an error (EAI_AGAIN).
    Done(Vec<Result<T, LookupError>>),
    /// A signal was caught first.
    Signal,
}

/// Looks names up in parallel, until `deadline` ([`FORWARD_TIMEOUT`] from now) or a caught signal.
///
/// # Errors
/// `pipe`, `fcntl`, `select`: no descriptors left.
pub fn addresses_of(
    names: &[String],
    family: Option<Family>,
    port: u16,
    deadline: MonoTime,
) -> Result<Looked<Vec<SocketAddr>>, SysError> {
    let queries = names.iter().map(|name| Query::Forward { name: name.clone(), family, port });
    all(queries, deadline, |found| match found {
        Found::Addresses(addresses) => Some(addresses),
        Found::Name(_) => None,
    })
}

/// Looks up the names of addresses in parallel, until `deadline` ([`REVERSE_TIMEOUT`] from now) or a caught signal.
///
/// # Errors
/// As [`addresses_of`].
pub fn names_of(addresses: &[IpAddr], deadline: MonoTime) -> Result<Looked<String>, SysError> {
    let queries = addresses.iter().map(|address| Query::Reverse(*address));
    all(queries, deadline, |found| match found {
        Found::Name(name) => Some(name),
        Found::Addresses(_) => None,
    })
}

fn all<T: Clone>(
    queries: impl Iterator<Item = Query>,
    deadline: MonoTime,
    wanted: impl Fn(Found) -> Option<T>,
) -> Result<Looked<T>, SysError> {
    let mut results = Vec::new();
    let mut slow = Vec::new();
    for query in queries {
        let at_once = answer_at_once(&query);
        if at_once.is_none() {
            slow.push((results.len(), query));
        }
        results.push(at_once.unwrap_or(Err(LookupError::AGAIN)));
    }
    if !slow.is_empty() {
        let mut resolver = Resolver::new()?;
        let places: Vec<usize> = slow.iter().map(|(place, _)| *place).collect();
        for (_, query) in slow {
            resolver.start(query);
        }
        while resolver.is_busy() {
            if let Some(fd) = resolver.wake_fd().filter(|_| resolver.finished.is_empty()) {
                match wait(&[fd], Some(deadline))? {
                    Woken::Ready(_) => {}
                    Woken::Deadline => break,
                    Woken::Signal if signal::pending().is_some() => return Ok(Looked::Signal),
                    Woken::Signal => continue,
                }
            }
            let Some(answer) = resolver.take() else { break };
            let place = usize::try_from(answer.ticket).ok().and_then(|n| places.get(n));
            if let Some(slot) = place.and_then(|place| results.get_mut(*place)) {
                *slot = answer.result;
            }
        }
    }
    let no_name = LookupError { code: libc::EAI_NONAME, errno: None };
    Ok(Looked::Done(results.into_iter().map(|r| r.and_then(|found| wanted(found).ok_or(no_name))).collect()))
}

/// The numeric address in a text, with its scope (`%eth0`, `%2`); the old forms of `inet_aton` (`127.1`) are not among them.
pub fn numeric(text: &str, port: u16) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, port));
    }
    let (address, scope) = text.split_once('%')?;
    let scope = scope.parse::<u32>().ok().or_else(|| super::interface::index_of(scope))?;
    Some(SocketAddr::V6(SocketAddrV6::new(address.parse().ok()?, port, 0, scope)))
}

/// What needs no name server: numeric addresses, and names that are none.
fn answer_at_once(query: &Query) -> Option<Result<Found, LookupError>> {
    let Query::Forward { name, family, port } = query else { return None };
    if let Some(address) = numeric(name, *port) {
        let fits = family.is_none_or(|f| f == Family::of(address.ip()));
        // getaddrinfo's answer to `-4 ::1`
        const OTHER_FAMILY: LookupError = LookupError { code: EAI_ADDRFAMILY, errno: None };
        return Some(if fits { Ok(Found::Addresses(vec![address])) } else { Err(OTHER_FAMILY) });
    }
    if name.is_empty() || name.contains('\0') {
        return Some(Err(LookupError { code: libc::EAI_NONAME, errno: None }));
    }
    // 127.1, 0x7f000001, 2130706433: the C library knows, and asks nobody
    let old_numeric = name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '.' | 'x' | 'X'));
    if old_numeric {
        let found = libcalls::addresses(name, *family, *port, libc::AI_NUMERICHOST);
        return match found {
            Err(e) if e.code == libc::EAI_NONAME => None,
            other => Some(other.map(Found::Addresses)),
        };
    }
    None
}

fn look_up(query: &Query) -> Result<Found, LookupError> {
    match query {
        Query::Forward { name, family, port } => {
            libcalls::addresses(name, *family, *port, 0).map(Found::Addresses)
        }
        Query::Reverse(address) => libcalls::name(*address).map(Found::Name),
    }
}

/// glibc's number (netdb.h), which the libc crate leaves out.
const EAI_ADDRFAMILY: i32 = -9;

/// The deadline that is `timeout` from now.
pub fn deadline_in(timeout: TimeDelta) -> MonoTime {
    clock::mono() + timeout
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::net::{UdpOptions, UdpSocket};
    use crate::sys::testing::{own_network, rerun};

    fn forward(name: &str, family: Option<Family>) -> Query {
        Query::Forward { name: name.to_owned(), family, port: 123 }
    }

    #[test]
    fn numeric_addresses_start_no_thread() {
        let mut resolver = Resolver::new().unwrap();
        for name in ["127.0.0.1", "::1", "127.1", "0x7f000001", "2130706433", "fe80::1%lo", "fe80::1%7"] {
            resolver.start(forward(name, None));
            assert!(resolver.wake_fd().is_none(), "{name}");
            let Ok(Found::Addresses(found)) = resolver.take().unwrap().result else { panic!("{name}") };
            assert_eq!((found.len(), found[0].port()), (1, 123), "{name}");
        }
        assert!(!resolver.is_busy());
        assert_eq!(numeric("fe80::1%7", 1).unwrap().to_string(), "[fe80::1%7]:1");
        assert_eq!(numeric("fe80::1%no-such-interface", 1), None);
    }

    #[test]
    fn the_other_family_has_the_c_librarys_code_and_text() {
        let error = answer_at_once(&forward("::1", Some(Family::V4))).unwrap().unwrap_err();
        assert_eq!((error.code, error.text().as_str()), (-9, "Address family for hostname not supported"));
        assert_eq!(libcalls::addresses("::1", Some(Family::V4), 0, 0), Err(error));
    }

    #[test]
    fn texts_are_those_of_the_c_library() {
        assert_eq!(LookupError::AGAIN.text(), "Temporary failure in name resolution");
        assert_eq!(LookupError::AGAIN.code, -3);
        assert_eq!(LookupError { code: -2, errno: None }.text(), "Name or service not known");
    }

    #[test]
    fn localhost_comes_through_a_thread_in_argument_order() {
        let names: Vec<String> = ["127.0.0.2", "localhost", "", "127.0.0.3"].map(str::to_owned).into();
        let deadline = deadline_in(FORWARD_TIMEOUT);
        let Looked::Done(results) = addresses_of(&names, Some(Family::V4), 123, deadline).unwrap() else {
            panic!("no signal here")
        };
        let first = |i: usize| results[i].as_ref().unwrap()[0].to_string();
        assert_eq!(
            (first(0), first(1), first(3)),
            ("127.0.0.2:123".into(), "127.0.0.1:123".into(), "127.0.0.3:123".into())
        );
        assert_eq!(results[2], Err(LookupError { code: -2, errno: None }));
    }

    #[test]
    fn a_passed_deadline_counts_as_a_temporary_failure() {
        let names = ["a-name-that-needs-a-thread.invalid".to_owned()];
        let Looked::Done(results) = addresses_of(&names, None, 123, MonoTime::ZERO).unwrap() else {
            panic!()
        };
        assert!(results[0].is_err());
    }

    /// In a child with a network and a resolv.conf of its own, whose name server takes every question and never answers.
    #[test]
    fn a_silent_name_server_costs_one_deadline_for_all_names_and_a_signal_ends_it() {
        let name =
            "sys::dns::tests::a_silent_name_server_costs_one_deadline_for_all_names_and_a_signal_ends_it";
        let Some(prefix) =
            own_network("echo nameserver 127.0.0.1 > $T/resolv; mount --bind $T/resolv /etc/resolv.conf")
        else {
            return;
        };
        if rerun(name, &prefix).is_some() {
            return;
        }
        let server = UdpSocket::open(&UdpOptions::server("127.0.0.1:53".parse().unwrap())).unwrap();
        let names = ["a.example", "b.example", "127.0.0.9", "c.example"].map(str::to_owned);
        let started = clock::mono();
        let deadline = started + TimeDelta::from_millis(200);
        let Looked::Done(results) = addresses_of(&names, None, 123, deadline).unwrap() else { panic!() };
        let took = clock::mono() - started;
        assert!((200..1500).contains(&(took.as_nanos() / 1_000_000)), "{took:?}");
        for slow in [0, 1, 3] {
            assert_eq!(results[slow], Err(LookupError::AGAIN));
        }
        assert!(results[2].is_ok());
        assert!(server.receive(&mut [0; 512]).unwrap().is_some(), "the name server was asked");

        signal::catch(&[signal::Signal::SIGTERM]).unwrap();
        nix::sys::signal::kill(nix::unistd::getpid(), signal::Signal::SIGTERM).unwrap();
        let looked = addresses_of(&names, None, 123, deadline_in(FORWARD_TIMEOUT)).unwrap();
        assert_eq!(looked, Looked::Signal);
        assert!(
            clock::mono() - started < TimeDelta::from_secs(5),
            "threads still ask, nobody waits for them"
        );
    }

    #[test]
    fn more_names_than_threads_are_all_answered() {
        let mut resolver = Resolver::new().unwrap();
        let count = MAX_THREADS + 5;
        for _ in 0..count {
            resolver.start(forward("localhost", None));
        }
        let mut tickets: Vec<u64> = std::iter::from_fn(|| resolver.take()).map(|a| a.ticket).collect();
        tickets.sort_unstable();
        assert_eq!(tickets, (0..count as u64).collect::<Vec<_>>());
    }

    #[test]
    fn loopback_has_a_name_or_an_error_but_no_panic() {
        let deadline = deadline_in(REVERSE_TIMEOUT);
        let Looked::Done(results) = names_of(&["127.0.0.1".parse().unwrap()], deadline).unwrap() else {
            panic!()
        };
        if let Ok(name) = &results[0] {
            assert!(name.bytes().all(|b| b.is_ascii_graphic()), "{name:?}");
        }
    }
}
