use std::net::SocketAddr;

use super::*;
use crate::auth::{Dialect, KeyRing};
use crate::config::chrony_conf::Files;
use crate::config::ntp_conf;
use crate::engine::access::Network;
use crate::engine::association::Start;
use crate::engine::daemon::{self as engine, Engine};
use crate::engine::leap::LeapTable;
use crate::engine::mru::Limit;
use crate::engine::options::Settings;
use crate::engine::restrict::Restrictions;
use crate::engine::rng::{Rng, SplitMix};
use crate::engine::server::{self, Remembering, Request, Stamp};
use crate::engine::timeline::KernelRate;
use crate::sys::net::{Datagram, StampSource};
use crate::types::{KeyId, Leap, LogInterval, MonoTime, Now, Stratum, TimeDelta, Timestamp};
use crate::wire::ntp::{Header, Kiss};

const NOW: Timestamp = Timestamp::from_unix(1_795_000_000, 0);

struct One(&'static str);

impl Files for One {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, String> {
        if path == "/ntp.conf" { Ok(self.0.as_bytes().to_vec()) } else { Err("No such file".to_owned()) }
    }
}

/// What becomes of a packet.
#[derive(Debug, PartialEq)]
enum Outcome {
    Silence,
    Time(Vec<u8>),
    Kiss(Vec<u8>),
    Control(Vec<Vec<u8>>),
}

/// A daemon without sockets.
struct Reception {
    gate: Gate,
    informant: Informant,
    engine: Engine,
    server: server::Server,
}

fn reception(conf: &'static str) -> Reception {
    let mut config = ntp_conf::parse_file("/ntp.conf", &mut One(conf)).config;
    let ntp = config.ntp.take().unwrap();
    let mut restrictions = Restrictions::new();
    ntp.restrict.iter().for_each(|(rule, _)| restrictions.add(*rule));
    let (keys, _) = KeyRing::parse(b"1 M one\n2 M secret2\n", Dialect::Ntp);
    let gate = Gate::new(Rules {
        restrictions,
        restricts_default: ntp.restricts_default,
        source: None,
        limit: Limit::default(),
        clients: ntp.switches.monitor.then(|| bounds(&ntp.mru)),
    });
    let setup = Setup {
        keys: {
            let mut trusted = keys.clone();
            trusted.retain(|id| id.get() != 1);
            trusted
        },
        all_keys: keys.clone(),
        ntp: (*ntp).clone(),
        saving: Saving::default(),
        control_key: Some(KeyId::new(2)),
        local_clock: ntp.local_clock,
        orphan: ntp.tos.orphan.is_some(),
        pools: Vec::new(),
        broadcasts: Vec::new(),
        variables: vec![("own".to_owned(), "1".to_owned(), false)],
        broadcast_delay: 0.0,
        precision: LogInterval::from_log2(-24),
        growth: 15e-6,
        knows_frequency: true,
        statistics: None,
        logs_events: true,
        logs_peers: false,
    };
    let mut rng = SplitMix::new(3);
    let informant = Informant::new(setup, MonoTime::from_nanos(0), &mut rng);
    let settings = Settings { local: config.local, ..Settings::default() };
    let engine = Engine::new(
        Now { clock: NOW, mono: MonoTime::from_nanos(0) },
        engine::Setup {
            settings,
            controlled: false,
            setting: KernelRate::NOMINAL,
            drift: None,
            precision: 1e-7,
            serving: Vec::new(),
            released: NOW,
            start: Start::Daemon,
            keys: keys.clone(),
        },
    );
    let remembering = Remembering { bytes: Some(65_536), ..Remembering::default() };
    let mut server = server::Server::new(remembering, LogInterval::from_log2(-24), &mut rng);
    server.keys = keys;
    for any in ["0.0.0.0", "::"] {
        server.access.set(Network::new(any.parse().unwrap(), 0), true);
    }
    Reception { gate, informant, engine, server }
}

/// What a packet from an address gets after so many seconds.
fn send(reception: &mut Reception, from: &str, port: u16, bytes: &[u8], at: i64) -> Outcome {
    let mut rng = SplitMix::new(1);
    let received = NOW + TimeDelta::from_secs(at);
    let now = Now { clock: received, mono: MonoTime::from_nanos(at * 1_000_000_000) };
    let from = SocketAddr::new(from.parse().unwrap(), port);
    let Reception { gate, informant, engine, server } = reception;
    if bytes[0] & 7 == 6 {
        let may = gate.rights(from);
        let message = Message { bytes, from, received, may };
        let served = server.counters();
        let house = House { engine, gate: Some(gate), sockets: Vec::new(), served, rng: &mut rng, now };
        return Outcome::Control(informant.answer(&message, house));
    }
    let datagram = Datagram {
        bytes,
        truncated: false,
        from,
        to: None,
        interface: 1,
        received,
        stamp: StampSource::Kernel,
    };
    match gate.admit(&datagram, rng.next_u64()) {
        Admission::Refuse => return Outcome::Silence,
        Admission::Kiss(bytes) => return Outcome::Kiss(bytes.to_vec()),
        Admission::Serve => {}
    }
    engine.handle(now, engine::Input::Timer, &mut rng);
    server.set_snapshot(informant.dress(engine.snapshot(now)));
    let result = server.answer(&Request { bytes, from, received, stamp: Stamp::Kernel }, now, &mut rng);
    gate.judged(bytes, result.as_ref().map(|_| ()).map_err(|why| *why));
    result.map_or(Outcome::Silence, |reply| Outcome::Time(reply.to_vec()))
}

fn client() -> Vec<u8> {
    let mut bytes = vec![0; 48];
    (bytes[0], bytes[2]) = (0x23, 6);
    bytes[40..48].copy_from_slice(b"abcdefgh");
    bytes
}

const READSTAT: [u8; 12] = [0x16, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];

/// Who gets the time, and who gets control messages answered.
fn rights(reception: &mut Reception, from: &str) -> (bool, bool) {
    let time = matches!(send(reception, from, 4000, &client(), 0), Outcome::Time(_));
    let control =
        matches!(send(reception, from, 4000, &READSTAT, 0), Outcome::Control(packets) if !packets.is_empty());
    (time, control)
}

/// A test per `restrict` line of the seeds' file, from an allowed and from a refused address.
#[test]
fn the_seeds_restrict_lines_hold() {
    let mut seed = reception(include_str!("../../../tests/fixtures/conf/valid/rhel6-local.ntp.conf"));
    for (from, time, control) in [
        // restrict default kod nomodify notrap nopeer noquery
        ("203.0.113.9", true, false),
        // restrict -6 default kod nomodify notrap nopeer noquery
        ("2001:db8::9", true, false),
        // restrict 127.0.0.1
        ("127.0.0.1", true, true),
        // restrict -6 ::1
        ("::1", true, true),
        // restrict 172.25.0.0 mask 255.255.255.0 nomodify
        ("172.25.0.1", true, true),
        ("172.25.0.255", true, true),
        ("172.25.1.1", true, false),
        ("172.24.255.255", true, false),
    ] {
        assert_eq!(rights(&mut seed, from), (time, control), "{from}");
    }
    let mut closed = reception(
        "restrict default ignore\nrestrict 10.1.0.0 mask 255.255.0.0 noquery\nrestrict 10.1.2.0 mask 255.255.255.0 noserve\n",
    );
    assert_eq!(rights(&mut closed, "10.9.0.1"), (false, false));
    assert_eq!(rights(&mut closed, "10.1.0.1"), (true, false));
    assert_eq!(rights(&mut closed, "10.1.2.1"), (false, true));
    // loopback may read unless it is ignored
    assert_eq!(rights(&mut closed, "127.0.0.1"), (false, false));
}

#[test]
fn without_restrict_default_only_named_addresses_may_ask() {
    let mut open = reception("restrict 10.1.0.0 mask 255.255.0.0 nomodify\n");
    assert_eq!(rights(&mut open, "192.0.2.1"), (true, false));
    assert_eq!(rights(&mut open, "10.1.0.1"), (true, true));
    assert_eq!(rights(&mut open, "127.0.0.1"), (true, true));
    assert_eq!(rights(&mut reception("restrict default\n"), "192.0.2.1"), (true, true));
}

#[test]
fn the_orphan_and_leap_seconds_have_ntpds_names() {
    for (conf, stratum, refid) in [("tos orphan 6\n", 6, 0x7F00_0001), ("tos orphan 1\n", 1, 0x4C4F_4F50)] {
        let mut orphan = reception(conf);
        let Outcome::Time(reply) = send(&mut orphan, "192.0.2.1", 4000, &client(), 5) else {
            panic!("no reply")
        };
        let header = Header::parse(&reply).unwrap();
        assert_eq!((header.stratum.get(), header.refid.to_bits()), (stratum, refid));
    }
    let mut leaping = reception("");
    let asked = |data: &[u8]| {
        let mut packet = vec![0x16, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, u8::try_from(data.len()).unwrap()];
        packet.extend_from_slice(data);
        packet.resize(packet.len().next_multiple_of(4), 0);
        move |leaping: &mut Reception| match send(leaping, "127.0.0.1", 4000, &packet, 5) {
            Outcome::Control(packets) => String::from_utf8(packets[0][12..].to_vec()).unwrap(),
            _ => panic!("no answer"),
        }
    };
    let ask = asked(b"tai,leapsec,expire");
    assert_eq!(ask(&mut leaping).trim_end_matches(['\0', '\r', '\n']), "");
    let list = "#@\t3960835200\n3439756800\t34\n3550089600\t35\n3644697600\t36\n3692217600\t37\n";
    leaping.engine.set_leap_table(LeapTable::parse_list(list));
    let told = "tai=37, leapsec=201701010000, expire=202507070000\r\n";
    assert_eq!(ask(&mut leaping).trim_end_matches('\0'), told);
}

#[test]
fn the_local_clock_is_served_one_stratum_above_its_fudge() {
    let mut local = reception("server 127.127.1.0\nfudge 127.127.1.0 stratum 10\n");
    let Outcome::Time(reply) = send(&mut local, "192.0.2.1", 4000, &client(), 5) else { panic!("no reply") };
    let header = Header::parse(&reply).unwrap();
    assert_eq!((header.leap, header.stratum.get(), header.refid.to_bits()), (Leap::None, 11, 0x7F7F_0100));
    let mut none = reception("");
    let Outcome::Time(reply) = send(&mut none, "192.0.2.1", 4000, &client(), 5) else { panic!("no reply") };
    let header = Header::parse(&reply).unwrap();
    assert_eq!((header.leap, header.stratum), (Leap::Unsynchronised, Stratum::UNSPECIFIED));
}

#[test]
fn who_asks_too_often_is_told_once() {
    let mut limited = reception("restrict default limited kod\n");
    let mut ask = |from, at| match send(&mut limited, from, 4000, &client(), at) {
        Outcome::Time(_) => 'A',
        Outcome::Kiss(bytes) => {
            let header = Header::parse(&bytes).unwrap();
            assert_eq!((header.kiss(), header.poll.log2()), (Some(Kiss::Rate), 6));
            assert_eq!((header.receive, header.origin), (header.transmit, header.transmit));
            'R'
        }
        _ => '-',
    };
    let seen: String = [0, 0, 0, 5, 11, 18, 29].into_iter().map(|at| ask("192.0.2.1", at)).collect();
    assert_eq!(seen, "AR--R-A");
    assert_eq!(ask("192.0.2.2", 29), 'A');
    let mut quiet = reception("restrict default limited\n");
    let seen: Vec<bool> = [0, 0, 0]
        .into_iter()
        .map(|at| matches!(send(&mut quiet, "192.0.2.1", 9, &client(), at), Outcome::Time(_)))
        .collect();
    assert_eq!(seen, [true, false, false]);
}

#[test]
fn notrust_wants_a_mac() {
    let mut closed = reception("restrict default notrust\n");
    assert_eq!(send(&mut closed, "192.0.2.1", 9, &client(), 0), Outcome::Silence);
    let (keys, _) = KeyRing::parse(b"1 M one\n", Dialect::Ntp);
    let mut signed = client();
    keys.sign_packet(KeyId::new(1), &mut signed, Dialect::Ntp).unwrap();
    assert!(matches!(send(&mut closed, "192.0.2.1", 9, &signed, 0), Outcome::Time(_)));
    *signed.last_mut().unwrap() ^= 1;
    assert_eq!(send(&mut closed, "192.0.2.1", 9, &signed, 0), Outcome::Silence);
}

#[test]
fn counters_count() {
    let mut some = reception("restrict 10.0.0.0 mask 255.0.0.0 ignore\n");
    send(&mut some, "192.0.2.1", 9, &client(), 0);
    send(&mut some, "10.0.0.1", 9, &client(), 1);
    let mut old = client();
    old[0] = 0x1b;
    send(&mut some, "192.0.2.1", 9, &old, 2);
    send(&mut some, "192.0.2.1", 9, &[0x23; 5], 3);
    let c = some.gate.counters();
    assert_eq!((c.received, c.this_version, c.old_version, c.restricted, c.bad_format), (4, 1, 1, 1, 1));
}

/// The text of the reply to a request, signed with the control key or not.
fn asked(reception: &mut Reception, op: u8, association: u16, data: &[u8], signed: bool) -> String {
    let mut packet = vec![0x16, op, 0, 1, 0, 0];
    packet.extend(association.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    packet.extend(data);
    let align = if signed { 8 } else { 4 };
    packet.resize(packet.len().next_multiple_of(align), 0);
    if signed {
        let (keys, _) = KeyRing::parse(b"2 M secret2\n", Dialect::Ntp);
        let mac = keys.sign(KeyId::new(2), &packet, crate::auth::DigestLength::CutTo20).unwrap();
        packet.extend_from_slice(&mac);
    }
    let Outcome::Control(replies) = send(reception, "127.0.0.1", 5000, &packet, 9) else { panic!() };
    let mut text = String::new();
    for reply in &replies {
        let count = usize::from(u16::from_be_bytes([reply[10], reply[11]]));
        if reply[1] & 0x40 != 0 {
            return format!("error {}", reply[4]);
        }
        text.push_str(&String::from_utf8_lossy(&reply[12..12 + count]));
    }
    text
}

const READVAR: u8 = 2;
const CONFIGURE: u8 = 8;

#[test]
fn sources_come_and_go_by_authenticated_lines() {
    let mut some = reception("restrict default\n");
    let line = b"server 192.0.2.77 minpoll 5 key 1";
    assert_eq!(asked(&mut some, CONFIGURE, 0, line, false), "error 1");
    assert_eq!(asked(&mut some, CONFIGURE, 0, line, true), "Config Succeeded\r\n");
    let Outcome::Control(replies) = send(&mut some, "127.0.0.1", 5000, &READSTAT, 10) else { panic!() };
    let [high, low, status_high, _] = replies[0][12..16] else { panic!() };
    // conf, authenb, mobilize
    assert_eq!((replies[0][11], status_high), (4, 0xc0));
    let id = u16::from_be_bytes([high, low]);
    let text =
        asked(&mut some, READVAR, id, b"srcadr,refid,stratum,hmode,pmode,flash,keyid,reach,hpoll", false);
    assert_eq!(
        text,
        "srcadr=192.0.2.77, hmode=3, stratum=16, hpoll=5, refid=INIT, reach=0x0,\r\nkeyid=1, pmode=0, flash=0x1400\r\n"
    );
    assert_eq!(asked(&mut some, CONFIGURE, 0, b"unpeer 192.0.2.77", true), "Config Succeeded\r\n");
    assert_eq!(asked(&mut some, READVAR, id, b"", false), "error 4");
    // as in the original, what is not there is gone
    assert_eq!(asked(&mut some, CONFIGURE, 0, b"unpeer 192.0.2.77", true), "Config Succeeded\r\n");
}

#[test]
fn the_system_says_what_it_is() {
    let mut none = reception("restrict default\n");
    let text = asked(&mut none, READVAR, 0, b"leap,stratum,refid,peer,tc,own", false);
    assert_eq!(text, "leap=3, stratum=16, refid=INIT, tc=3, peer=0, own=1\r\n");
    let mut local = reception("server 127.127.1.0\nfudge 127.127.1.0 stratum 10\n");
    send(&mut local, "192.0.2.1", 4000, &client(), 5);
    let text = asked(&mut local, READVAR, 0, b"leap,stratum,refid,tc,peeradr", false);
    assert_eq!(text, "leap=0, stratum=11, refid=127.127.1.0, tc=6, peeradr=127.127.1.0:123\r\n");
    assert_eq!(asked(&mut local, CONFIGURE, 0, b"fudge 127.127.1.0 stratum 7", true), "Config Succeeded\r\n");
    let text = asked(&mut local, READVAR, 0, b"stratum", false);
    assert_eq!(text, "stratum=8\r\n");
}
