//! `timedatectl` beside systemd's own, in a guest whose PID 1 is systemd 257, with the real timedated, chrony and systemd-timesyncd
//! (issue 12): `tests/vm/full`, some minutes.
//!
//! Left out, for ours answers otherwise on purpose: `-H` and `-M NAME` (no bus to go through), `--version`, a masked timedated.

use super::Guest;
use crate::asked::{said, skipped};
use crate::support::cli;

#[test]
fn full_every_answer_and_every_change_is_timedateds() {
    if !said("vm-full") {
        skipped("the long VM tests run by tests/vm/full");
        return;
    }
    let share = cli::scratch("vm-timedated");
    std::fs::write(share.join("chronyd.service"), include_str!("../../dist/systemd/chronyd.service"))
        .unwrap();
    let list = include_str!("../../dist/systemd/ntp-units.d/50-chronyd.list");
    std::fs::write(share.join("50-chronyd.list"), list).unwrap();
    let options = ["--init", "systemd", "--timeout", "2400", "--share", share.to_str().unwrap()];
    let Some(ran) = Guest::new().option(&options).run(include_str!("timedated.sh")) else { return };
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    let different: Vec<&str> = ran.out.lines().filter(|line| line.starts_with("DIFFERENT")).collect();
    assert!(different.is_empty() && ran.out.ends_with("end\n"), "{different:#?}\n{}", ran.out);
    // the answers were not the same because nothing worked
    let parts: Vec<&str> = ran.out.split("== ").skip(1).collect();
    let has =
        |part: usize, text: &str| assert!(parts[part].contains(text), "{text} is not in {}", parts[part]);
    let on = |unit: &str| format!("Id={unit}.service ActiveState=active UnitFileState=enabled");
    let off = |unit: &str| format!("Id={unit}.service ActiveState=inactive UnitFileState=disabled");
    for (part, unit) in
        [(0, "systemd-timesyncd"), (1, "chrony"), (2, "chrony"), (4, "chronyd"), (5, "chronyd")]
    {
        for (words, state) in [("set-ntp 1", on(unit)), ("set-ntp 0", off(unit))] {
            let start = format!("same: {words}: exit 0: ");
            let switched = parts[part].lines().any(|line| line.starts_with(&start) && line.contains(&state));
            assert!(switched, "{words}, {state}: {}", parts[part]);
        }
    }
    let other = format!("{};{}", off("systemd-timesyncd"), on("chrony"));
    assert!(parts[2].contains(&other), "{other} is not in {}", parts[2]);
    has(0, "same: set-timezone Asia/Tokyo: exit 0: zone ../usr/share/zoneinfo/Asia/Tokyo");
    has(0, "same: set-local-rtc 1: exit 0: adjtime 0.0 0 0|0|LOCAL|;clock ");
    has(0, " rtc-clock -180\n");
    for part in [0, 1, 4] {
        has(part, "same: set-time 2030-01-01: exit 1");
    }
    has(3, "same: set-ntp 1: exit 1");
}
