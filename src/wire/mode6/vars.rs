//! Variable lists: `name=value, name="text, with commas", name` (ntp-legacy 2.6, 2.9).

/// Longest name that is taken over.
pub const MAX_NAME: usize = 256;
/// Longest value that is taken over (ntpq 4.2.8 takes longer ones than 4.2.6's 400 bytes).
pub const MAX_VALUE: usize = 2048;
/// Where a line of a reply is broken.
const LINE_WIDTH: usize = 72;

/// One variable as it was sent: bytes, not yet decoded, and hostile until they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable<'a> {
    /// Without blanks around it, never empty.
    pub name: &'a [u8],
    /// Without blanks around it, quotes kept; `None` when there was no `=`.
    pub value: Option<&'a [u8]>,
}

impl<'a> Variable<'a> {
    /// The value without its quotes; empty when there is none.
    pub fn unquoted(&self) -> &'a [u8] {
        unquote(self.value.unwrap_or_default())
    }
}

/// A value without the double quotes around it.
pub fn unquote(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").map_or(value, |rest| rest.strip_suffix(b"\"").unwrap_or(rest))
}

/// The end of a list that was not its proper end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListError<'a> {
    /// A quote that is never closed; what stood there.
    NoClosingQuote(&'a [u8]),
    /// A `=` without a name before it.
    NoName(&'a [u8]),
}

/// Goes through a variable list. It ends at the end of the data, at a NUL or at the first thing that is no variable;
/// too long names and values are left out.
#[derive(Debug, Clone)]
pub struct Variables<'a> {
    rest: &'a [u8],
    failure: Option<ListError<'a>>,
}

/// Reads a variable list.
pub fn variables(data: &[u8]) -> Variables<'_> {
    let end = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    Variables { rest: data.get(..end).unwrap_or_default(), failure: None }
}

impl<'a> Variables<'a> {
    /// What ended the list early, if anything did so far.
    pub fn failure(&self) -> Option<&ListError<'a>> {
        self.failure.as_ref()
    }
}

impl<'a> Iterator for Variables<'a> {
    type Item = Variable<'a>;

    fn next(&mut self) -> Option<Variable<'a>> {
        loop {
            let start = self.rest.iter().position(|&b| b != b',' && !is_space(b))?;
            let item = self.rest.get(start..)?;
            self.rest = item;
            let name_end =
                item.iter().position(|b| matches!(b, b',' | b'=' | b'\r' | b'\n')).unwrap_or(item.len());
            let name = trim_end(item.get(..name_end)?);
            if name.is_empty() {
                self.failure = Some(ListError::NoName(item));
                self.rest = &[];
                return None;
            }
            let after = item.get(name_end..)?;
            let Some(text) = after.strip_prefix(b"=") else {
                self.rest = after;
                if name.len() > MAX_NAME {
                    continue;
                }
                return Some(Variable { name, value: None });
            };
            let Some(length) = value_length(text) else {
                self.failure = Some(ListError::NoClosingQuote(item));
                self.rest = &[];
                return None;
            };
            let value = trim_start(trim_end(text.get(..length)?));
            self.rest = text.get(length..)?;
            if name.len() > MAX_NAME || value.len() > MAX_VALUE {
                continue;
            }
            return Some(Variable { name, value: Some(value) });
        }
    }
}

/// Up to the comma outside quotes, or the end of the line; `None` when a quote stays open.
fn value_length(text: &[u8]) -> Option<usize> {
    let mut quoted = false;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' | b'\r' | b'\n' if !quoted => return Some(at),
            _ => {}
        }
    }
    (!quoted).then_some(text.len())
}

const fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn trim_start(text: &[u8]) -> &[u8] {
    text.iter().position(|&b| !is_space(b)).and_then(|start| text.get(start..)).unwrap_or_default()
}

fn trim_end(text: &[u8]) -> &[u8] {
    text.iter().rposition(|&b| !is_space(b)).and_then(|last| text.get(..=last)).unwrap_or_default()
}

/// The text of a reply that is being composed: commas, blanks and line breaks where ntpd puts them.
#[derive(Debug, Default)]
pub struct Composer {
    text: Vec<u8>,
    line: usize,
}

impl Composer {
    /// Adds `name=value` as it stands.
    pub fn put(&mut self, name: &str, value: &str) {
        self.item(&format!("{name}={value}"));
    }

    /// Adds `name="value"`; quotes and control characters in it become blanks. An empty one is the bare name.
    pub fn put_string(&mut self, name: &str, value: &str) {
        let clean: String = value.chars().map(|c| if c == '"' || c.is_control() { ' ' } else { c }).collect();
        self.item(&if clean.is_empty() { name.to_owned() } else { format!("{name}=\"{clean}\"") });
    }

    fn item(&mut self, item: &str) {
        if !self.text.is_empty() {
            self.text.push(b',');
            self.line += 1;
            if item.len() + self.line + 1 >= LINE_WIDTH {
                self.text.extend_from_slice(b"\r\n");
                self.line = 0;
            } else {
                self.text.push(b' ');
                self.line += 1;
            }
        }
        self.text.extend_from_slice(item.as_bytes());
        self.line += item.len();
    }

    /// How long it is so far.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether nothing was put in.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The whole reply with its CR LF; empty when nothing was put in.
    pub fn finish(mut self) -> Vec<u8> {
        if !self.text.is_empty() {
            self.text.extend_from_slice(b"\r\n");
        }
        self.text
    }
}
