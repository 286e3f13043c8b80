//! Forms and error texts as `chronyd -p` 4.9 has them.

use super::*;

/// Files in memory.
#[derive(Default)]
struct Memory(BTreeMap<String, String>);

impl Memory {
    fn with(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }
}

impl Files for Memory {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, String> {
        self.0
            .get(path)
            .map(|text| text.as_bytes().to_vec())
            .ok_or_else(|| "No such file or directory".to_owned())
    }
    fn glob(&mut self, pattern: &str) -> Option<Vec<String>> {
        let (directory, name) = pattern.rsplit_once('/')?;
        let Some((before, after)) = name.split_once('*') else { return Some(vec![pattern.to_owned()]) };
        let start = format!("{directory}/{before}");
        Some(
            self.0.keys().filter(|path| path.starts_with(&start) && path.ends_with(after)).cloned().collect(),
        )
    }
    fn list(&mut self, directory: &str) -> Vec<String> {
        let start = format!("{directory}/");
        self.0.keys().filter_map(|path| path.strip_prefix(&start)).map(str::to_owned).collect()
    }
    fn address(&mut self, name: &str) -> Option<IpAddr> {
        (name == "my.host").then(|| IpAddr::from([10, 9, 8, 7]))
    }
}

fn words(lines: &[&str]) -> Parsed {
    parse_words(&lines.iter().map(|&l| l.to_owned()).collect::<Vec<_>>(), &mut Memory::default())
}

fn complaint(line: &str) -> String {
    words(&[line]).diagnostics.first().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn each_kind_of_error_has_the_originals_text() {
    for (line, text) in [
        ("foo", "Invalid directive foo"),
        ("rtcsync 1", "Too many arguments for rtcsync directive"),
        ("Port", "Missing arguments for Port directive"),
        ("port 1 2", "Too many arguments for port directive"),
        ("port 0x10", "Could not parse port directive"),
        ("port 70000", "Invalid value 70000 in port directive (min 0, max 65535)"),
        ("minsources 0", "Invalid value 0 in minsources directive (min 1, max 2147483647)"),
        ("maxdistance x", "Could not parse maxdistance directive"),
        ("makestep 1", "Missing arguments for makestep directive"),
        ("tempcomp a 1 b c", "Missing arguments for tempcomp directive"),
        ("local foo", "Invalid option in local directive"),
        ("local stratum 16", "Invalid value in local directive"),
        ("log foo", "Invalid log parameter"),
        ("server", "Invalid syntax for server directive"),
        ("server x foo", "Invalid option in server directive"),
        ("server x minpoll", "Invalid value in server directive"),
        ("hwtimestamp", "Could not parse hwtimestamp directive"),
        ("refclock SHM", "Could not parse refclock directive"),
        ("allow a b", "Could not parse allow directive"),
        ("allow 1.2.3.x/8", "Could not parse allow directive"),
        ("ratelimit interval 300", "Could not parse ratelimit directive"),
        ("bindaddress foo", "Could not parse bindaddress directive"),
        ("bindcmdaddress", "Missing arguments for bindcmdaddress directive"),
        ("smoothtime 1 2 foo", "Could not parse smoothtime directive"),
        ("authselectmode", "Could not parse authselectmode directive"),
        ("include", "Missing arguments for include directive"),
        ("confdir", "Could not parse confdir directive"),
        ("driftfile a b", "Could not parse driftfile directive"),
    ] {
        assert_eq!(complaint(line), format!("Fatal error : {text} at line 1"), "{line}");
    }
    assert_eq!(
        complaint("include /nonexist/a.conf"),
        "Fatal error : Could not open /nonexist/a.conf : No such file or directory"
    );
    assert_eq!(complaint("commandkey 1"), "commandkey directive is no longer supported");
}

#[test]
fn all_errors_are_reported_with_their_place() {
    let text = "server a iburst # near\nallow\nport x\nlocal stratum 3\nlog y\n";
    let parsed = parse_file("/c", &mut Memory::with(&[("/c", text)]));
    let lines: Vec<String> = parsed.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "Fatal error : Invalid option in server directive at line 1 in file /c",
            "Fatal error : Could not parse port directive at line 3 in file /c",
            "Fatal error : Invalid log parameter at line 5 in file /c",
        ]
    );
    assert!(parsed.diagnostics[0].help.as_ref().unwrap().contains("start of a line"));
    assert_eq!((parsed.config.access.len(), parsed.config.local.unwrap().stratum), (1, 3));
}

#[test]
fn comments_blanks_and_case() {
    let text = "# c\n! c\n; c\n% c\n\n  \t RTCsync \nSERVER\tH  IBURST\n";
    let parsed = parse_file("/c", &mut Memory::with(&[("/c", text)]));
    assert!(parsed.diagnostics.is_empty() && parsed.config.flags.rtcsync);
    assert_eq!(parsed.echo, ["RTCsync", "SERVER H IBURST"]);
    let long = format!("server {}", "x".repeat(2100));
    assert_eq!(complaint(&long), "Fatal error : String too long at line 1");
}

#[test]
fn networks_have_short_forms() {
    let scope = |text: &str| words(&[&format!("allow {text}")]).config.access[0].scope;
    let net = |address: &str, bits| Scope::Network(address.parse().unwrap(), bits);
    assert_eq!(scope("10.1"), net("10.1.0.0", 16));
    assert_eq!(scope("10/8"), net("10.0.0.0", 8));
    assert_eq!(scope("1.2.3.4"), net("1.2.3.4", 32));
    assert_eq!(scope("2001:db8::/32"), net("2001:db8::", 32));
    assert_eq!(scope("all 192.168"), net("192.168.0.0", 16));
    assert_eq!(scope("all"), Scope::Everything);
    assert_eq!(scope("my.host"), net("10.9.8.7", 32));
    assert_eq!(complaint("allow 10.300"), "Fatal error : Could not parse allow directive at line 1");
}

#[test]
fn includes_and_directories_take_their_lines_place() {
    let files = [
        ("/c", "include /i/*.conf\nconfdir /d1 /d2\nsourcedir /s\nport 11\n"),
        ("/i/a.conf", "cmdport 1\n"),
        ("/i/b.conf", "cmdport 2\n"),
        ("/d1/x.conf", "dscp 1\n"),
        ("/d2/x.conf", "dscp 2\n"),
        ("/d2/w.conf", "logbanner 7\n"),
        ("/d2/w.txt", "nonsense\n"),
        ("/s/a.sources", "server one\nbad line\nallow\npool two iburst\nserver unterminated"),
    ];
    let parsed = parse_file("/c", &mut Memory::with(&files));
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    assert_eq!(parsed.echo, ["cmdport 1", "cmdport 2", "logbanner 7", "dscp 1", "sourcedir /s", "port 11"]);
    let integers = parsed.config.integers;
    assert_eq!((integers.cmdport, integers.dscp, integers.logbanner, integers.port), (2, 1, 7, 11));
    let names: Vec<&str> = parsed.config.sources.iter().map(|(s, _)| s.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    let circle = parse_file("/c", &mut Memory::with(&[("/c", "include /c\n")]));
    assert_eq!(circle.diagnostics[0].to_string(), "Fatal error : Maximum include level reached");
}

#[test]
fn what_is_not_supported_yet_is_a_warning() {
    for line in [
        "ntsdumpdir /var/lib/chrony",
        "server a nts",
        "hwtimestamp *",
        "refclock PHC /dev/ptp0",
        "ptpport 319",
    ] {
        let parsed = words(&[line]);
        assert!(!parsed.is_fatal() && parsed.diagnostics.len() == 1, "{line}: {:?}", parsed.diagnostics);
    }
    assert!(words(&["refclock PHC /dev/ptp0 optional"]).diagnostics.is_empty());
}

#[test]
fn rate_limits_are_clamped_and_need_the_client_log() {
    let parsed = words(&["ratelimit interval -32 burst 0 leak 9 kod 9"]);
    assert_eq!(parsed.config.ratelimit, Some(RateLimit { interval: -19, burst: 1, leak: 4, kod: 4 }));
    let parsed = words(&["ratelimit", "noclientlog"]);
    assert_eq!(
        parsed.diagnostics[0].to_string(),
        "Fatal error : Rate limiting cannot be enabled with noclientlog"
    );
}
