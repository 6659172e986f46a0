//! Signals as a descriptor in the loop.
//!
//! SIGTERM, SIGINT and SIGQUIT shut down; SIGHUP reloads the configuration. Every other signal that
//! would end or stop the process has no meaning here: it is logged and ignored. Exceptions are the
//! signals that report a fault of the program itself, such as SIGSEGV and SIGABRT.

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::AsRawFd;

/// Signals that keep their default action: faults of the program, and those that do nothing.
const UNBLOCKED: [Signal; 11] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGSYS,
    Signal::SIGABRT,
    Signal::SIGCHLD,
    Signal::SIGURG,
    Signal::SIGCONT,
    // The runtime ignores it, because a blocked one would stay pending after each failed write.
    Signal::SIGPIPE,
];

/// Signals taken per turn; real-time signals queue up.
pub const SIGNALS_PER_TURN: usize = 16;

/// Action that a signal requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignalAction {
    Stop,
    Reload,
    /// Only log the signal with this name.
    Ignore(String),
}

/// The signal descriptor.
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals and opens the descriptor. Call it before any thread starts.
    ///
    /// # Errors
    /// The system call failed.
    pub fn open() -> nix::Result<Signals> {
        let mut set = SigSet::all();
        for signal in UNBLOCKED {
            set.remove(signal);
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
        let number = self.0.read_signal().ok().flatten()?.ssi_signo;
        let signal = i32::try_from(number).ok().and_then(|n| Signal::try_from(n).ok());
        Some(match signal {
            Some(Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT) => SignalAction::Stop,
            Some(Signal::SIGHUP) => SignalAction::Reload,
            Some(other) => SignalAction::Ignore(other.as_str().to_string()),
            None => SignalAction::Ignore(format!("signal {number}")),
        })
    }
}
