//! Broadcasts over a real wire: the classic ntpd's server heard by our ntpd, and ours heard by it; by broadcast and multicast.

use std::time::Duration;

use super::daemon::{Daemon, Kind, Setup, ntp_keys};
use super::namespace::{Host, Lab, Process, wait_until};
use super::peer::{Package, our};

/// The subnet's own broadcast address, as the classic ntpd wants to find it on an interface.
const TO: &str = "10.77.0.255";
/// NTP's multicast group.
const GROUP: &str = "224.0.1.1";
/// How long the first packets and a volley may take.
const LIMIT: Duration = Duration::from_secs(90);

fn prepared(lab: &Lab) -> Host {
    let host = lab.host();
    let own = host.ip4();
    let ran = host.sh(&format!(
        "ip addr del {own}/24 dev eth0 && ip addr add {own}/24 brd + dev eth0 && ip route add 224.0.0.0/4 dev eth0"
    ));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    host
}

/// Our ntpd with these lines, and all keys trusted.
fn ours(host: &Host, lines: &str) -> Option<Process> {
    let ntpd = our("ntpd")?;
    let keys = host.file("ntp.keys", &ntp_keys());
    let conf = host.file("our.conf", &format!("{lines}keys {keys}\ntrustedkey 1 2 3\nrestrict default\n"));
    let process = host.spawn(&ntpd, &["-n", "-c", &conf]);
    assert!(wait_until(Duration::from_secs(10), || process.err().contains("restart")), "{}", process.err());
    process.assert_harmless();
    Some(process)
}

/// The variables of the association of a host, by the classic ntpq; empty while there is none.
fn association(host: &Host, of: &str) -> String {
    let ntpq = Package::Ntp428.program("ntpq");
    let list = host.run(&ntpq, &["-c", "associations", "127.0.0.1"]).out;
    let ids = list.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse::<u32>().ok());
    let asked = ids.map(|id| host.run(&ntpq, &["-c", &format!("rv {id}"), "127.0.0.1"]).out);
    asked
        .map(|text| text.replace('\n', " "))
        .find(|text| text.contains(&format!("srcadr={of},")))
        .unwrap_or_default()
}

fn value(text: &str, name: &str) -> f64 {
    let found = text.split(", ").find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='));
    found.and_then(|value| value.trim().parse().ok()).unwrap_or(f64::NAN)
}

/// The classic ntpd broadcasts: with a key it becomes a source of ours, without one it does not.
#[test]
fn we_hear_the_classic_ntpd() {
    let Some(lab) = Lab::open(&[Package::Ntp428]) else { return };
    let (signed, plain, group) = (prepared(&lab), prepared(&lab), prepared(&lab));
    let (host, other) = (prepared(&lab), prepared(&lab));
    let lines = |line: &str| Setup { lines: line.to_owned(), ..Setup::default() };
    let Some(_client) = ours(&host, "broadcastclient\n") else { return };
    let Some(_member) = ours(&other, &format!("multicastclient {GROUP}\nbroadcastdelay 0.002\n")) else {
        return;
    };
    let _first = Daemon::start(&signed, Kind::Ntpd428, &lines(&format!("broadcast {TO} key 1 minpoll 4\n")));
    let _second = Daemon::start(&plain, Kind::Ntpd428, &lines(&format!("broadcast {TO} minpoll 4\n")));
    let _third =
        Daemon::start(&group, Kind::Ntpd428, &lines(&format!("broadcast {GROUP} key 2 minpoll 4 ttl 1\n")));
    let heard = |host: &Host, of: &Host| {
        let text = association(host, &of.ip4());
        // the volley is over, and packets of mode 5 come
        text.contains("pmode=5") && text.contains("hmode=6") && value(&text, "offset").abs() > 0.0
    };
    let both = wait_until(LIMIT, || heard(&host, &signed) && heard(&other, &group));
    let told = || format!("{}\n{}", association(&host, &signed.ip4()), association(&other, &group.ip4()));
    assert!(both, "{}", told());
    // all hosts have one clock
    let (first, third) = (association(&host, &signed.ip4()), association(&other, &group.ip4()));
    assert!(value(&first, "offset").abs() < 2.0 && value(&third, "offset").abs() < 4.0, "{}", told());
    assert!((value(&third, "delay") - 2.0).abs() < 0.01, "{third}");
    assert!(first.contains("keyid=1") && third.contains("keyid=2"), "{}", told());
    assert_eq!(association(&host, &plain.ip4()), "", "no key, no source");
    assert_eq!(association(&host, &group.ip4()), "", "not our group");
}

/// Ours broadcasts: the classic ntpd makes it a source, and checks its key.
#[test]
fn the_classic_ntpd_hears_us() {
    let Some(lab) = Lab::open(&[Package::Ntp428]) else { return };
    let (server, client) = (prepared(&lab), prepared(&lab));
    let lines = format!("server 127.127.1.0 minpoll 3\nbroadcast {TO} key 1 minpoll 4\n");
    let Some(_ours) = ours(&server, &lines) else { return };
    let setup = Setup { lines: "broadcastclient\n".to_owned(), ..Setup::default() };
    let _classic = Daemon::start(&client, Kind::Ntpd428, &setup);
    let heard = wait_until(LIMIT, || {
        let text = association(&client, &server.ip4());
        text.contains("hmode=6") && value(&text, "offset").abs() > 0.0
    });
    let text = association(&client, &server.ip4());
    assert!(heard && text.contains("keyid=1") && value(&text, "offset").abs() < 4.0, "{text}");
    // and counts them
    let own = association(&server, TO);
    assert!(own.contains("hmode=5") && own.contains("refid=BCST"), "{own}");
    let id = own.split("associd=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    let counted =
        server.run(Package::Ntp428.program("ntpq"), &["-c", &format!("pstats {id}"), "127.0.0.1"]).out;
    let sent =
        counted.lines().find_map(|line| line.strip_prefix("packets sent:")?.trim().parse::<u32>().ok());
    assert!(sent.is_some_and(|sent| (1..20).contains(&sent)), "{counted}");
}

/// What the classic ntpq shows of the broadcasts of a host's ntpd, without identifiers, precision, TTL, its own address,
/// and what changes with each packet that is sent.
fn listed(host: &Host) -> Vec<String> {
    let ntpq = Package::Ntp428.program("ntpq");
    let ask = |words: &[&str]| host.run(&ntpq, &[words, &["127.0.0.1"]].concat()).out;
    let rows = [ask(&["-pn"]), ask(&["-nc", "lopeers"])].concat();
    let rows =
        rows.lines().filter(|line| line.starts_with(" 10.77.0.255 ") || line.starts_with(" 224.0.1.1 "));
    // the column of the local address is as wide as before
    let own = format!("{:16}", host.ip4());
    let mut all: Vec<String> = rows.map(|row| row.replace(&own, &format!("{:16}", "OWN"))).collect();
    let list = ask(&["-c", "associations"]);
    let of_broadcasts = list.lines().filter(|line| line.contains(" c811 ") || line.contains(" 8811 "));
    all.extend(of_broadcasts.map(|line| line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ")));
    for address in [TO, GROUP] {
        let text = association(host, address).replace(&format!("dstadr={},", host.ip4()), "dstadr=OWN,");
        let words = text.split_whitespace();
        let varying = ["associd=", "precision=", "ttl=", "headway=", "xleave="];
        let fixed = |word: &&str| !varying.iter().any(|name| word.starts_with(name));
        all.push(words.filter(fixed).collect::<Vec<_>>().join(" "));
    }
    all
}

/// Where the time is broadcast to is an association that ntpq lists, with the classic ntpd's values.
#[test]
fn broadcasts_are_listed_as_those_of_the_classic_ntpd() {
    let Some(lab) = Lab::open(&[Package::Ntp428]) else { return };
    let (host, other) = (prepared(&lab), prepared(&lab));
    let lines = format!("broadcast {TO} key 1 minpoll 4\nbroadcast {GROUP} minpoll 5\n");
    let Some(_ours) = ours(&host, &format!("server 127.127.1.0\n{lines}")) else { return };
    let _classic = Daemon::start(&other, Kind::Ntpd428, &Setup { lines, ..Setup::default() });
    let same =
        wait_until(Duration::from_secs(20), || listed(&other).len() == 8 && listed(&host) == listed(&other));
    assert!(same, "{:#?}\n{:#?}", listed(&host), listed(&other));
}
