//! The packet tests, by name (discipline.md §1.2).

use std::fmt;

/// Which tests a packet passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a test of its own, shown as such")]
pub struct Tests {
    /// 1: not a duplicate.
    pub fresh: bool,
    /// 2: the origin time stamp is that of our request.
    pub origin: bool,
    /// 3: the time stamps are there.
    pub stamps: bool,
    /// 5: authenticated as configured.
    pub authentic: bool,
    /// 6: the server is synchronised.
    pub synchronised: bool,
    /// 7: root distance below 16 s.
    pub root_distance: bool,
    /// A: delay, precision, server's turnaround and offset are sane.
    pub sane: bool,
    /// B: delay ratio.
    pub delay_ratio: bool,
    /// C: delay quantile or deviation ratio.
    pub delay_deviation: bool,
    /// D: no synchronisation loop.
    pub loopless: bool,
}

impl Tests {
    /// In the order of reports: 1 2 3 5 6 7 A B C D.
    pub const fn all(&self) -> [bool; 10] {
        [
            self.fresh,
            self.origin,
            self.stamps,
            self.authentic,
            self.synchronised,
            self.root_distance,
            self.sane,
            self.delay_ratio,
            self.delay_deviation,
            self.loopless,
        ]
    }

    /// An answer of the source to our request.
    pub const fn is_valid(&self) -> bool {
        self.fresh && self.origin && self.stamps && self.authentic
    }

    /// Valid, and the source has a time to give.
    pub const fn is_synchronised(&self) -> bool {
        self.is_valid() && self.synchronised && self.root_distance
    }

    /// All tests.
    pub const fn is_good(&self) -> bool {
        self.is_synchronised() && self.only_delay_is_long() && self.delay_ratio && self.delay_deviation
    }

    /// The tests after 7 but those for the delay.
    pub(super) const fn only_delay_is_long(&self) -> bool {
        self.sane && self.loopless
    }

    /// All tests but D.
    pub(super) const fn only_loops(&self) -> bool {
        !self.loopless && self.sane && self.delay_ratio && self.delay_deviation
    }
}

impl fmt::Display for Tests {
    /// The column `123 567 ABCD` of the measurements log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, passed) in self.all().into_iter().enumerate() {
            if index == 3 || index == 6 {
                f.write_str(" ")?;
            }
            f.write_str(if passed { "1" } else { "0" })?;
        }
        Ok(())
    }
}
