//! Signals as a descriptor in the loop: SIGTERM and SIGINT shut down, SIGHUP reloads the
//! configuration. SIGPIPE is ignored; other signals keep their default action.

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::AsRawFd;

/// Action that a signal requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAction {
    Stop,
    Reload,
}

/// The signal descriptor.
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals and opens the descriptor. Call it before any thread starts.
    ///
    /// # Errors
    /// The system call failed.
    pub fn open() -> nix::Result<Signals> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            set.add(signal);
        }
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map(Signals)
    }

    #[must_use]
    pub fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Returns the next requested action, if any.
    pub fn next(&self) -> Option<SignalAction> {
        let info = self.0.read_signal().ok().flatten()?;
        let signal = i32::try_from(info.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok());
        match signal {
            Some(Signal::SIGHUP) => Some(SignalAction::Reload),
            _ => Some(SignalAction::Stop),
        }
    }
}
