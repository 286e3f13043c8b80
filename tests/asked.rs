//! Which of the tests that need more than Rust are wanted, and how a skipped one says why.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;

/// Whether `NTPBOX_TESTS` (a comma list) holds this very word: `all` does not stand for it.
pub(crate) fn said(word: &str) -> bool {
    let list = std::env::var_os("NTPBOX_TESTS").unwrap_or_default();
    list.to_string_lossy().split(',').any(|w| w == word)
}

/// Whether `NTPBOX_TESTS` (a comma list, or `all`) holds this word; the reason is printed when it does not.
pub(crate) fn asked_for(word: &str) -> bool {
    let asked = said(word) || said("all");
    if !asked {
        skipped(&format!("{word} tests run with NTPBOX_TESTS={word} (CONTRIBUTING.md)"));
    }
    asked
}

/// Says, past the test runner's capture and once per reason, why tests do not run.
pub(crate) fn skipped(reason: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if SAID.lock().is_ok_and(|mut said| said.insert(reason.to_owned())) {
        let _ = writeln!(std::io::stderr(), "skipped: {reason}");
    }
}

/// Says it past the test runner's capture.
pub(crate) fn say(text: &str) {
    let _ = write!(std::io::stderr(), "{text}");
}
