use super::*;
use crate::auth::Dialect;
use crate::config::chrony_conf::Files;
use crate::config::ntp_conf;
use crate::engine::rng::SplitMix;
use crate::sys::net::StampSource;
use std::net::IpAddr;

const NOW: Timestamp = Timestamp::from_unix(1_795_000_000, 0);

struct One(&'static str);

impl Files for One {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, String> {
        if path == "/ntp.conf" { Ok(self.0.as_bytes().to_vec()) } else { Err("No such file".to_owned()) }
    }
    fn glob(&mut self, _: &str) -> Option<Vec<String>> {
        None
    }
    fn list(&mut self, _: &str) -> Vec<String> {
        Vec::new()
    }
    fn address(&mut self, _: &str) -> Option<IpAddr> {
        None
    }
}

fn reception(conf: &'static str) -> Reception {
    let ntp = ntp_conf::parse_file("/ntp.conf", &mut One(conf)).config.ntp.unwrap();
    let mut restrictions = Restrictions::new();
    ntp.restrict.iter().for_each(|(rule, _)| restrictions.add(*rule));
    let (keys, _) = KeyRing::parse(b"1 M one\n2 M secret2\n", Dialect::Ntp);
    let setup = Setup {
        restrictions,
        restricts_default: ntp.restricts_default,
        limit: Limit::default(),
        clients: ntp.switches.monitor.then(|| bounds(&ntp.mru)),
        keys,
        control_key: Some(KeyId::new(2)),
        local_clock: ntp.local_clock,
        sources: Vec::new(),
        variables: Vec::new(),
        broadcast_delay: 0.0,
        precision: LogInterval::from_log2(-24),
        drift: Some(3.5),
    };
    Reception::new(setup, MonoTime::from_nanos(0), &mut SplitMix::new(3))
}

/// What a packet from an address gets after so many seconds.
fn send(reception: &mut Reception, from: &str, port: u16, bytes: &[u8], at: i64) -> Outcome {
    let received = NOW + TimeDelta::from_secs(at);
    let datagram = Datagram {
        bytes,
        truncated: false,
        from: SocketAddr::new(from.parse().unwrap(), port),
        to: None,
        interface: 1,
        received,
        stamp: StampSource::Kernel,
    };
    reception.receive(&datagram, received, MonoTime::from_nanos(at * 1_000_000_000), &mut SplitMix::new(1))
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
    let s = some.statistics();
    assert_eq!(
        (s.uptime, s.received, s.this_version, s.old_version, s.restricted, s.bad_format),
        (3, 4, 1, 1, 1, 1)
    );
}
