//! The one object that every `--json` prints (decisions.md, "`--json`").

use schemars::JsonSchema;
use serde::Serialize;

/// What `--json` prints: always one object, on failure with `data: null` and an `error`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Envelope<'a, T: Serialize> {
    /// Name and version of the format of `data`, e.g. `ntpbox/chronyc.tracking/1`.
    pub schema: &'a str,
    /// Version of the program.
    pub ntpbox: &'a str,
    /// When the object was made (RFC 3339, UTC, ns).
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// Whether the command did what it was asked.
    pub ok: bool,
    /// The exit code of the process.
    pub exit_code: u8,
    /// The report, or null on failure.
    pub data: Option<&'a T>,
    /// Warnings and notes in the order in which they came up.
    pub messages: &'a [Message],
    /// Why it failed, or null.
    pub error: Option<&'a ErrorReport>,
}

/// How much a [`Message`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Worth knowing.
    Note,
    /// Something is not as it should be; the command went on.
    Warning,
    /// Something failed.
    Error,
}

/// A remark beside the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Message {
    /// How much it matters.
    pub level: Level,
    /// A kebab-case word that scripts can test.
    pub code: &'static str,
    /// The sentence for people.
    pub text: String,
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErrorReport {
    /// A kebab-case word that scripts can test.
    pub code: &'static str,
    /// The sentence for people.
    pub text: String,
    /// The line that the original tool prints, without prefix, or null.
    pub legacy: Option<String>,
    /// What to do about it, or null.
    pub hint: Option<String>,
}

impl ErrorReport {
    /// An error whose text is also the original tool's line.
    pub fn legacy(code: &'static str, line: impl Into<String>) -> Self {
        let line = line.into();
        Self { code, text: line.clone(), legacy: Some(line), hint: None }
    }

    /// An error of ours, with no line of an original tool.
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), legacy: None, hint: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
