//! Our daemon where the world around it fails: names, name servers, interfaces. It goes on, and says so once.

use std::time::Duration;

use super::daemon::{Daemon, Kind, Setup};
use super::namespace::{Host, Lab, wait_until};
use super::peer::{Package, our};

const LIMIT: Duration = Duration::from_secs(40);

/// The rows of `chronyc -c sources` that hold this.
fn row(host: &Host, socket: &str, of: &str) -> Option<Vec<String>> {
    let chronyc = our("chronyc")?;
    let ran = host.run(&chronyc, &["-n", "-c", "-h", socket, "sources", "-a"]);
    let line = ran.out.lines().find(|line| line.split(',').nth(2) == Some(of))?.to_owned();
    Some(line.split(',').map(str::to_owned).collect())
}

/// Whether this source answers, and is believed.
fn is_heard(host: &Host, socket: &str, of: &str) -> bool {
    row(host, socket, of).is_some_and(|row| ["*", "+", "-"].contains(&row[1].as_str()) && row[5] != "0")
}

/// DNS is dead at boot: addresses are followed at once, the name once it resolves; when it stops resolving nothing is lost. Then the
/// network goes away, and comes back.
#[test]
fn dead_name_servers_and_a_network_that_goes_and_returns() {
    let Some(lab) = Lab::open(&[Package::ChronySid]) else { return };
    let (Some(chronyd), Some(chronyc)) = (our("chronyd"), our("chronyc")) else { return };
    let (host, first, second) = (lab.host(), lab.host(), lab.host());
    let _servers = [&first, &second].map(|server| Daemon::start(server, Kind::Chrony49, &Setup::default()));
    host.own_etc();
    // nobody answers at that address
    let dead = host.sh(
        "rm -f /etc/resolv.conf && echo 'nameserver 10.77.0.250' >/etc/resolv.conf && \
         echo 'hosts: files dns' >/etc/nsswitch.conf && echo '127.0.0.1 localhost' >/etc/hosts && mkdir -m 750 run",
    );
    assert_eq!(dead.code, Some(0), "{}", dead.err);
    let socket = host.dir().join("run/t.sock").display().to_string();
    let (literal, named) = (first.ip4(), second.ip4());
    let config = host.file(
        "trouble.conf",
        &format!(
            "user root\npidfile {}/t.pid\nbindcmdaddress {socket}\ncmdport 0\n\
             server ntp.lab.test iburst minpoll 0 maxpoll 0\nserver {literal} iburst minpoll 0 maxpoll 0\n",
            host.dir().display()
        ),
    );
    let mut process = host.spawn(&chronyd, &["-d", "-x", "-f", &config]);
    assert!(wait_until(LIMIT, || is_heard(&host, &socket, &literal)), "{}", process.err());
    process.assert_harmless();
    assert!(row(&host, &socket, &named).is_none());
    // the name comes to be known
    assert_eq!(host.sh(&format!("echo '{named} ntp.lab.test' >>/etc/hosts")).code, Some(0));
    host.run(&chronyc, &["-h", &socket, "online"]);
    assert!(wait_until(LIMIT, || is_heard(&host, &socket, &named)), "{}", process.err());
    // and is forgotten again
    assert_eq!(host.sh("echo '127.0.0.1 localhost' >/etc/hosts").code, Some(0));
    host.run(&chronyc, &["-h", &socket, "refresh"]);
    std::thread::sleep(Duration::from_secs(6));
    assert!(is_heard(&host, &socket, &named) && is_heard(&host, &socket, &literal), "{}", process.err());
    // the interface goes down, and comes back
    assert_eq!(host.sh("ip link set eth0 down").code, Some(0));
    let unreachable = |of: &str| row(&host, &socket, of).is_some_and(|row| row[5] == "0");
    assert!(wait_until(LIMIT, || unreachable(&literal) && unreachable(&named)), "{}", process.err());
    assert_eq!(host.sh("ip link set eth0 up").code, Some(0));
    let back = || is_heard(&host, &socket, &literal) && is_heard(&host, &socket, &named);
    assert!(wait_until(LIMIT, back), "{}", process.err());
    // its address goes, too
    let own = host.ip4();
    assert_eq!(host.sh(&format!("ip addr del {own}/24 dev eth0")).code, Some(0));
    assert!(wait_until(LIMIT, || unreachable(&literal) && unreachable(&named)), "{}", process.err());
    assert_eq!(host.sh(&format!("ip addr add {own}/24 dev eth0")).code, Some(0));
    assert!(wait_until(LIMIT, back), "{}", process.err());
    let log = process.err();
    for (line, most) in [("Selected source", 8), ("Can't synchronise", 3), ("Could not", 0), ("nvalid", 0)] {
        assert!(log.matches(line).count() <= most, "{line}: {log}");
    }
    process.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(process.wait(LIMIT).is_some_and(|status| status.success()), "{}", process.err());
}
