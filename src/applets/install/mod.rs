//! `ntpbox install`: gives the box its legacy names, as links or as copies.
//!
//! Everything is looked at before anything is done: one name that is not ours and the run ends without a change.

use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};

use super::io::Io;
use super::output::{Answer, print_json};
use super::{APPLETS, Applet, Invocation, Kind, Outcome, native};
use crate::report::{ErrorReport, InstallAction, Installation, InstalledName, Level, Message, ReportSchema};
use crate::sys::links::{self, Executable, Foreign, Occupant};
use crate::sys::{SysError, clock};

/// The report of this applet.
pub const SCHEMA: ReportSchema = ReportSchema::of::<Installation>("ntpbox/install/1");

/// The row of the applet table.
pub const APPLET: Applet = Applet {
    names: &["install"],
    kind: Kind::Native,
    section: 1,
    command,
    about: include_str!("about.md"),
    run,
};

fn flag(id: &'static str, help: &'static str) -> Arg {
    Arg::new(id).long(id).action(ArgAction::SetTrue).help(help)
}

fn command() -> Command {
    Command::new("install")
        .about("give the box its legacy names in a directory")
        .disable_version_flag(true)
        .arg(flag("symlink", "Make symbolic links (the default)").conflicts_with("copy"))
        .arg(flag("copy", "Make copies of the executable"))
        .arg(flag("force", "Replace files of other programs too").short('f'))
        .arg(flag("dry-run", "Only print what would be done").short('n'))
        .arg(
            Arg::new("dir")
                .value_name("DIR")
                .required(true)
                .value_parser(clap::value_parser!(PathBuf))
                .value_hint(ValueHint::DirPath)
                .help("Where the names go; it must exist"),
        )
        .arg(
            Arg::new("applet")
                .value_name("APPLET")
                .num_args(0..)
                .value_parser(PossibleValuesParser::new(legacy_names()))
                .hide_possible_values(true)
                .help("Which names; all legacy ones if none is given"),
        )
}

fn legacy_names() -> impl Iterator<Item = &'static str> {
    APPLETS.iter().filter(|a| a.kind == Kind::Legacy).flat_map(|a| a.names).copied()
}

/// What a run is going to do.
struct Plan {
    executable: Executable,
    /// Without symbolic links.
    dir: PathBuf,
    form: Form,
    steps: Vec<Step>,
    /// Names that are somebody else's, each with the reason.
    conflicts: Vec<String>,
}

/// One name with what has to be done about it.
struct Step {
    name: &'static str,
    path: PathBuf,
    action: InstallAction,
}

/// How the names lead to the executable.
#[derive(PartialEq, Eq)]
enum Form {
    /// Symbolic links with this text.
    Symlink(PathBuf),
    Copy,
}

fn run(invocation: &Invocation, io: &mut Io) -> Outcome {
    let matches = match native::parse(command(), SCHEMA.name, invocation, io) {
        Ok(matches) => matches,
        Err(outcome) => return outcome,
    };
    let plan = match plan(&matches) {
        Ok(plan) => plan,
        Err(error) => return fail(&error, &[], invocation, io),
    };
    if !plan.conflicts.is_empty() {
        return refuse(&plan.conflicts, invocation, io);
    }
    let dry_run = matches.get_flag("dry-run");
    let mut done = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let result = match (&plan.form, step.action) {
            _ if dry_run => Ok(()),
            (_, InstallAction::Keep) => Ok(()),
            (Form::Symlink(target), _) => links::put_symlink(target, &step.path),
            (Form::Copy, _) => links::put_copy(&plan.executable, &step.path),
        };
        let entry = entry(step, &plan.form);
        if let Err(error) = result {
            return fail(&error, &done, invocation, io);
        }
        let line = render(&entry, dry_run);
        if invocation.json.is_none() {
            writeln!(io.out, "{line}");
        }
        done.push(entry);
    }
    if let Some(mode) = invocation.json {
        let report = Installation {
            executable: plan.executable.path.display().to_string(),
            directory: plan.dir.display().to_string(),
            dry_run,
            entries: done,
        };
        let answer = Answer { schema: SCHEMA.name, data: Some(&report), messages: &[], error: None };
        print_json(io, mode, clock::now(), Outcome::SUCCESS, &answer);
    }
    Outcome::SUCCESS
}

fn plan(matches: &ArgMatches) -> Result<Plan, SysError> {
    let executable = links::executable()?;
    let dir = links::directory(matches.get_one::<PathBuf>("dir").map_or(Path::new("."), PathBuf::as_path))?;
    let form =
        if matches.get_flag("copy") { Form::Copy } else { Form::Symlink(link_text(&executable, &dir)) };
    let wanted: Vec<&String> = matches.get_many("applet").map(Iterator::collect).unwrap_or_default();
    let names = legacy_names().filter(|name| wanted.is_empty() || wanted.iter().any(|w| w == name));
    let mut plan = Plan { executable, dir, form, steps: Vec::new(), conflicts: Vec::new() };
    for name in names {
        let path = plan.dir.join(name);
        match action(&links::occupant(&path, &plan.executable)?, &plan.form, matches.get_flag("force")) {
            Ok(action) => plan.steps.push(Step { name, path, action }),
            Err(what) => plan.conflicts.push(format!("{}: {what}", path.display())),
        }
    }
    Ok(plan)
}

/// Relative beside the executable, so that the directory can be moved as a whole; absolute elsewhere.
fn link_text(executable: &Executable, dir: &Path) -> PathBuf {
    match (executable.path.parent(), executable.path.file_name()) {
        (Some(parent), Some(name)) if parent == dir => PathBuf::from(name),
        _ => executable.path.clone(),
    }
}

/// What to do about a name, or what it is that forbids it.
fn action(occupant: &Occupant, form: &Form, force: bool) -> Result<InstallAction, &'static str> {
    match (occupant, form) {
        (Occupant::Nothing, _) => Ok(InstallAction::Create),
        (Occupant::Itself, _) | (Occupant::OurFile { identical: true }, Form::Copy) => {
            Ok(InstallAction::Keep)
        }
        (Occupant::OurLink(text), Form::Symlink(target)) if text == target => Ok(InstallAction::Keep),
        (Occupant::OurLink(_) | Occupant::OurFile { .. }, _) => Ok(InstallAction::Replace),
        (Occupant::Directory, _) => Err("a directory, never replaced"),
        (Occupant::Foreign(_), _) if force => Ok(InstallAction::Replace),
        (Occupant::Foreign(Foreign::File), _) => Err("a file that is not ours"),
        (Occupant::Foreign(Foreign::Link), _) => Err("a link to something that is not ours"),
        (Occupant::Foreign(Foreign::DanglingLink), _) => Err("a link that leads nowhere"),
        (Occupant::Foreign(Foreign::Special), _) => Err("a socket, pipe or device"),
    }
}

fn entry(step: &Step, form: &Form) -> InstalledName {
    let link = match form {
        Form::Symlink(text) => Some(text.display().to_string()),
        Form::Copy => None,
    };
    InstalledName { name: step.name, path: step.path.display().to_string(), action: step.action, link }
}

fn render(entry: &InstalledName, dry_run: bool) -> String {
    let verb = match (entry.action, dry_run) {
        (InstallAction::Create, false) => "created",
        (InstallAction::Replace, false) => "replaced",
        (InstallAction::Keep, _) => return format!("unchanged {}", entry.path),
        (InstallAction::Create, true) => "would create",
        (InstallAction::Replace, true) => "would replace",
    };
    match &entry.link {
        Some(text) => format!("{verb} {} -> {text}", entry.path),
        None => format!("{verb} {}", entry.path),
    }
}

fn refuse(conflicts: &[String], invocation: &Invocation, io: &mut Io) -> Outcome {
    let message = |text: &String| Message { level: Level::Error, code: "not-ours", text: text.clone() };
    let messages: Vec<_> = conflicts.iter().map(message).collect();
    for conflict in conflicts {
        writeln!(io.err, "ntpbox install: {conflict}");
    }
    let report = ErrorReport::new("not-ours", "nothing was changed")
        .with_hint("--force replaces everything but directories; --dry-run shows what would be done");
    native::fail(SCHEMA.name, Outcome::FAILURE, &report, &messages, invocation, io)
}

/// A step failed: what was done before it stays, and is said.
fn fail(error: &SysError, done: &[InstalledName], invocation: &Invocation, io: &mut Io) -> Outcome {
    let message =
        |entry: &InstalledName| Message { level: Level::Note, code: "done", text: render(entry, false) };
    let messages: Vec<_> = done.iter().map(message).collect();
    native::fail_sys(SCHEMA.name, error, &messages, invocation, io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_is_replaced_without_force() {
        let link = Form::Symlink("ntpbox".into());
        let ours = Occupant::OurLink("/old/ntpbox".into());
        assert_eq!(action(&Occupant::Nothing, &link, false), Ok(InstallAction::Create));
        assert_eq!(action(&ours, &link, false), Ok(InstallAction::Replace));
        assert_eq!(action(&Occupant::OurLink("ntpbox".into()), &link, false), Ok(InstallAction::Keep));
        assert_eq!(
            action(&Occupant::OurLink("ntpbox".into()), &Form::Copy, false),
            Ok(InstallAction::Replace)
        );
        assert_eq!(
            action(&Occupant::OurFile { identical: true }, &Form::Copy, false),
            Ok(InstallAction::Keep)
        );
        assert_eq!(
            action(&Occupant::OurFile { identical: false }, &Form::Copy, false),
            Ok(InstallAction::Replace)
        );
        for foreign in [Foreign::File, Foreign::Link, Foreign::DanglingLink, Foreign::Special] {
            assert!(action(&Occupant::Foreign(foreign), &link, false).is_err());
            assert_eq!(action(&Occupant::Foreign(foreign), &link, true), Ok(InstallAction::Replace));
        }
        assert!(action(&Occupant::Directory, &link, true).is_err());
        assert_eq!(action(&Occupant::Itself, &link, true), Ok(InstallAction::Keep));
    }
}
