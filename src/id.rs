//! Identities: small numbers for what is in memory, opaque random words for what is on disk.
//!
//! A `RecordingId` is 80 random bits in 16 lower-case base32 letters and digits. It says nothing
//! about time, agent or order, so that an agent who sees one learns nothing from it. Nothing here
//! makes random bits: they come with the envelope (see `store::seal`).

use serde::{Deserialize, Serialize};

/// An opaque name of a recording, 16 letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordingId([u8; 10]);

impl RecordingId {
    #[must_use]
    pub fn from_random(bits: [u8; 10]) -> RecordingId {
        RecordingId(bits)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 10] {
        &self.0
    }

    /// Reads the printed form; anything else is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<RecordingId> {
        let upper = text.to_ascii_uppercase();
        if text.len() != 16 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return None;
        }
        let bytes = data_encoding::BASE32_NOPAD.decode(upper.as_bytes()).ok()?;
        bytes.try_into().ok().map(RecordingId)
    }
}

impl std::fmt::Display for RecordingId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&data_encoding::BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl std::fmt::Debug for RecordingId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{self}")
    }
}

/// One client connection, counted from 1 since the daemon started. It has 64 bits, so that no
/// client can connect often enough for a number to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_id_reads_back() {
        let id = RecordingId::from_random([0, 255, 3, 4, 5, 6, 7, 8, 9, 128]);
        assert_eq!(RecordingId::parse(&id.to_string()), Some(id));
        for bad in ["", "short", "AAAAAAAAAAAAAAAA", "aaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaaaa"] {
            assert_eq!(RecordingId::parse(bad), None, "{bad}");
        }
    }
}
