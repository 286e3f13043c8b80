//! The rows of `peers` and `associations`, from status words and variable lists.

use std::net::{IpAddr, Ipv4Addr};

use super::catalogue::{instant, refid, selection_name};
use super::decode;
use crate::report::{
    NtpqAssociation, NtpqPeer, NtpqPeerKind, NtpqPeerStatus, ReachValue, RefIdValue, refid_value,
};
use crate::types::{LogInterval, NtpTimestamp, Secs, Stratum, Timestamp};
use crate::wire::mode6::AssocId;
use crate::wire::mode6::status::{PeerStatus, Selection, peer_event_name};
use crate::wire::mode6::vars::variables;

/// Longest name that a row keeps.
const MAX_HOST: usize = 255;

/// A row and what its first column is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerRow {
    /// The row; its `remote` is the numeric address.
    pub peer: NtpqPeer,
    /// Address of the source, 0.0.0.0 when the server did not say.
    pub source: IpAddr,
    /// The name by which the server knows it.
    pub srchost: Option<String>,
}

/// The row of one association, from its READVAR reply. `now` is our clock.
pub fn peer_row(association: AssocId, status: u16, data: &[u8], now: Timestamp) -> PeerRow {
    let mut read = Read::default();
    for variable in variables(data) {
        read.take(variable.name, variable.unquoted());
    }
    let source = read.source.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |e| e.ip);
    let address = read.source.map(|e| e.address());
    let heard = Some(read.rec).filter(|t| !t.is_zero()).or(Some(read.reftime)).filter(|t| !t.is_zero());
    let exponent = read.hpoll.min(read.ppoll).clamp(0, 17);
    let peer = NtpqPeer {
        association: association.get(),
        status: peer_status(status),
        remote: address.clone().unwrap_or_else(|| source.to_string()),
        address,
        local_address: read.local,
        refid: refid_json(&read.refid, read.stratum),
        kind: kind(read.hmode, source),
        stratum: Stratum::new(u8::try_from(read.stratum).unwrap_or(u8::MAX)),
        last_received: heard.and_then(|t| instant(t, now)),
        last_received_age_s: heard.map(|t| now.secs() - t.to_timestamp(now).secs()),
        poll_log2: LogInterval::from_log2(i8::try_from(exponent).unwrap_or(0)),
        reach: ReachValue {
            bits: u8::try_from(read.reach & 0xff).unwrap_or(0),
            octal: format!("{:o}", read.reach),
        },
        delay_s: read.delay,
        offset_s: read.offset,
        jitter_s: read.jitter,
        dispersion_s: read.dispersion,
        refid_text: decode::visible(&read.refid),
    };
    PeerRow { peer, source, srchost: read.srchost }
}

#[derive(Default)]
struct Read {
    source: Option<decode::Endpoint>,
    srchost: Option<String>,
    local: Option<String>,
    refid: Vec<u8>,
    stratum: u64,
    hmode: Option<i64>,
    hpoll: i64,
    ppoll: i64,
    reach: u64,
    rec: NtpTimestamp,
    reftime: NtpTimestamp,
    delay: Option<Secs>,
    offset: Option<Secs>,
    jitter: Option<Secs>,
    dispersion: Option<Secs>,
}

impl Read {
    fn take(&mut self, name: &[u8], value: &[u8]) {
        let millis = || decode::millis(value).map(Secs::from);
        let signed = || decode::signed(value).unwrap_or(0);
        match name {
            b"srcadr" | b"peeradr" => self.source = decode::endpoint(value),
            b"srchost" => {
                self.srchost =
                    value.get(..value.len().min(MAX_HOST)).map(decode::visible).filter(|h| !h.is_empty());
            }
            b"dstadr" => self.local = decode::endpoint(value).map(|e| e.address()),
            b"refid" => self.refid = value.get(..value.len().min(MAX_HOST)).unwrap_or_default().to_vec(),
            b"stratum" => self.stratum = decode::unsigned(value).unwrap_or(0),
            b"hmode" => self.hmode = decode::signed(value),
            b"hpoll" => self.hpoll = signed(),
            b"ppoll" => self.ppoll = signed(),
            b"reach" => self.reach = decode::unsigned(value).unwrap_or(0),
            b"rec" => self.rec = decode::timestamp(value).unwrap_or_default(),
            b"reftime" => self.reftime = decode::timestamp(value).unwrap_or_default(),
            b"delay" => self.delay = millis(),
            b"offset" => self.offset = millis(),
            b"jitter" => self.jitter = millis(),
            b"dispersion" => self.dispersion = millis(),
            _ => {}
        }
    }
}

fn kind(hmode: Option<i64>, source: IpAddr) -> NtpqPeerKind {
    match hmode {
        None => NtpqPeerKind::Unknown,
        Some(1) => NtpqPeerKind::SymmetricActive,
        Some(2) => NtpqPeerKind::SymmetricPassive,
        Some(3) if decode::refclock(source).is_some() => NtpqPeerKind::Local,
        Some(3) if source.is_unspecified() => NtpqPeerKind::Pool,
        Some(3) if source.is_multicast() => NtpqPeerKind::Manycast,
        Some(5) if source.is_multicast() => NtpqPeerKind::Multicast,
        Some(5) => NtpqPeerKind::Broadcast,
        Some(6) => NtpqPeerKind::BroadcastClient,
        Some(_) => NtpqPeerKind::Unicast,
    }
}

fn refid_json(text: &[u8], stratum: u64) -> Option<RefIdValue> {
    let refid = refid(text)?;
    let dotted = decode::endpoint(text).is_some();
    let stratum = if dotted { 2 } else { u8::try_from(stratum).unwrap_or(u8::MAX) };
    let mut value = refid_value(refid, Stratum::new(stratum));
    if !dotted {
        value.text = decode::visible(text);
    }
    Some(value)
}

/// A row of `associations`; `index` is its place in the list, from 1.
pub fn association_row(index: usize, association: AssocId, status: u16) -> NtpqAssociation {
    NtpqAssociation { index, association: association.get(), status: peer_status(status) }
}

/// The status word of an association in words.
pub fn peer_status(bits: u16) -> NtpqPeerStatus {
    let status = PeerStatus::from_bits(bits);
    NtpqPeerStatus {
        hex: format!("{bits:04x}"),
        configured: status.configured,
        reachable: status.reachable,
        broadcast: status.broadcast,
        auth_enabled: status.auth_enabled,
        authentic: status.authentic,
        condition: match status.selection {
            Selection::Falseticker => "falseticker",
            Selection::SystemPeer => "sys-peer",
            Selection::PpsPeer => "pps-peer",
            other => selection_name(other),
        },
        last_event: peer_event_name(status.event).map(|name| name.replace('_', "-")),
        event_count: status.count,
    }
}

/// Whether `peers` and `associations` show it without being asked for all: configured or reachable.
pub fn is_shown(status: u16) -> bool {
    let status = PeerStatus::from_bits(status);
    status.configured || status.reachable
}
