//! The client's clock and its source of random bits.
//!
//! Time is counted in milliseconds from the first call.

use crate::core::Now;
use std::sync::OnceLock;
use std::time::Instant;

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
