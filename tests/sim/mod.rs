//! The time simulator: whole networks of hosts in one process and in no time, deterministic by seed.
//!
//! `world` runs the events, `host` is a clock, `link` a path, `metrics` what is measured; `scenario` describes a run,
//! `matrix` the 42 of discipline.md §5; `prototype` is the second client by which `calibration` proves the simulator.
#![expect(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "the simulator's arithmetic is on true time, where the casts are of whole, small numbers"
)]

mod calibration;
mod daemon;
mod host;
mod judge;
mod link;
mod matrix;
mod metrics;
mod prototype;
mod quality;
mod rng;
mod s0_conditions;
mod s1_settings;
mod s2_served;
mod scenario;
mod server;
mod shapes;
mod world;
