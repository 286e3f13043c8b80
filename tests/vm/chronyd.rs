//! The whole service under a real systemd: our unit, Debian's own unit, and a forking unit with a pid file as RHEL 7 has (issue 8).

use super::Guest;
use crate::asked::{asked_for, skipped};
use crate::compat::peer::Package;
use crate::support::cli;

/// What the guest begins with: the binary under its name, the users of both families, a configuration in both places.
const PREPARE: &str = r#"
exec 2>&1
ln -sf /usr/local/bin/ntpbox /usr/sbin/chronyd
mkdir -p /etc/chrony /etc/sysconfig
cp /etc/passwd /etc/group /run
systemctl stop systemd-timesyncd
journalctl -q -n 0 --cursor-file=/run/cursor
state() { echo "$1: $(systemctl is-active chronyd) $(systemctl show -p SubState --value chronyd) rc=$2"; }
pids() { [ "$(cat /run/chrony/chronyd.pid)" = "$(systemctl show -p MainPID --value chronyd)" ] && echo 'pid file and main pid agree'; }
gone() { ls -A /run/chrony | grep -v sock; systemctl is-active chronyd; }
host() { # UNIT USER CONFIGURATION: the next host, with one user and one configuration
    systemctl reset-failed chronyd 2>/dev/null
    rm -rf /run/chrony /var/lib/chrony /var/log/chrony /etc/sysconfig/chronyd /etc/chrony.conf /etc/chrony/chrony.conf
    cp /run/passwd /run/group /etc
    echo "$2:x:990:990::/var/lib/chrony:/bin/false" >>/etc/passwd
    echo "$2:x:990:" >>/etc/group
    printf 'local stratum 8\nallow 127/8\n' >"$3"
    cp "$1.service" /etc/systemd/system/chronyd.service; systemctl daemon-reload
    echo "== $1"
}
"#;

/// Start, look, second instance, restart, kill, full disk, stop.
const LIFE: &str = r#"
life() {
systemctl start chronyd; state start $?; pids
ps -o user=,args= -C chronyd
ss -lunH | awk '{print $4}' | sort | head -n 3
stat -c '%U %a' /run/chrony; stat -c '%a' /run/chrony/chronyd.pid
/usr/sbin/chronyd; echo "second rc=$?"
/usr/sbin/chronyd -n; echo "second -n rc=$?"
state after-second 0
old=$(systemctl show -p MainPID --value chronyd)
systemctl restart chronyd; state restart $?; pids
[ "$old" != "$(systemctl show -p MainPID --value chronyd)" ] && echo 'another process'
kill -KILL $(cat /run/chrony/chronyd.pid); sleep 2; ls /run/chrony/chronyd.pid
systemctl reset-failed chronyd; systemctl start chronyd; state after-kill $?; pids
systemctl stop chronyd; echo "stop rc=$?"; gone
mkdir -p /run/chrony
mount -t tmpfs -o size=4k,mode=750,uid=990,gid=990 full /run/chrony; dd if=/dev/zero of=/run/chrony/x bs=4k count=1 2>/dev/null
timeout 20 /usr/sbin/chronyd -n -t 1; echo "full disk rc=$?"
umount /run/chrony
for f in /etc/chrony.conf /etc/chrony/chrony.conf; do [ ! -e $f ] || echo 'foo bar' >>$f; done
systemctl start chronyd; state bad-configuration $?
journalctl --sync; journalctl -q -o cat --cursor-file=/run/cursor --no-pager _COMM=chronyd | sed 's/pid=[0-9][0-9]*/pid=N/' | sort -u
}
"#;

/// What each of the units must show.
fn check_life(out: &str, user: &str, mode: &str, args: &str, config: &str) {
    let has = |line: &str| {
        let found = out.lines().any(|l| l.split_whitespace().collect::<Vec<_>>().join(" ") == line);
        assert!(found, "{line}\nis not in\n{out}");
    };
    has("start: active running rc=0");
    has(&format!("{user} {args}"));
    has("0.0.0.0:123");
    assert!(!out.contains("[::]:123"), "nobody is allowed by IPv6: {out}");
    has(&format!("{user} {mode}"));
    has("644");
    // the parent, the one in the foreground and the journal say why
    let another = "Another chronyd may already be running (pid=";
    assert_eq!(out.matches(another).count(), 3, "{out}");
    has("second rc=1");
    has("second -n rc=1");
    has("after-second: active running rc=0");
    has("restart: active running rc=0");
    has("another process");
    has("after-kill: active running rc=0");
    has("stop rc=0");
    has("inactive");
    has("full disk rc=0");
    assert_eq!(out.matches("pid file and main pid agree").count(), 3, "{out}");
    has("bad-configuration: failed failed rc=1");
    // the journal
    has("chronyd exiting");
    has(&format!("Fatal error : Invalid directive foo at line 3 in file {config}"));
    has("Could not write /run/chrony/chronyd.pid : No space left on device");
    assert!(out.contains("chronyd version 4.9 starting ("), "{out}");
}

/// As RHEL 7 has it, but with a parent that ends.
const FORKING: &str = "[Unit]\nDescription=NTP client/server\nAfter=network.target\n[Service]\nType=forking\n\
    PIDFile=/run/chrony/chronyd.pid\nEnvironmentFile=-/etc/sysconfig/chronyd\n\
    ExecStart=/usr/sbin/chronyd $OPTIONS\nPrivateTmp=yes\nProtectHome=yes\nProtectSystem=full\n";

/// One guest is three hosts, one after the other: the shipped unit, Debian's own, and a forking one with a pid file.
#[test]
fn under_the_shipped_unit_debians_and_a_forking_one() {
    if !asked_for("vm") {
        return;
    }
    let share = cli::scratch("vm-chronyd");
    let unit =
        |name: &str, text: &str| std::fs::write(share.join(name).with_extension("service"), text).unwrap();
    unit("shipped", include_str!("../../dist/systemd/chronyd.service"));
    unit("forking", FORKING);
    let mut text = format!(
        "{PREPARE}{LIFE}host shipped chrony /etc/chrony.conf; life\n\
         host forking chrony /etc/chrony.conf; echo 'OPTIONS=\"-u chrony\"' >/etc/sysconfig/chronyd; life\n"
    );
    let debian =
        Package::ChronySid.bin().map(|bin| bin.join("../root/usr/lib/systemd/system/chrony.service"));
    match &debian {
        Ok(file) => {
            unit("debian", &std::fs::read_to_string(file).unwrap());
            text += "host debian _chrony /etc/chrony/chrony.conf; mkdir -p /var/lib/chrony /var/log/chrony; life\n";
        }
        Err(reason) => skipped(reason),
    }
    let share = share.to_str().unwrap();
    let Some(ran) =
        Guest::new().option(&["--init", "systemd", "--timeout", "300", "--share", share]).run(&text)
    else {
        return;
    };
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    let part = |name: &str| {
        let rest =
            ran.out.split(&format!("== {name}\n")).nth(1).unwrap_or_else(|| panic!("{name}: {}", ran.out));
        rest.split("\n== ").next().unwrap_or_default()
    };
    check_life(part("shipped"), "chrony", "750", "/usr/sbin/chronyd -n", "/etc/chrony.conf");
    check_life(part("forking"), "chrony", "750", "/usr/sbin/chronyd -u chrony", "/etc/chrony.conf");
    if debian.is_ok() {
        check_life(part("debian"), "_chrony", "700", "/usr/sbin/chronyd -n", "/etc/chrony/chrony.conf");
    }
}
