//! Recall: running calls, masked and encoded, buffered in RAM only.
//!
//! Each call that matches an on-demand schedule has its own encode stream, if its agent may start
//! recordings. The chunks reach the disk only if the agent presses record during the call or its
//! wrap-up. The oldest chunks are dropped when they exceed `recall` or memory runs out; the record
//! then states how far it reaches. Unused audio is zeroized when the wrap-up ends.
//!
//! Masks act on the ring before the stream reads it, so a blackout covers recall too.

use crate::audio::encode_stream::{EncodeStream, Progress};
use crate::calls::call::Call;
use crate::calls::permission::Permission;
use crate::limits;
use crate::recorder::Recorder;
use crate::recorder::recording::Chunk;
use crate::store::fact::CallNumber;
use crate::time::{Position, frames_of_ms, ms_of_frames};
use std::collections::VecDeque;

/// The recall buffer of one call.
pub struct RecallBuffer {
    pub call: CallNumber,
    pub reel: EncodeStream,
    pub chunks: VecDeque<Chunk>,
    rate: u32,
}

/// The recall buffers of all calls.
#[derive(Default)]
pub struct RecallBuffers {
    latents: Vec<RecallBuffer>,
    bytes: usize,
    /// Chunks dropped for lack of memory since the daemon started.
    pub dropped: u64,
}

impl RecallBuffer {
    /// First position in the buffer.
    #[must_use]
    pub fn start(&self) -> Position {
        self.chunks.front().map_or(self.reel.from, |chunk| chunk.from)
    }

    /// Appends to `why` how far the buffer reaches.
    pub fn describe_reach(&self, call_from: Position, why: &mut String) {
        let separator = if why.is_empty() { "" } else { "; " };
        let missing_ms =
            ms_of_frames(self.start().frames_since(call_from.min(self.start())), self.rate);
        let reach = match missing_ms {
            0 => "kept from the call's beginning (recall)".to_string(),
            ms => format!("kept back to {ms} ms after the call's beginning (recall)"),
        };
        why.push_str(separator);
        why.push_str(&reach);
    }

    fn drop_oldest(&mut self) -> usize {
        let Some(chunk) = self.chunks.pop_front() else { return 0 };
        let next = chunk.from.plus(chunk.frames());
        self.reel.from = next;
        self.reel.spans.retain_mut(|span| {
            span.from = span.from.max(next);
            span.from < span.to
        });
        chunk.payload.capacity()
    }
}

impl RecallBuffers {
    #[must_use]
    pub fn len(&self) -> usize {
        self.latents.len()
    }

    /// Memory held by chunks, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn streams(&self) -> impl Iterator<Item = &EncodeStream> {
        self.latents.iter().map(|latent| &latent.reel)
    }

    /// Streams whose call has not ended, with their calls.
    pub fn live_streams(&mut self) -> impl Iterator<Item = (CallNumber, &mut EncodeStream)> {
        let live = self.latents.iter_mut().filter(|latent| latent.reel.end.is_none());
        live.map(|latent| (latent.call, &mut latent.reel))
    }

    #[must_use]
    pub fn buffer_of(&self, call: CallNumber) -> Option<&RecallBuffer> {
        self.latents.iter().find(|latent| latent.call == call)
    }

    /// Removes and returns the buffer of a call.
    pub fn take_buffer(&mut self, call: CallNumber) -> Option<RecallBuffer> {
        let index = self.latents.iter().position(|latent| latent.call == call)?;
        let latent = self.latents.swap_remove(index);
        self.bytes -= latent.chunks.iter().map(|chunk| chunk.payload.capacity()).sum::<usize>();
        Some(latent)
    }

    /// Ends the call's stream; its audio still in the ring is released at once.
    pub fn end_call(&mut self, call: CallNumber, at: Position) {
        if let Some(latent) = self.latents.iter_mut().find(|latent| latent.call == call) {
            let at = at.max(latent.reel.cursor);
            latent.reel.end.get_or_insert(at);
            latent.reel.is_flushing = true;
            latent.reel.held_ranges.close_at(at);
        }
    }

    fn push_chunk(&mut self, index: usize, recall_ms: u32) {
        let latent = &mut self.latents[index];
        let from = latent.reel.cursor;
        let (chunks, mut added) = (&mut latent.chunks, 0);
        latent.reel.flush_chunk(|runs, payload| {
            let frames: u64 = runs.iter().map(|run| u64::from(run.frames)).sum();
            let chunk = Chunk {
                from: from.saturating_sub(frames),
                runs: runs.to_vec(),
                payload: payload.clone(),
            };
            added = chunk.payload.capacity();
            chunks.push_back(chunk);
        });
        self.bytes += added;
        let longest = frames_of_ms(u64::from(recall_ms), latent.rate);
        while latent.reel.cursor.frames_since(latent.start()) > longest && !latent.chunks.is_empty()
        {
            self.bytes -= latent.drop_oldest();
        }
        while self.bytes > limits::RECALL_BYTES_MAX {
            let largest = self.latents.iter_mut().max_by_key(|latent| latent.chunks.len());
            let Some(largest) = largest.filter(|latent| !latent.chunks.is_empty()) else { break };
            self.bytes -= largest.drop_oldest();
            self.dropped += 1;
        }
    }
}

impl Recorder {
    /// Starts the recall buffer of a call, if configured and if its agent may record.
    pub(in crate::recorder) fn start_recall(&mut self, number: CallNumber) {
        let Some(call) = self.calls.get(number) else { return };
        let could = |agent| self.agent_has(agent, Permission::RecordStart);
        let wanted = self.config.audio.recall_ms.is_some()
            && self.config.on_demand.enabled
            && call.schedule_match.on_demand.is_some()
            && self.call_owner(call).is_some_and(could)
            && self.recall.buffer_of(number).is_none()
            && !self.recordings.iter().any(|r| r.call == number && r.pressed.is_some())
            && !self.is_recorded_from_start(call);
        if !wanted || self.recall.len() >= limits::RECORDINGS_MAX {
            return;
        }
        let (channel, from) = (call.channel, call.from);
        let from = from.max(self.channels[channel.0].ring.tail());
        let Ok(encoder) = self.take_encoder(channel) else { return };
        let mut reel = EncodeStream::new(channel, from, encoder);
        if self.calls.active_call(channel).is_some_and(|air| air.number != number) {
            reel.held_ranges.open_at(self.channels[channel.0].head());
        }
        let rate = self.channels[channel.0].rate;
        self.recall.latents.push(RecallBuffer {
            call: number,
            reel,
            chunks: VecDeque::new(),
            rate,
        });
    }

    /// Whether the call's whole audio is in a recording that the agent's press would join.
    fn is_recorded_from_start(&self, call: &Call) -> bool {
        let seen = self.call_owner(call).and_then(|agent| self.visible_running(agent, call.number));
        seen.is_some_and(|running| running.from <= call.from)
    }

    /// Releases one grid frame into a recall buffer. False: nothing to do now.
    pub(in crate::recorder) fn release_recall_frame(&mut self, index: usize) -> bool {
        let Some(recall_ms) = self.config.audio.recall_ms else { return false };
        let Some(latent) = self.recall.latents.get(index) else { return false };
        let holdback = self.holdback_frames(latent.reel.channel);
        let latent = &mut self.recall.latents[index];
        let channel = &mut self.channels[latent.reel.channel.0];
        match latent.reel.encode_next(channel, holdback) {
            Progress::Advanced => {
                if latent.reel.is_chunk_full() {
                    self.recall.push_chunk(index, recall_ms);
                }
                true
            }
            Progress::ChunkFull => {
                self.recall.push_chunk(index, recall_ms);
                true
            }
            Progress::Ended | Progress::Waiting => false,
        }
    }

    /// Discards and zeroizes the call's buffer.
    pub(in crate::recorder) fn discard_recall(&mut self, number: CallNumber) {
        if let Some(latent) = self.recall.take_buffer(number) {
            let channel = latent.reel.channel;
            drop(latent.chunks);
            self.release_encoder(channel, latent.reel);
        }
    }

    /// Discards all buffers when the daemon stops.
    pub(in crate::recorder) fn discard_all_recall(&mut self) {
        while let Some(call) = self.recall.latents.first().map(|latent| latent.call) {
            self.discard_recall(call);
        }
    }
}
