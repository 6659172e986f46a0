//! Release of audio from the rings to the encoders, the files and the recall buffers.
//!
//! Each stream gets whole grid frames that are older than the holdback, a bounded number per turn,
//! in turns. Half-second chunks then go to the disk. This module does not allocate.

use super::table::{RecordingKey, Recordings, StreamKey};
use super::{PendingCreate, UnsyncedChunk};
use crate::audio::channel::Channel;
use crate::audio::encode_stream::Progress;
use crate::config::AudioSettings;
use crate::job::Job;
use crate::limits;
use crate::recorder::{Chunk, Storage};
use crate::store::fact::{CallNumber, RecordingEnd};
use crate::time::{MonoTime, Now, frames_of_ms};

/// What released audio comes from and goes to.
pub(in crate::recorder) struct Release<'a> {
    pub now: Now,
    pub channels: &'a mut [Channel],
    pub storage: &'a mut Storage,
    pub audio: &'a AudioSettings,
}

/// What one turn may release.
struct TurnBudget {
    /// Time for encoding, in microseconds.
    us: u32,
    /// Grid frames. After an outage all streams have much to release; a turn that took it all at
    /// once would use up the buffers, as if the disk were slow.
    grids: usize,
}

impl TurnBudget {
    fn new(streams: usize) -> TurnBudget {
        let grids = limits::GRIDS_PER_TURN + limits::GRIDS_PER_STREAM * streams;
        TurnBudget { us: limits::ENCODING_US_PER_TURN, grids }
    }

    fn is_spent(&self) -> bool {
        self.us == 0 || self.grids == 0
    }

    /// Spends one grid frame that takes `cost_us`, if it takes any time.
    fn spend(&mut self, cost_us: u32) {
        self.us = self.us.saturating_sub(cost_us);
        self.grids = self.grids.saturating_sub(usize::from(cost_us > 0));
    }
}

/// A chunk, and the free buffer that it is sealed into.
struct ChunkToWrite {
    chunk: Chunk,
    block: Vec<u8>,
}

impl Recordings {
    /// Releases audio, by the time that it takes. Returns when there is more to do.
    ///
    /// Usually only channels with new audio have something to release. After anything else that may
    /// let audio go (a line, a deadline, a sync that was waited for) all streams are looked at.
    pub fn release_audio(&mut self, to: &mut Release<'_>) -> Option<MonoTime> {
        let streams = self.open_count() + self.recall.len();
        let mut budget = TurnBudget::new(streams);
        self.moved.looked_at_all = std::mem::take(&mut self.moved.all);
        if self.moved.looked_at_all {
            self.release_all(to, &mut budget);
        } else {
            self.release_moved(to, &mut budget);
        }
        // Without a buffer, streams wait that have no new audio.
        self.moved.all |= budget.is_spent() || !to.storage.has_block();
        let now = to.now.mono;
        if budget.is_spent() && to.storage.has_block() {
            return Some(now);
        }
        let waiting = self.writers().filter_map(|writer| writer.opening.as_ref());
        let retries = waiting.filter(|opening| !opening.asked).map(|opening| opening.at);
        retries.filter(|at| *at > now).min()
    }

    /// Releases one grid frame of each stream in turn, until none has any.
    fn release_all(&mut self, to: &mut Release<'_>, budget: &mut TurnBudget) {
        self.moved.clear();
        let count = self.all.len() + self.recall.len();
        let mut resting = 0;
        while !budget.is_spent() && resting < count {
            let Some(stream) = self.next_stream() else { return };
            match self.release_stream(to, stream) {
                0 => resting += 1,
                cost_us => {
                    resting = 0;
                    budget.spend(cost_us);
                }
            }
        }
    }

    /// Releases one grid frame of each stream of the channels with new audio, channels in turn.
    fn release_moved(&mut self, to: &mut Release<'_>, budget: &mut TurnBudget) {
        while !budget.is_spent()
            && let Some(channel) = self.moved.take()
        {
            let mut next = self.stream_after(channel, None);
            let mut took = false;
            while let Some(stream) = next {
                let cost_us = self.release_stream(to, stream);
                took |= cost_us > 0;
                budget.spend(cost_us);
                next = self.stream_after(channel, Some(stream));
            }
            if took {
                self.moved.add(channel);
            }
        }
    }

    /// Releases one grid frame of a stream. Returns the time that it takes, in microseconds; 0 if
    /// there was nothing to do now.
    fn release_stream(&mut self, to: &mut Release<'_>, stream: StreamKey) -> u32 {
        let cost_us = self.grid_cost_us(stream);
        let took = match stream {
            StreamKey::Recording(key) => self.release_frame(to, key),
            StreamKey::Recall(call) => self.release_recall_frame(to, call),
        };
        if took { cost_us } else { 0 }
    }

    /// Releases one grid frame of a recording, or closes its file. False: nothing to do now.
    fn release_frame(&mut self, to: &mut Release<'_>, key: RecordingKey) -> bool {
        let Some(writer) = self.writer_mut(key) else { return false };
        if writer.finished.is_some() || to.storage.is_down() {
            return false;
        }
        if writer.opening.is_some() {
            self.open_file(to.now, key, to.storage);
            return false;
        }
        if !writer.backlog.is_empty() {
            return self.write_backlog_chunk(to, key);
        }
        let channel = &mut to.channels[writer.stream.channel.0];
        let holdback = frames_of_ms(u64::from(to.audio.holdback_ms), channel.rate);
        match writer.stream.encode_next(channel, holdback) {
            Progress::Advanced if writer.stream.is_chunk_full() => {
                self.flush_chunk(to, key);
                true
            }
            Progress::Advanced => true,
            Progress::ChunkFull => self.flush_chunk(to, key),
            Progress::Ended => self.close_file(to, key),
            Progress::Waiting => false,
        }
    }

    /// Releases one grid frame into a recall buffer. False: nothing to do now.
    fn release_recall_frame(&mut self, to: &mut Release<'_>, call: CallNumber) -> bool {
        let Some(recall_ms) = to.audio.recall_ms else { return false };
        let Some(stream) = self.recall.stream_mut(call) else { return false };
        let channel = &mut to.channels[stream.channel.0];
        let holdback = frames_of_ms(u64::from(to.audio.holdback_ms), channel.rate);
        match stream.encode_next(channel, holdback) {
            Progress::Advanced if !stream.is_chunk_full() => true,
            Progress::Advanced | Progress::ChunkFull => {
                self.recall.push_chunk(call, recall_ms);
                true
            }
            Progress::Ended | Progress::Waiting => false,
        }
    }

    /// Creates a recording's file when the disk is up and the retry time has come.
    pub fn open_file(&mut self, now: Now, key: RecordingKey, storage: &mut Storage) {
        let Some(writer) = self.writer_mut(key) else { return };
        let due = |opening: &&mut PendingCreate| !opening.asked && opening.at <= now.mono;
        let Some(opening) = writer.opening.as_mut().filter(due) else { return };
        if storage.is_down() {
            return;
        }
        opening.asked = true;
        let (path, bytes) = (opening.path.clone(), opening.header.clone());
        let file = storage.next_file();
        storage.submit(now.mono, Job::Create { file, path });
        storage.submit(now.mono, Job::Append { file, bytes });
        let (after, mark) = (storage.next_ticket(), writer.written_end());
        writer.unsynced.push_back(UnsyncedChunk { after, mark, chunk: None });
        self.assign_file(key, file);
    }

    /// Writes one chunk of the backlog. False: no free buffer.
    fn write_backlog_chunk(&mut self, to: &mut Release<'_>, key: RecordingKey) -> bool {
        let Some(block) = to.storage.take_block() else { return false };
        let backlog = self.writer_mut(key).map(|writer| &mut writer.backlog);
        let Some(chunk) = backlog.and_then(|backlog| backlog.pop_front()) else { return false };
        self.write_chunk(to, key, ChunkToWrite { chunk, block });
        // The backlog may hold minutes of promised audio, so it does not wait for the audio sync.
        to.storage.request_sync();
        true
    }

    /// Seals the current chunk and submits it to the disk thread. False: no free buffer.
    fn flush_chunk(&mut self, to: &mut Release<'_>, key: RecordingKey) -> bool {
        let Some(block) = to.storage.take_block() else {
            self.block_waits += 1;
            return false;
        };
        let mut chunk = self.spare_chunks.pop().unwrap_or_default();
        let Some(writer) = self.writer_mut(key) else { return false };
        let from = writer.media_writer.to();
        writer.stream.flush_chunk(|runs, payload| chunk.copy_from(from, runs, payload));
        self.write_chunk(to, key, ChunkToWrite { chunk, block });
        true
    }

    /// Seals a chunk into a free buffer, submits the buffer, and keeps the chunk until it is
    /// durable.
    fn write_chunk(&mut self, to: &mut Release<'_>, key: RecordingKey, write: ChunkToWrite) {
        let ChunkToWrite { chunk, mut block } = write;
        let after = to.storage.next_ticket();
        let Some(recording) = self.all.get_mut(&key) else { return };
        let Some(writer) = recording.writer.as_mut() else { return };
        assert_eq!(chunk.from, writer.media_writer.to(), "chunks follow each other");
        self.payload.extend_from_slice(&chunk.payload);
        writer.media_writer.append_chunk(&chunk.runs, &mut self.payload, &mut block);
        let mark = writer.written_end();
        writer.unsynced.push_back(UnsyncedChunk { after, mark, chunk: Some(chunk) });
        to.storage.submit(to.now.mono, Job::Append { file: recording.file, bytes: block });
    }

    /// Writes the last chunk and the trailer. The end is noted once they are durable.
    fn close_file(&mut self, to: &mut Release<'_>, key: RecordingKey) -> bool {
        let Some(recording) = self.all.get_mut(&key) else { return false };
        let Some(writer) = recording.writer.as_mut() else { return false };
        assert!(writer.backlog.is_empty());
        writer.stream.finish();
        if !writer.stream.is_empty() {
            return self.flush_chunk(to, key);
        }
        let Some(mut block) = to.storage.take_block() else { return false };
        let (end, why) =
            recording.end_recording.unwrap_or((writer.stream.cursor, RecordingEnd::Stop));
        let finished = writer.media_writer.finish(why, &mut block);
        let captured = finished.ledger.total_captured();
        assert_eq!(captured, end.frames_since(recording.from), "the ledger adds up");
        let (after, mark) = (to.storage.next_ticket(), writer.written_end());
        writer.unsynced.push_back(UnsyncedChunk { after, mark, chunk: None });
        writer.finished = Some(finished);
        let file = recording.file;
        to.storage.submit(to.now.mono, Job::Append { file, bytes: block });
        to.storage.submit(to.now.mono, Job::Close { file });
        to.storage.request_sync();
        true
    }
}
