//! The binary: argv and the environment in, an exit code out. All the rest is in the library.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use ntpbox::applets::io::{Io, Out};
use ntpbox::applets::{Outcome, dispatch};
use ntpbox::sys::memory::Allocator;
use ntpbox::sys::process::die_of;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    let env = std::env::vars_os()
        .map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned()))
        .collect();
    let mut io = Io {
        out: Out::buffered(Box::new(std::io::stdout())),
        err: Out::unbuffered(Box::new(std::io::stderr())),
        input: Box::new(std::io::stdin().lock()),
        in_is_tty: std::io::stdin().is_terminal(),
        out_is_tty: std::io::stdout().is_terminal(),
        err_is_tty: std::io::stderr().is_terminal(),
        env,
    };
    match dispatch(&argv, &mut io) {
        Outcome::Code(code) => ExitCode::from(code),
        Outcome::Signal(signal) => {
            die_of(signal);
            ExitCode::FAILURE
        }
    }
}
