//! Reports → the tables of ntpq 4.2.8p15 (without its `+` signs) and 4.2.6.

use crate::client::mode6::catalogue::selection_name;
use crate::report::{NtpqAssociations, NtpqPeer, NtpqPeerKind};
use crate::types::Secs;
use crate::wire::mode6::status::{PeerStatus, peer_event_name, refclock_name};

/// Width of the column `remote`.
pub(super) const REMOTE: usize = 15;

/// Which of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    /// `peers`, `lpeers`: reference identifier and jitter.
    Peers,
    /// `opeers`, `lopeers`: local address and dispersion.
    Opeers,
    /// `apeers`: association identifier.
    Apeers,
}

/// How wide names may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Width of the column `remote` (15; more with `-W`).
    pub(super) remote: usize,
    /// Too long names get a line of their own (`-w`) instead of being cut.
    pub(super) wide: bool,
    /// The letters of 4.2.6: `t` from the local address.
    pub(super) old: bool,
}

/// Header and rule.
pub(super) fn peers_header(table: Table, layout: Layout) -> String {
    let (before, after) = match table {
        Table::Peers => {
            ("     remote    ", "       refid      st t when poll reach   delay   offset  jitter")
        }
        Table::Opeers => {
            ("     remote    ", "       local      st t when poll reach   delay   offset    disp")
        }
        Table::Apeers => {
            ("     remote    ", "   refid   assid  st t when poll reach   delay   offset  jitter")
        }
    };
    let more = layout.remote - REMOTE;
    format!("{before}{}{after}\n{}\n", " ".repeat(more), "=".repeat(78 + more))
}

/// One row.
pub(super) fn peer_row(table: Table, layout: Layout, peer: &NtpqPeer) -> String {
    let mut row = String::new();
    row.push(tally(&peer.status.hex));
    let width = layout.remote;
    if layout.wide && peer.remote.chars().count() > width {
        row.push_str(&format!("{}\n {:width$} ", peer.remote, ""));
    } else {
        row.push_str(&format!("{:<width$.width$} ", peer.remote));
    }
    row.push_str(&match table {
        Table::Peers => format!("{:<15}", refid_column(peer)),
        Table::Opeers => format!("{:<15}", cut_left(peer.local_address.as_deref().unwrap_or_default(), 15)),
        Table::Apeers => format!("{:<9}{:<6}", refid_hex(peer), peer.association),
    });
    let last = match table {
        Table::Opeers => peer.dispersion_s,
        Table::Peers | Table::Apeers => peer.jitter_s.or(peer.dispersion_s),
    };
    row.push_str(&format!(
        "{:>3} {} {:>4.4} {:>4.4}  {:>3}  {:>7} {:>8} {:>7}\n",
        peer.stratum.get(),
        if layout.old { old_letter(peer) } else { letter(peer.kind) },
        peer.last_received_age_s.map_or_else(|| "-".to_owned(), age),
        age(1_i64 << peer.poll_log2.log2().clamp(0, 17)),
        peer.reach.octal,
        milliseconds(peer.delay_s),
        milliseconds(peer.offset_s),
        milliseconds(last),
    ));
    row
}

fn tally(status_hex: &str) -> char {
    PeerStatus::from_bits(u16::from_str_radix(status_hex, 16).unwrap_or(0)).selection.tally()
}

/// `LOCAL(0)` for 127.127.1.0 and its like.
pub(super) fn refclock_text(driver: u8, unit: u8) -> String {
    match refclock_name(driver) {
        Some(name) => format!("{name}({unit})"),
        None => format!("REFCLK({driver},{unit})"),
    }
}

fn refid_column(peer: &NtpqPeer) -> String {
    let text = peer.refid_text.as_str();
    match text.parse::<std::net::Ipv4Addr>() {
        Ok(address) => match address.octets() {
            [127, 127, driver, unit] => refclock_text(driver, unit),
            _ => text.to_owned(),
        },
        Err(_) if text.is_empty() || text.len() > 4 => String::new(),
        Err(_) => format!(".{text}."),
    }
}

/// Addresses as hex digits.
fn refid_hex(peer: &NtpqPeer) -> String {
    match peer.refid_text.parse::<std::net::Ipv4Addr>() {
        Ok(address) if !address.is_unspecified() && address.octets()[..2] != [127, 127] => {
            format!("{:x}", address.to_bits())
        }
        _ => refid_column(peer),
    }
}

/// The end of a text that is too long, behind a `_`.
pub(super) fn cut_left(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    std::iter::once('_').chain(text.chars().skip(length + 1 - width)).collect()
}

const fn letter(kind: NtpqPeerKind) -> char {
    match kind {
        NtpqPeerKind::Unicast => 'u',
        NtpqPeerKind::Local => 'l',
        NtpqPeerKind::Pool => 'p',
        NtpqPeerKind::Manycast => 'a',
        NtpqPeerKind::SymmetricActive => 's',
        NtpqPeerKind::SymmetricPassive => 'S',
        NtpqPeerKind::Broadcast => 'B',
        NtpqPeerKind::Multicast => 'M',
        NtpqPeerKind::BroadcastClient => 'b',
        NtpqPeerKind::Unknown => '?',
    }
}

/// 4.2.6: from the address that the server uses towards the source.
fn old_letter(peer: &NtpqPeer) -> char {
    match peer.local_address.as_deref().map(str::parse::<std::net::IpAddr>) {
        None | Some(Err(_)) => '?',
        Some(Ok(std::net::IpAddr::V6(v6))) => {
            if v6.is_multicast() {
                'm'
            } else {
                'u'
            }
        }
        Some(Ok(std::net::IpAddr::V4(v4))) => match v4.octets() {
            [127, 0, 0, 1] => 'l',
            [0, 0, 0, 0..32] => '-',
            [_, _, _, 255] => 'b',
            _ if v4.is_multicast() => 'm',
            _ => 'u',
        },
    }
}

/// Seconds in at most four characters: `-`, `2048`, `34m`, `96h`, `300d`, `3y`.
pub(super) fn age(seconds: i64) -> String {
    if seconds <= 0 {
        return "-".to_owned();
    }
    if seconds <= 2048 {
        return seconds.to_string();
    }
    let minutes = (seconds + 29) / 60;
    if minutes <= 300 {
        return format!("{minutes}m");
    }
    let hours = (minutes + 29) / 60;
    if hours <= 96 {
        return format!("{hours}h");
    }
    let days = (hours + 11) / 24;
    if days <= 999 {
        return format!("{days}d");
    }
    format!("{}y", (days + 182) / 365)
}

/// Milliseconds with three decimals, cut to seven characters; 0.000 for a value that the server did not send.
pub(super) fn milliseconds(value: Option<Secs>) -> String {
    let mut text = milliseconds_full(value.unwrap_or_default());
    text.truncate(7);
    text
}

/// The same at full length. The original holds times in units of 2⁻³² s: to the nearest of these first, then half up at
/// the microsecond (observed: 0.0945 → `0.094`, 1.0355 → `1.036`).
pub(super) fn milliseconds_full(value: Secs) -> String {
    let nanos = i128::from(value.to_delta().as_nanos());
    let units = ((nanos.abs() << 33) + 1_000_000_000) / 2_000_000_000;
    let micros = (units * 1_000_000 + (1 << 31)) >> 32;
    let sign = if nanos < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", micros / 1000, micros % 1000)
}

/// The table of `associations`. 4.2.6 has an empty line before it.
pub(super) fn associations(list: &NtpqAssociations, old: bool) -> String {
    let mut text = String::from(if old { "\n" } else { "" });
    text.push_str("ind assid status  conf reach auth condition  last_event cnt\n");
    text.push_str("===========================================================\n");
    for row in &list.associations {
        let status = PeerStatus::from_bits(u16::from_str_radix(&row.status.hex, 16).unwrap_or(0));
        let yes_no = |set: bool| if set { "yes" } else { "no" };
        let reach = if status.broadcast { "none" } else { yes_no(status.reachable) };
        let auth = match (status.broadcast, status.auth_enabled, status.authentic) {
            (_, false, _) => "none",
            (true, true, _) => "yes",
            (false, true, true) => "ok ",
            (false, true, false) => "bad",
        };
        let condition = match selection_name(status.selection) {
            "outlier" if old => "outlyer",
            other => other,
        };
        // these tables know fewer events than `rv`
        let event = match status.event {
            11 => "clock_alarm",
            12.. => "",
            event => peer_event_name(event).unwrap_or(""),
        };
        let line = format!(
            "{:>3} {:>5}  {}   {:>3}  {reach:>4}  {auth:>4} {condition:>9} {event:>11} {:>2}",
            row.index,
            row.association,
            row.status.hex,
            yes_no(status.configured),
            status.count,
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TimeDelta;

    #[test]
    fn ages_take_four_characters() {
        let vectors = [
            (-5, "-"),
            (0, "-"),
            (1, "1"),
            (2048, "2048"),
            (2049, "34m"),
            (18_000, "300m"),
            (18_030, "300m"),
            (18_031, "5h"),
            (345_600, "96h"),
            (346_800, "96h"),
            (360_000, "4d"),
            (1_000_000, "12d"),
            (86_400 * 998, "998d"),
            (86_400 * 1000, "3y"),
            (86_400 * 365 * 20, "20y"),
            (131_072, "36h"),
        ];
        for (seconds, text) in vectors {
            assert_eq!(age(seconds), text, "{seconds}");
        }
        assert!(age(i64::MAX / 2).len() > 4, "cut by the column");
    }

    #[test]
    fn milliseconds_are_rounded_as_in_units_of_2_to_the_minus_32() {
        for (nanos, text) in [
            (94_500, "0.094"),
            (1_035_500, "1.036"),
            (-400, "-0.000"),
            (123_456_789_000, "123456."),
            (99_999_999_900, "100000."),
            (-199_945_000, "-199.94"),
            (7_500_048_000, "7500.04"),
            (15_937_500_000, "15937.5"),
            (0, "0.000"),
        ] {
            assert_eq!(milliseconds(Some(TimeDelta::from_nanos(nanos).into())), text, "{nanos}");
        }
        assert_eq!(milliseconds(None), "0.000");
    }

    #[test]
    fn long_addresses_lose_their_beginning() {
        assert_eq!(cut_left("fd00:1111:2222:3333:4444::1", 15), "_2:3333:4444::1");
        assert_eq!(cut_left("10.0.0.1", 15), "10.0.0.1");
    }
}
