//! What a request holds (discipline.md §1.9, §1.10), and what is remembered until its reply comes.

use super::schedule::Purpose;
use super::{Association, Context, Effect, LocalStamp, Notice, Role, Stamp, Stamper, Token};
use crate::auth::{Dialect, KeyRing};
use crate::engine::rng::Rng;
use crate::types::{
    KeyId, Leap, LogInterval, Mode, MonoTime, NtpShort, NtpTimestamp, RefId, Secs, Stratum, TimeDelta,
    Timestamp, Version,
};
use crate::wire::ext::{Field, Follows};
use crate::wire::ntp::Header;

/// How long a reply is waited for beyond `maxdelay`.
const PATIENCE: f64 = 4.0;
/// The precision that a request states: it reveals nothing.
const HIDDEN_PRECISION: LogInterval = LogInterval::from_log2(32);
/// Longest digest, bytes, that an NTPv4 packet carries whole.
const V4_DIGEST: usize = 20;
/// The experimental extension field with finer root values and a monotonic time.
pub(super) const MONO_ROOT: u16 = 0xF323;
/// What its body begins with.
pub(super) const MONO_ROOT_MAGIC: [u8; 4] = [0xf5, 0xbe, 0xdd, 0x9a];
/// A field that asks for one: the magic, then root delay, root dispersion, monotonic receive time and its epoch, all zero.
const MONO_ROOT_ASKED: [u8; 24] =
    [0xf5, 0xbe, 0xdd, 0x9a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// So many interleaved requests without an answer, and the next one is basic again.
const MAX_MISSED: u32 = 4;

/// A request without an answer yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    token: Token,
    pub(super) purpose: Purpose,
    transmit: NtpTimestamp,
    /// What an interleaved reply has as its origin time stamp.
    interleaved: Option<NtpTimestamp>,
    /// When the peer's packet came that this one answers.
    pub(super) answers: Option<LocalStamp>,
    pub(super) sent: LocalStamp,
    /// When its socket is closed; a peer's packet goes by the server's, which stays.
    until: Option<MonoTime>,
}

/// The exchange before: an interleaved reply completes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Previous {
    token: Token,
    pub(super) sent: LocalStamp,
    pub(super) received: LocalStamp,
    pub(super) remote_receive: NtpTimestamp,
    /// Whether it gave a sample already.
    pub(super) used: bool,
}

/// The last packet of a peer, that the next one of ours answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    /// When the peer received our last packet, by its clock.
    pub(super) receive: NtpTimestamp,
    pub(super) transmit: NtpTimestamp,
    /// When it came, as we tell the peer.
    pub(super) received: NtpTimestamp,
    pub(super) stamp: LocalStamp,
    /// Whether it answers our last packet.
    pub(super) fits: bool,
}

/// How a reply fits to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// Its time stamps are those of this exchange.
    Basic,
    /// Its transmit time stamp is that of the reply before.
    Interleaved,
}

/// What is remembered of the packets so far.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Number of the last request.
    token: Token,
    pub(super) pending: Option<Pending>,
    pub(super) previous: Option<Previous>,
    /// Interleaved requests in a row without an answer.
    missed: u32,
    heard: Option<Heard>,
    /// When our last packet to a peer really left, as we tell the peer.
    left: Option<(Token, NtpTimestamp)>,
    /// Receive and transmit time stamps of the last valid packet: the same again is a duplicate.
    pub(super) last: Option<(NtpTimestamp, NtpTimestamp)>,
}

impl Memory {
    /// A better stamp of a request; in interleaved mode it may come after the reply.
    pub(super) fn sent(&mut self, token: Token, stamp: LocalStamp, told: NtpTimestamp) {
        if self.token == token {
            self.left = Some((token, told));
        }
        let pending = self.pending.as_mut().map(|pending| (pending.token, &mut pending.sent));
        let previous = self.previous.as_mut().map(|previous| (previous.token, &mut previous.sent));
        for (of, known) in [pending, previous].into_iter().flatten() {
            if of == token && stamp.by >= known.by {
                *known = stamp;
            }
        }
    }

    pub(super) fn cancel(&mut self, token: Token) -> bool {
        let found = self.pending.is_some_and(|pending| pending.token == token);
        if found {
            self.pending = None;
        }
        found
    }

    /// When the socket of the last request is closed.
    pub(super) fn patience(&self) -> Option<MonoTime> {
        self.pending.and_then(|pending| pending.until)
    }

    /// The request stays without an answer.
    pub(super) fn give_up(&mut self) {
        if self.pending.take().is_some_and(|pending| pending.interleaved.is_some()) {
            self.missed += 1;
            if self.missed >= MAX_MISSED {
                (self.missed, self.previous) = (0, None);
            }
        }
    }

    /// All but the number of the last request.
    pub(super) fn forget(&mut self) {
        *self = Self { token: self.token, ..Self::default() };
    }

    /// How a packet with this origin time stamp fits to the request.
    pub(super) fn fit(&self, origin: NtpTimestamp) -> Option<Fit> {
        let pending = self.pending?;
        if origin.is_zero() {
            None
        } else if pending.transmit == origin {
            Some(Fit::Basic)
        } else {
            let known = self.previous.is_some() || pending.answers.is_some();
            (pending.interleaved == Some(origin) && known).then_some(Fit::Interleaved)
        }
    }

    /// The request has its reply.
    pub(super) fn complete(&mut self, header: &Header, received: LocalStamp, fit: Fit) {
        let Some(pending) = self.pending.take() else { return };
        self.missed = 0;
        self.last = Some((header.receive, header.transmit));
        self.previous = Some(Previous {
            token: pending.token,
            sent: pending.sent,
            received,
            remote_receive: header.receive,
            used: fit == Fit::Basic,
        });
    }

    /// A peer's packet, to be answered by our next one.
    pub(super) fn hear(&mut self, heard: Heard) {
        self.heard = Some(heard);
    }
}

impl Association {
    /// Version of the requests.
    fn version(&self, keys: &KeyRing) -> Version {
        match u8::try_from(self.options.version) {
            Ok(version @ 1..=4) => return Version::from_bits(version),
            _ if self.options.flags.xleave => return Version::V4,
            _ if self.options.extensions.mono_root || self.options.extensions.net_correction => {
                return Version::V4;
            }
            _ => {}
        }
        // a digest that NTPv4 would cut goes whole in NTPv3, for the sake of old servers
        let digest = self.key().and_then(|id| keys.get(id)).map_or(0, |key| key.algorithm().digest_len());
        if digest > V4_DIGEST { Version::V3 } else { Version::V4 }
    }

    pub(super) fn key(&self) -> Option<KeyId> {
        (self.options.key != 0).then(|| KeyId::new(self.options.key))
    }

    /// The next request; `None` if it cannot be made.
    pub(super) fn request(
        &mut self,
        context: &mut Context<'_>,
        purpose: Purpose,
    ) -> Option<(Vec<u8>, Token)> {
        let (transmit, interleaved, header) = match self.role {
            Role::Client | Role::Listener => self.client_header(context),
            Role::Peer => self.peer_header(context),
        };
        let mut bytes = header.emit().to_vec();
        if self.options.extensions.mono_root && header.version == Version::V4 {
            let field = Field { kind: MONO_ROOT, body: &MONO_ROOT_ASKED };
            field.emit(Follows::End, &mut bytes).ok()?;
        }
        self.sign(context.keys, &mut bytes)?;
        self.memory.give_up();
        let token = Token(self.memory.token.0.wrapping_add(1));
        self.memory.token = token;
        let now = Stamp {
            at: context.now.clock,
            by: Stamper::Daemon,
            error: Secs::new(context.host.precision).unwrap_or_default(),
        };
        let patience = TimeDelta::from_secs_f64(self.options.maxdelay.clamp(0.0, 1e6) + PATIENCE);
        self.memory.pending = Some(Pending {
            token,
            purpose,
            transmit,
            interleaved,
            answers: self.memory.heard.map(|heard| heard.stamp).filter(|_| interleaved.is_some()),
            sent: LocalStamp::new(now, context.timeline),
            until: (self.role == Role::Client).then(|| context.now.mono + patience.unwrap_or_default()),
        });
        Some((bytes, token))
    }

    /// Appends the MAC; `None` without the key that it takes.
    fn sign(&mut self, keys: &KeyRing, bytes: &mut Vec<u8>) -> Option<()> {
        let Some(id) = self.key() else { return Some(()) };
        let signed = keys.sign_packet(id, bytes, Dialect::Chrony).ok();
        if signed.is_none() && !self.key_missed {
            self.key_missed = true;
            self.effects.push_back(Effect::Notice(Notice::KeyMissing(self.options.key)));
        }
        signed
    }

    /// A request that reveals nothing.
    fn client_header(&self, context: &mut Context<'_>) -> (NtpTimestamp, Option<NtpTimestamp>, Header) {
        let transmit = random_stamp(context);
        let previous = self.memory.previous.filter(|_| self.options.flags.xleave);
        let nonce = previous.map(|_| random_stamp(context));
        let header = Header {
            leap: Leap::None,
            version: self.version(context.keys),
            mode: Mode::Client,
            stratum: Stratum::UNSPECIFIED,
            poll: self.schedule.stated_poll(),
            precision: HIDDEN_PRECISION,
            root_delay: NtpShort::ZERO,
            root_dispersion: NtpShort::ZERO,
            refid: RefId::default(),
            reference: NtpTimestamp::ZERO,
            origin: previous.map_or(NtpTimestamp::ZERO, |previous| previous.remote_receive),
            receive: nonce.unwrap_or_default(),
            transmit,
        };
        (transmit, nonce, header)
    }

    /// What a peer is told: all that a client of ours would be.
    fn peer_header(&self, context: &mut Context<'_>) -> (NtpTimestamp, Option<NtpTimestamp>, Header) {
        let snapshot = context.host.snapshot;
        let now = blurred(snapshot.served(context.now.clock), snapshot.precision, context.rng);
        let heard = self.memory.heard;
        let received = heard.map_or(NtpTimestamp::ZERO, |heard| heard.received);
        // interleaved: our last packet, that the peer received at `receive`, really left at `left`
        let answered =
            heard.filter(|heard| heard.fits && self.options.flags.xleave && !heard.receive.is_zero());
        let left = self.memory.left.filter(|(token, _)| *token == self.memory.token);
        let (origin, transmit) = match (answered, left, heard) {
            (Some(heard), Some((_, left)), _) => (heard.receive, left),
            (_, _, Some(heard)) => (heard.transmit, now),
            (_, _, None) => (NtpTimestamp::ZERO, now),
        };
        let header = Header {
            version: self.version(context.keys),
            mode: Mode::SymmetricActive,
            poll: self.schedule.stated_poll(),
            reference: reference(snapshot.reference),
            origin,
            receive: received,
            transmit,
            ..snapshot.header(context.now.clock)
        };
        let nonce = (self.options.flags.xleave && !received.is_zero()).then_some(received);
        (transmit, nonce, header)
    }
}

/// A time stamp that says nothing and cannot be guessed; never zero.
fn random_stamp(context: &mut Context<'_>) -> NtpTimestamp {
    NtpTimestamp::from_bits(context.rng.next_u64().max(1))
}

/// The reference time of a snapshot on the wire; zero: the clock was never corrected.
pub(super) fn reference(reference: Timestamp) -> NtpTimestamp {
    match reference {
        Timestamp::UNIX_EPOCH => NtpTimestamp::ZERO,
        reference => NtpTimestamp::from_timestamp(reference),
    }
}

/// A time stamp with random bits below the precision: it tells no more than the clock does.
pub(super) fn blurred(t: Timestamp, precision: LogInterval, rng: &mut dyn Rng) -> NtpTimestamp {
    // 2⁻³² s is the lowest bit; a precision of a second or worse leaves the seconds alone
    let bits = u32::try_from(32 + i32::from(precision.log2())).unwrap_or(0).min(32);
    let below = (1_u64 << bits) - 1;
    NtpTimestamp::from_bits(NtpTimestamp::from_timestamp(t).to_bits() & !below | rng.next_u64() & below)
}
