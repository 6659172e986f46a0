//! Read-only access to a data directory, whether or not the daemon is running.
//!
//! Journal files are append-only, so reading them beside the daemon is safe: a torn tail is an
//! entry being written. Closed days are read from their summaries, which the daemon replaces
//! atomically. If a summary is missing or damaged, the journals are read instead.

use crate::cli::ConfigArgs;
use crate::config_file;
use crate::error::Error;
use crate::output::escape::print_message;
use hushbox::config::Config;
use hushbox::id::RecordingId;
use hushbox::shell::os::regular_file::open_regular_file;
use hushbox::store::archive::{ArchiveError, SummaryReader};
use hushbox::store::fact::RecordingEnded;
use hushbox::store::index::{Index, Record, RecordFilter};
use hushbox::store::journal::{
    Checkpoint, FIRST_SEQUENCE, JournalItem, JournalReader, superseded_limits,
};
use hushbox::store::layout;
use hushbox::store::recover::{RecoverError, StoreFs};
use hushbox::store::sign::{BoxPublicKey, BoxSigningKey};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Fewest and most characters of an ID that are looked up.
const ID_PREFIX_MIN: usize = 4;
const ID_LETTERS: usize = 16;
/// Most IDs that an error shows.
const SHOWN_IDS_MAX: usize = 5;

/// A data directory and its configuration.
pub struct StoreDir {
    pub data: PathBuf,
    pub config: Config,
}

/// The content of all journals.
#[derive(Default)]
pub struct Journal {
    pub index: Index,
    /// Checkpoints by sequence.
    pub checkpoints: BTreeMap<u64, Checkpoint>,
}

/// The reason why an export cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum BoxKeyError {
    #[error("cannot read the signing key {path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("the signing key {path} has {found} bytes, expected 32")]
    Length { path: PathBuf, found: usize },
}

impl StoreDir {
    /// Opens the data directory of the configuration.
    pub fn open(args: &ConfigArgs) -> Result<StoreDir, Error> {
        let found = config_file::load_config(args.config.as_deref())?;
        let data = found.config.data.clone();
        match std::fs::read_dir(data.join(layout::JOURNAL)) {
            Ok(_) => Ok(StoreDir { data, config: found.config }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Error::NoStore { data, config: found.path })
            }
            Err(error) => Err(Error::Read { path: data, error }),
        }
    }

    /// Returns the full path of a file in the data directory.
    pub fn path_of(&self, inside: &str) -> PathBuf {
        self.data.join(inside)
    }

    /// Opens a file of the data directory.
    pub fn open_file(&self, inside: &str) -> Result<File, Error> {
        let path = self.path_of(inside);
        open_regular_file(&path).map_err(|error| Error::Read { path, error })
    }

    /// Returns the paths of the journal files in the data directory, oldest first.
    pub fn journal_paths(&self) -> Result<Vec<String>, Error> {
        let names = list(&self.path_of(layout::JOURNAL))?.into_iter();
        let paths = names.map(|(name, _)| format!("{}/{name}", layout::JOURNAL));
        let mut paths: Vec<String> =
            paths.filter(|path| layout::parse_journal_day(path).is_some()).collect();
        paths.sort_by(|a, b| layout::parse_journal_part(a).cmp(&layout::parse_journal_part(b)));
        Ok(paths)
    }

    /// Returns each journal path with the sequence from which a later file supersedes it.
    pub fn journal_parts(&self) -> Result<Vec<(String, u64)>, Error> {
        let paths = self.journal_paths()?;
        let mut starts = Vec::with_capacity(paths.len());
        for path in &paths {
            let part = layout::parse_journal_part(path).map_or(0, |(_, part)| part);
            let start = match part {
                0 => None,
                // Unreadable files are reported when they are read in full.
                _ => JournalReader::open(self.open_file(path)?)
                    .ok()
                    .and_then(|reader| reader.header().map(|header| header.start.sequence)),
            };
            starts.push((part, start));
        }
        let until = superseded_limits(&starts);
        Ok(paths.into_iter().zip(until).collect())
    }

    /// Returns paths and sizes in bytes of the media files, oldest day first.
    pub fn media_files(&self) -> Result<Vec<(String, u64)>, Error> {
        let mut found = Vec::new();
        let mut folders = vec![layout::MEDIA.to_owned()];
        while let Some(folder) = folders.pop() {
            for (name, kind) in list(&self.path_of(&folder))? {
                let path = format!("{folder}/{name}");
                match kind {
                    EntryKind::Folder => folders.push(path),
                    EntryKind::File(size) if name.ends_with(".hbm") || name.ends_with(".hbv") => {
                        found.push((path, size));
                    }
                    EntryKind::File(_) | EntryKind::Other => {}
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Passes the matching records to `visit`, newest first, until it returns false. Damage is
    /// skipped and reported on stderr.
    pub fn visit_records(
        &self,
        mut filter: RecordFilter,
        visit: &mut dyn FnMut(&Record) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        if let Some(why) =
            walk_records(&self.summary_reader(SummaryReader::open)?, &mut filter, visit)?
        {
            print_message(&format!(
                "hushbox: {why}; reading the journals instead, which takes longer\n"
            ));
            walk_records(&self.summary_reader(SummaryReader::from_journals)?, &mut filter, visit)?;
        }
        Ok(())
    }

    /// Whether any record matches.
    pub fn has_record(&self, filter: RecordFilter) -> Result<bool, Error> {
        let mut is_found = false;
        self.visit_records(filter, &mut |_| {
            is_found = true;
            Ok(false)
        })?;
        Ok(is_found)
    }

    /// Finds the record with this ID, in any case, or the only one whose ID begins so. Damage is
    /// skipped and reported on stderr.
    pub fn find_record(&self, id: &str) -> Result<Record, Error> {
        let none = || Error::NoSuchRecord { id: id.to_owned() };
        let reader = self.summary_reader(SummaryReader::open)?;
        let wanted = match RecordingId::parse(id.trim()) {
            Some(wanted) => wanted,
            None => complete_id(&reader, id.trim())?,
        };
        let found = match reader.find_row(wanted) {
            Ok(None) => return Err(none()),
            Ok(Some(row)) => reader.fetch_record(row),
            Err(damaged) => Err(damaged),
        };
        if let Ok(record) = found {
            return Ok(record);
        }
        let reader = self.summary_reader(SummaryReader::from_journals)?;
        reader.index().record(wanted).cloned().ok_or_else(none)
    }

    fn summary_reader<'a>(
        &'a self,
        open: impl FnOnce(ReadOnlyFs<'a>) -> Result<SummaryReader<ReadOnlyFs<'a>>, RecoverError>,
    ) -> Result<SummaryReader<ReadOnlyFs<'a>>, Error> {
        let reader = open(ReadOnlyFs(&self.data)).map_err(|error| match error {
            RecoverError::File { path, error } => Error::Read { path: self.path_of(&path), error },
            RecoverError::Journal { path, error } => {
                Error::Journal { path: self.path_of(&path), error }
            }
        })?;
        for damaged in reader.damages() {
            print_message(&format!("hushbox: {damaged}; run `hushbox verify` for details\n"));
        }
        Ok(reader)
    }

    /// Returns the last signed checkpoint.
    pub fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        for part in self.journal_parts()?.iter().rev() {
            let mut journal = Journal::default();
            journal.read_part(self, part, FIRST_SEQUENCE)?;
            if let Some((_, checkpoint)) = journal.checkpoints.pop_last() {
                return Ok(Some(checkpoint));
            }
        }
        Ok(None)
    }

    /// Reads all journal files, without using summaries.
    pub fn read_journals(&self) -> Result<Journal, Error> {
        let mut journal = Journal::default();
        let mut next = FIRST_SEQUENCE;
        for part in self.journal_parts()? {
            next = journal.read_part(self, &part, next)?;
        }
        Ok(journal)
    }

    /// Opens the media file of a record, limited to the bytes that may be valid.
    pub fn open_media(&self, record: &Record) -> Result<Take<BufReader<File>>, Error> {
        self.open_limited(&record.media_path(), record.ended.as_ref())
    }

    /// Opens the screen file of a record, limited to the bytes that may be valid.
    pub fn open_screen(&self, record: &Record) -> Result<Take<BufReader<File>>, Error> {
        self.open_limited(&record.screen_path(), record.screen_ended())
    }

    fn open_limited(
        &self,
        inside: &str,
        ended: Option<&RecordingEnded>,
    ) -> Result<Take<BufReader<File>>, Error> {
        let path = self.path_of(inside);
        let file = open_regular_file(&path).map_err(|error| Error::NoMedia { path, error })?;
        Ok(BufReader::new(file).take(ended.map_or(u64::MAX, RecordingEnded::read_bytes)))
    }

    /// Reads the signing key, if this user may read it.
    pub fn box_key(&self) -> Result<BoxSigningKey, BoxKeyError> {
        let path = self.path_of(layout::BOX_KEY);
        let seed = match std::fs::read(&path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) => return Err(BoxKeyError::Read { path, error }),
        };
        match <&[u8; 32]>::try_from(seed.as_slice()) {
            Ok(seed) => Ok(BoxSigningKey::from_seed(seed, &self.signing_name())),
            Err(_) => Err(BoxKeyError::Length { path, found: seed.len() }),
        }
    }

    /// Reads the public key from `given`, else from the data directory; `None` if missing there.
    pub fn box_public_key(&self, given: Option<&Path>) -> Result<Option<BoxPublicKey>, Error> {
        let path = given.map_or_else(|| self.path_of(layout::BOX_PUBLIC), Path::to_owned);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && given.is_none() => {
                return Ok(None);
            }
            Err(error) => return Err(Error::Read { path, error }),
        };
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let public = bytes.and_then(|bytes| BoxPublicKey::from_bytes(&bytes, &self.signing_name()));
        public.map(Some).ok_or(Error::BadBoxKey { path })
    }

    /// Returns the recorder's name in signatures.
    fn signing_name(&self) -> String {
        let known = std::fs::read_to_string(self.path_of(layout::BOX_NAME)).unwrap_or_default();
        let known = known.trim();
        if known.is_empty() { self.config.name.clone() } else { known.to_owned() }
    }

    /// Whether a daemon holds the lock of the directory.
    pub fn is_running(&self) -> bool {
        let lock = File::open(self.path_of(layout::LOCK));
        let taken = lock.map(|lock| lock.try_lock_shared());
        matches!(taken, Ok(Err(TryLockError::WouldBlock)))
    }
}

impl Journal {
    /// Reads a file up to `until`, where a later file supersedes it. `next` is the sequence after
    /// the file before. Returns the sequence after this file.
    fn read_part(
        &mut self,
        store: &StoreDir,
        (path, until): &(String, u64),
        next: u64,
    ) -> Result<u64, Error> {
        let bad = |error| Error::Journal { path: store.path_of(path), error };
        let reader = JournalReader::open(store.open_file(path)?).map_err(bad)?;
        let mut reader = reader.with_limits(next, *until);
        while let Some(item) = reader.next_item().map_err(bad)? {
            match item {
                JournalItem::Entry { sequence, entry, .. } => self.index.apply(sequence, &entry),
                JournalItem::Checkpoint { sequence, checkpoint, .. } => {
                    self.checkpoints.insert(sequence, checkpoint);
                }
                JournalItem::Damage { .. } => {}
            }
        }
        Ok(reader.finish().state.sequence.min(*until))
    }
}

/// Whether a text can be the beginning of an ID.
pub fn is_id_prefix(text: &str) -> bool {
    let is_id_letter = |byte: u8| byte.is_ascii_alphabetic() || (b'2'..=b'7').contains(&byte);
    (ID_PREFIX_MIN..=ID_LETTERS).contains(&text.len()) && text.bytes().all(is_id_letter)
}

/// Returns the only ID that begins with `prefix`, of deleted records too.
fn complete_id(reader: &SummaryReader<ReadOnlyFs<'_>>, prefix: &str) -> Result<RecordingId, Error> {
    let none = || Error::NoSuchRecord { id: prefix.to_owned() };
    if !is_id_prefix(prefix) {
        return Err(none());
    }
    let id_prefix = Some(prefix.to_ascii_lowercase());
    let filter = RecordFilter { id_prefix, include_deleted: true, ..RecordFilter::default() };
    let found = reader.scan_rows(filter).map_while(Result::ok).map(|row| row.id);
    let found: Vec<RecordingId> = found.take(SHOWN_IDS_MAX).collect();
    match &found[..] {
        [] => Err(none()),
        [id] => Ok(*id),
        several => {
            let found = several.iter().map(RecordingId::to_string).collect();
            Err(Error::AmbiguousId { id: prefix.to_owned(), found })
        }
    }
}

/// Visits records until `visit` returns false or an error; returns the damage that stopped it.
fn walk_records(
    reader: &SummaryReader<ReadOnlyFs<'_>>,
    filter: &mut RecordFilter,
    visit: &mut dyn FnMut(&Record) -> Result<bool, Error>,
) -> Result<Option<ArchiveError>, Error> {
    for row in reader.scan_rows(filter.clone()) {
        let record = match row.and_then(|row| reader.fetch_record(row)) {
            Ok(record) => record,
            Err(damaged) => return Ok(Some(damaged)),
        };
        filter.before = Some(record.sequence);
        if !visit(&record)? {
            break;
        }
    }
    Ok(None)
}

/// Read-only access to the files of a data directory.
struct ReadOnlyFs<'a>(&'a Path);

impl StoreFs for ReadOnlyFs<'_> {
    type File = BufReader<File>;

    fn list_folder(&self, folder: &str) -> std::io::Result<Vec<String>> {
        let entries = std::fs::read_dir(self.0.join(folder))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn open_file(&self, path: &str) -> std::io::Result<BufReader<File>> {
        open_regular_file(&self.0.join(path)).map(BufReader::new)
    }

    fn open_file_at(&self, path: &str, offset: u64) -> std::io::Result<BufReader<File>> {
        let mut file = open_regular_file(&self.0.join(path))?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(BufReader::new(file))
    }

    fn truncate_and_append(
        &mut self,
        _path: &str,
        _good: u64,
        _more: &[u8],
    ) -> std::io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn remove_file(&mut self, _path: &str) -> std::io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
}

enum EntryKind {
    Folder,
    /// A file with its size in bytes.
    File(u64),
    Other,
}

/// Lists names and kinds in a folder; empty if it does not exist. Names that are not UTF-8 are
/// skipped.
fn list(folder: &Path) -> Result<Vec<(String, EntryKind)>, Error> {
    let failed = |error| Error::Read { path: folder.to_owned(), error };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // Deleted by the daemon since the folder was listed.
        let Ok(meta) = entry.metadata() else { continue };
        let kind = match meta.is_dir() {
            true => EntryKind::Folder,
            false if meta.is_file() => EntryKind::File(meta.len()),
            false => EntryKind::Other,
        };
        names.push((name, kind));
    }
    Ok(names)
}
