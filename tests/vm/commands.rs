//! What chronyc does to a real kernel clock: the rest of a slew is stepped, an offset is added, a time is typed in.

use super::Guest;

/// The server is right and the clock 29.4 s ahead; no `makestep`, so that nothing but a command steps it.
const COMMANDS: &str = r#"
mkdir -p /var/lib/chrony; mkdir -m 750 /run/chrony
cat >/etc/chrony.conf <<C
server 127.0.0.1 iburst minpoll 2 maxpoll 2
manual
C
responder 127.0.0.1 -29.4 0 >/dev/null &
sleep 1
/usr/local/bin/chronyd -d -u root 2>/tmp/err &
pid=$!
sleep 40
echo "before: $(chronyc -c tracking)"
chronyc -a makestep
sleep 1
echo "after: $(chronyc -c tracking)"
ntpdate -q -p 2 127.0.0.1 | tail -n 1
chronyc -m 'offline' 'doffset 0.2' 'makestep'
echo "by hand: $(ntpdate -q -p 2 127.0.0.1 | tail -n 1)"
chronyc settime 2030-01-01 00:00:00 UTC
chronyc makestep
echo "typed: $(date -u +%Y-%m-%dT%H:%M)"
chronyc shutdown
wait $pid; echo "end $?"
cat /tmp/err
"#;

/// A field of a CSV line.
fn field(text: &str, line: &str, index: usize) -> f64 {
    let found = text.lines().find_map(|l| l.strip_prefix(line)).unwrap_or_else(|| panic!("{line}: {text}"));
    found.split(',').nth(index).and_then(|n| n.trim().parse().ok()).unwrap_or_else(|| panic!("{found}"))
}

/// The offset that ntpdate says.
fn offset(line: &str) -> f64 {
    let after = line.split("offset ").nth(1).unwrap_or_else(|| panic!("{line}"));
    after.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn makestep_doffset_and_settime_move_the_clock() {
    let Some(ran) = Guest::new().virtual_time().option(&["--timeout", "240"]).run(COMMANDS) else { return };
    let out = &ran.out;
    assert_eq!(ran.code, Some(0), "{out}");
    // it was slewing: at most 83333 ppm, so most of the offset was left
    assert!(field(out, "before: ", 4).abs() > 20.0, "{out}");
    assert!(field(out, "after: ", 4).abs() < 0.01, "{out}");
    assert_eq!(out.lines().filter(|l| *l == "200 OK").count(), 7, "{out}");
    let steps: Vec<&str> = out.lines().filter(|l| l.contains("System clock was stepped by")).collect();
    assert_eq!(steps.len(), 3, "{out}");
    let mut asked = out.lines().filter(|l| l.contains(" offset "));
    assert!(offset(asked.next().unwrap()).abs() < 0.01, "{out}");
    // doffset 0.2: the clock is thought to be 0.2 s ahead
    assert!((offset(asked.next().unwrap()) - 0.2).abs() < 0.01, "{out}");
    assert!(out.contains("\ntyped: 2030-01-01T00:00\n") && out.contains("\nend 0\n"), "{out}");
    assert!(!out.contains("jump"), "{out}");
}
