//! A time server for tests in the guest: its time is CLOCK_MONOTONIC_RAW plus a constant that is fixed at its start, so
//! that a step or slew of the guest's clock does not move it.
//!
//! `responder ADDRESS SECONDS [PPM]`: listens on ADDRESS:123, `SECONDS` ahead of the clock as it stands, gaining `PPM` on
//! CLOCK_MONOTONIC_RAW from then on; prints `request from SOURCE version N` for each.
#![expect(clippy::print_stdout, reason = "a program of the tests: its log is its output")]

use std::io::{Error, Result};
use std::net::UdpSocket;

use nix::time::{ClockId, clock_gettime};
use ntpbox::types::{Leap, LogInterval, Mode, NtpShort, NtpTimestamp, RefId, Stratum, Timestamp};
use ntpbox::wire::ntp::Header;

fn read(clock: ClockId) -> Result<i128> {
    let time = clock_gettime(clock)?;
    Ok(i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec()))
}

/// What makes the raw clock the served one, in ns; the tightest of some readings.
fn constant(ahead: i128) -> Result<i128> {
    let mut best = (i128::MAX, 0);
    for _ in 0..20 {
        let before = read(ClockId::CLOCK_MONOTONIC_RAW)?;
        let clock = read(ClockId::CLOCK_REALTIME)?;
        let after = read(ClockId::CLOCK_MONOTONIC_RAW)?;
        best = best.min((after - before, clock - (before + after) / 2));
    }
    Ok(best.1 + ahead)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let (address, seconds, gain) = match arguments.as_slice() {
        [_, address, seconds] => (address, seconds, 0.0),
        [_, address, seconds, ppm] => (address, seconds, ppm.parse::<f64>().map_err(Error::other)? * 1e-6),
        _ => return Err(Error::other("usage: responder ADDRESS SECONDS [PPM]")),
    };
    let seconds: f64 = seconds.parse().map_err(Error::other)?;
    #[expect(clippy::cast_possible_truncation, reason = "a test's offset of some seconds to decades")]
    let constant = constant((seconds * 1e9) as i128)?;
    let start = read(ClockId::CLOCK_MONOTONIC_RAW)?;
    let now = || -> Result<NtpTimestamp> {
        let raw = read(ClockId::CLOCK_MONOTONIC_RAW)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "ns of a test's hours"
        )]
        let gained = ((raw - start) as f64 * gain) as i128;
        let nanos = raw + constant + gained;
        Ok(NtpTimestamp::from_timestamp(Timestamp::from_nanos(i64::try_from(nanos).map_err(Error::other)?)))
    };
    let socket = UdpSocket::bind((address.as_str(), 123))?;
    println!("ready");
    let mut bytes = [0; 512];
    loop {
        let (length, source) = socket.recv_from(&mut bytes)?;
        let receive = now()?;
        let Some(Ok(request)) = bytes.get(..length).map(Header::parse) else { continue };
        println!("request from {source} version {}", request.version.get());
        let mut reply = Header {
            leap: Leap::None,
            version: request.version,
            mode: Mode::Server,
            stratum: Stratum::new(1),
            poll: request.poll,
            precision: LogInterval::from_log2(-20),
            root_delay: NtpShort::from_bits(0),
            root_dispersion: NtpShort::from_bits(0),
            refid: RefId::from_ascii(*b"TEST"),
            reference: receive,
            origin: request.transmit,
            receive,
            transmit: receive,
        };
        reply.transmit = now()?;
        socket.send_to(&reply.emit(), source)?;
    }
}
