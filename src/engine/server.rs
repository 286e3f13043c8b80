//! What a server answers: a function of the request's bytes, the two readings of the clock and what is known of that clock, of
//! those who may ask and of those who asked before.
//!
//! The rules are those that chronyd 4.9 was seen to keep (spec "What the server answers"): a request in any version from 1 to 4 is
//! answered in that version, at most one packet for one and never a longer one; what is malformed gets silence, which is
//! said here with its reason so that it can be counted. Extension fields are skipped and not echoed. A request that is
//! authenticated by a key of ours gets a reply under the same key, in the same length; any other MAC gets silence.
//!
//! Interleaved mode, as chronyd 4.9 was seen to serve it: only in version 4, for modes 1 and 3. A request whose origin has its
//! lowest bit set, and whose receive and transmit stamps differ, has its pair of stamps kept. If that origin is the receive
//! stamp of a pair that is held and was not told yet, the reply is interleaved: its origin is the request's receive stamp,
//! its transmit stamp that of the earlier reply.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use super::access::Table;
use super::clients::{ClientLog, Kind, RateLimit, Verdict};
use super::interleave::Pairs;
use super::rng::Rng;
use super::smoothing::Curve;
use crate::auth::{Dialect, DigestLength, KeyRing};
use crate::types::{
    Frequency, KeyId, Leap, LogInterval, Mode, MonoTime, Now, NtpShort, NtpTimestamp, RefId, Secs, Stratum,
    TimeDelta, Timestamp, Version,
};
use crate::wire::ext::{MAX_MAC, Tail, Trailer};
use crate::wire::ntp::{HEADER_LEN, Header, Kiss};

/// Longest request that is looked at (chronyd 4.9: header, the longest fields that it knows, MAC).
pub const MAX_REQUEST: usize = 1140;
/// Longest reply: a header and the longest MAC.
pub const MAX_REPLY: usize = HEADER_LEN + MAX_MAC;
/// Port of NTP servers.
const NTP_PORT: u16 = 123;
/// A nanosecond: 2⁻⁶⁴ s.
const NANO: f64 = 18_446_744_073.709_552;
/// Readings this close to that of [`Server::prepare`] are served by a multiplication that does not overflow: ns.
const NEAR: i64 = 1 << 28;
/// In a transmit stamp that is held: the kernel gave it. 2⁻³¹ s do not matter.
const BY_KERNEL: u64 = 2;

/// What the server says about its clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Snapshot {
    /// Leap warning; `Unsynchronised`: stratum and reference are not shown.
    pub leap: Leap,
    /// Its stratum.
    pub stratum: Stratum,
    /// Resolution of its readings, log2 s.
    pub precision: LogInterval,
    /// Round trip to the primary source.
    pub root_delay: Secs,
    /// Error bound against the primary source at `at`.
    pub root_dispersion: Secs,
    /// How fast that bound grows.
    pub dispersion_rate: Frequency,
    /// Where its time comes from.
    pub refid: RefId,
    /// When the clock was last corrected, in served time, less up to a second at random, so that it does not give away what
    /// was sent when; [`Timestamp::UNIX_EPOCH`]: never.
    pub reference: Timestamp,
    /// When these facts held, by the host's clock.
    pub at: Timestamp,
    /// Served time minus the host's clock at `at`.
    pub ahead: TimeDelta,
    /// How fast that difference grows.
    pub ahead_rate: Frequency,
    /// What is added to that (`smoothtime`), from `at` on.
    pub smoothing: Option<Curve>,
}

impl Snapshot {
    /// A clock of which nothing is known.
    pub const fn unsynchronised(precision: LogInterval) -> Self {
        Self {
            leap: Leap::Unsynchronised,
            stratum: Stratum::UNSPECIFIED,
            precision,
            root_delay: Secs::literal(1.0),
            root_dispersion: Secs::literal(1.0),
            dispersion_rate: Frequency::ZERO,
            refid: RefId::from_bits(0),
            reference: Timestamp::UNIX_EPOCH,
            at: Timestamp::UNIX_EPOCH,
            ahead: TimeDelta::ZERO,
            ahead_rate: Frequency::ZERO,
            smoothing: None,
        }
    }

    /// A clock that follows nothing but itself (`local`): corrected a second ago, without an error.
    pub fn local(stratum: Stratum, precision: LogInterval, now: Timestamp, rng: &mut dyn Rng) -> Self {
        let blur = i64::try_from(rng.next_u64() % 1_000_000_000).unwrap_or(0);
        Self {
            leap: Leap::None,
            stratum,
            root_delay: Secs::ZERO,
            root_dispersion: Secs::ZERO,
            refid: RefId::from_bits(0x7F7F_0101),
            reference: now - TimeDelta::from_secs(1) - TimeDelta::from_nanos(blur),
            at: now,
            ..Self::unsynchronised(precision)
        }
    }

    /// Served time at this reading of the host's clock.
    #[inline]
    pub fn served(&self, t: Timestamp) -> Timestamp {
        if self.ahead_rate == Frequency::ZERO && self.smoothing.is_none() {
            return t + self.ahead;
        }
        let age = (t - self.at).as_secs_f64();
        let smoothed = self.smoothing.map_or(0.0, |curve| curve.at(age).offset);
        let grown = TimeDelta::from_secs_f64(age * self.ahead_rate.ratio() + smoothed);
        t + self.ahead + grown.unwrap_or(TimeDelta::ZERO)
    }

    /// The fields of a reply that do not depend on the request.
    pub(super) fn header(&self, now: Timestamp) -> Header {
        let synchronised = self.leap != Leap::Unsynchronised;
        let age = (now - self.at).abs().as_secs_f64();
        let dispersion = self.root_dispersion.get() + age * self.dispersion_rate.ratio();
        Header {
            leap: self.leap,
            version: Version::V4,
            mode: Mode::Server,
            stratum: if synchronised { self.stratum } else { Stratum::UNSPECIFIED },
            poll: LogInterval::from_log2(0),
            precision: self.precision,
            root_delay: NtpShort::from_secs_ceil(self.root_delay),
            root_dispersion: NtpShort::from_secs_ceil(Secs::new(dispersion).unwrap_or(Secs::literal(1e9))),
            refid: if synchronised { self.refid } else { RefId::from_bits(0) },
            reference: NtpTimestamp::ZERO,
            origin: NtpTimestamp::ZERO,
            receive: NtpTimestamp::ZERO,
            transmit: NtpTimestamp::ZERO,
        }
    }
}

/// Why a request gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Shorter than a header, longer than any request, or not a multiple of four bytes.
    Length,
    /// Version 0 or 5 to 7.
    Version,
    /// A mode that is no request.
    Mode,
    /// The address may not ask. Not counted.
    Access,
    /// The address asks too often.
    Limited,
    /// What follows the header is neither fields nor a MAC, or is a crypto-NAK.
    Tail,
    /// A MAC that is wrong, or made with a key that is not ours.
    Mac,
}

/// Who took a time stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// We did.
    Daemon,
    /// The kernel.
    Kernel,
}

/// A packet that may be a request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its bytes; what was longer than [`MAX_REQUEST`] may have been cut to something that still is.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub from: SocketAddr,
    /// When it came, by the host's clock.
    pub received: Timestamp,
    /// Who says so.
    pub stamp: Stamp,
}

/// A reply's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    bytes: [u8; MAX_REPLY],
    len: usize,
    /// Whether the next reply can tell when this one left: [`Server::transmitted`] wants to know it.
    pub wants_stamp: bool,
}

impl Deref for Reply {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// How long a reply is that was written to a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Its length in bytes.
    pub len: usize,
    /// As [`Reply::wants_stamp`].
    pub wants_stamp: bool,
}

/// The N-th group of eight bytes of a packet: a time stamp.
#[inline]
fn stamp_at<const N: usize, const LEN: usize>(packet: &[u8; LEN]) -> NtpTimestamp {
    NtpTimestamp::from_bits(packet.as_chunks::<8>().0.get(N).map_or(0, |stamp| u64::from_be_bytes(*stamp)))
}

/// What was done since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Requests from addresses that may ask, answered or not.
    pub ntp_hits: u64,
    /// Requests that the rate limit left unanswered.
    pub ntp_drops: u64,
    /// Commands, those by the Unix socket included.
    pub command_hits: u64,
    /// Commands that the rate limit left unanswered.
    pub command_drops: u64,
    /// Answers under a key.
    pub authenticated: u64,
    /// Interleaved answers.
    pub interleaved: u64,
    /// Answers whose receive stamp is ours.
    pub daemon_rx: u64,
    /// Answers whose transmit stamp is ours.
    pub daemon_tx: u64,
    /// Answers whose receive stamp is the kernel's.
    pub kernel_rx: u64,
    /// Answers whose transmit stamp is the kernel's.
    pub kernel_tx: u64,
}

/// What `serverstats` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// What was done.
    pub counters: Counters,
    /// Clients that were forgotten for lack of room.
    pub log_drops: u64,
    /// Pairs of stamps that are held for interleaved mode.
    pub pairs: u64,
    /// Time between the first and the last of them.
    pub span: TimeDelta,
}

/// Everything that an answer depends on besides the request and the time.
#[derive(Debug)]
pub struct Server {
    /// Who may ask for the time; an address without a rule may not.
    pub access: Table<bool>,
    /// Keys that clients may use.
    pub keys: KeyRing,
    least_poll: LogInterval,
    memory: Option<Memory>,
    snapshot: Snapshot,
    /// The reply's fields at the last [`Server::prepare`].
    template: [u8; HEADER_LEN],
    /// When that was, and what was served then.
    prepared: (Timestamp, NtpTimestamp),
    /// Served time of a nanosecond of the host's clock: 2⁻⁶⁴ s.
    per_nano: i64,
    /// The bits of a stamp below the precision, but the lowest.
    below: u64,
    reference: NtpTimestamp,
    counters: Counters,
}

/// What is remembered of clients.
#[derive(Debug)]
struct Memory {
    clients: ClientLog,
    pairs: Pairs,
}

/// What a server remembers of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remembering {
    /// Bytes (`clientloglimit`); `None`: nothing is remembered, nobody limited, no reply interleaved (`noclientlog`).
    pub bytes: Option<usize>,
    /// How often an address may ask for the time (`ratelimit`).
    pub ntp: Option<RateLimit>,
    /// How often an address may give commands (`cmdratelimit`).
    pub command: Option<RateLimit>,
}

impl Server {
    /// A server of a clock of which nothing is known yet, and whom nobody may ask. The random numbers hide from clients
    /// which of them share room.
    pub fn new(remembering: Remembering, precision: LogInterval, rng: &mut dyn Rng) -> Self {
        let memory = remembering.bytes.map(|bytes| {
            let mut clients = ClientLog::new(bytes, rng.next_u64());
            clients.limit(Kind::Ntp, remembering.ntp);
            clients.limit(Kind::Command, remembering.command);
            Memory { clients, pairs: Pairs::new(ClientLog::left_of(bytes)) }
        });
        let snapshot = Snapshot::unsynchronised(precision);
        let mut new = Self {
            access: Table::new(),
            keys: KeyRing::default(),
            least_poll: LogInterval::from_log2(remembering.ntp.map_or(i8::MIN, |limit| limit.interval)),
            memory,
            snapshot,
            template: [0; HEADER_LEN],
            prepared: (Timestamp::UNIX_EPOCH, NtpTimestamp::ZERO),
            per_nano: 0,
            below: 0,
            reference: NtpTimestamp::ZERO,
            counters: Counters::default(),
        };
        new.set_snapshot(snapshot);
        new
    }

    /// Replaces what is said about the clock.
    pub fn set_snapshot(&mut self, snapshot: Snapshot) {
        self.snapshot = snapshot;
        // 2⁻³² s is the lowest bit; a precision of a second or worse leaves the seconds alone
        let bits = u32::try_from(32 + i32::from(snapshot.precision.log2())).unwrap_or(0).min(32);
        self.below = ((1_u64 << bits) - 1) & !1;
        self.reference = match snapshot.reference {
            Timestamp::UNIX_EPOCH => NtpTimestamp::ZERO,
            reference => NtpTimestamp::from_timestamp(reference),
        };
        self.set_rate(snapshot.ahead_rate.ratio());
        self.prepare(snapshot.at);
    }

    /// How much faster than the host's clock served time runs, s/s.
    fn set_rate(&mut self, rate: f64) {
        // the clock is never slewed by more than a tenth; a float-to-integer cast saturates
        let rate = rate.clamp(-0.5, 0.5);
        self.per_nano = TimeDelta::from_secs_f64(NANO * (1.0 + rate) / 1e9).map_or(0, TimeDelta::as_nanos);
    }

    /// What is said about the clock.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Brings what grows with time up to date; once for all requests that are answered together.
    pub fn prepare(&mut self, now: Timestamp) {
        self.template = Header { reference: self.reference, ..self.snapshot.header(now) }.emit();
        self.prepared = (now, NtpTimestamp::from_timestamp(self.snapshot.served(now)));
        if let Some(curve) = self.snapshot.smoothing {
            let rate = curve.at((now - self.snapshot.at).as_secs_f64()).rate;
            self.set_rate(self.snapshot.ahead_rate.ratio() + rate);
        }
    }

    /// Served time at a reading of the host's clock, exact to 2⁻³² s: a multiplication near the last [`Self::prepare`].
    #[inline(always)]
    fn stamp(&self, t: Timestamp) -> NtpTimestamp {
        let (at, served) = self.prepared;
        // the whole range of both readings is 2⁶⁴ ns: what wraps is not near
        let since = t.as_nanos().wrapping_sub(at.as_nanos());
        if (-NEAR..NEAR).contains(&since) {
            let grown = since.wrapping_mul(self.per_nano) >> 32;
            return NtpTimestamp::from_bits(served.to_bits().wrapping_add_signed(grown));
        }
        self.far_stamp(t)
    }

    #[cold]
    fn far_stamp(&self, t: Timestamp) -> NtpTimestamp {
        NtpTimestamp::from_timestamp(self.snapshot.served(t))
    }

    /// The reply to a request, as of the last [`Self::prepare`]; it leaves at `now`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn answer(&mut self, request: &Request<'_>, now: Now, rng: &mut dyn Rng) -> Result<Reply, Silence> {
        let mut bytes = [0; MAX_REPLY];
        let Answer { len, wants_stamp } = self.answer_into(request, now, rng, &mut bytes)?;
        Ok(Reply { bytes, len, wants_stamp })
    }

    /// As [`Self::answer`], into a buffer of the caller: the server's path, at some hundred instructions a packet.
    ///
    /// Both stamps get random bits below the precision, so that they tell no more than the clock does.
    ///
    /// # Errors
    /// Why there is none; the buffer may have been written to.
    #[inline(always)]
    pub fn answer_into(
        &mut self,
        request: &Request<'_>,
        now: Now,
        rng: &mut dyn Rng,
        out: &mut [u8; MAX_REPLY],
    ) -> Result<Answer, Silence> {
        let bytes = request.bytes;
        let Some(head) = bytes.first_chunk::<HEADER_LEN>() else { return Err(Silence::Length) };
        if bytes.len() > MAX_REQUEST || bytes.len() & 3 != 0 {
            return Err(Silence::Length);
        }
        let version = Version::from_bits(head[0] >> 3);
        let mode = reply_mode(version, Mode::from_bits(head[0]), request.from.port())?;
        let address = request.from.ip();
        let allowed = match address {
            IpAddr::V4(v4) => self.access.find_v4(v4.to_bits()),
            IpAddr::V6(_) => self.access.find(address),
        };
        if allowed != Some(true) {
            return Err(Silence::Access);
        }
        self.counters.ntp_hits += 1;
        let verdict = match &mut self.memory {
            Some(memory) => memory.clients.hit(Kind::Ntp, address.to_canonical(), now.mono, rng),
            None => Verdict::Serve,
        };
        if verdict == Verdict::Refuse {
            self.counters.ntp_drops += 1;
            return Err(Silence::Limited);
        }
        let key = if bytes.len() == HEADER_LEN { None } else { self.verified(bytes)? };
        let random = rng.next_u64();
        let above = !(self.below | 1);
        let receive = self.stamp(request.received).to_bits();
        let receive = NtpTimestamp::from_bits(receive & above | random & self.below | 1);
        let transmit = self.stamp(now.clock).to_bits();
        let transmit = NtpTimestamp::from_bits(transmit & above | random.rotate_left(32) & self.below);
        // the random bits must not turn a short stay into a negative one
        let transmit = if is_before(transmit, receive) {
            NtpTimestamp::from_bits(receive.to_bits().wrapping_add(1))
        } else {
            transmit
        };
        out[..HEADER_LEN].copy_from_slice(&self.template);
        out[0] = out[0] & 0xc0 | version.get() << 3 | mode.to_bits();
        let poll = LogInterval::from_log2(i8::from_be_bytes([head[2]])).max(self.least_poll);
        out[2] = poll.log2().to_be_bytes()[0];
        out[24..32].copy_from_slice(&head[40..48]);
        out[32..40].copy_from_slice(&receive.to_bits().to_be_bytes());
        out[40..48].copy_from_slice(&transmit.to_bits().to_be_bytes());
        let mut wants_stamp = false;
        let mut stamp = Stamp::Daemon;
        if verdict == Verdict::Kiss {
            out[0] |= Leap::Unsynchronised.to_bits() << 6;
            out[1] = Stratum::UNSPECIFIED.get();
            out[12..16].copy_from_slice(&Kiss::Rate.to_refid().to_bytes());
        } else if head[31] & 1 == 1
            && version == Version::V4
            && head[32..40] != head[40..48]
            && let Some(memory) = &mut self.memory
        {
            wants_stamp = true;
            if let Some(told) = interleave(&mut memory.pairs, head, out) {
                self.counters.interleaved += 1;
                stamp = told;
            }
        }
        let mut len = HEADER_LEN;
        if let Some(key) = key {
            len += self.sign(key, version, out)?;
        }
        self.count(request.stamp, stamp);
        Ok(Answer { len, wants_stamp })
    }

    /// Appends a MAC to the header of a reply; answers how long it is.
    #[cold]
    fn sign(&mut self, key: KeyId, version: Version, out: &mut [u8; MAX_REPLY]) -> Result<usize, Silence> {
        let length = DigestLength::of(version, Dialect::Chrony);
        let (header, room) = out.split_at_mut(HEADER_LEN);
        let mac = self.keys.sign(key, header, length).map_err(|_| Silence::Mac)?;
        room.get_mut(..mac.len()).ok_or(Silence::Mac)?.copy_from_slice(&mac);
        self.counters.authenticated += 1;
        Ok(mac.len())
    }

    /// The key that authenticates a request which is more than a header.
    #[cold]
    fn verified(&self, bytes: &[u8]) -> Result<Option<KeyId>, Silence> {
        match Tail::parse(bytes).map_err(|_| Silence::Tail)?.trailer() {
            Trailer::None => Ok(None),
            Trailer::CryptoNak => Err(Silence::Tail),
            Trailer::Mac(_) => {
                self.keys.verify_packet(bytes, Dialect::Chrony).map(Some).map_err(|_| Silence::Mac)
            }
        }
    }

    fn count(&mut self, received: Stamp, transmitted: Stamp) {
        let counters = &mut self.counters;
        *match received {
            Stamp::Daemon => &mut counters.daemon_rx,
            Stamp::Kernel => &mut counters.kernel_rx,
        } += 1;
        *match transmitted {
            Stamp::Daemon => &mut counters.daemon_tx,
            Stamp::Kernel => &mut counters.kernel_tx,
        } += 1;
    }

    /// The kernel says when a reply left that wanted to be stamped. `frame` ends with the reply; what is before it does not
    /// matter. Answers whether such a reply is remembered.
    pub fn transmitted(&mut self, frame: &[u8], at: Timestamp) -> bool {
        let Some(memory) = &mut self.memory else { return false };
        let at = NtpTimestamp::from_timestamp(self.snapshot.served(at)).to_bits() & !1 | BY_KERNEL;
        // interleaved replies are of version 4: a header, or that and a MAC of 20 or 24 bytes
        [0, 20, 24].into_iter().any(|mac| {
            let start = frame.len().checked_sub(HEADER_LEN + mac);
            let header = start.and_then(|start| Header::parse(frame.get(start..)?).ok());
            header.is_some_and(|header| {
                header.version == Version::V4
                    && matches!(header.mode, Mode::Server | Mode::SymmetricPassive)
                    && memory.pairs.stamp(header.receive, NtpTimestamp::from_bits(at))
            })
        })
    }

    /// Counts a command; `None`: by the Unix socket, which nothing limits.
    pub fn command(&mut self, from: Option<IpAddr>, now: MonoTime, rng: &mut dyn Rng) -> Verdict {
        self.counters.command_hits += 1;
        let verdict = match (&mut self.memory, from) {
            (Some(memory), Some(from)) => memory.clients.hit(Kind::Command, from.to_canonical(), now, rng),
            _ => Verdict::Serve,
        };
        self.counters.command_drops += u64::from(verdict == Verdict::Refuse);
        verdict
    }

    /// The log of clients; `None`: none is kept.
    pub fn clients(&mut self) -> Option<&mut ClientLog> {
        self.memory.as_mut().map(|memory| &mut memory.clients)
    }

    /// What was done, without looking for what is held.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What `serverstats` shows.
    pub fn statistics(&self) -> Statistics {
        let held = self.memory.as_ref().map(|memory| memory.pairs.held()).unwrap_or_default();
        Statistics {
            counters: self.counters,
            log_drops: self.memory.as_ref().map_or(0, |memory| memory.clients.overwritten()),
            pairs: u64::try_from(held.pairs).unwrap_or(u64::MAX),
            span: held.span,
        }
    }
}

/// The mode of the reply, for a version and mode that are a request.
#[inline]
fn reply_mode(version: Version, mode: Mode, port: u16) -> Result<Mode, Silence> {
    if !(1..=4).contains(&version.get()) {
        return Err(Silence::Version);
    }
    match mode {
        Mode::Client => Ok(Mode::Server),
        Mode::SymmetricActive => Ok(Mode::SymmetricPassive),
        // NTPv1 clients know no modes; the port tells them from servers
        Mode::Reserved if version == Version::from_bits(1) && port != NTP_PORT => Ok(Mode::Server),
        _ => Err(Silence::Mode),
    }
}

/// Keeps the reply's pair of stamps and, when the request names one that is held, puts that one's transmit stamp into the
/// reply. Answers who took that stamp, if so.
#[cold]
fn interleave(pairs: &mut Pairs, asked: &[u8; HEADER_LEN], reply: &mut [u8; MAX_REPLY]) -> Option<Stamp> {
    let earlier = pairs.take(stamp_at::<3, HEADER_LEN>(asked));
    let (mut receive, transmit) = (stamp_at::<4, MAX_REPLY>(reply), stamp_at::<5, MAX_REPLY>(reply));
    // two requests of one moment: the pairs must not be mistaken for each other
    for _ in 0..NEIGHBOURS {
        if !pairs.holds(receive) {
            break;
        }
        receive = NtpTimestamp::from_bits(receive.to_bits().wrapping_add(2));
    }
    reply[32..40].copy_from_slice(&receive.to_bits().to_be_bytes());
    pairs.keep(receive, NtpTimestamp::from_bits(transmit.to_bits() & !BY_KERNEL));
    let transmit = earlier?;
    reply[24..32].copy_from_slice(&asked[32..40]);
    reply[40..48].copy_from_slice(&transmit.to_bits().to_be_bytes());
    Some(if transmit.to_bits() & BY_KERNEL == 0 { Stamp::Daemon } else { Stamp::Kernel })
}

/// How many neighbours are tried for a receive stamp that is held already.
const NEIGHBOURS: usize = 8;

/// Whether a stamp is earlier than another one of the same 68 years.
fn is_before(stamp: NtpTimestamp, other: NtpTimestamp) -> bool {
    stamp.to_bits().wrapping_sub(other.to_bits()) >> 63 == 1
}

#[cfg(test)]
mod tests;
