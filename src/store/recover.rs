//! Recovery before the first turn: what the last run left is read, cut ends are cut off, and
//! recordings that were running are completed.
//!
//! Closed days are not read again but from their summaries (see `summary`), which are made where
//! they are missing. The journal's torn tail goes; damage stays and is reported. A recording
//! without an end gets its trailer, with the exact account of what its file holds; the fact follows
//! from the recorder. Recovery that is itself cut begins again and comes to the same.
//!
//! Files are reached through `StoreFs` alone, so that a simulation recovers in the very same way.
//! Nothing is decided here about calls or masks (see `recorder::boot`).

use crate::audio::span::Ledger;
use crate::id::RecordingId;
use crate::store::archive;
use crate::store::archive::Catalogue;
use crate::store::damage::Tail;
use crate::store::fact::{RecordingEnd, RecordingEnded};
use crate::store::index::{Index, Record};
use crate::store::journal::{JournalError, JournalState, JournalWriter};
use crate::store::journal_files::{JournalFiles, JournalPart};
use crate::store::{layout, media};
use crate::time::Position;
use std::io::{self, Read};

/// The files of a data directory; paths are relative to it.
pub trait StoreFs {
    type File: Read;

    /// Names in a folder, in any order; none if there is no such folder.
    ///
    /// # Errors
    /// When it cannot be read.
    fn list_folder(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Opens a file to read it; `NotFound` where there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open_file(&self, path: &str) -> io::Result<Self::File>;

    /// Opens a file to read it from `offset` on.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open_file_at(&self, path: &str, offset: u64) -> io::Result<Self::File> {
        let mut file = self.open_file(path)?;
        io::copy(&mut file.by_ref().take(offset), &mut io::sink())?;
        Ok(file)
    }

    /// Writes a file, or puts a new one in its place: durably, and whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written; `Unsupported` where nothing may be.
    fn replace_file(&mut self, _path: &str, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Cuts a file to `good` bytes and appends `more`, durably.
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

/// Why the store cannot be recovered.
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

/// What was found.
pub struct RecoveredStore {
    /// What the summaries of closed days do not say.
    pub index: Index,
    /// What they say.
    pub catalogue: Catalogue,
    pub journal: JournalWriter,
    /// Length of the newest journal file.
    pub journal_bytes: u64,
    /// Day of the newest journal file.
    pub day: Option<String>,
    /// A checkpoint must come first: it anchors a chain that damage broke.
    pub needs_checkpoint: bool,
    pub completed: Vec<RecordingEnded>,
    /// The same of the screens beside them.
    pub completed_screens: Vec<RecordingEnded>,
}

/// Reads the journal and completes what was cut.
///
/// # Errors
/// When a file cannot be read, or is of a newer version.
pub fn recover_store<F: StoreFs>(files: &mut F) -> Result<RecoveredStore, RecoverError> {
    let journals = open_journals(files)?;
    let mut days = journals.days();
    let last = days.pop();
    if let Some(day) = last {
        // It goes on: a summary of it, from before the clock went back, would be wrong.
        let path = layout::summary_path(day);
        match files.remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file_error(&path)(error));
            }
            _ => {}
        }
    }
    let past = archive::close_days(files, &journals, &days)?;
    let mut found = RecoveredStore {
        index: past.index,
        catalogue: past.catalogue,
        journal: JournalWriter::from_state(past.journal),
        journal_bytes: 0,
        day: None,
        needs_checkpoint: !past.is_linked,
        completed: Vec::new(),
        completed_screens: Vec::new(),
    };
    if let Some(day) = last {
        for part in journals.parts_of_day(day) {
            fold_last_day(files, part, journals.last_part() == Some(*part), &mut found)?;
        }
        archive::find_deleted_start_times(files, &found.catalogue, &mut found.index);
    }
    let running: Vec<Record> = found.index.running_records().cloned().collect();
    for record in &running {
        let ended =
            complete_recording(files, record.id(), record.began.from, &record.media_path())?;
        log::warn!(
            "recording {} was cut: {} frames are kept, the rest is lost (power)",
            ended.id,
            ended.ledger.stored
        );
        found.completed.push(ended);
    }
    let screens: Vec<Record> = found.index.running_screens().cloned().collect();
    for record in &screens {
        let ended = complete_recording(files, record.id(), Position(0), &record.screen_path())?;
        let kept = ended.ledger.stored;
        log::warn!("the screen of recording {} was cut: {kept} ms are kept", ended.id);
        found.completed_screens.push(ended);
    }
    remove_orphans(files, &found)?;
    Ok(found)
}

/// The journal's files. At the end, those without as much as a header are removed: a cut came
/// before their first sync.
fn open_journals<F: StoreFs>(files: &mut F) -> Result<JournalFiles, RecoverError> {
    let mut journals = JournalFiles::scan_folder(files)?;
    while let Some(part) = journals.last_part() {
        if !part.is_void(files)? {
            break;
        }
        let path = part.path();
        log::warn!("{path}: nothing in it was ever durable; removed");
        files.remove_file(&path).map_err(file_error(&path))?;
        journals.pop();
    }
    Ok(journals)
}

/// Reads a file of the newest day, which goes on in the last of them.
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
        log::warn!("{path}: a torn entry at byte {at} is cut off");
        files.truncate_and_append(&path, ending.good_bytes, &[]).map_err(file_error(&path))?;
    }
    let state: JournalState = ending.state;
    found.journal = JournalWriter::from_state(state).with_part(part.number);
    found.journal_bytes = ending.good_bytes;
    found.needs_checkpoint = !ending.is_linked;
    Ok(())
}

/// The end of a recording that has none, its file completed.
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
        Err(error) => return Err(file_error(path)(error)),
    };
    let scan = match media::scan(file) {
        Ok(scan) => scan,
        Err(error) => {
            log::error!("{path}: {error}");
            return Ok(nothing);
        }
    };
    let (finished, spans) = match (&scan.trailer, scan.build_trailer(RecordingEnd::Power)) {
        (Some(finished), _) => (*finished, scan.spans.clone()),
        (None, Some(closing)) => {
            files
                .truncate_and_append(path, scan.good_bytes, &closing.bytes)
                .map_err(file_error(path))?;
            (closing.finished, closing.spans)
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

/// Removes files of the last day that the journal does not know and that hold no audio: their
/// `record start` was never answered.
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
        // While a disk was down at midnight, the old day's journal took in what began in the new.
        if empty && (known.is_some() || !archive::may_contain(files, &found.catalogue, id)) {
            log::warn!("{path}: never journalled and without audio; removed");
            files.remove_file(&path).map_err(file_error(&path))?;
        }
    }
    Ok(())
}
