//! The vectors of ntp-legacy 2.17 and hostile packets.
#![expect(clippy::indexing_slicing, reason = "a test may say so by panicking")]

use super::assembly::{Assembly, Fragment, MAX_FRAGMENTS, fragments};
use super::status::{PeerStatus, Selection, SystemStatus};
use super::vars::{Composer, ListError, variables};
use super::*;

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
}

/// READVAR of association 36203 at ntpd 4.2.6p5, in two fragments (ntp-legacy 2.17).
const PEER_1: &str = "16a20001963a8d6b000001a1 7372636164723d31302e37382e302e322c20737263706f72743d3132332c206473746164723d31302e37382e302e3130302c20647374706f72743d3132332c206c6561703d302c0d0a7374726174756d3d312c20707265636973696f6e3d2d32302c20726f6f7464656c61793d302e3030302c20726f6f74646973703d342e3939302c2072656669643d4750532c0d0a72656674696d653d307865656162613261322e65306463316330302c207265633d307865656162613261632e65303965616231382c2072656163683d3078662c0d0a756e72656163683d302c20686d6f64653d332c20706d6f64653d342c2068706f6c6c3d342c2070706f6c6c3d342c20686561647761793d36332c20666c6173683d3078302c0d0a6b657969643d302c206f66667365743d312e3033352c2064656c61793d302e3039342c2064697370657273696f6e3d302e3638382c206a69747465723d302e3031312c0d0a786c656176653d302e3034392c2066696c7464656c61793d20302e313820302e323020302e323020302e313620302e313620302e313720302e303920302e32302c0d0a 000000";
const PEER_2: &str = "16820001963a8d6b01a10069 66696c746f66667365743d20312e303820312e303820312e303320312e303620312e303620312e303720312e303320312e30332c0d0a66696c74646973703d20302e303020302e323720302e353420302e363020302e363920302e373220302e373520302e37380d0a 000000";
const CONFIGURE: &str = "16080001000000000000000d64697361626c6520626f6775730000000000000000000002e0ca166273160a232da38676e2edf8f4";

#[test]
fn requests_of_the_vectors_are_emitted_byte_for_byte() {
    let ask =
        |opcode, id, data: &[u8]| Header::request(2, opcode, 1, AssocId::new(id)).emit(data, Align::Plain);
    assert_eq!(ask(Opcode::ReadStatus, 0, b""), unhex("160100010000000000000000"));
    assert_eq!(ask(Opcode::ReadVariables, 0x8d6b, b""), unhex("1602000100008d6b00000000"));
    assert_eq!(
        ask(Opcode::ReadVariables, 0, b"offset,frequency"),
        unhex("1602000100000000000000106f66667365742c6672657175656e6379")
    );
    assert_eq!(ask(Opcode::ReadVariables, 0, b"nosuch"), unhex("1602000100000000000000066e6f737563680000"));
    assert_eq!(ask(Opcode::RequestNonce, 0, b""), unhex("160c00010000000000000000"));
    let configure = unhex(CONFIGURE);
    assert_eq!(
        Header::request(2, Opcode::Configure, 1, AssocId::SYSTEM)
            .emit(b"disable bogus", Align::Authenticated),
        configure[..32]
    );
    let packet = Packet::parse(&configure).unwrap();
    assert_eq!((packet.data, packet.covered.len(), packet.mac.len()), (&b"disable bogus"[..], 32, 20));
}

#[test]
fn error_replies_carry_their_code_and_the_request_s_numbers() {
    let request = Packet::parse(&unhex("160200010000000900000000")).unwrap().header;
    let reply = request.refuse(Leap::None, ErrorCode::BadAssociation);
    // 4.2.6 leaves a stale offset in error packets; all else is equal
    assert_eq!(reply.emit(b"", Align::Plain), unhex("16c200010400000900000000"));
    let seen = Packet::parse(&unhex("16c200010400000901a10000")).unwrap().header;
    assert_eq!(seen.error_code(), Some(ErrorCode::BadAssociation));
    for bits in 0..=255 {
        assert_eq!(ErrorCode::from_bits(bits).to_bits(), bits);
        assert_eq!(Opcode::from_bits(bits).to_bits(), bits & 31);
    }
}

#[test]
fn fragments_of_the_vector_give_the_reply_in_any_order() {
    let (one, two) = (unhex(PEER_1), unhex(PEER_2));
    let (one, two) = (Packet::parse(&one).unwrap(), Packet::parse(&two).unwrap());
    for order in [[one, two], [two, one]] {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.accept(&order[0]), Fragment::Kept);
        assert_eq!(assembly.accept(&order[0]), Fragment::Ignored);
        assert_eq!(assembly.accept(&order[1]), Fragment::Last);
        let (status, data) = assembly.finish();
        assert_eq!((status, data.len()), (0x963a, 522));
        let names: Vec<_> = variables(&data).map(|v| String::from_utf8_lossy(v.name).into_owned()).collect();
        assert_eq!(names.first().map(String::as_str), Some("srcadr"));
        assert_eq!(names.last().map(String::as_str), Some("filtdisp"));
        assert_eq!(names.len(), 29);
    }
}

#[test]
fn hostile_fragments_neither_overlap_nor_add_up() {
    let header = |offset, more| Header {
        more,
        offset,
        response: true,
        ..Header::request(2, Opcode::ReadVariables, 1, AssocId::SYSTEM)
    };
    fn accept(assembly: &mut Assembly, header: Header, data: &[u8]) -> Fragment {
        let bytes = header.emit(data, Align::Plain);
        assembly.accept(&Packet::parse(&bytes).unwrap())
    }
    let mut assembly = Assembly::default();
    assert_eq!(accept(&mut assembly, header(8, true), b"aaaaaaaa"), Fragment::Kept);
    for offset in [4, 8, 12] {
        assert_eq!(accept(&mut assembly, header(offset, true), b"bbbbbbbb"), Fragment::Ignored);
    }
    assert_eq!(accept(&mut assembly, header(0, true), b""), Fragment::Ignored);
    // an end before what is already there
    assert_eq!(accept(&mut assembly, header(0, false), b"cccc"), Fragment::Ignored);
    assert_eq!(accept(&mut assembly, header(16, false), b"dd"), Fragment::Kept);
    assert_eq!(accept(&mut assembly, header(18, false), b"ee"), Fragment::Ignored);
    assert_eq!(accept(&mut assembly, header(18, true), b"ee"), Fragment::Ignored);
    assert_eq!(accept(&mut assembly, header(0, true), b"ffffffff"), Fragment::Last);
    assert_eq!(assembly.finish().1, b"ffffffffaaaaaaaadd");
    let mut endless = Assembly::default();
    for number in 0..1000_u16 {
        let seen = accept(&mut endless, header(number * 4, true), b"xxxx");
        assert_eq!(seen == Fragment::Kept, usize::from(number) < MAX_FRAGMENTS);
    }
}

#[test]
fn a_long_reply_is_cut_and_comes_together_again() {
    let header = Header::request(2, Opcode::ReadVariables, 7, AssocId::new(3)).reply(Leap::None, 0x961a);
    for length in [0_usize, 1, 467, 468, 469, 936, 1500, 20_000] {
        let data: Vec<u8> = (b'a'..=b'z').cycle().take(length).collect();
        let packets = fragments(&header, &data, Align::Plain);
        let mut assembly = Assembly::default();
        for (number, bytes) in packets.iter().enumerate() {
            let packet = Packet::parse(bytes).unwrap();
            assert!(packet.data.len() <= MAX_DATA);
            let expected = if number + 1 == packets.len() { Fragment::Last } else { Fragment::Kept };
            if number < MAX_FRAGMENTS {
                assert_eq!(assembly.accept(&packet), expected);
            }
        }
        if packets.len() <= MAX_FRAGMENTS {
            assert_eq!(assembly.finish(), (0x961a, data));
        }
    }
}

#[test]
fn short_and_lying_packets_are_refused() {
    for got in 0..HEADER_LEN {
        assert_eq!(Packet::parse(&vec![0x16; got]), Err(PacketError::Truncated { got }));
    }
    assert_eq!(
        Packet::parse(&unhex("168200010000000000000020 61626364")),
        Err(PacketError::MissingData { claimed: 32, got: 4 })
    );
    assert_eq!(Packet::parse(&unhex("16820001000000000000000061")), Err(PacketError::Unaligned { got: 13 }));
    assert_eq!(Packet::parse(&unhex("2e8200010000000000000000")), Err(PacketError::BadVersion(5)));
    assert_eq!(Packet::parse(&unhex("1b8200010000000000000000")), Err(PacketError::NotControl));
}

#[test]
fn status_words_go_there_and_back() {
    for bits in 0..=u16::MAX {
        assert_eq!(SystemStatus::from_bits(bits).to_bits(), bits);
        assert_eq!(PeerStatus::from_bits(bits).to_bits(), bits);
    }
    let peer = PeerStatus::from_bits(0x963a);
    assert!(peer.configured && peer.reachable && !peer.auth_enabled && !peer.authentic);
    assert_eq!((peer.selection, peer.count, peer.event), (Selection::SystemPeer, 3, 10));
}

fn list(data: &[u8]) -> Vec<(String, Option<String>)> {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    variables(data).map(|v| (text(v.name), v.value.map(text))).collect()
}

#[test]
fn variable_lists_are_read_as_the_original_reads_them() {
    let pair = |n: &str, v: &str| (n.to_owned(), Some(v.to_owned()));
    assert_eq!(list(b"a=1, b=\"x, y\",\r\nc"), [pair("a", "1"), pair("b", "\"x, y\""), ("c".into(), None)]);
    assert_eq!(list(b" , ,e = spaced  ,f==2"), [pair("e", "spaced"), pair("f", "=2")]);
    assert_eq!(list(b"a=1\0b=2"), [pair("a", "1")]);
    assert_eq!(list(b""), []);
    assert_eq!(list(b",\r\n,,"), []);
    assert_eq!(list(b"a=, b="), [pair("a", ""), pair("b", "")]);
    let mut open = variables(b"a=1, b=\"2, c=3");
    assert_eq!(open.by_ref().count(), 1);
    assert_eq!(open.failure(), Some(&ListError::NoClosingQuote(b"b=\"2, c=3")));
    let mut nameless = variables(b"a=1, =2, c=3");
    assert_eq!(nameless.by_ref().count(), 1);
    assert_eq!(nameless.failure(), Some(&ListError::NoName(b"=2, c=3")));
    let long = format!("{}=1, y=2", "x".repeat(300));
    assert_eq!(list(long.as_bytes()), [pair("y", "2")]);
}

#[test]
fn ten_thousand_entries_are_only_a_walk() {
    let text = "v=1, ".repeat(10_000);
    assert_eq!(variables(text.as_bytes()).count(), 10_000);
}

#[test]
fn replies_are_broken_into_lines_where_ntpd_breaks_them() {
    let mut reply = Composer::default();
    reply.put_string("version", "ntpd 4.2.6p5@4.2.6p5 Sat Nov 21 04:48:14 UTC 2026 (1)");
    reply.put_string("processor", "x86_64");
    reply.put_string("system", "Linux/6.18.44-fc-v595");
    reply.put("leap", "0");
    reply.put("stratum", "2");
    reply.put("precision", "-23");
    reply.put_string("timecode", "");
    let text = String::from_utf8(reply.finish()).unwrap();
    assert_eq!(
        text,
        "version=\"ntpd 4.2.6p5@4.2.6p5 Sat Nov 21 04:48:14 UTC 2026 (1)\",\r\nprocessor=\"x86_64\", system=\"Linux/6.18.44-fc-v595\", leap=0, stratum=2,\r\nprecision=-23, timecode\r\n"
    );
}
