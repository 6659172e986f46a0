//! Reading a media file: checking and adding it up without the key, opening it with the key.
//!
//! `scan` needs no key and tells all that verifying and recovery need. `chunks` gives the audio
//! back and refuses what was forged. A file without a trailer was cut; `MediaScan::close_cut` makes the
//! bytes that complete it. Bounded memory; nothing here writes or truncates a file.

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

/// What a media file holds, as far as can be told without the key.
#[derive(Clone, Debug)]
pub struct MediaScan {
    pub header: MediaHeader,
    /// The sum of all runs. Frames missing inside (damage) count as lost to the disk.
    pub ledger: Ledger,
    /// Valid chunks.
    pub chunks: u32,
    /// Bytes up to the end of the last valid element; a torn tail starts here.
    pub good_bytes: u64,
    /// Position after the last frame.
    pub to: Position,
    /// Masked, held and lost stretches in order; the first `MAX_SPANS` of them.
    pub spans: Vec<FactSpan>,
    /// Of a complete file. Its digest and size are as found, its ledger as the trailer says.
    pub trailer: Option<FinishedFile>,
    pub tail: Tail,
    /// BLAKE3 of the good bytes.
    pub digest: [u8; 32],
    trailer_state: TrailerState,
}

/// What completing a cut file takes.
#[derive(Clone, Debug)]
struct TrailerState {
    spans: SpanAccumulator,
    hasher: blake3::Hasher,
    sequence: u32,
}

/// What completes a cut file, once it is truncated to `MediaScan::good_bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailerInfo {
    /// To be appended.
    pub bytes: Vec<u8>,
    pub finished: FinishedFile,
    /// Masked, held and lost stretches, what the cut cost included.
    pub spans: Vec<FactSpan>,
}

/// A media file whose header has been read.
pub struct MediaReader<R>(MediaWalker<R>);

impl<R: Read> MediaReader<R> {
    /// Reads the header.
    pub fn open(source: R) -> Result<MediaReader<R>, MediaError> {
        MediaWalker::open(source).map(MediaReader)
    }

    /// What the file says of itself.
    #[must_use]
    pub fn header(&self) -> &MediaHeader {
        &self.0.header
    }

    /// Reads the whole file without the key.
    pub fn scan_media(mut self) -> Result<MediaScan, MediaError> {
        let walker = &mut self.0;
        let mut fold = SpanAccumulator::new(walker.header.from, walker.header.delay);
        let (mut for_each_chunk, mut trailer) = (0, None);
        loop {
            match walker.next_element()? {
                WalkStep::Chunk { gap, head } => {
                    fold.add_run(damaged_run(gap));
                    head.runs.iter().for_each(|run| fold.add_run(*run));
                    for_each_chunk += 1;
                    walker.skip_chunk(&head);
                }
                WalkStep::Trailer { gap, trailer: found } => {
                    fold.add_run(damaged_run(gap));
                    trailer = Some(accept_trailer(walker, &mut fold, &found)?);
                    break;
                }
                WalkStep::End => break,
            }
        }
        let DigestPoint { offset: good_bytes, hasher } = walker.good.clone();
        Ok(MediaScan {
            header: walker.header.clone(),
            ledger: fold.ledger(),
            chunks: for_each_chunk,
            good_bytes,
            to: fold.to(),
            spans: fold.spans().to_vec(),
            trailer,
            tail: walker.tail,
            digest: format::finalize_digest(&hasher),
            trailer_state: TrailerState { spans: fold, hasher, sequence: walker.sequence },
        })
    }

    /// Gives every chunk's runs and opened codec bytes to `visit`, in order. Stretches that damage
    /// has cost are given as lost, without bytes. A chunk that does not open is refused.
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
            let (gap, head) = match walker.next_element()? {
                WalkStep::Chunk { gap, head } => (gap, Some(head)),
                WalkStep::Trailer { gap, .. } => (gap, None),
                WalkStep::End => return Ok(walker.tail),
            };
            let grid = u32::try_from(limits::grid_frames(walker.header.rate)).unwrap_or(1);
            for frames in split_frames(gap, grid.max(1) * limits::CHUNK_GRIDS) {
                visit(&[damaged_run(frames)], &[]);
            }
            let Some(head) = head else {
                walker.skip_trailer()?;
                return Ok(walker.tail);
            };
            payload.clear();
            payload.extend_from_slice(walker.payload(&head));
            if let Some(sealer) = &sealer {
                sealer.open(head.sequence, walker.associated_data(&head), &mut payload)?;
            }
            visit(&head.runs, &payload);
            walker.skip_chunk(&head);
        }
    }
}

/// `whole` in parts of `part`, and the rest: nobody has to take hours at once.
fn split_frames(whole: u32, part: u32) -> impl Iterator<Item = u32> {
    let rest = whole % part;
    std::iter::repeat_n(part, (whole / part) as usize).chain((rest > 0).then_some(rest))
}

/// Frames that damage has cost.
fn damaged_run(frames: u32) -> Run {
    Run { fate: Fate::Lost(LossReason::Disk), frames }
}

/// What a cut costs is lost to what caused it.
fn loss_reason_of(end: RecordingEnd) -> LossReason {
    match end {
        RecordingEnd::Storage => LossReason::Disk,
        RecordingEnd::Stop
        | RecordingEnd::CallEnd
        | RecordingEnd::Shutdown
        | RecordingEnd::Power
        | RecordingEnd::Stale => LossReason::Power,
    }
}

/// Goes past the trailer and compares its account with the chunks'.
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
    walker.skip_trailer()?;
    Ok(FinishedFile {
        digest: format::finalize_digest(&walker.good.hasher),
        size: walker.good.offset,
        ledger: trailer.ledger,
        end: trailer.end,
        to: trailer.to,
    })
}

impl MediaScan {
    /// What completes a file that was cut, `None` if it has its trailer. `end` is `Power`, or
    /// `Storage` if the disk refused the file. Of the last `delay` frames those that count as
    /// stored become lost: the codec had not given their bytes yet.
    #[must_use]
    pub fn build_trailer(&self, end: RecordingEnd) -> Option<TrailerInfo> {
        if self.trailer.is_some() {
            return None;
        }
        let TrailerState { spans: mut fold, mut hasher, sequence } = self.trailer_state.clone();
        fold.mark_tail_lost(loss_reason_of(end));
        let trailer = Trailer {
            chunks: sequence,
            end,
            is_interrupted: true,
            to: fold.to(),
            ledger: fold.ledger(),
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
        Some(TrailerInfo { bytes, finished, spans: fold.spans().to_vec() })
    }
}

/// Reads a whole media file without the key.
pub fn scan<R: Read>(source: R) -> Result<MediaScan, MediaError> {
    MediaReader::open(source)?.scan_media()
}

/// Opens a whole media file: see `MediaReader::chunks`.
pub fn chunks<R, F>(source: R, key: Option<&DataKey>, visit: F) -> Result<Tail, MediaError>
where
    R: Read,
    F: FnMut(&[Run], &[u8]),
{
    MediaReader::open(source)?.for_each_chunk(key, visit)
}
