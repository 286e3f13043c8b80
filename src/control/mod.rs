//! Layer 3: answers for foreign clients, sans-IO: bytes and where they came from go in, bytes or silence come out; what is
//! true and what is to be done is asked of the daemon behind a trait. Every request is hostile: nothing here panics.
#![deny(clippy::indexing_slicing)]

pub mod cmdmon;
pub mod mode6;
