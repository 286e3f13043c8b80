//! Time servers on a host of the lab.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use ntpbox::types::Leap;
use ntpbox::wire::ntp::{HEADER_LEN, Header};

use super::namespace::{Host, Process, wait_until};
use super::peer::Package;

/// How long a server may take until it serves.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A family of time servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// chronyd 4.9.
    Chrony49,
    /// chronyd of this system's suite.
    ChronyHere,
    /// ntpd 4.2.8p15 with Debian's stock `restrict` lines.
    Ntpd428,
    /// NTPsec's ntpd with the same lines.
    Ntpsec,
    /// OpenNTPD, which cannot synchronise without CAP_SYS_TIME: it answers with leap 3 and stratum 0.
    Openntpd,
}

impl Kind {
    /// The package it comes from.
    pub(crate) fn package(self) -> Package {
        match self {
            Self::Chrony49 => Package::ChronySid,
            Self::ChronyHere => Package::ChronyHere,
            Self::Ntpd428 => Package::Ntp428,
            Self::Ntpsec => Package::Ntpsec,
            Self::Openntpd => Package::Openntpd,
        }
    }

    /// The stratum that it serves by its own clock with the default [`Setup`].
    pub(crate) fn stratum(self) -> u8 {
        match self {
            Self::Chrony49 | Self::ChronyHere => 2,
            Self::Ntpd428 | Self::Ntpsec => 6,
            Self::Openntpd => 0,
        }
    }
}

/// A symmetric key: id, digest name in each dialect, the key.
pub(crate) struct Key {
    /// Key id.
    pub(crate) id: u32,
    /// Type word of ntp.keys and chrony.keys.
    pub(crate) digest: &'static str,
    /// The key in hexadecimal.
    pub(crate) hex: &'static str,
}

/// The keys that every server here knows and trusts.
pub(crate) const KEYS: &[Key] = &[
    Key { id: 1, digest: "MD5", hex: "6d64356b65796d64356b65796d64356b65790a0b" },
    Key { id: 2, digest: "SHA1", hex: "00112233445566778899aabbccddeeff01234567" },
    Key { id: 3, digest: "SHA256", hex: "fedcba98765432100123456789abcdeffedcba9876543210" },
    Key { id: 4, digest: "AES128", hex: "2b7e151628aed2a6abf7158809cf4f3c" },
];

/// [`KEYS`] as a chrony keyfile.
pub(crate) fn chrony_keys() -> String {
    KEYS.iter().fold(String::new(), |mut text, key| {
        let _ = writeln!(text, "{} {} HEX:{}", key.id, key.digest, key.hex);
        text
    })
}

/// [`KEYS`] as ntp.keys.
pub(crate) fn ntp_keys() -> String {
    KEYS.iter().fold(String::new(), |mut text, key| {
        let digest = if key.digest == "AES128" { "AES128CMAC" } else { key.digest };
        let _ = writeln!(text, "{} {digest} {}", key.id, key.hex);
        text
    })
}

/// How a server is set up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setup {
    /// Configuration lines besides the ones it needs to serve its own clock.
    pub(crate) lines: String,
    /// Leave the local clock out: the server has only the sources that `lines` name.
    pub(crate) no_local_clock: bool,
}

/// A running server.
pub(crate) struct Daemon {
    /// Its process.
    pub(crate) process: Process,
}

impl Daemon {
    /// Starts one and returns when it answers on its loopback address with a stratum (Openntpd, or without a local
    /// clock: when it answers; then [`Daemon::wait_until_it_serves`] waits for its sources).
    pub(crate) fn start(host: &Host, kind: Kind, setup: &Setup) -> Self {
        let text = config(host, kind, setup);
        let config = host.file(&format!("{kind:?}.conf"), &text);
        let (program, args): (_, &[&str]) = match kind {
            Kind::Chrony49 | Kind::ChronyHere => ("chronyd", &["-d", "-x", "-f"]),
            Kind::Ntpd428 | Kind::Ntpsec => ("ntpd", &["-n", "-c"]),
            Kind::Openntpd => ("openntpd", &["-d", "-f"]),
        };
        if kind == Kind::Openntpd {
            openntpd_user(host);
        }
        let args: Vec<&str> = args.iter().copied().chain([config.as_str()]).collect();
        let process = host.spawn(kind.package().program(program), &args);
        let mut daemon = Self { process };
        daemon.wait_until_it_serves(host, kind.stratum() > 0 && !setup.no_local_clock);
        daemon.process.assert_harmless();
        daemon
    }

    /// Waits until it answers a client on the host itself; with `synchronised`, until it gives a stratum of 1 to 15.
    pub(crate) fn wait_until_it_serves(&mut self, host: &Host, synchronised: bool) {
        let serves = wait_until(START_LIMIT, || {
            self.process.has_ended()
                || probe(host).is_some_and(|reply| !synchronised || is_synchronised(&reply))
        });
        let ended = self.process.has_ended();
        assert!(serves && !ended, "it does not serve:\n{}{}", self.process.out(), self.process.err());
    }
}

/// Whether a server says that it knows the time.
pub(crate) fn is_synchronised(reply: &Header) -> bool {
    reply.leap != Leap::Unsynchronised && (1..16).contains(&reply.stratum.get())
}

/// One request to the loopback address of a host.
pub(crate) fn probe(host: &Host) -> Option<Header> {
    host.inside(|| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        socket.set_read_timeout(Some(Duration::from_millis(200))).ok()?;
        let mut request = [0; HEADER_LEN];
        request[0] = 0x23;
        request[40..].copy_from_slice(&0xdead_beef_0123_4567_u64.to_be_bytes());
        socket.send_to(&request, (Ipv4Addr::LOCALHOST, 123)).ok()?;
        let mut reply = [0; 256];
        let length = socket.recv(&mut reply).ok()?;
        Header::parse(reply.get(..length)?).ok()
    })
}

fn config(host: &Host, kind: Kind, setup: &Setup) -> String {
    let dir = host.dir().display();
    let local = |lines: &str| if setup.no_local_clock { String::new() } else { lines.to_owned() };
    let keys = match kind {
        Kind::Chrony49 | Kind::ChronyHere => host.file("chrony.keys", &chrony_keys()),
        _ => host.file("ntp.keys", &ntp_keys()),
    };
    let base = match kind {
        Kind::Chrony49 | Kind::ChronyHere => {
            format!(
                "user root\npidfile {dir}/chronyd.pid\nallow\nkeyfile {keys}\n{}",
                local("local stratum 2\n")
            )
        }
        // the restrict lines as Debian's ntp.conf has them; an old drift file spares the 15 minutes of a first start
        Kind::Ntpd428 => format!(
            "driftfile {}\nkeys {keys}\ntrustedkey 1 2 3 4\nrequestkey 1\ncontrolkey 1\n\
             restrict -4 default kod notrap nomodify nopeer noquery limited\n\
             restrict -6 default kod notrap nomodify nopeer noquery limited\n\
             restrict 127.0.0.1\nrestrict ::1\nrestrict source notrap nomodify noquery\n{}",
            host.file("drift", "0.000\n"),
            local("server 127.127.1.0 minpoll 3 maxpoll 3 prefer\n"),
        ),
        Kind::Ntpsec => format!(
            "driftfile {}\nkeys {keys}\ntrustedkey 1 2 3 4\ncontrolkey 1\n\
             restrict default kod nomodify noquery limited\nrestrict 127.0.0.1\nrestrict ::1\n{}",
            host.file("drift", "0.000\n"),
            local("refclock local minpoll 3 maxpoll 3 prefer\n"),
        ),
        Kind::Openntpd => "listen on *\n".to_owned(),
    };
    format!("{base}{}", setup.lines)
}

/// What OpenNTPD wants to find: its user, an empty folder owned by root, and one for its state.
pub(crate) fn openntpd_user(host: &Host) {
    host.own_etc();
    let ran = host.sh(
        "mount -t tmpfs tmpfs /var/lib && mkdir -p /var/lib/openntpd/db /var/lib/openntpd/run /run/openntpd && \
         echo ntpd:x:990:990::/run/openntpd:/bin/false >>/etc/passwd && echo ntpd:x:990: >>/etc/group",
    );
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}
