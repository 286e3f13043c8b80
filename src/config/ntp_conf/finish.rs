//! What the lines mean together, in the order in which ntpd applies them: `fudge` after the clocks, then the terms of the
//! common model (ntp-legacy 3.4).

use super::{Fudge, Parsed, Parser, options};
use crate::config::diagnostic::{Place, Severity};
use crate::config::model::{AccessRule, Local, RateLimit, Refclock, Scope};
use crate::config::ntp_model::{InterfaceAction, InterfaceScope, LocalClock, Tos};
use crate::config::source::{Kind, Source};
use crate::engine::restrict::{Flags, Restrictions};
use std::net::Ipv4Addr;

/// A reference clock, `server 127.127.DRIVER.UNIT`.
pub(super) struct Clock {
    pub(super) driver: u8,
    pub(super) unit: u8,
    pub(super) source: Source,
    pub(super) place: Place,
}

/// Drivers of ntpd.
const LOCAL: u8 = 1;
const PPS: u8 = 22;
const SHM: u8 = 28;

impl Parser<'_> {
    pub(super) fn finish(mut self) -> Parsed {
        let gone = std::mem::take(&mut self.ntp.unpeer);
        self.config.sources.retain(|(source, _)| !gone.contains(&source.name));
        self.clocks.retain(|clock| !gone.contains(&clock.source.name));
        self.ntp.unpeer = gone;
        let fudges = std::mem::take(&mut self.fudges);
        for clock in std::mem::take(&mut self.clocks) {
            let name = &clock.source.name;
            let mine: Vec<&Fudge> = fudges.iter().filter(|fudge| fudge.address == *name).collect();
            match clock.driver {
                LOCAL => self.local_clock(&clock, &mine),
                SHM | PPS => self.refclock(&clock, &mine),
                driver => {
                    let text = format!(
                        "{name}: reference clock type {driver} is not supported: run gpsd and use SHM"
                    );
                    self.warn(text, &clock.place);
                }
            }
            self.seen(name);
        }
        for fudge in &fudges {
            if !self.known(&fudge.address) {
                let address = &fudge.address;
                let text = format!("inappropriate address {address} for the fudge command, line ignored");
                self.say(Severity::Warning, text, Some(&fudge.place));
            }
        }
        self.common();
        self.config.ntp = Some(Box::new(self.ntp));
        Parsed { config: self.config, diagnostics: self.diagnostics, lines: self.lines }
    }

    fn seen(&mut self, name: &str) {
        self.clock_names.push(name.to_owned());
    }

    fn known(&self, address: &str) -> bool {
        self.clock_names.iter().any(|name| name == address)
            && address.parse::<Ipv4Addr>().is_ok_and(options::is_clock)
    }

    fn local_clock(&mut self, clock: &Clock, fudges: &[&Fudge]) {
        let mut local = LocalClock::new(clock.unit);
        (local.minpoll, local.maxpoll) = (clock.source.minpoll, clock.source.maxpoll);
        local.prefer = clock.source.flags.prefer;
        for fudge in fudges {
            if let Some(stratum) = fudge.stratum {
                local.stratum = u8::try_from(stratum.clamp(0, 15)).unwrap_or(15);
            }
            if let Some(refid) = &fudge.refid {
                local.refid = [0; 4];
                for (slot, byte) in local.refid.iter_mut().zip(refid.bytes()) {
                    *slot = byte;
                }
            }
            local.time1 = fudge.time1.unwrap_or(local.time1);
            local.time2 = fudge.time2.unwrap_or(local.time2);
            for (bit, flag) in fudge.flags.iter().enumerate() {
                if let Some(on) = flag {
                    local.flags = local.flags & !(1 << bit) | u8::from(*on) << bit;
                }
            }
        }
        self.ntp.local_clock = Some(local);
    }

    fn refclock(&mut self, clock: &Clock, fudges: &[&Fudge]) {
        let (driver, mut parameter) = match clock.driver {
            SHM => ("SHM", clock.unit.to_string()),
            _ => ("PPS", format!("/dev/pps{}", clock.unit)),
        };
        let mut options = vec![("poll".to_owned(), Some(clock.source.minpoll.to_string()))];
        for (flag, word) in [
            (clock.source.flags.prefer, "prefer"),
            (clock.source.flags.noselect, "noselect"),
            (clock.source.flags.trust, "trust"),
        ] {
            if flag {
                options.push((word.to_owned(), None));
            }
        }
        for fudge in fudges {
            let mut put = |name: &str, value: Option<String>| {
                if value.is_some() {
                    options.push((name.to_owned(), value));
                }
            };
            put("offset", fudge.time1.map(|t| t.to_string()));
            put("refid", fudge.refid.clone());
            put("stratum", fudge.stratum.map(|n| n.clamp(0, 15).to_string()));
            if clock.driver == PPS && matches!(fudge.flags, [_, Some(true), _, _]) {
                parameter.push_str(":clear");
            }
        }
        self.config
            .refclocks
            .push((Refclock { driver: driver.to_owned(), parameter, options }, clock.place.clone()));
    }

    /// What the common model says about all this.
    fn common(&mut self) {
        let (config, ntp) = (&mut self.config, &self.ntp);
        for (source, _) in &mut config.sources {
            if source.kind == Kind::Pool {
                // as many as fit; real numbers are allowed in the file
                let most = [4_u32, 10, 16].into_iter().rev().find(|n| f64::from(*n) <= ntp.tos.maxclock);
                source.maxsources = most.unwrap_or(1);
            }
        }
        config.local = match (&ntp.local_clock, ntp.tos.orphan) {
            (Some(clock), _) => Some(local(clock.stratum.saturating_add(1).min(15), false)),
            (None, _) => orphan(&ntp.tos).map(|local| Local { waitunsynced: 0.0, ..local }),
        };
        config.makestep = (ntp.tinker.step > 0.0).then_some((ntp.tinker.step, -1));
        config.maxchange = (ntp.tinker.panic > 0.0).then_some((ntp.tinker.panic, 1, 1));
        config.reals.maxdistance = ntp.tos.maxdist;
        config.reals.maxclockerror = ntp.tinker.dispersion;
        config.integers.minsources = ntp.tos.minsane.max(1);
        config.integers.maxstratum = ntp.tos.ceiling.saturating_sub(1).clamp(0, 16);
        config.integers.minstratum = ntp.tos.floor.clamp(0, 16);
        config.words.logdir.clone_from(&ntp.statsdir);
        for rule in &ntp.interfaces {
            if let (InterfaceAction::Listen, InterfaceScope::Network(address, 32 | 128)) =
                (rule.action, &rule.scope)
            {
                let slot =
                    if address.is_ipv4() { &mut config.bindaddress.v4 } else { &mut config.bindaddress.v6 };
                *slot = Some(*address);
            }
        }
        let mut list = Restrictions::new();
        for (rule, _) in &ntp.restrict {
            list.add(*rule);
        }
        let rules = list.list();
        config.access = rules
            .iter()
            .filter(|rule| !rule.ntpport)
            .filter_map(|rule| {
                let network = rule.as_network()?;
                let same = |(given, _): &&(_, Place)| {
                    let given: &crate::engine::restrict::Rule = given;
                    (given.address, given.mask) == (rule.address, rule.mask)
                };
                Some(AccessRule {
                    allow: !rule.flags.has(Flags::IGNORE) && !rule.flags.has(Flags::NOSERVE),
                    all: false,
                    scope: Scope::Network(network.address(), network.bits()),
                    place: ntp.restrict.iter().find(same).map(|(_, place)| place.clone()).unwrap_or_default(),
                })
            })
            .collect();
        let limited = rules.iter().any(|rule| rule.flags.has(Flags::LIMITED));
        let kod = rules.iter().any(|rule| rule.flags.has(Flags::LIMITED | Flags::KOD));
        config.ratelimit = limited.then(|| RateLimit {
            interval: ntp.discard.average.min(12),
            burst: 8,
            leak: 2,
            kod: if kod { 2 } else { 0 },
        });
        config.flags.noclientlog = !ntp.switches.monitor && !limited;
    }
}

/// What `tos orphan` and `orphanwait` mean.
pub fn orphan(tos: &Tos) -> Option<Local> {
    let stratum = u8::try_from(tos.orphan?).unwrap_or(15);
    Some(Local { waitunsynced: f64::from(tos.orphanwait.max(0)), ..local(stratum, true) })
}

fn local(stratum: u8, orphan: bool) -> Local {
    Local { stratum, orphan, distance: 1.0, activate: 0.0, waitsynced: 0.0, waitunsynced: 0.0 }
}
