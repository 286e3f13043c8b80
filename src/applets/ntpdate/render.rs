//! Texts of ntpdate 4.2.6p5, byte for byte (ntp-legacy 1.10). Pure: the zone is a parameter.

use std::net::IpAddr;

use crate::engine::oneshot::classic::Fixed;
use crate::engine::oneshot::{Correction, Server};
use crate::types::civil::CivilTime;
use crate::types::{NtpTimestamp, TimeDelta, Timestamp};

/// How many places the original's filter has; all are printed.
const FILTER_PLACES: usize = 8;

/// Seconds east of UTC at a second since 1970.
pub(super) type Zone<'a> = &'a dyn Fn(i64) -> i32;

/// `%2d Mon HH:MM:SS PROG[PID]: `
pub(super) fn prefix(now: Timestamp, zone: Zone<'_>, program: &str, pid: u32) -> String {
    let t = CivilTime::from_timestamp(now, zone(now.secs()));
    format!("{:2} {} {:02}:{:02}:{:02} {program}[{pid}]: ", t.day, t.month_name(), t.hour, t.minute, t.second)
}

/// The version line: `ntpdate 4.2.6p5@ntpbox-0.1.0 Www Mon dd hh:mm:ss UTC yyyy (1)`.
pub(super) fn version(ntpbox: &str, released: Timestamp) -> String {
    let t = CivilTime::from_timestamp(released, 0);
    format!(
        "ntpdate 4.2.6p5@ntpbox-{ntpbox} {} {} {:2} {:02}:{:02}:{:02} UTC {} (1)",
        t.weekday_name(),
        t.month_name(),
        t.day,
        t.hour,
        t.minute,
        t.second,
        t.year
    )
}

/// Six decimals, rounded half up on the magnitude of the 2⁻³² s fixed-point number; the sign stays, even of -0.000000.
pub(super) fn offset(offset: TimeDelta) -> String {
    let magnitude = i128::from(offset.as_nanos()).abs();
    let fixed = ((magnitude << 32) + 500_000_000) / 1_000_000_000;
    let micros = (fixed * 1_000_000 + (1 << 31)) >> 32;
    let sign = if fixed > 0 && offset.is_negative() { "-" } else { "" };
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Five decimals of a 16.16 number, rounded half up.
pub(super) fn fixed(value: Fixed) -> String {
    let places = (i128::from(value.to_bits().max(0)) * 100_000 + (1 << 15)) >> 16;
    format!("{}.{:05}", places / 100_000, places % 100_000)
}

/// An address as the original prints it: without scope.
pub(super) fn address(ip: IpAddr) -> String {
    ip.to_string()
}

/// The row of `-q`.
pub(super) fn row(server: &Server) -> String {
    let filtered = server.filtered();
    format!(
        "server {}, stratum {}, offset {}, delay {}",
        address(server.address.ip()),
        server.stratum(),
        offset(filtered.best.map_or(TimeDelta::ZERO, |best| best.offset)),
        fixed(filtered.delay)
    )
}

/// The last line of a run.
pub(super) fn correction(correction: Correction, server: IpAddr) -> String {
    let (word, by) = match correction {
        Correction::Step(by) => ("step", by),
        Correction::Slew(by) => ("adjust", by),
    };
    format!("{word} time server {} offset {} sec", address(server), offset(by))
}

/// A server's block of `-d`, with its empty line.
pub(super) fn block(server: &Server, now: Timestamp, zone: Zone<'_>) -> String {
    let filtered = server.filtered();
    let candidate = server.candidate();
    let ip = address(server.address.ip());
    let refid = match server.last {
        Some(header) if server.stratum() == 1 => printable(header.refid.to_bytes()),
        _ => ip.clone(),
    };
    let (delay, dispersion) = (fixed(filtered.delay), fixed(filtered.dispersion));
    let slots = |text: &dyn Fn(usize) -> String| filter_row(text);
    let delays = slots(&|at| fixed(server.slots.get(at).map_or(Fixed::ZERO, |slot| slot.delay)));
    let offsets = slots(&|at| {
        offset(server.slots.get(at).and_then(|slot| slot.sample).map_or(TimeDelta::ZERO, |s| s.offset))
    });
    format!(
        "server {ip}, port {port}\n\
         stratum {stratum}, precision {precision}, leap {leap:02b}, trust {trust:03o}\n\
         refid [{refid}], delay {delay}, dispersion {dispersion}\n\
         transmitted {sent}, in filter {in_filter}\n\
         reference time:    {reference}\n\
         originate timestamp: {originate}\n\
         transmit timestamp:  {transmit}\n\
         filter delay: {delays}\n\
         filter offset:{offsets}\n\
         delay {delay}, dispersion {dispersion}\n\
         offset {offset}\n\n",
        port = server.address.port(),
        stratum = server.stratum(),
        precision = candidate.precision.log2(),
        leap = candidate.leap.to_bits(),
        trust = server.trust,
        sent = server.sent,
        in_filter = server.slots.len(),
        reference = date(candidate.reference, now, zone),
        originate = date(candidate.transmit, now, zone),
        transmit = date(server.request, now, zone),
        offset = offset(filtered.best.map_or(TimeDelta::ZERO, |best| best.offset)),
    )
}

/// Eight columns of ` %-8.8s` in two rows.
fn filter_row(text: &dyn Fn(usize) -> String) -> String {
    let mut row = String::new();
    for place in 0..FILTER_PLACES {
        if place == FILTER_PLACES / 2 {
            row.push_str("\n        ");
        }
        let text = text(place);
        let cut = text.get(..8).unwrap_or(&text);
        row.push_str(&format!(" {cut:<8}"));
    }
    row
}

/// Characters that print, up to the first NUL; others become dots.
fn printable(bytes: [u8; 4]) -> String {
    let text = bytes.iter().take_while(|&&b| b != 0);
    text.map(|&b| if (0x20..0x7f).contains(&b) { char::from(b) } else { '.' }).collect()
}

/// `%08x.%08x  Www, Mon dd yyyy hh:mm:ss.mmm` in local time, ms cut; zero is 1900.
fn date(stamp: NtpTimestamp, now: Timestamp, zone: Zone<'_>) -> String {
    let secs = if stamp.is_zero() { -2_208_988_800 } else { stamp.to_timestamp(now).secs() };
    let millis = (u64::from(stamp.fraction()) * 1000) >> 32;
    let t = CivilTime::from_unix(secs, 0, zone(secs));
    format!(
        "{:08x}.{:08x}  {}, {} {:2} {:4} {:2}:{:02}:{:02}.{millis:03}",
        stamp.seconds(),
        stamp.fraction(),
        t.weekday_name(),
        t.month_name(),
        t.day,
        t.year,
        t.hour,
        t.minute,
        t.second
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::oneshot::{OneShot, Options, Samples};
    use crate::types::Version;

    const UTC: Zone<'static> = &|_| 0;

    #[test]
    fn the_prefix_pads_the_day_with_a_blank() {
        // 2015-08-02 06:36:51 UTC (seed: " 2 Aug 06:36:51 ntpdate[8128]: ")
        let t = Timestamp::from_unix(1_438_497_411, 0);
        assert_eq!(prefix(t, UTC, "ntpdate", 8128), " 2 Aug 06:36:51 ntpdate[8128]: ");
        assert_eq!(prefix(t, &|_| 9 * 3600, "ntpdate", 1), " 2 Aug 15:36:51 ntpdate[1]: ");
    }

    #[test]
    fn offsets_have_six_decimals_and_no_plus() {
        let text = |nanos| offset(TimeDelta::from_nanos(nanos));
        assert_eq!(text(-691_491_000), "-0.691491");
        assert_eq!(text(110_240_425_235_000), "110240.425235");
        assert_eq!(text(1_246_000), "0.001246");
        assert_eq!(text(-100), "-0.000000");
        assert_eq!(text(0), "0.000000");
        assert_eq!(text(999_999_600), "1.000000");
        assert_eq!(text(i64::MIN), "-9223372036.854776");
    }

    #[test]
    fn fixed_point_rounds_half_up_at_the_fifth_decimal() {
        assert_eq!(fixed(Fixed::from_bits(0x400 + 0x28f)), "0.02562");
        assert_eq!(fixed(Fixed::MISSING), "64.00000");
        assert_eq!(fixed(Fixed::ZERO), "0.00000");
    }

    #[test]
    fn filter_columns_are_cut_to_eight_characters() {
        let row = filter_row(&|place| if place < 2 { "110240.425235".into() } else { "0.000000".into() });
        assert_eq!(row, " 110240.4 110240.4 0.000000 0.000000\n         0.000000 0.000000 0.000000 0.000000");
        let row = filter_row(&|_| "0.02576".into());
        assert_eq!(row, " 0.02576  0.02576  0.02576  0.02576 \n         0.02576  0.02576  0.02576  0.02576 ");
    }

    #[test]
    fn a_server_that_never_answered_has_a_block_and_a_row() {
        let options = Options {
            samples: Samples::Exactly(4),
            interval: None,
            timeout: TimeDelta::from_secs(1),
            version: Version::V4,
            authentication: None,
            signing_delay: TimeDelta::ZERO,
        };
        let run = OneShot::new(options, &["10.77.0.77:123".parse().unwrap()], Timestamp::UNIX_EPOCH);
        let server = &run.servers()[0];
        assert_eq!(row(server), "server 10.77.0.77, stratum 0, offset 0.000000, delay 0.00000");
        let text = block(server, Timestamp::from_unix(1_795_239_272, 0), UTC);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "stratum 0, precision 0, leap 00, trust 000");
        assert_eq!(lines[2], "refid [10.77.0.77], delay 0.00000, dispersion 64.00000");
        assert_eq!(lines[4], "reference time:    00000000.00000000  Mon, Jan  1 1900  0:00:00.000");
        assert_eq!(lines[5], "originate timestamp: 00000000.00000000  Mon, Jan  1 1900  0:00:00.000");
        assert_eq!(lines[7], "filter delay:  0.00000  0.00000  0.00000  0.00000 ");
        assert_eq!(lines[8], "         0.00000  0.00000  0.00000  0.00000 ");
        assert_eq!(lines[9], "filter offset: 0.000000 0.000000 0.000000 0.000000");
        assert_eq!(lines[12], "offset 0.000000");
        assert!(text.ends_with("offset 0.000000\n\n"));
    }

    #[test]
    fn dates_are_those_of_the_golden_transcript() {
        let stamp = NtpTimestamp::from_bits(0xeeab_a2e0_1262_5800);
        let now = Timestamp::from_unix(1_795_239_272, 0);
        assert_eq!(date(stamp, now, UTC), "eeaba2e0.12625800  Sat, Nov 21 2026  4:56:00.071");
    }

    #[test]
    fn a_hostile_reference_id_prints_no_control_characters() {
        assert_eq!(printable(*b"\x1b[2J"), ".[2J");
        assert_eq!(printable(*b"GPS\0"), "GPS");
    }
}
