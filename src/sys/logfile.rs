//! A file that lines are appended to.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::SysError;

/// An open log file.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    /// Opens a file to append to, or makes it (mode 0644).
    ///
    /// # Errors
    /// `open`.
    pub fn open(path: &Path) -> Result<Self, SysError> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o644).custom_flags(libc::O_CLOEXEC);
        let file =
            options.open(path).map_err(|e| SysError::from_io("open", path.display().to_string(), &e))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Gives the file a second name (a hard link). A link that has this name gives way; a file of its own stays as it is, and so
    /// does everything on a file system without links.
    ///
    /// # Errors
    /// `link`, other than for lack of links.
    pub fn link_as(&self, name: &Path) -> Result<(), SysError> {
        if std::fs::symlink_metadata(name).is_ok_and(|known| known.is_file() && known.nlink() > 1) {
            // a failure shows below
            let _ = std::fs::remove_file(name);
        }
        match std::fs::hard_link(&self.path, name) {
            Err(e) if !matches!(e.raw_os_error(), Some(libc::EEXIST | libc::EPERM | libc::EOPNOTSUPP)) => {
                Err(SysError::from_io("link", name.display().to_string(), &e))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Appends bytes by one write: all of them or, on a full disk, none.
    ///
    /// # Errors
    /// `write`: ENOSPC and its kin.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), SysError> {
        let mut left = bytes;
        while !left.is_empty() {
            let error = match self.file.write(left) {
                Ok(0) => ErrorKind::WriteZero.into(),
                Ok(written) => {
                    left = left.get(written..).unwrap_or_default();
                    continue;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => e,
            };
            self.take_back(bytes.len() - left.len());
            return Err(SysError::from_io("write", self.path.display().to_string(), &error));
        }
        Ok(())
    }

    /// Half a line would be glued to the next one.
    fn take_back(&self, written: usize) {
        let written = u64::try_from(written).unwrap_or(0);
        if let Ok(known) = self.file.metadata()
            && known.is_file()
            && written > 0
        {
            // what cannot be taken back stays
            let _ = self.file.set_len(known.len().saturating_sub(written));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{own_network, rerun};

    #[test]
    fn a_full_disk_leaves_whole_lines() {
        let Some(prefix) = own_network("mkdir $T/s; mount -t tmpfs -o size=16k small $T/s") else { return };
        if rerun("sys::logfile::tests::a_full_disk_leaves_whole_lines", &prefix).is_some() {
            return;
        }
        let path = Path::new("/mnt/s/log");
        std::fs::write("/mnt/s/other", [0; 5000]).unwrap();
        let mut log = LogFile::open(path).unwrap();
        let line = format!("{}\n", "x".repeat(99));
        let fits = (0..1000).take_while(|_| log.append(line.as_bytes()).is_ok()).count();
        assert_eq!(fits, 8192 / line.len());
        assert!(log.append(line.as_bytes()).is_err());
        std::fs::remove_file("/mnt/s/other").unwrap();
        log.append(line.as_bytes()).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), line.repeat(fits + 1));
    }
}
