//! Jobs for the disk thread (`Job`) and their results (`Completion`).
//!
//! The recorder submits jobs and `shell::workers::disk` executes them in order; a simulation can
//! inject faults. Paths are relative to the data directory. A buffer travels with its job and
//! returns with the completion, so audio needs no allocation.

/// Number of an open file, chosen by the recorder and not reused until restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// Number of a sync, from 1. All appends submitted before the sync are durable once it completes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// One job for the disk thread.
#[derive(Debug, PartialEq, Eq)]
pub enum Job {
    /// Create a new file and its parent directories; fails if the file exists.
    Create {
        file: FileId,
        path: String,
    },
    /// Open an existing file for appending.
    Reopen {
        file: FileId,
        path: String,
    },
    Append {
        file: FileId,
        bytes: Vec<u8>,
    },
    Close {
        file: FileId,
    },
    /// Make all earlier jobs durable: contents, lengths and new names.
    Sync {
        ticket: Ticket,
    },
    /// Read up to `bytes.capacity()` bytes from `offset` on.
    Read {
        tag: u64,
        path: String,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// Remove a file.
    Remove {
        path: String,
    },
    /// Write zeros over bytes of an existing file, durably.
    Overwrite {
        path: String,
        offset: u64,
        length: u64,
    },
    /// Let the file `new` take the place of the one at `path`. If `new` does not exist, an earlier
    /// attempt has already done it.
    Replace {
        new: String,
        path: String,
    },
    /// Query the free space of the data file system.
    QueryFreeSpace,
    /// Create a file and remove it again.
    TryCreate {
        path: String,
    },
}

/// Error from the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    #[error("the disk is full")]
    Full,
    #[error("the disk failed (errno {0})")]
    Failed(i32),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Completion {
    Opened {
        file: FileId,
        result: Result<(), DiskError>,
    },
    /// Append finished; `bytes` returns empty for reuse.
    Appended {
        file: FileId,
        bytes: Vec<u8>,
        result: Result<(), DiskError>,
    },
    Synced {
        ticket: Ticket,
        result: Result<(), DiskError>,
    },
    Read {
        tag: u64,
        bytes: Vec<u8>,
        result: Result<(), DiskError>,
    },
    Removed {
        path: String,
        result: Result<(), DiskError>,
    },
    /// Result of `Job::Overwrite`.
    Overwritten {
        result: Result<(), DiskError>,
    },
    /// Result of `Job::Replace`.
    Replaced {
        result: Result<(), DiskError>,
    },
    /// Result of `Job::TryCreate`.
    TrialCreated {
        result: Result<(), DiskError>,
    },
    /// Bytes available to the daemon, and in total.
    FreeSpace {
        free: u64,
        total: u64,
    },
}
