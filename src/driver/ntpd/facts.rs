//! The engine's truth in ntpd's terms: system variables, associations, counters, lists, and what may be changed from afar.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::broadcast::Outlet;
use super::informant::{House, State};
use super::track::Track;
use crate::auth::Uses;
use crate::config::ntp_model::{LocalClock, Mru};
use crate::control::mode6::Facts;
use crate::control::mode6::facts::{
    Association, AssociationCounters, AssociationFlags, Clock, Events, Identity, Interface, Kernel, Sample,
    Statistics, System,
};
use crate::engine::association::{Facts as SourceFacts, Role};
use crate::engine::daemon::{Engine, Source};
use crate::engine::measurement::SourceId;
use crate::engine::mru::{Bounds, Clients};
use crate::engine::options::{Kind, Source as Options};
use crate::engine::restrict::Rule;
use crate::engine::selection::Status;
use crate::sys::clock;
use crate::types::{
    Frequency, KeyId, Leap, LogInterval, Mode, MonoTime, Now, NtpTimestamp, Reach, RefId, Secs, Stratum,
    TimeDelta, Timestamp,
};
use crate::wire::mode6::AssocId;
use crate::wire::mode6::status::Selection;

/// What keeps the clock: the local clock, or a server.
const SOURCE_LOCAL: u8 = 5;
const SOURCE_NTP: u8 = 6;
/// Error bound that the local clock's driver claims.
const DRIVER_DISPERSION: Secs = Secs::literal(0.01);
/// Reference ID of local mode, as our engine has it (127.127.1.1).
const LOCAL_MODE: u32 = 0x7F7F_0101;
/// Bits of `flash` that are tests of the association, not of a packet.
const PEER_STRATUM: u16 = 0x200;
const PEER_DISTANCE: u16 = 0x400;
const PEER_LOOP: u16 = 0x800;
const PEER_UNREACHABLE: u16 = 0x1000;

/// Who keeps the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeper {
    Nobody,
    /// Local mode without a clock of its own (`tos orphan`, chrony's `local`).
    Orphan,
    /// 127.127.1.u.
    Local,
    Source(SourceId),
}

/// The bounds of a client list.
pub fn bounds(mru: &Mru) -> Bounds {
    let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    Bounds {
        most: size(mru.maxdepth).min(1_000_000),
        least: size(mru.mindepth),
        age: TimeDelta::from_secs(i64::from(mru.maxage)),
    }
}

fn secs(value: f64) -> Secs {
    Secs::new(value).unwrap_or(Secs::ZERO)
}

fn interval(log2: i32) -> LogInterval {
    LogInterval::from_log2(i8::try_from(log2).unwrap_or(6))
}

fn age(since: MonoTime, now: MonoTime) -> u64 {
    u64::try_from((now - since).as_nanos() / 1_000_000_000).unwrap_or(0)
}

const fn unspecified(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

impl State {
    pub(super) fn keeper(&self, engine: &Engine, now: Now) -> Keeper {
        let tracking = engine.tracking(now);
        if tracking.stratum == 0 || tracking.leap == Leap::Unsynchronised {
            return Keeper::Nobody;
        }
        if tracking.address.is_none() && tracking.refid.to_bits() == LOCAL_MODE {
            return if self.local.is_some() { Keeper::Local } else { Keeper::Orphan };
        }
        let of_address = || {
            let mut sources = engine.sources();
            sources.find(|(_, s)| Some(s.association.address().ip()) == tracking.address).map(|(id, _)| id)
        };
        of_address().or(engine.selected()).map_or(Keeper::Nobody, Keeper::Source)
    }

    fn precision_secs(&self) -> f64 {
        f64::from(self.precision.log2()).exp2()
    }

    /// Jitter and poll exponent of the system peer.
    pub(super) fn of_system_peer(&self, engine: &Engine, now: Now) -> (Secs, i32) {
        let Keeper::Source(id) = self.keeper(engine, now) else { return (secs(self.precision_secs()), 6) };
        let track = self.tracks.get(&id);
        let jitter = track.map(|track| track.best(now.mono, self.growth, self.precision_secs()).jitter);
        let poll = engine.sources().find(|(other, _)| *other == id).map(|(_, s)| s.association.facts().poll);
        (jitter.unwrap_or(Secs::ZERO), poll.unwrap_or(6))
    }

    pub(super) fn system(&self, engine: &Engine, now: Now) -> System {
        let keeper = self.keeper(engine, now);
        let tracking = engine.tracking(now);
        let peer = match keeper {
            Keeper::Source(id) => self.association_of(engine, id, now),
            _ => None,
        };
        let local = self.local.filter(|_| keeper == Keeper::Local);
        let local_address = |clock: LocalClock| Ipv4Addr::new(127, 127, 1, clock.unit);
        let quiet = || match (self.stepped, self.followed) {
            (true, _) => *b"STEP",
            (false, true) => *b"DOWN",
            (false, false) => *b"INIT",
        };
        // as of the last update: the original's offset does not move in between either
        let left = engine.timeline().remaining(tracking.time.unwrap_or(now.clock));
        let (refid, reference) = match (keeper, local) {
            (Keeper::Nobody, _) => (RefId::from_ascii(quiet()), NtpTimestamp::ZERO),
            (_, Some(clock)) => (
                RefId::from_ipv4(local_address(clock)),
                NtpTimestamp::from_timestamp(self.local_poll(&clock, now)),
            ),
            _ => (
                self.own_refid(tracking.refid, Stratum::new(tracking.stratum)),
                tracking.time.map_or(NtpTimestamp::ZERO, NtpTimestamp::from_timestamp),
            ),
        };
        let root_dispersion = match (keeper, local) {
            (Keeper::Nobody, _) => (now.mono - self.started).as_secs_f64() * self.growth,
            (_, Some(clock)) => {
                let since = (now.clock - self.local_poll(&clock, now)).as_secs_f64();
                DRIVER_DISPERSION.get() + since * self.growth + 0.001
            }
            // ntpd never claims less than its own increment; what the clock lacks is an error of it
            _ => tracking.root_dispersion.max(0.001) + left.abs(),
        };
        let (jitter, poll) = self.of_system_peer(engine, now);
        let peer_id = match keeper {
            Keeper::Local => self.local_id,
            _ => peer.as_ref().map_or(AssocId::SYSTEM, |peer| peer.id),
        };
        System {
            leap: if keeper == Keeper::Nobody { Leap::Unsynchronised } else { tracking.leap },
            source: match keeper {
                Keeper::Nobody => 0,
                Keeper::Orphan | Keeper::Local => SOURCE_LOCAL,
                Keeper::Source(_) => SOURCE_NTP,
            },
            events: self.events,
            stratum: match keeper {
                Keeper::Nobody => Stratum::UNSYNCHRONISED,
                _ => Stratum::new(tracking.stratum),
            },
            precision: self.precision,
            root_delay: if keeper == Keeper::Nobody { Secs::ZERO } else { secs(tracking.root_delay) },
            root_dispersion: secs(root_dispersion),
            refid,
            reference,
            clock: NtpTimestamp::from_timestamp(now.clock),
            peer: peer_id,
            peer_address: match local {
                Some(clock) => Some(SocketAddr::new(local_address(clock).into(), 123)),
                None => peer.as_ref().map(|peer| SocketAddr::new(peer.source.ip(), 123)),
            },
            peer_mode: match local {
                Some(_) => Mode::Client.to_bits(),
                None => peer.as_ref().map_or(0, |peer| peer.host_mode.to_bits()),
            },
            time_constant: match (keeper, local) {
                (Keeper::Source(_), _) => interval(poll),
                (_, Some(clock)) => interval(clock.minpoll),
                _ => interval(3),
            },
            min_time_constant: interval(3),
            offset: secs(lacking(tracking.last_offset, left)),
            frequency: Frequency::new(engine.frequency()).unwrap_or(Frequency::ZERO),
            system_jitter: if keeper == Keeper::Nobody { Secs::ZERO } else { jitter },
            clock_jitter: secs(tracking.rms_offset.max(self.precision_secs())),
            clock_wander: Frequency::new(tracking.skew).unwrap_or(Frequency::ZERO),
            tai: engine.tai(now),
            leap_seconds: engine
                .leap_table()
                .and_then(|table| Some((table.event(now.clock)?, table.expires()?))),
            broadcast_delay: self.broadcast_delay,
            wander_threshold: Frequency::from_ppm(0.1).unwrap_or(Frequency::ZERO),
        }
    }

    pub(super) fn associations(&self, engine: &Engine, now: Now) -> Vec<Association> {
        let followed = engine.sources().filter_map(|(id, _)| self.association_of(engine, id, now));
        let pools = self.pools.iter().map(|(id, pool, events)| self.prototype(*id, pool, *events));
        let local = self.local.iter().map(|clock| self.local_association(clock, engine, now));
        let outlets = self.outlets.iter().map(|outlet| self.outlet(outlet, now));
        let mut all: Vec<Association> = followed.chain(pools).chain(local).chain(outlets).collect();
        all.sort_by_key(|association| association.id);
        all
    }

    pub(super) fn association_of(&self, engine: &Engine, id: SourceId, now: Now) -> Option<Association> {
        let (_, source) = engine.sources().find(|(other, _)| *other == id)?;
        let (assoc, track) = (*self.ids.get(&id)?, self.tracks.get(&id)?);
        let keeps = self.keeper(engine, now) == Keeper::Source(id);
        Some(self.association(assoc, source, track, (engine.shown(id).status, keeps), now))
    }

    fn association(
        &self,
        id: AssocId,
        source: &Source,
        track: &Track,
        (status, keeps): (Status, bool),
        now: Now,
    ) -> Association {
        let facts = source.association.facts();
        let options = source.association.options();
        let header = facts.last.map(|packet| &packet.header);
        let best = track.best(now.mono, self.growth, self.precision_secs());
        let address = facts.address.ip().to_canonical();
        let until = source.association.next_timeout().map_or(TimeDelta::ZERO, |at| at - now.mono);
        let local = facts.last.and_then(|packet| packet.local).unwrap_or(unspecified(address));
        Association {
            id,
            flags: AssociationFlags {
                configured: options.kind != Kind::Pool && facts.role != Role::Listener,
                auth_enabled: options.key != 0,
                authentic: options.key != 0 && track.authentic,
                broadcast: false,
            },
            selection: if keeps { Selection::SystemPeer } else { selection(status) },
            events: track.events,
            source: SocketAddr::new(address, 123),
            name: (source.name.parse::<IpAddr>().is_err() && !source.name.is_empty())
                .then(|| source.name.clone()),
            local: SocketAddr::new(local, 123),
            host_mode: match facts.role {
                Role::Peer => Mode::SymmetricActive,
                Role::Client => Mode::Client,
                // ntpd's own number for it, which no packet has
                Role::Listener => Mode::Control,
            },
            peer_mode: header.map_or(Mode::Reserved, |h| h.mode),
            leap: facts.leap,
            stratum: match facts.stratum {
                0 => Stratum::UNSYNCHRONISED,
                stratum => Stratum::new(stratum.min(16)),
            },
            precision: header.map_or(self.precision, |h| h.precision),
            root_delay: header.map_or(Secs::ZERO, |h| h.root_delay.to_secs()),
            root_dispersion: header.map_or(Secs::ZERO, |h| h.root_dispersion.to_secs()),
            refid: header.map_or(RefId::from_ascii(*b"INIT"), |h| h.refid),
            reference: header.map_or(NtpTimestamp::ZERO, |h| h.reference),
            origin: header.map_or(NtpTimestamp::ZERO, |h| h.transmit),
            receive: track.received_at.map_or(NtpTimestamp::ZERO, NtpTimestamp::from_timestamp),
            reach: facts.reach,
            unreach: facts.unreachable,
            host_poll: interval(facts.poll.max(0)),
            peer_poll: header.map_or(interval(options.maxpoll.max(0)), |h| h.poll),
            headway: track.headway(now.mono),
            flash: flash(&facts, track, status),
            key: (options.key != 0).then(|| KeyId::new(options.key)),
            ttl: None,
            offset: best.offset,
            delay: best.delay,
            dispersion: best.dispersion,
            jitter: best.jitter,
            xleave: Secs::ZERO,
            bias: secs(options.offset),
            filter: track.filter(now.mono, self.growth),
            until_next: u64::try_from(until.as_nanos() / 1_000_000_000).unwrap_or(0),
            counters: AssociationCounters {
                sent: u64::from(facts.counters.sent).saturating_sub(track.zeroes.sent),
                received: u64::from(facts.counters.received).saturating_sub(track.zeroes.received),
                since_received: age(track.last_received.unwrap_or(self.started), now.mono),
                since_reach: age(track.reach_changed, now.mono),
                bad_auth: track.bad_auth - track.zeroes.bad_auth,
                bogus_origin: track.bogus_origin - track.zeroes.bogus_origin,
                duplicate: track.duplicates - track.zeroes.duplicate,
                bad_dispersion: track.bad_distance - track.zeroes.bad_dispersion,
                bad_reference: 0,
                candidate: u64::from(keeps),
            },
            clock: None,
        }
    }

    /// A `pool` line: it stands for those that it brings.
    fn prototype(&self, id: AssocId, pool: &Options, events: Events) -> Association {
        Association {
            flags: AssociationFlags { configured: true, broadcast: true, ..AssociationFlags::default() },
            name: Some(pool.name.clone()),
            refid: RefId::from_ascii(*b"POOL"),
            host_poll: interval(pool.minpoll),
            peer_poll: interval(pool.maxpoll),
            ..self.silent(id, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 123), events)
        }
    }

    /// An association that nothing came from.
    pub(super) fn silent(&self, id: AssocId, address: SocketAddr, events: Events) -> Association {
        Association {
            id,
            flags: AssociationFlags { configured: true, ..AssociationFlags::default() },
            selection: Selection::Reject,
            events,
            source: address,
            name: None,
            local: SocketAddr::new(unspecified(address.ip()), 123),
            host_mode: Mode::Client,
            peer_mode: Mode::Reserved,
            leap: Leap::Unsynchronised,
            stratum: Stratum::UNSYNCHRONISED,
            precision: self.precision,
            root_delay: Secs::ZERO,
            root_dispersion: Secs::ZERO,
            refid: RefId::from_ascii(*b"INIT"),
            reference: NtpTimestamp::ZERO,
            origin: NtpTimestamp::ZERO,
            receive: NtpTimestamp::ZERO,
            reach: Reach::from_bits(0),
            unreach: 0,
            host_poll: interval(6),
            peer_poll: interval(10),
            headway: 0,
            flash: PEER_DISTANCE | PEER_UNREACHABLE,
            key: None,
            ttl: None,
            offset: Secs::ZERO,
            delay: Secs::ZERO,
            dispersion: Secs::literal(16.0),
            jitter: Secs::ZERO,
            xleave: Secs::ZERO,
            bias: Secs::ZERO,
            filter: [Sample::EMPTY; 8],
            until_next: 0,
            counters: AssociationCounters::default(),
            clock: None,
        }
    }

    /// When the local clock was last read.
    fn local_poll(&self, local: &LocalClock, now: Now) -> Timestamp {
        let step = TimeDelta::from_secs(1 << local.minpoll.clamp(3, 17)).as_nanos();
        now.clock - TimeDelta::from_nanos((now.mono - self.local_since).as_nanos().max(0) % step)
    }

    fn local_association(&self, local: &LocalClock, engine: &Engine, now: Now) -> Association {
        let step = 1_u64 << local.minpoll.clamp(3, 17);
        let uptime = age(self.local_since, now.mono);
        let (polls, since) = (1 + uptime / step, uptime % step);
        let keeps = self.keeper(engine, now) == Keeper::Local;
        let mut filter = [Sample::EMPTY; 8];
        let mut age = f64::from(u32::try_from(since).unwrap_or(0));
        for slot in filter.iter_mut().take(usize::try_from(polls).unwrap_or(8)) {
            *slot = Sample { dispersion: secs(age * self.growth), ..Sample::EMPTY };
            age += f64::from(u32::try_from(step).unwrap_or(0));
        }
        let bits = if polls >= 8 { 0xff } else { (1_u16 << polls) - 1 };
        let refid = RefId::from_ascii(local.refid);
        let address = SocketAddr::new(Ipv4Addr::new(127, 127, 1, local.unit).into(), 123);
        Association {
            selection: if keeps { Selection::SystemPeer } else { Selection::Reject },
            local: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 123),
            peer_mode: Mode::Server,
            leap: Leap::None,
            stratum: Stratum::new(local.stratum),
            root_dispersion: DRIVER_DISPERSION,
            refid,
            receive: NtpTimestamp::from_timestamp(self.local_poll(local, now)),
            reach: Reach::from_bits(u8::try_from(bits).unwrap_or(u8::MAX)),
            host_poll: interval(local.minpoll),
            peer_poll: interval(local.minpoll),
            flash: 0,
            ttl: Some(0),
            dispersion: secs(filter.iter().rev().fold(0.0, |sum, s| (sum + s.dispersion.get()) / 2.0)),
            filter,
            until_next: step - since,
            counters: AssociationCounters {
                sent: polls.saturating_sub(self.local_reset),
                received: polls.saturating_sub(self.local_reset),
                since_received: since,
                since_reach: uptime,
                ..AssociationCounters::default()
            },
            clock: Some(Clock {
                device: "Undisciplined local clock".to_owned(),
                timecode: String::new(),
                events: Events::default(),
                polls,
                no_reply: 0,
                bad_format: 0,
                bad_data: 0,
                time1: None,
                time2: None,
                stratum: local.stratum,
                refid,
                flags: local.flags,
            }),
            ..self.silent(self.local_id, address, self.local_events)
        }
    }
}

/// What the clock lacks: the offset of the last update (s), or what is left of it and of earlier ones, if that is more: all
/// of it where nobody sets the clock (`disable ntp`).
const fn lacking(last: f64, left: f64) -> f64 {
    if left.abs() > last.abs() { left } else { last }
}

/// Chrony's verdict in ntpd's words.
const fn selection(status: Status) -> Selection {
    match status {
        Status::Selected | Status::Combined => Selection::Candidate,
        Status::Distant | Status::NonPreferred | Status::WaitsUpdate | Status::WaitsSources => {
            Selection::Outlier
        }
        Status::Falseticker | Status::Untrusted => Selection::Falseticker,
        _ => Selection::Reject,
    }
}

/// The tests that fail: those of the last packet, then those of the association.
fn flash(facts: &SourceFacts<'_>, track: &Track, status: Status) -> u16 {
    let mut bits = track.failed;
    if let Some(packet) = facts.last {
        if packet.header.leap == Leap::Unsynchronised || !(1..16).contains(&packet.header.stratum.get()) {
            bits |= PEER_STRATUM | PEER_DISTANCE;
        }
        if packet.tests.is_synchronised() && !packet.tests.loopless {
            bits |= PEER_LOOP;
        }
    } else {
        bits |= PEER_DISTANCE;
    }
    if matches!(status, Status::BadDistance | Status::Jittery) {
        bits |= PEER_DISTANCE;
    }
    if facts.reach.bits() == 0 {
        bits |= PEER_UNREACHABLE;
    }
    bits
}

/// All facts at one moment.
pub(super) struct View<'s, 'a> {
    pub(super) state: &'s mut State,
    pub(super) house: House<'a>,
}

impl View<'_, '_> {
    /// Everything since the start.
    pub(super) fn counted(&self) -> Statistics {
        let served = self.house.served.ntp_hits - self.house.served.ntp_drops;
        // without a gate it is the server that counts
        let counted = self.house.gate.as_ref().map_or(
            Statistics {
                received: self.house.served.ntp_hits,
                this_version: served,
                limited: self.house.served.ntp_drops,
                io_received: self.house.served.ntp_hits,
                io_sent: served,
                ..Statistics::default()
            },
            |gate| *gate.counters(),
        );
        let mut all =
            Statistics { uptime: self.state.uptime(self.house.now.mono), keys: self.state.keys, ..counted };
        let Uses { lookups, not_found, signed, verified } = self.state.uses;
        (all.key_lookups, all.keys_not_found) = (lookups, not_found);
        (all.encryptions, all.decryptions) = (signed, verified);
        for sent in self.state.outlets.iter().map(Outlet::sent) {
            all.timer_sent += sent;
            all.io_sent += sent;
        }
        for (_, source) in self.house.engine.sources() {
            let counters = source.association.facts().counters;
            let (sent, received) = (u64::from(counters.sent), u64::from(counters.received));
            all.timer_sent += sent;
            all.io_sent += sent;
            all.io_received += received;
            all.received += received;
            all.processed += u64::from(counters.valid);
        }
        all
    }
}

impl Facts for View<'_, '_> {
    fn system(&self) -> System {
        self.state.system(self.house.engine, self.house.now)
    }

    fn associations(&self) -> Vec<Association> {
        self.state.associations(self.house.engine, self.house.now)
    }

    fn statistics(&self) -> Statistics {
        self.state.zeroes.since(&self.counted())
    }

    fn kernel(&self) -> Option<Kernel> {
        let kernel = clock::kernel().ok()?;
        Some(Kernel {
            offset: Secs::from(kernel.offset),
            frequency_ppm: kernel.correction_ppm,
            max_error: Secs::from(kernel.max_error),
            est_error: Secs::from(kernel.est_error),
            status: u32::try_from(kernel.status).unwrap_or(0),
            time_constant: kernel.time_constant,
            precision: Secs::from(kernel.precision),
            tolerance_ppm: kernel.tolerance_ppm,
        })
    }

    fn interfaces(&self) -> Vec<Interface> {
        let uptime = self.state.uptime(self.house.now.mono);
        let peers = |v4: bool| {
            let mine = |source: &Source| source.association.address().is_ipv4() == v4;
            u64::try_from(self.house.engine.sources().filter(|(_, s)| mine(s)).count()).unwrap_or(0)
        };
        let sockets = self.house.sockets.iter().enumerate();
        sockets
            .map(|(place, address)| {
                let [received, sent, failed] =
                    self.house.gate.as_ref().map_or([0; 3], |gate| gate.of_socket(place));
                Interface {
                    name: socket_name(address).to_owned(),
                    address: *address,
                    enabled: true,
                    // what ntpd shows: wildcard, and broadcast for IPv4
                    flags: if address.is_ipv4() { 0x89 } else { 0x81 },
                    received,
                    sent,
                    failed,
                    peers: if address.ip().is_unspecified() { peers(address.is_ipv4()) } else { 0 },
                    uptime,
                }
            })
            .collect()
    }

    fn restrictions(&self) -> Vec<Rule> {
        self.house.gate.as_ref().map_or_else(Vec::new, |gate| gate.restrictions.list())
    }

    fn clients(&self) -> Option<&Clients> {
        self.house.gate.as_ref().and_then(|gate| gate.clients.as_ref())
    }

    fn identity(&self) -> &Identity {
        &self.state.identity
    }

    fn events_seen(&mut self, association: AssocId) {
        if association == AssocId::SYSTEM {
            return self.state.events.seen();
        }
        let of_source = self.state.ids.iter().find(|(_, id)| **id == association).map(|(source, _)| *source);
        if let Some(track) = of_source.and_then(|source| self.state.tracks.get_mut(&source)) {
            track.events.seen();
        } else if association == self.state.local_id {
            self.state.local_events.seen();
        } else if let Some((.., events)) = self.state.pools.iter_mut().find(|(id, ..)| *id == association) {
            events.seen();
        } else if let Some(outlet) = self.state.outlets.iter_mut().find(|outlet| outlet.id == association) {
            outlet.events.seen();
        }
    }

    fn configure(&mut self, line: &str, from: SocketAddr) -> String {
        self.obey(line, from)
    }

    fn save(&mut self, name: &str) -> String {
        self.save_configuration(name)
    }

    fn set_variable(&mut self, name: &str, value: &str) -> bool {
        let variable = self.state.identity.variables.iter_mut().find(|variable| variable.name == name);
        variable.map(|variable| value.clone_into(&mut variable.value)).is_some()
    }
}

/// What ntpd calls a socket.
pub fn socket_name(address: &SocketAddr) -> &'static str {
    match (address.ip().is_unspecified(), address.is_ipv4()) {
        (true, true) => "v4wildcard",
        (true, false) => "v6wildcard",
        (false, _) => "address",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_nobody_sets_lacks_what_is_left() {
        assert!((lacking(0.06, 0.05) - 0.06).abs() < 1e-12);
        assert!((lacking(-7e-8, 0.14) - 0.14).abs() < 1e-12);
        assert!((lacking(1e-5, -0.14) + 0.14).abs() < 1e-12);
    }
}
