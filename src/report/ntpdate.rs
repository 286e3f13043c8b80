//! What a run of `ntpdate` found and did.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Instant, RefIdValue};
use crate::types::{Leap, LogInterval, Secs};

/// What the run was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// `-q`: ask only.
    Query,
    /// `-d`: ask and trace.
    Debug,
    /// Set the clock, by step or slew as the offset asks for.
    Auto,
    /// `-b`: set it by a step.
    Step,
    /// `-B`: set it by a slew.
    Slew,
}

/// How the clock is corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Correction {
    /// At once.
    Step,
    /// Slowly, by the kernel.
    Slew,
    /// Not at all: no server was fit.
    None,
}

/// The run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Ntpdate {
    /// What it was for.
    pub mode: Mode,
    /// The most samples that each server is asked for.
    pub samples_requested: u8,
    /// The servers in the order in which they were asked.
    pub servers: Vec<Server>,
    /// Address of the server that won.
    pub selected: Option<String>,
    /// Its offset; > 0: the local clock is behind.
    pub offset_s: Option<Secs>,
    /// What the offset asks for.
    pub action: Correction,
    /// Whether the clock was really corrected.
    pub applied: bool,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Server {
    /// Its address.
    pub address: String,
    /// Its UDP port.
    pub port: u16,
    /// The name as it was given.
    pub name: String,
    /// Stratum as classic ntpdate has it: 16 when the server is not synchronised; null: it never answered.
    pub stratum: Option<u8>,
    /// Leap indicator of its last answer.
    pub leap: Option<Leap>,
    /// Reference ID of its last answer.
    pub refid: Option<RefIdValue>,
    /// Precision of its clock, log2 s.
    pub precision_log2: Option<LogInterval>,
    /// Its root delay.
    pub root_delay_s: Option<Secs>,
    /// Its root dispersion.
    pub root_dispersion_s: Option<Secs>,
    /// Root delay / 2 + root dispersion.
    pub root_distance_s: Option<Secs>,
    /// When its clock was last updated.
    pub reference_time: Option<Instant>,
    /// Offset of the sample with the least delay; > 0: the local clock is behind.
    pub offset_s: Option<Secs>,
    /// True round trip of that sample.
    pub delay_s: Option<Secs>,
    /// Scatter of the samples by the classic filter; null without a sample.
    pub dispersion_s: Option<Secs>,
    /// Packets sent.
    pub sent: u32,
    /// Answers that counted.
    pub received: u32,
    /// One entry per packet, in the order of time.
    pub samples: Vec<Sample>,
    /// Kiss code that it sent.
    pub kiss: Option<String>,
    /// Why it could not win, or null.
    pub rejected: Option<String>,
}

/// One packet's outcome; nulls: no answer.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Sample {
    /// Offset; > 0: the local clock is behind.
    pub offset_s: Option<Secs>,
    /// True round trip.
    pub delay_s: Option<Secs>,
}
