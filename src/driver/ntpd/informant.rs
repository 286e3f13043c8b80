//! What a daemon knows about itself in ntpd's terms, between two control messages: identifiers, filters, events, statistics files.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::broadcast::Outlet;
use super::configure::Saving;
use super::facts::View;
use super::gate::Gate;
use super::statistics::{self, Statistics};
use super::track::{self, Track, event};
use super::wishes::{Wish, Zeroes};
use crate::auth::{KeyRing, Uses};
use crate::config::model::Broadcast;
use crate::config::ntp_model::{LocalClock, Ntp};
use crate::control::mode6::facts::{Events, Identity, Variable};
use crate::control::mode6::{Answerer, Caller, ControlKeys, system_status};
use crate::engine::daemon::Engine;
use crate::engine::measurement::SourceId;
use crate::engine::options::Source;
use crate::engine::record::Record;
use crate::engine::restrict::Control;
use crate::engine::rng::Rng;
use crate::engine::server::{Counters, Snapshot};
use crate::sys::SysError;
use crate::types::{KeyId, LogInterval, MonoTime, Now, RefId, Secs, Stratum, TimeDelta, Timestamp};
use crate::wire::mode6::AssocId;
use crate::wire::ntp::Kiss;

/// Events of the system.
mod system_event {
    pub(super) const FREQUENCY_NOT_SET: u8 = 1;
    pub(super) const FREQUENCY_SET: u8 = 2;
    pub(super) const CLOCK_SYNC: u8 = 5;
    pub(super) const RESTART: u8 = 6;
    pub(super) const PANIC: u8 = 7;
    pub(super) const NO_SYSTEM_PEER: u8 = 8;
    pub(super) const CLOCK_STEP: u8 = 12;
}

/// How often reachability is looked at when nothing comes in.
const WATCH: TimeDelta = TimeDelta::from_secs(1);
/// With more sources nothing but that causes a look.
const FEW: usize = 32;
/// How often a line of sysstats is written.
const HOUR: TimeDelta = TimeDelta::from_secs(3600);
/// Reference ID of local mode, as our engine has it (127.127.1.1).
const LOCAL_MODE: u32 = 0x7F7F_0101;

/// The version line of the daemon and of its variable.
pub fn version_line() -> String {
    format!("ntpd 4.2.8p15@ntpbox-{} Sat Nov 21 10:00:00 UTC 2026 (1)", env!("CARGO_PKG_VERSION"))
}

/// What a daemon starts with.
#[derive(Debug, Default)]
pub struct Setup {
    /// Keys that are trusted.
    pub keys: KeyRing,
    /// All keys of the key file, of which `trustedkey` from afar may name more.
    pub all_keys: KeyRing,
    /// The key that may change things.
    pub control_key: Option<KeyId>,
    /// The local clock of an ntp.conf.
    pub local_clock: Option<LocalClock>,
    /// Whether `tos orphan` is set.
    pub orphan: bool,
    /// `pool` lines.
    pub pools: Vec<Source>,
    /// `broadcast` lines.
    pub broadcasts: Vec<Broadcast>,
    /// Variables of `setvar`: name, value, whether it is in the default list.
    pub variables: Vec<(String, String, bool)>,
    /// `broadcastdelay`, s.
    pub broadcast_delay: f64,
    /// Resolution of the clock, log2 s.
    pub precision: LogInterval,
    /// Growth of an error bound, s/s.
    pub growth: f64,
    /// Whether the frequency is known from a drift file.
    pub knows_frequency: bool,
    /// Statistics files.
    pub statistics: Option<Statistics>,
    /// Whether events of the system are logged …
    pub logs_events: bool,
    /// … and those of associations.
    pub logs_peers: bool,
    /// What `tos`, `tinker`, `discard`, `mru`, `enable` say.
    pub ntp: Ntp,
    /// For `saveconfig`.
    pub saving: Saving,
}

/// All that an answer is made of, for the time of one message.
pub struct House<'a> {
    /// Sources, selection, clock.
    pub engine: &'a mut Engine,
    /// The gate of an ntpd.
    pub gate: Option<&'a mut Gate>,
    /// Where the server's sockets are.
    pub sockets: Vec<SocketAddr>,
    /// What the server did.
    pub served: Counters,
    /// Randomness.
    pub rng: &'a mut dyn Rng,
    /// Both clocks.
    pub now: Now,
}

/// A control message.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub from: SocketAddr,
    /// When it came.
    pub received: Timestamp,
    /// What its sender may do.
    pub may: Control,
}

/// Tells ntpq.
#[derive(Debug)]
pub struct Informant {
    answerer: Answerer,
    keys: KeyRing,
    all_keys: KeyRing,
    control_key: Option<KeyId>,
    statistics: Option<Statistics>,
    logs_events: bool,
    next_watch: Option<MonoTime>,
    next_hour: MonoTime,
    state: State,
}

/// What the views are made of.
#[derive(Debug)]
pub(super) struct State {
    pub(super) identity: Identity,
    pub(super) local: Option<LocalClock>,
    pub(super) orphan: bool,
    pub(super) local_id: AssocId,
    pub(super) local_events: Events,
    local_keeps: bool,
    pub(super) pools: Vec<(AssocId, Source, Events)>,
    pub(super) outlets: Vec<Outlet>,
    pub(super) ids: BTreeMap<SourceId, AssocId>,
    pub(super) tracks: BTreeMap<SourceId, Track>,
    pub(super) events: Events,
    pub(super) keys: u64,
    /// What was done with them.
    pub(super) uses: Uses,
    pub(super) precision: LogInterval,
    pub(super) growth: f64,
    pub(super) broadcast_delay: Secs,
    pub(super) logs_peers: bool,
    pub(super) ntp: Ntp,
    /// `trustedkey` or `controlkey` came from afar; the latter is to be the control key.
    pub(super) trust_changed: bool,
    pub(super) new_control: Option<KeyId>,
    /// Statistics files that are to be begun or ended.
    pub(super) files: Vec<(String, bool)>,
    pub(super) wishes: Vec<Wish>,
    pub(super) zeroes: Zeroes,
    /// Since when there is a local clock, and its polls when they were last set to zero.
    pub(super) local_since: MonoTime,
    pub(super) local_reset: u64,
    pub(super) saving: Saving,
    pub(super) started: MonoTime,
    /// It followed a source once.
    pub(super) followed: bool,
    /// The clock was stepped, and nothing was followed since.
    pub(super) stepped: bool,
    keeps: bool,
    next_id: u16,
    begun: bool,
    /// Which sources of the engine it knows.
    generation: Option<u32>,
}

fn identity(variables: Vec<(String, String, bool)>) -> Identity {
    let kernel = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        text.trim().to_owned()
    };
    Identity {
        version: version_line(),
        processor: std::env::consts::ARCH.to_owned(),
        system: format!("{}/{}", kernel("ostype"), kernel("osrelease")),
        variables: variables
            .into_iter()
            .map(|(name, value, default)| Variable { name, value, default })
            .collect(),
    }
}

impl Informant {
    /// One that was not asked yet.
    pub fn new(setup: Setup, now: MonoTime, rng: &mut dyn Rng) -> Self {
        let mut salt = [0; 16];
        let random = [rng.next_u64(), rng.next_u64()].into_iter().flat_map(u64::to_be_bytes);
        salt.iter_mut().zip(random).for_each(|(slot, byte)| *slot = byte);
        let [high, low, ..] = rng.next_u64().to_be_bytes();
        let mut events = Events::default();
        events.note(system_event::RESTART);
        let state = State {
            identity: identity(setup.variables),
            local: setup.local_clock,
            orphan: setup.orphan,
            local_id: AssocId::SYSTEM,
            local_events: Events::default(),
            local_keeps: false,
            pools: setup.pools.into_iter().map(|pool| (AssocId::SYSTEM, pool, Events::default())).collect(),
            outlets: setup.broadcasts.into_iter().map(|line| Outlet::new(line, now)).collect(),
            ids: BTreeMap::new(),
            tracks: BTreeMap::new(),
            events,
            keys: u64::try_from(setup.all_keys.len()).unwrap_or(0),
            uses: Uses::default(),
            precision: setup.precision,
            growth: setup.growth,
            broadcast_delay: Secs::new(setup.broadcast_delay).unwrap_or(Secs::ZERO),
            logs_peers: setup.logs_peers,
            ntp: setup.ntp,
            trust_changed: false,
            new_control: None,
            files: Vec::new(),
            wishes: Vec::new(),
            zeroes: Zeroes::default(),
            local_since: now,
            local_reset: 0,
            saving: setup.saving,
            started: now,
            followed: false,
            stepped: false,
            keeps: false,
            // never 0, with room above
            next_id: (u16::from_be_bytes([high, low]) & 0x7fff) + 1,
            begun: false,
            generation: None,
        };
        let mut informant = Self {
            answerer: Answerer::new(salt),
            keys: setup.keys,
            all_keys: setup.all_keys,
            control_key: setup.control_key,
            statistics: setup.statistics,
            logs_events: setup.logs_events,
            next_watch: None,
            next_hour: now + HOUR,
            state,
        };
        let first =
            if setup.knows_frequency { system_event::FREQUENCY_SET } else { system_event::FREQUENCY_NOT_SET };
        informant.state.events.note(first);
        informant
    }

    /// The lines of the start, which the log shows before any other event.
    pub fn first_lines(&self) -> [String; 2] {
        let set = self.state.events.last == system_event::FREQUENCY_SET;
        let second = if set { "0.0.0.0 c012 02 freq_set" } else { "0.0.0.0 c011 01 freq_not_set" };
        ["0.0.0.0 c016 06 restart".to_owned(), second.to_owned()]
    }

    /// Whether anybody hears of what it notes: who asks, where it is `asked`; readers of its files and of the log.
    pub const fn is_heard(&self, asked: bool) -> bool {
        asked || self.logs_events || self.statistics.is_some()
    }

    /// The packets that answer a control message.
    pub fn answer(&mut self, message: &Message<'_>, house: House<'_>) -> Vec<Vec<u8>> {
        let caller =
            Caller { from: message.from, at: message.received, now: house.now.mono, may: message.may };
        let keys = ControlKeys { ring: &self.keys, control: self.control_key };
        self.state.adopt(house.engine, house.now.mono);
        self.state.uses = self.keys.uses();
        let mut view = View { state: &mut self.state, house };
        let replies = self.answerer.answer(message.bytes, &caller, keys, &mut view);
        if let Some(statistics) = &mut self.statistics {
            self.state.files.drain(..).for_each(|(name, on)| statistics.enable(&name, on));
        }
        replies
    }

    pub(super) fn outlets(&mut self) -> &mut [Outlet] {
        &mut self.state.outlets
    }

    /// What lines from afar want of the loop.
    pub fn take_wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.state.wishes)
    }

    /// The keys that are trusted from now on, when a line from afar changed that.
    pub fn take_keys(&mut self) -> Option<KeyRing> {
        self.control_key = self.state.new_control.take().or(self.control_key);
        std::mem::take(&mut self.state.trust_changed).then(|| self.trusted())
    }

    /// The keys of a key file that was read; answers with those of them that are trusted.
    pub fn renew_keys(&mut self, keys: KeyRing) -> KeyRing {
        self.all_keys = keys;
        self.all_keys.count_with(&self.keys);
        self.state.keys = u64::try_from(self.all_keys.len()).unwrap_or(0);
        self.trusted()
    }

    fn trusted(&mut self) -> KeyRing {
        self.keys = self.all_keys.clone();
        self.keys.retain(|id| self.state.ntp.trusts(id.get()));
        self.keys.clone()
    }

    /// The snapshot as ntpd serves it: the local clock and the orphan under their own names.
    pub fn dress(&self, snapshot: Snapshot) -> Snapshot {
        Snapshot { refid: self.state.own_refid(snapshot.refid, snapshot.stratum), ..snapshot }
    }

    /// Something was measured.
    ///
    /// # Errors
    /// The first time that a statistics file cannot be written.
    pub fn note(&mut self, record: &Record, engine: &Engine, now: Now) -> Result<(), SysError> {
        self.state.adopt(engine, now.mono);
        // of many sources the next look at all of them is soon enough
        if self.state.ids.len() <= FEW {
            self.next_watch = None;
        }
        match record {
            Record::Measurement { source: id, packet, .. } => {
                let (id, Some(source)) = (*id, engine.source(*id)) else { return Ok(()) };
                let address = source.association.address();
                if let Some(track) = self.state.tracks.get_mut(&id) {
                    track.received(packet, now.mono);
                    match packet.header.kiss() {
                        Some(Kiss::Rate) => track::note(&mut track.events, event::RATE),
                        Some(Kiss::Deny | Kiss::Restrict) => track::note(&mut track.events, event::DENIED),
                        _ if !packet.tests.authentic => track::note(&mut track.events, event::BAD_AUTH),
                        _ => {}
                    }
                }
                let Some(files) = &mut self.statistics else { return Ok(()) };
                if packet.tests.is_valid() && files.wants("rawstats") {
                    files.write("rawstats", packet.at, &statistics::rawstats(address, packet))?;
                }
                if packet.tests.is_good()
                    && files.wants("peerstats")
                    && let Some(line) = self.state.peerstats(engine, id, now)
                {
                    files.write("peerstats", packet.at, &line)?;
                }
                Ok(())
            }
            Record::Tracking(update) if update.whom.is_some() => {
                let Some(files) = &mut self.statistics else { return Ok(()) };
                let (jitter, poll) = self.state.of_system_peer(engine, now);
                files.write("loopstats", update.time, &statistics::loopstats(update, jitter.get(), poll))
            }
            Record::Statistics(_)
            | Record::Tracking(_)
            | Record::Selection(_)
            | Record::Rtc(_)
            | Record::Refclock(_)
            | Record::Temperature(..) => Ok(()),
        }
    }

    /// The clock was stepped by so much (> 0: forward). Answers with the line of the log, if there is to be one.
    pub fn stepped(&mut self, by: TimeDelta, engine: &Engine, now: Now) -> Option<String> {
        self.state.tracks.values_mut().for_each(Track::clear);
        self.state.stepped = true;
        self.state.events.note(system_event::CLOCK_STEP);
        let status = system_status(&self.state.system(engine, now));
        let text = format!("clock_step {:+.6} s", by.as_secs_f64());
        let line = statistics::event_line("0.0.0.0", status, system_event::CLOCK_STEP, &text);
        self.logs_events.then_some(line)
    }

    /// The offset is too large to be believed (> 0: behind). Answers with the line of the log.
    pub fn panicked(&mut self, offset: f64, limit: f64, engine: &Engine, now: Now) -> String {
        self.state.events.note(system_event::PANIC);
        let status = system_status(&self.state.system(engine, now));
        let text = format!("panic_stop {offset:+.0} s; set clock manually within {limit:.0} s.");
        statistics::event_line("0.0.0.0", status, system_event::PANIC, &text)
    }

    /// Looks what has become of the sources; the lines are for the log.
    ///
    /// # Errors
    /// The first time that a statistics file cannot be written.
    pub fn watch(&mut self, engine: &Engine, gate: Option<&Gate>, now: Now) -> Result<Vec<String>, SysError> {
        if self.next_watch.is_some_and(|at| at > now.mono) {
            return Ok(Vec::new());
        }
        self.next_watch = Some(now.mono + WATCH);
        self.state.adopt(engine, now.mono);
        let mut lines = self.state.system_changes(engine, now);
        let peers = self.state.peer_changes(engine, now);
        let mut result = Ok(());
        if let Some(files) = &mut self.statistics {
            for line in lines.iter().chain(&peers) {
                result = result.and(files.write("protostats", now.clock, line));
            }
            if self.next_hour <= now.mono {
                self.next_hour = now.mono + HOUR;
                let uptime = self.state.uptime(now.mono);
                if let Some(gate) = gate {
                    let line = statistics::sysstats(uptime, gate.counters());
                    result = result.and(files.write("sysstats", now.clock, &line));
                }
            }
        }
        if self.state.logs_peers {
            lines.extend(peers);
        }
        if !self.logs_events {
            lines.clear();
        }
        result.map(|()| lines)
    }

    /// When [`Self::watch`] has something to look at even if nothing comes in.
    pub fn deadline(&self) -> Option<MonoTime> {
        // what changes without a packet changes when a request is sent, and that wakes the loop
        if self.statistics.as_ref().is_some_and(|files| !files.is_idle()) {
            Some(self.next_hour)
        } else {
            None
        }
    }
}

impl State {
    /// What ntpd calls local mode: 127.127.1.u with a local clock; the orphan is 127.0.0.1, `LOOP` at stratum 1.
    pub(super) fn own_refid(&self, refid: RefId, stratum: Stratum) -> RefId {
        match self.local {
            _ if refid.to_bits() != LOCAL_MODE => refid,
            Some(local) => RefId::from_bits(0x7F7F_0100 | u32::from(local.unit)),
            None if self.orphan && stratum.get() == 1 => RefId::from_ascii(*b"LOOP"),
            None if self.orphan => RefId::from_bits(0x7F00_0001),
            None => refid,
        }
    }

    pub(super) fn fresh_id(&mut self) -> AssocId {
        loop {
            let id = AssocId::new(self.next_id);
            self.next_id = self.next_id.wrapping_add(1).max(1);
            let taken = self.ids.values().any(|other| *other == id)
                || self.pools.iter().any(|(other, ..)| *other == id)
                || self.outlets.iter().any(|outlet| outlet.id == id)
                || self.local_id == id;
            if !taken {
                return id;
            }
        }
    }

    /// New sources get identifiers, gone ones lose theirs.
    fn adopt(&mut self, engine: &Engine, now: MonoTime) {
        if self.generation.replace(engine.generation()) != Some(engine.generation()) {
            self.ids.retain(|id, _| engine.source(*id).is_some());
            self.tracks.retain(|id, _| engine.source(*id).is_some());
            for (id, _) in engine.sources() {
                if !self.ids.contains_key(&id) {
                    let fresh = self.fresh_id();
                    self.ids.insert(id, fresh);
                    self.tracks.insert(id, Track::new(now));
                }
            }
        }
        if !self.begun {
            self.begun = true;
            for place in 0..self.pools.len() {
                let fresh = self.fresh_id();
                if let Some((id, _, events)) = self.pools.get_mut(place) {
                    *id = fresh;
                    track::note(events, event::MOBILIZE);
                }
            }
            if self.local.is_some() {
                self.local_id = self.fresh_id();
                track::note(&mut self.local_events, event::MOBILIZE);
                track::note(&mut self.local_events, event::REACHABLE);
            }
            for place in 0..self.outlets.len() {
                let fresh = self.fresh_id();
                self.outlets.get_mut(place).into_iter().for_each(|outlet| outlet.begin(fresh));
            }
        }
    }

    pub(super) fn uptime(&self, now: MonoTime) -> u64 {
        u64::try_from((now - self.started).as_nanos() / 1_000_000_000).unwrap_or(0)
    }

    /// How often the local clock was read.
    pub(super) fn local_polls(&self, now: MonoTime) -> u64 {
        let step = self.local.map_or(1, |clock| 1_i64 << clock.minpoll.clamp(3, 17));
        1 + u64::try_from((now - self.local_since).as_nanos() / 1_000_000_000 / step).unwrap_or(0)
    }

    fn system_changes(&mut self, engine: &Engine, now: Now) -> Vec<String> {
        let keeper = self.keeper(engine, now);
        let keeps = keeper != super::facts::Keeper::Nobody;
        let mut lines = Vec::new();
        if matches!(keeper, super::facts::Keeper::Source(_)) {
            (self.followed, self.stepped) = (true, false);
        }
        let by_local = keeper == super::facts::Keeper::Local;
        if by_local != std::mem::replace(&mut self.local_keeps, by_local) && by_local {
            track::note(&mut self.local_events, event::SYSTEM_PEER);
        }
        if keeps != std::mem::replace(&mut self.keeps, keeps) {
            let (number, text) = if keeps {
                (system_event::CLOCK_SYNC, "clock_sync")
            } else {
                (system_event::NO_SYSTEM_PEER, "no_sys_peer")
            };
            self.events.note(number);
            let status = system_status(&self.system(engine, now));
            lines.push(statistics::event_line("0.0.0.0", status, number, text));
        }
        lines
    }

    fn peer_changes(&mut self, engine: &Engine, now: Now) -> Vec<String> {
        let keeper = self.keeper(engine, now);
        let mut seen: Vec<(SourceId, u8)> = Vec::new();
        for (id, source) in engine.sources() {
            let facts = source.association.facts();
            let reach = facts.reach.bits();
            let Some(track) = self.tracks.get_mut(&id) else { continue };
            track.sent(facts.counters.sent, reach, source.association.options().minpoll, now.mono);
            let selected = keeper == super::facts::Keeper::Source(id);
            let mut happened = |number: u8| {
                track::note(&mut track.events, number);
                seen.push((id, number));
            };
            match (track.reach, reach) {
                (0, 1..) => happened(event::REACHABLE),
                (1.., 0) => happened(event::UNREACHABLE),
                _ => {}
            }
            if selected && !track.selected {
                happened(event::SYSTEM_PEER);
            }
            if (track.reach == 0) != (reach == 0) {
                track.reach_changed = now.mono;
            }
            (track.reach, track.selected) = (reach, selected);
        }
        seen.into_iter().filter_map(|(id, number)| self.peer_line(engine, id, number, now)).collect()
    }

    fn peer_line(&self, engine: &Engine, id: SourceId, number: u8, now: Now) -> Option<String> {
        let peer = self.association_of(engine, id, now)?;
        let status = crate::control::mode6::peer_status(&peer);
        let address = peer.source.ip().to_string();
        Some(statistics::event_line(&address, status, 0x80 | number, event::name(number)))
    }

    fn peerstats(&self, engine: &Engine, id: SourceId, now: Now) -> Option<String> {
        let peer = self.association_of(engine, id, now)?;
        let best = track::Best {
            offset: peer.offset,
            delay: peer.delay,
            dispersion: peer.dispersion,
            jitter: peer.jitter,
        };
        Some(statistics::peerstats(peer.source, crate::control::mode6::peer_status(&peer), &best))
    }
}
