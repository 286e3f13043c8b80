//! Answers `chronyc` of every generation since 2.2 (spec chronyc.md, parts 1 and 3): who may ask what over which transport,
//! which status an impossible request gets, how long a reply may be.
//!
//! One datagram in, at most one out, never a longer one. Authority is the transport's: the Unix socket may do everything, UDP
//! reads what `opencommands` opens. Requests of the host's own addresses are never dropped for their rate.

mod command;
mod facts;
mod reply;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use command::{AccessChange, Command, Parameter, Selector, Switch};
pub use facts::{
    ActivityFacts, AuthenticationFacts, ClientFacts, ClientsPage, ClientsWanted, Daemon, ExchangeCounters,
    ExchangeFacts, LatestSample, ManualFacts, ResponseFacts, RtcFacts, SelectionFacts, ServerCounters,
    ServiceFacts, SettimeFacts, SmoothingFacts, SourceAddress, SourceFacts, SourceName, SourceRole,
    StampOrigin, StatisticsFacts, TrackingFacts,
};

use crate::engine::access::Table;
use crate::types::Timestamp;
use crate::wire::cmdmon::{
    Name, Refusal, Reply, Request, RequestPacket, Status, Timespec, is_request, parse_request,
};
use command::{command_access, source_address};
use reply::CommandCounters;

/// Clients that one reply holds.
const CLIENTS: u32 = 8;

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// The Unix socket: whoever can reach its folder.
    Unix,
    /// UDP from this address.
    Udp(IpAddr),
}

impl Transport {
    /// Whether it is exactly 127.0.0.1 or ::1; the rest of 127/8 is not (as measured).
    fn is_localhost(self) -> bool {
        match self {
            Self::Unix => false,
            Self::Udp(IpAddr::V4(address)) => address == std::net::Ipv4Addr::LOCALHOST,
            Self::Udp(IpAddr::V6(address)) => address == std::net::Ipv6Addr::LOCALHOST,
        }
    }
}

/// `opencommands`: word → codes. `authdata` and `ntpdata` need the list of sources with their addresses, which the original
/// leaves out; so do clients of 2.3 … 3.5 with their older request for `clients`.
const OPEN_WORDS: &[(&str, &[u16])] = &[
    ("activity", &[44]),
    ("authdata", &[14, 15, 67]),
    ("clients", &[55, 68]),
    ("manual", &[41]),
    ("ntpdata", &[14, 15, 57]),
    ("rtcdata", &[35]),
    ("selectdata", &[14, 69]),
    ("serverstats", &[54]),
    ("smoothing", &[51]),
    ("sourcename", &[65]),
    ("sources", &[14, 15]),
    ("sourcestats", &[14, 34]),
    ("tracking", &[33]),
];

/// What is open without `opencommands`.
const OPEN_BY_DEFAULT: &[&str] =
    &["activity", "manual", "rtcdata", "smoothing", "sourcename", "sources", "sourcestats", "tracking"];

/// What UDP clients may ask for: a bit for each code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenCommands(u128);

impl Default for OpenCommands {
    fn default() -> Self {
        Self::from_words(OPEN_BY_DEFAULT)
    }
}

impl OpenCommands {
    /// From the words of `opencommands`, in any case; none: nothing is open. Unknown words open nothing.
    pub fn from_words<S: AsRef<str>>(words: &[S]) -> Self {
        let known = |word: &S| OPEN_WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.as_ref()));
        let codes = words.iter().filter_map(known).flat_map(|(_, codes)| codes.iter());
        Self(codes.fold(0, |bits, code| bits | 1 << code))
    }

    fn contains(self, code: u16) -> bool {
        code < 128 && self.0 >> code & 1 == 1
    }
}

/// Answers requests and keeps what only concerns them: who may ask, what is open, how many came.
#[derive(Debug, Default)]
pub struct Answerer {
    access: Table<bool>,
    open: OpenCommands,
    counters: CommandCounters,
}

impl Answerer {
    /// With the rules of `cmdallow` and `cmddeny`, and what is open.
    pub fn new(access: Table<bool>, open: OpenCommands) -> Self {
        Self { access, open, counters: CommandCounters::default() }
    }

    /// The reply to a request, or silence.
    pub fn answer(&mut self, request: &[u8], from: Transport, daemon: &mut dyn Daemon) -> Option<Vec<u8>> {
        let localhost = from.is_localhost();
        if let Transport::Udp(address) = from
            && !localhost
            && !self.may_command(address)
        {
            return None;
        }
        if !is_request(request) {
            return None;
        }
        self.counters.hits = self.counters.hits.saturating_add(1);
        if let Transport::Udp(address) = from
            && !daemon.charge(address)
            && !localhost
        {
            self.counters.drops = self.counters.drops.saturating_add(1);
            return None;
        }
        let reply = match parse_request(request) {
            Ok(packet) => {
                let code = packet.request.code();
                let (status, reply) = match self.serve(&packet, from, daemon) {
                    Ok((status, reply)) => (status, reply),
                    Err(status) => (status, Reply::Null),
                };
                reply.encode(code, packet.sequence, status)
            }
            Err(Refusal::Answer { command, sequence, status }) => {
                Reply::Null.encode(command, sequence, status)
            }
            Err(Refusal::Silence) => return None,
        };
        // nobody is sent more than he spent
        (reply.len() <= request.len()).then_some(reply)
    }

    fn serve(
        &mut self,
        packet: &RequestPacket,
        from: Transport,
        daemon: &mut dyn Daemon,
    ) -> Result<(Status, Reply), Status> {
        let request = &packet.request;
        if from != Transport::Unix && !self.open.contains(request.code()) {
            return Err(Status::UNAUTHORISED);
        }
        if let Some(reply) = self.report(request, packet.length, daemon)? {
            return Ok((Status::SUCCESS, reply));
        }
        let verdict = |allowed| if allowed { Status::ACCESS_ALLOWED } else { Status::ACCESS_DENIED };
        match request {
            Request::Accheck(ip) => Ok(verdict(ip.addr().is_some_and(|address| daemon.may_ask(address)))),
            Request::CmdAccheck(ip) => {
                Ok(verdict(ip.addr().is_some_and(|address| self.may_command(address))))
            }
            // the facility is asked for before the option is looked at
            Request::Smoothtime(_) if daemon.smoothing().is_none() => Err(Status::NOT_ENABLED),
            _ => match (command_access(request)?, Command::from_request(request)?) {
                (Some(change), _) => {
                    self.change_access(&change);
                    daemon.log(&change.line("command"));
                    Ok(Status::SUCCESS)
                }
                (None, Some(command)) => {
                    daemon.command(&command)?;
                    if let Some(line) = command.line() {
                        daemon.log(&line);
                    }
                    Ok(Status::SUCCESS)
                }
                (None, None) => Err(Status::INVALID),
            },
        }
        .map(|status| (status, Reply::Null))
    }

    /// The reply to a question; `None`: it is none.
    fn report(
        &self,
        request: &Request,
        room: usize,
        daemon: &mut dyn Daemon,
    ) -> Result<Option<Reply>, Status> {
        let unknown = Status::NO_SUCH_SOURCE;
        Ok(Some(match *request {
            Request::NSources => Reply::NSources(daemon.sources()),
            Request::SourceData(index) => {
                let index = u32::try_from(index).map_err(|_| unknown)?;
                reply::source(&daemon.source(index).ok_or(unknown)?)
            }
            Request::SourceStats(index) => reply::statistics(&daemon.statistics(index).ok_or(unknown)?),
            Request::SelectData(index) => reply::selection(&daemon.selection(index).ok_or(unknown)?),
            Request::Tracking => reply::tracking(&daemon.tracking()),
            Request::Activity => reply::activity(daemon.activity()),
            Request::NtpData(ip) => {
                reply::exchange(&daemon.exchange(source_address(ip)?).ok_or(unknown)?, room)
            }
            Request::AuthData(ip) => {
                reply::authentication(daemon.authentication(source_address(ip)?).ok_or(unknown)?)
            }
            Request::NtpSourceName(ip) => {
                let name = daemon.name(source_address(ip)?).ok_or(unknown)?;
                Reply::NtpSourceName(Name::new(name.as_bytes()).ok_or(Status::INVALID_NAME)?)
            }
            Request::ServerStats => reply::server(&daemon.server(), self.counters, room),
            Request::ClientAccessesByIndex3(ref query) => {
                let wanted = ClientsWanted {
                    first: query.first_index,
                    count: query.n_clients.min(CLIENTS),
                    min_hits: query.min_hits,
                    reset: query.reset != 0,
                };
                reply::clients(&daemon.clients(wanted).ok_or(Status::INACTIVE)?)
            }
            Request::ClientAccessesByIndex2(ref query) => {
                let count = query.n_clients.min(CLIENTS);
                let wanted = ClientsWanted { first: query.first_index, count, min_hits: 0, reset: false };
                reply::clients2(&daemon.clients(wanted).ok_or(Status::INACTIVE)?)
            }
            Request::RtcReport => reply::rtc(&daemon.rtc().ok_or(Status::NO_RTC)?),
            Request::Smoothing => reply::smoothing(&daemon.smoothing().ok_or(Status::NOT_ENABLED)?),
            Request::ManualList => reply::manual(&daemon.manual()),
            Request::Settime(time) => reply::settime(&daemon.settime(instant(time).ok_or(Status::FAILED)?)?),
            _ => return Ok(None),
        }))
    }

    /// Whether the rules allow an address; 127.0.0.1 and ::1 are heard without a rule, which `cmdaccheck` does not tell.
    fn may_command(&self, address: IpAddr) -> bool {
        self.access.find(address) == Some(true)
    }

    fn change_access(&mut self, change: &AccessChange) {
        for network in change.networks() {
            if change.all {
                self.access.set_all(network, change.allow);
            } else {
                self.access.set(network, change.allow);
            }
        }
    }
}

/// A time within the range of our clocks.
fn instant(time: Timespec) -> Option<Timestamp> {
    let instant = Timestamp::from_unix(time.secs, time.nanos);
    (instant.secs() == time.secs).then_some(instant)
}
