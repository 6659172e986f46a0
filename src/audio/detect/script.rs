//! Scripted activity: a channel's current step follows from its position alone.
//!
//! The script starts at position 0 at startup and repeats without end. It has no state, so the
//! same position always gives the same answer. `config::script` parses scripts.

use super::Seizure;
use crate::config::ScriptStep;
use crate::time::{Position, frames_of_ms};

/// A script and the end of each step.
#[derive(Clone, Debug)]
pub struct ScriptPlayer {
    steps: Vec<ScriptStep>,
    /// End of each step, in frames from the start of a round.
    ends: Vec<u64>,
}

impl ScriptPlayer {
    /// Plays `steps` at `rate` frames per second; without steps there are no calls.
    #[must_use]
    pub fn new(steps: &[ScriptStep], rate: u32) -> ScriptPlayer {
        let mut ends = Vec::with_capacity(steps.len());
        let mut end = 0;
        for step in steps {
            let (ScriptStep::Idle { ms } | ScriptStep::Call { ms, .. }) = step;
            end += frames_of_ms(u64::from(*ms), rate).max(1);
            ends.push(end);
        }
        ScriptPlayer { steps: steps.to_vec(), ends }
    }

    /// Returns the newest call step that has begun; `head` is the position of the next frame.
    #[must_use]
    pub fn latest_seizure(&self, head: Position) -> Option<Seizure<'_>> {
        let round_frames = *self.ends.last()?;
        let (round, phase) = (head.0 / round_frames, head.0 % round_frames);
        let now = self.ends.iter().position(|end| phase < *end)?;
        let is_call = |index: &usize| matches!(self.steps[*index], ScriptStep::Call { .. });
        let here = (0..=now).rev().find(is_call);
        let (round, index) = match here {
            Some(index) => (round, index),
            None => (round.checked_sub(1)?, (now + 1..self.steps.len()).rev().find(is_call)?),
        };
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        let (from, to) = (round * round_frames + start, round * round_frames + self.ends[index]);
        assert!(from <= head.0, "a step that has begun");
        let ScriptStep::Call { direction, ani, dnis, .. } = &self.steps[index] else {
            return None;
        };
        Some(Seizure {
            number: round * self.steps.len() as u64 + index as u64 + 1,
            from: Position(from),
            to: Some(Position(to)).filter(|to| *to <= head),
            direction: Some(*direction),
            ani: ani.as_deref(),
            dnis: dnis.as_deref(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Direction;
    use crate::config::script::parse_script;

    /// Returns number, start, end and ANI of the newest call at `ms`, in milliseconds.
    fn call_at(script: &str, ms: u64) -> Option<(u64, u64, Option<u64>, Option<String>)> {
        let player = ScriptPlayer::new(&parse_script(script).unwrap(), 1000);
        let seizure = player.latest_seizure(Position(ms))?;
        assert_eq!(seizure.direction, Some(Direction::In));
        let to = seizure.to.map(|to| to.0);
        Some((seizure.number, seizure.from.0, to, seizure.ani.map(str::to_owned)))
    }

    #[test]
    fn a_script_goes_round_by_position() {
        let script = "idle 5s, call in 20s ani=7, idle 5s";
        let seven = || Some("7".to_owned());
        assert_eq!(call_at(script, 4_999), None);
        assert_eq!(call_at(script, 5_000), Some((2, 5_000, None, seven())));
        assert_eq!(call_at(script, 24_999), Some((2, 5_000, None, seven())));
        assert_eq!(call_at(script, 25_000), Some((2, 5_000, Some(25_000), seven())));
        assert_eq!(call_at(script, 34_999), Some((2, 5_000, Some(25_000), seven())));
        assert_eq!(call_at(script, 35_000), Some((5, 35_000, None, seven())));
    }

    #[test]
    fn calls_back_to_back_are_told_apart() {
        let script = "call in 1s, call in 2s ani=2";
        assert_eq!(call_at(script, 0), Some((1, 0, None, None)));
        assert_eq!(call_at(script, 1_000), Some((2, 1_000, None, Some("2".to_owned()))));
        assert_eq!(call_at(script, 3_000), Some((3, 3_000, None, None)));
        assert_eq!(call_at("call in 1s", 1_500), Some((2, 1_000, None, None)));
    }

    #[test]
    fn a_script_without_calls_never_seizes() {
        assert_eq!(call_at("idle 1s, idle 1s", 12_345), None);
        assert!(ScriptPlayer::new(&[], 8000).latest_seizure(Position(5)).is_none());
    }
}
