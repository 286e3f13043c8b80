//! The event heap: hosts with clocks, paths between them, and what happens next.
//!
//! A node (the daemon's engine, the prototype, a server) sees what a process sees: readings of its own clocks, packets with the
//! stamp of their arrival, its own timers. It can send, step its clock and set its rate. The same seed gives the same run.

use std::any::Any;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use ntpbox::engine::interference::Look;
use ntpbox::engine::timeline::KernelRate;
use ntpbox::types::{MonoTime, Now, TimeDelta};

use super::host::{Clock, TrueTime};
use super::link::Path;
use super::metrics::Result;
use super::rng::Stream;

/// A host's place in the world.
pub(crate) type HostId = usize;

/// Timers in a row at one instant: more is a loop.
const MAX_IDLE_WAKES: u32 = 10_000;
/// Packets on their way at once: more is a storm.
const MAX_EVENTS: usize = 100_000;

/// What runs on a host.
pub(crate) trait Node: Any {
    /// The process starts.
    fn start(&mut self, _host: &mut Host<'_>) {}
    /// A packet has come; its stamp of arrival is what the host's clock reads now.
    fn on_datagram(&mut self, from: HostId, bytes: &[u8], host: &mut Host<'_>);
    /// `next_timeout` has been reached.
    fn on_timer(&mut self, _host: &mut Host<'_>) {}
    /// When to be woken; asked after every call.
    fn next_timeout(&self) -> Option<MonoTime> {
        None
    }
}

/// What a node can do.
pub(crate) struct Host<'a> {
    clock: &'a mut Clock,
    outgoing: &'a mut Vec<(HostId, Vec<u8>)>,
    /// Random bits.
    pub(crate) rng: &'a mut Stream,
}

impl Host<'_> {
    /// What the clocks read.
    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// How the kernel's clock stands.
    pub(crate) fn look(&self) -> Look {
        let setting = KernelRate::nearest(self.clock.kernel_rate());
        Look { mono: self.now().mono, raw: self.clock.raw(), setting, slewing: false }
    }

    /// Sends a packet, now.
    pub(crate) fn send(&mut self, to: HostId, bytes: Vec<u8>) {
        self.outgoing.push((to, bytes));
    }

    /// Sets the whole rate (s/s; > 0 gains) and returns what the kernel took.
    pub(crate) fn set_rate(&mut self, rate: f64) -> f64 {
        self.clock.set_rate(rate)
    }

    /// Steps the clock.
    pub(crate) fn step(&mut self, by: TimeDelta) {
        self.clock.step(by.as_nanos());
    }
}

enum Event {
    Deliver {
        from: HostId,
        to: HostId,
        bytes: Vec<u8>,
    },
    /// A timer, unless it has been set again since.
    Wake {
        host: HostId,
        generation: u64,
    },
    /// Somebody else steps the clock, ns.
    Step {
        host: HostId,
        nanos: i64,
    },
    /// Somebody else sets its rate, to so much more, s/s.
    Rate {
        host: HostId,
        more: f64,
    },
}

struct Entry {
    at: TrueTime,
    sequence: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The heap gives the greatest: the earliest, and of those the one that came first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at).then(other.sequence.cmp(&self.sequence))
    }
}

struct Place {
    clock: Clock,
    node: Box<dyn Node>,
    rng: Stream,
    generation: u64,
    due: Option<MonoTime>,
    idle_wakes: u32,
    sent: u64,
    /// True second of each packet that left, for checks of the poll interval.
    log: Vec<(f64, HostId)>,
}

/// Hosts, paths and what is to come.
#[derive(Default)]
pub(crate) struct World {
    places: Vec<Place>,
    paths: BTreeMap<(HostId, HostId), Path>,
    heap: BinaryHeap<Entry>,
    sequence: u64,
    now: Option<TrueTime>,
    outgoing: Vec<(HostId, Vec<u8>)>,
}

impl World {
    /// A host more.
    pub(crate) fn add(&mut self, clock: Clock, node: Box<dyn Node>, rng: Stream) -> HostId {
        self.places.push(Place {
            clock,
            node,
            rng,
            generation: 0,
            due: None,
            idle_wakes: 0,
            sent: 0,
            log: Vec::new(),
        });
        self.places.len() - 1
    }

    /// One direction between two hosts.
    pub(crate) fn connect(&mut self, from: HostId, to: HostId, path: Path) {
        self.paths.insert((from, to), path);
    }

    /// At this second somebody steps the clock of a host.
    pub(crate) fn step_at(&mut self, second: i64, host: HostId, nanos: i64) {
        self.push(TrueTime::at(second), Event::Step { host, nanos });
    }

    /// At this second somebody adds to the rate of a host's clock, s/s.
    pub(crate) fn rate_at(&mut self, second: i64, host: HostId, more: f64) {
        self.push(TrueTime::at(second), Event::Rate { host, more });
    }

    /// Lets the world go on until this second.
    pub(crate) fn run(&mut self, until: i64) {
        let end = TrueTime::at(until);
        if self.now.is_none() {
            self.now = Some(TrueTime::at(0));
            for host in 0..self.places.len() {
                self.with_node(host, TrueTime::at(0), |node, host| node.start(host));
            }
        }
        while self.heap.peek().is_some_and(|entry| entry.at < end) {
            assert!(self.heap.len() < MAX_EVENTS, "a storm of packets at {:?}", self.now);
            let Some(Entry { at, event, .. }) = self.heap.pop() else { break };
            self.now = Some(at);
            match event {
                Event::Deliver { from, to, bytes } => {
                    self.with_node(to, at, |node, host| node.on_datagram(from, &bytes, host));
                }
                Event::Wake { host, generation } => self.wake(host, generation, at),
                Event::Step { host, nanos } => {
                    self.with_node(host, at, |_, host| host.step(TimeDelta::from_nanos(nanos)));
                }
                Event::Rate { host, more } => {
                    self.with_node(host, at, |_, host| {
                        host.set_rate(host.clock.kernel_rate() + more);
                    });
                }
            }
        }
        self.now = Some(end);
        for place in &mut self.places {
            place.clock.advance(end);
        }
    }

    /// The clock of a host.
    pub(crate) fn clock(&self, host: HostId) -> &Clock {
        &self.places[host].clock
    }

    /// What runs there, if it is a `T`.
    pub(crate) fn node<T: Node>(&self, host: HostId) -> Option<&T> {
        let node: &dyn Any = self.places[host].node.as_ref();
        node.downcast_ref()
    }

    /// When (s of true time) the host sent to that other one.
    pub(crate) fn sent(&self, from: HostId, to: HostId) -> Vec<f64> {
        self.places[from].log.iter().filter(|entry| entry.1 == to).map(|entry| entry.0).collect()
    }

    /// The figures of a host after `span` s.
    pub(crate) fn result(&self, host: HostId, span: i64) -> Result {
        let place = &self.places[host];
        place.clock.metrics.result(place.sent, span)
    }

    fn push(&mut self, at: TrueTime, event: Event) {
        self.sequence += 1;
        self.heap.push(Entry { at, sequence: self.sequence, event });
    }

    fn wake(&mut self, host: HostId, generation: u64, at: TrueTime) {
        let place = &mut self.places[host];
        if place.generation != generation {
            return;
        }
        place.clock.advance(at);
        if place.due.is_some_and(|due| place.clock.now().mono >= due) {
            place.idle_wakes += 1;
            assert!(place.idle_wakes < MAX_IDLE_WAKES, "host {host} runs in circles at {at:?}");
            self.with_node(host, at, |node, host| node.on_timer(host));
        } else {
            self.schedule(host, at);
        }
    }

    /// Lets the node act, sends what it sent and sets its timer.
    fn with_node(&mut self, host: HostId, at: TrueTime, act: impl FnOnce(&mut dyn Node, &mut Host<'_>)) {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        let place = &mut self.places[host];
        place.clock.advance(at);
        let mut view = Host { clock: &mut place.clock, outgoing: &mut outgoing, rng: &mut place.rng };
        act(place.node.as_mut(), &mut view);
        let due = place.node.next_timeout();
        if due != place.due {
            place.idle_wakes = 0;
        }
        place.due = due;
        for (to, bytes) in outgoing.drain(..) {
            let place = &mut self.places[host];
            place.sent += 1;
            place.log.push((at.secs(), to));
            let Some(path) = self.paths.get_mut(&(host, to)) else { continue };
            for delay in path.carry(at) {
                let bytes = bytes.clone();
                self.push(at.plus(delay), Event::Deliver { from: host, to, bytes });
            }
        }
        self.outgoing = outgoing;
        self.schedule(host, at);
    }

    /// Sets the timer of a host. A far one is approached in two hops, since the rate changes on the way.
    fn schedule(&mut self, host: HostId, at: TrueTime) {
        let place = &mut self.places[host];
        place.generation += 1;
        let generation = place.generation;
        if let Some(due) = place.due {
            let left = place.clock.until(due);
            let hop = if left > 2.0 { left * (1.0 - 1e-4) } else { left };
            self.push(at.plus(hop), Event::Wake { host, generation });
        }
    }
}
