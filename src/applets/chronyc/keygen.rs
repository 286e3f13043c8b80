//! `keygen [ID [TYPE [BITS]]]`: a line for a key file.

use super::scan;

/// Hashes; the key has as many bits as asked for.
const HASHES: [&str; 9] =
    ["MD5", "SHA1", "SHA256", "SHA384", "SHA512", "SHA3-224", "SHA3-256", "SHA3-384", "SHA3-512"];
/// Ciphers and the length of their keys in bytes.
const CIPHERS: [(&str, usize); 2] = [("AES128", 16), ("AES256", 32)];
/// Bytes of a key.
const LENGTHS: std::ops::RangeInclusive<usize> = 10..=512;

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeySpec {
    /// Number in the key file.
    pub(super) id: u32,
    /// Hash or cipher.
    pub(super) key_type: String,
    /// Bytes.
    pub(super) length: usize,
}

/// Reads the words after `keygen`.
///
/// # Errors
/// The original's line.
pub(super) fn parse(args: &[&str]) -> Result<KeySpec, String> {
    let bad = || "Invalid syntax for keygen command".to_owned();
    if args.len() > 3 {
        return Err(bad());
    }
    let number = |word: &str| scan::unsigned(word).ok_or_else(bad);
    let id = args.first().map_or(Ok(1), |word| number(word))?;
    let key_type = args.get(1).copied().unwrap_or("SHA1");
    let bits = args.get(2).map_or(Ok(160), |word| number(word))?;
    let asked = usize::try_from(bits).unwrap_or(usize::MAX).div_ceil(8);
    let length = match CIPHERS.iter().find(|(name, _)| *name == key_type) {
        Some((_, length)) => *length,
        None if HASHES.contains(&key_type) => asked,
        None => return Err(format!("Unknown hash function or cipher {}", printable(key_type))),
    };
    Ok(KeySpec { id, key_type: key_type.to_owned(), length: length.clamp(*LENGTHS.start(), *LENGTHS.end()) })
}

/// A word of the command line without what could move a terminal's cursor.
fn printable(word: &str) -> String {
    word.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Upper-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(args: &[&str]) -> Result<(u32, usize), String> {
        parse(args).map(|spec| (spec.id, spec.length))
    }

    #[test]
    fn lengths_follow_type_and_bits() {
        assert_eq!(spec(&[]), Ok((1, 20)));
        assert_eq!(spec(&["73", "SHA1", "161"]), Ok((73, 21)));
        assert_eq!(spec(&["5", "AES128", "999"]), Ok((5, 16)));
        assert_eq!(spec(&["5", "MD5", "1"]), Ok((5, 10)));
        assert_eq!(spec(&["5", "SHA512", "99999"]), Ok((5, 512)));
        assert_eq!(spec(&["x"]), Err("Invalid syntax for keygen command".into()));
        assert_eq!(spec(&["1", "SHA1", "160", "x"]), Err("Invalid syntax for keygen command".into()));
        assert_eq!(spec(&["1", "sha1"]), Err("Unknown hash function or cipher sha1".into()));
        assert_eq!(hex(&[0, 0xab]), "00AB");
    }
}
