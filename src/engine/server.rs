//! What a server answers: a pure function of the request's bytes, the two readings of the clock and what is known of that clock.
//!
//! The rules are those that chronyd 4.9 was seen to keep (spec "What the server answers"): a request in any version from 1 to 4 is
//! answered in that version, at most one packet for one and never a longer one; what is malformed gets silence, which is
//! said here with its reason so that it can be counted. Extension fields are skipped and not echoed. A request that is
//! authenticated by a key of ours gets a reply under the same key, in the same length; any other MAC gets silence.

use std::ops::Deref;

use super::rng::Rng;
use crate::auth::{Dialect, DigestLength, KeyRing};
use crate::types::{Leap, LogInterval, Mode, NtpShort, NtpTimestamp, RefId, Stratum, Timestamp, Version};
use crate::wire::ext::{MAX_MAC, Tail, Trailer};
use crate::wire::ntp::{HEADER_LEN, Header};

/// Longest request that is looked at (chronyd 4.9: header, the longest fields that it knows, MAC).
const MAX_REQUEST: usize = 1140;
/// Port of NTP servers.
const NTP_PORT: u16 = 123;

/// What the server says about its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Leap warning; `Unsynchronised`: stratum and reference are not shown.
    pub leap: Leap,
    /// Its stratum.
    pub stratum: Stratum,
    /// Resolution of its readings, log2 s.
    pub precision: LogInterval,
    /// Round trip to the primary source.
    pub root_delay: NtpShort,
    /// Error bound against the primary source.
    pub root_dispersion: NtpShort,
    /// Where its time comes from.
    pub refid: RefId,
    /// When the clock was last corrected.
    pub reference: Timestamp,
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
    /// What follows the header is neither fields nor a MAC, or is a crypto-NAK.
    Tail,
    /// A MAC that is wrong, or made with a key that is not ours.
    Mac,
}

/// What the answer to a request depends on besides the request.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// The served clock.
    pub snapshot: &'a Snapshot,
    /// Keys that clients may use.
    pub keys: &'a KeyRing,
    /// The shortest poll interval that replies name (`ratelimit`).
    pub least_poll: Option<LogInterval>,
}

/// A reply's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    bytes: [u8; HEADER_LEN + MAX_MAC],
    len: usize,
}

impl Deref for Reply {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Reply {
    fn new(header: &Header) -> Self {
        let mut reply = Self { bytes: [0; HEADER_LEN + MAX_MAC], len: 0 };
        reply.append(&header.emit());
        reply
    }

    fn append(&mut self, bytes: &[u8]) {
        for (slot, byte) in self.bytes.iter_mut().skip(self.len).zip(bytes) {
            *slot = *byte;
        }
        self.len = (self.len + bytes.len()).min(self.bytes.len());
    }
}

/// The reply to a request that came from UDP port `port` at `received` and whose answer leaves at `now`, by the served clock.
///
/// Both stamps get random bits below the precision, so that they tell no more than the clock does, and the reference time
/// is blurred by up to a second, so that it does not give away what was sent when.
///
/// # Errors
/// Why there is none.
pub fn answer(
    request: &[u8],
    port: u16,
    received: Timestamp,
    now: Timestamp,
    service: &Service<'_>,
    rng: &mut dyn Rng,
) -> Result<Reply, Silence> {
    if request.len() > MAX_REQUEST || !request.len().is_multiple_of(4) {
        return Err(Silence::Length);
    }
    let header = Header::parse(request).map_err(|_| Silence::Length)?;
    if !(1..=4).contains(&header.version.get()) {
        return Err(Silence::Version);
    }
    let mode = match header.mode {
        Mode::Client => Mode::Server,
        Mode::SymmetricActive => Mode::SymmetricPassive,
        // NTPv1 clients know no modes; the port tells them from servers
        Mode::Reserved if header.version == Version::from_bits(1) && port != NTP_PORT => Mode::Server,
        _ => return Err(Silence::Mode),
    };
    let key = match Tail::parse(request).map_err(|_| Silence::Tail)?.trailer() {
        Trailer::None => None,
        Trailer::CryptoNak => return Err(Silence::Tail),
        Trailer::Mac(_) => {
            Some(service.keys.verify_packet(request, Dialect::Chrony).map_err(|_| Silence::Mac)?)
        }
    };
    let snapshot = service.snapshot;
    let synchronised = snapshot.leap != Leap::Unsynchronised;
    let receive = blur(received, snapshot.precision, rng);
    let transmit = blur(now, snapshot.precision, rng);
    let reply = Header {
        leap: snapshot.leap,
        version: header.version,
        mode,
        stratum: if synchronised { snapshot.stratum } else { Stratum::UNSPECIFIED },
        poll: service.least_poll.map_or(header.poll, |least| header.poll.max(least)),
        precision: snapshot.precision,
        root_delay: snapshot.root_delay,
        root_dispersion: snapshot.root_dispersion,
        refid: if synchronised { snapshot.refid } else { RefId::from_bits(0) },
        reference: match snapshot.reference {
            Timestamp::UNIX_EPOCH => NtpTimestamp::ZERO,
            reference => earlier(NtpTimestamp::from_timestamp(reference), rng.next_u64() >> 32),
        },
        origin: header.transmit,
        receive,
        // the random bits must not turn a short stay into a negative one
        transmit: if transmit.wrapping_since(receive).as_nanos() < 0 { receive } else { transmit },
    };
    let mut bytes = Reply::new(&reply);
    if let Some(key) = key {
        let length = DigestLength::of(header.version, Dialect::Chrony);
        let mac = service.keys.sign(key, &bytes, length).map_err(|_| Silence::Mac)?;
        bytes.append(&mac);
    }
    Ok(bytes)
}

/// The stamp with random bits in place of those that the clock cannot resolve.
fn blur(t: Timestamp, precision: LogInterval, rng: &mut dyn Rng) -> NtpTimestamp {
    // 2⁻³² s is the lowest bit; a precision of a second or worse leaves the seconds alone
    let bits = u32::try_from(32 + i32::from(precision.log2())).unwrap_or(0).min(32);
    let below = (1_u64 << bits) - 1;
    NtpTimestamp::from_bits(NtpTimestamp::from_timestamp(t).to_bits() & !below | rng.next_u64() & below)
}

/// The stamp moved back by this many 2⁻³² s.
fn earlier(stamp: NtpTimestamp, by: u64) -> NtpTimestamp {
    NtpTimestamp::from_bits(stamp.to_bits().wrapping_sub(by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rng::SplitMix;
    use crate::types::{KeyId, TimeDelta};

    const RECEIVED: Timestamp = Timestamp::from_unix(1_795_000_000, 123_456_789);

    fn snapshot() -> Snapshot {
        Snapshot {
            leap: Leap::None,
            stratum: Stratum::new(10),
            precision: LogInterval::from_log2(-20),
            root_delay: NtpShort::ZERO,
            root_dispersion: NtpShort::ONE,
            refid: RefId::from_bits(0x7F7F_0101),
            reference: RECEIVED,
        }
    }

    const KEYS: &[u8] = b"1 MD5 ASCII:hello\n2 SHA256 HEX:000102030405060708090a0b0c0d0e0f\n3 AES128 HEX:000102030405060708090a0b0c0d0e0f\n";

    fn service<'a>(snapshot: &'a Snapshot, keys: &'a KeyRing) -> Service<'a> {
        Service { snapshot, keys, least_poll: None }
    }

    #[test]
    fn a_key_of_ours_is_answered_under_the_same_key_in_the_same_length() {
        let (keys, _) = KeyRing::parse(KEYS, Dialect::Chrony);
        for (version, id, length) in [(4, 1, 68), (4, 2, 72), (3, 2, 84), (4, 3, 68), (3, 3, 68)] {
            let mut packet = request(version, 3, 48);
            keys.sign_packet(KeyId::new(id), &mut packet, Dialect::Chrony).unwrap();
            assert_eq!(packet.len(), length);
            let snapshot = snapshot();
            let service =
                Service { least_poll: Some(LogInterval::from_log2(8)), ..service(&snapshot, &keys) };
            let reply = answer(&packet, 9, RECEIVED, RECEIVED, &service, &mut SplitMix::new(1)).unwrap();
            assert_eq!(reply.len(), length, "v{version} key {id}");
            assert_eq!(keys.verify_packet(&reply, Dialect::Chrony), Ok(KeyId::new(id)));
            assert_eq!(Header::parse(&reply).unwrap().poll.log2(), 8);
            if let Some(last) = packet.last_mut() {
                *last ^= 1;
            }
            let refused = answer(&packet, 9, RECEIVED, RECEIVED, &service, &mut SplitMix::new(1));
            assert_eq!(refused, Err(Silence::Mac));
        }
    }

    #[test]
    fn mode_0_of_version_1_is_a_client_unless_it_comes_from_the_ntp_port() {
        let snapshot = snapshot();
        let keys = KeyRing::default();
        let ask = |version, port| {
            answer(
                &request(version, 0, 48),
                port,
                RECEIVED,
                RECEIVED,
                &service(&snapshot, &keys),
                &mut SplitMix::new(1),
            )
            .map(|reply| Header::parse(&reply).unwrap().mode)
        };
        assert_eq!(
            (ask(1, 124), ask(1, 123), ask(2, 124)),
            (Ok(Mode::Server), Err(Silence::Mode), Err(Silence::Mode))
        );
    }

    fn ask(request: &[u8]) -> Result<Header, Silence> {
        let now = RECEIVED + TimeDelta::from_nanos(900);
        answer(
            request,
            40_000,
            RECEIVED,
            now,
            &service(&snapshot(), &KeyRing::default()),
            &mut SplitMix::new(1),
        )
        .map(|reply| Header::parse(&reply).unwrap())
    }

    fn request(version: u8, mode: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bytes[0] = version << 3 | mode;
        bytes[2] = 6;
        bytes[40..48].copy_from_slice(&0xeeab_a2ea_120a_e224_u64.to_be_bytes());
        bytes
    }

    #[test]
    fn versions_1_to_4_are_answered_in_their_version() {
        for version in 0..8 {
            let reply = ask(&request(version, 3, 48));
            match version {
                1..=4 => {
                    let reply = reply.unwrap();
                    assert_eq!((reply.version.get(), reply.mode), (version, Mode::Server));
                    assert_eq!(reply.origin.to_bits(), 0xeeab_a2ea_120a_e224);
                    assert_eq!(reply.poll.log2(), 6);
                }
                _ => assert_eq!(reply, Err(Silence::Version)),
            }
        }
    }

    #[test]
    fn only_requests_are_answered() {
        let modes = [Err(Silence::Mode), Ok(Mode::SymmetricPassive), Err(Silence::Mode), Ok(Mode::Server)];
        for (mode, expected) in (0..8).zip(modes.into_iter().chain([Err(Silence::Mode); 4])) {
            assert_eq!(ask(&request(4, mode, 48)).map(|reply| reply.mode), expected, "mode {mode}");
        }
    }

    #[test]
    fn lengths_that_are_no_request_get_silence() {
        for length in 0..48 {
            assert_eq!(ask(&vec![0x23; length]), Err(Silence::Length), "{length}");
        }
        for length in [49, 50, 51, 1141, 1144, 65_532] {
            assert_eq!(ask(&request(4, 3, length)), Err(Silence::Length), "{length}");
        }
        for length in [52, 56, 60, 64] {
            assert_eq!(ask(&request(4, 3, length)), Err(Silence::Tail), "{length}");
        }
        for (version, length) in [(4, 68), (4, 72), (3, 68), (3, 116)] {
            assert_eq!(ask(&request(version, 3, length)), Err(Silence::Mac), "v{version} {length}");
        }
        // an unknown field is skipped and not echoed
        let mut fields = request(4, 3, 76);
        fields[48..52].copy_from_slice(&[0x12, 0x34, 0, 28]);
        assert!(ask(&fields).is_ok());
        fields[51] = 12;
        assert_eq!(ask(&fields), Err(Silence::Tail));
    }

    #[test]
    fn stamps_are_right_to_the_precision_and_in_order() {
        let mut rng = SplitMix::new(7);
        for stay in [0, 1, 400, 5000] {
            let now = RECEIVED + TimeDelta::from_nanos(stay);
            let reply = answer(
                &request(4, 3, 48),
                123,
                RECEIVED,
                now,
                &service(&snapshot(), &KeyRing::default()),
                &mut rng,
            )
            .unwrap();
            let reply = Header::parse(&reply).unwrap();
            let quantum = 954;
            let error =
                |stamp: NtpTimestamp, t: Timestamp| (stamp.to_timestamp(RECEIVED) - t).as_nanos().abs();
            assert!(error(reply.receive, RECEIVED) <= quantum);
            assert!(error(reply.transmit, now) <= quantum);
            assert!(reply.transmit.wrapping_since(reply.receive) >= TimeDelta::ZERO);
            let age = RECEIVED - reply.reference.to_timestamp(RECEIVED);
            assert!(age >= TimeDelta::ZERO && age <= TimeDelta::from_secs(1));
        }
    }

    #[test]
    fn an_unsynchronised_server_says_so() {
        let snapshot = Snapshot { leap: Leap::Unsynchronised, ..snapshot() };
        let reply = answer(
            &request(4, 3, 48),
            123,
            RECEIVED,
            RECEIVED,
            &service(&snapshot, &KeyRing::default()),
            &mut SplitMix::new(1),
        )
        .unwrap();
        let reply = Header::parse(&reply).unwrap();
        assert_eq!((reply.leap, reply.stratum), (Leap::Unsynchronised, Stratum::UNSPECIFIED));
        assert_eq!(reply.refid, RefId::from_bits(0));
    }

    #[test]
    fn no_bytes_make_it_panic_and_no_reply_is_longer_than_the_request() {
        let mut rng = SplitMix::new(3);
        let (keys, _) = KeyRing::parse(KEYS, Dialect::Chrony);
        for _ in 0..20_000 {
            let length = usize::try_from(rng.next_u64() % 128).unwrap();
            let mut bytes: Vec<u8> = (0..length).map(|_| rng.next_u64().to_be_bytes()[0]).collect();
            if let (Some(first), true) = (bytes.first_mut(), rng.next_u64().is_multiple_of(2)) {
                *first = 0x23;
            }
            if let Ok(reply) = answer(&bytes, 9, RECEIVED, RECEIVED, &service(&snapshot(), &keys), &mut rng) {
                assert!(reply.len() <= bytes.len());
            }
        }
    }
}
