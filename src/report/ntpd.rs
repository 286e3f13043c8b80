//! What `ntpd --check` finds in a configuration.

use schemars::JsonSchema;
use serde::Serialize;

/// What the daemon would start with, and what it would leave out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// The file.
    pub file: String,
    /// Sources in the order of the lines.
    pub sources: Vec<String>,
    /// The access list, the most specific entry first.
    pub restrictions: Vec<String>,
    /// Stratum that is served without a source, or null.
    pub local_stratum: Option<u8>,
    /// Lines that are left out, as the daemon logs them.
    pub dropped: Vec<String>,
    /// What has no effect, or not the one that it says.
    pub warnings: Vec<String>,
}
