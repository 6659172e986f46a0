//! Encodes the journal: appends entries to a buffer that the caller owns.
//!
//! The writer holds only the next sequence and the chain, so it can continue from the state that a
//! reader returns.

use super::format::{self, Checkpoint, JournalHeader};
use super::{JournalState, MAX_BODY_BYTES};
use crate::store::fact::{Fact, JournalEntry, RecordingEnded};
use crate::store::media::MAX_SPANS;
use crate::store::sign::BoxSigningKey;
use crate::time::WallTime;

/// The state of the journal, and the part number of the current file.
#[derive(Clone, Debug)]
pub struct JournalWriter(JournalState, u32);

impl Default for JournalWriter {
    fn default() -> JournalWriter {
        JournalWriter::new()
    }
}

impl JournalWriter {
    /// Creates an empty journal. `begin_day` writes its first file's header.
    #[must_use]
    pub fn new() -> JournalWriter {
        JournalWriter(JournalState::START, 0)
    }

    /// Continues from the state that `JournalReader::finish` returned for the last file.
    #[must_use]
    pub fn from_state(state: JournalState) -> JournalWriter {
        JournalWriter(state, 0)
    }

    /// Continues in this file of the day; 0 is the first.
    #[must_use]
    pub fn with_part(self, part: u32) -> JournalWriter {
        JournalWriter(self.0, part)
    }

    /// Returns the current file's number within its day.
    #[must_use]
    pub fn part(&self) -> u32 {
        self.1
    }

    /// Returns the state after the last entry.
    #[must_use]
    pub fn state(&self) -> JournalState {
        self.0
    }

    /// Begins the file of `day` (`2026-11-22`) with its header.
    pub fn begin_day(&mut self, day: &str, out: &mut Vec<u8>) {
        self.1 = 0;
        let header = JournalHeader { day: day.to_owned(), start: self.0 };
        format::put_header(&header, out);
    }

    /// Begins the next file of the same day with its header. The caller re-logs the entries after
    /// `base`.
    pub fn begin_part(&mut self, day: &str, base: JournalState, out: &mut Vec<u8>) {
        assert!(base.sequence <= self.0.sequence);
        self.1 += 1;
        format::put_header(&JournalHeader { day: day.to_owned(), start: base }, out);
    }

    /// Appends a fact and returns its sequence. Lists of spans are truncated to `media::MAX_SPANS`
    /// (the ledger counts all frames, and the media file lists all runs). Protocol lines bound all
    /// other texts.
    pub fn append(&mut self, entry: &JournalEntry, out: &mut Vec<u8>) -> u64 {
        let shorter = |ended: &RecordingEnded| {
            let mut shorter = ended.clone();
            shorter.blackout_spans.truncate(MAX_SPANS);
            shorter
        };
        let fact = match &entry.fact {
            Fact::RecordingEnded(ended) if ended.blackout_spans.len() > MAX_SPANS => {
                Fact::RecordingEnded(shorter(ended))
            }
            Fact::ScreenEnded(ended) if ended.blackout_spans.len() > MAX_SPANS => {
                Fact::ScreenEnded(shorter(ended))
            }
            _ => return self.append_body(&format::entry_body(entry), out),
        };
        let body = format::entry_body(&JournalEntry { at: entry.at, fact });
        self.append_body(&body, out)
    }

    /// Appends a signed checkpoint and returns it.
    pub fn append_checkpoint(
        &mut self,
        key: &BoxSigningKey,
        at: WallTime,
        out: &mut Vec<u8>,
    ) -> Checkpoint {
        let checkpoint = Checkpoint::sign(self.0, key, at);
        let sequence = self.append_body(&format::checkpoint_body(&checkpoint), out);
        assert_eq!(sequence, checkpoint.sequence);
        checkpoint
    }

    fn append_body(&mut self, body: &[u8], out: &mut Vec<u8>) -> u64 {
        assert!(body.len() <= MAX_BODY_BYTES, "an entry of {} bytes", body.len());
        self.0.chain = format::next_chain(&self.0.chain, body);
        format::put_entry(body, &self.0.chain, out);
        let sequence = self.0.sequence;
        self.0.sequence += 1;
        sequence
    }
}
