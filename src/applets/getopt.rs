//! Classic `getopt` and `getopt_long` over the option table of a clap `Command`: the legacy tools collect their errors
//! and print texts of their own, which clap's parser does not do. The table stays the only definition.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, ArgAction, Command};

/// What happens when a word is no option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operands {
    /// It and all that follow are operands (POSIX `getopt`).
    EndOptions,
    /// It is an operand, options may follow (GNU `getopt_long`).
    Mixed,
}

/// Which long options are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Long {
    /// By their full name.
    Exact,
    /// By any prefix that fits one name only (`getopt_long`).
    Prefix,
}

/// One step of the parse, in the order of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An option: the `Arg`'s id, and its value if it takes one.
    Option {
        /// Id of the `Arg` in the table.
        id: String,
        /// The value; `None` for a flag or an optional value left out.
        value: Option<OsString>,
    },
    /// A word that is no option.
    Operand(OsString),
    /// A letter that is not in the table.
    UnknownShort(char),
    /// A long option that is not in the table: the word as it stands, with dashes and value (glibc prints both).
    UnknownLong(String),
    /// A prefix that fits several long options: the word as it stands, and the names that it fits.
    Ambiguous(String, Vec<String>),
    /// A letter whose value is missing.
    MissingShort(char),
    /// A long option whose value is missing (full name, without dashes).
    MissingLong(String),
    /// A long flag that was given a value (full name, without dashes).
    UnexpectedValue(String),
}

/// Whether an option takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
    /// Only attached: `-oVALUE`, `--long=VALUE`.
    Optional,
}

/// A row of an option table: an option of one letter.
pub fn flag(id: &'static str, letter: char, help: &'static str) -> Arg {
    Arg::new(id).short(letter).action(ArgAction::SetTrue).help(help)
}

/// A row of an option table: a letter with a value, which help and page call `name`.
pub fn value(id: &'static str, letter: char, name: &'static str, help: &'static str) -> Arg {
    Arg::new(id).short(letter).action(ArgAction::Set).value_name(name).help(help)
}

/// Parses words (without argv0) against the options of `command`.
pub fn parse(command: &Command, words: &[OsString], operands: Operands, long: Long) -> Vec<Item> {
    let options: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_positional()).collect();
    let mut items = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        if bytes == b"--" {
            break;
        } else if let Some(name) = bytes.strip_prefix(b"--") {
            items.push(long_option(&options, name, long, &mut words));
        } else if bytes.len() > 1 && bytes.first() == Some(&b'-') {
            cluster(&options, &word.to_string_lossy(), bytes, &mut words, &mut items);
        } else {
            items.push(Item::Operand(word.clone()));
            if operands == Operands::EndOptions {
                break;
            }
        }
    }
    items.extend(words.map(|word| Item::Operand(word.clone())));
    items
}

fn takes(arg: &Arg) -> Takes {
    match arg.get_action() {
        ArgAction::Set | ArgAction::Append => match arg.get_num_args() {
            Some(range) if range.min_values() == 0 => Takes::Optional,
            _ => Takes::Value,
        },
        _ => Takes::Nothing,
    }
}

/// `-quB`, `-p4`, `-p 4`.
fn cluster<'a>(
    options: &[&Arg],
    text: &str,
    bytes: &[u8],
    words: &mut impl Iterator<Item = &'a OsString>,
    items: &mut Vec<Item>,
) {
    let mut seen = 1;
    for letter in text.chars().skip(1) {
        seen += letter.len_utf8();
        let Some(arg) = options.iter().find(|arg| arg.get_short() == Some(letter)) else {
            items.push(Item::UnknownShort(letter));
            continue;
        };
        let id = arg.get_id().to_string();
        let attached =
            bytes.get(seen..).filter(|rest| !rest.is_empty()).map(|rest| OsString::from_vec(rest.to_vec()));
        match (takes(arg), attached) {
            (Takes::Nothing, _) => items.push(Item::Option { id, value: None }),
            (_, Some(value)) => return items.push(Item::Option { id, value: Some(value) }),
            (Takes::Optional, None) => items.push(Item::Option { id, value: None }),
            (Takes::Value, None) => items.push(match words.next() {
                Some(value) => Item::Option { id, value: Some(value.clone()) },
                None => Item::MissingShort(letter),
            }),
        }
    }
}

/// `--name`, `--name=value`, `--name value`.
fn long_option<'a>(
    options: &[&Arg],
    word: &[u8],
    long: Long,
    words: &mut impl Iterator<Item = &'a OsString>,
) -> Item {
    let (name, value) = match word.iter().position(|&b| b == b'=') {
        Some(at) => (word.get(..at).unwrap_or_default(), word.get(at + 1..)),
        None => (word, None),
    };
    let name = String::from_utf8_lossy(name).into_owned();
    let whole = || format!("--{}", String::from_utf8_lossy(word));
    let value = value.map(|v| OsStr::from_bytes(v).to_owned());
    let named = |arg: &&&Arg| all_longs(arg).any(|l| l == name);
    let fits = |arg: &&&Arg| all_longs(arg).any(|l| l.starts_with(&name));
    let arg = match options.iter().find(named) {
        Some(arg) => arg,
        None => {
            let candidates: Vec<_> = match long {
                Long::Exact => Vec::new(),
                Long::Prefix => options.iter().filter(fits).collect(),
            };
            match candidates.as_slice() {
                [] => return Item::UnknownLong(whole()),
                [one] => *one,
                several => {
                    let names =
                        several.iter().flat_map(|arg| all_longs(arg).filter(|l| l.starts_with(&name)));
                    return Item::Ambiguous(whole(), names.map(ToOwned::to_owned).collect());
                }
            }
        }
    };
    let id = arg.get_id().to_string();
    let full = arg.get_long().unwrap_or_default().to_owned();
    match (takes(arg), value) {
        (Takes::Nothing, Some(_)) => Item::UnexpectedValue(full),
        (Takes::Nothing | Takes::Optional, None) => Item::Option { id, value: None },
        (_, Some(value)) => Item::Option { id, value: Some(value) },
        (Takes::Value, None) => match words.next() {
            Some(value) => Item::Option { id, value: Some(value.clone()) },
            None => Item::MissingLong(full),
        },
    }
}

fn all_longs(arg: &Arg) -> impl Iterator<Item = &str> {
    arg.get_long().into_iter().chain(arg.get_all_aliases().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command::new("t")
            .arg(Arg::new("query").short('q').action(ArgAction::SetTrue))
            .arg(Arg::new("samples").short('p').action(ArgAction::Set))
            .arg(Arg::new("localtime").long("localtime").action(ArgAction::SetTrue))
            .arg(Arg::new("list").long("list").num_args(0..=1).action(ArgAction::Set))
    }

    fn run(words: &[&str], operands: Operands) -> Vec<Item> {
        let words: Vec<_> = words.iter().map(OsString::from).collect();
        parse(&command(), &words, operands, Long::Prefix)
    }

    fn option(id: &str, value: Option<&str>) -> Item {
        Item::Option { id: id.into(), value: value.map(Into::into) }
    }

    #[test]
    fn clusters_and_attached_values() {
        assert_eq!(run(&["-qp1"], Operands::Mixed), [option("query", None), option("samples", Some("1"))]);
        assert_eq!(
            run(&["-qp", "1"], Operands::Mixed),
            [option("query", None), option("samples", Some("1"))]
        );
        assert_eq!(run(&["-p"], Operands::Mixed), [Item::MissingShort('p')]);
        assert_eq!(run(&["-xq"], Operands::Mixed), [Item::UnknownShort('x'), option("query", None)]);
    }

    #[test]
    fn operands_end_the_options_or_not() {
        let host = Item::Operand("h".into());
        assert_eq!(run(&["h", "-q"], Operands::EndOptions), [host.clone(), Item::Operand("-q".into())]);
        assert_eq!(run(&["h", "-q"], Operands::Mixed), [host.clone(), option("query", None)]);
        assert_eq!(run(&["--", "-q"], Operands::Mixed), [Item::Operand("-q".into())]);
        assert_eq!(run(&["-"], Operands::Mixed), [Item::Operand("-".into())]);
    }

    #[test]
    fn long_options_by_prefix() {
        assert_eq!(run(&["--loc"], Operands::Mixed), [option("localtime", None)]);
        assert_eq!(
            run(&["--l=x"], Operands::Mixed),
            [Item::Ambiguous("--l=x".into(), vec!["localtime".into(), "list".into()])]
        );
        assert_eq!(run(&["--list=x"], Operands::Mixed), [option("list", Some("x"))]);
        assert_eq!(run(&["--localtime=x"], Operands::Mixed), [Item::UnexpectedValue("localtime".into())]);
        assert_eq!(run(&["--zone=x"], Operands::Mixed), [Item::UnknownLong("--zone=x".into())]);
    }
}
