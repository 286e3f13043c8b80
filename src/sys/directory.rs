//! Folders and files of a daemon: made for its user, judged by owner and mode.
#![expect(unsafe_code, reason = "access(2)")]

use std::ffi::CString;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::Path;

use nix::errno::Errno;

use super::SysError;

/// What is wrong with a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It cannot be made (`mkdir`, `chown`).
    NotMade(SysError),
    /// It cannot be looked at.
    NoAccess(SysError),
    /// Something else has its name.
    NotDirectory,
    /// More may be done with it than was allowed.
    Mode,
    /// It belongs to another user than this one.
    Owner(u32),
    /// It belongs to another group than this one.
    Group(u32),
}

/// Makes a folder with mode 0750 for a user and its group, and the folders above it (mode 0755, ours). One that is there stays as it is.
///
/// # Errors
/// [`Unfit::NotMade`], [`Unfit::NotDirectory`].
pub fn make(path: &Path, uid: u32, gid: u32) -> Result<(), Unfit> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(Unfit::NotDirectory),
        Err(_) => {}
    }
    let failed =
        |operation, e: &_| Unfit::NotMade(SysError::from_io(operation, path.display().to_string(), e));
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(|e| failed("mkdir", &e))?;
    }
    match DirBuilder::new().mode(0o750).create(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists || !path.is_dir() => return Err(failed("mkdir", &e)),
        _ => {}
    }
    let made = fs::symlink_metadata(path).map_err(|e| failed("mkdir", &e))?;
    if (made.uid(), made.gid()) != (uid, gid) {
        lchown(path, Some(uid), Some(gid)).map_err(|e| failed("chown", &e))?;
    }
    Ok(())
}

/// Whether a folder belongs to this user and group and allows no more than `mode`.
///
/// # Errors
/// The first thing that is wrong: access, kind, mode, owner, group.
pub fn check(path: &Path, mode: u32, uid: u32, gid: u32) -> Result<(), Unfit> {
    let found = fs::metadata(path)
        .map_err(|e| Unfit::NoAccess(SysError::from_io("stat", path.display().to_string(), &e)))?;
    if !found.is_dir() {
        Err(Unfit::NotDirectory)
    } else if found.mode() & 0o777 & !mode != 0 {
        Err(Unfit::Mode)
    } else if found.uid() != uid {
        Err(Unfit::Owner(uid))
    } else if found.gid() != gid {
        Err(Unfit::Group(gid))
    } else {
        Ok(())
    }
}

/// What others than owner and group may do with a file: the last octal digit of its mode.
///
/// # Errors
/// `stat`.
pub fn mode_for_others(path: &Path) -> Result<u32, SysError> {
    fs::metadata(path)
        .map(|found| found.mode() & 0o7)
        .map_err(|e| SysError::from_io("stat", path.display().to_string(), &e))
}

/// What a process wants to do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Read it.
    Read,
    /// Write to it.
    Write,
}

/// Whether this process, by its real user, may do that.
///
/// # Errors
/// `access`: EACCES and the like.
pub fn may(path: &Path, wish: Wish) -> Result<(), SysError> {
    let failed = |errno| SysError::new("access", path.display().to_string(), errno);
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| failed(Errno::EINVAL))?;
    let mode = match wish {
        Wish::Read => libc::R_OK,
        Wish::Write => libc::W_OK,
    };
    // SAFETY: a C string and a number.
    Errno::result(unsafe { libc::access(name.as_ptr(), mode) }).map(drop).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn folders_are_made_and_judged() {
        let dir = std::env::temp_dir().join(format!("ntpbox-directory-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let me = fs::metadata(&dir).unwrap();
        let (uid, gid) = (me.uid(), me.gid());
        let path = dir.join("a/b");
        assert!(matches!(check(&path, 0o770, uid, gid), Err(Unfit::NoAccess(_))));
        make(&path, uid, gid).unwrap();
        make(&path, uid, gid).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777 & !0o750, 0);
        assert_eq!(check(&path, 0o770, uid, gid), Ok(()));
        assert_eq!(check(&path, 0o770, uid + 1, gid), Err(Unfit::Owner(uid + 1)));
        assert_eq!(check(&path, 0o770, uid, gid + 1), Err(Unfit::Group(gid + 1)));
        for (mode, fits) in [(0o700, true), (0o1770, true), (0o755, false), (0o751, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(check(&path, 0o770, uid, gid).is_ok(), fits, "{mode:o}");
        }
        let file = dir.join("file");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
        assert_eq!(mode_for_others(&file), Ok(4));
        assert_eq!(make(&file, uid, gid), Err(Unfit::NotDirectory));
        assert!(matches!(make(&file.join("x"), uid, gid), Err(Unfit::NotMade(_))));
        assert_eq!(may(&file, Wish::Read), Ok(()));
        assert_eq!(may(&dir.join("none"), Wish::Write).unwrap_err().errno, Errno::ENOENT);
        fs::remove_dir_all(&dir).unwrap();
    }
}
