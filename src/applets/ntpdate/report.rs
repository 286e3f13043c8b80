//! The run as a report: what JSON shows (ntp-legacy 1.14).

use super::args::{Args, Task};
use crate::engine::oneshot::{Correction, End, OneShot, Policy, Server};
use crate::engine::sample::Sample;
use crate::report::ntpdate as report;
use crate::report::{Instant, refid_value};
use crate::types::{NtpShort, Secs, Stratum};
use crate::wire::ntp::Header;

/// Why a server cannot win, in a word or two; `None` if it can.
pub(super) fn rejection(server: &Server) -> Option<String> {
    let reason = server.rejection()?;
    Some(match (super::ended_by_kiss(server.end), server.end) {
        (Some(code), _) => code.to_owned(),
        (None, Some(End::NotSent)) => "request could not be sent".to_owned(),
        _ if server.received == 0 => "no answer".to_owned(),
        _ => reason.to_string(),
    })
}

/// The report of a run; `names`: the word that each server came from.
pub(super) fn of(
    args: &Args,
    run: &OneShot,
    names: &[&str],
    verdict: Option<(usize, Sample, Correction)>,
    applied: bool,
) -> report::Ntpdate {
    let mode = match (args.task, args.debug) {
        (Task::Observe, 0) => report::Mode::Query,
        (Task::Observe, _) => report::Mode::Debug,
        (Task::Adjust(Policy::Automatic), _) => report::Mode::Auto,
        (Task::Adjust(Policy::Step), _) => report::Mode::Step,
        (Task::Adjust(Policy::Slew), _) => report::Mode::Slew,
    };
    let servers = run.servers().iter().zip(names).map(|(server, name)| describe(server, name)).collect();
    report::Ntpdate {
        mode,
        samples_requested: u8::try_from(args.samples.limit()).unwrap_or(u8::MAX),
        servers,
        selected: verdict
            .and_then(|(winner, ..)| run.servers().get(winner))
            .map(|server| server.address.ip().to_string()),
        offset_s: verdict.map(|(_, sample, _)| Secs::from(sample.offset)),
        action: match verdict {
            None => report::Correction::None,
            Some((.., Correction::Step(_))) => report::Correction::Step,
            Some((.., Correction::Slew(_))) => report::Correction::Slew,
        },
        applied,
    }
}

fn describe(server: &Server, name: &str) -> report::Server {
    let last = server.last;
    let filtered = server.filtered();
    let samples = server.slots.iter().map(|slot| report::Sample {
        offset_s: slot.sample.map(|sample| sample.offset.into()),
        delay_s: slot.sample.map(|sample| sample.delay.into()),
    });
    report::Server {
        address: server.address.ip().to_string(),
        port: server.address.port(),
        name: name.to_owned(),
        stratum: last.map(|_| server.stratum()),
        leap: last.map(|header| header.leap),
        refid: last.map(|header| refid_value(header.refid, Stratum::new(server.stratum()))),
        precision_log2: last.map(|header| header.precision),
        root_delay_s: last.map(|header| header.root_delay.to_secs()),
        root_dispersion_s: last.map(|header| header.root_dispersion.to_secs()),
        root_distance_s: last.map(|header| root_distance(&header)),
        reference_time: last
            .filter(|header| !header.reference.is_zero())
            .map(|header| Instant::from(header.reference.to_timestamp(super::RELEASED))),
        offset_s: filtered.best.map(|best| best.offset.into()),
        delay_s: filtered.best.map(|best| best.delay.into()),
        dispersion_s: filtered.best.and_then(|_| Secs::new(seconds_of(filtered.dispersion.to_bits()))),
        sent: server.sent,
        received: server.received,
        samples: samples.collect(),
        kiss: super::ended_by_kiss(server.end).map(str::to_owned),
        rejected: rejection(server),
    }
}

/// Root delay / 2 + root dispersion.
fn root_distance(header: &Header) -> Secs {
    let half = |short: NtpShort| short.to_secs().get() / 2.0;
    Secs::literal(half(header.root_delay) + header.root_dispersion.to_secs().get())
}

/// A 16.16 fixed-point number in seconds.
#[expect(clippy::cast_precision_loss, reason = "a dispersion is at most 64 s: 23 bits")]
fn seconds_of(bits: i64) -> f64 {
    bits as f64 / 65_536.0
}
