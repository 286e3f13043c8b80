//! Links and copies of our own executable: who occupies a name, and how it is taken without a moment of half a file.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use super::SysError;

/// Stands in every build of this program, so that a copy is known whatever its version and name.
static MARKER: [u8; 49] = *b"\0ntpbox multicall binary 5f2c9a47-d1e0-4b8e-9c63\0";
/// How much of a file is looked at in one go.
const CHUNK: u64 = 64 * 1024;
/// How many names for a temporary file are tried.
const ATTEMPTS: u32 = 16;

/// The running executable.
#[derive(Debug, Clone)]
pub struct Executable {
    /// Its path without symbolic links.
    pub path: PathBuf,
    identity: (u64, u64),
}

/// What stands at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupant {
    /// Nothing.
    Nothing,
    /// The running executable's own file, under the name by which it was found.
    Itself,
    /// A symbolic link to a build of this program; its text.
    OurLink(PathBuf),
    /// A build of this program as a file of its own (or a hard link).
    OurFile {
        /// Whether it holds the same bytes as the running executable.
        identical: bool,
    },
    /// A directory: never replaced.
    Directory,
    /// Something else.
    Foreign(Foreign),
}

/// What is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// A file that holds something else.
    File,
    /// A symbolic link to something else.
    Link,
    /// A symbolic link that leads nowhere.
    DanglingLink,
    /// A socket, a pipe or a device.
    Special,
}

/// Finds the running executable.
///
/// # Errors
/// When /proc is missing or the file was deleted.
pub fn executable() -> Result<Executable, SysError> {
    let failed = |e: io::Error| SysError::from_io("readlink", "/proc/self/exe", &e);
    let path = std::env::current_exe().and_then(fs::canonicalize).map_err(failed)?;
    let meta = fs::metadata(&path).map_err(failed)?;
    Ok(Executable { path, identity: identity(&meta) })
}

/// The directory's path without symbolic links.
///
/// # Errors
/// When it is missing or no directory.
pub fn directory(dir: &Path) -> Result<PathBuf, SysError> {
    let failed = |e: io::Error| SysError::from_io("open", dir.display().to_string(), &e);
    let path = fs::canonicalize(dir).map_err(failed)?;
    // a directory can be read as one, anything else is ENOTDIR
    fs::read_dir(&path).map_err(failed)?;
    Ok(path)
}

/// Says what stands at `path`; the directory part is free of symbolic links.
///
/// # Errors
/// When it cannot be looked at or read.
pub fn occupant(path: &Path, executable: &Executable) -> Result<Occupant, SysError> {
    let failed = |e: io::Error| SysError::from_io("open", path.display().to_string(), &e);
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Occupant::Nothing),
        Err(e) => return Err(failed(e)),
    };
    if meta.is_symlink() {
        let text = fs::read_link(path).map_err(failed)?;
        let target = match fs::metadata(path) {
            Ok(target) => target,
            Err(e) if e.kind() == ErrorKind::NotFound || e.raw_os_error() == Some(libc::ELOOP) => {
                return Ok(Occupant::Foreign(Foreign::DanglingLink));
            }
            Err(e) => return Err(failed(e)),
        };
        let ours = identity(&target) == executable.identity
            || (target.is_file() && is_our_binary(path).map_err(failed)?);
        return Ok(if ours { Occupant::OurLink(text) } else { Occupant::Foreign(Foreign::Link) });
    }
    if meta.is_dir() {
        Ok(Occupant::Directory)
    } else if !meta.is_file() {
        Ok(Occupant::Foreign(Foreign::Special))
    } else if path == executable.path {
        Ok(Occupant::Itself)
    } else if identity(&meta) == executable.identity {
        Ok(Occupant::OurFile { identical: true })
    } else if is_our_binary(path).map_err(failed)? {
        let identical = same_bytes(path, &executable.path).map_err(failed)?;
        Ok(Occupant::OurFile { identical })
    } else {
        Ok(Occupant::Foreign(Foreign::File))
    }
}

/// Makes `path` a symbolic link with this text, in place of whatever file or link was there.
///
/// # Errors
/// Those of symlink and rename; `path` is then as it was.
pub fn put_symlink(target: &Path, path: &Path) -> Result<(), SysError> {
    put(path, |temporary| symlink(target, temporary))
}

/// Makes `path` a copy of the executable (mode 0755), in place of whatever file or link was there.
///
/// # Errors
/// Those of reading, writing, syncing and renaming; `path` is then as it was.
pub fn put_copy(executable: &Executable, path: &Path) -> Result<(), SysError> {
    put(path, |temporary| {
        let mut source = File::open(&executable.path)?;
        let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o755).open(temporary)?;
        io::copy(&mut source, &mut copy)?;
        copy.flush()?;
        // the umask does not count: what is installed is for everybody
        copy.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        copy.sync_all()
    })
}

/// Fills a temporary name beside `path`, then renames it over `path`.
fn put(path: &Path, fill: impl Fn(&Path) -> io::Result<()>) -> Result<(), SysError> {
    let failed = |operation, e: io::Error| SysError::from_io(operation, path.display().to_string(), &e);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut attempt = 0;
    let temporary = loop {
        let temporary = path.with_file_name(format!(".{name}.ntpbox-{}-{attempt}", std::process::id()));
        match fill(&temporary) {
            Ok(()) => break temporary,
            Err(e) if e.kind() == ErrorKind::AlreadyExists && attempt < ATTEMPTS => attempt += 1,
            Err(e) => {
                if e.kind() != ErrorKind::AlreadyExists {
                    let _ = fs::remove_file(&temporary);
                }
                return Err(failed("create", e));
            }
        }
    };
    if let Err(e) = fs::rename(&temporary, path) {
        let _ = fs::remove_file(&temporary);
        return Err(failed("rename", e));
    }
    // the name itself survives a crash too; a file system that cannot sync directories is no reason to fail
    if let Some(dir) = path.parent() {
        let _ = File::open(dir).and_then(|dir| dir.sync_all());
    }
    Ok(())
}

fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// Whether a regular file is an ELF file that holds the marker.
fn is_our_binary(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let mut window = Vec::new();
    let mut first = true;
    loop {
        let read = (&file).take(CHUNK).read_to_end(&mut window)?;
        if std::mem::take(&mut first) && !window.starts_with(b"\x7fELF") {
            return Ok(false);
        }
        if holds_marker(&window) {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
        window.drain(..window.len().saturating_sub(MARKER.len() - 1));
    }
}

fn holds_marker(bytes: &[u8]) -> bool {
    bytes.windows(MARKER.len()).any(|window| window == MARKER)
}

fn same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    loop {
        left.clear();
        right.clear();
        (&one).take(CHUNK).read_to_end(&mut left)?;
        (&other).take(CHUNK).read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}
