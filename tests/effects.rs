//! Every directive of chrony.conf and every option of a source has a test that shows its effect: the table says which.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const TABLE: &str = "tests/fixtures/effects.tsv";
/// What a daemon has to bear, and the tests that show that it does.
const HARDSHIPS: &str = "tests/fixtures/hardships.tsv";
/// Where a word of the grammar is an arm of a `match`: kind, file, functions.
const GRAMMAR: &[(&str, &str, &[&str])] = &[
    ("directive", "src/config/chrony_conf.rs", &["flag", "ranged", "real_slot", "word_slot", "special"]),
    ("option", "src/config/source.rs", &["flag", "value"]),
];
/// Directives that are told apart before those.
const OTHERS: &[&str] =
    &["server", "pool", "peer", "allow", "deny", "cmdallow", "cmddeny", "include", "confdir", "sourcedir"];

/// Kind, word, tests, reason.
fn table() -> Vec<(String, String, Vec<String>, String)> {
    let text = fs::read_to_string(TABLE).unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        assert!((3..=4).contains(&fields.len()), "{line}");
        let tests = fields[2].split(' ').filter(|test| *test != "-").map(str::to_owned).collect();
        let reason = fields.get(3).copied().unwrap_or_default().to_owned();
        (fields[0].to_owned(), fields[1].to_owned(), tests, reason)
    })
    .collect()
}

/// The names of all tests in a folder.
fn tests_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                tests_in(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for after in text.split("#[test]").skip(1) {
                let name = after.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
                found.extend(name.map(|(name, _)| name.to_owned()));
            }
        }
    }
}

/// The words of the arms in these functions of a file.
fn arms(file: &str, functions: &[&str]) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    let mut words = BTreeSet::new();
    for function in functions {
        let heads = [format!("fn {function}("), format!("fn {function}<")];
        let start = heads.iter().find_map(|head| text.find(head)).unwrap_or_else(|| panic!("{function}"));
        let line = text[..start].rfind('\n').map_or(0, |place| place + 1);
        let indent = text[line..].len() - text[line..].trim_start().len();
        let end = format!("\n{}}}\n", &text[line..line + indent]);
        let body = &text[start..start + text[start..].find(&end).unwrap()];
        for arm in body.lines().filter_map(|line| line.trim().split_once(" =>")) {
            let patterns = arm.0.split(" | ").filter_map(|word| word.strip_prefix('"')?.strip_suffix('"'));
            words.extend(patterns.map(str::to_owned));
        }
    }
    words
}

#[test]
fn every_word_of_the_grammar_has_its_row() {
    let table = table();
    for (kind, file, functions) in GRAMMAR {
        let mut known = arms(file, functions);
        if *kind == "directive" {
            known.extend(OTHERS.iter().map(|&word| word.to_owned()));
        }
        let rows: Vec<&str> = table.iter().filter(|row| row.0 == *kind).map(|row| row.1.as_str()).collect();
        let listed: BTreeSet<String> = rows.iter().map(|&word| word.to_owned()).collect();
        assert_eq!(rows.len(), listed.len(), "a word of {kind} is listed twice");
        let (missing, gone): (Vec<_>, Vec<_>) =
            (known.difference(&listed).collect(), listed.difference(&known).collect());
        assert!(missing.is_empty(), "{TABLE} lacks the {kind}s {missing:?}: which test shows their effect?");
        assert!(gone.is_empty(), "{TABLE}: no such {kind}: {gone:?}");
    }
}

fn all_tests() -> BTreeSet<String> {
    let mut there = BTreeSet::new();
    for folder in ["src", "tests"] {
        tests_in(Path::new(folder), &mut there);
    }
    there
}

#[test]
fn every_hardship_has_its_tests() {
    let there = all_tests();
    let text = fs::read_to_string(HARDSHIPS).unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, tests) = line.split_once('\t').unwrap_or_else(|| panic!("{line}"));
        for test in tests.split(' ') {
            assert!(there.contains(test), "{HARDSHIPS}: there is no test {test}");
        }
    }
}

#[test]
fn every_row_names_tests_that_are_there() {
    let there = all_tests();
    for (kind, word, tests, reason) in table() {
        assert!(!tests.is_empty() || !reason.is_empty(), "{kind} {word}: neither a test nor a reason");
        for test in tests {
            assert!(there.contains(&test), "{kind} {word}: there is no test {test}");
        }
    }
}
