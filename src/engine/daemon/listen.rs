//! Broadcasts of others: who may become a source by them.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use super::{Engine, Event, Level, Now, Rng, SourceId, SourceOptions, Stamp};
use crate::auth::Dialect;
use crate::engine::association::Listening;
use crate::engine::options::Kind;
use crate::types::{Leap, NtpTimestamp};
use crate::wire::ext::{Tail, Trailer};
use crate::wire::ntp::Header;

/// Sources that broadcasts may make.
const MOST: usize = 8;
/// Its requests are 2 s apart at this poll.
const VOLLEY_POLL: i32 = 3;
/// Packets of ours that are remembered: they may come back.
const OWN: usize = 8;

/// What becomes of broadcasts.
#[derive(Debug, Default)]
pub(super) struct Listen {
    /// How they are listened to, and whether only those with a key; `None`: not at all.
    options: Option<(Listening, bool)>,
    /// Transmit time stamps of our own.
    own: VecDeque<NtpTimestamp>,
}

impl Listen {
    /// A packet of ours left.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        if let Ok(header) = Header::parse(bytes) {
            self.own.truncate(OWN - 1);
            self.own.push_front(header.transmit);
        }
    }
}

impl Engine {
    /// Servers that broadcast become sources from now on (`broadcastclient`); `authentic`: only those whose packets have a key.
    pub fn set_listening(&mut self, listening: Listening, authentic: bool) {
        self.listen.options = Some((listening, authentic));
    }

    /// A broadcast of somebody who is no source yet.
    pub(super) fn overhear(
        &mut self,
        now: Now,
        from: SocketAddr,
        (bytes, received, local): (&[u8], Stamp, Option<IpAddr>),
        rng: &mut dyn Rng,
    ) {
        let Some((listening, authentic)) = self.listen.options else { return };
        let (Ok(header), Ok(tail)) = (Header::parse(bytes), Tail::parse(bytes)) else { return };
        let listeners = self.sources.values().filter(|s| s.association.listens()).count();
        let known = self.sources.values().any(|s| s.association.address().ip() == from.ip());
        let useful = header.leap != Leap::Unsynchronised
            && (1..16).contains(&header.stratum.get())
            && !header.transmit.is_zero()
            && (1..=4).contains(&header.version.get());
        if listeners >= MOST || known || !useful || self.listen.own.contains(&header.transmit) {
            return;
        }
        let key = match (self.keys.verify_packet(bytes, Dialect::Chrony), tail.trailer()) {
            (Ok(key), _) => key.get(),
            (Err(_), Trailer::None) if !authentic => 0,
            (Err(_), _) => return,
        };
        let mut options = SourceOptions::new(Kind::Server, &from.ip().to_string());
        (options.key, options.minpoll, options.maxpoll) = (key, VOLLEY_POLL, 17);
        let id = self.names.allocate();
        self.begin(now, id, from, &options, rng);
        if let Some(source) = self.sources.get_mut(&id) {
            source.association.listen(now.mono, listening);
        }
        self.update_options();
        self.log(Level::Info, format!("Added broadcast source {}", from.ip()));
        self.event(now, id, Event::Reply { bytes, received, local }, rng);
    }

    /// A source that has stopped broadcasting makes room for others.
    pub(super) fn judge_listener(&mut self, now: Now, id: SourceId, rng: &mut dyn Rng) {
        if self.sources.get(&id).is_some_and(|source| source.association.has_fallen_silent()) {
            self.remove(now, id, rng);
        }
    }
}
