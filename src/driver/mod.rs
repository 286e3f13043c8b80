//! Layer 4: the loops that join the sans-IO cores with the operating system.

pub mod asking;
pub mod clocks;
pub mod cmdmon;
pub mod cmdserver;
pub mod commands;
pub mod daemon;
pub mod dump;
mod facts;
pub mod files;
pub mod leap_source;
pub mod lifecycle;
pub mod mode6;
pub mod ntpd;
pub mod oneshot;
pub mod random;
pub mod responder;
pub mod rtc;
pub mod rtc_keeper;
pub mod server;
pub mod statlog;
