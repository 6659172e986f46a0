//! Audio capture into the rings, and release from the rings to the encoders.
//!
//! Capture writes each period (zeros under a mask) and advances the counters of open blackouts.
//! Release gives each recording whole grid frames that are older than the holdback, a bounded
//! number per turn. Half-second chunks then go to the disk. When a ring is full, new audio is lost,
//! counted and noted as a span. This module does not allocate.

use super::recording::UnsyncedChunk;
use super::{Chunk, Recorder, Timer};
use crate::audio::channel::ChannelIndex;
use crate::audio::encode_stream::{EncodeStream, Progress};
use crate::audio::span::LossReason;
use crate::job::Job;
use crate::limits;
use crate::store::fact::RecordingEnd;
use crate::time::{MonoTime, Now, Position, frames_of_ms, ms_of_frames};

impl Recorder {
    /// Captures one channel's frames of a period, interleaved.
    pub fn capture(&mut self, now: Now, channel: ChannelIndex, samples: &[i16]) {
        let needed = self.oldest_unread(channel);
        let place = &mut self.channels[channel.0];
        let before = place.lost_frames;
        place.capture(samples, needed);
        let frames = (samples.len() / usize::from(place.sides)) as u64;
        let ring_lost = place.lost_frames - before;
        if place.is_masked() {
            let us = frames * 1_000_000 / u64::from(place.rate);
            self.blackouts.count_captured(channel, us);
        }
        let at = (channel, place.head());
        self.selftests.drift[place.board].add_reading(now.mono, at, place.rate);
        self.selftest_feed(channel.0, samples);
        self.counters.captured_frames += frames;
        if ring_lost > 0 {
            self.skip_lost(now, channel, ring_lost, LossReason::Ring);
        }
    }

    /// Skips frames that a whole board lost before capture.
    pub fn skip_lost_on_board(&mut self, now: Now, board: usize, frames: u64, why: LossReason) {
        for index in 0..self.channels.len() {
            if self.channels[index].board == board {
                self.channels[index].skip_lost(frames, why);
                self.skip_lost(now, ChannelIndex(index), frames, why);
            }
        }
    }

    fn skip_lost(&mut self, now: Now, channel: ChannelIndex, frames: u64, why: LossReason) {
        let id = self.channels[channel.0].id;
        let recorded = self.recordings.iter().any(|r| r.channel == channel && r.writer.is_some());
        self.counters.lost_frames += frames;
        let why_word = why.as_str();
        if recorded && now.mono >= self.next_loss_log {
            self.next_loss_log = now.mono.after_ms(limits::LOSS_LOG_MS);
            let all = self.counters.lost_frames;
            log::warn!("channel {id}: {frames} frames lost ({why_word}), {all} since the start");
        }
        self.journal.trace.push_lost(now.wall, (id, frames, why_word));
        let code = match why {
            LossReason::Ring => crate::alarm::AlarmCode::RingFull,
            _ => crate::alarm::AlarmCode::Overrun,
        };
        let text = format!("channel {id} lost {frames} frames ({why_word})");
        self.journal.raise_alarm(now, code, &id.to_string(), text);
    }

    /// The oldest position of a channel that a reader still needs.
    fn oldest_unread(&self, channel: ChannelIndex) -> Position {
        let head = self.channels[channel.0].head();
        let tapes = self.recordings.iter().filter_map(|recording| recording.writer.as_ref());
        let reels = tapes.map(|tape| &tape.reel).chain(self.recall.streams());
        // A stream that reached its end needs no more of the ring.
        let here = reels.filter(|reel| reel.channel == channel && reel.end != Some(reel.cursor));
        here.map(|reel| reel.cursor).min().unwrap_or(head)
    }

    /// Releases audio from the rings: a bounded number of grid frames, streams in turn.
    pub(super) fn release_audio(&mut self, now: Now) {
        self.timers.take_due(Timer::Release, now.mono);
        let mut budget = limits::GRIDS_PER_TURN;
        let count = self.recordings.len() + self.recall.len();
        let mut resting = 0;
        while budget > 0 && resting < count {
            let index = self.next_release % count;
            self.next_release = (index + 1) % count;
            let took = match index.checked_sub(self.recordings.len()) {
                None => self.release_one(now, index),
                Some(latent) => self.release_recall_frame(latent),
            };
            if took {
                (resting, budget) = (0, budget - 1);
            } else {
                resting += 1;
            }
        }
        let more = budget == 0 && self.journal.storage.has_block();
        let next = if more { Some(now.mono) } else { self.next_file_attempt(now.mono) };
        self.timers.set(Timer::Release, next);
        self.update_backpressure(now);
        for index in 0..self.channels.len() {
            let needed = self.oldest_unread(ChannelIndex(index));
            self.channels[index].prune_masks(needed);
        }
    }

    /// When a recording's file is created again.
    fn next_file_attempt(&self, now: MonoTime) -> Option<MonoTime> {
        let tapes = self.recordings.iter().filter_map(|recording| recording.writer.as_ref());
        let waiting = tapes.filter(|tape| tape.is_waiting_for_file());
        waiting.filter_map(|tape| Some(tape.opening.as_ref()?.at)).filter(|at| *at > now).min()
    }

    /// Marks the disk as slow when no buffer is free and half of the slack is used. Reads and
    /// deletion then pause.
    fn update_backpressure(&mut self, now: Now) {
        let mut most_ms = 0;
        for tape in self.recordings.iter().filter_map(|recording| recording.writer.as_ref()) {
            let channel = &self.channels[tape.reel.channel.0];
            let until = tape.reel.end.unwrap_or(channel.head());
            let waits = until.frames_since(tape.reel.cursor.min(until));
            let waits_ms = ms_of_frames(waits, channel.rate);
            most_ms = most_ms.max(waits_ms.saturating_sub(self.config.audio.holdback_ms.into()));
        }
        let blocked = !self.journal.storage.has_block();
        let slow = match self.journal.storage.slow {
            true => most_ms > limits::RING_SLACK_MS / 4,
            false => blocked && most_ms >= limits::RING_SLACK_MS / 2,
        };
        if slow && !self.journal.storage.slow {
            let text = format!("audio waits {most_ms} ms longer than it should for the disk");
            self.journal.raise_alarm(now, crate::alarm::AlarmCode::DiskSlow, "", text);
        } else if !slow && self.journal.storage.slow {
            self.journal.clear_alarm(now, crate::alarm::AlarmCode::DiskSlow, "");
        }
        self.journal.storage.slow = slow;
    }

    /// The largest durability delay of any recording beyond the holdback, in milliseconds. It is 0
    /// while the disk is failed or full, which has its own alarm. The watchdog reads it.
    #[must_use]
    pub fn durability_lag_ms(&self) -> u64 {
        if self.journal.storage.is_down()
            || self.journal.storage.full
            || self.journal.storage.no_room
        {
            return 0;
        }
        let tapes = self.recordings.iter().filter_map(|recording| recording.writer.as_ref());
        let behind = tapes.filter(|tape| !tape.is_waiting_for_file()).map(|tape| {
            let channel = &self.channels[tape.reel.channel.0];
            let until = tape.reel.end.unwrap_or(channel.head()).min(channel.head());
            let waits = until.frames_since(tape.durable.to.min(until));
            ms_of_frames(waits, channel.rate)
        });
        behind.max().unwrap_or(0).saturating_sub(self.config.audio.holdback_ms.into())
    }

    pub(super) fn holdback_frames(&self, channel: ChannelIndex) -> u64 {
        let rate = self.channels[channel.0].rate;
        frames_of_ms(u64::from(self.config.audio.holdback_ms), rate)
    }

    /// Releases one grid frame of a recording, or closes its file. False: nothing to do now.
    fn release_one(&mut self, now: Now, index: usize) -> bool {
        let recording = &self.recordings[index];
        let Some(tape) = recording.writer.as_ref() else { return false };
        if tape.finished.is_some() || self.journal.storage.is_down() {
            return false;
        }
        if tape.opening.is_some() {
            self.open_file(now, index);
            return false;
        }
        if !tape.backlog.is_empty() {
            return self.write_backlog_chunk(now, index);
        }
        let holdback = self.holdback_frames(recording.channel);
        let Some(tape) = self.recordings[index].writer.as_mut() else { return false };
        let channel = &mut self.channels[tape.reel.channel.0];
        match tape.reel.encode_next(channel, holdback) {
            Progress::Advanced if tape.reel.is_chunk_full() => {
                self.flush_chunk(now, index);
                true
            }
            Progress::Advanced => true,
            Progress::ChunkFull => self.flush_chunk(now, index),
            Progress::Ended => self.close_recording_file(now, index),
            Progress::Waiting => false,
        }
    }

    /// Writes one chunk of the backlog. False: no free buffer.
    fn write_backlog_chunk(&mut self, now: Now, index: usize) -> bool {
        let Some(block) = self.journal.storage.take_block() else { return false };
        let Some(tape) = self.recordings[index].writer.as_mut() else { return false };
        let Some(chunk) = tape.backlog.pop_front() else { return false };
        self.write_chunk(now, index, (chunk, block));
        // The backlog may hold minutes of promised audio, so it does not wait for the audio sync.
        self.journal.storage.request_sync();
        true
    }

    /// Seals the current chunk and submits it to the disk thread. False: no free buffer.
    fn flush_chunk(&mut self, now: Now, index: usize) -> bool {
        let Some(block) = self.journal.storage.take_block() else {
            self.counters.block_waits += 1;
            return false;
        };
        let Some(tape) = self.recordings[index].writer.as_mut() else { return false };
        let mut chunk = self.spare_chunks.pop().unwrap_or_default();
        let from = tape.writer.to();
        tape.reel.flush_chunk(|runs, payload| chunk.copy_from(from, runs, payload));
        self.write_chunk(now, index, (chunk, block));
        true
    }

    /// Seals a chunk into a free buffer, submits the buffer, and keeps the chunk until it is
    /// durable.
    fn write_chunk(&mut self, now: Now, index: usize, (chunk, mut block): (Chunk, Vec<u8>)) {
        let after = self.journal.storage.next_ticket();
        let recording = &mut self.recordings[index];
        let Some(tape) = recording.writer.as_mut() else { return };
        assert_eq!(chunk.from, tape.writer.to(), "chunks follow each other");
        self.payload.extend_from_slice(&chunk.payload);
        tape.writer.append_chunk(&chunk.runs, &mut self.payload, &mut block);
        let mark = tape.written_end();
        tape.unsynced.push_back(UnsyncedChunk { after, mark, chunk: Some(chunk) });
        self.journal.storage.submit(now.mono, Job::Append { file: recording.file, bytes: block });
    }

    /// Writes the last chunk and the trailer. The end is noted once they are durable.
    fn close_recording_file(&mut self, now: Now, index: usize) -> bool {
        let Some(tape) = self.recordings[index].writer.as_mut() else { return false };
        assert!(tape.backlog.is_empty());
        tape.reel.finish();
        if !tape.reel.is_empty() {
            return self.flush_chunk(now, index);
        }
        let Some(mut block) = self.journal.storage.take_block() else { return false };
        let after = self.journal.storage.next_ticket();
        let recording = &mut self.recordings[index];
        let Some(tape) = recording.writer.as_mut() else { return false };
        let (to, end) = recording.end_recording.unwrap_or((tape.reel.cursor, RecordingEnd::Stop));
        let finished = tape.writer.finish(end, &mut block);
        let spans = tape.reel.spans.iter();
        assert_eq!(
            finished.ledger.total_captured(),
            to.frames_since(recording.from),
            "the ledger adds up"
        );
        let spanned: u64 = spans.map(|span| span.to.frames_since(span.from)).sum();
        assert_eq!(
            finished.ledger.total_captured() - finished.ledger.stored,
            spanned,
            "spans add up"
        );
        let mark = tape.written_end();
        tape.unsynced.push_back(UnsyncedChunk { after, mark, chunk: None });
        tape.finished = Some(finished);
        let file = recording.file;
        self.journal.storage.submit(now.mono, Job::Append { file, bytes: block });
        self.journal.storage.submit(now.mono, Job::Close { file });
        self.journal.storage.request_sync();
        true
    }

    /// Returns an encoder to its pool.
    pub(super) fn release_encoder(&mut self, channel: ChannelIndex, reel: EncodeStream) {
        let board = self.channels[channel.0].board;
        let sides = usize::from(self.channels[channel.0].sides);
        self.encoders[board * 2 + sides - 1].push(reel.into_encoder());
    }
}
