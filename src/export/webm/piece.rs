//! A piece of video that a workstation sent: WebM, taken apart into pictures.
//!
//! Its bytes are whatever somebody sent: everything is checked, and what does not hold is refused
//! by name. Of several video tracks the first counts. A tag `HUSHBOX_BLACK` may hold a black key
//! picture of the screen's size. Nothing here decodes a picture.

use super::Screen;
use super::ebml::{Element, each, uint};

/// One picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Since the piece's beginning.
    pub ms: u64,
    /// It can be shown without those before it.
    pub key: bool,
    pub data: Vec<u8>,
}

/// What is in a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pictures {
    pub screen: Screen,
    pub pictures: Vec<Picture>,
    /// A black picture of the same size.
    pub black: Option<Vec<u8>>,
}

/// Why a piece cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PieceError {
    #[error("it is no WebM file")]
    NotWebm,
    #[error("it has no video track")]
    NoVideo,
    #[error("it does not begin with a key picture")]
    NoKey,
}

/// The tag of a black picture.
const BLACK: &[u8] = b"HUSHBOX_BLACK";

/// Takes a piece apart.
pub fn read(bytes: &[u8]) -> Result<Pictures, PieceError> {
    let is = |id: u32, element: Element| id == element as u32;
    let mut top = each(bytes);
    if !top.next().is_some_and(|(id, _)| is(id, Element::Ebml)) {
        return Err(PieceError::NotWebm);
    }
    let segment = top.find(|(id, _)| is(*id, Element::Segment)).ok_or(PieceError::NotWebm)?.1;
    let (mut scale, mut track, mut black) = (1_000_000, None, None);
    let mut pictures = Vec::new();
    // A cluster of unknown length has the next ones inside it.
    let mut todo = vec![segment];
    while let Some(part) = todo.pop() {
        let mut at = 0;
        for (id, body) in each(part) {
            if is(id, Element::Info) {
                let found = each(body).find(|(id, _)| is(*id, Element::TimestampScale));
                scale = found.and_then(|(_, body)| uint(body)).unwrap_or(scale);
            } else if is(id, Element::Tracks) && track.is_none() {
                track = each(body).find_map(|(_, entry)| video_track(entry));
            } else if is(id, Element::Tags) {
                black = black.or_else(|| black_tag(body));
            } else if is(id, Element::Cluster) {
                todo.push(body);
            } else if is(id, Element::Timestamp) {
                at = uint(body).unwrap_or(0);
            } else if is(id, Element::SimpleBlock) || is(id, Element::BlockGroup) {
                let number = track.as_ref().map_or(0, |(number, _)| *number);
                let block = block(id, body).filter(|block| block.track == number);
                pictures.extend(block.map(|block| block.picture(at, scale)));
            }
        }
    }
    let (_, screen) = track.ok_or(PieceError::NoVideo)?;
    pictures.sort_by_key(|picture| picture.ms);
    match pictures.first() {
        Some(first) if first.key => Ok(Pictures { screen, pictures, black }),
        _ => Err(PieceError::NoKey),
    }
}

/// Number and kind of a video track.
fn video_track(entry: &[u8]) -> Option<(u64, Screen)> {
    let find = |body, element: Element| {
        each(body).find(|(id, _)| *id == element as u32).map(|(_, body)| body)
    };
    let number = uint(find(entry, Element::TrackNumber)?)?;
    let codec = std::str::from_utf8(find(entry, Element::CodecId)?).ok()?.to_owned();
    let video = find(entry, Element::Video)?;
    let width = uint(find(video, Element::PixelWidth)?)?;
    let height = uint(find(video, Element::PixelHeight)?)?;
    Some((number, Screen { codec, width, height }))
}

fn black_tag(tags: &[u8]) -> Option<Vec<u8>> {
    let simple = each(tags).flat_map(|(_, tag)| each(tag));
    for (_, simple) in simple.filter(|(id, _)| *id == Element::SimpleTag as u32) {
        let find =
            |element: Element| each(simple).find(|(id, _)| *id == element as u32).map(|(_, b)| b);
        if find(Element::TagName) == Some(BLACK) {
            return find(Element::TagBinary).map(<[u8]>::to_vec);
        }
    }
    None
}

struct Block<'a> {
    track: u64,
    relative: i16,
    key: bool,
    data: &'a [u8],
}

fn block(id: u32, body: &[u8]) -> Option<Block<'_>> {
    let simple = id == Element::SimpleBlock as u32;
    let bytes =
        if simple { body } else { each(body).find(|(id, _)| *id == Element::Block as u32)?.1 };
    // A track above 127 takes more than a byte; nobody has so many.
    let [track, high, low, flags, data @ ..] = bytes else { return None };
    if track & 0x80 == 0 || flags & 0x06 != 0 {
        return None;
    }
    let (track, relative) = (u64::from(track & 0x7f), i16::from_be_bytes([*high, *low]));
    // In a group, a picture that names none before it is a key picture.
    let refers = |(id, _): (u32, &[u8])| id == 0xfb;
    let key = if simple { flags & 0x80 != 0 } else { !each(body).any(refers) };
    Some(Block { track, relative, key, data })
}

impl Block<'_> {
    fn picture(&self, at: u64, scale: u64) -> Picture {
        let ticks = at.saturating_add_signed(self.relative.into());
        let ms = ticks.saturating_mul(scale) / 1_000_000;
        Picture { ms, key: self.key, data: self.data.to_vec() }
    }
}
