//! Search for expired records of closed days.
//!
//! The catalogue names the days that have any. The search reads their rows, a few reads at a time,
//! and adds expired records to the index, where `retention` deletes them.

use crate::id::SessionId;
use crate::limits;
use crate::recorder::Recorder;
use crate::store::archive::{ArchiveError, DayEntry, RangeScan, ReadStep, RecordFetch};
use crate::store::day::Day;
use crate::store::index::RecordFilter;
use crate::time::{MonoTime, Now};

/// Session id of reads that belong to no session.
pub(in crate::recorder) const EXPIRY_READER: SessionId = SessionId(0);

/// Position of the search.
#[derive(Debug, Default)]
pub(in crate::recorder) struct Expiry {
    browser: Option<RangeScan>,
    /// Number of the day's first row.
    first: u64,
    /// The day being searched, or searched last; `None` starts a new round.
    day: Option<Day>,
    fetch: Option<RecordFetch>,
    /// Earliest time of the next round.
    next: MonoTime,
}

/// Result of one step of the search.
enum SeekProgress {
    Further,
    Wait,
    /// All days were searched.
    Round,
}

impl Recorder {
    /// Whether closed days may have expired records that are not in the index.
    pub(in crate::recorder) fn may_have_expired(&self, now: Now) -> bool {
        let round = self.expiry.day.is_some() || now.mono >= self.expiry.next;
        round && self.expired_days(now).next().is_some()
    }

    /// Closed days that may have records to delete.
    fn expired_days(&self, now: Now) -> impl Iterator<Item = &DayEntry> {
        let journal = &self.journal;
        self.archive.catalogue.expired_days(journal.proven_time(now), journal.index.clock())
    }

    /// Continues the search until enough expired records are in the index. A round starts together
    /// with that of `retention`.
    pub(in crate::recorder) fn seek_expired(&mut self, now: Now) {
        let proven = self.journal.proven_time(now);
        let enough =
            self.journal.index.expired_records(proven).nth(limits::EXPIRED_PREFETCH).is_some();
        let begins = self.expiry.day.is_none();
        let due = !begins || self.is_expiry_due(now);
        if enough || !due || !self.may_have_expired(now) {
            return self.forget_reader(EXPIRY_READER);
        }
        if begins {
            self.expiry.next = now.mono.after_ms(limits::RETENTION_INTERVAL_MS);
        }
        for _ in 0..limits::ROWS_PER_TURN {
            match self.seek_next_expired(now) {
                Ok(SeekProgress::Further) => {}
                Ok(SeekProgress::Wait) => return,
                Ok(SeekProgress::Round) => {
                    self.expiry.day = None;
                    return;
                }
                Err(damaged) => {
                    self.report_damage(damaged);
                    (self.expiry.browser, self.expiry.fetch) = (None, None);
                    return;
                }
            }
        }
    }

    fn seek_next_expired(&mut self, now: Now) -> Result<SeekProgress, ArchiveError> {
        if let Some(mut fetch) = self.expiry.fetch.take() {
            match fetch.poll_record(self.read_view())? {
                ReadStep::Found(record) => {
                    self.journal.index.adopt_record(record);
                    self.schedule_expiry(now);
                }
                ReadStep::End => {}
                ReadStep::Read(need) => {
                    let bytes = self.take_read(EXPIRY_READER, &need);
                    let came =
                        if bytes.is_some() { SeekProgress::Further } else { SeekProgress::Wait };
                    bytes.map_or(Ok(()), |bytes| fetch.supply_bytes(&bytes))?;
                    self.expiry.fetch = Some(fetch);
                    return Ok(came);
                }
            }
            return Ok(SeekProgress::Further);
        }
        let Some(mut browser) = self.expiry.browser.take() else {
            return Ok(self.seek_next_day(now));
        };
        match browser.poll_row(self.read_view()) {
            ReadStep::Found(row) => {
                if row.is_expired(self.journal.proven_time(now))
                    && self.journal.index.record(row.id).is_none()
                {
                    self.expiry.fetch = Some(RecordFetch::new(row));
                }
            }
            ReadStep::End => return Ok(SeekProgress::Further),
            // The scan reached the day before. Its bytes would be taken for those of the next day.
            ReadStep::Read(_)
                if browser.resume_before().is_some_and(|reached| reached <= self.expiry.first) =>
            {
                return Ok(SeekProgress::Further);
            }
            ReadStep::Read(need) => match self.take_read(EXPIRY_READER, &need) {
                Some(bytes) => browser.supply_bytes(&bytes)?,
                None => {
                    self.expiry.browser = Some(browser);
                    return Ok(SeekProgress::Wait);
                }
            },
        }
        self.expiry.browser = Some(browser);
        Ok(SeekProgress::Further)
    }

    /// Starts on the next day that has expired records.
    fn seek_next_day(&mut self, now: Now) -> SeekProgress {
        let after = self.expiry.day;
        let later = |day: &&DayEntry| after.is_none_or(|after| day.day > after);
        let Some(day) = self.expired_days(now).find(later).copied() else {
            return SeekProgress::Round;
        };
        let before = Some(day.last_sequence.saturating_add(1));
        (self.expiry.day, self.expiry.first) = (Some(day.day), day.first_sequence);
        self.expiry.browser =
            Some(RangeScan::new(RecordFilter { before, ..RecordFilter::default() }));
        SeekProgress::Further
    }
}
