//! One screen file: which milliseconds are stored, masked, idle or lost.
//!
//! Writing only moves forward. A segment is stored whole or dropped whole, because video is never
//! decoded. Missing time before a segment gets its fate. A short gap is stored time, because the
//! previous picture is still shown. `screen` decides when to write.

use crate::audio::channel::ChannelIndex;
use crate::audio::mask::Mask;
use crate::audio::span::{Fate, LossReason, Run};
use crate::id::RecordingId;
use crate::job::{FileId, Ticket};
use crate::limits;
use crate::recorder::recording::Watermark;
use crate::store::fact::{FactSpan, RecordingEnd, RecordingEnded};
use crate::store::media::{self, FinishedFile, MAX_SPANS, MediaWriter, SpanAccumulator};
use crate::time::Position;
use std::collections::VecDeque;
use zeroize::Zeroize;

/// A video segment that waits in memory; wiped on drop.
pub struct WaitingSegment {
    pub from: Position,
    pub to: Position,
    pub video: Vec<u8>,
    /// Whether the segment was masked and its video wiped.
    pub blank: bool,
}

impl WaitingSegment {
    /// Wipes the video.
    pub fn wipe(&mut self) {
        self.video.zeroize();
        self.video = Vec::new();
        self.blank = true;
    }
}

impl Drop for WaitingSegment {
    fn drop(&mut self) {
        self.video.zeroize();
    }
}

/// Masked time, and time dropped for lack of memory.
#[derive(Default)]
pub struct ScreenMask {
    pub mask: Mask,
    pub dropped: Mask,
}

/// The writer of one screen file.
pub struct ScreenWriter {
    pub id: RecordingId,
    /// Whether this is a screen-only recording, without a call.
    pub alone: bool,
    /// The channel of the recorded audio.
    pub channel: Option<ChannelIndex>,
    pub file: FileId,
    /// Path and header, until the disk thread is asked to create the file.
    pub opening: Option<(String, Vec<u8>)>,
    pub media_writer: MediaWriter,
    start: Position,
    /// Times when the screen is not wanted.
    pub idle: Mask,
    pub end: Option<(Position, RecordingEnd)>,
    spans: Vec<FactSpan>,
    pub unsynced: VecDeque<(Ticket, Watermark)>,
    pub durable: Watermark,
    pub finished: Option<FinishedFile>,
}

impl ScreenWriter {
    #[must_use]
    pub fn new(
        id: RecordingId,
        channel: Option<ChannelIndex>,
        media_writer: MediaWriter,
        opening: (String, Vec<u8>),
    ) -> ScreenWriter {
        let from = media_writer.to();
        ScreenWriter {
            id,
            alone: false,
            channel,
            file: FileId(0),
            opening: Some(opening),
            start: from,
            idle: Mask::default(),
            end: None,
            spans: Vec::new(),
            unsynced: VecDeque::new(),
            durable: Watermark { to: from, ..Watermark::default() },
            finished: None,
            media_writer,
        }
    }

    /// Start position.
    #[must_use]
    pub fn start(&self) -> Position {
        self.start
    }

    /// Position up to which every millisecond has its fate.
    #[must_use]
    pub fn cursor(&self) -> Position {
        self.media_writer.to()
    }

    /// The watermark after everything written so far.
    #[must_use]
    pub fn written_end(&self) -> Watermark {
        let writer = &self.media_writer;
        Watermark { to: writer.to(), size: writer.size(), digest: writer.digest() }
    }

    /// Whether the file takes video now.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.end.is_none() && !self.idle.is_open()
    }

    /// Sets the end, unless one is set; never before video already taken.
    pub fn set_end(&mut self, at: Position, why: RecordingEnd) {
        let at = at.max(self.cursor());
        let (at, _) = *self.end.get_or_insert((at, why));
        self.idle.close_at(at);
    }

    fn end_limit(&self, to: Position) -> Position {
        self.end.map_or(to, |(end, _)| end.min(to))
    }

    /// Fates of `from..to`, which has no video.
    fn fates_without_video(&self, from: Position, to: Position, hidden: &ScreenMask) -> Vec<Run> {
        let (mut at, mut runs) = (from, Vec::new());
        while at < to {
            let (masked, next) = hidden.mask.state_at(at);
            let (idle, idle_next) = self.idle.state_at(at);
            let (dropped, dropped_next) = hidden.dropped.state_at(at);
            let next = [next, idle_next, dropped_next].into_iter().flatten().min();
            let next = next.map_or(to, |next| next.min(to));
            let fate = match (masked, idle, dropped) {
                (true, _, _) => Fate::Masked,
                (_, true, _) => Fate::Held,
                (_, _, true) => Fate::Lost(LossReason::Ring),
                _ => Fate::Lost(LossReason::Board),
            };
            let frames = u32::try_from(next.frames_since(at)).unwrap_or(u32::MAX);
            runs.push(Run { fate, frames });
            at = at.plus(u64::from(frames));
        }
        runs
    }

    /// Gives everything up to `to` its fate, without video.
    pub fn skip_to(&mut self, to: Position, hidden: &ScreenMask, out: &mut Vec<u8>) {
        let to = self.end_limit(to);
        while self.cursor() < to {
            let part = to.min(self.cursor().plus(limits::SCREEN_GAP_CHUNK_MS_MAX));
            let runs = self.fates_without_video(self.cursor(), part, hidden);
            for runs in runs.chunks(limits::CHUNK_RUNS_MAX) {
                self.write(runs, &mut Vec::new(), out);
            }
        }
    }

    /// Appends a segment; `audio` is the position on its channel where the segment starts.
    pub fn append_segment(
        &mut self,
        piece: &WaitingSegment,
        audio: Option<Position>,
        hidden: &ScreenMask,
        out: &mut Vec<u8>,
    ) {
        let (from, to) = (piece.from.max(self.cursor()), self.end_limit(piece.to));
        if from >= to {
            return;
        }
        let seen = hidden.mask.ranges_within(piece.from, piece.to).next().is_some();
        let masked = piece.blank || seen;
        let idle: u64 =
            self.idle.ranges_within(from, to).map(|(from, to)| to.frames_since(from)).sum();
        let behind = piece.to.frames_since(to);
        let kept = !masked && idle == 0 && behind <= limits::SCREEN_GAP_MIN_MS;
        let near = from.frames_since(self.cursor()) <= limits::SCREEN_GAP_MIN_MS;
        let plain = |run: &Run| !matches!(run.fate, Fate::Masked | Fate::Held);
        if !(kept
            && near
            && self.fates_without_video(self.cursor(), from, hidden).iter().all(plain))
        {
            self.skip_to(from, hidden, out);
        }
        if masked {
            let frames = u32::try_from(to.frames_since(self.cursor())).unwrap_or(u32::MAX);
            return self.write(&[Run { fate: Fate::Masked, frames }], &mut Vec::new(), out);
        }
        if !kept {
            return self.skip_to(to, hidden, out);
        }
        let frames = u32::try_from(to.frames_since(self.cursor())).unwrap_or(u32::MAX);
        let duration_ms = u32::try_from(piece.to.frames_since(piece.from)).unwrap_or(u32::MAX);
        let mut payload = Vec::with_capacity(piece.video.len() + media::SEGMENT_HEAD_BYTES + 64);
        media::ScreenSegment { from: piece.from, duration_ms, audio, video: &piece.video }
            .append_to(&mut payload);
        self.write(&[Run { fate: Fate::Stored, frames }], &mut payload, out);
        payload.zeroize();
    }

    fn write(&mut self, runs: &[Run], payload: &mut Vec<u8>, out: &mut Vec<u8>) {
        let mut at = self.cursor();
        for run in runs {
            append_span(&mut self.spans, at, *run);
            at = at.plus(u64::from(run.frames));
        }
        self.media_writer.append_chunk(runs, payload, out);
        assert_eq!(self.cursor(), at, "chunks follow each other");
    }

    /// Writes the trailer at the end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let (to, why) = self.end.unwrap_or((self.cursor(), RecordingEnd::Stop));
        assert!(self.cursor() == to && self.finished.is_none(), "at its end, once");
        let finished = self.media_writer.finish(why, out);
        assert_eq!(
            finished.ledger.total_captured(),
            to.frames_since(self.start),
            "the ledger adds up"
        );
        self.finished = Some(finished);
    }

    /// The end fact of a complete file.
    #[must_use]
    pub fn complete_summary(&mut self, finished: FinishedFile) -> RecordingEnded {
        assert_eq!(self.durable.size, finished.size, "the trailer is durable");
        RecordingEnded {
            id: self.id,
            end: finished.end,
            to: finished.to,
            ledger: finished.ledger,
            blackout_spans: std::mem::take(&mut self.spans),
            digest: finished.digest,
            size: finished.size,
        }
    }

    /// The end fact of a failed file, as a reader of the file would derive it.
    #[must_use]
    pub fn truncated_summary(&self) -> RecordingEnded {
        let durable = self.durable;
        let mut fold = SpanAccumulator::new(self.start, 0);
        let mut at = self.start;
        let mut add = |to: Position, fate: Fate| {
            while at < to {
                let frames = u32::try_from(to.frames_since(at)).unwrap_or(u32::MAX);
                fold.add_run(Run { fate, frames });
                at = at.plus(u64::from(frames));
            }
        };
        for span in &self.spans {
            add(span.from.min(durable.to), Fate::Stored);
            add(span.to.min(durable.to), span.fate);
        }
        add(durable.to, Fate::Stored);
        assert!(fold.spans().len() <= MAX_SPANS);
        RecordingEnded {
            id: self.id,
            end: RecordingEnd::Storage,
            to: durable.to,
            ledger: fold.ledger(),
            blackout_spans: fold.spans().to_vec(),
            digest: durable.digest,
            size: durable.size,
        }
    }
}

/// Appends a run to a list of ranges that are not stored audio.
fn append_span(spans: &mut Vec<FactSpan>, at: Position, run: Run) {
    if run.fate == Fate::Stored || run.frames == 0 {
        return;
    }
    let to = at.plus(u64::from(run.frames));
    match spans.last_mut() {
        Some(last) if last.fate == run.fate && last.to == at => last.to = to,
        _ => spans.push(FactSpan { fate: run.fate, from: at, to }),
    }
}
