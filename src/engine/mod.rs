//! Layer 2: the sans-IO core. Time, packets, file contents and randomness come in as values; decisions go out.

pub mod access;
pub mod association;
pub mod bank;
pub mod clients;
pub mod clock;
pub mod daemon;
pub mod interleave;
pub mod leap;
pub mod manual;
pub mod measurement;
pub mod mru;
pub mod names;
pub mod oneshot;
pub mod options;
pub mod record;
pub mod refclock;
pub mod reference;
pub mod register;
pub mod restrict;
pub mod rng;
pub mod rtc;
pub mod sample;
pub mod selection;
pub mod server;
pub mod timeline;
