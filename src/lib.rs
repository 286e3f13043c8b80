//! ntpbox: the Linux time tools in one binary, on one packet codec and one clock core.
//!
//! The layers, bottom up; each may use only those below it (ARCHITECTURE.md has the table, `tests/arch.rs` checks it):
//!
//! 0. [`types`]: values with units and signs. No I/O, no clock is read.
//! 1. [`wire`]: bytes ↔ meaning, never panicking; [`auth`]: keys and MACs.
//! 2. [`engine`]: the sans-IO core: time, packets and randomness come in, actions go out; [`report`]: plain facts to print.
//! 3. [`config`]: files as values; [`control`], [`client`]: reports answered and asked; [`sys`]: everything that touches the operating system, and all `unsafe`.
//! 4. [`driver`]: the loops that join the core with the operating system.
//! 5. [`applets`]: command lines, texts and exit codes of the tools that are replaced.

pub mod applets;
pub mod auth;
pub mod client;
pub mod config;
pub mod control;
pub mod driver;
pub mod engine;
pub mod report;
pub mod sys;
pub mod types;
pub mod wire;
