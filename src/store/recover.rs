//! Recovery before the first turn: what the last run left is read, cut ends are cut off, and
//! recordings that were running are completed.
//!
//! Closed days are not read again but from their summaries (see `summary`), which are made where
//! they are missing. The journal's torn tail goes; damage stays and is reported. A recording
//! without an end gets its trailer, with the exact account of what its file holds; the fact follows
//! from the recorder. Recovery that is itself cut begins again and comes to the same.
//!
//! Files are reached through `Files` alone, so that a simulation recovers in the very same way.
//! Nothing is decided here about calls or masks (see `recorder::boot`).

use crate::audio::span::Ledger;
use crate::id::RecordingId;
use crate::store::archive;
use crate::store::archive::Catalogue;
use crate::store::damage::Tail;
use crate::store::fact::{RecordingEnd, RecordingEnded};
use crate::store::index::{Index, Record};
use crate::store::journal::{JournalError, JournalState, JournalWriter};
use crate::store::journals::{Journals, Part};
use crate::store::{layout, media};
use crate::time::Position;
use std::io::{self, Read};

/// The files of a data directory; paths are relative to it.
pub trait Files {
    type File: Read;

    /// Names in a folder, in any order; none if there is no such folder.
    ///
    /// # Errors
    /// When it cannot be read.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Opens a file to read it; `NotFound` where there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open(&self, path: &str) -> io::Result<Self::File>;

    /// Opens a file to read it from `offset` on.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open_at(&self, path: &str, offset: u64) -> io::Result<Self::File> {
        let mut file = self.open(path)?;
        io::copy(&mut file.by_ref().take(offset), &mut io::sink())?;
        Ok(file)
    }

    /// Writes a file, or puts a new one in its place: durably, and whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written; `Unsupported` where nothing may be.
    fn replace(&mut self, _path: &str, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Cuts a file to `good` bytes and appends `more`, durably.
    ///
    /// # Errors
    /// When it cannot be written.
    fn mend(&mut self, path: &str, good: u64, more: &[u8]) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&mut self, path: &str) -> io::Result<()>;
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
pub struct Found {
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
    pub anchor: bool,
    pub closed: Vec<RecordingEnded>,
    /// The same of the screens beside them.
    pub screens: Vec<RecordingEnded>,
}

/// Reads the journal and completes what was cut.
///
/// # Errors
/// When a file cannot be read, or is of a newer version.
pub fn recover<F: Files>(files: &mut F) -> Result<Found, RecoverError> {
    let journals = journals(files)?;
    let mut days = journals.days();
    let last = days.pop();
    if let Some(day) = last {
        // It goes on: a summary of it, from before the clock went back, would be wrong.
        let path = layout::summary_path(day);
        match files.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file_error(&path)(error));
            }
            _ => {}
        }
    }
    let past = archive::bring_up(files, &journals, &days)?;
    let mut found = Found {
        index: past.index,
        catalogue: past.catalogue,
        journal: JournalWriter::resume(past.journal),
        journal_bytes: 0,
        day: None,
        anchor: !past.linked,
        closed: Vec::new(),
        screens: Vec::new(),
    };
    if let Some(day) = last {
        for part in journals.of(day) {
            read_last(files, part, journals.last() == Some(*part), &mut found)?;
        }
        archive::find_deleted(files, &found.catalogue, &mut found.index);
    }
    let running: Vec<Record> = found.index.running().cloned().collect();
    for record in &running {
        let ended = complete(files, record.id(), record.began.from, &record.media_path())?;
        log::warn!(
            "recording {} was cut: {} frames are kept, the rest is lost (power)",
            ended.id,
            ended.ledger.stored
        );
        found.closed.push(ended);
    }
    let screens: Vec<Record> = found.index.screens().cloned().collect();
    for record in &screens {
        let ended = complete(files, record.id(), Position(0), &record.screen_path())?;
        let kept = ended.ledger.stored;
        log::warn!("the screen of recording {} was cut: {kept} ms are kept", ended.id);
        found.screens.push(ended);
    }
    sweep(files, &found)?;
    Ok(found)
}

/// The journal's files. At the end, those without as much as a header are removed: a cut came
/// before their first sync.
fn journals<F: Files>(files: &mut F) -> Result<Journals, RecoverError> {
    let mut journals = Journals::read(files)?;
    while let Some(part) = journals.last() {
        if !part.is_void(files)? {
            break;
        }
        let path = part.path();
        log::warn!("{path}: nothing in it was ever durable; removed");
        files.remove(&path).map_err(file_error(&path))?;
        journals.pop();
    }
    Ok(journals)
}

/// Reads a file of the newest day, which goes on in the last of them.
fn read_last<F: Files>(
    files: &mut F,
    part: &Part,
    last: bool,
    found: &mut Found,
) -> Result<(), RecoverError> {
    let path = part.path();
    let next = found.journal.state().sequence;
    found.day = Some(part.day.to_string());
    let ending = part.fold(files, next, &mut found.index, &mut Vec::new())?;
    let Some(ending) = ending else { return Ok(()) };
    if let (Tail::Torn { at }, true) = (ending.tail, last) {
        log::warn!("{path}: a torn entry at byte {at} is cut off");
        files.mend(&path, ending.good_bytes, &[]).map_err(file_error(&path))?;
    }
    let state: JournalState = ending.state;
    found.journal = JournalWriter::resume(state).in_part(part.number);
    found.journal_bytes = ending.good_bytes;
    found.anchor = !ending.linked;
    Ok(())
}

/// The end of a recording that has none, its file completed.
fn complete<F: Files>(
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
        spans: Vec::new(),
        digest: [0; 32],
        size: 0,
    };
    let file = match files.open(path) {
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
    let (finished, spans) = match (&scan.trailer, scan.close_cut(RecordingEnd::Power)) {
        (Some(finished), _) => (*finished, scan.spans.clone()),
        (None, Some(closing)) => {
            files.mend(path, scan.good_bytes, &closing.bytes).map_err(file_error(path))?;
            (closing.finished, closing.spans)
        }
        (None, None) => return Ok(nothing),
    };
    Ok(RecordingEnded {
        id,
        end: finished.end,
        to: finished.to,
        ledger: finished.ledger,
        spans,
        digest: finished.digest,
        size: finished.size,
    })
}

/// Removes files of the last day that the journal does not know and that hold no audio: their
/// `record start` was never answered.
fn sweep<F: Files>(files: &mut F, found: &Found) -> Result<(), RecoverError> {
    let Some(day) = found.day.as_deref() else { return Ok(()) };
    let folder = format!("{}/{}", layout::MEDIA, day.replace('-', "/"));
    for name in files.list(&folder).unwrap_or_default() {
        let path = format!("{folder}/{name}");
        let screen = layout::parse_screen(&path);
        let named = layout::parse_media(&path).or_else(|| screen.clone());
        let Some((_, id)) = named else { continue };
        let known = found.index.record(id);
        if known.is_some_and(|record| screen.is_none() || record.screen.is_some()) {
            continue;
        }
        let scan = files.open(&path).map(media::scan);
        let empty = !matches!(&scan, Ok(Ok(scan)) if scan.chunks > 0);
        // While a disk was down at midnight, the old day's journal took in what began in the new.
        if empty && (known.is_some() || !archive::may_know(files, &found.catalogue, id)) {
            log::warn!("{path}: never journalled and without audio; removed");
            files.remove(&path).map_err(file_error(&path))?;
        }
    }
    Ok(())
}
