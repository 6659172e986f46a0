//! Removes a range from a media file: writes the file again without the chunks that it touches.
//!
//! The box needs no key for this. A kept chunk stays byte by byte as it was, because its seal
//! covers its head. A removed chunk keeps its place, sequence number and frames: what was stored is
//! masked, and no payload is left. Trailer, ledger and digest are written anew. The caller passes
//! the old file in pieces, and appends what comes out to the new one.
//!
//! A codec that lags puts the last frames of a chunk into the next one, so the range also touches
//! chunks that begin up to `delay` frames after its end. Any byte that is not as expected ends the
//! removal: a damaged or foreign file is never written again.

use super::format::{self, ChunkHead, TakenHeader, Trailer};
use super::read::loss_reason_of;
use super::spans::SpanAccumulator;
use super::{MAX_CHUNK_BYTES, MediaError, MediaHeader, MediaMismatch};
use crate::audio::span::{Fate, Run};
use crate::store::bytes::len_to_u64;
use crate::store::damage::Damage;
use crate::store::fact::{RecordingEnd, RecordingEnded};
use crate::time::Position;

/// The reason why nothing was removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedactError {
    #[error("nothing is stored in this range")]
    NothingStored,
    #[error("the file is not as the journal says: {0}; `hushbox verify` says more")]
    Mismatch(#[from] MediaMismatch),
    #[error("the file cannot be read: {0}")]
    Media(#[from] MediaError),
}

/// A file without the range, and what is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedactedFile {
    /// The new file; id, end and last position are those of the old one.
    pub file: RecordingEnded,
    /// The whole removed chunks.
    pub removed: (Position, Position),
    /// Frames that were stored and are masked now.
    pub removed_frames: u64,
    /// Offset and length of the removed chunks in the old file.
    pub old_bytes: (u64, u64),
}

/// A media file that is being written again.
#[derive(Debug)]
pub struct MediaRedactor {
    /// What the journal says about the old file.
    before: RecordingEnded,
    range: (Position, Position),
    header: Option<MediaHeader>,
    spans: SpanAccumulator,
    sequence: u32,
    trailer: Option<Trailer>,
    old: ByteCount,
    new: ByteCount,
    removed: Option<(Position, Position)>,
    removed_frames: u64,
    old_bytes: Option<(u64, u64)>,
}

/// Digest and number of the bytes of one file so far.
#[derive(Debug, Default)]
struct ByteCount {
    hasher: blake3::Hasher,
    bytes: u64,
}

impl ByteCount {
    fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += len_to_u64(bytes.len());
    }
}

impl MediaRedactor {
    /// Begins to remove `range` (the end is exclusive) from the file that `before` describes.
    #[must_use]
    pub fn new(before: RecordingEnded, range: (Position, Position)) -> MediaRedactor {
        MediaRedactor {
            before,
            range,
            header: None,
            spans: SpanAccumulator::new(Position(0), 0),
            sequence: 0,
            trailer: None,
            old: ByteCount::default(),
            new: ByteCount::default(),
            removed: None,
            removed_frames: 0,
            old_bytes: None,
        }
    }

    /// The bytes of the old file that were used so far: the offset of the next piece.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.old.bytes
    }

    /// Whether the whole old file was used.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.old.bytes >= self.before.size
    }

    /// Uses the whole elements at the start of `bytes`, which begin at `offset`, and appends the
    /// new file's bytes to `out`. If no element is whole, a longer piece is needed.
    ///
    /// # Errors
    /// If the bytes are not those of an undamaged file of this recording.
    pub fn push_bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), RedactError> {
        let left = usize::try_from(self.before.size - self.old.bytes).unwrap_or(usize::MAX);
        let mut rest = &bytes[..bytes.len().min(left)];
        while !rest.is_empty() {
            let Some(used) = self.push_element(rest, out)? else {
                // The longest element would be whole.
                let torn = rest.len() >= MAX_CHUNK_BYTES || rest.len() == left;
                return if torn { Err(self.damaged(Damage::Checksum)) } else { Ok(()) };
            };
            self.old.add(&rest[..used]);
            rest = &rest[used..];
        }
        Ok(())
    }

    /// Returns the length of the element at the start of `bytes`; `None` if it is not whole.
    fn push_element(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, RedactError> {
        if self.header.is_none() {
            return self.push_header(bytes, out);
        }
        if self.trailer.is_some() {
            return Err(self.damaged(Damage::AfterTrailer));
        }
        if let Some(head) = format::take_chunk(bytes) {
            self.push_chunk(&head, &bytes[..head.chunk_bytes()], out)?;
            return Ok(Some(head.chunk_bytes()));
        }
        let Some(trailer) = format::take_trailer(bytes) else { return Ok(None) };
        let length = format::trailer_bytes(trailer.version);
        self.push_trailer(trailer, out)?;
        Ok(Some(length))
    }

    fn push_header(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, RedactError> {
        let Some(taken) = format::take_header(bytes) else { return Ok(None) };
        let TakenHeader { header, length, .. } = taken?;
        let (found, expected) = (header.id, self.before.id);
        if found != expected {
            return Err(MediaMismatch::OtherRecording { found, expected }.into());
        }
        self.spans = SpanAccumulator::new(header.from, header.delay);
        let start = out.len();
        format::put_header(&header, format::VERSION_REDACTED, out);
        self.new.add(&out[start..]);
        self.header = Some(header);
        Ok(Some(length))
    }

    fn push_chunk(
        &mut self,
        head: &ChunkHead,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), RedactError> {
        let (expected, found) = (u64::from(self.sequence), u64::from(head.sequence));
        if expected != found {
            return Err(self.damaged(Damage::Sequence { expected, found }));
        }
        let (expected, found) = (self.spans.to().0, head.from.0);
        if expected != found {
            return Err(self.damaged(Damage::Position { expected, found }));
        }
        self.sequence += 1;
        let start = out.len();
        if self.touches(head) && head.payload_bytes > 0 {
            let length = len_to_u64(bytes.len());
            let first = self.old_bytes.map_or(self.old.bytes, |(first, _)| first);
            self.old_bytes = Some((first, self.old.bytes + length - first));
            self.put_removed(head, out);
        } else {
            head.runs.iter().for_each(|run| self.spans.add_run(*run));
            out.extend_from_slice(bytes);
        }
        self.new.add(&out[start..]);
        Ok(())
    }

    /// Whether a chunk may hold audio of the range.
    fn touches(&self, head: &ChunkHead) -> bool {
        let delay = u64::from(self.header.as_ref().map_or(0, |header| header.delay));
        let (from, to) = self.range;
        let end = head.from.plus(head.frame_count());
        head.from.saturating_sub(delay) < to && end > from
    }

    /// Appends a chunk without payload, in which the stored frames are masked.
    fn put_removed(&mut self, head: &ChunkHead, out: &mut Vec<u8>) {
        let mut empty = ChunkHead { payload_bytes: 0, ..head.clone() };
        for run in &mut empty.runs {
            if run.fate.is_stored() {
                self.removed_frames += u64::from(run.frames);
                run.fate = Fate::Masked;
            }
            self.spans.add_run(Run { ..*run });
        }
        // A chunk without stored frames holds at most what the codec still had of the one before.
        let (from, to) = (head.from, head.from.plus(head.frame_count()));
        if head.has_stored() || head.frame_count() == 0 {
            self.removed = Some((self.removed.map_or(from, |(first, _)| first), to));
        }
        let start = out.len();
        format::put_chunk_clear(&empty, out);
        format::put_chunk_sums(start, &[], out);
    }

    fn push_trailer(&mut self, old: Trailer, out: &mut Vec<u8>) -> Result<(), RedactError> {
        let (expected, found) = (u64::from(self.sequence), u64::from(old.chunks));
        if expected != found {
            return Err(self.damaged(Damage::Sequence { expected, found }));
        }
        if old.digest != format::finalize_digest(&self.old.hasher) {
            return Err(self.damaged(Damage::Digest));
        }
        if old.is_interrupted {
            self.spans.mark_tail_lost(loss_reason_of(old.end));
        }
        let ledger = self.spans.ledger();
        let digest = format::finalize_digest(&self.new.hasher);
        let new = Trailer { version: format::VERSION, ledger, digest, ..old };
        let start = out.len();
        format::put_trailer(&new, out);
        self.new.add(&out[start..]);
        self.trailer = Some(old);
        Ok(())
    }

    fn damaged(&self, why: Damage) -> RedactError {
        MediaMismatch::Damaged { at: self.old.bytes, why }.into()
    }

    /// Ends the new file.
    ///
    /// # Errors
    /// If the old file was not the one that the journal describes, or nothing was stored in the
    /// range.
    pub fn finish(mut self) -> Result<RedactedFile, RedactError> {
        if self.old.bytes != self.before.size {
            return Err(MediaMismatch::CutShort { at: self.old.bytes }.into());
        }
        if format::finalize_digest(&self.old.hasher) != self.before.digest {
            return Err(MediaMismatch::Changed.into());
        }
        let (Some(removed), Some(old_bytes)) = (self.removed, self.old_bytes) else {
            return Err(RedactError::NothingStored);
        };
        // The file of a failed disk has no trailer; its end is in the journal only.
        if self.trailer.is_none() && self.before.end == RecordingEnd::Storage {
            self.spans.mark_tail_lost(loss_reason_of(self.before.end));
        }
        let file = RecordingEnded {
            ledger: self.spans.ledger(),
            blackout_spans: self.spans.spans().to_vec(),
            digest: format::finalize_digest(&self.new.hasher),
            size: self.new.bytes,
            ..self.before
        };
        let removed_frames = self.removed_frames;
        Ok(RedactedFile { file, removed, removed_frames, old_bytes })
    }

    /// The error for an old file that ends here.
    #[must_use]
    pub fn cut_short(&self) -> RedactError {
        MediaMismatch::CutShort { at: self.old.bytes }.into()
    }
}
