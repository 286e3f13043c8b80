//! All integration tests in one binary.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod applet;
mod arch;
mod asked;
#[path = "fuzz/bodies.rs"]
mod bodies;
mod compat;
mod effects;
mod generated;
mod packets;
mod props;
mod readme;
mod replay;
mod sim;
mod support;
mod vm;
