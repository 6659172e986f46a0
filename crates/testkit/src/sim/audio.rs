//! Audio of the simulated boards: a pattern unique to start, channel and position.

use crate::rng::mix;

/// The sample at a position: a mixing hash that is never 0, so that no sample equals silence.
pub fn sample(boot: u32, channel: u16, position: u64, side: usize) -> i16 {
    let place = u64::from(boot) << 40 ^ u64::from(channel) << 20 ^ (side as u64) << 16;
    let bits = mix(place.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ mix(position));
    let value = i16::from_le_bytes([bits.to_le_bytes()[0], bits.to_le_bytes()[1]]);
    if value == 0 { 1 } else { value }
}
