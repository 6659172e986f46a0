//! The client's clock and its source of random bits.
//!
//! Time is counted in milliseconds from the first call.

use crate::core::Now;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the first call.
#[allow(clippy::disallowed_methods, reason = "a client is outside of the box: it has its clock")]
#[must_use]
pub fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let passed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}

/// The present time with random bits.
#[must_use]
pub fn read_now() -> Now {
    let mut bits = [0; 4];
    // Without random bits the retries have no jitter.
    let _ = getrandom::fill(&mut bits);
    Now { ms: now_ms(), random: u32::from_le_bytes(bits) }
}

/// How this run of the program names itself to a box: with the time at which it started.
#[allow(clippy::disallowed_methods, reason = "a client is outside of the box: it has its clock")]
#[must_use]
pub fn name_program() -> String {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started_ms = u64::try_from(started.as_millis()).unwrap_or_default();
    let mut bits = [0; 2];
    // Without random bits the time of the start has to be different enough.
    let _ = getrandom::fill(&mut bits);
    let version = env!("CARGO_PKG_VERSION");
    protocol::program::format_program("desk", version, started_ms, u16::from_le_bytes(bits))
}
