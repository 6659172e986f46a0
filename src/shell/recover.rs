//! Recovery before the first turn: what the last run left is read, cut ends are cut off, and
//! recordings that were running are completed.
//!
//! The journal's torn tail goes; damage stays and is reported. A recording without an end gets its
//! trailer, with the exact account of what its file holds; the fact follows from the recorder.
//! Recovery that is itself cut begins again and comes to the same. Nothing is decided here about
//! calls or masks (see `recorder::boot`).

use crate::span::Ledger;
use crate::store::damage::Tail;
use crate::store::fact::{RecordingEnd, RecordingEnded};
use crate::store::index::{Index, Record};
use crate::store::journal::{Item, JournalError, JournalReader, JournalState, JournalWriter};
use crate::store::{layout, media};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

/// Why the store cannot be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("{path}: {error}")]
    Journal { path: PathBuf, error: JournalError },
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
pub fn recover(data: &Path) -> Result<Found, RecoverError> {
    let mut found = Found {
        index: Index::default(),
        journal: JournalWriter::new(),
        day: None,
        anchor: false,
        closed: Vec::new(),
    };
    let days = journal_days(data)?;
    for (place, day) in days.iter().enumerate() {
        read_day(data, day, place + 1 == days.len(), &mut found)?;
    }
    let running: Vec<Record> = found.index.running().cloned().collect();
    for record in &running {
        let ended = complete(data, record)?;
        log::warn!(
            "recording {} was cut: {} frames are kept, the rest is lost (power)",
            ended.id,
            ended.ledger.stored
        );
        found.closed.push(ended);
    }
    sweep(data, &found.index, found.day.as_deref())?;
    Ok(found)
}

/// Days with a journal file, in order.
fn journal_days(data: &Path) -> Result<Vec<String>, RecoverError> {
    let folder = data.join(layout::JOURNAL);
    let wrong = |error| RecoverError::File { path: folder.clone(), error };
    let mut days = Vec::new();
    for entry in fs::read_dir(&folder).map_err(wrong)? {
        let name = entry.map_err(wrong)?.file_name();
        let path = format!("{}/{}", layout::JOURNAL, name.to_string_lossy());
        days.extend(layout::parse_journal(&path).map(str::to_string));
    }
    days.sort();
    Ok(days)
}

fn read_day(data: &Path, day: &str, last: bool, found: &mut Found) -> Result<(), RecoverError> {
    let path = data.join(layout::journal_path(day));
    let file =
        File::open(&path).map_err(|error| RecoverError::File { path: path.clone(), error })?;
    let wrong = |error| RecoverError::Journal { path: path.clone(), error };
    let mut reader = JournalReader::open(BufReader::new(file)).map_err(wrong)?;
    while let Some(item) = reader.next_item().map_err(wrong)? {
        match item {
            Item::Entry { sequence, entry, .. } => found.index.apply(sequence, &entry),
            Item::Checkpoint { .. } => {}
            Item::Damage { at, why, .. } => {
                log::error!("{}: damage at byte {at}: {why}", path.display());
            }
        }
    }
    let ending = reader.finish();
    if ending.good_bytes == 0 {
        // Not even its header is whole: as if it had never been.
        if last {
            fs::remove_file(&path).map_err(|error| RecoverError::File { path, error })?;
        }
        return Ok(());
    }
    if let (Tail::Torn { at }, true) = (ending.tail, last) {
        log::warn!("{}: a torn entry at byte {at} is cut off", path.display());
        truncate(&path, ending.good_bytes, &[])?;
    }
    let state: JournalState = ending.state;
    found.journal = JournalWriter::resume(state);
    found.day = Some(day.to_string());
    found.anchor = !ending.linked;
    Ok(())
}

/// Cuts a file to `good` bytes and appends `more`, durably.
fn truncate(path: &Path, good: u64, more: &[u8]) -> Result<(), RecoverError> {
    let wrong = |error| RecoverError::File { path: path.to_path_buf(), error };
    let file = OpenOptions::new().write(true).open(path).map_err(wrong)?;
    file.set_len(good).map_err(wrong)?;
    drop(file);
    let mut file = OpenOptions::new().append(true).open(path).map_err(wrong)?;
    file.write_all(more).and_then(|()| file.sync_all()).map_err(wrong)
}

/// The end of a recording that has none, its file completed.
fn complete(data: &Path, record: &Record) -> Result<RecordingEnded, RecoverError> {
    let began = &record.began;
    let path = data.join(record.media_path());
    let nothing = RecordingEnded {
        id: began.id,
        end: RecordingEnd::Power,
        to: began.from,
        ledger: Ledger::default(),
        spans: Vec::new(),
        digest: [0; 32],
        size: 0,
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nothing),
        Err(error) => return Err(RecoverError::File { path, error }),
    };
    let scan = match media::scan(BufReader::new(file)) {
        Ok(scan) => scan,
        Err(error) => {
            log::error!("{}: {error}", path.display());
            return Ok(nothing);
        }
    };
    let (finished, spans) = match (&scan.trailer, scan.close_cut(RecordingEnd::Power)) {
        (Some(finished), _) => (finished.clone(), scan.spans.clone()),
        (None, Some(closing)) => {
            truncate(&path, scan.good_bytes, &closing.bytes)?;
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
fn sweep(data: &Path, index: &Index, day: Option<&str>) -> Result<(), RecoverError> {
    let Some(day) = day else { return Ok(()) };
    let folder = format!("{}/{}", layout::MEDIA, day.replace('-', "/"));
    let Ok(entries) = fs::read_dir(data.join(&folder)) else { return Ok(()) };
    for entry in entries.flatten() {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        let Some((_, id)) = layout::parse_media(&path) else { continue };
        if index.record(id).is_some() {
            continue;
        }
        let path = data.join(path);
        let scan = File::open(&path).map(|file| media::scan(BufReader::new(file)));
        if !matches!(&scan, Ok(Ok(scan)) if scan.chunks > 0) {
            log::warn!("{}: never journalled and without audio; removed", path.display());
            fs::remove_file(&path).map_err(|error| RecoverError::File { path, error })?;
        }
    }
    Ok(())
}
