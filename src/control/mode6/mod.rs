//! The daemon's side of mode 6: request bytes and [`Facts`] in, reply packets out (ntp-legacy 2.1 to 2.7).
//!
//! The rules are those of ntpd 4.2.8p15: who may not ask gets silence, malformed packets get silence or error 2, changes
//! need the control key. Traps are not served (error 3, as NTPsec), and each address has a budget of reply packets.

pub mod facts;
mod lists;
mod variables;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

pub use self::facts::Facts;
use self::facts::{Association, Clock, System};
use self::lists::Nonces;
pub use self::variables::{ntpd_frequency, stratum_refid_text};
use crate::auth::{DigestLength, KeyRing};
use crate::engine::restrict::Control;
use crate::types::{KeyId, MonoTime, TimeDelta, Timestamp};
use crate::wire::ext::Mac;
use crate::wire::mode6::assembly::fragments;
use crate::wire::mode6::status::{ClockStatus, PeerStatus, SystemStatus};
use crate::wire::mode6::vars::{Composer, variables};
use crate::wire::mode6::{
    Align, AssocId, ErrorCode, HEADER_LEN, Header, Opcode, Packet, PacketError, emit_associations,
};

/// Reply packets that an address may have at once.
const BURST: u32 = 400;
/// Reply packets that an address gets a second in the long run.
const RATE: u32 = 100;
/// Addresses whose budget is kept.
const BUDGETS: usize = 1024;
/// Longest value in a request (ntpd).
const MAX_REQUEST_VALUE: usize = 127;
/// Longest line of configuration.
const MAX_CONFIG: usize = 1023;

/// Who asks, when, and what that address may do.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// Where the request came from.
    pub from: SocketAddr,
    /// When it came.
    pub at: Timestamp,
    /// The same on the monotonic clock, for the budget.
    pub now: MonoTime,
    /// What the access list lets it do.
    pub may: Control,
}

/// Keys of control messages.
#[derive(Debug, Clone, Copy)]
pub struct ControlKeys<'a> {
    /// Trusted keys.
    pub ring: &'a KeyRing,
    /// The one that may change things.
    pub control: Option<KeyId>,
}

/// Answers control messages.
#[derive(Debug)]
pub struct Answerer {
    nonces: Nonces,
    budgets: BTreeMap<IpAddr, (u32, MonoTime)>,
}

/// How a request's MAC turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// There was none.
    None,
    /// There was one that is not believed.
    Failed,
    /// It was made with this key.
    Key(KeyId),
}

/// A reply before it is cut into packets.
struct Reply {
    status: u16,
    data: Vec<u8>,
}

impl Reply {
    fn text(data: Vec<u8>) -> Self {
        Self { status: 0, data }
    }

    fn line(text: &str) -> Self {
        Self::text(format!("{text}\r\n").into_bytes())
    }
}

impl Answerer {
    /// An answerer whose nonces nobody can guess who does not know `salt`.
    pub fn new(salt: [u8; 16]) -> Self {
        Self { nonces: Nonces::new(salt), budgets: BTreeMap::new() }
    }

    /// The packets that answer a request; none is silence.
    pub fn answer(
        &mut self,
        request: &[u8],
        caller: &Caller,
        keys: ControlKeys<'_>,
        facts: &mut dyn Facts,
    ) -> Vec<Vec<u8>> {
        if !caller.may.query || !self.has_budget(caller) {
            return Vec::new();
        }
        let leap = facts.system().leap;
        let packet = match Packet::parse(request) {
            Ok(packet) => packet,
            Err(PacketError::Unaligned { .. } | PacketError::MissingData { .. }) => {
                let packets = header_of(request)
                    .map(|header| vec![header.refuse(leap, ErrorCode::BadFormat).emit(&[], Align::Plain)]);
                return self.spend(caller, packets.unwrap_or_default());
            }
            Err(_) => return Vec::new(),
        };
        let header = packet.header;
        if header.response || header.error || header.more || header.offset != 0 {
            return Vec::new();
        }
        let proof = prove(&packet, keys.ring);
        let outcome = match self.dispatch(&packet, proof, caller, keys, facts) {
            Some(outcome) => outcome,
            None => return Vec::new(),
        };
        let mut packets = match outcome {
            Ok(reply) => {
                let align = if proof == Proof::None { Align::Plain } else { Align::Authenticated };
                fragments(&header.reply(leap, reply.status), &reply.data, align)
            }
            Err(code) => vec![header.refuse(leap, code).emit(&[], Align::Plain)],
        };
        for packet in &mut packets {
            match proof {
                Proof::None => {}
                Proof::Failed => packet.extend_from_slice(&[0; 4]),
                Proof::Key(key) => {
                    if let Ok(mac) = keys.ring.sign(key, packet, DigestLength::CutTo20) {
                        packet.extend_from_slice(&mac);
                    }
                }
            }
        }
        self.spend(caller, packets)
    }

    fn dispatch(
        &mut self,
        packet: &Packet<'_>,
        proof: Proof,
        caller: &Caller,
        keys: ControlKeys<'_>,
        facts: &mut dyn Facts,
    ) -> Option<Result<Reply, ErrorCode>> {
        let association = packet.header.association;
        let controls = matches!(proof, Proof::Key(key) if Some(key) == keys.control);
        let authentic = matches!(proof, Proof::Key(_));
        Some(match packet.header.opcode {
            Opcode::Unspecified => Ok(Reply { status: system_status(&facts.system()), data: Vec::new() }),
            Opcode::ReadStatus if association == AssocId::SYSTEM => {
                let status = system_status(&facts.system());
                let list = facts.associations();
                let data = emit_associations(list.iter().map(|peer| (peer.id, peer_status(peer))));
                if authentic {
                    facts.events_seen(AssocId::SYSTEM);
                    list.iter().for_each(|peer| facts.events_seen(peer.id));
                }
                Ok(Reply { status, data })
            }
            Opcode::ReadStatus | Opcode::ReadVariables => {
                let reply = read_variables(association, packet.data, facts);
                if authentic && reply.is_ok() {
                    facts.events_seen(association);
                }
                reply
            }
            Opcode::ReadClock => read_clock(association, packet.data, facts),
            Opcode::WriteVariables if controls => write_variables(association, packet.data, facts),
            Opcode::WriteVariables | Opcode::WriteClock => Err(ErrorCode::Permission),
            Opcode::Configure if controls => configure(association, packet.data, caller, facts),
            Opcode::SaveConfig if controls && caller.may.modify => {
                let end = packet.data.iter().position(|&byte| byte == 0).unwrap_or(packet.data.len());
                let name = String::from_utf8_lossy(packet.data.get(..end).unwrap_or_default()).into_owned();
                Ok(Reply::line(&facts.save(&name)))
            }
            Opcode::SaveConfig if controls => {
                Ok(Reply::line("saveconfig prohibited by restrict ... nomodify"))
            }
            Opcode::ReadOrdered if controls => lists::ordered(packet.data, facts).map(Reply::text),
            Opcode::Configure | Opcode::SaveConfig | Opcode::ReadOrdered => Err(ErrorCode::Permission),
            Opcode::RequestNonce => {
                let mut out = Composer::default();
                out.put("nonce", &self.nonces.make(caller.from, caller.at));
                Ok(Reply::text(out.finish()))
            }
            Opcode::ReadMru if !caller.may.clients => Err(ErrorCode::Permission),
            Opcode::ReadMru => {
                lists::clients(packet.data, caller.from, caller.at, &self.nonces, facts)?.map(Reply::text)
            }
            Opcode::SetTrap | Opcode::UnsetTrap | Opcode::AsyncMessage | Opcode::Other(_) => {
                Err(ErrorCode::BadOpcode)
            }
        })
    }

    fn has_budget(&mut self, caller: &Caller) -> bool {
        let address = caller.from.ip().to_canonical();
        if address.is_loopback() {
            return true;
        }
        if self.budgets.len() >= BUDGETS && !self.budgets.contains_key(&address) {
            // the one that has been quiet longest
            let quiet = self.budgets.iter().min_by_key(|(_, (_, at))| *at).map(|(address, _)| *address);
            quiet.map(|quiet| self.budgets.remove(&quiet));
        }
        let (left, at) = self.budgets.entry(address).or_insert((BURST, caller.now));
        let nanos = (caller.now - *at).max(TimeDelta::ZERO).as_nanos();
        let gained = u32::try_from(nanos / (1_000_000_000 / i64::from(RATE))).unwrap_or(BURST).min(BURST);
        if gained > 0 {
            (*left, *at) = ((*left + gained).min(BURST), caller.now);
        }
        *left > 0
    }

    fn spend(&mut self, caller: &Caller, packets: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        if let Some((left, _)) = self.budgets.get_mut(&caller.from.ip().to_canonical()) {
            *left = left.saturating_sub(u32::try_from(packets.len()).unwrap_or(u32::MAX));
        }
        packets
    }
}

/// The header of a packet whose data is not as it should be.
fn header_of(request: &[u8]) -> Option<Header> {
    let mut head = *request.first_chunk::<HEADER_LEN>()?;
    let [.., high, low] = &mut head;
    (*high, *low) = (0, 0);
    let header = Packet::parse(&head).ok()?.header;
    (!header.response && !header.error && !header.more && header.offset == 0).then_some(header)
}

fn prove(packet: &Packet<'_>, ring: &KeyRing) -> Proof {
    let Some((key, digest)) = packet.mac.split_first_chunk::<4>() else { return Proof::None };
    let mac = Mac { key: KeyId::new(u32::from_be_bytes(*key)), digest };
    match ring.verify(packet.covered, mac, DigestLength::CutTo20) {
        Ok(key) => Proof::Key(key),
        Err(_) => Proof::Failed,
    }
}

/// The status word of the system.
pub fn system_status(system: &System) -> u16 {
    let System { leap, source, events, .. } = *system;
    SystemStatus { leap, source, count: events.count, event: events.last }.to_bits()
}

/// The status word of an association.
pub fn peer_status(peer: &Association) -> u16 {
    PeerStatus {
        configured: peer.flags.configured,
        auth_enabled: peer.flags.auth_enabled,
        authentic: peer.flags.authentic,
        reachable: peer.reach.bits() != 0,
        broadcast: peer.flags.broadcast,
        selection: peer.selection,
        count: peer.events.count,
        event: peer.events.last,
    }
    .to_bits()
}

fn clock_status(clock: &Clock) -> u16 {
    ClockStatus { count: clock.events.count, event: clock.events.last }.to_bits()
}

fn find(association: AssocId, facts: &dyn Facts) -> Result<Association, ErrorCode> {
    facts.associations().into_iter().find(|peer| peer.id == association).ok_or(ErrorCode::BadAssociation)
}

/// The names that a request asks for, in the order of the table; `None`: it names nothing.
fn wanted<'n>(
    data: &[u8],
    known: impl Iterator<Item = &'n str> + Clone,
) -> Result<Option<Vec<&'n str>>, ErrorCode> {
    let mut asked = Vec::new();
    for variable in variables(data) {
        if variable.value.is_some_and(|value| value.len() > MAX_REQUEST_VALUE) {
            return Err(ErrorCode::BadFormat);
        }
        let name = std::str::from_utf8(variable.name).map_err(|_| ErrorCode::UnknownVariable)?;
        let place = known.clone().position(|other| other == name).ok_or(ErrorCode::UnknownVariable)?;
        if !asked.contains(&place) {
            asked.push(place);
        }
    }
    asked.sort_unstable();
    let chosen: Vec<&str> = known
        .enumerate()
        .filter(|(place, _)| asked.binary_search(place).is_ok())
        .map(|(_, name)| name)
        .collect();
    Ok((!chosen.is_empty()).then_some(chosen))
}

fn read_variables(association: AssocId, data: &[u8], facts: &dyn Facts) -> Result<Reply, ErrorCode> {
    let mut out = Composer::default();
    if association == AssocId::SYSTEM {
        let system = facts.system();
        let own = &facts.identity().variables;
        let known =
            variables::SYSTEM_ALL.iter().copied().chain(own.iter().map(|variable| variable.name.as_str()));
        let chosen = wanted(data, known)?;
        let defaults = own.iter().filter(|variable| variable.default).map(|variable| variable.name.as_str());
        let names =
            chosen.unwrap_or_else(|| variables::SYSTEM_DEFAULT.iter().copied().chain(defaults).collect());
        for name in names {
            match own.iter().find(|variable| variable.name == name) {
                Some(variable) => out.put(name, &plain(&variable.value)),
                None => variables::put_system(&mut out, name, facts, &system),
            }
        }
        return Ok(Reply { status: system_status(&system), data: out.finish() });
    }
    let peer = find(association, facts)?;
    let chosen = wanted(data, variables::PEER_ALL.iter().copied())?;
    let by_name = chosen.is_some();
    for name in chosen.unwrap_or_else(|| variables::PEER_DEFAULT.to_vec()) {
        variables::put_peer(&mut out, name, &peer, by_name);
    }
    Ok(Reply { status: peer_status(&peer), data: out.finish() })
}

/// A value that may stand bare in a list.
fn plain(value: &str) -> String {
    value.chars().map(|c| if c.is_control() || c == ',' || c == '"' { ' ' } else { c }).collect()
}

fn read_clock(association: AssocId, data: &[u8], facts: &dyn Facts) -> Result<Reply, ErrorCode> {
    let clock = if association == AssocId::SYSTEM {
        let system_peer = facts.system().peer;
        let list = facts.associations();
        let by_id = list.iter().find(|peer| peer.id == system_peer && peer.clock.is_some());
        by_id.or_else(|| list.iter().find(|peer| peer.clock.is_some())).and_then(|peer| peer.clock.clone())
    } else {
        find(association, facts)?.clock
    };
    let clock = clock.ok_or(ErrorCode::BadAssociation)?;
    let mut out = Composer::default();
    let chosen = wanted(data, variables::CLOCK_ALL.iter().copied())?;
    for name in chosen.unwrap_or_else(|| variables::CLOCK_DEFAULT.to_vec()) {
        variables::put_clock(&mut out, name, &clock);
    }
    Ok(Reply { status: clock_status(&clock), data: out.finish() })
}

/// Only variables of `setvar` can be written.
fn write_variables(association: AssocId, data: &[u8], facts: &mut dyn Facts) -> Result<Reply, ErrorCode> {
    if association != AssocId::SYSTEM {
        return Err(ErrorCode::Permission);
    }
    for variable in variables(data) {
        let name = std::str::from_utf8(variable.name).map_err(|_| ErrorCode::UnknownVariable)?;
        if name == "leap" {
            return Err(ErrorCode::Unspecified);
        }
        let value = String::from_utf8_lossy(variable.unquoted());
        if variable.value.is_some_and(|value| value.len() > MAX_REQUEST_VALUE) {
            return Err(ErrorCode::BadFormat);
        }
        if !facts.set_variable(name, &plain(&value)) {
            let known = variables::SYSTEM_ALL.contains(&name);
            return Err(if known { ErrorCode::Permission } else { ErrorCode::UnknownVariable });
        }
    }
    Ok(Reply { status: system_status(&facts.system()), data: Vec::new() })
}

fn configure(
    association: AssocId,
    data: &[u8],
    caller: &Caller,
    facts: &mut dyn Facts,
) -> Result<Reply, ErrorCode> {
    if association != AssocId::SYSTEM {
        return Err(ErrorCode::BadValue);
    }
    if !caller.may.modify {
        return Ok(Reply::line("runtime configuration prohibited by restrict ... nomodify"));
    }
    let end = data.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let data = data.get(..end).unwrap_or_default();
    if data.len() > MAX_CONFIG {
        return Ok(Reply::line("runtime configuration failed: request too long"));
    }
    let is_clean =
        |byte: &u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\r' | b'\n') || *byte >= 0x80;
    match std::str::from_utf8(data) {
        Ok(line) if data.iter().all(is_clean) => {
            Ok(Reply::line(&facts.configure(line.trim_end(), caller.from)))
        }
        _ => Ok(Reply::line("runtime configuration failed: request contains an unprintable character")),
    }
}

#[cfg(test)]
mod tests;
