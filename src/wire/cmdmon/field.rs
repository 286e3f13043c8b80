//! The scalar types of the command protocol, and how any of its layouts is read and written.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "bit fields of 7, 25 and 64 bits; each cast keeps the bits it is about"
)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Takes values off the front of a packet; past the end it yields zeros, since lengths are judged before fields are read.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the first of these bytes on.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.bytes.split_first_chunk::<N>().map_or(([0; N], &[][..]), |(h, r)| (*h, r));
        self.bytes = rest;
        head
    }
}

/// A value with a fixed place in a packet.
pub trait Field: Sized {
    /// Bytes that it takes.
    const SIZE: usize;
    /// Reads it.
    fn get(reader: &mut Reader<'_>) -> Self;
    /// Appends it.
    fn put(&self, out: &mut Vec<u8>);
}

macro_rules! integers {
    ($($type:ty)*) => { $(
        impl Field for $type {
            const SIZE: usize = size_of::<$type>();
            fn get(reader: &mut Reader<'_>) -> Self {
                Self::from_be_bytes(reader.take())
            }
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
    )* };
}
integers!(u8 i8 u16 i16 u32 i32 u64);

impl<T: Field, const N: usize> Field for [T; N] {
    const SIZE: usize = N * T::SIZE;
    fn get(reader: &mut Reader<'_>) -> Self {
        std::array::from_fn(|_| T::get(reader))
    }
    fn put(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|item| item.put(out));
    }
}

impl<T: Field> Field for Box<T> {
    const SIZE: usize = T::SIZE;
    fn get(reader: &mut Reader<'_>) -> Self {
        Self::new(T::get(reader))
    }
    fn put(&self, out: &mut Vec<u8>) {
        T::put(self, out);
    }
}

/// `N` bytes of no meaning: any value is read, zeros are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pad<const N: usize>;

impl<const N: usize> Field for Pad<N> {
    const SIZE: usize = N;
    fn get(reader: &mut Reader<'_>) -> Self {
        reader.take::<N>();
        Self
    }
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0; N]);
    }
}

/// `N` bytes kept for later counters: any value is read, ones are written ("unknown" for whoever reads them as numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reserved<const N: usize>;

impl<const N: usize> Field for Reserved<N> {
    const SIZE: usize = N;
    fn get(reader: &mut Reader<'_>) -> Self {
        reader.take::<N>();
        Self
    }
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0xff; N]);
    }
}

/// The protocol's 32-bit float: a signed 7-bit exponent e in the upper bits, a signed 25-bit coefficient c below; value
/// c · 2^(e−25). No NaN, no infinity, no negative zero; ±4.6e18 with 24 bits. Kept as the word that was on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Float(u32);

/// Bits of the coefficient, sign included.
const COEFFICIENT_BITS: u32 = 25;
/// Largest coefficient; the smallest is −(this + 1).
const COEFFICIENT_MAX: i64 = (1 << (COEFFICIENT_BITS - 1)) - 1;
/// Range of the exponent.
const EXPONENT_MIN: i32 = -64;
const EXPONENT_MAX: i32 = 63;

impl Float {
    /// 0.
    pub const ZERO: Self = Self(0);

    /// From the word of the packet; every word is a number.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The word of the packet.
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// The nearest value; NaN becomes 0, what is too large saturates, what is too small becomes 0.
    pub fn from_f64(x: f64) -> Self {
        let magnitude = x.abs();
        if x.is_nan() || magnitude < 1e-100 {
            return Self::ZERO;
        }
        let limit = if x < 0.0 { COEFFICIENT_MAX + 1 } else { COEFFICIENT_MAX };
        let saturated = Self::pack(EXPONENT_MAX, if x < 0.0 { -limit } else { limit });
        if magnitude > 1e100 {
            return saturated;
        }
        let mut exponent = (magnitude.log2() + 1.0) as i32;
        let mut coefficient = (magnitude * 2f64.powi(COEFFICIENT_BITS as i32 - exponent) + 0.5) as i64;
        while coefficient > limit {
            coefficient >>= 1;
            exponent += 1;
        }
        if exponent > EXPONENT_MAX {
            return saturated;
        }
        if exponent < EXPONENT_MIN {
            coefficient = coefficient.checked_shr((EXPONENT_MIN - exponent) as u32).unwrap_or(0);
            exponent = EXPONENT_MIN;
        }
        if coefficient == 0 {
            return Self::ZERO;
        }
        Self::pack(exponent, if x < 0.0 { -coefficient } else { coefficient })
    }

    /// The value; always finite.
    pub fn to_f64(self) -> f64 {
        let exponent = (self.0 as i32) >> COEFFICIENT_BITS;
        let coefficient = ((self.0 << (32 - COEFFICIENT_BITS)) as i32) >> (32 - COEFFICIENT_BITS);
        f64::from(coefficient) * 2f64.powi(exponent - COEFFICIENT_BITS as i32)
    }

    const fn pack(exponent: i32, coefficient: i64) -> Self {
        Self(((exponent as u32) << COEFFICIENT_BITS) | (coefficient as u32 & ((1 << COEFFICIENT_BITS) - 1)))
    }
}

impl From<f64> for Float {
    fn from(x: f64) -> Self {
        Self::from_f64(x)
    }
}

impl fmt::Debug for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({:08x})", self.to_f64(), self.0)
    }
}

impl Field for Float {
    const SIZE: usize = 4;
    fn get(reader: &mut Reader<'_>) -> Self {
        Self(u32::get(reader))
    }
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
}

/// An address, or what stands for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub enum Ip {
    /// None: a reference clock, or "everything" in a request. Unknown families are read as this.
    #[default]
    Unspec,
    /// IPv4.
    V4(Ipv4Addr),
    /// IPv6.
    V6(Ipv6Addr),
    /// The daemon's own number of a source whose name is not resolved yet (since 4.0).
    Id(u32),
}

impl Ip {
    /// The address, when it is one.
    pub const fn addr(self) -> Option<IpAddr> {
        match self {
            Self::V4(a) => Some(IpAddr::V4(a)),
            Self::V6(a) => Some(IpAddr::V6(a)),
            Self::Unspec | Self::Id(_) => None,
        }
    }
}

impl From<IpAddr> for Ip {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(a) => Self::V4(a),
            IpAddr::V6(a) => Self::V6(a),
        }
    }
}

impl fmt::Display for Ip {
    /// As chronyc prints it: `127.0.0.1`, `::1`, `ID#0000000001`, `[UNSPEC]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unspec => f.write_str("[UNSPEC]"),
            Self::V4(a) => fmt::Display::fmt(a, f),
            Self::V6(a) => match a.segments() {
                // the C library's form of an IPv4-compatible address
                [0, 0, 0, 0, 0, 0, high, _] if high != 0 => {
                    write!(f, "::{}", Ipv4Addr::from_bits(a.to_bits() as u32))
                }
                _ => fmt::Display::fmt(a, f),
            },
            Self::Id(id) => write!(f, "ID#{id:010}"),
        }
    }
}

impl Field for Ip {
    const SIZE: usize = 20;
    fn get(reader: &mut Reader<'_>) -> Self {
        let bytes: [u8; 16] = reader.take();
        let family = u16::get(reader);
        Pad::<2>::get(reader);
        let [a, b, c, d, ..] = bytes;
        match family {
            1 => Self::V4(Ipv4Addr::new(a, b, c, d)),
            2 => Self::V6(Ipv6Addr::from(bytes)),
            3 => Self::Id(u32::from_be_bytes([a, b, c, d])),
            _ => Self::Unspec,
        }
    }
    fn put(&self, out: &mut Vec<u8>) {
        let (family, head, tail): (u16, [u8; 4], [u8; 12]) = match self {
            Self::Unspec => (0, [0; 4], [0; 12]),
            Self::V4(a) => (1, a.octets(), [0; 12]),
            Self::V6(a) => {
                let (head, tail) = split_v6(*a);
                (2, head, tail)
            }
            Self::Id(id) => (3, id.to_be_bytes(), [0; 12]),
        };
        out.extend_from_slice(&head);
        out.extend_from_slice(&tail);
        family.put(out);
        0u16.put(out);
    }
}

fn split_v6(a: Ipv6Addr) -> ([u8; 4], [u8; 12]) {
    let bits = a.to_bits();
    let [_, _, _, _, tail @ ..] = bits.to_be_bytes();
    (((bits >> 96) as u32).to_be_bytes(), tail)
}

/// A clock reading: seconds since 1970 (UTC) and ns within the second (0 … 999 999 999).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timespec {
    /// Seconds since 1970; the full 64 bits, far beyond what [`crate::types::Timestamp`] holds.
    pub secs: i64,
    /// ns within the second.
    pub nanos: u32,
}

impl Field for Timespec {
    const SIZE: usize = 12;
    fn get(reader: &mut Reader<'_>) -> Self {
        /// In place of the upper half: the sender's time has 32 bits only.
        const NO_HIGH: u32 = 0x7fff_ffff;
        let (high, low, nanos) = (u32::get(reader), u32::get(reader), u32::get(reader));
        let high = if high == NO_HIGH { 0 } else { high };
        Self { secs: (u64::from(high) << 32 | u64::from(low)) as i64, nanos: nanos.min(999_999_999) }
    }
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.secs.to_be_bytes());
        self.nanos.put(out);
    }
}

/// A name in its 256 bytes, padded with NULs.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(Box<[u8; Self::ROOM]>);

impl Name {
    /// Bytes of the field; the name itself has at most one less.
    pub const ROOM: usize = 256;

    /// From a name of at most 255 bytes without NUL.
    pub fn new(name: &[u8]) -> Option<Self> {
        if name.len() >= Self::ROOM || name.contains(&0) {
            return None;
        }
        let mut bytes = Box::new([0; Self::ROOM]);
        bytes.iter_mut().zip(name).for_each(|(slot, byte)| *slot = *byte);
        Some(Self(bytes))
    }

    /// The bytes before the first NUL; `None` when the last byte is no NUL.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if self.0.last() != Some(&0) {
            return None;
        }
        self.0.split(|&byte| byte == 0).next()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_bytes().map(String::from_utf8_lossy))
    }
}

impl Field for Name {
    const SIZE: usize = Self::ROOM;
    fn get(reader: &mut Reader<'_>) -> Self {
        Self(Box::new(reader.take()))
    }
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0[..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spec chronyc.md 1.4, measured with the original.
    const FLOATS: &[(f64, u32)] = &[
        (0.0, 0x0000_0000),
        (1.0, 0x0480_0000),
        (-1.0, 0x0300_0000),
        (0.5, 0x0280_0000),
        (0.25, 0x0080_0000),
        (-0.25, 0xff00_0000),
        (0.125, 0xfe80_0000),
        (0.1, 0xfccc_cccd),
        (0.001, 0xf083_126f),
        (0.0001, 0xe8d1_b717),
        (1.5, 0x04c0_0000),
        (2.5, 0x06a0_0000),
        (3.0, 0x06c0_0000),
        (4.0, 0x0880_0000),
        (10.0, 0x0aa0_0000),
        (100.0, 0x10c8_0000),
        (2000.0, 0x18fa_0000),
        (1e-9, 0xc889_705f),
        (1e-12, 0xb48c_bccc),
        (-1e-6, 0xdd79_c843),
        (123_456.789, 0x24f1_2065),
        (1e30, 0x7eff_ffff),
    ];

    #[test]
    fn floats_have_the_words_of_the_original() {
        for &(x, word) in FLOATS {
            assert_eq!(Float::from_f64(x).to_bits(), word, "{x}");
        }
    }

    #[test]
    fn floats_decode_to_what_was_encoded_within_24_bits() {
        for &(x, word) in FLOATS {
            let back = Float::from_bits(word).to_f64();
            assert!((back - x).abs() <= x.abs() * 1e-7 || x > 1e29, "{x} came back as {back}");
        }
        assert_eq!(Float::from_bits(0xda9f_7382).to_f64().to_bits(), 5.940_020_173_511_584e-7_f64.to_bits());
    }

    #[test]
    fn numbers_that_do_not_fit_saturate_or_vanish() {
        for (x, word) in [
            (f64::NAN, 0),
            (1e-101, 0),
            (-1e-101, 0),
            (f64::INFINITY, 0x7eff_ffff),
            (f64::NEG_INFINITY, 0x7f00_0000),
            (-1e30, 0x7f00_0000),
            (1e-40, 0),
            (2f64.powi(-89), 0x8000_0001),
        ] {
            assert_eq!(Float::from_f64(x).to_bits(), word, "{x}");
        }
    }

    #[test]
    fn every_exponent_survives_a_round_trip_of_its_value() {
        for exponent in 0..128u32 {
            for coefficient in [1, 0x5_5555, 0xff_ffff, 0x100_0000, 0x1ff_ffff] {
                let value = Float::from_bits(exponent << 25 | coefficient).to_f64();
                assert_eq!(Float::from_f64(value).to_f64().to_bits(), value.to_bits());
            }
        }
    }

    #[test]
    fn addresses_keep_their_family() {
        for ip in [
            Ip::Unspec,
            Ip::V4(Ipv4Addr::new(127, 0, 0, 2)),
            Ip::V6(Ipv6Addr::LOCALHOST),
            Ip::Id(0xdead_beef),
        ] {
            let mut bytes = Vec::new();
            ip.put(&mut bytes);
            assert_eq!(bytes.len(), Ip::SIZE);
            assert_eq!(Ip::get(&mut Reader::new(&bytes)), ip);
        }
        let mut odd = [0xff; 20];
        assert_eq!(Ip::get(&mut Reader::new(&odd)), Ip::Unspec);
        odd[17] = 9;
        assert_eq!(Ip::get(&mut Reader::new(&odd)), Ip::Unspec);
        assert_eq!(Ip::Id(1).to_string(), "ID#0000000001");
        let v6 = |bits: u128| Ip::V6(bits.into()).to_string();
        assert_eq!([v6(1), v6(0x1_0000), v6(0xffff_0102_0304)], ["::1", "::0.1.0.0", "::ffff:1.2.3.4"]);
    }

    #[test]
    fn times_of_32_bit_senders_and_odd_nanoseconds() {
        let bytes = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Timespec::get(&mut Reader::new(&bytes)), Timespec { secs: 5, nanos: 999_999_999 });
        let before = Timespec { secs: -1, nanos: 1 };
        let mut out = Vec::new();
        before.put(&mut out);
        assert_eq!(Timespec::get(&mut Reader::new(&out)), before);
    }

    #[test]
    fn names_end_in_nul() {
        assert_eq!(
            Name::new(b"a.example").and_then(|n| n.as_bytes().map(<[u8]>::to_vec)),
            Some(b"a.example".to_vec())
        );
        assert_eq!(Name::new(&[b'a'; 256]), None);
        assert_eq!(Name::new(b"a\0b"), None);
        assert_eq!(Name::get(&mut Reader::new(&[b'a'; 256])).as_bytes(), None);
    }

    #[test]
    fn a_reader_past_its_end_yields_zeros() {
        let mut reader = Reader::new(&[1]);
        assert_eq!(u32::get(&mut reader), 0);
        assert_eq!(u8::get(&mut reader), 0);
    }
}
