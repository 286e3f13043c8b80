//! What follows the 48-byte header: extension fields (RFC 7822) and where the MAC starts (RFC 5905 §7.5, RFC 7822 §3).
//!
//! The bytes themselves do not say which is which, so the rule is a convention. Ours is chronyd's, for every packet from anyone:
//!
//! | version | bytes left | meaning |
//! |---|---|---|
//! | 1–3 | 4, all zero | crypto-NAK |
//! | 1–3 | 20, 24 … 68 | MAC: key number and the whole digest; there are no fields |
//! | 4 | 4, all zero | crypto-NAK |
//! | 4 | 20, 24 | MAC: key number and 16 or 20 bytes of digest |
//! | 4 | ≥ 28 | a field: length a multiple of 4, 16 or more; then look again |
//! | any | anything else | malformed |
//!
//! So a last field without a MAC has 28 bytes or more by itself: a shorter one would read as a MAC or as rubbish.
//!
//! Measured with crafted requests on loopback (every trailer length 1 … 119, fields alone, in pairs, with every kind of MAC):
//! - chronyd 4.9 answers v4 only to: 48 bytes; MACs of 20 and 24 bytes with the right digest; fields ≥ 16 of which the last has ≥ 28 or is
//!   followed by a right MAC of 20 or 24. Lengths 17, 18, 29, 30, 31, a field of 12, one that ends before or after the packet, 16+16, 28+20,
//!   28+24 without a right MAC, a crypto-NAK (also after a field), a MAC of 36 bytes or more: silence. v1–3: only a MAC with the whole digest
//!   (20 … 68 bytes), which covers all bytes before it is only ever the header; a field before the MAC: silence.
//! - ntpd 4.2.8p15 makes no difference between versions 1–7: while more than 24 bytes are left it takes a field (multiple of 4, 12 is enough),
//!   the remaining 8 … 24 are a MAC, digests longer than 20 are cut. To a wrong MAC, to an unknown key and to fields *without* a MAC it sends a
//!   crypto-NAK (48 + 4 zero bytes, leap 3, stratum 0). A received crypto-NAK of 52 bytes is not answered.
//! - Neither echoes unknown fields.
//!
//! What ntpd sends (48, 52, 68, 72 bytes in any version) reads the same under both conventions.
//! A server drops a crypto-NAK; a client learns from it that its key is unknown or wrong there.

use std::fmt;

use super::ntp::HEADER_LEN;
use crate::types::{KeyId, Version};

/// Shortest extension field with its type and length (RFC 7822 §3).
pub const MIN_FIELD: usize = 16;
/// Shortest last field when no MAC follows (RFC 7822 §3): longer than every NTPv4 MAC.
pub const MIN_LAST_FIELD: usize = 28;
/// Longest MAC that any version carries: key number and a SHA-512 digest.
pub const MAX_MAC: usize = 68;

/// An extension field (RFC 7822 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Field type of the IANA registry.
    pub kind: u16,
    /// The value with its padding, as it stands in the packet: 12 bytes or more, a multiple of 4.
    pub body: &'a [u8],
}

/// A message authentication code as it stands in the packet, unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac<'a> {
    /// Which key the sender used.
    pub key: KeyId,
    /// The digest: 16 or 20 bytes in NTPv4, 16 … 64 before.
    pub digest: &'a [u8],
}

/// What ends the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trailer<'a> {
    /// Nothing: the packet is not authenticated.
    None,
    /// Four zero bytes (RFC 5905 §7.3): the sender could not verify our MAC. Says nothing that is authenticated itself.
    CryptoNak,
    /// A MAC over [`Tail::covered`].
    Mac(Mac<'a>),
}

/// Bytes after the header that are neither fields nor a MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailError {
    /// Fewer than 48 bytes in all.
    Truncated {
        /// How many there were.
        got: usize,
    },
    /// A field whose length is below 16 or not a multiple of 4.
    FieldLength {
        /// Where it starts in the packet.
        at: usize,
        /// The length that it claims.
        length: u16,
    },
    /// A field that claims more than what is left.
    FieldTruncated {
        /// Where it starts in the packet.
        at: usize,
        /// The length that it claims.
        length: u16,
    },
    /// A rest that is too short for a field and has no length of a MAC.
    Rest {
        /// Where it starts in the packet.
        at: usize,
        /// Its length.
        left: usize,
    },
}

impl fmt::Display for TailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { got } => write!(f, "packet length {got}, an NTP header has {HEADER_LEN}"),
            Self::FieldLength { at, length } => write!(f, "extension field at byte {at} has length {length}"),
            Self::FieldTruncated { at, length } => {
                write!(f, "extension field at byte {at} has length {length}, beyond the end of the packet")
            }
            Self::Rest { at, left } => {
                write!(f, "{left} bytes at byte {at} are neither extension field nor MAC")
            }
        }
    }
}

/// The packet from byte 48 on, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail<'a> {
    covered: &'a [u8],
    trailer: Trailer<'a>,
}

impl<'a> Tail<'a> {
    /// Takes a whole packet apart; the version is read from its first byte (0 counts as 1–3, 5–7 as 4).
    ///
    /// # Errors
    /// [`TailError`] when the bytes after the header fit no row of the module's table.
    pub fn parse(packet: &'a [u8]) -> Result<Self, TailError> {
        let (Some(first), true) = (packet.first(), packet.len() >= HEADER_LEN) else {
            return Err(TailError::Truncated { got: packet.len() });
        };
        let has_fields = Version::from_bits(first >> 3) >= Version::V4;
        let mut at = HEADER_LEN;
        loop {
            let (covered, rest) = packet.split_at_checked(at).unwrap_or((packet, &[]));
            let longest_mac = if has_fields { MIN_LAST_FIELD - 4 } else { MAX_MAC };
            let trailer = match (rest, rest.len()) {
                (_, 0) => Trailer::None,
                ([0, 0, 0, 0], _) => Trailer::CryptoNak,
                ([a, b, c, d, digest @ ..], left) if left >= 20 && left <= longest_mac && left % 4 == 0 => {
                    Trailer::Mac(Mac { key: KeyId::new(u32::from_be_bytes([*a, *b, *c, *d])), digest })
                }
                ([_, _, high, low, ..], left) if has_fields && left >= MIN_LAST_FIELD => {
                    let length = u16::from_be_bytes([*high, *low]);
                    let bytes = usize::from(length);
                    if bytes < MIN_FIELD || bytes % 4 != 0 {
                        return Err(TailError::FieldLength { at, length });
                    }
                    if bytes > left {
                        return Err(TailError::FieldTruncated { at, length });
                    }
                    at += bytes;
                    continue;
                }
                (_, left) => return Err(TailError::Rest { at, left }),
            };
            return Ok(Self { covered, trailer });
        }
    }

    /// The extension fields in the order of the packet.
    pub fn fields(&self) -> Fields<'a> {
        Fields { rest: self.covered.get(HEADER_LEN..).unwrap_or_default() }
    }

    /// What ends the packet.
    pub fn trailer(&self) -> Trailer<'a> {
        self.trailer
    }

    /// Header and fields: the bytes that a MAC covers.
    pub fn covered(&self) -> &'a [u8] {
        self.covered
    }
}

/// Iterator of [`Tail::fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let [kind_high, kind_low, high, low, ..] = self.rest else { return None };
        let (field, rest) = self.rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        self.rest = rest;
        Some(Field { kind: u16::from_be_bytes([*kind_high, *kind_low]), body: field.get(4..)? })
    }
}

/// What comes after a field that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// Another field or a MAC.
    More,
    /// The end of the packet.
    End,
}

/// A value of more than 65528 bytes fits no field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldTooLong;

impl Field<'_> {
    /// Appends the field, filled up with zero bytes to a multiple of 4 and to the least length of its place (16, at the end 28).
    ///
    /// # Errors
    /// [`FieldTooLong`]; nothing is appended then.
    pub fn emit(&self, follows: Follows, packet: &mut Vec<u8>) -> Result<(), FieldTooLong> {
        let least = if follows == Follows::End { MIN_LAST_FIELD } else { MIN_FIELD };
        let bytes = (self.body.len() + 4).next_multiple_of(4).max(least);
        let length = u16::try_from(bytes).map_err(|_| FieldTooLong)?;
        let end = packet.len() + bytes;
        packet.extend_from_slice(&self.kind.to_be_bytes());
        packet.extend_from_slice(&length.to_be_bytes());
        packet.extend_from_slice(self.body);
        packet.resize(end, 0);
        Ok(())
    }
}

impl Trailer<'_> {
    /// Appends the trailer to a packet whose header and fields are complete.
    pub fn emit(&self, packet: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::CryptoNak => packet.extend_from_slice(&[0; 4]),
            Self::Mac(mac) => {
                packet.extend_from_slice(&mac.key.get().to_be_bytes());
                packet.extend_from_slice(mac.digest);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may say so by panicking")]
mod tests {
    use super::*;

    fn packet(version: u8, tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[0] = version << 3 | 3;
        bytes.extend_from_slice(tail);
        bytes
    }

    fn field(length: u16) -> Vec<u8> {
        let mut bytes = vec![0x5a; usize::from(length)];
        bytes[..2].copy_from_slice(&0xf001_u16.to_be_bytes());
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    /// What a v4 tail of these fields and this rest holds: number of fields and length of the digest.
    fn shape(version: u8, lengths: &[u16], rest: usize) -> Result<(usize, usize), TailError> {
        let mut tail: Vec<u8> = lengths.iter().flat_map(|n| field(*n)).collect();
        tail.extend(vec![1; rest]);
        let packet = packet(version, &tail);
        Tail::parse(&packet).map(|tail| {
            let digest = match tail.trailer() {
                Trailer::Mac(mac) => mac.digest.len(),
                _ => 0,
            };
            (tail.fields().count(), digest)
        })
    }

    #[test]
    fn every_length_below_48_is_truncated() {
        for got in 0..HEADER_LEN {
            assert_eq!(Tail::parse(&vec![0xe3; got]), Err(TailError::Truncated { got }));
        }
    }

    #[test]
    fn v4_trailer_of_every_length_without_fields() {
        // bytes 1: a field of type 0x0101 would have the length 0x0101, which is no multiple of 4
        for left in 0..=1100 {
            let expected = match left {
                0 => Ok((0, 0)),
                20 | 24 => Ok((0, left - 4)),
                28.. => Err(TailError::FieldLength { at: 48, length: 0x0101 }),
                _ => Err(TailError::Rest { at: 48, left }),
            };
            assert_eq!(shape(4, &[], left), expected, "{left} bytes");
        }
    }

    #[test]
    fn older_versions_have_no_fields_and_whole_digests() {
        for version in 0..=3 {
            for left in 0..=1100 {
                let expected = match left {
                    0 => Ok((0, 0)),
                    20..=68 if left % 4 == 0 => Ok((0, left - 4)),
                    _ => Err(TailError::Rest { at: 48, left }),
                };
                assert_eq!(shape(version, &[], left), expected, "version {version}, {left} bytes");
            }
        }
        // the field of 28 bytes that v4 skips is a MAC of key 0xf001001c before
        let bytes = packet(3, &field(28));
        let tail = Tail::parse(&bytes).unwrap();
        let Trailer::Mac(mac) = tail.trailer() else { panic!("{tail:?}") };
        assert_eq!((mac.key, mac.digest.len()), (KeyId::new(0xf001_001c), 24));
        assert_eq!(tail.covered().len(), HEADER_LEN);
    }

    #[test]
    fn v4_fields_as_chronyd_4_9_takes_them() {
        for (lengths, rest, expected) in [
            (&[28][..], 0, Ok((1, 0))),
            (&[1092], 0, Ok((1, 0))),
            (&[16, 28], 0, Ok((2, 0))),
            (&[64, 28], 0, Ok((2, 0))),
            (&[16], 20, Ok((1, 16))),
            (&[20], 24, Ok((1, 20))),
            (&[16, 16], 24, Ok((2, 20))),
            (&[28], 20, Ok((1, 16))),
            (&[28], 4, Err(TailError::Rest { at: 76, left: 4 })),
            (&[28], 16, Err(TailError::Rest { at: 76, left: 16 })),
            (&[28, 16], 0, Err(TailError::Rest { at: 76, left: 16 })),
            (&[12], 20, Err(TailError::FieldLength { at: 48, length: 12 })),
            (&[12, 28], 0, Err(TailError::FieldLength { at: 48, length: 12 })),
            (&[29], 0, Err(TailError::FieldLength { at: 48, length: 29 })),
            (&[8], 0, Err(TailError::Rest { at: 48, left: 8 })),
            (&[16], 0, Err(TailError::Rest { at: 48, left: 16 })),
        ] {
            assert_eq!(shape(4, lengths, rest), expected, "{lengths:?} + {rest}");
        }
        // 28 + 20 and 28 + 24: the last one reads as a MAC, which no key will verify
        assert_eq!(shape(4, &[28, 20], 0), Ok((1, 16)));
        assert_eq!(shape(4, &[28, 24], 0), Ok((1, 20)));
        let mut long = field(28);
        long[3] = 32;
        let long = packet(4, &long);
        assert_eq!(Tail::parse(&long), Err(TailError::FieldTruncated { at: 48, length: 32 }));
    }

    #[test]
    fn four_zero_bytes_are_a_crypto_nak() {
        for version in 1..=4 {
            let bytes = packet(version, &[0; 4]);
            assert_eq!(Tail::parse(&bytes).unwrap().trailer(), Trailer::CryptoNak);
            let bytes = packet(version, &[0, 0, 0, 1]);
            assert_eq!(Tail::parse(&bytes), Err(TailError::Rest { at: 48, left: 4 }));
        }
    }

    #[test]
    fn a_field_is_filled_up_to_the_least_length_of_its_place() {
        for (value, follows, length) in [
            (0, Follows::More, 16),
            (12, Follows::More, 16),
            (13, Follows::More, 20),
            (0, Follows::End, 28),
            (25, Follows::End, 32),
        ] {
            let mut bytes = packet(4, &[]);
            Field { kind: 0x104, body: &vec![7; value] }.emit(follows, &mut bytes).unwrap();
            assert_eq!(bytes.len(), HEADER_LEN + length, "{value} bytes before {follows:?}");
            if follows == Follows::End {
                let tail = Tail::parse(&bytes).unwrap();
                let field = tail.fields().next().unwrap();
                assert_eq!((field.kind, &field.body[..value]), (0x104, &vec![7; value][..]));
            }
        }
        let mut bytes = Vec::new();
        assert_eq!(
            Field { kind: 1, body: &vec![0; 65_529] }.emit(Follows::More, &mut bytes),
            Err(FieldTooLong)
        );
        assert!(bytes.is_empty());
    }
}
