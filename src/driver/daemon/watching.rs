//! Whether somebody else sets the rate of the kernel's clock: looked for whenever the loop wakes, at most once a second.

use super::{Daemon, Input};
use crate::engine::interference::Look;
use crate::engine::timeline::KernelRate;
use crate::sys::clock;
use crate::types::TimeDelta;

/// Between two looks.
const PAUSE: TimeDelta = TimeDelta::from_secs(1);

/// How the kernel's clock stands.
pub(super) fn look() -> Option<Look> {
    let (tick, freq, slewing) = clock::registers().ok()?;
    Some(Look { slewing, ..accepted_now((tick, freq)) })
}

/// The kernel has just taken this setting.
pub(super) fn accepted_now((tick, freq): (i32, i32)) -> Look {
    Look { mono: clock::mono(), raw: clock::raw(), setting: KernelRate { tick, freq }, slewing: false }
}

impl Daemon {
    /// Looks for the traces of another hand, and takes the clock back where it is ours.
    pub(super) fn watch_rate(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        if clock::mono() - watch.last() < PAUSE {
            return;
        }
        let Some(now) = look() else { return };
        let Some(found) = watch.look(now) else { return };
        // its slews end here; a kernel that refuses says so at the next setting
        if let Some(control) = self.control.as_ref().filter(|_| now.slewing) {
            let _ = control.take_over();
        }
        self.hand(Input::Interference(found));
    }
}
