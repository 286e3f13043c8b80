//! The daemon's loop: one `select` over the server's sockets, a socket for each request that is under way, and the resolver's pipe.
//!
//! What the engine wants done is done here: packets, the kernel's clock, names, log files, the drift file.

mod incoming;
mod keeping;
mod outgoing;
mod telling;
mod watching;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use self::keeping::Sensor;
use self::outgoing::chrony_drift;
pub use self::outgoing::parse_drift;
pub use self::telling::{KEY_FILE_LIMIT, kernel_setting};
use self::watching::look;
pub use super::asking::Asking;
use super::asking::Requests;
use super::clocks::{Clocks, Device};
use super::cmdserver::CommandServer;
use super::commands::{Desk, House};
use super::leap_source::LeapSource;
use super::ntpd::Informant;
use super::random::KernelRng;
use super::rtc_keeper::RtcKeeper;
use super::server::Server;
use super::statlog::StatLog;
use crate::engine::daemon::{Correction, Engine, Input, Level, Lookup, NameId};
use crate::engine::interference::Watch;
use crate::engine::measurement::SourceId;
use crate::engine::options::Source;
use crate::engine::record::Record;
use crate::engine::timeline::KernelRate;
use crate::sys::clock::ClockControl;
use crate::sys::dns::{Found, Resolver};
use crate::sys::signal::{self, Signal};
use crate::sys::wait::{Woken, wait};
use crate::sys::{SysError, clock, memory};
use crate::types::{MonoTime, TimeDelta};

/// Longer packets than this are no NTP packets.
const BUFFER: usize = 2048;
/// Packets that are taken from one socket in a row.
const ROUND: usize = 64;
/// Two readings in a row differ by less; a sleep does not.
const SLEPT: TimeDelta = TimeDelta::from_millis(500);
/// Descriptors that are usually waited for, at most.
const USUAL: usize = 32;
/// After this time bursts of the start are over.
const SETTLED: TimeDelta = TimeDelta::from_secs(25);
/// Look-ups under way.
const LOOKUPS: usize = 64;
/// Names of log lines go to whoever keeps the log.
pub type Log<'a> = &'a mut dyn FnMut(Level, &str);

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By this signal.
    Signal(Signal),
    /// The time was over.
    Deadline,
    /// The engine gave up (`maxchange`).
    GaveUp,
    /// It was told to watch for the first update: that came, and what was to be slewed is slewed.
    Updated,
    /// It was told to watch for the first update, and every source was asked in vain.
    NoSource,
    /// `chronyc shutdown`.
    Told,
}

/// When the loop ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Until {
    /// At this instant.
    pub deadline: Option<MonoTime>,
    /// After the first update of the clock.
    pub first_update: bool,
    /// Then without waiting: the kernel slews what is left (`ntpd -q`).
    pub hand_over: bool,
}

/// A daemon with all that it holds of the operating system.
pub struct Daemon {
    engine: Engine,
    server: Server,
    control: Option<ClockControl>,
    requests: Requests,
    resolver: Resolver,
    lookups: BTreeMap<u64, NameId>,
    /// Which sources the server knows as peers: as of this generation.
    peers_of: u32,
    clocks: Clocks,
    logs: Option<StatLog>,
    informant: Option<Informant>,
    commands: Option<CommandServer>,
    rtc: Option<RtcKeeper>,
    /// The sources of the `sourcedir` folders.
    filed: Vec<Source>,
    /// `shutdown` was asked for.
    told: bool,
    drift_file: Option<PathBuf>,
    /// The drift file from when the clock is taken on.
    later_drift_file: Option<PathBuf>,
    drift_text: fn(f64, f64) -> String,
    /// `dumpdir`.
    dumps: Option<PathBuf>,
    /// Where leap seconds are read from, and when again.
    leap_source: Option<(LeapSource, MonoTime)>,
    leap_lines: Vec<String>,
    sensor: Option<Sensor>,
    rng: KernelRng,
    /// The kernel refused a command: said once.
    refused: bool,
    /// The rate that it granted last.
    granted: KernelRate,
    /// Whether somebody else sets it; `None`: it cannot be seen.
    watch: Option<Watch>,
    drift_failed: bool,
    gave_up: bool,
    stepped: bool,
    /// How long the machine slept since it was booted.
    asleep: TimeDelta,
}

impl Daemon {
    /// A daemon; `control` where it may set the clock.
    ///
    /// # Errors
    /// The resolver's pipe cannot be made.
    pub fn new(
        mut engine: Engine,
        server: Server,
        control: Option<ClockControl>,
        asking: Asking,
    ) -> Result<Self, SysError> {
        let granted = engine.timeline().setting();
        let watch = look().map(Watch::new);
        engine.record_details(false);
        Ok(Self {
            engine,
            server,
            control,
            requests: Requests::new(asking),
            resolver: Resolver::new()?,
            lookups: BTreeMap::new(),
            peers_of: 0,
            clocks: Clocks::default(),
            logs: None,
            informant: None,
            commands: None,
            rtc: None,
            filed: Vec::new(),
            told: false,
            drift_file: None,
            later_drift_file: None,
            drift_text: chrony_drift,
            dumps: None,
            leap_source: None,
            leap_lines: Vec::new(),
            sensor: None,
            rng: KernelRng::default(),
            refused: false,
            watch,
            granted,
            drift_failed: false,
            gave_up: false,
            stepped: false,
            asleep: clock::boot() - clock::mono(),
        })
    }

    /// Writes these log files.
    pub fn set_logs(&mut self, logs: StatLog) {
        self.engine.record_details(logs.has_details());
        self.logs = Some(logs);
    }

    /// Answers commands.
    pub fn set_commands(&mut self, commands: CommandServer) {
        self.commands = Some(commands);
    }

    /// The sources that `reload sources` may remove: those of the `sourcedir` folders.
    pub fn set_filed(&mut self, sources: Vec<Source>) {
        self.filed = sources;
    }

    /// Keeps the drift file up to date, also where the clock is only observed.
    pub fn set_drift_file(&mut self, path: PathBuf) {
        self.drift_file = Some(path);
    }

    /// Adds a reference clock.
    pub fn add_clock(&mut self, device: Device, options: crate::engine::refclock::Options) {
        let now = clock::both();
        let dpoll = options.dpoll;
        let source = self.engine.add_refclock(now, options);
        self.clocks.add(source, device, dpoll, now.mono);
    }

    /// Watches the hardware clock.
    pub fn set_rtc(&mut self, rtc: RtcKeeper) {
        self.rtc = Some(rtc);
    }

    /// Whether the clock was stepped.
    pub const fn stepped(&self) -> bool {
        self.stepped
    }

    /// The engine.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine, to be changed; what it wants done is done in the next round.
    pub const fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// The server.
    pub const fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Adds a source by its configured name.
    pub fn add(&mut self, options: &Source) {
        let now = clock::both();
        match options.name.parse::<IpAddr>() {
            Ok(address) => {
                let to = SocketAddr::new(address, options.port);
                let added = self.engine.add_address(now, to, options, &mut self.rng);
                self.tell_refused(address, added);
            }
            Err(_) => {
                self.engine.add_name(now, options);
            }
        }
    }

    /// As [`Self::add`], of one that a file of a `sourcedir` names: the log tells of it.
    pub fn add_filed(&mut self, options: &Source) {
        let now = clock::both();
        match options.name.parse::<IpAddr>() {
            Ok(address) => {
                let to = SocketAddr::new(address, options.port);
                let added = self.engine.add_new_address(now, to, options, &mut self.rng);
                self.tell_refused(address, added);
            }
            Err(_) => self.engine.add_new_name(now, options),
        }
    }

    fn tell_refused(&mut self, address: IpAddr, added: Option<SourceId>) {
        if added.is_none() {
            let line = format!("Could not add source {address} : Already in use");
            self.engine.log(Level::Error, line);
        }
    }

    /// The clock was found to lack `offset` s before anything else began: put right before this returns.
    pub fn correct_at_start(&mut self, offset: f64, correction: Correction) {
        self.engine.correct_at_start(clock::both(), offset, correction);
        self.set_clock();
    }

    /// Works until one of the reasons of [`Ended`].
    ///
    /// # Errors
    /// `select`; `getrandom`.
    pub fn run(&mut self, until: Until, log: Log<'_>, house: &mut dyn House) -> Result<Ended, SysError> {
        let started = clock::mono();
        let mut settles = if until.first_update { Vec::new() } else { vec![started + SETTLED, started] };
        let ended = loop {
            self.act(log);
            if self.gave_up {
                break Ended::GaveUp;
            }
            if until.first_update {
                if self.engine.updates() > 0 && (until.hand_over || !self.engine.is_slewing()) {
                    break Ended::Updated;
                }
                if self.engine.updates() == 0 && self.engine.has_tried_all() && self.lookups.is_empty() {
                    break Ended::NoSource;
                }
            }
            self.watch(log);
            self.renew_served();
            // what the first exchanges needed is given back, too
            if settles.pop_if(|at| *at <= clock::mono()).is_some() {
                memory::give_back();
            }
            let next = [settles.last().copied(), until.deadline].into_iter().flatten().min();
            match self.wait_and_answer(next, log, house)? {
                Woken::Signal => {
                    if let Some(signal) = signal::take() {
                        break Ended::Signal(signal);
                    }
                }
                Woken::Ready(_) | Woken::Deadline => {}
            }
            self.take_in(log, house)?;
            if self.told {
                break Ended::Told;
            }
            if until.deadline.is_some_and(|deadline| deadline <= clock::mono()) {
                break Ended::Deadline;
            }
        };
        let left = self.engine.timeline().remaining(clock::now());
        self.engine.shut_down(clock::both());
        self.set_clock();
        self.write_dumps();
        self.act(log);
        if ended == Ended::Updated && until.hand_over {
            self.hand_over(left, log);
        }
        if let Some(rtc) = &mut self.rtc {
            rtc.save(self.engine.timeline(), log);
        }
        Ok(ended)
    }

    /// Waits. What only the server has to do with, and reports, are answered at once, for as long as nothing else comes and
    /// no time is due: a busy server costs its answers and no more.
    fn wait_and_answer(
        &mut self,
        deadline: Option<MonoTime>,
        log: Log<'_>,
        house: &mut dyn House,
    ) -> Result<Woken, SysError> {
        let next = self.next_timeout(deadline);
        let sockets = self.server.descriptors().count();
        let asked = sockets + self.commands.iter().flat_map(CommandServer::descriptors).count();
        loop {
            let woken = wait(&self.descriptors(), next)?;
            let (requests, commands) = match &woken {
                Woken::Ready(places) if places.iter().all(|place| *place < asked) => {
                    (places.iter().any(|p| *p < sockets), places.iter().any(|p| *p >= sockets))
                }
                Woken::Ready(_) | Woken::Deadline | Woken::Signal => return Ok(woken),
            };
            let more = requests && self.serve()?;
            let changed = commands && self.obey(log, house);
            if more || changed || self.rng.failed() {
                return Ok(woken);
            }
            if next.is_some_and(|next| next <= clock::mono()) {
                return Ok(Woken::Deadline);
            }
        }
    }

    /// What to wait for; the server's sockets come first, those for commands behind them.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut fds = Vec::with_capacity(USUAL);
        fds.extend(self.server.descriptors());
        fds.extend(self.commands.iter().flat_map(CommandServer::descriptors));
        fds.extend(self.requests.descriptors());
        fds.extend(self.clocks.descriptors());
        fds.extend(self.resolver.wake_fd());
        fds.extend(self.rtc.iter().filter_map(RtcKeeper::descriptor));
        fds
    }

    fn next_timeout(&self, deadline: Option<MonoTime>) -> Option<MonoTime> {
        [
            deadline,
            self.engine.next_timeout(),
            self.clocks.deadline(),
            self.sensor.as_ref().map(Sensor::due),
            self.server.deadline(),
            self.informant.as_ref().and_then(Informant::deadline),
            self.rtc.as_ref().map(RtcKeeper::due),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Everything that came in goes to the engine, the timers too.
    fn take_in(&mut self, log: Log<'_>, house: &mut dyn House) -> Result<(), SysError> {
        let asleep = clock::boot() - clock::mono();
        if asleep - self.asleep > SLEPT {
            self.asleep = asleep;
            self.hand(Input::Suspended);
        }
        self.watch_rate();
        self.read_leap_seconds();
        self.watch_rtc(log);
        self.read_temperature();
        let mut buffer = [0; BUFFER];
        self.serve()?;
        self.receive_shared(&mut buffer);
        for id in self.requests.own() {
            self.receive(id, &mut buffer, log);
        }
        while self.resolver.is_busy() && (self.resolver.wake_fd().is_none() || self.resolver_is_ready()?) {
            let Some(answer) = self.resolver.take() else { break };
            let Some(name) = self.lookups.remove(&answer.ticket) else { continue };
            let result = match answer.result {
                Ok(Found::Addresses(found)) => Lookup::Addresses(found.iter().map(SocketAddr::ip).collect()),
                Ok(Found::Name(_)) => Lookup::Later,
                Err(error) if error.is_server_failure() || error.errno.is_some() => Lookup::Later,
                Err(_) => Lookup::Never,
            };
            self.hand(Input::Resolved { name, result });
        }
        for (source, reading) in self.clocks.read(clock::mono()) {
            self.hand(Input::Clock { source, reading });
        }
        self.hand(Input::Timer);
        self.obey(log, house);
        if self.rng.failed() { Err(SysError::new("getrandom", "", crate::sys::Errno::EIO)) } else { Ok(()) }
    }

    /// A tick of the hardware clock is taken with the stamp of now: before anything that takes time.
    fn watch_rtc(&mut self, log: Log<'_>) {
        let Some(rtc) = &mut self.rtc else { return };
        let followed = self.engine.updates() > 0;
        if let Some(record) = rtc.service(self.engine.timeline(), followed, log) {
            self.record(&Record::Rtc(record), log);
        }
    }

    fn record(&mut self, record: &Record, log: Log<'_>) {
        if let Record::Measurement { source, packet, .. } = record {
            self.heard(*source, packet);
        }
        let asked = self.server.sockets() > 0;
        let informant = self.informant.as_mut().filter(|informant| informant.is_heard(asked));
        if let Some(Err(error)) = informant.map(|i| i.note(record, &self.engine, clock::both())) {
            log(Level::Error, &error.to_string());
        }
        if let Some(Err(error)) = self.logs.as_mut().map(|logs| logs.write(record)) {
            log(Level::Error, &format!("Could not write {} : {}", error.object, error.reason()));
        }
    }

    /// What clients are told from now on; nothing without a socket by which they could ask.
    fn renew_served(&mut self) {
        if self.server.sockets() > 0 {
            let snapshot = self.engine.served(clock::both());
            let dressed = self.informant.as_ref().map_or(snapshot, |informant| informant.dress(snapshot));
            self.server.set_snapshot(dressed);
        }
    }

    /// Commands are answered after everything else, by what is then known. Whether one of them was more than a question.
    fn obey(&mut self, log: Log<'_>, house: &mut dyn House) -> bool {
        let Some(commands) = &mut self.commands else { return false };
        let (mut dump, mut changed) = (false, false);
        let mut desk = Desk {
            engine: &mut self.engine,
            server: &mut self.server,
            rng: &mut self.rng,
            logs: self.logs.as_mut(),
            rtc: self.rtc.as_mut(),
            house,
            log,
            filed: &mut self.filed,
            told: &mut self.told,
            dump: &mut dump,
            changed: &mut changed,
            now: clock::both(),
            place: Cell::new(None),
        };
        commands.service(&mut desk);
        self.set_clock();
        if changed {
            // it may have opened the server's sockets, which are answered before the loop comes round
            self.renew_served();
        }
        if dump {
            self.write_dumps();
        }
        changed
    }

    fn resolver_is_ready(&self) -> Result<bool, SysError> {
        let Some(fd) = self.resolver.wake_fd() else { return Ok(true) };
        Ok(matches!(wait(&[fd], Some(clock::mono()))?, Woken::Ready(_)))
    }

    fn hand(&mut self, input: Input<'_>) {
        self.engine.handle(clock::both(), input, &mut self.rng);
        self.set_clock();
    }

    /// What the engine wants done to the clock is done at once: the next reading must show it.
    fn set_clock(&mut self) {
        while let Some(command) = self.engine.poll_clock() {
            self.command(&command);
        }
    }
}
