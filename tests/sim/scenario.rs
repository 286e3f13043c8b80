//! A run: deviations from one default, and the checks by name.

use super::host::{Clock, OscillatorSpec};
use super::link::{Delay, Path};
use super::metrics::{Metrics, Result};
use super::rng::Stream;
use super::server::{Conduct, Server};
use super::world::{HostId, Node, World};

/// The client's place in every scenario; the servers follow.
pub(crate) const CLIENT: HostId = 0;

/// Purposes of the streams of one seed.
const OSCILLATOR: u64 = 1;
const NODES: u64 = 100;
const PATHS: u64 = 1000;

/// A server and the two directions to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServerSpec {
    pub(crate) up: Vec<Delay>,
    pub(crate) down: Vec<Delay>,
    pub(crate) conduct: Conduct,
}

impl ServerSpec {
    /// Both directions alike.
    pub(crate) fn alike(delays: Vec<Delay>) -> Self {
        Self { up: delays.clone(), down: delays, conduct: Conduct::default() }
    }
}

/// One client and its servers. Times in s, rates in s/s.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scenario {
    /// Tells the streams of one scenario from those of another.
    pub(crate) number: u64,
    /// How long it lasts, and from when on it is measured.
    pub(crate) limit: i64,
    pub(crate) settle: i64,
    /// Seconds that are not measured.
    pub(crate) skip: (i64, i64),
    /// Of the quiet period, and from when on it is looked for.
    pub(crate) tolerance: f64,
    pub(crate) quiet_from: i64,
    /// How far ahead the clock starts.
    pub(crate) error: f64,
    pub(crate) oscillator: OscillatorSpec,
    pub(crate) servers: Vec<ServerSpec>,
    /// Probability that a packet is lost, or comes twice, each way.
    pub(crate) loss: f64,
    pub(crate) duplication: f64,
    /// Seconds of contact of every so many.
    pub(crate) contact: Option<(f64, f64)>,
    /// When somebody steps the clock, and by how many ns.
    pub(crate) foreign_step: Option<(i64, i64)>,
    /// log2 s.
    pub(crate) polls: (i32, i32),
    pub(crate) iburst: bool,
    /// Threshold and number of updates; 0 updates: never.
    pub(crate) makestep: (f64, i32),
}

impl Default for Scenario {
    /// 10 000 s, 0.1 s and 100 ppm off, 100 µs and an exponential queue of 100 µs each way.
    fn default() -> Self {
        Self {
            number: 0,
            limit: 10_000,
            settle: 2500,
            skip: (0, 0),
            tolerance: 1e-3,
            quiet_from: 0,
            error: -0.1,
            oscillator: OscillatorSpec { rate: 100e-6, wander: 1e-9, ..OscillatorSpec::default() },
            servers: vec![ServerSpec::alike(vec![Delay::Fixed(100e-6), Delay::Exponential(100e-6)])],
            loss: 0.0,
            duplication: 0.0,
            contact: None,
            foreign_step: None,
            polls: (6, 10),
            iburst: false,
            makestep: (0.0, 0),
        }
    }
}

/// Makes the client of a scenario.
pub(crate) type MakeClient<'a> = &'a (dyn Fn(&Scenario, Vec<HostId>) -> Box<dyn Node> + Sync);

impl Scenario {
    /// The world of this seed, not started. Streams differ from scenario to scenario, so that one lucky oscillator is one row.
    pub(crate) fn build(&self, seed: u64, client: MakeClient<'_>) -> World {
        let mut world = World::default();
        let seed = seed.wrapping_add(self.number << 32);
        let metrics = Metrics::new(self.settle, self.skip, self.tolerance, self.quiet_from);
        let clock = Clock::new(self.error, self.oscillator, Stream::new(seed, OSCILLATOR), metrics);
        let servers: Vec<HostId> = (1..=self.servers.len()).collect();
        world.add(clock, client(self, servers), Stream::new(seed, NODES));
        for ((host, id), spec) in (1..).zip(1..).zip(&self.servers) {
            let server = Server::new(spec.conduct.clone(), 0x0A00_0000 + id);
            let stream = |purpose| Stream::new(seed, purpose + u64::from(id));
            world.add(Clock::perfect(), Box::new(server), stream(NODES));
            for (from, to, delays, purpose) in
                [(CLIENT, host, &spec.up, PATHS), (host, CLIENT, &spec.down, 2 * PATHS)]
            {
                let path = Path::new(delays.clone(), stream(purpose));
                let path = path.lossy(self.loss, self.duplication).in_contact(self.contact);
                world.connect(from, to, path);
            }
        }
        if let Some((second, nanos)) = self.foreign_step {
            world.step_at(second, CLIENT, nanos);
        }
        world
    }

    /// The whole of it, and its figures.
    pub(crate) fn run(&self, seed: u64, client: MakeClient<'_>) -> Result {
        let mut world = self.build(seed, client);
        world.run(self.limit);
        world.result(CLIENT, self.limit)
    }
}
