//! What keeps the cost of a poll the same however many sources there are: what looks at all of them does so once in a while.

use std::collections::BTreeSet;

use super::SourceId;
use crate::types::{MonoTime, TimeDelta};

/// Up to so many sources are judged with every sample.
const FEW: usize = 32;
/// With more, so large a part of them has a sample before they are judged again …
const SHARE: usize = 8;
/// … or so much time passes.
const PATIENCE: TimeDelta = TimeDelta::from_secs(4);

/// When each source wants its turn.
#[derive(Debug, Default)]
pub(super) struct Due(BTreeSet<(MonoTime, SourceId)>);

impl Due {
    /// A source is due at another instant than before; `None`: not at all.
    pub(super) fn set(&mut self, id: SourceId, before: Option<MonoTime>, at: Option<MonoTime>) {
        if let Some(before) = before {
            self.0.remove(&(before, id));
        }
        self.0.extend(at.map(|at| (at, id)));
    }

    /// The first that comes.
    pub(super) fn next(&self) -> Option<MonoTime> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Those that are due by now, in the order in which they were made.
    pub(super) fn until(&self, now: MonoTime) -> Vec<SourceId> {
        let mut due: Vec<_> = self.0.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect();
        due.sort_unstable();
        due
    }
}

/// Whether so many sources are too many to be judged with every sample.
pub(super) const fn is_crowd(count: usize) -> bool {
    count > FEW
}

/// What waits until all sources are looked at again.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// Those that had a sample since.
    waiting: Vec<SourceId>,
    judged: Option<MonoTime>,
    /// Exponent of the shortest poll interval, for how many more questions it holds, and of which sources.
    shortest: Option<(i32, usize, u32)>,
}

impl Crowd {
    /// Whether all of `count` sources are to be judged now; `matters`: because of a sample that may change the clock.
    pub(super) fn is_time(&self, now: MonoTime, count: usize, matters: bool) -> bool {
        !is_crowd(count)
            || matters
            || self.waiting.len() >= count / SHARE
            || self.judged.is_none_or(|judged| now - judged >= PATIENCE)
    }

    /// This one is to be judged next time.
    pub(super) fn waits(&mut self, id: SourceId) {
        if !self.waiting.contains(&id) {
            self.waiting.push(id);
        }
    }

    /// They are judged now; answers those that have new samples.
    pub(super) fn judged(&mut self, now: MonoTime, updated: Option<SourceId>) -> Vec<SourceId> {
        self.judged = Some(now);
        updated.into_iter().for_each(|id| self.waits(id));
        std::mem::take(&mut self.waiting)
    }

    /// The shortest poll exponent of these sources, which `look` finds out.
    pub(super) fn shortest(&mut self, generation: u32, count: usize, look: impl FnOnce() -> i32) -> i32 {
        match &mut self.shortest {
            Some((shortest, left, of)) if *of == generation && *left > 0 => {
                *left -= 1;
                *shortest
            }
            _ => {
                let shortest = look();
                self.shortest = Some((shortest, if count <= FEW { 0 } else { count / SHARE }, generation));
                shortest
            }
        }
    }
}
