//! What each fuzz target does with its bytes. `cargo test` runs the same functions over tests/fuzz/corpus (tests/replay.rs).
//!
//! A body panics when a rule is broken; that the parsers do not panic by themselves is a rule too.

#[path = "association.rs"]
mod association;
#[path = "engine.rs"]
mod engine;
#[path = "ntp.rs"]
mod ntp;

use std::net::SocketAddr;

use ntpbox::auth::{AuthError, Dialect, KeyRing};
use ntpbox::client::cmdmon::{ntp_data_parts, server_counters};
use ntpbox::client::mode6::catalogue::{self, Subject, status_words};
use ntpbox::client::mode6::peers::peer_row;
use ntpbox::client::mode6::{Patience, Request as Question, Session};
use ntpbox::config::chrony_conf::{Files, parse_words};
use ntpbox::engine::access::Network;
use ntpbox::engine::clients::RateLimit;
use ntpbox::engine::rng::SplitMix;
use ntpbox::engine::server::{Remembering, Reply, Request, Server, Silence, Snapshot, Stamp};
use ntpbox::report::NtpqValue;
use ntpbox::types::{KeyId, LogInterval, Mode, MonoTime, Now, Stratum, TimeDelta, Timestamp};
use ntpbox::wire::cmdmon::{
    Refusal, Reply as CommandReply, Request as Command, VERSION, parse_reply, parse_request,
};
use ntpbox::wire::ext::{Follows, Tail, Trailer};
use ntpbox::wire::mode6::vars::{MAX_NAME, MAX_VALUE, variables};
use ntpbox::wire::mode6::{self, Align, AssocId, Opcode, Packet, parse_associations};
use ntpbox::wire::ntp::{HEADER_LEN, Header};

/// What a target does with its bytes; it panics when a rule is broken.
pub(crate) type Body = fn(&[u8]);

/// Name of the target (and of its folder in the corpus) → body.
pub(crate) const BODIES: &[(&str, Body)] = &[
    ("cmdmon_request", cmdmon_request),
    ("cmdmon_reply", cmdmon_reply),
    ("header", header),
    ("tail", tail),
    ("keys", keys),
    ("server", server),
    ("mode6", mode6_replies),
    ("variables", variable_list),
    ("chrony_conf", chrony_conf),
    ("association", association::association),
    ("ntp_conf", ntp::ntp_conf),
    ("mode6_requests", ntp::mode6_requests),
    ("engine", engine::engine),
];

/// Every 48 bytes are a header, and the header is these 48 bytes again.
fn header(data: &[u8]) {
    match Header::parse(data) {
        Ok(header) => {
            assert_eq!(header.emit(), data[..HEADER_LEN]);
            if let Some(kiss) = header.kiss() {
                assert_eq!(kiss.to_refid(), header.refid);
            }
            let text = header.refid.text(header.stratum);
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
        Err(error) => assert!(data.len() < HEADER_LEN, "{error}"),
    }
}

/// Fields and trailer that were found are written back to the same bytes; no key believes them; our own MAC behind them is believed.
fn tail(data: &[u8]) {
    let (ring, _) = KeyRing::parse(
        b"1 MD5 ASCII:fuzz\n257 SHA512 ASCII:fuzz\n65537 AES128 ASCII:0123456789abcdef\n",
        Dialect::Chrony,
    );
    let tail = match Tail::parse(data) {
        Ok(tail) => tail,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(ring.verify_packet(data, Dialect::Ntp), Err(AuthError::Malformed(error)));
            return;
        }
    };
    let fields: Vec<_> = tail.fields().collect();
    let mut again = data[..HEADER_LEN].to_vec();
    for (index, field) in fields.iter().enumerate() {
        let last = index + 1 == fields.len() && tail.trailer() == Trailer::None;
        field
            .emit(if last { Follows::End } else { Follows::More }, &mut again)
            .expect("it stood in a packet");
    }
    assert_eq!(again, tail.covered());
    tail.trailer().emit(&mut again);
    assert_eq!(again, data);

    for dialect in [Dialect::Ntp, Dialect::Chrony] {
        let verdict = ring.verify_packet(data, dialect);
        assert_ne!(
            matches!(tail.trailer(), Trailer::Mac(_)),
            matches!(verdict, Err(AuthError::Missing | AuthError::CryptoNak))
        );
        for (id, _) in ring.iter() {
            let mut signed = tail.covered().to_vec();
            // before NTPv4 there are no fields
            assert!(fields.is_empty() || data[0] >> 3 & 7 >= 4);
            ring.sign_packet(id, &mut signed, dialect).expect("a key of the ring");
            assert_eq!(ring.verify_packet(&signed, dialect), Ok(id));
            assert_eq!(verdict == Ok(id), signed == data);
        }
    }
}

/// Any bytes as a key file in both dialects: good keys read back the same, complaints are single printable lines.
fn keys(data: &[u8]) {
    for dialect in [Dialect::Ntp, Dialect::Chrony] {
        let (ring, diagnostics) = KeyRing::parse(data, dialect);
        let lines = data.split(|byte| *byte == b'\n').count();
        assert!(ring.len() + diagnostics.len() <= lines);
        for diagnostic in &diagnostics {
            assert!((1..=lines).contains(&diagnostic.line));
            let text = diagnostic.located("keys");
            assert!(!text.chars().any(char::is_control) && text.len() < 1000, "{text:?}");
        }
        for (id, key) in ring.iter() {
            assert!(id > KeyId::new(0) && !key.secret().is_empty());
            assert!(dialect == Dialect::Chrony || id <= KeyId::new(65_535));
            assert!(key.algorithm().key_len().is_none_or(|len| len == key.secret().len()));
        }
        let (again, complaints) = KeyRing::parse(&ring.emit_chrony(), Dialect::Chrony);
        assert!(complaints.is_empty(), "{complaints:?}");
        let contents = |ring: &KeyRing| -> Vec<_> {
            ring.iter().map(|(id, key)| (id, key.algorithm(), key.secret().to_vec())).collect()
        };
        assert_eq!(contents(&again), contents(&ring));
    }
}

/// No line of chrony.conf makes the parser panic, and each complaint is one printable line with its place.
fn chrony_conf(data: &[u8]) {
    struct NoFiles;
    impl Files for NoFiles {
        fn read(&mut self, _: &str) -> Result<Vec<u8>, String> {
            Err("No such file or directory".to_owned())
        }
        fn glob(&mut self, pattern: &str) -> Option<Vec<String>> {
            Some(vec![pattern.to_owned()])
        }
    }
    let lines: Vec<String> = String::from_utf8_lossy(data).split('\n').map(str::to_owned).collect();
    let parsed = parse_words(&lines, &mut NoFiles);
    assert!(parsed.echo.len() <= lines.len());
    for diagnostic in &parsed.diagnostics {
        assert!(!diagnostic.text.is_empty() && !diagnostic.text.contains('\n'), "{diagnostic:?}");
    }
}

/// Whatever is asked, in any order and pace: an answer is no longer than the request, belongs to it and to nobody else; the
/// rest is silence. The bytes are a list of packets, each with its length and its sender's behaviour before it.
fn server(data: &[u8]) {
    let mut rng = SplitMix::new(1);
    let limit = RateLimit { interval: 0, burst: 4, leak: 1, kod: 1 };
    let remembering = Remembering { bytes: Some(4096), ntp: Some(limit), command: Some(limit) };
    let precision = data.first().map_or(-20, |byte| i8::from_be_bytes([*byte]));
    let mut server = Server::new(remembering, LogInterval::from_log2(precision), &mut rng);
    server.access.set(Network::new([0, 0, 0, 0].into(), 0), true);
    server.keys = KeyRing::parse(b"1 MD5 ASCII:hello\n2 SHA256 ASCII:world\n", Dialect::Chrony).0;
    let mut now = Now { clock: Timestamp::from_unix(1_795_000_000, 5), mono: MonoTime::ZERO };
    let precision = LogInterval::from_log2(precision);
    server.set_snapshot(Snapshot::local(Stratum::new(3), precision, now.clock, &mut rng));
    let mut last: Option<Reply> = None;
    let mut rest = data.get(1..).unwrap_or_default();
    while let Some((&[high, low, sender], after)) = rest.split_first_chunk::<3>() {
        let (packet, after) =
            after.split_at(usize::from(u16::from_be_bytes([high & 7, low])).min(after.len()));
        rest = after;
        // no two packets come at one reading of the clock: replies are told apart by when their requests came
        let pause = TimeDelta::from_millis(1 + (i64::from(sender) << 3));
        now = Now { clock: now.clock + pause, mono: now.mono + pause };
        let mut packet = packet.to_vec();
        // a client that takes up what it was told, which no fuzzer would guess
        if let (Some(reply), Some(origin), true) = (&last, packet.get_mut(24..32), high & 0x80 != 0) {
            origin.copy_from_slice(&reply[32..40]);
        }
        if high & 0x40 != 0 {
            let _ =
                server.keys.sign_packet(KeyId::new(1 + u32::from(sender & 1)), &mut packet, Dialect::Chrony);
        }
        // a port that is not NTP's: version 1 in mode 0 is a client
        let from = SocketAddr::from(([192, 0, 2, sender & 3], 1024));
        let request = Request { bytes: &packet, from, received: now.clock, stamp: Stamp::Kernel };
        let reply = server.answer(&request, now, &mut rng);
        judge(&packet, &reply);
        if let Ok(reply) = reply {
            if high & 0x20 != 0 {
                let told = server.transmitted(&reply, now.clock);
                assert!(!told || reply.wants_stamp);
            }
            last = Some(reply);
        } else {
            server.transmitted(&packet, now.clock);
            server.command(Some(from.ip()), now.mono, &mut rng);
        }
    }
    let statistics = server.statistics();
    let counters = statistics.counters;
    assert!(counters.ntp_drops <= counters.ntp_hits && counters.interleaved <= statistics.counters.ntp_hits);
    assert_eq!(counters.daemon_rx + counters.kernel_rx, counters.daemon_tx + counters.kernel_tx);
    let page = server.clients().expect("a log is kept").page(0, 8, usize::MAX, 1, true, now.mono);
    assert!(page.clients.len() <= 4);
}

/// Whether an answer, or that there is none, is right for a request.
fn judge(packet: &[u8], reply: &Result<Reply, Silence>) {
    let bytes = match reply {
        Ok(reply) => reply,
        Err(silence) => {
            let plain_request = packet.len() == HEADER_LEN
                && matches!(packet[0] & 7, 1 | 3)
                && (1..=4).contains(&(packet[0] >> 3 & 7));
            assert!(!plain_request || *silence == Silence::Limited, "{silence:?}");
            assert_eq!(
                *silence == Silence::Length,
                packet.len() < HEADER_LEN || packet.len() > 1140 || !packet.len().is_multiple_of(4)
            );
            return;
        }
    };
    assert!(bytes.len() <= packet.len());
    let reply = Header::parse(bytes).expect("at least 48 bytes");
    let request = Header::parse(packet).expect("it was answered");
    assert_eq!((reply.version, reply.poll), (request.version, request.poll.max(LogInterval::from_log2(0))));
    assert!([request.transmit, request.receive].contains(&reply.origin));
    assert!(matches!(
        (request.mode, reply.mode),
        (Mode::Client | Mode::Reserved, Mode::Server) | (Mode::SymmetricActive, Mode::SymmetricPassive)
    ));
    assert_eq!((reply.receive.to_bits() & 1, reply.transmit.to_bits() & 1), (1, 0));
    let interleaved = reply.origin != request.transmit;
    assert!(interleaved || reply.transmit.wrapping_since(reply.receive).as_nanos() >= 0);
}

/// A request that is understood has the length that some client sends, and is the same when we send it.
fn cmdmon_request(data: &[u8]) {
    match parse_request(data) {
        Ok(packet) => {
            let (newest, least) = Command::lengths(packet.request.code()).expect("it was understood");
            assert!(packet.length == data.len() && least <= data.len() && least <= newest);
            let again = packet.request.encode(VERSION, packet.sequence, 0);
            assert_eq!(again.len(), newest);
            assert_eq!(parse_request(&again).map(|p| p.request), Ok(packet.request.clone()));
            if let Some(older) = packet.request.to_older() {
                assert!(older.to_older().is_none());
            }
        }
        Err(Refusal::Answer { command, sequence, .. }) => {
            assert_eq!(data[4..6], command.to_be_bytes());
            assert_eq!(data[8..12], sequence.to_be_bytes());
        }
        Err(Refusal::Silence) => {}
    }
}

/// A reply that is understood is as long as its code asks for, and is the same when our daemon sends it.
fn cmdmon_reply(data: &[u8]) {
    let Ok((header, reply)) = parse_reply(data) else { return };
    let _ = (ntp_data_parts(&reply), server_counters(&reply));
    let again = reply.encode(header.command, header.sequence, header.status);
    if let Some(length) = CommandReply::length(reply.code()) {
        assert!(again.len() == length && length <= data.len());
    }
    let (header_again, reply_again) = parse_reply(&again).expect("our own reply");
    assert_eq!((header_again.status, reply_again), (header.status, reply));
}

/// Any packet of mode 6 is written back to the same bytes; as fragments of replies to a session it neither panics nor piles up.
fn mode6_replies(data: &[u8]) {
    if let Ok(packet) = Packet::parse(data) {
        let again = packet.header.emit(packet.data, Align::Plain);
        let length = mode6::HEADER_LEN + packet.data.len();
        assert_eq!(again[..length], data[..length]);
        assert!(packet.mac.is_empty() || packet.covered.len() + packet.mac.len() == data.len());
    }
    // the same bytes as datagrams, a length byte before each; the number and operation of the request are put in,
    // so that most of them are taken as fragments
    let mut session = Session::new(2, Patience::default());
    let ticket = session.submit(Question::new(Opcode::ReadVariables, AssocId::SYSTEM, *b""));
    let request = session.poll_transmit(MonoTime::ZERO).expect("a request is queued");
    let mut rest = data;
    while let Some((&length, after)) = rest.split_first() {
        let (piece, after) = after.split_at(usize::from(length).min(after.len()));
        let mut datagram = piece.to_vec();
        for (slot, byte) in datagram.iter_mut().skip(2).zip(&request[2..4]) {
            *slot = *byte;
        }
        if let Some(first) = datagram.first_mut() {
            *first = *first & 0xc0 | 0x16;
        }
        if let Some(second) = datagram.get_mut(1) {
            *second = *second & 0x60 | 0x82;
        }
        datagram.resize(datagram.len().next_multiple_of(4), 0);
        session.handle(&datagram, MonoTime::ZERO);
        rest = after;
    }
    if let Some((answered, answer)) = session.poll_answer() {
        assert_eq!(answered, ticket);
        assert!(session.poll_answer().is_none() && session.is_idle());
        if let Ok(reply) = answer {
            assert!(reply.data.len() <= data.len());
            variable_list(&reply.data);
        }
    }
}

/// Any bytes as a variable list, a peer and a report: bounded, printable, no NaN.
fn variable_list(data: &[u8]) {
    let mut count = 0;
    let mut list = variables(data);
    for variable in list.by_ref() {
        count += 1;
        assert!(!variable.name.is_empty() && variable.name.len() <= MAX_NAME);
        assert!(variable.value.is_none_or(|value| value.len() <= MAX_VALUE));
    }
    assert!(count <= data.len());
    let printable = |text: &str| text.bytes().all(|b| (0x20..0x7f).contains(&b));
    let report = catalogue::report(
        "h",
        AssocId::SYSTEM,
        status_words(Subject::Peer, 0x963a),
        data,
        Timestamp::UNIX_EPOCH,
    );
    for value in report.values.values() {
        match value {
            NtpqValue::Number(number) => assert!(number.is_finite()),
            NtpqValue::Samples(numbers) => assert!(numbers.iter().all(|n| n.is_finite())),
            NtpqValue::Text(text) => assert!(printable(text), "{text:?}"),
            _ => {}
        }
    }
    assert!(report.raw.iter().all(|(name, value)| printable(name) && printable(value)));
    let row = peer_row(AssocId::new(1), 0x963a, data, Timestamp::UNIX_EPOCH);
    assert!(printable(&row.peer.remote) && printable(&row.peer.refid_text));
    assert!(row.srchost.is_none_or(|name| printable(&name)));
    let _ = parse_associations(data);
}
