//! How two readers of ntpq and ntpdate parse, from the facts of consumers.md: telegraf's plugin and check_ntp.pl.

use std::collections::BTreeMap;

/// A row that telegraf's ntpq plugin takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Taken {
    /// The first character, when it is one of `*#o+x.-`.
    pub(crate) state: Option<char>,
    /// The first column without it.
    pub(crate) remote: String,
    /// The other columns by the header's names; `when` and `poll` in seconds, left out for `-`.
    pub(crate) columns: BTreeMap<String, String>,
}

impl Taken {
    /// A column as a number.
    #[track_caller]
    pub(crate) fn number(&self, column: &str) -> f64 {
        let text = self.columns.get(column).unwrap_or_else(|| panic!("no {column} in {self:?}"));
        text.parse().unwrap_or_else(|_| panic!("{column} is no number in {self:?}"))
    }
}

/// `when` or `poll` in seconds.
fn seconds(text: &str) -> Option<String> {
    let unit = |unit: i64, digits: &str| digits.parse::<i64>().ok().map(|n| (n * unit).to_string());
    match text.chars().next_back()? {
        'm' => unit(60, text.strip_suffix('m')?),
        'h' => unit(3600, text.strip_suffix('h')?),
        'd' => unit(86_400, text.strip_suffix('d')?),
        _ => unit(1, text),
    }
}

/// The rows of `ntpq -p`: columns by the names of the header, ten fields or nothing.
pub(crate) fn telegraf(out: &str) -> Vec<Taken> {
    let mut header: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for line in out.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if header.is_empty() {
            if fields.first() == Some(&"remote") {
                header = fields.iter().map(|&name| name.to_owned()).collect();
            }
            continue;
        }
        let &[first, ..] = fields.as_slice() else { continue };
        if fields.len() != 10 {
            continue;
        }
        let state = first.chars().next().filter(|c| "*#o+x.-".contains(*c));
        let remote = first.get(state.map_or(0, char::len_utf8)..).unwrap_or_default().to_owned();
        let mut columns = BTreeMap::new();
        for (name, text) in header.iter().zip(&fields).skip(1) {
            let value = if matches!(name.as_str(), "when" | "poll") {
                seconds(text)
            } else {
                Some((*text).to_owned())
            };
            columns.extend(value.map(|value| (name.clone(), value)));
        }
        rows.push(Taken { state, remote, columns });
    }
    rows
}

/// What check_ntp.pl makes of `ntpdate -q H 2>&1` and `ntpq -np H 2>&1`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judged {
    /// The last number behind `offset` or `adjust`, s.
    pub(crate) offset: Option<f64>,
    /// Whether a line has stratum 16.
    pub(crate) stratum_16: bool,
    /// The last of the eleven groups of the system peer's row, ms.
    pub(crate) jitter: Option<f64>,
    /// Rows that have eleven groups.
    pub(crate) rows: usize,
    /// Whether it ends in an error.
    pub(crate) error: bool,
}

/// The longest beginning that is a number: `[-.\d]+`.
fn leading_number(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '-' && c != '.').unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// The number behind a word and blanks, the last one of the line.
fn behind(line: &str, word: &str) -> Option<(usize, f64)> {
    let places = line.match_indices(word).filter_map(|(at, _)| {
        let rest = line.get(at + word.len()..)?;
        let trimmed = rest.trim_start();
        (trimmed.len() < rest.len()).then(|| leading_number(trimmed)).flatten().map(|number| (at, number))
    });
    places.last()
}

/// A row of eleven groups: the sign, ten columns.
fn groups(line: &str) -> Option<Vec<&str>> {
    let sign = line.get(..1).filter(|sign| " *#o+x.-".contains(sign))?;
    let columns: Vec<&str> = line.get(1..)?.split_whitespace().collect();
    let &[_, _, stratum, kind, _, _, reach, delay, offset, jitter] = columns.as_slice() else { return None };
    let integer = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| text.contains('.') && text.parse::<f64>().is_ok();
    let fits = integer(stratum) && kind.len() == 1 && integer(reach);
    (fits && number(delay) && number(offset) && number(jitter))
        .then(|| std::iter::once(sign).chain(columns).collect())
}

/// Both outputs, and the exit code of ntpdate.
pub(crate) fn check_ntp(ntpdate: (&str, Option<i32>), ntpq: &str) -> Judged {
    let last = |line: &str| {
        let both = [behind(line, "offset"), behind(line, "adjust")];
        both.into_iter().flatten().max_by_key(|(at, _)| *at).map(|(_, number)| number)
    };
    let rows: Vec<_> = ntpq.lines().filter_map(groups).collect();
    let peer = rows.iter().find(|row| row.first() == Some(&"*"));
    let stratum_16 =
        ntpdate.0.lines().any(|line| behind(line, "stratum").is_some_and(|(_, n)| (n - 16.0).abs() < 0.5));
    Judged {
        offset: ntpdate.0.lines().filter_map(last).next_back(),
        stratum_16,
        jitter: peer.and_then(|row| row.last()?.parse().ok()),
        rows: rows.len(),
        error: stratum_16 || ntpdate.1 != Some(0),
    }
}
