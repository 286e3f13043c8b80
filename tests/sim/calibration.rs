//! The simulator against the reference: the prototype's estimator, run here, must give what it gave under clknetsim.
//!
//! `NTPBOX_TESTS=sim cargo test --profile sim --test all sim::calibration`

use std::fmt::Write;

use super::matrix::{Reference, reference, rows};
use super::prototype::{Config, Prototype};
use super::scenario::{CLIENT, Scenario};
use super::world::{HostId, Node};
use crate::asked::asked_for;

/// Rows that must agree in RMS time and in RMS rate (discipline.md §5.0).
const ENOUGH: usize = 38;

/// The prototype as the client of a scenario.
pub(crate) fn prototype(scenario: &Scenario, servers: Vec<HostId>) -> Box<dyn Node> {
    Box::new(Prototype::new(Config {
        servers,
        polls: scenario.polls,
        iburst: scenario.iburst,
        makestep: scenario.settings.makestep.unwrap_or((0.0, 0)),
    }))
}

#[test]
fn the_prototype_shows_the_reference_s_ratios() {
    if !asked_for("sim") {
        return;
    }
    let reference = reference();
    let names: Vec<&str> = reference.iter().map(|row| row.name).collect();
    let ours = rows(&names, 1..=12, &prototype);
    let mut table = String::new();
    let mut good = 0;
    for (Reference { name, chronyd, prototype, noise }, ours) in reference.iter().zip(&ours) {
        let mut line = format!("{name:16}");
        let mut both = true;
        let columns = [
            (ours.time, prototype.time, chronyd.time, noise[0]),
            (ours.rate, prototype.rate, chronyd.rate, noise[1]),
            (ours.max, prototype.max, chronyd.max, noise[2]),
        ];
        for (i, (ours, theirs, chronyd, (low, high))) in columns.into_iter().enumerate() {
            let change = ours / theirs;
            let inside = (low..=high).contains(&change);
            both &= inside || i == 2;
            let verdict = if inside { "in " } else { "OUT" };
            let (ratio, reference) = (ours / chronyd, theirs / chronyd);
            write!(line, "  {ratio:5.3} {reference:5.3} {change:4.2} {low:4.2}..{high:5.2} {verdict}")
                .unwrap();
        }
        write!(line, "  {:6.1} {:6.1}", ours.packets, prototype.packets).unwrap();
        good += usize::from(both);
        table += &(line + "\n");
    }
    let title = format!(
        "calibration: ratio to chronyd here, in the reference, their quotient, its noise: time, rate, maximum; pkt/h\n{table}{good} of {} rows agree in time and rate\n",
        reference.len()
    );
    crate::asked::say(&title);
    assert!(good >= ENOUGH, "the simulator is not calibrated");
}
/// Second from which on the clock stays within 1 ms.
fn arrival(scenario: &Scenario) -> i64 {
    scenario.run(1, &prototype).quiet_at.expect("the clock arrives")
}

#[test]
fn what_is_known_of_the_prototype_s_start_is_seen_here() {
    // discipline-filter.md §0: 129 to 131 s, 1329 to 1330 s for 100 s
    assert!((125..135).contains(&arrival(&Scenario::default())));
    let far = Scenario { error: -100.0, limit: 4000, ..Scenario::default() };
    assert!((1325..1335).contains(&arrival(&far)));
}

#[test]
fn the_same_seed_is_the_same_run() {
    let scenario = Scenario { loss: 0.1, duplication: 0.1, limit: 4000, ..Scenario::default() };
    let run = |seed| {
        let mut world = scenario.build(seed, &prototype);
        world.run(scenario.limit);
        (world.sent(CLIENT, 1), world.clock(CLIENT).error())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert!(run(1).0.len() > 20);
}
