//! `mrulist`: the server's recently seen addresses, read page by page with a nonce (ntp-legacy 2.15).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::shell::{Answer, Shell, Trouble, Value};
use crate::client::mode6::Request;
use crate::client::mode6::decode::{self, Endpoint, visible};
use crate::report::{NtpqMru, NtpqMruEntry, NtpqReport};
use crate::types::NtpTimestamp;
use crate::wire::mode6::vars::variables;
use crate::wire::mode6::{AssocId, MAX_DATA, Opcode};

/// Most addresses that are kept.
const MAX_ENTRIES: usize = 250_000;
/// Most pages that are asked for.
const MAX_PAGES: usize = 20_000;
/// How often reading starts again after the server lost its place.
const MAX_RESTARTS: usize = 8;
/// Requests under one nonce.
const NONCE_USES: usize = 4;
/// Known addresses repeated in a request, so that the server finds its place.
const MAX_PRIOR: usize = 16;
/// Restriction bits of 4.2.8p15 (observed; p6 had 0x400 and 0x20).
const KOD: u64 = 0x800;
const LIMITED: u64 = 0x40;

/// An address with its counters.
#[derive(Debug, Clone, Copy)]
struct Entry {
    endpoint: Endpoint,
    last: NtpTimestamp,
    first: NtpTimestamp,
    count: u64,
    mode_version: u64,
    restrictions: u64,
}

/// What a page ended with.
#[derive(Default)]
struct Page {
    nonce: Option<String>,
    entries: Vec<Entry>,
    now: Option<NtpTimestamp>,
}

/// The order of the rows; descending when `reverse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Last,
    Average,
    Address,
    Count,
}

impl Shell<'_> {
    pub(super) fn mrulist(&mut self, values: &[Value]) -> Answer {
        // without a handler Ctrl-C would end the program instead
        let _ = crate::sys::signal::catch(&[nix::sys::signal::Signal::SIGINT]);
        writeln!(self.io.err, "Ctrl-C will stop MRU retrieval and display partial results.");
        let (filter, sort, reverse) = self.mru_options(values);
        let mut list = BTreeMap::new();
        let mut updates = 0;
        let outcome = self.read_mru(&filter, &mut list, &mut updates);
        while crate::sys::signal::take().is_some() {}
        let (now, trouble) = match outcome {
            Ok(now) => (Some(now), None),
            Err(trouble) => (None, Some(trouble)),
        };
        if trouble.as_ref().is_some_and(|t| t.code != "interrupted") && list.is_empty() {
            return Answer { trouble, ..Answer::default() };
        }
        writeln!(self.io.err, "\rRetrieved {} unique MRU entries and {updates} updates.", list.len());
        let newest = list.values().map(|e: &Entry| e.last.to_bits()).max().unwrap_or(0);
        let now = now.unwrap_or(NtpTimestamp::from_bits(newest));
        let mut entries: Vec<NtpqMruEntry> = sorted(list.into_values().collect(), now, sort, reverse);
        self.name_entries(&mut entries);
        let mut text = format!("lstint avgint rstr r m v  count rport remote address\n{}\n", "=".repeat(78));
        entries.iter().for_each(|entry| text.push_str(&row(entry)));
        let report = NtpqMru { host: self.host_name(), complete: trouble.is_none(), entries };
        let trouble = trouble.filter(|t| t.code != "interrupted");
        Answer { text, report: Some((super::MRU.name, NtpqReport::Mru(report))), trouble }
    }

    /// What goes into each request, and the order of the rows.
    fn mru_options(&mut self, values: &[Value]) -> (String, Sort, bool) {
        let (mut filter, mut sort, mut reverse) = (String::new(), Sort::Last, false);
        for value in values {
            let Value::Text(word) = value else { continue };
            match word.split_once('=') {
                Some(("mincount" | "resall" | "resany" | "maxlstint" | "laddr", _)) => {
                    filter.push_str(&format!(", {word}"));
                }
                Some(("sort", order)) => {
                    let (name, descending) =
                        order.strip_prefix('-').map_or((order, false), |name| (name, true));
                    let known = match name {
                        "lstint" => Some(Sort::Last),
                        "avgint" => Some(Sort::Average),
                        "addr" => Some(Sort::Address),
                        "count" => Some(Sort::Count),
                        _ => None,
                    };
                    if let Some(known) = known {
                        (sort, reverse) = (known, descending);
                    }
                }
                None if word == "limited" => filter.push_str(&format!(", resany={LIMITED:#x}")),
                None if word == "kod" => filter.push_str(&format!(", resany={KOD:#x}")),
                _ => writeln!(
                    self.io.err,
                    "ignoring unrecognized mrulist parameter: {}",
                    visible(word.as_bytes())
                ),
            }
        }
        (filter, sort, reverse)
    }

    /// Reads pages until the server says that the list is at its end; its clock then.
    fn read_mru(
        &mut self,
        filter: &str,
        list: &mut BTreeMap<(IpAddr, u32), Entry>,
        updates: &mut usize,
    ) -> Result<NtpTimestamp, Trouble> {
        let mut nonce = self.mru_nonce()?;
        let (mut uses, mut restarts) = (0, 0);
        let mut newest: Vec<Entry> = Vec::new();
        for _ in 0..MAX_PAGES {
            if uses >= NONCE_USES {
                nonce = self.mru_nonce()?;
                uses = 0;
            }
            uses += 1;
            let data = request(&nonce, filter, &newest);
            let reply = match self.ask(Request::new(Opcode::ReadMru, AssocId::SYSTEM, data)) {
                Ok(reply) => reply,
                // none of the addresses is where it was: go back, in the end to the beginning
                Err(trouble) if trouble.code == "unknown-variable" && restarts < MAX_RESTARTS => {
                    restarts += 1;
                    newest.clear();
                    continue;
                }
                Err(trouble) => return Err(trouble),
            };
            let page = parse(&reply.data);
            if let Some(fresh) = page.nonce {
                (nonce, uses) = (fresh, 0);
            }
            if page.entries.is_empty() && page.now.is_none() {
                let line = self.prefixed("***Server's reply holds no entries");
                return Err(Trouble::new("bad-reply", line));
            }
            for entry in page.entries {
                let key = (entry.endpoint.ip, entry.endpoint.scope);
                if list.insert(key, entry).is_some() {
                    *updates += 1;
                }
                newest.retain(|known| (known.endpoint.ip, known.endpoint.scope) != key);
                newest.push(entry);
            }
            let surplus = newest.len().saturating_sub(MAX_PRIOR);
            newest.drain(..surplus);
            if let Some(now) = page.now {
                return Ok(now);
            }
            if list.len() > MAX_ENTRIES {
                break;
            }
        }
        Err(Trouble::new("too-much-data", self.prefixed("***Buffer size exceeded for returned data")))
    }

    fn mru_nonce(&mut self) -> Result<String, Trouble> {
        let asked = self.ask(Request::new(Opcode::RequestNonce, AssocId::SYSTEM, *b""));
        let nonce = asked.and_then(|reply| {
            parse(&reply.data)
                .nonce
                .ok_or_else(|| Trouble::new("bad-reply", self.prefixed("***Server's reply holds no nonce")))
        });
        // the original says what it wanted behind why it did not get it
        nonce
            .map_err(|trouble| Trouble { line: format!("{}\nnonce request failed", trouble.line), ..trouble })
    }

    fn name_entries(&self, entries: &mut [NtpqMruEntry]) {
        if !self.set.names {
            return;
        }
        // the look-ups of one list share two seconds; beyond a screenful of pages numbers do
        let addresses: Vec<IpAddr> = entries
            .iter()
            .take(256)
            .filter_map(|e| decode::endpoint(e.address.as_bytes()))
            .map(|e| e.ip)
            .collect();
        for (entry, name) in entries.iter_mut().zip(super::query::names_of(&addresses)) {
            if let Some(name) = name {
                entry.remote = name;
            }
        }
    }
}

/// The data of a READ_MRU request: known addresses newest first, as many as fit.
fn request(nonce: &str, filter: &str, newest: &[Entry]) -> String {
    let mut data = format!("nonce={nonce}, frags=32{filter}");
    for (number, entry) in newest.iter().rev().enumerate() {
        let Endpoint { ip, port, .. } = entry.endpoint;
        let address = match ip {
            IpAddr::V4(_) => format!("{}:{port}", entry.endpoint.address()),
            IpAddr::V6(_) => format!("[{}]:{port}", entry.endpoint.address()),
        };
        let item = format!(
            ", addr.{number}={address}, last.{number}=0x{:08x}.{:08x}",
            entry.last.seconds(),
            entry.last.fraction()
        );
        if data.len() + item.len() > MAX_DATA {
            break;
        }
        data.push_str(&item);
    }
    data
}

fn parse(data: &[u8]) -> Page {
    let mut page = Page::default();
    let mut rows: BTreeMap<u32, [Option<Vec<u8>>; 6]> = BTreeMap::new();
    for variable in variables(data) {
        let value = variable.unquoted();
        let Ok(name) = std::str::from_utf8(variable.name) else { continue };
        match (name, name.rsplit_once('.')) {
            ("nonce", _) => page.nonce = Some(visible(value)).filter(|n| n.len() <= 64 && !n.is_empty()),
            ("now", _) => page.now = decode::timestamp(value),
            (_, Some((tag, index))) => {
                let slot = ["addr", "last", "first", "ct", "mv", "rs"].iter().position(|known| *known == tag);
                let (Some(slot), Ok(index)) = (slot, index.parse::<u32>()) else { continue };
                if let Some(cell) = rows.entry(index).or_default().get_mut(slot) {
                    *cell = Some(value.to_vec());
                }
            }
            _ => {}
        }
    }
    page.entries = rows.into_values().filter_map(entry).collect();
    page
}

fn entry(cells: [Option<Vec<u8>>; 6]) -> Option<Entry> {
    let [address, last, first, count, mode_version, restrictions] = cells;
    let number = |cell: Option<Vec<u8>>| cell.and_then(|v| decode::unsigned(&v));
    let last = decode::timestamp(&last?)?;
    Some(Entry {
        endpoint: decode::endpoint(&address?)?,
        last,
        first: first.and_then(|v| decode::timestamp(&v)).unwrap_or(last),
        count: number(count)?,
        mode_version: number(mode_version).unwrap_or(0),
        restrictions: number(restrictions).unwrap_or(0),
    })
}

fn sorted(entries: Vec<Entry>, now: NtpTimestamp, sort: Sort, reverse: bool) -> Vec<NtpqMruEntry> {
    let mut rows: Vec<(Entry, NtpqMruEntry)> = entries.into_iter().map(|e| (e, facts(&e, now))).collect();
    // rows that are equal keep the order of their addresses
    match sort {
        Sort::Last => rows.sort_by_key(|(e, _)| now.wrapping_since(e.last)),
        Sort::Average => rows.sort_by_key(|(_, row)| row.average_interval_s),
        Sort::Address => rows.sort_by_key(|(e, _)| (e.endpoint.ip, e.endpoint.scope)),
        Sort::Count => rows.sort_by_key(|(e, _)| e.count),
    }
    if reverse {
        rows.reverse();
    }
    rows.into_iter().map(|(_, row)| row).collect()
}

fn facts(entry: &Entry, now: NtpTimestamp) -> NtpqMruEntry {
    // to the nearest second, as the original prints them
    let whole = |nanos: i64| (nanos.saturating_add(500_000_000)).div_euclid(1_000_000_000);
    let span = entry.last.wrapping_since(entry.first).as_nanos().max(0);
    let count = i64::try_from(entry.count).unwrap_or(i64::MAX);
    let average = whole(span / count.max(1));
    let address = entry.endpoint.address();
    NtpqMruEntry {
        remote: address.clone(),
        address,
        port: entry.endpoint.port,
        last_age_s: whole(now.wrapping_since(entry.last).as_nanos()),
        average_interval_s: average,
        count: entry.count,
        mode: u8::try_from(entry.mode_version & 7).unwrap_or(0),
        version: u8::try_from(entry.mode_version >> 3 & 7).unwrap_or(0),
        restrictions: format!("{:x}", entry.restrictions & 0xffff),
        kod: entry.restrictions & KOD != 0,
        limited: entry.restrictions & LIMITED != 0,
    }
}

fn row(entry: &NtpqMruEntry) -> String {
    let mark = match (entry.kod, entry.limited) {
        (true, _) => 'K',
        (false, true) => 'L',
        (false, false) => '.',
    };
    format!(
        "{:>6} {:>6} {:>4} {mark} {} {} {:>6} {:>5} {}\n",
        entry.last_age_s,
        entry.average_interval_s,
        entry.restrictions,
        entry.mode,
        entry.version,
        entry.count,
        entry.port,
        entry.remote
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{TimeDelta, Timestamp};

    #[test]
    fn ages_and_intervals_are_rounded_as_the_original_rounds_them() {
        // observed with ntpq 4.2.8p15 for now = 0.25 s: (last, first, count) → lstint, avgint
        let at = |secs: f64| NtpTimestamp::from_timestamp(Timestamp::from_unix(1_000_000, 0) + delta(secs));
        for (last, first, count, age, average) in [
            (-0.3, -10.0, 4, 1, 2),
            (-0.6, -10.9, 4, 1, 3),
            (-5.45, -100.5, 10, 6, 10),
            (-5.5, -100.0, 3, 6, 32),
            (-7.1, -9.6, 1, 7, 3),
            (-8.49, -12.99, 9, 9, 1),
        ] {
            let endpoint = decode::endpoint(b"10.0.0.1:123").unwrap();
            let entry = Entry {
                endpoint,
                last: at(last),
                first: at(first),
                count,
                mode_version: 0x24,
                restrictions: KOD,
            };
            let row = facts(&entry, at(0.25));
            assert_eq!((row.last_age_s, row.average_interval_s), (age, average), "{last} {first} {count}");
            assert_eq!((row.mode, row.version, row.kod, row.limited), (4, 4, true, false));
        }
    }

    fn delta(secs: f64) -> TimeDelta {
        TimeDelta::from_secs_f64(secs).unwrap()
    }
}
