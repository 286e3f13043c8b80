//! `chronyd`: chrony.conf line by line, and the command line as far as it needs no rights.

use std::net::{IpAddr, Ipv4Addr};

use ntpbox::config::chrony_conf::{Files, parse_file};

use crate::support::cli;
use crate::support::conf::{Row, rows, valid};

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn run(words: &[&str]) -> Ran {
    let ran = cli::run("chronyd", words);
    Ran { code: ran.code(), out: ran.stdout, err: ran.stderr }
}

/// One file, and nothing else on the disk; one host name.
struct One<'a>(&'a str);

impl Files for One<'_> {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, String> {
        let text = (path == "F").then(|| self.0.as_bytes().to_vec());
        text.ok_or_else(|| "No such file or directory".to_owned())
    }
    fn glob(&mut self, pattern: &str) -> Option<Vec<String>> {
        match (pattern.contains('*'), pattern.starts_with("/tmp/")) {
            (false, _) => Some(vec![pattern.to_owned()]),
            (true, true) => Some(Vec::new()),
            (true, false) => None,
        }
    }
    fn address(&mut self, name: &str) -> Option<IpAddr> {
        (name == "localhost").then_some(Ipv4Addr::LOCALHOST.into())
    }
}

#[test]
fn each_line_of_the_grammar_is_taken_or_refused_in_the_originals_words() {
    let rows = rows();
    assert!(rows.len() > 1400);
    for row in &rows {
        let text = format!("{}\n", row.line);
        let parsed = parse_file("F", &mut One(&text));
        let said: Vec<String> = parsed.diagnostics.iter().map(ToString::to_string).collect();
        let said = Row::said(said.iter().map(String::as_str), " at line 1 in file F");
        assert_eq!(said, row.ours, "{}", row.line);
        assert_eq!(parsed.is_fatal(), row.ours.starts_with('!'), "{}", row.line);
    }
}

#[test]
fn long_lines_odd_bytes_and_line_ends_are_read_as_the_original_reads_them() {
    let said = |text: &[u8]| {
        struct Bytes<'a>(&'a [u8]);
        impl Files for Bytes<'_> {
            fn read(&mut self, _: &str) -> Result<Vec<u8>, String> {
                Ok(self.0.to_vec())
            }
        }
        let parsed = parse_file("F", &mut Bytes(text));
        (
            parsed.echo.join("|"),
            parsed.diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("|"),
        )
    };
    let server = |length: usize, end: &str| format!("server {}{end}", "a".repeat(length)).into_bytes();
    for (text, good) in [
        (server(2039, "\n"), true),
        (server(2040, "\n"), false),
        (server(2040, ""), true),
        (server(2041, ""), false),
    ] {
        let expected = if good { "" } else { "Fatal error : String too long at line 1 in file F" };
        assert_eq!(said(&text).1, expected, "{}", text.len());
    }
    assert_eq!(said(b"port 1\0 2\nlocal\n"), ("port 1|local".to_owned(), String::new()));
    assert_eq!(said(b"port 11\r\nlocal\r\n"), ("port 11|local".to_owned(), String::new()));
    assert_eq!(said(b"local\x0bstratum\x0c3\n"), ("local stratum 3".to_owned(), String::new()));
    let (echo, error) = said("\u{feff}local\n".as_bytes());
    assert_eq!(echo, "\u{feff}local");
    assert_eq!(error, "Fatal error : Invalid directive \u{feff}local at line 1 in file F");
}

#[test]
fn five_errors_in_one_file_are_all_reported_and_the_echo_ends_with_the_first() {
    let dir = std::env::temp_dir().join(format!("ntpbox-chronyd-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("five.conf");
    std::fs::write(&file, "local\nserver\nallow\nport x\nlog y\nmakestep 1\nlocal stratum 99\n").unwrap();
    let name = file.to_str().unwrap();
    let lines = [
        format!("Invalid syntax for server directive at line 2 in file {name}"),
        format!("Could not parse port directive at line 4 in file {name}"),
        format!("Invalid log parameter at line 5 in file {name}"),
        format!("Missing arguments for makestep directive at line 6 in file {name}"),
        format!("Invalid value in local directive at line 7 in file {name}"),
    ];
    let ran = run(&["-p", "-f", name]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "local\nserver\n"));
    let undated: Vec<&str> = ran.err.lines().map(|l| l.get(21..).unwrap_or_default()).collect();
    assert_eq!(undated, lines.iter().map(|l| format!("Fatal error : {l}")).collect::<Vec<_>>());
    let ran = run(&["--check", "-f", name]);
    assert_eq!(ran.code, 1);
    for line in &lines {
        assert!(ran.err.contains(line), "{line}: {}", ran.err);
    }
    // and as the daemon that goes to the background: the parent tells
    let ran = run(&["-U", "-x", "-f", name, "-l", dir.join("log").to_str().unwrap()]);
    assert_eq!((ran.code, ran.err), (1, lines.iter().map(|l| format!("{l}\n")).collect::<String>()));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn files_of_distributions_and_users_are_good() {
    for (path, text) in valid() {
        let ran = run(&["-p", "-f", &path]);
        let lines =
            text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(['#', '!', ';', '%']));
        let echo: String = lines
            .filter(|l| !l.starts_with("confdir"))
            .map(|l| l.split_ascii_whitespace().collect::<Vec<_>>().join(" ") + "\n")
            .collect();
        assert_eq!((ran.code, ran.out), (0, echo), "{path}: {}", ran.err);
        let ran = run(&["--check", "-f", &path]);
        assert_eq!(ran.code, 0, "{path}: {}", ran.err);
        for line in ran.err.lines() {
            let known = line.contains(" has no effect: ") || line.contains(" is no longer supported");
            assert!(known, "{path}: {line}");
        }
    }
}

#[test]
fn wrong_numbers_and_options_are_named() {
    for (args, err) in [
        (&["-t", "abc"][..], "Fatal error : Invalid argument abc"),
        (&["-P", "x"], "Fatal error : Invalid argument x"),
        (
            &["-d", "-f", "/no/such/file", "-p"],
            "Fatal error : Could not open /no/such/file : No such file or directory",
        ),
    ] {
        let ran = run(args);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{args:?}");
        assert_eq!(ran.err.get(21..).map(str::trim_end), Some(err), "{args:?}");
    }
    let ran = run(&["-Z"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.ends_with("chronyd: invalid option -- 'Z'\n"), "{}", ran.err);
    assert!(ran.out.starts_with("Usage: chronyd [OPTION]... [DIRECTIVE]...\n"), "{}", ran.out);
    let ran = run(&["-v", "-Z"]);
    assert_eq!(ran.code, 0);
    assert!(ran.out.starts_with("chronyd (chrony) version 4.9 (+"), "{}", ran.out);
}
