//! Identifiers that cannot be guessed, from one seed: the same seed gives the same ones.

use zeroize::Zeroizing;

/// A keyed counter. The seed must be fresh at each start, or identifiers repeat.
pub(crate) struct RandomSource {
    seed: Zeroizing<[u8; 32]>,
    counter: u64,
}

impl RandomSource {
    pub fn new(seed: [u8; 32]) -> RandomSource {
        RandomSource { seed: Zeroizing::new(seed), counter: 0 }
    }

    /// 32 bytes that were never given before.
    pub fn next_bytes(&mut self) -> Zeroizing<[u8; 32]> {
        self.counter += 1;
        Zeroizing::new(*blake3::keyed_hash(&self.seed, &self.counter.to_le_bytes()).as_bytes())
    }

    /// 16 hexadecimal digits: a tag or a branch (64 bits; RFC 3261 §19.3 asks for 32).
    pub fn next_token(&mut self) -> String {
        let bytes = self.next_bytes();
        data_encoding::HEXLOWER.encode(&bytes[..8])
    }

    /// The tag of a response that is sent without keeping state: the same request gets the same
    /// tag (RFC 3261 §8.2.7).
    pub fn stateless_tag(&self, request_key: &[u8; 16]) -> String {
        let hash = blake3::keyed_hash(&self.seed, request_key);
        data_encoding::HEXLOWER.encode(&hash.as_bytes()[..8])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_same_tokens_and_none_twice() {
        let (mut one, mut two) = (RandomSource::new([7; 32]), RandomSource::new([7; 32]));
        let tokens: Vec<String> = (0..1000).map(|_| one.next_token()).collect();
        let again: Vec<String> = (0..1000).map(|_| two.next_token()).collect();
        assert_eq!(tokens, again);
        let unique: std::collections::BTreeSet<&String> = tokens.iter().collect();
        assert_eq!(unique.len(), tokens.len());
        assert_ne!(RandomSource::new([8; 32]).next_token(), tokens[0]);
    }
}
