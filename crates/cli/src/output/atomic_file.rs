//! A file that is created atomically.
//!
//! It is written under a hidden name beside its target, synced, then renamed. If dropped earlier,
//! it is removed. Only its owner can read it, because exports contain speech in clear.

use crate::error::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that does not have its final name yet.
pub struct AtomicFile {
    target: PathBuf,
    path: PathBuf,
    file: File,
    is_committed: bool,
}

impl AtomicFile {
    /// Creates the temporary file for `target`.
    pub fn create(target: &Path) -> Result<AtomicFile, Error> {
        let failed = |error| Error::Write { path: target.to_owned(), error };
        let Some(name) = target.file_name() else {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        };
        let hidden = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let path = target.with_file_name(hidden);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).map_err(failed)?;
        Ok(AtomicFile { target: target.to_owned(), path, file, is_committed: false })
    }

    /// Returns a handle for writing; the position is shared.
    pub fn try_clone_file(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(|error| self.write_error(error))
    }

    /// Syncs the file and renames it to its target.
    pub fn commit(mut self) -> Result<(), Error> {
        self.file.sync_all().map_err(|error| self.write_error(error))?;
        std::fs::rename(&self.path, &self.target).map_err(|error| self.write_error(error))?;
        self.is_committed = true;
        let folder = match self.target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = File::open(folder).map_err(|error| self.write_error(error))?;
        folder.sync_all().map_err(|error| self.write_error(error))
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

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.is_committed {
            // The error that led here has been reported; a removal error adds nothing.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
