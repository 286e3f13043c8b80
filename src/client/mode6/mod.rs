//! Mode 6 from the asking side: requests out, replies put together, time-outs and retries (ntp-legacy 2.8).
//!
//! At most four requests are outstanding. The first time-out of a session makes it cautious: from then on one at a
//! time, and what was under way together is asked again before anything is reported (servers may limit bursts).

pub mod catalogue;
pub mod decode;
pub mod peers;

use std::collections::VecDeque;

use crate::auth::{DigestLength, KeyRing};
use crate::types::{KeyId, MonoTime, TimeDelta};
use crate::wire::ext::Mac;
use crate::wire::mode6::assembly::{Assembly, Fragment};
use crate::wire::mode6::{Align, AssocId, ErrorCode, Header, Opcode, Packet};

/// Most requests under way at once.
const MAX_OUTSTANDING: usize = 4;
/// How often a request is sent before it counts as unanswered.
const TRIES: u8 = 2;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub opcode: Opcode,
    /// About what.
    pub association: AssocId,
    /// The text of the request.
    pub data: Vec<u8>,
    /// Whether it needs a MAC.
    pub authenticated: bool,
}

impl Request {
    /// A question without MAC.
    pub fn new(opcode: Opcode, association: AssocId, data: impl Into<Vec<u8>>) -> Self {
        Self { opcode, association, data: data.into(), authenticated: false }
    }
}

/// Names a request until its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A complete reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status word of the subject, from the last fragment.
    pub status: u16,
    /// All data in order.
    pub data: Vec<u8>,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryError {
    /// Nothing came in time, twice.
    TimedOut,
    /// Something came, but not all of it, twice.
    Incomplete,
    /// The server said no.
    Refused(ErrorCode),
    /// The reply's MAC is missing or wrong.
    NotAuthentic,
    /// The socket failed: text for the user.
    Transport(String),
}

/// The key that signs requests and checks replies.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Its number.
    pub key: KeyId,
    /// A ring that holds it.
    pub ring: KeyRing,
}

impl Credentials {
    /// Appends the MAC to a padded packet.
    fn sign(&self, packet: &mut Vec<u8>) {
        // the key is in the ring, else the packet goes without MAC and is refused
        if let Ok(mac) = self.ring.sign(self.key, packet, DigestLength::CutTo20) {
            packet.extend_from_slice(&mac);
        }
    }

    /// Whether a reply's MAC is by our key.
    fn verify(&self, packet: &Packet<'_>) -> bool {
        let Some((id, digest)) = packet.mac.split_first_chunk::<4>() else { return false };
        let mac = Mac { key: KeyId::new(u32::from_be_bytes(*id)), digest };
        mac.key == self.key && self.ring.verify(packet.covered, mac, DigestLength::CutTo20).is_ok()
    }
}

/// How long a session waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the first fragment (ntpq: 5 s, command `timeout`).
    pub first: TimeDelta,
    /// For each further one (3 s).
    pub further: TimeDelta,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first: TimeDelta::from_secs(5), further: TimeDelta::from_secs(3) }
    }
}

struct Flight {
    ticket: Ticket,
    request: Request,
    sequence: u16,
    deadline: MonoTime,
    tries_left: u8,
    resend: bool,
    assembly: Assembly,
}

struct Queued {
    ticket: Ticket,
    request: Request,
}

/// A conversation with one server.
pub struct Session {
    version: u8,
    patience: Patience,
    credentials: Option<Credentials>,
    sequence: u16,
    tickets: u64,
    cautious: bool,
    queue: VecDeque<Queued>,
    flights: Vec<Flight>,
    answers: VecDeque<(Ticket, Result<Reply, QueryError>)>,
}

impl Session {
    /// A conversation that claims this NTP version (1 … 4).
    pub fn new(version: u8, patience: Patience) -> Self {
        Self {
            version,
            patience,
            credentials: None,
            sequence: 0,
            tickets: 0,
            cautious: false,
            queue: VecDeque::new(),
            flights: Vec::new(),
            answers: VecDeque::new(),
        }
    }

    /// The version claimed from the next request on (1 … 4).
    pub fn set_version(&mut self, version: u8) {
        self.version = version;
    }

    /// The waits from the next request on.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// What signs from the next request on.
    pub fn set_credentials(&mut self, credentials: Option<Credentials>) {
        self.credentials = credentials;
    }

    /// Queues a question.
    pub fn submit(&mut self, request: Request) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.queue.push_back(Queued { ticket, request });
        ticket
    }

    /// The next packet to send, until there is none.
    pub fn poll_transmit(&mut self, now: MonoTime) -> Option<Vec<u8>> {
        let (version, credentials) = (self.version, self.credentials.as_ref());
        if let Some(flight) = self.flights.iter_mut().find(|flight| flight.resend) {
            flight.resend = false;
            flight.deadline = now + self.patience.first;
            return Some(packet(flight, version, credentials));
        }
        let limit = if self.cautious { 1 } else { MAX_OUTSTANDING };
        if self.flights.len() >= limit {
            return None;
        }
        let Queued { ticket, request } = self.queue.pop_front()?;
        self.sequence = self.sequence.wrapping_add(1);
        let flight = Flight {
            ticket,
            request,
            sequence: self.sequence,
            deadline: now + self.patience.first,
            tries_left: TRIES,
            resend: false,
            assembly: Assembly::default(),
        };
        let bytes = packet(&flight, version, credentials);
        self.flights.push(flight);
        Some(bytes)
    }

    /// Takes a datagram. What is no reply to anything under way counts for nothing.
    pub fn handle(&mut self, bytes: &[u8], now: MonoTime) {
        let Ok(packet) = Packet::parse(bytes) else { return };
        let header = packet.header;
        let Some(at) = self
            .flights
            .iter()
            .position(|f| f.sequence == header.sequence && f.request.opcode == header.opcode)
        else {
            return;
        };
        let Some(flight) = self.flights.get_mut(at) else { return };
        if !header.response {
            return;
        }
        if let Some(code) = header.error_code() {
            self.land(at, Err(QueryError::Refused(code)));
            return;
        }
        if flight.request.authenticated && !packet.mac.is_empty() {
            let authentic = self.credentials.as_ref().is_some_and(|keys| keys.verify(&packet));
            if !authentic {
                self.land(at, Err(QueryError::NotAuthentic));
                return;
            }
        }
        match flight.assembly.accept(&packet) {
            Fragment::Ignored => {}
            Fragment::Kept => flight.deadline = now + self.patience.further,
            Fragment::Last => {
                let (status, data) = std::mem::take(&mut flight.assembly).finish();
                self.land(at, Ok(Reply { status, data }));
            }
        }
    }

    /// The socket failed (for example: connection refused): nothing under way or queued will be answered.
    pub fn fail(&mut self, reason: &str) {
        let tickets = self.flights.drain(..).map(|f| f.ticket).chain(self.queue.drain(..).map(|q| q.ticket));
        self.answers.extend(tickets.map(|t| (t, Err(QueryError::Transport(reason.to_owned())))));
    }

    /// Everything under way is sent again at once: it went to another address.
    pub fn send_again(&mut self) {
        for flight in &mut self.flights {
            flight.resend = true;
        }
    }

    /// Forgets everything under way and queued (the user interrupted).
    pub fn abandon(&mut self) {
        self.flights.clear();
        self.queue.clear();
        self.answers.clear();
    }

    /// When [`Session::handle_timeout`] is due.
    pub fn next_timeout(&self) -> Option<MonoTime> {
        self.flights.iter().filter(|f| !f.resend).map(|f| f.deadline).min()
    }

    /// Ends the waits that are over.
    pub fn handle_timeout(&mut self, now: MonoTime) {
        let together = self.flights.len() > 1;
        while let Some(at) = self.flights.iter().position(|f| !f.resend && f.deadline <= now) {
            self.cautious = true;
            if together {
                // lost in company: asked again alone, as if it had not been asked yet
                let flight = self.flights.remove(at);
                let place = self.queue.partition_point(|queued| queued.ticket < flight.ticket);
                self.queue.insert(place, Queued { ticket: flight.ticket, request: flight.request });
                continue;
            }
            let Some(flight) = self.flights.get_mut(at) else { return };
            flight.tries_left -= 1;
            let nothing = flight.assembly.is_empty();
            if flight.tries_left == 0 {
                let error = if nothing { QueryError::TimedOut } else { QueryError::Incomplete };
                self.land(at, Err(error));
                continue;
            }
            if !nothing {
                self.sequence = self.sequence.wrapping_add(1);
                flight.sequence = self.sequence;
                flight.assembly = Assembly::default();
            }
            flight.resend = true;
        }
    }

    /// The next answer, in the order of arrival.
    pub fn poll_answer(&mut self) -> Option<(Ticket, Result<Reply, QueryError>)> {
        self.answers.pop_front()
    }

    /// Whether every question is answered.
    pub fn is_idle(&self) -> bool {
        self.flights.is_empty() && self.queue.is_empty()
    }

    fn land(&mut self, at: usize, answer: Result<Reply, QueryError>) {
        let flight = self.flights.remove(at);
        self.answers.push_back((flight.ticket, answer));
    }
}

fn packet(flight: &Flight, version: u8, credentials: Option<&Credentials>) -> Vec<u8> {
    let Request { opcode, association, data, authenticated } = &flight.request;
    let header = Header::request(version, *opcode, flight.sequence, *association);
    match credentials.filter(|_| *authenticated) {
        None => header.emit(data, Align::Plain),
        Some(keys) => {
            let mut bytes = header.emit(data, Align::Authenticated);
            keys.sign(&mut bytes);
            bytes
        }
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may say so by panicking")]
mod tests {
    use super::*;
    use crate::types::Leap;
    use crate::wire::mode6::assembly::fragments;

    fn at(secs: i64) -> MonoTime {
        MonoTime::ZERO + TimeDelta::from_secs(secs)
    }

    fn read(id: u16) -> Request {
        Request::new(Opcode::ReadVariables, AssocId::new(id), *b"")
    }

    fn answer(request: &[u8], data: &[u8]) -> Vec<Vec<u8>> {
        let header = Packet::parse(request).unwrap().header;
        fragments(&header.reply(Leap::None, 0x0615), data, Align::Plain)
    }

    fn unhex(text: &str) -> Vec<u8> {
        let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(pair).collect()
    }

    /// Asks what a vector asks, byte for byte, and takes what it was answered.
    fn exchange(request: &str, replies: &[&str]) -> Result<Reply, QueryError> {
        let bytes = unhex(request);
        let packet = Packet::parse(&bytes).unwrap();
        let mut session = Session::new(2, Patience::default());
        let ring = KeyRing::parse(b"2 M secret2\n", crate::auth::Dialect::Ntp).0;
        session.set_credentials(Some(Credentials { key: KeyId::new(2), ring }));
        session.submit(Request {
            opcode: packet.header.opcode,
            association: packet.header.association,
            data: packet.data.to_vec(),
            authenticated: !packet.mac.is_empty(),
        });
        assert_eq!(session.poll_transmit(at(0)).unwrap(), bytes);
        for reply in replies {
            assert_eq!(session.poll_answer(), None);
            session.handle(&unhex(reply), at(0));
        }
        session.poll_answer().expect("a vector is complete").1
    }

    /// The vectors of ntp-legacy 2.17; what ntpq makes of them is in tests/applet/ntpq.rs.
    #[test]
    fn the_vectors_are_asked_and_understood() {
        let recorded = |text: &str| {
            let part =
                |sign: &str| text.lines().filter_map(|line| line.strip_prefix(sign)).collect::<Vec<_>>();
            exchange(part("> ")[0], &part("< "))
        };
        macro_rules! vector {
            ($name:literal) => {
                recorded(include_str!(concat!(
                    "../../../tests/fixtures/replies/ntpd-4.2.6p5/",
                    $name,
                    ".hex"
                )))
            };
        }
        let list = vector!("readstat").unwrap();
        let pairs = crate::wire::mode6::parse_associations(&list.data).unwrap();
        assert_eq!((list.status, pairs.len(), pairs[7]), (0x0614, 11, (AssocId::new(36203), 0x963a)));
        let text = |reply: Reply| (reply.status, String::from_utf8(reply.data).unwrap());
        let (status, system) = text(vector!("readvar").unwrap());
        assert_eq!((status, system.len()), (0x0614, 376));
        assert!(system.ends_with("clk_jitter=0.366, clk_wander=0.000\r\n"), "{system}");
        let named = text(vector!("readvar-names").unwrap());
        assert_eq!(named, (0x0614, "offset=0.000, frequency=0.000\r\n".to_owned()));
        let (status, peer) = text(vector!("readvar-peer").unwrap());
        assert_eq!((status, peer.len()), (0x963a, 417 + 105));
        assert!(peer.contains(" 0.09 0.20,\r\nfiltoffset= 1.08 1.08 "), "{peer}");
        assert_eq!(text(vector!("clockvar").unwrap()).1.len(), 149);
        let configured = text(vector!("configure").unwrap());
        assert_eq!(configured, (0, "column 9 syntax error, unexpected T_String\r\n".to_owned()));
        let refused = |code| Err(QueryError::Refused(code));
        assert_eq!(vector!("unknown-association"), refused(ErrorCode::BadAssociation));
        assert_eq!(vector!("unknown-variable"), refused(ErrorCode::UnknownVariable));
        assert_eq!(vector!("unknown-opcode"), refused(ErrorCode::BadOpcode));
        let write = exchange("160300010000000000000000", &["16c300010100000000000000"]);
        assert_eq!(write, refused(ErrorCode::Permission));
        let write_clock = exchange("160500010000000000000000", &["16c500010100000000000000"]);
        assert_eq!(write_clock, refused(ErrorCode::Permission));
        let nothing = exchange("160000010000000000000000", &["168000010614000000000000"]);
        assert_eq!(nothing, Ok(Reply { status: 0x0614, data: Vec::new() }));
        let nonce = exchange(
            "160c00010000000000000000",
            &["168c000100000000000000206e6f6e63653d6565616261343264373463666339646531313434383734370d0a"],
        );
        assert_eq!(text(nonce.unwrap()).1, "nonce=eeaba42d74cfc9de11448747\r\n");
    }

    #[test]
    fn four_are_under_way_and_answers_come_in_any_order() {
        let mut session = Session::new(2, Patience::default());
        let tickets: Vec<_> = (1..=6).map(|id| session.submit(read(id))).collect();
        let sent: Vec<_> = std::iter::from_fn(|| session.poll_transmit(at(0))).collect();
        assert_eq!(sent.len(), 4);
        session.handle(&answer(&sent[2], b"x=1")[0], at(0));
        let (ticket, reply) = session.poll_answer().unwrap();
        assert_eq!((ticket, reply.unwrap().data), (tickets[2], b"x=1".to_vec()));
        assert_eq!(std::iter::from_fn(|| session.poll_transmit(at(0))).count(), 1);
    }

    #[test]
    fn a_dead_server_costs_two_waits() {
        let mut session = Session::new(2, Patience::default());
        let ticket = session.submit(read(0));
        let first = session.poll_transmit(at(0)).unwrap();
        assert_eq!(session.next_timeout(), Some(at(5)));
        session.handle_timeout(at(5));
        assert_eq!(session.poll_answer(), None);
        assert_eq!(session.poll_transmit(at(5)), Some(first));
        session.handle_timeout(at(10));
        assert_eq!(session.poll_answer(), Some((ticket, Err(QueryError::TimedOut))));
        assert!(session.is_idle());
    }

    #[test]
    fn a_burst_that_is_lost_is_asked_again_one_at_a_time() {
        let mut session = Session::new(2, Patience::default());
        let tickets: Vec<_> = (1..=3).map(|id| session.submit(read(id))).collect();
        assert_eq!(std::iter::from_fn(|| session.poll_transmit(at(0))).count(), 3);
        session.handle_timeout(at(5));
        for (number, ticket) in tickets.into_iter().enumerate() {
            let sent: Vec<_> = std::iter::from_fn(|| session.poll_transmit(at(5))).collect();
            assert_eq!(sent.len(), 1, "request {number}");
            session.handle(&answer(&sent[0], b"x")[0], at(5));
            assert_eq!(session.poll_answer().unwrap().0, ticket);
        }
        assert!(session.is_idle());
    }

    #[test]
    fn an_incomplete_reply_is_asked_for_again_under_a_new_number() {
        let mut session = Session::new(2, Patience::default());
        session.submit(read(0));
        let first = session.poll_transmit(at(0)).unwrap();
        let parts = answer(&first, &[b'a'; 600]);
        session.handle(&parts[1], at(1));
        assert_eq!(session.next_timeout(), Some(at(4)));
        session.handle_timeout(at(4));
        let second = session.poll_transmit(at(4)).unwrap();
        assert_ne!(first, second);
        session.handle(&parts[0], at(4));
        assert_eq!(session.poll_answer(), None, "a late fragment of the first try");
        session.handle(&answer(&second, &[b'b'; 600])[0], at(4));
        session.handle_timeout(at(7));
        assert_eq!(session.poll_answer().unwrap().1, Err(QueryError::Incomplete));
    }

    #[test]
    fn foreign_and_broken_packets_count_for_nothing() {
        let mut session = Session::new(2, Patience::default());
        session.submit(read(0));
        let sent = session.poll_transmit(at(0)).unwrap();
        let good = answer(&sent, b"x").remove(0);
        session.handle(&sent, at(0));
        session.handle(b"", at(0));
        for (byte, value) in [(1, 0x81), (3, 9), (0, 0x1c), (11, 200)] {
            let mut bad = good.clone();
            bad[byte] = value;
            session.handle(&bad, at(0));
        }
        assert_eq!(session.poll_answer(), None);
        session.handle(&good, at(0));
        assert!(session.poll_answer().unwrap().1.is_ok());
    }

    #[test]
    fn errors_and_a_dead_socket_end_the_wait() {
        let mut session = Session::new(2, Patience::default());
        session.submit(read(9));
        let sent = session.poll_transmit(at(0)).unwrap();
        let header = Packet::parse(&sent).unwrap().header;
        session.handle(&header.refuse(Leap::None, ErrorCode::BadAssociation).emit(b"", Align::Plain), at(0));
        assert_eq!(session.poll_answer().unwrap().1, Err(QueryError::Refused(ErrorCode::BadAssociation)));
        session.submit(read(1));
        session.poll_transmit(at(0)).unwrap();
        session.submit(read(2));
        session.fail("read: Connection refused");
        assert_eq!(std::iter::from_fn(|| session.poll_answer()).count(), 2);
        assert!(session.is_idle());
    }
}
