//! Who asked lately, in the order of the last packet, and how often each may ask: ntpd's client list.
//!
//! The limit was measured on ntpd 4.2.8p15, packet by packet: a packet needs a distance of 2^minimum s (less one) and room
//! in a bucket of 8·2^average that leaks one a second; an accepted packet adds 2^average − 2; a refused one is told
//! (`kod`) when the bucket is not full, which then overfills it by 2^average, so that nothing is said for that long.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::restrict::Excess;
use crate::types::{NtpTimestamp, TimeDelta, Timestamp};

/// No entry.
const NONE: usize = usize::MAX;

/// `discard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Average distance of packets, log2 s, 0 … 17.
    pub average: u8,
    /// Shortest distance of packets, log2 s, 0 … 17.
    pub minimum: u8,
}

impl Default for Limit {
    fn default() -> Self {
        Self { average: 3, minimum: 1 }
    }
}

/// How large the list may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most entries.
    pub most: usize,
    /// Entries that are kept whatever their age.
    pub least: usize,
    /// Age from which on an entry above `least` gives way.
    pub age: TimeDelta,
}

/// One address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its address, and the port of its last packet.
    pub from: SocketAddr,
    /// Its first packet.
    pub first: Timestamp,
    /// Its last packet.
    pub last: Timestamp,
    /// Its packets.
    pub count: u64,
    /// Version and mode of the last packet, as in its first byte.
    pub version_mode: u8,
    /// Flags of the access list for it, `limited` and `kod` only when it was refused.
    pub flags: u16,
    bucket: i64,
    /// Its last request; `None`: it only answered so far.
    asked: Option<Timestamp>,
    older: usize,
    newer: usize,
}

/// The list.
#[derive(Debug, Clone)]
pub struct Clients {
    bounds: Bounds,
    places: BTreeMap<IpAddr, usize>,
    entries: Vec<Entry>,
    newest: usize,
    oldest: usize,
    deepest: usize,
}

impl Clients {
    /// An empty list.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, places: BTreeMap::new(), entries: Vec::new(), newest: NONE, oldest: NONE, deepest: 0 }
    }

    /// How large it may become.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// How large it may become from now on.
    pub const fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// How many addresses it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The most that it held.
    pub fn deepest(&self) -> usize {
        self.deepest
    }

    /// Notes a packet and says whether it is one too many. `flags` are kept for `mrulist`; see [`Clients::mark`].
    pub fn see(&mut self, from: SocketAddr, at: Timestamp, version_mode: u8, limit: Limit) -> Excess {
        let Some(entry) = self.note(from, at, version_mode) else { return Excess::None };
        let Some(before) = entry.asked.replace(at) else { return Excess::None };
        let half = TimeDelta::from_nanos(500_000_000);
        let distance = ((at - before).max(TimeDelta::ZERO) + half).as_nanos() / 1_000_000_000;
        entry.bucket = entry.bucket.saturating_sub(distance).max(0);
        let head = 1_i64 << limit.average.min(17);
        let full = 8 * head;
        if distance.saturating_add(1) >= 1_i64 << limit.minimum.min(17) && entry.bucket + head < full {
            entry.bucket = (entry.bucket + head - 2).max(0);
            Excess::None
        } else if entry.bucket < full {
            entry.bucket = full + head;
            Excess::Kiss
        } else {
            Excess::Quiet
        }
    }

    /// Notes a packet that answers a request of ours: it is listed and does not count against its sender.
    pub fn hear(&mut self, from: SocketAddr, at: Timestamp, version_mode: u8) {
        self.note(from, at, version_mode);
    }

    /// The entry of an address with this packet in it, as the latest.
    fn note(&mut self, from: SocketAddr, at: Timestamp, version_mode: u8) -> Option<&mut Entry> {
        let address = from.ip().to_canonical();
        let from = SocketAddr::new(address, from.port());
        match self.places.get(&address).copied() {
            Some(place) => {
                self.detach(place);
                self.attach(place);
            }
            None => self.insert(Entry {
                from,
                first: at,
                last: at,
                count: 0,
                version_mode,
                flags: 0,
                bucket: 0,
                asked: None,
                older: NONE,
                newer: NONE,
            }),
        }
        let entry = self.entries.get_mut(self.newest)?;
        (entry.from, entry.last, entry.version_mode) = (from, at, version_mode);
        entry.count += 1;
        Some(entry)
    }

    /// The flags that `mrulist` shows for the address that was seen last.
    pub fn mark(&mut self, flags: u16) {
        if let Some(entry) = self.entries.get_mut(self.newest) {
            entry.flags = flags;
        }
    }

    /// The entry of an address.
    pub fn get(&self, address: IpAddr) -> Option<&Entry> {
        self.places.get(&address.to_canonical()).and_then(|place| self.entries.get(*place))
    }

    /// From the one that was seen longest ago to the latest.
    pub fn oldest_first(&self) -> impl Iterator<Item = &Entry> {
        self.walk(self.oldest)
    }

    /// The entry with the last packet.
    pub fn latest(&self) -> Option<&Entry> {
        self.entries.get(self.newest)
    }

    /// From an address on to the latest; `None` when it was not last seen at that time.
    pub fn from(&self, address: IpAddr, last: NtpTimestamp) -> Option<impl Iterator<Item = &Entry>> {
        let place = *self.places.get(&address.to_canonical())?;
        let entry = self.entries.get(place)?;
        (NtpTimestamp::from_timestamp(entry.last) == last).then(|| self.walk(place))
    }

    fn walk(&self, start: usize) -> impl Iterator<Item = &Entry> {
        let mut next = start;
        std::iter::from_fn(move || {
            let entry = self.entries.get(next)?;
            next = entry.newer;
            Some(entry)
        })
    }

    fn insert(&mut self, entry: Entry) {
        let old = self.entries.get(self.oldest).map(|oldest| entry.first - oldest.last);
        let reuse = self.entries.len() >= self.bounds.most.max(1)
            || self.entries.len() >= self.bounds.least && old.is_some_and(|age| age > self.bounds.age);
        let place = if reuse && self.oldest != NONE {
            let place = self.oldest;
            self.detach(place);
            if let Some(gone) = self.entries.get(place) {
                self.places.remove(&gone.from.ip());
            }
            place
        } else {
            self.entries.push(entry);
            self.entries.len() - 1
        };
        if let Some(slot) = self.entries.get_mut(place) {
            *slot = entry;
        }
        self.places.insert(entry.from.ip(), place);
        self.attach(place);
        self.deepest = self.deepest.max(self.entries.len());
    }

    /// Takes an entry out of the order.
    fn detach(&mut self, place: usize) {
        let Some(&Entry { older, newer, .. }) = self.entries.get(place) else { return };
        match self.entries.get_mut(older) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
        match self.entries.get_mut(newer) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
    }

    /// Puts an entry at the latest end.
    fn attach(&mut self, place: usize) {
        let before = self.newest;
        if let Some(entry) = self.entries.get_mut(place) {
            (entry.older, entry.newer) = (before, NONE);
        }
        match self.entries.get_mut(before) {
            Some(entry) => entry.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_unix(1_795_000_000, 0);

    fn clients() -> Clients {
        Clients::new(Bounds { most: 4, least: 2, age: TimeDelta::from_secs(64) })
    }

    fn from(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 4000))
    }

    /// What 4.2.8p15 did with requests at these times: A answered, R told, - silence.
    #[test]
    fn the_limit_is_that_of_4_2_8p15() {
        let schedules = [
            "0:A 0.01:R 0.02:- 0.03:- 5:- 11:R 18:- 29:A",
            "0:A 0.01:R 0.02:- 2:- 4:- 6:- 8:- 10:R 12:-",
            "0:A 0.01:R 0.02:- 0.03:- 20:A 22:R 24:- 30:- 40:A",
            "0:A 0.5:A 1.2:A 1.9:A 2.6:A 3.3:A 8:A 9:A 10:A",
            "0:A 0.01:R 8:-",
            "0:A 0.01:R 9:R",
            "0:A 0.01:R 16:R",
            "0:A 0.01:R 17:A",
        ];
        let steady = |gap: u32, answered: u32, total: u32| {
            (0..total)
                .map(|k| {
                    (
                        f64::from(k * gap),
                        if k < answered {
                            'A'
                        } else if k == answered {
                            'R'
                        } else {
                            '-'
                        },
                    )
                })
                .collect::<Vec<_>>()
        };
        let mut all: Vec<Vec<(f64, char)>> = schedules
            .iter()
            .map(|line| {
                line.split(' ')
                    .map(|item| item.split_once(':').unwrap())
                    .map(|(at, what)| (at.parse().unwrap(), what.chars().next().unwrap()))
                    .collect()
            })
            .collect();
        all.extend([
            steady(1, 13, 22),
            steady(2, 15, 19),
            steady(3, 20, 23),
            steady(4, 29, 31),
            steady(6, 90, 90),
        ]);
        for schedule in all {
            let mut clients = clients();
            for (at, expected) in schedule {
                let nanos = TimeDelta::from_secs_f64(at).unwrap();
                let verdict = match clients.see(from(1), START + nanos, 0x23, Limit::default()) {
                    Excess::None => 'A',
                    Excess::Kiss => 'R',
                    Excess::Quiet => '-',
                };
                assert_eq!(verdict, expected, "at {at}");
            }
        }
    }

    #[test]
    fn what_a_server_answers_is_listed_and_leaves_its_requests_alone() {
        let mut clients = clients();
        let at = |secs| START + TimeDelta::from_secs(secs);
        for secs in 0..20 {
            clients.hear(from(1), at(secs), 0x24);
        }
        let entry = clients.get(from(1).ip()).unwrap();
        assert_eq!(
            (entry.count, entry.version_mode, entry.last - entry.first),
            (20, 0x24, TimeDelta::from_secs(19))
        );
        assert_eq!(clients.see(from(1), at(20), 0x21, Limit::default()), Excess::None);
        clients.hear(from(1), at(22), 0x24);
        // two seconds after its own last request
        assert_eq!(clients.see(from(1), at(22), 0x21, Limit::default()), Excess::None);
        assert_eq!(clients.get(from(1).ip()).unwrap().count, 23);
    }

    #[test]
    fn the_oldest_gives_way_when_it_must() {
        let mut clients = clients();
        for (n, at) in [(1, 0), (2, 1), (3, 2), (4, 3), (1, 4), (5, 5)] {
            clients.see(from(n), START + TimeDelta::from_secs(at), 0x23, Limit::default());
        }
        let order: Vec<SocketAddr> = clients.oldest_first().map(|entry| entry.from).collect();
        assert_eq!(order, [from(3), from(4), from(1), from(5)]);
        clients.see(from(6), START + TimeDelta::from_secs(200), 0x23, Limit::default());
        assert_eq!((clients.len(), clients.deepest()), (4, 4));
        assert!(clients.get(from(3).ip()).is_none());
        let entry = clients.get(from(1).ip()).unwrap();
        assert_eq!((entry.count, entry.last - entry.first), (2, TimeDelta::from_secs(4)));
        let last = NtpTimestamp::from_timestamp(entry.last);
        assert_eq!(clients.from(from(1).ip(), last).unwrap().count(), 3);
        assert!(clients.from(from(1).ip(), NtpTimestamp::ZERO).is_none());
    }
}
