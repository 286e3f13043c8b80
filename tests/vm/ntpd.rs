//! Our ntpd on a real kernel clock: `-gq`, `-q` and the panic rule, `-xq` that leaves the slew to the kernel, `-x` that never steps
//! (issue 11, "Must show"); `disable ntp` and `enable ntp` from afar.

use super::Guest;

/// The server is a responder on loopback; ntpd itself opens no port 123 beside it.
const RUNS: &str = r#"
cat >/etc/ntp.conf <<C
server 127.0.0.1 iburst minpoll 4 maxpoll 6
interface ignore all
driftfile /tmp/drift
C
serve() { kill $server 2>/dev/null; responder 127.0.0.1 $1 $2 >/dev/null & server=$!; sleep 1; }
left() { echo "left $1: $(ntpdate -q -p 4 127.0.0.1 | tail -n 1)"; }
n=/usr/local/bin/ntpd
serve -29.4 0; $n -gq 2>/dev/null; echo "gq $?"; left gq
serve 0.060 0; $n -q 2>/dev/null; echo "q $?"; sleep 300; left q
serve 2000 0; $n -q 2>/tmp/err; echo "panic $?"; grep panic_stop /tmp/err; left panic
$n -gq 2>/dev/null; echo "gq2 $?"; left gq2
serve 4 0; $n -x -q 2>/dev/null; echo "xq $?"; sleep 60; left xq; sleep 9000; left xq2
serve 2 -40; rm -f /tmp/drift; $n -x -n 2>/tmp/err & pid=$!
sleep 9000; left x; kill $pid; wait $pid; echo "x $?"; cat /tmp/err; echo "drift $(cat /tmp/drift)"
sed -i 's/127.0.0.1/127.0.0.9/' /etc/ntp.conf; $n -q 2>/dev/null; echo "none $?"
"#;

/// The offset (s) that ntpdate found at a point of the run.
fn left(text: &str, point: &str) -> f64 {
    let line = text.lines().find(|l| l.starts_with(&format!("left {point}: ")));
    let line = line.unwrap_or_else(|| panic!("no {point}: {text}"));
    let rest = line.split_once("offset ").unwrap_or_else(|| panic!("{line}")).1;
    rest.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn sets_the_clock_once_and_follows_without_a_step() {
    let Some(ran) = Guest::new().virtual_time().option(&["--timeout", "280"]).run(RUNS) else { return };
    let out = &ran.out;
    assert_eq!(ran.code, Some(0), "{out}");
    // -g -q steps, however far
    assert!(out.contains("ntpd: time set -29.") && out.contains("\ngq 0\n"), "{out}");
    assert!(left(out, "gq").abs() < 0.005, "{out}");
    // -q slews what is small, and the kernel ends it
    assert!(out.contains("ntpd: time slew +0.0") && out.contains("\nq 0\n"), "{out}");
    assert!(left(out, "q").abs() < 0.005, "{out}");
    // the panic rule
    assert!(
        out.contains("panic 255\n")
            && out.contains("07 panic_stop +2000 s; set clock manually within 1000 s."),
        "{out}"
    );
    assert!((left(out, "panic") - 2000.0).abs() < 1.0, "{out}");
    assert!(out.contains("ntpd: time set +") && left(out, "gq2").abs() < 0.005, "{out}");
    // -x slews what would be stepped, at 500 ppm
    assert!(out.contains("ntpd: time slew +4.") || out.contains("ntpd: time slew +3.9"), "{out}");
    let soon = left(out, "xq");
    assert!((3.9..4.0).contains(&soon), "{soon}: {out}");
    assert!(left(out, "xq2").abs() < 0.01, "{out}");
    // the daemon under -x: no step, and a drift file in ntpd's sign
    assert!(left(out, "x").abs() < 0.005 && out.contains("\nx 0\n"), "{out}");
    assert!(out.contains("05 clock_sync") && !out.contains("clock_step"), "{out}");
    let drift = out.lines().find_map(|l| l.strip_prefix("drift ")).and_then(|d| d.trim().parse::<f64>().ok());
    assert!(drift.is_some_and(|ppm| (ppm + 40.0).abs() < 1.0), "{drift:?}: {out}");
    assert!(out.contains("ntpd: no servers found\nnone 1\n"), "{out}");
}

/// The server gains, is replaced by one that gains otherwise while nobody sets the clock, which is then taken again; the second
/// daemon begins with `disable ntp`.
const SWITCHED: &str = r#"
ip addr add 10.0.0.2/32 dev lo
echo "1 M one" >/etc/ntp.keys
conf() { cat >/etc/ntp.conf <<C
server 10.0.0.2 iburst minpoll 4 maxpoll 6
interface ignore all
interface listen 127.0.0.1
keys /etc/ntp.keys
trustedkey 1
controlkey 1
restrict default
driftfile /tmp/drift
$1
C
}
serve() { kill $server 2>/dev/null; responder 10.0.0.2 $1 $2 >/dev/null & server=$!; sleep 1; }
tell() { echo "told $(ntpq -c 'keyid 1' -c 'passwd one' -c ":config $1" 127.0.0.1)"; }
state() {
    echo "left $1: $(ntpdate -q -p 4 10.0.0.2 | tail -n 1)"
    echo "adj $1: $(adjtimex | grep -E 'freq.adjust|tick:' | tr '\n' ' ')"
    echo "kerninfo $1: $(ntpq -c kerninfo 127.0.0.1 | grep 'pll frequency')"
    echo "rv $1: $(ntpq -c 'rv 0 offset,frequency,rootdisp' 127.0.0.1)"
}
n=/usr/local/bin/ntpd
conf; serve 0.05 -40
$n -n 2>/tmp/err & pid=$!
sleep 2000; state on
tell 'disable ntp'; state before; serve 0.05 20; sleep 1500; state off
tell 'enable ntp'; sleep 2000; state again
kill $pid; wait $pid; echo "exit $?"; echo "drift again: $(cat /tmp/drift)"
rm /tmp/drift; conf "disable ntp"; serve 0.05 -60
$n -n 2>>/tmp/err & pid=$!
sleep 2; state fresh; sleep 1000; state idle
tell 'enable ntp'; sleep 2000; state late
kill $pid; wait $pid; echo "exit $?"; echo "drift late: $(cat /tmp/drift)"; cat /tmp/err
"#;

#[test]
fn leaves_the_clock_alone_and_takes_it_again() {
    let Some(ran) = Guest::new().virtual_time().option(&["--timeout", "280"]).run(SWITCHED) else { return };
    let out = &ran.out;
    assert_eq!(ran.code, Some(0), "{out}");
    let line = |what: &str| {
        let found = out.lines().find_map(|line| line.strip_prefix(what));
        found.unwrap_or_else(|| panic!("no {what}: {out}"))
    };
    let number = |what: &str, after: &str| -> f64 {
        let text = line(what);
        let rest =
            text.split_once(after).unwrap_or_else(|| panic!("no {after} in {text}: {out}")).1.trim_start();
        rest.split([' ', ',']).next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{text}: {out}"))
    };
    let kernel = |point: &str| line(&format!("adj {point}:"));
    let ppm = |point: &str| {
        let of = format!("adj {point}:");
        number(&of, "freq.adjust:") / 65_536.0 + (number(&of, "tick:") - 10_000.0) * 100.0
    };
    assert_eq!(out.matches("told Config Succeeded\n").count(), 3, "{out}");
    assert_eq!(out.matches("\nexit 0\n").count(), 2, "{out}");
    // followed, then left as it was although the server runs away, and said so
    assert!(left(out, "on").abs() < 0.001 && (ppm("on") + 40.0).abs() < 0.1, "{out}");
    assert_eq!(kernel("before"), kernel("off"), "{out}");
    assert!((left(out, "off") - 0.140).abs() < 0.005, "{out}");
    assert!((number("rv off:", "offset=") - 140.0).abs() < 5.0, "{out}");
    assert!((number("rv off:", "rootdisp=") - 141.0).abs() < 6.0, "{out}");
    assert!((number("kerninfo off:", "pll frequency:") + 40.0).abs() < 0.1, "{out}");
    assert!((number("rv off:", "frequency=") - 20.0).abs() < 1.0, "{out}");
    // taken again
    for (point, rate) in [("again", 20.0), ("late", -60.0)] {
        assert!(left(out, point).abs() < 0.001 && (ppm(point) - rate).abs() < 0.5, "{point}: {out}");
        assert!(number(&format!("rv {point}:"), "offset=").abs() < 1.0, "{point}: {out}");
        assert!((number(&format!("rv {point}:"), "frequency=") - rate).abs() < 0.5, "{point}: {out}");
        assert!((number(&format!("drift {point}"), ":") - rate).abs() < 0.5, "{point}: {out}");
    }
    // a daemon that was never to set it
    assert_eq!(kernel("fresh"), kernel("idle"), "{out}");
    assert!((left(out, "idle") + 0.03).abs() < 0.01, "{out}");
    assert!((number("rv idle:", "offset=") + 30.0).abs() < 10.0, "{out}");
    assert!(out.contains("disable ntp: the clock is not set"), "{out}");
}
