//! The commands that ask the server: peers, associations, variables.

use std::net::IpAddr;

use super::cook::{self, Kitchen};
use super::render::{self, Table};
use super::shell::{Answer, Shell, Trouble, Value};
use crate::client::mode6::catalogue::{self, Subject, status_words};
use crate::client::mode6::peers::{PeerRow, association_row, is_shown, peer_row};
use crate::client::mode6::{QueryError, Reply, Request};
use crate::report::{NtpqAssociations, NtpqPeer, NtpqPeers, NtpqReport, NtpqVariableSets};
use crate::sys::dns::{self, Looked};
use crate::sys::net::Family;
use crate::sys::{clock, zone};
use crate::wire::mode6::{AssocId, Opcode, parse_associations};

/// Which associations a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Configured or reachable.
    Known,
    /// Clients too.
    All,
}

impl Shell<'_> {
    /// Reads the list of associations and keeps it, by identifier.
    pub(super) fn fetch_associations(&mut self) -> Result<(), Trouble> {
        let reply = self.ask(Request::new(Opcode::ReadStatus, AssocId::SYSTEM, *b""))?;
        let mut list = parse_associations(&reply.data).map_err(|got| {
            let line = format!("***Server returned {got} octets, should be multiple of 4");
            Trouble::new("bad-reply", self.prefixed(&line))
        })?;
        list.sort_by_key(|(id, _)| *id);
        self.associations = list;
        Ok(())
    }

    fn none_returned(&self) -> Answer {
        Answer::text("No association ID's returned\n")
    }

    /// `peers`, `opeers`, `apeers` and their `l` forms.
    pub(super) fn peers(&mut self, table: Table, which: Which, values: &[Value]) -> Answer {
        // the original's `peers`, and only that, has the columns of `apeers` where reference identifiers are hashes
        let hashed = self.set.refid_hash && table == Table::Peers && which == Which::Known;
        let table = if hashed { Table::Apeers } else { table };
        if let Err(trouble) = self.fetch_associations() {
            return trouble.into();
        }
        if self.associations.is_empty() {
            let report = NtpqPeers { host: self.host_name(), peers: Vec::new() };
            return Answer {
                report: Some((super::PEERS.name, NtpqReport::Peers(report))),
                ..self.none_returned()
            };
        }
        let family = values.iter().find_map(|v| if let Value::Family(f) = v { Some(*f) } else { None });
        let shown = |&&(_, status): &&(AssocId, u16)| which == Which::All || is_shown(status);
        let wanted: Vec<AssocId> = self.associations.iter().filter(shown).map(|(id, _)| *id).collect();
        let requests = wanted.iter().map(|id| Request::new(Opcode::ReadVariables, *id, *b"")).collect();
        let now = clock::now();
        let mut rows: Vec<Option<Result<PeerRow, QueryError>>> = wanted.iter().map(|_| None).collect();
        let mut silent = Vec::new();
        let asked = self.ask_each(requests, |place, answer| {
            let Some(id) = wanted.get(place) else { return };
            let row = answer.map(|reply| {
                if reply.data.is_empty() {
                    silent.push(*id);
                }
                peer_row(*id, reply.status, &reply.data, now)
            });
            if let Some(slot) = rows.get_mut(place) {
                *slot = Some(row);
            }
        });
        if let Err(trouble) = asked {
            return trouble.into();
        }
        let mut trouble = None;
        let mut found = Vec::new();
        for (id, row) in wanted.iter().zip(rows) {
            match row {
                _ if silent.contains(id) => {
                    let line = format!("***No information returned for association {id}");
                    trouble = Some(Trouble::new("no-information", self.prefixed(&line)));
                }
                Some(Ok(row)) if family.is_none_or(|f| f == Family::of(row.source)) => found.push(row),
                Some(Ok(_)) => {}
                Some(Err(error)) => trouble = Some(self.trouble(&error, *id)),
                None => trouble = Some(self.trouble(&QueryError::TimedOut, *id)),
            }
            if trouble.is_some() {
                break;
            }
        }
        self.name_rows(table, &mut found);
        let peers: Vec<_> = found.into_iter().map(|row| row.peer).collect();
        let text = self.peers_text(table, &peers);
        let report = NtpqReport::Peers(NtpqPeers { host: self.host_name(), peers });
        Answer { text, report: Some((super::PEERS.name, report)), trouble }
    }

    fn peers_text(&self, table: Table, peers: &[NtpqPeer]) -> String {
        let layout = self.set.layout;
        // with several hosts a first column says through which local address the source is seen
        let Some(width) = self.set.host_column else {
            let rows: String = peers.iter().map(|peer| render::peer_row(table, layout, peer)).collect();
            return render::peers_header(table, layout) + &rows;
        };
        // except in `opeers`, which shows that address anyway: there it is the server
        let header = render::peers_header(table, layout);
        let (head, rule) = header.split_once('\n').unwrap_or_default();
        let title = if table == Table::Opeers { "server" } else { "server (local)" };
        let mut text = format!("{title:<width$.width$} {head}\n{}={rule}", "=".repeat(width));
        for (peer, local) in peers.iter().zip(self.local_names(table, peers)) {
            let local = if self.set.names { local } else { render::cut_left(&local, width) };
            text.push_str(&format!("{local:<width$.width$} {}", render::peer_row(table, layout, peer)));
        }
        text
    }

    /// The first column of several hosts.
    fn local_names(&self, table: Table, peers: &[NtpqPeer]) -> Vec<String> {
        if table == Table::Opeers {
            return peers.iter().map(|_| self.host_name()).collect();
        }
        let numbers = || peers.iter().map(|peer| peer.local_address.clone().unwrap_or_default());
        if !self.set.names {
            return numbers().collect();
        }
        let mut addresses: Vec<IpAddr> = numbers().filter_map(|text| text.parse().ok()).collect();
        addresses.sort();
        addresses.dedup();
        addresses.retain(|address| !address.is_unspecified());
        let names = names_of(&addresses);
        let name = |number: String| {
            let place = addresses.iter().position(|address| address.to_string() == number);
            place.and_then(|at| names.get(at)?.clone()).unwrap_or(number)
        };
        numbers().map(name).collect()
    }

    /// Puts names into the column `remote`: the server's own, a driver's, or those of reverse look-ups, all in parallel.
    fn name_rows(&self, table: Table, rows: &mut [PeerRow]) {
        let own_name = |row: &PeerRow| {
            let server_knows = table != Table::Opeers && (self.set.names || row.source.is_unspecified());
            row.srchost.clone().filter(|_| server_knows)
        };
        let driver = |row: &PeerRow| {
            let (driver, unit) = crate::client::mode6::decode::refclock(row.source)?;
            self.set.names.then(|| render::refclock_text(driver, unit))
        };
        let mut unnamed = Vec::new();
        for (place, row) in rows.iter_mut().enumerate() {
            match own_name(row).or_else(|| driver(row)) {
                Some(name) => row.peer.remote = name,
                None if self.set.names && !row.source.is_unspecified() => unnamed.push((place, row.source)),
                None => {}
            }
        }
        let addresses: Vec<IpAddr> = unnamed.iter().map(|(_, address)| *address).collect();
        for ((place, _), name) in unnamed.iter().zip(names_of(&addresses)) {
            if let (Some(row), Some(name)) = (rows.get_mut(*place), name) {
                row.peer.remote = name;
            }
        }
    }

    /// `associations` and `passociations`; `fetch` for the first.
    pub(super) fn associations(&mut self, which: Which, fetch: bool) -> Answer {
        if fetch && let Err(trouble) = self.fetch_associations() {
            return trouble.into();
        }
        let rows = self.associations.iter().enumerate();
        let rows = rows.filter(|(_, (_, status))| which == Which::All || is_shown(*status));
        let associations = rows.map(|(at, (id, status))| association_row(at + 1, *id, *status)).collect();
        let list = NtpqAssociations { host: self.host_name(), associations };
        let text = match (self.associations.is_empty(), fetch) {
            (true, true) => "No association ID's returned\n".to_owned(),
            (true, false) => "No association ID's in list\n".to_owned(),
            (false, _) => render::associations(&list, self.set.old),
        };
        Answer {
            text,
            report: Some((super::ASSOCIATIONS.name, NtpqReport::Associations(list))),
            trouble: None,
        }
    }

    /// `readvar`, `clockvar`, `readlist`, `clocklist`: one subject.
    pub(super) fn read(&mut self, opcode: Opcode, association: AssocId, names: &str) -> Answer {
        let request = Request::new(opcode, association, names.as_bytes());
        match self.ask(request) {
            Err(trouble) => trouble.into(),
            Ok(reply) => {
                let (text, report) = self.variables(opcode, association, &reply, !names.is_empty());
                Answer {
                    text,
                    report: Some((super::VARIABLES.name, NtpqReport::Variables(report))),
                    trouble: None,
                }
            }
        }
    }

    /// `mreadvar`, `mreadlist`: a range of the last list of associations.
    pub(super) fn read_range(&mut self, values: &[Value], names: &str) -> Answer {
        let (from, to) = match self.range(values) {
            Ok(range) => range,
            Err(trouble) => return trouble.into(),
        };
        let wanted: Vec<AssocId> =
            self.associations.get(from..=to).unwrap_or_default().iter().map(|(id, _)| *id).collect();
        let requests =
            wanted.iter().map(|id| Request::new(Opcode::ReadVariables, *id, names.as_bytes())).collect();
        let mut replies: Vec<Option<Result<Reply, QueryError>>> = wanted.iter().map(|_| None).collect();
        let asked = self.ask_each(requests, |place, answer| {
            if let Some(slot) = replies.get_mut(place) {
                *slot = Some(answer);
            }
        });
        if let Err(trouble) = asked {
            return trouble.into();
        }
        let (mut text, mut associations, mut trouble) = (String::new(), Vec::new(), None);
        for (id, reply) in wanted.into_iter().zip(replies) {
            match reply.unwrap_or(Err(QueryError::TimedOut)) {
                Ok(reply) => {
                    if self.set.old && !associations.is_empty() {
                        text.push('\n');
                    }
                    let (body, report) = self.variables(Opcode::ReadVariables, id, &reply, !names.is_empty());
                    text.push_str(&body);
                    associations.push(report);
                }
                Err(error) => {
                    trouble = Some(self.trouble(&error, id));
                    break;
                }
            }
        }
        let report = NtpqReport::VariableSets(NtpqVariableSets { associations });
        Answer { text, report: Some((super::VARIABLE_SETS.name, report)), trouble }
    }

    /// The places in the list of two identifiers, in order.
    fn range(&mut self, values: &[Value]) -> Result<(usize, usize), Trouble> {
        if !self.set.old && values.iter().take(2).any(|value| matches!(value, Value::Number(0))) {
            return Err(no_association());
        }
        if self.associations.is_empty() {
            self.fetch_associations()?;
        }
        let place = |value: Option<&Value>| {
            let Some(Value::Number(id)) = value else { return Err(Trouble::new("usage", "")) };
            let found = self.associations.iter().position(|(known, _)| u64::from(known.get()) == *id);
            found.ok_or_else(|| {
                Trouble::new("unknown-association", format!("***Association ID {id} not found in list"))
            })
        };
        let (a, b) = (place(values.first())?, place(values.get(1))?);
        Ok((a.min(b), a.max(b)))
    }

    pub(super) fn variables(
        &mut self,
        opcode: Opcode,
        association: AssocId,
        reply: &Reply,
        named: bool,
    ) -> (String, crate::report::NtpqVariables) {
        let subject = match (opcode, association) {
            (Opcode::ReadClock, _) => Subject::Clock,
            (_, AssocId::SYSTEM) => Subject::System,
            _ => Subject::Peer,
        };
        let mut status = status_words(subject, reply.status);
        if self.set.old {
            old_words(subject, &mut status.words);
        }
        let now = clock::now();
        let report = catalogue::report(&self.host_name(), association, status.clone(), &reply.data, now);
        let server = if self.set.several { format!("server={} ", self.host_name()) } else { String::new() };
        if reply.data.is_empty() {
            let text = match association {
                AssocId::SYSTEM => format!("{server}No system variables returned\n"),
                id => format!("{server}No information returned for association {id}\n"),
            };
            return (text, report);
        }
        let header = match (named && !self.set.old_rv, self.set.raw) {
            (true, _) => String::new(),
            (false, true) => format!("associd={association} status=0x{},\n", status.hex),
            (false, false) => {
                format!("associd={association} status={} {},\n", status.hex, status.words.join(", "))
            }
        };
        let body = if self.set.raw { cook::raw(&reply.data) } else { self.cook(subject, &reply.data) };
        (format!("{server}{header}{body}"), report)
    }

    fn cook(&self, subject: Subject, data: &[u8]) -> String {
        let names = self.set.names;
        // a list that repeats addresses does not multiply the look-ups
        let left = std::cell::Cell::new(2_u8);
        let name_of = |address: IpAddr| {
            if !names || address.is_unspecified() || left.get() == 0 {
                return None;
            }
            if let Some((driver, unit)) = crate::client::mode6::decode::refclock(address) {
                return Some(render::refclock_text(driver, unit));
            }
            left.set(left.get() - 1);
            names_of(&[address]).into_iter().next().flatten()
        };
        let kitchen = Kitchen {
            pivot: clock::now(),
            utc_offset: zone::utc_offset_at,
            old: self.set.old,
            clock: subject == Subject::Clock,
            name_of: &name_of,
        };
        cook::cooked(&kitchen, data)
    }
}

/// 4.2.6's spelling of status words.
fn old_words(subject: Subject, words: &mut Vec<String>) {
    match subject {
        Subject::Clock => words.insert(0, String::new()),
        Subject::Peer => {
            for word in words.iter_mut().filter(|word| *word == "sel_outlier") {
                *word = "sel_outlyer".to_owned();
            }
        }
        Subject::System => {}
    }
}

/// The names of addresses: all looked up in parallel, two seconds together; `None` where there is none.
pub(super) fn names_of(addresses: &[IpAddr]) -> Vec<Option<String>> {
    if addresses.is_empty() {
        return Vec::new();
    }
    match dns::names_of(addresses, dns::deadline_in(dns::REVERSE_TIMEOUT)) {
        Ok(Looked::Done(names)) => names.into_iter().map(Result::ok).collect(),
        Ok(Looked::Signal) | Err(_) => addresses.iter().map(|_| None).collect(),
    }
}

/// Where an association is asked for, the system is none.
pub(super) fn no_association() -> Trouble {
    Trouble::new("unknown-association", "***Invalid association ID 0 specified")
}

/// The association of an optional first argument.
pub(super) fn association(values: &[Value]) -> Result<AssocId, Trouble> {
    match values.first() {
        Some(Value::Number(id)) => u16::try_from(*id).map(AssocId::new).map_err(|_| {
            Trouble::new("unknown-association", format!("***Invalid association ID {id} specified"))
        }),
        _ => Ok(AssocId::SYSTEM),
    }
}

/// The names after the first `skip` arguments, as the request wants them.
pub(super) fn names(values: &[Value], skip: usize) -> String {
    let texts =
        values.iter().skip(skip).filter_map(|v| if let Value::Text(t) = v { Some(t.as_str()) } else { None });
    texts.collect::<Vec<_>>().join(",")
}
