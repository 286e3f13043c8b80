//! A file that lines are appended to.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
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
