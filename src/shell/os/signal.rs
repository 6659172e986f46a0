//! Signals as a descriptor in the loop: SIGTERM and SIGINT stop in order, SIGHUP reads the
//! configuration again. SIGPIPE is ignored; everything else keeps its meaning.

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::AsRawFd;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAction {
    Stop,
    Reload,
}

/// The descriptor.
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals and opens the descriptor. To be called before any thread starts.
    ///
    /// # Errors
    /// What the system says.
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

    /// The next wish, if there is one.
    pub fn next(&self) -> Option<SignalAction> {
        let info = self.0.read_signal().ok().flatten()?;
        let signal = i32::try_from(info.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok());
        match signal {
            Some(Signal::SIGHUP) => Some(SignalAction::Reload),
            _ => Some(SignalAction::Stop),
        }
    }
}
