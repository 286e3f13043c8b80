//! What `ntpbox install` did, or would do.

use schemars::JsonSchema;
use serde::Serialize;

/// The links or copies of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Installation {
    /// The executable that the names lead to.
    pub executable: String,
    /// The directory of the names, without symbolic links.
    pub directory: String,
    /// Whether nothing was done and this is only what would be.
    pub dry_run: bool,
    /// One entry for each name.
    pub entries: Vec<InstalledName>,
}

/// One name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InstalledName {
    /// The applet's name.
    pub name: &'static str,
    /// Where it is.
    pub path: String,
    /// What was done about it.
    pub action: InstallAction,
    /// Text of the symbolic link; null for a copy.
    pub link: Option<String>,
}

/// What was done about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InstallAction {
    /// There was nothing.
    Create,
    /// Something else was there.
    Replace,
    /// It was right already.
    Keep,
}
