//! Blocking archive lookups: drives the state machines of `lookup` over `StoreFs`.
//!
//! For tools and tests. Missing summaries are folded in memory; damaged ones are reported as
//! `ArchiveError`.

use super::{
    ArchiveError, ArchiveState, Catalogue, PointLookup, RangeScan, ReadRequest, ReadStep, ReadView,
    RecordFetch, RecordRow,
};
use crate::id::RecordingId;
use crate::store::bytes::len_to_u64;
use crate::store::index::{Index, Record, RecordFilter};
use crate::store::journal_files::JournalFiles;
use crate::store::recover::{RecoverError, StoreFs};
use std::io::Read;

/// A read-only view of a store.
pub struct SummaryReader<F> {
    files: F,
    state: ArchiveState,
}

impl<F: StoreFs> SummaryReader<F> {
    /// Opens a store and folds the days that no summary covers, at least the newest.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn open(files: F) -> Result<SummaryReader<F>, RecoverError> {
        let journals = JournalFiles::scan_folder(&files)?;
        let mut days = journals.days();
        let last = days.pop();
        let mut state = ArchiveState::read_exactly(&files, &journals, &days)?;
        if let Some(day) = last {
            state.fold_day(&files, &journals, day)?;
        }
        Ok(SummaryReader { files, state })
    }

    /// Opens a store from all its journals, ignoring summaries.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn from_journals(files: F) -> Result<SummaryReader<F>, RecoverError> {
        let state = ArchiveState::from_journals(&files, &JournalFiles::scan_folder(&files)?)?;
        Ok(SummaryReader { files, state })
    }

    /// Creates a reader over a daemon's index and catalogue in memory.
    #[must_use]
    pub fn from_memory(files: F, index: Index, catalogue: Catalogue) -> SummaryReader<F> {
        SummaryReader { files, state: ArchiveState { index, catalogue, ..ArchiveState::default() } }
    }

    #[must_use]
    pub fn into_index(self) -> Index {
        self.state.index
    }

    #[must_use]
    pub fn index(&self) -> &Index {
        &self.state.index
    }

    /// Returns the journal damage that was skipped, one sentence each.
    #[must_use]
    pub fn damages(&self) -> &[String] {
        &self.state.damages
    }

    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.state.catalogue
    }

    fn view(&self) -> ReadView<'_> {
        ReadView { index: &self.state.index, catalogue: &self.state.catalogue }
    }

    fn read_bytes(&self, need: &ReadRequest) -> Vec<u8> {
        let mut bytes = Vec::new();
        // An unreadable file yields no bytes, which the state machine reports as damage.
        if let Ok(file) = self.files.open_file_at(&need.path, need.offset) {
            let read = file.take(len_to_u64(need.bytes)).read_to_end(&mut bytes);
            drop(read);
        }
        bytes
    }

    /// Iterates over the rows that match `filter`, newest first. Ends after the first error.
    pub fn scan_rows(
        &self,
        filter: RecordFilter,
    ) -> impl Iterator<Item = Result<RecordRow, ArchiveError>> {
        let (mut browser, mut over) = (RangeScan::new(filter), false);
        std::iter::from_fn(move || {
            while !over {
                match browser.poll_row(self.view()) {
                    ReadStep::Found(row) => return Some(Ok(row)),
                    ReadStep::End => over = true,
                    ReadStep::Read(need) => {
                        if let Err(damaged) = browser.supply_bytes(&self.read_bytes(&need)) {
                            over = true;
                            return Some(Err(damaged));
                        }
                    }
                }
            }
            None
        })
    }

    /// Finds the row of a recording.
    ///
    /// # Errors
    /// When a summary is damaged.
    pub fn find_row(&self, id: RecordingId) -> Result<Option<RecordRow>, ArchiveError> {
        let mut finder = PointLookup::new(id);
        loop {
            match finder.poll_row(self.view()) {
                ReadStep::Found(row) => return Ok(Some(row)),
                ReadStep::End => return Ok(None),
                ReadStep::Read(need) => {
                    if let Some(row) = finder.supply_bytes(self.view(), self.read_bytes(&need))? {
                        return Ok(Some(row));
                    }
                }
            }
        }
    }

    /// Fetches the whole record of a row.
    ///
    /// # Errors
    /// When one of its journal entries is damaged.
    pub fn fetch_record(&self, row: RecordRow) -> Result<Record, ArchiveError> {
        let day = row.entries.first().map(|place| place.day).unwrap_or_default();
        let mut fetch = RecordFetch::new(row);
        loop {
            match fetch.poll_record(self.view())? {
                ReadStep::Found(record) => return Ok(record),
                ReadStep::End => return Err(ArchiveError::Journal(day)),
                ReadStep::Read(need) => fetch.supply_bytes(&self.read_bytes(&need))?,
            }
        }
    }
}
