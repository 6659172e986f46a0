//! Sending a recording's files as stored on the disk: the reply to `media`.
//!
//! The fact of who fetched which file, and why, is durable before the first byte leaves. Files go
//! out in pieces as the client has room, and only once complete. Sealed data stays sealed.

use super::library::{ActorName, ReplyStream};
use super::response::Response;
use crate::config::CodecKind;
use crate::id::{RecordingId, SessionId};
use crate::limits;
use crate::recorder::Recorder;
use crate::store::fact::{Fact, RecordingEnded};
use crate::store::index::Record;
use crate::time::Now;
use crate::trace::TraceEvent;
use protocol::{Code, MediaPart, Purpose, Refusal, reply};

/// The file part, the start offset in bytes, and the purpose.
#[derive(Clone, Copy, Debug)]
pub(in crate::recorder) struct MediaRequest {
    pub part: MediaPart,
    pub from: u64,
    pub purpose: Purpose,
}

/// A file that is being sent.
#[derive(Debug)]
pub struct MediaStream {
    id: RecordingId,
    part: MediaPart,
    path: String,
    /// The next byte to send.
    from: u64,
    size: u64,
    digest: [u8; 32],
}

impl MediaRequest {
    /// The purpose as the journal names it.
    fn as_str(self) -> &'static str {
        match (self.part, self.purpose) {
            (MediaPart::Audio, purpose) => purpose.as_str(),
            (MediaPart::Screen, Purpose::Play) => "play-screen",
            (MediaPart::Screen, Purpose::Export) => "export-screen",
        }
    }
}

/// The path of a record's file, and its end fact.
fn media_file(record: &Record, part: MediaPart) -> Result<(String, &RecordingEnded), Refusal> {
    let running = || Refusal::new(Code::Busy, "it is still being recorded; ask when it ended");
    let sound = record.ended.as_ref().ok_or_else(running)?;
    // A screen-only recording has a single file.
    if part == MediaPart::Audio || record.began.codec == CodecKind::Screen {
        return Ok((record.media_path(), sound));
    }
    let none = || Refusal::new(Code::NoSuchRecord, "this recording has no screen");
    let screen = record.screen.as_ref().ok_or_else(none)?;
    let screen = screen.ended.as_ref().ok_or_else(running)?;
    if screen.size == 0 { Err(none()) } else { Ok((record.screen_path(), screen)) }
}

impl Recorder {
    /// Notes the fetch and starts the stream after its sync.
    pub(in crate::recorder) fn begin_media(
        &mut self,
        now: Now,
        id: SessionId,
        word: &str,
        wanted: MediaRequest,
    ) -> Result<Response, Refusal> {
        let (record, ActorName(by)) = self.record_and_user(id, word)?;
        let (path, ended) = media_file(record, wanted.part)?;
        if self.redactions.is_replacing(record.id()) {
            let text = "a range of it is being removed; ask again in a moment";
            return Err(Refusal::new(Code::Busy, text));
        }
        let from = wanted.from;
        if from > ended.size {
            let text = format!("from={from}: the file has {} bytes", ended.size);
            return Err(Refusal::new(Code::BadArgument, text));
        }
        let (size, digest) = (ended.size, ended.digest);
        let (recording, why) = (record.id(), wanted.as_str());
        self.require_disk()?;
        self.journal
            .trace
            .push_event(now.wall, TraceEvent::Fetched { recording, by: by.clone(), why });
        let stream = MediaStream { id: recording, part: wanted.part, path, from, size, digest };
        let fact = Fact::Fetched { id: recording, by, why: why.to_owned() };
        let after = self.journal.append(now, fact);
        Ok(Response { after_sync: after, ..Response::stream(ReplyStream::Media(stream)) })
    }

    /// Whether a range was removed from a file after its stream began.
    fn is_replaced(&self, media: &MediaStream) -> bool {
        let record = self.journal.index.record(media.id);
        let now = record.and_then(|record| media_file(record, media.part).ok());
        now.is_some_and(|(_, ended)| ended.digest != media.digest)
    }

    pub(in crate::recorder) fn feed_media(
        &mut self,
        session: SessionId,
        media: &mut MediaStream,
        out: &mut Vec<u8>,
    ) -> bool {
        if self.is_replaced(media) {
            let text = "a range of it was removed meanwhile; ask again";
            reply::begin_err(out, &Refusal::new(Code::Busy, text)).end();
            return true;
        }
        let MediaStream { path, from, size, digest, .. } = media;
        if *from >= *size {
            let digest = data_encoding::HEXLOWER.encode(digest);
            reply::begin_ok(out).pair("size", size).pair("digest", digest).end();
            return true;
        }
        if self.send_capacity(session) < limits::READ_BYTES + limits::REPLY_RESERVE_BYTES {
            return false;
        }
        match self.take_arrived(session) {
            None => self.request_read(session, path.clone(), *from, limits::READ_BYTES),
            Some(Some(mut bytes)) if !bytes.is_empty() => {
                // Bytes after the recorded end of a failed file are not certain.
                let left = usize::try_from(*size - *from).unwrap_or(usize::MAX);
                bytes.truncate(left);
                reply::write_data(out, &bytes);
                *from += bytes.len() as u64;
                self.recycle_buffer(bytes);
            }
            Some(_) => {
                let text = "the file cannot be read; `hushbox verify` says more";
                reply::begin_err(out, &Refusal::new(Code::Storage, text)).end();
                return true;
            }
        }
        false
    }
}
