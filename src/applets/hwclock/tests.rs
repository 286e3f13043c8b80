//! The golden transcripts of util-linux 2.41.5 (specification §14), run on a scripted host: the recorded facts go in, the text must come out.

mod short;
mod verbose;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{Cursor, Write};
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;

use super::host::{Host, Watched, WriteFailure};
use super::run_on;
use crate::applets::Outcome;
use crate::applets::io::{Io, Out};
use crate::applets::output::JsonMode;
use crate::engine::rtc::{RtcFields, RtcInstant};
use crate::sys::SysError;
use crate::sys::clock::ClockControl;
use crate::sys::rtc::Holder;
use crate::types::{MonoTime, TimeDelta};

/// A host whose answers are written down.
pub(super) struct Script {
    /// Readings of the system clock, in order; then the last one, moved by sleeps.
    pub(super) clock: VecDeque<RtcInstant>,
    pub(super) last: RtcInstant,
    /// What the RTC reads (as UTC), at each tick.
    pub(super) rtc: RtcFields,
    pub(super) devices: BTreeMap<&'static str, Errno>,
    pub(super) update_interrupt: Result<(), Errno>,
    pub(super) select: Result<bool, Errno>,
    pub(super) read: Result<(), Errno>,
    pub(super) set: Result<(), Errno>,
    pub(super) settimeofday: Result<(), Errno>,
    pub(super) parameter: Result<u64, Errno>,
    pub(super) voltage: Result<u32, Errno>,
    pub(super) driver: Option<&'static str>,
    pub(super) holder: Option<&'static str>,
    pub(super) utc_offset: i32,
    pub(super) adjtime: Option<&'static str>,
    pub(super) write: Result<(), WriteFailure>,
    pub(super) ports: Result<(), Errno>,
    /// What was changed, in order.
    pub(super) deeds: Vec<String>,
    /// What our daemon knows of the RTC that it holds.
    pub(super) watched: Option<Watched>,
    /// Whether it sets the RTC when it is told to.
    pub(super) obeys: bool,
    mono: i64,
    updating: bool,
}

/// `1795247285.799739`
pub(super) fn at(text: &str) -> RtcInstant {
    let (secs, micros) = text.split_once('.').unwrap_or((text, "0"));
    RtcInstant { secs: secs.parse().unwrap(), micros: micros.parse().unwrap() }
}

impl Script {
    /// A healthy `rtc_cmos` that reads `rtc` at its tick, and the readings of the system clock.
    pub(super) fn new(rtc: i64, clock: &[&str]) -> Self {
        Self {
            clock: clock.iter().map(|text| at(text)).collect(),
            last: RtcInstant::from_secs(0),
            rtc: RtcFields::from_unix(rtc, 0).unwrap(),
            devices: BTreeMap::new(),
            update_interrupt: Ok(()),
            select: Ok(true),
            read: Ok(()),
            set: Ok(()),
            settimeofday: Ok(()),
            parameter: Ok(0x11),
            voltage: Ok(0),
            driver: Some("rtc_cmos"),
            holder: None,
            utc_offset: 0,
            adjtime: None,
            write: Ok(()),
            ports: Ok(()),
            deeds: Vec::new(),
            watched: None,
            obeys: true,
            mono: 0,
            updating: false,
        }
    }

    fn result<T>(operation: &'static str, result: Result<T, Errno>) -> Result<T, SysError> {
        result.map_err(|errno| SysError::new(operation, "", errno))
    }
}

impl Host for Script {
    fn now(&mut self) -> RtcInstant {
        self.last = match self.clock.pop_front() {
            Some(next) => next,
            None => RtcInstant::new(self.last.secs, i64::from(self.last.micros) + 100),
        };
        self.last
    }

    fn mono(&mut self) -> MonoTime {
        self.mono += 100_000_000;
        MonoTime::from_nanos(self.mono)
    }

    fn sleep(&mut self, time: TimeDelta) {
        // the recorded readings tell what was waited for; without one the time passes
        if self.clock.is_empty() {
            self.last =
                RtcInstant::from_timestamp(self.last.to_timestamp() + time + TimeDelta::from_millis(2));
        }
    }

    fn utc_offset(&self, _: i64) -> i32 {
        self.utc_offset
    }

    fn open(&mut self, path: &str) -> Result<i32, SysError> {
        Self::result("open", self.devices.get(path).map_or(Ok(4), |&errno| Err(errno)))
    }

    fn open_ports(&mut self) -> Option<Result<(), SysError>> {
        Some(Self::result("iopl", self.ports))
    }

    fn read(&mut self) -> Result<RtcFields, SysError> {
        Self::result("RTC_RD_TIME", self.read)?;
        if self.update_interrupt.is_err() {
            // polling: every reading is a second later
            self.rtc = RtcFields::from_unix(self.rtc.to_unix_utc() + 1, 0).unwrap();
        }
        Ok(self.rtc)
    }

    fn set(&mut self, _: &ClockControl, fields: &RtcFields) -> Result<(), SysError> {
        Self::result("RTC_SET_TIME", self.set)?;
        self.deeds.push(format!("rtc {}", super::render::registers(fields)));
        Ok(())
    }

    fn set_update_interrupt(&mut self, _: bool) -> Result<(), SysError> {
        Self::result("RTC_UIE", self.update_interrupt)
    }

    fn wait_readable(&mut self, _: Duration) -> Result<bool, SysError> {
        Self::result("select", self.select)
    }

    fn is_updating(&mut self) -> bool {
        self.updating = !self.updating;
        self.updating
    }

    fn parameter(&mut self, _: u64, _: u32) -> Result<u64, SysError> {
        Self::result("RTC_PARAM_GET", self.parameter)
    }

    fn set_parameter(
        &mut self,
        _: &ClockControl,
        param: u64,
        index: u32,
        value: u64,
    ) -> Result<(), SysError> {
        Self::result("RTC_PARAM_SET", self.parameter)?;
        self.deeds.push(format!("parameter {param}/{index} = {value}"));
        Ok(())
    }

    fn voltage_low(&mut self) -> Result<u32, SysError> {
        Self::result("RTC_VL_READ", self.voltage)
    }

    fn clear_voltage_low(&mut self) -> Result<(), SysError> {
        Self::result("RTC_VL_CLR", self.voltage)?;
        self.deeds.push("voltage bits cleared".to_owned());
        Ok(())
    }

    fn driver(&self, _: &str) -> Option<String> {
        self.driver.map(ToOwned::to_owned)
    }

    fn holders(&self, _: &str) -> Vec<Holder> {
        self.holder.iter().map(|name| Holder { pid: 42, name: (*name).to_owned() }).collect()
    }

    fn is_ours(&self, _: &str) -> bool {
        self.watched.is_some()
    }

    fn ask_daemon(&mut self) -> Option<Watched> {
        self.watched
    }

    fn tell_daemon(&mut self, _: &ClockControl) -> bool {
        self.deeds.push("trimrtc".to_owned());
        if self.obeys
            && let Some(watched) = &mut self.watched
        {
            watched.known.fast = 0.0;
        }
        true
    }

    fn set_kernel_zone(&mut self, _: &ClockControl, minutes_west: i32) -> Result<(), SysError> {
        Self::result("settimeofday", self.settimeofday)?;
        self.deeds.push(format!("zone {minutes_west}"));
        Ok(())
    }

    fn set_clock(&mut self, _: &ClockControl, to: RtcInstant) -> Result<(), SysError> {
        Self::result("clock_settime", self.settimeofday)?;
        self.deeds.push(format!("clock {}", super::render::seconds(to)));
        Ok(())
    }

    fn read_adjtime(&self, _: &str) -> Result<Option<Vec<u8>>, SysError> {
        Ok(self.adjtime.map(|text| text.as_bytes().to_vec()))
    }

    fn write_adjtime(&mut self, path: &str, text: &str) -> Result<(), WriteFailure> {
        self.write.clone()?;
        self.deeds.push(format!("{path} {}", text.replace('\n', "|")));
        Ok(())
    }
}

/// What a run left behind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) code: u8,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) deeds: Vec<String>,
}

#[derive(Clone, Default)]
struct Page(Rc<RefCell<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

/// Runs a command line (argv0 first) on a host, in an environment.
pub(super) fn run_in(script: Script, line: &[&str], env: &[(&str, &str)], json: Option<JsonMode>) -> Ran {
    let mut script = script;
    let (out, err) = (Page::default(), Page::default());
    let mut io = Io {
        out: Out::buffered(Box::new(out.clone())),
        err: Out::unbuffered(Box::new(err.clone())),
        input: Box::new(Cursor::new(Vec::new())),
        in_is_tty: false,
        out_is_tty: false,
        err_is_tty: false,
        env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    };
    let words: Vec<_> = line.iter().skip(1).map(Into::into).collect();
    let outcome = run_on(&mut script, line.first().unwrap(), &words, json, &mut io);
    io.out.flush();
    let Outcome::Code(code) = outcome else { panic!("{outcome:?}") };
    Ran { code, stdout: out.text(), stderr: err.text(), deeds: script.deeds }
}

pub(super) fn run(script: Script, line: &[&str]) -> Ran {
    run_in(script, line, &[], None)
}
