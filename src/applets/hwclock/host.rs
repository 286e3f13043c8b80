//! What `hwclock` needs of its host, as one trait: the real one is below, the tests bring a scripted one.

use std::path::Path;
use std::time::Duration;

use crate::client::cmdmon::Answer;
use crate::driver::cmdmon::{Address, Caller};
use crate::driver::rtc as driver_rtc;
use crate::engine::rtc::{Coefficients, RtcFields, RtcInstant};
use crate::sys::clock::{self, ClockControl};
use crate::sys::rtc::{self, Device, Holder};
use crate::sys::{SysError, file, process, zone};
use crate::types::{MonoTime, TimeDelta};
use crate::wire::cmdmon::{Reply, Request, Status};

/// Where our daemon is asked.
const COMMAND_SOCKET: &str = "/run/chrony/chronyd.sock";

/// What a daemon that watches the RTC knows of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Watched {
    /// How it was last.
    pub(super) known: Coefficients,
    /// From so many readings.
    pub(super) samples: u16,
}

/// At which point writing a file failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WriteFailure {
    /// It could not be opened.
    Open(SysError),
    /// Its content could not be written.
    Write(SysError),
}

/// The clocks, the RTC, the kernel and the files.
pub(super) trait Host {
    fn now(&mut self) -> RtcInstant;
    fn mono(&mut self) -> MonoTime;
    fn sleep(&mut self, time: TimeDelta);
    /// Seconds east of UTC.
    fn utc_offset(&self, unix: i64) -> i32;

    /// Opens an RTC device and keeps it; the number of its descriptor.
    fn open(&mut self, path: &str) -> Result<i32, SysError>;
    /// Gets access to the ports of the ISA bus; `None`: this machine has none.
    fn open_ports(&mut self) -> Option<Result<(), SysError>>;
    fn read(&mut self) -> Result<RtcFields, SysError>;
    fn set(&mut self, control: &ClockControl, fields: &RtcFields) -> Result<(), SysError>;
    fn set_update_interrupt(&mut self, on: bool) -> Result<(), SysError>;
    fn wait_readable(&mut self, limit: Duration) -> Result<bool, SysError>;
    /// Whether the registers are being updated (ISA ports only).
    fn is_updating(&mut self) -> bool;
    fn parameter(&mut self, param: u64, index: u32) -> Result<u64, SysError>;
    fn set_parameter(
        &mut self,
        control: &ClockControl,
        param: u64,
        index: u32,
        value: u64,
    ) -> Result<(), SysError>;
    fn voltage_low(&mut self) -> Result<u32, SysError>;
    fn clear_voltage_low(&mut self) -> Result<(), SysError>;
    /// First word of the driver's name in sysfs.
    fn driver(&self, path: &str) -> Option<String>;
    fn holders(&self, path: &str) -> Vec<Holder>;

    /// Whether our own daemon holds a device.
    fn is_ours(&self, path: &str) -> bool;
    /// What our daemon knows of the RTC; `None`: it does not answer.
    fn ask_daemon(&mut self) -> Option<Watched>;
    /// Tells our daemon to set the RTC; whether it will.
    fn tell_daemon(&mut self, control: &ClockControl) -> bool;

    /// Minutes west of UTC.
    fn set_kernel_zone(&mut self, control: &ClockControl, minutes_west: i32) -> Result<(), SysError>;
    fn set_clock(&mut self, control: &ClockControl, to: RtcInstant) -> Result<(), SysError>;

    /// `None`: it is not there or may not be read.
    fn read_adjtime(&self, path: &str) -> Result<Option<Vec<u8>>, SysError>;
    fn write_adjtime(&mut self, path: &str, text: &str) -> Result<(), WriteFailure>;
}

fn ask(request: Request) -> Option<Answer> {
    Caller::new(vec![Address::Local(COMMAND_SOCKET.into())]).ask(request).ok()
}

/// The host that we run on.
#[derive(Debug, Default)]
pub(super) struct RealHost {
    access: Access,
}

#[derive(Debug, Default)]
enum Access {
    #[default]
    None,
    Device(Device),
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    Ports(rtc::isa::Ports),
}

impl RealHost {
    fn device(&self) -> Result<&Device, SysError> {
        match &self.access {
            Access::Device(device) => Ok(device),
            _ => Err(SysError::new("ioctl", "", nix::errno::Errno::ENOTTY)),
        }
    }
}

impl Host for RealHost {
    fn now(&mut self) -> RtcInstant {
        RtcInstant::from_timestamp(clock::now())
    }

    fn mono(&mut self) -> MonoTime {
        clock::mono()
    }

    fn sleep(&mut self, time: TimeDelta) {
        std::thread::sleep(Duration::from_nanos(u64::try_from(time.as_nanos()).unwrap_or(0)));
    }

    fn utc_offset(&self, unix: i64) -> i32 {
        zone::utc_offset_at(unix)
    }

    fn open(&mut self, path: &str) -> Result<i32, SysError> {
        let device = Device::open(path)?;
        let descriptor = device.descriptor();
        self.access = Access::Device(device);
        Ok(descriptor)
    }

    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    fn open_ports(&mut self) -> Option<Result<(), SysError>> {
        Some(rtc::isa::Ports::open().map(|ports| self.access = Access::Ports(ports)))
    }

    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    fn open_ports(&mut self) -> Option<Result<(), SysError>> {
        None
    }

    fn read(&mut self) -> Result<RtcFields, SysError> {
        match &self.access {
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Access::Ports(ports) => Ok(ports.read()),
            _ => self.device()?.read(),
        }
    }

    fn set(&mut self, control: &ClockControl, fields: &RtcFields) -> Result<(), SysError> {
        match &mut self.access {
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Access::Ports(ports) => {
                ports.set(control, fields);
                Ok(())
            }
            _ => self.device()?.set(control, fields),
        }
    }

    fn set_update_interrupt(&mut self, on: bool) -> Result<(), SysError> {
        self.device()?.set_update_interrupt(on)
    }

    fn wait_readable(&mut self, limit: Duration) -> Result<bool, SysError> {
        self.device()?.wait_readable(limit)
    }

    fn is_updating(&mut self) -> bool {
        match &self.access {
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Access::Ports(ports) => ports.is_updating(),
            _ => false,
        }
    }

    fn parameter(&mut self, param: u64, index: u32) -> Result<u64, SysError> {
        self.device()?.parameter(param, index)
    }

    fn set_parameter(
        &mut self,
        control: &ClockControl,
        param: u64,
        index: u32,
        value: u64,
    ) -> Result<(), SysError> {
        self.device()?.set_parameter(control, param, index, value)
    }

    fn voltage_low(&mut self) -> Result<u32, SysError> {
        self.device()?.voltage_low()
    }

    fn clear_voltage_low(&mut self) -> Result<(), SysError> {
        self.device()?.clear_voltage_low()
    }

    fn driver(&self, path: &str) -> Option<String> {
        rtc::driver_name(path)
    }

    fn holders(&self, path: &str) -> Vec<Holder> {
        rtc::holders(path)
    }

    fn is_ours(&self, path: &str) -> bool {
        rtc::holders(path).iter().any(|holder| process::is_our_program(holder.pid))
    }

    fn ask_daemon(&mut self) -> Option<Watched> {
        match ask(Request::RtcReport)?.reply {
            Reply::Rtc(data) => Some(Watched {
                known: Coefficients {
                    reference: data.ref_time.secs,
                    fast: data.rtc_seconds_fast.to_f64(),
                    gain: data.rtc_gain_rate_ppm.to_f64() * 1e-6,
                },
                samples: data.n_samples,
            }),
            _ => None,
        }
    }

    fn tell_daemon(&mut self, _: &ClockControl) -> bool {
        ask(Request::TrimRtc).is_some_and(|answer| answer.status == Status::SUCCESS)
    }

    fn set_kernel_zone(&mut self, control: &ClockControl, minutes_west: i32) -> Result<(), SysError> {
        rtc::set_kernel_zone(control, minutes_west)
    }

    fn set_clock(&mut self, control: &ClockControl, to: RtcInstant) -> Result<(), SysError> {
        control.step(to.to_timestamp() - clock::now())
    }

    fn read_adjtime(&self, path: &str) -> Result<Option<Vec<u8>>, SysError> {
        driver_rtc::read_adjtime(Path::new(path))
    }

    fn write_adjtime(&mut self, path: &str, text: &str) -> Result<(), WriteFailure> {
        match file::replace(Path::new(path), text.as_bytes(), 0o644) {
            Ok(_) => Ok(()),
            Err(error) if error.operation == "open" => Err(WriteFailure::Open(error)),
            Err(error) => Err(WriteFailure::Write(error)),
        }
    }
}
