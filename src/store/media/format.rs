//! The bytes of a media file's elements: header, chunk head, trailer.
//!
//! Decoding checks magic, lengths, padding and checksum, and returns `None` for anything else.

use super::{
    MAX_CHUNK_FRAMES, MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES, MAX_RUNS, MediaError, MediaHeader,
};
use crate::audio::span::{Fate, Ledger, LossReason, Run};
use crate::store::bytes::{LeReader, checksum, len_to_u64, u64_to_len};
use crate::store::fact::RecordingEnd;
use crate::time::Position;

pub const VERSION: u16 = 1;
/// The version of a file from which a range was removed. It may have chunks without payload, which
/// a program that knows only version 1 would take for forged ones.
pub const VERSION_REDACTED: u16 = 2;
const MAGIC: &[u8; 4] = b"HBM1";
const SYNC_CHUNK: &[u8; 4] = b"HBMc";
const SYNC_TRAILER: &[u8; 4] = b"HBMt";

/// The bytes with which every element starts.
pub const SYNC_START: &[u8; 3] = b"HBM";

const HEADER_FIXED_BYTES: usize = 12;
const SUM_BYTES: usize = 8;
pub const TRAILER_BYTES: usize = 128;

/// Bytes of a chunk head that the seal authenticates: all but the two checksums.
pub const fn chunk_clear_bytes(runs: usize) -> usize {
    24 + 8 * runs
}

/// Bytes of a whole chunk head.
pub const fn chunk_head_bytes(runs: usize) -> usize {
    chunk_clear_bytes(runs) + 2 * SUM_BYTES
}

/// The clear part of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkHead {
    pub sequence: u32,
    /// Payload bytes as stored, seal included.
    pub payload_bytes: u32,
    pub from: Position,
    pub runs: heapless::Vec<Run, MAX_RUNS>,
}

impl ChunkHead {
    /// Returns the frames on the timeline, of any fate.
    pub fn frame_count(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.frames)).sum()
    }

    /// Whether any of its frames is stored.
    pub fn has_stored(&self) -> bool {
        self.runs.iter().any(|run| run.fate == Fate::Stored && run.frames > 0)
    }

    /// Returns the bytes of head and payload.
    pub fn chunk_bytes(&self) -> usize {
        chunk_head_bytes(self.runs.len()) + u64_to_len(u64::from(self.payload_bytes))
    }
}

/// The last element of a complete file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    pub chunks: u32,
    pub end: RecordingEnd,
    /// Whether recovery wrote it: the codec was not flushed.
    pub is_interrupted: bool,
    pub to: Position,
    pub ledger: Ledger,
    /// BLAKE3 of all bytes before the trailer.
    pub digest: [u8; 32],
}

const END_CODES: [RecordingEnd; 7] = [
    RecordingEnd::Stop,
    RecordingEnd::CallEnd,
    RecordingEnd::Shutdown,
    RecordingEnd::Power,
    RecordingEnd::Storage,
    RecordingEnd::Stale,
    RecordingEnd::Ceiling,
];

fn end_code(end: RecordingEnd) -> u8 {
    match end {
        RecordingEnd::Stop => 0,
        RecordingEnd::CallEnd => 1,
        RecordingEnd::Shutdown => 2,
        RecordingEnd::Power => 3,
        RecordingEnd::Storage => 4,
        RecordingEnd::Stale => 5,
        RecordingEnd::Ceiling => 6,
    }
}

fn fate_code(fate: Fate) -> u8 {
    match fate {
        Fate::Stored => 0,
        Fate::Masked => 1,
        Fate::Held => 2,
        Fate::Lost(LossReason::Overrun) => 16,
        Fate::Lost(LossReason::Board) => 17,
        Fate::Lost(LossReason::Ring) => 18,
        Fate::Lost(LossReason::Disk) => 19,
        Fate::Lost(LossReason::Power) => 20,
    }
}

fn fate_from_code(code: u8) -> Option<Fate> {
    match code {
        0 => Some(Fate::Stored),
        1 => Some(Fate::Masked),
        2 => Some(Fate::Held),
        _ => LossReason::ALL.get(usize::from(code.checked_sub(16)?)).map(|loss| Fate::Lost(*loss)),
    }
}

pub fn put_header(header: &MediaHeader, out: &mut Vec<u8>) {
    put_header_of_version(header, VERSION, out);
}

/// Encodes the header of a file of this format version.
pub fn put_header_of_version(header: &MediaHeader, version: u16, out: &mut Vec<u8>) {
    assert!(is_plausible(header), "{} frames/s, {} sides", header.rate, header.sides);
    // Serializing to memory cannot fail.
    let body = postcard::to_stdvec(header).unwrap_or_default();
    let whole = HEADER_FIXED_BYTES + body.len() + SUM_BYTES;
    assert!(!body.is_empty() && whole <= MAX_HEADER_BYTES, "a header of {whole} bytes");
    let start = out.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&body);
    let sum: [u8; SUM_BYTES] = checksum(&[&out[start..]]);
    out.extend_from_slice(&sum);
}

fn is_plausible(header: &MediaHeader) -> bool {
    (1..=384_000).contains(&header.rate) && (1..=2).contains(&header.sides)
}

/// Decodes the header at the start of `bytes` and returns its length; `None` if it is torn or
/// invalid.
pub fn take_header(bytes: &[u8]) -> Option<Result<(MediaHeader, usize), MediaError>> {
    let mut fields = LeReader(bytes);
    fields.read_array().filter(|magic| magic == MAGIC)?;
    let version = fields.read_u16()?;
    fields.expect_zeros(2)?;
    let length = u64_to_len(u64::from(fields.read_u32()?));
    let body = fields.read_bytes(length.min(MAX_HEADER_BYTES))?;
    let end = HEADER_FIXED_BYTES + body.len();
    fields.read_array::<SUM_BYTES>().filter(|sum| *sum == checksum(&[&bytes[..end]]))?;
    if version != VERSION && version != VERSION_REDACTED {
        return Some(Err(MediaError::Version { found: version }));
    }
    let (header, rest) = postcard::take_from_bytes::<MediaHeader>(body).ok()?;
    if !rest.is_empty() {
        return None;
    }
    if !is_plausible(&header) {
        let MediaHeader { rate, sides, .. } = header;
        return Some(Err(MediaError::InvalidParameters { rate, sides }));
    }
    Some(Ok((header, end + SUM_BYTES)))
}

/// Encodes the clear part of a chunk head. The checksums follow after the payload is sealed.
pub fn put_chunk_clear(head: &ChunkHead, out: &mut Vec<u8>) {
    out.extend_from_slice(SYNC_CHUNK);
    out.extend_from_slice(&head.sequence.to_le_bytes());
    out.extend_from_slice(&head.payload_bytes.to_le_bytes());
    let runs = u16::try_from(head.runs.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&runs.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&head.from.0.to_le_bytes());
    for run in &head.runs {
        out.extend_from_slice(&[fate_code(run.fate), 0, 0, 0]);
        out.extend_from_slice(&run.frames.to_le_bytes());
    }
}

/// Appends both checksums to the clear part that starts at `start` in `out`.
pub fn put_chunk_sums(start: usize, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&checksum::<SUM_BYTES>(&[payload]));
    let sum: [u8; SUM_BYTES] = checksum(&[&out[start..]]);
    out.extend_from_slice(&sum);
}

/// Decodes the head of a whole chunk at the start of `bytes`, if both checksums match.
pub fn take_chunk(bytes: &[u8]) -> Option<ChunkHead> {
    let mut fields = LeReader(bytes);
    fields.read_array().filter(|sync| sync == SYNC_CHUNK)?;
    let (sequence, payload_bytes) = (fields.read_u32()?, fields.read_u32()?);
    let count = usize::from(fields.read_u16()?);
    fields.expect_zeros(2)?;
    let from = Position(fields.read_u64()?);
    if count > MAX_RUNS || u64_to_len(u64::from(payload_bytes)) > MAX_PAYLOAD_BYTES {
        return None;
    }
    let mut head = ChunkHead { sequence, payload_bytes, from, runs: heapless::Vec::new() };
    for _ in 0..count {
        let fate = fate_from_code(fields.read_u8()?)?;
        fields.expect_zeros(3)?;
        head.runs.push(Run { fate, frames: fields.read_u32()? }).ok()?;
    }
    from.0.checked_add(head.frame_count())?;
    if head.frame_count() > MAX_CHUNK_FRAMES {
        return None;
    }
    let payload_sum = fields.read_array::<SUM_BYTES>()?;
    let covered = chunk_clear_bytes(count) + SUM_BYTES;
    fields.read_array::<SUM_BYTES>().filter(|sum| *sum == checksum(&[&bytes[..covered]]))?;
    let payload = fields.read_bytes(u64_to_len(u64::from(payload_bytes)))?;
    (payload_sum == checksum(&[payload])).then_some(head)
}

pub fn put_trailer(trailer: &Trailer, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(SYNC_TRAILER);
    out.extend_from_slice(&trailer.chunks.to_le_bytes());
    out.extend_from_slice(&[
        end_code(trailer.end),
        u8::from(trailer.is_interrupted),
        0,
        0,
        0,
        0,
        0,
        0,
    ]);
    out.extend_from_slice(&trailer.to.0.to_le_bytes());
    let Ledger { stored, masked, held, lost } = trailer.ledger;
    for frames in [stored, masked, held].into_iter().chain(lost) {
        out.extend_from_slice(&frames.to_le_bytes());
    }
    out.extend_from_slice(&trailer.digest);
    let sum: [u8; SUM_BYTES] = checksum(&[&out[start..]]);
    out.extend_from_slice(&sum);
    assert_eq!(out.len() - start, TRAILER_BYTES);
}

/// Decodes the trailer at the start of `bytes`, if it is valid.
pub fn take_trailer(bytes: &[u8]) -> Option<Trailer> {
    let mut fields = LeReader(bytes.get(..TRAILER_BYTES)?);
    fields.read_array().filter(|sync| sync == SYNC_TRAILER)?;
    let covered = TRAILER_BYTES - SUM_BYTES;
    if bytes[covered..TRAILER_BYTES] != checksum::<SUM_BYTES>(&[&bytes[..covered]]) {
        return None;
    }
    let chunks = fields.read_u32()?;
    let end = *END_CODES.get(usize::from(fields.read_u8()?))?;
    let is_interrupted = match fields.read_u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    fields.expect_zeros(6)?;
    let to = Position(fields.read_u64()?);
    let mut ledger = Ledger { stored: fields.read_u64()?, ..Ledger::default() };
    (ledger.masked, ledger.held) = (fields.read_u64()?, fields.read_u64()?);
    for frames in &mut ledger.lost {
        *frames = fields.read_u64()?;
    }
    Some(Trailer { chunks, end, is_interrupted, to, ledger, digest: fields.read_array()? })
}

/// Returns the BLAKE3 digest of the bytes hashed so far.
pub fn finalize_digest(hasher: &blake3::Hasher) -> [u8; 32] {
    *hasher.finalize().as_bytes()
}

/// Returns the number of bytes in `out` since `start`.
pub fn bytes_since(start: usize, out: &[u8]) -> u64 {
    len_to_u64(out.len() - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for (code, end) in (0_u8..).zip(END_CODES) {
            assert_eq!(end_code(end), code);
        }
        let fates = LossReason::ALL.into_iter().map(Fate::Lost);
        for fate in fates.chain([Fate::Stored, Fate::Masked, Fate::Held]) {
            assert_eq!(fate_from_code(fate_code(fate)), Some(fate));
        }
        for bad in [3, 15, 21, 255] {
            assert_eq!(fate_from_code(bad), None, "{bad}");
        }
    }

    #[test]
    fn chunk_in_poisoned_buffer_round_trips() {
        let runs = [Run { fate: Fate::Held, frames: 5 }, Run { fate: Fate::Stored, frames: 7 }];
        let runs = heapless::Vec::from_slice(&runs).unwrap_or_default();
        let head = ChunkHead { sequence: 3, payload_bytes: 4, from: Position(9), runs };
        let mut out = vec![0xa5; 7];
        put_chunk_clear(&head, &mut out);
        assert_eq!(out.len(), 7 + chunk_clear_bytes(2));
        put_chunk_sums(7, b"abcd", &mut out);
        out.extend_from_slice(b"abcd\xa5\xa5");
        assert_eq!(out[..7], [0xa5; 7]);
        assert_eq!(take_chunk(&out[7..]), Some(head.clone()));
        assert_eq!((head.frame_count(), head.chunk_bytes()), (12, out.len() - 9));
        assert_eq!(take_chunk(&out[7..out.len() - 3]), None);
    }
}
