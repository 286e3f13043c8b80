//! Our chronyd while it follows a real one: every command of every generation's `chronyc`, its reports beside the original
//! client's, and a foreign reader of its protocol.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::daemon::{Daemon, Kind, Setup, chrony_keys};
use super::namespace::{Finished, Host, Lab, Process, wait_until};
use super::peer::{Package, our};
use crate::support::schema::check_output;

/// How long it may take until something has happened.
const LIMIT: Duration = Duration::from_secs(30);

/// A real chronyd, and ours that follows it on another host.
struct Scene {
    _lab: Lab,
    server: Host,
    host: Host,
    _source: Daemon,
    ours: Process,
    socket: String,
}

impl Scene {
    fn open(packages: &[Package], lines: &str) -> Option<Self> {
        let lab = Lab::open(packages)?;
        let chronyd = our("chronyd")?;
        let (server, host) = (lab.host(), lab.host());
        let source = Daemon::start(&server, Kind::Chrony49, &Setup::default());
        assert_eq!(host.sh("mkdir -p own sources && chmod 700 own").code, Some(0));
        let (dir, keys) = (host.dir().display().to_string(), host.file("keys", &chrony_keys()));
        let mut text = String::new();
        let _ = writeln!(
            text,
            "bindcmdaddress {dir}/own/s.sock\npidfile {dir}/own/pid\nkeyfile {keys}\ndumpdir {dir}/own\n\
             sourcedir {dir}/sources\nserver {} minpoll 0 maxpoll 1 iburst key 2\n\
             server {} minpoll 0 maxpoll 1 noselect\nserver 127.0.0.3 port 9999 minpoll 6\npeer 127.0.0.9 maxpoll 6\n\
             server no.such.name.invalid\nserver 10.77.0.99 offline\nmanual\nlocal stratum 12\n{lines}",
            server.ip4(),
            server.ip6()
        );
        let config = host.file("ours.conf", &text);
        let mut ours = host.spawn(&chronyd, &["-x", "-d", "-u", "root", "-f", &config]);
        let socket = format!("{dir}/own/s.sock");
        let starts = wait_until(LIMIT, || ours.has_ended() || Path::new(&socket).exists());
        assert!(starts && !ours.has_ended(), "it does not start:\n{}", ours.err());
        ours.assert_harmless();
        Some(Self { _lab: lab, server, host, _source: source, ours, socket })
    }

    fn ask(&self, client: &Client, options: &[&str], command: &str) -> Finished {
        self.ask_at(&self.socket, client, options, command)
    }

    fn ask_at(&self, socket: &str, client: &Client, options: &[&str], command: &str) -> Finished {
        let words: Vec<&str> = client
            .before
            .iter()
            .copied()
            .chain(["-h", socket])
            .chain(options.iter().copied())
            .chain(command.split(' '))
            .collect();
        self.host.run(&client.program, &words)
    }

    /// Until the real server is selected.
    fn wait(&self, client: &Client) {
        let selected =
            || self.ask(client, &["-n"], "sources").out.contains(&format!("^* {} ", self.server.ip4()));
        assert!(wait_until(LIMIT, selected), "{}", self.ours.err());
    }
}

/// Stands between a client and a daemon, and gives the daemon's first answer to a question to all who ask it.
struct Between {
    socket: String,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Between {
    fn open(folder: &Path, daemon: &str) -> Self {
        let (front, back) = (folder.join("between.sock"), folder.join("between.back.sock"));
        for path in [&front, &back] {
            let _ = std::fs::remove_file(path);
        }
        let clients = UnixDatagram::bind(&front).unwrap();
        let server = UnixDatagram::bind(&back).unwrap();
        server.connect(daemon).unwrap();
        clients.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let thread = std::thread::spawn(move || {
            let mut known: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            let mut buffer = [0; 1024];
            while !told.load(Ordering::Relaxed) {
                let Ok((length, from)) = clients.recv_from(&mut buffer) else { continue };
                let request = buffer[..length].to_vec();
                // all but the number of the try and of the request
                let question = [&request[..6], &request[12..]].concat();
                let reply = known.entry(question).or_insert_with(|| {
                    server.send(&request).unwrap();
                    let length = server.recv(&mut buffer).unwrap();
                    buffer[..length].to_vec()
                });
                reply[16..20].copy_from_slice(&request[8..12]);
                let _ = clients.send_to(reply, from.as_pathname().unwrap());
            }
        });
        Self { socket: front.to_str().unwrap().to_owned(), ends, thread: Some(thread) }
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

struct Client {
    program: PathBuf,
    before: &'static [&'static str],
    /// Minor version of 4.
    level: u32,
}

fn theirs(package: Package, level: u32, before: &'static [&'static str]) -> Client {
    Client { program: package.program("chronyc"), before, level }
}

const PACKAGES: [Package; 3] = [Package::ChronySid, Package::ChronyTrixie, Package::ChronyHere];

fn clients() -> Vec<Client> {
    let mut all = vec![
        theirs(Package::ChronySid, 9, &["-u", "root"]),
        theirs(Package::ChronyTrixie, 6, &[]),
        theirs(Package::ChronyHere, 3, &[]),
    ];
    all.extend(our("chronyc").map(|program| Client { program, before: &[], level: 9 }));
    all
}

const OK: &str = "200 OK";
const UNKNOWN: &str = "503 No such source";

/// Commands in order, the start of the first line of the answer, the least level of a client that knows them. SERVER is the
/// real server's address.
const COMMANDS: &[(&str, &str, u32)] = &[
    ("tracking", "Reference ID    : 0A4D0001 (10.77.0.1)", 0),
    ("activity", OK, 0),
    ("online", OK, 0),
    ("online 10.77.0.99", OK, 0),
    ("offline 10.77.0.99", OK, 0),
    ("offline 1.2.3.4", UNKNOWN, 0),
    ("online 10.77.0.0/24", OK, 0),
    ("onoffline", OK, 0),
    ("burst 1/2 SERVER", OK, 0),
    ("burst 1/2 1.2.3.4", UNKNOWN, 0),
    ("minpoll SERVER 0", OK, 0),
    ("maxpoll SERVER 2", OK, 0),
    ("maxpoll SERVER 99", OK, 0),
    ("maxdelay SERVER 0.5", OK, 0),
    ("maxdelayratio SERVER 100", OK, 0),
    ("maxdelaydevratio SERVER 100", OK, 0),
    ("minstratum SERVER 1", OK, 0),
    ("polltarget SERVER 10", OK, 0),
    ("minpoll 1.2.3.4 0", UNKNOWN, 0),
    ("selectopts SERVER +prefer -trust", OK, 4),
    ("selectopts GPS +prefer", UNKNOWN, 4),
    ("offset SERVER 0.0", OK, 6),
    ("offset 1.2.3.4 0.0", UNKNOWN, 6),
    ("add server 127.0.0.77 iburst minpoll 4 maxpoll 5 key 1 xleave", OK, 0),
    ("add server 127.0.0.77", "511 Source already present", 0),
    ("sourcename 127.0.0.77", "127.0.0.77", 0),
    ("ntpdata 127.0.0.77", "Remote address  : 127.0.0.77 (7F00004D)", 0),
    ("add peer 127.0.0.78 offline", OK, 0),
    ("add server 127.0.0.79 key 99", OK, 0),
    ("add server ::2 ipv4", "515 Invalid address family", 6),
    ("delete 127.0.0.77", OK, 0),
    ("delete 127.0.0.77", UNKNOWN, 0),
    ("delete 127.0.0.78", OK, 0),
    ("delete 127.0.0.79", OK, 0),
    ("refresh", OK, 0),
    ("reload sources", OK, 0),
    ("reselect", OK, 0),
    ("reselectdist 0.0001", OK, 0),
    ("makestep", "500 Failure", 0),
    ("makestep 0.1 3", OK, 0),
    ("maxupdateskew 100", OK, 0),
    ("dfreq 0.001", OK, 0),
    ("doffset 0.000001", OK, 0),
    ("local stratum 8 orphan distance 0.5", OK, 0),
    ("local off", OK, 0),
    ("local stratum 12", OK, 0),
    ("manual on", OK, 0),
    ("manual list", "210 n_samples = 0", 0),
    ("manual delete 0", "516 Sample index out of range", 0),
    ("manual off", OK, 0),
    ("settime 12:00", "505 Facility not enabled in daemon", 0),
    ("manual reset", OK, 0),
    ("allow 10.1.2", OK, 0),
    ("accheck 10.1.2.3", "208 Access allowed", 0),
    ("deny all 10", OK, 0),
    ("accheck 10.1.2.3", "209 Access denied", 0),
    ("cmdallow 10.1.2.3", OK, 0),
    ("cmdaccheck 10.1.2.3", "208 Access allowed", 0),
    ("cmddeny 10.1.2.3", OK, 0),
    ("rekey", OK, 0),
    ("cyclelogs", OK, 0),
    ("dump", OK, 0),
    ("rtcdata", "513 RTC driver not running", 0),
    ("trimrtc", "513 RTC driver not running", 0),
    ("writertc", "513 RTC driver not running", 0),
    ("sources", "MS Name/IP address         Stratum Poll Reach LastRx Last sample", 0),
    ("sourcestats -v", "", 0),
    ("selectdata", "S Name/IP Address        Auth COpts EOpts Last Score     Interval  Leap", 0),
    ("authdata", "Name/IP address             Mode KeyID Type KLen Last Atmp  NAK Cook CLen", 0),
    ("ntpdata", "", 0),
    ("serverstats", "NTP packets received       :", 0),
    ("clients", "Hostname                      NTP   Drop Int IntL Last     Cmd   Drop Int  Last", 0),
    ("waitsync 3 1 0 0.1", "try: 1, refid: 0A4D0001, correction: 0.0000", 0),
    ("reset sources", OK, 0),
];

#[test]
fn every_command_of_every_generation() {
    let Some(mut scene) = Scene::open(&PACKAGES, "") else { return };
    for client in &clients() {
        scene.wait(client);
        for (command, line, level) in COMMANDS {
            if client.level < *level {
                continue;
            }
            let command = command.replace("SERVER", &scene.server.ip4());
            let ran = scene.ask(client, &["-n"], &command);
            let first = ran.out.lines().next().unwrap_or_default();
            let refused = line.starts_with('5');
            assert!(first.starts_with(line), "{} {command}: {ran:?}", client.program.display());
            assert_eq!(ran.code, Some(i32::from(refused)), "{} {command}: {ran:?}", client.program.display());
        }
    }
    // what the files of a folder say comes and goes, and nothing else does
    let client = &clients()[0];
    let rows = || scene.ask(client, &["-c"], "sources -a").out;
    let before = rows();
    scene.host.file("sources/a.sources", "server 127.0.0.81 offline\nnonsense\nserver 127.0.0.82 offline\n");
    assert_eq!(scene.ask(client, &[], "reload sources").out, "200 OK\n");
    let with = rows();
    assert!(with.contains("127.0.0.81") && with.contains("127.0.0.82"), "{with}");
    let names = "server some.invalid\npool some.invalid maxsources 2\n";
    scene.host.file("sources/a.sources", &format!("server 127.0.0.82 offline\n{names}"));
    scene.ask(client, &[], "reload sources");
    scene.host.file("sources/a.sources", "server 127.0.0.82 offline\npool some.invalid maxsources 2\n");
    scene.ask(client, &[], "reload sources");
    let places = rows().matches("ID#").count() - before.matches("ID#").count();
    assert_eq!(places, 4, "the pool of the same name was to stay");
    scene.host.file("sources/a.sources", "server 127.0.0.82 offline\n");
    scene.ask(client, &[], "reload sources");
    assert!(!rows().contains("127.0.0.81") && rows().contains("127.0.0.82"));
    scene.host.file("sources/a.sources", "");
    scene.ask(client, &[], "reload sources");
    assert_eq!(rows().lines().count(), before.lines().count());
    assert_eq!(scene.ask(client, &[], "shutdown").out, "200 OK\n");
    let status = scene.ours.wait(Duration::from_secs(5)).and_then(|status| status.code());
    assert_eq!(status, Some(0), "{}", scene.ours.err());
    let log = scene.ours.err();
    for line in [
        "Source 10.77.0.99 online",
        "Source 10.77.0.1 new minpoll 0",
        "Source 10.77.0.1 new maxdelay 0.500000",
        "Added source 127.0.0.77",
        "Added source ID#00",
        "Added pool some.invalid",
        "Removed source ID#00",
        "Removed pool some.invalid",
        "Key 99 is missing",
        "Removed source 127.0.0.77",
        "New reselect distance 0.000100",
        "Could not step system clock",
        "New makestep 0.100000 3",
        "Allowed NTP access from 10.1.2.0/24",
        "Reset all sources",
        "Received shutdown command",
    ] {
        assert!(log.contains(line), "{line}:\n{log}");
    }
}

/// All reports; a later one than 4.3's is asked by 4.9 only.
const REPORTS: &[&str] = &[
    "tracking",
    "sources -a -v",
    "sourcestats -a -v",
    "selectdata -a -v",
    "authdata -a -v",
    "ntpdata",
    "ntpdata SERVER",
    "activity",
    "serverstats",
    "clients",
    "clients -k",
    "manual list",
    "smoothing",
    "rtcdata",
    "sourcename SERVER",
];

#[test]
fn reports_are_those_that_the_original_prints() {
    let Some(scene) = Scene::open(&PACKAGES, "") else { return };
    let all = clients();
    let [original, .., ours] = all.as_slice() else { return };
    if original.program == ours.program {
        return;
    }
    scene.wait(original);
    for report in REPORTS {
        let report = report.replace("SERVER", &scene.server.ip4());
        for options in [&["-n"][..], &["-N"], &["-c"], &["-c", "-N"], &["-n", "-w"]] {
            // both get the same bytes
            let between = Between::open(&scene.host.dir().join("own"), &scene.socket);
            let run = |client| {
                let ran = scene.ask_at(&between.socket, client, options, &report);
                (ran.out, ran.err, ran.code)
            };
            assert_eq!(run(ours), run(original), "{report} {options:?}");
        }
    }
}

/// The reports in JSON; with them those that need something to be told first.
const IN_JSON: &[&str] = &[
    "sources",
    "sourcestats",
    "selectdata",
    "authdata",
    "ntpdata",
    "activity",
    "serverstats",
    "clients",
    "manual list",
    "tracking",
    "sourcename 10.77.0.1",
    "waitsync 1",
    "accheck 1.2.3.4",
    "reselect",
    "smoothing",
    "rtcdata",
    "delete 9.9.9.9",
];

#[test]
fn json_says_the_same_as_csv() {
    let Some(scene) = Scene::open(&PACKAGES[..1], "") else { return };
    let Some(program) = our("chronyc") else { return };
    let ours = Client { program, before: &[], level: 9 };
    scene.wait(&ours);
    for report in IN_JSON {
        let ran = scene.ask(&ours, &["--json"], report);
        let objects = check_output(&ran.out);
        assert_eq!(objects.len(), 1, "{report}: {ran:?}");
        assert_eq!(objects[0]["exit_code"], ran.code.unwrap(), "{report}");
        assert_eq!(objects[0]["ok"], ran.code == Some(0), "{report}");
    }
    let between = Between::open(&scene.host.dir().join("own"), &scene.socket);
    let both = |report: &str| {
        let csv = scene.ask_at(&between.socket, &ours, &["-c"], report).out;
        let rows: Vec<Vec<String>> =
            csv.lines().map(|row| row.split(',').map(str::to_owned).collect()).collect();
        let json = check_output(&scene.ask_at(&between.socket, &ours, &["--json"], report).out).remove(0);
        (rows, json["data"].clone())
    };
    // -1: the sign of the text is the other way round
    let equal = |csv: &str, json: &serde_json::Value, factor: f64, digits: i32, what: &str| {
        let (text, number) = (csv.parse::<f64>().unwrap(), json.as_f64().unwrap() * factor);
        assert!((text - number).abs() <= 0.51 * 10_f64.powi(-digits), "{what}: {text} {number}");
    };
    let (rows, data) = both("tracking");
    for (field, key, factor, digits) in [
        (2, "stratum", 1.0, 0),
        (4, "offset_s", 1.0, 9),
        (5, "last_offset_s", -1.0, 9),
        (6, "rms_offset_s", 1.0, 9),
        (7, "frequency_ppm", 1.0, 3),
        (8, "residual_frequency_ppm", 1.0, 3),
        (9, "skew_ppm", 1.0, 3),
        (10, "root_delay_s", 1.0, 9),
        (11, "root_dispersion_s", 1.0, 9),
        (12, "update_interval_s", 1.0, 1),
    ] {
        equal(&rows[0][field], &data[key], factor, digits, key);
    }
    let (rows, data) = both("sources -a");
    for (row, json) in rows.iter().zip(data["sources"].as_array().unwrap()) {
        assert_eq!(row[5], json["reach"]["octal"].as_str().unwrap());
        equal(&row[3], &json["stratum"], 1.0, 0, "stratum");
        equal(&row[4], &json["poll_log2"], 1.0, 0, "poll");
        if row[6] == "4294967295" {
            assert!(json["last_sample_age_s"].is_null() && json["offset_s"].is_null(), "{json}");
        } else {
            equal(&row[7], &json["offset_s"], -1.0, 9, "offset");
            equal(&row[8], &json["measured_offset_s"], -1.0, 9, "measured");
            equal(&row[9], &json["root_distance_s"], 1.0, 9, "distance");
        }
    }
    assert_eq!(rows.len(), 6);
}

#[test]
fn collectd_reads_what_tracking_shows() {
    let Some(scene) = Scene::open(&[Package::ChronySid, Package::Collectd], "") else { return };
    let client = &theirs(Package::ChronySid, 9, &["-u", "root"]);
    scene.wait(client);
    let in_burst = || !scene.ask(client, &["-c"], "activity").out.contains(",0,0,1");
    assert!(wait_until(LIMIT, || !in_burst()));
    // nothing moves any more but what time alone moves
    for address in [scene.server.ip4(), scene.server.ip6()] {
        assert_eq!(scene.ask(client, &[], &format!("minpoll {address} 10")).out, "200 OK\n");
    }
    assert_eq!(scene.ask(client, &[], "doffset 0.25").out, "200 OK\n");
    let root = Package::Collectd.bin().unwrap().join("../root");
    let dir = scene.host.dir().display();
    let text = format!(
        "BaseDir \"{dir}\"\nPIDFile \"{dir}/collectd.pid\"\nPluginDir \"{root}/usr/lib/collectd\"\n\
         TypesDB \"{root}/usr/share/collectd/types.db\"\nInterval 1\nHostname \"here\"\nLoadPlugin csv\n\
         LoadPlugin chrony\n<Plugin csv>\nDataDir \"stdout\"\n</Plugin>\n<Plugin chrony>\n\
         Host \"127.0.0.1\"\nPort \"323\"\n</Plugin>\n",
        root = root.display()
    );
    let config = scene.host.file("collectd.conf", &text);
    let mut collectd = scene.host.spawn(Package::Collectd.program("collectd"), &["-f", "-C", &config]);
    // of the selected source the last value that is sent
    let source = format!("frequency_error-{} ", scene.server.ip4());
    let complete = wait_until(LIMIT, || collectd.has_ended() || collectd.out().contains(&source));
    assert!(complete && !collectd.has_ended(), "{}{}", collectd.out(), collectd.err());
    let out = collectd.out();
    let value = |name: &str| -> f64 {
        let key = format!("/chrony/{name} ");
        let line = out.lines().find(|line| line.contains(&key)).unwrap_or_else(|| panic!("{name}:\n{out}"));
        line.rsplit(':').next().unwrap().parse().unwrap()
    };
    let fields = |report| -> Vec<Vec<String>> {
        let csv = scene.ask(client, &["-c"], report).out;
        csv.lines().map(|row| row.split(',').map(str::to_owned).collect()).collect()
    };
    let (tracking, statistics) = (fields("tracking"), fields("sourcestats"));
    let of_source = |name: &str| value(&format!("{name}-{}", scene.server.ip4()));
    for (name, seen, shown, within) in [
        ("stratum", value("clock_stratum-chrony"), &tracking[0][2], 0.0),
        ("reference time", value("time_ref-chrony"), &tracking[0][3], 1e-6),
        ("offset", value("time_offset_ntp-chrony"), &tracking[0][4], 1e-4),
        ("last offset", value("time_offset-chrony"), &tracking[0][5], 1e-6),
        ("rms offset", value("time_offset_rms-chrony"), &tracking[0][6], 1e-6),
        ("frequency", value("frequency_error-chrony"), &tracking[0][7], 6e-4),
        ("skew", value("clock_skew_ppm-chrony"), &tracking[0][9], 6e-4),
        ("root delay", value("root_delay-chrony"), &tracking[0][10], 1e-6),
        ("root dispersion", value("root_dispersion-chrony"), &tracking[0][11], 1e-3),
        ("update interval", value("clock_last_update-chrony"), &tracking[0][12], 0.06),
        ("skew of the source", of_source("clock_skew_ppm"), &statistics[0][5], 6e-4),
        ("frequency of the source", of_source("frequency_error"), &statistics[0][4], 6e-4),
        ("stratum of the source", of_source("clock_stratum"), &"2".to_owned(), 0.0),
    ] {
        let shown: f64 = shown.parse().unwrap();
        assert!((seen - shown).abs() <= within, "{name}: {seen} {shown}\n{out}");
    }
}

/// A request as no client sends it: any code, any length, any data; the command to end alone is left out.
fn nonsense(dice: &mut u64) -> Vec<u8> {
    let mut roll = |sides: u64| {
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        *dice % sides
    };
    let length = usize::try_from(roll(930)).unwrap();
    // mostly zeros: what is all at random is refused early
    let sparse = roll(3);
    let mut bytes: Vec<u8> = (0..length)
        .map(|_| if sparse > 0 && roll(8) > 0 { 0 } else { u8::try_from(roll(256)).unwrap() })
        .collect();
    let code = u16::try_from(roll(80)).unwrap();
    let head = [6, 1, 0, 0, 0, u8::try_from(if code == 62 { 33 } else { code }).unwrap()];
    for (place, byte) in bytes.iter_mut().zip(head) {
        *place = byte;
    }
    bytes
}

#[test]
fn no_request_does_any_harm() {
    let Some(mut scene) = Scene::open(&PACKAGES[..1], "cmdratelimit\n") else { return };
    let client = &theirs(Package::ChronySid, 9, &["-u", "root"]);
    scene.wait(client);
    let mut dice = 88_172_645_463_325_252;
    // one that never reads what it is sent, and one that has no name to be answered at
    let path = scene.host.dir().join("own/deaf.sock");
    let (deaf, nameless) = (UnixDatagram::bind(&path).unwrap(), UnixDatagram::unbound().unwrap());
    deaf.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    nameless.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    for round in 0..6000 {
        let socket = if round % 5 == 0 { &nameless } else { &deaf };
        socket.send_to(&nonsense(&mut dice), &scene.socket).unwrap();
    }
    let longest = scene.host.inside(move || {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.connect("127.0.0.1:323").unwrap();
        udp.set_nonblocking(true).unwrap();
        let (mut worst, mut buffer) = (0, [0; 2000]);
        for _ in 0..6000 {
            let request = nonsense(&mut dice);
            let _ = udp.send(&request);
            while let Ok(length) = udp.recv(&mut buffer) {
                // its number says whose answer it is; the data never outgrows what was asked with
                worst = worst.max(length);
            }
        }
        worst
    });
    assert!(longest <= 520, "{longest}");
    assert!(!scene.ours.has_ended(), "{}", scene.ours.err());
    let ran = scene.ask(client, &["-c"], "activity");
    assert_eq!((ran.out.split(',').count(), ran.code), (5, Some(0)), "{ran:?}");
    // what it was told by then is undone by the original
    for command in ["reset sources", "reselect", "online", "shutdown"] {
        let ran = scene.ask(client, &[], command);
        assert_eq!(ran.out, "200 OK\n", "{command}");
    }
    let status = scene.ours.wait(Duration::from_secs(5)).and_then(|status| status.code());
    assert_eq!(status, Some(0), "{}", scene.ours.err());
}
