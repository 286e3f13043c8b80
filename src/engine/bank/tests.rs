use super::path::count;
use super::steer::{Limits, follow, plan};
use super::*;
use crate::engine::rng::{Rng, SplitMix};
use crate::engine::timeline::{KernelRate, Timeline};
use crate::types::{Secs, Timestamp};

fn secs(secs: f64) -> TimeDelta {
    TimeDelta::from_secs_f64(secs).unwrap()
}

fn uniform(rng: &mut SplitMix) -> f64 {
    f64::from(u32::try_from(rng.next_u64() >> 32).unwrap()) / f64::from(u32::MAX)
}

/// A kernel clock with a constant rate error, steered by the bank, and servers behind exponential queues.
struct World {
    /// True time, s, and what the kernel clock reads then.
    now: f64,
    local: Timestamp,
    error: f64,
    rng: SplitMix,
    bank: Bank,
    timeline: Timeline,
    slew_ends: Option<f64>,
    then: KernelRate,
    jitter: f64,
    /// Offsets of the kernel clock from true time, s, with the time.
    log: Vec<(f64, f64)>,
}

/// Base delays up and down and the server's error, s.
type Way = (f64, f64, f64);

const EPOCH: i64 = 1_795_000_000;

impl World {
    fn new(offset: f64, error: f64) -> Self {
        let local = Timestamp::from_unix(EPOCH, 0) + secs(offset);
        Self {
            now: 0.0,
            local,
            error,
            rng: SplitMix::new(7),
            bank: Bank::default(),
            timeline: Timeline::new(local, KernelRate::NOMINAL),
            slew_ends: None,
            then: KernelRate::NOMINAL,
            jitter: 1e-4,
            log: Vec::new(),
        }
    }

    fn truth(&self) -> Timestamp {
        Timestamp::from_unix(EPOCH, 0) + secs(self.now)
    }

    fn rate(&self) -> f64 {
        (1.0 + self.error) * (1.0 + self.timeline.setting().rate())
    }

    fn advance(&mut self, by: f64) {
        let end = self.now + by;
        if let Some(at) = self.slew_ends.filter(|at| *at < end) {
            self.local = self.local + secs((at - self.now) * self.rate());
            self.now = at;
            self.timeline.rate_set(self.local, self.then);
            self.slew_ends = None;
        }
        self.local = self.local + secs((end - self.now) * self.rate());
        self.now = end;
        self.log.push((self.now, (self.local - self.truth()).as_secs_f64()));
    }

    fn exchange(&mut self, source: u32, way: Way) -> (SourceId, Measurement) {
        let queue = |rng: &mut SplitMix, mean: f64| -mean * (1.0 - 0.999_999 * uniform(rng)).ln();
        let (up, down) =
            (way.0 + queue(&mut self.rng, self.jitter), way.1 + queue(&mut self.rng, self.jitter));
        let free1 = self.timeline.free(self.local);
        self.advance(up);
        let server = self.truth() + secs(way.2);
        self.advance(down);
        let free4 = self.timeline.free(self.local);
        let raw = |free: FreeTime| Timestamp::from_nanos(free.as_nanos());
        let m = Measurement {
            at: free1 + (free4 - free1) / 2,
            offset: TimeDelta::midpoint(server - raw(free1), server - raw(free4)),
            delay: free4 - free1,
            dispersion: Secs::ZERO,
            root_delay: Secs::ZERO,
            root_dispersion: Secs::ZERO,
        };
        (SourceId(source), m)
    }

    fn steer(&mut self, interval: f64) {
        let limits = Limits::default();
        let Some(e) = self.bank.estimate(self.timeline.free(self.local)).filter(|e| e.ready) else { return };
        self.timeline.set_line(follow(&e, self.timeline.line().rate, &limits));
        let remaining = self.timeline.remaining(self.local);
        let slew = plan(remaining, self.timeline.line().rate, e.offset_sd, e.rate_sd, interval, &limits);
        self.timeline.rate_set(self.local, slew.setting);
        self.then = slew.then;
        self.slew_ends = slew.lasts.map(|lasts| self.now + lasts.as_secs_f64() / self.rate());
    }

    /// Polls the sources in turn every `interval` s for `span` s.
    fn run(&mut self, span: f64, interval: f64, ways: &[Way]) -> Vec<Verdict> {
        let end = self.now + span;
        let mut verdicts = Vec::new();
        while self.now < end {
            for (source, way) in (0..).zip(ways) {
                let (id, m) = self.exchange(source, *way);
                let verdict = self.bank.accept(id, &m);
                verdicts.push(verdict);
                self.steer(interval);
                self.advance(if verdict == Verdict::Jumped { 2.0 } else { interval / count(ways.len()) });
            }
        }
        verdicts
    }

    /// Worst offset since `from`, s.
    fn worst_since(&self, from: f64) -> f64 {
        self.log.iter().filter(|(at, _)| *at > from).map(|(_, offset)| offset.abs()).fold(0.0, f64::max)
    }
}

const LAN: Way = (1e-4, 1e-4, 0.0);

#[test]
fn clocks_of_every_kind_converge_and_wait_for_the_third_sample() {
    for (offset, error) in [(0.5, 50e-6), (-0.05, 450e-6), (0.05, -0.05), (-3600.0, 0.0)] {
        let mut world = World::new(offset, error);
        world.run(3.0, 2.0, &[LAN]);
        assert_eq!(world.timeline.setting(), KernelRate::NOMINAL, "touched before the third sample");
        world.run(60_000.0, 64.0, &[LAN]);
        let e = world.bank.estimate(world.timeline.free(world.local)).unwrap();
        assert!((e.line.rate + error / (1.0 + error)).abs() < 5e-8 && e.rate_sd < 5e-8, "{e:?}");
        assert!(world.worst_since(55_000.0) < 3e-5, "{offset} {error}: {}", world.worst_since(55_000.0));
        assert!(e.offset_sd < 2e-5 && e.wander < 1e-8);
    }
}

#[test]
fn a_large_offset_is_slewed_at_the_limit() {
    let mut world = World::new(-100.0, 20e-6);
    world.run(6.0, 2.0, &[LAN]);
    world.run(2000.0, 64.0, &[LAN]);
    let arrival = world.log.iter().find(|(_, offset)| offset.abs() < 1e-2).unwrap().0;
    assert!((1200.0..1290.0).contains(&arrival), "{arrival}");
}

#[test]
fn a_longer_route_and_its_asymmetry_are_learnt() {
    for (up, down) in [(3e-3, 3e-3), (6e-3, 0.0)] {
        let mut world = World::new(0.0, 10e-6);
        world.run(10_000.0, 64.0, &[(5e-3, 5e-3, 0.0)]);
        world.run(10_000.0, 64.0, &[(5e-3 + up, 5e-3 + down, 0.0)]);
        assert!(world.bank.source(SourceId(0)).unwrap().min_delay > 15e-3);
        world.run(10_000.0, 64.0, &[(5e-3, 5e-3, 0.0)]);
        assert!(world.bank.source(SourceId(0)).unwrap().min_delay < 11e-3);
        assert!(world.worst_since(5000.0) < 1.5e-4, "{}", world.worst_since(5000.0));
    }
}

#[test]
fn a_liar_inside_the_root_distance_is_ignored() {
    let mut world = World::new(0.0, 10e-6);
    world.run(10_000.0, 64.0, &[(12e-3, 12e-3, 10e-3), (25e-3, 25.2e-3, 0.0), (30e-3, 29.8e-3, 0.0)]);
    assert!(world.worst_since(2000.0) < 5e-4, "{}", world.worst_since(2000.0));
    let liar = world.bank.source(SourceId(0)).unwrap();
    assert!(liar.trust < 0.01 && (liar.bias - 10e-3).abs() < 1e-3, "{liar:?}");
}

#[test]
fn sources_come_and_go_without_disturbing_the_clock() {
    let mut world = World::new(0.0, 10e-6);
    let ways = [(5e-3, 5.1e-3, 0.0), (8e-3, 8e-3, 0.0), (6e-3, 6e-3, 0.0)];
    world.run(5000.0, 64.0, &ways[..1]);
    world.run(5000.0, 64.0, &ways);
    world.bank.remove(SourceId(0));
    world.bank.remove(SourceId(2));
    let before = world.bank.estimate(world.timeline.free(world.local)).unwrap();
    assert!(before.ready && world.bank.source(SourceId(0)).is_none());
    for _ in 0..100 {
        let (_, m) = world.exchange(1, ways[1]);
        world.bank.accept(SourceId(1), &m);
        world.steer(64.0);
        world.advance(64.0);
    }
    world.bank.remove(SourceId(1));
    assert!(world.bank.estimate(world.timeline.free(world.local)).is_some_and(|e| !e.ready));
    world.run(2000.0, 64.0, &ways[..2]);
    assert!(world.worst_since(4000.0) < 2e-4, "{}", world.worst_since(4000.0));
}

#[test]
fn a_jump_is_believed_at_once() {
    let mut world = World::new(0.0, 10e-6);
    for quiet in [400.0, 8000.0] {
        world.run(quiet, 64.0, &[LAN]);
        world.local = world.local - secs(0.3);
        let verdicts = world.run(600.0, 64.0, &[LAN]);
        assert!(quiet < 1000.0 || verdicts.contains(&Verdict::Jumped));
        assert!(world.worst_since(world.now - 400.0) < 1e-3, "after {quiet}");
    }
}

#[test]
fn a_lost_offset_keeps_the_rate() {
    let mut world = World::new(0.0, 40e-6);
    world.run(8000.0, 64.0, &[LAN]);
    world.bank.lose_offset();
    assert_eq!(world.bank.estimate(world.timeline.free(world.local)), None);
    world.local = world.local + secs(7.0);
    world.timeline = Timeline::new(world.local, world.timeline.setting());
    let (id, m) = world.exchange(0, LAN);
    world.bank.accept(id, &m);
    let e = world.bank.estimate(world.timeline.free(world.local)).unwrap();
    assert!(e.ready && (e.line.rate + 40e-6).abs() < 1e-7 && e.rate_sd < 1e-6, "{e:?}");
    assert!((e.line.offset.to_delta().as_secs_f64() + 7.0).abs() < 1e-3);
}

#[test]
fn a_known_rate_is_used_from_the_first_sample_and_a_wrong_one_is_overcome() {
    for known in [-40e-6, 60e-6] {
        let mut world = World::new(0.01, 40e-6);
        world.bank.set_rate_prior(known, 1e-7);
        let (id, m) = world.exchange(0, LAN);
        world.bank.accept(id, &m);
        let e = world.bank.estimate(world.timeline.free(world.local)).unwrap();
        assert!((e.line.rate - known).abs() < 1e-9 && e.rate_sd < 2e-7);
        world.run(8.0, 2.0, &[LAN]);
        world.run(3000.0, 64.0, &[LAN]);
        let e = world.bank.estimate(world.timeline.free(world.local)).unwrap();
        assert!((e.line.rate + 40e-6).abs() < 1e-6, "{known}: {e:?}");
    }
}

#[test]
fn a_short_memory_stays_sure_of_itself() {
    // rounding that is not the same on both sides of the diagonal would grow with each sample that fades
    for max_samples in [2, 3, 4, 6] {
        for rate in 0..6 {
            let mut world = World::new(0.0, f64::from(rate) * 1e-6);
            world.bank = Bank::new(max_samples);
            world.run(30_000.0, 64.0, &[LAN]);
            let e = world.bank.estimate(world.timeline.free(world.local)).unwrap();
            assert!(e.offset_sd < 3e-4 && e.rate_sd < 1e-5, "{max_samples} {rate}: {e:?}");
        }
    }
}

#[test]
fn maxsamples_cuts_the_memory() {
    let sd = |max_samples| {
        let mut world = World::new(0.0, 10e-6);
        world.bank = Bank::new(max_samples);
        world.run(20_000.0, 64.0, &[LAN]);
        world.bank.estimate(world.timeline.free(world.local)).unwrap().offset_sd
    };
    let (all, four, two) = (sd(0), sd(4), sd(2));
    assert!(all < 0.7 * four && four < two, "{all} {four} {two}");
    let own = |limits: [u32; 2]| {
        let mut world = World::new(0.0, 10e-6);
        (0..).zip(limits).for_each(|(id, limit)| world.bank.set_max_samples(SourceId(id), limit));
        world.run(20_000.0, 64.0, &[LAN, LAN]);
        world.bank.estimate(world.timeline.free(world.local)).unwrap().rate_sd
    };
    assert!(own([3, 3]) > 2.0 * own([3, 0]), "{} {}", own([3, 3]), own([3, 0]));
    // 1: each sample is taken as it is
    let mut world = World::new(0.0, 10e-6);
    world.bank = Bank::new(1);
    for _ in 0..30 {
        let (id, m) = world.exchange(0, LAN);
        world.bank.accept(id, &m);
        let e = world.bank.estimate(m.at).unwrap();
        assert!((e.line.offset.to_delta() - m.offset).abs() < secs(1e-8), "{e:?} {m:?}");
        world.advance(64.0);
    }
}

#[test]
fn hostile_measurements_never_make_it_infinite() {
    let mut rng = SplitMix::new(3);
    for round in 0..40 {
        let mut bank = Bank::new(round % 4);
        let mut at = 0i64;
        for _ in 0..60 {
            let pick = rng.next_u64();
            let size = [1i64, 1_000, 1_000_000_000, 1_000_000_000_000, i64::MAX / 4]
                [usize::try_from(pick % 5).unwrap()];
            let wild = |rng: &mut SplitMix| i64::try_from(rng.next_u64() >> 2).unwrap() % size - size / 2;
            at = at.saturating_add(wild(&mut rng).saturating_abs());
            let m = Measurement {
                at: FreeTime::from_nanos(at),
                offset: TimeDelta::from_nanos(wild(&mut rng)),
                delay: TimeDelta::from_nanos(wild(&mut rng)),
                dispersion: Secs::new(uniform(&mut rng) * 10.0 - 1.0).unwrap(),
                root_delay: Secs::new(uniform(&mut rng) - 0.1).unwrap(),
                root_dispersion: Secs::new(uniform(&mut rng) - 0.1).unwrap(),
            };
            bank.accept(SourceId(u32::try_from(pick >> 60).unwrap()), &m);
            if pick.is_multiple_of(17) {
                bank.remove(SourceId(u32::try_from(pick >> 61).unwrap()));
            }
            if pick.is_multiple_of(41) {
                bank.lose_offset();
            }
            for id in 0..16 {
                if let Some(s) = bank.source(SourceId(id)) {
                    assert!(
                        s.bias.is_finite() && s.bias_sd.is_finite() && (0.0..=1.0).contains(&s.trust),
                        "{s:?} {bank:?}"
                    );
                }
            }
            if let Some(e) = bank.estimate(m.at + secs(uniform(&mut rng) * 1e6)) {
                assert!(e.line.rate.abs() <= 0.2 && e.offset_sd > 0.0 && e.rate_sd > 0.0 && e.wander > 0.0);
                assert!(e.offset_sd.is_finite() && e.rate_sd.is_finite());
                let slew = plan(0.1, e.line.rate, e.offset_sd, e.rate_sd, 64.0, &Limits::default());
                assert!(slew.setting.rate().abs() <= 0.1);
            }
        }
    }
}
