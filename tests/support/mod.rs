//! What the integration tests share.

pub(crate) mod cli;
pub(crate) mod conf;
pub(crate) mod consumers;
pub(crate) mod schema;

use std::path::Path;

/// Whether committed files are to be rewritten instead of compared (`NTPBOX_BLESS=1 cargo test generated`).
pub(crate) fn blessing() -> bool {
    std::env::var_os("NTPBOX_BLESS").is_some_and(|v| !v.is_empty())
}

/// Compares a committed file with what it should be, or rewrites it; the complaint says what differs.
pub(crate) fn check_committed(path: &Path, expected: &str) -> Result<(), String> {
    if std::fs::read_to_string(path).is_ok_and(|text| text == expected) {
        return Ok(());
    }
    if blessing() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, expected).unwrap();
        return Ok(());
    }
    Err(format!("{} is stale or missing", path.display()))
}
