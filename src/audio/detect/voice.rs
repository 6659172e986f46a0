//! Voice detection: speech on a line seizes it, silence releases it.
//!
//! A block of 20 ms is loud when it lies far enough above the line's own noise. Loud blocks count
//! up and quiet ones slowly down, until `attack_ms` seize the line; then a smaller margin keeps it,
//! and `release_ms` without a loud stretch release it. The seizure begins before the first loud
//! block, because words begin softly: what is already in the ring makes that possible.
//!
//! Masked frames are neither loud nor silent. Nothing here knows calls.

use super::Seizure;
use super::level::{BLOCK_MS, Level};
use crate::config;
use crate::time::{Position, frames_of_ms};

/// How far before the first loud block a seizure begins, in milliseconds: a soft word that the
/// noise hides.
const LEAD_MS: u64 = 500;

/// A quiet block takes back a quarter of a loud one: words with gaps between them add up.
const FORGIVE: u64 = 4;

/// Loud blocks in a row that are a stretch of speech: less is a click, and does not keep a line.
const STRETCH_BLOCKS: u32 = 3;

/// What is known of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Free,
    /// Something is loud, maybe not for long.
    Attacked {
        onset: Position,
        loud: u64,
    },
    Seized {
        quiet: u64,
        stretch: u32,
    },
}

/// The detector of one channel.
#[derive(Debug)]
pub struct VoiceDetector {
    levels: Box<[Level]>,
    block_frames: u64,
    in_block: u64,
    head: Position,
    margin_db: f64,
    attack: u64,
    release: u64,
    lead: u64,
    holdback: u64,
    line: Line,
    /// Seizures so far, where the newest begins, and where it was over.
    number: u64,
    from: Position,
    to: Option<Position>,
}

impl VoiceDetector {
    /// For `sides` interleaved samples per frame at `rate` frames per second.
    #[must_use]
    pub fn new(voice: config::Voice, rate: u32, sides: u8, holdback_ms: u32) -> VoiceDetector {
        let frames = |ms: u32| frames_of_ms(u64::from(ms), rate);
        VoiceDetector {
            levels: vec![Level::new(rate); usize::from(sides)].into_boxed_slice(),
            block_frames: frames_of_ms(BLOCK_MS, rate),
            in_block: 0,
            head: Position(0),
            margin_db: f64::from(voice.margin_db),
            attack: frames(voice.attack_ms),
            release: frames(voice.release_ms),
            lead: frames_of_ms(LEAD_MS, rate),
            holdback: frames(holdback_ms),
            line: Line::Free,
            number: 0,
            from: Position(0),
            to: None,
        }
    }

    pub fn hear(&mut self, samples: &[i16]) {
        for frame in samples.chunks_exact(self.levels.len()) {
            for (level, sample) in self.levels.iter_mut().zip(frame) {
                level.hear(*sample);
            }
            self.head = self.head.plus(1);
            self.in_block += 1;
            if self.in_block == self.block_frames {
                self.in_block = 0;
                self.levels.iter_mut().for_each(Level::close_block);
                let above = self.levels.iter().map(Level::above_db).fold(0.0, f64::max);
                self.block(above);
            }
        }
    }

    /// Goes on by masked frames: nothing is known of them, so a line that was seized stays so.
    pub fn hide(&mut self, frames: u64) {
        self.forget();
        self.head = self.head.plus(frames);
        self.line = match self.line {
            Line::Free | Line::Attacked { .. } => Line::Free,
            Line::Seized { .. } => Line::Seized { quiet: 0, stretch: 0 },
        };
    }

    /// Goes on by lost frames: for long enough they release the line like silence.
    pub fn lose(&mut self, frames: u64) {
        self.forget();
        self.head = self.head.plus(frames);
        match self.line {
            Line::Free | Line::Attacked { .. } => self.line = Line::Free,
            Line::Seized { quiet, .. } => self.stay_quiet(quiet + frames),
        }
    }

    fn forget(&mut self) {
        self.in_block = 0;
        self.levels.iter_mut().for_each(Level::forget);
    }

    pub fn resume(&mut self) {
        self.seize(self.head);
    }

    fn seize(&mut self, onset: Position) {
        let earliest = self.head.back(self.holdback);
        self.number += 1;
        self.from = onset.back(self.lead).max(earliest).min(self.head);
        self.to = None;
        self.line = Line::Seized { quiet: 0, stretch: 0 };
    }

    /// A block has ended that lies `above_db` over the noise.
    fn block(&mut self, above_db: f64) {
        let block = self.block_frames;
        match (self.line, above_db >= self.margin_db) {
            (Line::Free, false) => {}
            (Line::Free, true) => self.attacked(self.head.back(block), block),
            (Line::Attacked { onset, loud }, true) => self.attacked(onset, loud + block),
            (Line::Attacked { loud, .. }, false) if loud <= block / FORGIVE => {
                self.line = Line::Free
            }
            (Line::Attacked { onset, loud }, false) => {
                self.line = Line::Attacked { onset, loud: loud - block / FORGIVE };
            }
            (Line::Seized { quiet, stretch }, loud) => {
                if !loud && above_db < self.margin_db * 2.0 / 3.0 {
                    self.stay_quiet(quiet + block);
                } else if stretch + 1 >= STRETCH_BLOCKS {
                    self.line = Line::Seized { quiet: 0, stretch };
                } else {
                    self.line = Line::Seized { quiet, stretch: stretch + 1 };
                }
            }
        }
    }

    fn attacked(&mut self, onset: Position, loud: u64) {
        if loud >= self.attack {
            self.seize(onset);
        } else {
            self.line = Line::Attacked { onset, loud };
        }
    }

    fn stay_quiet(&mut self, quiet: u64) {
        if quiet >= self.release {
            self.to = Some(self.head);
            self.line = Line::Free;
        } else {
            self.line = Line::Seized { quiet, stretch: 0 };
        }
    }

    /// The newest seizure, `head` being the position of the next frame.
    #[must_use]
    pub fn seizure(&self, head: Position) -> Option<Seizure<'_>> {
        assert_eq!(head, self.head, "every frame was heard, hidden or lost");
        let (from, to) = (self.from, self.to);
        (self.number > 0).then_some(Seizure {
            number: self.number,
            from,
            to,
            direction: None,
            ani: None,
            dnis: None,
        })
    }
}
