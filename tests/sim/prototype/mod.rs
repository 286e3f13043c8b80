//! The second client: the prototype's estimator (`../shared/design/kalman-prototype.rs`), test code only.
//!
//! The simulator is calibrated with it (`calibration.rs`), and the engine is held beside it on shapes that no reference has.
//! Its arithmetic is left as it was when the reference was taken: f64 seconds, one struct per concern, signs of the crate
//! (an offset is what has to be *added* to a clock).

mod discipline;
mod filter;
mod shape;
mod source;
mod steering;

use ntpbox::types::{MonoTime, NtpTimestamp, Secs, Timestamp};
use ntpbox::wire::ntp::Header;

use self::discipline::{ClockCommand, Discipline, Reply};
use self::source::Source;
use super::world::{Host, HostId, Node};

/// How the client is configured: what the matrix needs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// Servers to ask.
    pub(crate) servers: Vec<HostId>,
    /// log2 s.
    pub(crate) polls: (i32, i32),
    pub(crate) iburst: bool,
    /// Threshold, s, and number of updates.
    pub(crate) makestep: (f64, i32),
}

struct Peer {
    host: HostId,
    /// Next request, and the transmit stamp that the reply must return.
    next: MonoTime,
    cookie: Option<u64>,
}

/// A small NTP client around the estimator.
pub(crate) struct Prototype {
    config: Config,
    peers: Vec<Peer>,
    discipline: Discipline,
    /// Zero of its f64 seconds.
    base: Timestamp,
    /// When the slew ends.
    until: Option<MonoTime>,
}

impl Prototype {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            peers: Vec::new(),
            discipline: Discipline::new(Vec::new(), (0.0, 0), 0.0),
            base: Timestamp::UNIX_EPOCH,
            until: None,
        }
    }

    /// Local seconds since the start.
    fn local(&self, t: Timestamp) -> f64 {
        (t - self.base).as_nanos() as f64 * 1e-9
    }

    fn obey(&mut self, command: &ClockCommand, host: &mut Host<'_>) {
        if command.step != 0.0 {
            host.step(Secs::new(command.step).unwrap().to_delta());
        }
        let rate = host.set_rate(command.rate);
        let now = host.now();
        let local = self.local(now.clock);
        self.discipline.rate_set(local, rate);
        self.until = command.until.is_finite().then(|| after(now.mono, command.until - local));
    }

    fn request(&mut self, index: usize, host: &mut Host<'_>) {
        use ntpbox::engine::rng::Rng;
        let now = host.now();
        let cookie = host.rng.next_u64();
        let mut packet = [0_u8; 48];
        packet[0] = 0x23;
        packet[40..].copy_from_slice(&cookie.to_be_bytes());
        let interval = self.discipline.on_request(index, self.local(now.clock));
        let peer = &mut self.peers[index];
        peer.cookie = Some(cookie);
        peer.next = after(now.mono, interval * (1.0 + 0.02 * host.rng.uniform()));
        host.send(peer.host, packet.to_vec());
    }
}

fn after(now: MonoTime, secs: f64) -> MonoTime {
    now + Secs::new(secs.max(0.0)).unwrap().to_delta()
}

impl Node for Prototype {
    fn start(&mut self, host: &mut Host<'_>) {
        let now = host.now();
        self.base = now.clock;
        let polls = self.config.polls;
        let source = || Source::new(polls.0, polls.1, self.config.iburst);
        let sources = self.config.servers.iter().map(|_| source()).collect();
        self.discipline = Discipline::new(sources, self.config.makestep, 0.0);
        self.peers = (self.config.servers.iter().enumerate())
            .map(|(i, &host)| Peer { host, next: after(now.mono, 0.2 + 0.2 * i as f64), cookie: None })
            .collect();
        let rate = host.set_rate(0.0);
        self.discipline.rate_set(0.0, rate);
    }

    fn on_timer(&mut self, host: &mut Host<'_>) {
        let now = host.now().mono;
        if self.until.is_some_and(|until| until <= now) {
            let command = self.discipline.on_timer();
            self.obey(&command, host);
        }
        for index in 0..self.peers.len() {
            if self.peers[index].next <= now {
                self.request(index, host);
            }
        }
    }

    fn on_datagram(&mut self, from: HostId, bytes: &[u8], host: &mut Host<'_>) {
        let now = host.now();
        let Some(index) = self.peers.iter().position(|peer| peer.host == from) else { return };
        let Ok(header) = Header::parse(bytes) else { return };
        if self.peers[index].cookie != Some(header.origin.to_bits()) || header.stratum.get() == 0 {
            return;
        }
        self.peers[index].cookie = None;
        // seconds and 2^-32 s apart, so that no ns is lost
        let base = NtpTimestamp::from_timestamp(self.base);
        let far = |stamp: NtpTimestamp| {
            let units = stamp.to_bits().wrapping_sub(base.to_bits());
            units.cast_signed() as f64 / 4_294_967_296.0
        };
        let reply = Reply {
            t2: far(header.receive),
            t3: far(header.transmit),
            t4: self.local(now.clock),
            root_delay: header.root_delay.to_secs().get(),
            root_disp: header.root_dispersion.to_secs().get(),
        };
        let reaction = self.discipline.on_reply(index, &reply);
        if let Some(command) = reaction.clock {
            self.obey(&command, host);
        }
        if let Some(secs) = reaction.next_request {
            self.peers[index].next = after(host.now().mono, secs);
        }
    }

    fn next_timeout(&self) -> Option<MonoTime> {
        self.peers.iter().map(|peer| peer.next).chain(self.until).min()
    }
}
