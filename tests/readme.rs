//! What README.md shows is what happens.

use std::path::Path;

use ntpbox::applets::{APPLETS, Kind};

use crate::support::cli::check_transcripts;

#[test]
fn transcripts_are_true() {
    check_transcripts(Path::new("README.md")).unwrap();
}

#[test]
fn links_lead_somewhere() {
    for page in ["README.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(link.starts_with("https://") || Path::new(link).exists(), "{page}: {link} is not there");
        }
    }
}

#[test]
fn every_tool_that_is_replaced_is_named() {
    let text = std::fs::read_to_string("README.md").unwrap();
    for name in APPLETS.iter().filter(|a| a.kind == Kind::Legacy).flat_map(|a| a.names) {
        assert!(text.contains(&format!("`{name}`")), "README.md does not name {name}");
    }
}
