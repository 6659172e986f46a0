//! A file in the making: whole under its name, or not there at all.
//!
//! It is written beside its place under a hidden name, synced, then renamed. Dropped before that,
//! it is removed. Only its owner may read it: exports hold speech in clear. Nothing here knows what
//! is in it.

use crate::error::Failure;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that is not yet under its name.
pub struct Part {
    target: PathBuf,
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Part {
    /// Begins the file that shall be called `target`.
    pub fn begin(target: &Path) -> Result<Part, Failure> {
        let failed = |error| Failure::Write { path: target.to_owned(), error };
        let Some(name) = target.file_name() else {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        };
        let hidden = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let path = target.with_file_name(hidden);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).map_err(failed)?;
        Ok(Part { target: target.to_owned(), path, file, kept: false })
    }

    /// To write to; the position is shared.
    pub fn file(&self) -> Result<File, Failure> {
        self.file.try_clone().map_err(|error| self.failed(error))
    }

    /// Makes it durable under its name.
    pub fn keep(mut self) -> Result<(), Failure> {
        self.file.sync_all().map_err(|error| self.failed(error))?;
        std::fs::rename(&self.path, &self.target).map_err(|error| self.failed(error))?;
        self.kept = true;
        let folder = match self.target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = File::open(folder).map_err(|error| self.failed(error))?;
        folder.sync_all().map_err(|error| self.failed(error))
    }

    /// What it shall be called.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The failure to write it.
    pub fn failed(&self, error: std::io::Error) -> Failure {
        Failure::Write { path: self.target.clone(), error }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            // If it cannot be removed either, the failure that led here has been said.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
