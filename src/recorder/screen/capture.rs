//! One agent's screen: who captures it, what waits, what is hidden of it, and where it goes.
//!
//! Video waits here as audio waits in a ring, for the holdback and a margin, so that a blackout
//! that reaches back finds it in memory. All times are milliseconds since the daemon started, by
//! the box's own clock. Several tapes may take the same video: a call's and one by itself.

use crate::id::{RecordingId, SessionId};
use crate::limits;
use crate::recorder::screen::writer::{ScreenMask, ScreenWriter, WaitingSegment};
use crate::time::Position;
use std::collections::VecDeque;

/// An agent's screen.
#[derive(Default)]
pub struct ScreenCapture {
    /// The session that captures.
    pub session: Option<SessionId>,
    held: VecDeque<WaitingSegment>,
    pub held_bytes: usize,
    /// Behind the newest piece.
    heard: Position,
    pub hidden: ScreenMask,
    pub tapes: Vec<ScreenWriter>,
    /// The recording by itself that was begun last, whether it runs or not.
    pub alone: Option<RecordingId>,
}

/// Why a piece is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentError {
    /// So many milliseconds ahead of the box's clock.
    Ahead(u64),
    /// It was heard already, is too old to be sorted in, or from before the recording.
    Late,
    /// Too much waits.
    Full,
}

impl ScreenCapture {
    /// Takes a piece in. What a mask meets is not even kept in memory.
    pub fn accept_segment(
        &mut self,
        (now, oldest): (Position, Position),
        (from, to): (Position, Position),
        video: &[u8],
        room: usize,
    ) -> Result<(), SegmentError> {
        let soonest = now.plus(limits::SCREEN_AHEAD_MS);
        if to > soonest {
            return Err(SegmentError::Ahead(to.frames_since(soonest)));
        }
        // What was told is told: a piece that reaches back might show what was hidden then.
        let again = from.plus(limits::SCREEN_MARGIN_MS) < self.heard || to <= self.heard;
        if again || from < oldest {
            return Err(SegmentError::Late);
        }
        let most = limits::SCREEN_QUEUE_BYTES_MAX.min(room);
        if self.held_bytes + video.len() > most {
            self.hidden.dropped.insert(from.max(self.heard), to);
            self.heard = to;
            return Err(SegmentError::Full);
        }
        let blank = self.hidden.mask.ranges_within(from, to).next().is_some();
        let video = if blank { Vec::new() } else { video.to_vec() };
        self.held_bytes += video.len();
        self.held.push_back(WaitingSegment { from, to, video, blank });
        self.heard = to;
        Ok(())
    }

    /// Hides everything from `from` on, and wipes what waits of it.
    pub fn start_mask(&mut self, from: Position) {
        self.hidden.mask.open_at(from);
        let mut bytes = 0;
        for piece in &mut self.held {
            if self.hidden.mask.ranges_within(piece.from, piece.to).next().is_some() {
                piece.wipe();
            }
            bytes += piece.video.len();
        }
        self.held_bytes = bytes;
    }

    /// Where the oldest piece that waits begins and ends.
    #[must_use]
    pub fn oldest_span(&self) -> Option<(Position, Position)> {
        self.held.front().map(|piece| (piece.from, piece.to))
    }

    /// Takes that piece out.
    pub fn take_oldest(&mut self) -> Option<WaitingSegment> {
        let piece = self.held.pop_front()?;
        self.held_bytes -= piece.video.len();
        Some(piece)
    }

    /// Whether everything up to `at` has been heard.
    #[must_use]
    pub fn has_received_until(&self, at: Position) -> bool {
        self.heard >= at
    }

    /// Forgets what nobody will ask for again; without a tape what waits is nobody's.
    pub fn prune(&mut self, oldest: Position) {
        if self.tapes.is_empty() {
            (self.held, self.held_bytes) = (VecDeque::new(), 0);
        }
        let oldest = self.tapes.iter().map(ScreenWriter::cursor).min().unwrap_or(oldest);
        // A piece may begin a little before.
        let oldest = oldest.saturating_sub(limits::SCREEN_AHEAD_MS);
        self.hidden.mask.prune_before(oldest);
        self.hidden.dropped.prune_before(oldest);
    }

    #[must_use]
    pub fn writer(&self, id: RecordingId) -> Option<&ScreenWriter> {
        self.tapes.iter().find(|tape| tape.id == id)
    }

    /// The newest recording that wants the screen now.
    #[must_use]
    pub fn wanted_by(&self) -> Option<&ScreenWriter> {
        self.tapes.iter().rev().find(|tape| tape.is_active())
    }

    /// The running recording by itself.
    #[must_use]
    pub fn running_alone(&self) -> Option<&ScreenWriter> {
        self.tapes.iter().find(|tape| tape.alone && tape.end.is_none())
    }

    /// What must hold after every turn.
    pub fn check_invariants(&self) {
        let bytes: usize = self.held.iter().map(|piece| piece.video.len()).sum();
        assert!(bytes == self.held_bytes && bytes <= limits::SCREEN_QUEUE_BYTES_MAX);
        for piece in &self.held {
            let masked = self.hidden.mask.ranges_within(piece.from, piece.to).next().is_some();
            assert!(!masked || piece.video.is_empty(), "what is masked is wiped");
        }
    }
}
