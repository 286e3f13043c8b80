//! Requests in chrony's command protocol: sending, matching, retrying, pipelining (spec chronyc.md 1.2).
//!
//! A [`Batch`] is a list of requests to one daemon of which up to `window` are on their way at once; answers come out in
//! the order of the requests. Over the network each one is repeated with doubled patience; over a Unix socket, where
//! nothing is lost, it is sent once, so that no command is executed twice.

mod report;

use std::collections::VecDeque;

use crate::types::{MonoTime, TimeDelta};
use crate::wire::cmdmon::{
    Reply, ReplyError, ReplyHeader, Request, Status, VERSION, VERSION_UNPADDED, parse_reply,
};

pub use report::*;

/// How many requests of a list are on their way at once: as many as chronyd reads in one go (perf.md §3).
pub const WINDOW: usize = 16;
/// Over a Unix socket: where nobody has raised net.unix.max_dgram_qlen, a queue has room for no more, and answers that find
/// ours full are lost.
const LOCAL_WINDOW: usize = 10;

/// What lies between us and the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// A Unix socket: nothing is lost, so a request is sent once.
    Local,
    /// UDP: a request is repeated.
    Network,
}

/// How patient we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Wait after the first send; doubled after each further one.
    pub initial_timeout: TimeDelta,
    /// Sends after the first.
    pub max_retries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { initial_timeout: TimeDelta::from_secs(1), max_retries: 2 }
    }
}

impl Patience {
    /// The wait after send number `attempt` (from 0).
    fn after(&self, attempt: u32, link: Link) -> TimeDelta {
        let doublings = match link {
            Link::Network => power_of_two(attempt),
            Link::Local => power_of_two(self.max_retries.saturating_add(1)) - 1,
        };
        self.initial_timeout * doublings
    }
}

fn power_of_two(exponent: u32) -> i64 {
    1 << exponent.min(62)
}

/// What the daemon said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its verdict.
    pub status: Status,
    /// The data; [`Reply::Null`] with every error.
    pub reply: Reply,
}

#[derive(Debug)]
enum State {
    Waiting,
    Flying { sequence: u32, deadline: MonoTime, version: u8 },
    Answered(Answer),
}

#[derive(Debug)]
struct Slot {
    request: Request,
    state: State,
    attempt: u32,
}

/// Requests that are answered in order.
#[derive(Debug)]
pub struct Batch {
    slots: VecDeque<Slot>,
    /// So many of the first slots have been sent at least once: nothing behind them is on its way or answered.
    begun: usize,
    window: usize,
    /// Whether requests are sent: from a half empty window until it is full, so that the daemon finds several at a time.
    filling: bool,
    link: Link,
    patience: Patience,
    version: u8,
    exhausted: bool,
}

impl Batch {
    /// Requests of which at most `window` are on their way at once, in protocol version `version`
    /// (that of the daemon, if an earlier batch found it out: [`Self::version`]).
    pub fn new(requests: Vec<Request>, window: usize, link: Link, patience: Patience, version: u8) -> Self {
        let slot = |request| Slot { request, state: State::Waiting, attempt: 0 };
        Self {
            slots: requests.into_iter().map(slot).collect(),
            begun: 0,
            window: window.max(1),
            filling: true,
            link,
            patience,
            version,
            exhausted: false,
        }
    }

    /// The next datagram to send, if one may be sent now. `random` gives each send its own sequence number.
    pub fn transmit(&mut self, now: MonoTime, random: &mut dyn FnMut() -> u32) -> Option<Vec<u8>> {
        let room = match self.link {
            Link::Local => self.window.min(LOCAL_WINDOW),
            Link::Network => self.window,
        };
        let flying = self.flying();
        self.filling = flying <= room / 2 || (self.filling && flying < room);
        if self.exhausted || !self.filling {
            return None;
        }
        let version = self.version;
        let waits = |slot: &Slot| matches!(slot.state, State::Waiting);
        let at = self.slots.iter().take(self.begun).position(waits).unwrap_or(self.begun);
        let slot = self.slots.get_mut(at)?;
        self.begun = self.begun.max(at + 1);
        let sequence = random();
        let deadline = now + self.patience.after(slot.attempt, self.link);
        slot.state = State::Flying { sequence, deadline, version };
        Some(slot.request.encode(version, sequence, u16::try_from(slot.attempt).unwrap_or(u16::MAX)))
    }

    /// How many requests wait for their answers.
    pub fn flying(&self) -> usize {
        self.sent().filter(|slot| matches!(slot.state, State::Flying { .. })).count()
    }

    /// Takes a datagram; what does not belong to a request on its way is ignored.
    pub fn receive(&mut self, bytes: &[u8]) {
        match parse_reply(bytes) {
            Ok((header, reply)) => self.answered(header, reply),
            Err(ReplyError::Short { header, .. }) => {
                if let Some(at) = self.find(&header) {
                    self.fail(at);
                }
            }
            Err(ReplyError::NotAReply) => {}
        }
    }

    /// The socket reported an error (ECONNREFUSED …): the oldest send is taken as failed, the next follows at once.
    pub fn refused(&mut self) {
        let oldest = self.sent().position(|slot| matches!(slot.state, State::Flying { .. }));
        if let Some(at) = oldest {
            self.fail(at);
        }
    }

    fn sent(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().take(self.begun)
    }

    /// Lets the time pass.
    pub fn tick(&mut self, now: MonoTime) {
        for at in 0..self.begun {
            let late = |slot: &Slot| matches!(slot.state, State::Flying { deadline, .. } if deadline <= now);
            if self.slots.get(at).is_some_and(late) {
                self.fail(at);
            }
        }
    }

    /// When [`Self::tick`] is due.
    pub fn wake(&self) -> Option<MonoTime> {
        let deadline = |slot: &Slot| match slot.state {
            State::Flying { deadline, .. } => Some(deadline),
            State::Waiting | State::Answered(_) => None,
        };
        self.sent().filter_map(deadline).min()
    }

    /// A request has been tried in vain as often as we may: this address is given up.
    pub fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Everything unanswered starts over at another address.
    pub fn restart(&mut self, link: Link) {
        self.link = link;
        self.exhausted = false;
        for slot in self.slots.iter_mut().filter(|slot| !matches!(slot.state, State::Answered(_))) {
            slot.attempt = 0;
            slot.state = State::Waiting;
        }
    }

    /// The next answer in the order of the requests, with the request in the form that was answered.
    pub fn next_answer(&mut self) -> Option<(Request, Answer)> {
        if !matches!(self.slots.front()?.state, State::Answered(_)) {
            return None;
        }
        self.begun = self.begun.saturating_sub(1);
        match self.slots.pop_front()? {
            Slot { request, state: State::Answered(answer), .. } => Some((request, answer)),
            Slot { .. } => None,
        }
    }

    /// Whether every answer has been taken.
    pub fn is_done(&self) -> bool {
        self.slots.is_empty()
    }

    /// The protocol version that the daemon speaks, as far as it is known.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// The request on its way that a reply belongs to.
    fn find(&self, header: &ReplyHeader) -> Option<usize> {
        self.sent().position(|slot| match slot.state {
            State::Flying { sequence, version, .. } => {
                let foreign = header.version >= 4 && header.status == Status::BAD_VERSION;
                (header.version == version || foreign)
                    && sequence == header.sequence
                    && slot.request.code() == header.command
            }
            State::Waiting | State::Answered(_) => false,
        })
    }

    fn answered(&mut self, header: ReplyHeader, reply: Reply) {
        let Some(slot) = self.find(&header).and_then(|at| self.slots.get_mut(at)) else { return };
        let State::Flying { version, .. } = slot.state else { return };
        if header.version == VERSION_UNPADDED && version == VERSION {
            self.version = VERSION_UNPADDED;
            slot.state = State::Waiting;
            return;
        }
        match slot.request.to_older() {
            Some(older) if header.status == Status::INVALID => {
                *slot = Slot { request: older, state: State::Waiting, attempt: 0 };
            }
            _ => slot.state = State::Answered(Answer { status: header.status, reply }),
        }
    }

    fn fail(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        slot.state = State::Waiting;
        slot.attempt += 1;
        self.exhausted |= self.link == Link::Local || slot.attempt > self.patience.max_retries;
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may say so by panicking")]
mod tests {
    use super::*;
    use crate::wire::cmdmon::{Float, Local2, Local3};

    /// A batch, its clock and its randomness.
    struct Bench {
        batch: Batch,
        now: MonoTime,
        next: u32,
    }

    impl Bench {
        fn new(requests: Vec<Request>, window: usize, link: Link) -> Self {
            let batch = Batch::new(requests, window, link, Patience::default(), VERSION);
            Self { batch, now: MonoTime::ZERO, next: 0 }
        }

        fn send(&mut self) -> Option<Vec<u8>> {
            let next = &mut self.next;
            self.batch.transmit(self.now, &mut || {
                *next += 1;
                *next
            })
        }

        fn pass(&mut self, millis: i64) {
            self.now = self.now + TimeDelta::from_millis(millis);
            self.batch.tick(self.now);
        }
    }

    fn ok(command: u16, sequence: u32, reply: &Reply) -> Vec<u8> {
        reply.encode(command, sequence, Status::SUCCESS)
    }

    #[test]
    fn silence_over_udp_is_three_sends_in_seven_seconds() {
        let mut bench = Bench::new(vec![Request::NSources], 1, Link::Network);
        let mut sends = Vec::new();
        for tenth in 0..=80 {
            while let Some(bytes) = bench.send() {
                sends.push((tenth, bytes[6..12].to_vec()));
            }
            if bench.batch.is_exhausted() {
                assert_eq!(tenth, 70);
                break;
            }
            bench.pass(100);
        }
        let expected: Vec<(i32, Vec<u8>)> =
            vec![(0, vec![0, 0, 0, 0, 0, 1]), (10, vec![0, 1, 0, 0, 0, 2]), (30, vec![0, 2, 0, 0, 0, 3])];
        assert_eq!(sends, expected);
    }

    #[test]
    fn silence_over_a_unix_socket_is_one_send_in_seven_seconds() {
        let mut bench = Bench::new(vec![Request::Makestep], 1, Link::Local);
        assert!(bench.send().is_some());
        bench.pass(6_999);
        assert!(!bench.batch.is_exhausted() && bench.send().is_none());
        bench.pass(1);
        assert!(bench.batch.is_exhausted());
        bench.batch.restart(Link::Network);
        assert!(bench.send().is_some());
    }

    #[test]
    fn answers_come_in_the_order_of_the_requests() {
        let requests = (0..5).map(Request::SourceStats).collect();
        let mut bench = Bench::new(requests, 3, Link::Network);
        let mut sent = 0;
        while bench.send().is_some() {
            sent += 1;
        }
        assert_eq!(sent, 3);
        for sequence in [2, 1] {
            assert_eq!(bench.batch.next_answer(), None);
            bench.batch.receive(&Reply::Null.encode(34, sequence, Status::NO_SUCH_SOURCE));
        }
        let indices: Vec<Request> =
            std::iter::from_fn(|| bench.batch.next_answer()).map(|(r, _)| r).collect();
        assert_eq!(indices, [Request::SourceStats(0), Request::SourceStats(1)]);
        assert!(bench.send().is_some() && bench.send().is_some() && bench.send().is_none());
    }

    #[test]
    fn strangers_and_old_answers_are_ignored() {
        let mut bench = Bench::new(vec![Request::NSources], 1, Link::Network);
        bench.send();
        let good = ok(14, 1, &Reply::NSources(3));
        for (at, value) in [(0, 7), (1, 1), (2, 1), (3, 1), (5, 15), (19, 9)] {
            let mut bytes = good.clone();
            bytes[at] = value;
            bench.batch.receive(&bytes);
        }
        bench.batch.receive(&good[..27]);
        bench.batch.receive(&[]);
        assert_eq!(bench.batch.next_answer(), None);
        bench.pass(1000);
        bench.send();
        bench.batch.receive(&good);
        assert_eq!(bench.batch.next_answer(), None, "the answer to the first send comes too late");
        bench.batch.receive(&ok(14, 2, &Reply::NSources(3)));
        let answer = Answer { status: Status::SUCCESS, reply: Reply::NSources(3) };
        assert_eq!(bench.batch.next_answer(), Some((Request::NSources, answer)));
        assert!(bench.batch.is_done());
    }

    #[test]
    fn a_short_reply_and_a_refusal_cost_no_waiting() {
        let mut bench = Bench::new(vec![Request::Tracking], 1, Link::Network);
        bench.send();
        let mut short = Reply::Null.encode(33, 1, Status::SUCCESS);
        short[7] = 5;
        bench.batch.receive(&short);
        assert!(bench.send().is_some() && !bench.batch.is_exhausted());
        bench.batch.refused();
        assert!(bench.send().is_some());
        bench.batch.refused();
        assert!(bench.batch.is_exhausted());
    }

    #[test]
    fn an_unknown_reply_code_is_an_answer() {
        let mut bench = Bench::new(vec![Request::Tracking], 1, Link::Network);
        bench.send();
        bench.batch.receive(&ok(33, 1, &Reply::Unknown(99)));
        assert_eq!(bench.batch.next_answer().map(|(_, a)| a.reply), Some(Reply::Unknown(99)));
    }

    #[test]
    fn a_version_5_daemon_is_asked_again_without_padding() {
        let mut bench = Bench::new(vec![Request::NSources, Request::NSources], 2, Link::Network);
        assert_eq!(bench.send().map(|b| (b[0], b.len())), Some((6, 32)));
        assert_eq!(bench.send().map(|b| (b[0], b.len())), Some((6, 32)));
        for sequence in [1, 2] {
            let mut bytes = Reply::Null.encode(14, sequence, Status::BAD_VERSION);
            bytes[0] = 5;
            bench.batch.receive(&bytes);
        }
        assert_eq!(bench.send().map(|b| (b[0], b.len(), b[7])), Some((5, 20, 0)));
        let mut bytes = ok(14, 3, &Reply::NSources(1));
        bytes[0] = 5;
        bench.batch.receive(&bytes);
        assert_eq!(bench.batch.next_answer().map(|(_, a)| a.reply), Some(Reply::NSources(1)));
        assert_eq!(bench.batch.version(), 5);
    }

    #[test]
    fn a_version_4_daemon_is_a_mismatch() {
        let mut bench = Bench::new(vec![Request::NSources], 1, Link::Network);
        bench.send();
        let mut bytes = Reply::Null.encode(14, 1, Status::BAD_VERSION);
        bytes[0] = 4;
        bench.batch.receive(&bytes);
        assert_eq!(bench.batch.next_answer().map(|(_, a)| a.status), Some(Status::BAD_VERSION));
    }

    #[test]
    fn an_invalid_command_is_sent_once_more_in_its_older_form() {
        let base = Local2 { on: 1, stratum: 10, distance: Float::ZERO, orphan: 0 };
        let new = Request::Local3(Local3 {
            base,
            activate: Float::ZERO,
            wait_synced: Float::ZERO,
            wait_unsynced: Float::ZERO,
        });
        let mut bench = Bench::new(vec![new], 1, Link::Local);
        bench.send();
        bench.batch.receive(&Reply::Null.encode(74, 1, Status::INVALID));
        assert_eq!(bench.send().map(|b| (b[5], b.len())), Some((56, 36)));
        bench.batch.receive(&Reply::Null.encode(56, 2, Status::INVALID));
        assert_eq!(bench.batch.next_answer().map(|(_, a)| a.status), Some(Status::INVALID));
        assert_eq!(bench.send(), None);
    }

    #[test]
    fn long_patience_does_not_overflow() {
        let patience = Patience { initial_timeout: TimeDelta::MAX, max_retries: 30 };
        assert_eq!(patience.after(30, Link::Network), TimeDelta::MAX);
        assert_eq!(patience.after(0, Link::Local), TimeDelta::MAX);
    }
}
