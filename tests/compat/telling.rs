//! What ntpq and other readers of mode 6 are told: our ntpq beside the classic one, at the classic ntpd and at ours, which follows
//! servers; then the other consumers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::daemon::{Daemon, Kind, Setup};
use super::namespace::{Host, Lab, Process, wait_until};
use super::peer::{Package, our};
use crate::asked::skipped;
use crate::support::cli;

/// How long two programs may take to print the same; what tells seconds may differ by one now and then.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts our ntpd with lines of ntp.conf, keys 1 and 2 of which 2 is the control key, and waits until it follows a source.
pub(super) fn start(host: &Host, lines: &str) -> Option<Process> {
    let ntpd = our("ntpd")?;
    let keys = host.file("ntp.keys", "1 M one\n2 M secret2\n");
    let conf = host
        .file("ntp.conf", &format!("restrict default\n{lines}keys {keys}\ntrustedkey 1 2\ncontrolkey 2\n"));
    let process = host.spawn(&ntpd, &["-n", "-c", &conf]);
    let up = || process.err().contains("05 clock_sync");
    assert!(wait_until(Duration::from_secs(30), up), "{}", process.err());
    process.assert_harmless();
    Some(process)
}

/// A server at level 4.9 and our ntpd that follows it, beside a local clock, a server that is not there and a pool without a name.
pub(super) fn following(lab: &Lab) -> Option<(Daemon, Host, Process)> {
    let upstream = lab.host();
    let server = Daemon::start(&upstream, Kind::Chrony49, &Setup::default());
    let host = lab.host();
    let lines = format!(
        "server {} iburst minpoll 4 maxpoll 4\nserver 10.77.0.99 iburst\npool no.such.name.invalid\n\
         server 127.127.1.0\nfudge 127.127.1.0 stratum 10\n",
        upstream.ip4()
    );
    let ours = start(&host, &lines)?;
    Some((server, host, ours))
}

/// What is equal but for what decisions.md drops: the `+` signs and the empty lines between outputs.
fn plain(text: &str) -> String {
    let kept = text.lines().filter(|line| !line.is_empty());
    kept.map(|line| line.replace(" +", "  ").replace("=+", "=") + "\n").collect()
}

/// The words of a text: lines are broken where signs make them too long.
fn words(text: &str) -> String {
    let words = plain(text).split_whitespace().collect::<Vec<_>>().join(" ");
    // the time of the question
    match (words.find("clock="), words.find(", peer=")) {
        (Some(from), Some(to)) if from < to => format!("{}clock{}", &words[..from], &words[to..]),
        _ => words,
    }
}

/// The labels of a text whose numbers count the questions themselves.
fn labels(text: &str) -> String {
    let digit = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let mut out = words(&plain(text).chars().map(digit).collect::<String>());
    while out.contains("00") {
        out = out.replace("00", "0");
    }
    out
}

type Form = fn(&str) -> String;

/// The list, each with what has to be equal.
const COMMANDS: &[(&[&str], Form)] = &[
    (&["-pn"], plain),
    (&["-p"], plain),
    (&["-n", "-c", "as"], plain),
    (&["-n", "-c", "apeers"], plain),
    (&["-n", "-c", "opeers"], plain),
    (&["-n", "-c", "rv"], words),
    (&["-n", "-c", "rv 0 offset,stratum"], words),
    (&["-n", "-c", "rv &1"], words),
    (&["-n", "-c", "cv"], words),
    (&["-n", "-c", "sysinfo"], words),
    (&["-n", "-c", "kerninfo"], words),
    (&["-n", "-c", "iostats"], labels),
    (&["-n", "-c", "sysstats"], labels),
    (&["-n", "-c", "monstats"], words),
    (&["-n", "-c", "timerstats"], words),
    (&["-n", "-c", "authinfo"], words),
    (&["-n", "-c", "mrulist"], words),
];

/// The same behind a key; the counters move with each question.
const AUTHENTICATED: &[&str] = &["reslist", "ifstats"];

fn compare(host: &Host, key: (&str, &str), ours: &Path) {
    let theirs = Package::Ntp428.program("ntpq");
    let both = |words: &[&str], form: Form| {
        let ask = |program: &Path| {
            let mut words = words.to_vec();
            words.push("127.0.0.1");
            let ran = host.run(program, &words);
            assert!(ran.code == Some(0) && !ran.err.contains("***"), "{words:?}: {}", ran.err);
            form(&ran.out)
        };
        let same = wait_until(PATIENCE, || ask(&theirs) == ask(ours));
        assert!(same, "{words:?}\ntheirs:\n{}\nours:\n{}", ask(&theirs), ask(ours));
        assert!(!ask(ours).is_empty(), "{words:?}");
    };
    for (words, form) in COMMANDS {
        both(words, *form);
    }
    for command in AUTHENTICATED {
        let (id, password) = (format!("keyid {}", key.0), format!("passwd {}", key.1));
        both(&["-n", "-c", &id, "-c", &password, "-c", command], labels);
    }
}

/// Everything else that ntpq can be told, `;` between commands: what is asked, what is set and shown, what is wrong. Left out:
/// `version`, `keytype SHA256` and `help keytype` (ours takes what our keys can be), `pstatus` (which ours has).
const REST: &str = "\
lpeers|lopeers|peers -4|peers -6|peers -5|pstats &1|pstats|associations|lassociations|passociations|lpassociations|as 5|\
rv &2|rv &9|rv 0 offset stratum leap|rv 0 sys_var_list|rv &1 peer_var_list|rv &1 srchost|rv 0 nosuch|rv 1|rv x|rv &x|rv &0|cv &0|as &0|mrv &0 &1|pstats &0|delay x|delay -5;delay|delay -x|delay 1.5|\
rv 0 leap stratum refid 4 5 6 7|rl|rl &1|cl|cv &1|cv 0 device,poll|mrv &1 &2 srcadr,reach|mrl &1 &2|mrv &2 &1 srcadr|\
mreadlist|mreadlist 1|clocklist|showvars|addvars|rmvars|addvars a,b=2;showvars|addvars a,b=2;rmvars a;showvars|\
addvars a;clearvars;showvars|addvars stratum,leap;rl|addvars a;rmvars c|mrulist sort=addr|mrulist limited|mrulist bogus|\
ntpversion|ntpversion 5|ntpversion x|ntpversion 3;rv 0 stratum|timeout|timeout 300;timeout|timeout x|timeout 1 2|delay|\
delay 40;delay|host|hostnames|hostnames yes;hostnames|hostnames maybe|debug|debug more|debug less|debug bogus|keyid|\
keyid x|keyid 2;keyid|keyid 70000|keytype|keytype md5|keytype sha1;keytype|keytype bogus|authenticate|authenticate yes|\
authenticate bogus|poll|raw|cooked|raw;rv 0 leap|raw;as|raw;cv|raw;peers|help|help peers|help nosuch|?|? rv|quit|exit|drefid|\
drefid hash;peers|drefid hash;drefid|drefid ipv4|drefid bogus|writevar|writevar 0|saveconfig|config-from-file|bogus|r|passwd x|\
host -6 ::1;host;rv 0 stratum|ifstats|reslist|:config|help a b c d e f|\
KEY;:config enable monitor|KEY;:config bogus|KEY;:config disable bogus|KEY;:config server|KEY;:config restrict bogus|\
KEY;saveconfig x|KEY;saveconfig|KEY;authenticate|KEY;writevar 0 leap=1|KEY;writevar 0 nosuch=1|KEY;writevar 0 tc=3|\
KEY;writelist|KEY;authenticate yes;rv 0 stratum|KEY;:config statsdir /x|KEY;:config logfile /x|KEY;:config includefile /x|\
KEY;:config pool|keyid 1;passwd one;ifstats|keyid 2;passwd wrong;ifstats|keyid 7;passwd x;reslist|authenticate yes;rv 0 stratum";

/// The rest of the commands, with what they say on standard error, which names the program.
fn compare_the_rest(host: &Host, ours: &Path) {
    let theirs = Package::Ntp428.program("ntpq");
    for line in REST.split('|') {
        let line = line.replace("KEY", "keyid 2;passwd secret2");
        let mut words = vec!["-n"];
        line.split(';').for_each(|command| words.extend(["-c", command]));
        words.push("127.0.0.1");
        let ask = |program: &Path| {
            let mut command = host.command(program, Duration::from_secs(20));
            let ran = host.finish(command.args(&words).stdin(std::process::Stdio::null()));
            (self::words(&ran.out), plain(&ran.err), ran.code)
        };
        let same = wait_until(PATIENCE, || ask(&theirs) == ask(ours));
        assert!(same, "{line}\ntheirs:\n{:?}\nours:\n{:?}", ask(&theirs), ask(ours));
    }
}

#[test]
fn ours_and_the_classic_ntpq_print_the_same_of_our_ntpd() {
    let Some(lab) = Lab::open(&[Package::Ntp428, Package::ChronySid]) else { return };
    let (Some(ntpq), Some((_server, host, _ntpd))) = (our("ntpq"), following(&lab)) else { return };
    compare(&host, ("2", "secret2"), &ntpq);
    compare_the_rest(&host, &ntpq);
}

#[test]
fn ours_and_the_classic_ntpq_print_the_same_of_the_classic_ntpd() {
    let Some(lab) = Lab::open(&[Package::Ntp428]) else { return };
    let (Some(ntpq), host) = (our("ntpq"), lab.host()) else { return };
    let keys = host.file("own.keys", "1 M one\n2 M secret2\n");
    let lines = format!("restrict default\nkeys {keys}\ntrustedkey 1 2\ncontrolkey 2\n");
    let _daemon = Daemon::start(&host, Kind::Ntpd428, &Setup { lines, ..Setup::default() });
    compare(&host, ("2", "secret2"), &ntpq);
    compare_the_rest(&host, &ntpq);
}

/// `name=value` pairs of a raw reply.
fn variables(raw: &str) -> Vec<(String, String)> {
    let body = raw.split_once('\n').map_or("", |(_, body)| body);
    let pairs = body.split(", ").flat_map(|part| part.split(",\n"));
    pairs.filter_map(|pair| pair.trim().split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

/// Against NTPsec: variable by variable from raw replies; what moves between two questions is asked for until it stands still.
#[test]
fn variables_of_ntpsec_are_those_that_the_classic_ntpq_gets() {
    let Some(lab) = Lab::open(&[Package::Ntp428, Package::Ntpsec]) else { return };
    let (Some(ntpq), host) = (our("ntpq"), lab.host()) else { return };
    let _daemon = Daemon::start(&host, Kind::Ntpsec, &Setup::default());
    for command in ["rv 0", "rv &1"] {
        let ask = |program: &Path| {
            // `&1` is looked up first, cooked
            let ran = host.run(program, &["-n", "-c", "as", "-c", "raw", "-c", command, "127.0.0.1"]);
            let raw = ran.out.split("status=0x").nth(1).unwrap_or_default().to_owned();
            let moving = |name: &str| name == "clock" || name == "rootdist" || name.starts_with("filt");
            let mut all = variables(&raw);
            all.retain(|(name, _)| !moving(name));
            all
        };
        let theirs = Package::Ntp428.program("ntpq");
        assert!(ask(&theirs).len() > 15, "{command}: {:?}", ask(&theirs));
        let same = wait_until(PATIENCE, || ask(&theirs) == ask(&ntpq));
        assert!(same, "{command}\n{:?}\n{:?}", ask(&theirs), ask(&ntpq));
    }
}

/// Environment that scripts need: our programs first in PATH, the classic ones' Perl module.
fn script(host: &Host, program: PathBuf, words: &[&str]) -> super::namespace::Finished {
    let bin = Package::Ntp428.bin().expect("Lab::open was told of this package");
    let perl = bin.with_file_name("root/usr/share/ntp/lib");
    let path = format!("{}:{}", cli::bin().display(), std::env::var_os("PATH").unwrap_or_default().display());
    let mut command = host.command(program, Duration::from_secs(20));
    command.args(words).env("PATH", path).env("PERL5LIB", perl);
    host.finish(&mut command)
}

#[test]
fn other_readers_understand_our_ntpd() {
    let packages =
        [Package::Ntp428, Package::Ntpsec, Package::ChronySid, Package::MonitoringPlugins, Package::Ntpstat];
    let Some(lab) = Lab::open(&packages) else { return };
    let Some((_server, host, _ntpd)) = following(&lab) else { return };
    // a row of NTPsec's has four decimals less than its own daemon gives, and wider columns
    let peers = host.run(Package::Ntpsec.program("ntpq"), &["-pn", "127.0.0.1"]);
    let row = peers.out.lines().find(|line| line.starts_with('*')).unwrap_or_default();
    assert!(row.starts_with("*10.77.0.1       127.127.1.1      2 u "), "{}{}", peers.out, peers.err);
    let system = host.run(Package::Ntpsec.program("ntpq"), &["-c", "rv 0 stratum,refid,leap", "127.0.0.1"]);
    assert!(system.out.contains("stratum=3, refid=10.77.0.1"), "{}{}", system.out, system.err);
    // the newer generation's scripts; the tracer runs the ntpq of PATH, which is ours
    let wait = script(&host, Package::Ntpsec.program("ntpwait"), &["-v", "-n", "3", "-s", "1"]);
    assert_eq!((wait.code, wait.out.contains("OK!")), (Some(0), true), "{}{}", wait.out, wait.err);
    let trace = script(&host, Package::Ntpsec.program("ntptrace"), &["-n", "-m", "1"]);
    assert!(trace.out.starts_with("127.0.0.1: stratum 3, offset "), "{}{}", trace.out, trace.err);
    // ntpmon draws on a terminal
    if host.sh("command -v script").code == Some(0) {
        let ntpmon = Package::Ntpsec.program("ntpmon");
        let command = format!("env TERM=xterm {} -n 127.0.0.1", ntpmon.display());
        let screen = host.dir().join("screen");
        let _monitor = host.spawn("script", &["-qefc", &command, screen.to_str().unwrap()]);
        let drawn = || std::fs::read_to_string(&screen).unwrap_or_default();
        let rows = ["*10.77.0.1", "10.77.0.99", "127.127.1.0", "ntpd 4.2.8p15@ntpbox"];
        let complete = || rows.iter().all(|row| drawn().contains(row));
        assert!(wait_until(PATIENCE, complete), "{}", drawn());
    } else {
        skipped("no script(1) to give ntpmon a terminal");
    }
    let wait = script(&host, Package::Ntp428.program("ntp-wait"), &["-v", "-n", "1"]);
    if wait.err.contains("Can't locate") {
        skipped("this system's perl lacks a module of the classic scripts");
    } else {
        assert_eq!((wait.code, wait.out.contains("OK!")), (Some(0), true), "{}{}", wait.out, wait.err);
        let trace = script(&host, Package::Ntp428.program("ntptrace"), &["-n", "-m", "1"]);
        assert!(trace.out.starts_with("127.0.0.1: stratum 3, offset "), "{}{}", trace.out, trace.err);
    }
    let peer = script(
        &host,
        Package::MonitoringPlugins.program("check_ntp_peer"),
        &["-H", "127.0.0.1", "-j", "100", "-k", "200", "-W", "5", "-C", "6"],
    );
    assert_eq!(peer.code, Some(0), "{}{}", peer.out, peer.err);
    assert!(peer.out.starts_with("NTP OK: Offset ") && peer.out.contains("stratum=2"), "{}", peer.out);
    let time = script(&host, Package::MonitoringPlugins.program("check_ntp_time"), &["-H", "127.0.0.1"]);
    assert_eq!(time.code, Some(0), "{}{}", time.out, time.err);
    for ntpstat in [Package::Ntpstat.program("ntpstat"), cli::bin().join("ntpstat")] {
        let verdict = script(&host, ntpstat, &[]);
        assert_eq!(verdict.code, Some(0), "{}{}", verdict.out, verdict.err);
        assert!(
            verdict.out.starts_with("synchronised to NTP server (10.77.0.1) at stratum 3"),
            "{}",
            verdict.out
        );
    }
}

/// The facts agree with each other (ntp-legacy 4.4).
#[test]
fn what_is_told_agrees() {
    let Some(lab) = Lab::open(&[Package::Ntp428, Package::ChronySid]) else { return };
    let (Some(ntpq), Some((_server, host, _ntpd))) = (our("ntpq"), following(&lab)) else { return };
    let ask = |command: &str| host.run(&ntpq, &["-n", "-c", command, "127.0.0.1"]).out;
    let listed = ask("as");
    let row = listed.lines().find(|line| line.contains("sys.peer")).unwrap_or_else(|| panic!("{listed}"));
    let columns: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(listed.matches("sys.peer ").count(), 1, "{listed}");
    let system = ask("rv 0 peer,peeradr,stratum,refid,leap");
    assert!(system.contains(&format!("peer={}", columns[1])), "{system}{listed}");
    assert!(system.contains("stratum=3, refid=10.77.0.1, peer="), "{system}");
    let header = ask(&format!("rv {}", columns[1]));
    assert!(header.contains(&format!("status={} conf, reach, sel_sys.peer", columns[2])), "{header}{listed}");
    assert!(
        header.contains("hmode=3") && header.contains("pmode=4") && header.contains("flash=00 ok"),
        "{header}"
    );
    assert!(header.contains("srcadr=10.77.0.1") && header.contains("dstadr=10.77.0.2"), "{header}");
    // the one that is not there, and the pool
    let peers = ask("peers");
    assert!(peers.contains("\n 10.77.0.99      .INIT.          16 u    -"), "{peers}");
    assert!(peers.contains(" .POOL.          16 p    -   64    0    0.000    0.000   0.000\n"), "{peers}");
    assert!(peers.contains("\n 127.127.1.0     .LOCL.          10 l"), "{peers}");
}

/// Under the name of chronyd, who may ask for the time may ask ntpq's questions, and nobody else.
#[test]
fn a_chronyd_answers_ntpq_for_those_whom_it_serves() {
    let Some(lab) = Lab::open(&[Package::Ntp428, Package::ChronySid]) else { return };
    let Some(chronyd) = our("chronyd") else { return };
    let (upstream, host, allowed, refused) = (lab.host(), lab.host(), lab.host(), lab.host());
    let _server = Daemon::start(&upstream, Kind::Chrony49, &Setup::default());
    let conf = host.file(
        "chrony.conf",
        &format!(
            "server {} iburst minpoll 4\nallow {}\nuser root\npidfile /\ncmdport 0\nbindcmdaddress /\n",
            upstream.ip4(),
            allowed.ip4()
        ),
    );
    let process = host.spawn(&chronyd, &["-d", "-x", "-f", &conf]);
    let ntpq = Package::Ntp428.program("ntpq");
    let ask = |from: &Host, to: &str| from.run(&ntpq, &["-c", "timeout 300", "-pn", to]).out;
    let follows = || ask(&allowed, &host.ip4()).contains("\n*10.77.0.1       LOCAL(1)         2 u ");
    assert!(wait_until(Duration::from_secs(30), follows), "{}{}", ask(&allowed, &host.ip4()), process.err());
    assert_eq!(ask(&refused, &host.ip4()).trim(), "");
    assert!(ask(&host, "127.0.0.1").contains("\n*10.77.0.1 "), "{}", process.err());
    assert!(!process.err().contains("clock_sync"), "its log is chronyd's: {}", process.err());
    let changed = allowed
        .run(&ntpq, &["-c", "keyid 1", "-c", "passwd x", "-c", ":config unpeer 10.77.0.1", &host.ip4()]);
    assert!(changed.err.contains("***Server disallowed request (authentication?)"), "{}", changed.err);
}
