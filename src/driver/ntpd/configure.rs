//! What may be changed from afar: lines of ntp.conf that do what reading the file anew would do (`:config`), and `saveconfig`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::broadcast::Outlet;
use super::facts::{View, bounds};
use super::informant::{House, version_line};
use super::wishes::Wish;
use crate::config::chrony_conf::Files;
use crate::config::ntp_conf::{self, Parsed};
use crate::config::ntp_model::{Counters, LocalClock, Ntp};
use crate::control::mode6::facts::Variable;
use crate::driver::lifecycle::absolute;
use crate::engine::daemon::Level;
use crate::engine::mru::{Clients, Limit};
use crate::engine::options::Source as Options;
use crate::sys::Errno;
use crate::types::civil::CivilTime;
use crate::types::{KeyId, Timestamp};
use crate::wire::mode6::AssocId;

/// Sources that a line from afar may bring it to.
const MOST_SOURCES: usize = 256;
/// Lines from afar that `saveconfig` remembers, octets.
const MOST_REMEMBERED: usize = 65_536;

/// What a file of `saveconfig` is made of.
#[derive(Debug, Default)]
pub struct Saving {
    /// `saveconfigdir`.
    pub directory: Option<PathBuf>,
    /// The file that was read, and its lines that are right.
    pub startup: (String, Vec<String>),
    /// Lines from afar: when, from where, what.
    pub remote: Vec<(Timestamp, IpAddr, String)>,
}

/// `limit` and `clients` of a gate, by `discard`.
pub fn limit(ntp: &Ntp) -> Limit {
    let log2 = |n: i32| u8::try_from(n.clamp(0, 17)).unwrap_or(0);
    Limit { average: log2(ntp.discard.average), minimum: log2(ntp.discard.minimum) }
}

/// The names that a line of `enable` or `disable` has.
fn all_are(line: &str, known: &[&str]) -> bool {
    line.split_whitespace().skip(1).all(|word| known.contains(&word))
}

/// What the original itself does not take from afar: its words.
fn refused(word: &str, line: &str) -> Option<String> {
    if word == "driftfile" && line.split_whitespace().nth(1).is_none() {
        return Some("column 0 driftfile remote configuration ignored".to_owned());
    }
    let second = line.split_whitespace().nth(1)?;
    let start = line.find(word)? + word.len();
    let column = start + line.get(start..)?.find(second)?;
    let text = match word {
        "driftfile" | "statsdir" => format!("{word} remote configuration ignored"),
        "logfile" | "saveconfigdir" | "pidfile" => format!("{word} remote config ignored"),
        "includefile" => "remote includefile ignored".to_owned(),
        "enable" | "disable" => format!("enable/disable {second} remote configuration ignored"),
        _ => return None,
    };
    Some(format!("column {column} {text}"))
}

/// The words of `filegen` that the original does not take from afar, in its words and without a space between them, as it has them.
fn refused_generation(line: &str) -> Option<String> {
    let mut words = line.split_whitespace().skip(2);
    let mut out = String::new();
    while let Some(word) = words.next() {
        let at = match word {
            "file" | "type" => words.next()?,
            "link" | "nolink" => word,
            _ => continue,
        };
        // the word as a part of the line: its place is its column
        let column = at.as_ptr().addr() - line.as_ptr().addr();
        let _ = write!(out, "column {column} filegen {word} remote config ignored");
    }
    (!out.is_empty()).then_some(out)
}

impl View<'_, '_> {
    /// Does what a line of ntp.conf says, if that can be done while the daemon runs; the answer for ntpq.
    pub(super) fn obey(&mut self, line: &str, from: SocketAddr) -> String {
        let word = line.split_whitespace().next().unwrap_or_default();
        let whence = from.ip().to_canonical();
        // a password is nobody else's
        let shown = if word == "crypto" { word } else { line };
        self.house.engine.log(Level::Info, format!("{whence} config: {}", shown.trim()));
        let parsed = ntp_conf::check_line(line, &self.state.ntp, &mut NoFiles);
        match parsed.and_then(|parsed| self.apply(word, line, parsed)) {
            Ok(()) => {
                self.remember(line, from);
                "Config Succeeded".to_owned()
            }
            Err(text) => {
                self.house.engine.log(Level::Warning, format!("line 1 {text}"));
                self.house.engine.log(Level::Warning, format!("1 error in {whence} config"));
                text
            }
        }
    }

    fn apply(&mut self, word: &str, line: &str, parsed: Parsed) -> Result<(), String> {
        let ignored = || format!("column 0 {word} remote config ignored");
        // a word of the line that does nothing here
        let note = parsed.diagnostics.first().map(|diagnostic| diagnostic.text.clone());
        let Some(ntp) = parsed.config.ntp else { return Ok(()) };
        match word {
            comment if comment.is_empty() || comment.starts_with('#') => {}
            "server" | "peer" | "pool" if !parsed.config.sources.is_empty() => {
                for (source, _) in parsed.config.sources {
                    self.add(source).map_err(|()| ignored())?;
                }
            }
            // as in the original: what is not there is gone
            "unpeer" | "unconfig" => ntp.unpeer.iter().for_each(|name| self.remove(name)),
            "restrict" => {
                if ntp.restrict.is_empty() && ntp.restrict_source.is_none() {
                    return Err(note.unwrap_or_default());
                }
                let gate = self.house.gate.as_mut().ok_or_else(ignored)?;
                ntp.restrict.iter().for_each(|(rule, _)| gate.restrictions.add(*rule));
                if let Some(rule) = ntp.restrict_source {
                    gate.restrict_source(rule.flags);
                }
            }
            "enable" | "disable" if all_are(line, &["monitor", "auth", "kernel", "calibrate", "ntp"]) => {
                let gate = self.house.gate.as_mut().ok_or_else(ignored)?;
                gate.clients = match (ntp.switches.monitor, gate.clients.take()) {
                    (true, None) => Some(Clients::new(bounds(&ntp.mru))),
                    (true, kept) => kept,
                    (false, _) => None,
                };
                let before = std::mem::replace(&mut self.state.ntp.switches, ntp.switches);
                if before.ntp != ntp.switches.ntp {
                    let panic = Some(self.state.ntp.tinker.panic).filter(|panic| *panic > 0.0);
                    self.state.wishes.push(Wish::Discipline(ntp.switches.ntp, panic));
                }
            }
            "tos" | "tinker" | "discard" | "mru" => {
                self.renumber(*ntp);
                return note.map_or(Ok(()), |text| Err(format!("column {} {text}", word.len() + 1)));
            }
            "keys" => {
                let path = parsed.config.words.keyfile.as_deref().map(absolute);
                self.state.wishes.extend(path.map(Wish::Keys));
            }
            "leapfile" => {
                let path = parsed.config.words.leapseclist.as_deref().map(absolute);
                let unchecked = ntp.leapfile_unchecked;
                self.state.wishes.extend(path.map(|path| Wish::Leapfile { path, unchecked }));
            }
            "statistics" | "filegen" if self.state.ntp.switches.stats => {
                if let Some(text) = refused_generation(line).filter(|_| word == "filegen") {
                    return Err(text);
                }
                self.state.files.extend(ntp.filegen.into_iter().map(|file| (file.name, file.enabled)));
            }
            "reset" => ntp.resets.iter().for_each(|group| self.reset(*group)),
            "trustedkey" => self.state.trust(*ntp),
            "controlkey" => self.state.new_control = ntp.control_key.map(KeyId::new),
            // for mode 7, which nobody serves here
            "requestkey" => {}
            "setvar" => self.set_variables(ntp.variables),
            "logconfig" => {
                self.state.logs_peers = names_peers(&ntp.logconfig).unwrap_or(self.state.logs_peers)
            }
            "fudge" if line.contains("127.127.1.") => self.fudge(line).ok_or_else(ignored)?,
            _ => return Err(refused(word, line).unwrap_or_else(ignored)),
        }
        Ok(())
    }

    /// `tos`, `tinker`, `discard`, `mru` as they are now.
    fn renumber(&mut self, ntp: Ntp) {
        let House { engine, gate, rng, now, .. } = &mut self.house;
        let before = &self.state.ntp;
        if (ntp.tinker.step - before.tinker.step).abs() > 0.0 {
            let step = if ntp.tinker.step > 0.0 { ntp.tinker.step } else { f64::INFINITY };
            engine.set_makestep(step, -1);
        }
        if (ntp.tinker.panic - before.tinker.panic).abs() > 0.0 {
            engine.set_max_change((ntp.tinker.panic > 0.0).then_some((ntp.tinker.panic, 0, 0)));
        }
        if (ntp.tinker.dispersion - before.tinker.dispersion).abs() > 0.0 {
            engine.set_max_clock_error(ntp.tinker.dispersion);
            self.state.growth = ntp.tinker.dispersion * 1e-6;
        }
        if (ntp.tos.orphan, ntp.tos.orphanwait) != (before.tos.orphan, before.tos.orphanwait)
            && self.state.local.is_none()
        {
            self.state.orphan = ntp.tos.orphan.is_some();
            engine.set_local(ntp_conf::orphan(&ntp.tos));
        }
        if ntp.tos != before.tos {
            let small = |value: i32| u8::try_from(value.clamp(0, 16)).unwrap_or(16);
            let strata = (small(ntp.tos.floor), small(ntp.tos.ceiling - 1));
            let sources = u32::try_from(ntp.tos.minsane.max(1)).unwrap_or(1);
            engine.require(*now, ntp.tos.maxdist, strata, sources, *rng);
        }
        if let Some(gate) = gate {
            gate.set_limit(limit(&ntp));
            if let Some(clients) = &mut gate.clients {
                clients.set_bounds(bounds(&ntp.mru));
            }
        }
        self.state.ntp = Ntp {
            tos: ntp.tos,
            tinker: ntp.tinker,
            discard: ntp.discard,
            mru: ntp.mru,
            ..std::mem::take(&mut self.state.ntp)
        };
    }

    /// `reset`.
    fn reset(&mut self, group: Counters) {
        let counted = self.counted();
        self.state.zeroes.reset(group, &counted);
        if group != Counters::AllPeers {
            return;
        }
        for (id, source) in self.house.engine.sources() {
            let counters = source.association.facts().counters;
            if let Some(track) = self.state.tracks.get_mut(&id) {
                track.reset(counters.sent.into(), counters.received.into());
            }
        }
        self.state.outlets.iter_mut().for_each(Outlet::reset);
        self.state.local_reset = self.state.local_polls(self.house.now.mono);
    }

    fn set_variables(&mut self, variables: Vec<(String, String, bool)>) {
        let known = &mut self.state.identity.variables;
        for (name, value, default) in variables {
            known.retain(|variable| variable.name != name);
            if known.len() < MOST_SOURCES {
                known.push(Variable { name, value, default });
            }
        }
    }

    /// `fudge 127.127.1.u stratum n`.
    fn fudge(&mut self, line: &str) -> Option<()> {
        let mut rest = line.split_whitespace().skip_while(|word| *word != "stratum");
        let stratum = rest.nth(1)?.parse().ok().filter(|stratum| *stratum <= 14_u8)?;
        self.state.local.as_mut()?.stratum = stratum;
        let mut served = self.house.engine.settings().local;
        if let Some(served) = &mut served {
            served.stratum = stratum + 1;
        }
        self.house.engine.set_local(served);
        Some(())
    }

    /// A source that is there already stays as it is.
    fn add(&mut self, source: Options) -> Result<(), ()> {
        let House { engine, rng, now, .. } = &mut self.house;
        let known = engine.sources().count() + engine.unresolved().count();
        if known >= MOST_SOURCES {
            return Err(());
        }
        match source.name.parse::<IpAddr>() {
            Ok(address) => {
                let to = SocketAddr::new(address, source.port);
                if !engine.sources().any(|(_, s)| s.association.address().ip() == address) {
                    engine.add_address(*now, to, &source, *rng);
                }
            }
            Err(_) => {
                engine.add_name(*now, &source);
            }
        }
        Ok(())
    }

    /// By address, by name or by the identifier.
    fn remove(&mut self, name: &str) {
        let own = |clock: &LocalClock| {
            name == format!("127.127.1.{}", clock.unit)
                || name.parse().is_ok_and(|id| AssocId::new(id) == self.state.local_id)
        };
        if self.state.local.as_ref().is_some_and(own) {
            (self.state.local, self.state.local_id) = (None, AssocId::SYSTEM);
            self.state.orphan = self.state.ntp.tos.orphan.is_some();
            return self.house.engine.set_local(ntp_conf::orphan(&self.state.ntp.tos));
        }
        let House { engine, rng, now, .. } = &mut self.house;
        let by_id = name.parse().ok().map(AssocId::new);
        let by_id = by_id.and_then(|id| self.state.ids.iter().find(|(_, other)| **other == id));
        let of_source = engine
            .sources()
            .find(|(_, source)| source.name == name || name.parse() == Ok(source.association.address().ip()));
        let pending = engine.unresolved().find(|(_, options)| options.name == name).map(|(id, _)| id);
        if let Some(id) = by_id.map(|(id, _)| *id).or(of_source.map(|(id, _)| id)).or(pending) {
            engine.remove(*now, id, *rng);
        }
    }

    fn remember(&mut self, line: &str, from: SocketAddr) {
        let remote = &mut self.state.saving.remote;
        let held: usize = remote.iter().map(|(_, _, line)| line.len()).sum();
        if held + line.len() <= MOST_REMEMBERED && !line.trim().is_empty() {
            remote.push((self.house.now.clock, from.ip().to_canonical(), line.trim().to_owned()));
        }
    }

    /// Writes what is configured into a new file below `saveconfigdir`; the answer for ntpq.
    pub(super) fn save_configuration(&mut self, name: &str) -> String {
        let now = self.house.now.clock;
        let saving = &mut self.state.saving;
        let Some(directory) = &saving.directory else {
            return "saveconfig prohibited, no saveconfigdir configured".to_owned();
        };
        let unsafe_name = |name: &str| {
            name.is_empty()
                || name.starts_with('.')
                || name.contains(['/', '\\'])
                || name.contains(char::is_control)
        };
        let file = expanded(name, now);
        if unsafe_name(name) || unsafe_name(&file) {
            let shown: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            return format!("saveconfig rejects unsafe file name '{shown}'");
        }
        let path = directory.join(&file);
        let mut options = std::fs::OpenOptions::new();
        let written = options.write(true).create_new(true).mode(0o600).open(&path).and_then(|mut out| {
            let written = out.write_all(saving.text(now).as_bytes()).and_then(|()| out.sync_all());
            // half a configuration is none
            if written.is_err() {
                let _ = std::fs::remove_file(&path);
            }
            written
        });
        match written {
            Ok(()) => {
                self.set_variables(vec![("savedconfig".to_owned(), file.clone(), false)]);
                format!("Configuration saved to '{file}'")
            }
            Err(error) => {
                let why = Errno::from_raw(error.raw_os_error().unwrap_or(0)).desc();
                format!("Unable to save configuration to file '{file}': {why}")
            }
        }
    }
}

/// `logconfig` words: whether events of associations are logged from now on; `None`: they say nothing about it.
pub fn names_peers(words: &[String]) -> Option<bool> {
    let classes = ["all", "allall", "allpeer", "allevents", "peerall", "peerevents"];
    let mut says = None;
    for word in words {
        let named = classes.contains(&word.trim_start_matches(['=', '+', '-']));
        if word.starts_with('=') {
            says = Some(named);
        } else if named {
            says = Some(!word.starts_with('-'));
        }
    }
    says
}

impl Saving {
    fn text(&self, now: Timestamp) -> String {
        let mut text = format!("#NTF:D {}\n#NTF:V {}\n", expanded("%Y%m%d@%H:%M:%S", now), version_line());
        let (file, lines) = &self.startup;
        let _ = writeln!(text, "# startup configuration file {file}");
        lines.iter().for_each(|line| _ = writeln!(text, "{line}"));
        for (at, from, line) in &self.remote {
            let date = expanded("%Y-%m-%d %H:%M:%S", *at);
            let _ = writeln!(text, "# {date} ntpq remote config from {from}\n{line}");
        }
        text
    }
}

/// The date in a name, as strftime writes it: `%Y %y %m %d %H %M %S %%`, in UTC. Anything else stays as it is.
fn expanded(name: &str, at: Timestamp) -> String {
    let t = CivilTime::from_timestamp(at, 0);
    let mut out = String::new();
    let mut rest = name.chars();
    while let Some(c) = rest.next() {
        let wanted = if c == '%' { rest.clone().next() } else { None };
        let Some(wanted) = wanted else {
            out.push(c);
            continue;
        };
        rest.next();
        let _ = match wanted {
            'Y' => write!(out, "{:04}", t.year),
            'y' => write!(out, "{:02}", t.year.rem_euclid(100)),
            'm' => write!(out, "{:02}", t.month),
            'd' => write!(out, "{:02}", t.day),
            'H' => write!(out, "{:02}", t.hour),
            'M' => write!(out, "{:02}", t.minute),
            'S' => write!(out, "{:02}", t.second),
            '%' => write!(out, "%"),
            other => write!(out, "%{other}"),
        };
    }
    out
}

/// A line from the network names no file and no host.
struct NoFiles;

impl Files for NoFiles {
    fn read(&mut self, _: &str) -> Result<Vec<u8>, String> {
        Err("remote includefile ignored".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_date() {
        let at = Timestamp::from_unix(1_795_304_093, 0);
        assert_eq!(expanded("ntp-%Y-%m-%d_%H%M%S.%%", at), "ntp-2026-11-21_233453.%");
        assert_eq!((expanded("%q%", at).as_str(), expanded("%y", at).as_str()), ("%q%", "26"));
    }

    #[test]
    fn words_of_logconfig() {
        let says = |words: &str| names_peers(&words.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(
            (says("=all"), says("+peerevents"), says("=syncall")),
            (Some(true), Some(true), Some(false))
        );
        assert_eq!(
            (says("-allpeer"), says("+syncall"), says("=syncall +peerall")),
            (Some(false), None, Some(true))
        );
    }

    #[test]
    fn what_the_original_refuses_has_its_words() {
        let cases = [
            ("driftfile /tmp/x", "column 10 driftfile remote configuration ignored"),
            ("logfile /tmp/x", "column 8 logfile remote config ignored"),
            ("statsdir /tmp/", "column 9 statsdir remote configuration ignored"),
            ("includefile /tmp/inc", "column 12 remote includefile ignored"),
            ("saveconfigdir /tmp", "column 14 saveconfigdir remote config ignored"),
            ("disable stats", "column 8 enable/disable stats remote configuration ignored"),
            ("  enable mode7", "column 9 enable/disable mode7 remote configuration ignored"),
        ];
        for (line, text) in cases {
            let word = line.split_whitespace().next().unwrap();
            assert_eq!(refused(word, line).as_deref(), Some(text));
        }
        assert_eq!(refused("dscp", "dscp 4"), None);
        assert_eq!(
            refused("driftfile", "driftfile").as_deref(),
            Some("column 0 driftfile remote configuration ignored")
        );
        assert_eq!(
            refused_generation("filegen rawstats file raws type none nolink enable").as_deref(),
            Some(
                "column 22 filegen file remote config ignoredcolumn 32 filegen type remote config ignored\
                 column 37 filegen nolink remote config ignored"
            )
        );
        assert_eq!(refused_generation("filegen rawstats disable"), None);
    }
}
