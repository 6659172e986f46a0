//! Looking into the past: listing, finding one recording, and getting the whole of it.
//!
//! Each is a small machine without a disk: it says which bytes it needs (`Need`), is given them,
//! and goes on; it holds the directory of one day and one page of rows at most. What came after
//! the summaries is in the index, and comes first. Whoever drives one may take as long as it
//! likes: a day that is closed meanwhile, or a summary that is written anew, is looked at again.
//!
//! Nothing here reads a file or decides who may see what.

use super::{Catalogue, DayEntry, Front, HEADER_BYTES, Header, Ids, Page, Row, unfold};
use crate::id::RecordingId;
use crate::store::bytes::{narrow, wide};
use crate::store::day::Day;
use crate::store::fact::{Entry, Fact};
use crate::store::index::{Filter, Index, Late, Record};
use crate::store::journal::{EntryAt, entry_at};
use crate::store::layout;

/// Bytes to be read; fewer if the file ends before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub path: String,
    pub offset: u64,
    pub bytes: usize,
}

/// What is known of the store: the index of what is new, the catalogue of what is old.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub index: &'a Index,
    pub catalogue: &'a Catalogue,
}

/// How far one got.
#[derive(Debug)]
pub enum Step<T> {
    Found(T),
    /// `give` it what it needs.
    Need(Need),
    /// There is no more.
    End,
}

/// Why one cannot go on: the summary of a day, or the entry of a record, is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    #[error("the summary of {0} is damaged or missing")]
    Summary(Day),
    #[error("the journal of {0} is damaged or missing")]
    Journal(Day),
}

impl Known<'_> {
    /// A record that the index has, new or not.
    fn newer(&self, row: Row) -> Row {
        match self.index.record(row.id) {
            Some(record) => Row::of(record),
            None => row,
        }
    }

    /// The row as it is now, of a summary that is true through an entry.
    fn now(&self, mut row: Row, through: u64) -> Row {
        if self.index.record(row.id).is_some() {
            return self.newer(row);
        }
        let late = self.index.late(row.id).iter().filter(|late| late.sequence > through);
        late.for_each(|late| row.take(late));
        row
    }
}

/// The directory of one day.
#[derive(Debug)]
struct Open {
    header: Header,
    front: Front,
}

impl Open {
    /// What has to be read of a day's summary: header and directory.
    fn need(day: &DayEntry) -> Need {
        let bytes = HEADER_BYTES.saturating_add(narrow(day.front_bytes));
        Need { path: layout::summary_path(day.day), offset: 0, bytes }
    }

    /// From those bytes; if the directory has grown, what has to be read instead.
    fn take(day: Day, bytes: &[u8]) -> Result<Result<Open, Need>, Damaged> {
        let damaged = Damaged::Summary(day);
        let header = Header::take(bytes).filter(|header| header.entry.day == day).ok_or(damaged)?;
        let whole = header.parts().ids;
        if wide(bytes.len()) < whole {
            let need = Open::need(&header.entry);
            let more = need.bytes > bytes.len() && bytes.len() >= HEADER_BYTES;
            return if more { Ok(Err(need)) } else { Err(damaged) };
        }
        let front = Front::take(&header, &bytes[HEADER_BYTES..narrow(whole)]).ok_or(damaged)?;
        Ok(Ok(Open { header, front }))
    }
}

/// What was asked for last.
#[derive(Debug)]
enum Asked {
    Nothing,
    Front(Day, Need),
    /// A page of the open day.
    Page(usize, Need),
}

/// Lists what a filter admits, newest first.
#[derive(Debug)]
pub struct Browser {
    /// `before` goes down with every row that has been looked at.
    filter: Filter,
    open: Option<Open>,
    page: Option<Page>,
    /// The directory's word for the number of that page's first row.
    page_first: u64,
    asked: Asked,
    /// The directory was read anew because a page was not what the old one said.
    again: bool,
}

impl Browser {
    #[must_use]
    pub fn new(filter: Filter) -> Browser {
        let (open, page, asked) = (None, None, Asked::Nothing);
        Browser { filter, open, page, page_first: 0, asked, again: false }
    }

    /// Below this number nothing has been looked at yet.
    #[must_use]
    pub fn reached(&self) -> Option<u64> {
        self.filter.before
    }

    /// The next row.
    pub fn step(&mut self, known: Known<'_>) -> Step<Row> {
        if let Asked::Front(_, need) | Asked::Page(_, need) = &self.asked {
            return Step::Need(need.clone());
        }
        if let Some(record) = known.index.newest(&self.filter) {
            self.filter.before = Some(record.sequence);
            return Step::Found(Row::of(record));
        }
        let rest = known.index.summarised().saturating_add(1);
        self.go_below(rest);
        loop {
            if let Some(row) = self.next_of_page(known) {
                return Step::Found(row);
            }
            match self.next_page(known) {
                Some(need) => return Step::Need(need),
                None if self.open.is_none() => return Step::End,
                None => {}
            }
        }
    }

    /// The next row of the page at hand.
    fn next_of_page(&mut self, known: Known<'_>) -> Option<Row> {
        let through = self.open.as_ref()?.header.through;
        let page = self.page.as_mut()?;
        while let Some(row) = page.rows.pop() {
            if self.filter.before.is_some_and(|before| row.sequence >= before) {
                continue;
            }
            self.filter.before = Some(row.sequence);
            let row = known.now(row, through);
            // It is the row itself that is below `before` now.
            let mut facets = row.facets();
            facets.sequence = 0;
            if self.filter.admits(&facets) {
                return Some(row);
            }
        }
        self.page = None;
        // Never the same page twice, whatever stood on it.
        self.go_below(self.page_first);
        None
    }

    fn go_below(&mut self, first: u64) {
        self.filter.before = Some(self.filter.before.map_or(first, |before| before.min(first)));
    }

    /// What to read next; `None` with no day open: nothing.
    fn next_page(&mut self, known: Known<'_>) -> Option<Need> {
        if let Some(open) = &self.open {
            // Facts that came later may make a row fit, or no longer: the filter looks then.
            let loose = self.loose(known);
            if let Some(number) = open.front.newest(&loose) {
                let (from, to) = open.front.place(&open.header, number)?;
                let path = layout::summary_path(open.header.entry.day);
                let need = Need { path, offset: from, bytes: narrow(to - from) };
                self.asked = Asked::Page(number, need.clone());
                return Some(need);
            }
            let entry = open.header.entry;
            let known = known.catalogue.get(entry.day).map_or(u64::MAX, |day| day.first_sequence);
            self.go_below(entry.first_sequence.min(known));
            self.open = None;
        }
        let before = self.filter.before.unwrap_or(u64::MAX);
        let wanted = |day: &DayEntry| self.filter.meets(day.first_at, day.last_at);
        let day = known.catalogue.newest_before(before, wanted)?;
        let need = Open::need(day);
        self.asked = Asked::Front(day.day, need.clone());
        Some(need)
    }

    /// The filter as far as directories can tell: what a call is known as may have changed since.
    fn loose(&self, known: Known<'_>) -> Filter {
        let any = Filter { before: None, ..self.filter.clone() };
        let renamed = |late: &Late| matches!(late.entry.fact, Fact::RecordingChanged { .. });
        let fits = known.index.changed_old().any(|record| any.admits(&record.facets()))
            || known.index.all_late().any(|(_, said)| said.iter().any(renamed));
        let exact = |text: &Option<String>| text.clone().filter(|_| !fits);
        Filter {
            agent: exact(&self.filter.agent),
            device: exact(&self.filter.device),
            call: exact(&self.filter.call),
            ..self.filter.clone()
        }
    }

    /// What was needed has been read.
    ///
    /// # Errors
    /// When it is not what it should be.
    pub fn give(&mut self, bytes: &[u8]) -> Result<(), Damaged> {
        match std::mem::replace(&mut self.asked, Asked::Nothing) {
            Asked::Nothing => Ok(()),
            Asked::Front(day, _) => {
                match Open::take(day, bytes)? {
                    Ok(open) => self.open = Some(open),
                    Err(need) => self.asked = Asked::Front(day, need),
                }
                Ok(())
            }
            Asked::Page(number, _) => {
                let Some(open) = &self.open else { return Ok(()) };
                self.page = open.front.page(number, bytes);
                self.page_first =
                    open.front.pages.get(number).map_or(0, |page| page.first_sequence);
                let day = open.header.entry.day;
                match (&self.page, self.again) {
                    (Some(_), _) => self.again = false,
                    (None, false) => {
                        // Written anew, perhaps, since the directory was read.
                        self.again = true;
                        self.asked = Asked::Front(day, Open::need(&open.header.entry));
                        self.open = None;
                    }
                    (None, true) => return Err(Damaged::Summary(day)),
                }
                Ok(())
            }
        }
    }

    /// Gives back the memory of what was read; what is needed is asked for again.
    pub fn rest(&mut self) {
        (self.open, self.page, self.asked, self.again) = (None, None, Asked::Nothing, false);
    }
}

/// Finds one recording by its id.
#[derive(Debug)]
pub struct Finder {
    id: RecordingId,
    /// Days from here on have been looked at.
    before: Option<Day>,
    header: Option<Header>,
    front: Option<Front>,
    /// Pages of the day that may hold it.
    pages: Option<Vec<usize>>,
    need: Option<Need>,
    /// The day that was begun again, because it may have been written anew meanwhile.
    again: Option<Day>,
}

impl Finder {
    #[must_use]
    pub fn new(id: RecordingId) -> Finder {
        let (header, front, pages) = (None, None, None);
        Finder { id, before: None, header, front, pages, need: None, again: None }
    }

    /// Looks in the index, then in one day after the other, newest first.
    pub fn step(&mut self, known: Known<'_>) -> Step<Row> {
        if let Some(record) = known.index.record(self.id) {
            return Step::Found(Row::of(record));
        }
        if let Some(need) = &self.need {
            return Step::Need(need.clone());
        }
        let earlier = |day: &&DayEntry| self.before.is_none_or(|before| day.day < before);
        let day = known.catalogue.days().iter().rev().filter(earlier).find(|day| day.rows > 0);
        let Some(day) = day else { return Step::End };
        (self.header, self.front, self.pages) = (None, None, None);
        self.before = Some(day.day);
        let path = layout::summary_path(day.day);
        let need = Need { path, offset: 0, bytes: HEADER_BYTES };
        self.need = Some(need.clone());
        Step::Need(need)
    }

    /// What was needed has been read; gives the row if it is there.
    ///
    /// # Errors
    /// When it is not what it should be.
    pub fn give(&mut self, known: Known<'_>, bytes: Vec<u8>) -> Result<Option<Row>, Damaged> {
        let Some(day) = self.before else { return Ok(None) };
        let given = self.take(known, day, bytes);
        if given.is_err() && self.again != Some(day) {
            (self.again, self.before) = (Some(day), Some(Day(day.0.saturating_add(1))));
            return Ok(None);
        }
        given
    }

    fn take(&mut self, known: Known<'_>, day: Day, bytes: Vec<u8>) -> Result<Option<Row>, Damaged> {
        let Some(need) = self.need.take() else { return Ok(None) };
        let damaged = Damaged::Summary(day);
        let ask = |from: u64, to: u64| {
            Some(Need {
                offset: from,
                bytes: narrow(to.saturating_sub(from)),
                path: need.path.clone(),
            })
        };
        let Some(header) = self.header else {
            let header = Header::take(&bytes).filter(|header| header.entry.day == day);
            let header = header.ok_or(damaged)?;
            self.header = Some(header);
            self.need = ask(header.parts().ids, header.parts().pages);
            return Ok(None);
        };
        let Some(pages) = &mut self.pages else {
            let ids = Ids::take(&header, bytes).ok_or(damaged)?;
            let pages: Vec<usize> = ids.pages(self.id).collect();
            if !pages.is_empty() {
                self.need = ask(header.parts().front, header.parts().ids);
            }
            self.pages = Some(pages);
            return Ok(None);
        };
        let Some(front) = &self.front else {
            let front = Front::take(&header, &bytes).ok_or(damaged)?;
            let (from, to) = front.place(&header, pages[0]).ok_or(damaged)?;
            self.front = Some(front);
            self.need = ask(from, to);
            return Ok(None);
        };
        let page = front.page(pages.remove(0), &bytes).ok_or(damaged)?;
        if let Some(row) = page.rows.into_iter().find(|row| row.id == self.id) {
            return Ok(Some(known.now(row, header.through)));
        }
        if let Some(next) = pages.first() {
            let (from, to) = front.place(&header, *next).ok_or(damaged)?;
            self.need = ask(from, to);
        }
        Ok(None)
    }
}

/// Bytes of an entry that are read at once; most are shorter.
const ENTRY_BYTES: usize = 1024;

/// Gets the whole record of a row.
#[derive(Debug)]
pub struct Fetch {
    row: Row,
    entries: Vec<Entry>,
    bytes: usize,
}

impl Fetch {
    #[must_use]
    pub fn new(row: Row) -> Fetch {
        Fetch { row, entries: Vec::new(), bytes: ENTRY_BYTES }
    }

    /// The record, once all its entries are there.
    ///
    /// # Errors
    /// When they do not tell of it.
    pub fn step(&mut self, known: Known<'_>) -> Result<Step<Record>, Damaged> {
        if let Some(record) = known.index.record(self.row.id) {
            return Ok(Step::Found(record.clone()));
        }
        while let Some(place) = self.row.entries.get(self.entries.len()) {
            // What came late is in memory; on the disk it may not be yet.
            // It may have been told again, in another file, since the row was looked up.
            let place = known.index.stands(*place);
            let late = known.index.late(self.row.id).iter().find(|late| late.place == place);
            if let Some(late) = late {
                self.entries.push(late.entry.clone());
                continue;
            }
            let path = layout::journal_file(&place.day.to_string(), place.part);
            return Ok(Step::Need(Need { path, offset: place.at, bytes: self.bytes }));
        }
        let day = self.row.entries.first().map(|place| place.day).unwrap_or_default();
        let record = unfold(&self.row, &self.entries);
        record.map(Step::Found).ok_or(Damaged::Journal(day))
    }

    /// What was needed has been read.
    ///
    /// # Errors
    /// When no entry stands there.
    pub fn give(&mut self, bytes: &[u8]) -> Result<(), Damaged> {
        let Some(place) = self.row.entries.get(self.entries.len()) else { return Ok(()) };
        let damaged = Damaged::Journal(place.day);
        match entry_at(bytes) {
            EntryAt::Entry(entry) => {
                self.entries.push(*entry);
                self.bytes = ENTRY_BYTES;
            }
            EntryAt::Longer(needed) if bytes.len() >= self.bytes && needed > self.bytes => {
                self.bytes = needed;
            }
            EntryAt::Longer(_) | EntryAt::Bad => return Err(damaged),
        }
        Ok(())
    }
}
