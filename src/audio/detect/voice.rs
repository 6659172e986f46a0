//! Voice detection: speech seizes a line, silence releases it.
//!
//! A 20 ms block is loud if it is far enough above the line's noise floor. Loud blocks count up
//! and quiet ones count down slowly, until `attack_ms` of speech seize the line. A smaller margin
//! then keeps it seized, and `release_ms` without a loud stretch release it. The seizure starts
//! before the first loud block, because words begin softly; the ring still holds that audio.
//!
//! Masked frames are neither loud nor silent.

use super::Seizure;
use super::level::{BLOCK_MS, LevelTracker};
use crate::config;
use crate::time::{Position, frames_of_ms};

/// Lead of a seizure before the first loud block, in milliseconds, to include a soft first word.
const LEAD_MS: u64 = 500;

/// A quiet block cancels a quarter of a loud one, so words with gaps between them add up.
const QUIET_DECAY: u64 = 4;

/// Consecutive loud blocks that count as speech. Fewer are a click and do not keep a line seized.
const LOUD_RUN_BLOCKS: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VoiceState {
    Free,
    /// Loud, but not long enough to seize the line.
    Attack {
        onset: Position,
        loud: u64,
    },
    Seized {
        quiet: u64,
        stretch: u32,
    },
}

/// Voice detector of one channel.
#[derive(Debug)]
pub struct VoiceDetector {
    levels: Box<[LevelTracker]>,
    block_frames: u64,
    in_block: u64,
    head: Position,
    margin_db: f64,
    attack: u64,
    release: u64,
    lead: u64,
    holdback: u64,
    line: VoiceState,
    /// Number of seizures, and the start and end of the newest.
    number: u64,
    from: Position,
    to: Option<Position>,
}

impl VoiceDetector {
    /// Creates a detector for `sides` interleaved samples per frame at `rate` frames per second.
    #[must_use]
    pub fn new(
        voice: config::VoiceSettings,
        rate: u32,
        sides: u8,
        holdback_ms: u32,
    ) -> VoiceDetector {
        let frames = |ms: u32| frames_of_ms(u64::from(ms), rate);
        VoiceDetector {
            levels: vec![LevelTracker::new(rate); usize::from(sides)].into_boxed_slice(),
            block_frames: frames_of_ms(u64::from(BLOCK_MS), rate),
            in_block: 0,
            head: Position(0),
            margin_db: f64::from(voice.margin_db),
            attack: frames(voice.attack_ms),
            release: frames(voice.release_ms),
            lead: frames_of_ms(LEAD_MS, rate),
            holdback: frames(holdback_ms),
            line: VoiceState::Free,
            number: 0,
            from: Position(0),
            to: None,
        }
    }

    pub fn push_samples(&mut self, samples: &[i16]) {
        for frame in samples.chunks_exact(self.levels.len()) {
            for (level, sample) in self.levels.iter_mut().zip(frame) {
                level.push_sample(*sample);
            }
            self.head = self.head.plus(1);
            self.in_block += 1;
            if self.in_block == self.block_frames {
                self.in_block = 0;
                self.levels.iter_mut().for_each(LevelTracker::close_block);
                let above =
                    self.levels.iter().map(LevelTracker::above_noise_db).fold(0.0, f64::max);
                self.classify_block(above);
            }
        }
    }

    /// Advances by masked frames. Their content is unknown, so a seized line stays seized.
    pub fn skip_masked(&mut self, frames: u64) {
        self.reset_block();
        self.head = self.head.plus(frames);
        self.line = match self.line {
            VoiceState::Free | VoiceState::Attack { .. } => VoiceState::Free,
            VoiceState::Seized { .. } => VoiceState::Seized { quiet: 0, stretch: 0 },
        };
    }

    /// Advances by lost frames. Enough of them release the line, like silence.
    pub fn skip_lost(&mut self, frames: u64) {
        self.reset_block();
        self.head = self.head.plus(frames);
        match self.line {
            VoiceState::Free | VoiceState::Attack { .. } => self.line = VoiceState::Free,
            VoiceState::Seized { quiet, .. } => self.update_quiet(quiet + frames),
        }
    }

    fn reset_block(&mut self) {
        self.in_block = 0;
        self.levels.iter_mut().for_each(LevelTracker::clear_recent);
    }

    pub fn mark_seized(&mut self) {
        self.seize_line(self.head);
    }

    fn seize_line(&mut self, onset: Position) {
        let earliest = self.head.saturating_sub(self.holdback);
        self.number += 1;
        self.from = onset.saturating_sub(self.lead).max(earliest).min(self.head);
        self.to = None;
        self.line = VoiceState::Seized { quiet: 0, stretch: 0 };
    }

    /// Processes a finished block that is `above_db` over the noise floor.
    fn classify_block(&mut self, above_db: f64) {
        let block = self.block_frames;
        match (self.line, above_db >= self.margin_db) {
            (VoiceState::Free, false) => {}
            (VoiceState::Free, true) => self.update_attack(self.head.saturating_sub(block), block),
            (VoiceState::Attack { onset, loud }, true) => self.update_attack(onset, loud + block),
            (VoiceState::Attack { loud, .. }, false) if loud <= block / QUIET_DECAY => {
                self.line = VoiceState::Free
            }
            (VoiceState::Attack { onset, loud }, false) => {
                self.line = VoiceState::Attack { onset, loud: loud - block / QUIET_DECAY };
            }
            (VoiceState::Seized { quiet, stretch }, loud) => {
                if !loud && above_db < self.margin_db * 2.0 / 3.0 {
                    self.update_quiet(quiet + block);
                } else if stretch + 1 >= LOUD_RUN_BLOCKS {
                    self.line = VoiceState::Seized { quiet: 0, stretch };
                } else {
                    self.line = VoiceState::Seized { quiet, stretch: stretch + 1 };
                }
            }
        }
    }

    fn update_attack(&mut self, onset: Position, loud: u64) {
        if loud >= self.attack {
            self.seize_line(onset);
        } else {
            self.line = VoiceState::Attack { onset, loud };
        }
    }

    fn update_quiet(&mut self, quiet: u64) {
        if quiet >= self.release {
            self.to = Some(self.head);
            self.line = VoiceState::Free;
        } else {
            self.line = VoiceState::Seized { quiet, stretch: 0 };
        }
    }

    /// Returns the newest seizure; `head` is the position of the next frame.
    #[must_use]
    pub fn latest_seizure(&self, head: Position) -> Option<Seizure<'_>> {
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
