//! What the engine wants done: packets sent, names asked for, the clock set, the drift file written.

use std::net::SocketAddr;

use super::incoming::kernel_stamp;
use super::watching::accepted_now;
use super::{BUFFER, Daemon, LOOKUPS, Log};
use crate::engine::association::{Port, Stamp, Stamper, Token};
use crate::engine::clock::ClockCommand;
use crate::engine::daemon::{self as engine, Action, Input, Level, Lookup, NameId};
use crate::engine::measurement::SourceId;
use crate::sys::clock::ClockStatus;
use crate::sys::dns::Query;
use crate::sys::net::Family;
use crate::sys::{clock, file};
use crate::types::Secs;

impl Daemon {
    pub(super) fn act(&mut self, log: Log<'_>) {
        while let Some(action) = self.engine.poll() {
            match action {
                Action::Send { source, to, bytes, token, port } => {
                    self.send(source, to, bytes, token, port, log)
                }
                Action::Broadcast { to, bytes } => {
                    // who is not there does not miss it
                    let sent = self.server.send(&bytes, to).is_ok();
                    if let Some(informant) = self.informant.as_mut().filter(|_| sent) {
                        informant.broadcast(to, clock::mono());
                    }
                }
                Action::Close(source) => {
                    self.requests.close(source);
                }
                Action::Resolve { name, host, family } => self.resolve(name, host, family),
                Action::Clock(command) => self.command(&command),
                Action::Log(level, text) => log(level, &text),
                Action::Record(record) => self.record(&record, log),
                Action::Drift(frequency, skew) => self.write_drift(frequency, skew, log),
                Action::GiveUp => self.gave_up = true,
            }
        }
    }

    pub(super) fn send(
        &mut self,
        source: SourceId,
        to: SocketAddr,
        bytes: Vec<u8>,
        token: Token,
        port: Port,
        log: Log<'_>,
    ) {
        match self.requests.send((source, token), to, bytes, port, &self.server) {
            Ok(at) => {
                let left = self.requests.left(source, &mut [0; BUFFER]);
                let at = left
                    .map_or(Stamp { at, by: Stamper::Daemon, error: Secs::ZERO }, |(_, at)| kernel_stamp(at));
                self.hand(Input::Sent { source, token, at });
            }
            Err(error) => {
                // no route is the business of the reach register; anything else is news
                if error.operation == "socket" || error.operation == "bind" {
                    log(
                        Level::Error,
                        &format!("Could not open NTP socket on {} : {}", error.object, error.reason()),
                    );
                }
                self.hand(Input::NotSent { source, token });
            }
        }
    }

    pub(super) fn resolve(&mut self, name: NameId, host: String, family: Option<engine::Family>) {
        if self.lookups.len() >= LOOKUPS {
            return self.hand(Input::Resolved { name, result: Lookup::Later });
        }
        let family = family.map(|family| match family {
            engine::Family::V4 => Family::V4,
            engine::Family::V6 => Family::V6,
        });
        let ticket = self.resolver.start(Query::Forward { name: host, family, port: 0 });
        self.lookups.insert(ticket, name);
    }

    pub(super) fn command(&mut self, command: &ClockCommand) {
        let Some(control) = &self.control else { return };
        let done = match command {
            ClockCommand::SetRate(setting) => control.set_rate(setting.tick, setting.freq).map(|accepted| {
                self.engine.rate_taken(clock::now());
                if let Some(watch) = &mut self.watch {
                    watch.commanded(accepted_now(accepted));
                }
            }),
            ClockCommand::Step(delta) => {
                self.stepped = true;
                control.step(*delta)
            }
            ClockCommand::Status { synchronised, leap, max_error, est_error } => {
                control.set_status(&ClockStatus {
                    synchronised: *synchronised,
                    leap: *leap,
                    max_error: *max_error,
                    est_error: *est_error,
                })
            }
            ClockCommand::Tai(offset) => control.set_tai(*offset),
        };
        match (done, command) {
            (Ok(()), ClockCommand::SetRate(setting)) => self.granted = *setting,
            (Ok(()), ClockCommand::Step(delta)) => {
                if let Some(informant) = &mut self.informant
                    && let Some(line) = informant.stepped(*delta, &self.engine, clock::both())
                {
                    self.engine.log(Level::Info, line);
                }
            }
            (Ok(()), _) => {}
            (Err(error), _) => {
                if !self.refused {
                    self.refused = true;
                    self.engine.log(Level::Error, error.to_string());
                }
                let (command, setting) = (*command, self.granted);
                self.engine.handle(clock::both(), Input::Refused { command, setting }, &mut self.rng);
            }
        }
    }

    /// By a temporary file that is renamed.
    pub(super) fn write_drift(&mut self, frequency: f64, skew: f64, log: Log<'_>) {
        let Some(path) = &self.drift_file else { return };
        let text = (self.drift_text)(frequency, skew);
        match file::renew(path, text.as_bytes(), 0o644) {
            Ok(_) => self.drift_failed = false,
            Err(error) if !self.drift_failed => {
                self.drift_failed = true;
                log(Level::Error, &format!("Could not open {}.tmp : {}", path.display(), error.reason()));
            }
            Err(_) => {}
        }
    }
}

/// chronyd's drift file: `%20.6f %20.6f`, ppm.
pub(super) fn chrony_drift(frequency: f64, skew: f64) -> String {
    format!("{frequency:20.6} {skew:20.6}\n")
}

/// Frequency and bound on its error from a drift file, ppm; `None`: not two numbers, or absurd ones.
pub fn parse_drift(text: &str) -> Option<(f64, f64)> {
    let mut words = text.split_ascii_whitespace();
    let frequency: f64 = words.next()?.parse().ok()?;
    let skew: f64 = words.next()?.parse().ok()?;
    let sane = frequency.abs() <= 100_000.0 && skew.is_finite() && skew >= 0.0;
    sane.then_some((frequency, skew))
}
