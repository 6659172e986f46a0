//! Summaries: one derived file for each closed day's journal.
//!
//! A summary holds a row for every recording that began that day, and indexes by time, id and call.
//! Its footer holds the state at the day's end, so a start reads one day instead of the whole
//! archive. When a later day's facts change a row, closing that later day rewrites the older
//! summary.
//!
//! Summaries can be rebuilt from the journal at any time, and `verify` never relies on them. `row`
//! is one recording's entry, `format` the bytes (drawn in `docs/record-format.md`). `close` builds
//! and repairs the files, `lookup` reads them, and `reader` does so over real files.

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
use crate::store::index::ClockHistory;
use crate::time::WallTime;
use serde::{Deserialize, Serialize};

/// Catalogue entry of a closed day: what lookups need without opening its summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayEntry {
    pub day: Day,
    /// Recordings that began on this day, deleted ones included.
    pub rows: u32,
    pub deleted: u32,
    /// Journal sequences of the first and last of these recordings; 0 if there are none.
    pub first_sequence: u64,
    pub last_sequence: u64,
    /// Start times of the earliest and the latest recording.
    pub first_at: WallTime,
    pub last_at: WallTime,
    /// Start time of the oldest recording not deleted; `FAR_FUTURE` if there is none.
    pub oldest_kept: WallTime,
    /// Earliest retention end of the recordings that may be deleted, else `FAR_FUTURE`.
    pub expires: WallTime,
    /// Bytes of the header and the page directory.
    pub directory_bytes: u64,
}

/// Sentinel that is later than any real time.
pub const FAR_FUTURE: WallTime = WallTime(i64::MAX);

/// All closed days, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    days: Vec<DayEntry>,
}

impl Catalogue {
    /// Inserts a day, or replaces its entry.
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

    /// Returns the newest matching day that has rows with sequences below `before`.
    pub fn newest_before(
        &self,
        before: u64,
        wanted: impl Fn(&DayEntry) -> bool,
    ) -> Option<&DayEntry> {
        let below = |day: &&DayEntry| day.rows > 0 && day.first_sequence < before;
        self.days.iter().rev().filter(below).find(|day| wanted(day))
    }

    /// Returns the number of records, without deleted ones.
    #[must_use]
    pub fn record_count(&self) -> usize {
        let kept = |day: &DayEntry| u64::from(day.rows) - u64::from(day.deleted.min(day.rows));
        let all: u64 = self.days.iter().map(kept).sum();
        usize::try_from(all).unwrap_or(usize::MAX)
    }

    /// Returns the start time of the oldest record that is not deleted.
    #[must_use]
    pub fn oldest_record(&self, clock: &ClockHistory) -> Option<WallTime> {
        let day = self.days.iter().find(|day| day.oldest_kept < FAR_FUTURE)?;
        Some(clock.correction(day.first_sequence).correct(day.oldest_kept))
    }

    /// Iterates over days that may have records whose retention has ended at the proven time `now`,
    /// oldest first.
    pub fn expired_days(
        &self,
        now: WallTime,
        clock: &ClockHistory,
    ) -> impl Iterator<Item = &DayEntry> {
        self.days.iter().filter(move |day| {
            let keep_ms = clock.smallest_keep_ms(day.first_sequence, day.last_sequence);
            day.expires < FAR_FUTURE && day.expires.0.saturating_add(keep_ms) <= now.0
        })
    }
}
