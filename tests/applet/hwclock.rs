//! `hwclock` where there is no hardware clock.

use crate::support::cli::{check_goldens, run};
use crate::support::schema::check_output;

#[test]
fn goldens() {
    check_goldens("hwclock");
}

#[test]
fn json_keeps_its_schemas() {
    let predicted = run("hwclock", &["--predict", "--noadjfile", "-u", "--date", "@5", "-v", "--json"]);
    let objects = check_output(&predicted.stdout);
    assert_eq!(objects[0]["data"]["rtc_time"], "1970-01-01T00:00:05.000000000Z");
    for words in [["--param-get=0", "--json"], ["--vl-read", "--json"], ["--show", "--json"]] {
        let failed = run("hwclock", &[&words[..], &["--rtc=/dev/null"]].concat());
        let objects = check_output(&failed.stdout);
        assert_eq!((&objects[0]["ok"], &objects[0]["exit_code"]), (&false.into(), &1.into()));
        assert!(!failed.stderr.is_empty());
    }
}

#[test]
fn far_dates_are_shown_and_json_stays_json() {
    let far = run("hwclock", &["--predict", "--noadjfile", "-u", "--date", "9999-12-31 23:59:59"]);
    assert_eq!(far.stdout, "9999-12-31 23:59:59.000000+00:00\n");
    let far = run("hwclock", &["--predict", "--noadjfile", "-u", "--date", "@99999999999999", "--json"]);
    check_output(&far.stdout);
    let early = run("hwclock", &["--predict", "--noadjfile", "-u", "--date", "1969-12-31"]);
    assert_eq!((early.code(), early.stderr.as_str()), (1, "hwclock: invalid date '1969-12-31'\n"));
}
