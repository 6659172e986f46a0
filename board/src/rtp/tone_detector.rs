//! Digits as tones in the audio (DTMF, ITU-T Q.23 and Q.24): when one sounds, never which one.
//!
//! The audio is cut into blocks of 12.75 ms. A Goertzel filter for each of the eight frequencies
//! measures a block. The block is a digit if one low and one high tone have nearly all of its
//! energy, are similarly loud, and the high one has no second harmonic, as a voice would. (That of
//! the low one is too near to the high tones to be measured.) Two such blocks in a row are a
//! digit. A tone of 40 ms has two whole blocks.
//!
//! The detector does not remember which tones it heard: it compares them inside one block only.

use super::telephone_event::DigitSpan;
use std::f32::consts::TAU;
use zeroize::Zeroize;

/// Frequencies in Hz: four rows, four columns.
const FREQUENCIES: [f32; 8] = [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0];

/// Length of a block at 8 kHz. The filters are then 78 Hz wide.
const BLOCK_AT_8_KHZ: usize = 102;
const BLOCK_MAX: usize = BLOCK_AT_8_KHZ * 2;

/// Blocks in a row that make a digit.
const BLOCKS_MIN: u64 = 2;

/// Mean square below which a block is too quiet: two tones of -37 dBm0 each.
const MEAN_SQUARE_MIN: f32 = 1.0e5;

/// Share of the block's energy that the two tones must have.
const SHARE_MIN: f32 = 0.82;

/// Ratio of the powers of the two tones, either way: 8 dB ("twist").
const TWIST_MAX: f32 = 6.31;

/// Ratio of the power of a tone to each other one of its group: 8 dB.
const PEAK_MIN: f32 = 6.31;

/// Ratio of the power of a tone to its second harmonic: 15 dB.
const HARMONIC_MIN: f32 = 31.6;

/// Duration after which a tone that still sounds is reported again, in seconds.
const CONTINUED_S: u64 = 1;

/// Listens to one leg.
pub(crate) struct ToneDetector {
    rate: u32,
    /// Two times the cosine of each frequency, and of its second harmonic.
    coefficients: [f32; 8],
    harmonics: [f32; 8],
    block: [f32; BLOCK_MAX],
    block_frames: usize,
    filled: usize,
    /// Digit blocks in a row.
    hits: u64,
    reported_end: u64,
}

impl ToneDetector {
    pub fn new(rate: u32) -> ToneDetector {
        let block_frames = if rate == 16_000 { BLOCK_MAX } else { BLOCK_AT_8_KHZ };
        let samples_per_s = if rate == 16_000 { 16_000.0 } else { 8000.0 };
        ToneDetector {
            rate,
            coefficients: FREQUENCIES.map(|hz| 2.0 * (TAU * hz / samples_per_s).cos()),
            harmonics: FREQUENCIES.map(|hz| 2.0 * (TAU * 2.0 * hz / samples_per_s).cos()),
            block: [0.0; BLOCK_MAX],
            block_frames,
            filled: 0,
            hits: 0,
            reported_end: 0,
        }
    }

    /// Forgets everything heard.
    pub fn reset(&mut self) {
        self.block.zeroize();
        (self.filled, self.hits, self.reported_end) = (0, 0, 0);
    }

    /// Listens to samples from `position` on, and reports each digit to `report`.
    pub fn listen(&mut self, position: u64, samples: &[i16], report: &mut dyn FnMut(DigitSpan)) {
        let mut at = position;
        let mut rest = samples;
        while !rest.is_empty() {
            let count = rest.len().min(self.block_frames - self.filled);
            let (now, later) = rest.split_at(count);
            let free = &mut self.block[self.filled..self.filled + count];
            free.iter_mut().zip(now).for_each(|(place, sample)| *place = f32::from(*sample));
            self.filled += count;
            at += crate::to_count(count);
            rest = later;
            if self.filled == self.block_frames {
                self.filled = 0;
                self.end_block(at, report);
            }
        }
    }

    /// Judges a full block that ends at `end`.
    fn end_block(&mut self, end: u64, report: &mut dyn FnMut(DigitSpan)) {
        if !self.is_digit() {
            self.hits = 0;
            return;
        }
        self.hits += 1;
        if self.hits < BLOCKS_MIN {
            return;
        }
        let is_new = self.hits == BLOCKS_MIN;
        if is_new {
            let frames = BLOCKS_MIN * crate::to_count(self.block_frames);
            let position = end.saturating_sub(frames);
            self.reported_end = end;
            report(DigitSpan { position, frames: end - position, is_new });
        } else if end >= self.reported_end + CONTINUED_S * u64::from(self.rate) {
            let position = std::mem::replace(&mut self.reported_end, end);
            report(DigitSpan { position, frames: end - position, is_new });
        }
    }

    fn is_digit(&self) -> bool {
        let block = &self.block[..self.block_frames];
        let energy: f32 = block.iter().map(|sample| sample * sample).sum();
        let frames = f32::from(u16::try_from(self.block_frames).unwrap_or(u16::MAX));
        if energy < MEAN_SQUARE_MIN * frames {
            return false;
        }
        let powers = measure(block, &self.coefficients);
        let (row, column) = (loudest(&powers[..4]), 4 + loudest(&powers[4..]));
        let (low, high) = (powers[row], powers[column]);
        // A tone's power is its energy times half of the block's length.
        let is_pure = low + high >= SHARE_MIN * energy * frames / 2.0;
        let is_even = low <= high * TWIST_MAX && high <= low * TWIST_MAX;
        let is_peak = |group: std::ops::Range<usize>, peak: usize| {
            group.filter(|n| *n != peak).all(|n| powers[n] * PEAK_MIN <= powers[peak])
        };
        if !(is_pure && is_even && is_peak(0..4, row) && is_peak(4..8, column)) {
            return false;
        }
        let harmonics = measure(block, &self.harmonics);
        harmonics[column] * HARMONIC_MIN <= high
    }
}

impl Drop for ToneDetector {
    fn drop(&mut self) {
        self.block.zeroize();
    }
}

/// Power of a block at eight frequencies, by Goertzel's algorithm.
fn measure(block: &[f32], coefficients: &[f32; 8]) -> [f32; 8] {
    let (mut last, mut before) = ([0.0_f32; 8], [0.0_f32; 8]);
    for sample in block {
        let mut next = [0.0_f32; 8];
        for n in 0..8 {
            next[n] = sample + coefficients[n] * last[n] - before[n];
        }
        (before, last) = (last, next);
    }
    std::array::from_fn(|n| {
        last[n] * last[n] + before[n] * before[n] - coefficients[n] * last[n] * before[n]
    })
}

fn loudest(powers: &[f32]) -> usize {
    let better = |best: usize, n: usize| if powers[n] > powers[best] { n } else { best };
    (1..powers.len()).fold(0, better)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A digit's tones of `ms` milliseconds, after `lead` frames of silence.
    fn digit(rate: u32, pair: (f32, f32), levels: (f32, f32), lead: usize, ms: u32) -> Vec<i16> {
        let frames = usize::try_from(rate * ms / 1000).unwrap();
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small")]
        let sample = |n: usize| {
            let time = n as f32 / rate as f32;
            let low = (TAU * pair.0 * time).sin() * levels.0;
            (low + (TAU * pair.1 * time).sin() * levels.1) as i16
        };
        let tail = usize::try_from(rate / 10).unwrap();
        std::iter::repeat_n(0, lead)
            .chain((0..frames).map(sample))
            .chain(std::iter::repeat_n(0, tail))
            .collect()
    }

    fn digits_in(rate: u32, samples: &[i16]) -> Vec<DigitSpan> {
        let mut detector = ToneDetector::new(rate);
        let mut found = Vec::new();
        for (n, period) in samples.chunks(160).enumerate() {
            let position = u64::try_from(n * 160).unwrap();
            detector.listen(position, period, &mut |span| found.push(span));
        }
        found
    }

    #[test]
    fn every_digit_of_40_ms_is_found_wherever_it_begins() {
        for rate in [8000, 16_000] {
            for row in &FREQUENCIES[..4] {
                for column in &FREQUENCIES[4..] {
                    for lead in (0..204).step_by(17) {
                        let audio = digit(rate, (*row, *column), (3000.0, 3000.0), lead, 40);
                        let found = digits_in(rate, &audio);
                        assert_eq!(found.len(), 1, "{row} {column} {lead} {rate}");
                        let start = u64::try_from(lead).unwrap();
                        assert!(found[0].position.abs_diff(start) <= 204);
                    }
                }
            }
        }
    }

    #[test]
    fn tolerances_are_those_of_the_standard() {
        let pair = (770.0, 1336.0);
        let found = |pair, levels, ms| digits_in(8000, &digit(8000, pair, levels, 33, ms)).len();
        assert_eq!(found((770.0 * 1.015, 1336.0 * 0.985), (3000.0, 3000.0), 60), 1, "1.5 % off");
        assert_eq!(found((770.0 * 1.05, 1336.0), (3000.0, 3000.0), 60), 0, "5 % off");
        assert_eq!(found(pair, (1800.0, 3600.0), 60), 1, "6 dB of twist");
        assert_eq!(found(pair, (1000.0, 4000.0), 60), 0, "12 dB of twist");
        assert_eq!(found(pair, (600.0, 600.0), 60), 1, "quiet");
        assert_eq!(found(pair, (100.0, 100.0), 60), 0, "too quiet");
        assert_eq!(found(pair, (12_000.0, 12_000.0), 20), 0, "too short");
        assert_eq!(found((770.0, 1540.0), (3000.0, 3000.0), 60), 0, "a voice and its harmonic");
        assert_eq!(found((770.0, 770.0), (3000.0, 3000.0), 60), 0, "one tone");
    }

    #[test]
    fn a_key_that_is_held_down_is_reported_every_second() {
        let audio = digit(8000, (941.0, 1477.0), (3000.0, 3000.0), 50, 3500);
        let found = digits_in(8000, &audio);
        assert_eq!(found.iter().filter(|span| span.is_new).count(), 1);
        assert_eq!(found.len(), 4);
        assert_eq!(found[1].position, found[0].position + found[0].frames);
    }

    /// Measures; see docs/benchmarks.md. The folder has WAV files of speech at 8 kHz, such as
    /// espeak-ng and sox make them.
    #[test]
    #[ignore = "needs a folder of speech, named by HUSHBOX_SPEECH"]
    fn speech_is_no_digit() {
        let folder = std::env::var("HUSHBOX_SPEECH").expect("HUSHBOX_SPEECH");
        let (mut frames, mut digits) = (0, 0);
        for entry in std::fs::read_dir(folder).unwrap() {
            let mut file = hound::WavReader::open(entry.unwrap().path()).unwrap();
            assert_eq!((file.spec().sample_rate, file.spec().channels), (8000, 1));
            let samples: Vec<i16> = file.samples().map(Result::unwrap).collect();
            frames += samples.len();
            digits += digits_in(8000, &samples).iter().filter(|span| span.is_new).count();
        }
        let seconds = frames / 8000;
        println!("{digits} false alarms in {seconds} s of speech");
        assert!(digits * 1800 <= seconds, "more than two an hour");
    }
}
