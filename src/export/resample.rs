//! Resampling to a rate of Opus, for recordings at 11.025, 22.05 or 44.1 kHz and others.
//!
//! The result has exactly the length of the recording, without the delay of the filter. Digital
//! silence stays digital silence, but for the ringing of the filter beside louder audio.

use super::ExportError;
use rubato::audioadapter_buffers::number_to_float::InterleavedNumbers;
use rubato::{Fft, FixedSync, Resampler};

/// Rates of Opus, in frames per second.
const OPUS_RATES: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];
/// Length of a block, in parts of a second.
const BLOCKS_HZ: u32 = 40;

/// The lowest rate of Opus that keeps all of the audio, at most 48 kHz.
pub fn opus_rate(rate: u32) -> u32 {
    OPUS_RATES.into_iter().find(|known| *known >= rate).unwrap_or(48_000)
}

/// A resampler for one recording.
pub struct StreamResampler {
    filter: Fft<f32>,
    rates: (u32, u32),
    sides: usize,
    /// Samples that do not fill a block yet.
    pending: Vec<i16>,
    /// Frames of the filter's delay that are still to be dropped.
    delay_left: usize,
    frames_in: u64,
    frames_out: u64,
}

impl StreamResampler {
    /// Creates a resampler from one rate to another.
    pub fn new(from: u32, to: u32, sides: usize) -> Result<StreamResampler, ExportError> {
        let wide = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let block = wide(from / BLOCKS_HZ).max(1);
        let filter = Fft::new(wide(from), wide(to), block, sides, FixedSync::Both)
            .map_err(|error| ExportError::Resample(error.to_string()))?;
        Ok(StreamResampler {
            delay_left: filter.output_delay(),
            filter,
            rates: (from, to),
            sides,
            pending: Vec::new(),
            frames_in: 0,
            frames_out: 0,
        })
    }

    /// Takes interleaved samples, and appends those that are complete to `out`.
    pub fn resample(&mut self, samples: &[i16], out: &mut Vec<i16>) -> Result<(), ExportError> {
        self.frames_in += (samples.len() / self.sides) as u64;
        self.pending.extend_from_slice(samples);
        while self.pending.len() >= self.block_samples() {
            self.resample_block(out)?;
        }
        Ok(())
    }

    /// Appends the rest, up to the length of the recording.
    pub fn finish(&mut self, out: &mut Vec<i16>) -> Result<(), ExportError> {
        let (from, to) = (u64::from(self.rates.0), u64::from(self.rates.1));
        let wanted = (self.frames_in * to).div_ceil(from);
        while self.frames_out < wanted {
            self.pending.resize(self.block_samples(), 0);
            self.resample_block(out)?;
        }
        let surplus = usize::try_from(self.frames_out - wanted).unwrap_or(usize::MAX);
        out.truncate(out.len().saturating_sub(surplus.saturating_mul(self.sides)));
        self.frames_out = wanted;
        Ok(())
    }

    fn block_samples(&self) -> usize {
        self.filter.input_frames_next() * self.sides
    }

    fn resample_block(&mut self, out: &mut Vec<i16>) -> Result<(), ExportError> {
        let failed = |error: &dyn std::fmt::Display| ExportError::Resample(error.to_string());
        let (block, frames) = (self.block_samples(), self.filter.output_frames_next());
        let mut made = vec![0; frames * self.sides];
        let source =
            InterleavedNumbers::new(&self.pending[..block], self.sides, block / self.sides);
        let source = source.map_err(|error| failed(&error))?;
        let mut target = InterleavedNumbers::new_mut(&mut made, self.sides, frames)
            .map_err(|error| failed(&error))?;
        self.filter
            .process_into_buffer(&source, &mut target, None)
            .map_err(|error| failed(&error))?;
        self.pending.drain(..block);
        let dropped = self.delay_left.min(frames);
        self.delay_left -= dropped;
        self.frames_out += (frames - dropped) as u64;
        out.extend_from_slice(&made[dropped * self.sides..]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone of 440 Hz on each side, the second of half the level.
    fn tone(rate: u32, frames: usize) -> Vec<i16> {
        let level =
            |n: usize| (n as f64 / f64::from(rate) * 440.0 * std::f64::consts::TAU).sin() * 8000.0;
        (0..frames).flat_map(|n| [level(n), level(n) / 2.0].map(|level| level as i16)).collect()
    }

    #[test]
    fn h7_length_and_place_of_the_audio_are_exact_at_rates_that_opus_lacks() {
        for (rate, wanted) in [
            (11_025, 12_000),
            (22_050, 24_000),
            (44_100, 48_000),
            (32_000, 48_000),
            (96_000, 48_000),
        ] {
            assert_eq!(opus_rate(rate), wanted);
            let frames = rate as usize * 2 + 7;
            let samples = tone(rate, frames);
            let mut resampler = StreamResampler::new(rate, wanted, 2).unwrap();
            let mut found = Vec::new();
            // In pieces of any length.
            for piece in samples.chunks(2 * 333) {
                resampler.resample(piece, &mut found).unwrap();
            }
            resampler.finish(&mut found).unwrap();
            let same = tone(wanted, found.len() / 2);
            let exact = (frames as u64 * u64::from(wanted)).div_ceil(u64::from(rate));
            assert_eq!(found.len() as u64, 2 * exact, "{rate}");
            // Away from the ends, each sample is that of the tone.
            let inner = found.len() / 10..found.len() / 10 * 9;
            let off = inner.map(|at| found[at].abs_diff(same[at])).max();
            assert!(off < Some(80), "{rate}: {off:?}");
        }
        assert_eq!([8_000, 16_000, 48_000].map(opus_rate), [8_000, 16_000, 48_000]);
    }

    #[test]
    fn g1_silence_stays_silent_away_from_its_ends() {
        let mut samples = tone(44_100, 3 * 44_100);
        samples[2 * 44_100..4 * 44_100].fill(0);
        let mut resampler = StreamResampler::new(44_100, 48_000, 2).unwrap();
        let mut found = Vec::new();
        resampler.resample(&samples, &mut found).unwrap();
        resampler.finish(&mut found).unwrap();
        let silent = &found[2 * 48_000 + 9_600..4 * 48_000 - 9_600];
        assert!(silent.iter().all(|sample| *sample == 0));
        let nothing = StreamResampler::new(44_100, 48_000, 1).unwrap().finish(&mut Vec::new());
        assert!(nothing.is_ok());
    }
}
