//! Opus decoder: packets and runs to exactly the frames that the runs describe.
//!
//! Packet k yields the last `delay` frames of the previous grid frame, then all but the last
//! `delay` frames of its own. `waiting` holds the fates of frames whose packet has not arrived.
//! The decoder resets where the encoder did, by the same rule. Frames that are not stored become
//! exact zeros, whatever the codec produced there.

use super::{
    CodecError, FrameLayout, check_delay, entry_reader, opus_channels, sample_rate, take_entry,
};
use crate::audio::span::{Fate, Run};

/// What the samples of one frame are masked with, by side: all bits, or none if it is not stored.
type SideMasks = [u16; 2];

fn side_masks(fate: Fate) -> SideMasks {
    let mut masks = if fate.is_stored() { [u16::MAX; 2] } else { [0; 2] };
    fate.lost_side().into_iter().for_each(|side| masks[side.index()] = 0);
    masks
}

fn is_stored(masks: &SideMasks) -> bool {
    *masks != [0; 2]
}

/// One libopus decoder, and the fates that wait for their samples.
pub(crate) struct OpusDecoder {
    inner: opusic_c::Decoder,
    layout: FrameLayout,
    delay: usize,
    /// Grid frames decoded.
    count: u64,
    /// Output of libopus for the last packet.
    samples: Vec<u16>,
    /// Per frame of the current grid frame: which sides are stored.
    stored: Vec<SideMasks>,
    /// The same for the frames that the next packet yields first.
    waiting: Vec<SideMasks>,
    /// The last grid frame had stored audio.
    had_audio: bool,
    missing_frames: u64,
}

impl std::fmt::Debug for OpusDecoder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "OpusDecoder({:?}, delay {})", self.layout, self.delay)
    }
}

impl OpusDecoder {
    /// Creates a decoder; `rate` is in frames per second.
    pub fn new(rate: u32, grid: FrameLayout, delay_frames: u16) -> Result<OpusDecoder, CodecError> {
        check_delay(delay_frames, grid)?;
        let inner = opusic_c::Decoder::new(opus_channels(grid), sample_rate(rate)?)
            .map_err(|code| CodecError::Settings { code })?;
        let delay = usize::from(delay_frames);
        Ok(OpusDecoder {
            inner,
            layout: grid,
            delay,
            count: 0,
            samples: vec![0; grid.sample_count()],
            stored: Vec::with_capacity(grid.frame_count),
            waiting: Vec::with_capacity(delay),
            had_audio: false,
            missing_frames: 0,
        })
    }

    /// Frames called stored that no packet contained.
    pub fn missing_frames(&self) -> u64 {
        self.missing_frames
    }

    /// Appends the frames of a chunk, delayed by `delay_frames`. Returns whether the packet from
    /// the encoder's `finish` followed the last grid frame; no chunk may come after it.
    pub fn decode_chunk(
        &mut self,
        runs: &[Run],
        payload: &[u8],
        out: &mut Vec<i16>,
    ) -> Result<bool, CodecError> {
        let mut rest = payload;
        let packet = entry_reader(runs, payload);
        self.stored.clear();
        for run in runs {
            let mut left = run.frames as usize;
            while left > 0 {
                let part = left.min(self.layout.frame_count - self.stored.len());
                let filled = self.stored.len() + part;
                self.stored.resize(filled, side_masks(run.fate));
                left -= part;
                if filled == self.layout.frame_count {
                    self.decode_grid_frame(packet(&mut rest)?, out)?;
                }
            }
        }
        if !self.stored.is_empty() {
            self.decode_grid_frame(packet(&mut rest)?, out)?;
        }
        let ending = !rest.is_empty() && !self.waiting.is_empty();
        if ending {
            self.decode_packet(take_entry(&mut rest)?)?;
            self.append_waiting(true, out);
        }
        if rest.is_empty() {
            Ok(ending)
        } else {
            Err(CodecError::TrailingBytes { bytes: rest.len() })
        }
    }

    /// Appends zeros for frames whose packet is missing.
    pub fn finish(&mut self, out: &mut Vec<i16>) {
        self.append_waiting(false, out);
    }

    /// Decodes one grid frame, with its fates in `stored`, and clears `stored`.
    fn decode_grid_frame(&mut self, packet: &[u8], out: &mut Vec<i16>) -> Result<(), CodecError> {
        let any_stored = self.stored.iter().any(is_stored);
        if packet.is_empty() && any_stored {
            return Err(CodecError::MissingPacket { grid_frame: self.count });
        }
        if any_stored && !self.had_audio {
            let done = self.inner.reset();
            assert!(done.is_ok(), "libopus cannot reset: {done:?}");
        }
        self.had_audio = any_stored;
        if !packet.is_empty() {
            self.decode_packet(packet)?;
        }
        self.count += 1;
        self.append_waiting(!packet.is_empty(), out);
        let now = self.stored.len().min(self.layout.frame_count - self.delay);
        let sides = self.layout.sides;
        append_frames(&self.stored[..now], (&self.samples[self.delay * sides..], sides), out);
        self.waiting.extend_from_slice(&self.stored[now..]);
        self.stored.clear();
        assert!(self.waiting.len() <= self.delay, "only the look-ahead waits");
        Ok(())
    }

    fn append_waiting(&mut self, there: bool, out: &mut Vec<i16>) {
        if !there {
            let missing = self.waiting.iter().filter(|masks| is_stored(masks)).count();
            self.missing_frames += missing as u64;
            self.samples.fill(0);
        }
        append_frames(&self.waiting, (&self.samples, self.layout.sides), out);
        self.waiting.clear();
    }

    fn decode_packet(&mut self, packet: &[u8]) -> Result<(), CodecError> {
        let (grid_frame, wanted) = (self.count, self.layout.frame_count);
        let found = self
            .inner
            .decode_to_slice(packet, &mut self.samples, false)
            .map_err(|code| CodecError::Packet { grid_frame, code })?;
        if found == wanted {
            return Ok(());
        }
        Err(CodecError::Length { grid_frame, wanted, found })
    }
}

/// Appends the stored sides of frames, and zeros for the others; `samples` may be longer.
fn append_frames(stored: &[SideMasks], (samples, sides): (&[u16], usize), out: &mut Vec<i16>) {
    assert!(samples.len() >= stored.len() * sides);
    for (frame, masks) in samples.chunks_exact(sides).zip(stored) {
        out.extend(frame.iter().zip(masks).map(|(sample, mask)| (sample & mask).cast_signed()));
    }
}
