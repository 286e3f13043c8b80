//! The engine's matrix: 42 rows × 20 seeds against the golden table and the verdict, 20 further seeds, further delay shapes.
//!
//! `NTPBOX_TESTS=sim cargo test --profile sim --test all sim::`; NTPBOX_BLESS=1 accepts a change of the golden table.

use std::ops::RangeInclusive;

use super::daemon::daemon;
use super::judge::{changes, complaints, golden, means, table};
use super::matrix::{Figures, Reference, reference, rows};
use super::scenario::MakeClient;
use crate::asked::{asked_for, say};

/// The client that is judged.
pub(crate) const CLIENT: MakeClient<'_> = &daemon;
pub(crate) const NAME: &str = "engine";

fn run(seeds: RangeInclusive<u64>) -> (Vec<Reference>, Vec<Figures>) {
    let reference = reference();
    let names: Vec<&str> = reference.iter().map(|row| row.name).collect();
    let ours = rows(&names, seeds, CLIENT);
    (reference, ours)
}

#[test]
fn the_matrix_is_won_and_as_it_was() {
    if !asked_for("sim") {
        return;
    }
    let (rows, ours) = run(1..=20);
    say(&format!("matrix, {NAME}, seeds 1 to 20:\n{}", table(&rows, &ours)));
    let path = format!("{}/tests/sim/golden/{NAME}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("NTPBOX_BLESS").is_some() {
        let title = format!("{NAME}, seeds 1 to 20, medians");
        std::fs::write(&path, golden(&title, &rows, &ours)).unwrap();
    }
    let mut found = changes(&std::fs::read_to_string(&path).unwrap_or_default(), &rows, &ours);
    if !found.is_empty() {
        found.push(format!("{path} is not as it was; NTPBOX_BLESS=1 accepts it"));
    }
    found.extend(complaints(&rows, &ours));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn further_seeds_hold_the_means() {
    if !asked_for("sim") {
        return;
    }
    let (rows, ours) = run(21..=40);
    say(&format!("matrix, {NAME}, seeds 21 to 40: means {:.3?}\n", means(&rows, &ours)));
    let found = complaints(&rows, &ours);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
