//! When the disk fails: what is given up, what is tried, and what takes over.
//!
//! A day's journal goes on in another file, which tells again what was not durable. Until that is
//! synced, nobody knows where facts stand; then they are where `take_moved` says.

use super::{Came, Storage};
use crate::job::{DiskError, FileId, Job};
use crate::limits;
use crate::store::day::{Day, Locator};
use crate::store::journal::HEADER_BYTES;
use crate::store::layout;
use crate::time::Mono;
use std::collections::BTreeMap;

/// The storage is down.
pub(super) struct Down {
    /// When a new journal file is tried next.
    pub next: Mono,
    pub probe: Option<Probe>,
}

/// A journal file that is being tried.
pub(super) struct Probe {
    pub file: FileId,
    pub path: String,
    pub refused: Option<DiskError>,
}

impl Storage {
    /// A new file holds, behind its header, all that was not durable.
    pub(super) fn told_again(&mut self) {
        let (day, part) = (Day::parse(&self.day).unwrap_or_default(), self.journal.part());
        let header = HEADER_BYTES as u64;
        let here = |behind| Locator { day, part, at: header + behind };
        let places = self.undurable.places();
        self.moved = places.map(|(was, behind)| (was, here(behind))).collect();
        self.file_bytes = header + self.undurable.bytes().len() as u64;
    }

    /// It takes over, with what was noted while it was tried.
    pub(super) fn come_back(&mut self, now: Mono, file: FileId) {
        (self.file, self.down) = (file, None);
        if !self.undurable.bytes().is_empty() {
            let bytes = self.undurable.bytes().to_vec();
            self.jobs.push_back(Job::Append { file, bytes });
            self.urgent = true;
            self.touch(now);
        }
    }

    /// A file was opened or written, or not: is it the journal's?
    pub(super) fn answered(
        &mut self,
        now: Mono,
        file: FileId,
        result: Result<(), DiskError>,
        text: &'static str,
    ) -> Came {
        let Err(error) = result else { return Came::Nothing };
        match &mut self.down {
            None if file == self.file || self.rolled == Some(file) => self.fail(now, error, text),
            Some(Down { probe: Some(probe), .. }) if probe.file == file => {
                probe.refused.get_or_insert(error);
                Came::Nothing
            }
            _ => Came::Nothing,
        }
    }

    pub(super) fn fail(&mut self, now: Mono, error: DiskError, text: &'static str) -> Came {
        match self.rolled {
            None => self.jobs.push_back(Job::Close { file: self.file }),
            Some(_) => self.unroll(),
        }
        self.down = Some(Down { next: now, probe: None });
        Came::Failed(error, text)
    }

    /// The new day's file is not to be begun: the probe will be the first of it.
    fn unroll(&mut self) {
        let new = self.file;
        for job in std::mem::take(&mut self.jobs) {
            match job {
                Job::Create { file, .. } | Job::Close { file } if file == new => {}
                Job::Append { file, bytes } if file == new => self.give_back(bytes),
                job => self.jobs.push_back(job),
            }
        }
    }

    /// Tries a new journal file, once nothing of the old ones is under way.
    pub(super) fn probe(&mut self, now: Mono) {
        let Some(down) = &self.down else { return };
        if down.probe.is_some() || self.under_way.is_some() || now < down.next {
            return;
        }
        let (file, mut bytes) = (self.new_file(), Vec::new());
        self.journal.fork(&self.day, self.undurable.base(), &mut bytes);
        let path = layout::journal_file(&self.day, self.journal.part());
        bytes.extend_from_slice(self.undurable.bytes());
        self.jobs.push_back(Job::Create { file, path: path.clone() });
        self.jobs.push_back(Job::Append { file, bytes });
        self.sync(now);
        let probe = Some(Probe { file, path, refused: None });
        self.down = Some(Down { next: now, probe });
    }

    /// The disk failed, and has not come back.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// More waits in memory for the disk to come back than is good.
    #[must_use]
    pub fn is_overfull(&self) -> bool {
        self.undurable.bytes().len() > limits::UNDURABLE_BYTES
    }

    /// Where facts stand now that were told again, after `Came::Back`, once.
    pub fn take_moved(&mut self) -> BTreeMap<Locator, Locator> {
        std::mem::take(&mut self.moved)
    }
}
