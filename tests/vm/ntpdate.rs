//! `ntpdate` that really steps and slews (issue 7, "Must show").

use ntpbox::applets::find;

use super::{Guest, Ran, Wire};
use crate::asked::skipped;

/// The offsets that `step|adjust time server A offset N sec` and `server A, … offset N, …` lines with this text report.
fn offsets(ran: &Ran, text: &str) -> Vec<f64> {
    let number = |line: &str| line.split_once(" offset ")?.1.split([',', ' ']).next()?.parse().ok();
    ran.out.lines().filter(|line| line.contains(text)).map(|line| number(line).unwrap_or(f64::NAN)).collect()
}

fn has_ntpdate() -> bool {
    let has = find("ntpdate", true).is_some();
    if !has {
        skipped("ntpbox has no ntpdate");
    }
    has
}

#[test]
fn steps_from_decades_and_slews_fifths_of_a_second() {
    if !has_ntpdate() {
        return;
    }
    let Some(ran) = Guest::new().virtual_time().run(
        "responder 127.0.0.1 110240 >/dev/null & sleep 1
         ntpdate -q -p 8 127.0.0.1 >/dev/null; ntpdate -u 127.0.0.1 && ntpdate -q -p 8 127.0.0.1 || exit 1
         date -s @100 >/dev/null; date +%Y
         ntpdate -u 127.0.0.1 && ntpdate -q -p 8 127.0.0.1 || exit 2
         responder 127.0.0.2 0.2 >/dev/null & sleep 1
         ntpdate -u 127.0.0.2 || exit 3
         sleep 405; ntpdate -q -p 8 127.0.0.2",
    ) else {
        return;
    };
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let steps = offsets(&ran, " step time server 127.0.0.1 ");
    assert_eq!(steps.len(), 2, "{ran:?}");
    assert!((steps[0] - 110_240.0).abs() < 0.005, "{ran:?}");
    assert!(ran.out.contains("\n1970\n") && steps[1] > 1.7e9, "{ran:?}");
    let after_steps = offsets(&ran, "server 127.0.0.1, stratum 1,");
    assert!(after_steps.len() == 2 && after_steps.iter().all(|left| left.abs() < 0.005), "{ran:?}");
    // the start of the slew, then the log line of the query 405 s later
    let slews = offsets(&ran, " adjust time server 127.0.0.2 ");
    assert!(slews.len() == 2 && (slews[0] - 0.2).abs() < 0.001 && slews[1].abs() < 0.002, "{ran:?}");
}

#[test]
fn serves_the_init_script_of_rhel_6() {
    if !has_ntpdate() {
        return;
    }
    // options and servers from files, twice in a row, as user ntp, into syslog; -u because the server is in the same guest
    let Some(ran) = Guest::new().virtual_time().run(
        r#"mkdir -p /etc/ntp /etc/sysconfig; touch /etc/ntp/keys
         printf '# List of servers used on boot.\n\n127.0.0.1 # ours\n' >/etc/ntp/step-tickers
         printf '# Options for ntpdate\nOPTIONS="-U ntp -s -b"\nRETRIES=2\nSYNC_HWCLOCK=no\n' >/etc/sysconfig/ntpdate
         responder 127.0.0.1 5000 >/dev/null & syslogd -O /tmp/messages; sleep 1; . /etc/sysconfig/ntpdate
         for boot in 1 2; do
           ntpdate -u $OPTIONS $(sed 's/#.*//' /etc/ntp/step-tickers) && echo init script $boot good
         done; sleep 1; grep -o 'daemon.* ntpdate\[[0-9]*\]: .*' /tmp/messages"#,
    ) else {
        return;
    };
    assert!(ran.out.starts_with("init script 1 good\ninit script 2 good\ndaemon.notice ntpdate["), "{ran:?}");
    let steps = offsets(&ran, " step time server 127.0.0.1 ");
    assert!(steps.len() == 2 && (steps[0] - 5000.0).abs() < 0.05 && steps[1].abs() < 0.05, "{ran:?}");
}

#[test]
fn asks_from_port_123_over_a_wire() {
    if !has_ntpdate() {
        return;
    }
    let wire = Wire::new("port123");
    let [server_end, client_end] = wire.ends();
    let server = std::thread::spawn(move || {
        Guest::new().option(&["--timeout", "180", "--net", "10.9.0.1/24", "--wire", &server_end]).run(
            "responder 10.9.0.1 3000 >log & i=0
             until grep -q ' version 1$' log || [ $i = 2000 ]; do usleep 100000; i=$((i+1)); done
             sort log | uniq -c",
        )
    });
    let client = Guest::new().option(&["--timeout", "180", "--net", "10.9.0.2/24", "--wire", &client_end]).run(
        "i=0; until ntpdate -q -p 1 10.9.0.1 >/dev/null 2>&1 || [ $i = 100 ]; do usleep 200000; i=$((i+1)); done
         ntpdate 10.9.0.1; echo exit $?; ntpdate -q -p 1 -o 1 10.9.0.1 >/dev/null",
    );
    let (Some(client), Some(server)) = (client, server.join().unwrap()) else { return };
    if [client.code, server.code].contains(&Some(124)) {
        skipped("vm: two guests in wall-clock time did not end in 180 s: the machine is too busy");
        return;
    }
    assert!(client.out.contains("\nexit 0\n"), "{client:?}\n{server:?}");
    let steps = offsets(&client, " step time server 10.9.0.1 ");
    // two guests that started seconds apart from one machine's clock
    assert!(steps.len() == 1 && (steps[0] - 3000.0).abs() < 60.0, "{client:?}");
    assert!(server.out.contains("request from 10.9.0.2:123 version 4\n"), "{server:?}");
}

#[test]
fn sync_hwclock_takes_the_new_time_to_the_rtc() {
    if !has_ntpdate() {
        return;
    }
    let Some(ran) = Guest::new().virtual_time().run(
        "mkdir -p /etc/sysconfig; echo root:x:0:0::/root:/bin/sh >/etc/passwd; echo ntp:x:38:38::/:/bin/sh >>/etc/passwd
         printf 'OPTIONS=\"-U ntp -s -b\"\\nSYNC_HWCLOCK=\"yes\" # too\\n' >/etc/sysconfig/ntpdate
         responder 127.0.0.1 86400 >/dev/null & responder 127.0.0.2 86400.4 >/dev/null & sleep 1
         ntpdate -q 127.0.0.1 || exit 1
         echo \"before $(($(date +%s) - $(cat /sys/class/rtc/rtc0/since_epoch)))\"
         ntpdate -u -U ntp 127.0.0.1 || exit 2
         echo \"stepped $(($(date +%s) - $(cat /sys/class/rtc/rtc0/since_epoch)))\"; ls /etc/adjtime
         ntpdate -u 127.0.0.2 || exit 3
         cat /etc/adjtime; sleep 900; echo \"slewed $(($(date +%s) - $(cat /sys/class/rtc/rtc0/since_epoch)))\"",
    ) else {
        return;
    };
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let difference = |word: &str| -> i64 {
        let line =
            ran.out.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_else(|| panic!("{ran:?}"));
        line.trim().parse().unwrap()
    };
    // the query set neither clock; the step set both, the RTC a whole second late or early at most
    assert!(difference("before").abs() <= 1 && difference("stepped").abs() <= 1, "{ran:?}");
    assert!(difference("slewed").abs() <= 1, "{ran:?}");
    assert!(
        offsets(&ran, " step time server 127.0.0.1 ").iter().any(|o| (o - 86_400.0).abs() < 0.01),
        "{ran:?}"
    );
    // without root there is no file to be made; with it, it is made
    assert!(ran.out.contains("/etc/adjtime: No such file") && ran.out.contains("\nUTC\n"), "{ran:?}");
    assert!(!ran.out.contains("SYNC_HWCLOCK"), "{ran:?}");
}
