use std::net::Ipv4Addr;

use super::*;
use crate::engine::access::Network;
use crate::engine::rng::SplitMix;

const RECEIVED: Timestamp = Timestamp::from_unix(1_795_000_000, 123_456_789);
const KEYS: &[u8] = b"1 MD5 ASCII:hello\n2 SHA256 HEX:000102030405060708090a0b0c0d0e0f\n3 AES128 HEX:000102030405060708090a0b0c0d0e0f\n";

/// A server that everybody may ask.
fn open(remembering: Remembering) -> Server {
    let mut rng = SplitMix::new(1);
    let precision = LogInterval::from_log2(-20);
    let mut server = Server::new(remembering, precision, &mut rng);
    server.access.set(Network::new(Ipv4Addr::UNSPECIFIED.into(), 0), true);
    server.keys = KeyRing::parse(KEYS, Dialect::Chrony).0;
    server.set_snapshot(Snapshot::local(Stratum::new(10), precision, RECEIVED, &mut rng));
    server
}

fn remembering() -> Server {
    open(Remembering { bytes: Some(524_288), ..Remembering::default() })
}

fn instant(stay: i64) -> Now {
    Now { clock: RECEIVED + TimeDelta::from_nanos(stay), mono: MonoTime::from_nanos(stay) }
}

fn from(bytes: &[u8], port: u16) -> Request<'_> {
    let from = SocketAddr::from(([192, 0, 2, 1], port));
    Request { bytes, from, received: RECEIVED, stamp: Stamp::Kernel }
}

/// The reply to a request 900 ns after it came.
fn put(server: &mut Server, bytes: &[u8]) -> Result<Reply, Silence> {
    server.answer(&from(bytes, 40_000), instant(900), &mut SplitMix::new(1))
}

fn ask(bytes: &[u8]) -> Result<Header, Silence> {
    put(&mut open(Remembering::default()), bytes).map(|reply| Header::parse(&reply).unwrap())
}

fn request(version: u8, mode: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes[0] = version << 3 | mode;
    bytes[2] = 6;
    bytes[40..48].copy_from_slice(&0xeeab_a2ea_120a_e224_u64.to_be_bytes());
    bytes
}

/// A request with these origin, receive and transmit stamps.
fn stamped(version: u8, mode: u8, stamps: [u64; 3]) -> Vec<u8> {
    let mut bytes = request(version, mode, 48);
    for (slot, stamp) in bytes[24..].chunks_exact_mut(8).zip(stamps) {
        slot.copy_from_slice(&stamp.to_be_bytes());
    }
    bytes
}

#[test]
fn a_key_of_ours_is_answered_under_the_same_key_in_the_same_length() {
    let limit = RateLimit { interval: 8, burst: 255, leak: 2, kod: 0 };
    let mut server = open(Remembering { bytes: Some(0), ntp: Some(limit), command: None });
    for (version, id, length) in [(4, 1, 68), (4, 2, 72), (3, 2, 84), (4, 3, 68), (3, 3, 68)] {
        let mut packet = request(version, 3, 48);
        server.keys.sign_packet(KeyId::new(id), &mut packet, Dialect::Chrony).unwrap();
        assert_eq!(packet.len(), length);
        let reply = put(&mut server, &packet).unwrap();
        assert_eq!(reply.len(), length, "v{version} key {id}");
        assert_eq!(server.keys.verify_packet(&reply, Dialect::Chrony), Ok(KeyId::new(id)));
        assert_eq!(Header::parse(&reply).unwrap().poll.log2(), 8);
        *packet.last_mut().unwrap() ^= 1;
        assert_eq!(put(&mut server, &packet), Err(Silence::Mac));
    }
    let counters = server.counters();
    assert_eq!((counters.ntp_hits, counters.authenticated, counters.kernel_rx), (10, 5, 5));
}

#[test]
fn mode_0_of_version_1_is_a_client_unless_it_comes_from_the_ntp_port() {
    let mut server = open(Remembering::default());
    let mut ask = |version, port| {
        let packet = request(version, 0, 48);
        let reply = server.answer(&from(&packet, port), instant(0), &mut SplitMix::new(1));
        reply.map(|reply| Header::parse(&reply).unwrap().mode)
    };
    assert_eq!(
        (ask(1, 124), ask(1, 123), ask(2, 124)),
        (Ok(Mode::Server), Err(Silence::Mode), Err(Silence::Mode))
    );
}

#[test]
fn versions_1_to_4_are_answered_in_their_version() {
    for version in 0..8 {
        let reply = ask(&request(version, 3, 48));
        match version {
            1..=4 => {
                let reply = reply.unwrap();
                assert_eq!((reply.version.get(), reply.mode), (version, Mode::Server));
                assert_eq!(reply.origin.to_bits(), 0xeeab_a2ea_120a_e224);
                assert_eq!(reply.poll.log2(), 6);
            }
            _ => assert_eq!(reply, Err(Silence::Version)),
        }
    }
}

#[test]
fn only_requests_are_answered() {
    let modes = [Err(Silence::Mode), Ok(Mode::SymmetricPassive), Err(Silence::Mode), Ok(Mode::Server)];
    for (mode, expected) in (0..8).zip(modes.into_iter().chain([Err(Silence::Mode); 4])) {
        assert_eq!(ask(&request(4, mode, 48)).map(|reply| reply.mode), expected, "mode {mode}");
    }
}

#[test]
fn who_may_not_ask_is_not_even_counted() {
    let mut server = remembering();
    server.access.set(Network::host(Ipv4Addr::new(192, 0, 2, 1).into()), false);
    assert_eq!(put(&mut server, &request(4, 3, 48)), Err(Silence::Access));
    assert_eq!(server.counters(), Counters::default());
    assert_eq!(server.clients().unwrap().page(0, 9, 1 << 20, 0, false, MonoTime::ZERO).clients, []);
}

#[test]
fn lengths_that_are_no_request_get_silence() {
    for length in 0..48 {
        assert_eq!(ask(&vec![0x23; length]), Err(Silence::Length), "{length}");
    }
    for length in [49, 50, 51, 1141, 1144, 65_532] {
        assert_eq!(ask(&request(4, 3, length)), Err(Silence::Length), "{length}");
    }
    for length in [52, 56, 60, 64] {
        assert_eq!(ask(&request(4, 3, length)), Err(Silence::Tail), "{length}");
    }
    for (version, length) in [(4, 68), (4, 72), (3, 68), (3, 116)] {
        assert_eq!(ask(&request(version, 3, length)), Err(Silence::Mac), "v{version} {length}");
    }
    // an unknown field is skipped and not echoed
    let mut fields = request(4, 3, 76);
    fields[48..52].copy_from_slice(&[0x12, 0x34, 0, 28]);
    assert!(ask(&fields).is_ok());
    fields[51] = 12;
    assert_eq!(ask(&fields), Err(Silence::Tail));
}

#[test]
fn stamps_are_right_to_the_precision_and_in_order() {
    let mut rng = SplitMix::new(7);
    let mut server = open(Remembering::default());
    for (stay, ahead) in [(0, 0), (1, 250_000_000), (400, -250_000_000), (5000, 3_600_000_000_000)] {
        let ahead = TimeDelta::from_nanos(ahead);
        let local =
            Snapshot::local(Stratum::new(10), server.snapshot().precision, RECEIVED + ahead, &mut rng);
        let snapshot = Snapshot { ahead, at: RECEIVED, ..local };
        server.set_snapshot(snapshot);
        let reply = server.answer(&from(&request(4, 3, 48), 123), instant(stay), &mut rng).unwrap();
        let reply = Header::parse(&reply).unwrap();
        let quantum = 954;
        let error =
            |stamp: NtpTimestamp, t: Timestamp| (stamp.to_timestamp(RECEIVED) - t - ahead).as_nanos().abs();
        assert!(error(reply.receive, RECEIVED) <= quantum);
        assert!(error(reply.transmit, instant(stay).clock) <= quantum + 1);
        assert!(reply.transmit.wrapping_since(reply.receive) >= TimeDelta::ZERO);
        assert_eq!((reply.receive.to_bits() & 1, reply.transmit.to_bits() & 1), (1, 0));
        let age = RECEIVED + ahead - reply.reference.to_timestamp(RECEIVED);
        assert!(age >= TimeDelta::from_secs(1) && age <= TimeDelta::from_secs(2));
    }
}

#[test]
fn the_error_bound_and_the_correction_grow_with_time() {
    let mut server = open(Remembering::default());
    let snapshot = Snapshot {
        root_dispersion: Secs::literal(0.5),
        dispersion_rate: Frequency::from_ppm(1000.0).unwrap(),
        ahead_rate: Frequency::from_ppm(-100.0).unwrap(),
        at: RECEIVED - TimeDelta::from_secs(1000),
        ..*server.snapshot()
    };
    server.set_snapshot(snapshot);
    server.prepare(RECEIVED);
    let reply = Header::parse(&put(&mut server, &request(4, 3, 48)).unwrap()).unwrap();
    assert!((reply.root_dispersion.to_secs().get() - 1.5).abs() < 1e-4, "{:?}", reply.root_dispersion);
    let ahead = reply.receive.to_timestamp(RECEIVED) - RECEIVED;
    assert!((ahead + TimeDelta::from_millis(100)).abs() < TimeDelta::from_micros(1), "{ahead:?}");
}

#[test]
fn an_unsynchronised_server_says_so() {
    let mut server = open(Remembering::default());
    let precision = LogInterval::from_log2(-20);
    server.set_snapshot(Snapshot::unsynchronised(precision));
    let reply = Header::parse(&put(&mut server, &request(4, 3, 48)).unwrap()).unwrap();
    assert_eq!((reply.leap, reply.stratum), (Leap::Unsynchronised, Stratum::UNSPECIFIED));
    assert_eq!((reply.refid, reply.reference), (RefId::from_bits(0), NtpTimestamp::ZERO));
    assert_eq!((reply.root_delay, reply.root_dispersion), (NtpShort::ONE, NtpShort::ONE));
}

/// The bits of origin, receive and transmit stamp of a reply.
fn stamps(reply: &Reply) -> [u64; 3] {
    let header = Header::parse(reply).unwrap();
    [header.origin, header.receive, header.transmit].map(NtpTimestamp::to_bits)
}

#[test]
fn an_interleaved_reply_tells_when_the_earlier_one_left() {
    for mode in [1, 3] {
        let mut server = remembering();
        let first = put(&mut server, &stamped(4, mode, [3, 0, 9])).unwrap();
        let [origin, receive, transmit] = stamps(&first);
        assert!(first.wants_stamp && origin == 9);
        // as the kernel returns it: link, network and transport headers, then the reply
        let left = RECEIVED + TimeDelta::from_micros(7);
        let frame: Vec<u8> = [0x24; 42].into_iter().chain(first.iter().copied()).collect();
        assert!(server.transmitted(&frame, left));
        assert!(!server.transmitted(&frame[..80], left) && !server.transmitted(b"", left));
        let second = put(&mut server, &stamped(4, mode, [receive, 4, 10])).unwrap();
        let told = stamps(&second);
        assert_eq!(told[0], 4, "the origin is the receive stamp of the request");
        let at = NtpTimestamp::from_bits(told[2]).to_timestamp(RECEIVED);
        assert!((at - left).abs() <= TimeDelta::from_nanos(2) && told[2] != transmit);
        // told once only: a replayed request is answered in basic mode
        let again = put(&mut server, &stamped(4, mode, [receive, 4, 11])).unwrap();
        assert_eq!(stamps(&again)[0], 11);
        let counters = server.counters();
        assert_eq!((counters.interleaved, counters.kernel_tx, counters.daemon_tx), (1, 1, 2));
        assert_eq!(server.statistics().pairs, 3);
        // without a stamp of the kernel our own is told
        let third = put(&mut server, &stamped(4, mode, [told[1], 5, 12])).unwrap();
        assert_eq!(server.counters().interleaved, 2);
        assert_eq!((server.counters().kernel_tx, stamps(&third)[0]), (1, 5));
    }
}

#[test]
fn who_does_not_interleave_takes_no_room() {
    let mut server = remembering();
    // an even origin is a transmit stamp of ours; equal stamps are those of clients that hide theirs
    for (version, stamps) in [(4, [0, 5, 9]), (4, [2, 5, 9]), (4, [3, 9, 9]), (3, [3, 5, 9]), (1, [3, 5, 9])]
    {
        let reply = put(&mut server, &stamped(version, 3, stamps)).unwrap();
        assert!(!reply.wants_stamp && server.statistics().pairs == 0, "{stamps:?}");
    }
    let mut forgetful = open(Remembering::default());
    assert!(!put(&mut forgetful, &stamped(4, 3, [3, 5, 9])).unwrap().wants_stamp);
}

#[test]
fn requests_of_one_moment_get_receive_stamps_of_their_own() {
    let mut server = remembering();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..6 {
        // the same random numbers each time
        let reply = put(&mut server, &stamped(4, 3, [3, 5, 9])).unwrap();
        assert!(seen.insert(stamps(&reply)[1]));
    }
}

#[test]
fn who_asks_too_often_gets_a_kiss_of_death_at_most() {
    let limit = RateLimit { interval: 3, burst: 4, leak: 2, kod: 1 };
    let mut server = open(Remembering { bytes: Some(1), ntp: Some(limit), command: None });
    let mut rng = SplitMix::new(5);
    let (mut served, mut kissed, mut silent) = (0, 0, 0);
    for round in 0..1000 {
        match server.answer(&from(&stamped(4, 3, [3, 5, 9]), 9), instant(900), &mut rng) {
            Ok(reply) => {
                let header = Header::parse(&reply).unwrap();
                assert_eq!((header.poll.log2(), header.origin.to_bits(), reply.len()), (6, 9, 48));
                match header.kiss() {
                    None => served += 1,
                    Some(kiss) => {
                        assert!(kiss == Kiss::Rate && !reply.wants_stamp && round >= 4);
                        kissed += 1;
                    }
                }
            }
            Err(silence) => {
                assert_eq!(silence, Silence::Limited);
                silent += 1;
            }
        }
    }
    assert!((200..300).contains(&served) && (300..450).contains(&kissed), "{served} {kissed} {silent}");
    assert_eq!(server.counters().ntp_drops, silent);
    assert_eq!(server.counters().ntp_hits, 1000);
}

#[test]
fn no_bytes_make_it_panic_and_no_reply_is_longer_than_the_request() {
    let mut rng = SplitMix::new(3);
    let mut server = remembering();
    for _ in 0..20_000 {
        let length = usize::try_from(rng.next_u64() % 128).unwrap();
        let mut bytes: Vec<u8> = (0..length).map(|_| rng.next_u64().to_be_bytes()[0]).collect();
        if let (Some(first), true) = (bytes.first_mut(), rng.next_u64().is_multiple_of(2)) {
            *first = 0x23;
        }
        server.transmitted(&bytes, RECEIVED);
        if let Ok(reply) = server.answer(&from(&bytes, 9), instant(0), &mut rng) {
            assert!(reply.len() <= bytes.len());
        }
    }
}
