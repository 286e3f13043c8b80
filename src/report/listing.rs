//! What `ntpbox list` knows about the applets.

use schemars::JsonSchema;
use serde::Serialize;

/// The applets of the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Listing {
    /// In the order of `ntpbox list`.
    pub applets: Vec<ListedApplet>,
}

/// One applet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListedApplet {
    /// Its first name.
    pub name: &'static str,
    /// Its other names.
    pub aliases: Vec<&'static str>,
    /// How it can be reached.
    pub kind: ListedKind,
    /// Section of its man page.
    pub section: u8,
    /// One line on what it does.
    pub summary: String,
}

/// How an applet can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ListedKind {
    /// By a link of its name and as `ntpbox NAME`: it replaces a tool.
    Legacy,
    /// As `ntpbox NAME` only.
    Native,
}
