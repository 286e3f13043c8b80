//! The report as text: the layout of systemd 239 and later, and that of RHEL 7.

use crate::report::{DstReport, Timedate, ZonedTime};
use crate::sys::locale::Locale;
use crate::types::civil::CivilTime;

/// How the text is to look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Style {
    /// Names of weekdays in `status`.
    pub(super) locale: Locale,
    /// Whether labels are blue.
    pub(super) colour: bool,
    /// Columns of the terminal; `None`: no limit.
    pub(super) columns: Option<usize>,
}

const ENGLISH: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// Why a table was not printed: a value in it is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotUtf8;

/// The seven lines of `timedatectl status`.
///
/// # Errors
/// When the locale's weekdays are not UTF-8.
pub(super) fn status(report: &Timedate, style: &Style) -> Result<String, NotUtf8> {
    let mut names = Vec::new();
    for name in &style.locale.weekdays {
        names.push(std::str::from_utf8(name).map_err(|_| NotUtf8)?);
    }
    let clock = &report.clock;
    let shown = clock.time.secs() - i64::from(report.zone_leap_seconds);
    let rtc = report.rtc.reading.map_or_else(|| "n/a".into(), |t| stamp(t.secs(), 0, &names));
    let rows = [
        ("Local time", format!("{} {}", stamp(shown, clock.utc_offset_s, &names), clock.abbreviation)),
        ("Universal time", format!("{} UTC", stamp(shown, 0, &names))),
        ("RTC time", rtc),
        ("Time zone", zone(report)),
        ("System clock synchronized", yes_no(report.synchronized).into()),
        ("NTP service", service(report).into()),
        ("RTC in local TZ", yes_no(report.rtc.local).into()),
    ];
    Ok(table(&rows, style))
}

fn zone(report: &Timedate) -> String {
    let name = report.timezone.as_deref().unwrap_or("n/a");
    format!("{name} ({}, {})", report.clock.abbreviation, offset(report.clock.utc_offset_s))
}

/// `active`, `inactive`, or `n/a` where there is nothing to switch.
fn service(report: &Timedate) -> &'static str {
    match (report.ntp.supported, report.ntp.active) {
        (false, _) => "n/a",
        (true, true) => "active",
        (true, false) => "inactive",
    }
}

pub(super) fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// `%a %Y-%m-%d %H:%M:%S` of a second since 1970.
fn stamp(unix: i64, utc_offset: i32, weekdays: &[&str]) -> String {
    let c = CivilTime::from_unix(unix, 0, utc_offset);
    let day = weekdays.get(usize::from(c.weekday)).copied().unwrap_or_default();
    format!("{day} {:04}-{:02}-{:02} {:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

/// `%a %Y-%m-%d %H:%M:%S %Z` in English.
fn english(time: &ZonedTime) -> String {
    format!("{} {}", stamp(time.time.secs(), time.utc_offset_s, &ENGLISH), time.abbreviation)
}

/// `%z`: hours and minutes.
fn offset(seconds: i32) -> String {
    let minutes = seconds.unsigned_abs() / 60;
    format!("{}{:02}{:02}", if seconds < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

/// Labels to the right, values to the left, as far as the terminal goes.
pub(super) fn table(rows: &[(&str, String)], style: &Style) -> String {
    let labels = rows.iter().map(|(label, _)| label.chars().count() + 1).max().unwrap_or(0);
    let values = rows.iter().map(|(_, value)| value.chars().count()).max().unwrap_or(0);
    let (label_width, value_width) = match style.columns {
        Some(columns) if labels + 1 + values > columns => {
            // both columns get half; what one does not need the other has
            let room = columns.saturating_sub(1);
            let label = labels.min((room / 2).max(room.saturating_sub(values)));
            (label, room - label)
        }
        _ => (labels, values),
    };
    let (on, off) = if style.colour { ("\x1b[0;94m", "\x1b[0m") } else { ("", "") };
    let mut text = String::new();
    for (label, value) in rows {
        let label = cut(&format!("{label}:"), label_width);
        text.push_str(&format!("{on}{label:>label_width$}{off} {}\n", cut(value, value_width)));
    }
    text
}

/// At most so many characters, the last one `…` when something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// What `-p`, `-a` and `--value` ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Selection {
    /// `NAME` or `NAME=VALUE`; none: all.
    pub(super) properties: Vec<String>,
    /// Whether empty values are shown.
    pub(super) all: bool,
    /// Whether names are left out.
    pub(super) value_only: bool,
}

/// Properties in the order of `rows`; `None`: left out even when all are asked for.
pub(super) fn properties(rows: &[(&str, Option<String>)], selection: &Selection) -> String {
    let empty_too = selection.all || !selection.properties.is_empty();
    let mut text = String::new();
    for (name, value) in rows {
        let Some(value) = value else { continue };
        let wanted = |asked: &String| match asked.split_once('=') {
            Some((asked, filter)) => asked == *name && filter == value,
            None => asked == name,
        };
        let asked = selection.properties.is_empty() || selection.properties.iter().any(wanted);
        if asked && (empty_too || !value.is_empty()) {
            match selection.value_only {
                true => text.push_str(&format!("{value}\n")),
                false => text.push_str(&format!("{name}={value}\n")),
            }
        }
    }
    text
}

/// `timedatectl show`.
pub(super) fn show(report: &Timedate, selection: &Selection) -> String {
    let rtc = report.rtc.caller_reading.as_ref().map(english).unwrap_or_default();
    let rows = [
        ("Timezone", report.timezone.clone().unwrap_or_default()),
        ("LocalRTC", yes_no(report.rtc.local).into()),
        ("CanNTP", yes_no(report.ntp.supported).into()),
        ("NTP", yes_no(report.ntp.active).into()),
        ("NTPSynchronized", yes_no(report.synchronized).into()),
        ("TimeUSec", english(&report.caller_clock)),
        ("RTCTimeUSec", rtc),
    ];
    properties(&rows.map(|(name, value)| (name, Some(value))), selection)
}

/// The warning below the status of a host whose RTC keeps local time.
pub(super) const LOCAL_RTC: &str = " 
Warning: The system is configured to read the RTC time in the local time zone.
         This mode cannot be fully supported. It will create various problems
         with time zone changes and daylight saving time adjustments. The RTC
         time is never updated, it relies on external facilities to maintain it.
         If at all possible, use RTC in UTC by calling
         'timedatectl set-local-rtc 0'.";

/// The warning before `set-local-rtc 1`.
pub(super) const SETTING_LOCAL_RTC: &str = "\
Warning: The system is now being configured to read the RTC time in the local time zone
         This mode cannot be fully supported. It will create various problems
         with time zone changes and daylight saving time adjustments. The RTC
         time is never updated, it relies on external facilities to maintain it.
         If at all possible, use RTC in UTC";

/// Which label RHEL 7's layout has for the zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ZoneLabel {
    /// `Timezone`: 7.0 and 7.1 (systemd 208), the users' transcript.
    OneWord,
    /// `Time zone`: 7.2 and later (systemd 219).
    TwoWords,
}

/// The status of RHEL 7, with the lines on daylight saving time.
pub(super) fn status_rhel7(report: &Timedate, style: &Style, label: ZoneLabel) -> String {
    let lossy: Vec<_> = style.locale.weekdays.iter().map(|name| String::from_utf8_lossy(name)).collect();
    let names: Vec<&str> = lossy.iter().map(AsRef::as_ref).collect();
    let clock = &report.clock;
    let shown = clock.time.secs() - i64::from(report.zone_leap_seconds);
    let enabled = match (report.ntp.supported, report.ntp.enabled) {
        (false, _) => "n/a",
        (true, enabled) => yes_no(enabled.unwrap_or(report.ntp.active)),
    };
    // that generation looks at the kernel's own flag
    let synchronized = report.kernel.as_ref().is_some_and(|kernel| !kernel.unsync);
    let mut text = String::new();
    let mut row = |label: &str, value: &str| text.push_str(&format!("{label:>16}: {value}\n"));
    row("Local time", &format!("{} {}", stamp(shown, clock.utc_offset_s, &names), clock.abbreviation));
    row("Universal time", &format!("{} UTC", stamp(shown, 0, &names)));
    let rtc = report.rtc.reading.map_or_else(|| "n/a".into(), |t| stamp(t.secs(), 0, &names));
    row("RTC time", &rtc);
    let zone_label = match label {
        ZoneLabel::OneWord => "Timezone",
        ZoneLabel::TwoWords => "Time zone",
    };
    row(zone_label, &zone(report));
    row("NTP enabled", enabled);
    row("NTP synchronized", yes_no(synchronized));
    row("RTC in local TZ", yes_no(report.rtc.local));
    match &report.dst {
        None => row("DST active", "n/a"),
        Some(dst) => dst_rows(dst, &names, &mut row),
    }
    if report.rtc.local {
        text.push_str(LOCAL_RTC_RHEL7);
    }
    text
}

/// The warning of systemd 219, on stdout and bold even into a pipe.
const LOCAL_RTC_RHEL7: &str = "
\x1b[1;39mWarning: The system is configured to read the RTC time in the local time zone.
         This mode can not be fully supported. It will create various problems
         with time zone changes and daylight saving time adjustments. The RTC
         time is never updated, it relies on external facilities to maintain it.
         If at all possible, use RTC in UTC by calling
         'timedatectl set-local-rtc 0'\x1b[0m.
";

fn dst_rows(dst: &DstReport, names: &[&str], row: &mut impl FnMut(&str, &str)) {
    let indent = " ".repeat(18);
    let line = |t: &ZonedTime| format!("{} {}", stamp(t.time.secs(), t.utc_offset_s, names), t.abbreviation);
    row("DST active", yes_no(dst.active));
    let what = if dst.last.begins { "began" } else { "ended" };
    let (before, after) = (line(&dst.last.before), line(&dst.last.after));
    row("Last DST change", &format!("DST {what} at\n{indent}{before}\n{indent}{after}"));
    let what = if dst.next.begins { "begins" } else { "ends" };
    let jump = match dst.next.shift_s / 60 {
        60 => "one hour forward".into(),
        -60 => "one hour backwards".into(),
        0 => String::new(),
        minutes if minutes > 0 => format!("{minutes} minutes forward"),
        minutes => format!("{} minutes backwards", minutes.unsigned_abs()),
    };
    let (before, after) = (line(&dst.next.before), line(&dst.next.after));
    row(
        "Next DST change",
        &format!("DST {what} (the clock jumps {jump}) at\n{indent}{before}\n{indent}{after}"),
    );
}
