//! The commands: name, arguments, help, what runs. Order of the list is of no importance; `help` sorts.

use super::query::{Which, association, names};
use super::render::Table;
use super::shell::{Answer, Shell, Value};
use crate::wire::mode6::Opcode;

/// An argument's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Param {
    /// A word.
    Text,
    /// A number or `&N`.
    Number,
    OptionalText,
    OptionalNumber,
    /// A number with or without a sign.
    OptionalInteger,
    /// `-4` or `-6`.
    OptionalFamily,
}

impl Param {
    pub(super) const fn is_required(self) -> bool {
        matches!(self, Self::Text | Self::Number)
    }
}

/// In which generation a command exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    Always,
    /// 4.2.8.
    New,
    /// 4.2.6 only in the original; here always, but `help` of 4.2.8 does not list it.
    Old,
}

/// A command.
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) params: &'static [Param],
    /// What `help` says after the name.
    pub(super) usage: &'static str,
    pub(super) about: &'static str,
    pub(super) since: Since,
    pub(super) run: fn(&mut Shell<'_>, &[Value]) -> Answer,
}

/// What a word means.
pub(super) enum Found {
    One(&'static Command),
    None,
    Several,
}

/// Finds a command by its name or by a prefix that fits one only.
pub(super) fn find(word: &str, old: bool) -> Found {
    let known = |command: &&Command| !(old && command.since == Since::New);
    if let Some(exact) = COMMANDS.iter().find(|c| known(c) && c.name == word) {
        return Found::One(exact);
    }
    if word.is_empty() {
        return Found::None;
    }
    let listed = |command: &&Command| known(command) && (old || command.since != Since::Old);
    let mut fitting = COMMANDS.iter().filter(|c| listed(c) && c.name.starts_with(word));
    match (fitting.next(), fitting.next()) {
        (None, _) => Found::None,
        (Some(one), None) => Found::One(one),
        (Some(_), Some(_)) => Found::Several,
    }
}

/// All names that `help` lists.
pub(super) fn listed(old: bool) -> Vec<&'static str> {
    let hidden = if old { Since::New } else { Since::Old };
    let mut names: Vec<_> =
        COMMANDS.iter().filter(|c| c.since != hidden && c.name != "?").map(|c| c.name).collect();
    names.sort_unstable();
    names
}

macro_rules! command {
    ($name:literal, [$($param:ident),*], $usage:literal, $about:literal, $since:ident, $run:expr) => {
        Command { name: $name, params: &[$(Param::$param),*], usage: $usage, about: $about, since: Since::$since, run: $run }
    };
}

/// The table.
pub(super) const COMMANDS: &[Command] = &[
    command!(
        ":config",
        [Text],
        "<configuration command line>",
        "send a remote configuration command to ntpd",
        Always,
        |s, v| s.config(v)
    ),
    command!("?", [OptionalText], "[ command ]", "tell the use and syntax of commands", Always, |s, v| s
        .help(v)),
    command!(
        "addvars",
        [Text],
        "name[=value][,...]",
        "add variables to the variable list or change their values",
        Always,
        |s, v| s.addvars(v)
    ),
    command!(
        "apeers",
        [OptionalFamily],
        "[ -4|-6 ]",
        "obtain and print a list of the server's peers and their assocIDs [IP version]",
        New,
        |s, v| s.peers(Table::Apeers, Which::Known, v)
    ),
    command!(
        "associations",
        [],
        "",
        "print list of association ID's and statuses for the server's peers",
        Always,
        |s, _| s.associations(Which::Known, true)
    ),
    command!(
        "authenticate",
        [OptionalText],
        "[ yes|no ]",
        "always authenticate requests to this server",
        Always,
        |s, v| s.authenticate(v)
    ),
    command!("authinfo", [], "", "display symmetric authentication counters", New, |s, _| s
        .statistics("authinfo")),
    command!(
        "cl",
        [OptionalNumber],
        "[ assocID ]",
        "read the clock variables included in the variable list",
        Always,
        |s, v| s.read_list(Opcode::ReadClock, v)
    ),
    command!("clearvars", [], "", "remove all variables from the variable list", Always, |s, v| s
        .clearvars(v)),
    command!(
        "clocklist",
        [OptionalNumber],
        "[ assocID ]",
        "read the clock variables included in the variable list",
        Always,
        |s, v| s.read_list(Opcode::ReadClock, v)
    ),
    command!(
        "clockvar",
        [OptionalNumber, OptionalText, OptionalText, OptionalText],
        "[ assocID ] [ name=value[,...] ]",
        "read clock variables",
        Always,
        |s, v| read(s, Opcode::ReadClock, v)
    ),
    command!(
        "config-from-file",
        [Text],
        "<configuration filename>",
        "configure ntpd using the configuration filename",
        Always,
        |s, v| s.config_from_file(v)
    ),
    command!("cooked", [], "", "do cooked mode variable output", Always, |s, v| s.cooked(v)),
    command!(
        "cv",
        [OptionalNumber, OptionalText, OptionalText, OptionalText],
        "[ assocID ] [ name=value[,...] ]",
        "read clock variables",
        Always,
        |s, v| read(s, Opcode::ReadClock, v)
    ),
    command!("debug", [OptionalText], "[ no|more|less ]", "set/change debugging level", Always, |s, v| s
        .debug(v)),
    command!(
        "delay",
        [OptionalInteger],
        "[ msec ]",
        "set the delay added to encryption time stamps",
        Always,
        |s, v| s.delay(v)
    ),
    command!("drefid", [OptionalText], "[ hash|ipv4 ]", "display refid's as IPv4 or hash", New, |s, v| s
        .drefid(v)),
    command!("exit", [], "", "exit ntpq", Always, |s, v| s.quit(v)),
    command!("help", [OptionalText], "[ command ]", "tell the use and syntax of commands", Always, |s, v| s
        .help(v)),
    command!(
        "host",
        [OptionalText, OptionalText],
        "[ -4|-6 ] [ hostname ]",
        "specify the host whose NTP server we talk to",
        Always,
        |s, v| s.host(v)
    ),
    command!(
        "hostnames",
        [OptionalText],
        "[ yes|no ]",
        "specify whether hostnames or net numbers are printed",
        Always,
        |s, v| s.hostnames(v)
    ),
    command!("ifstats", [], "", "show statistics for each local address ntpd is using", New, |s, v| s
        .ifstats(v)),
    command!("iostats", [], "", "display network input and output counters", New, |s, _| s
        .statistics("iostats")),
    command!("kerninfo", [], "", "display kernel loop and PPS statistics", New, |s, _| s
        .statistics("kerninfo")),
    command!(
        "keyid",
        [OptionalNumber],
        "[ key# ]",
        "set keyid to use for authenticated requests",
        Always,
        |s, v| s.keyid(v)
    ),
    command!(
        "keytype",
        [OptionalText],
        "[ digest-name ]",
        "set key type to use for authenticated requests, one of:\n    AES128CMAC, MD5, SHA1, SHA256, SHA384, SHA512",
        Always,
        |s, v| s.keytype(v)
    ),
    command!(
        "lassociations",
        [],
        "",
        "print list of associations including all client information",
        Always,
        |s, _| s.associations(Which::All, true)
    ),
    command!(
        "lopeers",
        [OptionalFamily],
        "[ -4|-6 ]",
        "obtain and print a list of all peers and clients showing dstadr [IP version]",
        Always,
        |s, v| s.peers(Table::Opeers, Which::All, v)
    ),
    command!(
        "lpassociations",
        [],
        "",
        "print last obtained list of associations, including client information",
        Always,
        |s, _| s.associations(Which::All, false)
    ),
    command!(
        "lpeers",
        [OptionalFamily],
        "[ -4|-6 ]",
        "obtain and print a list of all peers and clients [IP version]",
        Always,
        |s, v| s.peers(Table::Peers, Which::All, v)
    ),
    command!("monstats", [], "", "display monitor (mrulist) counters and limits", New, |s, _| s
        .statistics("monstats")),
    command!(
        "mreadlist",
        [Number, Number],
        "assocIDlow assocIDhigh",
        "read the peer variables in the variable list for multiple peers",
        Always,
        |s, v| s.mreadlist(v)
    ),
    command!(
        "mreadvar",
        [Number, Number, OptionalText, OptionalText, OptionalText],
        "assocIDlow assocIDhigh [ name=value[,...] ]",
        "read peer variables from multiple peers",
        Always,
        |s, v| s.read_range(v, &names(v, 2))
    ),
    command!(
        "mrl",
        [Number, Number],
        "assocIDlow assocIDhigh",
        "read the peer variables in the variable list for multiple peers",
        Always,
        |s, v| s.mreadlist(v)
    ),
    command!(
        "mrulist",
        [OptionalText, OptionalText, OptionalText, OptionalText],
        "[ tag=value ] [ tag=value ] [ tag=value ] [ tag=value ]",
        "display the list of most recently seen source addresses, tags mincount=... resall=0x... resany=0x...",
        New,
        |s, v| s.mrulist(v)
    ),
    command!(
        "mrv",
        [Number, Number, OptionalText, OptionalText, OptionalText],
        "assocIDlow assocIDhigh [ name=value[,...] ]",
        "read peer variables from multiple peers",
        Always,
        |s, v| s.read_range(v, &names(v, 2))
    ),
    command!(
        "ntpversion",
        [OptionalNumber],
        "[ version number ]",
        "set the NTP version number to use for requests",
        Always,
        |s, v| s.ntpversion(v)
    ),
    command!(
        "opeers",
        [OptionalFamily],
        "[ -4|-6 ]",
        "print peer list the old way, with dstadr shown rather than refid [IP version]",
        Always,
        |s, v| s.peers(Table::Opeers, Which::Known, v)
    ),
    command!(
        "passociations",
        [],
        "",
        "print list of associations returned by last associations command",
        Always,
        |s, _| s.associations(Which::Known, false)
    ),
    command!(
        "passwd",
        [OptionalText],
        "[  ]",
        "specify a password to use for authenticated requests",
        Always,
        |s, v| s.passwd(v)
    ),
    command!(
        "peers",
        [OptionalFamily],
        "[ -4|-6 ]",
        "obtain and print a list of the server's peers [IP version]",
        Always,
        |s, v| s.peers(Table::Peers, Which::Known, v)
    ),
    command!(
        "poll",
        [OptionalNumber, OptionalText],
        "[ n ] [ verbose ]",
        "poll an NTP server in client mode `n' times",
        Always,
        |_, _| Answer::text("poll not implemented yet\n")
    ),
    command!("pstats", [Number], "assocID", "show statistics for a peer", New, |s, v| s.pstats(v)),
    command!("pstatus", [Number], "assocID", "print status information returned for a peer", Old, |s, v| {
        read(s, Opcode::ReadVariables, v)
    }),
    command!("quit", [], "", "exit ntpq", Always, |s, v| s.quit(v)),
    command!("raw", [], "", "do raw mode variable output", Always, |s, v| s.raw(v)),
    command!(
        "readlist",
        [OptionalNumber],
        "[ assocID ]",
        "read the system or peer variables included in the variable list",
        Always,
        |s, v| s.read_list(Opcode::ReadVariables, v)
    ),
    command!(
        "readvar",
        [OptionalNumber, OptionalText, OptionalText, OptionalText],
        "[ assocID ] [ varname1 ] [ varname2 ] [ varname3 ]",
        "read system or peer variables",
        Always,
        |s, v| read(s, Opcode::ReadVariables, v)
    ),
    command!("reslist", [], "", "show ntpd access control list", New, |s, v| s.reslist(v)),
    command!(
        "rl",
        [OptionalNumber],
        "[ assocID ]",
        "read the system or peer variables included in the variable list",
        Always,
        |s, v| s.read_list(Opcode::ReadVariables, v)
    ),
    command!("rmvars", [Text], "name[,...]", "remove variables from the variable list", Always, |s, v| s
        .rmvars(v)),
    command!(
        "rv",
        [OptionalNumber, OptionalText, OptionalText, OptionalText],
        "[ assocID ] [ varname1 ] [ varname2 ] [ varname3 ]",
        "read system or peer variables",
        Always,
        |s, v| read(s, Opcode::ReadVariables, v)
    ),
    command!(
        "saveconfig",
        [Text],
        "filename",
        "save ntpd configuration to file, . for current config file",
        Always,
        |s, v| s.saveconfig(v)
    ),
    command!("showvars", [], "", "print variables on the variable list", Always, |s, v| s.showvars(v)),
    command!("sysinfo", [], "", "display system summary", New, |s, _| s.statistics("sysinfo")),
    command!("sysstats", [], "", "display system uptime and packet counts", New, |s, _| s
        .statistics("sysstats")),
    command!("timeout", [OptionalNumber], "[ msec ]", "set the primary receive time out", Always, |s, v| s
        .timeout(v)),
    command!("timerstats", [], "", "display interval timer counters", New, |s, _| s.statistics("timerstats")),
    command!("version", [], "", "print version number", Always, |s, v| s.version(v)),
    command!(
        "writelist",
        [OptionalNumber],
        "[ assocID ]",
        "write the system or peer variables included in the variable list",
        Always,
        |s, v| s.writelist(v)
    ),
    command!(
        "writevar",
        [Number, Text],
        "assocID name=value,[...]",
        "write system or peer variables",
        Always,
        |s, v| s.writevar(v)
    ),
];

fn read(shell: &mut Shell<'_>, opcode: Opcode, values: &[Value]) -> Answer {
    match association(values) {
        Ok(id) => shell.read(opcode, id, &names(values, 1)),
        Err(trouble) => trouble.into(),
    }
}
