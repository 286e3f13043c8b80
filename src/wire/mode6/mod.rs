//! NTP control messages, mode 6 (RFC 9327 and what ntpd 4.2.6, 4.2.8 and NTPsec really send; ntp-legacy part 2).
//!
//! Header and opcodes are here, status words in [`status`], variable lists in [`vars`], fragments in [`assembly`].
//! Both directions: ntpq asks with these, our daemon answers with them.

pub mod assembly;
pub mod status;
pub mod vars;

use std::fmt;

use crate::types::Leap;

/// Length of the header in front of the data.
pub const HEADER_LEN: usize = 12;
/// Most data bytes in one packet of a real server.
pub const MAX_DATA: usize = 468;
/// Shortest MAC: a key identifier alone (crypto-NAK).
const MIN_MAC: usize = 4;
/// Longest MAC that a classic server looks for: key identifier and a 160-bit digest.
const MAX_MAC: usize = 24;

const RESPONSE: u8 = 0x80;
const ERROR: u8 = 0x40;
const MORE: u8 = 0x20;
const OPCODE: u8 = 0x1f;
const MODE: u8 = 6;

/// Identifier of an association, 1 … 65535; 0 is the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AssocId(u16);

impl AssocId {
    /// The system itself.
    pub const SYSTEM: Self = Self(0);

    /// From the number in the packet.
    pub const fn new(id: u16) -> Self {
        Self(id)
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for AssocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is asked for (RFC 9327 §2, table 1, and ntpd's own from 8 on).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// 0: empty answer with the status word.
    Unspecified,
    /// 1: list of associations and their status words.
    ReadStatus,
    /// 2: variables of the system or of an association.
    ReadVariables,
    /// 3: set variables; authenticated.
    WriteVariables,
    /// 4: variables of a reference clock.
    ReadClock,
    /// 5: set clock variables; nobody serves it.
    WriteClock,
    /// 6: register for asynchronous messages.
    SetTrap,
    /// 7: asynchronous message.
    AsyncMessage,
    /// 8: a configuration line; authenticated.
    Configure,
    /// 9: write the configuration to a file; authenticated.
    SaveConfig,
    /// 10: recently seen addresses; needs a nonce.
    ReadMru,
    /// 11: interface statistics or access list; authenticated.
    ReadOrdered,
    /// 12: a nonce for [`Opcode::ReadMru`].
    RequestNonce,
    /// 31: take a trap back.
    UnsetTrap,
    /// Any other number.
    Other(u8),
}

impl Opcode {
    /// From the lower five bits.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & OPCODE {
            0 => Self::Unspecified,
            1 => Self::ReadStatus,
            2 => Self::ReadVariables,
            3 => Self::WriteVariables,
            4 => Self::ReadClock,
            5 => Self::WriteClock,
            6 => Self::SetTrap,
            7 => Self::AsyncMessage,
            8 => Self::Configure,
            9 => Self::SaveConfig,
            10 => Self::ReadMru,
            11 => Self::ReadOrdered,
            12 => Self::RequestNonce,
            31 => Self::UnsetTrap,
            other => Self::Other(other),
        }
    }

    /// 0 … 31.
    pub const fn to_bits(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::ReadStatus => 1,
            Self::ReadVariables => 2,
            Self::WriteVariables => 3,
            Self::ReadClock => 4,
            Self::WriteClock => 5,
            Self::SetTrap => 6,
            Self::AsyncMessage => 7,
            Self::Configure => 8,
            Self::SaveConfig => 9,
            Self::ReadMru => 10,
            Self::ReadOrdered => 11,
            Self::RequestNonce => 12,
            Self::UnsetTrap => 31,
            Self::Other(bits) => bits & OPCODE,
        }
    }
}

/// The error codes of a reply (RFC 9327 §3.5), in the upper byte of its status word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// 0.
    Unspecified,
    /// 1: not authenticated, not permitted or out of resources.
    Permission,
    /// 2: the packet is malformed.
    BadFormat,
    /// 3: this opcode is not served.
    BadOpcode,
    /// 4: there is no such association.
    BadAssociation,
    /// 5: there is no such variable.
    UnknownVariable,
    /// 6: the value of a variable was refused.
    BadValue,
    /// 7: administratively prohibited.
    Restricted,
    /// Any other number.
    Other(u8),
}

impl ErrorCode {
    /// From the number.
    pub const fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Unspecified,
            1 => Self::Permission,
            2 => Self::BadFormat,
            3 => Self::BadOpcode,
            4 => Self::BadAssociation,
            5 => Self::UnknownVariable,
            6 => Self::BadValue,
            7 => Self::Restricted,
            other => Self::Other(other),
        }
    }

    /// The number.
    pub const fn to_bits(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::Permission => 1,
            Self::BadFormat => 2,
            Self::BadOpcode => 3,
            Self::BadAssociation => 4,
            Self::UnknownVariable => 5,
            Self::BadValue => 6,
            Self::Restricted => 7,
            Self::Other(bits) => bits,
        }
    }
}

/// Bytes that are not a control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketError {
    /// Fewer than 12 bytes.
    Truncated {
        /// How many there were.
        got: usize,
    },
    /// Not mode 6.
    NotControl,
    /// The version is not 1 … 4.
    BadVersion(u8),
    /// The whole length is not a multiple of four.
    Unaligned {
        /// The length.
        got: usize,
    },
    /// The header counts more data than there is.
    MissingData {
        /// What the header says.
        claimed: usize,
        /// What there is after the header.
        got: usize,
    },
}

/// The twelve bytes in front, by meaning. `sequence` pairs a reply with its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Leap indicator: of the server in replies, 0 in ntpq's requests, 3 in NTPsec's.
    pub leap: Leap,
    /// Version, 1 … 4; a reply repeats the request's.
    pub version: u8,
    /// A reply.
    pub response: bool,
    /// A reply that reports an error.
    pub error: bool,
    /// Further fragments follow.
    pub more: bool,
    /// What is asked for.
    pub opcode: Opcode,
    /// Number of the request.
    pub sequence: u16,
    /// Status word of the subject; in error replies the code in the upper byte.
    pub status: u16,
    /// The subject.
    pub association: AssocId,
    /// Where this fragment's data begins in the whole reply, bytes.
    pub offset: u16,
}

impl Header {
    /// A request as ntpq 4.2 sends it.
    pub const fn request(version: u8, opcode: Opcode, sequence: u16, association: AssocId) -> Self {
        Self {
            leap: Leap::None,
            version,
            response: false,
            error: false,
            more: false,
            opcode,
            sequence,
            status: 0,
            association,
            offset: 0,
        }
    }

    /// The header of the reply to `self`, offset 0, nothing to follow.
    #[must_use]
    pub const fn reply(self, leap: Leap, status: u16) -> Self {
        Self { leap, response: true, error: false, more: false, status, offset: 0, ..self }
    }

    /// The header of an error reply to `self`.
    #[must_use]
    pub const fn refuse(self, leap: Leap, code: ErrorCode) -> Self {
        Self { error: true, ..self.reply(leap, (code.to_bits() as u16) << 8) }
    }

    /// The error code when this is an error reply.
    pub fn error_code(&self) -> Option<ErrorCode> {
        self.error.then(|| ErrorCode::from_bits(self.status.to_be_bytes()[0]))
    }

    /// The packet without MAC: header, data, NULs up to a multiple of `align`.
    /// Data beyond 65 535 bytes is cut; [`assembly::fragments`] cuts replies into packets.
    pub fn emit(&self, data: &[u8], align: Align) -> Vec<u8> {
        let count = u16::try_from(data.len()).unwrap_or(u16::MAX);
        let data = data.get(..usize::from(count)).unwrap_or(data);
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let mut packet = Vec::with_capacity(HEADER_LEN + data.len() + 8);
        packet.push(self.leap.to_bits() << 6 | (self.version & 7) << 3 | MODE);
        packet.push(
            flag(self.response, RESPONSE)
                | flag(self.error, ERROR)
                | flag(self.more, MORE)
                | self.opcode.to_bits(),
        );
        for word in [self.sequence, self.status, self.association.get(), self.offset, count] {
            packet.extend_from_slice(&word.to_be_bytes());
        }
        packet.extend_from_slice(data);
        packet.resize(packet.len().next_multiple_of(align.bytes()), 0);
        packet
    }
}

/// To what length the data is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// A multiple of 4: plain packets.
    Plain,
    /// A multiple of 8: a MAC follows.
    Authenticated,
}

impl Align {
    const fn bytes(self) -> usize {
        match self {
            Self::Plain => 4,
            Self::Authenticated => 8,
        }
    }
}

/// A received packet: its header, its data and, after the padding, its MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The twelve bytes in front.
    pub header: Header,
    /// `count` bytes.
    pub data: &'a [u8],
    /// The bytes that a MAC covers; empty when there is none.
    pub covered: &'a [u8],
    /// Key identifier and digest; empty when there is none.
    pub mac: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Takes a packet apart. What is expected of a request or of a reply is for the caller to check.
    ///
    /// # Errors
    /// [`PacketError`] names what is wrong; nobody answers such bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(PacketError::Truncated { got: bytes.len() });
        };
        let [flags, operation, words @ ..] = *head;
        if flags & 7 != MODE {
            return Err(PacketError::NotControl);
        }
        let version = flags >> 3 & 7;
        if !(1..=4).contains(&version) {
            return Err(PacketError::BadVersion(version));
        }
        if !bytes.len().is_multiple_of(4) {
            return Err(PacketError::Unaligned { got: bytes.len() });
        }
        let mut words = words.as_chunks::<2>().0.iter().map(|word| u16::from_be_bytes(*word));
        let mut word = || words.next().unwrap_or_default();
        let header = Header {
            leap: Leap::from_bits(flags >> 6),
            version,
            response: operation & RESPONSE != 0,
            error: operation & ERROR != 0,
            more: operation & MORE != 0,
            opcode: Opcode::from_bits(operation),
            sequence: word(),
            status: word(),
            association: AssocId::new(word()),
            offset: word(),
        };
        let count = usize::from(word());
        let data = rest.get(..count).ok_or(PacketError::MissingData { claimed: count, got: rest.len() })?;
        let padded = (HEADER_LEN + count).next_multiple_of(8);
        let (covered, mac) = match bytes.split_at_checked(padded) {
            Some((covered, mac)) if (MIN_MAC..=MAX_MAC).contains(&mac.len()) => (covered, mac),
            _ => (&[][..], &[][..]),
        };
        Ok(Self { header, data, covered, mac })
    }
}

/// The pairs of a READSTAT reply: association and its status word.
///
/// # Errors
/// The length, when it is not a multiple of four.
pub fn parse_associations(data: &[u8]) -> Result<Vec<(AssocId, u16)>, usize> {
    let (pairs, []) = data.as_chunks::<4>() else { return Err(data.len()) };
    Ok(pairs
        .iter()
        .map(|&[a, b, c, d]| (AssocId::new(u16::from_be_bytes([a, b])), u16::from_be_bytes([c, d])))
        .collect())
}

/// The data of a READSTAT reply.
pub fn emit_associations(pairs: impl IntoIterator<Item = (AssocId, u16)>) -> Vec<u8> {
    pairs
        .into_iter()
        .flat_map(|(id, status)| [id.get().to_be_bytes(), status.to_be_bytes()])
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests;
