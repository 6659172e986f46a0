//! One recording: its encode stream and its media file.
//!
//! A chunk usually goes straight from the stream into a buffer, and its copy stays in `unsynced`
//! until it is durable. Chunks older than the file (recall, or a failed file) wait in `backlog`.
//! The recorder decides when a recording takes audio and when it ends.

pub(super) mod encoders;
pub(super) mod files;
pub(super) mod interrupted;
pub(super) mod key_stock;
pub(super) mod lifecycle;
pub(super) mod new_files;
pub(super) mod recall;
pub(super) mod release;
pub(super) mod table;

use crate::audio::channel::ChannelIndex;
use crate::audio::encode_stream::EncodeStream;
use crate::audio::span::Run;
use crate::calls::directory::AgentIndex;
use crate::id::RecordingId;
use crate::job::{FileId, Ticket};
use crate::limits;
use crate::store::fact::{CallNumber, RecordReasons, RecordingEnd};
use crate::store::media::{FinishedFile, MediaWriter, SpanAccumulator};
use crate::store::seal::DataKey;
use crate::time::{MonoTime, Position, WallTime};
use std::collections::VecDeque;
use zeroize::Zeroize;

/// Half a second of encoded audio in memory, with the fates of its frames.
#[derive(Default)]
pub struct Chunk {
    pub from: Position,
    pub runs: Vec<Run>,
    pub payload: Vec<u8>,
}

impl Chunk {
    /// Number of frames in the chunk.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.frames)).sum()
    }

    /// An empty chunk with capacity for `bytes` of payload.
    #[must_use]
    pub fn with_room(bytes: usize) -> Chunk {
        let runs = Vec::with_capacity(limits::CHUNK_RUNS_MAX);
        Chunk { from: Position(0), runs, payload: Vec::with_capacity(bytes) }
    }

    /// Replaces the contents by a copy.
    pub fn copy_from(&mut self, from: Position, runs: &[Run], payload: &[u8]) {
        *self = std::mem::take(self).into_cleared();
        self.from = from;
        self.runs.extend_from_slice(runs);
        self.payload.extend_from_slice(payload);
    }

    /// Wipes the chunk and keeps its capacity.
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

/// A point in a media file up to which it is durable, or will be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// Position after the last frame.
    pub to: Position,
    /// File size in bytes, and the BLAKE3 digest of those bytes.
    pub size: u64,
    pub digest: [u8; 32],
}

/// A part of the file that a later sync makes durable.
pub struct UnsyncedChunk {
    pub after: Ticket,
    /// The watermark after this part.
    pub mark: Watermark,
    /// The chunk in this part; `None` for header and trailer.
    pub chunk: Option<Chunk>,
}

/// A media file that is not created yet.
pub struct PendingCreate {
    pub path: String,
    pub header: Vec<u8>,
    /// Earliest time to create the file.
    pub at: MonoTime,
    /// Whether the disk thread was asked and has not answered.
    pub asked: bool,
}

/// The active part of a recording: stream, file and unsynced chunks.
pub struct RecordingWriter {
    pub stream: EncodeStream,
    pub media_writer: MediaWriter,
    pub backlog: VecDeque<Chunk>,
    /// The file's creation; no audio is taken until it succeeds.
    pub opening: Option<PendingCreate>,
    pub unsynced: VecDeque<UnsyncedChunk>,
    pub durable: Watermark,
    /// Ledger and spans of what is durable.
    pub durable_spans: SpanAccumulator,
    /// The finished file, once its trailer is written.
    pub finished: Option<FinishedFile>,
}

impl RecordingWriter {
    /// A recording whose file is not created yet.
    #[must_use]
    pub fn new(
        stream: EncodeStream,
        backlog: VecDeque<Chunk>,
        media_writer: MediaWriter,
        opening: PendingCreate,
    ) -> RecordingWriter {
        let durable = Watermark { to: media_writer.to(), ..Watermark::default() };
        let durable_spans = SpanAccumulator::new(media_writer.to(), stream.delay_frames());
        RecordingWriter {
            stream,
            media_writer,
            backlog,
            opening: Some(opening),
            unsynced: VecDeque::with_capacity(16),
            durable,
            durable_spans,
            finished: None,
        }
    }

    /// Whether the file could not be created yet.
    #[must_use]
    pub fn is_waiting_for_file(&self) -> bool {
        self.opening.as_ref().is_some_and(|opening| !opening.asked)
    }

    /// The watermark after everything written so far.
    #[must_use]
    pub fn written_end(&self) -> Watermark {
        let writer = &self.media_writer;
        Watermark { to: writer.to(), size: writer.size(), digest: writer.digest() }
    }
}

/// One recording, from its start until its call's wrap-up ends.
pub struct Recording {
    pub id: RecordingId,
    pub call: CallNumber,
    pub channel: ChannelIndex,
    pub from: Position,
    /// Where and why the recording ends, once known.
    pub end_recording: Option<(Position, RecordingEnd)>,
    pub reasons: RecordReasons,
    /// Every reason that the recording ever had.
    pub reasons_ever: RecordReasons,
    /// The agent who started or joined the recording, and the position of that press.
    pub pressed: Option<(AgentIndex, Position)>,
    pub schedule: Option<String>,
    pub retain_until: WallTime,
    pub key: Option<DataKey>,
    pub file: FileId,
    /// Consecutive files of the same audio that failed before anything was durable.
    pub tries: u32,
    /// `None` once the file is complete and durable, or has failed.
    pub writer: Option<RecordingWriter>,
    /// Whether the fact of its end is noted.
    pub closed: bool,
}

impl Recording {
    /// Whether no end is set, so the recording still takes audio.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.end_recording.is_none()
    }

    /// Sets the end, unless one is set. The end is never before audio already taken. `flush`
    /// releases the rest at once.
    pub fn set_end(&mut self, at: Position, why: RecordingEnd, flush: bool) {
        let taken = self.writer.as_ref().map_or(self.from, |writer| writer.stream.cursor);
        let (at, _) = *self.end_recording.get_or_insert((at.max(taken), why));
        if let Some(writer) = &mut self.writer {
            writer.stream.end = Some(at);
            writer.stream.is_flushing |= flush;
            writer.stream.held_ranges.close_at(at);
        }
    }
}
