//! Layer 1: bytes ↔ meaning, one file per protocol. Parsers never panic, whatever the bytes; emitters write what they were told.
#![deny(clippy::indexing_slicing)]

pub mod cmdmon;
pub mod ext;
pub mod mode6;
pub mod ntp;
