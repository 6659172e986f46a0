//! Showing and protecting records, and streaming long replies (see `listing`, `archive`, `fetch`).
//!
//! A stream sends rows or data blocks as the client has room, and its session accepts no line
//! meanwhile. At most one read is in flight for all sessions, so readers never delay an `ok`. A
//! sealed record is opened only with an identity that its owner left on the recorder. Replies to
//! agents never contain a field's value or history (F2).

use super::listing::Listing;
use super::response::Response;
use crate::audio::span::{LossReason, Side};
use crate::calls::permission::Permission;
use crate::config::CodecKind;
use crate::id::{RecordingId, SessionId};
use crate::job::Job;
use crate::limits;
use crate::recorder::journal::expiry::EXPIRY_READER;
use crate::recorder::session::archive::ArchiveLookup;
use crate::recorder::session::fetch::MediaStream;
use crate::recorder::{Principal, Recorder, Session};
use crate::store::fact::{CallFacts, Fact, PhoneNumbers, RecordReason, RecordReasons};
use crate::store::index::Record;
use crate::store::media;
use crate::store::seal::{self, DataKey};
use crate::time::Now;
use protocol::name::is_same_name;
use protocol::{Code, Kind, Refusal, reply};
use std::borrow::Cow;

/// A reply too long to send at once.
#[derive(Debug)]
pub enum ReplyStream {
    Records(Box<Listing>),
    /// An archived record is being looked up.
    Search(Box<ArchiveLookup>),
    /// The lookup ended; the next turn executes the line again.
    Again {
        line: String,
    },
    Show {
        id: RecordingId,
        /// Whether to include sealed data that the recorder cannot open.
        sealed: bool,
    },
    /// Rows that are already formatted.
    Lines {
        bytes: Vec<u8>,
        said: usize,
    },
    Media(MediaStream),
    /// A range of a recording is being removed.
    Redaction,
}

/// The single read in flight.
#[derive(Debug, Default)]
pub struct ArchiveReader {
    tag: u64,
    for_session: Option<SessionId>,
    wanted: usize,
    arrived: Option<(SessionId, Option<Vec<u8>>)>,
    spare: Vec<u8>,
}

/// Session id of the reads for the removal of a range.
pub(in crate::recorder) const REDACTION_READER: SessionId = SessionId(u64::MAX);

/// Username of the user who gave a command.
pub(in crate::recorder) struct ActorName(pub String);

/// The key of a record, as far as the recorder can open it.
pub(in crate::recorder) enum RecordKey {
    /// The key, or `None` for a record that is not sealed.
    Open(Option<DataKey>),
    /// The recorder cannot open the key; holds the wrapped key, as far as it is readable.
    Sealed(Vec<u8>),
    /// The media file's header must be read first.
    Wait,
}

/// Bytes of a call's details together above which the row of its record has them shortened.
const DETAILS_BYTES_MAX: usize = 320;
/// Maximum bytes of each detail in such a row.
const SHORT_DETAIL_BYTES: usize = 48;

/// The texts of a call that may be long. All of them together may not fit into one line.
struct CallDetails<'a> {
    details: [(&'static str, &'a str); 5],
    /// Whether all fit into the row of the record.
    fit: bool,
}

impl<'a> CallDetails<'a> {
    fn new(call: &'a CallFacts, numbers: &'a PhoneNumbers) -> CallDetails<'a> {
        let text = |detail: &'a Option<String>| detail.as_deref().unwrap_or("-");
        let details = [
            ("call", call.call.as_str()),
            ("group", text(&call.group)),
            ("gate", text(&call.gate)),
            ("ani", text(&numbers.ani)),
            ("dnis", text(&numbers.dnis)),
        ];
        let escapes = |text: &str| text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        let bytes: usize = details.iter().map(|(_, text)| text.len() + escapes(text)).sum();
        CallDetails { details, fit: bytes <= DETAILS_BYTES_MAX }
    }

    /// A detail as the row of the record has it.
    fn short(&self, key: &str) -> Cow<'a, str> {
        let text = self.details.iter().find(|(known, _)| *known == key).map_or("-", |(_, t)| t);
        let most = if self.fit { text.len() } else { SHORT_DETAIL_BYTES };
        protocol::text::shorten_text(text, most)
    }

    /// Writes a row for each detail that the row of the record has shortened.
    fn write_rows(&self, out: &mut Vec<u8>) {
        for (key, text) in self.details {
            if !self.fit && text.len() > SHORT_DETAIL_BYTES {
                let row = reply::begin_row(out).pair("what", "detail").pair("key", key);
                row.pair("value", text).end();
            }
        }
    }
}

impl Recorder {
    pub(in crate::recorder) fn principal_of(&self, id: SessionId) -> Option<&Principal> {
        self.sessions.get(id).and_then(|session| session.who.as_ref())
    }

    /// Whether the principal may see a record. `records.own` allows own calls, `records.all` every
    /// call. An agent who sees only own recordings sees those that an agent requested (B2).
    pub(in crate::recorder) fn record_is_visible_to(
        &self,
        who: &Principal,
        of: Option<&str>,
        ever: RecordReasons,
    ) -> bool {
        if who.kind == Kind::Technician {
            return true;
        }
        let Some(agent) = who.agent else { return false };
        let rights = self.directory.permissions(agent);
        let name = &self.directory.agent_at(agent).username;
        let own = of.is_some_and(|of| is_same_name(of, name));
        let seen = !self.sees_only_own(agent) || ever.contains(RecordReason::Agent);
        rights.contains(Permission::RecordsAll)
            || rights.contains(Permission::RecordsOwn) && own && seen
    }

    /// A record that the session may see; any other record does not exist for it.
    pub(in crate::recorder) fn visible_record(
        &self,
        id: SessionId,
        word: &str,
    ) -> Result<&Record, Refusal> {
        let none = || Refusal::new(Code::NoSuchRecord, format!("no record is called {word}"));
        let who = self.principal_of(id).ok_or_else(none)?;
        let record = RecordingId::parse(word).and_then(|id| self.journal.index.record(id));
        let record = record.filter(|record| record.deleted.is_none());
        let facets = |record: &Record| (record.began.call.agent.clone(), record.reasons_ever);
        let seen = |record: &&Record| {
            let (of, ever) = facets(record);
            self.record_is_visible_to(who, of.as_deref(), ever)
        };
        record.filter(seen).ok_or_else(none)
    }

    pub(in crate::recorder) fn show_recording(
        &self,
        id: SessionId,
        word: &str,
    ) -> Result<Response, Refusal> {
        let record = self.visible_record(id, word)?;
        Ok(Response::stream(ReplyStream::Show { id: record.id(), sealed: false }))
    }

    /// A record that the session may see, and the user who acts on it.
    pub(in crate::recorder) fn record_and_user(
        &self,
        id: SessionId,
        word: &str,
    ) -> Result<(&Record, ActorName), Refusal> {
        let who = self.principal_of(id).ok_or_else(|| Refusal::from(Code::Denied))?;
        self.visible_record(id, word).map(|record| (record, ActorName(who.user.clone())))
    }

    pub(in crate::recorder) fn set_protection(
        &mut self,
        now: Now,
        id: SessionId,
        word: &str,
        on: bool,
    ) -> Result<Response, Refusal> {
        let (record, ActorName(by)) = self.record_and_user(id, word)?;
        let (record, changes) = (record.id(), record.is_protected != on);
        self.require_disk()?;
        let ticket = if changes {
            self.journal.append(now, Fact::Protected { id: record, on, by })
        } else {
            self.journal.storage.last_fact_ticket()
        };
        let mut bytes = Vec::new();
        let line = reply::begin_ok(&mut bytes).pair("recording", record);
        line.pair("protected", protocol::state::format_on_off(on)).end();
        Ok(Response::after_sync(ticket, bytes))
    }

    /// Feeds the session's stream as far as the client has room.
    pub(in crate::recorder) fn feed_stream(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.has_replies() {
            return;
        }
        let Some(mut stream) = session.stream.take() else { return };
        let mut bytes = Vec::new();
        let over = self.feed_reply(id, &mut stream, &mut bytes);
        let Some(session) = self.sessions.get_mut(id) else { return };
        if !bytes.is_empty() {
            session.room = session.room.saturating_sub(bytes.len());
            self.outputs.push_back(crate::recorder::Output::Send { session: id, bytes });
        }
        if !over {
            session.stream = Some(stream);
        }
    }

    fn feed_reply(&mut self, id: SessionId, stream: &mut ReplyStream, out: &mut Vec<u8>) -> bool {
        match stream {
            ReplyStream::Records(listing) => self.feed_records(id, listing, out),
            ReplyStream::Search(search) => match self.continue_lookup(id, search) {
                Ok(None) => false,
                Ok(Some(line)) => {
                    *stream = ReplyStream::Again { line };
                    false
                }
                Err(damaged) => {
                    reply::begin_err(out, &self.report_damage(damaged)).end();
                    true
                }
            },
            ReplyStream::Again { .. } => false,
            ReplyStream::Show { id: record, sealed } => self.feed_show(id, *record, *sealed, out),
            ReplyStream::Lines { bytes, said } => self.feed_lines(id, bytes, said, out),
            ReplyStream::Media(media) => self.feed_media(id, media, out),
            ReplyStream::Redaction => self.feed_redaction(id, out),
        }
    }

    pub(in crate::recorder) fn send_capacity(&self, id: SessionId) -> usize {
        self.sessions.get(id).map_or(0, |session: &Session| session.room)
    }

    /// Sends as many whole lines as fit.
    fn feed_lines(&self, id: SessionId, bytes: &[u8], said: &mut usize, out: &mut Vec<u8>) -> bool {
        let room = self.send_capacity(id);
        let rest = &bytes[*said..];
        let whole = if rest.len() <= room {
            rest.len()
        } else {
            rest[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
        };
        out.extend_from_slice(&rest[..whole]);
        *said += whole;
        *said == bytes.len()
    }

    /// The reasons of a recording that the principal may see (B2).
    pub(in crate::recorder) fn visible_reasons(
        &self,
        who: &Principal,
        mut reasons: RecordReasons,
    ) -> RecordReasons {
        if who.agent.is_some_and(|agent| self.sees_only_own(agent)) {
            reasons.0 &= RecordReasons::from_reason(RecordReason::Agent).0;
        }
        reasons
    }

    pub(in crate::recorder) fn sealed_numbers(
        &self,
        id: RecordingId,
        key: Option<&DataKey>,
    ) -> Option<PhoneNumbers> {
        let record = self.journal.index.record(id)?;
        seal::open_numbers(key, &record.began.numbers).ok()
    }

    fn feed_show(
        &mut self,
        session: SessionId,
        id: RecordingId,
        sealed: bool,
        out: &mut Vec<u8>,
    ) -> bool {
        if self.send_capacity(session) < limits::OUTPUT_BYTES_MAX / 4 * 3 {
            return false;
        }
        let (key, wrapped) = match self.key_of(session, id) {
            RecordKey::Wait => return false,
            RecordKey::Sealed(wrapped) => (None, wrapped),
            RecordKey::Open(key) => (Some(key), Vec::new()),
        };
        // The record may have been deleted while its key was read.
        let record = self.journal.index.record(id).filter(|record| record.deleted.is_none());
        let (Some(record), Some(who)) = (record, self.principal_of(session)) else {
            reply::begin_err(out, &Code::NoSuchRecord.into()).end();
            return true;
        };
        self.show_record(who, record, key.as_ref(), out);
        let room = limits::OUTPUT_BYTES_MAX / 2;
        let mut unsaid = 0;
        if who.kind == Kind::Supervisor {
            Self::show_fetches(record, out);
            if sealed && !wrapped.is_empty() {
                unsaid += super::sealed_facts::write_sealed_rows(record, &wrapped, out);
            } else {
                Self::show_fields(record, key.as_ref(), out);
            }
        }
        unsaid += Self::show_blackouts(record, room, out);
        for span in record.spans() {
            if out.len() > room {
                unsaid += 1;
                continue;
            }
            let row = reply::begin_row(out).pair("what", "span").pair("fate", span.fate.as_str());
            let row = row.pair("from", span.from).pair("to", span.to);
            let row = match span.fate.lost_side() {
                Some(side) => row.pair("side", side.as_str()),
                None => row,
            };
            match span.fate.loss_reason() {
                Some(why) => row.pair("why", why.as_str()).end(),
                None => row.end(),
            }
        }
        if unsaid > 0 {
            let text = "the rest is in what `hushbox show` and a manifest say";
            reply::begin_row(out)
                .pair("what", "more")
                .pair("rows", unsaid)
                .pair("text", text)
                .end();
        }
        Self::show_ledger(record, out);
        Self::write_screen_rows(record, out);
        reply::begin_ok(out).end();
        true
    }

    /// Writes the rows of blackouts, of what they came too late to mask, and of removed ranges, up
    /// to `room` bytes. Returns the number of rows left out.
    fn show_blackouts(record: &Record, room: usize, out: &mut Vec<u8>) -> usize {
        let mut unsaid = super::removed_rows::write_removed_rows(record, room, out);
        for missed in &record.unmasked {
            if out.len() > room {
                unsaid += 1;
                continue;
            }
            let row = reply::begin_row(out).pair("what", "unmasked").pair("from", missed.from);
            row.pair("to", missed.to).pair("by", &missed.by).pair("at", missed.at).end();
        }
        for blackout in &record.blackouts {
            if out.len() > room {
                unsaid += 1;
                continue;
            }
            let row = reply::begin_row(out).pair("what", "blackout").pair("from", blackout.from);
            let to = blackout.to.map_or("-".to_string(), |to| to.to_string());
            let row = row.pair("to", to).pair("by", &blackout.by);
            let row = row.pair("holder", blackout.holder.as_str());
            row.pair("ended", blackout.end.map_or("-", |end| end.as_str())).end();
        }
        unsaid
    }

    fn show_ledger(record: &Record, out: &mut Vec<u8>) {
        let Some(ended) = &record.ended else { return };
        let ledger = ended.ledger;
        let row =
            reply::begin_row(out).pair("what", "ledger").pair("captured", ledger.total_captured());
        let row = row.pair("stored", ledger.stored).pair("masked", ledger.masked);
        let mut row = row.pair("held", ledger.held).pair("lost", ledger.total_lost());
        for why in LossReason::ALL {
            if ledger.lost[why as usize] > 0 {
                row = row.pair(&format!("lost_{}", why.as_str()), ledger.lost[why as usize]);
            }
        }
        for side in Side::ALL {
            for (why, frames) in LossReason::ALL.into_iter().zip(ledger.side_lost[side.index()]) {
                if frames > 0 {
                    let key = format!("{}_side_lost_{}", side.as_str(), why.as_str());
                    row = row.pair(&key, frames);
                }
            }
        }
        row.end();
    }

    fn show_record(
        &self,
        who: &Principal,
        record: &Record,
        key: Option<&Option<DataKey>>,
        out: &mut Vec<u8>,
    ) {
        let began = &record.began;
        let numbers = key.filter(|_| who.kind != Kind::Technician);
        let numbers = numbers.and_then(|key| seal::open_numbers(key.as_ref(), &began.numbers).ok());
        let numbers = numbers.unwrap_or_default();
        let none = || "-".to_string();
        let ended = record.ended.as_ref();
        let details = CallDetails::new(&began.call, &numbers);
        let row = reply::begin_row(out).pair("what", "record").pair("recording", began.id);
        let row = row.pair("start", record.started_at()).pair("device", &began.call.device);
        let row = row.pair("call", details.short("call")).pair("channel", began.channel);
        let row = row.pair("agent", began.call.agent.as_deref().unwrap_or("-"));
        let row = row.pair("direction", began.call.direction.map_or("-", direction_word));
        let row = row.pair("group", details.short("group")).pair("gate", details.short("gate"));
        let row = row.pair("ani", details.short("ani")).pair("dnis", details.short("dnis"));
        let row = row.pair("reasons", self.visible_reasons(who, record.reasons_ever));
        let row = row.pair("schedule", began.schedule.as_deref().unwrap_or("-"));
        // Retention would reveal that others record (B2).
        let only_own = who.agent.is_some_and(|agent| self.sees_only_own(agent));
        let row = if only_own {
            row.pair("retain_until", "-")
        } else {
            row.pair("retain_until", record.retention_end())
        };
        // A screen-only recording has no audio; its positions are milliseconds.
        let alone = began.codec == CodecKind::Screen;
        let row = if alone { row.pair("codec", began.codec.as_str()) } else { row };
        let row = if record.is_protected { row.pair("protected", "on") } else { row };
        let row = row.pair("rate", began.rate).pair("from", began.from);
        let row = row.pair("to", ended.map_or_else(none, |ended| ended.to.to_string()));
        let row = row.pair("ended", ended.map_or("-", |ended| ended.end.as_str()));
        let row = row.pair("size", ended.map_or(0, |ended| ended.size));
        let row = row.pair("sealed", if key.is_some() { "no" } else { "yes" });
        let row = row.pair("why", if only_own || began.why.is_empty() { "-" } else { &began.why });
        let row = match record.clock.as_str() {
            Some(word) => row.pair("clock", word).pair("stamped", record.at),
            None => row,
        };
        row.end();
        details.write_rows(out);
    }

    /// Rows of who fetched the files or sealed data; for supervisors only.
    fn show_fetches(record: &Record, out: &mut Vec<u8>) {
        for fetch in record.fetches.iter().rev().take(64) {
            let row = reply::begin_row(out)
                .pair("what", "fetched")
                .pair("time", record.correct_stamp(fetch.at));
            row.pair("by", &fetch.by).pair("for", &fetch.why).end();
        }
    }

    /// Rows of fields and their history; for supervisors only (F2, F5).
    fn show_fields(record: &Record, key: Option<&Option<DataKey>>, out: &mut Vec<u8>) {
        let open = |sealed| match key {
            Some(key) => seal::open_field(key.as_ref(), sealed).unwrap_or_else(|_| "-".to_string()),
            None => "-".to_string(),
        };
        for (field, value) in &record.fields {
            let row = reply::begin_row(out).pair("what", "field").pair("n", field);
            row.pair("value", open(value)).end();
        }
        for change in record.history.iter().rev().take(64) {
            let row = reply::begin_row(out)
                .pair("what", "history")
                .pair("time", record.correct_stamp(change.at));
            let row = row.pair("n", change.field).pair("by", &change.by);
            row.pair("value", open(&change.value)).end();
        }
    }

    /// The key of a record: from memory while it is recorded, otherwise from its media file's
    /// header.
    pub(in crate::recorder) fn key_of(&mut self, session: SessionId, id: RecordingId) -> RecordKey {
        if let Some(recording) = self.recordings.get(id) {
            return RecordKey::Open(recording.key.clone());
        }
        match self.take_arrived(session) {
            Some(Some(bytes)) => {
                let key = self.unwrap_key(id, &bytes);
                self.recycle_buffer(bytes);
                key
            }
            Some(None) => RecordKey::Sealed(Vec::new()),
            None => {
                let path = self.journal.index.record(id).map(Record::media_path);
                if let Some(path) = path {
                    self.request_read(session, path, 0, limits::READ_BYTES);
                    return RecordKey::Wait;
                }
                RecordKey::Sealed(Vec::new())
            }
        }
    }

    /// Opens the key in the first bytes of a media file, if it is the file of this recording.
    fn unwrap_key(&self, id: RecordingId, bytes: &[u8]) -> RecordKey {
        let reader = media::MediaReader::open(bytes);
        let Some(reader) = reader.ok().filter(|reader| reader.header().id == id) else {
            return RecordKey::Sealed(Vec::new());
        };
        let header = reader.header();
        if header.wrapped.is_empty() {
            return RecordKey::Open(None);
        }
        match seal::unwrap_key(&header.wrapped, &self.identities) {
            Ok(key) => RecordKey::Open(Some(key)),
            Err(_) => RecordKey::Sealed(header.wrapped.clone()),
        }
    }

    /// The bytes that arrived for this session; the inner `None` means that the disk refused.
    pub(in crate::recorder) fn take_arrived(
        &mut self,
        session: SessionId,
    ) -> Option<Option<Vec<u8>>> {
        let mine = self.reader.arrived.as_ref().is_some_and(|(whose, _)| *whose == session);
        if mine { self.reader.arrived.take().map(|(_, bytes)| bytes) } else { None }
    }

    /// Whether a read for this session is in flight or has arrived.
    pub(in crate::recorder) fn is_reading(&self, session: SessionId) -> bool {
        let arrived = self.reader.arrived.as_ref().map(|(whose, _)| *whose);
        self.reader.for_session == Some(session) || arrived == Some(session)
    }

    /// Requests a read of (offset, bytes), if no other read is in flight.
    pub(in crate::recorder) fn request_read(
        &mut self,
        session: SessionId,
        path: String,
        offset: u64,
        wanted: usize,
    ) {
        let busy = self.reader.for_session.is_some() || self.reader.arrived.is_some();
        if busy || self.journal.storage.slow {
            return;
        }
        self.reader.tag += 1;
        self.reader.for_session = Some(session);
        self.reader.wanted = wanted;
        let mut bytes = std::mem::take(&mut self.reader.spare);
        bytes.clear();
        bytes.reserve_exact(wanted);
        let job = Job::Read { tag: self.reader.tag, path, offset, bytes };
        self.outputs.push_back(crate::recorder::Output::Job(job));
    }

    /// Keeps the bytes of the read in flight for its session; `None` if the disk refused.
    pub(in crate::recorder) fn finish_read(&mut self, tag: u64, bytes: Option<Vec<u8>>) {
        let Some(session) = self.reader.for_session.take() else { return };
        assert_eq!(tag, self.reader.tag);
        let bytes = bytes.map(|mut bytes| {
            // The buffer may be larger than the request.
            bytes.truncate(self.reader.wanted);
            bytes
        });
        let streams = self.sessions.get(session).is_some_and(|s| s.stream.is_some());
        if streams || [EXPIRY_READER, REDACTION_READER].contains(&session) {
            self.reader.arrived = Some((session, bytes));
        } else if let Some(bytes) = bytes {
            self.recycle_buffer(bytes);
        }
    }

    /// Keeps a buffer of the usual size for reuse.
    pub(in crate::recorder) fn recycle_buffer(&mut self, bytes: Vec<u8>) {
        if bytes.capacity() <= 2 * limits::READ_BYTES {
            self.reader.spare = bytes;
        }
    }

    /// Drops the read of a session that left.
    pub(in crate::recorder) fn forget_reader(&mut self, session: SessionId) {
        if self.reader.arrived.as_ref().is_some_and(|(whose, _)| *whose == session) {
            self.reader.arrived = None;
        }
    }
}

pub(in crate::recorder) fn direction_word(direction: crate::config::Direction) -> &'static str {
    match direction {
        crate::config::Direction::In => "in",
        crate::config::Direction::Out => "out",
    }
}
