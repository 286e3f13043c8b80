//! One exchange of packets: four time stamps → offset and delay (RFC 5905 §8). The one-shot client and the daemon both use it.

use crate::types::{TimeDelta, Timestamp};

/// The four time stamps of an exchange, ours by our clock, the server's by its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// T1: the request left us.
    pub sent: Timestamp,
    /// T2: the request reached the server.
    pub server_received: Timestamp,
    /// T3: the reply left the server.
    pub server_sent: Timestamp,
    /// T4: the reply reached us.
    pub received: Timestamp,
}

/// What an exchange tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// ((T2−T1)+(T3−T4))/2; > 0: our clock is behind.
    pub offset: TimeDelta,
    /// (T4−T1)−(T3−T2): the true round trip; below zero when a clock was stepped in between.
    pub delay: TimeDelta,
}

impl Exchange {
    /// Offset and delay of this exchange.
    pub fn sample(&self) -> Sample {
        Sample {
            offset: TimeDelta::midpoint(self.server_received - self.sent, self.server_sent - self.received),
            delay: (self.received - self.sent) - (self.server_sent - self.server_received),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(offset: i64, there: i64, back: i64) -> Exchange {
        let sent = Timestamp::from_unix(1_795_000_000, 0);
        let at = |nanos| sent + TimeDelta::from_nanos(nanos);
        Exchange {
            sent,
            server_received: at(there + offset),
            server_sent: at(there + offset + 1_000),
            received: at(there + 1_000 + back),
        }
    }

    #[test]
    fn a_symmetric_path_gives_the_true_offset() {
        let sample = exchange(7_500_000_000, 40_000, 40_000).sample();
        assert_eq!(sample.offset, TimeDelta::from_millis(7_500));
        assert_eq!(sample.delay, TimeDelta::from_micros(80));
    }

    #[test]
    fn asymmetry_moves_the_offset_by_half_its_size() {
        let sample = exchange(0, 30_000, 10_000).sample();
        assert_eq!(sample.offset, TimeDelta::from_micros(10));
    }

    #[test]
    fn decades_do_not_overflow() {
        let sample = exchange(-56 * 365 * 86_400 * 1_000_000_000, 5, 5).sample();
        assert_eq!(sample.offset, TimeDelta::from_secs(-56 * 365 * 86_400));
        assert_eq!(sample.delay, TimeDelta::from_nanos(10));
    }
}
