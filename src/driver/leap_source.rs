//! Where leap seconds are read from (`leapseclist`, `leapsectz`).

use std::path::{Path, PathBuf};

use crate::auth::checksum;
use crate::engine::leap::{LeapTable, ListFault};
use crate::sys::file;
use crate::types::Timestamp;
use crate::types::civil::CivilTime;

/// Folder of the time zones.
const ZONES: &str = "/usr/share/zoneinfo";
/// How ntpd's lines about its file begin.
pub const LEAPFILE: &str = "leapsecond file ('";
/// Seconds of a day.
const DAY: i64 = 86_400;
/// Days before its end from which on ntpd says that a list ends soon.
const SOON: i64 = 28;
/// A longer file is no list and no zone.
const LIMIT: usize = 1 << 20;

/// A file with leap seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeapSource {
    /// `leapseclist`: its path.
    List(PathBuf),
    /// ntpd's `leapfile`: its path. The same form, told in ntpd's words.
    Leapfile {
        /// Where it lies.
        path: PathBuf,
        /// `ignorehash`: its hash is not looked at.
        unchecked: bool,
    },
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
                let check = format!("Leap second list {shown} failed check, ignoring");
                let failed =
                    |why: &str| vec![format!("Failed to {why} leap seconds list {shown}"), check.clone()];
                // what can be opened and is a folder, or endless, is no list
                let bytes = file::read_bounded(path, LIMIT)
                    .map_err(|error| failed(if error.operation == "open" { "open" } else { "parse" }))?;
                let table = LeapTable::parse_dated_list(&String::from_utf8_lossy(&bytes)).map_err(
                    |fault| match fault {
                        ListFault::Form => failed("parse"),
                        ListFault::Content => vec![check.clone()],
                    },
                )?;
                let mut lines = vec![format!("Using leap second list {shown}")];
                if table.is_expired(now) {
                    lines.push(format!("Leap second list {shown} needs update"));
                }
                Ok((table, lines))
            }
            Self::Leapfile { path, unchecked } => leapfile(path, *unchecked, now),
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

/// Reads a list as ntpd does.
fn leapfile(path: &Path, unchecked: bool, now: Timestamp) -> Result<(LeapTable, Vec<String>), Vec<String>> {
    let say = |text: &str| format!("{LEAPFILE}{}'): {text}", path.display());
    let bytes = file::read_bounded(path, LIMIT)
        .map_err(|error| vec![say(&format!("stat failed: {}", error.reason()))])?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = match hash(&text) {
        _ if unchecked => Vec::new(),
        Hash::Good => vec![say("good hash signature")],
        Hash::None => vec![say("no hash signature")],
        Hash::Bad => return Err(vec![say("signature mismatch")]),
    };
    let Some(table) = LeapTable::parse_list(&text) else {
        lines.push(say("not a list of leap seconds, ignored"));
        return Err(lines);
    };
    let day = |at: Timestamp| {
        let t = CivilTime::from_timestamp(at, 0);
        format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", t.year, t.month, t.day, t.hour, t.minute, t.second)
    };
    if let (Some(expires), Some((last, tai))) = (table.expires(), table.last()) {
        lines.push(say(&format!("loaded, expire={} last={} ofs={tai}", day(expires), day(last))));
        let seconds = expires.secs() - now.secs();
        // begun days
        let days = (seconds.abs() + DAY - 1) / DAY;
        match (seconds < 0, days) {
            (true, 0 | 1) => lines.push(say("expired 1 day ago")),
            (true, days) => lines.push(say(&format!("expired {days} days ago"))),
            (false, 0 | 1) => lines.push(say("will expire in less than one day")),
            (false, days) if days <= SOON => {
                lines.push(say(&format!("will expire in less than {days} days")))
            }
            (false, _) => {}
        }
    }
    Ok((table, lines))
}

/// What the hash of a list says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    None,
    Good,
    Bad,
}

/// `#h` has the SHA1 of the digits of `#$`, `#@` and of both numbers of each row, as five words without their leading zeros.
fn hash(text: &str) -> Hash {
    let (mut covered, mut given) = (String::new(), None);
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("#h") {
            let words: Vec<_> =
                words.split_ascii_whitespace().map(|word| u32::from_str_radix(word, 16).ok()).collect();
            given = Some(words.into_iter().collect::<Option<Vec<u32>>>().unwrap_or_default());
        } else if let Some(number) = line.strip_prefix("#$").or_else(|| line.strip_prefix("#@")) {
            covered.push_str(number.split_ascii_whitespace().next().unwrap_or_default());
        } else {
            let row = line.split('#').next().unwrap_or_default();
            row.split_ascii_whitespace().take(2).for_each(|number| covered.push_str(number));
        }
    }
    let Some(given) = given else { return Hash::None };
    let sum = checksum(covered.as_bytes());
    let words =
        sum.chunks_exact(4).filter_map(|word| word.first_chunk::<4>().map(|word| u32::from_be_bytes(*word)));
    if words.eq(given) { Hash::Good } else { Hash::Bad }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What 4.2.8p15 said of these files.
    #[test]
    fn a_leapfile_is_told_of_in_ntpds_words() {
        let rows = "#$\t3960835200\n#@\t4070908800\n2272060800\t10\n3439756800\t34\n3550089600\t35\t# 1 Jul 2012\n\
                    3644697600\t36\n3692217600\t37\n";
        assert_eq!(hash(rows), Hash::None);
        let digits = "39608352004070908800227206080010343975680034355008960035364469760036369221760037";
        let words: Vec<String> = checksum(digits.as_bytes())
            .chunks_exact(4)
            .map(|word| format!("{:x}", u32::from_be_bytes(*word.first_chunk().unwrap())))
            .collect();
        let signed = format!("{rows}#h\t{}\n", words.join(" "));
        assert_eq!(hash(&signed), Hash::Good);
        assert_eq!(hash(&signed.replace("\t37", "\t38")), Hash::Bad);
        assert_eq!(hash(&format!("{rows}#h nonsense\n")), Hash::Bad);
    }

    #[test]
    fn a_wrong_hash_can_be_ignored() {
        let directory = std::env::temp_dir().join(format!("ntpbox-leapfile-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("list");
        let rows = "3439756800\t34\n3550089600\t35\n3644697600\t36\n3692217600\t37\n";
        std::fs::write(&path, format!("#@\t4070908800\n{rows}#h 1 2 3 4 5\n")).unwrap();
        let read = |unchecked| {
            LeapSource::Leapfile { path: path.clone(), unchecked }
                .read(Timestamp::from_unix(1_795_000_000, 0))
        };
        assert!(read(false).unwrap_err()[0].ends_with("signature mismatch"));
        let (table, lines) = read(true).unwrap();
        assert_eq!(table.last().map(|(_, tai)| tai), Some(37));
        assert!(lines.len() == 1 && lines[0].ends_with("ofs=37"), "{lines:?}");
        std::fs::remove_dir_all(&directory).unwrap();
    }

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
        for endless in ["/dev", "/dev/zero"] {
            let lines = LeapSource::List(endless.into()).read(now).unwrap_err();
            assert_eq!(lines[0], format!("Failed to parse leap seconds list {endless}"));
        }
        for zone in ["Nowhere/X", "../../etc/passwd", "/etc/passwd"] {
            let lines = LeapSource::Zone(zone.to_owned()).read(now).unwrap_err();
            assert_eq!(lines, [format!("Timezone {zone} failed leap second check, ignoring")]);
        }
    }
}
