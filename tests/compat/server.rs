//! What the server answers, row by row (daemon-surface, part 4): the same table for chronyd 4.9 (`PEER=theirs`) and for our
//! `chronyd`; then every kind of client against ours, which is told to be a quarter of a second ahead.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ntpbox::auth::{Dialect, DigestLength, KeyRing};
use ntpbox::driver::server::{Binding, Remembering, Server};
use ntpbox::engine::access::Network;
use ntpbox::engine::server::Snapshot;
use ntpbox::sys::net::batch::SendBatch;
use ntpbox::sys::net::{Family, UdpOptions};
use ntpbox::sys::{clock, wait::wait};
use ntpbox::types::{KeyId, Leap, LogInterval, Secs, Stratum, TimeDelta};
use ntpbox::wire::ntp::{HEADER_LEN, Header};

use crate::asked::skipped;

use super::daemon::{KEYS, chrony_keys, ntp_keys, openntpd_user};
use super::namespace::{Host, Lab, Process, wait_until};
use super::peer::{Package, Side, our, side};

/// How long an answer may take; silence is as long.
const PATIENCE: Duration = Duration::from_millis(700);

/// The chronyd of the side that `PEER` names, with these lines, once it serves; `None` with a printed reason without one.
fn chronyd(host: &Host, lines: &str) -> Option<Process> {
    let program = match side() {
        Side::Ours => our("chronyd")?,
        Side::Theirs => Package::ChronySid.program("chronyd"),
    };
    let dir = host.dir().display();
    let keys = host.file("chrony.keys", &chrony_keys());
    let text =
        format!("user root\npidfile {dir}/pid\nbindcmdaddress /\ncmdport 0\nkeyfile {keys}\nallow\n{lines}");
    let mut process = host.spawn(program, &["-d", "-x", "-f", &host.file("chrony.conf", &text)]);
    let serves = wait_until(Duration::from_secs(20), || {
        process.has_ended() || host.sh("ss -Hlun sport = :123").out.lines().count() >= 2
    });
    assert!(serves && !process.has_ended(), "it does not serve: {}", process.err());
    process.assert_harmless();
    Some(process)
}

/// A row of the table: what is sent, and the length of the answer with its version and mode; `None`: silence.
struct Row {
    name: String,
    request: Vec<u8>,
    answer: Option<(usize, u8, u8)>,
}

/// A header in this version and mode.
fn header(version: u8, mode: u8) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    bytes[0] = version << 3 | mode;
    bytes[2] = 6;
    bytes
}

/// A header and zero bytes up to a length; shorter ones are cut.
fn long(version: u8, length: usize) -> Vec<u8> {
    let mut bytes = header(version, 3);
    bytes.resize(length, 0);
    bytes
}

/// A header and fields of these lengths, of a type that nobody knows.
fn fields(version: u8, lengths: &[u16]) -> Vec<u8> {
    let mut bytes = header(version, 3);
    for length in lengths {
        let end = bytes.len() + usize::from(*length);
        bytes.extend([0xf3, 0x23]);
        bytes.extend(length.to_be_bytes());
        bytes.resize(end, 0);
    }
    bytes
}

/// All rows that need no MAC.
fn plain_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |name: String, request: Vec<u8>, answer| rows.push(Row { name, request, answer });
    for version in 0..8 {
        for mode in 0..8 {
            let answer = match (version, mode) {
                (1..=4, 3) | (1, 0) => Some((48, version, 4)),
                (1..=4, 1) => Some((48, version, 2)),
                _ => None,
            };
            row(format!("version {version} mode {mode}"), header(version, mode), answer);
        }
    }
    for length in (0..=132).chain([1136, 1140, 1141, 1144, 1148, 4096, 65_504, 65_507]) {
        for version in [3, 4] {
            let answer = (length == 48).then_some((48, version, 4));
            row(format!("version {version}, {length} bytes"), long(version, length), answer);
        }
    }
    for leap in 1..4 {
        let mut request = header(4, 3);
        request[0] |= leap << 6;
        row(format!("leap {leap}"), request, Some((48, 4, 4)));
    }
    let skipped: &[&[u16]] = &[&[28], &[32], &[1092], &[16, 28], &[28, 28], &[500, 16, 40]];
    for lengths in skipped {
        row(format!("fields {lengths:?}"), fields(4, lengths), Some((48, 4, 4)));
        row(format!("version 3 with fields {lengths:?}"), fields(3, lengths), None);
    }
    let refused: &[&[u16]] = &[&[12], &[16], &[24], &[28, 16], &[28, 12], &[12, 28], &[1096], &[16, 16]];
    for lengths in refused {
        row(format!("fields {lengths:?}"), fields(4, lengths), None);
    }
    for claimed in [0_u16, 4, 15, 17, 29, 31, 60, 65_535] {
        let mut request = fields(4, &[28]);
        request[50..52].copy_from_slice(&claimed.to_be_bytes());
        row(format!("a field of 28 bytes that claims {claimed}"), request, None);
    }
    // MS-SNTP without ntpsigndsocket
    for length in [68, 120] {
        let mut request = long(3, length);
        request[48] = 1;
        row(format!("MS-SNTP of {length} bytes"), request, None);
    }
    rows
}

/// The transmit stamp by which a row's answer is known.
fn put_number(request: &mut [u8], number: usize) {
    if let Some(slot) = request.get_mut(40..48) {
        slot.copy_from_slice(&(0x1234_5678_0000_0000 | u64::try_from(number).unwrap()).to_be_bytes());
    }
}

/// The rows with MACs, whose transmit stamps are set before signing.
fn signed_rows(first: usize) -> Vec<Row> {
    let (keys, _) = KeyRing::parse(chrony_keys().as_bytes(), Dialect::Chrony);
    let mut rows: Vec<Row> = Vec::new();
    let mut row = |name: String, mut request: Vec<u8>, mac: &dyn Fn(&mut Vec<u8>), answer| {
        put_number(&mut request, first + rows.len());
        mac(&mut request);
        rows.push(Row { name, request, answer });
    };
    let sign = |id: u32, length: DigestLength| {
        let keys = &keys;
        move |packet: &mut Vec<u8>| {
            let mac = keys.sign(KeyId::new(id), packet, length).unwrap();
            packet.extend_from_slice(&mac);
        }
    };
    for version in 1..=4 {
        for key in KEYS {
            let length = DigestLength::of(ntpbox::types::Version::from_bits(version), Dialect::Chrony);
            let digest = match (key.digest, version) {
                ("MD5" | "AES128", _) => 16,
                ("SHA256", ..4) => 32,
                _ => 20,
            };
            let name = format!("{} in version {version}", key.digest);
            row(name, header(version, 3), &sign(key.id, length), Some((52 + digest, version, 4)));
        }
    }
    use DigestLength::{CutTo20, Whole};
    row("mode 1 with a key".to_owned(), header(4, 1), &sign(1, Whole), Some((68, 4, 2)));
    row("a field before a MAC".to_owned(), fields(4, &[16]), &sign(1, Whole), Some((68, 4, 4)));
    row("two fields before a MAC".to_owned(), fields(4, &[16, 28]), &sign(2, Whole), Some((72, 4, 4)));
    row("a field before a MAC in version 3".to_owned(), fields(3, &[28]), &sign(1, Whole), None);
    row("SHA256 whole in version 4".to_owned(), header(4, 3), &sign(3, Whole), None);
    row("SHA256 cut in version 3".to_owned(), header(3, 3), &sign(3, CutTo20), None);
    for version in [3, 4] {
        let wrong = |packet: &mut Vec<u8>| {
            sign(1, Whole)(packet);
            *packet.last_mut().unwrap() ^= 1;
        };
        row(format!("wrong MAC in version {version}"), header(version, 3), &wrong, None);
        let unknown = |packet: &mut Vec<u8>| {
            sign(1, Whole)(packet);
            packet[51] = 99;
        };
        row(format!("unknown key in version {version}"), header(version, 3), &unknown, None);
        row(format!("crypto-NAK in version {version}"), header(version, 3), &|p| p.extend([0; 4]), None);
    }
    rows
}

/// A socket of a client that talks to the server.
fn client(host: &Host, server: &str, port: u16) -> UdpSocket {
    let address: SocketAddr = format!("{server}:123").parse().unwrap();
    host.inside(|| {
        let any = if address.is_ipv4() { "0.0.0.0" } else { "[::]" };
        let socket = UdpSocket::bind(format!("{any}:{port}")).unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    })
}

/// The answer to one packet.
fn ask(socket: &UdpSocket, request: &[u8]) -> Option<(Header, usize)> {
    socket.send(request).unwrap();
    let mut bytes = [0; 2048];
    let length = socket.recv(&mut bytes).ok()?;
    Some((Header::parse(&bytes[..length]).unwrap(), length))
}

/// What came back until nothing comes any more, by the transmit stamp of the request.
fn answers(socket: &UdpSocket, requests: &[Vec<u8>]) -> BTreeMap<u64, Vec<(Header, usize)>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut bytes = [0; 2048];
    let mut waiting = 0;
    for request in requests {
        socket.send(request).unwrap();
        // no more than what every socket's buffer holds; a packet takes a kilobyte there whatever its length
        waiting += request.len() + 1024;
        if waiting > 60_000 {
            thread::sleep(Duration::from_millis(20));
            waiting = 0;
        }
    }
    while let Ok(length) = socket.recv(&mut bytes) {
        // ours answers control messages where it serves, which chronyd does not (decisions.md, Daemon)
        if side() == Side::Ours && bytes[0] & 7 == 6 {
            continue;
        }
        let header = Header::parse(&bytes[..length]).unwrap();
        found.entry(header.origin.to_bits()).or_default().push((header, length));
    }
    found
}

#[test]
fn the_answers_table() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let (server, host) = (lab.host(), lab.host());
    let Some(_daemon) = chronyd(&server, "local stratum 5\n") else { return };
    let mut rows = plain_rows();
    for (number, row) in rows.iter_mut().enumerate() {
        put_number(&mut row.request, number);
    }
    rows.extend(signed_rows(rows.len()));
    for address in [server.ip4(), format!("[{}]", server.ip6())] {
        let socket = client(&host, &address, 0);
        let requests: Vec<_> = rows.iter().map(|row| row.request.clone()).collect();
        let mut found = answers(&socket, &requests);
        for row in &rows {
            let stamp = row.request.get(40..48).map_or(0, |s| u64::from_be_bytes(s.try_into().unwrap()));
            let got = found.remove(&stamp).unwrap_or_default();
            let seen: Vec<_> =
                got.iter().map(|(h, length)| (*length, h.version.get(), h.mode.to_bits())).collect();
            assert_eq!(seen, row.answer.into_iter().collect::<Vec<_>>(), "{address}: {}", row.name);
            for (header, length) in got {
                judge(&header, length, &row.request);
            }
        }
        assert!(found.is_empty(), "answers to nobody: {found:?}");
        // version 1 tells clients from servers by the port
        let from_ntp_port = client(&host, &address, 123);
        assert!(ask(&from_ntp_port, &header(1, 0)).is_none(), "mode 0 from port 123");
        assert!(ask(&from_ntp_port, &header(4, 3)).is_some(), "mode 3 from port 123, zero transmit stamp");
        assert!(ask(&from_ntp_port, &header(2, 0)).is_none());
        interleaved(&socket);
    }
}

/// The fields of an answer of a server with `local stratum 5`.
fn judge(reply: &Header, length: usize, request: &[u8]) {
    let asked = Header::parse(request).unwrap();
    assert!(length <= request.len());
    assert_eq!((reply.leap, reply.stratum.get(), reply.poll), (Leap::None, 5, asked.poll));
    assert_eq!((reply.refid.to_bits(), reply.origin), (0x7f7f_0101, asked.transmit));
    assert_eq!((reply.root_delay.to_bits(), reply.root_dispersion.to_bits()), (0, 0));
    assert!((-32..=-10).contains(&reply.precision.log2()), "{:?}", reply.precision);
    assert_eq!((reply.receive.to_bits() & 1, reply.transmit.to_bits() & 1), (1, 0));
    let stay = reply.transmit.wrapping_since(reply.receive);
    assert!(stay >= TimeDelta::ZERO && stay < TimeDelta::from_secs(1), "{stay:?}");
    let age = reply.receive.wrapping_since(reply.reference);
    assert!(age >= TimeDelta::ZERO && age < TimeDelta::from_secs(120), "{age:?}");
    let now = clock::now();
    assert!((reply.receive.to_timestamp(now) - now).abs() < TimeDelta::from_secs(5));
}

/// Origin, receive and transmit stamps of a request.
fn stamped(version: u8, mode: u8, stamps: [u64; 3]) -> Vec<u8> {
    let mut bytes = header(version, mode);
    for (slot, stamp) in bytes[24..].chunks_exact_mut(8).zip(stamps) {
        slot.copy_from_slice(&stamp.to_be_bytes());
    }
    bytes
}

/// The rows on interleaved mode.
fn interleaved(socket: &UdpSocket) {
    let ask = |version, mode, stamps| ask(socket, &stamped(version, mode, stamps)).unwrap().0;
    for mode in [1, 3] {
        let first = ask(4, mode, [3, 0, 9]);
        let second = ask(4, mode, [first.receive.to_bits(), 4, 10]);
        assert_eq!(second.origin.to_bits(), 4, "mode {mode}: the origin is the request's receive stamp");
        let later = second.transmit.wrapping_since(first.transmit);
        assert!(later.abs() < TimeDelta::from_millis(50) && second.transmit != first.transmit, "{later:?}");
        assert!(second.receive.wrapping_since(second.transmit) > TimeDelta::ZERO);
        // told once
        assert_eq!(ask(4, mode, [first.receive.to_bits(), 4, 11]).origin.to_bits(), 11);
        // the chain goes on, with a receive stamp of 0 too
        let third = ask(4, mode, [second.receive.to_bits(), 0, 12]);
        assert_eq!(third.origin.to_bits(), 0);
    }
    // equal stamps, an even origin or an older version: nothing is kept, nothing told
    for (version, stamps) in [(4, [3, 9, 9]), (4, [2, 4, 9]), (3, [3, 4, 9]), (4, [0, 4, 9])] {
        let kept = ask(version, 3, stamps);
        assert_eq!(ask(4, 3, [kept.receive.to_bits(), 4, 10]).origin.to_bits(), 10, "{version} {stamps:?}");
    }
}

#[test]
fn an_unsynchronised_server_a_denied_client_and_a_limited_one() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let (server, host, denied) = (lab.host(), lab.host(), lab.host());
    let lines = format!("deny {}\nratelimit interval 8 burst 4 leak 2 kod 1\n", denied.ip4());
    let Some(_daemon) = chronyd(&server, &lines) else { return };
    assert!(ask(&client(&denied, &server.ip4(), 0), &header(4, 3)).is_none(), "denied");
    let socket = client(&host, &server.ip4(), 0);
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let (mut served, mut kissed, mut silent) = (0, 0, 0);
    for number in 0..60 {
        match ask(&socket, &stamped(4, 3, [0, 5, 9])) {
            None => silent += 1,
            Some((reply, length)) => {
                assert_eq!((reply.leap, reply.stratum.get(), length), (Leap::Unsynchronised, 0, 48));
                assert_eq!((reply.poll.log2(), reply.origin.to_bits()), (8, 9));
                if reply.refid.to_bits() == 0 {
                    assert_eq!(
                        (reply.root_delay.to_bits(), reply.root_dispersion.to_bits()),
                        (65_536, 65_536)
                    );
                    assert!(reply.reference.is_zero());
                    served += 1;
                } else {
                    assert_eq!(reply.refid.to_bytes(), *b"RATE");
                    assert!(number >= 4, "within the burst");
                    kissed += 1;
                }
            }
        }
    }
    // four of the burst and a quarter (or, while the leak is inverted, three) of the others; half of the rest is kissed
    assert!(served >= 8 && kissed >= 3 && silent >= 3, "{served} served, {kissed} kissed, {silent} silent");
}

/// How far our server is told to be ahead: ms.
const AHEAD: i64 = 250;

/// Serves on port 123 of all addresses of a host, ahead of the clock, while `work` runs; then how often it answered.
fn while_ahead(host: &Host, work: impl FnOnce()) -> u64 {
    let done = AtomicBool::new(false);
    let mut answered = 0;
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            host.inside(|| {
                let remembering = Remembering { bytes: Some(524_288), ..Remembering::default() };
                let mut server = Server::new(remembering, Binding::default());
                for any in ["0.0.0.0", "::"] {
                    server.engine().access.set(Network::new(any.parse().unwrap(), 0), true);
                }
                server.engine().keys = KeyRing::parse(chrony_keys().as_bytes(), Dialect::Chrony).0;
                let now = clock::now();
                let ahead = TimeDelta::from_millis(AHEAD);
                server.set_snapshot(Snapshot {
                    leap: Leap::None,
                    stratum: Stratum::new(3),
                    refid: ntpbox::types::RefId::from_bits(0x0a00_0001),
                    root_delay: Secs::literal(0.001),
                    root_dispersion: Secs::literal(0.001),
                    reference: now + ahead - TimeDelta::from_secs(1),
                    at: now,
                    ahead,
                    ..Snapshot::unsynchronised(LogInterval::from_log2(-23))
                });
                server.listen(&["0.0.0.0:123".parse().unwrap(), "[::]:123".parse().unwrap()]).unwrap();
                while !done.load(Ordering::Relaxed) {
                    let fds: Vec<_> = server.descriptors().collect();
                    wait(&fds, Some(clock::mono() + TimeDelta::from_millis(50))).unwrap();
                    drop(fds);
                    server.service(clock::mono(), &mut |_, _| ()).unwrap();
                }
                let counters = server.engine().counters();
                counters.kernel_rx + counters.daemon_rx
            })
        });
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let stop = Stop(&done);
        work();
        drop(stop);
        answered = serving.join().unwrap();
    });
    answered
}

/// Root distance of what the server says (1.5 ms) and what a busy machine and a bridge add, in seconds.
const DISTANCE: f64 = 0.02;

fn is_near(offset: f64, distance: f64) -> bool {
    (offset.abs() - 0.25).abs() < distance
}

fn near(what: &str, offset: f64, ran: &str) {
    assert!(is_near(offset, DISTANCE), "{what}: offset {offset}: {ran}");
}

/// The number behind a word.
fn number(text: &str, word: &str) -> Option<f64> {
    let rest = text.split(word).nth(1)?;
    let end = rest.find(|c: char| !"+-.0123456789e".contains(c)).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// A client's run, and the word before the offset that it reports.
struct OneShot {
    name: &'static str,
    program: PathBuf,
    args: Vec<String>,
    before: &'static str,
}

/// All of them for one address of the server.
fn one_shots(host: &Host, address: &str) -> Vec<OneShot> {
    let (chrony_file, ntp_file) = (host.file("k.chrony", &chrony_keys()), host.file("k.ntp", &ntp_keys()));
    let mut found = Vec::new();
    let mut add = |name, program, args: &[&str], before| {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        found.push(OneShot { name, program, args, before });
    };
    for (name, package) in
        [("chronyd 4.9", Package::ChronySid), ("chronyd of this system", Package::ChronyHere)]
    {
        for options in
            ["", " key 1", " key 2", " key 3", " key 4", " key 3 version 3", " xleave maxsamples 4"]
        {
            let directive = format!("server {address} iburst maxsamples 1{options}");
            let args = ["-Q", "-u", "root", "-t", "20", &directive, &format!("keyfile {chrony_file}")];
            add(name, package.program("chronyd"), &args, "System clock wrong by ");
        }
    }
    let theirs = Package::Ntpdate428.program("ntpdate");
    let ours = our("ntpdate").map(|program| ("our ntpdate", program));
    for (name, program) in [("ntpdate 4.2.8p15", theirs)].into_iter().chain(ours) {
        add(name, program.clone(), &["-q", "-u", "-p", "1", address], "offset ");
        for key in ["1", "2"] {
            let args = ["-q", "-u", "-p", "1", "-a", key, "-k", &ntp_file, address];
            add(name, program.clone(), &args, "offset ");
        }
    }
    // 2026-11-21 15:00:00.5 (+0000) +0.250012 +/- 0.000123 HOST s3 no-leap
    let ntpdig = Package::NtpsecNtpdig.program("ntpdig");
    add("ntpdig", ntpdig.clone(), &["-t", "5", address], ") ");
    for key in ["1", "2"] {
        add("ntpdig", ntpdig.clone(), &["-t", "5", "-a", key, "-k", &ntp_file, address], ") ");
    }
    found
}

#[test]
fn one_shot_clients_of_every_kind_see_how_far_it_is_ahead() {
    let packages = [Package::ChronySid, Package::ChronyHere, Package::Ntpdate428, Package::NtpsecNtpdig];
    let Some(lab) = Lab::open(&packages) else { return };
    let (server, host) = (lab.host(), lab.host());
    let mut clients = one_shots(&host, &server.ip4());
    clients.extend(one_shots(&host, &server.ip6()));
    let next = AtomicUsize::new(0);
    let answered = while_ahead(&server, || {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while let Some(client) = clients.get(next.fetch_add(1, Ordering::Relaxed)) {
                        see(&host, client);
                    }
                });
            }
        });
    });
    assert!(usize::try_from(answered).unwrap() >= clients.len(), "{answered}");
}

/// Runs a client until it has seen how far the server is ahead; a pause of a busy machine may spoil a run or two.
fn see(host: &Host, client: &OneShot) {
    let args: Vec<&str> = client.args.iter().map(String::as_str).collect();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let ran = host.run(&client.program, &args);
        let text = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, Some(0), "{} {args:?}: {text}", client.name);
        let offset = number(&text, client.before);
        // ntpdig tells its distance, ntpdate the round trip
        let told = number(&text, "+/- ").or_else(|| number(&text, "delay ").map(|delay| delay / 2.0));
        let distance = told.map_or(DISTANCE, |told| DISTANCE.max(told + 0.002));
        if distance < 0.1 && offset.is_some_and(|offset| is_near(offset, distance)) {
            return;
        }
        seen.push((offset, text));
    }
    panic!("{} {args:?}: {seen:?}", client.name);
}

#[test]
fn daemons_of_every_kind_see_how_far_it_is_ahead() {
    let packages = [Package::Ntp428, Package::Ntpsec];
    let Some(lab) = Lab::open(&packages) else { return };
    let server = lab.host();
    while_ahead(&server, || {
        let mut daemons = Vec::new();
        for package in [Package::Ntp428, Package::Ntpsec] {
            for (address, key) in
                [(server.ip4(), ""), (server.ip6(), ""), (server.ip4(), " key 1"), (server.ip6(), " key 2")]
            {
                let host = lab.host();
                let keys = host.file("ntp.keys", &ntp_keys());
                let text = format!(
                    "driftfile {}\nkeys {keys}\ntrustedkey 1 2\nrestrict 127.0.0.1\nrestrict ::1\n\
                     restrict default nomodify\nserver {address} iburst minpoll 4{key}\n",
                    host.file("drift", "0.000\n")
                );
                let process =
                    host.spawn(package.program("ntpd"), &["-n", "-c", &host.file("ntp.conf", &text)]);
                daemons.push((package, host, process, format!("{address}{key}")));
            }
        }
        thread::scope(|scope| {
            for (package, host, process, what) in &daemons {
                scope.spawn(move || daemon_sees(*package, host, process, what));
            }
        });
    });
}

/// Waits until an ntpd shows how far the server is ahead.
fn daemon_sees(package: Package, host: &Host, process: &Process, what: &str) {
    let mut seen = String::new();
    let mut offset = 0.0;
    let found = wait_until(Duration::from_secs(60), || {
        // a client that is a Python program takes a while, and others wait
        thread::sleep(Duration::from_millis(700));
        process.assert_harmless();
        let ran = host.run(package.program("ntpq"), &["-pn"]);
        seen = format!("{}{}", ran.out, ran.err);
        // the row of the peer: refid st t when poll reach delay offset jitter
        let row = ran.out.lines().find(|line| line.contains("10.0.0.1"));
        let fields: Vec<&str> = row.unwrap_or_default().split_whitespace().collect();
        let Some([reach, _, ms, _]) = fields.last_chunk::<4>() else { return false };
        offset = ms.parse::<f64>().unwrap_or(0.0) / 1000.0;
        *reach != "0" && is_near(offset, DISTANCE)
    });
    assert!(found, "{package:?} {what}: offset {offset}: {seen}{}", process.err());
}

#[test]
fn openntpd_sees_how_far_it_is_ahead() {
    let Some(lab) = Lab::open(&[Package::Openntpd]) else { return };
    let server = lab.host();
    while_ahead(&server, || {
        let hosts = [server.ip4(), server.ip6()].map(|address| (address, lab.host()));
        thread::scope(|scope| {
            for (address, host) in &hosts {
                scope.spawn(move || openntpd_sees(host, address));
            }
        });
    });
}

fn openntpd_sees(host: &Host, address: &str) {
    openntpd_user(host);
    let conf = host.file("ntpd.conf", &format!("server {address}\n"));
    let process = host.spawn(Package::Openntpd.program("openntpd"), &["-d", "-v", "-f", &conf]);
    let found = wait_until(Duration::from_secs(60), || {
        process.assert_harmless();
        // reply from 10.77.0.1: offset 0.250004 delay 0.000034, next query 7s
        let said = format!("{}{}", process.out(), process.err());
        said.lines()
            .filter(|line| line.starts_with("reply from "))
            .any(|line| number(line, ": offset ").is_some_and(|offset| is_near(offset, DISTANCE)))
    });
    assert!(found, "{}", process.err());
}

#[test]
fn systemd_timesyncd_sees_how_far_it_is_ahead() {
    let program = Path::new("/lib/systemd/systemd-timesyncd");
    let Some(lab) = Lab::open(&[]) else { return };
    if !program.exists() || !lab.host().sh("id systemd-timesync").out.contains("uid=") {
        return skipped("no systemd-timesyncd here");
    }
    let server = lab.host();
    while_ahead(&server, || {
        for address in [server.ip4(), server.ip6()] {
            let host = lab.host();
            host.own_etc();
            let conf = format!("[Time]\nNTP={address}\nFallbackNTP=\n");
            std::fs::write(host.dir().join("timesyncd.conf"), conf).unwrap();
            let ready = host.sh(&format!(
                "set -e; mkdir -p /etc/systemd /run/systemd/timesync; mount -t tmpfs none /var/lib/systemd; \
                 mkdir /var/lib/systemd/timesync; chown systemd-timesync /run/systemd/timesync /var/lib/systemd/timesync; \
                 cp {}/timesyncd.conf /etc/systemd/",
                host.dir().display()
            ));
            assert_eq!(ready.code, Some(0), "{}", ready.err);
            let args = [
                "--reuid=systemd-timesync",
                "--regid=systemd-timesync",
                "--clear-groups",
                "--inh-caps=-all",
                "env",
                "SYSTEMD_LOG_LEVEL=debug",
                "/lib/systemd/systemd-timesyncd",
            ];
            let mut process = host.spawn("setpriv", &args);
            let mut offset = None;
            let found = wait_until(Duration::from_secs(20), || {
                offset = number(&process.err(), "offset       : ");
                offset.is_some() || process.has_ended()
            });
            assert!(found, "{}", process.err());
            near("systemd-timesyncd", offset.unwrap_or(0.0), &process.err());
        }
    });
}

/// Our chronyd in a namespace, whichever side is asked for elsewhere: what follows is about this box.
fn ours(host: &Host, lines: &str) -> Option<Process> {
    if side() == Side::Theirs {
        skipped("only about this box");
        return None;
    }
    chronyd(host, lines)
}

/// Without the program's own pages, which it gives back.
fn resident_kilobytes(process: &Process) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", process.pid().unwrap())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// Every length that a datagram can have, in every version and mode, and a flood from a million forged addresses: it goes on, in the same memory.
#[test]
fn rubbish_of_every_length_and_a_flood_leave_it_serving() {
    let Some(lab) = Lab::open(&[]) else { return };
    let server = lab.host();
    let lines = "local stratum 5\nratelimit interval 3 burst 8\nclientloglimit 3000000\n";
    let Some(process) = ours(&server, lines) else { return };
    let socket = client(&server, "127.0.0.1", 0);
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(ask(&socket, &header(4, 3)).is_some());
    let before = resident_kilobytes(&process);
    // from another address, so that its answers and limits are not those of the honest client
    let rubbish = server.inside(|| UdpSocket::bind("127.0.0.9:0").unwrap());
    rubbish.connect("127.0.0.1:123").unwrap();
    rubbish.set_nonblocking(true).unwrap();
    let mut random = 1_u32;
    let mut bytes = vec![0; 65_507];
    bytes.iter_mut().for_each(|byte| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = random.to_be_bytes()[0];
    });
    let mut longest = 0;
    for length in 0..=bytes.len() {
        bytes[0] = u8::try_from(length % 256).unwrap();
        let _ = rubbish.send(&bytes[..length]);
        let mut answer = [0; 2048];
        while let Ok(got) = rubbish.recv(&mut answer) {
            longest = longest.max(got);
        }
    }
    assert!(longest <= 48, "an answer to rubbish of {longest} bytes");
    // the queue has room again once all that was read
    let asks = |stamp: u64| {
        wait_until(Duration::from_secs(20), || {
            socket.send(&stamped(4, 3, [0, 0, stamp])).unwrap();
            let mut answer = [0; 128];
            socket.recv(&mut answer).is_ok_and(|got| {
                Header::parse(&answer[..got]).is_ok_and(|reply| reply.origin.to_bits() == stamp)
            })
        })
    };
    assert!(asks(0x77), "{}", process.err());
    server.inside(|| {
        let flood = ntpbox::sys::net::UdpSocket::open(&UdpOptions::client(Family::V4)).unwrap();
        let mut batch = SendBatch::new(64, 48);
        let to = "127.0.0.1:123".parse().unwrap();
        for number in 0..1_000_000_u32 {
            let from = Ipv4Addr::from_bits(0x7f10_0001 + number);
            batch.push(&header(4, 3), to, Some(from.into())).unwrap();
            if batch.len() == 64 {
                flood.send_batch(&mut batch);
            }
        }
    });
    assert!(asks(0x88), "{}", process.err());
    // the log of clients takes the 3 MB that it was given, however many there are
    let grown = resident_kilobytes(&process).saturating_sub(before);
    assert!((1000..4000).contains(&grown), "grown by {grown} kB");
    process.assert_harmless();
}

/// `binddevice`: a device that goes and comes back under another number is served again.
#[test]
fn an_interface_that_comes_back_is_served_again() {
    let Some(lab) = Lab::open(&[]) else { return };
    let server = lab.host();
    let plug = "set -e; ip link add d0 type veth peer name d1 netns far; ip addr add 10.9.0.1/24 dev d0; ip link set d0 up; \
                ip -n far addr add 10.9.0.2/24 dev d1; ip -n far link set d1 up";
    let made = server.sh(&format!("set -e; ip netns add far; ip -n far link set lo up; {plug}"));
    if made.code != Some(0) {
        return skipped(&format!("no nested network namespace: {}", made.err.trim()));
    }
    let (Some(process), Some(ntpdate)) = (ours(&server, "local stratum 5\nbinddevice d0\n"), our("ntpdate"))
    else {
        return;
    };
    let ask = format!("ip netns exec far {} -q -u -p 1 -t 1 10.9.0.1", ntpdate.display());
    let answers =
        |limit| wait_until(Duration::from_secs(limit), || server.sh(&ask).out.contains("stratum 5"));
    assert!(answers(10), "{}", process.err());
    server.sh("ip link del d0");
    assert_eq!(server.sh(plug).code, Some(0));
    assert!(answers(30), "{}", process.err());
}
