//! Requests that change something, as plain values: what they mean, when they make no sense, what the log says of them.

use std::net::IpAddr;

use super::facts::{SourceAddress, SourceName};
use crate::engine::access::Network;
use crate::engine::options::{Kind, Local, Source};
use crate::engine::selection::Options;
use crate::wire::cmdmon::{
    AddSource2, AddressMask, Float, Ip, Local2, Request, Status, Subnet, flags, select_options,
};

/// Which NTP sources a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector {
    /// All.
    All,
    /// One without an address.
    Unresolved(u32),
    /// Those whose address is this one in all bits of the mask.
    Masked {
        /// The bits that count.
        mask: IpAddr,
        /// The address.
        address: IpAddr,
    },
}

impl Selector {
    /// Whether a source is meant.
    pub fn matches(self, source: SourceAddress) -> bool {
        match (self, source) {
            (Self::All, _) => true,
            (Self::Unresolved(wanted), SourceAddress::Unresolved(id)) => wanted == id,
            (Self::Masked { mask, address }, SourceAddress::Ip(ip)) => match (mask, address, ip) {
                (IpAddr::V4(mask), IpAddr::V4(a), IpAddr::V4(b)) => {
                    (a.to_bits() ^ b.to_bits()) & mask.to_bits() == 0
                }
                (IpAddr::V6(mask), IpAddr::V6(a), IpAddr::V6(b)) => {
                    (a.to_bits() ^ b.to_bits()) & mask.to_bits() == 0
                }
                _ => false,
            },
            _ => false,
        }
    }
}

/// A parameter of one source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Parameter {
    /// Shortest poll interval, log2 s.
    Minpoll(i32),
    /// Longest poll interval, log2 s.
    Maxpoll(i32),
    /// Longest round trip, s.
    Maxdelay(f64),
    /// Longest ratio to the shortest round trip.
    Maxdelayratio(f64),
    /// Longest excess, in standard deviations.
    Maxdelaydevratio(f64),
    /// Its stratum counts as at least this.
    Minstratum(i32),
    /// Samples that the poll interval aims at.
    Polltarget(i32),
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the command line")]
pub enum Switch {
    On,
    Off,
    Reset,
}

/// A change of who may ask for the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessChange {
    /// Whether it opens or closes.
    pub allow: bool,
    /// Whether narrower rules inside it are dropped.
    pub all: bool,
    /// What it is about; `None`: every address of both families.
    pub network: Option<Network>,
}

impl AccessChange {
    /// The rules of a table that this one sets.
    pub fn networks(&self) -> Vec<Network> {
        let everything = [IpAddr::from([0; 4]), IpAddr::from([0; 16])].map(|any| Network::new(any, 0));
        self.network.map_or(everything.to_vec(), |network| vec![network])
    }

    /// `Allowed all NTP access from 10.0.0.0/8`
    pub(super) fn line(&self, service: &str) -> String {
        let verb = if self.allow { "Allowed" } else { "Denied" };
        let all = if self.all { " all" } else { "" };
        let from = match self.network {
            None => "any address".to_owned(),
            Some(network) if network == Network::host(network.address()) => network.address().to_string(),
            Some(network) => format!("{}/{}", network.address(), network.bits()),
        };
        format!("{verb}{all} {service} access from {from}")
    }
}

/// Everything that the daemon can be told to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Sources are asked again. Unresolved names are tried at once.
    Online(Selector),
    /// Sources are no longer asked.
    Offline(Selector),
    /// Sources go online or offline as there is a route.
    Onoffline,
    /// Quick requests: good samples wanted, requests at most.
    Burst(Selector, i32, i32),
    /// A parameter of a source.
    Modify(SourceAddress, Parameter),
    /// Selection options of a source: which change, and what to.
    SelectOptions(SourceName, Options, Options),
    /// A source's offset correction, s, as in the configuration.
    Offset(SourceName, f64),
    /// A new source. A literal address in use is `SOURCE_KNOWN`, a full table `TOO_MANY_SOURCES`; a name is resolved later.
    Add(Box<Source>),
    /// A source goes.
    Delete(SourceAddress),
    /// Names are resolved again.
    Refresh,
    /// Samples of all sources are dropped.
    ResetSources,
    /// *.sources files are read again.
    ReloadSources,
    /// The choice is made anew.
    Reselect,
    /// Distance that another source must win by, s.
    ReselectDistance(f64),
    /// The rest of the slew is stepped; `FAILED` when the clock refuses.
    Makestep,
    /// Smallest step, s, and in how many updates steps are allowed (below 0: always).
    MakestepLimits(f64, i32),
    /// Largest skew of an update, ppm.
    Maxupdateskew(f64),
    /// A change of frequency, s/s; > 0: the clock is faster than thought.
    AddFrequency(f64),
    /// An offset to be slewed, s; > 0: the clock is behind.
    AddOffset(f64),
    /// Local mode; `None`: off.
    Local(Option<Local>),
    /// Manual input.
    Manual(Switch),
    /// A typed time is forgotten; `BAD_SAMPLE` when there is none at this place.
    ManualDelete(u32),
    /// Smoothing of served time: on, or begun again.
    Smoothtime(Switch),
    /// Who may ask for the time.
    Access(AccessChange),
    /// Keys are read again.
    Rekey,
    /// Log files are closed and opened again.
    CycleLogs,
    /// Samples are written to dumpdir.
    Dump,
    /// The RTC's parameters are written; `NO_RTC`, `BAD_RTC_FILE`.
    WriteRtc,
    /// The RTC is set; `NO_RTC`.
    TrimRtc,
    /// The daemon ends after its reply.
    Shutdown,
}

impl Command {
    /// What the log says once it is done; the daemon itself logs what it did to sources and clock.
    pub(super) fn line(&self) -> Option<String> {
        Some(match self {
            Self::Access(change) => change.line("NTP"),
            Self::ReselectDistance(distance) => format!("New reselect distance {distance:.6}"),
            Self::MakestepLimits(threshold, limit) => format!("New makestep {threshold:.6} {limit}"),
            Self::Maxupdateskew(skew) => format!("New maxupdateskew {skew:.6} ppm"),
            Self::AddFrequency(rate) => format!("Accumulated delta freq of {:.3}ppm", rate * 1e6),
            Self::AddOffset(offset) => format!("Accumulated delta offset of {:.6} seconds", -offset),
            Self::Local(Some(_)) => "Enabled local reference mode".to_owned(),
            Self::Local(None) => "Disabled local reference mode".to_owned(),
            Self::ResetSources => "Reset all sources".to_owned(),
            Self::Shutdown => "Received shutdown command".to_owned(),
            _ => return None,
        })
    }

    /// What a request asks for; `None`: it is no command.
    ///
    /// # Errors
    /// The status for one that makes no sense.
    pub(super) fn from_request(request: &Request) -> Result<Option<Self>, Status> {
        Ok(Some(match request {
            Request::Online(sources) => Self::Online(selector(sources)?),
            Request::Offline(sources) => Self::Offline(selector(sources)?),
            Request::Onoffline => Self::Onoffline,
            Request::Burst(burst) => Self::Burst(selector(&burst.sources)?, burst.good, burst.total),
            Request::ModifyMinpoll(m) => modify(m.address, Parameter::Minpoll(m.value))?,
            Request::ModifyMaxpoll(m) => modify(m.address, Parameter::Maxpoll(m.value))?,
            Request::ModifyMinstratum(m) => modify(m.address, Parameter::Minstratum(m.value))?,
            Request::ModifyPolltarget(m) => modify(m.address, Parameter::Polltarget(m.value))?,
            Request::ModifyMaxdelay(m) => modify(m.address, Parameter::Maxdelay(m.value.to_f64()))?,
            Request::ModifyMaxdelayratio(m) => modify(m.address, Parameter::Maxdelayratio(m.value.to_f64()))?,
            Request::ModifyMaxdelaydevratio(m) => {
                modify(m.address, Parameter::Maxdelaydevratio(m.value.to_f64()))?
            }
            Request::ModifySelectOpts(m) => {
                let (mask, values) = changed_options(m.mask, m.options);
                Self::SelectOptions(source_name(m.address, m.ref_id), mask, values)
            }
            Request::ModifyOffset(m) => Self::Offset(source_name(m.address, m.ref_id), m.offset.to_f64()),
            Request::AddSource(add) => Self::Add(Box::new(new_source(&add.to_newer())?)),
            Request::AddSource2(add) => Self::Add(Box::new(new_source(add)?)),
            Request::DelSource(address) => Self::Delete(source_address(*address)?),
            Request::Refresh => Self::Refresh,
            Request::ResetSources => Self::ResetSources,
            Request::ReloadSources => Self::ReloadSources,
            Request::Reselect => Self::Reselect,
            Request::ReselectDistance(distance) => Self::ReselectDistance(distance.to_f64()),
            Request::Makestep => Self::Makestep,
            Request::ModifyMakestep(m) => Self::MakestepLimits(m.threshold.to_f64(), m.limit),
            Request::ModifyMaxupdateskew(skew) => Self::Maxupdateskew(skew.to_f64()),
            Request::Dfreq(ppm) => Self::AddFrequency(ppm.to_f64() * 1e-6),
            Request::Doffset2(ahead) => Self::AddOffset(behind(*ahead)),
            Request::Local2(base) => Self::Local(local(base, 0.0, 0.0, 0.0)),
            Request::Local3(l) => Self::Local(local(
                &l.base,
                l.activate.to_f64(),
                l.wait_synced.to_f64(),
                l.wait_unsynced.to_f64(),
            )),
            Request::Manual(option) => Self::Manual(match option {
                0 => Switch::Off,
                1 => Switch::On,
                2 => Switch::Reset,
                _ => return Err(Status::INVALID),
            }),
            Request::ManualDelete(index) => {
                Self::ManualDelete(u32::try_from(*index).map_err(|_| Status::BAD_SAMPLE)?)
            }
            Request::Smoothtime(option) => Self::Smoothtime(match option {
                0 => Switch::Reset,
                1 => Switch::On,
                _ => return Err(Status::INVALID),
            }),
            Request::Rekey => Self::Rekey,
            Request::CycleLogs => Self::CycleLogs,
            Request::Dump => Self::Dump,
            Request::WriteRtc => Self::WriteRtc,
            Request::TrimRtc => Self::TrimRtc,
            Request::Shutdown => Self::Shutdown,
            _ => match ntp_access(request)? {
                Some(change) => Self::Access(change),
                None => return Ok(None),
            },
        }))
    }
}

/// The protocol's offset of a clock that is ahead as the engine's of one that is behind.
fn behind(ahead: Float) -> f64 {
    0.0 - ahead.to_f64()
}

fn ntp_access(request: &Request) -> Result<Option<AccessChange>, Status> {
    let (allow, all, subnet) = match request {
        Request::Allow(subnet) => (true, false, subnet),
        Request::AllowAll(subnet) => (true, true, subnet),
        Request::Deny(subnet) => (false, false, subnet),
        Request::DenyAll(subnet) => (false, true, subnet),
        _ => return Ok(None),
    };
    access_change(allow, all, subnet).map(Some)
}

/// A change of who may give commands; `None`: the request is something else.
///
/// # Errors
/// `BAD_SUBNET`.
pub(super) fn command_access(request: &Request) -> Result<Option<AccessChange>, Status> {
    let (allow, all, subnet) = match request {
        Request::CmdAllow(subnet) => (true, false, subnet),
        Request::CmdAllowAll(subnet) => (true, true, subnet),
        Request::CmdDeny(subnet) => (false, false, subnet),
        Request::CmdDenyAll(subnet) => (false, true, subnet),
        _ => return Ok(None),
    };
    access_change(allow, all, subnet).map(Some)
}

fn access_change(allow: bool, all: bool, subnet: &Subnet) -> Result<AccessChange, Status> {
    let network = match (subnet.address, u8::try_from(subnet.bits)) {
        (Ip::Unspec, Ok(0)) => None,
        (Ip::V4(address), Ok(bits @ ..=32)) => Some(Network::new(address.into(), bits)),
        (Ip::V6(address), Ok(bits @ ..=128)) => Some(Network::new(address.into(), bits)),
        _ => return Err(Status::BAD_SUBNET),
    };
    Ok(AccessChange { allow, all, network })
}

/// The NTP source that an address of a request names.
///
/// # Errors
/// `NO_SUCH_SOURCE` for the address that is none.
pub(super) fn source_address(ip: Ip) -> Result<SourceAddress, Status> {
    match ip {
        Ip::Unspec => Err(Status::NO_SUCH_SOURCE),
        Ip::V4(address) => Ok(SourceAddress::Ip(address.into())),
        Ip::V6(address) => Ok(SourceAddress::Ip(address.into())),
        Ip::Id(id) => Ok(SourceAddress::Unresolved(id)),
    }
}

fn source_name(ip: Ip, refid: u32) -> SourceName {
    source_address(ip).map_or(SourceName::Refclock(crate::types::RefId::from_bits(refid)), SourceName::Ntp)
}

fn modify(address: Ip, parameter: Parameter) -> Result<Command, Status> {
    Ok(Command::Modify(source_address(address)?, parameter))
}

fn selector(sources: &AddressMask) -> Result<Selector, Status> {
    match (sources.mask.addr(), sources.address) {
        (_, Ip::Unspec) => Ok(Selector::All),
        (_, Ip::Id(id)) => Ok(Selector::Unresolved(id)),
        (Some(mask), address) => match address.addr() {
            Some(address) if mask.is_ipv4() == address.is_ipv4() => Ok(Selector::Masked { mask, address }),
            _ => Err(Status::NO_SUCH_SOURCE),
        },
        (None, _) => Err(Status::NO_SUCH_SOURCE),
    }
}

/// The mask has one set of bits, the values another (as measured with the original).
fn changed_options(mask: u32, values: u32) -> (Options, Options) {
    let changes = |bit: u16| mask & u32::from(bit) != 0;
    let set = |bit: u32| values & bit != 0;
    (
        Options {
            noselect: changes(select_options::NOSELECT),
            prefer: changes(select_options::PREFER),
            trust: changes(select_options::TRUST),
            require: changes(select_options::REQUIRE),
        },
        Options {
            noselect: set(flags::NOSELECT),
            prefer: set(flags::PREFER),
            trust: set(flags::TRUST),
            require: set(flags::REQUIRE),
        },
    )
}

/// Clients of 2.4 … 4.5 do not send the last three: they count as 0.
fn local(base: &Local2, activate: f64, waitsynced: f64, waitunsynced: f64) -> Option<Local> {
    (base.on != 0).then(|| Local {
        stratum: u8::try_from(base.stratum.clamp(1, 15)).unwrap_or(15),
        orphan: base.orphan != 0,
        distance: base.distance.to_f64(),
        activate,
        waitsynced,
        waitunsynced,
    })
}

/// A number of a request in the range of a field; what does not fit becomes the nearest that does.
fn unsigned(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

fn port(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

fn new_source(add: &AddSource2) -> Result<Source, Status> {
    let kind = match add.kind {
        1 => Kind::Server,
        2 => Kind::Peer,
        3 => Kind::Pool,
        _ => return Err(Status::INVALID),
    };
    let name = add.name.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let name = name.filter(|name| name.bytes().all(|b| b.is_ascii_graphic())).ok_or(Status::INVALID_NAME)?;
    let has = |flag: u32| add.flags & flag != 0;
    let mut source = Source {
        port: port(add.port),
        minpoll: add.minpoll,
        maxpoll: add.maxpoll,
        presend: add.presend_minpoll,
        minstratum: add.min_stratum,
        polltarget: add.poll_target,
        version: add.version,
        maxsources: add.max_sources,
        minsamples: u32::try_from(add.min_samples).ok(),
        maxsamples: u32::try_from(add.max_samples).ok(),
        maxunreach: add.max_unreach,
        filter: unsigned(add.filter_length),
        key: add.authkey,
        ntsport: port(add.nts_port),
        certset: add.cert_set,
        maxntsretry: add.max_nts_retry,
        maxdelay: add.max_delay.to_f64(),
        maxdelayratio: add.max_delay_ratio.to_f64(),
        maxdelaydevratio: add.max_delay_dev_ratio.to_f64(),
        maxdelayquant: add.max_delay_quant.to_f64(),
        mindelay: add.min_delay.to_f64(),
        asymmetry: add.asymmetry.to_f64(),
        offset: add.offset.to_f64(),
        ..Source::new(kind, name)
    };
    let f = &mut source.flags;
    (f.offline, f.auto_offline, f.iburst, f.burst) =
        (!has(flags::ONLINE), has(flags::AUTO_OFFLINE), has(flags::IBURST), has(flags::BURST));
    (f.prefer, f.noselect, f.trust, f.require) =
        (has(flags::PREFER), has(flags::NOSELECT), has(flags::TRUST), has(flags::REQUIRE));
    (f.xleave, f.nts, f.copy) = (has(flags::INTERLEAVED), has(flags::NTS), has(flags::COPY));
    (f.ipv4, f.ipv6) = (has(flags::IPV4), has(flags::IPV6));
    source.extensions.mono_root = has(flags::EF_EXP_MONO_ROOT);
    source.extensions.net_correction = has(flags::EF_NET_CORRECTION);
    let literal = name.parse::<IpAddr>().ok();
    let excluded = |ip: IpAddr| if ip.is_ipv4() { f.ipv6 && !f.ipv4 } else { f.ipv4 && !f.ipv6 };
    if literal.is_some_and(excluded) {
        return Err(Status::INVALID_FAMILY);
    }
    Ok(source)
}
