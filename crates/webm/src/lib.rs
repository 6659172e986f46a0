//! WebM for Hushbox: EBML elements, and the video segments of a screen recording.
//!
//! The screen client writes a `VideoSegment`, the export reads it and writes a file from `ebml`
//! elements. This crate does no I/O and decodes no video. `docs/dependencies.md` says why it is our
//! own code.

pub mod ebml;
mod segment;

pub use segment::{
    VideoFrame, VideoSegment, VideoTrack, WebmSegmentError, put_block, put_header, put_video_track,
};
