//! Shutdown on SIGTERM, SIGINT and SIGHUP, which the end of a desktop session sends.
//!
//! An idle client exits at once. A capturing client gets time to send what it has captured; it
//! checks once a turn whether a signal came.

use crate::clock::sleep_for;
use nix::sys::signal::{SigSet, Signal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The time after which the process exits in any case; sending takes less.
const GRACE: Duration = Duration::from_secs(60);

/// Whether a signal has requested the shutdown.
pub struct ShutdownSignal {
    requested: Arc<AtomicBool>,
    busy: Arc<AtomicBool>,
}

impl ShutdownSignal {
    /// Starts a thread that waits for the signals. Must be called before any other thread starts.
    ///
    /// # Errors
    /// If the signals cannot be blocked, or the thread cannot start.
    pub fn watch_signals() -> std::io::Result<ShutdownSignal> {
        let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
        signals.thread_block()?;
        let (requested, busy) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (set_requested, is_busy) = (Arc::clone(&requested), Arc::clone(&busy));
        let wait = move || {
            if let Err(error) = signals.wait() {
                log::error!("cannot wait for signals: {error}");
                return;
            }
            // Sequentially consistent: at least one of the two threads sees the other's store.
            set_requested.store(true, Ordering::SeqCst);
            if is_busy.load(Ordering::SeqCst) {
                sleep_for(GRACE);
            }
            std::process::exit(0);
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
        Ok(ShutdownSignal { requested, busy })
    }

    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// Sets whether there are captured frames to send.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::SeqCst);
    }
}
