//! What `ntpbox demo` showed.

use schemars::JsonSchema;
use serde::Serialize;

use crate::types::Secs;

/// The servers of a demonstration and the commands that were run against them.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Demonstration {
    /// The servers, all of them in this process.
    pub servers: Vec<DemoServer>,
    /// The commands, in order.
    pub commands: Vec<DemoCommand>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DemoServer {
    /// Its address.
    pub address: String,
    /// Its UDP port.
    pub port: u16,
    /// How far its clock was put ahead of this host's: the offset that a client should find.
    pub offset_s: Secs,
}

/// A command and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DemoCommand {
    /// As it would be typed.
    pub command: String,
    /// Its exit code, 128 + N after signal N.
    pub exit_code: u8,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}
