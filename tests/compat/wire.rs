//! Directives of chronyd whose effect others see: each with the directive and without it, the same on both sides (`PEER=theirs`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg};
use ntpbox::wire::ntp::{HEADER_LEN, Header};
use socket2::SockRef;

use super::daemon::{Daemon, Kind, Setup, probe};
use super::namespace::{Host, Lab, Process, wait_until};
use super::peer::{Package, tool};

const LIMIT: Duration = Duration::from_secs(20);
/// Long enough for an answer on a busy machine, short enough for none.
const PATIENCE: Duration = Duration::from_millis(700);

/// `chronyd -d -x` with these lines, once its pid file is there.
fn start(host: &Host, lines: &str) -> Option<Process> {
    let chronyd = tool("chronyd")?;
    let dir = host.dir().display();
    let user = if lines.contains("user ") { "" } else { "user root\n" };
    let pid = host.dir().join("wire.pid");
    let _ = std::fs::remove_file(&pid);
    let config = host.file("wire.conf", &format!("{user}pidfile {dir}/wire.pid\n{lines}"));
    let mut process = host.spawn(chronyd, &["-d", "-x", "-f", config.as_str()]);
    let up = wait_until(LIMIT, || pid.exists() || process.has_ended());
    assert!(up && !process.has_ended(), "{lines}{}", process.err());
    process.assert_harmless();
    Some(process)
}

/// A reply to one request from this host, and its type of service.
fn ask(from: &Host, to: &str, port: u16) -> Option<(Header, u8)> {
    let to = SocketAddr::new(to.parse().unwrap(), port);
    from.inside(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        SockRef::from(&socket).set_recv_tos_v4(true).unwrap();
        let mut request = [0; HEADER_LEN];
        request[0] = 0x23;
        request[40..].copy_from_slice(&0x0123_4567_89ab_cdef_u64.to_be_bytes());
        socket.send_to(&request, to).ok()?;
        received(&socket)
    })
}

/// What comes next on this socket, and its type of service.
fn received(socket: &UdpSocket) -> Option<(Header, u8)> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = [0; 512];
    let mut parts = [std::io::IoSliceMut::new(&mut bytes)];
    let mut space = nix::cmsg_space!(u8);
    let message =
        recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty()).ok()?;
    let tos = message.cmsgs().unwrap().find_map(|control| match control {
        ControlMessageOwned::Ipv4Tos(tos) => Some(tos),
        _ => None,
    });
    let (length, tos) = (message.bytes, tos.unwrap_or(0));
    Some((Header::parse(&bytes[..length]).ok()?, tos))
}

/// What answers: where an answer is expected it may take its time, where none is, first all others must have come.
fn found<const N: usize>(expected: [bool; N], asks: [&dyn Fn() -> bool; N]) -> [bool; N] {
    let mut found = expected;
    for expects in [true, false] {
        for (place, ask) in asks.iter().enumerate().filter(|(place, _)| expected[*place] == expects) {
            found[place] = if expects { wait_until(LIMIT, ask) } else { ask() };
        }
    }
    found
}

#[test]
fn where_and_how_time_is_served() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let (server, client) = (lab.host(), lab.host());
    let at = server.ip4();
    let base = "local stratum 5\nallow\ncmdport 0\nbindcmdaddress /\n";
    // lines, where it answers: port 123 and port 1123 to others, port 123 on the host itself
    for (lines, here) in [
        ("", [true, false, true]),
        ("port 1123\n", [false, true, false]),
        ("bindaddress 127.0.0.1\n", [false, false, true]),
        ("binddevice lo\n", [false, false, true]),
        ("binddevice eth0\n", [true, false, false]),
        ("deny 10.77.0.0/24\n", [false, false, true]),
    ] {
        let Some(process) = start(&server, &format!("{base}{lines}")) else { return };
        let asks: [&dyn Fn() -> bool; 3] =
            [&|| ask(&client, &at, 123).is_some(), &|| ask(&client, &at, 1123).is_some(), &|| {
                probe(&server).is_some()
            }];
        let found = found(here, asks);
        assert_eq!(found, here, "{lines}{}", process.err());
    }
    for (lines, tos, coarse) in [("", 0, false), ("dscp 46\nclockprecision 1e-3\n", 46 << 2, true)] {
        let Some(process) = start(&server, &format!("{base}{lines}")) else { return };
        let mut reply = None;
        wait_until(LIMIT, || {
            reply = ask(&client, &at, 123);
            reply.is_some()
        });
        let (header, found) = reply.unwrap_or_else(|| panic!("{lines}{}", process.err()));
        assert_eq!(found, tos, "{lines}");
        assert_eq!(header.precision.log2() == -10, coarse, "{lines}{header:?}");
    }
}

#[test]
fn who_may_ask_for_reports_and_where() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let (server, client) = (lab.host(), lab.host());
    let chronyc = Package::ChronySid.program("chronyc");
    let at = server.ip4();
    let base = format!(
        "local stratum 5\nbindcmdaddress 0.0.0.0\nbindcmdaddress {}/none/none.sock\n",
        server.dir().display()
    );
    let tracking = |port: &str| {
        let words = ["-u", "root", "-h", &at, "-p", port, "-m", "timeout 300", "retries 0", "tracking"];
        client.run(&chronyc, &words).code == Some(0)
    };
    for (lines, here) in [
        ("", [false, false]),
        ("cmdallow 10.77.0.0/24\n", [true, false]),
        ("cmdallow 10.77.0.0/24\ncmdport 2323\n", [false, true]),
        ("cmdallow all\ncmddeny 10.77.0.0/24\n", [false, false]),
        ("cmdallow all\nbindcmddevice lo\n", [false, false]),
        ("cmdallow all\nbindcmddevice eth0\n", [true, false]),
        ("cmdallow all\nport 0\ncmdport 0\n", [false, false]),
    ] {
        let Some(process) = start(&server, &format!("{base}{lines}")) else { return };
        let asks: [&dyn Fn() -> bool; 2] = [&|| tracking("323"), &|| tracking("2323")];
        assert_eq!(found(here, asks), here, "{lines}{}", process.err());
    }
    // one command that is open by default, one that is opened, one that is not
    let Some(_process) =
        start(&server, &format!("{base}cmdallow all\nallow\nopencommands tracking clients\n"))
    else {
        return;
    };
    assert!(wait_until(LIMIT, || tracking("323")));
    for (command, open) in [("tracking", true), ("clients", true), ("sources", false), ("serverstats", false)]
    {
        let ran = client.run(&chronyc, &["-u", "root", "-h", &at, command]);
        assert_eq!(!ran.out.contains("501 Not authorised"), open, "{command}: {ran:?}");
    }
    drop(_process);
    // a list of clients, or none; answers to commands are limited, or not
    for (lines, listed, limited) in [
        ("", true, false),
        ("noclientlog\n", false, false),
        ("cmdratelimit interval 4 burst 1 leak 0\n", true, true),
    ] {
        let lines = format!("{base}cmdallow all\nallow\nopencommands tracking clients\n{lines}");
        let Some(process) = start(&server, &lines) else { return };
        let ran = |words: &[&str]| {
            client
                .run(
                    &chronyc,
                    &[&["-u", "root", "-h", &at, "-m", "timeout 500", "retries 0"], words].concat(),
                )
                .out
        };
        let shown = || {
            let text = ran(&["clients"]);
            text.contains("Hostname").then(|| !text.contains("519 Client logging is not active"))
        };
        let up = wait_until(LIMIT, || shown() == Some(listed));
        assert!(up, "{lines}{}{}", ran(&["clients"]), process.err());
        std::thread::sleep(Duration::from_secs(1));
        let answers = ran(&["tracking"; 12]).matches("Reference ID").count();
        assert_eq!(answers < 12, limited, "{lines}: {answers} answers");
    }
}

#[test]
fn where_its_requests_come_from() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let (ours, upstream) = (lab.host(), lab.host());
    let second = "10.77.0.177";
    assert_eq!(ours.sh(&format!("ip addr add {second}/24 dev eth0")).code, Some(0));
    let base = format!("server {} iburst\ncmdport 0\nbindcmdaddress /\n", upstream.ip4());
    for (lines, port, address, tos) in [
        ("", None, Some(ours.ip4()), 0),
        ("acquisitionport 10123\n", Some(10_123), Some(ours.ip4()), 0),
        (&format!("bindacqaddress {second}\n"), None, Some(second.to_owned()), 0),
        ("bindacqdevice lo\n", None, None, 0),
        ("bindacqdevice eth0\ndscp 46\n", None, Some(ours.ip4()), 46 << 2),
    ] {
        let socket = upstream.inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 123)).unwrap());
        SockRef::from(&socket).set_recv_tos_v4(true).unwrap();
        let Some(process) = start(&ours, &format!("{base}{lines}")) else { return };
        socket.set_read_timeout(Some(Duration::from_secs(if address.is_some() { 20 } else { 3 }))).unwrap();
        let from = socket.peek_from(&mut [0; 512]).ok().map(|(_, from)| from);
        assert_eq!(
            from.map(|from| from.ip()),
            address.map(|a| a.parse::<IpAddr>().unwrap()),
            "{lines}{}",
            process.err()
        );
        if let Some(from) = from {
            assert!(from.port() != 123 && port.is_none_or(|port| port == from.port()), "{lines}{from}");
            assert_eq!(received(&socket).unwrap().1, tos, "{lines}");
        }
    }
}

/// When TAI − UTC became 10 s, 11 s …, in seconds of NTP's first era.
const LEAPS: [u64; 28] = [
    2_272_060_800,
    2_287_785_600,
    2_303_683_200,
    2_335_219_200,
    2_366_755_200,
    2_398_291_200,
    2_429_913_600,
    2_461_449_600,
    2_492_985_600,
    2_524_521_600,
    2_571_782_400,
    2_603_318_400,
    2_634_854_400,
    2_698_012_800,
    2_776_982_400,
    2_840_140_800,
    2_871_676_800,
    2_918_937_600,
    2_950_473_600,
    2_982_009_600,
    3_029_443_200,
    3_076_704_000,
    3_124_137_600,
    3_345_062_400,
    3_439_756_800,
    3_550_089_600,
    3_644_697_600,
    3_692_217_600,
];

#[test]
fn what_is_written_and_read() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let (host, server) = (lab.host(), lab.host());
    let _daemon = Daemon::start(&server, Kind::Chrony49, &Setup::default());
    let at = server.ip4();
    let dir = host.dir().display().to_string();
    let seconds = LEAPS.iter().zip(10..).map(|(at, tai)| format!("{at}\t{tai}\n")).collect::<String>();
    host.file("leaps", &format!("#$\t3676924800\n#@\t4100000000\n{seconds}"));
    let base = format!("server {at} iburst minpoll 0 maxpoll 0\ncmdport 0\nbindcmdaddress /\n");
    for (banner, least, most) in [("logbanner 2", 2, 9), ("logbanner 0", 0, 0)] {
        let logs = host.dir().join("measurements.log");
        let _ = std::fs::remove_file(&logs);
        host.file("drift", "12.5 3.25\n");
        let lines = format!(
            "{base}logdir {dir}\nlog measurements\n{banner}\ndumpdir {dir}\ndriftfile {dir}/drift\nleapseclist {dir}/leaps\n"
        );
        let Some(mut process) = start(&host, &lines) else { return };
        let text = || std::fs::read_to_string(&logs).unwrap_or_default();
        let count = |what: &str| text().lines().filter(|line| line.contains(what)).count();
        assert!(wait_until(LIMIT, || count(&format!(" {at} ")) >= 4), "{}", process.err());
        assert!((least..=most).contains(&count("Date (UTC) Time")), "{banner}: {}", text());
        let log = process.err();
        assert!(log.contains("Frequency 12.500 +/- 3.250 ppm read from"), "{log}");
        assert!(log.contains(&format!("Using leap second list {dir}/leaps")), "{log}");
        process.signal(Signal::SIGTERM);
        assert!(process.wait(LIMIT).is_some_and(|status| status.success()));
        assert!(host.dir().join(format!("{at}.dat")).exists(), "no dump: {}", process.err());
        std::fs::remove_file(host.dir().join(format!("{at}.dat"))).unwrap();
        // an observer remembers the rate, too
        let drift = std::fs::read_to_string(host.dir().join("drift")).unwrap();
        assert!(drift.len() == 42 && drift.split_whitespace().count() == 2, "{drift:?}");
    }
    // without them, nothing of the kind
    let _ = std::fs::remove_file(host.dir().join("measurements.log"));
    let Some(mut process) =
        start(&host, &format!("{base}logdir {dir}\nleapsectz Nowhere/Land\nuser nobody\n"))
    else {
        return;
    };
    assert!(wait_until(LIMIT, || process.err().contains("Selected source")), "{}", process.err());
    let log = process.err();
    assert!(log.contains("Timezone Nowhere/Land failed leap second check, ignoring"), "{log}");
    assert!(!log.contains("read from") && !host.dir().join("measurements.log").exists(), "{log}");
    let status = host.sh("grep -h '^Uid' /proc/$(cat wire.pid)/status; id -u nobody");
    let ids: Vec<&str> = status.out.split_whitespace().collect();
    assert_eq!((ids[1], ids[1]), (ids[2], *ids.last().unwrap()), "{status:?}");
    process.signal(Signal::SIGTERM);
    assert!(process.wait(LIMIT).is_some());
    assert!(!host.dir().join(format!("{at}.dat")).exists());
}

#[test]
fn memory_priority_and_times_typed_in() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let host = lab.host();
    let chronyc = Package::ChronySid.program("chronyc");
    assert_eq!(host.sh("mkdir -m 750 run").code, Some(0));
    let socket = host.dir().join("run/w.sock").display().to_string();
    for (lines, has) in [("", false), ("lock_all\nsched_priority 1\nmanual\n", true)] {
        let base = format!("local\nallow\ncmdport 0\nbindcmdaddress {socket}\n{lines}");
        let Some(process) = start(&host, &base) else { return };
        let up = || host.run(&chronyc, &["-u", "root", "-h", &socket, "activity"]).code == Some(0);
        assert!(wait_until(LIMIT, up), "{}", process.err());
        // locked memory, and the scheduling policy (1: first in, first out)
        let facts =
            host.sh("P=$(cat wire.pid); grep VmLck: /proc/$P/status; sed 's/.*) //' /proc/$P/stat").out;
        let mut facts = facts.lines();
        let locked = facts.next().unwrap().split_whitespace().nth(1).unwrap() != "0";
        let policy = facts.next().unwrap().split(' ').nth(38).unwrap();
        // some hosts allow neither: then it is said
        let log = process.err();
        let tried = [
            locked || log.contains("setrlimit() failed") || log.contains("mlockall() failed"),
            policy == "1" || log.contains("sched_setscheduler() failed"),
        ];
        assert_eq!(tried, [has, has], "{lines}{log}");
        let typed = host.run(&chronyc, &["-u", "root", "-h", &socket, "settime", "now"]);
        assert_eq!(typed.out.contains("505 Facility not enabled in daemon"), !has, "{typed:?}");
        assert_eq!(typed.code, Some(i32::from(!has)), "{typed:?}");
    }
}

#[test]
fn broadcasts_are_heard() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let (server, client) = (lab.host(), lab.host());
    let socket = client.inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 1999)).unwrap());
    let lines = "local stratum 5\nbroadcast 1 10.77.0.255 1999\ncmdport 0\nbindcmdaddress /\n";
    let Some(process) = start(&server, lines) else { return };
    let mut heard = None;
    let comes = wait_until(LIMIT, || {
        heard = received(&socket).map(|(header, _)| header);
        heard.is_some()
    });
    assert!(comes, "{}", process.err());
    let header = heard.unwrap();
    assert_eq!(
        (header.mode.to_bits(), header.stratum.get(), header.origin.is_zero()),
        (5, 5, true),
        "{header:?}"
    );
}

/// Two hosts without any source but each other: who serves, at which stratum, and whom the other follows.
#[test]
fn of_two_orphans_the_same_one_serves_as_with_chronyd() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let Some(ours) = super::peer::our("chronyd") else { return };
    let theirs = Package::ChronySid.program("chronyd");
    // both of the original, both ours, and one of each in both places
    let seen = [[&theirs, &theirs], [&ours, &ours], [&theirs, &ours], [&ours, &theirs]].map(|programs| {
        let hosts = [lab.host(), lab.host()];
        let addresses = [hosts[0].ip4(), hosts[1].ip4()];
        let processes = [0, 1].map(|place| {
            let (host, other) = (&hosts[place], &addresses[1 - place]);
            let dir = host.dir().display();
            let lines = format!(
                "user root\npidfile {dir}/orphan.pid\ncmdport 0\nbindcmdaddress /\nallow\nlocal stratum 8 orphan waitunsynced 1\n\
                 server {other} iburst minpoll 0 maxpoll 0\n"
            );
            let config = host.file("orphan.conf", &lines);
            host.spawn(programs[place], &["-d", "-x", "-f", config.as_str()])
        });
        let facts = || {
            [0, 1].map(|place| {
                let reply = probe(&hosts[place])?;
                let follows = reply.refid.to_bits();
                // the first host has the smaller reference ID
                let who = match follows {
                    0x7F7F_0101 => "itself",
                    id if addresses[1 - place].parse::<Ipv4Addr>().unwrap().to_bits() == id => "the other",
                    _ => "nobody",
                };
                Some((reply.stratum.get(), who))
            })
        };
        let settled = [Some((8, "itself")), Some((9, "the other"))];
        wait_until(Duration::from_secs(40), || facts() == settled);
        processes.iter().for_each(Process::assert_harmless);
        (facts(), processes.map(|process| process.err()))
    });
    for (facts, logs) in &seen {
        assert_eq!(*facts, [Some((8, "itself")), Some((9, "the other"))], "{}\n{}", logs[0], logs[1]);
    }
}
