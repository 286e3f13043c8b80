//! Who holds a UDP port: /proc/net/udp names the sockets, /proc/PID/fd the processes that have them open.
//!
//! Everything is best effort: processes vanish while they are looked at, and those of other users cannot be looked into.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::process;

/// A process (or a socket whose process is hidden from us) that holds a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Its process; `None` when it is another user's, in another namespace, or gone.
    pub pid: Option<u32>,
    /// Its name (at most 15 characters, control characters replaced by `?`); empty when unknown.
    pub command: String,
    /// The address that the socket is bound to.
    pub address: IpAddr,
}

/// A bound socket, as a line of /proc/net/udp has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bound {
    address: IpAddr,
    port: u16,
    inode: u64,
}

/// The holders of a UDP port of this host, each process once per address, sorted by pid.
pub fn holders(port: u16) -> Vec<Holder> {
    let sockets: Vec<Bound> = ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|text| text.lines().filter_map(parse_line).collect::<Vec<_>>())
        .filter(|socket| socket.port == port)
        .collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    let mut found = BTreeSet::new();
    let mut known = BTreeSet::new();
    for pid in process::numbers() {
        let open = socket_inodes(Path::new(&format!("/proc/{pid}/fd")));
        for socket in sockets.iter().filter(|socket| open.contains(&socket.inode)) {
            known.insert(socket.inode);
            found.insert(Holder { pid: Some(pid), command: process::name_of(pid), address: socket.address });
        }
    }
    for socket in sockets.iter().filter(|socket| !known.contains(&socket.inode)) {
        found.insert(Holder { pid: None, command: String::new(), address: socket.address });
    }
    found.into_iter().collect()
}

fn socket_inodes(fd_dir: &Path) -> BTreeSet<u64> {
    let Ok(entries) = fs::read_dir(fd_dir) else { return BTreeSet::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

/// `sl local rem st tx:rx tr:when retrnsmt uid timeout inode …`; the address in hex words of the host's byte order.
fn parse_line(line: &str) -> Option<Bound> {
    let mut words = line.split_ascii_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(address)?)),
        32 => {
            let mut octets = [0_u8; 16];
            for (i, four) in octets.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(address.get(8 * i..8 * i + 8)?)?);
            }
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(Bound { address, port: u16::from_str_radix(port, 16).ok()?, inode: words.nth(7)?.parse().ok()? })
}

fn word(hex: &str) -> Option<[u8; 4]> {
    u32::from_str_radix(hex, 16).ok().map(u32::to_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::net::{UdpOptions, UdpSocket};

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_the_kernel_are_read() {
        let v4 = " 1234: 0100007F:007B 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 41211 2 0 0";
        let v6 = "   12: 00000000000000000000000001000000:0143 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   104        0 99 2 0 0";
        assert_eq!(
            parse_line(v4),
            Some(Bound { address: "127.0.0.1".parse().unwrap(), port: 123, inode: 41211 })
        );
        assert_eq!(parse_line(v6), Some(Bound { address: "::1".parse().unwrap(), port: 323, inode: 99 }));
    }

    #[test]
    fn headings_and_damage_are_passed_over() {
        for line in [
            "",
            "  sl  local_address rem_address   st",
            "1: 0100007F",
            "1: XX00007F:007B 0:0 07 0 0 0 0 0 1",
            "1: é",
        ] {
            assert_eq!(parse_line(line), None, "{line}");
        }
    }

    #[test]
    fn we_find_ourselves() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = UdpSocket::open(&UdpOptions::server(address.parse().unwrap())) else {
                assert!(address.starts_with('['), "IPv4 must work");
                continue;
            };
            let local = socket.local_address().unwrap();
            let ours = std::process::id();
            let found = holders(local.port());
            let holder = found.iter().find(|h| h.pid == Some(ours)).expect("ourselves");
            assert_eq!(holder.address, local.ip());
            assert_eq!(holder.command, process::name_of(ours));
            assert!(!holder.command.is_empty());
        }
    }
}
