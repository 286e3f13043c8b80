//! One command line: words, redirection, dispatch through the command table, and what became of it.

use std::io::Write;

use super::auth::Keys;
use super::render::Layout;
use super::table::{self, Command, Found, Param};
use crate::applets::io::Io;
use crate::client::mode6::decode::visible;
use crate::client::mode6::{Patience, QueryError, Reply, Request};
use crate::driver::mode6::{Link, LinkError, Verdict};
use crate::report::{ErrorReport, NtpqReport};
use crate::sys::net::Family;
use crate::types::TimeDelta;
use crate::wire::mode6::{AssocId, ErrorCode};

/// Most words of a command line that count: the command, its arguments and a redirection.
const MAX_WORDS: usize = 7;

/// Words behind a command's name that the original takes without a word; the next two it complains about.
const SPARE_WORDS: usize = 4;

/// Why a command failed: the original's line for stderr, and a word for scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: &'static str,
    pub(super) line: String,
    /// A line that goes before it.
    pub(super) note: Option<String>,
}

impl Trouble {
    pub(super) fn new(code: &'static str, line: impl Into<String>) -> Self {
        Self { code, line: line.into(), note: None }
    }

    pub(super) fn report(&self) -> ErrorReport {
        ErrorReport {
            code: self.code,
            text: self.line.lines().next().unwrap_or_default().trim_start_matches('*').to_owned(),
            legacy: Some(self.line.clone()),
            hint: None,
        }
    }
}

/// What a command has to say.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// For stdout; on failure what was there before it.
    pub(super) text: String,
    /// The same as facts, with the name of their format.
    pub(super) report: Option<(&'static str, NtpqReport)>,
    /// Why it failed.
    pub(super) trouble: Option<Trouble>,
}

impl Answer {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub(super) fn failed(trouble: Trouble) -> Self {
        Self { trouble: Some(trouble), ..Self::default() }
    }
}

impl From<Trouble> for Answer {
    fn from(trouble: Trouble) -> Self {
        Self::failed(trouble)
    }
}

/// An argument, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    Family(Family),
}

/// What stays the same from command to command.
pub(super) struct Settings {
    /// argv0, in front of socket errors.
    pub(super) program: String,
    /// 4.2.6's texts.
    pub(super) old: bool,
    pub(super) names: bool,
    pub(super) raw: bool,
    pub(super) old_rv: bool,
    pub(super) refid_hash: bool,
    pub(super) family: Option<Family>,
    pub(super) version: u8,
    pub(super) timeout_ms: u64,
    pub(super) delay_ms: u64,
    pub(super) debug: i64,
    pub(super) layout: Layout,
    pub(super) authenticate: bool,
    /// Width of a leading column with the local address, when several hosts are asked.
    pub(super) host_column: Option<usize>,
    /// Several hosts: each answer says whose it is.
    pub(super) several: bool,
}

/// The state of the program between commands.
pub(super) struct Shell<'a> {
    pub(super) io: &'a mut Io,
    pub(super) set: Settings,
    pub(super) link: Option<Link>,
    /// Name of the current host; `None` before the first.
    pub(super) host: Option<String>,
    /// The last list of associations, by identifier.
    pub(super) associations: Vec<(AssocId, u16)>,
    /// The variable list: names and values.
    pub(super) variables: Vec<(String, Option<String>)>,
    pub(super) key: Option<u32>,
    pub(super) keys: Keys,
    pub(super) quit: bool,
}

impl Shell<'_> {
    /// Opens a host; on failure the resolver's or the system's own text.
    pub(super) fn open(&mut self, host: &str, family: Option<Family>) -> Result<(), Trouble> {
        match Link::open(host, family, self.set.version, self.patience()) {
            Ok(link) => {
                self.link = Some(link);
                self.host = Some(host.to_owned());
                self.associations.clear();
                Ok(())
            }
            Err(LinkError::Unresolved(text)) => Err(Trouble::new("name-not-resolved", text)),
            Err(LinkError::System(text)) => {
                Err(Trouble::new("socket", format!("{}: connect: {text}", self.set.program)))
            }
        }
    }

    pub(super) fn patience(&self) -> Patience {
        let first = i64::try_from(self.set.timeout_ms).unwrap_or(i64::MAX);
        let further = TimeDelta::from_secs(if self.set.old { 2 } else { 3 });
        Patience { first: TimeDelta::from_millis(first), further }
    }

    /// Asks one question.
    pub(super) fn ask(&mut self, request: Request) -> Result<Reply, Trouble> {
        let association = request.association;
        let mut answer = None;
        self.ask_each(vec![request], |_, found| answer = Some(found))?;
        match answer {
            Some(Ok(reply)) => Ok(reply),
            Some(Err(error)) => Err(self.trouble(&error, association)),
            None => Err(self.trouble(&QueryError::TimedOut, association)),
        }
    }

    /// Asks several.
    pub(super) fn ask_each(
        &mut self,
        mut requests: Vec<Request>,
        each: impl FnMut(usize, Result<Reply, QueryError>),
    ) -> Result<(), Trouble> {
        if self.set.authenticate {
            self.sign_requests()?;
            requests.iter_mut().for_each(|request| request.authenticated = true);
        }
        let Some(link) = self.link.as_mut() else {
            return Err(Trouble::new("no-host", "***No host open, use `host' command"));
        };
        match link.query_each(requests, each) {
            Verdict::Done => Ok(()),
            Verdict::Interrupted => Err(Trouble::new("interrupted", "")),
            Verdict::TooMuch => {
                Err(Trouble::new("too-much-data", self.prefixed("***Buffer size exceeded for returned data")))
            }
        }
    }

    /// With several hosts a message says which it is about.
    pub(super) fn prefixed(&self, line: &str) -> String {
        if self.set.several { format!("server={} {line}", self.host_name()) } else { line.to_owned() }
    }

    /// The host as it is shown: an address without its brackets.
    pub(super) fn host_name(&self) -> String {
        let host = self.host.as_deref().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        bare.unwrap_or(host).to_owned()
    }

    /// The original's words for a question without an answer.
    pub(super) fn trouble(&self, error: &QueryError, association: AssocId) -> Trouble {
        let host = self.host_name();
        let (code, line, note) = match error {
            QueryError::TimedOut => (
                "timed-out",
                "***Request timed out".to_owned(),
                Some(format!("{host}: timed out, nothing received")),
            ),
            QueryError::Incomplete => (
                "incomplete",
                "***Response from server was incomplete".to_owned(),
                Some(format!("{host}: timed out with incomplete data")),
            ),
            QueryError::Refused(refusal) => {
                let (code, line) = refused(*refusal, association);
                (code, line, None)
            }
            QueryError::NotAuthentic => (
                "not-authentic",
                "***Server's reply is not authentic (key or digest mismatch)".to_owned(),
                None,
            ),
            QueryError::Transport(text) => {
                return Trouble::new("daemon-unreachable", format!("{}: {text}", self.set.program));
            }
        };
        Trouble { code, line: self.prefixed(&line), note }
    }

    /// Runs one command line and prints its text; the answer comes back for JSON and the exit code.
    pub(super) fn run(&mut self, line: &str, json: bool) -> Answer {
        let (words, target) = match split(line) {
            Ok(found) => found,
            Err(trouble) => return self.finish(Answer::failed(trouble), None, json),
        };
        let Some((name, rest)) = words.split_first() else {
            let empty = Trouble::new("unknown-command", "***Command `' unknown");
            return if line.trim().is_empty() {
                Answer::default()
            } else {
                self.finish(empty.into(), None, json)
            };
        };
        let answer = match table::find(name, self.set.old) {
            Found::One(command) => match self.decode(command, rest) {
                Ok(values) => (command.run)(self, &values),
                Err(trouble) => Answer::failed(trouble),
            },
            Found::None => {
                Trouble::new("unknown-command", format!("***Command `{}' unknown", visible(name.as_bytes())))
                    .into()
            }
            Found::Several => Trouble::new(
                "ambiguous-command",
                format!("***Command `{}' ambiguous", visible(name.as_bytes())),
            )
            .into(),
        };
        self.finish(answer, target, json)
    }

    fn finish(&mut self, mut answer: Answer, target: Option<String>, json: bool) -> Answer {
        match target {
            Some(path) if answer.trouble.is_none() || !answer.text.is_empty() => {
                let written =
                    std::fs::File::create(&path).and_then(|mut f| f.write_all(answer.text.as_bytes()));
                if let Err(error) = written {
                    let reason = crate::applets::io::error_text(&error);
                    answer.trouble =
                        Some(Trouble::new("cannot-write", format!("***Error opening {path}: {reason}")));
                }
            }
            Some(_) => {}
            None if json => {}
            None => write!(self.io.out, "{}", answer.text),
        }
        if let Some(trouble) = &answer.trouble {
            self.io.out.flush();
            if let Some(note) = &trouble.note {
                writeln!(self.io.err, "{note}");
            }
            if !trouble.line.is_empty() {
                writeln!(self.io.err, "{}", trouble.line);
            }
        }
        answer
    }

    /// Prints a failure that no command had.
    pub(super) fn say(&mut self, trouble: Trouble) -> Answer {
        self.finish(trouble.into(), None, true)
    }

    fn decode(&mut self, command: &Command, words: &[String]) -> Result<Vec<Value>, Trouble> {
        let mut values = Vec::new();
        let mut words = words.iter();
        for param in command.params {
            let Some(word) = words.next() else {
                if param.is_required() {
                    let usage = format!("usage: {} {}", command.name, command.usage).trim_end().to_owned();
                    return Err(Trouble::new("usage", usage));
                }
                break;
            };
            values.push(match param {
                Param::Text | Param::OptionalText => Value::Text(word.clone()),
                Param::Number | Param::OptionalNumber => Value::Number(self.number(word)?),
                Param::OptionalInteger => Value::Number(self.integer(word)?),
                Param::OptionalFamily => match word.as_str() {
                    "-4" => Value::Family(Family::V4),
                    "-6" => Value::Family(Family::V6),
                    _ => return Err(Trouble::new("usage", "***Version must be either 4 or 6")),
                },
            });
        }
        if !self.set.old {
            // what a command has no use for is silently left out up to the fourth word, and from the seventh on
            let spare = words.skip(SPARE_WORDS.saturating_sub(values.len())).take(2);
            for extra in spare {
                writeln!(self.io.err, "***Extra arg `{}' ignored", visible(extra.as_bytes()));
            }
        }
        Ok(values)
    }

    /// A number that may have a sign: the original shows it without.
    fn integer(&mut self, word: &str) -> Result<u64, Trouble> {
        let digits = word.strip_prefix('-').unwrap_or(word);
        if self.set.old {
            return self.number(word);
        }
        let value = self.number(digits).map_err(|trouble| Trouble {
            line: format!("***Illegal integer value {}", visible(word.as_bytes())),
            ..trouble
        })?;
        let wrapped = u32::try_from(value).unwrap_or(0).wrapping_neg();
        Ok(if digits.len() < word.len() { wrapped.into() } else { value })
    }

    /// A number, or `&N`: the N-th association of the last list, which is fetched when there is none.
    fn number(&mut self, word: &str) -> Result<u64, Trouble> {
        let shown = visible(word.as_bytes());
        let Some(index) = word.strip_prefix('&') else {
            let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
            let line = match self.set.old {
                true if word.starts_with('-') => format!("***Value {shown} should be unsigned"),
                true => format!("***Illegal integer value {shown}"),
                false => format!("***Illegal unsigned value {shown}"),
            };
            return word
                .parse::<u32>()
                .ok()
                .filter(|_| plain)
                .map(u64::from)
                .ok_or(Trouble::new("bad-number", line));
        };
        let Ok(index) = index.parse::<usize>() else {
            let line = match self.set.old {
                true => format!("***Association value `{shown}' invalid/undecodable"),
                false => format!("***Association index `{shown}' invalid/undecodable"),
            };
            return Err(Trouble::new("bad-number", line));
        };
        // no place of the list: the system
        if index == 0 && !self.set.old {
            return Ok(0);
        }
        if self.associations.is_empty() && !self.set.old {
            self.fetch_associations()?;
            if self.associations.is_empty() {
                writeln!(self.io.out, "No association ID's returned");
            }
        }
        let last = self.associations.len();
        let found = index.clamp(1, last.max(1)).checked_sub(1).and_then(|i| self.associations.get(i));
        let missing = match self.set.old {
            true => format!("***Association for `{shown}' unknown (max &{last})"),
            false => format!("***No associations found, `{shown}' unknown"),
        };
        if self.set.old && index > last {
            return Err(Trouble::new("unknown-association", missing));
        }
        found.map(|(id, _)| u64::from(id.get())).ok_or(Trouble::new("unknown-association", missing))
    }
}

fn refused(code: ErrorCode, association: AssocId) -> (&'static str, String) {
    match code {
        ErrorCode::Unspecified => ("server-error", "***Server returned an unspecified error".into()),
        ErrorCode::Permission => {
            ("permission-denied", "***Server disallowed request (authentication?)".into())
        }
        ErrorCode::BadFormat => ("bad-format", "***Server reports a bad format request packet".into()),
        ErrorCode::BadOpcode => ("bad-opcode", "***Server reports a bad opcode in request".into()),
        ErrorCode::BadAssociation => {
            ("unknown-association", format!("***Association ID {association} unknown to server"))
        }
        ErrorCode::UnknownVariable => {
            ("unknown-variable", "***A request variable unknown to the server".into())
        }
        ErrorCode::BadValue => ("bad-value", "***Server indicates a request variable was bad".into()),
        other => ("server-error", format!("***Server returns unknown error code {}", other.to_bits())),
    }
}

/// Words and the file that the output goes to.
type Split = (Vec<String>, Option<String>);

/// Cuts a line into words: blanks separate, double quotes hold together, a word that begins with `:` as the first takes the
/// rest of the line as its argument, `> file` or `>file` at the end redirects.
fn split(line: &str) -> Result<Split, Trouble> {
    let line = line.trim_matches(|c: char| c.is_ascii_whitespace());
    if line.starts_with(':') {
        let (word, rest) = line.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((line, ""));
        let rest = rest.trim_start();
        let words = std::iter::once(word).chain((!rest.is_empty()).then_some(rest));
        return Ok((words.map(ToOwned::to_owned).collect(), None));
    }
    let mut words: Vec<String> = Vec::new();
    let mut rest = line;
    while !rest.is_empty() && words.len() < MAX_WORDS {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => {
                let mut quoted = false;
                let end = rest.find(|c: char| {
                    quoted ^= c == '"';
                    !quoted && c.is_ascii_whitespace()
                });
                rest.split_at(end.unwrap_or(rest.len()))
            }
        };
        if !(word.is_empty() && after.is_empty()) {
            words.push(word.to_owned());
        }
        rest = after.trim_start_matches(|c: char| c.is_ascii_whitespace());
    }
    let target = words.iter().skip(1).position(|word| word.starts_with('>')).map(|at| at + 1);
    let Some(at) = target else { return Ok((words, None)) };
    let mut tail = words.split_off(at).into_iter();
    let first = tail.next().unwrap_or_default();
    let path = match first.strip_prefix('>') {
        Some("") | None => tail.next(),
        Some(path) => Some(path.to_owned()),
    };
    match path {
        Some(path) => Ok((words, Some(path))),
        None => Err(Trouble::new("usage", "***No file for redirect")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> (Vec<String>, Option<String>) {
        split(line).unwrap()
    }

    #[test]
    fn lines_are_cut_into_words() {
        let list = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(words("  rv\t0  offset "), (list(&["rv", "0", "offset"]), None));
        assert_eq!(words("peers >/tmp/x"), (list(&["peers"]), Some("/tmp/x".into())));
        assert_eq!(words("peers > /tmp/x"), (list(&["peers"]), Some("/tmp/x".into())));
        assert_eq!(words("a \"b c\" d"), (list(&["a", "b c", "d"]), None));
        assert_eq!(words(":config server a > b"), (list(&[":config", "server a > b"]), None));
        assert_eq!(words("rv 0 a b c d e f").0.len(), 7);
        assert!(split("peers >").is_err());
        assert_eq!(words(""), (vec![], None));
        assert_eq!(words("\""), (vec![], None));
    }
}
