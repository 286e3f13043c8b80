//! Our daemon on a real kernel clock: it finds a server that is 29.4 s and 40 ppm behind, and keeps what it learnt (issue 9, "Must show").

use super::Guest;

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
    rest.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{word}: {found}"))
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
    // the hardware clock, 29 s ahead of the true time before, follows by itself (rtcsync)
    let later = number(out, "rtc later", ":");
    assert!((-1.0..=1.0).contains(&later), "{later}: {out}");
}
