//! Tests of keys and MACs; the packets of real peers are in tests/fixtures/packets.
#![expect(clippy::indexing_slicing, reason = "a test may say so by panicking")]

use super::*;
use crate::types::KeyId;

fn id(number: u32) -> KeyId {
    KeyId::new(number)
}

fn parse(text: &str, dialect: Dialect) -> (KeyRing, Vec<String>) {
    let (ring, diagnostics) = KeyRing::parse(text.as_bytes(), dialect);
    (ring, diagnostics.iter().map(|d| d.located("F")).collect())
}

fn secret(ring: &KeyRing, number: u32) -> Option<(Algorithm, Vec<u8>)> {
    ring.get(id(number)).map(|key| (key.algorithm(), key.secret().to_vec()))
}

#[test]
fn ntp_keys_read_as_ntpd_4_2_8p15_reads_them() {
    let text = "# comment
1 M good1 # trailing
2 MD5 abc#def
 27 MD5 leadingblank\r
28\tMD5\ttabs
31x MD5 trailing
032 MD5 octal
11 MD5 0102030405060708090a0b0c0d0e0f10111213141516171819
12 MD5 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021222324252627
13 AES128CMAC short
18 sha1 lowercase
22 MD5 exactly20characters0
23 MD5 012345678901234567890
24 MD5 withaddr 127.0.0.1
29 MD5 \"quoted\"
35 mumble anyM
40 SHA512 x
65535 AES256 603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4
";
    let (ring, diagnostics) = parse(text, Dialect::Ntp);
    assert_eq!(diagnostics, Vec::<String>::new());
    for (number, algorithm, expected) in [
        (1, Algorithm::Md5, &b"good1"[..]),
        (2, Algorithm::Md5, b"abc"),
        (27, Algorithm::Md5, b"leadingblank"),
        (28, Algorithm::Md5, b"tabs"),
        (31, Algorithm::Md5, b"trailing"),
        (32, Algorithm::Md5, b"octal"),
        (13, Algorithm::Aes128Cmac, b"short\0\0\0\0\0\0\0\0\0\0\0"),
        (18, Algorithm::Sha1, b"lowercase"),
        (22, Algorithm::Md5, b"exactly20characters0"),
        (23, Algorithm::Md5, &[0x01, 0x23, 0x45, 0x67, 0x89, 0x01, 0x23, 0x45, 0x67, 0x89]),
        (24, Algorithm::Md5, b"withaddr"),
        (29, Algorithm::Md5, b"\"quoted\""),
        (35, Algorithm::Md5, b"anyM"),
        (40, Algorithm::Sha512, b"x"),
    ] {
        assert_eq!(secret(&ring, number), Some((algorithm, expected.to_vec())), "key {number}");
    }
    let key_11 = (1..=16).chain(0x11..=0x19).collect();
    assert_eq!(secret(&ring, 11), Some((Algorithm::Md5, key_11)));
    assert_eq!(secret(&ring, 12), Some((Algorithm::Md5, (0..32).collect())));
    assert_eq!(
        ring.get(id(65_535)).map(|key| (key.algorithm(), key.bits())),
        Some((Algorithm::Aes256Cmac, 256))
    );
}

#[test]
fn ntp_keys_complaints_are_the_classic_ones() {
    let text = "0 MD5 zero
-3 MD5 neg
x MD5 word
65536 MD5 big
99999999999999999999 MD5 huge
4
5 MD5
7 mysecret
8 FOO somekey
9 SHA1 0102030405060708090a0b0c0d0e0f1011121g14
34 SHA ripe
1 M first
1 M second
\u{1b}[31m MD5 x
30,MD5,commas
20 SHA256 ASCII:
";
    let (ring, diagnostics) = parse(text, Dialect::Ntp);
    let expected = [
        "F:1: authreadkeys: cannot change key 0",
        "F:2: authreadkeys: key -3 > 65535 reserved for Autokey",
        "F:3: authreadkeys: cannot change key x",
        "F:4: authreadkeys: key 65536 > 65535 reserved for Autokey",
        "F:5: authreadkeys: key 99999999999999999999 > 65535 reserved for Autokey",
        "F:6: authreadkeys: no key type for key 4",
        "F:7: authreadkeys: no key for key 5",
        "F:8: authreadkeys: no key for key 7",
        "F:9: authreadkeys: invalid type for key 8",
        "F:10: authreadkeys: invalid hex digit for key 9",
        "F:11: authreadkeys: no algorithm for key 34",
        "F:13: authreadkeys: duplicate key 1, the first one is used",
        "F:14: authreadkeys: cannot change key \\u{1b}[31m",
        "F:15: authreadkeys: no key type for key 30",
        "F:16: authreadkeys: no key for key 20",
    ];
    assert_eq!(diagnostics, expected);
    assert_eq!(ring.len(), 1);
    assert_eq!(secret(&ring, 1), Some((Algorithm::Md5, b"first".to_vec())));
    assert_eq!(
        unreadable(Dialect::Ntp, "/x", "No such file or directory"),
        "authreadkeys: file /x: No such file or directory"
    );
    assert_eq!(unreadable(Dialect::Chrony, "/x", "No such file or directory"), "Could not open keyfile /x");
}

#[test]
fn chrony_keys_read_as_chronyd_4_9_reads_them() {
    let text = "# c
! c
; c
 % c

1 MD5 ASCII:good1key567
2 abcdefghijk
3 mysecretkey
13 AES128 ASCII:exactly16bytes00
16 MD5 #notcomment
17 MD5 ASCII:has#hash12
4294967295 SHA256 HEX:00ff
18 MD5 ascii:lower
20 MD5
21 SHA1 0102030405060708090a0b0c0d0e0f1011121314
  22 MD5 leadblank12
25x MD5 trailingx
";
    let (ring, diagnostics) = parse(text, Dialect::Chrony);
    assert_eq!(diagnostics, Vec::<String>::new());
    for (number, algorithm, expected) in [
        (1, Algorithm::Md5, &b"good1key567"[..]),
        (2, Algorithm::Md5, b"abcdefghijk"),
        (3, Algorithm::Md5, b"mysecretkey"),
        (13, Algorithm::Aes128Cmac, b"exactly16bytes00"),
        (16, Algorithm::Md5, b"#notcomment"),
        (17, Algorithm::Md5, b"has#hash12"),
        (u32::MAX, Algorithm::Sha256, &[0, 0xff]),
        (18, Algorithm::Md5, b"ascii:lower"),
        (20, Algorithm::Md5, b"MD5"),
        (21, Algorithm::Sha1, b"0102030405060708090a0b0c0d0e0f1011121314"),
        (22, Algorithm::Md5, b"leadblank12"),
        (25, Algorithm::Md5, b"trailingx"),
    ] {
        assert_eq!(secret(&ring, number), Some((algorithm, expected.to_vec())), "key {number}");
    }
    assert!(ring.get(id(u32::MAX)).is_some_and(Key::is_short));
}

#[test]
fn chrony_keys_complaints_are_those_of_4_9() {
    let text = "6 MD5 key with spaces
7 MD5 twowords addr
8
9 FOO ASCII:bar
10 SHA1 HEX:0102g
11 SHA1 HEX:010
12 AES128 HEX:0102
15 TIGER ASCII:abcdefghijklm
x MD5 word
23 AES256 ASCII:short
27 MD5 trailingcomment # xx
28 MD5 HEX:
1 MD5 first
1 MD5 dup
0 MD5 zero
4294967296 MD5 toobig
";
    let (ring, diagnostics) = parse(text, Dialect::Chrony);
    let expected = [
        "F:1: Could not parse key at line 1 in file F",
        "F:2: Could not parse key at line 2 in file F",
        "F:3: Could not parse key at line 3 in file F",
        "F:4: Invalid type in key 9",
        "F:5: Could not decode key 10",
        "F:6: Could not decode key 11",
        "F:7: Invalid length of AES128 key 12 (expected 128 bits)",
        "F:8: Unsupported hash function in key 15",
        "F:9: Could not parse key at line 9 in file F",
        "F:10: Invalid length of AES256 key 23 (expected 256 bits)",
        "F:11: Could not parse key at line 11 in file F",
        "F:12: Could not decode key 28",
        "F:14: Detected duplicate key 1",
        "F:15: Could not parse key at line 15 in file F",
        "F:16: Could not parse key at line 16 in file F",
    ];
    assert_eq!(diagnostics, expected);
    assert_eq!(ring.len(), 1);
}

#[test]
fn lines_of_the_other_dialect_are_recognised() {
    let text = "6 abcdef\n7 SHA1 HEX:0102\n8 SHA256 ASCII:more-than-twenty-characters#\n";
    let (ring, diagnostics) = parse(text, Dialect::Ntp);
    assert_eq!(diagnostics, Vec::<String>::new());
    assert_eq!(secret(&ring, 6), Some((Algorithm::Md5, b"abcdef".to_vec())));
    assert_eq!(secret(&ring, 7), Some((Algorithm::Sha1, vec![1, 2])));
    assert_eq!(secret(&ring, 8), Some((Algorithm::Sha256, b"more-than-twenty-characters#".to_vec())));

    let (ring, diagnostics) =
        parse("1 AES 2b7e151628aed2a6abf7158809cf4f3c\n2 SHA-256 abc\n3 AES-256 x\n", Dialect::Ntp);
    assert_eq!(diagnostics, Vec::<String>::new());
    let algorithms: Vec<_> = ring.iter().map(|(_, key)| key.algorithm()).collect();
    assert_eq!(algorithms, [Algorithm::Aes128Cmac, Algorithm::Sha256, Algorithm::Aes256Cmac]);

    let (ring, diagnostics) = parse("1 M abc\n2 sha1 0102\n", Dialect::Chrony);
    assert_eq!(diagnostics, Vec::<String>::new());
    assert_eq!(secret(&ring, 1), Some((Algorithm::Md5, b"abc".to_vec())));
    assert_eq!(secret(&ring, 2), Some((Algorithm::Sha1, b"0102".to_vec())));
}

fn ring() -> KeyRing {
    let text =
        b"1 MD5 ASCII:one\n2 SHA1 ASCII:two\n3 SHA256 ASCII:three\n4 SHA384 ASCII:four\n5 SHA512 ASCII:five
6 AES128 HEX:2b7e151628aed2a6abf7158809cf4f3c
7 AES256 HEX:603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4\n";
    let (ring, diagnostics) = KeyRing::parse(text, Dialect::Chrony);
    assert_eq!(diagnostics, Vec::new());
    ring
}

#[test]
fn mac_lengths_follow_version_and_dialect() {
    let ring = ring();
    for (number, v3_chrony, others) in
        [(1, 20, 20), (2, 24, 24), (3, 36, 24), (4, 52, 24), (5, 68, 24), (6, 20, 20), (7, 20, 20)]
    {
        for (version, dialect, expected) in [
            (3, Dialect::Chrony, v3_chrony),
            (3, Dialect::Ntp, others),
            (4, Dialect::Chrony, others),
            (4, Dialect::Ntp, others),
        ] {
            let mut packet = vec![0; 48];
            packet[0] = version << 3 | 3;
            ring.sign_packet(id(number), &mut packet, dialect).unwrap();
            assert_eq!(packet.len(), 48 + expected, "key {number}, version {version}, {dialect:?}");
            assert_eq!(packet[48..52], number.to_be_bytes());
            assert_eq!(ring.verify_packet(&packet, dialect), Ok(id(number)));
        }
    }
}

#[test]
fn each_reason_of_disbelief_has_its_error() {
    let ring = ring();
    let mut packet = vec![0; 48];
    packet[0] = 0x23;
    assert_eq!(
        ring.verify_packet(&packet[..47], Dialect::Ntp),
        Err(AuthError::Malformed(TailError::Truncated { got: 47 }))
    );
    assert_eq!(ring.verify_packet(&packet, Dialect::Ntp), Err(AuthError::Missing));
    assert_eq!(ring.sign_packet(id(99), &mut packet, Dialect::Ntp), Err(AuthError::UnknownKey(id(99))));
    assert_eq!(packet.len(), 48);

    let nak = [&packet[..], &[0; 4]].concat();
    assert_eq!(ring.verify_packet(&nak, Dialect::Ntp), Err(AuthError::CryptoNak));

    ring.sign_packet(id(2), &mut packet, Dialect::Ntp).unwrap();
    let short = &packet[..68];
    assert_eq!(ring.verify_packet(short, Dialect::Ntp), Err(AuthError::DigestLength { want: 20, got: 16 }));
    for bit in 0..packet.len() * 8 {
        let mut changed = packet.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let error = ring.verify_packet(&changed, Dialect::Ntp).unwrap_err();
        match bit / 8 {
            48..52 => assert!(
                matches!(
                    error,
                    AuthError::UnknownKey(_) | AuthError::DigestLength { .. } | AuthError::BadDigest(_)
                ),
                "bit {bit}: {error:?}"
            ),
            _ => assert_eq!(error, AuthError::BadDigest(id(2)), "bit {bit}"),
        }
    }
}

#[test]
fn debug_shows_no_secret() {
    let (ring, diagnostics) =
        parse("1 MD5 hunter2\n1 MD5 hunter2\n2 SHA1 hunter2hunter2hunter2hunter2\n", Dialect::Ntp);
    assert_eq!(diagnostics.len(), 2);
    let shown = format!("{ring:?} {diagnostics:?}");
    assert!(shown.contains("Md5") && !shown.contains("hunter") && !shown.contains("104"), "{shown}");
}

#[test]
fn chrony_text_reads_back_the_same() {
    let mut ring = ring();
    assert!(ring.insert(id(70_000), Key::new(Algorithm::Md5, b"with blank")));
    assert!(!ring.insert(id(70_000), Key::new(Algorithm::Md5, b"another")));
    let (again, diagnostics) = KeyRing::parse(&ring.emit_chrony(), Dialect::Chrony);
    assert_eq!(diagnostics, Vec::new());
    let keys = |ring: &KeyRing| -> Vec<_> {
        ring.iter().map(|(n, k)| (n, k.algorithm(), k.secret().to_vec())).collect()
    };
    assert_eq!(keys(&again), keys(&ring));
}

#[test]
fn a_ring_and_its_copies_count_together() {
    let (ring, _) = KeyRing::parse(b"1 M one\n2 M two\n", Dialect::Ntp);
    let (copy, none) = (ring.clone(), KeyId::new(9));
    let mac = copy.sign(KeyId::new(1), b"text", DigestLength::CutTo20).unwrap();
    let sent = Mac { key: KeyId::new(1), digest: &mac[4..] };
    ring.verify(b"text", sent, DigestLength::CutTo20).unwrap();
    ring.verify(b"other", sent, DigestLength::CutTo20).unwrap_err();
    ring.sign(none, b"text", DigestLength::CutTo20).unwrap_err();
    let uses = Uses { lookups: 4, not_found: 1, signed: 1, verified: 2 };
    assert_eq!((ring.uses(), copy.uses()), (uses, uses));
    let (mut renewed, _) = KeyRing::parse(b"1 M one\n", Dialect::Ntp);
    renewed.count_with(&ring);
    assert_eq!(renewed.uses(), uses);
}
