//! A generated text: a man page or a completion script.

use schemars::JsonSchema;
use serde::Serialize;

/// A generated text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Document {
    /// What it is about: `ntpdate.8`, `ntpdate`.
    pub name: String,
    /// The text.
    pub text: String,
}
