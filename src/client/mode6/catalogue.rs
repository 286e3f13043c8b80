//! Variables under this program's names, units and signs, for JSON (ntp-legacy 2.7; decisions.md "One sign, one unit").
//!
//! Names that are not listed keep the server's name and are typed by their looks. The kernel's variables (`koffset` …) are
//! among those, because their unit depends on the server: ms from 4.2.8p15 and ours, seconds from older ones and NTPsec.

use std::collections::BTreeMap;

use super::decode;
use crate::report::{Instant, NtpqStatus, NtpqValue, NtpqVariables, ReachValue, refid_value};
use crate::types::{Leap, NtpTimestamp, RefId, Secs, Stratum, TimeDelta, Timestamp};
use crate::wire::mode6::AssocId;
use crate::wire::mode6::status::{
    ClockStatus, FLASH_NAMES, PeerStatus, Selection, SystemStatus, clock_event_name, leap_name,
    peer_event_name, source_name, system_event_name,
};
use crate::wire::mode6::vars::variables;

/// What a variable holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Milliseconds; a key in seconds.
    Millis,
    /// ppm with ntpd's sign (> 0: the clock is sped up); ours is the other.
    Frequency,
    /// ppm without a sign.
    Ppm,
    Stamp,
    Leap,
    RefId,
    Reach,
    /// Milliseconds, newest first.
    Samples,
    Flash,
    /// `YYYYMMDDhhmm` UTC.
    Date,
}

/// The server's name, ours, what it holds.
const KNOWN: &[(&str, &str, Kind)] = &[
    ("bias", "bias_s", Kind::Millis),
    ("clk_jitter", "clock_jitter_s", Kind::Millis),
    ("clk_wander", "wander_ppm", Kind::Ppm),
    ("clock", "clock_time", Kind::Stamp),
    ("delay", "delay_s", Kind::Millis),
    ("dispersion", "dispersion_s", Kind::Millis),
    ("expire", "leap_list_expiry", Kind::Date),
    ("filtdelay", "filter_delay_s", Kind::Samples),
    ("filtdisp", "filter_dispersion_s", Kind::Samples),
    ("filtoffset", "filter_offset_s", Kind::Samples),
    ("flash", "flash", Kind::Flash),
    ("frequency", "frequency_ppm", Kind::Frequency),
    ("fudgetime1", "fudge_time1_s", Kind::Millis),
    ("fudgetime2", "fudge_time2_s", Kind::Millis),
    ("jitter", "jitter_s", Kind::Millis),
    ("leap", "leap", Kind::Leap),
    ("leapsec", "leap_event", Kind::Date),
    ("offset", "offset_s", Kind::Millis),
    ("org", "origin_time", Kind::Stamp),
    ("reach", "reach", Kind::Reach),
    ("rec", "receive_time", Kind::Stamp),
    ("refid", "refid", Kind::RefId),
    ("reftime", "reference_time", Kind::Stamp),
    ("rootdelay", "root_delay_s", Kind::Millis),
    ("rootdisp", "root_dispersion_s", Kind::Millis),
    ("rootdist", "root_distance_s", Kind::Millis),
    ("sys_jitter", "system_jitter_s", Kind::Millis),
    ("xleave", "interleave_delay_s", Kind::Millis),
    ("xmt", "transmit_time", Kind::Stamp),
];

/// Names that only change their name.
const RENAMED: &[(&str, &str)] = &[
    ("dstadr", "local_address"),
    ("dstport", "local_port"),
    ("hmode", "host_mode"),
    ("hpoll", "host_poll_log2"),
    ("keyid", "key_id"),
    ("mintc", "min_time_constant_log2"),
    ("peer", "system_peer"),
    ("pmode", "peer_mode"),
    ("ppoll", "peer_poll_log2"),
    ("precision", "precision_log2"),
    ("srcadr", "source_address"),
    ("srchost", "source_name"),
    ("srcport", "source_port"),
    ("tc", "time_constant_log2"),
];

/// Whose status word a reply carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The system (association 0).
    System,
    /// An association.
    Peer,
    /// A reference clock.
    Clock,
}

/// The report of a READVAR or READCLOCK reply. `pivot` (our clock) chooses the era of time stamps.
pub fn report(
    host: &str,
    association: AssocId,
    status: NtpqStatus,
    data: &[u8],
    pivot: Timestamp,
) -> NtpqVariables {
    let mut values = BTreeMap::new();
    let mut raw = BTreeMap::new();
    let stratum = variables(data)
        .find(|v| v.name == b"stratum")
        .and_then(|v| decode::unsigned(v.unquoted()))
        .and_then(|n| u8::try_from(n).ok());
    for variable in variables(data) {
        let name = decode::visible(variable.name);
        let (key, value) = value_of(&name, variable.value.unwrap_or_default(), stratum, pivot);
        values.insert(key, value);
        raw.insert(name, decode::visible(variable.unquoted()));
    }
    NtpqVariables { host: host.to_owned(), association: association.get(), status, values, raw }
}

fn value_of(name: &str, value: &[u8], stratum: Option<u8>, pivot: Timestamp) -> (String, NtpqValue) {
    let text = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    let Some((_, key, kind)) = KNOWN.iter().find(|(known, ..)| *known == name) else {
        let renamed = RENAMED.iter().find(|(known, _)| *known == name);
        let key = renamed.map_or(name, |(_, key)| key);
        return (key.to_owned(), by_looks(value, text));
    };
    ((*key).to_owned(), decoded(*kind, text, stratum, pivot).unwrap_or(NtpqValue::Unknown))
}

fn decoded(kind: Kind, text: &[u8], stratum: Option<u8>, pivot: Timestamp) -> Option<NtpqValue> {
    Some(match kind {
        Kind::Millis => NtpqValue::Number(Secs::from(decode::millis(text)?).get()),
        // + 0.0: no negative zero
        Kind::Frequency => NtpqValue::Number(our_frequency_ppm(decode::number(text)?)),
        Kind::Ppm => NtpqValue::Number(decode::number(text)?),
        Kind::Stamp => NtpqValue::Text(rfc3339(decode::timestamp(text)?, pivot)?),
        Kind::Leap => NtpqValue::Text(leap_word(decode::unsigned(text)?)?.to_owned()),
        Kind::RefId => {
            let stratum = Stratum::new(stratum.unwrap_or(0));
            let refid = refid(text)?;
            let dotted = decode::endpoint(text).is_some();
            let mut value = refid_value(refid, if dotted { Stratum::new(2) } else { stratum });
            if !dotted {
                value.text = decode::visible(text);
            }
            NtpqValue::RefId(value)
        }
        Kind::Reach => {
            let bits = u8::try_from(decode::unsigned(text)?).ok()?;
            NtpqValue::Reach(ReachValue { bits, octal: format!("{bits:o}") })
        }
        Kind::Samples => NtpqValue::Samples(
            // to the nearest ns: 0.18 ms is 0.00018 s
            decode::array(text)?
                .into_iter()
                .map(|ms| TimeDelta::from_secs_f64(ms / 1000.0).map_or(0.0, TimeDelta::as_secs_f64))
                .collect(),
        ),
        Kind::Flash => {
            let bits = decode::unsigned(text)?;
            NtpqValue::Words(flash_words(bits).map(ToOwned::to_owned).collect())
        }
        Kind::Date => NtpqValue::Text(date_stamp(text)?),
    })
}

/// Turns ntpd's sign of a frequency (> 0: the clock is sped up, it runs slow) into ours (> 0: it runs fast).
pub fn our_frequency_ppm(ntpd: f64) -> f64 {
    0.0 - ntpd
}

/// The names of the bits that are set.
pub fn flash_words(bits: u64) -> impl Iterator<Item = &'static str> {
    FLASH_NAMES.into_iter().enumerate().filter(move |(bit, _)| bits >> bit & 1 != 0).map(|(_, name)| name)
}

/// A reference identifier as text: an address, or up to four characters.
pub fn refid(text: &[u8]) -> Option<RefId> {
    if let Some(endpoint) = decode::endpoint(text) {
        return match endpoint.ip {
            std::net::IpAddr::V4(v4) => Some(RefId::from_ipv4(v4)),
            std::net::IpAddr::V6(_) => None,
        };
    }
    if text.is_empty() || text.len() > 4 {
        return None;
    }
    let mut code = [0; 4];
    for (slot, byte) in code.iter_mut().zip(text) {
        *slot = *byte;
    }
    Some(RefId::from_ascii(code))
}

fn rfc3339(stamp: NtpTimestamp, pivot: Timestamp) -> Option<String> {
    (!stamp.is_zero()).then(|| crate::types::civil::rfc3339(stamp.to_timestamp(pivot)))
}

/// A stamp as an instant, `None` for "unknown".
pub fn instant(stamp: NtpTimestamp, pivot: Timestamp) -> Option<Instant> {
    (!stamp.is_zero()).then(|| Instant::from(stamp.to_timestamp(pivot)))
}

fn leap_word(bits: u64) -> Option<&'static str> {
    // servers send 0 … 3; the two-bit text 00 01 10 11 is the client's
    match bits {
        0 => Some("none"),
        1 => Some("add"),
        2 => Some("delete"),
        3 => Some("unsynchronised"),
        _ => None,
    }
}

fn date_stamp(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    if text.len() != 12 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| text.get(range);
    Some(format!(
        "{}-{}-{}T{}:{}:00.000000000Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(8..10)?,
        part(10..12)?
    ))
}

fn by_looks(value: &[u8], text: &[u8]) -> NtpqValue {
    if value.len() != text.len() {
        return NtpqValue::Text(decode::visible(text));
    }
    if let Some(integer) =
        decode::signed(text).or_else(|| decode::unsigned(text).and_then(|n| i64::try_from(n).ok()))
    {
        return NtpqValue::Integer(integer);
    }
    decode::number(text).map_or_else(|| NtpqValue::Text(decode::visible(text)), NtpqValue::Number)
}

/// A status word as the words of the original, in its order.
pub fn status_words(subject: Subject, bits: u16) -> NtpqStatus {
    let count = |count: u8| match count {
        0 => "no events".to_owned(),
        1 => "1 event".to_owned(),
        n => format!("{n} events"),
    };
    let words = match subject {
        Subject::System => {
            let status = SystemStatus::from_bits(bits);
            vec![
                leap_name(status.leap).to_owned(),
                source_name(status.source)
                    .map_or_else(|| format!("sync_{}", status.source), ToOwned::to_owned),
                count(status.count),
                system_event_name(status.event).to_owned(),
            ]
        }
        Subject::Peer => {
            let status = PeerStatus::from_bits(bits);
            let flags = [
                (status.configured, "conf"),
                (status.auth_enabled, "authenb"),
                (status.authentic, "auth"),
                (status.reachable, "reach"),
                (status.broadcast, "bcast"),
            ];
            let mut words: Vec<String> =
                flags.iter().filter(|(set, _)| *set).map(|(_, word)| (*word).to_owned()).collect();
            if words.is_empty() {
                words.push(String::new());
            }
            words.push(format!("sel_{}", selection_name(status.selection)));
            words.push(count(status.count));
            words.extend(peer_event_name(status.event).map(ToOwned::to_owned));
            words
        }
        Subject::Clock => {
            let status = ClockStatus::from_bits(bits);
            let event = clock_event_name(status.event)
                .map_or_else(|| format!("clk_{}", status.event), ToOwned::to_owned);
            vec![count(status.count), event]
        }
    };
    NtpqStatus { hex: format!("{bits:04x}"), words }
}

/// Name of a selection as `rv` and `associations` show it.
pub const fn selection_name(selection: Selection) -> &'static str {
    match selection {
        Selection::Reject => "reject",
        Selection::Falseticker => "falsetick",
        Selection::Excess => "excess",
        Selection::Outlier => "outlier",
        Selection::Candidate => "candidate",
        Selection::Backup => "backup",
        Selection::SystemPeer => "sys.peer",
        Selection::PpsPeer => "pps.peer",
    }
}

/// The leap indicator as two bits, `None` for values other than 0 … 3.
pub fn leap_bits(text: &[u8]) -> Option<&'static str> {
    let leap = Leap::from_bits(u8::try_from(decode::unsigned(text)?).ok().filter(|bits| *bits <= 3)?);
    Some(match leap {
        Leap::None => "00",
        Leap::Add => "01",
        Leap::Delete => "10",
        Leap::Unsynchronised => "11",
    })
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may say so by panicking")]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_our_units_and_signs() {
        let data = b"version=\"ntpd 4.2.8p15\", leap=0, stratum=2, offset=-1.5, frequency=3.25, refid=10.1.2.3, peer=7,\r\n reach=0xff, flash=0x401, filtdelay= 0.18 1.00, reftime=0x00000000.00000000, leapsec=201701010000, koffset=1e-06, rootdelay=abc";
        let report =
            report("h", AssocId::SYSTEM, status_words(Subject::System, 0x0615), data, Timestamp::UNIX_EPOCH);
        let json = serde_json::to_value(&report.values).unwrap();
        let expected = serde_json::json!({
            "version": "ntpd 4.2.8p15", "leap": "none", "stratum": 2, "offset_s": -0.0015, "frequency_ppm": -3.25,
            "refid": {"hex": "0A010203", "text": "10.1.2.3"}, "system_peer": 7, "reach": {"bits": 255, "octal": "377"},
            "flash": ["pkt_dup", "peer_dist"], "filter_delay_s": [0.00018, 0.001], "reference_time": null,
            "leap_event": "2017-01-01T00:00:00.000000000Z", "koffset": 1e-6, "root_delay_s": null,
        });
        assert_eq!(json, expected);
        assert_eq!(report.raw["offset"], "-1.5");
    }

    #[test]
    fn status_words_as_captured() {
        let text = |subject, bits| status_words(subject, bits).words.join(", ");
        assert_eq!(text(Subject::System, 0x0615), "leap_none, sync_ntp, 1 event, clock_sync");
        assert_eq!(text(Subject::System, 0xcbbb), "leap_alarm, sync_11, 11 events, leap_event");
        assert_eq!(text(Subject::Peer, 0x963a), "conf, reach, sel_sys.peer, 3 events, sys_peer");
        assert_eq!(text(Subject::Peer, 0x9000), "conf, reach, sel_reject, no events");
        assert_eq!(text(Subject::Peer, 0x0005), ", sel_reject, no events, restart");
        assert_eq!(text(Subject::Clock, 0x0000), "no events, clk_unspec");
        assert_eq!(text(Subject::Clock, 0x0078), "7 events, clk_8");
    }
}
