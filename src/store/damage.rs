//! Faults of a store file: how it ends, and what is inconsistent.
//!
//! The journal and media files follow one rule. A bad element with nothing valid after it is a
//! *torn tail*, as a power failure leaves it, and may be truncated. A bad element with valid ones
//! after it is *damage*: it is reported and skipped, never truncated.

/// The state of a file's end. Offsets are bytes from the start of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// The last element is whole.
    Clean,
    /// Nothing is valid from `at` on: a write was interrupted.
    Torn { at: u64 },
    /// An element before the end is invalid; the first one is at `at`.
    Damaged { at: u64, why: Damage },
}

/// What is wrong with an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("the file header does not match its checksum")]
    Header,
    #[error("the bytes do not match their checksum or are not in this format")]
    Checksum,
    #[error("the entry does not follow from the one before it: the hash chain is broken")]
    Chain,
    #[error("the entry is of a kind this version does not know")]
    Unknown,
    #[error("sequence number is {found}, expected {expected}")]
    Sequence { expected: u64, found: u64 },
    #[error("audio continues at position {found}, expected {expected}")]
    Position { expected: u64, found: u64 },
    #[error("the ledger of the trailer is not the sum of the chunks")]
    Ledger,
    #[error("the trailer's digest does not match the bytes before it")]
    Digest,
    #[error("there are bytes after the trailer")]
    AfterTrailer,
}
