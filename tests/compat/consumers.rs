//! Readers of ntpq, ntpdate and ntpstat in the field (consumers.md 2.2) over what our applets print of real servers: ours, the
//! classic ntpd, one that is not synchronised, one that is not there.

use std::time::Duration;

use super::daemon::{Daemon, Kind, Setup, probe};
use super::namespace::{Host, Lab, Process, wait_until};
use super::peer::{Package, Side, our, side};
use super::telling::following;
use crate::support::cli;
use crate::support::consumers::{Judged, check_ntp, telegraf};

/// Runs a line as it stands in a script, our programs first in PATH, `$H` the server: standard output and exit code.
fn typed(host: &Host, server: &str, line: &str) -> (String, Option<i32>) {
    let path = format!("{}:{}", cli::bin().display(), std::env::var_os("PATH").unwrap_or_default().display());
    let mut command = host.command("sh", Duration::from_secs(30));
    let ran = host.finish(command.args(["-c", line]).env("PATH", path).env("H", server));
    assert_eq!(ran.err, "", "{line}");
    (ran.out, ran.code)
}

fn judged(host: &Host, server: &str) -> (Judged, String) {
    let (asked, code) = typed(host, server, "ntpdate -q $H 2>&1");
    let (peers, zero) = typed(host, server, "ntpq -np $H 2>&1");
    assert_eq!(zero, Some(0), "{peers}");
    (check_ntp((&asked, code), &peers), format!("{asked}{peers}"))
}

/// An ntpd of ours that has only a server that is not there.
fn unsynchronised(host: &Host) -> Option<Process> {
    let ntpd = our("ntpd")?;
    let conf = host.file("ntp.conf", "restrict default\nserver 10.77.0.99 iburst\n");
    let process = host.spawn(&ntpd, &["-n", "-c", &conf]);
    assert!(wait_until(Duration::from_secs(10), || probe(host).is_some()), "{}", process.err());
    Some(process)
}

#[test]
fn telegraf_and_check_ntp_read_a_server_of_ours() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let Some((_server, host, _ntpd)) = following(&lab).filter(|_| side() == Side::Ours) else { return };
    let client = lab.host();
    let (peers, code) = typed(&client, &host.ip4(), "ntpq -p $H");
    let rows = telegraf(&peers);
    // the server followed, the one never answered, the pool, the local clock
    let signs: Vec<Option<char>> = rows.iter().map(|row| row.state).collect();
    assert_eq!((code, rows.len(), signs[0]), (Some(0), 4, Some('*')), "{peers}");
    assert_eq!(signs[1..], [None; 3], "{peers}");
    // `-` within the first second after an answer
    let when = rows[0].columns.get("when").map_or(0.0, |_| rows[0].number("when"));
    assert!(rows[0].remote == "10.77.0.1" && when <= 64.0, "{peers}");
    assert_eq!((rows[0].number("poll"), rows[0].number("st")), (16.0, 2.0), "{peers}");
    assert!(rows[0].number("offset").abs() < 50.0 && rows[0].number("delay") >= 0.0, "{peers}");
    assert!(rows[0].number("reach") >= 1.0 && rows[0].number("jitter") >= 0.0, "{peers}");
    for never in &rows[1..3] {
        assert_eq!((never.columns.get("when"), never.number("reach")), (None, 0.0), "{peers}");
        assert_eq!((never.number("st"), never.number("offset")), (16.0, 0.0), "{peers}");
    }
    assert_eq!(rows[3].columns["t"], "l", "{peers}");

    let (verdict, said) = judged(&client, &host.ip4());
    assert!(!verdict.error && !verdict.stratum_16, "{verdict:?}\n{said}");
    assert_eq!(verdict.rows, 4, "{said}");
    let log = said.lines().rfind(|line| line.contains("time server")).unwrap_or_default();
    let number = log.split(" offset ").nth(1).and_then(|rest| rest.strip_suffix(" sec"));
    assert_eq!(verdict.offset, number.and_then(|text| text.parse().ok()), "{said}");
    assert!(verdict.offset.is_some_and(|s| s.abs() < 0.05), "{said}");
    assert!(verdict.jitter.is_some_and(|ms| ms < 100.0), "{said}");
    field(&client, &host);
}

/// The other rows, as they are typed.
fn field(client: &Host, host: &Host) {
    let at = host.ip4();
    for (row, line, expected) in [
        (29, r"ntpq -p $H | grep -c \*", "1"),
        (29, r"ntpq -p $H | grep \* | awk '{print $3, NF}'", "2 10"),
        (
            30,
            "ntpq -c 'rv 0 offset,sys_jitter,rootdisp,rootdelay' $H | tr , '\n' | grep -cE '^ ?[a-z_]+=-?[0-9.]+$'",
            "4",
        ),
        (31, "ntpq -nc peers $H | tail -n +3 | cut -c 62-66 | head -n 1 | grep -cE '^ *-?[0-9]*$'", "1"),
        (32, "ntpq -p -n $H | awk '$2==\".POOL.\" {print $3}'", "16"),
        (32, "ntpq -p -n $H | awk '$4==\"l\" {print $1, $3}'", "127.127.1.0 10"),
        (32, "ntpq -p -n $H | grep -c '^*'", "1"),
        (
            35,
            "ID=$(ntpq -c associations $H | awk '/sys.peer/ {print $2}'); ntpq -n -c \"readvar $ID srcadr,delay,offset,jitter\" $H | grep -c 'srcadr=10.77.0.1, delay='",
            "1",
        ),
        (35, "ntpq -n -p $H | grep '^[*o]' | awk '{print $1}'", "*10.77.0.1"),
        (37, "ntpq '-c rv' $H | tr , '\n' | grep -cE '^ *(stratum|precision|peer|tc|mintc)=-?[0-9]+$'", "5"),
        (39, "ntpq -c 'rv 0 stratum,offset' $H | grep -cE '^stratum=3, offset=-?[0-9.]+$'", "1"),
        (39, "ntpq -c rv $H | sed -n 's/.*status=[0-9a-f]\\([0-9]\\)...*/\\1/p' | head -n 1", "6"),
        (39, "ntpdate -q $H 10.77.0.1 | grep -cE 'offset (-?[0-9.]+), delay ([0-9.]+)$'", "2"),
        (40, "ntpq -c rv $H | grep -c leap_none", "1"),
        (41, "ntpq -c 'rv 0' $H 2>&1 | head -n 1 | grep -cE '^associd=0 status=[0-9a-f]{4} leap_none,'", "1"),
        (42, "ntpq -nc readvar $H 2>&1 | grep -c '^ntpq\\|peer=0,'", "0"),
        (
            44,
            "ntpdate -u -q $H | grep -cE '^server 10.77.0.2, stratum 3, offset -?[0-9.]+, delay [0-9.]+$'",
            "1",
        ),
        (46, "ntpdate -q $H | head -1 | awk '{print $6}' | grep -cE '^-?[0-9]+[.][0-9]{6},$'", "1"),
        (46, "ntpdate -q $H | grep -cE '(adjust|step) time server 10.77.0.2 offset -?[0-9.]+ sec'", "1"),
    ] {
        let (said, _) = typed(client, &at, line);
        assert_eq!(said.trim_end(), expected, "row {row}: {line}");
    }
    // row 47
    let (said, code) = typed(host, "", "ntpstat");
    assert_eq!((code, said.contains("synchronised to NTP server")), (Some(0), true), "{said}");
}

#[test]
fn telegraf_and_check_ntp_read_the_classic_ntpd() {
    let Some(lab) = Lab::open(&[Package::Ntp428]) else { return };
    let (host, client) = (lab.host(), lab.host());
    let setup = Setup { lines: "restrict 10.77.0.0 mask 255.255.0.0\n".to_owned(), ..Setup::default() };
    let _daemon = Daemon::start(&host, Kind::Ntpd428, &setup);
    let (peers, code) = typed(&client, &host.ip4(), "ntpq -p $H");
    let rows = telegraf(&peers);
    assert_eq!((code, rows.len()), (Some(0), 1), "{peers}");
    assert_eq!((rows[0].state, rows[0].columns["t"].as_str()), (Some('*'), "l"), "{peers}");
    assert_eq!((rows[0].number("st"), rows[0].number("poll")), (5.0, 8.0), "{peers}");
    let (verdict, said) = judged(&client, &host.ip4());
    assert!(!verdict.error && verdict.offset.is_some_and(|s| s.abs() < 0.05), "{verdict:?}\n{said}");
    assert_eq!((verdict.rows, verdict.jitter.is_some()), (1, true), "{said}");
}

#[test]
fn an_unsynchronised_server_and_nobody_are_errors() {
    let Some(lab) = Lab::open(&[Package::Ntp428]) else { return };
    let (own, classic, client) = (lab.host(), lab.host(), lab.host());
    let Some(_ntpd) = unsynchronised(&own).filter(|_| side() == Side::Ours) else { return };
    let lines = "restrict 10.77.0.0 mask 255.255.0.0\nserver 10.77.0.99\n".to_owned();
    let _daemon = Daemon::start(&classic, Kind::Ntpd428, &Setup { lines, no_local_clock: true });
    for server in [&own, &classic] {
        let (verdict, said) = judged(&client, &server.ip4());
        let expected =
            Judged { offset: verdict.offset, stratum_16: true, jitter: None, rows: 1, error: true };
        assert_eq!(verdict, expected, "{said}");
        let row = format!("server {}, stratum 16, offset ", server.ip4());
        assert!(
            said.starts_with(&row) && said.contains("no server suitable for synchronization found"),
            "{said}"
        );
        let (peers, _) = typed(&client, &server.ip4(), "ntpq -p $H");
        let rows = telegraf(&peers);
        assert_eq!((rows.len(), rows[0].state, rows[0].columns.get("when")), (1, None, None), "{peers}");
        assert_eq!((rows[0].number("st"), rows[0].number("reach")), (16.0, 0.0), "{peers}");
        // rows 42, 32 and 40
        let (system, _) = typed(&client, &server.ip4(), "ntpq -nc readvar $H 2>&1");
        assert!(!system.starts_with("ntpq") && system.contains("peer=0,"), "{system}");
        assert_eq!(typed(&client, &server.ip4(), "ntpq -p -n $H | awk '$3==16' | wc -l").0.trim(), "1");
        let (verdict, code) = typed(server, "", "ntpstat");
        assert!(code == Some(1) && verdict.starts_with("unsynchronised"), "{verdict}");
    }
    // nobody there: stratum 0, no row, an error
    let (verdict, said) = judged(&client, &client.ip4());
    let refused = Judged { offset: Some(0.0), stratum_16: false, jitter: None, rows: 0, error: true };
    assert_eq!(verdict, refused, "{said}");
    assert!(said.contains(", stratum 0, offset 0.000000, delay 0.00000\n"), "{said}");
    assert!(said.ends_with("ntpq: read: Connection refused\n"), "{said}");
    let (said, code) = typed(&client, "127.0.0.1", "ntpq -c 'rv 0' $H 2>&1");
    assert!(said.contains("Connection refused") && code == Some(0), "{said}");
    assert_eq!(typed(&client, "", "ntpstat 2>/dev/null").1, Some(2));
}
