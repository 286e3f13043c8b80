//! Facts of the engine as replies of the protocol: its signs, its numbers for what is unknown, its generations.

use std::net::IpAddr;

use super::facts::{
    ActivityFacts, AuthenticationFacts, ClientFacts, ClientsPage, ExchangeFacts, LatestSample, ManualFacts,
    ResponseFacts, RtcFacts, SelectionFacts, ServerCounters, ServiceFacts, SettimeFacts, SmoothingFacts,
    SourceAddress, SourceFacts, SourceName, SourceRole, StampOrigin, StatisticsFacts, TrackingFacts,
};
use crate::engine::selection::{Options, Status as Standing};
use crate::types::Timestamp;
use crate::wire::cmdmon::{
    Activity, AuthData, ClientAccess, ClientAccess2, ClientAccesses2, ClientAccesses3, Field, Float, Ip,
    ManualList, ManualSample, ManualTimestamp, NtpData, NtpDataHead, NtpDataOld, Pad, Reader, Reply,
    Reserved, RtcReport, SelectData, ServerStats, ServerStats2, ServerStats3, ServerStats4, Smoothing,
    SourceData, SourceStats, Timespec, Tracking, select_options,
};

/// An age that is not known.
const NEVER: u32 = u32::MAX;
/// An interval that is not known.
const NO_INTERVAL: i8 = 127;
/// A reply's clients.
const CLIENTS: usize = 8;
/// A reply's typed times.
const MANUAL: usize = 16;
/// Flags of the last response.
const INTERLEAVED: u16 = 0x4000;
const AUTHENTICATED: u16 = 0x8000;

/// The engine's offset (> 0: our clock is behind) as one that is > 0 when our clock is **ahead**.
fn ahead(behind: f64) -> Float {
    Float::from(-behind)
}

/// The ends of an interval of the engine's offsets as ends of one whose offsets are > 0 when our clock is **ahead**.
fn interval_ahead((low, high): (f64, f64)) -> (Float, Float) {
    (ahead(high), ahead(low))
}

/// s/s as parts per million; the sign is the same in all reports: > 0 runs fast.
fn ppm(rate: f64) -> Float {
    Float::from(rate * 1e6)
}

fn instant(time: Timestamp) -> Timespec {
    Timespec { secs: time.secs(), nanos: time.subsec_nanos() }
}

fn ip(address: Option<IpAddr>) -> Ip {
    address.map_or(Ip::Unspec, Ip::from)
}

fn source_ip(source: SourceAddress) -> Ip {
    match source {
        SourceAddress::Ip(address) => address.into(),
        SourceAddress::Unresolved(id) => Ip::Id(id),
    }
}

/// Of an NTP source only; a reference clock has none.
fn address_of(name: SourceName) -> Ip {
    match name {
        SourceName::Ntp(source) => source_ip(source),
        SourceName::Refclock(_) => Ip::Unspec,
    }
}

pub(super) fn source(facts: &SourceFacts) -> Reply {
    let LatestSample { ago, measured, adjusted, distance } =
        facts.latest.unwrap_or(LatestSample { ago: NEVER, measured: 0.0, adjusted: 0.0, distance: 0.0 });
    Reply::SourceData(SourceData {
        address: match facts.name {
            SourceName::Ntp(source) => source_ip(source),
            SourceName::Refclock(refid) => Ip::V4(refid.to_bits().into()),
        },
        poll: facts.poll.into(),
        stratum: facts.stratum.into(),
        state: match facts.standing {
            Standing::Selected => 0,
            Standing::Falseticker => 2,
            Standing::Jittery => 3,
            Standing::Combined => 4,
            Standing::WaitsSources | Standing::NonPreferred | Standing::WaitsUpdate | Standing::Distant => 5,
            _ => 1,
        },
        mode: match facts.role {
            SourceRole::Server => 0,
            SourceRole::Peer => 1,
            SourceRole::Refclock => 2,
        },
        flags: 0,
        reachability: facts.reach.bits().into(),
        since_sample: ago,
        orig_latest_meas: ahead(measured),
        latest_meas: ahead(adjusted),
        latest_meas_err: distance.into(),
    })
}

pub(super) fn statistics(facts: &StatisticsFacts) -> Reply {
    Reply::SourceStats(SourceStats {
        ref_id: facts.refid.to_bits(),
        address: address_of(facts.name),
        n_samples: facts.samples,
        n_runs: facts.runs,
        span_seconds: facts.span,
        sd: facts.deviation.into(),
        resid_freq_ppm: ppm(facts.residual_frequency),
        skew_ppm: ppm(facts.skew),
        est_offset: ahead(facts.offset),
        est_offset_err: facts.offset_error.into(),
    })
}

fn option_bits(options: Options) -> u16 {
    [
        (options.noselect, select_options::NOSELECT),
        (options.prefer, select_options::PREFER),
        (options.trust, select_options::TRUST),
        (options.require, select_options::REQUIRE),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .fold(0, |all, (_, bit)| all | bit)
}

pub(super) fn selection(facts: &SelectionFacts) -> Reply {
    let (lo_limit, hi_limit) = interval_ahead(facts.limits);
    Reply::SelectData(SelectData {
        ref_id: facts.refid.to_bits(),
        address: address_of(facts.name),
        state: u8::try_from(facts.standing.letter()).unwrap_or(b'?'),
        authentication: facts.authenticated.into(),
        leap: facts.leap.to_bits(),
        pad: Pad,
        conf_options: option_bits(facts.configured),
        eff_options: option_bits(facts.effective),
        last_sample_ago: facts.last_ago,
        score: facts.score.into(),
        lo_limit,
        hi_limit,
    })
}

/// The one report whose correction has the engine's sign: > 0 when the clock is slow.
pub(super) fn tracking(facts: &TrackingFacts) -> Reply {
    Reply::Tracking(Tracking {
        ref_id: facts.refid.to_bits(),
        address: ip(facts.address),
        stratum: facts.stratum.into(),
        leap: facts.leap.to_bits().into(),
        ref_time: facts.time.map(instant).unwrap_or_default(),
        current_correction: facts.uncorrected.into(),
        last_offset: ahead(facts.last_offset),
        rms_offset: facts.rms_offset.into(),
        freq_ppm: ppm(facts.frequency),
        resid_freq_ppm: ppm(facts.residual_frequency),
        skew_ppm: ppm(facts.skew),
        root_delay: facts.root_delay.into(),
        root_dispersion: facts.root_dispersion.into(),
        last_update_interval: facts.update_interval.into(),
    })
}

pub(super) fn activity(facts: ActivityFacts) -> Reply {
    let ActivityFacts { online, offline, burst_online, burst_offline, unresolved } = facts;
    Reply::Activity(Activity { online, offline, burst_online, burst_offline, unresolved })
}

pub(super) fn rtc(facts: &RtcFacts) -> Reply {
    Reply::Rtc(RtcReport {
        ref_time: instant(facts.time),
        n_samples: facts.samples,
        n_runs: facts.runs,
        span_seconds: facts.span,
        rtc_seconds_fast: facts.fast.into(),
        rtc_gain_rate_ppm: ppm(facts.gain),
    })
}

pub(super) fn smoothing(facts: &SmoothingFacts) -> Reply {
    Reply::Smoothing(Smoothing {
        flags: u32::from(facts.active) | u32::from(facts.leap_only) << 1,
        offset: facts.ahead.into(),
        freq_ppm: ppm(facts.frequency),
        wander_ppm: ppm(facts.wander),
        last_update_ago: facts.last_ago.into(),
        remaining_time: facts.remaining.into(),
    })
}

pub(super) fn settime(facts: &SettimeFacts) -> Reply {
    Reply::ManualTimestamp2(ManualTimestamp {
        offset: ahead(facts.offset),
        dfreq_ppm: ppm(facts.frequency_change),
        new_afreq_ppm: ppm(facts.frequency),
    })
}

pub(super) fn manual(facts: &[ManualFacts]) -> Reply {
    let sample = |sample: &ManualFacts| ManualSample {
        when: instant(sample.at),
        slewed_offset: ahead(sample.adjusted),
        orig_offset: ahead(sample.typed),
        residual: ahead(sample.residual),
    };
    Reply::ManualList2(Box::new(ManualList {
        n_samples: u32::try_from(facts.len().min(MANUAL)).unwrap_or(0),
        samples: std::array::from_fn(|i| facts.get(i).map_or_else(unused, sample)),
    }))
}

pub(super) fn authentication(facts: AuthenticationFacts) -> Reply {
    let mut data: AuthData = unused();
    data.last_ke_ago = NEVER;
    match facts {
        AuthenticationFacts::None => {}
        AuthenticationFacts::Key { id, key } => {
            data.mode = 1;
            data.key_id = id.get();
            (data.key_type, data.key_length) = key.unwrap_or_default();
        }
        AuthenticationFacts::Nts {
            establishments,
            aead,
            key_length,
            attempts,
            last_ago,
            cookies,
            cookie_length,
            nak,
        } => {
            data.mode = 2;
            (data.key_id, data.key_type, data.key_length) = (establishments, aead, key_length);
            (data.ke_attempts, data.last_ke_ago) = (attempts, last_ago.unwrap_or(NEVER));
            (data.cookies, data.cookie_length, data.nak) = (cookies, cookie_length, nak.into());
        }
    }
    Reply::AuthData(data)
}

fn stamp_letter(origin: StampOrigin) -> u8 {
    match origin {
        StampOrigin::Daemon => b'D',
        StampOrigin::Kernel => b'K',
        StampOrigin::Hardware => b'H',
    }
}

fn response_flags(last: &ResponseFacts) -> u16 {
    let tests = last.tests.into_iter().fold(0, |bits, passed| bits << 1 | u16::from(passed));
    let modes = [(last.interleaved, INTERLEAVED), (last.authenticated, AUTHENTICATED)];
    modes.into_iter().filter(|(set, _)| *set).fold(tests, |all, (_, bit)| all | bit)
}

/// The offset keeps the engine's sign: this report has NTP's.
fn exchange_head(facts: &ExchangeFacts) -> NtpDataHead {
    let counters = facts.counters;
    let last = facts.last.as_ref();
    let number = |value: fn(&ResponseFacts) -> f64| last.map_or(Float::ZERO, |l| value(l).into());
    NtpDataHead {
        remote_address: facts.remote.ip().into(),
        local_address: ip(last.and_then(|l| l.local)),
        remote_port: facts.remote.port(),
        leap: last.map_or(0, |l| l.leap.to_bits()),
        version: last.map_or(0, |l| l.version),
        mode: last.map_or(0, |l| l.mode.to_bits()),
        stratum: last.map_or(0, |l| l.stratum),
        poll: last.map_or(0, |l| l.poll),
        precision: last.map_or(0, |l| l.precision),
        root_delay: number(|l| l.root_delay),
        root_dispersion: number(|l| l.root_dispersion),
        ref_id: last.map_or(0, |l| l.refid.to_bits()),
        ref_time: last.map(|l| instant(l.reference)).unwrap_or_default(),
        offset: number(|l| l.offset),
        peer_delay: number(|l| l.delay),
        peer_dispersion: number(|l| l.dispersion),
        response_time: number(|l| l.response_time),
        jitter_asymmetry: number(|l| l.asymmetry),
        flags: last.map_or(0, response_flags),
        tx_source: last.map_or(0, |l| stamp_letter(l.sent_by)),
        rx_source: last.map_or(0, |l| stamp_letter(l.received_by)),
        total_tx: counters.sent,
        total_rx: counters.received,
        total_valid: counters.valid,
        total_good: counters.good,
    }
}

/// In the generation that a request of this length can take.
pub(super) fn exchange(facts: &ExchangeFacts, room: usize) -> Reply {
    let head = exchange_head(facts);
    let (kernel, hardware) = (facts.counters.kernel, facts.counters.hardware);
    let newest = Reply::NtpData2(Box::new(NtpData {
        head: head.clone(),
        total_kernel_tx: kernel.0,
        total_kernel_rx: kernel.1,
        total_hw_tx: hardware.0,
        total_hw_rx: hardware.1,
        reserved: Reserved,
    }));
    if fits(&newest, room) {
        newest
    } else {
        Reply::NtpDataOld(Box::new(NtpDataOld { head, reserved: Reserved }))
    }
}

fn fits(reply: &Reply, room: usize) -> bool {
    Reply::length(reply.code()).is_some_and(|length| length <= room)
}

/// Commands received and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CommandCounters {
    /// With a header that is one.
    pub(super) hits: u64,
    /// Of them dropped by the rate limit.
    pub(super) drops: u64,
}

/// In the generation that a request of this length can take; counters of 32 bits wrap, as they did.
pub(super) fn server(facts: &ServerCounters, commands: CommandCounters, room: usize) -> Reply {
    let newest = ServerStats4 {
        ntp_hits: facts.ntp_hits,
        nke_hits: facts.nke_hits,
        cmd_hits: commands.hits,
        ntp_drops: facts.ntp_drops,
        nke_drops: facts.nke_drops,
        cmd_drops: commands.drops,
        log_drops: facts.log_drops,
        ntp_auth_hits: facts.authenticated,
        ntp_interleaved_hits: facts.interleaved,
        ntp_timestamps: facts.timestamps,
        ntp_span_seconds: facts.span,
        ntp_daemon_rx: facts.daemon_rx,
        ntp_daemon_tx: facts.daemon_tx,
        ntp_kernel_rx: facts.kernel_rx,
        ntp_kernel_tx: facts.kernel_tx,
        ntp_hw_rx: facts.hardware_rx,
        ntp_hw_tx: facts.hardware_tx,
        reserved: Reserved,
    };
    let word = |count: u64| u32::try_from(count & u64::from(u32::MAX)).unwrap_or(0);
    let second = ServerStats2 {
        ntp_hits: word(newest.ntp_hits),
        nke_hits: word(newest.nke_hits),
        cmd_hits: word(newest.cmd_hits),
        ntp_drops: word(newest.ntp_drops),
        nke_drops: word(newest.nke_drops),
        cmd_drops: word(newest.cmd_drops),
        log_drops: word(newest.log_drops),
        ntp_auth_hits: word(newest.ntp_auth_hits),
    };
    let oldest = ServerStats {
        ntp_hits: second.ntp_hits,
        cmd_hits: second.cmd_hits,
        ntp_drops: second.ntp_drops,
        cmd_drops: second.cmd_drops,
        log_drops: second.log_drops,
    };
    let third = ServerStats3 {
        base: second.clone(),
        ntp_interleaved_hits: word(newest.ntp_interleaved_hits),
        ntp_timestamps: word(newest.ntp_timestamps),
        ntp_span_seconds: word(newest.ntp_span_seconds),
    };
    let generations =
        [Reply::ServerStats4(Box::new(newest)), Reply::ServerStats3(third), Reply::ServerStats2(second)];
    generations.into_iter().find(|reply| fits(reply, room)).unwrap_or(Reply::ServerStats(oldest))
}

/// Hits, drops, interval, limited interval, age of the last.
fn service(facts: Option<ServiceFacts>) -> (u32, u32, i8, i8, u32) {
    facts.map_or((0, 0, NO_INTERVAL, NO_INTERVAL, NEVER), |s| {
        let interval = |known: Option<i8>| known.unwrap_or(NO_INTERVAL);
        (s.hits, s.drops, interval(s.interval), interval(s.limited_interval), s.last_ago)
    })
}

/// A layout of zeros: a slot that is not used.
fn unused<T: Field>() -> T {
    T::get(&mut Reader::new(&[]))
}

fn client(facts: &ClientFacts) -> ClientAccess {
    let (ntp_hits, ntp_drops, ntp_interval, ntp_timeout_interval, last_ntp_hit_ago) = service(facts.ntp);
    let (cmd_hits, cmd_drops, cmd_interval, _, last_cmd_hit_ago) = service(facts.command);
    ClientAccess {
        address: facts.address.into(),
        ntp_hits,
        nke_hits: 0,
        cmd_hits,
        ntp_drops,
        nke_drops: 0,
        cmd_drops,
        ntp_interval,
        nke_interval: NO_INTERVAL,
        cmd_interval,
        ntp_timeout_interval,
        last_ntp_hit_ago,
        last_nke_hit_ago: NEVER,
        last_cmd_hit_ago,
    }
}

pub(super) fn clients(page: &ClientsPage) -> Reply {
    Reply::ClientAccessesByIndex3(Box::new(ClientAccesses3 {
        n_indices: page.places,
        next_index: page.next,
        n_clients: u32::try_from(page.clients.len().min(CLIENTS)).unwrap_or(0),
        clients: std::array::from_fn(|i| page.clients.get(i).map_or_else(unused, client)),
    }))
}

/// The form of 2.3 … 3.5.
pub(super) fn clients2(page: &ClientsPage) -> Reply {
    Reply::ClientAccessesByIndex2(Box::new(ClientAccesses2 {
        n_indices: page.places,
        next_index: page.next,
        n_clients: u32::try_from(page.clients.len().min(CLIENTS)).unwrap_or(0),
        clients: std::array::from_fn(|i| {
            page.clients.get(i).map_or_else(unused, |facts| {
                let c = client(facts);
                ClientAccess2 {
                    address: c.address,
                    ntp_hits: c.ntp_hits,
                    cmd_hits: c.cmd_hits,
                    ntp_drops: c.ntp_drops,
                    cmd_drops: c.cmd_drops,
                    ntp_interval: c.ntp_interval,
                    cmd_interval: c.cmd_interval,
                    ntp_timeout_interval: c.ntp_timeout_interval,
                    pad: Pad,
                    last_ntp_hit_ago: c.last_ntp_hit_ago,
                    last_cmd_hit_ago: c.last_cmd_hit_ago,
                }
            })
        }),
    }))
}
