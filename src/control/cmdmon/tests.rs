//! The daemon's side of spec chronyc.md part 6 and of the packet-level answers of 1.6, against a double that holds plain facts.
#![expect(clippy::indexing_slicing, reason = "a test may say so by panicking")]

use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::engine::access::Network;
use crate::engine::options::{Kind, Local, Source};
use crate::engine::selection::{Options, Status as Standing};
use crate::types::{KeyId, Leap, Mode, Reach, RefId};
use crate::wire::cmdmon::tests::{captured, captures, hex};
use crate::wire::cmdmon::{Float, parse_reply};

/// A daemon that is nothing but its answers.
#[derive(Default)]
struct Double {
    sources: u32,
    source: Option<SourceFacts>,
    statistics: Option<StatisticsFacts>,
    selection: Option<SelectionFacts>,
    tracking: Option<TrackingFacts>,
    exchange: Option<ExchangeFacts>,
    server: ServerCounters,
    clients: Option<ClientsPage>,
    smoothing: Option<SmoothingFacts>,
    manual: Vec<ManualFacts>,
    limited: bool,
    nts: bool,
    refuses: Option<Status>,
    commands: Vec<Command>,
    wanted: Option<ClientsWanted>,
    log: Vec<String>,
    charged: Vec<IpAddr>,
}

impl Daemon for Double {
    fn log(&mut self, line: &str) {
        self.log.push(line.to_owned());
    }
    fn charge(&mut self, from: IpAddr) -> bool {
        self.charged.push(from);
        !self.limited
    }
    fn sources(&self) -> u32 {
        self.sources
    }
    fn source(&self, index: u32) -> Option<SourceFacts> {
        self.source.filter(|_| index < self.sources)
    }
    fn statistics(&self, index: u32) -> Option<StatisticsFacts> {
        self.statistics.filter(|_| index < self.sources)
    }
    fn selection(&self, index: u32) -> Option<SelectionFacts> {
        self.selection.filter(|_| index < self.sources)
    }
    fn exchange(&self, _: SourceAddress) -> Option<ExchangeFacts> {
        self.exchange
    }
    fn authentication(&self, source: SourceAddress) -> Option<AuthenticationFacts> {
        let nts = AuthenticationFacts::Nts {
            establishments: 1,
            aead: 15,
            key_length: 256,
            attempts: 0,
            last_ago: Some(5),
            cookies: 8,
            cookie_length: 100,
            nak: false,
        };
        match source {
            _ if self.nts => Some(nts),
            SourceAddress::Ip(ip) if ip == IpAddr::from([127, 0, 0, 2]) => {
                Some(AuthenticationFacts::Key { id: KeyId::new(30), key: Some((2, 160)) })
            }
            SourceAddress::Ip(_) => None,
            SourceAddress::Unresolved(_) => Some(AuthenticationFacts::None),
        }
    }
    fn name(&self, source: SourceAddress) -> Option<String> {
        match source {
            SourceAddress::Unresolved(1) => Some("unresolvable.invalid".to_owned()),
            SourceAddress::Unresolved(2) => Some("x".repeat(300)),
            _ => None,
        }
    }
    fn tracking(&mut self) -> TrackingFacts {
        self.tracking.unwrap()
    }
    fn activity(&self) -> ActivityFacts {
        ActivityFacts { online: 5, unresolved: 1, ..ActivityFacts::default() }
    }
    fn server(&self) -> ServerCounters {
        self.server
    }
    fn clients(&mut self, wanted: ClientsWanted) -> Option<ClientsPage> {
        self.wanted = Some(wanted);
        self.clients.clone()
    }
    fn may_ask(&self, address: IpAddr) -> bool {
        address == IpAddr::from([10, 0, 0, 1])
    }
    fn smoothing(&self) -> Option<SmoothingFacts> {
        self.smoothing
    }
    fn manual(&self) -> Vec<ManualFacts> {
        self.manual.clone()
    }
    fn settime(&mut self, time: Timestamp) -> Result<SettimeFacts, Status> {
        assert_eq!(time, Timestamp::UNIX_EPOCH);
        // the clock is 2 s ahead
        Ok(SettimeFacts { offset: -2.0, frequency_change: 1e-6, frequency: 3e-6 })
    }
    fn command(&mut self, command: &Command) -> Result<(), Status> {
        self.commands.push(command.clone());
        self.refuses.map_or(Ok(()), Err)
    }
}

const NTP: fn([u8; 4]) -> SourceName = |ip| SourceName::Ntp(SourceAddress::Ip(IpAddr::from(ip)));
const V6: SourceName = SourceName::Ntp(SourceAddress::Ip(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)));
const GPS: RefId = RefId::from_bits(0x4750_5300);

/// The captured request of a reply, whole, and the captured reply.
fn pair(name: &str) -> (Vec<u8>, Vec<u8>) {
    let (_, capture) = captures().into_iter().find(|(n, _)| *n == name).unwrap();
    let (header, _) = parse_reply(&capture.reply).unwrap();
    let (length, _) = Request::lengths(header.command).unwrap();
    let mut request = hex("06010000");
    request.extend(header.command.to_be_bytes());
    request.extend([0, 0]);
    request.extend_from_slice(&capture.reply[16..20]);
    request.resize(length, 0);
    (request, capture.reply)
}

/// Asks over the Unix socket what was asked when the reply was captured: the reply must be the same bytes.
fn same_bytes(name: &str, index: u32, daemon: &mut Double) {
    let (mut request, reply) = pair(name);
    if request[5] != 57 && request.len() >= 44 {
        request[20..24].copy_from_slice(&index.to_be_bytes());
    }
    if matches!(request[5], 57 | 67) {
        request[20..40].copy_from_slice(&hex("7f000002 00000000 00000000 00000000 00010000"));
    }
    assert_eq!(Answerer::default().answer(&request, Transport::Unix, daemon), Some(reply), "{name}");
}

fn f(word: u32) -> f64 {
    Float::from_bits(word).to_f64()
}

#[test]
fn tracking_is_the_captured_one() {
    let mut daemon = Double {
        tracking: Some(TrackingFacts {
            refid: GPS,
            address: None,
            stratum: 1,
            leap: Leap::None,
            time: Some(Timestamp::from_unix(1_795_237_287, 730_302_576)),
            // 594 ns slow: behind
            uncorrected: 5.940_020_173_511_584e-7,
            // 16 ns ahead at the last update
            last_offset: -1.617_833_511_602_384_5e-8,
            rms_offset: f(0xd8f3_958d),
            frequency: -0.019_094_567_745_923_996e-6,
            residual_frequency: -0.000_142_536_810_017_190_87e-6,
            skew: 0.023_284_584_283_828_735e-6,
            root_delay: 1.999_999_949_475_750_3e-5,
            root_dispersion: 3.263_538_019_382_395e-6,
            update_interval: 1.000_350_475_311_279_3,
        }),
        ..Double::default()
    };
    same_bytes("tracking", 0, &mut daemon);
}

/// Name, standing, role, poll, stratum, reach; latest: ago, measured, adjusted (ahead), distance.
type Row = (&'static str, u32, SourceName, Standing, SourceRole, (i8, u8, u8), Option<(u32, u32, u32, u32)>);

#[test]
fn sources_are_the_captured_ones() {
    let rows: [Row; 5] = [
        (
            "source-data-index-0",
            0,
            SourceName::Refclock(GPS),
            Standing::Selected,
            SourceRole::Refclock,
            (0, 0, 0xff),
            Some((1, 0xdd7a_a461, 0xdd78_71af, 0xe2b1_8e57)),
        ),
        (
            "source-data-index-1",
            1,
            NTP([127, 0, 0, 2]),
            Standing::Combined,
            SourceRole::Server,
            (1, 1, 0xff),
            Some((3, 0xd57d_00e5, 0xd57d_00e5, 0xdadd_0538)),
        ),
        (
            "source-data-index-2",
            2,
            V6,
            Standing::Combined,
            SourceRole::Server,
            (1, 1, 0xff),
            Some((1, 0xdefd_6730, 0xdefd_6730, 0xe0a0_8dad)),
        ),
        (
            "source-data-index-3",
            3,
            NTP([127, 0, 0, 3]),
            Standing::MissingSamples,
            SourceRole::Server,
            (2, 0, 0),
            None,
        ),
        (
            "source-data-index-5",
            5,
            SourceName::Ntp(SourceAddress::Unresolved(1)),
            Standing::MissingSamples,
            SourceRole::Server,
            (6, 0, 0),
            None,
        ),
    ];
    for (capture, index, name, standing, role, (poll, stratum, reach), latest) in rows {
        let latest = latest.map(|(ago, measured, adjusted, distance)| LatestSample {
            ago,
            measured: -f(measured),
            adjusted: -f(adjusted),
            distance: f(distance),
        });
        let source =
            SourceFacts { name, role, poll, stratum, standing, reach: Reach::from_bits(reach), latest };
        let mut daemon = Double { sources: 7, source: Some(source), ..Double::default() };
        // the refclock's `adjusted` above is a word of the capture's neighbour: taken from the capture itself
        if capture == "source-data-index-0" {
            let Reply::SourceData(data) = captured(capture) else { panic!("{capture}") };
            let latest = daemon.source.as_mut().unwrap().latest.as_mut().unwrap();
            latest.adjusted = -data.latest_meas.to_f64();
            assert!(latest.measured > 0.0, "1010 ns behind");
        }
        same_bytes(capture, index, &mut daemon);
    }
}

#[test]
fn statistics_are_the_captured_ones() {
    for (capture, index, name, refid) in [
        ("sourcestats-index-0", 0, SourceName::Refclock(GPS), GPS),
        ("sourcestats-index-1", 1, NTP([127, 0, 0, 2]), RefId::from_bits(0x7f00_0002)),
        ("sourcestats-index-2", 2, V6, RefId::from_bits(0xcf40_4dc8)),
        ("sourcestats-index-3", 3, NTP([127, 0, 0, 3]), RefId::from_bits(0x7f00_0003)),
    ] {
        let Reply::SourceStats(data) = captured(capture) else { panic!("{capture}") };
        let statistics = StatisticsFacts {
            name,
            refid,
            samples: data.n_samples,
            runs: data.n_runs,
            span: data.span_seconds,
            deviation: data.sd.to_f64(),
            residual_frequency: data.resid_freq_ppm.to_f64() * 1e-6,
            skew: data.skew_ppm.to_f64() * 1e-6,
            // printed as -1592 ns for the first one: we are behind it
            offset: -data.est_offset.to_f64(),
            offset_error: data.est_offset_err.to_f64(),
        };
        let mut daemon = Double { sources: 7, statistics: Some(statistics), ..Double::default() };
        same_bytes(capture, index, &mut daemon);
        if index == 0 {
            assert!((statistics.offset - 1.592e-6).abs() < 1e-9);
        }
    }
}

#[test]
fn selection_data_are_the_captured_ones() {
    for (capture, index, name, refid, standing, authenticated, options, last_ago) in [
        (
            "select-data-index-0",
            0,
            SourceName::Refclock(GPS),
            GPS,
            Standing::Falseticker,
            false,
            Options { prefer: true, ..Options::default() },
            0,
        ),
        (
            "select-data-index-1",
            1,
            NTP([127, 0, 0, 2]),
            RefId::from_bits(0x7f00_0002),
            Standing::Selected,
            true,
            Options::default(),
            5,
        ),
    ] {
        let Reply::SelectData(data) = captured(capture) else { panic!("{capture}") };
        let selection = SelectionFacts {
            name,
            refid,
            standing,
            authenticated,
            leap: Leap::None,
            configured: options,
            effective: options,
            last_ago,
            score: 1.0,
            // what is ahead by lo … hi is behind by −hi … −lo
            limits: (-data.hi_limit.to_f64(), -data.lo_limit.to_f64()),
        };
        let mut daemon = Double { sources: 7, selection: Some(selection), ..Double::default() };
        same_bytes(capture, index, &mut daemon);
        assert!(selection.limits.0 < selection.limits.1);
    }
}

#[test]
fn the_last_response_is_the_captured_one_and_short_requests_get_the_old_form() {
    let Reply::NtpData2(data) = captured("ntp-data2") else { panic!("ntpdata") };
    let head = &data.head;
    let last = ResponseFacts {
        local: Some(IpAddr::from([127, 0, 0, 1])),
        leap: Leap::None,
        version: 4,
        mode: Mode::Server,
        stratum: 1,
        poll: 0,
        precision: -29,
        root_delay: 0.0,
        root_dispersion: 0.0,
        refid: RefId::from_bits(0x7f7f_0101),
        reference: Timestamp::from_unix(1_795_238_160, 233_071_714),
        // printed as -2331 ns with NTP's sign: we are ahead
        offset: head.offset.to_f64(),
        delay: head.peer_delay.to_f64(),
        dispersion: head.peer_dispersion.to_f64(),
        response_time: head.response_time.to_f64(),
        asymmetry: 0.0,
        tests: [true; 10],
        interleaved: false,
        authenticated: true,
        sent_by: StampOrigin::Kernel,
        received_by: StampOrigin::Kernel,
    };
    assert!(last.offset < 0.0);
    let counters =
        ExchangeCounters { sent: 9, received: 9, valid: 9, good: 9, kernel: (9, 9), hardware: (0, 0) };
    let remote = SocketAddr::from(([127, 0, 0, 7], 11127));
    let mut daemon =
        Double { exchange: Some(ExchangeFacts { remote, last: Some(last), counters }), ..Double::default() };
    same_bytes("ntp-data2", 0, &mut daemon);
    let (mut request, reply) = pair("ntp-data2");
    request[20..40].copy_from_slice(&hex("7f000007 00000000 00000000 00000000 00010000"));
    for length in [152, 171] {
        let old = Answerer::default().answer(&request[..length], Transport::Unix, &mut daemon).unwrap();
        assert_eq!((old.len(), old[7], &old[28..140]), (152, 16, &reply[28..140]));
    }
    // before the first response everything but the counters is zero
    daemon.exchange = Some(ExchangeFacts { remote, last: None, counters: ExchangeCounters::default() });
    let reply = Answerer::default().answer(&request, Transport::Unix, &mut daemon).unwrap();
    assert!(reply[48..68].iter().chain(&reply[70..156]).all(|byte| *byte == 0));
    assert_eq!(reply[156..], [0xff; 16]);
}

#[test]
fn smaller_reports_are_the_captured_ones() {
    let mut daemon = Double {
        sources: 7,
        smoothing: Some(SmoothingFacts {
            active: true,
            leap_only: true,
            ahead: 0.0,
            frequency: 0.0,
            wander: 0.0,
            last_ago: f(0xfcbd_2c07),
            remaining: 0.0,
        }),
        ..Double::default()
    };
    same_bytes("n-sources", 0, &mut daemon);
    same_bytes("activity", 0, &mut daemon);
    same_bytes("smoothing", 0, &mut daemon);
    same_bytes("rtcreport-error-13", 0, &mut daemon);
}

#[test]
fn server_counters_come_in_the_generation_of_the_request() {
    let Reply::ServerStats4(data) = captured("server-stats4") else { panic!("serverstats") };
    let server = ServerCounters {
        ntp_hits: data.ntp_hits,
        nke_hits: data.nke_hits,
        authenticated: data.ntp_auth_hits,
        interleaved: data.ntp_interleaved_hits,
        timestamps: data.ntp_timestamps,
        span: data.ntp_span_seconds,
        daemon_rx: data.ntp_daemon_rx,
        daemon_tx: data.ntp_daemon_tx,
        kernel_rx: data.ntp_kernel_rx,
        kernel_tx: data.ntp_kernel_tx,
        ..ServerCounters::default()
    };
    let mut daemon = Double { server, ..Double::default() };
    let (request, expected) = pair("server-stats4");
    let mut answerer = Answerer::default();
    let mut reply = Vec::new();
    for _ in 0..data.cmd_hits {
        reply = answerer.answer(&request, Transport::Unix, &mut daemon).unwrap();
    }
    assert_eq!(reply, expected);
    for (length, code, answer) in
        [(48, 14, 48), (59, 14, 48), (60, 22, 60), (71, 22, 60), (72, 24, 72), (195, 24, 72)]
    {
        let reply = answerer.answer(&request[..length], Transport::Unix, &mut daemon).unwrap();
        assert_eq!((reply[7], reply.len()), (code, answer), "{length}");
        assert_eq!(reply[31], 9, "{length}");
    }
    assert_eq!(answerer.answer(&request[..47], Transport::Unix, &mut daemon).unwrap()[9], 19);
}

fn request(command: u16, length: usize, data: &str) -> Vec<u8> {
    let mut bytes = hex("06010000");
    bytes.extend(command.to_be_bytes());
    bytes.extend([0, 0, 1, 2, 3, 4]);
    bytes.resize(20, 0);
    bytes.extend(hex(data));
    bytes.resize(length, 0);
    bytes
}

/// Status of the reply, if there is one.
fn status(bytes: &[u8], from: Transport, daemon: &mut Double) -> Option<u16> {
    let reply = Answerer::default().answer(bytes, from, daemon)?;
    assert!(reply.len() <= bytes.len() && reply[16..20] == bytes[8..12]);
    Some(parse_reply(&reply).unwrap().0.status.get())
}

const LOCALHOST: Transport = Transport::Udp(IpAddr::V4(Ipv4Addr::LOCALHOST));

#[test]
fn packets_are_judged_as_the_original_judges_them() {
    let tracking = captured_tracking();
    let ask = |bytes: &[u8], from| status(bytes, from, &mut Double { sources: 1, ..with_tracking(tracking) });
    for from in [Transport::Unix, LOCALHOST] {
        for length in [104, 200, 896] {
            assert_eq!(ask(&request(33, length, ""), from), Some(0), "{length}");
        }
        for length in [0, 20, 27, 897] {
            assert_eq!(ask(&request(33, 900, "")[..length], from), None, "{length}");
        }
        for length in [28, 103] {
            assert_eq!(ask(&request(33, length, ""), from), Some(19), "{length}");
        }
        for (version, expected) in
            [(0, None), (3, None), (4, None), (5, Some(18)), (7, Some(18)), (255, Some(18))]
        {
            let mut bytes = request(33, 104, "");
            bytes[0] = version;
            assert_eq!(ask(&bytes, from), expected, "version {version}");
        }
        for (place, value) in [(1, 2), (2, 1), (3, 1)] {
            let mut bytes = request(33, 104, "");
            bytes[place] = value;
            assert_eq!(ask(&bytes, from), None);
        }
        for command in [0, 10, 12, 27, 28, 32, 38, 39, 40, 58, 61, 76, 999] {
            assert_eq!(ask(&request(command, 520, ""), from), Some(3), "{command}");
        }
        for index in ["00000063", "ffffffff"] {
            assert_eq!(ask(&request(15, 76, index), from), Some(4), "{index}");
        }
    }
    assert_eq!(ask(&request(43, 28, ""), LOCALHOST), Some(2));
    assert_eq!(ask(&request(43, 28, ""), Transport::Unix), Some(0));
    assert_eq!(ask(&request(13, 28, "00000007"), Transport::Unix), Some(3));
    assert_eq!(ask(&request(75, 408, "00000009"), Transport::Unix), Some(3));
    assert_eq!(ask(&request(75, 407, "00000001"), Transport::Unix), Some(19));
    assert_eq!(ask(&request(75, 408, "00000001 612062"), Transport::Unix), Some(21));
    assert_eq!(ask(&request(75, 408, &format!("00000001 {}", "61".repeat(256))), Transport::Unix), Some(21));
    assert_eq!(ask(&request(75, 408, "00000001 612062"), LOCALHOST), Some(2));
}

fn captured_tracking() -> TrackingFacts {
    TrackingFacts {
        refid: GPS,
        address: None,
        stratum: 1,
        leap: Leap::None,
        time: None,
        uncorrected: 0.0,
        last_offset: 0.0,
        rms_offset: 0.0,
        frequency: 0.0,
        residual_frequency: 0.0,
        skew: 0.0,
        root_delay: 0.0,
        root_dispersion: 0.0,
        update_interval: 0.0,
    }
}

fn with_tracking(tracking: TrackingFacts) -> Double {
    Double { tracking: Some(tracking), ..Double::default() }
}

#[test]
fn over_udp_the_open_commands_are_open_and_nothing_else() {
    let open_by_default = [14, 15, 33, 34, 35, 41, 44, 51, 65];
    let words = |words: &[&str]| Answerer::new(Table::new(), OpenCommands::from_words(words));
    for &code in Request::CODES {
        let bytes = request(code, 896, "");
        let refused = |answerer: &mut Answerer, from| {
            let mut daemon =
                Double { clients: Some(ClientsPage::default()), ..with_tracking(captured_tracking()) };
            let reply = answerer.answer(&bytes, from, &mut daemon).unwrap();
            let unauthorised = reply[9] == 2;
            assert!(!unauthorised || daemon.commands.is_empty());
            unauthorised
        };
        assert_eq!(refused(&mut Answerer::default(), LOCALHOST), !open_by_default.contains(&code), "{code}");
        assert!(!refused(&mut Answerer::default(), Transport::Unix), "{code}");
        assert!(refused(&mut words(&[]), LOCALHOST), "{code}");
        assert_eq!(refused(&mut words(&["AuthData"]), LOCALHOST), ![14, 15, 67].contains(&code), "{code}");
        assert_eq!(refused(&mut words(&["clients", "x"]), LOCALHOST), ![55, 68].contains(&code), "{code}");
    }
}

#[test]
fn who_is_not_allowed_hears_nothing_and_is_not_counted() {
    let bytes = request(44, 48, "");
    let stranger = IpAddr::from([127, 0, 0, 5]);
    let mut answerer = Answerer::default();
    let mut daemon = Double::default();
    assert_eq!(answerer.answer(&bytes, Transport::Udp(stranger), &mut daemon), None);
    assert_eq!((answerer.counters.hits, daemon.charged.len()), (0, 0));
    // cmdallow 127.0.0.0/8 opens it, cmddeny all closes it again
    let subnet = "7f000000 00000000 00000000 00000000 00010000 00000008";
    assert!(answerer.answer(&request(21, 44, subnet), Transport::Unix, &mut daemon).is_some());
    assert!(answerer.answer(&bytes, Transport::Udp(stranger), &mut daemon).is_some());
    assert_eq!(daemon.charged, [stranger]);
    daemon.limited = true;
    assert_eq!(answerer.answer(&bytes, Transport::Udp(stranger), &mut daemon), None);
    assert!(answerer.answer(&bytes, LOCALHOST, &mut daemon).is_some(), "localhost is not limited");
    assert_eq!(answerer.counters, CommandCounters { hits: 4, drops: 1 });
    assert!(answerer.answer(&request(24, 44, ""), Transport::Unix, &mut daemon).is_some());
    daemon.limited = false;
    assert_eq!(answerer.answer(&bytes, Transport::Udp(stranger), &mut daemon), None);
    assert_eq!(
        daemon.log,
        ["Allowed command access from 127.0.0.0/8", "Denied all command access from any address"]
    );
}

#[test]
fn access_rules_and_checks() {
    let mut daemon = Double::default();
    let v4 = |address: &str, bits: &str| format!("{address} 00000000 00000000 00000000 00010000 {bits}");
    for code in 17..=24 {
        for bits in ["ffffffff", "00000021"] {
            let bytes = request(code, 44, &v4("01020304", bits));
            assert_eq!(status(&bytes, Transport::Unix, &mut daemon), Some(7), "{code} {bits}");
        }
        let zero = "00000000 00000000 00000000 00000000";
        for odd in [format!("{zero} 00000000 00000005"), format!("{zero} 00030000 00000000")] {
            assert_eq!(status(&request(code, 44, &odd), Transport::Unix, &mut daemon), Some(7), "{code}");
        }
    }
    assert_eq!(status(&request(18, 44, &v4("0a010000", "00000010")), Transport::Unix, &mut daemon), Some(0));
    assert_eq!(status(&request(19, 44, ""), Transport::Unix, &mut daemon), Some(0));
    let network = Some(Network::new(IpAddr::from([10, 1, 0, 0]), 16));
    assert_eq!(
        daemon.commands,
        [
            Command::Access(AccessChange { allow: true, all: true, network }),
            Command::Access(AccessChange { allow: false, all: false, network: None })
        ]
    );
    assert_eq!(daemon.log, ["Allowed all NTP access from 10.1.0.0/16", "Denied NTP access from any address"]);
    let checks =
        [("0a000001", "0001", 8), ("0a000002", "0001", 9), ("00000000", "0000", 9), ("0a000001", "0003", 9)];
    for (address, family, expected) in checks {
        let data = format!("{address} 00000000 00000000 00000000 {family}0000");
        assert_eq!(status(&request(25, 40, &data), Transport::Unix, &mut daemon), Some(expected), "{data}");
        assert_eq!(status(&request(26, 40, &data), Transport::Unix, &mut daemon), Some(9), "{data}");
    }
}

/// The commands of spec part 6, as bytes, and what the daemon is told.
#[test]
fn commands_mean_what_the_original_means() {
    let z12 = "00000000 00000000 00000000";
    let z20 = "00000000 00000000 00000000 00000000 00000000";
    let host = SourceAddress::Ip(IpAddr::from([1, 2, 3, 4]));
    let masked =
        |a: [u8; 4]| Selector::Masked { mask: IpAddr::from([255, 0, 0, 0]), address: IpAddr::from(a) };
    let address = format!("01020304 {z12} 00010000");
    let prefer_trust = Options { prefer: true, trust: true, ..Options::default() };
    let prefer = Options { prefer: true, ..Options::default() };
    let tenth = f(0xfccc_cccd);
    let local = Local {
        stratum: 8,
        orphan: true,
        distance: 0.5,
        activate: tenth,
        waitsynced: 5.0,
        waitunsynced: 6.0,
    };
    let cases = [
        (
            1,
            format!("ff000000 {z12} 00010000 7f000000 {z12} 00010000"),
            Command::Online(masked([127, 0, 0, 0])),
        ),
        (2, format!("{z20} 00000001 {z12} 00030000"), Command::Offline(Selector::Unresolved(1))),
        (2, String::new(), Command::Offline(Selector::All)),
        (
            3,
            format!("ff000000 {z12} 00010000 0a000000 {z12} 00010000 00000001 00000002"),
            Command::Burst(masked([10, 0, 0, 0]), 1, 2),
        ),
        (4, format!("{address} fffffffe"), Command::Modify(host, Parameter::Minpoll(-2))),
        (7, format!("{address} fccccccd"), Command::Modify(host, Parameter::Maxdelay(tenth))),
        (50, "ffffffff fccccccd".to_owned(), Command::MakestepLimits(tenth, -1)),
        (
            74,
            "00000001 00000008 02800000 00000001 fccccccd 08a00000 08c00000".to_owned(),
            Command::Local(Some(local)),
        ),
        (
            56,
            "00000007 00000010 02800000 00000000".to_owned(),
            Command::Local(Some(Local {
                stratum: 15,
                orphan: false,
                activate: 0.0,
                waitsynced: 0.0,
                waitunsynced: 0.0,
                ..local
            })),
        ),
        (74, String::new(), Command::Local(None)),
        (
            72,
            format!("{z20} 47505300 00000006 00000008"),
            Command::SelectOptions(SourceName::Refclock(GPS), prefer_trust, prefer),
        ),
        (73, format!("{address} 00000000 ff000000"), Command::Offset(SourceName::Ntp(host), -0.25)),
        // chronyc's `doffset 0.25`: the clock becomes 0.25 s fast (measured: tracking then shows −0.25)
        (71, "00800000".to_owned(), Command::AddOffset(-0.25)),
        (31, "04800000".to_owned(), Command::AddFrequency(1e-6)),
        (29, address.clone(), Command::Delete(host)),
        (13, "00000002".to_owned(), Command::Manual(Switch::Reset)),
        (42, "00000003".to_owned(), Command::ManualDelete(3)),
        (62, String::new(), Command::Shutdown),
    ];
    for (code, data, expected) in cases {
        let mut daemon = Double::default();
        assert_eq!(status(&request(code, 500, &data), Transport::Unix, &mut daemon), Some(0), "{expected:?}");
        assert_eq!(daemon.commands, [expected]);
    }
}

fn added(code: u16, data: &str) -> Result<Source, Option<u16>> {
    let mut daemon = Double::default();
    let status = status(&request(code, 500, data), Transport::Unix, &mut daemon);
    match daemon.commands.pop() {
        Some(Command::Add(source)) => {
            assert_eq!(status, Some(0));
            Ok(*source)
        }
        _ => Err(status),
    }
}

fn name(name: &str) -> String {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(256, 0);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn both_generations_of_add_mean_the_same_source() {
    let defaults =
        "0000007b 00000006 0000000a 00000064 00000000 00000008 00000000 00000004 ffffffff ffffffff";
    let newer = format!(
        "00000001 {} {defaults} 000186a0 00000000 00000000 0000116c 00000000 00000013 06c00000 00000000 0aa00000 00000000 00000000 04800000 00000000 00000001",
        name("1.2.3.4")
    );
    let older = format!(
        "00000001 {} {defaults} 00000000 0000116c 06c00000 00000000 0aa00000 00000000 04800000 00000000 00000001 00000000 00000000 00000000 000186a0",
        name("1.2.3.4")
    );
    // clients before 4.8 send 0 unreachable polls, which means the default
    let oldest = format!("{}00000000", older.strip_suffix("000186a0").unwrap());
    let expected = Source::new(Kind::Server, "1.2.3.4");
    for (code, data) in [(75, &newer), (64, &older), (64, &oldest)] {
        assert_eq!(added(code, data).as_ref(), Ok(&expected), "{code}");
    }
    let every = format!(
        "00000003 {} 00000063 fffffffe 00000003 00000004 00000005 00000006 00000003 00000007 00000008 00000009 0000000a 0000000b 0000000c 0000000d 0000000e 0000000f 02800000 00800000 04c00000 fe800000 04800000 fccccccd 06a00000 800117fa",
        name("a.example")
    );
    let pool = added(75, &every).unwrap();
    assert_eq!((pool.kind, pool.port, pool.minpoll, pool.maxpoll, pool.presend), (Kind::Pool, 99, -2, 3, 4));
    assert_eq!((pool.minstratum, pool.polltarget, pool.version, pool.maxsources), (5, 6, 3, 7));
    assert_eq!((pool.minsamples, pool.maxsamples, pool.maxunreach), (Some(8), Some(9), 10));
    assert_eq!((pool.filter, pool.key, pool.ntsport, pool.certset, pool.maxntsretry), (11, 12, 13, 14, 15));
    let floats =
        [pool.maxdelay, pool.maxdelayratio, pool.maxdelaydevratio, pool.maxdelayquant, pool.mindelay];
    assert_eq!(floats.map(f64::to_bits), [0.5, 0.25, 1.5, 0.125, 1.0].map(f64::to_bits));
    assert_eq!(
        (pool.asymmetry.to_bits(), pool.offset.to_bits()),
        (f(0xfccc_cccd).to_bits(), 2.5_f64.to_bits())
    );
    // offline auto_offline prefer noselect trust require xleave burst nts copy ipv6 and both fields
    let flags = pool.flags;
    assert!(flags.offline && flags.auto_offline && flags.prefer && flags.noselect && flags.trust);
    assert!(flags.require && flags.xleave && flags.burst && flags.nts && flags.copy && !flags.iburst);
    assert!(pool.extensions.mono_root && pool.extensions.net_correction && flags.ipv6 && !flags.ipv4);
    // a literal of the family that the flags exclude; no name at all becomes one without an address
    let family = every.replace(&name("a.example"), &name("127.0.0.1"));
    assert_eq!(added(75, &family), Err(Some(17)));
    assert!(added(75, &family.replace("800117fa", "00001800")).is_ok(), "both families are wanted");
    assert_eq!(added(75, &newer.replace(&name("1.2.3.4"), &name(""))).unwrap().name, "");
    assert_eq!(added(75, &newer.replacen("00000001", "00000000", 1)), Err(Some(3)));
}

#[test]
fn a_daemon_that_refuses_is_quoted_and_does_not_log() {
    for refusal in [Status::FAILED, Status::NO_SUCH_SOURCE, Status::SOURCE_KNOWN, Status::NO_RTC] {
        let mut daemon = Double { refuses: Some(refusal), ..Double::default() };
        for code in [43, 49, 50] {
            assert_eq!(status(&request(code, 44, ""), Transport::Unix, &mut daemon), Some(refusal.get()));
        }
        assert_eq!(daemon.log, [""; 0]);
    }
    let mut daemon = Double::default();
    assert_eq!(status(&request(52, 28, "00000009"), Transport::Unix, &mut daemon), Some(6));
    assert_eq!(status(&request(42, 28, "ffffffff"), Transport::Unix, &mut daemon), Some(16));
}

#[test]
fn typed_times_turn_their_sign() {
    let typed = ManualFacts {
        at: Timestamp::from_unix(1_262_303_999, 0),
        // the clock was 2 s ahead
        adjusted: -1.0,
        typed: -2.0,
        residual: 0.5,
    };
    let mut daemon = Double { manual: vec![typed; 20], ..Double::default() };
    let ask = |bytes: &[u8], daemon: &mut Double| {
        let reply = Answerer::default().answer(bytes, Transport::Unix, daemon).unwrap();
        parse_reply(&reply).unwrap().1
    };
    let Reply::ManualList2(list) = ask(&request(41, 416, ""), &mut daemon) else { panic!("manual list") };
    let first = &list.samples[0];
    assert_eq!((list.n_samples, first.when.secs), (16, 1_262_303_999));
    let floats = [first.slewed_offset, first.orig_offset, first.residual].map(|x| x.to_f64().to_bits());
    assert_eq!(floats, [1.0_f64, 2.0, -0.5].map(f64::to_bits));
    let Reply::ManualTimestamp2(effect) = ask(&request(11, 40, ""), &mut daemon) else { panic!("settime") };
    assert_eq!(effect.offset.to_f64().to_bits(), 2.0_f64.to_bits());
    let far = request(11, 40, "10000000 00000000 00000000");
    assert_eq!(status(&far, Transport::Unix, &mut daemon), Some(1));
}

#[test]
fn clients_come_eight_at_a_time_in_both_forms() {
    let service = ServiceFacts { hits: 5, drops: 1, interval: Some(6), limited_interval: None, last_ago: 7 };
    let client = ClientFacts { address: IpAddr::from([10, 0, 0, 1]), ntp: Some(service), command: None };
    let page = ClientsPage { places: 100, next: 42, clients: vec![client; 3] };
    let mut daemon = Double { clients: Some(page), ..Double::default() };
    let query = request(68, 520, "00000010 00000009 00000002 00000001");
    let reply = Answerer::default().answer(&query, Transport::Unix, &mut daemon).unwrap();
    assert_eq!(daemon.wanted, Some(ClientsWanted { first: 16, count: 8, min_hits: 2, reset: true }));
    let Reply::ClientAccessesByIndex3(list) = parse_reply(&reply).unwrap().1 else { panic!("clients") };
    assert_eq!((list.n_indices, list.next_index, list.n_clients), (100, 42, 3));
    let c = &list.clients[2];
    assert_eq!((c.ntp_hits, c.ntp_drops, c.ntp_interval, c.ntp_timeout_interval), (5, 1, 6, 127));
    assert_eq!((c.cmd_hits, c.last_ntp_hit_ago, c.last_cmd_hit_ago), (0, 7, u32::MAX));
    assert!(reply[40 + 3 * 60..].iter().all(|byte| *byte == 0));
    let old =
        Answerer::default().answer(&request(55, 424, "00000010 00000008"), Transport::Unix, &mut daemon);
    assert_eq!(old.map(|reply| (reply.len(), reply[7])), Some((424, 15)));
    daemon.clients = None;
    assert_eq!(status(&query, Transport::Unix, &mut daemon), Some(15));
}

#[test]
fn names_and_keys_of_sources() {
    let mut daemon = Double::default();
    let id = |number: u32| format!("{number:08x} 00000000 00000000 00000000 00030000");
    let reply = Answerer::default().answer(&request(65, 284, &id(1)), Transport::Unix, &mut daemon).unwrap();
    assert!(reply[28..].starts_with(b"unresolvable.invalid\0"));
    assert_eq!(status(&request(65, 284, &id(2)), Transport::Unix, &mut daemon), Some(21));
    for code in [65, 57, 67, 29, 72, 73] {
        let expected = if matches!(code, 72 | 73) { Some(0) } else { Some(4) };
        assert_eq!(status(&request(code, 300, ""), Transport::Unix, &mut daemon), expected, "{code}");
    }
    let key = "7f000002 00000000 00000000 00000000 00010000";
    let reply = Answerer::default().answer(&request(67, 52, key), Transport::Unix, &mut daemon).unwrap();
    assert_eq!(reply[28..52], hex("0001 0002 0000001e 00a0 0000 ffffffff 0000 0000 0000 0000"));
    same_bytes("auth-data-nts", 0, &mut Double { nts: true, ..Double::default() });
}

#[test]
fn no_bytes_make_it_panic_and_no_reply_is_longer_than_the_request() {
    let mut rng = crate::engine::rng::SplitMix::new(11);
    let mut next = || crate::engine::rng::Rng::next_u64(&mut rng);
    let mut answerer = Answerer::default();
    for _ in 0..20_000 {
        let length = usize::try_from(next() % 900).unwrap();
        let mut bytes: Vec<u8> = (0..length).map(|_| next().to_be_bytes()[0] & 0x1f).collect();
        if let (Some(head), true) = (bytes.first_chunk_mut::<6>(), next() % 4 > 0) {
            *head = [6, 1, 0, 0, 0, u8::try_from(next() % 80).unwrap()];
        }
        let mut daemon = Double { sources: 3, ..with_tracking(captured_tracking()) };
        // the double believes in one time only
        if bytes.get(5) == Some(&11) {
            continue;
        }
        if let Some(reply) = answerer.answer(&bytes, Transport::Unix, &mut daemon) {
            assert!(reply.len() <= bytes.len());
        }
    }
}
