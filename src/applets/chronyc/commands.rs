//! The commands: their words for help, completion and the names of their JSON reports.

use crate::report::ReportSchema;
use crate::report::chronyc::{
    ChronyActivity, ChronyAuthData, ChronyClients, ChronyDone, ChronyKey, ChronyManualList, ChronyNtpData,
    ChronyRtcData, ChronySelectData, ChronyServerStats, ChronySettime, ChronySmoothing, ChronySourceName,
    ChronySourceStats, ChronySources, ChronyTracking, ChronyWaitSync,
};

/// Everything that is not a report, and every failure of the command line.
pub const CONTROL: ReportSchema = ReportSchema::of::<ChronyDone>("ntpbox/chronyc.command/1");

/// `activity`.
pub const ACTIVITY: ReportSchema = ReportSchema::of::<ChronyActivity>("ntpbox/chronyc.activity/1");
/// `authdata`.
pub const AUTHDATA: ReportSchema = ReportSchema::of::<ChronyAuthData>("ntpbox/chronyc.authdata/1");
/// `clients`.
pub const CLIENTS: ReportSchema = ReportSchema::of::<ChronyClients>("ntpbox/chronyc.clients/1");
/// `keygen`.
pub const KEYGEN: ReportSchema = ReportSchema::of::<ChronyKey>("ntpbox/chronyc.keygen/1");
/// `manual list`.
pub const MANUAL_LIST: ReportSchema = ReportSchema::of::<ChronyManualList>("ntpbox/chronyc.manual-list/1");
/// `ntpdata`.
pub const NTPDATA: ReportSchema = ReportSchema::of::<ChronyNtpData>("ntpbox/chronyc.ntpdata/1");
/// `rtcdata`.
pub const RTCDATA: ReportSchema = ReportSchema::of::<ChronyRtcData>("ntpbox/chronyc.rtcdata/1");
/// `selectdata`.
pub const SELECTDATA: ReportSchema = ReportSchema::of::<ChronySelectData>("ntpbox/chronyc.selectdata/1");
/// `serverstats`.
pub const SERVERSTATS: ReportSchema = ReportSchema::of::<ChronyServerStats>("ntpbox/chronyc.serverstats/1");
/// `settime`.
pub const SETTIME: ReportSchema = ReportSchema::of::<ChronySettime>("ntpbox/chronyc.settime/1");
/// `smoothing`.
pub const SMOOTHING: ReportSchema = ReportSchema::of::<ChronySmoothing>("ntpbox/chronyc.smoothing/1");
/// `sourcename`.
pub const SOURCENAME: ReportSchema = ReportSchema::of::<ChronySourceName>("ntpbox/chronyc.sourcename/1");
/// `sources`.
pub const SOURCES: ReportSchema = ReportSchema::of::<ChronySources>("ntpbox/chronyc.sources/1");
/// `sourcestats`.
pub const SOURCESTATS: ReportSchema = ReportSchema::of::<ChronySourceStats>("ntpbox/chronyc.sourcestats/1");
/// `tracking`.
pub const TRACKING: ReportSchema = ReportSchema::of::<ChronyTracking>("ntpbox/chronyc.tracking/1");
/// `waitsync`.
pub const WAITSYNC: ReportSchema = ReportSchema::of::<ChronyWaitSync>("ntpbox/chronyc.waitsync/1");

/// The names of the reports by command word: only the names, so that the binary does not hold the schemas.
const REPORTS: &[(&str, &str)] = &[
    ("activity", ACTIVITY.name),
    ("authdata", AUTHDATA.name),
    ("clients", CLIENTS.name),
    ("keygen", KEYGEN.name),
    ("manual", MANUAL_LIST.name),
    ("ntpdata", NTPDATA.name),
    ("rtcdata", RTCDATA.name),
    ("selectdata", SELECTDATA.name),
    ("serverstats", SERVERSTATS.name),
    ("settime", SETTIME.name),
    ("smoothing", SMOOTHING.name),
    ("sourcename", SOURCENAME.name),
    ("sources", SOURCES.name),
    ("sourcestats", SOURCESTATS.name),
    ("tracking", TRACKING.name),
    ("waitsync", WAITSYNC.name),
];

/// The name of the report of a command word.
pub(super) fn schema_of(word: &str) -> &'static str {
    REPORTS.iter().find(|(name, _)| *name == word).map_or(CONTROL.name, |(_, schema)| *schema)
}

/// A group of `help`: its title, and syntax and meaning of its commands.
type Group = (&'static str, &'static [(&'static str, &'static str)]);

const HELP: &[Group] = &[
    (
        "System clock",
        &[
            ("tracking", "Show how well the clock follows"),
            ("makestep", "Step the clock by what is left to correct"),
            ("makestep <threshold> <updates>", "Allow steps in the next updates"),
            ("maxupdateskew <skew>", "Ignore frequencies that are less certain"),
            (
                "waitsync [<max-tries> [<max-correction> [<max-skew> [<interval>]]]]",
                "Wait until synchronised",
            ),
        ],
    ),
    (
        "Time sources",
        &[
            ("sources [-a] [-v]", "List the sources"),
            ("sourcestats [-a] [-v]", "Show statistics of the sources"),
            ("selectdata [-a] [-v]", "Show how sources are selected"),
            ("selectopts <address|refid> <+|-options>", "Change selection options"),
            ("reselect", "Select anew"),
            ("reselectdist <dist>", "Set the distance that a new source must win by"),
            ("offset <address|refid> <offset>", "Set the correction of a source"),
        ],
    ),
    (
        "NTP sources",
        &[
            ("activity", "Count sources by state"),
            ("authdata [-a] [-v]", "Show authentication"),
            ("ntpdata [<address>]", "Show the last valid response"),
            ("add server <name> [options]", "Add a server"),
            ("add pool <name> [options]", "Add a pool of servers"),
            ("add peer <name> [options]", "Add a symmetric peer"),
            ("delete <address>", "Remove a source"),
            ("burst <n-good>/<n-max> [[<mask>/]<address>]", "Send quick requests"),
            ("maxdelay <address> <delay>", "Set the largest delay"),
            ("maxdelayratio <address> <ratio>", "Set the largest ratio of delays"),
            ("maxdelaydevratio <address> <ratio>", "Set the largest ratio of delay to deviation"),
            ("minpoll <address> <poll>", "Set the smallest poll interval"),
            ("maxpoll <address> <poll>", "Set the largest poll interval"),
            ("minstratum <address> <stratum>", "Set the smallest stratum"),
            ("offline [[<mask>/]<address>]", "Stop asking sources"),
            ("online [[<mask>/]<address>]", "Ask sources again"),
            ("onoffline", "Ask the sources that there is a route to"),
            ("polltarget <address> <target>", "Set the wanted number of samples"),
            ("refresh", "Resolve names again"),
            ("reload sources", "Read *.sources files again"),
            ("sourcename <address>", "Show the configured name"),
        ],
    ),
    (
        "Manual time input",
        &[
            ("manual off|on|reset", "Switch settime on or off, or forget its samples"),
            ("manual list", "List the times typed in"),
            ("manual delete <index>", "Forget one of them"),
            ("settime <time>", "Tell the daemon the time"),
        ],
    ),
    (
        "NTP access",
        &[
            ("accheck <address>", "Check whether an address may ask for time"),
            ("clients [-p <packets>] [-k] [-r]", "List clients"),
            ("serverstats", "Show the server's counters"),
            ("allow [<subnet>]", "Allow a subnet"),
            ("allow all [<subnet>]", "Allow a subnet and everything in it"),
            ("deny [<subnet>]", "Deny a subnet"),
            ("deny all [<subnet>]", "Deny a subnet and everything in it"),
            ("local [options]", "Serve our own clock when there is nothing better"),
            ("local off", "Do not"),
            ("smoothtime reset|activate", "Restart or begin smoothing of served time"),
            ("smoothing", "Show the state of smoothing"),
        ],
    ),
    (
        "Monitoring access",
        &[
            ("cmdaccheck <address>", "Check whether an address may send commands"),
            ("cmdallow [<subnet>]", "Allow a subnet"),
            ("cmdallow all [<subnet>]", "Allow a subnet and everything in it"),
            ("cmddeny [<subnet>]", "Deny a subnet"),
            ("cmddeny all [<subnet>]", "Deny a subnet and everything in it"),
        ],
    ),
    (
        "Real-time clock",
        &[
            ("rtcdata", "Show the RTC's parameters"),
            ("trimrtc", "Set the RTC"),
            ("writertc", "Save the RTC's parameters"),
        ],
    ),
    (
        "Other daemon commands",
        &[
            ("cyclelogs", "Close and open the log files"),
            ("dump", "Save the samples of all sources"),
            ("rekey", "Read the keys again"),
            ("reset sources", "Drop all samples"),
            ("shutdown", "End the daemon"),
        ],
    ),
    (
        "Client commands",
        &[
            ("dns -n|+n", "Show addresses or names"),
            ("dns -4|-6|-46", "Resolve names to IPv4, IPv6 or both"),
            ("timeout <milliseconds>", "Set the first wait for an answer"),
            ("retries <retries>", "Set how often a request is repeated"),
            ("keygen [<id> [<type> [<bits>]]]", "Make a key"),
            ("exit|quit", "Leave"),
            ("help", "Show this list"),
        ],
    ),
];

/// Column of the explanations.
const EXPLANATION: usize = 28;

/// The text of `help`.
pub(super) fn help() -> String {
    let mut text = String::new();
    for (at, (title, commands)) in HELP.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        text.push_str(&format!("{title}:\n"));
        for (syntax, meaning) in *commands {
            if syntax.len() >= EXPLANATION {
                text.push_str(&format!("{syntax}\n{:EXPLANATION$}{meaning}\n", ""));
            } else {
                text.push_str(&format!("{syntax:EXPLANATION$}{meaning}\n"));
            }
        }
    }
    text
}

/// Words that can follow what has been typed: command words, or the second words of those that have some.
pub(super) fn completions(line: &str) -> Vec<&'static str> {
    const SECOND: [(&str, &[&str]); 8] = [
        ("add", &["peer", "pool", "server"]),
        ("authdata", &["-a", "-v"]),
        ("manual", &["delete", "list", "off", "on", "reset"]),
        ("reload", &["sources"]),
        ("reset", &["sources"]),
        ("selectdata", &["-a", "-v"]),
        ("sources", &["-a", "-v"]),
        ("sourcestats", &["-a", "-v"]),
    ];
    let line = line.trim_start();
    let (candidates, typed): (Vec<&'static str>, &str) = match line.split_once(char::is_whitespace) {
        None => (words(), line),
        Some((first, rest)) => {
            let rest = rest.trim_start();
            if rest.contains(char::is_whitespace) {
                return Vec::new();
            }
            let second = SECOND.iter().find(|(word, _)| *word == first);
            (second.map(|(_, words)| words.to_vec()).unwrap_or_default(), rest)
        }
    };
    candidates.into_iter().filter(|word| word.starts_with(typed)).collect()
}

/// Every command word, sorted.
pub(super) fn words() -> Vec<&'static str> {
    let first = |syntax: &&(&'static str, &str)| syntax.0.split([' ', '|']).next().unwrap_or_default();
    let mut words: Vec<_> =
        HELP.iter().flat_map(|(_, commands)| commands.iter()).map(|c| first(&c)).collect();
    words.push("quit");
    words.sort_unstable();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_complete() {
        assert_eq!(completions("trac"), ["tracking"]);
        assert_eq!(completions("manual de"), ["delete"]);
        assert_eq!(completions("  sources "), ["-a", "-v"]);
        assert!(completions("tracking x").is_empty() && completions("manual list x").is_empty());
        assert_eq!(completions("").len(), words().len());
    }

    #[test]
    fn help_keeps_its_columns() {
        let text = help();
        assert!(text.starts_with("System clock:\ntracking                    Show"));
        assert!(text.lines().all(|line| line.len() <= 79), "{text}");
        assert!(!text.contains('\t'));
    }
}
