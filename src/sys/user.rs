//! Users, and giving up root but for what a clock needs.
//!
//! `getpwnam` and the plain set…id calls are used on purpose (portable-io.md); they are not for use beside other threads that
//! look up users, and this program has none.
#![expect(
    unsafe_code,
    reason = "getpwnam, capget and capset; the latter two are in every libc but not in the libc crate"
)]

use std::ffi::{CStr, CString};

use libc::{c_int, gid_t, uid_t};
use nix::errno::Errno;
use nix::sys::prctl::set_keepcaps;
use nix::unistd::{Gid, Uid, getegid, geteuid, initgroups, setgid, setuid};

use super::SysError;

/// A user of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The number.
    pub uid: uid_t,
    /// The primary group.
    pub gid: gid_t,
}

/// What a process without root may still do (linux/capability.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Capability {
    /// Bind ports below 1024.
    NetBindService = 10,
    /// Set the clocks of the system, its hardware clock included.
    SysTime = 25,
}

/// Looks a user up by name.
///
/// # Errors
/// `getpwnam`: the user database cannot be read. Unknown names are `Ok(None)`.
pub fn find_user(name: &str) -> Result<Option<User>, SysError> {
    let Ok(c_name) = CString::new(name) else { return Ok(None) };
    Errno::clear();
    // SAFETY: the name is a C string; the result is copied before anybody can call getpwnam again.
    let entry = unsafe { libc::getpwnam(c_name.as_ptr()).as_ref() };
    let Some(entry) = entry else { return not_found("getpwnam", name) };
    Ok(Some(User { name: name.to_owned(), uid: entry.pw_uid, gid: entry.pw_gid }))
}

/// Looks the number of a group up by name.
///
/// # Errors
/// `getgrnam`: the group database cannot be read. Unknown names are `Ok(None)`.
pub fn find_group(name: &str) -> Result<Option<gid_t>, SysError> {
    let Ok(c_name) = CString::new(name) else { return Ok(None) };
    Errno::clear();
    // SAFETY: as in find_user.
    let entry = unsafe { libc::getgrnam(c_name.as_ptr()).as_ref() };
    let Some(entry) = entry else { return not_found("getgrnam", name) };
    Ok(Some(entry.gr_gid))
}

/// "Not there" has several error numbers (getpwnam(3)); trouble has others.
fn not_found<T>(operation: &'static str, name: &str) -> Result<Option<T>, SysError> {
    match Errno::last() {
        errno @ (Errno::EIO | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => {
            Err(SysError::new(operation, name, errno))
        }
        _ => Ok(None),
    }
}

/// The name of a user number, for messages; `None` when it has none.
pub fn name_of(uid: uid_t) -> Option<String> {
    // SAFETY: as in find_user.
    let entry = unsafe { libc::getpwuid(uid).as_ref() }?;
    // SAFETY: pw_name is a C string of that entry.
    Some(unsafe { CStr::from_ptr(entry.pw_name) }.to_string_lossy().into_owned())
}

/// Becomes `user` with all its groups, keeping those of the named capabilities that we have. There is no way back.
///
/// Call it before other threads start: capabilities belong to threads. Root (uid 0) as the user changes nothing; being that user
/// already, it only gives the other capabilities up.
///
/// # Errors
/// `prctl`, `setgroups`, `setgid`, `setuid`, `capset`: EPERM without root. On an error some of it may be done: end the process.
pub fn drop_privileges(user: &User, keep: &[Capability]) -> Result<(), SysError> {
    if user.uid == 0 {
        return Ok(());
    }
    let failed = |operation| move |errno| SysError::new(operation, user.name.clone(), errno);
    let permitted = read_capabilities().map_err(failed("capget"))?.permitted;
    let wanted = keep.iter().fold(0, |bits, capability| bits | bit(*capability));
    if geteuid() != Uid::from_raw(user.uid) || getegid() != Gid::from_raw(user.gid) {
        let name = CString::new(user.name.as_str()).map_err(|_| failed("setgroups")(Errno::EINVAL))?;
        set_keepcaps(wanted != 0).map_err(failed("prctl"))?;
        initgroups(&name, Gid::from_raw(user.gid)).map_err(failed("setgroups"))?;
        setgid(Gid::from_raw(user.gid)).map_err(failed("setgid"))?;
        setuid(Uid::from_raw(user.uid)).map_err(failed("setuid"))?;
        set_keepcaps(false).map_err(failed("prctl"))?;
    }
    let kept = wanted & permitted;
    write_capabilities(Capabilities { effective: kept, permitted: kept }).map_err(failed("capset"))
}

/// Whether the kernel grants this process a capability now. Under a time simulator the clock may be set without it.
pub fn has_capability(capability: Capability) -> bool {
    read_capabilities().is_ok_and(|c| c.effective & bit(capability) != 0)
}

/// The numbers of our user and group.
pub fn ourselves() -> (uid_t, gid_t) {
    (geteuid().as_raw(), getegid().as_raw())
}

/// Whether we are root by number; capabilities may be missing all the same.
pub fn is_root() -> bool {
    geteuid().is_root()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Capabilities {
    effective: u64,
    permitted: u64,
}

const fn bit(capability: Capability) -> u64 {
    1 << capability as u32
}

/// linux/capability.h: `_LINUX_CAPABILITY_VERSION_3`, two words of each set.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

unsafe extern "C" {
    fn capget(header: *mut CapabilityHeader, data: *mut CapabilityData) -> c_int;
    fn capset(header: *mut CapabilityHeader, data: *const CapabilityData) -> c_int;
}

fn read_capabilities() -> Result<Capabilities, Errno> {
    let mut header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let mut data = [CapabilityData::default(); 2];
    // SAFETY: version 3 fills two elements.
    Errno::result(unsafe { capget(&raw mut header, data.as_mut_ptr()) })?;
    let [low, high] = data;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(Capabilities {
        effective: join(low.effective, high.effective),
        permitted: join(low.permitted, high.permitted),
    })
}

fn write_capabilities(to: Capabilities) -> Result<(), Errno> {
    let mut header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let half = |shift: u32| {
        let word = |bits: u64| u32::try_from(bits >> shift & u64::from(u32::MAX)).unwrap_or(0);
        CapabilityData { effective: word(to.effective), permitted: word(to.permitted), inheritable: 0 }
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads two elements.
    Errno::result(unsafe { capset(&raw mut header, data.as_ptr()) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{rerun, skipped};

    #[test]
    fn users_and_groups_are_found_or_not() {
        let root = find_user("root").unwrap().expect("root");
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(find_user("no-such-user-here").unwrap(), None);
        assert_eq!(find_user("a\0b").unwrap(), None);
        assert_eq!(find_group("root").unwrap(), Some(0));
        assert_eq!(find_group("no-such-group-here").unwrap(), None);
        assert_eq!(name_of(0).as_deref(), Some("root"));
        assert_eq!(name_of(4_000_000_000), None);
    }

    #[test]
    fn our_capabilities_are_those_that_proc_shows() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        let ours = Capabilities { effective: field("CapEff:"), permitted: field("CapPrm:") };
        assert_eq!(read_capabilities(), Ok(ours));
        assert_eq!(has_capability(Capability::SysTime), ours.effective >> 25 & 1 == 1);
    }

    #[test]
    fn root_becomes_a_user_that_keeps_only_what_is_named() {
        if !is_root() || !has_capability(Capability::NetBindService) {
            skipped("needs root");
            return;
        }
        let Some(user) = find_user("nobody").unwrap() else {
            skipped("there is no user nobody");
            return;
        };
        if rerun("sys::user::tests::root_becomes_a_user_that_keeps_only_what_is_named", &["env"]).is_some() {
            return;
        }
        // NetBindService: the clock is of no use here
        drop_privileges(&user, &[Capability::NetBindService]).unwrap();
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = |name: &str| status.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
        assert_eq!(line("CapEff:"), "CapEff:\t0000000000000400");
        assert_eq!(line("CapPrm:"), "CapPrm:\t0000000000000400");
        assert_eq!(line("CapInh:"), "CapInh:\t0000000000000000");
        assert_eq!(line("Uid:"), format!("Uid:\t{0}\t{0}\t{0}\t{0}", user.uid));
        assert_eq!(line("Gid:"), format!("Gid:\t{0}\t{0}\t{0}\t{0}", user.gid));
        assert!(!line("Groups:").split_whitespace().any(|group| group == "0"), "{}", line("Groups:"));
        assert!(!has_capability(Capability::SysTime) && has_capability(Capability::NetBindService));
        // no way back, and a second time is fine
        assert!(setuid(Uid::from_raw(0)).is_err());
        drop_privileges(&user, &[]).unwrap();
        assert!(!has_capability(Capability::NetBindService));
        let root = User { name: "daemon".to_owned(), uid: 1, gid: 1 };
        assert_eq!(
            drop_privileges(&root, &[]).unwrap_err().to_string(),
            "setgroups daemon: Operation not permitted"
        );
    }
}
