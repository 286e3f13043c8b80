//! A run: deviations from one default, and the checks by name.

use ntpbox::engine::options::{Kind, Settings, Source};

use super::daemon::{Daemon, daemon};
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
    /// Options of the source, as in a configuration file.
    pub(crate) options: &'static str,
}

impl ServerSpec {
    /// Both directions alike.
    pub(crate) fn alike(delays: Vec<Delay>) -> Self {
        Self { up: delays.clone(), down: delays, conduct: Conduct::default(), options: "" }
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
    /// When somebody adds to the rate of the clock, and how much, s/s.
    pub(crate) foreign_rate: Option<(i64, f64)>,
    /// log2 s.
    pub(crate) polls: (i32, i32),
    pub(crate) iburst: bool,
    /// Directives.
    pub(crate) settings: Settings,
    /// Resolution of the readings that the client believes in.
    pub(crate) precision: f64,
    /// What the drift file says: ppm, > 0: the clock gains; and the bound on its error.
    pub(crate) drift: Option<(f64, f64)>,
    /// From this second on the kernel refuses every change of the client's clock.
    pub(crate) refuses_from: i64,
    /// The clock is not the client's to set.
    pub(crate) observes: bool,
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
            foreign_rate: None,
            polls: (6, 10),
            iburst: false,
            settings: Settings::default(),
            precision: 1e-7,
            drift: None,
            refuses_from: i64::MAX,
            observes: false,
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
        if let Some((second, more)) = self.foreign_rate {
            world.rate_at(second, CLIENT, more);
        }
        world
    }

    /// A server as the configuration file would have it.
    pub(crate) fn source(&self, host: HostId, spec: &ServerSpec) -> Source {
        let words: Vec<&str> = spec.options.split_whitespace().collect();
        let name = format!("10.0.0.{host}");
        let mut source = Source::parse(Kind::Server, &name, &words).expect("options that the parser knows");
        if !words.contains(&"minpoll") && !words.contains(&"maxpoll") {
            (source.minpoll, source.maxpoll) = self.polls;
        }
        source.flags.iburst |= self.iburst;
        source
    }

    /// The whole of it, and its figures.
    pub(crate) fn run(&self, seed: u64, client: MakeClient<'_>) -> Result {
        let mut world = self.build(seed, client);
        world.run(self.limit);
        world.result(CLIENT, self.limit)
    }
}

/// A finished run of the engine, and the checks.
pub(crate) struct Run {
    pub(crate) world: World,
    limit: i64,
}

impl Scenario {
    /// The engine as the client, until this second.
    pub(crate) fn until(&self, second: i64) -> Run {
        let mut world = self.build(1, &daemon);
        world.run(second);
        Run { world, limit: second }
    }

    /// The engine as the client, to the end.
    pub(crate) fn follow(&self) -> Run {
        self.until(self.limit)
    }
}

impl Run {
    /// What the engine's driver saw.
    pub(crate) fn daemon(&self) -> &Daemon {
        self.world.node(CLIENT).expect("the client is the daemon")
    }

    /// Clock − true time, s.
    pub(crate) fn error(&self) -> f64 {
        self.world.clock(CLIENT).error()
    }

    /// Rate of the clock against true time, s/s.
    pub(crate) fn rate_error(&self) -> f64 {
        self.world.clock(CLIENT).rate_error()
    }

    fn result(&self) -> Result {
        self.world.result(CLIENT, self.limit)
    }

    /// RMS error after settling, s.
    pub(crate) fn rms_offset(&self) -> f64 {
        self.result().rms_time
    }

    /// Largest error after settling, s.
    pub(crate) fn max_offset(&self) -> f64 {
        self.result().max_time
    }

    /// RMS of the rate error after settling, s/s.
    pub(crate) fn rms_rate(&self) -> f64 {
        self.result().rms_rate
    }

    /// Second from which on the clock was within the tolerance.
    pub(crate) fn synced_at(&self) -> i64 {
        self.result().quiet_at.expect("never within the tolerance")
    }

    /// Shortest and longest gap between requests to this server (from 1), s, after this second.
    pub(crate) fn poll_range(&self, server: HostId, from: f64) -> (f64, f64) {
        let sent = self.world.sent(CLIENT, server);
        let gaps = sent.iter().zip(sent.iter().skip(1)).filter(|(at, _)| **at >= from).map(|(a, b)| b - a);
        gaps.fold((f64::INFINITY, 0.0), |(low, high), gap| (low.min(gap), high.max(gap)))
    }

    /// Number of requests to this server (from 1).
    pub(crate) fn requests(&self, server: HostId) -> usize {
        self.world.sent(CLIENT, server).len()
    }

    /// Letters of the selection.
    pub(crate) fn selected(&self) -> String {
        self.daemon().letters()
    }
}
