//! Encode stream: reads one call's audio from a ring, frame by frame, and encodes it.
//!
//! It reads whole grid frames that have waited for the holdback, through the channel's mask and
//! its own held ranges. It gathers at most half a second before the caller flushes a chunk of
//! runs and codec bytes. The caller writes the chunk to a file (`recorder::recording`) or keeps
//! it in memory (`recorder::recording::recall`). All buffers are allocated at creation.

use crate::audio::channel::{Channel, ChannelIndex};
use crate::audio::codec::Encoder;
use crate::audio::mask::Mask;
use crate::audio::ring::RUNS_MAX;
use crate::audio::span::Run;
use crate::limits;
use crate::time::Position;
use zeroize::Zeroize;

/// Reads and encodes audio from one ring.
pub struct EncodeStream {
    pub channel: ChannelIndex,
    pub from: Position,
    /// Next frame to read.
    pub cursor: Position,
    /// End of the audio, once known.
    pub end: Option<Position>,
    /// Read waiting audio at once, without the holdback.
    pub is_flushing: bool,
    /// Ranges in which the call was on hold.
    pub held_ranges: Mask,
    encoder: Encoder,
    payload: Vec<u8>,
    runs: heapless::Vec<Run, { limits::CHUNK_RUNS_MAX }>,
    grid_count: u32,
    finished: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A grid frame was encoded.
    Advanced,
    /// The chunk must be flushed before the next frame.
    ChunkFull,
    /// Everything up to the end was encoded.
    Ended,
    /// No frame has waited long enough.
    Waiting,
}

impl EncodeStream {
    /// Creates a stream that starts at `from`.
    #[must_use]
    pub fn new(channel: ChannelIndex, from: Position, encoder: Encoder) -> EncodeStream {
        let payload = Vec::with_capacity(EncodeStream::chunk_bytes_max(encoder.grid_bytes_max()));
        EncodeStream {
            channel,
            from,
            cursor: from,
            end: None,
            is_flushing: false,
            held_ranges: Mask::default(),
            encoder,
            payload,
            runs: heapless::Vec::new(),
            grid_count: 0,
            finished: false,
        }
    }

    /// Maximum payload of one chunk, including the codec's look-ahead at the end.
    #[must_use]
    pub fn chunk_bytes_max(grid_bytes_max: usize) -> usize {
        (limits::CHUNK_GRIDS as usize + 2) * grid_bytes_max + 64
    }

    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Delay of the codec in frames.
    #[must_use]
    pub fn delay_frames(&self) -> u16 {
        self.encoder.delay_frames()
    }

    /// Encodes the next grid frame from the channel's ring, if it has waited `holdback_frames`.
    pub fn encode_next(&mut self, channel: &mut Channel, holdback_frames: u64) -> Progress {
        if self.is_chunk_full() {
            return Progress::ChunkFull;
        }
        let head = channel.head();
        let waited = head.saturating_sub(holdback_frames);
        let limit = match self.end {
            Some(end) if self.is_flushing => end,
            Some(end) => end.min(waited),
            None => waited,
        };
        let limit = channel.unreleased_from.map_or(limit, |waits| limit.min(waits));
        if self.end == Some(self.cursor) {
            return Progress::Ended;
        }
        let next = self.cursor.plus(limits::grid_frames(channel.rate));
        let next = self.end.map_or(next, |end| end.min(next));
        if next > limit {
            return Progress::Waiting;
        }
        self.encode_until(channel, next);
        Progress::Advanced
    }

    fn encode_until(&mut self, channel: &mut Channel, next: Position) {
        let frames = usize::try_from(next.frames_since(self.cursor)).unwrap_or(0);
        let cleared =
            channel.ring.read_cleared(self.cursor, frames, [&channel.mask, &self.held_ranges]);
        assert_eq!(cleared.frames(), frames, "a grid frame has few enough fates");
        self.encoder.encode_frame(&cleared, &mut self.payload);
        let mut at = self.cursor;
        for run in cleared.runs() {
            assert!(
                Channel::append_run(&mut self.runs, *run),
                "there was room for a grid frame's runs"
            );
            at = at.plus(u64::from(run.frames));
        }
        channel.ring.wipe_scratch();
        assert_eq!(at, next);
        self.cursor = next;
        self.grid_count += 1;
    }

    /// Begins or ends a range in which the call is on hold.
    pub fn set_held(&mut self, is_held: bool, at: Position) {
        if !is_held {
            self.held_ranges.close_at(at);
        } else if !self.held_ranges.is_open() {
            self.held_ranges.open_at(at);
        }
    }

    /// Whether the chunk is full: half a second of audio, or the maximum number of runs.
    #[must_use]
    pub fn is_chunk_full(&self) -> bool {
        let left = self.runs.capacity() - self.runs.len();
        self.grid_count >= limits::CHUNK_GRIDS || left < RUNS_MAX
    }

    /// Ends the stream: the codec's look-ahead goes into the last chunk.
    pub fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.encoder.finish(&mut self.payload);
        }
    }

    /// Whether there is nothing to flush.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.payload.is_empty()
    }

    /// Passes the audio encoded since the last flush to `use_it`, and wipes it.
    pub fn flush_chunk(&mut self, use_it: impl FnOnce(&[Run], &mut Vec<u8>)) {
        use_it(&self.runs, &mut self.payload);
        // Bounds the held ranges to audio that still waits.
        self.held_ranges.prune_before(self.cursor);
        self.runs.clear();
        self.payload.zeroize();
        self.grid_count = 0;
    }

    /// Returns the encoder, reset.
    #[must_use]
    pub fn into_encoder(mut self) -> Encoder {
        self.payload.zeroize();
        self.encoder.reset();
        self.encoder
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::span::Fate;
    use crate::config::{self, CodecKind};

    fn test_channel() -> Channel {
        let model = config::ChannelSettings {
            id: 1,
            device: "1001".into(),
            sides: 1,
            slots: Vec::new(),
            source: None,
            script: Vec::new(),
        };
        Channel::new(0, 8000, &model, 1000)
    }

    fn test_stream(from: u64) -> EncodeStream {
        let encoder = Encoder::new(CodecKind::Pcm, 8000, 1, 16000).expect("pcm");
        EncodeStream::new(ChannelIndex(0), Position(from), encoder)
    }

    #[test]
    fn audio_waits_for_the_holdback_and_leaves_at_once_at_the_end() {
        let (mut channel, mut stream) = (test_channel(), test_stream(0));
        (0..60).for_each(|n| channel.capture(&[n + 1; 160], Position(0)));
        let steps: Vec<Progress> =
            (0..11).map(|_| stream.encode_next(&mut channel, 8000)).collect();
        assert!(steps[..10].iter().all(|step| *step == Progress::Advanced));
        assert_eq!(steps[10], Progress::Waiting, "50 grid frames are held back");
        (stream.end, stream.is_flushing) = (Some(Position(1690)), true);
        assert_eq!(
            stream.encode_next(&mut channel, 8000),
            Progress::Advanced,
            "the last one is shorter"
        );
        assert_eq!(stream.encode_next(&mut channel, 8000), Progress::Ended);
        stream.finish();
        stream.flush_chunk(|runs, payload| {
            assert_eq!(runs, [Run { fate: Fate::Stored, frames: 1690 }]);
            assert_eq!(payload.len(), 1690 * 2);
        });
        assert!(stream.is_empty());
    }

    #[test]
    fn g1_runs_of_a_stream_are_exact() {
        let (mut channel, mut stream) = (test_channel(), test_stream(0));
        channel.capture(&[5; 320], Position(0));
        channel.start_mask(Position(100));
        channel.capture(&[6; 320], Position(0));
        channel.stop_mask();
        channel.capture(&[7; 320], Position(0));
        (stream.end, stream.is_flushing) = (Some(channel.head()), true);
        while stream.encode_next(&mut channel, 8000) == Progress::Advanced {}
        let run = |fate, frames| Run { fate, frames };
        let wanted = [run(Fate::Stored, 100), run(Fate::Masked, 540), run(Fate::Stored, 320)];
        stream.flush_chunk(|runs, payload| {
            assert_eq!(runs, wanted);
            assert_eq!(payload.len(), 2 * (100 + 320));
        });
    }
}
