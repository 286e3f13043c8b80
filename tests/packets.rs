//! Packets of real daemons and clients (tests/fixtures/packets): their MACs are believed, made again byte for byte, and bound to every bit.

use std::fs;

use ntpbox::auth::{AuthError, Dialect, KeyRing};
use ntpbox::types::KeyId;
use ntpbox::wire::ext::{Tail, Trailer};
use ntpbox::wire::ntp::Header;

/// `@ DIALECT LINE` of the key file, `> HEX` request, `< HEX` reply.
struct Capture {
    ring: KeyRing,
    dialect: Dialect,
    packets: Vec<Vec<u8>>,
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16).expect("a hexadecimal digit")).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

fn capture(name: &str) -> Capture {
    let text = fs::read_to_string(format!("tests/fixtures/packets/{name}.hex")).unwrap();
    let (mut keys, mut dialect, mut packets) = (String::new(), Dialect::Ntp, Vec::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.split_once(' ').expect("a mark and a value") {
            ("@", key) => {
                let (word, line) = key.split_once(' ').expect("dialect and line");
                dialect = if word == "ntp" { Dialect::Ntp } else { Dialect::Chrony };
                keys.push_str(line);
                keys.push('\n');
            }
            (">" | "<", hex) => packets.push(from_hex(hex)),
            (mark, _) => panic!("{name}: mark {mark}"),
        }
    }
    let (ring, diagnostics) = KeyRing::parse(keys.as_bytes(), dialect);
    assert_eq!(diagnostics, Vec::new(), "{name}");
    Capture { ring, dialect, packets }
}

#[test]
fn macs_of_real_peers_are_believed_and_made_again() {
    for (name, count) in [
        ("mac-chronyd-4.9-chronyd-4.9", 30),
        ("mac-chronyd-4.9-ntpd-4.2.8p15", 14),
        ("mac-ntpdate-4.2.8p15-chronyd-4.9", 12),
        ("mac-ntpdate-4.2.8p15-ntpd-4.2.8p15", 28),
    ] {
        let Capture { ring, dialect, packets } = capture(name);
        assert_eq!(packets.len(), count, "{name}");
        for packet in packets {
            let id = ring.verify_packet(&packet, dialect).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut again = Header::parse(&packet).unwrap().emit().to_vec();
            ring.sign_packet(id, &mut again, dialect).unwrap();
            assert_eq!(again, packet, "{name}, key {}", id.get());
            for bit in (0..packet.len() * 8).filter(|bit| !(3..6).contains(bit)) {
                // all but the version, which may change where the packet ends
                let mut changed = packet.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    ring.verify_packet(&changed, dialect).is_err(),
                    "{name}, key {}, bit {bit}",
                    id.get()
                );
            }
        }
    }
}

#[test]
fn fields_of_chronyd_stand_before_the_mac() {
    let Capture { ring, dialect, packets } = capture("ext-chronyd-4.9");
    let verdicts = [Ok(KeyId::new(2)), Err(AuthError::Missing)];
    for (packet, expected) in packets.iter().zip(verdicts.iter().cycle()) {
        let tail = Tail::parse(packet).unwrap();
        let fields: Vec<_> = tail.fields().collect();
        // experimental field F323: monotonic root and its magic
        assert_eq!(fields.len(), 1);
        assert_eq!((fields[0].kind, fields[0].body.len()), (0xf323, 24));
        assert_eq!(fields[0].body[..4], [0xf5, 0xbe, 0xdd, 0x9a]);
        assert_eq!(ring.verify_packet(packet, dialect), *expected);
    }
}

#[test]
fn ntpd_answers_an_unknown_key_with_a_crypto_nak() {
    let Capture { ring, dialect, packets } = capture("nak-ntpd-4.2.8p15");
    assert_eq!(ring.verify_packet(&packets[0], dialect), Ok(KeyId::new(77)));
    assert_eq!(Tail::parse(&packets[1]).unwrap().trailer(), Trailer::CryptoNak);
    assert_eq!(ring.verify_packet(&packets[1], dialect), Err(AuthError::CryptoNak));
}
