//! Recall: the running call, masked and encoded, kept back in RAM only.
//!
//! Every call that an on-demand schedule matches, of an agent who may start recordings, has a reel
//! of its own from the call's beginning; its chunks wait here and never reach the disk unless the
//! agent presses, in the call or within its wrap-up. What is given up, because it is older than
//! `recall` or because there is no room, is the oldest; the record then says how far it reaches
//! back. What nobody wanted is zeroized when the wrap-up ends.
//!
//! Masks act on the ring before a reel takes anything, so a blackout covers the recall too.

use crate::audio::encode_stream::{Reel, Step};
use crate::calls::call::Call;
use crate::calls::permission::Permission;
use crate::limits;
use crate::recorder::Recorder;
use crate::recorder::recording::Chunk;
use crate::store::fact::CallNumber;
use crate::time::{Position, frames_of_ms, ms_of_frames};
use std::collections::VecDeque;

/// One call that is kept back.
pub struct Latent {
    pub call: CallNumber,
    pub reel: Reel,
    pub chunks: VecDeque<Chunk>,
    rate: u32,
}

/// All calls that are kept back.
#[derive(Default)]
pub struct Recall {
    latents: Vec<Latent>,
    bytes: usize,
    /// Chunks given up for want of room, since the daemon started.
    pub dropped: u64,
}

impl Latent {
    /// Where what is kept begins.
    #[must_use]
    pub fn from(&self) -> Position {
        self.chunks.front().map_or(self.reel.from, |chunk| chunk.from)
    }

    /// Says in the record how far it reaches.
    pub fn explain(&self, call_from: Position, why: &mut String) {
        let separator = if why.is_empty() { "" } else { "; " };
        let missing_ms = ms_of_frames(self.from().since(call_from.min(self.from())), self.rate);
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

impl Recall {
    #[must_use]
    pub fn len(&self) -> usize {
        self.latents.len()
    }

    /// Memory held by chunks, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn reels(&self) -> impl Iterator<Item = &Reel> {
        self.latents.iter().map(|latent| &latent.reel)
    }

    /// Reels whose call has not ended, with their calls.
    pub fn live_reels(&mut self) -> impl Iterator<Item = (CallNumber, &mut Reel)> {
        let live = self.latents.iter_mut().filter(|latent| latent.reel.end.is_none());
        live.map(|latent| (latent.call, &mut latent.reel))
    }

    #[must_use]
    pub fn of(&self, call: CallNumber) -> Option<&Latent> {
        self.latents.iter().find(|latent| latent.call == call)
    }

    /// The call's audio is wanted: it is nobody's here any more.
    pub fn take(&mut self, call: CallNumber) -> Option<Latent> {
        let index = self.latents.iter().position(|latent| latent.call == call)?;
        let latent = self.latents.swap_remove(index);
        self.bytes -= latent.chunks.iter().map(|chunk| chunk.payload.capacity()).sum::<usize>();
        Some(latent)
    }

    /// The call ended; what still waits in its ring is taken at once.
    pub fn end(&mut self, call: CallNumber, at: Position) {
        if let Some(latent) = self.latents.iter_mut().find(|latent| latent.call == call) {
            let at = at.max(latent.reel.cursor);
            latent.reel.end.get_or_insert(at);
            latent.reel.flush = true;
            latent.reel.held.close(at);
        }
    }

    fn keep(&mut self, index: usize, recall_ms: u32) {
        let latent = &mut self.latents[index];
        let from = latent.reel.cursor;
        let (chunks, mut added) = (&mut latent.chunks, 0);
        latent.reel.cut(|runs, payload| {
            let frames: u64 = runs.iter().map(|run| u64::from(run.frames)).sum();
            let chunk =
                Chunk { from: from.back(frames), runs: runs.to_vec(), payload: payload.clone() };
            added = chunk.payload.capacity();
            chunks.push_back(chunk);
        });
        self.bytes += added;
        let longest = frames_of_ms(u64::from(recall_ms), latent.rate);
        while latent.reel.cursor.since(latent.from()) > longest && !latent.chunks.is_empty() {
            self.bytes -= latent.drop_oldest();
        }
        while self.bytes > limits::RECALL_BYTES {
            let largest = self.latents.iter_mut().max_by_key(|latent| latent.chunks.len());
            let Some(largest) = largest.filter(|latent| !latent.chunks.is_empty()) else { break };
            self.bytes -= largest.drop_oldest();
            self.dropped += 1;
        }
    }
}

impl Recorder {
    /// Begins to keep a call back, if that is configured and its agent could want it.
    pub(in crate::recorder) fn keep_back(&mut self, number: CallNumber) {
        let Some(call) = self.calls.get(number) else { return };
        let could = |agent| self.agent_has(agent, Permission::RecordStart);
        let wanted = self.config.audio.recall_ms.is_some()
            && self.config.on_demand.enabled
            && call.schedules.on_demand.is_some()
            && self.owner(call).is_some_and(could)
            && self.recall.of(number).is_none()
            && !self.recordings.iter().any(|r| r.call == number && r.pressed.is_some())
            && !self.already_whole(call);
        if !wanted || self.recall.len() >= limits::RECORDINGS_MAX {
            return;
        }
        let (channel, from) = (call.channel, call.from);
        let from = from.max(self.channels[channel.0].ring.tail());
        let Ok(encoder) = self.take_encoder(channel) else { return };
        let mut reel = Reel::new(channel, from, encoder);
        if self.calls.on_air(channel).is_some_and(|air| air.number != number) {
            reel.held.open(self.channels[channel.0].head());
        }
        let rate = self.channels[channel.0].rate;
        self.recall.latents.push(Latent { call: number, reel, chunks: VecDeque::new(), rate });
    }

    /// A recording that the agent's press would only join has the call from its beginning.
    fn already_whole(&self, call: &Call) -> bool {
        let seen = self.owner(call).and_then(|agent| self.seen_running(agent, call.number));
        seen.is_some_and(|running| running.from <= call.from)
    }

    /// Moves one grid frame of one kept-back call on. False: nothing to do now.
    pub(in crate::recorder) fn release_latent(&mut self, index: usize) -> bool {
        let Some(recall_ms) = self.config.audio.recall_ms else { return false };
        let Some(latent) = self.recall.latents.get(index) else { return false };
        let holdback = self.holdback_frames(latent.reel.channel);
        let latent = &mut self.recall.latents[index];
        let channel = &mut self.channels[latent.reel.channel.0];
        match latent.reel.step(channel, holdback) {
            Step::Took => {
                if latent.reel.full() {
                    self.recall.keep(index, recall_ms);
                }
                true
            }
            Step::Full => {
                self.recall.keep(index, recall_ms);
                true
            }
            Step::Ended | Step::Rest => false,
        }
    }

    /// Nobody wanted it: gone, and zeroized.
    pub(in crate::recorder) fn forget_recall(&mut self, number: CallNumber) {
        if let Some(latent) = self.recall.take(number) {
            let channel = latent.reel.channel;
            drop(latent.chunks);
            self.put_back(channel, latent.reel);
        }
    }

    /// At the stop of the daemon nothing kept back survives.
    pub(in crate::recorder) fn forget_all_recall(&mut self) {
        while let Some(call) = self.recall.latents.first().map(|latent| latent.call) {
            self.forget_recall(call);
        }
    }
}
