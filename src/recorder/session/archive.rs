//! The past: records of closed days, which are on the disk only.
//!
//! A record that somebody names and that is not in memory is looked up first, in the summaries and
//! then in the journal; then it is in the index, and the line is taken once more, as if it had just
//! come. A day is closed outside the loop, once the first sync of the next day is done; what its
//! summary knows is then forgotten here.
//!
//! Nothing here reads a file: it asks.

use super::library::ReplyStream;
use crate::alarm;
use crate::backoff::Backoff;
use crate::id::{RecordingId, SessionId};
use crate::limits;
use crate::recorder::{Output, Recorder};
use crate::store::archive::{
    ArchiveError, Catalogue, PointLookup, ReadRequest, ReadStep, ReadView, RecordFetch,
};
use crate::store::day::Day;
use crate::store::index::Record;
use crate::time::Now;
use protocol::{Code, Command, Refusal};

/// What an alarm is about when days cannot be closed.
const SUMMARIES: &str = "summaries";

/// What is known of closed days, and what is being done about them.
#[derive(Debug)]
pub(in crate::recorder) struct Archive {
    pub catalogue: Catalogue,
    /// Days are being closed, or summaries mended.
    busy: bool,
    /// Days are to be closed.
    closes: bool,
    /// When that is tried again after it failed.
    backoff: Backoff,
    /// A summary that has to be made anew.
    damaged: Option<Day>,
    /// From this day on that is being done: until then some are missing.
    mending: Option<Day>,
    /// Some session's line has to be taken once more.
    again: bool,
}

impl Archive {
    pub fn new(catalogue: Catalogue) -> Archive {
        let backoff = Backoff::new(limits::SUMMARY_AGAIN_MS, limits::SUMMARY_AGAIN_MS_MAX);
        let (busy, closes, again) = (false, false, false);
        Archive { catalogue, busy, closes, backoff, damaged: None, mending: None, again }
    }
}

/// A line that waits for the record it names.
#[derive(Debug)]
pub struct ArchiveLookup {
    line: String,
    id: RecordingId,
    finder: PointLookup,
    fetch: Option<RecordFetch>,
}

/// The record that a command is about.
fn record_named_by<'a>(command: &'a Command<'_>) -> Option<&'a str> {
    match command {
        Command::Show { id, .. }
        | Command::Media { id, .. }
        | Command::Protect { id, .. }
        | Command::Delete { id } => Some(id),
        _ => None,
    }
}

impl Recorder {
    pub(in crate::recorder) fn read_view(&self) -> ReadView<'_> {
        ReadView { index: &self.index, catalogue: &self.archive.catalogue }
    }

    /// If the command names a record that may be in the past only: the search for it.
    pub(in crate::recorder) fn lookup_archived(
        &mut self,
        session: SessionId,
        command: &Command<'_>,
        line: &str,
    ) -> Option<ReplyStream> {
        let id = RecordingId::parse(record_named_by(command)?)?;
        let searched = self.sessions.get_mut(session)?.searched.take() == Some(id);
        let here = self.index.record(id).is_some() || self.archive.catalogue.days().is_empty();
        if searched || here {
            return None;
        }
        let line = line.to_owned();
        let search = ArchiveLookup { line, id, finder: PointLookup::new(id), fetch: None };
        Some(ReplyStream::Search(Box::new(search)))
    }

    /// Goes on with a search; gives the line once it is over, whether the record is there or not.
    pub(in crate::recorder) fn continue_lookup(
        &mut self,
        session: SessionId,
        search: &mut ArchiveLookup,
    ) -> Result<Option<String>, ArchiveError> {
        loop {
            let need = match &mut search.fetch {
                Some(fetch) => match fetch.poll_record(self.read_view())? {
                    ReadStep::Found(record) => {
                        self.index.adopt_record(record);
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
        self.archive.again = true;
        Ok(Some(std::mem::take(&mut search.line)))
    }

    /// Bytes that were needed, if they have come; else they are asked for. None at all where they
    /// cannot be read, or where nobody can have meant so many.
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
                self.request_read(session, need.path.clone(), (need.offset, need.bytes));
                None
            }
        }
    }

    /// Lines whose records have been looked for are taken now.
    pub(in crate::recorder) fn retry_lines(&mut self, now: Now) {
        if !std::mem::take(&mut self.archive.again) {
            return;
        }
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

    /// Whether lines wait to be taken once more.
    pub(in crate::recorder) fn has_lines_to_retry(&self) -> bool {
        self.archive.again
    }

    /// Has days closed and summaries mended, one after the other.
    pub(in crate::recorder) fn tick_archive(&mut self, now: Now) {
        let rests = self.archive.busy || !self.archive.backoff.is_due(now.mono);
        if rests || self.stopping || !self.storage.are_past_days_final() {
            return;
        }
        self.archive.closes |= self.storage.take_day_change();
        if self.archive.closes || self.archive.damaged.is_some() {
            let Some(today) = Day::parse(self.storage.day()) else { return };
            (self.archive.busy, self.archive.closes) = (true, false);
            let damaged = self.archive.damaged.take();
            self.archive.mending = damaged;
            self.outputs.push_back(Output::Summarise { today, damaged });
        }
    }

    /// Days were closed: what is summarised now, and through which entry.
    pub(in crate::recorder) fn handle_archived_days(
        &mut self,
        now: Now,
        result: Result<(Catalogue, u64), String>,
    ) {
        self.archive.busy = false;
        let mending = self.archive.mending.take();
        if result.is_ok() {
            self.archive.backoff.succeed();
            self.clear_alarm(now, alarm::AlarmCode::WorkerFailed, SUMMARIES);
        }
        match result {
            // Never back: a journal that was shortened meanwhile is for the next start.
            Ok((_, through))
                if through < self.index.summarised_through()
                    || through > self.index.last_sequence() =>
            {
                log::error!("closed days end with entry {through}, which cannot be");
            }
            Ok((catalogue, through)) => {
                self.archive.catalogue = catalogue;
                self.index.retire_through(through);
                log::info!("closed days are summarised through entry {through}");
            }
            // Nothing is lost: the records stay in memory, and the days are closed later.
            Err(text) => {
                self.archive.closes = true;
                self.archive.damaged = self.archive.damaged.into_iter().chain(mending).min();
                self.archive.backoff.fail(now.mono);
                let text = format!("closed days are not summarised ({text}); tried again");
                log::error!("{text}");
                self.raise_alarm(now, alarm::AlarmCode::WorkerFailed, SUMMARIES, text);
            }
        }
    }

    /// What is said of a summary or a journal that cannot be read; the former is made anew.
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

    /// How many records are in memory.
    #[must_use]
    pub fn records_in_memory(&self) -> usize {
        self.index.records().count()
    }

    /// One of them.
    #[must_use]
    pub fn record_in_memory(&self, id: RecordingId) -> Option<&Record> {
        self.index.record(id)
    }

    /// How many records there are, and when the oldest of them began.
    pub(in crate::recorder) fn count_records(&self) -> (usize, Option<crate::time::WallTime>) {
        let (fresh, gone) = self.index.unsummarised_counts();
        let count = (self.archive.catalogue.record_count() + fresh).saturating_sub(gone);
        let newest =
            |at: &crate::time::WallTime| fresh > 0 && Some(*at) == self.index.oldest_record();
        let oldest = self
            .archive
            .catalogue
            .oldest_record()
            .or_else(|| self.index.oldest_record().filter(newest));
        (count, oldest)
    }
}
