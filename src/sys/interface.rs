//! Network interfaces by name, and their addresses.
#![expect(
    unsafe_code,
    reason = "ioctl(SIOCGIFINDEX); if_nametoindex shows the real machine inside a time simulator"
)]

use std::net::IpAddr;
use std::os::fd::AsRawFd;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use socket2::{Domain, Socket, Type};

/// The index of an interface; `None` when there is no such interface.
pub fn index_of(name: &str) -> Option<u32> {
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // the last byte stays NUL
    if name.is_empty() || name.len() >= request.ifr_name.len() || name.contains('\0') {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let any = Socket::new_raw(Domain::IPV4, Type::DGRAM, None)
        .or_else(|_| Socket::new_raw(Domain::IPV6, Type::DGRAM, None))
        .ok()?;
    // SAFETY: the request is what SIOCGIFINDEX reads and writes.
    let result = unsafe { libc::ioctl(any.as_raw_fd(), libc::SIOCGIFINDEX as _, &raw mut request) };
    if result != 0 {
        return None;
    }
    // SAFETY: the kernel filled this member.
    u32::try_from(unsafe { request.ifr_ifru.ifru_ifindex }).ok()
}

/// The addresses of the interfaces that are up, in the system's order; none where it does not tell.
pub fn addresses() -> Vec<IpAddr> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    let up = all.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP));
    let address = |interface: InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    up.filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_its_address() {
        assert!(addresses().iter().any(IpAddr::is_loopback));
    }

    #[test]
    fn loopback_is_there_and_nonsense_is_not() {
        assert_eq!(index_of("lo"), Some(1));
        assert_eq!(index_of("no-such-if"), None);
        assert_eq!(index_of("a-name-longer-than-any-interface"), None);
        assert_eq!(index_of(""), None);
    }
}
