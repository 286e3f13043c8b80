//! The daemon's core: sources are asked, judged and combined; the clock follows what they agree on.
//!
//! Contract: one [`Engine::handle`], then [`Engine::poll`] until `None`, then wait for [`Engine::next_timeout`] or the next input. Time,
//! packets and randomness come in as values; the same inputs give the same actions, byte for byte.
//!
//! Associations ([`super::association`]) fill a register each; the selection ([`super::selection`]) says whom to believe; the bank
//! ([`super::bank`]) estimates the free clock from those; [`super::clock`] makes steps, slews and rates of it; [`super::reference`]
//! holds what is told about us. Plain requests of clients do not pass here (`engine::server`).

mod clocks;
mod contract;
mod crowd;
mod dump;
mod follow;
mod leap;
mod listen;
mod names;
mod requests;
mod smooth;
mod telling;
mod timers;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

pub use self::clocks::{ClockReading, ClockSource};
pub use self::contract::{Action, Input, Level, Setup};
use self::crowd::{Crowd, Due};
pub use self::dump::{DumpedSample, SourceDump};
pub use self::names::Family;
pub use self::requests::{Correction, Listed, Settime};
use super::association::{
    Association, Broadcaster, Change, Context, Effect, Event, Host, Notice, Stamp, Start,
};
use super::bank::Bank;
use super::clock::{Clock, ClockCommand, Jump, Manner};
use super::fallback::Fallback;
use super::manual::Manual;
use super::measurement::{Measurement, SourceId};
use super::names::Names;
pub use super::names::{Answer as Lookup, NameId};
use super::options::{AuthSelectMode, Kind, Settings, Source as SourceOptions};
use super::record::{Record, Whom};
use super::reference::{Reference, Tracking};
use super::rng::Rng;
use super::selection::{self, Candidate, Decision, Selection, Status};
use super::server::Snapshot;
use super::smoothing::Smoothing;
use super::timeline::{KernelRate, Line, Timeline};
use crate::auth::KeyRing;
use crate::types::{Frequency, KeyId, Leap, LogInterval, Mode, MonoTime, Now, RefId, TimeDelta, Timestamp};

/// The kernel's own bound on the error grows at 500 ppm and means "unsynchronised" at 16 s: it is renewed before.
const STATUS_INTERVAL: TimeDelta = TimeDelta::from_secs(4 * 3600);
/// Requests after which a one-shot run gives a source up …
const LAST_CHANCE: usize = 7;
/// … or earlier, when so many samples cannot come together any more.
const USABLE: usize = 3;
/// Polls between two extra requests to a source.
const EXTRA_EVERY: u32 = 8;

/// A source that has an address.
#[derive(Debug)]
pub struct Source {
    /// As it was configured.
    pub name: String,
    /// Its association.
    pub association: Association,
    /// Selection options in force.
    pub effective: selection::Options,
    fresh: bool,
    fed: bool,
    /// Poll exponent as the discipline wants it.
    poll: f64,
    /// Polls until another extra request may be asked for.
    calm: u32,
    course: Course,
    /// As [`Due`] knows it.
    due: Option<MonoTime>,
}

/// What statistics.log said about a source last.
#[derive(Debug, Clone, Copy)]
struct Course {
    /// s/s.
    frequency: f64,
    /// s/s.
    skew: f64,
    samples: usize,
}

impl Default for Course {
    fn default() -> Self {
        Self { frequency: 0.0, skew: 2000e-6, samples: 0 }
    }
}

/// The daemon's core.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    start: Start,
    clock: Clock,
    bank: Bank,
    selection: Selection,
    reference: Reference,
    manual: Manual,
    sources: BTreeMap<SourceId, Source>,
    /// When each of them is due.
    due: Due,
    crowd: Crowd,
    clocks: BTreeMap<SourceId, ClockSource>,
    names: Names,
    fallback: Fallback,
    /// `smoothtime`.
    smoothing: Option<Smoothing>,
    leaps: leap::Leaps,
    /// Whether the bank was fed by reference clocks last.
    by_clock: bool,
    broadcasts: Vec<Broadcaster>,
    /// What becomes of broadcasts of others.
    listen: listen::Listen,
    keys: KeyRing,
    host: Host,
    precision: LogInterval,
    actions: VecDeque<Action>,
    commands: VecDeque<ClockCommand>,
    /// When the last request left.
    last_send: Option<MonoTime>,
    /// Moves of the estimate since the last update that was told.
    untold: f64,
    status_due: Option<MonoTime>,
    drift_due: Option<MonoTime>,
    /// What the drift file would say: frequency and skew, s/s.
    learnt: Option<(f64, f64)>,
    leap: Leap,
    /// What the last update left to be corrected.
    combined: usize,
    /// The last input.
    last: Now,
    /// Counts associations that came and went.
    generation: u32,
    /// Until when nothing is said of interference: two daemons that fight would fill the log.
    quiet_until: Option<MonoTime>,
    /// The daemon was told to end; the clock is not touched any more.
    gave_up: bool,
    /// Whether statistics.log and selection.log are kept.
    details: bool,
}

impl Engine {
    /// An engine that begins now.
    pub fn new(now: Now, setup: Setup) -> Self {
        let mut clock = Clock::new(now, setup.setting, setup.controlled, &setup.settings);
        let mut bank = Bank::new(setup.settings.maxsamples);
        if let Some((frequency, skew)) = setup.drift {
            let rate = clock.rate_for(frequency * 1e-6);
            clock.set_initial_rate(now, rate);
            bank.set_rate_prior(rate, skew * 1e-6);
        } else if !setup.controlled {
            // who steers it probably does it well
            bank.expect_rate(clock.rate_for(0.0));
        }
        let precision = LogInterval::of_precision(setup.precision);
        let mut reference = Reference::new(setup.settings.local, setup.settings.maxclockerror * 1e-6);
        reference.begin(now.mono);
        let mut engine = Self {
            start: setup.start,
            clock,
            bank,
            selection: Selection::default(),
            sources: BTreeMap::new(),
            due: Due::default(),
            crowd: Crowd::default(),
            clocks: BTreeMap::new(),
            leaps: leap::Leaps::default(),
            fallback: Fallback::new(setup.settings.fallbackdrift),
            smoothing: setup.settings.smoothing.map(|options| Smoothing::new(&options, now.mono)),
            by_clock: false,
            names: Names::new(TimeDelta::from_secs_f64(f64::from(setup.settings.refresh))),
            keys: setup.keys,
            host: Host {
                snapshot: reference.snapshot(now.clock, now.mono, precision),
                precision: setup.precision,
                serving: setup.serving,
                maxclockerror: setup.settings.maxclockerror * 1e-6,
                released: setup.released,
            },
            reference,
            manual: Manual::default(),
            precision,
            actions: VecDeque::new(),
            commands: VecDeque::new(),
            last_send: None,
            untold: 0.0,
            status_due: Some(now.mono),
            drift_due: Some(now.mono + TimeDelta::from_secs(i64::from(setup.settings.drift_interval))),
            learnt: setup.drift.map(|(frequency, skew)| (frequency * 1e-6, skew * 1e-6)),
            leap: Leap::None,
            combined: 0,
            broadcasts: Vec::new(),
            listen: listen::Listen::default(),
            last: now,
            generation: 0,
            quiet_until: None,
            gave_up: false,
            details: true,
            settings: setup.settings,
        };
        engine.flush_clock();
        engine
    }

    /// Whether [`Record::Statistics`] and [`Record::Selection`] are wanted, as they are at first: they take more than many a sample.
    pub const fn record_details(&mut self, wanted: bool) {
        self.details = wanted;
    }

    /// Adds a source with an address of its own; `None`: another source has that address.
    pub fn add_address(
        &mut self,
        now: Now,
        address: SocketAddr,
        options: &SourceOptions,
        rng: &mut dyn Rng,
    ) -> Option<SourceId> {
        if self.sources.values().any(|s| s.association.address().ip() == address.ip()) {
            return None;
        }
        let id = self.names.allocate();
        self.begin(now, id, address, options, rng);
        self.update_options();
        Some(id)
    }

    /// Sends the time to an address every so often, signed by this key.
    pub fn add_broadcast(&mut self, now: Now, to: SocketAddr, interval: TimeDelta, key: Option<KeyId>) {
        self.broadcasts.push(Broadcaster::new(to, interval, key, now.mono));
    }

    fn begin(
        &mut self,
        now: Now,
        id: SourceId,
        address: SocketAddr,
        options: &SourceOptions,
        rng: &mut dyn Rng,
    ) {
        let earliest = now.mono;
        let mut context = Context {
            now,
            timeline: self.clock.timeline(),
            keys: &self.keys,
            host: &self.host,
            earliest,
            rng,
        };
        let options = &SourceOptions {
            minsamples: options.minsamples.or(Some(self.settings.minsamples)),
            maxsamples: options.maxsamples.or(Some(self.settings.maxsamples)),
            ..options.clone()
        };
        let association = Association::new(address, options, self.start, &mut context);
        self.bank.set_max_samples(id, options.maxsamples.unwrap_or(0));
        let source = Source {
            name: options.name.clone(),
            association,
            effective: selection::Options::default(),
            fresh: false,
            fed: false,
            poll: f64::from(options.minpoll),
            calm: 0,
            course: Course::default(),
            due: None,
        };
        self.sources.insert(id, source);
        self.note_due(id);
        self.generation = self.generation.wrapping_add(1);
    }

    /// Removes a source. Answers whether it was there.
    pub fn remove(&mut self, now: Now, id: SourceId, rng: &mut dyn Rng) -> bool {
        let known = self.names.name_of(id).map(|(_, options, address)| (options.name.clone(), address));
        let text = match (self.sources.get(&id), known) {
            (Some(source), _) => named(source.association.address().ip(), &source.name),
            (None, Some((name, _))) => format!("ID#{:010} ({name})", id.0),
            (None, None) => return false,
        };
        self.log(Level::Info, format!("Removed source {text}"));
        self.take_out(now, id, rng);
        true
    }

    fn take_out(&mut self, now: Now, id: SourceId, rng: &mut dyn Rng) {
        self.drop_association(id);
        self.names.remove(id);
        self.update_options();
        self.select(now, rng);
    }

    /// Takes an input.
    pub fn handle(&mut self, now: Now, input: Input<'_>, rng: &mut dyn Rng) {
        if !matches!(input, Input::Suspended | Input::Refused { .. }) {
            self.watch_clock(now, rng);
        }
        self.pass_leap(now);
        self.last = now;
        match input {
            Input::Timer => {}
            Input::Reply { .. } | Input::Symmetric { .. } if self.is_in_leap(now) => {}
            Input::Reply { source, bytes, received, local } => {
                self.event(now, source, Event::Reply { bytes, received, local }, rng);
            }
            Input::Symmetric { from, bytes, received, local } => {
                let peer = self.sources.iter().find(|(_, s)| s.association.address() == from);
                if let Some(id) = peer.map(|(id, _)| *id) {
                    self.event(now, id, Event::Reply { bytes, received, local }, rng);
                } else if bytes.first().is_some_and(|first| Mode::from_bits(*first) == Mode::Broadcast) {
                    self.overhear(now, from, (bytes, received, local), rng);
                }
            }
            Input::Sent { source, token, at } => self.event(now, source, Event::Sent { token, at }, rng),
            Input::NotSent { source, token } => self.event(now, source, Event::NotSent { token }, rng),
            Input::Resolved { name, result } => self.resolved(now, name, &result, rng),
            Input::Clock { source, reading } => self.read_clock(now, source, &reading),
            Input::Temperature(temperature) => self.compensate(now, temperature),
            Input::Refused { command, setting } => self.refused(now, command, setting),
            Input::Interference(found) => self.interfered(now, found, rng),
            Input::Suspended => self.resume(now, rng),
        }
        self.run_timers(now, rng);
        self.flush_clock();
        debug_assert_eq!(
            self.due.next(),
            self.sources.values().filter_map(|s| s.association.next_timeout()).min(),
            "a timer moved without a note"
        );
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.poll_clock().map(Action::Clock).or_else(|| self.actions.pop_front())
    }

    /// The next thing to do to the clock. Everything that is said here has to be done before the next input: what the clocks
    /// read is compared with what they must read by then.
    pub fn poll_clock(&mut self) -> Option<ClockCommand> {
        self.commands.pop_front()
    }

    /// The kernel has taken the last [`ClockCommand::SetRate`] when its clock read `at`: what it took to decide and to tell it does
    /// not count as corrected.
    pub fn rate_taken(&mut self, at: Timestamp) {
        self.clock.rate_taken(at);
    }

    /// The clock and its corrections.
    pub const fn timeline(&self) -> &Timeline {
        self.clock.timeline()
    }

    /// What `tracking` shows.
    pub fn tracking(&self, now: Now) -> Tracking {
        self.reference.tracking(self.timeline().estimated(now.clock), now.mono)
    }

    /// Frequency (s/s, > 0: the clock gains without our corrections).
    pub fn frequency(&self) -> f64 {
        self.clock.frequency()
    }

    /// The clock's precision, as it is served.
    pub const fn precision(&self) -> LogInterval {
        self.precision
    }

    /// Updates of the clock so far.
    pub const fn updates(&self) -> u32 {
        self.reference.updates()
    }

    /// What is known of our time; [`Self::served`] is what clients are told of it.
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let timeline = self.timeline();
        let of_reference = self.reference.snapshot(timeline.estimated(now.clock), now.mono, self.precision);
        // the kernel clock gains on the estimate while it slews: what is served ahead of it shrinks
        let gain = timeline.line().rate - timeline.setting().rate();
        let ahead_rate = gain / (1.0 + timeline.setting().rate());
        Snapshot {
            at: now.clock,
            ahead: TimeDelta::from_secs_f64(timeline.remaining(now.clock)).unwrap_or_default(),
            ahead_rate: Frequency::new(ahead_rate).unwrap_or_default(),
            ..of_reference
        }
    }

    /// The sources that have an address, in the order in which they came.
    pub fn sources(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        self.sources.iter().map(|(id, source)| (*id, source))
    }

    /// Changes whenever an association came or went.
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// The addresses of symmetric peers.
    pub fn peers(&self) -> impl Iterator<Item = SocketAddr> {
        let peers = self.sources.values().filter(|s| s.association.options().kind == Kind::Peer);
        peers.map(|s| s.association.address())
    }

    /// What the selection thinks of a source.
    pub fn shown(&self, id: SourceId) -> selection::Shown {
        self.selection.shown(id)
    }

    /// The selected source.
    pub const fn selected(&self) -> Option<SourceId> {
        self.selection.selected()
    }

    /// Whether an offset is still being slewed.
    pub const fn is_slewing(&self) -> bool {
        self.clock.next_timeout().is_some()
    }

    /// Whether no source can be used any more within its initial burst: too many of its requests stayed without an answer.
    pub fn has_tried_all(&self) -> bool {
        let exhausted = |s: &Source| {
            let asked = usize::from(s.association.facts().reach_size);
            let may_come = LAST_CHANCE.saturating_sub(asked) + s.association.register().len();
            asked >= LAST_CHANCE || may_come < USABLE
        };
        self.sources.values().all(exhausted) && self.names.has_tried_all()
    }

    /// The directives in force.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The daemon ends: what was still to be slewed is left, the clock keeps its rate, the drift file is written.
    pub fn shut_down(&mut self, now: Now) {
        self.clock.settle(now);
        self.flush_clock();
        if self.reference.updates() > 0 {
            self.write_drift(now);
        }
    }

    /// Logs a line.
    pub fn log(&mut self, level: Level, text: String) {
        self.actions.push_back(Action::Log(level, text));
    }

    fn flush_clock(&mut self) {
        self.commands.extend(self.clock.take_commands());
    }

    /// Gives an event to a source and does what it asks for.
    pub fn event(&mut self, now: Now, id: SourceId, event: Event<'_>, rng: &mut dyn Rng) {
        self.event_at(now, id, event, now.mono, rng);
    }

    /// `earliest`: when a request may leave.
    fn event_at(&mut self, now: Now, id: SourceId, event: Event<'_>, earliest: MonoTime, rng: &mut dyn Rng) {
        let Some(source) = find(&mut self.sources, id) else { return };
        let mut context = Context {
            now,
            timeline: self.clock.timeline(),
            keys: &self.keys,
            host: &self.host,
            earliest,
            rng,
        };
        source.association.handle(&mut context, event);
        self.drain(now, id, rng);
    }

    fn drain(&mut self, now: Now, id: SourceId, rng: &mut dyn Rng) {
        while let Some(source) = find(&mut self.sources, id) {
            let Some(effect) = source.association.poll() else { break };
            let whom = source.association.address().ip();
            match effect {
                Effect::Send { to, bytes, token, port } => {
                    self.last_send = Some(now.mono);
                    source.calm = source.calm.saturating_sub(1);
                    self.actions.push_back(Action::Send { source: id, to, bytes, token, port });
                }
                Effect::Close => self.actions.push_back(Action::Close(id)),
                Effect::Packet(packet) => {
                    if packet.tests.is_synchronised() {
                        self.names.confirmed(id);
                    }
                    self.actions.push_back(Action::Record(Record::Measurement { source: id, whom, packet }));
                }
                Effect::Sample(measurement) => self.sampled(now, id, &measurement, rng),
                Effect::Reach => {
                    self.reached(now, id, rng);
                    self.judge_place(now, id, rng);
                    self.judge_listener(now, id, rng);
                }
                Effect::Notice(notice) => {
                    let level = match notice {
                        Notice::Kiss(_) | Notice::KeyMissing(_) => Level::Warning,
                        _ => Level::Info,
                    };
                    let text = notice.text(&named(whom, &source.name));
                    self.log(level, text);
                }
            }
        }
        self.note_due(id);
    }

    /// `authselectmode` decides what the selection options of authenticated and other sources mean.
    fn update_options(&mut self) {
        let authenticated = |source: &Source| source.association.options().key != 0;
        let both = self.sources.values().any(authenticated) && !self.sources.values().all(authenticated);
        let mode = self.settings.authselectmode;
        for source in self.sources.values_mut() {
            let flags = source.association.options().flags;
            let signed = authenticated(source);
            let mut options = selection::Options {
                noselect: flags.noselect,
                prefer: flags.prefer,
                trust: flags.trust,
                require: flags.require,
            };
            match mode {
                AuthSelectMode::Ignore => {}
                AuthSelectMode::Mix if both && signed => {
                    options.trust = true;
                    options.require = true;
                }
                AuthSelectMode::Mix => {}
                AuthSelectMode::Prefer => options.noselect |= both && !signed,
                AuthSelectMode::Require => options.noselect |= !signed,
            }
            source.effective = options;
        }
    }
}

/// A source of these.
#[inline(never)] // looked for at a dozen places of one poll: as many copies of the search would be 2 kB of cold code
fn find(sources: &mut BTreeMap<SourceId, Source>, id: SourceId) -> Option<&mut Source> {
    sources.get_mut(&id)
}

/// `ADDRESS (NAME)`, as the log shows a source.
fn named(address: IpAddr, name: &str) -> String {
    let address = address.to_string();
    if name.is_empty() || address == name { address } else { format!("{address} ({name})") }
}

#[cfg(test)]
mod tests;
