//! The part of the loop that makes it an ntpd: control messages answered, events logged, a slew handed to the kernel.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::watching::look;
use super::{Daemon, Log};
use crate::auth::{Dialect, KeyRing, unreadable};
use crate::driver::leap_source::LeapSource;
use crate::driver::ntpd::{House, Informant, Message, Wish};
use crate::engine::association::Packet;
use crate::engine::daemon::Level;
use crate::engine::interference::Watch;
use crate::engine::measurement::SourceId;
use crate::engine::restrict::Control;
use crate::engine::timeline::KernelRate;
use crate::sys::clock::ClockControl;
use crate::sys::user::{self, Capability};
use crate::sys::{clock, file, interface};
use crate::types::{TimeDelta, Timestamp};

/// More than this is no key file.
pub const KEY_FILE_LIMIT: usize = 1 << 20;

impl Daemon {
    /// Writes the drift file in another form: frequency (> 0: the clock gains) and bound on its error, ppm.
    pub fn set_drift_text(&mut self, text: fn(f64, f64) -> String) {
        self.drift_text = text;
    }

    /// Keeps this drift file as soon as it is told to set the clock (`enable ntp`).
    pub fn set_later_drift_file(&mut self, path: PathBuf) {
        self.later_drift_file = Some(path);
    }

    /// Answers control messages (mode 6) on the server's sockets.
    pub fn set_informant(&mut self, informant: Informant) {
        self.informant = Some(informant);
    }

    /// What an ntpd's log shows before any other event.
    pub fn first_lines(&self) -> Vec<String> {
        self.informant.as_ref().map_or_else(Vec::new, |informant| informant.first_lines().to_vec())
    }

    /// Why it gave up, in ntpd's words.
    pub fn panic_line(&mut self) -> Option<String> {
        let limit = self.engine.settings().maxchange.map_or(0.0, |(limit, ..)| limit);
        let source = self.engine.selected().and_then(|id| self.engine.source(id))?;
        let offset = source.association.facts().last.map_or(0.0, |packet| packet.offset.get());
        Some(self.informant.as_mut()?.panicked(offset, limit, &self.engine, clock::both()))
    }

    /// The kernel slews what is left (s, > 0: the clock is behind) after the end of this process.
    pub(super) fn hand_over(&mut self, left: f64, log: Log<'_>) {
        let Some(control) = &self.control else { return };
        let delta = TimeDelta::from_secs_f64(left).unwrap_or_default();
        if delta != TimeDelta::ZERO
            && let Err(error) = control.slew(delta)
        {
            log(Level::Error, &error.to_string());
        }
    }

    /// What has happened to the sources is told and logged in ntpd's words, as long as anybody can ask or reads it.
    pub(super) fn watch(&mut self, log: Log<'_>) {
        let asked = self.server.sockets() > 0;
        let Some(informant) = self.informant.as_mut().filter(|i| i.is_heard(asked)) else { return };
        match informant.watch(&self.engine, self.server.gate().map(|gate| &*gate), clock::both()) {
            Ok(lines) => lines.iter().for_each(|line| log(Level::Info, line)),
            Err(error) => log(Level::Error, &error.to_string()),
        }
    }

    /// A reply to a request of ours is one of the packets that ntpq counts and lists.
    pub(super) fn heard(&mut self, source: SourceId, packet: &Packet) {
        let Some(gate) = self.server.gate() else { return };
        let Some(from) = self.engine.source(source).map(|source| source.association.address()) else {
            return;
        };
        let first = packet.header.version.get() << 3 | packet.header.mode.to_bits();
        gate.heard(from, packet.at, first);
    }

    /// Answers a control message, if its sender may ask: whom the access list lets, or who may ask for the time.
    pub(super) fn tell(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        received: Timestamp,
        local: Option<IpAddr>,
    ) {
        let Some(informant) = &mut self.informant else { return };
        let open = self.server.engine().access.find(from.ip().to_canonical()) == Some(true);
        let sockets: Vec<SocketAddr> = self.server.addresses().collect();
        let served = self.server.engine().counters();
        let may = match self.server.gate() {
            Some(gate) => {
                let now = clock::mono();
                if gate.forgets_own(now) {
                    gate.know_own(&interface::addresses(), &sockets, now);
                }
                let may = gate.rights(from);
                gate.control(may.query);
                may
            }
            None => {
                let query = open || from.ip().to_canonical().is_loopback();
                Control { query, modify: false, clients: query }
            }
        };
        let message = Message { bytes, from, received, may };
        let house = House {
            engine: &mut self.engine,
            gate: self.server.gate(),
            sockets,
            served,
            rng: &mut self.rng,
            now: clock::both(),
        };
        let replies = informant.answer(&message, house);
        let keys = informant.take_keys();
        let wishes = informant.take_wishes();
        if let Some(keys) = keys {
            self.use_keys(keys);
        }
        for reply in replies {
            self.server.reply(&reply, from, local);
        }
        wishes.into_iter().for_each(|wish| self.grant(wish));
    }

    /// Does what a line from afar wants of the loop; what fails is said in the log, as in the original.
    fn grant(&mut self, wish: Wish) {
        match wish {
            Wish::Keys(path) => self.renew_keys(&path),
            Wish::Leapfile { path, unchecked } => {
                // said again even if it is the same
                self.leap_lines.clear();
                self.set_leap_source(LeapSource::Leapfile { path, unchecked });
            }
            Wish::Discipline(true, panic) => self.take_clock(panic),
            Wish::Discipline(false, _) => self.leave_clock(),
        }
    }

    /// Keys come from this file from now on; those that cannot be read leave everything as it is.
    fn renew_keys(&mut self, path: &Path) {
        let name = path.display().to_string();
        let bytes = match file::read_bounded(path, KEY_FILE_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) => {
                return self.engine.log(Level::Error, unreadable(Dialect::Ntp, &name, error.reason()));
            }
        };
        let (keys, diagnostics) = KeyRing::parse(&bytes, Dialect::Ntp);
        for diagnostic in &diagnostics {
            self.engine.log(Level::Error, diagnostic.legacy(&name));
        }
        if let Some(informant) = &mut self.informant {
            let trusted = informant.renew_keys(keys);
            self.use_keys(trusted);
        }
    }

    fn use_keys(&mut self, keys: KeyRing) {
        self.server.engine().keys = keys.clone();
        self.engine.set_keys(keys);
    }

    /// The clock is set from now on, if the kernel lets us; an offset above `panic` s ends everything.
    fn take_clock(&mut self, panic: Option<f64>) {
        if !user::has_capability(Capability::SysTime) {
            let text = "CAP_SYS_TIME not present: the clock is not set";
            return self.engine.log(Level::Warning, text.to_owned());
        }
        let control = ClockControl::acquire();
        if let Err(error) = control.take_over() {
            return self.engine.log(Level::Error, error.to_string());
        }
        let setting = kernel_setting().unwrap_or(self.granted);
        (self.control, self.granted, self.refused) = (Some(control), setting, false);
        self.drift_file = self.later_drift_file.take().or(self.drift_file.take());
        self.watch = look().map(Watch::new);
        self.engine.take_clock(clock::both(), setting);
        self.engine.set_max_change(panic.map(|panic| (panic, 0, 0)));
        self.set_clock();
    }

    /// The clock is left alone: what was being slewed ends, and its rate stays that of the estimate.
    fn leave_clock(&mut self) {
        self.engine.set_max_change(None);
        self.engine.leave_clock(clock::both());
        self.set_clock();
        self.control = None;
    }
}

/// What the kernel's clock is set to now, as far as it is within reason.
pub fn kernel_setting() -> Option<KernelRate> {
    let kernel = clock::kernel().ok()?;
    let tick = kernel.tick_us;
    let tick = (tick - 10_000).checked_abs().filter(|apart| *apart <= 1000).map(|_| tick)?;
    let nominal = KernelRate { tick: i32::try_from(tick).ok()?, freq: 0 }.rate();
    Some(KernelRate::nearest(nominal + kernel.correction_ppm * 1e-6))
}
