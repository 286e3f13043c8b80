//! Where the lines go: stdout, stderr, and under `--json` the envelope's messages.

use std::fmt::Display;

use crate::applets::io::Io;
use crate::report::{ErrorReport, Level, Message};

/// The function failed; everything about it has been said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

/// The streams of one run.
pub(super) struct Talk<'a> {
    pub(super) io: &'a mut Io,
    /// Prefix of the messages.
    pub(super) name: String,
    pub(super) verbose: bool,
    /// Under `--json` the lines of stdout become messages.
    pub(super) json: bool,
    pub(super) messages: Vec<Message>,
    /// The reason of the failure: the first that was given counts.
    pub(super) error: Option<ErrorReport>,
}

impl Talk<'_> {
    /// A line of the result on stdout.
    pub(super) fn say(&mut self, line: impl Display) {
        if self.json {
            self.note(Level::Note, "remark", line.to_string());
        } else {
            writeln!(self.io.out, "{line}");
        }
    }

    /// A line of `--verbose`.
    pub(super) fn detail(&mut self, line: impl Display) {
        if self.verbose {
            if self.json {
                self.note(Level::Note, "detail", line.to_string());
            } else {
                writeln!(self.io.out, "{line}");
            }
        }
    }

    /// A line on stderr that does not end the run.
    pub(super) fn warn(&mut self, code: &'static str, line: impl Display) {
        let text = line.to_string();
        writeln!(self.io.err, "{}: {text}", self.name);
        self.note(Level::Warning, code, text);
    }

    /// A line on stderr and the end of the run.
    pub(super) fn fail(&mut self, code: &'static str, line: impl Display) -> Failed {
        let text = line.to_string();
        writeln!(self.io.err, "{}: {text}", self.name);
        self.error.get_or_insert_with(|| ErrorReport::legacy(code, text));
        Failed
    }

    fn note(&mut self, level: Level, code: &'static str, text: String) {
        self.messages.push(Message { level, code, text });
    }
}
