//! Properties that hold for all values (proptest; a failure prints the smallest case).

use ntpbox::auth::{Algorithm, AuthError, Dialect, Key, KeyRing};
use ntpbox::types::{KeyId, LogInterval, NtpShort, NtpTimestamp, RefId, Stratum, Timestamp};
use ntpbox::types::{Leap, Mode, Version};
use ntpbox::wire::ext::{Field, Follows, Tail, Trailer};
use ntpbox::wire::ntp::Header;
use proptest::collection::vec;
use proptest::prelude::*;

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::Md5,
    Algorithm::Sha1,
    Algorithm::Sha256,
    Algorithm::Sha384,
    Algorithm::Sha512,
    Algorithm::Aes128Cmac,
    Algorithm::Aes256Cmac,
];

fn any_header() -> impl Strategy<Value = Header> {
    (any::<[u8; 3]>(), any::<[i8; 2]>(), any::<[u32; 3]>(), any::<[u64; 4]>(), any::<u8>()).prop_map(
        |([leap, version, mode], [poll, precision], [delay, dispersion, refid], times, stratum)| Header {
            leap: Leap::from_bits(leap & 3),
            version: Version::from_bits(version),
            mode: Mode::from_bits(mode),
            stratum: Stratum::new(stratum),
            poll: LogInterval::from_log2(poll),
            precision: LogInterval::from_log2(precision),
            root_delay: NtpShort::from_bits(delay),
            root_dispersion: NtpShort::from_bits(dispersion),
            refid: RefId::from_bits(refid),
            reference: NtpTimestamp::from_bits(times[0]),
            origin: NtpTimestamp::from_bits(times[1]),
            receive: NtpTimestamp::from_bits(times[2]),
            transmit: NtpTimestamp::from_bits(times[3]),
        },
    )
}

/// A ring of one key of each algorithm, numbers 1 … 7.
fn one_of_each(secret: &[u8]) -> KeyRing {
    let mut ring = KeyRing::default();
    for (algorithm, number) in ALGORITHMS.into_iter().zip(1..) {
        assert!(ring.insert(KeyId::new(number), Key::new(algorithm, secret)));
    }
    ring
}

/// Number, algorithm and secret of every key.
fn contents(ring: &KeyRing) -> Vec<(u32, &'static str, Vec<u8>)> {
    ring.iter().map(|(id, key)| (id.get(), key.algorithm().chrony_name(), key.secret().to_vec())).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn header_bytes_come_back(bytes in any::<[[u8; 16]; 3]>()) {
        prop_assert_eq!(&Header::parse(bytes.as_flattened()).unwrap().emit()[..], bytes.as_flattened());
    }

    #[test]
    fn header_fields_come_back(header in any_header()) {
        prop_assert_eq!(Header::parse(&header.emit()), Ok(header));
    }

    #[test]
    fn fields_and_mac_come_back(
        header in any_header(),
        fields in vec((any::<u16>(), vec(any::<u8>(), 0..60)), 0..5),
        key in 1_u32..8,
        authenticated in any::<bool>(),
    ) {
        let header = Header { version: Version::V4, ..header };
        let mut packet = header.emit().to_vec();
        for (index, (kind, body)) in fields.iter().enumerate() {
            let end = index + 1 == fields.len() && !authenticated;
            Field { kind: *kind, body }.emit(if end { Follows::End } else { Follows::More }, &mut packet).unwrap();
        }
        let ring = one_of_each(b"secret");
        let covered = packet.len();
        if authenticated {
            ring.sign_packet(KeyId::new(key), &mut packet, Dialect::Chrony).unwrap();
        }
        let tail = Tail::parse(&packet).unwrap();
        prop_assert_eq!(tail.covered().len(), covered);
        prop_assert_eq!(matches!(tail.trailer(), Trailer::Mac(mac) if mac.key.get() == key), authenticated);
        prop_assert_eq!(tail.fields().count(), fields.len());
        for (field, (kind, body)) in tail.fields().zip(&fields) {
            prop_assert_eq!(field.kind, *kind);
            prop_assert_eq!(&field.body[..body.len()], &body[..]);
            prop_assert!(field.body[body.len()..].iter().all(|byte| *byte == 0));
        }
        let expected = if authenticated { Ok(KeyId::new(key)) } else { Err(AuthError::Missing) };
        prop_assert_eq!(ring.verify_packet(&packet, Dialect::Ntp), expected);
    }

    #[test]
    fn one_changed_bit_spoils_the_mac(
        header in any_header(),
        secret in vec(any::<u8>(), 1..40),
        key in 1_u32..8,
        dialect in prop_oneof![Just(Dialect::Ntp), Just(Dialect::Chrony)],
        bit in any::<prop::sample::Index>(),
    ) {
        let ring = one_of_each(&secret);
        let mut packet = header.emit().to_vec();
        ring.sign_packet(KeyId::new(key), &mut packet, dialect).unwrap();
        prop_assert_eq!(ring.verify_packet(&packet, dialect), Ok(KeyId::new(key)));
        let bit = bit.index(packet.len() * 8);
        packet[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(ring.verify_packet(&packet, dialect).is_err(), "bit {}", bit);
    }

    #[test]
    fn chrony_key_files_come_back(
        keys in prop::collection::btree_map(1_u32.., (prop::sample::select(&ALGORITHMS[..]), vec(any::<u8>(), 1..70)), 0..12),
    ) {
        let mut ring = KeyRing::default();
        for (number, (algorithm, secret)) in &keys {
            ring.insert(KeyId::new(*number), Key::new(*algorithm, secret));
        }
        let (again, diagnostics) = KeyRing::parse(&ring.emit_chrony(), Dialect::Chrony);
        prop_assert_eq!(diagnostics, vec![]);
        prop_assert_eq!(contents(&again), contents(&ring));
    }

    #[test]
    fn ntp_key_lines_mean_what_they_say(
        number in 1_u32..65_536,
        short in "[!-\"$-~]{1,20}",
        long in vec(any::<u8>(), 11..33),
        blank in "[ \t]{1,3}",
        comment in "( ?#.*)?",
    ) {
        prop_assume!(!short.starts_with("ASCII:") && !short.starts_with("HEX:"));
        let hex: String = long.iter().map(|byte| format!("{byte:02x}")).collect();
        for (word, secret) in [(&short, short.as_bytes()), (&hex, &long[..])] {
            let line = format!("{blank}{number}{blank}SHA256{blank}{word}{comment}\n");
            let (ring, diagnostics) = KeyRing::parse(line.as_bytes(), Dialect::Ntp);
            prop_assert_eq!(diagnostics, vec![]);
            prop_assert_eq!(contents(&ring), vec![(number, "SHA256", secret.to_vec())]);
        }
    }

    /// RFC 5905 §6: with a pivot within 68 years (half an era) of the truth, the right era is found, whatever the era.
    #[test]
    fn the_pivot_finds_the_era(at in any::<i64>(), away in -(1_i64 << 31) + 2..(1_i64 << 31) - 2) {
        // room for the pivot at both ends of Timestamp's range
        let truth = Timestamp::from_nanos(at / 2);
        let pivot = Timestamp::from_nanos(truth.as_nanos() + away * 1_000_000_000);
        let back = NtpTimestamp::from_timestamp(truth).to_timestamp(pivot);
        prop_assert!((back.as_nanos() - truth.as_nanos()).abs() <= 1, "{:?} came back as {:?}", truth, back);
    }
}
