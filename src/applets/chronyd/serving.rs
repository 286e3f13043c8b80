//! What the server part is told by the configuration.

use crate::config::model::{Config, RateLimit};
use crate::driver::server::{Binding, Remembering};
use crate::engine::clients;

/// How much is remembered of clients, and how often each may ask.
pub(super) fn remembering(config: &Config) -> Remembering {
    let limit = |limit: &RateLimit| {
        let byte = |value: i32| u8::try_from(value.clamp(0, 255)).unwrap_or(0);
        clients::RateLimit {
            interval: i8::try_from(limit.interval).unwrap_or(0),
            burst: byte(limit.burst),
            leak: byte(limit.leak),
            kod: byte(limit.kod),
        }
    };
    Remembering {
        bytes: (!config.flags.noclientlog)
            .then(|| usize::try_from(config.clientloglimit).unwrap_or(usize::MAX)),
        ntp: config.ratelimit.as_ref().map(limit),
        command: config.cmdratelimit.as_ref().map(limit),
    }
}

/// How the sockets are opened.
pub(super) fn binding(config: &Config) -> Binding {
    Binding { device: config.words.binddevice.clone(), dscp: u8::try_from(config.integers.dscp).unwrap_or(0) }
}
