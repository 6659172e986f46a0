//! Summaries: what a closed day's journal comes to, so that the past costs nothing until it is
//! asked for.
//!
//! One file beside each closed day's journal: a row for every recording that began that day, ways
//! to find rows by time, id and call without reading them all, and how things stood at the day's
//! end, so that a start reads one day and not the whole past. Facts of a later day about a row
//! change it when that day is closed in turn: its file is written anew and put in place of the old
//! one.
//!
//! All of it is derived: it can be made again from the journal at any time, and `verify` never
//! believes it. `row` is what is known of a recording, `format` the bytes (drawn in
//! `docs/record-format.md`), `close` makes and mends the files, `browse` looks into them
//! and `shelf` does so over real files. Nothing here
//! decides when a day is closed.

mod close;
mod format;
mod lookup;
mod reader;
mod row;
#[cfg(test)]
mod tests;

pub use close::{
    ArchiveState, close_days, find_deleted_start_times, may_contain, repair_summaries,
};
pub use format::{
    DayFooter, HEADER_BYTES, IdIndex, Page, PageDirectory, Summary, SummaryHeader, SummaryOffsets,
};
pub use lookup::{
    ArchiveError, PointLookup, RangeScan, ReadRequest, ReadStep, ReadView, RecordFetch,
};
pub use reader::SummaryReader;
pub use row::{RecordRow, rebuild_record};

use crate::store::day::Day;
use crate::time::WallTime;
use serde::{Deserialize, Serialize};

/// What one needs to know of a day to leave its file closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayEntry {
    pub day: Day,
    /// Recordings that began then, deleted ones too.
    pub rows: u32,
    pub deleted: u32,
    /// Journal numbers of the first and the last of them; zeros if there are none.
    pub first_sequence: u64,
    pub last_sequence: u64,
    /// When the earliest and the latest of them began.
    pub first_at: WallTime,
    pub last_at: WallTime,
    /// When the oldest that is not deleted began; the far future if there is none.
    pub oldest_kept: WallTime,
    /// When the first of those that may be deleted is past its retention; else the far future.
    pub expires: WallTime,
    /// Bytes of header and page directory.
    pub directory_bytes: u64,
}

/// Later than anything.
pub const FAR_FUTURE: WallTime = WallTime(i64::MAX);

/// All closed days, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    days: Vec<DayEntry>,
}

impl Catalogue {
    /// Takes in a day, in place of what was known of it.
    pub fn upsert_day(&mut self, entry: DayEntry) {
        match self.days.binary_search_by_key(&entry.day, |known| known.day) {
            Ok(place) => self.days[place] = entry,
            Err(place) => self.days.insert(place, entry),
        }
    }

    #[must_use]
    pub fn days(&self) -> &[DayEntry] {
        &self.days
    }

    #[must_use]
    pub fn get(&self, day: Day) -> Option<&DayEntry> {
        let place = self.days.binary_search_by_key(&day, |known| known.day).ok()?;
        self.days.get(place)
    }

    /// The newest day that has rows numbered below `before`, and of those only days that `wanted`
    /// says.
    pub fn newest_before(
        &self,
        before: u64,
        wanted: impl Fn(&DayEntry) -> bool,
    ) -> Option<&DayEntry> {
        let below = |day: &&DayEntry| day.rows > 0 && day.first_sequence < before;
        self.days.iter().rev().filter(below).find(|day| wanted(day))
    }

    /// How many records there are, deleted ones not counted.
    #[must_use]
    pub fn record_count(&self) -> usize {
        let kept = |day: &DayEntry| u64::from(day.rows) - u64::from(day.deleted.min(day.rows));
        let all: u64 = self.days.iter().map(kept).sum();
        usize::try_from(all).unwrap_or(usize::MAX)
    }

    /// When the oldest record that is not deleted began.
    #[must_use]
    pub fn oldest_record(&self) -> Option<WallTime> {
        self.days.iter().map(|day| day.oldest_kept).find(|at| *at < FAR_FUTURE)
    }

    /// Days with records that are past their retention at `now`, oldest first.
    pub fn expired_days(&self, now: WallTime) -> impl Iterator<Item = &DayEntry> {
        self.days.iter().filter(move |day| day.expires <= now)
    }
}
