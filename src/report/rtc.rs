//! The hardware clock: what `hwclock` found and did.

use schemars::JsonSchema;
use serde::Serialize;

use super::values::Instant;
use crate::types::Secs;

/// What `hwclock` found and did.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct HwclockReport {
    /// What was asked for.
    pub function: &'static str,
    /// Whether nothing was to be changed (`--test`).
    pub dry_run: bool,
    /// The device as it was opened, or null: none was needed, or the ports of the ISA bus were used.
    pub device: Option<String>,
    /// Name of the device's driver, or null: not asked for or not known.
    pub driver: Option<String>,
    /// The time scale that the RTC is taken to keep.
    pub timescale: Option<&'static str>,
    /// The system clock when the program started.
    pub system_time: Instant,
    /// The time that the RTC showed (or, for a prediction, will show) at `system_time`, drift-corrected if `drift_corrected`.
    pub rtc_time: Option<Instant>,
    /// The same as hwclock prints it, in the caller's zone.
    pub local_time: Option<String>,
    /// Whether `rtc_time` has the known drift added.
    pub drift_corrected: bool,
    /// rtc_time − system_time; > 0: the system clock is behind the RTC.
    pub offset_s: Option<Secs>,
    /// What is known about the RTC's drift.
    pub drift: Option<DriftReport>,
    /// What `--adjust` decided.
    pub adjustment: Option<&'static str>,
    /// What was (or with `dry_run` would have been) written to the RTC.
    pub written: Option<RtcWriteReport>,
    /// What the setting taught about the drift.
    pub calibration: Option<CalibrationReport>,
    /// The adjtime file as it stands after the run, or null: not used.
    pub adjtime: Option<AdjtimeReport>,
    /// What the kernel was (or with `dry_run` would have been) told.
    pub kernel: Option<KernelTimeReport>,
}

/// Drift of the RTC since it was last adjusted.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DriftReport {
    /// Time since the last adjustment.
    pub since_adjustment_s: i64,
    /// What to add to the RTC's reading.
    pub correction_s: Option<Secs>,
}

/// A setting of the RTC.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RtcWriteReport {
    /// What it was set to.
    pub rtc_time: Option<Instant>,
    /// The system clock at that moment.
    pub at: Instant,
    /// How long after a setting this RTC ticks.
    pub delay_s: Option<Secs>,
    /// How far the right point of the second had passed.
    pub late_s: Option<Secs>,
    /// How often the right point was missed before.
    pub misses: u32,
}

/// What a setting taught about the drift.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CalibrationReport {
    /// `not-asked`, `no-history`, `too-soon`, `unbelievable`, `learned`.
    pub result: &'static str,
    /// How far the RTC was off; > 0: it was behind.
    pub drifted_s: Option<Secs>,
    /// Time since the calibration before.
    pub elapsed_s: Option<Secs>,
    /// Change of the drift factor, s/day.
    pub change_s_per_day: Option<Secs>,
}

/// The adjtime file.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AdjtimeReport {
    /// Its path.
    pub file: String,
    /// Systematic drift, s/day; > 0: the RTC runs slow.
    pub drift_factor_s_per_day: Option<Secs>,
    /// When the RTC was last set or adjusted; null: never.
    pub last_adjustment: Option<Instant>,
    /// Drift that the last adjustment left in place.
    pub not_adjusted_s: Option<Secs>,
    /// When the RTC was last calibrated; null: never.
    pub last_calibration: Option<Instant>,
    /// `utc`, `local`, or null: the file does not say.
    pub timescale: Option<&'static str>,
    /// Whether it was (or with `dry_run` would have been) written.
    pub written: bool,
}

/// What the kernel was told.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct KernelTimeReport {
    /// Minutes west of UTC.
    pub zone_minutes_west: i32,
    /// What the system clock was set to.
    pub system_clock: Option<Instant>,
}

/// A parameter of the RTC (`--param-get`, `--param-set`).
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RtcParameterReport {
    /// The device.
    pub device: String,
    /// Number of the parameter (linux/rtc.h).
    pub parameter: u64,
    /// Its index.
    pub index: u32,
    /// Its value.
    pub value: u64,
    /// Whether it was set by this run.
    pub set: bool,
}

/// The RTC's voltage-low information (`--vl-read`, `--vl-clear`).
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RtcVoltageReport {
    /// The device.
    pub device: String,
    /// RTC_VL bits, or null: not read.
    pub bits: Option<u32>,
    /// The sentences for the bits.
    pub meanings: Vec<String>,
    /// Whether they were cleared by this run.
    pub cleared: bool,
}
