//! `ntpdate` against every server (issue 7: "Components it must work with"), ours and 4.2.8p15's with the differences of
//! ntp-legacy 1.16.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::daemon::{Daemon, KEYS, Kind, Setup, chrony_keys, ntp_keys};
use super::namespace::{Finished, Host, Lab, wait_until};
use super::peer::{Side, our, side, tool};
use crate::asked::skipped;
use crate::support::schema::check_output;

/// Every family of servers.
const KINDS: &[Kind] = &[Kind::Chrony49, Kind::ChronyHere, Kind::Ntpd428, Kind::Ntpsec, Kind::Openntpd];

/// The row of a server: address, stratum, offset and delay in seconds.
#[derive(Debug, PartialEq)]
struct Row {
    address: String,
    stratum: u8,
    offset: f64,
    delay: f64,
}

/// Reads `server A, stratum N, offset O, delay D`, byte for byte but for the sign that only 4.2.8 prints (spec 1.16).
fn row(line: &str) -> Row {
    let mut words = ["server ", ", stratum ", ", offset ", ", delay ", ""].into_iter();
    let mut rest = line.strip_prefix(words.next().unwrap()).unwrap_or_else(|| panic!("{line:?}"));
    let mut fields = words.map(|word| {
        let at =
            if word.is_empty() { rest.len() } else { rest.find(word).unwrap_or_else(|| panic!("{line:?}")) };
        let field = rest.get(..at).unwrap();
        rest = rest.get(at + word.len()..).unwrap();
        field
    });
    let (address, stratum) = (fields.next().unwrap(), fields.next().unwrap());
    let (offset, delay) = (unsigned(fields.next().unwrap()), fields.next().unwrap());
    assert_eq!(offset.split('.').nth(1).map(str::len), Some(6), "{line:?}");
    assert_eq!(delay.split('.').nth(1).map(str::len), Some(5), "{line:?}");
    Row {
        address: address.to_owned(),
        stratum: stratum.parse().unwrap(),
        offset: offset.parse().unwrap(),
        delay: delay.parse().unwrap(),
    }
}

/// The number without the `+` that 4.2.8 puts before offsets; ours must not have it.
fn unsigned(number: &str) -> &str {
    match number.strip_prefix('+') {
        Some(rest) if side() == Side::Theirs => rest,
        Some(_) => panic!("{number}: 4.2.6 prints no plus sign"),
        None => number,
    }
}

/// The text of a log line after `%2d Mon HH:MM:SS ntpdate[PID]: `, whose form is checked.
fn logged(line: &str) -> &str {
    let (prefix, text) = line.split_once("]: ").unwrap_or_else(|| panic!("no prefix: {line:?}"));
    let shape: String = prefix.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let (date, program) = shape.split_at_checked(16).unwrap_or_else(|| panic!("{line:?}"));
    let (day, month, time) = (&date[..3], &date[3..6], &date[6..]);
    assert!(matches!(day, "99 " | " 9 ") && time == " 99:99:99 ", "{line:?}");
    assert!("JanFebMarAprMayJunJulAugSepOctNovDec".contains(month), "{line:?}");
    assert_eq!(program.trim_end_matches('9'), "ntpdate[", "{line:?}");
    text
}

/// Checks a query of one server and returns its row.
fn queried(ran: &Finished, address: &str, kind: Kind) -> Row {
    let mut lines = ran.out.lines();
    let row = row(lines.next().unwrap_or_else(|| panic!("{ran:?}")));
    assert_eq!(row.address, address);
    if kind.stratum() == 0 {
        // unsynchronised: stratum 0 in the packet is printed as 16
        assert_eq!((row.stratum, ran.code), (16, Some(1)), "{ran:?}");
        assert_eq!(logged(ran.err.trim_end()), "no server suitable for synchronization found");
    } else {
        assert_eq!((row.stratum, ran.code, ran.err.as_str()), (kind.stratum(), Some(0), ""), "{ran:?}");
        let last = logged(lines.next().unwrap_or_else(|| panic!("{ran:?}")));
        let (text, offset) = last.split_once(" offset ").unwrap();
        assert_eq!(text, format!("adjust time server {address}"));
        let offset: f64 = unsigned(offset.strip_suffix(" sec").unwrap()).parse().unwrap();
        assert!((offset - row.offset).abs() < 1e-9, "{ran:?}");
    }
    assert_eq!(lines.next(), None, "{ran:?}");
    // one clock serves both ends, and a bridge is fast; the constants of the classic delay are 0.0256 s
    assert!(row.offset.abs() < 0.02 && (0.025..0.1).contains(&row.delay), "{ran:?}");
    row
}

#[test]
fn query_prints_the_rows_of_every_server() {
    for &kind in KINDS {
        let Some(lab) = Lab::open(&[kind.package()]) else { continue };
        let Some(ntpdate) = tool("ntpdate") else { return };
        let (server, client) = (lab.host(), lab.host());
        let _daemon = Daemon::start(&server, kind, &Setup::default());
        for address in [server.ip4(), server.ip6()] {
            let ran = client.run(&ntpdate, &["-q", "-p", "1", &address]);
            queried(&ran, &address, kind);
            assert!(ran.took < Duration::from_secs(2), "{ran:?}");
        }
    }
}

/// Whether a line fits a pattern: `?` is any character, `*` any number of them.
fn fits(pattern: &str, line: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return line.is_empty() };
    let rest = pattern.get(first.len_utf8()..).unwrap();
    match first {
        '*' => fits(rest, line) || line.chars().next().is_some_and(|c| fits(pattern, &line[c.len_utf8()..])),
        _ => line
            .chars()
            .next()
            .is_some_and(|c| (first == '?' || first == c) && fits(rest, &line[c.len_utf8()..])),
    }
}

/// Patterns of the trace of two samples from a server, without the version line and the log line at the end.
fn trace(address: &str, kind: Kind) -> Vec<String> {
    let healthy = kind.stratum() > 0;
    let (stratum, leap) = if healthy { (kind.stratum(), "00") } else { (16, "11") };
    let stamp = "????????.????????  ???, ??? ?? ???? ??:??:??.???";
    let mut text = format!(
        "Looking for host {address} and service ntp\n{0}{0}",
        format!("transmit({address})\nreceive({address})\n")
    );
    if !healthy {
        text += &format!("{address}: Server dropped: strata too high\n");
    }
    let block = match side() {
        Side::Ours => format!(
            "server {address}, port 123
stratum {stratum}, precision -*, leap {leap}, trust 000
refid [{address}], delay 0.0????, dispersion 0.0????
transmitted 2, in filter 2
reference time:    {}
originate timestamp: {stamp}
transmit timestamp:  {stamp}
filter delay:  0.0????  0.0????  0.00000  0.00000\x20
         0.00000  0.00000  0.00000  0.00000\x20
filter offset: ???????? ???????? 0.000000 0.000000
         0.000000 0.000000 0.000000 0.000000
delay 0.0????, dispersion 0.0????
offset *0.0?????

",
            if healthy { stamp } else { "00000000.00000000  Mon, Jan  1 1900  0:00:00.000" }
        ),
        Side::Theirs => format!(
            "
server {address}, port 123
stratum {stratum}, precision -*, leap {leap}, trust 000
refid [*], root delay 0.000000, root dispersion *
reference time:      {}
originate timestamp: {stamp}
transmit timestamp:  {stamp}
filter delay:  0.0????    0.0????    ----       ----      
               ----       ----       ----       ----      
filter offset: ?0.0?????  ?0.0?????  ----       ----      
               ----       ----       ----       ----      
delay 0.0????, dispersion *, offset ?0.0?????

",
            if healthy { stamp } else { "(no time)" }
        ),
    };
    (text + &block).lines().map(str::to_owned).collect()
}

#[test]
fn debug_prints_the_trace_of_every_server() {
    for &kind in KINDS {
        let Some(lab) = Lab::open(&[kind.package()]) else { continue };
        let Some(ntpdate) = tool("ntpdate") else { return };
        let (server, client) = (lab.host(), lab.host());
        let _daemon = Daemon::start(&server, kind, &Setup::default());
        let address = server.ip4();
        let ran = client.run(&ntpdate, &["-d", "-p", "2", &address]);
        let healthy = kind.stratum() > 0;
        assert_eq!(ran.code, Some(i32::from(!healthy)), "{ran:?}");
        let mut lines = ran.out.lines();
        assert!(logged(lines.next().unwrap()).starts_with("ntpdate 4.2."), "{ran:?}");
        for pattern in trace(&address, kind) {
            let line = lines.next().unwrap_or_else(|| panic!("no {pattern:?} in\n{}", ran.out));
            assert!(fits(&pattern, line), "{line:?} for {pattern:?} in\n{}", ran.out);
        }
        let last = lines.next().map(|line| logged(line).split(" offset ").next().unwrap().to_owned());
        assert_eq!(last, healthy.then(|| format!("adjust time server {address}")));
        let errors: Vec<&str> = ran.err.lines().collect();
        assert_eq!(errors[0], format!("host found : {address}"));
        assert_eq!(errors.len(), 1 + usize::from(!healthy), "{ran:?}");
    }
}

#[test]
fn keys_of_every_digest_authenticate() {
    for kind in [Kind::Chrony49, Kind::ChronyHere, Kind::Ntpd428, Kind::Ntpsec] {
        let Some(lab) = Lab::open(&[kind.package()]) else { continue };
        let Some(ntpdate) = tool("ntpdate") else { return };
        let server = lab.host();
        let _daemon = Daemon::start(&server, kind, &Setup::default());
        let ask = |address: &str, id: u32, keys: &str| {
            let client = lab.host();
            let file = client.file("keys", keys);
            let ask =
                || client.run(&ntpdate, &["-d", "-p", "1", "-a", &id.to_string(), "-k", &file, address]);
            // on a busy machine a server may take more than a second: then nothing was learned of its key
            let heard = |ran: &Finished| ran.out.contains("receive(");
            let ran = ask();
            if heard(&ran) { ran } else { ask() }
        };
        let mut dialects = vec![ntp_keys()];
        if side() == Side::Ours {
            dialects.push(chrony_keys());
        }
        for keys in &dialects {
            for key in KEYS {
                let address = if key.id % 2 == 0 { server.ip4() } else { server.ip6() };
                let ran = ask(&address, key.id, keys);
                let passed = ran.out.lines().any(|line| line == "receive: authentication passed");
                assert!(passed && ran.code == Some(0), "{kind:?}, {}: {ran:?}", key.digest);
            }
        }
        // same ids, other secrets
        let wrong = ntp_keys().replace("2b7e", "ffff").replace("6d64", "ffff").replace("0011", "ffff");
        for id in [1, 2, 4] {
            let ran = ask(&server.ip4(), id, &wrong);
            let passed = ran.out.contains("authentication passed");
            assert!(!passed && ran.code == Some(1), "{kind:?}, wrong key {id}: {ran:?}");
            assert!(ran.err.contains("]: no server suitable for synchronization found\n"), "{ran:?}");
        }
    }
}

/// Runs `ntpdate` so that its calls of the kernel's clock seem to succeed; with the calls that strace saw. Without the
/// capability the real ones could do nothing.
fn as_if_permitted(client: &Host, ntpdate: &Path, args: &[&str]) -> (Finished, String) {
    let calls = "adjtimex,clock_adjtime,settimeofday,clock_settime";
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:retval=0"));
    let before = ["-f", "-qq", "-o", "calls", "-e", &trace, "-e", &inject, ntpdate.to_str().unwrap()];
    let ran = client.run("strace", &[&before, args].concat());
    (ran, fs::read_to_string(client.dir().join("calls")).unwrap())
}

fn has_strace() -> bool {
    let has = Command::new("strace").arg("-V").output().is_ok_and(|ran| ran.status.success());
    if !has {
        skipped("strace is not installed");
    }
    has
}

#[test]
fn limited_server_answers_one_run_after_the_other() {
    let Some(lab) = Lab::open(&[Kind::Ntpd428.package()]) else { return };
    let Some(ntpdate) = tool("ntpdate").filter(|_| has_strace()) else { return };
    let (server, client) = (lab.host(), lab.host());
    let _daemon = Daemon::start(&server, Kind::Ntpd428, &Setup::default());
    for run in 1..=2 {
        let (ran, calls) = as_if_permitted(&client, &ntpdate, &[&server.ip4()]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "run {run}: {ran:?}");
        assert!(logged(&ran.out).starts_with(&format!("adjust time server {} offset ", server.ip4())));
        assert!(calls.is_empty() || calls.contains("modes=ADJ_OFFSET_SINGLESHOT"), "{calls}");
        // 4.2.8p15 counts whole seconds, rounded: within half a second it answers RATE, which ends a run of ours and the
        // original asks on; a second apart it answers, however slow this machine is
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn port_in_use_is_the_classic_line_and_exit_1() {
    for kind in [Kind::Chrony49, Kind::ChronyHere, Kind::Ntpd428, Kind::Ntpsec, Kind::Openntpd] {
        // the original shares the port with chronyd, which keeps SO_REUSEADDR set (ntp-legacy 1.4)
        if side() == Side::Theirs && matches!(kind, Kind::Chrony49 | Kind::ChronyHere) {
            continue;
        }
        let Some(lab) = Lab::open(&[kind.package()]) else { continue };
        let Some(ntpdate) = tool("ntpdate") else { return };
        let (host, other) = (lab.host(), lab.host());
        let _daemon = Daemon::start(&host, kind, &Setup::default());
        in_use(&host.run(&ntpdate, &[&other.ip4()]));
        in_use(&host.run(&ntpdate, &[&other.ip6()]));
    }
}

fn in_use(ran: &Finished) {
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert_eq!(logged(ran.err.trim_end()), "the NTP socket is in use, exiting");
    assert!(ran.took < Duration::from_secs(1), "the check comes before any packet: {ran:?}");
}

#[test]
fn second_ntpdate_finds_the_port_in_use() {
    let Some(lab) = Lab::open(&[]) else { return };
    // two originals both run and mix up their replies
    let Some(ntpdate) = our("ntpdate").filter(|_| side() == Side::Ours) else { return };
    let (host, silent) = (lab.host(), lab.host());
    let first = host.spawn(&ntpdate, &["-t", "5", &silent.ip4()]);
    let holds = || host.sh("grep -q ' 00000000:007B ' /proc/net/udp").code == Some(0);
    assert!(wait_until(Duration::from_secs(5), holds), "{}", first.err());
    in_use(&host.run(&ntpdate, &[&silent.ip4()]));
}

#[test]
fn json_of_every_server_keeps_the_schema() {
    if side() == Side::Theirs {
        return;
    }
    for &kind in KINDS {
        let Some(lab) = Lab::open(&[kind.package()]) else { continue };
        let Some(ntpdate) = our("ntpdate") else { return };
        let (server, client) = (lab.host(), lab.host());
        let _daemon = Daemon::start(&server, kind, &Setup::default());
        let ran = client.run(&ntpdate, &["--json", "-q", &server.ip4()]);
        let report = &check_output(&ran.out)[0];
        let healthy = kind.stratum() > 0;
        assert_eq!((report["ok"].as_bool(), ran.code), (Some(healthy), Some(i32::from(!healthy))), "{ran:?}");
        if healthy {
            let row = &report["data"]["servers"][0];
            assert_eq!(row["address"], server.ip4().as_str(), "{report:#}");
            assert_eq!(row["stratum"], kind.stratum(), "{report:#}");
            assert!(row["offset_s"].as_f64().unwrap().abs() < 0.02, "{report:#}");
            // the true round trip, without the constants of the classic row
            assert!((0.0..0.02).contains(&row["delay_s"].as_f64().unwrap()), "{report:#}");
        }
    }
}

#[test]
fn unpermitted_adjustment_changes_nothing_and_says_so() {
    let Some(lab) = Lab::open(&[Kind::Chrony49.package()]) else { return };
    let Some(ntpdate) = tool("ntpdate") else { return };
    let (server, client) = (lab.host(), lab.host());
    let _daemon = Daemon::start(&server, Kind::Chrony49, &Setup::default());
    let ran = client.run(&ntpdate, &["-p", "1", &server.ip4()]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert_eq!(logged(ran.err.trim_end()), "Can't adjust the time of day: Operation not permitted");
    let ran = client.run(&ntpdate, &["-p", "1", "-b", &server.ip4()]);
    // 4.2.8 exits 0 here (ntp-legacy 1.11)
    assert_eq!(ran.code, Some(i32::from(side() == Side::Ours)), "{ran:?}");
    assert_eq!(logged(ran.err.trim_end()), "step-systime: Operation not permitted");
}
