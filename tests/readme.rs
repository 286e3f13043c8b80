//! What README.md shows is what happens.

use std::path::Path;

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
