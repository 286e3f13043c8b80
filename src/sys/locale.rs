//! What a locale of the C library says about the names of weekdays and the decimal point.
#![expect(unsafe_code, reason = "newlocale and nl_langinfo_l; the process's own locale stays C")]

use std::ffi::{CStr, CString};

/// The parts of a locale that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locale {
    /// Abbreviated weekdays, Sunday first, as raw bytes of the locale's own character set.
    pub weekdays: [Vec<u8>; 7],
    /// Decimal point.
    pub radix: Vec<u8>,
}

impl Default for Locale {
    fn default() -> Self {
        Self {
            weekdays: ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"].map(|name| name.as_bytes().to_vec()),
            radix: b".".to_vec(),
        }
    }
}

impl Locale {
    /// By the names that LC_TIME and LC_NUMERIC have; an unknown one counts as C.
    pub fn named(time: &str, numeric: &str) -> Self {
        let c = Self::default();
        let items = [
            libc::ABDAY_1,
            libc::ABDAY_2,
            libc::ABDAY_3,
            libc::ABDAY_4,
            libc::ABDAY_5,
            libc::ABDAY_6,
            libc::ABDAY_7,
        ];
        let weekdays = texts(time, libc::LC_TIME_MASK, &items)
            .and_then(|names| <[Vec<u8>; 7]>::try_from(names).ok())
            .unwrap_or(c.weekdays);
        let radix = texts(numeric, libc::LC_NUMERIC_MASK, &[libc::RADIXCHAR])
            .and_then(|mut texts| texts.pop())
            .unwrap_or(c.radix);
        Self { weekdays, radix }
    }

    /// By the environment: LC_ALL, then the category's own variable, then LANG.
    pub fn from_env(env: &std::collections::BTreeMap<String, String>) -> Self {
        let pick = |category: &str| {
            ["LC_ALL", category, "LANG"]
                .into_iter()
                .filter_map(|name| env.get(name))
                .find(|value| !value.is_empty())
                .map_or("C", String::as_str)
        };
        Self::named(pick("LC_TIME"), pick("LC_NUMERIC"))
    }
}

/// Texts of a locale; `None` when it does not exist or one of them is empty.
fn texts(name: &str, mask: i32, items: &[libc::nl_item]) -> Option<Vec<Vec<u8>>> {
    if matches!(name, "C" | "POSIX") {
        return None;
    }
    let name = CString::new(name).ok()?;
    // SAFETY: the name is a C string; a null base asks for a new locale.
    let locale = unsafe { libc::newlocale(mask, name.as_ptr(), std::ptr::null_mut()) };
    if locale.is_null() {
        return None;
    }
    let text = |&item| {
        // SAFETY: the locale is ours until freelocale; the answer is a C string that lives as long.
        let bytes = unsafe { CStr::from_ptr(libc::nl_langinfo_l(item, locale)) }.to_bytes().to_vec();
        Some(bytes).filter(|bytes| !bytes.is_empty())
    };
    let found = items.iter().map(text).collect();
    // SAFETY: nothing refers to it any more.
    unsafe { libc::freelocale(locale) };
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_locale_is_c() {
        assert_eq!(Locale::named("xx_YY", "xx_YY"), Locale::default());
        assert_eq!(Locale::named("a\0b", "C"), Locale::default());
        assert_eq!(Locale::named("C.UTF-8", "C.UTF-8"), Locale::default());
    }

    #[test]
    fn weekdays_and_decimal_point_of_another_language() {
        let french = Locale::named("fr_FR.UTF-8", "fr_FR.UTF-8");
        if french == Locale::default() {
            #[expect(clippy::print_stderr, reason = "a test says why it was skipped")]
            {
                eprintln!("skipped: the locale fr_FR.UTF-8 is not installed");
            }
            return;
        }
        assert_eq!(
            (french.weekdays[5].as_slice(), french.radix.as_slice()),
            (b"ven.".as_slice(), b",".as_slice())
        );
    }

    #[test]
    fn the_environment_has_an_order() {
        let env = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        assert_eq!(Locale::from_env(&env(&[("LC_ALL", "C"), ("LANG", "fr_FR.UTF-8")])), Locale::default());
        assert_eq!(Locale::from_env(&env(&[])), Locale::default());
    }
}
