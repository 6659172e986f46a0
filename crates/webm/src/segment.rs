//! A video segment: a WebM file of one video track that can be played by itself.
//!
//! A workstation sends its screen as such segments. The tag `HUSHBOX_BLACK` may hold a black key
//! frame of the same size, which an export shows where nothing is stored.
//!
//! `parse` accepts any bytes, checks everything and names the error. Of several video tracks it
//! takes the first.

use crate::ebml::{ElementId, iter_elements, put_element, put_text, put_uint, read_uint};

/// The name of the tag with the black frame.
const BLACK_TAG: &str = "HUSHBOX_BLACK";
/// The track number that `to_bytes` writes.
const TRACK: u8 = 1;

/// An encoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFrame {
    /// Milliseconds from the start of the segment.
    pub ms: u64,
    /// Whether the frame can be decoded without earlier ones.
    pub is_key: bool,
    pub data: Vec<u8>,
}

/// The format of a video track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoTrack {
    /// Matroska's name of the codec, such as `V_VP9`.
    pub codec: String,
    pub width: u64,
    pub height: u64,
}

/// A video segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoSegment {
    pub track: VideoTrack,
    /// The frames in the order of their times; the first is a key frame.
    pub frames: Vec<VideoFrame>,
    /// A black key frame of the same size.
    pub black_frame: Option<Vec<u8>>,
}

/// Why bytes are not a video segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebmSegmentError {
    #[error("not a WebM file")]
    NotWebm,
    #[error("the WebM file has no video track")]
    NoVideo,
    #[error("the video does not start with a key frame")]
    NoKeyFrame,
}

impl VideoSegment {
    /// Parses a segment.
    pub fn parse(bytes: &[u8]) -> Result<VideoSegment, WebmSegmentError> {
        let is = |id: u32, element: ElementId| id == element as u32;
        let mut top = iter_elements(bytes);
        if !top.next().is_some_and(|(id, _)| is(id, ElementId::Ebml)) {
            return Err(WebmSegmentError::NotWebm);
        }
        let mut segments = top.filter(|(id, _)| is(*id, ElementId::Segment));
        let (_, segment) = segments.next().ok_or(WebmSegmentError::NotWebm)?;
        let (mut scale, mut track, mut black_frame) = (1_000_000, None, None);
        let mut frames = Vec::new();
        // A cluster of unknown size contains the clusters that follow it.
        let mut unparsed = vec![segment];
        while let Some(part) = unparsed.pop() {
            let mut cluster_ticks = 0;
            for (id, body) in iter_elements(part) {
                if is(id, ElementId::Info) {
                    let found = find_element(body, ElementId::TimestampScale);
                    scale = found.and_then(read_uint).unwrap_or(scale);
                } else if is(id, ElementId::Tracks) && track.is_none() {
                    track = iter_elements(body).find_map(|(_, entry)| parse_video_track(entry));
                } else if is(id, ElementId::Tags) {
                    black_frame = black_frame.or_else(|| find_black_frame(body));
                } else if is(id, ElementId::Cluster) {
                    unparsed.push(body);
                } else if is(id, ElementId::Timestamp) {
                    cluster_ticks = read_uint(body).unwrap_or(0);
                } else if is(id, ElementId::SimpleBlock) || is(id, ElementId::BlockGroup) {
                    let number = track.as_ref().map_or(0, |(number, _)| *number);
                    let block = parse_block(id, body).filter(|block| block.track == number);
                    frames.extend(block.map(|block| block.to_frame(cluster_ticks, scale)));
                }
            }
        }
        let (_, track) = track.ok_or(WebmSegmentError::NoVideo)?;
        frames.sort_by_key(|frame| frame.ms);
        match frames.first() {
            Some(first) if first.is_key => Ok(VideoSegment { track, frames, black_frame }),
            _ => Err(WebmSegmentError::NoKeyFrame),
        }
    }

    /// Formats the segment as a WebM file: one cluster, and every size is known. `app` is the name
    /// of the program that writes it. Times above 32 767 ms are limited to that.
    #[must_use]
    pub fn to_bytes(&self, app: &str) -> Vec<u8> {
        let mut file = Vec::new();
        put_header(&mut file, "webm");
        put_element(&mut file, ElementId::Segment, |segment| {
            put_element(segment, ElementId::Info, |info| {
                put_uint(info, ElementId::TimestampScale, 1_000_000);
                put_text(info, ElementId::MuxingApp, "hushbox");
                put_text(info, ElementId::WritingApp, app);
            });
            put_element(segment, ElementId::Tracks, |tracks| {
                put_video_track(tracks, TRACK, &self.track);
            });
            if let Some(black_frame) = &self.black_frame {
                put_element(segment, ElementId::Tags, |tags| put_black_tag(tags, black_frame));
            }
            put_element(segment, ElementId::Cluster, |cluster| {
                put_uint(cluster, ElementId::Timestamp, 0);
                for frame in &self.frames {
                    put_block(cluster, (TRACK, frame.ms), frame.is_key, &frame.data);
                }
            });
        });
        file
    }
}

/// Writes the EBML header. `doc_type`: `webm` or `matroska`.
pub fn put_header(out: &mut Vec<u8>, doc_type: &str) {
    put_element(out, ElementId::Ebml, |body| {
        put_uint(body, ElementId::EbmlVersion, 1);
        put_uint(body, ElementId::EbmlReadVersion, 1);
        put_uint(body, ElementId::EbmlMaxIdLength, 4);
        put_uint(body, ElementId::EbmlMaxSizeLength, 8);
        put_text(body, ElementId::DocType, doc_type);
        put_uint(body, ElementId::DocTypeVersion, 4);
        put_uint(body, ElementId::DocTypeReadVersion, 2);
    });
}

/// Writes the entry of a video track.
pub fn put_video_track(out: &mut Vec<u8>, number: u8, track: &VideoTrack) {
    put_element(out, ElementId::TrackEntry, |entry| {
        put_uint(entry, ElementId::TrackNumber, number.into());
        put_uint(entry, ElementId::TrackUid, number.into());
        put_uint(entry, ElementId::TrackType, 1);
        put_uint(entry, ElementId::FlagLacing, 0);
        put_text(entry, ElementId::CodecId, &track.codec);
        put_element(entry, ElementId::Video, |video| {
            put_uint(video, ElementId::PixelWidth, track.width);
            put_uint(video, ElementId::PixelHeight, track.height);
        });
    });
}

/// Writes a block of one frame. `ms` is relative to the cluster.
pub fn put_block(out: &mut Vec<u8>, (track, ms): (u8, u64), is_key: bool, data: &[u8]) {
    let relative = i16::try_from(ms).unwrap_or(i16::MAX);
    put_element(out, ElementId::SimpleBlock, |body| {
        body.push(0x80 | track);
        body.extend_from_slice(&relative.to_be_bytes());
        body.push(u8::from(is_key) << 7);
        body.extend_from_slice(data);
    });
}

fn put_black_tag(tags: &mut Vec<u8>, black_frame: &[u8]) {
    put_element(tags, ElementId::Tag, |tag| {
        put_element(tag, ElementId::Targets, |_| {});
        put_element(tag, ElementId::SimpleTag, |simple| {
            put_text(simple, ElementId::TagName, BLACK_TAG);
            put_element(simple, ElementId::TagBinary, |body| body.extend_from_slice(black_frame));
        });
    });
}

fn find_element(body: &[u8], wanted: ElementId) -> Option<&[u8]> {
    iter_elements(body).find(|(id, _)| *id == wanted as u32).map(|(_, body)| body)
}

/// The number and the format of a video track.
fn parse_video_track(entry: &[u8]) -> Option<(u64, VideoTrack)> {
    let number = read_uint(find_element(entry, ElementId::TrackNumber)?)?;
    let codec = std::str::from_utf8(find_element(entry, ElementId::CodecId)?).ok()?.to_owned();
    let video = find_element(entry, ElementId::Video)?;
    let width = read_uint(find_element(video, ElementId::PixelWidth)?)?;
    let height = read_uint(find_element(video, ElementId::PixelHeight)?)?;
    Some((number, VideoTrack { codec, width, height }))
}

fn find_black_frame(tags: &[u8]) -> Option<Vec<u8>> {
    let simple_tags = iter_elements(tags)
        .flat_map(|(_, tag)| iter_elements(tag))
        .filter(|(id, _)| *id == ElementId::SimpleTag as u32);
    let name = Some(BLACK_TAG.as_bytes());
    let mut named =
        simple_tags.filter(|(_, simple)| find_element(simple, ElementId::TagName) == name);
    let (_, simple) = named.next()?;
    find_element(simple, ElementId::TagBinary).map(<[u8]>::to_vec)
}

/// A parsed block of one frame.
struct VideoBlock<'a> {
    track: u64,
    relative: i16,
    is_key: bool,
    data: &'a [u8],
}

fn parse_block(id: u32, body: &[u8]) -> Option<VideoBlock<'_>> {
    let is_simple = id == ElementId::SimpleBlock as u32;
    let bytes = if is_simple { body } else { find_element(body, ElementId::Block)? };
    // A track number above 127 takes more than one byte; segments have one track.
    let [track, high, low, flags, data @ ..] = bytes else { return None };
    if track & 0x80 == 0 || flags & 0x06 != 0 {
        return None;
    }
    let (track, relative) = (u64::from(track & 0x7f), i16::from_be_bytes([*high, *low]));
    // In a group, a frame without references is a key frame.
    let is_key = if is_simple {
        flags & 0x80 != 0
    } else {
        find_element(body, ElementId::ReferenceBlock).is_none()
    };
    Some(VideoBlock { track, relative, is_key, data })
}

impl VideoBlock<'_> {
    fn to_frame(&self, cluster_ticks: u64, scale: u64) -> VideoFrame {
        let ticks = cluster_ticks.saturating_add_signed(self.relative.into());
        let ms = ticks.saturating_mul(scale) / 1_000_000;
        VideoFrame { ms, is_key: self.is_key, data: self.data.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment() -> VideoSegment {
        let frame = |ms, is_key| VideoFrame { ms, is_key, data: vec![7; 300] };
        VideoSegment {
            track: VideoTrack { codec: "V_VP9".to_owned(), width: 640, height: 360 },
            frames: vec![frame(0, true), frame(200, false), frame(30_000, false)],
            black_frame: Some(vec![1, 2, 3]),
        }
    }

    #[test]
    fn a_written_segment_reads_back() {
        let mut segment = segment();
        assert_eq!(VideoSegment::parse(&segment.to_bytes("test")), Ok(segment.clone()));
        segment.black_frame = None;
        assert_eq!(VideoSegment::parse(&segment.to_bytes("test")), Ok(segment));
    }

    #[test]
    fn an_incomplete_segment_is_refused_by_name() {
        let bytes = segment().to_bytes("test");
        for length in 0..bytes.len() {
            // Never a panic, wherever the bytes end.
            let _ = VideoSegment::parse(&bytes[..length]);
        }
        assert_eq!(VideoSegment::parse(b"RIFF"), Err(WebmSegmentError::NotWebm));
        let mut header = Vec::new();
        put_header(&mut header, "webm");
        assert_eq!(VideoSegment::parse(&header), Err(WebmSegmentError::NotWebm));
        let no_key = VideoSegment { frames: segment().frames.split_off(1), ..segment() };
        let error = VideoSegment::parse(&no_key.to_bytes("test"));
        assert_eq!(error, Err(WebmSegmentError::NoKeyFrame));
    }
}
