//! File name patterns, as the C library's `glob` finds them, and the names in a folder.
#![expect(unsafe_code, reason = "glob(3) is in no safe binding here")]

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use super::SysError;

/// The files that a pattern matches, sorted; a pattern without wildcards matches itself, also when there is no such file.
///
/// # Errors
/// `glob`: a folder cannot be read (ENOENT when it is not there).
pub fn files(pattern: &str) -> Result<Vec<OsString>, SysError> {
    let Ok(c_pattern) = CString::new(pattern) else { return Ok(Vec::new()) };
    // SAFETY: a zeroed glob_t is what glob expects without GLOB_DOOFFS.
    let mut found: libc::glob_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pattern is a C string, `found` is ours; globfree follows in every case.
    let code =
        unsafe { libc::glob(c_pattern.as_ptr(), libc::GLOB_ERR | libc::GLOB_NOMAGIC, None, &raw mut found) };
    let mut paths = Vec::new();
    if code == 0 {
        for place in 0..found.gl_pathc {
            // SAFETY: gl_pathv holds gl_pathc C strings until globfree.
            let path = unsafe { CStr::from_ptr(*found.gl_pathv.add(place)) };
            paths.push(OsStr::from_bytes(path.to_bytes()).to_owned());
        }
    }
    // SAFETY: glob filled or emptied `found`, also when it failed.
    unsafe { libc::globfree(&raw mut found) };
    match code {
        0 | libc::GLOB_NOMATCH => Ok(paths),
        _ => Err(SysError::new("glob", pattern, Errno::ENOENT)),
    }
}

/// The names in a folder, sorted; none when it cannot be read.
pub fn names_in(directory: &Path) -> Vec<OsString> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<OsString> = entries.filter_map(|entry| entry.ok().map(|e| e.file_name())).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_is_an_error_a_missing_match_is_not() {
        assert!(files("/nonexistent-folder/*.conf").is_err());
        assert_eq!(files("/nonexistent-folder/a.conf"), Ok(vec!["/nonexistent-folder/a.conf".into()]));
        assert_eq!(files("/proc/self/*.nothing"), Ok(Vec::new()));
        assert_eq!(files("/proc/sel[f]"), Ok(vec!["/proc/self".into()]));
    }
}
