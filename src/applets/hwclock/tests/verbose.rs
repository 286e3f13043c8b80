//! Whole verbose runs.

use super::{Script, run};

const VERSION: &str = concat!("hwclock from util-linux 2.41 (ntpbox ", env!("CARGO_PKG_VERSION"), ")\n");
const OPEN: &str = "Trying to open: /dev/rtc0\nUsing the rtc interface to the clock.\n";
const UTC: &str = "Assuming hardware clock is kept in UTC time.\n";
const TICK: &str = "Waiting for clock tick...\n...got clock tick\n";
const NOT_ASKED: &str = "Not adjusting drift factor because the --update-drift option was not used.\n";

#[track_caller]
fn check(script: Script, line: &[&str], stdout: &str, deeds: &[&str]) {
    let ran = run(script, line);
    assert_eq!(ran.stdout, format!("{VERSION}{stdout}"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.deeds, deeds);
}

#[test]
fn a_show_without_adjtime() {
    let script = Script::new(1_795_247_287, &["1795247285.799739", "1795247286.604686"]);
    let text = format!(
        "System Time: 1795247285.799739\n{OPEN}{UTC}{TICK}\
         Time read from Hardware Clock: 2026/11/21 07:48:07\n\
         Hw clock time : 2026/11/21 07:48:07 = 1795247287 seconds since 1969\n\
         Time since last adjustment is 1795247287 seconds\n\
         Calculated Hardware Clock drift is 0.000000 seconds\n\
         2026-11-21 07:48:06.195053+00:00\n"
    );
    check(script, &["hwclock", "--verbose"], &text, &[]);
}

#[test]
fn b_systohc_misses_its_first_point() {
    let clock = ["1795247287.601234", "1795247287.650000", "1795247287.667741", "1795247288.500000"];
    let text = format!(
        "System Time: 1795247287.601234\n{OPEN}{UTC}\
         RTC type: 'rtc_cmos'\nUsing delay: 0.500000 seconds\n\
         missed it - 1795247287.667741 is too far past 1795247287.500000 (0.167741 > 0.001000)\n\
         1795247288.500000 is close enough to 1795247288.500000 (0.000000 < 0.002000)\n\
         Set RTC to 1795247288 (1795247287 + 1; refsystime = 1795247287.000000)\n\
         Setting Hardware Clock to 07:48:08 = 1795247288 seconds since 1969\n\
         ioctl(RTC_SET_TIME) was successful.\n{NOT_ASKED}\
         New /etc/adjtime data:\n0.000000 1795247287 0.000000\n1795247287\nUTC\n"
    );
    let deeds = ["rtc 2026/11/21 07:48:08", "/etc/adjtime 0.000000 1795247287 0.000000|1795247287|UTC|"];
    check(Script::new(0, &clock), &["hwclock", "-w", "-v"], &text, &deeds);
}

#[test]
fn c_adjust() {
    let clock = ["1795244400.500000", "1795244400.931323", "1795244401.431300"];
    let mut script = Script::new(1_795_244_401, &clock);
    script.adjtime = Some("2.0 1795158000 0.0\n1795158000\nUTC\n");
    let text = format!(
        "System Time: 1795244400.500000\n{OPEN}\
         Last drift adjustment done at 1795158000 seconds after 1969\n\
         Last calibration done at 1795158000 seconds after 1969\n\
         Hardware clock is on UTC time\n{UTC}{TICK}\
         Time read from Hardware Clock: 2026/11/21 07:00:01\n\
         Hw clock time : 2026/11/21 07:00:01 = 1795244401 seconds since 1969\n\
         Time since last adjustment is 86401 seconds\n\
         Calculated Hardware Clock drift is 2.000023 seconds\n\
         RTC type: 'rtc_cmos'\nUsing delay: 0.500000 seconds\n\
         1795244401.431300 is close enough to 1795244401.431300 (0.000000 < 0.001000)\n\
         Set RTC to 1795244403 (1795244403 + 0; refsystime = 1795244400.931300)\n\
         Setting Hardware Clock to 07:00:03 = 1795244403 seconds since 1969\n\
         ioctl(RTC_SET_TIME) was successful.\n\
         New ADJ data:\n2.000000 1795244403 0.000000\n1795158000\nUTC\n"
    );
    let deeds = ["rtc 2026/11/21 07:00:03", "ADJ 2.000000 1795244403 0.000000|1795158000|UTC|"];
    check(script, &["hwclock", "-a", "-v", "--adjfile=ADJ"], &text, &deeds);
}

#[test]
fn d_systohc_learns_the_drift() {
    let clock = [
        "1795244399.100000",
        "1795244400.000100",
        "1795244400.293447",
        "1795244400.503381",
        "1795244401.502031",
        "1795244402.500000",
    ];
    let mut script = Script::new(1_795_244_396, &clock);
    script.adjtime = Some("2.0 1795071600 0.25\n1794985200\nUTC\n");
    let text = format!(
        "System Time: 1795244399.100000\n{OPEN}\
         Last drift adjustment done at 1795071600 seconds after 1969\n\
         Last calibration done at 1794985200 seconds after 1969\n\
         Hardware clock is on UTC time\n{UTC}{TICK}\
         Time read from Hardware Clock: 2026/11/21 06:59:56\n\
         Hw clock time : 2026/11/21 06:59:56 = 1795244396 seconds since 1969\n\
         Time since last adjustment is 172796 seconds\n\
         Calculated Hardware Clock drift is 4.249907 seconds\n\
         RTC type: 'rtc_cmos'\nUsing delay: 0.500000 seconds\n\
         missed it - 1795244400.503381 is too far past 1795244400.500000 (0.003381 > 0.001000)\n\
         missed it - 1795244401.502031 is too far past 1795244401.500000 (0.002031 > 0.002000)\n\
         1795244402.500000 is close enough to 1795244402.500000 (0.000000 < 0.004000)\n\
         Set RTC to 1795244402 (1795244400 + 2; refsystime = 1795244400.000000)\n\
         Setting Hardware Clock to 07:00:02 = 1795244402 seconds since 1969\n\
         ioctl(RTC_SET_TIME) was successful.\n\
         Clock drifted 0.043540 seconds in the past 259200.293447 seconds\n\
         in spite of a drift factor of 2.000000 seconds/day.\n\
         Adjusting drift factor by 0.014513 seconds/day\n\
         New ADJ data:\n2.014513 1795244400 0.000000\n1795244400\nUTC\n"
    );
    let deeds = ["rtc 2026/11/21 07:00:02", "ADJ 2.014513 1795244400 0.000000|1795244400|UTC|"];
    check(script, &["hwclock", "-w", "--update-drift", "-v", "--adjfile", "ADJ"], &text, &deeds);
}

#[test]
fn e_predict() {
    let mut script = Script::new(0, &["1795244400.000000"]);
    script.adjtime = Some("1.5 1795244400 0.25\n1795244400\nLOCAL\n");
    let text = "System Time: 1795244400.000000\n\
         Last drift adjustment done at 1795244400 seconds after 1969\n\
         Last calibration done at 1795244400 seconds after 1969\n\
         Hardware clock is on local time\n\
         Assuming hardware clock is kept in local time.\n\
         Time since last adjustment is 86400 seconds\n\
         Calculated Hardware Clock drift is 1.750000 seconds\n\
         Target date:   1795330800\nPredicted RTC: 1795330798\n\
         2026-11-22 06:59:58.250000+00:00\n";
    check(script, &["hwclock", "--predict", "--date", "@1795330800", "-v"], text, &[]);
}

/// Row 8a.
#[test]
fn hctosys_locks_the_warp_then_sets_the_clock() {
    let mut script = Script::new(1_795_247_290, &["1795247289.300000", "1795247290.000400"]);
    script.adjtime = Some("0.000000 1795247287 0.000000\n1795247287\nUTC\n");
    let text = format!(
        "System Time: 1795247289.300000\n{OPEN}\
         Last drift adjustment done at 1795247287 seconds after 1969\n\
         Last calibration done at 1795247287 seconds after 1969\n\
         Hardware clock is on UTC time\n{UTC}{TICK}\
         Time read from Hardware Clock: 2026/11/21 07:48:10\n\
         Hw clock time : 2026/11/21 07:48:10 = 1795247290 seconds since 1969\n\
         Time since last adjustment is 3 seconds\n\
         Calculated Hardware Clock drift is 0.000000 seconds\n\
         Calling settimeofday(NULL, 0) to lock the warp_clock function.\n\
         Calling settimeofday(1795247290.000000, NULL) to set the System time.\n"
    );
    check(script, &["hwclock", "-s", "-v"], &text, &["zone 0", "clock 1795247290.000000"]);
}

/// Row 8c.
#[test]
fn set_keeps_the_phase_of_the_start() {
    let mut script = Script::new(0, &["1795247292.224331", "1795247292.724331"]);
    script.adjtime = Some("0.000000 1795247287 0.000000\n1795247287\nUTC\n");
    let text = format!(
        "System Time: 1795247292.224331\n{OPEN}\
         Last drift adjustment done at 1795247287 seconds after 1969\n\
         Last calibration done at 1795247287 seconds after 1969\n\
         Hardware clock is on UTC time\n{UTC}\
         RTC type: 'rtc_cmos'\nUsing delay: 0.500000 seconds\n\
         1795247292.724331 is close enough to 1795247292.724331 (0.000000 < 0.001000)\n\
         Set RTC to 1797836400 (1797836400 + 0; refsystime = 1795247292.224331)\n\
         Setting Hardware Clock to 07:00:00 = 1797836400 seconds since 1969\n\
         ioctl(RTC_SET_TIME) was successful.\n{NOT_ASKED}\
         New /etc/adjtime data:\n0.000000 1797836400 0.000000\n1797836400\nUTC\n"
    );
    let deeds = ["rtc 2026/12/21 07:00:00", "/etc/adjtime 0.000000 1797836400 0.000000|1797836400|UTC|"];
    check(script, &["hwclock", "--set", "--date", "@1797836400", "-v"], &text, &deeds);
}

/// Row 38.
#[test]
fn a_dry_adjustment_changes_nothing() {
    let clock = ["1795244400.100000", "1795244405.000000", "1795244405.999913"];
    let mut script = Script::new(1_795_244_405, &clock);
    script.adjtime = Some("-1.5 1795158000 -0.999826\n1795158000\nUTC\n");
    let ran = run(script, &["hwclock", "--test", "-a"]);
    assert_eq!((ran.code, ran.stderr.as_str(), ran.deeds.len()), (0, "", 0));
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert!(lines.contains(&"Calculated Hardware Clock drift is -3.500087 seconds"), "{}", ran.stdout);
    assert_eq!(lines.last(), Some(&"Test mode: nothing was changed."));
    assert!(!ran.stdout.contains("successful"));
}

/// Row 39.
#[test]
fn a_given_delay_is_used_without_a_look_at_the_driver() {
    let clock = ["1795244400.576000", "1795244400.576100", "1795244401.250000"];
    let ran = run(Script::new(0, &clock), &["hwclock", "--delay=1.25", "--test", "-w"]);
    let text = format!(
        "{VERSION}System Time: 1795244400.576000\n{OPEN}{UTC}Using delay: 1.250000 seconds\n\
         1795244401.250000 is close enough to 1795244401.250000 (0.000000 < 0.001000)\n\
         Set RTC to 1795244400 (1795244400 + 0; refsystime = 1795244400.000000)\n\
         Setting Hardware Clock to 07:00:00 = 1795244400 seconds since 1969\n{NOT_ASKED}\
         New /etc/adjtime data:\n0.000000 1795244400 0.000000\n1795244400\nUTC\n\
         Test mode: nothing was changed.\n"
    );
    assert_eq!((ran.stdout, ran.deeds.len(), ran.code), (text, 0, 0));
}

/// Rows 36, 37 and 15.
#[test]
fn systz_by_scale() {
    let berlin = || {
        let mut script = Script::new(0, &["1795244400.000000"]);
        script.utc_offset = 3600;
        script
    };
    let header = "System Time: 1795244400.000000\n";
    let text = format!(
        "{header}Assuming hardware clock is kept in local time.\n\
         Calling settimeofday(NULL, -60) to warp System time, set PCIL and the kernel tz.\n"
    );
    check(berlin(), &["hwclock", "--systz", "-l", "-v"], &text, &["zone -60"]);
    let text = format!(
        "{header}{UTC}Calling settimeofday(NULL, 0) to lock the warp_clock function.\n\
         Calling settimeofday(NULL, -60) to set the kernel timezone.\n"
    );
    check(berlin(), &["hwclock", "--systz", "-u", "-v"], &text, &["zone 0", "zone -60"]);
    let text = format!(
        "{header}{UTC}Calling settimeofday(NULL, 0) to lock the warp_clock function.\n\
         Test mode: nothing was changed.\n"
    );
    check(Script::new(0, &["1795244400.000000"]), &["hwclock", "--test", "--systz"], &text, &[]);
}

/// Row 40.
#[test]
fn direct_isa_access() {
    if !cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
        return;
    }
    let script = Script::new(1_795_247_287, &["1795247285.799739", "1795247286.604686"]);
    let ran = run(script, &["hwclock", "--directisa", "-v"]);
    let text =
        format!("{VERSION}System Time: 1795247285.799739\nUsing direct ISA access to the clock\n{UTC}{TICK}");
    assert!(ran.stdout.starts_with(&text), "{}", ran.stdout);
    assert_eq!(ran.code, 0);
    let mut script = Script::new(0, &["1795247285.799739"]);
    script.ports = Err(nix::errno::Errno::EPERM);
    let ran = run(script, &["hwclock", "--directisa"]);
    assert_eq!(ran.stderr, "hwclock: iopl() port access failed: Operation not permitted\n");
    assert_eq!(ran.code, 1);
}
