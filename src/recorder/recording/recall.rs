//! Recall: running calls, masked and encoded, buffered in RAM only.
//!
//! Each call that matches an on-demand schedule has its own encode stream, if its agent may start
//! recordings. The chunks reach the disk only if the agent presses record during the call or its
//! wrap-up. The oldest chunks are dropped when they exceed `recall` or memory runs out; the record
//! then states how far it reaches. Unused audio is zeroized when the wrap-up ends.
//!
//! Masks act on the ring before the stream reads it, so a blackout covers recall too.

use crate::audio::channel::ChannelIndex;
use crate::audio::encode_stream::EncodeStream;
use crate::calls::call::Call;
use crate::calls::permission::Permission;
use crate::limits;
use crate::recorder::Recorder;
use crate::recorder::recording::Chunk;
use crate::store::fact::CallNumber;
use crate::time::{Position, frames_of_ms, ms_of_frames};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Included, Unbounded};

/// The recall buffer of one call.
pub struct RecallBuffer {
    pub stream: EncodeStream,
    pub chunks: VecDeque<Chunk>,
    /// What a press came too late to mask: from, to, and the agent.
    pub missed: Option<(Position, Position, String)>,
    rate: u32,
}

/// The recall buffers of all calls.
#[derive(Default)]
pub struct RecallBuffers {
    buffers: BTreeMap<CallNumber, RecallBuffer>,
    by_channel: BTreeSet<(ChannelIndex, CallNumber)>,
    bytes: usize,
    /// Chunks dropped for lack of memory since the daemon started.
    pub dropped: u64,
}

impl RecallBuffer {
    /// First position in the buffer.
    #[must_use]
    pub fn start(&self) -> Position {
        self.chunks.front().map_or(self.stream.from, |chunk| chunk.from)
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
        self.stream.from = next;
        chunk.payload.capacity()
    }
}

impl RecallBuffers {
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffers.len()
    }

    /// Memory held by chunks, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn streams(&self) -> impl Iterator<Item = &EncodeStream> {
        self.buffers.values().map(|buffer| &buffer.stream)
    }

    fn calls_on(&self, channel: ChannelIndex) -> impl Iterator<Item = CallNumber> {
        let all = (channel, CallNumber(0))..=(channel, CallNumber(u64::MAX));
        self.by_channel.range(all).map(|(_, call)| *call)
    }

    /// The first call with a buffer on a channel after `call`.
    pub fn call_on_after(
        &self,
        channel: ChannelIndex,
        call: Option<CallNumber>,
    ) -> Option<CallNumber> {
        let from =
            call.map_or(Included((channel, CallNumber(0))), |call| Excluded((channel, call)));
        let to = Included((channel, CallNumber(u64::MAX)));
        self.by_channel.range((from, to)).next().map(|(_, call)| *call)
    }

    /// Streams that read a channel's ring.
    pub fn streams_on(&self, channel: ChannelIndex) -> impl Iterator<Item = &EncodeStream> {
        self.calls_on(channel).filter_map(|call| Some(&self.buffers.get(&call)?.stream))
    }

    /// Marks the audio of a channel from `head` on as held for all calls but the one on air.
    pub fn update_holds(
        &mut self,
        channel: ChannelIndex,
        on_air: Option<CallNumber>,
        head: Position,
    ) {
        let calls: Vec<CallNumber> = self.calls_on(channel).collect();
        for call in calls {
            if let Some(stream) = self.stream_mut(call).filter(|stream| stream.end.is_none()) {
                stream.set_held(on_air != Some(call), head);
            }
        }
    }

    /// The first call with a buffer after `call`.
    pub fn first_after(&self, call: Option<CallNumber>) -> Option<CallNumber> {
        let from = call.map_or(Unbounded, Excluded);
        self.buffers.range((from, Unbounded)).next().map(|(call, _)| *call)
    }

    #[must_use]
    pub fn buffer_of(&self, call: CallNumber) -> Option<&RecallBuffer> {
        self.buffers.get(&call)
    }

    pub fn stream_mut(&mut self, call: CallNumber) -> Option<&mut EncodeStream> {
        self.buffers.get_mut(&call).map(|buffer| &mut buffer.stream)
    }

    fn insert(&mut self, call: CallNumber, stream: EncodeStream, rate: u32) {
        self.by_channel.insert((stream.channel, call));
        self.buffers
            .insert(call, RecallBuffer { stream, chunks: VecDeque::new(), missed: None, rate });
    }

    /// Adds a range that a press came too late to mask. The range may grow over masked audio.
    pub fn add_missed(&mut self, call: CallNumber, (from, to, by): (Position, Position, &str)) {
        if let Some(buffer) = self.buffers.get_mut(&call) {
            let old = buffer.missed.take();
            let (from, to) = old.map_or((from, to), |(a, b, _)| (from.min(a), to.max(b)));
            buffer.missed = Some((from, to, by.to_owned()));
        }
    }

    /// Removes and returns the buffer of a call.
    pub fn take_buffer(&mut self, call: CallNumber) -> Option<RecallBuffer> {
        let buffer = self.buffers.remove(&call)?;
        self.by_channel.remove(&(buffer.stream.channel, call));
        self.bytes -= buffer.chunks.iter().map(|chunk| chunk.payload.capacity()).sum::<usize>();
        Some(buffer)
    }

    /// Ends the call's stream; its audio still in the ring is released at once.
    pub fn end_call(&mut self, call: CallNumber, at: Position) {
        if let Some(stream) = self.stream_mut(call) {
            let at = at.max(stream.cursor);
            stream.end.get_or_insert(at);
            stream.is_flushing = true;
            stream.held_ranges.close_at(at);
        }
    }

    /// Moves the stream's audio into a chunk; drops the oldest chunks beyond `recall_ms`, or for
    /// lack of memory.
    pub fn push_chunk(&mut self, call: CallNumber, recall_ms: u32) {
        let Some(buffer) = self.buffers.get_mut(&call) else { return };
        let from = buffer.stream.cursor;
        let (chunks, mut added) = (&mut buffer.chunks, 0);
        buffer.stream.flush_chunk(|runs, payload| {
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
        let longest = frames_of_ms(u64::from(recall_ms), buffer.rate);
        while buffer.stream.cursor.frames_since(buffer.start()) > longest
            && !buffer.chunks.is_empty()
        {
            self.bytes -= buffer.drop_oldest();
        }
        while self.bytes > limits::RECALL_BYTES_MAX {
            let largest = self.buffers.values_mut().max_by_key(|buffer| buffer.chunks.len());
            let Some(largest) = largest.filter(|buffer| !buffer.chunks.is_empty()) else { break };
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
            && call.owner().is_some_and(could)
            && self.recordings.recall.buffer_of(number).is_none()
            && !self.recordings.of_call(number).any(|r| r.pressed.is_some())
            && !self.is_recorded_from_start(call);
        if !wanted || self.recordings.recall.len() >= limits::RECORDINGS_MAX {
            return;
        }
        let (index, from) = (call.channel, call.from);
        let channel = &self.channels[index.0];
        let encoder = self.recordings.encoders.take(channel, &self.config.audio);
        let Ok(encoder) = encoder else { return };
        let mut stream = EncodeStream::new(index, from.max(channel.ring.tail()), encoder);
        if self.calls.active_call(index).is_some_and(|air| air.number != number) {
            stream.held_ranges.open_at(channel.head());
        }
        self.recordings.recall.insert(number, stream, channel.rate);
    }

    /// Whether the call's whole audio is in a recording that the agent's press would join.
    fn is_recorded_from_start(&self, call: &Call) -> bool {
        let seen = call.owner().and_then(|agent| self.visible_running(agent, call.number));
        seen.is_some_and(|running| running.from <= call.from)
    }

    /// Discards and zeroizes the call's buffer.
    pub(in crate::recorder) fn discard_recall(&mut self, number: CallNumber) {
        if let Some(buffer) = self.recordings.recall.take_buffer(number) {
            drop(buffer.chunks);
            self.recordings.encoders.recycle(&self.channels, buffer.stream);
        }
    }

    /// Discards all buffers when the daemon stops.
    pub(in crate::recorder) fn discard_all_recall(&mut self) {
        while let Some(call) = self.recordings.recall.first_after(None) {
            self.discard_recall(call);
        }
    }
}
