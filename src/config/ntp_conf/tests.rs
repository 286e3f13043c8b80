#![expect(clippy::indexing_slicing, reason = "a test that finds nothing has failed")]

use super::*;
use crate::config::ntp_model::Period;
use crate::config::source::Kind;
use crate::engine::restrict::Restrictions;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Files in memory.
struct Memory(BTreeMap<String, String>);

impl Files for Memory {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, String> {
        self.0
            .get(path)
            .map(|text| text.clone().into_bytes())
            .ok_or_else(|| "No such file or directory".to_owned())
    }
    fn address(&mut self, name: &str) -> Option<IpAddr> {
        (name == "known.example").then(|| "10.7.7.7".parse().unwrap())
    }
}

fn parse(text: &str) -> Parsed {
    let mut files = Memory(BTreeMap::from([("/ntp.conf".to_owned(), text.to_owned())]));
    parse_file("/ntp.conf", &mut files)
}

fn ntp(parsed: &Parsed) -> &Ntp {
    parsed.config.ntp.as_deref().unwrap()
}

fn texts(parsed: &Parsed) -> Vec<String> {
    parsed.diagnostics.iter().map(ToString::to_string).collect()
}

/// The flags that hold for an address.
fn flags(parsed: &Parsed, address: &str) -> Flags {
    let mut list = Restrictions::new();
    ntp(parsed).restrict.iter().for_each(|(rule, _)| list.add(*rule));
    list.check(SocketAddr::new(address.parse().unwrap(), 4000))
}

/// Lines and columns as 4.2.8p15 reports them.
#[test]
fn bad_lines_are_left_out_with_the_originals_lines() {
    let parsed = parse(
        "server\n\
         server 10.78.0.1 foo\n\
         restrict default motrap\n\
         restrict 10.0.0.0 none\n\
         fudge 127.127.1.0 startum 10\n\
         Server 1.2.3.4\n\
         tinker step abc\n\
         enable foo\n\
         statistics loopstats foo\n\
         controlkey x\n\
         interface foo\n\
         server 127.127.1.0 prefer }\n\
         \x20 server   \n\
         restrict \n\
         tos minclock\n\
         enable monitor \"x\n\
         SYNC_HWCLOCK=yes\n\
         broadcastclient novolley\n\
         server 10.0.0.9 dynamic\n",
    );
    let dropped: Vec<&Diagnostic> =
        parsed.diagnostics.iter().filter(|d| d.severity == Severity::Dropped).collect();
    let places: Vec<String> = dropped
        .iter()
        .map(|d| d.text.lines().nth(1).unwrap().replace("syntax error in /ntp.conf ", ""))
        .collect();
    let expected = [
        "line 1, column 0",
        "line 2, column 17",
        "line 3, column 17",
        "line 4, column 18",
        "line 5, column 18",
        "line 6, column 0",
        "line 7, column 12",
        "line 8, column 7",
        "line 9, column 21",
        "line 10, column 11",
        "line 11, column 10",
        "line 12, column 26",
        "line 13, column 2",
        "line 14, column 0",
        "line 15, column 4",
        "line 16, column 15",
        "line 17, column 0",
    ];
    assert_eq!(places, expected);
    assert_eq!(dropped[1].text.lines().next(), Some("line 2 column 17 syntax error, unexpected 'foo'"));
    assert_eq!(dropped[0].text.lines().next(), Some("line 1 column 0 syntax error, unexpected end of line"));
    assert_eq!(parsed.config.sources.len(), 1);
    assert_eq!(parsed.dropped(), 17);
}

#[test]
fn the_seeds_file_means_what_it_says() {
    let parsed = parse(include_str!("../../../tests/fixtures/conf/valid/rhel6-local.ntp.conf"));
    assert_eq!(parsed.dropped(), 0);
    assert!(
        texts(&parsed).contains(&"getconfig: Couldn't open </etc/ntp/crypto/pw>".to_owned()),
        "{:?}",
        texts(&parsed)
    );
    let closed = Flags::KOD | Flags::NOMODIFY | Flags::NOTRAP | Flags::NOPEER | Flags::NOQUERY;
    for (address, expected) in [
        ("8.8.8.8", closed),
        ("2001:db8::1", closed),
        ("127.0.0.1", Flags::NONE),
        ("::1", Flags::NONE),
        ("127.0.0.2", closed),
        ("172.25.0.200", Flags::NOMODIFY),
        ("172.25.1.200", closed),
    ] {
        assert_eq!(flags(&parsed, address), expected, "{address}");
    }
    let clock = ntp(&parsed).local_clock.unwrap();
    assert_eq!((clock.unit, clock.stratum, &clock.refid), (0, 10, b"LOCL"));
    assert_eq!(parsed.config.local.map(|local| local.stratum), Some(11));
    assert_eq!(parsed.config.driftfile, Some(("/var/lib/ntp/drift".to_owned(), 3600)));
    assert_eq!(parsed.config.words.keyfile.as_deref(), Some("/etc/ntp/keys"));
    let names: Vec<&str> = parsed.config.sources.iter().map(|(source, _)| source.name.as_str()).collect();
    assert_eq!(names, ["172.25.0.11"]);
    assert!(parsed.config.access.iter().all(|rule| rule.allow));
}

#[test]
fn distributions_files_lose_no_line() {
    for (text, sources) in [
        (include_str!("../../../tests/fixtures/conf/valid/rhel6.ntp.conf"), 4),
        (include_str!("../../../tests/fixtures/conf/valid/rhel7.ntp.conf"), 4),
        (include_str!("../../../tests/fixtures/conf/valid/debian.ntp.conf"), 2),
    ] {
        let parsed = parse(text);
        assert_eq!((parsed.dropped(), parsed.config.sources.len()), (0, sources));
        assert!(parsed.config.sources.iter().all(|(source, _)| source.flags.iburst));
        assert!(ntp(&parsed).restricts_default);
        assert!(flags(&parsed, "192.0.2.1").has(Flags::NOQUERY | Flags::NOMODIFY));
        assert_eq!(flags(&parsed, "127.0.0.1"), Flags::NONE);
    }
    let debian = parse(include_str!("../../../tests/fixtures/conf/valid/debian.ntp.conf"));
    assert_eq!(ntp(&debian).filegen.iter().filter(|file| file.enabled).count(), 3);
    assert!(debian.config.ratelimit.is_some_and(|limit| limit.kod == 2));
    let rhel7 = parse(include_str!("../../../tests/fixtures/conf/valid/rhel7.ntp.conf"));
    assert!(rhel7.config.flags.noclientlog);
}

#[test]
fn every_directive_lands_in_the_model() {
    let parsed = parse(include_str!("../../../tests/fixtures/conf/valid/rich.ntp.conf"));
    assert_eq!(parsed.dropped(), 0, "{:?}", texts(&parsed));
    let (config, ntp) = (&parsed.config, ntp(&parsed));
    let near = &config.sources[0].0;
    assert_eq!((near.key, near.minpoll, near.maxpoll, near.version), (3, 4, 6, 3));
    assert!(near.flags.prefer && near.flags.ipv4);
    let flags_of = config.sources[1].0.flags;
    assert!(flags_of.burst && flags_of.iburst && flags_of.noselect && flags_of.trust && flags_of.xleave);
    assert_eq!((config.sources[2].0.kind, config.sources[2].0.flags.iburst), (Kind::Peer, false));
    assert_eq!((config.sources[3].0.kind, config.sources[3].0.maxsources), (Kind::Pool, 4));
    assert_eq!(config.broadcasts[0].interval, 32);
    let clock = ntp.local_clock.unwrap();
    assert_eq!((clock.unit, clock.stratum, &clock.refid, clock.flags), (1, 8, b"HERE", 1));
    assert_eq!(
        (config.refclocks[0].0.driver.as_str(), config.refclocks[0].0.parameter.as_str()),
        ("SHM", "2")
    );
    assert_eq!((config.makestep, config.maxchange), (Some((0.2, -1)), None));
    assert_eq!((config.integers.minsources, config.integers.dscp), (2, 46));
    assert_eq!(config.bindaddress.v4, Some("10.0.0.1".parse().unwrap()));
    assert_eq!((ntp.discard.average, ntp.discard.minimum, ntp.mru.maxdepth), (4, 2, 5000));
    assert_eq!(ntp.variables, [("site".to_owned(), "rack 7".to_owned(), true)]);
    assert_eq!(ntp.logconfig, ["=syncstatus", "+sysevents"]);
    assert!(ntp.trusts(1) && !ntp.trusts(2) && ntp.trusts(4) && ntp.trusts(7) && !ntp.trusts(8));
    assert_eq!((ntp.control_key, ntp.tos.orphan), (Some(7), Some(6)));
    assert!(!ntp.switches.auth && !ntp.switches.monitor && ntp.switches.calibrate);
    assert_eq!(
        (ntp.filegen[1].file.as_str(), ntp.filegen[1].period, ntp.filegen[1].link),
        ("loop", Period::Week, false)
    );
    assert_eq!(flags(&parsed, "10.1.1.1"), Flags::LIMITED | Flags::KOD | Flags::NOTRAP);
    assert_eq!(flags(&parsed, "10.9.1.1"), Flags::IGNORE);
    assert_eq!(flags(&parsed, "192.0.2.1"), Flags::NONE);
    let denied: Vec<bool> = config.access.iter().map(|rule| rule.allow).collect();
    assert_eq!(denied, [false, true, true, true]);
}

#[test]
fn values_out_of_range_and_unusable_addresses_are_said() {
    let parsed = parse(
        "server 10.0.0.1 minpoll 1 maxpoll 20\nrestrict nowhere.example nomodify\nrestrict 10.0.0.0 mask 1.2.3 nomodify\n\
         restrict known.example ignore\nrestrict 10.1.0.0/16 noquery\nfudge 127.127.2.0 stratum 3\ntrustedkey 70000\n\
         logconfig =all -foo\ndriftfile\ncrypto pw secret\n",
    );
    assert_eq!(
        texts(&parsed),
        [
            "minpoll: provided value (1) is below minimum (3)",
            "maxpoll: provided value (20) is above maximum (17)",
            "restrict: ignoring line 2, address/host 'nowhere.example' unusable.",
            "restrict: ignoring line 3, mask '1.2.3' unusable.",
            "Ignoring invalid trustedkey 70000, min 1 max 65535.",
            "logconfig: '-foo' not recognized - ignored",
            "config: driftfile disabled",
            "crypto: Autokey is obsolete and not supported",
            "inappropriate address 127.127.2.0 for the fudge command, line ignored",
        ]
    );
    assert_eq!((parsed.config.sources[0].0.minpoll, parsed.config.sources[0].0.maxpoll), (3, 17));
    assert_eq!(flags(&parsed, "10.7.7.7"), Flags::IGNORE);
    assert_eq!(flags(&parsed, "10.1.200.1"), Flags::NOQUERY);
}

/// Found by fuzzing: ten lines that include their own file are a hundred thousand readings.
#[test]
fn files_that_include_each_other_many_times_come_to_an_end() {
    let text = "includefile /a\n".repeat(20);
    let mut files = Memory(BTreeMap::from([("/a".to_owned(), format!("{text}server 10.0.0.1\n"))]));
    let parsed = parse_file("/a", &mut files);
    assert!(parsed.config.sources.len() <= 51, "{}", parsed.config.sources.len());
    let said = "getconfig: more than 50 included files, the rest is ignored";
    assert_eq!(texts(&parsed).iter().filter(|text| *text == said).count(), 1);
}

#[test]
fn includes_nest_five_deep_and_end_stops_a_file() {
    let mut files = Memory(BTreeMap::from([
        ("/a".to_owned(), "includefile /a\nserver 10.0.0.1\n".to_owned()),
        ("/b".to_owned(), "server 10.0.0.1\nend\nserver 10.0.0.2\n".to_owned()),
    ]));
    let parsed = parse_file("/a", &mut files);
    assert_eq!(parsed.config.sources.len(), 6);
    assert_eq!(texts(&parsed), ["getconfig: Maximum include file level exceeded."]);
    assert_eq!(parse_file("/b", &mut files).config.sources.len(), 1);
    assert_eq!(texts(&parse_file("/none", &mut files)), ["getconfig: Couldn't open </none>"]);
}

/// Files that nothing here is written into are taken like the others.
#[test]
fn every_statistics_file_is_known() {
    let mut files = Memory(BTreeMap::new());
    for line in [
        "statistics clockstats timingstats cryptostats",
        "filegen timingstats file t type week nolink enable",
    ] {
        let parsed = check_line(line, &Ntp::default(), &mut files).unwrap();
        assert!(parsed.diagnostics.is_empty(), "{line}: {:?}", parsed.diagnostics);
        assert!(parsed.config.ntp.unwrap().filegen.iter().all(|file| file.enabled), "{line}");
    }
}

/// As 4.2.8p15 answers `:config`.
#[test]
fn remote_lines_are_complained_about_as_the_original_does() {
    let mut files = Memory(BTreeMap::new());
    for (line, error) in [
        ("bogus", "column 0 syntax error, unexpected T_String"),
        ("disable bogus", "column 8 syntax error, unexpected T_String"),
        ("enable", "column 0 syntax error, unexpected T_EOC"),
        ("  tos bogus", "column 6 syntax error, unexpected T_String"),
        ("tinker step", "column 7 syntax error, unexpected T_EOC, expecting T_Double or T_Integer"),
        (
            "server",
            "column 0 syntax error, unexpected T_EOC, expecting T_Ipv4_flag or T_Ipv6_flag or T_String",
        ),
        ("server 10.77.0.60 bogus", "column 18 syntax error, unexpected T_String, expecting T_EOC"),
        ("trustedkey 1 bogus", "column 13 syntax error, unexpected T_String, expecting T_EOC"),
        ("restrict", "column 0 syntax error, unexpected T_EOC"),
        ("fudge 127.127.1.0", "column 6 syntax error, unexpected T_EOC"),
        ("setvar foo", "column 7 syntax error, unexpected T_EOC, expecting '='"),
        ("keys", "column 0 syntax error, unexpected T_EOC, expecting T_String"),
    ] {
        assert_eq!(check_line(line, &Ntp::default(), &mut files).unwrap_err(), error, "{line}");
    }
    assert!(check_line("disable monitor", &Ntp::default(), &mut files).is_ok());
}

#[test]
fn no_bytes_make_it_panic() {
    let mut rng = crate::engine::rng::SplitMix::new(5);
    use crate::engine::rng::Rng;
    let words = [
        "server",
        "restrict",
        "fudge",
        "127.127.1.0",
        "(",
        ")",
        "...",
        "=",
        "\"",
        "#",
        "mask",
        "-6",
        "1",
        "setvar",
        "tos",
        "trustedkey",
        "\u{e9}",
        "filegen",
        "end",
        "simulate",
        "{",
    ];
    for _ in 0..3000 {
        let text: String = (0..rng.next_u64() % 40)
            .map(|_| {
                let word = words[usize::try_from(rng.next_u64()).unwrap_or(0) % words.len()];
                let gap = [" ", "\n", "", "\t"][usize::try_from(rng.next_u64() % 4).unwrap()];
                format!("{word}{gap}")
            })
            .collect();
        parse(&text);
    }
}

#[test]
fn no_complaint_repeats_a_control_character() {
    for line in [
        "broadcast \u{1b}[2J\u{7}",
        "server 127.127.1.0 \u{1b}]0;x\u{7}",
        "\u{9b}31m on",
        "trustedkey \u{1b}c",
    ] {
        let said = texts(&parse(line));
        assert!(!said.is_empty(), "{line:?} is taken");
        for text in said {
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?} of {line:?}");
        }
    }
}
