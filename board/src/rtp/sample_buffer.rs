//! Jitter buffer of one leg: samples by position, and which positions have one.
//!
//! The buffer covers `capacity` frames from `start` on. Samples may be written in any order; a
//! position that has a sample is not written again. Taking frames moves `start`, and wipes what
//! was taken.

use std::ops::Range;
use zeroize::Zeroize;

/// Bits of a word of `present`.
const WORD: u64 = 64;

/// What became of samples that were inserted, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inserted {
    pub written: u64,
    /// Their positions had samples.
    pub overlapped: u64,
    /// Their positions are behind the end of the buffer.
    pub beyond: u64,
}

pub(crate) struct SampleBuffer {
    samples: Vec<i16>,
    /// One bit for each sample.
    present: Vec<u64>,
    start: u64,
}

impl SampleBuffer {
    /// Creates an empty buffer of at least `frames` frames, which begins at position 0.
    pub fn new(frames: u64) -> SampleBuffer {
        let words = crate::to_index(frames.div_ceil(WORD));
        SampleBuffer { samples: vec![0; words * 64], present: vec![0; words], start: 0 }
    }

    pub fn start(&self) -> u64 {
        self.start
    }

    pub fn end(&self) -> u64 {
        self.start + self.capacity()
    }

    fn capacity(&self) -> u64 {
        crate::to_count(self.samples.len())
    }

    /// Wipes everything; the buffer then begins at `start`.
    pub fn reset(&mut self, start: u64) {
        self.samples.as_mut_slice().zeroize();
        self.present.fill(0);
        self.start = start;
    }

    /// Inserts samples from `position` on. The part before `start` is ignored.
    pub fn insert(&mut self, position: u64, samples: &[i16]) -> Inserted {
        let skipped = crate::to_index(self.start.saturating_sub(position)).min(samples.len());
        self.insert_each(position.max(self.start), samples.len() - skipped, |at, count| {
            Some(&samples[skipped + at..skipped + at + count])
        })
    }

    /// Inserts silence into a range. The part before `start` is ignored.
    pub fn insert_silence(&mut self, range: Range<u64>) -> Inserted {
        let from = range.start.max(self.start);
        let frames = crate::to_index(range.end.saturating_sub(from));
        self.insert_each(from, frames, |_, _| None)
    }

    /// Inserts `frames` frames, run by run. `source` gives the samples of a run; `None` is
    /// silence, which the buffer has anyway where it has no samples.
    fn insert_each<'s>(
        &mut self,
        position: u64,
        frames: usize,
        source: impl Fn(usize, usize) -> Option<&'s [i16]>,
    ) -> Inserted {
        let mut done = Inserted::default();
        let wanted = position..position + crate::to_count(frames);
        let fits = wanted.start..wanted.end.min(self.end());
        done.beyond = wanted.end - fits.end.max(wanted.start);
        let mut at = fits.start;
        while at < fits.end {
            let run = self.run_at(at, fits.end);
            let count = run.end - run.start;
            if self.is_present(at) {
                done.overlapped += count;
            } else {
                let offset = crate::to_index(at - position);
                if let Some(samples) = source(offset, crate::to_index(count)) {
                    self.copy_in(at, samples);
                }
                self.mark(run.clone(), true);
                done.written += count;
            }
            at = run.end;
        }
        done
    }

    /// Takes `out.len()` frames: samples where there are some, silence elsewhere. `missing` gets
    /// each range without samples.
    pub fn take(&mut self, out: &mut [i16], missing: &mut dyn FnMut(Range<u64>)) {
        let end = self.start + crate::to_count(out.len());
        assert!(end <= self.end(), "more frames taken than the buffer has");
        let mut at = self.start;
        while at < end {
            let run = self.run_at(at, end);
            if self.is_present(at) {
                let from = crate::to_index(at - self.start);
                let upto = crate::to_index(run.end - self.start);
                self.move_out(at, &mut out[from..upto]);
            } else {
                let from = crate::to_index(at - self.start);
                out[from..crate::to_index(run.end - self.start)].fill(0);
                missing(run.clone());
            }
            at = run.end;
        }
        self.mark(self.start..end, false);
        self.start = end;
    }

    /// End of the last position with a sample, or `start`.
    pub fn filled_end(&self) -> u64 {
        let mut at = self.start;
        let mut filled = self.start;
        while at < self.end() {
            let run = self.run_at(at, self.end());
            if self.is_present(at) {
                filled = run.end;
            }
            at = run.end;
        }
        filled
    }

    fn index_of(&self, position: u64) -> usize {
        crate::to_index(position % self.capacity())
    }

    fn is_present(&self, position: u64) -> bool {
        let index = self.index_of(position);
        self.present[index / 64] >> (index % 64) & 1 == 1
    }

    /// The positions from `at` on, up to `end`, that are like `at`: all present or all missing.
    fn run_at(&self, at: u64, end: u64) -> Range<u64> {
        let is_present = self.is_present(at);
        let mut upto = at;
        while upto < end {
            let index = self.index_of(upto);
            let offset = index % 64;
            let word = self.present[index / 64];
            let differs = if is_present { !word } else { word } >> offset;
            let left = 64 - offset;
            let same = differs.trailing_zeros().min(u32::try_from(left).unwrap_or(64));
            upto += u64::from(same);
            if crate::to_index(u64::from(same)) < left {
                break;
            }
        }
        at..upto.min(end)
    }

    fn mark(&mut self, range: Range<u64>, is_present: bool) {
        let mut at = range.start;
        while at < range.end {
            let index = self.index_of(at);
            let offset = index % 64;
            let count = (WORD - crate::to_count(offset)).min(range.end - at);
            let mask = (u64::MAX >> (WORD - count)) << offset;
            let word = &mut self.present[index / 64];
            *word = if is_present { *word | mask } else { *word & !mask };
            at += count;
        }
    }

    fn copy_in(&mut self, position: u64, samples: &[i16]) {
        let index = self.index_of(position);
        let first = samples.len().min(self.samples.len() - index);
        self.samples[index..index + first].copy_from_slice(&samples[..first]);
        self.samples[..samples.len() - first].copy_from_slice(&samples[first..]);
    }

    /// Copies samples out, and wipes them here.
    fn move_out(&mut self, position: u64, out: &mut [i16]) {
        let index = self.index_of(position);
        let first = out.len().min(self.samples.len() - index);
        let (head, tail) = out.split_at_mut(first);
        head.copy_from_slice(&self.samples[index..index + first]);
        self.samples[index..index + first].zeroize();
        tail.copy_from_slice(&self.samples[..tail.len()]);
        self.samples[..tail.len()].zeroize();
    }
}

impl Drop for SampleBuffer {
    fn drop(&mut self) {
        self.samples.as_mut_slice().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(buffer: &mut SampleBuffer, frames: usize) -> (Vec<i16>, Vec<Range<u64>>) {
        let (mut out, mut lost) = (vec![77; frames], Vec::new());
        buffer.take(&mut out, &mut |range| lost.push(range));
        (out, lost)
    }

    #[test]
    fn samples_come_out_where_they_were_put_and_the_rest_is_missing() {
        let mut buffer = SampleBuffer::new(100);
        assert_eq!(buffer.end(), 128, "whole words");
        assert_eq!(buffer.insert(10, &[1, 2, 3]).written, 3);
        assert_eq!(buffer.insert_silence(20..22).written, 2);
        let (out, lost) = take(&mut buffer, 30);
        assert_eq!(&out[9..14], [0, 1, 2, 3, 0]);
        assert_eq!(lost, [0..10, 13..20, 22..30]);
        assert!(buffer.samples.iter().all(|sample| *sample == 0), "taken samples are wiped");
    }

    #[test]
    fn the_first_writer_of_a_position_wins() {
        let mut buffer = SampleBuffer::new(64);
        buffer.insert(5, &[9; 5]);
        let done = buffer.insert(0, &[1; 20]);
        assert_eq!(done, Inserted { written: 15, overlapped: 5, beyond: 0 });
        let (out, lost) = take(&mut buffer, 20);
        assert_eq!(out, [1, 1, 1, 1, 1, 9, 9, 9, 9, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(lost, []);
    }

    #[test]
    fn what_is_before_or_behind_the_buffer_is_not_written() {
        let mut buffer = SampleBuffer::new(64);
        take(&mut buffer, 30);
        assert_eq!(buffer.insert(0, &[1; 10]), Inserted::default());
        assert_eq!(buffer.insert(25, &[2; 10]).written, 5);
        let done = buffer.insert(90, &[3; 10]);
        assert_eq!(done, Inserted { written: 4, overlapped: 0, beyond: 6 });
        assert_eq!(buffer.insert(500, &[4; 3]).beyond, 3);
        assert_eq!(buffer.filled_end(), 94);
        let (out, lost) = take(&mut buffer, 64);
        assert_eq!((out[0], out[4], out[5], out[60], out[63]), (2, 2, 0, 3, 3));
        assert_eq!((lost.len(), &lost[0]), (1, &(35..90)));
    }

    #[test]
    fn random_inserts_agree_with_a_plain_array() {
        let mut state = 7_u64;
        let mut random = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            (state >> 33) % limit
        };
        let mut buffer = SampleBuffer::new(320);
        let mut plain: Vec<Option<i16>> = vec![None; 60_000];
        for round in 1..2000_i16 {
            let (at, frames) = (buffer.start() + random(400), random(90));
            let at = at.saturating_sub(40);
            buffer.insert(at, &vec![round; usize::try_from(frames).unwrap()]);
            for position in at.max(buffer.start())..(at + frames).min(buffer.end()) {
                plain[usize::try_from(position).unwrap()].get_or_insert(round);
            }
            let (start, wanted) = (usize::try_from(buffer.start()).unwrap(), random(50));
            let (out, lost) = take(&mut buffer, usize::try_from(wanted).unwrap());
            for (place, sample) in out.iter().enumerate() {
                let position = u64::try_from(start + place).unwrap();
                let is_lost = lost.iter().any(|range| range.contains(&position));
                assert_eq!(plain[start + place], (!is_lost).then_some(*sample), "at {position}");
            }
        }
    }
}
