//! What our own clock is: its reference, its error bounds, what is told about it (chronyc.md 3.1, discipline.md §1.6, §1.10).
//!
//! Offsets are to be added, > 0: our clock is behind. Frequencies > 0: the uncorrected clock gains.

use std::net::IpAddr;

use super::options::Local;
use super::rng::Rng;
use super::server::Snapshot;
use crate::types::{Frequency, Leap, LogInterval, MonoTime, Now, RefId, Secs, Stratum, TimeDelta, Timestamp};

/// Reference ID of a clock that follows nothing (127.127.1.1).
const LOCAL_REFID: u32 = 0x7F7F_0101;
/// How old the reference time of local mode may get.
const LOCAL_REFRESH: TimeDelta = TimeDelta::from_secs(64);

/// What the clock was updated from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// Reference ID that is passed on.
    pub refid: RefId,
    /// Address of the selected source; a reference clock has none.
    pub address: Option<IpAddr>,
    /// Our own stratum from now on.
    pub stratum: u8,
    /// What the believed sources say about leap seconds.
    pub leap: Leap,
    /// When the newest sample was taken, by the estimated time.
    pub time: Timestamp,
    /// Root delay of the best sample, s.
    pub root_delay: f64,
    /// Root dispersion at this moment, s.
    pub root_dispersion: f64,
    /// How far the estimate moved, s.
    pub offset: f64,
    /// Its standard deviation, s.
    pub offset_sd: f64,
    /// Bound on the error of the frequency, s/s.
    pub skew: f64,
    /// Measured frequency less the one that is used, s/s.
    pub residual: f64,
}

/// What `chronyc tracking` shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tracking {
    /// Reference ID; 0 when unsynchronised.
    pub refid: RefId,
    /// Address of the selected source.
    pub address: Option<IpAddr>,
    /// 0 when unsynchronised.
    pub stratum: u8,
    /// Leap status.
    pub leap: Leap,
    /// Reference time.
    pub time: Option<Timestamp>,
    /// Offset of the last update, s.
    pub last_offset: f64,
    /// Long-term average of the offsets, s, ≥ 0.
    pub rms_offset: f64,
    /// s/s.
    pub residual: f64,
    /// s/s.
    pub skew: f64,
    /// s.
    pub root_delay: f64,
    /// s.
    pub root_dispersion: f64,
    /// Between the last two updates, s.
    pub update_interval: f64,
}

#[derive(Debug, Clone, Copy)]
struct Synchronised {
    update: Update,
    /// Reference time as shown: blurred by up to a second.
    shown: Timestamp,
}

/// The state of our own clock.
#[derive(Debug, Clone)]
pub struct Reference {
    local: Option<Local>,
    /// s/s.
    max_clock_error: f64,
    synchronised: Option<Synchronised>,
    last_offset: f64,
    mean_square: f64,
    averaging: bool,
    last_update: Option<MonoTime>,
    update_interval: f64,
    updates: u32,
    /// Whether local mode has seen the distance that activates it.
    activated: bool,
    /// When synchronisation was lost, or the daemon began.
    unsynchronised_since: Option<MonoTime>,
    local_time: Option<Timestamp>,
    /// A leap second is in progress: leap status 3 is shown.
    in_leap: bool,
}

impl Reference {
    /// A clock that was never updated.
    pub fn new(local: Option<Local>, max_clock_error: f64) -> Self {
        Self {
            local,
            max_clock_error,
            synchronised: None,
            last_offset: 0.0,
            mean_square: 0.0,
            averaging: false,
            last_update: None,
            update_interval: 0.0,
            updates: 0,
            activated: local.is_none_or(|l| l.activate <= 0.0),
            unsynchronised_since: None,
            local_time: None,
            in_leap: false,
        }
    }

    /// Changes `maxclockerror`, s/s.
    pub const fn set_max_clock_error(&mut self, rate: f64) {
        self.max_clock_error = rate;
    }

    /// Changes local mode (`chronyc local`).
    pub fn set_local(&mut self, local: Option<Local>) {
        self.local = local;
        self.activated = local.is_none_or(|l| l.activate <= 0.0);
        self.local_time = None;
    }

    /// The settings of local mode.
    pub const fn local(&self) -> Option<Local> {
        self.local
    }

    /// Updates since the start.
    pub const fn updates(&self) -> u32 {
        self.updates
    }

    /// Whether a source is followed.
    pub const fn is_synchronised(&self) -> bool {
        self.synchronised.is_some()
    }

    /// The last update that is still in force.
    pub fn current(&self) -> Option<Update> {
        self.synchronised.map(|s| s.update)
    }

    /// When the last update was.
    pub const fn last_update(&self) -> Option<MonoTime> {
        self.last_update
    }

    /// The clock was updated.
    pub fn update(&mut self, now: Now, update: Update, rng: &mut dyn Rng) {
        let blur = i64::try_from(rng.next_u64() % 1_000_000_000).unwrap_or(0);
        let shown = update.time - TimeDelta::from_nanos(blur);
        self.synchronised = Some(Synchronised { update, shown });
        self.unsynchronised_since = None;
        self.note(now.mono, update.offset);
        if let Some(local) = self.local
            && !self.activated
        {
            self.activated = update.root_delay / 2.0 + update.root_dispersion < local.activate;
        }
    }

    /// The clock was updated by hand: counted, but that does not synchronise it.
    pub fn note(&mut self, mono: MonoTime, offset: f64) {
        self.update_interval = self.last_update.map_or(0.0, |last| (mono - last).as_secs_f64());
        self.last_update = Some(mono);
        self.updates = self.updates.saturating_add(1);
        self.last_offset = offset;
        let square = offset * offset;
        if self.averaging {
            self.mean_square += 0.1 * (square - self.mean_square);
        } else {
            // the first offsets shrink while the clock settles; the average begins when they no longer do
            self.averaging = self.mean_square > 0.0 && square > self.mean_square;
            self.mean_square = square;
        }
    }

    /// No source is believed any more. Answers whether that is a change.
    pub fn lose(&mut self, now: Now) -> bool {
        if self.unsynchronised_since.is_none() {
            self.unsynchronised_since = Some(now.mono);
        }
        self.synchronised.take().is_some()
    }

    /// The leap second that was announced is over.
    pub const fn clear_leap(&mut self) {
        if let Some(synchronised) = &mut self.synchronised {
            synchronised.update.leap = Leap::None;
        }
    }

    /// A leap second begins or ends; during it leap status 3 is shown.
    pub const fn set_in_leap(&mut self, in_leap: bool) {
        self.in_leap = in_leap;
    }

    fn dispersion(&self, at: Timestamp, update: &Update) -> f64 {
        let age = (at - update.time).as_secs_f64().abs();
        update.root_dispersion + age * (update.skew + update.residual.abs() + self.max_clock_error)
    }

    /// Root delay/2 + root dispersion now, s; `None` when unsynchronised.
    pub fn root_distance(&self, estimated: Timestamp) -> Option<f64> {
        let s = self.synchronised?;
        Some(s.update.root_delay / 2.0 + self.dispersion(estimated, &s.update))
    }

    fn local_in_force(&self, estimated: Timestamp, mono: MonoTime) -> Option<Local> {
        let local = self.local.filter(|_| self.activated)?;
        let since = |then: Option<MonoTime>| then.map(|then| (mono - then).as_secs_f64());
        let active = match self.root_distance(estimated) {
            Some(distance) => {
                distance > local.distance && since(self.last_update).is_none_or(|age| age >= local.waitsynced)
            }
            None => since(self.unsynchronised_since).is_none_or(|age| age >= local.waitunsynced),
        };
        active.then_some(local)
    }

    /// Whether the daemon began; from here the waiting times of local mode count.
    pub fn begin(&mut self, mono: MonoTime) {
        self.unsynchronised_since = Some(mono);
    }

    /// Renews the reference time of local mode when it has become old: a second ago, blurred by up to another one.
    pub fn refresh_local(&mut self, estimated: Timestamp, rng: &mut dyn Rng) {
        let fresh = |time: Timestamp| {
            let age = estimated - time;
            !age.is_negative() && age <= LOCAL_REFRESH
        };
        if self.local.is_some() && !self.local_time.is_some_and(fresh) {
            let blur = i64::try_from(rng.next_u64() % 1_000_000_000).unwrap_or(0);
            self.local_time = Some(estimated - TimeDelta::from_secs(1) - TimeDelta::from_nanos(blur));
        }
    }

    /// What `tracking` shows when the estimated time is `estimated`.
    pub fn tracking(&self, estimated: Timestamp, mono: MonoTime) -> Tracking {
        let mut tracking = Tracking {
            refid: RefId::from_bits(0),
            address: None,
            stratum: 0,
            leap: Leap::Unsynchronised,
            time: None,
            last_offset: self.last_offset,
            rms_offset: self.mean_square.sqrt(),
            residual: 0.0,
            skew: 0.0,
            root_delay: 1.0,
            root_dispersion: 1.0,
            update_interval: self.update_interval,
        };
        if let Some(local) = self.local_in_force(estimated, mono) {
            let time = self.local_time.unwrap_or(estimated - TimeDelta::from_secs(1));
            tracking.refid = RefId::from_bits(LOCAL_REFID);
            tracking.stratum = local.stratum;
            tracking.leap = Leap::None;
            tracking.time = Some(time);
            tracking.root_delay = 0.0;
            tracking.root_dispersion = 0.0;
        } else if let Some(s) = self.synchronised {
            tracking.refid = s.update.refid;
            tracking.address = s.update.address;
            tracking.stratum = s.update.stratum;
            tracking.leap = s.update.leap;
            tracking.time = Some(s.shown);
            tracking.residual = s.update.residual;
            tracking.skew = s.update.skew;
            tracking.root_delay = s.update.root_delay;
            tracking.root_dispersion = self.dispersion(estimated, &s.update);
        }
        if self.in_leap {
            tracking.leap = Leap::Unsynchronised;
        }
        tracking
    }

    /// What the server says about our clock, were it right: what it is known to be off by is left to the caller.
    pub fn snapshot(&self, estimated: Timestamp, mono: MonoTime, precision: LogInterval) -> Snapshot {
        let tracking = self.tracking(estimated, mono);
        let rate = tracking.skew + tracking.residual.abs() + self.max_clock_error;
        let dispersion_rate =
            self.synchronised.filter(|_| tracking.root_dispersion > 0.0).and_then(|_| Frequency::new(rate));
        let dispersion_rate = dispersion_rate.unwrap_or(Frequency::ZERO);
        Snapshot {
            leap: tracking.leap,
            stratum: Stratum::new(tracking.stratum),
            precision,
            root_delay: secs(tracking.root_delay),
            root_dispersion: secs(tracking.root_dispersion),
            dispersion_rate,
            refid: tracking.refid,
            reference: tracking.time.unwrap_or(Timestamp::UNIX_EPOCH),
            at: estimated,
            ahead: TimeDelta::ZERO,
            ahead_rate: Frequency::ZERO,
            smoothing: None,
        }
    }
}

fn secs(secs: f64) -> Secs {
    Secs::new(secs).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rng::SplitMix;

    fn at(secs: i64) -> Now {
        Now {
            clock: Timestamp::from_unix(1_795_000_000 + secs, 0),
            mono: MonoTime::from_nanos(secs * 1_000_000_000),
        }
    }

    fn update(secs: i64, offset: f64) -> Update {
        Update {
            refid: RefId::from_bits(0x0A00_0001),
            address: None,
            stratum: 3,
            leap: Leap::None,
            time: at(secs).clock,
            root_delay: 0.01,
            root_dispersion: 0.001,
            offset,
            offset_sd: 1e-6,
            skew: 1e-6,
            residual: 0.0,
        }
    }

    const LOCAL: Local = Local {
        stratum: 10,
        orphan: false,
        distance: 1.0,
        activate: 0.0,
        waitsynced: 0.0,
        waitunsynced: 0.0,
    };

    #[test]
    fn unsynchronised_shows_the_originals_constants() {
        let shown = Reference::new(None, 1e-6).tracking(at(0).clock, at(0).mono);
        assert_eq!((shown.stratum, shown.leap, shown.time), (0, Leap::Unsynchronised, None));
        assert_eq!((shown.root_delay, shown.root_dispersion), (1.0, 1.0));
    }

    #[test]
    fn dispersion_grows_with_skew_and_the_clock_error() {
        let mut reference = Reference::new(None, 1e-6);
        reference.update(at(0), update(0, 0.5), &mut SplitMix::new(1));
        let shown = reference.tracking(at(1000).clock, at(1000).mono);
        assert!((shown.root_dispersion - (0.001 + 1000.0 * 2e-6)).abs() < 1e-9);
        let time = shown.time.unwrap();
        assert!(time <= at(0).clock && time > at(-1).clock);
        assert!(reference.lose(at(1001)) && !reference.lose(at(1002)));
    }

    #[test]
    fn the_average_begins_when_offsets_no_longer_shrink() {
        let mut reference = Reference::new(None, 1e-6);
        let mut rms = Vec::new();
        for (at_secs, offset) in [(0, 1.0), (64, 0.1), (128, 0.2), (192, 0.1)] {
            reference.update(at(at_secs), update(at_secs, offset), &mut SplitMix::new(1));
            rms.push(reference.tracking(at(at_secs).clock, at(at_secs).mono).rms_offset);
        }
        let expected = [1.0, 0.1, 0.2, (0.04 + 0.1 * (0.01 - 0.04_f64)).sqrt()];
        for (seen, expected) in rms.iter().zip(expected) {
            assert!((seen - expected).abs() < 1e-12, "{rms:?}");
        }
        let shown = reference.tracking(at(200).clock, at(200).mono);
        assert!((shown.update_interval - 64.0).abs() < 1e-9);
    }

    #[test]
    fn local_mode_takes_over_beyond_its_distance() {
        let mut reference = Reference::new(Some(Local { distance: 0.5, ..LOCAL }), 1e-6);
        assert_eq!(reference.tracking(at(0).clock, at(0).mono).stratum, 10);
        let mut near = update(0, 0.0);
        near.skew = 1e-3;
        reference.update(at(0), near, &mut SplitMix::new(1));
        assert_eq!(reference.tracking(at(100).clock, at(100).mono).stratum, 3);
        let shown = reference.tracking(at(600).clock, at(600).mono);
        assert_eq!((shown.stratum, shown.leap, shown.refid.to_bits()), (10, Leap::None, LOCAL_REFID));
    }

    #[test]
    fn local_mode_waits_when_told_so() {
        let local = Local { waitunsynced: 300.0, activate: 0.1, ..LOCAL };
        let mut reference = Reference::new(Some(local), 1e-6);
        reference.begin(at(0).mono);
        assert_eq!(reference.tracking(at(400).clock, at(400).mono).stratum, 0, "never activated");
        reference.update(at(400), update(400, 0.0), &mut SplitMix::new(1));
        reference.lose(at(500));
        assert_eq!(reference.tracking(at(799).clock, at(799).mono).stratum, 0);
        assert_eq!(reference.tracking(at(800).clock, at(800).mono).stratum, 10);
    }
}
