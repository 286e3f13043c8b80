//! The hardware clock set from the system clock by programs that are not `hwclock`: `ntpdate` with `SYNC_HWCLOCK=yes`.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;

use crate::engine::rtc::{
    Adjtime, Learn, RtcFields, RtcInstant, Scale, WriteOrder, WritePoint, WriteStep, default_delay,
};
use crate::sys::clock::{self, ClockControl};
use crate::sys::rtc::{self, DEVICES, Device};
use crate::sys::{SysError, file, zone};
use crate::types::TimeDelta;

/// The file that tells an RTC's drift and time scale.
pub const ADJTIME: &str = "/etc/adjtime";

/// The largest adjtime file that is read; three lines of 80 bytes count.
const ADJTIME_LIMIT: u64 = 4096;

/// Reads an adjtime file as `hwclock` does: `None` if it is not there or may not be read; what cannot be read at all (a directory) is empty.
///
/// # Errors
/// `open`, for other reasons.
pub fn read_adjtime(path: &Path) -> Result<Option<Vec<u8>>, SysError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::PermissionDenied || is_missing(&e) => return Ok(None),
        Err(e) => return Err(SysError::from_io("open", path.display().to_string(), &e)),
    };
    let mut content = Vec::new();
    Ok(match file.take(ADJTIME_LIMIT).read_to_end(&mut content) {
        Ok(_) => Some(content),
        Err(_) => Some(Vec::new()),
    })
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Opens the first RTC that is there, as `hwclock` searches it.
///
/// # Errors
/// `open`: EBUSY when another process holds it, EACCES, ENOENT when there is none.
pub fn open_first() -> Result<Device, SysError> {
    let mut last = SysError::new("open", DEVICES[0], Errno::ENOENT);
    for path in DEVICES {
        match Device::open(path) {
            Ok(device) => return Ok(device),
            Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENODEV) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Everything that is needed to set the RTC from the system clock, opened while there is still the privilege to do so.
#[derive(Debug)]
pub struct RtcWriter {
    device: Device,
    /// Seconds between setting this RTC and its next tick.
    delay: f64,
    adjtime: Adjtime,
    path: PathBuf,
    /// The adjtime file, for when root has been given up meanwhile; `None`: it is not there.
    handle: Option<File>,
}

impl RtcWriter {
    /// Opens the first RTC and `/etc/adjtime`. The device is held until this value is dropped: no other process can open it.
    ///
    /// # Errors
    /// As [`open_first`]; a file that cannot be read counts as one that says UTC.
    pub fn open() -> Result<Self, SysError> {
        open_first().map(|device| Self::with(device, Path::new(ADJTIME)))
    }

    /// The same for an open device and another adjtime file.
    pub fn with(device: Device, adjtime: &Path) -> Self {
        let content = read_adjtime(adjtime).ok().flatten();
        Self {
            delay: default_delay(rtc::driver_name(device.path()).as_deref()),
            device,
            adjtime: content.map(|bytes| Adjtime::parse(&bytes).0).unwrap_or_default(),
            path: adjtime.to_owned(),
            handle: OpenOptions::new().write(true).open(adjtime).ok(),
        }
    }

    /// The time scale that the RTC keeps.
    pub fn scale(&self) -> Scale {
        self.adjtime.scale.unwrap_or(Scale::Utc)
    }

    /// Sets the RTC to the system clock plus `ahead` at the right point of the second, and notes it in the adjtime file, as
    /// `hwclock --systohc` does. Takes up to a second. `ahead`: 0 after a step, the offset that is being worked off after the start of a slew.
    ///
    /// # Errors
    /// `RTC_SET_TIME`: EACCES without CAP_SYS_TIME, EINVAL for a time that the chip cannot hold. `open`, `write`: the RTC was set, but the
    /// adjtime file could not be written.
    pub fn sync_hwclock(&mut self, control: &ClockControl, ahead: TimeDelta) -> Result<(), SysError> {
        let right = clock::now() + ahead;
        let second = RtcInstant::from_secs(right.secs());
        let reference = RtcInstant::from_timestamp(second.to_timestamp() - ahead);
        let mut point = WritePoint::new(WriteOrder { value: second.secs, reference, delay: self.delay });
        let value = loop {
            match point.step(RtcInstant::from_timestamp(clock::now())) {
                WriteStep::Wait(time) if time > TimeDelta::ZERO => {
                    std::thread::sleep(Duration::from_nanos(u64::try_from(time.as_nanos()).unwrap_or(0)));
                }
                WriteStep::Wait(_) | WriteStep::Missed { .. } | WriteStep::JumpedBack { .. } => {}
                WriteStep::Write { value, .. } => break value,
            }
        };
        let offset = match self.scale() {
            Scale::Utc => 0,
            Scale::Local => zone::utc_offset_at(value),
        };
        let fields = RtcFields::from_unix(value, offset)
            .ok_or_else(|| SysError::new("RTC_SET_TIME", self.device.path(), Errno::EINVAL))?;
        self.device.set(control, &fields)?;
        self.adjtime.calibrate(RtcInstant::from_timestamp(right), Learn::No);
        self.save()
    }

    fn save(&mut self) -> Result<(), SysError> {
        let text = self.adjtime.emit(self.scale());
        let failure = match file::replace(&self.path, text.as_bytes(), 0o644) {
            Ok(_) => return Ok(()),
            Err(failure) => failure,
        };
        let Some(handle) = &mut self.handle else {
            // root was given up, and there was no file that would now be wrong: UTC and no drift are what its absence means
            let nothing_lost =
                failure.errno == Errno::EACCES && !self.path.exists() && self.scale() == Scale::Utc;
            return if nothing_lost { Ok(()) } else { Err(failure) };
        };
        let written = handle
            .set_len(0)
            .and_then(|()| handle.rewind())
            .and_then(|()| handle.write_all(text.as_bytes()))
            .and_then(|()| handle.sync_all());
        written.map_err(|e| SysError::from_io("write", self.path.display().to_string(), &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("ntpbox-rtc-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn adjtime_files_that_are_none() {
        let dir = scratch("none");
        assert_eq!(read_adjtime(&dir.join("x")).unwrap(), None);
        assert_eq!(read_adjtime(&dir).unwrap(), Some(Vec::new()));
        std::fs::write(dir.join("long"), vec![b'7'; 10_000]).unwrap();
        assert_eq!(read_adjtime(&dir.join("long")).unwrap().map(|c| c.len()), Some(4096));
        assert_eq!(read_adjtime(&dir.join("long/x")).unwrap(), None);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_no_rtc_is_not_set_and_the_file_keeps_its_content() {
        let dir = scratch("null");
        let adjtime = dir.join("adjtime");
        std::fs::write(&adjtime, "1.5 7 0.0\n8\nLOCAL\n").unwrap();
        let mut writer = RtcWriter::with(Device::open("/dev/null").unwrap(), &adjtime);
        assert_eq!(writer.scale(), Scale::Local);
        writer.delay = 0.0;
        let error = writer.sync_hwclock(&ClockControl::acquire(), TimeDelta::ZERO).unwrap_err();
        assert_eq!((error.operation, error.errno), ("RTC_SET_TIME", Errno::ENOTTY));
        assert_eq!(std::fs::read_to_string(&adjtime).unwrap(), "1.5 7 0.0\n8\nLOCAL\n");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_file_is_written_through_the_open_handle_when_nothing_else_goes() {
        let dir = scratch("handle");
        let adjtime = dir.join("adjtime");
        std::fs::write(&adjtime, "1.5 7 0.0\n8\nLOCAL\nand a long tail that must go away\n").unwrap();
        let mut writer = RtcWriter::with(Device::open("/dev/null").unwrap(), &adjtime);
        let link = dir.join("moved");
        std::fs::rename(&adjtime, &link).unwrap();
        // a name in a directory that is gone can neither be renamed to nor opened
        writer.path = dir.join("gone/adjtime");
        writer.adjtime.calibrate(RtcInstant::from_secs(99), Learn::No);
        writer.save().unwrap();
        assert_eq!(std::fs::read_to_string(&link).unwrap(), "1.500000 99 0.000000\n99\nLOCAL\n");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
