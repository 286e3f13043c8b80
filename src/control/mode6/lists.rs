//! Lists that are rows of tagged variables: `mrulist` with its nonces, `ifstats`, `reslist` (ntp-legacy 2.14, 2.15).

use std::net::{IpAddr, SocketAddr};

use super::facts::Facts;
use super::variables::{socket_text, stamp_text};
use crate::auth::{Algorithm, DigestLength, Key, KeyRing};
use crate::engine::mru::{Clients, Entry};
use crate::engine::restrict;
use crate::types::{KeyId, NtpTimestamp, TimeDelta, Timestamp};
use crate::wire::mode6::vars::{Composer, variables};
use crate::wire::mode6::{ErrorCode, MAX_DATA};

/// How long a nonce is good for.
const NONCE_AGE: TimeDelta = TimeDelta::from_secs(16);
/// Most rows that `limit` may ask for.
const MAX_ROWS: u32 = 256;
/// Most fragments that `frags` may ask for.
const MAX_FRAGMENTS: u32 = 128;
/// Most entries that a client may name to be found again.
const MAX_RESUME: usize = 16;
/// No row of the list is longer than this.
const ROW: usize = 220;

/// Makes and checks nonces: the time and a MAC over time, address and port, under a salt that nobody else knows.
#[derive(Debug)]
pub(super) struct Nonces {
    salt: KeyRing,
}

impl Nonces {
    pub(super) fn new(salt: [u8; 16]) -> Self {
        let mut ring = KeyRing::default();
        ring.insert(KeyId::new(1), Key::new(Algorithm::Sha256, &salt));
        Self { salt: ring }
    }

    /// 24 hex digits.
    pub(super) fn make(&self, from: SocketAddr, at: Timestamp) -> String {
        let time = NtpTimestamp::from_timestamp(at);
        format!("{:016x}{:08x}", time.to_bits(), self.tag(from, time))
    }

    /// Whether a nonce was made for this client lately.
    pub(super) fn accepts(&self, nonce: &[u8], from: SocketAddr, at: Timestamp) -> bool {
        let Some((time, tag)) = std::str::from_utf8(nonce).ok().and_then(|text| text.split_at_checked(16))
        else {
            return false;
        };
        if time.len() + tag.len() != 24 {
            return false;
        }
        let (Ok(time), Ok(tag)) = (u64::from_str_radix(time, 16), u32::from_str_radix(tag, 16)) else {
            return false;
        };
        let time = NtpTimestamp::from_bits(time);
        let age = NtpTimestamp::from_timestamp(at).wrapping_since(time);
        tag == self.tag(from, time) && age >= TimeDelta::ZERO && age < NONCE_AGE
    }

    fn tag(&self, from: SocketAddr, time: NtpTimestamp) -> u32 {
        let mut covered = time.to_bits().to_be_bytes().to_vec();
        match from.ip().to_canonical() {
            IpAddr::V4(v4) => covered.extend_from_slice(&v4.octets()),
            IpAddr::V6(v6) => covered.extend_from_slice(&v6.octets()),
        }
        covered.extend_from_slice(&from.port().to_be_bytes());
        let mac = self.salt.sign(KeyId::new(1), &covered, DigestLength::CutTo20);
        let digest =
            mac.ok().and_then(|mac| mac.get(4..8).and_then(|bytes| bytes.first_chunk::<4>().copied()));
        u32::from_be_bytes(digest.unwrap_or_default())
    }
}

/// What a READ_MRU request asks for.
#[derive(Debug, Default)]
struct Question {
    nonce: Option<Vec<u8>>,
    limit: Option<u32>,
    frags: Option<u32>,
    mincount: u64,
    resall: u16,
    resany: u16,
    maxlstint: Option<u32>,
    /// Entries that the client has, newest first.
    known: Vec<(Option<SocketAddr>, Option<NtpTimestamp>)>,
}

fn number(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn time_stamp(text: &[u8]) -> Option<NtpTimestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.strip_prefix("0x").unwrap_or(text).split_once('.')?;
    let hex = |part: &str| u64::from_str_radix(part, 16).ok().filter(|n| *n <= u64::from(u32::MAX));
    Some(NtpTimestamp::from_bits(hex(seconds)? << 32 | hex(fraction)?))
}

impl Question {
    fn parse(data: &[u8]) -> Option<Self> {
        let mut question = Self::default();
        for variable in variables(data) {
            let Ok(name) = std::str::from_utf8(variable.name) else { continue };
            let value = variable.unquoted();
            let mask = || number(value).and_then(|n| u16::try_from(n).ok());
            match name {
                "nonce" => question.nonce = Some(value.to_vec()),
                "limit" => question.limit = Some(number(value)?),
                "frags" => question.frags = Some(number(value)?),
                "mincount" => question.mincount = number(value)?.into(),
                "resall" => question.resall = mask()?,
                "resany" => question.resany = mask()?,
                "maxlstint" => question.maxlstint = Some(number(value)?),
                _ => {
                    let Some((kind, index)) = name.split_once('.') else { continue };
                    let Some(index) = index.parse().ok().filter(|n| *n < MAX_RESUME) else { continue };
                    if question.known.len() <= index {
                        question.known.resize(index + 1, (None, None));
                    }
                    let Some(slot) = question.known.get_mut(index) else { continue };
                    match kind {
                        "addr" => slot.0 = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
                        "last" => slot.1 = time_stamp(value),
                        _ => {}
                    }
                }
            }
        }
        Some(question)
    }

    fn wants(&self, entry: &Entry, now: Timestamp) -> bool {
        let age = (now - entry.last).as_nanos() / 1_000_000_000;
        entry.count >= self.mincount
            && entry.flags & self.resall == self.resall
            && (self.resany == 0 || entry.flags & self.resany != 0)
            && self.maxlstint.is_none_or(|most| age <= i64::from(most))
    }
}

/// The reply to READ_MRU: `None` is silence.
pub(super) fn clients(
    data: &[u8],
    from: SocketAddr,
    now: Timestamp,
    nonces: &Nonces,
    facts: &dyn Facts,
) -> Option<Result<Vec<u8>, ErrorCode>> {
    let Some(question) = Question::parse(data) else { return Some(Err(ErrorCode::BadValue)) };
    if !question.nonce.as_ref().is_some_and(|nonce| nonces.accepts(nonce, from, now)) {
        return None;
    }
    let rows = match (question.limit, question.frags) {
        (Some(limit), None) if (1..=MAX_ROWS).contains(&limit) => Some(limit),
        (None, Some(frags)) if (1..=MAX_FRAGMENTS).contains(&frags) => None,
        (Some(limit), Some(frags))
            if (1..=MAX_ROWS).contains(&limit) && (1..=MAX_FRAGMENTS).contains(&frags) =>
        {
            Some(limit)
        }
        _ => return Some(Err(ErrorCode::BadValue)),
    };
    let room = usize::try_from(question.frags.unwrap_or(MAX_FRAGMENTS)).unwrap_or(1) * MAX_DATA;
    let mut out = Composer::default();
    let list = facts.clients();
    let begin = match resume(&question, list) {
        Ok(begin) => begin,
        Err(code) => return Some(Err(code)),
    };
    if let Some((address, last)) = begin {
        out.put("last.older", &stamp_text(last));
        out.put("addr.older", &socket_text(address));
    }
    out.put("nonce", &nonces.make(from, now));
    let entries: Box<dyn Iterator<Item = &Entry>> = match (list, begin) {
        (None, _) => Box::new(std::iter::empty()),
        (Some(list), None) => Box::new(list.oldest_first()),
        (Some(list), Some((address, last))) => match list.from(address.ip(), last) {
            // the client has that one already
            Some(entries) => Box::new(entries.skip(1)),
            None => Box::new(std::iter::empty()),
        },
    };
    let mut complete = true;
    for (index, entry) in entries.filter(|entry| question.wants(entry, now)).enumerate() {
        if rows.is_some_and(|most| u32::try_from(index).is_ok_and(|index| index >= most))
            || out.len() + 2 * ROW > room
        {
            complete = false;
            break;
        }
        let mut put = |tag: &str, value: &str| out.put(&format!("{tag}.{index}"), value);
        put("addr", &socket_text(entry.from));
        put("last", &stamp_text(NtpTimestamp::from_timestamp(entry.last)));
        put("first", &stamp_text(NtpTimestamp::from_timestamp(entry.first)));
        put("ct", &entry.count.to_string());
        put("mv", &entry.version_mode.to_string());
        put("rs", &format!("{:#x}", entry.flags));
    }
    if complete {
        out.put("now", &stamp_text(NtpTimestamp::from_timestamp(now)));
        if let Some(latest) = list.and_then(Clients::latest) {
            out.put("last.newest", &stamp_text(NtpTimestamp::from_timestamp(latest.last)));
        }
    }
    Some(Ok(out.finish()))
}

/// The newest entry of the client's that is still as it has it.
fn resume(
    question: &Question,
    list: Option<&Clients>,
) -> Result<Option<(SocketAddr, NtpTimestamp)>, ErrorCode> {
    if question.known.is_empty() {
        return Ok(None);
    }
    let known = question.known.iter().filter_map(|(address, last)| Some(((*address)?, (*last)?)));
    let list = list.ok_or(ErrorCode::UnknownVariable)?;
    let mut known = known.filter(|(address, last)| list.from(address.ip(), *last).is_some());
    known.next().map(Some).ok_or(ErrorCode::UnknownVariable)
}

/// The reply to READ_ORDLIST_A.
pub(super) fn ordered(data: &[u8], facts: &dyn Facts) -> Result<Vec<u8>, ErrorCode> {
    let end = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    match data.get(..end).unwrap_or_default() {
        b"" | b"ifstats" => Ok(interfaces(facts)),
        b"addr_restrictions" => Ok(restrictions(facts)),
        _ => Err(ErrorCode::UnknownVariable),
    }
}

fn interfaces(facts: &dyn Facts) -> Vec<u8> {
    let mut out = Composer::default();
    for (index, interface) in facts.interfaces().into_iter().enumerate() {
        let mut put = |tag: &str, value: String| out.put(&format!("{tag}.{index}"), &value);
        put("addr", socket_text(interface.address));
        put("bcast", String::new());
        put("en", u8::from(interface.enabled).to_string());
        let name: String = interface.name.chars().filter(|c| !c.is_control() && *c != '"').collect();
        put("name", format!("\"{name}\""));
        put("flags", format!("{:#x}", interface.flags));
        put("tl", "0".to_owned());
        put("mc", "0".to_owned());
        put("rx", interface.received.to_string());
        put("tx", interface.sent.to_string());
        put("txerr", interface.failed.to_string());
        put("pc", interface.peers.to_string());
        put("up", interface.uptime.to_string());
    }
    out.finish()
}

fn restrictions(facts: &dyn Facts) -> Vec<u8> {
    let mut out = Composer::default();
    for (index, rule) in facts.restrictions().iter().enumerate() {
        let mut put = |tag: &str, value: String| out.put(&format!("{tag}.{index}"), &value);
        put("addr", rule.address.to_string());
        put("mask", rule.mask.to_string());
        put("hits", rule.hits.to_string());
        put("flags", restrict::describe(rule));
    }
    out.finish()
}
