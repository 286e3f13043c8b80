//! `ntpbox install`: what it makes, and what it does not touch.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::support::cli::{Finished, check_goldens, run, scratch};
use crate::support::schema::check_output;
use ntpbox::applets::{APPLETS, Kind};

#[test]
fn goldens() {
    check_goldens("install");
}

fn install(words: &[&str], dir: &Path) -> Finished {
    run("ntpbox", &[&["install"], words, &[dir.to_str().unwrap()]].concat())
}

fn first_legacy() -> Option<&'static str> {
    APPLETS.iter().find(|a| a.kind == Kind::Legacy).map(|a| a.name())
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn legacy_names() -> Vec<String> {
    let mut names: Vec<_> = APPLETS
        .iter()
        .filter(|a| a.kind == Kind::Legacy)
        .flat_map(|a| a.names.iter().map(|&n| n.to_owned()))
        .collect();
    names.sort();
    names
}

#[test]
fn links_are_made_once_and_copies_replace_them() {
    let dir = scratch("install-links");
    let first = install(&["--json"], &dir);
    let report = &check_output(&first.stdout)[0];
    assert_eq!(first.code(), 0, "{}", first.stderr);
    assert_eq!(names(&dir), legacy_names());
    for entry in report["data"]["entries"].as_array().unwrap() {
        assert_eq!(entry["action"], "create");
        assert_eq!(fs::canonicalize(entry["path"].as_str().unwrap()).unwrap(), exe());
    }
    let second = install(&[], &dir);
    assert!(second.stdout.lines().all(|line| line.starts_with("unchanged ")), "{}", second.stdout);

    let Some(name) = first_legacy() else { return };
    let copied = run("ntpbox", &["install", "--copy", dir.to_str().unwrap(), name]);
    assert_eq!(copied.stdout, format!("replaced {}\n", dir.join(name).display()), "{}", copied.stderr);
    let copy = fs::symlink_metadata(dir.join(name)).unwrap();
    assert!(copy.is_file() && copy.permissions().mode() & 0o7777 == 0o755);
    assert_ne!(copy.ino(), fs::metadata(exe()).unwrap().ino());
    assert_eq!(fs::read(dir.join(name)).unwrap(), fs::read(exe()).unwrap());
    // a copy is known by its content, whatever its length
    let mut other_build = fs::read(exe()).unwrap();
    other_build.push(0);
    fs::write(dir.join(name), other_build).unwrap();
    let again = run("ntpbox", &["install", dir.to_str().unwrap(), name]);
    assert!(again.stdout.starts_with("replaced "), "{}{}", again.stdout, again.stderr);
    assert_eq!(names(&dir), legacy_names(), "no temporary file is left");
}

/// What is planted, and how.
type Plant = (&'static str, fn(&Path));

#[test]
fn what_is_not_ours_stops_everything() {
    let Some(name) = first_legacy() else { return };
    let plants: [Plant; 5] = [
        ("file", |path| fs::write(path, "#!/bin/sh\n").unwrap()),
        ("elf", |path| fs::write(path, b"\x7fELF and the rest is somebody else's").unwrap()),
        ("link", |path| symlink("/bin/true", path).unwrap()),
        ("dangling", |path| symlink("/nonexistent/ntpbox", path).unwrap()),
        ("loop", |path| symlink(path.file_name().unwrap(), path).unwrap()),
    ];
    for (what, plant) in plants {
        let dir = scratch(&format!("install-foreign-{what}"));
        plant(&dir.join(name));
        let before = fs::symlink_metadata(dir.join(name)).unwrap();
        let refused = install(&["--json"], &dir);
        assert_eq!(refused.code(), 1, "{what}");
        assert_eq!(check_output(&refused.stdout)[0]["error"]["code"], "not-ours", "{what}");
        assert_eq!(names(&dir), [name], "{what}: nothing else was made");
        let after = fs::symlink_metadata(dir.join(name)).unwrap();
        assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()), "{what}");
        let would = install(&["--force", "--dry-run"], &dir);
        assert!(would.stdout.contains(&format!("would replace {}", dir.join(name).display())), "{what}");
        assert_eq!(names(&dir), [name], "{what}: a dry run makes nothing");
        let forced = install(&["--force"], &dir);
        assert_eq!(forced.code(), 0, "{what}: {}", forced.stderr);
        assert_eq!(fs::canonicalize(dir.join(name)).unwrap(), exe(), "{what}");
    }
}

#[test]
fn a_directory_in_the_way_is_never_replaced() {
    let Some(name) = first_legacy() else { return };
    let dir = scratch("install-directory");
    fs::create_dir(dir.join(name)).unwrap();
    let refused = install(&["--force"], &dir);
    assert_eq!(refused.code(), 1);
    assert!(refused.stderr.contains("a directory, never replaced"), "{}", refused.stderr);
    assert_eq!(names(&dir), [name]);
}

#[test]
fn the_executable_does_not_replace_itself() {
    let Some(name) = first_legacy() else { return };
    let dir = scratch("install-itself");
    let own = dir.join(name);
    fs::copy(exe(), &own).unwrap();
    for form in ["--symlink", "--copy"] {
        // reached by its legacy name it is the applet, so another link leads to it
        let _ = fs::remove_file(dir.join("box"));
        symlink(name, dir.join("box")).unwrap();
        let finished =
            run(dir.join("box").to_str().unwrap(), &["install", "--force", form, dir.to_str().unwrap()]);
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        assert!(finished.stdout.contains(&format!("unchanged {}\n", own.display())), "{}", finished.stdout);
        assert!(fs::symlink_metadata(&own).unwrap().is_file());
    }
}

#[test]
fn a_directory_that_is_not_there_or_not_writable_is_said() {
    let missing = install(&["--json"], Path::new("/nonexistent/dir"));
    assert_eq!(missing.code(), 1);
    assert_eq!(missing.stderr, "ntpbox install: open /nonexistent/dir: No such file or directory\n");
    check_output(&missing.stdout);
    let file = install(&[], Path::new("/etc/passwd"));
    assert_eq!(file.stderr, "ntpbox install: open /etc/passwd: Not a directory\n");
    if first_legacy().is_some() {
        // nobody, root included, makes files in /proc
        let proc = install(&["--json"], Path::new("/proc/self/task"));
        assert_ne!(proc.code(), 0);
        assert_eq!(check_output(&proc.stdout)[0]["ok"], false);
    }
}

fn exe() -> std::path::PathBuf {
    fs::canonicalize(env!("CARGO_BIN_EXE_ntpbox")).unwrap()
}
