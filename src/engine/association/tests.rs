//! An association against the real server function, on wire bytes over a simulated path.
#![expect(clippy::indexing_slicing, reason = "a test may say so by panicking")]

mod client;
mod hostile;
mod modes;

use super::*;
use crate::auth::Dialect;
use crate::engine::access::Network;
use crate::engine::options::{Kind, Source};
use crate::engine::rng::SplitMix;
use crate::engine::server::{self, Remembering, Server};
use crate::engine::timeline::KernelRate;
use crate::types::{LogInterval, Mode, NtpTimestamp, RefId, Stratum};
use crate::wire::ntp::Header;

const START: Timestamp = Timestamp::from_unix(1_795_000_000, 0);

/// A stratum-1 server's facts.
fn snapshot() -> Snapshot {
    Snapshot {
        leap: Leap::None,
        stratum: Stratum::new(1),
        root_delay: Secs::ZERO,
        root_dispersion: Secs::literal(1e-5),
        refid: RefId::from_ascii(*b"GPS\0"),
        reference: START,
        at: START,
        ..Snapshot::unsynchronised(LogInterval::from_log2(-25))
    }
}

/// What the simulated network does to one exchange: seconds there, seconds back; `None`: lost.
type Path = Box<dyn FnMut(&mut SplitMix) -> Option<(f64, f64)>>;

/// An association, its host, a server with the true time, and the path between them. The host's clock is `behind` and steady.
struct World {
    association: Association,
    timeline: Timeline,
    host: Host,
    keys: KeyRing,
    server: Server,
    rng: SplitMix,
    /// Seconds since the start.
    now: f64,
    behind: f64,
    /// The rate of the host's clock, s/s.
    gain: f64,
    path: Path,
    /// When each request left.
    requests: Vec<f64>,
    last_request: Vec<u8>,
    packets: Vec<Packet>,
    samples: Vec<Measurement>,
    notices: Vec<Notice>,
    /// The reply that is under way: when it comes, its bytes.
    reply: Option<(f64, Vec<u8>)>,
    /// Whether replies come with a kernel stamp of the request.
    kernel: bool,
}

fn host() -> Host {
    Host {
        snapshot: Snapshot { leap: Leap::Unsynchronised, ..snapshot() },
        precision: 1e-7,
        serving: Vec::new(),
        maxclockerror: 1e-6,
        released: Timestamp::from_unix(1_790_000_000, 0),
    }
}

fn options() -> Source {
    Source::new(Kind::Server, "192.0.2.1")
}

fn keys() -> KeyRing {
    KeyRing::parse(
        b"1 SHA1 HEX:000102030405060708090a0b0c0d0e0f\n2 SHA256 ASCII:another-secret\n",
        Dialect::Chrony,
    )
    .0
}

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 77));

/// A server that everybody may ask; it remembers clients, so that replies can be interleaved.
fn server(keys: &KeyRing) -> Server {
    let remembering = Remembering { bytes: Some(65_536), ..Remembering::default() };
    let mut server = Server::new(remembering, LogInterval::from_log2(-25), &mut SplitMix::new(2));
    server.access.set(Network::new(IpAddr::from([0, 0, 0, 0]), 0), true);
    server.keys = keys.clone();
    server.set_snapshot(snapshot());
    server
}

impl World {
    fn new(options: &Source) -> Self {
        Self::starting(options, Start::Daemon)
    }

    fn starting(options: &Source, start: Start) -> Self {
        let timeline = Timeline::new(START, KernelRate::NOMINAL);
        let mut rng = SplitMix::new(5);
        let (host, keys) = (host(), keys());
        let mut context = Context {
            now: Now { clock: START, mono: MonoTime::ZERO },
            timeline: &timeline,
            keys: &keys,
            host: &host,
            earliest: MonoTime::ZERO,
            rng: &mut rng,
        };
        let address = "192.0.2.1:123".parse().unwrap();
        let association = Association::new(address, options, start, &mut context);
        let server = server(&keys);
        Self {
            association,
            timeline,
            host,
            keys,
            server,
            rng,
            now: 0.0,
            behind: 0.0,
            gain: 0.0,
            path: Box::new(|rng| {
                let mut jitter = || -50e-6 * quantile::fraction(rng).max(1e-9).ln();
                Some((1e-3 + jitter(), 1e-3 + jitter()))
            }),
            requests: Vec::new(),
            last_request: Vec::new(),
            packets: Vec::new(),
            samples: Vec::new(),
            notices: Vec::new(),
            reply: None,
            kernel: true,
        }
    }

    fn mono(secs: f64) -> MonoTime {
        MonoTime::ZERO + TimeDelta::from_secs_f64(secs).unwrap()
    }

    /// What the host's clock reads at a true time.
    fn clock(&self, secs: f64) -> Timestamp {
        START + TimeDelta::from_secs_f64(secs * (1.0 + self.gain) - self.behind).unwrap()
    }

    fn stamp(&self, secs: f64, by: Stamper) -> Stamp {
        Stamp { at: self.clock(secs), by, error: Secs::ZERO }
    }

    fn handle(&mut self, event: Event<'_>) {
        let mut context = Context {
            now: Now { clock: self.clock(self.now), mono: Self::mono(self.now) },
            timeline: &self.timeline,
            keys: &self.keys,
            host: &self.host,
            earliest: MonoTime::ZERO,
            rng: &mut self.rng,
        };
        self.association.handle(&mut context, event);
        while let Some(effect) = self.association.poll() {
            match effect {
                Effect::Send { bytes, token, .. } => self.deliver(&bytes, token),
                Effect::Packet(packet) => self.packets.push(Packet::clone(&packet)),
                Effect::Sample(measurement) => self.samples.push(measurement),
                Effect::Notice(notice) => self.notices.push(notice),
                Effect::Close | Effect::Reach => {}
            }
        }
    }

    /// A request leaves now.
    fn deliver(&mut self, bytes: &[u8], token: Token) {
        self.requests.push(self.now);
        self.last_request = bytes.to_vec();
        if self.kernel {
            // it really left a little later than was thought
            let stamp = self.stamp(self.now + 20e-6, Stamper::Kernel);
            self.handle(Event::Sent { token, at: stamp });
        }
        let Some((there, back)) = (self.path)(&mut self.rng) else { return };
        let arrived = self.now + 20e-6 + there;
        let at = |secs: f64| START + TimeDelta::from_secs_f64(secs).unwrap();
        let request = server::Request {
            bytes,
            from: "192.0.2.77:40000".parse().unwrap(),
            received: at(arrived),
            stamp: server::Stamp::Kernel,
        };
        let now = Now { clock: at(arrived + 30e-6), mono: Self::mono(arrived + 30e-6) };
        if let Ok(reply) = self.server.answer(&request, now, &mut self.rng) {
            // the server's kernel sends it 50 µs after the stamp that is in it
            self.server.transmitted(&reply, at(arrived + 80e-6));
            self.reply = Some((arrived + 80e-6 + back, reply.to_vec()));
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let received = self.stamp(self.now, Stamper::Kernel);
        self.handle(Event::Reply { bytes, received, local: Some(LOCAL) });
    }

    /// Runs until this many seconds after the start.
    fn run(&mut self, until: f64) {
        loop {
            let timer = self.association.next_timeout().map(|at| (at - MonoTime::ZERO).as_secs_f64());
            let reply = self.reply.as_ref().map(|(at, _)| *at);
            let next = [timer, reply].into_iter().flatten().fold(f64::INFINITY, f64::min);
            if next > until {
                break;
            }
            self.now = next.max(self.now);
            if reply.is_some_and(|at| at <= next) {
                if let Some((_, bytes)) = self.reply.take() {
                    self.take(&bytes);
                }
            } else {
                self.handle(Event::Timer);
            }
        }
        self.now = until;
    }

    /// Runs to the next request and takes its reply from the network.
    fn intercept(&mut self) -> Vec<u8> {
        let sent = self.requests.len();
        for _ in 0..10 {
            if self.requests.len() > sent {
                break;
            }
            let at = self.association.next_timeout().expect("a request is planned");
            self.now = (at - MonoTime::ZERO).as_secs_f64();
            self.handle(Event::Timer);
        }
        let (at, bytes) = self.reply.take().expect("the server answered");
        self.now = at;
        bytes
    }

    fn facts(&self) -> Facts<'_> {
        self.association.facts()
    }

    fn free(&self) -> FreeTime {
        self.timeline.free(self.clock(self.now))
    }

    fn gaps(&self) -> Vec<f64> {
        self.requests.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}
