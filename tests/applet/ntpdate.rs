//! `ntpdate` against servers of our own making on loopback: honest, unfit, hostile, silent.

use std::fs;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ntpbox::auth::{Dialect, KeyRing};
use ntpbox::sys::clock;
use ntpbox::types::{Leap, LogInterval, Mode, NtpShort, NtpTimestamp, RefId, Stratum, TimeDelta, Timestamp};
use ntpbox::wire::ntp::Header;

use crate::support::cli::{Finished, check_goldens, command, finish, run, scratch};
use crate::support::schema::check_output;

/// Turns a request and the number of those before it into the datagrams that answer it.
type Behaviour = Box<dyn Fn(&[u8], u32) -> Vec<Vec<u8>> + Send>;

/// A server on a loopback port; it ends when dropped.
struct Fake {
    port: String,
    asked: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    fn start(behaviour: Behaviour) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let port = socket.local_addr().unwrap().port().to_string();
        let (asked, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, ended) = (Arc::clone(&asked), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let number = counter.fetch_add(1, Ordering::Relaxed);
                for answer in behaviour(&buffer[..length], number) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Self { port, asked, stop, thread: Some(thread) }
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// `ntpdate --port PORT WORDS… 127.0.0.1`
    fn ask(&self, words: &[&str]) -> Finished {
        run("ntpdate", &[&["--port", &self.port], words, &["127.0.0.1"]].concat())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The honest answer of a stratum-2 server whose clock is `ahead` of ours.
fn honest(request: &[u8], ahead: TimeDelta) -> Header {
    let request = Header::parse(request).unwrap();
    let now = clock::now() + ahead;
    Header {
        leap: Leap::None,
        version: request.version,
        mode: Mode::Server,
        stratum: Stratum::new(2),
        poll: request.poll,
        precision: LogInterval::from_log2(-20),
        root_delay: NtpShort::ZERO,
        root_dispersion: NtpShort::ZERO,
        refid: RefId::from_bits(0x0a4e_0009),
        reference: NtpTimestamp::from_timestamp(now - TimeDelta::from_secs(8)),
        origin: request.transmit,
        receive: NtpTimestamp::from_timestamp(now),
        transmit: NtpTimestamp::from_timestamp(now),
    }
}

fn server(change: fn(Header) -> Header) -> Fake {
    Fake::start(Box::new(move |request, _| vec![change(honest(request, TimeDelta::ZERO)).emit().to_vec()]))
}

fn ahead(by: TimeDelta) -> Fake {
    Fake::start(Box::new(move |request, _| vec![honest(request, by).emit().to_vec()]))
}

/// The text behind `ntpdate[PID]: ` of a logged line, after a look at the prefix.
fn logged(line: &str) -> &str {
    let (prefix, text) = line.split_once("]: ").unwrap_or_else(|| panic!("no prefix in {line:?}"));
    let (date, program) = prefix.split_at(16);
    let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert!(
        shape == format!("00{}00:00:00 ", &date[2..7]) || shape == format!(" 0{}00:00:00 ", &date[2..7]),
        "{line}"
    );
    assert!(program.starts_with("ntpdate["), "{line}");
    text
}

#[test]
fn goldens() {
    check_goldens("ntpdate");
}

#[test]
fn a_query_prints_a_row_and_what_would_be_done() {
    let fake = ahead(TimeDelta::from_millis(7_500));
    let ran = fake.ask(&["-q", "-p1"]);
    assert_eq!((ran.code(), ran.stderr.as_str()), (0, ""));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.stdout);
    let row = lines[0].strip_prefix("server 127.0.0.1, stratum 2, offset ").unwrap();
    let (offset, delay) = row.split_once(", delay ").unwrap();
    assert_eq!((offset.len(), delay.len()), ("7.500000".len(), "0.02567".len()), "{row}");
    let seconds = |text: &str| -> f64 { text.parse().unwrap() };
    // the delay that is shown is padded by 25 ms and more; a busy machine adds to it
    assert!((seconds(offset) - 7.5).abs() <= seconds(delay) / 2.0, "{row}");
    assert!((0.025..1.0).contains(&seconds(delay)), "{row}");
    let text = logged(lines[1]);
    assert!(text.starts_with("step time server 127.0.0.1 offset 7.") && text.ends_with(" sec"), "{text}");
    assert_eq!(fake.asked(), 1);
}

#[test]
fn p_4_sends_four_requests() {
    let fake = ahead(TimeDelta::ZERO);
    assert_eq!(fake.ask(&["-q", "-p", "4"]).code(), 0);
    assert_eq!(fake.asked(), 4);
}

#[test]
fn json_reports_truth_in_our_sign() {
    let fake = ahead(TimeDelta::from_millis(-250));
    let ran = fake.ask(&["--json", "-q", "-p3"]);
    let object = &check_output(&ran.stdout)[0];
    let data = &object["data"];
    assert_eq!((data["mode"].as_str(), data["action"].as_str()), (Some("query"), Some("slew")));
    assert_eq!(data["applied"], false);
    assert!((data["offset_s"].as_f64().unwrap() + 0.25).abs() < 0.02, "{data}");
    let server = &data["servers"][0];
    assert!(server["delay_s"].as_f64().unwrap() < 0.02, "the true round trip, not the padded one: {server}");
    assert_eq!(server["samples"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&server["rejected"], &server["refid"]["hex"]),
        (&serde_json::Value::Null, &"0A4E0009".into())
    );
}

#[test]
fn unfit_servers_are_refused_with_a_reason() {
    let kiss = |code: [u8; 4]| {
        move |request: &[u8], _| {
            let header = honest(request, TimeDelta::ZERO);
            let stratum = Stratum::UNSPECIFIED;
            let refid = RefId::from_ascii(code);
            vec![Header { leap: Leap::Unsynchronised, stratum, refid, ..header }.emit().to_vec()]
        }
    };
    let change = |f: fn(Header) -> Header| {
        move |request: &[u8], _| vec![f(honest(request, TimeDelta::ZERO)).emit().to_vec()]
    };
    let cases: [(Behaviour, &str, u32, &str); 9] = [
        (Box::new(kiss(*b"RATE")), "RATE", 1, "stratum 0,"),
        (Box::new(kiss(*b"DENY")), "DENY", 1, "stratum 16,"),
        (Box::new(kiss(*b"RSTR")), "RSTR", 1, "stratum 16,"),
        (Box::new(change(|h| Header { stratum: Stratum::new(0), ..h })), "strata too high", 1, "stratum 16,"),
        (Box::new(change(|h| Header { stratum: Stratum::new(16), ..h })), "no answer", 1, "stratum 0,"),
        (
            Box::new(change(|h| Header { leap: Leap::Unsynchronised, ..h })),
            "Leap not in sync",
            1,
            "stratum 2,",
        ),
        (
            Box::new(change(|h| Header { reference: NtpTimestamp::ZERO, ..h })),
            "Server has gone too long without sync",
            1,
            "stratum 2,",
        ),
        (Box::new(change(|h| Header { mode: Mode::Client, ..h })), "no answer", 1, "stratum 0,"),
        (Box::new(|_, _| Vec::new()), "no answer", 1, "stratum 0,"),
    ];
    for (behaviour, reason, packets, row) in cases {
        let fake = Fake::start(behaviour);
        let ran = fake.ask(&["-q", "-p1", "-t", "0.2"]);
        assert_eq!(ran.code(), 1, "{reason}");
        assert!(ran.stdout.starts_with(&format!("server 127.0.0.1, {row}")), "{reason}: {}", ran.stdout);
        let last = ran.stderr.lines().last().unwrap();
        assert_eq!(logged(last), "no server suitable for synchronization found", "{reason}");
        let rate = ran.stderr.contains("127.0.0.1 rate limit response from server.");
        assert_eq!(rate, reason == "RATE", "{}", ran.stderr);
        assert_eq!(fake.asked(), packets, "{reason}");

        let ran = fake.ask(&["--json", "-q", "-p1", "-t", "0.2"]);
        let object = &check_output(&ran.stdout)[0];
        assert_eq!((object["ok"].as_bool(), object["exit_code"].as_i64()), (Some(false), Some(1)));
        assert_eq!(object["error"]["legacy"], "no server suitable for synchronization found");
        assert_eq!(object["messages"][0]["text"], format!("127.0.0.1 (127.0.0.1): {reason}"));
    }
}

/// Why the only server was refused, from the JSON object of a run that ended with 1.
fn rejection(ran: &Finished) -> String {
    assert_eq!(ran.code(), 1);
    let object = &check_output(&ran.stdout)[0];
    assert_eq!((object["ok"].as_bool(), object["exit_code"].as_i64()), (Some(false), Some(1)), "{object:#}");
    object["messages"][0]["text"].as_str().unwrap().to_owned()
}

#[test]
fn what_fails_before_a_packet_is_an_object_too() {
    let dir = scratch("ntpdate-json-failures");
    let file = |name: &str, text: &[u8]| {
        fs::write(dir.join(name), text).unwrap();
        dir.join(name).to_str().unwrap().to_owned()
    };
    let missing = dir.join("missing").to_str().unwrap().to_owned();
    let (good, garbage) = (file("keys", b"1 M hello\n"), file("garbage", b"\x00\xff\xfe 1 M\n\x1b[2J"));
    let cases: &[(&[&str], i32)] = &[
        (&[], 1),
        (&["-q", "-"], 1),
        (&["-q", "-4", "::1"], 1),
        (&["-q", "no..such..host"], 1),
        (&["-q", "-a", "1", "-k", &missing, "127.0.0.1"], 1),
        (&["-q", "-a", "1", "-k", &garbage, "127.0.0.1"], 1),
        (&["-q", "-a", "1", "-k", ".", "127.0.0.1"], 1),
        (&["-q", "-a", "0", "-k", &good, "127.0.0.1"], 1),
        (&["-q", "-p", "0", "127.0.0.1"], 2),
        (&["-q", "-p", "9", "127.0.0.1"], 2),
        (&["-q", "-t", "-1", "127.0.0.1"], 2),
        (&["-q", "-t", "1e400", "127.0.0.1"], 2),
        (&["-q", "-t", "99999999999", "127.0.0.1"], 2),
        (&["-q", "-e", "abc", "127.0.0.1"], 2),
        (&["-q", "-z", "127.0.0.1"], 2),
        (&["-q", "-U", "no-such-user", "127.0.0.1"], 1),
    ];
    for (words, code) in cases {
        let ran = run("ntpdate", &[&["--json"], *words].concat());
        let object = &check_output(&ran.stdout)[0];
        assert_eq!(ran.code(), *code, "{words:?}: {object:#} {}", ran.stderr);
        assert_eq!(
            (object["ok"].as_bool(), object["exit_code"].as_i64()),
            (Some(false), Some(i64::from(*code)))
        );
        assert!(!object["error"]["text"].as_str().unwrap().is_empty(), "{object:#}");
        assert!(!ran.stderr.contains('\x1b'), "{words:?}: {:?}", ran.stderr);
    }
}

#[test]
fn forged_replies_do_not_count() {
    type Forgery = fn(&[u8]) -> Vec<Vec<u8>>;
    let forgeries: [Forgery; 3] = [
        |request| vec![honest(request, TimeDelta::from_secs(9)).emit()[..47].to_vec()],
        |request| {
            let header = honest(request, TimeDelta::from_secs(9));
            let origin = NtpTimestamp::from_bits(header.origin.to_bits().wrapping_add(1));
            vec![Header { origin, ..header }.emit().to_vec()]
        },
        |_| vec![vec![0xff; 1500], Vec::new()],
    ];
    for forge in forgeries {
        let fake = Fake::start(Box::new(move |request, _| forge(request)));
        assert_eq!(fake.ask(&["-q", "-p1", "-t0.2"]).code(), 1);
        assert_eq!(
            rejection(&fake.ask(&["--json", "-q", "-p1", "-t0.2"])),
            "127.0.0.1 (127.0.0.1): no answer"
        );
    }
    // the answer to the request before, and one from another port than was asked
    let mut before = Vec::new();
    let replay = Arc::new(std::sync::Mutex::new(move |request: &[u8]| {
        let now = honest(request, TimeDelta::from_secs(9)).emit().to_vec();
        std::mem::replace(&mut before, now)
    }));
    let fake = Fake::start(Box::new(move |request, _| vec![(replay.lock().unwrap())(request)]));
    for _ in 0..2 {
        assert_eq!(
            rejection(&fake.ask(&["--json", "-q", "-p1", "-t0.2"])),
            "127.0.0.1 (127.0.0.1): no answer"
        );
    }
    let (asked, elsewhere) =
        (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let port = asked.local_addr().unwrap().port().to_string();
    let answering = std::thread::spawn(move || {
        let mut buffer = [0; 48];
        let (_, from) = asked.recv_from(&mut buffer).unwrap();
        elsewhere.send_to(&honest(&buffer, TimeDelta::from_secs(9)).emit(), from).unwrap();
        asked
    });
    let ran = run("ntpdate", &["--port", &port, "--json", "-q", "-p1", "-t0.2", "127.0.0.1"]);
    assert_eq!(rejection(&ran), "127.0.0.1 (127.0.0.1): no answer");
    drop(answering.join().unwrap());
    // a forgery before the true answer changes nothing
    let fake = Fake::start(Box::new(|request, _| {
        let header = honest(request, TimeDelta::from_secs(9));
        let forged = Header { origin: NtpTimestamp::ZERO, ..header };
        vec![forged.emit().to_vec(), honest(request, TimeDelta::ZERO).emit().to_vec()]
    }));
    let ran = fake.ask(&["-q", "-p1"]);
    assert!(
        ran.code() == 0 && ran.stdout.contains(", offset 0.0") || ran.stdout.contains(", offset -0.0"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_loss_after_an_answer_ends_the_asking() {
    let fake = Fake::start(Box::new(|request, number| match number {
        0 => vec![honest(request, TimeDelta::ZERO).emit().to_vec()],
        _ => Vec::new(),
    }));
    let ran = fake.ask(&["-q", "-p8", "-t0.2"]);
    assert_eq!((ran.code(), fake.asked()), (0, 2));
}

const KEYS: &str = "1 M secret\n2 SHA1 0102030405060708090a0b0c0d0e0f1011121314\n3 SHA256 0102030405060708090a0b0c0d0e0f1011121314\n4 AES128 000102030405060708090a0b0c0d0e0f\n";

fn signing(secret_file: &'static str) -> Fake {
    let (ring, complaints) = KeyRing::parse(secret_file.as_bytes(), Dialect::Ntp);
    assert!(complaints.is_empty());
    Fake::start(Box::new(move |request, _| {
        let Ok(key) = KeyRing::parse(KEYS.as_bytes(), Dialect::Ntp).0.verify_packet(request, Dialect::Ntp)
        else {
            return Vec::new();
        };
        let mut reply = honest(request, TimeDelta::ZERO).emit().to_vec();
        ring.sign_packet(key, &mut reply, Dialect::Ntp).unwrap();
        vec![reply]
    }))
}

#[test]
fn every_kind_of_key_authenticates() {
    let dir = scratch("ntpdate-keys");
    let file = dir.join("keys");
    fs::write(&file, KEYS).unwrap();
    let fake = signing(KEYS);
    for key in ["1", "2", "3", "4"] {
        for version in ["3", "4"] {
            let ran = fake.ask(&["-q", "-o", version, "-a", key, "-k", file.to_str().unwrap()]);
            assert_eq!((ran.code(), ran.stderr.as_str()), (0, ""), "key {key}");
        }
    }
    let ran = fake.ask(&["-d", "-p1", "-a", "1", "-k", file.to_str().unwrap()]);
    assert!(ran.stdout.contains("receive(127.0.0.1)\nreceive: authentication passed\n"), "{}", ran.stdout);
}

#[test]
fn a_reply_under_another_secret_is_untrusted() {
    let dir = scratch("ntpdate-bad-key");
    let file = dir.join("keys");
    fs::write(&file, KEYS).unwrap();
    let fake = signing("1 M other\n");
    let ran = fake.ask(&["-d", "-p1", "-a", "1", "-k", file.to_str().unwrap()]);
    assert_eq!(ran.code(), 1);
    assert!(ran.stdout.contains("receive: authentication failed\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("127.0.0.1: Server dropped: Server is untrusted\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains(", trust 001\n"), "{}", ran.stdout);
    // a server that does not authenticate at all is untrusted as well
    let ran = ahead(TimeDelta::ZERO).ask(&["-q", "-p1", "-a", "1", "-k", file.to_str().unwrap()]);
    assert_eq!(ran.code(), 1);
    // a key that the file does not hold: no MAC goes out
    let ran = fake.ask(&["-q", "-p1", "-t0.2", "-a", "9", "-k", file.to_str().unwrap()]);
    assert_eq!(ran.code(), 1);
    assert_eq!(logged(&ran.stderr), "no server suitable for synchronization found\n");
}

#[test]
fn adjusting_without_permission_says_so() {
    for (by, line) in [
        (TimeDelta::from_secs(1), "step-systime: Operation not permitted\n"),
        (TimeDelta::from_millis(100), "Can't adjust the time of day: Operation not permitted\n"),
    ] {
        let fake = ahead(by);
        let ran = fake.ask(&["-u"]);
        assert_eq!((ran.code(), ran.stdout.as_str()), (1, ""));
        assert_eq!(logged(&ran.stderr), line);
        let mut old = command("ntpdate");
        old.args(["-u", "--port", &fake.port, "127.0.0.1"]).env("NTPBOX_COMPAT", "rhel6");
        assert_eq!(finish(old).code(), 0);
        let ran = fake.ask(&["-u", "--json"]);
        let object = &check_output(&ran.stdout)[0];
        assert_eq!(object["error"]["code"], "not-permitted");
        assert_eq!(logged(&ran.stderr), line);
    }
}

#[test]
fn signals_before_the_adjustment_leave_the_clock_alone() {
    // a shell's job in the background has SIGINT ignored, and so would its children
    // SAFETY: the default runs no code of ours.
    #[expect(unsafe_code, reason = "there is no safe wrapper for signal")]
    unsafe {
        nix::sys::signal::signal(nix::sys::signal::Signal::SIGINT, nix::sys::signal::SigHandler::SigDfl)
    }
    .unwrap();
    for (name, number) in [("-INT", 2), ("-TERM", 15)] {
        let fake = Fake::start(Box::new(|_, _| Vec::new()));
        let mut ntpdate = command("ntpdate");
        ntpdate.args(["-u", "--port", &fake.port, "-t", "30", "127.0.0.1"]);
        let child = ntpdate.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while fake.asked() == 0 {
            std::thread::yield_now();
        }
        assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(number));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "ntpdate: interrupted, clock not changed\n");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn what_cannot_be_written_is_said_and_what_was_asked_is_still_done() {
    let fake = server(|header| header);
    let mut full = command("ntpdate");
    full.args(["-q", "-p1", "--port", &fake.port, "127.0.0.1"]);
    let child = full
        .stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "ntpdate: write error: No space left on device\n");
    assert_eq!(fake.asked(), 1);
}

#[test]
fn a_duplicated_address_is_asked_once_and_has_one_row() {
    let fake = server(|header| header);
    let ran = fake.ask(&["-q", "-p", "1", "127.0.0.1", "127.1"]);
    assert_eq!(ran.stdout.matches("server 127.0.0.1,").count(), 1, "{}", ran.stdout);
    assert_eq!(fake.asked(), 1);
}

#[test]
fn a_trace_has_the_originals_lines() {
    let fake = Fake::start(Box::new(|request, _| {
        let header = honest(request, TimeDelta::from_secs(110_240));
        vec![
            Header { stratum: Stratum::new(1), refid: RefId::from_ascii(*b"GPS\0"), ..header }
                .emit()
                .to_vec(),
        ]
    }));
    let ran = fake.ask(&["-d"]);
    assert_eq!(ran.code(), 0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(logged(lines[0]).starts_with("ntpdate 4.2.6p5@ntpbox-"));
    assert_eq!(lines[1], "Looking for host 127.0.0.1 and service ntp");
    assert_eq!(lines[2..10], ["transmit(127.0.0.1)", "receive(127.0.0.1)"].repeat(4));
    assert_eq!(lines[10], format!("server 127.0.0.1, port {}", fake.port));
    assert_eq!(lines[11], "stratum 1, precision -20, leap 00, trust 000");
    assert!(lines[12].starts_with("refid [GPS], delay 0."), "{}", lines[12]);
    assert_eq!(lines[13], "transmitted 4, in filter 4");
    assert!(lines[14].starts_with("reference time:    ") && lines[15].starts_with("originate timestamp: "));
    assert!(lines[16].starts_with("transmit timestamp:  "));
    assert!(lines[17].starts_with("filter delay:  0."));
    assert_eq!(lines[18], "         0.00000  0.00000  0.00000  0.00000 ");
    assert_eq!(
        lines[19].replace("110239.9", "110240.0"),
        "filter offset: 110240.0 110240.0 110240.0 110240.0"
    );
    assert_eq!(lines[20], "         0.000000 0.000000 0.000000 0.000000");
    assert!(lines[21].starts_with("delay 0.") && lines[22].starts_with("offset 1102"));
    assert_eq!(lines[23], "");
    assert!(logged(lines[24]).starts_with("step time server 127.0.0.1 offset 1102"));
    assert!(ran.stderr.starts_with("host found : "), "{}", ran.stderr);
}

#[test]
fn the_clock_of_the_server_may_be_in_the_next_era() {
    // 2036-02-07 06:28:16 UTC is the first second of era 1
    let rollover = Timestamp::from_unix((1 << 32) - 2_208_988_800, 0);
    let by = rollover + TimeDelta::from_secs(86_400) - clock::now();
    let ran = ahead(by).ask(&["--json", "-q", "-p1"]);
    let offset = check_output(&ran.stdout)[0]["data"]["offset_s"].as_f64().unwrap();
    assert!((offset - by.as_secs_f64()).abs() < 1.0, "{offset}");
}
