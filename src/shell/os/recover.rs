//! Recovery on the real disk: system calls for `store::recover`, which holds the logic.
//!
//! At startup the directory lock guarantees that no other process writes. Days are summarised
//! while the daemon runs.

use crate::shell::os::regular_file::{open_regular_file, overwrite_with_zeros};
use crate::store::archive;
use crate::store::archive::Catalogue;
use crate::store::day::Day;
use crate::store::recover::{self, RecoverError, RecoveredStore, StoreFs};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Reads the journal below `data` and completes interrupted writes.
///
/// # Errors
/// A file cannot be read, or has a newer format version.
pub fn recover_data_dir(data: &Path) -> Result<RecoveredStore, RecoverError> {
    // A killed run may have left data only in the page cache. Recovery treats what it reads as
    // durable, so sync first.
    let synced = File::open(data).and_then(|root| Ok(nix::unistd::syncfs(&root)?));
    if let Err(error) = &synced {
        log::error!("{}: what the last run wrote cannot be synced: {error}", data.display());
    }
    // Without a successful sync, no summary may build on this data.
    recover::recover_store(&mut DataDirFs { data, is_durable: synced.is_ok() })
        .map_err(|error| with_full_path(data, error))
}

/// Summarises the days before `today`. It may run beside the disk thread, because journals are
/// append-only and summaries are renamed into place.
///
/// # Errors
/// A journal cannot be read or a summary cannot be written.
pub fn summarise_days(
    data: &Path,
    today: Day,
    damaged: Option<Day>,
) -> Result<(Catalogue, u64), RecoverError> {
    archive::repair_summaries(&mut DataDirFs { data, is_durable: true }, today, damaged)
        .map_err(|error| with_full_path(data, error))
}

/// Adds the full path to an error.
fn with_full_path(data: &Path, error: RecoverError) -> RecoverError {
    let whole = |path: String| data.join(path).display().to_string();
    match error {
        RecoverError::File { path, error } => RecoverError::File { path: whole(path), error },
        RecoverError::Journal { path, error } => RecoverError::Journal { path: whole(path), error },
    }
}

/// The file system of a data directory.
struct DataDirFs<'a> {
    data: &'a Path,
    /// Whether the data read is durable, so that other files may build on it.
    is_durable: bool,
}

impl StoreFs for DataDirFs<'_> {
    type File = BufReader<File>;

    fn list_folder(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.data.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn open_file(&self, path: &str) -> io::Result<BufReader<File>> {
        open_regular_file(&self.data.join(path)).map(BufReader::new)
    }

    fn open_file_at(&self, path: &str, offset: u64) -> io::Result<BufReader<File>> {
        let mut file = open_regular_file(&self.data.join(path))?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(BufReader::new(file))
    }

    fn replace_file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if !self.is_durable {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        let path = self.data.join(path);
        let mut new = path.clone().into_os_string();
        new.push(".new");
        let new = Path::new(&new);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o640);
        let mut file = options.open(new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(new, &path)?;
        File::open(path.parent().unwrap_or(self.data))?.sync_all()
    }

    fn replace_with(&mut self, path: &str, new: &str, old: (u64, u64)) -> io::Result<()> {
        let (path, new) = (self.data.join(path), self.data.join(new));
        match overwrite_with_zeros(&path, old.0, old.1) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::rename(&new, &path)?;
        [&path, &new]
            .into_iter()
            .filter_map(|path| path.parent())
            .try_for_each(|folder| File::open(folder)?.sync_all())
    }

    fn truncate_and_append(&mut self, path: &str, good: u64, more: &[u8]) -> io::Result<()> {
        let path = self.data.join(path);
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(good)?;
        drop(file);
        let mut file = OpenOptions::new().append(true).open(&path)?;
        file.write_all(more)?;
        file.sync_all()
    }

    fn remove_file(&mut self, path: &str) -> io::Result<()> {
        std::fs::remove_file(self.data.join(path))
    }
}
