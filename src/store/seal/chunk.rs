//! Sealing of audio chunks: ChaCha20-Poly1305 in place, with the clear header as associated data.
//!
//! The nonce is the chunk's sequence number, so one key must never seal two files. Sealing does not
//! allocate while the buffer has room for the tag.

use super::{DataKey, SealError};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce};

/// Bytes that sealing adds to a chunk.
pub const SEAL_TAG_BYTES: usize = 16;

/// Context of the subkey; part of the format.
const CONTEXT: &str = "hushbox v1 audio chunks";

/// First byte of the nonce, reserved for audio. Other uses of the subkey would need another value.
const DOMAIN_AUDIO: u8 = 1;

/// Seals and opens the chunks of one media file.
pub struct ChunkSealer(ChaCha20Poly1305);

impl ChunkSealer {
    /// Creates the sealer of the recording to which `key` belongs.
    #[must_use]
    pub fn new(key: &DataKey) -> ChunkSealer {
        let subkey = key.derive_subkey(CONTEXT);
        ChunkSealer(ChaCha20Poly1305::new((&*subkey).into()))
    }

    /// Seals `payload` in place and appends the tag. `clear` is authenticated but not encrypted.
    pub fn seal(&self, sequence: u32, clear: &[u8], payload: &mut Vec<u8>) {
        let sealed = self.0.encrypt_in_place(&chunk_nonce(sequence), clear, payload);
        assert!(sealed.is_ok(), "chunk {sequence}: {} bytes cannot be sealed", payload.len());
    }

    /// Opens `payload` in place and removes the tag. On an error its content is undefined.
    pub fn open(
        &self,
        sequence: u32,
        clear: &[u8],
        payload: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        let opened = self.0.decrypt_in_place(&chunk_nonce(sequence), clear, payload);
        opened.map_err(|_| SealError::Chunk { sequence })
    }
}

impl std::fmt::Debug for ChunkSealer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ChunkSealer(…)")
    }
}

fn chunk_nonce(sequence: u32) -> Nonce {
    let [a, b, c, d] = sequence.to_le_bytes();
    Nonce::from([DOMAIN_AUDIO, 0, 0, 0, a, b, c, d, 0, 0, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_opens_only_with_its_key_sequence_and_header() {
        let sealer = ChunkSealer::new(&DataKey::from_random([1; 32]));
        let mut sealed = b"payload".to_vec();
        sealer.seal(3, b"clear", &mut sealed);
        assert_eq!(sealed.len(), 7 + SEAL_TAG_BYTES);
        assert!(!sealed.windows(7).any(|window| window == b"payload"));
        let open = |sealer: &ChunkSealer, sequence, clear: &[u8]| {
            let mut copy = sealed.clone();
            sealer.open(sequence, clear, &mut copy).map(|()| copy)
        };
        assert_eq!(open(&sealer, 3, b"clear"), Ok(b"payload".to_vec()));
        assert_eq!(open(&sealer, 4, b"clear"), Err(SealError::Chunk { sequence: 4 }));
        assert_eq!(open(&sealer, 3, b"clean"), Err(SealError::Chunk { sequence: 3 }));
        let other = ChunkSealer::new(&DataKey::from_random([2; 32]));
        assert_eq!(open(&other, 3, b"clear"), Err(SealError::Chunk { sequence: 3 }));
    }

    #[test]
    fn sealing_with_spare_capacity_does_not_allocate() {
        let sealer = ChunkSealer::new(&DataKey::from_random([1; 32]));
        let mut payload = Vec::with_capacity(100 + SEAL_TAG_BYTES);
        payload.resize(100, 7);
        let before = payload.as_ptr();
        sealer.seal(0, b"", &mut payload);
        assert_eq!((payload.as_ptr(), payload.len()), (before, 116));
    }
}
