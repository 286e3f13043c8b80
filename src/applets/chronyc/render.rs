//! The reports of chronyc, byte for byte: text, and CSV where the original's order of fields differs from the text's.
//!
//! Rendered from the replies as they came: values that no daemon of today sends are shown as the original shows them.

use crate::client::cmdmon::{NtpCounters, ServerCounters};
use crate::wire::cmdmon::{
    Activity, AuthData, ClientAccess, Float, ManualSample, ManualTimestamp, NtpDataHead, RtcReport,
    SelectData, Smoothing, SourceData, SourceStats, Tracking, select_options,
};

use super::values::{
    client_interval, date, epoch, interval, iso_date, leap, leap_letter, offset, ppm, refid_of, refid_text,
    signed_offset, signed_ppm, yes_no,
};

/// What changes the shape of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Style {
    /// `-c`.
    pub(super) csv: bool,
    /// `-w`: names have 14 columns more.
    pub(super) wide: bool,
}

/// What `-w` adds to the column of names.
const WIDER: usize = 14;

impl Style {
    /// The width of a column of names that has `narrow` without `-w`.
    fn names(self, narrow: usize) -> usize {
        narrow + if self.wide { WIDER } else { 0 }
    }

    /// The blanks that `-w` inserts into a legend.
    fn gap(self) -> &'static str {
        if self.wide { "              " } else { "" }
    }
}

/// The tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Sources,
    SourceStats,
    SelectData,
    AuthData,
    ClientsCommand,
    ClientsNtsKe,
}

/// A table's heading: the caption over the names, the width of that column, the captions after it.
const fn heading_parts(table: Table) -> (&'static str, usize, &'static str) {
    match table {
        Table::Sources => ("MS Name/IP address", 27, "Stratum Poll Reach LastRx Last sample               "),
        Table::SourceStats => ("Name/IP Address", 27, "NP  NR  Span  Frequency  Freq Skew  Offset  Std Dev"),
        Table::SelectData => ("S Name/IP Address", 25, "Auth COpts EOpts Last Score     Interval  Leap"),
        Table::AuthData => ("Name/IP address", 28, "Mode KeyID Type KLen Last Atmp  NAK Cook CLen"),
        Table::ClientsCommand => ("Hostname", 30, "NTP   Drop Int IntL Last     Cmd   Drop Int  Last"),
        Table::ClientsNtsKe => ("Hostname", 30, "NTP   Drop Int IntL Last  NTS-KE   Drop Int  Last"),
    }
}

/// The two lines over a table.
pub(super) fn heading(table: Table, style: Style) -> String {
    let (caption, width, rest) = heading_parts(table);
    let line = format!("{caption:width$}{rest}", width = style.names(width));
    format!("{line}\n{}\n", "=".repeat(line.len()))
}

/// A float as CSV shows offsets.
fn nine(x: Float) -> String {
    format!("{:.9}", x.to_f64())
}

/// A float as CSV shows ppm.
fn three(x: Float) -> String {
    format!("{:.3}", x.to_f64())
}

fn csv(fields: &[String]) -> String {
    let mut line = fields.join(",");
    line.push('\n');
    line
}

pub(super) fn source_mode(mode: u16) -> char {
    match mode {
        0 => '^',
        1 => '=',
        2 => '#',
        _ => ' ',
    }
}

pub(super) fn source_state(state: u16) -> char {
    match state {
        0 => '*',
        1 => '?',
        2 => 'x',
        3 => '~',
        4 => '+',
        5 => '-',
        _ => ' ',
    }
}

pub(super) fn source(d: &SourceData, name: &str, style: Style) -> String {
    let (mode, state) = (source_mode(d.mode), source_state(d.state));
    if style.csv {
        return csv(&[
            mode.to_string(),
            state.to_string(),
            name.to_owned(),
            d.stratum.to_string(),
            d.poll.to_string(),
            format!("{:o}", d.reachability),
            d.since_sample.to_string(),
            nine(d.latest_meas),
            nine(d.orig_latest_meas),
            nine(d.latest_meas_err),
        ]);
    }
    format!(
        "{mode}{state} {name:width$}  {:2}  {:2}   {:3o}  {}  {}[{}] +/- {}\n",
        d.stratum,
        d.poll,
        d.reachability,
        interval(d.since_sample),
        signed_offset(d.latest_meas),
        signed_offset(d.orig_latest_meas),
        offset(d.latest_meas_err),
        width = style.names(27),
    )
}

pub(super) fn source_stats(d: &SourceStats, name: &str, style: Style) -> String {
    if style.csv {
        return csv(&[
            name.to_owned(),
            d.n_samples.to_string(),
            d.n_runs.to_string(),
            d.span_seconds.to_string(),
            three(d.resid_freq_ppm),
            three(d.skew_ppm),
            nine(d.est_offset),
            nine(d.sd),
        ]);
    }
    format!(
        "{name:width$} {:3} {:3}  {} {} {}  {}  {}\n",
        d.n_samples,
        d.n_runs,
        interval(d.span_seconds),
        signed_ppm(d.resid_freq_ppm),
        ppm(d.skew_ppm),
        signed_offset(d.est_offset),
        offset(d.sd),
        width = style.names(25),
    )
}

/// `System time`: positive is slow.
fn slow_or_fast(correction: f64) -> String {
    format!("{:.9} seconds {}", correction.abs(), if correction > 0.0 { "slow" } else { "fast" })
}

pub(super) fn tracking(d: &Tracking, name: &str, style: Style) -> String {
    if style.csv {
        return csv(&[
            format!("{:08X}", d.ref_id),
            name.to_owned(),
            d.stratum.to_string(),
            epoch(d.ref_time),
            nine(d.current_correction),
            nine(d.last_offset),
            nine(d.rms_offset),
            three(d.freq_ppm),
            three(d.resid_freq_ppm),
            three(d.skew_ppm),
            nine(d.root_delay),
            nine(d.root_dispersion),
            format!("{:.1}", d.last_update_interval.to_f64()),
            leap(d.leap).to_owned(),
        ]);
    }
    let frequency = d.freq_ppm.to_f64();
    format!(
        "Reference ID    : {:08X} ({name})
Stratum         : {}
Ref time (UTC)  : {}
System time     : {} of NTP time
Last offset     : {:+.9} seconds
RMS offset      : {:.9} seconds
Frequency       : {:.3} ppm {}
Residual freq   : {:+.3} ppm
Skew            : {:.3} ppm
Root delay      : {:.9} seconds
Root dispersion : {:.9} seconds
Update interval : {:.1} seconds
Leap status     : {}
",
        d.ref_id,
        d.stratum,
        date(d.ref_time),
        slow_or_fast(d.current_correction.to_f64()),
        d.last_offset.to_f64(),
        d.rms_offset.to_f64(),
        frequency.abs(),
        if frequency > 0.0 { "fast" } else { "slow" },
        d.resid_freq_ppm.to_f64(),
        d.skew_ppm.to_f64(),
        d.root_delay.to_f64(),
        d.root_dispersion.to_f64(),
        d.last_update_interval.to_f64(),
        leap(d.leap),
    )
}

/// The five columns of selection options.
fn options(bits: u16) -> [char; 5] {
    use select_options::{NOSELECT, PREFER, REQUIRE, TRUST};
    let letter = |bit, letter| if bits & bit == 0 { '-' } else { letter };
    [letter(NOSELECT, 'N'), letter(PREFER, 'P'), letter(TRUST, 'T'), letter(REQUIRE, 'R'), '-']
}

/// The letter of a selection state; what is no printable character is shown as a question mark.
pub(super) fn state_letter(state: u8) -> char {
    if (0x20..0x7f).contains(&state) { char::from(state) } else { '?' }
}

pub(super) fn select_data(d: &SelectData, name: &str, style: Style) -> String {
    let state = state_letter(d.state);
    let auth = if d.authentication == 0 { 'N' } else { 'Y' };
    let (configured, effective) = (options(d.conf_options), options(d.eff_options));
    let leap_bits = u16::from(d.leap);
    if style.csv {
        let mut fields = vec![state.to_string(), name.to_owned(), auth.to_string()];
        fields.extend(configured.iter().chain(&effective).map(char::to_string));
        fields.extend([
            d.last_sample_ago.to_string(),
            format!("{:.1}", d.score.to_f64()),
            nine(d.lo_limit),
            nine(d.hi_limit),
            leap(leap_bits).to_owned(),
        ]);
        return csv(&fields);
    }
    format!(
        "{state} {name:width$} {auth} {} {} {} {:5.1} {} {}  {}\n",
        String::from_iter(configured),
        String::from_iter(effective),
        interval(d.last_sample_ago),
        d.score.to_f64(),
        signed_offset(d.lo_limit),
        signed_offset(d.hi_limit),
        leap_letter(leap_bits),
        width = style.names(25),
    )
}

pub(super) fn auth_data(d: &AuthData, name: &str, style: Style) -> String {
    let mode = match d.mode {
        0 => "-",
        1 => "SK",
        2 => "NTS",
        _ => "?",
    };
    if style.csv {
        return csv(&[
            name.to_owned(),
            mode.to_owned(),
            d.key_id.to_string(),
            d.key_type.to_string(),
            d.key_length.to_string(),
            d.last_ke_ago.to_string(),
            d.ke_attempts.to_string(),
            d.nak.to_string(),
            d.cookies.to_string(),
            d.cookie_length.to_string(),
        ]);
    }
    format!(
        "{name:width$} {mode:>4} {:5} {:4} {:4} {} {:4} {:4} {:4} {:4}\n",
        d.key_id,
        d.key_type,
        d.key_length,
        interval(d.last_ke_ago),
        d.ke_attempts,
        d.nak,
        d.cookies,
        d.cookie_length,
        width = style.names(27),
    )
}

/// What `clients` shows of the second service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Command,
    NtsKe,
}

pub(super) fn client(d: &ClientAccess, service: Service, name: &str, style: Style) -> String {
    let (hits, drops, log2, last) = match service {
        Service::Command => (d.cmd_hits, d.cmd_drops, d.cmd_interval, d.last_cmd_hit_ago),
        Service::NtsKe => (d.nke_hits, d.nke_drops, d.nke_interval, d.last_nke_hit_ago),
    };
    if style.csv {
        return csv(&[
            name.to_owned(),
            d.ntp_hits.to_string(),
            d.ntp_drops.to_string(),
            d.ntp_interval.to_string(),
            d.ntp_timeout_interval.to_string(),
            d.last_ntp_hit_ago.to_string(),
            hits.to_string(),
            drops.to_string(),
            log2.to_string(),
            last.to_string(),
        ]);
    }
    format!(
        "{name:width$}  {:6}  {:5}  {}  {}  {}  {hits:6}  {drops:5}  {}  {}\n",
        d.ntp_hits,
        d.ntp_drops,
        client_interval(d.ntp_interval),
        client_interval(d.ntp_timeout_interval),
        interval(d.last_ntp_hit_ago),
        client_interval(log2),
        interval(last),
        width = style.names(25),
    )
}

/// The ten tests in their three groups, `1` for passed.
fn tests(flags: u16) -> [String; 3] {
    [flags >> 7 & 7, flags >> 4 & 7, flags & 15]
        .into_iter()
        .zip([3, 3, 4])
        .map(|(bits, width)| format!("{bits:0width$b}"))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap_or_default()
}

fn ntp_mode(mode: u8) -> &'static str {
    match mode {
        1 => "Symmetric active",
        2 => "Symmetric passive",
        4 => "Server",
        _ => "Invalid",
    }
}

fn stamping(letter: u8) -> &'static str {
    match letter {
        b'D' => "Daemon",
        b'K' => "Kernel",
        b'H' => "Hardware",
        _ => "Invalid",
    }
}

/// 2^log2, the exponent kept within ±31.
pub(super) fn power_of_two(log2: i8) -> f64 {
    2f64.powi(i32::from(log2.clamp(-31, 31)))
}

const NTP_COUNTERS: [&str; 8] = [
    "Total TX",
    "Total RX",
    "Total valid RX",
    "Total good RX",
    "Total kernel TX",
    "Total kernel RX",
    "Total HW TX",
    "Total HW RX",
];

/// The words that text and CSV of `ntpdata` share.
struct NtpWords {
    refid: String,
    tests: [String; 3],
    interleaved: &'static str,
    authenticated: &'static str,
    poll_s: f64,
    precision_s: f64,
    leap: &'static str,
}

fn ntp_words(d: &NtpDataHead) -> NtpWords {
    NtpWords {
        refid: if d.stratum <= 1 { refid_text(d.ref_id) } else { String::new() },
        tests: tests(d.flags),
        interleaved: yes_no(d.flags & 0x4000 != 0),
        authenticated: yes_no(d.flags & 0x8000 != 0),
        poll_s: power_of_two(d.poll),
        precision_s: power_of_two(d.precision),
        leap: leap(u16::from(d.leap)),
    }
}

fn ntp_data_csv(d: &NtpDataHead, counters: &NtpCounters) -> String {
    let NtpWords {
        refid,
        tests: [first, second, third],
        interleaved,
        authenticated,
        poll_s,
        precision_s,
        leap,
    } = ntp_words(d);
    let mut fields = vec![
        d.remote_address.to_string(),
        format!("{:08X}", refid_of(d.remote_address)),
        d.remote_port.to_string(),
        d.local_address.to_string(),
        format!("{:08X}", refid_of(d.local_address)),
        leap.to_owned(),
        d.version.to_string(),
        ntp_mode(d.mode).to_owned(),
        d.stratum.to_string(),
        d.poll.to_string(),
        format!("{poll_s:.0}"),
        d.precision.to_string(),
        format!("{precision_s:.9}"),
        format!("{:.6}", d.root_delay.to_f64()),
        format!("{:.6}", d.root_dispersion.to_f64()),
        format!("{:08X}", d.ref_id),
        refid,
        epoch(d.ref_time),
        nine(d.offset),
        nine(d.peer_delay),
        nine(d.peer_dispersion),
        nine(d.response_time),
        format!("{:.2}", d.jitter_asymmetry.to_f64()),
        first,
        second,
        third,
        interleaved.to_owned(),
        authenticated.to_owned(),
        stamping(d.tx_source).to_owned(),
        stamping(d.rx_source).to_owned(),
    ];
    fields.extend(counters.iter().flatten().map(u32::to_string));
    csv(&fields)
}

pub(super) fn ntp_data(d: &NtpDataHead, counters: &NtpCounters, style: Style) -> String {
    if style.csv {
        return ntp_data_csv(d, counters);
    }
    let NtpWords {
        refid,
        tests: [first, second, third],
        interleaved,
        authenticated,
        poll_s,
        precision_s,
        leap,
    } = ntp_words(d);
    let mut text = format!(
        "Remote address  : {} ({:08X})
Remote port     : {}
Local address   : {} ({:08X})
Leap status     : {leap}
Version         : {}
Mode            : {}
Stratum         : {}
Poll interval   : {} ({poll_s:.0} seconds)
Precision       : {} ({precision_s:.9} seconds)
Root delay      : {:.6} seconds
Root dispersion : {:.6} seconds
Reference ID    : {:08X} ({refid})
Reference time  : {}
Offset          : {:+.9} seconds
Peer delay      : {:.9} seconds
Peer dispersion : {:.9} seconds
Response time   : {:.9} seconds
Jitter asymmetry: {:+.2}
NTP tests       : {first} {second} {third}
Interleaved     : {interleaved}
Authenticated   : {authenticated}
TX timestamping : {}
RX timestamping : {}
",
        d.remote_address,
        refid_of(d.remote_address),
        d.remote_port,
        d.local_address,
        refid_of(d.local_address),
        d.version,
        ntp_mode(d.mode),
        d.stratum,
        d.poll,
        d.precision,
        d.root_delay.to_f64(),
        d.root_dispersion.to_f64(),
        d.ref_id,
        date(d.ref_time),
        d.offset.to_f64(),
        d.peer_delay.to_f64(),
        d.peer_dispersion.to_f64(),
        d.response_time.to_f64(),
        d.jitter_asymmetry.to_f64(),
        stamping(d.tx_source),
        stamping(d.rx_source),
    );
    for (label, count) in NTP_COUNTERS.iter().zip(counters) {
        if let Some(count) = count {
            text.push_str(&format!("{label:16}: {count}\n"));
        }
    }
    text
}

const SERVER_COUNTERS: [&str; 17] = [
    "NTP packets received",
    "NTP packets dropped",
    "Command packets received",
    "Command packets dropped",
    "Client log records dropped",
    "NTS-KE connections accepted",
    "NTS-KE connections dropped",
    "Authenticated NTP packets",
    "Interleaved NTP packets",
    "NTP timestamps held",
    "NTP timestamp span",
    "NTP daemon RX timestamps",
    "NTP daemon TX timestamps",
    "NTP kernel RX timestamps",
    "NTP kernel TX timestamps",
    "NTP hardware RX timestamps",
    "NTP hardware TX timestamps",
];

pub(super) fn server_stats(counters: &ServerCounters, style: Style) -> String {
    if style.csv {
        let fields: Vec<String> = counters.iter().flatten().map(u64::to_string).collect();
        return csv(&fields);
    }
    SERVER_COUNTERS
        .iter()
        .zip(counters)
        .filter_map(|(label, count)| count.map(|count| format!("{label:27}: {count}\n")))
        .collect()
}

pub(super) fn activity(d: &Activity, style: Style) -> String {
    let counts = [d.online, d.offline, d.burst_online, d.burst_offline, d.unresolved];
    if style.csv {
        return csv(&counts.map(|n| n.to_string()));
    }
    let captions = [
        "online",
        "offline",
        "doing burst (return to online)",
        "doing burst (return to offline)",
        "with unknown address",
    ];
    let lines = counts.iter().zip(captions).map(|(n, caption)| format!("{n} sources {caption}\n"));
    format!("200 OK\n{}", lines.collect::<String>())
}

pub(super) fn smoothing(d: &Smoothing, style: Style) -> String {
    let active = yes_no(d.flags & 1 != 0);
    let leap_only = if d.flags & 2 == 0 { "" } else { "(leap second only)" };
    if style.csv {
        return csv(&[
            active.to_owned(),
            leap_only.to_owned(),
            nine(d.offset),
            format!("{:.6}", d.freq_ppm.to_f64()),
            format!("{:.6}", d.wander_ppm.to_f64()),
            format!("{:.1}", d.last_update_ago.to_f64()),
            format!("{:.1}", d.remaining_time.to_f64()),
        ]);
    }
    format!(
        "Active         : {active} {leap_only}
Offset         : {:+.9} seconds
Frequency      : {:+.6} ppm
Wander         : {:+.6} ppm per second
Last update    : {:.1} seconds ago
Remaining time : {:.1} seconds
",
        d.offset.to_f64(),
        d.freq_ppm.to_f64(),
        d.wander_ppm.to_f64(),
        d.last_update_ago.to_f64(),
        d.remaining_time.to_f64(),
    )
}

pub(super) fn rtc_data(d: &RtcReport, style: Style) -> String {
    if style.csv {
        return csv(&[
            epoch(d.ref_time),
            d.n_samples.to_string(),
            d.n_runs.to_string(),
            d.span_seconds.to_string(),
            format!("{:.6}", d.rtc_seconds_fast.to_f64()),
            three(d.rtc_gain_rate_ppm),
        ]);
    }
    format!(
        "RTC ref time (UTC) : {}
Number of samples  : {}
Number of runs     : {}
Sample span period : {}
RTC is fast by     : {:12.6} seconds
RTC gains time at  : {:9.3} ppm
",
        date(d.ref_time),
        d.n_samples,
        d.n_runs,
        interval(d.span_seconds),
        d.rtc_seconds_fast.to_f64(),
        d.rtc_gain_rate_ppm.to_f64(),
    )
}

/// The lines over `manual list`.
pub(super) fn manual_heading(count: u32) -> String {
    let caption = "#    Date     Time(UTC)    Slewed   Original   Residual";
    format!("210 n_samples = {count}\n{caption}\n{}\n", "=".repeat(caption.len()))
}

pub(super) fn manual_sample(d: &ManualSample, index: usize, style: Style) -> String {
    let (date, [slewed, original, residual]) =
        (iso_date(d.when), [d.slewed_offset, d.orig_offset, d.residual].map(Float::to_f64));
    if style.csv {
        return format!("{index},{date},{slewed:.2},{original:.2},{residual:.2}\n");
    }
    format!("{index:2} {date} {slewed:10.2} {original:10.2} {residual:10.2}\n")
}

pub(super) fn settime(d: &ManualTimestamp) -> String {
    format!(
        "Clock was {:.2} seconds fast.  Frequency change = {:.2}ppm, new frequency = {:.2}ppm\n",
        d.offset.to_f64(),
        d.dfreq_ppm.to_f64(),
        d.new_afreq_ppm.to_f64(),
    )
}

/// One try of `waitsync`.
pub(super) fn waitsync(number: u64, d: &Tracking, style: Style) -> String {
    let (correction, skew) = (d.current_correction.to_f64().abs(), d.skew_ppm.to_f64());
    if style.csv {
        return format!("{number},{:08X},{correction:.9},{skew:.3}\n", d.ref_id);
    }
    format!("try: {number}, refid: {:08X}, correction: {correction:.9}, skew: {skew:.3}\n", d.ref_id)
}

/// The explanation that `-v` puts over a table. `old`: as chronyc up to 3.5 wrote it.
pub(super) fn legend(table: Table, style: Style, old: bool) -> String {
    let text = match table {
        Table::Sources if old => SOURCES_LEGEND_35,
        Table::Sources => SOURCES_LEGEND,
        Table::SourceStats => SOURCESTATS_LEGEND,
        Table::SelectData => SELECTDATA_LEGEND,
        Table::AuthData => AUTHDATA_LEGEND,
        Table::ClientsCommand | Table::ClientsNtsKe => "",
    };
    text.replace("<w>", style.gap())
}

const SOURCES_LEGEND: &str = r"
  .-- Source mode  '^' = server, '=' = peer, '#' = local clock.
 / .- Source state '*' = current best, '+' = combined, '-' = not combined,
| /             'x' = may be in error, '~' = too variable, '?' = unusable.
||  <w>                                               .- xxxx [ yyyy ] +/- zzzz
||  <w>    Reachability register (octal) -.           |  xxxx = adjusted offset,
||  <w>    Log2(Polling interval) --.      |          |  yyyy = measured offset,
||  <w>                              \     |          |  zzzz = estimated error.
||  <w>                               |    |           \
";

const SOURCES_LEGEND_35: &str = r"
  .-- Source mode  '^' = server, '=' = peer, '#' = local clock.
 / .- Source state '*' = current synced, '+' = combined , '-' = not combined,
| /   '?' = unreachable, 'x' = time may be in error, '~' = time too variable.
||  <w>                                               .- xxxx [ yyyy ] +/- zzzz
||  <w>    Reachability register (octal) -.           |  xxxx = adjusted offset,
||  <w>    Log2(Polling interval) --.      |          |  yyyy = measured offset,
||  <w>                              \     |          |  zzzz = estimated error.
||  <w>                               |    |           \
";

const SOURCESTATS_LEGEND: &str = r"<w>                             .- Number of sample points in measurement set.
<w>                            /    .- Number of residual runs with same sign.
<w>                           |    /    .- Length of measurement set (time).
<w>                           |   |    /      .- Est. clock freq error (ppm).
<w>                           |   |   |      /           .- Est. error in freq.
<w>                           |   |   |     |           /         .- Est. offset.
<w>                           |   |   |     |          |          |   On the -.
<w>                           |   |   |     |          |          |   samples. \
<w>                           |   |   |     |          |          |             |
";

const AUTHDATA_LEGEND: &str = r"<w>                             .- Auth. mechanism (NTS, SK - symmetric key)
<w>                            |   Key length -.  Cookie length (bytes) -.
<w>                            |       (bits)  |  Num. of cookies --.    |
<w>                            |               |  Key est. attempts  |   |
<w>                            |               |           |         |   |
";

const SELECTDATA_LEGEND: &str = r"  . State: N - noselect, s - unsynchronised, M - missing samples, r - stratum
 /         d/D - large distance, ~ - jittery, w/W - waits for others,
|          S - stale, O - orphan, T - not trusted, P - not preferred,
|          U - waits for update, x - falseticker, + - combined, * - best.
|<w>   Effective options   ---------.  (N - noselect, P - prefer
|<w>   Configured options  ----.     \  T - trust, R - require)
|<w>   Auth. enabled (Y/N) -.   \     \     Offset interval --.
|<w>                        |    |     |                       |
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::cmdmon::{ntp_data_parts, server_counters};
    use crate::wire::cmdmon::Reply;
    use crate::wire::cmdmon::tests::captured;

    const TEXT: Style = Style { csv: false, wide: false };
    const CSV: Style = Style { csv: true, wide: false };

    /// Text and CSV of a captured row.
    fn row(capture: &str, name: &str) -> [String; 2] {
        let reply = captured(capture);
        [TEXT, CSV].map(|style| match &reply {
            Reply::SourceData(d) => source(d, name, style),
            Reply::SourceStats(d) => source_stats(d, name, style),
            Reply::SelectData(d) => select_data(d, name, style),
            Reply::AuthData(d) => auth_data(d, name, style),
            Reply::Tracking(d) => tracking(d, name, style),
            Reply::Smoothing(d) => smoothing(d, style),
            Reply::Activity(d) => activity(d, style),
            reply => match (ntp_data_parts(reply), server_counters(reply)) {
                (Some((head, counters)), _) => ntp_data(head, &counters, style),
                (None, Some(counters)) => server_stats(&counters, style),
                _ => panic!("no report: {reply:?}"),
            },
        })
    }

    /// Captured reply, name, line of text, line of CSV (spec chronyc.md, part 6).
    const ROWS: &[(&str, &str, &str, &str)] = &[
        (
            "source-data-index-0",
            "GPS",
            "#* GPS                           0   0   377     1  -1010ns[ -994ns] +/-   11us\n",
            "#,*,GPS,0,0,377,1,-0.000001010,-0.000000994,0.000010583\n",
        ),
        (
            "source-data-index-1",
            "127.0.0.2",
            "^+ 127.0.0.2                     1   1   377     3    -61ns[  -61ns] +/-  823ns\n",
            "^,+,127.0.0.2,1,1,377,3,-0.000000061,-0.000000061,0.000000823\n",
        ),
        (
            "source-data-index-2",
            "::1",
            "^+ ::1                           1   1   377     1  +3776ns[+3776ns] +/- 4785ns\n",
            "^,+,::1,1,1,377,1,0.000003776,0.000003776,0.000004785\n",
        ),
        (
            "source-data-index-3",
            "127.0.0.3",
            "^? 127.0.0.3                     0   2     0     -     +0ns[   +0ns] +/-    0ns\n",
            "^,?,127.0.0.3,0,2,0,4294967295,0.000000000,0.000000000,0.000000000\n",
        ),
        (
            "sourcestats-index-0",
            "GPS",
            "GPS                        20  11    19     -0.008      0.087  -1592ns   591ns\n",
            "GPS,20,11,19,-0.008,0.087,-0.000001592,0.000000591\n",
        ),
        (
            "sourcestats-index-2",
            "::1",
            "::1                        20  12    19     +0.001      0.024  +1894ns   154ns\n",
            "::1,20,12,19,0.001,0.024,0.000001894,0.000000154\n",
        ),
        (
            "sourcestats-index-3",
            "127.0.0.3",
            "127.0.0.3                   0   0     0     +0.000   2000.000     +0ns  4000ms\n",
            "127.0.0.3,0,0,0,0.000,2000.000,0.000000000,4.000000000\n",
        ),
        (
            "select-data-index-0",
            "GPS",
            "x GPS                       N -P--- -P---    0   1.0   -22us -1211ns  N\n",
            "x,GPS,N,-,P,-,-,-,-,P,-,-,-,0,1.0,-0.000022372,-0.000001211,Normal\n",
        ),
        (
            "select-data-index-1",
            "127.0.0.2",
            "* 127.0.0.2                 Y ----- -----    5   1.0 -1030ns  +462ns  N\n",
            "*,127.0.0.2,Y,-,-,-,-,-,-,-,-,-,-,5,1.0,-0.000001030,0.000000462,Normal\n",
        ),
        (
            "auth-data-nts",
            "127.0.0.7",
            "127.0.0.7                    NTS     1   15  256    5    0    0    8  100\n",
            "127.0.0.7,NTS,1,15,256,5,0,0,8,100\n",
        ),
    ];

    #[test]
    fn captured_rows_are_those_of_the_original() {
        for (capture, name, text, csv) in ROWS {
            assert_eq!(row(capture, name), [*text, *csv], "{capture}");
        }
    }

    #[test]
    fn captured_reports_are_those_of_the_original() {
        let [text, csv] = row("tracking", "GPS");
        assert_eq!(
            text,
            "Reference ID    : 47505300 (GPS)
Stratum         : 1
Ref time (UTC)  : Sat Nov 21 05:01:27 2026
System time     : 0.000000594 seconds slow of NTP time
Last offset     : +0.000000016 seconds
RMS offset      : 0.000000454 seconds
Frequency       : 0.019 ppm slow
Residual freq   : -0.000 ppm
Skew            : 0.023 ppm
Root delay      : 0.000020000 seconds
Root dispersion : 0.000003264 seconds
Update interval : 1.0 seconds
Leap status     : Normal
"
        );
        assert_eq!(
            csv,
            "47505300,GPS,1,1795237287.730302576,0.000000594,0.000000016,0.000000454,-0.019,-0.000,0.023,0.000020000,0.000003264,1.0,Normal\n"
        );
        let [text, csv] = row("ntp-data2", "");
        assert_eq!(text.lines().count(), 31);
        assert!(text.contains("\nNTP tests       : 111 111 1111\nInterleaved     : No\n"), "{text}");
        assert_eq!(
            csv,
            "127.0.0.7,7F000007,11127,127.0.0.1,7F000001,Normal,4,Server,1,0,1,-29,0.000000002,0.000000,0.000000,7F7F0101,,1795238160.233071714,-0.000002331,0.000011152,0.000000007,0.001963834,0.00,111,111,1111,No,Yes,Kernel,Kernel,9,9,9,9,9,9,0,0\n"
        );
        let [text, csv] = row("smoothing", "");
        assert!(
            text.starts_with(
                "Active         : Yes (leap second only)\nOffset         : +0.000000000 seconds\n"
            )
        );
        assert_eq!(csv, "Yes,(leap second only),0.000000000,0.000000,0.000000,0.1,0.0\n");
        let [text, csv] = row("server-stats4", "");
        assert!(text.contains("\nNTS-KE connections accepted: 1\n"), "{text}");
        assert_eq!(csv, "9,0,6,0,0,1,0,9,0,0,0,0,9,9,0,0,0\n");
        let [text, csv] = row("activity", "");
        assert_eq!(csv, "5,0,0,0,1\n");
        assert!(
            text.starts_with("200 OK\n5 sources online\n")
                && text.ends_with("1 sources with unknown address\n")
        );
    }

    #[test]
    fn counters_of_older_daemons_shorten_the_report() {
        let counters = [Some(9), Some(0), Some(6), Some(0), Some(0)];
        let mut all = [None; 17];
        all[..5].copy_from_slice(&counters);
        assert_eq!(server_stats(&all, CSV), "9,0,6,0,0\n");
        assert_eq!(server_stats(&all, TEXT).lines().count(), 5);
    }

    #[test]
    fn headings_are_as_wide_as_their_rules() {
        for table in [
            Table::Sources,
            Table::SourceStats,
            Table::SelectData,
            Table::AuthData,
            Table::ClientsCommand,
            Table::ClientsNtsKe,
        ] {
            for wide in [false, true] {
                let text = heading(table, Style { csv: false, wide });
                let lines: Vec<_> = text.lines().collect();
                assert_eq!(lines[0].len(), lines[1].len());
            }
        }
        assert_eq!(heading(Table::Sources, TEXT).lines().next().map(str::len), Some(79));
    }

    #[test]
    fn letters_from_the_daemon_cannot_move_a_cursor() {
        assert_eq!(state_letter(0x1b), '?');
        assert_eq!(refid_text(0x1b5b_324a), "[2J");
    }
}
