//! One recording: a reel and the file that its chunks go to.
//!
//! Chunks wait in `backlog` when they came before the file (recall, a file that failed); usually
//! one goes straight from the reel into a buffer, and a copy of it waits in `unsynced` until it is
//! durable. When a recording may
//! take audio, and when it ends, is decided by the recorder.

pub(super) mod files;
pub(super) mod interrupted;
pub(super) mod lifecycle;
pub(super) mod recall;
pub(super) mod sealed_facts;

use crate::audio::channel::ChannelIndex;
use crate::audio::encode_stream::EncodeStream;
use crate::audio::span::Run;
use crate::calls::directory::AgentIndex;
use crate::id::RecordingId;
use crate::job::{FileId, Ticket};
use crate::store::fact::{CallNumber, RecordReasons, RecordingEnd};
use crate::store::media::{FinishedFile, MediaWriter};
use crate::store::seal::DataKey;
use crate::time::{MonoTime, Position, WallTime};
use std::collections::VecDeque;
use zeroize::Zeroize;

/// Half a second that waits in memory: its fates, and the codec's bytes for it.
#[derive(Default)]
pub struct Chunk {
    pub from: Position,
    pub runs: Vec<Run>,
    pub payload: Vec<u8>,
}

impl Chunk {
    /// Frames it stands for.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.frames)).sum()
    }

    /// Nothing, with room for this many bytes.
    #[must_use]
    pub fn with_room(bytes: usize) -> Chunk {
        Chunk { from: Position(0), runs: Vec::with_capacity(8), payload: Vec::with_capacity(bytes) }
    }

    /// Takes a copy in, in place of what it held.
    pub fn copy_from(&mut self, from: Position, runs: &[Run], payload: &[u8]) {
        *self = std::mem::take(self).into_cleared();
        self.from = from;
        self.runs.extend_from_slice(runs);
        self.payload.extend_from_slice(payload);
    }

    /// Wiped, its room kept.
    #[must_use]
    pub fn into_cleared(mut self) -> Chunk {
        self.runs.clear();
        self.payload.zeroize();
        self
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.payload.zeroize();
    }
}

/// A place in a media file up to which it is certain, or will be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// Position after the last frame.
    pub to: Position,
    /// Bytes, and BLAKE3 of them.
    pub size: u64,
    pub digest: [u8; 32],
}

/// A piece of the file that a later sync will make durable.
pub struct UnsyncedChunk {
    pub after: Ticket,
    /// Behind it.
    pub mark: Watermark,
    /// What it was made of; none for header and trailer.
    pub chunk: Option<Chunk>,
}

/// A file that is still to be made.
pub struct PendingCreate {
    pub path: String,
    pub header: Vec<u8>,
    /// Not before.
    pub at: MonoTime,
    /// The disk was asked and has not answered.
    pub asked: bool,
}

/// What of a recording is still at work.
pub struct RecordingWriter {
    pub reel: EncodeStream,
    pub writer: MediaWriter,
    pub backlog: VecDeque<Chunk>,
    /// Until the file is there nothing is taken.
    pub opening: Option<PendingCreate>,
    pub unsynced: VecDeque<UnsyncedChunk>,
    pub durable: Watermark,
    /// The trailer is written.
    pub finished: Option<FinishedFile>,
}

impl RecordingWriter {
    /// A recording whose file is still to be made.
    #[must_use]
    pub fn new(
        reel: EncodeStream,
        (writer, opening): (MediaWriter, PendingCreate),
        backlog: VecDeque<Chunk>,
    ) -> RecordingWriter {
        let durable = Watermark { to: writer.to(), ..Watermark::default() };
        let unsynced = VecDeque::with_capacity(16);
        let (opening, finished) = (Some(opening), None);
        RecordingWriter { reel, writer, backlog, opening, unsynced, durable, finished }
    }

    /// Its file could not be made yet.
    #[must_use]
    pub fn is_waiting_for_file(&self) -> bool {
        self.opening.as_ref().is_some_and(|opening| !opening.asked)
    }

    /// Everything written so far.
    #[must_use]
    pub fn written_end(&self) -> Watermark {
        let writer = &self.writer;
        Watermark { to: writer.to(), size: writer.size(), digest: writer.digest() }
    }
}

/// One recording, from its beginning until its wrap-up is over.
pub struct Recording {
    pub id: RecordingId,
    pub call: CallNumber,
    pub channel: ChannelIndex,
    pub from: Position,
    /// Where and why it ends, once that is known.
    pub end_recording: Option<(Position, RecordingEnd)>,
    pub reasons: RecordReasons,
    /// Every reason it ever had.
    pub reasons_ever: RecordReasons,
    /// The agent who began it, or joined it, and where that press was.
    pub pressed: Option<(AgentIndex, Position)>,
    pub schedule: Option<String>,
    pub retain_until: WallTime,
    pub key: Option<DataKey>,
    pub file: FileId,
    /// Files of the same audio in a row that never came to anything.
    pub tries: u32,
    /// `None` once the file is complete and durable, or has failed.
    pub writer: Option<RecordingWriter>,
    /// Its fact of the end is noted.
    pub closed: bool,
}

impl Recording {
    /// Whether it still takes audio from a call, that is, no end is set.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.end_recording.is_none()
    }

    /// Sets its end, if it has none yet, but not before what it has taken; `flush`: what still
    /// waits leaves at once.
    pub fn set_end(&mut self, at: Position, why: RecordingEnd, flush: bool) {
        let taken = self.writer.as_ref().map_or(self.from, |tape| tape.reel.cursor);
        let (at, _) = *self.end_recording.get_or_insert((at.max(taken), why));
        if let Some(tape) = &mut self.writer {
            tape.reel.end = Some(at);
            tape.reel.is_flushing |= flush;
            tape.reel.held_ranges.close_at(at);
        }
    }
}
