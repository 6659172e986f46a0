//! One recording: its cursor on the ring, its encoder, its chunk in the making, its account.
//!
//! It takes cleared audio in and gives chunks of bytes out. When it may take audio, what is hidden
//! and where its bytes go is decided by the recorder. The chunk and run buffers are made when it
//! begins; nothing is allocated while it runs, but for a rare new span.

use crate::blackout::Mask;
use crate::channel::ChannelIndex;
use crate::codec::Encoder;
use crate::directory::AgentIndex;
use crate::id::RecordingId;
use crate::job::FileId;
use crate::limits;
use crate::ring::Cleared;
use crate::span::{Fate, Run};
use crate::store::fact::{CallNumber, FactSpan, Reasons, RecordingEnd};
use crate::store::media::MediaWriter;
use crate::store::seal::DataKey;
use crate::time::{Position, Wall};

/// Everything of a running recording that touches audio.
pub struct Tape {
    pub encoder: Encoder,
    pub writer: MediaWriter,
    payload: Vec<u8>,
    runs: heapless::Vec<Run, { limits::CHUNK_RUNS_MAX }>,
    grids: u32,
    finished: bool,
}

/// One recording, from its beginning until its wrap-up is over.
pub struct Recording {
    pub id: RecordingId,
    pub call: CallNumber,
    pub channel: ChannelIndex,
    pub from: Position,
    /// Next frame to be taken from the ring.
    pub cursor: Position,
    /// Where and why it ends, once that is known.
    pub end: Option<(Position, RecordingEnd)>,
    /// What still waits leaves at once, not after the holdback.
    pub flush: bool,
    pub reasons: Reasons,
    /// Every reason it ever had.
    pub reasons_ever: Reasons,
    /// The agent who began it, or joined it, and where that press was.
    pub pressed: Option<(AgentIndex, Position)>,
    pub schedule: Option<String>,
    pub retain_until: Wall,
    pub key: Option<DataKey>,
    pub file: FileId,
    /// Stretches in which its call was held.
    pub held: Mask,
    pub spans: Vec<FactSpan>,
    /// `None` once the file is closed.
    pub tape: Option<Tape>,
    /// Its fact of the end is noted.
    pub closed: bool,
}

impl Recording {
    /// Whether it still takes audio from a call, that is, no end is set.
    #[must_use]
    pub fn running(&self) -> bool {
        self.end.is_none()
    }

    /// Adds a run to the account of spans that are not stored audio.
    pub fn account(&mut self, at: Position, run: Run) {
        if run.fate == Fate::Stored || run.frames == 0 {
            return;
        }
        let to = at.plus(u64::from(run.frames));
        match self.spans.last_mut() {
            Some(last) if last.fate == run.fate && last.to == at => last.to = to,
            _ => self.spans.push(FactSpan { fate: run.fate, from: at, to }),
        }
    }
}

impl Tape {
    /// `chunk_bytes`: the longest payload of one chunk.
    #[must_use]
    pub fn new(encoder: Encoder, writer: MediaWriter, chunk_bytes: usize) -> Tape {
        Tape {
            encoder,
            writer,
            payload: Vec::with_capacity(chunk_bytes),
            runs: heapless::Vec::new(),
            grids: 0,
            finished: false,
        }
    }

    /// Takes one grid frame of audio in.
    pub fn take(&mut self, audio: &Cleared<'_>) {
        assert!(!self.finished && !self.full());
        for run in audio.runs() {
            let placed = crate::channel::Channel::join(&mut self.runs, *run);
            assert!(placed, "there was room for the runs of a grid frame");
        }
        self.encoder.frame(audio, &mut self.payload);
        self.grids += 1;
    }

    /// Nothing more comes: what the codec still owes goes into the last chunk.
    pub fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.encoder.finish(&mut self.payload);
        }
    }

    /// Half a second, or as many fates as a chunk holds.
    #[must_use]
    pub fn full(&self) -> bool {
        let runs_left = self.runs.capacity() - self.runs.len();
        self.grids >= limits::CHUNK_GRIDS || runs_left < crate::ring::RUNS_MAX
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.payload.is_empty()
    }

    /// Seals what was taken in since the last chunk and appends it to `out`.
    pub fn cut(&mut self, out: &mut Vec<u8>) {
        self.writer.chunk(&self.runs, &mut self.payload, out);
        self.runs.clear();
        zeroize::Zeroize::zeroize(&mut self.payload);
        self.payload.clear();
        self.grids = 0;
    }
}
