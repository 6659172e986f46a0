//! One agent's screen capture: its session, waiting segments, masks and files.
//!
//! Video waits here for the holdback and a margin, as audio waits in a ring, so that a blackout
//! with lead finds it in memory. All times are milliseconds since the daemon started, by the
//! recorder's clock. A call's recording and a screen-only recording may use the same video.

use crate::id::{RecordingId, SessionId};
use crate::limits;
use crate::recorder::screen::writer::{ScreenMask, ScreenWriter, WaitingSegment};
use crate::time::Position;
use std::collections::VecDeque;

/// The screen capture of one agent.
#[derive(Default)]
pub struct ScreenCapture {
    /// The session that captures.
    pub session: Option<SessionId>,
    held: VecDeque<WaitingSegment>,
    pub held_bytes: usize,
    /// End of the newest segment.
    heard: Position,
    pub hidden: ScreenMask,
    pub writers: Vec<ScreenWriter>,
    /// The last screen-only recording, running or not.
    pub alone: Option<RecordingId>,
}

/// Why a segment is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentError {
    /// The segment is this many milliseconds ahead of the recorder's clock.
    Ahead(u64),
    /// The segment was already received, is too old, or precedes the recording.
    Late,
    /// Too many bytes are waiting.
    Full,
}

/// What a segment must fit into.
pub struct SegmentWindow {
    pub now: Position,
    /// Segments that begin earlier are too late.
    pub oldest: Position,
    /// Bytes that all captures may still keep.
    pub room: usize,
}

impl ScreenCapture {
    /// Accepts a segment. Masked video is wiped at once.
    pub fn accept_segment(
        &mut self,
        window: &SegmentWindow,
        from: Position,
        to: Position,
        video: &[u8],
    ) -> Result<(), SegmentError> {
        let SegmentWindow { now, oldest, room } = *window;
        let soonest = now.plus(limits::SCREEN_AHEAD_MS);
        if to > soonest {
            return Err(SegmentError::Ahead(to.frames_since(soonest)));
        }
        // Received time stays settled: a segment that reaches back might show masked video.
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

    /// Starts the mask at `from`, and wipes waiting video under it.
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

    /// Start and end of the oldest waiting segment.
    #[must_use]
    pub fn oldest_span(&self) -> Option<(Position, Position)> {
        self.held.front().map(|piece| (piece.from, piece.to))
    }

    /// Removes the oldest waiting segment.
    pub fn take_oldest(&mut self) -> Option<WaitingSegment> {
        let piece = self.held.pop_front()?;
        self.held_bytes -= piece.video.len();
        Some(piece)
    }

    /// Whether everything up to `at` was received.
    #[must_use]
    pub fn has_received_until(&self, at: Position) -> bool {
        self.heard >= at
    }

    /// Drops old masks; without a file, also the waiting segments.
    pub fn prune(&mut self, oldest: Position) {
        if self.writers.is_empty() {
            (self.held, self.held_bytes) = (VecDeque::new(), 0);
        }
        let oldest = self.writers.iter().map(ScreenWriter::cursor).min().unwrap_or(oldest);
        // A segment may start slightly earlier.
        let oldest = oldest.saturating_sub(limits::SCREEN_AHEAD_MS);
        self.hidden.mask.prune_before(oldest);
        self.hidden.dropped.prune_before(oldest);
    }

    #[must_use]
    pub fn writer(&self, id: RecordingId) -> Option<&ScreenWriter> {
        self.writers.iter().find(|writer| writer.id == id)
    }

    /// The newest recording that uses the screen now.
    #[must_use]
    pub fn wanted_by(&self) -> Option<&ScreenWriter> {
        self.writers.iter().rev().find(|writer| writer.is_active())
    }

    /// The running screen-only recording.
    #[must_use]
    pub fn running_alone(&self) -> Option<&ScreenWriter> {
        self.writers.iter().find(|writer| writer.alone && writer.end.is_none())
    }

    /// Asserts the invariants that hold after every turn.
    pub fn check_invariants(&self) {
        let bytes: usize = self.held.iter().map(|piece| piece.video.len()).sum();
        assert!(bytes == self.held_bytes && bytes <= limits::SCREEN_QUEUE_BYTES_MAX);
        for piece in &self.held {
            let masked = self.hidden.mask.ranges_within(piece.from, piece.to).next().is_some();
            assert!(!masked || piece.video.is_empty(), "what is masked is wiped");
        }
    }
}
