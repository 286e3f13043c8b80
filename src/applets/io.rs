//! The streams and the environment of a process, as values: an applet is a function of its arguments and these.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, ErrorKind, Write};

/// How much text is held back before it is written when the stream is not line buffered.
const BUFFER_LIMIT: usize = 32 * 1024;

/// What an applet reads from and writes to.
pub struct Io {
    /// Standard output.
    pub out: Out,
    /// Standard error, unbuffered.
    pub err: Out,
    /// Standard input.
    pub input: Box<dyn BufRead>,
    /// Whether standard input is a terminal.
    pub in_is_tty: bool,
    /// Whether standard output is a terminal.
    pub out_is_tty: bool,
    /// Whether standard error is a terminal.
    pub err_is_tty: bool,
    /// The environment when the process started.
    pub env: BTreeMap<String, String>,
}

/// A stream whose first write error is remembered instead of returned: the work goes on, the exit code tells.
///
/// `write!` and `writeln!` work on it and return nothing.
pub struct Out {
    sink: Box<dyn Write>,
    buffer: Vec<u8>,
    limit: usize,
    line_buffered: bool,
    error: Option<io::Error>,
}

impl Out {
    /// A stream that is written in blocks (standard output).
    pub fn buffered(sink: Box<dyn Write>) -> Self {
        Self { sink, buffer: Vec::new(), limit: BUFFER_LIMIT, line_buffered: false, error: None }
    }

    /// A stream that is written at once (standard error).
    pub fn unbuffered(sink: Box<dyn Write>) -> Self {
        Self { sink, buffer: Vec::new(), limit: 0, line_buffered: false, error: None }
    }

    /// From now on each complete line goes out at once.
    pub fn set_line_buffered(&mut self) {
        self.line_buffered = true;
        self.flush();
    }

    /// Called by `write!` and `writeln!`.
    pub fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) {
        match arguments.as_str() {
            Some(text) => self.write_bytes(text.as_bytes()),
            None => self.write_bytes(arguments.to_string().as_bytes()),
        }
    }

    /// Appends bytes as they are.
    pub fn write_bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= self.limit || (self.line_buffered && bytes.contains(&b'\n')) {
            self.flush();
        }
    }

    /// Writes out what is held back.
    pub fn flush(&mut self) {
        if self.error.is_none() {
            let written = self.sink.write_all(&self.buffer).and_then(|()| self.sink.flush());
            self.error = written.err();
        }
        self.buffer.clear();
    }

    /// Whether a write has failed: a loop that only prints can end.
    pub fn is_broken(&self) -> bool {
        self.error.is_some()
    }

    /// The first error of a write.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }
}

/// The system's own text of an error, without Rust's "(os error N)".
pub fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    match (error.raw_os_error(), error.kind()) {
        (Some(code), _) => text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text).to_owned(),
        (None, ErrorKind::WriteZero) => "short write".to_owned(),
        (None, _) => text,
    }
}
