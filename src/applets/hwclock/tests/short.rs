//! The table of short cases.

use nix::errno::Errno;

use super::super::host::{Watched, WriteFailure};
use super::{Ran, Script, run, run_in};
use crate::applets::output::JsonMode;
use crate::engine::rtc::Coefficients;
use crate::sys::SysError;

const NO_ACCESS: &str = "hwclock: Cannot access the Hardware Clock via any known method.\n";
const HINT: &str =
    "hwclock: Use the --verbose option to see the details of our search for an access method.\n";

/// A healthy RTC that reads 2026-11-21 07:00:00 UTC, half a second after the start.
fn healthy() -> Script {
    Script::new(1_795_244_400, &["1795244399.500000", "1795244400.000000"])
}

/// The same, where a device cannot be opened.
fn without(devices: &[(&'static str, Errno)]) -> Script {
    let mut script = healthy();
    script.devices = devices.iter().copied().collect();
    script
}

#[track_caller]
fn fails(script: Script, line: &[&str], stderr: &str) -> Ran {
    let ran = run(script, line);
    assert_eq!(ran.stderr, stderr);
    assert_eq!(ran.code, 1);
    ran
}

#[test]
fn row_1_to_3_time_version_and_the_old_debug_switch() {
    assert_eq!(run(healthy(), &["hwclock"]).stdout, "2026-11-21 06:59:59.500000+00:00\n");
    let version = run(healthy(), &["/usr/sbin/clock", "-V"]).stdout;
    assert!(version.starts_with("clock from util-linux 2.41 (ntpbox "), "{version}");
    let ran = run(healthy(), &["hwclock", "-D", "-r"]);
    assert_eq!(ran.stderr, "hwclock: use --verbose, --debug has been deprecated.\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "2026-11-21 06:59:59.500000+00:00\n"));
}

#[test]
fn row_4_to_7_no_device() {
    let mut busy = without(&[("/dev/rtc0", Errno::EBUSY)]);
    busy.holder = Some("chronyd");
    fails(busy, &["hwclock"], &format!("{NO_ACCESS}{HINT}hwclock: /dev/rtc0 is held by chronyd (pid 42)\n"));
    let ran = fails(
        without(&[("/dev/rtc0", Errno::EBUSY)]),
        &["hwclock", "-v"],
        &format!(
            "hwclock: cannot open /dev/rtc0: Device or resource busy\n{NO_ACCESS}hwclock: /dev/rtc0 is held by another process\n"
        ),
    );
    assert!(ran.stdout.ends_with("Trying to open: /dev/rtc0\nNo usable clock interface found.\n"));
    let ran = fails(
        without(&[("/dev/rtc0", Errno::EBUSY)]),
        &["hwclock", "--rtc=/dev/rtc0", "-v"],
        &format!("{NO_ACCESS}hwclock: /dev/rtc0 is held by another process\n"),
    );
    assert!(ran.stdout.ends_with("399.500000\nNo usable clock interface found.\n"), "{}", ran.stdout);
    let none = [("/dev/rtc0", Errno::ENOENT), ("/dev/rtc", Errno::ENODEV), ("/dev/misc/rtc", Errno::ENOENT)];
    let ran = fails(without(&none), &["hwclock", "-v"], NO_ACCESS);
    assert!(ran.stdout.ends_with(
        "Trying to open: /dev/rtc0\nTrying to open: /dev/rtc\nTrying to open: /dev/misc/rtc\nNo usable clock interface found.\n"
    ));
}

#[test]
fn what_our_own_daemon_holds_is_read_and_set_through_it() {
    let held = || {
        let known = Coefficients { reference: 1_795_240_000, fast: -8.25, gain: 0.0 };
        let mut script = without(&[("/dev/rtc0", Errno::EBUSY)]);
        script.holder = Some("chronyd");
        script.watched = Some(Watched { known, samples: 9 });
        script
    };
    let ran = run(held(), &["hwclock", "-r"]);
    let right = run(healthy(), &["hwclock", "-r"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    // the system clock at the start was 06:59:59.5
    assert_eq!((ran.stdout.as_str(), right.code), ("2026-11-21 06:59:51.250000+00:00\n", 0));
    let ran = run(held(), &["hwclock", "-r", "-v"]);
    assert!(ran.stdout.contains("Using our chronyd, which holds /dev/rtc0.\n"), "{}", ran.stdout);
    let ran = run(held(), &["hwclock", "-w"]);
    assert_eq!((ran.code, ran.stderr.as_str(), ran.stdout.as_str()), (0, "", ""));
    assert_eq!(ran.deeds.first().map(String::as_str), Some("trimrtc"));
    assert!(ran.deeds.iter().any(|deed| deed.contains("/etc/adjtime")), "{:?}", ran.deeds);
    let ran = run(held(), &["hwclock", "-w", "--test"]);
    assert_eq!((ran.code, ran.deeds.len()), (0, 0), "{:?}", ran.deeds);
    let deaf = Script { obeys: false, ..held() };
    fails(deaf, &["hwclock", "-w"], "hwclock: chronyd, which holds the RTC, could not set it\n");
    // what needs the device itself, and a daemon that knows nothing yet
    let line = format!("{NO_ACCESS}{HINT}hwclock: /dev/rtc0 is held by chronyd (pid 42)\n");
    fails(held(), &["hwclock", "-s"], &line);
    fails(held(), &["hwclock", "-w", "--update-drift"], &line);
    let nothing = Coefficients { reference: 0, fast: 0.0, gain: 0.0 };
    let young = Script { watched: Some(Watched { known: nothing, samples: 0 }), ..held() };
    fails(young, &["hwclock", "-w"], &line);
}

#[test]
fn row_8_the_second_device_is_taken_when_the_first_is_not_there() {
    let ran = run(without(&[("/dev/rtc0", Errno::ENOENT)]), &["hwclock", "-v"]);
    assert!(ran.stdout.contains("Trying to open: /dev/rtc\nUsing the rtc interface to the clock.\n"));
    assert_eq!(ran.code, 0);
    let none = without(&[("/dev/rtc0", Errno::EBUSY)]);
    let ran = run(none, &["hwclock", "--systz"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
}

#[test]
fn row_8b_and_the_tick_table() {
    let mut script = healthy();
    script.select = Err(Errno::EINTR);
    let ran = fails(
        script,
        &["hwclock", "-r", "-u", "--test"],
        "hwclock: select() to /dev/rtc0 to wait for clock tick failed: Interrupted system call\n",
    );
    assert!(ran.stdout.ends_with("...synchronization failed\nTest mode: nothing was changed.\n"));
    let mut script = healthy();
    script.select = Ok(false);
    fails(script, &["hwclock"], "hwclock: select() to /dev/rtc0 to wait for clock tick timed out\n");
    let mut script = healthy();
    script.update_interrupt = Err(Errno::EIO);
    fails(script, &["hwclock"], "hwclock: ioctl(4, RTC_UIE_ON, 0) to /dev/rtc0 failed: Input/output error\n");
    let mut script = healthy();
    script.read = Err(Errno::EINVAL);
    fails(
        script,
        &["hwclock"],
        "hwclock: ioctl(RTC_RD_NAME) to /dev/rtc0 to read the time failed: Invalid argument\n\
         hwclock: RTC read returned an invalid value.\n",
    );
    let ran = fails(
        Script::new(-1, &["5.0"]),
        &["hwclock", "-v"],
        "hwclock: RTC read returned an invalid value.\n",
    );
    assert!(
        ran.stdout.ends_with("...got clock tick\nInvalid values in hardware clock: 1969/12/31 23:59:59\n")
    );
}

#[test]
fn without_update_interrupt_the_time_is_polled() {
    let mut script = healthy();
    script.update_interrupt = Err(Errno::EINVAL);
    let ran = run(script, &["hwclock", "-v"]);
    assert!(ran.stdout.contains(
        "Waiting for clock tick...\nioctl(4, RTC_UIE_ON, 0): Invalid argument\n\
         Waiting in loop for time from /dev/rtc0 to change\n...got clock tick\n"
    ));
    assert!(ran.stdout.ends_with("2026-11-21 07:00:01.500000+00:00\n"), "{}", ran.stdout);
}

#[test]
fn row_10_a_device_that_is_no_rtc() {
    let mut script = healthy();
    (script.update_interrupt, script.read) = (Err(Errno::ENOTTY), Err(Errno::ENOTTY));
    let ran = fails(
        script,
        &["hwclock", "--rtc=/dev/null", "-v"],
        "hwclock: ioctl(RTC_RD_NAME) to /dev/null to read the time failed: Inappropriate ioctl for device\n",
    );
    assert!(ran.stdout.ends_with(
        "Waiting for clock tick...\nioctl(4, RTC_UIE_ON, 0): Inappropriate ioctl for device\n\
         Waiting in loop for time from /dev/null to change\n...synchronization failed\n"
    ));
}

#[test]
fn row_11_to_14_what_the_kernel_refuses() {
    for (errno, path, reason) in [
        (Errno::ENOTTY, "/etc", "Inappropriate ioctl for device"),
        (Errno::EACCES, "/dev/rtc0", "Permission denied"),
        (Errno::EINVAL, "/dev/rtc0", "Invalid argument"),
    ] {
        let mut script = Script::new(0, &["1795244400.400000", "1795244400.400000", "1795244400.500000"]);
        script.set = Err(errno);
        let text = format!("hwclock: ioctl(RTC_SET_TIME) to {path} to set the time failed: {reason}\n");
        let ran = fails(script, &["hwclock", "-w", "-f", path], &text);
        assert!(ran.deeds.is_empty(), "the adjtime file stays");
    }
    for function in ["-s", "--systz"] {
        let mut script = healthy();
        script.settimeofday = Err(Errno::EPERM);
        fails(script, &["hwclock", function], "hwclock: settimeofday() failed: Operation not permitted\n");
    }
    fails(without(&[("/dev/rtc0", Errno::EACCES)]), &["hwclock", "-w"], &format!("{NO_ACCESS}{HINT}"));
}

#[test]
fn row_17_to_27_the_command_line() {
    fails(healthy(), &["hwclock", "--set", "--date", "foo bar"], "hwclock: invalid date 'foo bar'\n");
    let hint = "Try 'hwclock --help' for more information.\n";
    fails(healthy(), &["hwclock", "foo", "bar"], &format!("hwclock: too many arguments\n{hint}"));
    fails(healthy(), &["/sbin/hwclock", "-z"], &format!("/sbin/hwclock: invalid option -- 'z'\n{hint}"));
    fails(
        healthy(),
        &["/sbin/hwclock", "--zzz"],
        &format!("/sbin/hwclock: unrecognized option '--zzz'\n{hint}"),
    );
}

#[test]
fn row_28_an_adjustment_that_is_too_small() {
    let ran = run(healthy(), &["hwclock", "-a"]);
    assert_eq!(ran.stdout, "Needed adjustment is less than one second, so not setting clock.\n");
    assert_eq!((ran.code, ran.deeds.len()), (0, 0));
    let ran = run(healthy(), &["hwclock", "-a", "--localtime"]);
    assert_eq!(ran.deeds, ["/etc/adjtime 0.000000 0 0.000000|0|LOCAL|"]);
}

#[test]
fn a_change_of_scale_is_written_by_functions_that_may_set_the_rtc_only() {
    let local = || {
        let mut script = healthy();
        script.adjtime = Some("0 5 0\n5\nLOCAL\n");
        script
    };
    assert_eq!(run(local(), &["hwclock", "-a", "--utc"]).deeds, ["/etc/adjtime 0.000000 5 0.000000|5|UTC|"]);
    assert!(run(local(), &["hwclock", "-a"]).deeds.is_empty());
    assert!(!run(local(), &["hwclock", "-s", "--utc"]).deeds.iter().any(|deed| deed.starts_with('/')));
    let mut unknown = healthy();
    unknown.adjtime = Some("0 5 0\n5\n");
    assert_eq!(run(unknown, &["hwclock", "-a"]).deeds, ["/etc/adjtime 0.000000 5 0.000000|5|UTC|"]);
}

#[test]
fn adjustments_that_history_forbids_are_silent() {
    for (adjtime, line) in [
        ("1 0 0\n0\nUTC\n", "Not setting clock because last adjustment time is zero, so history is bad."),
        (
            "3000 1795158000 0\n0\nUTC\n",
            "Not setting clock because drift factor 3000.000000 is far too high.",
        ),
    ] {
        let script = || {
            let mut script = healthy();
            script.adjtime = Some(adjtime);
            script
        };
        let ran = run(script(), &["hwclock", "-a"]);
        assert_eq!((ran.code, ran.stdout.as_str(), ran.deeds.len()), (0, "", 0));
        assert!(run(script(), &["hwclock", "-a", "-v"]).stdout.ends_with(&format!("{line}\n")));
    }
}

#[test]
fn row_29_and_30_zones() {
    let mut script = healthy();
    script.utc_offset = 19800;
    assert_eq!(run(script, &["hwclock", "-r"]).stdout, "2026-11-21 12:29:59.500000+05:30\n");
    let berlin = || {
        let mut script = healthy();
        script.utc_offset = 3600;
        script
    };
    assert_eq!(run(berlin(), &["hwclock", "-r", "-u"]).stdout, "2026-11-21 07:59:59.500000+01:00\n");
    assert_eq!(run(berlin(), &["hwclock", "-r", "-l"]).stdout, "2026-11-21 06:59:59.500000+01:00\n");
    let mut script = Script::new(0, &["1795244400.400000", "1795244400.400000", "1795244400.500000"]);
    script.utc_offset = 3600;
    let ran = run(script, &["hwclock", "-w", "-l"]);
    assert_eq!(ran.deeds[0], "rtc 2026/11/21 08:00:00");
    let ran = run(berlin(), &["hwclock", "-s", "-l"]);
    assert_eq!(ran.deeds, ["zone -60", "clock 1795240800.000000"]);
}

#[test]
fn row_31_to_33_adjtime_that_cannot_be_written() {
    let error = |errno| SysError::new("open", "", errno);
    for (failure, text) in [
        (WriteFailure::Open(error(Errno::EROFS)), "hwclock: cannot open ADJ: Read-only file system\n"),
        (WriteFailure::Open(error(Errno::ENOENT)), "hwclock: cannot open ADJ: No such file or directory\n"),
        (WriteFailure::Write(error(Errno::ENOSPC)), "hwclock: cannot update ADJ: No space left on device\n"),
    ] {
        let mut script = Script::new(0, &["1795244400.400000", "1795244400.400000", "1795244400.500000"]);
        script.write = Err(failure);
        let ran = fails(script, &["hwclock", "--adjfile=ADJ", "-w"], text);
        assert_eq!(ran.deeds, ["rtc 2026/11/21 07:00:00"], "the RTC was set all the same");
    }
}

#[test]
fn a_damaged_adjtime_file_is_warned_of() {
    let mut script = healthy();
    script.adjtime = Some("x\n5\nutc\n");
    let ran = run(script, &["hwclock"]);
    assert_eq!(
        ran.stderr,
        "hwclock: Warning: unrecognized line in adjtime file: x\n\n\
         hwclock: Warning: unrecognized third line in adjtime file\n\
         (Expected: `UTC' or `LOCAL' or nothing.)\n"
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "2026-11-21 06:59:59.500000+00:00\n"));
    // what /dev/full reads as
    let mut script = healthy();
    script.adjtime = Some("\0\0\0");
    let ran = run(script, &["hwclock"]);
    assert!(
        ran.stderr.starts_with("hwclock: Warning: unrecognized line in adjtime file: \nhwclock: "),
        "{}",
        ran.stderr
    );
}

#[test]
fn parameters() {
    for pair in ["bsm", "=1", "bsm=", ""] {
        fails(healthy(), &["hwclock", "--param-set", pair], "hwclock: expected <param>=<value>\n");
    }
    let ran = run(healthy(), &["hwclock", "--param-get", "features", "-w"]);
    assert_eq!((ran.stdout.as_str(), ran.deeds.len()), ("The RTC parameter 0x0 is set to 0x11.\n", 0));
    let refused = || {
        let mut script = healthy();
        script.parameter = Err(Errno::EINVAL);
        script
    };
    fails(
        refused(),
        &["hwclock", "--param-get", "correction"],
        "hwclock: ioctl(4, RTC_PARAM_GET, param) to /dev/rtc0 failed: Invalid argument\n\
         hwclock: unable to read the RTC parameter correction\n",
    );
    fails(
        healthy(),
        &["hwclock", "--param-get=foo"],
        "hwclock: could not convert parameter name to number\nhwclock: unable to read the RTC parameter foo\n",
    );
    let busy = without(&[("/dev/rtc0", Errno::EBUSY)]);
    fails(
        busy,
        &["hwclock", "--param-get", "0"],
        "hwclock: cannot open /dev/rtc0: Device or resource busy\nhwclock: /dev/rtc0 is held by another process\n\
         hwclock: unable to read the RTC parameter 0\n",
    );
    let mut negative = healthy();
    negative.parameter = Ok(u64::MAX - 4);
    assert_eq!(
        run(negative, &["hwclock", "--param-get", "1", "-v"]).stdout,
        "Trying to open: /dev/rtc0\nioctl(4, RTC_PARAM_GET, param) to /dev/rtc0 succeeded.\nThe RTC parameter 0x1 is set to 0xfffffffffffffffb.\n"
    );
    for (pair, text) in [
        ("bsm", "expected <param>=<value>"),
        ("bsm=x", "could not convert parameter value to number"),
        ("foo=1", "could not convert parameter name to number"),
        ("correction=-5", "could not convert parameter value to number"),
    ] {
        fails(healthy(), &["hwclock", "--param-set", pair], &format!("hwclock: {text}\n"));
    }
    let ran = run(healthy(), &["hwclock", "--param-set", "bsm=1", "--param-index", "3"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.deeds), (0, "", vec!["parameter 2/3 = 1".to_owned()]));
    let ran = run(healthy(), &["hwclock", "--param-set", "bsm=1", "--test"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.deeds.len()), (0, "", 0));
    fails(
        refused(),
        &["hwclock", "--param-set", "bsm=1"],
        "hwclock: ioctl(4, RTC_PARAM_SET, param) to /dev/rtc0 failed: Invalid argument\n",
    );
}

#[test]
fn voltage() {
    let mut low = healthy();
    low.voltage = Ok(0x1f);
    let ran = run(low, &["hwclock", "--vl-read", "--vl-clear", "-v"]);
    assert!(ran.stdout.starts_with(
        "Trying to open: /dev/rtc0\nioctl(4, RTC_VL_READ) on /dev/rtc0 returned 0x1f\n0x01 - Voltage too low"
    ));
    assert!(ran.stdout.ends_with("ioctl(4, RTC_VL_CLEAR) on /dev/rtc0 succeeded.\n"));
    assert_eq!(ran.deeds, ["voltage bits cleared"]);
    for (option, name) in [("--vl-read", "RTC_VL_READ"), ("--vl-clear", "RTC_VL_CLEAR")] {
        let mut none = healthy();
        none.voltage = Err(Errno::ENOTTY);
        let text = format!("hwclock: ioctl(4, {name}) on /dev/rtc0 failed: Inappropriate ioctl for device\n");
        fails(none, &["hwclock", option], &text);
    }
    let busy = without(&[("/dev/rtc0", Errno::EBUSY)]);
    let text = "hwclock: cannot open /dev/rtc0\nhwclock: /dev/rtc0 is held by another process\n";
    fails(busy, &["hwclock", "--vl-read"], text);
}

#[test]
fn drift_correction_by_function() {
    let script = || {
        let mut script = Script::new(1_795_244_403, &["1795244402.500000", "1795244403.000000"]);
        script.adjtime = Some("10 1795158000 0\n1795158000\nUTC\n");
        script
    };
    assert_eq!(run(script(), &["hwclock", "-r"]).stdout, "2026-11-21 07:00:02.500000+00:00\n");
    assert_eq!(run(script(), &["hwclock", "--get"]).stdout, "2026-11-21 07:00:12.500347+00:00\n");
    assert_eq!(run(script(), &["hwclock", "-s"]).deeds, ["zone 0", "clock 1795244413.000347"]);
}

#[test]
fn learning_has_its_texts() {
    let learn = |adjtime: &'static str, rtc: i64| {
        let clock = ["1795244400.100000", "1795244400.200000", "1795244400.300000", "1795244400.500000"];
        let mut script = Script::new(rtc, &clock);
        script.adjtime = Some(adjtime);
        run(script, &["hwclock", "-w", "--update-drift", "-v"]).stdout
    };
    let never = learn("0 0 0\n0\nUTC\n", 1_795_244_400);
    assert!(never.contains(
        "Not adjusting drift factor because last calibration time is zero,\nso history is bad and calibration startover is necessary.\n"
    ));
    let soon = learn("0 5 0\n1795244000\nUTC\n", 1_795_244_400);
    assert!(soon.contains(
        "Not adjusting drift factor because it has been less than four hours since the last calibration.\n"
    ));
    let wild = learn("0 5 0\n1795158000\nUTC\n", 1_795_230_000);
    assert!(wild.contains("Clock drift factor was calculated as 14400."), "{wild}");
    assert!(wild.contains(" seconds/day.\nIt is far too much. Resetting to zero.\n"), "{wild}");
}

#[test]
fn the_old_layout_belongs_to_an_era() {
    for era in ["rhel6", "rhel7"] {
        let ran = run_in(healthy(), &["hwclock", "-r"], &[("NTPBOX_COMPAT", era)], None);
        assert_eq!(ran.stdout, "Sat Nov 21 07:00:00 2026  -0.500000 seconds\n");
    }
}

#[test]
fn json_reports_what_was_found() {
    let ran = run_in(healthy(), &["hwclock", "-v"], &[], Some(JsonMode::Short));
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(value["data"]["rtc_time"], "2026-11-21T06:59:59.500000000Z");
    assert_eq!(value["data"]["offset_s"], 0.0);
    assert_eq!(value["data"]["function"], "show");
    assert_eq!(value["data"]["timescale"], "utc");
    assert!(value["messages"].as_array().unwrap().len() > 5, "the lines of --verbose");
    let mut busy = without(&[("/dev/rtc0", Errno::EBUSY)]);
    busy.holder = Some("chronyd");
    let ran = run_in(busy, &["hwclock", "-w"], &[], Some(JsonMode::Short));
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&value["ok"], &value["exit_code"]), (&false.into(), &1.into()));
    assert_eq!(value["error"]["code"], "rtc-busy");
    assert_eq!(value["error"]["hint"], "/dev/rtc0 is held by chronyd (pid 42)");
    assert!(ran.stderr.starts_with(NO_ACCESS));
}
