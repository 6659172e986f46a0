//! Being asked to go: SIGTERM, SIGINT and SIGHUP, as the end of a session brings them.
//!
//! Who has nothing in hand goes at once. Who captures is given time to hand in what was seen; it
//! looks here, once a turn, whether it was asked. Nothing here knows what that is.

use crate::clock::rest;
use nix::sys::signal::{SigSet, Signal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// More than handing in takes; then the program ends, whatever it does.
const GRACE: Duration = Duration::from_secs(60);

/// Whether somebody asked.
pub struct Leave {
    asked: Arc<AtomicBool>,
    busy: Arc<AtomicBool>,
}

impl Leave {
    /// Starts a thread that is told. To be called before any other thread starts.
    ///
    /// # Errors
    /// What the system says.
    pub fn watch() -> std::io::Result<Leave> {
        let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
        signals.thread_block()?;
        let (asked, busy) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (tell, works) = (Arc::clone(&asked), Arc::clone(&busy));
        let wait = move || {
            if let Err(error) = signals.wait() {
                log::error!("signals are not heard: {error}");
                return;
            }
            // In one order for both threads: one of them sees what the other said.
            tell.store(true, Ordering::SeqCst);
            if works.load(Ordering::SeqCst) {
                rest(GRACE);
            }
            std::process::exit(0);
        };
        std::thread::Builder::new().name("leave".to_owned()).spawn(wait)?;
        Ok(Leave { asked, busy })
    }

    #[must_use]
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Says whether there is something in hand.
    pub fn busy(&self, is: bool) {
        self.busy.store(is, Ordering::SeqCst);
    }
}
