//! Failover to a new journal file after a disk failure.
//!
//! A new file of the day replays all entries that were not durable. Until it is synced, the
//! locations of those facts are unknown; `take_relocated` then returns them.

use super::{Storage, StorageEvent};
use crate::job::{DiskError, FileId, Job};
use crate::limits;
use crate::store::day::{Day, Locator};
use crate::store::journal::HEADER_BYTES;
use crate::store::layout;
use crate::time::MonoTime;
use std::collections::BTreeMap;

/// State of the storage while it is down.
pub(super) struct Outage {
    /// When the next journal file is tried.
    pub next: MonoTime,
    pub probe: Option<RecoveryAttempt>,
}

/// A new journal file that is being tried.
pub(super) struct RecoveryAttempt {
    pub file: FileId,
    pub path: String,
    pub refused: Option<DiskError>,
}

impl Storage {
    /// Records the new locations of replayed facts, which follow the new file's header.
    pub(super) fn relocate_replayed(&mut self) {
        let (day, part) = (Day::parse(&self.day).unwrap_or_default(), self.journal.part());
        let header = HEADER_BYTES as u64;
        let here = |behind| Locator { day, part, at: header + behind };
        let places = self.undurable.positions();
        self.moved = places.map(|(was, behind)| (was, here(behind))).collect();
        self.file_bytes = header + self.undurable.bytes().len() as u64;
    }

    /// Switches to the new file and appends the facts noted while it was tried.
    pub(super) fn resume_on(&mut self, now: MonoTime, file: FileId) {
        (self.file, self.down) = (file, None);
        if !self.undurable.bytes().is_empty() {
            let bytes = self.undurable.bytes().to_vec();
            self.jobs.push_back(Job::Append { file, bytes });
            self.urgent = true;
            self.mark_dirty(now);
        }
    }

    /// Handles the result of a file operation, if the file is the journal's.
    pub(super) fn handle_recovery_answer(
        &mut self,
        now: MonoTime,
        file: FileId,
        result: Result<(), DiskError>,
        text: &'static str,
    ) -> StorageEvent {
        let Err(error) = result else { return StorageEvent::Nothing };
        match &mut self.down {
            None if file == self.file || self.rolled == Some(file) => {
                self.begin_outage(now, error, text)
            }
            Some(Outage { probe: Some(probe), .. }) if probe.file == file => {
                probe.refused.get_or_insert(error);
                StorageEvent::Nothing
            }
            _ => StorageEvent::Nothing,
        }
    }

    pub(super) fn begin_outage(
        &mut self,
        now: MonoTime,
        error: DiskError,
        text: &'static str,
    ) -> StorageEvent {
        match self.rolled {
            None => self.jobs.push_back(Job::Close { file: self.file }),
            Some(_) => self.cancel_day_roll(),
        }
        self.down = Some(Outage { next: now, probe: None });
        StorageEvent::Failed(error, text)
    }

    /// Cancels the new day's file: the recovery attempt creates the day's first file.
    fn cancel_day_roll(&mut self) {
        let new = self.file;
        for job in std::mem::take(&mut self.jobs) {
            match job {
                Job::Create { file, .. } | Job::Close { file } if file == new => {}
                Job::Append { file, bytes } if file == new => self.release_block(bytes),
                job => self.jobs.push_back(job),
            }
        }
    }

    /// Tries a new journal file, once no sync of the old ones is in flight.
    pub(super) fn attempt_recovery(&mut self, now: MonoTime) {
        let Some(down) = &self.down else { return };
        if down.probe.is_some() || self.in_flight.is_some() || now < down.next {
            return;
        }
        let (file, mut bytes) = (self.next_file(), Vec::new());
        self.journal.begin_part(&self.day, self.undurable.base(), &mut bytes);
        let path = layout::journal_file(&self.day, self.journal.part());
        bytes.extend_from_slice(self.undurable.bytes());
        self.jobs.push_back(Job::Create { file, path: path.clone() });
        self.jobs.push_back(Job::Append { file, bytes });
        self.submit_sync(now);
        let probe = Some(RecoveryAttempt { file, path, refused: None });
        self.down = Some(Outage { next: now, probe });
    }

    /// When a new journal file is tried.
    #[must_use]
    pub fn next_recovery_attempt(&self) -> Option<MonoTime> {
        let down = self.down.as_ref().filter(|down| down.probe.is_none());
        down.filter(|_| self.in_flight.is_none()).map(|down| down.next)
    }

    /// Whether the disk has failed and not recovered.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// Whether unsynced facts exceed their memory limit.
    #[must_use]
    pub fn is_overfull(&self) -> bool {
        self.undurable.bytes().len() > limits::UNSYNCED_FACT_BYTES_MAX
    }

    /// The new locations of replayed facts, once, after `StorageEvent::Back`.
    pub fn take_relocated(&mut self) -> BTreeMap<Locator, Locator> {
        std::mem::take(&mut self.moved)
    }
}
