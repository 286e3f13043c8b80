//! `timedatectl` where there is no init system at all: our own daemon is what it switches (issue 12).

use super::Guest;

#[test]
fn without_an_init_system_it_starts_and_stops_our_daemon() {
    let text = r#"exec 2>&1
echo 'chrony:x:990:990::/:/bin/false' >>/etc/passwd; echo chrony:x:990: >>/etc/group; mkdir -p /var/lib/chrony; chown 990 /var/lib/chrony
date -s '2026-11-21 07:00:00' >/dev/null
responder 127.0.0.1 5.5 >/dev/null 2>&1 & sleep 1
t() { echo "== $*"; /usr/local/bin/timedatectl "$@"; echo "exit $?"; }
t set-ntp 1
printf '%s\n' 'server 127.0.0.1 iburst' 'makestep 1 3' 'driftfile /var/lib/chrony/drift' >/etc/chrony.conf
t set-ntp 1; sleep 30; t status; t show
[ "$(cat /run/chrony/chronyd.pid)" = "$(pidof chronyd)" ] && echo 'it is the one of the pid file'
t set-ntp 1; t set-time 2026-11-22
t set-ntp 0; sleep 2; t show; pidof chronyd || echo 'nobody is left'
t set-time '2026-11-22 10:00:00'; date -u +%FT%H; t set-ntp 0
"#;
    let Some(ran) = Guest::new()
        .virtual_time()
        .option(&["--shift", "3", "--timeout", "200", "--rtc", "2026-11-21T07:00:00"])
        .run(text)
    else {
        return;
    };
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    let parts: Vec<&str> = ran.out.split("== ").skip(1).collect();
    let has =
        |part: usize, text: &str| assert!(parts[part].contains(text), "{text} is not in {part}: {}", ran.out);
    has(0, "set-ntp 1\nFailed to set ntp: NTP not supported\nexit 1\n");
    has(
        1,
        "timedatectl: no init system: /usr/local/bin/chronyd started; nothing starts it after a reboot\nexit 0\n",
    );
    has(2, "\nSystem clock synchronized: yes\n              NTP service: active\n");
    has(3, "\nCanNTP=yes\nNTP=yes\nNTPSynchronized=yes\n");
    has(3, "it is the one of the pid file\n");
    has(4, "runs already\nexit 0\n");
    has(5, "Failed to set time: Automatic time synchronization is enabled\nexit 1\n");
    has(6, "of chronyd stopped\nexit 0\n");
    has(7, "\nCanNTP=yes\nNTP=no\n");
    has(7, "nobody is left\n");
    has(8, "exit 0\n2026-11-22T10\n");
    has(9, "set-ntp 0\nexit 0\n");
}
