//! What can be wrong with a file of the store: how it ends, and what does not add up.
//!
//! One rule for journal and media alike: the first bad element with nothing valid after it is a
//! *torn tail*, what a power cut leaves, and may be cut off. A bad element with valid ones after
//! it is *damage*: reported, read past, never truncated. Nothing here reads or repairs a file.

/// How a file ends. Offsets are bytes from the start of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// The last element is whole.
    Clean,
    /// From `at` on there is nothing valid: what was being written when the power was cut.
    Torn { at: u64 },
    /// Something before the end is wrong; the first of it lies at `at`.
    Damaged { at: u64, why: Damage },
}

/// What is wrong with an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("the file header does not match its checksum")]
    Header,
    #[error("the bytes do not match their checksum, or are not in our format")]
    Checksum,
    #[error("the entry does not follow from the one before it: the hash chain is broken")]
    Chain,
    #[error("the entry is of a kind this version does not know")]
    Unknown,
    #[error("sequence number {found} where {expected} should be")]
    Sequence { expected: u64, found: u64 },
    #[error("audio goes on at position {found}, not at {expected}")]
    Position { expected: u64, found: u64 },
    #[error("the ledger of the trailer is not the sum of the chunks")]
    Ledger,
    #[error("the trailer's digest is not that of the bytes before it")]
    Digest,
    #[error("there are bytes after the trailer")]
    AfterTrailer,
}
