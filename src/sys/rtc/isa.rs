//! The CMOS clock of a PC through its I/O ports (MC146818 data sheet): for machines without a working `/dev/rtc`.

use std::arch::asm;

use nix::errno::Errno;

use crate::sys::SysError;
use crate::sys::clock::ClockControl;
use crate::types::rtc::RtcFields;

/// Port that selects a register.
const ADDRESS: u16 = 0x70;
/// Port that reads or writes the selected register.
const DATA: u16 = 0x71;

const SECOND: u8 = 0x00;
const MINUTE: u8 = 0x02;
const HOUR: u8 = 0x04;
const WEEKDAY: u8 = 0x06;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const CONTROL_A: u8 = 0x0a;
const CONTROL_B: u8 = 0x0b;
/// Where PCs keep the century.
const CENTURY: u8 = 0x32;

/// Register A: an update is in progress.
const UPDATING: u8 = 0x80;
/// Register A: the divider is held in reset, so that the next second starts half a second after it is let go.
const DIVIDER_RESET: u8 = 0x70;
/// Register B: updates are stopped.
const SET: u8 = 0x80;
/// Register B: binary numbers instead of BCD.
const BINARY: u8 = 0x04;
/// Register B: hours 0 … 23.
const HOURS_24: u8 = 0x02;
/// Hour register in 12-hour mode: afternoon.
const PM: u8 = 0x80;

/// The right to use the ports.
#[derive(Debug)]
pub struct Ports(());

impl Ports {
    /// Asks the kernel for it.
    ///
    /// # Errors
    /// `EPERM` without CAP_SYS_RAWIO.
    #[expect(unsafe_code, reason = "iopl")]
    pub fn open() -> Result<Self, SysError> {
        // SAFETY: iopl changes what this thread may do, not its memory.
        let result = unsafe { libc::iopl(3) };
        Errno::result(result).map_err(|errno| SysError::new("iopl", "", errno))?;
        Ok(Self(()))
    }

    /// Whether the registers are being updated.
    pub fn is_updating(&self) -> bool {
        self.register(CONTROL_A) & UPDATING != 0
    }

    /// Reads the registers, again until no update came between.
    pub fn read(&self) -> RtcFields {
        loop {
            // an update takes 2 ms at most; a chip that is always updating reads as nonsense rather than never
            let mut patience = 100_000_u32;
            while self.is_updating() && patience > 0 {
                patience -= 1;
            }
            let bytes = [SECOND, MINUTE, HOUR, WEEKDAY, DAY, MONTH, YEAR, CENTURY].map(|r| self.register(r));
            if (bytes[0] == self.register(SECOND) && !self.is_updating()) || patience == 0 {
                return fields_of(bytes, self.register(CONTROL_B));
            }
        }
    }

    /// Sets the registers, at once, and restarts the second.
    pub fn set(&mut self, _: &ClockControl, fields: &RtcFields) {
        let control = self.register(CONTROL_B);
        let frequency = self.register(CONTROL_A);
        self.set_register(CONTROL_B, control | SET);
        self.set_register(CONTROL_A, frequency | DIVIDER_RESET);
        let registers = [SECOND, MINUTE, HOUR, WEEKDAY, DAY, MONTH, YEAR, CENTURY];
        for (register, byte) in registers.into_iter().zip(bytes_of(fields, control)) {
            self.set_register(register, byte);
        }
        // the data sheet's order: let the second run, then the divider
        self.set_register(CONTROL_B, control);
        self.set_register(CONTROL_A, frequency);
    }

    #[expect(unsafe_code, reason = "port input")]
    fn register(&self, register: u8) -> u8 {
        let value: u8;
        // SAFETY: iopl(3) was granted (the only constructor); reading a CMOS register has no side effect on memory.
        unsafe {
            asm!("out dx, al", in("dx") ADDRESS, in("al") register, options(nomem, nostack, preserves_flags));
            asm!("in al, dx", in("dx") DATA, out("al") value, options(nomem, nostack, preserves_flags));
        }
        value
    }

    #[expect(unsafe_code, reason = "port output")]
    fn set_register(&mut self, register: u8, value: u8) {
        // SAFETY: iopl(3) was granted; only the registers of the clock are written.
        unsafe {
            asm!("out dx, al", in("dx") ADDRESS, in("al") register, options(nomem, nostack, preserves_flags));
            asm!("out dx, al", in("dx") DATA, in("al") value, options(nomem, nostack, preserves_flags));
        }
    }
}

/// What second, minute, hour, weekday, day, month, year and century registers mean under control register B.
fn fields_of(bytes: [u8; 8], control: u8) -> RtcFields {
    let number = |byte: u8| {
        let value = if control & BINARY != 0 { byte } else { (byte >> 4) * 10 + (byte & 0x0f) };
        i32::from(value)
    };
    let [second, minute, hour, weekday, day, month, year, century] = bytes;
    let hour = if control & HOURS_24 != 0 {
        number(hour)
    } else {
        number(hour & !PM) % 12 + if hour & PM != 0 { 12 } else { 0 }
    };
    // not every chip keeps a century: a year below 70 is then in this one
    let year = match number(century) {
        19..=99 => number(century) * 100 + number(year) - 1900,
        _ if number(year) < 70 => number(year) + 100,
        _ => number(year),
    };
    RtcFields {
        second: number(second),
        minute: number(minute),
        hour,
        day: number(day),
        month0: number(month) - 1,
        years_since_1900: year,
        weekday: number(weekday) - 1,
        day_of_year: 0,
        dst: -1,
    }
}

/// The opposite of [`fields_of`].
fn bytes_of(fields: &RtcFields, control: u8) -> [u8; 8] {
    let byte = |value: i32| {
        let value = u8::try_from(value.rem_euclid(100)).unwrap_or(0);
        if control & BINARY != 0 { value } else { ((value / 10) << 4) | (value % 10) }
    };
    let hour = if control & HOURS_24 != 0 {
        byte(fields.hour)
    } else {
        byte((fields.hour + 11) % 12 + 1) | if fields.hour >= 12 { PM } else { 0 }
    };
    let year = fields.years_since_1900.saturating_add(1900);
    [
        byte(fields.second),
        byte(fields.minute),
        hour,
        byte(fields.weekday + 1),
        byte(fields.day),
        byte(fields.month0 + 1),
        byte(year),
        byte(year / 100),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_read_back_in_every_mode() {
        for control in [0, BINARY, HOURS_24, BINARY | HOURS_24] {
            for hour in 0..24 {
                let unix = 1_795_219_200 + hour * 3600 + 1234;
                let fields = RtcFields::from_unix(unix, 0).unwrap();
                let expected = RtcFields { day_of_year: 0, dst: -1, ..fields };
                assert_eq!(fields_of(bytes_of(&fields, control), control), expected, "{control} {hour}");
            }
        }
    }

    #[test]
    fn bcd_and_the_missing_century() {
        let f = fields_of([0x59, 0x48, 0x23, 0x07, 0x21, 0x11, 0x26, 0xff], HOURS_24);
        assert_eq!(
            (f.second, f.minute, f.hour, f.day, f.month0, f.years_since_1900),
            (59, 48, 23, 21, 10, 126)
        );
        let f = fields_of([0, 0, 0, 1, 1, 1, 0x99, 0], HOURS_24);
        assert_eq!(f.years_since_1900, 99);
    }
}
