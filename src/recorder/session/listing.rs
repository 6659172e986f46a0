//! Listing records, newest first, from memory and from the summaries of closed days.
//!
//! A listing keeps only its position and reads the next page of rows when the client has room.
//! Numbers are sealed, so filtering by number opens every record. This may take long, but delays
//! only other readers.

use super::library::{RecordKey, ReplyStream, direction_word};
use super::response::Response;
use crate::id::{RecordingId, SessionId};
use crate::limits;
use crate::recorder::{Principal, Recorder};
use crate::store::archive::{ArchiveError, RangeScan, ReadStep, RecordFetch, RecordRow};
use crate::store::index::{Record, RecordFilter, number_matches};
use crate::time::{WallTime, ms_of_frames};
use protocol::{Code, Kind, RecordsQuery, Refusal, reply};
use std::borrow::Cow;

/// A listing in progress.
#[derive(Debug)]
pub struct Listing {
    browser: RangeScan,
    /// The comparison of the next row's numbers.
    judged: NumberMatch,
    left: usize,
    ani: Option<String>,
    dnis: Option<String>,
    /// Count of records whose numbers the recorder could not open.
    sealed: usize,
}

#[derive(Debug)]
enum NumberMatch {
    /// No comparison is in progress.
    Nothing,
    /// The whole record is being read.
    Fetch(Box<RecordFetch>),
    /// The record is in the index; its key is being read.
    Key(RecordingId),
}

/// The result of one step of a listing.
enum ListingProgress {
    /// The next row to send.
    Row(Box<RecordRow>),
    /// The step advanced without a row.
    /// The listing waits for a read.
    More,
    /// No records are left.
    Wait,
    End,
}

impl Listing {
    fn wants_numbers(&self) -> bool {
        self.ani.is_some() || self.dnis.is_some()
    }
}

fn owned_text(word: &Option<Cow<'_, str>>) -> Option<String> {
    word.as_ref().map(ToString::to_string)
}

fn parse_time(key: &str, word: &Option<Cow<'_, str>>) -> Result<Option<WallTime>, Refusal> {
    let Some(word) = word else { return Ok(None) };
    WallTime::parse(word).map(Some).ok_or_else(|| {
        let text = format!("{key}={word}: RFC 3339 is wanted, such as 2026-11-22T12:00:00Z");
        Refusal::new(Code::BadArgument, text)
    })
}

/// The filter of a query; `bad-argument` for invalid times.
pub(in crate::recorder) fn filter(query: &RecordsQuery<'_>) -> Result<RecordFilter, Refusal> {
    Ok(RecordFilter {
        agent: owned_text(&query.agent),
        device: owned_text(&query.device),
        call: owned_text(&query.call),
        from: parse_time("from", &query.from)?,
        until: parse_time("to", &query.to)?,
        ..RecordFilter::default()
    })
}

impl Recorder {
    pub(in crate::recorder) fn list_records(
        &self,
        id: SessionId,
        query: &RecordsQuery<'_>,
    ) -> Result<Response, Refusal> {
        let filter = filter(query)?;
        let left = query.limit.map_or(limits::RECORDS_DEFAULT, |n| n as usize);
        let who = self.principal_of(id).ok_or_else(|| Refusal::from(Code::Denied))?;
        let listing = Listing {
            browser: RangeScan::new(filter),
            judged: NumberMatch::Nothing,
            left: left.min(limits::RECORDS_MAX),
            ani: owned_text(&query.ani),
            dnis: owned_text(&query.dnis),
            sealed: 0,
        };
        if listing.wants_numbers() && who.kind == Kind::Technician {
            let text = "numbers are for those with records.own or .all";
            return Err(Refusal::new(Code::Denied, text));
        }
        Ok(Response::stream(ReplyStream::Records(Box::new(listing))))
    }

    pub(in crate::recorder) fn feed_records(
        &mut self,
        session: SessionId,
        listing: &mut Listing,
        out: &mut Vec<u8>,
    ) -> bool {
        while listing.left > 0 {
            if self.send_capacity(session) <= out.len() + limits::REPLY_RESERVE_BYTES / 4 {
                if !self.is_reading(session) {
                    listing.browser.release_memory();
                }
                return false;
            }
            match self.next_listed(session, listing) {
                Ok(ListingProgress::Row(row)) => {
                    listing.left -= 1;
                    if let Some(who) = self.principal_of(session) {
                        self.write_record_row(who, &row, out);
                    }
                }
                Ok(ListingProgress::More) => {}
                Ok(ListingProgress::Wait) => return false,
                Ok(ListingProgress::End) => break,
                Err(damaged) => {
                    reply::begin_err(out, &self.report_damage(damaged)).end();
                    return true;
                }
            }
        }
        let ok = reply::begin_ok(out);
        let ok = if listing.sealed > 0 { ok.pair("sealed", listing.sealed) } else { ok };
        ok.end();
        true
    }

    fn next_listed(
        &mut self,
        session: SessionId,
        listing: &mut Listing,
    ) -> Result<ListingProgress, ArchiveError> {
        match &mut listing.judged {
            NumberMatch::Nothing => self.scan_archive(session, listing),
            NumberMatch::Key(id) => {
                let id = *id;
                Ok(self.match_numbers(session, id, listing))
            }
            NumberMatch::Fetch(fetch) => match fetch.poll_record(self.read_view())? {
                ReadStep::Found(record) => {
                    listing.judged = NumberMatch::Key(record.id());
                    self.journal.index.adopt_record(record);
                    Ok(ListingProgress::More)
                }
                ReadStep::Read(need) => match self.take_read(session, &need) {
                    Some(bytes) => fetch.supply_bytes(&bytes).map(|()| ListingProgress::More),
                    None => Ok(ListingProgress::Wait),
                },
                ReadStep::End => {
                    listing.judged = NumberMatch::Nothing;
                    Ok(ListingProgress::More)
                }
            },
        }
    }

    fn scan_archive(
        &mut self,
        session: SessionId,
        listing: &mut Listing,
    ) -> Result<ListingProgress, ArchiveError> {
        let row = match listing.browser.poll_row(self.read_view()) {
            ReadStep::Found(row) => row,
            ReadStep::End => return Ok(ListingProgress::End),
            ReadStep::Read(need) => {
                let Some(bytes) = self.take_read(session, &need) else {
                    if !self.is_reading(session) {
                        listing.browser.release_memory();
                    }
                    return Ok(ListingProgress::Wait);
                };
                return listing.browser.supply_bytes(&bytes).map(|()| ListingProgress::More);
            }
        };
        let seen = self
            .principal_of(session)
            .is_some_and(|who| self.record_is_visible_to(who, row.agent.as_deref(), row.reasons));
        if !seen {
            return Ok(ListingProgress::More);
        }
        if !listing.wants_numbers() {
            return Ok(ListingProgress::Row(Box::new(row)));
        }
        listing.judged = match self.journal.index.record(row.id) {
            Some(_) => NumberMatch::Key(row.id),
            None => NumberMatch::Fetch(Box::new(RecordFetch::new(row))),
        };
        Ok(ListingProgress::More)
    }

    /// Compares a record's numbers with the query, if the recorder can open its key.
    fn match_numbers(
        &mut self,
        session: SessionId,
        id: RecordingId,
        listing: &mut Listing,
    ) -> ListingProgress {
        let key = match self.key_of(session, id) {
            RecordKey::Wait => return ListingProgress::Wait,
            RecordKey::Sealed(_) => None,
            RecordKey::Open(key) => Some(key),
        };
        listing.judged = NumberMatch::Nothing;
        let Some(numbers) = key.and_then(|key| self.sealed_numbers(id, key.as_ref())) else {
            listing.sealed += 1;
            return ListingProgress::More;
        };
        let is_match = number_matches(listing.ani.as_deref(), numbers.ani.as_deref())
            && number_matches(listing.dnis.as_deref(), numbers.dnis.as_deref());
        let record = self.journal.index.record(id).filter(|record| record.deleted.is_none());
        match record.filter(|_| is_match) {
            Some(record) => ListingProgress::Row(Box::new(RecordRow::from_record(record))),
            None => ListingProgress::More,
        }
    }

    fn write_record_row(&self, who: &Principal, row: &RecordRow, out: &mut Vec<u8>) {
        let direction = row.direction.map_or("-", direction_word);
        let so_far = self.journal.index.record(row.id).filter(|record| record.is_running());
        let duration_ms = so_far.map_or(row.duration_ms, |record| self.running_ms(record));
        let line = reply::begin_row(out).pair("recording", row.id).pair("start", row.started_at());
        let line = line.pair("duration_ms", duration_ms);
        let line = line.pair("agent", row.agent.as_deref().unwrap_or("-"));
        let line = line.pair("device", &row.device).pair("call", &row.call);
        let line = line.pair("direction", direction);
        let line = line.pair("reasons", self.visible_reasons(who, row.reasons));
        let line = line.pair("schedule", row.schedule.as_deref().unwrap_or("-"));
        let line = line.pair("blackouts", row.blackouts.len()).pair("lost", row.lost);
        let line = line.pair("protected", protocol::state::format_on_off(row.is_protected));
        let line = line.pair("size", row.size);
        match row.clock.as_str() {
            Some(word) => line.pair("clock", word).end(),
            None => line.end(),
        }
    }

    /// Duration of a running recording so far, in milliseconds.
    fn running_ms(&self, record: &Record) -> u64 {
        let began = &record.began;
        let running = self.recordings.get(began.id).and_then(|running| running.writer.as_ref());
        let to = running.map_or(began.from, |writer| writer.stream.cursor);
        ms_of_frames(to.frames_since(began.from.min(to)), began.rate.max(1))
    }
}
