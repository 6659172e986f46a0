//! What the simulated boards hear: a pattern from which boot, channel and position can be told.

/// The sample at a position: a mixing hash that is never 0, so that silence is never a sample.
pub fn sample(boot: u32, channel: u16, position: u64, side: usize) -> i16 {
    let place = u64::from(boot) << 40 ^ u64::from(channel) << 20 ^ (side as u64) << 16;
    let bits = mix(place.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ mix(position));
    let value = i16::from_le_bytes([bits.to_le_bytes()[0], bits.to_le_bytes()[1]]);
    if value == 0 { 1 } else { value }
}

/// SplitMix64's finish.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A stream of numbers made from a seed: the only source of chance in a simulation.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// 0 to `n` - 1.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
