//! NTPsec's ntpq at our ntpd: every command of the list answers, and shows the values that our own ntpq shows.
//!
//! Ours is asked before and after; each number has to lie between the two (counters go up, ages too), and each word has to be
//! one of the two. NTPsec's ntpq is slow to start, so one run holds all commands, with `version` between them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::namespace::{Host, Lab, wait_until};
use super::peer::{Package, our};
use super::telling::following;

/// The list.
const COMMANDS: [&str; 17] = [
    "peers",
    "associations",
    "apeers",
    "opeers",
    "rv",
    "rv 0 offset,stratum",
    "rv &1",
    "cv &4",
    "sysinfo",
    "kerninfo",
    "iostats",
    "sysstats",
    "monstats",
    "timerstats",
    "authinfo",
    "reslist",
    "ifstats",
];

/// Names that NTPsec's ntpq asks for and that the classic ntpd does not have either (ntp-legacy 4.4): shown as `?` or `???`.
const UNKNOWN: &[(&str, &[&str])] = &[
    ("sysinfo", &["root distance"]),
    ("sysstats", &["control requests", "NTPv1 total", "NTPv1 clients", "NTPv1 mode0", "NTPv1 symm act"]),
    (
        "monstats",
        &[
            "hash slots in use",
            "reclaim minage",
            "alloc: exists",
            "alloc: new",
            "alloc: recycle old",
            "alloc: recycle full",
            "alloc: none",
            "age of oldest slot",
        ],
    ),
    (
        "authinfo",
        &[
            "digest encryptions",
            "CMAC encryptions",
            "digest decryptions",
            "digest failures",
            "CMAC decryptions",
            "CMAC failures",
        ],
    ),
];

/// Those behind a key. NTPsec's signs everything when it is told a key, and stumbles over error replies then, from the classic
/// daemon as from ours: a run of their own.
const SIGNED: usize = 2;

/// What each command printed.
type Texts = BTreeMap<&'static str, String>;

fn split(commands: &[&'static str], out: &str, marker: &str) -> Texts {
    let texts = out.split(marker).map(|part| part.lines().skip(1).collect::<Vec<_>>().join("\n"));
    // before the first marker there is nothing
    let parts: Vec<String> = texts.skip(1).collect();
    assert_eq!(parts.len(), commands.len(), "{out}");
    commands.iter().copied().zip(parts).collect()
}

/// All commands in two runs of NTPsec's, the second behind a key of a file.
fn theirs(host: &Host, keys: &str) -> Texts {
    let (open, signed) = COMMANDS.split_at(COMMANDS.len() - SIGNED);
    let mut texts = asked(host, open, &["-n"]);
    texts.append(&mut asked(host, signed, &["-n", "-a", "2", "-k", keys]));
    texts
}

fn asked(host: &Host, commands: &[&'static str], options: &[&str]) -> Texts {
    let mut words = options.to_vec();
    commands.iter().for_each(|command| words.extend(["-c", "version", "-c", command]));
    words.push("127.0.0.1");
    let mut command = host.command(Package::Ntpsec.program("ntpq"), Duration::from_secs(40));
    let ran = host.finish(command.args(&words));
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    // what it says of variables that classic daemons do not have
    let complaints: Vec<&str> =
        ran.err.lines().filter(|line| *line != "Unknown variable.  Trying one at a time.").collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    split(commands, &ran.out.replace("Unknown variable.  Trying one at a time.\n", ""), "ntpsec-")
}

/// The same of ours; variables raw.
fn ours(host: &Host) -> Texts {
    let mut words = vec!["-n", "-c", "keyid 2", "-c", "passwd secret2"];
    for command in COMMANDS {
        words.extend(["-c", "version"]);
        if command.starts_with("rv") {
            words.extend(["-c", "raw", "-c", command, "-c", "cooked"]);
        } else {
            words.extend(["-c", command]);
        }
    }
    words.push("127.0.0.1");
    let ran = host.run(our("ntpq").expect("it was there before"), &words);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    let out = ran.out.replace("Output set to raw\n", "").replace("Output set to cooked\n", "");
    split(&COMMANDS, &out, "ntpq 4.2.8p15")
}

/// Seconds of `HH:MM:SS`, else the number, hexadecimal with `0x`.
fn number(text: &str) -> Option<f64> {
    let parts: Vec<&str> = text.split(':').collect();
    if let [hours, minutes, seconds] = parts[..] {
        let number = |part: &str| part.parse::<u32>().ok();
        return Some(f64::from(number(hours)? * 3600 + number(minutes)? * 60 + number(seconds)?));
    }
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok().map(f64::from),
        None => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// Whether a word of NTPsec's is what ours said before or after, or a number between them. Three decimals are what both show.
fn between(word: &str, before: &str, after: &str) -> bool {
    match (number(word), number(before), number(after)) {
        (Some(word), Some(before), Some(after)) => {
            (before.min(after) - 0.0011..=before.max(after) + 0.0011).contains(&word)
        }
        _ => word == before || word == after,
    }
}

/// Facts of a text by name, in one form for both programs.
fn facts(command: &str, text: &str) -> BTreeMap<String, String> {
    match command {
        "peers" | "apeers" | "opeers" => rows(text, 2),
        "associations" => rows(text, 2),
        "reslist" => {
            text.lines().skip(3).collect::<Vec<_>>().chunks(2).fold(BTreeMap::new(), |mut all, pair| {
                let words: Vec<&str> = pair[0].split_whitespace().collect();
                all.insert(format!("{} hits", words[1]), words[0].to_owned());
                all.insert(words[1].to_owned(), pair[1].trim().to_owned());
                all
            })
        }
        "ifstats" => {
            text.lines().skip(3).collect::<Vec<_>>().chunks(2).fold(BTreeMap::new(), |mut all, pair| {
                let words: Vec<&str> = pair[0].split_whitespace().collect();
                // ours has ttl and mc between the flags and the counters
                let tail = &words[words.len() - 5..];
                for (name, value) in ["received", "sent", "failed", "peers", "uptime"].iter().zip(tail) {
                    all.insert(format!("{} {name}", pair[1].trim()), (*value).to_owned());
                }
                all.insert(pair[1].trim().to_owned(), words[..4].join(" "));
                all
            })
        }
        command if command.starts_with("rv") || command.starts_with("cv") => variables(text),
        _ => labels(text),
    }
}

/// Tables: `row column` by the first word of the row.
fn rows(text: &str, header: usize) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let body = text.lines().filter(|line| !line.is_empty()).skip(header);
    for (row, line) in body.enumerate() {
        for (place, word) in line.split_whitespace().enumerate() {
            all.insert(format!("row {row} column {place}"), word.to_owned());
        }
    }
    all
}

/// `name=value, …`; stamps without what follows them, lists as numbers.
fn variables(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut text = text.replace(['\n', '\t'], " ");
    // the status is the header's
    if let Some(at) = text.find("status=") {
        text = text[at + 7..].to_owned();
        let status: String = text.trim_start_matches("0x").chars().take(4).collect();
        all.insert("status".to_owned(), status);
    }
    let names = text.match_indices('=').map(|(at, _)| at).collect::<Vec<_>>();
    for (index, &at) in names.iter().enumerate() {
        let name = text[..at].trim_end().rsplit([' ', ',']).next().unwrap_or_default().to_owned();
        let end = names.get(index + 1).copied().unwrap_or(text.len());
        let mut value = text[at + 1..end].to_owned();
        if index + 1 < names.len() {
            let cut = value.trim_end().rfind([',', ' ']).unwrap_or(value.len());
            value.truncate(cut);
        }
        let value = value.trim().trim_end_matches(',').trim_matches('"').to_owned();
        let words: Vec<&str> = value.split_whitespace().collect();
        let value = match name.as_str() {
            "reftime" | "clock" | "rec" | "org" | "xmt" => {
                // whole seconds: those between which the answer came
                let stamp = words[0].trim_start_matches("0x");
                u32::from_str_radix(stamp.split('.').next().unwrap_or_default(), 16).unwrap().to_string()
            }
            "reach" => match words[0].strip_prefix("0x") {
                Some(hex) => format!("{:03o}", u32::from_str_radix(hex, 16).unwrap()),
                None => words[0].to_owned(),
            },
            "flash" => u32::from_str_radix(words[0].trim_start_matches("0x"), 16).unwrap().to_string(),
            _ => words.join(" "),
        };
        all.insert(name, value);
    }
    all
}

/// `label: value` lines, at most the first word of the value.
fn labels(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with("associd=")) {
        // a label without a colon ends where two blanks are
        let (label, value) = match line.rsplit_once(": ").or_else(|| line.split_once("  ")) {
            Some((label, value)) if !label.contains("  ") => (label, value),
            _ => line.split_once("  ").unwrap_or_else(|| panic!("{line:?}")),
        };
        let value = value.split_whitespace().next().unwrap_or_default();
        all.insert(label.trim_end_matches(':').trim().to_owned(), value.to_owned());
    }
    all
}

/// What NTPsec writes otherwise: the same fact in ours.
fn translated(command: &str, name: &str, ours: &BTreeMap<String, String>) -> Option<String> {
    let renamed = match (command, name) {
        ("monstats", "addresses in use") => "addresses",
        ("monstats", "reclaim maxage") => "reclaim older than",
        _ => name,
    };
    let value = ours.get(renamed)?.clone();
    Some(match (command, value.as_str()) {
        // -n: a reference clock's number; `rv` has it as ours sends it
        ("peers" | "opeers", "LOCAL(1)") => "127.127.1.1".to_owned(),
        _ => value,
    })
}

/// What NTPsec's makes of the classic daemon's answers too: the local clock's type is `u`, a refid that is too long for its column
/// is `...`, `opeers` names a pool, and ages are cut where ours are rounded.
fn is_its_way(command: &str, name: &str, word: &str, ours: &Option<String>) -> bool {
    let ours = ours.as_deref().unwrap_or_default();
    let when = if command == "apeers" { "column 5" } else { "column 4" };
    let older =
        number(ours).zip(number(word)).is_some_and(|(ours, word)| (0.0..1.5).contains(&(ours - word)));
    match command {
        "peers" | "apeers" | "opeers" if word == "u" => true,
        "apeers" if word == "..." => ours.len() > 7,
        "opeers" if ours == "0.0.0.0" => name.ends_with("column 0"),
        "peers" | "apeers" | "opeers" => name.ends_with(when) && older,
        _ => false,
    }
}

/// The complaints about one command.
fn compared(command: &'static str, theirs: &str, before: &str, after: &str) -> Vec<String> {
    let (shown, before, after) = (facts(command, theirs), facts(command, before), facts(command, after));
    let unknown = UNKNOWN.iter().find(|(name, _)| *name == command).map_or(&[][..], |(_, names)| names);
    let mut complaints = Vec::new();
    for (name, value) in &shown {
        if unknown.contains(&name.as_str()) {
            if !value.starts_with('?') {
                complaints.push(format!("{command}: {name} is known: {value}"));
            }
            continue;
        }
        let both = (translated(command, name, &before), translated(command, name, &after));
        let fits = match &both {
            (Some(before), Some(after)) => {
                let (words, before, after): (Vec<_>, Vec<_>, Vec<_>) =
                    (value.split(' ').collect(), before.split(' ').collect(), after.split(' ').collect());
                words.len() == before.len()
                    && words.len() == after.len()
                    && words.iter().zip(before.iter().zip(after)).all(|(word, (b, a))| between(word, b, a))
            }
            _ => false,
        };
        if !fits && !is_its_way(command, name, value, &both.0) {
            complaints.push(format!("{command}: {name}: {value:?}, ours {both:?}"));
        }
    }
    if shown.is_empty() {
        complaints.push(format!("{command}: nothing: {theirs:?}"));
    }
    complaints
}

#[test]
fn ntpsecs_ntpq_shows_what_ours_shows() {
    let Some(lab) = Lab::open(&[Package::Ntpsec, Package::ChronySid]) else { return };
    let Some((_server, host, _ntpd)) = following(&lab) else { return };
    if our("ntpq").is_none() {
        return;
    }
    // NTPsec knows no type `M`
    let keys = host.file("ntpsec.keys", "1 MD5 one\n2 MD5 secret2\n");
    let mut complaints = Vec::new();
    // what moves between three questions may move the wrong way once
    let same = wait_until(Duration::from_secs(20), || {
        let (before, theirs, after) = (ours(&host), theirs(&host, &keys), ours(&host));
        let of = |command: &&'static str| {
            compared(command, &theirs[*command], &before[*command], &after[*command])
        };
        complaints = COMMANDS.iter().flat_map(of).collect();
        complaints.is_empty()
    });
    assert!(same, "{}", complaints.join("\n"));
    // the client list has a layout of its own
    let list = |program: std::path::PathBuf| host.run(program, &["-n", "-c", "mrulist", "127.0.0.1"]).out;
    let row = |text: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.ends_with(" 10.77.0.1")).unwrap_or_else(|| panic!("{text}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    let same = wait_until(Duration::from_secs(20), || {
        let (theirs, ours) = (row(&list(Package::Ntpsec.program("ntpq"))), row(&list(our("ntpq").unwrap())));
        // lstint avgint rstr r m v count … rport address, beside score and drop
        let pick = |words: &[String], places: [usize; 6]| places.map(|place| words[place].clone());
        let last = theirs.len() - 2;
        pick(&theirs, [2, 3, 4, 5, 6, last]) == pick(&ours, [2, 3, 4, 5, 6, 7])
    });
    assert!(same, "{}{}", list(Package::Ntpsec.program("ntpq")), list(our("ntpq").unwrap()));
}
