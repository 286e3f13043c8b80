//! RTC parameters (`--param-get`, `--param-set`) and voltage-low information (`--vl-read`, `--vl-clear`).

use super::args::unsigned;
use super::session::Session;
use super::talk::Failed;
use super::{PARAMETER_SCHEMA, VOLTAGE_SCHEMA, finish};
use crate::applets::Outcome;
use crate::applets::output::JsonMode;
use crate::report::{RtcParameterReport, RtcVoltageReport};
use crate::sys::errno_text;

/// Names of parameters (linux/rtc.h).
const PARAMETERS: [(&str, u64); 3] = [("features", 0), ("correction", 1), ("bsm", 2)];

/// The bits of RTC_VL_READ (linux/rtc.h) in the original's words.
const VOLTAGE_BITS: [(u32, &str); 5] = [
    (0x01, "Voltage too low, RTC data is invalid"),
    (0x02, "Backup voltage is low"),
    (0x04, "Backup empty or not present"),
    (0x08, "Voltage is low, RTC accuracy is reduced"),
    (0x10, "Backup switchover happened"),
];

/// The sentences for a set of bits.
fn voltage_meanings(bits: u32) -> Vec<String> {
    let known = VOLTAGE_BITS.iter().fold(0, |sum, (bit, _)| sum | bit);
    let mut lines: Vec<_> = VOLTAGE_BITS
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(bit, text)| format!("0x{bit:02x} - {text}"))
        .collect();
    if bits & !known != 0 {
        lines.push(format!("0x{:02x} - unknown bit(s)", bits & !known));
    }
    lines
}

fn parameter_number(name: &str) -> Option<u64> {
    PARAMETERS.iter().find(|(n, _)| *n == name).map(|(_, number)| *number).or_else(|| unsigned(name))
}

impl Session<'_> {
    /// `--param-get`, else `--param-set`.
    pub(super) fn parameter(mut self, json: Option<JsonMode>) -> Outcome {
        let mut report = RtcParameterReport {
            device: String::new(),
            parameter: 0,
            index: self.request.param_index,
            value: 0,
            set: false,
        };
        let result = match (&self.request.param_get, &self.request.param_set) {
            (Some(name), _) => {
                let result = self.get_parameter(name, &mut report);
                if result.is_err() {
                    self.talk.fail("rtc-parameter", format_args!("unable to read the RTC parameter {name}"));
                }
                result
            }
            (None, Some(pair)) => self.put_parameter(pair, &mut report),
            (None, None) => Ok(()),
        };
        report.device.clone_from(&self.device);
        finish(self.talk, PARAMETER_SCHEMA.name, &report, result, json)
    }

    fn get_parameter(&mut self, name: &str, report: &mut RtcParameterReport) -> Result<(), Failed> {
        let Some(number) = parameter_number(name) else {
            return Err(self.talk.fail("rtc-parameter", "could not convert parameter name to number"));
        };
        report.parameter = number;
        let descriptor = self.open_quietly(true)?;
        match self.host.parameter(number, report.index) {
            Ok(value) => {
                report.value = value;
                self.talk.detail(format_args!(
                    "ioctl({descriptor}, RTC_PARAM_GET, param) to {} succeeded.",
                    self.device
                ));
                if !self.talk.json {
                    self.talk.say(format_args!("The RTC parameter 0x{number:x} is set to 0x{value:x}."));
                }
                Ok(())
            }
            Err(error) => {
                let line = format!(
                    "ioctl({descriptor}, RTC_PARAM_GET, param) to {} failed: {}",
                    self.device,
                    error.reason()
                );
                Err(self.talk.fail("rtc-parameter", line))
            }
        }
    }

    fn put_parameter(&mut self, pair: &str, report: &mut RtcParameterReport) -> Result<(), Failed> {
        let Some((name, value)) =
            pair.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty())
        else {
            return Err(self.talk.fail("usage", "expected <param>=<value>"));
        };
        let Some(number) = parameter_number(name) else {
            return Err(self.talk.fail("rtc-parameter", "could not convert parameter name to number"));
        };
        let Some(value) = unsigned(value) else {
            return Err(self.talk.fail("rtc-parameter", "could not convert parameter value to number"));
        };
        (report.parameter, report.value) = (number, value);
        if self.control.is_none() {
            return Ok(());
        }
        let descriptor = self.open_quietly(false)?;
        let Some(control) = &self.control else { return Ok(()) };
        match self.host.set_parameter(control, number, report.index, value) {
            Ok(()) => {
                report.set = true;
                self.talk.detail(format_args!(
                    "ioctl({descriptor}, RTC_PARAM_SET, param) to {} succeeded.",
                    self.device
                ));
                Ok(())
            }
            Err(error) => {
                let line = format!(
                    "ioctl({descriptor}, RTC_PARAM_SET, param) to {} failed: {}",
                    self.device,
                    error.reason()
                );
                Err(self.talk.fail("rtc-parameter", line))
            }
        }
    }

    /// `--vl-read`, then `--vl-clear`.
    pub(super) fn voltage(mut self, json: Option<JsonMode>) -> Outcome {
        let mut report =
            RtcVoltageReport { device: String::new(), bits: None, meanings: Vec::new(), cleared: false };
        let result = self.read_and_clear(&mut report);
        report.device.clone_from(&self.device);
        finish(self.talk, VOLTAGE_SCHEMA.name, &report, result, json)
    }

    fn read_and_clear(&mut self, report: &mut RtcVoltageReport) -> Result<(), Failed> {
        let descriptor = self.open_quietly(false)?;
        let device = self.device.clone();
        if self.request.vl_read {
            let bits = self.host.voltage_low().map_err(|error| {
                let line = format!("ioctl({descriptor}, RTC_VL_READ) on {device} failed: {}", error.reason());
                self.talk.fail("voltage-low", line)
            })?;
            self.talk
                .detail(format_args!("ioctl({descriptor}, RTC_VL_READ) on {device} returned 0x{bits:x}"));
            report.bits = Some(bits);
            report.meanings = voltage_meanings(bits);
            if !self.talk.json {
                report.meanings.iter().for_each(|line| self.talk.say(line));
            }
        }
        if self.request.vl_clear {
            self.host.clear_voltage_low().map_err(|error| {
                let line =
                    format!("ioctl({descriptor}, RTC_VL_CLEAR) on {device} failed: {}", error.reason());
                self.talk.fail("voltage-low", line)
            })?;
            report.cleared = true;
            self.talk.detail(format_args!("ioctl({descriptor}, RTC_VL_CLEAR) on {device} succeeded."));
        }
        Ok(())
    }

    /// Opens the device; the error names it, with the reason or without.
    fn open_quietly(&mut self, with_reason: bool) -> Result<i32, Failed> {
        let failure = match self.open_device() {
            Ok(descriptor) => return Ok(descriptor),
            Err(failure) => failure,
        };
        let reason = if with_reason { format!(": {}", errno_text(failure.errno)) } else { String::new() };
        let failed = self.talk.fail("rtc-open", format_args!("cannot open {}{reason}", failure.path));
        self.say_why_no_device(&failure);
        Err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voltage_bits_have_their_sentences() {
        assert_eq!(voltage_meanings(0), Vec::<String>::new());
        assert_eq!(
            voltage_meanings(0x7f),
            [
                "0x01 - Voltage too low, RTC data is invalid",
                "0x02 - Backup voltage is low",
                "0x04 - Backup empty or not present",
                "0x08 - Voltage is low, RTC accuracy is reduced",
                "0x10 - Backup switchover happened",
                "0x60 - unknown bit(s)",
            ]
        );
    }

    #[test]
    fn parameters_have_names_and_numbers() {
        assert_eq!(parameter_number("bsm"), Some(2));
        assert_eq!(parameter_number("0x10"), Some(16));
        assert_eq!(parameter_number("010"), Some(8));
        assert_eq!(parameter_number("foo"), None);
    }
}
