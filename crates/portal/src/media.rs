//! Recordings in memory only: fetched sealed, decoded by `hushbox decode`, cached within a bound.

pub mod cache;
pub mod decode;
pub mod decoder;
pub mod facts;
pub mod fetch;
pub mod memfile;
pub mod playback;
