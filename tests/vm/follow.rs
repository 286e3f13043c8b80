//! Our daemon on a real kernel clock: it finds a server that is 29.4 s and 40 ppm behind, and keeps what it learnt (issue 9, "Must show").

use super::{Guest, Wire};
use crate::asked::{said, skipped};
use crate::compat::peer::Package;

/// The server is `t0 − 29.4 s + (1 − 40e-6)(t − t0)`, t being CLOCK_MONOTONIC_RAW: our clock gains 40 ppm on it.
const FOLLOW: &str = r#"
mkdir -p /var/lib/chrony; mkdir -m 750 /run/chrony
apart() { echo "rtc $1: $(($(date +%s) - $(cat /sys/class/rtc/rtc0/since_epoch)))"; }
kernel() { adjtimex | tr '\n' ' ' | sed "s/^/kernel $1: /; s/  */ /g"; echo; }
cat >/etc/chrony.conf <<C
server 127.0.0.1 iburst minpoll 4 maxpoll 6
driftfile /var/lib/chrony/drift
makestep 1.0 3
rtcsync
cmdport 0
logdir /tmp
log tracking
C
responder 127.0.0.1 -29.4 -40 >/dev/null &
sleep 1
/usr/local/bin/chronyd -d -u root 2>/tmp/err &
pid=$!
sleep 7200; ntpdate -q -p 8 127.0.0.1 | tail -n 1; kernel steady; apart later
adjtimex -f $(($(adjtimex | sed -n 's/.*freq.adjust: *\([-0-9]*\).*/\1/p') + 6553600)) >/dev/null; kernel disturbed
sleep 1800; echo "again $(ntpdate -q -p 8 127.0.0.1 | tail -n 1)"; kernel recovered
responder 127.0.0.2 0.2 0 >/dev/null & sleep 1; ntpdate -u -B 127.0.0.2
sleep 900; echo "slewed $(ntpdate -q -p 8 127.0.0.1 | tail -n 1)"
kill $pid; wait $pid; echo "end $?"
cat /tmp/err; echo "drift $(cat /var/lib/chrony/drift)"; tail -n 1 /tmp/tracking.log
kernel ended
adjtimex -f 0 -t 10000 >/dev/null
sed -i 's/127.0.0.1/127.0.0.9/' /etc/chrony.conf
/usr/local/bin/chronyd -d -u root -t 3 2>&1; kernel restarted
"#;

/// A number behind a word in the line that begins so.
fn number(text: &str, line: &str, word: &str) -> f64 {
    let found = text.lines().find(|l| l.starts_with(line) && l.contains(word));
    let found = found.unwrap_or_else(|| panic!("no {line} … {word}: {text}"));
    let rest = found.split_once(word).unwrap_or_else(|| panic!("no {word}: {found}")).1;
    rest.split([' ', ','])
        .find(|word| !word.is_empty())
        .and_then(|n| n.parse().ok())
        .unwrap_or_else(|| panic!("{word}: {found}"))
}

/// ppm that the kernel adds to the oscillator, by tick and freq.
fn correction(text: &str, line: &str) -> f64 {
    let freq = number(text, line, "freq.adjust:") / 65_536.0;
    freq + (number(text, line, "-t tick:") - 10_000.0) * 100.0
}

#[test]
fn follows_a_server_that_is_far_off_and_remembers_the_drift() {
    let Some(ran) = Guest::new().virtual_time().option(&["--timeout", "240"]).run(FOLLOW) else { return };
    let out = &ran.out;
    assert_eq!(ran.code, Some(0), "{out}");
    let steps: Vec<&str> = out.lines().filter(|l| l.contains("System clock was stepped by")).collect();
    assert_eq!(steps.len(), 1, "{out}");
    let step = number(steps[0], "", "stepped by ");
    assert!((step + 29.4).abs() < 0.01, "{steps:?}");
    assert!(out.contains("System clock wrong by -29.") && out.contains("\nend 0\n"), "{out}");
    assert!(!out.contains("jump") && !out.contains("Can't synchronise"), "{out}");
    // converged, and the kernel knows how well
    let left = number(out, "", "offset ").abs();
    assert!(left < 1e-3, "{left}: {out}");
    let max_error = number(out, "kernel steady", "maxerror:") * 1e-6;
    assert!(left <= max_error && max_error < 0.05, "{left} {max_error}: {out}");
    let drift = number(out, "drift", "drift ");
    assert!((drift - 40.0).abs() < 0.5, "{drift}: {out}");
    for when in ["kernel steady", "kernel ended", "kernel restarted"] {
        let ppm = correction(out, when);
        assert!((ppm + 40.0).abs() < 1.0, "{when}: {ppm}: {out}");
    }
    // somebody else added 100 ppm: seen within a poll, said once, undone, and what was learnt did not suffer
    let (disturbed, recovered) = (correction(out, "kernel disturbed"), correction(out, "kernel recovered"));
    assert!(
        (disturbed - 60.0).abs() < 2.0 && (recovered + 40.0).abs() < 1.0,
        "{disturbed} {recovered}: {out}"
    );
    let again = number(out, "again", "offset ").abs();
    assert!(again < 1e-3, "{again}: {out}");
    // and somebody let the kernel slew it by 0.2 s (adjtime): the same
    assert!(out.contains("adjust time server 127.0.0.2 offset 0.") && out.contains("slewed "), "{out}");
    let slewed = number(out, "slewed", "offset ").abs();
    assert!(slewed < 1e-3, "{slewed}: {out}");
    assert_eq!(out.matches("System clock interference detected (another NTP client?)").count(), 2, "{out}");
    // the hardware clock, 29 s ahead of the true time before, follows by itself (rtcsync)
    let later = number(out, "rtc later", ":");
    assert!((-1.0..=1.0).contains(&later), "{later}: {out}");
}

/// Drift files that are none, and a disk without room for the drift file, dumps and logs.
const TROUBLE: &str = r#"
mkdir -p /var/lib/chrony /full; mkdir -m 750 /run/chrony; mount -t tmpfs -o size=32k full /full
kernel() { adjtimex | tr '\n' ' ' | sed "s/^/kernel $1: /; s/  */ /g"; echo; }
responder 127.0.0.1 0 -40 >/dev/null & sleep 1
printf '%s\n' 'server 127.0.0.1 iburst minpoll 4 maxpoll 4' 'driftfile /full/drift' 'dumpdir /full/dump' 'logdir /full/log' \
  'log measurements tracking statistics' 'cmdport 0' >/etc/chrony.conf
for drift in '' 'what' 'nan nan' '1e9 1' '50 -1'; do
  printf '%s\n' "$drift" >/full/drift; adjtimex -f 0 -t 10000 >/dev/null
  /usr/local/bin/chronyd -d -u root -t 2 2>err
  echo "bad [$drift] $(grep -c 'Could not read valid frequency and skew from driftfile /full/drift' err)"; kernel "bad[$drift]"
done
rm -rf /full/*; mkdir -p /full/log /full/dump; echo '40.0 1.0' >/full/drift; dd if=/dev/zero of=/full/x bs=1k count=40 2>/dev/null
/usr/local/bin/chronyd -d -u root -t 4000 2>err; echo "full $?"
cat err; echo "drift $(cat /full/drift)"; ntpdate -q 127.0.0.1 | tail -n 1
"#;

#[test]
fn a_full_disk_and_bad_drift_files_are_said_once_and_lose_nothing() {
    let Some(ran) = Guest::new().virtual_time().option(&["--timeout", "240"]).run(TROUBLE) else { return };
    let out = &ran.out;
    for drift in ["", "what", "nan nan", "1e9 1", "50 -1"] {
        assert!(out.contains(&format!("bad [{drift}] 1\n")), "{out}");
        let ppm = correction(out, &format!("kernel bad[{drift}]"));
        assert!(ppm.abs() < 1e-9, "{drift}: {ppm}: {out}");
    }
    assert!(out.contains("\nfull 0\n"), "{out}");
    for said in ["Could not write /full/log/", "Could not open /full/dump/"] {
        assert_eq!(out.matches(said).count(), 1, "{said}: {out}");
    }
    // the drift file is an old one or a new one, and never half of one
    let drift = number(out, "drift", "drift ");
    assert!((drift - 40.0).abs() < 0.5, "{drift}: {out}");
    assert!(number(out, "", "offset ").abs() < 1e-3 && !out.contains("panicked"), "{out}");
}

/// Follows a server that is an hour ahead, and serves what it learns until the other guest has seen enough.
const SERVER: &str = r#"
mkdir -p /var/lib/chrony; mkdir -m 750 /run/chrony
printf '%s\n' 'server 127.0.0.1 iburst minpoll 3 maxpoll 3' 'allow 10.9.0.0/24' 'bindaddress 10.9.0.1' 'makestep 1 3' >/etc/chrony.conf
responder 127.0.0.1 3600 >/dev/null &
/usr/local/bin/chronyd -d -u root 2>err &
timeout 160 nc -l -p 5000 >/dev/null; chronyc -c tracking; chronyc -c -n clients; cat err
"#;

/// The distribution's chronyd, in the year 2001.
const CLIENT: &str = r#"
export PEER_CLOCK=1; mkdir -p /var/lib/chrony; mkdir -m 750 /run/chrony; echo _chrony:x:990:990::/:/bin/false >>/etc/passwd
date -s '2001-01-01 00:00:00' >/dev/null
printf '%s\n' 'server 10.9.0.1 iburst minpoll 2 maxpoll 3' 'makestep 1 3' >/etc/chrony.conf
$PEER/chronyd -d -u root -f /etc/chrony.conf 2>err & i=0
until $PEER/chronyc -n -c sourcestats | grep -q '^10.9.0.1,[6-9],' || [ $i = 150 ]; do sleep 1; i=$((i+1)); done 2>/dev/null
echo "tracking $($PEER/chronyc -n -c tracking)"; echo "source $($PEER/chronyc -n -c sources)"; $PEER/chronyc -n ntpdata 10.9.0.1
ntpdate -q -p 4 10.9.0.1; date '+year %Y'; cat err; echo | nc 10.9.0.1 5000
"#;

/// Two guests on this machine's time, which is too rough for more than "it follows", and for CI: half a second is what it may do to them.
#[test]
fn full_the_distributions_chronyd_follows_ours_over_a_wire() {
    if !said("vm-full") {
        return skipped("the long VM tests run by tests/vm/full");
    }
    let bin = match Package::ChronySid.bin() {
        Ok(bin) => bin,
        Err(reason) => return skipped(&reason),
    };
    let folder = bin.parent().unwrap().to_str().unwrap().to_owned();
    let parent = bin.parent().and_then(std::path::Path::parent).unwrap().display().to_string();
    let wire = Wire::new("follow");
    let [server_end, client_end] = wire.ends();
    let server = std::thread::spawn(move || {
        Guest::new().option(&["--timeout", "240", "--net", "10.9.0.1/24", "--wire", &server_end]).run(SERVER)
    });
    let client = Guest::new()
        .option(&["--timeout", "240", "--net", "10.9.0.2/24", "--wire", &client_end])
        .option(&["--mem", "512", "--share", &folder])
        .run(&format!("mkdir -p {parent}; ln -s /run/payload {folder}; PEER={folder}/bin\n{CLIENT}"));
    let (Some(client), Some(server)) = (client, server.join().unwrap()) else { return };
    if [client.code, server.code].contains(&Some(124)) {
        return skipped("vm: two guests in wall-clock time did not end in 240 s: the machine is too busy");
    }
    let both = format!("{}\n{}", client.out, server.out);
    let fields = |line: &str| -> Vec<String> {
        let found = client.out.lines().find_map(|l| l.strip_prefix(line));
        found.unwrap_or_else(|| panic!("no {line}: {both}")).split(',').map(ToOwned::to_owned).collect()
    };
    let tracking = fields("tracking ");
    assert_eq!((tracking[0].as_str(), tracking[2].as_str()), ("0A090001", "3"), "{both}");
    assert_eq!(tracking.last().map(String::as_str), Some("Normal"), "{both}");
    assert_eq!(fields("source ")[..4], ["^", "*", "10.9.0.1", "2"], "{both}");
    assert_eq!(client.out.matches("System clock was stepped by ").count(), 1, "{both}");
    assert!(client.out.contains("\nyear ") && !client.out.contains("\nyear 2001\n"), "{both}");
    // what ours says of the other's clock after it has followed
    let left = number(&client.out, "server 10.9.0.1, stratum 2,", " offset ").abs();
    assert!(left < 0.5, "{left}: {both}");
    // ours served it, and was itself a stratum below its own server
    assert!(server.out.contains("\n10.9.0.2,"), "{both}");
    assert!(server.out.starts_with("7F000001,127.0.0.1,2,"), "{both}");
}
