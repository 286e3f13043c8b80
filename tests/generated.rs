//! What is generated from the code and committed is fresh: `NTPBOX_BLESS=1 cargo test generated` rewrites it.

use std::path::Path;

use ntpbox::applets::schemas::REPORTS;

use crate::support::check_committed;

#[test]
fn schemas_are_fresh() {
    let dir = Path::new("tests/schema");
    let mut complaints = Vec::new();
    for report in REPORTS {
        let text = serde_json::to_string_pretty(&report.schema()).unwrap() + "\n";
        complaints.extend(check_committed(&dir.join(report.file_name()), &text).err());
    }
    complaints.extend(strangers(dir, &|name| REPORTS.iter().any(|report| report.file_name() == name)));
    assert!(complaints.is_empty(), "{}\nNTPBOX_BLESS=1 cargo test generated", complaints.join("\n"));
}

/// Files that nothing generates any more.
fn strangers(dir: &Path, known: &dyn Fn(&str) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names
        .filter(|name| !known(name))
        .map(|name| format!("{}/{name}: nothing generates it", dir.display()))
        .collect()
}
