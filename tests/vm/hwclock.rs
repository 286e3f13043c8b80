//! `hwclock` on a real kernel's `rtc_cmos`, beside util-linux's own (issue 12, "Must show").
//!
//! `hpet=disable`: an emulated HPET delivers the update interrupt up to 15.6 ms late (64 Hz), which hides everything else. The instruction
//! clock is fixed (`--shift`), so that a busy machine does not change the guest's speed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::{Guest, Ran};
use crate::asked::{asked_for, said, skipped};

/// util-linux unpacked: its folder, to be shared with the guest; `None` when it cannot be had.
fn util_linux() -> Option<String> {
    // one at a time: the first use fetches
    static HAD: OnceLock<Option<String>> = OnceLock::new();
    if !asked_for("vm") {
        return None;
    }
    let had = HAD.get_or_init(fetch_util_linux).clone();
    if had.is_none() {
        skipped("util-linux-extra@trixie cannot be had");
    }
    had
}

fn fetch_util_linux() -> Option<String> {
    let get = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/get");
    let output = Command::new(get).arg("util-linux-extra@trixie").output().ok()?;
    let bin = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    bin.strip_suffix("/bin").filter(|_| output.status.success()).map(ToOwned::to_owned)
}

/// Runs shell text with `$O` our hwclock and `$T` theirs.
fn beside_util_linux(text: &str) -> Option<Ran> {
    let folder = util_linux()?;
    let parent = Path::new(&folder).parent()?.display().to_string();
    let text = format!(
        "mkdir -p {parent}; ln -s /run/payload {folder}; export PEER_CLOCK=1
         O=/usr/local/bin/hwclock T={folder}/bin/hwclock
         {text}"
    );
    Guest::new()
        .virtual_time()
        .option(&["--share", &folder, "--mem", "512", "--timeout", "900", "--cmdline", "hpet=disable"])
        .option(&["--rtc", "2026-11-21T07:00:00", "--shift", "3"])
        .run(&text)
}

/// After `-w`, the error of `-r` (time shown minus system time at its start): ours must be within 2 ms of util-linux's for every pair of
/// writer and reader.
#[test]
fn ours_and_util_linux_write_and_read_the_same_second() {
    let Some(ran) = beside_util_linux(
        r#"m() { rm -f /etc/adjtime; $1 -w || exit 1; usleep $(( (RANDOM + RANDOM * 32768) % 1000000 )); $2 -r -v > o || exit 2
              s=$(sed -n 's/^System Time: //p' o); l=$(tail -n 1 o); f=${l#*.}
              echo "$(date -u -d "${l%.*}" +%s).${f%%+*} $s"; }
           for i in 1 2 3 4 5 6 7 8 9 10; do
             echo "OO $(m $O $O)"; echo "OT $(m $O $T)"; echo "TO $(m $T $O)"; echo "TT $(m $T $T)"
           done"#,
    ) else {
        return;
    };
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut errors: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for line in ran.out.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let [pair, shown, started] = words[..] else { panic!("{ran:?}") };
        errors.entry(pair).or_default().push(micros(shown) - micros(started));
    }
    let median = |pair: &str| {
        let mut all = errors[pair].clone();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let theirs = median("TT");
    for pair in ["OO", "OT", "TO"] {
        assert!(
            (median(pair) - theirs).abs() < 2000,
            "{pair} {} us, TT {theirs} us: {errors:?}",
            median(pair)
        );
    }
}

/// µs of `1795247285.799739`.
fn micros(text: &str) -> i64 {
    let (secs, fraction) = text.split_once('.').unwrap();
    secs.parse::<i64>().unwrap() * 1_000_000 + fraction.parse::<i64>().unwrap()
}

/// What each function leaves behind, in numbers that do not depend on when it ran: exit code, the kernel's zone by what a first
/// `--systz` does to the clock, clock − RTC and clock − start and adjtime's times relative to the start, in units of 10 s.
const STATES: &str = r#"
    export TZ=CET-1CEST,M3.5.0,M10.5.0/3
    st() { awk -v c=$(date +%s) -v r=$(cat /sys/class/rtc/rtc0/since_epoch) -v t=$T0 \
             'function u(x, n) { return int(x / n + 1000000.5) - 1000000 } BEGIN { printf "clock-rtc %d clock-start %d ", u(c - r, 10), u(c - t, 10) }'
           [ -e /etc/adjtime ] && awk -v t=$T0 'function u(x, n) { return int(x / n + 1000000.5) - 1000000 }
             { for (i = 1; i <= NF; i++) { v = $i
                 if (v ~ /^[0-9]+$/ && v + 0 > 1000000000) v = "start" u(v - t, 10); else if (NR == 1) v = sprintf("%.0f", v); printf "%s ", v } }' /etc/adjtime
           echo; }
    c() { n=$1; shift; T0=$(date +%s); "$@" >log 2>&1; printf '%s' "$n: $? $(wc -l <log) lines "; st; }
    adj() { now=$(date +%s); printf "$1 $((now-$2)) $3\n$((now-$4))\n$5\n" > /etc/adjtime; }
    c first $B $FIRST
    c -w-u $B -w -u; rm -f /etc/adjtime
    c -w $B -w; rm -f /etc/adjtime
    c -w-l $B -w -l; c -w-again $B -w
    adj 2.0 86400 0.0 86400 LOCAL; c adjust+2 $B -a
    adj -1.5 86400 0.0 86400 LOCAL; c adjust-1.5 $B -a
    adj 0.5 86400 0.0 86400 LOCAL; c adjust+0.5 $B -a
    rm -f /etc/adjtime; c adjust-l $B -a -l
    $B -w -u; adj 1.0 172800 0.25 259200 UTC; date -s @$(($(date +%s) + 40)) >/dev/null; c learn $B -w --update-drift
    adj 0.0 172800 0.25 259200 UTC; c learn-set $B --set --date '+40 seconds' --update-drift
    adj 0.0 172800 0.25 259200 UTC; c set $B --set --date '+10 days' -l
    adj 100.0 86400 0.0 86400 UTC; $B -w -u --noadjfile; c hctosys-drift $B -s
    adj 0.0 86400 0.0 86400 LOCAL; c systz $B --systz; c systz-u $B --systz -u; c hctosys-l $B -s; c hctosys-u $B -s -u
    adj 0.0 86400 0.0 86400 UTC; c test $B -w --test
"#;

#[test]
fn functions_leave_the_state_that_util_linux_leaves() {
    for first in ["--systz -l", "-s -l"] {
        let run = |tool: &str| beside_util_linux(&format!("B={tool}; FIRST='{first}'; {STATES}"));
        let (Some(ours), Some(theirs)) = (run("$O"), run("$T")) else { return };
        assert_eq!((ours.code, theirs.code), (Some(0), Some(0)), "{ours:?}\n{theirs:?}");
        // the lines of one verbose run differ by chance: points that were missed
        let lines = |ran: &Ran| -> Vec<String> {
            ran.out.lines().filter(|l| !l.starts_with("test:")).map(ToOwned::to_owned).collect()
        };
        assert_eq!(lines(&ours).len(), 17, "{ours:?}");
        assert_eq!(lines(&ours), lines(&theirs), "{first}");
    }
}

/// Command lines that both must answer with the same lines, in the same order, from the same adjtime file and clocks: numbers that are
/// times of this run are made one, and what only ours says (who holds the device) is left out.
const ANSWERS: &str = include_str!("hwclock.sh");

#[test]
fn the_verbose_runs_are_util_linuxs() {
    answers_agree(ANSWERS.split("# .ci/run ends here").next().unwrap(), 20);
}

/// Minutes, for util-linux waits for its points of time in a busy loop.
#[test]
fn full_every_answer_is_util_linuxs() {
    if !said("vm-full") {
        return skipped("the long VM tests run by tests/vm/full");
    }
    answers_agree(ANSWERS, 250);
}

fn answers_agree(text: &str, least: usize) {
    let Some(ran) = beside_util_linux(&format!("{text}\necho end")) else { return };
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    let different: Vec<&str> = ran.out.split("== ").filter(|part| part.contains("\nDIFFERENT")).collect();
    assert!(different.is_empty(), "{}", different.join("== "));
    assert!(ran.out.matches("\nsame ").count() > least && ran.out.ends_with("end\n"), "{}", ran.out);
}

#[test]
fn a_busy_device_names_its_holder_and_no_device_is_said() {
    let Some(ran) = Guest::new().virtual_time().run(
        "sleep 1000 </dev/rtc0 & usleep 200000; /usr/local/bin/hwclock; echo exit $?; kill %1; usleep 200000
         mv /dev/rtc0 /dev/x; rm -f /dev/rtc; /usr/local/bin/hwclock; echo exit $?; /usr/local/bin/hwclock --systz -u; echo exit $?",
    ) else {
        return;
    };
    let none = "hwclock: Cannot access the Hardware Clock via any known method.\n\
                hwclock: Use the --verbose option to see the details of our search for an access method.\n";
    assert!(ran.out.starts_with(&format!("{none}hwclock: /dev/rtc0 is held by sleep (pid ")), "{ran:?}");
    assert!(ran.out.contains(&format!("exit 1\n{none}exit 1\nexit 0\n")), "{ran:?}");
}
