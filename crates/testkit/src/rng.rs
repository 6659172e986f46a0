//! The tests' only source of random numbers. A seed replays a run. Not for secrets.

/// A generator with 64 bits of state (SplitMix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    pub fn byte(&mut self) -> u8 {
        self.next_u64().to_le_bytes()[0]
    }

    /// Returns a number from 0 to `end` - 1.
    pub fn below<N>(&mut self, end: N) -> N
    where
        N: TryFrom<u64>,
        u64: TryFrom<N>,
    {
        let end = u64::try_from(end).ok().filter(|end| *end > 0).expect("an end above 0");
        N::try_from(self.next_u64() % end).ok().expect("a number below one of its type")
    }

    /// Returns true once in `n` times, on average.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Final mixing function of SplitMix64.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
