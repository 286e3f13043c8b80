//! Values of variable lists, decoded: what a server sends is text, and hostile until it has been through here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::types::{NtpTimestamp, TimeDelta};

/// Text for a terminal: printable ASCII as it is, all other bytes as `^X` and `M-x`.
pub fn visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        let mut low = byte;
        if byte >= 0x80 {
            text.push_str("M-");
            low &= 0x7f;
        }
        match low {
            0x20..0x7f => text.push(char::from(low)),
            _ => {
                text.push('^');
                text.push(char::from(low ^ 0x40));
            }
        }
    }
    text
}

/// A decimal number in milliseconds, `-0.123456`, to the nanosecond; exponents (NTPsec) too. `None` for anything else.
pub fn millis(text: &[u8]) -> Option<TimeDelta> {
    if text.iter().any(|b| matches!(b, b'e' | b'E')) {
        return TimeDelta::from_secs_f64(number(text)? / 1000.0);
    }
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let point = digits.iter().position(|&b| b == b'.').unwrap_or(digits.len());
    let whole = digits.get(..point)?;
    let fraction = digits.get(point + 1..).unwrap_or_default();
    if whole.len() + fraction.len() == 0 || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return None;
    }
    let six = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(6);
    let nanos = whole
        .iter()
        .copied()
        .chain(six)
        .fold(0_i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    Some(TimeDelta::from_nanos(if negative { -nanos } else { nanos }))
}

/// A finite decimal number.
pub fn number(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse().ok().filter(|value: &f64| plain && value.is_finite())
}

/// An unsigned number, decimal or `0x…`.
pub fn unsigned(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

/// A signed decimal number.
pub fn signed(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An NTP time stamp: `0xeeabd29e.cecbd831`, with or without `0x` and point, or whole seconds in decimal.
pub fn timestamp(text: &[u8]) -> Option<NtpTimestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let bytes = digits.as_bytes();
    let hex = |part: &[u8]| {
        let plain = part.len() == 8 && part.iter().all(u8::is_ascii_hexdigit);
        plain.then(|| u64::from_str_radix(std::str::from_utf8(part).ok()?, 16).ok()).flatten()
    };
    let seconds = bytes.get(..8).and_then(hex);
    let fraction = match bytes.len() {
        17 => bytes.get(8..).and_then(|rest| rest.strip_prefix(b".")).and_then(hex),
        16 => bytes.get(8..).and_then(hex),
        _ => None,
    };
    match (seconds, fraction) {
        (Some(seconds), Some(fraction)) => Some(NtpTimestamp::from_bits(seconds << 32 | fraction)),
        _ if digits.len() == text.len() && !text.is_empty() && bytes.iter().all(u8::is_ascii_digit) => {
            Some(NtpTimestamp::from_bits(u64::from(text.parse::<u32>().ok()?) << 32))
        }
        _ => None,
    }
}

/// An address with the scope and port that may stand beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// The address.
    pub ip: IpAddr,
    /// Scope of a link-local address, 0 without.
    pub scope: u32,
    /// Port, 0 without.
    pub port: u16,
}

impl Endpoint {
    /// The address with its scope, without the port.
    pub fn address(&self) -> String {
        match self.scope {
            0 => self.ip.to_string(),
            scope => format!("{}%{scope}", self.ip),
        }
    }
}

/// Reads `192.0.2.1`, `192.0.2.1:123`, `2001:db8::1`, `fe80::1%2`, `[2001:db8::1]:123`.
pub fn endpoint(text: &[u8]) -> Option<Endpoint> {
    let text = std::str::from_utf8(text).ok()?;
    let v6 = |text: &str| {
        let (address, scope) = text.split_once('%').unwrap_or((text, "0"));
        Some((IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), scope.parse().ok()?))
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        let (ip, scope) = v6(address)?;
        let port = if after.is_empty() { 0 } else { after.strip_prefix(':')?.parse().ok()? };
        return Some(Endpoint { ip, scope, port });
    }
    if let Some((ip, scope)) = v6(text) {
        return Some(Endpoint { ip, scope, port: 0 });
    }
    let (address, port) = text.split_once(':').unwrap_or((text, "0"));
    Some(Endpoint { ip: IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), scope: 0, port: port.parse().ok()? })
}

/// Driver and unit of a reference clock's address 127.127.t.u.
pub fn refclock(ip: IpAddr) -> Option<(u8, u8)> {
    match ip {
        IpAddr::V4(v4) => match v4.octets() {
            [127, 127, driver, unit] => Some((driver, unit)),
            _ => None,
        },
        IpAddr::V6(_) => None,
    }
}

/// The numbers of an array such as `filtdelay`: 1 … 8 of them (more are dropped), or `None` when any is no number.
pub fn array(text: &[u8]) -> Option<Vec<f64>> {
    let words = text.split(|b| b.is_ascii_whitespace()).filter(|word| !word.is_empty());
    words.take(8).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_read_to_the_nanosecond() {
        for (text, nanos) in [
            ("1.035", Some(1_035_000)),
            ("-0.000001", Some(-1)),
            ("+5.25", Some(5_250_000)),
            (".5", Some(500_000)),
            ("5.", Some(5_000_000)),
            ("1e-06", Some(1)),
            ("99999999999999999999", Some(i64::MAX)),
            ("", None),
            ("-", None),
            (".", None),
            ("1.2.3", None),
            ("1,2", None),
            ("nan", None),
            ("inf", None),
            ("0x10", None),
        ] {
            assert_eq!(millis(text.as_bytes()).map(TimeDelta::as_nanos), nanos, "{text}");
        }
    }

    #[test]
    fn time_stamps_in_every_form_that_was_seen() {
        let full = Some(NtpTimestamp::from_bits(0xeeab_d29e_cecb_d831));
        for text in ["0xeeabd29e.cecbd831", "eeabd29e.cecbd831", "0xeeabd29ececbd831"] {
            assert_eq!(timestamp(text.as_bytes()), full, "{text}");
        }
        assert_eq!(timestamp(b"123"), Some(NtpTimestamp::from_bits(123 << 32)));
        for text in ["", "garbage", "0xeeabd2a0", "0x0.0", "0xeeabd2a0.12", "0x1234567890.12345678", "\"0\""]
        {
            assert_eq!(timestamp(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn addresses_with_and_without_port_and_scope() {
        let read = |text: &str| endpoint(text.as_bytes()).map(|e| (e.address(), e.port));
        assert_eq!(read("10.0.0.1"), Some(("10.0.0.1".into(), 0)));
        assert_eq!(read("10.0.0.1:123"), Some(("10.0.0.1".into(), 123)));
        assert_eq!(read("fe80::1%2"), Some(("fe80::1%2".into(), 0)));
        assert_eq!(read("[fd00::1]:123"), Some(("fd00::1".into(), 123)));
        for text in ["", "abc", "\"127.0.0.1\"", "[::1", "1.2.3.4.5", "1.2.3.4:x", "1.2.3.4:70000"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn no_control_character_survives() {
        assert_eq!(visible(b"a\x1b[2J\x07\x80\xff\x7f"), "a^[[2J^GM-^@M-^?^?");
        for byte in 0..=255 {
            assert!(visible(&[byte]).bytes().all(|b| (0x20..0x7f).contains(&b)));
        }
    }
}
