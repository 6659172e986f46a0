//! Archive lookups: list rows, find one recording, and fetch a whole record.
//!
//! Each lookup is a state machine without I/O: it returns the bytes it needs (`ReadRequest`) and
//! resumes when the caller supplies them. It holds at most the directory of one day and one page of
//! rows. Facts newer than the summaries come from the index, first. A lookup may pause between
//! reads: it retries when a day is closed or a summary is rewritten in between.

use super::{
    Catalogue, DayEntry, HEADER_BYTES, IdIndex, Page, PageDirectory, RecordRow, SummaryHeader,
    rebuild_record,
};
use crate::id::RecordingId;
use crate::store::bytes::{len_to_u64, u64_to_len};
use crate::store::day::Day;
use crate::store::fact::{Fact, JournalEntry};
use crate::store::index::{Index, LateFact, Record, RecordFilter};
use crate::store::journal::{ParsedEntry, parse_entry};
use crate::store::layout;
use crate::time::WallTime;

/// Bytes to read; the caller supplies fewer if the file ends earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    pub path: String,
    pub offset: u64,
    pub bytes: usize,
}

/// The store as a lookup sees it: the index of new facts and the catalogue of closed days.
#[derive(Clone, Copy)]
pub struct ReadView<'a> {
    pub index: &'a Index,
    pub catalogue: &'a Catalogue,
}

/// The result of one poll.
#[derive(Debug)]
pub enum ReadStep<T> {
    /// The next result.
    Found(T),
    /// The caller must read these bytes and pass them to `supply_bytes`.
    Read(ReadRequest),
    /// There are no more results.
    End,
}

/// Stored data is damaged: the summary of a day or the entry of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    #[error("the summary of {0} is damaged or missing")]
    Summary(Day),
    #[error("the journal of {0} is damaged or missing")]
    Journal(Day),
}

impl ReadView<'_> {
    /// Returns the row from the index if it has the record, otherwise `row`.
    fn newest_row(&self, row: RecordRow) -> RecordRow {
        match self.index.record(row.id) {
            Some(record) => RecordRow::from_record(record),
            None => row,
        }
    }

    /// Applies facts after sequence `through` to a row of a summary.
    fn current_row(&self, mut row: RecordRow, through: u64) -> RecordRow {
        if self.index.record(row.id).is_some() {
            return self.newest_row(row);
        }
        row.clock = self.index.clock().correction(row.sequence);
        let late = self.index.late_facts(row.id).iter().filter(|late| late.sequence > through);
        late.for_each(|late| row.apply_late(late));
        row
    }
}

/// The open summary of one day.
#[derive(Debug)]
struct OpenDay {
    header: SummaryHeader,
    directory: PageDirectory,
}

impl OpenDay {
    /// Returns the read request for a day's header and directory.
    fn read_request(day: &DayEntry) -> ReadRequest {
        let bytes = HEADER_BYTES.saturating_add(u64_to_len(day.directory_bytes));
        ReadRequest { path: layout::summary_path(day.day), offset: 0, bytes }
    }

    /// Decodes header and directory. If the directory has grown, returns a larger read request.
    fn from_bytes(day: Day, bytes: &[u8]) -> Result<Result<OpenDay, ReadRequest>, ArchiveError> {
        let damaged = ArchiveError::Summary(day);
        let header = SummaryHeader::from_bytes(bytes)
            .filter(|header| header.day_entry.day == day)
            .ok_or(damaged)?;
        let whole = header.offsets().ids;
        if len_to_u64(bytes.len()) < whole {
            let need = OpenDay::read_request(&header.day_entry);
            let more = need.bytes > bytes.len() && bytes.len() >= HEADER_BYTES;
            return if more { Ok(Err(need)) } else { Err(damaged) };
        }
        let directory = PageDirectory::from_bytes(&header, &bytes[HEADER_BYTES..u64_to_len(whole)])
            .ok_or(damaged)?;
        Ok(Ok(OpenDay { header, directory }))
    }
}

/// The read that has been requested but not supplied.
#[derive(Debug)]
enum PendingRead {
    Idle,
    Directory(Day, ReadRequest),
    /// A page of the open day.
    Page(usize, ReadRequest),
}

/// Lists the rows that match a filter, newest first.
#[derive(Debug)]
pub struct RangeScan {
    /// `before` is lowered with every row examined.
    filter: RecordFilter,
    open: Option<OpenDay>,
    page: Option<Page>,
    /// Sequence of the page's first row, according to the directory.
    page_first: u64,
    pending: PendingRead,
    /// The directory was read a second time, because a page did not match it.
    is_retry: bool,
}

impl RangeScan {
    #[must_use]
    pub fn new(filter: RecordFilter) -> RangeScan {
        let (open, page, pending) = (None, None, PendingRead::Idle);
        RangeScan { filter, open, page, page_first: 0, pending, is_retry: false }
    }

    /// Returns the sequence below which no row has been examined yet.
    #[must_use]
    pub fn resume_before(&self) -> Option<u64> {
        self.filter.before
    }

    /// Returns the next row, a read request or the end.
    pub fn poll_row(&mut self, known: ReadView<'_>) -> ReadStep<RecordRow> {
        if let PendingRead::Directory(_, need) | PendingRead::Page(_, need) = &self.pending {
            return ReadStep::Read(need.clone());
        }
        if let Some(record) = known.index.newest_unsummarised(&self.filter) {
            self.filter.before = Some(record.sequence);
            return ReadStep::Found(RecordRow::from_record(record));
        }
        let rest = known.index.summarised_through().saturating_add(1);
        self.lower_before(rest);
        loop {
            if let Some(row) = self.next_row_of_page(known) {
                return ReadStep::Found(row);
            }
            match self.next_request(known) {
                Some(need) => return ReadStep::Read(need),
                None if self.open.is_none() => return ReadStep::End,
                None => {}
            }
        }
    }

    /// Returns the next matching row of the current page.
    fn next_row_of_page(&mut self, known: ReadView<'_>) -> Option<RecordRow> {
        let through = self.open.as_ref()?.header.through_sequence;
        let page = self.page.as_mut()?;
        while let Some(row) = page.rows.pop() {
            if self.filter.before.is_some_and(|before| row.sequence >= before) {
                continue;
            }
            self.filter.before = Some(row.sequence);
            let row = known.current_row(row, through);
            // `before` excludes this row itself by now, so the filter must not compare sequences.
            let mut facets = row.facets();
            facets.sequence = 0;
            if self.filter.matches(&facets) {
                return Some(row);
            }
        }
        self.page = None;
        // A page is never read twice, whatever its content.
        self.lower_before(self.page_first);
        None
    }

    fn lower_before(&mut self, first: u64) {
        self.filter.before = Some(self.filter.before.map_or(first, |before| before.min(first)));
    }

    /// Returns the next read. `None` with no open day means the end.
    fn next_request(&mut self, known: ReadView<'_>) -> Option<ReadRequest> {
        if let Some(open) = &self.open {
            // Later facts may change whether a row matches, so the final filter runs on each row.
            let loose = self.loose_filter(known);
            if let Some(number) = open.directory.newest_page(&loose) {
                let (from, to) = open.directory.page_range(&open.header, number)?;
                let path = layout::summary_path(open.header.day_entry.day);
                let need = ReadRequest { path, offset: from, bytes: u64_to_len(to - from) };
                self.pending = PendingRead::Page(number, need.clone());
                return Some(need);
            }
            let entry = open.header.day_entry;
            let known = known.catalogue.get(entry.day).map_or(u64::MAX, |day| day.first_sequence);
            self.lower_before(entry.first_sequence.min(known));
            self.open = None;
        }
        let before = self.filter.before.unwrap_or(u64::MAX);
        let wanted = |day: &DayEntry| {
            known.index.clock().has_shifts(day.first_sequence, day.last_sequence)
                || self.filter.overlaps_time(day.first_at, day.last_at)
        };
        let day = known.catalogue.newest_before(before, wanted)?;
        let need = OpenDay::read_request(day);
        self.pending = PendingRead::Directory(day.day, need.clone());
        Some(need)
    }

    /// Returns the filter that directories can evaluate: later facts may have changed a call's
    /// agent, device or id.
    fn loose_filter(&self, known: ReadView<'_>) -> RecordFilter {
        let any = RecordFilter { before: None, ..self.filter.clone() };
        let renamed = |late: &LateFact| matches!(late.entry.fact, Fact::RecordingChanged { .. });
        let fits = known.index.changed_summarised().any(|record| any.matches(&record.facets()))
            || known.index.all_late_facts().any(|(_, facts)| facts.iter().any(renamed));
        let exact = |text: &Option<String>| text.clone().filter(|_| !fits);
        // Directories have the stamps, also those of a wrong clock.
        let day = self.open.as_ref().map(|open| open.header.day_entry);
        let is_shifted = day.is_some_and(|day| {
            known.index.clock().has_shifts(day.first_sequence, day.last_sequence)
        });
        let stamped = |at: Option<WallTime>| at.filter(|_| !is_shifted);
        RecordFilter {
            from: stamped(self.filter.from),
            until: stamped(self.filter.until),
            agent: exact(&self.filter.agent),
            device: exact(&self.filter.device),
            call: exact(&self.filter.call),
            ..self.filter.clone()
        }
    }

    /// Accepts the bytes of the last request.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn supply_bytes(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        match std::mem::replace(&mut self.pending, PendingRead::Idle) {
            PendingRead::Idle => Ok(()),
            PendingRead::Directory(day, _) => {
                match OpenDay::from_bytes(day, bytes)? {
                    Ok(open) => self.open = Some(open),
                    Err(need) => self.pending = PendingRead::Directory(day, need),
                }
                Ok(())
            }
            PendingRead::Page(number, _) => {
                let Some(open) = &self.open else { return Ok(()) };
                self.page = open.directory.decode_page(number, bytes);
                self.page_first =
                    open.directory.pages.get(number).map_or(0, |page| page.first_sequence);
                let day = open.header.day_entry.day;
                match (&self.page, self.is_retry) {
                    (Some(_), _) => self.is_retry = false,
                    (None, false) => {
                        // The summary may have been rewritten since the directory was read.
                        self.is_retry = true;
                        self.pending = PendingRead::Directory(
                            day,
                            OpenDay::read_request(&open.header.day_entry),
                        );
                        self.open = None;
                    }
                    (None, true) => return Err(ArchiveError::Summary(day)),
                }
                Ok(())
            }
        }
    }

    /// Frees what was read. Later polls request it again.
    pub fn release_memory(&mut self) {
        (self.open, self.page, self.pending, self.is_retry) =
            (None, None, PendingRead::Idle, false);
    }
}

/// Finds one recording by its id.
#[derive(Debug)]
pub struct PointLookup {
    id: RecordingId,
    /// Days from this one on have been examined.
    before: Option<Day>,
    header: Option<SummaryHeader>,
    directory: Option<PageDirectory>,
    /// Pages of the day that may hold the recording.
    pages: Option<Vec<usize>>,
    request: Option<ReadRequest>,
    /// The day that was retried once, in case its summary was rewritten during the lookup.
    retried_day: Option<Day>,
}

impl PointLookup {
    #[must_use]
    pub fn new(id: RecordingId) -> PointLookup {
        let (header, directory, pages) = (None, None, None);
        PointLookup { id, before: None, header, directory, pages, request: None, retried_day: None }
    }

    /// Searches the index, then the closed days, newest first.
    pub fn poll_row(&mut self, known: ReadView<'_>) -> ReadStep<RecordRow> {
        if let Some(record) = known.index.record(self.id) {
            return ReadStep::Found(RecordRow::from_record(record));
        }
        if let Some(need) = &self.request {
            return ReadStep::Read(need.clone());
        }
        let earlier = |day: &&DayEntry| self.before.is_none_or(|before| day.day < before);
        let day = known.catalogue.days().iter().rev().filter(earlier).find(|day| day.rows > 0);
        let Some(day) = day else { return ReadStep::End };
        (self.header, self.directory, self.pages) = (None, None, None);
        self.before = Some(day.day);
        let path = layout::summary_path(day.day);
        let need = ReadRequest { path, offset: 0, bytes: HEADER_BYTES };
        self.request = Some(need.clone());
        ReadStep::Read(need)
    }

    /// Accepts the bytes of the last request, and returns the row if they contain it.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn supply_bytes(
        &mut self,
        known: ReadView<'_>,
        bytes: Vec<u8>,
    ) -> Result<Option<RecordRow>, ArchiveError> {
        let Some(day) = self.before else { return Ok(None) };
        let row = self.accept_bytes(known, day, bytes);
        if row.is_err() && self.retried_day != Some(day) {
            (self.retried_day, self.before) = (Some(day), Some(Day(day.0.saturating_add(1))));
            return Ok(None);
        }
        row
    }

    fn accept_bytes(
        &mut self,
        known: ReadView<'_>,
        day: Day,
        bytes: Vec<u8>,
    ) -> Result<Option<RecordRow>, ArchiveError> {
        let Some(need) = self.request.take() else { return Ok(None) };
        let damaged = ArchiveError::Summary(day);
        let ask = |from: u64, to: u64| {
            Some(ReadRequest {
                offset: from,
                bytes: u64_to_len(to.saturating_sub(from)),
                path: need.path.clone(),
            })
        };
        let Some(header) = self.header else {
            let header =
                SummaryHeader::from_bytes(&bytes).filter(|header| header.day_entry.day == day);
            let header = header.ok_or(damaged)?;
            self.header = Some(header);
            self.request = ask(header.offsets().ids, header.offsets().pages);
            return Ok(None);
        };
        let Some(pages) = &mut self.pages else {
            let ids = IdIndex::from_bytes(&header, bytes).ok_or(damaged)?;
            let pages: Vec<usize> = ids.candidate_pages(self.id).collect();
            if !pages.is_empty() {
                self.request = ask(header.offsets().directory, header.offsets().ids);
            }
            self.pages = Some(pages);
            return Ok(None);
        };
        let Some(directory) = &self.directory else {
            let directory = PageDirectory::from_bytes(&header, &bytes).ok_or(damaged)?;
            let (from, to) = directory.page_range(&header, pages[0]).ok_or(damaged)?;
            self.directory = Some(directory);
            self.request = ask(from, to);
            return Ok(None);
        };
        let page = directory.decode_page(pages.remove(0), &bytes).ok_or(damaged)?;
        if let Some(row) = page.rows.into_iter().find(|row| row.id == self.id) {
            return Ok(Some(known.current_row(row, header.through_sequence)));
        }
        if let Some(next) = pages.first() {
            let (from, to) = directory.page_range(&header, *next).ok_or(damaged)?;
            self.request = ask(from, to);
        }
        Ok(None)
    }
}

/// Initial read size for a journal entry; most entries are shorter.
const ENTRY_BYTES: usize = 1024;

/// Fetches the whole record of a row.
#[derive(Debug)]
pub struct RecordFetch {
    row: RecordRow,
    entries: Vec<JournalEntry>,
    bytes: usize,
}

impl RecordFetch {
    #[must_use]
    pub fn new(row: RecordRow) -> RecordFetch {
        RecordFetch { row, entries: Vec::new(), bytes: ENTRY_BYTES }
    }

    /// Returns the record once all its entries are available.
    ///
    /// # Errors
    /// When the entries do not describe this recording.
    pub fn poll_record(&mut self, known: ReadView<'_>) -> Result<ReadStep<Record>, ArchiveError> {
        if let Some(record) = known.index.record(self.row.id) {
            return Ok(ReadStep::Found(record.clone()));
        }
        while let Some(place) = self.row.entries.get(self.entries.len()) {
            // A late entry may not be on disk yet, so it is taken from memory. It may also have
            // been re-logged to another file since the lookup.
            let place = known.index.current_locator(*place);
            let late = known.index.late_facts(self.row.id).iter().find(|late| late.place == place);
            if let Some(late) = late {
                self.entries.push(late.entry.clone());
                continue;
            }
            let path = layout::journal_file(&place.day.to_string(), place.part);
            return Ok(ReadStep::Read(ReadRequest { path, offset: place.at, bytes: self.bytes }));
        }
        let day = self.row.entries.first().map(|place| place.day).unwrap_or_default();
        let mut record = rebuild_record(&self.row, &self.entries);
        if let Some(record) = &mut record {
            record.clock = known.index.clock().correction(record.sequence);
        }
        record.map(ReadStep::Found).ok_or(ArchiveError::Journal(day))
    }

    /// Accepts the bytes of the last request.
    ///
    /// # Errors
    /// When they hold no valid entry.
    pub fn supply_bytes(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let Some(place) = self.row.entries.get(self.entries.len()) else { return Ok(()) };
        let damaged = ArchiveError::Journal(place.day);
        match parse_entry(bytes) {
            ParsedEntry::Entry(entry) => {
                self.entries.push(*entry);
                self.bytes = ENTRY_BYTES;
            }
            ParsedEntry::Incomplete(needed) if bytes.len() >= self.bytes && needed > self.bytes => {
                self.bytes = needed;
            }
            ParsedEntry::Incomplete(_) | ParsedEntry::Invalid => return Err(damaged),
        }
        Ok(())
    }
}
