//! What a verification can find, in sentences for auditors.
//!
//! A `Finding` is something edited, missing or cut. A `Diagnostic` is worth telling but no fault. Both
//! name the file and the place in it. Nothing here looks for them.

use crate::id::RecordingId;
use crate::store::damage::Damage;
use crate::store::journal::JournalError;
use crate::store::media::MediaError;

/// Something is edited, missing or cut. Offsets are bytes from the start of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    #[error("{path}: cannot be read as a journal: {why}")]
    JournalUnreadable { path: String, why: JournalError },
    #[error(
        "{path}: at byte {at}: {why}. What follows, up to the next checkpoint, is not proven to be \
         what the box wrote"
    )]
    JournalDamaged { path: String, at: u64, why: Damage },
    #[error(
        "{path}: from byte {at} on there is nothing valid: the tail is torn, as by a power cut; \
         the box cuts it off when it starts"
    )]
    JournalTorn { path: String, at: u64 },
    #[error("{path}: says it is the journal of {day}")]
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
    #[error("{path}: at byte {at}: checkpoint {sequence} is not signed by this box's key")]
    BadSignature { path: String, at: u64, sequence: u64 },
    #[error(
        "witness: checkpoint {sequence} is not signed by this box's key: it is another box's or \
         forged, or the box's key was exchanged"
    )]
    WitnessForged { sequence: u64 },
    #[error(
        "the journal ends with entry {last}, but the witness holds checkpoint {newest}: the end \
         was cut off, or the data directory was put back to an older copy. {}", proven_text(*.common)
    )]
    WitnessBeyond { last: u64, newest: u64, common: u64 },
    #[error(
        "entry {sequence} is not the checkpoint that the witness holds (up to {newest}): the \
         journal was rewritten, or goes on from an older copy. {}", proven_text(*.common)
    )]
    WitnessDiffers { sequence: u64, newest: u64, common: u64 },
    #[error("{path}: is missing, and the journal does not say that recording {id} was deleted")]
    MediaMissing { path: String, id: RecordingId },
    #[error("{path}: cannot be read as a recording: {why}")]
    MediaUnreadable { path: String, why: MediaError },
    #[error("{path}: at byte {at}: {why}")]
    MediaDamaged { path: String, at: u64, why: Damage },
    #[error("{path}: from byte {at} on there is nothing valid: the tail is torn")]
    MediaTorn { path: String, at: u64 },
    #[error("{path}: {what} is not what the journal says")]
    MediaDiffers { path: String, what: MediaDifference },
    #[error("{path}: the journal knows no such recording")]
    MediaUnknown { path: String },
    #[error("{path}: lies where the journal does not put it; expected {expected}")]
    MediaMisplaced { path: String, expected: String },
    #[error("{path}: recording {id} is deleted, but its file is still there")]
    MediaNotDeleted { path: String, id: RecordingId },
    #[error(
        "{path}: recording {id} was cut and has no end: the box has not recovered it; it does so \
         when it starts"
    )]
    NotRecovered { path: String, id: RecordingId },
}

/// How far the witness bears the journal out.
fn proven_text(common: u64) -> String {
    match common {
        0 => "No checkpoint of the witness is in it".to_owned(),
        _ => format!("Up to checkpoint {common} it is what it was"),
    }
}

/// In what a media file and the journal disagree.
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

/// Worth telling, and no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    #[error("recording {id} was cut before any of it was durable; it has no audio")]
    NeverDurable { id: RecordingId },
    #[error("{path}: is newer than what was read of the journal; the box is running")]
    New { path: String },
    #[error("recording {id} is running")]
    Running { id: RecordingId },
    #[error("no public key of the box was given: checkpoints were not checked for their signature")]
    NoKey,
    #[error("the {entries} entries after the last checkpoint are chained, but not signed yet")]
    Unsigned { entries: u64 },
}
