//! `chronyd` as a program: its configuration, command line, files and life, each fact run against 4.9 (`PEER=theirs`) and ours.

use std::fmt::Write as _;
use std::net::UdpSocket;

use super::namespace::{Host, Lab};
use super::peer::{Package, Side, side, tool};
use crate::support::conf::{Row, rows, valid};

/// A host without a resolver, with the user that Debian's chronyd becomes.
fn host(lab: &Lab) -> Host {
    let host = lab.host();
    host.own_etc();
    let ran = host
        .sh("echo _chrony:x:990:990::/:/bin/false >>/etc/passwd; echo _chrony:x:990: >>/etc/group; \
         : >/etc/resolv.conf; echo 'hosts: files dns' >/etc/nsswitch.conf; chmod 755 .");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    host
}

/// Each line without its date.
fn undated(text: &str) -> Vec<&str> {
    let is_date = |word: &str| word.len() == 20 && word.starts_with('2') && word.ends_with('Z');
    text.lines()
        .map(|line| match line.split_once(' ') {
            Some((first, rest)) if is_date(first) => rest,
            _ => line,
        })
        .collect()
}

#[test]
fn each_line_of_the_grammar() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let Some(chronyd) = tool("chronyd") else { return };
    let host = host(&lab);
    for (number, row) in rows().iter().enumerate() {
        host.file(&format!("line{number}"), &format!("{}\n", row.line));
    }
    let text = format!(
        "for n in $(seq 0 {}); do {} -p -f line$n >/dev/null 2>err; echo \"$? $n\"; cat err; done",
        rows().len() - 1,
        chronyd.display()
    );
    let script = host.file("all.sh", &text);
    // more than one minute for the original with its loader: in the background, waited for by its last line
    let mut process = host.spawn("sh", &[script.as_str()]);
    let last = format!(" {}\n", rows().len() - 1);
    let done = super::namespace::wait_until(std::time::Duration::from_secs(300), || process.has_ended());
    let out = process.out();
    assert!(done && out.contains(&last), "{out}");
    let mut wrong = String::new();
    let mut lines = out.lines().peekable();
    for (number, row) in rows().iter().enumerate() {
        let head = lines.next().unwrap();
        let code = head.strip_suffix(&format!(" {number}")).expect(head);
        let mut said = Vec::new();
        while let Some(line) =
            lines.next_if(|line| !line.ends_with(&format!(" {}", number + 1)) || line.len() > 8)
        {
            said.push(line);
        }
        let said = said.join("\n");
        let said = Row::said(undated(&said).into_iter(), &format!(" at line 1 in file line{number}"));
        let expected = if side() == Side::Ours { row.ours } else { row.theirs };
        if said != expected || (code == "1") != expected.starts_with('!') {
            let _ = writeln!(wrong, "{}: {code} {said}, not {expected}", row.line);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The example of Debian's package as it stands, and our own collection.
#[test]
fn files_of_distributions_start() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let Some(chronyd) = tool("chronyd") else { return };
    let host = host(&lab);
    let debian = Package::ChronySid.bin().unwrap().join("../root/usr/share/chrony/chrony.conf");
    let mut files = valid();
    files.push(("debian's own".to_owned(), std::fs::read_to_string(debian).unwrap()));
    host.sh("mount -t tmpfs tmpfs /var/lib; mount -t tmpfs tmpfs /var/log");
    for (name, text) in files {
        // a device and real-time priority are not for this host
        let without = ["refclock PHC", "rtcfile", "sched_priority", "lock_all", "hwtimestamp", "noclientlog"];
        let text: String = text
            .lines()
            .filter(|l| !without.iter().any(|w| l.starts_with(w)))
            .map(|l| format!("{l}\n"))
            .collect();
        let file = host.file("chrony.conf", &text);
        let ran = host.run(&chronyd, &["-x", "-d", "-t", "0", "-f", &file]);
        let lines = undated(&ran.err);
        assert!(lines.contains(&"chronyd exiting"), "{name}: {}", ran.err);
        assert!(!ran.err.contains("Fatal"), "{name}: {}", ran.err);
    }
}

#[test]
fn include_confdir_and_sourcedir() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let Some(chronyd) = tool("chronyd") else { return };
    let host = host(&lab);
    let prepare = "mkdir d1 d2 s i; echo 'cmdport 1' >i/b.conf; echo 'cmdport 2' >i/a.conf; printf 'dscp 1\n# c\n' >d1/x.conf; \
        echo 'dscp 2' >d2/x.conf; echo 'logbanner 7' >d2/w.conf; echo nonsense >d2/w.txt; echo 'port x' >d2/zz; echo 'minsources 3' >d1/.h.conf; \
        printf 'server 192.0.2.1\nbad\nallow\npool 192.0.2.2 foo\nserver 192.0.2.3' >s/a.sources; \
        echo 'include circle' >circle; for n in 1 2 3 4 5 6 7 8 9 10 11; do echo \"include n$((n+1))\" >n$n; done; echo 'port 5' >n12; cp n12 m11; \
        for n in 1 2 3 4 5 6 7 8 9 10; do echo \"include m$((n+1))\" >m$n; done; printf 'port x\n' >bad; mkdir d3; ln -s nowhere d3/q.conf; mkdir d3/r.conf";
    let ran = host.sh(prepare);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for (lines, out, err) in [
        (&["include i/*.conf", "port 9"][..], "cmdport 2\ncmdport 1\nport 9\n", ""),
        (&["confdir d1 d2"], "logbanner 7\ndscp 1\n", ""),
        (&["confdir d2 d1"], "logbanner 7\ndscp 2\n", ""),
        (&["confdir d2 none", "confdir /none"], "logbanner 7\ndscp 2\n", ""),
        (&["sourcedir s", "port 9"], "sourcedir s\nport 9\n", ""),
        (&["include none"], "", "Fatal error : Could not open none : No such file or directory\n"),
        (&["include none*"], "", ""),
        (&["include none/*"], "", "Fatal error : Could not search for files matching none/*\n"),
        (
            &["include bad"],
            "port x\n",
            "Fatal error : Could not parse port directive at line 1 in file bad\n",
        ),
        (&["include circle"], "", "Fatal error : Maximum include level reached\n"),
        (&["include n1"], "", "Fatal error : Maximum include level reached\n"),
        (&["include n3", "port 6"], "port 5\nport 6\n", ""),
    ] {
        let ran = host.run(&chronyd, &[&["-p"], lines].concat());
        let said: String = undated(&ran.err).iter().map(|l| format!("{l}\n")).collect();
        assert_eq!((ran.out.as_str(), said.as_str()), (out, err), "{lines:?}");
        assert_eq!(ran.code, Some(i32::from(!err.is_empty())), "{lines:?}");
    }
}

/// One run: arguments, what is said between the first line and the last, exit code. What only one side says is left out.
struct Case {
    prepare: &'static str,
    args: &'static [&'static str],
    said: &'static [&'static str],
    code: i32,
}

const fn case(
    prepare: &'static str,
    args: &'static [&'static str],
    said: &'static [&'static str],
    code: i32,
) -> Case {
    Case { prepare, args, said, code }
}

/// Without these lines: what every start says, and what belongs to parts that the other side has not.
const FRAME: [&str; 9] = [
    "chronyd version 4.9 starting (",
    "Disabled control of system clock",
    "Timeout reached",
    "chronyd exiting",
    "Running with root privileges",
    "Could not open command socket on ",
    "Loaded seccomp filter",
    "setrlimit() failed",
    "Option -",
];

fn check(cases: &[Case]) {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let Some(chronyd) = tool("chronyd") else { return };
    let host = host(&lab);
    for Case { prepare, args, said, code } in cases {
        let ran = host.sh(&format!("rm -rf /run/chrony /run/x; {prepare}"));
        assert_eq!(ran.code, Some(0), "{prepare}: {}", ran.err);
        let ran = host.run(&chronyd, &[&["-x", "-d", "-t", "0"], *args, &["local"]].concat());
        let lines: Vec<&str> =
            undated(&ran.err).into_iter().filter(|l| !FRAME.iter().any(|f| l.starts_with(f))).collect();
        assert_eq!((lines.as_slice(), ran.code), (*said, Some(*code)), "{prepare} {args:?}");
    }
}

#[test]
fn options_of_the_command_line() {
    check(&[
        case("", &[], &[], 0),
        case("", &["-4", "-6"], &[], 0),
        case("", &["-U", "-u", "root"], &[], 0),
        case("", &["-t", "x"], &["Fatal error : Invalid argument x"], 1),
        case("", &["-F", "3"], &["Fatal error : Unsupported filter level"], 1),
        case("", &["-F", "2"], &[], 0),
        case("", &["-F", "-1"], &[], 0),
        case("", &["-P", "101"], &["Fatal error : Bad scheduler priority: 101"], 1),
        case("", &["-P", "-1"], &["Fatal error : Bad scheduler priority: -1"], 1),
        case("", &["-P", "5x"], &[], 0),
        case("", &["-m"], &[], 0),
        case("", &["lock_all"], &[], 0),
        case("", &["-N", "99"], &["Fatal error : Could not send notification requested by -N option"], 1),
        case("", &["-N", "-1"], &[], 0),
        case("", &["-N", "x"], &["Fatal error : Invalid argument x"], 1),
        case("", &["-L", "1"], &[], 0),
        case("", &["-L", "9", "foo"], &["Fatal error : Invalid directive foo at line 1"], 1),
        case("", &["-d"], &["Debug messages missing in non-debug build"], 0),
        case("", &["-L", "-1"], &["Debug messages missing in non-debug build"], 0),
        case("", &["-u", "nobodyx"], &["Fatal error : Could not get user/group ID of nobodyx"], 1),
        case("", &["user nobodyx"], &["Fatal error : Could not get user/group ID of nobodyx"], 1),
        case(
            "",
            &["-l", "/no/such/log"],
            &["Fatal error : Could not open /no/such/log : No such file or directory"],
            1,
        ),
        case("", &["-l", "/dev/full"], &[], 0),
        case("", &["commandkey 1"], &["commandkey directive is no longer supported"], 0),
        case(
            "",
            &["ratelimit", "noclientlog"],
            &["Fatal error : Rate limiting cannot be enabled with noclientlog"],
            1,
        ),
    ]);
}

#[test]
fn pid_files() {
    const RUNNING: &str =
        "Fatal error : Another chronyd may already be running (pid=1), check /run/chrony/chronyd.pid";
    check(&[
        case(
            "mkdir -m 750 /run/chrony; chown 990:990 /run/chrony; echo 1 >/run/chrony/chronyd.pid",
            &[],
            &[RUNNING],
            1,
        ),
        case(
            "mkdir -m 750 /run/chrony; chown 990:990 /run/chrony; echo 999999 >/run/chrony/chronyd.pid",
            &[],
            &[],
            0,
        ),
        case(
            "mkdir -m 750 /run/chrony; chown 990:990 /run/chrony; echo garbage >/run/chrony/chronyd.pid",
            &[],
            &[],
            0,
        ),
        case("mkdir -m 750 /run/chrony; chown 990:990 /run/chrony; : >/run/chrony/chronyd.pid", &[], &[], 0),
        case(
            "mkdir -p /run/chrony/chronyd.pid; chown 990:990 /run/chrony; chmod 750 /run/chrony",
            &[],
            &["Fatal error : Could not remove /run/chrony/chronyd.pid : Is a directory"],
            1,
        ),
        case("", &["pidfile /x/y"], &["Fatal error : Could not open /x/y : No such file or directory"], 1),
        case("", &["pidfile /run/x"], &["Could not remove /run/x : Operation not permitted"], 0),
        case("", &["pidfile /"], &[], 0),
        case("", &["pidfile /", "pidfile /run/chrony/other"], &[], 0),
    ]);
}

/// The original goes on without the socket; ours does without one for commands, but never without the one for the time
/// (decisions.md, Daemon), in the original's words and with the reason.
#[test]
fn ports_that_are_taken() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let Some(chronyd) = tool("chronyd") else { return };
    let host = host(&lab);
    let taken = ["0.0.0.0:123", "127.0.0.1:323", "[::1]:323"];
    let _sockets = host.inside(|| taken.map(|address| UdpSocket::bind(address).unwrap()));
    let run = |lines: &[&str]| {
        let ran = host.run(
            &chronyd,
            &[&["-x", "-d", "-t", "0", "pidfile /", "bindcmdaddress /", "local"], lines].concat(),
        );
        let said: Vec<String> = undated(&ran.err)
            .into_iter()
            .filter(|line| line.contains("Could not open"))
            .map(str::to_owned)
            .collect();
        (said, ran.code)
    };
    let commands = |address: &str| format!("Could not open command socket on {address}");
    assert_eq!(run(&["cmdport 323"]), (vec![commands(taken[1]), commands(taken[2])], Some(0)));
    for lines in [["allow 10.0.0.0/8", "cmdport 0"], ["peer 192.0.2.1", "cmdport 0"]] {
        let original = format!("Could not open NTP socket on {}", taken[0]);
        let expected = match side() {
            Side::Theirs => (vec![original], Some(0)),
            Side::Ours => (vec![format!("Fatal error : {original} : Address already in use")], Some(1)),
        };
        assert_eq!(run(&lines), expected, "{lines:?}");
    }
}

#[test]
fn owners_and_modes_of_folders() {
    const DISABLED: &str = "Disabled command socket /run/chrony/chronyd.sock";
    const WRONG: &str = "Wrong permissions on /run/chrony";
    check(&[
        case(
            "mkdir -m 750 /run/chrony",
            &["pidfile /"],
            &["Wrong owner of /run/chrony (UID != 990)", DISABLED],
            0,
        ),
        case(
            "mkdir -m 750 /run/chrony; chown 990 /run/chrony",
            &["pidfile /"],
            &["Wrong owner of /run/chrony (GID != 990)", DISABLED],
            0,
        ),
        case("mkdir -m 755 /run/chrony; chown 990:990 /run/chrony", &[], &[WRONG, DISABLED], 0),
        case("mkdir -m 751 /run/chrony; chown 990:990 /run/chrony", &[], &[WRONG, DISABLED], 0),
        case("mkdir -m 770 /run/chrony; chown 990:990 /run/chrony", &[], &[], 0),
        case("mkdir -m 1700 /run/chrony; chown 990:990 /run/chrony", &[], &[], 0),
        case(
            "echo file >/run/chrony",
            &["pidfile /"],
            &["/run/chrony is not directory", "/run/chrony is not directory", DISABLED],
            0,
        ),
        case("", &["bindcmdaddress /run/x/y/sock", "pidfile /"], &[], 0),
        case(
            "",
            &["bindcmdaddress /run/sock", "pidfile /"],
            &["Wrong permissions on /run", "Disabled command socket /run/sock"],
            0,
        ),
        case("", &["bindcmdaddress /", "pidfile /"], &[], 0),
        case("", &["logdir /run/x/log"], &[], 0),
        case("echo file >/run/x", &["logdir /run/x"], &["/run/x is not directory"], 0),
        case("echo file >/run/x", &["dumpdir /run/x"], &["/run/x is not directory"], 0),
        case(
            "",
            &["logdir /proc/xx", "dumpdir /proc/yy"],
            &[
                "Could not create directory /proc/xx : No such file or directory",
                "Could not create directory /proc/yy : No such file or directory",
            ],
            0,
        ),
        case("", &["-u", "root"], &[], 0),
    ]);
}

#[test]
fn key_files() {
    const KEY: &str = "echo 1 SHA1 HEX:00112233445566778899aabbccddeeff00112233 >/run/x; ";
    const LOADED: &str = "Loaded 1 symmetric keys";
    const MISSING: &str = "Missing read access to /run/x : Permission denied";
    const WRITE: &str = "Having write access to /run/x";
    const READABLE: &str = "World-readable permissions on /run/x";
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let Some(chronyd) = tool("chronyd") else { return };
    let host = host(&lab);
    for (mode, owner, said) in [
        ("600", "0:0", &[LOADED, MISSING][..]),
        ("600", "990:990", &[LOADED, WRITE]),
        ("640", "0:990", &[LOADED]),
        ("644", "0:0", &[READABLE, LOADED]),
        ("604", "0:990", &[READABLE, LOADED, MISSING]),
        ("602", "0:0", &["World-writable permissions on /run/x", LOADED, MISSING, WRITE]),
        ("666", "0:0", &[READABLE, LOADED, WRITE]),
        ("641", "0:990", &[LOADED]),
        ("400", "990:990", &[LOADED]),
        ("000", "0:990", &[LOADED, MISSING]),
    ] {
        let ran = host.sh(&format!("{KEY} chown {owner} /run/x; chmod {mode} /run/x"));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let ran = host.run(&chronyd, &["-x", "-d", "-t", "0", "local", "keyfile /run/x"]);
        let lines: Vec<&str> =
            undated(&ran.err).into_iter().filter(|l| !FRAME.iter().any(|f| l.starts_with(f))).collect();
        assert_eq!(lines, said, "{mode} {owner}");
    }
    const GOOD: &str = "chown 0:990 /run/x; chmod 640 /run/x";
    for (keys, args, said) in [
        (
            "1 SHA1 HEX:0011\n2 MD5 short\n3 XX abc\n4 SHA256 HEX:zz\n1 MD5 abcdefghijklm\nfoo\n5\n",
            &["keyfile /run/x"][..],
            &[
                "Invalid type in key 3",
                "Could not decode key 4",
                "Could not parse key at line 6 in file /run/x",
                "Could not parse key at line 7 in file /run/x",
                "Loaded 3 symmetric keys",
                "Detected duplicate key 1",
            ][..],
        ),
        ("", &["keyfile /run/x"], &["Loaded 0 symmetric keys"]),
        ("", &["keyfile /run/none"], &["Could not open keyfile /run/none"]),
        (
            "1 SHA1 HEX:0011\n",
            &["keyfile /run/x", "server 192.0.2.1 key 7", "server 192.0.2.2 key 1"],
            &["Loaded 1 symmetric keys", "Key 7 is missing", "Key 1 is too short"],
        ),
    ] {
        let file = host.file("keys", keys);
        host.sh(&format!("cp {file} /run/x; {GOOD}"));
        let ran = host.run(&chronyd, &[&["-x", "-d", "-t", "0", "local"], args].concat());
        let lines: Vec<&str> = undated(&ran.err)
            .into_iter()
            .filter(|l| !FRAME.iter().any(|f| l.starts_with(f)) && !l.contains(" is not followed: "))
            .collect();
        assert_eq!(lines, said, "{keys}");
    }
}

/// Ours only: the script is for our daemon.
#[test]
fn the_init_script_has_the_codes_of_the_lsb() {
    let Some(lab) = Lab::open(&[]) else { return };
    let Some(chronyd) = super::peer::our("chronyd") else { return };
    let host = host(&lab);
    let script = include_str!("../../dist/sysv/chronyd")
        .replace("daemon=/usr/sbin/chronyd", &format!("daemon={}", chronyd.display()))
        .replace("lock=/var/lock/subsys/", "lock=/run/subsys/");
    host.file("chronyd", &script);
    let text = "mkdir /run/subsys; mkdir -p /etc/sysconfig; echo 'OPTIONS=\"-x -f /run/c\"' >/etc/sysconfig/chronyd; echo local >/run/c
        s() { dash ./chronyd $1 2>&1 | sed \"s/pid [0-9][0-9]*/pid N/\"; }
        c() { dash ./chronyd $1 >/dev/null 2>&1; echo \"$1 $?\"; }
        c status; s start; c start; s status; c status; ls /run/subsys; c try-restart; c restart; c status
        kill -9 $(cat /run/chrony/chronyd.pid); sleep 0.2; s status; c status; rm /run/chrony/chronyd.pid; c status
        c start; s stop; c stop; c status; c try-restart; c status; c reload; c foo; ls /run/chrony /run/subsys
        echo foo >/run/c; c start; s start; c status; setpriv --reuid 65534 --clear-groups dash ./chronyd start 2>&1; echo $?";
    let ran = host.sh(text);
    let expected = "status 3\nStarting chronyd: done\nstart 0\nchronyd (pid N) is running...\nstatus 0\nchronyd\n\
        try-restart 0\nrestart 0\nstatus 0\nchronyd dead but pid file exists\nstatus 1\nstatus 2\n\
        start 0\nStopping chronyd: done\nstop 0\nstatus 3\ntry-restart 0\nstatus 3\nreload 3\nfoo 2\n/run/chrony:\n\n/run/subsys:\n\
        start 1\nInvalid directive foo at line 1 in file /run/c\nStarting chronyd: failed\nstatus 3\n\
        chronyd: only root may start it\n4\n";
    assert_eq!(ran.out, expected, "{}", ran.err);
}
