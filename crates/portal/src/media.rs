//! Recordings in memory only: fetched encrypted, decoded by `hushbox decode`, and cached with a
//! bound.

pub mod cache;
pub mod decode;
pub mod decoder;
pub mod facts;
pub mod fetch;
pub mod memfile;
pub mod playback;
