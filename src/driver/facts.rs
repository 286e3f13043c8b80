//! The engine's and the server's state as the facts that `chronyc` is told.

use crate::auth::KeyRing;
use crate::control::cmdmon::{
    ActivityFacts, AuthenticationFacts, ClientFacts, ClientsPage, ClientsWanted, ExchangeCounters,
    ExchangeFacts, LatestSample, ResponseFacts, SelectionFacts, ServerCounters, ServiceFacts, SourceAddress,
    SourceFacts, SourceName, SourceRole, StampOrigin, StatisticsFacts, TrackingFacts,
};
use crate::engine::association::{Activity as Asked, Facts, Packet, Stamper};
use crate::engine::clients::{Activity, ClientLog};
use crate::engine::daemon::{Engine, Listed, Source};
use crate::engine::measurement::SourceId;
use crate::engine::options::{self, Kind};
use crate::engine::register::Register;
use crate::engine::selection::{Options, Status};
use crate::engine::server::Statistics;
use crate::types::{KeyId, Leap, MonoTime, Now, Reach, RefId, Timestamp};

/// Error bound of the frequency of a source without samples, s/s …
const UNKNOWN_SKEW: f64 = 2000e-6;
/// … and its standard deviation, s.
const UNKNOWN_DEVIATION: f64 = 4.0;

/// How a source is named in requests and reports.
pub(super) fn name_of(listed: &Listed<'_>) -> SourceName {
    match listed {
        Listed::Clock(_, source) => SourceName::Refclock(source.clock.options().refid),
        Listed::Known(_, source) => SourceName::Ntp(SourceAddress::Ip(source.association.address().ip())),
        Listed::Unresolved(SourceId(id), _) => SourceName::Ntp(SourceAddress::Unresolved(*id)),
    }
}

/// The address of one that is no reference clock.
pub(super) fn address_of(listed: &Listed<'_>) -> Option<SourceAddress> {
    match name_of(listed) {
        SourceName::Ntp(address) => Some(address),
        SourceName::Refclock(_) => None,
    }
}

/// The name that it was configured with; a reference clock has none.
pub(super) fn configured_name<'a>(listed: &Listed<'a>) -> Option<&'a str> {
    match listed {
        Listed::Clock(..) => None,
        Listed::Known(_, source) => Some(&source.name),
        Listed::Unresolved(_, options) => Some(&options.name),
    }
}

fn role(kind: Kind) -> SourceRole {
    match kind {
        Kind::Server | Kind::Pool => SourceRole::Server,
        Kind::Peer => SourceRole::Peer,
    }
}

fn exponent(poll: i32) -> i8 {
    i8::try_from(poll.clamp(-128, 127)).unwrap_or(0)
}

/// Whole seconds, at least 0.
fn whole(secs: f64) -> u32 {
    crate::types::Secs::new(secs)
        .and_then(|secs| u32::try_from(secs.to_delta().as_nanos() / 1_000_000_000).ok())
        .unwrap_or(0)
}

/// Whole seconds, to nearest.
fn nearest(secs: f64) -> u32 {
    whole(secs + 0.5)
}

/// A row of `sources`.
pub(super) fn source(engine: &Engine, now: Now, listed: &Listed<'_>) -> SourceFacts {
    let name = name_of(listed);
    match listed {
        Listed::Clock(id, source) => SourceFacts {
            name,
            role: SourceRole::Refclock,
            poll: exponent(source.clock.options().poll),
            stratum: source.clock.options().stratum,
            standing: engine.shown(*id).status,
            reach: source.clock.reach(),
            latest: latest(engine, now, source.clock.register()),
        },
        Listed::Unresolved(_, options) => SourceFacts {
            name,
            role: role(options.kind),
            poll: exponent(options.minpoll),
            stratum: 0,
            standing: Status::MissingSamples,
            reach: Reach::default(),
            latest: None,
        },
        Listed::Known(id, source) => {
            let facts = source.association.facts();
            let latest = latest(engine, now, source.association.register());
            SourceFacts {
                name,
                role: role(source.association.options().kind),
                poll: exponent(facts.poll),
                stratum: if latest.is_some() { facts.stratum } else { 0 },
                standing: engine.shown(*id).status,
                reach: facts.reach,
                latest,
            }
        }
    }
}

/// The newest sample; when it was taken is known to the second only, for privacy.
fn latest(engine: &Engine, now: Now, register: &Register) -> Option<LatestSample> {
    let timeline = engine.timeline();
    let latest = register.latest(&timeline.line())?;
    let estimated = timeline.estimated(now.clock);
    let taken = estimated - (timeline.free(now.clock) - latest.at);
    let ago = estimated - Timestamp::from_unix(taken.secs(), 0);
    Some(LatestSample {
        ago: whole(ago.as_secs_f64()),
        measured: latest.original.get(),
        adjusted: latest.offset.get(),
        distance: latest.error.get(),
    })
}

fn refid(listed: &Listed<'_>) -> RefId {
    match name_of(listed) {
        SourceName::Refclock(refid) => refid,
        SourceName::Ntp(SourceAddress::Ip(address)) => Engine::refid_of(address),
        SourceName::Ntp(SourceAddress::Unresolved(_)) => RefId::from_bits(0),
    }
}

/// A row of `sourcestats`.
pub(super) fn statistics(engine: &Engine, now: Now, listed: &Listed<'_>) -> StatisticsFacts {
    let mut facts = StatisticsFacts {
        name: name_of(listed),
        refid: refid(listed),
        samples: 0,
        runs: 0,
        span: 0,
        deviation: UNKNOWN_DEVIATION,
        residual_frequency: 0.0,
        skew: UNKNOWN_SKEW,
        offset: 0.0,
        offset_error: 0.0,
    };
    let register = match listed {
        Listed::Clock(_, source) => Some(source.clock.register()),
        Listed::Known(_, source) => Some(source.association.register()),
        Listed::Unresolved(..) => None,
    };
    if let Some(register) = register {
        let (at, line) = (engine.timeline().free(now.clock), engine.timeline().line());
        let s = register.statistics(at, &line);
        facts.samples = u32::try_from(s.samples).unwrap_or(u32::MAX);
        facts.runs = u32::try_from(s.runs).unwrap_or(u32::MAX);
        facts.span = nearest(s.span.get());
        facts.deviation = s.jitter.get();
        facts.residual_frequency = s.residual_frequency.ratio();
        facts.skew = s.skew;
        facts.offset = s.offset.get();
        facts.offset_error = s.offset_error.get();
    }
    facts
}

fn configured(flags: options::Flags) -> Options {
    Options { noselect: flags.noselect, prefer: flags.prefer, trust: flags.trust, require: flags.require }
}

/// A row of `selectdata`.
pub(super) fn selection(engine: &Engine, listed: &Listed<'_>) -> SelectionFacts {
    let (configured, effective, authenticated, leap) = match listed {
        Listed::Clock(_, source) => (source.effective(), source.effective(), false, source.clock.leap()),
        Listed::Known(_, source) => {
            let options = source.association.options();
            (configured(options.flags), source.effective, is_signed(options), source.association.facts().leap)
        }
        Listed::Unresolved(_, options) => {
            let flags = configured(options.flags);
            (flags, flags, is_signed(options), Leap::Unsynchronised)
        }
    };
    let shown = engine.shown(listed.id());
    SelectionFacts {
        name: name_of(listed),
        refid: refid(listed),
        standing: shown.status,
        authenticated,
        leap,
        configured,
        effective,
        last_ago: nearest(shown.last_ago),
        score: shown.score,
        limits: shown.limits,
    }
}

fn is_signed(options: &options::Source) -> bool {
    options.key != 0 || options.flags.nts
}

/// How a source is authenticated.
pub(super) fn authentication(keys: &KeyRing, listed: &Listed<'_>) -> AuthenticationFacts {
    let options = match listed {
        Listed::Clock(..) => return AuthenticationFacts::None,
        Listed::Known(_, source) => source.association.options(),
        Listed::Unresolved(_, options) => options,
    };
    if options.key == 0 {
        return AuthenticationFacts::None;
    }
    let id = KeyId::new(options.key);
    let key = keys
        .get(id)
        .map(|key| (key.algorithm().chrony_number(), u16::try_from(key.bits()).unwrap_or(u16::MAX)));
    AuthenticationFacts::Key { id, key }
}

const fn stamp_origin(stamper: Stamper) -> StampOrigin {
    match stamper {
        Stamper::Daemon => StampOrigin::Daemon,
        Stamper::Kernel => StampOrigin::Kernel,
        Stamper::Hardware => StampOrigin::Hardware,
    }
}

/// The packets of a source.
pub(super) fn exchange(source: &Source) -> ExchangeFacts {
    let Facts { address, counters, last, .. } = source.association.facts();
    let asymmetry = source.association.register().asymmetry();
    ExchangeFacts {
        remote: address,
        last: last.map(|packet| response(packet, asymmetry)),
        counters: ExchangeCounters {
            sent: counters.sent,
            received: counters.received,
            valid: counters.valid,
            good: counters.good,
            kernel: (counters.sent_stamps.0, counters.received_stamps.0),
            hardware: (counters.sent_stamps.1, counters.received_stamps.1),
        },
    }
}

fn response(packet: &Packet, asymmetry: f64) -> ResponseFacts {
    let header = &packet.header;
    ResponseFacts {
        local: packet.local,
        leap: header.leap,
        version: header.version.get(),
        mode: header.mode,
        stratum: header.stratum.get(),
        poll: header.poll.log2(),
        precision: header.precision.log2(),
        root_delay: packet.root_delay.get(),
        root_dispersion: packet.root_dispersion.get(),
        refid: header.refid,
        reference: if header.reference.to_bits() == 0 {
            Timestamp::UNIX_EPOCH
        } else {
            header.reference.to_timestamp(packet.at)
        },
        offset: packet.offset.get(),
        delay: packet.delay.get(),
        dispersion: packet.dispersion.get(),
        response_time: packet.response_time.get(),
        asymmetry,
        tests: packet.tests.all(),
        interleaved: packet.interleaved,
        authenticated: packet.authenticated,
        sent_by: stamp_origin(packet.sent_by),
        received_by: stamp_origin(packet.received_by),
    }
}

/// `tracking`.
pub(super) fn tracking(engine: &Engine, now: Now) -> TrackingFacts {
    let tracking = engine.tracking(now);
    TrackingFacts {
        refid: tracking.refid,
        address: tracking.address,
        stratum: tracking.stratum,
        leap: tracking.leap,
        time: tracking.time,
        uncorrected: engine.timeline().remaining(now.clock),
        last_offset: tracking.last_offset,
        rms_offset: tracking.rms_offset,
        frequency: engine.frequency(),
        residual_frequency: tracking.residual,
        skew: tracking.skew,
        root_delay: tracking.root_delay,
        root_dispersion: tracking.root_dispersion,
        update_interval: tracking.update_interval,
    }
}

/// `activity`.
pub(super) fn activity(engine: &Engine) -> ActivityFacts {
    let mut activity = ActivityFacts::default();
    for listed in engine.listed() {
        let place = match listed {
            Listed::Clock(..) => continue,
            Listed::Unresolved(..) => &mut activity.unresolved,
            Listed::Known(_, source) => match source.association.facts().activity {
                Asked::Online => &mut activity.online,
                Asked::Offline => &mut activity.offline,
                Asked::BurstOnline => &mut activity.burst_online,
                Asked::BurstOffline => &mut activity.burst_offline,
            },
        };
        *place += 1;
    }
    activity
}

/// Counters of the server as `serverstats` shows them.
pub(super) fn server(statistics: &Statistics) -> ServerCounters {
    let counters = &statistics.counters;
    ServerCounters {
        ntp_hits: counters.ntp_hits,
        ntp_drops: counters.ntp_drops,
        log_drops: statistics.log_drops,
        authenticated: counters.authenticated,
        interleaved: counters.interleaved,
        timestamps: statistics.pairs,
        span: u64::try_from(statistics.span.as_nanos() / 1_000_000_000).unwrap_or(0),
        daemon_rx: counters.daemon_rx,
        daemon_tx: counters.daemon_tx,
        kernel_rx: counters.kernel_rx,
        kernel_tx: counters.kernel_tx,
        ..ServerCounters::default()
    }
}

/// Part of the log of clients as `clients` shows it.
pub(super) fn clients(log: &mut ClientLog, wanted: ClientsWanted, now: MonoTime) -> ClientsPage {
    let service = |activity: Option<Activity>| {
        activity.map(|a| ServiceFacts {
            hits: a.hits,
            drops: a.drops.into(),
            interval: a.interval,
            limited_interval: a.limited_interval,
            last_ago: a.last,
        })
    };
    let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
    let first = usize::try_from(wanted.first).unwrap_or(usize::MAX);
    let count = usize::try_from(wanted.count).unwrap_or(0);
    // a client that gets less than it asked for takes it for the end: the whole table is looked through
    let page = log.page(first, count, usize::MAX, wanted.min_hits, wanted.reset, now);
    let client = |c: crate::engine::clients::Client| ClientFacts {
        address: c.address,
        ntp: service(c.ntp),
        command: service(c.command),
    };
    ClientsPage {
        places: number(page.places),
        next: number(page.next),
        clients: page.clients.into_iter().map(client).collect(),
    }
}
