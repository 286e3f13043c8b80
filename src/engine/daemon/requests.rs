//! What an operator asks of the daemon while it runs (chronyc.md 3.8).

use std::net::{IpAddr, SocketAddr};

use super::follow::refid_of;
use super::{
    Action, Change, ClockSource, Context, Engine, Event, Level, Line, Manner, Now, RefId, Rng, Source,
    SourceId, SourceOptions, named, selection,
};
use crate::auth::KeyRing;
use crate::engine::clock::Applied;
use crate::engine::manual::{Manual, Refused};
use crate::engine::options::{Kind, Local};
use crate::types::Timestamp;

/// A source of the list.
#[derive(Debug, Clone, Copy)]
pub enum Listed<'a> {
    /// It is a reference clock.
    Clock(SourceId, &'a ClockSource),
    /// It has an address.
    Known(SourceId, &'a Source),
    /// It is a name that was not found yet.
    Unresolved(SourceId, &'a SourceOptions),
}

impl Listed<'_> {
    /// Its number.
    pub const fn id(&self) -> SourceId {
        match self {
            Self::Clock(id, _) | Self::Known(id, _) | Self::Unresolved(id, _) => *id,
        }
    }
}

/// How a correction by hand is slewed while nothing is known of the clock: as if it were known to a millisecond.
const BY_HAND: Manner = Manner { offset_sd: 1e-3, rate_sd: 1e-6, interval: 64.0, counts: false };

/// An offset is slewed away as fast as `maxslewrate` allows.
const AT_ONCE: Manner = Manner { offset_sd: 1e-9, ..BY_HAND };

/// What `initstepslew` does to the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// It is stepped.
    Step,
    /// It is slewed, as fast as `maxslewrate` allows.
    Slew,
}

/// What a typed time did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settime {
    /// How far the clock was behind, s.
    pub offset: f64,
    /// How much more it gains than was thought, s/s.
    pub frequency_change: f64,
    /// What it gains uncorrected, s/s.
    pub frequency: f64,
}

impl Engine {
    /// All sources: reference clocks, then the others, in the order in which they were added.
    pub fn listed(&self) -> impl Iterator<Item = Listed<'_>> {
        self.listed_between(SourceId(0), SourceId(0))
    }

    /// The rest of the list, from this source on.
    pub fn listed_from(&self, first: SourceId) -> impl Iterator<Item = Listed<'_>> {
        if self.clocks.contains_key(&first) {
            self.listed_between(first, SourceId(0))
        } else {
            self.listed_between(SourceId(u32::MAX), first)
        }
    }

    fn listed_between(&self, clock: SourceId, other: SourceId) -> impl Iterator<Item = Listed<'_>> {
        let mut known = self.sources.range(other..).peekable();
        let mut names = self.names.unresolved().skip_while(move |(id, _)| *id < other).peekable();
        let others = std::iter::from_fn(move || {
            let name_is_first = match (known.peek(), names.peek()) {
                (Some((known, _)), Some((name, _))) => name < known,
                (None, Some(_)) => true,
                (_, None) => false,
            };
            if name_is_first {
                names.next().map(|(id, options)| Listed::Unresolved(id, options))
            } else {
                known.next().map(|(id, source)| Listed::Known(*id, source))
            }
        });
        self.clocks.range(clock..).map(|(id, clock)| Listed::Clock(*id, clock)).chain(others)
    }

    /// How many sources there are.
    pub fn count(&self) -> usize {
        self.clocks.len() + self.sources.len() + self.names.unresolved().count()
    }

    /// The reference ID that stands for an address.
    pub fn refid_of(address: IpAddr) -> RefId {
        refid_of(address)
    }

    /// A source that has an address.
    pub fn source(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(&id)
    }

    /// A source with an address of its own, unless another one has it.
    pub fn add_new_address(
        &mut self,
        now: Now,
        address: SocketAddr,
        options: &SourceOptions,
        rng: &mut dyn Rng,
    ) -> Option<SourceId> {
        let id = self.add_address(now, address, options, rng)?;
        self.log(Level::Info, format!("Added source {}", named(address.ip(), &options.name)));
        Some(id)
    }

    /// A source, or a pool, that has to be looked up first; the log tells of it.
    pub fn add_new_name(&mut self, now: Now, options: &SourceOptions) {
        let places = self.add_name(now, options);
        let name = &options.name;
        let text = match (options.kind, places.first()) {
            (Kind::Server | Kind::Peer, Some(id)) => format!("Added source ID#{:010} ({name})", id.0),
            _ => format!("Added pool {name}"),
        };
        self.log(Level::Info, text);
    }

    /// Removes what was configured so: a source, or all places of a pool.
    pub fn remove_configured(&mut self, now: Now, configured: &SourceOptions, rng: &mut dyn Rng) {
        let is_it =
            |options: &SourceOptions| (options.kind, &options.name) == (configured.kind, &configured.name);
        let ids: Vec<SourceId> = self
            .listed()
            .filter_map(|listed| match listed {
                Listed::Known(id, source) => is_it(source.association.options()).then_some(id),
                Listed::Unresolved(id, options) => is_it(options).then_some(id),
                Listed::Clock(..) => None,
            })
            .collect();
        let is_pool = configured.kind == Kind::Pool && !ids.is_empty();
        for id in ids {
            if is_pool {
                self.take_out(now, id, rng);
            } else {
                self.remove(now, id, rng);
            }
        }
        if is_pool {
            self.log(Level::Info, format!("Removed pool {}", configured.name));
        }
    }

    /// A source may be asked, or not.
    pub fn set_online(&mut self, now: Now, id: SourceId, online: bool, rng: &mut dyn Rng) {
        if let Some(options) = self.names.options_mut(id) {
            options.flags.offline = !online;
        } else {
            self.event(now, id, if online { Event::Online } else { Event::Offline }, rng);
        }
    }

    /// A source is asked quickly; one that is a name is not.
    pub fn burst(&mut self, now: Now, id: SourceId, good: u32, total: u32, rng: &mut dyn Rng) {
        self.event(now, id, Event::Burst { good, total }, rng);
    }

    /// An option of a source changes.
    pub fn change(&mut self, now: Now, id: SourceId, change: Change, rng: &mut dyn Rng) {
        if let Some(options) = self.names.options_mut(id) {
            change.apply(options);
            return;
        }
        if let Some(clock) = self.clocks.get_mut(&id) {
            if let Change::Offset(offset) = change
                && offset.is_finite()
            {
                clock.clock.options_mut().offset = offset;
            }
            return;
        }
        let earliest = now.mono;
        let Some(source) = self.sources.get_mut(&id) else { return };
        let context = Context {
            now,
            timeline: self.clock.timeline(),
            keys: &self.keys,
            host: &self.host,
            earliest,
            rng: &mut *rng,
        };
        source.association.change(&context, change);
        source.poll = f64::from(source.association.facts().poll);
        self.drain(now, id, rng);
    }

    /// Selection options of a source: those in `mask` become what `values` says.
    pub fn select_options(&mut self, id: SourceId, mask: selection::Options, values: selection::Options) {
        let change = |flags: [&mut bool; 4]| {
            let masks = [mask.noselect, mask.prefer, mask.trust, mask.require];
            let values = [values.noselect, values.prefer, values.trust, values.require];
            for ((flag, changes), value) in flags.into_iter().zip(masks).zip(values) {
                if changes {
                    *flag = value;
                }
            }
        };
        if let Some(clock) = self.clocks.get_mut(&id) {
            let f = &mut clock.clock.options_mut().flags;
            change([&mut f.noselect, &mut f.prefer, &mut f.trust, &mut f.require]);
            return;
        }
        let f = match (self.names.options_mut(id), self.sources.get_mut(&id)) {
            (Some(options), _) => &mut options.flags,
            (None, Some(source)) => source.association.flags_mut(),
            (None, None) => return,
        };
        change([&mut f.noselect, &mut f.prefer, &mut f.trust, &mut f.require]);
        self.update_options();
    }

    /// The choice is made anew.
    pub fn reselect(&mut self, now: Now, rng: &mut dyn Rng) {
        self.selection.reselect();
        self.select(now, rng);
    }

    /// The distance by which another source must win, s.
    pub const fn set_reselect_distance(&mut self, distance: f64) {
        self.settings.reselectdist = distance;
    }

    /// All samples are dropped; the clock counts as one that jumped.
    pub fn reset_sources(&mut self, now: Now, rng: &mut dyn Rng) {
        self.restart(now, rng);
        self.select(now, rng);
    }

    /// What is still to be slewed is stepped. Answers whether the clock is ours to step.
    pub fn make_step(&mut self, now: Now) -> bool {
        if !self.clock.is_controlled() {
            return false;
        }
        let delta = self.clock.step(now);
        self.forget_smoothing(now);
        self.log(Level::Warning, format!("System clock was stepped by {:.6} seconds", delta.as_secs_f64()));
        self.flush_clock();
        true
    }

    /// Offsets above the seconds are stepped in the next so many updates (below 0: always).
    pub const fn set_makestep(&mut self, threshold: f64, limit: i32) {
        self.clock.set_makestep(Some((threshold, limit)));
    }

    /// The offset (s) that is too large, from which update on, and how often it is let pass; `None`: none is. A clock that is
    /// not ours to set has no such limit.
    pub fn set_max_change(&mut self, limit: Option<(f64, i32, i32)>) {
        let limit = limit.filter(|_| self.clock.is_controlled());
        self.settings.maxchange = limit;
        self.clock.set_max_change(limit);
    }

    /// How fast a clock may go wrong at worst, ppm.
    pub const fn set_max_clock_error(&mut self, ppm: f64) {
        self.settings.maxclockerror = ppm;
        self.host.maxclockerror = ppm * 1e-6;
        self.reference.set_max_clock_error(ppm * 1e-6);
    }

    /// What a source needs to be followed: root distance (s) and strata at most, and how many have to agree.
    pub fn require(&mut self, now: Now, distance: f64, strata: (u8, u8), sources: u32, rng: &mut dyn Rng) {
        self.settings.maxdistance = distance;
        (self.settings.minstratum, self.settings.maxstratum) = strata;
        self.settings.minsources = sources;
        self.select(now, rng);
    }

    /// The largest skew of an update, ppm.
    pub const fn set_max_update_skew(&mut self, ppm: f64) {
        self.settings.maxupdateskew = ppm;
        self.clock.set_max_update_skew(ppm * 1e-6);
    }

    /// The clock lacks `offset` s more than was thought, and gains `rate` (s/s) more.
    pub fn adjust_by_hand(&mut self, now: Now, offset: f64, rate: f64) {
        if !(offset.is_finite() && rate.is_finite()) {
            return;
        }
        let manner = self.manner(now, false).unwrap_or(BY_HAND);
        let free = self.timeline().free(now.clock);
        let line = self.timeline().line();
        let told = Line { at: free, offset: line.offset_at(free).plus(offset), rate: line.rate - rate };
        self.clock.set_line(now, told, &manner);
        self.smooth(now, line);
        self.flush_clock();
    }

    /// Before the first update: the clock was found to lack `offset` s.
    pub fn correct_at_start(&mut self, now: Now, offset: f64, correction: Correction) {
        if !offset.is_finite() {
            return;
        }
        let free = self.timeline().free(now.clock);
        let line = self.timeline().line();
        let told = Line { at: free, offset: line.offset_at(free).plus(offset), ..line };
        self.clock.set_line(now, told, &AT_ONCE);
        match correction {
            Correction::Slew => {}
            Correction::Step if self.clock.is_controlled() => {
                self.clock.step(now);
            }
            Correction::Step => self.log(Level::Warning, "Could not step system clock".to_owned()),
        }
        self.flush_clock();
    }

    /// Local mode from now on; `None`: off.
    pub fn set_local(&mut self, local: Option<Local>) {
        self.reference.set_local(local);
    }

    /// The keys of the key file from now on.
    pub fn set_keys(&mut self, keys: KeyRing) {
        self.keys = keys;
    }

    /// The keys of the key file.
    pub const fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// The times typed in.
    pub const fn manual(&self) -> &Manual {
        &self.manual
    }

    /// The times typed in, to be switched or forgotten.
    pub const fn manual_mut(&mut self) -> &mut Manual {
        &mut self.manual
    }

    /// A human says that it is `time` now. The clock follows, which counts as an update and does not synchronise it.
    ///
    /// # Errors
    /// Manual input is off; the time makes no sense, or `maxchange` forbids it.
    pub fn set_time(&mut self, now: Now, time: Timestamp) -> Result<Settime, Refused> {
        let free = self.timeline().free(now.clock);
        let before = self.timeline().line();
        let told = self.manual.take(free, time, &before)?;
        let offset = told.offset_at(free).minus(before.offset_at(free));
        let frequency_change = before.rate - told.rate;
        self.log(
            Level::Info,
            if frequency_change == 0.0 {
                format!("Making a slew of {:.6}", -offset)
            } else {
                let ppm = frequency_change * 1e6;
                format!("Making a frequency change of {ppm:.3} ppm and a slew of {:.6}", -offset)
            },
        );
        let line = Line { rate: self.clock.limits().bound(told.rate), ..told };
        let manner = Manner { counts: true, ..self.manner(now, true).unwrap_or(BY_HAND) };
        match self.clock.follow(now, line, &manner, self.reference.updates()) {
            Applied::Slewed(_) => self.smooth(now, before),
            Applied::Stepped(_, delta) => {
                self.forget_smoothing(now);
                let secs = delta.as_secs_f64();
                self.log(Level::Warning, format!("System clock was stepped by {secs:.6} seconds"));
            }
            Applied::Ignored(_) => return Err(Refused::Senseless),
            Applied::GiveUp(_) => {
                self.gave_up = true;
                self.actions.push_back(Action::GiveUp);
                return Err(Refused::Senseless);
            }
        }
        self.reference.note(now.mono, offset);
        if offset.abs() > self.settings.logchange {
            self.log(Level::Warning, format!("System clock wrong by {offset:.6} seconds"));
        }
        self.flush_clock();
        Ok(Settime { offset, frequency_change, frequency: self.frequency() })
    }
}
