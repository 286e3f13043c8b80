//! What is generated from the code and committed is fresh: `NTPBOX_BLESS=1 cargo test generated` rewrites it.

use std::path::Path;

use ntpbox::applets::generate::files;
use ntpbox::applets::schemas::REPORTS;
use ntpbox::applets::{APPLETS, Kind};

use crate::asked::skipped;
use crate::support::check_committed;
use crate::support::cli::{command, finish};

#[test]
fn schemas_are_fresh() {
    let dir = Path::new("tests/schema");
    let mut complaints = Vec::new();
    for report in REPORTS {
        let text = serde_json::to_string_pretty(&report.schema()).unwrap() + "\n";
        complaints.extend(check_committed(&dir.join(report.file_name()), &text).err());
    }
    complaints.extend(strangers(dir, &|name| REPORTS.iter().any(|report| report.file_name() == name)));
    assert!(complaints.is_empty(), "{}\nNTPBOX_BLESS=1 cargo test generated", complaints.join("\n"));
}

#[test]
fn man_pages_and_completions_are_fresh() {
    let files = files();
    let mut complaints = Vec::new();
    for (path, text) in &files {
        complaints.extend(check_committed(Path::new(path), text).err());
    }
    for dir in ["man", "completions/bash", "completions/zsh", "completions/fish"] {
        let known = |name: &str| files.iter().any(|(path, _)| *path == format!("{dir}/{name}"));
        complaints.extend(strangers(Path::new(dir), &known));
    }
    assert!(complaints.is_empty(), "{}\nNTPBOX_BLESS=1 cargo test generated", complaints.join("\n"));
}

#[test]
fn every_applet_is_documented() {
    let files = files();
    let changelog = std::fs::read_to_string("CHANGELOG.md").unwrap();
    let mut lacking = Vec::new();
    for applet in APPLETS {
        let mut sections = vec!["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES"];
        if applet.kind == Kind::Legacy {
            sections.push("DIFFERENCES FROM THE ORIGINAL");
        }
        for name in applet.names {
            let (page, programs) = match applet.kind {
                Kind::Legacy => (
                    format!("man/{name}.{}", applet.section),
                    [format!("bash/{name}"), format!("zsh/_{name}"), format!("fish/{name}.fish")],
                ),
                Kind::Native => (
                    format!("man/ntpbox-{name}.{}", applet.section),
                    ["bash/ntpbox", "zsh/_ntpbox", "fish/ntpbox.fish"].map(str::to_owned),
                ),
            };
            let text =
                |wanted: &str| files.iter().find(|(path, _)| path == wanted).map(|(_, text)| text.as_str());
            match text(&page) {
                Some(redirect) if *name != applet.name() => assert!(redirect.starts_with(".so "), "{page}"),
                Some(page_text) => lacking.extend(sections.iter().filter_map(|section| {
                    let there = page_text
                        .lines()
                        .any(|l| l == format!(".SH {section}") || l == format!(".SH \"{section}\""));
                    (!there).then(|| format!("{page}: no section {section}"))
                })),
                None => lacking.push(format!("{page}: not generated")),
            }
            for program in programs {
                let there =
                    text(&format!("completions/{program}")).is_some_and(|script| script.contains(name));
                lacking.extend((!there).then(|| format!("completions/{program}: nothing about {name}")));
            }
        }
        let mentioned = changelog.contains(&format!("`{}", applet.name()));
        lacking.extend((!mentioned).then(|| format!("CHANGELOG.md does not mention `{}`", applet.name())));
        let lines = applet.about.lines().filter(|line| !line.trim().is_empty()).count();
        lacking.extend((lines < 8).then(|| format!("{}: {lines} lines are no manual", applet.name())));
    }
    assert!(lacking.is_empty(), "{}", lacking.join("\n"));
}

#[test]
fn the_scripts_are_accepted_by_their_shells() {
    for (shell, program) in [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")] {
        let Some(path) = find(program) else {
            skipped(&format!("{program} is not installed"));
            continue;
        };
        for (file, _) in files().iter().filter(|(file, _)| file.starts_with(&format!("completions/{shell}/")))
        {
            let mut command = command(&path);
            command.arg("-n").arg(file);
            let finished = finish(command);
            assert_eq!((finished.code(), finished.stderr.as_str()), (0, ""), "{file}");
        }
    }
}

#[test]
fn the_pages_are_good_roff() {
    let groff: &[&str] = &["-Kutf8", "-Tutf8", "-man", "-ww", "-z"];
    for (program, words) in [("groff", groff), ("mandoc", &["-Tlint", "-Werror"])] {
        let Some(path) = find(program) else {
            skipped(&format!("{program} is not installed"));
            continue;
        };
        for (file, text) in files() {
            if file.starts_with("man/") && !text.starts_with(".so") {
                let mut command = command(&path);
                command.args(words).arg(&file);
                let finished = finish(command);
                assert_eq!(
                    (finished.code(), finished.stderr + &finished.stdout),
                    (0, String::new()),
                    "{file}:\n{text}"
                );
            }
        }
    }
}

fn find(program: &str) -> Option<String> {
    ["/usr/local/bin", "/usr/bin", "/bin"]
        .map(|dir| format!("{dir}/{program}"))
        .into_iter()
        .find(|path| Path::new(path).exists())
}

/// Files that nothing generates any more.
fn strangers(dir: &Path, known: &dyn Fn(&str) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names
        .filter(|name| !known(name))
        .map(|name| format!("{}/{name}: nothing generates it", dir.display()))
        .collect()
}
