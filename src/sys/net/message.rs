//! `sendmsg` and `recvmsg`: addresses, control messages, and what they mean.
#![expect(
    unsafe_code,
    reason = "socket2 and nix offer no control messages for the time stamps of this kernel interface"
)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr;

use libc::{c_int, c_void, cmsghdr, iovec, msghdr, sockaddr_storage, socklen_t};
use nix::errno::Errno;
use socket2::SockAddr;

use crate::types::Timestamp;

/// Room for pktinfo (40), three stamps (64) and an extended error with its address (64), and some.
const CONTROL_LEN: usize = 256;

/// A buffer of control messages, aligned as their headers want it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct Control([u8; CONTROL_LEN]);

/// What the control messages of a packet said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Said {
    /// The kernel's stamp.
    pub(super) stamp: Option<Timestamp>,
    /// The address of ours to reply from.
    pub(super) to: Option<IpAddr>,
    /// The interface; 0 unknown.
    pub(super) interface: u32,
    /// Whether it is an ICMP or local error, and no transmit stamp.
    pub(super) is_error: bool,
}

/// What `recvmsg` returned beside payload and control messages.
pub(super) struct Head {
    pub(super) len: usize,
    pub(super) truncated: bool,
    pub(super) from: Option<SocketAddr>,
    pub(super) control_len: usize,
}

impl Control {
    pub(super) const fn new() -> Self {
        Self([0; CONTROL_LEN])
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }

    /// Writes the one message that makes a packet leave from an address; returns the length used.
    pub(super) fn encode_source(&mut self, from: IpAddr) -> usize {
        match from {
            IpAddr::V4(address) => self.encode(
                libc::IPPROTO_IP,
                libc::IP_PKTINFO,
                &libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                },
            ),
            IpAddr::V6(address) => self.encode(
                libc::IPPROTO_IPV6,
                libc::IPV6_PKTINFO,
                &libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                    ipi6_ifindex: 0,
                },
            ),
        }
    }

    fn encode<T: Copy>(&mut self, level: c_int, kind: c_int, value: &T) -> usize {
        // SAFETY: CMSG_SPACE and CMSG_LEN are arithmetic.
        let (space, len) = unsafe { (libc::CMSG_SPACE(len_of::<T>()), libc::CMSG_LEN(len_of::<T>())) };
        let space = usize::try_from(space).unwrap_or(usize::MAX);
        debug_assert!(space <= CONTROL_LEN);
        self.0 = [0; CONTROL_LEN];
        // SAFETY: the buffer is aligned for cmsghdr and longer than header and value.
        unsafe {
            let header: *mut cmsghdr = self.0.as_mut_ptr().cast();
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = len as _;
            ptr::write_unaligned(libc::CMSG_DATA(header).cast(), *value);
        }
        space
    }

    /// Reads the messages in the first `len` bytes.
    pub(super) fn decode(&self, len: usize) -> Said {
        let mut said = Said::default();
        // SAFETY: an all-zero msghdr is valid.
        let mut header: msghdr = unsafe { mem::zeroed() };
        header.msg_control = self.0.as_ptr().cast_mut().cast();
        header.msg_controllen = len.min(CONTROL_LEN) as _;
        // SAFETY: the macros stay inside msg_controllen, which is inside the buffer; nothing is written through the pointers.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
        while !next.is_null() {
            // SAFETY: the macro gave a complete header.
            let message = unsafe { &*next };
            // SAFETY: as above.
            let data: *const u8 = unsafe { libc::CMSG_DATA(next) };
            let start = data as usize - self.0.as_ptr() as usize;
            let end = start
                .saturating_add((message.cmsg_len as usize).saturating_sub(data as usize - next as usize));
            said.note(message.cmsg_level, message.cmsg_type, self.0.get(start..end).unwrap_or_default());
            // SAFETY: as above.
            next = unsafe { libc::CMSG_NXTHDR(&raw const header, next) };
        }
        said
    }
}

impl Said {
    fn note(&mut self, level: c_int, kind: c_int, data: &[u8]) {
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) => {
                // three stamps: software, an obsolete one, hardware; the second and third are not asked for
                self.stamp = self.stamp.or(read::<libc::timespec>(data).and_then(timestamp));
            }
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                self.stamp = self.stamp.or(read::<libc::timespec>(data).and_then(timestamp));
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                if let Some(info) = read::<libc::in_pktinfo>(data) {
                    let address = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
                    self.to = (!address.is_unspecified()).then_some(IpAddr::V4(address));
                    self.interface = u32::try_from(info.ipi_ifindex).unwrap_or(0);
                }
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                if let Some(info) = read::<libc::in6_pktinfo>(data) {
                    let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    self.to =
                        (!address.is_multicast() && !address.is_unspecified()).then_some(IpAddr::V6(address));
                    self.interface = info.ipi6_ifindex;
                }
            }
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                self.is_error = read::<libc::sock_extended_err>(data)
                    .is_none_or(|e| e.ee_origin != libc::SO_EE_ORIGIN_TIMESTAMPING);
            }
            _ => {}
        }
    }
}

/// `setsockopt` of an integer.
pub(super) fn set_option(fd: c_int, level: c_int, option: c_int, value: u32) -> Result<(), Errno> {
    // SAFETY: the pointer is good for the length of the call, and the length is that of the value.
    let result = unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), len_of::<u32>()) };
    Errno::result(result).map(drop)
}

/// `sendmsg`, again when a signal interrupts it.
pub(super) fn send(
    fd: c_int,
    bytes: &[u8],
    to: Option<SocketAddr>,
    from: Option<IpAddr>,
) -> Result<(), Errno> {
    let to = to.map(SockAddr::from);
    let mut control = Control::new();
    let mut part = iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: an all-zero msghdr is valid.
    let mut header: msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    if let Some(to) = &to {
        header.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_namelen = to.len();
    }
    if let Some(from) = from {
        header.msg_controllen = control.encode_source(from) as _;
        header.msg_control = control.as_mut_ptr();
    }
    loop {
        // SAFETY: all pointers in the header live until the end of this function; sendmsg writes through none of them.
        match Errno::result(unsafe { libc::sendmsg(fd, &raw const header, 0) }) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

/// `recvmsg` without waiting.
pub(super) fn receive(
    fd: c_int,
    buffer: &mut [u8],
    control: &mut Control,
    flags: c_int,
) -> Result<Head, Errno> {
    let mut part = iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut name = MaybeUninit::<sockaddr_storage>::zeroed();
    // SAFETY: an all-zero msghdr is valid.
    let mut header: msghdr = unsafe { mem::zeroed() };
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = len_of::<sockaddr_storage>();
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr();
    header.msg_controllen = CONTROL_LEN as _;
    // SAFETY: all pointers in the header are good for their lengths until the call returns.
    let len = Errno::result(unsafe { libc::recvmsg(fd, &raw mut header, flags) })?;
    Ok(Head {
        len: usize::try_from(len).unwrap_or(0).min(buffer.len()),
        truncated: header.msg_flags & libc::MSG_TRUNC != 0,
        // SAFETY: the storage was zeroed, hence every byte of it is initialised.
        from: address(unsafe { name.assume_init_ref() }, header.msg_namelen),
        control_len: header.msg_controllen as usize,
    })
}

/// The address in a storage of which the kernel filled `len` bytes.
pub(super) fn address(storage: &sockaddr_storage, len: socklen_t) -> Option<SocketAddr> {
    let copied = |to: &mut sockaddr_storage| *to = *storage;
    // SAFETY: the closure makes the storage a copy of one that the kernel filled, `len` bytes of it.
    let made = unsafe {
        SockAddr::try_init(|to, to_len| {
            copied(&mut *to.cast());
            *to_len = len;
            Ok::<(), io::Error>(())
        })
    };
    made.ok().and_then(|((), address)| address.as_socket())
}

/// `size_of::<T>()` as the socket calls want it.
pub(super) fn len_of<T>() -> socklen_t {
    socklen_t::try_from(size_of::<T>()).unwrap_or(socklen_t::MAX)
}

/// A C struct from the front of a message's data; `None` when that is too short.
fn read<T: Copy>(data: &[u8]) -> Option<T> {
    // SAFETY: the length was compared; T is one of the plain C structs above, valid for all bytes.
    (data.len() >= size_of::<T>()).then(|| unsafe { ptr::read_unaligned(data.as_ptr().cast()) })
}

/// A stamp; 0 means that there is none.
fn timestamp(t: libc::timespec) -> Option<Timestamp> {
    (t.tv_sec != 0 || t.tv_nsec != 0)
        .then(|| Timestamp::from_unix(t.tv_sec, u32::try_from(t.tv_nsec).unwrap_or(0)))
}
