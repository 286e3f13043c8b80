//! Real clients against our server's answers: `engine::server` behind `driver::responder`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ntpbox::driver::random::KernelRng;
use ntpbox::driver::responder::Responder;
use ntpbox::sys::{clock, wait::wait};
use ntpbox::types::TimeDelta;

use super::namespace::{Host, Lab};
use super::peer::Package;

/// How far the served clock is ahead, in seconds.
const AHEAD: i64 = 3600;

/// Serves on port 123 of all addresses of a host while `work` runs.
fn while_served(host: &Host, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            host.inside(|| {
                let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 123));
                let mut responder = Responder::open(address, TimeDelta::from_secs(AHEAD)).unwrap();
                let mut rng = KernelRng::default();
                while !done.load(Ordering::Relaxed) {
                    let soon = clock::mono() + TimeDelta::from_nanos(50_000_000);
                    let fds: Vec<_> = responder.descriptors().collect();
                    wait(&fds, Some(soon)).unwrap();
                    drop(fds);
                    responder.turn(&mut rng).unwrap();
                }
            });
        });
        // set when `work` panics too: the scope waits for the server
        let stop = Stop(&done);
        work();
        drop(stop);
        server.join().unwrap();
    });
}

/// Ends the server when it goes out of scope.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn real_clients_believe_it() {
    let packages = [Package::ChronySid, Package::ChronyHere, Package::Ntpdate428];
    let Some(lab) = Lab::open(&packages) else { return };
    let (server, client) = (lab.host(), lab.host());
    while_served(&server, || {
        let address = server.ip4();
        for package in [Package::ChronySid, Package::ChronyHere] {
            let directive = format!("server {address} iburst maxsamples 1");
            let ran = client.run(
                package.program("chronyd"),
                &["-Q", "-u", "root", "-t", "10", "-f", "/dev/null", &directive],
            );
            let offset = ran.err.split("System clock wrong by ").nth(1);
            let offset: f64 =
                offset.unwrap_or_else(|| panic!("{}", ran.err)).split(' ').next().unwrap().parse().unwrap();
            assert!((offset - 3600.0).abs() < 1.0, "{package:?}: {offset}");
        }
        for version in ["1", "2", "3", "4"] {
            let ntpdate = Package::Ntpdate428.program("ntpdate");
            let ran = client.run(ntpdate, &["-q", "-u", "-p", "1", "-o", version, &address]);
            let row = format!("server {address}, stratum 10, offset +3");
            assert!(
                ran.out.starts_with(&row) && ran.code == Some(0),
                "version {version}: {}{}",
                ran.out,
                ran.err
            );
        }
    });
}
