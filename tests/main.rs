//! All integration tests in one binary.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod applet;
mod arch;
mod asked;
mod compat;
mod generated;
mod readme;
mod support;
mod vm;
