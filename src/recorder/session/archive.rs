//! The archive: records of closed days, which are on the disk only.
//!
//! A command may name a record that is not in memory. The recorder then looks it up in the
//! summaries and the journal, adds it to the index, and executes the line again. A day is closed
//! outside the loop, after the first sync of the next day. Its summarised records then leave
//! memory.
//!
//! File reads go to the disk thread as jobs.

use super::library::ReplyStream;
use crate::alarm;
use crate::backoff::Backoff;
use crate::id::{RecordingId, SessionId};
use crate::limits;
use crate::recorder::{Output, Recorder, Timer};
use crate::store::archive::{
    ArchiveError, Catalogue, PointLookup, ReadRequest, ReadStep, ReadView, RecordFetch,
};
use crate::store::day::Day;
use crate::store::index::Record;
use crate::time::{MonoTime, Now};
use protocol::{Code, Command, Refusal};

/// Subject of the alarm raised when days cannot be closed.
const SUMMARIES: &str = "summaries";

/// The catalogue of closed days, and the state of the work on it.
#[derive(Debug)]
pub(in crate::recorder) struct Archive {
    pub catalogue: Catalogue,
    /// A worker is closing days or rebuilding summaries.
    busy: bool,
    /// Days are waiting to be closed.
    closes: bool,
    /// Retry delay after a failure.
    backoff: Backoff,
    /// The first day whose summary must be rebuilt.
    damaged: Option<Day>,
    /// The first day whose summary is being rebuilt.
    mending: Option<Day>,
}

impl Archive {
    pub fn new(catalogue: Catalogue) -> Archive {
        let backoff = Backoff::new(limits::SUMMARY_AGAIN_MS, limits::SUMMARY_AGAIN_MS_MAX);
        let (busy, closes) = (false, false);
        Archive { catalogue, busy, closes, backoff, damaged: None, mending: None }
    }

    /// When closing days is tried again.
    pub fn next_deadline(&self) -> Option<MonoTime> {
        let waits = !self.busy && (self.closes || self.damaged.is_some());
        waits.then(|| self.backoff.again())
    }
}

/// A line that waits for the archived record it names.
#[derive(Debug)]
pub struct ArchiveLookup {
    line: String,
    id: RecordingId,
    finder: PointLookup,
    fetch: Option<RecordFetch>,
}

/// The record id that a command names.
fn record_named_by<'a>(command: &'a Command<'_>) -> Option<&'a str> {
    match command {
        Command::Show { id, .. }
        | Command::Media { id, .. }
        | Command::Protect { id, .. }
        | Command::Redact { id, .. }
        | Command::Delete { id } => Some(id),
        _ => None,
    }
}

impl Recorder {
    pub(in crate::recorder) fn read_view(&self) -> ReadView<'_> {
        ReadView { index: &self.journal.index, catalogue: &self.archive.catalogue }
    }

    /// The lookup that a command needs if its record may only be in the archive.
    pub(in crate::recorder) fn lookup_archived(
        &mut self,
        session: SessionId,
        command: &Command<'_>,
        line: &str,
    ) -> Option<ReplyStream> {
        let id = RecordingId::parse(record_named_by(command)?)?;
        let searched = self.sessions.get_mut(session)?.searched.take() == Some(id);
        let here =
            self.journal.index.record(id).is_some() || self.archive.catalogue.days().is_empty();
        if searched || here {
            return None;
        }
        let line = line.to_owned();
        let search = ArchiveLookup { line, id, finder: PointLookup::new(id), fetch: None };
        Some(ReplyStream::Search(Box::new(search)))
    }

    /// Continues a lookup. Returns the line when the lookup ends, whether or not it found the
    /// record.
    pub(in crate::recorder) fn continue_lookup(
        &mut self,
        session: SessionId,
        search: &mut ArchiveLookup,
    ) -> Result<Option<String>, ArchiveError> {
        loop {
            let need = match &mut search.fetch {
                Some(fetch) => match fetch.poll_record(self.read_view())? {
                    ReadStep::Found(record) => {
                        self.journal.index.adopt_record(record);
                        break;
                    }
                    ReadStep::Read(need) => need,
                    ReadStep::End => break,
                },
                None => match search.finder.poll_row(self.read_view()) {
                    ReadStep::Found(row) => {
                        search.fetch = Some(RecordFetch::new(row));
                        continue;
                    }
                    ReadStep::Read(need) => need,
                    ReadStep::End => break,
                },
            };
            let Some(bytes) = self.take_read(session, &need) else { return Ok(None) };
            match &mut search.fetch {
                Some(fetch) => fetch.supply_bytes(&bytes)?,
                None => {
                    search.fetch =
                        search.finder.supply_bytes(self.read_view(), bytes)?.map(RecordFetch::new)
                }
            }
        }
        if let Some(session) = self.sessions.get_mut(session) {
            session.searched = Some(search.id);
        }
        self.timers.advance(Timer::RetriedLines, self.now);
        Ok(Some(std::mem::take(&mut search.line)))
    }

    /// The requested bytes, if they have arrived; otherwise requests them. Returns no bytes if the
    /// file cannot be read or the request is implausibly large.
    pub(in crate::recorder) fn take_read(
        &mut self,
        session: SessionId,
        need: &ReadRequest,
    ) -> Option<Vec<u8>> {
        if need.bytes > limits::SUMMARY_READ_BYTES_MAX {
            return Some(Vec::new());
        }
        match self.take_arrived(session) {
            Some(bytes) => Some(bytes.unwrap_or_default()),
            None => {
                self.request_read(session, need.path.clone(), need.offset, need.bytes);
                None
            }
        }
    }

    /// Executes again the lines whose lookups have ended.
    pub(in crate::recorder) fn retry_lines(&mut self, now: Now) {
        let mut lines = Vec::new();
        for session in self.sessions.iter_mut() {
            if let Some(ReplyStream::Again { line }) = &mut session.stream {
                lines.push((session.id, std::mem::take(line)));
                session.stream = None;
            }
        }
        for (session, line) in lines {
            self.execute_line(now, session, Ok(&line), now.mono);
        }
    }

    /// Starts closing days and rebuilding summaries, one request at a time.
    pub(in crate::recorder) fn close_past_days(&mut self, now: Now) {
        let rests = self.archive.busy || !self.archive.backoff.is_due(now.mono);
        if rests || self.admin.is_stopping() || !self.journal.storage.are_past_days_final() {
            return;
        }
        self.archive.closes |= self.journal.storage.take_day_change();
        if self.archive.closes || self.archive.damaged.is_some() {
            let Some(today) = Day::parse(self.journal.storage.day()) else { return };
            (self.archive.busy, self.archive.closes) = (true, false);
            let damaged = self.archive.damaged.take();
            self.archive.mending = damaged;
            self.outputs.push_back(Output::Summarise { today, damaged });
        }
    }

    /// Installs the new catalogue of closed days, or schedules a retry.
    pub(in crate::recorder) fn handle_archived_days(
        &mut self,
        now: Now,
        result: Result<(Catalogue, u64), String>,
    ) {
        self.archive.busy = false;
        let mending = self.archive.mending.take();
        if result.is_ok() {
            self.archive.backoff.succeed();
            self.journal.clear_alarm(now, alarm::AlarmCode::WorkerFailed, SUMMARIES);
        }
        match result {
            // Never moves back: the next start handles a journal that was shortened.
            Ok((_, through))
                if through < self.journal.index.summarised_through()
                    || through > self.journal.index.last_sequence() =>
            {
                log::error!("closed days end with entry {through}, which cannot be");
            }
            Ok((catalogue, through)) => {
                self.archive.catalogue = catalogue;
                self.journal.index.retire_through(through);
                log::info!("closed days are summarised through entry {through}");
            }
            // The records stay in memory, so a later retry loses nothing.
            Err(text) => {
                self.archive.closes = true;
                self.archive.damaged = self.archive.damaged.into_iter().chain(mending).min();
                self.archive.backoff.fail(now.mono);
                let text = format!("closed days cannot be summarised: {text}; the box tries again");
                log::error!("{text}");
                self.journal.raise_alarm(now, alarm::AlarmCode::WorkerFailed, SUMMARIES, text);
            }
        }
    }

    /// The refusal for an unreadable summary or journal; schedules a damaged summary's rebuild.
    pub(in crate::recorder) fn report_damage(&mut self, damaged: ArchiveError) -> Refusal {
        log::error!("{damaged}");
        match damaged {
            ArchiveError::Summary(day) => {
                if self.archive.mending.is_none_or(|first| day < first) {
                    let first = self.archive.damaged.map_or(day, |known| known.min(day));
                    self.archive.damaged = Some(first);
                }
                let text = format!("the summary of {day} is made anew; ask again in a while");
                Refusal::new(Code::Storage, text)
            }
            ArchiveError::Journal(day) => {
                let text = format!("the journal of {day} is damaged; `hushbox verify` says more");
                Refusal::new(Code::Storage, text)
            }
        }
    }

    /// Number of records in memory.
    #[must_use]
    pub fn records_in_memory(&self) -> usize {
        self.journal.index.records().count()
    }

    /// A record, if it is in memory.
    #[must_use]
    pub fn record_in_memory(&self, id: RecordingId) -> Option<&Record> {
        self.journal.index.record(id)
    }

    /// Number of records, and the start time of the oldest.
    pub(in crate::recorder) fn count_records(&self) -> (usize, Option<crate::time::WallTime>) {
        let (fresh, gone) = self.journal.index.unsummarised_counts();
        let count = (self.archive.catalogue.record_count() + fresh).saturating_sub(gone);
        let newest = |at: &crate::time::WallTime| {
            fresh > 0 && Some(*at) == self.journal.index.oldest_record()
        };
        let oldest = self
            .archive
            .catalogue
            .oldest_record(self.journal.index.clock())
            .or_else(|| self.journal.index.oldest_record().filter(newest));
        (count, oldest)
    }
}
