//! Sealed numbers and fields of a record, as stored, for holders of the identity.
//!
//! The owner may keep the identity off the recorder. A supervisor who has it can still read numbers
//! and fields: `show ID sealed=on` sends them in base64 with their wrapped key. As for a file, the
//! fact of who asked is durable before the first row leaves. It is noted once per user, so repeated
//! requests do not displace other entries from the record.

use crate::id::SessionId;
use crate::limits;
use crate::recorder::Recorder;
use crate::recorder::session::library::ReplyStream;
use crate::recorder::session::response::Response;
use crate::store::fact::Fact;
use crate::store::index::Record;
use crate::time::Now;
use crate::trace::TraceEvent;
use data_encoding::BASE64;
use protocol::{Code, Kind, Refusal, reply};

/// Bytes of the wrapped key per row, so that base64 fits a line.
const PART: usize = 600;
/// Limit on the history of fields, in bytes; the rest of the reply needs room too.
const HISTORY_BYTES: usize = limits::OUTPUT_BYTES_MAX * 3 / 8;
/// The purpose as the journal names it.
const FACTS: &str = "facts";

impl Recorder {
    /// Shows a record with its sealed data, noted like the fetch of a file.
    pub(in crate::recorder) fn show_sealed(
        &mut self,
        now: Now,
        id: SessionId,
        word: &str,
    ) -> Result<Response, Refusal> {
        let who = self.principal_of(id).ok_or_else(|| Refusal::from(Code::Denied))?;
        if who.kind != Kind::Supervisor {
            return Err(Refusal::new(Code::Denied, "sealed=on is for supervisors"));
        }
        let by = who.user.clone();
        let record = self.visible_record(id, word)?;
        let recording = record.id();
        let has_it = record.fetches.iter().any(|fetch| fetch.by == by && fetch.why == FACTS);
        self.require_disk()?;
        if has_it {
            let after = self.journal.storage.last_fact_ticket();
            return Ok(Response {
                after_sync: after,
                ..Response::stream(ReplyStream::Show { id: recording, sealed: true })
            });
        }
        self.journal
            .trace
            .push_event(now.wall, TraceEvent::Fetched { recording, by: by.clone(), why: FACTS });
        let fact = Fact::Fetched { id: recording, by, why: FACTS.to_owned() };
        let after = self.journal.append(now, fact);
        Ok(Response {
            after_sync: after,
            ..Response::stream(ReplyStream::Show { id: recording, sealed: true })
        })
    }
}

/// Writes the sealed rows in place of fields and history; returns how many did not fit.
pub(in crate::recorder) fn write_sealed_rows(
    record: &Record,
    wrapped: &[u8],
    out: &mut Vec<u8>,
) -> usize {
    for (part, bytes) in wrapped.chunks(PART).enumerate() {
        let row = reply::begin_row(out).pair("what", "key").pair("part", part);
        row.pair("sealed", BASE64.encode(bytes)).end();
    }
    let row = reply::begin_row(out).pair("what", "numbers");
    row.pair("sealed", BASE64.encode(&record.began.numbers.0)).end();
    for (field, value) in &record.fields {
        let row = reply::begin_row(out).pair("what", "field").pair("n", field).pair("value", "-");
        row.pair("sealed", BASE64.encode(&value.0)).end();
    }
    let mut unsaid = 0;
    for change in record.history.iter().rev().take(64) {
        if out.len() > HISTORY_BYTES {
            unsaid += 1;
            continue;
        }
        let row = reply::begin_row(out).pair("what", "history").pair("time", change.at);
        let row = row.pair("n", change.field).pair("by", &change.by).pair("value", "-");
        row.pair("sealed", BASE64.encode(&change.value.0)).end();
    }
    unsaid
}
