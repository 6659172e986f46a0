//! Activity: when a line is seized and released, on boards that no PBX feed tells about.
//!
//! Each channel has a `ActivityDetector`. It is given the channel's audio, period by period, and says which
//! seizure of the line is the newest: from which position on, and whether it is over. Nothing is
//! queued: a seizure has a number, and who follows sees that there is a new one.
//!
//! What a mask covers is never given to it, only how many frames that were: while a line is masked
//! nothing is known of it, and so it is neither seized nor released (G6). Nothing here begins a
//! call (see `recorder::activity`), allocates while audio comes, or knows what time it is.

mod level;
mod script;
#[cfg(test)]
mod tests;
mod voice;

pub use script::ScriptPlayer;
pub use voice::VoiceDetector;

use crate::config::{self, ActivitySource, Direction};
use crate::time::Position;

/// The newest seizure of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seizure<'a> {
    /// Counts up from 1; every seizure has another.
    pub number: u64,
    /// Where it begins: with voice, before the first loud sample.
    pub from: Position,
    /// Where the line was found released, if it was.
    pub to: Option<Position>,
    /// What a script says of the call.
    pub direction: Option<Direction>,
    pub ani: Option<&'a str>,
    pub dnis: Option<&'a str>,
}

/// What finds out about one channel's line.
#[derive(Debug)]
pub enum ActivityDetector {
    /// Nothing: the PBX's feed says.
    Cti,
    Voice(Box<VoiceDetector>),
    Script(ScriptPlayer),
}

impl ActivityDetector {
    /// The detector that `board` wants for `channel`. A seizure reaches back `holdback_ms` at most.
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

    /// What it begins calls by, as the first part of their ids.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            ActivityDetector::Cti => "cti",
            ActivityDetector::Voice(_) => "voice",
            ActivityDetector::Script(_) => "script",
        }
    }

    /// Takes captured audio in, interleaved, that no mask covers.
    pub fn push_samples(&mut self, samples: &[i16]) {
        if let ActivityDetector::Voice(voice) = self {
            voice.push_samples(samples);
        }
    }

    /// Goes on by frames that a mask covers.
    pub fn skip_masked(&mut self, frames: u64) {
        if let ActivityDetector::Voice(voice) = self {
            voice.skip_masked(frames);
        }
    }

    /// Goes on by frames that were never had.
    pub fn skip_lost(&mut self, frames: u64) {
        if let ActivityDetector::Voice(voice) = self {
            voice.skip_lost(frames);
        }
    }

    /// The line is in use, whoever says so: silence will release it.
    pub fn mark_seized(&mut self) {
        if let ActivityDetector::Voice(voice) = self {
            voice.mark_seized();
        }
    }

    /// The newest seizure, `head` being the position of the next frame.
    #[must_use]
    pub fn latest_seizure(&self, head: Position) -> Option<Seizure<'_>> {
        match self {
            ActivityDetector::Cti => None,
            ActivityDetector::Voice(voice) => voice.latest_seizure(head),
            ActivityDetector::Script(script) => script.latest_seizure(head),
        }
    }
}
