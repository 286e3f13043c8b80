//! When something is due: requests, which keep their distance, broadcasts, and what is renewed now and then.

use super::{
    Action, Broadcaster, Context, Engine, Event, Host, MonoTime, Now, Rng, SourceId, TimeDelta, find,
};

/// Longest pause between requests to different sources.
const SEPARATION: f64 = 0.2;
/// Shortest.
const LEAST_SEPARATION: f64 = 0.002;
/// A request that is this much too early for its distance leaves all the same.
const MOST_SLACK: TimeDelta = TimeDelta::from_micros(500);

impl Engine {
    /// When [`Input::Timer`](super::Input::Timer) is due.
    pub fn next_timeout(&self) -> Option<MonoTime> {
        let broadcasts = self.broadcasts.iter().map(Broadcaster::next_timeout).min();
        let clocks = self.clocks.values().map(|source| source.clock.next_timeout()).min();
        let own = [
            self.due.next(),
            broadcasts,
            clocks,
            self.clock.next_timeout(),
            self.status_due,
            self.names.next_timeout(),
            self.leap_timeout(self.last),
            self.fallback.next_timeout(),
        ];
        own.into_iter().flatten().min()
    }

    /// The distance that requests to different sources keep.
    fn separation(&mut self) -> TimeDelta {
        let polls = self.sources.values().map(|s| s.association.facts().poll);
        let shortest = self.crowd.shortest(self.generation, self.sources.len(), || polls.min().unwrap_or(6));
        let interval = f64::from(shortest).exp2();
        let count = f64::from(u32::try_from(self.sources.len()).unwrap_or(u32::MAX)).max(1.0);
        let distance = (interval / 8.0)
            .clamp(LEAST_SEPARATION, SEPARATION)
            .min(interval / (2.0 * count))
            .max(LEAST_SEPARATION);
        TimeDelta::from_secs_f64(distance).unwrap_or_default()
    }

    pub(super) fn run_timers(&mut self, now: Now, rng: &mut dyn Rng) {
        let due = self.due.until(now.mono);
        if !due.is_empty() {
            self.run_sources(now, &due, rng);
        }
        self.fall_back(now);
        self.poll_clocks(now, rng);
        self.names.timer(now.mono);
        self.follow_names(now, rng);
        self.reference.refresh_local(self.clock.timeline().estimated(now.clock), rng);
        if self.status_due.is_some_and(|due| due <= now.mono) {
            self.tell_kernel(now);
        }
        self.host.snapshot = self.snapshot(now);
        self.broadcast(now, rng);
    }

    /// The timers of sources that are due. Those whose requests have to wait for their distance form a queue, so that each wakes
    /// once and not whenever another one's turn comes.
    fn run_sources(&mut self, now: Now, due: &[SourceId], rng: &mut dyn Rng) {
        let separation = self.separation();
        // late by as much as the loop was for the one before is not too early
        let slack = (separation / 8).min(MOST_SLACK);
        let mut last = self.last_send;
        for id in due {
            let free = last.map_or(now.mono, |last| last + separation);
            let earliest = if free <= now.mono + slack { now.mono } else { free };
            self.event_at(now, *id, Event::Timer, earliest, rng);
            let next = self.source(*id).and_then(|source| source.association.next_timeout());
            let waits = earliest > now.mono && next == Some(earliest);
            last = if waits { Some(earliest) } else { last.max(self.last_send) };
        }
    }

    fn broadcast(&mut self, now: Now, rng: &mut dyn Rng) {
        if !self.broadcasts.iter().any(|broadcaster| broadcaster.next_timeout() <= now.mono) {
            return;
        }
        let timeline = self.clock.timeline();
        let host = &Host { snapshot: self.served(now), ..self.host.clone() };
        let (keys, earliest) = (&self.keys, now.mono);
        let mut context = Context { now, timeline, keys, host, earliest, rng };
        for broadcaster in &mut self.broadcasts {
            if let Some((to, _, bytes)) = broadcaster.timer(&mut context) {
                self.listen.sent(&bytes);
                self.actions.push_back(Action::Broadcast { to, bytes });
            }
        }
    }

    /// The timer of a source may have moved.
    pub(super) fn note_due(&mut self, id: SourceId) {
        let Some(source) = find(&mut self.sources, id) else { return };
        let next = source.association.next_timeout();
        if source.due != next {
            let before = std::mem::replace(&mut source.due, next);
            self.due.set(id, before, next);
        }
    }
}
