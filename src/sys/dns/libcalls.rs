//! `getaddrinfo`, `getnameinfo` and `gai_strerror`, each made safe.
#![expect(unsafe_code, reason = "std hides the EAI codes, and has no reverse look-up")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::ptr;
use std::slice;

use libc::{addrinfo, sockaddr, socklen_t};
use nix::errno::Errno;
use socket2::SockAddr;

use super::LookupError;
use crate::sys::net::Family;

/// No more addresses than this are taken from one name.
const MAX_ADDRESSES: usize = 256;
/// netdb.h: the longest name, with its NUL.
const NI_MAXHOST: usize = 1025;

unsafe extern "C" {
    // netdb.h; the libc crate declares it for some systems only
    fn getnameinfo(
        address: *const sockaddr,
        address_len: socklen_t,
        host: *mut c_char,
        host_len: socklen_t,
        service: *mut c_char,
        service_len: socklen_t,
        flags: c_int,
    ) -> c_int;
}

/// The C library's text of an EAI code.
pub(super) fn text_of(code: i32) -> String {
    // SAFETY: gai_strerror returns a static string for every number.
    let text = unsafe { CStr::from_ptr(libc::gai_strerror(code)) };
    text.to_string_lossy().into_owned()
}

/// `getaddrinfo` for UDP.
pub(super) fn addresses(
    name: &str,
    family: Option<Family>,
    port: u16,
    flags: c_int,
) -> Result<Vec<SocketAddr>, LookupError> {
    let no_name = LookupError { code: libc::EAI_NONAME, errno: None };
    let name = CString::new(name).map_err(|_| no_name)?;
    // SAFETY: an all-zero addrinfo is the documented empty hint.
    let mut hints: addrinfo = unsafe { mem::zeroed() };
    hints.ai_family = match family {
        None => libc::AF_UNSPEC,
        Some(Family::V4) => libc::AF_INET,
        Some(Family::V6) => libc::AF_INET6,
    };
    hints.ai_socktype = libc::SOCK_DGRAM;
    hints.ai_flags = flags;
    let mut list: *mut addrinfo = ptr::null_mut();
    // SAFETY: name and hints live through the call, list receives a list that is freed below.
    let code = unsafe { libc::getaddrinfo(name.as_ptr(), ptr::null(), &raw const hints, &raw mut list) };
    if code != 0 {
        return Err(error_of(code));
    }
    let mut found = Vec::new();
    let mut next = list;
    while !next.is_null() && found.len() < MAX_ADDRESSES {
        // SAFETY: an element of the list that getaddrinfo made.
        let element = unsafe { &*next };
        // SAFETY: ai_addr is good for ai_addrlen bytes.
        if let Some(mut address) = unsafe { socket_address(element.ai_addr, element.ai_addrlen) } {
            address.set_port(port);
            if !found.contains(&address) {
                found.push(address);
            }
        }
        next = element.ai_next;
    }
    // SAFETY: it came from getaddrinfo, and nothing of it is used later.
    unsafe { libc::freeaddrinfo(list) };
    if found.is_empty() { Err(no_name) } else { Ok(found) }
}

/// `getnameinfo`: the name or an error, never the number; what a terminal could choke on counts as no name.
pub(super) fn name(address: IpAddr) -> Result<String, LookupError> {
    let address = SockAddr::from(SocketAddr::new(address, 0));
    let mut host = [0_u8; NI_MAXHOST];
    // SAFETY: the address is good for its length, the buffer for its own; no service is asked for.
    let code = unsafe {
        getnameinfo(
            address.as_ptr().cast(),
            address.len(),
            host.as_mut_ptr().cast(),
            socklen_t::try_from(host.len()).unwrap_or(0),
            ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if code != 0 {
        return Err(error_of(code));
    }
    let name = CStr::from_bytes_until_nul(&host).ok().and_then(|name| name.to_str().ok()).unwrap_or_default();
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(LookupError { code: libc::EAI_NONAME, errno: None });
    }
    Ok(name.to_owned())
}

fn error_of(code: c_int) -> LookupError {
    LookupError { code, errno: (code == libc::EAI_SYSTEM).then(Errno::last) }
}

/// Copies a C address.
///
/// # Safety
/// `address` is good for reads of `len` bytes.
unsafe fn socket_address(address: *const sockaddr, len: socklen_t) -> Option<SocketAddr> {
    let len_bytes = usize::try_from(len).ok()?;
    // SAFETY: the caller's promise.
    let bytes = unsafe { slice::from_raw_parts(address.cast::<u8>(), len_bytes) };
    // SAFETY: a sockaddr_storage of zeros is valid, `len` bytes of an address are put into it, never more than fit.
    let made = unsafe {
        SockAddr::try_init(|storage, storage_len| {
            let room = slice::from_raw_parts_mut(storage.cast::<u8>(), size_of::<libc::sockaddr_storage>());
            room.fill(0);
            if let Some(front) = room.get_mut(..len_bytes) {
                front.copy_from_slice(bytes);
            }
            *storage_len = len;
            Ok::<(), std::io::Error>(())
        })
    };
    made.ok()?.1.as_socket()
}
