//! The ring: where every channel's audio waits before any of it may leave.
//!
//! PCM by position, fixed at start-up. Writing goes on at the head and zeroes what a mask covers;
//! audio leaves only as `Cleared`, which this module alone can make, and only for whole stretches
//! whose every frame has a fate; it asserts that what is not `Stored` is zero.

use crate::span::{Fate, Run};

/// Audio that may leave RAM: interleaved samples (`sides` per frame) and the fate of every frame.
/// Frames whose fate is not `Stored` are zero. Constructed by the ring only.
#[derive(Debug)]
pub struct Cleared<'a> {
    samples: &'a [i16],
    sides: usize,
    runs: &'a [Run],
}

impl<'a> Cleared<'a> {
    fn new(samples: &'a [i16], sides: usize, runs: &'a [Run]) -> Cleared<'a> {
        let cleared = Cleared { samples, sides, runs };
        let frames: u64 = runs.iter().map(|run| u64::from(run.frames)).sum();
        assert_eq!(frames * sides as u64, samples.len() as u64, "every frame has one fate");
        for (run, piece) in cleared.pieces() {
            assert!(run.fate == Fate::Stored || piece.iter().all(|sample| *sample == 0));
        }
        cleared
    }

    #[must_use]
    pub fn samples(&self) -> &'a [i16] {
        self.samples
    }

    #[must_use]
    pub fn frames(&self) -> usize {
        self.samples.len() / self.sides
    }

    #[must_use]
    pub fn runs(&self) -> &'a [Run] {
        self.runs
    }

    /// Whether any frame of it is to be stored.
    #[must_use]
    pub fn any_stored(&self) -> bool {
        self.runs.iter().any(|run| run.fate == Fate::Stored && run.frames > 0)
    }

    /// Each run with its samples, in order.
    pub fn pieces(&self) -> impl Iterator<Item = (Run, &'a [i16])> + use<'a> {
        let (mut rest, sides) = (self.samples, self.sides);
        self.runs.iter().map(move |run| {
            let (piece, after) = rest.split_at(run.frames as usize * sides);
            rest = after;
            (*run, piece)
        })
    }

    /// For codec tests and benches: audio that never was in a ring, wiped where it is not stored.
    #[doc(hidden)]
    pub fn for_tests(samples: &'a mut [i16], sides: usize, runs: &'a [Run]) -> Cleared<'a> {
        let mut at = 0;
        for run in runs {
            let end = at + run.frames as usize * sides;
            if run.fate != Fate::Stored {
                samples[at..end].fill(0);
            }
            at = end;
        }
        Cleared::new(samples, sides, runs)
    }
}
