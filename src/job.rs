//! What the disk thread is asked (`Job`) and what it answers (`Completion`).
//!
//! The recorder only ever asks; `shell::disk` does it, in order, and a simulation can do it badly.
//! Paths are relative to the data directory. Buffers travel with the job and come back with the
//! answer, so that nothing is allocated per piece of audio. Nothing here touches a disk.

/// An open file, numbered by the recorder; never reused while the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// A sync, numbered from 1. What was appended before the sync was asked is durable after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// One thing for the disk thread to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Job {
    /// Makes a new file (it must not exist) and the folders above it.
    Create {
        file: FileId,
        path: String,
    },
    /// Opens a file that exists, to append to it.
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
    /// Makes everything before it durable: contents, lengths, new names.
    Sync {
        ticket: Ticket,
    },
    /// Reads up to `bytes.capacity()` bytes from `offset` on.
    Read {
        tag: u64,
        path: String,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// Removes a file's name.
    Remove {
        path: String,
    },
    /// Tells the free space of the data file system.
    QueryFreeSpace,
}

/// Why the disk refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    #[error("the disk is full")]
    Full,
    #[error("the disk failed (errno {0})")]
    Failed(i32),
}

/// What became of a job.
#[derive(Debug, PartialEq, Eq)]
pub enum Completion {
    Opened {
        file: FileId,
        result: Result<(), DiskError>,
    },
    /// `bytes` comes back, empty, to be used again.
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
    /// Bytes free to us, and in all.
    FreeSpace {
        free: u64,
        total: u64,
    },
}
