//! Where the lines of `ntpdate` go: the terminal's two streams, or syslog with `-s` (ntp-legacy 1.10).

use super::render;
use crate::applets::io::Io;
use crate::sys::log::{Level, Syslog};
use crate::sys::{clock, zone};

/// The log of one run.
pub(super) struct Log<'a> {
    io: &'a mut Io,
    /// Basename of argv0.
    program: String,
    syslog: Option<Syslog>,
    debug: bool,
    /// Text on stdout gives way to JSON.
    json: bool,
}

impl<'a> Log<'a> {
    pub(super) fn new(io: &'a mut Io, program: &str, json: bool) -> Self {
        let program = program.rsplit('/').next().unwrap_or_default().to_owned();
        // each line goes out at once, as the original flushes it
        io.out.set_line_buffered();
        Self { io, program, syslog: None, debug: false, json }
    }

    /// `-s`: from here on logged lines go to syslog; with `-d` to the terminal too.
    pub(super) fn open_syslog(&mut self) {
        let lowest = if self.debug { Level::Debug } else { Level::Info };
        self.syslog = Some(Syslog::open(&self.program, lowest));
    }

    pub(super) fn set_debug(&mut self) {
        self.debug = true;
    }

    pub(super) fn io(&mut self) -> &mut Io {
        self.io
    }

    pub(super) fn err_is_tty(&self) -> bool {
        self.io.err_is_tty
    }

    /// An error line: stderr, or syslog; stderr again where nobody listens to syslog.
    pub(super) fn error(&mut self, text: &str) {
        let unheard = match &self.syslog {
            None => true,
            Some(syslog) => {
                syslog.line(Level::Error, text);
                !syslog.is_reachable()
            }
        };
        if unheard || self.debug {
            let prefix = self.prefix();
            writeln!(self.io.err, "{prefix}{text}");
        }
    }

    /// A notice: stdout, or syslog.
    pub(super) fn notice(&mut self, text: &str) {
        if let Some(syslog) = &self.syslog {
            syslog.line(Level::Notice, text);
        }
        if (self.syslog.is_none() || self.debug) && !self.json {
            let prefix = self.prefix();
            writeln!(self.io.out, "{prefix}{text}");
        }
    }

    /// Text on stdout that is never logged: rows and traces.
    pub(super) fn out(&mut self, text: &str) {
        if !self.json {
            self.io.out.write_bytes(text.as_bytes());
        }
    }

    /// Text on stderr without prefix, also with `-s`.
    pub(super) fn raw(&mut self, text: &str) {
        self.io.err.write_bytes(text.as_bytes());
    }

    /// Advice that the original does not give: only where a person reads it.
    pub(super) fn advice(&mut self, text: &str) {
        if self.err_is_tty() {
            writeln!(self.io.err, "{}: {text}", self.program);
        }
    }

    fn prefix(&self) -> String {
        render::prefix(clock::now(), &zone::utc_offset_at, &self.program, std::process::id())
    }
}
