//! Files that users own: read with a limit, replaced as a whole or not at all.
#![expect(unsafe_code, reason = "extended attributes (SELinux label, ACL) have no safe binding here")]

use std::ffi::{CStr, CString, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::{SysError, random};

/// Reads a small file as a whole.
///
/// # Errors
/// `open`, `read`; EFBIG when it is longer than `max` bytes. `object` is the path as given.
pub fn read_bounded(path: &Path, max: usize) -> Result<Vec<u8>, SysError> {
    let object = || path.display().to_string();
    let file = File::open(path).map_err(|e| SysError::from_io("open", object(), &e))?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|e| SysError::from_io("read", object(), &e))?;
    if bytes.len() > max {
        return Err(SysError::new("read", object(), Errno::EFBIG));
    }
    Ok(bytes)
}

/// How a file got its new content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// By a synced temporary file that was renamed over it: at every moment it is old or new.
    Renamed,
    /// By writing into it: it is no regular file (a device, a pipe), or nothing can be created or renamed beside it
    /// (a bind mount, a read-only directory, a full disk, another owner's file).
    InPlace,
}

/// Gives a file new content, keeping mode, owner and extended attributes; a file that was not there gets `new_mode`.
/// A symbolic link stays one: what it points at is replaced.
///
/// # Errors
/// `open`, `write`, `fsync`, `rename`: the file has its old content, unless the error came while writing in place.
/// `object` is the path as given.
pub fn replace(path: &Path, content: &[u8], new_mode: u32) -> Result<Replaced, SysError> {
    let target = link_target(path);
    let result = match fs::symlink_metadata(&target) {
        Ok(old) if old.is_file() => match rename_over(&target, content, Some(&old), new_mode) {
            Ok(()) => Ok(Replaced::Renamed),
            Err(first) if has_no_room(&first, &old, content) => Err(first),
            Err(_) => write_into(&target, content).map(|()| Replaced::InPlace),
        },
        Ok(_) => write_into(&target, content).map(|()| Replaced::InPlace),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            rename_over(&target, content, None, new_mode).map(|()| Replaced::Renamed)
        }
        Err(e) => Err(("open", e)),
    };
    result.map_err(|(operation, e)| SysError::from_io(operation, path.display().to_string(), &e))
}

/// Gives a file of our own new content; whoever made the old one, the new one is ours, with `mode`.
/// Where no file can be made beside it, it is written into.
///
/// # Errors
/// As [`replace`].
pub fn renew(path: &Path, content: &[u8], mode: u32) -> Result<Replaced, SysError> {
    let target = link_target(path);
    let old = fs::symlink_metadata(&target).ok();
    let renamed = match &old {
        Some(old) if !old.is_file() => None,
        _ => Some(rename_over(&target, content, None, mode)),
    };
    let result = match renamed {
        Some(Ok(())) => return Ok(Replaced::Renamed),
        Some(Err(first)) if old.is_some_and(|old| has_no_room(&first, &old, content)) => Err(first),
        // of two reasons the first is the one that matters
        Some(Err(first)) => write_into(&target, content).map_err(|_| first),
        None => write_into(&target, content),
    };
    let done = result.map(|()| Replaced::InPlace);
    done.map_err(|(operation, e)| SysError::from_io(operation, path.display().to_string(), &e))
}

/// The call that failed, and how.
type Failed = (&'static str, io::Error);

/// Whether the disk is full and the old content's blocks are too few for the new one: writing in place would leave half of it.
fn has_no_room((_, error): &Failed, old: &fs::Metadata, content: &[u8]) -> bool {
    /// Unit of `st_blocks`.
    const BLOCK: u64 = 512;
    let room = old.blocks().saturating_mul(BLOCK).max(old.len());
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
        && u64::try_from(content.len()).unwrap_or(u64::MAX) > room
}

/// Follows symbolic links, also to what does not exist yet.
fn link_target(path: &Path) -> PathBuf {
    /// As many as the kernel follows (MAXSYMLINKS).
    const MAX_LINKS: usize = 40;
    let mut target = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        let Ok(next) = fs::read_link(&target) else { break };
        target = target.parent().unwrap_or(Path::new("")).join(next);
    }
    target
}

fn rename_over(
    target: &Path,
    content: &[u8],
    old: Option<&fs::Metadata>,
    new_mode: u32,
) -> Result<(), Failed> {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    let unique = random::number().unwrap_or_else(|_| u64::from(std::process::id()));
    name.push(format!(".{unique:016x}"));
    let temporary = target.with_file_name(name);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(if old.is_some() { 0o600 } else { new_mode })
        .open(&temporary)
        .map_err(|e| ("open", e))?;
    let done = fill(&file, content, old.map(|old| (target, old)))
        .and_then(|()| fs::rename(&temporary, target).map_err(|e| ("rename", e)));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
        return done;
    }
    // the new name is on disk once the directory is; a file system that cannot sync directories has done its best
    if let Some(parent) = target.parent() {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let _ = File::open(parent).and_then(|dir| dir.sync_all());
    }
    Ok(())
}

fn fill(file: &File, content: &[u8], old: Option<(&Path, &fs::Metadata)>) -> Result<(), Failed> {
    let mut writer = file;
    writer.write_all(content).map_err(|e| ("write", e))?;
    if let Some((target, old)) = old {
        let made = file.metadata().map_err(|e| ("fstat", e))?;
        if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
            fchown(file, Some(old.uid()), Some(old.gid())).map_err(|e| ("fchown", e))?;
        }
        copy_attributes(target, file);
        file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777)).map_err(|e| ("fchmod", e))?;
    }
    sync(file)
}

/// `fsync`; EINVAL says that there is nothing behind the file that could be synced (fsync(2)).
fn sync(file: &File) -> Result<(), Failed> {
    match file.sync_all() {
        Err(e) if e.raw_os_error() != Some(libc::EINVAL) => Err(("fsync", e)),
        _ => Ok(()),
    }
}

fn write_into(target: &Path, content: &[u8]) -> Result<(), Failed> {
    // not truncated first: on a full disk the old blocks are what the new content needs; a pipe without reader is an error
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(target)
        .map_err(|e| ("open", e))?;
    let mut writer = &file;
    writer.write_all(content).map_err(|e| ("write", e))?;
    if file.metadata().map_err(|e| ("fstat", e))?.is_file() {
        let len = u64::try_from(content.len()).unwrap_or(u64::MAX);
        file.set_len(len).map_err(|e| ("ftruncate", e))?;
        sync(&file)?;
    }
    Ok(())
}

/// Copies extended attributes (SELinux label, ACL) as far as we may: without them the file would change its label by being renamed.
fn copy_attributes(from: &Path, to: &File) {
    /// The kernel's own limit of a value and of the list (XATTR_SIZE_MAX, XATTR_LIST_MAX).
    const LIMIT: usize = 65_536;
    let Ok(from) = CString::new(from.as_os_str().as_bytes()) else { return };
    // SAFETY: a null buffer of length 0 asks for the size only.
    if unsafe { libc::listxattr(from.as_ptr(), std::ptr::null_mut(), 0) } <= 0 {
        return;
    }
    let mut names = vec![0_u8; LIMIT];
    // SAFETY: the buffer is good for its length.
    let len = unsafe { libc::listxattr(from.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(usize::try_from(len).unwrap_or(0));
    let mut value = vec![0_u8; LIMIT];
    for name in names.split_inclusive(|&b| b == 0).filter_map(|n| CStr::from_bytes_with_nul(n).ok()) {
        // SAFETY: two C strings and a buffer that is good for its length.
        let len =
            unsafe { libc::getxattr(from.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
        let Some(value) = usize::try_from(len).ok().and_then(|len| value.get(..len)) else { continue };
        // SAFETY: an open file, a C string, and a value that is good for its length.
        unsafe { libc::fsetxattr(to.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{own_network, rerun};

    /// A directory of its own for each test, gone afterwards.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("ntpbox-file-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn entries(&self) -> usize {
            fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_new_file_has_the_mode_asked_for_and_nothing_is_left_beside_it() {
        let dir = Dir::new("new");
        let path = dir.0.join("adjtime");
        assert_eq!(replace(&path, b"one", 0o640), Ok(Replaced::Renamed));
        assert_eq!((fs::read(&path).unwrap(), mode(&path), dir.entries()), (b"one".to_vec(), 0o640, 1));
    }

    #[test]
    fn a_file_of_our_own_is_made_anew() {
        let dir = Dir::new("renew");
        let path = dir.0.join("drift");
        fs::write(&path, "something longer").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(renew(&path, b"one", 0o644), Ok(Replaced::Renamed));
        assert_eq!((fs::read(&path).unwrap(), mode(&path), dir.entries()), (b"one".to_vec(), 0o644, 1));
        let error = renew(&dir.0.join("gone/drift"), b"one", 0o644).unwrap_err();
        assert_eq!((error.operation, error.errno), ("open", Errno::ENOENT));
        assert_eq!(renew(Path::new("/dev/null"), b"one", 0o644), Ok(Replaced::InPlace));
    }

    #[test]
    fn mode_owner_and_attributes_stay() {
        let dir = Dir::new("kept");
        let path = dir.0.join("adjtime");
        fs::write(&path, "something longer than the new content").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        let c_path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: C strings and a value of three bytes. May fail: not every file system has attributes.
        let set =
            unsafe { libc::setxattr(c_path.as_ptr(), c"user.mark".as_ptr(), c"abc".as_ptr().cast(), 3, 0) };
        assert_eq!(replace(&path, b"new", 0o600), Ok(Replaced::Renamed));
        assert_eq!((fs::read(&path).unwrap(), mode(&path), dir.entries()), (b"new".to_vec(), 0o604, 1));
        let mut value = [0_u8; 8];
        // SAFETY: C strings and a buffer of eight bytes.
        let len =
            unsafe { libc::getxattr(c_path.as_ptr(), c"user.mark".as_ptr(), value.as_mut_ptr().cast(), 8) };
        assert!(set != 0 || (len == 3 && value.starts_with(b"abc")));
    }

    #[test]
    fn a_link_stays_a_link_also_to_what_does_not_exist_yet() {
        let dir = Dir::new("link");
        fs::create_dir(dir.0.join("real")).unwrap();
        let link = dir.0.join("link");
        std::os::unix::fs::symlink("real/file", &link).unwrap();
        for content in ["one", "two"] {
            assert_eq!(replace(&link, content.as_bytes(), 0o644), Ok(Replaced::Renamed));
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read_to_string(dir.0.join("real/file")).unwrap(), content);
        }
        std::os::unix::fs::symlink("loop", dir.0.join("loop")).unwrap();
        let error = replace(&dir.0.join("loop"), b"x", 0o644).unwrap_err();
        assert_eq!(error.errno, Errno::ELOOP);
    }

    #[test]
    fn devices_are_written_and_full_ones_say_so() {
        assert_eq!(replace(Path::new("/dev/null"), b"x", 0o644), Ok(Replaced::InPlace));
        let error = replace(Path::new("/dev/full"), b"x", 0o644).unwrap_err();
        assert_eq!(error.to_string(), "write /dev/full: No space left on device");
    }

    #[test]
    fn a_pipe_without_a_reader_is_an_error_and_no_wait() {
        let dir = Dir::new("pipe");
        let path = dir.0.join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(replace(&path, b"x", 0o644).unwrap_err().errno, Errno::ENXIO);
    }

    #[test]
    fn what_cannot_be_renamed_is_written_in_place_with_its_new_length() {
        let dir = Dir::new("inplace");
        let path = dir.0.join("adjtime");
        fs::write(&path, "something longer than the new content").unwrap();
        assert_eq!(write_into(&path, b"new").map_err(|(call, _)| call), Ok(()));
        assert_eq!(fs::read(&path).unwrap(), b"new");
        // /proc files: nothing can be created beside them
        let error = replace(Path::new("/proc/version"), b"x", 0o644).unwrap_err();
        assert_eq!(error.object, "/proc/version");
        let comm = Path::new("/proc/thread-self/comm");
        assert_eq!(replace(comm, b"in-place", 0o644), Ok(Replaced::InPlace));
        assert_eq!(fs::read_to_string(comm).unwrap(), "in-place\n");
    }

    /// A bind mount refuses the rename (EBUSY).
    #[test]
    fn a_mounted_file_is_written_in_place() {
        let prepare = "echo long old content > $T/f; mkdir $T/d; touch $T/d/f; mount --bind $T/f $T/d/f";
        let Some(prefix) = own_network(prepare) else { return };
        let name = "sys::file::tests::a_mounted_file_is_written_in_place";
        if rerun(name, &prefix).is_some() {
            return;
        }
        let path = Path::new("/mnt/d/f");
        assert_eq!(replace(path, b"new", 0o644), Ok(Replaced::InPlace));
        assert_eq!(fs::read("/mnt/f").unwrap(), b"new");
        assert_eq!(fs::read_dir("/mnt/d").unwrap().count(), 1);
    }

    #[test]
    fn on_a_full_disk_what_does_not_fit_leaves_the_old_content() {
        let Some(prefix) = own_network("mkdir $T/s; mount -t tmpfs -o size=32k small $T/s") else { return };
        let name = "sys::file::tests::on_a_full_disk_what_does_not_fit_leaves_the_old_content";
        if rerun(name, &prefix).is_some() {
            return;
        }
        let (path, old) = (Path::new("/mnt/s/f"), vec![b'o'; 5000]);
        fs::write(path, &old).unwrap();
        assert!(fs::write("/mnt/s/fill", vec![0; 100_000]).is_err());
        for write in [replace, renew] {
            let error = write(path, &[b'n'; 12_000], 0o644).unwrap_err();
            assert_eq!((error.operation, error.errno), ("write", Errno::ENOSPC));
            assert_eq!((fs::read(path).unwrap(), fs::read_dir("/mnt/s").unwrap().count()), (old.clone(), 2));
        }
        assert_eq!(renew(path, b"fits", 0o644), Ok(Replaced::InPlace));
        assert_eq!(fs::read(path).unwrap(), b"fits");
    }

    #[test]
    fn where_nothing_can_be_created_the_error_names_the_file_as_given() {
        let error = replace(Path::new("/no-such-directory/file"), b"x", 0o644).unwrap_err();
        assert_eq!(error.to_string(), "open /no-such-directory/file: No such file or directory");
        let error = replace(Path::new("/"), b"x", 0o644).unwrap_err();
        assert_eq!((error.operation, error.errno), ("open", Errno::EISDIR));
    }

    #[test]
    fn reading_has_a_limit() {
        let dir = Dir::new("read");
        let path = dir.0.join("f");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        assert_eq!(read_bounded(&path, 4).unwrap_err().errno, Errno::EFBIG);
        assert_eq!(read_bounded(Path::new("/dev/zero"), 100).unwrap_err().errno, Errno::EFBIG);
        assert_eq!(read_bounded(&dir.0, 100).unwrap_err().errno, Errno::EISDIR);
        assert_eq!(read_bounded(&dir.0.join("none"), 100).unwrap_err().errno, Errno::ENOENT);
    }
}
