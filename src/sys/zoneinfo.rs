//! The zone of a system and the zones that it has: /etc/localtime and /usr/share/zoneinfo below a root directory.
//!
//! The rules (which names are zones, which links name one) are those of systemd 257.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::tz::Zone;

const ZONEINFO: &str = "usr/share/zoneinfo";
/// No zone file comes near this; a larger one is none.
const MAX_FILE: u64 = 1 << 20;

/// What /etc/localtime says.
#[derive(Debug, Clone)]
pub struct SystemZone {
    /// Its name; `None` when the file does not name a zone of this system.
    pub name: Option<String>,
    /// Its rules; UTC when there is no name.
    pub zone: Zone,
}

/// Whether a word has the form of a zone name, be it installed or not.
pub fn has_name_form(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('/')
        && !name.ends_with('/')
        && !name.contains("//")
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'/'))
}

/// The rules of an installed zone; `UTC` exists also where no file does.
pub fn load(root: &Path, name: &str) -> Option<Zone> {
    let bytes = if has_name_form(name) { read_tzif(&root.join(ZONEINFO).join(name)) } else { None };
    match bytes {
        Some(bytes) => Zone::from_tzif(&bytes),
        None if name == "UTC" => Some(Zone::utc()),
        None => None,
    }
}

/// Whether a name is that of an installed zone: as [`load`], but a file counts by its first four bytes.
pub fn is_installed(root: &Path, name: &str) -> bool {
    name == "UTC" || has_file(root, name)
}

/// Whether the file itself is there (which `UTC` does not need).
pub fn has_file(root: &Path, name: &str) -> bool {
    has_name_form(name) && read_start(&root.join(ZONEINFO).join(name), 4).is_some()
}

/// The contents of a regular file that starts with `TZif`.
fn read_tzif(path: &Path) -> Option<Vec<u8>> {
    read_start(path, MAX_FILE)
}

fn read_start(path: &Path, most: u64) -> Option<Vec<u8>> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    bytes.starts_with(b"TZif").then_some(bytes)
}

/// Reads /etc/localtime: no file is UTC, a link into /usr/share/zoneinfo names its zone, anything else names none.
pub fn system(root: &Path) -> SystemZone {
    let unknown = SystemZone { name: None, zone: Zone::utc() };
    match fs::read_link(root.join("etc/localtime")) {
        Ok(target) => match zone_of_target(&target).and_then(|name| Some((load(root, &name)?, name))) {
            Some((zone, name)) => SystemZone { name: Some(name), zone },
            None => unknown,
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            SystemZone { name: Some("UTC".into()), zone: Zone::utc() }
        }
        Err(_) => unknown,
    }
}

/// The name behind `/usr/share/zoneinfo/` or `../usr/share/zoneinfo/`, compared by path components.
fn zone_of_target(target: &Path) -> Option<String> {
    let mut parts = target.components();
    match parts.next()? {
        Component::RootDir | Component::ParentDir => {}
        _ => return None,
    }
    for expected in ["usr", "share", "zoneinfo"] {
        if parts.next()? != Component::Normal(expected.as_ref()) {
            return None;
        }
    }
    let rest: Vec<&str> = parts.map(|part| part.as_os_str().to_str()).collect::<Option<_>>()?;
    Some(rest.join("/")).filter(|name| has_name_form(name))
}

/// The zone that programs of a caller see: `TZ` when set (a name, a path after `:`, or POSIX rules), else whatever
/// /etc/localtime holds, else UTC.
pub fn callers(root: &Path, tz: Option<&str>) -> Zone {
    match tz {
        Some(text) => {
            let name = text.strip_prefix(':').unwrap_or(text);
            let file = match name.strip_prefix('/') {
                Some(below) => read_tzif(&root.join(below)),
                None if name.split('/').any(|part| part == "..") || name.is_empty() => None,
                None => read_tzif(&root.join(ZONEINFO).join(name)),
            };
            let from_file = file.and_then(|bytes| Zone::from_tzif(&bytes));
            from_file.or_else(|| Zone::from_posix(name)).unwrap_or_else(Zone::utc)
        }
        None => {
            let file = read_tzif(&followed(root, &root.join("etc/localtime")));
            file.and_then(|bytes| Zone::from_tzif(&bytes)).unwrap_or_else(Zone::utc)
        }
    }
}

/// A path whose absolute link target is taken below the root.
fn followed(root: &Path, path: &Path) -> PathBuf {
    match fs::read_link(path) {
        Ok(target) => match target.strip_prefix("/") {
            Ok(below) => root.join(below),
            Err(_) => path.parent().unwrap_or(root).join(target),
        },
        Err(_) => path.to_path_buf(),
    }
}

/// All zone names, sorted bytewise, each once: those of tzdata.zi with their aliases, else the third column of
/// zone1970.tab, as far as they are installed (Debian keeps most aliases in a package of their own), and `UTC` always.
pub fn list(root: &Path) -> Vec<String> {
    let text = |file: &str| fs::read(root.join(ZONEINFO).join(file)).ok();
    let mut names = vec!["UTC".to_owned()];
    if let Some(bytes) = text("tzdata.zi") {
        names.extend(String::from_utf8_lossy(&bytes).lines().filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let name = match words.next()? {
                "Z" | "z" => words.next()?,
                "L" | "l" => words.nth(1)?,
                _ => return None,
            };
            Some(name.to_owned())
        }));
    } else if let Some(bytes) = text("zone1970.tab") {
        names.extend(
            String::from_utf8_lossy(&bytes)
                .lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(|line| line.split_ascii_whitespace().nth(2).map(ToOwned::to_owned)),
        );
    }
    names.sort_unstable();
    names.dedup();
    names.retain(|name| is_installed(root, name));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_into_zoneinfo_name_a_zone() {
        let name = |target: &str| zone_of_target(Path::new(target));
        assert_eq!(name("/usr/share/zoneinfo/Asia/Tokyo").as_deref(), Some("Asia/Tokyo"));
        assert_eq!(name("../usr/share/zoneinfo/UTC").as_deref(), Some("UTC"));
        assert_eq!(name("//usr//share/zoneinfo/./Asia/Tokyo").as_deref(), Some("Asia/Tokyo"));
        for other in [
            "/opt/z/IST",
            "../../usr/share/zoneinfo/UTC",
            "/usr/share/zoneinfo/Etc/../Asia/Tokyo",
            "/usr/share/zoneinfo",
            "usr/share/zoneinfo/UTC",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn names_have_a_form() {
        for good in ["Europe/Paris", "UTC", "Etc/GMT+5", "America/Port-au-Prince", "EST5EDT"] {
            assert!(has_name_form(good), "{good}");
        }
        for bad in ["", "/Europe/Paris", "Europe/", "Europe//Paris", "../../etc/passwd", "zone.tab", "A B"] {
            assert!(!has_name_form(bad), "{bad}");
        }
    }
}
