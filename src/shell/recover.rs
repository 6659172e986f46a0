//! Recovery on the real disk: the files of a data directory for `store::recover`.
//!
//! What is done to them, and why, stands there; here are only the system calls. Nothing else
//! writes to the directory meanwhile: its lock is held.

use crate::store::recover::{self, Files, Found, RecoverError};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Write};
use std::path::Path;

/// Reads the journal below `data` and completes what was cut.
///
/// # Errors
/// When a file cannot be read, or is of a newer version.
pub fn recover(data: &Path) -> Result<Found, RecoverError> {
    // A run that was killed may have left bytes that only the kernel has. What is read now counts
    // as durable, and other files will build on it: so it is made durable.
    if let Err(error) = File::open(data).and_then(|root| Ok(nix::unistd::syncfs(&root)?)) {
        log::error!("{}: what the last run wrote cannot be synced: {error}", data.display());
    }
    recover::recover(&mut Folder(data)).map_err(|error| match error {
        RecoverError::File { path, error } => {
            RecoverError::File { path: data.join(path).display().to_string(), error }
        }
        RecoverError::Journal { path, error } => {
            RecoverError::Journal { path: data.join(path).display().to_string(), error }
        }
    })
}

/// A data directory.
struct Folder<'a>(&'a Path);

impl Files for Folder<'_> {
    type File = BufReader<File>;

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.0.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn open(&self, path: &str) -> io::Result<BufReader<File>> {
        File::open(self.0.join(path)).map(BufReader::new)
    }

    fn mend(&mut self, path: &str, good: u64, more: &[u8]) -> io::Result<()> {
        let path = self.0.join(path);
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(good)?;
        drop(file);
        let mut file = OpenOptions::new().append(true).open(&path)?;
        file.write_all(more)?;
        file.sync_all()
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        std::fs::remove_file(self.0.join(path))
    }
}
