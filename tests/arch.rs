//! The house's layering (ARCHITECTURE.md): who may import whom, and what the pure layers may not touch.

use std::fs;
use std::path::{Path, PathBuf};

/// Layer → the layers it may use besides itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("wire", &["types"]),
    ("auth", &["types", "wire"]),
    ("engine", &["types", "wire", "auth"]),
    ("report", &["types"]),
    ("config", &["types", "auth", "engine"]),
    ("control", &["types", "wire", "auth", "engine", "report"]),
    ("client", &["types", "wire", "auth", "report"]),
    ("sys", &["types"]),
    ("driver", &["types", "wire", "auth", "engine", "report", "config", "control", "client", "sys"]),
    (
        "applets",
        &["types", "wire", "auth", "engine", "report", "config", "control", "client", "sys", "driver"],
    ),
];

/// Layers that take time, packets, files and randomness as inputs.
const PURE: &[&str] = &["types", "wire", "auth", "engine", "report", "config", "control", "client"];

/// What the pure layers may not mention: unordered containers, files, clocks, streams.
const BANNED: &[&str] = &[
    "HashMap",
    "HashSet",
    "std::fs",
    "std::env",
    "UdpSocket",
    "Instant::now",
    "SystemTime",
    "println!",
    "eprintln!",
];

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn complaints(layer: &str, path: &str, text: &str) -> Vec<String> {
    let (_, allowed) = MAY_USE.iter().find(|(name, _)| *name == layer).expect("a layer of the table");
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (at, _) in code.match_indices("crate::") {
            let name: String =
                code[at + 7..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let is_layer = MAY_USE.iter().any(|(layer, _)| *layer == name);
            if is_layer && name != layer && !allowed.contains(&name.as_str()) {
                found.push(format!("{path}:{}: {layer} may not use {name}", number + 1));
            }
        }
        if PURE.contains(&layer) {
            for word in BANNED.iter().filter(|word| code.contains(**word)) {
                found.push(format!("{path}:{}: {word} in a pure layer", number + 1));
            }
        }
        if layer == "applets" {
            let own = path.split('/').nth(2).unwrap_or_default().trim_end_matches(".rs");
            for (at, _) in code.match_indices("applets::") {
                let name: String =
                    code[at + 9..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                let is_applet = Path::new("src/applets").join(&name).is_dir();
                if !name.is_empty()
                    && is_applet
                    && name != own
                    && !own.is_empty()
                    && own != "mod"
                    && own != "demo"
                {
                    found.push(format!("{path}:{}: applet {own} imports applet {name}", number + 1));
                }
            }
        }
    }
    found
}

#[test]
fn every_layer_uses_only_those_below_it() {
    let mut files = Vec::new();
    rust_files(Path::new("src"), &mut files);
    let mut found = Vec::new();
    for file in files {
        let path = file.to_str().unwrap().to_owned();
        let layer = path.trim_start_matches("src/").split(['/', '.']).next().unwrap().to_owned();
        if !matches!(layer.as_str(), "lib" | "main") {
            found.extend(complaints(&layer, &path, &fs::read_to_string(&file).unwrap()));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_planted_edge_is_found() {
    assert_eq!(complaints("wire", "src/wire/x.rs", "use crate::sys::clock;\n").len(), 1);
    assert_eq!(complaints("engine", "src/engine/x.rs", "use std::collections::HashMap;\n").len(), 1);
    assert_eq!(complaints("driver", "src/driver/x.rs", "use crate::sys::clock;\n"), Vec::<String>::new());
    assert_eq!(complaints("types", "src/types/x.rs", "// crate::sys is above\n"), Vec::<String>::new());
}

/// The page about the code.
const PAGE: &str = "ARCHITECTURE.md";

/// The text of a section.
fn section<'a>(page: &'a str, title: &str) -> &'a str {
    let at = page.find(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("{PAGE} has no section {title}"));
    let body = &page[at + 4 + title.len()..];
    &body[..body.find("\n## ").unwrap_or(body.len())]
}

/// Words in backticks that are paths of this tree.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|word| {
        let top = word.split('/').next().unwrap_or_default();
        let in_tree = word.contains('/') && Path::new(top).is_dir() || word.ends_with(".rs");
        in_tree && !word.contains(' ')
    })
}

#[test]
fn every_path_of_the_page_exists() {
    let page = fs::read_to_string(PAGE).unwrap();
    let missing: Vec<_> = paths(&page).filter(|path| !Path::new(path).exists()).collect();
    assert!(missing.is_empty(), "{PAGE} names what is not there: {missing:?}");
    assert!(page.lines().count() <= 280, "{PAGE} is longer than 280 lines");
}

#[test]
fn every_source_file_is_on_the_map() {
    let page = fs::read_to_string(PAGE).unwrap();
    let map: Vec<_> = paths(section(&page, "Code map")).collect();
    let mut files = Vec::new();
    rust_files(Path::new("src"), &mut files);
    rust_files(Path::new("tests"), &mut files);
    let lost = files.iter().filter_map(|file| file.to_str()).filter(|file| {
        // `src/x/tests.rs` belongs to `src/x.rs` and to `src/x/mod.rs`
        let covers = |path: &&str| {
            let own_dir = path.strip_suffix("mod.rs").or_else(|| path.strip_suffix(".rs"));
            file == path
                || path.ends_with('/') && file.starts_with(path)
                || own_dir.is_some_and(|dir| *file == format!("{}/tests.rs", dir.trim_end_matches('/')))
        };
        !map.iter().any(covers)
    });
    let lost: Vec<_> = lost.collect();
    assert!(lost.is_empty(), "no line in {PAGE}, section Code map: {lost:?}");
}

#[test]
fn every_dependency_has_its_reason() {
    let page = fs::read_to_string(PAGE).unwrap();
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    let listed: Vec<_> = section(&page, "Dependencies")
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .flat_map(|row| row.split('|').next().unwrap_or_default().split_whitespace())
        .collect();
    let mut inside = false;
    let mut count = 0;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies]");
        } else if let (true, Some((name, _))) = (inside, line.split_once(" =")) {
            count += 1;
            assert!(listed.contains(&name), "{PAGE} does not say why we depend on {name}");
        }
    }
    assert!(count > 10, "Cargo.toml was not understood");
    for name in
        listed.iter().filter(|name| !matches!(**name, "crate" | "(dev)") && !name.starts_with(['`', '-']))
    {
        assert!(
            manifest.contains(&format!("\n{name} =")),
            "{PAGE} explains {name}, which Cargo.toml does not have"
        );
    }
}

/// A `ReportSchema` in a table that the binary reads links the generator of every schema in it (hundreds of kB): the
/// applets keep them as constants of their own and use the name only.
#[test]
fn applets_keep_schemas_out_of_tables() {
    let mut files = Vec::new();
    rust_files(Path::new("src/applets"), &mut files);
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !file.ends_with("schemas.rs")) {
        for (number, line) in fs::read_to_string(file).unwrap().lines().enumerate() {
            let in_type =
                ["[ReportSchema", "(ReportSchema", ", ReportSchema)", "&ReportSchema", "<ReportSchema"];
            if in_type.iter().any(|pattern| line.contains(pattern)) {
                found.push(format!("{}:{}: keep its name only", file.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
