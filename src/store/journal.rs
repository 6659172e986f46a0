//! The journal: one append-only file per UTC day, with every entry chained to the one before.
//!
//! An entry is a fact or a checkpoint. Its checksum distinguishes torn from whole entries; its
//! hash chain tag distinguishes edited from genuine entries. The chain runs through all files. A
//! checkpoint signs the whole chain up to its position. `docs/record-format.md` draws every byte.
//!
//! `write` encodes entries and `read` decodes them. The reader reports where a torn tail begins;
//! truncating it is up to the caller.

mod format;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use format::{Checkpoint, JournalHeader, MAX_ENTRY_BYTES, ParsedEntry, parse_entry};
pub use read::{JournalEnd, JournalItem, JournalReader};
pub use write::JournalWriter;

/// Maximum bytes of an entry's body (kind and postcard).
pub const MAX_BODY_BYTES: usize = 60_000;

/// Bytes of a file's header.
pub const HEADER_BYTES: usize = 72;

/// Sequence of the journal's first entry.
pub const FIRST_SEQUENCE: u64 = 1;

/// Returns for each journal file the sequence (exclusive) up to which its entries count. `files`
/// lists part number and first sequence in order (`None`: the header is torn).
///
/// A later part begins when a file failed, and re-logs the entries that were not durable there. It
/// supersedes everything from its first sequence on in all files before it, torn or damaged. A part
/// with a torn header was never synced: if another part follows, none of its entries count.
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

/// The position at which a journal continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct JournalState {
    /// Sequence of the next entry.
    pub sequence: u64,
    /// Hash chain up to the last entry.
    pub chain: [u8; 32],
}

impl JournalState {
    /// The state before the first entry.
    pub const START: JournalState = JournalState { sequence: FIRST_SEQUENCE, chain: [0; 32] };
}

/// The reason why a journal file cannot be read, or not any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    #[error("reading failed: {kind}")]
    Read { kind: std::io::ErrorKind },
    #[error("journal format version {found}; this program reads version {}", format::VERSION)]
    Version { found: u16 },
}
