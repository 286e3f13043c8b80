//! Which sources are believed: chrony's selection with its letters, scores and messages (discipline.md §1.5, chronyc.md 3.3).
//!
//! Intervals that must hold the true time are intersected; the densest point decides, and it needs a majority. What is left is
//! ordered by a score that keeps the choice calm. Times are seconds; offsets are to be added, > 0: our clock is behind.

use std::collections::BTreeMap;

use super::measurement::SourceId;
use crate::types::{Leap, RefId};

/// A score above this one replaces the selected source.
const SCORE_LIMIT: f64 = 10.0;
/// Updates for which a source that was too far off to be combined stays so.
const DISTANT_PENALTY: u32 = 32;
/// Bad updates in a row before a line is logged about it.
const BAD_UPDATES: u32 = 4;
/// Polls in the reachability register.
const REGISTER: u8 = 8;

/// Where a source stands; the letters are those of `chronyc selectdata`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// `N`: `noselect`.
    NoSelect,
    /// `M`: not enough samples.
    MissingSamples,
    /// `s`: says itself that it is not synchronised.
    Unsynchronised,
    /// `r`: stratum outside of `minstratum` … `maxstratum`.
    BadStratum,
    /// `d`: root distance above `maxdistance`.
    BadDistance,
    /// `~`: jitter above `maxjitter`.
    Jittery,
    /// `w`: the selection waits for the samples of others.
    WaitsStats,
    /// `S`: unreachable, and older than what the reachable ones have.
    Stale,
    /// `O`: no better than our own orphan mode.
    Orphan,
    /// `T`: outside of what the trusted ones say.
    Untrusted,
    /// `x`: outside of what the majority says.
    Falseticker,
    /// `W`: `minsources` or `require` is not met.
    WaitsSources,
    /// `P`: another one is preferred.
    NonPreferred,
    /// `U`: waits for a sample after it was chosen.
    WaitsUpdate,
    /// `D`: too far from the best one to be combined.
    Distant,
    /// `+`: combined.
    Combined,
    /// `*`: selected.
    Selected,
}

impl Status {
    /// The letter of `chronyc selectdata`.
    pub const fn letter(self) -> char {
        match self {
            Self::NoSelect => 'N',
            Self::MissingSamples => 'M',
            Self::Unsynchronised => 's',
            Self::BadStratum => 'r',
            Self::BadDistance => 'd',
            Self::Jittery => '~',
            Self::WaitsStats => 'w',
            Self::Stale => 'S',
            Self::Orphan => 'O',
            Self::Untrusted => 'T',
            Self::Falseticker => 'x',
            Self::WaitsSources => 'W',
            Self::NonPreferred => 'P',
            Self::WaitsUpdate => 'U',
            Self::Distant => 'D',
            Self::Combined => '+',
            Self::Selected => '*',
        }
    }

    /// Whether it passed everything up to the intersection of intervals.
    pub const fn is_truechimer(self) -> bool {
        matches!(
            self,
            Self::WaitsSources
                | Self::NonPreferred
                | Self::WaitsUpdate
                | Self::Distant
                | Self::Combined
                | Self::Selected
        )
    }
}

/// Selection options in force for a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the configuration")]
#[expect(missing_docs, reason = "the names are those of the options in chrony.conf(5)")]
pub struct Options {
    pub noselect: bool,
    pub prefer: bool,
    pub trust: bool,
    pub require: bool,
}

/// What the samples of a source say at this moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stats {
    /// Lower end of the interval that holds the true offset, s.
    pub low: f64,
    /// Upper end of it, s.
    pub high: f64,
    /// Half its width: root delay/2 + root dispersion + age × skew of the best sample, s.
    pub root_distance: f64,
    /// Standard deviation of the samples, s.
    pub jitter: f64,
    /// Age of the oldest sample, s.
    pub first_ago: f64,
    /// Age of the newest sample, s.
    pub last_ago: f64,
    /// Rate of the clock against this source, s/s.
    pub frequency: f64,
    /// Bound on the error of `frequency`, s/s.
    pub skew: f64,
}

/// What is known of a source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Which.
    pub id: SourceId,
    /// Whether it is a reference clock.
    pub refclock: bool,
    /// Options in force.
    pub options: Options,
    /// What it says about leap seconds.
    pub leap: Leap,
    /// Its stratum, 0 … 16.
    pub stratum: u8,
    /// Reachability register.
    pub reach: u8,
    /// Valid bits in it.
    pub reach_size: u8,
    /// Whether it went without an answer for longer than `maxunreach` polls.
    pub given_up: bool,
    /// Whether it has a sample that no update has used yet.
    pub fresh: bool,
    /// Its reference ID, where that is smaller than ours as it sees us: of two in orphan mode it is the one that serves.
    pub senior: Option<RefId>,
    /// Its statistics; `None` with fewer than three samples.
    pub stats: Option<Stats>,
}

/// Parameters of the selection.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the directives in chrony.conf(5)")]
pub struct Limits {
    pub maxdistance: f64,
    pub maxjitter: f64,
    pub minstratum: u8,
    pub maxstratum: u8,
    pub reselectdist: f64,
    pub stratumweight: f64,
    pub combinelimit: f64,
    pub minsources: usize,
    /// s/s.
    pub maxclockerror: f64,
    /// Stratum of our own orphan mode.
    pub orphan: Option<u8>,
}

/// What the selection has to say to the log, once per change.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the texts are those of daemon-surface.md §6")]
pub enum Message {
    Selected(SourceId),
    NoMajority { agree: usize, of: usize, trusted: bool },
    NoAgreement { of: usize },
    NoSelectable { unreachable: usize },
    NotEnough,
    NoRequired,
    NoSources,
    Distance(SourceId),
    Jitter(SourceId),
    StratumBelow(SourceId),
    StratumAbove(SourceId),
    Falseticker(SourceId),
}

/// What a run of the selection decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What follows for the clock.
    pub decision: Decision,
    /// The vote of the believed sources about leap seconds.
    pub leap: Leap,
    /// What to log.
    pub messages: Vec<Message>,
}

/// What follows for the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is believed: unsynchronised.
    Lost,
    /// The choice stands; there is nothing new to learn.
    Keep,
    /// The clock may be updated from the selected source and those combined with it (the selected one first).
    Update(Vec<SourceId>),
}

#[derive(Debug, Clone, Copy)]
struct Memory {
    status: Status,
    score: f64,
    distant: u32,
    bad: u32,
    reported: Option<Status>,
    limits: (f64, f64),
    last_ago: f64,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            status: Status::MissingSamples,
            score: 1.0,
            distant: 0,
            bad: 0,
            reported: None,
            limits: (0.0, 0.0),
            last_ago: 0.0,
        }
    }
}

/// What `chronyc selectdata` shows about one source, as of the last run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown {
    /// Where it stands.
    pub status: Status,
    /// Its score.
    pub score: f64,
    /// Ends of its interval, s; > 0: our clock is behind.
    pub limits: (f64, f64),
    /// Age of its newest sample, s.
    pub last_ago: f64,
}

/// The selection's memory between runs.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    sources: BTreeMap<SourceId, Memory>,
    selected: Option<SourceId>,
    last_failure: Option<Failure>,
    /// Whether the first complaint may be logged: some register has filled.
    settled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Majority,
    Selectable,
    NotEnough,
    Required,
    Sources,
}

impl Selection {
    /// The selected source.
    pub const fn selected(&self) -> Option<SourceId> {
        self.selected
    }

    /// What the last run thought of a source.
    pub fn shown(&self, id: SourceId) -> Shown {
        let memory = self.sources.get(&id).copied().unwrap_or_default();
        Shown { status: memory.status, score: memory.score, limits: memory.limits, last_ago: memory.last_ago }
    }

    /// Whether a source was bad often enough in a row that another one should take its place.
    pub fn is_replaceable(&self, id: SourceId) -> bool {
        self.sources.get(&id).is_some_and(|memory| {
            memory.bad >= BAD_UPDATES
                && matches!(
                    memory.status,
                    Status::Falseticker | Status::BadDistance | Status::Jittery | Status::BadStratum
                )
        })
    }

    /// Forgets a source.
    pub fn remove(&mut self, id: SourceId) {
        self.sources.remove(&id);
        if self.selected == Some(id) {
            self.selected = None;
        }
    }

    /// Forgets the scores and the choice (`reselect`).
    pub fn reselect(&mut self) {
        self.selected = None;
        for memory in self.sources.values_mut() {
            memory.score = 1.0;
            memory.distant = 0;
        }
    }

    /// Judges all sources. `updated`: those that had a sample since the last run.
    pub fn run(&mut self, candidates: &[Candidate], updated: &[SourceId], limits: &Limits) -> Outcome {
        let mut messages = Vec::new();
        for candidate in candidates {
            self.sources.entry(candidate.id).or_default();
        }
        self.settled |= candidates.iter().any(|c| c.reach_size >= REGISTER);
        if candidates.is_empty() {
            return self.fail(Failure::Sources, Message::NoSources, messages);
        }
        let mut selectable = self.screen(candidates, limits);
        if selectable.is_empty() {
            self.note_bad(candidates, updated, limits, &mut messages);
            if candidates.iter().any(|c| self.status(c.id) == Status::WaitsStats) {
                return Outcome { decision: Decision::Keep, leap: Leap::Unsynchronised, messages };
            }
            let unreachable = candidates.iter().filter(|c| c.reach == 0).count();
            return self.fail(Failure::Selectable, Message::NoSelectable { unreachable }, messages);
        }
        if let Err(message) = self.intersect(&mut selectable) {
            self.note_bad(candidates, updated, limits, &mut messages);
            return self.fail(Failure::Majority, message, messages);
        }
        self.note_bad(candidates, updated, limits, &mut messages);
        if let Err((failure, message)) = self.require(candidates, &mut selectable, limits) {
            return self.fail(failure, message, messages);
        }
        let leap = vote(&selectable);
        let best = self.choose(&selectable, updated, limits, &mut messages);
        self.last_failure = None;
        let decision = self.combine(&selectable, best, limits);
        Outcome { decision, leap, messages }
    }

    /// What is remembered of a source.
    #[inline(never)] // one search for all that look: their code is cold whenever a sample comes
    fn memory(&mut self, id: SourceId) -> Option<&mut Memory> {
        self.sources.get_mut(&id)
    }

    fn status(&self, id: SourceId) -> Status {
        self.sources.get(&id).map_or(Status::MissingSamples, |memory| memory.status)
    }

    fn set(&mut self, id: SourceId, status: Status) {
        if let Some(memory) = self.memory(id) {
            memory.status = status;
            if !status.is_truechimer() {
                memory.score = 1.0;
                memory.distant = 0;
            }
        }
    }

    fn fail(&mut self, failure: Failure, message: Message, mut messages: Vec<Message>) -> Outcome {
        let had_one = self.selected.take().is_some();
        if (had_one || self.settled) && self.last_failure != Some(failure) {
            self.last_failure = Some(failure);
            messages.push(message);
        }
        Outcome { decision: Decision::Lost, leap: Leap::Unsynchronised, messages }
    }

    /// Sets the status of everything that cannot be selected; answers the rest.
    fn screen(&mut self, candidates: &[Candidate], limits: &Limits) -> Vec<(Candidate, Stats)> {
        let mut kept = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let verdict = first_fault(candidate, limits);
            if let (Some(stats), Some(memory)) = (candidate.stats, self.memory(candidate.id)) {
                let slack = limits.maxclockerror * (2.0 * stats.last_ago - stats.first_ago).max(0.0);
                memory.limits = (stats.low - slack, stats.high + slack);
                memory.last_ago = stats.last_ago;
            }
            match (verdict, candidate.stats) {
                (None, Some(stats)) => {
                    let slack = limits.maxclockerror * (2.0 * stats.last_ago - stats.first_ago).max(0.0);
                    let stats = Stats { low: stats.low - slack, high: stats.high + slack, ..stats };
                    kept.push((*candidate, stats));
                }
                (status, _) => self.set(candidate.id, status.unwrap_or(Status::MissingSamples)),
            }
        }
        if self.selected.is_none() && must_wait(candidates, &kept) {
            for (candidate, _) in kept.drain(..) {
                self.set(candidate.id, Status::WaitsStats);
            }
        }
        let oldest_reachable = kept
            .iter()
            .filter(|(c, _)| c.reach != 0)
            .map(|(_, s)| s.first_ago)
            .fold(f64::NEG_INFINITY, f64::max);
        self.drop_if(&mut kept, Status::Stale, |candidate, stats| {
            candidate.given_up
                || (candidate.reach == 0 && oldest_reachable.is_finite() && stats.last_ago > oldest_reachable)
        });
        if let Some(stratum) = limits.orphan {
            // while others are better than our orphan mode, those that are not are left out; when there are none, the one of
            // the smallest reference ID serves, and that may be ourselves
            let better = |c: &Candidate| c.refclock || c.stratum < stratum;
            let parent = match kept.iter().any(|(c, _)| better(c)) {
                true => None,
                false => kept
                    .iter()
                    .filter(|(c, _)| c.stratum == stratum)
                    .filter_map(|(c, _)| Some((c.senior?.to_bits(), c.id)))
                    .min()
                    .map(|(_, id)| id),
            };
            self.drop_if(&mut kept, Status::Orphan, |c, _| !better(c) && Some(c.id) != parent);
        }
        kept
    }

    fn drop_if(
        &mut self,
        kept: &mut Vec<(Candidate, Stats)>,
        status: Status,
        is_bad: impl Fn(&Candidate, &Stats) -> bool,
    ) {
        kept.retain(|(candidate, stats)| {
            let bad = is_bad(candidate, stats);
            if bad {
                self.set(candidate.id, status);
            }
            !bad
        });
    }

    /// Leaves those that agree with the majority.
    fn intersect(&mut self, kept: &mut Vec<(Candidate, Stats)>) -> Result<(), Message> {
        let trusted = kept.iter().filter(|(c, _)| c.options.trust).count();
        let (best, depth, trust_depth) = densest(kept);
        let (agree, of, of_trusted) =
            if trusted > 0 { (trust_depth, trusted, true) } else { (depth, kept.len(), false) };
        if agree * 2 <= of {
            for (candidate, _) in kept.iter() {
                self.set(candidate.id, Status::Falseticker);
            }
            return Err(if agree <= 1 && !of_trusted {
                Message::NoAgreement { of }
            } else {
                Message::NoMajority { agree, of, trusted: of_trusted }
            });
        }
        let inside = |stats: &Stats| {
            (stats.low <= best.0 && stats.high >= best.1) || (stats.low >= best.0 && stats.high <= best.1)
        };
        // what the trusted ones that agree leave open together
        let (low, high) = kept
            .iter()
            .filter(|(c, s)| c.options.trust && inside(s))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), (_, s)| (l.min(s.low), h.max(s.high)));
        self.drop_if(kept, Status::Untrusted, |candidate, stats| {
            trusted > 0 && !candidate.options.trust && (stats.low < low || stats.high > high)
        });
        self.drop_if(kept, Status::Falseticker, |candidate, stats| {
            !inside(stats) && (candidate.options.trust || trusted == 0)
        });
        Ok(())
    }

    fn require(
        &mut self,
        candidates: &[Candidate],
        kept: &mut Vec<(Candidate, Stats)>,
        limits: &Limits,
    ) -> Result<(), (Failure, Message)> {
        let required = candidates.iter().any(|c| c.options.require);
        let failure = if kept.len() < limits.minsources {
            Some((Failure::NotEnough, Message::NotEnough))
        } else if required && !kept.iter().any(|(c, _)| c.options.require) {
            Some((Failure::Required, Message::NoRequired))
        } else {
            None
        };
        if let Some(failure) = failure {
            for (candidate, _) in kept.iter() {
                self.set(candidate.id, Status::WaitsSources);
            }
            return Err(failure);
        }
        if kept.iter().any(|(c, _)| c.options.prefer) {
            self.drop_if(kept, Status::NonPreferred, |candidate, _| !candidate.options.prefer);
        }
        Ok(())
    }

    /// The best source, which stays the old one until another's score is ten times as good.
    fn choose(
        &mut self,
        kept: &[(Candidate, Stats)],
        updated: &[SourceId],
        limits: &Limits,
        messages: &mut Vec<Message>,
    ) -> SourceId {
        let least = kept.iter().map(|(c, _)| c.stratum).min().unwrap_or(0);
        let old = self.selected.filter(|id| kept.iter().any(|(c, _)| c.id == *id));
        let selected_is_refclock = old.is_some_and(|id| kept.iter().any(|(c, _)| c.id == id && c.refclock));
        let distance = |candidate: &Candidate, stats: &Stats| {
            let strata = f64::from(candidate.stratum.saturating_sub(least));
            let away = if Some(candidate.id) == old || (candidate.refclock && selected_is_refclock) {
                0.0
            } else {
                limits.reselectdist
            };
            (stats.root_distance + strata * limits.stratumweight + away).max(1e-9)
        };
        let reference = old.and_then(|id| kept.iter().find(|(c, _)| c.id == id)).map(|(c, s)| distance(c, s));
        let moved = old.is_some_and(|id| updated.contains(&id));
        let mut best: Option<(SourceId, f64)> = None;
        for (candidate, stats) in kept {
            let Some(memory) = self.memory(candidate.id) else { continue };
            let own = distance(candidate, stats);
            match reference {
                Some(_) if Some(candidate.id) == old => memory.score = 1.0,
                Some(reference) => {
                    // scores move with the samples of the source itself or of the one that it is held against
                    if updated.contains(&candidate.id) || moved {
                        memory.score = (memory.score * reference / own).max(1.0);
                    }
                }
                None => memory.score = 1.0 / own,
            }
            if best.is_none_or(|(_, score)| memory.score > score) {
                best = Some((candidate.id, memory.score));
            }
        }
        let winner = match (best, old) {
            (Some((_, score)), Some(old)) if score <= SCORE_LIMIT => old,
            (Some((id, _)), _) => id,
            (None, old) => old.unwrap_or(SourceId(0)),
        };
        if Some(winner) != self.selected {
            self.selected = Some(winner);
            messages.push(Message::Selected(winner));
            for memory in self.sources.values_mut() {
                memory.score = 1.0;
                memory.distant = 0;
                memory.reported = None;
            }
        }
        winner
    }

    fn combine(&mut self, kept: &[(Candidate, Stats)], best: SourceId, limits: &Limits) -> Decision {
        let Some((selected, own)) = kept.iter().find(|(c, _)| c.id == best) else { return Decision::Keep };
        if !selected.fresh {
            // nothing new from the one that decides
            for (candidate, _) in kept {
                let status = match self.status(candidate.id) {
                    old @ (Status::Combined | Status::Distant | Status::Selected) => old,
                    _ => Status::WaitsUpdate,
                };
                self.set(candidate.id, if candidate.id == best { Status::Selected } else { status });
            }
            return Decision::Keep;
        }
        self.set(best, Status::Selected);
        let mut used = Vec::with_capacity(kept.len());
        used.push(best);
        let reach = limits.combinelimit * (own.root_distance + limits.reselectdist);
        for (candidate, stats) in kept.iter().filter(|(c, _)| c.id != best) {
            let apart = (stats.frequency - own.frequency).abs();
            let near = stats.root_distance <= reach
                && apart <= limits.combinelimit * (stats.skew + own.skew + 2.0 * limits.maxclockerror);
            let Some(memory) = self.memory(candidate.id) else { continue };
            memory.distant = if near { memory.distant.saturating_sub(1) } else { DISTANT_PENALTY };
            if memory.distant > 0 {
                memory.status = Status::Distant;
            } else {
                memory.status = Status::Combined;
                used.push(candidate.id);
            }
        }
        Decision::Update(used)
    }

    /// Counts bad updates, and speaks up once about each.
    fn note_bad(
        &mut self,
        candidates: &[Candidate],
        updated: &[SourceId],
        limits: &Limits,
        messages: &mut Vec<Message>,
    ) {
        for candidate in candidates.iter().filter(|c| updated.contains(&c.id)) {
            let Some(memory) = self.memory(candidate.id) else { continue };
            let message = match memory.status {
                Status::BadDistance => Message::Distance(candidate.id),
                Status::Jittery => Message::Jitter(candidate.id),
                Status::Falseticker => Message::Falseticker(candidate.id),
                Status::BadStratum if candidate.stratum < limits.minstratum => {
                    Message::StratumBelow(candidate.id)
                }
                Status::BadStratum => Message::StratumAbove(candidate.id),
                _ => {
                    memory.bad = 0;
                    continue;
                }
            };
            memory.bad = memory.bad.saturating_add(1);
            if memory.bad >= BAD_UPDATES && memory.reported != Some(memory.status) {
                memory.reported = Some(memory.status);
                messages.push(message);
            }
        }
    }
}

fn first_fault(candidate: &Candidate, limits: &Limits) -> Option<Status> {
    if candidate.options.noselect {
        return Some(Status::NoSelect);
    }
    let Some(stats) = candidate.stats else { return Some(Status::MissingSamples) };
    if candidate.leap == Leap::Unsynchronised {
        return Some(Status::Unsynchronised);
    }
    if candidate.stratum < limits.minstratum || candidate.stratum > limits.maxstratum {
        return Some(Status::BadStratum);
    }
    // written so that what is no number is bad
    if !(stats.root_distance <= limits.maxdistance && stats.low <= stats.high) {
        return Some(Status::BadDistance);
    }
    (stats.jitter > limits.maxjitter).then_some(Status::Jittery)
}

/// Whether a source that was asked together with the others will have its statistics one poll later.
fn must_wait(candidates: &[Candidate], kept: &[(Candidate, Stats)]) -> bool {
    kept.iter().any(|(ready, _)| {
        candidates.iter().any(|other| {
            other.stats.is_none()
                && !other.options.noselect
                && other.reach != 0
                && other.reach_size < REGISTER
                && other.reach_size.checked_add(1) == Some(ready.reach_size)
                && ready.reach >> 1 == other.reach
        })
    })
}

/// The interval covered by most sources, trusted ones first: its ends, its depth, its depth in trusted ones.
fn densest(kept: &[(Candidate, Stats)]) -> ((f64, f64), usize, usize) {
    let mut ends: Vec<(f64, bool, bool)> = Vec::with_capacity(kept.len() * 2);
    for (candidate, stats) in kept {
        ends.push((stats.low, true, candidate.options.trust));
        ends.push((stats.high, false, candidate.options.trust));
    }
    // at one point intervals open before they close
    ends.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    let (mut depth, mut trust) = (0usize, 0usize);
    let mut best = ((0.0, 0.0), 0, 0);
    let mut open = false;
    for (at, is_low, trusted) in ends {
        if is_low {
            depth += 1;
            trust += usize::from(trusted);
            if (trust, depth) > (best.2, best.1) {
                best = ((at, at), depth, trust);
                open = true;
            }
        } else {
            if open {
                best.0.1 = at;
                open = false;
            }
            depth -= 1;
            trust -= usize::from(trusted);
        }
    }
    best
}

/// More than half of the sources, or of the trusted ones among them, decide about leap seconds.
fn vote(kept: &[(Candidate, Stats)]) -> Leap {
    let trusted = kept.iter().any(|(c, _)| c.options.trust);
    let voters = kept.iter().filter(|(c, _)| !trusted || c.options.trust);
    let (mut all, mut insert, mut delete) = (0usize, 0usize, 0usize);
    for (candidate, _) in voters {
        all += 1;
        insert += usize::from(candidate.leap == Leap::Add);
        delete += usize::from(candidate.leap == Leap::Delete);
    }
    if insert * 2 > all {
        Leap::Add
    } else if delete * 2 > all {
        Leap::Delete
    } else {
        Leap::None
    }
}

#[cfg(test)]
mod tests;
