//! `:config` and `saveconfig` at our ntpd and at the classic one: the same answers to the same lines; and that the lines do something.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::daemon::{Daemon, Kind, Setup, probe};
use super::namespace::{Host, Lab, Process, wait_until};
use super::peer::{Package, our};
use super::telling::{self, following};

const KEYS: &str = "1 M one\n2 M secret2\n3 M three\n";

/// Lines that both answer alike: taken, refused for their grammar, refused because they come from afar.
const LINES: &str = "\
tos minclock 3|tos maxclock 5 minsane 1|tos orphan 5|tos bogus 3|tos floor 1 ceiling 15|tos cohort 1|tos mindist 0.01|\
tos maxdist 2|tinker step 0.5|tinker panic 0|tinker stepout 300|tinker dispersion 15|tinker freq 3|trustedkey 1 2 3|\
requestkey 1|driftfile /tmp/drift2|logconfig =all|logconfig +bogus|logfile /tmp/x|statsdir /tmp/stats/|statistics bogus|\
filegen bogus file x|fudge 127.127.1.0 stratum 7|enable stats|disable stats|enable auth|enable calibrate|disable kernel|\
enable mode7|disable unpeer_crypto_early|server 10.77.0.50|server 10.77.0.51 iburst minpoll 4|server no.such.name.invalid|\
pool no.such.pool.invalid|peer 10.77.0.52|unpeer 10.77.0.50|unpeer 10.77.0.51|unpeer 10.77.0.50|unpeer 10.9.9.9|\
restrict 10.0.0.1|restrict 10.0.0.1 nomodify|restrict 10.0.0.0 mask 255.0.0.0 noquery limited kod|restrict default limited|\
restrict source nomodify|unrestrict 10.0.0.1|discard average 4 minimum 2|mru maxdepth 100|mru mindepth 700 maxage 100|\
mru bogus 1|setvar foo = bar default|includefile /tmp/inc|saveconfigdir /tmp|end_server_default|tinker step|enable|quit|\
server|server 10.77.0.60 bogus|restrict|trustedkey 1 bogus|keys|setvar foo|bogus|driftfile|keys a b|leapfile|\
leapfile a b|leapfile /nowhere bogus|statistics|statistics loopstats bogus|statistics loopstats sysstats|filegen|\
filegen loopstats|filegen loopstats disable|filegen loopstats enable bogus|filegen rawstats file raws type none enable|\
filegen peerstats type bogus|filegen clockstats link|reset|reset bogus|reset sys bogus|reset ctl mem timer|disable ntp|\
enable ntp monitor|enable ntp bogus|restrict 10.0.0.1 nomodify bogus|fudge 127.127.1.0 stratum 3 bogus";

/// Starts an ntpd with a local clock, a folder to save in and three keys of which two are trusted.
fn start(host: &Host, program: &Path) -> Process {
    let (keys, drift) = (host.file("ntp.keys", KEYS), host.file("drift", "0.000\n"));
    let saves = host.dir().join("saves");
    fs::create_dir_all(&saves).unwrap();
    let conf = format!(
        "restrict default\nserver 127.127.1.0 minpoll 4\nserver 10.77.0.99 iburst # none\nkeys {keys}\ntrustedkey 1 2\n\
         controlkey 2\ndriftfile {drift}\nsaveconfigdir {}\nbogus line\n",
        saves.display()
    );
    let process = host.spawn(program, &["-n", "-c", &host.file("ntp.conf", &conf)]);
    assert!(wait_until(Duration::from_secs(10), || probe(host).is_some()), "{}", process.err());
    process.assert_harmless();
    process
}

/// What the classic ntpq prints for a command behind a key, without empty lines.
fn behind(host: &Host, key: (&str, &str), command: &str) -> String {
    let (id, password) = (format!("keyid {}", key.0), format!("passwd {}", key.1));
    let words = ["-n", "-c", &id, "-c", &password, "-c", command, "127.0.0.1"];
    let ran = host.run(Package::Ntp428.program("ntpq"), &words);
    assert_eq!(ran.code, Some(0), "{command}: {ran:?}");
    ran.out.lines().chain(ran.err.lines()).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

const CONTROL: (&str, &str) = ("2", "secret2");

#[test]
fn lines_from_afar_are_answered_as_the_classic_ntpd_does() {
    let Some(lab) = Lab::open(&[Package::Ntp428, Package::Ntpdate428]) else { return };
    let Some(ntpd) = our("ntpd") else { return };
    let (own, classic) = (lab.host(), lab.host());
    let ours = start(&own, &ntpd);
    let theirs = start(&classic, &Package::Ntp428.program("ntpd"));
    let both = |key: (&str, &str), command: &str| {
        let (mine, original) = (behind(&own, key, command), behind(&classic, key, command));
        assert_eq!(mine, original, "{command}\n{}\n{}", ours.err(), theirs.err());
        mine
    };
    // an answer that its MAC proves, of a daemon without a source: stratum 16
    let signed = || {
        let keys = own.dir().join("ntp.keys");
        let words = ["-q", "-p", "1", "-a", "3", "-k", keys.to_str().unwrap(), "127.0.0.1"];
        own.run(Package::Ntpdate428.program("ntpdate"), &words).out.contains("stratum 16")
    };
    assert!(!signed());
    for line in LINES.split('|') {
        both(CONTROL, &format!(":config {line}"));
    }
    assert_eq!(both(CONTROL, "rv 0 foo"), "foo=bar");
    // names of files
    for name in ["kept.conf", "kept.conf", "a/b", ".", "..", "../y"] {
        both(CONTROL, &format!("saveconfig {name}"));
    }
    assert_eq!(both(CONTROL, "rv 0 savedconfig"), "savedconfig=kept.conf");
    // key 3, trusted above, becomes the control key, and key 2 is none any more
    let refused = "***Server disallowed request (authentication?)";
    assert_eq!(both(("3", "three"), ":config enable monitor"), refused);
    assert_eq!(both(CONTROL, ":config controlkey 3"), "Config Succeeded");
    assert_eq!(both(CONTROL, ":config enable monitor"), refused);
    assert_eq!(both(("3", "three"), ":config enable monitor"), "Config Succeeded");
    // and is one for time, too
    assert!(signed(), "{}", ours.err());
    saved(&own, &classic, ours, theirs);
}

/// The file that ours has saved: what is right of the one that was read, then what came from afar; the classic ntpd reads it.
fn saved(own: &Host, classic: &Host, ours: Process, theirs: Process) {
    let path = own.dir().join("saves/kept.conf");
    let text = fs::read_to_string(&path).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("#NTF:D 20") && lines[1].starts_with("#NTF:V ntpd 4.2.8p15"), "{text}");
    assert!(lines[2].starts_with("# startup configuration file /"), "{text}");
    assert_eq!(
        lines[3..6],
        ["restrict default", "server 127.127.1.0 minpoll 4", "server 10.77.0.99 iburst # none"]
    );
    assert!(text.contains(" ntpq remote config from 127.0.0.1\ntos minclock 3\n"), "{text}");
    assert!(!text.contains("bogus line"), "{text}");
    drop((ours, theirs));
    let reads = classic.spawn(Package::Ntp428.program("ntpd"), &["-n", "-c", path.to_str().unwrap()]);
    assert!(wait_until(Duration::from_secs(10), || probe(classic).is_some()), "{}", reads.err());
    assert!(!reads.err().contains("syntax error"), "{}", reads.err());
}

/// A list of leap seconds that ends in 2029, without its hash.
const LEAP_SECONDS: &str = "#@\t4070908800\n3439756800\t34\n3550089600\t35\n3644697600\t36\n3692217600\t37\n";

#[test]
fn files_and_counters_from_afar_are_those_of_the_classic_ntpd() {
    let Some(lab) = Lab::open(&[Package::Ntp428]) else { return };
    let Some(ntpd) = our("ntpd") else { return };
    let (own, classic) = (lab.host(), lab.host());
    let hosts = [&own, &classic];
    let processes = [start(&own, &ntpd), start(&classic, &Package::Ntp428.program("ntpd"))];
    let both = |key: (&str, &str), command: &dyn Fn(&Host) -> String, answer: &str| {
        for (host, process) in hosts.into_iter().zip(&processes) {
            let command = command(host);
            assert_eq!(behind(host, key, &command), answer, "{command}\n{}", process.err());
        }
    };
    let named = |directive: &'static str, name: &'static str| {
        move |host: &Host| format!(":config {directive} {}", host.dir().join(name).display())
    };
    let same = |command: &'static str| move |_: &Host| command.to_owned();
    let (done, refused) = ("Config Succeeded", "***Server disallowed request (authentication?)");
    for host in hosts {
        host.file("other.keys", "2 M newtwo\n5 M five\n");
    }
    // a file that is not there changes nothing
    both(CONTROL, &named("keys", "no.keys"), done);
    both(CONTROL, &named("keys", "other.keys"), done);
    both(CONTROL, &same(":config enable auth"), refused);
    let (new, fifth) = (("2", "newtwo"), ("5", "five"));
    both(fifth, &same(":config enable auth"), refused);
    // first which key it is, then that it is trusted
    both(new, &same(":config controlkey 5"), done);
    both(fifth, &same(":config enable auth"), refused);
    both(new, &same(":config trustedkey 5"), refused);
    let log = processes[0].err();
    assert!(log.contains("127.0.0.1 config: controlkey 5") && log.contains("no.keys: No such file"), "{log}");
}

#[test]
fn leap_seconds_and_statistics_begin_from_afar() {
    let Some(lab) = Lab::open(&[Package::Ntp428, Package::ChronySid]) else { return };
    let upstream = lab.host();
    let _server = Daemon::start(&upstream, Kind::Chrony49, &Setup::default());
    let host = lab.host();
    let (list, statistics) = (host.file("leap.list", LEAP_SECONDS), host.dir().join("stats"));
    fs::create_dir_all(&statistics).unwrap();
    let lines =
        format!("server {} iburst minpoll 3 maxpoll 3\nstatsdir {}/\n", upstream.ip4(), statistics.display());
    let Some(ntpd) = telling::start(&host, &lines) else { return };
    let says =
        |line: &str| assert_eq!(behind(&host, CONTROL, &format!(":config {line}")), "Config Succeeded");
    let lines_of =
        |name: &str| fs::read_to_string(statistics.join(name)).map_or(0, |text| text.lines().count());
    let told = |name: &str, command: &str| -> u64 {
        let text = behind(&host, CONTROL, command);
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{text}"));
        line.trim().parse().unwrap()
    };
    // nothing is written before it is wanted
    assert_eq!(fs::read_dir(&statistics).unwrap().count(), 0);
    says("statistics rawstats peerstats");
    says(&format!("leapfile {list}"));
    assert_eq!(behind(&host, CONTROL, "rv 0 leapsec,expire"), "leapsec=201701010000, expire=202901010000");
    // what cannot be read leaves it
    says("leapfile /nowhere/leap.list");
    assert!(ntpd.err().contains("leapsecond file ('/nowhere/leap.list'): stat failed"), "{}", ntpd.err());
    assert!(behind(&host, CONTROL, "rv 0 leapsec").contains("201701"));
    assert!(wait_until(Duration::from_secs(30), || lines_of("rawstats") > 0), "{}", ntpd.err());
    assert!(lines_of("peerstats") > 0);
    says("filegen rawstats disable");
    let (raw, peers) = (lines_of("rawstats"), lines_of("peerstats"));
    assert!(wait_until(Duration::from_secs(30), || lines_of("peerstats") > peers), "{}", ntpd.err());
    assert_eq!(lines_of("rawstats"), raw);
    // counters
    assert!(told("packets received:", "sysstats") > 5 && told("packets sent:", "pstats &1") > 3);
    says("reset sys");
    assert!(told("packets received:", "sysstats") < 5 && told("sysstats reset:", "sysstats") < 5);
    assert!(told("uptime:", "sysstats") > 5 && told("time since reset:", "iostats") > 5);
    says("reset allpeers io");
    assert!(told("packets sent:", "pstats &1") < 3 && told("time since reset:", "iostats") < 5);
}

#[test]
fn lines_from_afar_have_their_effect() {
    let Some(lab) = Lab::open(&[Package::Ntp428, Package::ChronySid]) else { return };
    let Some((_server, host, ntpd)) = following(&lab) else { return };
    let peers = || behind(&host, CONTROL, "peers");
    // selected, or to be with its next answer
    let follows = || ["\n*10.77.0.1 ", "\n+10.77.0.1 "].iter().any(|row| peers().contains(row));
    let says =
        |line: &str| assert_eq!(behind(&host, CONTROL, &format!(":config {line}")), "Config Succeeded");
    assert!(follows(), "{}", peers());
    // the server's stratum is too small, then not, then too large
    for (line, followed) in
        [("tos floor 5", false), ("tos floor 0", true), ("tos ceiling 2", false), ("tos ceiling 16", true)]
    {
        says(line);
        assert!(
            wait_until(Duration::from_secs(20), || follows() == followed),
            "{line}: {}\n{}",
            peers(),
            ntpd.err()
        );
    }
    // more sources must agree than there are
    says("tos minsane 3");
    assert!(wait_until(Duration::from_secs(20), || !follows()), "{}", peers());
    says("tos minsane 1");
    // who asks twice within 2^17 s is limited from now on
    let client = lab.host();
    says("discard average 17 minimum 17");
    says(&format!("restrict {} mask 255.255.255.255 limited kod", client.ip4()));
    let asks = || client.run(our("ntpdate").unwrap(), &["-q", "-p", "1", "-t", "1", &host.ip4()]);
    for limited in [false, true] {
        let ran = asks();
        assert_eq!(ran.err.contains("rate limit"), limited, "{ran:?}");
    }
    // the local clock goes, by its address
    assert!(peers().contains("127.127.1.0"), "{}", peers());
    says("unpeer 127.127.1.0");
    assert!(!peers().contains("127.127.1.0") && peers().contains("10.77.0.1"), "{}", peers());
    // the dispersion of the clock that nobody corrects grows faster
    says("tinker dispersion 500");
    says("mru maxdepth 7");
    assert_eq!(behind(&host, CONTROL, "rv 0 mru_maxdepth"), "mru_maxdepth=7");
}
