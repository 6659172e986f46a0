//! Recovery before the first turn: what the last run left is read, cut ends are cut off, and
//! recordings that were running are completed.
//!
//! The journal's torn tail goes; damage stays and is reported. A recording without an end gets its
//! trailer, with the exact account of what its file holds; the fact follows from the recorder.
//! Recovery that is itself cut begins again and comes to the same.
//!
//! Files are reached through `Files` alone, so that a simulation recovers in the very same way.
//! Nothing is decided here about calls or masks (see `recorder::boot`).

use crate::span::Ledger;
use crate::store::damage::Tail;
use crate::store::fact::{RecordingEnd, RecordingEnded};
use crate::store::index::{Index, Record};
use crate::store::journal::{self, Item, JournalError, JournalReader, JournalState, JournalWriter};
use crate::store::{layout, media};
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

fn file_error(path: &str) -> impl FnOnce(io::Error) -> RecoverError {
    let path = path.to_string();
    move |error| RecoverError::File { path, error }
}

/// What was found.
pub struct Found {
    pub index: Index,
    pub journal: JournalWriter,
    /// Day of the newest journal file.
    pub day: Option<String>,
    /// A checkpoint must come first: it anchors a chain that damage broke.
    pub anchor: bool,
    pub closed: Vec<RecordingEnded>,
}

/// Reads the journal and completes what was cut.
///
/// # Errors
/// When a file cannot be read, or is of a newer version.
pub fn recover<F: Files>(files: &mut F) -> Result<Found, RecoverError> {
    let mut found = Found {
        index: Index::default(),
        journal: JournalWriter::new(),
        day: None,
        anchor: false,
        closed: Vec::new(),
    };
    let parts = journal_parts(files)?;
    let mut starts = Vec::with_capacity(parts.len());
    for (day, part) in &parts {
        // Only later parts supersede anything.
        let start = match part {
            0 => None,
            _ => start_of(files, &layout::journal_file(day, *part))?,
        };
        starts.push((*part, start));
    }
    let until = journal::superseded(&starts);
    for (place, (day, part)) in parts.iter().enumerate() {
        let last = place + 1 == parts.len();
        read_part(files, (day, *part), (last, until[place]), &mut found)?;
    }
    let running: Vec<Record> = found.index.running().cloned().collect();
    for record in &running {
        let ended = complete(files, record)?;
        log::warn!(
            "recording {} was cut: {} frames are kept, the rest is lost (power)",
            ended.id,
            ended.ledger.stored
        );
        found.closed.push(ended);
    }
    sweep(files, &found.index, found.day.as_deref())?;
    Ok(found)
}

/// Day and part of every journal file, in order. At the end, files without as much as a header are
/// removed: a cut came before their first sync.
fn journal_parts<F: Files>(files: &mut F) -> Result<Vec<(String, u32)>, RecoverError> {
    let names = files.list(layout::JOURNAL).map_err(file_error(layout::JOURNAL))?;
    let paths = names.iter().map(|name| format!("{}/{name}", layout::JOURNAL));
    let mut parts: Vec<(String, u32)> = Vec::new();
    for path in paths {
        parts.extend(layout::journal_part(&path).map(|(day, part)| (day.to_string(), part)));
    }
    parts.sort();
    while let Some((day, part)) = parts.last() {
        let path = layout::journal_file(day, *part);
        if !is_void(files, &path, *part)? {
            break;
        }
        log::warn!("{path}: nothing in it was ever durable; removed");
        files.remove(&path).map_err(file_error(&path))?;
        parts.pop();
    }
    Ok(parts)
}

fn open_journal<F: Files>(files: &F, path: &str) -> Result<JournalReader<F::File>, RecoverError> {
    let file = files.open(path).map_err(file_error(path))?;
    JournalReader::open(file).map_err(|error| RecoverError::Journal { path: path.into(), error })
}

/// Whether not even a header is whole, and no entry either; of a part that was begun because a disk
/// failed, the header decides, for the entries are told again.
fn is_void<F: Files>(files: &F, path: &str, part: u32) -> Result<bool, RecoverError> {
    let mut reader = open_journal(files, path)?;
    if reader.header().is_some() || part > 0 {
        return Ok(reader.header().is_none());
    }
    let item = reader.next_item();
    let item = item.map_err(|error| RecoverError::Journal { path: path.into(), error })?;
    Ok(item.is_none())
}

/// The number of a journal file's first entry, if its header is whole.
fn start_of<F: Files>(files: &F, path: &str) -> Result<Option<u64>, RecoverError> {
    Ok(open_journal(files, path)?.header().map(|header| header.start.sequence))
}

fn read_part<F: Files>(
    files: &mut F,
    (day, part): (&str, u32),
    (last, until): (bool, u64),
    found: &mut Found,
) -> Result<(), RecoverError> {
    let path = layout::journal_file(day, part);
    let wrong = |error| RecoverError::Journal { path: path.clone(), error };
    let next = found.journal.state().sequence;
    let mut reader = open_journal(files, &path)?.within(next, until);
    while let Some(item) = reader.next_item().map_err(wrong)? {
        match item {
            Item::Entry { sequence, entry, .. } => found.index.apply(sequence, &entry),
            Item::Checkpoint { .. } => {}
            Item::Damage { at, why, .. } => log::error!("{path}: damage at byte {at}: {why}"),
        }
    }
    let ending = reader.finish();
    if ending.good_bytes == 0 || ending.state.sequence > until {
        // Not even its header is whole, or all of it is told again: as if it had never been.
        return Ok(());
    }
    if let (Tail::Torn { at }, true) = (ending.tail, last) {
        log::warn!("{path}: a torn entry at byte {at} is cut off");
        files.mend(&path, ending.good_bytes, &[]).map_err(file_error(&path))?;
    }
    let state: JournalState = ending.state;
    found.journal = JournalWriter::resume(state).in_part(part);
    found.day = Some(day.to_string());
    found.anchor = !ending.linked;
    Ok(())
}

/// The end of a recording that has none, its file completed.
fn complete<F: Files>(files: &mut F, record: &Record) -> Result<RecordingEnded, RecoverError> {
    let began = &record.began;
    let path = record.media_path();
    let nothing = RecordingEnded {
        id: began.id,
        end: RecordingEnd::Power,
        to: began.from,
        ledger: Ledger::default(),
        spans: Vec::new(),
        digest: [0; 32],
        size: 0,
    };
    let file = match files.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nothing),
        Err(error) => return Err(file_error(&path)(error)),
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
            files.mend(&path, scan.good_bytes, &closing.bytes).map_err(file_error(&path))?;
            (closing.finished, closing.spans)
        }
        (None, None) => return Ok(nothing),
    };
    Ok(RecordingEnded {
        id: began.id,
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
fn sweep<F: Files>(files: &mut F, index: &Index, day: Option<&str>) -> Result<(), RecoverError> {
    let Some(day) = day else { return Ok(()) };
    let folder = format!("{}/{}", layout::MEDIA, day.replace('-', "/"));
    for name in files.list(&folder).unwrap_or_default() {
        let path = format!("{folder}/{name}");
        let Some((_, id)) = layout::parse_media(&path) else { continue };
        if index.record(id).is_some() {
            continue;
        }
        let scan = files.open(&path).map(media::scan);
        if !matches!(&scan, Ok(Ok(scan)) if scan.chunks > 0) {
            log::warn!("{path}: never journalled and without audio; removed");
            files.remove(&path).map_err(file_error(&path))?;
        }
    }
    Ok(())
}
