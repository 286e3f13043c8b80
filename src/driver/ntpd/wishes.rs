//! What lines from afar want of the daemon's loop, and the counters that they set to zero.

use std::path::PathBuf;

use super::informant::State;
use crate::config::ntp_model::{Counters, Ntp};
use crate::control::mode6::facts::Statistics;

/// Ranges of keys that lines from afar may add.
const MOST_RANGES: usize = 4096;

/// What only the loop can do: it reads files and sets the clock.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// `keys`: the key file is read, this one from now on.
    Keys(PathBuf),
    /// `leapfile`: leap seconds are read from here.
    Leapfile {
        /// Where it lies.
        path: PathBuf,
        /// `ignorehash`.
        unchecked: bool,
    },
    /// `enable ntp`, `disable ntp`: the clock is taken, or left alone. With the offset that is too large to be believed, s.
    Discipline(bool, Option<f64>),
}

/// Counters as they stood when `reset` was told, each group with its uptime.
#[derive(Debug, Default)]
pub(super) struct Zeroes {
    io: Statistics,
    system: Statistics,
    auth: Statistics,
    timer: Statistics,
}

impl Zeroes {
    /// What was counted since.
    pub(super) fn since(&self, s: &Statistics) -> Statistics {
        let Self { io, system, auth, timer } = self;
        let less = u64::saturating_sub;
        Statistics {
            uptime: s.uptime,
            io_reset: less(s.uptime, io.uptime),
            system_reset: less(s.uptime, system.uptime),
            auth_reset: less(s.uptime, auth.uptime),
            timer_reset: less(s.uptime, timer.uptime),
            received: less(s.received, system.received),
            this_version: less(s.this_version, system.this_version),
            old_version: less(s.old_version, system.old_version),
            bad_format: less(s.bad_format, system.bad_format),
            bad_auth: less(s.bad_auth, system.bad_auth),
            declined: less(s.declined, system.declined),
            restricted: less(s.restricted, system.restricted),
            limited: less(s.limited, system.limited),
            kod_sent: less(s.kod_sent, system.kod_sent),
            processed: less(s.processed, system.processed),
            io_received: less(s.io_received, io.io_received),
            io_sent: less(s.io_sent, io.io_sent),
            io_failed: less(s.io_failed, io.io_failed),
            io_dropped: less(s.io_dropped, io.io_dropped),
            io_ignored: less(s.io_ignored, io.io_ignored),
            wakeups: less(s.wakeups, io.wakeups),
            good_wakeups: less(s.good_wakeups, io.good_wakeups),
            timer_sent: less(s.timer_sent, timer.timer_sent),
            timer_overruns: less(s.timer_overruns, timer.timer_overruns),
            keys: s.keys,
            key_lookups: less(s.key_lookups, auth.key_lookups),
            keys_not_found: less(s.keys_not_found, auth.keys_not_found),
            encryptions: less(s.encryptions, auth.encryptions),
            decryptions: less(s.decryptions, auth.decryptions),
        }
    }

    /// Everything of this group is zero now; those of associations are kept with them.
    pub(super) const fn reset(&mut self, group: Counters, now: &Statistics) {
        match group {
            Counters::Io => self.io = *now,
            Counters::System => self.system = *now,
            Counters::Auth => self.auth = *now,
            Counters::Timer => self.timer = *now,
            Counters::AllPeers | Counters::Control | Counters::Memory => {}
        }
    }
}

impl State {
    /// `trustedkey`: these, too.
    pub(super) fn trust(&mut self, ntp: Ntp) {
        let known = &mut self.ntp.trusted_keys;
        for range in ntp.trusted_keys {
            let covered = known.iter().any(|k| k.contains(range.start()) && k.contains(range.end()));
            if !covered && known.len() < MOST_RANGES {
                known.push(range);
            }
        }
        self.trust_changed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_a_zero_of_its_own() {
        let mut zeroes = Zeroes::default();
        let first =
            Statistics { uptime: 10, received: 5, io_received: 7, timer_sent: 2, ..Statistics::default() };
        assert_eq!(zeroes.since(&first).received, 5);
        zeroes.reset(Counters::System, &first);
        let later =
            Statistics { uptime: 13, received: 9, io_received: 12, timer_sent: 1, ..Statistics::default() };
        let told = zeroes.since(&later);
        assert_eq!((told.received, told.system_reset), (4, 3));
        assert_eq!((told.io_received, told.io_reset, told.uptime), (12, 13, 13));
        // what is gone with its association is not below zero
        zeroes.reset(Counters::Timer, &first);
        assert_eq!(zeroes.since(&later).timer_sent, 0);
    }
}
