//! Where ntpd's lines go: the terminal with `-n`, a log file, else the system's log.

use std::fs::{File, OpenOptions};
use std::io::Write;

use crate::driver::lifecycle::Life;
use crate::sys::log::Level;
use crate::sys::{clock, zone};
use crate::types::civil;

/// The places.
pub(super) struct Journal {
    console: bool,
    file: Option<File>,
}

impl Journal {
    pub(super) fn new(console: bool) -> Self {
        Self { console, file: None }
    }

    /// `logfile`: from now on there. What cannot be opened is said, and the lines stay where they were.
    pub(super) fn open(&mut self, life: &Life, path: &str) {
        match OpenOptions::new().create(true).append(true).open(path) {
            Ok(file) => self.file = Some(file),
            Err(error) => {
                let reason = crate::applets::io::error_text(&error);
                self.line(life, Level::Error, &format!("Cannot open logfile {path}: {reason}"));
            }
        }
    }

    /// One line, control characters as blanks. What cannot be written is lost.
    pub(super) fn line(&mut self, life: &Life, level: Level, text: &str) {
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line = format!("{}{clean}\n", prefix());
        if self.console {
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        match &mut self.file {
            Some(file) => _ = file.write_all(line.as_bytes()),
            None => life.line(level, text),
        }
    }
}

/// `21 Nov 15:19:04 ntpd[31137]: `, local time.
fn prefix() -> String {
    let now = clock::now();
    let local =
        crate::types::Timestamp::from_unix(now.secs() + i64::from(zone::utc_offset_at(now.secs())), 0);
    let text = civil::rfc3339(local);
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let number: usize = text.get(5..7).and_then(|m| m.parse().ok()).unwrap_or(1);
    let name = month.get(number.wrapping_sub(1)).copied().unwrap_or("Jan");
    let day: u8 = text.get(8..10).and_then(|d| d.parse().ok()).unwrap_or(1);
    format!("{day:2} {name} {} ntpd[{}]: ", text.get(11..19).unwrap_or("00:00:00"), std::process::id())
}
