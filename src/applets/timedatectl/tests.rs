use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::rc::Rc;

use super::*;
use crate::applets::io::Out;
use crate::applets::output::JsonMode;
use crate::sys::host::Ran;
use crate::sys::host::fake::{FakeHost, complained, said};
use crate::types::{TimeDelta, Timestamp};

/// A stream that keeps what is written.
#[derive(Clone, Default)]
struct Kept(Rc<RefCell<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How a run is set up: environment, and which streams are terminals.
#[derive(Default)]
struct Setting<'a> {
    env: &'a [(&'a str, &'a str)],
    out_is_tty: bool,
    err_is_tty: bool,
    json: bool,
}

struct Answered {
    code: Outcome,
    out: String,
    err: String,
}

fn call_with(host: &mut FakeHost, words: &[&str], setting: &Setting<'_>) -> Answered {
    let (out, err) = (Kept::default(), Kept::default());
    let mut io = Io {
        out: Out::buffered(Box::new(out.clone())),
        err: Out::unbuffered(Box::new(err.clone())),
        input: Box::new(std::io::empty()),
        in_is_tty: false,
        out_is_tty: setting.out_is_tty,
        err_is_tty: setting.err_is_tty,
        env: setting.env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    };
    let invocation = Invocation {
        program: "timedatectl".into(),
        name: "timedatectl",
        args: words.iter().map(OsString::from).collect(),
        json: setting.json.then_some(JsonMode::Short),
    };
    let code = run(&invocation, &mut io, host);
    io.out.flush();
    let text = |kept: Kept| String::from_utf8(kept.0.borrow().clone()).unwrap();
    Answered { code, out: text(out), err: text(err) }
}

fn call(host: &mut FakeHost, words: &[&str]) -> Answered {
    call_with(host, words, &Setting::default())
}

/// The line on stderr of a command that must fail with nothing on stdout.
fn complaint(host: &mut FakeHost, words: &[&str]) -> String {
    let answered = call(host, words);
    assert_eq!((answered.code, answered.out.as_str()), (Outcome::FAILURE, ""), "{words:?}: {}", answered.err);
    answered.err
}

/// A command that must succeed in silence.
fn silently(host: &mut FakeHost, words: &[&str]) {
    let answered = call(host, words);
    assert_eq!(
        (answered.code, answered.out.as_str(), answered.err.as_str()),
        (Outcome::SUCCESS, "", ""),
        "{words:?}"
    );
}

/// systemd with some units; enabling, starting and so on changes them.
#[derive(Clone)]
struct Systemd(Rc<RefCell<BTreeMap<&'static str, [String; 3]>>>);

impl Systemd {
    fn on(host: &mut FakeHost, units: &[(&'static str, &str, &str, &str)]) -> Self {
        std::fs::create_dir_all(host.root().join("run/systemd/system")).unwrap();
        let states = units.iter().map(|(unit, load, active, file)| {
            (*unit, [(*load).to_owned(), (*active).to_owned(), (*file).to_owned()])
        });
        let systemd = Self(Rc::new(RefCell::new(states.collect())));
        let shared = systemd.clone();
        host.programs = Box::new(move |words| shared.run(words));
        systemd
    }

    fn run(&self, words: &[&str]) -> Option<Ran> {
        if words[0] != "systemctl" {
            return None;
        }
        let mut units = self.0.borrow_mut();
        if words.contains(&"show") {
            let names = words.iter().filter(|word| word.ends_with(".service"));
            let blocks = names.map(|name| {
                let absent = ["not-found".to_owned(), "inactive".to_owned(), String::new()];
                let [load, active, file] = units.get(name).unwrap_or(&absent);
                format!("LoadState={load}\nActiveState={active}\nUnitFileState={file}\nEnvironment=\n")
            });
            return said(&blocks.collect::<Vec<_>>().join("\n"));
        }
        let (verb, unit) = (words[words.len() - 2], words[words.len() - 1]);
        let state = units.get_mut(unit)?;
        match verb {
            "enable" if state[2] == "bad" => {
                return complained(1, "Failed to enable unit: File /etc/x: Read-only file system\n");
            }
            "enable" if state[2] != "static" => state[2] = "enabled".into(),
            "disable" => state[2] = "disabled".into(),
            "start" if state[2] == "broken" => return complained(1, "Job for it failed.\n"),
            "start" => state[1] = "active".into(),
            "stop" => state[1] = "inactive".into(),
            _ => {}
        }
        said("")
    }

    fn state(&self, unit: &str) -> String {
        let units = self.0.borrow();
        format!("{} {}", units[unit][2], units[unit][1])
    }
}

const TIMESYNCD: (&str, &str, &str, &str) = ("systemd-timesyncd.service", "loaded", "inactive", "disabled");
/// 2030-01-02 04:04:08 UTC.
const GOLDEN: i64 = 1_893_557_048;

fn golden_host() -> FakeHost {
    let mut host = FakeHost::new(GOLDEN);
    host.write("usr/lib/systemd/ntp-units.d/80-systemd-timesync.list", "# c\n\nsystemd-timesyncd.service\n");
    Systemd::on(&mut host, &[TIMESYNCD]);
    host
}

#[test]
fn status_has_seven_lines_as_systemd_257_prints_them() {
    let mut host = golden_host();
    host.set_zone("../usr/share/zoneinfo/Europe/Paris");
    let golden = "               Local time: Wed 2030-01-02 05:04:08 CET
           Universal time: Wed 2030-01-02 04:04:08 UTC
                 RTC time: Wed 2030-01-02 04:04:08
                Time zone: Europe/Paris (CET, +0100)
System clock synchronized: no
              NTP service: inactive
          RTC in local TZ: no
";
    let answered = call(&mut host, &[]);
    assert_eq!((answered.out.as_str(), answered.err.as_str()), (golden, ""));
    // the caller's zone has no part in it, nor have the options of other verbs
    let setting = Setting { env: &[("TZ", "Asia/Tokyo"), ("COLUMNS", "40")], ..Setting::default() };
    let words = ["--adjust-system-clock", "-a", "--value", "-p", "x", "status"];
    assert_eq!(call_with(&mut host, &words, &setting).out, golden);
}

#[test]
fn a_terminal_gets_blue_labels_and_a_table_that_fits() {
    let mut host = golden_host();
    let setting = |env| Setting { env, out_is_tty: true, err_is_tty: true, ..Setting::default() };
    let answered = call_with(&mut host, &[], &setting(&[("TERM", "xterm")]));
    assert!(
        answered.out.starts_with("\x1b[0;94m               Local time:\x1b[0m Wed 2030"),
        "{}",
        answered.out
    );
    for env in [&[("TERM", "xterm"), ("NO_COLOR", "1")], &[("TERM", "dumb"), ("X", "")]] {
        assert!(call_with(&mut host, &[], &setting(env)).out.starts_with("               Local time: Wed"));
    }
    // both columns get half of what is left of a separating blank
    for (columns, label, value) in [
        (5, "S…", "W…"),
        (10, "Sys…", "Wed …"),
        (20, "System c…", "Wed 2030-…"),
        (40, "System clock synch…", "Wed 2030-01-02 04:0…"),
        (50, "System clock synchroniz…", "Wed 2030-01-02 04:04:08 …"),
        (51, "System clock synchronize…", "Wed 2030-01-02 04:04:08 …"),
        (52, "System clock synchronize…", "Wed 2030-01-02 04:04:08 U…"),
        (53, "System clock synchronized:", "Wed 2030-01-02 04:04:08 U…"),
        (54, "System clock synchronized:", "Wed 2030-01-02 04:04:08 UTC"),
    ] {
        host.columns = Some(columns);
        let out = call_with(&mut host, &[], &setting(&[("TERM", "xterm"), ("NO_COLOR", "1")])).out;
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines[4], format!("{label} no"), "{columns}");
        assert!(lines[0].ends_with(value) && lines[0].chars().count() <= columns, "{columns}: {}", lines[0]);
    }
}

#[test]
fn messages_on_a_terminal_are_coloured_and_end_in_a_carriage_return() {
    let mut host = golden_host();
    let setting = |env| Setting { env, err_is_tty: true, ..Setting::default() };
    let err = |host: &mut FakeHost, env, words: &[&str]| call_with(host, words, &setting(env)).err;
    let text = "Failed to parse NTP setting 'x': Invalid argument";
    let words = ["set-ntp", "x"];
    assert_eq!(err(&mut host, &[("TERM", "xterm")], &words), format!("\x1b[0;1;31m{text}\x1b[0m\r\n"));
    assert_eq!(err(&mut host, &[("TERM", "xterm"), ("NO_COLOR", "1")], &words), format!("{text}\r\n"));
    assert_eq!(err(&mut host, &[("TERM", "dumb")], &words), format!("{text}\n"));
    assert_eq!(err(&mut host, &[("SYSTEMD_LOG_LEVEL", "crit")], &words), "");
    assert_eq!(err(&mut host, &[("SYSTEMD_LOG_LEVEL", "2")], &words), "");
    assert_eq!(err(&mut host, &[("SYSTEMD_LOG_TARGET", "null")], &words), "");
    assert_eq!(
        err(&mut host, &[("SYSTEMD_LOG_LEVEL", "foo")], &words),
        format!("Failed to parse log level 'foo', ignoring.\n{text}\n")
    );
    assert_eq!(
        err(&mut host, &[("SYSTEMD_LOG_TARGET", "console-prefixed")], &words),
        format!("<27>{text}\n")
    );
    host.write("etc/adjtime", "0.0 0 0\n0\nLOCAL\n");
    let yellow = |env| err(&mut host, env, &["status"]).lines().next().unwrap().to_owned();
    let mut yellow = yellow;
    assert_eq!(yellow(&[("SYSTEMD_COLORS", "1")]), "\x1b[0;1;38:5:185m \x1b[0m");
    assert_eq!(yellow(&[("SYSTEMD_COLORS", "16")]), "\x1b[0;1;33m \x1b[0m");
}

#[test]
fn show_prints_properties_in_the_order_of_the_bus() {
    let mut host = golden_host();
    host.set_zone("/usr/share/zoneinfo/America/New_York");
    let all = "Timezone=America/New_York\nLocalRTC=no\nCanNTP=yes\nNTP=no\nNTPSynchronized=no\n\
               TimeUSec=Tue 2030-01-01 23:04:08 EST\nRTCTimeUSec=Tue 2030-01-01 23:04:08 EST\n";
    let mut out = |words: &[&str]| {
        let words: Vec<_> = ["show"].iter().chain(words).copied().collect();
        let answered = call(&mut host, &words);
        assert_eq!((answered.code, answered.err.as_str()), (Outcome::SUCCESS, ""));
        answered.out
    };
    assert_eq!(out(&[]), all);
    assert_eq!(out(&["--all"]), all);
    assert_eq!(out(&["-p", "NTP", "-p", "CanNTP"]), "CanNTP=yes\nNTP=no\n");
    assert_eq!(out(&["-p", "NTP,CanNTP"]), "");
    assert_eq!(out(&["-p", "NTP=no"]), "NTP=no\n");
    assert_eq!(out(&["-p", "NTP=yes"]), "");
    assert_eq!(out(&["-p", "ntp", "-p", ""]), "");
    assert_eq!(out(&["-P", "Timezone"]), "America/New_York\n");
    assert_eq!(out(&["--value", "-pTimezone=America/New_York"]), "America/New_York\n");
    assert_eq!(out(&["--value"]).lines().count(), 7);
    let setting = Setting { env: &[("TZ", "Asia/Tokyo")], ..Setting::default() };
    let tokyo = call_with(&mut host, &["show", "-p", "TimeUSec"], &setting).out;
    assert_eq!(tokyo, "TimeUSec=Wed 2030-01-02 13:04:08 JST\n");
}

#[test]
fn an_rtc_may_be_absent_busy_or_out_of_bounds() {
    let mut host = golden_host();
    for errno in [Errno::ENOENT, Errno::EBUSY, Errno::EINVAL] {
        host.rtc = Err(errno);
        assert!(call(&mut host, &[]).out.contains("\n                 RTC time: n/a\n"));
        assert!(!call(&mut host, &["show"]).out.contains("RTCTimeUSec"));
        assert!(call(&mut host, &["show", "--all"]).out.ends_with("\nRTCTimeUSec=\n"));
        assert_eq!(call(&mut host, &["show", "-P", "RTCTimeUSec"]).out, "\n");
    }
    host.rtc = Err(Errno::EACCES);
    assert_eq!(complaint(&mut host, &[]), "Failed to query server: Access denied\n");
    assert_eq!(complaint(&mut host, &["show"]), "Failed to parse bus message: Permission denied\n");
}

#[test]
fn the_zone_is_the_name_in_the_link() {
    let mut host = golden_host();
    let zone = |host: &mut FakeHost| {
        let out = call(host, &[]).out;
        let line = |n: usize| out.lines().nth(n).unwrap().split_once(": ").unwrap().1.to_owned();
        (line(3), line(0))
    };
    assert_eq!(zone(&mut host).0, "UTC (UTC, +0000)");
    for (target, shown) in [
        ("../usr/share/zoneinfo/Australia/Lord_Howe", "Australia/Lord_Howe (+11, +1100)"),
        ("/usr/share/zoneinfo/America/Sao_Paulo", "America/Sao_Paulo (-03, -0300)"),
        ("//usr//share/zoneinfo/./Asia/Tokyo", "Asia/Tokyo (JST, +0900)"),
        ("/usr/share/zoneinfo/Asia/Kolkata", "Asia/Kolkata (IST, +0530)"),
        ("/usr/share/zoneinfo/Nowhere/Gone", "n/a (UTC, +0000)"),
        ("/usr/share/zoneinfo/Etc/../Asia/Tokyo", "n/a (UTC, +0000)"),
        ("../../usr/share/zoneinfo/Asia/Tokyo", "n/a (UTC, +0000)"),
        ("/opt/z/IST", "n/a (UTC, +0000)"),
    ] {
        host.set_zone(target);
        assert_eq!(zone(&mut host).0, shown, "{target}");
    }
    // leap seconds of a right/ zone are taken off
    host.set_zone("/usr/share/zoneinfo/right/Asia/Tokyo");
    let expected = ("right/Asia/Tokyo (JST, +0900)".to_owned(), "Wed 2030-01-02 13:03:41 JST".to_owned());
    assert_eq!(zone(&mut host), expected);
    // a copied file names no zone: UTC is shown, but `show` knows what programs see
    let paris = std::fs::read(host.root().join("usr/share/zoneinfo/Europe/Paris")).unwrap();
    std::fs::remove_file(host.root().join("etc/localtime")).unwrap();
    std::fs::write(host.root().join("etc/localtime"), paris).unwrap();
    assert_eq!(zone(&mut host), ("n/a (UTC, +0000)".into(), "Wed 2030-01-02 04:04:08 UTC".into()));
    assert_eq!(call(&mut host, &["show", "-P", "TimeUSec"]).out, "Wed 2030-01-02 05:04:08 CET\n");
    assert_eq!(call(&mut host, &["show", "-p", "Timezone"]).out, "Timezone=\n");
}

#[test]
fn synchronized_is_a_matter_of_the_maximum_error() {
    let mut host = golden_host();
    for (micros, status, answer) in
        [(1000, 0x40, "yes"), (16_000_000, 0, "no"), (15_999_984, 0, "yes"), (16_000_000, 0x40, "no")]
    {
        host.max_error = TimeDelta::from_micros(micros);
        host.status = status;
        let out = call(&mut host, &["show", "-P", "NTPSynchronized"]).out;
        assert_eq!(out, format!("{answer}\n"), "{micros} {status:#x}");
    }
}

/// The users' transcript of CentOS 8; its first line lost the weekday on its way into the page.
#[test]
fn the_transcript_of_centos_8() {
    let mut host = FakeHost::new(1_636_366_819);
    host.set_zone("../usr/share/zoneinfo/America/New_York");
    host.write("usr/lib/systemd/ntp-units.d/50-chronyd.list", "chronyd.service\n");
    Systemd::on(&mut host, &[("chronyd.service", "loaded", "active", "enabled")]);
    host.max_error = TimeDelta::from_millis(20);
    let golden = "               Local time: Mon 2021-11-08 05:20:19 EST
           Universal time: Mon 2021-11-08 10:20:19 UTC
                 RTC time: Mon 2021-11-08 10:20:19
                Time zone: America/New_York (EST, -0500)
System clock synchronized: yes
              NTP service: active
          RTC in local TZ: no
";
    assert_eq!(call(&mut host, &["status"]).out, golden);
}

/// The users' transcript of RHEL 7.
#[test]
fn the_transcript_of_rhel_7() {
    let mut host = FakeHost::new(1_470_137_055);
    host.set_zone("../usr/share/zoneinfo/America/New_York");
    host.write("usr/lib/systemd/ntp-units.d/50-chronyd.list", "chronyd.service\n");
    Systemd::on(&mut host, &[("chronyd.service", "loaded", "active", "enabled")]);
    host.status = 0x2001;
    let golden = "      Local time: Tue 2016-08-02 07:24:15 EDT
  Universal time: Tue 2016-08-02 11:24:15 UTC
        RTC time: Tue 2016-08-02 11:24:15
        Timezone: America/New_York (EDT, -0400)
     NTP enabled: yes
NTP synchronized: yes
 RTC in local TZ: no
      DST active: yes
 Last DST change: DST began at
                  Sun 2016-03-13 01:59:59 EST
                  Sun 2016-03-13 03:00:00 EDT
 Next DST change: DST ends (the clock jumps one hour backwards) at
                  Sun 2016-11-06 01:59:59 EDT
                  Sun 2016-11-06 01:00:00 EST
";
    let era = |list| [("NTPBOX_COMPAT", list)];
    let rhel7 = |host: &mut FakeHost, list| {
        call_with(host, &[], &Setting { env: &era(list), ..Setting::default() }).out
    };
    assert_eq!(rhel7(&mut host, "rhel7"), golden);
    let later = golden.replace("        Timezone: ", "       Time zone: ");
    assert_eq!(rhel7(&mut host, "rhel7,systemd219"), later);
    // a file whose list ends earlier is continued by its footer
    host.set_zone("../usr/share/zoneinfo/slim/New_York");
    assert_eq!(rhel7(&mut host, "rhel7"), golden.replace("America/New_York", "slim/New_York"));
    host.write("etc/adjtime", "0.0 0 0\n0\nLOCAL\n");
    let out = rhel7(&mut host, "rhel7");
    assert!(
        out.contains("EST\n\n\x1b[1;39mWarning: The system is") && out.contains("mode can not be"),
        "{out}"
    );
    assert!(out.ends_with("         'timedatectl set-local-rtc 0'\x1b[0m.\n"), "{out}");
}

/// The specification's table, made with systemd 219's algorithm on Debian's files.
#[test]
fn changes_of_the_clocks_as_systemd_219_tells_them() {
    // noon UTC of 2026-07-15, 2026-12-25 and 2018-07-15
    let (summer, winter, brazil) = (1_784_116_800, 1_798_200_000, 1_531_656_000);
    for (zone, now, active, last, next) in [
        (
            "America/New_York",
            summer,
            "yes",
            "began at|Sun 2026-03-08 01:59:59 EST|Sun 2026-03-08 03:00:00 EDT",
            "ends (the clock jumps one hour backwards) at|Sun 2026-11-01 01:59:59 EDT|Sun 2026-11-01 01:00:00 EST",
        ),
        (
            "America/New_York",
            winter,
            "no",
            "ended at|Sun 2026-11-01 01:59:59 EDT|Sun 2026-11-01 01:00:00 EST",
            "begins (the clock jumps one hour forward) at|Sun 2027-03-14 01:59:59 EST|Sun 2027-03-14 03:00:00 EDT",
        ),
        (
            "Europe/Paris",
            summer,
            "yes",
            "began at|Sun 2026-03-29 01:59:59 CET|Sun 2026-03-29 03:00:00 CEST",
            "ends (the clock jumps one hour backwards) at|Sun 2026-10-25 02:59:59 CEST|Sun 2026-10-25 02:00:00 CET",
        ),
        (
            "Australia/Lord_Howe",
            summer,
            "no",
            "ended at|Sun 2026-04-05 01:59:59 +11|Sun 2026-04-05 01:30:00 +1030",
            "begins (the clock jumps 30 minutes forward) at|Sun 2026-10-04 01:59:59 +1030|Sun 2026-10-04 02:30:00 +11",
        ),
        (
            "Europe/Kyiv",
            summer,
            "yes",
            "began at|Sun 2026-03-29 02:59:59 EET|Sun 2026-03-29 04:00:00 EEST",
            "ends (the clock jumps one hour backwards) at|Sun 2026-10-25 03:59:59 EEST|Sun 2026-10-25 03:00:00 EET",
        ),
        (
            "America/Sao_Paulo",
            brazil,
            "no",
            "ended at|Sat 2018-02-17 23:59:59 -02|Sat 2018-02-17 23:00:00 -03",
            "begins (the clock jumps one hour forward) at|Sat 2018-11-03 23:59:59 -03|Sun 2018-11-04 01:00:00 -02",
        ),
        (
            "America/Sao_Paulo",
            summer,
            "no",
            "ended at|Sat 2019-02-16 23:59:59 -02|Sat 2019-02-16 23:00:00 -03",
            "ends (the clock jumps ) at|Tue 2038-01-19 00:14:06 -03|Tue 2038-01-19 00:14:07 -03",
        ),
        (
            "Europe/Dublin",
            summer,
            "no",
            "ended at|Sun 2026-03-29 00:59:59 GMT|Sun 2026-03-29 02:00:00 IST",
            "begins (the clock jumps one hour backwards) at|Sun 2026-10-25 01:59:59 IST|Sun 2026-10-25 01:00:00 GMT",
        ),
        ("Asia/Shanghai", summer, "n/a", "", ""),
        ("Asia/Kolkata", summer, "n/a", "", ""),
        ("UTC", summer, "n/a", "", ""),
    ] {
        let mut host = FakeHost::new(now);
        host.set_zone(&format!("/usr/share/zoneinfo/{zone}"));
        let setting = Setting { env: &[("NTPBOX_COMPAT", "rhel7")], ..Setting::default() };
        let out = call_with(&mut host, &[], &setting).out;
        let dst = out.split_once("      DST active: ").unwrap().1;
        let lines = |text: &str| text.replace('|', "\n                  ");
        let expected = match active {
            "n/a" => "n/a\n".to_owned(),
            active => format!(
                "{active}\n Last DST change: DST {}\n Next DST change: DST {}\n",
                lines(last),
                lines(next)
            ),
        };
        assert_eq!(dst, expected, "{zone} {now}");
    }
}

/// 2026-07-15 08:20:30 UTC.
const NOON_IN_PARIS: i64 = 1_784_103_630;

fn parsed(text: &str) -> Result<i64, span::Refused> {
    let host = FakeHost::new(0);
    let paris = zoneinfo::load(host.root(), "Europe/Paris").unwrap();
    let named = |name: &str| match name {
        // files that Debian had when the golden was made
        "EST" => crate::sys::tz::Zone::from_posix("EST5"),
        "GMT" => crate::sys::tz::Zone::from_posix("GMT0"),
        name => zoneinfo::load(host.root(), name),
    };
    let context =
        time_spec::Context { now: Timestamp::from_unix(NOON_IN_PARIS, 0), zone: &paris, named: &named };
    time_spec::parse(text, &context)
}

#[test]
fn times_are_read_as_systemd_257_reads_them() {
    let golden = include_str!("../../../tests/fixtures/timedatectl/timestamps-257.txt");
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in golden.lines().filter(|line| !line.starts_with('#')) {
        let (text, expected) = line.split_once('\t').unwrap();
        let actual = match parsed(text) {
            Ok(micros) if micros % 1_000_000 == 0 => format!("{}", micros / 1_000_000),
            Ok(micros) => format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000),
            Err(refused) => format!("! {}", refused.reason()),
        };
        count += 1;
        if actual != expected {
            wrong.push(format!("{text:?}: expected {expected}, got {actual}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 150, "{count}");
}

#[test]
fn relative_times_count_from_now() {
    for (text, seconds) in [
        ("now", 0),
        ("+5min", 300),
        ("+5 min", 300),
        ("5min left", 300),
        ("-5min", -300),
        ("5min ago", -300),
        ("+90", 90),
        ("+1h30min", 5400),
        ("+1.5h", 5400),
        ("+1M", 2_629_800),
        ("+1m", 60),
        ("+1w", 604_800),
        ("+1y", 31_557_600),
        ("2 months 2 days ago", -5_432_400),
        ("+1000000h", 3_600_000_000),
    ] {
        assert_eq!(parsed(text), Ok((NOON_IN_PARIS + seconds) * 1_000_000), "{text}");
    }
}

#[test]
fn set_time_sets_both_clocks() {
    let mut host = golden_host();
    host.set_zone("/usr/share/zoneinfo/Europe/Paris");
    silently(&mut host, &["set-time", "2030-01-02 03:04:05"]);
    assert_eq!((host.now, host.rtc), (Timestamp::from_unix(1_893_549_845, 0), Ok(1_893_549_845)));
    host.write("etc/adjtime", "0.0 0 0\n0\nLOCAL\n");
    silently(&mut host, &["set-time", "--", "-5min"]);
    assert_eq!((host.now.secs(), host.rtc), (1_893_549_545, Ok(1_893_549_545 + 3600)));
    host.rtc = Err(Errno::ENOENT);
    silently(&mut host, &["set-time", "12:00"]);
    for (words, line) in [
        (["set-time", "bogus"].as_slice(), "Failed to parse time specification 'bogus': Invalid argument"),
        (&["set-time", ""], "Failed to parse time specification '': Invalid argument"),
        (
            &["set-time", "1969-12-31"],
            "Failed to parse time specification '1969-12-31': Numerical result out of range",
        ),
        (&["set-time", "@0"], "Failed to set time: Invalid absolute time"),
        (&["set-time", "1970-01-01 00:00:00 UTC"], "Failed to set time: Invalid absolute time"),
        (&["set-time", "9999-12-30"], "Failed to set time: Failed to set local time: Invalid argument"),
        (&["set-time", "2030-01-02", "03:04:05"], "Too many arguments."),
        (&["set-time"], "Too few arguments."),
    ] {
        let before = host.now;
        assert_eq!(complaint(&mut host, words), format!("{line}\n"), "{words:?}");
        assert_eq!(host.now, before);
    }
    host.clock_error = Some(Errno::EPERM);
    let line = "Failed to set time: Failed to set local time: Operation not permitted\n";
    assert_eq!(complaint(&mut host, &["set-time", "12:00"]), line);
}

#[test]
fn set_time_is_refused_while_a_service_keeps_the_time() {
    let mut host = golden_host();
    Systemd::on(&mut host, &[("systemd-timesyncd.service", "loaded", "activating", "disabled")]);
    host.privileged = false;
    let line = "Failed to set time: Automatic time synchronization is enabled\n";
    assert_eq!(complaint(&mut host, &["set-time", "12:00"]), line);
    assert_eq!(host.now.secs(), GOLDEN);
}

#[test]
fn set_timezone_replaces_the_link() {
    let mut host = golden_host();
    silently(&mut host, &["set-timezone", "Europe/Paris"]);
    assert_eq!(host.zone_link().as_deref(), Some("../usr/share/zoneinfo/Europe/Paris"));
    assert_eq!(host.kernel_zone, Some(-60));
    assert_eq!(host.read("etc/timezone"), None);
    host.write("etc/timezone", "Etc/UTC\n");
    host.write("etc/adjtime", "0.0 0 0\n0\nLOCAL\n");
    silently(&mut host, &["set-timezone", "Asia/Tokyo"]);
    assert_eq!(host.read("etc/timezone").as_deref(), Some("Asia/Tokyo\n"));
    assert_eq!((host.kernel_zone, host.rtc), (Some(-540), Ok(GOLDEN + 9 * 3600)));
    silently(&mut host, &["set-timezone", "UTC"]);
    assert_eq!(host.zone_link().as_deref(), Some("../usr/share/zoneinfo/UTC"));
    let leftovers = std::fs::read_dir(host.root().join("etc")).unwrap();
    assert!(leftovers.flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with('.')));
    for bad in [
        "Bogus/Zone",
        "../../etc/passwd",
        "/Europe/Paris",
        "Europe//Paris",
        "Europe/",
        "Europe",
        "",
        "README.md",
    ] {
        let line = format!("Failed to set time zone: Invalid or not installed time zone '{bad}'\n");
        assert_eq!(complaint(&mut host, &["set-timezone", bad]), line);
    }
    assert_eq!(host.zone_link().as_deref(), Some("../usr/share/zoneinfo/UTC"));
}

#[test]
fn utc_needs_no_file() {
    let mut host = golden_host();
    host.set_zone("/usr/share/zoneinfo/Asia/Tokyo");
    std::fs::remove_file(host.root().join("usr/share/zoneinfo")).unwrap();
    silently(&mut host, &["set-timezone", "UTC"]);
    assert_eq!(host.zone_link(), None);
    assert_eq!(call(&mut host, &["show", "-P", "Timezone"]).out, "UTC\n");
    assert_eq!(call(&mut host, &["list-timezones"]).out, "UTC\n");
}

#[test]
fn who_may_not_is_told_last() {
    let mut host = golden_host();
    host.privileged = false;
    host.set_zone("/usr/share/zoneinfo/Europe/Paris");
    let asked = "Interactive authentication required.\n";
    assert_eq!(complaint(&mut host, &["set-timezone", "UTC"]), format!("Failed to set time zone: {asked}"));
    assert_eq!(complaint(&mut host, &["set-ntp", "0"]), format!("Failed to set ntp: {asked}"));
    assert_eq!(complaint(&mut host, &["set-time", "12:00"]), format!("Failed to set time: {asked}"));
    assert!(
        complaint(&mut host, &["set-local-rtc", "1"])
            .ends_with(&format!("use RTC in UTC\nFailed to set local RTC: {asked}"))
    );
    // what changes nothing needs no right
    silently(&mut host, &["set-timezone", "Europe/Paris"]);
    silently(&mut host, &["set-local-rtc", "no"]);
}

#[test]
fn set_local_rtc_writes_adjtime_and_one_clock() {
    // Shanghai, as in the original's golden run
    let mut host = golden_host();
    host.set_zone("/usr/share/zoneinfo/Asia/Shanghai");
    let warning = format!("{}\n", render::SETTING_LOCAL_RTC);
    let set = |host: &mut FakeHost, words: &[&str]| {
        let answered = call(host, words);
        assert_eq!((answered.code, answered.out.as_str()), (Outcome::SUCCESS, ""));
        assert_eq!(answered.err, if words.contains(&"1") { warning.as_str() } else { "" });
        (host.now.secs() - GOLDEN, host.rtc.unwrap() - GOLDEN)
    };
    let hours = 3600;
    assert_eq!(set(&mut host, &["set-local-rtc", "1"]), (0, 8 * hours));
    assert_eq!(host.read("etc/adjtime").as_deref(), Some("0.0 0 0\n0\nLOCAL\n"));
    assert_eq!(host.kernel_zone, Some(-480));
    let answered = call(&mut host, &[]);
    assert!(answered.out.ends_with("          RTC in local TZ: yes\n"));
    assert_eq!(answered.err, format!("{}\n", render::LOCAL_RTC));
    assert!(answered.err.starts_with(" \nWarning: The system is configured"));
    assert_eq!(set(&mut host, &["set-local-rtc", "0"]), (0, 0));
    assert_eq!(host.read("etc/adjtime"), None);
    assert_eq!(set(&mut host, &["--adjust-system-clock", "set-local-rtc", "1"]), (-8 * hours, 0));
    assert_eq!(set(&mut host, &["--adjust-system-clock", "set-local-rtc", "1"]), (-8 * hours, 0));
    assert_eq!(set(&mut host, &["--adjust-system-clock", "set-local-rtc", "0"]), (0, 0));
    host.write("etc/adjtime", "1.5 1700000000 0.1\n1700000000\nLOCAL\nextra\n");
    assert_eq!(set(&mut host, &["set-local-rtc", "off"]), (0, 0));
    assert_eq!(host.read("etc/adjtime").as_deref(), Some("1.5 1700000000 0.1\n1700000000\nUTC\nextra\n"));
    let line = "Failed to parse local RTC setting 'bogus': Invalid argument\n";
    assert_eq!(complaint(&mut host, &["set-local-rtc", "bogus"]), line);
}

#[test]
fn only_an_exact_third_line_is_local() {
    let mut host = golden_host();
    for (text, local) in [
        ("0.0 0 0\n0\nLOCAL", "yes"),
        ("\n\nLOCAL\nx", "yes"),
        ("0.0 0 0\n0\nlocal\n", "no"),
        ("0.0 0 0\n0\nLOCAL \n", "no"),
        ("LOCAL\n", "no"),
        ("", "no"),
    ] {
        host.write("etc/adjtime", text);
        assert_eq!(call(&mut host, &["show", "-P", "LocalRTC"]).out, format!("{local}\n"), "{text:?}");
    }
}

#[test]
fn time_zones_are_listed_from_tzdata() {
    let mut host = golden_host();
    std::fs::remove_file(host.root().join("usr/share/zoneinfo")).unwrap();
    for name in ["Europe/Paris", "Etc/UTC", "W-SU"] {
        host.write(&format!("usr/share/zoneinfo/{name}"), "TZif");
    }
    host.write("usr/share/zoneinfo/zone1970.tab", "# c\nFR\t+4852+00220\tEurope/Paris\tx\nXX\tbroken\n");
    assert_eq!(call(&mut host, &["list-timezones"]).out, "Europe/Paris\nUTC\n");
    host.write(
        "usr/share/zoneinfo/tzdata.zi",
        "# version x\nR A 1 o\nZ Europe/Paris 0:9:21 - LMT\n0 x\nL Europe/Paris W-SU\nL Europe/Paris Not/Installed\nl Etc/UTC UTC\nz Etc/UTC 0\n",
    );
    assert_eq!(call(&mut host, &["list-timezones"]).out, "Etc/UTC\nEurope/Paris\nUTC\nW-SU\n");
    assert_eq!(complaint(&mut host, &["list-timezones", "x"]), "Too many arguments.\n");
}

#[test]
fn set_ntp_switches_the_units_that_timedated_would() {
    let units = [
        ("a.service", "loaded", "inactive", "enabled"),
        ("b.service", "loaded", "inactive", "disabled"),
        ("c.service", "loaded", "active", "disabled"),
        ("m.service", "masked", "inactive", "masked"),
        ("other.service", "loaded", "active", "enabled"),
    ];
    let mut host = FakeHost::new(GOLDEN);
    host.write("usr/lib/systemd/ntp-units.d/50-x.list", "other.service\n");
    host.write("etc/systemd/ntp-units.d/50-x.list", "");
    host.write("run/systemd/ntp-units.d/10-b.list", "m.service\n b.service \nbad name\nt@1.service\n");
    host.write("usr/lib/systemd/ntp-units.d/20-ac.list", "a.service\nb.service\nc.service\ngone.service\n");
    let systemd = Systemd::on(&mut host, &units);
    let answered = call(&mut host, &["set-ntp", "TRUE"]);
    assert_eq!((answered.code, answered.out.as_str()), (Outcome::SUCCESS, ""));
    assert_eq!(answered.err, "timedatectl: b.service enabled and started by systemd\n");
    let states = |names: &[&str]| names.iter().map(|name| systemd.state(name)).collect::<Vec<_>>();
    let names = ["a.service", "b.service", "c.service", "other.service"];
    assert_eq!(
        states(&names),
        ["disabled inactive", "enabled active", "disabled inactive", "enabled active"]
    );
    assert_eq!(call(&mut host, &["set-ntp", "0"]).code, Outcome::SUCCESS);
    assert_eq!(
        states(&names),
        ["disabled inactive", "disabled inactive", "disabled inactive", "enabled active"]
    );
    // the variable replaces the lists
    let setting = Setting {
        env: &[("SYSTEMD_TIMEDATED_NTP_SERVICES", "gone.service:c.service")],
        ..Setting::default()
    };
    assert_eq!(call_with(&mut host, &["set-ntp", "1"], &setting).code, Outcome::SUCCESS);
    assert_eq!(states(&["c.service"]), ["enabled active"]);
    let line = "Failed to parse NTP setting 'enabled': Invalid argument\n";
    assert_eq!(complaint(&mut host, &["set-ntp", "enabled"]), line);
}

#[test]
fn a_unit_that_cannot_be_enabled_makes_room_for_the_next() {
    let mut host = FakeHost::new(GOLDEN);
    host.write("usr/lib/systemd/ntp-units.d/10.list", "a.service\nb.service\n");
    let systemd = Systemd::on(
        &mut host,
        &[("a.service", "loaded", "active", "bad"), ("b.service", "loaded", "inactive", "static")],
    );
    assert_eq!(call(&mut host, &["set-ntp", "1"]).code, Outcome::SUCCESS);
    assert_eq!(
        (systemd.state("a.service"), systemd.state("b.service")),
        ("bad inactive".into(), "static active".into())
    );
    Systemd::on(&mut host, &[("a.service", "loaded", "active", "bad")]);
    let line = "Failed to set ntp: File /etc/x: Read-only file system\n";
    assert_eq!(complaint(&mut host, &["set-ntp", "1"]), line);
    // a unit that does not start is only remarked on
    let systemd = Systemd::on(&mut host, &[("a.service", "loaded", "inactive", "broken")]);
    systemd.0.borrow_mut().get_mut("a.service").unwrap()[2] = "enabled".into();
    assert_eq!(call(&mut host, &["set-ntp", "1"]).code, Outcome::SUCCESS);
}

#[test]
fn without_a_unit_there_is_nothing_to_switch() {
    let mut host = FakeHost::new(GOLDEN);
    Systemd::on(&mut host, &[TIMESYNCD]);
    for word in ["1", "0"] {
        assert_eq!(complaint(&mut host, &["set-ntp", word]), "Failed to set ntp: NTP not supported\n");
    }
    assert!(call(&mut host, &[]).out.contains("\n              NTP service: n/a\n"));
    host.write("usr/lib/systemd/ntp-units.d/80.list", "systemd-timesyncd.service\n");
    Systemd::on(&mut host, &[("systemd-timesyncd.service", "masked", "inactive", "masked")]);
    assert!(call(&mut host, &[]).out.contains("\n              NTP service: n/a\n"));
}

#[test]
fn other_hosts_are_refused() {
    let mut host = golden_host();
    assert!(complaint(&mut host, &["-H", "root@x"]).contains("run: ssh root@x timedatectl"));
    assert!(complaint(&mut host, &["-M", "box", "set-ntp", "x"]).contains("machinectl shell box"));
    let line = "Failed to connect to system scope bus via machine transport: Invalid argument\n";
    assert_eq!(complaint(&mut host, &["-M", ""]), line);
    for local in [".host", "root@.host"] {
        assert_eq!(call(&mut host, &["-M", local]).code, Outcome::SUCCESS);
    }
}

#[test]
fn json_says_the_same() {
    let mut host = golden_host();
    host.set_zone("/usr/share/zoneinfo/Europe/Paris");
    let json = |host: &mut FakeHost, words: &[&str]| {
        let answered = call_with(host, words, &Setting { json: true, ..Setting::default() });
        (serde_json::from_str::<serde_json::Value>(&answered.out).unwrap(), answered.err)
    };
    let (status, _) = json(&mut host, &[]);
    assert_eq!(status["schema"], "ntpbox/timedatectl.status/1");
    assert_eq!(status["data"]["clock"]["time"], "2030-01-02T04:04:08.000000000Z");
    assert_eq!(status["data"]["clock"]["utc_offset_s"], 3600);
    assert_eq!(status["data"]["timezone"], "Europe/Paris");
    assert_eq!(status["data"]["dst"]["next"]["shift_s"], 3600);
    assert_eq!(status["data"]["ntp"]["services"][0]["name"], "systemd-timesyncd.service");
    let (change, err) = json(&mut host, &["set-ntp", "1"]);
    assert_eq!(
        (&change["data"]["verb"], &change["data"]["ntp"]["active"]),
        (&"set-ntp".into(), &true.into())
    );
    assert_eq!(change["messages"][0]["text"], "systemd-timesyncd.service enabled and started by systemd");
    assert!(err.starts_with("timedatectl: systemd-timesyncd.service enabled"));
    let (refused, err) = json(&mut host, &["set-time", "12:00"]);
    assert_eq!((&refused["ok"], &refused["error"]["code"]), (&false.into(), &"ntp-active".into()));
    assert_eq!(refused["error"]["legacy"], "Failed to set time: Automatic time synchronization is enabled");
    assert_eq!(refused["error"]["hint"], "timedatectl set-ntp 0");
    assert!(!err.is_empty());
}

/// What busctl prints of systemd-timesyncd after a first answer.
fn timesyncd(message: &str) -> String {
    format!(
        r#"{{"type":"a{{sv}}","data":[{{"LinkNTPServers":{{"type":"as","data":[]}},"SystemNTPServers":{{"type":"as","data":["127.0.0.1"]}},"RuntimeNTPServers":{{"type":"as","data":[]}},"FallbackNTPServers":{{"type":"as","data":["0.debian.pool.ntp.org","1.debian.pool.ntp.org"]}},"ServerName":{{"type":"s","data":"127.0.0.1"}},"ServerAddress":{{"type":"(iay)","data":[2,[127,0,0,1]]}},"RootDistanceMaxUSec":{{"type":"t","data":5000000}},"PollIntervalMinUSec":{{"type":"t","data":32000000}},"PollIntervalMaxUSec":{{"type":"t","data":2048000000}},"PollIntervalUSec":{{"type":"t","data":64000000}},"NTPMessage":{{"type":"(uuuuittayttttbtt)","data":{message}}},"Frequency":{{"type":"x","data":0}}}}]}}"#
    )
}

#[test]
fn timesync_status_as_systemd_257_prints_it() {
    let mut host = golden_host();
    // T1 … T4 such that the offset is 5.156 ms and the delay 13.433 ms
    let (t1, t4) = (1_795_247_756_000_000_u64, 1_795_247_756_023_433_u64);
    let (t2, t3) = (t1 + 11_872, t1 + 21_872);
    let message = format!("[0,4,4,2,-24,15289,2090,[192,0,2,7],{t1},{t2},{t3},{t4},false,1,0]");
    let answer = timesyncd(&message);
    host.programs = Box::new(move |words| if words[0] == "busctl" { said(&answer) } else { None });
    let golden = "       Server: 127.0.0.1 (127.0.0.1)
Poll interval: 1min 4s (min: 32s; max 34min 8s)
         Leap: normal
      Version: 4
      Stratum: 2
    Reference: C0000207
    Precision: 1us (-24)
Root distance: 9.734ms (max: 5s)
       Offset: +5.155ms
        Delay: 13.433ms
       Jitter: 0
 Packet count: 1
    Frequency: +0.000ppm
";
    assert_eq!(call(&mut host, &["timesync-status"]).out, golden);
    let shown = "SystemNTPServers=127.0.0.1\nFallbackNTPServers=0.debian.pool.ntp.org 1.debian.pool.ntp.org\n\
        ServerName=127.0.0.1\nServerAddress=127.0.0.1\nRootDistanceMaxUSec=5s\nPollIntervalMinUSec=32s\n\
        PollIntervalMaxUSec=34min 8s\nPollIntervalUSec=1min 4s\n\
        NTPMessage={ Leap=0, Version=4, Mode=4, Stratum=2, Precision=-24, RootDelay=15.289ms, RootDispersion=2.090ms, \
        Reference=C0000207, OriginateTimestamp=Sat 2026-11-21 07:55:56 UTC, ReceiveTimestamp=Sat 2026-11-21 07:55:56 UTC, \
        TransmitTimestamp=Sat 2026-11-21 07:55:56 UTC, DestinationTimestamp=Sat 2026-11-21 07:55:56 UTC, Ignored=no, \
        PacketCount=1, Jitter=0 }\nFrequency=0\n";
    assert_eq!(call(&mut host, &["show-timesync"]).out, shown);
    assert_eq!(host.calls.iter().filter(|c| !c.contains("--auto-start=no")).count(), 0);
    let before =
        timesyncd("[0,0,0,0,0,0,0,[0,0,0,0],0,0,18444535084909551616,18444535084909551616,false,0,0]");
    host.programs = Box::new(move |words| if words[0] == "busctl" { said(&before) } else { None });
    let golden = "       Server: 127.0.0.1 (127.0.0.1)
Poll interval: 1min 4s (min: 32s; max 34min 8s)
 Packet count: 0
";
    assert_eq!(call(&mut host, &["timesync-status"]).out, golden);
    assert!(!call(&mut host, &["show-timesync", "--all"]).out.contains("NTPMessage"));
    assert!(call(&mut host, &["show-timesync", "--all"]).out.contains("RuntimeNTPServers=\n"));
}

#[test]
fn timesync_that_does_not_answer() {
    let mut host = golden_host();
    let alias = "dbus-org.freedesktop.timesync1.service";
    assert_eq!(
        complaint(&mut host, &["timesync-status"]),
        format!("Failed to query server: Unit {alias} not found.\n")
    );
    let line = "Failed to parse bus message: No such file or directory\n";
    assert_eq!(complaint(&mut host, &["show-timesync"]), line);
    Systemd::on(&mut host, &[("systemd-timesyncd.service", "masked", "inactive", "masked")]);
    assert_eq!(complaint(&mut host, &["show-timesync"]), "Failed to parse bus message: File exists\n");
    let line =
        "Failed to get ifindex of interfaces lo: Unit dbus-org.freedesktop.network1.service not found.\n";
    assert_eq!(complaint(&mut host, &["ntp-servers", "lo", "1.2.3.4"]), line);
    assert_eq!(complaint(&mut host, &["revert", "lo"]), line);
}

#[test]
fn network_interfaces_go_to_networkd() {
    let mut host = golden_host();
    host.programs = Box::new(|words| match words {
        [.., "GetLinkByName", "s", "eth0"] => said(r#"{"type":"io","data":[7,"/x"]}"#),
        [.., "GetLinkByName", "s", _] => complained(1, "Call failed: Link nosuch not known\n"),
        _ => said(""),
    });
    silently(&mut host, &["ntp-servers", "eth0", "192.0.2.1", "ntp.example"]);
    assert!(host.calls.last().unwrap().ends_with("Manager SetLinkNTP ias 7 2 192.0.2.1 ntp.example"));
    silently(&mut host, &["revert", "3"]);
    assert!(host.calls.last().unwrap().ends_with("Manager RevertLinkNTP i 3"));
    let line = "Failed to get ifindex of interfaces nosuch: Link nosuch not known\n";
    assert_eq!(complaint(&mut host, &["revert", "nosuch"]), line);
}
