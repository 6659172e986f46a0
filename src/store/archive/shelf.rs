//! Looking into the past where one may wait: `browse`'s machines, driven over `Files`.
//!
//! For programs beside the box, and for tests. Summaries that are missing are folded in memory,
//! damaged ones are told of (`Damaged`). Nothing here writes.

use super::{Browser, Catalogue, Damaged, Fetch, Finder, Known, Need, Past, Row, Step};
use crate::id::RecordingId;
use crate::store::bytes::wide;
use crate::store::index::{Filter, Index, Record};
use crate::store::journals::Journals;
use crate::store::recover::{Files, RecoverError};
use std::io::Read;

/// A store that is read.
pub struct Shelf<F> {
    files: F,
    past: Past,
}

impl<F: Files> Shelf<F> {
    /// Reads what no summary says: the newest day, at least.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn open(files: F) -> Result<Shelf<F>, RecoverError> {
        let journals = Journals::read(&files)?;
        let mut days = journals.days();
        let last = days.pop();
        let mut past = Past::read(&files, &journals, &days)?;
        if let Some(day) = last {
            past.fold(&files, &journals, day)?;
        }
        Ok(Shelf { files, past })
    }

    /// Reads all journals, and no summary.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn from_journals(files: F) -> Result<Shelf<F>, RecoverError> {
        let past = Past::of_journals(&files, &Journals::read(&files)?)?;
        Ok(Shelf { files, past })
    }

    /// Of what a box has in memory.
    #[must_use]
    pub fn of(files: F, index: Index, catalogue: Catalogue) -> Shelf<F> {
        Shelf { files, past: Past { index, catalogue, ..Past::default() } }
    }

    #[must_use]
    pub fn into_index(self) -> Index {
        self.past.index
    }

    #[must_use]
    pub fn index(&self) -> &Index {
        &self.past.index
    }

    /// What was skipped of journals, one sentence each.
    #[must_use]
    pub fn damages(&self) -> &[String] {
        &self.past.damages
    }

    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.past.catalogue
    }

    fn known(&self) -> Known<'_> {
        Known { index: &self.past.index, catalogue: &self.past.catalogue }
    }

    fn read(&self, need: &Need) -> Vec<u8> {
        let mut bytes = Vec::new();
        // What cannot be read is not what it should be; that is told.
        if let Ok(file) = self.files.open_at(&need.path, need.offset) {
            let read = file.take(wide(need.bytes)).read_to_end(&mut bytes);
            drop(read);
        }
        bytes
    }

    /// The rows that `filter` admits, newest first; nothing more comes after a damage.
    pub fn rows(&self, filter: Filter) -> impl Iterator<Item = Result<Row, Damaged>> {
        let (mut browser, mut over) = (Browser::new(filter), false);
        std::iter::from_fn(move || {
            while !over {
                match browser.step(self.known()) {
                    Step::Found(row) => return Some(Ok(row)),
                    Step::End => over = true,
                    Step::Need(need) => {
                        if let Err(damaged) = browser.give(&self.read(&need)) {
                            over = true;
                            return Some(Err(damaged));
                        }
                    }
                }
            }
            None
        })
    }

    /// The recording with this id.
    ///
    /// # Errors
    /// When a summary is damaged.
    pub fn find(&self, id: RecordingId) -> Result<Option<Row>, Damaged> {
        let mut finder = Finder::new(id);
        loop {
            match finder.step(self.known()) {
                Step::Found(row) => return Ok(Some(row)),
                Step::End => return Ok(None),
                Step::Need(need) => {
                    if let Some(row) = finder.give(self.known(), self.read(&need))? {
                        return Ok(Some(row));
                    }
                }
            }
        }
    }

    /// The whole record of a row.
    ///
    /// # Errors
    /// When the journal is damaged where its entries stand.
    pub fn record(&self, row: Row) -> Result<Record, Damaged> {
        let day = row.entries.first().map(|place| place.day).unwrap_or_default();
        let mut fetch = Fetch::new(row);
        loop {
            match fetch.step(self.known())? {
                Step::Found(record) => return Ok(record),
                Step::End => return Err(Damaged::Journal(day)),
                Step::Need(need) => fetch.give(&self.read(&need))?,
            }
        }
    }
}
