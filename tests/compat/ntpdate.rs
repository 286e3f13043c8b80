//! `ntpdate` against every server (issue 7: "Components it must work with").

use std::time::Duration;

use super::daemon::{Daemon, Kind, Setup};
use super::namespace::{Finished, Lab};
use super::peer::{Side, side, tool};

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
