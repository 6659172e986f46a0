//! Findings and notes of a verification, as sentences for auditors.
//!
//! A `Finding` is something edited, missing or truncated. A `Note` is information, not a fault.
//! Both name the file and the place in it.

use crate::id::RecordingId;
use crate::store::damage::Damage;
use crate::store::journal::JournalError;
use crate::store::media::MediaError;

/// Something edited, missing or truncated. Offsets are bytes from the start of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    #[error("{path}: cannot be read as a journal: {why}")]
    JournalUnreadable { path: String, why: JournalError },
    #[error(
        "{path}: at byte {at}: {why}. Entries up to the next checkpoint are not proven to be \
         genuine"
    )]
    JournalDamaged { path: String, at: u64, why: Damage },
    #[error(
        "{path}: nothing is valid from byte {at} on: the tail is torn, as after a power failure; \
         the daemon truncates it at its next start"
    )]
    JournalTorn { path: String, at: u64 },
    #[error("{path}: its header says that it is the journal of {day}")]
    JournalMisnamed { path: String, day: String },
    #[error(
        "{path}: begins with entry {found}, but entry {expected} should come next: entries, or a \
         whole day's file, are missing, or the files are not in order"
    )]
    JournalGap { path: String, expected: u64, found: u64 },
    #[error(
        "{path}: does not follow from the file before it: the hash chain is broken between them"
    )]
    JournalUnchained { path: String },
    #[error("{path}: at byte {at}: checkpoint {sequence} is not signed by this recorder's key")]
    BadSignature { path: String, at: u64, sequence: u64 },
    #[error(
        "witness: checkpoint {sequence} is not signed by this recorder's key: it is \
         forged or another recorder's, or the recorder's key was replaced"
    )]
    WitnessForged { sequence: u64 },
    #[error(
        "the journal ends with entry {last}, but the witness holds checkpoint {newest}: the end \
         was cut off, or the data directory was replaced by an older copy. {}",
        proven_text(*.common)
    )]
    WitnessBeyond { last: u64, newest: u64, common: u64 },
    #[error(
        "entry {sequence} is not the checkpoint that the witness holds (up to {newest}): the \
         journal was rewritten, or continued from an older copy. {}", proven_text(*.common)
    )]
    WitnessDiffers { sequence: u64, newest: u64, common: u64 },
    #[error("{path}: is missing, but recording {id} is not deleted according to the journal")]
    MediaMissing { path: String, id: RecordingId },
    #[error("{path}: cannot be read as a recording: {why}")]
    MediaUnreadable { path: String, why: MediaError },
    #[error("{path}: at byte {at}: {why}")]
    MediaDamaged { path: String, at: u64, why: Damage },
    #[error("{path}: nothing is valid from byte {at} on: the tail is torn")]
    MediaTorn { path: String, at: u64 },
    #[error("{path}: {what} does not match the journal")]
    MediaDiffers { path: String, what: MediaDifference },
    #[error("{path}: this recording is not in the journal")]
    MediaUnknown { path: String },
    #[error("{path}: is in the wrong place; the journal expects {expected}")]
    MediaMisplaced { path: String, expected: String },
    #[error("{path}: recording {id} is deleted, but its file still exists")]
    MediaNotDeleted { path: String, id: RecordingId },
    #[error(
        "{path}: recording {id} was interrupted and has no end; the daemon completes it \
         at its next start"
    )]
    NotRecovered { path: String, id: RecordingId },
    #[error(
        "{path}: the removal of a range of recording {id} was interrupted; the daemon finishes it \
         at its next start"
    )]
    RemovalUnfinished { path: String, id: RecordingId },
}

/// Returns how much of the journal the witness confirms.
fn proven_text(common: u64) -> String {
    match common {
        0 => "The journal contains no checkpoint of the witness".to_owned(),
        _ => format!("Up to checkpoint {common} the journal is unchanged"),
    }
}

/// A difference between a media file and the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaDifference {
    #[error("the recording named in its header")]
    Id,
    #[error("its size ({found} bytes, not {expected})")]
    Size { expected: u64, found: u64 },
    #[error("its digest")]
    Digest,
    #[error("its ledger (how much is stored, masked, held and lost)")]
    Ledger,
    #[error("its end")]
    End,
}

/// Information that is not a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    #[error("recording {id} was interrupted before any audio was durable; it has no audio")]
    NeverDurable { id: RecordingId },
    #[error("{path}: is newer than the journal that was read; the daemon is running")]
    New { path: String },
    #[error("recording {id}: {what} were removed for good by {by}: {reason}")]
    Removed { id: RecordingId, what: String, by: String, reason: String },
    #[error("recording {id} is running")]
    Running { id: RecordingId },
    #[error("no public key of the recorder given: checkpoint signatures were not checked")]
    NoKey,
    #[error("the {entries} entries after the last checkpoint are chained but not signed yet")]
    Unsigned { entries: u64 },
}
