//! EBML elements: writes and reads identifiers, sizes and values (RFC 8794).
//!
//! The reader accepts any bytes: invalid ones give `None`, never a panic. The module has only what
//! WebM needs.

/// The identifiers of the elements (RFC 9559).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementId {
    Ebml = 0x1a45_dfa3,
    EbmlVersion = 0x4286,
    EbmlReadVersion = 0x42f7,
    EbmlMaxIdLength = 0x42f2,
    EbmlMaxSizeLength = 0x42f3,
    DocType = 0x4282,
    DocTypeVersion = 0x4287,
    DocTypeReadVersion = 0x4285,
    Void = 0xec,
    Segment = 0x1853_8067,
    SeekHead = 0x114d_9b74,
    Seek = 0x4dbb,
    SeekId = 0x53ab,
    SeekPosition = 0x53ac,
    Info = 0x1549_a966,
    TimestampScale = 0x002a_d7b1,
    Duration = 0x4489,
    Title = 0x7ba9,
    MuxingApp = 0x4d80,
    WritingApp = 0x5741,
    Tracks = 0x1654_ae6b,
    TrackEntry = 0xae,
    TrackNumber = 0xd7,
    TrackUid = 0x73c5,
    TrackType = 0x83,
    FlagLacing = 0x9c,
    CodecId = 0x86,
    CodecPrivate = 0x63a2,
    CodecDelay = 0x56aa,
    SeekPreRoll = 0x56bb,
    Video = 0xe0,
    PixelWidth = 0xb0,
    PixelHeight = 0xba,
    Audio = 0xe1,
    SamplingFrequency = 0xb5,
    Channels = 0x9f,
    Cluster = 0x1f43_b675,
    Timestamp = 0xe7,
    SimpleBlock = 0xa3,
    BlockGroup = 0xa0,
    Block = 0xa1,
    ReferenceBlock = 0xfb,
    Cues = 0x1c53_bb6b,
    CuePoint = 0xbb,
    CueTime = 0xb3,
    CueTrackPositions = 0xb7,
    CueTrack = 0xf7,
    CueClusterPosition = 0xf1,
    Tags = 0x1254_c367,
    Tag = 0x7373,
    Targets = 0x63c0,
    SimpleTag = 0x67c8,
    TagName = 0x45a3,
    TagBinary = 0x4485,
}

/// An unknown size: the element contains everything that follows.
pub const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// The bytes of a float's identifier (two bytes) and size.
pub const FLOAT_HEAD_BYTES: u64 = 3;

/// Writes an identifier.
pub fn put_id(out: &mut Vec<u8>, id: ElementId) {
    let bytes = (id as u32).to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(3);
    out.extend_from_slice(&bytes[first..]);
}

/// Writes an element with the contents that `fill` writes.
pub fn put_element(out: &mut Vec<u8>, id: ElementId, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    fill(&mut body);
    put_id(out, id);
    put_size(out, body.len() as u64);
    out.extend_from_slice(&body);
}

/// Writes an element with an unsigned number.
pub fn put_uint(out: &mut Vec<u8>, id: ElementId, value: u64) {
    let bytes = value.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(7);
    put_element(out, id, |body| body.extend_from_slice(&bytes[first..]));
}

/// Writes an element with a text.
pub fn put_text(out: &mut Vec<u8>, id: ElementId, text: &str) {
    put_element(out, id, |body| body.extend_from_slice(text.as_bytes()));
}

/// Writes an element with a float.
pub fn put_f64(out: &mut Vec<u8>, id: ElementId, value: f64) {
    put_element(out, id, |body| body.extend_from_slice(&value.to_be_bytes()));
}

/// Formats whole milliseconds as a float.
#[must_use]
pub fn ms_to_float(ms: u64) -> [u8; 8] {
    // Exact up to two to the power of 32, which is seven weeks.
    f64::from(u32::try_from(ms).unwrap_or(u32::MAX)).to_be_bytes()
}

/// Writes a `Void` element of this many bytes in all.
///
/// # Panics
/// Unless `bytes` is 2 to 128.
pub fn put_void(out: &mut Vec<u8>, bytes: usize) {
    assert!((2..=128).contains(&bytes));
    put_element(out, ElementId::Void, |body| body.resize(bytes - 2, 0));
}

fn put_size(out: &mut Vec<u8>, size: u64) {
    let length = (1..8).find(|n| size < (1 << (7 * n)) - 1).unwrap_or(8);
    let marked = size | 1 << (7 * length);
    out.extend_from_slice(&marked.to_be_bytes()[8 - length..]);
}

/// Formats a size in eight bytes.
#[must_use]
pub fn eight_byte_size(size: u64) -> [u8; 8] {
    (size | 1 << 56).to_be_bytes()
}

/// Splits the first element off `bytes`: its identifier, its contents, and the rest. An element of
/// unknown size, or a truncated one, contains everything that follows.
#[must_use]
pub fn take_element(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let id_length = bytes.first()?.leading_zeros() as usize + 1;
    let id_bytes = bytes.get(..id_length).filter(|_| id_length <= 4)?;
    let id = id_bytes.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    let rest = &bytes[id_length..];
    let length = rest.first()?.leading_zeros() as usize + 1;
    let sized = rest.get(..length).filter(|_| length <= 8)?;
    let marked = sized.iter().fold(0, |size, byte| size << 8 | u64::from(*byte));
    let mask = (1_u64 << (7 * length)) - 1;
    let (size, rest) = (marked & mask, &rest[length..]);
    let size = if size == mask { rest.len() } else { usize::try_from(size).ok()? };
    let size = size.min(rest.len());
    Some((id, &rest[..size], &rest[size..]))
}

/// Iterates over the elements in `bytes`, up to the first invalid one.
pub fn iter_elements(mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let (id, body, rest) = take_element(bytes)?;
        bytes = rest;
        Some((id, body))
    })
}

/// Reads an unsigned number.
#[must_use]
pub fn read_uint(body: &[u8]) -> Option<u64> {
    (body.len() <= 8).then(|| body.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_elements_read_back() {
        let mut out = Vec::new();
        put_element(&mut out, ElementId::Cluster, |body| {
            put_uint(body, ElementId::Timestamp, 70_000);
            put_text(body, ElementId::TagName, &"x".repeat(200));
            put_void(body, 10);
        });
        let (id, body, rest) = take_element(&out).expect("an element");
        assert_eq!((id, rest.len()), (ElementId::Cluster as u32, 0));
        let all: Vec<(u32, &[u8])> = iter_elements(body).collect();
        assert_eq!((all.len(), all[0].0), (3, ElementId::Timestamp as u32));
        assert_eq!((read_uint(all[0].1), all[1].1.len()), (Some(70_000), 200));
        assert_eq!(all[2], (ElementId::Void as u32, &[0; 8][..]));
    }

    #[test]
    fn invalid_bytes_never_panic() {
        for bad in [&[0][..], &[0x1a], &[0xec, 0], &[0xec], &[0x08, 1, 2, 3], &[]] {
            assert!(take_element(bad).is_none_or(|(_, body, _)| body.is_empty()), "{bad:?}");
        }
        let (_, body, rest) = take_element(&[0xec, 0x85, 1, 2]).expect("a truncated element");
        assert_eq!((body, rest.len()), (&[1, 2][..], 0));
        let mut unknown = vec![0xec];
        unknown.extend(UNKNOWN_SIZE);
        unknown.push(9);
        assert_eq!(take_element(&unknown).map(|(_, body, _)| body), Some(&[9][..]));
    }
}
