//! Where leap seconds are read from (`leapseclist`, `leapsectz`).

use std::path::{Path, PathBuf};

use crate::engine::leap::LeapTable;
use crate::sys::file;
use crate::types::Timestamp;

/// Folder of the time zones.
const ZONES: &str = "/usr/share/zoneinfo";
/// A longer file is no list and no zone.
const LIMIT: usize = 1 << 20;

/// A file with leap seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeapSource {
    /// `leapseclist`: its path.
    List(PathBuf),
    /// `leapsectz`: the name of a zone.
    Zone(String),
}

impl LeapSource {
    /// Reads the table; else the lines that say why there is none.
    ///
    /// # Errors
    /// The original's lines.
    pub fn read(&self, now: Timestamp) -> Result<(LeapTable, Vec<String>), Vec<String>> {
        match self {
            Self::List(path) => {
                let shown = path.display();
                let failed = |why: &str| {
                    let check = format!("Leap second list {shown} failed check, ignoring");
                    vec![format!("Failed to {why} leap seconds list {shown}"), check]
                };
                let bytes = file::read_bounded(path, LIMIT).map_err(|_| failed("open"))?;
                let table = LeapTable::parse_list(&String::from_utf8_lossy(&bytes));
                let table = table.ok_or_else(|| failed("parse"))?;
                let mut lines = vec![format!("Using leap second list {shown}")];
                if table.is_expired(now) {
                    lines.push(format!("Leap second list {shown} needs update"));
                }
                Ok((table, lines))
            }
            Self::Zone(name) => {
                let failed = || vec![format!("Timezone {name} failed leap second check, ignoring")];
                let plain = !name.starts_with('/') && !name.split('/').any(|part| part == "..");
                let path = Path::new(ZONES).join(name);
                let bytes =
                    plain.then(|| file::read_bounded(&path, LIMIT).ok()).flatten().ok_or_else(failed)?;
                let table = LeapTable::parse_zone(&bytes).ok_or_else(failed)?;
                Ok((table, vec![format!("Using {name} timezone to obtain leap second data")]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_list_is_ignored_with_the_originals_lines() {
        let now = Timestamp::from_unix(1_795_000_000, 0);
        let lines = LeapSource::List("/dev/null".into()).read(now).unwrap_err();
        assert_eq!(
            lines,
            [
                "Failed to parse leap seconds list /dev/null",
                "Leap second list /dev/null failed check, ignoring"
            ]
        );
        let lines = LeapSource::List("/nowhere/list".into()).read(now).unwrap_err();
        assert_eq!(lines[0], "Failed to open leap seconds list /nowhere/list");
        for zone in ["Nowhere/X", "../../etc/passwd", "/etc/passwd"] {
            let lines = LeapSource::Zone(zone.to_owned()).read(now).unwrap_err();
            assert_eq!(lines, [format!("Timezone {zone} failed leap second check, ignoring")]);
        }
    }
}
