//! All recordings, by id, call, channel and file, in the order of their start.
//!
//! The table owns what recordings need besides: the stock of data keys, encoders, spare chunks, the
//! recall buffers, and the list of recordings that wait to resume. `release` moves audio, `files`
//! handles completions. Calls, sessions and permissions are not known here.

use super::RecordingWriter;
use super::encoders::EncoderPools;
use super::interrupted::ToResume;
use super::key_stock::KeyStock;
use super::recall::RecallBuffers;
use crate::audio::channel::{Channel, ChannelIndex};
use crate::audio::encode_stream::EncodeStream;
use crate::id::RecordingId;
use crate::job::FileId;
use crate::limits;
use crate::recorder::{Chunk, Recording};
use crate::store::fact::CallNumber;
use crate::time::Position;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Included, Unbounded};

/// A recording's place in the order of their start; never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordingKey(u64);

/// A stream that takes audio from a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamKey {
    Recording(RecordingKey),
    Recall(CallNumber),
}

/// The channels whose streams may have audio to release.
#[derive(Debug)]
pub(super) struct MovedChannels {
    /// Whether every stream has to be looked at.
    pub all: bool,
    /// Whether the last release looked at every stream.
    pub looked_at_all: bool,
    queue: VecDeque<ChannelIndex>,
    /// By channel, whether it is in the queue.
    queued: Vec<bool>,
}

impl MovedChannels {
    fn new(channels: usize) -> MovedChannels {
        let queue = VecDeque::with_capacity(channels);
        MovedChannels { all: true, looked_at_all: false, queue, queued: vec![false; channels] }
    }

    pub fn add(&mut self, channel: ChannelIndex) {
        if !std::mem::replace(&mut self.queued[channel.0], true) {
            self.queue.push_back(channel);
        }
    }

    pub fn take(&mut self) -> Option<ChannelIndex> {
        let channel = self.queue.pop_front()?;
        self.queued[channel.0] = false;
        Some(channel)
    }

    pub fn clear(&mut self) {
        while self.take().is_some() {}
    }
}

/// All recordings that are in memory.
pub(in crate::recorder) struct Recordings {
    pub(super) all: BTreeMap<RecordingKey, Recording>,
    by_id: BTreeMap<RecordingId, RecordingKey>,
    by_call: BTreeSet<(CallNumber, RecordingKey)>,
    by_file: BTreeMap<FileId, RecordingKey>,
    /// Recordings with a writer, by channel.
    open: BTreeSet<(ChannelIndex, RecordingKey)>,
    last: RecordingKey,
    /// Recordings that start once there is disk space and an envelope.
    pub to_resume: ToResume,
    pub recall: RecallBuffers,
    pub keys: KeyStock,
    pub encoders: EncoderPools,
    /// Reusable copies for chunks that are not durable yet.
    pub(super) spare_chunks: Vec<Chunk>,
    spare_bytes: u64,
    /// Scratch buffer for the payload being sealed.
    pub(super) payload: Vec<u8>,
    /// The channels that may have audio to release.
    pub(super) moved: MovedChannels,
    /// The stream that released audio last; the next round starts after it.
    pub(super) released: StreamKey,
    /// Times that a chunk waited for a buffer because the disk was slow.
    pub block_waits: u64,
}

impl Recordings {
    /// An empty table for this many channels. `payload` has the capacity of the longest sealed
    /// chunk.
    pub fn new(
        encoders: EncoderPools,
        keys: KeyStock,
        spare_chunks: Vec<Chunk>,
        payload: Vec<u8>,
        channels: usize,
    ) -> Recordings {
        let spare_bytes = spare_chunks.iter().map(|chunk| chunk.payload.capacity() as u64).sum();
        Recordings {
            spare_bytes,
            all: BTreeMap::new(),
            by_id: BTreeMap::new(),
            by_call: BTreeSet::new(),
            by_file: BTreeMap::new(),
            open: BTreeSet::new(),
            last: RecordingKey(0),
            to_resume: ToResume::default(),
            recall: RecallBuffers::default(),
            keys,
            encoders,
            spare_chunks,
            payload,
            moved: MovedChannels::new(channels),
            released: StreamKey::Recording(RecordingKey(0)),
            block_waits: 0,
        }
    }

    /// Adds a recording, which has a writer.
    pub fn insert(&mut self, recording: Recording) -> RecordingKey {
        assert!(recording.writer.is_some(), "a recording begins open");
        self.wake_all();
        self.last.0 += 1;
        let key = self.last;
        let previous = self.by_id.insert(recording.id, key);
        assert!(previous.is_none(), "each recording has its own id");
        self.by_call.insert((recording.call, key));
        self.by_file.insert(recording.file, key);
        self.open.insert((recording.channel, key));
        self.all.insert(key, recording);
        key
    }

    pub(super) fn remove(&mut self, key: RecordingKey) {
        let Some(recording) = self.all.remove(&key) else { return };
        self.by_id.remove(&recording.id);
        self.by_call.remove(&(recording.call, key));
        self.by_file.remove(&recording.file);
        self.open.remove(&(recording.channel, key));
    }

    /// Forgets a call's recordings after its wrap-up, with their keys.
    pub fn remove_call(&mut self, call: CallNumber) {
        let keys: Vec<RecordingKey> = self.keys_of(call).collect();
        keys.into_iter().for_each(|key| self.remove(key));
    }

    /// Takes the writer of a recording whose file is complete or failed.
    pub(super) fn take_writer(&mut self, key: RecordingKey) -> Option<RecordingWriter> {
        let recording = self.all.get_mut(&key)?;
        self.open.remove(&(recording.channel, key));
        recording.writer.take()
    }

    pub(super) fn writer_mut(&mut self, key: RecordingKey) -> Option<&mut RecordingWriter> {
        self.all.get_mut(&key)?.writer.as_mut()
    }

    /// The recordings with a writer, in the order of their start.
    pub(super) fn open_keys(&self) -> Vec<RecordingKey> {
        let open = self.all.iter().filter(|(_, recording)| recording.writer.is_some());
        open.map(|(key, _)| *key).collect()
    }

    pub(super) fn assign_file(&mut self, key: RecordingKey, file: FileId) {
        let Some(recording) = self.all.get_mut(&key) else { return };
        self.by_file.remove(&recording.file);
        recording.file = file;
        self.by_file.insert(file, key);
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Memory that encoders and copies of chunks take from the start on, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.encoders.memory_bytes() + self.spare_bytes + self.payload.capacity() as u64
    }

    pub fn is_full(&self) -> bool {
        self.all.len() >= limits::RECORDINGS_MAX
    }

    /// All recordings in the order of their start.
    pub fn iter(&self) -> impl Iterator<Item = &Recording> {
        self.all.values()
    }

    pub fn get(&self, id: RecordingId) -> Option<&Recording> {
        self.by_id.get(&id).and_then(|key| self.all.get(key))
    }

    pub fn get_mut(&mut self, id: RecordingId) -> Option<&mut Recording> {
        self.by_id.get(&id).and_then(|key| self.all.get_mut(key))
    }

    /// The open recording that writes to this file.
    pub(super) fn key_of_file(&self, file: FileId) -> Option<RecordingKey> {
        let key = *self.by_file.get(&file)?;
        self.all.get(&key)?.writer.is_some().then_some(key)
    }

    /// Recordings that still take audio.
    pub fn running(&self) -> impl Iterator<Item = &Recording> {
        self.iter().filter(|recording| recording.is_running())
    }

    fn keys_of(&self, call: CallNumber) -> impl DoubleEndedIterator<Item = RecordingKey> {
        let all = (call, RecordingKey(0))..=(call, RecordingKey(u64::MAX));
        self.by_call.range(all).map(|(_, key)| *key)
    }

    /// A call's recordings in the order of their start.
    pub fn of_call(&self, call: CallNumber) -> impl DoubleEndedIterator<Item = &Recording> {
        self.keys_of(call).filter_map(|key| self.all.get(&key))
    }

    /// The running recording of a call.
    pub fn running_of(&self, call: CallNumber) -> Option<&Recording> {
        self.of_call(call).find(|recording| recording.is_running())
    }

    /// The newest recording of a call, running or not.
    pub fn newest_of(&self, call: CallNumber) -> Option<&Recording> {
        self.of_call(call).next_back()
    }

    /// Number of recordings with a writer.
    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The writers of all open recordings, in the order of their start.
    pub fn writers(&self) -> impl Iterator<Item = &RecordingWriter> {
        self.iter().filter_map(|recording| recording.writer.as_ref())
    }

    fn open_on(&self, channel: ChannelIndex) -> impl Iterator<Item = RecordingKey> {
        let all = (channel, RecordingKey(0))..=(channel, RecordingKey(u64::MAX));
        self.open.range(all).map(|(_, key)| *key)
    }

    /// Whether a channel is being recorded.
    pub fn is_recorded(&self, channel: ChannelIndex) -> bool {
        self.open_on(channel).any(|key| self.all.get(&key).is_some_and(Recording::is_running))
    }

    /// Whether a recording of the channel has an open file.
    pub fn has_writer_on(&self, channel: ChannelIndex) -> bool {
        self.open_on(channel).next().is_some()
    }

    /// The streams that read a channel's ring.
    pub fn streams_on(&self, channel: ChannelIndex) -> impl Iterator<Item = &EncodeStream> {
        let open = self.open_on(channel).filter_map(|key| self.all.get(&key)?.writer.as_ref());
        open.map(|writer| &writer.stream).chain(self.recall.streams_on(channel))
    }

    /// The oldest position of a channel that a stream still needs.
    pub fn oldest_unread(&self, channel: ChannelIndex) -> Option<Position> {
        // A stream that reached its end needs no more of the ring.
        let reading = self.streams_on(channel).filter(|stream| stream.end != Some(stream.cursor));
        reading.map(|stream| stream.cursor).min()
    }

    /// Marks the audio of a channel from `head` on as held for all calls but the one on air.
    pub fn update_holds(
        &mut self,
        channel: ChannelIndex,
        on_air: Option<CallNumber>,
        head: Position,
    ) {
        let keys: Vec<RecordingKey> = self.open_on(channel).collect();
        for key in keys {
            let recording = self.all.get_mut(&key).filter(|recording| recording.is_running());
            let Some(recording) = recording else { continue };
            if let Some(writer) = &mut recording.writer {
                writer.stream.set_held(on_air != Some(recording.call), head);
            }
        }
        self.recall.update_holds(channel, on_air, head);
    }

    /// Notes that a channel has new audio.
    pub fn mark_moved(&mut self, channel: ChannelIndex) {
        self.moved.add(channel);
    }

    /// Whether the last release looked at every stream.
    pub fn looked_at_all(&self) -> bool {
        self.moved.looked_at_all
    }

    /// Notes that something happened after which any stream may release audio.
    pub fn wake_all(&mut self) {
        self.moved.all = true;
    }

    /// The stream of a channel after this one: recordings first, then recall.
    pub(super) fn stream_after(
        &self,
        channel: ChannelIndex,
        last: Option<StreamKey>,
    ) -> Option<StreamKey> {
        let recall = |after| self.recall.call_on_after(channel, after).map(StreamKey::Recall);
        let after = match last {
            Some(StreamKey::Recall(call)) => return recall(Some(call)),
            Some(StreamKey::Recording(key)) => key,
            None => RecordingKey(0),
        };
        let range = (Excluded((channel, after)), Included((channel, RecordingKey(u64::MAX))));
        let next = self.open.range(range).next().map(|(_, key)| StreamKey::Recording(*key));
        next.or_else(|| recall(None))
    }

    /// Time that a grid frame of a stream takes, in microseconds.
    pub(super) fn grid_cost_us(&self, stream: StreamKey) -> u32 {
        let stream = match stream {
            StreamKey::Recording(key) => self
                .all
                .get(&key)
                .and_then(|recording| recording.writer.as_ref())
                .map(|writer| &writer.stream),
            StreamKey::Recall(call) => self.recall.buffer_of(call).map(|buffer| &buffer.stream),
        };
        stream.map_or(1, |stream| stream.encoder().grid_cost_us())
    }

    /// The stream after the one that released audio last.
    pub(super) fn next_stream(&mut self) -> Option<StreamKey> {
        let recordings_after =
            |key| self.all.range((Excluded(key), Unbounded)).next().map(|(key, _)| *key);
        let recalls = || self.recall.first_after(None).map(StreamKey::Recall);
        let (recording, recall) = match self.released {
            StreamKey::Recording(key) => (recordings_after(key), recalls()),
            StreamKey::Recall(call) => {
                (None, self.recall.first_after(Some(call)).map(StreamKey::Recall))
            }
        };
        let first = || recordings_after(RecordingKey(0)).map(StreamKey::Recording);
        let next = recording.map(StreamKey::Recording).or(recall).or_else(first).or_else(recalls);
        self.released = next?;
        next
    }

    /// Asserts the invariants that hold after every turn. Streams are checked when all were looked
    /// at; in other turns, reading a ring asserts the same of each that moves.
    pub fn check_invariants(&self, channels: &[Channel]) {
        assert!(self.all.len() <= limits::RECORDINGS_MAX);
        assert!(self.by_id.len() == self.all.len() && self.by_call.len() == self.all.len());
        if !self.moved.looked_at_all {
            return;
        }
        assert_eq!(self.open.len(), self.writers().count());
        assert!(self.to_resume.len() <= limits::CALLS_MAX, "one for each call that is live");
        for stream in self.writers().map(|writer| &writer.stream).chain(self.recall.streams()) {
            let ring = &channels[stream.channel.0].ring;
            assert!(stream.from <= stream.cursor && stream.cursor <= ring.head());
            assert!(stream.end == Some(stream.cursor) || stream.cursor >= ring.tail(), "overtaken");
        }
    }
}
