//! Reads a media file: checks and counts it without the key, opens it with the key.
//!
//! `scan` needs no key and returns all that verification and recovery need. `chunks` returns the
//! audio and rejects forged chunks. A file without a trailer was interrupted;
//! `MediaScan::build_trailer` encodes the bytes that complete it. Memory is bounded.

use super::format::{self, Trailer};
use super::walk::{DigestPoint, MediaWalker, WalkStep};
use super::{FinishedFile, MediaError, MediaHeader};
use crate::audio::span::{Fate, Ledger, LossReason, Run};
use crate::limits;
use crate::store::bytes::len_to_u64;
use crate::store::damage::{Damage, Tail};
use crate::store::fact::{FactSpan, RecordingEnd};
use crate::store::media::spans::SpanAccumulator;
use crate::store::seal::{ChunkSealer, DataKey};
use crate::time::Position;
use std::io::Read;

/// The content of a media file, as far as it is readable without the key.
#[derive(Clone, Debug)]
pub struct MediaScan {
    pub header: MediaHeader,
    /// The sum of all runs. Frames missing because of damage count as lost to the disk.
    pub ledger: Ledger,
    /// Valid chunks.
    pub chunks: u32,
    /// Bytes up to the end of the last valid element. A torn tail starts here.
    pub good_bytes: u64,
    /// Position after the last frame.
    pub to: Position,
    /// Masked, held and lost spans in order; the first `MAX_SPANS` of them.
    pub spans: Vec<FactSpan>,
    /// Totals of a complete file: digest and size as found, ledger as in the trailer.
    pub trailer: Option<FinishedFile>,
    pub tail: Tail,
    /// BLAKE3 of the good bytes.
    pub digest: [u8; 32],
    trailer_state: TrailerState,
}

/// State for completing an interrupted file.
#[derive(Clone, Debug)]
struct TrailerState {
    spans: SpanAccumulator,
    hasher: blake3::Hasher,
    sequence: u32,
    version: u16,
}

/// The trailer of an interrupted file, after truncation to `MediaScan::good_bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailerInfo {
    /// Bytes to append.
    pub bytes: Vec<u8>,
    pub finished: FinishedFile,
    /// Masked, held and lost spans, including the loss at the end.
    pub spans: Vec<FactSpan>,
}

/// A media file whose header has been read.
pub struct MediaReader<R>(MediaWalker<R>);

impl<R: Read> MediaReader<R> {
    /// Opens a file and reads its header.
    pub fn open(source: R) -> Result<MediaReader<R>, MediaError> {
        MediaWalker::open(source).map(MediaReader)
    }

    /// Returns the file's header.
    #[must_use]
    pub fn header(&self) -> &MediaHeader {
        &self.0.header
    }

    /// Reads the whole file without the key.
    pub fn scan_media(mut self) -> Result<MediaScan, MediaError> {
        let walker = &mut self.0;
        let mut spans = SpanAccumulator::new(walker.header.from, walker.header.delay);
        let (mut chunks, mut trailer) = (0, None);
        loop {
            match walker.next_element()? {
                WalkStep::Chunk { gap, head } => {
                    spans.add_run(damaged_run(gap));
                    head.runs.iter().for_each(|run| spans.add_run(*run));
                    chunks += 1;
                    walker.skip_chunk(&head);
                }
                WalkStep::Trailer { gap, trailer: found } => {
                    spans.add_run(damaged_run(gap));
                    trailer = Some(accept_trailer(walker, &mut spans, &found)?);
                    break;
                }
                WalkStep::End => break,
            }
        }
        let DigestPoint { offset: good_bytes, hasher } = walker.good.clone();
        Ok(MediaScan {
            header: walker.header.clone(),
            ledger: spans.ledger(),
            chunks,
            good_bytes,
            to: spans.to(),
            spans: spans.spans().to_vec(),
            trailer,
            tail: walker.tail,
            digest: format::finalize_digest(&hasher),
            trailer_state: TrailerState {
                spans,
                hasher,
                sequence: walker.sequence,
                version: walker.version,
            },
        })
    }

    /// Passes every chunk's runs and opened codec bytes to `visit`, in order. Spans missing because
    /// of damage are passed as lost, without bytes.
    ///
    /// # Errors
    /// When the file cannot be read, the key is missing, or a chunk does not open.
    pub fn for_each_chunk<F>(
        mut self,
        key: Option<&DataKey>,
        mut visit: F,
    ) -> Result<Tail, MediaError>
    where
        F: FnMut(&[Run], &[u8]),
    {
        let walker = &mut self.0;
        let sealer = match key {
            _ if walker.header.wrapped.is_empty() => None,
            None => return Err(MediaError::NoKey),
            Some(key) => Some(ChunkSealer::new(key)),
        };
        let mut payload = zeroize::Zeroizing::new(Vec::with_capacity(super::MAX_PAYLOAD_BYTES));
        loop {
            let (gap, next) = match walker.next_element()? {
                WalkStep::Chunk { gap, head } => (gap, Ok(head)),
                WalkStep::Trailer { gap, trailer } => (gap, Err(trailer)),
                WalkStep::End => return Ok(walker.tail),
            };
            let grid = u32::try_from(limits::grid_frames(walker.header.rate)).unwrap_or(1);
            for frames in split_frames(gap, grid.max(1) * limits::CHUNK_GRIDS) {
                visit(&[damaged_run(frames)], &[]);
            }
            let head = match next {
                Ok(head) => head,
                Err(trailer) => {
                    walker.skip_trailer(&trailer)?;
                    return Ok(walker.tail);
                }
            };
            payload.clear();
            payload.extend_from_slice(walker.payload(&head));
            // A chunk whose audio was removed has nothing to open.
            let is_removed = payload.is_empty() && !head.has_stored();
            if let Some(sealer) = sealer.as_ref().filter(|_| !is_removed) {
                sealer.open(head.sequence, walker.associated_data(&head), &mut payload)?;
            }
            visit(&head.runs, &payload);
            walker.skip_chunk(&head);
        }
    }
}

/// Splits `whole` frames into parts of `part` and the rest, so that no single run is hours long.
fn split_frames(whole: u32, part: u32) -> impl Iterator<Item = u32> {
    let rest = whole % part;
    std::iter::repeat_n(part, (whole / part) as usize).chain((rest > 0).then_some(rest))
}

/// Returns a run of frames lost to damage.
fn damaged_run(frames: u32) -> Run {
    Run { fate: Fate::Lost(LossReason::Disk), frames }
}

/// Returns the loss reason for frames lost at an interruption.
pub(super) fn loss_reason_of(end: RecordingEnd) -> LossReason {
    match end {
        RecordingEnd::Storage => LossReason::Disk,
        RecordingEnd::Stop
        | RecordingEnd::CallEnd
        | RecordingEnd::Shutdown
        | RecordingEnd::Power
        | RecordingEnd::Stale
        | RecordingEnd::Ceiling => LossReason::Power,
    }
}

/// Advances past the trailer and compares its ledger with the chunks.
fn accept_trailer<R: Read>(
    walker: &mut MediaWalker<R>,
    fold: &mut SpanAccumulator,
    trailer: &Trailer,
) -> Result<FinishedFile, MediaError> {
    if trailer.is_interrupted {
        fold.mark_tail_lost(loss_reason_of(trailer.end));
    }
    if trailer.ledger != fold.ledger() {
        walker.report_damage(walker.good.offset, Damage::Ledger);
    }
    walker.skip_trailer(trailer)?;
    Ok(FinishedFile {
        digest: format::finalize_digest(&walker.good.hasher),
        size: walker.good.offset,
        ledger: trailer.ledger,
        end: trailer.end,
        to: trailer.to,
    })
}

impl MediaScan {
    /// Builds the trailer of an interrupted file; `None` if the file has one. `end` is `Power`, or
    /// `Storage` if the disk failed. Stored frames among the last `delay` become lost, because the
    /// encoder had not returned their bytes.
    #[must_use]
    pub fn build_trailer(&self, end: RecordingEnd) -> Option<TrailerInfo> {
        if self.trailer.is_some() {
            return None;
        }
        let TrailerState { mut spans, mut hasher, sequence, version } = self.trailer_state.clone();
        spans.mark_tail_lost(loss_reason_of(end));
        let trailer = Trailer {
            version,
            chunks: sequence,
            end,
            is_interrupted: true,
            to: spans.to(),
            ledger: spans.ledger(),
            digest: self.digest,
        };
        let mut bytes = Vec::new();
        format::put_trailer(&trailer, &mut bytes);
        hasher.update(&bytes);
        let finished = FinishedFile {
            digest: format::finalize_digest(&hasher),
            size: self.good_bytes + len_to_u64(bytes.len()),
            ledger: trailer.ledger,
            end,
            to: trailer.to,
        };
        Some(TrailerInfo { bytes, finished, spans: spans.spans().to_vec() })
    }
}

/// Reads a whole media file without the key.
pub fn scan<R: Read>(source: R) -> Result<MediaScan, MediaError> {
    MediaReader::open(source)?.scan_media()
}

/// Opens a whole media file: see `MediaReader::for_each_chunk`.
pub fn chunks<R, F>(source: R, key: Option<&DataKey>, visit: F) -> Result<Tail, MediaError>
where
    R: Read,
    F: FnMut(&[Run], &[u8]),
{
    MediaReader::open(source)?.for_each_chunk(key, visit)
}
