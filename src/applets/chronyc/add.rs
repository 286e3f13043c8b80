//! `add server|peer|pool NAME [OPTION]...`: the source options of chrony.conf.

use super::parse::Resolve;
use super::scan;
use crate::wire::cmdmon::{AddSource2, Float, Name, Pad, flags};

const BAD_SYNTAX: &str = "Invalid syntax for add command";
const BAD_OPTION: &str = "Invalid option in add command";
const BAD_VALUE: &str = "Invalid value in add command";
const BAD_HOST: &str = "Invalid host/IP address";

/// Polls are within ±32 (log2 s).
const POLL_LIMIT: i32 = 32;

/// A source with the defaults of the original.
fn plain(kind: u32, name: Name) -> AddSource2 {
    AddSource2 {
        kind,
        name,
        port: 123,
        minpoll: 6,
        maxpoll: 10,
        presend_minpoll: 100,
        min_stratum: 0,
        poll_target: 8,
        version: 0,
        max_sources: 4,
        min_samples: -1,
        max_samples: -1,
        max_unreach: 100_000,
        filter_length: 0,
        authkey: 0,
        nts_port: 4460,
        cert_set: 0,
        max_nts_retry: 19,
        max_delay: 3.0.into(),
        max_delay_ratio: Float::ZERO,
        max_delay_dev_ratio: 10.0.into(),
        max_delay_quant: Float::ZERO,
        min_delay: Float::ZERO,
        asymmetry: 1.0.into(),
        offset: Float::ZERO,
        flags: flags::ONLINE,
        reserved: Pad,
    }
}

/// Reads the words after `add`. The name must resolve here and now, as the original insists.
///
/// # Errors
/// The original's line.
pub(super) fn parse(args: &[&str], resolve: Resolve<'_>) -> Result<AddSource2, &'static str> {
    let [kind, name, options @ ..] = args else { return Err(BAD_SYNTAX) };
    let kind = match kind.to_ascii_lowercase().as_str() {
        "server" => 1,
        "peer" => 2,
        "pool" => 3,
        _ => return Err(BAD_SYNTAX),
    };
    let field = Name::new(name.as_bytes()).ok_or(BAD_HOST)?;
    let mut source = plain(kind, field);
    let mut words = options.iter();
    while let Some(word) = words.next() {
        let option = word.to_ascii_lowercase();
        if set_flag(&mut source, &option) {
            continue;
        }
        // what follows the number in its word is the next option, as in the original
        let rest = set_value(&mut source, &option, words.next().copied())?;
        if !rest.is_empty() && !set_flag(&mut source, &rest.to_ascii_lowercase()) {
            return Err(BAD_OPTION);
        }
    }
    resolve(name).ok_or(BAD_HOST)?;
    Ok(source)
}

fn set_flag(source: &mut AddSource2, option: &str) -> bool {
    let flag = match option {
        "offline" => {
            source.flags &= !flags::ONLINE;
            return true;
        }
        "auto_offline" => flags::AUTO_OFFLINE,
        "burst" => flags::BURST,
        "copy" => flags::COPY,
        "iburst" => flags::IBURST,
        "ipv4" => flags::IPV4,
        "ipv6" => flags::IPV6,
        "noselect" => flags::NOSELECT,
        "prefer" => flags::PREFER,
        "require" => flags::REQUIRE,
        "trust" => flags::TRUST,
        "nts" => flags::NTS,
        "xleave" => flags::INTERLEAVED,
        _ => return false,
    };
    source.flags |= flag;
    true
}

/// Sets an option with a value; returns what follows the value in its word.
fn set_value<'w>(
    source: &mut AddSource2,
    option: &str,
    word: Option<&'w str>,
) -> Result<&'w str, &'static str> {
    let mut rest = "";
    let mut int = |range: std::ops::RangeInclusive<i32>| {
        let (value, after) = word.and_then(scan::prefix_int).ok_or(BAD_VALUE)?;
        rest = after;
        if range.contains(&value) { Ok(value) } else { Err(BAD_VALUE) }
    };
    const POLL: std::ops::RangeInclusive<i32> = -POLL_LIMIT..=POLL_LIMIT;
    const COUNT: std::ops::RangeInclusive<i32> = 0..=i32::MAX;
    const PORT: std::ops::RangeInclusive<i32> = 0..=65_535;
    match option {
        "filter" => source.filter_length = int(COUNT)?,
        "maxntsretry" => source.max_nts_retry = int(POLL)?,
        "maxpoll" => source.maxpoll = int(POLL)?,
        "maxsamples" => source.max_samples = int(COUNT)?,
        "maxunreach" => source.max_unreach = int(COUNT)?.unsigned_abs(),
        "minpoll" => source.minpoll = int(POLL)?,
        "minsamples" => source.min_samples = int(COUNT)?,
        "minstratum" => source.min_stratum = int(0..=16)?.unsigned_abs(),
        "maxsources" => source.max_sources = int(1..=i32::MAX)?.unsigned_abs(),
        "ntsport" => source.nts_port = int(PORT)?.unsigned_abs(),
        "polltarget" => source.poll_target = int(1..=i32::MAX)?.unsigned_abs(),
        "port" => source.port = int(PORT)?.unsigned_abs(),
        "presend" => source.presend_minpoll = int(POLL)?,
        "version" => source.version = int(1..=4)?.unsigned_abs(),
        _ => return set_other_value(source, option, word),
    }
    Ok(rest)
}

fn set_other_value<'w>(
    source: &mut AddSource2,
    option: &str,
    word: Option<&'w str>,
) -> Result<&'w str, &'static str> {
    let mut rest = "";
    let mut unsigned = |least: u32| {
        let (value, after) = word.and_then(scan::prefix_unsigned).ok_or(BAD_VALUE)?;
        rest = after;
        if value >= least { Ok(value) } else { Err(BAD_VALUE) }
    };
    match option {
        "certset" => source.cert_set = unsigned(0)?,
        "key" => source.authkey = unsigned(1)?,
        "extfield" => source.flags |= extension(word)?,
        _ => {
            let slot = match option {
                "asymmetry" => &mut source.asymmetry,
                "maxdelay" => &mut source.max_delay,
                "maxdelaydevratio" => &mut source.max_delay_dev_ratio,
                "maxdelayquant" => &mut source.max_delay_quant,
                "maxdelayratio" => &mut source.max_delay_ratio,
                "mindelay" => &mut source.min_delay,
                "offset" => &mut source.offset,
                _ => return Err(BAD_OPTION),
            };
            let (value, after) = word.and_then(scan::prefix_float).ok_or(BAD_VALUE)?;
            *slot = Float::from_f64(value);
            rest = after;
        }
    }
    Ok(rest)
}

/// The extension fields, by their numbers in hex.
fn extension(word: Option<&str>) -> Result<u32, &'static str> {
    match word.and_then(|w| u32::from_str_radix(w, 16).ok()) {
        Some(0xF323) => Ok(flags::EF_EXP_MONO_ROOT),
        Some(0x10A | 0xF324) => Ok(flags::EF_NET_CORRECTION),
        _ => Err(BAD_VALUE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cmdmon::tests::{hex, plain_server};
    use crate::wire::cmdmon::{Request, VERSION};

    fn add(line: &str) -> Result<AddSource2, &'static str> {
        let words: Vec<&str> = line.split(' ').collect();
        parse(&words, &mut |name| name.parse().ok())
    }

    #[test]
    fn a_plain_server_is_that_of_the_original() {
        assert_eq!(add("server 1.2.3.4"), Ok(plain_server()));
        assert_eq!(add("SERVER 1.2.3.4").map(|s| s.kind), Ok(1));
    }

    #[test]
    fn every_value_lands_where_the_original_puts_it() {
        let source = add(
            "pool 127.0.0.1 port 99 minpoll -2 maxpoll 3 presend 4 minstratum 5 polltarget 6 version 3 maxsources 7 minsamples 8 maxsamples 9 maxunreach 10 filter 11 key 12 \
             ntsport 13 certset 14 maxntsretry 15 maxdelay 0.5 maxdelayratio 0.25 maxdelaydevratio 1.5 maxdelayquant 0.125 mindelay 1 asymmetry 0.1 offset 2.5",
        )
        .unwrap();
        let bytes = Request::AddSource2(Box::new(source)).encode(VERSION, 0, 0);
        let expected = "00000063 fffffffe 00000003 00000004 00000005 00000006 00000003 00000007 00000008 00000009 0000000a
            0000000b 0000000c 0000000d 0000000e 0000000f 02800000 00800000 04c00000 fe800000 04800000 fccccccd 06a00000 00000001";
        assert_eq!(bytes[280..376], hex(expected));
    }

    #[test]
    fn flags_are_those_of_the_original() {
        let all = "server 127.0.0.1 offline prefer nts xleave burst copy noselect trust require auto_offline extfield F323 extfield F324 ipv6";
        assert_eq!(add(all).map(|s| s.flags), Ok(0x8001_17fa));
        assert_eq!(add("server 127.0.0.1 extfield 10A ipv4").map(|s| s.flags), Ok(0x0001_0801));
    }

    #[test]
    fn mistakes_have_the_lines_of_the_original() {
        for (line, text) in [
            ("server", BAD_SYNTAX),
            ("foo 1.2.3.4", BAD_SYNTAX),
            ("server 1.2.3.4 foo", BAD_OPTION),
            ("server 1.2.3.4 port", BAD_VALUE),
            ("server 1.2.3.4 port 70000", BAD_VALUE),
            ("server 1.2.3.4 minpoll 33", BAD_VALUE),
            ("server 1.2.3.4 key 0", BAD_VALUE),
            ("server 1.2.3.4 version 5", BAD_VALUE),
            ("server 1.2.3.4 extfield 1", BAD_VALUE),
            ("server no.such.name", BAD_HOST),
        ] {
            assert_eq!(add(line), Err(text), "{line}");
        }
        assert_eq!(add(&format!("server {}", "x".repeat(256))), Err(BAD_HOST));
    }
}
