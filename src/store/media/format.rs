//! The bytes of a media file's elements: header, chunk head, trailer.
//!
//! Decoding checks magic, lengths, padding and checksum, and returns `None` for anything else.

use super::{
    MAX_CHUNK_FRAMES, MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES, MAX_RUNS, MediaError, MediaHeader,
};
use crate::audio::span::{Fate, LEDGER_COUNTS, LEDGER_COUNTS_V1, Ledger, LossReason, Run, Side};
use crate::store::bytes::{LeReader, checksum, len_to_u64, u64_to_len};
use crate::store::fact::RecordingEnd;
use crate::time::Position;

/// The version of files that are written now.
pub const VERSION: u16 = 2;

/// The first version: five reasons of loss, and none of one side.
pub const VERSION_1: u16 = 1;

/// The version of a file from which a range was removed. It may have chunks without payload, which
/// a program that knows only earlier versions would take for forged ones.
pub const VERSION_REDACTED: u16 = 3;

const MAGIC: &[u8; 4] = b"HBM1";
const SYNC_CHUNK: &[u8; 4] = b"HBMc";
const SYNC_TRAILER_V1: &[u8; 4] = b"HBMt";
const SYNC_TRAILER: &[u8; 4] = b"HBMe";

/// The bytes with which every element starts.
pub const SYNC_START: &[u8; 3] = b"HBM";

const HEADER_FIXED_BYTES: usize = 12;
const SUM_BYTES: usize = 8;

/// Bytes of a trailer besides its counts: 24 before them, digest and checksum after them.
const TRAILER_FIXED_BYTES: usize = 24 + 32 + SUM_BYTES;

/// Bytes of a trailer in a file of this version.
pub const fn trailer_bytes(version: u16) -> usize {
    TRAILER_FIXED_BYTES + 8 * ledger_counts(version)
}

/// The version of the trailer in a file of this version.
pub const fn trailer_version(version: u16) -> u16 {
    if version == VERSION_1 { VERSION_1 } else { VERSION }
}

const fn ledger_counts(version: u16) -> usize {
    if version == VERSION_1 { LEDGER_COUNTS_V1 } else { LEDGER_COUNTS }
}

const _: () = assert!(trailer_bytes(VERSION_1) == 128 && trailer_bytes(VERSION) == 280);

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
        self.runs.iter().any(|run| run.fate.is_stored() && run.frames > 0)
    }

    /// Returns the bytes of head and payload.
    pub fn chunk_bytes(&self) -> usize {
        chunk_head_bytes(self.runs.len()) + u64_to_len(u64::from(self.payload_bytes))
    }
}

/// The last element of a complete file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Version of the file that it ends.
    pub version: u16,
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

/// Codes of losses: of all sides, of the agent's, of the customer's; plus the reason.
const LOST_CODE: u8 = 16;
const SIDE_LOST_CODES: [u8; 2] = [32, 48];

fn reason_code(reason: LossReason) -> u8 {
    match reason {
        LossReason::Overrun => 0,
        LossReason::Board => 1,
        LossReason::Ring => 2,
        LossReason::Disk => 3,
        LossReason::Power => 4,
        LossReason::Network => 5,
        LossReason::Late => 6,
        LossReason::Mirror => 7,
    }
}

fn fate_code(fate: Fate) -> u8 {
    match fate {
        Fate::Stored => 0,
        Fate::Masked => 1,
        Fate::Held => 2,
        Fate::Lost(reason) => LOST_CODE + reason_code(reason),
        Fate::SideLost(side, reason) => SIDE_LOST_CODES[side.index()] + reason_code(reason),
    }
}

fn fate_from_code(code: u8) -> Option<Fate> {
    let reason = || LossReason::ALL.get(usize::from(code & 15)).copied();
    match code {
        0 => Some(Fate::Stored),
        1 => Some(Fate::Masked),
        2 => Some(Fate::Held),
        16..32 => reason().map(Fate::Lost),
        32..48 => reason().map(|reason| Fate::SideLost(Side::Agent, reason)),
        48..64 => reason().map(|reason| Fate::SideLost(Side::Customer, reason)),
        _ => None,
    }
}

/// Encodes the header of a file of this version.
pub fn put_header(header: &MediaHeader, version: u16, out: &mut Vec<u8>) {
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

/// A decoded header.
#[derive(Debug)]
pub struct TakenHeader {
    pub header: MediaHeader,
    pub version: u16,
    /// Its bytes in the file.
    pub length: usize,
}

/// Decodes the header at the start of `bytes`; `None` if it is torn or invalid.
pub fn take_header(bytes: &[u8]) -> Option<Result<TakenHeader, MediaError>> {
    let mut fields = LeReader(bytes);
    fields.read_array().filter(|magic| magic == MAGIC)?;
    let version = fields.read_u16()?;
    fields.expect_zeros(2)?;
    let length = u64_to_len(u64::from(fields.read_u32()?));
    let body = fields.read_bytes(length.min(MAX_HEADER_BYTES))?;
    let end = HEADER_FIXED_BYTES + body.len();
    fields.read_array::<SUM_BYTES>().filter(|sum| *sum == checksum(&[&bytes[..end]]))?;
    if !(VERSION_1..=VERSION_REDACTED).contains(&version) {
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
    Some(Ok(TakenHeader { header, version, length: end + SUM_BYTES }))
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
    let version = trailer.version;
    assert!(version != VERSION_1 || trailer.ledger.fits_version_1(), "a loss of a later version");
    let start = out.len();
    let first = version == VERSION_1;
    out.extend_from_slice(if first { SYNC_TRAILER_V1 } else { SYNC_TRAILER });
    out.extend_from_slice(&trailer.chunks.to_le_bytes());
    let interrupted = u8::from(trailer.is_interrupted);
    out.extend_from_slice(&[end_code(trailer.end), interrupted, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&trailer.to.0.to_le_bytes());
    for frames in trailer.ledger.counts().take(ledger_counts(version)) {
        out.extend_from_slice(&frames.to_le_bytes());
    }
    out.extend_from_slice(&trailer.digest);
    let sum: [u8; SUM_BYTES] = checksum(&[&out[start..]]);
    out.extend_from_slice(&sum);
    assert_eq!(out.len() - start, trailer_bytes(version));
}

/// Decodes the trailer of either version at the start of `bytes`, if it is valid.
pub fn take_trailer(bytes: &[u8]) -> Option<Trailer> {
    let version = match bytes.first_chunk()? {
        SYNC_TRAILER_V1 => VERSION_1,
        SYNC_TRAILER => VERSION,
        _ => return None,
    };
    let whole = bytes.get(..trailer_bytes(version))?;
    let covered = whole.len() - SUM_BYTES;
    if whole[covered..] != checksum::<SUM_BYTES>(&[&whole[..covered]]) {
        return None;
    }
    let mut fields = LeReader(&whole[SYNC_TRAILER.len()..]);
    let chunks = fields.read_u32()?;
    let end = *END_CODES.get(usize::from(fields.read_u8()?))?;
    let is_interrupted = match fields.read_u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    fields.expect_zeros(6)?;
    let to = Position(fields.read_u64()?);
    let mut ledger = Ledger::default();
    for frames in ledger.counts_mut().take(ledger_counts(version)) {
        *frames = fields.read_u64()?;
    }
    let digest = fields.read_array()?;
    Some(Trailer { version, chunks, end, is_interrupted, to, ledger, digest })
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
        let mut codes = std::collections::BTreeSet::new();
        let losses = LossReason::ALL.into_iter().flat_map(|why| {
            let sides = Side::ALL.map(|side| Fate::SideLost(side, why));
            std::iter::once(Fate::Lost(why)).chain(sides)
        });
        for fate in losses.chain([Fate::Stored, Fate::Masked, Fate::Held]) {
            assert_eq!(fate_from_code(fate_code(fate)), Some(fate));
            codes.insert(fate_code(fate));
        }
        assert_eq!(codes.len(), 3 + 3 * LossReason::ALL.len());
        for bad in (0..=255).filter(|code| !codes.contains(code)) {
            assert_eq!(fate_from_code(bad), None, "{bad}");
        }
    }

    fn trailer(version: u16) -> Trailer {
        let mut ledger = Ledger::default();
        let counts = ledger.counts_mut().take(ledger_counts(version));
        (1..).zip(counts).for_each(|(n, count)| *count = n);
        let (end, to) = (RecordingEnd::Stale, Position(77));
        Trailer { version, chunks: 3, end, is_interrupted: true, to, ledger, digest: [9; 32] }
    }

    #[test]
    fn h5_trailers_of_both_versions_round_trip() {
        for (version, length) in [(VERSION_1, 128), (VERSION, 280)] {
            let mut out = Vec::new();
            put_trailer(&trailer(version), &mut out);
            assert_eq!(out.len(), length);
            assert_eq!(take_trailer(&out), Some(trailer(version)));
            assert_eq!(take_trailer(&out[..length - 1]), None);
            for at in 0..length {
                let mut bad = out.clone();
                bad[at] ^= 1;
                assert_eq!(take_trailer(&bad), None, "version {version}, byte {at}");
            }
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
