//! `ntpdate` and `ntpq` where the network, the names or the permission fail: one clear line, the exit code, an object that keeps
//! the schema.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::daemon::{Daemon, Kind, Setup};
use super::namespace::{Host, Lab};
use super::peer::{Package, Side, our, side};
use crate::support::schema::check_output;

/// What `ntpdate -q WORDS…` and `ntpdate --json -q WORDS…` say on this host: exit code, lines of standard error with
/// the date and the process cut off, and the object.
fn failed(host: &Host, words: &[&str]) -> (Vec<String>, Value) {
    let ntpdate = our("ntpdate").unwrap();
    let plain = host.run(&ntpdate, &[&["-q", "-p1", "-t0.2"], words].concat());
    let json = host.run(&ntpdate, &[&["--json", "-q", "-p1", "-t0.2"], words].concat());
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.rsplit_once("]: ").map_or(line, |parts| parts.1).to_owned()).collect()
    };
    assert_eq!(plain.code, Some(1), "{words:?}: {plain:?}");
    assert_eq!(json.code, plain.code, "{words:?}: {json:?}");
    assert_eq!(lines(&json.err), lines(&plain.err), "{words:?}");
    let mut objects = check_output(&json.out);
    assert_eq!(objects.len(), 1, "{words:?}");
    let object = objects.remove(0);
    assert_eq!((object["ok"].as_bool(), object["exit_code"].as_i64()), (Some(false), Some(1)), "{object:#}");
    (lines(&plain.err), object)
}

/// The one line that is said, and the code of the first message that gives the cause.
fn said(host: &Host, address: &str, line: &str, message: Option<&str>) {
    let (lines, object) = failed(host, &[address]);
    assert_eq!(lines, [line], "{address}");
    assert_eq!(object["error"]["legacy"], line, "{object:#}");
    assert_eq!(object["messages"][0]["code"].as_str(), message, "{object:#}");
}

#[test]
fn networks_that_lead_nowhere() {
    if side() == Side::Theirs || our("ntpdate").is_none() {
        return;
    }
    let Some(lab) = Lab::open(&[]) else { return };
    let (host, silent) = (lab.host(), lab.host());
    // nobody listens: the port is refused
    let unfit = "no server suitable for synchronization found";
    said(&host, &silent.ip4(), unfit, Some("server-rejected"));
    said(&host, &silent.ip6(), unfit, Some("server-rejected"));
    // no route, an unreachable one, a forbidden one: as the original, which leaves such servers out
    let none = "no servers can be used, exiting";
    said(&host, "203.0.113.1", none, Some("no-route"));
    said(&host, "2001:db8:7::1", none, Some("no-route"));
    assert_eq!(host.sh("ip route add unreachable 203.0.113.0/24").code, Some(0));
    said(&host, "203.0.113.1", none, Some("no-route"));
    assert_eq!(host.sh("ip route add prohibit 198.51.100.0/24").code, Some(0));
    said(&host, "198.51.100.1", none, Some("no-route"));
    // a way that drops what is sent
    assert_eq!(host.sh("ip route replace 203.0.113.0/24 via 10.77.0.99").code, Some(0));
    said(&host, "203.0.113.1", unfit, Some("server-rejected"));
    // IPv6 switched off
    assert_eq!(host.sh("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6").code, Some(0));
    said(&host, &silent.ip6(), none, Some("no-route"));
    said(&host, "::1", none, Some("no-route"));
}

#[test]
fn no_permission_for_the_port() {
    if side() == Side::Theirs {
        return;
    }
    let Some(ntpdate) = our("ntpdate") else { return };
    let Some(lab) = Lab::open(&[]) else { return };
    let host = lab.host();
    let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let bare = host.run("setpriv", &[&as_nobody[..], &[ntpdate.to_str().unwrap(), "127.0.0.1"]].concat());
    assert_eq!((bare.code, bare.out.as_str()), (Some(1), ""), "{bare:?}");
    assert!(bare.err.trim_end().ends_with("]: bind() fails: Permission denied"), "{bare:?}");
    let json =
        host.run("setpriv", &[&as_nobody[..], &[ntpdate.to_str().unwrap(), "--json", "127.0.0.1"]].concat());
    let object = &check_output(&json.out)[0];
    assert_eq!((object["error"]["code"].as_str(), json.code), (Some("bind"), Some(1)), "{object:#}");
}

/// Answers each question for an IPv4 address with `address`, any other with nothing found, `delay` after it came.
fn name_server(socket: &UdpSocket, address: [u8; 4], delay: Duration, ended: &AtomicBool) {
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut buffer = [0; 512];
    while !ended.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let asked = &buffer[12..length];
        let name = asked.iter().position(|&octet| octet == 0).unwrap() + 1;
        let is_a = asked[name..name + 2] == [0, 1];
        let mut reply = buffer[..2].to_vec();
        reply.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
        reply.extend(&asked[..name + 4]);
        if is_a {
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            reply.extend(address);
        }
        std::thread::sleep(delay);
        socket.send_to(&reply, from).unwrap();
    }
}

#[test]
fn name_servers_dead_silent_and_slow() {
    if side() == Side::Theirs || our("ntpdate").is_none() {
        return;
    }
    let Some(lab) = Lab::open(&[Kind::Chrony49.package()]) else { return };
    let (host, server) = (lab.host(), lab.host());
    let _daemon = Daemon::start(&server, Kind::Chrony49, &Setup::default());
    host.own_etc();
    let resolver = |text: &str| {
        let ran = host.sh(&format!("rm -f /etc/resolv.conf && printf '{text}\\n' >/etc/resolv.conf && echo 'hosts: files dns' >/etc/nsswitch.conf"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
    };
    let temporary = |lines: &[String], object: &Value| {
        // the first line of the original has no end
        assert_eq!(lines, ["name server cannot be used: Temporary failure in name resolution (-3)"]);
        assert!(
            object["error"]["legacy"].as_str().unwrap().starts_with("name server cannot be used"),
            "{object:#}"
        );
    };
    // dead: nobody listens there
    resolver("nameserver 127.0.0.1");
    let (lines, object) = failed(&host, &["time.example"]);
    temporary(&lines, &object);
    // silent: our deadline comes before the resolver's
    let silent = host.inside(|| UdpSocket::bind("127.0.0.1:53").unwrap());
    resolver("nameserver 127.0.0.1\\noptions timeout:20 attempts:2");
    let (lines, object) = failed(&host, &["time.example"]);
    temporary(&lines, &object);
    drop(silent);
    // slow, but answering
    let ended = AtomicBool::new(false);
    let socket = host.inside(|| UdpSocket::bind("127.0.0.1:53").unwrap());
    let address: std::net::Ipv4Addr = server.ip4().parse().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| name_server(&socket, address.octets(), Duration::from_millis(700), &ended));
        let ran = host.run(our("ntpdate").unwrap(), &["-q", "-4", "time.example"]);
        ended.store(true, Ordering::Relaxed);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
        assert!(ran.out.starts_with(&format!("server {address}, stratum ")), "{ran:?}");
    });
}

/// `ntpq WORDS… HOST` of ours says what the original says on both streams (but for its name and the empty lines), and exits 0;
/// with `--json` there is one object with this error, and the exit code is 1.
fn ntpq_says(host: &Host, address: &str, said: &str, code: &str) {
    // what is silent costs the time-out, and what answers may be slow to do so
    let patience = if said.contains("timed out") { "timeout 300" } else { "timeout 5000" };
    let words = ["-c", patience, "-c", "rv 0 stratum", address];
    let ask = |program: &std::path::Path, words: &[&str]| {
        let ran = host.run(program, words);
        let lines: Vec<String> = ran
            .err
            .lines()
            .chain(ran.out.lines())
            .map(|line| line.split_once("ntpq: ").map_or(line, |(_, rest)| rest).to_owned())
            .filter(|line| !line.is_empty())
            .collect();
        (lines.join("|"), ran.code)
    };
    let original = ask(&Package::Ntp428.program("ntpq"), &words);
    let ours = our("ntpq").unwrap();
    assert_eq!(original.0, said, "{address}");
    // where it cannot even connect, the original exits 1; ours keeps to 0 (decisions.md)
    assert_eq!(original.1, Some(i32::from(said.starts_with("connect: "))), "{address}");
    assert_eq!(ask(&ours, &words), (said.to_owned(), Some(0)), "{address}");
    assert_eq!(ask(&ours, &[&["--strict"], &words[..]].concat()).1, Some(1), "{address}");
    let json = host.run(&ours, &[&["--json"], &words[..]].concat());
    let object = check_output(&json.out).remove(0);
    assert_eq!((json.code, object["ok"].as_bool()), (Some(1), Some(false)), "{json:?}");
    let results = object["data"]["results"].as_array().cloned().unwrap_or_default();
    let mut errors = results.iter().map(|result| &result["error"]).chain([&object["error"]]);
    assert!(errors.any(|error| error["code"] == code), "{address}: {object:#}");
}

#[test]
fn ntpq_where_the_network_leads_nowhere() {
    if side() == Side::Theirs || our("ntpq").is_none() {
        return;
    }
    let Some(lab) = Lab::open(&[Package::Ntp428]) else { return };
    let (host, router, idle) = (lab.host(), lab.host(), lab.host());
    let shell = |host: &Host, line: &str| assert_eq!(host.sh(line).code, Some(0), "{line}");
    let silence = |address: &str| format!("{address}: timed out, nothing received|***Request timed out");
    // nobody listens: the port is refused
    ntpq_says(&host, &idle.ip4(), "read: Connection refused", "daemon-unreachable");
    ntpq_says(&host, &idle.ip6(), "read: Connection refused", "daemon-unreachable");
    // nobody has the address
    ntpq_says(&host, "10.77.0.99", &silence("10.77.0.99"), "timed-out");
    ntpq_says(&host, "[fd77::99]", &silence("fd77::99"), "timed-out");
    // no route, an unreachable one, a forbidden one
    ntpq_says(&host, "203.0.113.1", "connect: Network is unreachable", "socket");
    shell(&host, "ip route add unreachable 192.0.2.0/24 && ip route add prohibit 198.51.100.0/24");
    ntpq_says(&host, "192.0.2.1", "connect: No route to host", "socket");
    ntpq_says(&host, "198.51.100.1", "connect: Permission denied", "socket");
    // a router that says so: host unreachable is passed over by the kernel, prohibited is not
    let forwards = "echo 1 >/proc/sys/net/ipv4/ip_forward && echo 1 >/proc/sys/net/ipv6/conf/all/forwarding";
    shell(
        &router,
        &format!(
            "{forwards} && ip route add unreachable 203.0.113.0/25 && ip route add prohibit 203.0.113.128/25"
        ),
    );
    shell(&router, "ip -6 route add unreachable 2001:db8:1::/48 && ip -6 route add prohibit 2001:db8:2::/48");
    shell(
        &host,
        &format!(
            "ip route add 203.0.113.0/24 via {0} && ip -6 route add 2001:db8::/32 via {1}",
            router.ip4(),
            router.ip6()
        ),
    );
    ntpq_says(&host, "203.0.113.1", &silence("203.0.113.1"), "timed-out");
    ntpq_says(&host, "203.0.113.129", "read: No route to host", "daemon-unreachable");
    ntpq_says(&host, "2001:db8:1::1", &silence("2001:db8:1::1"), "timed-out");
    ntpq_says(&host, "2001:db8:2::1", "read: Permission denied", "daemon-unreachable");
}

#[test]
fn ntpq_where_names_lead_nowhere() {
    if side() == Side::Theirs || our("ntpq").is_none() {
        return;
    }
    let Some(lab) = Lab::open(&[Package::Ntp428]) else { return };
    let host = lab.host();
    host.own_etc();
    let resolver = "echo 'hosts: files dns' >/etc/nsswitch.conf && rm -f /etc/resolv.conf && \
                    printf 'nameserver 127.0.0.1\\noptions timeout:1 attempts:1\\n' >/etc/resolv.conf";
    assert_eq!(host.sh(resolver).code, Some(0));
    let unavailable = "Temporary failure in name resolution";
    // dead: nobody listens there
    ntpq_says(&host, "time.example", unavailable, "name-not-resolved");
    // silent
    let silent = host.inside(|| UdpSocket::bind("127.0.0.1:53").unwrap());
    ntpq_says(&host, "time.example", unavailable, "name-not-resolved");
    drop(silent);
    // a name server that knows nobody of this name
    let (ended, socket) = (AtomicBool::new(false), host.inside(|| UdpSocket::bind("127.0.0.1:53").unwrap()));
    std::thread::scope(|scope| {
        scope.spawn(|| no_such_name(&socket, &ended));
        ntpq_says(&host, "time.example", "Name or service not known", "name-not-resolved");
        ended.store(true, Ordering::Relaxed);
    });
}

/// Answers each question with NXDOMAIN.
fn no_such_name(socket: &UdpSocket, ended: &AtomicBool) {
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut buffer = [0; 512];
    while !ended.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let mut reply = buffer[..length].to_vec();
        reply[2..12].copy_from_slice(&[0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0]);
        // the question alone
        let end = 12 + buffer[12..length].iter().position(|&octet| octet == 0).unwrap() + 5;
        reply.truncate(end);
        socket.send_to(&reply, from).unwrap();
    }
}
