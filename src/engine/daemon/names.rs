//! Sources that are names: their places come from [`crate::engine::names`], their associations live here.

use std::net::{IpAddr, SocketAddr};

use super::{Action, Engine, Level, SourceId};
use crate::engine::names::{self, NameId};
use crate::engine::options::Source as SourceOptions;
use crate::engine::rng::Rng;
use crate::types::Now;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The only family that a source's options leave, if they leave but one.
    pub fn wanted(options: &SourceOptions) -> Option<Self> {
        match (options.flags.ipv4, options.flags.ipv6) {
            (true, false) => Some(Self::V4),
            (false, true) => Some(Self::V6),
            _ => None,
        }
    }
}

impl Engine {
    /// Adds a source that has to be looked up first. Answers its places: one, or those of a pool.
    pub fn add_name(&mut self, now: Now, options: &SourceOptions) -> Vec<SourceId> {
        let (_, places) = self.names.add(now.mono, options);
        places
    }

    /// Places that have no address yet, with the options of their name.
    pub fn unresolved(&self) -> impl Iterator<Item = (SourceId, &SourceOptions)> {
        self.names.unresolved()
    }

    /// The name behind a source, and its options; `None`: it was configured by its address.
    pub fn name_of(&self, id: SourceId) -> Option<(NameId, &SourceOptions)> {
        self.names.name_of(id).map(|(name, options, _)| (name, options))
    }

    /// Looks all names without an address up again at once (`online`).
    pub fn retry_names(&mut self, now: Now) {
        self.names.retry(now.mono);
    }

    /// Looks all names up again at once (`refresh`).
    pub fn refresh_names(&mut self, now: Now) {
        self.names.refresh_all(now.mono);
    }

    pub(super) fn resolved(&mut self, now: Now, name: NameId, answer: &names::Answer, rng: &mut dyn Rng) {
        let used: Vec<IpAddr> = self.sources.values().map(|s| s.association.address().ip()).collect();
        self.names.resolved(now.mono, name, answer, &|address| used.contains(&address));
        self.follow_names(now, rng);
    }

    /// A source answered, or is bad or dead: its name hears of it.
    pub(super) fn judge_place(&mut self, now: Now, id: SourceId, rng: &mut dyn Rng) {
        let Some(source) = self.sources.get(&id) else { return };
        if source.association.facts().unreachable >= DEAD_POLLS || self.selection.is_replaceable(id) {
            self.names.replace(now.mono, id, rng);
            self.follow_names(now, rng);
        }
    }

    /// Does what the names ask for.
    pub(super) fn follow_names(&mut self, now: Now, rng: &mut dyn Rng) {
        let mut changed = false;
        while let Some(effect) = self.names.poll() {
            match effect {
                names::Effect::Resolve { name, host } => {
                    let family = self.names.options(name).and_then(Family::wanted);
                    self.actions.push_back(Action::Resolve { name, host, family });
                }
                names::Effect::Assign { source, address } => {
                    self.assign(now, source, address, rng);
                    changed = true;
                }
                names::Effect::Remove { source } => {
                    self.drop_association(source);
                    changed = true;
                }
                names::Effect::Notice(notice) => self.log(Level::Warning, notice.text()),
            }
        }
        if changed {
            self.update_options();
            self.select(now, rng);
        }
    }

    fn assign(&mut self, now: Now, id: SourceId, address: SocketAddr, rng: &mut dyn Rng) {
        let Some(options) = self.names.name_of(id).map(|(_, options, _)| options.clone()) else { return };
        self.drop_association(id);
        self.begin(now, id, address, &options, rng);
    }

    /// Forgets the association of a place. Answers whether there was one.
    pub(super) fn drop_association(&mut self, id: SourceId) -> bool {
        let gone = self.sources.remove(&id);
        if let Some(source) = &gone {
            self.due.set(id, source.due, None);
            self.generation = self.generation.wrapping_add(1);
            self.actions.push_back(Action::Close(id));
            self.selection.remove(id);
            self.bank.remove(id);
        }
        gone.is_some()
    }
}

/// A source that did not answer so often in a row is dead.
const DEAD_POLLS: u32 = 8;
