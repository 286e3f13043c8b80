//! Layer 1: symmetric keys and the MACs made with them.
//!
//! A MAC is the key number (32 bits) and a digest of all bytes before it (RFC 5905 §7.3): HASH(key ‖ packet), or AES-CMAC (RFC 8573).
//! How much of a long digest travels was measured on chronyd 4.9, ntpd 4.2.8p15 and NTPsec 1.2.2:
//!
//! | packet | chronyd | ntpd, NTPsec |
//! |---|---|---|
//! | NTPv4 | first 20 bytes | first 20 bytes |
//! | NTPv1–3 | the whole digest | first 20 bytes |
//!
//! Each refuses any other length, shorter or longer, and answers with the length that it was asked with; hence [`DigestLength`] is a
//! parameter. Digests are compared in constant time, secrets and intermediate states are wiped, and no `Debug` shows them.
#![deny(clippy::indexing_slicing)]

mod cmac;
mod digest;
mod keys;

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use digest::checksum;
pub use keys::{Diagnostic, Dialect, Problem, unreadable};

use crate::types::{KeyId, RefId, Version};
use crate::wire::ext::{Mac, Tail, TailError, Trailer};

/// Bytes of a digest that an NTPv4 packet carries at most: longer ones are cut (measured; module docs).
pub const CUT: usize = 20;

/// How a MAC is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5(key ‖ packet), 16 bytes (RFC 5905).
    Md5,
    /// SHA-1(key ‖ packet), 20 bytes.
    Sha1,
    /// SHA-256(key ‖ packet), 32 bytes.
    Sha256,
    /// SHA-384(key ‖ packet), 48 bytes.
    Sha384,
    /// SHA-512(key ‖ packet), 64 bytes.
    Sha512,
    /// AES-128-CMAC(key, packet), 16 bytes (RFC 8573).
    Aes128Cmac,
    /// AES-256-CMAC(key, packet), 16 bytes.
    Aes256Cmac,
}

impl Algorithm {
    /// The word for it in chrony.keys.
    pub const fn chrony_name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
            Self::Aes128Cmac => "AES128",
            Self::Aes256Cmac => "AES256",
        }
    }

    /// Number of the algorithm in chrony's `authdata` report (chronyc.md, `key_type`).
    pub const fn chrony_number(self) -> u16 {
        match self {
            Self::Md5 => 1,
            Self::Sha1 => 2,
            Self::Sha256 => 3,
            Self::Sha384 => 4,
            Self::Sha512 => 5,
            Self::Aes128Cmac => 13,
            Self::Aes256Cmac => 14,
        }
    }

    /// Length of the whole digest in bytes.
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Md5 | Self::Aes128Cmac | Self::Aes256Cmac => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Length of the key in bytes where the algorithm fixes it (ciphers).
    pub const fn key_len(self) -> Option<usize> {
        match self {
            Self::Aes128Cmac => Some(16),
            Self::Aes256Cmac => Some(32),
            _ => None,
        }
    }
}

/// How much of the digest travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestLength {
    /// All of it: chrony before NTPv4.
    Whole,
    /// At most 20 bytes: everybody in NTPv4, ntp and NTPsec always, mode 6.
    CutTo20,
}

impl DigestLength {
    /// The rule of a packet of this version for a program that behaves as this dialect's.
    pub fn of(version: Version, dialect: Dialect) -> Self {
        if dialect == Dialect::Chrony && version < Version::V4 { Self::Whole } else { Self::CutTo20 }
    }

    const fn limit(self) -> usize {
        match self {
            Self::Whole => usize::MAX,
            Self::CutTo20 => CUT,
        }
    }
}

/// Why a MAC was not made or not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthError {
    /// The bytes after the header are neither fields nor a MAC.
    Malformed(TailError),
    /// The packet carries no MAC.
    Missing,
    /// The sender could not verify our MAC.
    CryptoNak,
    /// No such key here.
    UnknownKey(KeyId),
    /// The digest is longer or shorter than this key makes it.
    DigestLength {
        /// Bytes that it should have.
        want: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// The digest is wrong: another secret, or the packet was changed.
    BadDigest(KeyId),
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "{error}"),
            Self::Missing => write!(f, "the packet is not authenticated"),
            Self::CryptoNak => {
                write!(f, "crypto-NAK: the other side does not know the key or has another secret for it")
            }
            Self::UnknownKey(id) => write!(f, "key {} is not in the key file", id.get()),
            Self::DigestLength { want, got } => write!(f, "the digest has {got} bytes, the key makes {want}"),
            Self::BadDigest(id) => write!(f, "the digest under key {} is wrong", id.get()),
        }
    }
}

/// One symmetric key. Its secret is wiped when dropped and never printed.
#[derive(Clone)]
pub struct Key {
    algorithm: Algorithm,
    secret: Zeroizing<Vec<u8>>,
}

impl Key {
    /// A key of an algorithm. A cipher's key of another length than [`Algorithm::key_len`] is filled up with zero bytes or cut, as ntpd does.
    pub fn new(algorithm: Algorithm, secret: &[u8]) -> Self {
        let len = algorithm.key_len().unwrap_or(secret.len());
        let filled = secret.iter().copied().chain(std::iter::repeat(0)).take(len);
        let mut secret = Zeroizing::new(Vec::with_capacity(len));
        secret.extend(filled);
        Self { algorithm, secret }
    }

    /// How its MACs are computed.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Length of the secret in bits (chrony's `authdata` report).
    pub fn bits(&self) -> usize {
        self.secret.len() * 8
    }

    /// Fewer than 10 bytes: chronyd logs `Key N is too short` when it is used, and uses it.
    pub fn is_short(&self) -> bool {
        self.secret.len() < 10
    }

    /// The secret itself, for `convert` and for key agreement with other formats; keep it out of logs.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// A MAC that was made, ready to be appended: key number and digest.
#[derive(Debug, Clone, Copy)]
pub struct MacBytes {
    bytes: [u8; crate::wire::ext::MAX_MAC],
    len: usize,
}

impl std::ops::Deref for MacBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// What was done with the keys of a ring and of its copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses {
    /// Keys that were looked for.
    pub lookups: u64,
    /// Those that were not there.
    pub not_found: u64,
    /// MACs that were made.
    pub signed: u64,
    /// MACs that were checked, believed or not.
    pub verified: u64,
}

#[derive(Debug, Default)]
struct Tally {
    lookups: AtomicU64,
    not_found: AtomicU64,
    signed: AtomicU64,
    verified: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The keys of a key file by number.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: BTreeMap<KeyId, Key>,
    tally: Arc<Tally>,
}

impl KeyRing {
    /// Adds a key; the first one of a number stays (as in chronyd and ntpd). Answers whether it was added.
    pub fn insert(&mut self, id: KeyId, key: Key) -> bool {
        let vacant = !self.keys.contains_key(&id);
        if vacant {
            self.keys.insert(id, key);
        }
        vacant
    }

    /// Keeps only the keys for which `trusted` says so (`trustedkey`).
    pub fn retain(&mut self, mut trusted: impl FnMut(KeyId) -> bool) {
        self.keys.retain(|id, _| trusted(*id));
    }

    /// What was done with this ring and its copies.
    pub fn uses(&self) -> Uses {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Tally { lookups, not_found, signed, verified } = &*self.tally;
        Uses {
            lookups: read(lookups),
            not_found: read(not_found),
            signed: read(signed),
            verified: read(verified),
        }
    }

    /// Goes on counting where a ring that this one replaces ended.
    pub fn count_with(&mut self, replaced: &Self) {
        self.tally = Arc::clone(&replaced.tally);
    }

    /// What chronyd says of the key that a new source wants; 0 is none.
    pub fn complaint(&self, number: u32) -> Option<String> {
        match self.get(KeyId::new(number)) {
            _ if number == 0 => None,
            None => Some(format!("Key {number} is missing")),
            Some(key) => key.is_short().then(|| format!("Key {number} is too short")),
        }
    }

    /// The key of this number.
    pub fn get(&self, id: KeyId) -> Option<&Key> {
        self.keys.get(&id)
    }

    /// All keys in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (KeyId, &Key)> {
        self.keys.iter().map(|(id, key)| (*id, key))
    }

    /// How many there are (`Loaded N symmetric keys`).
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// No key at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The MAC over `covered` (header, fields and, in mode 6, padding).
    ///
    /// # Errors
    /// [`AuthError::UnknownKey`].
    pub fn sign(&self, id: KeyId, covered: &[u8], length: DigestLength) -> Result<MacBytes, AuthError> {
        let mac = self.compute(id, covered, length)?;
        count(&self.tally.signed);
        Ok(mac)
    }

    fn compute(&self, id: KeyId, covered: &[u8], length: DigestLength) -> Result<MacBytes, AuthError> {
        count(&self.tally.lookups);
        let key = self.get(id).ok_or_else(|| {
            count(&self.tally.not_found);
            AuthError::UnknownKey(id)
        })?;
        let digest = digest::compute(key.algorithm, &key.secret, covered);
        let mut mac = MacBytes { bytes: [0; crate::wire::ext::MAX_MAC], len: 4 };
        let sent = digest.as_bytes().iter().take(length.limit());
        for (slot, byte) in mac.bytes.iter_mut().zip(id.get().to_be_bytes().iter().chain(sent)) {
            *slot = *byte;
        }
        mac.len += key.algorithm.digest_len().min(length.limit());
        Ok(mac)
    }

    /// Believes the MAC of `covered`, or says why not. The time it takes does not depend on where the digest differs.
    ///
    /// # Errors
    /// [`AuthError::UnknownKey`], [`AuthError::DigestLength`], [`AuthError::BadDigest`].
    pub fn verify(&self, covered: &[u8], mac: Mac<'_>, length: DigestLength) -> Result<KeyId, AuthError> {
        let expected = self.compute(mac.key, covered, length)?;
        count(&self.tally.verified);
        let expected = expected.get(4..).unwrap_or_default();
        if expected.len() != mac.digest.len() {
            return Err(AuthError::DigestLength { want: expected.len(), got: mac.digest.len() });
        }
        if bool::from(expected.ct_eq(mac.digest)) { Ok(mac.key) } else { Err(AuthError::BadDigest(mac.key)) }
    }

    /// Appends the MAC to a complete packet, by the rule of its own version.
    ///
    /// # Errors
    /// [`AuthError::UnknownKey`]; nothing is appended then.
    pub fn sign_packet(&self, id: KeyId, packet: &mut Vec<u8>, dialect: Dialect) -> Result<(), AuthError> {
        let mac = self.sign(id, packet, DigestLength::of(version_of(packet), dialect))?;
        packet.extend_from_slice(&mac);
        Ok(())
    }

    /// Finds the MAC of a whole received packet and believes it, or says why not.
    ///
    /// # Errors
    /// Every [`AuthError`].
    pub fn verify_packet(&self, packet: &[u8], dialect: Dialect) -> Result<KeyId, AuthError> {
        let tail = Tail::parse(packet).map_err(AuthError::Malformed)?;
        match tail.trailer() {
            Trailer::None => Err(AuthError::Missing),
            Trailer::CryptoNak => Err(AuthError::CryptoNak),
            Trailer::Mac(mac) => {
                self.verify(tail.covered(), mac, DigestLength::of(version_of(packet), dialect))
            }
        }
    }
}

/// The reference ID of those that follow a source at this address: the first four bytes of its MD5 (RFC 5905 §7.3).
pub fn refid_of_ipv6(address: Ipv6Addr) -> RefId {
    let digest = digest::compute(Algorithm::Md5, &[], &address.octets());
    RefId::from_ascii(digest.as_bytes().first_chunk().copied().unwrap_or_default())
}

/// The version in a packet's first byte.
fn version_of(packet: &[u8]) -> Version {
    Version::from_bits(packet.first().map_or(0, |flags| flags >> 3))
}

#[cfg(test)]
mod tests;
