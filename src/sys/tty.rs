//! The terminal: typing without an echo.

use std::io::stdin;

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

/// Runs `work` with the echo of standard input's terminal switched off, if it is one.
pub fn without_echo<T>(work: impl FnOnce() -> T) -> T {
    let Ok(before) = tcgetattr(stdin()) else { return work() };
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, &silent);
    let result = work();
    let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, &before);
    result
}
