//! `restrict … limited` and `kod` on the wire, at our ntpd and at the classic one. With a distance of 2^17 s between packets it
//! makes no difference how fast this machine is.

use std::net::UdpSocket;
use std::time::Duration;

use ntpbox::types::Leap;
use ntpbox::wire::ntp::{HEADER_LEN, Header};

use super::daemon::{Daemon, Kind, Setup, probe};
use super::namespace::{Host, Lab, wait_until};
use super::peer::{Package, our};

/// What a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Time,
    Rate,
    Nothing,
}

/// One request under a number of its own. Waits long where an answer is expected.
fn ask(from: &Host, to: &Host, number: u64, expected: Answer) -> Answer {
    let to = format!("{}:123", to.ip4());
    from.inside(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let patience = if expected == Answer::Nothing { 300 } else { 10_000 };
        socket.set_read_timeout(Some(Duration::from_millis(patience))).unwrap();
        let mut request = [0; HEADER_LEN];
        request[0] = 0x23;
        request[40..].copy_from_slice(&(0x1234_5678_0000_0000 | number).to_be_bytes());
        socket.send_to(&request, &to).unwrap();
        let mut reply = [0; 256];
        let Ok(length) = socket.recv(&mut reply) else { return Answer::Nothing };
        let header = Header::parse(&reply[..length]).unwrap();
        match (header.stratum.get(), &header.refid.to_bytes()) {
            (0, b"RATE") => {
                assert_eq!(header.leap, Leap::Unsynchronised);
                Answer::Rate
            }
            (11, _) => Answer::Time,
            other => panic!("{other:?}"),
        }
    })
}

#[test]
fn who_asks_too_often_is_told_once_or_not_at_all() {
    let Some(lab) = Lab::open(&[Package::Ntp428]) else { return };
    let (server, named, other) = (lab.host(), lab.host(), lab.host());
    let lines = |flags: &str| {
        format!(
            "server 127.127.1.0 minpoll 3 maxpoll 3 prefer\nfudge 127.127.1.0 stratum 10\nrestrict default\n\
             discard average 17 minimum 17\nrestrict {} mask 255.255.255.255 {flags}\n\
             restrict {} mask 255.255.255.255\nrestrict 127.0.0.1\n",
            named.ip4(),
            other.ip4()
        )
    };
    use Answer::{Nothing, Rate, Time};
    for (flags, answers) in
        [("kod limited", [Time, Rate, Nothing, Nothing]), ("limited", [Time, Nothing, Nothing, Nothing])]
    {
        let check = |whose: &str| {
            for (number, expected) in (0..).zip(answers) {
                assert_eq!(
                    ask(&named, &server, number, expected),
                    expected,
                    "{whose}: {flags}: request {number}"
                );
                assert_eq!(ask(&other, &server, number, Time), Time, "{whose}: {flags}: another address");
            }
        };
        {
            let setup = Setup { lines: lines(flags), no_local_clock: true };
            let mut daemon = Daemon::start(&server, Kind::Ntpd428, &setup);
            daemon.wait_until_it_serves(&server, true);
            check("classic");
        }
        let Some(ntpd) = our("ntpd") else { return };
        let conf = server.file("limits.conf", &lines(flags));
        let ours = server.spawn(&ntpd, &["-n", "-c", &conf]);
        let serves = || probe(&server).is_some_and(|reply| reply.stratum.get() == 11);
        assert!(wait_until(Duration::from_secs(10), serves), "{}", ours.err());
        check("ours");
        let limited =
            server.run(our("ntpq").unwrap(), &["-c", "rv 0 ss_limited,ss_kodsent", "127.0.0.1"]).out;
        let kissed = answers.iter().filter(|answer| **answer == Rate).count();
        assert_eq!(limited, format!("ss_limited=3, ss_kodsent={kissed}\n"));
    }
}
