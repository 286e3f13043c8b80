//! Runs the real binary, through links of the applets' names, and compares what it prints with golden transcripts.
//!
//! A golden is a Markdown file; its ```` ```console ```` blocks are transcripts, everything else is explanation:
//!
//! ```text
//! $ ntpdate -q nosuch.invalid          a command for /bin/sh; the links are first in PATH
//! line of stdout
//! ! line of stderr                     after all of stdout, whatever came first
//! ? 1                                  exit code as the shell sees it, when it is not 0
//! ```
//!
//! `[..]` stands for any text within a line, a line `...` for any number of lines; a last line without a newline ends in
//! `[no newline]`; a line of stdout that begins with `$ `, `! `, `? `, `\` or is a fence has a `\` before it.
//! Bytes that are not printable ASCII or UTF-8 are shown as `\xNN`. A block may begin with ```` ```console root ```` (skipped
//! without root), ```` ```console numbers ```` (every number fits every number, every month every month: for readers' eyes) or
//! ```` ```console ignore ```` (shown, not run).
//! Each file has a scratch directory of its own as working directory, empty at the start; the environment is empty but for
//! PATH, LC_ALL=C, TZ=UTC and HOME. `NTPBOX_BLESS=1` rewrites the transcripts that differ.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use ntpbox::applets::{APPLETS, Kind};

/// A command that takes longer is killed and the test fails.
const DEADLINE: Duration = Duration::from_secs(60);
/// CAP_SYS_TIME (linux/capability.h).
const CAP_SYS_TIME: u32 = 25;

/// The directory with `ntpbox` and a link for each legacy name.
pub(crate) fn bin() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bin");
        fs::create_dir_all(&dir).unwrap();
        let legacy = APPLETS.iter().filter(|a| a.kind == Kind::Legacy).flat_map(|a| a.names);
        for name in legacy.chain([&"ntpbox"]) {
            // beside and renamed: another run of the tests may be using the same directory
            let beside = dir.join(format!(".{name}.{}", std::process::id()));
            let _ = fs::remove_file(&beside);
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ntpbox"), &beside).unwrap();
            fs::rename(&beside, dir.join(name)).unwrap();
        }
        dir
    })
}

/// An empty directory of this name for a test.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scratch").join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// What a finished process left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// The exit code as a shell sees it: 128 + N for signal N.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }
}

/// A command in the empty test environment, without the capability to set the clock.
pub(crate) fn command(program: &str) -> Command {
    give_up_the_clock();
    let program = if program.contains('/') { PathBuf::from(program) } else { bin().join(program) };
    let mut command = Command::new(program);
    command
        .env_clear()
        .env(
            "PATH",
            format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", bin().display()),
        )
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null());
    command
}

/// Runs `NAME WORDS…` (a link's name, or `ntpbox`).
pub(crate) fn run(name: &str, words: &[&str]) -> Finished {
    let mut command = command(name);
    command.args(words);
    finish(command)
}

/// Runs a command to its end, within the deadline.
pub(crate) fn finish(mut command: Command) -> Finished {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    wait(child.unwrap_or_else(|e| panic!("{command:?}: {e}")))
}

fn wait(mut child: Child) -> Finished {
    let collect = |stream: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            stream.map(|mut s| s.read_to_end(&mut bytes));
            visible(&bytes)
        })
    };
    let stdout = collect(child.stdout.take().map(|s| Box::new(s) as Box<dyn Read + Send>));
    let stderr = collect(child.stderr.take().map(|s| Box::new(s) as Box<dyn Read + Send>));
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    let (ended, end) = channel();
    let waiter = thread::spawn(move || {
        let status = child.wait().unwrap();
        let _ = ended.send(());
        status
    });
    if end.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        panic!("a command ran longer than {DEADLINE:?}");
    }
    Finished {
        status: waiter.join().unwrap(),
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

/// Sees to it that no program started by this thread can set the clock, and refuses to go on when it still could: as
/// root CAP_SYS_TIME leaves the bounding set; a user, who does not have it and cannot do that, gives up what
/// privileged programs would gain by being started.
fn give_up_the_clock() {
    let read = || fs::read_to_string("/proc/thread-self/status").unwrap();
    if capability(&read(), "CapBnd") {
        if capability(&read(), "CapEff") {
            // SAFETY: prctl with an integer argument touches no memory of ours.
            #[expect(unsafe_code, reason = "there is no safe wrapper for PR_CAPBSET_DROP")]
            let _ = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0) };
        } else {
            nix::sys::prctl::set_no_new_privs().unwrap();
        }
    }
    let status = read();
    let gains = capability(&status, "CapBnd") && !status.contains("NoNewPrivs:\t1");
    assert!(
        !gains && !capability(&status, "CapInh") && !capability(&status, "CapAmb"),
        "children could set the clock: start the tests under setpriv --bounding-set=-sys_time --inh-caps=-sys_time"
    );
}

fn capability(status: &str, set: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix(set)).expect("a line of /proc/PID/status");
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap() >> CAP_SYS_TIME & 1 == 1
}

/// UTF-8 text as it is; other bytes and control characters (but tab and newline) as `\xNN`.
pub(crate) fn visible(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' | '\t' => text.push(c),
                c if c.is_control() => {
                    c.to_string().bytes().for_each(|b| text.push_str(&format!("\\x{b:02x}")))
                }
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|b| text.push_str(&format!("\\x{b:02x}")));
    }
    text
}

/// Runs the transcripts of all `.md` files of a directory below `tests/cli`.
#[track_caller]
pub(crate) fn check_goldens(directory: &str) {
    let dir = Path::new("tests/cli").join(directory);
    let mut files: Vec<_> = fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no golden in {}", dir.display());
    let complaints: Vec<_> = files.iter().filter_map(|file| check_transcripts(file).err()).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Runs the transcripts of one Markdown file.
///
/// # Errors
/// What differs, command by command.
pub(crate) fn check_transcripts(file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file).unwrap();
    let dir = scratch(&file.to_string_lossy().replace('/', "-"));
    let mut complaints = Vec::new();
    let mut rewritten = String::new();
    for piece in pieces(&text) {
        match piece {
            Piece::Prose(line) => rewritten.push_str(line),
            Piece::Case { command, expected, numbers } => {
                let finished = shell(&command, &dir);
                let actual = transcript(&finished);
                let form = |lines: &[String]| match numbers {
                    Numbers::Exact => lines.to_vec(),
                    Numbers::Any => lines.iter().map(|line| without_numbers(line)).collect(),
                };
                if matches_lines(&form(&expected), &form(&actual)) {
                    expected.iter().for_each(|line| rewritten.push_str(&format!("{line}\n")));
                } else {
                    actual.iter().for_each(|line| rewritten.push_str(&format!("{line}\n")));
                    complaints.push(format!(
                        "{}: $ {command}\n--- expected\n{}\n--- actual\n{}\n",
                        file.display(),
                        expected.join("\n"),
                        actual.join("\n")
                    ));
                }
            }
        }
    }
    if complaints.is_empty() {
        return Ok(());
    }
    if super::blessing() {
        fs::write(file, rewritten).unwrap();
        return Ok(());
    }
    Err(complaints.join("\n"))
}

/// Runs a line of shell in the test environment.
pub(crate) fn shell(line: &str, dir: &Path) -> Finished {
    let mut sh = command("/bin/sh");
    // `exec` would lose a signal's name in the shell's own message; a group of its own keeps the terminal away
    sh.arg("-c").arg(OsString::from(line)).current_dir(dir).process_group(0);
    finish(sh)
}

/// What a finished command looks like in a golden.
fn transcript(finished: &Finished) -> Vec<String> {
    let mut lines = Vec::new();
    push_lines(&mut lines, &finished.stdout, |line| {
        let special = ["$ ", "! ", "? ", "\\", "```"].iter().any(|p| line.starts_with(p)) || line == "!";
        if special || line == "..." { format!("\\{line}") } else { line.to_owned() }
    });
    push_lines(&mut lines, &finished.stderr, |line| match line {
        "" => "!".to_owned(),
        line => format!("! {line}"),
    });
    match finished.code() {
        0 => {}
        code => lines.push(format!("? {code}")),
    }
    lines
}

fn push_lines(lines: &mut Vec<String>, text: &str, form: impl Fn(&str) -> String) {
    for line in text.split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some(line) => lines.push(form(line)),
            None => lines.push(form(&format!("{line}[no newline]"))),
        }
    }
}

enum Piece<'a> {
    /// A line that is kept as it is, with its newline.
    Prose(&'a str),
    Case {
        command: String,
        expected: Vec<String>,
        numbers: Numbers,
    },
}

/// Whether numbers have to be equal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    Exact,
    Any,
}

/// Cuts a Markdown file into what is run and what is kept.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut running = false;
    let mut numbers = Numbers::Exact;
    let root = nix::unistd::geteuid().is_root();
    for line in text.split_inclusive('\n') {
        let bare = line.strip_suffix('\n').unwrap_or(line);
        if let Some(fence) = bare.strip_prefix("```") {
            numbers = if fence == "console numbers" { Numbers::Any } else { Numbers::Exact };
            running = fence == "console" || numbers == Numbers::Any || (fence == "console root" && root);
            pieces.push(Piece::Prose(line));
        } else if let (true, Some(command)) = (running, bare.strip_prefix("$ ")) {
            pieces.push(Piece::Prose(line));
            pieces.push(Piece::Case { command: command.to_owned(), expected: Vec::new(), numbers });
        } else if let (true, Some(Piece::Case { expected, .. })) = (running, pieces.last_mut()) {
            expected.push(bare.to_owned());
        } else {
            pieces.push(Piece::Prose(line));
        }
    }
    pieces
}

/// The line with `0` for every number and `Mon` for every month: what stays the same from run to run.
fn without_numbers(line: &str) -> String {
    let months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
    let line = months.split(' ').fold(line.to_owned(), |line, month| line.replace(month, "Mon"));
    let mut form = String::new();
    let mut rest = line.as_str();
    while let Some(c) = rest.chars().next() {
        let sign = usize::from(c == '-');
        let mut length = rest[sign..].bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        if !rest[sign..].starts_with(|c: char| c.is_ascii_digit()) {
            form.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        length += sign;
        if let Some(exponent) = rest[length..].strip_prefix("e-") {
            length += 2 + exponent.bytes().take_while(u8::is_ascii_digit).count();
        }
        form.push('0');
        rest = &rest[length..];
    }
    form
}

/// Whether lines fit a pattern with `...` lines and `[..]` pieces.
fn matches_lines(pattern: &[String], lines: &[String]) -> bool {
    match pattern.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first == "..." => (0..=lines.len()).any(|n| matches_lines(rest, &lines[n..])),
        Some((first, rest)) => {
            lines.first().is_some_and(|line| matches_line(first, line)) && matches_lines(rest, &lines[1..])
        }
    }
}

fn matches_line(pattern: &str, line: &str) -> bool {
    match pattern.split_once("[..]") {
        None => pattern == line,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .any(|at| matches_line(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn patterns() {
        assert!(matches_line("a[..]c", "abc") && matches_line("a[..]c", "ac") && matches_line("[..]", ""));
        assert!(!matches_line("a[..]c", "abd") && !matches_line("a", "ab"));
        assert!(matches_lines(&lines("a\n...\nz"), &lines("a\nb\nc\nz")));
        assert!(matches_lines(&lines("a\n..."), &lines("a")));
        assert!(!matches_lines(&lines("a\n...\nz"), &lines("a\nb")));
    }

    #[test]
    fn numbers_are_left_out_of_the_comparison() {
        assert_eq!(without_numbers("21 Nov 1:02 x[12]: -0.000016, 3e-7 é"), "0 Mon 0:0 x[0]: 0, 0 é");
        assert_ne!(without_numbers("offset 1 s"), without_numbers("offset 1 ms"));
    }

    #[test]
    fn a_transcript_shows_streams_code_and_odd_bytes() {
        let dir = scratch("transcript");
        let finished = shell(r"printf '$ x\na\033b\377'; echo oops >&2; exit 3", &dir);
        assert_eq!(transcript(&finished), ["\\$ x", "a\\x1bb\\xff[no newline]", "! oops", "? 3"]);
    }

    #[test]
    fn a_wrong_golden_is_noticed() {
        let dir = scratch("wrong-golden");
        let file = dir.join("wrong.md");
        fs::write(&file, "# t\n```console\n$ echo a\na\n$ echo b\nc\n```\n").unwrap();
        if !crate::support::blessing() {
            assert!(check_transcripts(&file).unwrap_err().contains("$ echo b\n--- expected\nc"));
        }
    }

    #[test]
    fn children_cannot_set_the_clock() {
        let finished = shell("cat /proc/self/status", &scratch("capability"));
        assert!(!capability(&finished.stdout, "CapEff"));
    }
}
