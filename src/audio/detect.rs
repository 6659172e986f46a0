//! Line activity detection: when a line is seized and released, on boards without a call feed.
//!
//! Each channel has an `ActivityDetector`. It receives the channel's audio period by period and
//! reports the newest seizure of the line: where it starts and whether it has ended. Seizures are
//! numbered rather than queued, so the caller notices a new one by its number.
//!
//! The detector never receives masked audio, only its length in frames. A masked line is
//! therefore neither seized nor released (G6). The detector does not allocate while audio
//! arrives. `recorder::calls::activity` begins the calls.

mod level;
mod script;
#[cfg(test)]
mod tests;
mod voice;

pub use level::NoiseFloor;
pub use script::ScriptPlayer;
pub use voice::VoiceDetector;

use crate::config::{self, ActivitySource, Direction};
use crate::time::Position;

/// The newest seizure of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seizure<'a> {
    /// Sequence number from 1.
    pub number: u64,
    /// Start of the seizure; with voice detection, before the first loud sample.
    pub from: Position,
    /// Position at which the line was released, if it was.
    pub to: Option<Position>,
    /// Direction of the call, if a script states it.
    pub direction: Option<Direction>,
    pub ani: Option<&'a str>,
    pub dnis: Option<&'a str>,
}

/// Activity detector of one channel.
#[derive(Debug)]
pub enum ActivityDetector {
    /// None: the call feed reports the calls.
    Cti,
    Voice(Box<VoiceDetector>),
    Script(ScriptPlayer),
}

impl ActivityDetector {
    /// Creates the detector that `board` configures for `channel`. A seizure starts at most
    /// `holdback_ms` in the past.
    #[must_use]
    pub fn new(
        board: &config::BoardSettings,
        channel: &config::ChannelSettings,
        holdback_ms: u32,
    ) -> ActivityDetector {
        let rate = board.rate;
        match board.activity {
            ActivitySource::Cti => ActivityDetector::Cti,
            ActivitySource::Voice => {
                let voice = VoiceDetector::new(board.voice, rate, channel.sides, holdback_ms);
                ActivityDetector::Voice(Box::new(voice))
            }
            ActivitySource::Script => {
                ActivityDetector::Script(ScriptPlayer::new(&channel.script, rate))
            }
        }
    }

    /// Name of the detector, the prefix of its call ids.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            ActivityDetector::Cti => "cti",
            ActivityDetector::Voice(_) => "voice",
            ActivityDetector::Script(_) => "script",
        }
    }

    /// Processes captured audio that no mask covers, interleaved.
    pub fn push_samples(&mut self, samples: &[i16]) {
        if let ActivityDetector::Voice(voice) = self {
            voice.push_samples(samples);
        }
    }

    pub fn skip_masked(&mut self, frames: u64) {
        if let ActivityDetector::Voice(voice) = self {
            voice.skip_masked(frames);
        }
    }

    pub fn skip_lost(&mut self, frames: u64) {
        if let ActivityDetector::Voice(voice) = self {
            voice.skip_lost(frames);
        }
    }

    /// Marks the line as in use, so that silence will release it.
    pub fn mark_seized(&mut self) {
        if let ActivityDetector::Voice(voice) = self {
            voice.mark_seized();
        }
    }

    /// Returns the newest seizure; `head` is the position of the next frame.
    #[must_use]
    pub fn latest_seizure(&self, head: Position) -> Option<Seizure<'_>> {
        match self {
            ActivityDetector::Cti => None,
            ActivityDetector::Voice(voice) => voice.latest_seizure(head),
            ActivityDetector::Script(script) => script.latest_seizure(head),
        }
    }
}
