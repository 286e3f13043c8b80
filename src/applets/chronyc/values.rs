//! How chronyc writes values (spec chronyc.md 2.4): what comes from the daemon in, text of fixed width or CSV out.

use crate::types::civil::CivilTime;
use crate::wire::cmdmon::{Float, Ip, Timespec};

/// "Never" among ages.
pub(super) const NEVER: u32 = u32::MAX;
/// "Unknown" among intervals of clients.
pub(super) const UNKNOWN_INTERVAL: i8 = 127;

/// An age in s, in four columns.
pub(super) fn interval(seconds: u32) -> String {
    let days = seconds / 86_400;
    match seconds {
        NEVER => "   -".to_owned(),
        0..1_200 => format!("{seconds:4}"),
        1_200..36_000 => format!("{:3}m", seconds / 60),
        36_000..345_600 => format!("{:3}h", seconds / 3600),
        _ if days <= 999 => format!("{days:3}d"),
        _ => format!("{:3}y", days / 365),
    }
}

/// The unit in which an offset of this size is shown: limit below which it is, factor, digits, name.
const UNITS: [(f64, f64, usize, &str); 8] = [
    (9999.5e-9, 1e9, 0, "ns"),
    (9999.5e-6, 1e6, 0, "us"),
    (9999.5e-3, 1e3, 0, "ms"),
    (999.5, 1.0, 1, "s"),
    (99_999.5, 1.0, 0, "s"),
    (99_999.5 * 60.0, 1.0 / 60.0, 0, "m"),
    (99_999.5 * 3600.0, 1.0 / 3600.0, 0, "h"),
    (99_999.5 * 86_400.0, 1.0 / 86_400.0, 0, "d"),
];
/// Beyond the last limit.
const YEARS: (f64, f64, usize, &str) = (f64::INFINITY, 1.0 / (86_400.0 * 365.0), 0, "y");

fn unit_of(magnitude: f64) -> (f64, usize, &'static str) {
    let (_, factor, digits, name) = UNITS.into_iter().find(|(limit, ..)| magnitude < *limit).unwrap_or(YEARS);
    (factor, digits, name)
}

/// Seconds scaled to a unit: small units are multiplied, large ones divided, as the original does.
fn scaled(x: f64, factor: f64) -> f64 {
    if factor < 1.0 { x / (1.0 / factor).round() } else { x * factor }
}

/// An unsigned offset, in six columns.
pub(super) fn offset(seconds: Float) -> String {
    let x = seconds.to_f64().abs();
    let (factor, digits, name) = unit_of(x);
    let width = 6 - name.len();
    format!("{:width$.digits$}{name}", scaled(x, factor))
}

/// An offset with its sign, in seven columns.
pub(super) fn signed_offset(seconds: Float) -> String {
    let x = seconds.to_f64();
    let (factor, digits, name) = unit_of(x.abs());
    let width = 7 - name.len();
    format!("{:+width$.digits$}{name}", scaled(x, factor))
}

/// ppm in ten columns.
pub(super) fn ppm(value: Float) -> String {
    let x = value.to_f64();
    if x.abs() < 99_999.5 { format!("{x:10.3}") } else { format!("{x:10.0}") }
}

/// ppm with its sign in ten columns.
pub(super) fn signed_ppm(value: Float) -> String {
    let x = value.to_f64();
    if x.abs() < 99_999.5 { format!("{x:+10.3}") } else { format!("{x:+10.0}") }
}

/// log2 of a client's interval, in two columns.
pub(super) fn client_interval(log2: i8) -> String {
    if log2 == UNKNOWN_INTERVAL { " -".to_owned() } else { format!("{log2:2}") }
}

/// The readable characters of a reference ID.
pub(super) fn refid_text(id: u32) -> String {
    id.to_be_bytes().into_iter().filter(|b| (0x20..0x7f).contains(b)).map(char::from).collect()
}

/// An address as a reference ID: IPv4 as it is; everything else has none that could be told from here.
pub(super) fn refid_of(address: Ip) -> u32 {
    match address {
        Ip::V4(a) => a.to_bits(),
        Ip::V6(a) => ipv6_refid(a.octets()),
        Ip::Unspec | Ip::Id(_) => 0,
    }
}

/// The first four bytes of the MD5 of an IPv6 address (RFC 5905 §7.3).
fn ipv6_refid(octets: [u8; 16]) -> u32 {
    use md5::Digest;
    let [a, b, c, d, ..] = <[u8; 16]>::from(md5::Md5::digest(octets));
    u32::from_be_bytes([a, b, c, d])
}

/// `Sat Nov 21 05:01:27 2026`, UTC.
pub(super) fn date(time: Timespec) -> String {
    let Some(c) = civil(time) else { return String::new() };
    format!(
        "{} {} {:02} {:02}:{:02}:{:02} {}",
        c.weekday_name(),
        c.month_name(),
        c.day,
        c.hour,
        c.minute,
        c.second,
        c.year
    )
}

/// `2009-12-31 23:59:55`, UTC.
pub(super) fn iso_date(time: Timespec) -> String {
    let Some(c) = civil(time) else { return String::new() };
    format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

/// The calendar has no room for years beyond 2³¹, like the C library's.
fn civil(time: Timespec) -> Option<CivilTime> {
    const YEAR_LIMIT: i64 = 1 << 31;
    let fits = (time.secs / 31_556_952).abs() < YEAR_LIMIT - 2000;
    fits.then(|| CivilTime::from_unix(time.secs, time.nanos, 0))
}

/// Seconds since 1970 with nine digits (CSV).
pub(super) fn epoch(time: Timespec) -> String {
    format!("{}.{:09}", time.secs, time.nanos)
}

/// Leap status in words.
pub(super) fn leap(leap: u16) -> &'static str {
    match leap {
        0 => "Normal",
        1 => "Insert second",
        2 => "Delete second",
        3 => "Not synchronised",
        _ => "Invalid",
    }
}

/// Leap status as a letter.
pub(super) fn leap_letter(leap: u16) -> char {
    match leap {
        0 => 'N',
        1 => '+',
        2 => '-',
        _ => '?',
    }
}

/// `Yes` or `No`.
pub(super) fn yes_no(yes: bool) -> &'static str {
    if yes { "Yes" } else { "No" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_change_unit_at_the_limits_of_the_original() {
        let cases = [
            (0, "   0"),
            (1199, "1199"),
            (1200, " 20m"),
            (35_999, "599m"),
            (36_000, " 10h"),
            (345_599, " 95h"),
            (345_600, "  4d"),
            (86_400 * 1000 - 1, "999d"),
            (86_400 * 1000, "  2y"),
            (u32::MAX - 1, "136y"),
            (u32::MAX, "   -"),
        ];
        for (seconds, text) in cases {
            assert_eq!(interval(seconds), text);
        }
    }

    #[test]
    fn offsets_change_unit_at_the_limits_of_the_original() {
        let cases = [
            (0.0, "   0ns", "    +0ns"),
            (-61e-9, "  61ns", "  -61ns"),
            (9.999e-6, "9999ns", "+9999ns"),
            (1e-5, "  10us", "  +10us"),
            (0.0123, "  12ms", "  +12ms"),
            (-9.9, "9900ms", "-9900ms"),
            (10.0, " 10.0s", " +10.0s"),
            (999.4, "999.4s", "+999.4s"),
            (1000.0, " 1000s", " +1000s"),
            (99_999.0, "99999s", "+99999s"),
            (120_000.0, " 2000m", " +2000m"),
            (7_200_000.0, " 2000h", " +2000h"),
            (864_000_000.0, "10000d", "+10000d"),
            (-31_536_000_000.0, " 1000y", " -1000y"),
        ];
        for (seconds, unsigned, signed) in cases {
            let float = Float::from_f64(seconds);
            assert_eq!(offset(float), unsigned, "{seconds}");
            assert_eq!(signed_offset(float).trim_start(), signed.trim_start(), "{seconds}");
            assert_eq!(signed_offset(float).len(), 7);
        }
    }

    #[test]
    fn ppm_loses_its_digits_when_large() {
        let of = |x| Float::from_f64(x);
        assert_eq!(ppm(of(2000.0)), "  2000.000");
        assert_eq!(signed_ppm(of(-0.0004)), "    -0.000");
        assert_eq!(ppm(of(1e6)), "   1000000");
        assert_eq!(signed_ppm(of(0.0)), "    +0.000");
    }

    #[test]
    fn dates_are_utc_and_never_panic() {
        let t = |secs| Timespec { secs, nanos: 0 };
        assert_eq!(date(t(1_795_237_287)), "Sat Nov 21 05:01:27 2026");
        assert_eq!(iso_date(t(1_262_303_995)), "2009-12-31 23:59:55");
        assert_eq!(date(t(0)), "Thu Jan 01 00:00:00 1970");
        for secs in [i64::MAX, i64::MIN, i64::MAX / 2] {
            date(t(secs));
        }
        assert_eq!(epoch(Timespec { secs: 5, nanos: 7 }), "5.000000007");
    }

    #[test]
    fn reference_ids() {
        assert_eq!(refid_text(0x4750_5300), "GPS");
        assert_eq!(refid_text(0x1b5b_324a), "[2J");
        assert_eq!(refid_of(Ip::V6(std::net::Ipv6Addr::LOCALHOST)), 0xCF40_4DC8);
    }
}
