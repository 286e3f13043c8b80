//! Names of sources: when they are resolved, which of their addresses are used, and when another one takes over.
//!
//! Literal addresses never wait here. A `server` or `peer` name has one place, a `pool` has twice its `maxsources` until that many of
//! its members have answered; a place without an address is what chronyc shows as `ID#0000000001` (chronyc.md 3.2).
//! The resolver is asked by [`Effect::Resolve`] and answers with [`Names::resolved`].

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use super::measurement::SourceId;
use super::options::{Kind, Source};
use super::rng::Rng;
use crate::types::{MonoTime, TimeDelta};

/// Most members of a pool.
const MAX_MEMBERS: usize = 16;
/// The pause after the first failure; each further one doubles it.
const FIRST_RETRY: TimeDelta = TimeDelta::from_secs(2);
/// The longest pause between tries, and between replacements.
const LAST_RETRY: TimeDelta = TimeDelta::from_secs(3584);
/// When the pause is this long, a one-shot run waits no longer.
const PATIENCE: TimeDelta = TimeDelta::from_secs(16);
/// Addresses of one answer that are looked at.
const MAX_ADDRESSES: usize = 256;

/// A name of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameId(pub u32);

/// What the resolver said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These addresses, in its order.
    Addresses(Vec<IpAddr>),
    /// It may know later.
    Later,
    /// The name cannot be one.
    Never,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask the resolver, then call [`Names::resolved`].
    Resolve {
        /// Which.
        name: NameId,
        /// What to ask for.
        host: String,
    },
    /// This place has an address now: start an association. If it had one, that one is gone.
    Assign {
        /// The place.
        source: SourceId,
        /// Its address.
        address: SocketAddr,
    },
    /// The place is gone, with its association if it had one.
    Remove {
        /// The place.
        source: SourceId,
    },
    /// Something to log.
    Notice(Notice),
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The name cannot be resolved, ever.
    Invalid(String),
    /// A bad source gave its place to another one.
    Replaced {
        /// What it was.
        old: IpAddr,
        /// What it is.
        new: IpAddr,
        /// The name of both.
        name: String,
    },
    /// The name has another address now.
    Changed {
        /// What it was.
        old: IpAddr,
        /// What it is.
        new: IpAddr,
        /// The name of both.
        name: String,
    },
}

impl Notice {
    /// The line of the log, in chronyd's words.
    pub fn text(&self) -> String {
        match self {
            Self::Invalid(name) => format!("Invalid host {name}"),
            Self::Replaced { old, new, name } => format!("Source {old} replaced with {new} ({name})"),
            Self::Changed { old, new, name } => format!("Source {old} changed to {new} ({name})"),
        }
    }
}

/// A place for one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    source: SourceId,
    address: Option<IpAddr>,
    /// Whether it answered: only so many members of a pool stay.
    confirmed: bool,
    /// When its address was resolved.
    since: MonoTime,
}

/// Why a name is being resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Places are empty.
    Fill,
    /// This place holds a bad source.
    Replace(SourceId),
    /// This place's address is old.
    Refresh(SourceId),
}

#[derive(Debug)]
struct Name {
    options: Source,
    places: Vec<Place>,
    /// The pause before the next try.
    pause: TimeDelta,
    due: Option<MonoTime>,
    /// Asked and not answered.
    asked: Option<Purpose>,
    /// Whether the resolver answered something that will not change soon.
    tried: bool,
}

impl Name {
    fn is_pool(&self) -> bool {
        self.options.kind == Kind::Pool
    }

    fn has_empty_places(&self) -> bool {
        self.places.iter().any(|place| place.address.is_none())
    }

    /// How many members are wanted.
    fn wanted(&self) -> usize {
        if self.is_pool() {
            usize::try_from(self.options.maxsources).unwrap_or(MAX_MEMBERS).clamp(1, MAX_MEMBERS)
        } else {
            1
        }
    }

    fn accepts(&self, address: IpAddr) -> bool {
        let flags = self.options.flags;
        match address {
            IpAddr::V4(_) => flags.ipv4 || !flags.ipv6,
            IpAddr::V6(_) => flags.ipv6 || !flags.ipv4,
        }
    }
}

/// All names, and the numbers of all sources.
#[derive(Debug)]
pub struct Names {
    names: BTreeMap<NameId, Name>,
    next_name: u32,
    next_source: u32,
    /// No replacement before.
    replace_after: MonoTime,
    /// Interval of `refresh`; `None`: never.
    refresh: Option<TimeDelta>,
    effects: VecDeque<Effect>,
}

impl Names {
    /// No names. `refresh`: after so long the oldest address is resolved again.
    pub fn new(refresh: Option<TimeDelta>) -> Self {
        Self {
            names: BTreeMap::new(),
            next_name: 1,
            next_source: 1,
            replace_after: MonoTime::ZERO,
            refresh: refresh.filter(|refresh| *refresh > TimeDelta::ZERO),
            effects: VecDeque::new(),
        }
    }

    /// A number for a new source, e.g. one with a literal address.
    pub fn allocate(&mut self) -> SourceId {
        let id = SourceId(self.next_source);
        self.next_source = self.next_source.saturating_add(1);
        id
    }

    /// A name that is to be resolved at once. Answers its number and its places, which are empty.
    pub fn add(&mut self, now: MonoTime, options: &Source) -> (NameId, Vec<SourceId>) {
        let id = NameId(self.next_name);
        self.next_name = self.next_name.saturating_add(1);
        let mut name = Name {
            options: options.clone(),
            places: Vec::new(),
            pause: FIRST_RETRY,
            due: Some(now),
            asked: None,
            tried: false,
        };
        let places = if name.is_pool() { (2 * name.wanted()).min(MAX_MEMBERS) } else { 1 };
        for _ in 0..places {
            let source = self.allocate();
            name.places.push(Place { source, address: None, confirmed: false, since: now });
        }
        let sources = name.places.iter().map(|place| place.source).collect();
        self.names.insert(id, name);
        (id, sources)
    }

    /// The next thing to do; `None`: nothing until the next call.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Names::timer`] is due.
    pub fn next_timeout(&self) -> Option<MonoTime> {
        let due = self.names.values().filter(|name| name.asked.is_none()).filter_map(|name| name.due).min();
        let refresh = self.oldest().and_then(|(_, place)| self.refresh.map(|refresh| place.since + refresh));
        [due, refresh].into_iter().flatten().min()
    }

    /// The place whose address was resolved longest ago, of names that are not being asked for.
    fn oldest(&self) -> Option<(NameId, Place)> {
        let idle = self.names.iter().filter(|(_, name)| name.asked.is_none());
        idle.flat_map(|(id, name)| name.places.iter().map(move |place| (*id, *place)))
            .filter(|(_, place)| place.address.is_some())
            .min_by_key(|(_, place)| place.since)
    }

    /// Time passed.
    pub fn timer(&mut self, now: MonoTime) {
        let due: Vec<NameId> = self
            .names
            .iter()
            .filter(|(_, name)| name.asked.is_none() && name.due.is_some_and(|due| due <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.ask(id, Purpose::Fill);
        }
        if let Some(((id, place), refresh)) = self.oldest().zip(self.refresh)
            && place.since + refresh <= now
        {
            self.ask(id, Purpose::Refresh(place.source));
        }
    }

    fn ask(&mut self, id: NameId, purpose: Purpose) {
        let Some(name) = self.names.get_mut(&id) else { return };
        if name.asked.is_none() {
            name.asked = Some(purpose);
            name.due = None;
            self.effects.push_back(Effect::Resolve { name: id, host: name.options.name.clone() });
        }
    }

    /// All names with empty places are asked for at once (`online`).
    pub fn retry(&mut self, now: MonoTime) {
        for name in self.names.values_mut().filter(|name| name.has_empty_places()) {
            name.pause = FIRST_RETRY;
            name.due = Some(now);
        }
        self.timer(now);
    }

    /// All names are asked for at once (`chronyc refresh`).
    pub fn refresh_all(&mut self, now: MonoTime) {
        self.retry(now);
        let oldest: Vec<(NameId, SourceId)> = self
            .names
            .iter()
            .filter_map(|(id, name)| {
                let places = name.places.iter().filter(|place| place.address.is_some());
                places.min_by_key(|place| place.since).map(|place| (*id, place.source))
            })
            .collect();
        for (id, source) in oldest {
            self.ask(id, Purpose::Refresh(source));
        }
    }

    /// A source is dead or false: another address of its name may take its place. Not more often than once per random 0 … 3584 s,
    /// and never for a literal address.
    pub fn replace(&mut self, now: MonoTime, source: SourceId, rng: &mut dyn Rng) {
        if now < self.replace_after {
            return;
        }
        let Some((id, name)) = self.names.iter().find(|(_, name)| holds(name, source)) else { return };
        if name.asked.is_some() {
            return;
        }
        let id = *id;
        let pause = i64::try_from(rng.next_u64() % LAST_RETRY.as_nanos().unsigned_abs()).unwrap_or_default();
        self.replace_after = now + TimeDelta::from_nanos(pause);
        self.ask(id, Purpose::Replace(source));
    }

    /// The resolver answered. `in_use` says which addresses other sources have.
    pub fn resolved(&mut self, now: MonoTime, id: NameId, answer: &Answer, in_use: &dyn Fn(IpAddr) -> bool) {
        let Some(name) = self.names.get_mut(&id) else { return };
        let Some(purpose) = name.asked.take() else { return };
        name.tried |= *answer != Answer::Later || name.pause >= PATIENCE;
        let addresses = match answer {
            Answer::Addresses(addresses) => addresses.as_slice(),
            Answer::Later => &[],
            Answer::Never => {
                self.effects.push_back(Effect::Notice(Notice::Invalid(name.options.name.clone())));
                return;
            }
        };
        let held: Vec<IpAddr> = name.places.iter().filter_map(|place| place.address).collect();
        let mut fresh: VecDeque<IpAddr> = VecDeque::new();
        for address in addresses.iter().take(MAX_ADDRESSES).filter(|address| name.accepts(**address)) {
            if !held.contains(address) && !fresh.contains(address) && !in_use(*address) {
                fresh.push_back(*address);
            }
        }
        match purpose {
            Purpose::Fill => {}
            Purpose::Replace(source) => {
                exchange(name, source, fresh.pop_front(), now, &mut self.effects, true)
            }
            Purpose::Refresh(source) => {
                let place = name.places.iter_mut().find(|place| place.source == source);
                if let Some(place) = place {
                    place.since = now;
                    // an address that the name still has stays; so does one of a name that nobody knows just now
                    let gone =
                        !addresses.is_empty() && place.address.is_some_and(|old| !addresses.contains(&old));
                    let new = if gone { fresh.pop_front() } else { None };
                    exchange(name, source, new, now, &mut self.effects, false);
                }
            }
        }
        let port = name.options.port;
        for place in name.places.iter_mut().filter(|place| place.address.is_none()) {
            let Some(address) = fresh.pop_front() else { break };
            (place.address, place.since) = (Some(address), now);
            let address = SocketAddr::new(address, port);
            self.effects.push_back(Effect::Assign { source: place.source, address });
        }
        name.due = None;
        if name.has_empty_places() {
            name.due = Some(now + name.pause);
            name.pause = (name.pause * 2).min(LAST_RETRY);
        } else {
            name.pause = FIRST_RETRY;
        }
    }

    /// A source answered. Once enough members of a pool have, the others are let go.
    pub fn confirmed(&mut self, source: SourceId) {
        let Some(name) = self.names.values_mut().find(|name| holds(name, source)) else { return };
        for place in name.places.iter_mut().filter(|place| place.source == source) {
            place.confirmed = true;
        }
        if name.is_pool() && name.places.iter().filter(|place| place.confirmed).count() >= name.wanted() {
            for place in name.places.iter().filter(|place| !place.confirmed) {
                self.effects.push_back(Effect::Remove { source: place.source });
            }
            name.places.retain(|place| place.confirmed);
            name.due = None;
        }
    }

    /// A source is removed by command; with its last place its name goes.
    pub fn remove(&mut self, source: SourceId) {
        for name in self.names.values_mut() {
            name.places.retain(|place| place.source != source);
        }
        self.names.retain(|_, name| !name.places.is_empty());
    }

    /// A name is removed with all its places (`reload sources`); answers them.
    pub fn remove_name(&mut self, id: NameId) -> Vec<SourceId> {
        let name = self.names.remove(&id);
        name.map_or_else(Vec::new, |name| name.places.iter().map(|place| place.source).collect())
    }

    /// Whether every name was looked up as often as a one-shot run is ready to wait.
    pub fn has_tried_all(&self) -> bool {
        self.names.values().all(|name| name.tried)
    }

    /// The options of the name behind a place that has no address yet.
    pub fn options_mut(&mut self, source: SourceId) -> Option<&mut Source> {
        let empty = |name: &Name| name.places.iter().any(|p| p.source == source && p.address.is_none());
        self.names.values_mut().find(|name| empty(name)).map(|name| &mut name.options)
    }

    /// The options of a name.
    pub fn options(&self, id: NameId) -> Option<&Source> {
        self.names.get(&id).map(|name| &name.options)
    }

    /// The name behind a source, and its address if it has one.
    pub fn name_of(&self, source: SourceId) -> Option<(NameId, &Source, Option<IpAddr>)> {
        self.names.iter().find_map(|(id, name)| {
            let place = name.places.iter().find(|place| place.source == source)?;
            Some((*id, &name.options, place.address))
        })
    }

    /// Places without an address (`activity`: sources with unknown address).
    pub fn unresolved(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        self.names.values().flat_map(|name| {
            let empty = name.places.iter().filter(|place| place.address.is_none());
            empty.map(|place| (place.source, &name.options))
        })
    }
}

fn holds(name: &Name, source: SourceId) -> bool {
    name.places.iter().any(|place| place.source == source)
}

/// Gives a place another address, if there is one.
fn exchange(
    name: &mut Name,
    source: SourceId,
    new: Option<IpAddr>,
    now: MonoTime,
    effects: &mut VecDeque<Effect>,
    bad: bool,
) {
    let (host, port) = (name.options.name.clone(), name.options.port);
    let place = name.places.iter_mut().find(|place| place.source == source);
    let Some((place, new)) = place.zip(new) else { return };
    let old = place.address.replace(new);
    (place.confirmed, place.since) = (false, now);
    effects.push_back(Effect::Assign { source, address: SocketAddr::new(new, port) });
    if let Some(old) = old {
        let notice = if bad {
            Notice::Replaced { old, new, name: host }
        } else {
            Notice::Changed { old, new, name: host }
        };
        effects.push_back(Effect::Notice(notice));
    }
}

#[cfg(test)]
mod tests;
