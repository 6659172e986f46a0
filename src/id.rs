//! Identifiers: small numbers for objects in memory, random ids for recordings on disk.
//!
//! A `RecordingId` is 80 random bits as 16 lower-case base32 characters. It reveals nothing about
//! time, agent or order. The random bits come with the envelope (see `store::seal`).

use serde::{Deserialize, Serialize};

/// Opaque id of a recording, printed as 16 characters.
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

    /// Parses the printed form, in any case; `None` if malformed.
    #[must_use]
    pub fn parse(text: &str) -> Option<RecordingId> {
        let upper = text.to_ascii_uppercase();
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

/// Number of a client connection, from 1 since startup. With 64 bits it never repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_id_reads_back() {
        let id = RecordingId::from_random([0, 255, 3, 4, 5, 6, 7, 8, 9, 128]);
        assert_eq!(RecordingId::parse(&id.to_string()), Some(id));
        assert_eq!(RecordingId::parse(&id.to_string().to_uppercase()), Some(id));
        for bad in ["", "short", "aaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaä"] {
            assert_eq!(RecordingId::parse(bad), None, "{bad}");
        }
    }
}
