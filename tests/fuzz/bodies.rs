//! What each fuzz target does with its bytes. `cargo test` runs the same functions over tests/fuzz/corpus (tests/replay.rs).
//!
//! A body panics when a rule is broken; that the parsers do not panic by themselves is a rule too.

use ntpbox::auth::{AuthError, Dialect, KeyRing};
use ntpbox::client::cmdmon::{ntp_data_parts, server_counters};
use ntpbox::engine::rng::SplitMix;
use ntpbox::engine::server::{Silence, Snapshot, answer};
use ntpbox::types::{KeyId, Leap, LogInterval, Mode, NtpShort, RefId, Stratum, Timestamp};
use ntpbox::wire::cmdmon::{Refusal, Reply, Request, VERSION, parse_reply, parse_request};
use ntpbox::wire::ext::{Follows, Tail, Trailer};
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

/// Whatever is asked: an answer is no longer than the request, belongs to it and to nobody else; the rest is silence.
fn server(data: &[u8]) {
    let received = Timestamp::from_unix(1_795_000_000, 5);
    let snapshot = Snapshot {
        leap: Leap::None,
        stratum: Stratum::new(3),
        precision: LogInterval::from_log2(data.first().map_or(-20, |byte| i8::from_be_bytes([*byte]))),
        root_delay: NtpShort::ONE,
        root_dispersion: NtpShort::ONE,
        refid: RefId::from_bits(0x7F7F_0101),
        reference: received,
    };
    let reply = match answer(data, received, received, &snapshot, &mut SplitMix::new(1)) {
        Ok(reply) => Header::parse(&reply).expect("48 bytes"),
        Err(silence) => {
            let plain_request = data.len() == HEADER_LEN
                && matches!(data[0] & 7, 1 | 3)
                && (1..=4).contains(&(data[0] >> 3 & 7));
            assert!(!plain_request, "{silence:?}");
            assert_eq!(
                silence == Silence::Length,
                data.len() < HEADER_LEN || data.len() > 1140 || !data.len().is_multiple_of(4)
            );
            return;
        }
    };
    let request = Header::parse(data).expect("it was answered");
    assert!(data.len() >= HEADER_LEN);
    assert_eq!((reply.version, reply.origin, reply.poll), (request.version, request.transmit, request.poll));
    assert!(matches!(
        (request.mode, reply.mode),
        (Mode::Client, Mode::Server) | (Mode::SymmetricActive, Mode::SymmetricPassive)
    ));
    assert!(reply.transmit.wrapping_since(reply.receive).as_nanos() >= 0);
}

/// A request that is understood has the length that some client sends, and is the same when we send it.
fn cmdmon_request(data: &[u8]) {
    match parse_request(data) {
        Ok(packet) => {
            let (newest, least) = Request::lengths(packet.request.code()).expect("it was understood");
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
    if let Some(length) = Reply::length(reply.code()) {
        assert!(again.len() == length && length <= data.len());
    }
    let (header_again, reply_again) = parse_reply(&again).expect("our own reply");
    assert_eq!((header_again.status, reply_again), (header.status, reply));
}
