//! Packets captured between chronyc and chronyd 4.9 (spec chronyc.md, part 6), and every length of everything.
#![expect(clippy::indexing_slicing, reason = "a test may say so by panicking")]

use std::net::Ipv4Addr;

use super::*;

/// The bytes of a capture, and the request's length and first bytes where it was captured too.
pub(crate) struct Capture {
    pub(crate) reply: Vec<u8>,
    request: Option<(usize, Vec<u8>)>,
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

pub(crate) fn capture(file: &str) -> Capture {
    let (comments, bytes): (Vec<&str>, Vec<&str>) = file.lines().partition(|line| line.starts_with('#'));
    let request = comments.first().map(|line| {
        let (length, head) = line.strip_prefix("# request len ").unwrap().split_once(": ").unwrap();
        (length.parse().unwrap(), hex(head))
    });
    Capture { reply: hex(&bytes.concat()), request }
}

macro_rules! captures {
    ($($name:literal),* $(,)?) => {
        [$(($name, capture(include_str!(concat!("../../../tests/fixtures/replies/chronyd-4.9/", $name, ".hex"))))),*]
    };
}

/// Every capture by name.
pub(crate) fn captures() -> Vec<(&'static str, Capture)> {
    captures![
        "activity",
        "auth-data-nts",
        "n-sources",
        "ntp-data2",
        "rtcreport-error-13",
        "select-data-index-0",
        "select-data-index-1",
        "server-stats4",
        "smoothing",
        "source-data-index-0",
        "source-data-index-1",
        "source-data-index-2",
        "source-data-index-3",
        "source-data-index-5",
        "sourcestats-index-0",
        "sourcestats-index-1",
        "sourcestats-index-2",
        "sourcestats-index-3",
        "tracking",
    ]
    .into()
}

/// The reply of a capture.
pub(crate) fn captured(name: &str) -> Reply {
    let (_, capture) = captures().into_iter().find(|(n, _)| *n == name).unwrap();
    parse_reply(&capture.reply).unwrap().1
}

#[test]
fn captured_replies_come_back_byte_for_byte() {
    for (name, Capture { reply, .. }) in captures() {
        let (header, body) = parse_reply(&reply).unwrap();
        assert_eq!(header.version, VERSION);
        assert_eq!(body.encode(header.command, header.sequence, header.status), reply, "{name}");
    }
}

#[test]
fn captured_requests_are_built_and_understood() {
    let mut seen = 0;
    for (name, Capture { request, .. }) in captures() {
        let Some((length, mut bytes)) = request else { continue };
        bytes.resize(length, 0);
        let packet = parse_request(&bytes).unwrap();
        assert_eq!(packet.request.encode(VERSION, packet.sequence, 0), bytes, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 15);
}

#[test]
fn tracking_holds_the_numbers_of_the_capture() {
    let Reply::Tracking(t) = captured("tracking") else { panic!("not tracking") };
    assert_eq!((t.ref_id, t.stratum, t.leap, t.address), (0x4750_5300, 1, 0, Ip::Unspec));
    assert_eq!(t.ref_time, Timespec { secs: 1_795_237_287, nanos: 730_302_576 });
    let floats = [t.current_correction, t.last_offset, t.freq_ppm, t.root_delay, t.last_update_interval];
    let expected = [
        5.940020173511584e-07,
        1.6178335116023845e-08,
        -0.019094567745923996,
        1.9999999494757503e-05,
        1.0003504753112793,
    ];
    assert_eq!(floats.map(|f| f.to_f64().to_bits()), expected.map(f64::to_bits));
}

#[test]
fn rtcreport_without_driver_is_status_13() {
    let (_, capture) = captures().into_iter().find(|(n, _)| *n == "rtcreport-error-13").unwrap();
    let (header, reply) = parse_reply(&capture.reply).unwrap();
    assert_eq!((header.status, reply), (Status::NO_RTC, Reply::Null));
}

fn v4(a: u8, b: u8, c: u8, d: u8) -> Ip {
    Ip::V4(Ipv4Addr::new(a, b, c, d))
}

#[test]
fn control_requests_have_the_data_of_the_original() {
    let z12 = "00000000 00000000 00000000";
    let z20 = "00000000 00000000 00000000 00000000 00000000";
    let slash8 = |a| AddressMask { mask: v4(255, 0, 0, 0), address: a };
    let base = |stratum, distance, orphan| Local2 { on: 1, stratum, distance, orphan };
    let cases: Vec<(Request, String)> = vec![
        (Request::Online(slash8(v4(127, 0, 0, 0))), format!("ff000000 {z12} 00010000 7f000000 {z12} 0001")),
        (
            Request::Online(AddressMask { mask: Ip::Unspec, address: Ip::Id(1) }),
            format!("{z20} 00000001 {z12} 0003"),
        ),
        (
            Request::Burst(Burst { sources: slash8(v4(10, 0, 0, 0)), good: 1, total: 2 }),
            format!("ff000000 {z12} 00010000 0a000000 {z12} 00010000 00000001 00000002"),
        ),
        (
            Request::ModifyMinpoll(ModifyAddress { address: v4(1, 2, 3, 4), value: -2 }),
            format!("01020304 {z12} 00010000 fffffffe"),
        ),
        (
            Request::ModifyMaxdelay(ModifyAddressFloat { address: v4(1, 2, 3, 4), value: 0.1.into() }),
            format!("01020304 {z12} 00010000 fccccccd"),
        ),
        (
            Request::ModifyMakestep(MakestepLimits { limit: -1, threshold: 0.1.into() }),
            "ffffffff fccccccd".into(),
        ),
        (
            Request::Local3(Local3 {
                base: base(8, 0.5.into(), 1),
                activate: 0.1.into(),
                wait_synced: 5.0.into(),
                wait_unsynced: 6.0.into(),
            }),
            "00000001 00000008 02800000 00000001 fccccccd 08a00000 08c00000".into(),
        ),
        (
            Request::AllowAll(Subnet { address: v4(10, 1, 0, 0), bits: 16 }),
            format!("0a010000 {z12} 00010000 00000010"),
        ),
        (
            Request::ModifySelectOpts(ModifySelectOpts {
                address: Ip::Unspec,
                ref_id: u32::from_be_bytes(*b"GPS\0"),
                mask: u32::from(select_options::PREFER | select_options::TRUST),
                options: flags::PREFER,
            }),
            format!("{z20} 47505300 00000006 00000008"),
        ),
        (
            Request::ModifyOffset(ModifyOffset {
                address: v4(1, 2, 3, 4),
                ref_id: 0,
                offset: (-0.25).into(),
            }),
            format!("01020304 {z12} 00010000 00000000 ff000000"),
        ),
    ];
    for (request, data) in cases {
        let (length, _) = Request::lengths(request.code()).unwrap();
        let mut expected = request.encode(VERSION, 7, 0)[..REQUEST_HEADER].to_vec();
        expected.extend(hex(&data));
        expected.resize(length, 0);
        assert_eq!(request.encode(VERSION, 7, 0), expected, "{request:?}");
        assert_eq!(parse_request(&expected).unwrap().request, request);
    }
}

/// `add server 1.2.3.4` as chronyc 4.9 sends it.
pub(crate) fn plain_server() -> AddSource2 {
    AddSource2 {
        kind: 1,
        name: Name::new(b"1.2.3.4").unwrap(),
        port: 123,
        minpoll: 6,
        maxpoll: 10,
        presend_minpoll: 100,
        min_stratum: 0,
        poll_target: 8,
        version: 0,
        max_sources: 4,
        min_samples: -1,
        max_samples: -1,
        max_unreach: 100_000,
        filter_length: 0,
        authkey: 0,
        nts_port: 4460,
        cert_set: 0,
        max_nts_retry: 19,
        max_delay: 3.0.into(),
        max_delay_ratio: 0.0.into(),
        max_delay_dev_ratio: 10.0.into(),
        max_delay_quant: 0.0.into(),
        min_delay: 0.0.into(),
        asymmetry: 1.0.into(),
        offset: 0.0.into(),
        flags: flags::ONLINE,
        reserved: Pad,
    }
}

#[test]
fn add_source_has_both_forms_of_the_original() {
    let new = Request::AddSource2(Box::new(plain_server()));
    let bytes = new.encode(VERSION, 0, 0);
    assert_eq!(bytes.len(), 408);
    assert_eq!(bytes[20..24], [0, 0, 0, 1]);
    assert_eq!(bytes[24..31], *b"1.2.3.4");
    let tail = "0000007b 00000006 0000000a 00000064 00000000 00000008 00000000
        00000004 ffffffff ffffffff 000186a0 00000000 00000000 0000116c 00000000 00000013 06c00000 00000000
        0aa00000 00000000 00000000 04800000 00000000 00000001";
    assert_eq!(bytes[280..376], hex(tail));
    assert_eq!(bytes[376..], [0; 32]);

    let old = new.to_older().unwrap().encode(VERSION, 0, 0);
    let tail = "0000007b 00000006 0000000a 00000064 00000000 00000008 00000000
        00000004 ffffffff ffffffff 00000000 0000116c 06c00000 00000000 0aa00000 00000000 04800000 00000000
        00000001 00000000 00000000 00000000 000186a0";
    assert_eq!(old.len(), 372);
    assert_eq!(old[280..], hex(tail));
}

#[test]
fn flags_move_between_the_two_forms() {
    let mut source = plain_server();
    source.flags = 0x8001_17fa;
    assert_eq!(source.to_older().flags, 0x5ffa);
    assert_eq!(source.to_older().to_newer(), AddSource2 { max_nts_retry: 19, ..source.clone() });
    let silent_client = AddSource { max_unreach: 0, ..source.to_older() };
    assert_eq!(silent_client.to_newer().max_unreach, 100_000);
}

#[test]
fn local_has_an_older_form_of_36_bytes() {
    let base = Local2 { on: 1, stratum: 10, distance: 1.0.into(), orphan: 0 };
    let zero = Float::ZERO;
    let new = Request::Local3(Local3 { base, activate: zero, wait_synced: zero, wait_unsynced: zero });
    assert_eq!(new.encode(VERSION, 0, 0).len(), 48);
    let old = new.to_older().unwrap().encode(VERSION, 0, 0);
    assert_eq!((old.len(), old[5]), (36, 56));
}

#[test]
fn request_lengths_are_those_of_the_table() {
    let table = [
        (1, 60),
        (3, 68),
        (4, 44),
        (6, 28),
        (11, 40),
        (14, 32),
        (15, 76),
        (17, 44),
        (25, 40),
        (33, 104),
        (34, 84),
        (35, 56),
        (41, 416),
        (44, 48),
        (50, 28),
        (51, 52),
        (54, 196),
        (55, 424),
        (57, 172),
        (64, 372),
        (65, 284),
        (67, 52),
        (68, 520),
        (69, 76),
        (72, 52),
        (73, 48),
        (74, 48),
        (75, 408),
    ];
    for (code, length) in table {
        assert_eq!(Request::lengths(code).map(|(newest, _)| newest), Some(length), "command {code}");
    }
    assert_eq!(Request::lengths(54), Some((196, 48)));
    assert_eq!(Request::lengths(57), Some((172, 152)));
    let old = [(14, 48), (15, 424), (16, 152), (22, 60), (24, 72), (18, 416), (21, 520)];
    for (code, length) in old {
        assert_eq!(Reply::length(code), Some(length), "reply {code}");
    }
}

#[test]
fn bad_requests_get_the_answer_of_the_original() {
    let tracking = Request::Tracking.encode(VERSION, 5, 0);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = tracking.clone();
        change(&mut bytes);
        parse_request(&bytes).map(|p| p.length)
    };
    let status = |status, command| Err(Refusal::Answer { command, sequence: 5, status });
    for length in [104, 200, 896] {
        assert_eq!(with(&|b| b.resize(length, 0)), Ok(length));
    }
    for length in [0, 19, 20, 27, 897] {
        assert_eq!(with(&|b| b.resize(length, 0)), Err(Refusal::Silence));
    }
    for length in [28, 103] {
        assert_eq!(with(&|b| b.resize(length, 0)), status(Status::BAD_LENGTH, 33));
    }
    for version in [5, 7, 255] {
        assert_eq!(with(&|b| b[0] = version), status(Status::BAD_VERSION, 33));
    }
    for version in [0, 3, 4] {
        assert_eq!(with(&|b| b[0] = version), Err(Refusal::Silence));
    }
    assert_eq!(with(&|b| b[1] = 2), Err(Refusal::Silence));
    assert_eq!(with(&|b| b[2] = 1), Err(Refusal::Silence));
    for command in [0u16, 10, 12, 40, 76, 999] {
        assert_eq!(
            with(&|b| b[4..6].copy_from_slice(&command.to_be_bytes())),
            status(Status::INVALID, command)
        );
    }
}

#[test]
fn no_bytes_make_the_parsers_panic_and_whole_packets_come_back() {
    let mut noise = 0x1234_5678_u32;
    let mut byte = || {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        noise.to_be_bytes()[1]
    };
    for code in 0..=80u16 {
        for length in (0..=MAX_PACKET + 1).step_by(7) {
            let mut bytes: Vec<u8> = (0..length).map(|_| byte()).collect();
            if let Some(head) = bytes.first_chunk_mut::<8>() {
                let [hi, lo] = code.to_be_bytes();
                *head = [VERSION, TYPE_REQUEST, 0, 0, hi, lo, 0, 0];
            }
            if let Ok(packet) = parse_request(&bytes) {
                let again = packet.request.encode(VERSION, packet.sequence, 0);
                assert_eq!(parse_request(&again).unwrap().request, packet.request);
            }
            if let Some(head) = bytes.first_chunk_mut::<8>() {
                let [hi, lo] = code.to_be_bytes();
                *head = [VERSION, TYPE_REPLY, 0, 0, 0, 33, hi, lo];
            }
            if let Ok((header, reply)) = parse_reply(&bytes) {
                let again = reply.encode(header.command, header.sequence, header.status);
                assert_eq!(parse_reply(&again).unwrap(), (ReplyHeader { version: VERSION, ..header }, reply));
            }
        }
    }
}
