//! What `chronyc` may ask and tell: [`control::cmdmon::Daemon`](crate::control::cmdmon::Daemon) over the engine and the server.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};

use super::daemon::Log;
use super::facts;
use super::random::KernelRng;
use super::rtc_keeper::RtcKeeper;
use super::server::Server;
use super::statlog::StatLog;
use crate::auth::KeyRing;
use crate::control::cmdmon::{
    AccessChange, ActivityFacts, AuthenticationFacts, ClientsPage, ClientsWanted, Command, Daemon,
    ExchangeFacts, ManualFacts, Parameter, RtcFacts, SelectionFacts, Selector, ServerCounters, SettimeFacts,
    SmoothingFacts, SourceAddress, SourceFacts, SourceName, StatisticsFacts, Switch, TrackingFacts,
};
use crate::engine::access::Table;
use crate::engine::association::Change;
use crate::engine::clients::Verdict;
use crate::engine::daemon::{Engine, Level, Listed};
use crate::engine::manual::Refused;
use crate::engine::measurement::SourceId;
use crate::engine::options::Source;
use crate::engine::selection::Options;
use crate::sys::clock;
use crate::sys::net::{Family, UdpOptions, UdpSocket};
use crate::types::{Now, Timestamp};
use crate::wire::cmdmon::Status;

/// Sources that can be followed at once.
const MOST_SOURCES: usize = 4096;

/// What only who has read the configuration can do.
pub trait House {
    /// The addresses to serve on by these rules.
    fn addresses(&self, access: &Table<bool>) -> Vec<SocketAddr>;
    /// The keys of the key file as it is now; the log says how it was read.
    fn keys(&mut self) -> KeyRing;
    /// The sources of the `sourcedir` folders as they are now.
    fn sources(&mut self) -> Vec<Source>;
    /// A source with the directives for all sources applied.
    fn completed(&self, source: Source) -> Source;
}

/// Nobody to ask: a run without command sockets.
pub struct NoHouse;

impl House for NoHouse {
    fn addresses(&self, _: &Table<bool>) -> Vec<SocketAddr> {
        Vec::new()
    }

    fn keys(&mut self) -> KeyRing {
        KeyRing::default()
    }

    fn sources(&mut self) -> Vec<Source> {
        Vec::new()
    }

    fn completed(&self, source: Source) -> Source {
        source
    }
}

/// All that a command can reach, for the time of one round.
pub(super) struct Desk<'a> {
    pub(super) engine: &'a mut Engine,
    pub(super) server: &'a mut Server,
    pub(super) rng: &'a mut KernelRng,
    pub(super) logs: Option<&'a mut StatLog>,
    pub(super) rtc: Option<&'a mut RtcKeeper>,
    pub(super) house: &'a mut dyn House,
    pub(super) log: Log<'a>,
    /// The sources of the `sourcedir` folders.
    pub(super) filed: &'a mut Vec<Source>,
    /// `shutdown` was asked for.
    pub(super) told: &'a mut bool,
    /// `dump` was asked for.
    pub(super) dump: &'a mut bool,
    /// Something was asked for that is more than a report.
    pub(super) changed: &'a mut bool,
    pub(super) now: Now,
    /// The place in the list of sources that was looked up last.
    pub(super) place: Cell<Option<(u32, SourceId)>>,
}

impl Desk<'_> {
    fn at(&self, index: u32) -> Option<Listed<'_>> {
        // lists are asked for row by row: the next one is found from the last one
        let steps = |from: u32| usize::try_from(index - from).ok();
        let found = match self.place.get() {
            Some((at, id)) if at <= index => self.engine.listed_from(id).nth(steps(at)?)?,
            _ => self.engine.listed().nth(steps(0)?)?,
        };
        self.place.set(Some((index, found.id())));
        Some(found)
    }

    fn find(&self, wanted: SourceAddress) -> Option<Listed<'_>> {
        self.engine.listed().find(|listed| facts::address_of(listed) == Some(wanted))
    }

    fn known(&self, wanted: SourceAddress) -> Result<SourceId, Status> {
        self.find(wanted).map(|listed| listed.id()).ok_or(Status::NO_SUCH_SOURCE)
    }

    fn named(&self, name: SourceName) -> Result<SourceId, Status> {
        match name {
            SourceName::Ntp(address) => self.known(address),
            SourceName::Refclock(_) => {
                let found = self.engine.listed().find(|listed| facts::name_of(listed) == name);
                found.map(|listed| listed.id()).ok_or(Status::NO_SUCH_SOURCE)
            }
        }
    }

    fn selected(&self, selector: Selector) -> Result<Vec<SourceId>, Status> {
        let meant = |listed: &Listed<'_>| facts::address_of(listed).is_some_and(|a| selector.matches(a));
        let matching = self.engine.listed().filter(meant);
        let ids: Vec<SourceId> = matching.map(|listed| listed.id()).collect();
        if ids.is_empty() { Err(Status::NO_SUCH_SOURCE) } else { Ok(ids) }
    }

    fn online(&mut self, selector: Selector, online: bool) -> Result<(), Status> {
        for id in self.selected(selector)? {
            self.engine.set_online(self.now, id, online, self.rng);
        }
        if online {
            self.engine.retry_names(self.now);
        }
        Ok(())
    }

    /// Each source is asked exactly if there is a route to it.
    fn online_by_routes(&mut self) {
        let reachable = |to: SocketAddr| {
            UdpSocket::open(&UdpOptions::client(Family::of(to.ip())))
                .and_then(|socket| socket.connect(to))
                .is_ok()
        };
        let sources: Vec<_> =
            self.engine.sources().map(|(id, source)| (id, source.association.address())).collect();
        for (id, to) in sources {
            self.engine.set_online(self.now, id, reachable(to), self.rng);
        }
        self.engine.retry_names(self.now);
    }

    fn modify(&mut self, address: SourceAddress, parameter: Parameter) -> Result<(), Status> {
        let id = self.known(address)?;
        let whole = |value: i32| u32::try_from(value).unwrap_or(0);
        let change = match parameter {
            Parameter::Minpoll(value) => Change::MinPoll(value),
            Parameter::Maxpoll(value) => Change::MaxPoll(value),
            Parameter::Maxdelay(value) => Change::MaxDelay(value),
            Parameter::Maxdelayratio(value) => Change::MaxDelayRatio(value),
            Parameter::Maxdelaydevratio(value) => Change::MaxDelayDevRatio(value),
            Parameter::Minstratum(value) => Change::MinStratum(whole(value)),
            Parameter::Polltarget(value) => Change::PollTarget(whole(value)),
        };
        self.engine.change(self.now, id, change, self.rng);
        Ok(())
    }

    fn select_options(&mut self, name: SourceName, mask: Options, values: Options) -> Result<(), Status> {
        let id = self.named(name)?;
        self.engine.select_options(id, mask, values);
        let who = match name {
            SourceName::Ntp(SourceAddress::Ip(address)) => address.to_string(),
            SourceName::Ntp(SourceAddress::Unresolved(id)) => format!("ID#{id:010}"),
            SourceName::Refclock(refid) => refid.as_ascii().unwrap_or_default(),
        };
        (self.log)(Level::Info, &format!("Source {who} selection options modified"));
        Ok(())
    }

    fn add(&mut self, source: Source) -> Result<(), Status> {
        if self.engine.count() >= MOST_SOURCES {
            return Err(Status::TOO_MANY_SOURCES);
        }
        let source = self.house.completed(source);
        if let Some(complaint) = self.engine.keys().complaint(source.key) {
            (self.log)(Level::Warning, &complaint);
        }
        match source.name.parse::<IpAddr>() {
            Ok(ip) => {
                let to = SocketAddr::new(ip, source.port);
                let added = self.engine.add_new_address(self.now, to, &source, self.rng);
                added.map(drop).ok_or(Status::SOURCE_KNOWN)
            }
            Err(_) => {
                self.engine.add_new_name(self.now, &source);
                Ok(())
            }
        }
    }

    /// What is no longer in the files goes, what is new comes, everything else stays as it is.
    fn reload_sources(&mut self) {
        let now = self.house.sources();
        let before = std::mem::take(self.filed);
        for gone in before.iter().filter(|source| !now.contains(source)) {
            self.engine.remove_configured(self.now, gone, self.rng);
        }
        for new in now.iter().filter(|source| !before.contains(source)) {
            if let Err(status) = self.add(new.clone()) {
                let why = if status == Status::SOURCE_KNOWN { "Already in use" } else { "Too many sources" };
                self.engine.log(Level::Warning, format!("Could not add source {} : {why}", new.name));
            }
        }
        *self.filed = now;
    }

    fn change_access(&mut self, change: &AccessChange) {
        let access = &mut self.server.engine().access;
        for network in change.networks() {
            if change.all {
                access.set_all(network, change.allow);
            } else {
                access.set(network, change.allow);
            }
        }
        let addresses = self.house.addresses(self.server.access());
        if let Err(error) = self.server.listen(&addresses) {
            let text = format!("Could not open NTP socket on {} : {}", error.object, error.reason());
            (self.log)(Level::Error, &text);
        }
    }

    fn rekey(&mut self) {
        let keys = self.house.keys();
        self.server.engine().keys = keys.clone();
        self.engine.set_keys(keys);
    }
}

impl Daemon for Desk<'_> {
    fn log(&mut self, line: &str) {
        (self.log)(Level::Info, line);
    }

    fn charge(&mut self, from: IpAddr) -> bool {
        self.server.command(Some(from)) == Verdict::Serve
    }

    fn sources(&self) -> u32 {
        u32::try_from(self.engine.count()).unwrap_or(u32::MAX)
    }

    fn source(&self, index: u32) -> Option<SourceFacts> {
        Some(facts::source(self.engine, self.now, &self.at(index)?))
    }

    fn statistics(&self, index: u32) -> Option<StatisticsFacts> {
        Some(facts::statistics(self.engine, self.now, &self.at(index)?))
    }

    fn selection(&self, index: u32) -> Option<SelectionFacts> {
        Some(facts::selection(self.engine, &self.at(index)?))
    }

    fn exchange(&self, source: SourceAddress) -> Option<ExchangeFacts> {
        match self.find(source)? {
            Listed::Known(_, source) => Some(facts::exchange(source)),
            Listed::Clock(..) | Listed::Unresolved(..) => None,
        }
    }

    fn authentication(&self, source: SourceAddress) -> Option<AuthenticationFacts> {
        Some(facts::authentication(self.engine.keys(), &self.find(source)?))
    }

    fn name(&self, source: SourceAddress) -> Option<String> {
        Some(facts::configured_name(&self.find(source)?)?.to_owned())
    }

    fn tracking(&mut self) -> TrackingFacts {
        facts::tracking(self.engine, clock::both())
    }

    fn activity(&self) -> ActivityFacts {
        facts::activity(self.engine)
    }

    fn server(&self) -> ServerCounters {
        facts::server(&self.server.statistics())
    }

    fn clients(&mut self, wanted: ClientsWanted) -> Option<ClientsPage> {
        Some(facts::clients(self.server.engine().clients()?, wanted, self.now.mono))
    }

    fn may_ask(&self, address: IpAddr) -> bool {
        self.server.access().find(address) == Some(true)
    }

    fn rtc(&self) -> Option<RtcFacts> {
        self.rtc.as_ref().map(|rtc| rtc.facts())
    }

    fn smoothing(&self) -> Option<SmoothingFacts> {
        let facts = self.engine.smoothing(clock::both())?;
        Some(SmoothingFacts {
            active: facts.active,
            leap_only: facts.leap_only,
            ahead: facts.point.offset,
            frequency: facts.point.rate,
            wander: facts.point.wander,
            last_ago: facts.last_ago,
            remaining: facts.point.remaining,
        })
    }

    fn manual(&self) -> Vec<ManualFacts> {
        let shown = self.engine.manual().shown(self.engine.timeline().line());
        shown
            .map(|s| ManualFacts { at: s.at, adjusted: s.adjusted, typed: s.original, residual: s.residual })
            .collect()
    }

    fn settime(&mut self, time: Timestamp) -> Result<SettimeFacts, Status> {
        *self.changed = true;
        let done = self.engine.set_time(clock::both(), time).map_err(|refused| match refused {
            Refused::Off => Status::NOT_ENABLED,
            Refused::Senseless => Status::FAILED,
        })?;
        Ok(SettimeFacts {
            offset: done.offset,
            frequency_change: done.frequency_change,
            frequency: done.frequency,
        })
    }

    fn command(&mut self, command: &Command) -> Result<(), Status> {
        *self.changed = true;
        self.place.set(None);
        let (now, engine) = (self.now, &mut *self.engine);
        match command {
            Command::Online(selector) => return self.online(*selector, true),
            Command::Offline(selector) => return self.online(*selector, false),
            Command::Onoffline => self.online_by_routes(),
            Command::Burst(selector, good, total) => {
                let whole = |value: i32| u32::try_from(value).unwrap_or(0);
                for id in self.selected(*selector)? {
                    self.engine.burst(now, id, whole(*good), whole(*total), self.rng);
                }
            }
            Command::Modify(address, parameter) => return self.modify(*address, *parameter),
            Command::SelectOptions(name, mask, values) => {
                return self.select_options(*name, *mask, *values);
            }
            Command::Offset(name, offset) => {
                let id = self.named(*name)?;
                self.engine.change(now, id, Change::Offset(*offset), self.rng);
            }
            Command::Add(source) => return self.add(source.as_ref().clone()),
            Command::Delete(address) => {
                let id = self.known(*address)?;
                self.engine.remove(now, id, self.rng);
            }
            Command::Refresh => engine.refresh_names(now),
            Command::ResetSources => engine.reset_sources(now, self.rng),
            Command::ReloadSources => self.reload_sources(),
            Command::Reselect => engine.reselect(now, self.rng),
            Command::ReselectDistance(distance) => engine.set_reselect_distance(*distance),
            Command::Makestep => {
                if !engine.make_step(now) {
                    (self.log)(Level::Warning, "Could not step system clock");
                    return Err(Status::FAILED);
                }
            }
            Command::MakestepLimits(threshold, limit) => engine.set_makestep(*threshold, *limit),
            Command::Maxupdateskew(ppm) => engine.set_max_update_skew(*ppm),
            Command::AddFrequency(rate) => engine.adjust_by_hand(now, 0.0, *rate),
            Command::AddOffset(offset) => engine.adjust_by_hand(now, *offset, 0.0),
            Command::Local(local) => engine.set_local(*local),
            Command::Access(change) => self.change_access(change),
            Command::Rekey => self.rekey(),
            Command::CycleLogs => {
                if let Some(logs) = &mut self.logs {
                    logs.cycle();
                }
            }
            Command::Shutdown => *self.told = true,
            Command::Dump => *self.dump = true,
            Command::Manual(Switch::On) => engine.manual_mut().enable(true),
            Command::Manual(Switch::Off) => engine.manual_mut().enable(false),
            Command::Manual(Switch::Reset) => engine.manual_mut().reset(),
            Command::ManualDelete(index) => {
                let there = usize::try_from(*index).is_ok_and(|index| engine.manual_mut().delete(index));
                return if there { Ok(()) } else { Err(Status::BAD_SAMPLE) };
            }
            Command::Smoothtime(Switch::Reset) if engine.reset_smoothing(now) => {}
            Command::Smoothtime(Switch::On) if engine.activate_smoothing(now) => {}
            Command::Smoothtime(_) => return Err(Status::NOT_ENABLED),
            Command::WriteRtc => {
                let rtc = self.rtc.as_mut().ok_or(Status::NO_RTC)?;
                if !rtc.save(self.engine.timeline(), self.log) {
                    return Err(Status::BAD_RTC_FILE);
                }
            }
            Command::TrimRtc => {
                let rtc = self.rtc.as_mut().ok_or(Status::NO_RTC)?;
                rtc.trim(self.engine.timeline(), self.log);
            }
        }
        Ok(())
    }
}
