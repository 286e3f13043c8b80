//! Layer 3: questions to any daemon, sans-IO: a request becomes bytes, bytes become an answer; time and randomness are
//! inputs. Whatever comes from the other side is hostile: nothing here panics or grows with what a peer claims.
#![deny(clippy::indexing_slicing)]

pub mod cmdmon;
pub mod mode6;
