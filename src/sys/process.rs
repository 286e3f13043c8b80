//! This process: how it ends.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

/// Dies of a signal as if it had never been caught, so that the parent sees it; returns when the signal did not kill.
#[expect(unsafe_code, reason = "sigaction with the default action installs no handler")]
pub fn die_of(signal: i32) {
    let Ok(signal) = Signal::try_from(signal) else { return };
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: SIG_DFL is no Rust code, so nothing can run in signal context.
    let _ = unsafe { sigaction(signal, &default) };
    let _ = raise(signal);
}
