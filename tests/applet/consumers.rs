//! The readers of ntpq in the field, row by row of consumers.md 2.2, on exact bytes; against real servers: tests/compat/consumers.rs.

use std::path::Path;

use super::ntpq::{classic, ntpq, replay, reply, serve};
use crate::support::consumers::{check_ntp, telegraf};

#[test]
fn consumers_find_their_bytes() {
    let host = serve(classic);
    let ran = ntpq(&["-nc", "peers", &host]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "     remote           refid      st t when poll reach   delay   offset  jitter");
    assert_eq!(lines[1], "=".repeat(78));
    assert_eq!(lines[2], "*10.78.0.2       .GPS.            1 u    -   16    7    0.094    1.035   0.436");
    // `tail -n +3 | cut -c 62-66`
    assert_eq!(&lines[2][61..66], "    1");
    assert_eq!(ntpq(&["-np", &host]).stdout, ran.stdout);
    assert_eq!(ntpq(&["-pn", "-W", "80", &host]).stdout, ran.stdout);
    // named variables: no status line, no comma at the end, one `=` an item
    let named = ntpq(&["-c", "rv 0 offset,sys_jitter,rootdisp,rootdelay", &host]).stdout;
    assert_eq!(named, "stratum=2, offset=-199.945, sys_jitter=0.4, rootdisp=1.0, rootdelay=2.0\n");
    // one word holds option and command
    let whole = ntpq(&["-c rv", &host]).stdout;
    assert!(
        whole.starts_with("associd=0 status=963a leap_del_sec, sync_22, 3 events, leap_disarmed,\nstratum=2")
    );
    // ntpmon: `-W 255` widens the first column by 25
    let wide = ntpq(&["-np", "-W", "255", &host]).stdout;
    assert_eq!(wide.lines().nth(1).unwrap().len(), 103);
    assert!(wide.lines().nth(2).unwrap().starts_with("*10.78.0.2                                .GPS. "));
}

/// The pipelines of consumers.md as they are typed in the field.
#[test]
fn pipelines_of_the_field_find_their_bytes() {
    let peers = serve(classic);
    let system = replay(Path::new("tests/fixtures/replies/ntpd-4.2.8p15/readvar.hex"), false);
    let kernel = replay(Path::new("tests/fixtures/replies/ntpd-4.2.8p15/kerninfo.hex"), false);
    for (row, line, host, expected) in [
        (
            29,
            r"ntpq -p $H|grep \*|awk '{print $1, $2, $3, $7, $8, $9, $10}'",
            &peers,
            "*10.78.0.2 .GPS. 1 7 0.094 1.035 0.436",
        ),
        (29, "ntpq -p $H | grep -c '[*]'", &peers, "1"),
        (
            30,
            "ntpq -np -W 255 $H | tail -n +3 | grep -cE '^[*o+x.#-]?[0-9.]+ +[.A-Z0-9]+ +[0-9]+ [a-zA-Z] '",
            &peers,
            "1",
        ),
        (31, "ntpq -nc peers $H | tail -n +3 | cut -c 62-66", &peers, "    1"),
        (32, "ntpq -p -n $H | awk '/^[*]/ { print $2, $3, $4 }'", &peers, ".GPS. 1 u"),
        (
            33,
            "ntpq -p $H | head -n 1 | tr -s ' '",
            &peers,
            " remote refid st t when poll reach delay offset jitter",
        ),
        (35, "ntpq -c version $H | grep -oE '^ntpq [0-9]+[.][0-9]+[.][0-9]+'", &peers, "ntpq 4.2.8"),
        (35, "ntpq -c help $H >/dev/null; echo $?", &peers, "0"),
        (35, "ntpq -n -p $H | grep '^[*o]' | awk '{print $9}'", &peers, "1.035"),
        (35, "ntpq -c associations $H | tail -n +3 | awk '{print $2, $8}'", &peers, "36203 sys_peer"),
        (
            35,
            "ntpq -c kerninfo $H | sed -n 's/^estimated error: *//p;s/^pll frequency: *//p' | tr '\n' ' '",
            &kernel,
            "0 16000 ",
        ),
        (37, "ntpq '-c rv' $H >/dev/null; echo $?", &system, "0"),
        (39, "ntpq -c rv $H | sed -n 's/.*status=[0-9a-f]\\([0-9]\\).*/\\1/p'", &system, "6"),
        (40, "ntpq -c rv $H | grep -c leap_none", &system, "1"),
        (
            41,
            "ntpq -c 'rv 0' $H 2>&1 | head -n 1 | grep -cE '^associd=0 status=[0-9a-f]{4} leap_none,'",
            &system,
            "1",
        ),
        (
            42,
            "ntpq -nc readvar $H 2>&1 | grep -oE 'offset=[-0-9.]+|^ntpq|peer=[0-9]+,' | tr '\n' ' '",
            &system,
            "peer=31863, offset=0.003223 ",
        ),
        (44, "ntpq -c rv $H | tr ',' '\n' | sed -n 's/^ *offset=//p'", &system, "0.003223"),
    ] {
        let mut shell = std::process::Command::new("sh");
        let path = format!(
            "{}:{}",
            crate::support::cli::bin().display(),
            std::env::var_os("PATH").unwrap_or_default().display()
        );
        shell.args(["-c", line]).env("PATH", path).env("H", host).stdin(std::process::Stdio::null());
        let ran = shell.output().unwrap();
        let said = String::from_utf8(ran.stdout).unwrap();
        assert_eq!(said.strip_suffix('\n').unwrap_or(&said), expected, "row {row}: {line}");
    }
}

/// See [`AGES`].
type Age = (Option<u64>, u8, &'static str, Option<f64>, f64);

/// `when` and `poll` as the original 4.2.8p15 prints them, with the seconds that telegraf makes of them: how long ago the
/// last packet came (`None`: never), the poll exponent, the columns.
const AGES: &[Age] = &[
    (None, 6, "   -   64", None, 64.0),
    (Some(2_052), 10, " 34m 1024", Some(2_040.0), 1024.0),
    (Some(17_950), 11, "299m 2048", Some(17_940.0), 2048.0),
    (Some(19_000), 12, "  5h  68m", Some(18_000.0), 4_080.0),
    (Some(345_700), 15, " 96h   9h", Some(345_600.0), 32_400.0),
    (Some(400_000), 17, "  5d  36h", Some(432_000.0), 129_600.0),
    (Some(25_920_000), 17, "300d  36h", Some(25_920_000.0), 129_600.0),
];

/// An ntpd with one association for each of [`AGES`], the second of them selected.
fn aged(request: &[u8], _: usize) -> Vec<Vec<u8>> {
    let number = u16::from_be_bytes([request[6], request[7]]);
    let word = |id: u16| if id == 2 { 0x963a_u16 } else { 0x9014 };
    if request[1] & 31 == 1 {
        let all = 1..=u16::try_from(AGES.len()).unwrap();
        let list: Vec<u8> = all.flat_map(|id| [id.to_be_bytes(), word(id).to_be_bytes()].concat()).collect();
        return vec![reply(request, 0x0615, &list)];
    }
    let (age, poll, ..) = AGES[usize::from(number) - 1];
    // seconds since 1900
    let now = u64::try_from(ntpbox::sys::clock::now().secs()).unwrap() + 2_208_988_800;
    let rec = age.map_or(0, |age| now - age);
    let text = format!(
        "srcadr=10.0.0.{number}, srcport=123, dstadr=10.78.0.100, stratum=1, refid=GPS, reftime=0x0.0, \
         rec=0x{rec:08x}.00000000, reach=0x7, hmode=3, pmode=4, hpoll={poll}, ppoll={poll}, offset=-1.035, \
         delay=0.094, dispersion=0.438, jitter=0.436\r\n"
    );
    vec![reply(request, word(number), text.as_bytes())]
}

/// Row 27: telegraf.
#[test]
fn telegraf_finds_its_ten_fields() {
    let host = serve(aged);
    let ran = ntpq(&["-p", "-n", &host]);
    assert_eq!((ran.code(), ran.stderr.as_str()), (0, ""));
    let lines: Vec<&str> = ran.stdout.lines().skip(2).collect();
    let taken = telegraf(&ran.stdout);
    assert_eq!((lines.len(), taken.len()), (AGES.len(), AGES.len()), "{}", ran.stdout);
    for (number, (line, row)) in (1..).zip(lines.iter().zip(&taken)) {
        let (_, _, columns, when, poll) = AGES[number - 1];
        let sign = if number == 2 { '*' } else { ' ' };
        let expected = format!(
            "{sign}{:<15} .GPS.            1 u {columns}    7    0.094   -1.035   0.436",
            format!("10.0.0.{number}")
        );
        assert_eq!(*line, expected);
        assert_eq!(
            (row.state, row.remote.as_str()),
            ((number == 2).then_some('*'), &*format!("10.0.0.{number}"))
        );
        assert_eq!(row.columns.get("when").map(|_| row.number("when")), when, "{line}");
        assert_eq!((row.number("poll"), row.number("reach"), row.number("st")), (poll, 7.0, 1.0), "{line}");
        assert_eq!((row.number("delay"), row.number("offset"), row.number("jitter")), (0.094, -1.035, 0.436));
        assert_eq!((row.columns["refid"].as_str(), row.columns["t"].as_str()), (".GPS.", "u"));
    }
    // `-w` breaks lines only where an address is too long
    let wide = telegraf(&ntpq(&["-pnw", &host]).stdout);
    assert_eq!(wide, taken);
    // nobody there: no row, and still exit code 0
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let refused = ntpq(&["-p", &closed]);
    assert_eq!((refused.code(), telegraf(&refused.stdout).len()), (0, 0));
}

/// Row 28, the half that reads ntpq.
#[test]
fn check_ntp_finds_its_eleven_groups() {
    let host = serve(aged);
    let judged = check_ntp(("", Some(0)), &ntpq(&["-np", &host]).stdout);
    assert_eq!((judged.rows, judged.jitter), (AGES.len(), Some(0.436)), "{judged:?}");
    let one = check_ntp(("", Some(0)), &ntpq(&["-np", &serve(classic)]).stdout);
    assert_eq!((one.rows, one.jitter, one.offset), (1, Some(0.436), None), "{one:?}");
}

/// Row 37: integers and numbers of `rv`, in one word with its option; row 35: variables of one association.
#[test]
fn numbers_are_numbers() {
    let system = replay(Path::new("tests/fixtures/replies/ntpd-4.2.8p15/readvar.hex"), false);
    let ran = ntpq(&["-c rv", &system]);
    let joined = ran.stdout.lines().skip(1).collect::<Vec<_>>().join(" ");
    let value = |name: &str| {
        let found = joined.split(", ").find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name} in {joined}")).trim_end_matches(',').to_owned()
    };
    for name in ["stratum", "precision", "peer", "tc", "mintc"] {
        assert!(value(name).parse::<i64>().is_ok(), "{name}={}", value(name));
    }
    for name in ["rootdelay", "rootdisp", "offset", "frequency", "sys_jitter", "clk_jitter", "clk_wander"] {
        assert!(value(name).parse::<f64>().is_ok(), "{name}={}", value(name));
    }
    let asked = ntpq(&["-n", "-c", "readvar 36203 srcadr,delay,offset,jitter", &serve(classic)]).stdout;
    assert!(asked.contains("srcadr=10.78.0.2,") && asked.contains("offset=1.035, delay=0.094,"), "{asked}");
}
