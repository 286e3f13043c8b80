//! Lines that are a list of options: sources, numbers, switches.

use super::finish::Clock;
use super::lexer::{Unexpected, Words};
use super::{Checked, Parser};
use crate::config::diagnostic::Place;
use crate::config::model::Broadcast;
use crate::config::source::{Kind, Source};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Bounds of poll intervals, log2 s.
const POLL: std::ops::RangeInclusive<i64> = 3..=17;

/// Options of a source that are no part of the common model.
#[derive(Default)]
struct Extra {
    minpoll_given: bool,
    ttl: Option<i64>,
    warned: Vec<&'static str>,
}

impl Parser<'_> {
    pub(super) fn source(&mut self, directive: &str, words: &mut Words<'_>, place: &Place) -> Checked {
        let (v4, v6) = (words.skip("-4"), words.skip("-6"));
        let wanted = if v4 || v6 { "T_String" } else { "T_Ipv4_flag or T_Ipv6_flag or T_String" };
        let name = words.string().map_err(|ended| ended.wants(wanted))?.text.to_owned();
        let kind = match directive {
            "peer" => Kind::Peer,
            "pool" => Kind::Pool,
            _ => Kind::Server,
        };
        let mut source = Source::new(kind, &name);
        (source.flags.ipv4, source.flags.ipv6) = (v4, v6);
        let mut extra = Extra::default();
        let mut said = Vec::new();
        while let Some(word) = words.next() {
            let flags = &mut source.flags;
            match word.text {
                "burst" => flags.burst = true,
                "iburst" => flags.iburst = true,
                "noselect" => flags.noselect = true,
                "prefer" => flags.prefer = true,
                "true" => flags.trust = true,
                "xleave" => flags.xleave = true,
                "nts" => flags.nts = true,
                // taken without a word: nothing depends on them here
                "preempt" | "dynamic" | "noval" => {}
                "autokey" => extra.warned.push("autokey"),
                "key" => source.key = u32::try_from(words.integer()?).unwrap_or(0),
                "minpoll" => {
                    source.minpoll = poll("minpoll", words.integer()?, &mut said);
                    extra.minpoll_given = true;
                }
                "maxpoll" => source.maxpoll = poll("maxpoll", words.integer()?, &mut said),
                "version" => {
                    let version = words.integer()?;
                    source.version = u32::try_from(version).ok().filter(|v| (1..=4).contains(v)).unwrap_or(4);
                }
                "ttl" => extra.ttl = Some(words.integer()?),
                "mode" => _ = words.integer()?,
                "bias" => source.offset = words.number()?,
                "maxdist" | "ask" | "require" | "ca" | "cert" => {
                    words.string()?;
                    extra.warned.push("an option of NTPsec");
                }
                _ => return Err(Unexpected::at(word).wants("T_EOC")),
            }
        }
        for text in said {
            self.warn(text, place);
        }
        for what in extra.warned {
            self.warn(format!("{what} of {name} is not supported"), place);
        }
        if source.flags.nts {
            self.warn(format!("nts of {name} has no effect: NTS is not supported yet"), place);
        }
        if source.minpoll > source.maxpoll {
            source.maxpoll = source.minpoll;
        }
        if kind == Kind::Peer {
            (source.flags.iburst, source.flags.burst) = (false, false);
        }
        match directive {
            "broadcast" => self.broadcast(&source, extra.minpoll_given, place),
            "manycastclient" => self.warn("manycastclient is not supported".to_owned(), place),
            _ => match name.parse() {
                Ok(IpAddr::V4(v4)) if is_clock(v4) => {
                    let [_, _, driver, unit] = v4.octets();
                    self.clocks.push(Clock { driver, unit, source, place: place.clone() });
                }
                _ => self.config.sources.push((source, place.clone())),
            },
        }
        Ok(())
    }

    fn broadcast(&mut self, source: &Source, minpoll_given: bool, place: &Place) {
        let Ok(address) = source.name.parse::<IpAddr>() else {
            return self.warn(format!("broadcast {}: not an address, line ignored", source.name), place);
        };
        let log2 = if minpoll_given { source.minpoll } else { 6 };
        let interval = 1_u32.checked_shl(log2.unsigned_abs()).unwrap_or(64);
        self.config.broadcasts.push(Broadcast {
            key: source.key,
            interval,
            to: SocketAddr::new(address, 123),
        });
    }

    /// `tinker`, `tos`, `discard`, `mru`: words that each take a number. A bad line changes nothing.
    pub(super) fn numbers(&mut self, directive: &str, words: &mut Words<'_>, place: &Place) -> Checked {
        let before = self.ntp.clone();
        let mut said = Vec::new();
        let result = self.number_list(directive, words, &mut said);
        if result.is_err() {
            self.ntp = before;
            return result;
        }
        for what in said {
            self.without_effect(&format!("{directive} {what}"), place);
        }
        Ok(())
    }

    fn number_list(&mut self, directive: &str, words: &mut Words<'_>, said: &mut Vec<String>) -> Checked {
        loop {
            let word = words.keyword()?;
            let known = match directive {
                "tinker" => self.tinker(word.text, words)?,
                "tos" => self.tos(word.text, words)?,
                _ => self.discard(directive, word.text, words)?,
            };
            match known {
                Effect::Unknown => return Err(Unexpected::at(word)),
                Effect::None => said.push(word.text.to_owned()),
                Effect::Set => {}
            }
            if words.peek().is_none() {
                return Ok(());
            }
        }
    }

    fn tinker(&mut self, word: &str, words: &mut Words<'_>) -> Checked<Effect> {
        let tinker = &mut self.ntp.tinker;
        match word {
            "step" => tinker.step = words.number()?,
            "stepback" => tinker.stepback = Some(words.number()?),
            "stepfwd" => tinker.stepfwd = Some(words.number()?),
            "stepout" => tinker.stepout = words.number()?,
            "panic" => tinker.panic = words.number()?,
            "dispersion" => tinker.dispersion = words.number()?,
            "freq" => tinker.freq = Some(words.number()?),
            "allan" => {
                tinker.allan = words.number()?;
                return Ok(Effect::None);
            }
            "huffpuff" => {
                tinker.huffpuff = Some(words.number()?);
                return Ok(Effect::None);
            }
            "tick" => {
                words.number()?;
                return Ok(Effect::None);
            }
            _ => return Ok(Effect::Unknown),
        }
        Ok(Effect::Set)
    }

    fn tos(&mut self, word: &str, words: &mut Words<'_>) -> Checked<Effect> {
        let tos = &mut self.ntp.tos;
        let small = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
        match word {
            "minclock" => tos.minclock = words.number()?,
            "maxclock" => tos.maxclock = words.number()?,
            "mindist" => tos.mindist = words.number()?,
            "maxdist" => tos.maxdist = words.number()?,
            "minsane" => tos.minsane = small(words.integer()?),
            "floor" => tos.floor = small(words.integer()?),
            "ceiling" => tos.ceiling = small(words.integer()?),
            "orphan" => tos.orphan = Some(small(words.integer()?)).filter(|n| (1..=15).contains(n)),
            "orphanwait" => tos.orphanwait = small(words.integer()?),
            "beacon" => {
                tos.beacon = small(words.integer()?);
                return Ok(Effect::None);
            }
            "cohort" => tos.cohort = words.integer()? != 0,
            "maxdisp" | "bcpollbstep" | "basedate" => {
                words.string()?;
                return Ok(Effect::None);
            }
            _ => return Ok(Effect::Unknown),
        }
        Ok(Effect::Set)
    }

    fn discard(&mut self, directive: &str, word: &str, words: &mut Words<'_>) -> Checked<Effect> {
        let (discard, mru) = (&mut self.ntp.discard, &mut self.ntp.mru);
        let mut unsigned = || words.integer().map(|n| u32::try_from(n.max(0)).unwrap_or(u32::MAX));
        let log2 = |n: u32| i32::try_from(n.min(17)).unwrap_or(17);
        match (directive, word) {
            ("discard", "average") => discard.average = log2(unsigned()?),
            ("discard", "minimum") => discard.minimum = log2(unsigned()?),
            ("discard", "monitor") => discard.monitor = unsigned()?,
            ("mru", "maxdepth") => mru.maxdepth = unsigned()?.max(1),
            ("mru", "mindepth") => mru.mindepth = unsigned()?,
            ("mru", "maxage") => mru.maxage = unsigned()?,
            // kilobytes, in entries of the size that 4.2.8p15 has
            ("mru", "maxmem") => mru.maxdepth = unsigned()?.saturating_mul(1024).max(88) / 88,
            ("mru", "initalloc" | "initmem" | "incalloc" | "incmem" | "minage") => {
                unsigned()?;
                return Ok(Effect::None);
            }
            _ => return Ok(Effect::Unknown),
        }
        Ok(Effect::Set)
    }

    pub(super) fn switch(&mut self, on: bool, words: &mut Words<'_>) -> Checked {
        let (mut set, mut wanted) = (self.ntp.switches, "");
        loop {
            let word = words.keyword()?;
            match word.text {
                "auth" => set.auth = on,
                "bclient" => set.bclient = on,
                "calibrate" => set.calibrate = on,
                "kernel" => set.kernel = on,
                "monitor" => set.monitor = on,
                "ntp" => set.ntp = on,
                "stats" => set.stats = on,
                "mode7"
                | "pps"
                | "unpeer_crypto_early"
                | "unpeer_crypto_nak_early"
                | "unpeer_digest_early"
                | "peer_clear_digest_early" => {}
                _ => return Err(Unexpected::at(word).wants(wanted)),
            }
            wanted = "T_EOC";
            if words.peek().is_none() {
                break;
            }
        }
        self.ntp.switches = set;
        Ok(())
    }
}

/// What a word of a list of numbers did.
enum Effect {
    Set,
    None,
    Unknown,
}

/// Whether an address stands for a reference clock.
pub(super) fn is_clock(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [127, 127, _, _])
}

fn poll(what: &str, value: i64, said: &mut Vec<String>) -> i32 {
    let (low, high) = (*POLL.start(), *POLL.end());
    if value < low {
        said.push(format!("{what}: provided value ({value}) is below minimum ({low})"));
    } else if value > high {
        said.push(format!("{what}: provided value ({value}) is above maximum ({high})"));
    }
    i32::try_from(value.clamp(low, high)).unwrap_or(6)
}
