//! A command line as it was typed → what is meant. Every complaint is the original's line for standard error.

use std::net::{IpAddr, Ipv4Addr};

use super::add;
use super::date;
use super::keygen::{self, KeySpec};
use super::scan;
use crate::wire::cmdmon::{
    AddressMask, Burst, Float, Ip, Local2, Local3, MakestepLimits, ModifyAddress, ModifyAddressFloat,
    ModifyOffset, ModifySelectOpts, Request, Subnet, Timespec, flags, select_options,
};

/// Finds the first address of a host name.
pub(super) type Resolve<'a> = &'a mut dyn FnMut(&str) -> Option<IpAddr>;

/// Options of the reports that list sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ListOptions {
    /// `-a`: sources without address too.
    pub(super) all: bool,
    /// `-v`: a legend.
    pub(super) verbose: bool,
}

/// Options of `clients`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ClientsOptions {
    /// `-k`: NTS-KE instead of commands.
    pub(super) nts_ke: bool,
    /// `-p N`: fewest packets.
    pub(super) min_hits: u32,
    /// `-r`: the counters are zeroed.
    pub(super) reset: bool,
}

/// What `waitsync` waits for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct WaitSync {
    /// 0: for ever.
    pub(super) max_tries: u32,
    /// s; 0: any.
    pub(super) max_correction: f64,
    /// ppm; 0: any.
    pub(super) max_skew: f64,
    /// s between two looks.
    pub(super) interval: f64,
}

/// A setting of the client itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    /// `dns -n`, `dns +n`.
    Reverse(bool),
    /// `dns -4`, `dns -6`, `dns -46`.
    Family(Option<bool>),
    /// `timeout MS`.
    Timeout(i32),
    /// `retries N`.
    Retries(u32),
}

/// What is meant.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    /// An empty line or a comment.
    Nothing,
    /// `exit`, `quit`.
    Quit,
    /// `help`.
    Help,
    /// `keygen`.
    Keygen(KeySpec),
    /// `password`, `authhash`: nothing any more.
    NoAuthentication,
    /// `dns`, `timeout`, `retries`.
    Set(Setting),
    /// A request that is answered by a status.
    Control(Request),
    /// `settime`.
    Settime(Timespec),
    /// `activity`.
    Activity,
    /// `authdata`.
    AuthData(ListOptions),
    /// `clients`.
    Clients(ClientsOptions),
    /// `manual list`.
    ManualList,
    /// `ntpdata`.
    NtpData(Option<Ip>),
    /// `rtcdata`.
    RtcData,
    /// `selectdata`.
    SelectData(ListOptions),
    /// `serverstats`.
    ServerStats,
    /// `smoothing`.
    Smoothing,
    /// `sourcename`.
    SourceName(Ip),
    /// `sources`.
    Sources(ListOptions),
    /// `sourcestats`.
    SourceStats(ListOptions),
    /// `tracking`.
    Tracking,
    /// `waitsync`.
    WaitSync(WaitSync),
}

/// Why a line means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mistake {
    /// A line for standard error.
    Line(String),
    /// `settime` with a date that cannot be read.
    Date,
}

fn mistake<T>(line: &str) -> Result<T, Mistake> {
    Err(Mistake::Line(line.to_owned()))
}

const NO_ADDRESS: &str = "Could not get address for hostname";
const BAD_NET: &str = "Could not read address";
const BAD_SUBNET: &str = "Invalid syntax for mask/address";
const BAD_VALUE: &str = "Invalid syntax for address value";

/// What a line means. `resolve` is asked for host names only; `now` is for dates.
pub(super) fn parse(line: &str, resolve: Resolve<'_>, now: &date::Now<'_>) -> Result<Meaning, Mistake> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let Some((&word, args)) = words.split_first() else { return Ok(Meaning::Nothing) };
    if word.starts_with(['!', ';', '#', '%']) {
        return Ok(Meaning::Nothing);
    }
    if let Some(meaning) = report(word, args, resolve)? {
        return Ok(meaning);
    }
    if let Some(request) = simple(word) {
        return Ok(Meaning::Control(request));
    }
    if let Some(request) = source_control(word, args, resolve)? {
        return Ok(Meaning::Control(request));
    }
    daemon_control(word, args, resolve, now)
}

fn report(word: &str, args: &[&str], resolve: Resolve<'_>) -> Result<Option<Meaning>, Mistake> {
    Ok(Some(match word {
        "exit" | "quit" => Meaning::Quit,
        "help" => Meaning::Help,
        "keygen" => match keygen::parse(args) {
            Ok(spec) => Meaning::Keygen(spec),
            Err(line) => return Err(Mistake::Line(line)),
        },
        "password" | "authhash" => Meaning::NoAuthentication,
        "dns" | "timeout" | "retries" => Meaning::Set(setting(word, args)?),
        "activity" => Meaning::Activity,
        "authdata" => Meaning::AuthData(list_options(args)),
        "clients" => Meaning::Clients(clients_options(args)),
        "ntpdata" => Meaning::NtpData(match args.first() {
            None => None,
            Some(name) => Some(source_address(name, resolve)?),
        }),
        "rtcdata" => Meaning::RtcData,
        "selectdata" => Meaning::SelectData(list_options(args)),
        "serverstats" => Meaning::ServerStats,
        "smoothing" => Meaning::Smoothing,
        "sourcename" => Meaning::SourceName(match args.first() {
            None => return mistake(BAD_NET),
            Some(name) => source_address(name, resolve)?,
        }),
        "sources" => Meaning::Sources(list_options(args)),
        "sourcestats" => Meaning::SourceStats(list_options(args)),
        "tracking" => Meaning::Tracking,
        "waitsync" => Meaning::WaitSync(wait_sync(args)),
        _ => return Ok(None),
    }))
}

/// Commands of one word.
fn simple(word: &str) -> Option<Request> {
    Some(match word {
        "cyclelogs" => Request::CycleLogs,
        "dump" => Request::Dump,
        "onoffline" => Request::Onoffline,
        "refresh" => Request::Refresh,
        "rekey" => Request::Rekey,
        "reselect" => Request::Reselect,
        "shutdown" => Request::Shutdown,
        "trimrtc" => Request::TrimRtc,
        "writertc" => Request::WriteRtc,
        _ => return None,
    })
}

/// Commands about sources.
fn source_control(word: &str, args: &[&str], resolve: Resolve<'_>) -> Result<Option<Request>, Mistake> {
    let whole = |name: fn(ModifyAddress) -> Request, resolve: Resolve<'_>| {
        let (address, value) = address_and(args, scan::int, resolve)?;
        Ok(Some(name(ModifyAddress { address, value })))
    };
    let real = |name: fn(ModifyAddressFloat) -> Request, resolve: Resolve<'_>| {
        let (address, value) = address_and(args, scan::float, resolve)?;
        Ok(Some(name(ModifyAddressFloat { address, value: value.into() })))
    };
    match word {
        "minpoll" => whole(Request::ModifyMinpoll, resolve),
        "maxpoll" => whole(Request::ModifyMaxpoll, resolve),
        "minstratum" => whole(Request::ModifyMinstratum, resolve),
        "polltarget" => whole(Request::ModifyPolltarget, resolve),
        "maxdelay" => real(Request::ModifyMaxdelay, resolve),
        "maxdelayratio" => real(Request::ModifyMaxdelayratio, resolve),
        "maxdelaydevratio" => real(Request::ModifyMaxdelaydevratio, resolve),
        "online" => Ok(Some(Request::Online(source_subnet(args.first().copied(), resolve)?))),
        "offline" => Ok(Some(Request::Offline(source_subnet(args.first().copied(), resolve)?))),
        "burst" => burst(args, resolve).map(Some),
        "delete" => match args.first() {
            None => mistake("Invalid syntax for address"),
            Some(name) => Ok(Some(Request::DelSource(source_address(name, resolve)?))),
        },
        "add" => {
            let source = add::parse(args, resolve).map_err(|line| Mistake::Line(line.to_owned()))?;
            Ok(Some(Request::AddSource2(Box::new(source))))
        }
        "offset" => offset(args).map(Some),
        "selectopts" => select_opts(args).map(Some),
        _ => Ok(None),
    }
}

/// Commands about the daemon.
fn daemon_control(
    word: &str,
    args: &[&str],
    resolve: Resolve<'_>,
    now: &date::Now<'_>,
) -> Result<Meaning, Mistake> {
    let first = args.first().copied();
    let request = match word {
        "accheck" => Request::Accheck(checked_address(first, resolve)?),
        "cmdaccheck" => Request::CmdAccheck(checked_address(first, resolve)?),
        "allow" | "deny" | "cmdallow" | "cmddeny" => access(word, args, resolve)?,
        "dfreq" => Request::Dfreq(number(first, "Invalid value")?),
        "doffset" => Request::Doffset2(number(first, "Invalid value")?),
        "maxupdateskew" => {
            Request::ModifyMaxupdateskew(number(first, "Invalid syntax for maxupdateskew command")?)
        }
        "reselectdist" => {
            Request::ReselectDistance(number(first, "Invalid syntax for reselectdist command")?)
        }
        "local" => local(args)?,
        "makestep" => makestep(args)?,
        "manual" => match first {
            Some(sub) if sub.starts_with("list") => return Ok(Meaning::ManualList),
            _ => manual(args)?,
        },
        "reload" if args == ["sources"] => Request::ReloadSources,
        "reload" => return mistake("Invalid syntax for reload command"),
        "reset" if args == ["sources"] => Request::ResetSources,
        "reset" => return mistake("Invalid syntax for reset command"),
        "settime" => {
            let secs = date::parse(&args.join(" "), now).ok_or(Mistake::Date)?;
            return Ok(Meaning::Settime(Timespec { secs, nanos: 0 }));
        }
        "smoothtime" => match first {
            Some("reset") => Request::Smoothtime(0),
            Some("activate") => Request::Smoothtime(1),
            _ => return mistake("Invalid syntax for smoothtime command"),
        },
        _ => return mistake("Unrecognized command"),
    };
    Ok(Meaning::Control(request))
}

fn list_options(args: &[&str]) -> ListOptions {
    ListOptions { all: args.contains(&"-a"), verbose: args.contains(&"-v") }
}

fn clients_options(args: &[&str]) -> ClientsOptions {
    let mut options = ClientsOptions::default();
    let mut words = args.iter();
    while let Some(&word) = words.next() {
        match word {
            "-k" => options.nts_ke = true,
            "-r" => options.reset = true,
            "-p" => options.min_hits = words.next().and_then(|n| scan::unsigned(n)).unwrap_or(0),
            _ => {}
        }
    }
    options
}

fn wait_sync(args: &[&str]) -> WaitSync {
    let float = |at: usize| args.get(at).and_then(|word| scan::float(word));
    WaitSync {
        max_tries: args.first().and_then(|word| scan::int(word)).map_or(0, |n| u32::try_from(n).unwrap_or(0)),
        max_correction: float(1).unwrap_or(0.0),
        max_skew: float(2).unwrap_or(0.0),
        interval: float(3).unwrap_or(10.0).max(0.1),
    }
}

fn setting(word: &str, args: &[&str]) -> Result<Setting, Mistake> {
    let first = args.first().copied().unwrap_or_default();
    match word {
        "dns" => Ok(match first {
            "-n" => Setting::Reverse(false),
            "+n" => Setting::Reverse(true),
            "-4" => Setting::Family(Some(false)),
            "-6" => Setting::Family(Some(true)),
            "-46" => Setting::Family(None),
            _ => return mistake("Unrecognized dns command"),
        }),
        "timeout" => match scan::int(first).unwrap_or(0) {
            millis if millis >= 100 => Ok(Setting::Timeout(millis)),
            millis => Err(Mistake::Line(format!("Timeout {millis} is too short"))),
        },
        // no number counts as 0
        _ => match u32::try_from(scan::int(first).unwrap_or(0)) {
            Ok(retries @ 0..=30) => Ok(Setting::Retries(retries)),
            _ => mistake("Invalid maximum number of retries"),
        },
    }
}

fn number(word: Option<&str>, line: &str) -> Result<Float, Mistake> {
    match word.and_then(scan::float) {
        Some(value) => Ok(value.into()),
        None => mistake(line),
    }
}

/// `ID#N`, an address, or a host name.
fn source_address(word: &str, resolve: Resolve<'_>) -> Result<Ip, Mistake> {
    if let Some(id) = source_id(word) {
        return Ok(Ip::Id(id));
    }
    match resolve(word) {
        Some(address) => Ok(address.into()),
        None => mistake(NO_ADDRESS),
    }
}

fn source_id(word: &str) -> Option<u32> {
    scan::unsigned(word.strip_prefix("ID#")?)
}

fn address_and<T>(
    args: &[&str],
    scan: fn(&str) -> Option<T>,
    resolve: Resolve<'_>,
) -> Result<(Ip, T), Mistake> {
    let [name, value, ..] = args else { return mistake(BAD_VALUE) };
    let Some(value) = scan(value) else { return mistake(BAD_VALUE) };
    Ok((source_address(name, resolve)?, value))
}

/// All ones in the leading bits; more bits than there are count as all.
fn mask(family: IpAddr, bits: u32) -> Ip {
    match family {
        IpAddr::V4(_) => Ip::V4(Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0))),
        IpAddr::V6(_) => Ip::V6((u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0)).into()),
    }
}

/// Which sources: nothing, `MASK/ADDRESS`, `ADDRESS/BITS`, an address, a name or an ID.
fn source_subnet(word: Option<&str>, resolve: Resolve<'_>) -> Result<AddressMask, Mistake> {
    let Some(word) = word else { return Ok(AddressMask { mask: Ip::Unspec, address: Ip::Unspec }) };
    if let Some((first, second)) = word.split_once('/') {
        let Ok(first) = first.parse::<IpAddr>() else { return mistake(BAD_SUBNET) };
        if let Ok(address) = second.parse::<IpAddr>() {
            if address.is_ipv4() != first.is_ipv4() {
                return mistake(BAD_SUBNET);
            }
            return Ok(AddressMask { mask: first.into(), address: address.into() });
        }
        let Some(bits) = scan::int(second) else { return mistake(BAD_SUBNET) };
        return Ok(AddressMask {
            mask: mask(first, u32::try_from(bits).unwrap_or(u32::MAX)),
            address: first.into(),
        });
    }
    if let Some(id) = source_id(word) {
        return Ok(AddressMask { mask: Ip::Unspec, address: Ip::Id(id) });
    }
    match resolve(word) {
        Some(address) => Ok(AddressMask { mask: mask(address, u32::MAX), address: address.into() }),
        None => mistake(NO_ADDRESS),
    }
}

fn burst(args: &[&str], resolve: Resolve<'_>) -> Result<Request, Mistake> {
    const LINE: &str = "Invalid syntax for burst command";
    let Some(counts) = args.first() else { return mistake(LINE) };
    let Some((good, rest)) = scan::prefix_int(counts) else { return mistake(LINE) };
    let Some(total) = rest.strip_prefix('/').and_then(scan::int) else { return mistake(LINE) };
    Ok(Request::Burst(Burst { sources: source_subnet(args.get(1).copied(), resolve)?, good, total }))
}

/// `ADDR|REFID`: an address, an ID, or up to four characters.
fn address_or_refid(word: &str) -> Option<(Ip, u32)> {
    if let Some(id) = source_id(word) {
        return Some((Ip::Id(id), 0));
    }
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some((address.into(), 0));
    }
    if word.is_empty() || word.len() > 4 {
        return None;
    }
    let mut bytes = [0; 4];
    bytes.iter_mut().zip(word.bytes()).for_each(|(slot, byte)| *slot = byte);
    Some((Ip::Unspec, u32::from_be_bytes(bytes)))
}

fn offset(args: &[&str]) -> Result<Request, Mistake> {
    let parsed = match args {
        [source, seconds, ..] => address_or_refid(source).zip(scan::float(seconds)),
        _ => None,
    };
    match parsed {
        Some(((address, ref_id), offset)) => {
            Ok(Request::ModifyOffset(ModifyOffset { address, ref_id, offset: offset.into() }))
        }
        None => mistake("Invalid syntax for offset command"),
    }
}

fn select_opts(args: &[&str]) -> Result<Request, Mistake> {
    const LINE: &str = "Invalid syntax for selectopts command";
    const OPTIONS: [(&str, u16, u32); 4] = [
        ("noselect", select_options::NOSELECT, flags::NOSELECT),
        ("prefer", select_options::PREFER, flags::PREFER),
        ("trust", select_options::TRUST, flags::TRUST),
        ("require", select_options::REQUIRE, flags::REQUIRE),
    ];
    let Some((source, words)) = args.split_first() else { return mistake(LINE) };
    let Some((address, ref_id)) = address_or_refid(source) else { return mistake(LINE) };
    let (mut mask, mut options) = (0, 0);
    for word in words {
        let (on, name) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
            (Some(name), _) => (true, name),
            (None, Some(name)) => (false, name),
            (None, None) => return mistake(LINE),
        };
        let Some((_, bit, flag)) = OPTIONS.iter().find(|(option, ..)| name.eq_ignore_ascii_case(option))
        else {
            return mistake(LINE);
        };
        mask |= u32::from(*bit);
        // an option that is switched off only stands in the mask; so does the original with one that is on and off
        options |= if on { *flag } else { 0 };
    }
    Ok(Request::ModifySelectOpts(ModifySelectOpts { address, ref_id, mask, options }))
}

fn checked_address(word: Option<&str>, resolve: Resolve<'_>) -> Result<Ip, Mistake> {
    match word.and_then(resolve) {
        Some(address) => Ok(address.into()),
        None => mistake(BAD_NET),
    }
}

fn access(word: &str, args: &[&str], resolve: Resolve<'_>) -> Result<Request, Mistake> {
    let (all, nets) = match args.split_first() {
        Some((&"all", rest)) => (true, rest),
        _ => (false, args),
    };
    let subnet = match nets {
        [] => Some(Subnet { address: Ip::Unspec, bits: 0 }),
        [net] => access_subnet(net, resolve),
        _ => None,
    };
    let Some(subnet) = subnet else { return mistake(BAD_NET) };
    let request = match (word, all) {
        ("allow", false) => Request::Allow,
        ("allow", true) => Request::AllowAll,
        ("deny", false) => Request::Deny,
        ("deny", true) => Request::DenyAll,
        ("cmdallow", false) => Request::CmdAllow,
        ("cmdallow", true) => Request::CmdAllowAll,
        (_, false) => Request::CmdDeny,
        (_, true) => Request::CmdDenyAll,
    };
    Ok(request(subnet))
}

/// `1.2.3.4`, `1.2.3.4/24`, `2001:db8::/32`, `10.1` (= 10.1.0.0/16), `10/8`, or a host name.
fn access_subnet(word: &str, resolve: Resolve<'_>) -> Option<Subnet> {
    let (net, bits) = match word.split_once('/') {
        Some((net, bits)) => (net, Some(i32::try_from(scan::unsigned(bits)?).ok()?)),
        None => (word, None),
    };
    let full = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
    if let Ok(address) = net.parse::<IpAddr>() {
        return Some(Subnet { address: address.into(), bits: bits.unwrap_or(full(address)) });
    }
    if let Some((address, implied)) = short_ipv4(net) {
        return Some(Subnet { address: Ip::V4(address), bits: bits.unwrap_or(implied) });
    }
    if bits.is_some() {
        return None;
    }
    let address = resolve(word)?;
    Some(Subnet { address: address.into(), bits: full(address) })
}

/// One to three numbers of an IPv4 address, with the bits that they fill.
fn short_ipv4(text: &str) -> Option<(Ipv4Addr, i32)> {
    let mut octets = [0; 4];
    let mut bits = 0;
    for (part, slot) in text.split('.').zip(octets.iter_mut().take(3)) {
        *slot = part.parse().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit()))?;
        bits += 8;
    }
    (text.split('.').count() <= 3).then_some((Ipv4Addr::from(octets), bits))
}

fn local(args: &[&str]) -> Result<Request, Mistake> {
    const LINE: &str = "Invalid syntax for local command";
    let base = |on, stratum, distance, orphan| Local2 { on, stratum, distance, orphan };
    let zero = Float::ZERO;
    if args == ["off"] {
        return Ok(Request::Local3(Local3 {
            base: base(0, 0, zero, 0),
            activate: zero,
            wait_synced: zero,
            wait_unsynced: zero,
        }));
    }
    let (mut stratum, mut orphan, mut distance, mut activate, mut synced) = (10, 0, 1.0, 0.0, 0.0);
    let mut unsynced = None;
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut value =
            || words.next().and_then(|word| scan::float(word)).ok_or(Mistake::Line(LINE.to_owned()));
        match word.to_ascii_lowercase().as_str() {
            "stratum" => match words.next().and_then(|word| scan::int(word)) {
                Some(n) if (1..=15).contains(&n) => stratum = n,
                _ => return mistake(LINE),
            },
            "orphan" => orphan = 1,
            "distance" => distance = value()?,
            "activate" => activate = value()?,
            "waitsynced" => synced = value()?,
            "waitunsynced" => unsynced = Some(value()?),
            _ => return mistake(LINE),
        }
    }
    Ok(Request::Local3(Local3 {
        base: base(1, stratum, distance.into(), orphan),
        activate: activate.into(),
        wait_synced: synced.into(),
        wait_unsynced: unsynced.unwrap_or(if orphan == 0 { 0.0 } else { 300.0 }).into(),
    }))
}

fn makestep(args: &[&str]) -> Result<Request, Mistake> {
    if args.is_empty() {
        return Ok(Request::Makestep);
    }
    let limits = match args {
        [threshold, limit, ..] => scan::float(threshold).zip(scan::int(limit)),
        _ => None,
    };
    match limits {
        Some((threshold, limit)) => {
            Ok(Request::ModifyMakestep(MakestepLimits { limit, threshold: threshold.into() }))
        }
        None => mistake("Bad syntax for makestep command"),
    }
}

fn manual(args: &[&str]) -> Result<Request, Mistake> {
    match args {
        ["off", ..] => Ok(Request::Manual(0)),
        ["on", ..] => Ok(Request::Manual(1)),
        ["reset", ..] => Ok(Request::Manual(2)),
        [sub, rest @ ..] if sub.starts_with("delete") => match rest.first().and_then(|n| scan::int(n)) {
            Some(index) => Ok(Request::ManualDelete(index)),
            None => mistake("Bad syntax for manual delete command"),
        },
        _ => mistake("Invalid syntax for manual command"),
    }
}
