//! Number of audio channels that one core can carry through the ring and its mask.
//!
//! Each 20 ms period is written, masked half of the time, cleared and wiped, as in the loop.
//! Encoding, which costs far more, is excluded.

use hushbox::audio::mask::Mask;
use hushbox::audio::ring::Ring;
use hushbox::time::Position;
use std::hint::black_box;

const RATE: u64 = 8000;
const PERIOD_FRAMES: usize = 160;
const HOLDBACK_FRAMES: u64 = 3 * RATE;
const RING_FRAMES: usize = 48_000;
const SECONDS: u64 = 36_000;

fn main() {
    println!("ring: {:.0} channels of 8 kHz mono a core", channels_per_core(1));
    println!("ring: {:.0} channels of 8 kHz stereo a core", channels_per_core(2));
}

/// Returns the seconds of audio processed per second of time.
fn channels_per_core(sides: usize) -> f64 {
    let samples = vec![1000_i16; PERIOD_FRAMES * sides];
    let mut ring = Ring::new(sides, RING_FRAMES, PERIOD_FRAMES);
    let mut mask = Mask::default();
    let mut cursor = Position(0);
    #[allow(clippy::disallowed_methods)]
    let started = std::time::Instant::now();
    while ring.head().0 < SECONDS * RATE {
        let second = ring.head().0 / RATE;
        if second.is_multiple_of(2) && mask.is_open() {
            mask.close_at(ring.head());
        } else if !second.is_multiple_of(2) && !mask.is_open() {
            mask.open_at(ring.head());
        }
        ring.write(&samples, mask.is_open());
        while cursor.plus(HOLDBACK_FRAMES) < ring.head() {
            let cleared = ring.read_cleared(cursor, PERIOD_FRAMES, [&mask, &Mask::EMPTY]);
            cursor = cursor.plus(black_box(cleared).frames() as u64);
            ring.wipe_scratch();
        }
        mask.prune_before(cursor);
    }
    #[allow(clippy::cast_precision_loss)]
    let seconds = SECONDS as f64;
    seconds / started.elapsed().as_secs_f64()
}
