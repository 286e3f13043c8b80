//! Measurement histories that outlive the daemon (`dumpdir`, `-r`): one file a source, in chronyd's form.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use super::statlog::exponential;
use crate::engine::daemon::{DumpedSample, SourceDump};
use crate::sys::{SysError, file, glob};
use crate::types::{Leap, Secs, TimeDelta, Timestamp};

/// What a file begins with.
const MAGIC: &str = "SRC0";
/// Samples of a file that are read.
const MOST: usize = 64;
/// Numbers in the line of a sample.
const COLUMNS: usize = 7;

/// The file of a source.
pub fn file_name(address: IpAddr) -> String {
    format!("{address}.dat")
}

/// Whether this is the name of a dump file, so that it may be removed.
pub fn is_dump(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".dat") else { return false };
    let refid = stem.strip_prefix("refid:").map(|hex| hex.len() == 8 && u32::from_str_radix(hex, 16).is_ok());
    refid.unwrap_or_else(|| stem.parse::<IpAddr>().is_ok())
}

/// A dump file is shorter.
const LIMIT: usize = 1 << 16;

/// Writes a file for each source. Answers the first thing that went wrong.
pub fn write_all(directory: &Path, dumps: &[(IpAddr, SourceDump)]) -> Option<SysError> {
    let mut failed = None;
    for (address, dump) in dumps {
        let path = directory.join(file_name(*address));
        if let Err(error) = file::replace(&path, emit(dump).as_bytes(), 0o640) {
            failed = failed.or(Some(error));
        }
    }
    failed
}

/// Takes all dump files from a folder: they are read and removed. `None`: the file is damaged.
pub fn take_all(directory: &Path) -> Vec<(IpAddr, Option<SourceDump>)> {
    let mut taken = Vec::new();
    for name in glob::names_in(directory) {
        let Some(name) = name.to_str().filter(|name| is_dump(name)) else { continue };
        let path = directory.join(name);
        if let Some(address) = name.strip_suffix(".dat").and_then(|stem| stem.parse().ok()) {
            let text = file::read_bounded(&path, LIMIT).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            taken.push((address, text.and_then(|text| parse(&text))));
        }
        // a file that stays is read again next time
        let _ = std::fs::remove_file(&path);
    }
    taken
}

/// The text of a file. Its offsets have the other sign: > 0, our clock is fast.
pub fn emit(dump: &SourceDump) -> String {
    let leap = match dump.leap {
        Leap::None => 0,
        Leap::Add => 1,
        Leap::Delete => 2,
        Leap::Unsynchronised => 3,
    };
    let mut text = format!(
        "{MAGIC}\n{}\n{} {:o} {} {} {leap}\n{} {}\n",
        dump.name,
        u8::from(dump.authenticated),
        dump.reach,
        dump.reach_size,
        dump.stratum,
        dump.samples.len(),
        dump.asymmetry_run,
    );
    for sample in &dump.samples {
        let (secs, nanos) = (sample.time.secs(), sample.time.subsec_nanos());
        let _ = write!(text, "{secs}.{nanos:09}");
        let values = [
            -sample.offset,
            -sample.original,
            sample.delay.get(),
            sample.dispersion.get(),
            sample.root_delay.get(),
            sample.root_dispersion.get(),
        ];
        for value in values {
            text.push(' ');
            text.push_str(exponential(value, 0, 6).as_str());
        }
        text.push('\n');
    }
    text
}

/// What a file says; `None`: it is not one, or damaged.
pub fn parse(text: &str) -> Option<SourceDump> {
    let mut lines = text.lines();
    if lines.next()? != MAGIC {
        return None;
    }
    let name = lines.next()?.to_owned();
    let head: Vec<&str> = lines.next()?.split_ascii_whitespace().collect();
    let [auth, reach, reach_size, stratum, leap] = head[..] else { return None };
    let counts: Vec<&str> = lines.next()?.split_ascii_whitespace().collect();
    let [count, asymmetry_run] = counts[..] else { return None };
    let count: usize = count.parse().ok().filter(|count| *count <= MOST)?;
    let samples: Option<Vec<DumpedSample>> = lines.by_ref().take(count).map(sample).collect();
    let samples = samples.filter(|samples| samples.len() == count)?;
    Some(SourceDump {
        name,
        authenticated: match auth {
            "0" => false,
            "1" => true,
            _ => return None,
        },
        reach: u8::from_str_radix(reach, 8).ok()?,
        reach_size: reach_size.parse().ok().filter(|size| *size <= 8)?,
        stratum: stratum.parse().ok().filter(|stratum| *stratum <= 16)?,
        leap: match leap {
            "0" => Leap::None,
            "1" => Leap::Add,
            "2" => Leap::Delete,
            "3" => Leap::Unsynchronised,
            _ => return None,
        },
        asymmetry_run: asymmetry_run.parse().ok()?,
        samples,
    })
}

fn sample(line: &str) -> Option<DumpedSample> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [time, numbers @ ..] = &words[..] else { return None };
    let (secs, nanos) = time.split_once('.')?;
    let nanos = if nanos.len() == 9 { nanos.parse().ok()? } else { return None };
    let numbers: Option<Vec<f64>> =
        numbers.iter().map(|word| word.parse().ok().filter(|n: &f64| n.is_finite())).collect();
    let numbers = numbers.filter(|numbers| numbers.len() == COLUMNS - 1)?;
    let [offset, original, delay, dispersion, root_delay, root_dispersion] = numbers[..] else { return None };
    let bound = |value: f64| Secs::new(value).filter(|_| (0.0..=1e6).contains(&value));
    TimeDelta::from_secs_f64(offset)?;
    Some(DumpedSample {
        time: Timestamp::from_unix(secs.parse().ok()?, nanos),
        offset: -offset,
        original: -original,
        delay: bound(delay)?,
        dispersion: bound(dispersion)?,
        root_delay: bound(root_delay)?,
        root_dispersion: bound(root_dispersion)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by chronyd 4.9 with a server that was 5 s ahead.
    const REAL: &str = "SRC0\n127.0.0.1\n0 177 7 1 0\n2 0\n\
        1795280133.413687405 -5.000043e+00 -5.000050e+00 1.225090e-04 1.230106e-06 1.225090e-04 1.230106e-06\n\
        1795280136.467476031 -5.000015e+00 -4.520000e-07 4.963300e-05 1.081148e-06 4.963300e-05 1.081148e-06\n";

    #[test]
    fn a_file_of_the_original_is_read_and_written_again() {
        let dump = parse(REAL).unwrap();
        assert_eq!((dump.reach, dump.reach_size, dump.stratum, dump.leap), (0o177, 7, 1, Leap::None));
        assert!((dump.samples[0].offset - 5.000_043).abs() < 1e-9, "our clock was behind");
        assert_eq!(dump.samples[1].time.subsec_nanos(), 467_476_031);
        assert_eq!(emit(&dump), REAL);
    }

    #[test]
    fn damage_is_seen() {
        for (from, to) in [
            ("SRC0", "SRC1"),
            ("\n2 0\n", "\n3 0\n"),
            ("\n2 0\n", "\n9999999999 0\n"),
            ("177", "899"),
            ("-4.520000e-07", "nan"),
            (" 1 0\n", " 1 7\n"),
            ("4.963300e-05", "-4.963300e-05"),
            ("1795280136.467476031", "1795280136"),
        ] {
            assert_eq!(parse(&REAL.replacen(from, to, 1)), None, "{from} → {to}");
        }
        for end in 0..REAL.len() - 1 {
            let _ = parse(&REAL[..end]);
        }
    }

    #[test]
    fn files_are_written_and_taken_once() {
        let directory = std::env::temp_dir().join(format!("ntpbox-dump-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let address = "192.0.2.7".parse().unwrap();
        let dump = parse(REAL).unwrap();
        assert_eq!(write_all(&directory, &[(address, dump.clone())]), None);
        std::fs::write(directory.join("192.0.2.8.dat"), "SRC0\n").unwrap();
        std::fs::write(directory.join("drift"), "0 0\n").unwrap();
        let mut taken = take_all(&directory);
        taken.sort_by_key(|(address, _)| *address);
        assert_eq!(taken, [(address, Some(dump.clone())), ("192.0.2.8".parse().unwrap(), None)]);
        assert!(take_all(&directory).is_empty() && directory.join("drift").exists());
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(write_all(&directory, &[(address, dump)]).is_some());
    }

    #[test]
    fn only_dump_files_are_removed() {
        for name in ["192.0.2.1.dat", "2001:db8::1.dat", "refid:50505330.dat"] {
            assert!(is_dump(name), "{name}");
        }
        for name in ["drift", "x.dat", "refid:PPS0.dat", "192.0.2.1", ".dat"] {
            assert!(!is_dump(name), "{name}");
        }
    }
}
