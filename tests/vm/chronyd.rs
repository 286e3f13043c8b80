//! The whole service under a real systemd: our unit, Debian's own unit, and a forking unit with a pid file as RHEL 7 has (issue 8).

use std::path::Path;

use super::{Guest, Ran};
use crate::asked::{asked_for, skipped};
use crate::compat::peer::Package;
use crate::support::cli;

/// What each test begins with: the binary under its name, the users of both families, a configuration in both places.
const PREPARE: &str = r#"
exec 2>&1
ln -sf /usr/local/bin/ntpbox /usr/sbin/chronyd
printf '%s:x:99%d:99%d::/var/lib/chrony:/bin/false\n' chrony 0 0 _chrony 1 1 >>/etc/passwd
printf 'chrony:x:990:\n_chrony:x:991:\n' >>/etc/group
mkdir -p /etc/chrony /etc/sysconfig
printf 'local stratum 8\nallow 127/8\n' | tee /etc/chrony.conf >/etc/chrony/chrony.conf
systemctl stop systemd-timesyncd
state() { echo "$1: $(systemctl is-active chronyd) $(systemctl show -p SubState --value chronyd) rc=$2"; }
pids() { [ "$(cat /run/chrony/chronyd.pid)" = "$(systemctl show -p MainPID --value chronyd)" ] && echo 'pid file and main pid agree'; }
gone() { ls -A /run/chrony | grep -v sock; systemctl is-active chronyd; }
"#;

/// Boots with these units in `/run/payload`.
fn boot(name: &str, unit: &str, text: &str) -> Option<Ran> {
    let share = cli::scratch(&format!("vm-chronyd-{name}"));
    std::fs::write(share.join("chronyd.service"), unit).unwrap();
    Guest::new()
        .option(&["--init", "systemd", "--timeout", "300", "--share", share.to_str().unwrap()])
        .run(&format!("{PREPARE}\ncp chronyd.service /etc/systemd/system/; systemctl daemon-reload\n{text}"))
}

/// Start, look, second instance, restart, kill, full disk, stop.
const LIFE: &str = r#"
systemctl start chronyd; state start $?; pids
ps -o user=,args= -C chronyd
ss -lunH | awk '{print $4}' | sort | head -n 3
stat -c '%U %a' /run/chrony; stat -c '%a' /run/chrony/chronyd.pid
/usr/sbin/chronyd; echo "second rc=$?"
/usr/sbin/chronyd -n -f /etc/chrony/chrony.conf; echo "second -n rc=$?"
state after-second 0
old=$(systemctl show -p MainPID --value chronyd)
systemctl restart chronyd; state restart $?; pids
[ "$old" != "$(systemctl show -p MainPID --value chronyd)" ] && echo 'another process'
kill -KILL $(cat /run/chrony/chronyd.pid); sleep 2; ls /run/chrony/chronyd.pid
systemctl reset-failed chronyd; systemctl start chronyd; state after-kill $?; pids
systemctl stop chronyd; echo "stop rc=$?"; gone
u=$(awk -F: '/chrony/ { print $3; exit }' /etc/passwd); mkdir -p /run/chrony
mount -t tmpfs -o size=4k,mode=750,uid=$u,gid=$u full /run/chrony; dd if=/dev/zero of=/run/chrony/x bs=4k count=1 2>/dev/null
timeout 20 /usr/sbin/chronyd -n -t 1; echo "full disk rc=$?"
umount /run/chrony
for f in /etc/chrony.conf /etc/chrony/chrony.conf; do [ ! -e $f ] || echo 'foo bar' >>$f; done
systemctl start chronyd; state bad-configuration $?
journalctl -q -o cat _COMM=chronyd --no-pager | sort | uniq -c | sort -rn | sed 's/^ *[0-9]* //; s/pid=[0-9]*/pid=N/'
"#;

/// What each of the units must show.
fn check_life(ran: &Ran, user: &str, mode: &str, args: &str, config: &str) {
    let has =
        |line: &str| assert!(ran.out.lines().any(|l| l.trim() == line), "{line}\nis not in\n{}", ran.out);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    has("start: active running rc=0");
    has(&format!("{user} {args}"));
    has("0.0.0.0:123");
    assert!(!ran.out.contains("[::]:123"), "nobody is allowed by IPv6: {}", ran.out);
    has(&format!("{user} {mode}"));
    has("644");
    // the parent, the one in the foreground and the journal say why
    let another = "Another chronyd may already be running (pid=";
    assert_eq!(ran.out.matches(another).count(), 3, "{}", ran.out);
    has("second rc=1");
    has("second -n rc=1");
    has("after-second: active running rc=0");
    has("restart: active running rc=0");
    has("another process");
    has("after-kill: active running rc=0");
    has("stop rc=0");
    has("inactive");
    has("full disk rc=0");
    assert_eq!(ran.out.matches("pid file and main pid agree").count(), 3, "{}", ran.out);
    assert!(ran.out.contains("bad-configuration: failed failed rc=1"), "{}", ran.out);
    // the journal
    has("chronyd exiting");
    has(&format!("Fatal error : Invalid directive foo at line 3 in file {config}"));
    has("Could not write /run/chrony/chronyd.pid : No space left on device");
    assert!(ran.out.contains("chronyd version 4.9 starting ("), "{}", ran.out);
}

#[test]
fn the_shipped_unit() {
    let unit = include_str!("../../dist/systemd/chronyd.service");
    let Some(ran) = boot("ours", unit, LIFE) else { return };
    check_life(&ran, "chrony", "750", "/usr/sbin/chronyd -n", "/etc/chrony.conf");
}

#[test]
fn debians_own_unit() {
    if !asked_for("vm") {
        return;
    }
    let folder = match Package::ChronySid.bin() {
        Ok(bin) => bin.join("../root/usr/lib/systemd/system"),
        Err(reason) => return skipped(&reason),
    };
    let unit = std::fs::read_to_string(Path::new(&folder).join("chrony.service")).unwrap();
    // that host has no /etc/chrony.conf and no user chrony
    let text = format!(
        "rm /etc/chrony.conf; sed -i /^chrony:/d /etc/passwd\nmkdir -p /var/lib/chrony /var/log/chrony\n{LIFE}"
    );
    let Some(ran) = boot("debian", &unit, &text) else { return };
    check_life(&ran, "_chrony", "700", "/usr/sbin/chronyd -n", "/etc/chrony/chrony.conf");
}

#[test]
fn a_forking_unit_with_a_pid_file() {
    let unit = "[Unit]\nDescription=NTP client/server\nAfter=network.target\n[Service]\nType=forking\n\
                PIDFile=/run/chrony/chronyd.pid\nEnvironmentFile=-/etc/sysconfig/chronyd\n\
                ExecStart=/usr/sbin/chronyd $OPTIONS\nPrivateTmp=yes\nProtectHome=yes\nProtectSystem=full\n";
    let text = format!("echo 'OPTIONS=\"-u chrony\"' >/etc/sysconfig/chronyd\n{LIFE}");
    let Some(ran) = boot("forking", unit, &text) else { return };
    check_life(&ran, "chrony", "750", "/usr/sbin/chronyd -u chrony", "/etc/chrony.conf");
}
