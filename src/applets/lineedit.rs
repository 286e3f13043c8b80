//! Lines from a terminal: editing, history and completion, for the tools with a prompt.
//!
//! The editor goes on reading after a signal, but for SIGINT; so a thread looks for caught signals and passes them on as one.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use crate::sys::signal;

/// The words that may stand where the cursor is, given the line up to it.
pub type Complete = fn(&str) -> Vec<&'static str>;

/// Lines that are remembered.
const REMEMBERED: usize = 500;

/// How soon a caught signal ends the editing of a line.
const SIGNAL_PAUSE: Duration = Duration::from_millis(200);

/// Terminals that only take and give lines.
const PLAIN: [&str; 3] = ["dumb", "cons25", "emacs"];

/// What came from the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A line, without its newline.
    Line(String),
    /// Ctrl-D on an empty line, or the terminal is gone.
    End,
    /// Ctrl-C, or a signal was caught.
    Interrupt,
}

/// Reads lines from the terminal of standard input.
pub struct LineEditor {
    editor: Editor<Words, MemHistory>,
}

/// Answers the questions of the editor.
struct Words(Complete);

impl Completer for Words {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..at).unwrap_or_default();
        let start = before.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
        let words = (self.0)(before);
        // one candidate is the word itself: the next one begins after a blank
        let blank = if words.len() == 1 { " " } else { "" };
        Ok((start, words.into_iter().map(|word| format!("{word}{blank}")).collect()))
    }
}

impl Hinter for Words {
    type Hint = String;
}
impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}

impl LineEditor {
    /// An editor with this completion and an empty history, on a terminal of the kind that `TERM` in `env` names.
    ///
    /// # Errors
    /// The text of why the terminal cannot be used.
    pub fn new(complete: Complete, env: &BTreeMap<String, String>) -> Result<Self, String> {
        let kind = env.get("TERM").map_or("", String::as_str);
        if PLAIN.iter().any(|plain| plain.eq_ignore_ascii_case(kind)) {
            // the editor would read lines from the stream of standard input, which is ours and locked
            return Err(format!("no editing on a terminal of kind '{kind}'"));
        }
        let config = Config::builder().completion_type(CompletionType::List).max_history_size(REMEMBERED);
        let config = config.map_err(|error| error.to_string())?.auto_add_history(true).build();
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history).map_err(|error| error.to_string())?;
        editor.set_helper(Some(Words(complete)));
        let watch = || {
            while signal::pending().is_none() {
                thread::sleep(SIGNAL_PAUSE);
            }
            let _ = kill(Pid::this(), Signal::SIGINT);
        };
        thread::Builder::new().name("signals".to_owned()).spawn(watch).map_err(|error| error.to_string())?;
        Ok(Self { editor })
    }

    /// Shows the prompt and reads a line.
    pub fn read(&mut self, prompt: &str) -> Input {
        match self.editor.readline(prompt) {
            Ok(line) => Input::Line(line),
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => Input::Interrupt,
            Err(_) => Input::End,
        }
    }
}
