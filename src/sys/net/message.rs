//! `sendmsg` and `recvmsg`: addresses, control messages, and what they mean.
#![expect(
    unsafe_code,
    reason = "socket2 and nix offer no control messages for the time stamps of this kernel interface"
)]

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr;

use libc::{c_int, c_void, cmsghdr, iovec, msghdr, sa_family_t, socklen_t};
use nix::errno::Errno;

use crate::types::Timestamp;

/// Room for pktinfo (40), three stamps (64) and an extended error with its address (64), and some.
pub(super) const RECEIVE_CONTROL: usize = 256;
/// Room for the pktinfo (40) of a packet that is sent, and for the flags of its stamp (24).
pub(super) const SEND_CONTROL: usize = 64;

/// A buffer of control messages, aligned as their headers want it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct Control<const N: usize>([u8; N]);

/// A socket address of either family as the kernel reads and writes it (`sockaddr_in`, `sockaddr_in6`).
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct Name([u8; 32]);

const NAME_V4_LEN: usize = 16;
const NAME_V6_LEN: usize = 28;

impl Name {
    pub(super) const fn empty() -> Self {
        Self([0; 32])
    }

    /// The C form, and how many bytes of it count.
    pub(super) fn of(address: SocketAddr) -> (Self, socklen_t) {
        let mut name = Self::empty();
        let (family, len) = match address {
            SocketAddr::V4(a) => {
                name.0[4..8].copy_from_slice(&a.ip().octets());
                (libc::AF_INET, NAME_V4_LEN)
            }
            SocketAddr::V6(a) => {
                name.0[4..8].copy_from_slice(&a.flowinfo().to_be_bytes());
                name.0[8..24].copy_from_slice(&a.ip().octets());
                name.0[24..28].copy_from_slice(&a.scope_id().to_ne_bytes());
                (libc::AF_INET6, NAME_V6_LEN)
            }
        };
        name.0[..2].copy_from_slice(&family_number(family).to_ne_bytes());
        name.0[2..4].copy_from_slice(&address.port().to_be_bytes());
        (name, socklen_t::try_from(len).unwrap_or(0))
    }

    /// The address in the first `len` bytes; `None` for another family or too few bytes.
    pub(super) fn decode(&self, len: socklen_t) -> Option<SocketAddr> {
        let len = usize::try_from(len).ok()?;
        let family = sa_family_t::from_ne_bytes([self.0[0], self.0[1]]);
        let port = u16::from_be_bytes([self.0[2], self.0[3]]);
        if family == family_number(libc::AF_INET) && len >= NAME_V4_LEN {
            let address: [u8; 4] = self.0[4..8].try_into().ok()?;
            return Some(SocketAddr::V4(SocketAddrV4::new(address.into(), port)));
        }
        if family == family_number(libc::AF_INET6) && len >= NAME_V6_LEN {
            let address: [u8; 16] = self.0[8..24].try_into().ok()?;
            let flow = u32::from_be_bytes(self.0[4..8].try_into().ok()?);
            let scope = u32::from_ne_bytes(self.0[24..28].try_into().ok()?);
            return Some(SocketAddr::V6(SocketAddrV6::new(address.into(), port, flow, scope)));
        }
        None
    }

    /// As [`Self::decode`] when it is of IPv4.
    #[inline(always)]
    pub(super) fn decode_v4(&self, len: socklen_t) -> Option<SocketAddrV4> {
        let family = sa_family_t::from_ne_bytes([self.0[0], self.0[1]]);
        let [a, b, c, d] = [self.0[4], self.0[5], self.0[6], self.0[7]];
        let usual = usize::try_from(len) == Ok(NAME_V4_LEN) && family == family_number(libc::AF_INET);
        usual
            .then(|| SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([self.0[2], self.0[3]])))
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }

    /// How many bytes the kernel may write.
    pub(super) fn room() -> socklen_t {
        len_of::<Self>()
    }
}

fn family_number(family: c_int) -> sa_family_t {
    sa_family_t::try_from(family).unwrap_or(0)
}

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

/// What the control messages of most packets say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plain {
    /// The kernel's stamp.
    pub(super) stamp: Timestamp,
    /// The IPv4 address of ours to reply from, as it is in memory.
    pub(super) to: u32,
}

/// The length of three stamps and a pktinfo with their headers.
const PLAIN_LEN: usize = 96;
/// The headers of both messages: length, level and type.
const PLAIN_STAMP: (u64, u64) = (64, words(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING));
const PLAIN_INFO: (u64, u64) = (28, words(libc::IPPROTO_IP, libc::IP_PKTINFO));

/// Two numbers as they lie in memory one after the other.
const fn words(first: c_int, second: c_int) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// What `recvmsg` returned beside payload and control messages.
pub(super) struct Head {
    pub(super) len: usize,
    pub(super) truncated: bool,
    pub(super) from: Option<SocketAddr>,
    pub(super) control_len: usize,
}

impl<const N: usize> Control<N> {
    pub(super) const fn new() -> Self {
        Self([0; N])
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }

    /// Writes what a packet is sent with: the address it leaves from, and whether its transmit stamp is wanted. Returns the
    /// length used.
    pub(super) fn encode(&mut self, from: Option<IpAddr>, stamp: bool) -> usize {
        let used = match from {
            None => 0,
            Some(IpAddr::V4(address)) => self.append(
                0,
                libc::IPPROTO_IP,
                libc::IP_PKTINFO,
                &libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                },
            ),
            Some(IpAddr::V6(address)) => self.append(
                0,
                libc::IPPROTO_IPV6,
                libc::IPV6_PKTINFO,
                &libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                    ipi6_ifindex: 0,
                },
            ),
        };
        if stamp { self.add_stamp(used) } else { used }
    }

    /// Writes a message behind the first `used` bytes, a multiple of the alignment; returns how many it takes.
    fn append<T: Copy>(&mut self, used: usize, level: c_int, kind: c_int, value: &T) -> usize {
        // SAFETY: CMSG_SPACE and CMSG_LEN are arithmetic.
        let (space, len) = unsafe { (libc::CMSG_SPACE(len_of::<T>()), libc::CMSG_LEN(len_of::<T>())) };
        let space = usize::try_from(space).unwrap_or(usize::MAX);
        let Some(room) = used.checked_add(space).and_then(|end| self.0.get_mut(used..end)) else {
            debug_assert!(false, "no room for a control message");
            return 0;
        };
        // what pads the value must not be the rest of an earlier one
        room.fill(0);
        // SAFETY: the room is aligned for cmsghdr, as the buffer and all lengths are, and as long as header and value.
        unsafe {
            let header: *mut cmsghdr = room.as_mut_ptr().cast();
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = len as _;
            ptr::write_unaligned(libc::CMSG_DATA(header).cast(), *value);
        }
        space
    }

    /// What the messages in the first `len` bytes say when they are just a stamp and the IPv4 address of ours, as Linux lays them out
    /// on 64 bits: what [`Self::decode`] says in a fifth of its instructions.
    #[inline(always)]
    pub(super) fn plain(&self, len: usize) -> Option<Plain> {
        let word = |at: usize| self.0.get(at..at + 8)?.first_chunk().map(|word| u64::from_ne_bytes(*word));
        let half = |at: usize| self.0.get(at..at + 4)?.first_chunk().map(|half| u32::from_ne_bytes(*half));
        let usual = len == PLAIN_LEN
            && cfg!(target_pointer_width = "64")
            && word(0) == Some(PLAIN_STAMP.0)
            && word(8) == Some(PLAIN_STAMP.1)
            && word(64) == Some(PLAIN_INFO.0)
            && word(72) == Some(PLAIN_INFO.1);
        if !usual {
            return None;
        }
        let (secs, nanos) = (word(16)?.cast_signed(), word(24)?);
        let address = half(84)?;
        // within the years that nanoseconds can count, and addresses that a reply can leave from
        let stamped = (1..9_000_000_000).contains(&secs) && nanos < 1_000_000_000;
        (stamped && address != 0).then(|| Plain {
            stamp: Timestamp::from_nanos(secs * 1_000_000_000 + nanos.cast_signed()),
            to: address,
        })
    }

    /// Writes what a reply to a [`Plain`] packet is sent with; returns the length used.
    #[inline(always)]
    pub(super) fn encode_plain(&mut self, to: u32) -> usize {
        let Some((start, _)) = self.0.split_first_chunk_mut::<32>() else { return 0 };
        start[..8].copy_from_slice(&PLAIN_INFO.0.to_ne_bytes());
        start[8..16].copy_from_slice(&PLAIN_INFO.1.to_ne_bytes());
        start[16..20].fill(0);
        start[20..24].copy_from_slice(&to.to_ne_bytes());
        start[24..32].fill(0);
        32
    }

    /// Adds to what was written in the first `used` bytes that the packet's transmit stamp is wanted; returns the length used.
    pub(super) fn add_stamp(&mut self, used: usize) -> usize {
        let flags = libc::SOF_TIMESTAMPING_TX_SOFTWARE;
        used + self.append(used, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &flags)
    }

    /// Reads the messages in the first `len` bytes.
    pub(super) fn decode(&self, len: usize) -> Said {
        let mut said = Said::default();
        let mut header = empty_header();
        header.msg_control = self.0.as_ptr().cast_mut().cast();
        header.msg_controllen = len.min(N) as _;
        // SAFETY: the macros stay inside msg_controllen, which is inside the buffer; nothing is written through the pointers.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
        while !next.is_null() {
            // SAFETY: the macro gave a complete header.
            let message = unsafe { &*next };
            // SAFETY: as above.
            let data: *const u8 = unsafe { libc::CMSG_DATA(next) };
            let start = data as usize - self.0.as_ptr() as usize;
            let end =
                start.saturating_add(count(message.cmsg_len).saturating_sub(data as usize - next as usize));
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
    stamp: bool,
) -> Result<(), Errno> {
    let mut name = to.map(Name::of);
    let mut control = Control::<SEND_CONTROL>::new();
    let mut part = part_to_send(bytes);
    let mut header = empty_header();
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    if let Some((name, len)) = &mut name {
        header.msg_name = name.as_mut_ptr();
        header.msg_namelen = *len;
    }
    let len = control.encode(from, stamp);
    if len > 0 {
        header.msg_controllen = len as _;
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
    control: &mut Control<RECEIVE_CONTROL>,
    flags: c_int,
) -> Result<Head, Errno> {
    let mut part = iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut name = Name::empty();
    let mut header = empty_header();
    header.msg_name = name.as_mut_ptr();
    header.msg_namelen = Name::room();
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr();
    header.msg_controllen = RECEIVE_CONTROL as _;
    // SAFETY: all pointers in the header are good for their lengths until the call returns.
    let len = Errno::result(unsafe { libc::recvmsg(fd, &raw mut header, flags) })?;
    Ok(Head {
        len: usize::try_from(len).unwrap_or(0).min(buffer.len()),
        truncated: header.msg_flags & libc::MSG_TRUNC != 0,
        from: name.decode(header.msg_namelen),
        control_len: count(header.msg_controllen),
    })
}

/// An iovec over bytes that the kernel only reads.
pub(super) fn part_to_send(bytes: &[u8]) -> iovec {
    iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// A header that points nowhere.
pub(super) fn empty_header() -> msghdr {
    // SAFETY: null pointers and zero lengths are valid in all members.
    unsafe { mem::zeroed() }
}

/// A length of the C library, whose type is not the same in all of them.
pub(super) fn count(len: impl TryInto<usize>) -> usize {
    len.try_into().unwrap_or(0)
}

/// `size_of::<T>()` as the socket calls want it.
fn len_of<T>() -> socklen_t {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_to_c_and_back() {
        for text in ["192.0.2.1:123", "[2001:db8::1]:65535", "[fe80::1%7]:1", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let (name, len) = Name::of(address);
            assert_eq!(name.decode(len), Some(address));
            assert_eq!(name.decode(len - 1), None);
            let by_socket2 = socket2::SockAddr::from(address);
            assert_eq!(by_socket2.len(), len);
            assert_eq!(by_socket2.as_socket(), Some(address));
        }
        assert_eq!(Name::empty().decode(16), None);
    }

    #[test]
    fn a_source_address_reads_back_as_the_local_address() {
        let both = ["192.0.2.1", "2001:db8::1"].into_iter().flat_map(|text| [(text, false), (text, true)]);
        for (text, stamp) in both {
            let address: IpAddr = text.parse().unwrap();
            let mut control = Control::<SEND_CONTROL>::new();
            let len = control.encode(Some(address), stamp);
            let said = control.decode(len);
            assert_eq!(said, Said { to: Some(address), ..Said::default() });
            // cut anywhere: nothing, never a panic
            for cut in 0..len {
                let _ = control.decode(cut);
            }
        }
    }
}
