//! Layer 0: values. Units and signs of the whole program, on one page.
//!
//! | type | holds | rule |
//! |---|---|---|
//! | [`NtpTimestamp`] | 2⁻³² s since 1900, no era | wire only |
//! | [`NtpShort`] | 16.16 s | wire only; bounds round up |
//! | [`LogInterval`] | 2ⁿ s | poll, precision |
//! | [`Timestamp`] | ns since 1970 as this host's clock reads | absolute time is never `f64` |
//! | [`MonoTime`] | ns, arbitrary zero | timers and ages |
//! | [`TimeDelta`] | signed ns, saturating | what was read or will be written |
//! | [`Secs`] | finite `f64` seconds | what was estimated, and every reported duration |
//! | [`Frequency`] | s/s | ppm only at the rim |
//!
//! **One sign:** `offset > 0` means that our clock is *behind* the reference (RFC 5905 θ): apply `+offset` to be right.
//! `frequency > 0` means that the uncorrected local clock runs *fast*.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "this is the module whose named conversions stand for casts everywhere else"
)]

pub mod civil;
mod frequency;
mod ntp_time;
pub mod rtc;
mod scalar;
mod timestamp;

pub use frequency::Frequency;
pub use ntp_time::{LogInterval, NtpShort, NtpTimestamp};
pub use scalar::{KeyId, Leap, Mode, Reach, RefId, Stratum, Version};
pub use timestamp::{MonoTime, Secs, TimeDelta, Timestamp};

/// The two clocks as they read at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The adjustable clock (CLOCK_REALTIME): ns since 1970.
    pub clock: Timestamp,
    /// The clock that never steps (CLOCK_MONOTONIC): for timers and ages.
    pub mono: MonoTime,
}
