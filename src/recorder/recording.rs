//! One recording: a reel and the file that its chunks go to.
//!
//! Chunks wait in `backlog` when they came before the file (recall) or while the disk is slow to
//! give buffers back; usually one goes straight from the reel into a buffer. When a recording may
//! take audio, and when it ends, is decided by the recorder.

use crate::channel::ChannelIndex;
use crate::directory::AgentIndex;
use crate::id::RecordingId;
use crate::job::{FileId, Ticket};
use crate::reel::Reel;
use crate::span::{Ledger, Run};
use crate::store::fact::{CallNumber, Reasons, RecordingEnd, RecordingEnded};
use crate::store::media::MediaWriter;
use crate::store::seal::DataKey;
use crate::time::{Position, Wall};
use std::collections::VecDeque;
use zeroize::Zeroize;

/// Half a second that waits in memory: its fates, and the codec's bytes for it.
pub struct Chunk {
    pub from: Position,
    pub runs: Box<[Run]>,
    pub payload: Vec<u8>,
}

impl Chunk {
    /// Frames it stands for.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.frames)).sum()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.payload.zeroize();
    }
}

/// What of a recording is still at work.
pub struct Tape {
    pub reel: Reel,
    pub writer: MediaWriter,
    pub backlog: VecDeque<Chunk>,
}

/// One recording, from its beginning until its wrap-up is over.
pub struct Recording {
    pub id: RecordingId,
    pub call: CallNumber,
    pub channel: ChannelIndex,
    pub from: Position,
    /// Where and why it ends, once that is known.
    pub end: Option<(Position, RecordingEnd)>,
    pub reasons: Reasons,
    /// Every reason it ever had.
    pub reasons_ever: Reasons,
    /// The agent who began it, or joined it, and where that press was.
    pub pressed: Option<(AgentIndex, Position)>,
    pub schedule: Option<String>,
    pub retain_until: Wall,
    pub key: Option<DataKey>,
    pub file: FileId,
    /// The disk has taken the beginning of its file, with the key.
    pub headed: bool,
    /// What its file surely holds: all up to the last append that the disk has answered.
    pub kept: Ledger,
    /// The same after each append that is on its way.
    pub on_the_way: VecDeque<Ledger>,
    /// `None` once the file is closed.
    pub tape: Option<Tape>,
    /// Its file is complete; the fact of the end waits for the sync of the trailer.
    pub ending: Option<(Ticket, RecordingEnded)>,
    /// Its fact of the end is noted.
    pub closed: bool,
}

impl Recording {
    /// Whether it still takes audio from a call, that is, no end is set.
    #[must_use]
    pub fn running(&self) -> bool {
        self.end.is_none()
    }

    /// Sets its end, if it has none yet, but not before what it has taken; `flush`: what still
    /// waits leaves at once.
    pub fn set_end(&mut self, at: Position, why: RecordingEnd, flush: bool) {
        let taken = self.tape.as_ref().map_or(self.from, |tape| tape.reel.cursor);
        let (at, _) = *self.end.get_or_insert((at.max(taken), why));
        if let Some(tape) = &mut self.tape {
            tape.reel.end = Some(at);
            tape.reel.flush |= flush;
            tape.reel.held.close(at);
        }
    }
}
