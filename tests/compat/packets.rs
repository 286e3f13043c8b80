//! The same datagrams to chronyd 4.9 and to ours, over both transports: who answers, how long, with which codes.

use std::fmt::Debug;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::namespace::{Host, Lab, Process, wait_until};
use super::peer::{Package, our};

const LIMIT: Duration = Duration::from_secs(20);
/// N_SOURCES: open on both transports, answered by everybody. What comes before its answer belongs to the packet before it.
const MARK: (u16, u32) = (14, 0xfeed_beef);

/// One that is asked.
struct Asked {
    host: Host,
    daemon: Process,
    socket: PathBuf,
}

impl Asked {
    fn start(lab: &Lab, chronyd: &Path) -> Self {
        let host = lab.host();
        assert_eq!(host.sh("mkdir -p own && chmod 700 own").code, Some(0));
        let folder = host.dir().join("own");
        let text = format!(
            "bindcmdaddress {0}/s.sock\npidfile {0}/pid\nport 0\nserver 127.0.0.9 offline\nlocal stratum 9\n",
            folder.display()
        );
        let config = host.file("conf", &text);
        let mut daemon = host.spawn(chronyd, &["-x", "-d", "-u", "root", "-f", &config]);
        let socket = folder.join("s.sock");
        let starts = wait_until(LIMIT, || daemon.has_ended() || socket.exists());
        assert!(starts && !daemon.has_ended(), "it does not start:\n{}", daemon.err());
        Self { host, daemon, socket }
    }

    fn over_unix(&self, packets: &[Packet]) -> Vec<Option<Answer>> {
        let own = self.host.dir().join("own/asker.sock");
        let _ = std::fs::remove_file(&own);
        let socket = UnixDatagram::bind(&own).unwrap();
        socket.connect(&self.socket).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        self.ask(packets, |bytes| socket.send(bytes), |buffer| socket.recv(buffer))
    }

    fn over_udp(&self, packets: &[Packet]) -> Vec<Option<Answer>> {
        let socket = self.host.inside(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect("127.0.0.1:323").unwrap();
            socket
        });
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        self.ask(packets, |bytes| socket.send(bytes), |buffer| socket.recv(buffer))
    }

    fn ask(
        &self,
        packets: &[Packet],
        send: impl Fn(&[u8]) -> std::io::Result<usize>,
        receive: impl Fn(&mut [u8]) -> std::io::Result<usize>,
    ) -> Vec<Option<Answer>> {
        let mark = request(MARK.0, 32, "");
        let mut answers = Vec::new();
        for packet in packets {
            send(&packet.bytes).unwrap();
            let mut marked = mark.clone();
            marked[8..12].copy_from_slice(&MARK.1.to_be_bytes());
            send(&marked).unwrap();
            let mut answer = None;
            loop {
                let mut buffer = [0; 2000];
                let length = receive(&mut buffer)
                    .unwrap_or_else(|e| panic!("{}: {e}\n{}", packet.what, self.daemon.err()));
                if buffer[16..20] == MARK.1.to_be_bytes() {
                    break;
                }
                assert_eq!(answer, None, "{}: two answers", packet.what);
                answer = Some(Answer::of(&buffer[..length]));
            }
            answers.push(answer);
        }
        answers
    }
}

/// What is compared of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    length: usize,
    head: [u8; 8],
    status: u16,
    sequence: [u8; 4],
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        Self {
            length: bytes.len(),
            head: bytes[..8].try_into().unwrap(),
            status: u16::from_be_bytes([bytes[8], bytes[9]]),
            sequence: bytes[16..20].try_into().unwrap(),
        }
    }
}

struct Packet {
    what: String,
    bytes: Vec<u8>,
}

/// A request of this length; `data` in hexadecimal, blanks ignored.
fn request(code: u16, length: usize, data: &str) -> Vec<u8> {
    let digits: Vec<u8> = data.bytes().filter(|b| *b != b' ').collect();
    let data = digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap());
    let mut bytes = vec![6, 1, 0, 0];
    bytes.extend(code.to_be_bytes());
    bytes.extend([0, 0, 1, 2, 3, 4]);
    bytes.resize(20, 0);
    bytes.extend(data);
    bytes.resize(length, 0);
    bytes
}

/// A family-less, an IPv4, an unresolved address.
const UNSPEC: &str = "00000000000000000000000000000000 00000000";
const TEN: &str = "0a000000000000000000000000000000 00010000";
const ID: &str = "00000063000000000000000000000000 00030000";

/// Request 75 with the values of `add server 127.0.0.N` but for one.
fn add(what: &str, host: u8, change: impl Fn(&mut [u8])) -> Packet {
    let mut bytes = request(75, 408, "00000001");
    let name = format!("127.0.0.{host}");
    bytes[24..24 + name.len()].copy_from_slice(name.as_bytes());
    let numbers: [(usize, u32); 13] = [
        (280, 123),
        (284, 6),
        (288, 10),
        (292, 100),
        (300, 8),
        (308, 4),
        (312, u32::MAX),
        (316, u32::MAX),
        (320, 100_000),
        (332, 4460),
        (340, 19),
        (344, 0x06c0_0000),
        (364, 0x0480_0000),
    ];
    for (at, number) in numbers {
        bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
    }
    // online, and offline enough: nobody listens there
    bytes[372..376].copy_from_slice(&0_u32.to_be_bytes());
    change(&mut bytes);
    Packet { what: format!("add {what}"), bytes }
}

/// Codes and lengths, and what the spec lists at the end of its part 6.
fn heads() -> Vec<Packet> {
    let mut all = Vec::new();
    let mut note = |what: &dyn Debug, bytes: Vec<u8>| {
        all.push(Packet { what: format!("{what:?}"), bytes });
    };
    for length in [20, 27, 28, 103, 104, 200, 860, 896, 897, 900] {
        note(&("tracking", length), request(33, length, ""));
    }
    for version in [0, 3, 4, 5, 7, 255] {
        let mut bytes = request(33, 104, "");
        bytes[0] = version;
        note(&("version", version), bytes);
    }
    for (at, value) in [(1, 0), (1, 2), (1, 3), (2, 1), (3, 1), (7, 9), (15, 9), (19, 9)] {
        let mut bytes = request(33, 104, "");
        bytes[at] = value;
        note(&("byte", at, value), bytes);
    }
    for index in ["00000000", "00000063", "ffffffff", "80000000"] {
        for (code, length) in [(15, 76), (34, 84), (69, 76)] {
            note(&("index", code, index), request(code, length, index));
        }
    }
    for code in (0..=80).chain([127, 128, 999, 0xffff]) {
        // 62 ends it; 55, 56 and 64 are answered by ours alone
        if [55, 56, 62, 64].contains(&code) {
            continue;
        }
        for length in [28, 32, 36, 40, 44, 48, 52, 56, 60, 68, 76, 84, 104, 172, 196, 284, 372, 416, 520, 896]
        {
            // where the length tells the generation ours answers the older ones too
            if (code == 54 && length < 196) || (code == 57 && length < 172) {
                continue;
            }
            note(&("code", code, length), request(code, length, ""));
        }
    }
    all
}

/// Values that make no sense.
fn odd_values() -> Vec<Packet> {
    let mut all = Vec::new();
    let mut note = |code: u16, length: usize, data: &str| {
        all.push(Packet { what: format!("{code} {data}"), bytes: request(code, length, data) });
    };
    for code in 17..=24 {
        for (ip, bits) in [
            (TEN, "00000008"),
            (TEN, "ffffffff"),
            (TEN, "00000020"),
            (TEN, "00000021"),
            (UNSPEC, "00000000"),
            (UNSPEC, "00000005"),
            (ID, "00000000"),
            (ID, "00000020"),
        ] {
            note(code, 44, &format!("{ip}{bits}"));
        }
    }
    for ip in [TEN, UNSPEC, ID] {
        for (code, length) in [(25, 40), (26, 40), (29, 40), (57, 172), (65, 284), (67, 52)] {
            note(code, length, ip);
        }
        for code in [4, 5, 7, 8, 45, 46, 47] {
            note(code, 44, ip);
        }
        note(72, 52, ip);
        note(73, 48, ip);
        for code in [1, 2] {
            note(code, 60, &format!("{UNSPEC}{ip}"));
        }
        note(3, 68, &format!("{UNSPEC}{ip}"));
    }
    for (good, total) in [("00000005", "00000002"), ("00000000", "00000000"), ("ffffffff", "00000001")] {
        note(3, 68, &format!("{UNSPEC}{UNSPEC}{good}{total}"));
    }
    for option in ["00000000", "00000001", "00000002", "00000007", "ffffffff"] {
        note(13, 28, option);
        note(52, 28, option);
        note(42, 28, option);
        note(6, 28, option);
    }
    for local in ["00000001 00000000", "00000001 00000010", "00000007 00000005", "00000000 00000005"] {
        note(74, 48, local);
    }
    for n in ["00000000", "00000009", "ffffffff"] {
        note(68, 520, &format!("00000000{n}"));
        note(68, 520, &format!("{n}00000008"));
    }
    for float in ["00000000", "7effffff", "01000000", "ffffffff"] {
        for code in [9, 31, 49, 71] {
            note(code, 28, if code == 31 || code == 71 { "00000000" } else { float });
        }
        note(50, 28, &format!("00000001{float}"));
    }
    all
}

fn additions() -> Vec<Packet> {
    let put = |at: usize, number: u32| {
        move |bytes: &mut [u8]| bytes[at..at + 4].copy_from_slice(&number.to_be_bytes())
    };
    let name = |text: &'static [u8]| {
        move |bytes: &mut [u8]| {
            bytes[24..280].fill(0);
            bytes[24..24 + text.len()].copy_from_slice(text);
        }
    };
    let mut all = vec![
        add("as it is", 20, |_| {}),
        add("again", 20, |_| {}),
        add("type 0", 21, put(20, 0)),
        add("type 9", 21, put(20, 9)),
        add("a peer", 22, put(20, 2)),
        add("port 0", 24, put(280, 0)),
        add("port 70000", 25, put(280, 70_000)),
        add("minpoll 99", 26, put(284, 99)),
        add("maxpoll below minpoll", 27, put(288, 3)),
        add("version 9", 28, put(304, 9)),
        add("an unknown key", 29, put(328, 99)),
        add("IPv6 only", 30, put(372, 0x1000)),
        add("IPv4 only", 31, put(372, 0x800)),
        add("a name with a blank", 32, name(b"a b")),
        add("a name without an end", 32, name(&[b'a'; 256])),
        add("0.0.0.0", 32, name(b"0.0.0.0")),
        add("broadcast", 32, name(b"255.255.255.255")),
        add("multicast", 32, name(b"224.0.1.1")),
    ];
    for length in [372, 407] {
        let mut short = add(&format!("{length} bytes"), 33, |_| {});
        short.bytes.truncate(length);
        all.push(short);
    }
    all
}

#[test]
fn are_answered_as_chronyd_4_9_answers_them() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let Some(ours) = our("chronyd") else { return };
    let theirs = Asked::start(&lab, &Package::ChronySid.program("chronyd"));
    let ours = Asked::start(&lab, &ours);
    let mut wrong = Vec::new();
    let mut heard = 0;
    for packets in [heads(), odd_values(), additions()] {
        for (transport, original, mine) in [
            ("Unix", theirs.over_unix(&packets), ours.over_unix(&packets)),
            ("UDP", theirs.over_udp(&packets), ours.over_udp(&packets)),
        ] {
            for ((packet, original), mine) in packets.iter().zip(original).zip(mine) {
                heard += usize::from(original.is_some());
                if original != mine {
                    wrong.push(format!("{transport} {}: {original:?}, ours {mine:?}", packet.what));
                }
            }
        }
    }
    assert!(heard > 3000, "{heard}");
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
