//! Threads and random bits for the workers. Tests replace them to make them fail.

use std::io;

/// Name of the worker threads.
const THREAD: &str = "worker";

/// System services that a worker uses and that may fail.
pub trait System: Send + Sync {
    /// Runs `work` in a new thread.
    ///
    /// # Errors
    /// The thread cannot be started; `work` is dropped.
    fn spawn(&self, work: Box<dyn FnOnce() + Send>) -> io::Result<()>;

    /// Fills `bytes` with random bits.
    ///
    /// # Errors
    /// Why no random bits are available, as text.
    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), String>;
}

/// The real system.
pub struct Kernel;

impl System for Kernel {
    fn spawn(&self, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        std::thread::Builder::new().name(THREAD.to_string()).spawn(work).map(drop)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), String> {
        getrandom::fill(bytes).map_err(|error| format!("no random bits: {error}"))
    }
}

/// Whether this is a worker thread. A panic there fails only its request, because it shares no
/// mutable state with the loop.
#[must_use]
pub fn is_worker_thread() -> bool {
    std::thread::current().name() == Some(THREAD)
}
