//! Variables as `rv` prints them: known names are made readable, the rest is echoed, lines hold at most 72 columns.

use crate::applets::ntpq::render::refclock_text;
use crate::client::mode6::catalogue::{flash_words, leap_bits};
use crate::client::mode6::decode::{self, visible};
use crate::types::civil::CivilTime;
use crate::types::{NtpTimestamp, Timestamp};
use crate::wire::mode6::vars::{Variable, variables};

/// Longest line without its last comma.
const WIDTH: usize = 72;
/// Longest text of `flash`, without the `...` that ends a longer one.
const FLASH: usize = 79;

/// What the text depends on beside the data.
pub(super) struct Kitchen<'a> {
    /// Chooses the era of time stamps.
    pub(super) pivot: Timestamp,
    /// Seconds east of UTC at a second since 1970.
    pub(super) utc_offset: fn(i64) -> i32,
    /// The texts of 4.2.6.
    pub(super) old: bool,
    /// Reference clock variables: the refid holds characters.
    pub(super) clock: bool,
    /// The name of an address, when names are shown.
    pub(super) name_of: &'a dyn Fn(std::net::IpAddr) -> Option<String>,
}

/// The body of `rv`: all variables of the list, cooked.
pub(super) fn cooked(kitchen: &Kitchen<'_>, data: &[u8]) -> String {
    let mut lines = Lines::default();
    for variable in variables(data) {
        lines.put(&kitchen.item(&variable));
    }
    lines.finish()
}

/// The data of a reply without the CR of its line ends; nothing in it can control a terminal.
pub(super) fn raw(data: &[u8]) -> String {
    let mut text = String::new();
    for line in data.split_inclusive(|&b| b == b'\n') {
        let (line, end) = match line.strip_suffix(b"\n") {
            Some(line) => (line.strip_suffix(b"\r").unwrap_or(line), "\n"),
            None => (line, ""),
        };
        text.push_str(&visible(line));
        text.push_str(end);
    }
    text
}

/// Items with `, ` or `,\n` between them.
#[derive(Default)]
pub(super) struct Lines {
    text: String,
    column: usize,
}

impl Lines {
    pub(super) fn put(&mut self, item: &str) {
        if self.column > 0 {
            if self.column + 2 + item.len() > WIDTH {
                self.text.push_str(",\n");
                self.column = 0;
            } else {
                self.text.push_str(", ");
                self.column += 2;
            }
        }
        self.text.push_str(item);
        self.column += item.len();
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push('\n');
        self.text
    }
}

impl Kitchen<'_> {
    fn item(&self, variable: &Variable<'_>) -> String {
        let name = visible(variable.name);
        let Some(value) = variable.value else {
            return match name.as_str() {
                "filtdelay" | "filtoffset" | "filtdisp" => samples(&name, &[]),
                // p15 shows the lack of a value; 4.2.6 the bare name
                _ if self.old => name,
                _ => format!("{name}="),
            };
        };
        let text = match variable.name {
            b"leap" => leap_bits(value).map(ToOwned::to_owned),
            b"reach" => decode::unsigned(value).map(|bits| format!("{bits:03o}")),
            b"flash" => decode::unsigned(value).map(flash),
            b"reftime" | b"clock" | b"org" | b"rec" | b"xmt" => {
                decode::timestamp(value).map(|t| self.stamp(t))
            }
            b"refid" => self.refid(value),
            b"srcadr" | b"peeradr" => {
                decode::endpoint(value).map(|e| (self.name_of)(e.ip).unwrap_or_else(|| e.address()))
            }
            b"dstadr" => decode::endpoint(value).map(|e| e.address()),
            b"filtdelay" | b"filtoffset" | b"filtdisp" => {
                if let Some(numbers) = decode::array(value) {
                    return samples(&name, &numbers);
                }
                None
            }
            _ => Some(visible(value)),
        };
        match text {
            Some(text) => format!("{name}={text}"),
            None => format!("{name}={}?", visible(value)),
        }
    }

    fn refid(&self, value: &[u8]) -> Option<String> {
        let dotted = decode::endpoint(value).and_then(|e| match e.ip {
            std::net::IpAddr::V4(v4) => Some(v4.octets()),
            std::net::IpAddr::V6(_) => None,
        });
        match dotted {
            // the driver's characters, sent as a number by older servers
            Some(bytes) if self.clock => {
                let code = bytes.iter().take_while(|&&b| b != 0);
                let shown = code.map(|&b| if (0x20..0x7f).contains(&b) { char::from(b) } else { '?' });
                Some(shown.collect())
            }
            Some([127, 127, driver, unit]) => Some(refclock_text(driver, unit)),
            Some(_) => Some(visible(value)),
            None if value.len() <= 4 || value.starts_with(b"\"") => Some(visible(value)),
            None => None,
        }
    }

    /// `eeabd29e.cecbd831  Sat, Nov 21 2026  8:19:42.807` in local time.
    pub(super) fn stamp(&self, stamp: NtpTimestamp) -> String {
        if stamp.is_zero() && !self.old {
            return "(no time)".to_owned();
        }
        // the fraction is cut to ms by whole units, so that the largest fractions carry into the second
        let milliseconds = stamp.fraction() / 4_294_967;
        let whole = NtpTimestamp::from_bits(u64::from(stamp.seconds()) << 32);
        let unix = if stamp.is_zero() {
            -2_208_988_800
        } else {
            whole.to_timestamp(self.pivot).secs() + i64::from(milliseconds / 1000)
        };
        let civil = CivilTime::from_unix(unix, 0, (self.utc_offset)(unix));
        format!(
            "{:08x}.{:08x}  {}, {} {:>2} {:>4} {:>2}:{:02}:{:02}.{:03}",
            stamp.seconds(),
            stamp.fraction(),
            civil.weekday_name(),
            civil.month_name(),
            civil.day,
            civil.year,
            civil.hour,
            civil.minute,
            civil.second,
            milliseconds % 1000
        )
    }
}

/// `1620 pkt_stratum, peer_stratum`, `00 ok`.
fn flash(bits: u64) -> String {
    if bits == 0 {
        return "00 ok".to_owned();
    }
    let words: Vec<&str> = flash_words(bits).collect();
    let mut text = format!("{bits:02x} {}", words.join(", "));
    if text.len() > FLASH {
        text.truncate(FLASH - 3);
        text.push_str("...");
    }
    text.trim_end().to_owned()
}

/// The eight values of a filter in columns of seven.
fn samples(name: &str, numbers: &[f64]) -> String {
    let columns: Vec<String> = numbers
        .iter()
        .map(|number| {
            let mut text = format!("{:.2}", number + 0.0); // no negative zero
            text.truncate(7);
            format!("{text:>7}")
        })
        .collect();
    format!("{name}={:pad$}{}", "", columns.join(" "), pad = 11_usize.saturating_sub(name.len()))
}
