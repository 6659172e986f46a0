//! Interpolation from 8 kHz to 16 kHz, by a half-band filter.
//!
//! Every other output sample is an input sample, unchanged; the ones between are interpolated
//! from the twelve samples around them. The output is six input samples late.

/// Coefficients of the half-band filter, from the middle outwards, times 32768: a windowed sinc
/// (Kaiser, β = 5). Their sum is one half, because each counts for both sides.
const TAPS: [i32; 6] = [20_567, -6_044, 2_790, -1_305, 535, -159];

/// Input samples that the filter needs.
const HISTORY: usize = TAPS.len() * 2;

#[derive(Clone)]
pub(crate) struct Upsampler {
    /// The last input samples, oldest first.
    history: [i16; HISTORY],
}

impl Upsampler {
    pub fn new() -> Upsampler {
        Upsampler { history: [0; HISTORY] }
    }

    /// Replaces the first `frames` samples of `samples` by twice as many. Returns their number.
    pub fn double_in_place(&mut self, samples: &mut [i16], frames: usize) -> usize {
        assert!(frames * 2 <= samples.len(), "no room for twice {frames} samples");
        // From the back: the inputs move to the upper half, and are read before they are reached.
        samples.copy_within(..frames, frames);
        for n in 0..frames {
            self.history.copy_within(1.., 0);
            self.history[HISTORY - 1] = samples[frames + n];
            samples[2 * n] = self.history[TAPS.len() - 1];
            samples[2 * n + 1] = self.interpolate();
        }
        frames * 2
    }

    /// The value half-way between the two samples in the middle of the history.
    fn interpolate(&self) -> i16 {
        let (before, after) = self.history.split_at(TAPS.len());
        let pairs = before.iter().rev().zip(after);
        let sum: i32 = TAPS
            .iter()
            .zip(pairs)
            .map(|(tap, (before, after))| tap * (i32::from(*before) + i32::from(*after)))
            .sum();
        let value = (sum + (1 << 14)) >> 15;
        i16::try_from(value).unwrap_or(if value < 0 { i16::MIN } else { i16::MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_sample_is_an_input_and_a_constant_stays_constant() {
        let mut upsampler = Upsampler::new();
        let mut samples = [0_i16; 80];
        samples[..40].fill(12_345);
        assert_eq!(upsampler.double_in_place(&mut samples, 40), 80);
        assert!(samples[24..].iter().all(|sample| *sample == 12_345), "{samples:?}");
        let mut ramp: Vec<i16> = (0..40).map(|n| n * 100).chain([0; 40]).collect();
        let mut upsampler = Upsampler::new();
        upsampler.double_in_place(&mut ramp, 40);
        for n in 18..40 {
            let input = i16::try_from((n - 6) * 100).unwrap();
            assert_eq!(ramp[2 * n], input);
            assert_eq!(ramp[2 * n + 1], input + 50);
        }
    }
}
