//! What the configuration means for the part that follows sources, and how a run ends.

use std::path::Path;

use super::args::{Args, Task};
use super::commands::Reader;
use super::{hardware, serving};
use crate::applets::{Outcome, RELEASED};
use crate::auth::KeyRing;
use crate::config::diagnostic::Place;
use crate::config::model::Config;
use crate::driver::clocks::{self, Device};
use crate::driver::daemon::{Asking, Daemon, Ended, Until, kernel_setting, parse_drift};
use crate::driver::leap_source::LeapSource;
use crate::driver::lifecycle::{Fatal, Life, absolute};
use crate::driver::ntpd::{Informant, Setup as Told};
use crate::driver::random::KernelRng;
use crate::driver::server::Server;
use crate::driver::statlog::{Kind, StatLog};
use crate::engine::association::Start;
use crate::engine::daemon::{self as engine, Engine, Setup};
use crate::engine::options::{Settings, Source};
use crate::engine::tempcomp::TempComp;
use crate::engine::timeline::KernelRate;
use crate::sys::clock::{self, ClockControl};
use crate::sys::file;
use crate::sys::log::Level;
use crate::types::{MonoTime, TimeDelta};

/// A drift file is two numbers.
const DRIFT_LIMIT: usize = 1024;
/// A file of points is shorter.
const POINTS_LIMIT: usize = 1 << 16;
/// With `-q` the whole offset is slewed as fast as `maxslewrate` allows.
const AT_ONCE: f64 = 1e-3;

/// The directives that the engine knows.
pub(super) fn settings(args: &Args, config: &Config) -> Settings {
    let whole = |value: i32| u32::try_from(value).unwrap_or(0);
    let small = |value: i32| u8::try_from(value.clamp(0, 255)).unwrap_or(0);
    let r = &config.reals;
    let i = &config.integers;
    let makestep = config
        .makestep
        .map(|(threshold, limit)| (threshold, if args.restart && limit > 0 { 0 } else { limit }));
    let once = args.task == Task::OneShot;
    Settings {
        makestep,
        maxchange: config.maxchange,
        fallbackdrift: config.fallbackdrift,
        local: config.local,
        authselectmode: config.authselectmode,
        leapsecmode: config.leapsecmode,
        // -q says it in its own words
        logchange: if once { f64::INFINITY } else { r.logchange },
        corrtimeratio: if once { AT_ONCE } else { r.corrtimeratio },
        maxslewrate: r.maxslewrate,
        maxdrift: r.maxdrift,
        maxupdateskew: r.maxupdateskew,
        maxclockerror: r.maxclockerror,
        maxdistance: r.maxdistance,
        maxjitter: r.maxjitter,
        minstratum: small(i.minstratum),
        maxstratum: small(i.maxstratum),
        reselectdist: r.reselectdist,
        stratumweight: r.stratumweight,
        combinelimit: r.combinelimit,
        minsources: whole(i.minsources),
        minsamples: whole(i.minsamples),
        maxsamples: whole(i.maxsamples),
        rtcsync: config.flags.rtcsync,
        tempcomp: None,
        smoothing: config.smoothtime,
        refresh: whole(i.refresh),
        drift_interval: config.driftfile.as_ref().map_or(3600, |(_, interval)| *interval),
    }
}

/// The source as it is asked: with the global numbers of samples, and in a hurry when the run is a single one.
pub(super) fn source(args: &Args, config: &Config, source: &Source) -> Source {
    let whole = |value: i32| u32::try_from(value).unwrap_or(0);
    let mut source = source.clone();
    source.minsamples = source.minsamples.or(Some(whole(config.integers.minsamples)));
    source.maxsamples =
        source.maxsamples.or(Some(whole(config.integers.maxsamples))).filter(|most| *most > 0);
    source.flags.iburst |= args.task == Task::OneShot;
    source
}

/// Everything that follows and serves, ready to run.
pub(super) fn daemon(
    args: &Args,
    config: &Config,
    server: Server,
    keys: KeyRing,
    controls: bool,
    life: &Life,
) -> Result<Daemon, Fatal> {
    let control = controls.then(ClockControl::acquire);
    if let Some(control) = &control {
        control.take_over().map_err(|error| Fatal(error.to_string()))?;
    }
    let setting = kernel_setting().unwrap_or(KernelRate::NOMINAL);
    let hardware = hardware::open(args, config, control.as_ref(), life)?;
    let drift_file = config.driftfile.as_ref().map(|(path, _)| path.as_str());
    let read = drift_file.and_then(read_drift);
    let drift = read.flatten();
    if drift.is_none() && controls {
        life.line(Level::Info, &format!("Initial frequency {:.3} ppm", -setting.rate() * 1e6));
    }
    let knows_frequency = drift.is_some();
    let clockprecision = config.reals.clockprecision;
    let setup = Setup {
        settings: Settings { tempcomp: temperature_model(config)?, ..settings(args, config) },
        controlled: controls,
        setting,
        drift,
        precision: if clockprecision > 0.0 { clockprecision } else { clock::precision() },
        serving: server.addresses().collect(),
        released: RELEASED,
        start: if args.task == Task::OneShot { Start::AtOnce } else { Start::Daemon },
        keys,
    };
    let mut engine = Engine::new(clock::both(), setup);
    engine.manual_mut().enable(config.flags.manual);
    let served_precision = engine.precision();
    let mut daemon = Daemon::new(engine, server, control, asking(config))?;
    let told = Told {
        precision: served_precision,
        growth: config.reals.maxclockerror * 1e-6,
        knows_frequency,
        ..Told::default()
    };
    daemon.set_informant(Informant::new(told, clock::mono(), &mut KernelRng::default()));
    // a single question leaves no traces
    let keeps = controls || args.task != Task::OneShot;
    if let Some((file, _)) = config.driftfile.as_ref().filter(|_| keeps) {
        daemon.set_drift_file(absolute(file));
    }
    if let Some(directory) = &config.words.logdir {
        let kinds: Vec<Kind> = config.logs.iter().filter_map(|word| Kind::from_word(word)).collect();
        let banner = u32::try_from(config.integers.logbanner).unwrap_or(32);
        if !kinds.is_empty() {
            daemon.set_logs(StatLog::new(&absolute(directory), kinds, banner));
        }
    }
    for broadcast in &config.broadcasts {
        let interval = TimeDelta::from_secs(i64::from(broadcast.interval));
        daemon.engine_mut().add_broadcast(clock::both(), broadcast.to, interval, None);
    }
    refclocks(config, &mut daemon)?;
    if let Some(hardware) = hardware {
        hardware.join(&mut daemon, controls);
    }
    for (configured, place) in &config.sources {
        let source = source(args, config, configured);
        if is_filed(config, place) { daemon.add_filed(&source) } else { daemon.add(&source) }
    }
    if let Some([sensor, interval, ..]) = config.tempcomp.as_deref() {
        let interval = interval.parse().ok().and_then(TimeDelta::from_secs_f64).unwrap_or_default();
        daemon.set_sensor(absolute(sensor), interval);
    }
    let words = &config.words;
    let list = words.leapseclist.as_deref().map(|path| LeapSource::List(absolute(path)));
    if let Some(source) = list.or_else(|| words.leapsectz.clone().map(LeapSource::Zone)) {
        daemon.set_leap_source(source);
    }
    // as in the original, said last, with the rights that the daemon keeps
    if let (Some(read), Some(file)) = (read, drift_file) {
        let (level, line) = match read {
            Some((frequency, skew)) => {
                let line = format!("Frequency {frequency:.3} +/- {skew:.3} ppm read from {file}");
                (engine::Level::Info, line)
            }
            None => {
                let line = format!("Could not read valid frequency and skew from driftfile {file}");
                (engine::Level::Warning, line)
            }
        };
        daemon.engine_mut().log(level, line);
    }
    if let Some(directory) = words.dumpdir.as_deref().filter(|_| args.task != Task::OneShot) {
        daemon.set_dumps(absolute(directory), args.reload);
    }
    Ok(daemon)
}

/// How servers are asked.
pub(super) fn asking(config: &Config) -> Asking {
    Asking {
        addresses: (config.bindacqaddress.v4, config.bindacqaddress.v6),
        device: config.words.bindacqdevice.clone(),
        port: u16::try_from(config.integers.acquisitionport).ok(),
        server_port: u16::try_from(config.integers.port).unwrap_or(0),
        dscp: serving::binding(config).dscp,
    }
}

/// What `tempcomp` says of the oscillator.
fn temperature_model(config: &Config) -> Result<Option<TempComp>, Fatal> {
    let number = |word: &String| word.parse::<f64>().unwrap_or(0.0);
    match config.tempcomp.as_deref() {
        Some([_, _, t0, k0, k1, k2]) => {
            Ok(Some(TempComp::Quadratic { t0: number(t0), k: [number(k0), number(k1), number(k2)] }))
        }
        Some([_, _, points]) => {
            let bytes = file::read_bounded(Path::new(points), POINTS_LIMIT)
                .map_err(|error| Fatal(format!("Could not open {points} : {}", error.reason())))?;
            let model = TempComp::parse_points(&String::from_utf8_lossy(&bytes));
            model.map(Some).ok_or_else(|| Fatal(format!("Could not read tempcomp points from {points}")))
        }
        _ => Ok(None),
    }
}

/// Opens the reference clocks.
fn refclocks(config: &Config, daemon: &mut Daemon) -> Result<(), Fatal> {
    for (number, (clock, _)) in config.refclocks.iter().enumerate() {
        match Device::open(&clock.driver, &clock.parameter) {
            Ok(Some(device)) => {
                daemon.add_clock(device, clocks::options(&clock.driver, number, &clock.options));
            }
            // the configuration's reader has warned of those that this build has not
            Ok(None) if matches!(clock.driver.as_str(), "PHC" | "RTC") => {}
            Ok(None) => return Err(Fatal(format!("unknown refclock driver {}", clock.driver))),
            Err(_) if clock.is_optional() => {}
            Err(_) => {
                let line = format!("Could not initialise refclock {} {}", clock.driver, clock.parameter);
                return Err(Fatal(line));
            }
        }
    }
    Ok(())
}

/// What the drift file says, frequency and skew in ppm: `None` when there is none to read, `Some(None)` when it says nothing.
fn read_drift(path: &str) -> Option<Option<(f64, f64)>> {
    let bytes = file::read_bounded(Path::new(path), DRIFT_LIMIT).ok()?;
    Some(parse_drift(&String::from_utf8_lossy(&bytes)))
}

/// Whether that place is a file of a `sourcedir`.
fn is_filed(config: &Config, place: &Place) -> bool {
    let folder = place.file.as_deref().and_then(|file| file.rsplit_once('/')).map(|(folder, _)| folder);
    config.sourcedirs.iter().any(|d| Some(d.trim_end_matches('/')) == folder)
}

/// Runs until it ends, unless it has `ended` already, and says how.
pub(super) fn run(
    args: &Args,
    config: &Config,
    daemon: &mut Daemon,
    deadline: Option<MonoTime>,
    ended: Option<Ended>,
    life: &Life,
) -> Result<Outcome, Fatal> {
    let once = args.task == Task::OneShot;
    let mut log = |level: engine::Level, text: &str| {
        let level = match level {
            engine::Level::Info => Level::Info,
            engine::Level::Warning => Level::Warning,
            engine::Level::Error => Level::Error,
        };
        // -q says in one line what was done
        if !(once && (text.starts_with("System clock was stepped") || text.starts_with("Selected source"))) {
            life.line(level, text);
        }
    };
    let mut reader = Reader { args, config, life };
    let sources = config.sources.iter().filter(|(_, place)| is_filed(config, place));
    daemon.set_filed(sources.map(|(source, _)| source.clone()).collect());
    let ended = match ended {
        Some(ended) => ended,
        None => {
            daemon.run(Until { deadline, first_update: once, hand_over: false }, &mut log, &mut reader)?
        }
    };
    Ok(match ended {
        Ended::Signal(_) | Ended::Told => Outcome::SUCCESS,
        Ended::GaveUp => Outcome::FAILURE,
        Ended::Deadline => {
            life.line(Level::Info, "Timeout reached");
            let tracking = daemon.engine().tracking(clock::both());
            if tracking.stratum > 0 { Outcome::SUCCESS } else { Outcome::FAILURE }
        }
        Ended::NoSource => {
            life.line(Level::Warning, "No suitable source for synchronisation");
            Outcome::FAILURE
        }
        Ended::Updated => {
            let tracking = daemon.engine().tracking(clock::both());
            let what = match daemon.stepped() {
                _ if !args.sets_clock => "ignored",
                true => "step",
                false => "slew",
            };
            let line = format!("System clock wrong by {:.6} seconds ({what})", tracking.last_offset);
            life.line(Level::Warning, &line);
            Outcome::SUCCESS
        }
    })
}
