//! The first client: the daemon's own engine, driven as `driver` drives it, by values only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use ntpbox::auth::KeyRing;
use ntpbox::engine::access::Network;
use ntpbox::engine::association::{Stamp, Stamper, Start};
use ntpbox::engine::clock::ClockCommand;
use ntpbox::engine::daemon::{Action, Engine, Input, Setup};
use ntpbox::engine::interference::Watch;
use ntpbox::engine::measurement::SourceId;
use ntpbox::engine::options::{Settings, Source};
use ntpbox::engine::record::Record;
use ntpbox::engine::server::{self, Remembering, Request};
use ntpbox::engine::timeline::KernelRate;
use ntpbox::types::{MonoTime, Now, Secs, TimeDelta, Timestamp};

use super::scenario::Scenario;
use super::world::{Host, HostId, Node};

/// Actions in answer to one input: more is a loop.
const MAX_ACTIONS: usize = 200;

/// How the engine is configured.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) settings: Settings,
    pub(crate) sources: Vec<(HostId, Source)>,
    pub(crate) precision: f64,
    pub(crate) drift: Option<(f64, f64)>,
    /// From this second of the uptime on the kernel refuses every change of its clock.
    pub(crate) refuses_from: i64,
    /// The clock is not its own to set.
    pub(crate) observes: bool,
    /// The address that its packets come from.
    pub(crate) own: [u8; 4],
    /// From the first second (included) to the second of the uptime it neither hears nor answers others.
    pub(crate) deaf: (i64, i64),
}

/// The engine and what its driver keeps.
pub(crate) struct Daemon {
    config: Config,
    engine: Option<Engine>,
    /// What answers clients.
    server: Option<server::Server>,
    hosts: BTreeMap<SourceId, HostId>,
    /// Sources with an open socket: what comes to a closed one is lost.
    open: BTreeSet<SourceId>,
    setting: KernelRate,
    watch: Option<Watch>,
    /// What was logged, with the second of the uptime.
    pub(crate) log: Vec<String>,
    /// Size and number of the steps.
    pub(crate) steps: Vec<f64>,
    /// Largest rate that was set, s/s.
    pub(crate) fastest: f64,
    pub(crate) drift: Option<(f64, f64)>,
    pub(crate) gave_up: bool,
    /// Commands that the kernel refused.
    pub(crate) refusals: usize,
    /// Samples that were taken into a register.
    pub(crate) samples: usize,
}

/// The client of a scenario.
pub(crate) fn daemon(scenario: &Scenario, servers: Vec<HostId>) -> Box<dyn Node> {
    Box::new(Daemon::new(Config {
        settings: scenario.settings.clone(),
        sources: servers
            .iter()
            .zip(&scenario.servers)
            .map(|(host, spec)| (*host, scenario.source(*host, spec)))
            .collect(),
        precision: scenario.precision,
        drift: scenario.drift,
        refuses_from: scenario.refuses_from,
        observes: scenario.observes,
        own: OWN,
        deaf: (0, 0),
    }))
}

fn address(host: HostId) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(host).unwrap()], 123))
}

/// The client's own address, as its sockets tell it.
pub(crate) const OWN: [u8; 4] = [10, 0, 0, 200];

fn uptime(host: &Host<'_>) -> i64 {
    host.now().mono.as_nanos() / 1_000_000_000 - 1000
}

fn stamp(at: Timestamp) -> Stamp {
    Stamp { at, by: Stamper::Kernel, error: Secs::ZERO }
}

impl Daemon {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            engine: None,
            server: None,
            hosts: BTreeMap::new(),
            open: BTreeSet::new(),
            setting: KernelRate::NOMINAL,
            watch: None,
            log: Vec::new(),
            steps: Vec::new(),
            fastest: 0.0,
            drift: None,
            gave_up: false,
            refusals: 0,
            samples: 0,
        }
    }

    /// The engine of a daemon that runs.
    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("started")
    }

    /// Lines of the log that hold this.
    pub(crate) fn said(&self, part: &str) -> usize {
        self.log.iter().filter(|line| line.contains(part)).count()
    }

    /// Letters of the selection, in the order of the sources.
    pub(crate) fn letters(&self) -> String {
        let engine = self.engine();
        engine.sources().map(|(id, _)| engine.shown(id).status.letter()).collect()
    }

    fn handle(&mut self, input: Input<'_>, host: &mut Host<'_>) {
        let Some(engine) = &mut self.engine else { return };
        if let Some(found) = self.watch.as_mut().and_then(|watch| watch.look(host.look())) {
            engine.handle(host.now(), Input::Interference(found), host.rng);
            return self.act_and_handle(input, host);
        }
        engine.handle(host.now(), input, host.rng);
        self.act(host);
    }

    /// What the engine wants done is done before the next input.
    fn act_and_handle(&mut self, input: Input<'_>, host: &mut Host<'_>) {
        self.act(host);
        let Some(engine) = &mut self.engine else { return };
        engine.handle(host.now(), input, host.rng);
        self.act(host);
    }

    fn act(&mut self, host: &mut Host<'_>) {
        let mut count = 0;
        while let Some(action) = self.engine.as_mut().and_then(Engine::poll) {
            count += 1;
            assert!(count < MAX_ACTIONS, "endless actions: {action:?}");
            match action {
                Action::Send { source, to, bytes, token, .. } => {
                    self.open.insert(source);
                    let at = stamp(host.now().clock);
                    if let Some(to) = self.hosts.get(&source).copied().filter(|host| address(*host) == to) {
                        host.send(to, bytes);
                    }
                    let engine = self.engine.as_mut().expect("running");
                    engine.handle(host.now(), Input::Sent { source, token, at }, host.rng);
                }
                Action::Close(source) => {
                    self.open.remove(&source);
                }
                Action::Clock(command @ (ClockCommand::SetRate(_) | ClockCommand::Step(_)))
                    if uptime(host) >= self.config.refuses_from =>
                {
                    self.refusals += 1;
                    let setting = self.setting;
                    let engine = self.engine.as_mut().expect("running");
                    engine.handle(host.now(), Input::Refused { command, setting }, host.rng);
                }
                Action::Clock(ClockCommand::SetRate(setting)) => {
                    self.setting = setting;
                    let rate = host.set_rate(setting.rate());
                    if let Some(watch) = &mut self.watch {
                        watch.commanded(host.look());
                    }
                    self.fastest = self.fastest.max(rate.abs());
                    assert!(
                        (rate - setting.rate()).abs() < 1e-15,
                        "a rate that adjtimex cannot express: {setting:?}"
                    );
                }
                Action::Clock(ClockCommand::Step(by)) => {
                    self.steps.push(by.as_secs_f64());
                    host.step(by);
                }
                Action::Clock(ClockCommand::Status { max_error, est_error, .. }) => {
                    assert!(max_error >= TimeDelta::ZERO && est_error >= TimeDelta::ZERO);
                }
                Action::Log(_, text) => self.log.push(text),
                Action::Drift(frequency, skew) => self.drift = Some((frequency, skew)),
                Action::GiveUp => self.gave_up = true,
                Action::Record(Record::Statistics(_)) => self.samples += 1,
                // files, names and broadcasts are of no interest here
                _ => {}
            }
        }
    }

    /// Answers a client as the driver does: by the pure function, from the latest facts.
    fn answer(&mut self, from: HostId, bytes: &[u8], host: &mut Host<'_>) {
        let (Some(engine), Some(server)) = (&self.engine, &mut self.server) else { return };
        let now = host.now();
        server.set_snapshot(engine.served(now));
        let request =
            Request { bytes, from: address(from), received: now.clock, stamp: server::Stamp::Kernel };
        if let Ok(reply) = server.answer(&request, now, host.rng) {
            let reply = reply.to_vec();
            host.send(from, reply);
        }
    }

    fn source_of(&self, host: HostId) -> Option<SourceId> {
        self.hosts.iter().find(|(_, h)| **h == host).map(|(source, _)| *source)
    }
}

impl Node for Daemon {
    fn start(&mut self, host: &mut Host<'_>) {
        let now: Now = host.now();
        let mut engine = Engine::new(
            now,
            Setup {
                settings: self.config.settings.clone(),
                controlled: !self.config.observes,
                setting: KernelRate::NOMINAL,
                drift: self.config.drift,
                precision: self.config.precision,
                serving: Vec::new(),
                released: now.clock - TimeDelta::from_secs(86_400),
                start: Start::Daemon,
                keys: KeyRing::default(),
            },
        );
        for (host_id, options) in &self.config.sources {
            let id =
                engine.add_address(now, address(*host_id), options, host.rng).expect("an address of its own");
            self.hosts.insert(id, *host_id);
        }
        let mut server = server::Server::new(Remembering::default(), engine.precision(), host.rng);
        server.access.set(Network::new(Ipv4Addr::UNSPECIFIED.into(), 0), true);
        self.server = Some(server);
        self.watch = Some(Watch::new(host.look()));
        self.engine = Some(engine);
        self.act(host);
    }

    fn on_timer(&mut self, host: &mut Host<'_>) {
        self.handle(Input::Timer, host);
    }

    fn on_datagram(&mut self, from: HostId, bytes: &[u8], host: &mut Host<'_>) {
        let received = stamp(host.now().clock);
        if (self.config.deaf.0..self.config.deaf.1).contains(&uptime(host)) {
            return;
        }
        if bytes.first().is_some_and(|first| first & 7 == 3) {
            self.answer(from, bytes, host);
            return;
        }
        let Some(source) = self.source_of(from).filter(|source| self.open.contains(source)) else { return };
        self.handle(Input::Reply { source, bytes, received, local: Some(self.config.own.into()) }, host);
    }

    fn next_timeout(&self) -> Option<MonoTime> {
        self.engine.as_ref().and_then(Engine::next_timeout)
    }
}
