//! The data directory of a box, read while the box runs or not.
//!
//! The journal files are append-only, so reading them beside the box is safe: a torn tail of the
//! running one is only what is being written. Memory grows with the number of records, never with
//! their audio. Nothing here writes, recovers or truncates; that is the box's.

use crate::cli::ConfigArgs;
use crate::config_file;
use crate::failure::Failure;
use hushbox::config::Config;
use hushbox::id::RecordingId;
use hushbox::store::damage::Damage;
use hushbox::store::index::{Index, Record};
use hushbox::store::journal::{Checkpoint, FIRST_SEQUENCE, Item, JournalReader, superseded};
use hushbox::store::layout;
use hushbox::store::sign::{BoxKey, BoxPublic};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{BufReader, ErrorKind, Read, Take};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A data directory and the configuration that names it.
pub struct StoreDir {
    pub data: PathBuf,
    pub config: Config,
}

/// What the journal says.
#[derive(Default)]
pub struct Journal {
    pub index: Index,
    /// By their numbers.
    pub checkpoints: BTreeMap<u64, Checkpoint>,
    /// What was skipped, one sentence each.
    damaged: Vec<String>,
}

/// Why the box's key does not sign.
#[derive(Debug, thiserror::Error)]
pub enum NoKey {
    #[error("the box's key {path} cannot be read here: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("the box's key {path} has {found} bytes instead of 32")]
    Length { path: PathBuf, found: usize },
}

impl StoreDir {
    /// The data directory of the configuration; there must be one.
    pub fn open(args: &ConfigArgs) -> Result<StoreDir, Failure> {
        let found = config_file::load(args.config.as_deref())?;
        let data = found.config.data.clone();
        match std::fs::read_dir(data.join(layout::JOURNAL)) {
            Ok(_) => Ok(StoreDir { data, config: found.config }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Failure::NoData { data, config: found.path })
            }
            Err(error) => Err(Failure::Read { path: data, error }),
        }
    }

    /// A file of the data directory, by its path in it.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.data.join(inside)
    }

    /// Opens a file of the data directory.
    pub fn file(&self, inside: &str) -> Result<File, Failure> {
        let path = self.path(inside);
        File::open(&path).map_err(|error| Failure::Read { path, error })
    }

    /// Paths of the journal files in the data directory, oldest first.
    pub fn journals(&self) -> Result<Vec<String>, Failure> {
        let names = list(&self.path(layout::JOURNAL))?.into_iter();
        let paths = names.map(|(name, _)| format!("{}/{name}", layout::JOURNAL));
        let mut paths: Vec<String> =
            paths.filter(|path| layout::parse_journal(path).is_some()).collect();
        paths.sort_by(|a, b| layout::journal_part(a).cmp(&layout::journal_part(b)));
        Ok(paths)
    }

    /// The same, each with the number from which on a later one tells it again.
    pub fn journal_parts(&self) -> Result<Vec<(String, u64)>, Failure> {
        let paths = self.journals()?;
        let mut starts = Vec::with_capacity(paths.len());
        for path in &paths {
            let part = layout::journal_part(path).map_or(0, |(_, part)| part);
            let start = match part {
                0 => None,
                // What cannot be read is said by whoever reads all of it.
                _ => JournalReader::open(self.file(path)?)
                    .ok()
                    .and_then(|reader| reader.header().map(|header| header.start.sequence)),
            };
            starts.push((part, start));
        }
        let until = superseded(&starts);
        Ok(paths.into_iter().zip(until).collect())
    }

    /// Paths of the media files in the data directory, and their sizes in bytes, oldest day first.
    pub fn media(&self) -> Result<Vec<(String, u64)>, Failure> {
        let mut found = Vec::new();
        let mut folders = vec![layout::MEDIA.to_owned()];
        while let Some(folder) = folders.pop() {
            for (name, kind) in list(&self.path(&folder))? {
                let path = format!("{folder}/{name}");
                match kind {
                    Kind::Folder => folders.push(path),
                    Kind::File(size) if name.ends_with(".hbm") => found.push((path, size)),
                    Kind::File(_) | Kind::Other => {}
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Reads all journal files. What is damaged is skipped and said on stderr.
    pub fn journal(&self) -> Result<Journal, Failure> {
        let journal = self.journal_quietly()?;
        for damaged in &journal.damaged {
            eprintln!("hushbox: {damaged}; hushbox verify says more");
        }
        Ok(journal)
    }

    /// The same, and nothing is said.
    pub fn journal_quietly(&self) -> Result<Journal, Failure> {
        let mut journal = Journal::default();
        let mut next = FIRST_SEQUENCE;
        for (path, until) in self.journal_parts()? {
            let bad = |error| Failure::Journal { path: self.path(&path), error };
            let reader = JournalReader::open(self.file(&path)?).map_err(bad)?;
            let mut reader = reader.within(next, until);
            while let Some(item) = reader.next_item().map_err(bad)? {
                if let Some((at, why)) = journal.take(item) {
                    journal.damaged.push(format!("{path}: at byte {at}: {why}"));
                }
            }
            next = reader.finish().state.sequence.min(until);
        }
        Ok(journal)
    }

    /// Opens the media file of a record, as far as it counts.
    pub fn open_media(&self, record: &Record) -> Result<Take<BufReader<File>>, Failure> {
        let file = self.file(&record.media_path()).map(BufReader::new)?;
        Ok(file.take(record.certain_bytes().unwrap_or(u64::MAX)))
    }

    /// The key that signs for the box, if this user may read it.
    pub fn box_key(&self) -> Result<BoxKey, NoKey> {
        let path = self.path(layout::BOX_KEY);
        let seed = match std::fs::read(&path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) => return Err(NoKey::Read { path, error }),
        };
        match <&[u8; 32]>::try_from(seed.as_slice()) {
            Ok(seed) => Ok(BoxKey::from_seed(seed, &self.config.name)),
            Err(_) => Err(NoKey::Length { path, found: seed.len() }),
        }
    }

    /// The public key of the box: from `given`, else from the data directory, if it is there.
    pub fn box_public(&self, given: Option<&Path>) -> Result<Option<BoxPublic>, Failure> {
        let path = given.map_or_else(|| self.path(layout::BOX_PUBLIC), Path::to_owned);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && given.is_none() => {
                return Ok(None);
            }
            Err(error) => return Err(Failure::Read { path, error }),
        };
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let public = bytes.and_then(|bytes| BoxPublic::from_bytes(&bytes, &self.config.name));
        public.map(Some).ok_or(Failure::BadBoxKey { path })
    }

    /// Whether a daemon holds the directory just now.
    pub fn is_running(&self) -> bool {
        let lock = File::open(self.path(layout::LOCK));
        let taken = lock.map(|lock| lock.try_lock_shared());
        matches!(taken, Ok(Err(TryLockError::WouldBlock)))
    }
}

impl Journal {
    fn take(&mut self, item: Item) -> Option<(u64, Damage)> {
        match item {
            Item::Entry { sequence, entry, .. } => {
                self.index.apply(sequence, &entry);
            }
            Item::Checkpoint { sequence, checkpoint, .. } => {
                self.checkpoints.insert(sequence, checkpoint);
            }
            Item::Damage { at, why } => return Some((at, why)),
        }
        None
    }

    /// The record with this ID.
    pub fn record(&self, id: &str) -> Result<&Record, Failure> {
        let record = RecordingId::parse(id.trim()).and_then(|id| self.index.record(id));
        record.ok_or_else(|| Failure::NoSuchRecord { id: id.to_owned() })
    }
}

enum Kind {
    Folder,
    /// With its size in bytes.
    File(u64),
    Other,
}

/// Names and kinds in a folder; none where there is no such folder. Names that are no text are not
/// ours and left out.
fn list(folder: &Path) -> Result<Vec<(String, Kind)>, Failure> {
    let failed = |error| Failure::Read { path: folder.to_owned(), error };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // Gone since the folder was read: retention, beside us.
        let Ok(meta) = entry.metadata() else { continue };
        let kind = match meta.is_dir() {
            true => Kind::Folder,
            false if meta.is_file() => Kind::File(meta.len()),
            false => Kind::Other,
        };
        names.push((name, kind));
    }
    Ok(names)
}
