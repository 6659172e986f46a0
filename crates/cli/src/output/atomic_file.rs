//! A file that is created atomically: it gets its name once it is complete and on the disk.
//!
//! Only its owner can read it, because exports contain speech in clear.

use crate::error::Error;
use atomic_write_file::AtomicWriteFile;
use atomic_write_file::unix::OpenOptionsExt as _;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file that does not have its final name yet. If it is dropped, nothing remains of it.
pub struct AtomicFile {
    target: PathBuf,
    file: AtomicWriteFile,
}

impl AtomicFile {
    /// Creates the temporary file for `target`.
    pub fn create(target: &Path) -> Result<AtomicFile, Error> {
        let target = target.to_owned();
        let mut options = AtomicWriteFile::options();
        options.read(true).mode(0o600).preserve_mode(false).preserve_owner(false);
        match options.open(&target) {
            Ok(file) => Ok(AtomicFile { target, file }),
            Err(error) => Err(Error::Write { path: target, error }),
        }
    }

    /// Returns a handle for writing; the position is shared.
    pub fn try_clone_file(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(|error| self.write_error(error))
    }

    /// Syncs the file, renames it to its target, and syncs the new name.
    pub fn commit(self) -> Result<(), Error> {
        let AtomicFile { target, file } = self;
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let committed = file.commit().and_then(|()| File::open(folder)?.sync_all());
        committed.map_err(|error| Error::Write { path: target, error })
    }

    /// Returns the final path.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Creates the error for a failed write.
    pub fn write_error(&self, error: std::io::Error) -> Error {
        Error::Write { path: self.target.clone(), error }
    }
}
