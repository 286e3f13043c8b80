//! ntpq against recorded daemons: `NAME.hex` holds what ntpq asked and what the daemon sent, `NAME.txt` what the original
//! ntpq 4.2.8p15 printed for the same bytes (without `+` before offsets and without its empty lines, decisions.md).

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::thread;

use crate::support::cli::{Finished, command, finish};
use crate::support::schema::check_output;

/// A request of a recording and the packets that came back.
struct Exchange {
    request: Vec<u8>,
    replies: Vec<Vec<u8>>,
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
}

/// Operation, association and data: what makes a request that request.
fn key(packet: &[u8]) -> (u8, &[u8], &[u8]) {
    let count = usize::from(u16::from_be_bytes([packet[10], packet[11]]));
    (packet[1] & 31, &packet[6..8], &packet[12..12 + count])
}

fn recording(path: &Path) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        if let Some(hex) = line.strip_prefix("> ") {
            exchanges.push(Exchange { request: unhex(hex), replies: Vec::new() });
        } else if let Some(hex) = line.strip_prefix("< ") {
            let reply = unhex(hex);
            let asked = exchanges.iter_mut().find(|e| e.request[2..4] == reply[2..4]).unwrap();
            asked.replies.push(reply);
        }
    }
    exchanges
}

/// A server on a port of its own that answers as `answer` says, until the test process ends.
pub(super) fn serve(answer: impl Fn(&[u8], usize) -> Vec<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let host = socket.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        let mut number = 0;
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            for reply in answer(&buffer[..length], number) {
                let _ = socket.send_to(&reply, from);
            }
            number += 1;
        }
    });
    host
}

/// A server that plays a recording back, its fragments in the given order.
pub(super) fn replay(path: &Path, backwards: bool) -> String {
    let exchanges = recording(path);
    serve(move |request, _| {
        let Some(found) = exchanges.iter().find(|e| key(&e.request) == key(request)) else {
            return Vec::new();
        };
        let mut replies = found.replies.clone();
        replies.iter_mut().for_each(|reply| reply[2..4].copy_from_slice(&request[2..4]));
        if backwards {
            replies.reverse();
        }
        replies
    })
}

/// A reply of one packet with this text.
pub(super) fn reply(request: &[u8], status: u16, data: &[u8]) -> Vec<u8> {
    let mut packet = vec![request[0] & 0x38 | 6, 0x80 | request[1] & 31, request[2], request[3]];
    packet.extend(status.to_be_bytes());
    packet.extend(&request[6..8]);
    packet.extend([0, 0]);
    packet.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    packet.extend(data);
    packet.resize(packet.len().next_multiple_of(4), 0);
    packet
}

pub(super) fn ntpq(words: &[&str]) -> Finished {
    ntpq_as(words, "")
}

fn ntpq_as(words: &[&str], compat: &str) -> Finished {
    let mut ntpq = command("ntpq");
    ntpq.args(words).env("NTPBOX_COMPAT", compat).stdin(std::process::Stdio::null());
    finish(ntpq)
}

/// The arguments of a recording, from its first line: `# …: ntpq WORDS`, commands after `-c`.
fn arguments(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let words = text.lines().next().unwrap().split_once(": ntpq ").unwrap().1.to_owned();
    let mut parts = words.split(" -c ");
    let mut arguments: Vec<String> =
        parts.next().unwrap().split_whitespace().map(ToOwned::to_owned).collect();
    for command in parts {
        arguments.extend(["-c".to_owned(), command.to_owned()]);
    }
    arguments
}

/// The column `when` counts from the clock of the moment.
fn without_when(text: &str) -> String {
    let table = text.contains(" st t when poll reach ");
    let mask = |(number, line): (usize, &str)| {
        if table && number > 1 {
            format!("{}....{}\n", &line[..38], &line[42..])
        } else {
            format!("{line}\n")
        }
    };
    text.lines().enumerate().map(mask).collect()
}

fn recordings() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for daemon in ["ntpd-4.2.6p5", "ntpd-4.2.8p15", "ntpsec-1.2.2"] {
        let dir = Path::new("tests/fixtures/replies").join(daemon);
        let files = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        found.extend(files.filter(|path| path.extension().is_some_and(|e| e == "hex")));
    }
    found.sort();
    assert!(found.len() > 35, "{}", found.len());
    found
}

#[test]
fn every_recorded_reply_reads_as_the_original_printed_it() {
    for path in recordings() {
        for backwards in [false, true] {
            let host = replay(&path, backwards);
            let arguments = arguments(&path);
            let words: Vec<&str> = arguments.iter().map(String::as_str).chain([host.as_str()]).collect();
            let ran = ntpq(&words);
            let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
            assert_eq!(without_when(&ran.stdout), without_when(&expected), "{}", path.display());
            assert_eq!(ran.code(), 0, "{}", path.display());
        }
    }
}

#[test]
fn every_recorded_reply_makes_valid_json() {
    for path in recordings() {
        let host = replay(&path, false);
        let arguments = arguments(&path);
        let words: Vec<&str> =
            arguments.iter().map(String::as_str).chain(["--json=short", host.as_str()]).collect();
        let ran = ntpq(&words);
        let objects = check_output(&ran.stdout);
        assert_eq!(objects.len(), 1, "{}", path.display());
        let failed = path.file_name().unwrap().to_str().unwrap().starts_with("unknown-");
        assert_eq!(objects[0]["ok"], !failed, "{}", path.display());
        assert_eq!(ran.code(), i32::from(failed), "{}", path.display());
    }
}

/// What the original 4.2.8p15 says on standard error of the error replies of ntp-legacy 2.17.
#[test]
fn refusals_of_an_older_ntpd_have_the_originals_words() {
    for (name, said) in [
        ("association", "***Association ID 9 unknown to server\n"),
        ("variable", "***A request variable unknown to the server\n"),
        ("opcode", "***Server reports a bad opcode in request\nnonce request failed\n"),
    ] {
        let path = format!("tests/fixtures/replies/ntpd-4.2.6p5/unknown-{name}.hex");
        let host = replay(Path::new(&path), false);
        let arguments = arguments(Path::new(&path));
        let words: Vec<&str> = arguments.iter().map(String::as_str).chain([host.as_str()]).collect();
        let ran = ntpq(&words);
        let hint = "Ctrl-C will stop MRU retrieval and display partial results.\n";
        assert_eq!(ran.stderr.strip_prefix(hint).unwrap_or(&ran.stderr), said);
        assert_eq!((ran.code(), ran.stdout.as_str()), (0, ""));
    }
}

#[test]
fn json_has_seconds_and_our_signs() {
    let host = replay(Path::new("tests/fixtures/replies/ntpd-4.2.8p15/readvar.hex"), false);
    let object = &check_output(&ntpq(&["--json", "-c", "readvar", &host]).stdout)[0];
    let (values, raw) = (&object["data"]["values"], &object["data"]["raw"]);
    let raw = |name: &str| raw[name].as_str().unwrap().parse::<f64>().unwrap();
    assert!((values["offset_s"].as_f64().unwrap() * 1000.0 - raw("offset")).abs() < 1e-9);
    assert!((values["frequency_ppm"].as_f64().unwrap() + raw("frequency")).abs() < 1e-9);
    assert_eq!(values["leap"], "none");
}

/// One association of ntpd with an offset of 1.035 ms, the row of ntp-legacy 2.12.
pub(super) fn classic(request: &[u8], _: usize) -> Vec<Vec<u8>> {
    let data: &[u8] = match request[1] & 31 {
        1 => &[0x8d, 0x6b, 0x96, 0x3a],
        _ if request[6..8] == [0, 0] => b"stratum=2, offset=-199.945, sys_jitter=0.4, rootdisp=1.0, rootdelay=2.0\r\n",
        _ => b"srcadr=10.78.0.2, srcport=123, dstadr=10.78.0.100, stratum=1, refid=GPS, rec=0x00000000.00000000, reach=0x7, hmode=3, pmode=4, hpoll=4, ppoll=4, offset=1.035, delay=0.094, dispersion=0.438, jitter=0.436\r\n",
    };
    vec![reply(request, 0x963a, data)]
}

/// Datagrams of 60 kB, fragments that overlap and come again do not hide the answer.
#[test]
fn hostile_fragments_around_an_answer_count_for_nothing() {
    let text = [b"offset=1.5, ".repeat(45), b"stratum=2\r\n".to_vec()].concat();
    let host = serve(move |request, _| {
        let part = |offset: usize, more: bool, data: &[u8]| {
            let mut packet = reply(request, 0x0615, data);
            packet[1] |= if more { 0x20 } else { 0 };
            packet[8..10].copy_from_slice(&u16::try_from(offset).unwrap().to_be_bytes());
            packet
        };
        let (first, second) = text.split_at(468);
        vec![
            part(0, false, &[b'x'; 60_000]),
            part(468, false, second),
            part(464, true, b"overlaps"),
            part(468, false, second),
            part(65_000, true, b"far away"),
            part(0, true, b""),
            part(0, true, first),
        ]
    });
    let ran = ntpq(&["-c", "raw", "-c", "rv 0 offset", &host]);
    assert_eq!((ran.code(), ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout.matches("offset=1.5").count(), 45, "{}", ran.stdout);
    assert!(ran.stdout.ends_with("stratum=2\n") && !ran.stdout.contains("overlaps"), "{}", ran.stdout);
}

/// A server that never stops sending: fragments without an end, one of them again and again, replies to other questions, junk.
#[test]
fn an_endless_stream_ends_with_the_time_out() {
    let fragment = |request: &[u8], offset: u16| {
        let mut packet = reply(request, 0x0615, b"a=1,");
        packet[1] |= 0x20;
        packet[8..10].copy_from_slice(&offset.to_be_bytes());
        packet
    };
    let (silent, incomplete) = ("***Request timed out", "***Response from server was incomplete");
    let check = |place: usize, said: &str| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let host = socket.local_addr().unwrap().to_string();
        let ended = std::sync::atomic::AtomicBool::new(false);
        let ran = thread::scope(|scope| {
            scope.spawn(|| {
                let mut buffer = [0; 2048];
                let (mut length, from) = socket.recv_from(&mut buffer).unwrap();
                // the question may be asked again
                socket.set_read_timeout(Some(std::time::Duration::from_micros(200))).unwrap();
                for number in (0..u16::MAX).cycle() {
                    if ended.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                    let request = &buffer[..length];
                    let packet = match place {
                        0 => vec![0; 20],
                        1 => [&reply(request, 0, b"a=1")[..2], b"\xff\xff", &request[4..]].concat(),
                        2 => fragment(request, number & !3),
                        _ => fragment(request, 0),
                    };
                    let _ = socket.send_to(&packet, from);
                    length = socket.recv_from(&mut buffer).map_or(length, |(length, _)| length);
                }
            });
            let ran = ntpq(&["-c", "timeout 150", "-c", "rv 0", &host]);
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
            ran
        });
        assert!(ran.stderr.contains(said), "{place}: {}", ran.stderr);
        assert_eq!((ran.code(), ran.stdout.as_str()), (0, ""), "{place}");
    };
    // all at once: what is incomplete is waited for longer
    thread::scope(|scope| {
        for (place, said) in [silent, silent, incomplete, incomplete].into_iter().enumerate() {
            let check = &check;
            scope.spawn(move || check(place, said));
        }
    });
}

/// A list of 10 000 clients is read page by page.
#[test]
fn ten_thousand_clients_are_listed() {
    const ALL: u32 = 10_000;
    let host = serve(|request, _| {
        if request[1] & 31 == 12 {
            return vec![reply(request, 0, b"nonce=eeaba42d74cfc9de11448747\r\n")];
        }
        let asked = String::from_utf8_lossy(&request[12..]).into_owned();
        let known = asked.split_once("addr.0=10.").map_or(0, |(_, rest)| {
            let mut parts = rest.split([':', '.']).map(|part| part.parse::<u32>().unwrap());
            1 + (parts.next().unwrap() << 16 | parts.next().unwrap() << 8 | parts.next().unwrap())
        });
        let mut text = "nonce=eeaba42d74cfc9de11448747".to_owned();
        for (row, number) in (known..ALL).take(120).enumerate() {
            let [_, a, b, c] = number.to_be_bytes();
            text += &format!(
                ", addr.{row}=10.{a}.{b}.{c}:123, last.{row}=0xeeaba42d.{number:08x}, first.{row}=0xeeaba42d.0, \
                 ct.{row}=1, mv.{row}=35, rs.{row}=0x0"
            );
        }
        if known + 120 >= ALL {
            text += ", now=0xeeaba43d.00000000";
        }
        let bytes = text.as_bytes();
        let parts = bytes.chunks(468).enumerate().map(|(place, data)| {
            let mut packet = reply(request, 0, data);
            packet[1] |= if (place + 1) * 468 < bytes.len() { 0x20 } else { 0 };
            packet[8..10].copy_from_slice(&u16::try_from(place * 468).unwrap().to_be_bytes());
            packet
        });
        parts.collect()
    });
    let ran = ntpq(&["-n", "-c", "mrulist", &host]);
    assert!(ran.stderr.contains("Retrieved 10000 unique MRU entries and 0 updates.\n"), "{}", ran.stderr);
    assert_eq!((ran.code(), ran.stdout.lines().count()), (0, 10_002));
}

#[test]
fn parsers_of_version_and_failures_find_their_words() {
    assert!(ntpq(&["-c", "version", "127.0.0.1"]).stdout.starts_with("ntpq 4.2.8p15@ntpbox-"));
    assert_eq!(ntpq(&["-c", "ntpversion", "127.0.0.1"]).stdout, "NTP version being claimed is 2\n");
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let refused = ntpq(&["-c", "rv", &closed]);
    assert_eq!((refused.code(), refused.stdout.as_str()), (0, ""));
    assert!(refused.stderr.ends_with("ntpq: read: Connection refused\n"), "{}", refused.stderr);
    assert_eq!(ntpq(&["--strict", "-c", "rv", &closed]).code(), 1);
    let json = ntpq(&["--json", "-c", "rv", &closed]);
    assert_eq!(check_output(&json.stdout)[0]["error"]["code"], "daemon-unreachable");
    assert_eq!(json.code(), 1);
    let none = serve(|request, _| vec![reply(request, 0x0615, b"")]);
    assert_eq!(ntpq(&["-p", &none]).stdout, "No association ID's returned\n");
}

#[test]
fn the_texts_of_4_2_6() {
    let host = serve(|request, _| match request[1] & 31 {
        1 => vec![reply(request, 0x0615, &[0, 1, 0x93, 0x14])],
        4 => vec![reply(request, 0, b"flags=0\r\n")],
        _ => vec![reply(
            request,
            0x9314,
            b"srcadr=10.0.0.1, hmode=1, dstadr=10.0.0.255, reftime=0x00000000.00000000, timecode\r\n",
        )],
    });
    let list = ntpq_as(&["-c", "as", &host], "rhel7").stdout;
    assert!(list.starts_with("\nind assid status"), "{list}");
    assert!(list.contains("  outlyer   reachable  1\n"), "{list}");
    assert!(ntpq(&["-c", "as", &host]).stdout.contains("  outlier   reachable  1\n"));
    let peer = ntpq_as(&["-n", "-c", "rv 1", &host], "rhel6").stdout;
    assert!(peer.contains("sel_outlyer, 1 event, reachable,\n"), "{peer}");
    assert!(peer.contains("reftime=00000000.00000000  Mon, Jan  1 1900  0:00:00.000"), "{peer}");
    assert!(ntpq_as(&["-pn", &host], "rhel6").stdout.contains(" b "), "from the local address");
    assert!(ntpq(&["-pn", &host]).stdout.contains(" s "), "from the mode");
    assert_eq!(
        ntpq_as(&["-c", "cv", &host], "rhel6").stdout,
        "associd=0 status=0000 , no events, clk_unspec,\nflags=0\n"
    );
    assert_eq!(ntpq_as(&["-c", "sysinfo", &host], "rhel6").stderr, "***Command `sysinfo' unknown\n");
}

#[test]
fn hostile_replies_neither_reach_the_terminal_nor_end_badly() {
    let datas: [&[u8]; 8] = [
        b"a\x1b[2J=1, b=\x1b]0;x\x07, c=\"\x9b31m\", d\x00=2",
        b"refid=\x1b[2J, srchost=\"\x1b[31mevil\", flash=0xffffffffffffffff, reach=99999999999999999999, stratum=-1",
        b"filtdelay= 0.00 0.00 0.0\x04 16000.00 \xff\xfe, filtoffset= 1e308 1e308, filtdisp=nan inf",
        b"x=\"open, y=1\r\nz=2",
        b"=,=,=,,,,,\r\n\r\n=",
        b"reftime=0xffffffff.ffffffff, rec=0x00000001.00000000, clock=0x7fffffff.ffffffff, hpoll=127, ppoll=-128",
        b"\xff\xff\xff\xff",
        b"offset=999999999999999999999999999999, delay=-0, jitter=.",
    ];
    for data in datas {
        let host = serve(move |request, _| match request[1] & 31 {
            1 => vec![reply(request, 0x0615, &[0, 1, 0x96, 0x3a])],
            _ => vec![reply(request, 0x963a, data)],
        });
        for words in [
            &["-p"][..],
            &["-c", "rv"],
            &["-c", "raw", "-c", "rv 1"],
            &["-c", "cv"],
            &["--json", "-c", "rv 1"],
        ] {
            let ran = ntpq(&[words, &["-n", &host]].concat());
            let shown = ran.stdout.bytes().chain(ran.stderr.bytes());
            assert!(
                shown.clone().all(|b| b == b'\n' || (0x20..0x7f).contains(&b)),
                "{words:?} {:?}",
                ran.stdout
            );
            assert!(ran.code() <= 1 && !ran.stderr.contains("panicked"), "{words:?}: {}", ran.stderr);
        }
    }
}

#[test]
fn broken_lists_end_with_one_line() {
    let odd = serve(|request, _| vec![reply(request, 0x0615, &[0; 10])]);
    let ran = ntpq(&["-p", &odd]);
    assert_eq!(ran.stderr, "***Server returned 10 octets, should be multiple of 4\n");
    // an association that vanishes between the two requests: the rows before it are shown
    let vanishing = serve(|request, _| match (request[1] & 31, request[7]) {
        (1, _) => vec![reply(request, 0x0615, &[0, 1, 0x96, 0x3a, 0, 2, 0x90, 0x14])],
        (_, 2) => {
            let mut refusal = reply(request, 0x0400, b"");
            refusal[1] |= 0x40;
            vec![refusal]
        }
        _ => classic(request, 0),
    });
    let ran = ntpq(&["-pn", &vanishing]);
    assert_eq!(ran.stderr, "***Association ID 2 unknown to server\n");
    assert_eq!(ran.stdout.lines().count(), 3);
    assert_eq!(ran.code(), 0);
}

#[test]
fn commands_come_from_standard_input_and_watching_repeats() {
    let host = serve(classic);
    let mut piped = command("ntpq");
    piped.args(["-n", &host]).stdin(std::process::Stdio::piped());
    piped.stdout(std::process::Stdio::piped());
    let mut child = piped.spawn().unwrap();
    use std::io::Write;
    child.stdin.take().unwrap().write_all(b"version\n\nrv 0\nquit\nversion\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert_eq!(text.matches("ntpq 4.2.8p15").count(), 1, "{text}");
    assert!(text.contains("\nassocid=0"), "{text}");

    let mut watching = command("ntpq");
    watching.args(["--watch=0.1", "--json", "-n", &host]).stdout(std::process::Stdio::piped());
    let mut child = watching.spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    for line in lines.take(3) {
        let object = &check_output(&line.unwrap())[0];
        assert_eq!(object["schema"], "ntpbox/ntpq.peers/1");
        assert_eq!(object["data"]["peers"][0]["offset_s"], 0.001035);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
