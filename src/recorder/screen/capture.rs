//! One agent's screen: who captures it, what waits, what is hidden of it, and where it goes.
//!
//! Video waits here as audio waits in a ring, for the holdback and a margin, so that a blackout
//! that reaches back finds it in memory. All times are milliseconds since the daemon started, by
//! the box's own clock. Several tapes may take the same video: a call's and one by itself.

use crate::id::{RecordingId, SessionId};
use crate::limits;
use crate::recorder::screen::writer::{Hidden, ScreenTape, Waiting};
use crate::time::Position;
use std::collections::VecDeque;

/// An agent's screen.
#[derive(Default)]
pub struct Capture {
    /// The session that captures.
    pub session: Option<SessionId>,
    held: VecDeque<Waiting>,
    pub held_bytes: usize,
    /// Behind the newest piece.
    heard: Position,
    pub hidden: Hidden,
    pub tapes: Vec<ScreenTape>,
    /// The recording by itself that was begun last, whether it runs or not.
    pub alone: Option<RecordingId>,
}

/// Why a piece is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// So many milliseconds ahead of the box's clock.
    Ahead(u64),
    /// It was heard already, is too old to be sorted in, or from before the recording.
    Late,
    /// Too much waits.
    Full,
}

impl Capture {
    /// Takes a piece in. What a mask meets is not even kept in memory.
    pub fn hear(
        &mut self,
        (now, oldest): (Position, Position),
        (from, to): (Position, Position),
        video: &[u8],
        room: usize,
    ) -> Result<(), NotTaken> {
        let soonest = now.plus(limits::SCREEN_AHEAD_MS);
        if to > soonest {
            return Err(NotTaken::Ahead(to.since(soonest)));
        }
        // What was told is told: a piece that reaches back might show what was hidden then.
        let again = from.plus(limits::SCREEN_MARGIN_MS) < self.heard || to <= self.heard;
        if again || from < oldest {
            return Err(NotTaken::Late);
        }
        let most = limits::SCREEN_HELD_BYTES.min(room);
        if self.held_bytes + video.len() > most {
            self.hidden.dropped.insert(from.max(self.heard), to);
            self.heard = to;
            return Err(NotTaken::Full);
        }
        let blank = self.hidden.mask.within(from, to).next().is_some();
        let video = if blank { Vec::new() } else { video.to_vec() };
        self.held_bytes += video.len();
        self.held.push_back(Waiting { from, to, video, blank });
        self.heard = to;
        Ok(())
    }

    /// Hides everything from `from` on, and wipes what waits of it.
    pub fn cover(&mut self, from: Position) {
        self.hidden.mask.open(from);
        let mut bytes = 0;
        for piece in &mut self.held {
            if self.hidden.mask.within(piece.from, piece.to).next().is_some() {
                piece.wipe();
            }
            bytes += piece.video.len();
        }
        self.held_bytes = bytes;
    }

    /// Where the oldest piece that waits begins and ends.
    #[must_use]
    pub fn first(&self) -> Option<(Position, Position)> {
        self.held.front().map(|piece| (piece.from, piece.to))
    }

    /// Takes that piece out.
    pub fn next(&mut self) -> Option<Waiting> {
        let piece = self.held.pop_front()?;
        self.held_bytes -= piece.video.len();
        Some(piece)
    }

    /// Whether everything up to `at` has been heard.
    #[must_use]
    pub fn has_heard(&self, at: Position) -> bool {
        self.heard >= at
    }

    /// Forgets what nobody will ask for again; without a tape what waits is nobody's.
    pub fn prune(&mut self, oldest: Position) {
        if self.tapes.is_empty() {
            (self.held, self.held_bytes) = (VecDeque::new(), 0);
        }
        let oldest = self.tapes.iter().map(ScreenTape::cursor).min().unwrap_or(oldest);
        // A piece may begin a little before.
        let oldest = oldest.back(limits::SCREEN_AHEAD_MS);
        self.hidden.mask.prune(oldest);
        self.hidden.dropped.prune(oldest);
    }

    #[must_use]
    pub fn tape(&self, id: RecordingId) -> Option<&ScreenTape> {
        self.tapes.iter().find(|tape| tape.id == id)
    }

    /// The newest recording that wants the screen now.
    #[must_use]
    pub fn wanted(&self) -> Option<&ScreenTape> {
        self.tapes.iter().rev().find(|tape| tape.wanted())
    }

    /// The running recording by itself.
    #[must_use]
    pub fn running_alone(&self) -> Option<&ScreenTape> {
        self.tapes.iter().find(|tape| tape.alone && tape.end.is_none())
    }

    /// What must hold after every turn.
    pub fn check(&self) {
        let bytes: usize = self.held.iter().map(|piece| piece.video.len()).sum();
        assert!(bytes == self.held_bytes && bytes <= limits::SCREEN_HELD_BYTES);
        for piece in &self.held {
            let masked = self.hidden.mask.within(piece.from, piece.to).next().is_some();
            assert!(!masked || piece.video.is_empty(), "what is masked is wiped");
        }
    }
}
