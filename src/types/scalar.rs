//! Small numbers of the packet header, each with its own type, in the standard's order (RFC 5905 §7.3).

use std::fmt;
use std::net::Ipv4Addr;

/// Leap indicator (RFC 5905 figure 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leap {
    /// 0: no warning.
    None,
    /// 1: the last minute of the day has 61 seconds.
    Add,
    /// 2: the last minute of the day has 59 seconds.
    Delete,
    /// 3: the clock is not synchronised.
    Unsynchronised,
}

impl Leap {
    /// From the lower two bits.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::None,
            1 => Self::Add,
            2 => Self::Delete,
            _ => Self::Unsynchronised,
        }
    }

    /// 0 … 3.
    pub const fn to_bits(self) -> u8 {
        self as u8
    }
}

/// Association mode (RFC 5905 figure 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// 0.
    Reserved,
    /// 1: symmetric active.
    SymmetricActive,
    /// 2: symmetric passive.
    SymmetricPassive,
    /// 3.
    Client,
    /// 4.
    Server,
    /// 5.
    Broadcast,
    /// 6: NTP control message.
    Control,
    /// 7: private use (ntpdc).
    Private,
}

impl Mode {
    /// From the lower three bits.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 7 {
            0 => Self::Reserved,
            1 => Self::SymmetricActive,
            2 => Self::SymmetricPassive,
            3 => Self::Client,
            4 => Self::Server,
            5 => Self::Broadcast,
            6 => Self::Control,
            _ => Self::Private,
        }
    }

    /// 0 … 7.
    pub const fn to_bits(self) -> u8 {
        self as u8
    }
}

/// NTP version number: the three bits of the packet, 0 … 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u8);

impl Version {
    /// NTPv3.
    pub const V3: Self = Self(3);
    /// NTPv4.
    pub const V4: Self = Self(4);

    /// From a number of which only the lower three bits go into the packet.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 7)
    }

    /// 0 … 7.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Stratum as the packet has it: 0 unspecified or kiss code, 1 primary, 2 … 15 secondary, 16 unsynchronised, above reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stratum(u8);

impl Stratum {
    /// 0: unspecified; with leap 3 and a code in the reference ID it is a kiss-o'-death.
    pub const UNSPECIFIED: Self = Self(0);
    /// 16: not synchronised.
    pub const UNSYNCHRONISED: Self = Self(16);

    /// From the byte of the packet.
    pub const fn new(value: u8) -> Self {
        Self(value)
    }

    /// The byte of the packet.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Reach: an eight-bit shift register of the last eight polls, the newest in bit 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Reach(u8);

impl Reach {
    /// From the register's bits.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The register's bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Shifts one poll in: answered or not.
    #[must_use]
    pub const fn shifted(self, answered: bool) -> Self {
        Self((self.0 << 1) | answered as u8)
    }
}

/// Reference identifier: an IPv4 address, four characters of a stratum-1 source or a kiss code, or a hash of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RefId(u32);

impl RefId {
    /// From the 32 bits of the packet (big endian).
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// From four characters, e.g. `*b"GPS\0"`.
    pub const fn from_ascii(code: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(code))
    }

    /// From an IPv4 address.
    pub const fn from_ipv4(address: Ipv4Addr) -> Self {
        Self(address.to_bits())
    }

    /// The 32 bits of the packet (big endian).
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// The four bytes in packet order.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// The leading printable ASCII characters (trailing NULs and blanks dropped), `None` unless all others are NUL.
    pub fn as_ascii(self) -> Option<String> {
        let bytes = self.to_bytes();
        let end = bytes.iter().rposition(|&b| b != 0 && b != b' ').map_or(0, |i| i + 1);
        let text = &bytes[..end];
        (end > 0 && text.iter().all(|b| (0x20..0x7f).contains(b)))
            .then(|| text.iter().map(|&b| char::from(b)).collect())
    }

    /// Readable form for a source of this stratum: characters at stratum 0 and 1 where they print, else dotted IPv4.
    pub fn text(self, stratum: Stratum) -> String {
        match self.as_ascii() {
            Some(text) if stratum.get() <= 1 => text,
            _ => Ipv4Addr::from_bits(self.0).to_string(),
        }
    }
}

impl fmt::Display for RefId {
    /// Eight upper-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}", self.0)
    }
}

/// Number of a symmetric key, 1 … 2³²−1 (ntp.keys: 1 … 65535); 0 is a crypto-NAK on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(u32);

impl KeyId {
    /// From the number in the key file or on the wire.
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refid_reads_as_text_only_at_stratum_0_and_1() {
        let gps = RefId::from_ascii(*b"GPS\0");
        assert_eq!(gps.text(Stratum::new(1)), "GPS");
        assert_eq!(gps.text(Stratum::new(2)), "71.80.83.0");
        assert_eq!(RefId::from_bits(0x7f7f_0101).text(Stratum::new(1)), "127.127.1.1");
        assert_eq!(RefId::default().as_ascii(), None);
        assert_eq!(RefId::from_ascii([b'A', 0, b'B', 0]).as_ascii(), None);
    }

    #[test]
    fn reach_forgets_after_eight_polls() {
        let mut reach = Reach::default().shifted(true);
        assert_eq!(reach.bits(), 1);
        for _ in 0..8 {
            reach = reach.shifted(false);
        }
        assert_eq!(reach.bits(), 0);
    }
}
