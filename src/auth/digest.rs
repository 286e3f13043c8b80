//! Keyed digests: HASH(key ‖ packet), the oldest MAC of NTP (RFC 5905 §7.3, there only with MD5).

use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use zeroize::Zeroize;

use super::{Algorithm, cmac};

/// A digest of up to 64 bytes on the stack, wiped when dropped (the part that is cut off stays secret).
pub(super) struct Digest {
    bytes: [u8; 64],
    len: usize,
}

impl Digest {
    fn new(result: &[u8]) -> Self {
        let mut bytes = [0; 64];
        for (slot, byte) in bytes.iter_mut().zip(result) {
            *slot = *byte;
        }
        Self { bytes, len: result.len().min(64) }
    }

    /// The whole digest.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Digest {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

fn keyed<H: md5::Digest>(secret: &[u8], data: &[u8]) -> Digest {
    Digest::new(&H::new().chain_update(secret).chain_update(data).finalize())
}

/// SHA1 of what anybody may know: it finds damage, it proves nothing.
pub fn checksum(data: &[u8]) -> [u8; 20] {
    use sha1::Digest as _;
    Sha1::digest(data).into()
}

/// The digest of `data` under a secret, whole.
pub(super) fn compute(algorithm: Algorithm, secret: &[u8], data: &[u8]) -> Digest {
    match algorithm {
        Algorithm::Md5 => keyed::<Md5>(secret, data),
        Algorithm::Sha1 => keyed::<Sha1>(secret, data),
        Algorithm::Sha256 => keyed::<Sha256>(secret, data),
        Algorithm::Sha384 => keyed::<Sha384>(secret, data),
        Algorithm::Sha512 => keyed::<Sha512>(secret, data),
        Algorithm::Aes128Cmac => Digest::new(&cmac::aes128(secret, data)),
        Algorithm::Aes256Cmac => Digest::new(&cmac::aes256(secret, data)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(algorithm: Algorithm, secret: &[u8], data: &[u8]) -> String {
        compute(algorithm, secret, data).as_bytes().iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn standards_own_vectors() {
        // RFC 1321 A.5, RFC 3174 7.3, RFC 6234 8.5 (FIPS 180): all of "abc"; the key is simply the first part
        for (algorithm, expected) in [
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                Algorithm::Sha384,
                "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            ),
            (
                Algorithm::Sha512,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
        ] {
            for split in 0..=3 {
                let (secret, data) = b"abc".split_at(split);
                assert_eq!(hex(algorithm, secret, data), expected, "{algorithm:?}, key of {split} bytes");
            }
        }
    }
}
