//! Sources that are names: looked up in rounds until they have their addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::{Engine, Level, SourceId, named};
use crate::engine::options::{Kind, Source as SourceOptions};
use crate::engine::rng::Rng;
use crate::types::{MonoTime, Now, TimeDelta};

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What looking a name up gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Its addresses.
    Found(Vec<IpAddr>),
    /// Nothing now; worth another try.
    Later,
    /// There is no such name.
    Never,
}

/// First pause between two tries, log2 s …
const FIRST_RETRY: u32 = 1;
/// … and the longest.
const LAST_RETRY: u32 = 12;
/// The longest pause, s.
const LONGEST_RETRY: i64 = 3584;
/// Members of one pool, at most.
const MAX_MEMBERS: usize = 16;

#[derive(Debug, Clone)]
struct Pending {
    options: SourceOptions,
    tries: u32,
    /// `None`: the answer is awaited.
    due: Option<MonoTime>,
}

/// The names that wait for an address.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pending: BTreeMap<SourceId, Pending>,
}

impl Names {
    pub(super) fn add(&mut self, id: SourceId, options: SourceOptions, now: MonoTime) {
        self.pending.insert(id, Pending { options, tries: 0, due: Some(now) });
    }

    pub(super) fn remove(&mut self, id: SourceId) -> bool {
        self.pending.remove(&id).is_some()
    }

    pub(super) fn next_timeout(&self) -> Option<MonoTime> {
        self.pending.values().filter_map(|p| p.due).min()
    }

    /// The names whose turn has come.
    pub(super) fn due(&mut self, now: MonoTime) -> Vec<(SourceId, String, Option<Family>)> {
        let mut due = Vec::new();
        for (id, pending) in &mut self.pending {
            if pending.due.is_some_and(|t| t <= now) {
                pending.due = None;
                let family = match (pending.options.flags.ipv4, pending.options.flags.ipv6) {
                    (true, false) => Some(Family::V4),
                    (false, true) => Some(Family::V6),
                    _ => None,
                };
                due.push((*id, pending.options.name.clone(), family));
            }
        }
        due
    }

    pub(super) fn has_tried_all(&self) -> bool {
        self.pending.values().all(|pending| pending.tries > 0 && pending.due.is_some())
    }

    /// Tries all again at once.
    pub(super) fn hurry(&mut self, now: MonoTime) {
        for pending in self.pending.values_mut().filter(|p| p.due.is_some()) {
            pending.due = Some(now);
        }
    }

    pub(super) fn options_mut(&mut self, id: SourceId) -> Option<&mut SourceOptions> {
        self.pending.get_mut(&id).map(|pending| &mut pending.options)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SourceId, &SourceOptions)> {
        self.pending.iter().map(|(id, pending)| (*id, &pending.options))
    }

    fn retry(&mut self, id: SourceId, now: MonoTime) {
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.tries = (pending.tries + 1).min(LAST_RETRY);
            let pause = (1i64 << (FIRST_RETRY + pending.tries - 1).min(LAST_RETRY)).min(LONGEST_RETRY);
            pending.due = Some(now + TimeDelta::from_secs(pause));
        }
    }
}

impl Engine {
    /// Sources that have no address yet.
    pub fn unresolved(&self) -> impl Iterator<Item = (SourceId, &SourceOptions)> {
        self.names.iter()
    }

    /// Looks all names up again at once (`online`, `refresh`).
    pub fn retry_names(&mut self, now: Now) {
        self.names.hurry(now.mono);
    }

    pub(super) fn resolved(&mut self, now: Now, id: SourceId, result: Lookup, rng: &mut dyn Rng) {
        let Some(pending) = self.names.pending.get(&id) else { return };
        let options = pending.options.clone();
        let addresses = match result {
            Lookup::Found(addresses) => addresses,
            Lookup::Later => return self.names.retry(id, now.mono),
            Lookup::Never => {
                self.names.pending.remove(&id);
                return self.log(Level::Warning, format!("Invalid host {}", options.name));
            }
        };
        let wanted = match options.kind {
            Kind::Pool => usize::try_from(options.maxsources).unwrap_or(MAX_MEMBERS).min(MAX_MEMBERS),
            Kind::Server | Kind::Peer => 1,
        };
        let mut begun = 0;
        for address in addresses {
            if begun == wanted {
                break;
            }
            let taken = self.sources.values().any(|s| s.association.address().ip() == address);
            if taken {
                continue;
            }
            // the first one keeps the number of the name
            let member = if begun == 0 { id } else { self.fresh_id() };
            let to = SocketAddr::new(address, options.port);
            self.begin(now, member, to, &options, rng);
            self.log(Level::Info, format!("Added source {}", named(address, &options.name)));
            begun += 1;
        }
        if begun == 0 {
            return self.names.retry(id, now.mono);
        }
        self.names.pending.remove(&id);
        self.update_options();
    }
}
