//! The past: records of closed days, which are on the disk only.
//!
//! A record that somebody names and that is not in memory is looked up first, in the summaries and
//! then in the journal; then it is in the index, and the line is taken once more, as if it had just
//! come. A day is closed outside the loop, once the first sync of the next day is done; what its
//! summary knows is then forgotten here.
//!
//! Nothing here reads a file: it asks.

use super::library::Stream;
use crate::id::{RecordingId, SessionId};
use crate::limits;
use crate::recorder::{Output, Recorder};
use crate::store::archive::{Catalogue, Damaged, Fetch, Finder, Known, Need, Step};
use crate::store::day::Day;
use crate::store::index::Record;
use crate::time::Now;
use protocol::{Code, Command, Refusal};

/// What is known of closed days, and what is being done about them.
#[derive(Debug, Default)]
pub(in crate::recorder) struct Past {
    pub catalogue: Catalogue,
    /// Days are being closed, or summaries mended.
    busy: bool,
    /// A summary that has to be made anew.
    damaged: Option<Day>,
    /// From this day on that is being done: until then some are missing.
    mending: Option<Day>,
    /// Some session's line has to be taken once more.
    again: bool,
}

impl Past {
    pub fn new(catalogue: Catalogue) -> Past {
        Past { catalogue, ..Past::default() }
    }
}

/// A line that waits for the record it names.
#[derive(Debug)]
pub struct Search {
    line: String,
    id: RecordingId,
    finder: Finder,
    fetch: Option<Fetch>,
}

/// The record that a command is about.
fn named<'a>(command: &'a Command<'_>) -> Option<&'a str> {
    match command {
        Command::Show { id, .. }
        | Command::Media { id, .. }
        | Command::Protect { id, .. }
        | Command::Delete { id } => Some(id),
        _ => None,
    }
}

impl Recorder {
    pub(in crate::recorder) fn known(&self) -> Known<'_> {
        Known { index: &self.index, catalogue: &self.past.catalogue }
    }

    /// If the command names a record that may be in the past only: the search for it.
    pub(in crate::recorder) fn search_first(
        &mut self,
        session: SessionId,
        command: &Command<'_>,
        line: &str,
    ) -> Option<Stream> {
        let id = RecordingId::parse(named(command)?)?;
        let searched = self.sessions.get_mut(session)?.searched.take() == Some(id);
        let here = self.index.record(id).is_some() || self.past.catalogue.days().is_empty();
        if searched || here {
            return None;
        }
        let line = line.to_owned();
        let search = Search { line, id, finder: Finder::new(id), fetch: None };
        Some(Stream::Search(Box::new(search)))
    }

    /// Goes on with a search; gives the line once it is over, whether the record is there or not.
    pub(in crate::recorder) fn feed_search(
        &mut self,
        session: SessionId,
        search: &mut Search,
    ) -> Result<Option<String>, Damaged> {
        loop {
            let need = match &mut search.fetch {
                Some(fetch) => match fetch.step(self.known())? {
                    Step::Found(record) => {
                        self.index.adopt(record);
                        break;
                    }
                    Step::Need(need) => need,
                    Step::End => break,
                },
                None => match search.finder.step(self.known()) {
                    Step::Found(row) => {
                        search.fetch = Some(Fetch::new(row));
                        continue;
                    }
                    Step::Need(need) => need,
                    Step::End => break,
                },
            };
            let Some(bytes) = self.have(session, &need) else { return Ok(None) };
            match &mut search.fetch {
                Some(fetch) => fetch.give(&bytes)?,
                None => search.fetch = search.finder.give(self.known(), bytes)?.map(Fetch::new),
            }
        }
        if let Some(session) = self.sessions.get_mut(session) {
            session.searched = Some(search.id);
        }
        self.past.again = true;
        Ok(Some(std::mem::take(&mut search.line)))
    }

    /// Bytes that were needed, if they have come; else they are asked for. None at all where they
    /// cannot be read, or where nobody can have meant so many.
    pub(in crate::recorder) fn have(&mut self, session: SessionId, need: &Need) -> Option<Vec<u8>> {
        if need.bytes > limits::SUMMARY_READ_BYTES {
            return Some(Vec::new());
        }
        match self.arrived(session) {
            Some(bytes) => Some(bytes.unwrap_or_default()),
            None => {
                self.read(session, need.path.clone(), (need.offset, need.bytes));
                None
            }
        }
    }

    /// Lines whose records have been looked for are taken now.
    pub(in crate::recorder) fn take_lines_again(&mut self, now: Now) {
        if !std::mem::take(&mut self.past.again) {
            return;
        }
        let mut lines = Vec::new();
        for session in self.sessions.iter_mut() {
            if let Some(Stream::Again { line }) = &mut session.stream {
                lines.push((session.id, std::mem::take(line)));
                session.stream = None;
            }
        }
        for (session, line) in lines {
            self.take_line(now, session, Ok(&line), now.mono);
        }
    }

    /// Whether lines wait to be taken once more.
    pub(in crate::recorder) fn has_lines_again(&self) -> bool {
        self.past.again
    }

    /// Has days closed and summaries mended, one after the other.
    pub(in crate::recorder) fn tick_past(&mut self) {
        if self.past.busy || self.stopping || !self.storage.past_is_settled() {
            return;
        }
        if self.storage.take_closes() || self.past.damaged.is_some() {
            let Some(today) = Day::parse(self.storage.day()) else { return };
            self.past.busy = true;
            let damaged = self.past.damaged.take();
            self.past.mending = damaged;
            self.outputs.push_back(Output::Summarise { today, damaged });
        }
    }

    /// Days were closed: what is summarised now, and through which entry.
    pub(in crate::recorder) fn summarised(&mut self, result: Result<(Catalogue, u64), String>) {
        (self.past.busy, self.past.mending) = (false, None);
        match result {
            // Never back: a journal that was shortened meanwhile is for the next start.
            Ok((_, through))
                if through < self.index.summarised() || through > self.index.last_sequence() =>
            {
                log::error!("closed days end with entry {through}, which cannot be");
            }
            Ok((catalogue, through)) => {
                self.past.catalogue = catalogue;
                self.index.retire(through);
                log::info!("closed days are summarised through entry {through}");
            }
            Err(text) => log::error!("closed days are not summarised: {text}"),
        }
    }

    /// What is said of a summary or a journal that cannot be read; the former is made anew.
    pub(in crate::recorder) fn is_damaged(&mut self, damaged: Damaged) -> Refusal {
        log::error!("{damaged}");
        match damaged {
            Damaged::Summary(day) => {
                if self.past.mending.is_none_or(|first| day < first) {
                    let first = self.past.damaged.map_or(day, |known| known.min(day));
                    self.past.damaged = Some(first);
                }
                let text = format!("the summary of {day} is made anew; ask again in a while");
                Refusal::new(Code::Storage, text)
            }
            Damaged::Journal(day) => {
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
    pub(in crate::recorder) fn count_records(&self) -> (usize, Option<crate::time::Wall>) {
        let (fresh, gone) = self.index.unsummarised();
        let count = (self.past.catalogue.kept() + fresh).saturating_sub(gone);
        let newest = |at: &crate::time::Wall| fresh > 0 && Some(*at) == self.index.oldest();
        let oldest = self.past.catalogue.oldest().or_else(|| self.index.oldest().filter(newest));
        (count, oldest)
    }
}
