//! The fuzz bodies over their committed corpus: each input that a fuzzer found is an ordinary test from then on.

use std::fs;
use std::path::PathBuf;

use crate::bodies::BODIES;

#[test]
fn every_body_survives_its_corpus() {
    for (name, body) in BODIES {
        let folder = PathBuf::from("tests/fuzz/corpus").join(name);
        let mut files: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        for file in files {
            let data = fs::read(&file).unwrap();
            let outcome = std::panic::catch_unwind(|| body(&data));
            assert!(outcome.is_ok(), "{}: see the message above", file.display());
        }
    }
}

#[test]
fn bodies_targets_and_corpus_name_the_same_things() {
    let manifest = fs::read_to_string("tests/fuzz/Cargo.toml").unwrap();
    let targets: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.trim().strip_prefix("{ name = \"")?.split('"').next())
        .collect();
    let bodies: Vec<&str> = BODIES.iter().map(|(name, _)| *name).collect();
    assert_eq!(targets, bodies, "tests/fuzz/Cargo.toml against tests/fuzz/bodies.rs");
}
