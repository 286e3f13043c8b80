//! The 48-byte NTP packet header (RFC 5905 §7.3) and kiss codes (§7.4).

use std::fmt;

use crate::types::{Leap, LogInterval, Mode, NtpShort, NtpTimestamp, RefId, Stratum, Version};

/// Length of the header: a packet of exactly this length has neither extension fields nor a MAC.
pub const HEADER_LEN: usize = 48;

/// Bytes that do not hold an NTP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// Fewer than 48 bytes.
    Truncated {
        /// How many there were.
        got: usize,
    },
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { got } => write!(f, "packet length {got}, an NTP header has {HEADER_LEN}"),
        }
    }
}

/// The header, field by field in the order of the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Leap indicator (2 bits).
    pub leap: Leap,
    /// Protocol version (3 bits, any value).
    pub version: Version,
    /// Association mode (3 bits).
    pub mode: Mode,
    /// Stratum byte as it stands.
    pub stratum: Stratum,
    /// Poll interval, log2 s.
    pub poll: LogInterval,
    /// Precision of the sender's clock, log2 s.
    pub precision: LogInterval,
    /// Round trip from the sender to its primary source.
    pub root_delay: NtpShort,
    /// Error bound of the sender against its primary source.
    pub root_dispersion: NtpShort,
    /// Reference identifier, or kiss code at stratum 0.
    pub refid: RefId,
    /// When the sender's clock was last set or corrected.
    pub reference: NtpTimestamp,
    /// T1: the request's transmit time as the client sent it.
    pub origin: NtpTimestamp,
    /// T2: arrival of the request at the server.
    pub receive: NtpTimestamp,
    /// T3: departure of this packet.
    pub transmit: NtpTimestamp,
}

impl Header {
    /// Reads the first 48 bytes; what follows them is extension fields and MAC.
    ///
    /// # Errors
    /// [`HeaderError::Truncated`] when there are fewer than 48 bytes; every 48 bytes are a header.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        // straight-line code: this is the server's path
        let Some(head) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(HeaderError::Truncated { got: bytes.len() });
        };
        let &[flags, stratum, poll, precision, ..] = head;
        let word = |chunk: Option<&[u8; 4]>| chunk.map_or(0, |word| u32::from_be_bytes(*word));
        let words = head.as_chunks::<4>().0;
        let stamps = head.as_chunks::<8>().0;
        let stamp = |place: usize| {
            NtpTimestamp::from_bits(stamps.get(place).map_or(0, |stamp| u64::from_be_bytes(*stamp)))
        };
        Ok(Self {
            leap: Leap::from_bits(flags >> 6),
            version: Version::from_bits(flags >> 3),
            mode: Mode::from_bits(flags),
            stratum: Stratum::new(stratum),
            poll: LogInterval::from_log2(i8::from_be_bytes([poll])),
            precision: LogInterval::from_log2(i8::from_be_bytes([precision])),
            root_delay: NtpShort::from_bits(word(words.get(1))),
            root_dispersion: NtpShort::from_bits(word(words.get(2))),
            refid: RefId::from_bits(word(words.get(3))),
            reference: stamp(2),
            origin: stamp(3),
            receive: stamp(4),
            transmit: stamp(5),
        })
    }

    /// The 48 bytes of the packet.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = self.leap.to_bits() << 6 | self.version.get() << 3 | self.mode.to_bits();
        bytes[1] = self.stratum.get();
        bytes[2] = self.poll.log2().to_be_bytes()[0];
        bytes[3] = self.precision.log2().to_be_bytes()[0];
        bytes[4..8].copy_from_slice(&self.root_delay.to_bits().to_be_bytes());
        bytes[8..12].copy_from_slice(&self.root_dispersion.to_bits().to_be_bytes());
        bytes[12..16].copy_from_slice(&self.refid.to_bytes());
        bytes[16..24].copy_from_slice(&self.reference.to_bits().to_be_bytes());
        bytes[24..32].copy_from_slice(&self.origin.to_bits().to_be_bytes());
        bytes[32..40].copy_from_slice(&self.receive.to_bits().to_be_bytes());
        bytes[40..48].copy_from_slice(&self.transmit.to_bits().to_be_bytes());
        bytes
    }

    /// The kiss-o'-death of this packet: leap 3, stratum 0 and a code in the reference ID.
    pub fn kiss(&self) -> Option<Kiss> {
        (self.leap == Leap::Unsynchronised && self.stratum == Stratum::UNSPECIFIED)
            .then(|| Kiss::from_refid(self.refid))
            .flatten()
    }
}

/// A kiss code (RFC 5905 §7.4, figure 13): the server asks us to change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kiss {
    /// `DENY`: access refused; stop sending.
    Deny,
    /// `RSTR`: access refused by local policy; stop sending.
    Restrict,
    /// `RATE`: sent too often; slow down.
    Rate,
    /// Any other printable code (`INIT`, `STEP`, `ACST`, …): information only.
    Other(RefId),
}

impl Kiss {
    /// The code in a reference ID, `None` when it holds no printable characters.
    pub fn from_refid(refid: RefId) -> Option<Self> {
        match &refid.to_bytes() {
            b"DENY" => Some(Self::Deny),
            b"RSTR" => Some(Self::Restrict),
            b"RATE" => Some(Self::Rate),
            _ => refid.as_ascii().map(|_| Self::Other(refid)),
        }
    }

    /// The four characters.
    pub fn to_refid(self) -> RefId {
        match self {
            Self::Deny => RefId::from_ascii(*b"DENY"),
            Self::Restrict => RefId::from_ascii(*b"RSTR"),
            Self::Rate => RefId::from_ascii(*b"RATE"),
            Self::Other(refid) => refid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of ntpdate 4.2.6p5 (ntp-legacy 1.5).
    const NTPDATE: [u8; 16] =
        [0xE3, 0x00, 0x03, 0xFA, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00];

    #[test]
    fn classic_ntpdate_request_parses_to_its_fields() {
        let mut bytes = [0; HEADER_LEN];
        bytes[..16].copy_from_slice(&NTPDATE);
        bytes[40..].copy_from_slice(&0xeeab_a2ea_120a_e224_u64.to_be_bytes());
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(header.leap, Leap::Unsynchronised);
        assert_eq!((header.version, header.mode), (Version::V4, Mode::Client));
        assert_eq!((header.poll.log2(), header.precision.log2()), (3, -6));
        assert_eq!((header.root_delay, header.root_dispersion), (NtpShort::ONE, NtpShort::ONE));
        assert_eq!(header.transmit.to_bits(), 0xeeab_a2ea_120a_e224);
        assert_eq!(header.emit(), bytes);
    }

    #[test]
    fn every_length_below_48_is_truncated() {
        for got in 0..HEADER_LEN {
            assert_eq!(Header::parse(&vec![0xff; got]), Err(HeaderError::Truncated { got }));
        }
    }

    #[test]
    fn kiss_needs_leap_3_and_stratum_0() {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = 0xE4;
        bytes[12..16].copy_from_slice(b"RATE");
        assert_eq!(Header::parse(&bytes).unwrap().kiss(), Some(Kiss::Rate));
        bytes[1] = 1;
        assert_eq!(Header::parse(&bytes).unwrap().kiss(), None);
        bytes[1] = 0;
        bytes[0] = 0x24;
        assert_eq!(Header::parse(&bytes).unwrap().kiss(), None);
    }
}
