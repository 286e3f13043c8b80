//! Interleaved mode of the server (RFC 9769): when a reply really left is told in the next one, so that its time stamp can be
//! that of the kernel. Between the two the pair (receive stamp, transmit stamp) of each reply is kept here.
//!
//! A client shows that it wants it by naming a receive stamp of ours as origin. To know such an origin from that of an
//! ordinary client, which names our transmit stamp, the lowest bit of receive stamps is 1 and that of transmit stamps 0.
//! Pairs are kept in sets of four, found by the receive stamp; a new one takes the place of the oldest of its set.

use crate::types::{NtpTimestamp, TimeDelta};

/// Pairs of a set.
const WAYS: usize = 4;
/// A transmit stamp that was told already, or is of the future: no reply has it.
const TOLD: u64 = 0;

/// The pairs that are held.
#[derive(Debug)]
pub struct Pairs {
    /// Receive stamps, then their transmit stamps; 0: free.
    sets: Vec<[[u64; WAYS]; 2]>,
    held: usize,
}

/// What is held, as `serverstats` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// How many pairs.
    pub pairs: usize,
    /// Time between the first and the last of them.
    pub span: TimeDelta,
}

impl Pairs {
    /// Room within this many bytes, at least for four pairs; mapped as it is used.
    pub fn new(bytes: usize) -> Self {
        Self { sets: vec![[[0; WAYS]; 2]; (bytes / size_of::<[[u64; WAYS]; 2]>()).max(1)], held: 0 }
    }

    fn set(&mut self, receive: NtpTimestamp) -> Option<&mut [[u64; WAYS]; 2]> {
        // stamps of one second differ in all bits of the fraction
        let stirred = receive.to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let count = u64::try_from(self.sets.len()).unwrap_or(u64::MAX);
        self.sets.get_mut(usize::try_from((stirred * count) >> 32).unwrap_or(0))
    }

    /// Whether this receive stamp is held already: another reply must not have it.
    pub fn holds(&mut self, receive: NtpTimestamp) -> bool {
        self.set(receive).is_some_and(|[keys, _]| keys.contains(&receive.to_bits()))
    }

    /// Keeps the pair of a reply that is about to leave.
    pub fn keep(&mut self, receive: NtpTimestamp, transmit: NtpTimestamp) {
        let Some([keys, values]) = self.set(receive) else { return };
        // free places are the oldest; what is of the future was kept before the clock was set back
        let age = |key: &u64| match *key {
            0 => i64::MAX,
            key => receive.wrapping_since(NtpTimestamp::from_bits(key)).abs().as_nanos(),
        };
        let oldest = (0..WAYS).max_by_key(|place| keys.get(*place).map(age)).unwrap_or(0);
        let mut was_free = false;
        if let (Some(key), Some(value)) = (keys.get_mut(oldest), values.get_mut(oldest)) {
            was_free = *key == 0;
            (*key, *value) = (receive.to_bits(), transmit.to_bits());
        }
        self.held += usize::from(was_free);
    }

    fn transmit(&mut self, receive: NtpTimestamp) -> Option<&mut u64> {
        let [keys, values] = self.set(receive)?;
        let place = keys.iter().position(|key| *key == receive.to_bits())?;
        values.get_mut(place).filter(|value| **value != TOLD)
    }

    /// The kernel says when a reply left. Answers whether its pair is still here, untold.
    pub fn stamp(&mut self, receive: NtpTimestamp, transmit: NtpTimestamp) -> bool {
        self.transmit(receive).map(|value| *value = transmit.to_bits()).is_some()
    }

    /// When the reply with this receive stamp left; told once only, so that a replayed request learns nothing.
    pub fn take(&mut self, receive: NtpTimestamp) -> Option<NtpTimestamp> {
        self.transmit(receive).map(|value| NtpTimestamp::from_bits(std::mem::replace(value, TOLD)))
    }

    /// How many are held, and how far apart the first and the last are. Looks at every place.
    pub fn held(&self) -> Held {
        let mut stamps = self.sets.iter().flat_map(|[keys, _]| keys).filter(|key| **key != 0);
        let Some(&base) = stamps.next() else { return Held::default() };
        let base = NtpTimestamp::from_bits(base);
        let (first, last) = stamps.fold((TimeDelta::ZERO, TimeDelta::ZERO), |(first, last), &key| {
            let since = NtpTimestamp::from_bits(key).wrapping_since(base);
            (first.min(since), last.max(since))
        });
        Held { pairs: self.held, span: last - first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(bits: u64) -> NtpTimestamp {
        NtpTimestamp::from_bits(bits)
    }

    #[test]
    fn a_pair_is_told_once_with_the_kernels_stamp() {
        let mut pairs = Pairs::new(4096);
        assert_eq!(pairs.held(), Held::default());
        pairs.keep(at(5 << 32 | 1), at(6 << 32));
        assert!(pairs.holds(at(5 << 32 | 1)) && !pairs.holds(at(5 << 32 | 3)));
        assert!(pairs.stamp(at(5 << 32 | 1), at(7 << 32)));
        assert!(!pairs.stamp(at(9 << 32 | 1), at(7 << 32)));
        assert_eq!(pairs.take(at(5 << 32 | 1)), Some(at(7 << 32)));
        assert_eq!(pairs.take(at(5 << 32 | 1)), None);
        assert!(!pairs.stamp(at(5 << 32 | 1), at(8 << 32)), "a late stamp of a told pair changes nothing");
        assert_eq!(pairs.take(at(5 << 32 | 1)), None);
        assert_eq!(pairs.held().pairs, 1);
    }

    #[test]
    fn the_oldest_gives_way_and_the_room_is_never_exceeded() {
        let mut pairs = Pairs::new(64 * 256);
        for second in 1..10_000_u64 {
            pairs.keep(at(second << 32 | 1), at(second << 32));
        }
        let held = pairs.held();
        assert_eq!(held.pairs, 1024, "all places are used");
        assert!(held.span < TimeDelta::from_secs(5000), "old pairs do not stay: {:?}", held.span);
        assert!((9_900..10_000).filter(|second| pairs.take(at(second << 32 | 1)).is_some()).count() >= 99);
    }

    #[test]
    fn pairs_of_the_future_give_way_after_the_clock_was_set_back() {
        let mut pairs = Pairs::new(0);
        for second in 1000..1004_u64 {
            pairs.keep(at(second << 32 | 1), at(second << 32));
        }
        for second in 1..5_u64 {
            pairs.keep(at(second << 32 | 1), at(second << 32));
        }
        assert!((1..5).all(|second: u64| pairs.take(at(second << 32 | 1)).is_some()));
    }
}
