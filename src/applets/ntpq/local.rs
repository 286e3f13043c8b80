//! Commands that ask nobody: settings, the variable list, help.

use super::render::Layout;
use super::shell::{Answer, Shell, Trouble, Value};
use super::table;
use crate::client::mode6::decode::visible;
use crate::sys::net::Family;
use crate::wire::mode6::Opcode;

/// Most variables on the list.
const MAX_VARIABLES: usize = 50;
/// Largest key identifier.
const MAX_KEY: u64 = 65_535;

/// The only argument, when there is one.
fn text(values: &[Value]) -> Option<&str> {
    match values.first() {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

fn number(values: &[Value]) -> Option<u64> {
    match values.first() {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    }
}

fn what() -> Answer {
    Answer::failed(Trouble::new("usage", "What?"))
}

impl Shell<'_> {
    pub(super) fn help(&mut self, values: &[Value]) -> Answer {
        let old = self.set.old;
        let Some(word) = text(values) else { return Answer::text(help_list(&table::listed(old))) };
        match table::find(word, old) {
            table::Found::One(command) => {
                let (about, usage) = match (command.name, old) {
                    ("readvar" | "rv", true) => (command.about, "[ assocID ] [ name=value[,...] ]"),
                    ("passwd", true) => (command.about, ""),
                    ("keytype", true) => {
                        ("set key type to use for authenticated requests (des|md5)", "[ key type (md5|des) ]")
                    }
                    _ => (command.about, command.usage),
                };
                Answer::text(format!(
                    "function: {about}\n{}\n",
                    format!("usage: {} {usage}", command.name).trim_end()
                ))
            }
            table::Found::None => Answer::failed(Trouble::new(
                "unknown-command",
                format!("Command `{}' is unknown", visible(word.as_bytes())),
            )),
            table::Found::Several => Answer::failed(Trouble::new(
                "ambiguous-command",
                format!("Command `{}' is ambiguous", visible(word.as_bytes())),
            )),
        }
    }

    pub(super) fn quit(&mut self, _: &[Value]) -> Answer {
        self.quit = true;
        Answer::default()
    }

    pub(super) fn version(&mut self, _: &[Value]) -> Answer {
        Answer::text(format!("{}\n", super::VERSION_LINE))
    }

    pub(super) fn raw(&mut self, _: &[Value]) -> Answer {
        self.set.raw = true;
        Answer::text("Output set to raw\n")
    }

    pub(super) fn cooked(&mut self, _: &[Value]) -> Answer {
        self.set.raw = false;
        Answer::text("Output set to cooked\n")
    }

    pub(super) fn timeout(&mut self, values: &[Value]) -> Answer {
        let Some(value) = number(values) else {
            return Answer::text(format!("primary timeout {} ms\n", self.set.timeout_ms));
        };
        self.set.timeout_ms = value;
        let patience = self.patience();
        if let Some(link) = &mut self.link {
            link.session.set_patience(patience);
        }
        Answer::default()
    }

    pub(super) fn delay(&mut self, values: &[Value]) -> Answer {
        match number(values) {
            Some(value) => self.set.delay_ms = value,
            None => return Answer::text(format!("delay {} ms\n", self.set.delay_ms)),
        }
        Answer::default()
    }

    pub(super) fn ntpversion(&mut self, values: &[Value]) -> Answer {
        let Some(value) = number(values) else {
            return Answer::text(format!("NTP version being claimed is {}\n", self.set.version));
        };
        let Some(version) = u8::try_from(value).ok().filter(|v| (1..=4).contains(v)) else {
            return Answer::failed(Trouble::new("bad-number", "versions 1 to 4, please"));
        };
        self.set.version = version;
        if let Some(link) = &mut self.link {
            link.session.set_version(version);
        }
        Answer::default()
    }

    pub(super) fn hostnames(&mut self, values: &[Value]) -> Answer {
        match text(values) {
            None if self.set.names => return Answer::text("hostnames being shown\n"),
            None => return Answer::text("hostnames not being shown\n"),
            Some("yes") => self.set.names = true,
            Some("no") => self.set.names = false,
            Some(_) => return what(),
        }
        Answer::default()
    }

    pub(super) fn drefid(&mut self, values: &[Value]) -> Answer {
        let set = match text(values) {
            None => " ",
            Some("hash") => {
                self.set.refid_hash = true;
                " set to "
            }
            Some("ipv4") => {
                self.set.refid_hash = false;
                " set to "
            }
            Some(_) => return Answer::text("What?\n"),
        };
        let set = if set == " " { "is" } else { "set to" };
        Answer::text(format!("drefid value {set} {}\n", if self.set.refid_hash { "hash" } else { "ipv4" }))
    }

    pub(super) fn debug(&mut self, values: &[Value]) -> Answer {
        let verb = match text(values) {
            None => "is",
            Some(word) => {
                self.set.debug = match word {
                    "no" => 0,
                    "more" => self.set.debug.saturating_add(1),
                    "less" => self.set.debug.saturating_sub(1),
                    _ => return Answer::text("What?\n"),
                };
                "set to"
            }
        };
        Answer::text(format!("debug level {verb} {}\n", self.set.debug))
    }

    pub(super) fn authenticate(&mut self, values: &[Value]) -> Answer {
        match text(values) {
            None if self.set.authenticate => return Answer::text("authenticated requests being sent\n"),
            None => return Answer::text("unauthenticated requests being sent\n"),
            Some("yes") => self.set.authenticate = true,
            Some("no") => self.set.authenticate = false,
            Some(_) => return what(),
        }
        Answer::default()
    }

    pub(super) fn keyid(&mut self, values: &[Value]) -> Answer {
        match number(values) {
            None => Answer::text(match self.key {
                None => "no keyid defined\n".to_owned(),
                Some(id) => format!("keyid is {id}\n"),
            }),
            Some(id) if id <= MAX_KEY => {
                self.key = u32::try_from(id).ok().filter(|id| *id != 0);
                Answer::default()
            }
            Some(_) => Answer::text("Invalid key identifier\n"),
        }
    }

    pub(super) fn host(&mut self, values: &[Value]) -> Answer {
        let words: Vec<&str> = values
            .iter()
            .filter_map(|v| if let Value::Text(t) = v { Some(t.as_str()) } else { None })
            .collect();
        let (family, name) = match words.as_slice() {
            ["-4", rest @ ..] => (Some(Family::V4), rest.first()),
            ["-6", rest @ ..] => (Some(Family::V6), rest.first()),
            [name, ..] => (self.set.family, Some(name)),
            [] => (self.set.family, None),
        };
        let Some(name) = name else {
            return Answer::text(match &self.host {
                Some(_) => format!("current host is {}\n", visible(self.host_name().as_bytes())),
                None => "no current host\n".to_owned(),
            });
        };
        match self.open(name, family) {
            Ok(()) => Answer::text(format!("current host set to {}\n", visible(self.host_name().as_bytes()))),
            Err(trouble) => {
                let text = match &self.host {
                    Some(_) => format!("current host remains {}\n", visible(self.host_name().as_bytes())),
                    None => "still no current host\n".to_owned(),
                };
                Answer { text, report: None, trouble: Some(trouble) }
            }
        }
    }

    pub(super) fn addvars(&mut self, values: &[Value]) -> Answer {
        for variable in crate::wire::mode6::vars::variables(text(values).unwrap_or_default().as_bytes()) {
            let name = visible(variable.name);
            let value = variable.value.map(visible);
            if let Some(known) = self.variables.iter_mut().find(|(known, _)| *known == name) {
                known.1 = value;
            } else if self.variables.len() < MAX_VARIABLES {
                self.variables.push((name, value));
            } else {
                return Answer::failed(Trouble::new("list-full", "Variable list full"));
            }
        }
        Answer::default()
    }

    pub(super) fn rmvars(&mut self, values: &[Value]) -> Answer {
        for variable in crate::wire::mode6::vars::variables(text(values).unwrap_or_default().as_bytes()) {
            let name = visible(variable.name);
            match self.variables.iter().position(|(known, _)| *known == name) {
                Some(at) => drop(self.variables.remove(at)),
                None => {
                    let line = format!("Variable `{name}' not found");
                    return Answer::failed(Trouble::new("unknown-variable", line));
                }
            }
        }
        Answer::default()
    }

    pub(super) fn clearvars(&mut self, _: &[Value]) -> Answer {
        self.variables.clear();
        Answer::default()
    }

    pub(super) fn showvars(&mut self, _: &[Value]) -> Answer {
        if self.variables.is_empty() {
            return Answer::text("No variables on list\n");
        }
        let line = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("{name}={value}\n"),
            None if self.set.old => format!("{name}\n"),
            None => format!("{name}=\n"),
        };
        Answer::text(self.variables.iter().map(line).collect::<String>())
    }

    /// `readlist`, `clocklist`: the names of the variable list, or all when it is empty.
    pub(super) fn read_list(&mut self, opcode: Opcode, values: &[Value]) -> Answer {
        let names = self.listed_names();
        match super::query::association(values) {
            Ok(id) => self.read(opcode, id, &names),
            Err(trouble) => trouble.into(),
        }
    }

    pub(super) fn mreadlist(&mut self, values: &[Value]) -> Answer {
        let names = self.listed_names();
        self.read_range(values, &names)
    }

    /// The variable list as the data of a request that reads.
    fn listed_names(&self) -> String {
        self.variables.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",")
    }

    /// The variable list as the data of a request that writes.
    pub(super) fn listed_values(&self) -> String {
        let item = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        };
        self.variables.iter().map(item).collect::<Vec<_>>().join(",")
    }
}

impl Layout {
    /// Width of the column `remote` for a terminal of this width (`-W`, as NTPsec's).
    pub(super) fn remote_for(terminal: usize) -> usize {
        super::render::REMOTE + terminal.saturating_sub(80).min(25)
    }
}

/// The names in four columns, filled downwards.
fn help_list(names: &[&str]) -> String {
    let rows = names.len().div_ceil(4);
    let mut text = String::from("ntpq commands:\n");
    for row in 0..rows {
        for name in names.iter().skip(row).step_by(rows) {
            text.push_str(&format!("{name:<17}"));
        }
        text.push('\n');
    }
    text
}
