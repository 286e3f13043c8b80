//! Layer 3: configuration text → typed values. Text in, values and complaints out; files are read by the caller.
#![deny(clippy::indexing_slicing)]

pub mod chrony_conf;
pub mod diagnostic;
pub mod model;
pub mod ntp_conf;
pub mod ntp_model;
pub mod source;
pub mod sysconfig;
