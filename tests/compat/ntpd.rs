//! Our `ntpd` as a service: the classic ntpq at its local clock, who may ask, what goes wrong.

use std::path::Path;
use std::time::Duration;

use super::namespace::{Host, Lab, Process, wait_until};
use super::peer::{Package, our};

const KEYS: &str = "1 M one\n2 M secret2\n";

/// Starts our ntpd with lines of ntp.conf before those of keys, and waits until its socket is there.
fn start(host: &Host, lines: &str) -> Option<Process> {
    let ntpd = our("ntpd")?;
    let keys = host.file("ntp.keys", KEYS);
    let conf = host.file("ntp.conf", &format!("{lines}keys {keys}\ntrustedkey 1 2\ncontrolkey 2\n"));
    let process = host.spawn(&ntpd, &["-n", "-c", &conf]);
    let up = || process.err().contains("0.0.0.0 c016 06 restart");
    assert!(wait_until(Duration::from_secs(10), up), "{}", process.err());
    process.assert_harmless();
    Some(process)
}

/// What a client prints, without the signs and empty lines that decisions.md drops.
fn plain(text: &str) -> String {
    let kept = text.lines().filter(|line| !line.is_empty());
    kept.map(|line| line.replace(" +", "  ").replace("=+", "=") + "\n").collect()
}

const LOCAL: &str = "server 127.127.1.0 minpoll 4\nfudge 127.127.1.0 stratum 10\nrestrict default\n";

#[test]
fn classic_ntpq_reads_it_as_ours_does() {
    let Some(lab) = Lab::open(&[Package::Ntp428]) else { return };
    let host = lab.host();
    let Some(_daemon) = start(&host, LOCAL) else { return };
    let (theirs, Some(ours)) = (Package::Ntp428.program("ntpq"), our("ntpq")) else { return };
    let commands: &[&[&str]] = &[
        &["-pn"],
        &["-c", "as"],
        &["-nc", "apeers"],
        &["-nc", "opeers"],
        &["-c", "rv 0 version,processor,system,leap,stratum,precision,refid,peer,tc,mintc,offset,frequency"],
        &["-c", "rv 0 offset,stratum"],
        &["-c", "cv"],
        &["-c", "kerninfo"],
        &["-c", "authinfo"],
        &["-c", "monstats"],
    ];
    for command in commands {
        let ask = |program: &Path| {
            let mut words = command.to_vec();
            words.push("127.0.0.1");
            let ran = host.run(program, &words);
            assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{command:?}");
            plain(&ran.out)
        };
        // rows that tell seconds may differ by one
        let same = wait_until(Duration::from_secs(5), || ask(&theirs) == ask(&ours));
        assert!(same, "{command:?}\n{}\n{}", ask(&theirs), ask(&ours));
    }
    let peers = host.run(&theirs, &["-pn", "127.0.0.1"]).out;
    let row = peers.lines().nth(2).unwrap_or_default();
    assert!(row.starts_with("*127.127.1.0     .LOCL.          10 l"), "{peers}");
    let with_key = |what: &str| {
        let ran = host.run(&theirs, &["-c", "keyid 2", "-c", "passwd secret2", "-c", what, "127.0.0.1"]);
        plain(&ran.out) + &ran.err
    };
    assert!(with_key("reslist").contains("0.0.0.0/0\n           serve trust peer epeer query trap\n"));
    // the addresses of the host itself, as the classic daemon enters them
    for own in ["127.0.0.1/32", "10.77.0.1/32", "fd77::1/128", "::1/128"] {
        let row = format!(
            "         0 {own}\n           ntpport interface ignore serve trust peer epeer query trap\n"
        );
        assert!(with_key("reslist").contains(&row), "{}", with_key("reslist"));
    }
    assert!(with_key("ifstats").contains("v4wildcard"));
    assert!(with_key(":config disable monitor").contains("Config Succeeded"));
    assert!(with_key(":config bogus").contains("column 0 syntax error, unexpected T_String"));
    let refused = host.run(&theirs, &["-c", "keyid 1", "-c", "passwd one", "-c", "ifstats", "127.0.0.1"]);
    assert!(refused.err.contains("***Server disallowed request (authentication?)"), "{}", refused.err);
}

/// `restrict source`: the servers that are asked have rows of their own, as the classic daemon enters them, and those flags.
#[test]
fn the_servers_that_are_asked_have_flags_of_their_own() {
    let Some(lab) = Lab::open(&[Package::Ntp428]) else { return };
    let (own, classic, server) = (lab.host(), lab.host(), lab.host());
    let lines = format!(
        "restrict default kod notrap nomodify nopeer noquery limited\nrestrict 127.0.0.1\n\
         restrict source notrap nomodify\nserver {}\nserver 10.77.0.99\nserver 127.127.1.0\n",
        server.ip4()
    );
    let Some(_ours) = start(&own, &lines) else { return };
    let keys = classic.file("ntp.keys", KEYS);
    let conf = classic.file("ntp.conf", &format!("{lines}keys {keys}\ntrustedkey 1 2\ncontrolkey 2\n"));
    let _theirs = classic.spawn(Package::Ntp428.program("ntpd"), &["-n", "-c", &conf]);
    let rows = |host: &Host| {
        let words = ["-n", "-c", "keyid 2", "-c", "passwd secret2", "-c", "reslist", "127.0.0.1"];
        let text = host.run(Package::Ntp428.program("ntpq"), &words).out;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let pairs = lines.windows(2).filter(|pair| pair[1].trim_start().starts_with("source "));
        // without the hits
        pairs.map(|pair| format!("{}{}", &pair[0][10..], pair[1])).collect::<Vec<_>>()
    };
    let same =
        wait_until(Duration::from_secs(20), || rows(&classic).len() == 2 && rows(&own) == rows(&classic));
    assert!(same, "{:?}\n{:?}", rows(&own), rows(&classic));
    // noquery of the default does not hold for the server
    let ntpq = Package::Ntp428.program("ntpq");
    let asked = server.run(&ntpq, &["-c", "timeout 2000", "-c", "rv 0 stratum", &own.ip4()]);
    assert!(asked.out.contains("stratum="), "{asked:?}");
    let asked = classic.run(&ntpq, &["-c", "timeout 300", "-c", "rv 0 stratum", &own.ip4()]);
    assert!(!asked.out.contains("stratum="), "{asked:?}");
}

/// Each address asks for the time and for variables.
#[test]
fn restrict_lines_hold_on_the_wire() {
    let Some(lab) = Lab::open(&[Package::Ntp428, Package::Ntpdate428]) else { return };
    let (server, allowed, refused) = (lab.host(), lab.host(), lab.host());
    let seed = format!(
        "server 127.127.1.0\nfudge 127.127.1.0 stratum 10\n\
         restrict default kod nomodify notrap nopeer noquery\nrestrict -6 default kod nomodify notrap nopeer noquery\n\
         restrict 127.0.0.1\nrestrict -6 ::1\nrestrict {} mask 255.255.255.255 nomodify\n",
        allowed.ip4()
    );
    let Some(_daemon) = start(&server, &seed) else { return };
    let ask = |host: &Host, address: &str| {
        let time = host.run(Package::Ntpdate428.program("ntpdate"), &["-q", "-p", "1", address]);
        let vars =
            host.run(Package::Ntp428.program("ntpq"), &["-c", "timeout 300", "-c", "rv 0 stratum", address]);
        (time.out.contains("stratum 11"), vars.out.contains("stratum=11"))
    };
    assert_eq!(ask(&allowed, &server.ip4()), (true, true));
    assert_eq!(ask(&refused, &server.ip4()), (true, false));
    assert_eq!(ask(&allowed, &server.ip6()), (true, false));
    assert_eq!(ask(&server, "127.0.0.1"), (true, true));
    assert_eq!(ask(&server, "::1"), (true, true));
}

/// What a `restrict` line leaves to an address: the time, the time behind a key, variables, and what a signed change is answered.
struct Left {
    line: &'static str,
    time: bool,
    signed: bool,
    variables: bool,
    change: &'static str,
}

const SUCCEEDED: &str = "Config Succeeded";
const PROHIBITED: &str = "runtime configuration prohibited by restrict ... nomodify";

/// The lines of the seeds and each of their flags.
const LINES: &[Left] = &[
    Left {
        line: "kod nomodify notrap nopeer noquery",
        time: true,
        signed: true,
        variables: false,
        change: "",
    },
    Left { line: "nomodify", time: true, signed: true, variables: true, change: PROHIBITED },
    Left { line: "", time: true, signed: true, variables: true, change: SUCCEEDED },
    Left { line: "ignore", time: false, signed: false, variables: false, change: "" },
    Left { line: "noserve", time: false, signed: false, variables: true, change: SUCCEEDED },
    Left { line: "noquery", time: true, signed: true, variables: false, change: "" },
    Left { line: "notrust", time: false, signed: true, variables: true, change: SUCCEEDED },
    Left { line: "nopeer notrap", time: true, signed: true, variables: true, change: SUCCEEDED },
];

/// Each line, from the address that it names and from one that it does not, at our daemon.
#[test]
fn each_restrict_line_holds_for_its_address_and_for_no_other() {
    let Some(lab) = Lab::open(&[Package::Ntp428, Package::Ntpdate428]) else { return };
    let server = lab.host();
    let (named, other) = (lab.host(), lab.host());
    for Left { line, time, signed, variables, change } in LINES {
        let lines = format!(
            "server 127.127.1.0\nfudge 127.127.1.0 stratum 10\nrestrict default\n\
             restrict {} mask 255.255.255.255 {line}\n",
            named.ip4()
        );
        let Some(_daemon) = start(&server, &lines) else { return };
        let ask = |host: &Host| {
            let keys = host.file("ntp.keys", KEYS);
            let ntpdate = Package::Ntpdate428.program("ntpdate");
            let ntpq = Package::Ntp428.program("ntpq");
            let query = |words: &[&str]| {
                let ran =
                    host.run(&ntpdate, &[&["-q", "-t", "0.4", "-p", "1"], words, &[&server.ip4()]].concat());
                ran.out.contains("stratum 11")
            };
            let control = |words: &[&str]| {
                host.run(&ntpq, &[&["-c", "timeout 300"], words, &[&server.ip4()]].concat()).out
            };
            let change = control(&["-c", "keyid 2", "-c", "passwd secret2", "-c", ":config enable monitor"]);
            (
                query(&[]),
                query(&["-a", "1", "-k", &keys]),
                control(&["-c", "rv 0 stratum"]).contains("stratum=11"),
                change.lines().next_back().unwrap_or_default().to_owned(),
            )
        };
        assert_eq!(ask(&named), (*time, *signed, *variables, (*change).to_owned()), "restrict … {line}");
        assert_eq!(ask(&other), (true, true, true, SUCCEEDED.to_owned()), "another address than of {line}");
    }
}

/// A second daemon is refused, and the holder is named; SIGTERM is a clean end.
#[test]
fn the_port_is_not_shared_and_the_pid_file_goes() {
    let Some(lab) = Lab::open(&[]) else { return };
    let host = lab.host();
    let Some(mut first) = start(&host, LOCAL) else { return };
    let (Some(ntpd), conf) = (our("ntpd"), host.dir().join("ntp.conf")) else { return };
    let second = host.run(&ntpd, &["-n", "-c", conf.to_str().unwrap()]);
    assert_eq!(second.code, Some(1));
    assert!(
        second.err.contains("Could not open NTP socket on 0.0.0.0:123 : Address already in use, held by "),
        "{}",
        second.err
    );
    first.signal(nix::sys::signal::Signal::SIGTERM);
    let status = first.wait(Duration::from_secs(5)).unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(first.err().contains("ntpd exiting on signal 15 (Terminated)"), "{}", first.err());
    let pid_file = host.dir().join("ntpd.pid");
    let background = host.run(&ntpd, &["-c", conf.to_str().unwrap(), "-p", pid_file.to_str().unwrap()]);
    assert_eq!((background.code, background.err.as_str()), (Some(0), ""));
    let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    let killed = host.sh(&format!("kill -TERM {pid}"));
    assert_eq!(killed.code, Some(0), "{}", killed.err);
    assert!(wait_until(Duration::from_secs(5), || !pid_file.exists()));
}

/// Each distribution's file starts as it is, is served and leaves no line out.
#[test]
fn every_shipped_configuration_starts() {
    let Some(lab) = Lab::open(&[]) else { return };
    let Some(ntpd) = our("ntpd") else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/conf/valid");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().is_some_and(|path| path.ends_with(".ntp.conf")))
        .collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let host = lab.host();
        let mut process = host.spawn(&ntpd, &["-n", "-g", "-c", file.to_str().unwrap()]);
        let up = || process.err().contains("0.0.0.0 c016 06 restart");
        assert!(wait_until(Duration::from_secs(10), up), "{}: {}", file.display(), process.err());
        assert!(!process.err().contains("syntax error"), "{}: {}", file.display(), process.err());
        assert!(super::daemon::probe(&host).is_some(), "{}", file.display());
        process.signal(nix::sys::signal::Signal::SIGTERM);
        let ended = process.wait(Duration::from_secs(5)).and_then(|status| status.code());
        assert_eq!(ended, Some(0), "{}: {}", file.display(), process.err());
    }
}

/// A server that is not there, an unsynchronised one, a full disk, a drift file that is none: said, and it goes on.
#[test]
fn what_goes_wrong_is_said_and_the_daemon_lives() {
    let Some(lab) = Lab::open(&[]) else { return };
    let (Some(ntpd), host) = (our("ntpd"), lab.host()) else { return };
    let drift = host.file("drift", "what\n");
    let keys = host.file("bad.keys", "1 M\n2 NOSUCH x\n70000 M x\n");
    let mounted = host
        .sh("mkdir full && mount -t tmpfs -o size=4k full full && dd if=/dev/zero of=full/x bs=4k count=1");
    assert_eq!(mounted.code, Some(0), "{}", mounted.err);
    let full = host.dir().join("full");
    let conf = host.file(
        "bad.conf",
        &format!(
            "restrict default\nserver 127.127.1.0\ndriftfile {drift}\nkeys {keys}\nstatsdir {}/\nfilegen sysstats enable\n\
             filegen protostats enable\nSYNC_HWCLOCK=yes\nserver\nrestrict 10.0.0.0 mask 255.0.0.0 motrap\n\
             includefile /nonexistent\nfudge 127.127.1.0 startum 10\nkeys \u{1b}[31m x\n",
            full.display()
        ),
    );
    let mut process = host.spawn(&ntpd, &["-n", "-c", &conf]);
    let up = || process.err().contains("0.0.0.0 c016 06 restart");
    assert!(wait_until(Duration::from_secs(10), up), "{}", process.err());
    let log = || process.err();
    assert!(wait_until(Duration::from_secs(60), || log().contains("No space left on device")), "{}", log());
    let text = log();
    assert!(text.contains("format error frequency file"), "{text}");
    assert!(text.matches("syntax error in").count() >= 4, "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert!(super::daemon::probe(&host).is_some());
    process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(process.wait(Duration::from_secs(5)).and_then(|status| status.code()), Some(0));
}

/// A list of leap seconds in the form of NIST's, good until so many seconds from now, with its hash.
fn leap_list(good_for: i64) -> String {
    const NTP: i64 = 2_208_988_800;
    let expires = ntpbox::sys::clock::now().secs() + NTP + good_for;
    let rows = [(3_439_756_800_i64, 34), (3_550_089_600, 35), (3_644_697_600, 36), (3_692_217_600, 37)];
    let text: String = rows.iter().map(|(at, tai)| format!("{at}\t{tai}\t# {tai}\n")).collect();
    let digits: String = rows.iter().map(|(at, tai)| format!("{at}{tai}")).collect();
    let sum = ntpbox::auth::checksum(format!("3960835200{expires}{digits}").as_bytes());
    let words: Vec<String> = sum
        .chunks_exact(4)
        .map(|word| format!("{:08x}", u32::from_be_bytes(*word.first_chunk().unwrap())))
        .collect();
    format!("#$\t3960835200\n#@\t{expires}\n{text}#h\t{}\n", words.join(" "))
}

/// What is logged of a leapfile is what the classic daemon logs of it.
#[test]
fn a_leapfile_is_told_of_as_the_classic_ntpd_does() {
    const DAY: i64 = 86_400;
    let Some(lab) = Lab::open(&[Package::Ntp428]) else { return };
    let (host, Some(ntpd)) = (lab.host(), our("ntpd")) else { return };
    let good = leap_list(400 * DAY + 5000);
    for (text, said) in [
        (Some(good.clone()), "loaded, expire="),
        (Some(good.replace("\t37\t", "\t38\t")), "signature mismatch"),
        (good.split("#h").next().map(str::to_owned), "no hash signature"),
        (Some(leap_list(-5000)), "expired 1 day ago"),
        (Some(leap_list(-2 * DAY - 5000)), "expired 3 days ago"),
        (Some(leap_list(5000)), "will expire in less than one day"),
        (Some(leap_list(9 * DAY + 5000)), "will expire in less than 10 days"),
        (None, "stat failed: No such file or directory"),
    ] {
        let list = host.dir().join("leap-seconds.list");
        match text {
            Some(text) => std::fs::write(&list, text).unwrap(),
            None => std::fs::remove_file(&list).unwrap(),
        }
        let log = host.dir().join("log");
        let lines = |program: &Path| {
            let conf = format!("logfile {}\nleapfile {}\n", log.display(), list.display());
            let _ = std::fs::remove_file(&log);
            let process = host.spawn(program, &["-n", "-c", &host.file("leap.conf", &conf)]);
            assert!(
                wait_until(Duration::from_secs(10), || super::daemon::probe(&host).is_some()),
                "{}",
                process.err()
            );
            process.assert_harmless();
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let own = text.lines().filter_map(|line| line.split_once("leapsecond file"));
            own.map(|(_, rest)| rest.to_owned()).collect::<Vec<_>>()
        };
        let (theirs, ours) = (lines(&Package::Ntp428.program("ntpd")), lines(&ntpd));
        assert_eq!(ours, theirs, "{said}");
        assert!(ours.iter().any(|line| line.contains(said)), "{said}: {ours:?}");
    }
}
