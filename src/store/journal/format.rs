//! The bytes of a journal file's header and entries, and the hash chain.
//!
//! Decoding returns `None` for anything that is not whole and valid. The reader checks that entries
//! follow from each other.

use super::{HEADER_BYTES, JournalError, JournalState, MAX_BODY_BYTES};
use crate::store::bytes::{LeReader, checksum};
use crate::store::fact::JournalEntry;
use crate::store::sign::{BoxPublicKey, BoxSigningKey, SignaturePurpose};
use crate::time::WallTime;

pub const VERSION: u16 = 1;
const MAGIC: &[u8; 4] = b"HBJ1";

/// Length and checksum precede an entry's body; the tag follows it.
const LENGTH_BYTES: usize = 2;
const SUM_BYTES: usize = 4;
const HEAD_BYTES: usize = LENGTH_BYTES + SUM_BYTES;
pub const TAG_BYTES: usize = 16;
pub const MAX_ENTRY_BYTES: usize = HEAD_BYTES + MAX_BODY_BYTES + TAG_BYTES;

const KIND_ENTRY: u8 = 0;
const KIND_CHECKPOINT: u8 = 1;

const _: () = assert!(MAX_BODY_BYTES <= 0xffff);

/// Header of a journal file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalHeader {
    /// The UTC day, `2026-11-22`.
    pub day: String,
    /// Sequence of its first entry, and the chain up to the file before.
    pub start: JournalState,
}

pub fn put_header(header: &JournalHeader, out: &mut Vec<u8>) {
    assert_eq!(header.day.len(), 10, "{:?} is no day", header.day);
    let start = out.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&header.start.sequence.to_le_bytes());
    out.extend_from_slice(header.day.as_bytes());
    out.extend_from_slice(&[0; 6]);
    out.extend_from_slice(&header.start.chain);
    let sum: [u8; 8] = checksum(&[&out[start..]]);
    out.extend_from_slice(&sum);
    assert_eq!(out.len() - start, HEADER_BYTES);
}

/// Decodes the header at the start of `bytes`; `None` if it is torn or invalid.
pub fn take_header(bytes: &[u8]) -> Option<Result<JournalHeader, JournalError>> {
    let mut fields = LeReader(bytes.get(..HEADER_BYTES)?);
    fields.read_array().filter(|magic| magic == MAGIC)?;
    if bytes[HEADER_BYTES - 8..HEADER_BYTES] != checksum::<8>(&[&bytes[..HEADER_BYTES - 8]]) {
        return None;
    }
    let version = fields.read_u16()?;
    if version != VERSION {
        return Some(Err(JournalError::Version { found: version }));
    }
    fields.expect_zeros(2)?;
    let sequence = fields.read_u64()?;
    let day = std::str::from_utf8(fields.read_bytes(10)?).ok()?.to_owned();
    fields.expect_zeros(6)?;
    let start = JournalState { sequence, chain: fields.read_array()? };
    Some(Ok(JournalHeader { day, start }))
}

/// A signature over the whole chain up to its position. `sequence` is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub sequence: u64,
    /// Hash chain up to the entry before it.
    pub chain: [u8; 32],
    pub at: WallTime,
    /// Ed25519.
    pub signature: [u8; 64],
}

/// Sequence, chain, time, signature.
const CHECKPOINT_BYTES: usize = 8 + 32 + 8 + 64;

impl Checkpoint {
    /// Returns the bytes that are signed.
    fn signed_message(&self) -> [u8; 48] {
        let mut message = [0; 48];
        message[..8].copy_from_slice(&self.sequence.to_le_bytes());
        message[8..40].copy_from_slice(&self.chain);
        message[40..].copy_from_slice(&self.at.0.to_le_bytes());
        message
    }

    /// Signs a checkpoint that follows `state`.
    pub(super) fn sign(state: JournalState, key: &BoxSigningKey, at: WallTime) -> Checkpoint {
        let JournalState { sequence, chain } = state;
        let mut checkpoint = Checkpoint { sequence, chain, at, signature: [0; 64] };
        checkpoint.signature = key.sign(SignaturePurpose::Checkpoint, &checkpoint.signed_message());
        checkpoint
    }

    /// Whether `key` signed it.
    #[must_use]
    pub fn is_signed_by(&self, key: &BoxPublicKey) -> bool {
        key.verify(SignaturePurpose::Checkpoint, &self.signed_message(), &self.signature)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Checkpoint> {
        let mut fields = LeReader(bytes);
        let (sequence, chain) = (fields.read_u64()?, fields.read_array()?);
        let at = WallTime(i64::from_le_bytes(fields.read_array()?));
        let signature = fields.read_array()?;
        (bytes.len() == CHECKPOINT_BYTES).then_some(Checkpoint { sequence, chain, at, signature })
    }

    /// Writes the checkpoint as a line for an external witness: sequence, time, chain and signature
    /// in hexadecimal.
    #[must_use]
    pub fn to_line(&self) -> String {
        let hex = &data_encoding::HEXLOWER;
        let (chain, signature) = (hex.encode(&self.chain), hex.encode(&self.signature));
        format!("hushbox-checkpoint {} {} {chain} {signature}", self.sequence, self.at)
    }

    /// Parses the text of `to_line`; `None` for anything else.
    #[must_use]
    pub fn parse_line(line: &str) -> Option<Checkpoint> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let ["hushbox-checkpoint", sequence, at, chain, signature] = words[..] else {
            return None;
        };
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).ok();
        Some(Checkpoint {
            sequence: sequence.parse().ok()?,
            at: WallTime::parse(at)?,
            chain: hex(chain)?.try_into().ok()?,
            signature: hex(signature)?.try_into().ok()?,
        })
    }
}

/// Encodes the body of a fact.
pub fn entry_body(entry: &JournalEntry) -> Vec<u8> {
    // Serializing to memory cannot fail.
    let body = postcard::to_extend(entry, vec![KIND_ENTRY]).unwrap_or_default();
    assert!(body.len() > 1);
    body
}

/// Encodes the body of a checkpoint.
pub fn checkpoint_body(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut body = vec![KIND_CHECKPOINT];
    body.extend_from_slice(&checkpoint.signed_message());
    body.extend_from_slice(&checkpoint.signature);
    body
}

fn length_of(body: &[u8]) -> [u8; LENGTH_BYTES] {
    u16::try_from(body.len()).unwrap_or(u16::MAX).to_le_bytes()
}

/// Returns the chain after an entry with this body.
pub fn next_chain(chain: &[u8; 32], body: &[u8]) -> [u8; 32] {
    checksum(&[chain, &length_of(body), body])
}

/// Encodes an entry; `chain` is the chain after it.
pub fn put_entry(body: &[u8], chain: &[u8; 32], out: &mut Vec<u8>) {
    assert!((1..=MAX_BODY_BYTES).contains(&body.len()), "an entry of {} bytes", body.len());
    let (length, tag) = (length_of(body), &chain[..TAG_BYTES]);
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum::<SUM_BYTES>(&[&length, body, tag]));
    out.extend_from_slice(body);
    out.extend_from_slice(tag);
}

/// A whole entry with a valid checksum.
pub struct RawEntry<'a> {
    pub body: &'a [u8],
    pub tag: &'a [u8],
}

impl RawEntry<'_> {
    pub fn entry_bytes(&self) -> usize {
        HEAD_BYTES + self.body.len() + TAG_BYTES
    }
}

/// Decodes the entry at the start of `bytes`; `None` if it is not whole.
pub fn take_entry(bytes: &[u8]) -> Option<RawEntry<'_>> {
    let mut fields = LeReader(bytes);
    let length = fields.read_array::<LENGTH_BYTES>()?;
    let sum = fields.read_array::<SUM_BYTES>()?;
    let body_bytes = usize::from(u16::from_le_bytes(length));
    if body_bytes > MAX_BODY_BYTES {
        return None;
    }
    let (body, tag) = (fields.read_bytes(body_bytes)?, fields.read_bytes(TAG_BYTES)?);
    // Checking the kind first avoids most of the hashing while searching through garbage.
    let known = matches!(body.first(), Some(&(KIND_ENTRY | KIND_CHECKPOINT)));
    (known && sum == checksum(&[&length, body, tag])).then_some(RawEntry { body, tag })
}

/// The content of an entry.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are entries, and one exists at a time")]
pub enum EntryBody {
    Entry(JournalEntry),
    Checkpoint(Checkpoint),
}

/// Decodes a body; `None` if this version does not know its kind.
pub fn take_body(body: &[u8]) -> Option<EntryBody> {
    let (kind, rest) = body.split_first()?;
    if *kind == KIND_CHECKPOINT {
        return Checkpoint::from_bytes(rest).map(EntryBody::Checkpoint);
    }
    let (entry, after) = postcard::take_from_bytes(rest).ok()?;
    after.is_empty().then_some(EntryBody::Entry(entry))
}

/// The result of parsing the start of some journal bytes.
#[derive(Debug, PartialEq)]
pub enum ParsedEntry {
    /// A fact.
    Entry(Box<JournalEntry>),
    /// At least this many bytes are needed.
    Incomplete(usize),
    /// No fact with a valid checksum.
    Invalid,
}

/// Parses a single entry without checking the chain.
#[must_use]
pub fn parse_entry(bytes: &[u8]) -> ParsedEntry {
    let Some(length) = LeReader(bytes).read_u16() else {
        return ParsedEntry::Incomplete(HEAD_BYTES);
    };
    let needed = HEAD_BYTES + usize::from(length) + TAG_BYTES;
    if needed > bytes.len() {
        return if needed > MAX_ENTRY_BYTES {
            ParsedEntry::Invalid
        } else {
            ParsedEntry::Incomplete(needed)
        };
    }
    match take_entry(bytes).and_then(|raw| take_body(raw.body)) {
        Some(EntryBody::Entry(entry)) => ParsedEntry::Entry(Box::new(entry)),
        Some(EntryBody::Checkpoint(_)) | None => ParsedEntry::Invalid,
    }
}
