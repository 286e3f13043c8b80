//! The clocks of this host.

use nix::time::{ClockId, clock_gettime};

use crate::types::{MonoTime, Now, Timestamp};

/// Reads the adjustable clock (CLOCK_REALTIME).
pub fn now() -> Timestamp {
    read(ClockId::CLOCK_REALTIME)
}

/// Reads the clock that never steps (CLOCK_MONOTONIC).
pub fn mono() -> MonoTime {
    MonoTime::from_nanos(read(ClockId::CLOCK_MONOTONIC).as_nanos())
}

/// Reads both clocks.
pub fn both() -> Now {
    Now { clock: now(), mono: mono() }
}

fn read(clock: ClockId) -> Timestamp {
    // these clocks exist on every Linux; the epoch stands in for a kernel that refuses
    clock_gettime(clock).map_or(Timestamp::UNIX_EPOCH, |t| {
        Timestamp::from_unix(t.tv_sec(), u32::try_from(t.tv_nsec()).unwrap_or(0))
    })
}
