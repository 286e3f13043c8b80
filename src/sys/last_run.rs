//! When a program of this host ended last: a small file below /run that holds a reading of the monotonic clock.
//!
//! Rate limiters count whole seconds; a second run within the same second would be refused (`ntpdate` twice in a row).

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::clock;
use crate::types::{MonoTime, TimeDelta};

/// The open file; it outlives a change of user.
#[derive(Debug)]
pub struct LastRun {
    file: File,
    ended: Option<MonoTime>,
}

impl LastRun {
    /// Opens or makes the file; `None` where that is not possible, and nothing is lost.
    pub fn open(path: &Path) -> Option<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
        let mut file = options.open(path).ok()?;
        let mut text = String::new();
        (&mut file).take(32).read_to_string(&mut text).ok()?;
        let ended = text.trim().parse().ok().map(MonoTime::from_nanos);
        Some(Self { file, ended })
    }

    /// How long to wait until the last run ended `distance` ago; zero when it did, or when the clock began anew since.
    pub fn wait(&self, distance: TimeDelta) -> TimeDelta {
        let Some(ended) = self.ended else { return TimeDelta::ZERO };
        let ago = clock::mono() - ended;
        if ago.is_negative() || ago >= distance { TimeDelta::ZERO } else { distance - ago }
    }

    /// This run ends now.
    pub fn done(mut self) {
        let text = format!("{}\n", clock::mono().as_nanos());
        // without the note the next run may be refused by a rate limiter; no more than that
        let _ = self
            .file
            .rewind()
            .and_then(|()| self.file.set_len(0))
            .and_then(|()| self.file.write_all(text.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_run_waits_for_the_rest_of_the_distance() {
        let path = std::env::temp_dir().join(format!("ntpbox-last-run-{}", std::process::id()));
        let first = LastRun::open(&path).unwrap();
        assert_eq!(first.wait(TimeDelta::from_secs(1)), TimeDelta::ZERO);
        first.done();
        let second = LastRun::open(&path).unwrap();
        let wait = second.wait(TimeDelta::from_secs(1000));
        assert!(wait > TimeDelta::from_secs(900) && wait <= TimeDelta::from_secs(1000), "{wait:?}");
        assert_eq!(second.wait(TimeDelta::ZERO), TimeDelta::ZERO);
        std::fs::write(&path, "garbage").unwrap();
        assert_eq!(LastRun::open(&path).unwrap().wait(TimeDelta::MAX), TimeDelta::ZERO);
        std::fs::write(&path, format!("{}", i64::MAX)).unwrap();
        assert_eq!(LastRun::open(&path).unwrap().wait(TimeDelta::MAX), TimeDelta::ZERO);
        std::fs::remove_file(&path).unwrap();
        assert!(LastRun::open(Path::new("/nonexistent/x")).is_none());
    }
}
