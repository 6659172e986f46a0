//! Removed ranges: the newest one, whose new file may not have replaced the old one yet.
//!
//! Only one removal runs at a time, and it ends before the next begins. After a power cut, recovery
//! therefore needs to know the newest only.

use super::Index;
use crate::id::RecordingId;
use crate::store::fact::{Fact, Redaction};
use crate::time::Position;
use serde::{Deserialize, Serialize};

/// What recovery needs in order to finish a removal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRedaction {
    /// The path of the old file.
    pub path: String,
    /// BLAKE3 of the new file.
    pub digest: [u8; 32],
    /// Offset and length of the removed chunks in the old file.
    pub old_bytes: (u64, u64),
}

impl From<&Redaction> for LastRedaction {
    fn from(redaction: &Redaction) -> LastRedaction {
        let (digest, old_bytes) = (redaction.file.digest, redaction.old_bytes);
        LastRedaction { path: redaction.path(), digest, old_bytes }
    }
}

impl Index {
    /// Returns the newest removal of a range.
    #[must_use]
    pub fn last_redaction(&self) -> Option<&LastRedaction> {
        self.last_redaction.as_ref()
    }

    pub(super) fn note_redaction(&mut self, fact: &Fact) {
        if let Fact::Redacted(redaction) = fact {
            self.last_redaction = Some(LastRedaction::from(redaction.as_ref()));
        }
    }

    /// Sets at which moment a recording's screen began.
    pub(super) fn apply_alignment(&mut self, id: RecordingId, at: (Position, Position)) {
        self.change_record(id, |record| {
            record.screen.get_or_insert_default().aligned = Some(at);
        });
    }
}
