//! Who asked, how often, and whether he is answered: what `clients` and `serverstats` show, and the buckets of `ratelimit`.
//!
//! The memory of `clientloglimit` is divided once and never grows. Each part is one zeroed block that the kernel maps page by
//! page as addresses come, so that an idle server pays nothing for it. IPv4 and IPv6 have tables of their own, so that a flood
//! of forged addresses of one family leaves the other alone; those who ask for reports are in a third.
//!
//! A table is an array of sets of 16 records; an address belongs to two sets that a secret seed chooses, and a new one takes a
//! free place of the emptier. Where both are full, the oldest record that was seen only once gives way, else the oldest; who
//! came back within `PROTECTED` is passed over as long as there are others. So a flood of forged addresses, of which each
//! is seen once, turns over among its own records.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::rng::Rng;
use crate::types::MonoTime;

/// Records of a set.
const WAYS: usize = 16;
/// How a table's part of the limit is counted: hundredths for IPv4, IPv6 and commands; interleaved mode has the rest.
const SHARES: [usize; 3] = [63, 24, 3];
/// Most memory that is used whatever the limit says, as in the original: 2 GiB.
const MOST: usize = 1 << 31;
/// 1/16 s in ns: the resolution of the last packet's time.
const TICK: i64 = 62_500_000;
/// Who came again within this time (4 × the longest usual poll interval) is not replaced by who came once: ticks.
const PROTECTED: u32 = 4096 * 16;
/// An interval that is not known.
const UNKNOWN: i8 = i8::MIN;
/// The last packet of the address got no answer.
const REFUSED: u32 = 1 << 31;
/// The part of a record's word that holds its tokens.
const TOKENS: u32 = (1 << 24) - 1;

/// `ratelimit`, `cmdratelimit`: a token is one response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How long it takes to get a token back, log2 s: −19 … 12, coarse below −4.
    pub interval: i8,
    /// How many tokens an address can have: 1 … 255.
    pub burst: u8,
    /// One of 2^leak packets without a token is answered all the same: 1 … 4.
    pub leak: u8,
    /// One of 2^kod packets that are not answered gets a kiss of death: 1 … 4; 0: none does.
    pub kod: u8,
}

/// A [`RateLimit`] in units of the bucket.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// What a tick brings.
    gain: u64,
    /// What a response costs.
    cost: u32,
    /// The most that there can be, less than 2²⁴.
    full: u32,
    leak: u64,
    kod: Option<u64>,
}

impl Bucket {
    /// Values out of range count as the nearest that is not.
    fn new(limit: RateLimit) -> Self {
        // in ticks: 2⁻⁴ s
        let interval = i32::from(limit.interval.clamp(-19, 12)) + 4;
        let power = |exponent: i32| 1_u32 << u32::try_from(exponent.max(0)).unwrap_or(0);
        let cost = power(interval);
        Self {
            gain: u64::from(power(-interval)),
            cost,
            full: cost * u32::from(limit.burst.max(1)),
            leak: u64::from(power(i32::from(limit.leak.clamp(1, 4)))) - 1,
            kod: (limit.kod > 0).then(|| u64::from(power(i32::from(limit.kod.min(4)))) - 1),
        }
    }
}

/// What a packet gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// An answer.
    Serve,
    /// A kiss of death: RATE.
    Kiss,
    /// Nothing.
    Refuse,
}

/// Packets of one kind from one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// Packets that came.
    pub hits: u32,
    /// Packets that the rate limit left unanswered; 65535: that many or more.
    pub drops: u16,
    /// Log2 s of the usual interval; `None`: seen once.
    pub interval: Option<i8>,
    /// The same for packets that came while others were refused.
    pub limited_interval: Option<i8>,
    /// Whole seconds since the last one.
    pub last: u32,
}

/// One address, as `clients` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The address.
    pub address: IpAddr,
    /// Time requests.
    pub ntp: Option<Activity>,
    /// Commands.
    pub command: Option<Activity>,
}

/// Part of the list of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// How many places there are.
    pub places: usize,
    /// Where the next part begins; `places`: this was the last.
    pub next: usize,
    /// The addresses of this part.
    pub clients: Vec<Client>,
}

/// What is kept of an address, in four words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    /// Tick of the last packet.
    last: u32,
    hits: u32,
    /// Tokens of the bucket and [`REFUSED`].
    bucket: u32,
    drops: u16,
    /// Quarters of log2 ticks, or [`UNKNOWN`].
    interval: i8,
    limited: i8,
}

impl Record {
    const fn new(now: u32, bucket: u32) -> Self {
        Self { last: now, hits: 0, bucket, drops: 0, interval: UNKNOWN, limited: UNKNOWN }
    }

    fn unpack([last, hits, bucket, packed]: [u32; 4]) -> Self {
        let [low, high, interval, limited] = packed.to_ne_bytes();
        Self {
            last,
            hits,
            bucket,
            drops: u16::from_ne_bytes([low, high]),
            interval: i8::from_ne_bytes([interval]),
            limited: i8::from_ne_bytes([limited]),
        }
    }

    fn pack(self) -> [u32; 4] {
        let [low, high] = self.drops.to_ne_bytes();
        let [interval] = self.interval.to_ne_bytes();
        let [limited] = self.limited.to_ne_bytes();
        [self.last, self.hits, self.bucket, u32::from_ne_bytes([low, high, interval, limited])]
    }

    /// Counts a packet at this tick.
    #[inline(always)]
    fn hit(&mut self, now: u32) {
        let elapsed = now.wrapping_sub(self.last);
        let refused = self.bucket & REFUSED != 0;
        let average = if refused { self.limited } else { self.interval };
        let sample = quarters(elapsed);
        if average != sample && (self.hits > 0 || self.interval != UNKNOWN) {
            let average = if average == UNKNOWN { sample } else { toward(average, sample) };
            // not by a reference to one of them: the record then stays in registers
            if refused {
                self.limited = average;
            } else {
                self.interval = average;
            }
        }
        self.hits = self.hits.saturating_add(1);
        self.last = now;
    }

    /// Fills the bucket up and takes what a response costs, or decides about the packet by lot.
    fn charge(&mut self, elapsed: u32, limit: &Bucket, rng: &mut dyn Rng) -> Verdict {
        let gained = u64::from(elapsed).saturating_mul(limit.gain).min(u64::from(limit.full));
        let gained = u32::try_from(gained).unwrap_or(limit.full);
        let tokens = (self.bucket & TOKENS).saturating_add(gained).min(limit.full);
        if let Some(left) = tokens.checked_sub(limit.cost) {
            self.bucket = left;
            return Verdict::Serve;
        }
        let lot = rng.next_u64();
        // who asks more than twice as fast when he gets no answer costs less when he gets most of them
        let inverted = self.interval != UNKNOWN
            && self.limited != UNKNOWN
            && i16::from(self.limited) < i16::from(self.interval) - 4;
        self.bucket = tokens;
        if (lot & limit.leak == 0) != inverted {
            Verdict::Serve
        } else if limit.kod.is_some_and(|mask| lot >> 32 & mask == 0) {
            Verdict::Kiss
        } else {
            self.bucket |= REFUSED;
            self.drops = self.drops.saturating_add(1);
            Verdict::Refuse
        }
    }

    fn activity(&self, now: u32) -> Activity {
        // quarters of log2 ticks to log2 s, rounded
        let log2 = |quarters: i8| (quarters != UNKNOWN).then(|| (quarters + 2).div_euclid(4) - 4);
        Activity {
            hits: self.hits,
            drops: self.drops,
            interval: log2(self.interval),
            limited_interval: log2(self.limited),
            last: now.wrapping_sub(self.last) / 16,
        }
    }
}

/// Four times the binary logarithm of a number of ticks, to the next quarter below; less than a tick counts as half of one.
fn quarters(ticks: u32) -> i8 {
    let Some(log2) = ticks.checked_ilog2() else { return -4 };
    let fraction = (u64::from(ticks) << 2 >> log2) & 3;
    i8::try_from(u64::from(log2) * 4 + fraction).unwrap_or(i8::MAX)
}

/// A quarter of the way from an average to a sample, at least one step.
fn toward(average: i8, sample: i8) -> i8 {
    let way = i16::from(sample) - i16::from(average);
    let step = if way.abs() < 4 { way.signum() } else { way / 4 };
    i8::try_from(i16::from(average) + step).unwrap_or(average)
}

/// What a table is keyed by: an address, of which the zero one cannot be a sender and marks a free place.
trait Key: Copy + Eq + Default {
    /// All bits of the address stirred together with a secret.
    fn hash(self, seed: u64) -> u64;
}

/// The finishing steps of MurmurHash3: every bit of the input moves every bit of the result.
const fn stir(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ bits >> 33
}

impl Key for u32 {
    #[inline]
    fn hash(self, seed: u64) -> u64 {
        stir(u64::from(self) ^ seed)
    }
}

impl Key for u128 {
    #[inline]
    fn hash(self, seed: u64) -> u64 {
        let [high, low] = halves(self);
        stir(low ^ stir(high ^ seed))
    }
}

fn halves(bits: u128) -> [u64; 2] {
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
    [half(bits >> 64), half(bits)]
}

/// Where a new record goes.
struct Vacancy {
    place: usize,
    /// Whether a record was there.
    overwrites: bool,
}

/// Records by address.
#[derive(Debug)]
struct Table<K> {
    /// How many sets there are; none is made before the first record.
    count: usize,
    keys: Vec<[K; WAYS]>,
    /// Four words for each key, at the same place.
    records: Vec<[u32; 4]>,
    seed: u64,
    /// Records that were lost because there was no room.
    overwritten: u64,
}

impl<K: Key> Table<K> {
    /// At most this many bytes, at least one set.
    fn new(bytes: usize, seed: u64) -> Self {
        let set = size_of::<[K; WAYS]>() + WAYS * size_of::<[u32; 4]>();
        Self { count: (bytes / set).max(1), keys: Vec::new(), records: Vec::new(), seed, overwritten: 0 }
    }

    #[cold]
    fn make(&mut self) {
        // zeroes are not written but mapped when they are first read
        self.keys = vec![[K::default(); WAYS]; self.count];
        self.records = vec![[0; 4]; self.places()];
    }

    fn places(&self) -> usize {
        self.count * WAYS
    }

    /// The two sets of an address.
    #[inline(always)]
    fn sets(&self, key: K) -> [usize; 2] {
        let hash = key.hash(self.seed);
        let count = u64::try_from(self.keys.len()).unwrap_or(u64::MAX);
        // a fraction of 2³² times the count; there are far less than 2³² sets
        [hash >> 32, hash & 0xffff_ffff].map(|part| usize::try_from((part * count) >> 32).unwrap_or(0))
    }

    #[inline(always)]
    fn place(&self, key: K, set: usize) -> Option<usize> {
        Some(set * WAYS + self.keys.get(set)?.iter().position(|k| *k == key)?)
    }

    /// The place of an address that is known.
    #[inline]
    fn find(&self, key: K) -> Option<usize> {
        let [first, second] = self.sets(key);
        self.place(key, first).or_else(|| self.place(key, second))
    }

    fn key(&self, place: usize) -> Option<K> {
        self.keys.get(place / WAYS).and_then(|set| set.get(place % WAYS)).copied()
    }

    fn record(&self, place: usize) -> Option<Record> {
        self.records.get(place).map(|words| Record::unpack(*words))
    }

    /// The record of an address, a new one if need be.
    #[inline(always)]
    fn entry(&mut self, key: K, now: u32, limit: Option<&Bucket>) -> Option<&mut [u32; 4]> {
        let place = match self.place(key, self.sets(key)[0]) {
            Some(place) => place,
            None => self.place_elsewhere(key, now, limit)?,
        };
        self.records.get_mut(place)
    }

    /// The place of an address that is not in its first set: in the second, or a new one.
    #[inline(never)]
    fn place_elsewhere(&mut self, key: K, now: u32, limit: Option<&Bucket>) -> Option<usize> {
        if self.keys.is_empty() {
            self.make();
        }
        if let Some(place) = self.place(key, self.sets(key)[1]) {
            return Some(place);
        }
        let Vacancy { place, overwrites } = self.vacancy(key, now)?;
        self.overwritten += u64::from(overwrites);
        *self.keys.get_mut(place / WAYS)?.get_mut(place % WAYS)? = key;
        let tokens = limit.map_or(0, |limit| limit.full);
        *self.records.get_mut(place)? = Record::new(now, tokens).pack();
        Some(place)
    }

    /// A free place in the emptier of the address's sets, else the one whose record is worth least.
    #[cold]
    fn vacancy(&self, key: K, now: u32) -> Option<Vacancy> {
        let sets = self.sets(key);
        let free = sets.map(|set| {
            let set = self.keys.get(set).map_or(&[] as &[K], |keys| keys.as_slice());
            set.iter().filter(|k| **k == K::default()).count()
        });
        let set = if free[0] >= free[1] { sets[0] } else { sets[1] };
        if let Some(place) = self.place(K::default(), set) {
            return Some(Vacancy { place, overwrites: false });
        }
        let places = sets.into_iter().flat_map(|set| set * WAYS..(set + 1) * WAYS);
        let worth = |place: &usize| {
            self.record(*place).map(|record| {
                let age = now.wrapping_sub(record.last);
                (record.interval != UNKNOWN && age < PROTECTED, u32::MAX - age)
            })
        };
        places.min_by_key(worth).map(|place| Vacancy { place, overwrites: true })
    }

    fn reset(&mut self, place: usize) {
        if let Some(words) = self.records.get_mut(place) {
            *words = Record { hits: 0, drops: 0, ..Record::unpack(*words) }.pack();
        }
    }
}

/// What an address asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The time.
    Ntp,
    /// A report, or a change.
    Command,
}

/// All clients.
#[derive(Debug)]
pub struct ClientLog {
    v4: Table<u32>,
    v6: Table<u128>,
    commands: Table<u128>,
    ntp_limit: Option<Bucket>,
    command_limit: Option<Bucket>,
}

impl ClientLog {
    /// A log within `bytes` of memory (`clientloglimit`); some kilobytes is the least. The seed must be unknown to clients.
    pub fn new(bytes: usize, seed: u64) -> Self {
        let part = |share: usize| bytes.min(MOST) / 100 * share;
        Self {
            v4: Table::new(part(SHARES[0]), seed),
            v6: Table::new(part(SHARES[1]), seed),
            commands: Table::new(part(SHARES[2]), seed),
            ntp_limit: None,
            command_limit: None,
        }
    }

    /// What is left of `bytes` for the stamps of interleaved mode.
    pub fn left_of(bytes: usize) -> usize {
        bytes.min(MOST) / 100 * (100 - SHARES.iter().sum::<usize>())
    }

    /// Limits the rate of one kind; `None`: everybody is answered.
    pub fn limit(&mut self, kind: Kind, limit: Option<RateLimit>) {
        let limit = limit.map(Bucket::new);
        match kind {
            Kind::Ntp => self.ntp_limit = limit,
            Kind::Command => self.command_limit = limit,
        }
    }

    /// Counts a packet of an address that may ask, and decides whether it is answered.
    #[inline(always)]
    pub fn hit(&mut self, kind: Kind, address: IpAddr, now: MonoTime, rng: &mut dyn Rng) -> Verdict {
        let now = ticks(now);
        let limit = match kind {
            Kind::Ntp => self.ntp_limit.as_ref(),
            Kind::Command => self.command_limit.as_ref(),
        };
        let entry = match (kind, address) {
            (Kind::Ntp, IpAddr::V4(address)) => self.v4.entry(address.to_bits(), now, limit),
            (Kind::Ntp, IpAddr::V6(address)) => self.v6.entry(address.to_bits(), now, limit),
            (Kind::Command, address) => self.commands.entry(mapped(address), now, limit),
        };
        let Some(words) = entry else { return Verdict::Serve };
        let mut record = Record::unpack(*words);
        let elapsed = now.wrapping_sub(record.last);
        record.hit(now);
        let verdict = match limit {
            None => Verdict::Serve,
            Some(limit) => {
                // a copy: without a limit the record stays in registers
                let mut charged = record;
                let verdict = charged.charge(elapsed, limit, rng);
                record = charged;
                verdict
            }
        };
        *words = record.pack();
        verdict
    }

    /// Records that were lost because there was no room (`log_drops`).
    pub fn overwritten(&self) -> u64 {
        self.v4.overwritten + self.v6.overwritten + self.commands.overwritten
    }

    /// How many places there are, used or not.
    pub fn places(&self) -> usize {
        self.v4.places() + self.v6.places() + self.commands.places()
    }

    /// The clients from place `first` on: at most `count` of those with `min_hits` packets of either kind. No more than
    /// `scan` places are looked at. With `reset` the counters of all that were looked at begin again.
    pub fn page(
        &mut self,
        first: usize,
        count: usize,
        scan: usize,
        min_hits: u32,
        reset: bool,
        now: MonoTime,
    ) -> Page {
        let now = ticks(now);
        let places = self.places();
        let mut clients = Vec::new();
        let mut next = first.min(places);
        let end = next.saturating_add(scan).min(places);
        while next < end && clients.len() < count {
            if let Some(client) = self.client(next, now) {
                let enough = |activity: Option<Activity>| activity.is_some_and(|a| a.hits >= min_hits);
                if enough(client.ntp) || enough(client.command) {
                    clients.push(client);
                }
                if reset {
                    self.reset(client.address);
                }
            }
            next += 1;
        }
        Page { places, next, clients }
    }

    /// The client at a place; one who gave commands and asked for the time is at that of the latter only.
    fn client(&self, place: usize, now: u32) -> Option<Client> {
        let (v4, v6) = (self.v4.places(), self.v6.places());
        let activity = |record: Option<Record>| record.map(|record| record.activity(now));
        if place < v4 + v6 {
            let (address, ntp) = if place < v4 {
                let key = self.v4.key(place).filter(|key| *key != 0)?;
                (IpAddr::V4(Ipv4Addr::from_bits(key)), self.v4.record(place))
            } else {
                let key = self.v6.key(place - v4).filter(|key| *key != 0)?;
                (IpAddr::V6(Ipv6Addr::from_bits(key)), self.v6.record(place - v4))
            };
            let command = self.commands.find(mapped(address)).and_then(|place| self.commands.record(place));
            return Some(Client { address, ntp: activity(ntp), command: activity(command) });
        }
        let place = place - v4 - v6;
        let key = self.commands.key(place).filter(|key| *key != 0)?;
        let address = IpAddr::V6(Ipv6Addr::from_bits(key)).to_canonical();
        if self.ntp_place(address).is_some() {
            return None;
        }
        Some(Client { address, ntp: None, command: activity(self.commands.record(place)) })
    }

    fn ntp_place(&self, address: IpAddr) -> Option<usize> {
        match address {
            IpAddr::V4(address) => self.v4.find(address.to_bits()),
            IpAddr::V6(address) => self.v6.find(address.to_bits()),
        }
    }

    fn reset(&mut self, address: IpAddr) {
        let place = self.ntp_place(address);
        match (address, place) {
            (IpAddr::V4(_), Some(place)) => self.v4.reset(place),
            (IpAddr::V6(_), Some(place)) => self.v6.reset(place),
            (_, None) => {}
        }
        if let Some(place) = self.commands.find(mapped(address)) {
            self.commands.reset(place);
        }
    }
}

/// An address of either family as one of IPv6.
fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// 1/16 s since the arbitrary zero, wrapping after 8 years.
fn ticks(now: MonoTime) -> u32 {
    u32::try_from((now.as_nanos() / TICK) & 0xffff_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests;
