//! Parses a video segment that a workstation sent: WebM into frames.
//!
//! The bytes are untrusted: everything is checked, and each error is named. Only the first video
//! track is used. A `HUSHBOX_BLACK` tag may hold a black key frame of the screen's size. Frames
//! are not decoded.

use super::VideoTrack;
use super::ebml::{ElementId, iter_elements, read_uint};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFrame {
    /// Time since the start of the segment.
    pub ms: u64,
    /// Whether it is a key frame.
    pub is_key: bool,
    pub data: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoSegment {
    pub track: VideoTrack,
    pub frames: Vec<VideoFrame>,
    /// Black frame of the same size.
    pub black_frame: Option<Vec<u8>>,
}

/// Why a segment is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebmSegmentError {
    #[error("it is no WebM file")]
    NotWebm,
    #[error("it has no video track")]
    NoVideo,
    #[error("it does not begin with a key picture")]
    NoKeyFrame,
}

/// Tag of the black frame.
const BLACK_TAG: &[u8] = b"HUSHBOX_BLACK";

pub fn parse_segment(bytes: &[u8]) -> Result<VideoSegment, WebmSegmentError> {
    let is = |id: u32, element: ElementId| id == element as u32;
    let mut top = iter_elements(bytes);
    if !top.next().is_some_and(|(id, _)| is(id, ElementId::Ebml)) {
        return Err(WebmSegmentError::NotWebm);
    }
    let segment =
        top.find(|(id, _)| is(*id, ElementId::Segment)).ok_or(WebmSegmentError::NotWebm)?.1;
    let (mut scale, mut track, mut black) = (1_000_000, None, None);
    let mut pictures = Vec::new();
    // A cluster of unknown length contains the following ones.
    let mut todo = vec![segment];
    while let Some(part) = todo.pop() {
        let mut at = 0;
        for (id, body) in iter_elements(part) {
            if is(id, ElementId::Info) {
                let found = iter_elements(body).find(|(id, _)| is(*id, ElementId::TimestampScale));
                scale = found.and_then(|(_, body)| read_uint(body)).unwrap_or(scale);
            } else if is(id, ElementId::Tracks) && track.is_none() {
                track = iter_elements(body).find_map(|(_, entry)| parse_video_track(entry));
            } else if is(id, ElementId::Tags) {
                black = black.or_else(|| find_black_tag(body));
            } else if is(id, ElementId::Cluster) {
                todo.push(body);
            } else if is(id, ElementId::Timestamp) {
                at = read_uint(body).unwrap_or(0);
            } else if is(id, ElementId::SimpleBlock) || is(id, ElementId::BlockGroup) {
                let number = track.as_ref().map_or(0, |(number, _)| *number);
                let block = parse_block(id, body).filter(|block| block.track == number);
                pictures.extend(block.map(|block| block.to_frame(at, scale)));
            }
        }
    }
    let (_, screen) = track.ok_or(WebmSegmentError::NoVideo)?;
    pictures.sort_by_key(|picture| picture.ms);
    match pictures.first() {
        Some(first) if first.is_key => {
            Ok(VideoSegment { track: screen, frames: pictures, black_frame: black })
        }
        _ => Err(WebmSegmentError::NoKeyFrame),
    }
}

/// Returns number and kind of a video track.
fn parse_video_track(entry: &[u8]) -> Option<(u64, VideoTrack)> {
    let find = |body, element: ElementId| {
        iter_elements(body).find(|(id, _)| *id == element as u32).map(|(_, body)| body)
    };
    let number = read_uint(find(entry, ElementId::TrackNumber)?)?;
    let codec = std::str::from_utf8(find(entry, ElementId::CodecId)?).ok()?.to_owned();
    let video = find(entry, ElementId::Video)?;
    let width = read_uint(find(video, ElementId::PixelWidth)?)?;
    let height = read_uint(find(video, ElementId::PixelHeight)?)?;
    Some((number, VideoTrack { codec, width, height }))
}

fn find_black_tag(tags: &[u8]) -> Option<Vec<u8>> {
    let simple = iter_elements(tags).flat_map(|(_, tag)| iter_elements(tag));
    for (_, simple) in simple.filter(|(id, _)| *id == ElementId::SimpleTag as u32) {
        let find = |element: ElementId| {
            iter_elements(simple).find(|(id, _)| *id == element as u32).map(|(_, b)| b)
        };
        if find(ElementId::TagName) == Some(BLACK_TAG) {
            return find(ElementId::TagBinary).map(<[u8]>::to_vec);
        }
    }
    None
}

struct VideoBlock<'a> {
    track: u64,
    relative: i16,
    is_key: bool,
    data: &'a [u8],
}

fn parse_block(id: u32, body: &[u8]) -> Option<VideoBlock<'_>> {
    let simple = id == ElementId::SimpleBlock as u32;
    let bytes = if simple {
        body
    } else {
        iter_elements(body).find(|(id, _)| *id == ElementId::Block as u32)?.1
    };
    // Track numbers above 127 take more than a byte and are not supported.
    let [track, high, low, flags, data @ ..] = bytes else { return None };
    if track & 0x80 == 0 || flags & 0x06 != 0 {
        return None;
    }
    let (track, relative) = (u64::from(track & 0x7f), i16::from_be_bytes([*high, *low]));
    // In a block group, a frame without references is a key frame.
    let refers = |(id, _): (u32, &[u8])| id == 0xfb;
    let key = if simple { flags & 0x80 != 0 } else { !iter_elements(body).any(refers) };
    Some(VideoBlock { track, relative, is_key: key, data })
}

impl VideoBlock<'_> {
    fn to_frame(&self, at: u64, scale: u64) -> VideoFrame {
        let ticks = at.saturating_add_signed(self.relative.into());
        let ms = ticks.saturating_mul(scale) / 1_000_000;
        VideoFrame { ms, is_key: self.is_key, data: self.data.to_vec() }
    }
}
