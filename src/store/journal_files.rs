//! The journal's files in order, and how much of each counts.
//!
//! A day has a first file and, after a disk failure, later parts that re-log what was not durable.
//! So the tail of an earlier file, even of the day before, may not count (see
//! `journal::superseded_limits`). To determine this, only the headers of later parts are read, and
//! those are few.

use crate::store::day::{Day, Locator};
use crate::store::index::Index;
use crate::store::journal::{self, JournalEnd, JournalItem, JournalReader};
use crate::store::layout;
use crate::store::recover::{RecoverError, StoreFs, file_error};
use std::io;

/// One file of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JournalPart {
    pub day: Day,
    /// Number of the file within its day; 0 is the first.
    pub number: u32,
    /// Entries from this sequence on are superseded by a later file.
    until: u64,
}

/// All files of the journal, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalFiles(Vec<JournalPart>);

impl JournalFiles {
    /// Lists the files in the journal folder.
    ///
    /// # Errors
    /// When the folder or a file cannot be read, or is of a newer version.
    pub fn scan_folder<F: StoreFs>(files: &F) -> Result<JournalFiles, RecoverError> {
        let names = files.list_folder(layout::JOURNAL).map_err(file_error(layout::JOURNAL))?;
        let paths = names.iter().map(|name| format!("{}/{name}", layout::JOURNAL));
        let parse = |path: String| {
            let (day, number) = layout::parse_journal_part(&path)?;
            Some((Day::parse(day)?, number))
        };
        let mut found: Vec<(Day, u32)> = paths.filter_map(parse).collect();
        found.sort_unstable();
        let (mut parts, mut starts) = (Vec::with_capacity(found.len()), Vec::new());
        for (day, number) in found {
            let part = JournalPart { day, number, until: u64::MAX };
            // Only later parts supersede anything.
            let start = match number {
                0 => None,
                _ => match part.first_sequence(files) {
                    // A part that was tried and has been removed since.
                    Err(RecoverError::File { error, .. })
                        if error.kind() == io::ErrorKind::NotFound =>
                    {
                        continue;
                    }
                    start => start?,
                },
            };
            parts.push(part);
            starts.push((number, start));
        }
        for (part, until) in parts.iter_mut().zip(journal::superseded_limits(&starts)) {
            part.until = until;
        }
        Ok(JournalFiles(parts))
    }

    /// Returns the days that have a file.
    #[must_use]
    pub fn days(&self) -> Vec<Day> {
        let mut days: Vec<Day> = self.0.iter().map(|part| part.day).collect();
        days.dedup();
        days
    }

    /// Returns the files of a day.
    #[must_use]
    pub fn parts_of_day(&self, day: Day) -> &[JournalPart] {
        let from = self.0.partition_point(|part| part.day < day);
        let to = self.0.partition_point(|part| part.day <= day);
        &self.0[from..to]
    }

    /// Returns the newest file.
    #[must_use]
    pub fn last_part(&self) -> Option<JournalPart> {
        self.0.last().copied()
    }

    /// Removes the newest file from the list. It was never durable, so it supersedes nothing.
    pub fn pop(&mut self) {
        self.0.pop();
    }
}

impl JournalPart {
    #[must_use]
    pub fn path(&self) -> String {
        layout::journal_file(&self.day.to_string(), self.number)
    }

    fn open<F: StoreFs>(&self, files: &F) -> Result<JournalReader<F::File>, RecoverError> {
        let path = self.path();
        let file = files.open_file(&path).map_err(file_error(&path))?;
        JournalReader::open(file).map_err(|error| RecoverError::Journal { path, error })
    }

    /// Returns the sequence of its first entry, if its header is valid.
    fn first_sequence<F: StoreFs>(&self, files: &F) -> Result<Option<u64>, RecoverError> {
        Ok(self.open(files)?.header().map(|header| header.start.sequence))
    }

    /// Whether the file has neither a valid header nor an entry. For later parts only the header
    /// counts, because their entries are re-logged.
    ///
    /// # Errors
    /// When the file cannot be read or has a newer format version.
    pub fn is_void<F: StoreFs>(&self, files: &F) -> Result<bool, RecoverError> {
        let mut reader = self.open(files)?;
        if reader.header().is_some() || self.number > 0 {
            return Ok(reader.header().is_none());
        }
        let item = reader.next_item();
        let item = item.map_err(|error| RecoverError::Journal { path: self.path(), error })?;
        Ok(item.is_none())
    }

    /// Folds the entries that count into `index`. `next` is the sequence after the file before.
    /// Damage is skipped, logged and added to `damages`. Returns `None` if nothing in the file
    /// counts.
    ///
    /// # Errors
    /// When the file cannot be read or has a newer format version.
    pub fn fold_into<F: StoreFs>(
        &self,
        files: &F,
        next: u64,
        index: &mut Index,
        damages: &mut Vec<String>,
    ) -> Result<Option<JournalEnd>, RecoverError> {
        let path = self.path();
        let wrong = |error| RecoverError::Journal { path: path.clone(), error };
        let mut reader = self.open(files)?.with_limits(next, self.until);
        while let Some(item) = reader.next_item().map_err(wrong)? {
            match item {
                JournalItem::Entry { sequence, at, entry } => {
                    // After a damaged header the sequence is unknown, but it never decreases.
                    let sequence = sequence.max(index.last_sequence().saturating_add(1));
                    let place = Locator { day: self.day, part: self.number, at };
                    index.apply_at(sequence, place, &entry);
                }
                JournalItem::Checkpoint { .. } => {}
                JournalItem::Damage { at, why, .. } => {
                    log::error!("{path}: damage at byte {at}: {why}");
                    damages.push(format!("{path}: at byte {at}: {why}"));
                }
            }
        }
        let ending = reader.finish();
        // The header is torn, or another file supersedes all entries.
        let counts = ending.good_bytes > 0 && ending.state.sequence <= self.until;
        Ok(counts.then_some(ending))
    }
}
