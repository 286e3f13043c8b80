//! Replies as reports: names for numbers, `None` for "never" and "unknown", and the one sign (decisions.md): chronyd's
//! offsets of sources are positive when the local clock is **ahead** and are negated here; the correction of `tracking` and
//! the offset of `ntpdata` already are positive when it is behind.

use crate::report::chronyc::{
    ChronyActivity, ChronyAuth, ChronyClient, ChronyClientService, ChronyManualSample, ChronyNtpDatum,
    ChronyNtpTests, ChronyNtpTotals, ChronyRtcData, ChronySelect, ChronyServerStats, ChronySettime,
    ChronySmoothing, ChronySource, ChronySourceKey, ChronySourceStat, ChronyTracking, SourceMode,
    SourceState,
};
use crate::report::{Instant, RefIdValue, reach_value, refid_value};
use crate::types::{Leap, Reach, RefId, Secs, Stratum, Timestamp};
use crate::wire::cmdmon::{
    Activity, AuthData, ClientAccess, ClientAccess2, Float, Ip, ManualSample, ManualTimestamp, NtpDataHead,
    Reply, RtcReport, SelectData, Smoothing, SourceData, SourceStats, Timespec, Tracking, select_options,
};

/// The reference ID of local mode.
pub const LOCAL_REFID: u32 = 0x7f7f_0101;
/// "Never" among ages.
const NEVER: u32 = u32::MAX;

/// Seconds as the daemon sent them.
fn kept(x: Float) -> Secs {
    Secs::literal(x.to_f64())
}

/// Turns an offset of which positive means "ahead" into ours, of which positive means "behind".
fn turned(ahead: Float) -> Secs {
    // 0 − x instead of −x: no negative zero
    Secs::literal(0.0 - ahead.to_f64())
}

fn age(seconds: u32) -> Option<u32> {
    (seconds != NEVER).then_some(seconds)
}

fn interval(log2: i8) -> Option<i8> {
    (log2 != 127).then_some(log2)
}

fn leap(leap: u16) -> Option<Leap> {
    match leap {
        0 => Some(Leap::None),
        1 => Some(Leap::Add),
        2 => Some(Leap::Delete),
        3 => Some(Leap::Unsynchronised),
        _ => None,
    }
}

/// 0 stands for "none"; what is beyond the years that we can show is none too.
fn instant(time: Timespec) -> Option<Instant> {
    const REACH: i64 = i64::MAX / 1_000_000_000;
    ((time.secs != 0 || time.nanos != 0) && time.secs.unsigned_abs() < REACH.unsigned_abs())
        .then(|| Timestamp::from_unix(time.secs, time.nanos).into())
}

fn refid(id: u32, stratum: u16) -> RefIdValue {
    refid_value(RefId::from_bits(id), Stratum::new(u8::try_from(stratum).unwrap_or(u8::MAX)))
}

/// Whether a reply says that the clock follows a source.
pub fn is_synchronised(t: &Tracking) -> bool {
    t.leap != 3 && !is_local(t)
}

fn is_local(t: &Tracking) -> bool {
    t.ref_id == LOCAL_REFID
}

/// `tracking`; `name` is the source's configured one.
pub fn tracking(t: &Tracking, daemon: String, name: Option<String>) -> ChronyTracking {
    let (delay, dispersion) = (t.root_delay.to_f64(), t.root_dispersion.to_f64());
    let correction = t.current_correction.to_f64();
    let maximum = correction.abs() + dispersion + delay / 2.0;
    ChronyTracking {
        daemon,
        synchronised: is_synchronised(t),
        local_mode: is_local(t),
        refid: refid(t.ref_id, t.stratum),
        name,
        address: t.address.addr(),
        stratum: t.stratum,
        leap: leap(t.leap),
        ref_time: instant(t.ref_time),
        offset_s: kept(t.current_correction),
        last_offset_s: turned(t.last_offset),
        rms_offset_s: kept(t.rms_offset),
        frequency_ppm: t.freq_ppm.to_f64(),
        residual_frequency_ppm: t.resid_freq_ppm.to_f64(),
        skew_ppm: t.skew_ppm.to_f64(),
        root_delay_s: kept(t.root_delay),
        root_dispersion_s: kept(t.root_dispersion),
        maximum_error_s: is_synchronised(t).then(|| Secs::literal(maximum)),
        update_interval_s: kept(t.last_update_interval),
    }
}

/// The names that go with a row.
#[derive(Debug, Clone, Default)]
pub struct RowNames {
    /// As configured.
    pub configured: Option<String>,
    /// From reverse look-up.
    pub host: Option<String>,
}

fn key(index: Option<u32>, address: Ip, refid: Option<RefIdValue>, names: RowNames) -> ChronySourceKey {
    let id = match address {
        Ip::Id(id) => Some(id),
        Ip::Unspec | Ip::V4(_) | Ip::V6(_) => None,
    };
    let RowNames { configured, host } = names;
    let name =
        configured.or_else(|| refid.as_ref().filter(|_| address == Ip::Unspec).map(|r| r.text.clone()));
    ChronySourceKey { index, address: address.addr(), id, name, hostname: host, refid }
}

/// A row of `sources`.
pub fn source(index: u32, d: &SourceData, names: RowNames) -> ChronySource {
    let refclock = match (d.mode, d.address) {
        (2, Ip::V4(a)) => Some(refid(a.to_bits(), 0)),
        _ => None,
    };
    let address = if refclock.is_some() { Ip::Unspec } else { d.address };
    let sampled = d.since_sample != NEVER;
    ChronySource {
        source: key(Some(index), address, refclock, names),
        mode: match d.mode {
            0 => SourceMode::Server,
            1 => SourceMode::Peer,
            2 => SourceMode::ReferenceClock,
            _ => SourceMode::Unknown,
        },
        state: match d.state {
            0 => SourceState::Selected,
            1 => SourceState::Nonselectable,
            2 => SourceState::Falseticker,
            3 => SourceState::Jittery,
            4 => SourceState::Combined,
            5 => SourceState::Selectable,
            _ => SourceState::Unknown,
        },
        stratum: d.stratum,
        poll_log2: d.poll,
        reach: reach_value(Reach::from_bits(d.reachability.to_be_bytes()[1])),
        last_sample_age_s: age(d.since_sample),
        offset_s: sampled.then(|| turned(d.latest_meas)),
        measured_offset_s: sampled.then(|| turned(d.orig_latest_meas)),
        root_distance_s: sampled.then(|| kept(d.latest_meas_err)),
    }
}

/// A reference ID beside an address: characters for a reference clock, else the ID of that address.
fn refid_beside(id: u32, address: Ip) -> RefIdValue {
    refid(id, if address == Ip::Unspec { 0 } else { 2 })
}

/// A row of `sourcestats`.
pub fn source_stats(index: u32, d: &SourceStats, names: RowNames) -> ChronySourceStat {
    let sampled = d.n_samples > 0;
    ChronySourceStat {
        source: key(Some(index), d.address, Some(refid_beside(d.ref_id, d.address)), names),
        samples: d.n_samples,
        runs: d.n_runs,
        span_s: d.span_seconds,
        residual_frequency_ppm: d.resid_freq_ppm.to_f64(),
        skew_ppm: d.skew_ppm.to_f64(),
        offset_s: sampled.then(|| turned(d.est_offset)),
        offset_error_s: sampled.then(|| kept(d.est_offset_err)),
        jitter_s: sampled.then(|| kept(d.sd)),
    }
}

/// The word of a selection state.
fn state_word(state: u8) -> &'static str {
    match state {
        b'N' => "noselect",
        b'M' => "missing-samples",
        b's' => "unsynchronised",
        b'r' => "stratum",
        b'd' => "large-distance",
        b'~' => "jittery",
        b'w' => "waits-for-statistics",
        b'S' => "stale",
        b'O' => "orphan",
        b'T' => "not-trusted",
        b'x' => "falseticker",
        b'W' => "waits-for-others",
        b'P' => "not-preferred",
        b'U' => "waits-for-update",
        b'D' => "distant",
        b'L' => "outlier",
        b'+' => "combined",
        b'*' => "selected",
        _ => "unknown",
    }
}

fn option_words(bits: u16) -> Vec<&'static str> {
    use select_options::{NOSELECT, PREFER, REQUIRE, TRUST};
    let words = [(NOSELECT, "noselect"), (PREFER, "prefer"), (TRUST, "trust"), (REQUIRE, "require")];
    words.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, word)| word).collect()
}

/// A row of `selectdata`; turning the sign makes the upper limit the lower one.
pub fn select_data(index: u32, d: &SelectData, names: RowNames) -> ChronySelect {
    let letter = if (0x20..0x7f).contains(&d.state) { char::from(d.state) } else { '?' };
    ChronySelect {
        source: key(Some(index), d.address, Some(refid_beside(d.ref_id, d.address)), names),
        state: state_word(d.state),
        state_letter: letter.to_string(),
        authenticated: d.authentication != 0,
        configured_options: option_words(d.conf_options),
        effective_options: option_words(d.eff_options),
        last_sample_age_s: age(d.last_sample_ago),
        score: d.score.to_f64(),
        offset_low_s: turned(d.hi_limit),
        offset_high_s: turned(d.lo_limit),
        leap: leap(u16::from(d.leap)),
    }
}

fn key_type_name(mode: u16, key_type: u16) -> Option<&'static str> {
    Some(match (mode, key_type) {
        (1, 1) => "MD5",
        (1, 2) => "SHA1",
        (1, 3) => "SHA256",
        (1, 4) => "SHA384",
        (1, 5) => "SHA512",
        (1, 6) => "SHA3-224",
        (1, 7) => "SHA3-256",
        (1, 8) => "SHA3-384",
        (1, 9) => "SHA3-512",
        (1, 10) => "TIGER",
        (1, 11) => "WHIRLPOOL",
        (1, 13) => "AES128",
        (1, 14) => "AES256",
        (2, 15) => "AES-SIV-CMAC-256",
        (2, 30) => "AES-128-GCM-SIV",
        _ => return None,
    })
}

/// A row of `authdata`.
pub fn auth_data(address: Ip, d: &AuthData, names: RowNames) -> ChronyAuth {
    ChronyAuth {
        source: key(None, address, None, names),
        mode: match d.mode {
            0 => "none",
            1 => "symmetric",
            2 => "nts",
            _ => "unknown",
        },
        key_id: d.key_id,
        key_type: d.key_type,
        key_type_name: key_type_name(d.mode, d.key_type),
        key_length: d.key_length,
        last_key_establishment_age_s: age(d.last_ke_ago),
        key_establishment_attempts: d.ke_attempts,
        nak: d.nak != 0,
        cookies: d.cookies,
        cookie_length: d.cookie_length,
    }
}

/// The counters of `ntpdata` in the order of the text; `None`: the daemon did not send it.
pub type NtpCounters = [Option<u32>; 8];

/// What any generation of `ntpdata` holds.
pub fn ntp_data_parts(reply: &Reply) -> Option<(&NtpDataHead, NtpCounters)> {
    match reply {
        Reply::NtpData2(d) => {
            let h = &d.head;
            let new = [d.total_kernel_tx, d.total_kernel_rx, d.total_hw_tx, d.total_hw_rx].map(Some);
            let [a, b, c, e] = new;
            let old = [h.total_tx, h.total_rx, h.total_valid, h.total_good].map(Some);
            let [w, x, y, z] = old;
            Some((h, [w, x, y, z, a, b, c, e]))
        }
        Reply::NtpDataOld(d) => {
            let h = &d.head;
            let good = (h.total_good != u32::MAX).then_some(h.total_good);
            let counters =
                [Some(h.total_tx), Some(h.total_rx), Some(h.total_valid), good, None, None, None, None];
            Some((h, counters))
        }
        _ => None,
    }
}

fn stamping(letter: u8) -> Option<&'static str> {
    match letter {
        b'D' => Some("daemon"),
        b'K' => Some("kernel"),
        b'H' => Some("hardware"),
        _ => None,
    }
}

/// `ntpdata` of one source.
pub fn ntp_data(d: &NtpDataHead, counters: &NtpCounters) -> ChronyNtpDatum {
    let test = |bit: u16| d.flags >> bit & 1 != 0;
    let [sent, received, valid, good, kernel_transmit, kernel_receive, hardware_transmit, hardware_receive] =
        *counters;
    ChronyNtpDatum {
        address: d.remote_address.addr(),
        port: d.remote_port,
        local_address: d.local_address.addr(),
        leap: leap(u16::from(d.leap)),
        version: d.version,
        mode: match d.mode {
            1 => "symmetric-active",
            2 => "symmetric-passive",
            4 => "server",
            _ => "unknown",
        },
        stratum: d.stratum,
        poll_log2: d.poll,
        precision_log2: d.precision,
        root_delay_s: kept(d.root_delay),
        root_dispersion_s: kept(d.root_dispersion),
        refid: refid(d.ref_id, u16::from(d.stratum)),
        ref_time: instant(d.ref_time),
        offset_s: kept(d.offset),
        delay_s: kept(d.peer_delay),
        dispersion_s: kept(d.peer_dispersion),
        response_time_s: kept(d.response_time),
        jitter_asymmetry: d.jitter_asymmetry.to_f64(),
        tests: ChronyNtpTests {
            duplicate: test(9),
            origin: test(8),
            timestamps: test(7),
            authentication: test(6),
            synchronised: test(5),
            root_distance: test(4),
            max_delay: test(3),
            delay_ratio: test(2),
            delay_deviation: test(1),
            r#loop: test(0),
        },
        interleaved: d.flags & 0x4000 != 0,
        authenticated: d.flags & 0x8000 != 0,
        transmit_stamping: stamping(d.tx_source),
        receive_stamping: stamping(d.rx_source),
        total: ChronyNtpTotals {
            sent,
            received,
            valid,
            good,
            kernel_transmit,
            kernel_receive,
            hardware_transmit,
            hardware_receive,
        },
    }
}

/// The counters of `serverstats` in the order of the text; `None`: the daemon did not send it.
pub type ServerCounters = [Option<u64>; 17];

/// What any generation of `serverstats` holds.
pub fn server_counters(reply: &Reply) -> Option<ServerCounters> {
    let mut counters = [None; 17];
    let mut fill = |values: &[u64]| {
        counters.iter_mut().zip(values).for_each(|(slot, value)| *slot = Some(*value));
    };
    match reply {
        Reply::ServerStats(d) => {
            fill(&[d.ntp_hits, d.ntp_drops, d.cmd_hits, d.cmd_drops, d.log_drops].map(u64::from));
        }
        Reply::ServerStats2(d) => fill(&second_generation(d)),
        Reply::ServerStats3(d) => {
            let more = [d.ntp_interleaved_hits, d.ntp_timestamps, d.ntp_span_seconds].map(u64::from);
            fill(&[&second_generation(&d.base)[..], &more].concat());
        }
        Reply::ServerStats4(d) => fill(&[
            d.ntp_hits,
            d.ntp_drops,
            d.cmd_hits,
            d.cmd_drops,
            d.log_drops,
            d.nke_hits,
            d.nke_drops,
            d.ntp_auth_hits,
            d.ntp_interleaved_hits,
            d.ntp_timestamps,
            d.ntp_span_seconds,
            d.ntp_daemon_rx,
            d.ntp_daemon_tx,
            d.ntp_kernel_rx,
            d.ntp_kernel_tx,
            d.ntp_hw_rx,
            d.ntp_hw_tx,
        ]),
        _ => return None,
    }
    Some(counters)
}

fn second_generation(d: &crate::wire::cmdmon::ServerStats2) -> [u64; 8] {
    [d.ntp_hits, d.ntp_drops, d.cmd_hits, d.cmd_drops, d.log_drops, d.nke_hits, d.nke_drops, d.ntp_auth_hits]
        .map(u64::from)
}

/// `serverstats`.
pub fn server_stats(counters: &ServerCounters) -> ChronyServerStats {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q] = *counters;
    ChronyServerStats {
        ntp_received: a,
        ntp_dropped: b,
        command_received: c,
        command_dropped: d,
        client_log_dropped: e,
        nts_ke_accepted: f,
        nts_ke_dropped: g,
        ntp_authenticated: h,
        ntp_interleaved: i,
        ntp_timestamps: j,
        ntp_timestamp_span_s: k,
        daemon_receive: l,
        daemon_transmit: m,
        kernel_receive: n,
        kernel_transmit: o,
        hardware_receive: p,
        hardware_transmit: q,
    }
}

/// `activity`.
pub fn activity(d: &Activity) -> ChronyActivity {
    ChronyActivity {
        online: d.online,
        offline: d.offline,
        burst_online: d.burst_online,
        burst_offline: d.burst_offline,
        unresolved: d.unresolved,
    }
}

/// `smoothing`.
pub fn smoothing(d: &Smoothing) -> ChronySmoothing {
    ChronySmoothing {
        active: d.flags & 1 != 0,
        leap_only: d.flags & 2 != 0,
        served_offset_s: kept(d.offset),
        frequency_ppm: d.freq_ppm.to_f64(),
        wander_ppm_per_s: d.wander_ppm.to_f64(),
        last_update_age_s: kept(d.last_update_ago),
        remaining_s: kept(d.remaining_time),
    }
}

/// `rtcdata`.
pub fn rtc_data(d: &RtcReport) -> ChronyRtcData {
    ChronyRtcData {
        ref_time: instant(d.ref_time),
        samples: d.n_samples,
        runs: d.n_runs,
        span_s: d.span_seconds,
        rtc_fast_s: kept(d.rtc_seconds_fast),
        rtc_gain_ppm: d.rtc_gain_rate_ppm.to_f64(),
    }
}

/// The record of the 2.3 … 3.5 generation in the shape of the newer one; NTS-KE stays "never".
pub fn client_of_old(d: &ClientAccess2) -> ClientAccess {
    ClientAccess {
        address: d.address,
        ntp_hits: d.ntp_hits,
        nke_hits: 0,
        cmd_hits: d.cmd_hits,
        ntp_drops: d.ntp_drops,
        nke_drops: 0,
        cmd_drops: d.cmd_drops,
        ntp_interval: d.ntp_interval,
        nke_interval: 127,
        cmd_interval: d.cmd_interval,
        ntp_timeout_interval: d.ntp_timeout_interval,
        last_ntp_hit_ago: d.last_ntp_hit_ago,
        last_nke_hit_ago: NEVER,
        last_cmd_hit_ago: d.last_cmd_hit_ago,
    }
}

/// A row of `clients`.
pub fn client(d: &ClientAccess, hostname: Option<String>) -> ChronyClient {
    let service = |hits, drops, log2, last| ChronyClientService {
        hits,
        drops,
        interval_log2: interval(log2),
        last_age_s: age(last),
    };
    ChronyClient {
        address: d.address.addr(),
        hostname,
        ntp: service(d.ntp_hits, d.ntp_drops, d.ntp_interval, d.last_ntp_hit_ago),
        ntp_limited_interval_log2: interval(d.ntp_timeout_interval),
        nts_ke: Some(service(d.nke_hits, d.nke_drops, d.nke_interval, d.last_nke_hit_ago)),
        command: service(d.cmd_hits, d.cmd_drops, d.cmd_interval, d.last_cmd_hit_ago),
    }
}

/// A row of `manual list`.
pub fn manual_sample(index: usize, d: &ManualSample) -> ChronyManualSample {
    ChronyManualSample {
        index,
        time: instant(d.when),
        slewed_offset_s: turned(d.slewed_offset),
        offset_s: turned(d.orig_offset),
        residual_s: turned(d.residual),
    }
}

/// `settime`.
pub fn settime(d: &ManualTimestamp) -> ChronySettime {
    ChronySettime {
        offset_s: turned(d.offset),
        frequency_change_ppm: d.dfreq_ppm.to_f64(),
        frequency_ppm: d.new_afreq_ppm.to_f64(),
    }
}

/// The reference ID of `waitsync`.
pub fn waitsync_refid(t: &Tracking) -> RefIdValue {
    refid(t.ref_id, t.stratum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cmdmon::tests::captured;

    #[test]
    fn ahead_becomes_behind_without_a_negative_zero() {
        assert_eq!(turned(Float::from_f64(-0.5)).get().to_bits(), 0.5f64.to_bits());
        assert_eq!(turned(Float::ZERO).get().to_bits(), 0.0f64.to_bits());
    }

    #[test]
    fn tracking_keeps_its_correction_and_turns_its_last_offset() {
        let Reply::Tracking(t) = captured("tracking") else { panic!("not tracking") };
        let report = tracking(&t, "::1".into(), None);
        assert_eq!(report.offset_s.get().to_bits(), 5.940_020_173_511_584e-7_f64.to_bits());
        assert_eq!(report.last_offset_s.get().to_bits(), (-1.617_833_511_602_384_5e-8_f64).to_bits());
        assert_eq!((report.refid.text.as_str(), report.leap), ("GPS", Some(Leap::None)));
        assert!(report.synchronised && !report.local_mode);
        let bound = 5.94e-7 + 3.263_538e-6 + 1e-5;
        assert!(report.maximum_error_s.is_some_and(|m| (m.get() - bound).abs() < 1e-9));
    }

    #[test]
    fn a_source_without_samples_has_no_offset() {
        let Reply::SourceData(d) = captured("source-data-index-3") else { panic!("not a source") };
        let row = source(3, &d, RowNames::default());
        assert_eq!((row.offset_s, row.last_sample_age_s), (None, None));
        let Reply::SourceData(d) = captured("source-data-index-5") else { panic!("not a source") };
        let row = source(5, &d, RowNames::default());
        assert_eq!((row.source.address, row.source.id), (None, Some(1)));
    }

    #[test]
    fn a_reference_clock_is_named_by_its_id() {
        let Reply::SourceData(d) = captured("source-data-index-0") else { panic!("not a source") };
        let row = source(0, &d, RowNames::default());
        assert_eq!((row.source.name.as_deref(), row.source.address), (Some("GPS"), None));
        assert!(row.offset_s.is_some_and(|o| o.get() > 0.0), "1010 ns behind");
        let Reply::SourceStats(d) = captured("sourcestats-index-0") else { panic!("no statistics") };
        assert_eq!(source_stats(0, &d, RowNames::default()).source.name.as_deref(), Some("GPS"));
    }

    #[test]
    fn limits_of_selection_are_turned_and_swapped() {
        let Reply::SelectData(d) = captured("select-data-index-1") else { panic!("no selection") };
        let row = select_data(1, &d, RowNames::default());
        assert!(row.offset_low_s.get() < 0.0 && row.offset_high_s.get() > 0.0);
        assert_eq!(row.offset_low_s.get().to_bits(), (0.0 - d.hi_limit.to_f64()).to_bits());
        assert_eq!((row.state, row.authenticated), ("selected", true));
    }

    #[test]
    fn ntpdata_keeps_its_sign_and_names_its_tests() {
        let reply = captured("ntp-data2");
        let (head, counters) = ntp_data_parts(&reply).unwrap();
        let datum = ntp_data(head, &counters);
        assert!(datum.offset_s.get() < 0.0 && datum.authenticated && !datum.interleaved);
        assert!(datum.tests.r#loop && datum.tests.duplicate);
        assert_eq!((datum.total.sent, datum.total.hardware_receive), (Some(9), Some(0)));
    }

    #[test]
    fn counters_that_were_not_sent_are_none() {
        let base = crate::wire::cmdmon::ServerStats {
            ntp_hits: 1,
            cmd_hits: 2,
            ntp_drops: 3,
            cmd_drops: 4,
            log_drops: 5,
        };
        let counters = server_counters(&Reply::ServerStats(base)).unwrap();
        assert_eq!(counters[..6], [Some(1), Some(3), Some(2), Some(4), Some(5), None]);
        assert_eq!(server_counters(&Reply::Null), None);
    }

    #[test]
    fn times_that_cannot_be_shown_are_none() {
        for secs in [0, i64::MAX, i64::MIN] {
            assert_eq!(instant(Timespec { secs, nanos: 0 }), None);
        }
        assert!(instant(Timespec { secs: 1, nanos: 0 }).is_some());
    }
}
