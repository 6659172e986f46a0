//! Listing records: rows, newest first, from memory and from the summaries of closed days.
//!
//! A listing holds no list: it knows how far it came, and asks for the next page of rows when the
//! client has room for more. Numbers are sealed, so asking for one opens record after record; that
//! takes as long as it takes, and nobody else waits for it but other readers.

use super::command::Said;
use super::library::{Key, Stream, direction_word};
use crate::id::{RecordingId, SessionId};
use crate::limits;
use crate::recorder::{Recorder, Who};
use crate::store::archive::{Browser, Damaged, Fetch, Row, Step};
use crate::store::index::{Filter, Record};
use crate::time::{Wall, ms_of_frames};
use protocol::{Code, Kind, RecordsQuery, Refusal, reply};
use std::borrow::Cow;

/// A listing under way.
#[derive(Debug)]
pub struct Listing {
    browser: Browser,
    /// The next row, while its numbers are compared.
    judged: Judged,
    left: usize,
    ani: Option<String>,
    dnis: Option<String>,
    /// Records whose numbers could not be compared, because they are sealed here.
    sealed: usize,
}

#[derive(Debug)]
enum Judged {
    Nothing,
    /// The whole record is being read.
    Fetch(Box<Fetch>),
    /// It is in the index; its key is being read.
    Key(RecordingId),
}

/// How far a listing came.
enum Got {
    Row(Box<Row>),
    /// Somewhat further.
    More,
    Wait,
    End,
}

impl Listing {
    fn wants_numbers(&self) -> bool {
        self.ani.is_some() || self.dnis.is_some()
    }
}

fn text(word: &Option<Cow<'_, str>>) -> Option<String> {
    word.as_ref().map(ToString::to_string)
}

fn time(key: &str, word: &Option<Cow<'_, str>>) -> Result<Option<Wall>, Refusal> {
    let Some(word) = word else { return Ok(None) };
    Wall::parse(word).map(Some).ok_or_else(|| {
        let text = format!("{key}={word}: RFC 3339 is wanted, such as 2026-11-22T12:00:00Z");
        Refusal::new(Code::BadArgument, text)
    })
}

impl Recorder {
    pub(in crate::recorder) fn records(
        &self,
        id: SessionId,
        query: &RecordsQuery<'_>,
    ) -> Result<Said, Refusal> {
        let filter = Filter {
            agent: text(&query.agent),
            device: text(&query.device),
            call: text(&query.call),
            from: time("from", &query.from)?,
            until: time("to", &query.to)?,
            ..Filter::default()
        };
        let left = query.limit.map_or(limits::RECORDS_DEFAULT, |n| n as usize);
        let who = self.who(id).ok_or_else(|| Refusal::from(Code::Denied))?;
        self.may_list(who)?;
        let listing = Listing {
            browser: Browser::new(filter),
            judged: Judged::Nothing,
            left: left.min(limits::RECORDS_MAX),
            ani: text(&query.ani),
            dnis: text(&query.dnis),
            sealed: 0,
        };
        if listing.wants_numbers() && who.kind == Kind::Technician {
            let text = "numbers are for those with records.own or .all";
            return Err(Refusal::new(Code::Denied, text));
        }
        Ok(Said::stream(Stream::Records(Box::new(listing))))
    }

    pub(in crate::recorder) fn feed_records(
        &mut self,
        session: SessionId,
        listing: &mut Listing,
        out: &mut Vec<u8>,
    ) -> bool {
        while listing.left > 0 {
            if self.room(session) <= out.len() + limits::REPLY_ROOM / 4 {
                if !self.is_reading(session) {
                    listing.browser.rest();
                }
                return false;
            }
            match self.next_listed(session, listing) {
                Ok(Got::Row(row)) => {
                    listing.left -= 1;
                    if let Some(who) = self.who(session) {
                        self.record_row(who, &row, out);
                    }
                }
                Ok(Got::More) => {}
                Ok(Got::Wait) => return false,
                Ok(Got::End) => break,
                Err(damaged) => {
                    reply::err(out, &self.is_damaged(damaged)).end();
                    return true;
                }
            }
        }
        let ok = reply::ok(out);
        let ok = if listing.sealed > 0 { ok.pair("sealed", listing.sealed) } else { ok };
        ok.end();
        true
    }

    fn next_listed(&mut self, session: SessionId, listing: &mut Listing) -> Result<Got, Damaged> {
        match &mut listing.judged {
            Judged::Nothing => self.browse(session, listing),
            Judged::Key(id) => {
                let id = *id;
                Ok(self.judge(session, id, listing))
            }
            Judged::Fetch(fetch) => match fetch.step(self.known())? {
                Step::Found(record) => {
                    listing.judged = Judged::Key(record.id());
                    self.index.adopt(record);
                    Ok(Got::More)
                }
                Step::Need(need) => match self.have(session, &need) {
                    Some(bytes) => fetch.give(&bytes).map(|()| Got::More),
                    None => Ok(Got::Wait),
                },
                Step::End => {
                    listing.judged = Judged::Nothing;
                    Ok(Got::More)
                }
            },
        }
    }

    fn browse(&mut self, session: SessionId, listing: &mut Listing) -> Result<Got, Damaged> {
        let row = match listing.browser.step(self.known()) {
            Step::Found(row) => row,
            Step::End => return Ok(Got::End),
            Step::Need(need) => {
                let Some(bytes) = self.have(session, &need) else {
                    if !self.is_reading(session) {
                        listing.browser.rest();
                    }
                    return Ok(Got::Wait);
                };
                return listing.browser.give(&bytes).map(|()| Got::More);
            }
        };
        let seen = self
            .who(session)
            .is_some_and(|who| self.may_see(who, (row.agent.as_deref(), row.reasons)));
        if !seen {
            return Ok(Got::More);
        }
        if !listing.wants_numbers() {
            return Ok(Got::Row(Box::new(row)));
        }
        listing.judged = match self.index.record(row.id) {
            Some(_) => Judged::Key(row.id),
            None => Judged::Fetch(Box::new(Fetch::new(row))),
        };
        Ok(Got::More)
    }

    /// Whether a record has the numbers that are asked for, as far as its key can be had.
    fn judge(&mut self, session: SessionId, id: RecordingId, listing: &mut Listing) -> Got {
        let key = match self.key_of(session, id) {
            Key::Wait => return Got::Wait,
            Key::Sealed(_) => None,
            Key::Open(key) => Some(key),
        };
        listing.judged = Judged::Nothing;
        let Some(key) = key else {
            listing.sealed += 1;
            return Got::More;
        };
        let numbers = self.numbers(id, key.as_ref()).unwrap_or_default();
        let same =
            |asked: &Option<String>, known: Option<String>| asked.is_none() || *asked == known;
        let record = self.index.record(id).filter(|record| record.deleted.is_none());
        match record {
            Some(record)
                if same(&listing.ani, numbers.ani) && same(&listing.dnis, numbers.dnis) =>
            {
                Got::Row(Box::new(Row::of(record)))
            }
            _ => Got::More,
        }
    }

    fn record_row(&self, who: &Who, row: &Row, out: &mut Vec<u8>) {
        let direction = row.direction.map_or("-", direction_word);
        let so_far = self.index.record(row.id).filter(|record| record.is_running());
        let duration_ms = so_far.map_or(row.duration_ms, |record| self.ran_ms(record));
        let line = reply::row(out).pair("recording", row.id).pair("start", row.at);
        let line = line.pair("duration_ms", duration_ms);
        let line = line.pair("agent", row.agent.as_deref().unwrap_or("-"));
        let line = line.pair("device", &row.device).pair("call", &row.call);
        let line = line.pair("direction", direction);
        let line = line.pair("reasons", self.shown_reasons(who, row.reasons));
        let line = line.pair("schedule", row.schedule.as_deref().unwrap_or("-"));
        let line = line.pair("blackouts", row.blackouts.len()).pair("lost", row.lost);
        let line = line.pair("protected", protocol::state::on_off(row.protected));
        line.pair("size", row.size).end();
    }

    /// How long a recording runs already.
    fn ran_ms(&self, record: &Record) -> u64 {
        let began = &record.began;
        let running = self.recording(began.id).and_then(|running| running.tape.as_ref());
        let to = running.map_or(began.from, |tape| tape.reel.cursor);
        ms_of_frames(to.since(began.from.min(to)), began.rate.max(1))
    }
}
