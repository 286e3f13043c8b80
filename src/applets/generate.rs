//! Man pages and completions of every applet, from its `Command` and its `about.md`.

use clap::Command;
use clap_complete::aot::{Bash, Fish, Zsh, generate};

use super::markdown::{self, Block};
use super::output::json_arg;
use super::{APPLETS, Applet, Kind, RELEASED, VERSION};
use crate::types::civil;

/// The prose of the box's own page.
const BOX_ABOUT: &str = include_str!("about.md");
/// Width of a page as text.
const TEXT_WIDTH: usize = 80;

/// Whom a page or a completion is about.
#[derive(Clone, Copy)]
pub enum Subject {
    /// The box itself.
    Box,
    /// One of its applets, by one of its names.
    Applet(&'static Applet, &'static str),
}

impl Subject {
    /// The box, then every name that an applet has.
    pub fn all() -> impl Iterator<Item = Self> {
        let named = |a: &'static Applet| a.names.iter().map(move |name| Self::Applet(a, name));
        std::iter::once(Self::Box).chain(APPLETS.iter().flat_map(named))
    }

    /// What is typed for it: `ntpbox`, `ntpdate`, `list`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Box => "ntpbox",
            Self::Applet(_, name) => name,
        }
    }

    /// How it is called: `ntpbox list`, `ntpdate`.
    fn program(self) -> String {
        match self {
            Self::Applet(applet, name) if applet.kind == Kind::Native => format!("ntpbox {name}"),
            _ => self.name().to_owned(),
        }
    }

    /// Its man page's name: native verbs are pages of the box, `ntpbox-list`.
    fn page_name(self) -> String {
        match self {
            Self::Applet(applet, name) if applet.kind == Kind::Native => format!("ntpbox-{name}"),
            _ => self.name().to_owned(),
        }
    }

    /// Its man page's section.
    fn section(self) -> u8 {
        match self {
            Self::Box => 1,
            Self::Applet(applet, _) => applet.section,
        }
    }

    /// The file of its man page: `ntpdate.8`.
    pub fn page_file(self) -> String {
        format!("{}.{}", self.page_name(), self.section())
    }

    /// Whether a shell has a word of its own to complete: a native verb is completed after `ntpbox`.
    pub fn is_program(self) -> bool {
        match self {
            Self::Box => true,
            Self::Applet(applet, _) => applet.kind == Kind::Legacy,
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Box => BOX_ABOUT,
            Self::Applet(applet, _) => applet.about,
        }
    }

    /// The option table, with `--json` in it.
    fn command(self) -> Command {
        match self {
            Self::Box => {
                let applets = APPLETS.iter().map(|a| Self::Applet(a, a.name()).command());
                Command::new("ntpbox")
                    .about("the Linux time tools in one binary")
                    .disable_help_subcommand(true)
                    .version(VERSION)
                    .subcommand_value_name("APPLET")
                    .subcommands(applets)
            }
            Self::Applet(applet, name) => {
                let command = (applet.command)().name(name);
                let has_json = command.get_arguments().any(|arg| arg.get_long() == Some("json"));
                if has_json { command } else { command.arg(json_arg()) }
            }
        }
    }
}

/// The man page as roff.
pub fn man_page(subject: Subject) -> String {
    if let Subject::Applet(applet, name) = subject
        && name != applet.name()
    {
        let page = Subject::Applet(applet, applet.name());
        return format!(".so man{}/{}\n", page.section(), page.page_file());
    }
    let command = subject.command();
    let (description, rest) = split(subject.about());
    let page_name = subject.page_name();
    let man = clap_mangen::Man::new(command.display_name(&page_name).bin_name(subject.program()))
        .title(page_name.to_uppercase())
        .section(subject.section().to_string())
        .date(civil::rfc3339(RELEASED).get(..10).unwrap_or_default())
        .source(format!("ntpbox {VERSION}"))
        .manual("ntpbox");
    let mut page = Vec::new();
    // writing to memory does not fail
    let _ = man.render_title(&mut page);
    let _ = man.render_name_section(&mut page);
    let _ = man.render_synopsis_section(&mut page);
    page.extend(markdown::to_roff(&description).bytes());
    match subject {
        Subject::Box => page.extend(markdown::to_roff(&applet_table()).bytes()),
        Subject::Applet(..) => drop(man.render_options_section(&mut page)),
    }
    page.extend(markdown::to_roff(&rest).bytes());
    String::from_utf8_lossy(&page).into_owned()
}

/// The man page as plain text.
pub fn text_page(subject: Subject) -> String {
    let mut command = subject.command();
    let (description, rest) = split(subject.about());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut blocks = vec![Block::Section("NAME".to_owned())];
    blocks.push(Block::Paragraph(format!("{} \\- {about}", subject.page_name())));
    blocks.extend(description);
    let mut text = markdown::to_text(&blocks, TEXT_WIDTH).trim_start().to_owned();
    match subject {
        Subject::Box => text.push_str(&markdown::to_text(&applet_table(), TEXT_WIDTH)),
        Subject::Applet(..) => {
            text.push_str("\nSYNOPSIS AND OPTIONS\n");
            command = command
                .bin_name(subject.program())
                .about(None::<&str>)
                .long_about(None::<&str>)
                .term_width(TEXT_WIDTH - 7);
            for line in command.render_long_help().to_string().trim().lines() {
                text.push_str(format!("       {line}").trim_end());
                text.push('\n');
            }
        }
    }
    text.push_str(&markdown::to_text(&rest, TEXT_WIDTH));
    text
}

/// The DESCRIPTION, and the sections after it: the options stand between them.
fn split(about: &str) -> (Vec<Block>, Vec<Block>) {
    let mut description = markdown::parse(about);
    let second = description.iter().skip(1).position(|block| matches!(block, Block::Section(_)));
    let rest = description.split_off(second.map_or(description.len(), |at| at + 1));
    (description, rest)
}

fn applet_table() -> Vec<Block> {
    let row = |applet: &Applet| {
        let about = (applet.command)().get_about().map(ToString::to_string).unwrap_or_default();
        let names: Vec<_> = applet.names.iter().map(|name| format!("`{name}`")).collect();
        Block::Definition(names.join(", "), about)
    };
    std::iter::once(Block::Section("APPLETS".to_owned())).chain(APPLETS.iter().map(row)).collect()
}

/// The completion script of a name; of a native verb there is none beside the box's.
pub fn completion(shell: Shell, subject: Subject) -> Option<String> {
    if !subject.is_program() {
        return None;
    }
    let mut script = Vec::new();
    let (mut command, name) = (subject.command(), subject.name());
    match shell {
        Shell::Bash => generate(Bash, &mut command, name, &mut script),
        Shell::Zsh => generate(Zsh, &mut command, name, &mut script),
        Shell::Fish => generate(Fish, &mut command, name, &mut script),
    }
    Some(String::from_utf8_lossy(&script).into_owned())
}

/// A shell that we have completions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

impl Shell {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bash, Self::Zsh, Self::Fish];

    /// Its name on command lines and in `completions/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }
}

/// Every generated file that is committed: its path from the top of the tree, and its text.
pub fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for subject in Subject::all() {
        files.push((format!("man/{}", subject.page_file()), man_page(subject)));
        for shell in Shell::ALL {
            if let Some(script) = completion(shell, subject) {
                files.push((
                    format!("completions/{}/{}", shell.name(), completion_file(shell, subject.name())),
                    script,
                ));
            }
        }
    }
    files
}

/// The name under which a shell looks for the completion of a program.
fn completion_file(shell: Shell, program: &str) -> String {
    match shell {
        Shell::Zsh => format!("_{program}"),
        Shell::Fish => format!("{program}.fish"),
        Shell::Bash => program.to_owned(),
    }
}
