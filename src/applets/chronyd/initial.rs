//! `initstepslew`: the clock's error is measured once, before anything else, and stepped or slewed away.
//!
//! Seen on chronyd 4.9: the hosts are asked as with `iburst`; the third sample of a majority decides; without one it gives up
//! after 10 s; above the threshold the clock is stepped, else slewed at once. Only then do the other sources begin, and the
//! parent returns. An engine of its own measures, which touches no clock.

use super::args::{Args, Task};
use super::commands::Reader;
use super::following;
use crate::config::chrony_conf::Files;
use crate::config::model::Config;
use crate::driver::daemon::{Daemon, Ended, Until};
use crate::driver::files::Disk;
use crate::driver::lifecycle::{Fatal, Life};
use crate::driver::server::{Binding, Server};
use crate::engine::association::Start;
use crate::engine::daemon::{Correction, Engine, Level as Importance, Setup};
use crate::engine::options::{Kind, Settings, Source};
use crate::engine::server::Remembering;
use crate::sys::clock;
use crate::sys::dns::deadline_in;
use crate::sys::log::Level;
use crate::types::{MonoTime, TimeDelta};

/// Without a suitable source it gives up after this long.
const PATIENCE: TimeDelta = TimeDelta::from_secs(10);

/// Measures and corrects. Answers how the daemon ends, if it was told to in between. Not inlined: it keeps a second daemon on the
/// stack, which would stay there for as long as the first one runs.
#[inline(never)]
pub(super) fn correct(
    args: &Args,
    config: &Config,
    daemon: &mut Daemon,
    deadline: Option<MonoTime>,
    life: &Life,
) -> Result<Option<Ended>, Fatal> {
    let wanted = config.initstepslew.as_ref().filter(|_| !args.restart && args.task != Task::OneShot);
    let Some((threshold, hosts)) = wanted else { return Ok(None) };
    let mut measuring = measuring(args, config, daemon)?;
    let mut any = false;
    for host in hosts {
        let literal = host.parse().ok();
        match literal.or_else(|| Disk.address(host)) {
            Some(address) => {
                let mut source = Source::new(Kind::Server, &address.to_string());
                source.flags.iburst = true;
                measuring.add(&source);
                any = true;
            }
            None => {
                let line = format!("Could not resolve address of initstepslew server {host}");
                life.line(Level::Warning, &line);
            }
        }
    }
    if !any {
        return Ok(None);
    }
    let patience = deadline_in(PATIENCE);
    let until = Until {
        deadline: Some(deadline.map_or(patience, |deadline| deadline.min(patience))),
        first_update: true,
        hand_over: false,
    };
    // the original says nothing of these sources either
    let mut log = |importance: Importance, text: &str| {
        if importance == Importance::Error {
            life.line(Level::Error, text);
        }
    };
    match measuring.run(until, &mut log, &mut Reader { args, config, life })? {
        Ended::Updated => {
            let off = measuring.engine().timeline().remaining(clock::now());
            let (correction, word) =
                if off.abs() > *threshold { (Correction::Step, "step") } else { (Correction::Slew, "slew") };
            let side = if off < 0.0 { "fast" } else { "slow" };
            let line = format!("System's initial offset : {:.6} seconds {side} of true ({word})", off.abs());
            life.line(Level::Info, &line);
            daemon.correct_at_start(off, correction);
            Ok(None)
        }
        Ended::Deadline if deadline.is_some_and(|deadline| deadline <= clock::mono()) => {
            Ok(Some(Ended::Deadline))
        }
        Ended::Deadline | Ended::NoSource | Ended::GaveUp => {
            life.line(Level::Warning, "No suitable source for initstepslew");
            Ok(None)
        }
        ended @ (Ended::Signal(_) | Ended::Told) => Ok(Some(ended)),
    }
}

/// A daemon that asks, serves nobody, and leaves the clock alone.
fn measuring(args: &Args, config: &Config, daemon: &Daemon) -> Result<Daemon, Fatal> {
    let settings = Settings {
        makestep: None,
        maxchange: None,
        local: None,
        smoothing: None,
        ..following::settings(args, config)
    };
    let setup = Setup {
        settings,
        controlled: false,
        setting: daemon.engine().timeline().setting(),
        drift: None,
        precision: clock::precision(),
        serving: Vec::new(),
        released: crate::applets::RELEASED,
        start: Start::AtOnce,
        keys: daemon.engine().keys().clone(),
    };
    let server = Server::new(Remembering::default(), Binding::default());
    Ok(Daemon::new(Engine::new(clock::both(), setup), server, None, following::asking(config))?)
}
