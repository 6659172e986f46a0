//! Response: what a command answers, and when.

use super::DurabilityDependency;
use super::library::ReplyStream;
use crate::id::RecordingId;
use crate::job::Ticket;
use crate::store::fact::RecordReasons;
use crate::time::MonoTime;
use protocol::reply;

/// A command's reply, and the sync it waits for.
pub(in crate::recorder) struct Response {
    pub bytes: Vec<u8>,
    pub after_sync: Ticket,
    /// When a blackout's reply becomes `masked=yes`.
    pub give_up: Option<MonoTime>,
    /// Rows that are streamed before the final `ok`.
    pub stream: Option<ReplyStream>,
    /// The recording that the reply promises; the command is refused if its file cannot be written.
    pub depends_on: Option<DurabilityDependency>,
}

impl Response {
    /// A reply that waits for no sync.
    pub fn immediate(bytes: Vec<u8>) -> Response {
        Response::after_sync(Ticket(0), bytes)
    }

    pub fn after_sync(after: Ticket, bytes: Vec<u8>) -> Response {
        Response { bytes, after_sync: after, give_up: None, stream: None, depends_on: None }
    }

    /// Makes the reply depend on a recording and the reasons that the command added to it.
    pub fn depends_on(self, recording: RecordingId, new: RecordReasons) -> Response {
        Response { depends_on: Some((recording, new)), ..self }
    }

    /// Adds a pair to the final line, unless the value is empty.
    pub fn with_pair(mut self, key: &str, value: &str) -> Response {
        if !value.is_empty() && self.bytes.pop().is_some() {
            reply::resume_line(&mut self.bytes).pair(key, value).end();
        }
        self
    }

    /// A bare `ok`.
    pub fn ok(after: Ticket) -> Response {
        let mut bytes = Vec::new();
        reply::begin_ok(&mut bytes).end();
        Response::after_sync(after, bytes)
    }

    pub fn stream(stream: ReplyStream) -> Response {
        Response { stream: Some(stream), ..Response::immediate(Vec::new()) }
    }
}
