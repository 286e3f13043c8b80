//! Whole runs in a simulated network: each server is a function of the request, time jumps from event to event.

use super::*;
use crate::engine::rng::SplitMix;

/// 2026-11-21 05:34:32 UTC.
const TODAY: Timestamp = Timestamp::from_unix(1_795_239_272, 0);
const MS: i64 = 1_000_000;

/// Turns the honest answer into the datagrams that arrive: after a delay, from an address.
type Mangle = fn(&Header, SocketAddr) -> Vec<(TimeDelta, SocketAddr, Vec<u8>)>;

/// How a simulated server behaves.
#[derive(Clone)]
struct Host {
    address: SocketAddr,
    /// Its clock minus true time.
    ahead: TimeDelta,
    /// One-way delays, there and back.
    there: TimeDelta,
    back: TimeDelta,
    stratum: u8,
    leap: Leap,
    refid: RefId,
    /// Which requests (0 = the first) stay without an answer.
    loses: fn(u32) -> bool,
    mangle: Mangle,
    asked: u32,
}

fn host(last: u8) -> Host {
    Host {
        address: SocketAddr::from(([10, 0, 0, last], 123)),
        ahead: TimeDelta::ZERO,
        there: TimeDelta::from_micros(150),
        back: TimeDelta::from_micros(150),
        stratum: 2,
        leap: Leap::None,
        refid: RefId::from_bits(0x0a00_00fe),
        loses: |_| false,
        mangle: |header, from| vec![(TimeDelta::ZERO, from, header.emit().to_vec())],
        asked: 0,
    }
}

fn options(samples: Samples) -> Options {
    Options {
        samples,
        interval: None,
        timeout: TimeDelta::from_secs(1),
        version: Version::V4,
        authentication: None,
        signing_delay: TimeDelta::ZERO,
    }
}

/// What a run gave.
struct Outcome {
    run: OneShot,
    traces: Vec<Trace>,
    took: TimeDelta,
}

/// The local clock reads `TODAY − behind` when the run starts.
fn simulate(options: Options, hosts: &mut [Host], behind: TimeDelta) -> Outcome {
    let addresses: Vec<SocketAddr> = hosts.iter().map(|host| host.address).collect();
    let mut run = OneShot::new(options, &addresses, TODAY - TimeDelta::from_secs(30 * 86_400));
    let mut rng = SplitMix::new(7);
    let mut flying: Vec<(MonoTime, SocketAddr, Vec<u8>)> = Vec::new();
    let mut traces = Vec::new();
    let mut mono = MonoTime::ZERO;
    let clock_at = |mono: MonoTime| TODAY - behind + (mono - MonoTime::ZERO);
    let mut steps = 0;
    run.handle(Now { clock: clock_at(mono), mono }, Input::Timer, &mut rng);
    loop {
        while let Some(action) = run.poll() {
            match action {
                Action::Trace(trace) => traces.push(trace),
                Action::Send { server, to, bytes } => {
                    let now = Now { clock: clock_at(mono), mono };
                    run.handle(now, Input::Sent { server, at: now.clock }, &mut rng);
                    let host = hosts.iter_mut().find(|host| host.address == to).unwrap();
                    flying.extend(answers(host, mono, &bytes));
                }
            }
        }
        if run.is_complete() {
            return Outcome { run, traces, took: mono - MonoTime::ZERO };
        }
        steps += 1;
        assert!(steps < 10_000, "the run does not end");
        flying.sort_by_key(|(at, ..)| *at);
        let timer = run.next_timeout().unwrap();
        match flying.first() {
            Some((at, ..)) if *at <= timer => {
                let (at, from, bytes) = flying.remove(0);
                mono = mono.max(at);
                let now = Now { clock: clock_at(mono), mono };
                run.handle(now, Input::Datagram { from, bytes: &bytes, received: now.clock }, &mut rng);
            }
            _ => {
                mono = mono.max(timer);
                run.handle(Now { clock: clock_at(mono), mono }, Input::Timer, &mut rng);
            }
        }
    }
}

fn answers(host: &mut Host, mono: MonoTime, request: &[u8]) -> Vec<(MonoTime, SocketAddr, Vec<u8>)> {
    let number = host.asked;
    host.asked += 1;
    if (host.loses)(number) {
        return Vec::new();
    }
    let request = Header::parse(request).unwrap();
    let true_time = TODAY + (mono - MonoTime::ZERO) + host.there + host.ahead;
    let header = Header {
        leap: host.leap,
        version: request.version,
        mode: Mode::Server,
        stratum: Stratum::new(host.stratum),
        poll: request.poll,
        precision: LogInterval::from_log2(-20),
        root_delay: NtpShort::ZERO,
        root_dispersion: NtpShort::ZERO,
        refid: host.refid,
        reference: NtpTimestamp::from_timestamp(true_time - TimeDelta::from_secs(10)),
        origin: request.transmit,
        receive: NtpTimestamp::from_timestamp(true_time),
        transmit: NtpTimestamp::from_timestamp(true_time),
    };
    let arrives = mono + host.there + host.back;
    let datagrams = (host.mangle)(&header, host.address);
    datagrams.into_iter().map(|(delay, from, bytes)| (arrives + delay, from, bytes)).collect()
}

fn offset_ms(outcome: &Outcome) -> (usize, i64) {
    let (winner, sample) = outcome.run.verdict().unwrap();
    (winner, (sample.offset.as_nanos() + MS / 2).div_euclid(MS))
}

#[test]
fn a_near_server_is_asked_once_and_a_far_one_four_times() {
    let mut far = host(2);
    (far.there, far.back) = (TimeDelta::from_millis(20), TimeDelta::from_millis(20));
    let mut hosts = [host(1), far];
    let outcome = simulate(options(Samples::Enough), &mut hosts, TimeDelta::ZERO);
    assert_eq!((hosts[0].asked, hosts[1].asked), (1, 4));
    assert_eq!(outcome.took, TimeDelta::from_secs(6) + TimeDelta::from_millis(4 * 40));
}

#[test]
fn p_n_asks_exactly_n_times_with_the_interval_given() {
    let mut hosts = [host(1)];
    let opts = Options { interval: Some(TimeDelta::ZERO), ..options(Samples::Exactly(8)) };
    let outcome = simulate(opts, &mut hosts, TimeDelta::ZERO);
    assert_eq!(hosts[0].asked, 8);
    assert_eq!(outcome.took, TimeDelta::from_micros(8 * 300));
}

#[test]
fn loopback_needs_no_gap() {
    let mut near = host(1);
    near.address = "127.0.0.1:123".parse().unwrap();
    let outcome = simulate(options(Samples::Exactly(4)), &mut [near], TimeDelta::ZERO);
    assert_eq!(outcome.took, TimeDelta::from_micros(4 * 300));
}

#[test]
fn two_hundred_servers_take_no_longer_than_the_slowest() {
    let mut hosts: Vec<Host> = (0..200).map(host).collect();
    (hosts[77].there, hosts[77].back) = (TimeDelta::from_millis(300), TimeDelta::from_millis(300));
    let outcome = simulate(options(Samples::Exactly(1)), &mut hosts, TimeDelta::ZERO);
    assert_eq!(outcome.took, TimeDelta::from_millis(600));
}

#[test]
fn offsets_of_decades_and_a_clock_at_1970_step() {
    for behind in
        [TODAY - Timestamp::UNIX_EPOCH, TimeDelta::from_secs(-60 * 365 * 86_400), TimeDelta::from_millis(500)]
    {
        let outcome = simulate(options(Samples::Enough), &mut [host(1)], behind);
        let (_, sample) = outcome.run.verdict().unwrap();
        assert!((sample.offset - behind).abs() < TimeDelta::from_micros(1), "{behind:?} {sample:?}");
        assert_eq!(Policy::Automatic.correction(sample.offset), Correction::Step(sample.offset));
    }
}

#[test]
fn below_half_a_second_is_slewed_unless_told_otherwise() {
    let small = TimeDelta::from_millis(-499);
    assert_eq!(Policy::Automatic.correction(small), Correction::Slew(small));
    assert_eq!(Policy::Step.correction(small), Correction::Step(small));
    let large = TimeDelta::from_secs(40_000);
    assert_eq!(Policy::Automatic.correction(large), Correction::Step(large));
    assert_eq!(Policy::Slew.correction(large), Correction::Slew(large));
}

#[test]
fn asymmetry_shows_as_half_of_it() {
    let mut hosts = [host(1)];
    (hosts[0].there, hosts[0].back) = (TimeDelta::from_millis(30), TimeDelta::from_millis(10));
    assert_eq!(offset_ms(&simulate(options(Samples::Enough), &mut hosts, TimeDelta::ZERO)), (0, 10));
}

#[test]
fn a_falseticker_loses_against_two_others() {
    let mut hosts = [host(1), host(2), host(3)];
    hosts[0].ahead = TimeDelta::from_secs(7);
    let (winner, offset) = offset_ms(&simulate(options(Samples::Enough), &mut hosts, TimeDelta::ZERO));
    assert!(winner != 0 && offset == 0);
}

#[test]
fn a_dead_server_costs_four_timeouts_and_shows_one_transmit_more() {
    let mut hosts = [host(1)];
    hosts[0].loses = |_| true;
    let outcome = simulate(options(Samples::Enough), &mut hosts, TimeDelta::ZERO);
    assert_eq!((hosts[0].asked, outcome.took), (4, TimeDelta::from_secs(4)));
    assert_eq!(outcome.traces, [Trace::Transmit(0); 5]);
    assert_eq!(outcome.run.verdict(), None);
    assert_eq!(outcome.run.servers()[0].rejection(), Some(Rejection::NoData));
    assert_eq!(outcome.run.servers()[0].slots.len(), 4);
}

#[test]
fn a_loss_before_the_first_answer_is_retried_one_after_it_is_not() {
    let mut hosts = [host(1)];
    hosts[0].loses = |number| number == 0;
    let outcome = simulate(options(Samples::Exactly(3)), &mut hosts, TimeDelta::ZERO);
    assert_eq!(hosts[0].asked, 3);
    assert!(outcome.run.verdict().is_some());
    hosts[0].asked = 0;
    hosts[0].loses = |number| number >= 1;
    let outcome = simulate(options(Samples::Exactly(4)), &mut hosts, TimeDelta::ZERO);
    assert_eq!(hosts[0].asked, 2);
    assert_eq!(outcome.run.servers()[0].end, Some(End::Lost));
    assert!(outcome.run.verdict().is_some());
}

#[test]
fn a_request_that_cannot_be_sent_ends_its_server_at_once() {
    let mut run = OneShot::new(options(Samples::Enough), &[host(1).address], TODAY);
    let (mut rng, now) = (SplitMix::new(1), Now { clock: TODAY, mono: MonoTime::ZERO });
    run.handle(now, Input::Timer, &mut rng);
    run.handle(now, Input::NotSent { server: 0 }, &mut rng);
    assert!(run.is_complete());
    assert_eq!(run.verdict(), None);
}

fn kiss(header: &Header, code: [u8; 4]) -> Header {
    Header {
        leap: Leap::Unsynchronised,
        stratum: Stratum::UNSPECIFIED,
        refid: RefId::from_ascii(code),
        ..*header
    }
}

#[test]
fn kiss_codes_end_a_server_at_the_first_packet() {
    let mut hosts = [host(1), host(2), host(3), host(4)];
    hosts[0].mangle = |header, from| vec![(TimeDelta::ZERO, from, kiss(header, *b"RATE").emit().to_vec())];
    hosts[1].mangle = |header, from| vec![(TimeDelta::ZERO, from, kiss(header, *b"DENY").emit().to_vec())];
    hosts[2].mangle = |header, from| vec![(TimeDelta::ZERO, from, kiss(header, *b"RSTR").emit().to_vec())];
    let outcome = simulate(options(Samples::Exactly(4)), &mut hosts, TimeDelta::ZERO);
    assert_eq!(hosts.each_ref().map(|host| host.asked), [1, 1, 1, 4]);
    let servers = outcome.run.servers();
    // RATE before any sample shows stratum 0, DENY and RSTR show 16
    assert_eq!([servers[0].stratum(), servers[1].stratum(), servers[2].stratum()], [0, 16, 16]);
    assert_eq!(servers[1].rejection(), Some(Rejection::StrataTooHigh));
    assert_eq!(outcome.run.verdict().unwrap().0, 3);
}

#[test]
fn a_kiss_after_good_samples_keeps_them() {
    let mut hosts = [host(1)];
    hosts[0].mangle = |header, from| {
        let answer = if header.transmit.wrapping_since(NtpTimestamp::from_timestamp(TODAY))
            > TimeDelta::from_secs(3)
        {
            kiss(header, *b"DENY")
        } else {
            *header
        };
        vec![(TimeDelta::ZERO, from, answer.emit().to_vec())]
    };
    let outcome = simulate(options(Samples::Exactly(8)), &mut hosts, TimeDelta::ZERO);
    assert_eq!(hosts[0].asked, 3);
    assert_eq!(outcome.run.servers()[0].end, Some(End::Kissed(Kiss::Deny)));
    assert!(outcome.run.verdict().is_some());
}

#[test]
fn duplicates_count_once() {
    let mut hosts = [host(1)];
    hosts[0].mangle = |header, from| {
        let bytes = header.emit().to_vec();
        vec![(TimeDelta::ZERO, from, bytes.clone()), (TimeDelta::from_millis(1), from, bytes)]
    };
    let outcome = simulate(options(Samples::Exactly(3)), &mut hosts, TimeDelta::ZERO);
    assert_eq!(outcome.run.servers()[0].received, 3);
    assert!(outcome.traces.contains(&Trace::OriginDiffers));
}

#[test]
fn forged_answers_are_not_taken() {
    let forgeries: [(Mangle, Trace); 5] = [
        (
            |header, from| {
                let origin = NtpTimestamp::from_bits(header.origin.to_bits() ^ 1);
                vec![(TimeDelta::ZERO, from, Header { origin, ..*header }.emit().to_vec())]
            },
            Trace::OriginDiffers,
        ),
        (
            |header, from| vec![(TimeDelta::ZERO, SocketAddr::new(from.ip(), 124), header.emit().to_vec())],
            Trace::ServerNotFound,
        ),
        (
            |header, _| vec![(TimeDelta::ZERO, "10.9.9.9:123".parse().unwrap(), header.emit().to_vec())],
            Trace::ServerNotFound,
        ),
        (|header, from| vec![(TimeDelta::ZERO, from, header.emit()[..47].to_vec())], Trace::Length(47)),
        (
            |header, from| {
                vec![(TimeDelta::ZERO, from, Header { mode: Mode::Broadcast, ..*header }.emit().to_vec())]
            },
            Trace::ModeStratum(Mode::Broadcast, Stratum::new(2)),
        ),
    ];
    for (mangle, expected) in forgeries {
        let mut hosts = [host(1)];
        hosts[0].mangle = mangle;
        let outcome = simulate(options(Samples::Enough), &mut hosts, TimeDelta::ZERO);
        assert_eq!(outcome.run.verdict(), None);
        assert!(outcome.traces.contains(&expected), "{expected:?} in {:?}", outcome.traces);
    }
}

#[test]
fn unfit_servers_are_named_with_their_reason() {
    let mut hosts = [host(1), host(2), host(3)];
    hosts[0].stratum = 0;
    hosts[1].leap = Leap::Unsynchronised;
    hosts[2].stratum = 16;
    let outcome = simulate(options(Samples::Enough), &mut hosts, TimeDelta::ZERO);
    let reasons: Vec<_> = outcome.run.servers().iter().map(Server::rejection).collect();
    assert_eq!(
        reasons,
        [Some(Rejection::StrataTooHigh), Some(Rejection::LeapNotInSync), Some(Rejection::NoData)]
    );
}

#[test]
fn a_server_whose_clock_runs_backwards_gives_no_sample() {
    let mut hosts = [host(1)];
    hosts[0].mangle = |header, from| {
        let transmit = NtpTimestamp::from_bits(header.receive.to_bits() - (1 << 12));
        vec![(TimeDelta::ZERO, from, Header { transmit, ..*header }.emit().to_vec())]
    };
    assert_eq!(simulate(options(Samples::Enough), &mut hosts, TimeDelta::ZERO).run.verdict(), None);
}

#[test]
fn our_own_clock_stepping_back_voids_the_sample_only() {
    let address = host(1).address;
    let mut run = OneShot::new(options(Samples::Exactly(1)), &[address], TODAY);
    let mut rng = SplitMix::new(1);
    run.handle(Now { clock: TODAY, mono: MonoTime::ZERO }, Input::Timer, &mut rng);
    let request = std::iter::from_fn(|| run.poll())
        .find_map(|action| match action {
            Action::Send { bytes, .. } => Some(bytes),
            Action::Trace(_) => None,
        })
        .unwrap();
    let mut honest = host(1);
    let (_, from, bytes) = answers(&mut honest, MonoTime::ZERO, &request).remove(0);
    let earlier = Now { clock: TODAY - TimeDelta::from_secs(10), mono: MonoTime::from_nanos(MS) };
    run.handle(earlier, Input::Datagram { from, bytes: &bytes, received: earlier.clock }, &mut rng);
    assert!(run.is_complete());
    assert_eq!(run.servers()[0].rejection(), Some(Rejection::NoData));
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let packets = |seed| {
        let mut run = OneShot::new(options(Samples::Enough), &[host(1).address, host(2).address], TODAY);
        run.handle(Now { clock: TODAY, mono: MonoTime::ZERO }, Input::Timer, &mut SplitMix::new(seed));
        std::iter::from_fn(|| run.poll()).collect::<Vec<_>>()
    };
    assert_eq!(packets(1), packets(1));
    assert_ne!(packets(1), packets(2));
}

#[test]
fn the_request_is_the_originals() {
    let mut run = OneShot::new(options(Samples::Enough), &[host(1).address], TODAY);
    run.handle(Now { clock: TODAY, mono: MonoTime::ZERO }, Input::Timer, &mut SplitMix::new(1));
    let Some(Action::Send { bytes, .. }) = std::iter::from_fn(|| run.poll()).nth(1) else { panic!() };
    let expected = [0xE3, 0, 3, 0xFA, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    assert_eq!((bytes.len(), &bytes[..16]), (48, &expected[..]));
    assert_eq!(bytes[16..40], [0; 24]);
    let sent = NtpTimestamp::from_bits(u64::from_be_bytes(bytes[40..].try_into().unwrap()));
    assert!((sent.to_timestamp(TODAY) - TODAY).abs() < TimeDelta::from_millis(1));
}
