//! Carries commands out: asks, names, prints.

use super::commands::{help, schema_of};
use super::keygen::{self, KeySpec};
use super::parse::{ClientsOptions, ListOptions, Meaning, WaitSync};
use super::render::{self, Service, Table};
use super::session::{Named, Session, interrupted, source_name};
use super::status::{Problem, UNREACHABLE};
use crate::client::cmdmon::{self as client, LOCAL_REFID, RowNames};
use crate::report::chronyc::{
    ChronyAuthData, ChronyClients, ChronyKey, ChronyManualList, ChronyNtpData, ChronySelectData,
    ChronySourceName, ChronySourceStats, ChronySources, ChronyWaitSync,
};
use crate::report::{Level, Message};
use crate::sys::{clock, random, wait::wait};
use crate::types::{Secs, TimeDelta};
use crate::wire::cmdmon::{
    AuthData, ClientAccess, ClientsQuery, ClientsQuery2, Ip, Reply, Request, SelectData, SourceData,
    SourceStats, Status, Timespec, Tracking,
};

/// Rows that are fetched, named and printed in one go.
const CHUNK: u32 = 256;
/// Rows that one JSON object holds at most: nobody has as many, but a daemon may claim to.
const MOST_JSON_ROWS: usize = 100_000;
/// Records of clients in one reply.
const CLIENTS_A_REPLY: u32 = 8;
/// Slots of the table of clients in one of the stretches that are walked at once.
const STRETCH: u32 = 512;

/// A list of sources: how a row is asked for, taken, named, shown and reported.
struct List<T, R> {
    request: fn(u32) -> Request,
    take: fn(Reply) -> Option<T>,
    named: fn(&T) -> Named,
    show: fn(&T, &str, render::Style) -> String,
    report: fn(u32, &T, RowNames) -> R,
}

impl Session<'_> {
    /// Carries a command out, again and again under `--watch` when it is a report.
    pub(super) fn perform(&mut self, meaning: Meaning) -> Result<(), Problem> {
        let repeats = !matches!(
            meaning,
            Meaning::Control(_)
                | Meaning::Settime(_)
                | Meaning::Set(_)
                | Meaning::Keygen(_)
                | Meaning::Help
                | Meaning::WaitSync(_)
        );
        let Some(seconds) = self.settings.watch.filter(|_| repeats) else {
            return self.perform_once(meaning);
        };
        loop {
            let start = clock::mono();
            self.perform_once(meaning.clone())?;
            self.io.out.flush();
            if self.io.out.is_broken() {
                return Err(Problem::Quiet);
            }
            let next = start + TimeDelta::from_secs_f64(seconds).unwrap_or(TimeDelta::MAX);
            while clock::mono() < next {
                if interrupted() {
                    return Err(Problem::Interrupted);
                }
                wait(&[], Some(next)).map_err(|_| Problem::Quiet)?;
            }
            if self.settings.json.is_none() && !self.settings.style.csv {
                writeln!(self.io.out);
            }
        }
    }

    fn perform_once(&mut self, meaning: Meaning) -> Result<(), Problem> {
        match meaning {
            Meaning::Nothing | Meaning::Quit => {}
            Meaning::Help => self.text(&help()),
            Meaning::Keygen(spec) => self.keygen(&spec)?,
            Meaning::NoAuthentication => {
                writeln!(self.io.err, "Authentication is no longer supported");
                self.done();
            }
            Meaning::Set(setting) => self.set(setting),
            Meaning::Control(request) => self.control(request)?,
            Meaning::Settime(time) => self.settime(time)?,
            Meaning::Activity => self.activity()?,
            Meaning::AuthData(options) => self.auth_data(options)?,
            Meaning::Clients(options) => self.clients(options)?,
            Meaning::ManualList => self.manual_list()?,
            Meaning::NtpData(address) => self.ntp_data(address)?,
            Meaning::RtcData => self.rtc_data()?,
            Meaning::SelectData(options) => self.select_data(options)?,
            Meaning::ServerStats => self.server_stats()?,
            Meaning::Smoothing => self.smoothing()?,
            Meaning::SourceName(address) => self.source_name(address)?,
            Meaning::Sources(options) => self.sources(options)?,
            Meaning::SourceStats(options) => self.source_stats(options)?,
            Meaning::Tracking => self.tracking()?,
            Meaning::WaitSync(spec) => self.wait_sync(spec)?,
        }
        Ok(())
    }

    /// Prints text, but not beside JSON.
    fn text(&mut self, text: &str) {
        if self.settings.json.is_none() {
            write!(self.io.out, "{text}");
        } else {
            self.done();
        }
    }

    fn is_json(&self) -> bool {
        self.settings.json.is_some()
    }

    fn tracking(&mut self) -> Result<(), Problem> {
        let t = self.fetch_tracking()?;
        let named = if t.address == Ip::Unspec { Named::Clock(t.ref_id) } else { Named::At(t.address) };
        if self.is_json() {
            let name = self.configured_names(&[named])?.pop().flatten().filter(|name| !name.is_empty());
            let daemon = self.caller.address().map(ToString::to_string).unwrap_or_default();
            self.answer(schema_of("tracking"), &client::tracking(&t, daemon, name));
            return Ok(());
        }
        let name = self.row_names(&[named])?.pop().unwrap_or_default();
        write!(self.io.out, "{}", render::tracking(&t, &name, self.settings.style));
        Ok(())
    }

    fn fetch_tracking(&mut self) -> Result<Tracking, Problem> {
        match self.ask(Request::Tracking)? {
            Reply::Tracking(t) => Ok(t),
            _ => Err(Problem::BadReply),
        }
    }

    fn activity(&mut self) -> Result<(), Problem> {
        let Reply::Activity(d) = self.ask(Request::Activity)? else { return Err(Problem::BadReply) };
        if self.is_json() {
            self.answer(schema_of("activity"), &client::activity(&d));
        } else {
            write!(self.io.out, "{}", render::activity(&d, self.settings.style));
        }
        Ok(())
    }

    fn smoothing(&mut self) -> Result<(), Problem> {
        let Reply::Smoothing(d) = self.ask(Request::Smoothing)? else { return Err(Problem::BadReply) };
        if self.is_json() {
            self.answer(schema_of("smoothing"), &client::smoothing(&d));
        } else {
            write!(self.io.out, "{}", render::smoothing(&d, self.settings.style));
        }
        Ok(())
    }

    fn rtc_data(&mut self) -> Result<(), Problem> {
        let Reply::Rtc(d) = self.ask(Request::RtcReport)? else { return Err(Problem::BadReply) };
        if self.is_json() {
            self.answer(schema_of("rtcdata"), &client::rtc_data(&d));
        } else {
            write!(self.io.out, "{}", render::rtc_data(&d, self.settings.style));
        }
        Ok(())
    }

    fn server_stats(&mut self) -> Result<(), Problem> {
        let reply = self.ask(Request::ServerStats)?;
        let counters = client::server_counters(&reply).ok_or(Problem::BadReply)?;
        if self.is_json() {
            self.answer(schema_of("serverstats"), &client::server_stats(&counters));
        } else {
            write!(self.io.out, "{}", render::server_stats(&counters, self.settings.style));
        }
        Ok(())
    }

    fn settime(&mut self, time: Timespec) -> Result<(), Problem> {
        let reply = self.ask(Request::Settime(time))?;
        if !self.is_json() {
            writeln!(self.io.out, "200 OK");
        }
        let Reply::ManualTimestamp2(d) = reply else { return Err(Problem::BadReply) };
        if self.is_json() {
            self.answer(schema_of("settime"), &client::settime(&d));
        } else {
            write!(self.io.out, "{}", render::settime(&d));
        }
        Ok(())
    }

    fn manual_list(&mut self) -> Result<(), Problem> {
        let Reply::ManualList2(list) = self.ask(Request::ManualList)? else { return Err(Problem::BadReply) };
        let count = usize::try_from(list.n_samples).unwrap_or(usize::MAX).min(list.samples.len());
        let samples = list.samples.iter().take(count).enumerate();
        if self.is_json() {
            let samples = samples.map(|(index, d)| client::manual_sample(index, d)).collect();
            self.answer(schema_of("manual"), &ChronyManualList { samples });
            return Ok(());
        }
        let style = self.settings.style;
        let rows: String = samples.map(|(index, d)| render::manual_sample(d, index, style)).collect();
        if !style.csv {
            write!(self.io.out, "{}", render::manual_heading(list.n_samples));
        }
        write!(self.io.out, "{rows}");
        Ok(())
    }

    fn source_name(&mut self, address: Ip) -> Result<(), Problem> {
        let Reply::NtpSourceName(name) = self.ask(Request::NtpSourceName(address))? else {
            return Err(Problem::BadReply);
        };
        let name = source_name(&name).ok_or(Problem::Quiet)?;
        if self.is_json() {
            self.answer(schema_of("sourcename"), &ChronySourceName { name });
        } else {
            writeln!(self.io.out, "{name}");
        }
        Ok(())
    }

    fn count_sources(&mut self) -> Result<u32, Problem> {
        match self.ask(Request::NSources)? {
            Reply::NSources(count) => Ok(count),
            _ => Err(Problem::BadReply),
        }
    }

    /// Legend and heading of a table, unless the output is CSV or JSON.
    fn begin_table(&mut self, table: Table, verbose: bool) {
        let style = self.settings.style;
        if style.csv || self.is_json() {
            return;
        }
        if verbose {
            write!(self.io.out, "{}", render::legend(table, style, self.settings.old_texts));
        }
        write!(self.io.out, "{}", render::heading(table, style));
    }

    /// `210 Number of sources`, as chronyc up to 3.5 printed it.
    fn announce(&mut self, count: u32) {
        if self.settings.old_texts && !self.settings.style.csv && !self.is_json() {
            writeln!(self.io.out, "210 Number of sources = {count}");
        }
    }

    fn sources(&mut self, options: ListOptions) -> Result<(), Problem> {
        let count = self.count_sources()?;
        self.announce(count);
        self.begin_table(Table::Sources, options.verbose);
        let list = List {
            request: |index| Request::SourceData(i32::try_from(index).unwrap_or(i32::MAX)),
            take: take_source,
            named: named_source,
            show: render::source,
            report: client::source,
        };
        let sources = self.list(count, options.all, &list)?;
        self.answer(schema_of("sources"), &ChronySources { sources });
        Ok(())
    }

    fn source_stats(&mut self, options: ListOptions) -> Result<(), Problem> {
        let count = self.count_sources()?;
        self.announce(count);
        self.begin_table(Table::SourceStats, options.verbose);
        let list = List {
            request: Request::SourceStats,
            take: |reply| match reply {
                Reply::SourceStats(d) => Some(d),
                _ => None,
            },
            named: |d: &SourceStats| named(d.address, d.ref_id),
            show: render::source_stats,
            report: client::source_stats,
        };
        let sources = self.list(count, options.all, &list)?;
        self.answer(schema_of("sourcestats"), &ChronySourceStats { sources });
        Ok(())
    }

    fn select_data(&mut self, options: ListOptions) -> Result<(), Problem> {
        let count = self.count_sources()?;
        self.begin_table(Table::SelectData, options.verbose);
        let list = List {
            request: Request::SelectData,
            take: |reply| match reply {
                Reply::SelectData(d) => Some(d),
                _ => None,
            },
            named: |d: &SelectData| named(d.address, d.ref_id),
            show: render::select_data,
            report: client::select_data,
        };
        let sources = self.list(count, options.all, &list)?;
        self.answer(schema_of("selectdata"), &ChronySelectData { sources });
        Ok(())
    }

    /// Fetches a list in chunks; prints its rows, or returns them for JSON.
    fn list<T, R>(&mut self, count: u32, all: bool, list: &List<T, R>) -> Result<Vec<R>, Problem> {
        let mut reports = Vec::new();
        let mut start = 0;
        while start < count {
            let end = count.min(start.saturating_add(CHUNK));
            let (rows, result) = self.ask_many((start..end).map(list.request).collect(), &list.take);
            let rows: Vec<(u32, T)> = (start..end)
                .zip(rows)
                .filter(|(_, row)| all || !matches!((list.named)(row), Named::At(Ip::Id(_))))
                .collect();
            let names: Vec<Named> = rows.iter().map(|(_, row)| (list.named)(row)).collect();
            if self.is_json() {
                let names = self.both_names(&names)?;
                reports
                    .extend(rows.iter().zip(names).map(|((at, row), names)| (list.report)(*at, row, names)));
            } else {
                let names = self.table_names(&names)?;
                let style = self.settings.style;
                let text: String =
                    rows.iter().zip(&names).map(|((_, row), name)| (list.show)(row, name, style)).collect();
                write!(self.io.out, "{text}");
                self.check_output()?;
            }
            result?;
            if self.is_full(reports.len()) {
                break;
            }
            start = end;
        }
        Ok(reports)
    }

    /// Whether a JSON object holds as many rows as it may; says so in it.
    fn is_full(&mut self, rows: usize) -> bool {
        let full = rows >= MOST_JSON_ROWS;
        if full {
            self.messages.push(Message {
                level: Level::Warning,
                code: "truncated",
                text: format!("only the first {rows} rows are here"),
            });
        }
        full
    }

    /// Nobody reads any more: a list without end must not go on.
    fn check_output(&mut self) -> Result<(), Problem> {
        if self.io.out.is_broken() { Err(Problem::Quiet) } else { Ok(()) }
    }

    /// Configured and, if asked for, reverse names.
    fn both_names(&mut self, rows: &[Named]) -> Result<Vec<RowNames>, Problem> {
        let configured = self.configured_names(rows)?;
        let hosts = self.host_names(rows)?;
        Ok(configured
            .into_iter()
            .zip(hosts)
            .map(|(configured, host)| RowNames { configured, host })
            .collect())
    }

    /// The NTP sources among the sources, by address; the result tells how far the list came.
    fn ntp_sources(&mut self, from: u32, to: u32) -> (Vec<Ip>, Result<(), Problem>) {
        let index = |index| Request::SourceData(i32::try_from(index).unwrap_or(i32::MAX));
        let (rows, result) = self.ask_many((from..to).map(index).collect(), &take_source);
        (rows.into_iter().filter(|row| row.mode < 2).map(|row| row.address).collect(), result)
    }

    fn auth_data(&mut self, options: ListOptions) -> Result<(), Problem> {
        let count = self.count_sources()?;
        self.begin_table(Table::AuthData, options.verbose);
        let mut reports = Vec::new();
        let mut start = 0;
        while start < count {
            let end = count.min(start.saturating_add(CHUNK));
            let (mut addresses, listed) = self.ntp_sources(start, end);
            addresses.retain(|address| options.all || !matches!(address, Ip::Id(_)));
            let requests = addresses.iter().map(|address| Request::AuthData(*address)).collect();
            let (rows, asked) = self.ask_many(requests, &take_auth);
            let names: Vec<Named> = addresses.iter().take(rows.len()).map(|ip| Named::At(*ip)).collect();
            if self.is_json() {
                let names = self.both_names(&names)?;
                let rows = addresses.iter().zip(&rows).zip(names);
                reports.extend(rows.map(|((address, row), names)| client::auth_data(*address, row, names)));
            } else {
                let names = self.table_names(&names)?;
                for (row, name) in rows.iter().zip(&names) {
                    write!(self.io.out, "{}", render::auth_data(row, name, self.settings.style));
                }
                self.check_output()?;
            }
            asked.and(listed)?;
            if self.is_full(reports.len()) {
                break;
            }
            start = end;
        }
        self.answer(schema_of("authdata"), &ChronyAuthData { sources: reports });
        Ok(())
    }

    fn ntp_data(&mut self, address: Option<Ip>) -> Result<(), Problem> {
        let mut reports = Vec::new();
        match address {
            Some(address) => self.ntp_data_of(&[address], "", &mut reports)?,
            None => {
                let count = self.count_sources()?;
                let mut start = 0;
                while start < count {
                    let end = count.min(start.saturating_add(CHUNK));
                    let (mut addresses, listed) = self.ntp_sources(start, end);
                    addresses.retain(|address| address.addr().is_some());
                    self.ntp_data_of(&addresses, "\n", &mut reports)?;
                    listed?;
                    if self.is_full(reports.len()) {
                        break;
                    }
                    start = end;
                }
            }
        }
        self.answer(schema_of("ntpdata"), &ChronyNtpData { sources: reports });
        Ok(())
    }

    fn ntp_data_of(
        &mut self,
        addresses: &[Ip],
        before: &str,
        reports: &mut Vec<crate::report::chronyc::ChronyNtpDatum>,
    ) -> Result<(), Problem> {
        let requests = addresses.iter().map(|address| Request::NtpData(*address)).collect();
        let take =
            |reply: Reply| client::ntp_data_parts(&reply).map(|(head, counters)| (head.clone(), counters));
        let (rows, result) = self.ask_many(requests, &take);
        let style = self.settings.style;
        for (head, counters) in &rows {
            if self.is_json() {
                reports.push(client::ntp_data(head, counters));
            } else {
                if !style.csv {
                    write!(self.io.out, "{before}");
                }
                write!(self.io.out, "{}", render::ntp_data(head, counters, style));
            }
        }
        self.check_output()?;
        result
    }

    fn clients(&mut self, options: ClientsOptions) -> Result<(), Problem> {
        let table = if options.nts_ke { Table::ClientsNtsKe } else { Table::ClientsCommand };
        self.begin_table(table, false);
        let mut reports = Vec::new();
        // the first page tells the generation of the daemon and the size of its table
        let mut query = newer_query as ClientQuery;
        let answer = match self.caller.ask(query(0, options))? {
            answer if answer.status == Status::INVALID => {
                query = older_query;
                self.caller.ask(query(0, options))?
            }
            answer => answer,
        };
        if !answer.status.is_success() {
            return Err(Problem::Refused(answer.status));
        }
        let page = client_page(answer.reply).ok_or(Problem::BadReply)?;
        let size = page.size;
        let mut next = page.follows(0);
        self.show_clients(&page.rows, options, &mut reports)?;
        while let Some(start) = next.filter(|_| !self.is_full(reports.len())) {
            let (rows, follows) = self.walk_clients(start, size, query, options)?;
            self.show_clients(&rows, options, &mut reports)?;
            next = follows;
        }
        self.answer(schema_of("clients"), &ChronyClients { clients: reports });
        Ok(())
    }

    /// Records from an index on, and where to go on. Several stretches of the table are walked at once; since a page that
    /// begins in one stretch may reach into the next ones, what both hold is dropped from the earlier one.
    fn walk_clients(
        &mut self,
        start: u32,
        size: u32,
        query: ClientQuery,
        options: ClientsOptions,
    ) -> Result<(Vec<ClientAccess>, Option<u32>), Problem> {
        // counters that are zeroed when they are looked at must not be looked at twice
        let stretches = if options.reset { 1 } else { u32::try_from(client::WINDOW).unwrap_or(1) };
        let stretch = if options.reset { 1 } else { STRETCH };
        let mut walkers: Vec<Walker> = (0..stretches)
            .map(|n| start.saturating_add(n * stretch))
            .filter(|at| *at < size)
            .map(|at| Walker { next: Some(at), end: at.saturating_add(stretch).min(size), rows: Vec::new() })
            .collect();
        let mut reached = start;
        let mut at_end = false;
        loop {
            let due = |w: &Walker| w.next.filter(|next| *next < w.end);
            let requests: Vec<Request> =
                walkers.iter().filter_map(due).map(|next| query(next, options)).collect();
            if requests.is_empty() {
                break;
            }
            let (pages, result) = self.ask_many(requests, &client_page);
            result?;
            for (walker, page) in walkers.iter_mut().filter(|w| due(w).is_some()).zip(pages) {
                let from = walker.next.unwrap_or(u32::MAX);
                walker.next = page.follows(from);
                at_end |= walker.next.is_none();
                reached = reached.max(walker.next.unwrap_or(from));
                walker.rows.extend(page.rows);
            }
        }
        let next = (!at_end && reached > start && reached < size).then_some(reached);
        Ok((joined(walkers), next))
    }

    fn show_clients(
        &mut self,
        rows: &[ClientAccess],
        options: ClientsOptions,
        reports: &mut Vec<crate::report::chronyc::ChronyClient>,
    ) -> Result<(), Problem> {
        let named: Vec<Named> = rows.iter().map(|row| Named::At(row.address)).collect();
        let hosts = self.host_names(&named)?;
        if self.is_json() {
            reports.extend(rows.iter().zip(hosts).map(|(row, host)| client::client(row, host)));
            return Ok(());
        }
        let service = if options.nts_ke { Service::NtsKe } else { Service::Command };
        let mut names: Vec<String> = hosts
            .into_iter()
            .zip(rows)
            .map(|(host, row)| host.unwrap_or_else(|| row.address.to_string()))
            .collect();
        if self.settings.reverse {
            self.cut(&mut names);
        }
        let style = self.settings.style;
        for (row, name) in rows.iter().zip(&names) {
            write!(self.io.out, "{}", render::client(row, service, name, style));
        }
        self.check_output()
    }

    fn wait_sync(&mut self, spec: WaitSync) -> Result<(), Problem> {
        let interval = TimeDelta::from_secs_f64(spec.interval).unwrap_or(TimeDelta::MAX);
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = self.fetch_tracking();
            let mut report = ChronyWaitSync {
                synchronised: false,
                tries,
                refid: None,
                correction_s: None,
                skew_ppm: None,
            };
            match &answer {
                Ok(t) => {
                    report.synchronised = is_good(t, &spec);
                    report.refid = Some(client::waitsync_refid(t));
                    report.correction_s = Secs::new(t.current_correction.to_f64().abs());
                    report.skew_ppm = Some(t.skew_ppm.to_f64());
                    if !self.is_json() {
                        write!(self.io.out, "{}", render::waitsync(tries, t, self.settings.style));
                    }
                }
                Err(Problem::Interrupted) => return Err(Problem::Interrupted),
                Err(problem) if !self.is_json() => {
                    let line = problem.stdout_line().unwrap_or(UNREACHABLE).to_owned();
                    writeln!(self.io.out, "{line}");
                }
                Err(_) => {}
            }
            let last = spec.max_tries != 0 && tries >= u64::from(spec.max_tries);
            if report.synchronised || self.settings.watch.is_some() {
                self.answer(schema_of("waitsync"), &report);
            }
            self.io.out.flush();
            self.check_output()?;
            if report.synchronised {
                return Ok(());
            }
            if last {
                return Err(match answer {
                    Err(problem) if self.is_json() => problem,
                    _ => Problem::Quiet,
                });
            }
            let next = clock::mono() + interval;
            while clock::mono() < next {
                if interrupted() {
                    return Err(Problem::Interrupted);
                }
                wait(&[], Some(next)).map_err(|_| Problem::Quiet)?;
            }
        }
    }

    fn keygen(&mut self, spec: &KeySpec) -> Result<(), Problem> {
        let mut bytes = vec![0; spec.length];
        random::fill(&mut bytes).map_err(|e| Problem::Usage(e.to_string()))?;
        let key_hex = keygen::hex(&bytes);
        if self.is_json() {
            let key = ChronyKey { id: spec.id, key_type: spec.key_type.clone(), key_hex };
            self.answer(schema_of("keygen"), &key);
        } else {
            writeln!(self.io.out, "{} {} HEX:{key_hex}", spec.id, spec.key_type);
        }
        Ok(())
    }
}

fn take_source(reply: Reply) -> Option<SourceData> {
    match reply {
        Reply::SourceData(d) => Some(d),
        _ => None,
    }
}

fn take_auth(reply: Reply) -> Option<AuthData> {
    match reply {
        Reply::AuthData(d) => Some(d),
        _ => None,
    }
}

fn named_source(d: &SourceData) -> Named {
    match (d.mode, d.address) {
        (2, Ip::V4(id)) => Named::Clock(id.to_bits()),
        _ => Named::At(d.address),
    }
}

fn named(address: Ip, ref_id: u32) -> Named {
    if address == Ip::Unspec { Named::Clock(ref_id) } else { Named::At(address) }
}

/// A request for a page of clients from an index on.
type ClientQuery = fn(u32, ClientsOptions) -> Request;

fn newer_query(first_index: u32, options: ClientsOptions) -> Request {
    Request::ClientAccessesByIndex3(ClientsQuery {
        first_index,
        n_clients: CLIENTS_A_REPLY,
        min_hits: options.min_hits,
        reset: u32::from(options.reset),
    })
}

fn older_query(first_index: u32, _: ClientsOptions) -> Request {
    Request::ClientAccessesByIndex2(ClientsQuery2 { first_index, n_clients: CLIENTS_A_REPLY })
}

/// A reply with clients, of either generation.
struct ClientPage {
    size: u32,
    next: u32,
    filled: u32,
    rows: Vec<ClientAccess>,
}

impl ClientPage {
    /// Where the table goes on after a page from this index; a daemon that does not advance is not followed.
    fn follows(&self, from: u32) -> Option<u32> {
        (self.next < self.size && self.filled >= CLIENTS_A_REPLY && self.next > from).then_some(self.next)
    }
}

fn client_page(reply: Reply) -> Option<ClientPage> {
    let filled = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let (size, next, count, rows): (u32, u32, u32, Vec<ClientAccess>) = match reply {
        Reply::ClientAccessesByIndex3(d) => {
            let count = d.n_clients;
            (d.n_indices, d.next_index, count, d.clients.into_iter().take(filled(count)).collect())
        }
        Reply::ClientAccessesByIndex2(d) => {
            let rows = d.clients.iter().take(filled(d.n_clients)).map(client::client_of_old).collect();
            (d.n_indices, d.next_index, d.n_clients, rows)
        }
        _ => return None,
    };
    let rows = rows.into_iter().filter(|row| row.address != Ip::Unspec).collect();
    Some(ClientPage { size, next, filled: count, rows })
}

/// A stretch of the table of clients that is walked page by page.
struct Walker {
    next: Option<u32>,
    end: u32,
    rows: Vec<ClientAccess>,
}

/// The records of all stretches, each once: addresses are unique in the table, and where a later stretch begins is where an
/// earlier one must end.
fn joined(walkers: Vec<Walker>) -> Vec<ClientAccess> {
    let mut parts: Vec<Vec<ClientAccess>> = Vec::new();
    let mut first_later: Option<Ip> = None;
    for mut rows in walkers.into_iter().rev().map(|walker| walker.rows) {
        if let Some(first) = first_later
            && let Some(at) = rows.iter().position(|row| row.address == first)
        {
            rows.truncate(at);
        }
        first_later = rows.first().map(|row| row.address).or(first_later);
        parts.push(rows);
    }
    parts.into_iter().rev().flatten().collect()
}

/// Whether the clock is as `waitsync` wants it.
fn is_good(t: &Tracking, spec: &WaitSync) -> bool {
    let within = |value: f64, most: f64| most <= 0.0 || value <= most;
    let (correction, skew) = (t.current_correction.to_f64().abs(), t.skew_ppm.to_f64());
    let follows = t.address != Ip::Unspec || (t.ref_id != 0 && t.ref_id != LOCAL_REFID);
    follows && within(correction, spec.max_correction) && within(skew, spec.max_skew)
}
