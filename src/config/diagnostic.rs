//! What is wrong with a configuration, and where.

use std::fmt;

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The file; `None`: a directive on the command line.
    pub file: Option<String>,
    /// Line number from 1; the number of the argument on a command line.
    pub line: u32,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The daemon does not start.
    Fatal,
    /// The line is left out, the daemon starts (ntp.conf).
    Dropped,
    /// The line has no effect, or not the one that it says.
    Warning,
    /// Worth knowing (`--check`).
    Note,
}

/// One complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The original's text where it has one, without `Fatal error : ` and without the place.
    pub text: String,
    /// The line; `None` where the original names none.
    pub place: Option<Place>,
    /// What to write instead, where we know.
    pub help: Option<String>,
}

impl fmt::Display for Diagnostic {
    /// The original's line: `TEXT at line N in file F`, with `Fatal error : ` in front when it is fatal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.severity == Severity::Fatal {
            f.write_str("Fatal error : ")?;
        }
        f.write_str(&self.text)?;
        match (&self.place, self.severity) {
            (Some(Place { file: Some(file), line }), Severity::Fatal | Severity::Note) => {
                write!(f, " at line {line} in file {file}")
            }
            (Some(Place { file: None, line }), Severity::Fatal | Severity::Note) => {
                write!(f, " at line {line}")
            }
            _ => Ok(()),
        }
    }
}
