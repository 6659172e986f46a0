//! Recovery at daemon start: reads the store, removes torn tails and completes interrupted
//! recordings.
//!
//! Closed days are read from their summaries, which are rebuilt where missing (see `archive`). The
//! journal's torn tail is truncated; damage stays and is reported. A recording without an end gets
//! a trailer with exact counts of what its file holds. The recorder appends the matching fact. An
//! interrupted recovery starts over with the same result.
//!
//! All files are accessed through `StoreFs`, so a simulation runs the same recovery.

use crate::audio::span::Ledger;
use crate::id::RecordingId;
use crate::store::archive;
use crate::store::archive::Catalogue;
use crate::store::damage::Tail;
use crate::store::fact::{RecordingEnd, RecordingEnded};
use crate::store::index::{Index, LastRedaction, Record};
use crate::store::journal::{JournalError, JournalState, JournalWriter};
use crate::store::journal_files::{JournalFiles, JournalPart};
use crate::store::media::MediaMismatch;
use crate::store::{layout, media};
use crate::time::Position;
use std::io::{self, Read};

/// The files of a data directory; paths are relative to it.
pub trait StoreFs {
    type File: Read;

    /// Lists the names in a folder, in any order; empty if the folder does not exist.
    ///
    /// # Errors
    /// When the folder cannot be read.
    fn list_folder(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Opens a file for reading; `NotFound` if it does not exist.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open_file(&self, path: &str) -> io::Result<Self::File>;

    /// Opens a file for reading from `offset`.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open_file_at(&self, path: &str, offset: u64) -> io::Result<Self::File> {
        let mut file = self.open_file(path)?;
        io::copy(&mut file.by_ref().take(offset), &mut io::sink())?;
        Ok(file)
    }

    /// Creates or replaces a file atomically and durably.
    ///
    /// # Errors
    /// When the file cannot be written; `Unsupported` for read-only stores.
    fn replace_file(&mut self, _path: &str, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Writes zeros over `old_bytes` (offset and length) of the file at `path`, then lets the file
    /// `new` take its place, durably.
    ///
    /// # Errors
    /// When a file cannot be written or renamed; `Unsupported` for read-only stores.
    fn replace_with(&mut self, _path: &str, _new: &str, _old: (u64, u64)) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Truncates a file to `good` bytes and appends `more`, durably.
    ///
    /// # Errors
    /// When it cannot be written.
    fn truncate_and_append(&mut self, path: &str, good: u64, more: &[u8]) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove_file(&mut self, path: &str) -> io::Result<()>;
}

/// The reason why the store cannot be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("{path}: {error}")]
    File { path: String, error: io::Error },
    #[error("{path}: {error}")]
    Journal { path: String, error: JournalError },
}

pub(in crate::store) fn file_error(path: &str) -> impl FnOnce(io::Error) -> RecoverError {
    let path = path.to_string();
    move |error| RecoverError::File { path, error }
}

/// The recovered store.
pub struct RecoveredStore {
    /// Content that is in no summary of a closed day.
    pub index: Index,
    /// Content of the summaries.
    pub catalogue: Catalogue,
    pub journal: JournalWriter,
    /// Length of the newest journal file.
    pub journal_bytes: u64,
    /// Day of the newest journal file.
    pub day: Option<String>,
    /// A checkpoint must be appended first, to anchor the chain after damage.
    pub needs_checkpoint: bool,
    /// Recordings that were interrupted and are now complete.
    pub completed: Vec<RecordingEnded>,
    /// Screen recordings that were interrupted and are now complete.
    pub completed_screens: Vec<RecordingEnded>,
}

/// Reads the journal and completes interrupted recordings.
///
/// # Errors
/// When a file cannot be read or has a newer format version.
pub fn recover_store<F: StoreFs>(files: &mut F) -> Result<RecoveredStore, RecoverError> {
    let journals = open_journals(files)?;
    let mut days = journals.days();
    let last = days.pop();
    if let Some(day) = last {
        // The newest day continues. A summary of it, from before a clock change, would be wrong.
        let path = layout::summary_path(day);
        match files.remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file_error(&path)(error));
            }
            _ => {}
        }
    }
    let state = archive::close_days(files, &journals, &days)?;
    let mut found = RecoveredStore {
        index: state.index,
        catalogue: state.catalogue,
        journal: JournalWriter::from_state(state.journal),
        journal_bytes: 0,
        day: None,
        needs_checkpoint: !state.is_linked,
        completed: Vec::new(),
        completed_screens: Vec::new(),
    };
    if let Some(day) = last {
        for part in journals.parts_of_day(day) {
            fold_last_day(files, part, journals.last_part() == Some(*part), &mut found)?;
        }
        archive::find_deleted_start_times(files, &found.catalogue, &mut found.index);
    }
    finish_redaction(files, &found.index)?;
    let running: Vec<Record> = found.index.running_records().cloned().collect();
    for record in &running {
        let ended =
            complete_recording(files, record.id(), record.began.from, &record.media_path())?;
        log::warn!(
            "recording {} was interrupted: {} frames kept, the rest lost (power)",
            ended.id,
            ended.ledger.stored
        );
        found.completed.push(ended);
    }
    let screens: Vec<Record> = found.index.running_screens().cloned().collect();
    for record in &screens {
        let ended = complete_recording(files, record.id(), Position(0), &record.screen_path())?;
        let kept = ended.ledger.stored;
        log::warn!("the screen of recording {} was interrupted: {kept} ms kept", ended.id);
        found.completed_screens.push(ended);
    }
    remove_orphans(files, &found)?;
    Ok(found)
}

/// Finishes the removal of a range that a power cut interrupted, or undoes it. It is done once its
/// fact is durable; until then the new file is useless.
fn finish_redaction<F: StoreFs>(files: &mut F, index: &Index) -> Result<(), RecoverError> {
    let new = layout::REDACTED;
    let mut file = match files.open_file(new) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(file_error(new)(error)),
    };
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut file, &mut hasher).map_err(file_error(new))?;
    let digest = *hasher.finalize().as_bytes();
    match index.last_redaction().filter(|last| last.digest == digest) {
        Some(LastRedaction { path, old_bytes, .. }) => {
            log::warn!("{path}: the removal of a range was interrupted; it is finished now");
            files.replace_with(path, new, *old_bytes).map_err(file_error(path))
        }
        None => {
            log::warn!("the removal of a range was interrupted before it was noted; it is undone");
            files.remove_file(new).map_err(file_error(new))
        }
    }
}

/// Lists the journal's files. Files at the end without a valid header are removed, because power
/// failed before their first sync.
fn open_journals<F: StoreFs>(files: &mut F) -> Result<JournalFiles, RecoverError> {
    let mut journals = JournalFiles::scan_folder(files)?;
    while let Some(part) = journals.last_part() {
        if !part.is_void(files)? {
            break;
        }
        let path = part.path();
        log::warn!("{path}: removed, because nothing in it was durable");
        files.remove_file(&path).map_err(file_error(&path))?;
        journals.pop();
    }
    Ok(journals)
}

/// Folds a file of the newest day. `last` marks the file in which the journal continues.
fn fold_last_day<F: StoreFs>(
    files: &mut F,
    part: &JournalPart,
    last: bool,
    found: &mut RecoveredStore,
) -> Result<(), RecoverError> {
    let path = part.path();
    let next = found.journal.state().sequence;
    found.day = Some(part.day.to_string());
    let ending = part.fold_into(files, next, &mut found.index, &mut Vec::new())?;
    let Some(ending) = ending else { return Ok(()) };
    if let (Tail::Torn { at }, true) = (ending.tail, last) {
        log::warn!("{path}: truncated a torn entry at byte {at}");
        files.truncate_and_append(&path, ending.good_bytes, &[]).map_err(file_error(&path))?;
    }
    let state: JournalState = ending.state;
    found.journal = JournalWriter::from_state(state).with_part(part.number);
    found.journal_bytes = ending.good_bytes;
    found.needs_checkpoint = !ending.is_linked;
    Ok(())
}

/// Completes the file of an interrupted recording and returns its end.
fn complete_recording<F: StoreFs>(
    files: &mut F,
    id: RecordingId,
    from: Position,
    path: &str,
) -> Result<RecordingEnded, RecoverError> {
    let nothing = RecordingEnded {
        id,
        end: RecordingEnd::Power,
        to: from,
        ledger: Ledger::default(),
        blackout_spans: Vec::new(),
        digest: [0; 32],
        size: 0,
    };
    let file = match files.open_file(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nothing),
        // A device, pipe or link is in its place.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            log::error!("{path}: {error}");
            return Ok(nothing);
        }
        Err(error) => return Err(file_error(path)(error)),
    };
    let scan = match media::scan(file) {
        Ok(scan) if scan.header.id == id => scan,
        Ok(scan) => {
            let error = MediaMismatch::OtherRecording { found: scan.header.id, expected: id };
            log::error!("{path}: {error}");
            return Ok(nothing);
        }
        Err(error) => {
            log::error!("{path}: {error}");
            return Ok(nothing);
        }
    };
    let (finished, spans) = match (&scan.trailer, scan.build_trailer(RecordingEnd::Power)) {
        (Some(finished), _) => (*finished, scan.spans.clone()),
        (None, Some(trailer)) => {
            files
                .truncate_and_append(path, scan.good_bytes, &trailer.bytes)
                .map_err(file_error(path))?;
            (trailer.finished, trailer.spans)
        }
        (None, None) => return Ok(nothing),
    };
    Ok(RecordingEnded {
        id,
        end: finished.end,
        to: finished.to,
        ledger: finished.ledger,
        blackout_spans: spans,
        digest: finished.digest,
        size: finished.size,
    })
}

/// Removes media files of the last day that are not in the journal and hold no audio. Their `record
/// start` was never answered.
fn remove_orphans<F: StoreFs>(files: &mut F, found: &RecoveredStore) -> Result<(), RecoverError> {
    let Some(day) = found.day.as_deref() else { return Ok(()) };
    let folder = format!("{}/{}", layout::MEDIA, day.replace('-', "/"));
    for name in files.list_folder(&folder).unwrap_or_default() {
        let path = format!("{folder}/{name}");
        let screen = layout::parse_screen(&path);
        let named = layout::parse_media(&path).or_else(|| screen.clone());
        let Some((_, id)) = named else { continue };
        let known = found.index.record(id);
        if known.is_some_and(|record| screen.is_none() || record.screen.is_some()) {
            continue;
        }
        let scan = files.open_file(&path).map(media::scan);
        let empty = !matches!(&scan, Ok(Ok(scan)) if scan.chunks > 0);
        // While a disk was down at midnight, the old day's journal received the new day's facts.
        if empty && (known.is_some() || !archive::may_contain(files, &found.catalogue, id)) {
            log::warn!("{path}: removed, because it has no audio and is not in the journal");
            files.remove_file(&path).map_err(file_error(&path))?;
        }
    }
    Ok(())
}
