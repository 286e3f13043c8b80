//! `chronyc` beside daemons that answer what a test tells them to: statuses, silence, garbage, other versions.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use ntpbox::sys::clock::mono;
use ntpbox::types::TimeDelta;
use ntpbox::wire::cmdmon::{
    MAX_PACKET, Name, Reply, Request, RequestPacket, Status, Tracking, parse_request,
};

use crate::support::cli::{Finished, check_goldens, run};
use crate::support::schema::check_output;

/// What a daemon does with a datagram: the datagrams that it sends back.
pub(super) type Answer = Box<dyn FnMut(&[u8]) -> Vec<Vec<u8>> + Send>;

/// Receives with one function and sends with the other, for as long as somebody looks at what came.
fn serve<A>(
    mut answer: Answer,
    mut receive: impl FnMut(&mut [u8]) -> std::io::Result<(usize, A)> + Send + 'static,
    mut send: impl FnMut(&[u8], &A) + Send + 'static,
) -> Receiver<Vec<u8>> {
    let (sender, seen) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 2000];
        while let Ok((length, from)) = receive(&mut buffer) {
            let request = &buffer[..length];
            if sender.send(request.to_vec()).is_err() {
                return;
            }
            answer(request).iter().for_each(|reply| send(reply, &from));
        }
    });
    seen
}

/// A daemon on a port of loopback, and every datagram that it gets.
pub(super) fn udp(answer: Answer) -> (String, Receiver<Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    let back = socket.try_clone().unwrap();
    let send = move |reply: &[u8], from: &std::net::SocketAddr| {
        back.send_to(reply, from).unwrap();
    };
    (port, serve(answer, move |buffer| socket.recv_from(buffer), send))
}

/// A daemon on a Unix socket.
fn unix(name: &str, answer: Answer) -> (PathBuf, Receiver<Vec<u8>>) {
    // short, whatever the build's folder is called: 107 bytes hold the path and what the client adds
    let dir = std::env::temp_dir().join(format!("ntpbox-chronyc-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir(&dir).unwrap();
    let path = dir.join("d.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    let back = socket.try_clone().unwrap();
    let send = move |reply: &[u8], from: &std::os::unix::net::SocketAddr| {
        let _ = back.send_to(reply, from.as_pathname().unwrap());
    };
    (path, serve(answer, move |buffer| socket.recv_from(buffer), send))
}

/// A daemon that understands requests.
pub(super) fn polite(mut answer: impl FnMut(Request) -> (Status, Reply) + Send + 'static) -> Answer {
    Box::new(move |bytes| match parse_request(bytes) {
        Ok(RequestPacket { sequence, request, .. }) => {
            let command = request.code();
            let (status, reply) = answer(request);
            vec![reply.encode(command, sequence, status)]
        }
        Err(_) => Vec::new(),
    })
}

fn status(status: u16) -> Answer {
    polite(move |_| (Status::new(status), Reply::Null))
}

/// Asks the daemon on a port of loopback.
fn ask(port: &str, words: &[&str]) -> Finished {
    run("chronyc", &[&["-n", "-h", "127.0.0.1", "-p", port], words].concat())
}

#[test]
fn goldens() {
    check_goldens("chronyc");
}

#[test]
fn every_status_has_its_line_and_exit_code() {
    let table = [
        (0, "200 OK", 0),
        (1, "500 Failure", 1),
        (2, "501 Not authorised", 1),
        (3, "502 Invalid command", 1),
        (4, "503 No such source", 1),
        (5, "504 Duplicate or stale logon detected", 1),
        (6, "505 Facility not enabled in daemon", 1),
        (7, "507 Bad subnet", 1),
        (8, "208 Access allowed", 0),
        (9, "209 Access denied", 0),
        (10, "510 No command access from this host", 1),
        (11, "511 Source already present", 1),
        (12, "512 Too many sources present", 1),
        (13, "513 RTC driver not running", 1),
        (14, "514 Can't write RTC parameters", 1),
        (15, "519 Client logging is not active in the daemon", 1),
        (16, "516 Sample index out of range", 1),
        (17, "515 Invalid address family", 1),
        (18, "517 Protocol version mismatch", 1),
        (19, "518 Packet length mismatch", 1),
        (20, "520 Got unexpected error from daemon", 1),
        (21, "521 Invalid name", 1),
        (999, "520 Got unexpected error from daemon", 1),
    ];
    for (code, line, exit) in table {
        let (port, _seen) = udp(status(code));
        let finished = ask(&port, &["accheck", "1.2.3.4"]);
        assert_eq!(finished.stdout, format!("{line}\n"));
        assert_eq!((finished.code(), finished.stderr.as_str()), (exit, ""), "{line}");
    }
}

#[test]
fn a_failure_is_an_object_in_json() {
    let (port, _seen) = udp(status(2));
    let finished = ask(&port, &["--json", "tracking"]);
    let objects = check_output(&finished.stdout);
    assert_eq!(objects[0]["error"]["code"], "not-authorised");
    assert_eq!(objects[0]["error"]["legacy"], "501 Not authorised");
    assert_eq!(objects[0]["schema"], "ntpbox/chronyc.tracking/1");
    assert_eq!((finished.code(), finished.stderr.as_str()), (1, "501 Not authorised\n"));
}

#[test]
fn a_reply_of_another_kind_is_508() {
    let (port, _seen) = udp(polite(|_| (Status::SUCCESS, Reply::NSources(1))));
    let finished = ask(&port, &["tracking"]);
    assert_eq!((finished.stdout.as_str(), finished.code()), ("508 Bad reply from daemon\n", 1));
}

#[test]
fn a_closed_port_costs_no_time() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let start = mono();
    let finished = ask(&port, &["tracking"]);
    assert_eq!((finished.stdout.as_str(), finished.code()), ("506 Cannot talk to daemon\n", 1));
    assert!(mono() - start < TimeDelta::from_secs(3));
}

#[test]
fn silence_over_udp_is_asked_again_with_a_new_number() {
    let (port, seen) = udp(Box::new(|_| Vec::new()));
    let start = mono();
    let finished = ask(&port, &["-m", "timeout 100", "retries 1", "makestep"]);
    assert_eq!((finished.stdout.as_str(), finished.code()), ("506 Cannot talk to daemon\n", 1));
    assert!(mono() - start >= TimeDelta::from_millis(300));
    let sends: Vec<_> = seen.try_iter().collect();
    assert_eq!(sends.len(), 2);
    assert_eq!((sends[0][7], sends[1][7]), (0, 1));
    assert_ne!(sends[0][8..12], sends[1][8..12]);
}

#[test]
fn silence_over_a_unix_socket_is_not_asked_again_and_the_next_address_is() {
    let (path, seen) = unix("silence", Box::new(|_| Vec::new()));
    let (port, also_seen) = udp(status(0));
    let hosts = format!("{},127.0.0.1", path.display());
    let finished =
        run("chronyc", &["-h", &hosts, "-p", &port, "-m", "timeout 100", "retries 1", "cyclelogs"]);
    assert_eq!((finished.stdout.as_str(), finished.code()), ("200 OK\n", 0));
    assert_eq!((seen.try_iter().count(), also_seen.try_iter().count()), (1, 1));
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "only the daemon's socket is left");
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[test]
fn garbage_and_strangers_are_waited_out() {
    let (port, _seen) = udp(Box::new(|bytes| {
        let RequestPacket { sequence, request, .. } = parse_request(bytes).unwrap();
        let good = Reply::Null.encode(request.code(), sequence, Status::SUCCESS);
        let mut replies = vec![vec![], vec![0xff; 1500], good[..20].to_vec()];
        for at in [0, 1, 2, 3, 5, 19] {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            replies.push(bad);
        }
        replies.push([&good[..], &[0; 100]].concat());
        replies
    }));
    let finished = ask(&port, &["cyclelogs"]);
    assert_eq!((finished.stdout.as_str(), finished.code()), ("200 OK\n", 0));
}

#[test]
fn a_short_reply_is_asked_again_at_once() {
    let (port, seen) = udp(Box::new(|bytes| {
        let sequence = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
        vec![Reply::NSources(0).encode(14, sequence, Status::SUCCESS)[..28].to_vec()]
    }));
    let start = mono();
    let finished = ask(&port, &["sources"]);
    assert_eq!(finished.stdout, "506 Cannot talk to daemon\n");
    assert!(mono() - start < TimeDelta::from_secs(1));
    assert_eq!(seen.try_iter().count(), 3);
}

#[test]
fn commands_that_are_not_known_are_sent_in_their_older_form() {
    for (words, codes, lengths) in
        [(&["add", "server", "127.0.0.1"][..], [75, 64], [408, 372]), (&["local"][..], [74, 56], [48, 36])]
    {
        let (port, seen) = udp(status(3));
        let finished = ask(&port, words);
        assert_eq!((finished.stdout.as_str(), finished.code()), ("502 Invalid command\n", 1));
        let sends: Vec<_> = seen.try_iter().map(|b| (b[5], b.len())).collect();
        assert_eq!(sends, [(codes[0], lengths[0]), (codes[1], lengths[1])]);
    }
}

#[test]
fn a_daemon_of_version_5_is_asked_without_padding() {
    let (port, seen) = udp(Box::new(|bytes| {
        let sequence = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
        let (status, reply) = match bytes[0] {
            5 => (Status::SUCCESS, Reply::NSources(0)),
            _ => (Status::BAD_VERSION, Reply::Null),
        };
        let mut bytes = reply.encode(14, sequence, status);
        bytes[0] = 5;
        vec![bytes]
    }));
    let finished = ask(&port, &["-c", "sources"]);
    assert_eq!((finished.stdout.as_str(), finished.code()), ("", 0));
    assert_eq!(seen.try_iter().map(|b| (b[0], b.len())).collect::<Vec<_>>(), [(6, 32), (5, 20)]);
}

#[test]
fn names_that_do_not_print_never_reach_the_terminal() {
    let (port, _seen) = udp(polite(|request| {
        let name: &[u8] = b"evil\x1b[2Jname";
        match request {
            Request::NtpSourceName(_) => (Status::SUCCESS, Reply::NtpSourceName(Name::new(name).unwrap())),
            _ => (Status::INVALID, Reply::Null),
        }
    }));
    let finished = ask(&port, &["sourcename", "1.2.3.4"]);
    assert_eq!((finished.stdout.as_str(), finished.code()), ("", 1));
}

#[test]
fn a_daemon_that_claims_endless_clients_is_left() {
    // next_index that does not advance
    let (port, _seen) = udp(Box::new(|bytes| {
        let sequence = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
        let mut reply = vec![0; 520];
        reply[0..8].copy_from_slice(&[6, 2, 0, 0, 0, 68, 0, 21]);
        reply[16..20].copy_from_slice(&sequence.to_be_bytes());
        reply[28..32].copy_from_slice(&u32::MAX.to_be_bytes());
        reply[36..40].copy_from_slice(&8u32.to_be_bytes());
        vec![reply]
    }));
    let finished = ask(&port, &["-c", "clients"]);
    assert_eq!((finished.stdout.as_str(), finished.code()), ("", 0));
}

#[test]
fn lists_are_asked_sixteen_at_a_time_and_end_at_the_first_error() {
    let (port, seen) = udp(polite(|request| match request {
        Request::NSources => (Status::SUCCESS, Reply::NSources(40)),
        Request::SourceStats(index) if index < 30 => {
            let (_, Reply::SourceStats(mut stats)) = captured_stats() else { unreachable!() };
            stats.n_samples = index;
            (Status::SUCCESS, Reply::SourceStats(stats))
        }
        _ => (Status::NO_SUCH_SOURCE, Reply::Null),
    }));
    let finished = ask(&port, &["-c", "sourcestats"]);
    let lines: Vec<_> = finished.stdout.lines().collect();
    assert_eq!((lines.len(), lines[30], finished.code()), (31, "503 No such source", 1));
    assert!((0..30).all(|n| lines[n].starts_with(&format!("127.0.0.3,{n},"))), "{lines:?}");
    assert!(seen.try_iter().count() <= 1 + 30 + 16);
}

/// The reply to SOURCESTATS of the spec's captures.
fn captured_stats() -> (ntpbox::wire::cmdmon::ReplyHeader, Reply) {
    let text = include_str!("../fixtures/replies/chronyd-4.9/sourcestats-index-3.hex");
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    let bytes: Vec<u8> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    ntpbox::wire::cmdmon::parse_reply(&bytes).unwrap()
}

#[test]
fn every_report_has_its_schema_in_json() {
    let (port, _seen) = udp(Box::new(|bytes| {
        // zeros are a report of any kind
        let RequestPacket { sequence, request, .. } = parse_request(bytes).unwrap();
        let code = match request {
            Request::NSources => 2,
            Request::SourceData(_) => 3,
            Request::Tracking => 5,
            Request::SourceStats(_) => 6,
            Request::RtcReport => 7,
            Request::Activity => 12,
            Request::Smoothing => 13,
            Request::Settime(_) => 17,
            Request::ManualList => 18,
            Request::NtpSourceName(_) => 19,
            Request::AuthData(_) => 20,
            Request::ClientAccessesByIndex3(_) => 21,
            Request::SelectData(_) => 23,
            Request::ServerStats => 25,
            Request::NtpData(_) => 26,
            _ => 1,
        };
        let mut reply = vec![0; MAX_PACKET];
        reply[0..2].copy_from_slice(&[6, 2]);
        reply[4..6].copy_from_slice(&request.code().to_be_bytes());
        reply[7] = code;
        reply[16..20].copy_from_slice(&sequence.to_be_bytes());
        reply[31] = u8::from(code == 2) * 3;
        vec![reply]
    }));
    for line in [
        "activity",
        "authdata",
        "clients",
        "keygen",
        "manual list",
        "ntpdata 1.2.3.4",
        "rtcdata",
        "selectdata",
        "serverstats",
        "settime 10:00",
        "smoothing",
        "sources",
        "sourcestats",
        "tracking",
        "waitsync 1",
        "sourcename 1.2.3.4",
        "online",
        "help",
        "dns -n",
        "foo",
    ] {
        let finished = ask(&port, &["--json", line]);
        let objects = check_output(&finished.stdout);
        assert_eq!(objects.len(), 1, "{line}: {}", finished.stdout);
        assert_eq!(objects[0]["exit_code"], finished.code(), "{line}");
        assert!(!finished.stdout.contains("-0.0"), "{line}: {}", finished.stdout);
    }
    let tracking = ask(&port, &["--json", "tracking"]);
    assert_eq!(check_output(&tracking.stdout)[0]["data"]["offset_s"], 0.0);
}

#[test]
fn rhel7_texts_begin_with_the_number_of_sources() {
    let (port, _seen) = udp(polite(|_| (Status::SUCCESS, Reply::NSources(0))));
    let mut command = crate::support::cli::command("chronyc");
    command.env("NTPBOX_COMPAT", "rhel7").args(["-h", "127.0.0.1", "-p", &port, "sources", "-v"]);
    let finished = crate::support::cli::finish(command);
    let mut lines = finished.stdout.lines();
    assert_eq!(lines.next(), Some("210 Number of sources = 0"));
    assert_eq!(
        lines.nth(3),
        Some("| /   '?' = unreachable, 'x' = time may be in error, '~' = time too variable.")
    );
}

#[test]
fn waitsync_ends_when_the_clock_is_good_or_the_tries_are_over() {
    let tracking = |skew: f64| {
        let text = include_str!("../fixtures/replies/chronyd-4.9/tracking.hex");
        let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
        let bytes: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect();
        let (_, Reply::Tracking(t)) = ntpbox::wire::cmdmon::parse_reply(&bytes).unwrap() else { panic!() };
        Tracking { skew_ppm: skew.into(), ..t }
    };
    let mut skew = 4.0;
    let (port, _seen) = udp(polite(move |_| {
        skew /= 2.0;
        (Status::SUCCESS, Reply::Tracking(tracking(skew)))
    }));
    let finished = ask(&port, &["waitsync", "5", "0.1", "0.6", "0.1"]);
    let tries: Vec<_> = finished.stdout.lines().collect();
    assert_eq!((tries.len(), finished.code()), (3, 0), "{tries:?}");
    assert_eq!(tries[0], "try: 1, refid: 47505300, correction: 0.000000594, skew: 2.000");
    let finished = ask(&port, &["waitsync", "2", "0.0000001", "0", "0.1"]);
    assert_eq!((finished.stdout.lines().count(), finished.code()), (2, 1));
}

#[test]
fn a_daemon_that_goes_away_in_the_middle_of_a_list_costs_its_time_and_no_more() {
    let mut left = 6;
    let mut polite = polite(|request| match request {
        Request::NSources => (Status::SUCCESS, Reply::NSources(40)),
        _ => (Status::SUCCESS, captured_stats().1),
    });
    let (port, _seen) = udp(Box::new(move |bytes| {
        left -= 1;
        if left < 0 { Vec::new() } else { polite(bytes) }
    }));
    let began = mono();
    let finished = ask(&port, &["-c", "-m", "timeout 100", "retries 1", "sourcestats", "activity"]);
    let lines: Vec<_> = finished.stdout.lines().collect();
    assert_eq!((lines.last(), finished.code()), (Some(&"506 Cannot talk to daemon"), 1), "{lines:?}");
    assert!(lines.len() <= 6 && mono() - began < TimeDelta::from_secs(5), "{lines:?}");
}

#[test]
fn longer_replies_are_read_as_far_as_they_are_known() {
    let (port, _seen) = udp(Box::new(|bytes| {
        let RequestPacket { sequence, request, .. } = parse_request(bytes).unwrap();
        let mut reply = Reply::NSources(0).encode(request.code(), sequence, Status::SUCCESS);
        reply.resize(1400, 0xff);
        vec![reply]
    }));
    let finished = ask(&port, &["sources"]);
    assert_eq!((finished.stdout.lines().count(), finished.code()), (2, 0), "{}", finished.stdout);
}

#[test]
fn words_that_are_too_long_are_refused_before_anything_is_sent() {
    let (port, seen) = udp(status(0));
    let name = "n".repeat(300);
    for (words, text) in [
        (&["add", "server", &name][..], "Invalid host/IP address"),
        (&["ntpdata", &name][..], "Could not get address for hostname"),
        (&["x".repeat(2048).as_str()][..], "Command too long"),
    ] {
        let finished = ask(&port, words);
        assert_eq!((finished.stderr.trim_end(), finished.code()), (text, 1), "{}", words[0]);
    }
    let nothing = run("chronyc", &["-h", "127.0.0.1", "-p", &port]);
    assert_eq!((nothing.stdout.as_str(), nothing.stderr.as_str(), nothing.code()), ("", "", 0));
    assert_eq!(seen.try_iter().count(), 0);
}

#[test]
fn a_daemon_that_is_restarted_in_the_middle_of_a_list_is_found_again() {
    let dir = std::env::temp_dir().join(format!("ntpbox-chronyc-restart-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir(&dir).unwrap();
    let path = dir.join("d.sock");
    let place = path.clone();
    let mut socket = UnixDatagram::bind(&path).unwrap();
    thread::spawn(move || {
        let mut polite = polite(|request| match request {
            Request::NSources => (Status::SUCCESS, Reply::NSources(40)),
            Request::SourceStats(_) => (Status::SUCCESS, captured_stats().1),
            _ => (Status::SUCCESS, Reply::Null),
        });
        let mut buffer = [0; 2000];
        for asked in 0.. {
            if asked == 20 {
                // what waits in the old one's queue is lost with it
                std::fs::remove_file(&place).unwrap();
                socket = UnixDatagram::bind(&place).unwrap();
            }
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { return };
            for reply in polite(&buffer[..length]) {
                let _ = socket.send_to(&reply, from.as_pathname().unwrap());
            }
        }
    });
    let mut command = crate::support::cli::command("chronyc");
    command.args(["-c", "-h", path.to_str().unwrap()]);
    let input = dir.join("input");
    std::fs::write(&input, "timeout 100\nretries 1\nsourcestats\ncyclelogs\n").unwrap();
    command.stdin(std::fs::File::open(&input).unwrap());
    std::fs::remove_file(&input).unwrap();
    let began = mono();
    let finished = crate::support::cli::finish(command);
    let lines: Vec<_> = finished.stdout.lines().collect();
    assert_eq!(lines.last(), Some(&"200 OK"), "{lines:?}");
    assert_eq!(lines[lines.len() - 2], "506 Cannot talk to daemon", "{lines:?}");
    assert!(lines.len() <= 2 + 20 && mono() - began < TimeDelta::from_secs(5), "{lines:?}");
    assert_eq!((finished.code(), finished.stderr.as_str()), (0, ""));
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["d.sock"]);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn whom_nobody_reads_ends_quietly_and_well() {
    let (port, _seen) = udp(polite(|request| match request {
        Request::NSources => (Status::SUCCESS, Reply::NSources(40)),
        Request::SourceStats(_) => (Status::SUCCESS, captured_stats().1),
        _ => (Status::FAILED, Reply::Null),
    }));
    for words in [
        &["sourcestats"][..],
        &["-c", "sourcestats"],
        &["--json", "sourcestats"],
        &["--watch=0.01", "sourcestats"],
        &["--json", "--watch=0.01", "sourcestats"],
        &["makestep"],
        &["help"],
        &["-m", "help", "sourcestats"],
    ] {
        let mut command = crate::support::cli::command("chronyc");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.args(["-n", "-h", "127.0.0.1", "-p", &port]).args(words).stdout(writer);
        let output =
            command.stderr(std::process::Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((stderr.as_ref(), output.status.code()), ("", Some(0)), "{words:?}");
    }
}
