//! Transcripts of blog posts and notes, from RHEL 7's chrony 3.x: a daemon that says their numbers is shown in their words.

use std::net::Ipv4Addr;

use ntpbox::wire::cmdmon::{Ip, Name, Reply, Request, SourceData, Status, Timespec, Tracking};

use super::chronyc::{polite, udp};
use crate::support::cli::{command, finish};

/// Mode, state, name, stratum, poll, reach, age, adjusted and measured offset, error.
type Row = (u16, u16, &'static str, u16, i16, u16, u32, f64, f64, f64);

fn address(index: usize) -> Ip {
    Ip::V4(Ipv4Addr::new(192, 0, 2, u8::try_from(index).unwrap()))
}

fn data(index: usize, row: &Row) -> SourceData {
    let (mode, state, _, stratum, poll, reachability, since_sample, adjusted, measured, error) = *row;
    SourceData {
        address: address(index),
        poll,
        stratum,
        state,
        mode,
        flags: 0,
        reachability,
        since_sample,
        orig_latest_meas: measured.into(),
        latest_meas: adjusted.into(),
        latest_meas_err: error.into(),
    }
}

/// What a client of 3.x prints; names as they were configured, because the names of these addresses are gone.
fn shown(port: &str, words: &[&str]) -> String {
    let mut command = command("chronyc");
    command.env("NTPBOX_COMPAT", "rhel7").args(["-N", "-h", "127.0.0.1", "-p", port]).args(words);
    let finished = finish(command);
    assert_eq!((finished.code(), finished.stderr.as_str()), (0, ""));
    finished.stdout
}

fn sources(rows: &'static [Row], words: &[&str]) -> String {
    let (port, _seen) = udp(polite(move |request| {
        let reply = match request {
            Request::NSources => Reply::NSources(u32::try_from(rows.len()).unwrap()),
            Request::SourceData(index) => {
                let index = usize::try_from(index).unwrap();
                Reply::SourceData(data(index, &rows[index]))
            }
            Request::NtpSourceName(ip) => {
                let row = rows.iter().enumerate().find(|(index, _)| address(*index) == ip).unwrap().1;
                Reply::NtpSourceName(Name::new(row.2.as_bytes()).unwrap())
            }
            _ => return (Status::INVALID, Reply::Null),
        };
        (Status::SUCCESS, reply)
    }));
    shown(&port, words)
}

const LEGEND: &str = r"
  .-- Source mode  '^' = server, '=' = peer, '#' = local clock.
 / .- Source state '*' = current synced, '+' = combined , '-' = not combined,
| /   '?' = unreachable, 'x' = time may be in error, '~' = time too variable.
||                                                 .- xxxx [ yyyy ] +/- zzzz
||      Reachability register (octal) -.           |  xxxx = adjusted offset,
||      Log2(Polling interval) --.      |          |  yyyy = measured offset,
||                                \     |          |  zzzz = estimated error.
||                                 |    |           \
";

const HEADING: &str = "MS Name/IP address         Stratum Poll Reach LastRx Last sample               \n\
===============================================================================\n";

#[test]
fn sources_of_a_korean_blog_with_chrony_3_5() {
    const ROWS: &[Row] = &[
        (0, 4, "96-7.cpe.smnt.pl", 2, 10, 0o377, 715, -1353e-6, -1375e-6, 184e-3),
        (0, 0, "main.jakspzoo.pl", 2, 10, 0o377, 263, 19e-3, 19e-3, 151e-3),
        (0, 4, "old.histeria.pl", 2, 10, 0o377, 758, -15e-3, -15e-3, 177e-3),
        (0, 4, "d170-112.icpnet.pl", 1, 10, 0o377, 491, -3240e-6, -3262e-6, 160e-3),
    ];
    let rows = "\
^+ 96-7.cpe.smnt.pl              2  10   377   715  -1353us[-1375us] +/-  184ms
^* main.jakspzoo.pl              2  10   377   263    +19ms[  +19ms] +/-  151ms
^+ old.histeria.pl               2  10   377   758    -15ms[  -15ms] +/-  177ms
^+ d170-112.icpnet.pl            1  10   377   491  -3240us[-3262us] +/-  160ms
";
    let expected = format!("210 Number of sources = 4\n{LEGEND}{HEADING}{rows}");
    assert_eq!(sources(ROWS, &["sources", "-v"]), expected);
}

#[test]
fn sources_of_notes_on_centos_7() {
    const ROWS: &[Row] = &[
        (0, 4, "203.217.204.135", 2, 6, 0o377, 5, 13e-3, 13e-3, 101e-3),
        (0, 4, "dadns.cdnetworks.co.kr", 2, 6, 0o377, 7, -7304e-6, -7342e-6, 73e-3),
        (0, 4, "send.mx.cdnetworks.com", 2, 6, 0o377, 5, -1727e-6, -1765e-6, 67e-3),
        (0, 0, "106.247.248.106", 2, 6, 0o377, 4, 1070e-9, -38e-6, 40e-3),
    ];
    let rows = "\
^+ 203.217.204.135               2   6   377     5    +13ms[  +13ms] +/-  101ms
^+ dadns.cdnetworks.co.kr        2   6   377     7  -7304us[-7342us] +/-   73ms
^+ send.mx.cdnetworks.com        2   6   377     5  -1727us[-1765us] +/-   67ms
^* 106.247.248.106               2   6   377     4  +1070ns[  -38us] +/-   40ms
";
    assert_eq!(
        sources(ROWS, &["sources", "-v"]),
        format!("210 Number of sources = 4\n{LEGEND}{HEADING}{rows}")
    );
    // without the legend, and as every chrony 4 prints it
    assert_eq!(sources(ROWS, &["sources"]), format!("210 Number of sources = 4\n{HEADING}{rows}"));
}

#[test]
fn sources_that_were_just_started() {
    const ROWS: &[Row] = &[
        (0, 4, "ntp.ifj.edu.pl", 1, 6, 0o37, 47, 1266e-6, 1266e-6, 149e-3),
        (0, 5, "ntp2.tktelekom.pl", 2, 6, 0o37, 47, 513e-6, 513e-6, 177e-3),
        (0, 0, "ntp.coi.pw.edu.pl", 1, 6, 0o37, 48, 558e-6, 1133e-6, 148e-3),
        (0, 4, "192.168.178.43", 3, 6, 0o17, 26, 8928e-6, 8928e-6, 169e-3),
    ];
    let rows = "\
^+ ntp.ifj.edu.pl                1   6    37    47  +1266us[+1266us] +/-  149ms
^- ntp2.tktelekom.pl             2   6    37    47   +513us[ +513us] +/-  177ms
^* ntp.coi.pw.edu.pl             1   6    37    48   +558us[+1133us] +/-  148ms
^+ 192.168.178.43                3   6    17    26  +8928us[+8928us] +/-  169ms
";
    assert_eq!(sources(ROWS, &["sources"]), format!("210 Number of sources = 4\n{HEADING}{rows}"));
}

fn tracking(facts: Tracking) -> String {
    let (port, _seen) = udp(polite(move |request| match request {
        Request::Tracking => (Status::SUCCESS, Reply::Tracking(facts.clone())),
        _ => (Status::NO_SUCH_SOURCE, Reply::Null),
    }));
    let mut command = command("chronyc");
    command.args(["-n", "-h", "127.0.0.1", "-p", &port, "tracking"]);
    finish(command).stdout
}

#[test]
fn tracking_of_two_hosts() {
    let facts = Tracking {
        ref_id: 0x6AF7_F86A,
        address: Ip::V4(Ipv4Addr::new(106, 247, 248, 106)),
        stratum: 3,
        leap: 0,
        ref_time: Timespec { secs: 1_538_221_568, nanos: 999_999_999 },
        current_correction: 0.000_986_114.into(),
        last_offset: (-0.000_145_085).into(),
        rms_offset: 0.000_665_187.into(),
        freq_ppm: 96.481.into(),
        resid_freq_ppm: (-0.035).into(),
        skew_ppm: 1.05.into(),
        root_delay: 0.014_674_33.into(),
        root_dispersion: 0.029_061_176.into(),
        last_update_interval: 64.4.into(),
    };
    assert_eq!(
        tracking(facts),
        "\
Reference ID    : 6AF7F86A (106.247.248.106)
Stratum         : 3
Ref time (UTC)  : Sat Sep 29 11:46:08 2018
System time     : 0.000986114 seconds slow of NTP time
Last offset     : -0.000145085 seconds
RMS offset      : 0.000665187 seconds
Frequency       : 96.481 ppm fast
Residual freq   : -0.035 ppm
Skew            : 1.050 ppm
Root delay      : 0.014674330 seconds
Root dispersion : 0.029061176 seconds
Update interval : 64.4 seconds
Leap status     : Normal
"
    );
    let facts = Tracking {
        ref_id: 0xC0A8_B22B,
        address: Ip::V4(Ipv4Addr::new(192, 168, 178, 43)),
        stratum: 5,
        leap: 0,
        ref_time: Timespec { secs: 1_636_444_179, nanos: 0 },
        current_correction: (-0.000_563_108).into(),
        last_offset: 0.000_047_939.into(),
        rms_offset: 0.002_824_15.into(),
        freq_ppm: 35.006.into(),
        resid_freq_ppm: 0.046.into(),
        skew_ppm: 1.389.into(),
        root_delay: 0.172_546_864.into(),
        root_dispersion: 0.002_234_325.into(),
        last_update_interval: 64.2.into(),
    };
    assert_eq!(
        tracking(facts),
        "\
Reference ID    : C0A8B22B (192.168.178.43)
Stratum         : 5
Ref time (UTC)  : Tue Nov 09 07:49:39 2021
System time     : 0.000563108 seconds fast of NTP time
Last offset     : +0.000047939 seconds
RMS offset      : 0.002824150 seconds
Frequency       : 35.006 ppm fast
Residual freq   : +0.046 ppm
Skew            : 1.389 ppm
Root delay      : 0.172546864 seconds
Root dispersion : 0.002234325 seconds
Update interval : 64.2 seconds
Leap status     : Normal
"
    );
}

#[test]
fn tracking_of_a_host_without_sources() {
    let facts = Tracking {
        ref_id: 0,
        address: Ip::Unspec,
        stratum: 0,
        leap: 3,
        ref_time: Timespec { secs: 0, nanos: 0 },
        current_correction: 1e-9.into(),
        last_offset: 0.0.into(),
        rms_offset: 0.0.into(),
        freq_ppm: (-2009.477).into(),
        resid_freq_ppm: 0.0.into(),
        skew_ppm: 0.0.into(),
        root_delay: 1.0.into(),
        root_dispersion: 1.0.into(),
        last_update_interval: 0.0.into(),
    };
    assert_eq!(
        tracking(facts),
        "\
Reference ID    : 00000000 ()
Stratum         : 0
Ref time (UTC)  : Thu Jan 01 00:00:00 1970
System time     : 0.000000001 seconds slow of NTP time
Last offset     : +0.000000000 seconds
RMS offset      : 0.000000000 seconds
Frequency       : 2009.477 ppm slow
Residual freq   : +0.000 ppm
Skew            : 0.000 ppm
Root delay      : 1.000000000 seconds
Root dispersion : 1.000000000 seconds
Update interval : 0.0 seconds
Leap status     : Not synchronised
"
    );
}

#[test]
fn sourcestats_begin_with_their_number_and_a_command_is_200() {
    let (port, _seen) = udp(polite(|request| match request {
        Request::NSources => (Status::SUCCESS, Reply::NSources(0)),
        _ => (Status::SUCCESS, Reply::Null),
    }));
    assert_eq!(
        shown(&port, &["sourcestats"]),
        "210 Number of sources = 0\n\
         Name/IP Address            NP  NR  Span  Frequency  Freq Skew  Offset  Std Dev\n\
         ==============================================================================\n"
    );
    let mut command = command("chronyc");
    command.args(["-a", "-h", "127.0.0.1", "-p", &port, "makestep"]);
    assert_eq!(finish(command).stdout, "200 OK\n");
}
