//! PCM: 16-bit little-endian samples, bit-exact. Receives stored samples only and has no state.

/// Appends two bytes per sample.
pub(super) fn encode(samples: &[i16], payload: &mut Vec<u8>) {
    payload.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
}

/// Appends one sample per two bytes; the length of `payload` must be even.
pub(super) fn decode(payload: &[u8], samples: &mut Vec<i16>) {
    let (pairs, odd) = payload.as_chunks::<2>();
    assert!(odd.is_empty(), "half a sample");
    samples.extend(pairs.iter().map(|pair| i16::from_le_bytes(*pair)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_little_endian_and_come_back() {
        let samples = [0, 1, -1, 0x1234, i16::MIN, i16::MAX];
        let mut payload = vec![0xa5];
        encode(&samples, &mut payload);
        assert_eq!(payload, [0xa5, 0, 0, 1, 0, 255, 255, 0x34, 0x12, 0, 128, 255, 127]);
        let mut back = vec![7];
        decode(&payload[1..], &mut back);
        assert_eq!(back, [7, 0, 1, -1, 0x1234, i16::MIN, i16::MAX]);
    }
}
