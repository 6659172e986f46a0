//! The only clock and the only dice of the client.
//!
//! Time is counted from the first look, in milliseconds. Nothing here waits.

use crate::core::Moment;
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

/// Now, with random bits.
#[must_use]
pub fn moment() -> Moment {
    let mut bits = [0; 4];
    // Without random bits every pause is the shortest: no harm.
    let _ = getrandom::fill(&mut bits);
    Moment { ms: now_ms(), random: u32::from_le_bytes(bits) }
}
