//! Waveform of a recording: peaks over its length, and its silent spans.
//!
//! It has a number of peaks per side, each for an equal range, and the masked, held and lost
//! spans exact to the frame, those of one side included. Memory is bounded by a chunk and the
//! peaks; the length must be known in advance. Masked audio has zero peaks.

use super::{AudioFormat, ExportError};
use crate::audio::codec::Decoder;
use crate::audio::span::{Fate, LossReason, Run, Side};
use crate::store::fact::FactSpan;
use crate::time::Position;
use serde::Serialize;

/// Maximum peaks per side: more than the columns of a screen.
pub const PEAKS_MAX: u32 = 8192;

/// A span in which a side or all is silent, in frames of the recording; `to` is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WaveformSpan {
    pub fate: &'static str,
    /// Why it was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// The side that was lost, if the other is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<&'static str>,
    pub from: u64,
    pub to: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waveform {
    /// Frames per second.
    pub rate: u32,
    pub sides: u8,
    /// Total frames.
    pub frames: u64,
    /// Frames per peak; the last peak may cover fewer.
    pub frames_per_peak: u64,
    /// Per side the largest magnitude of each range, 0 to 32768.
    pub peaks: Vec<Vec<u16>>,
    pub spans: Vec<WaveformSpan>,
}

pub struct WaveformWriter {
    decoder: Decoder,
    /// Samples of one chunk.
    samples: Vec<i16>,
    /// Samples before them.
    seen: u64,
    waveform: Waveform,
}

impl Waveform {
    /// Returns the waveform of a screen-only recording: in milliseconds, without peaks.
    #[must_use]
    pub fn for_screen(spans: &[FactSpan], from: Position, to: Position) -> Waveform {
        let place = |at: Position| at.0.saturating_sub(from.0);
        let stretch =
            |span: &FactSpan| WaveformSpan::of(span.fate, place(span.from), place(span.to));
        Waveform {
            rate: 1000,
            sides: 1,
            frames: place(to),
            frames_per_peak: 1,
            peaks: Vec::new(),
            spans: spans.iter().filter_map(stretch).collect(),
        }
    }
}

impl WaveformSpan {
    /// A span of this fate; `None` if all of it is stored.
    fn of(fate: Fate, from: u64, to: u64) -> Option<WaveformSpan> {
        let why = fate.loss_reason().map(LossReason::as_str);
        let side = fate.lost_side().map(Side::as_str);
        (fate != Fate::Stored).then_some(WaveformSpan { fate: fate.as_str(), why, side, from, to })
    }

    /// Whether `next` goes on with the same fate.
    fn is_continued_by(&self, next: &WaveformSpan) -> bool {
        let fate = |span: &WaveformSpan| (span.fate, span.why, span.side);
        self.to == next.from && fate(self) == fate(next)
    }
}

impl WaveformWriter {
    /// Starts a waveform of `frames` frames with `peaks` per side, 1 to `PEAKS_MAX`.
    pub fn new(
        sound: &AudioFormat,
        frames: u64,
        peaks: u32,
    ) -> Result<WaveformWriter, ExportError> {
        let decoder = sound.new_decoder()?;
        let frames_per_peak = frames.div_ceil(u64::from(peaks.clamp(1, PEAKS_MAX))).max(1);
        let shape = Waveform {
            rate: sound.rate,
            sides: sound.sides,
            frames: 0,
            frames_per_peak,
            peaks: vec![Vec::new(); usize::from(sound.sides)],
            spans: Vec::new(),
        };
        Ok(WaveformWriter { decoder, samples: Vec::new(), seen: 0, waveform: shape })
    }

    pub fn add_chunk(&mut self, runs: &[Run], payload: &[u8]) -> Result<(), ExportError> {
        for run in runs {
            let from = self.waveform.frames;
            let to = from + u64::from(run.frames);
            self.waveform.frames = to;
            let Some(span) = WaveformSpan::of(run.fate, from, to) else { continue };
            match self.waveform.spans.last_mut() {
                Some(last) if last.is_continued_by(&span) => last.to = to,
                _ => self.waveform.spans.push(span),
            }
        }
        self.decoder.decode_chunk(runs, payload, &mut self.samples)?;
        self.add_peaks();
        Ok(())
    }

    /// Returns the waveform. The last frames of an interrupted recording are silent.
    #[must_use]
    pub fn finish(mut self) -> Waveform {
        self.decoder.finish(&mut self.samples);
        self.add_peaks();
        self.waveform
    }

    fn add_peaks(&mut self) {
        let sides = u64::from(self.waveform.sides);
        for sample in self.samples.drain(..) {
            let side = usize::try_from(self.seen % sides).unwrap_or(0);
            let begins = (self.seen / sides).is_multiple_of(self.waveform.frames_per_peak);
            let peaks = &mut self.waveform.peaks[side];
            let magnitude = sample.unsigned_abs();
            match peaks.last_mut() {
                Some(last) if !begins => *last = (*last).max(magnitude),
                _ => peaks.push(magnitude),
            }
            self.seen += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CodecKind;

    const SOUND: AudioFormat =
        AudioFormat { codec: CodecKind::Pcm, rate: 8_000, sides: 2, delay_frames: 0 };

    fn pcm_payload(frames: &[[i16; 2]]) -> Vec<u8> {
        frames.iter().flatten().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    #[test]
    fn g1_peaks_are_of_each_side_and_none_of_what_was_masked() {
        let mut writer = WaveformWriter::new(&SOUND, 8, 4).unwrap();
        let stored = |frames| Run { fate: Fate::Stored, frames };
        let masked = |frames| Run { fate: Fate::Masked, frames };
        let lost = Run { fate: Fate::Lost(LossReason::Ring), frames: 2 };
        let payload = pcm_payload(&[[100, -7], [-200, 5], [3, i16::MIN], [9, 9]]);
        let side = Run { fate: Fate::SideLost(Side::Customer, LossReason::Network), frames: 1 };
        let runs = [stored(3), masked(1), masked(1), lost, side];
        writer.add_chunk(&runs, &payload).unwrap();
        let shape = writer.finish();
        assert_eq!((shape.frames, shape.frames_per_peak), (8, 2));
        assert_eq!(shape.peaks, [vec![200, 3, 0, 9], vec![7, 32_768, 0, 0]]);
        let span = |fate, why, from, to| WaveformSpan { fate, why, side: None, from, to };
        let spans = [
            span("masked", None, 3, 5),
            span("lost", Some("ring"), 5, 7),
            WaveformSpan { side: Some("customer"), ..span("side-lost", Some("network"), 7, 8) },
        ];
        assert_eq!(shape.spans, spans);
    }

    #[test]
    fn any_length_has_a_shape() {
        let empty = WaveformWriter::new(&SOUND, 0, 10).unwrap().finish();
        assert_eq!((empty.frames, empty.peaks), (0, vec![vec![], vec![]]));
        let mut writer = WaveformWriter::new(&SOUND, 3, 0).unwrap();
        writer.add_chunk(&[Run { fate: Fate::Held, frames: 3 }], &[]).unwrap();
        assert_eq!(writer.finish().peaks, [[0], [0]]);
    }
}
