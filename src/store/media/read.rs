//! Reading a media file: checking and adding it up without the key, opening it with the key.
//!
//! `scan` needs no key and tells all that verifying and recovery need. `chunks` gives the audio
//! back and refuses what was forged. A file without a trailer was cut; `Scan::close_cut` makes the
//! bytes that complete it. Bounded memory; nothing here writes or truncates a file.

use super::fold::SpanFold;
use super::format::{self, Trailer};
use super::walk::{Mark, Step, Walker};
use super::{Finished, MediaError, MediaHeader};
use crate::audio::span::{Fate, Ledger, Loss, Run};
use crate::limits;
use crate::store::bytes::wide;
use crate::store::damage::{Damage, Tail};
use crate::store::fact::{FactSpan, RecordingEnd};
use crate::store::seal::{DataKey, Sealer};
use crate::time::Position;
use std::io::Read;

/// What a media file holds, as far as can be told without the key.
#[derive(Clone, Debug)]
pub struct Scan {
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
    pub trailer: Option<Finished>,
    pub tail: Tail,
    /// BLAKE3 of the good bytes.
    pub digest: [u8; 32],
    cut: Cut,
}

/// What completing a cut file takes.
#[derive(Clone, Debug)]
struct Cut {
    fold: SpanFold,
    hasher: blake3::Hasher,
    sequence: u32,
}

/// What completes a cut file, once it is truncated to `Scan::good_bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// To be appended.
    pub bytes: Vec<u8>,
    pub finished: Finished,
    /// Masked, held and lost stretches, what the cut cost included.
    pub spans: Vec<FactSpan>,
}

/// A media file whose header has been read.
pub struct MediaReader<R>(Walker<R>);

impl<R: Read> MediaReader<R> {
    /// Reads the header.
    pub fn open(source: R) -> Result<MediaReader<R>, MediaError> {
        Walker::open(source).map(MediaReader)
    }

    /// What the file says of itself.
    #[must_use]
    pub fn header(&self) -> &MediaHeader {
        &self.0.header
    }

    /// Reads the whole file without the key.
    pub fn scan(mut self) -> Result<Scan, MediaError> {
        let walker = &mut self.0;
        let mut fold = SpanFold::new(walker.header.from, walker.header.delay);
        let (mut chunks, mut trailer) = (0, None);
        loop {
            match walker.step()? {
                Step::Chunk { gap, head } => {
                    fold.add(missing(gap));
                    head.runs.iter().for_each(|run| fold.add(*run));
                    chunks += 1;
                    walker.pass_chunk(&head);
                }
                Step::Trailer { gap, trailer: found } => {
                    fold.add(missing(gap));
                    trailer = Some(end(walker, &mut fold, &found)?);
                    break;
                }
                Step::End => break,
            }
        }
        let Mark { offset: good_bytes, hasher } = walker.good.clone();
        Ok(Scan {
            header: walker.header.clone(),
            ledger: fold.ledger(),
            chunks,
            good_bytes,
            to: fold.to(),
            spans: fold.spans().to_vec(),
            trailer,
            tail: walker.tail,
            digest: format::digest(&hasher),
            cut: Cut { fold, hasher, sequence: walker.sequence },
        })
    }

    /// Gives every chunk's runs and opened codec bytes to `visit`, in order. Stretches that damage
    /// has cost are given as lost, without bytes. A chunk that does not open is refused.
    pub fn chunks<F>(mut self, key: Option<&DataKey>, mut visit: F) -> Result<Tail, MediaError>
    where
        F: FnMut(&[Run], &[u8]),
    {
        let walker = &mut self.0;
        let sealer = match key {
            _ if walker.header.wrapped.is_empty() => None,
            None => return Err(MediaError::NoKey),
            Some(key) => Some(Sealer::new(key)),
        };
        let mut payload = zeroize::Zeroizing::new(Vec::with_capacity(super::MAX_PAYLOAD_BYTES));
        loop {
            let (gap, head) = match walker.step()? {
                Step::Chunk { gap, head } => (gap, Some(head)),
                Step::Trailer { gap, .. } => (gap, None),
                Step::End => return Ok(walker.tail),
            };
            let grid = u32::try_from(limits::grid_frames(walker.header.rate)).unwrap_or(1);
            for frames in parts(gap, grid.max(1) * limits::CHUNK_GRIDS) {
                visit(&[missing(frames)], &[]);
            }
            let Some(head) = head else {
                walker.pass_trailer()?;
                return Ok(walker.tail);
            };
            payload.clear();
            payload.extend_from_slice(walker.payload(&head));
            if let Some(sealer) = &sealer {
                sealer.open(head.sequence, walker.clear(&head), &mut payload)?;
            }
            visit(&head.runs, &payload);
            walker.pass_chunk(&head);
        }
    }
}

/// `whole` in parts of `part`, and the rest: nobody has to take hours at once.
fn parts(whole: u32, part: u32) -> impl Iterator<Item = u32> {
    let rest = whole % part;
    std::iter::repeat_n(part, (whole / part) as usize).chain((rest > 0).then_some(rest))
}

/// Frames that damage has cost.
fn missing(frames: u32) -> Run {
    Run { fate: Fate::Lost(Loss::Disk), frames }
}

/// What a cut costs is lost to what caused it.
fn loss_of(end: RecordingEnd) -> Loss {
    match end {
        RecordingEnd::Storage => Loss::Disk,
        RecordingEnd::Stop
        | RecordingEnd::CallEnd
        | RecordingEnd::Shutdown
        | RecordingEnd::Power
        | RecordingEnd::Stale => Loss::Power,
    }
}

/// Goes past the trailer and compares its account with the chunks'.
fn end<R: Read>(
    walker: &mut Walker<R>,
    fold: &mut SpanFold,
    trailer: &Trailer,
) -> Result<Finished, MediaError> {
    if trailer.cut {
        fold.cut(loss_of(trailer.end));
    }
    if trailer.ledger != fold.ledger() {
        walker.damage(walker.good.offset, Damage::Ledger);
    }
    walker.pass_trailer()?;
    Ok(Finished {
        digest: format::digest(&walker.good.hasher),
        size: walker.good.offset,
        ledger: trailer.ledger,
        end: trailer.end,
        to: trailer.to,
    })
}

impl Scan {
    /// What completes a file that was cut, `None` if it has its trailer. `end` is `Power`, or
    /// `Storage` if the disk refused the file. Of the last `delay` frames those that count as
    /// stored become lost: the codec had not given their bytes yet.
    #[must_use]
    pub fn close_cut(&self, end: RecordingEnd) -> Option<Closing> {
        if self.trailer.is_some() {
            return None;
        }
        let Cut { mut fold, mut hasher, sequence } = self.cut.clone();
        fold.cut(loss_of(end));
        let trailer = Trailer {
            chunks: sequence,
            end,
            cut: true,
            to: fold.to(),
            ledger: fold.ledger(),
            digest: self.digest,
        };
        let mut bytes = Vec::new();
        format::put_trailer(&trailer, &mut bytes);
        hasher.update(&bytes);
        let finished = Finished {
            digest: format::digest(&hasher),
            size: self.good_bytes + wide(bytes.len()),
            ledger: trailer.ledger,
            end,
            to: trailer.to,
        };
        Some(Closing { bytes, finished, spans: fold.spans().to_vec() })
    }
}

/// Reads a whole media file without the key.
pub fn scan<R: Read>(source: R) -> Result<Scan, MediaError> {
    MediaReader::open(source)?.scan()
}

/// Opens a whole media file: see `MediaReader::chunks`.
pub fn chunks<R, F>(source: R, key: Option<&DataKey>, visit: F) -> Result<Tail, MediaError>
where
    R: Read,
    F: FnMut(&[Run], &[u8]),
{
    MediaReader::open(source)?.chunks(key, visit)
}
