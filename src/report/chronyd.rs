//! What `chronyd --check` finds in a configuration.

use schemars::JsonSchema;
use serde::Serialize;

/// A configuration that the daemon would start with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// The file; null: directives of the command line.
    pub file: Option<String>,
    /// Sources in the order of the lines.
    pub sources: Vec<String>,
    /// Rules for NTP clients in the order of the lines.
    pub access: Vec<String>,
    /// Stratum that is served without a source, or null.
    pub local_stratum: Option<u8>,
    /// UDP port of the server.
    pub port: u16,
    /// What has no effect, or not the one that it says.
    pub warnings: Vec<String>,
}
