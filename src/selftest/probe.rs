//! Channel probe: measures level, peak, noise floor and test tone for a few seconds.
//!
//! It keeps sums, never samples. A blackout discards everything and ends the measurement (G6),
//! because a blackout also covers earlier audio.

use crate::audio::meter::ratio_to_db;
use crate::selftest::CLEAR_TONE_HZ;

/// Blocks of 100 ms, over which noise floor and tone are measured.
const BLOCKS_A_SECOND: u32 = 10;
/// Maximum number of blocks kept, of each kind.
const BLOCKS_MAX: usize = 48;
/// Consecutive samples at full scale that count as clipping.
const CLIP_SAMPLES: u8 = 3;

#[derive(Clone, Debug)]
pub struct ChannelProbe {
    sides: usize,
    block_frames: u64,
    /// Coefficient of the Goertzel filter for the test tone.
    goertzel_coefficient: f64,
    frames: u64,
    sum: f64,
    peak: u16,
    at_rail: u8,
    is_clipping: bool,
    first: Option<i16>,
    has_signal: bool,
    block: ProbeBlock,
    floor: Option<f64>,
    with_tone: heapless::Vec<f64, BLOCKS_MAX>,
    without_tone: heapless::Vec<f64, BLOCKS_MAX>,
    is_tone_on: bool,
    is_masked: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct ProbeBlock {
    frames: u64,
    sum: f64,
    s1: f64,
    s2: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbeResult {
    pub frames: u64,
    pub level_db: i32,
    pub peak_db: i32,
    /// Level of the quietest 100 ms.
    pub noise_db: i32,
    pub is_clipping: bool,
    /// At least two samples differ.
    pub has_signal: bool,
    /// Amplitude at the test tone's frequency, relative to full scale, while another channel
    /// plays the tone and while none does.
    pub with_tone: f64,
    pub without_tone: f64,
}

impl ChannelProbe {
    /// Creates a probe for `sides` samples per frame at `rate` frames per second.
    #[must_use]
    pub fn new(rate: u32, sides: u8) -> ChannelProbe {
        let block_frames = u64::from((rate / BLOCKS_A_SECOND).max(1));
        let turn = std::f64::consts::TAU * f64::from(CLEAR_TONE_HZ) / f64::from(rate.max(1));
        ChannelProbe {
            sides: usize::from(sides.max(1)),
            block_frames,
            goertzel_coefficient: 2.0 * turn.cos(),
            frames: 0,
            sum: 0.0,
            peak: 0,
            at_rail: 0,
            is_clipping: false,
            first: None,
            has_signal: false,
            block: ProbeBlock::default(),
            floor: None,
            with_tone: heapless::Vec::new(),
            without_tone: heapless::Vec::new(),
            is_tone_on: false,
            is_masked: false,
        }
    }

    /// Sets whether another channel plays the tone.
    pub fn set_tone(&mut self, on: bool) {
        self.is_tone_on = on;
        self.block = ProbeBlock::default();
    }

    /// Ends the measurement because of a blackout, and discards earlier audio.
    pub fn set_masked(&mut self) {
        let sides = u8::try_from(self.sides).unwrap_or(1);
        let rate = u32::try_from(self.block_frames).unwrap_or(0) * BLOCKS_A_SECOND;
        *self = ChannelProbe { is_masked: true, ..ChannelProbe::new(rate, sides) };
    }

    /// Measures unmasked audio.
    pub fn push_samples(&mut self, samples: &[i16]) {
        if self.is_masked {
            return;
        }
        for frame in samples.chunks_exact(self.sides) {
            self.frames += 1;
            self.block.frames += 1;
            for sample in frame {
                self.add_sample(*sample);
            }
            let heard = frame.first().map_or(0.0, |sample| f64::from(*sample));
            let s0 = heard + self.goertzel_coefficient * self.block.s1 - self.block.s2;
            (self.block.s1, self.block.s2) = (s0, self.block.s1);
            if self.block.frames == self.block_frames {
                self.close_block();
            }
        }
    }

    fn add_sample(&mut self, sample: i16) {
        let square = f64::from(sample) * f64::from(sample);
        self.sum += square;
        self.block.sum += square;
        self.peak = self.peak.max(sample.unsigned_abs());
        self.at_rail = match sample.unsigned_abs() >= i16::MAX.unsigned_abs() {
            true => self.at_rail.saturating_add(1),
            false => 0,
        };
        self.is_clipping |= self.at_rail >= CLIP_SAMPLES;
        self.has_signal |= *self.first.get_or_insert(sample) != sample;
    }

    fn close_block(&mut self) {
        let ProbeBlock { frames, sum, s1, s2 } = std::mem::take(&mut self.block);
        let count = count_as_f64(frames);
        let sides = count_as_f64(self.sides as u64);
        let mean = sum / (count * sides);
        self.floor = Some(self.floor.map_or(mean, |floor| floor.min(mean)));
        let power = (s1 * s1 + s2 * s2 - self.goertzel_coefficient * s1 * s2).max(0.0);
        let amplitude = 2.0 * power.sqrt() / count / FULL_SCALE;
        let kind = if self.is_tone_on { &mut self.with_tone } else { &mut self.without_tone };
        // Further blocks would not change the median.
        let _ = kind.push(amplitude);
    }

    /// Returns the result; `None` after a blackout.
    #[must_use]
    pub fn result(&self) -> Option<ProbeResult> {
        if self.is_masked {
            return None;
        }
        let samples = count_as_f64(self.frames * self.sides as u64).max(1.0);
        Some(ProbeResult {
            frames: self.frames,
            level_db: ratio_to_db((self.sum / samples).sqrt() / FULL_SCALE),
            peak_db: ratio_to_db(f64::from(self.peak) / FULL_SCALE),
            noise_db: ratio_to_db(self.floor.unwrap_or(0.0).sqrt() / FULL_SCALE),
            is_clipping: self.is_clipping,
            has_signal: self.has_signal,
            with_tone: median(&self.with_tone),
            without_tone: median(&self.without_tone),
        })
    }
}

const FULL_SCALE: f64 = 32768.0;

fn count_as_f64(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

impl ProbeResult {
    /// Returns the crosstalk of a tone with the given amplitude, in dB; `None` if it is not above
    /// the noise.
    #[must_use]
    pub fn crosstalk_db(&self, tone: f64) -> Option<i32> {
        let (on, off) = (self.with_tone, self.without_tone);
        let over = (on * on - off * off).max(0.0).sqrt();
        (on > 2.0 * off && over > 0.0 && tone > 0.0).then(|| ratio_to_db(over / tone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine_wave(hz: u32, peak: f64, frames: u32) -> Vec<i16> {
        let at = |n: u32| {
            let turn = std::f64::consts::TAU * f64::from(n) * f64::from(hz) / 8000.0;
            #[expect(clippy::cast_possible_truncation, reason = "at most `peak`")]
            let sample = (peak * turn.sin()).round() as i16;
            sample
        };
        (0..frames).map(at).collect()
    }

    #[test]
    fn h2_a_probe_tells_level_floor_clipping_and_a_dead_line() {
        let mut probe = ChannelProbe::new(8000, 1);
        probe.push_samples(&sine_wave(440, 16384.0, 8000));
        probe.push_samples(&sine_wave(440, 33.0, 800));
        let heard = probe.result().unwrap();
        assert_eq!((heard.peak_db, heard.has_signal, heard.is_clipping), (-6, true, false));
        assert!((-63..=-62).contains(&heard.noise_db), "{heard:?}");
        let mut dead = ChannelProbe::new(8000, 2);
        dead.push_samples(&[5; 3200]);
        assert!(!dead.result().unwrap().has_signal);
        let mut loud = ChannelProbe::new(8000, 1);
        loud.push_samples(&[32767, 32767, 32767, 0]);
        assert!(loud.result().unwrap().is_clipping);
    }

    #[test]
    fn g6_a_blackout_makes_a_probe_forget_and_deaf() {
        let mut probe = ChannelProbe::new(8000, 1);
        probe.push_samples(&[9000; 800]);
        probe.set_masked();
        probe.push_samples(&[9000; 800]);
        assert_eq!(probe.result(), None);
        assert_eq!((probe.sum, probe.peak, probe.frames), (0.0, 0, 0));
    }

    #[test]
    fn h2_crosstalk_is_what_the_tone_adds() {
        let mut probe = ChannelProbe::new(8000, 1);
        probe.push_samples(&sine_wave(440, 3000.0, 8000));
        probe.set_tone(true);
        let both: Vec<i16> = sine_wave(440, 3000.0, 8000)
            .iter()
            .zip(sine_wave(1000, 82.0, 8000))
            .map(|(a, b)| a + b)
            .collect();
        probe.push_samples(&both);
        let heard = probe.result().unwrap();
        let db = heard.crosstalk_db(0.25).unwrap();
        assert!((-41..=-39).contains(&db), "{db}: 82 of 8192");
        let mut clean = ChannelProbe::new(8000, 1);
        clean.push_samples(&sine_wave(440, 3000.0, 8000));
        clean.set_tone(true);
        clean.push_samples(&sine_wave(440, 3000.0, 8000));
        assert_eq!(clean.result().unwrap().crosstalk_db(0.25), None);
    }
}
