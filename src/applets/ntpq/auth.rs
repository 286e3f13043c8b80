//! Authenticated commands: the key, and what it opens (remote configuration, writing, interface and access lists).

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::shell::{Answer, Shell, Trouble, Value};
use crate::applets::io::error_text;
use crate::auth::{Algorithm, Key, KeyRing};
use crate::client::mode6::decode::visible;
use crate::client::mode6::{Credentials, Reply, Request};
use crate::report::{NtpqInterface, NtpqInterfaces, NtpqReport, NtpqRestriction, NtpqRestrictions};
use crate::types::KeyId;
use crate::wire::mode6::vars::variables;
use crate::wire::mode6::{AssocId, Opcode};

/// Width of the rules of the lists.
const RULE: usize = 78;
/// Most rows of a list that are kept.
const MAX_ROWS: usize = 65_536;
/// Longest secret that is text; a longer one is hexadecimal, as in ntp.keys.
const MAX_TEXT_KEY: usize = 20;
/// Tags of a complete row of `ifstats`.
const INTERFACE_TAGS: usize = 12;

/// How requests are signed.
pub(super) struct Keys {
    algorithm: Algorithm,
    secret: Option<Zeroizing<String>>,
}

impl Default for Keys {
    fn default() -> Self {
        Self { algorithm: Algorithm::Md5, secret: None }
    }
}

/// The digests by the names that ntpq (OpenSSL) gives them.
const DIGESTS: &[(&str, Algorithm)] = &[
    ("AES128CMAC", Algorithm::Aes128Cmac),
    ("MD5", Algorithm::Md5),
    ("SHA1", Algorithm::Sha1),
    ("SHA256", Algorithm::Sha256),
    ("SHA384", Algorithm::Sha384),
    ("SHA512", Algorithm::Sha512),
];

fn digest_name(algorithm: Algorithm) -> &'static str {
    DIGESTS.iter().find(|(_, known)| *known == algorithm).map_or("MD5", |(name, _)| name)
}

fn text(values: &[Value]) -> &str {
    values
        .iter()
        .rev()
        .find_map(|v| if let Value::Text(t) = v { Some(t.as_str()) } else { None })
        .unwrap_or_default()
}

impl Shell<'_> {
    pub(super) fn keytype(&mut self, values: &[Value]) -> Answer {
        let word = text(values);
        if !word.is_empty() {
            let found =
                DIGESTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.trim_end_matches("-cmac")));
            match found {
                Some((_, algorithm)) if !self.set.old || *algorithm == Algorithm::Md5 => {
                    self.keys.algorithm = *algorithm;
                    return Answer::default();
                }
                _ if self.set.old => return Answer::text("keytype must be 'md5'\n"),
                _ => {
                    return Answer::text(
                        "keytype is not valid. Type \"help keytype\" for the available digest types.\n",
                    );
                }
            }
        }
        let algorithm = self.keys.algorithm;
        let length = algorithm.digest_len();
        Answer::text(format!("keytype is {} with {length} octet digests\n", digest_name(algorithm)))
    }

    pub(super) fn passwd(&mut self, values: &[Value]) -> Answer {
        if let Err(trouble) = self.need_key_id() {
            return if self.set.old { trouble.into() } else { Answer::text("Keyid must be defined\n") };
        }
        let given = if self.set.old { "" } else { text(values) };
        let secret = if given.is_empty() { self.ask_password() } else { Zeroizing::new(given.to_owned()) };
        if secret.is_empty() {
            return Answer::text("Password unchanged\n");
        }
        self.keys.secret = Some(secret);
        Answer::default()
    }

    fn ask_password(&mut self) -> Zeroizing<String> {
        let prompt = format!("{} Password: ", digest_name(self.keys.algorithm));
        self.io.out.flush();
        write!(self.io.err, "{prompt}");
        let secret = super::secret_line(self.io);
        if self.io.in_is_tty {
            writeln!(self.io.err);
        }
        secret
    }

    fn need_key_id(&mut self) -> Result<KeyId, Trouble> {
        if let Some(id) = self.key {
            return Ok(KeyId::new(id));
        }
        self.io.out.flush();
        write!(self.io.err, "Keyid: ");
        let line = super::plain_line(self.io);
        match line.trim().parse::<u32>().ok().filter(|id| (1..=65_535).contains(id)) {
            Some(id) => {
                self.key = Some(id);
                Ok(KeyId::new(id))
            }
            None => Err(Trouble::new("no-key", "Invalid key identifier")),
        }
    }

    /// Makes the session sign: asks for what is missing.
    pub(super) fn sign_requests(&mut self) -> Result<(), Trouble> {
        let id = self.need_key_id()?;
        let secret = match &self.keys.secret {
            Some(secret) => secret.clone(),
            None => self.ask_password(),
        };
        if secret.is_empty() {
            return Err(Trouble::new("no-key", "Invalid password"));
        }
        let bytes = key_bytes(&secret);
        self.keys.secret = Some(secret);
        let mut ring = KeyRing::default();
        ring.insert(id, Key::new(self.keys.algorithm, &bytes));
        if let Some(link) = &mut self.link {
            link.session.set_credentials(Some(Credentials { key: id, ring }));
        }
        Ok(())
    }

    /// One question with a MAC.
    fn ask_signed(&mut self, opcode: Opcode, association: AssocId, data: &[u8]) -> Result<Reply, Trouble> {
        self.sign_requests()?;
        self.ask(Request { authenticated: true, ..Request::new(opcode, association, data) })
    }

    /// `:config LINE`
    pub(super) fn config(&mut self, values: &[Value]) -> Answer {
        let line = text(values).to_owned();
        match self.ask_signed(Opcode::Configure, AssocId::SYSTEM, line.as_bytes()) {
            Ok(reply) => Answer::text(config_text(&line, &reply.data, self.io.in_is_tty, self.set.old)),
            Err(trouble) => trouble.into(),
        }
    }

    pub(super) fn config_from_file(&mut self, values: &[Value]) -> Answer {
        let path = text(values).to_owned();
        let content = match std::fs::read(&path) {
            Ok(content) => content,
            Err(error) => {
                let line = format!("ERROR!! Couldn't open file: {}", visible(path.as_bytes()));
                let reason = format!("{}: {}", visible(path.as_bytes()), error_text(&error));
                let trouble = Some(Trouble::new("cannot-read", reason));
                return Answer { text: format!("{line}\n"), trouble, ..Answer::default() };
            }
        };
        let mut answer = Answer::text("Sending configuration file, one line at a time.\n");
        let content = content.strip_suffix(b"\n").unwrap_or(&content);
        for (number, line) in content.split(|&b| b == b'\n').enumerate() {
            if matches!(line.trim_ascii_start().first(), None | Some(b'#')) {
                continue;
            }
            match self.ask_signed(Opcode::Configure, AssocId::SYSTEM, line) {
                Ok(reply) => {
                    let reply = visible(trimmed(&reply.data));
                    answer.text.push_str(&format!("Line No: {} {reply}: {}\n", number + 1, visible(line)));
                }
                Err(trouble) => {
                    answer.trouble = Some(trouble);
                    return answer;
                }
            }
        }
        answer.text.push_str("Done sending file\n");
        answer
    }

    pub(super) fn saveconfig(&mut self, values: &[Value]) -> Answer {
        let name = text(values).to_owned();
        match self.ask_signed(Opcode::SaveConfig, AssocId::SYSTEM, name.as_bytes()) {
            Ok(reply) if reply.data.is_empty() => Answer::text("(no response message, curiously)\n"),
            Ok(reply) => Answer::text(format!("{}\n", visible(trimmed(&reply.data)))),
            Err(trouble) => trouble.into(),
        }
    }

    pub(super) fn writevar(&mut self, values: &[Value]) -> Answer {
        match super::query::association(values) {
            Ok(id) => self.write(id, text(values).to_owned()),
            Err(trouble) => trouble.into(),
        }
    }

    pub(super) fn writelist(&mut self, values: &[Value]) -> Answer {
        let list = self.listed_values();
        match super::query::association(values) {
            Ok(id) => self.write(id, list),
            Err(trouble) => trouble.into(),
        }
    }

    fn write(&mut self, id: AssocId, list: String) -> Answer {
        match self.ask_signed(Opcode::WriteVariables, id, list.as_bytes()) {
            Ok(reply) if reply.data.is_empty() => Answer::text("done! (no data returned)\n"),
            Ok(reply) => {
                let (text, report) = self.variables(Opcode::ReadVariables, id, &reply, true);
                let report = Some((super::VARIABLES.name, NtpqReport::Variables(report)));
                Answer { text, report, trouble: None }
            }
            Err(trouble) => trouble.into(),
        }
    }

    pub(super) fn ifstats(&mut self, _: &[Value]) -> Answer {
        let reply = match self.ask_signed(Opcode::ReadOrdered, AssocId::SYSTEM, b"") {
            Ok(reply) => reply,
            Err(trouble) => return trouble.into(),
        };
        let interfaces: Vec<NtpqInterface> =
            rows(&reply.data).into_iter().map(|(index, row)| interface(index, &row)).collect();
        let mut text = format!(
            "    interface name                                        send\n #  address/broadcast     drop flag ttl mc received sent failed peers   uptime\n{}\n",
            "=".repeat(RULE)
        );
        interfaces.iter().for_each(|row| text.push_str(&interface_text(row)));
        let report = NtpqInterfaces { host: self.host_name(), interfaces };
        Answer { text, report: Some((super::INTERFACES.name, NtpqReport::Interfaces(report))), trouble: None }
    }

    pub(super) fn reslist(&mut self, _: &[Value]) -> Answer {
        let reply = match self.ask_signed(Opcode::ReadOrdered, AssocId::SYSTEM, b"addr_restrictions") {
            Ok(reply) => reply,
            Err(trouble) => return trouble.into(),
        };
        let restrictions: Vec<NtpqRestriction> = rows(&reply.data)
            .into_values()
            .map(|row| {
                let get = |tag: &str| row.get(tag).map(|v| visible(v)).unwrap_or_default();
                NtpqRestriction {
                    prefix: prefix(&get("addr"), &get("mask")),
                    hits: row.get("hits").and_then(|v| crate::client::mode6::decode::unsigned(v)),
                    flags: get("flags"),
                }
            })
            .collect();
        let mut text =
            format!("   hits    addr/prefix or addr mask\n           restrictions\n{}\n", "=".repeat(RULE));
        for row in &restrictions {
            text.push_str(&format!(
                "{:>10} {}\n           {}\n",
                row.hits.unwrap_or(0),
                row.prefix,
                row.flags
            ));
        }
        let report = NtpqRestrictions { host: self.host_name(), restrictions };
        Answer {
            text,
            report: Some((super::RESTRICTIONS.name, NtpqReport::Restrictions(report))),
            trouble: None,
        }
    }
}

/// A secret as typed: text up to 20 characters, hexadecimal beyond.
fn key_bytes(secret: &str) -> Zeroizing<Vec<u8>> {
    if secret.len() > MAX_TEXT_KEY
        && secret.len().is_multiple_of(2)
        && secret.bytes().all(|b| b.is_ascii_hexdigit())
    {
        let digits = secret.as_bytes().as_chunks::<2>().0;
        let byte = |pair: &[u8; 2]| {
            std::str::from_utf8(pair).ok().and_then(|text| u8::from_str_radix(text, 16).ok()).unwrap_or(0)
        };
        return Zeroizing::new(digits.iter().map(byte).collect());
    }
    Zeroizing::new(secret.as_bytes().to_vec())
}

fn trimmed(data: &[u8]) -> &[u8] {
    data.trim_ascii_end()
}

/// The server's answer to a configuration line; a column that it names is pointed at (4.2.6 counts from 1, 4.2.8 from 0).
fn config_text(line: &str, data: &[u8], interactive: bool, old: bool) -> String {
    let reply = String::from_utf8_lossy(trimmed(data)).into_owned();
    let column = reply.strip_prefix("column ").and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
    let reply = visible(reply.as_bytes());
    let column = column.filter(|column| *column <= line.len() + 1);
    match column {
        Some(column) => {
            let prompt = match (interactive, old) {
                // below the line that was typed behind the prompt and `:config `
                (true, true) => "_".repeat(14),
                (true, false) => format!("{:>14}", '*'),
                (false, _) => format!("{}\n", visible(line.as_bytes())),
            };
            format!("{prompt}{}^\n{reply}\n", "_".repeat(column.saturating_sub(usize::from(old))))
        }
        None => format!("{reply}\n"),
    }
}

/// The rows of a list of `tag.N=value`; tags without a number are noise that the server puts in.
fn rows(data: &[u8]) -> BTreeMap<u32, BTreeMap<String, Vec<u8>>> {
    let mut rows: BTreeMap<u32, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for variable in variables(data) {
        let Ok(name) = std::str::from_utf8(variable.name) else { continue };
        let Some((tag, index)) = name.rsplit_once('.') else { continue };
        let known = [
            "addr", "bcast", "en", "name", "flags", "tl", "mc", "rx", "tx", "txerr", "pc", "up", "mask",
            "hits",
        ];
        let Ok(index) = index.parse::<u32>() else { continue };
        if known.contains(&tag) && (rows.len() < MAX_ROWS || rows.contains_key(&index)) {
            rows.entry(index).or_default().insert(tag.to_owned(), variable.unquoted().to_vec());
        }
    }
    rows
}

fn interface(index: u32, row: &BTreeMap<String, Vec<u8>>) -> NtpqInterface {
    let text = |tag: &str| row.get(tag).map(|v| visible(v)).filter(|v| !v.is_empty());
    let number = |tag: &str| row.get(tag).and_then(|v| crate::client::mode6::decode::unsigned(v));
    NtpqInterface {
        index,
        name: text("name"),
        address: text("addr"),
        broadcast: text("bcast"),
        enabled: number("en").map(|en| en != 0),
        flags: number("flags"),
        ttl: number("tl"),
        multicast_groups: number("mc"),
        received: number("rx"),
        sent: number("tx"),
        send_failures: number("txerr"),
        peers: number("pc"),
        uptime_s: number("up"),
        complete: row.len() >= INTERFACE_TAGS,
    }
}

fn interface_text(row: &NtpqInterface) -> String {
    let number = |value: Option<u64>, width: usize| match value {
        Some(value) => format!("{value:>width$}"),
        None => " ".repeat(width),
    };
    let flags = row.flags.map_or_else(|| " ".repeat(4), |flags| format!("{flags:4x}"));
    let drop = match row.enabled {
        Some(true) => '.',
        Some(false) => 'D',
        None => ' ',
    };
    let mut text = format!(
        "{:>3} {:<24.24} {drop} {flags} {} {} {} {} {} {} {}\n",
        row.index,
        row.name.as_deref().unwrap_or_default(),
        number(row.ttl, 3),
        number(row.multicast_groups, 2),
        number(row.received, 6),
        number(row.sent, 6),
        number(row.send_failures, 6),
        number(row.peers, 5),
        number(row.uptime_s, 8),
    );
    for address in [&row.address, &row.broadcast].into_iter().flatten() {
        text.push_str(&format!("    {address}\n"));
    }
    text
}

/// `127.0.0.0/8`, or address and mask when the mask is no prefix.
fn prefix(address: &str, mask: &str) -> String {
    let bits = match mask.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(v4)) => {
            let bits = v4.to_bits();
            (bits.leading_ones() + bits.trailing_zeros().min(32 - bits.leading_ones()) == 32)
                .then(|| bits.leading_ones())
        }
        Ok(std::net::IpAddr::V6(v6)) => {
            let bits = v6.to_bits();
            (bits.leading_ones() + bits.trailing_zeros().min(128 - bits.leading_ones()) == 128)
                .then(|| bits.leading_ones())
        }
        Err(_) => None,
    };
    match bits {
        Some(bits) => format!("{address}/{bits}"),
        None => format!("{address} {mask}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_become_prefixes_where_they_are() {
        assert_eq!(prefix("127.0.0.1", "255.255.255.255"), "127.0.0.1/32");
        assert_eq!(prefix("0.0.0.0", "0.0.0.0"), "0.0.0.0/0");
        assert_eq!(prefix("10.0.0.0", "255.0.255.0"), "10.0.0.0 255.0.255.0");
        assert_eq!(prefix("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "::1/128");
        assert_eq!(prefix("::", "::"), "::/0");
    }

    #[test]
    fn a_syntax_error_is_pointed_at() {
        let reply = b"column 9 syntax error, unexpected T_String\r\n";
        assert_eq!(
            config_text("disable bogus", reply, false, true),
            "disable bogus\n________^\ncolumn 9 syntax error, unexpected T_String\n"
        );
        assert_eq!(config_text("x", b"Config Succeeded\r\n", false, false), "Config Succeeded\n");
        assert_eq!(
            config_text("x", b"column 99999999 syntax error\r\n", false, false),
            "column 99999999 syntax error\n"
        );
    }

    #[test]
    fn lists_are_gathered_by_index_and_noise_is_dropped() {
        let rows = rows(
            b"addr.1=\"::1\", name.0=\"lo\", Y][.1=18446744073709493646, xyz=3, addr.0=\"127.0.0.1:123\"",
        );
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[&1].len(), 1);
        assert_eq!(rows[&0]["addr"], b"127.0.0.1:123");
    }
}
