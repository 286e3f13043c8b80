//! Key files: `ntp.keys` (`id type key`) and `chrony.keys` (`id [type] [ASCII:|HEX:]key`), told apart line by line.
//!
//! | | `-k F`, `keys F` ([`Dialect::Ntp`]) | `keyfile F` ([`Dialect::Chrony`]) |
//! |---|---|---|
//! | numbers | 1 … 65535 | 1 … 2³²−1 |
//! | comment | from a `#`, also inside a word | a line that begins with `!`, `;`, `#` or `%` |
//! | two words | number and MD5 key, unless the second is a type | number and MD5 key |
//! | more columns | ignored (4.2.8: who may use the key) | the line is refused |
//! | plain key word | ≤ 20 characters literal, longer hexadecimal | literal |
//! | `ASCII:`, `HEX:` | as in chrony (the original takes them literally) | literal, hexadecimal |
//! | cipher key of a wrong length | filled up with zeros or cut | refused |
//!
//! Measured on ntpd 4.2.8p15: only the first 64 hexadecimal digits count, an odd last one is dropped; of two keys with one number the first
//! stays; numbers are read up to the first non-digit (`31x` is 31, `032` is 32); types in any case. Like 4.2.6 and unlike p15, which throws
//! the whole file away (`rejecting file 'F' after N error(s)`), we use the good lines; a key with a bad digit is refused.
//! NTPsec 1.2.2 writes `SHA-256` and, from ntpkeygen, `AES` (128 bits); its words are understood too.
//! Measured on chronyd 4.9: prefixes only in capitals; the first of two keys stays; `25x` is 25; a line of more than three words, or of one, or
//! whose number is none: `Could not parse key at line N in file F`. It reads 2³² as 0 and −1 as 2³²−1; we refuse both, and 0.

use zeroize::Zeroizing;

use super::{Algorithm, Key, KeyRing};
use crate::types::KeyId;

/// Whose rules hold where a line does not show by itself which file it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// ntpdate, ntpd, ntpq.
    Ntp,
    /// chronyd.
    Chrony,
}

/// Largest key number of ntp.keys; above were the numbers of Autokey.
const NTP_MAX_ID: u32 = 65_535;
/// Longest plain key word of ntp.keys that is literal.
const NTP_LITERAL_MAX: usize = 20;
/// Hexadecimal digits of ntp.keys that count (4.2.8p15).
const NTP_HEX_MAX: usize = 64;

/// A line of a key file that was not used, or used with a doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Line number from 1.
    pub line: usize,
    /// Which program's words are used.
    pub dialect: Dialect,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a line. No variant holds key material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The number is 0 or none; the word as it stands (control characters escaped).
    BadId(String),
    /// The number is too large; the word as it stands.
    IdTooLarge(String),
    /// Number of words that no key line has (chrony).
    Unparsable,
    /// A number alone.
    NoType(KeyId),
    /// A word in the place of the type that is none.
    InvalidType(KeyId),
    /// A known digest that we do not have.
    UnsupportedType(KeyId),
    /// Nothing after the type.
    NoKey(KeyId),
    /// The key is no even number of hexadecimal digits.
    BadHex(KeyId),
    /// The key of a cipher has another length.
    BadLength(KeyId, Algorithm),
    /// The number was there before; the first one stays.
    Duplicate(KeyId),
}

impl Diagnostic {
    /// The line that the original writes, `file` being the name as the user gave it.
    pub fn legacy(&self, file: &str) -> String {
        let text = match (self.dialect, &self.problem) {
            (Dialect::Ntp, Problem::BadId(word)) => format!("cannot change key {word}"),
            (Dialect::Ntp, Problem::IdTooLarge(word)) => {
                format!("key {word} > {NTP_MAX_ID} reserved for Autokey")
            }
            (Dialect::Ntp, Problem::Unparsable) => format!("line {} is no key", self.line),
            (Dialect::Ntp, Problem::NoType(id)) => format!("no key type for key {}", id.get()),
            (Dialect::Ntp, Problem::InvalidType(id)) => format!("invalid type for key {}", id.get()),
            (Dialect::Ntp, Problem::UnsupportedType(id)) => format!("no algorithm for key {}", id.get()),
            (Dialect::Ntp, Problem::NoKey(id)) => format!("no key for key {}", id.get()),
            (Dialect::Ntp, Problem::BadHex(id)) => format!("invalid hex digit for key {}", id.get()),
            (Dialect::Ntp, Problem::BadLength(id, _)) => format!("invalid length of key {}", id.get()),
            (Dialect::Ntp, Problem::Duplicate(id)) => {
                format!("duplicate key {}, the first one is used", id.get())
            }
            (Dialect::Chrony, Problem::InvalidType(id)) => {
                return format!("Invalid type in key {}", id.get());
            }
            (Dialect::Chrony, Problem::UnsupportedType(id)) => {
                return format!("Unsupported hash function in key {}", id.get());
            }
            (Dialect::Chrony, Problem::NoKey(id) | Problem::BadHex(id)) => {
                return format!("Could not decode key {}", id.get());
            }
            (Dialect::Chrony, Problem::BadLength(id, algorithm)) => {
                let bits = algorithm.key_len().unwrap_or_default() * 8;
                let name = algorithm.chrony_name();
                return format!("Invalid length of {name} key {} (expected {bits} bits)", id.get());
            }
            (Dialect::Chrony, Problem::Duplicate(id)) => {
                return format!("Detected duplicate key {}", id.get());
            }
            (
                Dialect::Chrony,
                Problem::BadId(_) | Problem::IdTooLarge(_) | Problem::Unparsable | Problem::NoType(_),
            ) => return format!("Could not parse key at line {} in file {file}", self.line),
        };
        format!("authreadkeys: {text}")
    }

    /// The same with `file:line:` in front, for `--check`, `doctor` and JSON.
    pub fn located(&self, file: &str) -> String {
        format!("{file}:{}: {}", self.line, self.legacy(file))
    }
}

/// The line that the original writes when the file cannot be read; `reason` is the system's text.
pub fn unreadable(dialect: Dialect, file: &str, reason: &str) -> String {
    match dialect {
        Dialect::Ntp => format!("authreadkeys: file {file}: {reason}"),
        Dialect::Chrony => format!("Could not open keyfile {file}"),
    }
}

impl KeyRing {
    /// Reads a whole key file. Bad lines become diagnostics in their order; every good line is used.
    pub fn parse(text: &[u8], dialect: Dialect) -> (Self, Vec<Diagnostic>) {
        let mut ring = Self::default();
        let mut diagnostics = Vec::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let parsed = match dialect {
                Dialect::Ntp => ntp_line(line),
                Dialect::Chrony => chrony_line(line),
            };
            let problem = match parsed {
                Ok(None) => None,
                Ok(Some((id, key))) => (!ring.insert(id, key)).then_some(Problem::Duplicate(id)),
                Err(problem) => Some(problem),
            };
            diagnostics.extend(problem.map(|problem| Diagnostic { line: index + 1, dialect, problem }));
        }
        (ring, diagnostics)
    }

    /// The keys as chrony.keys, which both programs' files convert to without loss (`ASCII:` only where every byte is printable).
    pub fn emit_chrony(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::new());
        for (id, key) in self.iter() {
            out.extend_from_slice(format!("{} {} ", id.get(), key.algorithm().chrony_name()).as_bytes());
            if key.secret().iter().all(u8::is_ascii_graphic) {
                out.extend_from_slice(b"ASCII:");
                out.extend_from_slice(key.secret());
            } else {
                out.extend_from_slice(b"HEX:");
                for byte in key.secret() {
                    out.extend_from_slice(format!("{byte:02x}").as_bytes());
                }
            }
            out.push(b'\n');
        }
        out
    }
}

type Line = Result<Option<(KeyId, Key)>, Problem>;

fn ntp_line(line: &[u8]) -> Line {
    let mut words = Vec::new();
    for word in line.split(|byte| is_space(*byte)).filter(|word| !word.is_empty()) {
        let cut = match word.iter().position(|byte| *byte == b'#') {
            Some(at) if !word.starts_with(b"ASCII:") => at,
            _ => word.len(),
        };
        let (kept, comment) = word.split_at_checked(cut).unwrap_or((word, &[]));
        if !kept.is_empty() {
            words.push(kept);
        }
        if !comment.is_empty() {
            break;
        }
    }
    let (id_word, rest) = match words.as_slice() {
        [] => return Ok(None),
        [id, rest @ ..] => (*id, rest),
    };
    let id = match leading_number(id_word) {
        Some(0) => return Err(Problem::BadId(shown(id_word))),
        None if id_word.first() == Some(&b'-')
            && leading_number(id_word.get(1..).unwrap_or_default()).is_some() =>
        {
            return Err(Problem::IdTooLarge(shown(id_word)));
        }
        None => return Err(Problem::BadId(shown(id_word))),
        Some(id) => match u32::try_from(id) {
            Ok(id) if id <= NTP_MAX_ID => KeyId::new(id),
            _ => return Err(Problem::IdTooLarge(shown(id_word))),
        },
    };
    let (algorithm, word) = match rest {
        [] => return Err(Problem::NoType(id)),
        [word] => match TypeWord::parse(word) {
            TypeWord::Unknown => (Algorithm::Md5, *word),
            _ => return Err(Problem::NoKey(id)),
        },
        [kind, word, ..] => (TypeWord::parse(kind).algorithm(id)?, *word),
    };
    let secret = match prefixed(word, id)? {
        Some(secret) => secret,
        None if word.len() <= NTP_LITERAL_MAX => Zeroizing::new(word.to_vec()),
        // a bad digit in what is cut off is a typing error too
        None if word.iter().all(u8::is_ascii_hexdigit) => {
            hex(word.get(..NTP_HEX_MAX.min(word.len() & !1)).unwrap_or_default())
                .ok_or(Problem::BadHex(id))?
        }
        None => return Err(Problem::BadHex(id)),
    };
    Ok(Some((id, Key::new(algorithm, &secret))))
}

fn chrony_line(line: &[u8]) -> Line {
    let words: Vec<&[u8]> = line.split(|byte| is_space(*byte)).filter(|word| !word.is_empty()).collect();
    let (id_word, algorithm, word) = match words.as_slice() {
        [] => return Ok(None),
        [first, ..] if matches!(first.first(), Some(b'!' | b';' | b'#' | b'%')) => return Ok(None),
        [id, word] => (*id, Ok(Algorithm::Md5), *word),
        [id, kind, word] => (*id, Err(TypeWord::parse(kind)), *word),
        _ => return Err(Problem::Unparsable),
    };
    let id = match leading_number(id_word) {
        None | Some(0) => return Err(Problem::BadId(shown(id_word))),
        Some(id) => KeyId::new(u32::try_from(id).map_err(|_| Problem::IdTooLarge(shown(id_word)))?),
    };
    let algorithm = algorithm.or_else(|kind| kind.algorithm(id))?;
    let secret = prefixed(word, id)?.unwrap_or_else(|| Zeroizing::new(word.to_vec()));
    if algorithm.key_len().is_some_and(|len| len != secret.len()) {
        return Err(Problem::BadLength(id, algorithm));
    }
    Ok(Some((id, Key::new(algorithm, &secret))))
}

/// White space as C's `isspace` has it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

/// The number at the beginning of a word; too large ones saturate.
fn leading_number(word: &[u8]) -> Option<u64> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number: Option<u64>, digit| {
        Some(number.unwrap_or_default().saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
}

/// A word as it may go into a log: at most 40 characters, nothing that a terminal acts on.
fn shown(word: &[u8]) -> String {
    String::from_utf8_lossy(word).chars().take(40).flat_map(char::escape_debug).collect()
}

/// The secret of a word with a prefix of chrony's, `None` without one.
fn prefixed(word: &[u8], id: KeyId) -> Result<Option<Zeroizing<Vec<u8>>>, Problem> {
    if let Some(literal) = word.strip_prefix(b"ASCII:") {
        return if literal.is_empty() {
            Err(Problem::NoKey(id))
        } else {
            Ok(Some(Zeroizing::new(literal.to_vec())))
        };
    }
    match word.strip_prefix(b"HEX:") {
        None => Ok(None),
        Some([]) => Err(Problem::NoKey(id)),
        Some(digits) => hex(digits).map(Some).ok_or(Problem::BadHex(id)),
    }
}

fn hex(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, odd) = digits.as_chunks::<2>();
    let mut secret = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for pair in pairs {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        secret.push(u8::try_from(high? << 4 | low?).ok()?);
    }
    odd.is_empty().then_some(secret)
}

/// The second word of a line.
enum TypeWord {
    Known(Algorithm),
    /// A digest that the originals know (through OpenSSL, nettle) and we do not.
    Unsupported,
    Unknown,
}

impl TypeWord {
    fn parse(word: &[u8]) -> Self {
        let upper = word.to_ascii_uppercase();
        match upper.as_slice() {
            b"SHA1" | b"SHA-1" => Self::Known(Algorithm::Sha1),
            b"SHA256" | b"SHA-256" => Self::Known(Algorithm::Sha256),
            b"SHA384" | b"SHA-384" => Self::Known(Algorithm::Sha384),
            b"SHA512" | b"SHA-512" => Self::Known(Algorithm::Sha512),
            b"AES128" | b"AES128CMAC" | b"AES-128" | b"AES" => Self::Known(Algorithm::Aes128Cmac),
            b"AES256" | b"AES256CMAC" | b"AES-256" => Self::Known(Algorithm::Aes256Cmac),
            b"SHA" | b"SHA224" | b"SHA512-224" | b"SHA512-256" | b"SHA3-224" | b"SHA3-256" | b"SHA3-384"
            | b"SHA3-512" | b"RIPEMD160" | b"RMD160" | b"WHIRLPOOL" | b"TIGER" | b"BLAKE2B512"
            | b"BLAKE2S256" => Self::Unsupported,
            [b'M', ..] => Self::Known(Algorithm::Md5),
            _ => Self::Unknown,
        }
    }

    fn algorithm(self, id: KeyId) -> Result<Algorithm, Problem> {
        match self {
            Self::Known(algorithm) => Ok(algorithm),
            Self::Unsupported => Err(Problem::UnsupportedType(id)),
            Self::Unknown => Err(Problem::InvalidType(id)),
        }
    }
}
