//! A file that lines are appended to.

use std::fs::{File, OpenOptions};
use std::io::Write;
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

    /// Appends bytes by one write.
    ///
    /// # Errors
    /// `write`: ENOSPC and its kin.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), SysError> {
        self.file
            .write_all(bytes)
            .map_err(|e| SysError::from_io("write", self.path.display().to_string(), &e))
    }
}
