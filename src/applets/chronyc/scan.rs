//! Numbers the way C's `scanf` takes them off the front of a word: what follows them is nobody's business.

/// A decimal integer at the front of a word, as `%d` reads it; beyond 32 bits there is none.
pub(super) fn int(word: &str) -> Option<i32> {
    prefix_int(word).map(|(value, _)| value)
}

/// The same with what follows it.
pub(super) fn prefix_int(word: &str) -> Option<(i32, &str)> {
    let digits_from = usize::from(word.starts_with(['+', '-']));
    let digits = word.get(digits_from..)?.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = word.split_at_checked(digits_from + digits)?;
    (digits > 0).then(|| number.parse().ok().map(|value| (value, rest))).flatten()
}

/// An unsigned decimal integer at the front of a word, as `%u` reads it: a negative one wraps.
pub(super) fn unsigned(word: &str) -> Option<u32> {
    prefix_unsigned(word).map(|(value, _)| value)
}

/// The same with what follows it.
pub(super) fn prefix_unsigned(word: &str) -> Option<(u32, &str)> {
    let (negative, digits_from) = (word.starts_with('-'), usize::from(word.starts_with(['+', '-'])));
    let digits = word.get(digits_from..)?.bytes().take_while(u8::is_ascii_digit).count();
    let value: u32 = word.get(digits_from..digits_from + digits)?.parse().ok()?;
    Some((if negative { value.wrapping_neg() } else { value }, word.get(digits_from + digits..)?))
}

/// A finite decimal number at the front of a word, as `%lf` reads it.
pub(super) fn float(word: &str) -> Option<f64> {
    prefix_float(word).map(|(value, _)| value)
}

/// The same with what follows it.
pub(super) fn prefix_float(word: &str) -> Option<(f64, &str)> {
    let bytes = word.as_bytes();
    if let Some(hex) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        let digits = hex.bytes().take_while(u8::is_ascii_hexdigit).count();
        let (number, rest) = hex.split_at_checked(digits)?;
        return u32::from_str_radix(number, 16).ok().map(|value| (f64::from(value), rest));
    }
    let digits =
        |from: usize| bytes.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let whole = digits(end);
    end += whole;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    let (number, rest) = word.split_at_checked(end)?;
    number.parse().ok().filter(|x: &f64| x.is_finite()).map(|value| (value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_number_does_not_matter() {
        assert_eq!(int("-2x"), Some(-2));
        assert_eq!(int("+7"), Some(7));
        for none in ["", "-", "x1", "99999999999"] {
            assert_eq!(int(none), None, "{none}");
        }
        assert_eq!(unsigned("12/3"), Some(12));
        assert_eq!(unsigned("-1"), Some(u32::MAX));
        assert_eq!(unsigned("-"), None);
    }

    #[test]
    fn floats_are_read_as_far_as_they_go() {
        for (word, value) in [
            ("0.1", 0.1),
            ("-.5s", -0.5),
            ("1e3", 1000.0),
            ("1e", 1.0),
            ("5.", 5.0),
            ("2e-3x", 0.002),
            ("0x10", 16.0),
        ] {
            assert_eq!(float(word).map(f64::to_bits), Some(f64::to_bits(value)), "{word}");
        }
        for none in ["", ".", "-", "abc", "nan", "inf", "1e999"] {
            assert_eq!(float(none), None, "{none}");
        }
    }
}
