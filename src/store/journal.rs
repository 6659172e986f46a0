//! The journal: one append-only file a UTC day, every entry chained to the one before.
//!
//! An entry is a fact or a checkpoint. It carries a short checksum, which tells torn from whole,
//! and a tag of the hash chain, which tells edited from true. The chain runs through all files; a
//! checkpoint holds all of it so far, signed by the box. `docs/record-format.md` draws every byte.
//!
//! `write` makes the bytes, `read` gives the entries back. Nothing here opens files, knows what
//! facts mean (see `index`), or ever truncates: it says where a torn tail begins.

mod format;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use format::{Checkpoint, JournalHeader, MAX_ENTRY_BYTES, ParsedEntry, parse_entry};
pub use read::{JournalEnd, JournalItem, JournalReader};
pub use write::JournalWriter;

/// Bytes of an entry's body: its kind and its postcard.
pub const MAX_BODY_BYTES: usize = 60_000;

/// Bytes of a file's header.
pub const HEADER_BYTES: usize = 72;

/// Number of the first entry of all.
pub const FIRST_SEQUENCE: u64 = 1;

/// Up to which number (exclusive) each journal file counts, given for all in order which part of
/// its day it is and the number of its first entry (`None`: its header is not whole).
///
/// A part after the first is begun when a file failed, and tells again what was not durable there;
/// so nothing from its first number on counts in any file before it, torn or damaged as it may be.
/// And a part without a whole header was never synced: when another follows, nothing of it counts.
#[must_use]
pub fn superseded_limits(files: &[(u32, Option<u64>)]) -> Vec<u64> {
    let mut until = vec![u64::MAX; files.len()];
    let mut lowest = u64::MAX;
    for (place, (part, start)) in files.iter().enumerate().rev() {
        until[place] = lowest;
        match (part, start) {
            (1.., Some(start)) => lowest = lowest.min(*start),
            (1.., None) if lowest < u64::MAX => until[place] = 0,
            _ => {}
        }
    }
    until
}

/// Where a journal goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct JournalState {
    /// Number of the next entry.
    pub sequence: u64,
    /// Hash chain up to the last entry.
    pub chain: [u8; 32],
}

impl JournalState {
    /// Before the first entry of all.
    pub const START: JournalState = JournalState { sequence: FIRST_SEQUENCE, chain: [0; 32] };
}

/// Why a journal file cannot be read at all, or not any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    #[error("reading failed: {kind}")]
    Read { kind: std::io::ErrorKind },
    #[error("journal format version {found}; this program reads version {}", format::VERSION)]
    Version { found: u16 },
}
