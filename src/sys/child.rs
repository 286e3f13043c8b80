//! Programs that we start, with their output as descriptors to wait for.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::SysError;

/// A running program whose standard input is empty and whose outputs are ours to read.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    out: Pipe,
    err: Pipe,
}

/// What a stream has given so far.
#[derive(Debug)]
struct Pipe {
    /// `None`: at its end.
    file: Option<File>,
    bytes: Vec<u8>,
}

/// What a program left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code, or 128 + the signal that ended it.
    pub code: u8,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Child {
    /// Starts a program.
    ///
    /// # Errors
    /// `exec`: no such program, not permitted, no memory.
    pub fn start(program: &Path, words: &[&str]) -> Result<Self, SysError> {
        let name = program.display().to_string();
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|e| SysError::from_io("exec", &name, &e))?;
        let out = Pipe::new(process.stdout.take().map(OwnedFd::from));
        let err = Pipe::new(process.stderr.take().map(OwnedFd::from));
        Ok(Self { name, process, out, err })
    }

    /// What to wait for; empty once both streams are at their ends.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.out, &self.err].into_iter().filter_map(|pipe| pipe.file.as_ref().map(AsFd::as_fd))
    }

    /// Takes what one of the [`Self::descriptors`] has; blocks when it has nothing.
    ///
    /// # Errors
    /// `read`.
    pub fn read(&mut self, place: usize) -> Result<(), SysError> {
        let open = [&mut self.out, &mut self.err].into_iter().filter(|pipe| pipe.file.is_some()).nth(place);
        open.map_or(Ok(()), Pipe::read).map_err(|e| SysError::from_io("read", &self.name, &e))
    }

    /// Waits for the end of the program.
    ///
    /// # Errors
    /// `wait`.
    pub fn finish(mut self) -> Result<Finished, SysError> {
        let status = self.process.wait().map_err(|e| SysError::from_io("wait", &self.name, &e))?;
        Ok(Finished { code: code(status), stdout: self.out.bytes, stderr: self.err.bytes })
    }

    /// Asks the program to end (SIGTERM).
    pub fn terminate(&mut self) {
        if let Ok(pid) = i32::try_from(self.process.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Ends the program at once; [`Self::finish`] still has to be called.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
    }
}

impl Pipe {
    fn new(fd: Option<OwnedFd>) -> Self {
        Self { file: fd.map(File::from), bytes: Vec::new() }
    }

    fn read(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut buffer = [0; 4096];
        match file.read(&mut buffer) {
            Ok(0) => self.file = None,
            Ok(count) => self.bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::wait::{Woken, wait};

    #[test]
    fn both_streams_and_the_code_come_back() {
        let mut child =
            Child::start(Path::new("/bin/sh"), &["-c", "echo out; echo err >&2; exit 7"]).unwrap();
        while child.descriptors().next().is_some() {
            let Ok(Woken::Ready(places)) = wait(&child.descriptors().collect::<Vec<_>>(), None) else {
                continue;
            };
            child.read(places[0]).unwrap();
        }
        let finished = child.finish().unwrap();
        assert_eq!(
            (finished.code, finished.stdout, finished.stderr),
            (7, b"out\n".to_vec(), b"err\n".to_vec())
        );
    }

    #[test]
    fn a_killed_program_has_its_signal_in_the_code() {
        let mut child = Child::start(Path::new("/bin/sh"), &["-c", "kill -9 $$"]).unwrap();
        child.kill();
        assert_eq!(child.finish().unwrap().code, 137);
        assert!(Child::start(Path::new("/nonexistent"), &[]).is_err());
    }
}
