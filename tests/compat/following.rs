//! Our daemon follows a source of every kind: each in a host of its own, by IPv4, IPv6 and with keys, and as a symmetric peer.
//!
//! All hosts share this machine's clock and none may touch it, so every offset is known: 0. Our daemon observes (no
//! CAP_SYS_TIME, as all programs here) and writes down what it measured. In the suite that takes 40 s;
//! `NTPBOX_TESTS=compat,long cargo test --test all following` is the same for ten minutes.

use std::time::Duration;

use super::daemon::{Daemon, Kind, Setup, chrony_keys, is_synchronised, openntpd_user, probe};
use super::namespace::{Host, Lab, Process, wait_until};
use super::peer::{Package, our};
use crate::asked::{said, skipped};

/// How long each daemon is followed.
fn span() -> Duration {
    let long = said("long");
    Duration::from_secs(if long { 600 } else { 40 })
}

/// Our daemon on this host with these lines.
fn follow(host: &Host, lines: &str) -> Option<Process> {
    let chronyd = our("chronyd")?;
    let dir = host.dir().display();
    let keys = host.file("our.keys", &chrony_keys());
    let config = host.file(
        "our.conf",
        &format!(
            "cmdport 0\nbindcmdaddress /\nuser root\npidfile {dir}/our.pid\nkeyfile {keys}\nlogdir {dir}\n\
             log rawmeasurements statistics tracking selection\nlogbanner 0\n{lines}"
        ),
    );
    let process = host.spawn(chronyd, &["-d", "-f", config.as_str()]);
    Some(process)
}

/// A column of a measurement.
struct Measured {
    offset: f64,
    /// Half the round trip, half the root delay, and both dispersions.
    distance: f64,
    /// The packet tests `123 567 ABCD`.
    tests: String,
    good: bool,
}

/// The valid packets that came from an address.
fn measured(host: &Host, address: &str) -> Vec<Measured> {
    let text = std::fs::read_to_string(host.dir().join("measurements.log")).unwrap_or_default();
    let mut all = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.get(2) != Some(&address) || words.len() < 17 {
            continue;
        }
        let number = |column: usize| words[column].parse::<f64>().unwrap();
        all.push(Measured {
            offset: number(11),
            distance: number(12) / 2.0 + number(13) + number(14) / 2.0 + number(15),
            tests: words[5..8].join(" "),
            good: words[5..8] == ["111", "111", "1111"],
        });
    }
    all
}

/// A server in user space stamps this late where others want the processor too, s.
const LATE: f64 = 500e-6;

/// Looks at what came from a source: enough of it, and each offset right to within its root distance.
fn check(host: &Host, process: &Process, address: &str, what: &str, least: usize) {
    let measured = measured(host, address);
    let good: Vec<&Measured> = measured.iter().filter(|m| m.good).collect();
    let log = process.err();
    let tests: Vec<&str> = measured.iter().map(|m| m.tests.as_str()).collect();
    assert!(good.len() >= least, "{what}: {} good of {}: {tests:?}\n{log}", good.len(), measured.len());
    for m in &good {
        // the root distance does not know how late a server on a busy machine took its time stamps
        assert!(m.offset.abs() <= m.distance + LATE, "{what}: {:e} s, distance {:e} s", m.offset, m.distance);
    }
    // beyond the bound: hosts of one machine are microseconds apart, and a busy one's processes wait milliseconds at most
    let mut offsets: Vec<f64> = good.iter().map(|m| m.offset.abs()).collect();
    offsets.sort_by(f64::total_cmp);
    let median = offsets[offsets.len() / 2];
    assert!(median < 2e-3, "{what}: the median offset is {median:e} s");
}

#[test]
fn servers_of_every_kind_are_followed() {
    let kinds = [Kind::Chrony49, Kind::Ntpd428, Kind::Ntpsec];
    let Some(lab) = Lab::open(&[Package::ChronySid, Package::Ntp428, Package::Ntpsec]) else { return };
    let ours = lab.host();
    let mut lines = String::new();
    let mut running = Vec::new();
    for (place, kind) in kinds.into_iter().enumerate() {
        let server = lab.host();
        let daemon = Daemon::start(&server, kind, &Setup::default());
        // plain by IPv4, with a key by IPv6, another key on a second address
        let (v4, v6) = (server.ip4(), server.ip6());
        let key = [3, 2, 1][place];
        lines.push_str(&format!(
            "server {v4} iburst minpoll 2 maxpoll 4\nserver {v6} iburst minpoll 2 maxpoll 4 key {key}\n"
        ));
        running.push((daemon, server, kind, v4, v6));
    }
    let Some(process) = follow(&ours, &lines) else { return };
    std::thread::sleep(span());
    let least = usize::try_from(span().as_secs() / 16).unwrap();
    for (_, _, kind, v4, v6) in &running {
        check(&ours, &process, v4, &format!("{kind:?} by IPv4"), least);
        check(&ours, &process, v6, &format!("{kind:?} by IPv6 with a key"), least);
    }
    process.assert_harmless();
    let log = process.err();
    assert!(log.contains("CAP_SYS_TIME not present") && log.contains("Selected source"), "{log}");
    // what it believes is the true time
    let tracking = std::fs::read_to_string(ours.dir().join("tracking.log")).unwrap();
    let last: Vec<&str> = tracking.lines().last().unwrap().split_whitespace().collect();
    let (offset, max_error): (f64, f64) = (last[6].parse().unwrap(), last[13].parse().unwrap());
    assert!(offset.abs() <= max_error && max_error < 0.5, "{last:?}");
}

/// OpenNTPD cannot synchronise without CAP_SYS_TIME, so it answers that it is not: that is seen and never believed.
#[test]
fn openntpd_that_is_not_synchronised_is_not_believed() {
    let Some(lab) = Lab::open(&[Package::Openntpd]) else { return };
    let (ours, server) = (lab.host(), lab.host());
    let _daemon = Daemon::start(&server, Kind::Openntpd, &Setup::default());
    let Some(process) = follow(&ours, &format!("server {} iburst minpoll 2 maxpoll 4\n", server.ip4()))
    else {
        return;
    };
    let answered = wait_until(Duration::from_secs(30), || measured(&ours, &server.ip4()).len() >= 4);
    let seen = measured(&ours, &server.ip4());
    assert!(answered && seen.iter().all(|m| !m.good && m.offset.abs() < 0.1), "{}", process.err());
    assert!(!process.err().contains("Selected source"), "{}", process.err());
}

/// With calls that seem to set the clock (noclock.c) it synchronises, after three minutes: then it is a source as any other.
#[test]
fn openntpd_that_believes_itself_synchronised_is_followed() {
    if !said("long") {
        return skipped("OpenNTPD takes minutes to synchronise: NTPBOX_TESTS=compat,long");
    }
    let Some(lab) = Lab::open(&[Package::Openntpd, Package::ChronySid]) else { return };
    let (ours, server, upstream) = (lab.host(), lab.host(), lab.host());
    let _upstream = Daemon::start(&upstream, Kind::Chrony49, &Setup::default());
    openntpd_user(&server);
    let shim = server.dir().join("noclock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compat/noclock.c");
    let built = server.run("cc", &["-shared", "-fPIC", "-o", &shim.display().to_string(), source]);
    assert_eq!(built.code, Some(0), "{}", built.err);
    let lines = format!("listen on *\nserver {}\n", upstream.ip4());
    let config = server.file("openntpd.conf", &lines);
    let preload = format!("LD_PRELOAD={}", shim.display());
    let program = Package::Openntpd.program("openntpd");
    let program = program.to_str().unwrap();
    let process = server.spawn("env", &[&preload, program, "-d", "-f", &config]);
    let serves = || probe(&server).is_some_and(|reply| is_synchronised(&reply));
    assert!(wait_until(Duration::from_secs(400), serves), "{}", process.err());
    process.assert_harmless();
    let lines = format!(
        "server {} iburst minpoll 2 maxpoll 4\nserver {} iburst minpoll 2 maxpoll 4\n",
        server.ip4(),
        server.ip6()
    );
    let Some(following) = follow(&ours, &lines) else { return };
    std::thread::sleep(span());
    let least = usize::try_from(span().as_secs() / 16).unwrap();
    check(&ours, &following, &server.ip4(), "OpenNTPD by IPv4", least);
    check(&ours, &following, &server.ip6(), "OpenNTPD by IPv6", least);
    assert!(following.err().contains("Selected source"), "{}", following.err());
}

#[test]
fn symmetric_peers_of_both_kinds_measure_us_and_we_them() {
    let Some(lab) = Lab::open(&[Package::ChronySid, Package::Ntp428]) else { return };
    let (ours, chrony, classic) = (lab.host(), lab.host(), lab.host());
    let peer = |extra: &str| Setup { lines: format!("peer {} {extra}\n", ours.ip4()), no_local_clock: false };
    let logs = format!("logdir {}\nlog measurements\n", chrony.dir().display());
    let mut setup = peer("minpoll 2 maxpoll 3 key 1");
    setup.lines.push_str(&logs);
    let first = Daemon::start(&chrony, Kind::Chrony49, &setup);
    let second = Daemon::start(&classic, Kind::Ntpd428, &peer("minpoll 3 maxpoll 4"));
    let lines = format!(
        "peer {} minpoll 2 maxpoll 3 key 1\npeer {} minpoll 3 maxpoll 4\nallow\n",
        chrony.ip4(),
        classic.ip4()
    );
    let Some(process) = follow(&ours, &lines) else { return };
    std::thread::sleep(span());
    let least = usize::try_from(span().as_secs() / 16).unwrap();
    check(&ours, &process, &chrony.ip4(), "chronyd as a peer, with a key", least);
    check(&ours, &process, &classic.ip4(), "classic ntpd as a peer", least.min(3));
    // and they hear us
    let theirs = measured(&chrony, &ours.ip4());
    let good = theirs.iter().filter(|m| m.offset.abs() <= m.distance).count();
    assert!(good >= least && good == theirs.len(), "{good} of {}", theirs.len());
    let ntpq = classic.run(Package::Ntp428.program("ntpq"), &["-n", "-p"]);
    let row = ntpq.out.lines().find(|line| line.contains(&ours.ip4()));
    let reach = row.and_then(|row| row.split_whitespace().nth(6)).unwrap_or("none");
    assert!(reach != "0" && reach != "none", "{}{}", ntpq.out, ntpq.err);
    drop((first, second));
}
