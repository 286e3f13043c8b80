//! The targets about ntpd: its configuration, and what its daemon answers to control messages.

use std::net::{IpAddr, SocketAddr};

use ntpbox::auth::{Dialect, DigestLength, KeyRing};
use ntpbox::config::chrony_conf::Files;
use ntpbox::config::ntp_conf;
use ntpbox::driver::ntpd::{Gate, House, Informant, Message, Rules, Setup, bounds};
use ntpbox::engine::association::Start;
use ntpbox::engine::daemon::{self as engine, Engine};
use ntpbox::engine::mru::Limit;
use ntpbox::engine::options::{Kind, Settings, Source};
use ntpbox::engine::restrict::{Control, Restrictions};
use ntpbox::engine::rng::SplitMix;
use ntpbox::engine::timeline::KernelRate;
use ntpbox::types::{KeyId, LogInterval, MonoTime, Now, TimeDelta, Timestamp};
use ntpbox::wire::mode6::{self, MAX_DATA, Packet};

/// One file, whatever its name; it may include itself.
struct One<'a>(&'a [u8]);

impl Files for One<'_> {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, String> {
        if path.len().is_multiple_of(2) { Ok(self.0.to_vec()) } else { Err("No such file".to_owned()) }
    }
    fn glob(&mut self, pattern: &str) -> Option<Vec<String>> {
        Some(vec![pattern.to_owned()])
    }
    fn address(&mut self, name: &str) -> Option<IpAddr> {
        name.parse().ok()
    }
}

/// Any file is read to its end: a complaint a line at most, besides what lines mean together, and every complaint can be shown.
pub(super) fn ntp_conf(data: &[u8]) {
    let parsed = ntp_conf::parse_file("/ntp.conf.", &mut One(data));
    let config = &parsed.config;
    let ntp = config.ntp.as_deref().expect("an ntp.conf");
    for diagnostic in &parsed.diagnostics {
        let shown = |c: char| c == '\n' || !c.is_control();
        assert!(!diagnostic.text.is_empty() && diagnostic.text.chars().all(shown), "{diagnostic:?}");
    }
    // a file that includes itself many times over: fifty files besides the first, said once
    let said =
        parsed.diagnostics.iter().filter(|diagnostic| diagnostic.text.contains("included files, the rest"));
    assert!(said.count() <= 1);
    let rows = data.iter().filter(|byte| **byte == b'\n').count() + 1;
    assert!(parsed.lines.len() <= 51 * rows, "{} lines", parsed.lines.len());
    let mut list = Restrictions::new();
    for (rule, _) in &ntp.restrict {
        list.add(*rule);
    }
    for (source, _) in &config.sources {
        assert!((3..=17).contains(&source.minpoll) && (3..=17).contains(&source.maxpoll), "{source:?}");
        assert!(!source.name.is_empty(), "{source:?}");
    }
    assert!(config.local.is_none_or(|local| (1..=16).contains(&local.stratum)), "{:?}", config.local);
    // as it comes over the network
    for line in String::from_utf8_lossy(data).split('\n').take(8) {
        if let Err(text) = ntp_conf::check_line(line, ntp, &mut One(b"")) {
            assert!(!text.is_empty());
        }
    }
}

/// Whatever is asked, signed or not: each reply is one packet of the question's number, no longer than mode 6 allows, and there are
/// no more than the list of clients may have; sources stay within bounds. The bytes are a list of datagrams, each with its length
/// and a byte that says who sends it.
pub(super) fn mode6_requests(data: &[u8]) {
    let mut rng = SplitMix::new(7);
    let mut now = Now { clock: Timestamp::from_unix(1_795_000_000, 5), mono: MonoTime::ZERO };
    let (keys, _) = KeyRing::parse(b"1 M one\n2 M secret2\n", Dialect::Ntp);
    let config = ntp_conf::parse_file(
        "/ntp.conf.",
        &mut One(b"server 127.127.1.0\nrestrict 10.0.0.0 mask 255.0.0.0 nomodify\n"),
    );
    let ntp = config.config.ntp.as_deref().expect("an ntp.conf");
    let mut gate = Gate::new(Rules {
        restrictions: Restrictions::new(),
        restricts_default: true,
        source: None,
        limit: Limit::default(),
        clients: Some(bounds(&ntp.mru)),
    });
    let setup = Setup {
        keys: keys.clone(),
        control_key: Some(KeyId::new(2)),
        local_clock: ntp.local_clock,
        pools: vec![Source::new(Kind::Pool, "pool.example")],
        variables: vec![("own".to_owned(), "1".to_owned(), true)],
        precision: LogInterval::from_log2(-20),
        growth: 15e-6,
        ..Setup::default()
    };
    let mut informant = Informant::new(setup, now.mono, &mut rng);
    let mut engine = Engine::new(
        now,
        engine::Setup {
            settings: Settings { local: config.config.local, ..Settings::default() },
            controlled: false,
            setting: KernelRate::NOMINAL,
            drift: None,
            precision: 1e-6,
            serving: vec![([0, 0, 0, 0], 123).into()],
            released: now.clock,
            start: Start::Daemon,
            keys: keys.clone(),
        },
    );
    let mut rest = data;
    while let Some((&[length, sender], after)) = rest.split_first_chunk::<2>() {
        let (piece, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        let pause = TimeDelta::from_millis(i64::from(sender & 0x1f) << 6);
        now = Now { clock: now.clock + pause, mono: now.mono + pause };
        let mut bytes = piece.to_vec();
        if let Some(first) = bytes.first_mut() {
            *first = *first & 0x38 | 6;
        }
        if sender & 0x80 != 0 {
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            let key = KeyId::new(1 + u32::from(sender >> 6 & 1));
            let mac = keys.sign(key, &bytes, DigestLength::CutTo20).expect("a key of ours");
            bytes.extend_from_slice(&mac);
        }
        let from = SocketAddr::from(([192, 0, 2, sender & 3], 1024));
        let may = Control { query: true, modify: sender & 0x20 == 0, clients: true };
        let message = Message { bytes: &bytes, from, received: now.clock, may };
        let house = House {
            engine: &mut engine,
            gate: Some(&mut gate),
            sockets: vec!["0.0.0.0:123".parse().expect("an address")],
            served: ntpbox::engine::server::Counters::default(),
            rng: &mut rng,
            now,
        };
        let replies = informant.answer(&message, house);
        assert!(replies.len() <= 200, "{} packets", replies.len());
        for reply in &replies {
            assert!(reply.len() <= mode6::HEADER_LEN + MAX_DATA + 8 + 24, "{} bytes", reply.len());
            let packet = Packet::parse(reply).expect("a packet of mode 6");
            assert!(packet.header.response && bytes.get(2..4) == reply.get(2..4));
        }
        engine.handle(now, engine::Input::Timer, &mut rng);
        while engine.poll().is_some() {}
        while engine.poll_clock().is_some() {}
        assert!(engine.sources().count() <= 256);
    }
}
