//! One NTP association: when it sends what, which replies count, and what they tell.
//!
//! Contract: [`Association::handle`] one event, drain [`Association::poll`], wait until [`Association::next_timeout`]. Time, packets and
//! randomness come in; packets, samples and notices go out. A time stamp is put on the free clock at the moment it comes in, so
//! that a step or slew between two of them changes nothing (house.md §4).
//!
//! `schedule` decides when a request leaves, `exchange` what it holds and which reply counts (discipline.md §1.2), the
//! [`register`](super::register) what the samples are worth.

mod broadcast;
mod change;
mod check;
mod exchange;
mod facts;
mod learn;
mod listen;
mod median;
mod quantile;
mod request;
mod schedule;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

pub use self::broadcast::Broadcaster;
pub use self::change::Change;
pub use self::check::Tests;
pub use self::facts::{Activity, Counters, Facts, Packet};
pub use self::listen::Listening;
use self::listen::Path;
use self::median::Median;
use self::quantile::Quantile;
use self::request::Memory;
use self::schedule::{Purpose, Schedule};
use super::measurement::Measurement;
use super::options;
use super::register::{Dump, Register, Tuning};
use super::rng::Rng;
use super::server::Snapshot;
use super::timeline::{FreeTime, Timeline};
use crate::auth::KeyRing;
use crate::types::{KeyId, Leap, MonoTime, Now, NtpTimestamp, Reach, Secs, TimeDelta, Timestamp};
use crate::wire::ntp::Kiss;

/// Who took a time stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stamper {
    /// This program, before it sent or after it received.
    Daemon,
    /// The kernel.
    Kernel,
    /// The network card.
    Hardware,
}

impl Stamper {
    /// The letter of the measurements log.
    pub const fn letter(self) -> char {
        match self {
            Self::Daemon => 'D',
            Self::Kernel => 'K',
            Self::Hardware => 'H',
        }
    }
}

/// A reading of the kernel clock when a packet left or came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stamp {
    /// The reading.
    pub at: Timestamp,
    /// Who took it.
    pub by: Stamper,
    /// How far it can be wrong.
    pub error: Secs,
}

/// A time stamp on the free clock.
#[derive(Debug, Clone, Copy, PartialEq)]
struct LocalStamp {
    at: FreeTime,
    by: Stamper,
    error: f64,
}

impl LocalStamp {
    fn new(stamp: Stamp, timeline: &Timeline) -> Self {
        Self { at: timeline.free(stamp.at), by: stamp.by, error: stamp.error.get() }
    }
}

/// A request, so that its transmit time stamp finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Token(pub u32);

/// What an association is told about this host.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// What we serve; symmetric peers are told it too.
    pub snapshot: Snapshot,
    /// Reading precision of our clock, s.
    pub precision: f64,
    /// Where we answer, the unspecified address standing for all of its family: a reply of ourselves is a loop.
    pub serving: Vec<SocketAddr>,
    /// Bound on what our clock's rate does between updates, s/s.
    pub maxclockerror: f64,
    /// When this program was released: the era of time stamps is never one before it.
    pub released: Timestamp,
}

/// What every event comes with.
pub struct Context<'a> {
    /// Both clocks.
    pub now: Now,
    /// The corrections of the kernel clock and the estimate that they follow.
    pub timeline: &'a Timeline,
    /// The keys of the key file.
    pub keys: &'a KeyRing,
    /// This host.
    pub host: &'a Host,
    /// No request before this instant: requests to different sources keep a distance.
    pub earliest: MonoTime,
    /// Randomness.
    pub rng: &'a mut dyn Rng,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// [`Association::next_timeout`] has come.
    Timer,
    /// The request left.
    Sent {
        /// Which.
        token: Token,
        /// When. May come twice; the better stamp counts.
        at: Stamp,
    },
    /// The request could not be sent.
    NotSent {
        /// Which.
        token: Token,
    },
    /// A datagram of this source came in.
    Reply {
        /// Its bytes.
        bytes: &'a [u8],
        /// When.
        received: Stamp,
        /// Our address that it was sent to, if known.
        local: Option<IpAddr>,
    },
    /// The source may be asked (`chronyc online`).
    Online,
    /// The source may not be asked (`chronyc offline`).
    Offline,
    /// Ask quickly until `good` replies were good, at most `total` times (`chronyc burst`).
    Burst {
        /// Good replies that are wanted.
        good: u32,
        /// Requests at most.
        total: u32,
    },
}

/// Which socket a packet leaves from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// A socket opened for this request, so that a forger has to guess its port.
    Fresh,
    /// The server's: peers and broadcasts.
    Server,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send this datagram, then report [`Event::Sent`] or [`Event::NotSent`].
    Send {
        /// Where to.
        to: SocketAddr,
        /// The packet.
        bytes: Vec<u8>,
        /// Its number.
        token: Token,
        /// The socket.
        port: Port,
    },
    /// The socket of the last request is not needed any more.
    Close,
    /// A packet came in: for the measurements log.
    Packet(Rc<Packet>),
    /// A good sample: it is in the register already.
    Sample(Measurement),
    /// The reach register moved: the selection may have to be run again.
    Reach,
    /// Something to log.
    Notice(Notice),
}

/// What is logged about a source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Notice {
    /// It may be asked again.
    Online,
    /// It is not asked any more.
    Offline,
    /// It asks us to change something.
    Kiss(Kiss),
    /// Its key is not in the key file.
    KeyMissing(u32),
    /// An option was changed.
    Changed(Change),
}

impl Notice {
    /// The line of the log, in chronyd's words.
    pub fn text(&self, source: &str) -> String {
        match self {
            Self::Online => format!("Source {source} online"),
            Self::Offline => format!("Source {source} offline"),
            Self::Kiss(kiss) => {
                let code = kiss.to_refid().as_ascii().unwrap_or_default();
                format!("Received KoD {code} from {source}")
            }
            Self::KeyMissing(id) => format!("Key {id} is missing"),
            Self::Changed(change) => format!("Source {source} new {change}"),
        }
    }
}

/// What an association speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Asks a server.
    Client,
    /// Symmetric active.
    Peer,
    /// Hears a server's broadcasts.
    Listener,
}

/// What a dump kept besides the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// Reachability register.
    pub reach: u8,
    /// How many of its bits mean something.
    pub reach_size: u8,
    /// The source's stratum.
    pub stratum: u8,
    /// Its leap status.
    pub leap: Leap,
}

/// How an association starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// As a daemon does: first request after 0.2 s, the last gap of an initial burst is long.
    Daemon,
    /// At once and without long gaps (`-q`, `-Q`).
    AtOnce,
}

/// One NTP association.
#[derive(Debug)]
pub struct Association {
    address: SocketAddr,
    role: Role,
    options: options::Source,
    schedule: Schedule,
    memory: Memory,
    register: Register,
    quantile: Option<Quantile>,
    median: Option<Median>,
    /// Good in all but the delay: a longer route looks like that.
    suspects: VecDeque<Measurement>,
    /// How many suspects came in a row.
    suspected: u32,
    reach: Reach,
    /// Valid bits of `reach`.
    reach_size: u8,
    /// Polls in a row with an empty register.
    unreachable: u32,
    counters: Counters,
    last: Option<Rc<Packet>>,
    /// What a dump said, until there is a packet.
    remembered: Option<Remembered>,
    effects: VecDeque<Effect>,
    /// Whether the driver holds a socket for the last request.
    open: bool,
    /// Whether the lack of the key is known: who made the association knows, a later loss is logged.
    key_missed: bool,
    /// Whether a kiss code was logged since the last good sample.
    kissed: bool,
    /// What is known of a source that broadcasts.
    path: Option<Path>,
}

impl Association {
    /// An association that begins now, online unless its options say otherwise.
    pub fn new(
        address: SocketAddr,
        options: &options::Source,
        start: Start,
        context: &mut Context<'_>,
    ) -> Self {
        let role = if options.kind == options::Kind::Peer { Role::Peer } else { Role::Client };
        let mut association = Self {
            address,
            role,
            schedule: Schedule::new(options, start, context.now.mono),
            memory: Memory::default(),
            register: Register::new(tuning(options, context.host)),
            quantile: Quantile::new(options.maxdelayquant, context.host.precision),
            median: Median::new(options.filter),
            suspects: VecDeque::new(),
            suspected: 0,
            reach: Reach::default(),
            reach_size: 0,
            unreachable: 0,
            counters: Counters::default(),
            last: None,
            remembered: None,
            effects: VecDeque::new(),
            open: false,
            key_missed: context.keys.get(KeyId::new(options.key)).is_none(),
            kissed: false,
            path: None,
            options: options.clone(),
        };
        if !options.flags.offline {
            association.schedule.go_online(&association.options, context.now.mono);
        }
        association
    }

    /// Takes one event.
    pub fn handle(&mut self, context: &mut Context<'_>, event: Event<'_>) {
        match event {
            Event::Timer => self.timer(context),
            Event::Sent { token, at } => {
                let told = NtpTimestamp::from_timestamp(context.host.snapshot.served(at.at));
                self.memory.sent(token, LocalStamp::new(at, context.timeline), told);
            }
            Event::NotSent { token } => self.not_sent(context, token),
            Event::Reply { bytes, received, local } => self.reply(context, bytes, received, local),
            Event::Online => self.online(context),
            Event::Offline => self.offline(),
            Event::Burst { good, total } => {
                if self.role == Role::Client && self.path.is_none() {
                    self.schedule.burst(good, total, context.now.mono);
                }
            }
        }
    }

    /// The next thing to do; `None`: nothing until the next event.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Event::Timer`] is due.
    pub fn next_timeout(&self) -> Option<MonoTime> {
        [self.schedule.due(), self.memory.patience()].into_iter().flatten().min()
    }

    fn timer(&mut self, context: &mut Context<'_>) {
        let now = context.now.mono;
        if self.memory.patience().is_some_and(|end| end <= now) {
            self.close();
        }
        if self.schedule.due().is_none_or(|due| due > now) {
            return;
        }
        if context.earliest > now {
            self.schedule.postpone(context.earliest);
            return;
        }
        if !self.listened(context) {
            self.send(context);
        }
    }

    fn send(&mut self, context: &mut Context<'_>) {
        self.close();
        if self.schedule.is_awaiting() {
            self.missed();
        }
        self.filtered(context);
        let purpose = self.schedule.transmit(&self.options, context);
        if let Some(median) = self.median.as_mut().filter(|_| purpose == Purpose::Measure) {
            median.poll();
        }
        let Some((bytes, token)) = self.request(context, purpose) else { return };
        let port = if self.role == Role::Client { Port::Fresh } else { Port::Server };
        self.counters.sent = self.counters.sent.saturating_add(1);
        self.open = port == Port::Fresh;
        self.effects.push_back(Effect::Send { to: self.address, bytes, token, port });
    }

    /// The socket of the last request is not needed any more.
    fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            self.effects.push_back(Effect::Close);
        }
        if self.role == Role::Client {
            self.memory.give_up();
        }
    }

    /// A poll went without an answer.
    fn missed(&mut self) {
        self.shift_reach(false);
        if self.reach.bits() == 0 {
            self.schedule.forget_remote();
        }
        self.schedule.unanswered(&self.options);
    }

    fn shift_reach(&mut self, answered: bool) {
        self.reach = self.reach.shifted(answered);
        self.reach_size = (self.reach_size + 1).min(8);
        self.unreachable = if self.reach.bits() == 0 { self.unreachable.saturating_add(1) } else { 0 };
        self.effects.push_back(Effect::Reach);
    }

    fn not_sent(&mut self, context: &mut Context<'_>, token: Token) {
        if self.memory.cancel(token) {
            self.counters.sent = self.counters.sent.saturating_sub(1);
            self.close();
            if self.options.flags.auto_offline && self.schedule.is_online() {
                self.offline();
            }
            self.schedule.not_sent(context.now.mono);
        }
    }

    fn online(&mut self, context: &mut Context<'_>) {
        if !self.schedule.is_online() {
            self.schedule.go_online(&self.options, context.now.mono);
            self.effects.push_back(Effect::Notice(Notice::Online));
        }
    }

    fn offline(&mut self) {
        if !self.schedule.is_online() {
            return;
        }
        if self.schedule.go_offline() {
            self.close();
        }
        self.reach = Reach::default();
        self.reach_size = 0;
        self.effects.push_back(Effect::Reach);
        self.effects.push_back(Effect::Notice(Notice::Offline));
    }

    /// The poll interval is this power of two from now on, within the limits of the options: the discipline decides.
    /// The next request is moved accordingly.
    pub fn set_poll(&mut self, exponent: f64) {
        if self.path.is_some() {
            return;
        }
        self.schedule.direct(exponent, &self.options, self.register.min_delay());
    }

    /// One request soon, because something looks changed: `after` from now, if that is earlier than planned.
    pub fn hasten(&mut self, now: MonoTime, after: TimeDelta) {
        if self.path.is_none() {
            self.schedule.hasten(now + after);
        }
    }

    /// Whether it is the selected source: that one's interval grows slower when it does not answer.
    pub fn set_selected(&mut self, selected: bool) {
        self.schedule.selected = selected;
    }

    /// The clock jumped for a reason that is not ours: all that was measured is void.
    pub fn reset(&mut self) {
        self.register.reset();
        self.suspects.clear();
        self.suspected = 0;
        if let Some(median) = &mut self.median {
            median.clear();
        }
        self.close();
        self.memory.forget();
    }

    /// The samples.
    pub const fn register(&self) -> &Register {
        &self.register
    }

    /// Starts with what a dump kept. Answers whether its samples were in order; otherwise nothing is taken.
    pub fn remember(&mut self, remembered: Remembered, dump: &Dump) -> bool {
        if !self.register.restore(dump) {
            return false;
        }
        self.reach = Reach::from_bits(remembered.reach);
        self.reach_size = remembered.reach_size.min(8);
        self.remembered = Some(remembered);
        true
    }

    /// The samples, to change them.
    pub const fn register_mut(&mut self) -> &mut Register {
        &mut self.register
    }

    /// The options in force.
    pub const fn options(&self) -> &options::Source {
        &self.options
    }

    /// The options that do not change how it speaks: `prefer`, `noselect`, `trust`, `require`.
    pub const fn flags_mut(&mut self) -> &mut options::Flags {
        &mut self.options.flags
    }

    /// Where it sends to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the reports show.
    pub fn facts(&self) -> Facts<'_> {
        let minstratum = u8::try_from(self.options.minstratum).unwrap_or(16);
        Facts {
            address: self.address,
            role: if self.path.is_some() { Role::Listener } else { self.role },
            poll: self.schedule.poll(),
            score: self.schedule.score(),
            reach: self.reach,
            reach_size: self.reach_size,
            unreachable: self.unreachable,
            given_up: self.unreachable > self.options.maxunreach,
            activity: self.schedule.activity(),
            leap: self
                .last
                .as_ref()
                .map_or(self.remembered.map_or(Leap::Unsynchronised, |known| known.leap), |packet| {
                    packet.header.leap
                }),
            stratum: self.last.as_ref().map_or(self.remembered.map_or(0, |known| known.stratum), |packet| {
                packet.header.stratum.get().max(minstratum)
            }),
            counters: self.counters,
            last: self.last.as_deref(),
        }
    }
}

/// What the options mean for the register.
fn tuning(options: &options::Source, host: &Host) -> Tuning {
    let size =
        |value: Option<u32>, default: usize| value.map_or(default, |n| usize::try_from(n).unwrap_or(default));
    let default = Tuning::default();
    Tuning {
        minsamples: size(options.minsamples, default.minsamples),
        maxsamples: size(options.maxsamples, default.maxsamples),
        mindelay: options.mindelay,
        asymmetry: options.asymmetry,
        precision: host.precision,
        maxclockerror: host.maxclockerror,
    }
}

#[cfg(test)]
mod tests;
