//! What ntp.conf and the command line mean for the part that follows sources, and how a run ends.

use std::path::{Path, PathBuf};

use super::args::Args;
use super::journal::Journal;
use crate::applets::io::Io;
use crate::applets::{Outcome, RELEASED};
use crate::auth::KeyRing;
use crate::config::model::Config;
use crate::config::ntp_model::Ntp;
use crate::driver::commands::NoHouse;
use crate::driver::daemon::{Asking, Daemon, Ended, Until, kernel_setting};
use crate::driver::leap_source::{LEAPFILE, LeapSource};
use crate::driver::lifecycle::{Fatal, Life, absolute};
use crate::driver::ntpd::{Informant, Saving, Setup as Known, Statistics, names_peers};
use crate::driver::random::KernelRng;
use crate::driver::server::Server;
use crate::engine::association::{Listening, Start};
use crate::engine::daemon::{self as engine, Engine, Setup};
use crate::engine::options::{Kind, Local, Settings, Source};
use crate::engine::timeline::KernelRate;
use crate::sys::clock::{self, ClockControl};
use crate::sys::log::Level;
use crate::sys::signal::Signal;
use crate::types::{KeyId, TimeDelta};

/// Largest step threshold of `-x`, s.
const SLEW_ONLY_BELOW: f64 = 600.0;
/// The kernel never slewed faster for ntpd, ppm.
const SLEW_RATE: f64 = 500.0;
/// The largest frequency that ntpd corrects, ppm.
const FREQUENCY_LIMIT: f64 = 500.0;
/// How far a frequency of ntpd's drift file, which does not say, may be wrong, ppm.
const DRIFT_SKEW: f64 = 10.0;
/// Polls of the local clock until it is trusted beside other sources: its error bound is below 1.5 s then, as in ntpd.
const POLLS_TO_TRUST: i32 = 4;

/// The offset (s) from which on the clock is stepped; `None`: it never is.
fn step_threshold(args: &Args, ntp: &Ntp) -> Option<f64> {
    let step = if args.slew { SLEW_ONLY_BELOW } else { ntp.tinker.step };
    (step > 0.0).then_some(step)
}

/// The settings of the engine.
pub(super) fn settings(args: &Args, config: &Config, ntp: &Ntp, controls: bool) -> Settings {
    let panic = ntp.tinker.panic;
    let small = |value: i32| u8::try_from(value.clamp(0, 16)).unwrap_or(16);
    let waits = |local: Local| match (&ntp.local_clock, config.sources.is_empty()) {
        (Some(clock), false) => Local {
            waitunsynced: 2.0_f64.powi(clock.minpoll.clamp(3, 17)) * f64::from(POLLS_TO_TRUST - 1),
            ..local
        },
        (None, _) => Local { waitunsynced: f64::from(ntp.tos.orphanwait.max(0)), ..local },
        (Some(_), true) => local,
    };
    Settings {
        makestep: if args.step_once { Some((0.0, 1)) } else { step_threshold(args, ntp).map(|s| (s, -1)) },
        maxchange: (panic > 0.0 && controls).then_some((panic, i32::from(args.any_offset), 0)),
        local: config.local.map(waits),
        // the events of ntpd say it
        logchange: f64::INFINITY,
        maxslewrate: SLEW_RATE,
        maxdrift: FREQUENCY_LIMIT,
        maxclockerror: ntp.tinker.dispersion,
        maxdistance: ntp.tos.maxdist,
        minstratum: small(ntp.tos.floor),
        maxstratum: small(ntp.tos.ceiling - 1),
        minsources: u32::try_from(ntp.tos.minsane.max(1)).unwrap_or(1),
        rtcsync: true,
        drift_interval: config.driftfile.as_ref().map_or(3600, |(_, interval)| *interval),
        ..Settings::default()
    }
}

/// Who keeps the files of a run.
pub(super) struct Prepared<'a> {
    pub(super) args: &'a Args,
    pub(super) config: &'a Config,
    pub(super) ntp: &'a Ntp,
    /// Those that are trusted.
    pub(super) keys: KeyRing,
    pub(super) all_keys: KeyRing,
    /// The configuration file and its lines.
    pub(super) startup: (String, Vec<String>),
    /// ppm in ntpd's sign.
    pub(super) drift: Option<f64>,
    pub(super) controls: bool,
}

/// Everything that follows and serves, ready to run.
pub(super) fn daemon(prepared: Prepared<'_>, server: Server) -> Result<Daemon, Fatal> {
    let Prepared { args, config, ntp, keys, all_keys, drift, controls, startup } = prepared;
    let control = controls.then(ClockControl::acquire);
    if let Some(control) = &control {
        control.take_over().map_err(|error| Fatal(error.to_string()))?;
    }
    let setting = kernel_setting().unwrap_or(KernelRate::NOMINAL);
    let frequency = drift.or(ntp.tinker.freq);
    let setup = Setup {
        settings: settings(args, config, ntp, controls),
        controlled: controls,
        setting,
        drift: frequency.map(|ppm| (engine_frequency(ppm), DRIFT_SKEW)),
        precision: clock::precision(),
        serving: server.addresses().collect(),
        released: RELEASED,
        start: if args.quit { Start::AtOnce } else { Start::Daemon },
        keys: keys.clone(),
    };
    let engine = Engine::new(clock::both(), setup);
    let served_precision = engine.precision();
    let mut daemon = Daemon::new(engine, server, control, Asking::default())?;
    daemon.set_drift_text(drift_text);
    if let Some((file, _)) = &config.driftfile {
        // the frequency of a clock that runs at whatever rate it was left with is not that of the machine
        match controls {
            true => daemon.set_drift_file(absolute(file)),
            false => daemon.set_later_drift_file(absolute(file)),
        }
    }
    if let Some(path) = &config.words.leapseclist {
        let unchecked = ntp.leapfile_unchecked;
        daemon.set_leap_source(LeapSource::Leapfile { path: absolute(path), unchecked });
    }
    for (source, _) in &config.sources {
        daemon.add(&asked(args, source));
    }
    broadcasts(daemon.engine_mut(), config, ntp);
    let now = clock::both();
    let directory = ntp.statsdir.as_deref().map_or_else(|| PathBuf::from("/var/NTP"), absolute);
    let known = Known {
        all_keys,
        ntp: ntp.clone(),
        saving: Saving {
            directory: ntp.saveconfigdir.as_deref().map(absolute),
            startup,
            ..Saving::default()
        },
        control_key: ntp.control_key.map(KeyId::new),
        keys,
        local_clock: ntp.local_clock,
        orphan: ntp.tos.orphan.is_some(),
        pools: config
            .sources
            .iter()
            .filter(|(source, _)| source.kind == Kind::Pool)
            .map(|(source, _)| source.clone())
            .collect(),
        broadcasts: config.broadcasts.clone(),
        variables: ntp.variables.clone(),
        broadcast_delay: ntp.broadcast_delay,
        precision: served_precision,
        growth: ntp.tinker.dispersion * 1e-6,
        knows_frequency: frequency.is_some(),
        statistics: ntp.switches.stats.then(|| Statistics::new(directory, &ntp.filegen, now.clock)),
        logs_events: true,
        logs_peers: names_peers(&ntp.logconfig).unwrap_or(false),
    };
    daemon.set_informant(Informant::new(known, now.mono, &mut KernelRng::default()));
    Ok(daemon)
}

/// `broadcast`, and what becomes of the broadcasts of others.
fn broadcasts(engine: &mut Engine, config: &Config, ntp: &Ntp) {
    for broadcast in &config.broadcasts {
        let interval = TimeDelta::from_secs(i64::from(broadcast.interval));
        let key = Some(KeyId::new(broadcast.key)).filter(|_| broadcast.key != 0);
        engine.add_broadcast(clock::both(), broadcast.to, interval, key);
    }
    if ntp.broadcast_client || ntp.switches.bclient {
        let listening = Listening { novolley: ntp.novolley, delay: ntp.broadcast_delay.max(0.0) };
        engine.set_listening(listening, ntp.switches.auth);
    }
}

/// ntpd's drift file holds the correction, our engine the error: the other sign.
fn engine_frequency(ppm: f64) -> f64 {
    0.0 - ppm
}

/// The drift file as ntpd writes it. `frequency` in ppm, > 0: the clock gains.
fn drift_text(frequency: f64, _skew: f64) -> String {
    format!("{:.3}\n", 0.0 - frequency)
}

/// A source as it is asked: in a hurry when the run ends with the first update.
fn asked(args: &Args, source: &Source) -> Source {
    let mut source = source.clone();
    source.flags.iburst |= args.quit;
    source
}

/// Whether a line is one of the informant's, `ADDR STATUS EE TEXT`, and not chronyd's.
fn is_event(text: &str) -> bool {
    let mut words = text.split(' ').skip(1);
    let hex = |word: &str, len: usize| word.len() == len && word.bytes().all(|b| b.is_ascii_hexdigit());
    words.next().is_some_and(|word| hex(word, 4)) && words.next().is_some_and(|word| hex(word, 2))
}

/// Whether a line tells what came from afar: `ADDR config: …`.
fn is_configuration(text: &str) -> bool {
    text.split(' ').nth(1) == Some("config:")
}

/// Runs until it ends, and says how.
pub(super) fn run(
    args: &Args,
    ntp: &Ntp,
    daemon: &mut Daemon,
    life: &Life,
    journal: &mut Journal,
    io: &mut Io,
) -> Result<super::Lived, Fatal> {
    let ended = {
        let mut log = |level: engine::Level, text: &str| {
            // ntpd has words of its own for these
            let told = text.starts_with("System clock was stepped") || text.starts_with("Adjustment of");
            match level {
                engine::Level::Info
                    if is_event(text) || text.starts_with(LEAPFILE) || is_configuration(text) =>
                {
                    journal.line(life, Level::Info, text)
                }
                engine::Level::Info => {}
                _ if told => {}
                engine::Level::Warning => journal.line(life, Level::Warning, text),
                engine::Level::Error => journal.line(life, Level::Error, text),
            }
        };
        let until = Until { deadline: None, first_update: args.quit, hand_over: args.quit };
        daemon.run(until, &mut log, &mut NoHouse)?
    };
    Ok(match ended {
        Ended::Signal(signal) => super::Lived::Ended(signal),
        Ended::Told | Ended::Deadline => super::Lived::Ended(Signal::SIGTERM),
        Ended::GaveUp => {
            if let Some(line) = daemon.panic_line() {
                journal.line(life, Level::Critical, &line);
            }
            super::Lived::Code(Outcome::Code(255))
        }
        Ended::NoSource => {
            writeln!(io.out, "ntpd: no servers found");
            journal.line(life, Level::Error, "no servers found");
            super::Lived::Code(Outcome::FAILURE)
        }
        Ended::Updated => {
            let offset = daemon.engine().tracking(clock::both()).last_offset;
            let steps = args.step_once || step_threshold(args, ntp).is_some_and(|s| offset.abs() > s);
            let word = if steps { "set" } else { "slew" };
            writeln!(io.out, "ntpd: time {word} {offset:+.6}s");
            journal.line(life, Level::Notice, &format!("ntpd: time {word} {offset:+.6} s"));
            super::Lived::Code(Outcome::SUCCESS)
        }
    })
}

/// Where the drift file lies, for its reader.
pub(super) fn drift_path(config: &Config) -> Option<&Path> {
    config.driftfile.as_ref().map(|(path, _)| Path::new(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::chrony_conf::Files;
    use crate::config::ntp_conf;

    struct One(&'static str);

    impl Files for One {
        fn read(&mut self, _: &str) -> Result<Vec<u8>, String> {
            Ok(self.0.as_bytes().to_vec())
        }
    }

    fn meant(conf: &'static str, args: &Args) -> Settings {
        let mut config = ntp_conf::parse_file("/ntp.conf", &mut One(conf)).config;
        let ntp = config.ntp.take().unwrap();
        settings(args, &config, &ntp, true)
    }

    #[test]
    fn options_decide_about_steps_and_panic() {
        let plain = meant("", &Args::default());
        assert_eq!((plain.makestep, plain.maxchange), (Some((0.128, -1)), Some((1000.0, 0, 0))));
        let gx = meant("", &Args { any_offset: true, slew: true, ..Args::default() });
        assert_eq!((gx.makestep, gx.maxchange), (Some((600.0, -1)), Some((1000.0, 1, 0))));
        let never = meant("tinker step 0 panic 0\n", &Args::default());
        assert_eq!((never.makestep, never.maxchange), (None, None));
        assert_eq!(meant("", &Args { step_once: true, ..Args::default() }).makestep, Some((0.0, 1)));
        assert!(plain.rtcsync && (plain.maxslewrate - 500.0).abs() < 1e-9);
    }

    #[test]
    fn the_local_clock_waits_for_better_sources() {
        let alone =
            meant("server 127.127.1.0\nfudge 127.127.1.0 stratum 10\n", &Args::default()).local.unwrap();
        assert_eq!((alone.stratum, alone.waitunsynced), (11, 0.0));
        let beside =
            meant("server 10.0.0.1\nserver 127.127.1.0 minpoll 4\n", &Args::default()).local.unwrap();
        assert_eq!((beside.stratum, beside.waitunsynced), (6, 48.0));
    }

    #[test]
    fn the_drift_file_has_the_other_sign() {
        assert_eq!(drift_text(-12.3456, 1.0), "12.346\n");
        assert_eq!(drift_text(0.0, 1.0), "0.000\n");
        assert!((engine_frequency(3.5) + 3.5).abs() < 1e-12);
    }
}
