//! What outlives the daemon of each source (`dumpdir`, `-r`), on the kernel's clock instead of the free one.

use std::net::IpAddr;

use super::{Engine, Level, Measurement, Now, Rng, SourceId, TimeDelta, Timestamp, named};
use crate::engine::association::Remembered;
use crate::engine::register::{Dump, Entry};
use crate::engine::timeline::Exact;
use crate::types::{Leap, Secs};

/// A source as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceDump {
    /// As it was configured.
    pub name: String,
    /// Whether it has a key.
    pub authenticated: bool,
    /// Reachability register.
    pub reach: u8,
    /// How many of its bits mean something.
    pub reach_size: u8,
    /// The source's own stratum.
    pub stratum: u8,
    /// Its leap status.
    pub leap: Leap,
    /// Updates in a row that saw the same asymmetry; the sign is its.
    pub asymmetry_run: i32,
    /// Oldest first.
    pub samples: Vec<DumpedSample>,
}

/// A sample as it is kept: relative to a kernel clock that has always run as it does now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DumpedSample {
    /// When it was taken.
    pub time: Timestamp,
    /// Offset of that clock, s: > 0 is behind.
    pub offset: f64,
    /// Offset as it was measured.
    pub original: f64,
    /// Round trip.
    pub delay: Secs,
    /// Error of the time stamps.
    pub dispersion: Secs,
    /// Of the server.
    pub root_delay: Secs,
    /// Of the server.
    pub root_dispersion: Secs,
}

impl Engine {
    /// What is to be kept: all sources that were measured.
    pub fn dumps(&self, now: Now) -> Vec<(IpAddr, SourceDump)> {
        let timeline = self.timeline();
        let (free, here) = (timeline.free(now.clock), timeline.correction(now.clock));
        let rate = timeline.setting().rate();
        let keep = |entry: &Entry| {
            let m = entry.measurement;
            // what the present setting would have added by then
            let correction = here.plus(-(free - m.at).as_secs_f64() * rate);
            DumpedSample {
                time: Timestamp::from_nanos(m.at.as_nanos()) + correction.to_delta(),
                offset: Exact::from_delta(m.offset).minus(correction),
                original: entry.original,
                delay: Secs::from(m.delay),
                dispersion: m.dispersion,
                root_delay: m.root_delay,
                root_dispersion: m.root_dispersion,
            }
        };
        let measured = self.sources.values().filter(|s| !s.association.register().is_empty());
        measured
            .map(|source| {
                let facts = source.association.facts();
                let dump = source.association.register().dump();
                let remembered = SourceDump {
                    name: source.name.clone(),
                    authenticated: source.association.options().key != 0,
                    reach: facts.reach.bits(),
                    reach_size: facts.reach_size,
                    stratum: facts.stratum,
                    leap: facts.leap,
                    asymmetry_run: dump.asymmetry_run,
                    samples: dump.samples.iter().map(keep).collect(),
                };
                (facts.address.ip(), remembered)
            })
            .collect()
    }

    /// Gives a source what was kept of it, at the start, before anything was measured. Answers whether it fitted.
    pub fn restore(&mut self, now: Now, address: IpAddr, dump: &SourceDump, rng: &mut dyn Rng) -> bool {
        let found = self.sources.iter().find(|(_, s)| s.association.address().ip() == address);
        let Some(id) = found.map(|(id, _)| *id) else { return false };
        let restored = self.give_back(now, id, dump);
        let text = self.sources.get(&id).map_or_else(String::new, |s| named(address, &s.name));
        if !restored {
            self.log(Level::Warning, format!("Could not load dump file for {text}"));
            return false;
        }
        self.log(Level::Info, format!("Loaded dump file for {text}"));
        self.readmit(now, id, rng);
        true
    }

    fn give_back(&mut self, now: Now, id: SourceId, dump: &SourceDump) -> bool {
        let timeline = self.clock.timeline();
        let mut samples = Vec::new();
        for sample in &dump.samples {
            let correction = timeline.correction(sample.time);
            let offset = correction.plus(sample.offset).to_delta();
            let delay = TimeDelta::from_secs_f64(sample.delay.get());
            let (Some(delay), true) = (delay, sample.time <= now.clock) else { return false };
            samples.push(Entry {
                measurement: Measurement {
                    at: timeline.free(sample.time),
                    offset,
                    delay,
                    dispersion: sample.dispersion,
                    root_delay: sample.root_delay,
                    root_dispersion: sample.root_dispersion,
                },
                original: sample.original,
            });
        }
        let Some(source) = self.sources.get_mut(&id) else { return false };
        let same = source.name == dump.name && (source.association.options().key != 0) == dump.authenticated;
        let register = Dump { asymmetry_run: dump.asymmetry_run, samples };
        same && source.association.remember(
            Remembered {
                reach: dump.reach,
                reach_size: dump.reach_size,
                stratum: dump.stratum,
                leap: dump.leap,
            },
            &register,
        )
    }
}
