//! The hardware clock under `chronyd`: `rtcfile`, `-s`, `rtcautotrim`, `rtcsync`, and `hwclock` beside it (issue 12).
//! Texts and the file are those of chronyd 4.9, which was taken through the same steps by hand.

use super::{Guest, Ran};

/// The RTC is 10.3 s behind the server's time.
const PREPARE: &str = r#"exec 2>&1
echo '_chrony:x:990:990::/:/bin/false' >>/etc/passwd; echo _chrony:x:990: >>/etc/group
mkdir -p /var/lib/chrony /var/log/chrony /run/chrony; chmod 750 /run/chrony; chown 990:990 /run/chrony /var/lib/chrony /var/log/chrony
date -s '2026-11-21 07:00:00' >/dev/null; hwclock -w; date -s '2026-11-21 07:00:10' >/dev/null
responder 127.0.0.1 0.3 >/dev/null 2>&1 & sleep 1
printf '%s\n' 'server 127.0.0.1 iburst minpoll 3 maxpoll 3' 'logdir /var/log/chrony' 'log rtc' 'makestep 0.1 1' >/etc/base
conf() { { cat /etc/base; printf '%s\n' "$@"; } >/etc/chrony.conf; }
start() { echo "== $*"; /usr/local/bin/chronyd -d "$@" >/tmp/said 2>&1 & }
stop() { chronyc shutdown >/dev/null; wait $!; echo "exit $?"; cut -d' ' -f2- /tmp/said; }
rtc() { sed -n 's/^rtc_time[^0-9]*//p' /proc/driver/rtc; }
"#;

fn run(text: &str) -> Option<Ran> {
    let options = ["--mem", "512", "--timeout", "300", "--cmdline", "hpet=disable", "--shift", "3"];
    let ran = Guest::new()
        .virtual_time()
        .option(&options)
        .option(&["--rtc", "2026-11-21T07:00:00"])
        .run(&format!("{PREPARE}{text}"))?;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    Some(ran)
}

/// What follows a word at the beginning of a line.
fn after<'a>(ran: &'a Ran, word: &str) -> Vec<&'a str> {
    let found: Vec<&str> =
        ran.out.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).collect();
    assert!(!found.is_empty(), "{word} is not in {}", ran.out);
    found
}

fn number(text: &str) -> f64 {
    text.trim().parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

#[test]
fn it_is_watched_set_and_asked_through_the_daemon() {
    let Some(ran) = run(r#"
conf 'rtcfile /var/lib/chrony/rtc' rtconutc; start
sleep 150; echo "data $(chronyc -c rtcdata)"; chronyc writertc; echo "file $(cat /var/lib/chrony/rtc)"
s=$(date +%s); echo "shown $(( $(date -u -d "$(hwclock -r | cut -c1-19)" +%s) - s ))"
chronyc trimrtc; sleep 20; echo "trimmed $(chronyc -c rtcdata)"; echo "file $(cat /var/lib/chrony/rtc)"
echo "clocks $(date +%T) $(rtc)"
/usr/local/bin/hwclock -s; echo "hwclock -s $?"
stop
cat /var/log/chrony/rtc.log
date -s @$(( $(date +%s) + 100 )) >/dev/null; start -s; sleep 5; stop; echo "clocks $(date +%T) $(rtc)"
hwclock -w; start; sleep 40; /usr/local/bin/hwclock -w; echo "hwclock -w $?"; echo "set $(chronyc -c rtcdata)"; stop; cat /etc/adjtime
"#)
    else {
        return;
    };
    let has = |text: &str| assert!(ran.out.contains(text), "{text}\nis not in\n{}", ran.out);
    let data: Vec<&str> = after(&ran, "data")[0].split(',').collect();
    let fast = number(data[4]);
    assert!((-11.0..-8.0).contains(&fast) && number(data[1]) >= 6.0, "{}", ran.out);
    let files = after(&ran, "file");
    let words: Vec<&str> = files[0].split(' ').collect();
    assert!(words[0] == "1" && (number(words[2]) - fast).abs() < 0.01, "{}", ran.out);
    // hwclock -r shows the RTC that the daemon holds, which is behind by so much
    assert!((number(after(&ran, "shown")[0]) - fast).abs() < 2.0, "{}", ran.out);
    has("RTC wrong by ");
    let trimmed: Vec<&str> = after(&ran, "trimmed")[0].split(',').collect();
    assert!(number(trimmed[4]).abs() < 0.05, "{}", ran.out);
    let words: Vec<&str> = files[1].split(' ').collect();
    assert!(words[0] == "1" && number(words[2]).abs() < 0.05, "{}", ran.out);
    for clocks in after(&ran, "clocks") {
        let (system, rtc) = clocks.split_once(' ').unwrap();
        assert!(apart(system, rtc) <= 1, "{clocks}: {}", ran.out);
    }
    // what needs the device itself says who holds it
    has("hwclock: Cannot access the Hardware Clock via any known method.");
    assert!(ran.out.contains("is held by chronyd (pid ") && ran.out.contains("hwclock -s 1"), "{}", ran.out);
    has("   Date (UTC) Time   RTC fast (s) Val   Est fast (s)   Slope (ppm)  Ns  Nr Meas\n");
    has("System time set from RTC");
    has("hwclock -w 0");
    let set: Vec<&str> = after(&ran, "set")[0].split(',').collect();
    assert!(number(set[4]).abs() < 0.05, "{}", ran.out);
    assert!(ran.out.ends_with("\nUTC\n"), "{}", ran.out);
    assert_eq!(ran.out.matches("exit 0\n").count(), 3, "{}", ran.out);
}

/// Seconds between two times of a day.
fn apart(one: &str, other: &str) -> i64 {
    let secs = |time: &str| time.split(':').fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap());
    (secs(one) - secs(other)).abs()
}

#[test]
fn bad_files_no_device_local_time_autotrim_and_eleven_minutes() {
    let Some(ran) = run(r#"
conf 'rtcfile /var/lib/chrony/rtc' rtcsync; start; wait $!; echo "exit $?"; cut -d' ' -f2- /tmp/said
echo garbage >/var/lib/chrony/rtc; conf 'rtcfile /var/lib/chrony/rtc'; start -s; sleep 5; stop; cat /var/lib/chrony/rtc
conf 'rtcfile /var/lib/chrony/rtc' 'rtcdevice /dev/rtc7'; start -s; sleep 4; chronyc writertc; chronyc rtcdata; stop
conf 'rtcfile /none/rtc'; start; sleep 60; chronyc writertc; stop
conf 'driftfile /var/lib/chrony/drift'; echo '1.0 2.0' >/var/lib/chrony/drift; touch -d '2026-12-01 00:00:00' /var/lib/chrony/drift
start -s -x; sleep 3; stop; echo "left $(date +%m)"
start -s; sleep 1; echo "restored $(date +%m)"; sleep 8; stop; rm /var/lib/chrony/drift
printf '0 0 0\n0\nLOCAL\n' >/etc/local; export TZ=XXX-2
conf rtconutc 'hwclockfile /etc/local'; start -s; sleep 1; echo "local $(date -u +%H)"; sleep 9; stop
conf rtconutc; start -s; sleep 1; echo "utc $(date -u +%H)"; sleep 9; stop
conf 'rtcfile /var/lib/chrony/rtc' rtconutc 'rtcautotrim 3'; rm -f /var/lib/chrony/rtc; start; sleep 240; stop; echo "clocks $(date -u +%T) $(rtc)"
hwclock --utc --set --date '2026-11-21 12:00:00 UTC'; conf rtcsync; start; sleep 1500; echo "clocks $(date -u +%T) $(rtc)"; stop
"#)
    else {
        return;
    };
    let has = |text: &str| assert!(ran.out.contains(text), "{text}\nis not in\n{}", ran.out);
    has("== \nexit 1\n");
    has("Fatal error : rtcfile directive cannot be used with rtcsync");
    has("Could not read coefficients from /var/lib/chrony/rtc\n");
    has("No valid rtcfile coefficients\n");
    has("\ngarbage\n");
    has("513 RTC driver not running\n513 RTC driver not running\n");
    has(
        "Could not open RTC device /dev/rtc7 : No such file or directory\nRTC driver could not be initialised\n",
    );
    has("514 Can't write RTC parameters\n");
    has("Could not open /none/rtc.tmp : No such file or directory\n");
    has("RTC time before last driftfile modification (ignored)\nSystem time restored from driftfile\n");
    assert_eq!((after(&ran, "left"), after(&ran, "restored")), (vec!["11"], vec!["12"]), "{}", ran.out);
    assert_eq!((after(&ran, "local"), after(&ran, "utc")), (vec!["05"], vec!["07"]), "{}", ran.out);
    has("RTC wrong by ");
    for clocks in after(&ran, "clocks") {
        let (system, rtc) = clocks.split_once(' ').unwrap();
        assert!(apart(system, rtc) <= 1, "{clocks}: {}", ran.out);
    }
    assert_eq!(ran.out.matches("exit 0\n").count(), 9, "{}", ran.out);
}
